/*
 * backfill.h
 *     Collections whose rows are being numbered while the application writes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BACKFILL_H
#define MIRUSYNC_BACKFILL_H

/*
 * miru_backfill_open says that no feed has the collection yet, though its
 * table has rows.  miru_backfill_forget removes all that is known of it.
 */
extern void miru_backfill_open(const char *collection);
extern void miru_backfill_forget(const char *collection);

/* miru_backfill_is_open tells whether some feed may not have it yet. */
extern bool miru_backfill_is_open(const char *collection);

/*
 * miru_backfill_is_served tells whether a feed has the rows of a collection
 * that is open.  If not, it is put on the list with "list", for which the
 * caller must hold the lock of the feed.
 */
extern bool
miru_backfill_is_served(const char *collection, const char *feed, bool list);

/* miru_backfill_check_served throws 55P03 where it is not: try again. */
extern void
miru_backfill_check_served(const char *collection, const char *feed);

#endif /* MIRUSYNC_BACKFILL_H */
