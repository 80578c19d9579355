/*
 * feed.h
 *     Feeds: their heads, and the lock that orders their changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FEED_H
#define MIRUSYNC_FEED_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "seal.h"
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
	FEED_HASH,
	FEED_COLUMNS = FEED_HASH
};

/*
 * A feed that this transaction has locked.  There is one for each feed of a
 * transaction, so it is small: the row is read again when it is written.
 */
typedef struct MiruFeed
{
	char *name;
	ItemPointerData tid;		/* of the version that is locked */
	int64 locked_head;			/* head when it was locked */
	int64 head;					/* number of the latest change now */
	int64 floor;				/* as it was locked */
	int32 locked_epoch;			/* epoch of that head */
	int32 epoch;				/* epoch of the numbers taken now */
	TimestampTz changed_at;		/* time of the changes being numbered */
	int group;					/* group of the latest change, -1: none */
	int64 group_start;			/* number of that group's first change */
	bool chained;				/* changes are chained: */
	uint8 hash[MIRU_HASH_SIZE]; /* hash of the latest one */
} MiruFeed;

/* Where a feed stands. */
typedef struct MiruFeedState
{
	int64 head;	  /* 0 if it does not exist */
	int32 epoch;  /* in which the head was numbered; MIRU_NO_EPOCH likewise */
	int64 floor;  /* cursors of earlier epochs below it are too old */
	bool chained; /* changes are chained: */
	uint8 hash[MIRU_HASH_SIZE]; /* hash of the latest one */
} MiruFeedState;

/*
 * miru_feed_lock locks the feed's row until the transaction ends, creating it
 * if needed, and reads its head.  Callers lock in the order of strcmp, and
 * may reset the memory context afterwards; the name is not copied.  What is
 * numbered then belongs to the database's epoch given, or to the feed's if
 * that is later.
 */
extern void miru_feed_lock(MiruTable *table, MiruFeed *feed, char *name,
						   int32 epoch, TimestampTz now);

/* miru_feed_next_number moves the head by one. */
extern int64 miru_feed_next_number(MiruFeed *feed);

/*
 * miru_feed_try_lock locks the feed's row, creating it if needed; false if
 * somebody else has the lock.
 */
extern bool miru_feed_try_lock(MiruTable *table, char *name);

/* miru_feed_store writes the new head back, if it has moved. */
extern void miru_feed_store(MiruTable *table, MiruFeed *feed);

/*
 * miru_feed_set_chained begins a chain at the head of a locked feed, or ends
 * it.
 */
extern void
miru_feed_set_chained(MiruTable *table, MiruFeed *feed, bool chained);

/*
 * miru_feed_restart puts a locked feed into an epoch of its own that begins
 * at 0: every cursor from before starts over.
 */
extern void miru_feed_restart(MiruTable *table, MiruFeed *feed);

/*
 * miru_feed_raise_floor makes cursors below "floor" start over, before
 * tombstones up to it go; false if that cannot be done yet.  It begins an epoch of
 * the feed's own, of which there is at most one an hour.
 */
extern bool
miru_feed_raise_floor(MiruTable *table, MiruFeed *feed, int64 floor);

/* miru_feed_read reads where a feed stands; false if it does not exist. */
extern bool
miru_feed_read(const char *name, Snapshot snapshot, MiruFeedState *state);

/* miru_feed_check throws if there is no such feed. */
extern void miru_feed_check(const char *name);

/*
 * miru_feed_limit returns the highest number that a cursor of an epoch may
 * have: beyond it, what it has seen is not what the feed has.  With
 * MIRU_NO_EPOCH that is the head.
 */
extern int64 miru_feed_limit(const char *name, const MiruFeedState *state,
							 int32 epoch, Snapshot snapshot);

/*
 * miru_feed_is_below tells whether a cursor is below the feed's floor.  One of
 * the feed's own epoch never is: it began when the floor was there already.
 */
extern bool
miru_feed_is_below(const MiruFeedState *state, int32 epoch, int64 number);

/* miru_feed_greatest_epoch reads all feeds for the latest epoch of any. */
extern int32 miru_feed_greatest_epoch(void);

/*
 * miru_feeds_after returns the names of at most "limit" feeds after "after"
 * (NULL: from the first one on), in the order of strcmp.
 */
extern List *miru_feeds_after(const char *after, int limit);

#endif /* MIRUSYNC_FEED_H */
