/*
 * hibernation.c
 *		Whether the database is needed at all, and letting it go if not.
 *
 * Without a feed that somebody looks at, a read or a push nobody needs the
 * database.  After hibernate_after of that all connections to it are closed,
 * LISTEN among them, and a database that is paid for by use can rest as well.
 * What comes next and needs it has queued a read or a push by the end of the
 * turn, as always; it waits there while the connections are made, no longer
 * than it would wait for a database that restarts.  So nobody who asks has to
 * know of any of this.  Strangers ask for nothing: without a good token nobody
 * wakes the database.  Nor do probes, metrics, tickets and files.
 *
 * What is not heard meanwhile
 *	- Doorbells: no feed is here, so there is nobody to wake.  A session that
 *	  comes catches up by its cursor.
 *	- Revocations and set_realtime: no answer is kept here; the first session
 *	  is asked about before it is let in, like every one.  If that question
 *	  was faster than LISTEN, it is asked again (access.c).
 *	- The extension's version and the doorbell's key: the greeting is said anew
 *	  before anything else.
 *
 * It begins only when everything is well, so that "hibernating" means that the
 * database was there.  A waking that does not succeed is no hibernation: the
 * relay then is what it is without a database.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "hibernation.h"

#include <malloc.h>

#include "bell.h"
#include "drain.h"
#include "feed.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "reader.h"
#include "writer.h"

/* A probe that comes while we wake is not told that something is wrong. */
#define WAKE_GRACE_MS 3000

typedef enum Hibernation
{
	AWAKE,
	ASLEEP,
	WAKING /* it was needed, and is not ready yet */
} Hibernation;

static const Config *config;
static Hibernation state;
static int64_t since_ms;  /* of ASLEEP or WAKING */
static int64_t needed_ms; /* when it was needed last */
static int64_t woken_us;

void
hibernation_setup(const Config *config_)
{
	config = config_;
	state = AWAKE;
	needed_ms = loop_now_ms();
}

static bool
is_needed(void)
{
	return feed_count() > 0 || !reader_is_idle() || !writer_is_idle();
}

static bool
is_connected(void)
{
	return listener_is_ready() && writer_is_ready();
}

bool
hibernation_is_on(void)
{
	return state == ASLEEP;
}

bool
hibernation_is_ready(void)
{
	return state == ASLEEP || is_connected() ||
		(state == WAKING && loop_now_ms() - since_ms < WAKE_GRACE_MS);
}

static void
fall_asleep(int64_t now_ms)
{
	log_info("hibernating: the database is not needed");
	metrics_count(METRIC_HIBERNATIONS);
	state = ASLEEP;
	since_ms = now_ms;
	writer_rest();
	reader_rest();
	bell_rest();
	listener_rest();
	/* What a busy time has left behind is of no use to anybody for long. */
	malloc_trim(0);
}

static void
wake(void)
{
	int64_t slept_ms = loop_now_ms() - since_ms;

	log_info("waking: the database is needed slept_ms=%lld",
			 (long long) slept_ms);
	metrics_count(METRIC_WAKES);
	metrics_add(METRIC_HIBERNATED, (uint64_t) slept_ms);
	state = WAKING;
	since_ms = loop_now_ms();
	woken_us = metrics_now_us();
	/* It greets, and then come the others. */
	listener_start();
}

void
hibernation_look(void)
{
	if (state == WAKING && is_connected())
	{
		metrics_observe(HISTOGRAM_WAKE, woken_us);
		state = AWAKE;
	}
	if (!is_needed())
		return;
	needed_ms = loop_now_ms();
	if (state == ASLEEP)
		wake();
}

void
hibernation_tick(int64_t now_ms)
{
	if (config->hibernate_after_ms != 0 && state == AWAKE && !drain_is_on() &&
		now_ms - needed_ms >= config->hibernate_after_ms && !is_needed() &&
		bell_is_idle() && is_connected())
		fall_asleep(now_ms);
}
