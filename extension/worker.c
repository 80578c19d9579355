/*
 * worker.c
 *     The background processes: a launcher, and a worker in each database that
 *     has the extension.
 *
 * The worker rings the doorbells of those who have committed: it takes what is
 * on the board (board.c), notifies in a transaction of its own, and looks
 * again.  That transaction writes nothing that must be durable, so that nobody
 * waits long for the lock of the whole cluster that it holds while it commits.
 * There is no pause before a ring; what is put while one is under way goes
 * into the next.  Only between rings that follow one another closely is there a
 * short one, else ringing would take the processor from those who commit.
 * From time to time it sends somebody to trim (trimmer.c).
 *
 * The launcher is connected to no database, so it is in nobody's way.  When
 * the server starts it has a worker look into each database, one after the
 * other; a worker that finds no extension leaves for good.  Later workers are
 * asked for by who commits where there is none, or has created the extension
 * (makeway.c).  Workers never restart themselves: the launcher starts again
 * those that ended and are wanted still.  An error ends a worker.
 *
 * The worker is connected as nobody in particular, which is to say with all
 * rights, but does not use them: it looks up the extension and notifies, runs
 * no SQL, and calls nothing that a user could have put in its way.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "board.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "doorbell.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "trimmer.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker.h"

PGDLLEXPORT void mirusync_launcher_main(Datum arg);
PGDLLEXPORT void mirusync_worker_main(Datum arg);

#define LIBRARY			   "mirusync"

#define LAUNCHER_RESTART_S 1

/* When no process was to be had, or one that was asked for does not appear. */
#define RETRY_MS 5000

/* Rings that follow within this are busy times; then there is a pause. */
#define BUSY_US	 400
#define PAUSE_US 2000

void
miru_worker_set_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/* sleep_until_called waits for the latch, at most "ms" if that is not -1. */
static void
sleep_until_called(long ms)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (ms < 0 ? 0 : WL_TIMEOUT),
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	/* Others want to be rid of what we have not read of the shared queue. */
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

/* ----- the worker ----- */

static void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* What a database or the server sets for its users is not meant for us. */
void
miru_worker_use_own_settings(void)
{
	set("search_path", "pg_catalog, pg_temp");
	set("synchronous_commit", "off");
	set("default_transaction_isolation", "read committed");
	set("lock_timeout", "0");
	set("statement_timeout", "0");
}

bool
miru_worker_has_extension(void)
{
	bool found;

	StartTransactionCommand();
	found = OidIsValid(get_extension_oid("mirusync", true));
	CommitTransactionCommand();
	return found;
}

/* pause_if_busy lets more come together, if the last ring was just now. */
static void
pause_if_busy(void)
{
	static TimestampTz last = 0;

	if (GetCurrentTimestamp() - last < BUSY_US)
		pg_usleep(PAUSE_US);
	last = GetCurrentTimestamp();
}

static void
ring(const uint64 *hashes, int count, bool all)
{
	pgstat_report_activity(STATE_RUNNING, "NOTIFY");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (all)
		miru_doorbell_notify_all();
	miru_doorbell_notify(hashes, count);
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* mirusync_worker_main rings for the database whose OID it is given. */
void
mirusync_worker_main(Datum arg)
{
	Oid database = DatumGetObjectId(arg);
	static uint64 hashes[MIRU_BOARD_FEEDS];

	miru_worker_set_signals();
	if (!miru_board_attach(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	miru_worker_use_own_settings();
	if (!miru_worker_has_extension())
	{
		miru_board_want(database, false);
		proc_exit(0);
	}
	miru_board_attend();
	pgstat_report_activity(STATE_IDLE, NULL);
	while (miru_board_stays())
	{
		bool all;
		int count = miru_board_take(hashes, &all);

		if (count == 0 && !all)
			sleep_until_called(miru_trimmer_send());
		else
		{
			ring(hashes, count, all);
			miru_board_rung(count);
			pause_if_busy();
		}
		CHECK_FOR_INTERRUPTS();
	}
	proc_exit(0);
}

/* ----- the launcher ----- */

/* Who was sent to the database of a slot, as far as this launcher knows. */
typedef struct Sent
{
	Oid database;
	BackgroundWorkerHandle *handle; /* NULL: nobody */
} Sent;

/*
 * list_databases lists those that one can connect to; without templates, if
 * it is to look for work there: nobody should have to wait for a template.
 */
static List *
list_databases(bool templates)
{
	MemoryContext old_context = CurrentMemoryContext;
	List *databases = NIL;
	Relation catalog;
	TableScanDesc scan;
	HeapTuple row;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while ((row = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(row);

		if (form->datallowconn && (templates || !form->datistemplate))
		{
			MemoryContext scan_context = MemoryContextSwitchTo(old_context);

			databases = lappend_oid(databases, form->oid);
			MemoryContextSwitchTo(scan_context);
		}
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old_context);
	return databases;
}

static bool
has_database(Oid database)
{
	List *databases = list_databases(true);
	bool found = list_member_oid(databases, database);

	list_free(databases);
	return found;
}

void
miru_worker_describe(BackgroundWorker *worker, const char *kind, Oid database)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	snprintf(worker->bgw_name, BGW_MAXLEN, "mirusync %s for database %u", kind,
			 database);
	snprintf(worker->bgw_type, BGW_MAXLEN, "mirusync %s", kind);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker->bgw_library_name, sizeof(worker->bgw_library_name),
			 LIBRARY);
	snprintf(worker->bgw_function_name, sizeof(worker->bgw_function_name),
			 "mirusync_%s_main", kind);
	worker->bgw_main_arg = ObjectIdGetDatum(database);
}

static bool
start_worker(Sent *sent, Oid database)
{
	BackgroundWorker worker;

	miru_worker_describe(&worker, "worker", database);
	worker.bgw_notify_pid = MyProcPid;
	sent->database = database;
	return RegisterDynamicBackgroundWorker(&worker, &sent->handle);
}

/* is_under_way says whether who was sent there may still arrive. */
static bool
is_under_way(Sent *sent, Oid database)
{
	pid_t pid;

	if (sent->handle == NULL)
		return false;
	if (sent->database == database &&
		GetBackgroundWorkerPid(sent->handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(sent->handle);
	sent->handle = NULL;
	return false;
}

/*
 * send_worker sends one where one is wanted.  Returns after how many ms to look
 * again, -1 for not before being called.
 */
static long
send_worker(Sent *sent, const MiruBoardTask *task)
{
	static bool complained = false;
	TimestampTz now = GetCurrentTimestamp();

	if (now < task->not_before)
		return TimestampDifferenceMilliseconds(now, task->not_before) + 1;
	if (!has_database(task->database))
		miru_board_want(task->database, false);
	else if (start_worker(sent, task->database))
		complained = false;
	else
	{
		if (!complained)
			ereport(
				LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a mirusync worker for database %u",
						task->database),
				 errdetail(
					 "Until there is one, writers of attached tables notify in their own transactions."),
				 errhint("You might need to increase max_worker_processes.")));
		complained = true;
		sent->handle = NULL;
		miru_board_postpone(task->database, RETRY_MS);
		return RETRY_MS;
	}
	return -1;
}

/*
 * send_workers looks at all slots; returns like send_worker, and whether anybody
 * is on the way.
 */
static long
send_workers(Sent *sent, bool *settled)
{
	long wait = -1;

	*settled = true;
	for (int i = 0; i < miru_board_size(); i++)
	{
		MiruBoardTask task = miru_board_task(i);
		long ms = -1;

		if (!OidIsValid(task.database))
			continue;
		if (task.wanted && !is_under_way(&sent[i], task.database))
			ms = send_worker(&sent[i], &task);
		if (task.wanted && is_under_way(&sent[i], task.database))
		{
			*settled = false;
			ms = RETRY_MS;
		}
		if (!task.settled)
			*settled = false;
		if (ms >= 0)
			wait = wait < 0 ? ms : Min(wait, ms);
	}
	return wait;
}

/* mirusync_launcher_main starts workers where they are wanted. */
void
mirusync_launcher_main(Datum arg)
{
	Sent *sent;
	List *unseen;

	miru_worker_set_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	miru_board_launch_from_here();
	MemoryContextSwitchTo(TopMemoryContext);
	sent = palloc0(miru_board_size() * sizeof(Sent));
	unseen = list_databases(false);
	for (;;)
	{
		bool settled;
		long wait = send_workers(sent, &settled);

		/* One at a time: a server may have more databases than processes. */
		if (settled && unseen != NIL)
		{
			miru_board_want(linitial_oid(unseen), true);
			unseen = list_delete_first(unseen);
		}
		else
			sleep_until_called(wait);
	}
}

void
miru_worker_init(void)
{
	BackgroundWorker launcher = {0};

	/* pg_upgrade needs the databases for itself. */
	if (IsBinaryUpgrade)
		return;
	snprintf(launcher.bgw_name, BGW_MAXLEN, "mirusync launcher");
	snprintf(launcher.bgw_type, BGW_MAXLEN, "mirusync launcher");
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = LAUNCHER_RESTART_S;
	snprintf(launcher.bgw_library_name, sizeof(launcher.bgw_library_name),
			 LIBRARY);
	snprintf(launcher.bgw_function_name, sizeof(launcher.bgw_function_name),
			 "mirusync_launcher_main");
	RegisterBackgroundWorker(&launcher);
}
