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
	Jsonb *field_rules; /* of fields that have one of their own, or NULL */
	int64 skew_ms;		/* 0: none */
	int64 base;			/* below 0: not known */
	Jsonb *from;
	Jsonb *to;
	int64 previous;			 /* number of the record's former change; 0: none */
	const char *application; /* of a write by SQL */
	int64 number;			 /* the device's own; 0: none */
	const char *verdict;	 /* of a push */
	uint8
		*chain;	 /* hash of the change before, becomes this one's; NULL: none */
	bool erased; /* set when read: what it said is not known */
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
 * miru_change_log_read reads of a change what undoing it needs: kind, device,
 * rule, values and the former change.  False if history does not go back to
 * it.
 */
extern bool miru_change_log_read(MiruTable *table, const char *feed, int64 seq,
								 Snapshot snapshot, MiruLogEntry *entry);

/*
 * miru_change_log_walk calls "each" for a feed's changes above "after" up to
 * "upto", in order, with their transaction.  The entry has collection, id,
 * seq, kind, session, from, to and erased, in the current memory context.
 */
extern void miru_change_log_walk(
	const char *feed, int64 after, int64 upto, Snapshot snapshot,
	void (*each)(void *arg, const MiruLogEntry *entry, uint64 xid), void *arg);

/*
 * miru_change_log_trim deletes changes above "from" and up to "last", each
 * collection's up to its own number.  It looks at most at "max" rows; returns at
 * how many, and moves "from" on.  The caller has locked the feed.
 */
extern int64 miru_change_log_trim(const char *feed, int64 *from, int64 last,
								  int64 max, MiruTrimUpto upto, void *arg);

/*
 * miru_change_log_erase takes from a change what it says, under the number of
 * the erasure; false if that was done, or it is not there.  The caller has
 * locked the feed.
 */
extern bool miru_change_log_erase(MiruTable *table, const char *feed, int64 seq,
								  int64 erasure);

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
