/*
 * attach_columns.c
 *     Which columns of an attached table are synced.
 *
 * Either those that attach was told, or all but those; then columns added
 * later are none, or all, of them.  field.c keeps the choice of each column.
 * Columns of the primary key are always synced, since the ids of records have
 * their values, and the feed's column is never a field.
 *
 * Ordering and locks: as in attach.c.  The choice changes under a lock against
 * writers of the table, so that no transaction mixes two.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "attach_check.h"
#include "attach_columns.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "field.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "partition.h"
#include "registry.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(mirusync_sync_column_0_2);

/* ----- attach's arguments ----- */

/* names_argument returns the names in an array, char *. */
static List *
names_argument(FunctionCallInfo fcinfo, int argument, const char *what)
{
	Datum *values;
	bool *nulls;
	int count;
	List *names = NIL;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), NAMEOID, NAMEDATALEN,
					  false, TYPALIGN_CHAR, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not contain nulls", what)));
		names = lappend(names, pstrdup(NameStr(*DatumGetName(values[i]))));
	}
	return names;
}

void
miru_columns_take(FunctionCallInfo fcinfo, int argument,
				  MiruAttachment *attachment)
{
	bool has_columns = !PG_ARGISNULL(argument);
	bool has_excluding = !PG_ARGISNULL(argument + 1);

	if (has_columns && has_excluding)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg(
				 "arguments \"columns\" and \"excluding\" cannot be given together")));
	attachment->sync_added = !has_columns;
	attachment->columns = NIL;
	if (has_columns)
		attachment->columns = names_argument(fcinfo, argument, "columns");
	if (has_excluding)
		attachment->columns = names_argument(fcinfo, argument + 1, "excluding");
}

/* ----- checks ----- */

/*
 * check_column returns the number of a column that can be synced or not:
 * any but the system's.
 */
static AttrNumber
check_column(Relation rel, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name,
						RelationGetRelationName(rel))));
	if (attnum < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("system column \"%s\" cannot be synced", name)));
	return attnum;
}

static bool
is_key_attnum(Relation rel, AttrNumber attnum)
{
	Oid constraint;
	Bitmapset *key = get_primary_key_attnos(RelationGetRelid(rel), true,
											&constraint);

	return bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, key);
}

/* column_name returns a column's name as it stands in the descriptor. */
static char *
column_name(Relation rel, AttrNumber attnum)
{
	return NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname);
}

/* check_not_key throws for the key's columns, which are always synced. */
static void
check_not_key(Relation rel, AttrNumber attnum)
{
	if (is_key_attnum(rel, attnum))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" of the primary key cannot be left out",
						column_name(rel, attnum)),
				 errdetail("The ids of records have its values.")));
}

/*
 * chosen_columns goes through the columns that are named: those to sync,
 * or those not to.  The feed's is not a field whatever is said of it.
 */
static bool *
chosen_columns(Relation rel, const MiruAttachment *attachment)
{
	TupleDesc desc = RelationGetDescr(rel);
	bool *synced = palloc(sizeof(bool) * desc->natts);
	bool *named = palloc0(sizeof(bool) * desc->natts);
	ListCell *cell;

	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
		synced[attnum - 1] = attachment->sync_added ||
			is_key_attnum(rel, attnum);
	foreach(cell, attachment->columns)
	{
		char *name = lfirst(cell);
		AttrNumber attnum = check_column(rel, name);

		if (named[attnum - 1])
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" is named more than once", name)));
		named[attnum - 1] = true;
		if (attachment->sync_added &&
			strcmp(name, attachment->feed_column) != 0)
			check_not_key(rel, attnum);
		synced[attnum - 1] = !attachment->sync_added;
	}
	synced[get_attnum(RelationGetRelid(rel), attachment->feed_column) - 1] =
		false;
	return synced;
}

/* hidden_of returns the first of some columns that nobody gets, 0: none. */
static AttrNumber
hidden_of(Relation rel, Bitmapset *columns, AttrNumber feed_attnum,
		  const bool *synced)
{
	int member = -1;

	while ((member = bms_next_member(columns, member)) >= 0)
	{
		AttrNumber attnum = member + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0 && attnum != feed_attnum && !synced[attnum - 1] &&
			!is_key_attnum(rel, attnum))
			return attnum;
	}
	return InvalidAttrNumber;
}

/*
 * warn_of_generated tells of a generated column that is sent and computed from
 * one that is not: it may tell what that one is to keep.  Where the choice of
 * one column changes, only of those that this one has to do with.
 */
static void
warn_of_generated(Relation rel, AttrNumber feed_attnum, const bool *synced,
				  AttrNumber changed)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, attnum - 1);
		Bitmapset *sources = NULL;
		AttrNumber hidden;

		if (column->attisdropped || !synced[attnum - 1] ||
			column->attgenerated != ATTRIBUTE_GENERATED_STORED)
			continue;
		pull_varattnos(build_column_default(rel, attnum), 1, &sources);
		if (changed != 0 && changed != attnum &&
			!bms_is_member(changed - FirstLowInvalidHeapAttributeNumber,
						   sources))
			continue;
		hidden = hidden_of(rel, sources, feed_attnum, synced);
		if (hidden != InvalidAttrNumber)
			ereport(
				WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg(
					 "generated column \"%s\" is synced, and computed from column \"%s\", which is not",
					 column_name(rel, attnum), column_name(rel, hidden)),
				 errhint("If it tells too much, do not sync it either.")));
	}
}

void
miru_columns_choose(Relation rel, const MiruAttachment *attachment)
{
	bool *synced = chosen_columns(rel, attachment);

	warn_of_generated(rel,
					  get_attnum(RelationGetRelid(rel),
								 attachment->feed_column),
					  synced, 0);
	miru_field_choose(rel, attachment->feed_column, synced);
}

/* ----- sync_column() ----- */

/* sync_column notes the choice for one column of an attached table. */
static void
sync_column(Relation rel, const char *name, bool wanted)
{
	MiruRelation *attached = miru_relation_get(RelationGetRelid(rel));
	AttrNumber attnum = check_column(rel, name);
	int natts = RelationGetNumberOfAttributes(rel);
	bool *synced = palloc(sizeof(bool) * natts);
	bool provisional;
	MiruColumn *columns = miru_field_columns(rel, attached->feed_name,
											 attached->sync_added,
											 &provisional);

	if (attnum == attached->feed_attnum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" gives the feed and is no field", name)));
	if (!wanted)
		check_not_key(rel, attnum);
	for (int i = 0; i < natts; i++)
		synced[i] = columns[i].synced;
	if (synced[attnum - 1] == wanted)
		return;
	synced[attnum - 1] = wanted;
	warn_of_generated(rel, attached->feed_attnum, synced, attnum);
	miru_field_choose(rel, attached->feed_name, synced);
	if (wanted)
		ereport(
			NOTICE,
			(errmsg("devices get the values of column \"%s\" as rows change",
					name),
			 errhint(
				 "To send those of the rows that are there, CALL mirusync.rescan(%s).",
				 quote_literal_cstr(attached->collection))));
	else
		ereport(
			NOTICE,
			(errmsg(
				"devices and the history keep the values of column \"%s\" that they have",
				name)));
}

/* mirusync.sync_column(relation, column_name, synced) */
Datum
mirusync_sync_column_0_2(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"relation", "column_name", "synced"};
	Relation rel;

	PreventCommandIfReadOnly("mirusync.sync_column()");
	miru_check_not_null(fcinfo, lengthof(names), names);
	rel = miru_open_own_table(PG_GETARG_OID(0), ShareRowExclusiveLock);
	if (RelationGetRelid(rel) == miru_table_oid("document"))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("documents have no columns to choose from")));
	miru_check_attached(rel);
	/* Who writes into a partition does not lock the table above it. */
	(void) miru_partition_leaves(RelationGetRelid(rel), ShareRowExclusiveLock);
	sync_column(rel, NameStr(*PG_GETARG_NAME(1)), PG_GETARG_BOOL(2));
	relation_close(rel, NoLock);
	miru_registry_written();
	PG_RETURN_VOID();
}
