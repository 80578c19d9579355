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
#include "registry.h"
#include "utils/snapshot.h"

/* A scan of the rows of one feed. */
typedef struct MiruFeedRows
{
	MiruRelation *rel;
	const char *feed;
	Relation heap;
	Relation index;
	Snapshot snapshot;
	IndexScanDesc scan;
	struct TupleTableSlot *slot;
	MemoryContext per_row;
} MiruFeedRows;

/*
 * miru_feed_rows_begin begins a scan of the rows of a feed that are committed
 * now.  Throws 55000 if no index of the table begins with its feed column.
 */
extern void
miru_feed_rows_begin(MiruFeedRows *rows, MiruRelation *rel, const char *feed);

/* miru_feed_rows_next returns the next row, owned by the scan, or NULL. */
extern HeapTuple miru_feed_rows_next(MiruFeedRows *rows);
extern void miru_feed_rows_end(MiruFeedRows *rows);

/*
 * miru_feed_rows_feeds returns at most "limit" feeds that have rows, each
 * once, in the order of the index, from the one after "after" (NULL: from the
 * first one) on.
 */
extern List *
miru_feed_rows_feeds(MiruRelation *rel, const char *after, int limit);

#endif /* MIRUSYNC_FEED_ROWS_H */
