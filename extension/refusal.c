/*
 * refusal.c
 *     The inbox: pushed changes that were refused and wait.
 *
 * Owns mirusync.refusal; erase_others() deletes what is to be erased.
 *
 * A row is one change.  Changes of one event came together and are tried
 * together; "part_of" says so, as in the change log.  What waits behind what
 * is not stored: a numbered change waits behind the earlier numbered ones of
 * its device to its record (waiting.c), which are what the index has.
 *
 * The change is kept in the form that push() takes, so that the batch's own
 * parser reads it again.  What it would find in another state later is made
 * definite: a change without a clock gets that of its arrival, for it was
 * there before whatever is written until it is retried.
 *
 * It is bounded: per feed so many changes and bytes.  What finds no room is
 * not kept, rather than an older one thrown away of which the device was told
 * that it is.  Two devices that are refused at once may exceed the bound by
 * what each of them sends at once.
 *
 * Locks: whoever puts a numbered change behind another one, or takes one out,
 * holds the lock of its device (verdict.c), taken before he looks.  Else a
 * change could come to wait behind one that is just being retried, and nobody
 * would release it.  Of an event the rows are lock enough.
 *
 * The functions that write need a connected SPI, and the rights of the owner.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup.h"
#include "batch.h"
#include "capture.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "guc.h"
#include "jsonb_build.h"
#include "object.h"
#include "record.h"
#include "refusal.h"
#include "statement.h"
#include "table.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MATCH_DEVICE                                                           \
	" WHERE feed OPERATOR(pg_catalog.=) $1"                                    \
	" AND device OPERATOR(pg_catalog.=) $2 AND type IS NULL"
#define MATCH_NUMBER                                                           \
	" WHERE feed OPERATOR(pg_catalog.=) $1"                                    \
	" AND number OPERATOR(pg_catalog.=) $2"

/* ----- looking ----- */

/* is_there tells whether a row begins with these columns of refusal_record. */
static bool
is_there(const char *const *columns, int count)
{
	MiruTable table = miru_table_open("refusal", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	HeapTuple row = miru_table_find(&table, "refusal_record", columns, count,
									snapshot);

	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return row != NULL;
}

bool
miru_refusal_any(const char *feed, const char *device)
{
	const char *columns[] = {feed, device};

	return is_there(columns, lengthof(columns));
}

bool
miru_refusal_waits(const char *feed, const char *device, const char *collection,
				   const char *id)
{
	const char *columns[] = {feed, device, collection, id};

	return is_there(columns, lengthof(columns));
}

char *
miru_refusal_device(const char *feed, int64 number)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(feed), Int64GetDatum(number)};

	miru_statement_run(&plan,
					   "SELECT device FROM mirusync.refusal" MATCH_NUMBER
					   " AND type IS NULL",
					   2, types, values, NULL);
	if (SPI_processed == 0)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* ----- keeping ----- */

static void
set(Jsonb **object, const char *key, Jsonb *value)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	miru_build_key(&state, key);
	pushJsonbValue(&state, WJB_VALUE, miru_value_of_jsonb(value));
	*object = miru_object_overlay(*object, miru_build_end(&state));
}

/* last_clock returns the clock of the last one that waits for a record. */
static Hlc
last_clock(const char *device, const MiruChange *change)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(change->feed),
					  CStringGetTextDatum(device),
					  CStringGetTextDatum(change->collection),
					  CStringGetTextDatum(change->id)};
	Hlc clock = 0;
	char *text;

	miru_statement_run(&plan,
					   "SELECT change OPERATOR(pg_catalog.->>) 'clock'"
					   " FROM mirusync.refusal" MATCH_DEVICE
					   " AND collection OPERATOR(pg_catalog.=) $3"
					   " AND id OPERATOR(pg_catalog.=) $4"
					   " ORDER BY number DESC LIMIT 1",
					   4, types, values, NULL);
	if (SPI_processed == 0)
		return 0;
	text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	(void) hlc_parse(text, strlen(text), &clock);
	return clock;
}

/*
 * arrival_clock returns the clock of a change that has none: later than all
 * that its record has seen, as if it had been applied on arrival, and than
 * what it waits behind.
 */
static Hlc
arrival_clock(const char *device, const MiruChange *change, TimestampTz now)
{
	MiruTable table = miru_table_open("record", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	MiruRecord *record = miru_record_find(&table, change->feed,
										  change->collection, change->id,
										  snapshot);
	MiruOrigin *pending = miru_origin_pending(change->feed, change->collection,
											  change->id);
	Hlc seen = last_clock(device, change);

	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	if (record != NULL)
		seen = hlc_max(seen, record->clock);
	if (pending != NULL)
		seen = hlc_max(seen, pending->stamp.clock);
	return hlc_tick(seen, (now - SetEpochTimestamp()) / 1000);
}

/* as_sent returns a change in the form that push() takes. */
static Jsonb *
as_sent(const char *device, const MiruChange *change, TimestampTz now)
{
	JsonbParseState *state;
	Hlc clock = change->clock ? change->clock
							  : arrival_clock(device, change, now);
	char text[HLC_TEXT_SIZE];
	Jsonb *result;

	hlc_format(clock, text);
	miru_build_begin(&state);
	miru_build_text(&state, "clock", text);
	if (change->type != NULL)
	{
		miru_build_text(&state, "kind", miru_kind_name(change->kind));
		miru_build_text(&state, "collection", change->collection);
		miru_build_text(&state, "id", change->id);
	}
	result = miru_build_end(&state);
	if (change->sent != NULL)
		return miru_object_overlay(change->sent, result);
	if (change->object != NULL)
		set(&result, change->kind == MIRU_DELETE ? "image" : "fields",
			change->object);
	return result;
}

/* has_room tells whether so many more changes and bytes may be kept. */
static bool
has_room(const char *feed, int count, int64 bytes)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(feed)};
	HeapTuple row;
	bool isnull;

	miru_statement_run(
		&plan,
		"SELECT pg_catalog.count(*), coalesce(pg_catalog.sum("
		"pg_catalog.int8(pg_catalog.pg_column_size(r.change))), 0)"
		"::pg_catalog.int8 FROM mirusync.refusal r"
		" WHERE r.feed OPERATOR(pg_catalog.=) $1",
		1, types, values, NULL);
	row = SPI_tuptable->vals[0];
	count += DatumGetInt64(
		SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
	bytes += DatumGetInt64(
		SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	return count <= miru_rejected_max_changes &&
		bytes <= (int64) miru_rejected_max_size * 1024;
}

static char *
sqlstate_text(int sqlstate)
{
	return pstrdup(unpack_sql_state(sqlstate));
}

static void
insert(const MiruPusher *pusher, MiruChange *change, Jsonb *sent, int64 part_of,
	   TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT8OID, TEXTOID, TEXTOID,		 INT8OID,
				   TEXTOID, TEXTOID, TEXTOID, JSONBOID,		 TEXTOID,
				   TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID};
	bool tried = change->sqlstate != ERRCODE_MIRU_WAITS;
	char nulls[] = "              ";
	Datum values[lengthof(types)];
	bool isnull;

	values[0] = CStringGetTextDatum(change->feed);
	values[1] = Int64GetDatum(part_of);
	nulls[1] = part_of == 0 ? 'n' : ' ';
	values[2] = CStringGetTextDatum(pusher->user);
	values[3] = CStringGetTextDatum(pusher->device);
	values[4] = Int64GetDatum(change->number);
	nulls[4] = change->number == 0 ? 'n' : ' ';
	values[5] = change->type ? CStringGetTextDatum(change->type) : (Datum) 0;
	nulls[5] = change->type == NULL ? 'n' : ' ';
	values[6] = CStringGetTextDatum(change->collection);
	values[7] = CStringGetTextDatum(change->id);
	values[8] = JsonbPGetDatum(sent);
	values[9] = CStringGetTextDatum(sqlstate_text(change->sqlstate));
	values[10] = CStringGetTextDatum(change->reason);
	values[11] = change->detail ? CStringGetTextDatum(change->detail)
								: (Datum) 0;
	nulls[11] = change->detail == NULL ? 'n' : ' ';
	values[12] = Int32GetDatum(tried ? 1 : 0);
	values[13] = TimestampTzGetDatum(at);
	miru_statement_run(
		&plan,
		"INSERT INTO mirusync.refusal (feed, number, part_of, user_id, device,"
		" device_number, type, collection, id, change, sqlstate, message,"
		" detail, tries, at, tried_at)"
		" SELECT $1, n, coalesce($2, n), $3, $4, $5, $6, $7, $8, $9, $10, $11,"
		" $12, $13, $14,"
		" CASE WHEN $13 OPERATOR(pg_catalog.>) 0 THEN $14 END"
		" FROM pg_catalog.nextval('mirusync.refusal_number_seq') n"
		" RETURNING number",
		lengthof(types), types, values, nulls);
	change->inbox = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
												SPI_tuptable->tupdesc, 1,
												&isnull));
}

/* ----- the same event again ----- */

/*
 * find_same looks for a change of an event that says the same: the first one
 * of as many as "count", or if "part_of" is not 0 one of those.  It sets the
 * change's number in the inbox, and returns what it is part of; 0: none.
 */
static int64
find_same(MiruChange *change, Jsonb *sent, int64 part_of, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID,	 TEXTOID, TEXTOID, TEXTOID,
				   JSONBOID, INT8OID, INT4OID};
	Datum values[] = {CStringGetTextDatum(change->feed),
					  CStringGetTextDatum(change->collection),
					  CStringGetTextDatum(change->id),
					  CStringGetTextDatum(change->type),
					  JsonbPGetDatum(sent),
					  Int64GetDatum(part_of),
					  Int32GetDatum(count)};
	TupleDesc desc;
	HeapTuple row;
	bool isnull;

	miru_statement_run(&plan,
					   "SELECT number, part_of FROM mirusync.refusal r"
					   " WHERE feed OPERATOR(pg_catalog.=) $1"
					   " AND collection OPERATOR(pg_catalog.=) $2"
					   " AND id OPERATOR(pg_catalog.=) $3"
					   " AND type OPERATOR(pg_catalog.=) $4"
					   " AND change OPERATOR(pg_catalog.=) $5"
					   " AND CASE WHEN $6 OPERATOR(pg_catalog.=) 0"
					   " THEN number OPERATOR(pg_catalog.=) part_of AND"
					   " (SELECT pg_catalog.count(*) FROM mirusync.refusal u"
					   " WHERE u.feed OPERATOR(pg_catalog.=) $1 AND"
					   " u.part_of OPERATOR(pg_catalog.=) r.part_of)"
					   " OPERATOR(pg_catalog.=) $7"
					   " ELSE part_of OPERATOR(pg_catalog.=) $6 END"
					   " ORDER BY number LIMIT 1 FOR UPDATE",
					   lengthof(types), types, values, NULL);
	if (SPI_processed == 0)
		return 0;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	change->inbox = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	return DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
}

/* is_kept tells whether an event waits already, and notes why it does now. */
static bool
is_kept(List *changes, List *sent)
{
	MiruChange *first = linitial(changes);
	int64 part_of = 0;
	ListCell *cell;
	ListCell *other;

	if (first->type == NULL)
		return false; /* a numbered change has its verdict */
	forboth(cell, changes, other, sent)
	{
		part_of = find_same(lfirst(cell), lfirst(other), part_of,
							list_length(changes));
		if (part_of == 0)
			return false;
	}
	foreach(cell, changes)
	{
		MiruChange *change = lfirst(cell);

		miru_refusal_failed(change->feed, change->inbox, change);
	}
	return true;
}

void
miru_refusal_keep(const MiruPusher *pusher, List *changes)
{
	TimestampTz now = GetCurrentTimestamp();
	MiruChange *first = linitial(changes);
	int64 bytes = 0;
	bool no_room;
	List *sent = NIL;
	ListCell *cell;
	ListCell *other;

	foreach(cell, changes)
	{
		sent = lappend(sent, as_sent(pusher->device, lfirst(cell), now));
		bytes += VARSIZE(llast(sent));
	}
	if (is_kept(changes, sent))
		return;
	no_room = !has_room(first->feed, list_length(changes), bytes);
	foreach(cell, changes)
	{
		MiruChange *change = lfirst(cell);

		change->inbox = 0;
		change->no_room = no_room;
	}
	if (no_room)
		return;
	forboth(cell, changes, other, sent)
		insert(pusher, lfirst(cell), lfirst(other), first->inbox, now);
}

/* ----- for retry() and discard() ----- */

static MiruRefusal *
refusal_from_row(HeapTuple row, TupleDesc desc, const char *feed)
{
	MiruRefusal *refusal = palloc(sizeof(MiruRefusal));
	MiruChange *change;
	Jsonb *sent;
	bool isnull;
	TimestampTz at;
	Datum number;

	refusal->number = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	refusal->part_of = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
	refusal->user = SPI_getvalue(row, desc, 3);
	refusal->device = SPI_getvalue(row, desc, 4);
	sent = DatumGetJsonbPCopy(SPI_getbinval(row, desc, 5, &isnull));
	change = miru_batch_read_change(sent);
	change->feed = pstrdup(feed);
	change->collection = SPI_getvalue(row, desc, 6);
	change->id = SPI_getvalue(row, desc, 7);
	change->type = SPI_getvalue(row, desc, 8);
	at = DatumGetTimestampTz(SPI_getbinval(row, desc, 9, &isnull));
	change->arrived_ms = (at - SetEpochTimestamp()) / 1000;
	number = SPI_getbinval(row, desc, 10, &isnull);
	change->number = isnull ? 0 : DatumGetInt64(number);
	if (change->type != NULL)
	{
		JsonbValue image;

		change->delete_slack = change->ties_lose = true;
		if (miru_object_get(sent, "image", &image))
			change->object = JsonbValueToJsonb(&image);
	}
	refusal->change = change;
	return refusal;
}

#define SELECT_REFUSALS                                                          \
	"SELECT number, part_of, user_id, device, change, collection, id, type, at," \
	" device_number"                                                             \
	" FROM mirusync.refusal"

/* refusals_of_rows returns the rows that a statement has just found. */
static List *
refusals_of_rows(const char *feed)
{
	List *refusals = NIL;

	for (uint64 i = 0; i < SPI_processed; i++)
		refusals = lappend(refusals,
						   refusal_from_row(SPI_tuptable->vals[i],
											SPI_tuptable->tupdesc, feed));
	return refusals;
}

List *
miru_refusal_read(const char *feed, const char *device)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(feed), CStringGetTextDatum(device)};

	miru_statement_run(&plan,
					   SELECT_REFUSALS MATCH_DEVICE
					   " ORDER BY number FOR UPDATE",
					   2, types, values, NULL);
	return refusals_of_rows(feed);
}

List *
miru_refusal_read_event(const char *feed, int64 number)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(feed), Int64GetDatum(number)};

	miru_statement_run(&plan,
					   SELECT_REFUSALS
					   " WHERE feed OPERATOR(pg_catalog.=) $1"
					   " AND part_of OPERATOR(pg_catalog.=)"
					   " (SELECT part_of FROM mirusync.refusal" MATCH_NUMBER
					   " AND type IS NOT NULL)"
					   " ORDER BY number FOR UPDATE",
					   2, types, values, NULL);
	return refusals_of_rows(feed);
}

void
miru_refusal_failed(const char *feed, int64 number, const MiruChange *change)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(feed), Int64GetDatum(number),
					  CStringGetTextDatum(sqlstate_text(change->sqlstate)),
					  CStringGetTextDatum(change->reason),
					  change->detail ? CStringGetTextDatum(change->detail)
									 : (Datum) 0};

	miru_statement_run(&plan,
					   "UPDATE mirusync.refusal SET sqlstate = $3,"
					   " message = $4, detail = $5,"
					   " tries = tries OPERATOR(pg_catalog.+) 1,"
					   " tried_at = pg_catalog.clock_timestamp()" MATCH_NUMBER,
					   5, types, values, change->detail ? NULL : "    n");
}

void
miru_refusal_delete(const char *feed, int64 number)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(feed), Int64GetDatum(number)};

	miru_statement_run(&plan, "DELETE FROM mirusync.refusal" MATCH_NUMBER, 2,
					   types, values, NULL);
}

void
miru_refusal_let_go(const char *feed, const char *device, Datum numbers)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TEXTOID, INT8ARRAYOID};
	Datum values[] = {CStringGetTextDatum(feed), CStringGetTextDatum(device),
					  numbers};

	miru_statement_run(
		&plan,
		"WITH RECURSIVE w AS MATERIALIZED ("
		"SELECT number, part_of, device_number, collection, id"
		" FROM mirusync.refusal" MATCH_DEVICE
		" AND device_number IS NOT NULL), gone AS ("
		"SELECT part_of FROM w"
		" WHERE device_number OPERATOR(pg_catalog.=) ANY ($3) UNION"
		" SELECT b.part_of FROM gone"
		" JOIN w a ON a.part_of OPERATOR(pg_catalog.=) gone.part_of"
		" JOIN w b ON b.collection OPERATOR(pg_catalog.=) a.collection"
		" AND b.id OPERATOR(pg_catalog.=) a.id"
		" AND b.part_of OPERATOR(pg_catalog.>) a.part_of)"
		" DELETE FROM mirusync.refusal r USING w, gone"
		" WHERE w.part_of OPERATOR(pg_catalog.=) gone.part_of"
		" AND r.feed OPERATOR(pg_catalog.=) $1"
		" AND r.number OPERATOR(pg_catalog.=) w.number",
		lengthof(types), types, values, NULL);
}

int64
miru_refusal_forget(const char *feed, TimestampTz at, int64 max)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(feed), TimestampTzGetDatum(at),
					  Int64GetDatum(max)};

	miru_statement_run(
		&plan,
		"DELETE FROM mirusync.refusal WHERE ctid OPERATOR(pg_catalog.=) ANY"
		" (ARRAY(SELECT ctid FROM mirusync.refusal"
		" WHERE feed OPERATOR(pg_catalog.=) $1"
		" AND at OPERATOR(pg_catalog.<=) $2 LIMIT $3))",
		3, types, values, NULL);
	return SPI_processed;
}
