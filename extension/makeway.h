/*
 * makeway.h
 *     Commands that a worker makes way for, comes with, or goes with.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_MAKEWAY_H
#define MIRUSYNC_MAKEWAY_H

/* miru_makeway_init hooks into commands; for preloaded libraries only. */
extern void miru_makeway_init(void);

#endif /* MIRUSYNC_MAKEWAY_H */
