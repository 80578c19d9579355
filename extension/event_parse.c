/*
 * event_parse.c
 *     Reading the event dialect: one message in, its changes out.
 *
 * What a message may be is data, see event_map.c; here is only the form that
 * all of them share.  A message comes from a device, so nothing about it is
 * believed: whatever is wrong with it ends in one SQLSTATE, which tells the
 * relay that this message is at fault and not the database.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "errors.h"
#include "event.h"
#include "event_clock.h"
#include "jsonb_build.h"
#include "mb/pg_wchar.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* At most this many changes in a message. */
#define CHANGES_MAX 1000

/*
 * Deepest nesting.  The stack alone would allow some thousand levels, but
 * how many depends on who calls: what one could store another could not
 * read, and it would stand in the way of its whole feed.
 */
#define NESTING_MAX 100

/* Longest id, in bytes. */
#define ID_LENGTH_MAX 255

/* How much of a message's own text we repeat in an error. */
#define QUOTED_LENGTH_MAX 64

#define INVALID(...)                                                           \
	ereport(ERROR, (errcode(ERRCODE_MIRU_INVALID_OBJECT), errmsg(__VA_ARGS__)))

/* A message that is being read. */
typedef struct Message
{
	Jsonb *root;
	char *type_name;
	int64 timestamp_ms;
	List *changes; /* of MiruChange, so far */
} Message;

/* quoted returns the beginning of a text, for an error message. */
static char *
quoted(const char *text, int length)
{
	return pnstrdup(text, pg_mbcliplen(text, length, QUOTED_LENGTH_MAX));
}

/*
 * on_json_error is an error context callback that turns what jsonb_in
 * complains about into our own error, and leaves alone what the text is not
 * to blame for: lack of memory, a cancel.
 */
static void
on_json_error(void *arg)
{
	switch (ERRCODE_TO_CATEGORY(geterrcode()))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			errcode(ERRCODE_MIRU_INVALID_OBJECT);
	}
}

/* check_nesting throws if the text nests too deep, valid or not. */
static void
check_nesting(const char *text)
{
	int depth = 0;

	for (; *text != '\0'; text++)
	{
		if (*text == '{' || *text == '[')
		{
			if (++depth > NESTING_MAX)
				INVALID("message nests deeper than %d levels", NESTING_MAX);
		}
		else if (*text == '}' || *text == ']')
			depth--;
		else if (*text == '"')
		{
			/* To the end of the string; a backslash hides what follows. */
			for (text++; *text != '\0' && *text != '"'; text++)
				if (*text == '\\' && text[1] != '\0')
					text++;
			if (*text == '\0')
				return;
		}
	}
}

/* parse_json returns the text as jsonb. */
static Jsonb *
parse_json(const char *text)
{
	ErrorContextCallback callback;
	Jsonb *parsed;

	check_nesting(text);
	callback.callback = on_json_error;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	parsed = miru_jsonb_parse(text);
	error_context_stack = callback.previous;
	return parsed;
}

/* get finds a key; null counts as not there. */
static bool
get(const Jsonb *object, const char *key, JsonbValue *value)
{
	JsonbContainer *root = unconstify(JsonbContainer *, &object->root);

	return getKeyJsonValueFromContainer(root, key, strlen(key), value) !=
		NULL &&
		value->type != jbvNull;
}

/* as_object returns the value if it is an object, else NULL. */
static Jsonb *
as_object(JsonbValue *value)
{
	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		return NULL;
	return JsonbValueToJsonb(value);
}

/*
 * may_be_number tells whether the collection is a table, whose records may
 * have numbers for ids.  Those of documents are texts.
 */
static bool
may_be_number(const MiruEventPart *part)
{
	MiruCollection *collection = miru_collection_get(part->collection->name);
	MiruRelation *rel = NULL;

	if (collection != NULL)
		rel = miru_relation_get(collection->relid);
	return rel != NULL && rel->data_attnum == 0;
}

/* id_of_value returns the id, NULL for an empty text. */
static char *
id_of_value(const MiruEventPart *part, const JsonbValue *value, const char *key)
{
	char *id;

	if (value->type == jbvNumeric && may_be_number(part))
		id = DatumGetCString(
			DirectFunctionCall1(numeric_out,
								NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvString)
		id = pnstrdup(value->val.string.val, value->val.string.len);
	else
	{
		INVALID("\"%s\" is not a string", key);
		return NULL;
	}
	if (strlen(id) > ID_LENGTH_MAX)
		INVALID("\"%s\" is longer than %d bytes", key, ID_LENGTH_MAX);
	return id[0] ? id : NULL;
}

/* required_id returns the record id that an object or message carries. */
static char *
required_id(const MiruEventPart *part, const Jsonb *object)
{
	const MiruEventKeys *keys = &part->id_keys;

	for (int i = 0; i < keys->count; i++)
	{
		JsonbValue value;
		char *id;

		if (!get(object, keys->keys[i].name, &value))
			continue;
		id = id_of_value(part, &value, keys->keys[i].name);
		if (id != NULL)
			return id;
	}
	INVALID("\"%s\" is missing", keys->count > 0 ? keys->keys[0].name : "id");
	return NULL;
}

/* add_change appends a change, of a put until told otherwise. */
static MiruChange *
add_change(Message *message, const MiruEventPart *part, int64 ms)
{
	MiruChange *change;

	if (list_length(message->changes) >= CHANGES_MAX)
		INVALID("message carries more than %d changes", CHANGES_MAX);

	change = palloc0(sizeof(MiruChange));
	change->kind = MIRU_PUT;
	change->collection = pstrdup(part->collection->name);

	/* The very beginning of 1970 would pass for no clock at all. */
	change->clock = hlc_make(Max(ms, 1), 0);
	change->type = message->type_name;
	change->delete_slack = true;
	change->ties_lose = true;
	change->origin = -1;
	change->base = MIRU_BASE_UNKNOWN;
	message->changes = lappend(message->changes, change);
	return change;
}

/* parse_put adds the change that an object stands for. */
static void
parse_put(Message *message, const MiruEventPart *part, Jsonb *sent)
{
	Jsonb *object = miru_event_normalise(part->collection, sent);
	int64 ms = message->timestamp_ms;
	int64 stamp_ms;
	bool is_delete;
	MiruChange *change;

	if (object == NULL)
		INVALID("object of collection \"%s\" is not valid",
				part->collection->name);

	is_delete = miru_event_is_deleted(object);
	switch (miru_event_stamp(part->collection, object, &stamp_ms))
	{
		case MIRU_TIME_GIVEN:
			/* A deletion may come without a new stamp of the object's. */
			ms = is_delete ? Max(ms, stamp_ms) : stamp_ms;
			break;
		case MIRU_TIME_MALFORMED:
			INVALID(
				"object of collection \"%s\" has no valid time of its last change",
				part->collection->name);
			break;
		case MIRU_TIME_MISSING:
			break;
	}

	change = add_change(message, part, ms);
	change->id = required_id(part, object);
	change->object = object;
	if (is_delete)
		change->kind = MIRU_DELETE;
}

/* parse_list adds the changes of a list, which may be left out. */
static void
parse_list(Message *message, const MiruEventPart *part)
{
	JsonbValue list;
	int count;

	if (!get(message->root, part->payload, &list))
		return;
	if (list.type != jbvBinary || !JsonContainerIsArray(list.val.binary.data))
		INVALID("\"%s\" is not an array", part->payload);

	/* Before the work, not after a thousand calls. */
	count = JsonContainerSize(list.val.binary.data);
	if (count > CHANGES_MAX)
		INVALID("message carries more than %d changes", CHANGES_MAX);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element =
			getIthJsonbValueFromContainer(list.val.binary.data, i);
		Jsonb *object = as_object(element);

		if (object == NULL)
			INVALID("element %d of \"%s\" is not an object", i + 1,
					part->payload);
		parse_put(message, part, object);
	}
}

/* parse_delete adds the change of an event that names what to delete. */
static void
parse_delete(Message *message, const MiruEventPart *part)
{
	JsonbValue value;
	Jsonb *image = NULL;
	int64 ms = message->timestamp_ms;
	int64 stamp_ms;
	MiruChange *change;

	if (part->payload != NULL && get(message->root, part->payload, &value))
	{
		image = as_object(&value);
		if (image == NULL)
			INVALID("\"%s\" is not an object", part->payload);

		/* The image is a courtesy, so a bad stamp in it is no error. */
		if (miru_event_stamp(part->collection, image, &stamp_ms) ==
			MIRU_TIME_GIVEN)
			ms = Max(ms, stamp_ms);
	}

	change = add_change(message, part, ms);
	change->kind = MIRU_DELETE;
	change->id = required_id(part, message->root);
	change->object = image;
}

/* parse_part adds the changes of one part of the event. */
static void
parse_part(Message *message, const MiruEventPart *part)
{
	JsonbValue value;
	Jsonb *object;

	if (part->is_delete)
	{
		parse_delete(message, part);
		return;
	}
	if (part->is_list)
	{
		parse_list(message, part);
		return;
	}
	if (!get(message->root, part->payload, &value))
		INVALID("\"%s\" is missing", part->payload);
	object = as_object(&value);
	if (object == NULL)
		INVALID("\"%s\" is not an object", part->payload);
	parse_put(message, part, object);
}

/* parse_envelope reads what every message has: type and timestamp. */
static void
parse_envelope(Message *message)
{
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(message->root))
		INVALID("message is not a JSON object");
	if (!get(message->root, "type", &value) || value.type != jbvString)
		INVALID("\"type\" is missing or not a string");
	message->type_name = pnstrdup(value.val.string.val, value.val.string.len);

	if (!get(message->root, "timestamp", &value) ||
		!miru_event_read_time(&value, &message->timestamp_ms))
		INVALID("\"timestamp\" is missing or not an ISO 8601 time in UTC");
}

List *
miru_event_parse(const char *text)
{
	const MiruEventMap *map = miru_event_map();
	const MiruEventType *type;
	Message message = {0};

	message.root = parse_json(text);
	parse_envelope(&message);

	type = miru_event_map_type(map, message.type_name);
	if (type == NULL)
		INVALID("unknown event type \"%s\"",
				quoted(message.type_name, strlen(message.type_name)));
	for (int i = 0; i < type->part_count; i++)
		parse_part(&message, &type->parts[i]);
	return message.changes;
}
