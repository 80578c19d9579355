/*
 * attach_trigger.c
 *     The triggers of attached tables.
 *
 * There are two: one for each changed row, one for TRUNCATE.  Of a partitioned
 * table the first is on the table itself, and the server puts a copy on each
 * partition, present and future.  The second is for a statement, which is not
 * copied, so each partition that has rows is given one; TRUNCATE of a table
 * above truncates those, and fires their triggers.
 *
 * Both fire always, also for a replication worker.  They are ordinary
 * triggers: a dump contains them, and they depend on mirusync.capture() like
 * any other, by which they are known.  Their names are only names: "!" sorts
 * before letters, so they fire first, but nothing relies on that.  They are
 * created as the extension's owner, since a role that may attach a table,
 * or make a partition, need not have the right to make triggers on it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "attach_trigger.h"
#include "catalog/dependency.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "partition.h"
#include "registry.h"
#include "utils/fmgroids.h"

#define CAPTURE_TRIGGER	 "!mirusync_capture"
#define TRUNCATE_TRIGGER "!mirusync_truncate"

static List *
capture_name(void)
{
	return list_make2(makeString("mirusync"), makeString("capture"));
}

/* is_ours tells a trigger by its function, since triggers can be renamed. */
static bool
is_ours(Form_pg_trigger trigger)
{
	return trigger->tgfoid == LookupFuncName(capture_name(), 0, NULL, true);
}

/* describe fills in what there is to know of a trigger of ours. */
static void
describe(Form_pg_trigger form, MiruTrigger *trigger)
{
	trigger->oid = form->oid;
	trigger->relid = form->tgrelid;
	trigger->name = form->tgname;
	trigger->kind = TRIGGER_FOR_ROW(form->tgtype) ? MIRU_TRIGGER_ROW
												  : MIRU_TRIGGER_TRUNCATE;
	trigger->enabled = form->tgenabled;
}

bool
miru_trigger_get(Oid oid, MiruTrigger *trigger)
{
	Relation pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple) &&
		is_ours((Form_pg_trigger) GETSTRUCT(tuple));
	if (found)
		describe((Form_pg_trigger) GETSTRUCT(tuple), trigger);
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return found;
}

bool
miru_trigger_find(Oid relid, MiruTriggerKind kind, MiruTrigger *trigger)
{
	Relation pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL,
							  1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!is_ours(form))
			continue;
		describe(form, trigger);
		found = trigger->kind == kind;
	}
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return found;
}

/* drop_trigger drops a trigger of ours, if it is there. */
static void
drop_trigger(Oid relid, MiruTriggerKind kind)
{
	MiruTrigger trigger;
	ObjectAddress address;

	if (!miru_trigger_find(relid, kind, &trigger))
		return;
	ObjectAddressSet(address, TriggerRelationId, trigger.oid);
	performDeletion(&address, DROP_RESTRICT, 0);
}

void
miru_triggers_drop(Oid relid)
{
	ListCell *cell;

	foreach(cell, miru_partition_leaves(relid, ShareRowExclusiveLock))
		miru_trigger_of_truncate_drop(lfirst_oid(cell));
	drop_trigger(relid, MIRU_TRIGGER_ROW);
}

void
miru_trigger_of_truncate_drop(Oid leaf)
{
	drop_trigger(leaf, MIRU_TRIGGER_TRUNCATE);
}

static void
create_trigger(Oid relid, char *name, bool row, int16 timing, int16 events)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	stmt->trigname = name;
	stmt->funcname = capture_name();
	stmt->row = row;
	stmt->timing = timing;
	stmt->events = events;
	CreateTriggerFiringOn(stmt, NULL, relid, InvalidOid, InvalidOid, InvalidOid,
						  InvalidOid, InvalidOid, NULL, false, false,
						  TRIGGER_FIRES_ALWAYS);
}

/* create_triggers creates one or both as the extension's owner. */
static void
create_triggers(Oid relid, bool capture, bool truncate)
{
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(miru_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	if (capture)
		create_trigger(relid, CAPTURE_TRIGGER, true, TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
						   TRIGGER_TYPE_DELETE);
	if (truncate)
		create_trigger(relid, TRUNCATE_TRIGGER, false, TRIGGER_TYPE_BEFORE,
					   TRIGGER_TYPE_TRUNCATE);
	SetUserIdAndSecContext(user, context);
}

void
miru_triggers_create(Oid relid)
{
	ListCell *cell;

	miru_triggers_drop(relid);
	create_triggers(relid, true, false);
	foreach(cell, miru_partition_leaves(relid, ShareRowExclusiveLock))
		miru_trigger_of_truncate(lfirst_oid(cell));
}

void
miru_trigger_of_truncate(Oid leaf)
{
	miru_trigger_of_truncate_drop(leaf);
	create_triggers(leaf, false, true);
}
