/*
 * rule_function.c
 *     SQL functions of the application's that decide what stands of a field.
 *
 * A function is known by its name with schema, as text: a rule must survive a
 * dump, which has tables' contents before functions.  So it is looked up at
 * each call, and its right to be executed is asked for at each call.
 *
 * It runs as the collection's role, which can leave nothing behind in the
 * session, inside the subtransaction of the push: what it throws rejects that
 * change.  No name is looked up but its own, in its own schema.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "acting.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "parser/parse_func.h"
#include "rule_function.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define ARGUMENTS 4

bool
miru_rule_is_function(const char *rule)
{
	return strchr(rule, '.') != NULL;
}

/* find looks a function up as the current user; throws if there is none. */
static Oid
find(const char *name)
{
	static const Oid arguments[ARGUMENTS] = {JSONBOID, JSONBOID, JSONBOID,
											 JSONBOID};
	List *names = miru_qualified_name(pstrdup(name));

	if (list_length(names) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("rule \"%s\" is not \"schema.function\"", name)));
	return LookupFuncName(names, ARGUMENTS, arguments, false);
}

/* check_form throws unless it can be called as a rule. */
static void
check_form(Oid function, const char *name)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prokind != PROKIND_FUNCTION || form->proretset ||
		form->prorettype != JSONBOID || form->proisstrict)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("function %s cannot be a rule", name),
			 errdetail(
				 "It must return one jsonb, and be called on null input.")));
	ReleaseSysCache(tuple);
}

static void
check_right(Oid function, Oid role)
{
	AclResult result = miru_function_aclcheck(function, role);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
}

char *
miru_rule_function_check(const char *name, Oid role)
{
	MiruActing saved;
	Oid function;

	/* As the role, which must be let into the schema. */
	miru_act_as(role, &saved);
	function = find(name);
	check_form(function, name);
	check_right(function, role);
	miru_act_end(&saved);
	return quote_qualified_identifier(get_namespace_name(
										  get_func_namespace(function)),
									  get_func_name(function));
}

static void
set_argument(FunctionCallInfo fcinfo, int place, Jsonb *value)
{
	fcinfo->args[place].value = JsonbPGetDatum(value);
	fcinfo->args[place].isnull = value == NULL;
}

Jsonb *
miru_rule_function_call(const MiruRuleCall *call)
{
	LOCAL_FCINFO(fcinfo, ARGUMENTS);
	FmgrInfo info;
	MiruActing saved;
	Datum result;
	Oid function;

	miru_act_as(call->role, &saved);
	function = find(call->function);
	check_form(function, call->function);
	check_right(function, call->role);
	fmgr_info(function, &info);
	InitFunctionCallInfoData(*fcinfo, &info, ARGUMENTS, InvalidOid, NULL, NULL);
	set_argument(fcinfo, 0, call->stored);
	set_argument(fcinfo, 1, call->incoming);
	set_argument(fcinfo, 2, call->base);
	set_argument(fcinfo, 3, call->context);
	result = FunctionCallInvoke(fcinfo);
	miru_act_end(&saved);
	return fcinfo->isnull ? NULL : DatumGetJsonbPCopy(result);
}
