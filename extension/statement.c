/*
 * statement.c
 *     Statements of ours whose plans are kept for the session.
 *
 * For tables where neither speed nor a flush at commit asks for the direct
 * access of table.c.
 *
 * All of them find their rows by an index, and are planned so.  A table that is
 * nearly empty would be read whole, and that plan would be kept while the
 * table grows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "optimizer/cost.h"
#include "statement.h"

/*
 * execute runs a plan, which may be made just now.  Our tables have no
 * triggers: nobody else's statement is planned meanwhile.
 */
static int
execute(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	bool saved = enable_seqscan;
	int result;

	enable_seqscan = false;
	PG_TRY();
	{
		result = SPI_execute_plan(plan, values, nulls, false, 0);
	}
	PG_FINALLY();
	{
		enable_seqscan = saved;
	}
	PG_END_TRY();
	return result;
}

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
	result = execute(*plan, values, nulls);
	if (result < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(result));
}
