/*
 * type.c
 *     What is peculiar about a type, as far as its values travel as JSON.
 *
 * Most types are written alike whatever the session's settings, once those of
 * convert.c are fixed, and have a JSON form for each of their values.  These
 * have not:
 *
 *  - regclass and its like write the names of objects, with a schema if
 *    search_path asks for it; and the casts to json that applications write
 *    look names up;
 *  - money is written as lc_monetary says;
 *  - json holds texts that jsonb does not take, such as "\u0000", and a cast
 *    to json may throw what it likes.
 *
 * It is worked out once per attached table, so that other tables do not pay.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "type.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* has_cast_to_json tells whether to_jsonb() would call a cast of the type. */
static bool
has_cast_to_json(Oid type)
{
	Oid function;

	return type >= FirstNormalObjectId &&
		find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &function) ==
		COERCION_PATH_FUNC;
}

static int
traits_of_columns(Oid type)
{
	TupleDesc desc = lookup_rowtype_tupdesc(type, -1);
	int traits = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			traits |= miru_type_traits(TupleDescAttr(desc, i)->atttypid);
	}
	ReleaseTupleDesc(desc);
	return traits;
}

int
miru_type_traits(Oid type)
{
	Oid element;

	type = getBaseType(type);
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return MIRU_TYPE_NAMES;
		case CASHOID:
			return MIRU_TYPE_MONEY;
		case JSONOID:
			return MIRU_TYPE_REFUSES;
	}
	element = get_element_type(type);
	if (OidIsValid(element))
		return miru_type_traits(element);
	switch (get_typtype(type))
	{
		case TYPTYPE_COMPOSITE:
			return traits_of_columns(type);
		case TYPTYPE_RANGE:
			return miru_type_traits(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return miru_type_traits(get_multirange_range(type));
		default:
			return has_cast_to_json(type) ? MIRU_TYPE_NAMES | MIRU_TYPE_REFUSES
										  : 0;
	}
}

bool
miru_type_text_is_long(Oid type)
{
	type = getBaseType(type);
	return get_typlen(type) == -1 && type != TEXTOID && type != VARCHAROID &&
		type != BPCHAROID && type != BYTEAOID;
}
