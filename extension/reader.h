/*
 * reader.h
 *     Reads rows of an attached table by their keys, wherever they are.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_READER_H
#define MIRUSYNC_READER_H

#include "access/htup.h"
#include "partition.h"
#include "registry.h"
#include "utils/snapshot.h"

/* More partitions than this are not kept open. */
#define MIRU_READER_LEAVES 32

/* A partition that was read from. */
typedef struct MiruReaderLeaf
{
	Relation heap;
	Relation index;
	MiruLeaf *leaf;
} MiruReaderLeaf;

/* Zeroes are one that is closed. */
typedef struct MiruReader
{
	MiruRelation *rel; /* NULL: closed */
	TupleDesc desc;	   /* of the rows that it returns */
	Relation heap;	   /* NULL: not needed yet */
	Relation index;	   /* NULL: the table is partitioned */
	int leaf_count;	   /* ever opened; the last ones are open */
	MiruReaderLeaf leaves[MIRU_READER_LEAVES];
} MiruReader;

/*
 * miru_reader_open makes it read a table, which it keeps open until
 * miru_reader_close.  "heap" is the table if the caller has opened it, and
 * then belongs to the reader; else NULL.  Locks stay to the end of the
 * transaction.
 */
extern void
miru_reader_open(MiruReader *reader, MiruRelation *rel, Relation heap);
extern void miru_reader_close(MiruReader *reader);

/*
 * miru_reader_fetch reads the row with an equal key under a snapshot, NULL if
 * there is none.  "leaf" is the partition that had it last, if the caller
 * knows and has it locked, else InvalidOid.  The tuple is a copy.
 */
extern HeapTuple miru_reader_fetch(MiruReader *reader, Oid leaf,
								   const Datum *values, Snapshot snapshot);

/*
 * miru_reader_fetch_at reads the version of a row that was written at a place
 * of the table, or of the partition "leaf", if it still is the latest one to
 * this transaction; else NULL.  The place may have been given to another row:
 * the caller looks at its key.
 */
extern HeapTuple
miru_reader_fetch_at(MiruReader *reader, Oid leaf, ItemPointer place);

/*
 * miru_reader_fetch_of reads the row of a record: with that very key, to the
 * digit, and in that feed.  NULL if there is none; what belongs to somebody
 * else never leaves.
 */
extern HeapTuple miru_reader_fetch_of(MiruReader *reader, const Datum *values,
									  const char *feed, Snapshot snapshot);

#endif /* MIRUSYNC_READER_H */
