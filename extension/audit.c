/*
 * audit.c
 *     What the audit asks of a record's state: its fields as they stand, and
 *     who wrote each of them.
 *
 * All else that the audit asks is SQL over history (sql/install/75_audit.sql).
 * Only what lies in packed form, or in the application's tables, is read here:
 * under the caller's snapshot, as pull reads it, and whoever may execute these
 * functions needs no right on the tables.
 *
 * Owns no table and takes no lock but against tables being dropped.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "delivery.h"
#include "element_set.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "record.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(mirusync_stored_0_2);
PG_FUNCTION_INFO_V1(mirusync_field_stamps_0_2);

/* Columns of field_stamps(). */
enum
{
	STAMP_FIELD,
	STAMP_VALUE,
	STAMP_CLOCK,
	STAMP_DEVICE,
	STAMP_SEQ,
	STAMP_COLUMNS
};

/* find finds the record that the first three arguments name. */
static MiruRecord *
find(FunctionCallInfo fcinfo)
{
	MiruTable table = miru_table_open("record", false);
	MiruRecord *record = miru_record_find(&table,
										  text_to_cstring(PG_GETARG_TEXT_PP(0)),
										  text_to_cstring(PG_GETARG_TEXT_PP(1)),
										  text_to_cstring(PG_GETARG_TEXT_PP(2)),
										  GetActiveSnapshot());

	miru_table_close(&table);
	return record;
}

/*
 * mirusync_stored_0_2 is stored(feed, collection, id): the record as it stands,
 * NULL if it is deleted or there is none.
 */
Datum
mirusync_stored_0_2(PG_FUNCTION_ARGS)
{
	MiruRecord *record = find(fcinfo);
	Jsonb *object = NULL;

	if (record != NULL && !record->deleted)
		object = miru_page_object(record, GetActiveSnapshot());
	if (object == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(object);
}

/* key_of returns the key of a field among the stamps. */
static const char *
key_of(MiruRelation *rel, const char *name)
{
	MiruField *field = NULL;

	if (rel != NULL && rel->data_attnum == 0)
		field = miru_field_by_name(rel, name);
	return field ? field->key : name;
}

/* put_stamp returns a row; "field" and "value" may be NULL. */
static void
put_stamp(ReturnSetInfo *result, const char *field, Jsonb *value,
		  const MiruStamp *stamp)
{
	Datum values[STAMP_COLUMNS] = {0};
	bool nulls[STAMP_COLUMNS] = {false};

	nulls[STAMP_FIELD] = field == NULL;
	if (field != NULL)
		values[STAMP_FIELD] = CStringGetTextDatum(field);
	nulls[STAMP_VALUE] = value == NULL;
	values[STAMP_VALUE] = PointerGetDatum(value);
	values[STAMP_CLOCK] = Int64GetDatum((int64) stamp->clock);
	nulls[STAMP_DEVICE] = stamp->device[0] == '\0';
	values[STAMP_DEVICE] = CStringGetTextDatum(stamp->device);
	values[STAMP_SEQ] = Int64GetDatum(stamp->seq);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_fields(ReturnSetInfo *result, MiruRecord *record, Jsonb *object,
		   const MiruStamps *stamps)
{
	MiruCollection *collection = miru_collection_get(record->collection);
	MiruRelation *rel = collection ? miru_relation_get(collection->relid)
								   : NULL;
	/* Who wrote a set is who wrote an element of it last. */
	const MiruStamps *folded = miru_set_forget_elements(stamps);
	ListCell *cell;

	if (folded != NULL)
		stamps = folded;
	foreach(cell, miru_object_names(object))
	{
		const char *name = strVal(lfirst(cell));
		JsonbValue value;

		CHECK_FOR_INTERRUPTS();
		(void) miru_object_get(object, name, &value);
		put_stamp(result, name, JsonbValueToJsonb(&value),
				  miru_stamps_get(stamps, key_of(rel, name)));
	}
}

/*
 * mirusync_field_stamps_0_2 is field_stamps(feed, collection, id): who wrote each
 * field of a record.  Of a tombstone a row without a field says who deleted
 * it, and the others who wrote its last image.
 */
Datum
mirusync_field_stamps_0_2(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MiruRecord *record = find(fcinfo);
	const MiruStamps *stamps;
	Jsonb *object;

	InitMaterializedSRF(fcinfo, 0);
	if (record == NULL)
		return (Datum) 0;
	stamps = record->stamps;
	if (record->deleted)
	{
		put_stamp(result, NULL, NULL, &record->stamps->base);
		stamps = record->former;
	}
	object = miru_page_object(record, GetActiveSnapshot());
	if (object != NULL && stamps != NULL)
		put_fields(result, record, object, stamps);
	return (Datum) 0;
}
