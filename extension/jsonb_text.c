/*
 * jsonb_text.c
 *     Walking through a jsonb without copies, and writing it as text.
 *
 * Reading a page of a feed is to a large part writing objects as text.  The
 * server's JsonbToCString() copies each string, and writes it byte by byte;
 * here what needs no escape, which is nearly all, goes in one piece.
 *
 * An object may be nested as deeply as SQL likes.  So nothing here recurses:
 * levels have their places in an array, and what lies deeper than that is left
 * to the server, which does not recurse either.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "jsonb_text.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

/* Levels that are walked here. */
#define LEVELS_MAX 16

void
miru_items_begin(MiruItems *items, JsonbContainer *container)
{
	int children;

	items->container = container;
	items->count = JsonContainerSize(container);
	items->next = 0;
	items->is_object = JsonContainerIsObject(container);
	children = items->is_object ? items->count * 2 : items->count;
	items->base = (char *) &container->children[children];
	items->key_at = 0;
	items->value_at = items->is_object ? getJsonbOffset(container, items->count)
									   : 0;
}

/* advance returns the length of a child, and moves the offset behind it. */
static uint32
advance(uint32 *at, JEntry entry)
{
	uint32 begin = *at;

	JBE_ADVANCE_OFFSET(*at, entry);
	return *at - begin;
}

/* get_value makes a value of the child that lies from "begin" on. */
static void
get_value(JsonbValue *value, JEntry entry, char *base, uint32 begin,
		  uint32 length)
{
	if (JBE_ISSTRING(entry))
	{
		value->type = jbvString;
		value->val.string.val = base + begin;
		value->val.string.len = length;
	}
	else if (JBE_ISNUMERIC(entry))
	{
		value->type = jbvNumeric;
		value->val.numeric = (Numeric) (base + INTALIGN(begin));
	}
	else if (JBE_ISCONTAINER(entry))
	{
		value->type = jbvBinary;
		value->val.binary.data = (JsonbContainer *) (base + INTALIGN(begin));
		value->val.binary.len = length - (INTALIGN(begin) - begin);
	}
	else if (JBE_ISBOOL(entry))
	{
		value->type = jbvBool;
		value->val.boolean = JBE_ISBOOL_TRUE(entry);
	}
	else
		value->type = jbvNull;
}

bool
miru_items_next(MiruItems *items, JsonbValue *key, JsonbValue *value)
{
	const JEntry *children = items->container->children;
	uint32 begin;
	JEntry entry;

	if (items->next >= items->count)
		return false;
	entry = children[items->next];
	if (items->is_object)
	{
		key->type = jbvString;
		key->val.string.val = items->base + items->key_at;
		key->val.string.len = advance(&items->key_at, entry);
		entry = children[items->count + items->next];
	}
	begin = items->value_at;
	get_value(value, entry, items->base, begin,
			  advance(&items->value_at, entry));
	items->next++;
	return true;
}

static inline bool
needs_escape(char c)
{
	return (unsigned char) c < ' ' || c == '"' || c == '\\';
}

/*
 * plain_length returns how many bytes at the begin of a text need no escape.
 * Eight are looked at in one go: the usual tricks to find a zero byte, and one
 * below a limit.
 */
static int
plain_length(const char *text, const char *end)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	const uint64 highs = ones * 0x80;
	const char *at = text;
	uint64 word;

	for (; end - at >= (int) sizeof(word); at += sizeof(word))
	{
		uint64 quote;
		uint64 backslash;

		memcpy(&word, at, sizeof(word));
		quote = word ^ (ones * '"');
		backslash = word ^ (ones * '\\');
		if (((((word - ones * ' ') & ~word) | ((quote - ones) & ~quote) |
			  ((backslash - ones) & ~backslash)) &
			 highs) != 0)
			break;
	}
	while (at < end && !needs_escape(*at))
		at++;
	return at - text;
}

static void
append_escape(StringInfo out, char c)
{
	static const char *const escapes[] =
		{['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n", ['\r'] = "\\r",
		 ['\t'] = "\\t", ['"'] = "\\\"", ['\\'] = "\\\\"};
	const char *escape = escapes[(unsigned char) c];

	if (escape != NULL)
		appendStringInfoString(out, escape);
	else
		appendStringInfo(out, "\\u%04x", (int) c);
}

void
miru_append_string(StringInfo out, const char *text, int length)
{
	const char *end = text + length;

	enlargeStringInfo(out, length + 2);
	appendStringInfoCharMacro(out, '"');
	while (text < end)
	{
		int plain = plain_length(text, end);

		appendBinaryStringInfo(out, text, plain);
		text += plain;
		if (text < end)
			append_escape(out, *text++);
	}
	appendStringInfoChar(out, '"');
}

static void
append_scalar(StringInfo out, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			appendBinaryStringInfo(out, "null", 4);
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			appendStringInfoString(out,
								   DatumGetCString(DirectFunctionCall1(
									   numeric_out,
									   NumericGetDatum(value->val.numeric))));
			break;
		case jbvString:
			miru_append_string(out, value->val.string.val,
							   value->val.string.len);
			break;
		default:
			elog(ERROR, "unexpected type of json value: %d", (int) value->type);
	}
}

/* open_level writes what an object or array begins with. */
static void
open_level(StringInfo out, MiruItems *level, JsonbContainer *container)
{
	miru_items_begin(level, container);
	appendStringInfoChar(out, level->is_object ? '{' : '[');
}

static void
append_container(StringInfo out, JsonbContainer *container)
{
	MiruItems levels[LEVELS_MAX];
	MiruItems *level = levels;
	JsonbValue key;
	JsonbValue value;

	open_level(out, level, container);
	for (;;)
	{
		if (!miru_items_next(level, &key, &value))
		{
			appendStringInfoChar(out, level->is_object ? '}' : ']');
			if (level == levels)
				return;
			level--;
			continue;
		}
		if (level->next > 1)
			appendBinaryStringInfo(out, ", ", 2);
		if (level->is_object)
		{
			miru_append_string(out, key.val.string.val, key.val.string.len);
			appendBinaryStringInfo(out, ": ", 2);
		}
		if (value.type != jbvBinary)
			append_scalar(out, &value);
		else if (level < &levels[LEVELS_MAX - 1])
			open_level(out, ++level, value.val.binary.data);
		else
			(void) JsonbToCString(out, value.val.binary.data,
								  value.val.binary.len);
	}
}

void
miru_append_value(StringInfo out, const JsonbValue *value)
{
	if (value->type == jbvBinary)
		append_container(out, value->val.binary.data);
	else
		append_scalar(out, value);
}

void
miru_append_object(StringInfo out, const Jsonb *object)
{
	JsonbContainer *root = unconstify(JsonbContainer *, &object->root);

	if (JsonContainerIsScalar(root))
		(void) JsonbToCString(out, root, VARSIZE(object));
	else
		append_container(out, root);
}
