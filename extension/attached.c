/*
 * attached.c
 *     What is attached, as stored.
 *
 * Owns mirusync.attached and mirusync.collection; nobody else writes them.
 * registry.c reads them for everybody else.
 *
 * A table that was dropped leaves its rows behind.  They say nothing to
 * anybody, since everybody finds a table through its OID, and the next one
 * who attaches something clears them away.
 *
 * Ordering and locks: who writes has locked mirusync.attached first, and keeps
 * that lock to the end of the transaction, so that one does at a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "attached.h"
#include "field.h"
#include "merge_rules.h"
#include "record.h"
#include "registry.h"
#include "registry_table.h"
#include "rule.h"
#include "serving.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/syscache.h"

/* miru_registry_lock makes the transaction the only one that changes it. */
void
miru_registry_lock(void)
{
	LockRelationOid(miru_table_oid("attached"), ShareRowExclusiveLock);
}

/* miru_registry_written makes what was written count, here and elsewhere. */
void
miru_registry_written(void)
{
	CacheInvalidateRelcacheByRelid(miru_table_oid("attached"));
	CommandCounterIncrement();
}

bool
miru_is_attached(Oid relid)
{
	Relation attached = table_open(miru_table_oid("attached"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool found;

	ScanKeyInit(&key, ATTACHED_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(attached, miru_table_oid("attached_pkey"), true,
							  NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(attached, NoLock);
	return found;
}

void
miru_attached_insert(const MiruAttachment *attachment)
{
	Relation attached = table_open(miru_table_oid("attached"),
								   RowExclusiveLock);
	Datum values[ATTACHED_COLUMNS] = {0};
	bool nulls[ATTACHED_COLUMNS] = {false};
	NameData feed_column;

	namestrcpy(&feed_column, attachment->feed_column);
	values[ATTACHED_RELATION - 1] = ObjectIdGetDatum(attachment->relid);
	values[ATTACHED_FEED - 1] = NameGetDatum(&feed_column);
	values[ATTACHED_SYNC_ADDED - 1] = BoolGetDatum(attachment->sync_added);
	nulls[ATTACHED_COLLECTION - 1] = true;
	nulls[ATTACHED_DATA - 1] = true;
	CatalogTupleInsert(attached,
					   heap_form_tuple(RelationGetDescr(attached), values,
									   nulls));
	table_close(attached, NoLock);
}

void
miru_collection_insert(const MiruAttachment *attachment)
{
	Relation collection = table_open(miru_table_oid("collection"),
									 RowExclusiveLock);
	Datum values[COLLECTION_COLUMNS];
	bool nulls[COLLECTION_COLUMNS] = {false};

	values[COLLECTION_NAME - 1] = CStringGetTextDatum(attachment->collection);
	values[COLLECTION_RELATION - 1] = ObjectIdGetDatum(attachment->relid);
	values[COLLECTION_RULE - 1] = CStringGetTextDatum(attachment->rule);
	values[COLLECTION_PUSHABLE - 1] = BoolGetDatum(attachment->pushable);
	values[COLLECTION_ROLE - 1] = ObjectIdGetDatum(attachment->role);
	nulls[COLLECTION_ROLE - 1] = !OidIsValid(attachment->role);
	values[COLLECTION_DELETE_RULE - 1] = CStringGetTextDatum(
		miru_delete_rule_name(MIRU_UPDATE_WINS));
	values[COLLECTION_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	CatalogTupleInsert(collection,
					   heap_form_tuple(RelationGetDescr(collection), values,
									   nulls));
	table_close(collection, NoLock);
}

/* set_text sets a column of a collection. */
static void
set_text(const char *name, int column, const char *value)
{
	Relation collection = table_open(miru_table_oid("collection"),
									 RowExclusiveLock);
	Datum values[COLLECTION_COLUMNS] = {0};
	bool nulls[COLLECTION_COLUMNS] = {false};
	bool replaced[COLLECTION_COLUMNS] = {false};
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, COLLECTION_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	scan = systable_beginscan(collection, miru_table_oid("collection_pkey"),
							  true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		values[column - 1] = CStringGetTextDatum(value);
		replaced[column - 1] = true;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(collection), values,
								  nulls, replaced);
		CatalogTupleUpdate(collection, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(collection, NoLock);
}

void
miru_collection_set_rule(const char *name, const char *rule)
{
	set_text(name, COLLECTION_RULE, rule);
}

void
miru_collection_set_delete_rule(const char *name, const char *rule)
{
	set_text(name, COLLECTION_DELETE_RULE, rule);
}

/* delete_collections removes a table's collections and their sync state. */
static void
delete_collections(Oid relid)
{
	Relation collection = table_open(miru_table_oid("collection"),
									 RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *names = NIL;
	ListCell *cell;

	ScanKeyInit(&key, COLLECTION_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(collection, miru_table_oid("collection_relation"),
							  true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum name = heap_getattr(tuple, COLLECTION_NAME,
								  RelationGetDescr(collection), &isnull);

		names = lappend(names, TextDatumGetCString(name));
		CatalogTupleDelete(collection, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(collection, NoLock);

	foreach(cell, names)
	{
		miru_field_rules_forget(lfirst(cell));
		miru_record_forget(lfirst(cell));
		miru_serving_forget(lfirst(cell));
	}
}

/* miru_attached_delete removes all that is known of a table. */
void
miru_attached_delete(Oid relid)
{
	Relation attached = table_open(miru_table_oid("attached"),
								   RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, ATTACHED_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(attached, miru_table_oid("attached_pkey"), true,
							  NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(attached, &tuple->t_self);
	systable_endscan(scan);
	table_close(attached, NoLock);

	delete_collections(relid);
	miru_fields_forget(relid);
}

/* miru_attached_clear_dropped removes what is known of tables that exist no more. */
void
miru_attached_clear_dropped(void)
{
	Relation attached = table_open(miru_table_oid("attached"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(attached, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple tuple;
	List *dropped = NIL;
	ListCell *cell;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Oid relid;

		relid = DatumGetObjectId(heap_getattr(tuple, ATTACHED_RELATION,
											  RelationGetDescr(attached),
											  &isnull));
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			dropped = lappend_oid(dropped, relid);
	}
	systable_endscan(scan);
	table_close(attached, NoLock);

	foreach(cell, dropped)
		miru_attached_delete(lfirst_oid(cell));
	if (dropped != NIL)
		miru_registry_written();
}
