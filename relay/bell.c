/*
 * bell.c
 *		Rings for the other relays after our commits, coalesced.
 *
 * Owns the ring connection and the set of feeds that moved and were not rung
 * for.
 *
 * Why a connection of its own: a transaction that notifies does not share its
 * commit with others, so the rings must not stand in the writers' way.  At
 * most one ring is in flight, and after one there is a pause: each wakes every
 * relay and their backends, this one's too.  What moves meanwhile is gathered for
 * the next.  So a change that comes alone is rung for at once.
 *
 * Failure: a lost ring costs latency only, the other relays poll the heads.
 * So a failed ring is not repeated, and while the connection is down only so
 * many feeds are remembered.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "bell.h"

#include <uthash.h>

#include "alloc.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "pgarray.h"
#include "pgconn.h"

#define GATHERED_MAX 4096 /* feeds; beyond that the poll has to do */
#define PAUSE_MS	 10	  /* between two rings */
#define PIDS_KEPT	 4	  /* backends whose rings may still arrive */

typedef struct Moved
{
	UT_hash_handle hh;
	char feed[];
} Moved;

static const PgStatement ring_statement = {"ring",
										   "select mirusync.ring($1)",
										   1,
										   {PG_TEXT_ARRAY}};
static const PgStatement *const statements[] = {&ring_statement, NULL};

static PgConn *pg;
static Moved *moved;
static TurnTask task;
static uv_timer_t pause_end;
static int64_t next_ring_ms;
static bool hurried;
static int pids[PIDS_KEPT];
static int next_pid;

static void
on_pause_end(uv_timer_t *handle)
{
	(void) handle;
	loop_at_turn_end(&task);
}

static void
on_rung(void *arg, const PgReply *reply)
{
	static LogLimit complaint;

	(void) arg;
	if (reply->result == NULL && !reply->lost)
		log_limited(&complaint, LOG_LEVEL_WARN, "ring failed sqlstate=%s",
					reply->sqlstate);
	if (moved != NULL)
		loop_at_turn_end(&task);
}

static void
forget_all(void)
{
	Moved *m, *next;

	HASH_ITER(hh, moved, m, next)
	{
		HASH_DEL(moved, m);
		free(m);
	}
}

static void
ring(void *arg)
{
	PgArray feeds;
	PgParams params = {0};
	Moved *m, *next;

	(void) arg;
	if (moved == NULL || !pgconn_is_ready(pg) || pgconn_in_flight(pg) > 0)
		return;
	if (loop_now_ms() < next_ring_ms && !hurried)
	{
		if (!uv_is_active((uv_handle_t *) &pause_end))
			uv_timer_start(&pause_end, on_pause_end,
						   (uint64_t) (next_ring_ms - loop_now_ms()), 0);
		return;
	}
	pgarray_init(&feeds);
	HASH_ITER(hh, moved, m, next)
		pgarray_add(&feeds, m->feed, strlen(m->feed));
	pgarray_bind(&feeds, &params, 0);
	if (pgconn_send(pg, &ring_statement, &params, on_rung, NULL) == STATUS_OK)
	{
		metrics_count(METRIC_DOORBELLS_SENT);
		next_ring_ms = loop_now_ms() + PAUSE_MS;
		forget_all();
	}
	pgarray_release(&feeds);
}

static void
on_ready(void *arg)
{
	(void) arg;
	pids[next_pid++ % PIDS_KEPT] = pgconn_backend_pid(pg);
	loop_at_turn_end(&task);
}

void
bell_init(void)
{
	PgSpec spec = {.name = "bell",
				   .direct = true,
				   .statements = statements,
				   .on_ready = on_ready};

	loop_task_init(&task, ring, NULL);
	uv_timer_init(loop_uv(), &pause_end);
	pg = pgconn_new(&spec);
}

void
bell_start(void)
{
	pgconn_start(pg);
}

void
bell_rest(void)
{
	pgconn_rest(pg);
	/* Nobody listens: none of its rings is still to come, and another's
	 * backend may get its number. */
	memset(pids, 0, sizeof(pids));
}

bool
bell_is_idle(void)
{
	return moved == NULL && pgconn_in_flight(pg) == 0;
}

void
bell_release(void)
{
	forget_all();
	loop_task_cancel(&task);
	uv_close((uv_handle_t *) &pause_end, NULL);
	pgconn_free(pg);
	pg = NULL;
}

void
bell_note(const char *feed)
{
	Moved *m;
	size_t len = strlen(feed);

	HASH_FIND(hh, moved, feed, len, m);
	if (m != NULL || HASH_COUNT(moved) >= GATHERED_MAX)
		return;
	m = alloc_zero(sizeof(Moved) + len + 1);
	memcpy(m->feed, feed, len);
	HASH_ADD(hh, moved, feed[0], len, m);
	loop_at_turn_end(&task);
}

void
bell_hurry(void)
{
	hurried = true;
	loop_at_turn_end(&task);
}

bool
bell_is_ours(int backend_pid)
{
	for (int i = 0; i < PIDS_KEPT; i++)
		if (backend_pid != 0 && pids[i] == backend_pid)
			return true;
	return false;
}
