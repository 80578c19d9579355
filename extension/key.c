/*
 * key.c
 *     Keys of rows: as tuples, as record ids, and reading a row by its key.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "compat.h"
#include "convert.h"
#include "key.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

MinimalTuple
miru_key_make(MiruRelation *rel, const Datum *values)
{
	Datum *flat = palloc(rel->key_count * sizeof(Datum));
	bool *nulls = palloc0(rel->key_count * sizeof(bool));

	/*
	 * Compressed and plain forms of one value must give the same bytes.  The
	 * tuple's own packing is deterministic once they are plain.
	 */
	for (int i = 0; i < rel->key_count; i++)
	{
		flat[i] = values[i];
		if (TupleDescAttr(rel->key_desc, i)->attlen == -1)
			flat[i] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[i]));
	}
	return heap_form_minimal_tuple(rel->key_desc, flat, nulls);
}

MinimalTuple
miru_key_of_row(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	Datum values[INDEX_MAX_KEYS];

	for (int i = 0; i < rel->key_count; i++)
	{
		bool isnull;

		values[i] = heap_getattr(row, rel->keys[i].attnum, desc, &isnull);
		if (isnull)
			elog(ERROR, "null in primary key of table %s", rel->qualified_name);
	}
	return miru_key_make(rel, values);
}

void
miru_key_values(MiruRelation *rel, MinimalTuple key, Datum *values)
{
	HeapTupleData tuple;
	bool nulls[INDEX_MAX_KEYS];

	tuple.t_len = key->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) key - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, rel->key_desc, values, nulls);
}

static bool
is_in_id(const MiruKeyColumn *key)
{
	return !key->is_feed && !key->is_collection;
}

static int
id_part_count(const MiruRelation *rel)
{
	int count = 0;

	for (int i = 0; i < rel->key_count; i++)
		count += is_in_id(&rel->keys[i]);
	return count;
}

static void
append_id_part(StringInfo id, const char *text)
{
	for (; *text; text++)
	{
		if (*text == ',' || *text == '\\')
			appendStringInfoChar(id, '\\');
		appendStringInfoChar(id, *text);
	}
}

static char *
make_id(MiruRelation *rel, const Datum *values)
{
	bool single = id_part_count(rel) == 1;
	bool first = true;
	StringInfoData id;

	if (!single)
		initStringInfo(&id);
	for (int i = 0; i < rel->key_count; i++)
	{
		char *text;

		if (!is_in_id(&rel->keys[i]))
			continue;
		text = OutputFunctionCall(&rel->keys[i].output, values[i]);
		if (single)
			return text;
		if (!first)
			appendStringInfoChar(&id, ',');
		append_id_part(&id, text);
		first = false;
	}
	return id.data;
}

char *
miru_key_id(MiruRelation *rel, const Datum *values)
{
	MiruConversion saved;
	char *id;

	miru_convert_begin(rel, &saved);
	id = make_id(rel, values);
	miru_convert_end(&saved);
	return id;
}

static void
check_length(MiruRelation *rel, const char *what, size_t length, size_t max)
{
	if (length > max)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("%s of a row of table %s is longer than %zu bytes", what,
					rel->qualified_name, max),
			 errdetail(
				 "The table is attached, and devices know its rows by it.")));
}

void
miru_key_check(MiruRelation *rel, MinimalTuple key, const char *feed)
{
	Datum values[INDEX_MAX_KEYS];

	if (feed != NULL)
		check_length(rel, "feed", strlen(feed), MIRU_FEED_MAX_BYTES);
	/* The text of most types is at most twice as long as the value. */
	if (key->t_len <= MIRU_ID_MAX_BYTES / 3 && !rel->ids_may_be_long)
		return;
	miru_key_values(rel, key, values);
	check_length(rel, "record id", strlen(miru_key_id(rel, values)),
				 MIRU_ID_MAX_BYTES);
}

/* next_id_part cuts the next part off an id; NULL when there is none left. */
static char *
next_id_part(const char **id)
{
	StringInfoData part;
	const char *at = *id;

	if (at == NULL)
		return NULL;
	initStringInfo(&part);
	for (; *at && *at != ','; at++)
	{
		if (*at == '\\' && at[1])
			at++;
		appendStringInfoChar(&part, *at);
	}
	*id = *at ? at + 1 : NULL;
	return part.data;
}

static Datum
key_input(MiruKeyColumn *key, const char *text)
{
	ErrorContextCallback callback;
	Datum value;

	miru_blame_value(&callback);
	value = InputFunctionCall(&key->input, unconstify(char *, text),
							  key->input_param, key->typmod);
	miru_blame_end(&callback);
	return value;
}

static void
parse_id(MiruRelation *rel, const char *feed, const char *collection,
		 const char *id, Datum *values)
{
	int parts = id_part_count(rel);
	const char *rest = parts > 0 ? id : NULL;

	for (int i = 0; i < rel->key_count; i++)
	{
		MiruKeyColumn *key = &rel->keys[i];
		const char *text = NULL;

		if (key->is_feed)
			text = feed;
		else if (key->is_collection)
			text = collection;
		else if (parts == 1)
		{
			text = rest;
			rest = NULL;
		}
		else
			text = next_id_part(&rest);
		if (text == NULL)
			break;
		values[i] = key_input(key, text);
		/* Where the feed is the whole key, the only id is the empty one. */
		if (i == rel->key_count - 1 && rest == NULL &&
			(parts > 0 || *id == '\0'))
			return;
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
		 errmsg("invalid record id: \"%s\"", id),
		 errdetail(
			 "The primary key of table %s without its feed column has %d columns.",
			 rel->qualified_name, parts)));
}

void
miru_key_parse(MiruRelation *rel, const char *feed, const char *collection,
			   const char *id, Datum *values)
{
	MiruConversion saved;

	miru_convert_begin(rel, &saved);
	parse_id(rel, feed, collection, id, values);
	miru_convert_end(&saved);
}

char *
miru_key_text(MiruRelation *rel, int column, Datum value)
{
	MiruConversion saved;
	char *text;

	miru_convert_begin(rel, &saved);
	text = OutputFunctionCall(&rel->keys[column].output, value);
	miru_convert_end(&saved);
	return text;
}

bool
miru_key_is(MiruRelation *rel, int column, Datum value, const char *text)
{
	MiruConversion saved;
	char *canonical;

	miru_convert_begin(rel, &saved);
	canonical = OutputFunctionCall(&rel->keys[column].output,
								   key_input(&rel->keys[column], text));
	miru_convert_end(&saved);
	return strcmp(canonical, miru_key_text(rel, column, value)) == 0;
}

bool
miru_feed_is_canonical(MiruRelation *rel, const char *feed)
{
	MiruConversion saved;
	Oid function;
	Oid param;
	char *canonical;

	miru_convert_begin(rel, &saved);
	getTypeInputInfo(rel->feed_type, &function, &param);
	canonical =
		OutputFunctionCall(&rel->feed_output,
						   OidInputFunctionCall(function,
												unconstify(char *, feed), param,
												-1));
	miru_convert_end(&saved);
	return strcmp(canonical, feed) == 0;
}

char *
miru_row_feed(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum value = heap_getattr(row, rel->feed_attnum, desc, &isnull);

	if (isnull)
		return NULL;
	return OutputFunctionCall(&rel->feed_output, value);
}

char *
miru_row_collection(MiruRelation *rel, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum value;

	if (rel->collection != NULL)
		return rel->collection;
	value = heap_getattr(row, rel->collection_attnum, desc, &isnull);
	return TextDatumGetCString(value);
}

void
miru_key_scan(const MiruRelation *rel, const Datum *values, ScanKey keys)
{
	for (int i = 0; i < rel->key_count; i++)
		ScanKeyEntryInitialize(&keys[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, rel->keys[i].collation,
							   rel->keys[i].equality, values[i]);
}

HeapTuple
miru_row_fetch(MiruRelation *rel, Relation heap, Relation index,
			   const Datum *values, Snapshot snapshot)
{
	ScanKeyData keys[INDEX_MAX_KEYS];
	IndexScanDesc scan;
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	HeapTuple row = NULL;

	miru_key_scan(rel, values, keys);
	scan = miru_index_beginscan(heap, index, snapshot, rel->key_count);
	index_rescan(scan, keys, rel->key_count, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		row = ExecCopySlotHeapTuple(slot);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return row;
}
