/*
 * epoch.c
 *     Epochs: which history of the database numbers are given out in.
 *
 * Owns mirusync.epoch; nobody else writes it.
 *
 * A restored backup, and a standby that was promoted before it had all, give
 * out numbers again that devices have seen for other changes.  So a cursor is
 * an epoch and a number, and this file knows when another epoch has begun.
 *
 * A history is known by its identity: system identifier, timeline, and the
 * OIDs of the database and of mirusync.epoch itself.  Promotion and recovery
 * to a point in time begin a timeline; a dump that is restored into the same
 * cluster makes a database or a table with another OID.  The current epoch is
 * the row of highest number.  If its identity is not ours, the first that
 * wants to number anything adds a row.  The row travels with every backup,
 * since attach() and create_collection() see to it that there is one.
 *
 * The number must be one that no lost history has given to an epoch of its
 * own, or a cursor from there would be taken for one of ours.  A restored
 * backup cannot know what was given out after it was taken; but the clock
 * goes on.  So the number is not only above all that the database knows, but
 * at least the whole hours since 2026.  Two histories would have to branch
 * off, one to be lost, the other to begin its epoch, within the same hour.
 * The very first epoch is number 0.
 *
 * What cannot be noticed is a copy of the files that is started as if after a
 * crash: it has kept system identifier and timeline.  new_epoch() is for that.
 *
 * Locks: whoever adds a row locks mirusync.epoch until its transaction ends,
 * before it locks any feed, and after mirusync.feed as a table.  Others that
 * find no epoch of theirs wait for it and then find one.  If it is a prepared
 * transaction they wait for its COMMIT PREPARED.  new_epoch() also waits for
 * all that number changes, so that none goes on in the epoch before.
 *
 * Each backend keeps the number, until the table's relcache entry becomes
 * invalid or the timeline changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "cursor.h"
#include "epoch.h"
#include "feed.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "table.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mirusync_new_epoch_0_2);

/* Columns of mirusync.epoch. */
enum
{
	EPOCH_NUMBER = 1,
	EPOCH_IDENTITY,
	EPOCH_BEGAN_AT,
	EPOCH_COLUMNS = EPOCH_BEGAN_AT
};

static Oid known_relid;			  /* mirusync.epoch */
static TimeLineID known_timeline; /* 0: nothing is known */
static int32 known_number;
static uint32 changes; /* counts invalidations */

static void
on_relcache_change(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != known_relid)
		return;
	changes++;
	known_timeline = 0;
}

void
miru_epoch_init(void)
{
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
}

int32
miru_epoch_by_time(void)
{
	TimestampTz begin = (TimestampTz) (date2j(2026, 1, 1) -
									   POSTGRES_EPOCH_JDATE) *
		USECS_PER_DAY;

	return (int32) Max((GetCurrentTimestamp() - begin) / USECS_PER_HOUR, 0);
}

static char *
our_identity(TimeLineID timeline)
{
	return psprintf(UINT64_FORMAT "-%u-%u-%u", GetSystemIdentifier(), timeline,
					MyDatabaseId, known_relid);
}

/*
 * find_last reads the row of highest number, as committed or as written by
 * this transaction, whatever its isolation level.  False if there is none.
 */
static bool
find_last(int32 *number, char **identity)
{
	MiruTable table = miru_table_open("epoch", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	SysScanDesc scan = systable_beginscan(table.heap, InvalidOid, false, NULL,
										  0, NULL);
	HeapTuple row;

	*number = MIRU_NO_EPOCH;
	while ((row = systable_getnext(scan)) != NULL)
	{
		bool isnull;
		int32 found = DatumGetInt32(
			heap_getattr(row, EPOCH_NUMBER, desc, &isnull));

		if (found <= *number)
			continue;
		*number = found;
		*identity = TextDatumGetCString(
			heap_getattr(row, EPOCH_IDENTITY, desc, &isnull));
	}
	systable_endscan(scan);
	miru_table_close(&table);
	return *number != MIRU_NO_EPOCH;
}

/* is_ours tells whether the last epoch is that of our history. */
static bool
is_ours(const char *identity, int32 *number)
{
	char *last;

	return find_last(number, &last) && strcmp(last, identity) == 0;
}

static void
insert(int32 number, const char *identity)
{
	MiruTable table = miru_table_open("epoch", true);
	Datum values[EPOCH_COLUMNS];
	bool nulls[EPOCH_COLUMNS] = {false};

	if (number > MIRU_EPOCH_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot have more than %d epochs", MIRU_EPOCH_MAX)));
	values[EPOCH_NUMBER - 1] = Int32GetDatum(number);
	values[EPOCH_IDENTITY - 1] = CStringGetTextDatum(identity);
	values[EPOCH_BEGAN_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	miru_table_insert(&table, values, nulls);
	CacheInvalidateRelcache(table.heap);
	miru_table_close(&table);
	CommandCounterIncrement();
}

/*
 * next_number returns a number above those of all epochs, also of those that
 * a feed has for itself (forget.c).
 */
static int32
next_number(int32 last)
{
	last = Max(last, miru_feed_greatest_epoch());
	return Max(last + 1, miru_epoch_by_time());
}

/* begin adds our epoch, unless somebody else just did. */
static void
begin(const char *identity)
{
	int32 last;

	LockRelationOid(miru_table_oid("feed"), RowExclusiveLock);
	LockRelationOid(known_relid, ShareRowExclusiveLock);
	if (!is_ours(identity, &last))
		insert(last == MIRU_NO_EPOCH ? 0 : next_number(last), identity);
}

static int32
refresh(void)
{
	TimeLineID timeline = GetWALInsertionTimeLine();
	uint32 before;
	char *identity;
	int32 number;

	known_timeline = 0;
	known_relid = miru_table_oid("epoch");
	identity = our_identity(timeline);
	before = changes;
	while (!is_ours(identity, &number))
	{
		begin(identity);
		before = changes;
	}
	/* Not if it has become invalid while we read. */
	if (before == changes)
	{
		known_number = number;
		known_timeline = timeline;
	}
	return number;
}

int32
miru_epoch_current(void)
{
	if (known_timeline != 0 && known_timeline == GetWALInsertionTimeLine())
		return known_number;
	return refresh();
}

/* mirusync.new_epoch() */
Datum
mirusync_new_epoch_0_2(PG_FUNCTION_ARGS)
{
	char *identity;
	int32 last;
	int32 number;

	PreventCommandIfReadOnly("mirusync.new_epoch()");
	PreventCommandDuringRecovery("mirusync.new_epoch()");
	/* Whoever numbers changes now is waited for, the others wait. */
	LockRelationOid(miru_table_oid("feed"), ShareRowExclusiveLock);
	known_timeline = 0;
	known_relid = miru_table_oid("epoch");
	LockRelationOid(known_relid, ShareRowExclusiveLock);
	(void) find_last(&last, &identity);
	number = next_number(last);
	insert(number, our_identity(GetWALInsertionTimeLine()));
	PG_RETURN_INT32(number);
}
