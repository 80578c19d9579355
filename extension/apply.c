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
#include "capture.h"
#include "errors.h"
#include "event.h"
#include "guc.h"
#include "key.h"
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

/* What is known of the record before the change. */
typedef struct Before
{
	bool known; /* it exists or has a tombstone */
	bool deleted;
	bool has_row;
	int64 seq;		  /* 0 if changed in this transaction */
	int64 stored_seq; /* of the stored state, whatever is pending */
	int pending;	  /* that change, -1: none */
	MiruStamp newest;
	MiruStamps *stamps;
	Jsonb *image;
} Before;

/* One change while it is being merged. */
typedef struct Merge
{
	const MiruPusher *pusher;
	MiruChange *change;
	MiruTarget target;
	MiruRule rule;
	MiruStamp incoming;
	Jsonb *object; /* bounded; NULL for a delete without image */
	int64 skew_ms;
	Before before;
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
	if (!miru_rule_parse(target->collection->rule, &merge->rule))
		elog(ERROR, "unknown rule of collection \"%s\": %s", change->collection,
			 target->collection->rule);
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
	int64 wall_ms = wall_clock_ms();
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

/* ----- what is there ----- */

static MiruStamp
newest_stamp(const MiruStamps *stamps, Hlc clock)
{
	MiruStamp newest = stamps->base;

	for (int i = 0; i < stamps->count; i++)
	{
		if (stamps->fields[i].stamp.clock > newest.clock)
			newest = stamps->fields[i].stamp;
	}
	newest.clock = Max(newest.clock, clock);
	return newest;
}

static MiruStamps *
stamps_whole(MiruStamp stamp)
{
	MiruStamps *stamps = palloc(sizeof(MiruStamps));

	miru_stamps_init(stamps, stamp);
	return stamps;
}

static void
read_stored(Merge *merge)
{
	Before *before = &merge->before;
	MiruTable table = miru_table_open("record", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruRecord *record = miru_record_find(&table, merge->change->feed,
										  merge->change->collection,
										  merge->change->id, snapshot);

	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	before->known = record != NULL || before->has_row;
	if (record == NULL)
	{
		/* A row that capture has never seen loses against anything. */
		MiruStamp unknown = {0, -1, ""};

		before->stamps = stamps_whole(unknown);
		before->newest = unknown;
		return;
	}
	before->deleted = record->deleted;
	before->seq = before->stored_seq = record->seq;
	before->stamps = record->stamps;
	before->newest = newest_stamp(record->stamps, record->clock);
	before->image = miru_object_without_hidden(merge->target.rel,
											   record->image);
}

static void
read_pending(Merge *merge, MiruOrigin *pending)
{
	Before *before = &merge->before;

	before->known = true;
	before->deleted = pending->deleted;
	before->pending = pending->index;
	before->stored_seq = pending->merged_with;
	before->stamps = pending->stamps;
	before->newest = newest_stamp(pending->stamps, 0);
	before->image = pending->image;
}

/*
 * is_new_document tells whether a document most likely is not there yet, so
 * that it can be inserted without looking for a row to lock first.  If that
 * finds a row all the same, nothing has happened, and the second attempt locks
 * it.  Not for other tables: their BEFORE INSERT triggers would have run.
 */
static bool
is_new_document(Merge *merge)
{
	if (merge->target.rel->data_attnum == 0 ||
		merge->change->kind == MIRU_DELETE)
		return false;
	read_stored(merge);
	return !merge->before.known;
}

/*
 * check_locked sees that the row that was locked is the record's own: a key
 * may be equal and still be another id (1.0 and 1.00), and row security may
 * hide from the role what is there.
 */
static void
check_locked(Merge *merge)
{
	Before *before = &merge->before;
	bool is_there = miru_target_exists(&merge->target, false);

	if (before->has_row && !is_there)
		ereport(
			ERROR,
			(errcode(ERRCODE_MIRU_INVALID_OBJECT),
			 errmsg(
				 "record id \"%s\" of collection \"%s\" is not the id of the row with an equal key",
				 merge->change->id, merge->change->collection)));
	if (!before->has_row && is_there && before->known && !before->deleted)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(
				 "row security policy hides record \"%s\" of collection \"%s\"",
				 merge->change->id, merge->change->collection)));
}

static void
before_init(Before *before)
{
	memset(before, 0, sizeof(Before));
	before->pending = -1;
}

/* read_before finds out what is stored, or pushed in this transaction. */
static void
read_before(Merge *merge, bool first_attempt)
{
	Before *before = &merge->before;
	MiruOrigin *pending = miru_origin_pending(merge->change->feed,
											  merge->change->collection,
											  merge->change->id);

	before_init(before);
	if (first_attempt && pending == NULL && is_new_document(merge))
		return;
	before_init(before);
	before->has_row = miru_target_lock(&merge->target);
	if (pending != NULL)
		read_pending(merge, pending);
	else
		read_stored(merge);
	if (merge->target.rel->data_attnum == 0)
		check_locked(merge);
}

/* ----- decisions ----- */

/* lose records that what is stored stands, and what that is. */
static void
lose(Merge *merge)
{
	MiruChange *change = merge->change;
	Before *before = &merge->before;
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
	winner->is_document = merge->target.rel->data_attnum != 0;
	winner->object = before->deleted ? before->image
									 : miru_target_read(&merge->target);
	if (winner->object == NULL)
		winner->deleted = true;
	change->winner = winner;
}

/*
 * is_concurrent tells whether another device or SQL has changed the record
 * since what this device had seen, as far as it says what that was.
 */
static bool
is_concurrent(Merge *merge)
{
	Before *before = &merge->before;
	int64 base = merge->change->base;
	const char *device = merge->pusher->device;

	if (base == 0 || !before->known)
		return false;
	if (miru_is_concurrent(&before->stamps->base, base, device))
		return true;
	for (int i = 0; i < before->stamps->count; i++)
	{
		if (miru_is_concurrent(&before->stamps->fields[i].stamp, base, device))
			return true;
	}
	return false;
}

/* win registers the change, so that what is written now is on its behalf. */
static MiruOrigin *
win(Merge *merge, MiruStamps *stamps)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	MiruChange *change = merge->change;
	MiruOrigin *origin = palloc0(sizeof(MiruOrigin));

	origin->user = pstrdup(merge->pusher->user);
	origin->device = pstrdup(merge->pusher->device);
	origin->session = merge->pusher->session ? pstrdup(merge->pusher->session)
											 : NULL;
	origin->type = change->type ? pstrdup(change->type) : NULL;
	origin->rule = pstrdup(merge->target.collection->rule);
	origin->group = merge->pusher->group;
	origin->skew_ms = merge->skew_ms;
	origin->base = change->base;
	origin->merged_with = merge->before.stored_seq;
	origin->feed = pstrdup(change->feed);
	origin->collection = pstrdup(change->collection);
	origin->id = pstrdup(change->id);
	origin->relid = merge->target.rel->relid;
	origin->key = miru_key_make(merge->target.rel, merge->target.key);
	origin->stamp = merge->incoming;
	origin->stamp.device = origin->device;
	origin->stamps = miru_stamps_copy(stamps);
	MemoryContextSwitchTo(old_context);
	change->verdict = is_concurrent(merge) ? MIRU_MERGED : MIRU_APPLIED;
	change->origin = miru_origin_add(origin);
	miru_origin_set(change->origin);
	return origin;
}

static void
apply_delete(Merge *merge)
{
	Before *before = &merge->before;
	MiruChange *change = merge->change;
	MiruStamp stamp = merge->incoming;
	int64 slack = change->delete_slack ? miru_max_clock_skew : 0;
	MiruOrigin *origin;

	/* A second delete of the same must not win again and again. */
	if (before->deleted)
		slack = 0;
	if (before->known &&
		!miru_lww_delete_wins(&before->newest, &stamp, change->ties_lose,
							  slack))
	{
		lose(merge);
		return;
	}
	/* A replay of what it deleted must lose against the tombstone. */
	if (before->known)
		stamp.clock = Max(stamp.clock, before->newest.clock);
	origin = win(merge, stamps_whole(stamp));
	origin->deleted = true;
	if (merge->object != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(
			TopTransactionContext);

		origin->image = palloc(VARSIZE(merge->object));
		memcpy(origin->image, merge->object, VARSIZE(merge->object));
		MemoryContextSwitchTo(old_context);
	}
	if (before->has_row)
		miru_target_delete(&merge->target);
	else
		miru_capture_tombstone(merge->target.rel, change->origin);
}

/* stamp_key returns under which key a field of the object is stamped. */
static char *
stamp_key(MiruRelation *rel, const char *name)
{
	if (rel->data_attnum != 0)
		return unconstify(char *, name);
	return miru_field_by_name(rel, name)->key;
}

/* insert writes a record that has no row; false: somebody else just did. */
static bool
insert(Merge *merge, MiruStamps *stamps, Jsonb *object)
{
	bool inserted;

	win(merge, stamps);
	inserted = miru_target_insert(&merge->target, object);
	miru_origin_set(-1);
	if (!inserted)
		miru_origin_remove(merge->change->origin);
	return inserted;
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

/* apply_missing: a put or patch of a record that has no row. */
static bool
apply_missing(Merge *merge)
{
	Before *before = &merge->before;
	Jsonb *object = merge->object;

	if (before->known &&
		!miru_lww_wins(&before->newest, &merge->incoming,
					   merge->change->ties_lose))
	{
		lose(merge);
		return true;
	}
	/* A patch brings back what was deleted, with its fields changed. */
	if (merge->change->kind == MIRU_PATCH && before->image != NULL)
		object = miru_object_overlay(writable_image(merge), object);
	return insert(merge, stamps_whole(merge->incoming), object);
}

/* apply_lww: the change as a whole wins or loses. */
static void
apply_lww(Merge *merge)
{
	Before *before = &merge->before;
	bool document = merge->target.rel->data_attnum != 0;
	Jsonb *object = merge->object;
	MiruStamps *stamps;
	ListCell *cell;

	if (!miru_lww_wins(&before->newest, &merge->incoming,
					   merge->change->ties_lose))
	{
		lose(merge);
		return;
	}
	if (merge->change->kind == MIRU_PUT)
		stamps = stamps_whole(merge->incoming);
	else
	{
		stamps = miru_stamps_copy(before->stamps);
		foreach(cell, miru_object_names(object))
			miru_stamps_set(stamps,
							stamp_key(merge->target.rel, strVal(lfirst(cell))),
							merge->incoming);
		if (document)
			object = miru_object_overlay(miru_target_read(&merge->target),
										 object);
	}
	win(merge, stamps);
	miru_target_update(&merge->target, object);
}

/* field_wins decides for one field, and stamps it if it wins. */
static bool
field_wins(Merge *merge, MiruStamps *stamps, const char *name)
{
	char *key = stamp_key(merge->target.rel, name);

	if (!miru_lww_wins(miru_stamps_get(stamps, key), &merge->incoming,
					   merge->change->ties_lose))
		return false;
	miru_stamps_set(stamps, key, merge->incoming);
	return true;
}

/* apply_lww_field: each field wins or loses for itself. */
static void
apply_lww_field(Merge *merge)
{
	bool document = merge->target.rel->data_attnum != 0;
	MiruStamps *stamps = miru_stamps_copy(merge->before.stamps);
	Jsonb *stored = document ? miru_target_read(&merge->target) : NULL;
	List *won = NIL;
	List *kept = NIL; /* of the stored document */
	bool removed = false;
	Jsonb *object;
	ListCell *cell;

	foreach(cell, miru_object_names(merge->object))
	{
		if (field_wins(merge, stamps, strVal(lfirst(cell))))
			won = lappend(won, lfirst(cell));
	}
	object = miru_object_pick(merge->object, won);
	if (document)
	{
		foreach(cell, miru_object_names(stored))
		{
			JsonbValue value;
			char *name = strVal(lfirst(cell));

			/* A put removes the fields that it does not have. */
			if (merge->change->kind == MIRU_PUT &&
				!miru_object_get(merge->object, name, &value) &&
				field_wins(merge, stamps, name))
				removed = true;
			else
				kept = lappend(kept, lfirst(cell));
		}
		object = miru_object_overlay(miru_object_pick(stored, kept), object);
	}
	if (won == NIL && !removed)
	{
		lose(merge);
		return;
	}
	win(merge, stamps);
	miru_target_update(&merge->target, object);
}

static void
merge_row(Merge *merge)
{
	if (merge->target.rel->data_attnum == 0 &&
		JB_ROOT_COUNT(merge->object) == 0)
		lose(merge); /* it is there, and there is nothing to write */
	else if (merge->rule == MIRU_RULE_LWW)
		apply_lww(merge);
	else
		apply_lww_field(merge);
}

static void
check_object(Merge *merge)
{
	/* A put of a row that is all key can still create it. */
	if (merge->change->kind != MIRU_PATCH)
		return;
	if (merge->target.rel->data_attnum == 0 &&
		JB_ROOT_COUNT(merge->object) == 0)
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
	Before *before = &merge->before;

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
miru_apply(const MiruPusher *pusher, MiruChange *change)
{
	Merge merge = {0};

	merge.pusher = pusher;
	merge.change = change;
	merge.object = change->object;
	change->origin = -1;
	check_feed(&merge);
	find_target(&merge);
	take_clock(&merge);
	if (change->kind != MIRU_DELETE)
		take_fields(&merge);
	check_object(&merge);
	for (int attempt = 0;; attempt++)
	{
		CHECK_FOR_INTERRUPTS();
		read_before(&merge, attempt == 0);
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
