/*
 * trimmer.h
 *     The process that trims for the background worker.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TRIMMER_H
#define MIRUSYNC_TRIMMER_H

/*
 * miru_trimmer_send starts one if it is time; for the worker.  Returns after
 * how many ms to call again, -1 for not before the worker is called.
 */
extern long miru_trimmer_send(void);

#endif /* MIRUSYNC_TRIMMER_H */
