/*
 * test_merge_rules.c
 *     Unit tests of the merge rules, and of their claim that the order of
 *     arrival does not matter.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "palloc_stub.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../../extension/hlc.c"
#include "../../extension/stamps.c"
#include "../../extension/merge_rules.c"

static MiruStamp
stamp(int64 ms, const char *device)
{
	MiruStamp made = {hlc_make(ms, 0), 1, device};

	return made;
}

static bool
wins(int64 stored_ms, const char *stored, int64 incoming_ms,
	 const char *incoming, bool ties_lose)
{
	MiruStamp a = stamp(stored_ms, stored);
	MiruStamp b = stamp(incoming_ms, incoming);

	return miru_lww_wins(&a, &b, ties_lose);
}

static void
test_names(void **state)
{
	MiruRule rule;

	(void) state;
	assert_true(miru_rule_parse("lww", &rule));
	assert_int_equal(rule, MIRU_RULE_LWW);
	assert_true(miru_rule_parse("lww_field", &rule));
	assert_int_equal(rule, MIRU_RULE_LWW_FIELD);
	assert_false(miru_rule_parse("LWW", &rule));
	assert_false(miru_rule_parse("", &rule));
}

static void
test_newer_wins(void **state)
{
	(void) state;
	assert_true(wins(10, "z", 11, "a", false));
	assert_false(wins(11, "a", 10, "z", false));
	assert_true(wins(10, "z", 11, "a", true));
}

/* Of equal clocks the last device wins, unless ties leave what is stored. */
static void
test_ties(void **state)
{
	(void) state;
	assert_true(wins(10, "a", 10, "b", false));
	assert_false(wins(10, "b", 10, "a", false));
	assert_false(wins(10, "a", 10, "a", false));
	assert_false(wins(10, "a", 10, "b", true));
	assert_true(wins(10, "", 10, "a", false));
}

static bool
delete_wins(int64 stored_ms, int64 incoming_ms, int64 slack_ms)
{
	MiruStamp a = stamp(stored_ms, "a");
	MiruStamp b = stamp(incoming_ms, "a");

	return miru_lww_delete_wins(&a, &b, true, slack_ms);
}

/* A delete with slack wins against values that are newer by no more. */
static void
test_delete(void **state)
{
	(void) state;
	assert_true(delete_wins(10, 11, 0));
	assert_false(delete_wins(10, 10, 0));
	assert_true(delete_wins(1000, 1000, 60));
	assert_true(delete_wins(1060, 1000, 60));
	assert_false(delete_wins(1061, 1000, 60));
}

static void
test_concurrent(void **state)
{
	MiruStamp stored = {hlc_make(10, 0), 7, "phone"};

	(void) state;
	assert_true(miru_is_concurrent(&stored, 6, "tablet"));
	assert_false(miru_is_concurrent(&stored, 7, "tablet"));
	assert_false(miru_is_concurrent(&stored, 6, "phone"));
}

#define WRITES 6

/* settle plays writes in an order and returns the stamp that stands. */
static MiruStamp
settle(const MiruStamp *writes, const int *order)
{
	MiruStamp stored = writes[order[0]];

	for (int i = 1; i < WRITES; i++)
	{
		if (miru_lww_wins(&stored, &writes[order[i]], false))
			stored = writes[order[i]];
	}
	return stored;
}

static void
shuffle(int *order)
{
	for (int i = WRITES - 1; i > 0; i--)
	{
		int j = rand() % (i + 1);
		int swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
}

/* Random writes, with many equal clocks, end the same in every order. */
static void
test_order_does_not_matter(void **state)
{
	static const char *const devices[] = {"a", "b", "c"};
	int order[WRITES] = {0, 1, 2, 3, 4, 5};

	(void) state;
	srand(20261123);
	for (int round = 0; round < 5000; round++)
	{
		MiruStamp writes[WRITES];
		MiruStamp first;

		for (int i = 0; i < WRITES; i++)
			writes[i] = stamp(rand() % 4, devices[rand() % 3]);
		first = settle(writes, order);
		for (int i = 0; i < 8; i++)
		{
			MiruStamp other;

			shuffle(order);
			other = settle(writes, order);
			assert_int_equal(other.clock, first.clock);
			assert_string_equal(other.device, first.device);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_newer_wins),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_delete),
		cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_order_does_not_matter),
	};

	return cmocka_run_group_tests_name("merge_rules", tests, NULL, NULL);
}
