/*
 * compat.h
 *     Every difference between the majors of Postgres, 15 to 18.
 *
 * Only 15 has been built so far; the rest follows the headers of the later
 * releases and is claimed when it has been built.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_COMPAT_H
#define MIRUSYNC_COMPAT_H

#include "access/attmap.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "executor/executor.h"
#include "utils/acl.h"
#include "utils/regproc.h"

#if PG_VERSION_NUM >= 180000
#define miru_index_beginscan(heap, index, snapshot, nkeys)                     \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define miru_index_beginscan(heap, index, snapshot, nkeys)                     \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

#if PG_VERSION_NUM >= 160000
#define miru_insert_index_tuples(info, slot, estate, conflict)                 \
	ExecInsertIndexTuples(info, slot, estate, false, true, conflict, NIL, false)
#define miru_is_table_owner(relid, role)                                       \
	object_ownercheck(RelationRelationId, relid, role)
#define miru_is_database_owner(database, role)                                 \
	object_ownercheck(DatabaseRelationId, database, role)
#define miru_may_act_as(user, role) member_can_set_role(user, role)
#define miru_function_aclcheck(function, role)                                 \
	object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE)
#else
#define miru_insert_index_tuples(info, slot, estate, conflict)                 \
	ExecInsertIndexTuples(info, slot, estate, false, true, conflict, NIL)
#define miru_is_table_owner(relid, role) pg_class_ownercheck(relid, role)
#define miru_is_database_owner(database, role)                                 \
	pg_database_ownercheck(database, role)
#define miru_may_act_as(user, role) is_member_of_role(user, role)
#define miru_function_aclcheck(function, role)                                 \
	pg_proc_aclcheck(function, role, ACL_EXECUTE)
#endif

#if PG_VERSION_NUM >= 180000
#define miru_check_index_constraints(info, slot, estate, tid)                  \
	ExecCheckIndexConstraints(info, slot, estate, tid, NULL, NIL)
#else
#define miru_check_index_constraints(info, slot, estate, tid)                  \
	ExecCheckIndexConstraints(info, slot, estate, tid, NIL)
#endif

#if PG_VERSION_NUM >= 160000
#define miru_build_attrmap(from, to)                                           \
	build_attrmap_by_name_if_req(from, to, false)
#else
#define miru_build_attrmap(from, to) build_attrmap_by_name_if_req(from, to)
#endif

#if PG_VERSION_NUM >= 160000
#define miru_relation_file(heap)	 ((heap)->rd_locator.relNumber)
#define miru_relation_new_file(heap) ((heap)->rd_firstRelfilelocatorSubid)
#else
#define miru_relation_file(heap)	 ((heap)->rd_node.relNode)
#define miru_relation_new_file(heap) ((heap)->rd_firstRelfilenodeSubid)
#endif

#if PG_VERSION_NUM >= 160000
#define miru_qualified_name(text) stringToQualifiedNameList(text, NULL)
#else
#define miru_qualified_name(text) stringToQualifiedNameList(text)
#endif

/*
 * miru_heap_update tells whether the new version needs entries in indexes, be
 * it in summarizing ones only.
 */
static inline bool
miru_heap_update(Relation heap, ItemPointer old, HeapTuple tuple,
				 bool *summarizing)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update_indexes;

	simple_heap_update(heap, old, tuple, &update_indexes);
	*summarizing = update_indexes == TU_Summarizing;
	return update_indexes != TU_None;
#else
	simple_heap_update(heap, old, tuple);
	*summarizing = false;
	return !HeapTupleIsHeapOnly(tuple);
#endif
}

#if PG_VERSION_NUM >= 160000
#define miru_is_summarizing(info) ((info)->ii_Summarizing)
#else
#define miru_is_summarizing(info) false
#endif

#endif /* MIRUSYNC_COMPAT_H */
