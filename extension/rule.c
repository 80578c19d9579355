/*
 * rule.c
 *     Setting how concurrent changes merge.
 *
 * Owns mirusync.field_rule; nobody else writes it.  registry.c reads it for
 * everybody.  A collection's own rule is kept with it, by attached.c.
 *
 * A field is known by its key among the stamps, so a column's rule stays with
 * it when it is renamed, and through a dump.  What was merged before a rule is
 * set stays as it is: a rule looks at what is stored and what comes in, and
 * leaves nothing behind that another one would have to know of.
 *
 * Ordering and locks: like attach.c, mirusync.attached first.  Pushes that are
 * under way go on by the former rule.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "attach_check.h"
#include "attached.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "merge_rules.h"
#include "miscadmin.h"
#include "registry.h"
#include "registry_table.h"
#include "rule.h"
#include "rule_function.h"
#include "target.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(mirusync_set_rule_0_2);
PG_FUNCTION_INFO_V1(mirusync_set_delete_rule_0_2);

/* Longest name of a document's field that can have a rule, in bytes. */
#define FIELD_NAME_MAX 255

/* ----- what is stored ----- */

/* begin_scan finds the rules of a collection, or with "field" of one field. */
static SysScanDesc
begin_scan(Relation table, const char *collection, const char *field)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], FIELD_RULE_COLLECTION, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(collection));
	if (field != NULL)
		ScanKeyInit(&keys[1], FIELD_RULE_FIELD, BTEqualStrategyNumber, F_TEXTEQ,
					CStringGetTextDatum(field));
	return systable_beginscan(table, miru_table_oid("field_rule_pkey"), true,
							  NULL, field ? 2 : 1, keys);
}

/* store writes the rule of a field over the one that it had, if any. */
static void
store(const char *collection, const char *field, const char *rule)
{
	Relation table = table_open(miru_table_oid("field_rule"), RowExclusiveLock);
	SysScanDesc scan = begin_scan(table, collection, field);
	HeapTuple old = systable_getnext(scan);
	Datum values[FIELD_RULE_COLUMNS];
	bool nulls[FIELD_RULE_COLUMNS] = {false};
	HeapTuple tuple;

	values[FIELD_RULE_COLLECTION - 1] = CStringGetTextDatum(collection);
	values[FIELD_RULE_FIELD - 1] = CStringGetTextDatum(field);
	values[FIELD_RULE_RULE - 1] = CStringGetTextDatum(rule);
	tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
	if (HeapTupleIsValid(old))
		CatalogTupleUpdate(table, &old->t_self, tuple);
	else
		CatalogTupleInsert(table, tuple);
	systable_endscan(scan);
	table_close(table, NoLock);
}

/* forget removes the rule of a field, or with NULL of every field. */
static void
forget(const char *collection, const char *field)
{
	Relation table = table_open(miru_table_oid("field_rule"), RowExclusiveLock);
	SysScanDesc scan = begin_scan(table, collection, field);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(table, &tuple->t_self);
	systable_endscan(scan);
	table_close(table, NoLock);
}

void
miru_field_rules_forget(const char *collection)
{
	forget(collection, NULL);
}

/* ----- checks ----- */

static bool
is_exact_number(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			return true;
		default:
			return false;
	}
}

static bool
is_array_or_json(Oid type)
{
	type = getBaseType(type);
	return type == JSONBOID || OidIsValid(get_element_type(type));
}

/*
 * check_type throws unless values of a column's type can merge by the rule.
 * Sums of floats would depend on the order in which they are made.
 */
static void
check_type(const MiruField *field, MiruRule rule)
{
	bool ordered = rule == MIRU_RULE_MAX || rule == MIRU_RULE_MIN;
	Oid compare = lookup_type_cache(field->type, TYPECACHE_CMP_PROC)->cmp_proc;

	if ((!ordered || OidIsValid(compare)) &&
		(rule != MIRU_RULE_COUNTER || is_exact_number(field->type)) &&
		(rule != MIRU_RULE_SET || is_array_or_json(field->type)))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_DATATYPE_MISMATCH),
		 errmsg("field \"%s\" of type %s cannot have rule \"%s\"", field->name,
				format_type_be(field->type), miru_rule_name(rule)),
		 ordered ? errdetail("Values of that type have no order.")
			 : rule == MIRU_RULE_SET
			 ? errdetail(
				   "A set is an array or a jsonb, or a domain over one of these.")
			 : errdetail(
				   "A counter is a smallint, integer, bigint or numeric, or a domain over one of these.")));
}

/* check_column returns the column that is to have a rule of its own. */
static MiruField *
check_column(MiruRelation *rel, const char *collection, const char *name)
{
	MiruField *field = miru_field_by_name(rel, name);

	if (strcmp(name, rel->feed_name) == 0 ||
		(field != NULL && (field->is_key || field->is_generated)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("field \"%s\" cannot have a rule", name),
				 errdetail("Devices do not change it.")));
	if (field == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("collection \"%s\" has no field \"%s\"", collection,
						name)));
	return field;
}

static void
check_field_name(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > FIELD_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a field must have 1 to %d bytes",
						FIELD_NAME_MAX)));
}

static MiruRule
check_field_rule(const char *name)
{
	MiruRule rule;

	if (miru_rule_is_function(name))
		return MIRU_RULE_FUNCTION;
	if (!miru_rule_parse(name, &rule))
		miru_check_rule(name); /* throws */
	if (!miru_rule_is_for_fields(rule))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rule \"%s\" is for whole collections", name)));
	return rule;
}

/* field_key checks field and rule (NULL: none), returns the field's key. */
static const char *
field_key(const MiruCollection *collection, const char *name,
		  const char *rule_name)
{
	MiruRelation *rel = miru_relation_get(collection->relid);
	MiruRule rule = MIRU_RULE_LWW;
	MiruField *field;

	if (rule_name != NULL)
		rule = check_field_rule(rule_name);
	if (rel->data_attnum != 0)
	{
		check_field_name(name);
		return name;
	}
	field = check_column(rel, collection->name, name);
	if (rule_name != NULL)
		check_type(field, rule);
	return field->key;
}

/* find_own finds a collection whose table the calling user owns. */
static MiruCollection *
find_own(const char *name)
{
	MiruCollection *collection = miru_collection_get(name);

	if (collection != NULL)
	{
		relation_close(miru_open_own_table(collection->relid, AccessShareLock),
					   NoLock);
		/* It may have been detached while the lock was waited for. */
		collection = miru_collection_get(name);
	}
	if (collection == NULL || miru_relation_get(collection->relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("collection \"%s\" does not exist", name)));
	return collection;
}

/* mirusync.set_rule(collection, field, rule) */
Datum
mirusync_set_rule_0_2(PG_FUNCTION_ARGS)
{
	bool of_field = !PG_ARGISNULL(1);
	const char *names[] = {"collection", NULL, of_field ? NULL : "rule"};
	MiruCollection *collection;
	char *rule = NULL;

	PreventCommandIfReadOnly("mirusync.set_rule()");
	miru_check_not_null(fcinfo, lengthof(names), names);
	collection = find_own(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (!PG_ARGISNULL(2))
		rule = text_to_cstring(PG_GETARG_TEXT_PP(2));

	if (of_field)
	{
		char *field = text_to_cstring(PG_GETARG_TEXT_PP(1));
		const char *key = field_key(collection, field, rule);

		if (rule != NULL && miru_rule_is_function(rule))
			rule = miru_rule_function_check(
				rule,
				miru_target_role(collection,
								 miru_relation_get(collection->relid)));
		if (rule != NULL)
			store(collection->name, key, rule);
		else
			forget(collection->name, key);
	}
	else
	{
		miru_check_rule(rule);
		miru_collection_set_rule(collection->name, rule);
	}
	miru_registry_written();
	PG_RETURN_VOID();
}

/* mirusync.set_delete_rule(collection, rule) */
Datum
mirusync_set_delete_rule_0_2(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"collection", "rule"};
	MiruCollection *collection;
	MiruDeleteRule parsed;
	char *rule;

	PreventCommandIfReadOnly("mirusync.set_delete_rule()");
	miru_check_not_null(fcinfo, lengthof(names), names);
	collection = find_own(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	rule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!miru_delete_rule_parse(rule, &parsed))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown delete rule \"%s\"", rule),
			 errhint(
				 "The delete rules are \"update_wins\", \"delete_wins\" and \"manual\".")));
	miru_collection_set_delete_rule(collection->name, rule);
	miru_registry_written();
	PG_RETURN_VOID();
}
