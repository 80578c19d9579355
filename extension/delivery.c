/*
 * delivery.c
 *     One change as it is to be delivered.
 *
 * Owns no table.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "delivery.h"
#include "nodes/value.h"
#include "object.h"

/* copy_names returns the names of changed fields, String. */
static List *
copy_names(List *changes)
{
	List *names = NIL;
	ListCell *cell;

	foreach(cell, changes)
		names = lappend(names,
						makeString(
							pstrdup(((MiruFieldChange *) lfirst(cell))->name)));
	return names;
}

MiruDelivery *
miru_delivery_make(const MiruRecord *record, const Jsonb *object, List *changes,
				   const Jsonb *changed)
{
	MiruDelivery *delivery = palloc0(sizeof(MiruDelivery));

	delivery->feed = pstrdup(record->feed);
	delivery->after = record->seq - 1;
	delivery->seq = record->seq;
	delivery->part_of = record->part_of;
	delivery->collection = pstrdup(record->collection);
	delivery->id = pstrdup(record->id);
	delivery->deleted = record->deleted;
	delivery->by_sql = miru_stamps_by_sql(record->stamps);
	delivery->clock = record->clock;
	delivery->object = miru_object_copy(object);
	delivery->changed = miru_object_copy(changed);
	delivery->changed_names = copy_names(changes);
	return delivery;
}
