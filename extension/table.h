/*
 * table.h
 *     Direct access to mirusync's own tables: find, insert, update, delete.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TABLE_H
#define MIRUSYNC_TABLE_H

#include "access/genam.h"
#include "access/htup.h"
#include "catalog/indexing.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* An opened table with its indexes; closed, its lock stays to commit. */
typedef struct MiruTable
{
	Relation heap;
	CatalogIndexState indexes;	 /* NULL when opened for reading */
	struct TupleTableSlot *slot; /* for finding; NULL when for reading */
} MiruTable;

/* An ordered scan of an index of ours: equal text columns, then a bound. */
typedef struct MiruScan
{
	Relation index;
	IndexScanDesc scan;
	struct TupleTableSlot *slot;
} MiruScan;

extern MiruTable miru_table_open(const char *name, bool for_writing);
extern void miru_table_close(MiruTable *table);

extern void
miru_table_insert(MiruTable *table, const Datum *values, const bool *nulls);

/* miru_table_update replaces the version "old" of a row. */
extern void miru_table_update(MiruTable *table, HeapTuple old,
							  const Datum *values, const bool *nulls);

extern void miru_table_delete(MiruTable *table, HeapTuple row);

/* miru_table_deleted returns how many rows this process has deleted so far. */
extern int64 miru_table_deleted(void);

/* Returns the number up to which a collection is trimmed. */
typedef int64 (*MiruTrimUpto)(void *arg, const char *collection);

/* Tells whether a row of a number is one to delete. */
typedef bool (*MiruWanted)(void *arg, HeapTuple row, TupleDesc desc,
						   int64 number);

/*
 * miru_table_forget deletes the rows of a feed whose number, in "column", lies
 * above "from" and not above "upto", and that are wanted (NULL: all).  It
 * looks at most at "max"; returns at how many, and moves "from" on.  The caller
 * has locked the feed.
 */
extern int64
miru_table_forget(const char *name, const char *index, const char *feed,
				  int64 *from, int64 upto, int64 max, int column,
				  MiruWanted wanted, void *arg);

/*
 * miru_table_find returns a copy of the row whose first "count" index columns
 * are the given texts, NULL if there is none.
 */
extern HeapTuple
miru_table_find(MiruTable *table, const char *index, const char *const *texts,
				int count, Snapshot snapshot);

/*
 * miru_scan_begin scans the rows of a feed by number through an index on
 * (feed, bigint): forward those above "after", backward all of them.
 */
extern void miru_scan_begin(MiruScan *scan, MiruTable *table, const char *index,
							const char *feed, int64 after, Snapshot snapshot);

/* miru_scan_begin_at: the same where "count" texts stand before the number. */
extern void miru_scan_begin_at(MiruScan *scan, MiruTable *table,
							   const char *index, const char *const *texts,
							   int count, int64 after, Snapshot snapshot);

/* miru_scan_next returns the next row, owned by the scan, or NULL. */
extern HeapTuple miru_scan_next(MiruScan *scan, bool forward);
extern void miru_scan_end(MiruScan *scan);

#endif /* MIRUSYNC_TABLE_H */
