/*
 * jsonb_build.c
 *     Building JSON objects key by key.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "jsonb_build.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

static void
set_text(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = strlen(text);
}

void
miru_build_key(JsonbParseState **state, const char *name)
{
	JsonbValue key;

	set_text(&key, name);
	pushJsonbValue(state, WJB_KEY, &key);
}

void
miru_build_text(JsonbParseState **state, const char *name, const char *text)
{
	JsonbValue value;

	miru_build_key(state, name);
	set_text(&value, text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

void
miru_build_integer(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue value;

	miru_build_key(state, name);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, WJB_VALUE, &value);
}

void
miru_build_bool(JsonbParseState **state, const char *name, bool boolean)
{
	JsonbValue value;

	miru_build_key(state, name);
	value.type = jbvBool;
	value.val.boolean = boolean;
	pushJsonbValue(state, WJB_VALUE, &value);
}

void
miru_build_begin(JsonbParseState **state)
{
	*state = NULL;
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
}

Jsonb *
miru_build_end(JsonbParseState **state)
{
	return JsonbValueToJsonb(pushJsonbValue(state, WJB_END_OBJECT, NULL));
}

JsonbValue *
miru_value_of_jsonb(Jsonb *jsonb)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	if (JB_ROOT_IS_SCALAR(jsonb))
		JsonbExtractScalar(&jsonb->root, value);
	else
	{
		value->type = jbvBinary;
		value->val.binary.data = &jsonb->root;
		value->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	}
	return value;
}

Jsonb *
miru_jsonb_parse(const char *text)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync parse",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Datum parsed = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	Jsonb *result;

	MemoryContextSwitchTo(caller);
	result = DatumGetJsonbPCopy(parsed);
	MemoryContextDelete(context);
	return result;
}
