/*
 * feed_steps.h
 *     Procedures that work on a feed in steps, each in its own transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FEED_STEPS_H
#define MIRUSYNC_FEED_STEPS_H

#include "feed.h"
#include "fmgr.h"
#include "table.h"

typedef struct MiruSteps
{
	MemoryContext caller;
	MemoryContext call; /* lasts for the call */
	MemoryContext step; /* emptied with each transaction */
	Oid user;			/* the caller, while we are the owner */
	int security;
} MiruSteps;

/* miru_steps_check_call throws unless a procedure may commit as it goes. */
extern void
miru_steps_check_call(const char *procedure, FunctionCallInfo fcinfo);

/*
 * All work is done between these two.  Afterwards, and after each commit,
 * the current context is that of the step.
 */
extern void miru_steps_begin(MiruSteps *steps);
extern void miru_steps_end(MiruSteps *steps);

/* miru_steps_commit ends the transaction of a step, and begins the next. */
extern void miru_steps_commit(MiruSteps *steps);

/* miru_steps_snapshot sees that there is one after a commit. */
extern void miru_steps_snapshot(void);

/* miru_steps_lock locks a feed for the rest of the step's transaction. */
extern void miru_steps_lock(MiruTable *table, MiruFeed *feed, char *name);

/* SQL between these two runs as the owner of the extension. */
extern void miru_steps_become_owner(MiruSteps *steps);
extern void miru_steps_become_caller(MiruSteps *steps);

#endif /* MIRUSYNC_FEED_STEPS_H */
