/*
 * test_peers.c
 *		What one address may do, and how much is remembered of addresses.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

/* The clock of the test, in place of the real one. */
static int64_t clock_us;
#include "metrics.h"
#define metrics_now_us() clock_us
#include "peers.c"

static Config limits;

static int
set_up(void **state UNUSED)
{
	static char none[] = "";

	memset(&limits, 0, sizeof(limits));
	limits.rate_burst_ms = 1000;
	limits.trusted_proxies = none;
	clock_us = INT64_C(1000000000);
	return 0;
}

static Peer *
admit(uint32_t number, Metric *refused)
{
	char text[32];
	Address address;

	snprintf(text, sizeof(text), "10.%u.%u.%u", number >> 16 & 255,
			 number >> 8 & 255, number & 255);
	assert_true(address_parse(text, strlen(text), &address));
	return peers_admit(&address, refused);
}

static void
counts_connections(void **state UNUSED)
{
	Peer *one, *two, *other;
	Metric refused;

	limits.connections_per_address = 2;
	assert_true(peers_setup(&limits));
	one = admit(1, &refused);
	two = admit(1, &refused);
	assert_ptr_equal(one, two);
	assert_null(admit(1, &refused));
	assert_int_equal(refused, METRIC_REFUSED_ADDRESS_CONNECTIONS);
	other = admit(2, &refused);
	assert_non_null(other);
	peers_leave(one);
	assert_ptr_equal(admit(1, &refused), two);
	peers_leave(two);
	peers_leave(two);
	peers_leave(other);
	peers_leave(NULL);
	assert_null(peers);
}

static void
counts_a_rate(void **state UNUSED)
{
	Metric refused;

	limits.connection_rate_per_address = 5;
	assert_true(peers_setup(&limits));
	for (int i = 0; i < 5; i++)
		peers_leave(admit(1, &refused));
	assert_null(admit(1, &refused));
	assert_int_equal(refused, METRIC_REFUSED_ADDRESS_RATE);
	peers_leave(admit(2, &refused));
	clock_us += 200000;
	peers_leave(admit(1, &refused));
	assert_null(admit(1, &refused));

	/* Remembered while there is something to remember. */
	assert_int_equal(HASH_COUNT(peers), 2);
	clock_us += 1000000;
	peers_tick(1000000);
	assert_null(peers);
}

static void
lets_one_in_however_short_the_burst(void **state UNUSED)
{
	Metric refused;
	Peer *peer;

	limits.connection_rate_per_address = 2;
	limits.rate_burst_ms = 100;
	assert_true(peers_setup(&limits));
	peer = admit(1, &refused);
	assert_non_null(peer);
	peers_leave(peer);
	assert_null(admit(1, &refused));
	clock_us += 500000;
	peer = admit(1, &refused);
	assert_non_null(peer);
	peers_leave(peer);
	peers_release();
	assert_null(peers);
}

static void
bounds_what_it_remembers(void **state UNUSED)
{
	Metric refused;

	limits.connection_rate_per_address = 1;
	assert_true(peers_setup(&limits));
	for (uint32_t i = 0; i < IDLE_MAX + 100; i++)
	{
		peers_leave(admit(i, &refused));
		(void) admit(i, &refused);
	}
	assert_int_equal(idle_count, IDLE_MAX);
	assert_int_equal(HASH_COUNT(peers), IDLE_MAX);
	peers_release();
	assert_null(peers);
}

static void
keeps_the_proxies_that_it_knows(void **state UNUSED)
{
	static char good[] = "192.0.2.0/24";
	static char bad[] = "192.0.2.0/99";
	Address address;

	limits.trusted_proxies = good;
	assert_true(peers_setup(&limits));
	limits.trusted_proxies = bad;
	log_set_level("error");
	assert_false(peers_setup(&limits));
	address_parse("192.0.2.9", 9, &address);
	assert_true(peers_is_proxy(&address));
	peers_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counts_connections, set_up),
		cmocka_unit_test_setup(counts_a_rate, set_up),
		cmocka_unit_test_setup(lets_one_in_however_short_the_burst, set_up),
		cmocka_unit_test_setup(bounds_what_it_remembers, set_up),
		cmocka_unit_test_setup(keeps_the_proxies_that_it_knows, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
