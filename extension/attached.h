/*
 * attached.h
 *     What is attached, as stored.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ATTACHED_H
#define MIRUSYNC_ATTACHED_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* What attach is asked for. */
typedef struct MiruAttachment
{
	Oid relid;
	char *feed_column;
	char *collection;
	char *rule;
	bool pushable;
	Oid role;		 /* InvalidOid: the table's owner */
	bool sync_added; /* columns added later are synced */
	List *columns;	 /* names, char *: synced; or if sync_added, not */
	bool backfill;	 /* number the rows that are there at once */
} MiruAttachment;

/*
 * miru_registry_lock makes the transaction the only one that changes what is
 * attached.  miru_registry_written makes what was written count, here and
 * elsewhere.
 */
extern void miru_registry_lock(void);
extern void miru_registry_written(void);

extern bool miru_is_attached(Oid relid);
extern void miru_attached_insert(const MiruAttachment *attachment);
extern void miru_collection_insert(const MiruAttachment *attachment);
extern void miru_collection_set_rule(const char *name, const char *rule);
extern void miru_collection_set_delete_rule(const char *name, const char *rule);

/*
 * miru_attached_delete removes all that is known of a table, with the sync
 * state of its records; miru_attached_clear_dropped does so for tables that
 * exist no more.
 */
extern void miru_attached_delete(Oid relid);
extern void miru_attached_clear_dropped(void);

#endif /* MIRUSYNC_ATTACHED_H */
