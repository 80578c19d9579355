/*
 * attach_trigger.h
 *     The triggers of attached tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ATTACH_TRIGGER_H
#define MIRUSYNC_ATTACH_TRIGGER_H

#include "postgres.h"

typedef enum MiruTriggerKind
{
	MIRU_TRIGGER_ROW,	  /* for each changed row */
	MIRU_TRIGGER_TRUNCATE /* before TRUNCATE */
} MiruTriggerKind;

/* A trigger of ours. */
typedef struct MiruTrigger
{
	Oid oid;
	Oid relid;
	NameData name;
	MiruTriggerKind kind;
	char enabled; /* TRIGGER_FIRES_... */
} MiruTrigger;

/*
 * miru_triggers_create puts our triggers on a table and its partitions.  Some
 * may be there already, if the table was restored without the registry.
 */
extern void miru_triggers_create(Oid relid);
extern void miru_triggers_drop(Oid relid);

/* The same for what a partition has of its own. */
extern void miru_trigger_of_truncate(Oid leaf);
extern void miru_trigger_of_truncate_drop(Oid leaf);

/* miru_trigger_get describes a trigger; false if it is none of ours. */
extern bool miru_trigger_get(Oid oid, MiruTrigger *trigger);

/* miru_trigger_find finds ours of a table, whatever it is called now. */
extern bool
miru_trigger_find(Oid relid, MiruTriggerKind kind, MiruTrigger *trigger);

#endif /* MIRUSYNC_ATTACH_TRIGGER_H */
