/*
 * flush.h
 *     Turns the rows that a transaction changed into numbered changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FLUSH_H
#define MIRUSYNC_FLUSH_H

#include "nodes/pg_list.h"

/*
 * miru_flush numbers everything noted so far and returns the feeds' new
 * changes (MiruDelivery, per feed in order) if asked to collect them, in the
 * current memory context.  With "ring" the feeds' doorbells are noted, to be
 * rung when the transaction commits.
 */
extern List *miru_flush(bool collect, bool ring);

/* miru_flush_before_commit is the transaction's last flush. */
extern void miru_flush_before_commit(bool ring);

#endif /* MIRUSYNC_FLUSH_H */
