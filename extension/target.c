/*
 * target.c
 *     The application's row that a pushed change is about: locking and
 *     writing it with ordinary SQL.
 *
 * A push must not bypass what the application put around its table:
 * constraints, foreign keys, triggers, generated columns, grants and row
 * security.  So it goes through INSERT, UPDATE and DELETE, as the role that
 * the collection names.  Statements are prepared once per relation and text,
 * and dropped with the relation's cache entry.
 *
 * Values travel as jsonb and become columns by jsonb_populate_record(), so a
 * field takes the JSON that Postgres itself would take for its type.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "jsonb_build.h"
#include "key.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
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
	Oid types[INDEX_MAX_KEYS + 2];
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

/* add_where appends the condition that finds the row, in this feed only. */
static void
add_where(Statement *statement, MiruTarget *target)
{
	MiruRelation *rel = target->rel;
	bool feed_in_key = false;

	for (int i = 0; i < rel->key_count; i++)
	{
		appendStringInfo(&statement->sql, " %s t.%s", i == 0 ? "WHERE" : "AND",
						 quote_identifier(rel->keys[i].name));
		add_equality(statement, rel->keys[i].type);
		add_parameter(statement, rel->keys[i].type, target->key[i]);
		feed_in_key |= rel->keys[i].is_feed;
	}
	if (!feed_in_key)
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
	return OidIsValid(collection->role) ? collection->role : rel->owner;
}

/* execute runs the statement as the collection's role, returns its count. */
static uint64
execute(MiruTarget *target, Statement *statement)
{
	Oid saved_role;
	int saved_context;
	int result;

	/* An error restores both, when its subtransaction is rolled back. */
	GetUserIdAndSecContext(&saved_role, &saved_context);
	SetUserIdAndSecContext(miru_target_role(target->collection, target->rel),
						   saved_context | SECURITY_LOCAL_USERID_CHANGE);
	result = SPI_execute_plan(prepare(target->rel, statement),
							  statement->values, NULL, false, 0);
	SetUserIdAndSecContext(saved_role, saved_context);
	if (result < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(result));
	SPI_freetuptable(SPI_tuptable);
	return SPI_processed;
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

/* key_is_immediate tells whether ON CONFLICT can name the primary key. */
static bool
key_is_immediate(MiruRelation *rel)
{
	Relation index = index_open(rel->key_index, AccessShareLock);
	bool immediate = index->rd_index->indimmediate;

	index_close(index, AccessShareLock);
	return immediate;
}

static void
add_on_conflict(Statement *statement, MiruRelation *rel)
{
	if (!key_is_immediate(rel))
		return;
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

/* identity_object returns feed and key columns as an object of texts. */
static Jsonb *
identity_object(MiruTarget *target)
{
	JsonbParseState *state;
	MiruRelation *rel = target->rel;

	miru_build_begin(&state);
	miru_build_text(&state, rel->feed_name, target->feed);
	for (int i = 0; i < rel->key_count; i++)
	{
		if (!rel->keys[i].is_feed)
			miru_build_text(&state, rel->keys[i].name,
							miru_key_text(rel, i, target->key[i]));
	}
	return miru_build_end(&state);
}

/* add_columns appends a list of columns, each after "prefix". */
static void
add_columns(StringInfo sql, List *names, const char *prefix)
{
	ListCell *cell;

	foreach(cell, names)
		appendStringInfo(sql, "%s%s%s", foreach_current_index(cell) ? ", " : "",
						 prefix, quote_identifier(strVal(lfirst(cell))));
}

/* insert_columns: feed, key and fields, through the row's type. */
static void
insert_columns(Statement *statement, MiruTarget *target, Jsonb *object)
{
	Jsonb *whole = miru_object_overlay(object, identity_object(target));
	List *names = miru_object_names(whole);

	appendStringInfo(&statement->sql, "INSERT INTO %s (",
					 target->rel->qualified_name);
	add_columns(&statement->sql, names, "");
	appendStringInfoString(&statement->sql, ") SELECT ");
	add_columns(&statement->sql, names, "n.");
	appendStringInfo(&statement->sql,
					 " FROM pg_catalog.jsonb_populate_record(NULL::%s, ",
					 target->rel->qualified_name);
	add_parameter(statement, JSONBOID, JsonbPGetDatum(whole));
	appendStringInfoString(&statement->sql, ") AS n");
}

bool
miru_target_insert(MiruTarget *target, Jsonb *object)
{
	Statement statement;

	statement_init(&statement);
	if (target->rel->data_attnum != 0)
		insert_document(&statement, target, object);
	else
		insert_columns(&statement, target, object);
	add_on_conflict(&statement, target->rel);
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

	appendStringInfo(&statement->sql, "UPDATE %s%s AS t SET ",
					 only(target->rel), target->rel->qualified_name);
	foreach(cell, names)
	{
		const char *column = quote_identifier(strVal(lfirst(cell)));

		appendStringInfo(&statement->sql, "%s%s = n.%s",
						 foreach_current_index(cell) ? ", " : "", column,
						 column);
	}
	appendStringInfo(&statement->sql,
					 " FROM pg_catalog.jsonb_populate_record(NULL::%s, ",
					 target->rel->qualified_name);
	add_parameter(statement, JSONBOID, JsonbPGetDatum(object));
	appendStringInfoString(&statement->sql, ") AS n");
}

void
miru_target_update(MiruTarget *target, Jsonb *object)
{
	Statement statement;

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
