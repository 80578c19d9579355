/*
 * feed.c
 *     Feeds: their heads, and the lock that orders their changes.
 *
 * Owns mirusync.feed and mirusync.feed_epoch; nobody else writes them.
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
 * nothing else afterwards, so two flushes cannot wait for each other.  A job
 * that goes through many feeds (feed_job.c) takes them before, but never waits
 * for one while it holds another.
 *
 * The lock is taken below the executor, on the latest version of the row
 * whatever the isolation level: a REPEATABLE READ transaction that changes
 * another record of the feed has no conflict with anybody, and an UPDATE of
 * this row through SQL would refuse it all the same.
 *
 * A feed is numbered in the epoch of the database (epoch.c), or in one of its
 * own that is later (forget.c).  With which head an epoch began in a feed is
 * noted when its first number is taken there; until then nothing of the feed
 * can have been lost, and feeds that do not move cost nothing.  A cursor of
 * an earlier epoch that lies above that head has seen what is lost; one that
 * lies below the floor has not seen deletes whose tombstones are gone (trim.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "chain.h"
#include "compat.h"
#include "cursor.h"
#include "epoch.h"
#include "feed.h"
#include "miscadmin.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of mirusync.feed_epoch. */
enum
{
	FEED_EPOCH_FEED = 1,
	FEED_EPOCH_EPOCH,
	FEED_EPOCH_HEAD,
	FEED_EPOCH_COLUMNS = FEED_EPOCH_HEAD
};

/*
 * find_epoch_after finds the feed's first epoch after "epoch", NULL if there
 * is none.
 */
static HeapTuple
find_epoch_after(MiruTable *table, const char *name, int32 epoch,
				 Snapshot snapshot)
{
	Relation index = index_open(miru_table_oid("feed_epoch_pkey"),
								AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table->heap, NULL);
	HeapTuple row = NULL;
	ScanKeyData keys[2];
	IndexScanDesc scan;

	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(name));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT4GT,
				Int32GetDatum(epoch));
	scan = miru_index_beginscan(table->heap, index, snapshot, 2);
	index_rescan(scan, keys, 2, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		row = ExecCopySlotHeapTuple(slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return row;
}

static int32
get_epoch(const MiruTable *table, HeapTuple row)
{
	bool isnull;

	return DatumGetInt32(heap_getattr(row, FEED_EPOCH_EPOCH,
									  RelationGetDescr(table->heap), &isnull));
}

/*
 * note_epoch notes the head with which an epoch begins in a feed.  It may be
 * there already if somebody has emptied mirusync.feed alone.
 */
static void
note_epoch(const char *name, int32 epoch, int64 head)
{
	MiruTable table = miru_table_open("feed_epoch", true);
	HeapTuple there = find_epoch_after(&table, name, epoch - 1, SnapshotSelf);
	Datum values[FEED_EPOCH_COLUMNS];
	bool nulls[FEED_EPOCH_COLUMNS] = {false};

	if (there == NULL || get_epoch(&table, there) != epoch)
	{
		values[FEED_EPOCH_FEED - 1] = CStringGetTextDatum(name);
		values[FEED_EPOCH_EPOCH - 1] = Int32GetDatum(epoch);
		values[FEED_EPOCH_HEAD - 1] = Int64GetDatum(head);
		miru_table_insert(&table, values, nulls);
	}
	miru_table_close(&table);
}

/* find puts a version of the feed into the slot: of SnapshotSelf a committed
 * one. */
static bool
find(Relation heap, const char *name, Snapshot snapshot, TupleTableSlot *slot)
{
	Relation index = index_open(miru_table_oid("feed_pkey"), AccessShareLock);
	IndexScanDesc scan;
	ScanKeyData key;
	bool found;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(name));
	scan = miru_index_beginscan(heap, index, snapshot, 1);
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
 * then finds it, and the caller looks again.  With LockWaitSkip also if
 * somebody else has the lock.
 */
static HeapTuple
lock_existing(Relation heap, MiruFeed *feed, LockWaitPolicy policy)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	HeapTuple row = NULL;
	bool done = false;

	while (!done)
	{
		ItemPointerData tid;
		TM_FailureData failure;
		TM_Result result;

		if (!find(heap, feed->name, SnapshotSelf, slot))
			done = true;
		else
		{
			tid = slot->tts_tid;
			result = table_tuple_lock(heap, &tid, SnapshotSelf, slot,
									  GetCurrentCommandId(false),
									  LockTupleNoKeyExclusive, policy,
									  TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
									  &failure);
			if (result == TM_Ok)
			{
				row = ExecCopySlotHeapTuple(slot);
				done = true;
			}
			else if (result == TM_WouldBlock)
				break;
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

static void
set_hash(const MiruFeed *feed, Datum *values, bool *nulls)
{
	nulls[FEED_HASH - 1] = !feed->chained;
	if (feed->chained)
		values[FEED_HASH - 1] = miru_seal_bytes(feed->hash, MIRU_HASH_SIZE);
}

/* get_hash is false if the feed's changes are not chained. */
static bool
get_hash(HeapTuple row, TupleDesc desc, uint8 hash[MIRU_HASH_SIZE])
{
	bool isnull;
	Datum value = heap_getattr(row, FEED_HASH, desc, &isnull);

	return !isnull && miru_seal_get(value, hash);
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

	feed->chained = miru_chain_default();
	memset(feed->hash, 0, MIRU_HASH_SIZE);
	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, FEED_COLUMNS * sizeof(bool));
	slot->tts_values[FEED_NAME - 1] = CStringGetTextDatum(feed->name);
	slot->tts_values[FEED_HEAD - 1] = Int64GetDatum(0);
	slot->tts_values[FEED_FLOOR - 1] = Int64GetDatum(0);
	slot->tts_values[FEED_CHANGED_AT - 1] = TimestampTzGetDatum(
		feed->changed_at);
	slot->tts_values[FEED_EPOCH - 1] = Int32GetDatum(feed->epoch);
	set_hash(feed, slot->tts_values, slot->tts_isnull);
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
		if (!lost)
			note_epoch(feed->name, feed->epoch, 0);
		CommandCounterIncrement();
	}
	ExecCloseIndices(info);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

void
miru_feed_lock(MiruTable *table, MiruFeed *feed, char *name, int32 epoch,
			   TimestampTz now)
{
	bool isnull;
	TupleDesc desc = RelationGetDescr(table->heap);
	HeapTuple row;
	TimestampTz stored;

	feed->name = name;
	feed->group = -1;
	feed->epoch = epoch;
	feed->changed_at = now;
	while ((row = lock_existing(table->heap, feed, LockWaitBlock)) == NULL)
		create(table->heap, feed);

	feed->tid = row->t_self;
	feed->head = feed->locked_head = DatumGetInt64(
		heap_getattr(row, FEED_HEAD, desc, &isnull));
	feed->locked_epoch = DatumGetInt32(
		heap_getattr(row, FEED_EPOCH, desc, &isnull));
	feed->epoch = Max(epoch, feed->locked_epoch);
	feed->floor = DatumGetInt64(heap_getattr(row, FEED_FLOOR, desc, &isnull));
	feed->chained = get_hash(row, desc, feed->hash);
	stored = DatumGetTimestampTz(
		heap_getattr(row, FEED_CHANGED_AT, desc, &isnull));
	/* Times of a feed never go back: seq_before() relies on it. */
	feed->changed_at = Max(now, stored);
}

int64
miru_feed_next_number(MiruFeed *feed)
{
	if (feed->head >= MIRU_NUMBER_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("feed \"%s\" has no number left", feed->name),
				 errdetail("A feed can have %u changes.", MIRU_NUMBER_MAX)));
	return ++feed->head;
}

/* read_locked reads the version of the feed's row that we have locked. */
static HeapTuple
read_locked(Relation heap, MiruFeed *feed)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	HeapTuple row;

	/* Ours to the end of the transaction, so it is still there. */
	if (!table_tuple_fetch_row_version(heap, &feed->tid, SnapshotAny, slot))
		elog(ERROR, "row of a locked feed was not found");
	row = ExecCopySlotHeapTuple(slot);
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

/* is_there tells whether a feed has a row, committed or not. */
static bool
is_there(Relation heap, const char *name)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	SnapshotData dirty;
	bool found;

	InitDirtySnapshot(dirty);
	found = find(heap, name, &dirty, slot);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

bool
miru_feed_try_lock(MiruTable *table, char *name)
{
	MiruFeed feed = {0};

	feed.name = name;
	feed.epoch = miru_epoch_current();
	feed.changed_at = GetCurrentTimestamp();
	if (lock_existing(table->heap, &feed, LockWaitSkip) != NULL)
		return true;
	if (is_there(table->heap, name))
		return false;
	create(table->heap, &feed);
	return lock_existing(table->heap, &feed, LockWaitSkip) != NULL;
}

void
miru_feed_store(MiruTable *table, MiruFeed *feed)
{
	Datum values[FEED_COLUMNS];
	bool nulls[FEED_COLUMNS];
	HeapTuple row;

	if (feed->head == feed->locked_head)
		return;
	row = read_locked(table->heap, feed);
	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	values[FEED_HEAD - 1] = Int64GetDatum(feed->head);
	values[FEED_CHANGED_AT - 1] = TimestampTzGetDatum(feed->changed_at);
	values[FEED_EPOCH - 1] = Int32GetDatum(feed->epoch);
	set_hash(feed, values, nulls);
	if (feed->epoch != feed->locked_epoch)
		note_epoch(feed->name, feed->epoch, feed->locked_head);
	miru_table_update(table, row, values, nulls);
}

void
miru_feed_set_chained(MiruTable *table, MiruFeed *feed, bool chained)
{
	Datum values[FEED_COLUMNS];
	bool nulls[FEED_COLUMNS];
	HeapTuple row = read_locked(table->heap, feed);

	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	feed->chained = chained;
	memset(feed->hash, 0, MIRU_HASH_SIZE);
	set_hash(feed, values, nulls);
	miru_table_update(table, row, values, nulls);
}

/* forget_epochs deletes what was noted of the feed's epochs. */
static void
forget_epochs(const char *name)
{
	MiruTable table = miru_table_open("feed_epoch", true);
	int32 epoch = MIRU_NO_EPOCH;
	HeapTuple row;

	while ((row = find_epoch_after(&table, name, epoch, SnapshotSelf)) != NULL)
	{
		epoch = get_epoch(&table, row);
		miru_table_delete(&table, row);
	}
	miru_table_close(&table);
}

void
miru_feed_restart(MiruTable *table, MiruFeed *feed)
{
	Datum values[FEED_COLUMNS];
	bool nulls[FEED_COLUMNS];
	HeapTuple row = read_locked(table->heap, feed);
	int32 epoch = Max(feed->epoch + 1, miru_epoch_by_time());

	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	values[FEED_EPOCH - 1] = Int32GetDatum(epoch);
	miru_table_update(table, row, values, nulls);
	forget_epochs(feed->name);
	CommandCounterIncrement();
	note_epoch(feed->name, epoch, 0);
}

bool
miru_feed_raise_floor(MiruTable *table, MiruFeed *feed, int64 floor)
{
	Datum values[FEED_COLUMNS];
	bool nulls[FEED_COLUMNS];
	int32 epoch = miru_epoch_by_time();
	HeapTuple row;

	/* Epochs must not run ahead of the hours, see docs/internals/epochs.md. */
	if (epoch <= feed->epoch)
		return false;
	row = read_locked(table->heap, feed);
	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	values[FEED_EPOCH - 1] = Int32GetDatum(epoch);
	values[FEED_FLOOR - 1] = Int64GetDatum(floor);
	note_epoch(feed->name, epoch, feed->locked_head);
	miru_table_update(table, row, values, nulls);
	return true;
}

bool
miru_feed_is_below(const MiruFeedState *state, int32 epoch, int64 number)
{
	return number > 0 && number < state->floor && epoch < state->epoch;
}

bool
miru_feed_read(const char *name, Snapshot snapshot, MiruFeedState *state)
{
	MiruTable table = miru_table_open("feed", false);
	HeapTuple row = miru_table_find(&table, "feed_pkey", &name, 1, snapshot);

	state->head = 0;
	state->epoch = MIRU_NO_EPOCH;
	state->floor = 0;
	state->chained = false;
	if (row != NULL)
	{
		TupleDesc desc = RelationGetDescr(table.heap);
		bool isnull;

		state->head = DatumGetInt64(
			heap_getattr(row, FEED_HEAD, desc, &isnull));
		state->epoch = DatumGetInt32(
			heap_getattr(row, FEED_EPOCH, desc, &isnull));
		state->floor = DatumGetInt64(
			heap_getattr(row, FEED_FLOOR, desc, &isnull));
		state->chained = get_hash(row, desc, state->hash);
	}
	miru_table_close(&table);
	return row != NULL;
}

void
miru_feed_check(const char *name)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruFeedState state;

	if (!miru_feed_read(name, snapshot, &state))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("feed \"%s\" does not exist", name)));
	UnregisterSnapshot(snapshot);
}

int64
miru_feed_limit(const char *name, const MiruFeedState *state, int32 epoch,
				Snapshot snapshot)
{
	MiruTable table;
	HeapTuple next;
	int64 limit = 0;

	if (epoch == MIRU_NO_EPOCH || epoch == state->epoch)
		return state->head;
	if (epoch > state->epoch)
		return 0;
	/*
	 * Heads at a beginning never go back, so the later epochs say no less.
	 * One at least was noted: that of the head.
	 */
	table = miru_table_open("feed_epoch", false);
	next = find_epoch_after(&table, name, epoch, snapshot);
	if (next != NULL)
	{
		bool isnull;

		limit = DatumGetInt64(heap_getattr(next, FEED_EPOCH_HEAD,
										   RelationGetDescr(table.heap),
										   &isnull));
	}
	miru_table_close(&table);
	return Min(limit, state->head);
}

int32
miru_feed_greatest_epoch(void)
{
	MiruTable table = miru_table_open("feed", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(table.heap, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(table.heap, NULL);
	int32 greatest = MIRU_NO_EPOCH;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		greatest = Max(greatest,
					   DatumGetInt32(slot_getattr(slot, FEED_EPOCH, &isnull)));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return greatest;
}

List *
miru_feeds_after(const char *after, int limit)
{
	MiruTable table = miru_table_open("feed", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple row;
	List *names = NIL;

	ScanKeyInit(&key, FEED_NAME, BTGreaterStrategyNumber, F_TEXT_GT,
				CStringGetTextDatum(after ? after : ""));
	scan = systable_beginscan(table.heap, miru_table_oid("feed_pkey"), true,
							  snapshot, 1, &key);
	while (list_length(names) < limit &&
		   HeapTupleIsValid(row = systable_getnext(scan)))
	{
		bool isnull;

		names = lappend(names,
						TextDatumGetCString(
							heap_getattr(row, FEED_NAME, desc, &isnull)));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return names;
}
