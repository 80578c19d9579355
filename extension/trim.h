/*
 * trim.h
 *     Trimming: old history and old tombstones go, as retention says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TRIM_H
#define MIRUSYNC_TRIM_H

#include "datatype/timestamp.h"

/*
 * miru_trim trims a feed, or all if that is NULL.  It looks at "batch" rows in
 * a transaction, and does not go above what devices have said to have seen that
 * were there within "active".  It commits, so the transaction it is called in
 * must have nothing to lose.
 */
extern void miru_trim(const char *feed, int64 batch, const Interval *active);

#endif /* MIRUSYNC_TRIM_H */
