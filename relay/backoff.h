/*
 * backoff.h
 *		How long to wait before the next try: exponential, with full jitter.
 *
 * The n-th wait is drawn evenly from 1 .. min(max, base * 2^n) ms.  Full
 * jitter, because relays that lost the same database at the same moment must
 * not come back at the same moment.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BACKOFF_H
#define MIRUSYNC_BACKOFF_H

#include <stdint.h>

typedef struct Backoff
{
	int64_t base_ms;					 /* ceiling of the first wait */
	int64_t max_ms;						 /* ceiling of all waits */
	int64_t ceiling_ms;					 /* of the next wait */
	uint64_t state;						 /* of the generator */
	uint64_t (*random)(uint64_t *state); /* tests may replace it */
} Backoff;

/*
 * backoff_init starts over with a freshly seeded generator.  Bounds below 1
 * count as 1, a max below base as base.
 */
extern void backoff_init(Backoff *backoff, int64_t base_ms, int64_t max_ms);

/* backoff_next draws the next wait and doubles the ceiling up to the max. */
extern int64_t backoff_next(Backoff *backoff);

/* backoff_reset goes back to the first ceiling: call it after a success. */
extern void backoff_reset(Backoff *backoff);

#endif
