/*
 * field_conflict.c
 *     What is lost when a change's fields are merged, to be kept.
 *
 * Only where a decision says that something may be lost the two values are
 * compared, which needs the stored record.
 *
 * Reads the application's table, writes nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "conflict.h"
#include "field_work.h"
#include "jsonb_build.h"
#include "object.h"

static Jsonb *
jsonb_of(JsonbValue *value)
{
	return value ? JsonbValueToJsonb(value) : NULL;
}

/* add_conflict notes one; "field" is its key, NULL for the whole record. */
static MiruConflict *
add_conflict(MiruFieldWork *work, const char *field, const char *rule,
			 const MiruStamp *stored)
{
	MiruFieldMerge *merge = work->merge;
	MiruConflict *conflict = palloc0(sizeof(MiruConflict));

	conflict->collection = work->collection->name;
	conflict->record = merge->target->id;
	conflict->field = field;
	conflict->rule = rule;
	conflict->stored.stamp = *stored;
	conflict->incoming.stamp = merge->incoming;
	conflict->pending = merge->pending;
	merge->conflicts = lappend(merge->conflicts, conflict);
	return conflict;
}

bool
miru_conflict_differs(MiruFieldWork *work, MiruWorkField *field)
{
	MiruTarget *target = work->merge->target;

	field->stored = miru_work_get(miru_work_stored(work), field->name);
	field->normal = field->incoming;
	if (!work->is_document && miru_work_is_value(field->incoming) &&
		!miru_work_is_same(field->incoming, field->stored))
		field->normal = miru_target_normal(target, field->name,
										   field->incoming);
	return !miru_work_is_same(field->normal, field->stored);
}

void
miru_conflict_note_field(MiruFieldWork *work, MiruWorkField *field,
						 bool incoming_stands)
{
	MiruConflict *conflict;

	if (!miru_conflict_differs(work, field))
		return;
	conflict = add_conflict(work, field->key, field->rule_name,
							miru_stamps_get(work->merge->before, field->key));
	conflict->outcome = incoming_stands	  ? MIRU_INCOMING_STANDS
		: field->rule == MIRU_RULE_MANUAL ? MIRU_OPEN
										  : MIRU_STORED_STANDS;
	conflict->stored.value = jsonb_of(field->stored);
	conflict->incoming.value = jsonb_of(field->incoming);
}

/*
 * unseen_whole returns the newest stamp of the fields that are merged
 * together that the device had not seen; NULL if it had seen all of them, or
 * does not say what it had seen.
 */
const MiruStamp *
miru_conflict_unseen_whole(MiruFieldWork *work)
{
	const MiruFieldMerge *merge = work->merge;
	const MiruStamps *before = merge->before;
	int64 base = merge->change->base;
	const MiruStamp *newest = NULL;

	if (base == MIRU_BASE_UNKNOWN || merge->is_missing ||
		work->collection->default_rule != MIRU_RULE_LWW)
		return NULL;
	if (miru_is_concurrent(&before->base, base, merge->device))
		newest = &before->base;
	for (int i = 0; i < before->count; i++)
	{
		const MiruFieldStamp *field = &before->fields[i];

		if (miru_collection_rule(work->collection, field->key) ==
				MIRU_RULE_LWW &&
			miru_is_concurrent(&field->stamp, base, merge->device) &&
			(newest == NULL || field->stamp.clock > newest->clock))
			newest = &field->stamp;
	}
	return newest;
}

/*
 * note_whole notes what was lost of the fields that are merged together: if
 * the change wins those that others wrote and it replaces, else its own.
 */
void
miru_conflict_note_whole(MiruFieldWork *work, const MiruStamp *unseen)
{
	MiruFieldMerge *merge = work->merge;
	JsonbParseState *stored;
	JsonbParseState *incoming;
	MiruConflict *conflict;
	bool any = false;
	ListCell *cell;

	miru_build_begin(&stored);
	miru_build_begin(&incoming);
	foreach(cell, work->fields)
	{
		MiruWorkField *field = lfirst(cell);

		if (field->rule != MIRU_RULE_LWW ||
			(work->whole_wins &&
			 !miru_is_concurrent(miru_stamps_get(merge->before, field->key),
								 merge->change->base, merge->device)) ||
			!miru_conflict_differs(work, field))
			continue;
		any = true;
		if (field->stored != NULL)
		{
			miru_build_key(&stored, field->name);
			pushJsonbValue(&stored, WJB_VALUE, field->stored);
		}
		if (field->incoming != NULL)
		{
			miru_build_key(&incoming, field->name);
			pushJsonbValue(&incoming, WJB_VALUE, field->incoming);
		}
	}
	if (!any)
		return;
	conflict = add_conflict(work, NULL, miru_rule_name(MIRU_RULE_LWW), unseen);
	conflict->outcome = work->whole_wins ? MIRU_INCOMING_STANDS
										 : MIRU_STORED_STANDS;
	conflict->stored.value = miru_build_end(&stored);
	conflict->incoming.value = miru_build_end(&incoming);
}
