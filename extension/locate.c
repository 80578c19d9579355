/*
 * locate.c
 *     Where the rows of many keys are, by one walk along the primary key.
 *
 * To look a key up costs a descent through the index, which is nearly half of
 * what it takes to read a page of a feed.  Where the rows that are wanted lie
 * close to each other in the index, to walk from the first to the last costs a
 * fraction of that.  Ids of random UUIDs are close in a feed of a few thousand
 * records, numbers also in a large one.  Where they are not close the walk
 * soon ends, and who asked looks up what was not found.
 *
 * What is found is the place of some version of a row; whether one is visible
 * there is found out by reading it.  As with a bitmap scan, another row that
 * comes to lie there meanwhile is not visible to a snapshot that is older.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "compat.h"
#include "key.h"
#include "miscadmin.h"
#include "reader.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* A look costs as much as so many steps. */
#define STEPS_PER_LOOK 8

/* After so many steps it is seen how close the rows are. */
#define STEPS_MIN 128

/* The keys that are wanted, which differ in their last column. */
typedef struct Wanted
{
	Datum **keys;
	int last; /* index of that column */
	FmgrInfo *compare;
	Oid collation;
} Wanted;

static int
compare(const Wanted *wanted, Datum a, Datum b)
{
	return DatumGetInt32(
		FunctionCall2Coll(wanted->compare, wanted->collation, a, b));
}

static int
compare_keys(const void *a, const void *b, void *arg)
{
	const Wanted *wanted = arg;

	return compare(wanted, wanted->keys[*(const int *) a][wanted->last],
				   wanted->keys[*(const int *) b][wanted->last]);
}

/* make_order returns the indexes of the keys in the order of the index. */
static int *
make_order(Wanted *wanted, int count)
{
	int *order = palloc(count * sizeof(int));

	for (int i = 0; i < count; i++)
		order[i] = i;
	qsort_arg(order, count, sizeof(int), compare_keys, wanted);
	return order;
}

/* begin_walk begins a scan that goes on from a key. */
static IndexScanDesc
begin_walk(MiruReader *reader, const Datum *from, Snapshot snapshot)
{
	MiruRelation *rel = reader->rel;
	Relation index = reader->index;
	int last = rel->key_count - 1;
	Oid type = index->rd_opcintype[last];
	Oid at_least = get_opfamily_member(index->rd_opfamily[last], type, type,
									   BTGreaterEqualStrategyNumber);
	ScanKeyData keys[INDEX_MAX_KEYS];
	IndexScanDesc scan;

	miru_key_scan(rel, from, keys);
	ScanKeyEntryInitialize(&keys[last], 0, last + 1,
						   BTGreaterEqualStrategyNumber, InvalidOid,
						   rel->keys[last].collation, get_opcode(at_least),
						   from[last]);
	scan = miru_index_beginscan(reader->heap, index, snapshot, rel->key_count);
	scan->xs_want_itup = true;
	index_rescan(scan, keys, rel->key_count, NULL, 0);
	return scan;
}

bool
miru_reader_can_locate(const MiruReader *reader)
{
	MiruRelation *rel = reader->rel;
	int last = rel->key_count - 1;

	if (reader->scan == NULL ||
		(reader->index->rd_indoption[last] & INDOPTION_DESC) != 0)
		return false;
	for (int i = 0; i <= last; i++)
	{
		if ((rel->keys[i].is_feed || rel->keys[i].is_collection) != (i < last))
			return false;
	}
	return true;
}

void
miru_reader_locate(MiruReader *reader, Datum **keys, int count,
				   Snapshot snapshot, ItemPointerData *places)
{
	int last = reader->rel->key_count - 1;
	Wanted wanted = {keys, last,
					 index_getprocinfo(reader->index, last + 1, BTORDER_PROC),
					 reader->index->rd_indcollation[last]};
	int *order = make_order(&wanted, count);
	IndexScanDesc scan = begin_walk(reader, keys[order[0]], snapshot);
	ItemPointer place;
	int steps = 0;
	int at = 0;

	for (int i = 0; i < count; i++)
		ItemPointerSetInvalid(&places[i]);
	while ((place = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool isnull;
		Datum value = index_getattr(scan->xs_itup, last + 1, scan->xs_itupdesc,
									&isnull);
		int side = -1;

		CHECK_FOR_INTERRUPTS();
		for (; at < count; at++)
		{
			side = compare(&wanted, keys[order[at]][last], value);
			if (side >= 0)
				break;
		}
		/* Of several versions the last one is the likeliest. */
		if (side == 0)
			places[order[at]] = *place;
		if (at == count ||
			(++steps >= STEPS_MIN && steps > (at + 1) * STEPS_PER_LOOK))
			break;
	}
	index_endscan(scan);
	pfree(order);
}
