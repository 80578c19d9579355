/*
 * element_set.c
 *     Arrays as sets: adding and removing elements, each with a stamp.
 *
 * An element that is there has the stamp of who added it last; one that was
 * removed has that of who removed it.  They are kept among the stamps of the
 * record's fields, under the key of the field and that of the element.  An
 * element that has none of its own has its field's: it came with the array.
 * The field's own stamp stays as it is, or all of those would look new.
 *
 * An add wins over a concurrent remove (merge_rules.c).  The order is that of
 * the stored array, with what is added at its end.
 *
 * A whole array stands for what differs from what is stored.  What its device
 * had not seen it cannot have removed; and what somebody else has removed
 * meanwhile it just still had, and does not bring back.
 *
 * Elements are the same if they are equal as JSON; 1.0 is 1.  Pure but for
 * memory: reads no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "element_set.h"
#include "jsonb_build.h"
#include "lib/stringinfo.h"
#include "stamps.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* Longer elements are known by a hash. */
#define KEY_MAX 40

/* One element of either side. */
typedef struct Element
{
	char key[KEY_MAX + 1];
	bool is_there;
	bool is_sent;
	JsonbValue value;
} Element;

/* A merge while it goes on. */
typedef struct Work
{
	MiruSetMerge *merge;
	HTAB *elements;
	List *order; /* those that are there, or were */
	bool changed;
} Work;

/* ----- elements ----- */

/* element_text returns an element as text, the same for equal ones. */
static char *
element_text(JsonbValue *value)
{
	Jsonb *jsonb;

	if (value->type == jbvNumeric)
		return numeric_normalize(value->val.numeric);
	jsonb = JsonbValueToJsonb(value);
	return JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
}

static void
element_key(JsonbValue *value, char *key)
{
	char *text = element_text(value);
	int length = (int) strlen(text);
	const unsigned char *bytes = (const unsigned char *) text;

	if (length <= KEY_MAX)
		strlcpy(key, text, KEY_MAX + 1);
	else
		snprintf(key, KEY_MAX + 1,
				 "#%016" INT64_MODIFIER "x%016" INT64_MODIFIER "x",
				 hash_bytes_extended(bytes, length, 0),
				 hash_bytes_extended(bytes, length, 1));
	pfree(text);
}

/* stamp_key returns the key of an element's stamp. */
static char *
stamp_key(const char *field, const char *element)
{
	return psprintf("%s%s%s", field, MIRU_ELEMENT_SEPARATOR, element);
}

static HTAB *
make_table(void)
{
	HASHCTL control = {0};

	control.keysize = KEY_MAX + 1;
	control.entrysize = sizeof(Element);
	control.hcxt = CurrentMemoryContext;
	return hash_create("mirusync set", 32, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static Element *
enter(HTAB *elements, JsonbValue *value, bool *found)
{
	char key[KEY_MAX + 1];
	Element *element;

	element_key(value, key);
	element = hash_search(elements, key, HASH_ENTER, found);
	if (!*found)
	{
		element->is_there = false;
		element->is_sent = false;
		element->value = *value;
	}
	return element;
}

/* elements_of returns the elements of an array as JsonbValues. */
static List *
elements_of(const JsonbValue *array)
{
	List *values = NIL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;

	if (array == NULL || array->type == jbvNull)
		return NIL;
	iterator = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		JsonbValue *value;

		if (token != WJB_ELEM)
			continue;
		value = palloc(sizeof(JsonbValue));
		*value = item;
		values = lappend(values, value);
	}
	return values;
}

bool
miru_set_is(const JsonbValue *value)
{
	return value == NULL || value->type == jbvNull ||
		(value->type == jbvBinary &&
		 JsonContainerIsArray(value->val.binary.data));
}

/* ----- adding and removing ----- */

static void
stamp_element(Work *work, const Element *element, const MiruStamp *former)
{
	MiruSetMerge *merge = work->merge;
	MiruStamp stamp = merge->incoming;

	if (former != NULL)
		stamp.clock = Max(stamp.clock, former->clock);
	miru_stamps_set(merge->stamps, stamp_key(merge->key, element->key), stamp);
	work->changed = true;
}

static void
add(Work *work, Element *element)
{
	MiruSetMerge *merge = work->merge;
	const char *key = stamp_key(merge->key, element->key);
	const MiruStamp *stamp = miru_stamps_find(merge->stamps, key);

	if (element->is_there)
	{
		/* Added once more: a remove that has not seen this loses. */
		stamp_element(work, element,
					  stamp ? stamp
							: miru_stamps_get(merge->stamps, merge->key));
		return;
	}
	if (stamp != NULL)
	{
		if (merge->is_whole && merge->base != MIRU_BASE_UNKNOWN &&
			miru_is_concurrent(stamp, merge->base, merge->incoming.device))
			return;
		if (!miru_add_stands(stamp, &merge->incoming, merge->base))
			return;
	}
	element->is_there = true;
	if (!list_member_ptr(work->order, element))
		work->order = lappend(work->order, element);
	if (merge->is_new)
		work->changed = true;
	else
		stamp_element(work, element, stamp);
}

static void
take_away(Work *work, Element *element)
{
	MiruSetMerge *merge = work->merge;
	const char *key = stamp_key(merge->key, element->key);
	const MiruStamp *stamp = miru_stamps_find(merge->stamps, key);

	if (!element->is_there)
	{
		/* It may still come, from before. */
		if (stamp == NULL || stamp->clock < merge->incoming.clock)
			stamp_element(work, element, stamp);
		return;
	}
	if (stamp == NULL)
		stamp = miru_stamps_get(merge->stamps, merge->key);
	if (!miru_remove_stands(stamp, &merge->incoming, merge->base))
		return;
	element->is_there = false;
	stamp_element(work, element, stamp);
}

static void
load_stored(Work *work)
{
	ListCell *cell;

	foreach(cell, elements_of(work->merge->stored))
	{
		bool found;
		Element *element = enter(work->elements, lfirst(cell), &found);

		element->is_there = true;
		if (!found)
			work->order = lappend(work->order, element);
	}
}

static void
merge_whole(Work *work)
{
	List *stored = list_copy(work->order);
	List *new = NIL;
	ListCell *cell;

	foreach(cell, elements_of(work->merge->whole))
	{
		bool found;
		Element *element = enter(work->elements, lfirst(cell), &found);

		element->is_sent = true;
		if (!found)
			new = lappend(new, element);
	}
	/* Without a base it cannot be told what was removed. */
	foreach(cell, stored)
	{
		Element *element = lfirst(cell);

		if (!element->is_sent && work->merge->base != MIRU_BASE_UNKNOWN)
			take_away(work, element);
	}
	foreach(cell, new)
		add(work, lfirst(cell));
}

static void
merge_each(Work *work, const JsonbValue *values,
		   void (*each)(Work *work, Element *element))
{
	ListCell *cell;

	foreach(cell, elements_of(values))
	{
		bool found;

		each(work, enter(work->elements, lfirst(cell), &found));
	}
}

static JsonbValue *
make_result(Work *work)
{
	JsonbParseState *state = NULL;
	JsonbValue *array;
	ListCell *cell;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, work->order)
	{
		Element *element = lfirst(cell);

		if (element->is_there)
			pushJsonbValue(&state, WJB_ELEM, &element->value);
	}
	array = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return miru_value_of_jsonb(JsonbValueToJsonb(array));
}

bool
miru_set_merge(MiruSetMerge *merge)
{
	Work work = {merge, make_table(), NIL, false};

	load_stored(&work);
	if (merge->is_whole)
		merge_whole(&work);
	merge_each(&work, merge->remove, take_away);
	merge_each(&work, merge->add, add);
	merge->result = make_result(&work);
	hash_destroy(work.elements);
	return work.changed;
}

/* ----- what SQL does ----- */

void
miru_set_stamp(MiruStamps *stamps, const MiruFieldChange *change,
			   MiruStamp stamp)
{
	HTAB *elements = make_table();
	HASH_SEQ_STATUS status;
	Element *element;
	ListCell *cell;
	bool found;

	if (!miru_set_is(change->from) || !miru_set_is(change->to))
		return;
	foreach(cell, elements_of(change->from))
		enter(elements, lfirst(cell), &found)->is_there = true;
	foreach(cell, elements_of(change->to))
		enter(elements, lfirst(cell), &found)->is_sent = true;
	hash_seq_init(&status, elements);
	while ((element = hash_seq_search(&status)) != NULL)
	{
		const char *key = stamp_key(change->key, element->key);
		const MiruStamp *stored = miru_stamps_find(stamps, key);

		if (stored == NULL)
			stored = miru_stamps_get(stamps, change->key);
		/* What was pushed in this transaction has its stamp. */
		if (element->is_there != element->is_sent && stored->seq != 0)
			miru_stamps_set(stamps, key, stamp);
	}
	hash_destroy(elements);
}

void
miru_set_keep_stamps(const MiruStamps *from, MiruStamps *to, const char *key)
{
	size_t length = strlen(key);

	for (int i = 0; i < from->count; i++)
	{
		const MiruFieldStamp *field = &from->fields[i];

		if (strncmp(field->key, key, length) == 0 &&
			field->key[length] == MIRU_ELEMENT_SEPARATOR[0])
			miru_stamps_set(to, field->key, field->stamp);
	}
}

/* field_of returns the key of the field that a stamp is of. */
static char *
field_of(const char *key)
{
	const char *end = strchr(key, (unsigned char) MIRU_ELEMENT_SEPARATOR[0]);

	return end == NULL ? pstrdup(key) : pnstrdup(key, end - key);
}

MiruStamps *
miru_set_forget_elements(const MiruStamps *stamps)
{
	MiruStamps *result = palloc(sizeof(MiruStamps));
	bool is_any = false;

	miru_stamps_init(result, stamps->base);
	for (int i = 0; i < stamps->count; i++)
	{
		const MiruFieldStamp *stamp = &stamps->fields[i];
		char *field = field_of(stamp->key);
		const MiruStamp *latest = miru_stamps_find(result, field);

		is_any = is_any || strcmp(field, stamp->key) != 0;
		if (latest == NULL || latest->seq < stamp->stamp.seq)
			miru_stamps_set(result, field, stamp->stamp);
	}
	return is_any ? result : NULL;
}
