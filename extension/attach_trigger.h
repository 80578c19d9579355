/*
 * attach_trigger.h
 *     The triggers of attached tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ATTACH_TRIGGER_H
#define MIRUSYNC_ATTACH_TRIGGER_H

#include "postgres.h"

/*
 * miru_triggers_create puts our triggers on a table and its partitions.  Some
 * may be there already, if the table was restored without the registry.
 */
extern void miru_triggers_create(Oid relid);
extern void miru_triggers_drop(Oid relid);

/* The same for what a partition has of its own. */
extern void miru_trigger_of_truncate(Oid leaf);
extern void miru_trigger_of_truncate_drop(Oid leaf);

/* miru_is_trigger_name tells whether a trigger is called like one of ours. */
extern bool miru_is_trigger_name(const char *name);

/* miru_trigger_enabled says when one of ours fires; zero: it is not there. */
extern char miru_trigger_enabled(Oid relid, const char *name);

#endif /* MIRUSYNC_ATTACH_TRIGGER_H */
