/*
 * cursor.h
 *     Packed cursors: epoch and number in one.
 *
 * The event dialect has one number only, and its clients take the highest one
 * that they ever saw as their cursor.  There every number of a feed carries
 * its epoch in front: epoch * 2^32 + number.  So a later epoch gives greater
 * numbers, a client's cursor always moves on, and in epoch 0 they are 1, 2, 3.
 * JavaScript counts to 2^53, which leaves 21 bits for the epoch: enough for
 * one an hour until the year 2265.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CURSOR_H
#define MIRUSYNC_CURSOR_H

#define MIRU_NUMBER_MAX PG_UINT32_MAX
#define MIRU_EPOCH_MAX	((1 << 21) - 1)

static inline int64
miru_cursor_pack(int32 epoch, int64 number)
{
	return ((int64) epoch << 32) + number;
}

static inline int32
miru_cursor_epoch(int64 cursor)
{
	return (int32) (cursor >> 32);
}

static inline int64
miru_cursor_number(int64 cursor)
{
	return cursor & MIRU_NUMBER_MAX;
}

#endif /* MIRUSYNC_CURSOR_H */
