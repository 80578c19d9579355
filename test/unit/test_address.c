/*
 * test_address.c
 *		Addresses, ranges, and whom a proxy speaks for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "address.c"

static void
reads_addresses(void **state UNUSED)
{
	static const struct
	{
		const char *text;
		const char *shown; /* NULL: refused */
	} cases[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:443", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[2001:db8::1]:443", "2001:db8::1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"", NULL},
		{"192.0.2", NULL},
		{"192.0.2.256", NULL},
		{"[2001:db8::1", NULL},
		{"[2001:db8::1]x", NULL},
		{"unknown", NULL},
		{"_hidden", NULL},
		{"2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:2001:db8",
		 NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Address address;
		char text[ADDRESS_TEXT_MAX];
		bool good = address_parse(cases[i].text, strlen(cases[i].text),
								  &address);

		if (good != (cases[i].shown != NULL))
			fail_msg("\"%s\" was%s read", cases[i].text, good ? "" : " not");
		if (good)
			assert_string_equal(address_text(&address, text), cases[i].shown);
	}
}

static bool
is_in(const char *text, const char *ranges_text)
{
	Address address;
	AddressRanges ranges;
	bool in;

	assert_true(address_parse(text, strlen(text), &address));
	assert_null(address_ranges_parse(&ranges, ranges_text));
	in = address_in(&address, &ranges);
	address_ranges_release(&ranges);
	return in;
}

static void
knows_ranges(void **state UNUSED)
{
	assert_false(is_in("10.1.2.3", ""));
	assert_true(is_in("10.1.2.3", "10.0.0.0/8"));
	assert_false(is_in("11.1.2.3", "10.0.0.0/8"));
	assert_true(is_in("10.127.0.1", "10.0.0.0/9"));
	assert_false(is_in("10.128.0.1", "10.0.0.0/9"));
	assert_true(is_in("192.0.2.7", "fd00::/8, 192.0.2.7"));
	assert_false(is_in("192.0.2.8", "fd00::/8 192.0.2.7"));
	assert_true(is_in("fd12::1", "10.0.0.0/8 fd00::/8"));
	assert_true(is_in("203.0.113.9", "0.0.0.0/0"));
	assert_false(is_in("2001:db8::1", "0.0.0.0/0"));
	assert_true(is_in("2001:db8::1", "::/0"));
}

static void
refuses_bad_ranges(void **state UNUSED)
{
	static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/-1",
									  "10.0.0.0/",	 "10.0.0.0/8x",
									  "example.org", "fd00::/129",
									  "10.0.0.0/ 8", "192.0.2.1:80",
									  "/8"};
	AddressRanges ranges;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char list[64];

		snprintf(list, sizeof(list), "127.0.0.1 %s", bad[i]);
		if (address_ranges_parse(&ranges, list) == NULL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_null(ranges.ranges);
	}
}

static void
finds_the_client(void **state UNUSED)
{
	static const struct
	{
		const char *header;
		const char *client; /* NULL: none */
	} cases[] = {
		{"203.0.113.9", "203.0.113.9"},
		{"203.0.113.9, 10.0.0.2", "203.0.113.9"},
		/* What the client itself wrote stands before. */
		{"198.51.100.1, 203.0.113.9, 10.0.0.2,10.0.0.3", "203.0.113.9"},
		{"junk, 203.0.113.9", "203.0.113.9"},
		{"10.0.0.4, 10.0.0.2", "10.0.0.4"},
		{"203.0.113.9:55555", "203.0.113.9"},
		{"  2001:db8::1  ", "2001:db8::1"},
		{"203.0.113.9, junk", NULL},
		{"203.0.113.9, junk, 10.0.0.2", NULL},
		{"203.0.113.9,", NULL},
		{"", NULL},
		{",", NULL},
		{"unknown", NULL},
	};
	AddressRanges ranges;

	assert_null(address_ranges_parse(&ranges, "10.0.0.0/8"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Address address;
		char text[ADDRESS_TEXT_MAX] = "";
		bool found = address_forwarded(cases[i].header, &ranges, &address);

		if (found != (cases[i].client != NULL) ||
			(found &&
			 strcmp(address_text(&address, text), cases[i].client) != 0))
			fail_msg("\"%s\": %s", cases[i].header, found ? text : "none");
	}
	address_ranges_release(&ranges);
}

static void
counts_a_household_as_one(void **state UNUSED)
{
	Address a, b, c;

	address_parse("2001:db8:1:2:3::1", 17, &a);
	address_parse("2001:db8:1:2:4::1", 17, &b);
	address_parse("2001:db8:1:3:3::1", 17, &c);
	a = address_person(&a);
	b = address_person(&b);
	c = address_person(&c);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &c, sizeof(a));
	address_parse("192.0.2.1", 9, &a);
	address_parse("192.0.2.2", 9, &b);
	a = address_person(&a);
	b = address_person(&b);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_addresses),
		cmocka_unit_test(knows_ranges),
		cmocka_unit_test(refuses_bad_ranges),
		cmocka_unit_test(finds_the_client),
		cmocka_unit_test(counts_a_household_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
