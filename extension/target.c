/*
 * target.c
 *     The application's row that a pushed change is about: locking and
 *     writing it with ordinary SQL.
 *
 * A push must not bypass what the application put around its table:
 * constraints, foreign keys, triggers, generated columns, grants and row
 * security.  So it goes through INSERT, UPDATE and DELETE, as the role that
 * the collection names.  Statements are prepared once per relation and text,
 * and dropped with the relation's cache entry.  Rows of documents need none
 * mostly (document_row.c).
 *
 * Values travel as jsonb and become a row by jsonb_populate_record(), so a
 * field takes the JSON that Postgres itself would take for its type.  That
 * happens before the statement, under fixed settings, while the statement and
 * the triggers that it fires have the session's.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "acting.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "convert.h"
#include "document_row.h"
#include "errors.h"
#include "executor/spi.h"
#include "isolate.h"
#include "jsonb_build.h"
#include "key.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "object.h"
#include "reader.h"
#include "target.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* More statements than this are not kept for one relation. */
#define PLANS_MAX 64

typedef struct KeptPlan
{
	char *sql;
	SPIPlanPtr plan;
	MemoryContextCallback on_reset;
} KeptPlan;

/* A statement being put together. */
typedef struct Statement
{
	StringInfoData sql;
	int count;
	Oid types[INDEX_MAX_KEYS + 2]; /* row or document, key, feed */
	Datum values[INDEX_MAX_KEYS + 2];
} Statement;

static void
statement_init(Statement *statement)
{
	initStringInfo(&statement->sql);
	statement->count = 0;
}

/* add_parameter appends "$n" for a value. */
static void
add_parameter(Statement *statement, Oid type, Datum value)
{
	statement->types[statement->count] = type;
	statement->values[statement->count] = value;
	statement->count++;
	appendStringInfo(&statement->sql, "$%d", statement->count);
}

/*
 * add_equality appends the type's equality operator, with its schema: the
 * search_path is the application's, for its triggers, and not to be trusted.
 */
static void
add_equality(Statement *statement, Oid type)
{
	Oid equality = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(equality));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "type %u has no equality operator", type);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(&statement->sql, " OPERATOR(%s.%s) ",
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname));
	ReleaseSysCache(tuple);
}

static bool
feed_is_in_key(const MiruRelation *rel)
{
	for (int i = 0; i < rel->key_count; i++)
	{
		if (rel->keys[i].is_feed)
			return true;
	}
	return false;
}

/* add_where appends the condition that finds the row, in this feed only. */
static void
add_where(Statement *statement, MiruTarget *target)
{
	MiruRelation *rel = target->rel;

	for (int i = 0; i < rel->key_count; i++)
	{
		appendStringInfo(&statement->sql, " %s t.%s", i == 0 ? "WHERE" : "AND",
						 quote_identifier(rel->keys[i].name));
		add_equality(statement, rel->keys[i].type);
		add_parameter(statement, rel->keys[i].type, target->key[i]);
	}
	if (!feed_is_in_key(rel))
	{
		appendStringInfo(&statement->sql,
						 " AND t.%s::pg_catalog.text OPERATOR(pg_catalog.=) ",
						 quote_identifier(rel->feed_name));
		add_parameter(statement, TEXTOID, CStringGetTextDatum(target->feed));
	}
}

static void
free_plan(void *arg)
{
	SPI_freeplan(((KeptPlan *) arg)->plan);
}

static SPIPlanPtr
find_plan(MiruRelation *rel, const char *sql)
{
	ListCell *cell;

	foreach(cell, rel->plans)
	{
		KeptPlan *plan = lfirst(cell);

		if (strcmp(plan->sql, sql) == 0)
			return plan->plan;
	}
	return NULL;
}

static SPIPlanPtr
prepare(MiruRelation *rel, Statement *statement)
{
	SPIPlanPtr plan = find_plan(rel, statement->sql.data);
	MemoryContext old_context;
	KeptPlan *entry;

	if (plan != NULL)
		return plan;
	plan = SPI_prepare(statement->sql.data, statement->count, statement->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s",
			 SPI_result_code_string(SPI_result));
	if (list_length(rel->plans) >= PLANS_MAX)
		return plan;
	SPI_keepplan(plan);
	old_context = MemoryContextSwitchTo(rel->context);
	entry = palloc(sizeof(KeptPlan));
	entry->sql = pstrdup(statement->sql.data);
	entry->plan = plan;
	entry->on_reset.func = free_plan;
	entry->on_reset.arg = entry;
	MemoryContextRegisterResetCallback(rel->context, &entry->on_reset);
	rel->plans = lappend(rel->plans, entry);
	MemoryContextSwitchTo(old_context);
	return plan;
}

Oid
miru_target_role(const MiruCollection *collection, const MiruRelation *rel)
{
	if (!OidIsValid(collection->role))
		return rel->owner;
	/* One that was dropped may still do what everybody may. */
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(collection->role)))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role of collection \"%s\" does not exist any more",
					collection->name),
			 errhint(
				 "Give it another: UPDATE mirusync.collection SET role = ... WHERE name = %s.",
				 quote_literal_cstr(collection->name))));
	return collection->role;
}

/*
 * execute_rows runs the statement as the collection's role and returns its
 * count; its rows are in SPI_tuptable.
 */
static uint64
execute_rows(MiruTarget *target, Statement *statement)
{
	MiruActing saved;
	int result;

	miru_act_as(miru_target_role(target->collection, target->rel), &saved);
	result = SPI_execute_plan(prepare(target->rel, statement),
							  statement->values, NULL, false, 0);
	miru_act_end(&saved);
	if (result < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

/* execute is for statements of which only the count is of interest. */
static uint64
execute(MiruTarget *target, Statement *statement)
{
	uint64 count = execute_rows(target, statement);

	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* only keeps tables that inherit from this one out; partitions are of it. */
static const char *
only(const MiruRelation *rel)
{
	return rel->is_partitioned ? "" : "ONLY ";
}

bool
miru_target_lock(MiruTarget *target)
{
	Statement statement;
	bool found;

	if (miru_document_row_lock(target, &found))
		return found;
	statement_init(&statement);
	appendStringInfo(&statement.sql, "SELECT FROM %s%s AS t", only(target->rel),
					 target->rel->qualified_name);
	add_where(&statement, target);
	/* Not FOR UPDATE: inserting a row that refers to this one may go on. */
	appendStringInfoString(&statement.sql, " FOR NO KEY UPDATE");
	return execute(target, &statement) > 0;
}

/* fetch reads the row, of any feed or of the target's own. */
static HeapTuple
fetch(MiruTarget *target, MiruReader *reader, bool any_feed)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	HeapTuple row;

	if (any_feed)
		row = miru_reader_fetch(reader, InvalidOid, target->key, snapshot);
	else
		row = miru_reader_fetch_of(reader, target->key, target->feed, snapshot);
	UnregisterSnapshot(snapshot);
	return row;
}

bool
miru_target_exists(MiruTarget *target, bool any_feed)
{
	MiruReader reader = {0};
	HeapTuple row;

	miru_reader_open(&reader, target->rel, NULL);
	row = fetch(target, &reader, any_feed);
	miru_reader_close(&reader);
	return row != NULL;
}

Jsonb *
miru_target_read(MiruTarget *target)
{
	MiruReader reader = {0};
	HeapTuple row;
	Jsonb *object = NULL;

	miru_reader_open(&reader, target->rel, NULL);
	row = fetch(target, &reader, false);
	if (row != NULL)
		object = miru_object_of_row(target->rel, row, reader.desc);
	miru_reader_close(&reader);
	return object;
}

static bool
key_is_deferrable(MiruRelation *rel)
{
	Relation index = index_open(rel->key_index, AccessShareLock);
	bool deferrable = !index->rd_index->indimmediate;

	index_close(index, AccessShareLock);
	return deferrable;
}

static bool
has_rules(MiruRelation *rel)
{
	Relation heap = table_open(rel->relid, AccessShareLock);
	bool has = heap->rd_rules != NULL;

	table_close(heap, NoLock);
	return has;
}

/*
 * set_key_deferred says when a deferrable key is checked from here on.  As the
 * collection's role: what was deferred under that name, and it may be a
 * trigger of the application's, fires now.
 */
static void
set_key_deferred(MiruTarget *target, bool deferred)
{
	MiruRelation *rel = target->rel;
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);
	char *schema = get_namespace_name(get_rel_namespace(rel->relid));
	/* The index of a constraint has its name. */
	char *name = get_rel_name(rel->key_index);
	MiruActing saved;

	statement->constraints = list_make1(makeRangeVar(schema, name, -1));
	statement->deferred = deferred;
	miru_act_as(miru_target_role(target->collection, rel), &saved);
	AfterTriggerSetState(statement);
	miru_act_end(&saved);
}

static void
add_on_conflict(Statement *statement, MiruRelation *rel)
{
	appendStringInfoString(&statement->sql, " ON CONFLICT (");
	for (int i = 0; i < rel->key_count; i++)
		appendStringInfo(&statement->sql, "%s%s", i ? ", " : "",
						 quote_identifier(rel->keys[i].name));
	appendStringInfoString(&statement->sql, ") DO NOTHING");
}

/* insert_document: the key columns and the document. */
static void
insert_document(Statement *statement, MiruTarget *target, Jsonb *object)
{
	MiruRelation *rel = target->rel;

	appendStringInfo(&statement->sql, "INSERT INTO %s (", rel->qualified_name);
	for (int i = 0; i < rel->key_count; i++)
		appendStringInfo(&statement->sql, "%s, ",
						 quote_identifier(rel->keys[i].name));
	appendStringInfo(&statement->sql, "%s) VALUES (",
					 quote_identifier(rel->data_name));
	for (int i = 0; i < rel->key_count; i++)
	{
		add_parameter(statement, rel->keys[i].type, target->key[i]);
		appendStringInfoString(&statement->sql, ", ");
	}
	add_parameter(statement, JSONBOID, JsonbPGetDatum(object));
	appendStringInfoChar(&statement->sql, ')');
}

/*
 * populate makes a row of an object, as the collection's role: domains may
 * have CHECKs.
 */
static Datum
populate(MiruTarget *target, Jsonb *object)
{
	LOCAL_FCINFO(fcinfo, 2);
	FmgrInfo *function = &target->rel->populate;
	ErrorContextCallback callback;
	int settings = miru_settings_fix_input(target->rel);
	MiruActing saved;
	Datum row;

	miru_act_as(miru_target_role(target->collection, target->rel), &saved);
	InitFunctionCallInfoData(*fcinfo, function, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = target->rel->blank_row;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = JsonbPGetDatum(object);
	fcinfo->args[1].isnull = false;
	miru_blame_value(&callback);
	row = FunctionCallInvoke(fcinfo);
	miru_blame_end(&callback);
	miru_act_end(&saved);
	miru_settings_restore(settings);
	return row;
}

/* add_columns appends columns of the row that is the first parameter. */
static void
add_columns(Statement *statement, List *names)
{
	ListCell *cell;

	foreach(cell, names)
		appendStringInfo(&statement->sql, ", ($1).%s",
						 quote_identifier(strVal(lfirst(cell))));
}

static void
start_with_row(Statement *statement, MiruTarget *target, Jsonb *object)
{
	statement->types[0] = target->rel->row_type;
	statement->values[0] = populate(target, object);
	statement->count = 1;
}

/* with_feed returns the object with the feed's column. */
static Jsonb *
with_feed(MiruTarget *target, Jsonb *object)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	miru_build_text(&state, target->rel->feed_name, target->feed);
	return miru_object_overlay(object, miru_build_end(&state));
}

/*
 * insert_columns: the key as it is, since not every value can be had back
 * from its JSON; feed and fields through the row's type.
 */
static void
insert_columns(Statement *statement, MiruTarget *target, Jsonb *object)
{
	MiruRelation *rel = target->rel;
	List *names;
	ListCell *cell;

	if (!feed_is_in_key(rel))
		object = with_feed(target, object);
	names = miru_object_names(object);
	start_with_row(statement, target, object);
	appendStringInfo(&statement->sql, "INSERT INTO %s (", rel->qualified_name);
	for (int i = 0; i < rel->key_count; i++)
		appendStringInfo(&statement->sql, "%s%s", i ? ", " : "",
						 quote_identifier(rel->keys[i].name));
	foreach(cell, names)
		appendStringInfo(&statement->sql, ", %s",
						 quote_identifier(strVal(lfirst(cell))));
	appendStringInfo(&statement->sql, ")%s SELECT ",
					 target->overriding ? " OVERRIDING SYSTEM VALUE" : "");
	for (int i = 0; i < rel->key_count; i++)
	{
		if (i > 0)
			appendStringInfoString(&statement->sql, ", ");
		add_parameter(statement, rel->keys[i].type, target->key[i]);
	}
	add_columns(statement, names);
}

/* An insertion that may meet the same key. */
typedef struct Insertion
{
	MiruTarget *target;
	Statement *statement;
	bool deferrable;
	bool inserted;
} Insertion;

static void
insert(void *arg)
{
	Insertion *insertion = arg;

	/* At once, not when the batch ends: then nobody could tell whose it was. */
	if (insertion->deferrable)
		set_key_deferred(insertion->target, false);
	insertion->inserted = execute(insertion->target, insertion->statement) > 0;
	if (insertion->deferrable)
		set_key_deferred(insertion->target, true);
}

/*
 * insert_isolated inserts where ON CONFLICT cannot tell that somebody else
 * was faster: then the key is there, and else another constraint was violated.
 */
static bool
insert_isolated(Insertion *insertion)
{
	ErrorData *error = miru_run_isolated(insert, insertion);

	if (error == NULL)
		return insertion->inserted;
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION ||
		!miru_target_exists(insertion->target, true))
		ReThrowError(error);
	return false;
}

bool
miru_target_insert(MiruTarget *target, Jsonb *object)
{
	MiruRelation *rel = target->rel;
	Statement statement;
	Insertion insertion = {target, &statement, key_is_deferrable(rel), false};

	statement_init(&statement);
	if (rel->data_attnum != 0)
		insert_document(&statement, target, object);
	else
		insert_columns(&statement, target, object);
	/* Postgres takes no ON CONFLICT for deferrable keys, nor beside rules. */
	if (insertion.deferrable || has_rules(rel))
		return insert_isolated(&insertion);
	add_on_conflict(&statement, rel);
	return execute(target, &statement) > 0;
}

static void
check_done(MiruTarget *target, uint64 count)
{
	if (count > 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_MIRU_WRITE_SUPPRESSED),
			 errmsg("table %s did not take the change",
					target->rel->qualified_name),
			 errdetail("A trigger or a row security policy suppressed it.")));
}

static void
update_columns(Statement *statement, MiruTarget *target, Jsonb *object)
{
	List *names = miru_object_names(object);
	ListCell *cell;

	start_with_row(statement, target, object);
	appendStringInfo(&statement->sql, "UPDATE %s%s AS t SET ",
					 only(target->rel), target->rel->qualified_name);
	foreach(cell, names)
	{
		const char *column = quote_identifier(strVal(lfirst(cell)));

		appendStringInfo(&statement->sql, "%s%s = ($1).%s",
						 foreach_current_index(cell) ? ", " : "", column,
						 column);
	}
}

void
miru_target_update(MiruTarget *target, Jsonb *object)
{
	Statement statement;

	if (miru_document_row_update(target, object))
		return;
	statement_init(&statement);
	if (target->rel->data_attnum != 0)
	{
		appendStringInfo(&statement.sql,
						 "UPDATE %s%s AS t SET %s = ", only(target->rel),
						 target->rel->qualified_name,
						 quote_identifier(target->rel->data_name));
		add_parameter(&statement, JSONBOID, JsonbPGetDatum(object));
	}
	else
		update_columns(&statement, target, object);
	add_where(&statement, target);
	check_done(target, execute(target, &statement));
}

void
miru_target_delete(MiruTarget *target)
{
	Statement statement;

	statement_init(&statement);
	appendStringInfo(&statement.sql, "DELETE FROM %s%s AS t", only(target->rel),
					 target->rel->qualified_name);
	add_where(&statement, target);
	check_done(target, execute(target, &statement));
}

static Jsonb *
object_of_field(const char *name, JsonbValue *value)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	miru_build_key(&state, name);
	pushJsonbValue(&state, WJB_VALUE, value);
	return miru_build_end(&state);
}

JsonbValue *
miru_target_normal(MiruTarget *target, const char *field, JsonbValue *value)
{
	int settings = miru_settings_fix();
	Statement statement;
	JsonbValue *normal;
	Datum datum;
	bool isnull;

	statement_init(&statement);
	appendStringInfo(&statement.sql,
					 "SELECT pg_catalog.to_jsonb(n.%s) FROM"
					 " pg_catalog.jsonb_populate_record(NULL::%s, ",
					 quote_identifier(field), target->rel->qualified_name);
	add_parameter(&statement, JSONBOID,
				  JsonbPGetDatum(object_of_field(field, value)));
	appendStringInfoString(&statement.sql, ") AS n");
	if (execute_rows(target, &statement) != 1)
		elog(ERROR, "could not convert a value of field \"%s\"", field);
	datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	normal = isnull ? NULL : miru_value_of_jsonb(DatumGetJsonbPCopy(datum));
	SPI_freetuptable(SPI_tuptable);
	miru_settings_restore(settings);
	return normal;
}

/*
 * Both values are converted as a write would convert them, so that they have
 * the same form: what was sent may be "007" where 7 is stored.
 */
int
miru_target_compare(MiruTarget *target, const char *field, JsonbValue *a,
					JsonbValue *b)
{
	const char *table = target->rel->qualified_name;
	const char *column = quote_identifier(field);
	Statement statement;
	Datum values[2];
	bool nulls[2];
	TupleDesc desc;
	TypeCacheEntry *type;
	int order;

	statement_init(&statement);
	appendStringInfo(&statement.sql,
					 "SELECT a.%s, b.%s FROM"
					 " pg_catalog.jsonb_populate_record(NULL::%s, ",
					 column, column, table);
	add_parameter(&statement, JSONBOID,
				  JsonbPGetDatum(object_of_field(field, a)));
	appendStringInfo(&statement.sql,
					 ") AS a, pg_catalog.jsonb_populate_record(NULL::%s, ",
					 table);
	add_parameter(&statement, JSONBOID,
				  JsonbPGetDatum(object_of_field(field, b)));
	appendStringInfoString(&statement.sql, ") AS b");
	if (execute_rows(target, &statement) != 1)
		elog(ERROR, "could not convert values of field \"%s\"", field);
	desc = SPI_tuptable->tupdesc;
	for (int i = 0; i < 2; i++)
		values[i] = SPI_getbinval(SPI_tuptable->vals[0], desc, i + 1,
								  &nulls[i]);
	type = lookup_type_cache(TupleDescAttr(desc, 0)->atttypid,
							 TYPECACHE_CMP_PROC_FINFO);
	if (nulls[0] || nulls[1] || !OidIsValid(type->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("values of field \"%s\" cannot be compared", field)));
	order = DatumGetInt32(
		FunctionCall2Coll(&type->cmp_proc_finfo,
						  TupleDescAttr(desc, 0)->attcollation, values[0],
						  values[1]));
	SPI_freetuptable(SPI_tuptable);
	return order;
}
