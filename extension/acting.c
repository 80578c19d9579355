/*
 * acting.c
 *     Running the application's statements and triggers as its own role.
 *
 * A push writes to the application's tables as the collection's role, in a
 * session that belongs to somebody with more rights: the relay, or whoever
 * calls push().  Being another role for a while is not enough.  A trigger
 * could leave something in the session that runs later, when the rights are
 * the session's again: a cursor WITH HOLD is run at commit, a deferred trigger
 * too (before Postgres 18), a statement prepared under the name of one of the
 * relay's is run with the next push.
 *
 * Postgres has a mode for this, SECURITY_RESTRICTED_OPERATION, but that also
 * refuses to queue deferred triggers, and a batch of pushed changes needs its
 * deferred foreign keys.  So a bit of our own in the security context says
 * that a push is acting, and the hook on utility statements refuses what
 * outlives it.  The bit goes with the context: into functions that are
 * SECURITY DEFINER, and away when a subtransaction is rolled back.
 *
 * Settings need no refusing: push() puts all of them back at its end
 * (convert.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "acting.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

/* Beside the SECURITY_* bits of miscadmin.h, which are the lowest ones. */
#define SECURITY_PUSH 0x1000

static ProcessUtility_hook_type next_hook = NULL;

void
miru_act_as(Oid role, MiruActing *saved)
{
	GetUserIdAndSecContext(&saved->role, &saved->security_context);
	SetUserIdAndSecContext(role,
						   saved->security_context |
							   SECURITY_LOCAL_USERID_CHANGE | SECURITY_PUSH);
}

void
miru_act_end(const MiruActing *saved)
{
	SetUserIdAndSecContext(saved->role, saved->security_context);
}

/* outlives tells whether a statement leaves something in the session. */
static bool
outlives(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_ClosePortalStmt:
		case T_DeallocateStmt:
		case T_DiscardStmt:
		case T_ListenStmt:
		case T_PrepareStmt:
		case T_UnlistenStmt:
			return true;
		case T_ConstraintsSetStmt:
			return ((ConstraintsSetStmt *) statement)->deferred;
		case T_DeclareCursorStmt:
			return (((DeclareCursorStmt *) statement)->options &
					CURSOR_OPT_HOLD) != 0;
		default:
			return false;
	}
}

static void
on_utility(PlannedStmt *planned, const char *text, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	Oid role;
	int security_context;

	GetUserIdAndSecContext(&role, &security_context);
	if ((security_context & SECURITY_PUSH) != 0 &&
		outlives(planned->utilityStmt))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot execute %s while a pushed change is applied",
					CreateCommandName(planned->utilityStmt)),
			 errdetail(
				 "It would leave something in the session of whoever pushes.")));
	if (next_hook != NULL)
		next_hook(planned, text, read_only_tree, context, params, environment,
				  dest, completion);
	else
		standard_ProcessUtility(planned, text, read_only_tree, context, params,
								environment, dest, completion);
}

void
miru_acting_init(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
