/*
 * erase.h
 *     Erasing what history holds of a record, or of a whole feed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ERASE_H
#define MIRUSYNC_ERASE_H

/* miru_erasure_forget is miru_table_forget for what is noted of erasures. */
extern int64
miru_erasure_forget(const char *feed, int64 *from, int64 upto, int64 max);

#endif /* MIRUSYNC_ERASE_H */
