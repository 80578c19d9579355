/*
 * conflict.c
 *     Conflicts: two changes that neither writer knew of, where a value lost.
 *
 * Owns mirusync.conflict; nobody else writes it but erase_others().  A row keeps both values,
 * who wrote them and when, the rule, and what stands by it.  It is found out
 * while a change is merged, and written when the change has its number, in
 * the transaction of the push: a verdict says nothing that is not kept.
 *
 * What was decided can be decided anew (resolve.c), once.  The row stays.
 *
 * Ordering and locks: rows are only added, under ids from a sequence.  Who
 * resolves one holds a lock of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "capture.h"
#include "commands/sequence.h"
#include "conflict.h"
#include "miscadmin.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of mirusync.conflict. */
enum
{
	CONFLICT_FEED = 1,
	CONFLICT_ID,
	CONFLICT_COLLECTION,
	CONFLICT_RECORD,
	CONFLICT_FIELD,
	CONFLICT_RULE,
	CONFLICT_OUTCOME,
	CONFLICT_STORED,
	CONFLICT_STORED_CLOCK,
	CONFLICT_STORED_DEVICE,
	CONFLICT_STORED_SEQ,
	CONFLICT_INCOMING,
	CONFLICT_INCOMING_CLOCK,
	CONFLICT_INCOMING_DEVICE,
	CONFLICT_INCOMING_SEQ,
	CONFLICT_NUMBER,
	CONFLICT_USER,
	CONFLICT_BASE,
	CONFLICT_AT,
	CONFLICT_RESOLVED_AT,
	CONFLICT_RESOLVED_BY,
	CONFLICT_RESOLUTION,
	CONFLICT_RESOLVED_USER,
	CONFLICT_ERASURE,
	CONFLICT_COLUMNS = CONFLICT_ERASURE
};

static const char *const outcome_names[] = {
	[MIRU_STORED_STANDS] = "stored",
	[MIRU_INCOMING_STANDS] = "incoming",
	[MIRU_OPEN] = "open",
};

/* A row being put together. */
typedef struct Form
{
	Datum values[CONFLICT_COLUMNS];
	bool nulls[CONFLICT_COLUMNS];
} Form;

static void
set(Form *form, int column, Datum value)
{
	form->values[column - 1] = value;
	form->nulls[column - 1] = false;
}

static void
set_text(Form *form, int column, const char *text)
{
	if (text != NULL)
		set(form, column, CStringGetTextDatum(text));
}

/* set_side sets the four columns of a side, which begin with the value. */
static void
set_side(Form *form, int column, const MiruConflictSide *side, int64 seq)
{
	if (side->value != NULL)
		set(form, column, JsonbPGetDatum(side->value));
	set(form, column + 1, Int64GetDatum((int64) side->stamp.clock));
	if (side->stamp.device[0] != '\0')
		set_text(form, column + 2, side->stamp.device);
	if (seq > 0)
		set(form, column + 3, Int64GetDatum(seq));
}

/* stored_seq returns the number of the stored value, now that it has one. */
static int64
stored_seq(const MiruConflict *conflict)
{
	const MiruOrigin *origin;

	if (conflict->stored.stamp.seq != 0 || conflict->pending < 0)
		return conflict->stored.stamp.seq;
	/* The pushes of one record in a transaction make one change. */
	origin = miru_origin_get(conflict->pending);
	while (origin->next >= 0)
		origin = miru_origin_get(origin->next);
	return origin->seq;
}

static void
store(MiruTable *table, const MiruPusher *pusher, const MiruChange *change,
	  MiruConflict *conflict)
{
	Form form;

	memset(form.nulls, true, sizeof(form.nulls));
	conflict->id = nextval_internal(miru_table_oid("conflict_id"), false);
	set_text(&form, CONFLICT_FEED, change->feed);
	set(&form, CONFLICT_ID, Int64GetDatum(conflict->id));
	set_text(&form, CONFLICT_COLLECTION, conflict->collection);
	set_text(&form, CONFLICT_RECORD, conflict->record);
	set_text(&form, CONFLICT_FIELD, conflict->field);
	set_text(&form, CONFLICT_RULE, conflict->rule);
	set_text(&form, CONFLICT_OUTCOME, outcome_names[conflict->outcome]);
	set_side(&form, CONFLICT_STORED, &conflict->stored, stored_seq(conflict));
	set_side(&form, CONFLICT_INCOMING, &conflict->incoming,
			 change->verdict == MIRU_STALE ? 0 : change->seq);
	if (change->number > 0)
		set(&form, CONFLICT_NUMBER, Int64GetDatum(change->number));
	set_text(&form, CONFLICT_USER, pusher->user);
	if (change->base != MIRU_BASE_UNKNOWN)
		set(&form, CONFLICT_BASE, Int64GetDatum(change->base));
	set(&form, CONFLICT_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	miru_table_insert(table, form.values, form.nulls);
}

void
miru_conflict_store(const MiruPusher *pusher, const MiruChange *change)
{
	MiruTable table;
	ListCell *cell;

	if (change->conflicts == NIL || change->verdict == MIRU_REJECTED)
		return;
	/* Where nothing was numbered nothing else sees to it. */
	ForceSyncCommit();
	table = miru_table_open("conflict", true);
	foreach(cell, change->conflicts)
		store(&table, pusher, change, lfirst(cell));
	miru_table_close(&table);
}

/* ----- reading ----- */

static char *
get_text(const Form *form, int column)
{
	return form->nulls[column - 1]
		? NULL
		: TextDatumGetCString(form->values[column - 1]);
}

static MiruConflictSide
get_side(const Form *form, int column)
{
	MiruConflictSide side = {0};

	if (!form->nulls[column - 1])
		side.value = DatumGetJsonbPCopy(form->values[column - 1]);
	return side;
}

static MiruConflictOutcome
get_outcome(const Form *form)
{
	char *name = get_text(form, CONFLICT_OUTCOME);
	MiruConflictOutcome outcome = MIRU_STORED_STANDS;

	while (outcome < MIRU_OPEN && strcmp(outcome_names[outcome], name) != 0)
		outcome++;
	return outcome;
}

static MiruConflict *
from_row(HeapTuple row, TupleDesc desc)
{
	MiruConflict *conflict = palloc0(sizeof(MiruConflict));
	Form form;

	heap_deform_tuple(row, desc, form.values, form.nulls);
	conflict->id = DatumGetInt64(form.values[CONFLICT_ID - 1]);
	conflict->collection = get_text(&form, CONFLICT_COLLECTION);
	conflict->record = get_text(&form, CONFLICT_RECORD);
	conflict->field = get_text(&form, CONFLICT_FIELD);
	conflict->rule = get_text(&form, CONFLICT_RULE);
	conflict->outcome = get_outcome(&form);
	conflict->stored = get_side(&form, CONFLICT_STORED);
	conflict->incoming = get_side(&form, CONFLICT_INCOMING);
	conflict->is_resolved = !form.nulls[CONFLICT_RESOLVED_AT - 1];
	conflict->is_erased = conflict->is_resolved &&
		strcmp(get_text(&form, CONFLICT_RESOLUTION), "erased") == 0;
	conflict->row = row;
	return conflict;
}

MiruConflict *
miru_conflict_read(MiruTable *table, const char *feed, int64 id)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleDesc desc = RelationGetDescr(table->heap);
	MiruConflict *conflict = NULL;
	MiruScan scan;
	HeapTuple row;

	miru_scan_begin(&scan, table, "conflict_pkey", feed, id - 1, snapshot);
	row = miru_scan_next(&scan, true);
	if (row != NULL)
		conflict = from_row(heap_copytuple(row), desc);
	miru_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	return conflict != NULL && conflict->id == id ? conflict : NULL;
}

void
miru_conflict_set_resolved(MiruTable *table, MiruConflict *conflict,
						   const char *resolution, const char *user)
{
	Form form;

	heap_deform_tuple(conflict->row, RelationGetDescr(table->heap), form.values,
					  form.nulls);
	set(&form, CONFLICT_RESOLVED_AT,
		TimestampTzGetDatum(GetCurrentTimestamp()));
	set(&form, CONFLICT_RESOLVED_BY,
		ObjectIdGetDatum(user ? GetSessionUserId() : GetUserId()));
	set_text(&form, CONFLICT_RESOLUTION, resolution);
	set_text(&form, CONFLICT_RESOLVED_USER, user);
	miru_table_update(table, conflict->row, form.values, form.nulls);
}

int64
miru_conflict_forget(const char *feed, int64 *from, int64 upto, int64 max)
{
	return miru_table_forget("conflict", "conflict_pkey", feed, from, upto, max,
							 CONFLICT_ID, NULL, NULL);
}
