/*
 * attach_check.c
 *     What can be attached, by whom, and how.
 *
 * The owner of a table may attach it, so what is checked here is checked for
 * the calling user, who needs no right on mirusync's own tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "attach_check.h"
#include "attached.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "compat.h"
#include "merge_rules.h"
#include "miscadmin.h"
#include "registry.h"
#include "registry_table.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

void
miru_check_not_null(FunctionCallInfo fcinfo, int count,
					const char *const *names)
{
	for (int i = 0; i < count; i++)
	{
		if (names[i] != NULL && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i])));
	}
}

void
miru_check_collection_name(const char *name)
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

void
miru_check_rule(const char *rule)
{
	MiruRule parsed;

	if (!miru_rule_parse(rule, &parsed))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown rule \"%s\"", rule),
			 errhint(
				 "The rules are \"lww\", \"lww_field\", \"first_wins\", \"server_wins\" and \"manual\", and for single fields also \"max\", \"min\", \"counter\", \"set\" or a function with its schema.")));
	if (!miru_rule_is_for_collections(parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rule \"%s\" is for single fields", rule),
				 errhint("Use mirusync.set_rule() with a field.")));
}

/* miru_check_collection_free throws when the name is taken. */
void
miru_check_collection_free(const char *name)
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
 * miru_check_role throws unless the calling user could act as the role: pushes
 * will, and attaching a table must not be a way to become somebody else.
 */
void
miru_check_role(Oid role)
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

/* miru_open_own_table opens and locks a relation that the calling user owns. */
Relation
miru_open_own_table(Oid relid, LOCKMODE lock)
{
	Relation rel;

	check_owner(relid);
	miru_registry_lock();
	rel = try_relation_open(relid, lock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));

	/* It may have been given away while its lock was waited for. */
	check_owner(relid);
	return rel;
}

void
miru_check_attached(Relation rel)
{
	if (!miru_is_attached(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not attached",
						RelationGetRelationName(rel))));
}

/* check_no_partition throws when the relation is a partition. */
static void
check_no_partition(Relation rel)
{
	Oid top = RelationGetRelid(rel);

	if (!rel->rd_rel->relispartition)
		return;
	while (get_rel_relispartition(top))
		top = get_partition_parent(top, true);
	ereport(
		ERROR,
		(errcode(ERRCODE_WRONG_OBJECT_TYPE),
		 errmsg("cannot attach partition \"%s\"", RelationGetRelationName(rel)),
		 errdetail(
			 "Its rows are also rows of the partitioned table, which is attached as a whole."),
		 errhint("Attach table \"%s\".", get_rel_name(top))));
}

/* why_no_table says why a kind of relation has no rows to attach. */
static const char *
why_no_table(char kind)
{
	switch (kind)
	{
		case RELKIND_VIEW:
			return "A view has no rows of its own: attach the tables that it reads.";
		case RELKIND_MATVIEW:
			return "A materialized view fires no triggers when it is refreshed.";
		case RELKIND_FOREIGN_TABLE:
			return "Rows of a foreign table also change where no trigger of this database sees it.";
		default:
			return "Only tables have rows that can be attached.";
	}
}

/*
 * miru_check_kind throws unless the relation is an ordinary or a partitioned
 * table.
 */
void
miru_check_kind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	char kind = rel->rd_rel->relkind;

	check_no_partition(rel);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name),
				 errdetail_internal("%s", why_no_table(kind))));
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
	if (has_superclass(RelationGetRelid(rel)))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach table \"%s\"", name),
			 errdetail(
				 "It inherits from another table, whose rows include its own.")));
	miru_check_no_heirs(rel);
}

void
miru_check_no_heirs(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach table \"%s\"", RelationGetRelationName(rel)),
			 errdetail(
				 "Its rows would include those of tables that inherit from it, which its triggers do not see.")));
}

void
miru_check_partition(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	char kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" cannot be a partition of a table that is attached",
					name),
			 errdetail_internal("%s", why_no_table(kind))));
	if (miru_is_attached(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("partition \"%s\" is attached by itself", name),
				 errhint("Detach it first with mirusync.detach().")));
	miru_check_persistence(rel);
}

/* miru_check_persistence throws unless the table is there after a crash. */
void
miru_check_persistence(Relation rel)
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

void
miru_check_primary_key(Relation rel)
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
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("primary key of table \"%s\" is not valid",
						RelationGetRelationName(rel)),
				 errdetail("Not every partition has an index for it."),
				 errhint("Use ALTER INDEX ... ATTACH PARTITION.")));
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

void
miru_check_feed_column(Relation rel, const char *name)
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

/* read_policy returns the name of a policy about reading, NULL if none is. */
static char *
read_policy(Relation rel)
{
	Relation policies = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *name = NULL;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(policies, PolicyPolrelidPolnameIndexId, true,
							  NULL, 1, &key);
	while (name == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy policy = (Form_pg_policy) GETSTRUCT(tuple);

		if (policy->polcmd == '*' || policy->polcmd == ACL_SELECT_CHR)
			name = pstrdup(NameStr(policy->polname));
	}
	systable_endscan(scan);
	table_close(policies, AccessShareLock);
	return name;
}

/*
 * miru_warn_of_policies says what row-level security does not do here.  A
 * policy may be there before row security is enabled.
 */
void
miru_warn_of_policies(Relation rel, const char *feed_column)
{
	char *policy = read_policy(rel);

	if (policy == NULL && !rel->rd_rel->relrowsecurity)
		return;
	ereport(
		WARNING,
		(errcode(ERRCODE_WARNING),
		 policy != NULL
			 ? errmsg(
				   "policy \"%s\" of table \"%s\" does not limit what devices read",
				   policy, RelationGetRelationName(rel))
			 : errmsg(
				   "row-level security of table \"%s\" does not limit what devices read",
				   RelationGetRelationName(rel)),
		 errdetail(
			 "A user's devices read every row whose column \"%s\" names that user's feed.",
			 feed_column)));
}
