/*
 * writer.c
 *		The way in: pushes of many sessions, grouped into few commits.
 *
 * Owns the group connections ("lanes") and every push until its verdict.
 *
 * A lane has at most one group at the database; what arrives meanwhile gathers
 * for the next.  So a quiet relay sends each message at once, and a busy one
 * shares a commit among up to max_batches of them, with no timer to tune.
 * Users are hashed to lanes: groups of one relay never wait for each other's
 * feed locks, so it cannot deadlock with itself.
 *
 * Ordering: a lane's queue is first in, first out, and a group keeps that
 * order.  A push that met a lock goes to the slow lane (slowlane.c); the later
 * ones of its session are held until it is settled.  Later ones of the same
 * group come back from push_many to be tried again as well.
 *
 * Failure: a group that fails as a whole is sent again one by one; one that
 * fails alone goes to the slow lane.  If the connection breaks nobody knows
 * whether the commit happened; the group is sent again, which the event
 * dialect allows (a put that is there already changes nothing).  A message
 * under which connections keep breaking is sent alone, then given up.
 *
 * Bounds: pushes and their bytes in this process, time until an answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "writer.h"

#include <stdio.h>
#include <utlist.h>

#include "alloc.h"
#include "feed.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "pgarray.h"
#include "pgconn.h"
#include "slowlane.h"
#include "verdicts.h"
#include "writer_internal.h"

#define GROUP_MAX		60 /* beyond 64 subtransactions readers suffer */
#define GROUP_MAX_BYTES (1024 * 1024)
#define QUEUE_MAX_BYTES (64 * 1024 * 1024)
#define LOSSES_ALONE	2 /* then a push no longer shares a group */

typedef struct Lane
{
	PgConn *pg;
	char name[24];
	Push *queue;			/* oldest first */
	Push *group[GROUP_MAX]; /* at the database, in order */
	int group_count;
	DialectSet dialects; /* that its events come in */
	TurnTask task;
} Lane;

static const PgStatement *const statements[] = {&push_many_statement, NULL};

static Lane *lanes;
static int lane_count;
static int max_batches = GROUP_MAX;
static int queue_max;
static int64_t wait_max_ms;
static Push *by_age; /* every push, oldest first */
static int push_count;
static size_t push_bytes;

static const char *const unavailable = "Database unavailable, please try again";

/* ---- streams ---- */

PushStream *
push_stream_new(const char *session_id, const char *user,
				const Dialect *dialect)
{
	size_t len = strlen(user);
	PushStream *stream = alloc_zero(sizeof(PushStream) + len + 1);

	stream->refs = 1;
	stream->dialect = dialect;
	snprintf(stream->session_id, sizeof(stream->session_id), "%s", session_id);
	memcpy(stream->user, user, len);
	return stream;
}

void
push_stream_unref(PushStream *stream)
{
	if (--stream->refs == 0)
		free(stream);
}

/* FNV-1a: any spread will do, it must only be the same for a user. */
static Lane *
lane_of(const PushStream *stream)
{
	uint32_t hash = 2166136261u;

	for (const char *c = stream->user; *c != '\0'; c++)
		hash = (hash ^ (unsigned char) *c) * 16777619u;
	return &lanes[hash % (uint32_t) lane_count];
}

/* ---- pushes ---- */

void
push_link(Push **list, Push *push)
{
	DL_APPEND(*list, push);
	push->list = list;
}

void
push_unlink(Push *push)
{
	if (push->list == NULL)
		return;
	DL_DELETE(*push->list, push);
	push->list = NULL;
}

static void
push_free(Push *push)
{
	DL_DELETE2(by_age, push, age_prev, age_next);
	push_count--;
	push_bytes -= push->len;
	push_stream_unref(push->stream);
	free(push);
}

static void
tell(Push *push, const Verdict *verdict)
{
	PushSettled settled = push->settled;

	push->settled = NULL;
	if (settled != NULL)
		settled(push->arg, verdict);
}

void
writer_settle(Push *push, const Verdict *verdict)
{
	if (verdict->kind != VERDICT_UNAVAILABLE)
		metrics_observe(HISTOGRAM_RECEIVE_TO_COMMIT, push->since_us);
	tell(push, verdict);
	push_free(push);
}

void
writer_give_up(Push *push, const char *reason)
{
	static LogLimit complaint;
	Verdict verdict = {.kind = VERDICT_UNAVAILABLE, .reason = unavailable};
	char user[LOG_VALUE_MAX];

	if (!push->given_up)
	{
		metrics_count(METRIC_PUSHES_GIVEN_UP);
		log_limited(&complaint, LOG_LEVEL_WARN,
					"push given up session=%s user=%s reason=\"%s\" "
					"waited_ms=%lld",
					push->stream->session_id,
					log_value(user, sizeof(user), push->stream->user), reason,
					(long long) (loop_now_ms() - push->since_ms));
	}
	writer_settle(push, &verdict);
}

/* ---- sending ---- */

Status
writer_send(PgConn *pg, Push *const *pushes, int count, DialectSet *dialects,
			PgCallback callback, void *arg)
{
	PgArray columns[5];
	PgParams params = {0};
	Status status;

	*dialects = feed_dialects();

	for (int i = 0; i < 5; i++)
		pgarray_init(&columns[i]);
	for (int i = 0; i < count; i++)
	{
		const PushStream *stream = pushes[i]->stream;

		/* The event dialect has no device ids; the session stands for one. */
		const char *device = stream->device[0] != '\0' ? stream->device
													   : stream->session_id;

		pgarray_add(&columns[0], stream->user, strlen(stream->user));
		pgarray_add(&columns[1], device, strlen(device));
		pgarray_add(&columns[2], stream->session_id,
					strlen(stream->session_id));
		pgarray_add(&columns[3], stream->dialect->name,
					strlen(stream->dialect->name));
		pgarray_add(&columns[4], pushes[i]->text, pushes[i]->len);
	}
	for (int i = 0; i < 5; i++)
		pgarray_bind(&columns[i], &params, i);
	params.values[5] = dialect_names(*dialects);
	status = pgconn_send(pg, &push_many_statement, &params, callback, arg);
	for (int i = 0; i < 5; i++)
		pgarray_release(&columns[i]);
	if (status == STATUS_OK)
		metrics_count(METRIC_PUSH_GROUPS);
	return status;
}

/* Moves pushes from the queue to the group; those of slow streams are held. */
static void
gather(Lane *lane)
{
	size_t bytes = 0;

	while (lane->queue != NULL && lane->group_count < max_batches)
	{
		Push *push = lane->queue;

		if (push->stream->slow != NULL)
		{
			push_unlink(push);
			push_link(&push->stream->held, push);
			continue;
		}
		if (lane->group_count > 0 &&
			(push->alone || bytes + push->len > GROUP_MAX_BYTES))
			break;
		push_unlink(push);
		lane->group[lane->group_count++] = push;
		bytes += push->len;
		if (push->alone)
			break;
	}
}

/* Puts the group back before the queue, in order. */
static void
ungather(Lane *lane)
{
	while (lane->group_count > 0)
	{
		Push *push = lane->group[--lane->group_count];

		push->in_flight = false;
		if (push->given_up)
		{
			writer_give_up(push, "late");
			continue;
		}
		DL_PREPEND(lane->queue, push);
		push->list = &lane->queue;
	}
}

/* Sends the next group, unless one is at the database. */
static void lane_run(void *arg);

/*
 * The next group goes out before the answers of this one are told, so that the
 * database works while we write to many sockets.  Only what met a lock comes
 * first: what its session sent later must not overtake it.
 */
static void
on_group_rows(Lane *lane, const PGresult *result)
{
	PushResult results[GROUP_MAX];
	Push *group[GROUP_MAX];
	int count = lane->group_count;
	DialectSet dialects = lane->dialects;

	memcpy(group, lane->group, sizeof(group));
	lane->group_count = 0;
	verdicts_read(result, results, count);
	for (int i = 0; i < count; i++)
	{
		group[i]->in_flight = false;
		if (!results[i].known || !results[i].retry || group[i]->given_up)
			continue;
		slowlane_add(group[i]);
		group[i] = NULL;
	}
	lane_run(lane);
	verdicts_deliver(result, dialects);
	for (int i = 0; i < count; i++)
	{
		if (group[i] == NULL)
			continue;
		if (results[i].known)
			writer_settle(group[i], &results[i].verdict);
		else
			writer_give_up(group[i], "no verdict");
	}
}

static void
on_group_error(Lane *lane, const PgReply *reply)
{
	static LogLimit complaint;
	Push *push;

	log_limited(&complaint, LOG_LEVEL_WARN,
				"group failed connection=%s messages=%d sqlstate=%s",
				lane->name, lane->group_count, reply->sqlstate);
	if (lane->group_count > 1)
	{
		for (int i = 0; i < lane->group_count; i++)
			lane->group[i]->alone = true;
		ungather(lane);
		return;
	}
	push = lane->group[0];
	lane->group_count = 0;
	push->in_flight = false;
	if (pg_is_transient(reply->sqlstate) && !push->given_up)
		slowlane_add(push);
	else
		writer_give_up(push, "statement failed");
}

static void
on_group_lost(Lane *lane)
{
	Push *doomed[GROUP_MAX];
	int doomed_count = 0;
	int kept = 0;

	for (int i = 0; i < lane->group_count; i++)
	{
		Push *push = lane->group[i];

		push->losses++;
		if (push->losses >= LOSSES_ALONE)
			push->alone = true;
		if (push->losses >= LOSSES_MAX)
			doomed[doomed_count++] = push;
		else
			lane->group[kept++] = push;
	}
	lane->group_count = kept;
	ungather(lane);
	for (int i = 0; i < doomed_count; i++)
	{
		doomed[i]->in_flight = false;
		writer_give_up(doomed[i], "connections break");
	}
}

static void
on_group(void *arg, const PgReply *reply)
{
	Lane *lane = arg;

	if (reply->lost)
		on_group_lost(lane);
	else if (reply->result == NULL)
		on_group_error(lane, reply);
	else
		on_group_rows(lane, reply->result);
	loop_at_turn_end(&lane->task);
}

static void
lane_run(void *arg)
{
	Lane *lane = arg;

	if (lane->group_count > 0 || lane->queue == NULL ||
		!pgconn_is_ready(lane->pg))
		return;
	gather(lane);
	if (lane->group_count == 0)
		return;
	if (writer_send(lane->pg, lane->group, lane->group_count, &lane->dialects,
					on_group, lane) != STATUS_OK)
	{
		ungather(lane);
		return;
	}
	for (int i = 0; i < lane->group_count; i++)
		lane->group[i]->in_flight = true;
}

/* ---- for the sessions ---- */

Status
writer_submit(PushStream *stream, const char *text, size_t len,
			  PushSettled settled, void *arg, Push **out)
{
	Push *push;
	Lane *lane = lane_of(stream);

	if (push_count >= queue_max || push_bytes + len > QUEUE_MAX_BYTES)
	{
		metrics_count(METRIC_PUSHES_REFUSED);
		return STATUS_AGAIN;
	}
	metrics_count(METRIC_PUSHES);
	push = alloc_resize(NULL, sizeof(Push) + len);
	memset(push, 0, sizeof(Push));
	push->stream = stream;
	stream->refs++;
	push->settled = settled;
	push->arg = arg;
	push->since_ms = loop_now_ms();
	push->since_us = metrics_now_us();
	push->len = len;
	memcpy(push->text, text, len);
	DL_APPEND2(by_age, push, age_prev, age_next);
	push_count++;
	push_bytes += len;
	if (stream->slow != NULL)
		push_link(&stream->held, push);
	else
	{
		push_link(&lane->queue, push);
		loop_at_turn_end(&lane->task);
	}
	*out = push;
	return STATUS_OK;
}

void
writer_forget(Push *push)
{
	push->settled = NULL;
}

void
writer_resume(PushStream *stream)
{
	Lane *lane = lane_of(stream);

	/*
	 * Before the queue: they are older than anything of their session there.
	 * From the last to the first, so that their order stays.
	 */
	while (stream->held != NULL)
	{
		Push *last = stream->held->prev;

		push_unlink(last);
		DL_PREPEND(lane->queue, last);
		last->list = &lane->queue;
	}
	loop_at_turn_end(&lane->task);
}

/* ---- start, stop, time ---- */

static void
on_ready(void *arg)
{
	Lane *lane = arg;

	loop_at_turn_end(&lane->task);
}

void
writer_init(const Config *config)
{
	queue_max = config->push_queue_max;
	wait_max_ms = config->push_wait_max_ms;
	lane_count = config->writers;
	lanes = alloc_zero((size_t) lane_count * sizeof(Lane));
	for (int i = 0; i < lane_count; i++)
	{
		PgSpec spec = {.name = lanes[i].name,
					   .statements = statements,
					   .lock_timeout_ms = config->fast_lock_timeout_ms,
					   .on_ready = on_ready,
					   .arg = &lanes[i]};

		snprintf(lanes[i].name, sizeof(lanes[i].name), "writer-%d", i);
		loop_task_init(&lanes[i].task, lane_run, &lanes[i]);
		lanes[i].pg = pgconn_new(&spec);
	}
	slowlane_init(config);
}

void
writer_start(void)
{
	for (int i = 0; i < lane_count; i++)
		pgconn_start(lanes[i].pg);
}

void
writer_rest(void)
{
	slowlane_rest();
	for (int i = 0; i < lane_count; i++)
		pgconn_rest(lanes[i].pg);
}

void
writer_release(void)
{
	slowlane_release();
	for (int i = 0; i < lane_count; i++)
	{
		loop_task_cancel(&lanes[i].task);
		pgconn_free(lanes[i].pg);
	}
	while (by_age != NULL)
		push_free(by_age);
	free(lanes);
	lanes = NULL;
	lane_count = 0;
}

void
writer_set_max_batches(int max)
{
	if (max >= 1 && max < GROUP_MAX)
		max_batches = max;
}

void
writer_metrics(void)
{
	int64_t age_ms = by_age != NULL ? loop_now_ms() - by_age->since_ms : 0;

	metrics_set(METRIC_PUSH_QUEUE_MESSAGES, (uint64_t) push_count);
	metrics_set(METRIC_PUSH_QUEUE_BYTES, push_bytes);
	metrics_set(METRIC_PUSH_OLDEST, (uint64_t) age_ms);
}

bool
writer_is_idle(void)
{
	return push_count == 0;
}

bool
writer_is_ready(void)
{
	for (int i = 0; i < lane_count; i++)
		if (!pgconn_is_ready(lanes[i].pg))
			return false;
	return true;
}

/*
 * Answers one push that waited too long.  If it is at the database it stays
 * until that has answered: its place in the group counts.
 */
static void
expire(Push *push)
{
	Verdict verdict = {.kind = VERDICT_UNAVAILABLE, .reason = unavailable};
	PushStream *stream = push->stream;
	bool was_slow = push->list == &stream->slow;

	if (push->in_flight)
	{
		push->given_up = true;
		metrics_count(METRIC_PUSHES_GIVEN_UP);
		tell(push, &verdict);
		return;
	}
	stream->refs++;
	push_unlink(push);
	writer_give_up(push, "waited too long");
	if (was_slow)
		slowlane_gone(stream);
	push_stream_unref(stream);
}

void
writer_tick(int64_t now_ms)
{
	Push *push, *next;

	DL_FOREACH_SAFE2(by_age, push, next, age_next)
	{
		if (now_ms - push->since_ms < wait_max_ms)
			break;
		if (!push->given_up)
			expire(push);
	}
	slowlane_tick();
}
