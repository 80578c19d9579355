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

#include "catalog/pg_type.h"
#include "conflict.h"
#include "errors.h"
#include "jsonb_build.h"
#include "merge_fields.h"
#include "merge_rules.h"
#include "nodes/value.h"
#include "number.h"
#include "object.h"
#include "past.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

/* One merge while it goes on. */
typedef struct Work
{
	MiruFieldMerge *merge;
	MiruCollection *collection;
	bool is_document;
	bool is_put;
	bool past_is_known;		  /* history goes back to the base */
	bool whole_wins;		  /* the fields that are merged together */
	List *fields;			  /* of Field: all that the change speaks of */
	JsonbParseState *written; /* those that change, with their values */
} Work;

/* One field of it. */
typedef struct Field
{
	char *name;
	char *key; /* among the stamps */
	MiruRule rule;
	JsonbValue *incoming;  /* NULL: removed, or added to */
	JsonbValue *normal;	   /* the same as the table would give it back */
	JsonbValue *increment; /* of a counter, as sent; else NULL */
	JsonbValue *stored;	   /* NULL: not there, or of no interest */
	MiruPastField *past;   /* what the device knew; NULL: what is stored */
	bool is_removed;
} Field;

char *
miru_stamp_key(MiruRelation *rel, const char *name)
{
	if (rel->data_attnum != 0)
		return unconstify(char *, name);
	return miru_field_by_name(rel, name)->key;
}

/* stored_record returns the record as it stands. */
static Jsonb *
stored_record(Work *work)
{
	MiruFieldMerge *merge = work->merge;

	if (merge->stored == NULL)
		merge->stored = miru_target_read(merge->target);
	if (merge->stored == NULL)
		merge->stored = miru_object_pick(merge->object, NIL);
	return merge->stored;
}

static JsonbValue *
get_value(const Jsonb *object, const char *name)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	return miru_object_get(object, name, value) ? value : NULL;
}

static bool
is_value(const JsonbValue *value)
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
is_compared(Work *work, const Field *field)
{
	const MiruFieldMerge *merge = work->merge;

	return work->is_put && !merge->is_missing &&
		merge->change->base != MIRU_BASE_UNKNOWN &&
		field->rule != MIRU_RULE_LWW && field->rule != MIRU_RULE_COUNTER;
}

static bool
is_same(JsonbValue *a, JsonbValue *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return miru_values_compare(a, b) == 0;
}

static Field *
add_field(Work *work, char *name)
{
	Field *field = palloc0(sizeof(Field));

	field->name = name;
	field->key = miru_stamp_key(work->merge->target->rel, name);
	field->rule = miru_collection_rule(work->collection, field->key);
	if (miru_rule_needs_values(field->rule) || is_compared(work, field))
		field->stored = get_value(stored_record(work), name);
	work->fields = lappend(work->fields, field);
	return field;
}

static void
add_sent(Work *work)
{
	const Jsonb *object = work->merge->object;
	ListCell *cell;

	foreach(cell, miru_object_names(object))
	{
		Field *field = add_field(work, strVal(lfirst(cell)));

		field->incoming = get_value(object, field->name);
		field->normal = field->incoming;
		/* A time, say, may be the same and be written in another way. */
		if (!work->is_document && is_compared(work, field) &&
			is_value(field->incoming) &&
			!is_same(field->incoming, field->stored))
			field->normal = miru_target_normal(work->merge->target, field->name,
											   field->incoming);
	}
}

static void
add_increments(Work *work)
{
	MiruRelation *rel = work->merge->target->rel;
	const Jsonb *add = work->merge->change->add;
	ListCell *cell;

	if (add == NULL)
		return;
	foreach(cell, miru_object_names(add))
	{
		char *name = strVal(lfirst(cell));
		Field *field;

		if (!work->is_document && miru_field_by_name(rel, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("collection \"%s\" has no field \"%s\"",
							work->collection->name, name)));
		field = add_field(work, name);
		if (field->rule != MIRU_RULE_COUNTER)
			ereport(ERROR,
					(errcode(ERRCODE_MIRU_INVALID_OBJECT),
					 errmsg("field \"%s\" is not a counter", name)));
		field->increment = get_value(add, name);
	}
}

/* add_absent: a put of a document removes the fields that it has not. */
static void
add_absent(Work *work)
{
	const MiruFieldMerge *merge = work->merge;
	const Jsonb *add = merge->change->add;
	ListCell *cell;

	if (!work->is_put || !work->is_document)
		return;
	foreach(cell, miru_object_names(stored_record(work)))
	{
		char *name = strVal(lfirst(cell));

		if (get_value(merge->object, name) == NULL &&
			(add == NULL || get_value(add, name) == NULL))
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
needs_past(Work *work, const Field *field)
{
	const MiruFieldMerge *merge = work->merge;
	const MiruStamp *stamp = miru_stamps_get(merge->before, field->key);
	int64 base = merge->change->base;

	if (field->rule == MIRU_RULE_COUNTER)
		return !merge->is_missing && field->incoming != NULL &&
			miru_is_unseen(stamp, base);
	return is_compared(work, field) &&
		miru_is_concurrent(stamp, base, merge->device) &&
		!is_same(field->normal, field->stored);
}

static void
check_base(Work *work, const Field *field)
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
look_back(Work *work)
{
	MiruFieldMerge *merge = work->merge;
	MiruPastField *past = palloc0(Max(list_length(work->fields), 1) *
								  sizeof(MiruPastField));
	int count = 0;
	ListCell *cell;

	foreach(cell, work->fields)
	{
		Field *field = lfirst(cell);

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

/* ----- counters ----- */

/* column_scale returns to how many digits a field's values are rounded. */
static int
column_scale(Work *work, const Field *field)
{
	MiruRelation *rel = work->merge->target->rel;
	Oid type;
	int32 typmod;
	Oid collation;

	if (work->is_document)
		return NUMERIC_MAX_PRECISION;
	get_atttypetypmodcoll(rel->relid,
						  miru_field_by_name(rel, field->name)->attnum, &type,
						  &typmod, &collation);
	type = getBaseTypeAndTypmod(type, &typmod);
	if (type != NUMERICOID || typmod < (int32) VARHDRSZ)
		return NUMERIC_MAX_PRECISION;
	/* As make_numeric_typmod() packs it; before 15 there are no others. */
	return (((typmod - (int32) VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
}

static Numeric
check_number(const Field *field, const JsonbValue *value)
{
	if (is_value(value) && value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_OBJECT),
				 errmsg("value of counter \"%s\" is not a number",
						field->name)));
	return miru_number_of(value);
}

/*
 * increment_of returns by how much the device changed a counter; NULL if not
 * at all.  Of a value that is its difference to what the device knew: what
 * is stored, without what others have added since.
 */
static Numeric
increment_of(Work *work, const Field *field)
{
	Numeric stored = check_number(field, field->stored);
	Numeric increment;

	if (field->increment != NULL)
		increment = field->increment->val.numeric;
	else if (field->incoming == NULL)
		return NULL;
	else
	{
		increment = check_number(field, field->incoming);
		if (field->past != NULL && !work->past_is_known)
			ereport(
				ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_BASE),
				 errmsg(
					 "history of counter \"%s\" does not go back to base " INT64_FORMAT,
					 field->name, work->merge->change->base),
				 errhint("Push an increment, as \"add\".")));
		increment = miru_number_subtract(increment, stored);
		if (field->past != NULL)
			increment = miru_number_add(increment, field->past->others);
	}
	if (increment != NULL)
		increment = miru_number_round(increment, column_scale(work, field));
	return increment;
}

/* sum_of returns a counter with its increment. */
static JsonbValue *
sum_of(const Field *field, Numeric increment)
{
	return miru_number_value(
		miru_number_add(miru_number_of(field->stored), increment));
}

/* ----- decisions ----- */

/* order_of compares two values that are not null, as the column's type does. */
static int
order_of(Work *work, const Field *field)
{
	if (work->is_document)
		return miru_values_compare(field->incoming, field->stored);
	return miru_target_compare(work->merge->target, field->name,
							   field->incoming, field->stored);
}

static MiruSince
since_base(Work *work, const Field *field)
{
	if (!is_compared(work, field))
		return MIRU_CHANGED;
	if (is_same(field->normal, field->stored))
		return MIRU_UNCHANGED;
	/* Nobody else has changed it, so what is stored is what it had. */
	if (field->past == NULL)
		return MIRU_CHANGED;
	if (!work->past_is_known)
		return MIRU_NOT_TOLD;
	return is_same(field->normal, field->past->value) ? MIRU_UNCHANGED
													  : MIRU_CHANGED;
}

static MiruDecision
decide(Work *work, const Field *field, Numeric increment)
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
	contest.has_stored = is_value(field->stored);
	contest.has_incoming = is_value(field->incoming);
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

/* ----- conflicts ----- */

static Jsonb *
jsonb_of(JsonbValue *value)
{
	return value ? JsonbValueToJsonb(value) : NULL;
}

/* add_conflict notes one; "field" is its key, NULL for the whole record. */
static MiruConflict *
add_conflict(Work *work, const char *field, MiruRule rule,
			 const MiruStamp *stored)
{
	MiruFieldMerge *merge = work->merge;
	MiruConflict *conflict = palloc0(sizeof(MiruConflict));

	conflict->collection = work->collection->name;
	conflict->record = merge->target->id;
	conflict->field = field;
	conflict->rule = miru_rule_name(rule);
	conflict->stored.stamp = *stored;
	conflict->incoming.stamp = merge->incoming;
	conflict->pending = merge->pending;
	merge->conflicts = lappend(merge->conflicts, conflict);
	return conflict;
}

/* differs tells whether a field's values do, and reads the stored one. */
static bool
differs(Work *work, Field *field)
{
	MiruTarget *target = work->merge->target;

	field->stored = get_value(stored_record(work), field->name);
	field->normal = field->incoming;
	if (!work->is_document && is_value(field->incoming) &&
		!is_same(field->incoming, field->stored))
		field->normal = miru_target_normal(target, field->name,
										   field->incoming);
	return !is_same(field->normal, field->stored);
}

static void
note_lost(Work *work, Field *field, bool incoming_stands)
{
	MiruConflict *conflict;

	if (!differs(work, field))
		return;
	conflict = add_conflict(work, field->key, field->rule,
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
static const MiruStamp *
unseen_whole(Work *work)
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
static void
note_whole(Work *work, const MiruStamp *unseen)
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
		Field *field = lfirst(cell);

		if (field->rule != MIRU_RULE_LWW ||
			(work->whole_wins &&
			 !miru_is_concurrent(miru_stamps_get(merge->before, field->key),
								 merge->change->base, merge->device)) ||
			!differs(work, field))
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
	conflict = add_conflict(work, NULL, MIRU_RULE_LWW, unseen);
	conflict->outcome = work->whole_wins ? MIRU_INCOMING_STANDS
										 : MIRU_STORED_STANDS;
	conflict->stored.value = miru_build_end(&stored);
	conflict->incoming.value = miru_build_end(&incoming);
}

/* ----- the result ----- */

/* stamp_of returns the stamp of what stands: of a sum the newest clock. */
static MiruStamp
stamp_of(Work *work, const Field *field)
{
	MiruStamp stamp = work->merge->incoming;

	if (field->rule == MIRU_RULE_COUNTER)
		stamp.clock =
			Max(stamp.clock,
				miru_stamps_get(work->merge->before, field->key)->clock);
	return stamp;
}

/* merge_field decides for one field, and notes what it becomes. */
static void
merge_field(Work *work, Field *field)
{
	MiruFieldMerge *merge = work->merge;
	JsonbValue *value = field->incoming;
	Numeric increment = NULL;
	MiruDecision decision;

	if (field->rule == MIRU_RULE_COUNTER)
		increment = increment_of(work, field);
	decision = decide(work, field, increment);
	if (decision.lost)
		note_lost(work, field, decision.incoming_stands);
	if (!decision.incoming_stands)
		return;
	merge->stands = true;
	miru_stamps_set(merge->stamps, field->key, stamp_of(work, field));
	if (field->rule == MIRU_RULE_COUNTER)
		value = sum_of(field, increment);
	field->is_removed = value == NULL;
	if (value == NULL)
		return;
	miru_build_key(&work->written, field->name);
	pushJsonbValue(&work->written, WJB_VALUE, value);
}

/* ----- all of them ----- */

/* whole_stands: the fields without a rule of their own, by the newest. */
static bool
whole_stands(Work *work)
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
put_whole(Work *work)
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
	}
}

/* document_of puts what is written into what is kept of the stored one. */
static Jsonb *
document_of(Work *work, Jsonb *written)
{
	Jsonb *stored = stored_record(work);
	List *kept = NIL;
	bool any_removed = false;
	ListCell *cell;

	foreach(cell, work->fields)
	{
		Field *field = lfirst(cell);

		any_removed |= field->is_removed;
		if (!field->is_removed)
			kept = lappend(kept, makeString(field->name));
	}
	/* Only of a put is a field removed, which speaks of every field. */
	if (any_removed)
		stored = miru_object_pick(stored, kept);
	return miru_object_overlay(stored, written);
}

/* own_rules returns the rules of the fields that have one of their own. */
static Jsonb *
own_rules(Work *work)
{
	JsonbParseState *state;
	Jsonb *rules;
	ListCell *cell;

	miru_build_begin(&state);
	foreach(cell, work->fields)
	{
		Field *field = lfirst(cell);

		if (field->rule != work->collection->default_rule)
			miru_build_text(&state, field->name, miru_rule_name(field->rule));
	}
	rules = miru_build_end(&state);
	return JB_ROOT_COUNT(rules) > 0 ? rules : NULL;
}

void
miru_merge_fields(MiruFieldMerge *merge)
{
	Work work = {0};
	const MiruStamp *unseen;
	Jsonb *written;
	ListCell *cell;

	work.merge = merge;
	work.collection = merge->target->collection;
	work.is_document = merge->target->rel->data_attnum != 0;
	work.is_put = merge->change->kind == MIRU_PUT;
	merge->stands = false;
	merge->stamps = miru_stamps_copy(merge->before);
	unseen = unseen_whole(&work);
	if (work.collection->default_rule == MIRU_RULE_LWW)
	{
		work.whole_wins = whole_stands(&work);
		if (work.is_put && work.whole_wins)
			put_whole(&work);
		/* The usual case, for which no field need be looked at. */
		if (work.is_put && work.collection->field_rules == NIL &&
			merge->change->add == NULL && unseen == NULL)
		{
			merge->result = merge->object;
			return;
		}
	}

	add_sent(&work);
	add_increments(&work);
	add_absent(&work);
	look_back(&work);
	if (unseen != NULL)
		note_whole(&work, unseen);
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
