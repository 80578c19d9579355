/*
 * worker.h
 *     The background processes: a launcher, and a worker in each database that
 *     has the extension.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WORKER_H
#define MIRUSYNC_WORKER_H

/* miru_worker_init has them started, where the library is preloaded. */
extern void miru_worker_init(void);

#endif /* MIRUSYNC_WORKER_H */
