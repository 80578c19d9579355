/*
 * partition.h
 *     Partitions of attached tables: which belong to one, how their rows look,
 *     and which of them has the row of a key.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PARTITION_H
#define MIRUSYNC_PARTITION_H

#include "access/attmap.h"
#include "access/htup.h"
#include "nodes/pg_list.h"
#include "registry.h"
#include "storage/lockdefs.h"

/*
 * A table with rows that belong to an attached one.  Cached for the backend;
 * a pointer stays valid until the transaction ends.
 */
typedef struct MiruLeaf
{
	Oid relid;
	Oid root;	   /* the attached table; relid if it is that itself */
	AttrMap *map;  /* its column for each of the root's; NULL: the same */
	Oid key_index; /* its own primary key */
} MiruLeaf;

extern void miru_partition_init(void);

/*
 * miru_partition_root returns the nearest attached table at or above a table,
 * InvalidOid if there is none.  A partition that is being detached
 * concurrently still counts, until the last step.
 */
extern Oid miru_partition_root(Oid relid);

/*
 * miru_leaf_get returns what is known of a table, NULL if neither it nor a
 * table above it is attached.  The caller has locked it.
 */
extern MiruLeaf *miru_leaf_get(Oid relid);

/*
 * miru_leaf_read makes the same, in the current memory context, for a table
 * that has left the attached one, or is about to.
 */
extern MiruLeaf *miru_leaf_read(Relation heap, MiruRelation *rel);

/*
 * miru_leaf_row returns a leaf's row in the form of the attached table, with
 * the header of the row that it was.  It may be the row itself.
 */
extern HeapTuple miru_leaf_row(const MiruLeaf *leaf, HeapTuple row,
							   TupleDesc leaf_desc, TupleDesc root_desc);

/*
 * miru_partition_tables returns a partitioned table and everything below it,
 * what is being detached concurrently too, and locks all but the table.
 */
extern List *miru_partition_tables(Oid relid, LOCKMODE lock);

/*
 * miru_partition_leaves locks a table and everything below it, and returns
 * the OIDs of those that have rows.
 */
extern List *miru_partition_leaves(Oid relid, LOCKMODE lock);

/*
 * miru_partition_of_key returns the leaf that a row with such a key is in, if
 * there is one; InvalidOid when no partition takes it.  "root" is the attached
 * table, open and locked.  Tables between it and the leaf are locked to the
 * end of the transaction, so the leaf stays where it is, but for the last step
 * of DETACH CONCURRENTLY.
 */
extern Oid
miru_partition_of_key(MiruRelation *rel, Relation root, const Datum *values);

#endif /* MIRUSYNC_PARTITION_H */
