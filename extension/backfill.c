/*
 * backfill.c
 *     Numbering the rows of a large table while the application writes.
 *
 * attach() with backfill => false puts the triggers on a table and leaves its
 * rows alone.  The collection is open then (serving.c).  backfill() serves it
 * feed by feed.  To serve a feed is to note all its rows
 * of that table and to mark it, in one transaction, so a device gets all of
 * its collection at once.  From then on the feed is like any other.
 *
 * Until then what is written of the table in that feed gets no number: it
 * will be among the rows that are noted.  Flush asks for the mark under the
 * lock of the feed, and backfill takes that lock before it looks for rows:
 *
 *  - a writer whose flush came first has committed when we get the lock, and
 *    we see his row as he left it;
 *  - a writer whose flush comes later finds the mark, and a record of the row
 *    as it was before him if it was there.
 *
 * So no row is missed, and none is numbered twice.  A feed without a mark in
 * which flush finds a change is listed, as not served.  That is how feeds are
 * known that come into being behind us.
 *
 * At the end the table is locked against writers, for as long as it takes to
 * serve what was listed meanwhile, and the collection is no longer open.  A
 * writer who found it open has ended by then, because he holds a lock on the
 * table; the next one learns of it when he locks the table.  We wait for that
 * lock briefly and again and again, lest writers queue behind us while a long
 * transaction holds it.
 *
 * There is no list of the feeds to be served: the table's index gives them in
 * order, and the marks say which are done.  Making one would take a scan of
 * the table first, and a protocol for writing it beside flush.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "attached.h"
#include "capture.h"
#include "feed_job.h"
#include "feed_rows.h"
#include "isolate.h"
#include "miscadmin.h"
#include "partition.h"
#include "serving.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(mirusync_backfill_0_2);

/* How long the lock on the table is waited for, and how often. */
#define LOCK_WAIT		  "100ms"
#define LOCK_PAUSE_MS	  50
#define LOCK_PAUSE_MAX_MS 5000

/* How often progress is told. */
#define TELL_EVERY_MS 10000

typedef struct Backfill
{
	MiruFeedJob job;
	const char *collection;
	MiruProgress progress;
	bool moved; /* progress is not stored yet */
	TimestampTz told_at;
} Backfill;

/* ----- serving ----- */

/*
 * check sees that the collection is open since we, or whose work we continue,
 * began.  Attached anew, it would be without a time.
 */
static void
check(MiruFeedJob *job)
{
	Backfill *backfill = job->state;
	MiruProgress now;

	if (backfill->progress.started_at == 0)
		return;
	if (!miru_serving_progress(backfill->collection, &now) ||
		now.started_at != backfill->progress.started_at)
		miru_job_stale(job);
}

static bool
wants(MiruFeedJob *job, const char *feed)
{
	Backfill *backfill = job->state;

	return !miru_serving_is_served(backfill->collection, feed, false);
}

static int64
serve(MiruFeedJob *job, const char *feed)
{
	Backfill *backfill = job->state;
	int64 rows;

	if (!miru_serving_mark(backfill->collection, feed))
		return 0;
	rows = miru_capture_feed(job->rel, feed);
	backfill->progress.feeds_done++;
	backfill->progress.rows_done += rows;
	backfill->moved = true;
	return rows;
}

static void
tell(Backfill *backfill, const char *what)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(backfill->told_at, now, TELL_EVERY_MS))
		return;
	backfill->told_at = now;
	ereport(NOTICE,
			(errmsg("%s collection \"%s\": " INT64_FORMAT " of " INT64_FORMAT
					" feeds, " INT64_FORMAT " rows",
					what, backfill->collection, backfill->progress.feeds_done,
					backfill->progress.feeds_total,
					backfill->progress.rows_done)));
}

/* note_progress stores how far this transaction came. */
static void
note_progress(MiruFeedJob *job)
{
	Backfill *backfill = job->state;

	if (!backfill->moved)
		return;
	miru_serving_set_progress(backfill->collection, &backfill->progress);
	backfill->moved = false;
	tell(backfill, "backfilling");
}

/* count_feeds counts the feeds that the table has rows of. */
static int64
count_feeds(Backfill *backfill)
{
	MiruFeedJob *job = &backfill->job;
	char *after = NULL;
	int64 count = 0;
	List *feeds;

	do
	{
		MemoryContextReset(job->chunk);
		MemoryContextSwitchTo(job->chunk);
		feeds = miru_feed_rows_feeds(job->rel, after, FEED_JOB_CHUNK);
		MemoryContextSwitchTo(job->batch);
		count += list_length(feeds);
		if (feeds != NIL)
			after = pstrdup(llast(feeds));
	} while (feeds != NIL);
	return count;
}

/* note_begin notes when it began and how much there is to be done. */
static void
note_begin(Backfill *backfill)
{
	MiruProgress progress;

	(void) miru_serving_progress(backfill->collection, &progress);
	if (progress.started_at == 0)
	{
		progress.started_at = GetCurrentTimestamp();
		progress.feeds_total = count_feeds(backfill);
		miru_serving_set_progress(backfill->collection, &progress);
	}
	backfill->progress = progress;
}

/* ----- the end ----- */

/* lock_table locks its partitions too: who writes into one locks only that. */
static void
lock_table(void *arg)
{
	Oid relid = *(Oid *) arg;

	LockRelationOid(relid, ShareRowExclusiveLock);
	(void) miru_partition_leaves(relid, ShareRowExclusiveLock);
}

/* try_lock_table locks the table against writers, if it can be had soon. */
static bool
try_lock_table(Oid relid)
{
	int settings = NewGUCNestLevel();
	ErrorData *error;

	(void) set_config_option("lock_timeout", LOCK_WAIT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	error = miru_run_isolated(lock_table, &relid);
	AtEOXact_GUC(true, settings);
	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	return error == NULL;
}

/* serve_listed serves what was listed so far, without a lock on the table. */
static void
serve_listed(Backfill *backfill)
{
	MiruFeedJob *job = &backfill->job;
	List *feeds;

	do
	{
		MemoryContextReset(job->chunk);
		miru_job_begin(job);
		MemoryContextSwitchTo(job->chunk);
		feeds = miru_serving_listed(backfill->collection, FEED_JOB_CHUNK);
		miru_job_commit(job);
		miru_job_visit_feeds(job, feeds);
		miru_job_visit_busy(job);
	} while (feeds != NIL);
}

/* try_close serves the last feeds and closes the collection, if it can. */
static bool
try_close(Backfill *backfill)
{
	MiruFeedJob *job = &backfill->job;
	bool closed = false;
	List *feeds;

	miru_job_begin(job);
	if (try_lock_table(job->relid))
	{
		feeds = miru_serving_listed(backfill->collection, FEED_JOB_CHUNK);
		if (list_length(feeds) < FEED_JOB_CHUNK &&
			miru_job_visit_now(job, feeds))
		{
			miru_serving_close(backfill->collection);
			CacheInvalidateRelcacheByRelid(job->relid);
			miru_registry_written();
			closed = true;
		}
	}
	miru_job_commit(job);
	return closed;
}

static void
pause_for(int ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
finish(Backfill *backfill)
{
	MiruFeedJob *job = &backfill->job;
	int pause_ms = LOCK_PAUSE_MS;

	for (;;)
	{
		serve_listed(backfill);
		if (try_close(backfill))
			break;
		tell(backfill, "waiting for writers of");
		pause_for(pause_ms);
		pause_ms = Min(2 * pause_ms, LOCK_PAUSE_MAX_MS);
	}
	/* They mean nothing any more, so this may take its time. */
	backfill->progress.started_at = 0;
	miru_job_begin(job);
	miru_serving_forget_marks(backfill->collection);
	miru_job_commit(job);
	ereport(NOTICE,
			(errmsg("collection \"%s\" is complete: " INT64_FORMAT
					" feeds, " INT64_FORMAT " rows",
					backfill->collection, backfill->progress.feeds_done,
					backfill->progress.rows_done)));
}

/* open_collection finds what is to be done; false: nothing. */
static bool
open_collection(Backfill *backfill)
{
	MiruFeedJob *job = &backfill->job;
	MiruRelation *rel;

	miru_job_begin(job);
	rel = job->rel;
	if (rel->collection != NULL)
		backfill->collection = MemoryContextStrdup(job->context,
												   rel->collection);
	if (!rel->backfilling)
	{
		ereport(NOTICE, (errmsg("table %s is complete", rel->qualified_name)));
		miru_job_commit(job);
		return false;
	}
	note_begin(backfill);
	miru_job_commit(job);
	return true;
}

/* mirusync.backfill(relation, batch_rows) */
Datum
mirusync_backfill_0_2(PG_FUNCTION_ARGS)
{
	Backfill backfill = {0};
	MiruFeedJob *job = &backfill.job;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("arguments of %s must not be null",
						"mirusync.backfill()")));
	job->procedure = "mirusync.backfill()";
	job->relid = PG_GETARG_OID(0);
	job->batch_rows = PG_GETARG_INT32(1);
	job->check = check;
	job->wants = wants;
	job->visit = serve;
	job->done = note_progress;
	job->state = &backfill;
	backfill.told_at = GetCurrentTimestamp();

	miru_job_start(job, fcinfo);
	if (open_collection(&backfill))
	{
		miru_job_visit_table(job);
		miru_job_visit_busy(job);
		finish(&backfill);
	}
	miru_job_end(job);
	PG_RETURN_VOID();
}
