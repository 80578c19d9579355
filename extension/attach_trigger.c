/*
 * attach_trigger.c
 *     The triggers of attached tables.
 *
 * There are two on each.  Both fire always, also for a replication worker, and
 * first, since "!" sorts before letters.  They are ordinary triggers: a dump
 * contains them, and they depend on mirusync.capture() like any other.  They
 * are created as the extension's owner, because nobody else may execute
 * capture().
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
#include "registry.h"
#include "utils/fmgroids.h"

#define CAPTURE_TRIGGER	 "!mirusync_capture"
#define TRUNCATE_TRIGGER "!mirusync_truncate"

static List *
capture_name(void)
{
	return list_make2(makeString("mirusync"), makeString("capture"));
}

/* drop_trigger drops a trigger of ours, if it is there. */
static void
drop_trigger(Oid relid, char *name)
{
	Oid capture = LookupFuncName(capture_name(), 0, NULL, false);
	Oid trigger = get_trigger_oid(relid, name, true);
	Relation pg_trigger;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool is_ours;
	ObjectAddress address;

	if (!OidIsValid(trigger))
		return;

	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	is_ours = HeapTupleIsValid(tuple) &&
		((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == capture;
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	if (!is_ours)
		return;

	ObjectAddressSet(address, TriggerRelationId, trigger);
	performDeletion(&address, DROP_RESTRICT, 0);
}

void
miru_triggers_drop(Oid relid)
{
	drop_trigger(relid, CAPTURE_TRIGGER);
	drop_trigger(relid, TRUNCATE_TRIGGER);
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

/*
 * miru_triggers_create puts our triggers on a table.  Some may be there already,
 * if the table was restored without the registry.
 */
void
miru_triggers_create(Oid relid)
{
	Oid user;
	int context;

	miru_triggers_drop(relid);

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(miru_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	create_trigger(relid, CAPTURE_TRIGGER, true, TRIGGER_TYPE_AFTER,
				   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
					   TRIGGER_TYPE_DELETE);
	create_trigger(relid, TRUNCATE_TRIGGER, false, TRIGGER_TYPE_BEFORE,
				   TRIGGER_TYPE_TRUNCATE);
	SetUserIdAndSecContext(user, context);
}
