/*
 * registry.c
 *     What is attached: relations and collections, cached.
 *
 * Owns no table: attached.c writes mirusync.attached and mirusync.collection,
 * field.c mirusync.field, rule.c mirusync.field_rule, serving.c
 * mirusync.backfill.  This file reads them for everybody else.
 *
 * A trigger, a flush at pre-commit and a push all need to know what is
 * attached, often and where SPI would be too heavy or too late, so each
 * backend keeps what it has read.  Reading is by index scan under a catalog
 * snapshot: it sees what is committed and what this transaction did, whatever
 * the isolation level.
 *
 * What is kept becomes invalid with the relcache entry of the table (columns,
 * indexes, name, schema and owner all show there), with those of the four
 * tables above, and with any schema, since its name may have changed.  Writes
 * to these tables invalidate them: attach.c does it itself, a trigger
 * does it for SQL.  Only positive answers are kept, so names that devices
 * make up take no memory.
 *
 * Invalid entries are rebuilt when asked for.  A caller may hold a pointer to
 * what was there before, so its memory is only put aside then, and freed when
 * the transaction ends.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "field.h"
#include "registry.h"
#include "registry_table.h"
#include "rule_function.h"
#include "relation.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "version.h"

#define SCHEMA_NAME "mirusync"

/* The tables that are cached here. */
static const char *const registry_tables[] = {"attached", "collection", "field",
											  "field_rule", "backfill"};

typedef struct RelationEntry
{
	Oid relid;		   /* hash key */
	uint32 changes;	   /* counts invalidations */
	bool provisional;  /* not for transactions that may write */
	MiruRelation *rel; /* NULL: not read yet, or not attached */
} RelationEntry;

typedef struct CollectionEntry
{
	char name[COLLECTION_NAME_MAX + 1]; /* hash key */
	uint32 changes;
	bool valid;
	MemoryContext context;
	MiruCollection *collection;
} CollectionEntry;

static HTAB *relations = NULL;
static HTAB *collections = NULL;

/* Parent of the contexts that were replaced in this transaction. */
static MemoryContext retired = NULL;

/* OIDs of registry_tables, as of the last time that anything was read. */
static Oid registry_oids[lengthof(registry_tables)];

PG_FUNCTION_INFO_V1(mirusync_registry_changed_0_2);


/* -------------------------------------------------------------------------
 * Our own objects
 * ------------------------------------------------------------------------- */

static Oid
find_table(const char *name)
{
	Oid relid = get_relname_relid(name, get_namespace_oid(SCHEMA_NAME, false));

	if (!OidIsValid(relid))
		elog(ERROR, "relation \"%s.%s\" does not exist", SCHEMA_NAME, name);
	return relid;
}

bool
miru_is_installed(void)
{
	static const char *const names[] =
		{"feed",		 "attached",   "attached_pkey",		  "field",
		 "field_pkey",	 "collection", "collection_relation", "backfill",
		 "backfill_pkey"};
	Oid schema;

	/* Whatever drops those tables makes the version be looked at again. */
	if (miru_version_is_known())
		return true;
	schema = get_namespace_oid(SCHEMA_NAME, true);
	for (int i = 0; OidIsValid(schema) && i < lengthof(names); i++)
	{
		if (!OidIsValid(get_relname_relid(names[i], schema)))
			return false;
	}
	return OidIsValid(schema);
}

/*
 * note_registry notes the OIDs of the registry's tables, which are others
 * after the extension was created again.
 */
static void
note_registry(void)
{
	for (int i = 0; i < lengthof(registry_tables); i++)
		registry_oids[i] = find_table(registry_tables[i]);
}

void
miru_extension_check(void)
{
	/* What changes those tables makes the version be looked at again. */
	if (miru_version_check())
		note_registry();
}

Oid
miru_table_oid(const char *name)
{
	miru_extension_check();
	return find_table(name);
}

Oid
miru_owner(void)
{
	HeapTuple tuple;
	Oid relid = miru_table_oid("feed");
	Oid owner;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}


/* -------------------------------------------------------------------------
 * Invalidation and memory
 * ------------------------------------------------------------------------- */

static void
invalidate_relation(RelationEntry *entry)
{
	entry->changes++;
	if (entry->rel != NULL)
		entry->rel->valid = false;
}

static void
invalidate_collection(CollectionEntry *entry)
{
	entry->changes++;
	entry->valid = false;
}

/* invalidate_collections invalidates those of one table, or all of them. */
static void
invalidate_collections(Oid relid)
{
	HASH_SEQ_STATUS status;
	CollectionEntry *entry;

	hash_seq_init(&status, collections);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		/* One that is being read has no collection yet. */
		if (!OidIsValid(relid) || entry->collection == NULL ||
			entry->collection->relid == relid)
			invalidate_collection(entry);
	}
}

static void
invalidate_all(void)
{
	HASH_SEQ_STATUS status;
	RelationEntry *entry;

	hash_seq_init(&status, relations);
	while ((entry = hash_seq_search(&status)) != NULL)
		invalidate_relation(entry);
	invalidate_collections(InvalidOid);
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	RelationEntry *entry;

	for (int i = 0; i < lengthof(registry_oids); i++)
	{
		if (relid == registry_oids[i])
			relid = InvalidOid;
	}
	if (!OidIsValid(relid))
		miru_version_forget();
	if (relations == NULL)
		return;
	if (!OidIsValid(relid))
	{
		invalidate_all();
		return;
	}
	entry = hash_search(relations, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		invalidate_relation(entry);
	invalidate_collections(relid);
}

static void
on_schema_change(Datum arg, int cacheid, uint32 hashvalue)
{
	if (relations != NULL)
		invalidate_all();
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			if (retired != NULL)
				MemoryContextDeleteChildren(retired);
			break;
		default:
			break;
	}
}

void
miru_registry_init(void)
{
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_schema_change, (Datum) 0);
	RegisterXactCallback(on_transaction_end, NULL);
}

/* miru_registry_retire puts memory aside that somebody may still look at. */
void
miru_registry_retire(MemoryContext context)
{
	if (context != NULL)
		MemoryContextSetParent(context, retired);
}

/* prepare makes the caches, once, and sees to it that they hear of changes. */
static void
prepare(void)
{
	HASHCTL control = {0};

	(void) miru_version_check();
	note_registry();
	if (relations != NULL)
		return;

	if (CacheMemoryContext == NULL)
		CreateCacheMemoryContext();
	if (retired == NULL)
		retired = AllocSetContextCreate(CacheMemoryContext, "mirusync retired",
										ALLOCSET_START_SMALL_SIZES);
	control.hcxt = CacheMemoryContext;
	if (collections == NULL)
	{
		control.keysize = COLLECTION_NAME_MAX + 1;
		control.entrysize = sizeof(CollectionEntry);
		collections = hash_create("mirusync collections", 32, &control,
								  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RelationEntry);
	relations = hash_create("mirusync relations", 32, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}


/* -------------------------------------------------------------------------
 * Relations
 * ------------------------------------------------------------------------- */

/* load_relation reads a table's entry anew. */
static MiruRelation *
load_relation(Oid relid)
{
	RelationEntry *entry;
	MiruRelation *rel;
	uint32 changes;
	bool provisional;
	bool found;

	prepare();
	entry = hash_search(relations, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->changes = 0;
		entry->rel = NULL;
	}

	/* What changes while it is read makes it invalid again. */
	changes = entry->changes;
	rel = miru_relation_read(relid, &provisional);

	if (entry->rel != NULL)
		miru_registry_retire(entry->rel->context);
	entry->rel = rel;
	if (rel == NULL)
	{
		hash_search(relations, &relid, HASH_REMOVE, NULL);
		return NULL;
	}
	MemoryContextSetParent(rel->context, CacheMemoryContext);
	rel->valid = entry->changes == changes;
	entry->provisional = provisional;
	return rel;
}

MiruRelation *
miru_relation_get(Oid relid)
{
	if (relations != NULL)
	{
		RelationEntry *entry = hash_search(relations, &relid, HASH_FIND, NULL);

		if (entry != NULL && entry->rel != NULL && entry->rel->valid &&
			!(entry->provisional && miru_fields_may_write()))
			return entry->rel;
	}
	return load_relation(relid);
}

MiruField *
miru_field_by_name(MiruRelation *rel, const char *name)
{
	for (int i = 0; i < rel->field_count; i++)
	{
		if (strcmp(rel->fields[i].name, name) == 0)
			return &rel->fields[i];
	}
	return NULL;
}


/* -------------------------------------------------------------------------
 * Collections
 * ------------------------------------------------------------------------- */

static MiruRule
parse_rule(const char *name)
{
	MiruRule rule;

	if (!miru_rule_parse(name, &rule))
		elog(ERROR, "unknown rule: %s", name);
	return rule;
}

static MiruCollection *
collection_from_row(HeapTuple tuple, TupleDesc desc)
{
	MiruCollection *collection = palloc0(sizeof(MiruCollection));
	Datum values[COLLECTION_COLUMNS];
	bool nulls[COLLECTION_COLUMNS];

	heap_deform_tuple(tuple, desc, values, nulls);
	collection->name = TextDatumGetCString(values[COLLECTION_NAME - 1]);
	collection->relid = DatumGetObjectId(values[COLLECTION_RELATION - 1]);
	collection->default_rule = parse_rule(
		TextDatumGetCString(values[COLLECTION_RULE - 1]));
	if (!miru_delete_rule_parse(TextDatumGetCString(
									values[COLLECTION_DELETE_RULE - 1]),
								&collection->delete_rule))
		elog(ERROR, "unknown delete rule of collection \"%s\"",
			 collection->name);
	collection->pushable = DatumGetBool(values[COLLECTION_PUSHABLE - 1]);
	if (!nulls[COLLECTION_ROLE - 1])
		collection->role = DatumGetObjectId(values[COLLECTION_ROLE - 1]);
	return collection;
}

static void
read_field_rules(MiruCollection *collection)
{
	Relation table = table_open(miru_table_oid("field_rule"), AccessShareLock);
	TupleDesc desc = RelationGetDescr(table);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, FIELD_RULE_COLLECTION, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(collection->name));
	scan = systable_beginscan(table, miru_table_oid("field_rule_pkey"), true,
							  NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum values[FIELD_RULE_COLUMNS];
		bool nulls[FIELD_RULE_COLUMNS];
		MiruFieldRule *rule = palloc(sizeof(MiruFieldRule));
		char *name;

		heap_deform_tuple(tuple, desc, values, nulls);
		rule->field = TextDatumGetCString(values[FIELD_RULE_FIELD - 1]);
		name = TextDatumGetCString(values[FIELD_RULE_RULE - 1]);
		rule->function = miru_rule_is_function(name) ? name : NULL;
		rule->rule = rule->function ? MIRU_RULE_FUNCTION : parse_rule(name);
		collection->field_rules = lappend(collection->field_rules, rule);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

const MiruFieldRule *
miru_collection_field_rule(const MiruCollection *collection, const char *key)
{
	const char *end = strpbrk(key, MIRU_ELEMENT_SEPARATOR);
	size_t length = end ? (size_t) (end - key) : strlen(key);
	ListCell *cell;

	foreach(cell, collection->field_rules)
	{
		MiruFieldRule *rule = lfirst(cell);

		if (strncmp(rule->field, key, length) == 0 &&
			rule->field[length] == '\0')
			return rule;
	}
	return NULL;
}

MiruRule
miru_collection_rule(const MiruCollection *collection, const char *key)
{
	const MiruFieldRule *own = miru_collection_field_rule(collection, key);

	return own ? own->rule : collection->default_rule;
}

/*
 * read_collection reads a collection into the current memory context; NULL if
 * there is none, or its table does not exist any more.
 */
static MiruCollection *
read_collection(const char *name)
{
	Relation table = table_open(miru_table_oid("collection"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	MiruCollection *collection = NULL;

	ScanKeyInit(&key, COLLECTION_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	scan = systable_beginscan(table, miru_table_oid("collection_pkey"), true,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		collection = collection_from_row(tuple, RelationGetDescr(table));
	systable_endscan(scan);
	table_close(table, AccessShareLock);

	if (collection != NULL &&
		!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(collection->relid)))
		return NULL;
	if (collection != NULL)
		read_field_rules(collection);
	return collection;
}

/* load_collection reads a collection's entry anew. */
static MiruCollection *
load_collection(const char *name)
{
	MemoryContext context;
	MemoryContext caller;
	CollectionEntry *entry;
	MiruCollection *collection;
	uint32 changes;
	bool found;

	prepare();
	entry = hash_search(collections, name, HASH_ENTER, &found);
	if (!found)
	{
		entry->changes = 0;
		entry->valid = false;
		entry->context = NULL;
		entry->collection = NULL;
	}

	changes = entry->changes;
	context = AllocSetContextCreate(CurrentMemoryContext, "mirusync collection",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	collection = read_collection(name);
	MemoryContextSwitchTo(caller);

	miru_registry_retire(entry->context);
	if (collection == NULL)
	{
		MemoryContextDelete(context);
		hash_search(collections, name, HASH_REMOVE, NULL);
		return NULL;
	}
	MemoryContextSetIdentifier(context, collection->name);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->context = context;
	entry->collection = collection;
	entry->valid = entry->changes == changes;
	return collection;
}

MiruCollection *
miru_collection_get(const char *name)
{
	/* A longer name would be cut by the hash table and find another's. */
	if (strlen(name) > COLLECTION_NAME_MAX)
		return NULL;
	if (collections != NULL)
	{
		CollectionEntry *entry = hash_search(collections, name, HASH_FIND,
											 NULL);

		if (entry != NULL && entry->valid)
			return entry->collection;
	}
	return load_collection(name);
}


/* -------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------- */

/*
 * mirusync_registry_changed_0_2 is the trigger on these tables: what SQL
 * writes there, a restore for example, must reach every backend's cache.
 */
Datum
mirusync_registry_changed_0_2(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger",
						"mirusync.registry_changed")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
