/*
 * batch.c
 *     The native form of a push: a JSON batch of numbered changes, and the
 *     JSON of its verdicts.
 *
 *     {"digested": 40, "epoch": 0, "atomic": false, "discard": [39],
 *      "report": {"cursor": 17, "unsent": 1, "version": "2.1", "clock": ...},
 *      "changes": [
 *       {"number": 41, "kind": "put", "collection": "note", "id": "n1",
 *        "fields": {...}, "clock": "2026-11-23T06:00:00.123Z/0000",
 *        "add": {...}, "remove": {...}, "base": 17, "feed": "anna"}]}
 *
 * gives
 *
 *     {"verdicts": [{"number": 41, "verdict": "applied", "seq": 18}]}
 *
 * Reads and writes no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "batch.h"
#include "catalog/pg_type.h"
#include "conflict.h"
#include "epoch.h"
#include "errors.h"
#include "jsonb_build.h"
#include "key.h"
#include "nodes/value.h"
#include "object.h"
#include "utils/builtins.h"

/* Longest version that a device may say it has. */
#define VERSION_MAX_BYTES 100

static const char *const kind_names[] = {"put", "patch", "delete"};
static const char *const verdict_names[] = {"applied", "merged", "stale",
											"rejected"};

const char *
miru_kind_name(MiruChangeKind kind)
{
	return kind_names[kind];
}

const char *
miru_verdict_name(MiruVerdictKind verdict)
{
	return verdict_names[verdict];
}

static void
reject(MiruChange *change, const char *reason)
{
	if (change->verdict == MIRU_REJECTED)
		return;
	change->verdict = MIRU_REJECTED;
	change->sqlstate = ERRCODE_MIRU_INVALID_OBJECT;
	change->reason = pstrdup(reason);
}

/* ----- reading ----- */

/* as_integer reads a whole number of at least 0; false if it is none. */
static bool
as_integer(const JsonbValue *value, int64 *result)
{
	Datum text;
	char *end;

	if (value->type != jbvNumeric)
		return false;
	text = DirectFunctionCall1(numeric_out,
							   NumericGetDatum(value->val.numeric));
	errno = 0;
	*result = strtoi64(DatumGetCString(text), &end, 10);
	return errno == 0 && *end == '\0' && *result >= 0;
}

static bool
get_integer(Jsonb *object, const char *name, int64 *result)
{
	JsonbValue value;

	return miru_object_get(object, name, &value) && as_integer(&value, result);
}

/* get_text reads a string; NULL if it is none. */
static char *
get_text(Jsonb *object, const char *name)
{
	JsonbValue value;

	if (!miru_object_get(object, name, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static bool
has(Jsonb *object, const char *name)
{
	JsonbValue value;

	return miru_object_get(object, name, &value) && value.type != jbvNull;
}

static void
read_kind(MiruChange *change, Jsonb *object)
{
	char *name = get_text(object, "kind");

	for (int i = 0; name != NULL && i < lengthof(kind_names); i++)
	{
		if (strcmp(name, kind_names[i]) == 0)
		{
			change->kind = (MiruChangeKind) i;
			return;
		}
	}
	reject(change, "kind must be \"put\", \"patch\" or \"delete\"");
}

/* get_object reads an object; NULL if it is none. */
static Jsonb *
get_object(Jsonb *object, const char *name)
{
	JsonbValue value;

	if (!miru_object_get(object, name, &value) || value.type != jbvBinary ||
		!JsonContainerIsObject(value.val.binary.data))
		return NULL;
	return JsonbValueToJsonb(&value);
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data);
}

/*
 * read_deltas reads what is added or removed: numbers or arrays, of fields
 * that are not set as well.
 */
static Jsonb *
read_deltas(MiruChange *change, Jsonb *object, const char *key)
{
	bool removes = strcmp(key, "remove") == 0;
	const char *expected = removes
		? "remove must be an object of arrays"
		: "add must be an object of numbers and arrays";
	Jsonb *deltas = get_object(object, key);
	ListCell *cell;

	if (deltas == NULL)
	{
		reject(change, expected);
		return NULL;
	}
	foreach(cell, miru_object_names(deltas))
	{
		char *name = strVal(lfirst(cell));
		JsonbValue value;

		miru_object_get(deltas, name, &value);
		if (!is_array(&value) && (removes || value.type != jbvNumeric))
			reject(change, expected);
		if (change->object != NULL &&
			miru_object_get(change->object, name, &value))
			reject(change,
				   psprintf("a field stands both in fields and in %s", key));
	}
	return deltas;
}

static void
read_fields(MiruChange *change, Jsonb *object)
{
	bool has_add = has(object, "add");
	bool has_remove = has(object, "remove");

	if (change->kind == MIRU_DELETE)
		return;
	change->object = get_object(object, "fields");
	if (change->object == NULL && (has_add || has_remove) &&
		!has(object, "fields"))
		change->object = miru_object_pick(object, NIL);
	if (change->object == NULL)
		reject(change, "fields must be an object");
	if (has_add)
		change->add = read_deltas(change, object, "add");
	if (has_remove)
		change->remove = read_deltas(change, object, "remove");
}

static void
read_clock(MiruChange *change, Jsonb *object)
{
	char *text = get_text(object, "clock");

	if (!has(object, "clock"))
		return;
	if (text == NULL || !hlc_parse(text, strlen(text), &change->clock))
		reject(
			change,
			"clock must be a hybrid logical clock such as \"2026-11-23T06:00:00.123Z/0000\"");
}

MiruChange *
miru_batch_read_change(Jsonb *object)
{
	MiruChange *change = palloc0(sizeof(MiruChange));

	change->origin = -1;
	change->base = MIRU_BASE_UNKNOWN;
	change->sent = object;
	read_kind(change, object);
	change->collection = get_text(object, "collection");
	change->id = get_text(object, "id");
	change->feed = get_text(object, "feed");
	if (change->collection == NULL)
		reject(change, "collection must be a string");
	if (change->id == NULL || strlen(change->id) > MIRU_ID_MAX_BYTES)
		reject(change, "id must be a string of at most 1024 bytes");
	if (has(object, "feed") && change->feed == NULL)
		reject(change, "feed must be a string");
	if (has(object, "base") && !get_integer(object, "base", &change->base))
		reject(change, "base must be an integer of at least 0");
	read_clock(change, object);
	read_fields(change, object);
	return change;
}

static MiruChange *
read_change(Jsonb *object)
{
	MiruChange *change = miru_batch_read_change(object);

	if (!get_integer(object, "number", &change->number) || change->number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("change has no \"number\" of at least 1")));
	return change;
}

static void
check_distinct(List *changes, MiruChange *change)
{
	ListCell *cell;

	foreach(cell, changes)
	{
		if (((MiruChange *) lfirst(cell))->number == change->number)
			ereport(ERROR,
					(errcode(ERRCODE_MIRU_INVALID_BATCH),
					 errmsg("number " INT64_FORMAT " stands twice in the batch",
							change->number)));
	}
}

static List *
read_changes(JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue item;
	List *changes = NIL;

	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		MiruChange *change;

		if (token != WJB_ELEM)
			continue;
		if (item.type != jbvBinary ||
			!JsonContainerIsObject(item.val.binary.data))
			ereport(ERROR,
					(errcode(ERRCODE_MIRU_INVALID_BATCH),
					 errmsg("change in batch is not an object")));
		if (list_length(changes) == MIRU_BATCH_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_MIRU_INVALID_BATCH),
					 errmsg("batch has more than %d changes", MIRU_BATCH_MAX)));
		change = read_change(JsonbValueToJsonb(&item));
		check_distinct(changes, change);
		changes = lappend(changes, change);
	}
	return changes;
}

int64
miru_batch_digested(Jsonb *batch)
{
	int64 digested = 0;

	if (has(batch, "digested") && !get_integer(batch, "digested", &digested))
		ereport(
			ERROR,
			(errcode(ERRCODE_MIRU_INVALID_BATCH),
			 errmsg(
				 "\"digested\" of the batch is not an integer of at least 0")));
	return digested;
}

ArrayType *
miru_batch_discard(Jsonb *batch)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	Datum numbers[MIRU_BATCH_MAX];
	int count = 0;
	bool good = true;

	if (!has(batch, "discard"))
		return NULL;
	miru_object_get(batch, "discard", &item);
	if (item.type != jbvBinary || !JsonContainerIsArray(item.val.binary.data))
		good = false;
	iterator = good ? JsonbIteratorInit(item.val.binary.data) : NULL;
	while (good &&
		   (token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		int64 number = 0;

		if (token != WJB_ELEM)
			continue;
		good = count < MIRU_BATCH_MAX && as_integer(&item, &number) &&
			number > 0;
		if (good)
			numbers[count++] = Int64GetDatum(number);
	}
	if (!good)
		ereport(
			ERROR,
			(errcode(ERRCODE_MIRU_INVALID_BATCH),
			 errmsg(
				 "\"discard\" of the batch is not an array of at most %d numbers",
				 MIRU_BATCH_MAX)));
	return construct_array(numbers, count, INT8OID, sizeof(int64),
						   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

List *
miru_batch_parse(Jsonb *batch, int64 *digested, int32 *epoch)
{
	JsonbValue value;
	int64 number = MIRU_NO_EPOCH;

	if (!JB_ROOT_IS_OBJECT(batch))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("batch is not an object")));
	*digested = miru_batch_digested(batch);
	if (has(batch, "epoch") &&
		(!get_integer(batch, "epoch", &number) || number > PG_INT32_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"epoch\" of the batch is not an epoch")));
	*epoch = (int32) number;
	if (!miru_object_get(batch, "changes", &value) || value.type != jbvBinary ||
		!JsonContainerIsArray(value.val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"changes\" of the batch is not an array")));
	return read_changes(value.val.binary.data);
}

bool
miru_batch_is_atomic(Jsonb *batch)
{
	JsonbValue value;

	if (!has(batch, "atomic"))
		return false;
	if (!miru_object_get(batch, "atomic", &value) || value.type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"atomic\" of the batch is not a boolean")));
	return value.val.boolean;
}

static void
read_count(Jsonb *object, const char *name, int64 *count)
{
	*count = -1;
	if (has(object, name) && !get_integer(object, name, count))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"%s\" of the report is not an integer of at least 0",
						name)));
}

bool
miru_batch_report(Jsonb *batch, MiruReport *report)
{
	Jsonb *object = get_object(batch, "report");
	char *clock;

	if (object == NULL && has(batch, "report"))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"report\" of the batch is not an object")));
	if (object == NULL)
		return false;
	read_count(object, "cursor", &report->cursor);
	read_count(object, "unsent", &report->unsent);
	report->version = get_text(object, "version");
	if (has(object, "version") &&
		(report->version == NULL ||
		 strlen(report->version) > VERSION_MAX_BYTES))
		ereport(
			ERROR,
			(errcode(ERRCODE_MIRU_INVALID_BATCH),
			 errmsg(
				 "\"version\" of the report is not a string of at most %d bytes",
				 VERSION_MAX_BYTES)));
	report->clock = 0;
	clock = get_text(object, "clock");
	if (has(object, "clock") &&
		(clock == NULL || !hlc_parse(clock, strlen(clock), &report->clock)))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"clock\" of the report is not a clock")));
	return true;
}

/* ----- writing ----- */

/* is_delta tells whether a field was sent as what is added and removed. */
static bool
is_delta(const MiruChange *change, const char *name)
{
	JsonbValue value;

	return (change->add != NULL &&
			miru_object_get(change->add, name, &value)) ||
		(change->remove != NULL &&
		 miru_object_get(change->remove, name, &value));
}

/*
 * is_news tells whether a stored field is to be told to the device: one that
 * it sent and that stands otherwise; after a patch one that changed together
 * with what it sent; after a put or a delete every one that it did not send.
 */
static bool
is_news(const MiruChange *change, const char *name, JsonbValue *stored)
{
	const MiruDelivery *winner = change->winner;
	JsonbValue other;

	if (change->kind == MIRU_DELETE)
		return true;
	if (miru_object_get(change->object, name, &other))
		return !miru_values_equal(&other, stored);
	if (change->kind == MIRU_PUT || is_delta(change, name) ||
		miru_brought_back(change, winner))
		return true;
	return winner->changed != NULL &&
		miru_object_get(winner->changed, name, &other);
}

/* news_of returns the stored values that the device does not have. */
static Jsonb *
news_of(const MiruChange *change)
{
	JsonbParseState *state;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	JsonbValue key;

	miru_build_begin(&state);
	iterator = JsonbIteratorInit(&change->winner->object->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = item;
		if (token != WJB_VALUE ||
			!is_news(change, pnstrdup(key.val.string.val, key.val.string.len),
					 &item))
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &item);
	}
	return miru_build_end(&state);
}

/* push_removed names the fields that it sent and that are not there. */
static void
push_removed(JsonbParseState **state, const MiruChange *change)
{
	List *names;
	ListCell *cell;

	if (change->kind == MIRU_DELETE)
		return;
	names = miru_object_lacking(change->collection, change->object,
								change->winner->object);
	if (names == NIL)
		return;
	miru_build_key(state, "removed");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, names)
	{
		JsonbValue name;

		name.type = jbvString;
		name.val.string.val = strVal(lfirst(cell));
		name.val.string.len = (int) strlen(strVal(lfirst(cell)));
		pushJsonbValue(state, WJB_ELEM, &name);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* push_winner adds what the device does not have, or has too much. */
static void
push_winner(JsonbParseState **state, const MiruChange *change)
{
	Jsonb *news;

	if (change->winner->deleted)
	{
		miru_build_bool(state, "deleted", true);
		return;
	}
	news = news_of(change);
	if (JB_ROOT_COUNT(news) > 0)
	{
		miru_build_key(state, "fields");
		pushJsonbValue(state, WJB_VALUE, miru_value_of_jsonb(news));
	}
	push_removed(state, change);
}

/* push_conflicts adds the ids of the change's conflicts. */
static void
push_conflicts(JsonbParseState **state, List *conflicts)
{
	ListCell *cell;

	miru_build_key(state, "conflicts");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, conflicts)
	{
		JsonbValue id;

		id.type = jbvNumeric;
		id.val.numeric = int64_to_numeric(((MiruConflict *) lfirst(cell))->id);
		pushJsonbValue(state, WJB_ELEM, &id);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

Jsonb *
miru_batch_verdict(const MiruChange *change)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	miru_build_integer(&state, "number", change->number);
	miru_build_text(&state, "verdict", verdict_names[change->verdict]);
	if (change->seq > 0)
		miru_build_integer(&state, "seq", change->seq);
	if (change->conflicts != NIL)
		push_conflicts(&state, change->conflicts);
	if (change->verdict == MIRU_REJECTED)
	{
		miru_build_text(&state, "code", unpack_sql_state(change->sqlstate));
		miru_build_text(&state, "reason", change->reason);
		if (change->no_room)
			miru_build_bool(&state, "kept", false);
	}
	else if (change->winner != NULL)
		push_winner(&state, change);
	return miru_build_end(&state);
}

Jsonb *
miru_batch_replay(Jsonb *verdict)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	miru_build_bool(&state, "replay", true);
	return miru_object_overlay(verdict, miru_build_end(&state));
}
