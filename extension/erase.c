/*
 * erase.c
 *     Erasing what history holds of a record, or of a whole feed.
 *
 * Owns mirusync.erasure: what was erased, when, and by whom; what is SQL of it
 * is in sql/install/79_erasure.sql.  What was stays a change with its number,
 * time and writer; from which value to which it was goes, and whatever else
 * keeps such values: conflicts, the inbox of rejected changes, verdicts that
 * are kept for their devices, last images of deleted records, and elements
 * that were removed from sets.  What stands in the application's table stays.
 *
 * An erasure reaches up to the head of the feed when it begins.  It is noted
 * first, in a transaction of its own, then rows go in batches, each in a
 * transaction under the feed's lock, as flush writes them.  Somebody who
 * writes meanwhile waits for a batch at most.  A call that was cut off can be
 * made again; what it had erased stays under its own number.
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
#include "erase.h"
#include "executor/spi.h"
#include "feed_steps.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "record.h"
#include "registry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mirusync_erase_0_2);

/* Columns of mirusync.erasure that are named here. */
enum
{
	ERASURE_FEED = 1,
	ERASURE_NUMBER
};

/* What a call works with. */
typedef struct Erase
{
	char *feed;
	char *collection; /* NULL: the whole feed */
	char *id;
	int64 batch; /* rows in a transaction */
	int64 upto;	 /* head when it began */
	int64 number;
	int64 changes; /* erased so far */
	MiruSteps steps;
} Erase;

/* ----- statements, in 79_erasure.sql ----- */

/* ask calls one of the functions that do what is SQL; returns its answer. */
static Datum
ask(Erase *erase, const char *sql, int64 number, int64 limit)
{
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID};
	char nulls[] = "     ";
	Datum values[] = {CStringGetTextDatum(erase->feed), (Datum) 0, (Datum) 0,
					  Int64GetDatum(number), Int64GetDatum(limit)};
	bool isnull;
	Datum answer;

	if (erase->collection == NULL)
		nulls[1] = nulls[2] = 'n';
	else
	{
		values[1] = CStringGetTextDatum(erase->collection);
		values[2] = CStringGetTextDatum(erase->id);
	}
	miru_steps_become_owner(&erase->steps);
	if (SPI_execute_with_args(sql, lengthof(types), types, values, nulls, false,
							  0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not erase");
	miru_steps_become_caller(&erase->steps);
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						   &isnull);
	return isnull ? Int64GetDatum(0) : answer;
}

/* begin notes the erasure under the feed's next number of one. */
static void
begin(Erase *erase)
{
	MiruTable table;
	MiruFeed feed;

	miru_feed_check(erase->feed);
	miru_steps_lock(&table, &feed, erase->feed);
	erase->upto = feed.head;
	erase->number = DatumGetInt64(
		ask(erase, "SELECT mirusync.erase_begin($1, $2, $3, $4, $5)",
			erase->upto, GetSessionUserId()));
	miru_table_close(&table);
	miru_steps_commit(&erase->steps);
}

/* ----- history and state ----- */

/* next_changes returns the numbers of changes to erase after one, bigint[]. */
static ArrayType *
next_changes(Erase *erase, int64 after)
{
	Datum seqs = ask(erase, "SELECT mirusync.erase_next($1, $2, $3, $4, $5)",
					 after, erase->batch);

	return DatumGetArrayTypePCopy(seqs);
}

/* erase_changes erases a batch after "seq", which moves on; 0: no more. */
static void
erase_changes(Erase *erase, int64 *seq)
{
	ArrayType *seqs = next_changes(erase, *seq);
	MiruTable log = miru_table_open("change_log", true);
	int count = ArrayGetNItems(ARR_NDIM(seqs), ARR_DIMS(seqs));
	int64 *numbers = (int64 *) ARR_DATA_PTR(seqs);

	/* For values stored out of line. */
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < count && numbers[i] <= erase->upto; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (miru_change_log_erase(&log, erase->feed, numbers[i], erase->number))
			erase->changes++;
	}
	PopActiveSnapshot();
	*seq = count == erase->batch ? numbers[count - 1] : 0;
	miru_table_close(&log);
}

static void
erase_history(Erase *erase)
{
	int64 seq = 0;

	do
	{
		MiruTable table;
		MiruFeed feed;

		miru_steps_lock(&table, &feed, erase->feed);
		erase_changes(erase, &seq);
		miru_table_close(&table);
		miru_steps_commit(&erase->steps);
	} while (seq > 0);
}

/* erase_state erases last images of deleted records, and the like. */
static void
erase_state(Erase *erase)
{
	int64 from = 0;
	int64 seen;

	do
	{
		MiruTable table;
		MiruFeed feed;

		miru_steps_lock(&table, &feed, erase->feed);
		seen = miru_record_erase(erase->feed, erase->collection, erase->id,
								 &from, erase->upto, erase->batch);
		miru_table_close(&table);
		miru_steps_commit(&erase->steps);
	} while (seen == erase->batch);
}

/* erase_others erases what conflicts, inbox and kept verdicts have. */
static void
erase_others(Erase *erase)
{
	int64 done;

	do
	{
		done = DatumGetInt64(
			ask(erase, "SELECT mirusync.erase_others($1, $2, $3, $4, $5)",
				erase->number, erase->batch));
		miru_steps_commit(&erase->steps);
	} while (done > 0);
}

int64
miru_erasure_forget(const char *feed, int64 *from, int64 upto, int64 max)
{
	return miru_table_forget("erasure", "erasure_pkey", feed, from, upto, max,
							 ERASURE_NUMBER, NULL, NULL);
}

/* ----- erase() ----- */

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("feed and batch_rows must not be null")));
	/* An id that is null by mistake must not erase all there is. */
	if (PG_ARGISNULL(1) != PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("collection and id must be given both, or neither")));
	if (PG_GETARG_INT32(3) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_rows must be at least 1")));
	miru_steps_check_call("mirusync.erase()", fcinfo);
}

/* mirusync_erase_0_2 is erase(feed, collection, id, batch_rows). */
Datum
mirusync_erase_0_2(PG_FUNCTION_ARGS)
{
	Erase erase = {0};

	check_arguments(fcinfo);
	erase.feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(1))
	{
		erase.collection = text_to_cstring(PG_GETARG_TEXT_PP(1));
		erase.id = text_to_cstring(PG_GETARG_TEXT_PP(2));
	}
	erase.batch = PG_GETARG_INT32(3);
	miru_steps_begin(&erase.steps);

	begin(&erase);
	erase_history(&erase);
	erase_state(&erase);
	erase_others(&erase);
	(void) ask(&erase, "SELECT mirusync.erase_end($1, $4, $5)", erase.number,
			   erase.changes);
	miru_steps_commit(&erase.steps);

	miru_steps_end(&erase.steps);
	PG_RETURN_VOID();
}
