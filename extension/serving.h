/*
 * serving.h
 *     Which feeds have a collection, while its table is being backfilled.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_SERVING_H
#define MIRUSYNC_SERVING_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* How far the backfill of a collection is. */
typedef struct MiruProgress
{
	TimestampTz started_at; /* 0: it has not begun */
	int64 feeds_total;		/* that had rows when it began */
	int64 feeds_done;
	int64 rows_done;
} MiruProgress;

/*
 * miru_serving_open says that no feed has the collection yet, though its
 * table has rows; miru_serving_close, that all have it.  miru_serving_forget
 * removes all that is known of it, forget_marks what is known of its feeds.
 */
extern void miru_serving_open(const char *collection);
extern void miru_serving_close(const char *collection);
extern void miru_serving_forget(const char *collection);
extern void miru_serving_forget_marks(const char *collection);

/* miru_serving_is_open tells whether some feed may not have it yet. */
extern bool miru_serving_is_open(const char *collection);

/* miru_serving_progress is false if it is not open. */
extern bool
miru_serving_progress(const char *collection, MiruProgress *progress);
extern void
miru_serving_set_progress(const char *collection, const MiruProgress *progress);

/*
 * miru_serving_is_served tells whether a feed has the rows of a collection
 * that is open.  If not, it is put on the list with "list", for which the
 * caller must hold the lock of the feed.
 */
extern bool
miru_serving_is_served(const char *collection, const char *feed, bool list);

/*
 * miru_serving_mark says that it has; false if it had them before.  Caller
 * holds the feed's lock and sees to it.
 */
extern bool miru_serving_mark(const char *collection, const char *feed);

/* miru_serving_check_served throws 55P03 where it has not: try again. */
extern void miru_serving_check_served(const char *collection, const char *feed);

/* miru_serving_listed returns at most "limit" feeds that are on the list. */
extern List *miru_serving_listed(const char *collection, int limit);

#endif /* MIRUSYNC_SERVING_H */
