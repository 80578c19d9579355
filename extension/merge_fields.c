/*
 * merge_fields.c
 *     What the fields of a pushed change make of a record.
 *
 * Each field has a rule: one of its own, or the collection's.  Here is found
 * out what the rule must know (who wrote the stored value, what it is, how
 * the two compare), and merge_rules.c decides.  Under "lww" the fields that
 * have no rule of their own win or lose together.
 *
 * The stored record is read only where something depends on its values.
 *
 * Reads the application's table, writes nothing.  The caller has locked the
 * row, so what is read here stands until it writes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "jsonb_build.h"
#include "merge_fields.h"
#include "merge_rules.h"
#include "nodes/value.h"
#include "object.h"

/* One merge while it goes on. */
typedef struct Work
{
	MiruFieldMerge *merge;
	MiruCollection *collection;
	bool is_document;
	bool is_put;
	bool whole_wins;		  /* the fields that are merged together */
	JsonbParseState *written; /* fields with the values that they get */
	JsonbParseState *rules;	  /* see MiruFieldMerge */
	bool has_rules;
	List *kept; /* names of stored fields, if any is removed */
	bool any_removed;
} Work;

/* One field of it. */
typedef struct Field
{
	const char *name;
	char *key; /* among the stamps */
	MiruRule rule;
	JsonbValue *incoming; /* NULL: removed */
	JsonbValue *stored;	  /* NULL: not there, or of no interest */
} Field;

char *
miru_stamp_key(MiruRelation *rel, const char *name)
{
	if (rel->data_attnum != 0)
		return unconstify(char *, name);
	return miru_field_by_name(rel, name)->key;
}

static Jsonb *
empty_object(void)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	return miru_build_end(&state);
}

/* stored_record returns the record as it stands. */
static Jsonb *
stored_record(Work *work)
{
	MiruFieldMerge *merge = work->merge;

	if (merge->stored == NULL)
		merge->stored = miru_target_read(merge->target);
	if (merge->stored == NULL)
		merge->stored = empty_object();
	return merge->stored;
}

static JsonbValue *
get_value(const Jsonb *object, const char *name)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	return miru_object_get(object, name, value) ? value : NULL;
}

/* ----- one field ----- */

static bool
is_value(const JsonbValue *value)
{
	return value != NULL && value->type != jbvNull;
}

/* order_of compares two values that are not null, as the column's type does. */
static int
order_of(Work *work, const Field *field)
{
	if (work->is_document)
		return miru_values_compare(field->incoming, field->stored);
	return miru_target_compare(work->merge->target, field->name,
							   field->incoming, field->stored);
}

static bool
incoming_stands(Work *work, Field *field)
{
	MiruFieldMerge *merge = work->merge;
	MiruContest contest = {0};

	if (field->rule == MIRU_RULE_LWW)
		return work->whole_wins;
	contest.stored = *miru_stamps_get(merge->before, field->key);
	contest.incoming = merge->incoming;
	contest.base = merge->change->base;
	contest.ties_lose = merge->change->ties_lose;
	contest.order = 1; /* what is not looked at counts as another value */
	if (miru_rule_needs_values(field->rule))
	{
		field->stored = get_value(stored_record(work), field->name);
		contest.has_stored = is_value(field->stored);
		contest.has_incoming = is_value(field->incoming);
		if (contest.has_stored && contest.has_incoming)
			contest.order = order_of(work, field);
	}
	return miru_decide(field->rule, &contest).incoming_stands;
}

/* merge_field decides for one field, and notes what it becomes. */
static bool
merge_field(Work *work, const char *name, JsonbValue *incoming)
{
	MiruFieldMerge *merge = work->merge;
	Field field = {0};

	field.name = name;
	field.key = miru_stamp_key(merge->target->rel, name);
	field.rule = miru_collection_rule(work->collection, field.key);
	field.incoming = incoming;
	if (field.rule != work->collection->default_rule)
	{
		miru_build_text(&work->rules, name, miru_rule_name(field.rule));
		work->has_rules = true;
	}
	if (!incoming_stands(work, &field))
		return false;
	merge->stands = true;
	miru_stamps_set(merge->stamps, field.key, merge->incoming);
	if (incoming != NULL)
	{
		miru_build_key(&work->written, name);
		pushJsonbValue(&work->written, WJB_VALUE, incoming);
	}
	return true;
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

static void
merge_sent(Work *work)
{
	ListCell *cell;

	foreach(cell, miru_object_names(work->merge->object))
	{
		char *name = strVal(lfirst(cell));

		merge_field(work, name, get_value(work->merge->object, name));
	}
}

/* merge_absent: a put of a document removes the fields that it has not. */
static void
merge_absent(Work *work)
{
	ListCell *cell;

	foreach(cell, miru_object_names(stored_record(work)))
	{
		char *name = strVal(lfirst(cell));

		if (get_value(work->merge->object, name) == NULL &&
			merge_field(work, name, NULL))
			work->any_removed = true;
		else
			work->kept = lappend(work->kept, lfirst(cell));
	}
}

/* document_of puts what is written into what is kept of the stored one. */
static Jsonb *
document_of(Work *work, Jsonb *written)
{
	Jsonb *stored = stored_record(work);

	if (work->any_removed)
		stored = miru_object_pick(stored, work->kept);
	return miru_object_overlay(stored, written);
}

void
miru_merge_fields(MiruFieldMerge *merge)
{
	Work work = {0};
	Jsonb *written;
	Jsonb *rules;

	work.merge = merge;
	work.collection = merge->target->collection;
	work.is_document = merge->target->rel->data_attnum != 0;
	work.is_put = merge->change->kind == MIRU_PUT;
	merge->stands = false;
	merge->stamps = miru_stamps_copy(merge->before);
	merge->rules = NULL;
	if (work.collection->default_rule == MIRU_RULE_LWW)
	{
		work.whole_wins = whole_stands(&work);
		if (work.is_put && work.whole_wins)
			put_whole(&work);
		/* The usual case, for which no field need be looked at. */
		if (work.is_put && work.collection->field_rules == NIL)
		{
			merge->result = merge->object;
			return;
		}
	}

	miru_build_begin(&work.written);
	miru_build_begin(&work.rules);
	merge_sent(&work);
	if (work.is_put && work.is_document)
		merge_absent(&work);
	written = miru_build_end(&work.written);
	rules = miru_build_end(&work.rules);
	if (work.has_rules)
		merge->rules = rules;
	if (merge->stands)
		merge->result = work.is_document ? document_of(&work, written)
										 : written;
}
