/*
 * change_log.c
 *     History: every change of every feed, in order.
 *
 * Owns mirusync.change_log; nobody else writes it.  Only appended to, by
 * flush, under the lock of the feed, until it is trimmed or the feed is
 * forgotten, or until what a change says is erased.  Sync reads state
 * (record.c), so trimming history does not hurt it.  Where the feed has a
 * chain, each change has a hash over the one before (seal.c, chain.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "chain.h"
#include "change_log.h"
#include "change_log_table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column - 1] = text == NULL;
	if (text != NULL)
		values[column - 1] = CStringGetTextDatum(text);
}

static void
set_jsonb(Datum *values, bool *nulls, int column, Jsonb *jsonb)
{
	nulls[column - 1] = jsonb == NULL;
	values[column - 1] = PointerGetDatum(jsonb);
}

/* seal gives a change its hash, over "chain", the hash of the one before. */
static void
seal(Datum *values, bool *nulls, uint8 chain[MIRU_HASH_SIZE])
{
	uint8 salt[MIRU_SALT_SIZE];
	uint8 digest[MIRU_HASH_SIZE];

	miru_seal_salt(salt);
	values[LOG_SALT - 1] = miru_seal_bytes(salt, MIRU_SALT_SIZE);
	nulls[LOG_SALT - 1] = false;
	(void) miru_seal_change(values, nulls, digest);
	miru_seal_link(chain, digest, chain);
	values[LOG_HASH - 1] = miru_seal_bytes(chain, MIRU_HASH_SIZE);
	nulls[LOG_HASH - 1] = false;
}

void
miru_change_log_append(MiruTable *table, const MiruLogEntry *entry)
{
	Datum values[LOG_COLUMNS] = {0};
	bool nulls[LOG_COLUMNS] = {false};

	set_text(values, nulls, LOG_FEED, entry->feed);
	values[LOG_SEQ - 1] = Int64GetDatum(entry->seq);
	values[LOG_PART_OF - 1] = Int64GetDatum(entry->part_of);
	set_text(values, nulls, LOG_COLLECTION, entry->collection);
	set_text(values, nulls, LOG_ID, entry->id);
	set_text(values, nulls, LOG_KIND, entry->kind);
	values[LOG_CLOCK - 1] = Int64GetDatum((int64) entry->clock);
	values[LOG_AT - 1] = TimestampTzGetDatum(entry->at);
	values[LOG_XID - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[LOG_ROLE - 1] = ObjectIdGetDatum(GetSessionUserId());
	set_text(values, nulls, LOG_USER, entry->user);
	set_text(values, nulls, LOG_DEVICE, entry->device);
	set_text(values, nulls, LOG_SESSION, entry->session);
	set_text(values, nulls, LOG_TYPE, entry->type);
	set_text(values, nulls, LOG_RULE, entry->rule);
	nulls[LOG_SKEW_MS - 1] = entry->skew_ms == 0;
	values[LOG_SKEW_MS - 1] = Int64GetDatum(entry->skew_ms);
	nulls[LOG_BASE - 1] = entry->base < 0;
	values[LOG_BASE - 1] = Int64GetDatum(entry->base);
	set_jsonb(values, nulls, LOG_FROM, entry->from);
	set_jsonb(values, nulls, LOG_TO, entry->to);
	nulls[LOG_PREVIOUS - 1] = entry->previous == 0;
	values[LOG_PREVIOUS - 1] = Int64GetDatum(entry->previous);
	set_jsonb(values, nulls, LOG_FIELD_RULES, entry->field_rules);
	set_text(values, nulls, LOG_APPLICATION, entry->application);
	nulls[LOG_NUMBER - 1] = entry->number == 0;
	values[LOG_NUMBER - 1] = Int64GetDatum(entry->number);
	set_text(values, nulls, LOG_VERDICT, entry->verdict);
	nulls[LOG_HASH - 1] = nulls[LOG_SALT - 1] = true;
	nulls[LOG_DIGEST - 1] = nulls[LOG_ERASURE - 1] = true;
	if (entry->chain != NULL)
		seal(values, nulls, entry->chain);
	miru_table_insert(table, values, nulls);
}

static char *
get_text(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = heap_getattr(row, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int64
get_integer(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = heap_getattr(row, column, desc, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static Jsonb *
get_jsonb(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = heap_getattr(row, column, desc, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static bool
is_erased(HeapTuple row, TupleDesc desc)
{
	return !heap_attisnull(row, LOG_ERASURE, desc);
}

/* find begins a scan at a change; NULL if history does not have it. */
static HeapTuple
find(MiruScan *scan, MiruTable *table, const char *feed, int64 seq,
	 Snapshot snapshot)
{
	HeapTuple row;

	miru_scan_begin(scan, table, "change_log_pkey", feed, seq - 1, snapshot);
	row = miru_scan_next(scan, true);
	if (row != NULL &&
		get_integer(row, RelationGetDescr(table->heap), LOG_SEQ) != seq)
		row = NULL;
	return row;
}

bool
miru_change_log_origin(MiruTable *table, const char *feed, int64 seq,
					   Snapshot snapshot, bool *created, char **type,
					   char **session)
{
	TupleDesc desc = RelationGetDescr(table->heap);
	MiruScan scan;
	HeapTuple row = find(&scan, table, feed, seq, snapshot);

	if (row != NULL)
	{
		*created = strcmp(get_text(row, desc, LOG_KIND), "put") == 0;
		*type = get_text(row, desc, LOG_TYPE);
		*session = get_text(row, desc, LOG_SESSION);
	}
	miru_scan_end(&scan);
	return row != NULL;
}

bool
miru_change_log_read(MiruTable *table, const char *feed, int64 seq,
					 Snapshot snapshot, MiruLogEntry *entry)
{
	TupleDesc desc = RelationGetDescr(table->heap);
	MiruScan scan;
	HeapTuple row = find(&scan, table, feed, seq, snapshot);

	if (row != NULL)
	{
		entry->kind = get_text(row, desc, LOG_KIND);
		entry->device = get_text(row, desc, LOG_DEVICE);
		entry->rule = get_text(row, desc, LOG_RULE);
		entry->from = get_jsonb(row, desc, LOG_FROM);
		entry->to = get_jsonb(row, desc, LOG_TO);
		entry->previous = get_integer(row, desc, LOG_PREVIOUS);
		entry->erased = is_erased(row, desc);
	}
	miru_scan_end(&scan);
	return row != NULL;
}

/* What to trim. */
typedef struct Trim
{
	MiruTrimUpto upto; /* NULL: everything goes */
	void *arg;
	MiruChainTrim chain;
} Trim;

static bool
is_trimmed(void *arg, HeapTuple row, TupleDesc desc, int64 number)
{
	Trim *trim = arg;
	bool result = true;

	if (trim->upto != NULL)
	{
		char *collection = get_text(row, desc, LOG_COLLECTION);

		result = number <= trim->upto(trim->arg, collection);
		pfree(collection);
	}
	if (result)
		miru_chain_trim_row(&trim->chain, row, desc);
	return result;
}

int64
miru_change_log_trim(const char *feed, int64 *from, int64 last, int64 max,
					 MiruTrimUpto upto, void *arg)
{
	Trim trim = {upto, arg, {0}};
	int64 count;

	miru_chain_trim_begin(&trim.chain, feed);
	count = miru_table_forget("change_log", "change_log_pkey", feed, from, last,
							  max, LOG_SEQ, is_trimmed, &trim);
	miru_chain_trim_end(&trim.chain);
	return count;
}

int64
miru_change_log_forget(const char *feed, int64 *from, int64 upto, int64 max)
{
	return miru_change_log_trim(feed, from, upto, max, NULL, NULL);
}

/* erase takes away what a change says; what it was is left as a digest. */
static void
erase(MiruTable *table, HeapTuple row, int64 erasure)
{
	Datum values[LOG_COLUMNS];
	bool nulls[LOG_COLUMNS];
	uint8 digest[MIRU_HASH_SIZE];

	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	if (!nulls[LOG_HASH - 1] && miru_seal_payload(values, nulls, digest))
	{
		values[LOG_DIGEST - 1] = miru_seal_bytes(digest, MIRU_HASH_SIZE);
		nulls[LOG_DIGEST - 1] = false;
	}
	nulls[LOG_FROM - 1] = nulls[LOG_TO - 1] = nulls[LOG_SALT - 1] = true;
	values[LOG_ERASURE - 1] = Int64GetDatum(erasure);
	nulls[LOG_ERASURE - 1] = false;
	miru_table_update(table, row, values, nulls);
}

bool
miru_change_log_erase(MiruTable *table, const char *feed, int64 seq,
					  int64 erasure)
{
	MiruScan scan;
	HeapTuple row = find(&scan, table, feed, seq, SnapshotSelf);
	bool found = row != NULL && !is_erased(row, RelationGetDescr(table->heap));

	if (found)
		erase(table, row, erasure);
	miru_scan_end(&scan);
	return found;
}

void
miru_change_log_walk(
	const char *feed, int64 after, int64 upto, Snapshot snapshot,
	void (*each)(void *arg, const MiruLogEntry *entry, uint64 xid), void *arg)
{
	MiruTable table = miru_table_open("change_log", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	MiruScan scan;
	HeapTuple row;

	miru_scan_begin(&scan, &table, "change_log_pkey", feed, after, snapshot);
	while ((row = miru_scan_next(&scan, true)) != NULL)
	{
		MiruLogEntry entry = {0};
		bool isnull;
		Datum xid = heap_getattr(row, LOG_XID, desc, &isnull);

		CHECK_FOR_INTERRUPTS();
		entry.seq = DatumGetInt64(heap_getattr(row, LOG_SEQ, desc, &isnull));
		if (entry.seq > upto)
			break;
		entry.feed = feed;
		entry.collection = get_text(row, desc, LOG_COLLECTION);
		entry.id = get_text(row, desc, LOG_ID);
		entry.kind = get_text(row, desc, LOG_KIND);
		entry.session = get_text(row, desc, LOG_SESSION);
		entry.from = get_jsonb(row, desc, LOG_FROM);
		entry.to = get_jsonb(row, desc, LOG_TO);
		entry.erased = is_erased(row, desc);
		each(arg, &entry,
			 U64FromFullTransactionId(DatumGetFullTransactionId(xid)));
	}
	miru_scan_end(&scan);
	miru_table_close(&table);
}

void
miru_change_log_each(const char *feed, const char *collection,
					 void (*each)(void *arg, const MiruLogEntry *entry),
					 void *arg)
{
	MiruTable table = miru_table_open("change_log", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MemoryContext per_entry = AllocSetContextCreate(CurrentMemoryContext,
													"mirusync log entry",
													ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	MiruScan scan;
	HeapTuple row;

	miru_scan_begin(&scan, &table, "change_log_pkey", feed, 0, snapshot);
	while ((row = miru_scan_next(&scan, true)) != NULL)
	{
		MiruLogEntry entry = {0};

		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(per_entry);
		entry.collection = get_text(row, desc, LOG_COLLECTION);
		if (strcmp(entry.collection, collection) == 0)
		{
			entry.feed = feed;
			entry.id = get_text(row, desc, LOG_ID);
			entry.kind = get_text(row, desc, LOG_KIND);
			entry.from = get_jsonb(row, desc, LOG_FROM);
			entry.to = get_jsonb(row, desc, LOG_TO);
			each(arg, &entry);
		}
		MemoryContextSwitchTo(caller);
		MemoryContextReset(per_entry);
	}
	miru_scan_end(&scan);
	MemoryContextDelete(per_entry);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
}
