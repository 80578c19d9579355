/*
 * rule_function.h
 *     SQL functions of the application's that decide what stands of a field.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_RULE_FUNCTION_H
#define MIRUSYNC_RULE_FUNCTION_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Arguments of such a function. */
typedef struct MiruRuleCall
{
	const char *function;
	Oid role;		 /* to be run as */
	Jsonb *stored;	 /* NULL: the field is not there */
	Jsonb *incoming; /* the same */
	Jsonb *base;	 /* NULL: not known */
	Jsonb *context;
} MiruRuleCall;

/* miru_rule_is_function tells whether a rule's name is that of a function. */
extern bool miru_rule_is_function(const char *rule);

/*
 * miru_rule_function_check throws unless there is such a function that the
 * role may execute, and returns its name in full.
 */
extern char *miru_rule_function_check(const char *name, Oid role);

/* miru_rule_function_call returns the result, NULL for null. */
extern Jsonb *miru_rule_function_call(const MiruRuleCall *call);

#endif /* MIRUSYNC_RULE_FUNCTION_H */
