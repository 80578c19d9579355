/*
 * pusher.c
 *     On whose behalf a push is being applied: user_id() and device_id().
 *
 * Policies, defaults, triggers and checks of the application ask.  The answer
 * is a variable of ours and no setting, since anybody may set a setting.
 *
 * It is that of one message: push_many applies those of many users in one
 * transaction.  All that a message causes runs before its end, its deferred
 * triggers included (push.c).  What runs at COMMIT is nobody's.
 *
 * A trigger may push in its turn, so the answers are a stack, and with them
 * goes the change that was being applied.  An error does not come by
 * miru_pusher_end; the subtransaction that it aborts takes off what was put on
 * in it (and capture.c goes back to its change).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture.h"
#include "fmgr.h"
#include "pusher.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(mirusync_user_id_0_2);
PG_FUNCTION_INFO_V1(mirusync_device_id_0_2);

typedef struct Current
{
	char *user;
	char *device;
	int level;	/* of the transaction that it began in */
	int origin; /* the change whose trigger pushes in its turn, or -1 */
	struct Current *outer;
} Current;

/* In TopTransactionContext, and gone with it. */
static Current *current = NULL;

void
miru_pusher_begin(const MiruPusher *pusher)
{
	MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
	Current *inner = palloc(sizeof(Current));

	inner->user = pstrdup(pusher->user);
	inner->device = pstrdup(pusher->device);
	inner->level = GetCurrentTransactionNestLevel();
	inner->origin = miru_origin_current();
	inner->outer = current;
	current = inner;
	miru_origin_set(-1);
	MemoryContextSwitchTo(saved);
}

static void
take_off(void)
{
	Current *ended = current;

	current = ended->outer;
	pfree(ended->user);
	pfree(ended->device);
	pfree(ended);
}

void
miru_pusher_end(void)
{
	miru_origin_set(current->origin);
	take_off();
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId id,
				  SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (current != NULL &&
		   current->level >= GetCurrentTransactionNestLevel())
		take_off();
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		current = NULL;
}

void
miru_pusher_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}

/* mirusync.user_id() */
Datum
mirusync_user_id_0_2(PG_FUNCTION_ARGS)
{
	if (current == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(current->user));
}

/* mirusync.device_id() */
Datum
mirusync_device_id_0_2(PG_FUNCTION_ARGS)
{
	if (current == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(current->device));
}
