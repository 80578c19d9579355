/*
 * statement.h
 *     Statements of ours whose plans are kept for the session.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_STATEMENT_H
#define MIRUSYNC_STATEMENT_H

#include "executor/spi.h"

/*
 * miru_statement_run executes a statement, and prepares it if "plan" is NULL.
 * "nulls" has 'n' for each value that is null, and may itself be NULL.  Needs
 * a connected SPI.
 */
extern void miru_statement_run(SPIPlanPtr *plan, const char *sql, int count,
							   Oid *types, Datum *values, const char *nulls);

#endif /* MIRUSYNC_STATEMENT_H */
