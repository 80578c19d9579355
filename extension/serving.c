/*
 * serving.c
 *     Which feeds have a collection, while its table is being backfilled.
 *
 * Owns mirusync.backfill and mirusync.backfill_feed; nobody else writes them.
 *
 * A collection is open as long as some feed may lack it; then it has a row in
 * mirusync.backfill, which also says how far backfill is.  A feed that has it
 * is marked in mirusync.backfill_feed.  One in which flush finds a change, and
 * that is not marked, is listed there as not served.  What that is good for is
 * said in backfill.c.
 *
 * Marks are written under the lock of their feed only, so a writer never meets
 * another one.  The row of the collection is written by who attaches the
 * table or backfills it, one at a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "registry.h"
#include "serving.h"
#include "table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

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
miru_serving_is_served(const char *collection, const char *feed, bool list)
{
	MiruTable table = miru_table_open("backfill_feed", list);
	bool served;

	if (find_mark(&table, collection, feed, &served) == NULL && list)
		store_mark(&table, NULL, collection, feed, false);
	miru_table_close(&table);
	return served;
}

bool
miru_serving_mark(const char *collection, const char *feed)
{
	MiruTable table = miru_table_open("backfill_feed", true);
	bool served;
	HeapTuple mark = find_mark(&table, collection, feed, &served);

	if (!served)
		store_mark(&table, mark, collection, feed, true);
	miru_table_close(&table);
	return !served;
}

void
miru_serving_check_served(const char *collection, const char *feed)
{
	if (miru_serving_is_served(collection, feed, false))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		 errmsg("feed \"%s\" does not have collection \"%s\" yet", feed,
				collection),
		 errdetail(
			 "The rows of its table are still being numbered, by mirusync.backfill().")));
}

List *
miru_serving_listed(const char *collection, int limit)
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
	while (list_length(feeds) < limit &&
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
	{
		CHECK_FOR_INTERRUPTS();
		CatalogTupleDelete(heap, &row->t_self);
	}
	systable_endscan(scan);
	table_close(heap, NoLock);
	CommandCounterIncrement();
}

void
miru_serving_forget_marks(const char *collection)
{
	delete_rows("backfill_feed", "backfill_feed_to_do", MARK_COLLECTION,
				collection);
}

void
miru_serving_forget(const char *collection)
{
	delete_rows("backfill", "backfill_pkey", BACKFILL_COLLECTION, collection);
	miru_serving_forget_marks(collection);
}

void
miru_serving_open(const char *collection)
{
	MiruTable table;
	Datum values[BACKFILL_COLUMNS] = {0};
	bool nulls[BACKFILL_COLUMNS] = {false};

	miru_serving_forget(collection);
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
miru_serving_is_open(const char *collection)
{
	MiruTable table;
	bool found;

	table = miru_table_open("backfill", false);
	found = find_open(&table, collection) != NULL;
	miru_table_close(&table);
	return found;
}

/* ----- how far it is ----- */

bool
miru_serving_progress(const char *collection, MiruProgress *progress)
{
	MiruTable table = miru_table_open("backfill", false);
	HeapTuple row = find_open(&table, collection);
	Datum values[BACKFILL_COLUMNS];
	bool nulls[BACKFILL_COLUMNS];

	memset(progress, 0, sizeof(MiruProgress));
	if (row != NULL)
	{
		heap_deform_tuple(row, RelationGetDescr(table.heap), values, nulls);
		if (!nulls[BACKFILL_STARTED_AT - 1])
			progress->started_at = DatumGetTimestampTz(
				values[BACKFILL_STARTED_AT - 1]);
		if (!nulls[BACKFILL_FEEDS_TOTAL - 1])
			progress->feeds_total = DatumGetInt64(
				values[BACKFILL_FEEDS_TOTAL - 1]);
		progress->feeds_done = DatumGetInt64(values[BACKFILL_FEEDS_DONE - 1]);
		progress->rows_done = DatumGetInt64(values[BACKFILL_ROWS_DONE - 1]);
	}
	miru_table_close(&table);
	return row != NULL;
}

void
miru_serving_set_progress(const char *collection, const MiruProgress *progress)
{
	MiruTable table = miru_table_open("backfill", true);
	HeapTuple row = find_open(&table, collection);
	Datum values[BACKFILL_COLUMNS];
	bool nulls[BACKFILL_COLUMNS] = {false};

	if (row == NULL)
		elog(ERROR, "collection \"%s\" is not open", collection);
	values[BACKFILL_COLLECTION - 1] = CStringGetTextDatum(collection);
	values[BACKFILL_STARTED_AT - 1] = TimestampTzGetDatum(progress->started_at);
	values[BACKFILL_LAST_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[BACKFILL_FEEDS_TOTAL - 1] = Int64GetDatum(progress->feeds_total);
	values[BACKFILL_FEEDS_DONE - 1] = Int64GetDatum(progress->feeds_done);
	values[BACKFILL_ROWS_DONE - 1] = Int64GetDatum(progress->rows_done);
	miru_table_update(&table, row, values, nulls);
	miru_table_close(&table);
	CommandCounterIncrement();
}

void
miru_serving_close(const char *collection)
{
	delete_rows("backfill", "backfill_pkey", BACKFILL_COLLECTION, collection);
}
