/*
 * trim.c
 *     Trimming: old history and old tombstones go, as retention says.
 *
 * Owns no table.  Feed by feed, it asks mirusync.trim_bounds() up to which
 * number each collection is to be trimmed, then deletes in batches, each in a
 * transaction of its own under the feed's lock, as flush writes them.  Somebody
 * who writes meanwhile waits for a batch at most.  A call that was cut off can
 * be made again.
 *
 * History can go at any time: sync does not read it, and what does is told
 * that it is not there.
 *
 * Tombstones are all that tells a device to delete.  Before the first of them
 * goes the feed's floor is raised to the last one that will, and the feed
 * begins an epoch of its own: whoever comes with a cursor of an earlier epoch
 * from below the floor starts over.  A cursor of the new epoch may be below
 * it, in the middle of a catch-up: what it read, it read when all that was
 * deleted up to the floor was gone.  docs/internals/retention.md argues this.
 *
 * Everything is done as the owner of the extension, so the caller needs no
 * right but that to execute it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "change_log.h"
#include "convert.h"
#include "executor/spi.h"
#include "feed_steps.h"
#include "fmgr.h"
#include "record.h"
#include "trim.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mirusync_trim_0_2);

/* So many feeds are listed at once. */
#define FEEDS_AT_ONCE 1000

/* Up to which numbers a collection is trimmed; 0: not at all. */
typedef struct Bound
{
	char *collection;
	int64 history;
	int64 tombstones;
} Bound;

/* What a call works with. */
typedef struct Trim
{
	int64 batch;	 /* rows to look at in a transaction */
	Interval active; /* devices seen within it are waited for */
	MiruSteps steps;
	MemoryContext one; /* of a feed; reset after each */
	char *feed;
	List *bounds;  /* of Bound */
	int64 history; /* the greatest of each */
	int64 tombstones;
} Trim;

/* ----- what to trim ----- */

static int64
get_bound(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row, desc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static void
keep_bound(Trim *trim, HeapTuple row, TupleDesc desc)
{
	MemoryContext old_context = MemoryContextSwitchTo(trim->one);
	Bound *bound = palloc(sizeof(Bound));
	bool isnull;

	bound->collection = TextDatumGetCString(
		SPI_getbinval(row, desc, 1, &isnull));
	bound->history = get_bound(row, desc, 2);
	bound->tombstones = get_bound(row, desc, 3);
	trim->bounds = lappend(trim->bounds, bound);
	trim->history = Max(trim->history, bound->history);
	trim->tombstones = Max(trim->tombstones, bound->tombstones);
	MemoryContextSwitchTo(old_context);
}

static void
read_bounds(Trim *trim)
{
	Oid types[] = {TEXTOID, INTERVALOID};
	Datum values[] = {CStringGetTextDatum(trim->feed),
					  IntervalPGetDatum(&trim->active)};
	int result;

	trim->bounds = NIL;
	trim->history = trim->tombstones = 0;
	miru_steps_become_owner(&trim->steps);
	miru_steps_snapshot();
	result =
		SPI_execute_with_args("SELECT collection, history_upto, tombstones_upto"
							  " FROM mirusync.trim_bounds($1, $2)",
							  2, types, values, NULL, false, 0);
	miru_steps_become_caller(&trim->steps);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read what to trim: %s",
			 SPI_result_code_string(result));
	for (uint64 i = 0; i < SPI_processed; i++)
		keep_bound(trim, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_freetuptable(SPI_tuptable);
}

static const Bound *
find_bound(const Trim *trim, const char *collection)
{
	ListCell *cell;

	foreach(cell, trim->bounds)
	{
		Bound *bound = lfirst(cell);

		if (strcmp(bound->collection, collection) == 0)
			return bound;
	}
	return NULL;
}

static int64
history_upto(void *arg, const char *collection)
{
	const Bound *bound = find_bound(arg, collection);

	return bound ? bound->history : 0;
}

static int64
tombstones_upto(void *arg, const char *collection)
{
	const Bound *bound = find_bound(arg, collection);

	return bound ? bound->tombstones : 0;
}

/* ----- trimming it ----- */

static void
trim_history(Trim *trim)
{
	int64 from = 0;
	int64 seen = trim->batch;

	while (seen == trim->batch && from < trim->history)
	{
		MiruTable table;
		MiruFeed feed;

		miru_steps_lock(&table, &feed, trim->feed);
		seen = miru_change_log_trim(trim->feed, &from, trim->history,
									trim->batch, history_upto, trim);
		miru_table_close(&table);
		miru_steps_commit(&trim->steps);
	}
}

/*
 * prepare_floor sees that the floor is high enough, and returns the number up
 * to which tombstones may go.
 */
static int64
prepare_floor(Trim *trim)
{
	MiruTable table;
	MiruFeed feed;
	int64 floor;

	miru_steps_lock(&table, &feed, trim->feed);
	floor = feed.floor;
	if (trim->tombstones > floor &&
		miru_feed_raise_floor(&table, &feed, trim->tombstones))
	{
		floor = trim->tombstones;
		/* A device that was sent on must not find the old epoch again. */
		ForceSyncCommit();
	}
	miru_table_close(&table);
	miru_steps_commit(&trim->steps);
	return Min(floor, trim->tombstones);
}

static void
trim_tombstones(Trim *trim)
{
	int64 from = 0;
	int64 seen = trim->batch;
	int64 last;

	if (trim->tombstones == 0)
		return;
	last = prepare_floor(trim);
	while (seen == trim->batch && from < last)
	{
		MiruTable table;
		MiruFeed feed;

		miru_steps_lock(&table, &feed, trim->feed);
		seen = miru_record_trim(trim->feed, &from, last, trim->batch,
								tombstones_upto, trim);
		miru_table_close(&table);
		miru_steps_commit(&trim->steps);
	}
}

static void
trim_feed(Trim *trim, const char *name)
{
	trim->feed = MemoryContextStrdup(trim->one, name);
	read_bounds(trim);
	miru_steps_commit(&trim->steps);
	trim_history(trim);
	trim_tombstones(trim);
	MemoryContextReset(trim->one);
}

static void
trim_feeds(Trim *trim)
{
	char *after = NULL;
	List *names;

	do
	{
		ListCell *cell;

		MemoryContextSwitchTo(trim->steps.call);
		names = miru_feeds_after(after, FEEDS_AT_ONCE);
		foreach(cell, names)
		{
			MemoryContextSwitchTo(trim->steps.step);
			trim_feed(trim, lfirst(cell));
			after = lfirst(cell);
		}
	} while (list_length(names) == FEEDS_AT_ONCE);
}

/* ----- trim() ----- */

static void
check_arguments(FunctionCallInfo fcinfo)
{
	Interval *active;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("batch_rows and active must not be null")));
	if (PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_rows must be at least 1")));
	active = PG_GETARG_INTERVAL_P(2);
	if (active->month < 0 || active->day < 0 || active->time < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("active must not be negative")));
	miru_steps_check_call("mirusync.trim()", fcinfo);
}

void
miru_trim(const char *feed, int64 batch, const Interval *active)
{
	Trim trim = {.batch = batch, .active = *active};

	miru_steps_begin(&trim.steps);
	trim.one = AllocSetContextCreate(trim.steps.call, "mirusync trim feed",
									 ALLOCSET_DEFAULT_SIZES);
	if (feed == NULL)
		trim_feeds(&trim);
	else
	{
		miru_feed_check(feed);
		trim_feed(&trim, feed);
	}
	miru_steps_end(&trim.steps);
}

/* mirusync_trim_0_2 is trim(feed, batch_rows, active). */
Datum
mirusync_trim_0_2(PG_FUNCTION_ARGS)
{
	check_arguments(fcinfo);
	miru_trim(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)),
			  PG_GETARG_INT32(1), PG_GETARG_INTERVAL_P(2));
	PG_RETURN_VOID();
}
