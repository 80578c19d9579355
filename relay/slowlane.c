/*
 * slowlane.c
 *		Where pushes go that met a lock: one at a time, with patience.
 *
 * Owns the slow connections and the queue of streams that have a slow push.
 *
 * The writers give up on a lock after some milliseconds, so that one locked
 * record does not hold up everybody.  The push that met it comes here, where
 * the lock timeout is long.  One connection would let one locked user starve
 * the others, so there are a few, a user has at most one of them at a time
 * (his pushes would wait for each other anyway), and streams take turns.  With
 * more users locked than connections the others wait a lock timeout longer at
 * worst, and push_wait_max bounds everything.
 *
 * Invariants: a stream is in the queue while it has a slow push; its pushes go
 * in order; connections are made when first needed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "slowlane.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "alloc.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "pgconn.h"
#include "verdicts.h"
#include "writer_internal.h"

/* Between tries; a lock timeout comes on top of it, other failures do not. */
#define RETRY_MS 200

typedef struct Slot
{
	PgConn *pg;
	char name[24];
	DialectSet dialects; /* that its events come in */
	Push *push;			 /* at the database, or NULL */
} Slot;

static const PgStatement *const statements[] = {&push_many_statement, NULL};

static Slot *slots;
static int slot_count;
static PushStream *queue; /* streams with a slow push, in turn */
static TurnTask task;

static bool
user_is_busy(const char *user)
{
	for (int i = 0; i < slot_count; i++)
		if (slots[i].push != NULL &&
			strcmp(slots[i].push->stream->user, user) == 0)
			return true;
	return false;
}

static PushStream *
next_stream(int64_t now_ms)
{
	PushStream *stream;

	DL_FOREACH(queue, stream)
		if (!stream->in_flight && stream->retry_at_ms <= now_ms &&
			!user_is_busy(stream->user))
			return stream;
	return NULL;
}

/* Takes the stream out of the queue if nothing of it is slow any more. */
static void
stream_check(PushStream *stream)
{
	if (stream->slow != NULL || stream->in_flight)
		return;
	DL_DELETE(queue, stream);
	writer_resume(stream);
}

static void
try_again(PushStream *stream)
{
	stream->retry_at_ms = loop_now_ms() + RETRY_MS;
	/* To the end: the others' turn. */
	DL_DELETE(queue, stream);
	DL_APPEND(queue, stream);
}

/*
 * A lock is let go some day, and so is a database without room or about to
 * restart.  What fails alone and again in another way (a deadlock with
 * whatever is there, an internal error) fails because of itself: after some
 * tries it is given up, so that those behind it get their turn.
 */
static bool
blames_message(const char *sqlstate)
{
	return strncmp(sqlstate, "40", 2) == 0 || strncmp(sqlstate, "58", 2) == 0 ||
		strncmp(sqlstate, "XX", 2) == 0;
}

static void
finish(Push *push, const PgReply *reply, DialectSet dialects)
{
	PushResult result;
	PushStream *stream = push->stream;

	if (reply->result != NULL)
	{
		verdicts_read(reply->result, &result, 1);
		verdicts_deliver(reply->result, dialects);
	}
	else
	{
		memset(&result, 0, sizeof(result));
		snprintf(result.sqlstate, sizeof(result.sqlstate), "%s",
				 reply->sqlstate);
		result.retry = reply->lost || pg_is_transient(reply->sqlstate);
	}
	if (reply->lost || (result.retry && blames_message(result.sqlstate)))
		push->losses++;
	if (result.retry && !push->given_up && push->losses < LOSSES_MAX)
	{
		try_again(stream);
		return;
	}
	push_unlink(push);
	if (result.known && !result.retry)
		writer_settle(push, &result.verdict);
	else
		writer_give_up(push, "slow lane failed");
}

static void
on_result(void *arg, const PgReply *reply)
{
	Slot *slot = arg;
	Push *push = slot->push;
	PushStream *stream = push->stream;

	slot->push = NULL;
	push->in_flight = false;
	stream->in_flight = false;
	stream->refs++;
	finish(push, reply, slot->dialects);
	stream_check(stream);
	push_stream_unref(stream);
	loop_at_turn_end(&task);
}

static void
pump(void *arg)
{
	PushStream *stream;

	(void) arg;
	for (int i = 0; i < slot_count; i++)
	{
		Slot *slot = &slots[i];

		if (slot->push != NULL || !pgconn_is_ready(slot->pg))
			continue;
		stream = next_stream(loop_now_ms());
		if (stream == NULL)
			return;
		if (writer_send(slot->pg, &stream->slow, 1, &slot->dialects, on_result,
						slot) != STATUS_OK)
			continue;
		slot->push = stream->slow;
		slot->push->in_flight = true;
		stream->in_flight = true;
	}
}

static void
on_ready(void *arg)
{
	(void) arg;
	loop_at_turn_end(&task);
}

void
slowlane_init(const Config *config)
{
	loop_task_init(&task, pump, NULL);
	slot_count = config->slow_lanes;
	slots = alloc_zero((size_t) slot_count * sizeof(Slot));
	for (int i = 0; i < slot_count; i++)
	{
		PgSpec spec = {.name = slots[i].name,
					   .statements = statements,
					   .lock_timeout_ms = config->slow_lock_timeout_ms,
					   .on_ready = on_ready};

		snprintf(slots[i].name, sizeof(slots[i].name), "slow-%d", i);
		slots[i].pg = pgconn_new(&spec);
	}
}

void
slowlane_rest(void)
{
	for (int i = 0; i < slot_count; i++)
		pgconn_rest(slots[i].pg);
}

void
slowlane_release(void)
{
	loop_task_cancel(&task);
	for (int i = 0; i < slot_count; i++)
		pgconn_free(slots[i].pg);
	free(slots);
	slots = NULL;
	slot_count = 0;
	queue = NULL;
}

void
slowlane_add(Push *push)
{
	PushStream *stream = push->stream;
	int waiting = 0;
	PushStream *other;

	if (stream->slow == NULL)
	{
		stream->retry_at_ms = 0;
		DL_APPEND(queue, stream);
	}
	push_link(&stream->slow, push);
	metrics_count(METRIC_SLOW_PUSHES);

	/* As many connections as there is work for; they stay. */
	DL_FOREACH(queue, other)
		waiting++;
	for (int i = 0; i < slot_count && i < waiting; i++)
		pgconn_start(slots[i].pg);
	loop_at_turn_end(&task);
}

void
slowlane_gone(PushStream *stream)
{
	stream_check(stream);
}

void
slowlane_tick(void)
{
	if (queue != NULL)
		loop_at_turn_end(&task);
}
