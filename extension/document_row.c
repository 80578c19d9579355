/*
 * document_row.c
 *     Locking and writing the row of a document without a statement.
 *
 * Most pushed changes are of documents, and an INSERT through SPI costs two
 * or three times what the row and its index entry cost.  So it is done as a
 * subscription of logical replication does it: with the executor's own
 * functions, but without planning and starting a query.
 *
 * Only where that cannot be told from a statement: a plain table whose columns
 * are all given, and no rules, row security, triggers that would not fire, or
 * hook that checks rights.  An administrator may add any of these to the
 * document store; then target.c does it.
 *
 * There is no ON CONFLICT here either, which looks for the key once more and
 * writes more WAL.  If somebody else was faster the unique violation is
 * thrown, and the caller does all again in another subtransaction.
 *
 * Locking works on the row's latest version, which in REPEATABLE READ would be
 * an error; there, too, target.c does it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "acting.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "document_row.h"
#include "key.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* is_given tells whether a column takes the value that it is given as it is. */
static bool
is_given(MiruRelation *rel, Form_pg_attribute column)
{
	if (column->attisdropped || column->attgenerated || column->attidentity ||
		column->atttypmod != -1)
		return false;
	/* Of these, equal keys are the same. */
	for (int i = 0; i < rel->key_count; i++)
	{
		if (rel->keys[i].attnum == column->attnum)
			return column->atttypid == TEXTOID &&
				column->attcollation == C_COLLATION_OID;
	}
	return column->attnum == rel->data_attnum;
}

static bool
has_other_triggers(const TriggerDesc *triggers)
{
	return triggers != NULL &&
		(triggers->trig_insert_before_row ||
		 triggers->trig_insert_before_statement ||
		 triggers->trig_insert_after_statement ||
		 triggers->trig_insert_new_table || triggers->trig_update_before_row ||
		 triggers->trig_update_before_statement ||
		 triggers->trig_update_after_statement ||
		 triggers->trig_update_old_table || triggers->trig_update_new_table);
}

static bool
is_plain(MiruRelation *rel, Relation heap)
{
	TupleDesc desc = RelationGetDescr(heap);

	if (heap->rd_rel->relkind != RELKIND_RELATION || heap->rd_rules != NULL ||
		heap->rd_rel->relrowsecurity || ExecutorCheckPerms_hook != NULL ||
		has_other_triggers(heap->trigdesc))
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		if (!is_given(rel, TupleDescAttr(desc, i)))
			return false;
	}
	return true;
}

static void
fill(TupleTableSlot *slot, MiruTarget *target, Jsonb *object)
{
	MiruRelation *rel = target->rel;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < rel->key_count; i++)
		slot->tts_values[rel->keys[i].attnum - 1] = target->key[i];
	slot->tts_values[rel->data_attnum - 1] = JsonbPGetDatum(object);
	ExecStoreVirtualTuple(slot);
}

/* has_deferrable tells whether a key is checked later than an INSERT. */
static bool
has_deferrable(const ResultRelInfo *info)
{
	for (int i = 0; i < info->ri_NumIndices; i++)
	{
		if (!info->ri_IndexRelationDescs[i]->rd_index->indimmediate)
			return true;
	}
	return false;
}

/*
 * open_plain opens the table if all of this can be done by the role; NULL: by
 * a statement then.  What statements ask for is no more than these rights.
 */
static Relation
open_plain(MiruTarget *target, AclMode rights, LOCKMODE lock)
{
	MiruRelation *rel = target->rel;
	Oid role = miru_target_role(target->collection, rel);
	Relation heap;

	if (rel->data_attnum == 0 ||
		pg_class_aclmask(rel->relid, role, rights, ACLMASK_ALL) != rights)
		return NULL;
	heap = table_open(rel->relid, lock);
	if (is_plain(rel, heap))
		return heap;
	table_close(heap, NoLock);
	return NULL;
}

/* find finds the row of the target's key under a snapshot. */
static HeapTuple
find(Relation heap, MiruTarget *target, Snapshot snapshot)
{
	Relation index = index_open(target->rel->key_index, AccessShareLock);
	HeapTuple row = miru_row_fetch(target->rel, heap, index, target->key,
								   snapshot);

	index_close(index, AccessShareLock);
	return row;
}

/*
 * write_row inserts the row, or updates the version of it that is given.  It fires
 * the AFTER triggers too, that of capture among them.
 */
static bool
write_row(Relation heap, MiruTarget *target, HeapTuple old, Jsonb *object)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(heap, &estate->es_tupleTable);
	TupleTableSlot *former = table_slot_create(heap, &estate->es_tupleTable);
	bool is_immediate;

	InitResultRelInfo(info, heap, 0, NULL, 0);
	estate->es_opened_result_relations = list_make1(info);
	estate->es_snapshot = GetActiveSnapshot();
	estate->es_output_cid = GetCurrentCommandId(true);
	ExecOpenIndices(info, false);
	is_immediate = !has_deferrable(info);
	if (is_immediate)
	{
		fill(slot, target, object);
		AfterTriggerBeginQuery();
		if (old == NULL)
			ExecSimpleRelationInsert(info, estate, slot);
		else
		{
			former->tts_tid = old->t_self;
			ExecSimpleRelationUpdate(info, estate, NULL, former, slot);
		}
		AfterTriggerEndQuery(estate);
	}
	ExecCloseIndices(info);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	return is_immediate;
}

/* write_as_role does it as a statement of the collection's role would. */
static bool
write_as_role(Relation heap, MiruTarget *target, bool updates, Jsonb *object)
{
	HeapTuple old = NULL;
	MiruActing saved;
	bool done = true;

	PreventCommandIfReadOnly(updates ? "UPDATE" : "INSERT");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (updates)
	{
		old = find(heap, target, GetActiveSnapshot());
		done = old != NULL;
	}
	if (done)
	{
		miru_act_as(miru_target_role(target->collection, target->rel), &saved);
		done = write_row(heap, target, old, object);
		miru_act_end(&saved);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();
	return done;
}

bool
miru_document_row_insert(MiruTarget *target, Jsonb *object)
{
	/* ON CONFLICT needs the right to read as well. */
	Relation heap = open_plain(target, ACL_INSERT | ACL_SELECT,
							   RowExclusiveLock);
	bool done;

	if (heap == NULL)
		return false;
	done = write_as_role(heap, target, false, object);
	table_close(heap, NoLock);
	return done;
}

bool
miru_document_row_update(MiruTarget *target, Jsonb *object)
{
	Relation heap;
	bool done;

	if (IsolationUsesXactSnapshot())
		return false;
	heap = open_plain(target, ACL_UPDATE | ACL_SELECT, RowExclusiveLock);
	if (heap == NULL)
		return false;
	done = write_as_role(heap, target, true, object);
	table_close(heap, NoLock);
	return done;
}

/* lock_latest locks the row's latest version, unless it is gone. */
static bool
lock_latest(Relation heap, MiruTarget *target)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	Snapshot snapshot = GetActiveSnapshot();
	HeapTuple row = find(heap, target, snapshot);
	TM_FailureData failure;
	TM_Result result = TM_Deleted;

	if (row != NULL)
		result = table_tuple_lock(heap, &row->t_self, snapshot, slot,
								  GetCurrentCommandId(false),
								  LockTupleNoKeyExclusive, LockWaitBlock,
								  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	/* An UPDATE that moved the row to another key has deleted this one. */
	if (result == TM_Ok && failure.traversed)
	{
		row = find(heap, target, SnapshotSelf);
		if (row == NULL || !ItemPointerEquals(&row->t_self, &slot->tts_tid))
			result = TM_Deleted;
	}
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok;
}

bool
miru_document_row_lock(MiruTarget *target, bool *found)
{
	Relation heap;

	if (IsolationUsesXactSnapshot())
		return false;
	heap = open_plain(target, ACL_UPDATE | ACL_SELECT, RowShareLock);
	if (heap == NULL)
		return false;
	PreventCommandIfReadOnly("SELECT FOR NO KEY UPDATE");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	*found = lock_latest(heap, target);
	PopActiveSnapshot();
	table_close(heap, NoLock);
	return true;
}
