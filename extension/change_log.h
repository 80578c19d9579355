/*
 * change_log.h
 *     History: every change of every feed, in order.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CHANGE_LOG_H
#define MIRUSYNC_CHANGE_LOG_H

#include "datatype/timestamp.h"
#include "hlc.h"
#include "table.h"
#include "utils/jsonb.h"

/* An entry to be written; NULL where a text is not known. */
typedef struct MiruLogEntry
{
	const char *feed;
	int64 seq;
	int64 part_of;
	const char *collection;
	const char *id;
	const char *kind; /* "put", "patch" or "delete" */
	Hlc clock;
	TimestampTz at;
	const char *user;
	const char *device;
	const char *session;
	const char *type;
	const char *rule;
	int64 skew_ms; /* 0: none */
	int64 base;	   /* 0: not known */
	Jsonb *from;
	Jsonb *to;
} MiruLogEntry;

extern void miru_change_log_append(MiruTable *table, const MiruLogEntry *entry);

/*
 * miru_change_log_origin finds out of a change what delivery needs: whether
 * it made the record, and the original event's type and session, or NULL.
 * False if history does not go back to it.
 */
extern bool miru_change_log_origin(MiruTable *table, const char *feed,
								   int64 seq, Snapshot snapshot, bool *created,
								   char **type, char **session);

/*
 * miru_change_log_walk calls "each" for a feed's changes above "after" up to
 * "upto", in order, with their transaction.  The entry has collection, id,
 * seq, kind, session, from and to, in the current memory context.
 */
extern void miru_change_log_walk(
	const char *feed, int64 after, int64 upto, Snapshot snapshot,
	void (*each)(void *arg, const MiruLogEntry *entry, uint64 xid), void *arg);

/* miru_change_log_forget is miru_table_forget for history. */
extern int64
miru_change_log_forget(const char *feed, int64 *from, int64 upto, int64 max);

/*
 * miru_change_log_each calls "each" for all that is kept of a collection's
 * changes in a feed, in order.  The entry has collection, id, kind, from and
 * to, and is gone after the call.
 */
extern void
miru_change_log_each(const char *feed, const char *collection,
					 void (*each)(void *arg, const MiruLogEntry *entry),
					 void *arg);

#endif /* MIRUSYNC_CHANGE_LOG_H */
