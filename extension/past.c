/*
 * past.c
 *     What a device knew of a record when it had seen a number of the feed.
 *
 * A device that sends a whole record, or the new value of a counter, says by
 * it what it changed only if one knows what it had before.  That is not kept
 * for each device: it is found by undoing the history of the record, change
 * by change from the latest one down to the number that the device had seen.
 * Each change names the former one of its record.
 *
 * What the device itself has changed since, it knows.  So its own changes are
 * not undone, and neither is what lies below them.  Of a counter only the
 * sum of what others added is of interest.
 *
 * History may end on the way: it was trimmed, or the record was made by SQL.
 * In that case it may have been there before, and attached anew.  Or what a
 * change said was erased.  Then nothing is told, rather than something wrong.
 *
 * Reads mirusync.change_log.  The caller holds the record's row, so nothing is
 * added to its history meanwhile.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "change_log.h"
#include "jsonb_build.h"
#include "miscadmin.h"
#include "number.h"
#include "object.h"
#include "past.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * A longer way back counts as trimmed: a batch of a thousand changes may ask
 * for as many, and must not keep a relay's writer busy for long.
 */
#define CHANGES_MAX 1000

/* One change while it is being undone. */
typedef struct Step
{
	const MiruLogEntry *entry;
	bool is_own;
	bool created;
	MemoryContext result_context;
} Step;

static JsonbValue *
value_in(const Jsonb *object, const char *name)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	if (object == NULL || !miru_object_get(object, name, value))
		return NULL;
	return value;
}

/* keep_value copies a value to where the result lives. */
static JsonbValue *
keep_value(Step *step, JsonbValue *value)
{
	MemoryContext old_context;

	if (value == NULL)
		return NULL;
	old_context = MemoryContextSwitchTo(step->result_context);
	value = miru_value_of_jsonb(JsonbValueToJsonb(value));
	MemoryContextSwitchTo(old_context);
	return value;
}

static Numeric
keep_sum(Step *step, Numeric a, Numeric b)
{
	MemoryContext old_context = MemoryContextSwitchTo(step->result_context);
	Numeric sum = miru_number_add(a, b);

	if (sum != NULL && sum == b)
	{
		sum = palloc(VARSIZE(b));
		memcpy(sum, b, VARSIZE(b));
	}
	MemoryContextSwitchTo(old_context);
	return sum;
}

/*
 * is_end: a tombstone is undone by looking at its last image, which is what
 * the caller starts from.
 */
static bool
is_end(const MiruLogEntry *entry, int steps)
{
	return steps == 0 && strcmp(entry->kind, "delete") == 0;
}

static void
undo_field(Step *step, MiruPastField *field)
{
	JsonbValue *from = value_in(step->entry->from, field->name);
	JsonbValue *to = value_in(step->entry->to, field->name);

	/* The record as a whole came or went, and the field with it. */
	if (from == NULL && to == NULL && !step->created)
		return;
	if (step->is_own)
	{
		field->is_settled = true;
		return;
	}
	field->others = keep_sum(step, field->others,
							 miru_number_subtract(miru_number_of(to),
												  miru_number_of(from)));
	if (!field->is_settled)
		field->value = keep_value(step, from);
}

/* is_known tells whether a change can be undone. */
static bool
is_known(const Step *step)
{
	const MiruLogEntry *entry = step->entry;

	if (entry->erased)
		return false;
	if (step->created)
		return entry->rule != NULL;
	/* A tombstone of what was never there has nothing before it. */
	if (entry->from == NULL)
		return entry->previous == 0 && strcmp(entry->kind, "delete") == 0;
	return entry->previous != 0;
}

/* undo undoes one change; false if history ends here. */
static bool
undo(Step *step, const char *device, MiruPastField *fields, int count)
{
	const MiruLogEntry *entry = step->entry;

	step->created = strcmp(entry->kind, "put") == 0;
	step->is_own = entry->rule != NULL && entry->device != NULL &&
		strcmp(entry->device, device) == 0;
	if (!is_known(step))
		return false;
	for (int i = 0; i < count; i++)
		undo_field(step, &fields[i]);
	return true;
}

bool
miru_past_read(const char *feed, int64 seq, int64 base, const char *device,
			   MiruPastField *fields, int count)
{
	MiruTable table = miru_table_open("change_log", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync past",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	bool known = true;

	for (int steps = 0; known && seq > base; steps++)
	{
		MiruLogEntry entry = {0};
		Step step = {&entry, false, false, old_context};

		CHECK_FOR_INTERRUPTS();
		known = steps < CHANGES_MAX &&
			miru_change_log_read(&table, feed, seq, snapshot, &entry) &&
			(is_end(&entry, steps) || undo(&step, device, fields, count));
		seq = entry.previous;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return known;
}
