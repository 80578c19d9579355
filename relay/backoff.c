/*
 * backoff.c
 *		How long to wait before the next try: exponential, with full jitter.
 *
 * The generator (splitmix64) is no secret; it is seeded from the kernel so
 * that relays started by one command do not draw the same waits.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "backoff.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t
splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

static uint64_t
fresh_seed(void)
{
	uint64_t seed;
	struct timespec now;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		return seed;

	/* early boot: the process id still tells two relays apart */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_nsec << 32 ^ (uint64_t) getpid();
}

void
backoff_init(Backoff *backoff, int64_t base_ms, int64_t max_ms)
{
	backoff->base_ms = base_ms < 1 ? 1 : base_ms;
	backoff->max_ms = max_ms < backoff->base_ms ? backoff->base_ms : max_ms;
	backoff->state = fresh_seed();
	backoff->random = splitmix64;
	backoff_reset(backoff);
}

int64_t
backoff_next(Backoff *backoff)
{
	uint64_t ceiling = (uint64_t) backoff->ceiling_ms;

	/* compare by division: doubling could overflow */
	if (backoff->ceiling_ms > backoff->max_ms / 2)
		backoff->ceiling_ms = backoff->max_ms;
	else
		backoff->ceiling_ms *= 2;

	/* the bias of the remainder is below 2^-20 for waits up to months */
	return 1 + (int64_t) (backoff->random(&backoff->state) % ceiling);
}

void
backoff_reset(Backoff *backoff)
{
	backoff->ceiling_ms = backoff->base_ms;
}
