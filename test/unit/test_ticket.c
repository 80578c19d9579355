/*
 * test_ticket.c
 *		Tickets that can be opened, and all that cannot.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "ticket.c"

#define NOW_MS INT64_C(1795413600000)

static const Claims anna = {.user = "anna",
							.device = "phone",
							.exp = 1795417200,
							.iat = 1795413000,
							.has_iat = true};

static int
set_up(void **state UNUSED)
{
	ticket_set_key((const unsigned char *) "key", 3);
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	ticket_release();
	return 0;
}

static void
opens_what_was_sealed(void **state UNUSED)
{
	char text[TICKET_TEXT_MAX];
	char again[TICKET_TEXT_MAX];
	Ticket ticket;
	Ticket other;

	assert_true(ticket_seal(&anna, NOW_MS + 1, text));
	assert_true(ticket_open(text, NOW_MS, &ticket));
	assert_memory_equal(&ticket.claims, &anna, sizeof(anna));
	assert_true(ticket.expires_ms == NOW_MS + 1);
	assert_int_equal(strlen(ticket.hash), 64);

	/* no two are alike, nor their hashes; the same one has the same hash */
	assert_true(ticket_seal(&anna, NOW_MS + 1, again));
	assert_string_not_equal(text, again);
	assert_true(ticket_open(again, NOW_MS, &other));
	assert_string_not_equal(ticket.hash, other.hash);
	assert_true(ticket_open(text, NOW_MS, &other));
	assert_string_equal(ticket.hash, other.hash);

	/* its time ends in the very millisecond */
	assert_false(ticket_open(text, NOW_MS + 1, &ticket));
}

static void
holds_the_longest_names(void **state UNUSED)
{
	char text[TICKET_TEXT_MAX];
	Claims claims = {.exp = INT64_MAX, .iat = INT64_MIN};
	Ticket ticket;

	memset(claims.user, 'u', 255);
	memset(claims.device, 'd', 255);
	assert_true(ticket_seal(&claims, NOW_MS + 1, text));
	assert_true(strlen(text) < TICKET_TEXT_MAX);
	assert_true(ticket_open(text, NOW_MS, &ticket));
	assert_memory_equal(&ticket.claims, &claims, sizeof(claims));
}

static void
refuses_every_change(void **state UNUSED)
{
	char text[TICKET_TEXT_MAX + 4];
	Ticket ticket;
	size_t len;

	assert_true(ticket_seal(&anna, NOW_MS + 1, text));
	len = strlen(text);
	for (size_t i = 0; i < len; i++)
	{
		char kept = text[i];

		text[i] = kept == 'A' ? 'B' : 'A';
		assert_false(ticket_open(text, NOW_MS, &ticket));
		text[i] = kept;
	}
	for (size_t i = 0; i < len; i++)
	{
		char *copy = exact_copy(text, i + 1);

		copy[i] = '\0';
		assert_false(ticket_open(copy, NOW_MS, &ticket));
		free(copy);
	}
	strcpy(text + len, "AAA");
	assert_false(ticket_open(text, NOW_MS, &ticket));
	strcpy(text + len, "=");
	assert_false(ticket_open(text, NOW_MS, &ticket));
	text[len] = '\0';
	assert_true(ticket_open(text, NOW_MS, &ticket));

	/* of another database */
	ticket_set_key((const unsigned char *) "kez", 3);
	assert_false(ticket_open(text, NOW_MS, &ticket));
	assert_string_equal(ticket.claims.user, "");
}

static void
needs_a_key(void **state UNUSED)
{
	char text[TICKET_TEXT_MAX];
	Ticket ticket;

	assert_true(ticket_seal(&anna, NOW_MS + 1, text));
	ticket_release();
	assert_false(ticket_open(text, NOW_MS, &ticket));
	assert_false(ticket_seal(&anna, NOW_MS + 1, text));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_what_was_sealed),
		TEST(holds_the_longest_names),
		TEST(refuses_every_change),
		TEST(needs_a_key),
	};

	return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
