/*
 * reader.c
 *     Reads rows of an attached table by their keys, wherever they are.
 *
 * Flush, pull and push read many rows one after another, mostly of the same
 * table.  A reader keeps the table and the index open meanwhile, and for a
 * partitioned table the partitions that it came across last.
 *
 * Ordering and locks: a partition is found from the top, which locks each
 * table on the way (ACCESS SHARE).  Who has written a row knows the partition
 * and has locked it, and must not wait for the tables above: ALTER TABLE locks
 * those first.  So flush says where the row was, and the tables above are
 * opened only if it is no partition any more.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "compat.h"
#include "key.h"
#include "miscadmin.h"
#include "reader.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

void
miru_reader_open(MiruReader *reader, MiruRelation *rel, Relation heap)
{
	Assert(reader->rel == NULL);
	reader->rel = rel;
	reader->heap = heap;
	reader->leaf_count = 0;
	reader->index = NULL;
	reader->desc = rel->desc;
	if (rel->is_partitioned)
		return;
	if (heap == NULL)
		reader->heap = table_open(rel->relid, AccessShareLock);
	reader->desc = RelationGetDescr(reader->heap);
	reader->index = index_open(rel->key_index, AccessShareLock);
}

static void
close_leaf(MiruReaderLeaf *opened)
{
	index_close(opened->index, AccessShareLock);
	table_close(opened->heap, NoLock);
}

void
miru_reader_close(MiruReader *reader)
{
	if (reader->rel == NULL)
		return;
	for (int i = 0; i < Min(reader->leaf_count, MIRU_READER_LEAVES); i++)
		close_leaf(&reader->leaves[i]);
	if (reader->index != NULL)
		index_close(reader->index, AccessShareLock);
	if (reader->heap != NULL)
		table_close(reader->heap, NoLock);
	reader->rel = NULL;
}

/* find_leaf returns a partition that is open. */
static MiruReaderLeaf *
find_leaf(MiruReader *reader, Oid relid)
{
	for (int i = 0; i < Min(reader->leaf_count, MIRU_READER_LEAVES); i++)
	{
		if (reader->leaves[i].leaf->relid == relid)
			return &reader->leaves[i];
	}
	return NULL;
}

/*
 * open_leaf opens a partition, in place of the one opened first if need be.
 * NULL: it is none of the table's any more, which may come out while its lock
 * is waited for.
 */
static MiruReaderLeaf *
open_leaf(MiruReader *reader, Oid relid)
{
	MiruReaderLeaf *opened = find_leaf(reader, relid);
	MiruReaderLeaf new;

	if (opened != NULL)
		return opened;
	new.heap = try_table_open(relid, AccessShareLock);
	if (new.heap == NULL)
		return NULL;
	new.leaf = miru_leaf_get(relid);
	if (new.leaf == NULL || new.leaf->root != reader->rel->relid)
	{
		table_close(new.heap, AccessShareLock);
		return NULL;
	}
	if (!OidIsValid(new.leaf->key_index))
		elog(ERROR, "partition \"%s\" of table %s has no primary key",
			 RelationGetRelationName(new.heap), reader->rel->qualified_name);
	new.index = index_open(new.leaf->key_index, AccessShareLock);
	opened = &reader->leaves[reader->leaf_count % MIRU_READER_LEAVES];
	if (reader->leaf_count >= MIRU_READER_LEAVES)
		close_leaf(opened);
	*opened = new;
	reader->leaf_count++;
	return opened;
}

/* is_leaf_of tells whether a table still is a partition of the reader's. */
static bool
is_leaf_of(MiruReader *reader, Oid relid)
{
	MiruLeaf *leaf;

	if (find_leaf(reader, relid) != NULL)
		return true;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return false;
	leaf = miru_leaf_get(relid);
	return leaf != NULL && leaf->root == reader->rel->relid;
}

/*
 * leaf_of_key finds a partition from the top; NULL: none takes the key.  The
 * last step of DETACH CONCURRENTLY does not wait for who reads the table above.
 * Who has waited for it knows the partitions as they then are, and looks again.
 */
static MiruReaderLeaf *
leaf_of_key(MiruReader *reader, const Datum *values)
{
	MiruReaderLeaf *opened = NULL;

	if (reader->heap == NULL)
		reader->heap = table_open(reader->rel->relid, AccessShareLock);
	while (opened == NULL)
	{
		Oid relid = miru_partition_of_key(reader->rel, reader->heap, values);

		CHECK_FOR_INTERRUPTS();
		if (!OidIsValid(relid))
			return NULL;
		opened = open_leaf(reader, relid);
	}
	return opened;
}

/* fetch_at reads the version of a row that is at a place, if that stands. */
static HeapTuple
fetch_at(Relation heap, ItemPointer place)
{
	TupleTableSlot *slot;
	HeapTuple row = NULL;

	/* A file that this transaction made may have been cut since. */
	if (heap->rd_createSubid != InvalidSubTransactionId ||
		miru_relation_new_file(heap) != InvalidSubTransactionId)
		return NULL;
	slot = table_slot_create(heap, NULL);
	if (table_tuple_fetch_row_version(heap, place, SnapshotSelf, slot))
		row = ExecCopySlotHeapTuple(slot);
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

HeapTuple
miru_reader_fetch_at(MiruReader *reader, Oid leaf, ItemPointer place)
{
	MiruReaderLeaf *opened;
	HeapTuple row;

	if (!reader->rel->is_partitioned)
		return fetch_at(reader->heap, place);
	if (!OidIsValid(leaf) || !is_leaf_of(reader, leaf))
		return NULL;
	opened = open_leaf(reader, leaf);
	row = opened ? fetch_at(opened->heap, place) : NULL;
	if (row == NULL)
		return NULL;
	return miru_leaf_row(opened->leaf, row, RelationGetDescr(opened->heap),
						 reader->desc);
}

HeapTuple
miru_reader_fetch(MiruReader *reader, Oid leaf, const Datum *values,
				  Snapshot snapshot)
{
	MiruReaderLeaf *opened;
	HeapTuple row;

	if (!reader->rel->is_partitioned)
		return miru_row_fetch(reader->rel, reader->heap, reader->index, values,
							  snapshot);
	if (OidIsValid(leaf) && is_leaf_of(reader, leaf))
		opened = open_leaf(reader, leaf);
	else
		opened = leaf_of_key(reader, values);
	if (opened == NULL)
		return NULL;
	row = miru_row_fetch(reader->rel, opened->heap, opened->index, values,
						 snapshot);
	if (row == NULL)
		return NULL;
	return miru_leaf_row(opened->leaf, row, RelationGetDescr(opened->heap),
						 reader->desc);
}

HeapTuple
miru_reader_fetch_of(MiruReader *reader, const Datum *values, const char *feed,
					 Snapshot snapshot)
{
	HeapTuple row = miru_reader_fetch(reader, InvalidOid, values, snapshot);
	MiruRelation *rel = reader->rel;
	MinimalTuple key;
	MinimalTuple wanted;
	char *row_feed;

	if (row == NULL)
		return NULL;
	row_feed = miru_row_feed(rel, row, reader->desc);
	if (row_feed == NULL || strcmp(row_feed, feed) != 0)
		return NULL;
	key = miru_key_of_row(rel, row, reader->desc);
	wanted = miru_key_make(rel, values);
	if (key->t_len != wanted->t_len || memcmp(key, wanted, key->t_len) != 0)
		return NULL;
	return row;
}
