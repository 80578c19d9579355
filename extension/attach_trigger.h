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
 * miru_triggers_create puts our triggers on a table.  Some may be there
 * already, if the table was restored without the registry.
 */
extern void miru_triggers_create(Oid relid);
extern void miru_triggers_drop(Oid relid);

#endif /* MIRUSYNC_ATTACH_TRIGGER_H */
