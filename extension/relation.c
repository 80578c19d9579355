/*
 * relation.c
 *     What an attached table looks like: its key, its fields, its shape.
 *
 * Reads all that others ask of MiruRelation, once, so that a trigger or a
 * flush needs neither catalogs nor names.  registry.c keeps the result.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "compat.h"
#include "field.h"
#include "nodes/makefuncs.h"
#include "registry_table.h"
#include "relation.h"
#include "serving.h"
#include "type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* set_function prepares a function for calls for as long as the entry is. */
static void
set_function(MiruRelation *rel, Oid function, FmgrInfo *info)
{
	fmgr_info_cxt(function, info, rel->context);
}

/*
 * read_attached reads the table's row of mirusync.attached; false if it has
 * none.
 */
static bool
read_attached(MiruRelation *rel, char **collection_name)
{
	Relation attached = table_open(miru_table_oid("attached"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Datum values[ATTACHED_COLUMNS];
	bool nulls[ATTACHED_COLUMNS];

	ScanKeyInit(&key, ATTACHED_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rel->relid));
	scan = systable_beginscan(attached, miru_table_oid("attached_pkey"), true,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		heap_deform_tuple(tuple, RelationGetDescr(attached), values, nulls);
		rel->feed_name = pstrdup(
			NameStr(*DatumGetName(values[ATTACHED_FEED - 1])));
		if (!nulls[ATTACHED_COLLECTION - 1])
			*collection_name = pstrdup(
				NameStr(*DatumGetName(values[ATTACHED_COLLECTION - 1])));
		if (!nulls[ATTACHED_DATA - 1])
			rel->data_name = pstrdup(
				NameStr(*DatumGetName(values[ATTACHED_DATA - 1])));
		rel->sync_added = RelationGetNumberOfAttributes(attached) <
				ATTACHED_SYNC_ADDED ||
			DatumGetBool(values[ATTACHED_SYNC_ADDED - 1]);
	}
	systable_endscan(scan);
	table_close(attached, AccessShareLock);
	return rel->feed_name != NULL;
}

/* read_collection_name finds the name of the collection that a table is. */
static char *
read_collection_name(Oid relid)
{
	Relation table = table_open(miru_table_oid("collection"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *name = NULL;

	ScanKeyInit(&key, COLLECTION_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(table, miru_table_oid("collection_relation"),
							  true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum datum = heap_getattr(tuple, COLLECTION_NAME,
								   RelationGetDescr(table), &isnull);

		name = TextDatumGetCString(datum);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);

	if (name == NULL)
		elog(ERROR, "attached relation %u has no collection", relid);
	return name;
}

/* open_primary_key opens the index of the primary key, deferrable or not. */
static Relation
open_primary_key(Relation rel)
{
	Oid constraint;

	get_primary_key_attnos(RelationGetRelid(rel), true, &constraint);
	if (!OidIsValid(constraint))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has lost its primary key",
					RelationGetRelationName(rel)),
			 errdetail(
				 "The table is attached, and its primary key tells its records apart."),
			 errhint(
				 "Add a primary key, or detach the table with mirusync.detach().")));
	return index_open(get_constraint_index(constraint), AccessShareLock);
}

static void
set_key_column(MiruRelation *rel, MiruKeyColumn *key, Relation index, int i,
			   Form_pg_attribute column)
{
	Oid opcintype = index->rd_opcintype[i];
	Oid equality;
	Oid function;
	bool is_varlena;

	equality = get_opfamily_member(index->rd_opfamily[i], opcintype, opcintype,
								   BTEqualStrategyNumber);
	if (!OidIsValid(equality))
		elog(ERROR, "missing operator %d(%u,%u) in opfamily %u",
			 BTEqualStrategyNumber, opcintype, opcintype,
			 index->rd_opfamily[i]);

	key->attnum = column->attnum;
	key->type = column->atttypid;
	key->typmod = column->atttypmod;
	key->collation = index->rd_indcollation[i];
	key->equality = get_opcode(equality);
	key->name = pstrdup(NameStr(column->attname));
	key->is_feed = column->attnum == rel->feed_attnum;
	key->is_collection = column->attnum == rel->collection_attnum;
	getTypeOutputInfo(key->type, &function, &is_varlena);
	set_function(rel, function, &key->output);
	getTypeInputInfo(key->type, &function, &key->input_param);
	set_function(rel, function, &key->input);
}

static void
read_keys(MiruRelation *rel, Relation heap)
{
	TupleDesc desc = RelationGetDescr(heap);
	Relation index = open_primary_key(heap);

	rel->key_index = RelationGetRelid(index);
	rel->key_count = IndexRelationGetNumberOfKeyAttributes(index);
	rel->keys = palloc0(sizeof(MiruKeyColumn) * rel->key_count);
	rel->key_desc = CreateTemplateTupleDesc(rel->key_count);
	for (int i = 0; i < rel->key_count; i++)
	{
		AttrNumber attnum = index->rd_index->indkey.values[i];

		set_key_column(rel, &rel->keys[i], index, i,
					   TupleDescAttr(desc, attnum - 1));
		TupleDescCopyEntry(rel->key_desc, i + 1, desc, attnum);
	}
	index_close(index, AccessShareLock);
}

static bool
is_key_column(MiruRelation *rel, AttrNumber attnum)
{
	for (int i = 0; i < rel->key_count; i++)
	{
		if (rel->keys[i].attnum == attnum)
			return true;
	}
	return false;
}

/*
 * is_field tells whether a column is synced.  The feed's is not; the key's are,
 * since the record's id has their values.
 */
static bool
is_field(MiruRelation *rel, Form_pg_attribute column, bool synced)
{
	/* Generated, and not stored: there is nothing in the row to read. */
	bool is_virtual = column->attgenerated != '\0' &&
		column->attgenerated != ATTRIBUTE_GENERATED_STORED;

	return !column->attisdropped && !is_virtual &&
		column->attnum != rel->feed_attnum &&
		(synced || is_key_column(rel, column->attnum));
}

/*
 * set_field fills in a field.  to_jsonb is polymorphic and finds the type of
 * its argument in the call's expression, so it is given one.
 */
static void
set_field(MiruRelation *rel, MiruField *field, Form_pg_attribute column,
		  int number)
{
	Const *argument;

	field->attnum = column->attnum;
	field->number = number;
	field->name = pstrdup(NameStr(column->attname));
	field->key = number == FIELD_UNNUMBERED ? field->name
											: psprintf("%d", number);
	field->type = column->atttypid;
	field->byval = column->attbyval;
	field->typlen = column->attlen;
	field->is_key = is_key_column(rel, column->attnum);
	field->is_generated = column->attgenerated != '\0' ||
		column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	field->may_refuse = (miru_type_traits(field->type) & MIRU_TYPE_REFUSES) !=
		0;

	argument = makeNullConst(column->atttypid, column->atttypmod,
							 column->attcollation);
	set_function(rel, F_TO_JSONB, &field->to_jsonb);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
											 list_make1(argument), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   &field->to_jsonb);
}

static void
read_fields(MiruRelation *rel, Relation heap, const MiruColumn *columns)
{
	TupleDesc desc = RelationGetDescr(heap);

	rel->fields = palloc0(sizeof(MiruField) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (is_field(rel, column, columns[i].synced))
			set_field(rel, &rel->fields[rel->field_count++], column,
					  columns[i].number);
		else if (!column->attisdropped && column->attnum != rel->feed_attnum)
			rel->hidden = lappend(rel->hidden,
								  pstrdup(NameStr(column->attname)));
	}
}

/*
 * set_blank_row makes a row of nulls.  Filling in none at all would check each
 * column that is not pushed against its domain, which may refuse null.
 */
static void
set_blank_row(MiruRelation *rel, TupleDesc desc)
{
	Datum *values = palloc0(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);

	memset(nulls, true, sizeof(bool) * desc->natts);
	rel->blank_row =
		heap_copy_tuple_as_datum(heap_form_tuple(desc, values, nulls), desc);
}

/* set_populate prepares making a row of JSON; it, too, asks for types. */
static void
set_populate(MiruRelation *rel, Relation heap)
{
	Const *row = makeNullConst(heap->rd_rel->reltype, -1, InvalidOid);
	Const *json = makeNullConst(JSONBOID, -1, InvalidOid);

	set_blank_row(rel, RelationGetDescr(heap));

	rel->row_type = heap->rd_rel->reltype;
	set_function(rel, F_JSONB_POPULATE_RECORD, &rel->populate);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD,
											 rel->row_type,
											 list_make2(row, json), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   &rel->populate);
}

static void
read_traits(MiruRelation *rel)
{
	for (int i = 0; i < rel->field_count; i++)
		rel->type_traits |= miru_type_traits(rel->fields[i].type);
	for (int i = 0; i < rel->key_count; i++)
	{
		rel->type_traits |= miru_type_traits(rel->keys[i].type);
		rel->ids_may_be_long |= miru_type_text_is_long(rel->keys[i].type);
	}
}

/* find_feed_column returns the column that has the feed's number. */
static AttrNumber
find_feed_column(Relation heap, const MiruColumn *columns)
{
	TupleDesc desc = RelationGetDescr(heap);

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped &&
			columns[i].number == FIELD_OF_FEED)
			return i + 1;
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("table \"%s\" has lost its feed column",
				RelationGetRelationName(heap)),
		 errdetail(
			 "The table is attached, and that column says whose a row is."),
		 errhint(
			 "Detach the table with mirusync.detach(), and attach it with another column.")));
}

static AttrNumber
column_by_name(Relation heap, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(heap), name);

	if (attnum <= 0)
		elog(ERROR, "column \"%s\" of relation \"%s\" does not exist", name,
			 RelationGetRelationName(heap));
	return attnum;
}

/* key_shape_of hashes what tells whether a key of old can still be read. */
static uint32
key_shape_of(const MiruRelation *rel)
{
	uint32 shape = hash_bytes_uint32(rel->key_count);

	for (int i = 0; i < rel->key_count; i++)
	{
		shape = hash_combine(shape, hash_bytes_uint32(rel->keys[i].attnum));
		shape = hash_combine(shape, hash_bytes_uint32(rel->keys[i].type));
	}
	return shape;
}

/* shape_of hashes what tells whether a row of old can still be read. */
static uint32
shape_of(TupleDesc desc)
{
	uint32 shape = hash_bytes_uint32(desc->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		shape = hash_combine(shape, hash_bytes_uint32(column->atttypid));
		shape = hash_combine(shape, hash_bytes_uint32(column->atttypmod));
		shape = hash_combine(shape, hash_bytes_uint32(column->attlen));
		shape = hash_combine(shape, hash_bytes_uint32(column->attisdropped));
	}
	return shape;
}

/* columns_of leaves what it needs on the way to the caller's memory. */
static MiruColumn *
columns_of(MiruRelation *rel, Relation heap, bool *provisional)
{
	MemoryContext saved = MemoryContextSwitchTo(
		MemoryContextGetParent(rel->context));
	MiruColumn *columns = miru_field_columns(heap, rel->feed_name,
											 rel->sync_added, provisional);

	MemoryContextSwitchTo(saved);
	return columns;
}

/*
 * fill_relation reads the rest of an entry whose row of mirusync.attached was
 * read.  The document store names its columns, which nobody renames; those of
 * other tables are known by their numbers.
 */
static void
fill_relation(MiruRelation *rel, Relation heap, const char *collection_name,
			  bool *provisional)
{
	TupleDesc desc = RelationGetDescr(heap);
	Oid function;
	bool is_varlena;

	rel->owner = heap->rd_rel->relowner;
	rel->qualified_name =
		quote_qualified_identifier(get_namespace_name(
									   RelationGetNamespace(heap)),
								   RelationGetRelationName(heap));
	rel->shape = shape_of(desc);
	rel->file = miru_relation_file(heap);
	rel->is_partitioned = heap->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	if (rel->is_partitioned)
		rel->desc = CreateTupleDescCopy(desc);

	if (rel->data_name != NULL)
	{
		rel->feed_attnum = column_by_name(heap, rel->feed_name);
		rel->collection_attnum = column_by_name(heap, collection_name);
		rel->data_attnum = column_by_name(heap, rel->data_name);
		read_keys(rel, heap);
	}
	else
	{
		MiruColumn *columns = columns_of(rel, heap, provisional);

		rel->feed_attnum = find_feed_column(heap, columns);
		rel->feed_name = pstrdup(
			NameStr(TupleDescAttr(desc, rel->feed_attnum - 1)->attname));
		rel->collection = read_collection_name(rel->relid);
		rel->backfilling = miru_serving_is_open(rel->collection);
		read_keys(rel, heap);
		read_fields(rel, heap, columns);
		read_traits(rel);
		set_populate(rel, heap);
	}

	rel->feed_type = TupleDescAttr(desc, rel->feed_attnum - 1)->atttypid;
	getTypeOutputInfo(rel->feed_type, &function, &is_varlena);
	set_function(rel, function, &rel->feed_output);
	rel->key_shape = key_shape_of(rel);
}

MiruRelation *
miru_relation_read(Oid relid, bool *provisional)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync relation",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	MiruRelation *rel = palloc0(sizeof(MiruRelation));
	char *collection_name = NULL;
	Relation heap = NULL;

	*provisional = false;
	rel->relid = relid;
	rel->context = context;
	if (read_attached(rel, &collection_name))
		heap = try_relation_open(relid, AccessShareLock);
	if (heap == NULL)
	{
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		return NULL;
	}
	fill_relation(rel, heap, collection_name, provisional);
	MemoryContextSetIdentifier(context, rel->qualified_name);
	relation_close(heap, AccessShareLock);

	MemoryContextSwitchTo(caller);
	return rel;
}
