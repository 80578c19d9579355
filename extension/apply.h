/*
 * apply.h
 *     Merges one pushed change into the row that it is about.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_APPLY_H
#define MIRUSYNC_APPLY_H

#include "change.h"
#include "pusher.h"

/*
 * miru_apply merges and writes one change and sets what became of it.  The
 * number and the winning object come later, from miru_apply_outcome.  Needs a
 * connected SPI and a subtransaction to be rolled back on error: what the
 * table refuses is thrown.  "direct" is the quick way for new documents; it
 * may throw a unique violation where all is to be done again without.
 */
extern void
miru_apply(const MiruPusher *pusher, MiruChange *change, bool direct);

/*
 * miru_apply_outcome completes the change's verdict after the flush: its
 * number, and what stands where that is not what was sent.
 */
extern void miru_apply_outcome(MiruChange *change);

/*
 * miru_apply_told tells what history says became of a change, given what it
 * has become: applied or merged.
 */
extern MiruVerdictKind
miru_apply_told(const MiruChange *change, const MiruDelivery *delivery);

/* miru_brought_back: see outcome.c. */
extern bool
miru_brought_back(const MiruChange *change, const MiruDelivery *delivery);

#endif /* MIRUSYNC_APPLY_H */
