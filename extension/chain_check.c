/*
 * chain_check.c
 *     Does the history of a feed fit its chain?
 *
 * Goes through the changes of a feed in order, under the caller's snapshot,
 * with what trimming has left of those that are gone, and computes each hash
 * anew.  After one that does not fit it goes on from what is stored there, so
 * that each fault is told once, where it is.  What is kept in memory is one
 * change, whatever the feed has.
 *
 * Owns no table and takes no lock but against tables being dropped.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "chain.h"
#include "change_log_table.h"
#include "feed.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(mirusync_chain_faults_0_2);

/* Columns of chain_faults(). */
enum
{
	FAULT_PROBLEM,
	FAULT_SEQ,
	FAULT_DETAIL,
	FAULT_COLUMNS
};

/* What a check works with. */
typedef struct Check
{
	ReturnSetInfo *result;
	int64 head;
	int64 noted; /* number whose hash somebody has noted; -1: none */
	uint8 noted_hash[MIRU_HASH_SIZE];

	int64 next;					/* number that must come now */
	uint8 hash[MIRU_HASH_SIZE]; /* of the change before it */
	bool is_known;				/* that hash is */

	MiruTable log;
	MiruTable trimmed;
	MiruScan log_scan;
	MiruScan trimmed_scan;
	HeapTuple row;						/* next of history, or NULL */
	int64 row_seq;						/* its number */
	bool has_trimmed;					/* there is another digest: */
	int64 trimmed_seq;					/* its number */
	uint8 trimmed_hash[MIRU_HASH_SIZE]; /* the digest */
	MemoryContext per_change;
} Check;

/* put returns a fault. */
static void
put(Check *check, const char *problem, int64 seq, const char *detail)
{
	Datum values[FAULT_COLUMNS] = {CStringGetTextDatum(problem),
								   Int64GetDatum(seq),
								   CStringGetTextDatum(detail)};
	bool nulls[FAULT_COLUMNS] = {false};

	tuplestore_putvalues(check->result->setResult, check->result->setDesc,
						 values, nulls);
}

static char *
name_numbers(int64 from, int64 upto)
{
	if (from == upto)
		return psprintf("number " INT64_FORMAT " is not there", from);
	return psprintf("numbers " INT64_FORMAT " to " INT64_FORMAT
					" are not there",
					from, upto);
}

/* ----- reading ----- */

static void
next_row(Check *check)
{
	bool isnull;

	check->row = miru_scan_next(&check->log_scan, true);
	if (check->row != NULL)
		check->row_seq = DatumGetInt64(
			heap_getattr(check->row, LOG_SEQ, RelationGetDescr(check->log.heap),
						 &isnull));
}

static void
next_trimmed(Check *check)
{
	check->has_trimmed =
		miru_chain_trimmed_next(&check->trimmed_scan, &check->trimmed,
								&check->trimmed_seq, check->trimmed_hash);
}

/* ----- checking ----- */

static void
compare_noted(Check *check, int64 seq)
{
	if (seq == check->noted && check->is_known &&
		memcmp(check->hash, check->noted_hash, MIRU_HASH_SIZE) != 0)
		put(check, "noted", seq, "it has another hash than was noted");
}

/* advance comes to a number that is there. */
static void
advance(Check *check, int64 seq)
{
	if (seq > check->next)
	{
		put(check, "missing", check->next, name_numbers(check->next, seq - 1));
		check->is_known = false;
	}
	check->next = seq + 1;
}

static void
check_row(Check *check)
{
	Datum values[LOG_COLUMNS];
	bool nulls[LOG_COLUMNS];
	uint8 digest[MIRU_HASH_SIZE];
	uint8 expected[MIRU_HASH_SIZE];
	uint8 stored[MIRU_HASH_SIZE];
	bool fits;

	advance(check, check->row_seq);
	heap_deform_tuple(check->row, RelationGetDescr(check->log.heap), values,
					  nulls);
	if (nulls[LOG_HASH - 1] || !miru_seal_get(values[LOG_HASH - 1], stored))
	{
		put(check, "change", check->row_seq, "it has no hash");
		check->is_known = false;
		return;
	}
	fits = miru_seal_change(values, nulls, digest);
	if (fits && check->is_known)
	{
		miru_seal_link(check->hash, digest, expected);
		fits = memcmp(expected, stored, MIRU_HASH_SIZE) == 0;
	}
	if (!fits)
		put(check, "change", check->row_seq,
			"it, or the one before, is not what its hash was made of");
	memcpy(check->hash, stored, MIRU_HASH_SIZE);
	check->is_known = true;
	compare_noted(check, check->row_seq);
}

static void
check_trimmed(Check *check)
{
	advance(check, check->trimmed_seq);
	if (check->is_known)
		miru_seal_link(check->hash, check->trimmed_hash, check->hash);
	compare_noted(check, check->trimmed_seq);
}

/* check_all goes through what is there, up to the head. */
static void
check_all(Check *check)
{
	MemoryContext caller = MemoryContextSwitchTo(check->per_change);

	next_row(check);
	next_trimmed(check);
	while ((check->row != NULL && check->row_seq <= check->head) ||
		   (check->has_trimmed && check->trimmed_seq <= check->head))
	{
		bool is_row = check->row != NULL &&
			(!check->has_trimmed || check->row_seq <= check->trimmed_seq);
		bool is_both = is_row && check->has_trimmed &&
			check->row_seq == check->trimmed_seq;

		CHECK_FOR_INTERRUPTS();
		if (is_both)
			put(check, "change", check->row_seq,
				"it was trimmed, and is there");
		else if (is_row)
			check_row(check);
		if (is_row)
			next_row(check);
		else
		{
			check_trimmed(check);
			next_trimmed(check);
		}
		MemoryContextReset(check->per_change);
	}
	MemoryContextSwitchTo(caller);
}

/* check_below: what is trimmed is not there, what was before the chain may be. */
static void
check_below(Check *check, const char *feed, const MiruAnchor *anchor,
			Snapshot snapshot)
{
	if (anchor->seq <= anchor->since)
		return;
	miru_scan_begin(&check->log_scan, &check->log, "change_log_pkey", feed,
					anchor->since, snapshot);
	next_row(check);
	while (check->row != NULL && check->row_seq <= anchor->seq)
	{
		CHECK_FOR_INTERRUPTS();
		put(check, "change", check->row_seq, "it was trimmed, and is there");
		next_row(check);
	}
	miru_scan_end(&check->log_scan);
}

/* check_noted: the chain must reach to what was noted. */
static void
check_noted(Check *check, const MiruAnchor *anchor)
{
	if (check->noted < 0)
		return;
	if (check->noted > check->head)
		put(check, "noted", check->noted, "the history ends before it");
	else if (check->noted < anchor->seq)
		put(check, "noted", check->noted,
			psprintf(
				"it cannot be compared: the chain begins after number " INT64_FORMAT,
				anchor->seq));
	else
		compare_noted(check, anchor->seq);
}

static void
check_end(Check *check, const MiruFeedState *state)
{
	if (check->next <= check->head)
		put(check, "missing", check->next,
			name_numbers(check->next, check->head));
	else if (check->is_known &&
			 memcmp(check->hash, state->hash, MIRU_HASH_SIZE) != 0)
		put(check, "head", check->head, "the feed has another hash of it");
}

static void
check_chain(Check *check, const char *feed, const MiruFeedState *state)
{
	Snapshot snapshot = GetActiveSnapshot();
	MiruAnchor anchor;

	miru_chain_anchor(feed, snapshot, &anchor);
	check->head = state->head;
	check->next = anchor.seq + 1;
	memcpy(check->hash, anchor.hash, MIRU_HASH_SIZE);
	check->is_known = true;
	check->log = miru_table_open("change_log", false);
	check->trimmed = miru_table_open("chain_trimmed", false);
	check_below(check, feed, &anchor, snapshot);
	check_noted(check, &anchor);
	miru_scan_begin(&check->log_scan, &check->log, "change_log_pkey", feed,
					anchor.seq, snapshot);
	miru_chain_trimmed_begin(&check->trimmed_scan, &check->trimmed, feed,
							 anchor.seq, snapshot);
	check_all(check);
	miru_scan_end(&check->trimmed_scan);
	miru_scan_end(&check->log_scan);
	check_end(check, state);
	miru_table_close(&check->trimmed);
	miru_table_close(&check->log);
}

/* ----- chain_faults() ----- */

static void
read_noted(FunctionCallInfo fcinfo, Check *check)
{
	char *hex;

	check->noted = -1;
	if (PG_ARGISNULL(1) != PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg(
					 "head_seq and head_hash must be given both, or neither")));
	if (PG_ARGISNULL(1))
		return;
	hex = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (PG_GETARG_INT64(1) < 0 || strlen(hex) != 2 * MIRU_HASH_SIZE ||
		strspn(hex, "0123456789abcdefABCDEF") != 2 * MIRU_HASH_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid number or hash of a head"),
				 errdetail("A hash has 64 hexadecimal digits.")));
	check->noted = PG_GETARG_INT64(1);
	(void) hex_decode(hex, 2 * MIRU_HASH_SIZE, (char *) check->noted_hash);
}

/*
 * mirusync_chain_faults_0_2 is chain_faults(feed, head_seq, head_hash): where
 * the history of a feed does not fit its chain.
 */
Datum
mirusync_chain_faults_0_2(PG_FUNCTION_ARGS)
{
	Check check = {0};
	MiruFeedState state;
	char *feed;

	miru_extension_check();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("feed must not be null")));
	feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	read_noted(fcinfo, &check);
	InitMaterializedSRF(fcinfo, 0);
	check.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (!miru_feed_read(feed, GetActiveSnapshot(), &state))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("feed \"%s\" does not exist", feed)));
	check.per_change = AllocSetContextCreate(CurrentMemoryContext,
											 "mirusync chain check",
											 ALLOCSET_DEFAULT_SIZES);
	if (state.chained)
		check_chain(&check, feed, &state);
	else if (check.noted >= 0)
		put(&check, "noted", check.noted, "the feed has no chain");
	return (Datum) 0;
}
