/*
 * doorbell.h
 *     NOTIFY that says "this feed has moved".
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DOORBELL_H
#define MIRUSYNC_DOORBELL_H

/* Number of channels, mirusync_0 to mirusync_15. */
#define MIRU_DOORBELL_SHARDS 16

extern void miru_doorbell_init(void);

/* miru_doorbell_note remembers that a feed is to be rung at commit. */
extern void miru_doorbell_note(const char *feed);

/*
 * miru_doorbell_ring sees to it that all feeds noted are rung: by the worker
 * after this transaction has committed, or in this transaction.
 */
extern void miru_doorbell_ring(void);

/*
 * miru_doorbell_notify notifies, in this transaction, for feeds whose hashes
 * are given in the order of bytes that payloads have them.
 */
extern void miru_doorbell_notify(const uint64 *hashes, int count);

/* miru_doorbell_notify_all does so for whoever listens to any feed. */
extern void miru_doorbell_notify_all(void);

#endif /* MIRUSYNC_DOORBELL_H */
