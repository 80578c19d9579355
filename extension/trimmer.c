/*
 * trimmer.c
 *     The process that trims for the background worker.
 *
 * Trimming waits for locks of feeds, and takes as long as it takes; a doorbell
 * must not wait for it.  So the worker does not trim itself: when it is time it
 * sends a process, which does it once and ends.  At most one is in a database.
 *
 * It is connected as nobody in particular, as the worker is.  The one query
 * that trimming runs is run as the owner of the extension.
 *
 * If it fails, or is cut off, everything that was committed stays, and the next
 * one goes on.  There is one soon after the worker was started, so also after a
 * crash of the server.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "board.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "table.h"
#include "trim.h"
#include "trimmer.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker.h"

PGDLLEXPORT void mirusync_trimmer_main(Datum arg);

#define MINUTES_PER_DAY (24 * 60)

long
miru_trimmer_send(void)
{
	static bool complained = false;
	BackgroundWorker worker;
	long wait;

	if (!miru_board_trim_due(miru_trim_interval, &wait))
		return wait;
	miru_worker_describe(&worker, "trimmer", MyDatabaseId);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		complained = false;
	else
	{
		if (!complained)
			ereport(
				LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a mirusync trimmer for database %u",
						MyDatabaseId),
				 errhint("You might need to increase max_worker_processes.")));
		complained = true;
	}
	return wait;
}

static void
trim(void)
{
	Interval active = {0};

	active.day = miru_trim_active / MINUTES_PER_DAY;
	active.time = miru_trim_active % MINUTES_PER_DAY * USECS_PER_MINUTE;
	pgstat_report_activity(STATE_RUNNING, "CALL mirusync.trim()");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	miru_trim(NULL, miru_trim_batch_rows, &active);
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* mirusync_trimmer_main trims the database whose OID it is given, once. */
void
mirusync_trimmer_main(Datum arg)
{
	Oid database = DatumGetObjectId(arg);

	miru_worker_set_signals();
	if (!miru_board_trim_attach(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	miru_worker_use_own_settings();
	/* Nothing goes on after an error: it is noted, and ends the process. */
	PG_TRY();
	{
		if (miru_worker_has_extension())
			trim();
		miru_board_trim_done(miru_table_deleted(), NULL);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		miru_board_trim_done(miru_table_deleted(), CopyErrorData()->message);
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
