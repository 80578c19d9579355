/*
 * field.c
 *     The numbers of the fields of attached tables.
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
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "field.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"

/* Columns of mirusync.field. */
enum
{
	FIELD_RELATION = 1,
	FIELD_NUMBER,
	FIELD_ATTNUM,
	FIELD_NAME,
	FIELD_BOUND_TO,
	FIELD_COLUMNS = FIELD_BOUND_TO
};

/* A row of mirusync.field. */
typedef struct FieldRow
{
	int number;
	AttrNumber attnum; /* 0: the column was dropped */
	char *name;
	bool is_bound; /* attnum was noted here */
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

/* add_row adds the row of a column that has none. */
static List *
add_row(List *rows, int number, Form_pg_attribute column)
{
	FieldRow *row = palloc0(sizeof(FieldRow));

	row->number = number;
	row->attnum = column->attnum;
	row->name = pstrdup(NameStr(column->attname));
	row->is_stale = true;
	return lappend(rows, row);
}

/* number_columns adds a row for each column that has none. */
static List *
number_columns(List *rows, TupleDesc desc, const char *feed_column)
{
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
			rows = add_row(rows, FIELD_OF_FEED, column);
		else
			rows = add_row(rows, ++last, column);
	}
	return rows;
}

/* tied_rows returns a table's rows as they should be. */
static List *
tied_rows(Relation field, Relation rel, const char *feed_column)
{
	TupleDesc desc = RelationGetDescr(rel);
	List *rows = read_rows(field, RelationGetRelid(rel));
	ListCell *cell;

	foreach(cell, rows)
		tie_row(lfirst(cell), desc);
	return number_columns(rows, desc, feed_column);
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
	tuple = heap_form_tuple(RelationGetDescr(field), values, nulls);
	if (row->is_stored)
		CatalogTupleUpdate(field, &row->tid, tuple);
	else
		CatalogTupleInsert(field, tuple);
}

/*
 * store_rows writes what is not as stored.  Should this subtransaction abort,
 * the invalidation makes this backend forget the numbers it gave.
 */
static List *
store_rows(Relation field, Relation rel, const char *feed_column)
{
	Oid relid = RelationGetRelid(rel);
	List *rows;
	ListCell *cell;

	LockDatabaseObject(RelationGetRelid(field), relid, 0, ExclusiveLock);
	rows = tied_rows(field, rel, feed_column);
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

int *
miru_field_numbers(Relation rel, const char *feed_column, bool *provisional)
{
	int *numbers;
	List *rows;
	ListCell *cell;
	Relation field = table_open(miru_table_oid("field"), AccessShareLock);

	rows = tied_rows(field, rel, feed_column);
	*provisional = any_stale(rows);
	if (*provisional && miru_fields_may_write())
	{
		table_close(field, AccessShareLock);
		field = table_open(miru_table_oid("field"), RowExclusiveLock);
		rows = store_rows(field, rel, feed_column);
		*provisional = false;
	}
	table_close(field, NoLock);

	numbers = palloc(sizeof(int) * Max(RelationGetNumberOfAttributes(rel), 1));
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		numbers[i] = FIELD_UNNUMBERED;
	foreach(cell, rows)
	{
		FieldRow *row = lfirst(cell);

		if (row->attnum != 0 &&
			(!*provisional || row->is_stored || row->number == FIELD_OF_FEED))
			numbers[row->attnum - 1] = row->number;
	}
	return numbers;
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
