/*
 * test_hlc.c
 *     Unit tests of the clock: no server, no time of day.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../extension/hlc.c"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* 2026-11-23T06:00:00.123Z */
#define SOME_MS INT64_C(1795413600123)

/* The parts come out as they went in, and what cannot be held is bounded. */
static void
test_make(void **state)
{
	Hlc clock = hlc_make(SOME_MS, 5);

	(void) state;
	assert_int_equal(hlc_ms(clock), SOME_MS);
	assert_int_equal(hlc_counter(clock), 5);
	assert_true(hlc_make(0, 0) == 0);
	assert_true(hlc_make(HLC_MS_MAX, UINT16_MAX) == HLC_MAX);
	assert_true(hlc_make(-1, 7) == 0);
	assert_true(hlc_make(INT64_MIN, 7) == 0);
	assert_true(hlc_make(HLC_MS_MAX + 1, 0) == HLC_MAX);
	assert_true(hlc_make(INT64_MAX, 0) == HLC_MAX);
}

/* Order is unsigned: the upper half of the range is newer, not negative. */
static void
test_compare(void **state)
{
	Hlc low = (Hlc) INT64_MAX;
	Hlc high = low + 1;

	(void) state;
	assert_int_equal(hlc_compare(low, high), -1);
	assert_int_equal(hlc_compare(high, low), 1);
	assert_int_equal(hlc_compare(high, high), 0);
	assert_int_equal(hlc_compare(0, HLC_MAX), -1);
	assert_int_equal(hlc_compare(hlc_make(2, 0), hlc_make(1, UINT16_MAX)), 1);
	assert_true(hlc_max(low, high) == high);
	assert_true(hlc_max(high, low) == high);
}

/* The successor is greater by the least there is, and there is always one. */
static void
test_next(void **state)
{
	(void) state;
	assert_true(hlc_next(hlc_make(9, 4)) == hlc_make(9, 5));
	assert_true(hlc_next(hlc_make(9, UINT16_MAX)) == hlc_make(10, 0));
	assert_true(hlc_next(HLC_MAX) == HLC_MAX);
}

/* A tick never runs back, whatever the wall clock does. */
static void
test_tick(void **state)
{
	Hlc seen = hlc_make(SOME_MS, 3);

	(void) state;
	assert_true(hlc_tick(seen, SOME_MS + 1) == hlc_make(SOME_MS + 1, 0));
	assert_true(hlc_tick(seen, SOME_MS) == hlc_make(SOME_MS, 4));
	assert_true(hlc_tick(seen, SOME_MS - 5000) == hlc_make(SOME_MS, 4));
	assert_true(hlc_tick(hlc_make(SOME_MS, UINT16_MAX), SOME_MS) ==
				hlc_make(SOME_MS + 1, 0));
	assert_true(hlc_tick(0, SOME_MS) == hlc_make(SOME_MS, 0));
	assert_true(hlc_tick(0, -1) == 1);
	assert_true(hlc_tick(HLC_MAX, SOME_MS) == HLC_MAX);
}

/* A clock ahead of the server by more than the skew is held at the skew. */
static void
test_bound(void **state)
{
	Hlc clock = hlc_make(SOME_MS + 60000, UINT16_MAX);

	(void) state;
	assert_false(hlc_bound(&clock, SOME_MS, 60000));
	assert_true(clock == hlc_make(SOME_MS + 60000, UINT16_MAX));
	clock = hlc_make(SOME_MS + 60001, 9);
	assert_true(hlc_bound(&clock, SOME_MS, 60000));
	assert_true(clock == hlc_make(SOME_MS + 60000, 0));
	clock = HLC_MAX;
	assert_false(hlc_bound(&clock, SOME_MS, INT64_MAX));
	assert_true(clock == HLC_MAX);
	assert_true(hlc_bound(&clock, SOME_MS, 0));
	assert_true(clock == hlc_make(SOME_MS, 0));
	clock = 0;
	assert_false(hlc_bound(&clock, SOME_MS, 0));
	assert_true(clock == 0);
}

typedef struct TextCase
{
	const char *text;
	HlcScan result;
	Hlc clock; /* when scanned */
} TextCase;

#define CLOCK(ms, counter) (((Hlc) (ms) << 16) | (counter))

static const TextCase text_cases[] = {
	{"2026-11-23T06:00:00.123Z/0005", HLC_SCANNED, CLOCK(SOME_MS, 5)},
	{"2026-11-23T06:00:00.123Z/ABcd", HLC_SCANNED, CLOCK(SOME_MS, 0xabcd)},
	{"2026-11-23T06:00:00.123Z", HLC_SCANNED, CLOCK(SOME_MS, 0)},
	{"2026-11-23T06:00:00.12Z", HLC_SCANNED, CLOCK(SOME_MS - 3, 0)},
	{"2026-11-23T06:00:00.1Z/0001", HLC_SCANNED, CLOCK(SOME_MS - 23, 1)},
	{"2026-11-23T06:00:00Z", HLC_SCANNED, CLOCK(SOME_MS - 123, 0)},
	{"1970-01-01T00:00:00Z", HLC_SCANNED, 0},
	{"1970-01-01T00:00:00.001Z", HLC_SCANNED, CLOCK(1, 0)},
	{"2000-02-29T00:00:00Z", HLC_SCANNED, CLOCK(951782400000, 0)},
	{"9999-12-31T23:59:59.999Z", HLC_SCANNED, CLOCK(253402300799999, 0)},
	{"+010889-08-02T05:31:50.655Z/ffff", HLC_SCANNED, HLC_MAX},
	{"+002026-11-23T06:00:00.123Z", HLC_SCANNED, CLOCK(SOME_MS, 0)},

	{"+010889-08-02T05:31:50.656Z", HLC_OUT_OF_RANGE, 0},
	{"+999999-01-01T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"1969-12-31T23:59:59.999Z", HLC_OUT_OF_RANGE, 0},
	{"-000001-01-01T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"0000-01-01T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-13-01T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-00-01T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-11-00T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-11-31T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-02-29T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2100-02-29T00:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-11-23T24:00:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-11-23T06:60:00Z", HLC_OUT_OF_RANGE, 0},
	{"2026-11-23T06:00:60Z", HLC_OUT_OF_RANGE, 0},

	{"", HLC_MALFORMED, 0},
	{"/0001", HLC_MALFORMED, 0},
	{"now", HLC_MALFORMED, 0},
	{"1795413600123", HLC_MALFORMED, 0},
	{"2026-11-23", HLC_MALFORMED, 0},
	{"2026-11-23T", HLC_MALFORMED, 0},
	{"2026-11-23T06:00Z", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.Z", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.1234Z", HLC_MALFORMED, 0},
	{"2026-11-23 06:00:00Z", HLC_MALFORMED, 0},
	{"2026-11-23t06:00:00z", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00+01:00", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.123Z/", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.123Z/005", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.123Z/00005", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.123Z/000g", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.123Z/0005/", HLC_MALFORMED, 0},
	{" 2026-11-23T06:00:00.123Z", HLC_MALFORMED, 0},
	{"2026-11-23T06:00:00.123Z ", HLC_MALFORMED, 0},
	{"26-11-23T06:00:00.123Z", HLC_MALFORMED, 0},
	{"+12026-11-23T06:00:00.123Z", HLC_MALFORMED, 0},
	{"2026-1-23T06:00:00.123Z", HLC_MALFORMED, 0},
	{"2026-11-23T6:00:00.123Z", HLC_MALFORMED, 0},
	{"2026-11-23T-6:00:00.123Z", HLC_MALFORMED, 0},
};

static void
test_scan(void **state)
{
	(void) state;
	for (size_t i = 0; i < LENGTH(text_cases); i++)
	{
		const TextCase *c = &text_cases[i];
		Hlc clock = 42;
		HlcScan result = hlc_scan(c->text, strlen(c->text), &clock);

		if (result != c->result ||
			clock != (result == HLC_SCANNED ? c->clock : 42))
			fail_msg("\"%s\": result %d, clock %llx", c->text, (int) result,
					 (unsigned long long) clock);
		assert_int_equal(hlc_parse(c->text, strlen(c->text), &clock),
						 c->result == HLC_SCANNED);
	}
}

/* The length counts, not a NUL: a clock is often read within a message. */
static void
test_scan_length(void **state)
{
	const char *text = "2026-11-23T06:00:00.123Z/0005";
	size_t length = strlen(text);
	Hlc clock;

	(void) state;
	for (size_t i = 0; i < length; i++)
		assert_int_equal(hlc_parse(text, i, &clock), i == length - 5);
	assert_false(hlc_parse("2026-11-23T06:00:00.123Z\0", 25, &clock));
}

/* Text and value are two forms of one thing, over the whole range. */
static void
test_round_trip(void **state)
{
	uint64_t random = 88172645463325252u;

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		char text[HLC_TEXT_SIZE];
		Hlc clock;
		Hlc back = 0;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		clock = random >> (i % 64);
		hlc_format(clock, text);
		assert_true(hlc_parse(text, strlen(text), &back));
		assert_true(back == clock);
	}
}

static void
test_format(void **state)
{
	char text[HLC_TEXT_SIZE];

	(void) state;
	hlc_format(hlc_make(SOME_MS, 0xbeef), text);
	assert_string_equal(text, "2026-11-23T06:00:00.123Z/beef");
	hlc_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z/0000");
	hlc_format(HLC_MAX, text);
	assert_string_equal(text, "+010889-08-02T05:31:50.655Z/ffff");
}

typedef struct TimeCase
{
	const char *text;
	int64_t ms;
} TimeCase;

static const TimeCase good_times[] = {
	{"2026-11-23", 1795392000000},
	{"2026-11-23T06:00", 1795413600000},
	{"2026-11-23T06:00Z", 1795413600000},
	{"2026-11-23T06:00:00", 1795413600000},
	{"2026-11-23 06:00:00", 1795413600000},
	{"2026-11-23 06:00:00+00", 1795413600000},
	{"2026-11-23T06:00:00.123456789Z", 1795413600123},
	{"2026-11-23T06:00:00.9999Z", 1795413600999},
	{"2026-11-23T06:00:00+05:30", 1795393800000},
	{"2026-11-23T06:00:00-0330", 1795426200000},
	{"2026-11-23T06:00:00-00:00", 1795413600000},
	{"1969-12-31T23:59:59.999Z", -1},
	{"0000-02-29T00:00:00Z", -62162121600000},
	{"-271821-04-20T00:00:00.000Z", -HLC_TIME_MS_MAX},
	{"+275760-09-13T00:00:00.000Z", HLC_TIME_MS_MAX},
};

static const char *const bad_times[] = {
	"",
	"T",
	"2026",
	"2026-11",
	"2026-11-23Z",
	"2026-11-23T06",
	"23.11.2026",
	"2026-11-23T06:00:",
	"2026-11-23T06:00:00.",
	"2026-11-23T06:00:00+1",
	"2026-11-23T06:00:00+24:00",
	"2026-11-23T06:00:00+01:60",
	"2026-11-23T06:00:00+01:0",
	"2026-11-23T06:00:00+01:",
	"2026-02-30",
	"2026-11-23T06:00:00ZZ",
	"2026-11-23T06:00:00 Z",
	"2026-11-23_06:00:00Z",
	"+275760-09-13T00:00:00.001Z",
	"-271821-04-19T23:59:59.999Z",
	"yesterday",
	"1795413600123",
	"2026-11-23T06:00:00.123Z/0005",
	"２０２６-11-23",
};

static void
test_time(void **state)
{
	(void) state;
	for (size_t i = 0; i < LENGTH(good_times); i++)
	{
		const TimeCase *c = &good_times[i];
		int64_t ms = 42;

		if (!hlc_parse_time(c->text, strlen(c->text), &ms) || ms != c->ms)
			fail_msg("\"%s\": %lld", c->text, (long long) ms);
	}
	for (size_t i = 0; i < LENGTH(bad_times); i++)
	{
		int64_t ms = 42;

		if (hlc_parse_time(bad_times[i], strlen(bad_times[i]), &ms) || ms != 42)
			fail_msg("\"%s\" was read as %lld", bad_times[i], (long long) ms);
	}
}

/* Times from first to last, each step_ms after the one before, both ways. */
static void
check_times(int64_t first, int64_t last, int64_t step_ms)
{
	for (int64_t ms = first; ms <= last; ms += step_ms)
	{
		char text[HLC_TIME_SIZE];
		int64_t back = 0;

		hlc_format_time(ms, text);
		if (!hlc_parse_time(text, strlen(text), &back) || back != ms)
			fail_msg("%lld: \"%s\", back %lld", (long long) ms, text,
					 (long long) back);
	}
}

/* Each day of 400 years before and after 1970, and some of every year. */
static void
test_time_round_trip(void **state)
{
	const int64_t day_ms = 86400000;

	(void) state;
	check_times(-146097 * day_ms, 146097 * day_ms, day_ms);
	check_times(-HLC_TIME_MS_MAX, HLC_TIME_MS_MAX, 101 * day_ms - 1);
}

/* What lies beyond is written as the last time there is. */
static void
test_time_bounds(void **state)
{
	char text[HLC_TIME_SIZE];

	(void) state;
	hlc_format_time(INT64_MAX, text);
	assert_string_equal(text, "+275760-09-13T00:00:00.000Z");
	hlc_format_time(INT64_MIN, text);
	assert_string_equal(text, "-271821-04-20T00:00:00.000Z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_tick),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_length),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_time_round_trip),
		cmocka_unit_test(test_time_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
