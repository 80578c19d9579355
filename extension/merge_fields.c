/*
 * merge_fields.c
 *     What the fields of a pushed change make of a record.
 *
 * Each field has a rule: one of its own, or the collection's.  Here is found
 * out what the rule must know (who wrote the stored value, what it is, how
 * the two compare, what the device knew), and merge_rules.c decides.  Under
 * "lww" the fields that have no rule of their own win or lose together.
 *
 * The stored record is read only where something depends on its values, and
 * its history only where the device sent a value and not what it changed.
 *
 * Reads the application's table, writes nothing.  The caller has locked the
 * row, so what is read here stands until it writes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "element_set.h"
#include "errors.h"
#include "jsonb_build.h"
#include "field_work.h"
#include "merge_rules.h"
#include "nodes/value.h"
#include "number.h"
#include "object.h"
#include "past.h"
#include "utils/numeric.h"

char *
miru_stamp_key(MiruRelation *rel, const char *name)
{
	if (rel->data_attnum != 0)
		return unconstify(char *, name);
	return miru_field_by_name(rel, name)->key;
}

/* stored_record returns the record as it stands. */
Jsonb *
miru_work_stored(MiruFieldWork *work)
{
	MiruFieldMerge *merge = work->merge;

	if (merge->stored == NULL)
		merge->stored = miru_target_read(merge->target);
	if (merge->stored == NULL)
		merge->stored = miru_object_pick(merge->object, NIL);
	return merge->stored;
}

JsonbValue *
miru_work_get(const Jsonb *object, const char *name)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	return miru_object_get(object, name, value) ? value : NULL;
}

bool
miru_work_is_value(const JsonbValue *value)
{
	return value != NULL && value->type != jbvNull;
}

/* ----- what the change speaks of ----- */

/*
 * is_compared tells whether a field counts as changed only if it is not as the
 * device had it: of a whole record that names its base.  Fields that are
 * merged together are replaced together, and counters look at differences.
 */
static bool
is_compared(MiruFieldWork *work, const MiruWorkField *field)
{
	const MiruFieldMerge *merge = work->merge;

	return work->is_put && !merge->is_missing &&
		merge->change->base != MIRU_BASE_UNKNOWN &&
		field->rule != MIRU_RULE_LWW && field->rule != MIRU_RULE_COUNTER &&
		field->rule != MIRU_RULE_SET;
}

bool
miru_work_is_same(JsonbValue *a, JsonbValue *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return miru_values_compare(a, b) == 0;
}

static MiruWorkField *
add_field(MiruFieldWork *work, char *name)
{
	MiruWorkField *field = palloc0(sizeof(MiruWorkField));
	const MiruFieldRule *own;

	field->name = name;
	field->key = miru_stamp_key(work->merge->target->rel, name);
	own = miru_collection_field_rule(work->collection, field->key);
	field->rule = own ? own->rule : work->collection->default_rule;
	field->function = own ? own->function : NULL;
	field->rule_name = field->function ? field->function
									   : miru_rule_name(field->rule);
	if (miru_rule_needs_values(field->rule) || field->function != NULL ||
		is_compared(work, field))
		field->stored = miru_work_get(miru_work_stored(work), name);
	work->fields = lappend(work->fields, field);
	return field;
}

static void
add_sent(MiruFieldWork *work)
{
	const Jsonb *object = work->merge->object;
	ListCell *cell;

	foreach(cell, miru_object_names(object))
	{
		MiruWorkField *field = add_field(work, strVal(lfirst(cell)));

		field->incoming = miru_work_get(object, field->name);
		field->normal = field->incoming;
		/* A time, say, may be the same and be written in another way. */
		if (!work->is_document && is_compared(work, field) &&
			miru_work_is_value(field->incoming) &&
			!miru_work_is_same(field->incoming, field->stored))
			field->normal = miru_target_normal(work->merge->target, field->name,
											   field->incoming);
	}
}

static MiruWorkField *
find_field(MiruFieldWork *work, const char *name)
{
	ListCell *cell;

	foreach(cell, work->fields)
	{
		MiruWorkField *field = lfirst(cell);

		if (strcmp(field->name, name) == 0)
			return field;
	}
	return NULL;
}

/* add_deltas: what is added to counters and sets, or taken from sets. */
static void
add_deltas(MiruFieldWork *work, const Jsonb *deltas, bool taken)
{
	MiruRelation *rel = work->merge->target->rel;
	ListCell *cell;

	if (deltas == NULL)
		return;
	foreach(cell, miru_object_names(deltas))
	{
		char *name = strVal(lfirst(cell));
		JsonbValue *value = miru_work_get(deltas, name);
		bool is_number = value->type == jbvNumeric;
		MiruWorkField *field;

		if (!work->is_document && miru_field_by_name(rel, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("collection \"%s\" has no field \"%s\"",
							work->collection->name, name)));
		field = taken ? find_field(work, name) : NULL;
		if (field == NULL)
			field = add_field(work, name);
		if (field->rule != (is_number ? MIRU_RULE_COUNTER : MIRU_RULE_SET))
			ereport(ERROR,
					(errcode(ERRCODE_MIRU_INVALID_OBJECT),
					 errmsg(is_number ? "field \"%s\" is not a counter"
									  : "field \"%s\" is not a set",
							name)));
		if (taken)
			field->taken = value;
		else
			field->added = value;
	}
}

/* add_absent: a put of a document removes the fields that it has not. */
static void
add_absent(MiruFieldWork *work)
{
	ListCell *cell;

	if (!work->is_put || !work->is_document)
		return;
	foreach(cell, miru_object_names(miru_work_stored(work)))
	{
		char *name = strVal(lfirst(cell));

		if (find_field(work, name) == NULL)
			add_field(work, name);
	}
}

/* ----- what the device knew ----- */

/*
 * needs_past tells whether history must be asked for what the device had when
 * it sent a value: a counter's value stands for a difference, and a field of a
 * whole record may be one that somebody else has changed since.
 */
static bool
needs_past(MiruFieldWork *work, const MiruWorkField *field)
{
	const MiruFieldMerge *merge = work->merge;
	const MiruStamp *stamp = miru_stamps_get(merge->before, field->key);
	int64 base = merge->change->base;

	if (field->rule == MIRU_RULE_COUNTER)
		return !merge->is_missing && field->incoming != NULL &&
			miru_is_unseen(stamp, base);
	/* A function is told what the device had. */
	if (field->rule == MIRU_RULE_FUNCTION && !merge->is_missing &&
		base != MIRU_BASE_UNKNOWN &&
		miru_is_concurrent(stamp, base, merge->device))
		return true;
	return is_compared(work, field) &&
		miru_is_concurrent(stamp, base, merge->device) &&
		!miru_work_is_same(field->normal, field->stored);
}

static void
check_base(MiruFieldWork *work, const MiruWorkField *field)
{
	if (work->merge->change->base == MIRU_BASE_UNKNOWN)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_BASE),
				 errmsg("value of counter \"%s\" comes without base",
						field->name),
				 errhint("Push an increment, as \"add\".")));
}

/* look_back finds out what the device knew of the fields. */
static void
look_back(MiruFieldWork *work)
{
	MiruFieldMerge *merge = work->merge;
	MiruPastField *past = palloc0(Max(list_length(work->fields), 1) *
								  sizeof(MiruPastField));
	int count = 0;
	ListCell *cell;

	foreach(cell, work->fields)
	{
		MiruWorkField *field = lfirst(cell);

		if (!needs_past(work, field))
			continue;
		check_base(work, field);
		field->past = &past[count++];
		field->past->name = field->name;
		field->past->value = field->stored;
	}
	if (count == 0)
		return;
	/* What another device of the group did has no history yet. */
	if (merge->is_shared)
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg(
				 "record \"%s\" of collection \"%s\" was changed by another device of the group",
				 merge->change->id, work->collection->name)));
	work->past_is_known = miru_past_read(merge->change->feed, merge->stored_seq,
										 merge->change->base, merge->device,
										 past, count);
}

/* ----- sets ----- */

/* check_set returns a set's value as its column would give it back. */
static JsonbValue *
check_set(MiruFieldWork *work, const MiruWorkField *field, JsonbValue *value)
{
	if (!miru_set_is(value))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_OBJECT),
				 errmsg("value of set \"%s\" is not an array", field->name)));
	if (work->is_document || !miru_work_is_value(value))
		return value;
	return miru_target_normal(work->merge->target, field->name, value);
}

/*
 * merge_set returns what a set becomes; false if it stays.  A whole one that
 * ends empty is as it was sent: null, or not there.
 */
static bool
merge_set(MiruFieldWork *work, MiruWorkField *field, JsonbValue **result)
{
	MiruFieldMerge *merge = work->merge;
	MiruSetMerge set = {0};

	if (!miru_set_is(field->stored))
		check_set(work, field, field->stored); /* throws */
	set.key = field->key;
	set.stamps = merge->stamps;
	set.incoming = merge->incoming;
	set.base = merge->change->base;
	set.is_new = merge->is_missing;
	set.stored = field->stored;
	set.is_whole = field->added == NULL && field->taken == NULL;
	set.whole = check_set(work, field, field->incoming);
	set.add = check_set(work, field, field->added);
	set.remove = check_set(work, field, field->taken);
	if (!miru_set_merge(&set) &&
		(miru_work_is_value(field->stored) ||
		 !miru_work_is_value(field->incoming)))
		return false;
	*result = set.result;
	if (set.is_whole && !miru_work_is_value(field->incoming) &&
		JsonContainerSize(set.result->val.binary.data) == 0)
		*result = field->incoming;
	return true;
}

/* ----- decisions ----- */

/* order_of compares two values that are not null, as the column's type does. */
static int
order_of(MiruFieldWork *work, const MiruWorkField *field)
{
	if (work->is_document)
		return miru_values_compare(field->incoming, field->stored);
	return miru_target_compare(work->merge->target, field->name,
							   field->incoming, field->stored);
}

static MiruSince
since_base(MiruFieldWork *work, const MiruWorkField *field)
{
	if (!is_compared(work, field))
		return MIRU_CHANGED;
	if (miru_work_is_same(field->normal, field->stored))
		return MIRU_UNCHANGED;
	/* Nobody else has changed it, so what is stored is what it had. */
	if (field->past == NULL)
		return MIRU_CHANGED;
	if (!work->past_is_known)
		return MIRU_NOT_TOLD;
	return miru_work_is_same(field->normal, field->past->value) ? MIRU_UNCHANGED
																: MIRU_CHANGED;
}

static MiruDecision
decide(MiruFieldWork *work, const MiruWorkField *field, Numeric increment)
{
	MiruFieldMerge *merge = work->merge;
	MiruDecision decision = {work->whole_wins, false};
	MiruContest contest = {0};

	if (field->rule == MIRU_RULE_LWW)
		return decision;
	contest.stored = *miru_stamps_get(merge->before, field->key);
	contest.incoming = merge->incoming;
	contest.base = merge->change->base;
	contest.since = since_base(work, field);
	contest.ties_lose = merge->change->ties_lose;
	contest.has_stored = miru_work_is_value(field->stored);
	contest.has_incoming = miru_work_is_value(field->incoming);
	contest.order = 1; /* what is not looked at counts as another value */
	if (field->rule == MIRU_RULE_COUNTER)
		/* A new one has a value though it be 0. */
		contest.has_incoming = increment != NULL &&
			(!contest.has_stored || !miru_number_is_zero(increment));
	else if (contest.has_stored && contest.has_incoming &&
			 miru_rule_needs_values(field->rule))
		contest.order = order_of(work, field);
	return miru_decide(field->rule, &contest);
}

/* ----- the result ----- */

/* stamp_of returns the stamp of what stands: of a sum the newest clock. */
static MiruStamp
stamp_of(MiruFieldWork *work, const MiruWorkField *field)
{
	MiruStamp stamp = work->merge->incoming;

	if (field->rule == MIRU_RULE_COUNTER || field->rule == MIRU_RULE_FUNCTION)
		stamp.clock =
			Max(stamp.clock,
				miru_stamps_get(work->merge->before, field->key)->clock);
	return stamp;
}

/* write_value notes what a field becomes. */
static void
write_value(MiruFieldWork *work, MiruWorkField *field, JsonbValue *value)
{
	work->merge->stands = true;
	field->is_removed = value == NULL;
	if (value == NULL)
		return;
	miru_build_key(&work->written, field->name);
	pushJsonbValue(&work->written, WJB_VALUE, value);
}

/*
 * ask_function lets the application decide.  Without its word the decision is
 * that the stored value stands and the incoming one is lost.
 */
static void
ask_function(MiruFieldWork *work, MiruWorkField *field, MiruDecision *decision,
			 JsonbValue **value)
{
	JsonbValue *made = NULL;

	if (!miru_conflict_differs(work, field))
	{
		decision->lost = false;
		return;
	}
	switch (miru_field_function(work, field, &made))
	{
		case MIRU_FUNCTION_STORED:
			break;
		case MIRU_FUNCTION_INCOMING:
			decision->incoming_stands = true;
			break;
		case MIRU_FUNCTION_OTHER:
			decision->incoming_stands = true;
			decision->lost = false;
			*value = made;
			break;
	}
}

/* merge_field decides for one field, and notes what it becomes. */
static void
merge_field(MiruFieldWork *work, MiruWorkField *field)
{
	MiruFieldMerge *merge = work->merge;
	JsonbValue *value = field->incoming;
	Numeric increment = NULL;
	MiruDecision decision;

	if (field->rule == MIRU_RULE_SET)
	{
		if (merge_set(work, field, &value))
			write_value(work, field, value);
		return;
	}
	if (field->rule == MIRU_RULE_COUNTER)
		increment = miru_counter_increment(work, field);
	decision = decide(work, field, increment);
	if (field->rule == MIRU_RULE_FUNCTION && decision.lost &&
		since_base(work, field) == MIRU_CHANGED)
		ask_function(work, field, &decision, &value);
	if (decision.lost)
		miru_conflict_note_field(work, field, decision.incoming_stands);
	if (!decision.incoming_stands)
		return;
	miru_stamps_set(merge->stamps, field->key, stamp_of(work, field));
	if (field->rule == MIRU_RULE_COUNTER)
		value = miru_counter_sum(field, increment);
	write_value(work, field, value);
}

/* ----- all of them ----- */

/* whole_stands: the fields without a rule of their own, by the newest. */
static bool
whole_stands(MiruFieldWork *work)
{
	MiruFieldMerge *merge = work->merge;
	MiruStamp newest = merge->before->base;

	if (work->collection->field_rules == NIL)
		newest = merge->newest;
	else
		for (int i = 0; i < merge->before->count; i++)
		{
			const MiruFieldStamp *field = &merge->before->fields[i];

			if (miru_collection_rule(work->collection, field->key) ==
					MIRU_RULE_LWW &&
				field->stamp.clock > newest.clock)
				newest = field->stamp;
		}
	return miru_lww_wins(&newest, &merge->incoming, merge->change->ties_lose);
}

/*
 * put_whole stamps a record that is put as a whole, but for the fields with a
 * rule of their own.
 */
static void
put_whole(MiruFieldWork *work)
{
	MiruFieldMerge *merge = work->merge;
	ListCell *cell;

	merge->stands = true;
	miru_stamps_init(merge->stamps, merge->incoming);
	foreach(cell, work->collection->field_rules)
	{
		const char *key = ((MiruFieldRule *) lfirst(cell))->field;

		miru_stamps_set(merge->stamps, key,
						*miru_stamps_get(merge->before, key));
		miru_set_keep_stamps(merge->before, merge->stamps, key);
	}
}

/* document_of puts what is written into what is kept of the stored one. */
static Jsonb *
document_of(MiruFieldWork *work, Jsonb *written)
{
	Jsonb *stored = miru_work_stored(work);
	List *kept = NIL;
	bool any_removed = false;
	ListCell *cell;

	foreach(cell, work->fields)
	{
		MiruWorkField *field = lfirst(cell);

		any_removed |= field->is_removed;
		if (!field->is_removed)
			kept = lappend(kept, makeString(field->name));
	}
	/* Only of a put is a field removed, which speaks of every field. */
	if (any_removed)
		stored = miru_object_pick(stored, kept);
	return miru_object_overlay(stored, written);
}

void
miru_merge_keep_parts(const MiruFieldMerge *merge, MiruStamps *stamps)
{
	ListCell *cell;

	foreach(cell, merge->target->collection->field_rules)
	{
		MiruFieldRule *rule = lfirst(cell);

		if (rule->rule == MIRU_RULE_SET)
			miru_set_keep_stamps(merge->stamps, stamps, rule->field);
	}
}

/* own_rules returns the rules of the fields that have one of their own. */
static Jsonb *
own_rules(MiruFieldWork *work)
{
	JsonbParseState *state;
	Jsonb *rules;
	ListCell *cell;

	miru_build_begin(&state);
	foreach(cell, work->fields)
	{
		MiruWorkField *field = lfirst(cell);

		if (field->rule != work->collection->default_rule)
			miru_build_text(&state, field->name, field->rule_name);
	}
	rules = miru_build_end(&state);
	return JB_ROOT_COUNT(rules) > 0 ? rules : NULL;
}

void
miru_merge_fields(MiruFieldMerge *merge)
{
	MiruFieldWork work = {0};
	const MiruStamp *unseen;
	Jsonb *written;
	ListCell *cell;

	work.merge = merge;
	work.collection = merge->target->collection;
	work.is_document = merge->target->rel->data_attnum != 0;
	work.is_put = merge->change->kind == MIRU_PUT;
	merge->stands = false;
	merge->stamps = miru_stamps_copy(merge->before);
	unseen = miru_conflict_unseen_whole(&work);
	if (work.collection->default_rule == MIRU_RULE_LWW)
	{
		work.whole_wins = whole_stands(&work);
		if (work.is_put && work.whole_wins)
			put_whole(&work);
		/* The usual case, for which no field need be looked at. */
		if (work.is_put && work.collection->field_rules == NIL &&
			merge->change->add == NULL && merge->change->remove == NULL &&
			unseen == NULL)
		{
			merge->result = merge->object;
			return;
		}
	}

	add_sent(&work);
	add_deltas(&work, merge->change->add, false);
	add_deltas(&work, merge->change->remove, true);
	add_absent(&work);
	look_back(&work);
	if (unseen != NULL)
		miru_conflict_note_whole(&work, unseen);
	miru_build_begin(&work.written);
	foreach(cell, work.fields)
		merge_field(&work, lfirst(cell));
	written = miru_build_end(&work.written);
	if (work.collection->field_rules != NIL)
		merge->rules = own_rules(&work);
	if (merge->stands)
		merge->result = work.is_document ? document_of(&work, written)
										 : written;
}
