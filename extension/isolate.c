/*
 * isolate.c
 *     Running something in a subtransaction, so that its failure is its own.
 *
 * The only place where errors are caught.  Without a subtransaction nothing
 * could go on after one: locks, snapshots and half-made changes would stay.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "isolate.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

bool
miru_is_transient(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	/* A server that is read-only will be writable, or another will. */
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION ||
		category == MAKE_SQLSTATE('0', '8', '0', '0', '0') ||
		category == MAKE_SQLSTATE('4', '0', '0', '0', '0') ||
		category == MAKE_SQLSTATE('5', '3', '0', '0', '0') ||
		category == MAKE_SQLSTATE('5', '7', '0', '0', '0') ||
		category == MAKE_SQLSTATE('5', '8', '0', '0', '0') ||
		category == MAKE_SQLSTATE('X', 'X', '0', '0', '0');
}

ErrorData *
miru_run_isolated(void (*body)(void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	/* A cancel is meant for the statement, not for one change. */
	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return error;
}
