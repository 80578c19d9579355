/*
 * attach_check.h
 *     What can be attached, by whom, and how.  Each function throws where it
 *     cannot.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ATTACH_CHECK_H
#define MIRUSYNC_ATTACH_CHECK_H

#include "postgres.h"

#include "fmgr.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* miru_check_not_null checks arguments; those without a name may be null. */
extern void miru_check_not_null(FunctionCallInfo fcinfo, int count,
								const char *const *names);
extern void miru_check_collection_name(const char *name);
extern void miru_check_rule(const char *rule);

/* miru_check_collection_free throws when the name is taken. */
extern void miru_check_collection_free(const char *name);

/* miru_check_role throws unless the calling user could act as the role. */
extern void miru_check_role(Oid role);

/*
 * miru_open_own_table opens and locks a relation that the calling user owns,
 * after the registry.
 */
extern Relation miru_open_own_table(Oid relid, LOCKMODE lock);

/* miru_check_attached throws unless the relation is attached. */
extern void miru_check_attached(Relation rel);

extern void miru_check_kind(Relation rel);
extern void miru_check_persistence(Relation rel);

/* miru_check_no_heirs throws when other tables inherit from the table. */
extern void miru_check_no_heirs(Relation rel);

/* miru_check_partition throws unless a table may be one of an attached one. */
extern void miru_check_partition(Relation rel);
extern void miru_check_primary_key(Relation rel);
extern void miru_check_feed_column(Relation rel, const char *name);

/* miru_warn_of_policies says what row-level security does not do here. */
extern void miru_warn_of_policies(Relation rel, const char *feed_column);

#endif /* MIRUSYNC_ATTACH_CHECK_H */
