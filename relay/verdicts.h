/*
 * verdicts.h
 *		Reads the rows of push_many: what became of each message, and the
 *		events to deliver.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_VERDICTS_H
#define MIRUSYNC_VERDICTS_H

#include <libpq-fe.h>

#include "pgconn.h"
#include "push.h"

/* The statement whose rows are read here. */
extern const PgStatement push_many_statement;

/* One message's fate as push_many tells it. */
typedef struct PushResult
{
	bool known;		  /* a row spoke of it */
	bool retry;		  /* nobody's fault: submit it again */
	Verdict verdict;  /* unless retry; points into the result */
	char sqlstate[6]; /* for the log, "" if none */
} PushResult;

/* verdicts_read fills one PushResult for each of "count" messages. */
extern void
verdicts_read(const PGresult *result, PushResult *results, int count);

/*
 * verdicts_deliver hands the events, which were asked for in "dialects", to
 * their feeds and notes the feeds for the bell.  Call it before any verdict is settled: then the cursors have
 * moved, and the answers can leave at once.
 */
extern void verdicts_deliver(const PGresult *result, DialectSet dialects);

#endif
