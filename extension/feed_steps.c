/*
 * feed_steps.c
 *     Procedures that work on a feed in steps, each in its own transaction.
 *
 * What trim(), forget() and erase() have in common.  They delete or rewrite
 * what flush has written, in batches under the feed's lock, so that somebody
 * who writes meanwhile waits for a batch at most, and what is done stays done
 * if they are interrupted.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "epoch.h"
#include "executor/spi.h"
#include "feed_steps.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "registry.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

void
miru_steps_check_call(const char *procedure, FunctionCallInfo fcinfo)
{
	const CallContext *context = (const CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(
			ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("%s cannot run inside a transaction block or a function",
					procedure),
			 errdetail("It commits as it goes.")));
	PreventCommandIfReadOnly(procedure);
}

void
miru_steps_begin(MiruSteps *steps)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	steps->caller = CurrentMemoryContext;
	steps->call = AllocSetContextCreate(steps->caller, "mirusync steps",
										ALLOCSET_DEFAULT_SIZES);
	steps->step = AllocSetContextCreate(steps->call, "mirusync step",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(steps->step);
}

void
miru_steps_end(MiruSteps *steps)
{
	MemoryContextSwitchTo(steps->caller);
	SPI_finish();
}

void
miru_steps_commit(MiruSteps *steps)
{
	if (ActivePortal == NULL && ActiveSnapshotSet())
		PopActiveSnapshot();
	MemoryContextSwitchTo(steps->call);
	MemoryContextReset(steps->step);
	SPI_commit();
	CHECK_FOR_INTERRUPTS();
	MemoryContextSwitchTo(steps->step);
}

/*
 * A commit takes the snapshot away, and no row is written or deleted without
 * one.  A statement has it from its portal; a background process has no portal.
 */
void
miru_steps_snapshot(void)
{
	if (ActivePortal != NULL)
		EnsurePortalSnapshotExists();
	else if (!ActiveSnapshotSet())
		PushActiveSnapshot(GetTransactionSnapshot());
}

void
miru_steps_lock(MiruTable *table, MiruFeed *feed, char *name)
{
	miru_steps_snapshot();
	*table = miru_table_open("feed", true);
	miru_feed_lock(table, feed, name, miru_epoch_current(),
				   GetCurrentTimestamp());
}

void
miru_steps_become_owner(MiruSteps *steps)
{
	GetUserIdAndSecContext(&steps->user, &steps->security);
	SetUserIdAndSecContext(miru_owner(),
						   steps->security | SECURITY_LOCAL_USERID_CHANGE);
}

void
miru_steps_become_caller(MiruSteps *steps)
{
	SetUserIdAndSecContext(steps->user, steps->security);
}
