/*
 * janitor.c
 *		Everything that happens because time passes.
 *
 * One timer for the whole relay, so that all timeouts are found in one place
 * and none is forgotten by a closing object: reconnects and hanging statements
 * (pgconn), handshakes and closings (ws), guests that are not let in (guest),
 * silence, slowness and the end of a token (session), the seldom question who
 * may still be here (access), changed keys (keyring),
 * pushes that waited too long or are due again (writer), repeated reads
 * (reader), the seldom poll of the heads, and the end of a drain.
 *
 * A timeout is therefore up to a tick late, which none of them minds.
 *
 * The pace: while something is under way that is measured in less than a second,
 * the timer goes quickly, else slowly, so that sessions that only wait cost no
 * wake-ups.  Before the loop sleeps it is looked which it is.  What is over within
 * a quick tick, as a push or a read that a ring has led to, has cost none: the
 * timer is then where it was.  Its slow moment stays the same all the while, so
 * whatever comes and goes cannot put it off for ever.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "janitor.h"

#include "access.h"
#include "api.h"
#include "drain.h"
#include "feed.h"
#include "guest.h"
#include "hibernation.h"
#include "keyring.h"
#include "loop.h"
#include "notify.h"
#include "peers.h"
#include "pgconn.h"
#include "quota.h"
#include "reader.h"
#include "session.h"
#include "tls.h"
#include "writer.h"
#include "ws.h"

#define TICK_MS		 50
#define SLOW_TICK_MS 1000

/* How often the heads are read because somebody rang for all feeds. */
#define HEADS_PAUSE_MS 1000

static int64_t heads_interval_ms;
static int64_t slow_tick_ms;
static int64_t slow_at_ms; /* when it is time at the slow pace */
static bool is_slow;
static int64_t next_heads_ms;
static int64_t last_heads_ms;

static void tick(void);

/* is_quiet: whatever has a deadline can wait for a slow tick. */
static bool
is_quiet(void)
{
	return writer_is_idle() && ws_is_quiet() && apiconn_count() == 0 &&
		guest_is_idle() && session_is_quiet() && quota_is_idle() &&
		reader_is_idle() && pgconn_are_settled() && !feed_all_have_rung() &&
		!drain_is_on();
}

static void
set_pace(bool slow)
{
	int64_t left_ms = slow_at_ms - loop_now_ms();

	is_slow = slow;
	if (!slow && left_ms > TICK_MS)
		left_ms = TICK_MS;
	/* It was started once with the same timer. */
	(void) !loop_tick(left_ms > 0 ? left_ms : 0, tick);
}

static void
look(void)
{
	bool slow;

	hibernation_look();
	slow = is_quiet();
	if (slow != is_slow)
		set_pace(slow);
}

static void
tick(void)
{
	int64_t now_ms = loop_now_ms();

	pgconn_tick(now_ms);
	ws_tick(now_ms);
	apiconn_tick(now_ms);
	api_tick(now_ms);
	tls_tick(now_ms);
	peers_tick(now_ms);
	quota_tick(now_ms);
	notify_tick(now_ms);
	session_tick(now_ms);
	guest_tick(now_ms);
	access_tick(now_ms);
	keyring_tick(now_ms);
	writer_tick(now_ms);
	reader_tick(now_ms);
	if (now_ms >= next_heads_ms ||
		(feed_all_have_rung() && now_ms >= last_heads_ms + HEADS_PAUSE_MS))
	{
		last_heads_ms = now_ms;
		next_heads_ms = now_ms + heads_interval_ms;
		feed_check_heads();
	}
	hibernation_tick(now_ms);
	drain_tick(now_ms);
	slow_at_ms = now_ms + slow_tick_ms;
	set_pace(is_quiet());
}

Status
janitor_start(const Config *config)
{
	heads_interval_ms = config->heads_poll_interval_ms;
	next_heads_ms = loop_now_ms() + heads_interval_ms;
	slow_tick_ms = SLOW_TICK_MS;
	if (heads_interval_ms < slow_tick_ms)
		slow_tick_ms = heads_interval_ms;
	if (config->access_poll_interval_ms < slow_tick_ms)
		slow_tick_ms = config->access_poll_interval_ms;
	if (config->keys_check_interval_ms < slow_tick_ms)
		slow_tick_ms = config->keys_check_interval_ms;
	slow_at_ms = loop_now_ms() + slow_tick_ms;
	loop_before_sleep(look);
	return loop_tick(TICK_MS, tick);
}
