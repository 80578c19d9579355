/*
 * test_quota.c
 *		Token buckets, and what a session and a user may send.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

/* The clock of the test, in place of the real one. */
static int64_t clock_us;
#include "metrics.h"
#define metrics_now_us() clock_us
#include "quota.c"

static Config limits;
static int resumed;

static void
resume(void *arg UNUSED)
{
	resumed++;
}

static int
set_up(void **state UNUSED)
{
	memset(&limits, 0, sizeof(limits));
	limits.rate_burst_ms = 1000;
	quota_setup(&limits);
	quota_release(); /* what the test before left */
	clock_us = INT64_C(1000000000);
	resumed = 0;
	return 0;
}

/* A request is refused while its user is in debt, and then pays nothing. */
static void
refuses_requests(void **state UNUSED)
{
	Metric bound;
	Quota *quota;

	limits.user_messages_per_second = 1;
	limits.user_bytes_per_second = 1000;
	assert_int_equal(quota_ask("u", 0, &bound), 0);
	assert_int_equal(quota_ask("u", 0, &bound), 0);
	assert_int_equal(quota_ask("u", 0, &bound), 1000);
	assert_int_equal(bound, METRIC_REQUESTS_USER_MESSAGES);
	clock_us += 400000;
	assert_int_equal(quota_ask("u", 9999, &bound), 600);
	clock_us += 600000;
	assert_int_equal(quota_ask("u", 5000, &bound), 0);
	assert_int_equal(quota_ask("u", 0, &bound), 4000);
	assert_int_equal(bound, METRIC_REQUESTS_USER_BYTES);
	assert_int_equal(quota_ask("v", 0, &bound), 0);
	/* A session pays into the same, and holds nobody's place. */
	quota = quota_new("w", resume, NULL);
	assert_true(quota_charge(quota, 3000));
	assert_int_equal(quota_ask("w", 0, &bound), 2000);
	quota_free(quota);
	limits.user_messages_per_second = 0;
	limits.user_bytes_per_second = 0;
	assert_int_equal(quota_ask("u", 9999, &bound), 0);
}

static void
allows_a_burst_then_the_rate(void **state UNUSED)
{
	Quota *quota;

	limits.session_messages_per_second = 10;
	quota = quota_new("u", resume, NULL);
	for (int i = 0; i < 10; i++)
		assert_false(quota_charge(quota, 1));
	assert_true(quota_charge(quota, 1));
	assert_ptr_equal(held, quota);

	clock_us += 99000;
	quota_tick(0);
	assert_int_equal(resumed, 0);
	clock_us += 1000;
	quota_tick(0);
	assert_int_equal(resumed, 1);
	assert_null(held);
	/* Nothing was saved up meanwhile. */
	assert_true(quota_charge(quota, 1));
	quota_free(quota);
	assert_null(held);
}

static void
charges_bytes_as_debt(void **state UNUSED)
{
	Quota *quota;

	limits.session_bytes_per_second = 1000;
	quota = quota_new("u", resume, NULL);
	assert_true(quota_charge(quota, 5000));
	clock_us += 3990000;
	quota_tick(0);
	assert_int_equal(resumed, 0);
	clock_us += 10000;
	quota_tick(0);
	assert_int_equal(resumed, 1);
	quota_free(quota);
}

static void
counts_all_sessions_of_a_user(void **state UNUSED)
{
	Quota *a, *b, *other;

	limits.user_messages_per_second = 4;
	a = quota_new("u", resume, NULL);
	b = quota_new("u", resume, NULL);
	other = quota_new("v", resume, NULL);
	for (int i = 0; i < 2; i++)
	{
		assert_false(quota_charge(a, 1));
		assert_false(quota_charge(b, 1));
	}
	assert_true(quota_charge(a, 1));
	assert_true(quota_charge(b, 1));
	assert_false(quota_charge(other, 1));
	quota_free(a);
	quota_free(b);
	quota_free(other);
}

static void
remembers_a_user_until_it_is_paid(void **state UNUSED)
{
	Quota *quota;

	limits.user_messages_per_second = 2;
	quota = quota_new("u", resume, NULL);
	assert_false(quota_charge(quota, 1));
	assert_false(quota_charge(quota, 1));
	quota_free(quota);
	quota = quota_new("u", resume, NULL);
	assert_true(quota_charge(quota, 1));
	quota_free(quota);
	assert_int_equal(idle_count, 1);

	clock_us += 10000000;
	quota_tick(100000);
	assert_int_equal(idle_count, 0);
	assert_null(users);
}

static void
bounds_what_it_remembers(void **state UNUSED)
{
	limits.user_messages_per_second = 1;
	for (int i = 0; i < IDLE_MAX + 100; i++)
	{
		char name[32];
		Quota *quota;

		snprintf(name, sizeof(name), "user-%d", i);
		quota = quota_new(name, resume, NULL);
		(void) quota_charge(quota, 1);
		quota_free(quota);
	}
	assert_int_equal(idle_count, IDLE_MAX);
	assert_int_equal(HASH_COUNT(users), IDLE_MAX);
	quota_release();
	assert_null(users);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(allows_a_burst_then_the_rate, set_up),
		cmocka_unit_test_setup(refuses_requests, set_up),
		cmocka_unit_test_setup(charges_bytes_as_debt, set_up),
		cmocka_unit_test_setup(counts_all_sessions_of_a_user, set_up),
		cmocka_unit_test_setup(remembers_a_user_until_it_is_paid, set_up),
		cmocka_unit_test_setup(bounds_what_it_remembers, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
