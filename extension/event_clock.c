/*
 * event_clock.c
 *     What an object of the event dialect says about time.
 *
 * An application's object carries the time of its last change itself, under
 * one of a few keys and in one of two forms.  Inside mirusync that time is a
 * clock of the record; here the two are kept in step, in both directions:
 * an object that comes in is read, and bounded if its device's clock is in
 * the future, and one that goes out never looks older than its record.  What
 * is in order already is not touched, to the byte.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "event.h"
#include "event_clock.h"
#include "object.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

/* More digits than MIRU_EVENT_MS_MAX has would overflow below. */
#define MS_DIGITS_MAX 15

/* Longest message time that we look at: a fraction may have any length. */
#define TIME_LENGTH_MAX 64

/* number_to_ms reads an integer of milliseconds. */
static bool
number_to_ms(Numeric number, int64 *ms)
{
	char *text = DatumGetCString(
		DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	size_t length = strlen(text);

	/* No sign, no fraction. */
	if (length > MS_DIGITS_MAX || strspn(text, "0123456789") != length)
		return false;
	*ms = strtoll(text, NULL, 10);
	return *ms <= MIRU_EVENT_MS_MAX;
}

/* value_to_ms reads a stamp. */
static MiruEventTime
value_to_ms(const JsonbValue *value, int64 *ms)
{
	bool is_given;

	switch (value->type)
	{
		case jbvNull:
			return MIRU_TIME_MISSING;
		case jbvString:
			if (value->val.string.len == 0)
				return MIRU_TIME_MISSING;
			is_given = value->val.string.len <= TIME_LENGTH_MAX &&
				hlc_parse_time(value->val.string.val, value->val.string.len,
							   ms) &&
				*ms >= 0 && *ms <= MIRU_EVENT_MS_MAX;
			break;
		case jbvNumeric:
			is_given = number_to_ms(value->val.numeric, ms);
			break;
		default:
			is_given = false;
	}
	return is_given ? MIRU_TIME_GIVEN : MIRU_TIME_MALFORMED;
}

/* object_get finds a key whose length is known. */
static bool
object_get(const Jsonb *object, const MiruEventKey *key, JsonbValue *value)
{
	JsonbContainer *root = unconstify(JsonbContainer *, &object->root);

	return getKeyJsonValueFromContainer(root, key->name, key->length, value) !=
		NULL;
}

bool
miru_event_read_time(const JsonbValue *value, int64 *ms)
{
	const char *text = value->val.string.val;
	int length = value->val.string.len;

	/* YYYY-MM-DDTHH:MM:SS and Z; the rest is for the parser to see. */
	if (value->type != jbvString || length < 20 || length > TIME_LENGTH_MAX)
		return false;
	if (text[4] != '-' || text[10] != 'T' || text[16] != ':' ||
		text[length - 1] != 'Z')
		return false;
	return value_to_ms(value, ms) == MIRU_TIME_GIVEN;
}

MiruEventTime
miru_event_stamp(const MiruEventCollection *collection, const Jsonb *object,
				 int64 *ms)
{
	for (int i = 0; i < collection->clock_keys.count; i++)
	{
		JsonbValue value;
		MiruEventTime time;

		if (!object_get(object, &collection->clock_keys.keys[i], &value))
			continue;
		time = value_to_ms(&value, ms);
		if (time != MIRU_TIME_MISSING)
			return time;
	}
	return MIRU_TIME_MISSING;
}

/* edit_key makes an edit of that key, in the representation of "value". */
static void
edit_key(MiruEventEdit *edit, const MiruEventKey *key, const JsonbValue *value,
		 int64 ms)
{
	edit->key = *key;
	edit->is_written = false;
	if (value->type == jbvNumeric)
		snprintf(edit->json, sizeof(edit->json), INT64_FORMAT, ms);
	else
	{
		char time[HLC_TIME_SIZE];

		hlc_format_time(ms, time);
		snprintf(edit->json, sizeof(edit->json), "\"%s\"", time);
	}
}

void
miru_event_edit_time(MiruEventEdit *edit, const char *key, int64 ms)
{
	MiruEventKey event_key = {unconstify(char *, key), strlen(key)};
	JsonbValue text = {.type = jbvString};

	edit_key(edit, &event_key, &text, ms);
}

int
miru_event_raise_stamps(const MiruEventCollection *collection,
						const Jsonb *object, int64 ms, MiruEventEdit *edits)
{
	const MiruEventKeys *clock_keys = &collection->clock_keys;
	int64 stamp_ms;
	int count = 0;

	if (clock_keys->count == 0)
		return 0;
	if (miru_event_stamp(collection, object, &stamp_ms) == MIRU_TIME_GIVEN &&
		stamp_ms >= ms)
		return 0;

	/*
	 * Each key that is behind, not only the one we read: who receives the
	 * object may read another one first.
	 */
	for (int i = 0; i < clock_keys->count; i++)
	{
		JsonbValue value;
		MiruEventTime time;

		if (!object_get(object, &clock_keys->keys[i], &value))
			continue;
		time = value_to_ms(&value, &stamp_ms);
		if (time == MIRU_TIME_MALFORMED ||
			(time == MIRU_TIME_GIVEN && stamp_ms < ms))
			edit_key(&edits[count++], &clock_keys->keys[i], &value, ms);
	}
	if (count == 0)
		miru_event_edit_time(&edits[count++], clock_keys->keys[0].name, ms);
	return count;
}

bool
miru_event_is_deleted(const Jsonb *object)
{
	JsonbValue value;

	if (!miru_object_get(object, "deletedAt", &value))
		return false;
	switch (value.type)
	{
		case jbvString:
			return value.val.string.len > 0;
		case jbvBool:
			return value.val.boolean;
		case jbvNumeric:
			return DatumGetBool(
				DirectFunctionCall2(numeric_ne,
									NumericGetDatum(value.val.numeric),
									NumericGetDatum(int64_to_numeric(0))));
		default:
			return false;
	}
}

Jsonb *
miru_event_bound_object(const char *collection_name, Jsonb *object, Hlc bounded)
{
	const MiruEventCollection *collection;
	int64 bounded_ms = hlc_ms(bounded);
	StringInfoData edits;
	Jsonb *over;

	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return object;
	collection = miru_event_map_collection(miru_event_map(), collection_name);
	if (collection == NULL)
		return object;

	initStringInfo(&edits);
	for (int i = 0; i < collection->clock_keys.count; i++)
	{
		const MiruEventKey *key = &collection->clock_keys.keys[i];
		MiruEventEdit edit;
		JsonbValue value;
		int64 ms;

		if (!object_get(object, key, &value) ||
			value_to_ms(&value, &ms) != MIRU_TIME_GIVEN || ms <= bounded_ms)
			continue;
		edit_key(&edit, key, &value, bounded_ms);
		appendStringInfoChar(&edits, edits.len == 0 ? '{' : ',');
		escape_json(&edits, key->name);
		appendStringInfo(&edits, ":%s", edit.json);
	}
	if (edits.len == 0)
		return object;
	appendStringInfoChar(&edits, '}');
	over = DatumGetJsonbP(
		DirectFunctionCall1(jsonb_in, CStringGetDatum(edits.data)));
	return miru_object_overlay(object, over);
}
