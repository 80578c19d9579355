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
#include "jsonb_text.h"
#include "miscadmin.h"
#include "utils/builtins.h"
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
	MiruItems items;
	JsonbValue key;
	JsonbValue value;
	char separator = '{';

	miru_items_begin(&items, &object->root);
	while (miru_items_next(&items, &key, &value))
	{
		MiruEventEdit *edit = find_edit(edits, count, &key);

		appendStringInfoChar(out, separator);
		separator = ',';
		miru_append_value(out, &key);
		appendStringInfoChar(out, ':');
		if (edit == NULL)
			miru_append_value(out, &value);
		else
		{
			appendStringInfoString(out, edit->json);
			edit->is_written = true;
		}
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

/* Deliveries whose objects are to be normalised. */
typedef struct Normalising
{
	List *deliveries;
	int next; /* index of the one that is being looked at */
	MiruEventNormaliser normaliser;
} Normalising;

/* to_normalise returns the collection whose function is for a delivery. */
static const MiruEventCollection *
to_normalise(const MiruDelivery *delivery)
{
	const MiruEventCollection *collection;

	if (!delivery->by_sql || delivery->object == NULL)
		return NULL;
	collection = miru_event_map_collection(miru_event_map(),
										   delivery->collection);
	return collection != NULL && collection->normalise != NULL ? collection
															   : NULL;
}

/* normalise goes on with the deliveries, until one fails. */
static void
normalise(void *arg)
{
	Normalising *work = arg;

	/* After a failure nothing that a function kept is to be trusted. */
	work->normaliser.collection = NULL;
	for (; work->next < list_length(work->deliveries); work->next++)
	{
		MiruDelivery *delivery = list_nth(work->deliveries, work->next);
		const MiruEventCollection *collection = to_normalise(delivery);

		CHECK_FOR_INTERRUPTS();
		if (collection != NULL)
			delivery->normalised = miru_event_normalise_with(&work->normaliser,
															 collection,
															 delivery->object);
	}
}

/* skip_refused leaves an object as it is stored, which its function refused. */
static void
skip_refused(Normalising *work, ErrorData *error)
{
	MiruDelivery *delivery = list_nth(work->deliveries, work->next);

	if (miru_is_transient(error->sqlerrcode) &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTERNAL_ERROR)
		ReThrowError(error);
	ereport(
		DEBUG1,
		(errmsg_internal("object of collection \"%s\" is sent as stored: %s",
						 delivery->collection, error->message)));
	delivery->normalised = NULL;
	work->next++;
}

/*
 * An internal error of a function counts as a refusal too: it would come again
 * each time, and keep the feed from being read.
 */
void
miru_text_normalise(List *deliveries)
{
	Normalising work = {deliveries, 0, {.softly = true}};

	while (work.next < list_length(deliveries))
	{
		ErrorData *error;

		if (to_normalise(list_nth(deliveries, work.next)) == NULL)
		{
			work.next++;
			continue;
		}
		error = miru_run_isolated(normalise, &work);
		if (error != NULL)
			skip_refused(&work, error);
	}
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
	if (delivery->normalised != NULL)
		object = delivery->normalised;

	count = miru_event_raise_stamps(collection, object, ms, edits);
	if (delivery->deleted && !miru_event_is_deleted(object))
		miru_event_edit_time(&edits[count++], "deletedAt", ms);
	if (count == 0)
		miru_append_object(out, object);
	else
		append_edited(out, object, edits, count);
}
