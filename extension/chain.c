/*
 * chain.c
 *     Chains of feeds: where they begin, and what trimming leaves of them.
 *
 * A feed that has a chain has the hash of its head in its row (feed.c), and
 * flush gives each change a hash over that of the one before (change_log.c,
 * seal.c).  Here is what makes it checkable when changes are gone.
 *
 * Owns mirusync.chain, the anchors: number and hash of the last change that is
 * not there any more, so that the next one can be checked.  A chain that
 * began with its feed and was never trimmed has none.  Owns
 * mirusync.chain_trimmed: collections may be trimmed apart, and where others
 * still stand below, a change that goes leaves its digest.  When those have
 * gone too the anchor passes it.  Owns mirusync.chain_new: whether feeds that
 * come into being have a chain.
 *
 * Locks: whoever changes an anchor has locked the feed.  set_chain() for all
 * feeds locks the table of feeds against writers, before it has locked
 * anything else, so a feed that comes into being is either among those that
 * it lists, or finds what it has set.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "chain.h"
#include "change_log_table.h"
#include "epoch.h"
#include "feed.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mirusync_set_chain_0_2);

/* Columns of mirusync.chain. */
enum
{
	CHAIN_FEED = 1,
	CHAIN_SINCE,
	CHAIN_SEQ,
	CHAIN_HASH,
	CHAIN_COLUMNS = CHAIN_HASH
};

/* Columns of mirusync.chain_trimmed. */
enum
{
	TRIMMED_FEED = 1,
	TRIMMED_SEQ,
	TRIMMED_DIGEST,
	TRIMMED_COLUMNS = TRIMMED_DIGEST
};

/* Columns of mirusync.chain_new. */
enum
{
	NEW_SINGLETON = 1,
	NEW_COLUMNS = NEW_SINGLETON
};

/* So many feeds are listed at once. */
#define FEEDS_AT_ONCE 1000

/* ----- anchors ----- */

void
miru_chain_anchor(const char *feed, Snapshot snapshot, MiruAnchor *anchor)
{
	MiruTable table = miru_table_open("chain", false);
	Datum values[CHAIN_COLUMNS];
	bool nulls[CHAIN_COLUMNS];

	memset(anchor, 0, sizeof(MiruAnchor));
	anchor->row = miru_table_find(&table, "chain_pkey", &feed, 1, snapshot);
	if (anchor->row != NULL)
	{
		heap_deform_tuple(anchor->row, RelationGetDescr(table.heap), values,
						  nulls);
		anchor->since = DatumGetInt64(values[CHAIN_SINCE - 1]);
		anchor->seq = DatumGetInt64(values[CHAIN_SEQ - 1]);
		(void) miru_seal_get(values[CHAIN_HASH - 1], anchor->hash);
	}
	miru_table_close(&table);
}

static void
store_anchor(const char *feed, const MiruAnchor *anchor)
{
	MiruTable table = miru_table_open("chain", true);
	Datum values[CHAIN_COLUMNS];
	bool nulls[CHAIN_COLUMNS] = {false};

	values[CHAIN_FEED - 1] = CStringGetTextDatum(feed);
	values[CHAIN_SINCE - 1] = Int64GetDatum(anchor->since);
	values[CHAIN_SEQ - 1] = Int64GetDatum(anchor->seq);
	values[CHAIN_HASH - 1] = miru_seal_bytes(anchor->hash, MIRU_HASH_SIZE);
	if (anchor->row == NULL)
		miru_table_insert(&table, values, nulls);
	else
		miru_table_update(&table, anchor->row, values, nulls);
	miru_table_close(&table);
}

/* ----- what trimming leaves ----- */

void
miru_chain_trimmed_begin(MiruScan *scan, MiruTable *table, const char *feed,
						 int64 after, Snapshot snapshot)
{
	miru_scan_begin(scan, table, "chain_trimmed_pkey", feed, after, snapshot);
}

static void
read_trimmed(HeapTuple row, const MiruTable *table, int64 *seq,
			 uint8 digest[MIRU_HASH_SIZE])
{
	Datum values[TRIMMED_COLUMNS];
	bool nulls[TRIMMED_COLUMNS];

	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	*seq = DatumGetInt64(values[TRIMMED_SEQ - 1]);
	if (!miru_seal_get(values[TRIMMED_DIGEST - 1], digest))
		memset(digest, 0, MIRU_HASH_SIZE);
}

bool
miru_chain_trimmed_next(MiruScan *scan, const MiruTable *table, int64 *seq,
						uint8 digest[MIRU_HASH_SIZE])
{
	HeapTuple row = miru_scan_next(scan, true);

	if (row != NULL)
		read_trimmed(row, table, seq, digest);
	return row != NULL;
}

static void
keep_digest(MiruChainTrim *trim, int64 seq, const uint8 digest[MIRU_HASH_SIZE])
{
	Datum values[TRIMMED_COLUMNS];
	bool nulls[TRIMMED_COLUMNS] = {false};

	values[TRIMMED_FEED - 1] = CStringGetTextDatum(trim->feed);
	values[TRIMMED_SEQ - 1] = Int64GetDatum(seq);
	values[TRIMMED_DIGEST - 1] = miru_seal_bytes(digest, MIRU_HASH_SIZE);
	miru_table_insert(&trim->trimmed, values, nulls);
}

/* pass moves the anchor over the digests that follow it. */
static void
pass(MiruChainTrim *trim)
{
	MiruAnchor *anchor = &trim->anchor;
	uint8 digest[MIRU_HASH_SIZE];
	MiruScan scan;
	HeapTuple row;

	miru_chain_trimmed_begin(&scan, &trim->trimmed, trim->feed, anchor->seq,
							 SnapshotSelf);
	while ((row = miru_scan_next(&scan, true)) != NULL)
	{
		int64 seq;

		CHECK_FOR_INTERRUPTS();
		read_trimmed(row, &trim->trimmed, &seq, digest);
		if (seq != anchor->seq + 1)
			break;
		miru_table_delete(&trim->trimmed, row);
		anchor->seq = seq;
		miru_seal_link(anchor->hash, digest, anchor->hash);
		trim->moved = true;
	}
	miru_scan_end(&scan);
}

void
miru_chain_trim_begin(MiruChainTrim *trim, const char *feed)
{
	MiruFeedState state;

	memset(trim, 0, sizeof(MiruChainTrim));
	trim->feed = feed;
	trim->chained = miru_feed_read(feed, SnapshotSelf, &state) && state.chained;
	if (!trim->chained)
		return;
	miru_chain_anchor(feed, SnapshotSelf, &trim->anchor);
	trim->trimmed = miru_table_open("chain_trimmed", true);
}

void
miru_chain_trim_row(MiruChainTrim *trim, HeapTuple row, TupleDesc desc)
{
	MiruAnchor *anchor = &trim->anchor;
	Datum values[LOG_COLUMNS];
	bool nulls[LOG_COLUMNS];
	uint8 digest[MIRU_HASH_SIZE] = {0};
	int64 seq;

	if (!trim->chained)
		return;
	heap_deform_tuple(row, desc, values, nulls);
	seq = DatumGetInt64(values[LOG_SEQ - 1]);
	if (seq <= anchor->seq)
		return; /* from before the chain */
	if (seq != anchor->seq + 1)
		pass(trim);
	if (seq == anchor->seq + 1 && !nulls[LOG_HASH - 1] &&
		miru_seal_get(values[LOG_HASH - 1], anchor->hash))
	{
		anchor->seq = seq;
		trim->moved = true;
		return;
	}
	/* One that does not fit leaves what does not fit either. */
	(void) miru_seal_change(values, nulls, digest);
	keep_digest(trim, seq, digest);
}

void
miru_chain_trim_end(MiruChainTrim *trim)
{
	if (!trim->chained)
		return;
	pass(trim);
	if (trim->moved)
		store_anchor(trim->feed, &trim->anchor);
	miru_table_close(&trim->trimmed);
}

/* ----- set_chain() ----- */

static HeapTuple
find_default(MiruTable *table)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(table->heap, snapshot, 0, NULL);
	HeapTuple row = heap_getnext(scan, ForwardScanDirection);

	if (row != NULL)
		row = heap_copytuple(row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return row;
}

bool
miru_chain_default(void)
{
	MiruTable table = miru_table_open("chain_new", false);
	bool result = find_default(&table) != NULL;

	miru_table_close(&table);
	return result;
}

static void
set_default(bool on)
{
	MiruTable table = miru_table_open("chain_new", true);
	HeapTuple row = find_default(&table);
	Datum values[NEW_COLUMNS] = {BoolGetDatum(true)};
	bool nulls[NEW_COLUMNS] = {false};

	if (on && row == NULL)
		miru_table_insert(&table, values, nulls);
	else if (!on && row != NULL)
		miru_table_delete(&table, row);
	miru_table_close(&table);
}

/*
 * set_feed begins a chain at the head of a feed, or ends it.  Nothing is
 * known of what was before, so its anchor has no hash.  That it was ended is
 * noted as well: without it, hashes after that are a sign of tampering.
 */
static void
set_feed(MiruTable *table, char *name, bool on)
{
	MiruAnchor anchor;
	MiruFeed feed;
	int64 from = 0;

	miru_feed_lock(table, &feed, name, miru_epoch_current(),
				   GetCurrentTimestamp());
	if (feed.chained == on)
		return;
	(void) miru_table_forget("chain_trimmed", "chain_trimmed_pkey", name, &from,
							 PG_INT64_MAX, PG_INT64_MAX, TRIMMED_SEQ, NULL,
							 NULL);
	miru_chain_anchor(name, SnapshotSelf, &anchor);
	anchor.since = anchor.seq = feed.head;
	memset(anchor.hash, 0, MIRU_HASH_SIZE);
	store_anchor(name, &anchor);
	miru_feed_set_chained(table, &feed, on);
}

static void
set_all(bool on)
{
	MemoryContext per_list = AllocSetContextCreate(CurrentMemoryContext,
												   "mirusync chain",
												   ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = CurrentMemoryContext;
	MiruTable table;
	char *after = NULL;
	List *names;
	int count;

	LockRelationOid(miru_table_oid("feed"), ShareRowExclusiveLock);
	table = miru_table_open("feed", true);
	set_default(on);
	MemoryContextSwitchTo(per_list);
	do
	{
		ListCell *cell;

		CommandCounterIncrement();
		names = miru_feeds_after(after, FEEDS_AT_ONCE);
		count = list_length(names);
		foreach(cell, names)
		{
			CHECK_FOR_INTERRUPTS();
			set_feed(&table, lfirst(cell), on);
		}
		if (count > 0)
			after = MemoryContextStrdup(caller, llast(names));
		MemoryContextReset(per_list);
	} while (count == FEEDS_AT_ONCE);
	MemoryContextSwitchTo(caller);
	miru_table_close(&table);
	MemoryContextDelete(per_list);
}

/* mirusync_set_chain_0_2 is set_chain(on, feed). */
Datum
mirusync_set_chain_0_2(PG_FUNCTION_ARGS)
{
	bool on;

	miru_extension_check();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"on\" must not be null")));
	PreventCommandIfReadOnly("mirusync.set_chain()");
	on = PG_GETARG_BOOL(0);
	if (PG_ARGISNULL(1))
		set_all(on);
	else
	{
		MiruTable table = miru_table_open("feed", true);
		char *name = text_to_cstring(PG_GETARG_TEXT_PP(1));

		miru_feed_check(name);
		set_feed(&table, name, on);
		miru_table_close(&table);
	}
	CommandCounterIncrement();
	PG_RETURN_VOID();
}
