/*
 * statement.c
 *     Statements of ours whose plans are kept for the session.
 *
 * For tables where neither speed nor a flush at commit asks for the direct
 * access of table.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "statement.h"

void
miru_statement_run(SPIPlanPtr *plan, const char *sql, int count, Oid *types,
				   Datum *values, const char *nulls)
{
	int result;

	if (*plan == NULL)
	{
		*plan = SPI_prepare(sql, count, types);
		if (*plan == NULL)
			elog(ERROR, "could not prepare a statement: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(*plan);
	}
	result = SPI_execute_plan(*plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(result));
}
