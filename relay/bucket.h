/*
 * bucket.h
 *		A token bucket in eight bytes.
 *
 * Instead of tokens it holds the time at which it would be full again: taking
 * moves that time on, and the bucket is empty when it lies a burst ahead of
 * now.  So nothing has to fill it, and one that is full needs no memory.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BUCKET_H
#define MIRUSYNC_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Bucket
{
	int64_t full_at_us; /* zero: it is full */
} Bucket;

/*
 * bucket_charge takes "amount" tokens, also more than there are: then the
 * bucket is in debt.  "rate" is tokens a second, 0 for no limit.  Returns for
 * how many us it is in debt.
 */
static inline int64_t
bucket_charge(Bucket *bucket, int64_t now_us, int64_t amount, int64_t rate,
			  int64_t burst_us)
{
	int64_t wait_us;

	if (rate == 0)
		return 0;
	if (bucket->full_at_us < now_us)
		bucket->full_at_us = now_us;
	bucket->full_at_us += amount * 1000000 / rate;
	wait_us = bucket->full_at_us - now_us - burst_us;
	return wait_us > 0 ? wait_us : 0;
}

/* bucket_debt_us says for how long it is in debt. */
static inline int64_t
bucket_debt_us(const Bucket *bucket, int64_t now_us, int64_t rate,
			   int64_t burst_us)
{
	int64_t wait_us = bucket->full_at_us - now_us - burst_us;

	return rate != 0 && wait_us > 0 ? wait_us : 0;
}

/*
 * bucket_take takes one token if there is one.  A full bucket always has one,
 * however short the burst is.
 */
static inline bool
bucket_take(Bucket *bucket, int64_t now_us, int64_t rate, int64_t burst_us)
{
	Bucket after = *bucket;

	if (bucket_charge(&after, now_us, 1, rate, burst_us) > 0 &&
		bucket->full_at_us > now_us)
		return false;
	*bucket = after;
	return true;
}

static inline bool
bucket_is_full(const Bucket *bucket, int64_t now_us)
{
	return bucket->full_at_us <= now_us;
}

#endif
