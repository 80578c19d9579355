/*
 * push.c
 *     Takes what devices push: batches in, verdicts out.
 *
 * push() takes one batch in the native form.  push_many() takes a group of
 * messages of many users in either dialect, for the relay: one statement, one
 * commit, one flush for all of them.
 *
 * One message must not spoil another's.  Each is parsed and applied in a
 * subtransaction of its own; Postgres itself parses the JSON in there, so a
 * text that jsonb refuses fails alone.  If a batch of several changes fails it
 * is done again change by change, so that one failing change stops no other.
 * The deferrable constraints of a batch are deferred while it is applied and
 * made immediate at its end, inside the subtransaction: what a verdict says
 * must not be undone at commit.
 *
 * Errors that are nobody's fault (a lock not had in time, a deadlock, a full
 * disk) are never a verdict.  push_many reports "retry" for that message;
 * push, which has one caller, throws.
 *
 * Locks: first the devices of all numbered batches, then rows, and at the end
 * flush locks the feeds.  Messages are applied in the order of their users,
 * so that two groups with the same users meet in one order.
 *
 * search_path is the session's, on purpose: the application's triggers run
 * under it as for any other client.  No statement of ours depends on it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "apply.h"
#include "batch.h"
#include "capture.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "event.h"
#include "executor/spi.h"
#include "flush.h"
#include "funcapi.h"
#include "jsonb_build.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "verdict.h"

PG_FUNCTION_INFO_V1(mirusync_push);
PG_FUNCTION_INFO_V1(mirusync_push_many);

/* At most this many messages in a group: one subtransaction each, and beyond
 * 64 open ones every other reader of the database slows down. */
#define GROUP_MAX 60

/* One message being pushed. */
typedef struct Push
{
	MiruPusher	pusher;
	bool		is_event;
	const char *message;
	Jsonb	   *batch;			/* native, once parsed */
	int			order;			/* its place in the group */
	List	   *changes;		/* MiruChange */
	List	   *kept;			/* MiruVerdict of replayed changes */
	int64		lock_key;		/* of its device; native only */
	ErrorData  *error;			/* it failed as a whole */
} Push;

/* ----- subtransactions ----- */

typedef void (*Body) (void *arg);

/* is_verdict tells whether an error is the change's own fault. */
static bool
is_verdict(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return !(sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
			 category == MAKE_SQLSTATE('0', '8', '0', '0', '0') ||
			 category == MAKE_SQLSTATE('4', '0', '0', '0', '0') ||
			 category == MAKE_SQLSTATE('5', '3', '0', '0', '0') ||
			 category == MAKE_SQLSTATE('5', '7', '0', '0', '0') ||
			 category == MAKE_SQLSTATE('5', '8', '0', '0', '0') ||
			 category == MAKE_SQLSTATE('X', 'X', '0', '0', '0'));
}

/*
 * run_isolated runs "body" in a subtransaction and returns the error that
 * rolled it back, or NULL.  The only place where errors are caught.
 */
static ErrorData *
run_isolated(Body body, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	/* A cancel is meant for the statement, not for one change. */
	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return error;
}

/* set_constraints does SET CONSTRAINTS ALL. */
static void
set_constraints(bool deferred)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = deferred;
	AfterTriggerSetState(statement);
}

/* ----- changes ----- */

static void
reject_change(MiruChange *change, ErrorData *error)
{
	change->verdict = MIRU_REJECTED;
	change->sqlstate = error->sqlerrcode;
	change->reason = pstrdup(error->message);
	change->origin = -1;
	change->winner = NULL;
	change->seq = 0;
}

/* is_settled tells whether a change needs no applying: wrong, or a replay. */
static bool
is_settled(Push *push, MiruChange *change)
{
	ListCell   *cell;

	if (change->verdict == MIRU_REJECTED)
		return true;
	foreach(cell, push->kept)
	{
		if (((MiruVerdict *) lfirst(cell))->number == change->number)
			return true;
	}
	return false;
}

/* What to apply in one subtransaction. */
typedef struct Part
{
	Push	   *push;
	List	   *changes;
	bool		check;			/* check constraints at its end */
} Part;

static void
apply_part(void *arg)
{
	Part	   *part = arg;
	ListCell   *cell;

	if (part->check)
		set_constraints(true);
	foreach(cell, part->changes)
	{
		MiruChange *change = lfirst(cell);

		change->verdict = MIRU_APPLIED;
		miru_apply(&part->push->pusher, change);
	}
	if (part->check)
		set_constraints(false);
}

/* throw_unless_verdict passes an error on that is nobody's fault. */
static void
throw_unless_verdict(ErrorData *error)
{
	if (!is_verdict(error->sqlerrcode))
		ReThrowError(error);
}

/* apply_one applies one change alone and rejects it if that fails. */
static void
apply_one(Push *push, MiruChange *change, bool check)
{
	Part		part = {push, list_make1(change), check};
	ErrorData  *error = run_isolated(apply_part, &part);

	if (error == NULL)
		return;
	throw_unless_verdict(error);
	reject_change(change, error);
}

/* apply_singly: each change for itself, constraints checked at the end. */
static void
apply_singly(void *arg)
{
	Part	   *part = arg;
	ListCell   *cell;

	set_constraints(true);
	foreach(cell, part->changes)
		apply_one(part->push, lfirst(cell), false);
	set_constraints(false);
}

/*
 * apply_changes applies a batch: all at once, or if that fails change by
 * change, or if their constraints then fail together (a child before its
 * parent may be fine, but one of them is not) each with a check of its own.
 */
static void
apply_changes(Push *push, List *changes)
{
	Part		part = {push, changes, true};
	ErrorData  *error = run_isolated(apply_part, &part);
	ListCell   *cell;

	if (error == NULL)
		return;
	throw_unless_verdict(error);
	if (list_length(changes) == 1)
	{
		reject_change(linitial(changes), error);
		return;
	}
	error = run_isolated(apply_singly, &part);
	if (error == NULL)
		return;
	throw_unless_verdict(error);
	foreach(cell, changes)
		apply_one(push, lfirst(cell), true);
}

/* ----- the two dialects ----- */

/* apply_event: the message as a whole is applied or rejected. */
static void
apply_event(Push *push)
{
	Part		part = {push, NIL, true};

	push->changes = miru_event_parse(push->message);
	part.changes = push->changes;
	if (list_length(push->changes) > 1)
		push->pusher.group = push->order;
	apply_part(&part);
}

static bool
find_digested(Push *push, int64 digested)
{
	ListCell   *cell;
	bool		any = false;

	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);

		if (change->number > digested)
			continue;
		change->verdict = MIRU_REJECTED;
		change->sqlstate = ERRCODE_MIRU_ALREADY_DIGESTED;
		change->reason = psprintf("number " INT64_FORMAT " is among those whose verdicts the device has digested",
								  change->number);
		any = true;
	}
	return any;
}

/* apply_batch: each change has a verdict of its own. */
static void
apply_batch(Push *push)
{
	int64		digested;
	int64	   *numbers;
	int			count = 0;
	List	   *open = NIL;
	ListCell   *cell;

	if (push->batch == NULL)
		push->batch = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
														 CStringGetDatum(push->message)));
	push->changes = miru_batch_parse(push->batch, &digested);
	digested = miru_verdict_digest(push->pusher.user, push->pusher.device,
								   digested);
	numbers = palloc(Max(list_length(push->changes), 1) * sizeof(int64));
	foreach(cell, push->changes)
		numbers[count++] = ((MiruChange *) lfirst(cell))->number;
	push->kept = miru_verdict_find(push->pusher.user, push->pusher.device,
								   numbers, count);
	find_digested(push, digested);
	foreach(cell, push->changes)
	{
		if (!is_settled(push, lfirst(cell)))
			open = lappend(open, lfirst(cell));
	}
	if (open != NIL)
		apply_changes(push, open);
}

static void
apply_push(void *arg)
{
	Push	   *push = arg;

	if (push->is_event)
		apply_event(push);
	else
		apply_batch(push);
}

/* finish_batch keeps the new verdicts and returns all of them as JSON. */
static Jsonb *
finish_batch(Push *push)
{
	JsonbParseState *state;
	List	   *fresh = NIL;
	ListCell   *cell;

	miru_build_begin(&state);
	miru_build_key(&state, "verdicts");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);
		Jsonb	   *verdict = NULL;
		ListCell   *kept;

		foreach(kept, push->kept)
		{
			if (((MiruVerdict *) lfirst(kept))->number == change->number)
				verdict = miru_batch_replay(((MiruVerdict *) lfirst(kept))->verdict);
		}
		if (verdict == NULL)
		{
			MiruVerdict *new = palloc(sizeof(MiruVerdict));

			miru_apply_outcome(change);
			verdict = miru_batch_verdict(change);
			new->number = change->number;
			new->verdict = verdict;
			if (change->sqlstate != ERRCODE_MIRU_ALREADY_DIGESTED)
				fresh = lappend(fresh, new);
		}
		pushJsonbValue(&state, WJB_ELEM, miru_value_of_jsonb(verdict));
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	miru_verdict_keep(push->pusher.user, push->pusher.device, fresh);
	return miru_build_end(&state);
}

/* ----- push() ----- */

static void
check_name(const char *what, const char *name)
{
	if (name[0] == '\0' || strlen(name) > 255)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to 255 bytes", what)));
}

/* mirusync_push pushes one native batch of a user's device. */
Datum
mirusync_push(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Push		push = {0};
	Jsonb	   *verdicts;
	Jsonb	   *result;

	push.pusher.user = text_to_cstring(PG_GETARG_TEXT_PP(0));
	push.pusher.device = text_to_cstring(PG_GETARG_TEXT_PP(1));
	push.batch = PG_GETARG_JSONB_P(2);
	push.pusher.group = -1;
	check_name("user id", push.pusher.user);
	check_name("device id", push.pusher.device);

	SPI_connect();
	/* What this transaction did before by SQL is no push's doing. */
	miru_flush(false, true);
	miru_verdict_lock(miru_verdict_lock_key(push.pusher.user,
											push.pusher.device));
	apply_batch(&push);
	miru_flush(true, true);
	verdicts = finish_batch(&push);
	result = (Jsonb *) MemoryContextAlloc(context, VARSIZE(verdicts));
	memcpy(result, verdicts, VARSIZE(verdicts));
	SPI_finish();
	PG_RETURN_JSONB_P(result);
}

/* ----- push_many() ----- */

static char **
text_array(ArrayType *array, int *count)
{
	Datum	   *values;
	bool	   *nulls;
	char	  **texts;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, count);
	texts = palloc(Max(*count, 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
		texts[i] = nulls[i] ? NULL : TextDatumGetCString(values[i]);
	return texts;
}

static Push *
read_arguments(FunctionCallInfo fcinfo, int *count)
{
	char	  **columns[5];
	Push	   *pushes;

	*count = 0;
	for (int i = 0; i < 5; i++)
	{
		int			length;

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
	pushes = palloc0(Max(*count, 1) * sizeof(Push));
	for (int i = 0; i < *count; i++)
	{
		Push	   *push = &pushes[i];

		if (columns[0][i] == NULL || columns[3][i] == NULL ||
			columns[4][i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("user, dialect and message must not be null")));
		push->order = i;
		push->pusher.user = columns[0][i];
		push->pusher.session = columns[2][i];
		push->pusher.device = columns[1][i];
		/* A device without an id of its own is known by its session. */
		if (push->pusher.device == NULL || push->pusher.device[0] == '\0')
			push->pusher.device = push->pusher.session ?
				push->pusher.session : "unknown";
		push->pusher.group = -1;
		push->message = columns[4][i];
		push->is_event = strcmp(columns[3][i], "event") == 0;
		if (!push->is_event && strcmp(columns[3][i], "batch") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown dialect \"%s\"", columns[3][i])));
		check_name("user id", push->pusher.user);
		check_name("device id", push->pusher.device);
		if (!push->is_event)
			push->lock_key = miru_verdict_lock_key(push->pusher.user,
												   push->pusher.device);
	}
	return pushes;
}

static int
compare_lock_keys(const void *a, const void *b)
{
	int64		x = (*(Push *const *) a)->lock_key;
	int64		y = (*(Push *const *) b)->lock_key;

	return (x > y) - (x < y);
}

static int
compare_users(const void *a, const void *b)
{
	const Push *x = *(Push *const *) a;
	const Push *y = *(Push *const *) b;
	int			result = strcmp(x->pusher.user, y->pusher.user);

	return result ? result : x->order - y->order;
}

static void
apply_group(Push *pushes, int count)
{
	Push	  **order = palloc(Max(count, 1) * sizeof(Push *));

	for (int i = 0; i < count; i++)
		order[i] = &pushes[i];
	qsort(order, count, sizeof(Push *), compare_lock_keys);
	for (int i = 0; i < count; i++)
	{
		if (!order[i]->is_event)
			miru_verdict_lock(order[i]->lock_key);
	}
	qsort(order, count, sizeof(Push *), compare_users);
	for (int i = 0; i < count; i++)
		order[i]->error = run_isolated(apply_push, order[i]);
}

/* Columns of push_many's result. */
enum
{
	OUT_KIND, OUT_MESSAGE, OUT_STATUS, OUT_FEED, OUT_AFTER, OUT_SEQ,
	OUT_SESSION, OUT_CODE, OUT_BODY, OUT_COLUMNS
};

typedef struct Output
{
	ReturnSetInfo *info;
	Datum		values[OUT_COLUMNS];
	bool		nulls[OUT_COLUMNS];
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
output_row(Output *output)
{
	tuplestore_putvalues(output->info->setResult, output->info->setDesc,
						 output->values, output->nulls);
}

/*
 * summarize_event makes one verdict of an event's changes, and the events
 * that tell its device what stands instead of what it sent, one a line.
 */
static void
summarize_event(Push *push, Output *output)
{
	int64		promised = 0;
	int64		standing = 0;
	bool		any = false;
	StringInfoData winners;
	ListCell   *cell;

	initStringInfo(&winners);
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);
		char	   *winner = NULL;

		miru_apply_outcome(change);
		if (change->verdict == MIRU_STALE)
			standing = Max(standing, change->seq);
		else
		{
			any = true;
			promised = Max(promised, change->seq);
		}
		if (change->winner != NULL)
			winner = miru_event_render_winner(change->winner);
		if (winner != NULL)
			appendStringInfo(&winners, "%s%s", winners.len ? "\n" : "",
							 winner);
	}
	output_text(output, OUT_STATUS, !any ? "stale" :
				winners.len > 0 ? "merged" : "applied");
	output_number(output, OUT_SEQ, any ? Max(promised, standing) : standing);
	if (winners.len > 0)
		output_text(output, OUT_BODY, winners.data);
}

static void
output_verdict(Push *push, Output *output)
{
	output_clear(output);
	output_text(output, OUT_KIND, "verdict");
	output->nulls[OUT_MESSAGE] = false;
	output->values[OUT_MESSAGE] = Int32GetDatum(push->order + 1);
	output_text(output, OUT_FEED, push->pusher.user);
	if (push->error != NULL)
	{
		output_text(output, OUT_STATUS,
					is_verdict(push->error->sqlerrcode) ? "rejected" : "retry");
		output_text(output, OUT_CODE,
					unpack_sql_state(push->error->sqlerrcode));
		output_text(output, OUT_BODY, push->error->message);
	}
	else if (push->is_event)
		summarize_event(push, output);
	else
	{
		Jsonb	   *verdicts = finish_batch(push);

		output_text(output, OUT_STATUS, "applied");
		output_text(output, OUT_BODY, JsonbToCString(NULL, &verdicts->root,
													 VARSIZE(verdicts)));
	}
	output_row(output);
}

/* output_feed_events renders the deliveries of one feed. */
static void
output_feed_events(List *deliveries, Output *output)
{
	ListCell   *cell;

	foreach(cell, miru_event_render_live(deliveries))
	{
		MiruEvent  *event = lfirst(cell);

		output_clear(output);
		output_text(output, OUT_KIND, "event");
		output_text(output, OUT_FEED, event->feed);
		output_number(output, OUT_AFTER, event->after);
		output_number(output, OUT_SEQ, event->seq);
		output_text(output, OUT_SESSION, event->session);
		output_text(output, OUT_BODY, event->body);
		output_row(output);
	}
}

static int
compare_deliveries(const ListCell *a, const ListCell *b)
{
	const MiruDelivery *x = lfirst(a);
	const MiruDelivery *y = lfirst(b);
	int			result = strcmp(x->feed, y->feed);

	return result ? result : (x->seq > y->seq) - (x->seq < y->seq);
}

static void
output_events(List *deliveries, Output *output)
{
	List	   *of_feed = NIL;
	ListCell   *cell;

	list_sort(deliveries, compare_deliveries);
	foreach(cell, deliveries)
	{
		MiruDelivery *delivery = lfirst(cell);

		if (of_feed != NIL &&
			strcmp(((MiruDelivery *) llast(of_feed))->feed,
				   delivery->feed) != 0)
		{
			output_feed_events(of_feed, output);
			of_feed = NIL;
		}
		of_feed = lappend(of_feed, delivery);
	}
	if (of_feed != NIL)
		output_feed_events(of_feed, output);
}

/* mirusync_push_many pushes a group of messages in one transaction. */
Datum
mirusync_push_many(PG_FUNCTION_ARGS)
{
	Output		output;
	Push	   *pushes;
	List	   *deliveries;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	output.info = (ReturnSetInfo *) fcinfo->resultinfo;
	pushes = read_arguments(fcinfo, &count);

	SPI_connect();
	/* What this transaction did before by SQL is no push's doing. */
	miru_flush(false, true);
	apply_group(pushes, count);
	/* The relay rings after the commit. */
	deliveries = miru_flush(true, false);
	for (int i = 0; i < count; i++)
		output_verdict(&pushes[i], &output);
	output_events(deliveries, &output);
	SPI_finish();
	return (Datum) 0;
}
