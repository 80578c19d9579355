/*
 * rescan.c
 *     Finding by comparison what capture did not see.
 *
 * Triggers can be disabled, columns be added with a default, renamed or given
 * another type, rows be restored without triggers.
 * rescan() compares the rows of a collection with what devices were last
 * told, and notes what differs; flush makes ordinary changes of the notes.
 *
 * What devices were last told is folded from the history: a put says all,
 * a patch says what left and what came.  Where history does not reach back to
 * a put, the record counts as changed as a whole.  Otherwise only the fields
 * that differ are told and stamped; the others keep their clocks.
 *
 * detach() forgets the state of records, but devices keep them, and the history
 * goes on from there when a table is attached under that name again.  So a
 * record that the history has and the table has not is gone too, though it has
 * no state.
 *
 * It goes feed by feed (feed_job.c), and compares under the feed's lock: rows,
 * records and history are then of one moment, since nobody can number a
 * change between them.  What a writer has not committed yet he will number
 * himself, from what stood before.
 *
 * The feeds are those that the table has rows of, and after them those that
 * have other records of the collection.  Their hashes are remembered, 8 bytes
 * a feed, and for the time of a feed's visit its records as last told.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "capture.h"
#include "change_log.h"
#include "common/hashfn.h"
#include "errors.h"
#include "feed.h"
#include "feed_job.h"
#include "feed_rows.h"
#include "key.h"
#include "miscadmin.h"
#include "object.h"
#include "record.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(mirusync_rescan_0_2);

/* A record, while its feed is visited. */
typedef struct Told
{
	char *id;
	Jsonb *object; /* what devices were last told; NULL: not known */
	bool live;	   /* its state says that they were told it is there */
	bool there;	   /* so does the history */
	bool present;  /* there is a row */
	char status;
} Told;

#define SH_PREFIX		told
#define SH_ELEMENT_TYPE Told
#define SH_KEY_TYPE		char *
#define SH_KEY			id
#define SH_HASH_KEY(tb, key)                                                   \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(tb, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE		   static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Hash of the name of a feed that was visited. */
typedef struct Visited
{
	uint64 hash;
	char status;
} Visited;

#define SH_PREFIX			 visited
#define SH_ELEMENT_TYPE		 Visited
#define SH_KEY_TYPE			 uint64
#define SH_KEY				 hash
#define SH_HASH_KEY(tb, key) ((uint32) (key))
#define SH_EQUAL(tb, a, b)	 ((a) == (b))
#define SH_SCOPE			 static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Rescan
{
	MiruFeedJob job;
	char *collection;
	visited_hash *visited;

	/* while a feed is visited */
	const char *feed;
	MemoryContext context;
	told_hash *told;
	int64 count; /* rows and records looked at */

	int64 put;
	int64 changed;
	int64 deleted;
	int64 unchanged;
} Rescan;

/* ----- what devices were told ----- */

static Told *
told_of(Rescan *rescan, const char *id)
{
	Told *told = told_lookup(rescan->told, unconstify(char *, id));
	bool found;

	if (told != NULL)
		return told;
	told = told_insert(rescan->told, MemoryContextStrdup(rescan->context, id),
					   &found);
	told->object = NULL;
	told->live = told->there = told->present = false;
	return told;
}

/* fold_change takes a change of the history into account. */
static void
fold_change(void *arg, const MiruLogEntry *entry)
{
	Rescan *rescan = arg;
	Told *told = told_of(rescan, entry->id);
	Jsonb *before = told->object;
	MemoryContext caller = MemoryContextSwitchTo(rescan->context);

	told->there = strcmp(entry->kind, "delete") != 0;
	/* Deleted, or erased. */
	if (entry->to == NULL)
		told->object = NULL;
	else if (entry->from == NULL)
		told->object = miru_object_copy(entry->to); /* all its fields */
	else if (before != NULL)
		told->object = miru_object_apply(before, entry->from, entry->to);
	MemoryContextSwitchTo(caller);
	if (before != NULL && before != told->object)
		pfree(before);
}

static void
note_live(void *arg, const char *id)
{
	Rescan *rescan = arg;

	told_of(rescan, id)->live = true;
	rescan->count++;
}

/* ----- comparing ----- */

static void
compare_row(Rescan *rescan, const MiruFeedRows *rows, HeapTuple row)
{
	TupleDesc desc = rows->rows.desc;
	MiruRelation *rel = rescan->job.rel;
	Datum key[INDEX_MAX_KEYS];
	Told *told;
	Jsonb *object;

	miru_key_values(rel, miru_key_of_row(rel, row, desc), key);
	told = told_of(rescan, miru_key_id(rel, key));
	told->present = true;
	/* What is not synced any more stays as it is with the devices. */
	object = miru_object_without_hidden(rel, told->object);
	if (!told->live)
	{
		miru_capture_row(rows, row, NULL);
		rescan->put++;
	}
	else if (object == NULL ||
			 miru_object_diff_known(rel, object, row, desc) != NIL)
	{
		miru_capture_row(rows, row, object);
		rescan->changed++;
	}
	else
		rescan->unchanged++;
}

/* compare_rows compares the rows of the feed. */
static void
compare_rows(Rescan *rescan)
{
	MiruRelation *rel = rescan->job.rel;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync rescan row",
												  ALLOCSET_DEFAULT_SIZES);
	MiruFeedRows rows;
	HeapTuple row;

	miru_feed_rows_begin(&rows, rel, rescan->feed);
	while ((row = miru_feed_rows_next(&rows)) != NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(per_row);

		if (strcmp(miru_row_collection(rel, row, rows.rows.desc),
				   rescan->collection) == 0)
			compare_row(rescan, &rows, row);
		rescan->count++;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(per_row);
	}
	miru_feed_rows_end(&rows);
	MemoryContextDelete(per_row);
}

/* note_gone notes a record that devices have, if it has no row. */
static void
note_gone(Rescan *rescan, Told *told)
{
	MiruRelation *rel = rescan->job.rel;
	MiruKnown known = {NULL, rescan->collection, told->id};

	if (told->present)
		return;
	known.object = miru_object_without_hidden(rel, told->object);
	miru_capture_gone(rel, rescan->feed, &known);
	rescan->deleted++;
}

static void
note_gone_of_state(void *arg, const char *id)
{
	Rescan *rescan = arg;

	note_gone(rescan, told_of(rescan, id));
}

/* note_gone_of_history notes those that have no state either. */
static void
note_gone_of_history(Rescan *rescan)
{
	told_iterator iterator;
	Told *told;

	told_start_iterate(rescan->told, &iterator);
	while ((told = told_iterate(rescan->told, &iterator)) != NULL)
	{
		if (told->there && !told->live)
			note_gone(rescan, told);
	}
}

/* ----- the job ----- */

static uint64
hash_feed(const char *feed)
{
	return hash_bytes_extended((const unsigned char *) feed, strlen(feed), 0);
}

/* check sees that the collection is still the table's, and complete. */
static void
check(MiruFeedJob *job)
{
	Rescan *rescan = job->state;
	MiruCollection *collection = miru_collection_get(rescan->collection);

	if (collection == NULL || collection->relid != job->relid)
		miru_job_stale(job);
	if (job->rel->backfilling)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("collection \"%s\" is not complete",
						rescan->collection),
				 errhint("Call mirusync.backfill() first.")));
}

static bool
wants(MiruFeedJob *job, const char *feed)
{
	Rescan *rescan = job->state;

	return visited_lookup(rescan->visited, hash_feed(feed)) == NULL;
}

static int64
visit(MiruFeedJob *job, const char *feed)
{
	Rescan *rescan = job->state;
	MemoryContext caller;
	bool found;

	visited_insert(rescan->visited, hash_feed(feed), &found);
	rescan->feed = feed;
	rescan->context = AllocSetContextCreate(CurrentMemoryContext,
											"mirusync rescan feed",
											ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(rescan->context);
	rescan->told = told_create(rescan->context, 64, NULL);
	/* A feed without any counts too, or a transaction would have thousands. */
	rescan->count = 1;
	miru_record_each_live(feed, rescan->collection, note_live, rescan);
	miru_change_log_each(feed, rescan->collection, fold_change, rescan);
	compare_rows(rescan);
	miru_record_each_live(feed, rescan->collection, note_gone_of_state, rescan);
	note_gone_of_history(rescan);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(rescan->context);
	return rescan->count;
}

static void
done(MiruFeedJob *job)
{
}

/* visit_others visits the feeds that were not visited through the table. */
static void
visit_others(Rescan *rescan)
{
	MiruFeedJob *job = &rescan->job;
	char *after = NULL;
	List *feeds;

	do
	{
		MemoryContextReset(job->chunk);
		miru_job_begin(job);
		MemoryContextSwitchTo(job->chunk);
		feeds = miru_feeds_after(after, FEED_JOB_CHUNK);
		miru_job_commit(job);
		if (feeds == NIL)
			break;
		after = pstrdup(llast(feeds));
		miru_job_visit_feeds(job, feeds);
	} while (list_length(feeds) == FEED_JOB_CHUNK);
}

static Oid
find_relation(const char *name)
{
	MiruCollection *collection = miru_collection_get(name);

	if (collection == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("collection \"%s\" does not exist", name)));
	return collection->relid;
}

/* mirusync.rescan(collection, batch_rows) */
Datum
mirusync_rescan_0_2(PG_FUNCTION_ARGS)
{
	Rescan rescan = {0};
	MiruFeedJob *job = &rescan.job;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("arguments of %s must not be null",
						"mirusync.rescan()")));
	rescan.collection = text_to_cstring(PG_GETARG_TEXT_PP(0));
	job->procedure = "mirusync.rescan()";
	job->relid = find_relation(rescan.collection);
	job->batch_rows = PG_GETARG_INT32(1);
	job->check = check;
	job->wants = wants;
	job->visit = visit;
	job->done = done;
	job->state = &rescan;

	miru_job_start(job, fcinfo);
	rescan.collection = MemoryContextStrdup(job->context, rescan.collection);
	rescan.visited = visited_create(job->context, 1024, NULL);
	miru_job_visit_table(job);
	visit_others(&rescan);
	miru_job_visit_busy(job);
	ereport(NOTICE,
			(errmsg("collection \"%s\": " INT64_FORMAT " put, " INT64_FORMAT
					" changed, " INT64_FORMAT " deleted, " INT64_FORMAT
					" unchanged",
					rescan.collection, rescan.put, rescan.changed,
					rescan.deleted, rescan.unchanged)));
	miru_job_end(job);
	PG_RETURN_VOID();
}
