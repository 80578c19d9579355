/*
 * errors.h
 *     The SQLSTATEs of mirusync's own, one line each.
 *
 * Class "MS".  docs/sql.md lists them with their meaning for a client; where
 * Postgres has a code that says the same, that one is used.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ERRORS_H
#define MIRUSYNC_ERRORS_H

#include "utils/elog.h"

/* the user may not read or write that feed */
#define ERRCODE_MIRU_FEED_FORBIDDEN MAKE_SQLSTATE('M', 'S', '0', '0', '1')
/* no collection of that name */
#define ERRCODE_MIRU_UNKNOWN_COLLECTION MAKE_SQLSTATE('M', 'S', '0', '0', '2')
/* the table took the statement but did not change the row */
#define ERRCODE_MIRU_WRITE_SUPPRESSED MAKE_SQLSTATE('M', 'S', '0', '0', '3')
/* the change's number is one whose verdict the device has digested */
#define ERRCODE_MIRU_ALREADY_DIGESTED MAKE_SQLSTATE('M', 'S', '0', '0', '4')
/* the collection takes no pushes */
#define ERRCODE_MIRU_NOT_PUSHABLE MAKE_SQLSTATE('M', 'S', '0', '0', '5')
/* a counter's value says not by how much it was changed */
#define ERRCODE_MIRU_UNKNOWN_BASE MAKE_SQLSTATE('M', 'S', '0', '0', '6')
/* another change of an atomic batch was refused */
#define ERRCODE_MIRU_BATCH_REFUSED MAKE_SQLSTATE('M', 'S', '0', '0', '7')
/* history does not reach back to what was asked for; raised in SQL */
#define ERRCODE_MIRU_TRIMMED MAKE_SQLSTATE('M', 'S', '0', '0', '8')
/* an earlier change of the device to the record was rejected and waits */
#define ERRCODE_MIRU_WAITS MAKE_SQLSTATE('M', 'S', '0', '1', '0')
/* the batch is not of the documented shape */
#define ERRCODE_MIRU_INVALID_BATCH MAKE_SQLSTATE('M', 'S', '4', '0', '0')
/* the message or its object failed validation */
#define ERRCODE_MIRU_INVALID_OBJECT MAKE_SQLSTATE('M', 'S', '4', '2', '2')

#endif /* MIRUSYNC_ERRORS_H */
