/*
 * number.c
 *     Exact numbers of JSON values.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "fmgr.h"
#include "number.h"
#include "utils/fmgrprotos.h"

Numeric
miru_number_of(const JsonbValue *value)
{
	return value != NULL && value->type == jbvNumeric ? value->val.numeric
													  : NULL;
}

JsonbValue *
miru_number_value(Numeric number)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	value->type = jbvNumeric;
	value->val.numeric = number ? number : int64_to_numeric(0);
	return value;
}

Numeric
miru_number_add(Numeric a, Numeric b)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a),
											   NumericGetDatum(b)));
}

Numeric
miru_number_subtract(Numeric a, Numeric b)
{
	if (b == NULL)
		return a;
	b = DatumGetNumeric(
		DirectFunctionCall1(numeric_uminus, NumericGetDatum(b)));
	return miru_number_add(a, b);
}

bool
miru_number_is_zero(Numeric number)
{
	return number == NULL ||
		DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number),
										 NumericGetDatum(int64_to_numeric(0))));
}

Numeric
miru_number_round(Numeric number, int scale)
{
	Datum rounded = DirectFunctionCall2(numeric_round, NumericGetDatum(number),
										Int32GetDatum(scale));

	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, rounded));
}
