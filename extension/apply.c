/*
 * apply.c
 *     Merges one pushed change into the row that it is about.
 *
 * Order: lock the row, then read who stamped its fields, then decide, then
 * write.  Every writer of a record locks its row first and numbers it before
 * letting go, so the stamps read under the row's lock are the latest ones.
 * Where there is no row to lock (it is new, or deleted), two pushes may both
 * try to insert it; the one that comes second is told so by the primary key
 * and starts again.
 *
 * Whatever is written goes through the capture trigger like anybody's SQL.
 * The push only leaves word (MiruOrigin) of whose change it is and which
 * stamps it brings; flush puts the two together.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "apply.h"
#include "before.h"
#include "capture.h"
#include "conflict.h"
#include "document_row.h"
#include "errors.h"
#include "event.h"
#include "guc.h"
#include "key.h"
#include "merge_fields.h"
#include "merge_rules.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "record.h"
#include "serving.h"
#include "target.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* How often an insert may find that somebody else was faster. */
#define ATTEMPTS 3

/* One change while it is being merged. */
typedef struct Merge
{
	const MiruPusher *pusher;
	MiruChange *change;
	MiruTarget target;
	MiruStamp incoming;
	bool direct;
	Jsonb *object; /* bounded; NULL for a delete without image */
	int64 skew_ms;
	MiruBefore before;
} Merge;

static int64
wall_clock_ms(void)
{
	return (GetCurrentTimestamp() - SetEpochTimestamp()) / 1000;
}

/* ----- what the change is about ----- */

static void
check_feed(Merge *merge)
{
	MiruChange *change = merge->change;

	if (change->feed == NULL)
		change->feed = pstrdup(merge->pusher->user);
	if (strcmp(change->feed, merge->pusher->user) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_FEED_FORBIDDEN),
				 errmsg("user may not write feed \"%s\"", change->feed)));
}

static void
find_target(Merge *merge)
{
	MiruChange *change = merge->change;
	MiruTarget *target = &merge->target;

	target->collection = miru_collection_get(change->collection);
	if (target->collection == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("collection \"%s\" does not exist",
						change->collection)));
	if (!target->collection->pushable)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_NOT_PUSHABLE),
				 errmsg("collection \"%s\" is read-only", change->collection)));
	target->rel = miru_relation_get(target->collection->relid);
	if (target->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("table of collection \"%s\" is not attached",
						change->collection)));
	target->feed = change->feed;
	if (!miru_feed_is_canonical(target->rel, change->feed))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_FEED_FORBIDDEN),
				 errmsg("feed \"%s\" is not in the form of column \"%s\"",
						change->feed, target->rel->feed_name)));
	if (target->rel->backfilling)
		miru_serving_check_served(change->collection, change->feed);
	miru_key_parse(target->rel, change->feed, change->collection, change->id,
				   target->key);
	/* "007" and "7" are one integer, so one record. */
	change->id = miru_key_id(target->rel, target->key);
	target->id = change->id;
}

/* text_of_value returns a scalar as text; NULL for null and containers. */
static char *
text_of_value(JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out,
									NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/*
 * check_key_field sees that a pushed key column says what the id says: as it
 * is sent, which for an array is no text; or in another form of the type.
 */
static void
check_key_field(Merge *merge, MiruField *field, JsonbValue *value)
{
	MiruRelation *rel = merge->target.rel;
	char *text = text_of_value(value);

	for (int i = 0; i < rel->key_count; i++)
	{
		Datum key = merge->target.key[i];

		if (rel->keys[i].attnum != field->attnum)
			continue;
		if (miru_values_equal(value, miru_object_value(rel, field, key)) ||
			(text != NULL && miru_key_is(rel, i, key, text)))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_MIRU_INVALID_OBJECT),
			 errmsg("field \"%s\" is not what the record id says",
					field->name)));
}

static void
check_feed_field(Merge *merge, JsonbValue *value)
{
	char *text = text_of_value(value);

	if (text == NULL || strcmp(text, merge->change->feed) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_FEED_FORBIDDEN),
				 errmsg("field \"%s\" names another feed",
						merge->target.rel->feed_name)));
}

/*
 * take_fields leaves of a pushed row what may be written: not the feed and
 * the key, which must be right, nor generated columns, whose values devices
 * have from us and may send back.
 */
static void
take_fields(Merge *merge)
{
	MiruRelation *rel = merge->target.rel;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	MiruField *field = NULL;
	bool is_feed = false;
	List *names = NIL;

	if (rel->data_attnum != 0 || merge->object == NULL)
		return;
	iterator = JsonbIteratorInit(&merge->object->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char *name = pnstrdup(item.val.string.val, item.val.string.len);

			is_feed = strcmp(name, rel->feed_name) == 0;
			field = is_feed ? NULL : miru_field_by_name(rel, name);
			if (field == NULL && !is_feed)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_COLUMN),
						 errmsg("collection \"%s\" has no field \"%s\"",
								merge->change->collection, name)));
		}
		if (token != WJB_VALUE)
			continue;
		if (is_feed)
			check_feed_field(merge, &item);
		else if (field->is_key)
			check_key_field(merge, field, &item);
		else if (!field->is_generated)
			names = lappend(names, makeString(field->name));
	}
	merge->object = miru_object_pick(merge->object, names);
}

/* take_clock stamps the change, bounded by what the server's clock allows. */
static void
take_clock(Merge *merge)
{
	MiruChange *change = merge->change;
	int64 wall_ms = change->arrived_ms ? change->arrived_ms : wall_clock_ms();
	Hlc clock = change->clock;

	if (hlc_bound(&clock, wall_ms, miru_max_clock_skew))
	{
		merge->skew_ms = (int64) hlc_ms(change->clock) - wall_ms;
		if (change->type != NULL)
			merge->object = miru_event_bound_object(change->collection,
													change->object, clock);
	}
	merge->incoming.clock = clock;
	merge->incoming.seq = 0;
	merge->incoming.device = merge->pusher->device;
}

/* ----- decisions ----- */

/* lose records that what is stored stands, and what that is. */
static void
lose(Merge *merge)
{
	MiruChange *change = merge->change;
	MiruBefore *before = &merge->before;
	MiruDelivery *winner;

	change->verdict = MIRU_STALE;
	change->seq = before->seq;
	change->origin = before->pending;
	if (before->pending >= 0)
		return;
	winner = palloc0(sizeof(MiruDelivery));
	winner->feed = change->feed;
	winner->seq = before->seq;
	winner->after = before->seq - 1;
	winner->part_of = before->seq;
	winner->collection = change->collection;
	winner->id = change->id;
	winner->deleted = before->deleted;
	winner->by_sql = miru_stamps_by_sql(before->stamps);
	winner->clock = before->newest.clock;
	winner->object = before->deleted ? before->image
									 : miru_target_read(&merge->target);
	if (winner->object == NULL)
		winner->deleted = true;
	change->winner = winner;
}

/*
 * win registers the change, so that what is written now is on its behalf.
 * "rules" are those of the fields that have one of their own, or NULL.
 */
static MiruOrigin *
win(Merge *merge, MiruStamps *stamps, Jsonb *rules)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	MiruChange *change = merge->change;
	MiruOrigin *origin = palloc0(sizeof(MiruOrigin));

	origin->change = change;
	origin->user = pstrdup(merge->pusher->user);
	origin->device = pstrdup(merge->pusher->device);
	origin->session = merge->pusher->session ? pstrdup(merge->pusher->session)
											 : NULL;
	origin->type = change->type ? pstrdup(change->type) : NULL;
	origin->rule = miru_rule_name(merge->target.collection->default_rule);
	origin->field_rules = miru_object_copy(rules);
	origin->group = merge->pusher->group;
	origin->skew_ms = merge->skew_ms;
	origin->number = change->number;
	origin->base = change->base;
	origin->shared = merge->before.shared;
	origin->merged_with = merge->before.stored_seq;
	origin->after = merge->before.pending;
	origin->feed = pstrdup(change->feed);
	origin->collection = pstrdup(change->collection);
	origin->id = pstrdup(change->id);
	origin->relid = merge->target.rel->relid;
	origin->key = miru_key_make(merge->target.rel, merge->target.key);
	origin->stamp = merge->incoming;
	origin->stamp.device = origin->device;
	origin->stamps = miru_stamps_copy(stamps);
	MemoryContextSwitchTo(old_context);
	change->verdict = miru_before_is_concurrent(&merge->before, merge->change,
												merge->pusher)
		? MIRU_MERGED
		: MIRU_APPLIED;
	change->origin = miru_origin_add(origin);
	miru_origin_set(change->origin);
	return origin;
}

/*
 * writable_image returns what can be inserted again of a deleted row: not its
 * key, which the id gives, nor generated columns, nor columns dropped since.
 */
static Jsonb *
writable_image(Merge *merge)
{
	MiruRelation *rel = merge->target.rel;
	List *names = NIL;

	if (rel->data_attnum != 0)
		return merge->before.image;
	for (int i = 0; i < rel->field_count; i++)
	{
		if (!rel->fields[i].is_key && !rel->fields[i].is_generated)
			names = lappend(names, makeString(rel->fields[i].name));
	}
	return miru_object_pick(merge->before.image, names);
}

/* fields_init begins to merge the change's fields with what is stored. */
static void
fields_init(Merge *merge, MiruFieldMerge *fields)
{
	memset(fields, 0, sizeof(MiruFieldMerge));
	fields->change = merge->change;
	fields->target = &merge->target;
	fields->object = merge->object;
	fields->incoming = merge->incoming;
	fields->before = merge->before.stamps;
	fields->newest = merge->before.newest;
	fields->device = merge->pusher->device;
	fields->is_shared = merge->before.shared;
	fields->stored_seq = merge->before.stored_seq;
	fields->pending = merge->before.pending;
}

/* Stamps of what nobody has written: they lose against any. */
static const MiruStamp nobody = {0, -1, ""};

/*
 * merge_with_image merges an update into the last image of a deleted record,
 * as if it had come before the delete.
 */
static void
merge_with_image(Merge *merge, Jsonb *image, MiruFieldMerge *fields)
{
	MiruBefore *before = &merge->before;

	fields_init(merge, fields);
	fields->before = before->former ? before->former
									: miru_stamps_whole(nobody);
	fields->newest = miru_stamps_newest_of(fields->before, 0);
	fields->stored = image;
	miru_merge_fields(fields);
}

/*
 * updated_object returns what an update that meets a delete would have made of
 * its fields: those that it sends, and what its increments and elements come
 * to.
 */
static Jsonb *
updated_object(Merge *merge)
{
	Jsonb *nothing = miru_object_pick(merge->object, NIL);
	MiruChange change = *merge->change;
	Merge added = *merge;
	List *names = NIL;
	MiruFieldMerge fields;

	if (change.add != NULL)
		names = miru_object_names(change.add);
	if (change.remove != NULL)
		names = list_concat(names, miru_object_names(change.remove));
	if (names == NIL)
		return merge->object;
	/* No other field is decided on, nor a function asked about one. */
	change.kind = MIRU_PATCH;
	added.change = &change;
	added.object = nothing;
	merge_with_image(&added,
					 merge->before.image ? writable_image(merge) : nothing,
					 &fields);
	return miru_object_overlay(merge->object,
							   miru_object_pick(fields.stands ? fields.result
															  : fields.stored,
												names));
}

/*
 * note_conflict notes that a delete and an update had not seen each other, and
 * one of them is lost.
 */
static void
note_conflict(Merge *merge, bool incoming_stands)
{
	MiruDeleteRule rule = merge->target.collection->delete_rule;
	MiruConflict *conflict = palloc0(sizeof(MiruConflict));

	conflict->collection = merge->change->collection;
	conflict->record = merge->change->id;
	conflict->rule = miru_delete_rule_name(rule);
	conflict->outcome = rule == MIRU_DELETE_MANUAL ? MIRU_OPEN
		: incoming_stands						   ? MIRU_INCOMING_STANDS
												   : MIRU_STORED_STANDS;
	if (!merge->before.deleted)
		conflict->stored.value = miru_target_read(&merge->target);
	if (merge->change->kind != MIRU_DELETE)
		conflict->incoming.value = updated_object(merge);
	conflict->stored.stamp = merge->before.newest;
	conflict->incoming.stamp = merge->incoming;
	conflict->pending = merge->before.pending;
	merge->change->conflicts = lappend(merge->change->conflicts, conflict);
}

/* note_delete keeps with a pushed delete what its tombstone will need. */
static void
note_delete(Merge *merge, MiruOrigin *origin)
{
	MiruBefore *before = &merge->before;
	Jsonb *last_row = before->has_row ? miru_target_read(&merge->target)
									  : before->image;
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);

	origin->deleted = true;
	origin->rule = miru_delete_rule_name(merge->target.collection->delete_rule);
	origin->image = miru_object_copy(merge->object);
	/* Row and tombstone are gone for what this transaction does next. */
	origin->deleted_row = miru_object_copy(last_row);
	if (before->deleted && before->former != NULL)
		origin->former = miru_stamps_copy(before->former);
	else if (!before->deleted && before->known)
		origin->former = miru_stamps_copy(before->stamps);
	MemoryContextSwitchTo(old_context);
}

static void
apply_delete(Merge *merge)
{
	MiruBefore *before = &merge->before;
	MiruChange *change = merge->change;
	MiruStamp stamp = merge->incoming;
	int64 slack = change->delete_slack ? miru_max_clock_skew : 0;
	MiruDecision decision = {true, false};

	/* A second delete of the same must not win again and again. */
	if (before->deleted)
		slack = 0;
	if (before->known)
		decision =
			miru_decide_delete(merge->target.collection->delete_rule, true,
							   !before->deleted &&
								   miru_before_is_concurrent(&merge->before,
															 merge->change,
															 merge->pusher),
							   miru_lww_delete_wins(&before->newest, &stamp,
													change->ties_lose, slack));
	if (decision.lost)
		note_conflict(merge, decision.incoming_stands);
	if (!decision.incoming_stands)
	{
		lose(merge);
		return;
	}
	/* A replay of what it deleted must lose against the tombstone. */
	if (before->known)
		stamp.clock = Max(stamp.clock, before->newest.clock);
	note_delete(merge, win(merge, miru_stamps_whole(stamp), NULL));
	if (before->has_row)
		miru_target_delete(&merge->target);
	else
		miru_capture_tombstone(merge->target.rel, change->origin);
}

/* insert writes a record that has no row; false: somebody else just did. */
static bool
insert(Merge *merge, MiruStamps *stamps, Jsonb *rules, Jsonb *object,
	   bool revives)
{
	bool inserted;

	win(merge, stamps, rules)->revives = revives;
	inserted = (merge->direct && !merge->before.known &&
				miru_document_row_insert(&merge->target, object)) ||
		miru_target_insert(&merge->target, object);
	miru_origin_set(-1);
	merge->change->made = inserted;
	if (!inserted)
		miru_origin_remove(merge->change->origin);
	return inserted;
}

/*
 * revive merges an update into what a concurrent delete has deleted, as if it
 * had come before: whatever the update does not touch comes back as it was,
 * with its stamps.
 */
static bool
revive(Merge *merge)
{
	Jsonb *image = writable_image(merge);
	MiruFieldMerge fields;
	Jsonb *object;

	merge_with_image(merge, image, &fields);
	merge->change->conflicts = fields.conflicts;
	if (!fields.stands)
	{
		lose(merge);
		return true;
	}
	object = fields.result;
	if (merge->target.rel->data_attnum == 0)
		object = miru_object_overlay(image, object);
	return insert(merge, fields.stamps, fields.rules, object, true);
}

/*
 * apply_missing: a put or patch of a record that has no row.  A patch brings
 * back what was deleted, with its fields merged into those of the last image.
 */
static bool
apply_missing(Merge *merge)
{
	MiruBefore *before = &merge->before;
	bool is_conflict = before->deleted &&
		miru_before_is_concurrent(&merge->before, merge->change, merge->pusher);
	MiruDecision decision = {true, false};
	Jsonb *image = NULL;
	MiruFieldMerge fields;
	MiruStamps *stamps;
	Jsonb *object;

	if (before->known)
		decision = miru_decide_delete(merge->target.collection->delete_rule,
									  false, is_conflict,
									  miru_lww_wins(&before->newest,
													&merge->incoming,
													merge->change->ties_lose));
	if (decision.lost)
		note_conflict(merge, decision.incoming_stands);
	if (!decision.incoming_stands)
	{
		lose(merge);
		return true;
	}
	if (is_conflict && before->image != NULL)
		return revive(merge);
	if (merge->change->kind == MIRU_PATCH && before->image != NULL)
		image = writable_image(merge);
	fields_init(merge, &fields);
	fields.before = miru_stamps_whole(nobody);
	fields.newest = nobody;
	fields.is_missing = true;
	fields.stored = image ? image : miru_object_pick(merge->object, NIL);
	miru_merge_fields(&fields);
	object = fields.stands ? fields.result : fields.stored;
	if (image != NULL && merge->target.rel->data_attnum == 0)
		object = miru_object_overlay(image, object);
	stamps = miru_stamps_whole(merge->incoming);
	miru_merge_keep_parts(&fields, stamps);
	return insert(merge, stamps, fields.rules, object, false);
}

/* has_fields tells whether the change says anything about a field. */
static bool
has_fields(Merge *merge)
{
	const Jsonb *add = merge->change->add;
	const Jsonb *remove = merge->change->remove;

	return JB_ROOT_COUNT(merge->object) > 0 ||
		(add != NULL && JB_ROOT_COUNT(add) > 0) ||
		(remove != NULL && JB_ROOT_COUNT(remove) > 0);
}

static void
merge_row(Merge *merge)
{
	MiruFieldMerge fields;

	fields_init(merge, &fields);
	/* A row of a table may be there, and nothing to be written. */
	if (merge->target.rel->data_attnum != 0 || has_fields(merge))
		miru_merge_fields(&fields);
	merge->change->conflicts = fields.conflicts;
	if (!fields.stands)
	{
		lose(merge);
		return;
	}
	win(merge, fields.stamps, fields.rules);
	miru_target_update(&merge->target, fields.result);
}

static void
check_object(Merge *merge)
{
	/* A put of a row that is all key can still create it. */
	if (merge->change->kind != MIRU_PATCH)
		return;
	if (merge->target.rel->data_attnum == 0 && !has_fields(merge))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_OBJECT),
				 errmsg("change has no field that can be written")));
}

/*
 * take_later_clock keeps a device whose clock runs ahead from losing against
 * itself: all its clocks are bounded to the same one, in the order in which it
 * sends.
 */
static void
take_later_clock(Merge *merge)
{
	MiruBefore *before = &merge->before;

	if (merge->skew_ms > 0 && before->known &&
		strcmp(before->newest.device, merge->incoming.device) == 0 &&
		merge->incoming.clock <= before->newest.clock)
		merge->incoming.clock = hlc_next(before->newest.clock);
}

/* refuse_insert: the row cannot be inserted, and is none of this feed's. */
static void
refuse_insert(Merge *merge)
{
	MiruChange *change = merge->change;

	if (!miru_target_exists(&merge->target, true))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_WRITE_SUPPRESSED),
				 errmsg("table %s did not take the change",
						merge->target.rel->qualified_name),
				 errdetail("A trigger or a rule suppressed it.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("record id \"%s\" of collection \"%s\" is taken",
					change->id, change->collection)));
}

void
miru_apply(const MiruPusher *pusher, MiruChange *change, bool direct)
{
	Merge merge = {0};

	merge.pusher = pusher;
	merge.change = change;
	merge.direct = direct;
	merge.object = change->object;
	change->origin = -1;
	change->made = false;
	change->conflicts = NIL;
	check_feed(&merge);
	find_target(&merge);
	take_clock(&merge);
	if (change->kind != MIRU_DELETE)
		take_fields(&merge);
	check_object(&merge);
	for (int attempt = 0;; attempt++)
	{
		CHECK_FOR_INTERRUPTS();
		miru_before_read(&merge.before, &merge.target, pusher, change,
						 attempt == 0);
		take_later_clock(&merge);
		/* Stamped on arrival: later than anything the record has seen. */
		if (change->clock == 0)
			merge.incoming.clock = hlc_tick(merge.before.newest.clock,
											wall_clock_ms());
		if (change->kind == MIRU_DELETE)
			apply_delete(&merge);
		else if (merge.before.has_row)
			merge_row(&merge);
		else if (!apply_missing(&merge))
		{
			if (attempt < ATTEMPTS)
				continue;
			refuse_insert(&merge);
		}
		break;
	}
	miru_origin_set(-1);
}
