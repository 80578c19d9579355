/*
 * forget.c
 *     Forgetting a feed: what is kept of a user goes, for account deletion.
 *
 * Owns no table.  The steps, each in transactions of its own, so that no lock
 * is held for long and a call that was cut off can be made again:
 *
 *  1. Documents are deleted, by ordinary DELETEs in batches, so that devices
 *     that are connected hear of it.
 *  2. Rows of attached tables are the application's to delete.  If any record
 *     is left, that is an error.
 *     What was deleted a moment ago is still on its way to devices that are
 *     connected: it waits until that is older than the grace.
 *  3. The feed gets an epoch of its own, which begins at 0: whoever comes with
 *     a cursor from before starts over, and gets an empty page.  This must be
 *     done before tombstones go, which are all that tells a device to delete.
 *  4. History, state, verdicts, devices and the inbox go in batches, as far as they were
 *     there in step 3.
 *
 * What stays is the feed's row: numbers go on and are never used again.
 *
 * Locks: each batch of state and history is deleted under the feed's lock, as
 * flush writes them, since neither looks out for the other's rows.  Somebody
 * who writes meanwhile waits for a batch at most, and what he writes has a
 * higher number and stays.
 *
 * It deletes as the owner of the extension, so its caller needs no right but
 * that to execute it; and under the search_path of pushes, since triggers of
 * the application may run, which must not find names that the caller chose.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "change_log.h"
#include "conflict.h"
#include "convert.h"
#include "doorbell.h"
#include "erase.h"
#include "executor/spi.h"
#include "feed_steps.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "push.h"
#include "record.h"
#include "refusal.h"
#include "registry.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "verdict.h"

PG_FUNCTION_INFO_V1(mirusync_forget_0_2);

/* What a call works with. */
typedef struct Forget
{
	char *feed;
	int64 batch;	/* rows in a transaction */
	int64 grace;	/* microseconds */
	int64 head;		/* of step 3; higher numbers stay */
	TimestampTz at; /* of step 3; later verdicts stay */
	MiruSteps steps;
} Forget;

/* ----- step 1 ----- */

static int64
delete_documents(Forget *forget)
{
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(forget->feed),
					  Int64GetDatum(forget->batch)};
	int settings = miru_push_fix_search_path();
	int result;

	miru_steps_become_owner(&forget->steps);
	result = SPI_execute_with_args(
		"DELETE FROM mirusync.document WHERE ctid OPERATOR(pg_catalog.=) ANY"
		" (ARRAY(SELECT ctid FROM mirusync.document"
		" WHERE feed OPERATOR(pg_catalog.=) $1 LIMIT $2))",
		2, types, values, NULL, false, 0);
	if (result != SPI_OK_DELETE)
		elog(ERROR, "could not delete documents: %s",
			 SPI_result_code_string(result));
	miru_steps_become_caller(&forget->steps);
	miru_settings_restore(settings);
	return SPI_processed;
}

/* ----- steps 2 and 3 ----- */

/* Live records of a collection. */
typedef struct Left
{
	char *collection;
	int64 count;
} Left;

static List *
count_left(List *left, const MiruRecord *record)
{
	ListCell *cell;
	Left *new;

	foreach(cell, left)
	{
		Left *one = lfirst(cell);

		if (strcmp(one->collection, record->collection) != 0)
			continue;
		one->count++;
		return left;
	}
	new = palloc(sizeof(Left));
	new->collection = pstrdup(record->collection);
	new->count = 1;
	return lappend(left, new);
}

static void
refuse(const Forget *forget, List *left)
{
	StringInfoData detail;
	ListCell *cell;

	initStringInfo(&detail);
	foreach(cell, left)
	{
		Left *one = lfirst(cell);

		appendStringInfo(&detail, "%sCollection \"%s\" has " INT64_FORMAT ".",
						 detail.len ? " " : "", one->collection, one->count);
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("feed \"%s\" still has records", forget->feed),
		 errdetail_internal("%s", detail.data),
		 errhint(
			 "Delete their rows, or give them to another feed, then call mirusync.forget() again.")));
}

/*
 * check_empty sees that no live record is left but of dropped tables, and
 * returns when the last one went.
 */
static TimestampTz
check_empty(const Forget *forget)
{
	TimestampTz last = DT_NOBEGIN;
	MiruTable table = miru_table_open("record", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	List *left = NIL;
	MiruScan scan;
	HeapTuple row;

	miru_scan_begin(&scan, &table, "record_seq", forget->feed, 0, snapshot);
	while ((row = miru_scan_next(&scan, true)) != NULL)
	{
		MiruRecord *record = miru_record_from_row(row, desc);

		CHECK_FOR_INTERRUPTS();
		last = Max(last, record->changed_at);
		if (!record->deleted && miru_collection_get(record->collection) != NULL)
			left = count_left(left, record);
	}
	miru_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	if (left != NIL)
		refuse(forget, left);
	return last;
}

/*
 * wait_for_devices lets the deletes reach devices that are connected.  Their
 * tombstones are about to go, after which a dialect that cannot say "start
 * over" has no word for them.
 */
static void
wait_for_devices(Forget *forget)
{
	TimestampTz last = check_empty(forget);
	long left;

	miru_steps_commit(&forget->steps);
	while (last != DT_NOBEGIN &&
		   (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												   last + forget->grace)) > 0)
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static bool
feed_exists(const Forget *forget)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruFeedState state;
	bool exists = miru_feed_read(forget->feed, snapshot, &state);

	UnregisterSnapshot(snapshot);
	return exists;
}

static void
restart(Forget *forget)
{
	MiruTable table;
	MiruFeed feed;

	miru_steps_lock(&table, &feed, forget->feed);
	(void) check_empty(forget);
	forget->head = feed.head;
	forget->at = GetCurrentTimestamp();
	miru_feed_restart(&table, &feed);
	miru_table_close(&table);
	/* A device that has started over must not find its old state again. */
	ForceSyncCommit();
	miru_doorbell_note(forget->feed);
}

/* ----- step 4 ----- */

typedef int64 (*Purge)(const char *feed, int64 *from, int64 upto, int64 max);

/* purge deletes rows that have a number, as many as a batch has. */
static void
purge(Forget *forget, Purge delete)
{
	int64 from = 0;
	int64 deleted;

	do
	{
		MiruTable table;
		MiruFeed feed;

		miru_steps_lock(&table, &feed, forget->feed);
		deleted = delete (forget->feed, &from, forget->head, forget->batch);
		miru_table_close(&table);
		miru_steps_commit(&forget->steps);
	} while (deleted == forget->batch);
}

/* purge_conflicts: those have no numbers of the feed, nor have erasures. */
static int64
purge_conflicts(const char *feed, int64 *from, int64 upto, int64 max)
{
	(void) upto;
	return miru_conflict_forget(feed, from, PG_INT64_MAX, max);
}

static int64
purge_erasures(const char *feed, int64 *from, int64 upto, int64 max)
{
	(void) upto;
	return miru_erasure_forget(feed, from, PG_INT64_MAX, max);
}

static void
purge_pushes(Forget *forget)
{
	int64 deleted;

	do
	{
		miru_steps_snapshot();
		miru_steps_become_owner(&forget->steps);
		deleted = miru_verdict_forget(forget->feed, forget->at, forget->batch);
		if (deleted == 0)
			deleted = miru_refusal_forget(forget->feed, forget->at,
										  forget->batch);
		miru_steps_become_caller(&forget->steps);
		miru_steps_commit(&forget->steps);
	} while (deleted > 0);
}

/* ----- forget() ----- */

/* More than any device needs that reads at all. */
#define MAX_GRACE USECS_PER_HOUR

static int64
grace_usec(const Interval *grace)
{
	return grace->month == 0 && grace->day == 0 ? grace->time : -1;
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("feed, batch_rows and grace must not be null")));
	if (PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_rows must be at least 1")));
	if (grace_usec(PG_GETARG_INTERVAL_P(2)) < 0 ||
		grace_usec(PG_GETARG_INTERVAL_P(2)) > MAX_GRACE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grace must be between 0 and 1 hour")));
	miru_steps_check_call("mirusync.forget()", fcinfo);
}

/* mirusync_forget_0_2 is forget(feed, batch_rows, grace). */
Datum
mirusync_forget_0_2(PG_FUNCTION_ARGS)
{
	Forget forget = {0};

	check_arguments(fcinfo);
	forget.feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	forget.batch = PG_GETARG_INT32(1);
	forget.grace = grace_usec(PG_GETARG_INTERVAL_P(2));
	miru_steps_begin(&forget.steps);

	/* Of a user without a feed, all verdicts there are. */
	forget.at = GetCurrentTimestamp();
	while (delete_documents(&forget) == forget.batch)
		miru_steps_commit(&forget.steps);
	miru_steps_commit(&forget.steps);
	if (feed_exists(&forget))
	{
		wait_for_devices(&forget);
		restart(&forget);
		miru_steps_commit(&forget.steps);
		purge(&forget, miru_change_log_forget);
		purge(&forget, miru_record_forget_feed);
		purge(&forget, purge_conflicts);
		purge(&forget, purge_erasures);
	}
	purge_pushes(&forget);

	miru_steps_end(&forget.steps);
	PG_RETURN_VOID();
}
