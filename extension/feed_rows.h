/*
 * feed_rows.h
 *     The rows of an attached table by feed, through an index on its feed
 *     column.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FEED_ROWS_H
#define MIRUSYNC_FEED_ROWS_H

#include "access/genam.h"
#include "access/htup.h"
#include "nodes/pg_list.h"
#include "partition.h"
#include "registry.h"
#include "utils/snapshot.h"

/* The rows of one table, which may be a partition, in the order of an index. */
typedef struct MiruIndexRows
{
	MiruRelation *rel; /* the attached table */
	MiruLeaf *leaf;	   /* the partition; NULL: it is that table itself */
	TupleDesc desc;	   /* of rows in the attached table's form */
	Relation heap;	   /* NULL: closed */
	Relation index;
	IndexScanDesc scan;
	struct TupleTableSlot *slot;
	MemoryContext per_row; /* has the row, until the next one */
	HeapTuple row;
	char *feed; /* of the row, or NULL */
	Datum
		value; /* the same, as a value of its column; where feeds are listed */
} MiruIndexRows;

/* A scan of the rows of one feed. */
typedef struct MiruFeedRows
{
	MiruRelation *rel;
	const char *feed;
	Datum value; /* the feed, as a value of its column */
	Oid index;	 /* of the attached table */
	Snapshot snapshot;
	List *tables; /* OIDs of those that are still to be read */
	MiruIndexRows rows;
} MiruFeedRows;

/*
 * miru_feed_rows_begin begins a scan of the rows of a feed that are committed
 * now, in whatever partition.  Throws 55000 if no index of the table begins
 * with its feed column.
 */
extern void
miru_feed_rows_begin(MiruFeedRows *rows, MiruRelation *rel, const char *feed);

/*
 * miru_feed_rows_next returns the next row, in the form of the attached table
 * (rows->rows says more of it), owned by the scan; or NULL.
 */
extern HeapTuple miru_feed_rows_next(MiruFeedRows *rows);
extern void miru_feed_rows_end(MiruFeedRows *rows);

/*
 * miru_feed_rows_feeds returns at most "limit" feeds that have rows, each
 * once, in ascending order, from the one after "after" (NULL: from the
 * first one) on.
 */
extern List *
miru_feed_rows_feeds(MiruRelation *rel, const char *after, int limit);

#endif /* MIRUSYNC_FEED_ROWS_H */
