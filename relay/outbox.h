/*
 * outbox.h
 *		What waits to be sent to one session, and its packing into frames.
 *
 * Pure: no socket, no clock.  The session decides what may enter and when it
 * is sent; the outbox keeps order and counts.  An empty outbox holds no
 * memory.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_OUTBOX_H
#define MIRUSYNC_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

typedef struct Outbox
{
	Message **ring;	   /* NULL while empty */
	uint32_t capacity; /* of the ring, a power of two */
	uint32_t head;	   /* index of the oldest message */
	uint32_t count;	   /* messages not sent in full */
	size_t bytes;	   /* payload not yet packed */
	size_t offset;	   /* of the oldest message, already packed */
} Outbox;

/* The least that outbox_pack needs to make progress; more is better. */
#define OUTBOX_PACK_MIN 4096

/* outbox_push appends a message and takes a reference of its own. */
extern void outbox_push(Outbox *outbox, Message *message);

/*
 * outbox_pack takes messages off as WebSocket text frames, as many as fit, and
 * returns the bytes written; 0 means that the outbox is empty.  The buffer
 * holds whole frames only, so the transport may put a control frame after it.
 * A message that does not fit is cut into fragments.
 */
extern size_t outbox_pack(Outbox *outbox, unsigned char *buf, size_t size);

/* outbox_clear forgets everything. */
extern void outbox_clear(Outbox *outbox);

static inline bool
outbox_is_empty(const Outbox *outbox)
{
	return outbox->count == 0;
}

/* outbox_total_bytes is the payload queued in all outboxes of the process. */
extern size_t outbox_total_bytes(void);

#endif
