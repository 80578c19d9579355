/*
 * version.h
 *     Whether the library and the extension in this database fit.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_VERSION_H
#define MIRUSYNC_VERSION_H

/*
 * miru_version_check throws unless they fit; returns whether it had to look,
 * which it has not once they did.
 */
extern bool miru_version_check(void);

/* miru_version_is_known tells whether a check would not have to look. */
extern bool miru_version_is_known(void);

/* miru_version_forget makes the next check look again. */
extern void miru_version_forget(void);

#endif /* MIRUSYNC_VERSION_H */
