/*
 * test_backoff.c
 *		Ceilings by an injected generator, jitter by the real one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "backoff.c"

/* The highest draw below any ceiling that divides 2^32. */
static uint64_t
highest(uint64_t *state UNUSED)
{
	return UINT64_MAX;
}

static uint64_t
lowest(uint64_t *state UNUSED)
{
	return 0;
}

static void
ceiling_doubles_up_to_the_max(void **state UNUSED)
{
	static const int64_t wanted[] = {64, 128, 256, 300, 300, 300};
	Backoff backoff;
	size_t i;

	backoff_init(&backoff, 64, 300);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		assert_true(backoff.ceiling_ms == wanted[i]);
		backoff_next(&backoff);
	}
}

static void
draws_from_one_to_the_ceiling(void **state UNUSED)
{
	Backoff backoff;

	backoff_init(&backoff, 64, 256);
	backoff.random = highest;
	assert_true(backoff_next(&backoff) == 64);
	assert_true(backoff_next(&backoff) == 128);
	assert_true(backoff_next(&backoff) == 256);
	assert_true(backoff_next(&backoff) == 256);

	backoff.random = lowest;
	assert_true(backoff_next(&backoff) == 1);
}

static void
reset_goes_back_to_the_base(void **state UNUSED)
{
	Backoff backoff;

	backoff_init(&backoff, 64, 256);
	backoff.random = highest;
	backoff_next(&backoff);
	backoff_next(&backoff);
	backoff_reset(&backoff);
	assert_true(backoff_next(&backoff) == 64);
}

static void
bears_odd_bounds(void **state UNUSED)
{
	Backoff backoff;
	int i;

	backoff_init(&backoff, 0, 0);
	assert_true(backoff_next(&backoff) == 1);
	backoff_init(&backoff, -5, -9);
	assert_true(backoff_next(&backoff) == 1);
	backoff_init(&backoff, 100, 10);
	assert_true(backoff.max_ms == 100);

	/* no overflow on the way to the highest ceiling */
	backoff_init(&backoff, 1, INT64_MAX);
	for (i = 0; i < 200; i++)
		assert_true(backoff_next(&backoff) >= 1);
	assert_true(backoff.ceiling_ms == INT64_MAX);
}

/* Full jitter: the whole range is used, evenly enough. */
static void
jitter_is_full(void **state UNUSED)
{
	Backoff backoff;
	int buckets[10] = {0};
	int i;

	backoff_init(&backoff, 1000, 1000);
	for (i = 0; i < 10000; i++)
	{
		int64_t wait = backoff_next(&backoff);

		assert_true(wait >= 1 && wait <= 1000);
		buckets[(wait - 1) / 100]++;
	}
	/* 1000 each are expected; 200 off is more than six deviations */
	for (i = 0; i < 10; i++)
		assert_in_range(buckets[i], 800, 1200);
}

/* Two relays that start together do not draw the same waits. */
static void
seeds_differ(void **state UNUSED)
{
	Backoff one;
	Backoff two;
	int same = 0;
	int i;

	backoff_init(&one, 1000000, 1000000);
	backoff_init(&two, 1000000, 1000000);
	for (i = 0; i < 16; i++)
		same += backoff_next(&one) == backoff_next(&two);
	assert_true(same < 3);
}

/* splitmix64 as published: the first values from seed 1234567. */
static void
generator_is_the_known_one(void **state UNUSED)
{
	uint64_t seed = 1234567;

	assert_true(splitmix64(&seed) == UINT64_C(6457827717110365317));
	assert_true(splitmix64(&seed) == UINT64_C(3203168211198807973));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ceiling_doubles_up_to_the_max),
		cmocka_unit_test(draws_from_one_to_the_ceiling),
		cmocka_unit_test(reset_goes_back_to_the_base),
		cmocka_unit_test(bears_odd_bounds),
		cmocka_unit_test(jitter_is_full),
		cmocka_unit_test(seeds_differ),
		cmocka_unit_test(generator_is_the_known_one),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
