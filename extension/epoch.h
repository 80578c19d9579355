/*
 * epoch.h
 *     Epochs: which history of the database numbers are given out in.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_EPOCH_H
#define MIRUSYNC_EPOCH_H

/* An epoch that is not known: no cursor's, no feed's. */
#define MIRU_NO_EPOCH (-1)

extern void miru_epoch_init(void);

/*
 * miru_epoch_current returns the number of the current epoch, and begins it
 * if the history is another one than that of the last.  Called before any
 * feed is locked, by transactions that may write.
 */
extern int32 miru_epoch_current(void);

/* miru_epoch_by_time returns the lowest number for an epoch begun now. */
extern int32 miru_epoch_by_time(void);

#endif /* MIRUSYNC_EPOCH_H */
