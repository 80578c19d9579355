/*
 * outcome.c
 *     What became of a pushed change, once it is numbered.
 *
 * Live delivery skips the session that made a change, so whatever the server
 * has and the device does not must go back with the verdict: fields that lost,
 * and what defaults, generated columns and triggers made of the others.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "apply.h"
#include "batch.h"
#include "capture.h"
#include "change_log.h"
#include "nodes/value.h"
#include "object.h"

/* How what is stored relates to what was sent. */
typedef enum Standing
{
	AS_SENT,
	WITH_MORE, /* as sent, and the server added to it */
	OTHERWISE
} Standing;

/*
 * miru_brought_back tells whether a change brought back what the transaction
 * itself had deleted.  To others that is a change of some fields; its device
 * has none of the others any more.
 */
bool
miru_brought_back(const MiruChange *change, const MiruDelivery *delivery)
{
	return change->made && !delivery->deleted && !delivery->created;
}

/* is_member tells whether a name is in a list of String. */
static bool
is_member(List *names, const char *name)
{
	ListCell *cell;

	foreach(cell, names)
	{
		if (strcmp(strVal(lfirst(cell)), name) == 0)
			return true;
	}
	return false;
}

/*
 * has_other tells whether "object" has a field, other than those of "but",
 * that is otherwise in "than", or, if that counts, not there.
 */
static bool
has_other(const Jsonb *object, const Jsonb *than, bool missing_counts,
		  List *but)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	char *name = NULL;

	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		JsonbValue other;

		if (token == WJB_KEY)
			name = pnstrdup(item.val.string.val, item.val.string.len);
		if (token != WJB_VALUE || is_member(but, name))
			continue;
		if (miru_object_get(than, name, &other)
				? !miru_values_equal(&item, &other)
				: missing_counts)
			return true;
	}
	return false;
}

static Standing
standing_of(const MiruChange *change, const MiruDelivery *delivery)
{
	const Jsonb *sent = change->object;
	const Jsonb *stored = delivery->object;

	if (change->kind == MIRU_DELETE)
		return delivery->deleted ? AS_SENT : OTHERWISE;
	if (delivery->deleted)
		return OTHERWISE;
	if (VARSIZE(sent) == VARSIZE(stored) &&
		memcmp(sent, stored, VARSIZE(sent)) == 0)
		return AS_SENT;
	if (has_other(sent, stored, false, NIL) ||
		miru_object_lacking(delivery->collection, sent, stored) != NIL)
		return OTHERWISE;
	/* After a put the device believes that it has the whole record. */
	if (change->kind == MIRU_PUT || miru_brought_back(change, delivery))
		return has_other(stored, sent, true, NIL) ? WITH_MORE : AS_SENT;
	/* Generated columns, and what triggers did. */
	if (delivery->changed != NULL &&
		has_other(delivery->changed, sent, true, NIL))
		return WITH_MORE;
	return AS_SENT;
}

static bool
is_same_device(const MiruOrigin *a, const MiruOrigin *b)
{
	if (strcmp(a->device, b->device) != 0)
		return false;
	return (a->session == NULL && b->session == NULL) ||
		(a->session != NULL && b->session != NULL &&
		 strcmp(a->session, b->session) == 0);
}

/*
 * tell_unchanged: a later change of the same device was told what the
 * transaction changed.  Of what it left as it was this one must tell: a field
 * that was sent in vain, and those that a put did not send.
 */
static void
tell_unchanged(MiruChange *change, MiruDelivery *delivery)
{
	bool is_whole = change->kind == MIRU_PUT ||
		miru_brought_back(change, delivery);

	if (change->kind == MIRU_DELETE || delivery->deleted)
		return;
	if (has_other(change->object, delivery->object, delivery->is_document,
				  delivery->changed_names))
	{
		change->verdict = MIRU_MERGED;
		change->winner = delivery;
	}
	else if (is_whole &&
			 has_other(delivery->object, change->object, true,
					   delivery->changed_names))
		change->winner = delivery;
}

/* tell_gone: a trigger has deleted what was pushed, or taken it elsewhere. */
static void
tell_gone(MiruChange *change)
{
	MiruDelivery *winner = palloc0(sizeof(MiruDelivery));

	winner->feed = change->feed;
	winner->collection = change->collection;
	winner->id = change->id;
	winner->deleted = true;
	winner->clock = change->clock;
	change->verdict = MIRU_MERGED;
	change->winner = winner;
}

void
miru_apply_outcome(MiruChange *change)
{
	MiruOrigin *first;
	MiruOrigin *last;
	Standing standing;

	if (change->verdict == MIRU_REJECTED || change->origin < 0)
		return;
	/* A later push of the same transaction may have changed it again. */
	first = last = miru_origin_get(change->origin);
	while (last->next >= 0)
		last = miru_origin_get(last->next);
	change->seq = last->seq;
	if (last->seq == 0 && change->kind != MIRU_DELETE)
	{
		tell_gone(change);
		return;
	}
	if (last->delivery == NULL)
		return;
	if (change->verdict == MIRU_STALE)
	{
		change->winner = last->delivery;
		return;
	}
	if (last != first && is_same_device(first, last))
	{
		tell_unchanged(change, last->delivery);
		return;
	}
	standing = standing_of(change, last->delivery);
	/* Of a delete nothing stands where there is a record. */
	if (standing == OTHERWISE)
		change->verdict = change->kind == MIRU_DELETE ? MIRU_STALE
													  : MIRU_MERGED;
	if (standing != AS_SENT)
		change->winner = last->delivery;
}

MiruVerdictKind
miru_apply_told(const MiruChange *change, const MiruDelivery *delivery)
{
	if (change->verdict == MIRU_MERGED)
		return MIRU_MERGED;
	return change->verdict == MIRU_APPLIED &&
			standing_of(change, delivery) == OTHERWISE
		? MIRU_MERGED
		: MIRU_APPLIED;
}
