/*
 * verdict.c
 *     Exactly once: the verdicts of numbered changes.
 *
 * Owns mirusync.verdict and mirusync.device; erase_others() erases in the first.
 *
 * A pushed change is known by user, device and the device's own number,
 * exactly and not by a high-water mark: a page and its service worker may
 * both send, interleaved.  Its verdict is kept until the device says that it
 * has digested it; a replay gets the verdict that is kept, and no second
 * effect.
 *
 * Two pushes of one device at the same time must not both find a number new,
 * so they take turns: a transaction-level advisory lock on user and device,
 * taken before any row is locked.
 *
 * All functions need a connected SPI.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "statement.h"
#include "storage/lock.h"
#include "table.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "verdict.h"

/* Columns of mirusync.verdict. */
enum
{
	VERDICT_USER_ID = 1,
	VERDICT_DEVICE,
	VERDICT_NUMBER,
	VERDICT_VERDICT,
	VERDICT_AT,
	VERDICT_COLUMNS = VERDICT_AT
};

/* Columns of mirusync.device. */
enum
{
	DEVICE_USER_ID = 1,
	DEVICE_DEVICE,
	DEVICE_DIGESTED,
	DEVICE_SEEN_AT,
	DEVICE_CURSOR,
	DEVICE_UNSENT,
	DEVICE_VERSION,
	DEVICE_SKEW_MS,
	DEVICE_COLUMNS = DEVICE_SKEW_MS
};

/* Tells our advisory locks from the application's, which use 1 and 2. */
#define LOCK_CLASS 19789

/*
 * Numbers no further apart are looked for by one scan.  What lies between
 * numbers is the device's choice, and may be all that is kept of it.
 */
#define NEAR 16

int64
miru_verdict_lock_key(const char *user, const char *device)
{
	uint64 seed = hash_bytes_extended((const unsigned char *) user,
									  strlen(user), 0);

	return (int64) hash_bytes_extended((const unsigned char *) device,
									   strlen(device), seed);
}

void
miru_verdict_lock(int64 lock_key)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (lock_key >> 32),
						 (uint32) lock_key, LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* insert_device is for a new device, or one that forget() is just deleting. */
static int64
insert_device(const char *user, const char *device, int64 digested)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(user), CStringGetTextDatum(device),
					  Int64GetDatum(digested)};
	bool isnull;

	miru_statement_run(
		&plan,
		"INSERT INTO mirusync.device AS d (user_id, device, digested)"
		" VALUES ($1, $2, $3)"
		" ON CONFLICT (user_id, device) DO UPDATE"
		" SET digested = GREATEST(d.digested, EXCLUDED.digested),"
		" seen_at = pg_catalog.now() RETURNING digested",
		3, types, values, NULL);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

/* update_device notes in its row that the device is here. */
static int64
update_device(MiruTable *table, HeapTuple row, int64 digested)
{
	Datum values[DEVICE_COLUMNS];
	bool nulls[DEVICE_COLUMNS];
	int64 highest;

	heap_deform_tuple(row, RelationGetDescr(table->heap), values, nulls);
	highest = Max(digested, DatumGetInt64(values[DEVICE_DIGESTED - 1]));
	values[DEVICE_DIGESTED - 1] = Int64GetDatum(highest);
	values[DEVICE_SEEN_AT - 1] = TimestampTzGetDatum(
		GetCurrentTransactionStartTimestamp());
	miru_table_update(table, row, values, nulls);
	CommandCounterIncrement();
	return highest;
}

/* delete_digested deletes the verdicts of numbers up to "digested". */
static void
delete_digested(const char *const *owner, int64 digested)
{
	MiruTable table = miru_table_open("verdict", true);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleDesc desc = RelationGetDescr(table.heap);
	MiruScan scan;
	HeapTuple row;
	bool isnull;

	miru_scan_begin_at(&scan, &table, "verdict_pkey", owner, 2, -1, snapshot);
	while ((row = miru_scan_next(&scan, true)) != NULL &&
		   DatumGetInt64(heap_getattr(row, VERDICT_NUMBER, desc, &isnull)) <=
			   digested)
	{
		CHECK_FOR_INTERRUPTS();
		miru_table_delete(&table, row);
	}
	miru_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	CommandCounterIncrement();
}

int64
miru_verdict_digest(const char *user, const char *device, int64 digested)
{
	const char *owner[] = {user, device};
	MiruTable table;
	Snapshot snapshot;
	HeapTuple row;
	int64 highest;

	/* Below the executor nobody else asks. */
	PreventCommandIfReadOnly("INSERT");
	table = miru_table_open("device", true);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	row = miru_table_find(&table, "device_pkey", owner, 2, snapshot);
	UnregisterSnapshot(snapshot);
	if (row == NULL || (row->t_data->t_infomask & HEAP_XMAX_INVALID) == 0)
		highest = insert_device(user, device, digested);
	else
		highest = update_device(&table, row, digested);
	miru_table_close(&table);
	if (digested > 0)
		delete_digested(owner, digested);
	return highest;
}

void
miru_verdict_report(const char *user, const char *device,
					const MiruReport *report)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID, INT8OID};
	int64 now_ms = (GetCurrentTimestamp() - SetEpochTimestamp()) / 1000;
	Datum values[] = {CStringGetTextDatum(user),
					  CStringGetTextDatum(device),
					  Int64GetDatum(report->cursor),
					  Int64GetDatum(report->unsent),
					  report->version ? CStringGetTextDatum(report->version)
									  : (Datum) 0,
					  Int64GetDatum((int64) hlc_ms(report->clock) - now_ms)};
	char nulls[] = "      ";

	nulls[2] = report->cursor < 0 ? 'n' : ' ';
	nulls[3] = report->unsent < 0 ? 'n' : ' ';
	nulls[4] = report->version == NULL ? 'n' : ' ';
	nulls[5] = report->clock == 0 ? 'n' : ' ';
	miru_statement_run(
		&plan,
		"UPDATE mirusync.device SET cursor = $3, unsent = $4,"
		" version = COALESCE($5, version), skew_ms = COALESCE($6, skew_ms)"
		" WHERE user_id OPERATOR(pg_catalog.=) $1"
		" AND device OPERATOR(pg_catalog.=) $2",
		6, types, values, nulls);
}

static int
compare_numbers(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

/* find_near adds the verdicts of sorted numbers that are near each other. */
static List *
find_near(List *found, MiruTable *table, const char *const *owner,
		  const int64 *numbers, int count, Snapshot snapshot)
{
	TupleDesc desc = RelationGetDescr(table->heap);
	MiruScan scan;
	HeapTuple row;

	miru_scan_begin_at(&scan, table, "verdict_pkey", owner, 2, numbers[0] - 1,
					   snapshot);
	while ((row = miru_scan_next(&scan, true)) != NULL)
	{
		Datum values[VERDICT_COLUMNS];
		bool nulls[VERDICT_COLUMNS];
		MiruVerdict *verdict;
		int64 number;

		heap_deform_tuple(row, desc, values, nulls);
		number = DatumGetInt64(values[VERDICT_NUMBER - 1]);
		if (number > numbers[count - 1])
			break;
		if (bsearch(&number, numbers, count, sizeof(int64), compare_numbers) ==
			NULL)
			continue;
		verdict = palloc(sizeof(MiruVerdict));
		verdict->number = number;
		verdict->verdict = DatumGetJsonbPCopy(values[VERDICT_VERDICT - 1]);
		found = lappend(found, verdict);
	}
	miru_scan_end(&scan);
	return found;
}

List *
miru_verdict_find(const char *user, const char *device, const int64 *numbers,
				  int count)
{
	const char *owner[] = {user, device};
	MiruTable table = miru_table_open("verdict", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	List *found = NIL;
	int end;

	for (int first = 0; first < count; first = end)
	{
		end = first + 1;
		while (end < count && numbers[end] - numbers[end - 1] <= NEAR)
			end++;
		found = find_near(found, &table, owner, numbers + first, end - first,
						  snapshot);
	}
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
	return found;
}

void
miru_verdict_keep(const char *user, const char *device, List *verdicts)
{
	Datum values[VERDICT_COLUMNS];
	bool nulls[VERDICT_COLUMNS] = {false};
	MiruTable table;
	ListCell *cell;

	if (verdicts == NIL)
		return;
	table = miru_table_open("verdict", true);
	values[VERDICT_USER_ID - 1] = CStringGetTextDatum(user);
	values[VERDICT_DEVICE - 1] = CStringGetTextDatum(device);
	values[VERDICT_AT - 1] = TimestampTzGetDatum(
		GetCurrentTransactionStartTimestamp());
	foreach(cell, verdicts)
	{
		MiruVerdict *verdict = lfirst(cell);

		values[VERDICT_NUMBER - 1] = Int64GetDatum(verdict->number);
		values[VERDICT_VERDICT - 1] = JsonbPGetDatum(verdict->verdict);
		miru_table_insert(&table, values, nulls);
	}
	miru_table_close(&table);
}

int64
miru_verdict_forget(const char *user, TimestampTz at, int64 max)
{
	static SPIPlanPtr verdicts = NULL;
	static SPIPlanPtr devices = NULL;
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(user), TimestampTzGetDatum(at),
					  Int64GetDatum(max)};

	miru_statement_run(
		&verdicts,
		"DELETE FROM mirusync.verdict WHERE ctid OPERATOR(pg_catalog.=) ANY"
		" (ARRAY(SELECT ctid FROM mirusync.verdict"
		" WHERE user_id OPERATOR(pg_catalog.=) $1"
		" AND at OPERATOR(pg_catalog.<=) $2 LIMIT $3))",
		3, types, values, NULL);
	if (SPI_processed > 0)
		return SPI_processed;
	miru_statement_run(
		&devices,
		"DELETE FROM mirusync.device WHERE ctid OPERATOR(pg_catalog.=) ANY"
		" (ARRAY(SELECT ctid FROM mirusync.device"
		" WHERE user_id OPERATOR(pg_catalog.=) $1"
		" AND seen_at OPERATOR(pg_catalog.<=) $2 LIMIT $3))",
		3, types, values, NULL);
	return SPI_processed;
}
