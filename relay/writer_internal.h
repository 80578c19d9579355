/*
 * writer_internal.h
 *		What the two lanes of the writer, fast and slow, share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WRITER_INTERNAL_H
#define MIRUSYNC_WRITER_INTERNAL_H

#include "pgconn.h"
#include "push.h"
#include "writer.h"

/*
 * A push under which the connection broke, or that failed for a reason of its
 * own, so often is answered, not sent again.
 */
#define LOSSES_MAX 5

/* push_link appends to a list, push_unlink takes off whatever list it is in. */
extern void push_link(Push **list, Push *push);
extern void push_unlink(Push *push);

/*
 * writer_settle answers a push, once, and frees it.  It must be in no list and
 * not in flight.
 */
extern void writer_settle(Push *push, const Verdict *verdict);

/* writer_give_up answers that nothing happened. */
extern void writer_give_up(Push *push, const char *reason);

/* writer_resume lets the held pushes of a stream go on. */
extern void writer_resume(PushStream *stream);

/*
 * writer_send executes push_many for these pushes as one statement, and says in
 * which dialects its events will come.
 */
extern Status
writer_send(PgConn *pg, Push *const *pushes, int count, DialectSet *dialects,
			PgCallback callback, void *arg) MUST_CHECK;

#endif
