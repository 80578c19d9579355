/*
 * isolate.h
 *     Running something in a subtransaction, so that its failure is its own.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ISOLATE_H
#define MIRUSYNC_ISOLATE_H

#include "utils/elog.h"

/*
 * miru_run_isolated runs "body" in a subtransaction and returns the error
 * that rolled it back, in the current memory context, or NULL.  What "body"
 * allocates there stays.  A cancel is thrown on: it is meant for the statement.
 */
extern ErrorData *miru_run_isolated(void (*body)(void *arg), void *arg);

/*
 * miru_is_transient tells whether an error is nobody's fault: what failed is
 * to be tried again, and is no verdict (SQLSTATE classes 08, 40, 53, 57, 58,
 * XX, and 55P03).
 */
extern bool miru_is_transient(int sqlstate);

#endif /* MIRUSYNC_ISOLATE_H */
