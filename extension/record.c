/*
 * record.c
 *     Sync state: the latest change of each record.
 *
 * Owns mirusync.record; nobody else writes it.  A row here says that a record
 * exists or is a tombstone, under which number its latest change came, and
 * who stamped its fields.  Its content stays in the application's table.
 *
 * Rows are written only under the lock of their feed, so a writer never meets
 * another one.  A push reads a record's state before it has that lock; the
 * lock on the application's row, which every writer of the record takes
 * first, keeps the state from moving meanwhile.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "element_set.h"
#include "miscadmin.h"
#include "record.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of mirusync.record. */
enum
{
	RECORD_FEED = 1,
	RECORD_COLLECTION,
	RECORD_ID,
	RECORD_SEQ,
	RECORD_PART_OF,
	RECORD_CLOCK,
	RECORD_CHANGED_AT,
	RECORD_DELETED,
	RECORD_STAMPS,
	RECORD_IMAGE,
	RECORD_FORMER,
	RECORD_COLUMNS = RECORD_FORMER
};

static void
pg_attribute_noreturn()
	complain_of_stamps(const char *collection, const char *id)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_CORRUPTED),
		 errmsg("stamps of record \"%s\" of collection \"%s\" are corrupted",
				id, collection)));
}

static MiruStamps *
unpack_stamps(Datum datum, const MiruRecord *record)
{
	bytea *bytes = DatumGetByteaPP(datum);
	MiruStamps *stamps = miru_stamps_unpack(VARDATA_ANY(bytes),
											VARSIZE_ANY_EXHDR(bytes));

	if (stamps == NULL)
		complain_of_stamps(record->collection, record->id);
	return stamps;
}

MiruRecord *
miru_record_from_row(HeapTuple row, TupleDesc desc)
{
	MiruRecord *record = palloc(sizeof(MiruRecord));
	Datum values[RECORD_COLUMNS];
	bool nulls[RECORD_COLUMNS];

	heap_deform_tuple(row, desc, values, nulls);
	record->feed = TextDatumGetCString(values[RECORD_FEED - 1]);
	record->collection = TextDatumGetCString(values[RECORD_COLLECTION - 1]);
	record->id = TextDatumGetCString(values[RECORD_ID - 1]);
	record->seq = DatumGetInt64(values[RECORD_SEQ - 1]);
	record->part_of = DatumGetInt64(values[RECORD_PART_OF - 1]);
	record->clock = (Hlc) DatumGetInt64(values[RECORD_CLOCK - 1]);
	record->changed_at = DatumGetTimestampTz(values[RECORD_CHANGED_AT - 1]);
	record->deleted = DatumGetBool(values[RECORD_DELETED - 1]);
	record->stamps = unpack_stamps(values[RECORD_STAMPS - 1], record);
	record->image = NULL;
	if (!nulls[RECORD_IMAGE - 1])
		record->image = DatumGetJsonbPCopy(values[RECORD_IMAGE - 1]);
	record->former = NULL;
	if (!nulls[RECORD_FORMER - 1])
		record->former = unpack_stamps(values[RECORD_FORMER - 1], record);
	record->row = row;
	return record;
}

void
miru_record_peek(HeapTuple row, TupleDesc desc, const char *feed,
				 MiruRecordHead *head)
{
	Datum values[RECORD_COLUMNS];
	bool nulls[RECORD_COLUMNS];
	bytea *stamps;

	heap_deform_tuple(row, desc, values, nulls);
	head->feed = feed;
	head->collection = TextDatumGetCString(values[RECORD_COLLECTION - 1]);
	head->id = TextDatumGetCString(values[RECORD_ID - 1]);
	head->seq = DatumGetInt64(values[RECORD_SEQ - 1]);
	head->part_of = DatumGetInt64(values[RECORD_PART_OF - 1]);
	head->clock = (Hlc) DatumGetInt64(values[RECORD_CLOCK - 1]);
	head->deleted = DatumGetBool(values[RECORD_DELETED - 1]);
	head->image = NULL;
	if (!nulls[RECORD_IMAGE - 1])
		head->image = (struct varlena *) DatumGetPointer(
			datumCopy(values[RECORD_IMAGE - 1], false, -1));
	stamps = DatumGetByteaPP(values[RECORD_STAMPS - 1]);
	if (!miru_stamps_packed_by_sql(VARDATA_ANY(stamps),
								   VARSIZE_ANY_EXHDR(stamps), &head->by_sql))
		complain_of_stamps(head->collection, head->id);
	head->xmin = HeapTupleHeaderGetXmin(row->t_data);
}

TimestampTz
miru_record_changed_at(HeapTuple row, TupleDesc desc)
{
	bool isnull;

	return DatumGetTimestampTz(
		heap_getattr(row, RECORD_CHANGED_AT, desc, &isnull));
}

int64
miru_record_seq(HeapTuple row, TupleDesc desc)
{
	bool isnull;

	return DatumGetInt64(heap_getattr(row, RECORD_SEQ, desc, &isnull));
}

MiruRecord *
miru_record_find(MiruTable *table, const char *feed, const char *collection,
				 const char *id, Snapshot snapshot)
{
	const char *key[] = {feed, collection, id};
	HeapTuple row = miru_table_find(table, "record_pkey", key, 3, snapshot);

	if (row == NULL)
		return NULL;
	return miru_record_from_row(row, RelationGetDescr(table->heap));
}

static Datum
pack_stamps(const MiruStamps *stamps)
{
	int length;
	char *bytes = miru_stamps_pack(stamps, &length);

	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

void
miru_record_store(MiruTable *table, MiruRecord *record)
{
	Datum values[RECORD_COLUMNS];
	bool nulls[RECORD_COLUMNS] = {false};

	values[RECORD_FEED - 1] = CStringGetTextDatum(record->feed);
	values[RECORD_COLLECTION - 1] = CStringGetTextDatum(record->collection);
	values[RECORD_ID - 1] = CStringGetTextDatum(record->id);
	values[RECORD_SEQ - 1] = Int64GetDatum(record->seq);
	values[RECORD_PART_OF - 1] = Int64GetDatum(record->part_of);
	values[RECORD_CLOCK - 1] = Int64GetDatum((int64) record->clock);
	values[RECORD_CHANGED_AT - 1] = TimestampTzGetDatum(record->changed_at);
	values[RECORD_DELETED - 1] = BoolGetDatum(record->deleted);
	values[RECORD_STAMPS - 1] = pack_stamps(record->stamps);
	nulls[RECORD_IMAGE - 1] = record->image == NULL;
	values[RECORD_IMAGE - 1] = PointerGetDatum(record->image);
	nulls[RECORD_FORMER - 1] = record->former == NULL;
	if (record->former != NULL)
		values[RECORD_FORMER - 1] = pack_stamps(record->former);

	if (record->row == NULL)
		miru_table_insert(table, values, nulls);
	else
		miru_table_update(table, record->row, values, nulls);
}

void
miru_record_forget(const char *collection)
{
	MiruTable table = miru_table_open("record", true);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	TableScanDesc scan;
	HeapTuple row;

	ScanKeyEntryInitialize(&key, 0, RECORD_COLLECTION, BTEqualStrategyNumber,
						   InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(collection));
	scan = table_beginscan(table.heap, snapshot, 1, &key);
	while ((row = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		simple_heap_delete(table.heap, &row->t_self);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	CommandCounterIncrement();
}

int64
miru_record_forget_feed(const char *feed, int64 *from, int64 upto, int64 max)
{
	return miru_table_forget("record", "record_seq", feed, from, upto, max,
							 RECORD_SEQ, NULL, NULL);
}

/* What to trim. */
typedef struct Trim
{
	MiruTrimUpto upto;
	void *arg;
} Trim;

static bool
is_trimmed(void *arg, HeapTuple row, TupleDesc desc, int64 number)
{
	Trim *trim = arg;
	bool isnull;
	char *collection;
	bool result;

	if (!DatumGetBool(heap_getattr(row, RECORD_DELETED, desc, &isnull)))
		return false;
	collection = TextDatumGetCString(
		heap_getattr(row, RECORD_COLLECTION, desc, &isnull));
	result = number <= trim->upto(trim->arg, collection);
	pfree(collection);
	return result;
}

int64
miru_record_trim(const char *feed, int64 *from, int64 last, int64 max,
				 MiruTrimUpto upto, void *arg)
{
	Trim trim = {upto, arg};

	return miru_table_forget("record", "record_seq", feed, from, last, max,
							 RECORD_SEQ, is_trimmed, &trim);
}

/*
 * erase_former takes from a record's state what tells of former values: the
 * last image of a tombstone, and elements that were removed from sets, which
 * are keys of stamps.
 */
static void
erase_former(MiruTable *table, MiruRecord *record)
{
	MiruStamps *stamps = miru_set_forget_elements(record->stamps);

	if (stamps == NULL && record->image == NULL && record->former == NULL)
		return;
	if (stamps != NULL)
		record->stamps = stamps;
	record->image = NULL;
	record->former = NULL;
	miru_record_store(table, record);
}

int64
miru_record_erase(const char *feed, const char *collection, const char *id,
				  int64 *from, int64 upto, int64 max)
{
	MiruTable table = miru_table_open("record", true);
	TupleDesc desc = RelationGetDescr(table.heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int64 count = 0;
	MiruScan scan;
	HeapTuple row;

	if (collection != NULL)
	{
		MiruRecord *record = miru_record_find(&table, feed, collection, id,
											  snapshot);

		if (record != NULL && record->seq <= upto)
			erase_former(&table, record);
	}
	else
	{
		miru_scan_begin(&scan, &table, "record_seq", feed, *from, snapshot);
		while (count < max && (row = miru_scan_next(&scan, true)) != NULL)
		{
			MiruRecord *record = miru_record_from_row(row, desc);

			CHECK_FOR_INTERRUPTS();
			if (record->seq > upto)
				break;
			*from = record->seq;
			count++;
			erase_former(&table, record);
		}
		miru_scan_end(&scan);
	}
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return count;
}

void
miru_record_each_live(const char *feed, const char *collection,
					  void (*each)(void *arg, const char *id), void *arg)
{
	MiruTable table = miru_table_open("record", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple row;

	ScanKeyInit(&keys[0], RECORD_FEED, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(feed));
	ScanKeyInit(&keys[1], RECORD_COLLECTION, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(collection));
	scan = systable_beginscan(table.heap, miru_table_oid("record_pkey"), true,
							  snapshot, 2, keys);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		if (!DatumGetBool(heap_getattr(row, RECORD_DELETED, desc, &isnull)))
			each(arg,
				 TextDatumGetCString(
					 heap_getattr(row, RECORD_ID, desc, &isnull)));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
}
