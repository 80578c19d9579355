/*
 * form.c
 *     The form of a JSON object, as a table of its fields: checks objects and
 *     brings them into it.
 *
 * The object is copied, unless it is in its form (form_check.c).  A field that
 * the form does not list is copied as it is, whatever it holds.  One that it
 * lists is checked and, where its kind has one way to write a value (a time in
 * milliseconds, lower case, a second name), written that way.  Bringing an
 * object into its form twice changes nothing more.
 *
 * A JSON null counts as a missing field: an error where the field is
 * required, the default where it has one; else it is kept, as that is how a
 * client clears a field, and it expects it back.
 *
 * Errors name the field but never quote the value: they travel to logs and
 * to the inbox of rejected changes, and the value is a user's.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "errors.h"
#include "form.h"
#include "form_check.h"
#include "hlc.h"
#include "lower_case.h"

/* Above 2^53 - 1, JavaScript no longer tells an integer from the next. */
#define COUNT_MAX INT64CONST(9007199254740991)

/* Where an inner object stands: under a field, or in an array there. */
typedef struct Place
{
	const struct Place *outer; /* NULL: in the outermost object */
	const char *name;
	int index; /* in the array, from 0; -1 = no array */
} Place;

/* The copy being made. */
typedef struct Copy
{
	JsonbParseState *state;
	const char *noun; /* what the object is, for errors */
} Copy;

static void copy_object(Copy *copy, const FormField *form, JsonbContainer *from,
						const Place *place);

/* append_place writes the path to an object, such as "pieces[2].". */
static void
append_place(StringInfo path, const Place *place)
{
	if (place == NULL)
		return;
	append_place(path, place->outer);
	appendStringInfoString(path, place->name);
	if (place->index >= 0)
		appendStringInfo(path, "[%d]", place->index);
	appendStringInfoChar(path, '.');
}

/* refuse throws ERRCODE_MIRU_INVALID_OBJECT for a field. */
static void
pg_attribute_noreturn() refuse(const Copy *copy, const Place *place,
							   const char *name, const char *reason)
{
	StringInfoData path;

	initStringInfo(&path);
	append_place(&path, place);
	ereport(ERROR,
			(errcode(ERRCODE_MIRU_INVALID_OBJECT),
			 errmsg("field \"%s%s\" of the %s %s", path.data, name, copy->noun,
					reason)));
}

/* is_container tells whether a value is an array, or an object. */
static bool
is_container(const JsonbValue *value, uint32 kind)
{
	return value->type == jbvBinary &&
		(value->val.binary.data->header & kind) != 0;
}

/* is_array_of tells whether all elements of an array are of that type. */
static bool
is_array_of(const JsonbValue *array, enum jbvType type)
{
	JsonbIterator *iterator;
	JsonbValue element;
	JsonbIteratorToken token;

	if (!is_container(array, JB_FARRAY))
		return false;
	iterator = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && element.type != type)
			return false;
	}
	return true;
}

/* compare_numeric compares a JSON number, of whatever size, and an integer. */
static int
compare_numeric(Numeric number, int64 integer)
{
	Datum other = NumericGetDatum(int64_to_numeric(integer));

	return DatumGetInt32(
		DirectFunctionCall2(numeric_cmp, NumericGetDatum(number), other));
}

/*
 * take_integer makes 12.0 and 1.2e1 the number 12.  Returns false, and leaves
 * the value alone, if it is no integer from "lowest" to "highest".
 */
static bool
take_integer(JsonbValue *value, int64 lowest, int64 highest)
{
	Datum floor;

	/* The bounds come first: after them the digits are few. */
	if (value->type != jbvNumeric ||
		compare_numeric(value->val.numeric, lowest) < 0 ||
		compare_numeric(value->val.numeric, highest) > 0)
		return false;
	floor = DirectFunctionCall1(numeric_floor,
								NumericGetDatum(value->val.numeric));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, floor,
										  NumericGetDatum(value->val.numeric))))
		return false;
	value->val.numeric = DatumGetNumeric(floor);
	return true;
}

/* take_time reads a string as ISO 8601; false if the value is none. */
static bool
take_time(const JsonbValue *value, int64 *ms)
{
	return value->type == jbvString &&
		hlc_parse_time(value->val.string.val, value->val.string.len, ms);
}

/* take_milliseconds makes a time the number of its milliseconds. */
static bool
take_milliseconds(JsonbValue *value)
{
	int64 ms;

	if (take_time(value, &ms))
	{
		value->type = jbvNumeric;
		value->val.numeric = int64_to_numeric(ms);
		return true;
	}
	return take_integer(value, -HLC_TIME_MS_MAX, HLC_TIME_MS_MAX);
}

/* take_lower_case puts a string that is not empty into lower case. */
static bool
take_lower_case(JsonbValue *value)
{
	char *lower;

	if (value->type != jbvString || value->val.string.len == 0)
		return false;
	lower = palloc(LOWER_CASE_SIZE(value->val.string.len));
	value->val.string.len = miru_lower_case(value->val.string.val,
											value->val.string.len, lower);
	value->val.string.val = lower;
	return true;
}

/* is_choice tells whether a value is one of the field's strings. */
static bool
is_choice(const FormField *field, const JsonbValue *value)
{
	if (value->type != jbvString)
		return false;
	for (const char *const *choice = field->choices; *choice != NULL; choice++)
	{
		if (strlen(*choice) == value->val.string.len &&
			memcmp(*choice, value->val.string.val, value->val.string.len) == 0)
			return true;
	}
	return false;
}

/* choices_reason says what a field with choices must be. */
static const char *
choices_reason(const FormField *field)
{
	StringInfoData reason;

	initStringInfo(&reason);
	appendStringInfoString(&reason, "must be one of ");
	for (int i = 0; field->choices[i] != NULL; i++)
		appendStringInfo(&reason, "%s%s", i > 0 ? ", " : "", field->choices[i]);
	return reason.data;
}

/*
 * take_value brings a value into the form that the field has, in place.
 * Returns NULL, or else what the field must be.
 */
static const char *
take_value(const FormField *field, JsonbValue *value)
{
	bool is_text = value->type == jbvString;
	JsonbValue scratch = *value;
	int64 ms;

	switch (field->kind)
	{
		case FORM_ARRAY:
			return is_container(value, JB_FARRAY) ? NULL : "must be an array";
		case FORM_BOOLEAN:
			return value->type == jbvBool ? NULL : "must be true or false";
		case FORM_CHOICE:
			return is_choice(field, value) ? NULL : choices_reason(field);
		case FORM_COUNT:
			if (take_integer(value, 0, COUNT_MAX))
				return NULL;
			if (value->type == jbvNumeric &&
				compare_numeric(value->val.numeric, COUNT_MAX) > 0)
				return "must be an integer of at most 9007199254740991";
			return "must be an integer of at least 0";
		case FORM_ID:
			return is_text && value->val.string.len > 0 &&
					value->val.string.len <= FORM_ID_MAX_BYTES
				? NULL
				: "must be a non-empty string of at most 255 bytes";
		case FORM_LOWER_CASE:
			return take_lower_case(value) ? NULL : "must be a non-empty string";
		case FORM_MILLISECONDS:
			return take_milliseconds(value)
				? NULL
				: "must be an ISO 8601 time or an integer of milliseconds";
		case FORM_MOMENT:
			if (is_text && value->val.string.len == 0 &&
				(field->flags & FORM_MAY_BE_EMPTY) != 0)
				return NULL;
			return take_milliseconds(&scratch)
				? NULL
				: "must be an ISO 8601 time or an integer of milliseconds";
		case FORM_NUMBER:
			return value->type == jbvNumeric ? NULL : "must be a number";
		case FORM_OBJECT:
			return is_container(value, JB_FOBJECT) ? NULL : "must be an object";
		case FORM_OBJECTS:
			/* copy_objects looks at the elements */
			return is_container(value, JB_FARRAY)
				? NULL
				: "must be an array of objects";
		case FORM_TEXT:
			return is_text ? NULL : "must be a string";
		case FORM_TEXTS:
			return is_array_of(value, jbvString)
				? NULL
				: "must be an array of strings";
		case FORM_TIME:
			return take_time(value, &ms) ? NULL
										 : "must be an ISO 8601 date or time";
	}
	elog(ERROR, "unknown kind %d of field \"%s\"", (int) field->kind,
		 field->name);
}

/* push_key writes the name of the field that comes next. */
static void
push_key(Copy *copy, const char *name)
{
	JsonbValue key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(&copy->state, WJB_KEY, &key);
}

/* copy_objects copies an array of objects, each in the form of "parts". */
static void
copy_objects(Copy *copy, const FormField *field, const JsonbValue *array,
			 const Place *outer, const char *name)
{
	JsonbIterator *iterator = JsonbIteratorInit(array->val.binary.data);
	JsonbValue element;
	JsonbIteratorToken token;
	Place place = {outer, name, 0};

	pushJsonbValue(&copy->state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (!is_container(&element, JB_FOBJECT))
			refuse(copy, outer, name, "must be an array of objects");
		copy_object(copy, field->parts, element.val.binary.data, &place);
		place.index++;
	}
	pushJsonbValue(&copy->state, WJB_END_ARRAY, NULL);
}

/* copy_value checks the value found under "name" and writes it. */
static void
copy_value(Copy *copy, const FormField *field, JsonbValue *value,
		   const Place *place, const char *name)
{
	const char *reason = take_value(field, value);
	Place inner = {place, name, -1};

	if (reason != NULL)
		refuse(copy, place, name, reason);

	push_key(copy, field->name);
	if (field->kind == FORM_OBJECTS)
		copy_objects(copy, field, value, place, name);
	else if (field->parts != NULL)
		copy_object(copy, field->parts, value->val.binary.data, &inner);
	else
		pushJsonbValue(&copy->state, WJB_VALUE, value);

	if ((field->flags & FORM_BOTH_NAMES) != 0)
	{
		push_key(copy, field->alias);
		pushJsonbValue(&copy->state, WJB_VALUE, value);
	}
}

/*
 * find_value finds what an object says under a name.  Null is not a value;
 * nor is an empty id where another name may have a better one.
 */
static bool
find_value(const FormField *field, JsonbContainer *object, const char *name,
		   JsonbValue *value)
{
	if (name == NULL ||
		getKeyJsonValueFromContainer(object, name, strlen(name), value) ==
			NULL ||
		value->type == jbvNull)
		return false;
	return !(field->kind == FORM_ID && field->alias != NULL &&
			 value->type == jbvString && value->val.string.len == 0);
}

/* copy_field writes one field of the form, or what stands in for it. */
static void
copy_field(Copy *copy, const FormField *field, JsonbContainer *from,
		   const Place *place)
{
	JsonbValue value;

	if (find_value(field, from, field->name, &value))
		copy_value(copy, field, &value, place, field->name);
	else if (find_value(field, from, field->alias, &value))
		copy_value(copy, field, &value, place, field->alias);
	else if ((field->flags & FORM_REQUIRED) != 0)
		refuse(copy, place, field->name, "is required");
	else if ((field->flags & FORM_DEFAULT_EMPTY) != 0)
	{
		push_key(copy, field->name);
		pushJsonbValue(&copy->state, WJB_BEGIN_ARRAY, NULL);
		pushJsonbValue(&copy->state, WJB_END_ARRAY, NULL);
	}
	else if (getKeyJsonValueFromContainer(from, field->name,
										  strlen(field->name), &value) != NULL)
	{
		/* a null */
		push_key(copy, field->name);
		pushJsonbValue(&copy->state, WJB_VALUE, &value);
	}
}

/* is_name tells whether a key is that name, which may be NULL. */
static bool
is_name(const JsonbValue *key, const char *name)
{
	return name != NULL && strlen(name) == key->val.string.len &&
		memcmp(name, key->val.string.val, key->val.string.len) == 0;
}

/* is_listed tells whether a form lists that key. */
static bool
is_listed(const FormField *form, const JsonbValue *key)
{
	for (const FormField *field = form; field->name != NULL; field++)
	{
		if (is_name(key, field->name) || is_name(key, field->alias))
			return true;
	}
	return false;
}

/* copy_object copies an object: first what the form does not list. */
static void
copy_object(Copy *copy, const FormField *form, JsonbContainer *from,
			const Place *place)
{
	JsonbIterator *iterator = JsonbIteratorInit(from);
	JsonbValue value;
	JsonbIteratorToken token;
	bool listed = false;

	pushJsonbValue(&copy->state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			listed = is_listed(form, &value);
		if ((token == WJB_KEY || token == WJB_VALUE) && !listed)
			pushJsonbValue(&copy->state, token, &value);
	}
	for (const FormField *field = form; field->name != NULL; field++)
		copy_field(copy, field, from, place);
	/* The caller of the outermost one ends it, to get the result. */
	if (place != NULL)
		pushJsonbValue(&copy->state, WJB_END_OBJECT, NULL);
}

Jsonb *
miru_form_apply(const FormField *form, const char *noun, Jsonb *object,
				bool softly)
{
	Copy copy = {NULL, noun};
	FormVerdict verdict;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_OBJECT),
				 errmsg("the %s must be a JSON object", noun)));
	verdict = miru_form_judge(form, object);
	if (verdict == FORM_KEPT)
		return object;
	if (verdict == FORM_REFUSED && softly)
		return NULL;
	copy_object(&copy, form, &object->root, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&copy.state, WJB_END_OBJECT, NULL));
}
