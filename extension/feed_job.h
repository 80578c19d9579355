/*
 * feed_job.h
 *     Going through a table feed by feed, committing as one goes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FEED_JOB_H
#define MIRUSYNC_FEED_JOB_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "registry.h"
#include "utils/relcache.h"

/* So many feeds are looked up at a time. */
#define FEED_JOB_CHUNK 1000

typedef struct MiruFeedJob MiruFeedJob;

struct MiruFeedJob
{
	const char *procedure; /* for messages, as mirusync.x() */
	Oid relid;
	int batch_rows; /* so many rows are done in one transaction */

	/*
	 * check throws if the table is not what it was when the job began: it may
	 * have been detached between two transactions.
	 */
	void (*check)(MiruFeedJob *job);

	/* wants tells, before a feed is locked, whether it is to be visited. */
	bool (*wants)(MiruFeedJob *job, const char *feed);

	/*
	 * visit does the work for a feed that is locked and returns how many rows
	 * that was; done is called at the end of a transaction that visited some.
	 */
	int64 (*visit)(MiruFeedJob *job, const char *feed);
	void (*done)(MiruFeedJob *job);
	void *state; /* the caller's */

	MemoryContext context; /* lives until the job ends */
	MemoryContext chunk;   /* until the next chunk */
	MemoryContext batch;   /* until the transaction ends */
	List *busy;			   /* feeds that others had locked */

	/* while a transaction of it is open */
	Relation heap;
	MiruRelation *rel;
};

/*
 * miru_job_start checks that the caller may do it to this table and that
 * nobody else is, and makes it so.  miru_job_end ends it.
 */
extern void miru_job_start(MiruFeedJob *job, FunctionCallInfo fcinfo);
extern void miru_job_end(MiruFeedJob *job);

/* All work is done between these two. */
extern void miru_job_begin(MiruFeedJob *job);
extern void miru_job_commit(MiruFeedJob *job);

/* miru_job_stale is what check throws. */
extern void miru_job_stale(const MiruFeedJob *job) pg_attribute_noreturn();

/*
 * miru_job_visit_feeds visits feeds, in transactions of its own.  Those that
 * somebody has locked are put aside; miru_job_visit_busy waits for them.
 */
extern void miru_job_visit_feeds(MiruFeedJob *job, List *feeds);
extern void miru_job_visit_busy(MiruFeedJob *job);

/* miru_job_visit_now visits feeds in this transaction; false if any is busy. */
extern bool miru_job_visit_now(MiruFeedJob *job, List *feeds);

/* miru_job_visit_table visits all feeds that the table has rows of. */
extern void miru_job_visit_table(MiruFeedJob *job);

#endif /* MIRUSYNC_FEED_JOB_H */
