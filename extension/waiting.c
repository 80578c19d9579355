/*
 * waiting.c
 *     What waits behind what: changes of a device behind its rejected ones.
 *
 * A device that made a record and then changed it twice has three changes that
 * only make sense in this order.  So while one that was refused waits in the
 * inbox, later ones of that device to the same record wait behind it.  They
 * are rejected too, with a code of its own, without being tried.  Changes to
 * other records, and of other devices, pass.
 *
 * Only numbered changes wait, and only behind such.  A device that numbers its
 * changes sends a queue that it made before it knew what becomes of the first.
 * One that sends events is told of each before it goes on, takes back what was
 * refused, and has each record whole in the next event.  That one stands by
 * itself, and making it wait would hold the user up for what is gone.
 *
 * The earlier one is in the inbox, or in the same batch.  A batch whose device
 * has nothing in the inbox pays for finding that out, once, and no more.
 *
 * What is kept: every change that could be read, and was refused when it was
 * applied.  A message that cannot be read says of no record what to do with
 * it, so there is nothing to retry; and what was meant for somebody else's
 * feed is nothing that an administrator should ever push through.
 *
 * Owns no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "batch.h"
#include "errors.h"
#include "guc.h"
#include "isolate.h"
#include "key.h"
#include "refusal.h"
#include "registry.h"
#include "registry_table.h"
#include "waiting.h"

/* make_canonical brings an id into the form that its record has. */
static void
make_canonical(void *arg)
{
	MiruChange *change = arg;
	MiruCollection *collection = miru_collection_get(change->collection);
	MiruRelation *rel = NULL;
	Datum key[INDEX_MAX_KEYS];

	if (collection != NULL)
		rel = miru_relation_get(collection->relid);
	if (rel == NULL || !miru_feed_is_canonical(rel, change->feed))
		return;
	miru_key_parse(rel, change->feed, change->collection, change->id, key);
	change->id = miru_key_id(rel, key);
}

void
miru_waiting_begin(MiruPush *push)
{
	push->waits = miru_rejected_max_changes > 0 &&
		miru_refusal_any(push->pusher.user, push->pusher.device);
}

/*
 * A device takes back what was rejected, and what came after it to the same
 * record as well.  So it lets go of all of that together: nothing of it is
 * applied later, as an administrator's discard() would do.
 */
void
miru_waiting_let_go(MiruPush *push)
{
	ArrayType *numbers = miru_batch_discard(push->batch);

	if (numbers != NULL)
		miru_refusal_let_go(push->pusher.user, push->pusher.device,
							PointerGetDatum(numbers));
}

/* is_kept_kind tells whether such a rejected change is kept. */
static bool
is_kept_kind(const MiruChange *change)
{
	return change->verdict == MIRU_REJECTED &&
		change->sqlstate != ERRCODE_MIRU_FEED_FORBIDDEN &&
		strlen(change->collection) <= COLLECTION_NAME_MAX;
}

/* waits_in_batch tells whether it must wait behind one of its own batch. */
static bool
waits_in_batch(const MiruPush *push, const MiruChange *change)
{
	ListCell *cell;

	foreach(cell, push->open)
	{
		const MiruChange *earlier = lfirst(cell);

		if (earlier == change)
			break;
		if (is_kept_kind(earlier) &&
			strcmp(earlier->collection, change->collection) == 0 &&
			strcmp(earlier->id, change->id) == 0)
			return true;
	}
	return false;
}

void
miru_waiting_check(MiruPush *push, MiruChange *change)
{
	bool in_batch = push->any_rejected && miru_rejected_max_changes > 0;

	if (!push->waits && !in_batch)
		return;
	if (change->feed == NULL)
		change->feed = pstrdup(push->pusher.user);
	/* Of another feed nothing waits; merging will say why it is refused. */
	if (strcmp(change->feed, push->pusher.user) != 0)
		return;
	make_canonical(change);
	if ((!in_batch || !waits_in_batch(push, change)) &&
		(!push->waits ||
		 !miru_refusal_waits(change->feed, push->pusher.device,
							 change->collection, change->id)))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_MIRU_WAITS),
		 errmsg(
			 "an earlier change of the device to record \"%s\" of collection \"%s\" was rejected and waits",
			 change->id, change->collection)));
}

/*
 * complete sees to it that a rejected change has the id that its record has,
 * as far as that can be known: it may have been refused before.
 */
static void
complete(MiruPush *push, MiruChange *change)
{
	ErrorData *error;

	if (change->feed == NULL)
		change->feed = pstrdup(push->pusher.user);
	error = miru_run_isolated(make_canonical, change);
	if (error != NULL && miru_is_transient(error->sqlerrcode))
		ReThrowError(error);
}

/*
 * keep keeps rejected changes of a push that are to be applied together or not
 * at all, if all are such as are kept.
 */
static void
keep(MiruPush *push, List *changes)
{
	ListCell *cell;

	if (miru_rejected_max_changes == 0)
		return;
	foreach(cell, changes)
	{
		if (!is_kept_kind(lfirst(cell)))
			return;
		complete(push, lfirst(cell));
	}
	miru_refusal_keep(&push->pusher, changes);
}

void
miru_waiting_keep_batch(MiruPush *push)
{
	bool no_room = false;
	ListCell *cell;

	if (!push->any_rejected)
		return;
	foreach(cell, push->open)
	{
		MiruChange *change = lfirst(cell);

		if (!no_room)
			keep(push, list_make1(change));
		else
			change->no_room = is_kept_kind(change);
		/* A smaller one may fit, but not without what came before it. */
		no_room |= change->no_room;
	}
}

void
miru_waiting_keep_together(MiruPush *push)
{
	keep(push, push->open);
}

void
miru_waiting_keep_event(MiruPush *push)
{
	ListCell *cell;

	if (push->changes == NIL)
		return;
	foreach(cell, push->changes)
	{
		MiruChange *change = lfirst(cell);

		change->verdict = MIRU_REJECTED;
		change->sqlstate = push->error->sqlerrcode;
		change->reason = push->error->message;
		change->detail = push->error->detail;
	}
	keep(push, push->changes);
}
