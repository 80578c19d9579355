/*
 * feed.h
 *     Feeds: their heads, and the lock that orders their changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FEED_H
#define MIRUSYNC_FEED_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "table.h"

/* Columns of mirusync.feed. */
enum
{
	FEED_NAME = 1,
	FEED_HEAD,
	FEED_FLOOR,
	FEED_CHANGED_AT,
	FEED_EPOCH,
	FEED_EPOCH_HEAD,
	FEED_COLUMNS = FEED_EPOCH_HEAD
};

/*
 * A feed that this transaction has locked.  There is one for each feed of a
 * transaction, so it is small: the row is read again when it is written.
 */
typedef struct MiruFeed
{
	char *name;
	ItemPointerData tid;	/* of the version that is locked */
	int64 locked_head;		/* head when it was locked */
	int64 head;				/* number of the latest change now */
	TimestampTz changed_at; /* time of the changes being numbered */
	int group;				/* group of the latest change, -1: none */
	int64 group_start;		/* number of that group's first change */
} MiruFeed;

/*
 * miru_feed_lock locks the feed's row until the transaction ends, creating it
 * if needed, and reads its head.  Callers lock in the order of strcmp, and
 * may reset the memory context afterwards; the name is not copied.
 */
extern void
miru_feed_lock(MiruTable *table, MiruFeed *feed, char *name, TimestampTz now);

/* miru_feed_store writes the new head back, if it has moved. */
extern void miru_feed_store(MiruTable *table, MiruFeed *feed);

/* miru_feed_read reads head and epoch; false if the feed does not exist. */
extern bool
miru_feed_read(const char *name, Snapshot snapshot, int64 *head, char **epoch);

#endif /* MIRUSYNC_FEED_H */
