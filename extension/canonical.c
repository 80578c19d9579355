/*
 * canonical.c
 *     JSON in one form only, so that everybody computes the same digest of it.
 *
 * Like RFC 8785, but for numbers: those of Postgres have up to 131072 digits,
 * so their text stands as it is stored, 1.00 and not 1.  UTF-8, as the database
 * is, no blanks, keys in the order of their bytes, which is that of their code points; in
 * strings only what must be is escaped.  docs/internals/chain.md has it in
 * words.  No setting, locale or version has a say in it.
 *
 * Pure but for memory: reads no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "canonical.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* One member of an object. */
typedef struct Member
{
	const char *key;
	int length;
	JsonbValue value;
} Member;

static void append_value(StringInfo out, JsonbValue *value);

/* append_escaped appends a character that cannot stand for itself. */
static void
append_escaped(StringInfo out, unsigned char c)
{
	static const char *const shorts = "\bb\ff\nn\rr\tt\"\"\\\\";

	for (const char *p = shorts; *p != '\0'; p += 2)
	{
		if ((unsigned char) p[0] != c)
			continue;
		appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, p[1]);
		return;
	}
	appendStringInfo(out, "\\u%04x", c);
}

void
miru_canonical_text(StringInfo out, const char *text, size_t length)
{
	size_t done = 0;

	appendStringInfoChar(out, '"');
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(out, text + done, (int) (i - done));
		append_escaped(out, c);
		done = i + 1;
	}
	appendBinaryStringInfo(out, text + done, (int) (length - done));
	appendStringInfoChar(out, '"');
}

void
miru_canonical_key(StringInfo out, const char *key)
{
	if (out->data[out->len - 1] != '{')
		appendStringInfoChar(out, ',');
	miru_canonical_text(out, key, strlen(key));
	appendStringInfoChar(out, ':');
}

static int
compare_members(const void *a, const void *b)
{
	const Member *one = a;
	const Member *other = b;
	int order = memcmp(one->key, other->key, Min(one->length, other->length));

	return order != 0 ? order : one->length - other->length;
}

/* read_members reads an object's members, in order. */
static Member *
read_members(JsonbContainer *object, int *count)
{
	Member *members = palloc(Max(JsonContainerSize(object), 1) *
							 sizeof(Member));
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue item;
	bool is_sorted = true;

	*count = 0;
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		Member *member = &members[*count];

		if (token == WJB_KEY)
		{
			member->key = item.val.string.val;
			member->length = item.val.string.len;
		}
		else if (token == WJB_VALUE)
		{
			member->value = item;
			if (*count > 0 && compare_members(member - 1, member) > 0)
				is_sorted = false;
			(*count)++;
		}
	}
	if (!is_sorted)
		qsort(members, *count, sizeof(Member), compare_members);
	return members;
}

static void
append_object(StringInfo out, JsonbContainer *object)
{
	int count;
	Member *members = read_members(object, &count);

	appendStringInfoChar(out, '{');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		miru_canonical_text(out, members[i].key, members[i].length);
		appendStringInfoChar(out, ':');
		append_value(out, &members[i].value);
	}
	appendStringInfoChar(out, '}');
	pfree(members);
}

static void
append_array(StringInfo out, JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue item;
	bool is_first = true;

	appendStringInfoChar(out, '[');
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (!is_first)
			appendStringInfoChar(out, ',');
		is_first = false;
		append_value(out, &item);
	}
	appendStringInfoChar(out, ']');
}

static void
append_container(StringInfo out, JsonbContainer *container)
{
	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (JsonContainerIsScalar(container))
	{
		JsonbValue value;

		(void) JsonbExtractScalar(container, &value);
		append_value(out, &value);
	}
	else if (JsonContainerIsArray(container))
		append_array(out, container);
	else
		append_object(out, container);
}

static void
append_value(StringInfo out, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvString:
			miru_canonical_text(out, value->val.string.val,
								value->val.string.len);
			break;
		case jbvNumeric:
			appendStringInfoString(out,
								   DatumGetCString(DirectFunctionCall1(
									   numeric_out,
									   NumericGetDatum(value->val.numeric))));
			break;
		case jbvBinary:
			append_container(out, value->val.binary.data);
			break;
		default:
			elog(ERROR, "unexpected type of JSON value: %d", value->type);
	}
}

void
miru_canonical_jsonb(StringInfo out, Jsonb *jsonb)
{
	append_container(out, &jsonb->root);
}
