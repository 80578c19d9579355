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
 * Nothing is locked but the table and the index, against being dropped.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "compat.h"
#include "feed_rows.h"
#include "key.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * is_usable tells whether an index finds all rows of a feed.  Under a
 * collation in which different texts are equal, feeds would be skipped.
 */
static bool
is_usable(Relation index, AttrNumber feed_attnum)
{
	Form_pg_index form = index->rd_index;
	Oid collation = index->rd_indcollation[0];

	return form->indisvalid && index->rd_rel->relam == BTREE_AM_OID &&
		form->indkey.values[0] == feed_attnum &&
		RelationGetIndexPredicate(index) == NIL &&
		(!OidIsValid(collation) || get_collation_isdeterministic(collation));
}

/* open_feed_index opens an index that begins with the feed column. */
static Relation
open_feed_index(MiruRelation *rel, Relation heap)
{
	List *indexes = RelationGetIndexList(heap);
	ListCell *cell;

	foreach(cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_usable(index, rel->feed_attnum))
			return index;
		index_close(index, AccessShareLock);
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("table %s has no index on its feed column",
				rel->qualified_name),
		 errdetail(
			 "Its rows are read feed by feed, which needs a B-tree index without a condition, of a deterministic collation, whose first column is \"%s\".",
			 rel->feed_name),
		 errhint("CREATE INDEX CONCURRENTLY ON %s (%s)", rel->qualified_name,
				 quote_identifier(rel->feed_name))));
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

static void
open_rows(MiruFeedRows *rows, MiruRelation *rel)
{
	rows->rel = rel;
	rows->heap = table_open(rel->relid, AccessShareLock);
	rows->index = open_feed_index(rel, rows->heap);
	rows->snapshot = RegisterSnapshot(GetLatestSnapshot());
	rows->slot = table_slot_create(rows->heap, NULL);
	rows->scan = miru_index_beginscan(rows->heap, rows->index, rows->snapshot,
									  1);
	rows->per_row = AllocSetContextCreate(CurrentMemoryContext,
										  "mirusync rows of a feed",
										  ALLOCSET_DEFAULT_SIZES);
}

void
miru_feed_rows_begin(MiruFeedRows *rows, MiruRelation *rel, const char *feed)
{
	ScanKeyData key;

	open_rows(rows, rel);
	rows->feed = feed;
	set_key(&key, rows->index, BTEqualStrategyNumber, feed_value(rel, feed));
	index_rescan(rows->scan, &key, 1, NULL, 0);
}

/* row_feed returns the feed of a row, until the next one is looked at. */
static char *
row_feed(MiruFeedRows *rows, HeapTuple row)
{
	MemoryContext caller = MemoryContextSwitchTo(rows->per_row);
	char *feed;

	MemoryContextReset(rows->per_row);
	feed = miru_row_feed(rows->rel, row, RelationGetDescr(rows->heap));
	MemoryContextSwitchTo(caller);
	return feed;
}

HeapTuple
miru_feed_rows_next(MiruFeedRows *rows)
{
	while (index_getnext_slot(rows->scan, ForwardScanDirection, rows->slot))
	{
		HeapTuple row = ExecFetchSlotHeapTuple(rows->slot, false, NULL);
		char *feed = row_feed(rows, row);

		CHECK_FOR_INTERRUPTS();
		if (feed != NULL && strcmp(feed, rows->feed) == 0)
			return row;
	}
	return NULL;
}

void
miru_feed_rows_end(MiruFeedRows *rows)
{
	index_endscan(rows->scan);
	ExecDropSingleTupleTableSlot(rows->slot);
	UnregisterSnapshot(rows->snapshot);
	MemoryContextDelete(rows->per_row);
	index_close(rows->index, AccessShareLock);
	table_close(rows->heap, NoLock);
}

/* skip_to goes to the first row after a feed; false if there is none. */
static bool
skip_to(MiruFeedRows *rows, const char *after)
{
	bool descending = rows->index->rd_indoption[0] & INDOPTION_DESC;
	ScanKeyData key;

	if (after == NULL)
		ScanKeyEntryInitialize(&key, SK_ISNULL | SK_SEARCHNOTNULL, 1,
							   InvalidStrategy, InvalidOid, InvalidOid,
							   InvalidOid, (Datum) 0);
	else
		set_key(&key, rows->index,
				descending ? BTLessStrategyNumber : BTGreaterStrategyNumber,
				feed_value(rows->rel, after));
	index_rescan(rows->scan, &key, 1, NULL, 0);
	return index_getnext_slot(rows->scan, ForwardScanDirection, rows->slot);
}

List *
miru_feed_rows_feeds(MiruRelation *rel, const char *after, int limit)
{
	MiruFeedRows rows;
	List *feeds = NIL;

	open_rows(&rows, rel);
	while (list_length(feeds) < limit && skip_to(&rows, after))
	{
		HeapTuple row = ExecFetchSlotHeapTuple(rows.slot, false, NULL);

		CHECK_FOR_INTERRUPTS();
		after = pstrdup(row_feed(&rows, row));
		feeds = lappend(feeds, unconstify(char *, after));
	}
	miru_feed_rows_end(&rows);
	return feeds;
}
