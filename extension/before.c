/*
 * before.c
 *     What a pushed change meets: the record as it is before it.
 *
 * The row is locked first and its stamps are read under that lock, so they
 * are the latest ones.  What this transaction has pushed into the record
 * already is newer than what is stored, and counts.
 *
 * Reads mirusync.record, writes nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "before.h"
#include "capture.h"
#include "errors.h"
#include "object.h"
#include "record.h"
#include "utils/snapmgr.h"

static void
read_stored(MiruBefore *before, const MiruTarget *target)
{
	MiruTable table = miru_table_open("record", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruRecord *record = miru_record_find(&table, target->feed,
										  target->collection->name, target->id,
										  snapshot);

	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	before->known = record != NULL || before->has_row;
	if (record == NULL)
	{
		/* A row that capture has never seen loses against anything. */
		MiruStamp unknown = {0, -1, ""};

		before->stamps = miru_stamps_whole(unknown);
		before->newest = unknown;
		return;
	}
	before->deleted = record->deleted;
	before->seq = before->stored_seq = record->seq;
	before->stamps = record->stamps;
	before->newest = miru_stamps_newest_of(record->stamps, record->clock);
	before->former = record->former;
	before->image = miru_object_without_hidden(target->rel, record->image);
}

static void
read_pending(MiruBefore *before, const MiruOrigin *pending,
			 const MiruPusher *pusher)
{
	before->known = true;
	before->deleted = pending->deleted;
	before->pending = pending->index;
	before->shared = pending->shared ||
		strcmp(pending->device, pusher->device) != 0;
	before->stored_seq = miru_origin_merged_with(pending);
	before->stamps = pending->stamps;
	before->newest = miru_stamps_newest_of(pending->stamps, 0);
	before->image = pending->image ? pending->image : pending->deleted_row;
	before->former = pending->former;
}

/*
 * is_new_document tells whether a document most likely is not there yet, so
 * that it can be inserted without looking for a row to lock first.  If that
 * finds a row all the same, nothing has happened, and the second attempt locks
 * it.  Not for other tables: their BEFORE INSERT triggers would have run.
 */
static bool
is_new_document(MiruBefore *before, const MiruTarget *target,
				const MiruChange *change)
{
	if (target->rel->data_attnum == 0 || change->kind == MIRU_DELETE)
		return false;
	read_stored(before, target);
	return !before->known;
}

/*
 * check_locked sees that the row that was locked is the record's own: a key
 * may be equal and still be another id (1.0 and 1.00), and row security may
 * hide from the role what is there.
 */
static void
check_locked(const MiruBefore *before, MiruTarget *target)
{
	bool is_there = miru_target_exists(target, false);

	if (before->has_row && !is_there)
		ereport(
			ERROR,
			(errcode(ERRCODE_MIRU_INVALID_OBJECT),
			 errmsg(
				 "record id \"%s\" of collection \"%s\" is not the id of the row with an equal key",
				 target->id, target->collection->name)));
	if (!before->has_row && is_there && before->known && !before->deleted)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(
				 "row security policy hides record \"%s\" of collection \"%s\"",
				 target->id, target->collection->name)));
}

static void
init(MiruBefore *before)
{
	memset(before, 0, sizeof(MiruBefore));
	before->pending = -1;
}

void
miru_before_read(MiruBefore *before, MiruTarget *target,
				 const MiruPusher *pusher, const MiruChange *change,
				 bool first_attempt)
{
	MiruOrigin *pending =
		miru_origin_pending(target->feed, target->collection->name, target->id);

	init(before);
	if (first_attempt && pending == NULL &&
		is_new_document(before, target, change))
		return;
	init(before);
	before->has_row = miru_target_lock(target);
	if (pending != NULL)
		read_pending(before, pending, pusher);
	else
		read_stored(before, target);
	/* The row was made between the two looks: now it can be locked. */
	if (pending == NULL && !before->has_row && before->known &&
		!before->deleted)
	{
		init(before);
		before->has_row = miru_target_lock(target);
		read_stored(before, target);
	}
	if (target->rel->data_attnum == 0)
		check_locked(before, target);
}

bool
miru_before_is_concurrent(const MiruBefore *before, const MiruChange *change,
						  const MiruPusher *pusher)
{
	int64 base = change->base;
	const char *device = pusher->device;

	if (base == MIRU_BASE_UNKNOWN || !before->known)
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
