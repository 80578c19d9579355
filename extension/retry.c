/*
 * retry.c
 *     What an administrator does with rejected changes: retry() and discard().
 *
 * Owns no table.
 *
 * Both take one change out of what waits, and then go through what waits behind
 * it, in order: of a numbered change, later ones of its device; of an event
 * nothing (waiting.c).  A retried change is applied like a push of that
 * user's device, by the rule of its collection, with the clock and base that
 * it had; so it becomes an ordinary change with a number.  Only the session is
 * nobody's: the device that sent it was told that it was rejected, and is to
 * hear of it like every other.
 *
 * Where one fails again, it stays with its new reason, and so does what waits
 * behind it.  What came before it in the same call is done.  Errors that are
 * nobody's fault are thrown, and nothing is done.
 *
 * Locks: for a numbered change the device, as a batch of it would; then rows of
 * the inbox, of the application, and at the end flush locks the feed.  An event
 * that is sent again while it is retried asks for its rows of the inbox after
 * it has locked some of the application's, so the two may deadlock, if its
 * group has another message to the same record.  That is nobody's fault.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "batch.h"
#include "conflict.h"
#include "convert.h"
#include "errors.h"
#include "event_map.h"
#include "flush.h"
#include "funcapi.h"
#include "isolate.h"
#include "miscadmin.h"
#include "push.h"
#include "refusal.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "verdict.h"

PG_FUNCTION_INFO_V1(mirusync_retry_0_2);
PG_FUNCTION_INFO_V1(mirusync_discard_0_2);

/* What has become of changes that came together. */
typedef enum State
{
	WAITING,
	APPLIED,
	FAILED,
	DISCARDED
} State;

/* Changes that came together, and are tried together. */
typedef struct Unit
{
	List *refusals; /* of MiruRefusal, in order */
	MiruPush push;
	State state;
} Unit;

/* A call of retry() or discard(). */
typedef struct Call
{
	char *feed;
	int64 number; /* the change that it is about */
	List *units;  /* with all that may wait behind it, in order */
	Unit *unit;	  /* the one with that change */
} Call;

/* ----- what waits ----- */

static MiruRefusal *
refusal_of(const Unit *unit, int64 number)
{
	ListCell *cell;

	foreach(cell, unit->refusals)
	{
		if (((MiruRefusal *) lfirst(cell))->number == number)
			return lfirst(cell);
	}
	return NULL;
}

static void
add(Call *call, MiruRefusal *refusal)
{
	Unit *unit = call->units == NIL ? NULL : llast(call->units);

	if (unit == NULL ||
		((MiruRefusal *) linitial(unit->refusals))->part_of != refusal->part_of)
	{
		unit = palloc0(sizeof(Unit));
		unit->push.pusher.user = refusal->user;
		unit->push.pusher.device = refusal->device;
		unit->push.pusher.place = list_length(call->units);
		call->units = lappend(call->units, unit);
	}
	unit->refusals = lappend(unit->refusals, refusal);
	unit->push.changes = lappend(unit->push.changes, refusal->change);
	unit->push.pusher.group = list_length(unit->refusals) > 1
		? unit->push.pusher.place
		: -1;
	if (refusal->number == call->number)
		call->unit = unit;
}

/* find finds and locks the change that a call is about. */
static void
find(Call *call)
{
	char *device = miru_refusal_device(call->feed, call->number);
	List *refusals;
	ListCell *cell;

	if (device != NULL)
	{
		miru_verdict_lock(miru_verdict_lock_key(call->feed, device));
		refusals = miru_refusal_read(call->feed, device);
	}
	else
		refusals = miru_refusal_read_event(call->feed, call->number);
	foreach(cell, refusals)
		add(call, lfirst(cell));
	if (call->unit == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("feed \"%s\" has no rejected change " INT64_FORMAT,
					call->feed, call->number),
			 errhint(
				 "It may have been retried or discarded. See mirusync.rejected.")));
}

/* share_record compares two numbered changes: an event is alone in a call. */
static bool
share_record(const Unit *a, const Unit *b)
{
	const MiruChange *x = linitial(a->push.changes);
	const MiruChange *y = linitial(b->push.changes);

	return strcmp(x->collection, y->collection) == 0 &&
		strcmp(x->id, y->id) == 0;
}

/* blocker_of returns an earlier unit that a unit waits behind, NULL: none. */
static Unit *
blocker_of(const Call *call, const Unit *unit)
{
	ListCell *cell;

	foreach(cell, call->units)
	{
		Unit *earlier = lfirst(cell);

		if (earlier == unit)
			break;
		if ((earlier->state == WAITING || earlier->state == FAILED) &&
			share_record(earlier, unit))
			return earlier;
	}
	return NULL;
}

/* was_behind tells whether a unit waited behind one that is out of the way. */
static bool
was_behind(const Call *call, const Unit *unit)
{
	ListCell *cell;

	foreach(cell, call->units)
	{
		Unit *earlier = lfirst(cell);

		if (earlier == unit)
			break;
		if ((earlier->state == APPLIED || earlier->state == DISCARDED) &&
			share_record(earlier, unit))
			return true;
	}
	return false;
}

/* ----- trying ----- */

static void
try_unit(Unit *unit)
{
	ErrorData *error = miru_push_apply_together(&unit->push,
												unit->push.changes);
	ListCell *cell;

	unit->state = error == NULL ? APPLIED : FAILED;
	if (error == NULL)
		return;
	if (miru_is_transient(error->sqlerrcode))
		ReThrowError(error);
	foreach(cell, unit->push.changes)
	{
		MiruChange *change = lfirst(cell);

		change->verdict = MIRU_REJECTED;
		change->sqlstate = error->sqlerrcode;
		change->reason = error->message;
		change->detail = error->detail;
	}
}

/* follow deals with what waits behind the unit of the call. */
static void
follow(Call *call, bool discard)
{
	ListCell *cell;

	foreach(cell, call->units)
	{
		Unit *unit = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (unit->state != WAITING || !was_behind(call, unit))
			continue;
		if (discard)
			unit->state = DISCARDED;
		else if (blocker_of(call, unit) == NULL)
			try_unit(unit);
	}
}

/* ----- what became of it ----- */

static void
store(const Call *call, const Unit *unit)
{
	ListCell *cell;

	foreach(cell, unit->refusals)
	{
		MiruRefusal *refusal = lfirst(cell);

		if (unit->state == FAILED)
			miru_refusal_failed(call->feed, refusal->number, refusal->change);
		else
			miru_refusal_delete(call->feed, refusal->number);
	}
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

static void
output(ReturnSetInfo *info, const Unit *unit, const MiruRefusal *refusal)
{
	MiruChange *change = refusal->change;
	Datum values[5] = {0};
	bool nulls[5] = {false};

	if (unit->state == APPLIED)
	{
		miru_apply_outcome(change);
		miru_conflict_store(&unit->push.pusher, change);
	}
	values[0] = Int64GetDatum(refusal->number);
	set_text(values, nulls, 1,
			 unit->state == DISCARDED ? "discarded"
									  : miru_verdict_name(change->verdict));
	values[2] = Int64GetDatum(change->seq);
	nulls[2] = unit->state != APPLIED || change->seq == 0;
	set_text(values, nulls, 3,
			 unit->state == FAILED ? unpack_sql_state(change->sqlstate) : NULL);
	set_text(values, nulls, 4, unit->state == FAILED ? change->reason : NULL);
	tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
}

/* finish numbers what was applied, and tells what became of each. */
static void
finish(Call *call, ReturnSetInfo *info)
{
	ListCell *cell;
	ListCell *of_unit;

	foreach(cell, call->units)
	{
		if (((Unit *) lfirst(cell))->state != WAITING)
			store(call, lfirst(cell));
	}
	miru_flush(true, true);
	foreach(cell, call->units)
	{
		Unit *unit = lfirst(cell);

		if (unit->state == WAITING)
			continue;
		foreach(of_unit, unit->refusals)
			output(info, unit, lfirst(of_unit));
	}
}

/* ----- the functions ----- */

static void
read_arguments(FunctionCallInfo fcinfo, Call *call)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("feed and rejected must not be null")));
	call->feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	call->number = PG_GETARG_INT64(1);
}

/* edit puts other fields into the change that the call is about. */
static void
edit(Call *call, Jsonb *edited)
{
	MiruChange *change = refusal_of(call->unit, call->number)->change;

	if (!JB_ROOT_IS_OBJECT(edited))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("edited must be a JSON object")));
	if (change->kind == MIRU_DELETE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rejected change " INT64_FORMAT
						" is a delete, which has no fields to edit",
						call->number)));
	change->object = edited;
	change->add = NULL;
}

/* check_event has the application check an object that an event carries. */
static void
check_event(Call *call)
{
	MiruChange *change = refusal_of(call->unit, call->number)->change;
	const MiruEventCollection *collection;

	if (change->type == NULL)
		return;
	collection = miru_event_map_collection(miru_event_map(),
										   change->collection);
	if (collection == NULL)
		return;
	change->object = miru_event_normalise(collection, change->object);
	if (change->object == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_OBJECT),
				 errmsg("object of collection \"%s\" is not valid",
						change->collection)));
}

/*
 * mirusync_retry_0_2 applies a rejected change and what waits behind it:
 * retry(feed, rejected, edited).
 */
Datum
mirusync_retry_0_2(PG_FUNCTION_ARGS)
{
	Call call = {0};
	Unit *blocker;
	int settings;

	read_arguments(fcinfo, &call);
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	settings = miru_push_begin();
	find(&call);
	blocker = blocker_of(&call, call.unit);
	if (blocker != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rejected change " INT64_FORMAT
						" waits behind " INT64_FORMAT,
						call.number,
						((MiruRefusal *) linitial(blocker->refusals))->number),
				 errhint("Retry or discard that one first.")));
	if (!PG_ARGISNULL(2))
	{
		edit(&call, PG_GETARG_JSONB_P(2));
		check_event(&call);
	}
	try_unit(call.unit);
	follow(&call, false);
	finish(&call, (ReturnSetInfo *) fcinfo->resultinfo);
	miru_settings_restore(settings);
	SPI_finish();
	return (Datum) 0;
}

/*
 * mirusync_discard_0_2 throws a rejected change away and applies what waited
 * behind it, or throws that away too: discard(feed, rejected, following).
 */
Datum
mirusync_discard_0_2(PG_FUNCTION_ARGS)
{
	Call call = {0};
	int settings;

	read_arguments(fcinfo, &call);
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("following must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	settings = miru_push_begin();
	find(&call);
	call.unit->state = DISCARDED;
	follow(&call, PG_GETARG_BOOL(2));
	finish(&call, (ReturnSetInfo *) fcinfo->resultinfo);
	miru_settings_restore(settings);
	SPI_finish();
	return (Datum) 0;
}
