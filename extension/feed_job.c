/*
 * feed_job.c
 *     Going through a table feed by feed, committing as one goes.
 *
 * What backfill() and rescan() have in common.  They are procedures: they
 * commit every so many rows, so that no writer waits for long, and what is
 * done stays done if they are interrupted.
 *
 * A feed is visited as a whole, in one transaction, under its lock.  So what
 * the visit reads is what flush has numbered or will number afterwards, and
 * nothing in between.
 *
 * Ordering and locks: in each transaction the table, against being changed or
 * detached, and its partitions, whose writers lock them before feeds as well;
 * then feeds, in the order of strcmp.  A feed that somebody has
 * locked is put aside, because all writers of the feeds locked before would
 * wait with us; at the end it is waited for alone.  For the time of the job
 * the object (mirusync.backfill, table) is locked by the session: one job at a
 * time.  Postgres releases it with any error.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/objectaddress.h"
#include "compat.h"
#include "epoch.h"
#include "executor/spi.h"
#include "feed.h"
#include "feed_job.h"
#include "feed_rows.h"
#include "feed_steps.h"
#include "miscadmin.h"
#include "partition.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static LOCKTAG
job_lock(const MiruFeedJob *job)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, miru_table_oid("backfill"),
					   job->relid, 0);
	return tag;
}

static void
check_owner(const MiruFeedJob *job)
{
	char *name = get_rel_name(job->relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", job->relid)));
	if (!miru_is_table_owner(job->relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(job->relid)), name);
}

void
miru_job_start(MiruFeedJob *job, FunctionCallInfo fcinfo)
{
	LOCKTAG tag;

	miru_steps_check_call(job->procedure, fcinfo);
	check_owner(job);
	if (job->batch_rows < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"batch_rows\" must be at least 1")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	job->context = AllocSetContextCreate(PortalContext, "mirusync job",
										 ALLOCSET_DEFAULT_SIZES);
	job->chunk = AllocSetContextCreate(job->context, "mirusync job feeds",
									   ALLOCSET_DEFAULT_SIZES);
	job->batch = AllocSetContextCreate(job->context, "mirusync job batch",
									   ALLOCSET_DEFAULT_SIZES);
	tag = job_lock(job);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("table \"%s\" is being backfilled or scanned already",
						get_rel_name(job->relid))));
}

void
miru_job_end(MiruFeedJob *job)
{
	LOCKTAG tag = job_lock(job);

	LockRelease(&tag, ExclusiveLock, true);
	MemoryContextSwitchTo(MemoryContextGetParent(job->context));
	MemoryContextDelete(job->context);
	SPI_finish();
}

void
miru_job_begin(MiruFeedJob *job)
{
	MemoryContextSwitchTo(job->batch);
	PushActiveSnapshot(GetLatestSnapshot());
	check_owner(job);
	job->heap = relation_open(job->relid, AccessShareLock);
	job->rel = miru_relation_get(job->relid);
	if (job->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not attached",
						RelationGetRelationName(job->heap))));
	(void) miru_partition_leaves(job->relid, AccessShareLock);
	job->check(job);
}

void
miru_job_stale(const MiruFeedJob *job)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s was detached meanwhile",
					job->rel->qualified_name)));
}

void
miru_job_commit(MiruFeedJob *job)
{
	relation_close(job->heap, NoLock);
	PopActiveSnapshot();
	SPI_commit();
	MemoryContextSwitchTo(job->context);
	MemoryContextReset(job->batch);
}

/* put_aside keeps a feed for later. */
static void
put_aside(MiruFeedJob *job, const char *feed)
{
	MemoryContext caller = MemoryContextSwitchTo(job->context);

	job->busy = lappend(job->busy, pstrdup(feed));
	MemoryContextSwitchTo(caller);
}

/* lock_feed locks a feed; false if somebody else has it and wait is not. */
static bool
lock_feed(char *name, bool wait)
{
	MiruTable table = miru_table_open("feed", true);
	bool locked = true;

	if (wait)
	{
		MiruFeed feed;

		miru_feed_lock(&table, &feed, name, miru_epoch_current(),
					   GetCurrentTimestamp());
	}
	else
		locked = miru_feed_try_lock(&table, name);
	miru_table_close(&table);
	return locked;
}

/* visit_batch visits feeds from "from" on, and returns where it stopped. */
static int
visit_batch(MiruFeedJob *job, List *feeds, int from)
{
	int64 rows = 0;
	int i = from;

	miru_job_begin(job);
	for (; i < list_length(feeds) && rows < job->batch_rows; i++)
	{
		char *feed = list_nth(feeds, i);

		CHECK_FOR_INTERRUPTS();
		if (!job->wants(job, feed))
			continue;
		if (lock_feed(feed, false))
			rows += job->visit(job, feed);
		else
			put_aside(job, feed);
	}
	job->done(job);
	miru_job_commit(job);
	return i;
}

static int
compare_feeds(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

void
miru_job_visit_feeds(MiruFeedJob *job, List *feeds)
{
	int next = 0;

	list_sort(feeds, compare_feeds);
	while (next < list_length(feeds))
		next = visit_batch(job, feeds, next);
}

void
miru_job_visit_busy(MiruFeedJob *job)
{
	while (job->busy != NIL)
	{
		char *feed = linitial(job->busy);

		miru_job_begin(job);
		if (job->wants(job, feed))
		{
			lock_feed(feed, true);
			job->visit(job, feed);
			job->done(job);
		}
		miru_job_commit(job);
		job->busy = list_delete_first(job->busy);
	}
}

bool
miru_job_visit_now(MiruFeedJob *job, List *feeds)
{
	ListCell *cell;

	list_sort(feeds, compare_feeds);
	foreach(cell, feeds)
	{
		if (!lock_feed(lfirst(cell), false))
			return false;
		job->visit(job, lfirst(cell));
	}
	job->done(job);
	return true;
}

void
miru_job_visit_table(MiruFeedJob *job)
{
	char *after = NULL;
	List *feeds;

	do
	{
		MemoryContextReset(job->chunk);
		miru_job_begin(job);
		MemoryContextSwitchTo(job->chunk);
		feeds = miru_feed_rows_feeds(job->rel, after, FEED_JOB_CHUNK);
		miru_job_commit(job);
		if (feeds == NIL)
			break;
		if (after != NULL)
			pfree(after);
		after = pstrdup(llast(feeds));
		miru_job_visit_feeds(job, feeds);
	} while (list_length(feeds) == FEED_JOB_CHUNK);
	if (after != NULL)
		pfree(after);
}
