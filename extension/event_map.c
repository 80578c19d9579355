/*
 * event_map.c
 *     The event mapping, read from its two tables and cached.
 *
 * Every pushed message and every event that is sent needs the mapping, and
 * nearly nobody ever changes it; so each backend keeps all of it, as two
 * sorted arrays, and searches those.
 *
 * Invalidation: a statement trigger on both tables sends a relcache
 * invalidation of its table, which reaches every backend when the writer
 * commits, and the writer itself at its next command or when it rolls back.
 * The callback only notes that the map is out of date: it may run anywhere,
 * also in the middle of the reading below.  Hence a count of changes, taken
 * before the reading: then what was read serves the caller this once, and the
 * next one reads again.
 *
 * Memory: each map has a context of its own below CacheMemoryContext.  One
 * that was replaced is kept until the transaction ends, because callers up
 * the stack may hold pointers into it: the function that normalises an object
 * is the user's, and may do anything.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "event_map.h"
#include "fmgr.h"
#include "parser/parse_func.h"
#include "registry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* How the name of a normalise function ends. */
#define ARGUMENTS "(jsonb)"

/* Columns of mirusync.event_collection, see sql/install/60_events.sql. */
enum
{
	COLLECTION_COLLECTION = 1,
	COLLECTION_NORMALISE,
	COLLECTION_CLOCK_KEYS,
	COLLECTION_PAYLOAD,
	COLLECTION_ID_KEY,
	COLLECTION_CREATED_TYPE,
	COLLECTION_UPDATED_TYPE,
	COLLECTION_DELETED_TYPE,
	COLLECTION_DELETED_KEY,
	COLLECTION_BULK_TYPE,
	COLLECTION_BULK_KEY,
	COLLECTION_CATCH_UP_TYPE
};

/* Columns of mirusync.event_type. */
enum
{
	TYPE_TYPE = 1,
	TYPE_PART,
	TYPE_COLLECTION,
	TYPE_KIND,
	TYPE_PAYLOAD,
	TYPE_IS_LIST,
	TYPE_ID_KEYS
};

struct MiruEventMap
{
	MemoryContext context;
	uint64 change_count; /* changes known of when it was read */
	MiruEventMap *older; /* retired before this one */
	int collection_count;
	MiruEventCollection *collections; /* by name */
	int type_count;
	MiruEventType *types; /* by name */
};

/* A row of mirusync.event_type, before rows of one type are put together. */
typedef struct TypeRow
{
	char *type;
	int32 number;
	MiruEventPart part;
} TypeRow;

static MiruEventMap *current_map = NULL;
static MiruEventMap *retired_maps = NULL;

/* Changes of the tables that this backend was told of. */
static uint64 change_count = 0;

/* What the map was read from, for the callback. */
static Oid collection_relid = InvalidOid;
static Oid type_relid = InvalidOid;

/* on_relation_changed is the relcache callback. */
static void
on_relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == collection_relid || relid == type_relid)
		change_count++;
}

/* on_transaction_end frees the maps that nobody can hold any more. */
static void
on_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	while (retired_maps != NULL)
	{
		MiruEventMap *map = retired_maps;

		retired_maps = map->older;
		MemoryContextDelete(map->context);
	}
}

/* miru_event_map_init registers the callbacks; called once, when loaded. */
void
miru_event_map_init(void)
{
	CacheRegisterRelcacheCallback(on_relation_changed, (Datum) 0);
	RegisterXactCallback(on_transaction_end, NULL);
}

/* A row taken apart. */
typedef struct Row
{
	Datum *values;
	bool *nulls;
} Row;

static Row
row_deform(HeapTuple tuple, TupleDesc desc)
{
	Row row;

	row.values = palloc(desc->natts * sizeof(Datum));
	row.nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(tuple, desc, row.values, row.nulls);
	return row;
}

/* row_text returns a text column, NULL for null. */
static char *
row_text(const Row *row, int column)
{
	if (row->nulls[column - 1])
		return NULL;
	return TextDatumGetCString(row->values[column - 1]);
}

/* row_keys returns a text[] column; none for null. */
static MiruEventKeys
row_keys(const Row *row, int column)
{
	MiruEventKeys keys = {0};
	Datum *elements;
	bool *nulls;
	int count;

	if (row->nulls[column - 1])
		return keys;
	deconstruct_array(DatumGetArrayTypeP(row->values[column - 1]), TEXTOID, -1,
					  false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count && keys.count < MIRU_EVENT_KEYS_MAX; i++)
	{
		MiruEventKey *key = &keys.keys[keys.count];

		/* The CHECKs exclude it, but a superuser can drop those. */
		if (nulls[i])
			continue;
		key->name = TextDatumGetCString(elements[i]);
		key->length = strlen(key->name);
		keys.count++;
	}
	return keys;
}

static MiruEventCollection *
collection_of_row(const Row *row)
{
	MiruEventCollection *collection = palloc0(sizeof(MiruEventCollection));

	collection->name = row_text(row, COLLECTION_COLLECTION);
	collection->normalise = row_text(row, COLLECTION_NORMALISE);
	collection->clock_keys = row_keys(row, COLLECTION_CLOCK_KEYS);
	collection->payload = row_text(row, COLLECTION_PAYLOAD);
	collection->id_key = row_text(row, COLLECTION_ID_KEY);
	collection->created_type = row_text(row, COLLECTION_CREATED_TYPE);
	collection->updated_type = row_text(row, COLLECTION_UPDATED_TYPE);
	collection->deleted_type = row_text(row, COLLECTION_DELETED_TYPE);
	collection->deleted_key = row_text(row, COLLECTION_DELETED_KEY);
	collection->bulk_type = row_text(row, COLLECTION_BULK_TYPE);
	collection->bulk_key = row_text(row, COLLECTION_BULK_KEY);
	collection->catch_up_type = row_text(row, COLLECTION_CATCH_UP_TYPE);
	return collection;
}

/* type_row_of_row returns NULL when the row's collection is not there. */
static TypeRow *
type_row_of_row(const MiruEventMap *map, const Row *row)
{
	TypeRow *type_row = palloc0(sizeof(TypeRow));
	char *collection = row_text(row, TYPE_COLLECTION);

	type_row->type = row_text(row, TYPE_TYPE);
	type_row->number = DatumGetInt32(row->values[TYPE_PART - 1]);
	type_row->part.collection = miru_event_map_collection(map, collection);
	type_row->part.is_delete = strcmp(row_text(row, TYPE_KIND), "delete") == 0;
	type_row->part.payload = row_text(row, TYPE_PAYLOAD);
	type_row->part.is_list = DatumGetBool(row->values[TYPE_IS_LIST - 1]);
	type_row->part.id_keys = row_keys(row, TYPE_ID_KEYS);
	return type_row->part.collection == NULL ? NULL : type_row;
}

static int
compare_collections(const ListCell *a, const ListCell *b)
{
	return strcmp(((MiruEventCollection *) lfirst(a))->name,
				  ((MiruEventCollection *) lfirst(b))->name);
}

static int
compare_type_rows(const ListCell *a, const ListCell *b)
{
	const TypeRow *left = lfirst(a);
	const TypeRow *right = lfirst(b);
	int order = strcmp(left->type, right->type);

	if (order != 0)
		return order;
	return left->number < right->number ? -1 : 1;
}

/* read_collections fills in map->collections. */
static void
read_collections(MiruEventMap *map, Snapshot snapshot)
{
	Relation relation = table_open(collection_relid, AccessShareLock);
	SysScanDesc scan;
	HeapTuple tuple;
	List *collections = NIL;
	ListCell *cell;

	scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Row row = row_deform(tuple, RelationGetDescr(relation));

		collections = lappend(collections, collection_of_row(&row));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	list_sort(collections, compare_collections);
	map->collections = palloc0(list_length(collections) *
							   sizeof(MiruEventCollection));
	foreach(cell, collections)
		map->collections[map->collection_count++] = *(
			MiruEventCollection *) lfirst(cell);
}

/* group_types makes map->types of the sorted rows. */
static void
group_types(MiruEventMap *map, List *rows)
{
	MiruEventPart *parts = palloc0(list_length(rows) * sizeof(MiruEventPart));
	MiruEventType *type = NULL;
	ListCell *cell;

	map->types = palloc0(list_length(rows) * sizeof(MiruEventType));
	foreach(cell, rows)
	{
		TypeRow *row = lfirst(cell);

		if (type == NULL || strcmp(type->name, row->type) != 0)
		{
			type = &map->types[map->type_count++];
			type->name = row->type;
			type->parts = parts;
		}
		*parts++ = row->part;
		type->part_count++;
	}
}

/* read_types fills in map->types; map->collections must be there. */
static void
read_types(MiruEventMap *map, Snapshot snapshot)
{
	Relation relation = table_open(type_relid, AccessShareLock);
	SysScanDesc scan;
	HeapTuple tuple;
	List *rows = NIL;

	scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Row row = row_deform(tuple, RelationGetDescr(relation));
		TypeRow *type_row = type_row_of_row(map, &row);

		if (type_row != NULL)
			rows = lappend(rows, type_row);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	list_sort(rows, compare_type_rows);
	group_types(map, rows);
}

/* map_read reads the tables into a new map, below the current context. */
static MiruEventMap *
map_read(void)
{
	MemoryContext context;
	MemoryContext caller;
	MiruEventMap *map;
	Snapshot snapshot;

	context = AllocSetContextCreate(CurrentMemoryContext, "mirusync event map",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	map = palloc0(sizeof(MiruEventMap));
	map->context = context;
	map->change_count = change_count;

	/*
	 * Not the transaction's snapshot: under REPEATABLE READ that may be older
	 * than an invalidation that has been dealt with already, and the cache
	 * would be out of date for good.
	 */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	read_collections(map, snapshot);
	read_types(map, snapshot);
	UnregisterSnapshot(snapshot);

	MemoryContextSwitchTo(caller);
	return map;
}

const MiruEventMap *
miru_event_map(void)
{
	MiruEventMap *map;

	if (current_map != NULL && current_map->change_count == change_count)
		return current_map;

	collection_relid = miru_table_oid("event_collection");
	type_relid = miru_table_oid("event_type");

	/* An error leaves the old map in place, out of date as it was. */
	map = map_read();

	MemoryContextSetParent(map->context, CacheMemoryContext);
	if (current_map != NULL)
	{
		current_map->older = retired_maps;
		retired_maps = current_map;
	}
	current_map = map;
	return map;
}

static int
search_collection(const void *name, const void *element)
{
	return strcmp(name, ((const MiruEventCollection *) element)->name);
}

static int
search_type(const void *name, const void *element)
{
	return strcmp(name, ((const MiruEventType *) element)->name);
}

const MiruEventCollection *
miru_event_map_collection(const MiruEventMap *map, const char *name)
{
	return bsearch(name, map->collections, map->collection_count,
				   sizeof(MiruEventCollection), search_collection);
}

const MiruEventType *
miru_event_map_type(const MiruEventMap *map, const char *name)
{
	return bsearch(name, map->types, map->type_count, sizeof(MiruEventType),
				   search_type);
}

/* is_normalise tells whether a function is jsonb -> jsonb. */
static bool
is_normalise(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool is_fit = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);

		is_fit = proc->prokind == PROKIND_FUNCTION && !proc->proretset &&
			proc->prorettype == JSONBOID;
		ReleaseSysCache(tuple);
	}
	return is_fit;
}

/*
 * find_normalise finds the function that takes a jsonb.  Its name must have
 * a schema: it runs as our owner, so search_path must not decide which it is.
 */
static Oid
find_normalise(const char *name)
{
	static const Oid arguments[] = {JSONBOID};
	size_t length = strlen(name);
	List *names;

	if (length <= strlen(ARGUMENTS) ||
		strcmp(name + length - strlen(ARGUMENTS), ARGUMENTS) != 0)
		return InvalidOid;
	names = miru_qualified_name(pnstrdup(name, length - strlen(ARGUMENTS)));
	if (list_length(names) != 2)
		return InvalidOid;
	return LookupFuncName(names, lengthof(arguments), arguments, true);
}

/*
 * normalise_function looks the function up for each statement: no dependency keeps it
 * from being replaced or dropped, and what the server says to an OID that is
 * gone would pass for an internal error, which relays retry.
 */
static Oid
normalise_function(const MiruEventCollection *collection)
{
	Oid function = find_normalise(collection->normalise);

	if (!OidIsValid(function) || !is_normalise(function))
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg(
				 "normalise function of event collection \"%s\" does not exist or does not fit",
				 collection->name),
			 errdetail(
				 "It must be written as schema.function(jsonb), and return jsonb."),
			 errhint(
				 "Set mirusync.event_collection.normalise to one that does, or to null.")));
	return function;
}

/*
 * The context of a soft call.  A node of no type, so that no function takes it
 * for one that it knows; ours know its address.
 */
static Node soft_call = {T_Invalid};

bool
miru_event_is_soft(FunctionCallInfo fcinfo)
{
	return fcinfo->context == &soft_call;
}

Jsonb *
miru_event_normalise_with(MiruEventNormaliser *normaliser,
						  const MiruEventCollection *collection, Jsonb *object)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum result;
	Jsonb *normalised;

	if (collection->normalise == NULL)
		return object;
	if (normaliser->collection != collection)
	{
		fmgr_info(normalise_function(collection), &normaliser->function);
		normaliser->collection = collection;
	}
	InitFunctionCallInfoData(*fcinfo, &normaliser->function, 1, InvalidOid,
							 normaliser->softly ? &soft_call : NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(object);
	fcinfo->args[0].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		return NULL;
	normalised = DatumGetJsonbP(result);
	return JB_ROOT_IS_OBJECT(normalised) ? normalised : NULL;
}

Jsonb *
miru_event_normalise(const MiruEventCollection *collection, Jsonb *object)
{
	MiruEventNormaliser normaliser = {NULL};

	return miru_event_normalise_with(&normaliser, collection, object);
}

PG_FUNCTION_INFO_V1(mirusync_mapping_changed_0_2);

/* mirusync_mapping_changed_0_2 drops the cached map in every backend. */
Datum
mirusync_mapping_changed_0_2(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						"mapping_changed")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}
