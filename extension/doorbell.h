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

/* miru_doorbell_ring notifies for all feeds noted, in this transaction. */
extern void miru_doorbell_ring(void);

#endif /* MIRUSYNC_DOORBELL_H */
