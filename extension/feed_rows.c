/*
 * feed_rows.c
 *     The rows of an attached table by feed, through an index on its feed
 *     column.
 *
 * For what goes through a large table feed by feed.  It reads the index
 * itself: a query would be subject to row security, to plans that change from
 * one call to the next, and to the rights of whoever runs it.
 *
 * Finding the feeds skips from one to the next, which costs a look into the
 * index for each and not one for each row.
 *
 * The rows of a partitioned table are in its partitions.  It must have the
 * index itself, so that each of them has one that sorts alike, and the next one
 * will.  A feed has rows in many: those of one feed are read partition by
 * partition, and feeds are found in all of them at once.
 *
 * Nothing is locked but the tables and their indexes, against being dropped.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "compat.h"
#include "feed_rows.h"
#include "key.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * is_suitable tells whether an index, once valid, finds all rows of a feed.
 * Under a collation in which different texts are equal, feeds would be skipped.
 */
static bool
is_suitable(Relation index, AttrNumber feed_attnum)
{
	Form_pg_index form = index->rd_index;
	Oid collation = index->rd_indcollation[0];

	return index->rd_rel->relam == BTREE_AM_OID &&
		form->indkey.values[0] == feed_attnum &&
		RelationGetIndexPredicate(index) == NIL &&
		(!OidIsValid(collation) || get_collation_isdeterministic(collation));
}

static void
refuse_invalid(MiruRelation *rel, Oid index)
{
	char *name =
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(index)),
								   get_rel_name(index));

	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("index %s on the feed column of table %s is not valid", name,
				rel->qualified_name),
		 rel->is_partitioned
			 ? errdetail("Not every partition has a valid part of it.")
			 : errdetail("It was not built to its end."),
		 rel->is_partitioned
			 ? errhint(
				   "In each partition that lacks it use CREATE INDEX CONCURRENTLY, then ALTER INDEX %s ATTACH PARTITION.",
				   name)
			 : errhint("REINDEX INDEX CONCURRENTLY %s", name)));
}

/* find_index finds an index of the attached table that begins with its feed. */
static Oid
find_index(MiruRelation *rel)
{
	Relation heap = table_open(rel->relid, AccessShareLock);
	Oid found = InvalidOid;
	Oid invalid = InvalidOid;
	ListCell *cell;

	foreach(cell, RelationGetIndexList(heap))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (!is_suitable(index, rel->feed_attnum))
			;
		else if (index->rd_index->indisvalid)
			found = lfirst_oid(cell);
		else
			invalid = lfirst_oid(cell);
		index_close(index, NoLock);
		if (OidIsValid(found))
			break;
	}
	table_close(heap, NoLock);
	if (OidIsValid(found))
		return found;
	if (OidIsValid(invalid))
		refuse_invalid(rel, invalid);
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("table %s has no index on its feed column",
				rel->qualified_name),
		 errdetail(
			 "Its rows are read feed by feed, which needs a B-tree index without a condition, of a deterministic collation, whose first column is \"%s\".",
			 rel->feed_name),
		 errhint("CREATE INDEX %sON %s (%s)",
				 rel->is_partitioned ? "" : "CONCURRENTLY ",
				 rel->qualified_name, quote_identifier(rel->feed_name))));
}

/* index_of_leaf finds the partition's part of an index. */
static Oid
index_of_leaf(Relation heap, Oid index)
{
	ListCell *cell;

	foreach(cell, RelationGetIndexList(heap))
	{
		Oid own = lfirst_oid(cell);

		if (get_rel_relispartition(own) &&
			list_member_oid(get_partition_ancestors(own), index))
			return own;
	}
	elog(ERROR, "partition \"%s\" has no part of index \"%s\"",
		 RelationGetRelationName(heap), get_rel_name(index));
}

/* feed_value returns a feed as a value of its column's type. */
static Datum
feed_value(MiruRelation *rel, const char *feed)
{
	Oid type = getBaseType(rel->feed_type);
	Oid function;
	Oid param;

	getTypeInputInfo(type, &function, &param);
	return OidInputFunctionCall(function, unconstify(char *, feed), param, -1);
}

/* set_key sets a condition on the first column of the index. */
static void
set_key(ScanKey key, Relation index, StrategyNumber strategy, Datum value)
{
	Oid type = index->rd_opcintype[0];
	Oid operator= get_opfamily_member(index->rd_opfamily[0], type, type,
									  strategy);

	if (!OidIsValid(operator))
		elog(ERROR, "missing operator %d(%u,%u) in opfamily %u", strategy, type,
			 type, index->rd_opfamily[0]);
	ScanKeyEntryInitialize(key, 0, 1, strategy, InvalidOid,
						   index->rd_indcollation[0], get_opcode(operator),
						   value);
}

/* ----- one table ----- */

/*
 * open_rows begins a scan of a table, which is locked; false if it is none of
 * the attached table's any more.  "index" is the attached table's.
 */
static bool
open_rows(MiruIndexRows *rows, MiruRelation *rel, Oid relid, Oid index,
		  Snapshot snapshot)
{
	rows->rel = rel;
	rows->leaf = NULL;
	if (rel->is_partitioned)
	{
		rows->leaf = miru_leaf_get(relid);
		if (rows->leaf == NULL || rows->leaf->root != rel->relid)
			return false;
	}
	rows->heap = table_open(relid, NoLock);
	rows->desc = rel->is_partitioned ? rel->desc : RelationGetDescr(rows->heap);
	rows->index = index_open(rows->leaf ? index_of_leaf(rows->heap, index)
										: index,
							 AccessShareLock);
	rows->slot = table_slot_create(rows->heap, NULL);
	rows->scan = miru_index_beginscan(rows->heap, rows->index, snapshot, 1);
	rows->per_row = AllocSetContextCreate(CurrentMemoryContext,
										  "mirusync rows of a feed",
										  ALLOCSET_SMALL_SIZES);
	return true;
}

static void
close_rows(MiruIndexRows *rows)
{
	if (rows->heap == NULL)
		return;
	index_endscan(rows->scan);
	ExecDropSingleTupleTableSlot(rows->slot);
	MemoryContextDelete(rows->per_row);
	index_close(rows->index, NoLock);
	table_close(rows->heap, NoLock);
	rows->heap = NULL;
}

/* next_row goes to the next row; false if there is none. */
static bool
next_row(MiruIndexRows *rows, ScanDirection direction)
{
	MemoryContext caller;
	HeapTuple row;

	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(rows->scan, direction, rows->slot))
		return false;
	MemoryContextReset(rows->per_row);
	caller = MemoryContextSwitchTo(rows->per_row);
	row = ExecFetchSlotHeapTuple(rows->slot, false, NULL);
	rows->row = rows->leaf == NULL
		? row
		: miru_leaf_row(rows->leaf, row, RelationGetDescr(rows->heap),
						rows->desc);
	rows->feed = miru_row_feed(rows->rel, rows->row, rows->desc);
	MemoryContextSwitchTo(caller);
	return true;
}

/* ----- the rows of a feed ----- */

void
miru_feed_rows_begin(MiruFeedRows *rows, MiruRelation *rel, const char *feed)
{
	rows->rel = rel;
	rows->feed = feed;
	rows->value = feed_value(rel, feed);
	rows->index = find_index(rel);
	rows->tables = miru_partition_leaves(rel->relid, AccessShareLock);
	rows->snapshot = RegisterSnapshot(GetLatestSnapshot());
	rows->rows.heap = NULL;
}

/* next_table goes to the next table; false if there is none. */
static bool
next_table(MiruFeedRows *rows)
{
	bool opened = false;
	ScanKeyData key;

	close_rows(&rows->rows);
	while (!opened && rows->tables != NIL)
	{
		opened = open_rows(&rows->rows, rows->rel, linitial_oid(rows->tables),
						   rows->index, rows->snapshot);
		rows->tables = list_delete_first(rows->tables);
	}
	if (!opened)
		return false;
	set_key(&key, rows->rows.index, BTEqualStrategyNumber, rows->value);
	index_rescan(rows->rows.scan, &key, 1, NULL, 0);
	return true;
}

HeapTuple
miru_feed_rows_next(MiruFeedRows *rows)
{
	while (rows->rows.heap != NULL || next_table(rows))
	{
		while (next_row(&rows->rows, ForwardScanDirection))
		{
			char *feed = rows->rows.feed;

			if (feed != NULL && strcmp(feed, rows->feed) == 0)
				return rows->rows.row;
		}
		close_rows(&rows->rows);
	}
	return NULL;
}

void
miru_feed_rows_end(MiruFeedRows *rows)
{
	close_rows(&rows->rows);
	UnregisterSnapshot(rows->snapshot);
}

/* ----- feeds ----- */

/*
 * skip_to goes to the first row after a feed, NULL: to the first one; false if
 * there is none.  Partitions may have the index in the other direction.
 */
static bool
skip_to(MiruIndexRows *rows, const Datum *after)
{
	bool descending = rows->index->rd_indoption[0] & INDOPTION_DESC;
	MemoryContext caller;
	ScanKeyData key;

	if (after == NULL)
		ScanKeyEntryInitialize(&key, SK_ISNULL | SK_SEARCHNOTNULL, 1,
							   InvalidStrategy, InvalidOid, InvalidOid,
							   InvalidOid, (Datum) 0);
	else
		set_key(&key, rows->index, BTGreaterStrategyNumber, *after);
	index_rescan(rows->scan, &key, 1, NULL, 0);
	if (!next_row(rows,
				  descending ? BackwardScanDirection : ForwardScanDirection))
		return false;
	caller = MemoryContextSwitchTo(rows->per_row);
	rows->value = feed_value(rows->rel, rows->feed);
	MemoryContextSwitchTo(caller);
	return true;
}

/* compare_rows: the least feed comes first. */
static int
compare_rows(Datum a, Datum b, void *arg)
{
	MiruIndexRows *rows_a = (MiruIndexRows *) DatumGetPointer(a);
	MiruIndexRows *rows_b = (MiruIndexRows *) DatumGetPointer(b);
	Relation index = rows_a->index;

	return DatumGetInt32(
		FunctionCall2Coll(index_getprocinfo(index, 1, BTORDER_PROC),
						  index->rd_indcollation[0], rows_b->value,
						  rows_a->value));
}

/* take_feed returns the least feed, and goes on to the next one. */
static char *
take_feed(binaryheap *heap)
{
	MiruIndexRows *first = (MiruIndexRows *) DatumGetPointer(
		binaryheap_first(heap));
	char *feed = pstrdup(first->feed);
	Datum value = feed_value(first->rel, feed);

	do
	{
		if (skip_to(first, &value))
			binaryheap_replace_first(heap, PointerGetDatum(first));
		else
			(void) binaryheap_remove_first(heap);
		if (binaryheap_empty(heap))
			break;
		first = (MiruIndexRows *) DatumGetPointer(binaryheap_first(heap));
	} while (strcmp(first->feed, feed) == 0);
	return feed;
}

List *
miru_feed_rows_feeds(MiruRelation *rel, const char *after, int limit)
{
	Oid index = find_index(rel);
	List *tables = miru_partition_leaves(rel->relid, AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int count = list_length(tables);
	MiruIndexRows *rows = palloc0(sizeof(MiruIndexRows) * Max(count, 1));
	binaryheap *heap = binaryheap_allocate(Max(count, 1), compare_rows, NULL);
	Datum value = after ? feed_value(rel, after) : (Datum) 0;
	List *feeds = NIL;

	for (int i = 0; i < count; i++)
	{
		if (open_rows(&rows[i], rel, list_nth_oid(tables, i), index,
					  snapshot) &&
			skip_to(&rows[i], after ? &value : NULL))
			binaryheap_add_unordered(heap, PointerGetDatum(&rows[i]));
	}
	binaryheap_build(heap);
	while (list_length(feeds) < limit && !binaryheap_empty(heap))
		feeds = lappend(feeds, take_feed(heap));
	for (int i = 0; i < count; i++)
		close_rows(&rows[i]);
	UnregisterSnapshot(snapshot);
	return feeds;
}
