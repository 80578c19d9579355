/*
 * partition.c
 *     Partitions of attached tables: which belong to one, how their rows look,
 *     and which of them has the row of a key.
 *
 * The records of an attached partitioned table are known by the partitioned
 * table: its relation, its primary key, its fields.  Only the rows are
 * elsewhere, in leaves, whose columns may stand in another order and have
 * gaps.  A row is therefore brought into the table's form where it is noted
 * and where it is read, and nobody else knows that there are partitions.
 *
 * Which leaf has the row of a key follows from the key.  A primary key of a
 * partitioned table has all columns that any level is partitioned by, and
 * allows no expressions among them, so the key alone says the way down.  The
 * logic is that of get_partition_for_tuple() in the server's
 * execPartition.c, which is static there.
 *
 * What is known of a leaf is kept for the backend.  It becomes invalid with
 * the leaf's own relcache entry.  That is enough: what comes between a leaf and
 * the attached table puts triggers on the leaf or takes them off, and a change
 * of the table's columns or key changes those of the leaf.  Callers may hold
 * what became invalid, so its memory is freed when the transaction ends.
 *
 * A partition that is being detached concurrently counts as one until its
 * last step, in which ddl.c notes that its rows leave.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "attached.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "compat.h"
#include "miscadmin.h"
#include "partition.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/catcache.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"

typedef struct LeafEntry
{
	Oid relid; /* hash key */
	MiruLeaf *leaf;
	MemoryContext context; /* that the leaf is in */
} LeafEntry;

static HTAB *leaves = NULL;

/* Counts invalidations: what changes while it is read is not kept. */
static uint32 changes = 0;


/* -------------------------------------------------------------------------
 * The cache
 * ------------------------------------------------------------------------- */

static void
forget(LeafEntry *entry)
{
	miru_registry_retire(entry->context);
	hash_search(leaves, &entry->relid, HASH_REMOVE, NULL);
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	LeafEntry *entry;

	changes++;
	if (leaves == NULL)
		return;
	if (OidIsValid(relid))
	{
		entry = hash_search(leaves, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			forget(entry);
		return;
	}
	hash_seq_init(&status, leaves);
	while ((entry = hash_seq_search(&status)) != NULL)
		forget(entry);
}

void
miru_partition_init(void)
{
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
}

static void
make_cache(void)
{
	HASHCTL control = {0};

	if (CacheMemoryContext == NULL)
		CreateCacheMemoryContext();
	control.hcxt = CacheMemoryContext;
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(LeafEntry);
	leaves = hash_create("mirusync leaves", 64, &control,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

Oid
miru_partition_root(Oid relid)
{
	while (!miru_is_attached(relid))
	{
		if (!get_rel_relispartition(relid))
			return InvalidOid;
		relid = get_partition_parent(relid, true);
	}
	return relid;
}

/* own_key returns the index of a table's primary key, if it has one. */
static Oid
own_key(Oid relid)
{
	Oid constraint;

	get_primary_key_attnos(relid, true, &constraint);
	return OidIsValid(constraint) ? get_constraint_index(constraint)
								  : InvalidOid;
}

MiruLeaf *
miru_leaf_read(Relation heap, MiruRelation *rel)
{
	MiruLeaf *leaf = palloc0(sizeof(MiruLeaf));

	leaf->relid = RelationGetRelid(heap);
	leaf->root = rel->relid;
	leaf->key_index = own_key(leaf->relid);
	/*
	 * There is a map also where a leaf has values for rows from before ADD
	 * COLUMN ... DEFAULT, which the root's descriptor has not.
	 */
	if (rel->is_partitioned)
		leaf->map = miru_build_attrmap(RelationGetDescr(heap), rel->desc);
	return leaf;
}

/* load_leaf reads what there is to know of a leaf, and keeps it. */
static MiruLeaf *
load_leaf(Oid relid)
{
	Oid root = miru_partition_root(relid);
	MiruRelation *rel = OidIsValid(root) ? miru_relation_get(root) : NULL;
	uint32 before = changes;
	MemoryContext context;
	MemoryContext caller;
	LeafEntry *entry;
	Relation heap;
	MiruLeaf *leaf;

	if (rel == NULL)
		return NULL;
	if (leaves == NULL)
		make_cache();
	context = AllocSetContextCreate(CurrentMemoryContext, "mirusync leaf",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	heap = table_open(relid, AccessShareLock);
	leaf = miru_leaf_read(heap, rel);
	table_close(heap, AccessShareLock);
	MemoryContextSwitchTo(caller);

	if (changes != before)
	{
		miru_registry_retire(context);
		return leaf;
	}
	entry = hash_search(leaves, &relid, HASH_ENTER, NULL);
	entry->leaf = leaf;
	entry->context = context;
	MemoryContextSetParent(context, CacheMemoryContext);
	return leaf;
}

MiruLeaf *
miru_leaf_get(Oid relid)
{
	if (leaves != NULL)
	{
		LeafEntry *entry = hash_search(leaves, &relid, HASH_FIND, NULL);

		if (entry != NULL)
			return entry->leaf;
	}
	return load_leaf(relid);
}


/* -------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------- */

/* keep_header makes a row look as old, and as visible, as another. */
static void
keep_header(HeapTuple row, HeapTuple from)
{
	HeapTupleHeader to = row->t_data;

	to->t_choice.t_heap = from->t_data->t_choice.t_heap;
	to->t_infomask = (to->t_infomask & ~HEAP_XACT_MASK) |
		(from->t_data->t_infomask & HEAP_XACT_MASK);
	row->t_self = from->t_self;
	row->t_tableOid = from->t_tableOid;
}

HeapTuple
miru_leaf_row(const MiruLeaf *leaf, HeapTuple row, TupleDesc leaf_desc,
			  TupleDesc root_desc)
{
	Datum *leaf_values;
	bool *leaf_nulls;
	Datum *values;
	bool *nulls;
	HeapTuple result;

	if (leaf->map == NULL)
		return row;
	leaf_values = palloc(leaf_desc->natts * sizeof(Datum));
	leaf_nulls = palloc(leaf_desc->natts * sizeof(bool));
	heap_deform_tuple(row, leaf_desc, leaf_values, leaf_nulls);
	values = palloc0(root_desc->natts * sizeof(Datum));
	nulls = palloc(root_desc->natts * sizeof(bool));
	for (int i = 0; i < root_desc->natts; i++)
	{
		AttrNumber from = leaf->map->attnums[i];

		nulls[i] = from == 0 || leaf_nulls[from - 1];
		if (!nulls[i])
			values[i] = leaf_values[from - 1];
	}
	result = heap_form_tuple(root_desc, values, nulls);
	keep_header(result, row);
	return result;
}


/* -------------------------------------------------------------------------
 * The tree
 * ------------------------------------------------------------------------- */

/* In the order of find_all_inheritors(), in which everybody locks them. */
List *
miru_partition_tables(Oid relid, LOCKMODE lock)
{
	List *found = list_make1_oid(relid);
	ListCell *cell;

	foreach(cell, found)
	{
		CHECK_FOR_INTERRUPTS();
		found = list_concat(found,
							find_inheritance_children_extended(lfirst_oid(cell),
															   false, lock,
															   NULL, NULL));
	}
	return found;
}

List *
miru_partition_leaves(Oid relid, LOCKMODE lock)
{
	List *found = NIL;
	ListCell *cell;

	/* Tables that inherit are no partitions. */
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
	{
		if (lock != NoLock)
			LockRelationOid(relid, lock);
		return list_make1_oid(relid);
	}
	foreach(cell, miru_partition_tables(relid, lock))
	{
		if (get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE)
			found = lappend_oid(found, lfirst_oid(cell));
	}
	return found;
}

/* partition_values picks what a table is partitioned by from a key. */
static void
partition_values(MiruRelation *rel, Relation parent, PartitionKey by,
				 const Datum *values, Datum *picked)
{
	TupleDesc desc = RelationGetDescr(parent);

	for (int i = 0; i < by->partnatts; i++)
	{
		AttrNumber attnum = by->partattrs[i];
		const char *name;
		int k = 0;

		if (attnum == 0)
			elog(ERROR, "table \"%s\" is partitioned by an expression",
				 RelationGetRelationName(parent));
		name = NameStr(TupleDescAttr(desc, attnum - 1)->attname);
		while (k < rel->key_count && strcmp(rel->keys[k].name, name) != 0)
			k++;
		if (k == rel->key_count)
			elog(ERROR, "column \"%s\" is not in the primary key of table %s",
				 name, rel->qualified_name);
		picked[i] = values[k];
	}
}

/* find_partition returns the index of the partition for values, or -1. */
static int
find_partition(PartitionKey by, PartitionBoundInfo bounds, Datum *values)
{
	bool nulls[PARTITION_MAX_KEYS] = {false};
	bool equal = false;
	int found = -1;
	int offset;

	switch (by->strategy)
	{
		case PARTITION_STRATEGY_HASH:
			return bounds->indexes[compute_partition_hash_value(
									   by->partnatts, by->partsupfunc,
									   by->partcollation, values, nulls) %
								   bounds->nindexes];
		case PARTITION_STRATEGY_LIST:
			offset = partition_list_bsearch(by->partsupfunc, by->partcollation,
											bounds, values[0], &equal);
			if (offset >= 0 && equal)
				found = bounds->indexes[offset];
			break;
		case PARTITION_STRATEGY_RANGE:
			offset = partition_range_datum_bsearch(by->partsupfunc,
												   by->partcollation, bounds,
												   by->partnatts, values,
												   &equal);
			found = bounds->indexes[offset + 1];
			break;
	}
	return found >= 0 ? found : bounds->default_index;
}

/* child_of_key goes one level down. */
static Oid
child_of_key(MiruRelation *rel, Relation parent, const Datum *values,
			 bool *is_leaf)
{
	PartitionKey by = RelationGetPartitionKey(parent);
	PartitionDesc children = RelationGetPartitionDesc(parent, false);
	Datum picked[PARTITION_MAX_KEYS];
	int index;

	if (children->nparts == 0)
		return InvalidOid;
	partition_values(rel, parent, by, values, picked);
	index = find_partition(by, children->boundinfo, picked);
	if (index < 0)
		return InvalidOid;
	*is_leaf = children->is_leaf[index];
	return children->oids[index];
}

Oid
miru_partition_of_key(MiruRelation *rel, Relation root, const Datum *values)
{
	Relation parent = root;

	for (;;)
	{
		bool is_leaf = true;
		Oid relid = child_of_key(rel, parent, values, &is_leaf);

		if (parent != root)
			table_close(parent, NoLock);
		if (is_leaf)
			return relid;
		parent = try_table_open(relid, AccessShareLock);
		/* Detached and dropped while it was waited for: from the top again. */
		if (parent == NULL)
			parent = root;
	}
}
