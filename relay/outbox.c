/*
 * outbox.c
 *		What waits to be sent to one session, and its packing into frames.
 *
 * Owns the reference of each queued message, and the process-wide count of
 * queued bytes.
 *
 * Why frames are packed here and not by the library: one write per message
 * costs 8 us, all that waits in one write costs 2 us a message.
 *
 * Invariant: a packed buffer ends at a frame boundary.  The library answers
 * PINGs by itself, between two of our writes; in the middle of a frame that
 * PONG would be read as payload.  A message larger than the buffer therefore
 * goes out as several fragments, between which a control frame is allowed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "outbox.h"

#define RING_FIRST		   8	/* messages */
#define FRAGMENT_MIN	   2048 /* bytes; less room than that is left unused */
#define FRAME_HEADER_MAX   10

#define FRAME_FIN		   0x80
#define FRAME_TEXT		   0x01
#define FRAME_CONTINUATION 0x00

static size_t total_bytes;

size_t
outbox_total_bytes(void)
{
	return total_bytes;
}

static void
grow(Outbox *outbox)
{
	uint32_t capacity = outbox->capacity ? outbox->capacity * 2 : RING_FIRST;
	Message **ring = alloc_zero(capacity * sizeof(Message *));

	for (uint32_t i = 0; i < outbox->count; i++)
		ring[i] = outbox->ring[(outbox->head + i) & (outbox->capacity - 1)];
	free(outbox->ring);
	outbox->ring = ring;
	outbox->capacity = capacity;
	outbox->head = 0;
}

void
outbox_push(Outbox *outbox, Message *message)
{
	if (outbox->count == outbox->capacity)
		grow(outbox);
	outbox->ring[(outbox->head + outbox->count) & (outbox->capacity - 1)] =
		message_ref(message);
	outbox->count++;
	outbox->bytes += message->len;
	total_bytes += message->len;
}

static void
release_ring(Outbox *outbox)
{
	free(outbox->ring);
	outbox->ring = NULL;
	outbox->capacity = 0;
	outbox->head = 0;
}

static void
drop_first(Outbox *outbox)
{
	message_unref(outbox->ring[outbox->head]);
	outbox->head = (outbox->head + 1) & (outbox->capacity - 1);
	outbox->count--;
	outbox->offset = 0;
	if (outbox->count == 0)
		release_ring(outbox);
}

static size_t
write_header(unsigned char *buf, unsigned char first, size_t len)
{
	size_t size;
	int shift;

	buf[0] = first;
	if (len < 126)
	{
		buf[1] = (unsigned char) len;
		return 2;
	}
	size = len < 65536 ? 2 : 8;
	buf[1] = size == 2 ? 126 : 127;
	shift = (int) size * 8;
	for (size_t i = 0; i < size; i++)
	{
		shift -= 8;
		buf[2 + i] = (unsigned char) ((uint64_t) len >> shift);
	}
	return 2 + size;
}

/* Packs the oldest message or a fragment of it; 0 if there is no room. */
static size_t
pack_first(Outbox *outbox, unsigned char *buf, size_t size, int64_t now_us)
{
	Message *message = outbox->ring[outbox->head];
	size_t rest = message->len - outbox->offset;
	size_t take = rest;
	unsigned char first;
	size_t header;

	if (rest + FRAME_HEADER_MAX > size)
	{
		if (size < FRAGMENT_MIN + FRAME_HEADER_MAX)
			return 0;
		take = size - FRAME_HEADER_MAX;
	}
	first = outbox->offset == 0 ? FRAME_TEXT : FRAME_CONTINUATION;
	if (take == rest)
		first |= FRAME_FIN;
	header = write_header(buf, first, take);
	memcpy(buf + header, message->text + outbox->offset, take);
	outbox->offset += take;
	outbox->bytes -= take;
	total_bytes -= take;
	if (take == rest)
	{
		metrics_observe_at(HISTOGRAM_COMMIT_TO_SEND, message->since_us, now_us);
		drop_first(outbox);
	}
	return header + take;
}

size_t
outbox_pack(Outbox *outbox, unsigned char *buf, size_t size)
{
	size_t used = 0;
	int64_t now_us = metrics_now_us();

	while (outbox->count > 0)
	{
		size_t packed = pack_first(outbox, buf + used, size - used, now_us);

		if (packed == 0)
			break;
		used += packed;
	}
	return used;
}

void
outbox_clear(Outbox *outbox)
{
	total_bytes -= outbox->bytes;
	outbox->bytes = 0;
	while (outbox->count > 0)
		drop_first(outbox);
}
