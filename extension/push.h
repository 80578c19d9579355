/*
 * push.h
 *     One message that a device pushes, in either dialect.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PUSH_H
#define MIRUSYNC_PUSH_H

#include "apply.h"
#include "native.h"
#include "resolve.h"
#include "utils/elog.h"

typedef struct MiruPush
{
	MiruPusher pusher;
	bool is_event;		   /* else a native batch */
	bool is_native;		   /* in a message of mirusync.v1 */
	MiruNativeKind kind;   /* of such a message, once parsed */
	int64 digested;		   /* highest number that the device has digested */
	MiruResolved resolved; /* by such a message */
	const char *message;
	Jsonb *batch;  /* native, once parsed */
	List *changes; /* MiruChange */
	List *kept;	   /* MiruVerdict of replayed changes */
	List *open;	   /* of a batch: changes to be applied */
	int64 taken; /* of a batch: its session's earlier batches in the group have
				  * numbers up to this, whose verdicts are not kept yet */
	bool direct; /* new documents are inserted without a statement */
	bool waits;	 /* of a batch: its device has changes in the inbox */
	bool any_rejected; /* of a batch: of those to be applied */
	/* of a batch, once finished: new verdicts by MiruVerdictKind */
	int32 verdicts[MIRU_REJECTED + 1];
	ErrorData *error; /* it failed as a whole */
} MiruPush;

/*
 * miru_push_apply parses and applies the message in a subtransaction; if that
 * fails nothing of it has happened and "error" says why.
 */
extern void miru_push_apply(MiruPush *push);

/*
 * miru_push_apply_together applies changes in one subtransaction, constraints
 * checked at its end; if that fails nothing of them has happened, and it
 * returns why.  For changes that need not wait (waiting.h).
 */
extern ErrorData *miru_push_apply_together(MiruPush *push, List *changes);

/*
 * miru_push_finish_batch keeps the new verdicts of a native batch, after the
 * flush, and returns all of them as JSON.
 */
extern Jsonb *miru_push_finish_batch(MiruPush *push);

/* miru_push_check_name checks a user or device id; "what" names it. */
extern void miru_push_check_name(const char *what, const char *name);

/*
 * miru_push_fix_search_path makes search_path that of pushes, until
 * miru_settings_restore is called with its result.
 */
extern int miru_push_fix_search_path(void);

/*
 * miru_push_begin finishes what the transaction did before by SQL: it fires
 * its deferred triggers and numbers its changes.  Then it fixes search_path,
 * as above.
 */
extern int miru_push_begin(void);

#endif /* MIRUSYNC_PUSH_H */
