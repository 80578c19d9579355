/*
 * table.c
 *     Direct access to mirusync's own tables: find, insert, update, delete.
 *
 * Below the executor, because flush runs after the last statement of a
 * transaction: in REPEATABLE READ an UPDATE through SPI would fail there for
 * a row that somebody else changed, and flush must not.  It is also several
 * times cheaper.  Our tables have no triggers, defaults or row security, so
 * nothing is bypassed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "registry.h"
#include "table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define MAX_TEXT_KEYS 4

/* How many rows this process has deleted. */
static int64 deleted;

MiruTable
miru_table_open(const char *name, bool for_writing)
{
	MiruTable table;

	table.heap = table_open(miru_table_oid(name),
							for_writing ? RowExclusiveLock : AccessShareLock);
	table.indexes = for_writing ? CatalogOpenIndexes(table.heap) : NULL;
	return table;
}

void
miru_table_close(MiruTable *table)
{
	if (table->indexes != NULL)
		CatalogCloseIndexes(table->indexes);
	table_close(table->heap, NoLock);
}

void
miru_table_insert(MiruTable *table, const Datum *values, const bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(table->heap),
									  unconstify(Datum *, values),
									  unconstify(bool *, nulls));

	CatalogTupleInsertWithInfo(table->heap, tuple, table->indexes);
}

void
miru_table_update(MiruTable *table, HeapTuple old, const Datum *values,
				  const bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(table->heap),
									  unconstify(Datum *, values),
									  unconstify(bool *, nulls));

	CatalogTupleUpdateWithInfo(table->heap, &old->t_self, tuple,
							   table->indexes);
}

void
miru_table_delete(MiruTable *table, HeapTuple row)
{
	CatalogTupleDelete(table->heap, &row->t_self);
	deleted++;
}

int64
miru_table_deleted(void)
{
	return deleted;
}

int64
miru_table_forget(const char *name, const char *index, const char *feed,
				  int64 *from, int64 upto, int64 max, int column,
				  MiruWanted wanted, void *arg)
{
	MiruTable table = miru_table_open(name, true);
	TupleDesc desc = RelationGetDescr(table.heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int64 count = 0;
	MiruScan scan;
	HeapTuple row;

	miru_scan_begin(&scan, &table, index, feed, *from, snapshot);
	while (count < max && (row = miru_scan_next(&scan, true)) != NULL)
	{
		bool isnull;
		int64 number = DatumGetInt64(heap_getattr(row, column, desc, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (number > upto)
			break;
		if (wanted == NULL || wanted(arg, row, desc, number))
			miru_table_delete(&table, row);
		*from = number;
		count++;
	}
	miru_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return count;
}

static void
text_key(ScanKey key, AttrNumber column, const char *text)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(text));
}

HeapTuple
miru_table_find(MiruTable *table, const char *index, const char *const *texts,
				int count, Snapshot snapshot)
{
	ScanKeyData keys[MAX_TEXT_KEYS];
	Relation index_rel = index_open(miru_table_oid(index), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table->heap, NULL);
	IndexScanDesc scan;
	HeapTuple row = NULL;

	Assert(count <= MAX_TEXT_KEYS);
	for (int i = 0; i < count; i++)
		text_key(&keys[i], i + 1, texts[i]);
	scan = miru_index_beginscan(table->heap, index_rel, snapshot, count);
	index_rescan(scan, keys, count, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		row = ExecCopySlotHeapTuple(slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index_rel, AccessShareLock);
	return row;
}

void
miru_scan_begin(MiruScan *scan, MiruTable *table, const char *index,
				const char *feed, int64 after, Snapshot snapshot)
{
	miru_scan_begin_at(scan, table, index, &feed, 1, after, snapshot);
}

void
miru_scan_begin_at(MiruScan *scan, MiruTable *table, const char *index,
				   const char *const *texts, int count, int64 after,
				   Snapshot snapshot)
{
	ScanKeyData keys[MAX_TEXT_KEYS + 1];

	Assert(count <= MAX_TEXT_KEYS);
	scan->index = index_open(miru_table_oid(index), AccessShareLock);
	scan->slot = table_slot_create(table->heap, NULL);
	for (int i = 0; i < count; i++)
		text_key(&keys[i], i + 1, texts[i]);
	ScanKeyInit(&keys[count], count + 1, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(after));
	scan->scan = miru_index_beginscan(table->heap, scan->index, snapshot,
									  count + 1);
	index_rescan(scan->scan, keys, count + 1, NULL, 0);
}

HeapTuple
miru_scan_next(MiruScan *scan, bool forward)
{
	if (!index_getnext_slot(scan->scan,
							forward ? ForwardScanDirection
									: BackwardScanDirection,
							scan->slot))
		return NULL;
	return ExecFetchSlotHeapTuple(scan->slot, false, NULL);
}

void
miru_scan_end(MiruScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, AccessShareLock);
}
