/*
 * feed.c
 *     Feeds: their heads, and the lock that orders their changes.
 *
 * Owns mirusync.feed; nobody else writes it.
 *
 * Promise: for one feed, committed changes carry 1, 2, 3 ... without a hole,
 * and a reader who has seen N never later finds a change up to N that he has
 * not seen.
 *
 * A sequence cannot give this: it leaves holes on abort, and hands out
 * numbers before the order of commits is known.  Here the head stands in the
 * feed's row, and the row is locked from before the first number is taken
 * until the transaction has ended.  An abort takes head and numbers back
 * together.  Whoever gets the lock next sees the head that was committed, so
 * the order of numbers is the order of commits.
 *
 * Locks: flush takes them in the order of strcmp, after all rows, and locks
 * nothing else afterwards, so two flushes cannot wait for each other.
 *
 * The lock is taken below the executor, on the latest version of the row
 * whatever the isolation level: a REPEATABLE READ transaction that changes
 * another record of the feed has no conflict with anybody, and an UPDATE of
 * this row through SQL would refuse it all the same.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "compat.h"
#include "feed.h"
#include "miscadmin.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/snapmgr.h"

/*
 * current_epoch names the history in which numbers are given out now.  A
 * restored or promoted server has another one, and knows by it that a device
 * may have seen numbers that no longer exist here.
 */
static char *
current_epoch(void)
{
	return psprintf(UINT64_FORMAT "-%u", GetSystemIdentifier(),
					GetWALInsertionTimeLine());
}

/* find_latest puts a committed version of the feed into the slot. */
static bool
find_latest(Relation heap, const char *name, TupleTableSlot *slot)
{
	Relation index = index_open(miru_table_oid("feed_pkey"), AccessShareLock);
	IndexScanDesc scan;
	ScanKeyData key;
	bool found;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(name));
	scan = miru_index_beginscan(heap, index, SnapshotSelf, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		ExecMaterializeSlot(slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return found;
}

/*
 * lock_existing locks the feed's row and copies its newest version; NULL if
 * there is no such row, or if it was replaced just as we looked: create()
 * then finds it, and the caller looks again.
 */
static HeapTuple
lock_existing(Relation heap, MiruFeed *feed)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	HeapTuple row = NULL;
	bool done = false;

	while (!done)
	{
		ItemPointerData tid;
		TM_FailureData failure;
		TM_Result result;

		if (!find_latest(heap, feed->name, slot))
			done = true;
		else
		{
			tid = slot->tts_tid;
			result = table_tuple_lock(heap, &tid, SnapshotSelf, slot,
									  GetCurrentCommandId(false),
									  LockTupleNoKeyExclusive, LockWaitBlock,
									  TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
									  &failure);
			if (result == TM_Ok)
			{
				row = ExecCopySlotHeapTuple(slot);
				done = true;
			}
			/* Deleted meanwhile: look again, it may have been made anew. */
			else if (result != TM_Deleted && result != TM_Updated)
				elog(ERROR, "unexpected result of locking a feed: %d",
					 (int) result);
		}
		CHECK_FOR_INTERRUPTS();
	}
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

/*
 * create inserts the feed's row with head 0, unless somebody else does; then
 * it waits until that one has committed or not.  Either way the caller looks
 * again.  This is what INSERT ... ON CONFLICT DO NOTHING does, but for the
 * serialization failure that it would raise in REPEATABLE READ.
 */
static void
create(Relation heap, MiruFeed *feed)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	ItemPointerData conflict;

	InitResultRelInfo(info, heap, 0, NULL, 0);
	ExecOpenIndices(info, true);

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, FEED_COLUMNS * sizeof(bool));
	slot->tts_values[FEED_NAME - 1] = CStringGetTextDatum(feed->name);
	slot->tts_values[FEED_HEAD - 1] = Int64GetDatum(0);
	slot->tts_values[FEED_FLOOR - 1] = Int64GetDatum(0);
	slot->tts_values[FEED_CHANGED_AT - 1] = TimestampTzGetDatum(
		feed->changed_at);
	slot->tts_values[FEED_EPOCH - 1] = CStringGetTextDatum(current_epoch());
	slot->tts_values[FEED_EPOCH_HEAD - 1] = Int64GetDatum(0);
	ExecStoreVirtualTuple(slot);

	if (miru_check_index_constraints(info, slot, estate, &conflict))
	{
		TransactionId xid = GetCurrentTransactionId();
		uint32 token = SpeculativeInsertionLockAcquire(xid);
		bool lost = false;

		table_tuple_insert_speculative(heap, slot, GetCurrentCommandId(true), 0,
									   NULL, token);
		miru_insert_index_tuples(info, slot, estate, &lost);
		table_tuple_complete_speculative(heap, slot, token, !lost);
		SpeculativeInsertionLockRelease(xid);
		CommandCounterIncrement();
	}
	ExecCloseIndices(info);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

void
miru_feed_lock(MiruTable *table, MiruFeed *feed, char *name, TimestampTz now)
{
	bool isnull;
	TupleDesc desc = RelationGetDescr(table->heap);
	HeapTuple row;
	TimestampTz stored;

	feed->name = name;
	feed->group = -1;
	feed->changed_at = now;
	while ((row = lock_existing(table->heap, feed)) == NULL)
		create(table->heap, feed);

	feed->tid = row->t_self;
	feed->head = feed->locked_head = DatumGetInt64(
		heap_getattr(row, FEED_HEAD, desc, &isnull));
	stored = DatumGetTimestampTz(
		heap_getattr(row, FEED_CHANGED_AT, desc, &isnull));
	/* Times of a feed never go back: seq_before() relies on it. */
	feed->changed_at = Max(now, stored);
}

void
miru_feed_store(MiruTable *table, MiruFeed *feed)
{
	Datum values[FEED_COLUMNS];
	bool nulls[FEED_COLUMNS];
	TupleTableSlot *slot;
	HeapTuple row;
	char *epoch;

	if (feed->head == feed->locked_head)
		return;
	epoch = current_epoch();
	slot = table_slot_create(table->heap, NULL);
	/* Ours to the end of the transaction, so it is still there. */
	if (!table_tuple_fetch_row_version(table->heap, &feed->tid, SnapshotAny,
									   slot))
		elog(ERROR, "row of a locked feed was not found");
	row = ExecFetchSlotHeapTuple(slot, false, NULL);
	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	values[FEED_HEAD - 1] = Int64GetDatum(feed->head);
	values[FEED_CHANGED_AT - 1] = TimestampTzGetDatum(feed->changed_at);
	if (strcmp(epoch, TextDatumGetCString(values[FEED_EPOCH - 1])) != 0)
	{
		values[FEED_EPOCH - 1] = CStringGetTextDatum(epoch);
		values[FEED_EPOCH_HEAD - 1] = Int64GetDatum(feed->locked_head);
	}
	miru_table_update(table, row, values, nulls);
	ExecDropSingleTupleTableSlot(slot);
}

bool
miru_feed_read(const char *name, Snapshot snapshot, int64 *head, char **epoch)
{
	MiruTable table = miru_table_open("feed", false);
	HeapTuple row = miru_table_find(&table, "feed_pkey", &name, 1, snapshot);

	*head = 0;
	*epoch = NULL;
	if (row != NULL)
	{
		TupleDesc desc = RelationGetDescr(table.heap);
		bool isnull;

		*head = DatumGetInt64(heap_getattr(row, FEED_HEAD, desc, &isnull));
		*epoch = TextDatumGetCString(
			heap_getattr(row, FEED_EPOCH, desc, &isnull));
	}
	miru_table_close(&table);
	return row != NULL;
}
