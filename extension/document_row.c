/*
 * document_row.c
 *     Inserting the row of a new document without a statement.
 *
 * Most pushed changes are new documents, and an INSERT through SPI costs two
 * or three times what the row and its index entry cost.  So it is done as a
 * subscription of logical replication does it: with the executor's own
 * functions, but without planning and starting a query.
 *
 * Only where that cannot be told from INSERT: a plain table whose columns are
 * all given, and no rules, row security, triggers that it would not fire, or
 * hook that checks rights.  An administrator may add any of these to the
 * document store; then target.c inserts.
 *
 * There is no ON CONFLICT here either, which looks for the key once more and
 * writes more WAL.  If somebody else was faster the unique violation is
 * thrown, and the caller does all again in another subtransaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "acting.h"
#include "commands/trigger.h"
#include "compat.h"
#include "document_row.h"
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
	for (int i = 0; i < rel->key_count; i++)
	{
		if (rel->keys[i].attnum == column->attnum)
			return true;
	}
	return column->attnum == rel->data_attnum;
}

static bool
is_plain(MiruRelation *rel, Relation heap)
{
	TupleDesc desc = RelationGetDescr(heap);
	TriggerDesc *triggers = heap->trigdesc;

	if (heap->rd_rel->relkind != RELKIND_RELATION || heap->rd_rules != NULL ||
		heap->rd_rel->relrowsecurity || ExecutorCheckPerms_hook != NULL)
		return false;
	if (triggers != NULL &&
		(triggers->trig_insert_before_row ||
		 triggers->trig_insert_before_statement ||
		 triggers->trig_insert_after_statement ||
		 triggers->trig_insert_new_table))
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

/* insert fires the AFTER triggers too, that of capture among them. */
static bool
insert(Relation heap, MiruTarget *target, Jsonb *object)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(heap, &estate->es_tupleTable);
	bool is_immediate;

	InitResultRelInfo(info, heap, 0, NULL, 0);
	estate->es_opened_result_relations = list_make1(info);
	estate->es_output_cid = GetCurrentCommandId(true);
	ExecOpenIndices(info, false);
	is_immediate = !has_deferrable(info);
	if (is_immediate)
	{
		fill(slot, target, object);
		AfterTriggerBeginQuery();
		ExecSimpleRelationInsert(info, estate, slot);
		AfterTriggerEndQuery(estate);
	}
	ExecCloseIndices(info);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	return is_immediate;
}

bool
miru_document_row_insert(MiruTarget *target, Jsonb *object)
{
	MiruRelation *rel = target->rel;
	Oid role = miru_target_role(target->collection, rel);
	Relation heap;
	MiruActing saved;
	bool done;

	/* ON CONFLICT needs the right to read as well. */
	if (rel->data_attnum == 0 ||
		pg_class_aclmask(rel->relid, role, ACL_INSERT | ACL_SELECT,
						 ACLMASK_ALL) != (ACL_INSERT | ACL_SELECT))
		return false;
	heap = table_open(rel->relid, RowExclusiveLock);
	if (!is_plain(rel, heap))
	{
		table_close(heap, NoLock);
		return false;
	}
	PreventCommandIfReadOnly("INSERT");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	miru_act_as(role, &saved);
	done = insert(heap, target, object);
	miru_act_end(&saved);
	PopActiveSnapshot();
	CommandCounterIncrement();
	table_close(heap, NoLock);
	return done;
}
