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

#include "access/heapam.h"
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
#include "utils/datum.h"
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
	table.slot = for_writing ? table_slot_create(table.heap, NULL) : NULL;
	return table;
}

void
miru_table_close(MiruTable *table)
{
	if (table->indexes != NULL)
	{
		ExecDropSingleTupleTableSlot(table->slot);
		CatalogCloseIndexes(table->indexes);
	}
	table_close(table->heap, NoLock);
}

/* What a row has in the columns of one of its table's indexes. */
typedef struct IndexRow
{
	IndexInfo *info;
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];
} IndexRow;

static void
get_index_row(IndexRow *row, IndexInfo *info, const Datum *values,
			  const bool *nulls)
{
	row->info = info;
	for (int i = 0; i < info->ii_NumIndexAttrs; i++)
	{
		int column = info->ii_IndexAttrNumbers[i] - 1;

		/* Our indexes are of plain columns. */
		if (column < 0 || info->ii_Predicate != NIL)
			elog(ERROR, "unexpected kind of index of a table of mirusync");
		row->values[i] = values[column];
		row->nulls[i] = nulls[column];
	}
}

/* is_unchanged tells whether the former version of a row had the same. */
static bool
is_unchanged(const IndexRow *row, HeapTuple old, TupleDesc desc)
{
	for (int i = 0; i < row->info->ii_NumIndexKeyAttrs; i++)
	{
		int column = row->info->ii_IndexAttrNumbers[i];
		Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
		bool isnull;
		Datum former = heap_getattr(old, column, desc, &isnull);

		if (isnull != row->nulls[i] ||
			(!isnull &&
			 !datum_image_eq(former, row->values[i], attribute->attbyval,
							 attribute->attlen)))
			return false;
	}
	return true;
}

/*
 * insert_into_indexes does what CatalogIndexInsert does, without taking the
 * values out of the tuple again, and with more knowledge: where the key is as
 * it was, it is as unique as it was, and the index may drop the entries of
 * former versions rather than split a page.
 */
static void
insert_into_indexes(MiruTable *table, HeapTuple tuple, const Datum *values,
					const bool *nulls, HeapTuple old, bool summarizing)
{
	ResultRelInfo *indexes = table->indexes;
	TupleDesc desc = RelationGetDescr(table->heap);

	for (int i = 0; i < indexes->ri_NumIndices; i++)
	{
		Relation index = indexes->ri_IndexRelationDescs[i];
		IndexInfo *info = indexes->ri_IndexRelationInfo[i];
		IndexUniqueCheck check = UNIQUE_CHECK_NO;
		bool unchanged;
		IndexRow row;

		if (!info->ii_ReadyForInserts ||
			(summarizing && !miru_is_summarizing(info)))
			continue;
		get_index_row(&row, info, values, nulls);
		unchanged = old != NULL && is_unchanged(&row, old, desc);
		if (index->rd_index->indisunique && !unchanged)
			check = UNIQUE_CHECK_YES;
		index_insert(index, row.values, row.nulls, &tuple->t_self, table->heap,
					 check, unchanged, info);
	}
}

void
miru_table_insert(MiruTable *table, const Datum *values, const bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(table->heap),
									  unconstify(Datum *, values),
									  unconstify(bool *, nulls));

	simple_heap_insert(table->heap, tuple);
	insert_into_indexes(table, tuple, values, nulls, NULL, false);
}

void
miru_table_update(MiruTable *table, HeapTuple old, const Datum *values,
				  const bool *nulls)
{
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(table->heap),
									  unconstify(Datum *, values),
									  unconstify(bool *, nulls));
	bool summarizing;

	if (miru_heap_update(table->heap, &old->t_self, tuple, &summarizing))
		insert_into_indexes(table, tuple, values, nulls, old, summarizing);
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

/* open_index returns an index that is open for writing already, or NULL. */
static Relation
open_index(const MiruTable *table, const char *name)
{
	ResultRelInfo *indexes = table->indexes;

	for (int i = 0; indexes != NULL && i < indexes->ri_NumIndices; i++)
	{
		Relation index = indexes->ri_IndexRelationDescs[i];

		if (strcmp(RelationGetRelationName(index), name) == 0)
			return index;
	}
	return NULL;
}

static HeapTuple
find_by_index(MiruTable *table, Relation index, const char *const *texts,
			  int count, Snapshot snapshot, TupleTableSlot *slot)
{
	ScanKeyData keys[MAX_TEXT_KEYS];
	IndexScanDesc scan;
	HeapTuple row = NULL;

	Assert(count <= MAX_TEXT_KEYS);
	for (int i = 0; i < count; i++)
		text_key(&keys[i], i + 1, texts[i]);
	scan = miru_index_beginscan(table->heap, index, snapshot, count);
	index_rescan(scan, keys, count, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		row = ExecCopySlotHeapTuple(slot);
	index_endscan(scan);
	return row;
}

HeapTuple
miru_table_find(MiruTable *table, const char *index, const char *const *texts,
				int count, Snapshot snapshot)
{
	Relation index_rel = open_index(table, index);
	TupleTableSlot *slot;
	HeapTuple row;

	if (index_rel != NULL)
	{
		row = find_by_index(table, index_rel, texts, count, snapshot,
							table->slot);
		ExecClearTuple(table->slot);
		return row;
	}
	index_rel = index_open(miru_table_oid(index), AccessShareLock);
	slot = table_slot_create(table->heap, NULL);
	row = find_by_index(table, index_rel, texts, count, snapshot, slot);
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
