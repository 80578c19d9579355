/*
 * field.c
 *     The fields of attached tables: their numbers, and which are synced.
 *
 * Owns mirusync.field; nobody else writes it.
 *
 * Promise: the stamps of a record, which are kept under the numbers of its
 * fields, stay with their columns when those are renamed, when others are
 * dropped, and when the database is dumped and restored.
 *
 * Neither attnum nor name can give this alone: a rename changes the name, a
 * restore closes the gaps that dropped columns left among the attnums.  So a
 * row here says where its attnum was noted ("bound_to": system, database and
 * table).  There the column is known by attnum, and the row's name follows
 * it.  Anywhere else the row comes from a restore; there the column is known
 * by name, once, and is bound to its new attnum.  Number 0 is the feed's
 * column.  A number is never used twice, so the row of a dropped column stays,
 * with attnum 0.
 *
 * Promise: a column that is not synced stays so, whatever it is called later.
 * The choice is kept in the same row.  Where a restore has lost track of such
 * a column (it was renamed, and nothing written before the dump), it is one of
 * those that have no row then, and none of these is synced.  Nor is a column
 * that is added under the name of a dropped one that was not.
 *
 * Rows are written by the first transaction that needs the table after a
 * change of its columns and may write.  One that may not (a standby, a
 * read-only transaction) works with what it can tell; a column added since
 * has no number there, and what it read is not kept for one that may.
 *
 * Ordering and locks: writers of one table's rows queue on an object lock,
 * kept to the end of the transaction, and look again once they have it: the
 * other one's numbers count.  It is taken before the lock of any feed when a
 * trigger needs the table, and rarely after one, when flush does.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "field.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(mirusync_synced_columns_0_2);

/* Columns of mirusync.field. */
enum
{
	FIELD_RELATION = 1,
	FIELD_NUMBER,
	FIELD_ATTNUM,
	FIELD_NAME,
	FIELD_BOUND_TO,
	FIELD_SYNCED, /* not there in 0.1.0: all are */
	FIELD_COLUMNS = FIELD_SYNCED
};

/* A row of mirusync.field. */
typedef struct FieldRow
{
	int number;
	AttrNumber attnum; /* 0: the column was dropped */
	char *name;
	bool synced;
	bool is_bound; /* attnum was noted here */
	bool is_lost;  /* restored, and no column has its name */
	bool is_stored;
	bool is_stale;		 /* what is stored is not as above any more */
	ItemPointerData tid; /* of the stored row */
} FieldRow;

/*
 * bound_to_here returns the mark of a table in this database.  Another
 * cluster, a copy of the database and a table made anew all give another one.
 */
static char *
bound_to_here(Oid relid)
{
	return psprintf(UINT64_FORMAT "/%u/%u", GetSystemIdentifier(), MyDatabaseId,
					relid);
}

static SysScanDesc
begin_scan(Relation field, Oid relid)
{
	ScanKeyData key;

	ScanKeyInit(&key, FIELD_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	return systable_beginscan(field, miru_table_oid("field_pkey"), true, NULL,
							  1, &key);
}

/* read_rows returns the stored rows of a table. */
static List *
read_rows(Relation field, Oid relid)
{
	char *here = bound_to_here(relid);
	SysScanDesc scan = begin_scan(field, relid);
	List *rows = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		FieldRow *row = palloc0(sizeof(FieldRow));
		Datum values[FIELD_COLUMNS];
		bool nulls[FIELD_COLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(field), values, nulls);
		row->number = DatumGetInt32(values[FIELD_NUMBER - 1]);
		row->attnum = DatumGetInt16(values[FIELD_ATTNUM - 1]);
		row->name = pstrdup(NameStr(*DatumGetName(values[FIELD_NAME - 1])));
		row->is_bound = strcmp(TextDatumGetCString(values[FIELD_BOUND_TO - 1]),
							   here) == 0;
		row->synced = RelationGetNumberOfAttributes(field) < FIELD_SYNCED ||
			DatumGetBool(values[FIELD_SYNCED - 1]);
		row->is_stored = true;
		row->tid = tuple->t_self;
		rows = lappend(rows, row);
	}
	systable_endscan(scan);
	return rows;
}

/* live_column returns the column with that attnum, NULL if it is dropped. */
static Form_pg_attribute
live_column(TupleDesc desc, AttrNumber attnum)
{
	Form_pg_attribute column;

	if (attnum < 1 || attnum > desc->natts)
		return NULL;
	column = TupleDescAttr(desc, attnum - 1);
	return column->attisdropped ? NULL : column;
}

static AttrNumber
attnum_by_name(TupleDesc desc, const char *name)
{
	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute column = live_column(desc, attnum);

		if (column != NULL && strcmp(NameStr(column->attname), name) == 0)
			return attnum;
	}
	return 0;
}

/* tie_row finds the column of a stored row. */
static void
tie_row(FieldRow *row, TupleDesc desc)
{
	Form_pg_attribute column;

	if (row->attnum == 0)
		return;

	if (!row->is_bound)
	{
		row->attnum = attnum_by_name(desc, row->name);
		row->is_lost = row->attnum == 0;
		row->is_stale = true;
		return;
	}

	column = live_column(desc, row->attnum);
	if (column == NULL)
	{
		row->attnum = 0;
		row->is_stale = true;
	}
	else if (strcmp(NameStr(column->attname), row->name) != 0)
	{
		row->name = pstrdup(NameStr(column->attname));
		row->is_stale = true;
	}
}

/*
 * may_sync tells whether a column without a row may be synced: it must not be
 * one that was not.
 */
static bool
may_sync(List *rows, Form_pg_attribute column)
{
	ListCell *cell;

	foreach(cell, rows)
	{
		FieldRow *row = lfirst(cell);

		if (row->synced || row->attnum != 0 || row->number == FIELD_OF_FEED)
			continue;
		if (row->is_lost || strcmp(row->name, NameStr(column->attname)) == 0)
			return false;
	}
	return true;
}

/* add_row adds the row of a column that has none. */
static List *
add_row(List *rows, int number, Form_pg_attribute column, bool synced)
{
	FieldRow *row = palloc0(sizeof(FieldRow));

	row->number = number;
	row->attnum = column->attnum;
	row->name = pstrdup(NameStr(column->attname));
	row->synced = synced;
	row->is_stale = true;
	return lappend(rows, row);
}

/* number_columns adds a row for each column that has none. */
static List *
number_columns(List *rows, TupleDesc desc, const char *feed_column,
			   bool sync_added)
{
	List *known = list_copy(rows);
	bool *has_row = palloc0(sizeof(bool) * (desc->natts + 1));
	int last = FIELD_OF_FEED;
	bool is_new = rows == NIL;
	ListCell *cell;

	foreach(cell, rows)
	{
		FieldRow *row = lfirst(cell);

		last = Max(last, row->number);
		has_row[row->attnum] = true;
	}
	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute column = live_column(desc, attnum);

		if (column == NULL || has_row[attnum])
			continue;
		if (is_new && strcmp(NameStr(column->attname), feed_column) == 0)
			rows = add_row(rows, FIELD_OF_FEED, column, false);
		else
			rows = add_row(rows, ++last, column,
						   sync_added && may_sync(known, column));
	}
	return rows;
}

/* tied_rows returns a table's rows as they should be. */
static List *
tied_rows(Relation field, Relation rel, const char *feed_column,
		  bool sync_added)
{
	TupleDesc desc = RelationGetDescr(rel);
	List *rows = read_rows(field, RelationGetRelid(rel));
	ListCell *cell;

	foreach(cell, rows)
		tie_row(lfirst(cell), desc);
	return number_columns(rows, desc, feed_column, sync_added);
}

static bool
any_stale(List *rows)
{
	ListCell *cell;

	foreach(cell, rows)
	{
		if (((FieldRow *) lfirst(cell))->is_stale)
			return true;
	}
	return false;
}

static void
store_row(Relation field, Oid relid, FieldRow *row)
{
	Datum values[FIELD_COLUMNS];
	bool nulls[FIELD_COLUMNS] = {false};
	NameData name;
	HeapTuple tuple;

	namestrcpy(&name, row->name);
	values[FIELD_RELATION - 1] = ObjectIdGetDatum(relid);
	values[FIELD_NUMBER - 1] = Int32GetDatum(row->number);
	values[FIELD_ATTNUM - 1] = Int16GetDatum(row->attnum);
	values[FIELD_NAME - 1] = NameGetDatum(&name);
	values[FIELD_BOUND_TO - 1] = CStringGetTextDatum(bound_to_here(relid));
	values[FIELD_SYNCED - 1] = BoolGetDatum(row->synced);
	tuple = heap_form_tuple(RelationGetDescr(field), values, nulls);
	if (row->is_stored)
		CatalogTupleUpdate(field, &row->tid, tuple);
	else
		CatalogTupleInsert(field, tuple);
}

/* choose sets which columns are synced, by attnum - 1. */
static void
choose(List *rows, const bool *synced)
{
	ListCell *cell;

	foreach(cell, rows)
	{
		FieldRow *row = lfirst(cell);

		if (row->attnum == 0 || row->synced == synced[row->attnum - 1])
			continue;
		row->synced = synced[row->attnum - 1];
		row->is_stale = true;
	}
}

/*
 * store_rows writes what is not as stored, or not as "synced" chooses, unless
 * that is NULL.  Should this subtransaction abort, the invalidation makes this
 * backend forget the numbers it gave.
 */
static List *
store_rows(Relation field, Relation rel, const char *feed_column,
		   bool sync_added, const bool *synced)
{
	Oid relid = RelationGetRelid(rel);
	List *rows;
	ListCell *cell;

	LockDatabaseObject(RelationGetRelid(field), relid, 0, ExclusiveLock);
	rows = tied_rows(field, rel, feed_column, sync_added);
	if (synced != NULL)
		choose(rows, synced);
	if (!any_stale(rows))
		return rows;

	foreach(cell, rows)
	{
		FieldRow *row = lfirst(cell);

		if (row->is_stale)
			store_row(field, relid, row);
	}
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	return rows;
}

bool
miru_fields_may_write(void)
{
	return !XactReadOnly && !RecoveryInProgress() && !IsInParallelMode();
}

/* columns_of returns what rows say of each column, by attnum - 1. */
static MiruColumn *
columns_of(List *rows, Relation rel, bool provisional)
{
	int count = RelationGetNumberOfAttributes(rel);
	MiruColumn *columns = palloc0(sizeof(MiruColumn) * Max(count, 1));
	ListCell *cell;

	for (int i = 0; i < count; i++)
		columns[i].number = FIELD_UNNUMBERED;
	foreach(cell, rows)
	{
		FieldRow *row = lfirst(cell);

		if (row->attnum == 0)
			continue;
		columns[row->attnum - 1].synced = row->synced;
		if (!provisional || row->is_stored || row->number == FIELD_OF_FEED)
			columns[row->attnum - 1].number = row->number;
	}
	return columns;
}

MiruColumn *
miru_field_columns(Relation rel, const char *feed_column, bool sync_added,
				   bool *provisional)
{
	List *rows;
	Relation field = table_open(miru_table_oid("field"), AccessShareLock);

	rows = tied_rows(field, rel, feed_column, sync_added);
	*provisional = any_stale(rows);
	if (*provisional && miru_fields_may_write())
	{
		table_close(field, AccessShareLock);
		field = table_open(miru_table_oid("field"), RowExclusiveLock);
		rows = store_rows(field, rel, feed_column, sync_added, NULL);
		*provisional = false;
	}
	table_close(field, NoLock);
	return columns_of(rows, rel, *provisional);
}

void
miru_field_choose(Relation rel, const char *feed_column, const bool *synced)
{
	Relation field = table_open(miru_table_oid("field"), RowExclusiveLock);

	(void) store_rows(field, rel, feed_column, true, synced);
	table_close(field, NoLock);
}

void
miru_fields_forget(Oid relid)
{
	Relation field = table_open(miru_table_oid("field"), RowExclusiveLock);
	SysScanDesc scan = begin_scan(field, relid);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(field, &tuple->t_self);
	systable_endscan(scan);
	table_close(field, NoLock);
}

/* is_virtual tells whether a column is generated and not stored. */
static bool
is_virtual(Form_pg_attribute column)
{
	return column->attgenerated != '\0' &&
		column->attgenerated != ATTRIBUTE_GENERATED_STORED;
}

/* synced_names returns the names of a table's fields, in the order of columns. */
static ArrayType *
synced_names(Relation rel, List *rows)
{
	TupleDesc desc = RelationGetDescr(rel);
	MiruColumn *columns = columns_of(rows, rel, false);
	Datum *names = palloc(sizeof(Datum) * Max(desc->natts, 1));
	int count = 0;
	Oid constraint;
	Bitmapset *key = get_primary_key_attnos(RelationGetRelid(rel), true,
											&constraint);

	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute column = live_column(desc, attnum);

		if (column == NULL || is_virtual(column) ||
			columns[attnum - 1].number == FIELD_OF_FEED)
			continue;
		if (columns[attnum - 1].synced ||
			bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, key))
			names[count++] = NameGetDatum(&column->attname);
	}
	return construct_array(names, count, NAMEOID, NAMEDATALEN, false,
						   TYPALIGN_CHAR);
}

/*
 * mirusync_synced_columns_0_2 returns the columns of an attached table that are
 * synced, for the view mirusync.collections, which has the other two arguments
 * from mirusync.attached.  It notes nothing, and does not mind a table that
 * has lost its key.
 */
Datum
mirusync_synced_columns_0_2(PG_FUNCTION_ARGS)
{
	Relation rel = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	Relation field;
	ArrayType *names;

	if (rel == NULL)
		PG_RETURN_NULL();
	field = table_open(miru_table_oid("field"), AccessShareLock);
	names = synced_names(rel,
						 tied_rows(field, rel, NameStr(*PG_GETARG_NAME(1)),
								   PG_GETARG_BOOL(2)));
	table_close(field, AccessShareLock);
	relation_close(rel, AccessShareLock);
	PG_RETURN_ARRAYTYPE_P(names);
}
