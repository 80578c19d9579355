/*
 * form_check.c
 *     Whether an object is in its form already, so that it need not be copied,
 *     or surely does not fit, so that nobody need try.
 *
 * Nearly all are in it that are read back from the database, and most that
 * devices push.  One walk through the object tells: its keys come in the order of
 * jsonb, shorter ones first, and so are the names of the form put in order,
 * once for each form in a backend.
 *
 * What is not certain, and what is wrong with an object, is left to form.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "form.h"
#include "form_check.h"
#include "hlc.h"
#include "jsonb_text.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* An integer of so few digits is in range wherever one is asked for. */
#define DIGITS_MAX 15

/* A name that a form knows. */
typedef struct FormName
{
	const char *name;
	int length;
	const FormField *field;
	bool is_alias;
	bool must_be; /* an object without it is not in its form */
} FormName;

/* A form, by its names in the order of jsonb. */
typedef struct FormOrder
{
	const FormField *form;
	struct FormOrder *next;
	int count;
	FormName names[FLEXIBLE_ARRAY_MEMBER];
} FormOrder;

/* Of this backend; forms are constants, and few. */
static FormOrder *orders = NULL;

static FormVerdict judge_object(JsonbContainer *object, const FormField *form);

/* compare_names compares as jsonb does. */
static int
compare_names(const char *a, int a_length, const char *b, int b_length)
{
	if (a_length != b_length)
		return a_length < b_length ? -1 : 1;
	return memcmp(a, b, a_length);
}

static int
compare_form_names(const void *a, const void *b)
{
	const FormName *left = a;
	const FormName *right = b;

	return compare_names(left->name, left->length, right->name, right->length);
}

static void
add_name(FormOrder *order, const FormField *field, bool is_alias)
{
	FormName *name = &order->names[order->count++];

	name->name = is_alias ? field->alias : field->name;
	name->length = strlen(name->name);
	name->field = field;
	name->is_alias = is_alias;
	name->must_be = (field->flags & (FORM_REQUIRED | FORM_DEFAULT_EMPTY)) !=
			0 &&
		(!is_alias || (field->flags & FORM_BOTH_NAMES) != 0);
}

static const FormOrder *
order_of(const FormField *form)
{
	FormOrder *order;
	int count = 0;

	for (order = orders; order != NULL; order = order->next)
	{
		if (order->form == form)
			return order;
	}
	for (const FormField *field = form; field->name != NULL; field++)
		count += 2;
	order = MemoryContextAlloc(TopMemoryContext,
							   offsetof(FormOrder, names) +
								   count * sizeof(FormName));
	order->form = form;
	order->count = 0;
	for (const FormField *field = form; field->name != NULL; field++)
	{
		add_name(order, field, false);
		if (field->alias != NULL)
			add_name(order, field, true);
	}
	qsort(order->names, order->count, sizeof(FormName), compare_form_names);
	order->next = orders;
	orders = order;
	return order;
}

/* is_integer tells whether a number is a plain one of few digits. */
static bool
is_integer(const JsonbValue *value)
{
	char *text;
	size_t length;
	bool result;

	if (value->type != jbvNumeric)
		return false;
	text = DatumGetCString(
		DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	length = strlen(text);
	result = length <= DIGITS_MAX && strspn(text, "0123456789") == length;
	pfree(text);
	return result;
}

static bool
is_time(const JsonbValue *value)
{
	int64 ms;

	return value->type == jbvString &&
		hlc_parse_time(value->val.string.val, value->val.string.len, &ms);
}

/* is_lower_case tells whether a string is ASCII without capital letters. */
static bool
is_lower_case(const JsonbValue *value)
{
	if (value->type != jbvString || value->val.string.len == 0)
		return false;
	for (int i = 0; i < value->val.string.len; i++)
	{
		char c = value->val.string.val[i];

		if (IS_HIGHBIT_SET(c) || (c >= 'A' && c <= 'Z'))
			return false;
	}
	return true;
}

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

static bool
is_container(const JsonbValue *value, uint32 kind)
{
	return value->type == jbvBinary &&
		(value->val.binary.data->header & kind) != 0;
}

/* judge_list judges an array of strings, or of objects in a form. */
static FormVerdict
judge_list(const JsonbValue *array, const FormField *parts)
{
	MiruItems items;
	JsonbValue key;
	JsonbValue element;
	FormVerdict verdict = FORM_KEPT;

	if (!is_container(array, JB_FARRAY))
		return FORM_REFUSED;
	miru_items_begin(&items, array->val.binary.data);
	while (verdict == FORM_KEPT && miru_items_next(&items, &key, &element))
	{
		CHECK_FOR_INTERRUPTS();
		if (parts == NULL)
			verdict = element.type == jbvString ? FORM_KEPT : FORM_REFUSED;
		else if (is_container(&element, JB_FOBJECT))
			verdict = judge_object(element.val.binary.data, parts);
		else
			verdict = FORM_REFUSED;
	}
	return verdict;
}

static FormVerdict
kept_if(bool is_kept)
{
	return is_kept ? FORM_KEPT : FORM_REFUSED;
}

/* judge_value judges a value that is not null. */
static FormVerdict
judge_value(const FormField *field, const JsonbValue *value)
{
	bool is_text = value->type == jbvString;

	switch (field->kind)
	{
		case FORM_ARRAY:
			return kept_if(is_container(value, JB_FARRAY));
		case FORM_BOOLEAN:
			return kept_if(value->type == jbvBool);
		case FORM_CHOICE:
			return kept_if(is_choice(field, value));
		case FORM_COUNT:
		case FORM_MILLISECONDS:
			return is_integer(value) ? FORM_KEPT : FORM_UNSURE;
		case FORM_ID:
			return kept_if(is_text && value->val.string.len > 0 &&
						   value->val.string.len <= FORM_ID_MAX_BYTES);
		case FORM_LOWER_CASE:
			return is_lower_case(value) ? FORM_KEPT : FORM_UNSURE;
		case FORM_MOMENT:
			if (is_text && value->val.string.len == 0 &&
				(field->flags & FORM_MAY_BE_EMPTY) != 0)
				return FORM_KEPT;
			return is_time(value) || is_integer(value) ? FORM_KEPT
													   : FORM_UNSURE;
		case FORM_NUMBER:
			return kept_if(value->type == jbvNumeric);
		case FORM_OBJECT:
			if (!is_container(value, JB_FOBJECT))
				return FORM_REFUSED;
			return field->parts == NULL
				? FORM_KEPT
				: judge_object(value->val.binary.data, field->parts);
		case FORM_OBJECTS:
			return judge_list(value, field->parts);
		case FORM_TEXT:
			return kept_if(is_text);
		case FORM_TEXTS:
			return judge_list(value, NULL);
		case FORM_TIME:
			return kept_if(is_time(value));
	}
	return FORM_UNSURE;
}

/*
 * is_alias_kept tells of what stands under an alias.  It is written only beside
 * the name, and with the same string.
 */
static bool
is_alias_kept(const FormField *field, const JsonbValue *value,
			  JsonbContainer *object)
{
	JsonbValue other;

	return (field->flags & FORM_BOTH_NAMES) != 0 && value->type == jbvString &&
		getKeyJsonValueFromContainer(object, field->name, strlen(field->name),
									 &other) != NULL &&
		other.type == jbvString &&
		compare_names(value->val.string.val, value->val.string.len,
					  other.val.string.val, other.val.string.len) == 0;
}

/* judge_member judges a member of an object under a name of the form. */
static FormVerdict
judge_member(const FormName *name, const JsonbValue *value,
			 JsonbContainer *object)
{
	const FormField *field = name->field;

	if (name->is_alias)
		return is_alias_kept(field, value, object) ? FORM_KEPT : FORM_UNSURE;
	/* A null is kept if nothing must stand there. */
	if (value->type == jbvNull)
		return name->must_be || field->alias != NULL ? FORM_UNSURE : FORM_KEPT;
	/* There may be a better id under the other name. */
	if (field->kind == FORM_ID && field->alias != NULL &&
		value->type == jbvString && value->val.string.len == 0)
		return FORM_UNSURE;
	return judge_value(field, value);
}

static FormVerdict
judge_object(JsonbContainer *object, const FormField *form)
{
	const FormOrder *order = order_of(form);
	const FormName *name = order->names;
	const FormName *end = name + order->count;
	FormVerdict verdict = FORM_KEPT;
	MiruItems items;
	JsonbValue key;
	JsonbValue value;

	miru_items_begin(&items, object);
	while (miru_items_next(&items, &key, &value))
	{
		int order_of_key = 1;
		FormVerdict of_member;

		for (; name < end; name++)
		{
			order_of_key = compare_names(key.val.string.val, key.val.string.len,
										 name->name, name->length);
			if (order_of_key <= 0)
				break;
			if (name->must_be)
				verdict = FORM_UNSURE;
		}
		/* What the form does not list is kept as it is. */
		if (name == end || order_of_key < 0)
			continue;
		of_member = judge_member(name++, &value, object);
		if (of_member == FORM_REFUSED)
			return FORM_REFUSED;
		if (of_member == FORM_UNSURE)
			verdict = FORM_UNSURE;
	}
	for (; name < end; name++)
	{
		if (name->must_be)
			verdict = FORM_UNSURE;
	}
	return verdict;
}

FormVerdict
miru_form_judge(const FormField *form, Jsonb *object)
{
	return judge_object(&object->root, form);
}
