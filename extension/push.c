/*
 * push.c
 *     One message that a device pushes: changes in, verdicts out.
 *
 * One message must not spoil another's.  Each is parsed and applied in a
 * subtransaction of its own; Postgres itself parses the JSON in there, so a
 * text that jsonb refuses fails alone.  If a batch of several changes fails it
 * is done again change by change, so that one failing change stops no other.
 * The deferrable constraints of a batch are deferred while it is applied and
 * made immediate at its end, inside the subtransaction: what a verdict says
 * must not be undone at commit.  They stay immediate for what the caller of
 * push() does afterwards in the same transaction.
 *
 * Errors that are nobody's fault (a lock not had in time, a deadlock, a full
 * disk) are never a verdict.  push_many reports "retry" for that message;
 * push, which has one caller, throws.
 *
 * Locks: first the device of a numbered batch, then rows, and at the end
 * flush locks the feeds.
 *
 * What is rejected waits in the inbox, and with a numbered change later ones of
 * the device to that record (waiting.c).
 *
 * search_path is that of mirusync.push_search_path: the application's triggers
 * run under it, and the caller must not choose which names they find, since
 * they run as somebody else.  No statement of ours depends on it.  Whatever
 * those triggers set is put back at the end (acting.c has the rest).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "acting.h"
#include "batch.h"
#include "commands/trigger.h"
#include "conflict.h"
#include "convert.h"
#include "epoch.h"
#include "errors.h"
#include "event.h"
#include "executor/spi.h"
#include "feed.h"
#include "flush.h"
#include "guc.h"
#include "isolate.h"
#include "jsonb_build.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "object.h"
#include "push.h"
#include "target.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "verdict.h"
#include "waiting.h"

PG_FUNCTION_INFO_V1(mirusync_push_0_2);

/* How often changes that failed alone are tried again after the others. */
#define RETRY_PASSES 3

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
reject_change(MiruPush *push, MiruChange *change, ErrorData *error)
{
	push->any_rejected = true;
	change->verdict = MIRU_REJECTED;
	change->sqlstate = error->sqlerrcode;
	change->reason = pstrdup(error->message);
	change->detail = error->detail ? pstrdup(error->detail) : NULL;
	change->origin = -1;
	change->winner = NULL;
	change->conflicts = NIL;
	change->seq = 0;
}

/* is_settled tells whether a change needs no applying: wrong, or a replay. */
static bool
is_settled(MiruPush *push, MiruChange *change)
{
	ListCell *cell;

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
	MiruPush *push;
	List *changes;
	bool check;			 /* check constraints at its end */
	MiruChange *current; /* being applied; NULL: constraints of all */
} Part;

/* role_of returns the role that a change is applied as, if there is one. */
static Oid
role_of(const MiruChange *change)
{
	MiruCollection *collection = NULL;
	MiruRelation *rel = NULL;

	if (change->collection != NULL)
		collection = miru_collection_get(change->collection);
	if (collection != NULL)
		rel = miru_relation_get(collection->relid);
	return rel ? miru_target_role(collection, rel) : InvalidOid;
}

/* check_own fires what the caller of push() had deferred before, as himself. */
static void
check_own(void)
{
	Oid saved_role;
	int saved_context;

	GetUserIdAndSecContext(&saved_role, &saved_context);
	SetUserIdAndSecContext(GetOuterUserId(),
						   saved_context | SECURITY_LOCAL_USERID_CHANGE);
	set_constraints(false);
	SetUserIdAndSecContext(saved_role, saved_context);
}

/* check_constraints fires what was deferred, as the role that caused it. */
static void
check_constraints(Oid role)
{
	MiruActing saved;

	if (!OidIsValid(role))
		return;
	miru_act_as(role, &saved);
	set_constraints(false);
	miru_act_end(&saved);
}

/*
 * check_before checks the constraints before a change that runs as another
 * role: a deferred trigger runs as the current user, who must not be somebody
 * else's owner.
 */
static Oid
check_before(const MiruChange *change, Oid role)
{
	Oid next = role_of(change);

	if (!OidIsValid(next))
		return role;
	if (next != role && OidIsValid(role))
	{
		check_constraints(role);
		set_constraints(true);
	}
	return next;
}

/*
 * apply_change applies a change in a memory context of its own, which stays
 * only if something of it is still needed: a group may have thousands.  After
 * an error the caller may look at what was set so far.
 */
static void
apply_change(MiruPush *push, MiruChange *change)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync change",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	miru_waiting_check(push, change);
	miru_apply(&push->pusher, change, push->direct);
	MemoryContextSwitchTo(caller);
	if (change->winner != NULL || change->conflicts != NIL)
		return;
	change->feed = pstrdup(change->feed);
	change->id = pstrdup(change->id);
	MemoryContextDelete(context);
}

static void
apply_part(void *arg)
{
	Part *part = arg;
	Oid role = InvalidOid;
	ListCell *cell;

	if (part->check)
		set_constraints(true);
	foreach(cell, part->changes)
	{
		MiruChange *change = lfirst(cell);

		if (part->check)
			role = check_before(change, role);
		change->verdict = MIRU_APPLIED;
		part->current = change;
		apply_change(part->push, change);
	}
	part->current = NULL;
	check_constraints(role);
}

/*
 * run_isolated runs something of the push in a subtransaction: first with new
 * documents inserted directly.  That cannot step aside for who was faster with
 * the same one, so then it runs once more without.
 */
static ErrorData *
run_isolated(MiruPush *push, void (*body)(void *arg), void *arg)
{
	ErrorData *error;

	push->direct = true;
	error = miru_run_isolated(body, arg);
	push->direct = false;
	if (error != NULL && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
		error = miru_run_isolated(body, arg);
	return error;
}

/* throw_unless_verdict passes an error on that is nobody's fault. */
static void
throw_unless_verdict(ErrorData *error)
{
	if (miru_is_transient(error->sqlerrcode))
		ReThrowError(error);
}

/* apply_one applies one change alone and rejects it if that fails. */
static void
apply_one(MiruPush *push, MiruChange *change, bool check)
{
	Part part = {push, list_make1(change), check, NULL};
	ErrorData *error = run_isolated(push, apply_part, &part);

	if (error == NULL)
		return;
	throw_unless_verdict(error);
	reject_change(push, change, error);
}

/* apply_singly: each change for itself, constraints checked at the end. */
static void
apply_singly(void *arg)
{
	Part *part = arg;
	Oid role = InvalidOid;
	ListCell *cell;

	set_constraints(true);
	foreach(cell, part->changes)
	{
		role = check_before(lfirst(cell), role);
		apply_one(part->push, lfirst(cell), false);
	}
	check_constraints(role);
}

/* retry_rejected tries again what failed; whether anything went through. */
static bool
retry_rejected(MiruPush *push, List *changes)
{
	bool any = false;
	ListCell *cell;

	foreach(cell, changes)
	{
		MiruChange *change = lfirst(cell);

		if (change->verdict != MIRU_REJECTED)
			continue;
		apply_one(push, change, true);
		any |= change->verdict != MIRU_REJECTED;
	}
	return any;
}

/*
 * apply_changes applies a batch: all at once, or if that fails change by
 * change, or if their constraints then fail together (a child before its
 * parent may be fine, but one of them is not) each with a check of its own.
 */
static void
apply_changes(MiruPush *push, List *changes)
{
	Part part = {push, changes, true, NULL};
	ErrorData *error = run_isolated(push, apply_part, &part);
	ListCell *cell;

	if (error == NULL)
		return;
	throw_unless_verdict(error);
	if (list_length(changes) == 1)
	{
		reject_change(push, linitial(changes), error);
		return;
	}
	error = miru_run_isolated(apply_singly, &part);
	if (error == NULL)
		return;
	throw_unless_verdict(error);
	foreach(cell, changes)
		apply_one(push, lfirst(cell), true);
	/* What failed for want of a later change of the batch may do so now. */
	for (int pass = 0; pass < RETRY_PASSES && retry_rejected(push, changes);)
		pass++;
}

/*
 * refuse_together rejects the open changes of an atomic batch.  The culprit
 * has a reason of its own; without one the error is that of all.
 */
static void
refuse_together(MiruPush *push, const MiruChange *culprit, ErrorData *error)
{
	ErrorData others = {0};
	ListCell *cell;

	others.sqlerrcode = ERRCODE_MIRU_BATCH_REFUSED;
	others.message = "another change of the batch was refused";
	foreach(cell, push->open)
	{
		MiruChange *change = lfirst(cell);

		if (change->verdict != MIRU_REJECTED || change == culprit)
			reject_change(push, change,
						  culprit == NULL || change == culprit ? error
															   : &others);
	}
}

/*
 * apply_together applies all of an atomic batch, or nothing.  What was refused
 * is kept as one: it waits and is retried as a whole.
 */
static void
apply_together(MiruPush *push)
{
	Part part = {push, push->open, true, NULL};
	ErrorData wrong = {0};
	ErrorData *error;
	ListCell *cell;

	/* One that is wrong in itself, or was digested, spoils the others. */
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);

		if (change->verdict != MIRU_REJECTED)
			continue;
		wrong.sqlerrcode = change->sqlstate;
		wrong.message = change->reason;
		refuse_together(push, change, &wrong);
		return;
	}
	error = run_isolated(push, apply_part, &part);
	if (error == NULL)
		return;
	throw_unless_verdict(error);
	refuse_together(push, part.current, error);
	miru_waiting_keep_together(push);
}

/* ----- the two dialects ----- */

/* apply_event: the message as a whole is applied or rejected. */
static void
apply_event(MiruPush *push)
{
	Part part = {push, NIL, true, NULL};

	push->changes = miru_event_parse(push->message);
	part.changes = push->changes;
	if (list_length(push->changes) > 1)
		push->pusher.group = push->pusher.place;
	apply_part(&part);
}

static void
reject_digested(MiruPush *push, int64 digested)
{
	ListCell *cell;

	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);

		if (change->number > digested)
			continue;
		change->verdict = MIRU_REJECTED;
		change->sqlstate = ERRCODE_MIRU_ALREADY_DIGESTED;
		change->reason =
			psprintf("number " INT64_FORMAT
					 " is among those whose verdicts the device has digested",
					 change->number);
	}
}

/*
 * drop_lost_bases makes the bases unknown that are of a history that was lost:
 * the numbers up to them are other changes here.
 */
static void
drop_lost_bases(MiruPush *push, int32 epoch)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	const char *user = push->pusher.user;
	MiruFeedState state;
	int64 limit;
	ListCell *cell;

	miru_feed_read(user, snapshot, &state);
	limit = miru_feed_limit(user, &state, epoch, snapshot);
	UnregisterSnapshot(snapshot);
	/* A device has cursors of its user's own feed only. */
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);

		if (change->base <= limit)
			continue;
		change->base = MIRU_BASE_UNKNOWN;
		/* What is kept of it, should it be refused, must not say it. */
		change->sent = miru_object_without_key(change->sent, "base");
	}
}

/*
 * keep_report keeps what the device said of itself, if it did.  A cursor of a
 * history that was lost says nothing.
 */
static void
keep_report(MiruPush *push, int32 epoch)
{
	Snapshot snapshot;
	MiruFeedState state;
	MiruReport report;

	if (!miru_batch_report(push->batch, &report))
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	miru_feed_read(push->pusher.user, snapshot, &state);
	if (report.cursor >
		miru_feed_limit(push->pusher.user, &state, epoch, snapshot))
		report.cursor = -1;
	UnregisterSnapshot(snapshot);
	miru_verdict_report(push->pusher.user, push->pusher.device, &report);
}

static int
compare_numbers(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

/* numbers_of returns the numbers of the changes, sorted. */
static int64 *
numbers_of(const MiruPush *push, int *count)
{
	int64 *numbers = palloc(Max(list_length(push->changes), 1) * sizeof(int64));
	ListCell *cell;

	*count = 0;
	foreach(cell, push->changes)
		numbers[(*count)++] = ((MiruChange *) lfirst(cell))->number;
	qsort(numbers, *count, sizeof(int64), compare_numbers);
	return numbers;
}

/* apply_batch: each change has a verdict of its own. */
static void
apply_batch(MiruPush *push)
{
	int64 digested;
	int32 epoch;
	int64 *numbers;
	int count;
	ListCell *cell;

	if (push->batch == NULL)
		push->batch = miru_jsonb_parse(push->message);
	push->changes = miru_batch_parse(push->batch, &digested, &epoch);
	if (epoch != MIRU_NO_EPOCH)
		drop_lost_bases(push, epoch);
	digested = miru_verdict_digest(push->pusher.user, push->pusher.device,
								   digested);
	keep_report(push, epoch);
	numbers = numbers_of(push, &count);
	push->kept = miru_verdict_find(push->pusher.user, push->pusher.device,
								   numbers, count);
	reject_digested(push, digested);
	foreach(cell, push->changes)
	{
		if (is_settled(push, lfirst(cell)))
			continue;
		if (((MiruChange *) lfirst(cell))->number <= push->taken)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg(
						 "an earlier batch of the session is not finished")));
		push->open = lappend(push->open, lfirst(cell));
	}
	miru_waiting_let_go(push);
	if (push->open == NIL)
		return;
	miru_waiting_begin(push);
	if (miru_batch_is_atomic(push->batch))
		apply_together(push);
	else
	{
		apply_changes(push, push->open);
		miru_waiting_keep_batch(push);
	}
}

/* apply_resolve: a user decides a conflict, as he would push. */
static void
apply_resolve(MiruPush *push)
{
	set_constraints(true);
	check_constraints(
		miru_resolve_asked(&push->pusher, push->batch, &push->resolved));
}

/* apply_native: the batch of a push, or what another message tells. */
static void
apply_native(MiruPush *push)
{
	push->batch = miru_jsonb_parse(push->message);
	push->kind = miru_native_kind(push->batch);
	push->digested = -1;
	if (push->kind == MIRU_NATIVE_PUSH)
		apply_batch(push);
	else if (push->kind == MIRU_NATIVE_HELLO)
		push->digested = miru_verdict_digest(push->pusher.user,
											 push->pusher.device,
											 miru_batch_digested(push->batch));
	else if (push->kind == MIRU_NATIVE_RESOLVE)
		apply_resolve(push);
}

static void
apply_push(void *arg)
{
	MiruPush *push = arg;

	if (push->is_event)
		apply_event(push);
	else if (push->is_native)
		apply_native(push);
	else
		apply_batch(push);
}

void
miru_push_apply(MiruPush *push)
{
	miru_pusher_begin(&push->pusher);
	push->error = push->is_event ? run_isolated(push, apply_push, push)
								 : miru_run_isolated(apply_push, push);
	miru_pusher_end();
	if (push->error != NULL && push->is_event &&
		!miru_is_transient(push->error->sqlerrcode))
		miru_waiting_keep_event(push);
}

ErrorData *
miru_push_apply_together(MiruPush *push, List *changes)
{
	Part part = {push, changes, true, NULL};
	ErrorData *error;

	miru_pusher_begin(&push->pusher);
	error = run_isolated(push, apply_part, &part);
	miru_pusher_end();
	return error;
}

Jsonb *
miru_push_finish_batch(MiruPush *push)
{
	JsonbParseState *state;
	List *fresh = NIL;
	ListCell *cell;

	miru_build_begin(&state);
	miru_build_key(&state, "verdicts");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);
		Jsonb *verdict = NULL;
		ListCell *kept;

		foreach(kept, push->kept)
		{
			if (((MiruVerdict *) lfirst(kept))->number == change->number)
				verdict = miru_batch_replay(
					((MiruVerdict *) lfirst(kept))->verdict);
		}
		if (verdict == NULL)
		{
			MiruVerdict *new = palloc(sizeof(MiruVerdict));

			miru_apply_outcome(change);
			miru_conflict_store(&push->pusher, change);
			verdict = miru_batch_verdict(change);
			push->verdicts[change->verdict]++;
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

int
miru_push_fix_search_path(void)
{
	int settings = NewGUCNestLevel();

	(void) set_config_option("search_path", miru_push_search_path, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return settings;
}

int
miru_push_begin(void)
{
	int settings;

	/*
	 * What this transaction did before by SQL is no push's doing.  Deferred
	 * triggers of the caller's, left until a message's end, would run with
	 * the rights of the collection's role, and in the name of its user.
	 */
	check_own();
	settings = miru_push_fix_search_path();
	miru_flush(false, true);
	return settings;
}

/* ----- push() ----- */

void
miru_push_check_name(const char *what, const char *name)
{
	if (name[0] == '\0' || strlen(name) > 255)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to 255 bytes", what)));
}

/* mirusync_push_0_2 pushes one native batch of a user's device. */
Datum
mirusync_push_0_2(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	MiruPush push = {0};
	Jsonb *verdicts;
	Jsonb *result;
	int settings;

	push.pusher.user = text_to_cstring(PG_GETARG_TEXT_PP(0));
	push.pusher.device = text_to_cstring(PG_GETARG_TEXT_PP(1));
	push.batch = PG_GETARG_JSONB_P(2);
	push.pusher.group = -1;
	miru_push_check_name("user id", push.pusher.user);
	miru_push_check_name("device id", push.pusher.device);

	SPI_connect();
	settings = miru_push_begin();
	miru_verdict_lock(
		miru_verdict_lock_key(push.pusher.user, push.pusher.device));
	miru_pusher_begin(&push.pusher);
	apply_batch(&push);
	miru_pusher_end();
	miru_flush(true, true);
	verdicts = miru_push_finish_batch(&push);
	result = (Jsonb *) MemoryContextAlloc(context, VARSIZE(verdicts));
	memcpy(result, verdicts, VARSIZE(verdicts));
	miru_settings_restore(settings);
	SPI_finish();
	PG_RETURN_JSONB_P(result);
}
