/*
 * field_function.c
 *     A field whose rule is a function of the application's.
 *
 * It is asked only about values that had not seen each other and differ.
 * Where one side is all that it returns the other one is lost, and kept as a
 * conflict; a value that it makes of both is what the application wants.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "field_work.h"
#include "jsonb_build.h"
#include "rule_function.h"

static Jsonb *
jsonb_of(JsonbValue *value)
{
	return value ? JsonbValueToJsonb(value) : NULL;
}

static void
build_stamp(JsonbParseState **state, const char *name, const MiruStamp *stamp)
{
	char clock[HLC_TEXT_SIZE];

	hlc_format(stamp->clock, clock);
	miru_build_key(state, name);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	miru_build_text(state, "clock", pstrdup(clock));
	if (stamp->device[0] != '\0')
		miru_build_text(state, "device", stamp->device);
	if (stamp->seq > 0)
		miru_build_integer(state, "seq", stamp->seq);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
context_of(MiruFieldWork *work, const MiruWorkField *field)
{
	const MiruFieldMerge *merge = work->merge;
	JsonbParseState *state;

	miru_build_begin(&state);
	miru_build_text(&state, "feed", merge->change->feed);
	miru_build_text(&state, "collection", work->collection->name);
	miru_build_text(&state, "record", merge->target->id);
	miru_build_text(&state, "field", field->name);
	if (merge->change->base != MIRU_BASE_UNKNOWN)
		miru_build_integer(&state, "base", merge->change->base);
	build_stamp(&state, "stored", miru_stamps_get(merge->before, field->key));
	build_stamp(&state, "incoming", &merge->incoming);
	return miru_build_end(&state);
}

MiruFunctionResult
miru_field_function(MiruFieldWork *work, MiruWorkField *field,
					JsonbValue **value)
{
	MiruTarget *target = work->merge->target;
	MiruRuleCall call = {0};
	Jsonb *result;

	call.function = field->function;
	call.role = miru_target_role(work->collection, target->rel);
	call.stored = jsonb_of(field->stored);
	call.incoming = jsonb_of(field->normal);
	if (field->past != NULL && work->past_is_known)
		call.base = jsonb_of(field->past->value);
	call.context = context_of(work, field);
	result = miru_rule_function_call(&call);
	if (result == NULL)
		return MIRU_FUNCTION_STORED;
	*value = miru_value_of_jsonb(result);
	if (miru_work_is_same(*value, field->stored))
		return MIRU_FUNCTION_STORED;
	if (miru_work_is_same(*value, field->normal))
		return MIRU_FUNCTION_INCOMING;
	return MIRU_FUNCTION_OTHER;
}
