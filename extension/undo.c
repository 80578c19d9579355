/*
 * undo.c
 *     Undoing the changes of a device, a session, a user or a transaction.
 *
 * mirusync.undo_plan() tells of a record what is to be done to it; here it is
 * done, record by record, under the lock of its row and in a subtransaction of
 * its own, as the caller's SQL (mend.c).  What the table refuses is told, and
 * left as it is.  A foreign key may refuse a record only because of another
 * one, whose turn comes later; so those are tried again, as long as that helps.
 *
 * Everything is one transaction.  Records are read through a cursor and what was
 * done goes to a tuplestore, so that neither needs memory for many.
 *
 * History says of these changes that they undo, and what: so nothing is
 * subtracted from a counter twice.
 *
 * Owns no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "isolate.h"
#include "jsonb_build.h"
#include "mend.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(mirusync_undo_0_2);

#define ARGUMENTS 10
#define LABEL	  "mirusync.undo "

/* So many records are listed at once. */
#define RECORDS_AT_ONCE 100

/* Columns of what undo() returns, and below of undo_plan(). */
enum
{
	UNDO_COLLECTION,
	UNDO_ID,
	UNDO_FIELD,
	UNDO_PRESENT,
	UNDO_VALUE,
	UNDO_ACTION,
	UNDO_REASON,
	UNDO_WORDS,
	UNDO_COLUMNS
};

#define PLAN_COLUMN(column) ((column) -UNDO_FIELD + 1)

typedef struct RecordName
{
	char *collection;
	char *id;
} RecordName;

typedef struct Undo
{
	const char *feed;
	Jsonb *which;
	ReturnSetInfo *result;
	const RecordName *record; /* the one at hand */
	SPITupleTable *plan;
	uint64 steps;		/* of the plan */
	MemoryContext call; /* lasts for the call */
	MemoryContext one;	/* of a record; reset after each */
	List *again;		/* RecordName, that a foreign key refused */
} Undo;

/* ----- one record ----- */

static char *
plan_text(const Undo *undo, uint64 step, int column)
{
	return SPI_getvalue(undo->plan->vals[step], undo->plan->tupdesc,
						PLAN_COLUMN(column));
}

static Jsonb *
plan_value(const Undo *undo, uint64 step)
{
	bool isnull;
	Datum value = SPI_getbinval(undo->plan->vals[step], undo->plan->tupdesc,
								PLAN_COLUMN(UNDO_VALUE), &isnull);

	return isnull ? NULL : DatumGetJsonbP(value);
}

static void
read_plan(Undo *undo)
{
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID};
	Datum values[] = {CStringGetTextDatum(undo->feed),
					  CStringGetTextDatum(undo->record->collection),
					  CStringGetTextDatum(undo->record->id),
					  JsonbPGetDatum(undo->which)};

	miru_mend_ask("SELECT * FROM mirusync.undo_plan($1, $2, $3, $4)", 4, types,
				  values, NULL);
	undo->plan = SPI_tuptable;
	undo->steps = SPI_processed;
}

/* write_steps does what the plan says; fields are written together. */
static void
write_steps(const Undo *undo, MiruMend *mend)
{
	JsonbParseState *state;
	List *gone = NIL;
	bool updates = false;

	miru_build_begin(&state);
	for (uint64 i = 0; i < undo->steps; i++)
	{
		const char *action = plan_text(undo, i, UNDO_ACTION);

		if (strcmp(action, "delete") == 0)
			miru_target_delete(&mend->target);
		else if (strcmp(action, "insert") == 0)
			miru_mend_insert(mend,
							 miru_mend_writable(mend, plan_value(undo, i),
												false));
		else if (strcmp(action, "unset") == 0)
			gone = lappend(gone, makeString(plan_text(undo, i, UNDO_FIELD)));
		else if (strcmp(action, "set") == 0)
		{
			miru_build_key(&state, plan_text(undo, i, UNDO_FIELD));
			pushJsonbValue(&state, WJB_VALUE,
						   miru_value_of_jsonb(plan_value(undo, i)));
		}
		updates = updates || strcmp(action, "set") == 0 ||
			strcmp(action, "unset") == 0;
	}
	if (updates)
		miru_mend_update(mend,
						 miru_mend_writable(mend, miru_build_end(&state),
											false),
						 gone);
}

static void
undo_record(void *arg)
{
	Undo *undo = arg;
	MiruMend mend;

	/* What was detached since can only be told about. */
	if (miru_collection_get(undo->record->collection) == NULL)
	{
		read_plan(undo);
		return;
	}
	miru_mend_begin(&mend, undo->feed, undo->record->collection,
					undo->record->id);
	read_plan(undo);
	write_steps(undo, &mend);
}

/* ----- what is told ----- */

static void
put_row(const Undo *undo, Datum *values, bool *nulls)
{
	values[UNDO_COLLECTION] = CStringGetTextDatum(undo->record->collection);
	values[UNDO_ID] = CStringGetTextDatum(undo->record->id);
	nulls[UNDO_COLLECTION] = nulls[UNDO_ID] = false;
	tuplestore_putvalues(undo->result->setResult, undo->result->setDesc, values,
						 nulls);
}

static void
put_plan(const Undo *undo)
{
	for (uint64 i = 0; i < undo->steps; i++)
	{
		Datum values[UNDO_COLUMNS];
		bool nulls[UNDO_COLUMNS];

		for (int column = UNDO_FIELD; column < UNDO_COLUMNS; column++)
			values[column] = SPI_getbinval(undo->plan->vals[i],
										   undo->plan->tupdesc,
										   PLAN_COLUMN(column), &nulls[column]);
		put_row(undo, values, nulls);
	}
	SPI_freetuptable(undo->plan);
}

static void
put_refusal(const Undo *undo, const ErrorData *error)
{
	Datum values[UNDO_COLUMNS];
	bool nulls[UNDO_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[UNDO_ACTION] = CStringGetTextDatum("refuse");
	values[UNDO_REASON] = CStringGetTextDatum(
		unpack_sql_state(error->sqlerrcode));
	values[UNDO_WORDS] = CStringGetTextDatum(error->message);
	nulls[UNDO_ACTION] = nulls[UNDO_REASON] = nulls[UNDO_WORDS] = false;
	put_row(undo, values, nulls);
}

/* ----- all of them ----- */

static RecordName *
copy_name(MemoryContext context, const char *collection, const char *id)
{
	RecordName *name = MemoryContextAlloc(context, sizeof(RecordName));

	name->collection = MemoryContextStrdup(context, collection);
	name->id = MemoryContextStrdup(context, id);
	return name;
}

/* undo_one tells what became of a record, unless it is to be tried again. */
static void
undo_one(Undo *undo, const RecordName *record, bool is_last_try)
{
	MemoryContext old_context = MemoryContextSwitchTo(undo->one);
	ErrorData *error;

	CHECK_FOR_INTERRUPTS();
	undo->record = record;
	error = miru_run_isolated(undo_record, undo);
	if (error == NULL)
		put_plan(undo);
	else if (miru_is_transient(error->sqlerrcode))
		ReThrowError(error);
	else if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && !is_last_try)
	{
		MemoryContext one = MemoryContextSwitchTo(undo->call);

		undo->again =
			lappend(undo->again,
					copy_name(undo->call, record->collection, record->id));
		MemoryContextSwitchTo(one);
	}
	else
		put_refusal(undo, error);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(undo->one);
}

/* fetch reads names of records on, as the owner, and returns how many. */
static uint64
fetch(Portal cursor)
{
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(miru_owner(),
						   security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_cursor_fetch(cursor, true, RECORDS_AT_ONCE);
	SetUserIdAndSecContext(user, security);
	return SPI_processed;
}

static Portal
open_records(const Undo *undo)
{
	Oid types[] = {TEXTOID, JSONBOID};
	Datum values[] = {CStringGetTextDatum(undo->feed),
					  JsonbPGetDatum(undo->which)};
	Portal cursor;
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(miru_owner(),
						   security | SECURITY_LOCAL_USERID_CHANGE);
	cursor =
		SPI_cursor_open_with_args(NULL,
								  "SELECT * FROM mirusync.undo_records($1, $2)",
								  2, types, values, NULL, true, 0);
	SetUserIdAndSecContext(user, security);
	return cursor;
}

static void
undo_records(Undo *undo)
{
	Portal cursor = open_records(undo);
	uint64 count;

	while ((count = fetch(cursor)) > 0)
	{
		SPITupleTable *names = SPI_tuptable;

		for (uint64 i = 0; i < count; i++)
		{
			RecordName record = {SPI_getvalue(names->vals[i], names->tupdesc,
											  1),
								 SPI_getvalue(names->vals[i], names->tupdesc,
											  2)};

			undo_one(undo, &record, false);
			pfree(record.collection);
			pfree(record.id);
		}
		SPI_freetuptable(names);
	}
	SPI_cursor_close(cursor);
}

static void
try_again(Undo *undo)
{
	int before = 0;

	while (undo->again != NIL)
	{
		List *records = undo->again;
		bool is_last_try = list_length(records) == before;
		ListCell *cell;

		before = list_length(records);
		undo->again = NIL;
		foreach(cell, records)
			undo_one(undo, lfirst(cell), is_last_try);
		list_free(records);
	}
}

/* read_scope has the arguments checked and put together. */
static Jsonb *
read_scope(FunctionCallInfo fcinfo)
{
	Oid types[ARGUMENTS] = {TEXTOID,		TEXTOID,		INT8OID, INT8OID,
							TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
							XID8OID,		TEXTOID};
	Datum values[ARGUMENTS];
	char nulls[ARGUMENTS];
	bool isnull;

	for (int i = 0; i < ARGUMENTS; i++)
	{
		values[i] = fcinfo->args[i].value;
		nulls[i] = fcinfo->args[i].isnull ? 'n' : ' ';
	}
	miru_mend_ask("SELECT mirusync.undo_scope($1, $2, $3, $4, $5, $6, $7, $8,"
				  " $9, $10)",
				  ARGUMENTS, types, values, nulls);
	return DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0],
											SPI_tuptable->tupdesc, 1, &isnull));
}

/* mirusync_undo_0_2 is undo(); undo_preview() has the same arguments. */
Datum
mirusync_undo_0_2(PG_FUNCTION_ARGS)
{
	Undo undo = {0};
	char *which;

	PreventCommandIfReadOnly("mirusync.undo()");
	undo.result = (ReturnSetInfo *) fcinfo->resultinfo;
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	miru_mend_settle();
	undo.which = read_scope(fcinfo);
	undo.feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	undo.call = CurrentMemoryContext;
	undo.one = AllocSetContextCreate(undo.call, "mirusync undo record",
									 ALLOCSET_DEFAULT_SIZES);
	undo_records(&undo);
	try_again(&undo);
	which = JsonbToCString(NULL, &undo.which->root, VARSIZE(undo.which));
	miru_mend_number(psprintf(LABEL "%s", which));
	SPI_finish();
	return (Datum) 0;
}
