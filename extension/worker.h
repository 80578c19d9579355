/*
 * worker.h
 *     The background processes: a launcher, and a worker in each database that
 *     has the extension.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WORKER_H
#define MIRUSYNC_WORKER_H

#include "postmaster/bgworker.h"

/* miru_worker_init has them started, where the library is preloaded. */
extern void miru_worker_init(void);

/* ----- for our other processes ----- */

/*
 * miru_worker_describe describes a process of a kind ("worker", "trimmer") for a
 * database, whose main function gets its OID; nobody starts it again.
 */
extern void
miru_worker_describe(BackgroundWorker *worker, const char *kind, Oid database);

/* How such a process begins. */
extern void miru_worker_set_signals(void);
extern void miru_worker_use_own_settings(void);
extern bool miru_worker_has_extension(void);

#endif /* MIRUSYNC_WORKER_H */
