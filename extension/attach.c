/*
 * attach.c
 *     Attaching tables, detaching them, and naming collections.
 *
 * To attach a table is to put two triggers on it (attach_trigger.c) and to
 * write down what they are for (attached.c, attach_columns.c), after checking
 * that it can be (attach_check.c).
 *
 * Ordering and locks: mirusync.attached first, kept to the end of the
 * transaction, so that of these functions one runs at a time; then the table,
 * against writers while it is attached and against everybody while it is
 * detached.  Ownership is checked before any lock is waited for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/relation.h"
#include "attach_check.h"
#include "attach_columns.h"
#include "attach_trigger.h"
#include "attached.h"
#include "capture.h"
#include "catalog/pg_inherits.h"
#include "epoch.h"
#include "miscadmin.h"
#include "partition.h"
#include "registry.h"
#include "serving.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(mirusync_attach_0_2);
PG_FUNCTION_INFO_V1(mirusync_detach_0_2);
PG_FUNCTION_INFO_V1(mirusync_create_collection_0_2);

/* check_partitions sees that all that is below a table can be attached. */
static void
check_partitions(Oid relid)
{
	ListCell *cell;

	foreach(cell, miru_partition_tables(relid, ShareRowExclusiveLock))
	{
		Relation rel;

		if (lfirst_oid(cell) == relid)
			continue;
		rel = relation_open(lfirst_oid(cell), NoLock);
		/* It gets no triggers any more. */
		if (PartitionHasPendingDetach(lfirst_oid(cell)))
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" is being detached",
						RelationGetRelationName(rel)),
				 errhint(
					 "Use ALTER TABLE ... DETACH PARTITION ... FINALIZE to complete the pending detach operation.")));
		miru_check_partition(rel);
		relation_close(rel, NoLock);
	}
}

static void
attach_table(MiruAttachment *attachment)
{
	Relation rel = miru_open_own_table(attachment->relid,
									   ShareRowExclusiveLock);
	miru_check_kind(rel);
	miru_check_persistence(rel);
	miru_attached_clear_dropped();
	if (miru_is_attached(attachment->relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("table \"%s\" is already attached",
					RelationGetRelationName(rel)),
			 errhint(
				 "To attach it in another way, detach it first with mirusync.detach().")));
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		check_partitions(attachment->relid);
	miru_check_primary_key(rel);
	miru_check_feed_column(rel, attachment->feed_column);
	if (attachment->collection == NULL)
		attachment->collection = pstrdup(RelationGetRelationName(rel));
	miru_check_collection_name(attachment->collection);
	miru_check_collection_free(attachment->collection);
	miru_warn_of_policies(rel, attachment->feed_column);
	miru_columns_choose(rel, attachment);
	relation_close(rel, NoLock);

	miru_triggers_create(attachment->relid);
	miru_attached_insert(attachment);
	miru_collection_insert(attachment);
	if (!attachment->backfill)
		miru_serving_open(attachment->collection);
	CacheInvalidateRelcacheByRelid(attachment->relid);
	miru_registry_written();

	if (attachment->backfill)
		miru_capture_existing(attachment->relid);
	/* A backup taken from now on has the epoch. */
	(void) miru_epoch_current();
}

/*
 * mirusync.attach(relation, feed, collection, rule, role, pushable, columns,
 * excluding, backfill)
 */
Datum
mirusync_attach_0_2(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"relation", "feed", NULL,
										"rule",		NULL,	"pushable",
										NULL,		NULL,	"backfill"};
	MiruAttachment attachment;

	/* Version 0.1.0 passes fewer arguments. */
	miru_extension_check();
	PreventCommandIfReadOnly("mirusync.attach()");
	miru_check_not_null(fcinfo, lengthof(names), names);
	attachment.relid = PG_GETARG_OID(0);
	attachment.feed_column = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	attachment.collection = PG_ARGISNULL(2)
		? NULL
		: text_to_cstring(PG_GETARG_TEXT_PP(2));
	attachment.rule = text_to_cstring(PG_GETARG_TEXT_PP(3));
	attachment.role = PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4);
	attachment.pushable = PG_GETARG_BOOL(5);
	miru_columns_take(fcinfo, 6, &attachment);
	attachment.backfill = PG_GETARG_BOOL(8);

	miru_check_rule(attachment.rule);
	miru_check_role(attachment.role);
	attach_table(&attachment);
	PG_RETURN_VOID();
}

/* mirusync.detach(relation) */
Datum
mirusync_detach_0_2(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"relation"};
	Oid relid;
	Relation rel;

	PreventCommandIfReadOnly("mirusync.detach()");
	miru_check_not_null(fcinfo, lengthof(names), names);
	relid = PG_GETARG_OID(0);
	rel = miru_open_own_table(relid, AccessExclusiveLock);

	if (relid == miru_table_oid("document"))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot detach the document store")));
	miru_check_attached(rel);
	relation_close(rel, NoLock);

	(void) miru_partition_leaves(relid, AccessExclusiveLock);
	miru_triggers_drop(relid);
	miru_attached_delete(relid);
	CacheInvalidateRelcacheByRelid(relid);
	miru_registry_written();
	PG_RETURN_VOID();
}

/* is_same tells whether a collection is what create_collection would make. */
static bool
is_same(const MiruCollection *collection, const MiruAttachment *wanted)
{
	return collection->relid == wanted->relid &&
		strcmp(miru_rule_name(collection->default_rule), wanted->rule) == 0 &&
		collection->pushable == wanted->pushable;
}

/* mirusync.create_collection(name, rule, pushable) */
Datum
mirusync_create_collection_0_2(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"name", "rule", "pushable"};
	MiruAttachment wanted = {0};
	MiruCollection *existing;

	PreventCommandIfReadOnly("mirusync.create_collection()");
	miru_check_not_null(fcinfo, lengthof(names), names);
	wanted.relid = miru_table_oid("document");
	wanted.collection = text_to_cstring(PG_GETARG_TEXT_PP(0));
	wanted.rule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	wanted.pushable = PG_GETARG_BOOL(2);
	miru_check_collection_name(wanted.collection);
	miru_check_rule(wanted.rule);

	/* Called at every start of an application, this takes no lock. */
	existing = miru_collection_get(wanted.collection);
	if (existing == NULL)
	{
		miru_registry_lock();
		miru_attached_clear_dropped();
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
								 miru_rule_name(existing->default_rule),
								 existing->pushable ? "may" : "may not")
					 : errdetail("It is kept in table \"%s\".",
								 get_rel_name(existing->relid))));
	miru_collection_insert(&wanted);
	miru_registry_written();
	(void) miru_epoch_current();
	PG_RETURN_VOID();
}
