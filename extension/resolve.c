/*
 * resolve.c
 *     Deciding a conflict: one side of it, or another value.
 *
 * What is chosen is written to the application's table by ordinary SQL.  The
 * caller's rights, the table's constraints and triggers decide, and capture
 * makes a change of it that reaches every device.  It is written over whatever
 * is there now, as anybody's UPDATE would be, and stamped like one: a device
 * that has not seen it meets it by the rule.
 *
 * Who calls resolve() does it as himself.  A user who asks by way of a relay
 * does it as he pushes: in his own feed, as the collection's role, where
 * devices may push.  The change then is of the user and of no device.
 *
 * Owns no table.  Of one conflict only one resolution goes on at a time: its
 * lock comes first, then the record's row.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "capture.h"
#include "common/hashfn.h"
#include "conflict.h"
#include "errors.h"
#include "executor/spi.h"
#include "feed.h"
#include "jsonb_build.h"
#include "key.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "record.h"
#include "registry.h"
#include "resolve.h"
#include "serving.h"
#include "storage/lmgr.h"
#include "target.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mirusync_resolve_0_2);

/* One resolution while it goes on. */
typedef struct Resolution
{
	const char *feed;
	const MiruPusher *pusher; /* who asked by way of a relay, or NULL */
	MiruConflict *conflict;
	const char *name;	/* "stored", "incoming" or "value" */
	Jsonb *chosen;		/* NULL: the field goes, or the record */
	const Jsonb *other; /* of the whole record: the other side, or NULL */
	MiruCollection collection;
	MiruTarget target;
} Resolution;

/* ----- what is chosen ----- */

static void
take_choice(Resolution *resolution, const char *choose, Jsonb *value)
{
	MiruConflict *conflict = resolution->conflict;

	if (value != NULL)
	{
		resolution->name = "value";
		resolution->chosen = value;
		if (conflict->field == NULL && !JB_ROOT_IS_OBJECT(value))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value of a whole record must be an object")));
		return;
	}
	resolution->name = choose;
	if (strcmp(choose, "stored") == 0)
	{
		resolution->chosen = conflict->stored.value;
		resolution->other = conflict->incoming.value;
	}
	else if (strcmp(choose, "incoming") == 0)
	{
		resolution->chosen = conflict->incoming.value;
		resolution->other = conflict->stored.value;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot choose \"%s\"", choose),
				 errhint("Choose \"stored\" or \"incoming\".")));
}

/* check_pushable: what a user decides is written where he may push. */
static void
check_pushable(const Resolution *resolution)
{
	const char *name = resolution->conflict->collection;

	if (!resolution->collection.pushable)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_NOT_PUSHABLE),
				 errmsg("collection \"%s\" is read-only", name)));
	if (resolution->target.rel->backfilling)
		miru_serving_check_served(name, resolution->feed);
}

/* find_target finds the record, to be written as whoever decides. */
static void
find_target(Resolution *resolution)
{
	MiruConflict *conflict = resolution->conflict;
	MiruTarget *target = &resolution->target;
	MiruCollection *collection = miru_collection_get(conflict->collection);

	target->rel = collection ? miru_relation_get(collection->relid) : NULL;
	if (target->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("collection \"%s\" does not exist",
						conflict->collection)));
	resolution->collection = *collection;
	if (resolution->pusher == NULL)
		resolution->collection.role = GetUserId();
	else
		check_pushable(resolution);
	target->collection = &resolution->collection;
	target->feed = resolution->feed;
	target->id = conflict->record;
	miru_key_parse(target->rel, target->feed, conflict->collection, target->id,
				   target->key);
}

/* ----- writing it ----- */

static MiruField *
writable_field(const MiruRelation *rel, const char *name)
{
	MiruField *field = miru_field_by_name(unconstify(MiruRelation *, rel),
										  name);

	return field != NULL && !field->is_key && !field->is_generated ? field
																   : NULL;
}

/*
 * writable returns the fields of an object that can be written.  One that was
 * given must have no others; one that was stored is as old as the conflict.
 */
static Jsonb *
writable(const Resolution *resolution, Jsonb *object, bool is_given)
{
	MiruRelation *rel = resolution->target.rel;
	List *names = NIL;
	ListCell *cell;

	if (rel->data_attnum != 0)
		return object;
	foreach(cell, miru_object_names(object))
	{
		if (writable_field(rel, strVal(lfirst(cell))) != NULL)
			names = lappend(names, lfirst(cell));
		else if (is_given)
			ereport(
				ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg(
					 "collection \"%s\" has no field \"%s\" that can be written",
					 resolution->conflict->collection, strVal(lfirst(cell)))));
	}
	return miru_object_pick(object, names);
}

/* with_fields returns a document with the chosen fields. */
static Jsonb *
with_fields(const Resolution *resolution, Jsonb *document)
{
	List *kept = NIL;
	ListCell *cell;

	foreach(cell, miru_object_names(document))
	{
		JsonbValue value;
		const char *name = strVal(lfirst(cell));

		/* A field that only the other side has, goes. */
		if (resolution->other == NULL ||
			!miru_object_get(resolution->other, name, &value) ||
			miru_object_get(resolution->chosen, name, &value))
			kept = lappend(kept, lfirst(cell));
	}
	return miru_object_overlay(miru_object_pick(document, kept),
							   resolution->chosen);
}

/* last_image returns what a deleted record had, as far as it is known. */
static Jsonb *
last_image(const Resolution *resolution)
{
	const MiruConflict *conflict = resolution->conflict;
	MiruTable table = miru_table_open("record", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruRecord *record = miru_record_find(&table, resolution->feed,
										  conflict->collection,
										  conflict->record, snapshot);
	Jsonb *image = NULL;

	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	if (record != NULL)
		image = miru_object_without_hidden(resolution->target.rel,
										   record->image);
	return image ? image : miru_object_pick(resolution->chosen, NIL);
}

static void
write_record(Resolution *resolution, bool has_row)
{
	MiruTarget *target = &resolution->target;
	bool is_document = target->rel->data_attnum != 0;
	Jsonb *object;

	if (resolution->chosen == NULL)
	{
		if (has_row)
			miru_target_delete(target);
		return;
	}
	object = writable(resolution, resolution->chosen,
					  resolution->name[0] == 'v');
	if (has_row)
	{
		if (is_document)
			object = with_fields(resolution, miru_target_read(target));
		else if (JB_ROOT_COUNT(object) == 0)
			return;
		miru_target_update(target, object);
		return;
	}
	object =
		miru_object_overlay(writable(resolution, last_image(resolution), false),
							object);
	if (!miru_target_insert(target, object))
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("record id \"%s\" of collection \"%s\" is taken",
						target->id, resolution->conflict->collection)));
}

/* field_name returns what the field is called now. */
static const char *
field_name(const Resolution *resolution)
{
	const MiruRelation *rel = resolution->target.rel;
	const char *key = resolution->conflict->field;

	if (rel->data_attnum != 0)
		return key;
	for (int i = 0; i < rel->field_count; i++)
	{
		if (strcmp(rel->fields[i].key, key) == 0)
			return rel->fields[i].name;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("field of conflict " INT64_FORMAT " is not there any more",
					resolution->conflict->id)));
}

static void
write_field(Resolution *resolution, bool has_row)
{
	MiruTarget *target = &resolution->target;
	const char *name = field_name(resolution);
	JsonbParseState *state;
	Jsonb *object;

	if (!has_row)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("record \"%s\" of collection \"%s\" is not there any more",
					target->id, resolution->conflict->collection)));
	miru_build_begin(&state);
	if (resolution->chosen != NULL)
	{
		miru_build_key(&state, name);
		pushJsonbValue(&state, WJB_VALUE,
					   miru_value_of_jsonb(resolution->chosen));
	}
	object = miru_build_end(&state);
	if (target->rel->data_attnum != 0)
	{
		Jsonb *document = miru_target_read(target);
		List *kept = list_delete(miru_object_names(document),
								 makeString(pstrdup(name)));

		object = miru_object_overlay(miru_object_pick(document, kept), object);
	}
	miru_target_update(target, object);
}

static void
write_choice(Resolution *resolution)
{
	bool has_row;

	find_target(resolution);
	has_row = miru_target_lock(&resolution->target);
	if (resolution->conflict->field != NULL)
		write_field(resolution, has_row);
	else
		write_record(resolution, has_row);
}

/* ----- SQL ----- */

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null",
						PG_ARGISNULL(0) ? "feed" : "conflict")));
	if (PG_ARGISNULL(2) == PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("one of \"choose\" and \"value\" must be given")));
}

/* lock_conflict makes this the only resolution of the conflict. */
static void
lock_conflict(const char *feed, int64 id)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) feed,
									  (int) strlen(feed), (uint64) id);

	LockDatabaseObject(miru_table_oid("conflict"), (Oid) hash, 0,
					   ExclusiveLock);
}

static void
check_open(const MiruConflict *conflict, const char *feed, int64 id)
{
	if (conflict == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("conflict " INT64_FORMAT
						" of feed \"%s\" does not exist",
						id, feed)));
	if (conflict->is_resolved)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("conflict " INT64_FORMAT
						" of feed \"%s\" is resolved already",
						id, feed)));
}

/* resolve decides the conflict of this id; SPI is connected. */
static void
resolve(Resolution *resolution, int64 id, const char *choose, Jsonb *value)
{
	MiruTable table;

	lock_conflict(resolution->feed, id);
	table = miru_table_open("conflict", true);
	if (id > 0)
		resolution->conflict = miru_conflict_read(&table, resolution->feed, id);
	check_open(resolution->conflict, resolution->feed, id);
	take_choice(resolution, choose, value);
	write_choice(resolution);
	miru_conflict_set_resolved(&table, resolution->conflict, resolution->name,
							   resolution->pusher ? resolution->pusher->user
												  : NULL);
	miru_table_close(&table);
	CommandCounterIncrement();
}

/* mirusync_resolve_0_2 is resolve(feed, conflict, choose, value). */
Datum
mirusync_resolve_0_2(PG_FUNCTION_ARGS)
{
	Resolution resolution = {0};

	PreventCommandIfReadOnly("mirusync.resolve()");
	check_arguments(fcinfo);
	resolution.feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	resolve(&resolution, PG_GETARG_INT64(1),
			PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
			PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3));
	SPI_finish();
	PG_RETURN_VOID();
}

/* ----- for a relay ----- */

/* begin_origin makes what is written now be on the user's behalf. */
static void
begin_origin(const MiruPusher *pusher)
{
	MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
	MiruOrigin *origin = palloc0(sizeof(MiruOrigin));

	/* Of no record: it brings no stamps. */
	origin->feed = origin->collection = origin->id = "";
	origin->user = pstrdup(pusher->user);
	origin->base = MIRU_BASE_UNKNOWN;
	origin->group = pusher->group;
	origin->after = -1;
	MemoryContextSwitchTo(saved);
	miru_origin_set(miru_origin_add(origin));
}

static int64
asked_conflict(const Jsonb *asked)
{
	JsonbValue value;
	int64 id = -1;

	if (miru_object_get(asked, "conflict", &value) && value.type == jbvNumeric)
	{
		char *text = DatumGetCString(
			DirectFunctionCall1(numeric_out,
								NumericGetDatum(value.val.numeric)));
		char *end;

		errno = 0;
		id = strtoi64(text, &end, 10);
		if (*end != '\0' || errno != 0)
			id = -1;
	}
	if (id < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"conflict\" must be the id of a conflict")));
	return id;
}

static char *
asked_choice(const Jsonb *asked, bool has_value)
{
	JsonbValue value;
	bool has_choice = miru_object_get(asked, "choose", &value);

	if (has_choice == has_value)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("one of \"choose\" and \"value\" must be given")));
	if (!has_choice)
		return NULL;
	if (value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"choose\" must be a string")));
	return pnstrdup(value.val.string.val, value.val.string.len);
}

Oid
miru_resolve_asked(const MiruPusher *pusher, Jsonb *message,
				   MiruResolved *resolved)
{
	Resolution resolution = {.feed = pusher->user, .pusher = pusher};
	JsonbValue value;
	Jsonb *asked = NULL;
	bool has_value;
	int64 id;

	if (miru_object_get(message, "resolve", &value))
		asked = JsonbValueToJsonb(&value);
	if (asked == NULL || !JB_ROOT_IS_OBJECT(asked))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"resolve\" is not an object")));
	id = asked_conflict(asked);
	has_value = miru_object_get(asked, "value", &value);
	begin_origin(pusher);
	resolve(&resolution, id, asked_choice(asked, has_value),
			has_value ? JsonbValueToJsonb(&value) : NULL);
	miru_origin_set(-1);
	resolved->collection = resolution.conflict->collection;
	resolved->id = resolution.conflict->record;
	return miru_target_role(&resolution.collection, resolution.target.rel);
}

char *
miru_resolve_answer(const char *feed, const MiruResolved *resolved)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruTable table = miru_table_open("record", false);
	MiruRecord *record = miru_record_find(&table, feed, resolved->collection,
										  resolved->id, snapshot);
	MiruFeedState state;

	miru_table_close(&table);
	miru_feed_read(feed, snapshot, &state);
	UnregisterSnapshot(snapshot);
	return psprintf("{\"epoch\":%d,\"seq\":" INT64_FORMAT "}",
					Max(state.epoch, 0), record ? record->seq : 0);
}
