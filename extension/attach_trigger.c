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
 * Both fire always, also for a replication worker, and
 * first, since "!" sorts before letters.  They are ordinary triggers: a dump
 * contains them, and they depend on mirusync.capture() like any other.  They
 * are created as the extension's owner, since a role that may attach a table,
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

/*
 * find_trigger returns a trigger of ours, InvalidOid if it is not there, and
 * when it fires.
 */
static Oid
find_trigger(Oid relid, const char *name, char *enabled)
{
	Oid capture = LookupFuncName(capture_name(), 0, NULL, false);
	Oid trigger = get_trigger_oid(relid, name, true);
	Relation pg_trigger;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool is_ours;

	if (!OidIsValid(trigger))
		return InvalidOid;

	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	is_ours = HeapTupleIsValid(tuple) &&
		((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == capture;
	if (is_ours)
		*enabled = ((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled;
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return is_ours ? trigger : InvalidOid;
}

bool
miru_is_trigger_name(const char *name)
{
	return strcmp(name, CAPTURE_TRIGGER) == 0 ||
		strcmp(name, TRUNCATE_TRIGGER) == 0;
}

char
miru_trigger_enabled(Oid relid, const char *name)
{
	char enabled = '\0';

	(void) find_trigger(relid, name, &enabled);
	return enabled;
}

/* drop_trigger drops a trigger of ours, if it is there. */
static void
drop_trigger(Oid relid, const char *name)
{
	char enabled;
	Oid trigger = find_trigger(relid, name, &enabled);
	ObjectAddress address;

	if (!OidIsValid(trigger))
		return;
	ObjectAddressSet(address, TriggerRelationId, trigger);
	performDeletion(&address, DROP_RESTRICT, 0);
}

void
miru_triggers_drop(Oid relid)
{
	ListCell *cell;

	foreach(cell, miru_partition_leaves(relid, ShareRowExclusiveLock))
		miru_trigger_of_truncate_drop(lfirst_oid(cell));
	drop_trigger(relid, CAPTURE_TRIGGER);
}

void
miru_trigger_of_truncate_drop(Oid leaf)
{
	drop_trigger(leaf, TRUNCATE_TRIGGER);
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
