/*
 * board.c
 *     The board: which feeds have moved and wait for a worker to ring, kept in
 *     shared memory, a slot for each database.
 *
 * There is a board only where the library is preloaded.  Those who commit put
 * the hashes of their feeds into the slot of their database, each once, and
 * set the worker's latch; the worker takes them all at a time.  So however
 * many commit while a ring is under way, there is one more ring.
 *
 * A slot belongs to a database for as long as anybody has to do with it: a
 * worker is wanted there, one runs, or a command holds the database for itself.
 * A slot that nobody has to do with is free.
 *
 * Everything is under one lock, held for some loads and stores and at most the
 * copy of a slot's hashes.  Nothing is allocated and nothing can fail under
 * it: feeds are put after the commit, when an error would be too late.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include <signal.h>

#include "board.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(mirusync_worker_status_0_2);

#define TRANCHE "mirusync"

/* As many workers as there can be, within reason. */
#define SLOTS_MAX 64

/* An open hash set that gets at most half full. */
#define SET_SIZE (2 * MIRU_BOARD_FEEDS)

/* How soon a worker is started again, doubled while it does not come up. */
#define RESTART_MS	   1000
#define RESTART_MAX_MS 60000

/* How long a worker may take to leave, before and after it is told twice. */
#define LEAVE_MS	   1000
#define LEAVE_KILL_MS  4000
#define LEAVE_CHECK_MS 5

/* The first trimming comes soon, since what ended the last one may be a crash. */
#define TRIM_FIRST_MS	60000
#define TRIM_ERROR_SIZE 256

typedef struct Slot
{
	Oid database; /* InvalidOid: free, and then all is zero */
	bool wanted;  /* there shall be a worker */
	int held;	  /* commands that need the database to themselves */

	/* the worker */
	pid_t pid;				/* 0: there is none */
	Latch *latch;			/* its latch; stays valid, as all PGPROCs do */
	bool attending;			/* it takes feeds */
	bool ringing;			/* it has taken feeds that have not rung */
	int failures;			/* in a row, to come up */
	TimestampTz not_before; /* when the next may start */

	/* what it has done, for worker_status() */
	TimestampTz started_at;
	TimestampTz failed_at; /* 0: never */
	int64 starts;
	int64 rings;
	int64 feeds;
	int64 overflows;

	/* who trims */
	pid_t trimmer;			  /* 0: nobody now */
	TimestampTz trim_next;	  /* when somebody is to; 0: not planned yet */
	TimestampTz trim_started; /* of the last run; 0: there was none */
	TimestampTz trim_ended;
	TimestampTz trim_failed; /* 0: never */
	int64 trim_rows;		 /* of the last run */
	char trim_error[TRIM_ERROR_SIZE];

	/* what waits */
	bool all; /* too much: ring for all */
	int count;
	uint64 hashes[SET_SIZE]; /* 0: empty place */
} Slot;

typedef struct Board
{
	LWLock *lock;
	Latch *launcher; /* NULL: none */
	int size;
	Slot slots[FLEXIBLE_ARRAY_MEMBER];
} Board;

static Board *board;
static shmem_request_hook_type former_shmem_request;
static shmem_startup_hook_type former_shmem_startup;

/* The slot of this process, if it is a worker. */
static Slot *mine;

/* ----- the memory ----- */

static int
slot_count(void)
{
	return Min(max_worker_processes, SLOTS_MAX);
}

static Size
board_bytes(void)
{
	return offsetof(Board, slots) + slot_count() * sizeof(Slot);
}

static void
request_memory(void)
{
	if (former_shmem_request)
		former_shmem_request();
	RequestAddinShmemSpace(board_bytes());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
find_memory(void)
{
	bool found;

	if (former_shmem_startup)
		former_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	board = ShmemInitStruct("mirusync board", board_bytes(), &found);
	if (!found)
	{
		memset(board, 0, board_bytes());
		board->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
		board->size = slot_count();
	}
	LWLockRelease(AddinShmemInitLock);
}

void
miru_board_init(void)
{
	former_shmem_request = shmem_request_hook;
	shmem_request_hook = request_memory;
	former_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = find_memory;
}

int
miru_board_size(void)
{
	return board ? board->size : 0;
}

/* ----- slots; whoever calls these has the lock ----- */

static Slot *
find_slot(Oid database)
{
	for (int i = 0; i < board->size; i++)
	{
		if (board->slots[i].database == database)
			return &board->slots[i];
	}
	return NULL;
}

/* make_slot returns the database's slot, a free one, or NULL. */
static Slot *
make_slot(Oid database)
{
	Slot *slot = find_slot(database);

	if (slot == NULL)
	{
		slot = find_slot(InvalidOid);
		if (slot != NULL)
			slot->database = database;
	}
	return slot;
}

static void
free_if_unused(Slot *slot)
{
	if (!slot->wanted && slot->held == 0 && slot->pid == 0 &&
		slot->trimmer == 0)
		memset(slot, 0, sizeof(Slot));
}

static void
wake_launcher(void)
{
	if (board->launcher)
		SetLatch(board->launcher);
}

static void
wake_worker(Slot *slot)
{
	if (slot->pid != 0)
		SetLatch(slot->latch);
}

/* ----- those who commit ----- */

bool
miru_board_is_attended(void)
{
	Slot *slot;
	bool attended;

	if (board == NULL)
		return false;
	LWLockAcquire(board->lock, LW_SHARED);
	slot = find_slot(MyDatabaseId);
	attended = slot != NULL && slot->attending && slot->held == 0;
	LWLockRelease(board->lock);
	return attended;
}

/* ring_for_all forgets who waits: everybody will be rung for. */
static void
ring_for_all(Slot *slot)
{
	slot->all = true;
	slot->count = 0;
	memset(slot->hashes, 0, sizeof(slot->hashes));
}

static void
add_hash(Slot *slot, uint64 hash)
{
	uint32 place = (uint32) hash % SET_SIZE;

	while (slot->hashes[place] != 0)
	{
		if (slot->hashes[place] == hash)
			return;
		place = (place + 1) % SET_SIZE;
	}
	if (slot->count == MIRU_BOARD_FEEDS)
	{
		ring_for_all(slot);
		slot->overflows++;
	}
	else
	{
		slot->hashes[place] = hash;
		slot->count++;
	}
}

void
miru_board_put(const uint64 *hashes, int count)
{
	Slot *slot;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = find_slot(MyDatabaseId);
	if (slot != NULL)
	{
		for (int i = 0; i < count && !slot->all; i++)
			add_hash(slot, hashes[i]);
		wake_worker(slot);
	}
	LWLockRelease(board->lock);
}

void
miru_board_want(Oid database, bool wanted)
{
	Slot *slot;

	if (board == NULL)
		return;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = wanted ? make_slot(database) : find_slot(database);
	if (slot != NULL && slot->wanted != wanted)
	{
		slot->wanted = wanted;
		wake_launcher();
		wake_worker(slot);
		free_if_unused(slot);
	}
	LWLockRelease(board->lock);
}

/*
 * tell_to_leave returns whether there is a worker still, or somebody who trims,
 * whom it does no harm to be cut off.
 */
static bool
tell_to_leave(Oid database, bool again)
{
	Slot *slot;
	bool there = false;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot != NULL && slot->trimmer != 0)
	{
		there = true;
		kill(slot->trimmer, SIGTERM);
	}
	if (slot != NULL && slot->pid != 0)
	{
		there = true;
		/* Who is in the slot has not exited, so the pid is his. */
		if (again)
			kill(slot->pid, SIGTERM);
		else
			SetLatch(slot->latch);
	}
	LWLockRelease(board->lock);
	return there;
}

void
miru_board_hold(Oid database)
{
	Slot *slot;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = make_slot(database);
	if (slot != NULL)
		slot->held++;
	LWLockRelease(board->lock);

	/* Who does not leave in time is left to the command, which will complain. */
	for (int ms = 0; ms < LEAVE_MS + LEAVE_KILL_MS; ms += LEAVE_CHECK_MS)
	{
		if (!tell_to_leave(database, ms >= LEAVE_MS))
			break;
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LEAVE_CHECK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
miru_board_release(Oid database)
{
	Slot *slot;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	/* There is none if they were all taken. */
	if (slot != NULL && slot->held > 0)
	{
		slot->held--;
		wake_launcher();
		free_if_unused(slot);
	}
	LWLockRelease(board->lock);
}

/* ----- the worker ----- */

/* restart_ms is how long after its end a worker is started again. */
static int
restart_ms(const Slot *slot)
{
	return Min(RESTART_MS << Min(slot->failures, 6), RESTART_MAX_MS);
}

/*
 * detach runs after the process has left the list of those that are connected
 * to the database, so whoever waits for it in miru_board_hold may go on.
 */
static void
detach(int code, Datum arg)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	mine->pid = 0;
	mine->latch = NULL;
	if (mine->ringing)
		ring_for_all(mine);
	mine->ringing = false;
	if (code != 0)
	{
		mine->failed_at = now;
		mine->not_before = TimestampTzPlusMilliseconds(now, restart_ms(mine));
		if (!mine->attending)
			mine->failures++;
	}
	mine->attending = false;
	free_if_unused(mine);
	wake_launcher();
	LWLockRelease(board->lock);
	mine = NULL;
}

bool
miru_board_attach(Oid database)
{
	Slot *slot;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot != NULL && slot->wanted && slot->held == 0 && slot->pid == 0)
	{
		mine = slot;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->started_at = GetCurrentTimestamp();
		slot->starts++;
	}
	LWLockRelease(board->lock);
	if (mine == NULL)
		return false;
	/*
	 * Callbacks run in the reverse order: before the connection is made, this
	 * is to run after it has ended.
	 */
	on_shmem_exit(detach, (Datum) 0);
	return true;
}

void
miru_board_attend(void)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	mine->attending = true;
	mine->failures = 0;
	wake_launcher();
	LWLockRelease(board->lock);
}

bool
miru_board_stays(void)
{
	bool stays;

	LWLockAcquire(board->lock, LW_SHARED);
	stays = mine->wanted && mine->held == 0;
	LWLockRelease(board->lock);
	return stays;
}

int
miru_board_take(uint64 *hashes, bool *all)
{
	int count = 0;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	*all = mine->all;
	mine->all = false;
	if (mine->count > 0)
	{
		for (int i = 0; i < SET_SIZE; i++)
		{
			if (mine->hashes[i] != 0)
				hashes[count++] = mine->hashes[i];
		}
		memset(mine->hashes, 0, sizeof(mine->hashes));
		mine->count = 0;
	}
	mine->ringing = *all || count > 0;
	LWLockRelease(board->lock);
	return count;
}

void
miru_board_rung(int count)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	mine->ringing = false;
	mine->rings++;
	mine->feeds += count;
	LWLockRelease(board->lock);
}

/* ----- who trims ----- */

bool
miru_board_trim_due(int interval, long *wait)
{
	TimestampTz now = GetCurrentTimestamp();
	long ms = interval * 1000L;
	bool due = false;

	*wait = -1;
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	if (interval == 0)
		mine->trim_next = 0;
	else
	{
		if (mine->trim_next == 0)
			mine->trim_next =
				TimestampTzPlusMilliseconds(now, Min(ms, TRIM_FIRST_MS));
		due = mine->trimmer == 0 && now >= mine->trim_next;
		/* The interval may have become shorter. */
		if (due || mine->trim_next > TimestampTzPlusMilliseconds(now, ms))
			mine->trim_next = TimestampTzPlusMilliseconds(now, ms);
		/* Who trims wakes the worker when he ends. */
		if (mine->trimmer == 0)
			*wait = TimestampDifferenceMilliseconds(now, mine->trim_next) + 1;
	}
	LWLockRelease(board->lock);
	return due;
}

static void
trimmer_ends(int code, Datum arg)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	mine->trimmer = 0;
	mine->trim_ended = GetCurrentTimestamp();
	if (code != 0)
		mine->trim_failed = mine->trim_ended;
	if (code != 0 && mine->trim_error[0] == '\0')
		strlcpy(mine->trim_error, "it was terminated", TRIM_ERROR_SIZE);
	wake_worker(mine);
	free_if_unused(mine);
	LWLockRelease(board->lock);
	mine = NULL;
}

bool
miru_board_trim_attach(Oid database)
{
	Slot *slot;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot != NULL && slot->wanted && slot->held == 0 && slot->trimmer == 0)
	{
		mine = slot;
		slot->trimmer = MyProcPid;
		slot->trim_started = GetCurrentTimestamp();
		slot->trim_ended = 0;
		slot->trim_rows = 0;
		slot->trim_error[0] = '\0';
	}
	LWLockRelease(board->lock);
	if (mine == NULL)
		return false;
	/* As in miru_board_attach: it is to run after the connection has ended. */
	on_shmem_exit(trimmer_ends, (Datum) 0);
	return true;
}

void
miru_board_trim_done(int64 rows, const char *error)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	mine->trim_rows = rows;
	if (error != NULL)
	{
		int length = pg_mbcliplen(error, (int) strlen(error),
								  TRIM_ERROR_SIZE - 1);

		memcpy(mine->trim_error, error, length);
		mine->trim_error[length] = '\0';
	}
	LWLockRelease(board->lock);
}

/* ----- the launcher ----- */

static void
launcher_ends(int code, Datum arg)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	board->launcher = NULL;
	LWLockRelease(board->lock);
}

void
miru_board_launch_from_here(void)
{
	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	board->launcher = MyLatch;
	LWLockRelease(board->lock);
	on_shmem_exit(launcher_ends, (Datum) 0);
}

MiruBoardTask
miru_board_task(int i)
{
	Slot *slot = &board->slots[i];
	MiruBoardTask task;

	LWLockAcquire(board->lock, LW_SHARED);
	task.database = slot->database;
	task.wanted = slot->wanted && slot->held == 0 && slot->pid == 0;
	task.settled = slot->pid == 0 || slot->attending;
	task.not_before = slot->not_before;
	LWLockRelease(board->lock);
	return task;
}

void
miru_board_postpone(Oid database, int ms)
{
	Slot *slot;

	LWLockAcquire(board->lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot != NULL)
		slot->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   ms);
	LWLockRelease(board->lock);
}

/* ----- what SQL sees ----- */

static const char *
state_of(const Slot *slot)
{
	if (board == NULL)
		return "not preloaded";
	if (slot->attending)
		return "running";
	return slot->pid != 0 ? "starting" : "not running";
}

/* A row being put together. */
typedef struct StatusRow
{
	Datum values[15];
	bool nulls[15];
	int count;
} StatusRow;

static void
add(StatusRow *row, Datum value, bool isnull)
{
	row->values[row->count] = value;
	row->nulls[row->count++] = isnull;
}

static void
add_time(StatusRow *row, TimestampTz time)
{
	add(row, TimestampTzGetDatum(time), time == 0);
}

static Slot
read_slot(void)
{
	Slot slot = {0};
	Slot *found;

	if (board == NULL)
		return slot;
	LWLockAcquire(board->lock, LW_SHARED);
	found = find_slot(MyDatabaseId);
	if (found != NULL)
		memcpy(&slot, found, offsetof(Slot, hashes));
	LWLockRelease(board->lock);
	return slot;
}

/*
 * mirusync_worker_status_0_2 returns what there is to know of this database's
 * worker.
 */
Datum
mirusync_worker_status_0_2(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Slot slot = read_slot();
	StatusRow row = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	add(&row, CStringGetTextDatum(state_of(&slot)), false);
	add(&row, Int32GetDatum(slot.pid), slot.pid == 0);
	add_time(&row, slot.started_at);
	add(&row, Int64GetDatum(slot.rings), false);
	add(&row, Int64GetDatum(slot.feeds), false);
	add(&row, Int32GetDatum(slot.count), false);
	add(&row, Int64GetDatum(slot.overflows), false);
	add(&row, Int64GetDatum(Max(slot.starts - 1, 0)), false);
	add_time(&row, slot.failed_at);
	add_time(&row, slot.trim_started);
	add_time(&row, slot.trim_ended);
	add(&row, Int64GetDatum(slot.trim_rows), slot.trim_started == 0);
	add_time(&row, slot.trim_next);
	add_time(&row, slot.trim_failed);
	add(&row, CStringGetTextDatum(slot.trim_error), slot.trim_error[0] == '\0');
	PG_RETURN_DATUM(
		HeapTupleGetDatum(heap_form_tuple(desc, row.values, row.nulls)));
}
