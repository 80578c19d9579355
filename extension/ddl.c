/*
 * ddl.c
 *     Follows what DDL does to attached tables.
 *
 * Rows come and go without a trigger when partitions do, and what devices
 * have of a record changes when a column does.  What can be followed is noted
 * like any other change, in the transaction of the command; for the rest there
 * is a message that says what to do.
 *
 *   partition made, attached   its rows are new; it gets its TRUNCATE trigger
 *   partition detached         its rows are gone; it loses the trigger
 *   partition dropped          its rows are gone
 *   column changed             NOTICE: devices keep the old form
 *   trigger disabled, gone     WARNING: changes are not seen
 *   SET UNLOGGED, INHERIT      error
 *
 * Parse trees say this badly (a partition may be dropped with its schema, by
 * DROP OWNED, or by a function), so the server's object access hook collects
 * what a command touches, whoever gave it, and an event trigger at the end of
 * the command looks what became of it.  It looks at the catalogs, so what is
 * left over from a command that failed does no harm.
 *
 * A table that is dropped must be read before.  Its TOAST table, without which
 * its rows are not whole, goes first, and that one's index before.
 *
 * The hook is there once this library is loaded, for which an event trigger at
 * the start of commands sees.  It also tells that the extension is there.
 *
 * Failure: the hook runs in the middle of a deletion, which must not fail for
 * us.  A table that has lost its key or feed column cannot be followed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "attach_check.h"
#include "attach_trigger.h"
#include "attached.h"
#include "capture.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "ddl.h"
#include "isolate.h"
#include "nodes/parsenodes.h"
#include "partition.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(mirusync_ddl_start_0_2);
PG_FUNCTION_INFO_V1(mirusync_ddl_end_0_2);

typedef enum TouchKind
{
	TOUCH_LINK,			  /* it came below another table, or left it */
	TOUCH_TABLE,		  /* it was altered */
	TOUCH_TRIGGER,		  /* a trigger of ours was altered, replaced, dropped */
	TOUCH_COLUMN_ADDED,	  /* it got a column */
	TOUCH_COLUMN_ALTERED, /* a column of it was altered */
	TOUCH_COLUMN_DROPPED, /* a field of it was dropped */
	TOUCH_LEFT,			  /* its rows were read before it was dropped */
	TOUCH_MISSED		  /* a partition of it was dropped, unread */
} TouchKind;

/* What a command did to a table. */
typedef struct Touch
{
	TouchKind kind;
	Oid relid;
	Oid parent;			 /* of a link */
	AttrNumber attnum;	 /* of a column */
	MiruTrigger trigger; /* as it was */
	SubTransactionId id; /* in which it was done */
} Touch;

/* The event trigger at the start was called: the extension is there. */
static bool is_armed = false;

/* All in TopTransactionContext, and NIL when there is no transaction. */
static List *touches = NIL;
static List *doomed = NIL; /* OIDs of tables that the command is to drop */

static object_access_hook_type next_hook = NULL;


/* -------------------------------------------------------------------------
 * Collecting
 * ------------------------------------------------------------------------- */

static Touch *
add_touch(TouchKind kind, Oid relid)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	Touch *touch = palloc0(sizeof(Touch));

	touch->kind = kind;
	touch->relid = relid;
	touch->id = GetCurrentSubTransactionId();
	touches = lappend(touches, touch);
	MemoryContextSwitchTo(caller);
	return touch;
}

/* toast_owner returns the table that a TOAST table is of. */
static Oid
toast_owner(Oid toast)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;
	Oid owner = InvalidOid;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(toast));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2,
							  keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == RelationRelationId &&
			form->deptype == DEPENDENCY_INTERNAL)
			owner = form->refobjid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return owner;
}

/* A table to be looked up. */
typedef struct Lookup
{
	Oid relid;
	MiruRelation *rel;
} Lookup;

static void
look_up(void *arg)
{
	Lookup *lookup = arg;

	lookup->rel = miru_relation_get(lookup->relid);
}

/* relation_if_whole returns NULL for a table that lost its key or feed. */
static MiruRelation *
relation_if_whole(Oid relid)
{
	Lookup lookup = {relid, NULL};
	ErrorData *error = miru_run_isolated(look_up, &lookup);

	if (error == NULL)
		return lookup.rel;
	if (error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(error);
	return NULL;
}

/* read_leaving notes the rows of a partition that is about to be dropped. */
static void
read_leaving(Oid relid)
{
	Oid root = miru_partition_root(relid);
	MiruRelation *rel;
	Relation heap;

	if (!OidIsValid(root) || root == relid)
		return;
	add_touch(TOUCH_LEFT, relid);
	rel = list_member_oid(doomed, root) ? NULL : relation_if_whole(root);
	if (rel == NULL)
	{
		add_touch(TOUCH_MISSED, root);
		return;
	}
	heap = table_open(relid, NoLock);
	miru_capture_leaving(heap, rel);
	table_close(heap, NoLock);
}

/* has_left tells whether a table was read already; it was lately. */
static bool
has_left(Oid relid)
{
	for (int i = list_length(touches) - 1; i >= 0; i--)
	{
		Touch *touch = list_nth(touches, i);

		if (touch->kind == TOUCH_LEFT && touch->relid == relid)
			return true;
	}
	return false;
}

/* on_drop_relation is told of the table, its TOAST table, and that one's index. */
static void
on_drop_relation(Oid relid)
{
	char kind = get_rel_relkind(relid);

	if (kind == RELKIND_INDEX)
	{
		relid = IndexGetRelation(relid, true);
		kind = get_rel_relkind(relid);
		if (kind != RELKIND_TOASTVALUE)
			return;
	}
	if (kind == RELKIND_TOASTVALUE)
		relid = toast_owner(relid);
	if (get_rel_relkind(relid) == RELKIND_RELATION &&
		get_rel_relispartition(relid) && !has_left(relid) &&
		miru_is_installed())
		read_leaving(relid);
}

static bool
is_field(MiruRelation *rel, AttrNumber attnum)
{
	for (int i = 0; i < rel->field_count; i++)
	{
		if (rel->fields[i].attnum == attnum)
			return true;
	}
	return false;
}

static void
on_drop_column(Oid relid, AttrNumber attnum)
{
	MiruRelation *rel;

	if (!miru_is_installed() || !miru_is_attached(relid))
		return;
	rel = relation_if_whole(relid);
	if (rel != NULL && is_field(rel, attnum))
		add_touch(TOUCH_COLUMN_DROPPED, relid);
}

/* on_trigger is told before the change can be seen. */
static void
on_trigger(Oid oid)
{
	MiruTrigger trigger;

	if (miru_trigger_get(oid, &trigger))
		add_touch(TOUCH_TRIGGER, trigger.relid)->trigger = trigger;
}

static void
on_alter(Oid class, Oid object, int sub, ObjectAccessPostAlter *arg)
{
	if (class == RelationRelationId && sub == 0)
		add_touch(TOUCH_TABLE, object);
	else if (class == RelationRelationId)
		add_touch(TOUCH_COLUMN_ALTERED, object)->attnum = sub;
	else if (class == InheritsRelationId)
		add_touch(TOUCH_LINK, object)->parent = arg->auxiliary_id;
	else if (class == TriggerRelationId)
		on_trigger(object);
}

static void
on_object_access(ObjectAccessType access, Oid class, Oid object, int sub,
				 void *arg)
{
	if (next_hook != NULL)
		next_hook(access, class, object, sub, arg);
	if (!is_armed)
		return;
	switch (access)
	{
		case OAT_POST_CREATE:
			if (class == RelationRelationId && sub > 0)
				add_touch(TOUCH_COLUMN_ADDED, object)->attnum = sub;
			else if (class == TriggerRelationId)
				on_trigger(object); /* CREATE OR REPLACE */
			break;
		case OAT_POST_ALTER:
			on_alter(class, object, sub, arg);
			break;
		case OAT_DROP:
			/* Old files and indexes of tables that stay. */
			if (((ObjectAccessDrop *) arg)->dropflags &
				PERFORM_DELETION_INTERNAL)
				break;
			if (class == TriggerRelationId)
				on_trigger(object);
			else if (class == RelationRelationId && sub == 0)
				on_drop_relation(object);
			else if (class == RelationRelationId)
				on_drop_column(object, sub);
			break;
		default:
			break;
	}
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			touches = NIL;
			doomed = NIL;
			break;
		default:
			break;
	}
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId id,
				  SubTransactionId parent, void *arg)
{
	ListCell *cell;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, touches)
	{
		if (((Touch *) lfirst(cell))->id >= id)
			touches = foreach_delete_current(touches, cell);
	}
}

void
miru_ddl_init(void)
{
	next_hook = object_access_hook;
	object_access_hook = on_object_access;
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}


/* -------------------------------------------------------------------------
 * Following
 * ------------------------------------------------------------------------- */

static bool
exists(Oid relid)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

static bool
is_below(Oid relid, Oid parent)
{
	return list_member_oid(find_inheritance_children(parent, NoLock), relid);
}

/* follow_attach: all rows of a partition are new. */
static void
follow_attach(Oid relid)
{
	ListCell *cell;

	foreach(cell, find_all_inheritors(relid, ShareRowExclusiveLock, NULL))
	{
		Relation rel = relation_open(lfirst_oid(cell), NoLock);

		miru_check_partition(rel);
		relation_close(rel, NoLock);
	}
	foreach(cell, miru_partition_leaves(relid, NoLock))
		miru_trigger_of_truncate(lfirst_oid(cell));
	CommandCounterIncrement();
	miru_capture_existing(relid);
}

/* follow_detach: all rows of what was a partition are gone. */
static void
follow_detach(Oid relid, Oid root)
{
	MiruRelation *rel = miru_relation_get(root);
	ListCell *cell;

	foreach(cell, miru_partition_leaves(relid, AccessExclusiveLock))
	{
		Relation heap = table_open(lfirst_oid(cell), NoLock);

		miru_capture_leaving(heap, rel);
		table_close(heap, NoLock);
		miru_trigger_of_truncate_drop(lfirst_oid(cell));
	}
}

static void
follow_link(Touch *touch)
{
	Oid root;

	if (!exists(touch->relid) || !exists(touch->parent))
		return;
	root = miru_partition_root(touch->parent);
	if (!OidIsValid(root))
		return;
	if (get_rel_relkind(touch->parent) != RELKIND_PARTITIONED_TABLE)
	{
		if (is_below(touch->relid, touch->parent))
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg(
					 "table \"%s\" cannot inherit from attached table \"%s\"",
					 get_rel_name(touch->relid), get_rel_name(touch->parent)),
				 errdetail(
					 "Its rows would be rows of the attached table, whose triggers do not see them.")));
	}
	else if (get_rel_relispartition(touch->relid) &&
			 get_partition_parent(touch->relid, true) == touch->parent)
		follow_attach(touch->relid);
	else
		follow_detach(touch->relid, root);
}

/* check_logged: rows of an attached table must be there after a crash. */
static void
check_logged(Oid relid)
{
	if (!exists(relid) ||
		get_rel_persistence(relid) == RELPERSISTENCE_PERMANENT)
		return;
	if (OidIsValid(miru_partition_root(relid)))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("attached table \"%s\" cannot be unlogged",
					get_rel_name(relid)),
			 errdetail(
				 "Its rows would be lost in a crash, while the devices keep them.")));
}

/*
 * how_to_rescan says what to call after something was not seen.  It may meet
 * an error of its own, so it is not for the arguments of ereport().
 */
static char *
how_to_rescan(Oid root)
{
	MiruRelation *rel = relation_if_whole(root);

	if (rel == NULL)
		return "CALL mirusync.rescan() for its collection";
	if (rel->collection == NULL)
		return "CALL mirusync.rescan() for each of its collections";
	return psprintf("CALL mirusync.rescan(%s)",
					quote_literal_cstr(rel->collection));
}

/* warn_of_trigger says what a trigger of ours no longer sees. */
static void
warn_of_trigger(Oid relid, const MiruTrigger *before)
{
	MiruTrigger trigger;
	bool is_there;
	Oid root;
	char *how;

	if (!exists(relid))
		return;
	root = miru_partition_root(relid);
	if (!OidIsValid(root))
		return;
	is_there = miru_trigger_find(relid, before->kind, &trigger);
	if (is_there && trigger.enabled == TRIGGER_FIRES_ALWAYS)
		return;
	how = how_to_rescan(root);
	ereport(
		WARNING,
		(errcode(ERRCODE_WARNING),
		 errmsg("not every change of attached table \"%s\" is seen any more",
				get_rel_name(relid)),
		 is_there
			 ? errdetail("Its trigger \"%s\" is not enabled always.",
						 NameStr(trigger.name))
			 : errdetail("Its trigger \"%s\" is gone.", NameStr(before->name)),
		 is_there
			 ? errhint(
				   "Enable it with ALTER TABLE ... ENABLE ALWAYS TRIGGER, then %s.",
				   how)
			 : errhint(
				   "Detach the table with mirusync.detach(), attach it again, then %s.",
				   how)));
}

/* restores_trigger: a dump makes a trigger first, then enables it always. */
static bool
restores_trigger(Node *command)
{
	return IsA(command, CreateTrigStmt) &&
		!((CreateTrigStmt *) command)->replace;
}

static void
warn_of_missed(Oid root)
{
	char *how;

	if (!exists(root) || !miru_is_attached(root))
		return;
	how = how_to_rescan(root);
	ereport(
		WARNING,
		(errcode(ERRCODE_WARNING),
		 errmsg("devices keep the rows of a dropped partition of table \"%s\"",
				get_rel_name(root)),
		 errdetail("They could not be read before they were dropped."),
		 errhint("To mend that, %s.", how)));
}

static bool
alters_type(Node *command)
{
	ListCell *cell;

	if (!IsA(command, AlterTableStmt))
		return false;
	foreach(cell, ((AlterTableStmt *) command)->cmds)
	{
		AlterTableCmd *part = lfirst(cell);

		if (part->subtype == AT_AlterColumnType)
			return true;
#if PG_VERSION_NUM >= 170000
		if (part->subtype == AT_SetExpression)
			return true;
#endif
	}
	return false;
}

static bool
renames_column(Node *command)
{
	return IsA(command, RenameStmt) &&
		((RenameStmt *) command)->renameType == OBJECT_COLUMN;
}

/*
 * is_new_form tells whether what devices have of a record may not be any more
 * what a fresh device gets.  A new column of nulls is none: to a device that
 * does not know the field, null and nothing are the same.
 */
static bool
is_new_form(Touch *touch, Node *command)
{
	Relation heap;
	bool has_value;

	switch (touch->kind)
	{
		case TOUCH_COLUMN_DROPPED:
			return true;
		case TOUCH_COLUMN_ALTERED:
			return alters_type(command) || renames_column(command);
		case TOUCH_COLUMN_ADDED:
			heap = table_open(touch->relid, AccessShareLock);
			has_value = build_column_default(heap, touch->attnum) != NULL;
			table_close(heap, NoLock);
			return has_value;
		default:
			return false;
	}
}

/* tell_of_column says once in a command that devices have an older form. */
static void
tell_of_column(Touch *touch, Node *command, List **told)
{
	MiruRelation *rel;

	if (list_member_oid(*told, touch->relid) || !exists(touch->relid) ||
		!miru_is_attached(touch->relid) || !is_new_form(touch, command))
		return;
	rel = relation_if_whole(touch->relid);
	if (rel == NULL || rel->collection == NULL ||
		(touch->kind != TOUCH_COLUMN_DROPPED && !is_field(rel, touch->attnum)))
		return;
	ereport(
		NOTICE,
		(errmsg(
			 "devices keep the old form of collection \"%s\" until its records change",
			 rel->collection),
		 errhint("To send what differs, CALL mirusync.rescan(%s).",
				 quote_literal_cstr(rel->collection))));
	*told = lappend_oid(*told, touch->relid);
}

static void
follow(Touch *touch, Node *command, List **told)
{
	switch (touch->kind)
	{
		case TOUCH_TABLE:
			check_logged(touch->relid);
			break;
		case TOUCH_TRIGGER:
			if (!restores_trigger(command))
				warn_of_trigger(touch->relid, &touch->trigger);
			break;
		case TOUCH_MISSED:
			warn_of_missed(touch->relid);
			break;
		case TOUCH_COLUMN_ADDED:
		case TOUCH_COLUMN_ALTERED:
		case TOUCH_COLUMN_DROPPED:
			tell_of_column(touch, command, told);
			break;
		case TOUCH_LINK:
		case TOUCH_LEFT:
			break;
	}
}


/* -------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------- */

static EventTriggerData *
event_data(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as an event trigger",
						name)));
	return (EventTriggerData *) fcinfo->context;
}

/* is_own_script tells whether the extension itself is being made or updated. */
static bool
is_own_script(void)
{
	return creating_extension &&
		CurrentExtensionObject == get_extension_oid("mirusync", true);
}

/*
 * note_doomed notes which attached tables a command is to drop as a whole, so
 * that their partitions need not be read.
 */
static void
note_doomed(DropStmt *command)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	ListCell *cell;

	foreach(cell, command->objects)
	{
		RangeVar *name = makeRangeVarFromNameList(lfirst(cell));
		Oid relid = RangeVarGetRelid(name, NoLock, true);

		if (OidIsValid(relid) &&
			get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
			doomed = lappend_oid(doomed, relid);
	}
	MemoryContextSwitchTo(caller);
}

/* mirusync.ddl_start() */
Datum
mirusync_ddl_start_0_2(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = event_data(fcinfo, "mirusync.ddl_start");

	is_armed = true;
	doomed = NIL;
	if (IsA(data->parsetree, DropStmt) &&
		((DropStmt *) data->parsetree)->removeType == OBJECT_TABLE)
		note_doomed((DropStmt *) data->parsetree);
	PG_RETURN_NULL();
}

/* mirusync.ddl_end() */
Datum
mirusync_ddl_end_0_2(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = event_data(fcinfo, "mirusync.ddl_end");
	List *done = touches;
	List *told = NIL;
	ListCell *cell;
	bool pushed = false;

	touches = NIL;
	/* The triggers may be there before the tables, in pg_upgrade. */
	if (done == NIL || is_own_script() || !miru_is_installed())
		PG_RETURN_NULL();
	/* A command of several transactions leaves none. */
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	/* Partitions that came get their triggers before these are looked at. */
	foreach(cell, done)
	{
		if (((Touch *) lfirst(cell))->kind == TOUCH_LINK)
			follow_link(lfirst(cell));
	}
	foreach(cell, done)
		follow(lfirst(cell), data->parsetree, &told);
	if (pushed)
		PopActiveSnapshot();
	PG_RETURN_NULL();
}
