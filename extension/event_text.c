/*
 * event_text.c
 *     Messages of the event dialect as text: their frame, and one record.
 *
 * This is on the way of every push, so messages are written as text in one
 * go.  An object is copied out of its jsonb, and never taken apart and built
 * anew: besides being slow that recurses, and could fail on an object nested
 * deeply by SQL.
 *
 * An event never looks older than its record.  A write by SQL, or a merge,
 * leaves the object's own stamp behind the record's clock, and a client that
 * compares stamps would keep its older version for ever; such a stamp is
 * raised in what is sent, while what is stored stays.
 *
 * What stands in the database is sent whatever it is.  An object that SQL
 * wrote may not be what clients expect, so it is put through the collection's
 * normalise function; but if that refuses it, it goes out as it is stored: one
 * bad row must not stop the feed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "event_clock.h"
#include "event_text.h"
#include "isolate.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

void
miru_text_key(StringInfo out, const char *key)
{
	appendStringInfoChar(out, ',');
	escape_json(out, key);
	appendStringInfoChar(out, ':');
}

void
miru_text_number(StringInfo out, const char *key, int64 number)
{
	char digits[MAXINT8LEN + 1];

	miru_text_key(out, key);
	appendBinaryStringInfo(out, digits, pg_lltoa(number, digits));
}

void
miru_text_envelope(StringInfo out, const char *type, const char *now)
{
	appendStringInfoString(out, "{\"type\":");
	escape_json(out, type);
	appendStringInfo(out, ",\"timestamp\":\"%s\"", now);
}

/* append_value writes any JSON value. */
static void
append_value(StringInfo out, const JsonbValue *value)
{
	char *text;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			text = DatumGetCString(
				DirectFunctionCall1(numeric_out,
									NumericGetDatum(value->val.numeric)));
			appendStringInfoString(out, text);
			break;
		case jbvString:
			escape_json(out,
						pnstrdup(value->val.string.val, value->val.string.len));
			break;
		case jbvBinary:
			(void) JsonbToCString(out, value->val.binary.data,
								  value->val.binary.len);
			break;
		default:
			elog(ERROR, "unexpected type of json value: %d", (int) value->type);
	}
}

/* find_edit returns the edit of that key, or NULL. */
static MiruEventEdit *
find_edit(MiruEventEdit *edits, int count, const JsonbValue *key)
{
	for (int i = 0; i < count; i++)
	{
		if (edits[i].key.length == key->val.string.len &&
			memcmp(edits[i].key.name, key->val.string.val,
				   key->val.string.len) == 0)
			return &edits[i];
	}
	return NULL;
}

/* append_edited writes an object with some of its fields set otherwise. */
static void
append_edited(StringInfo out, Jsonb *object, MiruEventEdit *edits, int count)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue item;
	MiruEventEdit *edit = NULL;
	char separator = '{';

	/* Nested values are skipped over: they come as one binary value. */
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			appendStringInfoChar(out, separator);
			separator = ',';
			append_value(out, &item);
			appendStringInfoChar(out, ':');
			edit = find_edit(edits, count, &item);
		}
		else if (token == WJB_VALUE && edit != NULL)
		{
			appendStringInfoString(out, edit->json);
			edit->is_written = true;
		}
		else if (token == WJB_VALUE)
			append_value(out, &item);
	}
	for (int i = 0; i < count; i++)
	{
		if (edits[i].is_written)
			continue;
		appendStringInfoChar(out, separator);
		separator = ',';
		escape_json(out, edits[i].key.name);
		appendStringInfo(out, ":%s", edits[i].json);
	}
	appendStringInfoChar(out, '}');
}

/* An object to be normalised, and what became of it. */
typedef struct Normalisation
{
	const MiruEventCollection *collection;
	Jsonb *object;
	Jsonb *result;
} Normalisation;

static void
normalise(void *arg)
{
	Normalisation *wanted = arg;

	wanted->result = miru_event_normalise(wanted->collection, wanted->object);
}

/*
 * normalised_or_stored returns the object in the form that the collection's
 * function gives it, or as it is if the function refuses it.  An internal
 * error of the function counts as that too: it would come again each time,
 * and keep the feed from being read.
 */
static Jsonb *
normalised_or_stored(const MiruEventCollection *collection, Jsonb *object)
{
	Normalisation wanted = {collection, object, NULL};
	ErrorData *error;

	if (collection->normalise == NULL)
		return object;
	error = miru_run_isolated(normalise, &wanted);
	if (error == NULL)
		return wanted.result != NULL ? wanted.result : object;
	if (miru_is_transient(error->sqlerrcode) &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTERNAL_ERROR)
		ReThrowError(error);
	ereport(
		DEBUG1,
		(errmsg_internal("object of collection \"%s\" is sent as stored: %s",
						 collection->name, error->message)));
	return object;
}

/* clock_ms returns the first millisecond that is not before the clock. */
static int64
clock_ms(Hlc clock)
{
	return hlc_ms(clock) + (hlc_counter(clock) > 0 ? 1 : 0);
}

/* append_absent stands in for the object of which nothing is left. */
static void
append_absent(StringInfo out, const MiruEventCollection *collection,
			  const MiruDelivery *delivery)
{
	char time[HLC_TIME_SIZE];

	hlc_format_time(clock_ms(delivery->clock), time);
	appendStringInfoChar(out, '{');
	escape_json(out, collection->id_key);
	appendStringInfoChar(out, ':');
	escape_json(out, delivery->id);
	miru_text_key(out, "deletedAt");
	appendStringInfo(out, "\"%s\"", time);
	if (collection->clock_keys.count > 0)
	{
		miru_text_key(out, collection->clock_keys.keys[0].name);
		appendStringInfo(out, "\"%s\"", time);
	}
	appendStringInfoChar(out, '}');
}

void
miru_text_record(StringInfo out, const MiruEventCollection *collection,
				 const MiruDelivery *delivery)
{
	MiruEventEdit edits[MIRU_EVENT_EDITS_MAX];
	int64 ms = clock_ms(delivery->clock);
	Jsonb *object = delivery->object;
	int count;

	if (object == NULL)
	{
		append_absent(out, collection, delivery);
		return;
	}
	if (delivery->by_sql)
		object = normalised_or_stored(collection, object);

	count = miru_event_raise_stamps(collection, object, ms, edits);
	if (delivery->deleted && !miru_event_is_deleted(object))
		miru_event_edit_time(&edits[count++], "deletedAt", ms);
	if (count == 0)
		(void) JsonbToCString(out, &object->root, VARSIZE(object));
	else
		append_edited(out, object, edits, count);
}
