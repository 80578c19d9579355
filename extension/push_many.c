/*
 * push_many.c
 *     A group of messages of many users, for the relay: one statement, one
 *     commit, one flush.
 *
 * Each message is a subtransaction of its own, so one that fails spoils no
 * other.  The result has a verdict for each, and what is to be delivered to
 * the feeds' other sessions, so that the relay needs no read for it.
 *
 * Locks: first the devices of all numbered batches, then rows, message by
 * message in the order of their users, so that two groups with the same users
 * meet in one order; at the end flush locks the feeds.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "capture.h"
#include "catalog/pg_type.h"
#include "conflict.h"
#include "convert.h"
#include "cursor.h"
#include "dialects.h"
#include "epoch.h"
#include "event.h"
#include "executor/spi.h"
#include "feed.h"
#include "flush.h"
#include "funcapi.h"
#include "isolate.h"
#include "lib/stringinfo.h"
#include "push.h"
#include "registry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "verdict.h"

PG_FUNCTION_INFO_V1(mirusync_push_many_0_2);

/* At most this many messages in a group: one subtransaction each, and beyond
 * 64 open ones every other reader of the database slows down. */
#define GROUP_MAX 60

/* One message of the group. */
typedef struct Member
{
	MiruPush push;
	int64 lock_key; /* of a batch's device */
} Member;

static char **
text_array(ArrayType *array, int *count)
{
	Datum *values;
	bool *nulls;
	char **texts;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  count);
	texts = palloc(Max(*count, 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
		texts[i] = nulls[i] ? NULL : TextDatumGetCString(values[i]);
	return texts;
}

/* Arguments, each an array with an element a message. */
enum
{
	IN_USERS,
	IN_DEVICES,
	IN_SESSIONS,
	IN_DIALECTS,
	IN_MESSAGES,
	ARGUMENTS
};

static void
set_member(Member *member, int place, char **texts)
{
	MiruPush *push = &member->push;

	if (texts[IN_USERS] == NULL || texts[IN_DIALECTS] == NULL ||
		texts[IN_MESSAGES] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("user, dialect and message must not be null")));
	push->pusher.place = place;
	push->pusher.group = -1;
	push->pusher.user = texts[IN_USERS];
	push->pusher.session = texts[IN_SESSIONS];
	push->pusher.device = texts[IN_DEVICES];
	/* A device without an id of its own is known by its session. */
	if (push->pusher.device == NULL || push->pusher.device[0] == '\0')
		push->pusher.device = push->pusher.session ? push->pusher.session
												   : "unknown";
	miru_push_check_name("user id", push->pusher.user);
	miru_push_check_name("device id", push->pusher.device);

	push->message = texts[IN_MESSAGES];
	push->is_event = strcmp(texts[IN_DIALECTS], "event") == 0;
	push->is_native = strcmp(texts[IN_DIALECTS], "native") == 0;
	if (!push->is_event && !push->is_native &&
		strcmp(texts[IN_DIALECTS], "batch") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown dialect \"%s\"", texts[IN_DIALECTS])));
	if (!push->is_event)
		member->lock_key = miru_verdict_lock_key(push->pusher.user,
												 push->pusher.device);
}

static Member *
read_arguments(FunctionCallInfo fcinfo, int *count)
{
	char **columns[ARGUMENTS];
	Member *members;

	*count = 0;
	for (int i = 0; i < ARGUMENTS; i++)
	{
		int length;

		columns[i] = text_array(PG_GETARG_ARRAYTYPE_P(i), &length);
		if (i > 0 && length != *count)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("arrays of messages differ in length")));
		*count = length;
	}
	if (*count > GROUP_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("more than %d messages in a group", GROUP_MAX)));
	members = palloc0(Max(*count, 1) * sizeof(Member));
	for (int i = 0; i < *count; i++)
	{
		char *texts[ARGUMENTS];

		for (int j = 0; j < ARGUMENTS; j++)
			texts[j] = columns[j][i];
		set_member(&members[i], i, texts);
	}
	return members;
}

static int
compare_lock_keys(const void *a, const void *b)
{
	int64 x = (*(Member *const *) a)->lock_key;
	int64 y = (*(Member *const *) b)->lock_key;

	return (x > y) - (x < y);
}

static int
compare_users(const void *a, const void *b)
{
	const Member *x = *(Member *const *) a;
	const Member *y = *(Member *const *) b;
	int result = strcmp(x->push.pusher.user, y->push.pusher.user);

	return result ? result : x->push.pusher.place - y->push.pusher.place;
}

static bool
is_same_session(const MiruPusher *a, const MiruPusher *b)
{
	return strcmp(a->user, b->user) == 0 && strcmp(a->device, b->device) == 0 &&
		strcmp(a->session ? a->session : "", b->session ? b->session : "") == 0;
}

/*
 * is_rival tells whether two batches of one device come from two sessions, a
 * page and its service worker.  They may well be the same batch, and the
 * verdicts of the first are kept only at the end of the group.
 */
static bool
is_rival(const MiruPush *a, const MiruPush *b)
{
	return !a->is_event && !b->is_event &&
		strcmp(a->pusher.device, b->pusher.device) == 0 &&
		!is_same_session(&a->pusher, &b->pusher);
}

static ErrorData *
rival_error(void)
{
	ErrorData *error = palloc0(sizeof(ErrorData));

	error->sqlerrcode = ERRCODE_T_R_SERIALIZATION_FAILURE;
	error->message = pstrdup("another session of the device is pushing");
	return error;
}

/*
 * find_blocker returns why a message is not to be applied now, NULL if it is:
 * an earlier message of the same session is to be tried again, and a session's
 * messages keep their order; or another session of its device is in the group.
 */
static ErrorData *
find_blocker(Member **order, int place)
{
	const MiruPush *push = &order[place]->push;

	for (int i = place - 1; i >= 0; i--)
	{
		const MiruPush *earlier = &order[i]->push;

		if (strcmp(earlier->pusher.user, push->pusher.user) != 0)
			break;
		if (is_rival(earlier, push))
			return rival_error();
		if (earlier->error != NULL &&
			miru_is_transient(earlier->error->sqlerrcode) &&
			is_same_session(&earlier->pusher, &push->pusher))
			return earlier->error;
	}
	return NULL;
}

/*
 * taken_by_session returns the highest number in the session's earlier batches
 * of the group.  A session may send a batch twice without waiting, and would
 * find no verdict of the first.
 */
static int64
taken_by_session(Member **order, int place)
{
	const MiruPusher *pusher = &order[place]->push.pusher;
	int64 taken = 0;

	for (int i = place - 1; i >= 0; i--)
	{
		const MiruPush *earlier = &order[i]->push;
		ListCell *cell;

		if (strcmp(earlier->pusher.user, pusher->user) != 0)
			break;
		if (earlier->is_event || !is_same_session(&earlier->pusher, pusher))
			continue;
		foreach(cell, earlier->changes)
			taken = Max(taken, ((MiruChange *) lfirst(cell))->number);
	}
	return taken;
}

/* lock_devices locks the devices of numbered batches. */
static void
lock_devices(Member **order, int count)
{
	qsort(order, count, sizeof(Member *), compare_lock_keys);
	for (int i = 0; i < count; i++)
	{
		if (!order[i]->push.is_event)
			miru_verdict_lock(order[i]->lock_key);
	}
}

static void
apply_group(Member *members, int count)
{
	Member **order = palloc(Max(count, 1) * sizeof(Member *));

	for (int i = 0; i < count; i++)
		order[i] = &members[i];
	lock_devices(order, count);
	qsort(order, count, sizeof(Member *), compare_users);
	for (int i = 0; i < count; i++)
	{
		MiruPush *push = &order[i]->push;

		push->error = find_blocker(order, i);
		push->taken = taken_by_session(order, i);
		if (push->error == NULL)
			miru_push_apply(push);
	}
}

/* Columns of push_many's result. */
enum
{
	OUT_KIND,
	OUT_MESSAGE,
	OUT_STATUS,
	OUT_FEED,
	OUT_AFTER,
	OUT_SEQ,
	OUT_SESSION,
	OUT_CODE,
	OUT_BODY,
	OUT_NATIVE,
	OUT_VERDICTS,
	OUT_COLUMNS
};

typedef struct Output
{
	ReturnSetInfo *info;
	MiruDialects wanted; /* what to deliver in */
	Datum values[OUT_COLUMNS];
	bool nulls[OUT_COLUMNS];
	MemoryContext context; /* reset after each message, and each feed */
} Output;

static void
output_clear(Output *output)
{
	memset(output->nulls, true, sizeof(output->nulls));
}

static void
output_text(Output *output, int column, const char *text)
{
	output->nulls[column] = text == NULL;
	if (text != NULL)
		output->values[column] = CStringGetTextDatum(text);
}

static void
output_number(Output *output, int column, int64 number)
{
	output->nulls[column] = false;
	output->values[column] = Int64GetDatum(number);
}

static void
output_counts(Output *output, const int32 *counts)
{
	Datum values[MIRU_REJECTED + 1];

	for (int i = 0; i < lengthof(values); i++)
		values[i] = Int32GetDatum(counts[i]);
	output->nulls[OUT_VERDICTS] = false;
	output->values[OUT_VERDICTS] = PointerGetDatum(
		construct_array(values, lengthof(values), INT4OID, sizeof(int32), true,
						TYPALIGN_INT));
}

static void
output_row(Output *output)
{
	tuplestore_putvalues(output->info->setResult, output->info->setDesc,
						 output->values, output->nulls);
}

/*
 * epoch_of returns the epoch that the feed of an event is in: flush has just
 * said it, unless the event changed nothing.
 */
static int32
epoch_of(const MiruPush *push)
{
	MiruFeedState state;
	Snapshot snapshot;
	ListCell *cell;

	foreach(cell, push->changes)
	{
		const MiruChange *change = lfirst(cell);
		const MiruDelivery *delivery = NULL;

		if (change->origin >= 0)
			delivery = miru_origin_get(change->origin)->delivery;
		if (delivery != NULL)
			return delivery->epoch;
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	miru_feed_read(push->pusher.user, snapshot, &state);
	UnregisterSnapshot(snapshot);
	return Max(state.epoch, 0);
}

/*
 * summarize_event makes one verdict of an event's changes, and the events
 * that tell its device what stands instead of what it sent, one a line.
 */
static void
summarize_event(MiruPush *push, Output *output)
{
	int64 promised = 0;
	int64 standing = 0;
	int32 epoch = epoch_of(push);
	bool any = false;
	StringInfoData winners;
	ListCell *cell;

	initStringInfo(&winners);
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);
		char *winner = NULL;

		miru_apply_outcome(change);
		miru_conflict_store(&push->pusher, change);
		if (change->verdict == MIRU_STALE)
			standing = Max(standing, change->seq);
		else
		{
			any = true;
			promised = Max(promised, change->seq);
		}
		if (change->winner != NULL)
		{
			change->winner->epoch = epoch;
			winner = miru_event_render_winner(change->winner);
		}
		if (winner != NULL)
			appendStringInfo(&winners, "%s%s", winners.len ? "\n" : "", winner);
	}
	output_text(output, OUT_STATUS,
				!any				  ? "stale"
					: winners.len > 0 ? "merged"
									  : "applied");
	/* Where nothing has a number there is none to promise. */
	if (any)
		standing = Max(promised, standing);
	output_number(output, OUT_SEQ,
				  standing == 0 ? 0 : miru_cursor_pack(epoch, standing));
	if (winners.len > 0)
		output_text(output, OUT_BODY, winners.data);
}

static void
output_error(const ErrorData *error, Output *output)
{
	output_text(output, OUT_STATUS,
				miru_is_transient(error->sqlerrcode) ? "retry" : "rejected");
	output_text(output, OUT_CODE, unpack_sql_state(error->sqlerrcode));
	output_text(output, OUT_BODY, error->message);
}

/* greeting_of says where the user's feed stands. */
static char *
greeting_of(const MiruPush *push)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	char *greeting = miru_native_render_greeting(push->pusher.user,
												 push->digested, snapshot);

	UnregisterSnapshot(snapshot);
	return greeting;
}

/* answer_to returns what a batch or a native message is answered with. */
static char *
answer_to(MiruPush *push)
{
	Jsonb *verdicts;

	if (push->is_native && push->kind == MIRU_NATIVE_RESOLVE)
		return miru_resolve_answer(push->pusher.user, &push->resolved);
	if (push->is_native && push->kind != MIRU_NATIVE_PUSH)
		return greeting_of(push);
	verdicts = miru_push_finish_batch(push);
	if (push->is_native)
		return miru_native_render_verdicts(push->batch, push->pusher.user,
										   epoch_of(push), verdicts);
	return JsonbToCString(NULL, &verdicts->root, VARSIZE(verdicts));
}

static void
output_verdict(MiruPush *push, Output *output)
{
	MemoryContext caller = MemoryContextSwitchTo(output->context);

	output_clear(output);
	output_text(output, OUT_KIND, "verdict");
	output->nulls[OUT_MESSAGE] = false;
	output->values[OUT_MESSAGE] = Int32GetDatum(push->pusher.place + 1);
	output_text(output, OUT_FEED, push->pusher.user);
	if (push->error != NULL)
		output_error(push->error, output);
	else if (push->is_event)
		summarize_event(push, output);
	else
	{
		output_text(output, OUT_STATUS, "applied");
		output_text(output, OUT_BODY, answer_to(push));
		output_counts(output, push->verdicts);
	}
	output_row(output);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(output->context);
}

/* output_feed_events renders the deliveries of one feed. */
static void
output_feed_events(List *deliveries, Output *output)
{
	const MiruDelivery *last = llast(deliveries);
	MemoryContext caller = MemoryContextSwitchTo(output->context);
	ListCell *cell;

	foreach(cell,
			miru_dialects_render_live(output->wanted, deliveries, last->seq,
									  true))
	{
		const MiruRendered *rendered = lfirst(cell);

		output_clear(output);
		output_text(output, OUT_KIND, "event");
		output_text(output, OUT_FEED, last->feed);
		output_number(output, OUT_AFTER, rendered->after);
		output_number(output, OUT_SEQ, rendered->seq);
		output_text(output, OUT_SESSION, rendered->session);
		output_text(output, OUT_BODY, rendered->event);
		output_text(output, OUT_NATIVE, rendered->native);
		output_row(output);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(output->context);
}

static int
compare_deliveries(const ListCell *a, const ListCell *b)
{
	const MiruDelivery *x = lfirst(a);
	const MiruDelivery *y = lfirst(b);
	int result = strcmp(x->feed, y->feed);

	return result ? result : (x->seq > y->seq) - (x->seq < y->seq);
}

static void
output_events(List *deliveries, Output *output)
{
	List *of_feed = NIL;
	ListCell *cell;

	list_sort(deliveries, compare_deliveries);
	foreach(cell, deliveries)
	{
		MiruDelivery *delivery = lfirst(cell);

		if (of_feed != NIL &&
			strcmp(((MiruDelivery *) llast(of_feed))->feed, delivery->feed) !=
				0)
		{
			output_feed_events(of_feed, output);
			of_feed = NIL;
		}
		of_feed = lappend(of_feed, delivery);
	}
	if (of_feed != NIL)
		output_feed_events(of_feed, output);
}

/* mirusync_push_many_0_2 pushes a group of messages in one transaction. */
Datum
mirusync_push_many_0_2(PG_FUNCTION_ARGS)
{
	Output output;
	Member *members;
	List *deliveries;
	int count;
	int settings;

	/* Version 0.1.0 passes fewer arguments. */
	miru_extension_check();
	InitMaterializedSRF(fcinfo, 0);
	output.info = (ReturnSetInfo *) fcinfo->resultinfo;
	output.wanted = miru_dialects_read(PG_GETARG_ARRAYTYPE_P(ARGUMENTS));
	members = read_arguments(fcinfo, &count);

	SPI_connect();
	output.context = AllocSetContextCreate(CurrentMemoryContext,
										   "mirusync output",
										   ALLOCSET_DEFAULT_SIZES);
	settings = miru_push_begin();
	apply_group(members, count);
	/* The relay rings after the commit. */
	deliveries = miru_flush(true, false);
	for (int i = 0; i < count; i++)
		output_verdict(&members[i].push, &output);
	output_events(deliveries, &output);
	MemoryContextDelete(output.context);
	miru_settings_restore(settings);
	SPI_finish();
	return (Datum) 0;
}
