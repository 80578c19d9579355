/*
 * restore.c
 *     A record as it was, or some of its fields, brought back.
 *
 * What it was is asked of history under the lock of the record's row, and what
 * differs is written as the caller's SQL (mend.c).  It is a change like any
 * other: what it replaces stays in history, and a device that has not seen it
 * meets it by the rule.
 *
 * Owns no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mend.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "record.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mirusync_restore_0_2);

/* Its arguments. */
enum
{
	RESTORE_FEED,
	RESTORE_COLLECTION,
	RESTORE_ID,
	RESTORE_SEQ,
	RESTORE_FIELDS,
	RESTORE_AT
};

typedef struct Restoration
{
	const char *feed;
	const char *collection;
	const char *id;
	List *fields; /* String; NIL: all */
	MiruMend mend;
	Jsonb *was;	 /* the record as it is to be */
	Jsonb *last; /* of one that is deleted: as it was last, or NULL */
} Restoration;

/* ----- arguments ----- */

static void
check_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"feed", "collection", "id"};

	for (int i = RESTORE_FEED; i <= RESTORE_ID; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i])));
	}
	if (!PG_ARGISNULL(RESTORE_SEQ) && !PG_ARGISNULL(RESTORE_AT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only one of \"seq\" and \"at\" can be given")));
}

static List *
names_of(ArrayType *array)
{
	List *names = NIL;
	Datum *elements;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a name among \"fields\" is null")));
		names =
			list_append_unique(names,
							   makeString(TextDatumGetCString(elements[i])));
	}
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"fields\" names no field")));
	return names;
}

/* ----- what it was ----- */

static Jsonb *
first_jsonb(void)
{
	bool isnull = true;
	Datum value = 0;

	if (SPI_processed > 0)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
							  &isnull);
	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

/* read_was finds how the record was at a number, or a time. */
static void
read_was(Restoration *restoration, Oid type, Datum place)
{
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, type};
	Datum values[] = {CStringGetTextDatum(restoration->feed),
					  CStringGetTextDatum(restoration->collection),
					  CStringGetTextDatum(restoration->id), place};

	miru_mend_ask(type == INT8OID ? "SELECT mirusync.record_at($1, $2, $3, $4)"
								  : "SELECT mirusync.as_of($1, $2, $3, $4)",
				  4, types, values, NULL);
	restoration->was = first_jsonb();
	if (restoration->was == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("record \"%s\" of collection \"%s\" was not there then",
						restoration->id, restoration->collection)));
}

/* sync_state returns the record as sync knows it, or NULL. */
static MiruRecord *
sync_state(const Restoration *restoration)
{
	MiruTable table = miru_table_open("record", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruRecord *record = miru_record_find(&table, restoration->feed,
										  restoration->collection,
										  restoration->id, snapshot);

	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return record;
}

/* read_last finds the image that a deleted record left. */
static void
read_last(Restoration *restoration)
{
	MiruRecord *record = sync_state(restoration);

	if (record != NULL)
		restoration->last =
			miru_object_without_hidden(restoration->mend.target.rel,
									   record->image);
}

static void
find_was(Restoration *restoration, FunctionCallInfo fcinfo)
{
	if (!restoration->mend.has_row)
		read_last(restoration);
	if (!PG_ARGISNULL(RESTORE_SEQ))
		read_was(restoration, INT8OID, PG_GETARG_DATUM(RESTORE_SEQ));
	else if (!PG_ARGISNULL(RESTORE_AT))
		read_was(restoration, TIMESTAMPTZOID, PG_GETARG_DATUM(RESTORE_AT));
	else if (restoration->mend.has_row)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("record \"%s\" of collection \"%s\" is not deleted",
						restoration->id, restoration->collection),
				 errhint(
					 "Say with \"seq\" or \"at\" what is to be restored.")));
	else if (restoration->last == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("nothing is known of a record \"%s\" of collection"
						" \"%s\" in feed \"%s\"",
						restoration->id, restoration->collection,
						restoration->feed)));
	else
		restoration->was = restoration->last;
}

/* ----- writing it ----- */

/* differing returns those of the names whose values are not the same now. */
static List *
differing(const Jsonb *was, const Jsonb *now, List *names)
{
	List *result = NIL;
	ListCell *cell;

	foreach(cell, names)
	{
		JsonbValue a;
		JsonbValue b;

		if (miru_object_get(was, strVal(lfirst(cell)), &a) &&
			(!miru_object_get(now, strVal(lfirst(cell)), &b) ||
			 !miru_values_equal(&a, &b)))
			result = lappend(result, lfirst(cell));
	}
	return result;
}

static void
check_fields(const Restoration *restoration)
{
	ListCell *cell;

	/* A field that documents do not have was not there, which is something. */
	if (restoration->mend.target.rel->data_attnum != 0)
		return;
	foreach(cell, restoration->fields)
	{
		JsonbValue value;

		if (!miru_object_get(restoration->was, strVal(lfirst(cell)), &value))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("record \"%s\" of collection \"%s\" had no field"
							" \"%s\" then",
							restoration->id, restoration->collection,
							strVal(lfirst(cell)))));
	}
	(void) miru_mend_writable(&restoration->mend,
							  miru_object_pick(restoration->was,
											   restoration->fields),
							  true);
}

/* update returns whether there was anything to write. */
static bool
update(Restoration *restoration)
{
	MiruMend *mend = &restoration->mend;
	Jsonb *now = miru_target_read(&mend->target);
	bool is_document = mend->target.rel->data_attnum != 0;
	List *names = restoration->fields;
	List *gone = NIL;

	if (names == NIL)
		names = list_union(miru_object_names(restoration->was),
						   is_document ? miru_object_names(now) : NIL);
	/* Of a table fields do not come and go. */
	if (is_document)
		gone = list_intersection(list_difference(names,
												 miru_object_names(
													 restoration->was)),
								 miru_object_names(now));
	names = differing(restoration->was, now, names);
	now = miru_mend_writable(mend, miru_object_pick(restoration->was, names),
							 false);
	if (JB_ROOT_COUNT(now) == 0 && gone == NIL)
		return false;
	miru_mend_update(mend, now, gone);
	return true;
}

static void
insert(Restoration *restoration)
{
	Jsonb *object = restoration->was;

	if (restoration->fields != NIL)
	{
		object = miru_object_pick(object, restoration->fields);
		if (restoration->last != NULL)
			object = miru_object_overlay(restoration->last, object);
	}
	miru_mend_insert(&restoration->mend,
					 miru_mend_writable(&restoration->mend, object, false));
}

/* number_of returns the number that the record has got. */
static int64
number_of(const Restoration *restoration)
{
	MiruRecord *record = sync_state(restoration);

	return record ? record->seq : 0;
}

/* mirusync_restore_0_2 is restore(feed, collection, id, seq, fields, at). */
Datum
mirusync_restore_0_2(PG_FUNCTION_ARGS)
{
	Restoration restoration = {0};
	bool written = true;
	int64 seq = 0;

	PreventCommandIfReadOnly("mirusync.restore()");
	check_arguments(fcinfo);
	restoration.feed = text_to_cstring(PG_GETARG_TEXT_PP(RESTORE_FEED));
	restoration.collection = text_to_cstring(
		PG_GETARG_TEXT_PP(RESTORE_COLLECTION));
	restoration.id = text_to_cstring(PG_GETARG_TEXT_PP(RESTORE_ID));
	if (!PG_ARGISNULL(RESTORE_FIELDS))
		restoration.fields = names_of(PG_GETARG_ARRAYTYPE_P(RESTORE_FIELDS));
	SPI_connect();
	miru_mend_settle();
	miru_mend_begin(&restoration.mend, restoration.feed, restoration.collection,
					restoration.id);
	find_was(&restoration, fcinfo);
	check_fields(&restoration);
	if (restoration.mend.has_row)
		written = update(&restoration);
	else
		insert(&restoration);
	if (written)
	{
		miru_mend_number("mirusync.restore()");
		seq = number_of(&restoration);
	}
	SPI_finish();
	if (seq == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(seq);
}
