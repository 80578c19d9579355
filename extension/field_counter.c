/*
 * field_counter.c
 *     Counters: by how much a change changes one.
 *
 * An increment is taken as it is sent.  A value stands for its difference to
 * what the device knew: what is stored, without what others have added since.
 *
 * Reads and writes no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "field_work.h"
#include "number.h"
#include "utils/lsyscache.h"

/* column_scale returns to how many digits a field's values are rounded. */
static int
column_scale(MiruFieldWork *work, const MiruWorkField *field)
{
	MiruRelation *rel = work->merge->target->rel;
	Oid type;
	int32 typmod;
	Oid collation;

	if (work->is_document)
		return NUMERIC_MAX_PRECISION;
	get_atttypetypmodcoll(rel->relid,
						  miru_field_by_name(rel, field->name)->attnum, &type,
						  &typmod, &collation);
	type = getBaseTypeAndTypmod(type, &typmod);
	if (type != NUMERICOID || typmod < (int32) VARHDRSZ)
		return NUMERIC_MAX_PRECISION;
	/* As make_numeric_typmod() packs it; before 15 there are no others. */
	return (((typmod - (int32) VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
}

static Numeric
check_number(const MiruWorkField *field, const JsonbValue *value)
{
	if (miru_work_is_value(value) && value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_OBJECT),
				 errmsg("value of counter \"%s\" is not a number",
						field->name)));
	return miru_number_of(value);
}

/*
 * increment_of returns by how much the device changed a counter; NULL if not
 * at all.  Of a value that is its difference to what the device knew: what
 * is stored, without what others have added since.
 */
Numeric
miru_counter_increment(MiruFieldWork *work, const MiruWorkField *field)
{
	Numeric stored = check_number(field, field->stored);
	Numeric increment;

	if (field->added != NULL)
		increment = field->added->val.numeric;
	else if (field->incoming == NULL)
		return NULL;
	else
	{
		increment = check_number(field, field->incoming);
		if (field->past != NULL && !work->past_is_known)
			ereport(
				ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_BASE),
				 errmsg(
					 "history of counter \"%s\" does not go back to base " INT64_FORMAT,
					 field->name, work->merge->change->base),
				 errhint("Push an increment, as \"add\".")));
		increment = miru_number_subtract(increment, stored);
		if (field->past != NULL)
			increment = miru_number_add(increment, field->past->others);
	}
	if (increment != NULL)
		increment = miru_number_round(increment, column_scale(work, field));
	return increment;
}

/* sum_of returns a counter with its increment. */
JsonbValue *
miru_counter_sum(const MiruWorkField *field, Numeric increment)
{
	return miru_number_value(
		miru_number_add(miru_number_of(field->stored), increment));
}
