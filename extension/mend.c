/*
 * mend.c
 *     Writing to a record what it had before, as whoever asks for it.
 *
 * For resolve(), restore() and undo().  What they write is ordinary SQL of
 * their caller: his rights, the table's constraints, triggers and policies
 * decide, capture makes changes of it, and stamps are those of SQL.  What they
 * have to know of our tables is read as the owner of the extension: who may
 * execute them needs no right on those.
 *
 * Owns no table.  The record's row is locked before anything is asked about
 * it; who wrote it before has numbered that by then.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "errors.h"
#include "executor/spi.h"
#include "flush.h"
#include "key.h"
#include "mend.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "object.h"
#include "origin.h"
#include "serving.h"

/* find sets collection and target; role and lock are still to come. */
static void
find(MiruMend *mend, const char *feed, const char *collection, const char *id)
{
	MiruTarget *target = &mend->target;
	MiruCollection *found = miru_collection_get(collection);

	memset(mend, 0, sizeof(MiruMend));
	target->rel = found ? miru_relation_get(found->relid) : NULL;
	if (target->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("collection \"%s\" does not exist", collection)));
	mend->collection = *found;
	target->collection = &mend->collection;
	target->feed = feed;
	target->id = id;
	miru_key_parse(target->rel, feed, collection, id, target->key);
}

void
miru_mend_begin(MiruMend *mend, const char *feed, const char *collection,
				const char *id)
{
	find(mend, feed, collection, id);
	mend->collection.role = GetUserId();
	mend->target.overriding = true;
	mend->has_row = miru_target_lock(&mend->target);
}

void
miru_mend_begin_pushed(MiruMend *mend, const char *feed, const char *collection,
					   const char *id)
{
	find(mend, feed, collection, id);
	if (!mend->collection.pushable)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_NOT_PUSHABLE),
				 errmsg("collection \"%s\" is read-only", collection)));
	if (mend->target.rel->backfilling)
		miru_serving_check_served(collection, feed);
	mend->has_row = miru_target_lock(&mend->target);
}

static bool
is_writable(MiruRelation *rel, const char *name)
{
	MiruField *field = miru_field_by_name(rel, name);

	return field != NULL && !field->is_key && !field->is_generated;
}

Jsonb *
miru_mend_writable(const MiruMend *mend, Jsonb *object, bool strict)
{
	MiruRelation *rel = mend->target.rel;
	List *names = NIL;
	ListCell *cell;

	if (rel->data_attnum != 0)
		return object;
	foreach(cell, miru_object_names(object))
	{
		if (is_writable(rel, strVal(lfirst(cell))))
			names = lappend(names, lfirst(cell));
		else if (strict)
			ereport(
				ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg(
					 "collection \"%s\" has no field \"%s\" that can be written",
					 mend->collection.name, strVal(lfirst(cell)))));
	}
	return miru_object_pick(object, names);
}

void
miru_mend_insert(MiruMend *mend, Jsonb *object)
{
	if (!miru_target_insert(&mend->target, object))
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("record id \"%s\" of collection \"%s\" is taken",
						mend->target.id, mend->collection.name)));
}

void
miru_mend_update(MiruMend *mend, Jsonb *object, List *gone)
{
	MiruTarget *target = &mend->target;

	if (target->rel->data_attnum != 0)
	{
		Jsonb *document = miru_target_read(target);
		List *kept = list_difference(miru_object_names(document), gone);

		object = miru_object_overlay(miru_object_pick(document, kept), object);
	}
	else if (JB_ROOT_COUNT(object) == 0)
		return;
	miru_target_update(target, object);
}

void
miru_mend_ask(const char *sql, int count, Oid *types, Datum *values,
			  const char *nulls)
{
	Oid user;
	int security;
	int result;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(miru_owner(),
						   security | SECURITY_LOCAL_USERID_CHANGE);
	result = SPI_execute_with_args(sql, count, types, values, nulls, false, 0);
	SetUserIdAndSecContext(user, security);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not ask about history: %s",
			 SPI_result_code_string(result));
}

void
miru_mend_settle(void)
{
	miru_flush(false, true);
}

void
miru_mend_number(const char *label)
{
	miru_origin_set_label(label);
	PG_TRY();
	{
		miru_flush(false, true);
	}
	PG_FINALLY();
	{
		miru_origin_set_label(NULL);
	}
	PG_END_TRY();
}
