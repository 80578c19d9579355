/*
 * attach.c
 *     Attaching tables, detaching them, and naming collections.
 *
 * Owns mirusync.attached and mirusync.collection; nobody else writes them.
 *
 * To attach a table is to put two triggers on it and to write down what they
 * are for.  Both fire always, also for a replication worker, and first, since
 * "!" sorts before letters.  They are ordinary triggers: a dump contains them,
 * and they depend on mirusync.capture() like any other.
 *
 * The owner of a table may attach it, so what is checked here is checked for
 * the calling user, who needs no right on mirusync's own tables.  Those are
 * written directly, and the triggers are created as the extension's owner,
 * because nobody else may execute capture().
 *
 * A table that was dropped leaves its rows behind.  They say nothing to
 * anybody, since everybody finds a table through its OID, and the next one
 * who attaches something clears them away.
 *
 * Ordering and locks: mirusync.attached first, kept to the end of the
 * transaction, so that of these functions one runs at a time; then the table,
 * against writers while it is attached and against everybody while it is
 * detached.  Ownership is checked before any lock is waited for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "capture.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "field.h"
#include "fmgr.h"
#include "merge_rules.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "record.h"
#include "registry.h"
#include "registry_table.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define CAPTURE_TRIGGER	 "!mirusync_capture"
#define TRUNCATE_TRIGGER "!mirusync_truncate"

/* What attach is asked for. */
typedef struct Attachment
{
	Oid relid;
	char *feed_column;
	char *collection;
	char *rule;
	bool pushable;
	Oid role; /* InvalidOid: the table's owner */
} Attachment;

PG_FUNCTION_INFO_V1(mirusync_attach);
PG_FUNCTION_INFO_V1(mirusync_detach);
PG_FUNCTION_INFO_V1(mirusync_create_collection);


/* -------------------------------------------------------------------------
 * Rows of the registry
 * ------------------------------------------------------------------------- */

/* lock_registry makes the transaction the only one that changes it. */
static void
lock_registry(void)
{
	LockRelationOid(miru_table_oid("attached"), ShareRowExclusiveLock);
}

/* registry_written makes what was written count, here and elsewhere. */
static void
registry_written(void)
{
	CacheInvalidateRelcacheByRelid(miru_table_oid("attached"));
	CommandCounterIncrement();
}

static bool
is_attached(Oid relid)
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

static void
insert_attached(const Attachment *attachment)
{
	Relation attached = table_open(miru_table_oid("attached"),
								   RowExclusiveLock);
	Datum values[ATTACHED_COLUMNS] = {0};
	bool nulls[ATTACHED_COLUMNS] = {false};
	NameData feed_column;

	namestrcpy(&feed_column, attachment->feed_column);
	values[ATTACHED_RELATION - 1] = ObjectIdGetDatum(attachment->relid);
	values[ATTACHED_FEED - 1] = NameGetDatum(&feed_column);
	nulls[ATTACHED_COLLECTION - 1] = true;
	nulls[ATTACHED_DATA - 1] = true;
	CatalogTupleInsert(attached,
					   heap_form_tuple(RelationGetDescr(attached), values,
									   nulls));
	table_close(attached, NoLock);
}

static void
insert_collection(const Attachment *attachment)
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
	CatalogTupleInsert(collection,
					   heap_form_tuple(RelationGetDescr(collection), values,
									   nulls));
	table_close(collection, NoLock);
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
		miru_record_forget(lfirst(cell));
}

/* delete_attached removes all that is known of a table. */
static void
delete_attached(Oid relid)
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

/* clear_dropped removes what is known of tables that exist no more. */
static void
clear_dropped(void)
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
		delete_attached(lfirst_oid(cell));
	if (dropped != NIL)
		registry_written();
}


/* -------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------- */

static void
check_not_null(FunctionCallInfo fcinfo, int count, const char *const *names)
{
	for (int i = 0; i < count; i++)
	{
		if (names[i] != NULL && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i])));
	}
}

static void
check_collection_name(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > COLLECTION_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a collection must have 1 to %d bytes",
						COLLECTION_NAME_MAX)));
	for (const char *c = name; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg(
					 "name of a collection must not contain control characters")));
	}
}

static void
check_rule(const char *rule)
{
	MiruRule parsed;

	if (!miru_rule_parse(rule, &parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown rule \"%s\"", rule),
				 errhint("The rules are \"lww\" and \"lww_field\".")));
}

/* check_collection_free throws when the name is taken. */
static void
check_collection_free(const char *name)
{
	MiruCollection *collection = miru_collection_get(name);

	if (collection == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("collection \"%s\" already exists", name),
			 errdetail("It is kept in table \"%s\".",
					   get_rel_name(collection->relid)),
			 errhint("Give another name as argument \"collection\".")));
}

/*
 * check_role throws unless the calling user could act as the role: pushes
 * will, and attaching a table must not be a way to become somebody else.
 */
static void
check_role(Oid role)
{
	char *name;

	if (!OidIsValid(role))
		return;
	name = GetUserNameFromId(role, true);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", role)));
	if (!miru_may_act_as(GetUserId(), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be able to SET ROLE \"%s\"", name)));
}

/* check_owner throws unless the calling user owns the relation. */
static void
check_owner(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!miru_is_table_owner(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)), name);
}

/* open_relation opens and locks a relation that the calling user owns. */
static Relation
open_relation(Oid relid, LOCKMODE lock)
{
	Relation rel;

	check_owner(relid);
	lock_registry();
	rel = try_relation_open(relid, lock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));

	/* It may have been given away while its lock was waited for. */
	check_owner(relid);
	return rel;
}

/* check_kind throws unless the relation is an ordinary table. */
static void
check_kind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	char kind = rel->rd_rel->relkind;

	if (kind == RELKIND_PARTITIONED_TABLE || rel->rd_rel->relispartition)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach table \"%s\"", name),
			 errdetail(
				 "Partitioned tables and partitions cannot be attached yet.")));
	if (kind != RELKIND_RELATION)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a table", name),
			 errdetail(
				 "Only ordinary tables have rows of their own that can be attached.")));
	if (RelationGetRelid(rel) < FirstNormalObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot attach system table \"%s\"", name)));
	if (RelationGetNamespace(rel) ==
		get_rel_namespace(miru_table_oid("attached")))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot attach table \"%s\"", name),
				 errdetail(
					 "Tables in schema \"mirusync\" are not for attaching.")));
	if (has_superclass(RelationGetRelid(rel)) ||
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach table \"%s\"", name),
			 errdetail(
				 "Tables that inherit or are inherited from cannot be attached yet.")));
}

/* check_persistence throws unless the table is there after a crash. */
static void
check_persistence(Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot attach temporary table \"%s\"", name),
				 errdetail("Its rows are there for one session only.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach unlogged table \"%s\"", name),
			 errdetail(
				 "Its rows would be lost in a crash, while the devices keep them."),
			 errhint("Use ALTER TABLE ... SET LOGGED.")));
}

static void
check_primary_key(Relation rel)
{
	Oid constraint;
	Relation index;

	get_primary_key_attnos(RelationGetRelid(rel), true, &constraint);
	if (!OidIsValid(constraint))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has no primary key",
					RelationGetRelationName(rel)),
			 errdetail(
				 "The primary key tells the records of a collection apart."),
			 errhint("Use ALTER TABLE ... ADD PRIMARY KEY.")));

	/* It is not for a primary key WITHOUT OVERLAPS, in later releases. */
	index = index_open(get_constraint_index(constraint), AccessShareLock);
	if (index->rd_rel->relam != BTREE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot attach table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("Its primary key is not a btree index.")));
	index_close(index, AccessShareLock);
}

static bool
is_feed_type(Oid type)
{
	switch (getBaseType(type))
	{
		case TEXTOID:
		case VARCHAROID:
		case UUIDOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return true;
		default:
			return false;
	}
}

static void
check_feed_column(Relation rel, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);
	Form_pg_attribute column;

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name,
						RelationGetRelationName(rel))));
	if (attnum < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("system column \"%s\" cannot give the feed", name)));

	column = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	if (column->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("generated column \"%s\" cannot give the feed", name)));
	if (!is_feed_type(column->atttypid))
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of type %s cannot give the feed", name,
					format_type_be(column->atttypid)),
			 errhint(
				 "Its type must be text, varchar, uuid, smallint, integer, bigint, or a domain over one of these.")));
}

/* warn_of_policies says what row-level security does not do here. */
static void
warn_of_policies(Relation rel, const char *feed_column)
{
	if (!rel->rd_rel->relrowsecurity)
		return;
	ereport(
		WARNING,
		(errcode(ERRCODE_WARNING),
		 errmsg(
			 "row-level security of table \"%s\" does not limit what devices read",
			 RelationGetRelationName(rel)),
		 errdetail(
			 "A user's devices read every row whose column \"%s\" names that user's feed.",
			 feed_column)));
}


/* -------------------------------------------------------------------------
 * Triggers
 * ------------------------------------------------------------------------- */

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

static void
drop_triggers(Oid relid)
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
 * create_triggers puts our triggers on a table.  Some may be there already,
 * if the table was restored without the registry.
 */
static void
create_triggers(Oid relid)
{
	Oid user;
	int context;

	drop_triggers(relid);

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


/* -------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------- */

static void
attach_table(Attachment *attachment)
{
	Relation rel = open_relation(attachment->relid, ShareRowExclusiveLock);

	check_kind(rel);
	check_persistence(rel);
	clear_dropped();
	if (is_attached(attachment->relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("table \"%s\" is already attached",
					RelationGetRelationName(rel)),
			 errhint(
				 "To attach it in another way, detach it first with mirusync.detach().")));
	check_primary_key(rel);
	check_feed_column(rel, attachment->feed_column);
	if (attachment->collection == NULL)
		attachment->collection = pstrdup(RelationGetRelationName(rel));
	check_collection_name(attachment->collection);
	check_collection_free(attachment->collection);
	warn_of_policies(rel, attachment->feed_column);
	relation_close(rel, NoLock);

	create_triggers(attachment->relid);
	insert_attached(attachment);
	insert_collection(attachment);
	CacheInvalidateRelcacheByRelid(attachment->relid);
	registry_written();

	/* The first look numbers the fields; after that rows can be noted. */
	(void) miru_relation_get(attachment->relid);
	miru_capture_existing(attachment->relid);
}

/* mirusync.attach(relation, feed, collection, rule, role, pushable) */
Datum
mirusync_attach(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"relation", "feed", NULL,
										"rule",		NULL,	"pushable"};
	Attachment attachment;

	PreventCommandIfReadOnly("mirusync.attach()");
	check_not_null(fcinfo, lengthof(names), names);
	attachment.relid = PG_GETARG_OID(0);
	attachment.feed_column = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	attachment.collection = PG_ARGISNULL(2)
		? NULL
		: text_to_cstring(PG_GETARG_TEXT_PP(2));
	attachment.rule = text_to_cstring(PG_GETARG_TEXT_PP(3));
	attachment.role = PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4);
	attachment.pushable = PG_GETARG_BOOL(5);

	check_rule(attachment.rule);
	check_role(attachment.role);
	attach_table(&attachment);
	PG_RETURN_VOID();
}

/* mirusync.detach(relation) */
Datum
mirusync_detach(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"relation"};
	Oid relid;
	Relation rel;

	PreventCommandIfReadOnly("mirusync.detach()");
	check_not_null(fcinfo, lengthof(names), names);
	relid = PG_GETARG_OID(0);
	rel = open_relation(relid, AccessExclusiveLock);

	if (relid == miru_table_oid("document"))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot detach the document store")));
	if (!is_attached(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not attached",
						RelationGetRelationName(rel))));
	relation_close(rel, NoLock);

	drop_triggers(relid);
	delete_attached(relid);
	CacheInvalidateRelcacheByRelid(relid);
	registry_written();
	PG_RETURN_VOID();
}

/* is_same tells whether a collection is what create_collection would make. */
static bool
is_same(const MiruCollection *collection, const Attachment *wanted)
{
	return collection->relid == wanted->relid &&
		strcmp(collection->rule, wanted->rule) == 0 &&
		collection->pushable == wanted->pushable;
}

/* mirusync.create_collection(name, rule, pushable) */
Datum
mirusync_create_collection(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"name", "rule", "pushable"};
	Attachment wanted = {0};
	MiruCollection *existing;

	PreventCommandIfReadOnly("mirusync.create_collection()");
	check_not_null(fcinfo, lengthof(names), names);
	wanted.relid = miru_table_oid("document");
	wanted.collection = text_to_cstring(PG_GETARG_TEXT_PP(0));
	wanted.rule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	wanted.pushable = PG_GETARG_BOOL(2);
	check_collection_name(wanted.collection);
	check_rule(wanted.rule);

	/* Called at every start of an application, this takes no lock. */
	existing = miru_collection_get(wanted.collection);
	if (existing == NULL)
	{
		lock_registry();
		clear_dropped();
		existing = miru_collection_get(wanted.collection);
	}
	if (existing != NULL && is_same(existing, &wanted))
		PG_RETURN_VOID();
	if (existing != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("collection \"%s\" already exists", wanted.collection),
				 existing->relid == wanted.relid
					 ? errdetail("Its rule is \"%s\" and devices %s change it.",
								 existing->rule,
								 existing->pushable ? "may" : "may not")
					 : errdetail("It is kept in table \"%s\".",
								 get_rel_name(existing->relid))));
	insert_collection(&wanted);
	registry_written();
	PG_RETURN_VOID();
}
