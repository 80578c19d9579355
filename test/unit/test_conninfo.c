/*
 * test_conninfo.c
 *		Hosts that take turns, options and time of a connection string.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "conninfo.c"

static void
expect_lists(const char *conninfo, int first, const char *host,
			 const char *hostaddr, const char *port)
{
	const char *const wanted[] = {host, hostaddr, port};
	char *lists[LISTS];

	rotate_lists(conninfo, first, lists);
	for (int i = 0; i < LISTS; i++)
	{
		if (wanted[i] == NULL)
			assert_null(lists[i]);
		else
			assert_string_equal(lists[i], wanted[i]);
		free(lists[i]);
	}
}

static void
hosts_take_turns(void **state UNUSED)
{
	const char *three = "host=a,b,c port=1,2,3 dbname=x";

	expect_lists(three, 0, "a,b,c", NULL, "1,2,3");
	expect_lists(three, 1, "b,c,a", NULL, "2,3,1");
	expect_lists(three, 2, "c,a,b", NULL, "3,1,2");
	expect_lists(three, 3, "a,b,c", NULL, "1,2,3");
	expect_lists(three, 1000001, "c,a,b", NULL, "3,1,2");
	expect_lists("postgresql://a:1,b:2/x", 1, "b,a", NULL, "2,1");
}

static void
what_belongs_together_stays_together(void **state UNUSED)
{
	expect_lists("host=a,b hostaddr=1.1.1.1,2.2.2.2 port=5", 1, "b,a",
				 "2.2.2.2,1.1.1.1", "5");
	expect_lists("host=a,,c port=,,3", 1, ",c,a", NULL, ",3,");
	expect_lists("host=a", 5, "a", NULL, NULL);
	expect_lists("dbname=x", 1, NULL, NULL, NULL);
	/* libpq will say what is wrong with it */
	expect_lists("host=a,b port=1,2,3", 1, "b,a", NULL, "1,2,3");
}

static void
options_go_behind_theirs(void **state UNUSED)
{
	char *merged = merged_options("options='-c a=1'", " -c b=2");

	assert_string_equal(merged, "-c a=1 -c b=2");
	free(merged);
	merged = merged_options("host=a", "");
	assert_string_equal(merged, "");
	free(merged);
}

static void
time_to_connect(void **state UNUSED)
{
	assert_true(conninfo_timeout_ms("connect_timeout=3", 10000) == 3000);
	assert_true(conninfo_timeout_ms("connect_timeout=0", 10000) == 10000);
	assert_true(conninfo_timeout_ms("host=a", 10000) == 10000);
	assert_true(conninfo_timeout_ms("no conninfo", 10000) == 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_take_turns),
		cmocka_unit_test(what_belongs_together_stays_together),
		cmocka_unit_test(options_go_behind_theirs),
		cmocka_unit_test(time_to_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
