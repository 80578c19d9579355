/*
 * backfill.c
 *     Numbering the rows of a large table while the application writes.
 *
 * Owns mirusync.backfill and mirusync.backfill_feed; nobody else writes them.
 *
 * attach() with backfill => false puts the triggers on a table and leaves its
 * rows alone.  The collection is open then: it has a row in mirusync.backfill.
 * backfill() serves it feed by feed.  To serve a feed is to note all its rows
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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "attached.h"
#include "backfill.h"
#include "capture.h"
#include "feed_job.h"
#include "feed_rows.h"
#include "isolate.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(mirusync_backfill);

/* Columns of mirusync.backfill. */
enum
{
	BACKFILL_COLLECTION = 1,
	BACKFILL_STARTED_AT,
	BACKFILL_LAST_AT,
	BACKFILL_FEEDS_TOTAL,
	BACKFILL_FEEDS_DONE,
	BACKFILL_ROWS_DONE,
	BACKFILL_COLUMNS = BACKFILL_ROWS_DONE
};

/* Columns of mirusync.backfill_feed. */
enum
{
	MARK_FEED = 1,
	MARK_COLLECTION,
	MARK_SERVED,
	MARK_COLUMNS = MARK_SERVED
};

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
	TimestampTz started_at; /* tells this backfill from another; 0: not yet */
	int64 feeds;			/* served in this transaction */
	int64 rows;
	int64 feeds_done; /* in all */
	int64 rows_done;
	int64 feeds_total;
	TimestampTz told_at;
} Backfill;

/* ----- marks ----- */

/* find_mark returns the feed's mark, NULL if it has none. */
static HeapTuple
find_mark(MiruTable *table, const char *collection, const char *feed,
		  bool *served)
{
	const char *key[] = {feed, collection};
	HeapTuple row = miru_table_find(table, "backfill_feed_pkey", key, 2,
									SnapshotSelf);
	bool isnull;

	*served = row != NULL &&
		DatumGetBool(heap_getattr(row, MARK_SERVED,
								  RelationGetDescr(table->heap), &isnull));
	return row;
}

/* store_mark marks a feed, in place of the mark that it has. */
static void
store_mark(MiruTable *table, HeapTuple old, const char *collection,
		   const char *feed, bool served)
{
	Datum values[MARK_COLUMNS];
	bool nulls[MARK_COLUMNS] = {false};

	values[MARK_FEED - 1] = CStringGetTextDatum(feed);
	values[MARK_COLLECTION - 1] = CStringGetTextDatum(collection);
	values[MARK_SERVED - 1] = BoolGetDatum(served);
	if (old == NULL)
		miru_table_insert(table, values, nulls);
	else
		miru_table_update(table, old, values, nulls);
	CommandCounterIncrement();
}

bool
miru_backfill_is_served(const char *collection, const char *feed, bool list)
{
	MiruTable table = miru_table_open("backfill_feed", list);
	bool served;

	if (find_mark(&table, collection, feed, &served) == NULL && list)
		store_mark(&table, NULL, collection, feed, false);
	miru_table_close(&table);
	return served;
}

void
miru_backfill_check_served(const char *collection, const char *feed)
{
	if (miru_backfill_is_served(collection, feed, false))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		 errmsg("feed \"%s\" does not have collection \"%s\" yet", feed,
				collection),
		 errdetail(
			 "The rows of its table are still being numbered, by mirusync.backfill().")));
}

/* listed_feeds returns some feeds that are listed as not served. */
static List *
listed_feeds(const char *collection)
{
	MiruTable table = miru_table_open("backfill_feed", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple row;
	List *feeds = NIL;

	ScanKeyInit(&keys[0], MARK_COLLECTION, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(collection));
	ScanKeyInit(&keys[1], MARK_SERVED, BTEqualStrategyNumber, F_BOOLEQ,
				BoolGetDatum(false));
	scan = systable_beginscan(table.heap, miru_table_oid("backfill_feed_to_do"),
							  true, snapshot, 2, keys);
	while (list_length(feeds) < FEED_JOB_CHUNK &&
		   HeapTupleIsValid(row = systable_getnext(scan)))
	{
		bool isnull;

		feeds =
			lappend(feeds,
					TextDatumGetCString(
						heap_getattr(row, MARK_FEED,
									 RelationGetDescr(table.heap), &isnull)));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return feeds;
}

/* ----- open collections ----- */

/*
 * delete_rows deletes the rows of a collection, in one of our tables.
 */
static void
delete_rows(const char *table_name, const char *index, AttrNumber column,
			const char *collection)
{
	Relation heap = table_open(miru_table_oid(table_name), RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple row;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(collection));
	scan = systable_beginscan(heap, miru_table_oid(index), true, NULL, 1, &key);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		CatalogTupleDelete(heap, &row->t_self);
	systable_endscan(scan);
	table_close(heap, NoLock);
	CommandCounterIncrement();
}

static void
delete_marks(const char *collection)
{
	delete_rows("backfill_feed", "backfill_feed_to_do", MARK_COLLECTION,
				collection);
}

void
miru_backfill_forget(const char *collection)
{
	delete_rows("backfill", "backfill_pkey", BACKFILL_COLLECTION, collection);
	delete_marks(collection);
}

void
miru_backfill_open(const char *collection)
{
	MiruTable table;
	Datum values[BACKFILL_COLUMNS] = {0};
	bool nulls[BACKFILL_COLUMNS] = {false};

	miru_backfill_forget(collection);
	table = miru_table_open("backfill", true);
	values[BACKFILL_COLLECTION - 1] = CStringGetTextDatum(collection);
	nulls[BACKFILL_STARTED_AT - 1] = true;
	nulls[BACKFILL_LAST_AT - 1] = true;
	nulls[BACKFILL_FEEDS_TOTAL - 1] = true;
	miru_table_insert(&table, values, nulls);
	miru_table_close(&table);
}

static HeapTuple
find_open(MiruTable *table, const char *collection)
{
	return miru_table_find(table, "backfill_pkey", &collection, 1,
						   SnapshotSelf);
}

bool
miru_backfill_is_open(const char *collection)
{
	MiruTable table;
	bool found;

	/* A new library may meet tables that are not updated yet. */
	if (!miru_table_exists("backfill"))
		return false;
	table = miru_table_open("backfill", false);
	found = find_open(&table, collection) != NULL;
	miru_table_close(&table);
	return found;
}

/* ----- serving ----- */

/*
 * check sees that the collection is open since we, or whose work we continue,
 * began.  Attached anew, it would be without a time.
 */
static void
check(MiruFeedJob *job)
{
	Backfill *backfill = job->state;
	MiruTable table;
	HeapTuple row;
	bool isnull = true;
	Datum at = 0;

	if (backfill->started_at == 0)
		return;
	table = miru_table_open("backfill", false);
	row = find_open(&table, backfill->collection);
	if (row != NULL)
		at = heap_getattr(row, BACKFILL_STARTED_AT,
						  RelationGetDescr(table.heap), &isnull);
	if (isnull || DatumGetTimestampTz(at) != backfill->started_at)
		miru_job_stale(job);
	miru_table_close(&table);
}

static bool
wants(MiruFeedJob *job, const char *feed)
{
	Backfill *backfill = job->state;

	return !miru_backfill_is_served(backfill->collection, feed, false);
}

static int64
serve(MiruFeedJob *job, const char *feed)
{
	Backfill *backfill = job->state;
	MiruTable table = miru_table_open("backfill_feed", true);
	bool served;
	HeapTuple mark = find_mark(&table, backfill->collection, feed, &served);
	int64 rows = 0;

	if (!served)
	{
		store_mark(&table, mark, backfill->collection, feed, true);
		rows = miru_capture_feed(job->rel, feed);
		backfill->feeds++;
		backfill->rows += rows;
	}
	miru_table_close(&table);
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
					what, backfill->collection, backfill->feeds_done,
					backfill->feeds_total, backfill->rows_done)));
}

/* note_progress adds what this transaction served to the stored counts. */
static void
note_progress(MiruFeedJob *job)
{
	Backfill *backfill = job->state;
	MiruTable table;
	Datum values[BACKFILL_COLUMNS];
	bool nulls[BACKFILL_COLUMNS];
	HeapTuple row;

	if (backfill->feeds == 0)
		return;
	table = miru_table_open("backfill", true);
	row = find_open(&table, backfill->collection);
	heap_deform_tuple(row, RelationGetDescr(table.heap), values, nulls);
	backfill->feeds_done = DatumGetInt64(values[BACKFILL_FEEDS_DONE - 1]) +
		backfill->feeds;
	backfill->rows_done = DatumGetInt64(values[BACKFILL_ROWS_DONE - 1]) +
		backfill->rows;
	values[BACKFILL_FEEDS_DONE - 1] = Int64GetDatum(backfill->feeds_done);
	values[BACKFILL_ROWS_DONE - 1] = Int64GetDatum(backfill->rows_done);
	values[BACKFILL_LAST_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[BACKFILL_LAST_AT - 1] = false;
	miru_table_update(&table, row, values, nulls);
	miru_table_close(&table);
	CommandCounterIncrement();
	backfill->feeds = backfill->rows = 0;
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
	MiruTable table = miru_table_open("backfill", true);
	HeapTuple row = find_open(&table, backfill->collection);
	Datum values[BACKFILL_COLUMNS];
	bool nulls[BACKFILL_COLUMNS];

	heap_deform_tuple(row, RelationGetDescr(table.heap), values, nulls);
	if (nulls[BACKFILL_FEEDS_TOTAL - 1])
	{
		values[BACKFILL_STARTED_AT - 1] = TimestampTzGetDatum(
			GetCurrentTimestamp());
		values[BACKFILL_FEEDS_TOTAL - 1] = Int64GetDatum(count_feeds(backfill));
		nulls[BACKFILL_STARTED_AT - 1] = nulls[BACKFILL_FEEDS_TOTAL - 1] =
			false;
		miru_table_update(&table, row, values, nulls);
	}
	backfill->started_at = DatumGetTimestampTz(values[BACKFILL_STARTED_AT - 1]);
	backfill->feeds_total = DatumGetInt64(values[BACKFILL_FEEDS_TOTAL - 1]);
	backfill->feeds_done = DatumGetInt64(values[BACKFILL_FEEDS_DONE - 1]);
	backfill->rows_done = DatumGetInt64(values[BACKFILL_ROWS_DONE - 1]);
	miru_table_close(&table);
}

/* ----- the end ----- */

static void
lock_table(void *relid)
{
	LockRelationOid(*(Oid *) relid, ShareRowExclusiveLock);
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
	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
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
		feeds = listed_feeds(backfill->collection);
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
		feeds = listed_feeds(backfill->collection);
		if (list_length(feeds) < FEED_JOB_CHUNK &&
			miru_job_visit_now(job, feeds))
		{
			delete_rows("backfill", "backfill_pkey", BACKFILL_COLLECTION,
						backfill->collection);
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
	backfill->started_at = 0;
	miru_job_begin(job);
	delete_marks(backfill->collection);
	miru_job_commit(job);
	ereport(NOTICE,
			(errmsg("collection \"%s\" is complete: " INT64_FORMAT
					" feeds, " INT64_FORMAT " rows",
					backfill->collection, backfill->feeds_done,
					backfill->rows_done)));
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
mirusync_backfill(PG_FUNCTION_ARGS)
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
