/*
 * registry.h
 *     What is attached: relations, their fields, and collections, cached.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_REGISTRY_H
#define MIRUSYNC_REGISTRY_H

#include "access/tupdesc.h"
#include "fmgr.h"
#include "merge_rules.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* A synced column of an attached table. */
typedef struct MiruField
{
	AttrNumber attnum;
	int number; /* our own number, survives renames */
	char *key;	/* the number as text: the field's stamp key */
	char *name; /* the column's name now, the field in JSON */
	Oid type;
	bool byval; /* type's passing and length, for comparing */
	int16 typlen;
	bool is_key;	   /* part of the primary key */
	bool is_generated; /* or GENERATED ALWAYS AS IDENTITY: sent, never
						* accepted */
	bool may_refuse;   /* some values have no JSON form */
	FmgrInfo to_jsonb; /* pg_catalog.to_jsonb, bound to the type */
} MiruField;

/* A column of the primary key. */
typedef struct MiruKeyColumn
{
	AttrNumber attnum;
	Oid type;
	Oid collation;
	Oid equality; /* btree equality procedure of the index */
	char *name;
	bool is_feed;
	bool is_collection;
	FmgrInfo output;
	FmgrInfo input;
	Oid input_param; /* typioparam */
	int32 typmod;
} MiruKeyColumn;

/*
 * An attached relation.  Cached for the backend, rebuilt after an
 * invalidation; a pointer stays valid until the transaction ends.
 */
typedef struct MiruRelation
{
	Oid relid; /* hash key */
	bool valid;
	MemoryContext context;
	char *qualified_name; /* quoted, with schema */
	Oid owner;
	bool is_partitioned; /* its rows are in partitions */
	TupleDesc desc;		 /* of one that is partitioned; else NULL */
	AttrNumber feed_attnum;
	char *feed_name;			  /* column that says whose row it is */
	AttrNumber collection_attnum; /* 0: the relation is one collection */
	AttrNumber data_attnum;		  /* 0: columns are the fields */
	char *data_name;
	char *collection; /* its name; NULL if collection_attnum */
	bool backfilling; /* not every feed is served yet (serving.c) */
	Oid key_index;	  /* index of the primary key */
	int key_count;
	MiruKeyColumn *keys;
	TupleDesc key_desc; /* tuple descriptor of the key columns */
	bool sync_added;	/* columns added later are fields */
	int field_count;
	MiruField *fields; /* by attnum; empty if data_attnum */
	List *hidden;	   /* names of columns that are not synced, char * */
	Oid feed_type;
	FmgrInfo feed_output;
	int type_traits;	  /* of all columns, see type.h */
	bool ids_may_be_long; /* although the key is short */
	Oid row_type;
	FmgrInfo populate; /* pg_catalog.jsonb_populate_record, bound to it */
	Datum blank_row;   /* what it fills in: all null */
	Oid file;		   /* the table's file; TRUNCATE and rewriting change it */
	uint32 key_shape;  /* hash of the key's columns and types */
	uint32 shape;	   /* hash of the row type: old rows of another
								 * shape cannot be read any more */
	List *plans;	   /* target.c's saved plans */
} MiruRelation;

/* The rule of a field that has one of its own. */
typedef struct MiruFieldRule
{
	char *field; /* its key among the stamps */
	MiruRule rule;
	char *function; /* its name, if that is the rule; else NULL */
} MiruFieldRule;

/* A collection, by name. */
typedef struct MiruCollection
{
	char *name; /* hash key is its text */
	Oid relid;
	MiruRule default_rule; /* of fields that have none of their own */
	List *field_rules;	   /* of MiruFieldRule */
	MiruDeleteRule delete_rule;
	bool pushable;
	Oid role; /* pushes run as this role */
} MiruCollection;

extern void miru_registry_init(void);

/*
 * miru_relation_get returns the attached relation, or NULL when relid is not
 * attached.  miru_collection_get returns the collection or NULL.
 */
extern MiruRelation *miru_relation_get(Oid relid);
extern MiruCollection *miru_collection_get(const char *name);

/* miru_field_by_name returns the field or NULL. */
extern MiruField *miru_field_by_name(MiruRelation *rel, const char *name);

/* miru_collection_field_rule finds the rule of a field's own, or NULL. */
extern const MiruFieldRule *
miru_collection_field_rule(const MiruCollection *collection, const char *key);

/* miru_collection_rule returns the rule of a field or part, by stamp key. */
extern MiruRule
miru_collection_rule(const MiruCollection *collection, const char *key);

/*
 * miru_registry_retire frees a context that somebody may still look at, when
 * the transaction ends.  NULL is fine.
 */
extern void miru_registry_retire(MemoryContext context);

/* miru_owner returns the role that owns the extension's tables. */
extern Oid miru_owner(void);

/* miru_is_installed tells whether the tables of the registry are there. */
extern bool miru_is_installed(void);

/*
 * miru_extension_check throws unless the extension in this database is of the
 * library's version.  A function whose arguments are others than in an older
 * version calls it before it reads them; the rest is checked on the way.
 */
extern void miru_extension_check(void);

/* miru_table_oid returns the OID of one of our relations (tables, indexes). */
extern Oid miru_table_oid(const char *name);

#endif /* MIRUSYNC_REGISTRY_H */
