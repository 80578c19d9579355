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

#include "common/hashfn.h"
#include "conflict.h"
#include "errors.h"
#include "executor/spi.h"
#include "feed.h"
#include "jsonb_build.h"
#include "mend.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "origin.h"
#include "record.h"
#include "registry.h"
#include "resolve.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mirusync_resolve_0_2);
PG_FUNCTION_INFO_V1(mirusync_restore_side_0_2);

/* One resolution while it goes on. */
typedef struct Resolution
{
	const char *feed;
	const MiruPusher *pusher; /* who asked by way of a relay, or NULL */
	MiruConflict *conflict;
	const char *name;	/* "stored", "incoming" or "value" */
	Jsonb *chosen;		/* NULL: the field goes, or the record */
	const Jsonb *other; /* of the whole record: the other side, or NULL */
	MiruMend mend;
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

/* ----- writing it ----- */

/* given_up returns the fields of a document that only the other side has. */
static List *
given_up(const Resolution *resolution)
{
	if (resolution->other == NULL)
		return NIL;
	return list_difference(miru_object_names(resolution->other),
						   miru_object_names(resolution->chosen));
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
		image = miru_object_without_hidden(resolution->mend.target.rel,
										   record->image);
	return image ? image : miru_object_pick(resolution->chosen, NIL);
}

static void
write_record(Resolution *resolution)
{
	MiruMend *mend = &resolution->mend;
	Jsonb *object;

	if (resolution->chosen == NULL)
	{
		if (mend->has_row)
			miru_target_delete(&mend->target);
		return;
	}
	object = miru_mend_writable(mend, resolution->chosen,
								resolution->name[0] == 'v');
	if (mend->has_row)
		miru_mend_update(mend, object, given_up(resolution));
	else
		miru_mend_insert(mend,
						 miru_object_overlay(miru_mend_writable(mend,
																last_image(
																	resolution),
																false),
											 object));
}

/* field_name returns what the field is called now. */
static const char *
field_name(const Resolution *resolution)
{
	const MiruRelation *rel = resolution->mend.target.rel;
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
write_field(Resolution *resolution)
{
	MiruMend *mend = &resolution->mend;
	const char *name = field_name(resolution);
	JsonbParseState *state;

	if (!mend->has_row)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("record \"%s\" of collection \"%s\" is not there any more",
					mend->target.id, resolution->conflict->collection)));
	miru_build_begin(&state);
	if (resolution->chosen != NULL)
	{
		miru_build_key(&state, name);
		pushJsonbValue(&state, WJB_VALUE,
					   miru_value_of_jsonb(resolution->chosen));
	}
	miru_mend_update(mend, miru_build_end(&state),
					 list_make1(makeString(pstrdup(name))));
}

static void
write_choice(Resolution *resolution)
{
	const MiruConflict *conflict = resolution->conflict;

	if (resolution->pusher == NULL)
		miru_mend_begin(&resolution->mend, resolution->feed,
						conflict->collection, conflict->record);
	else
		miru_mend_begin_pushed(&resolution->mend, resolution->feed,
							   conflict->collection, conflict->record);
	if (conflict->field != NULL)
		write_field(resolution);
	else
		write_record(resolution);
}

/* ----- SQL ----- */

static void
check_key(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null",
						PG_ARGISNULL(0) ? "feed" : "conflict")));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	check_key(fcinfo);
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

static MiruConflict *
read_conflict(MiruTable *table, const char *feed, int64 id)
{
	MiruConflict *conflict = id > 0 ? miru_conflict_read(table, feed, id)
									: NULL;

	if (conflict == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("conflict " INT64_FORMAT
						" of feed \"%s\" does not exist",
						id, feed)));
	return conflict;
}

static void
check_open(const MiruConflict *conflict, const char *feed)
{
	if (conflict->is_resolved)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("conflict " INT64_FORMAT
						" of feed \"%s\" is resolved already",
						conflict->id, feed),
				 conflict->is_erased
					 ? 0
					 : errhint("mirusync.restore() decides it again.")));
}

/* begin reads the conflict and makes this the only decision of it. */
static void
begin(Resolution *resolution, MiruTable *table, int64 id)
{
	lock_conflict(resolution->feed, id);
	*table = miru_table_open("conflict", true);
	resolution->conflict = read_conflict(table, resolution->feed, id);
}

static void
finish(Resolution *resolution, MiruTable *table)
{
	write_choice(resolution);
	miru_conflict_set_resolved(table, resolution->conflict, resolution->name,
							   resolution->pusher ? resolution->pusher->user
												  : NULL);
	miru_table_close(table);
	CommandCounterIncrement();
}

/* mirusync_resolve_0_2 is resolve(feed, conflict, choose, value). */
Datum
mirusync_resolve_0_2(PG_FUNCTION_ARGS)
{
	Resolution resolution = {0};
	MiruTable table;

	PreventCommandIfReadOnly("mirusync.resolve()");
	check_arguments(fcinfo);
	resolution.feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	begin(&resolution, &table, PG_GETARG_INT64(1));
	check_open(resolution.conflict, resolution.feed);
	take_choice(&resolution,
				PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
				PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3));
	finish(&resolution, &table);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * mirusync_restore_side_0_2 is restore(feed, conflict, side): resolve, where
 * somebody may have decided already.  Without a side the one that lost is meant.
 */
Datum
mirusync_restore_side_0_2(PG_FUNCTION_ARGS)
{
	Resolution resolution = {0};
	MiruTable table;
	const char *side;

	PreventCommandIfReadOnly("mirusync.restore()");
	check_key(fcinfo);
	resolution.feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	begin(&resolution, &table, PG_GETARG_INT64(1));
	if (resolution.conflict->is_erased)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("values of conflict " INT64_FORMAT
						" of feed \"%s\" were erased",
						resolution.conflict->id, resolution.feed)));
	if (!PG_ARGISNULL(2))
		side = text_to_cstring(PG_GETARG_TEXT_PP(2));
	else
		side = resolution.conflict->outcome == MIRU_INCOMING_STANDS
			? "stored"
			: "incoming";
	take_choice(&resolution, side, NULL);
	finish(&resolution, &table);
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
	MiruTable table;
	JsonbValue value;
	Jsonb *asked = NULL;
	bool has_value;
	int64 id;
	char *choice;

	if (miru_object_get(message, "resolve", &value))
		asked = JsonbValueToJsonb(&value);
	if (asked == NULL || !JB_ROOT_IS_OBJECT(asked))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("\"resolve\" is not an object")));
	id = asked_conflict(asked);
	has_value = miru_object_get(asked, "value", &value);
	choice = asked_choice(asked, has_value);
	begin_origin(pusher);
	begin(&resolution, &table, id);
	check_open(resolution.conflict, resolution.feed);
	take_choice(&resolution, choice,
				has_value ? JsonbValueToJsonb(&value) : NULL);
	finish(&resolution, &table);
	miru_origin_set(-1);
	resolved->collection = resolution.conflict->collection;
	resolved->id = resolution.conflict->record;
	return miru_target_role(&resolution.mend.collection,
							resolution.mend.target.rel);
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
