/*
 * object.c
 *     Rows as JSON objects, and what differs between two versions of a row.
 *
 * Not every row has a JSON form.  Numbering would find that out at COMMIT,
 * where nobody knows which statement was the cause; so what might have none
 * is looked at when it is written (miru_object_check).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "convert.h"
#include "jsonb_build.h"
#include "nodes/value.h"
#include "object.h"
#include "type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/*
 * The largest object, in bytes of jsonb, which takes twice as much at most;
 * and what a row must hold to be worth measuring: there are types, arrays of
 * "char" for one, whose JSON is tens of times as large as the value.
 */
#define OBJECT_MAX_BYTES  (128 * 1024 * 1024)
#define MEASURE_MIN_BYTES (4 * 1024 * 1024)

static JsonbValue *
value_of_column(MiruField *field, Datum datum, bool isnull)
{
	Datum jsonb;

	if (isnull)
	{
		JsonbValue *value = palloc(sizeof(JsonbValue));

		value->type = jbvNull;
		return value;
	}
	jsonb = FunctionCall1(&field->to_jsonb, datum);
	return miru_value_of_jsonb(DatumGetJsonbP(jsonb));
}

/* document_of_row returns the document in a row of the document store. */
static Jsonb *
document_of_row(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum datum = heap_getattr(row, rel->data_attnum, desc, &isnull);

	return isnull ? NULL : DatumGetJsonbP(datum);
}

static Jsonb *
columns_of_row(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	JsonbParseState *state;

	miru_build_begin(&state);
	for (int i = 0; i < rel->field_count; i++)
	{
		MiruField *field = &rel->fields[i];
		bool isnull;
		Datum datum = heap_getattr(row, field->attnum, desc, &isnull);

		miru_build_key(&state, field->name);
		pushJsonbValue(&state, WJB_VALUE,
					   value_of_column(field, datum, isnull));
	}
	return miru_build_end(&state);
}

Jsonb *
miru_object_of_row(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	MiruConversion saved;
	Jsonb *object;

	if (rel->data_attnum != 0)
		return document_of_row(rel, row, desc);
	miru_convert_begin(rel, &saved);
	object = columns_of_row(rel, row, desc);
	miru_convert_end(&saved);
	return object;
}

JsonbValue *
miru_object_value(MiruRelation *rel, MiruField *field, Datum value)
{
	MiruConversion saved;
	JsonbValue *result;

	miru_convert_begin(rel, &saved);
	result = value_of_column(field, value, false);
	miru_convert_end(&saved);
	return result;
}

/* columns_equal compares a column of two rows as stored. */
static bool
columns_equal(MiruField *field, Datum a, bool a_isnull, Datum b, bool b_isnull)
{
	if (a_isnull || b_isnull)
		return a_isnull && b_isnull;
	return datum_image_eq(a, b, field->byval, field->typlen);
}

/* What is being checked, for the context of an error. */
typedef struct Checked
{
	const MiruRelation *rel;
	const MiruField *field;
} Checked;

static void
on_check_error(void *arg)
{
	Checked *checked = arg;

	errcontext("JSON form of column \"%s\" of attached table %s",
			   checked->field->name, checked->rel->qualified_name);
}

static bool
is_same_value(MiruField *field, HeapTuple old, Datum value, TupleDesc desc)
{
	bool isnull;
	Datum former;

	if (old == NULL)
		return false;
	former = heap_getattr(old, field->attnum, desc, &isnull);
	return columns_equal(field, former, isnull, value, false);
}

static void
check_values(MiruRelation *rel, HeapTuple old, HeapTuple row, TupleDesc desc)
{
	Checked checked = {rel, NULL};
	ErrorContextCallback callback = {error_context_stack, on_check_error,
									 &checked};

	error_context_stack = &callback;
	for (int i = 0; i < rel->field_count; i++)
	{
		MiruField *field = &rel->fields[i];
		bool isnull;
		Datum value;

		if (!field->may_refuse)
			continue;
		value = heap_getattr(row, field->attnum, desc, &isnull);
		checked.field = field;
		if (!isnull && !is_same_value(field, old, value, desc))
			(void) miru_object_value(rel, field, value);
	}
	error_context_stack = callback.previous;
}

/* raw_size returns how much a row holds out of line, once decompressed. */
static Size
raw_size(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	Size size = 0;

	for (int i = 0; i < rel->field_count; i++)
	{
		bool isnull;
		Datum value;

		if (rel->fields[i].typlen != -1)
			continue;
		value = heap_getattr(row, rel->fields[i].attnum, desc, &isnull);
		if (!isnull)
			size += toast_raw_datum_size(value);
	}
	return size;
}

static void
check_size(MiruRelation *rel, Size size)
{
	if (size > OBJECT_MAX_BYTES)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("row of table %s is too large", rel->qualified_name),
			 errdetail(
				 "The table is attached, and as JSON its rows may have %d MB.",
				 OBJECT_MAX_BYTES / 1024 / 1024)));
}

static void
check_row_size(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	Size size;

	if (!HeapTupleHasExternal(row))
		return;
	if (rel->data_attnum != 0)
	{
		bool isnull;
		Datum data = heap_getattr(row, rel->data_attnum, desc, &isnull);

		check_size(rel, isnull ? 0 : toast_raw_datum_size(data));
		return;
	}
	size = raw_size(rel, row, desc);
	check_size(rel, size);
	if (size >= MEASURE_MIN_BYTES)
		check_size(rel, VARSIZE(miru_object_of_row(rel, row, desc)));
}

void
miru_object_check(MiruRelation *rel, HeapTuple old, HeapTuple row,
				  TupleDesc desc)
{
	MemoryContext context;
	MemoryContext saved;

	if ((rel->type_traits & MIRU_TYPE_REFUSES) == 0 &&
		!HeapTupleHasExternal(row))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "mirusync check",
									ALLOCSET_DEFAULT_SIZES);
	saved = MemoryContextSwitchTo(context);
	check_values(rel, old, row, desc);
	check_row_size(rel, row, desc);
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(context);
}

bool
miru_object_get(const Jsonb *object, const char *name, JsonbValue *value)
{
	JsonbContainer *root = unconstify(JsonbContainer *, &object->root);

	return getKeyJsonValueFromContainer(root, name, strlen(name), value) !=
		NULL;
}

bool
miru_values_equal(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				memcmp(a->val.string.val, b->val.string.val,
					   a->val.string.len) == 0;
		case jbvNumeric:
			return datum_image_eq(NumericGetDatum(a->val.numeric),
								  NumericGetDatum(b->val.numeric), false, -1);
		case jbvBinary:
			return a->val.binary.len == b->val.binary.len &&
				memcmp(a->val.binary.data, b->val.binary.data,
					   a->val.binary.len) == 0;
		default:
			elog(ERROR, "unexpected type of json value: %d", (int) a->type);
			return false;
	}
}

int
miru_values_compare(JsonbValue *a, JsonbValue *b)
{
	return compareJsonbContainers(&JsonbValueToJsonb(a)->root,
								  &JsonbValueToJsonb(b)->root);
}

static MiruFieldChange *
field_change(char *name, char *key, JsonbValue *from, JsonbValue *to)
{
	MiruFieldChange *change = palloc(sizeof(MiruFieldChange));

	change->name = name;
	change->key = key;
	change->from = from;
	change->to = to;
	return change;
}

/*
 * add_document_side adds, for the to side, the fields that the from side
 * ("other") has not or has otherwise; for the from side those that the to
 * side has no more.
 */
static List *
add_document_side(List *changes, Jsonb *object, Jsonb *other, bool is_to)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue item;
	char *name = NULL;

	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		JsonbValue other_value;
		JsonbValue *value;
		JsonbValue *counterpart = NULL;

		if (token == WJB_KEY)
			name = pnstrdup(item.val.string.val, item.val.string.len);
		if (token != WJB_VALUE)
			continue;
		if (other != NULL && miru_object_get(other, name, &other_value))
		{
			/* The from side only adds what the to side lacks. */
			if (!is_to || miru_values_equal(&item, &other_value))
				continue;
			counterpart = palloc(sizeof(JsonbValue));
			*counterpart = other_value;
		}
		value = palloc(sizeof(JsonbValue));
		*value = item;
		changes = lappend(changes,
						  is_to ? field_change(name, name, counterpart, value)
								: field_change(name, name, value, NULL));
	}
	return changes;
}

static List *
diff_documents(Jsonb *from, Jsonb *to)
{
	List *changes = NIL;

	if (to != NULL)
		changes = add_document_side(changes, to, from, true);
	if (from != NULL)
		changes = add_document_side(changes, from, to, false);
	return changes;
}

static List *
diff_columns(MiruRelation *rel, HeapTuple from, HeapTuple to, TupleDesc desc)
{
	List *changes = NIL;

	for (int i = 0; i < rel->field_count; i++)
	{
		MiruField *field = &rel->fields[i];
		Datum old = 0, new = 0;
		bool old_isnull = true, new_isnull = true;

		if (from != NULL)
			old = heap_getattr(from, field->attnum, desc, &old_isnull);
		if (to != NULL)
			new = heap_getattr(to, field->attnum, desc, &new_isnull);
		if (from != NULL && to != NULL &&
			columns_equal(field, old, old_isnull, new, new_isnull))
			continue;
		changes =
			lappend(changes,
					field_change(field->name, field->key,
								 from ? value_of_column(field, old, old_isnull)
									  : NULL,
								 to ? value_of_column(field, new, new_isnull)
									: NULL));
	}
	return changes;
}

List *
miru_object_diff(MiruRelation *rel, HeapTuple from, HeapTuple to,
				 TupleDesc desc)
{
	MiruConversion saved;
	List *changes;

	if (rel->data_attnum != 0)
		return diff_documents(from ? document_of_row(rel, from, desc) : NULL,
							  to ? document_of_row(rel, to, desc) : NULL);
	miru_convert_begin(rel, &saved);
	changes = diff_columns(rel, from, to, desc);
	miru_convert_end(&saved);
	return changes;
}

List *
miru_object_diff_known(MiruRelation *rel, Jsonb *known, HeapTuple to,
					   TupleDesc desc)
{
	List *changes = diff_documents(known, miru_object_of_row(rel, to, desc));
	ListCell *cell;

	if (rel->data_attnum != 0)
		return changes;
	foreach(cell, changes)
	{
		MiruFieldChange *change = lfirst(cell);
		MiruField *field = miru_field_by_name(rel, change->name);

		change->key = field ? field->key : NULL;
	}
	return changes;
}

Jsonb *
miru_object_apply(const Jsonb *object, const Jsonb *from, const Jsonb *to)
{
	List *kept = NIL;
	ListCell *cell;

	foreach(cell, miru_object_names(object))
	{
		JsonbValue value;

		if (!miru_object_get(from, strVal(lfirst(cell)), &value) ||
			miru_object_get(to, strVal(lfirst(cell)), &value))
			kept = lappend(kept, lfirst(cell));
	}
	return miru_object_overlay(miru_object_pick(object, kept), to);
}

Jsonb *
miru_object_copy(const Jsonb *object)
{
	Jsonb *copy;

	if (object == NULL)
		return NULL;
	copy = palloc(VARSIZE(object));
	memcpy(copy, object, VARSIZE(object));
	return copy;
}

Jsonb *
miru_object_side(List *changes, bool to)
{
	JsonbParseState *state;
	ListCell *cell;

	miru_build_begin(&state);
	foreach(cell, changes)
	{
		MiruFieldChange *change = lfirst(cell);
		JsonbValue *value = to ? change->to : change->from;

		if (value == NULL)
			continue;
		miru_build_key(&state, change->name);
		pushJsonbValue(&state, WJB_VALUE, value);
	}
	return miru_build_end(&state);
}

List *
miru_object_names(const Jsonb *object)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	List *names = NIL;

	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			names = lappend(names,
							makeString(pnstrdup(item.val.string.val,
												item.val.string.len)));
	}
	return names;
}

/* push_fields adds an object's fields to one that is being built. */
static void
push_fields(JsonbParseState **state, const Jsonb *object)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;

	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(state, token, &item);
	}
}

Jsonb *
miru_object_without_key(Jsonb *object, const char *key)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete,
											  JsonbPGetDatum(object),
											  CStringGetTextDatum(key)));
}

Jsonb *
miru_object_overlay(const Jsonb *base, const Jsonb *over)
{
	JsonbParseState *state;

	/* Of a key pushed twice the later one stands. */
	miru_build_begin(&state);
	push_fields(&state, base);
	push_fields(&state, over);
	return miru_build_end(&state);
}

Jsonb *
miru_object_pick(const Jsonb *object, List *names)
{
	JsonbParseState *state;
	ListCell *cell;

	miru_build_begin(&state);
	foreach(cell, names)
	{
		JsonbValue value;

		if (!miru_object_get(object, strVal(lfirst(cell)), &value))
			continue;
		miru_build_key(&state, strVal(lfirst(cell)));
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return miru_build_end(&state);
}

List *
miru_object_lacking(const char *collection, const Jsonb *object,
					const Jsonb *in)
{
	MiruCollection *found = miru_collection_get(collection);
	MiruRelation *rel = found ? miru_relation_get(found->relid) : NULL;
	List *lacking = NIL;
	ListCell *cell;

	if (rel == NULL || rel->data_attnum == 0)
		return NIL;
	foreach(cell, miru_object_names(object))
	{
		JsonbValue value;

		if (!miru_object_get(in, strVal(lfirst(cell)), &value))
			lacking = lappend(lacking, lfirst(cell));
	}
	return lacking;
}

Jsonb *
miru_object_without_hidden(const MiruRelation *rel, Jsonb *object)
{
	ListCell *cell;

	if (rel == NULL || object == NULL)
		return object;
	foreach(cell, rel->hidden)
	{
		JsonbValue value;

		if (miru_object_get(object, lfirst(cell), &value))
			object = DatumGetJsonbP(
				DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(object),
									CStringGetTextDatum(lfirst(cell))));
	}
	return object;
}
