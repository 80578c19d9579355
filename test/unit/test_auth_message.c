/*
 * test_auth_message.c
 *		Messages that bring a token, and those that do not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "auth_message.c"

static JsonSpan token;

static AuthMessageKind
read_text(const char *text)
{
	char *copy = exact_copy(text, strlen(text));
	AuthMessageKind kind = auth_message_read(copy, strlen(text), &token);

	/* what the span points to is gone afterwards; its length is not */
	free(copy);
	return kind;
}

static void
reads_both_kinds(void **state UNUSED)
{
	assert_int_equal(read_text("{\"type\":\"AUTH\",\"token\":\"a.b.c\"}"),
					 AUTH_MESSAGE_AUTH);
	assert_int_equal(token.len, 5);
	assert_int_equal(read_text(" {\"x\":[{\"token\":1}],\"token\":\"t\","
							   "\"timestamp\":\"…\",\"type\":\"AUTH\"} "),
					 AUTH_MESSAGE_AUTH);
	assert_int_equal(token.len, 1);
	assert_int_equal(read_text("{\"type\":\"hello\",\"device\":\"d\","
							   "\"token\":\"t\"}"),
					 AUTH_MESSAGE_HELLO);
}

static void
refuses_the_rest(void **state UNUSED)
{
	static const char *const others[] =
		{"",
		 "{}",
		 "[]",
		 "null",
		 "{\"type\":\"AUTH\"}",
		 "{\"token\":\"t\"}",
		 "{\"type\":\"AUTH\",\"token\":\"\"}",
		 "{\"type\":\"AUTH\",\"token\":7}",
		 "{\"type\":\"AUTH\",\"token\":null}",
		 "{\"type\":\"auth\",\"token\":\"t\"}",
		 "{\"type\":7,\"token\":\"t\"}",
		 "{\"type\":\"PING\",\"token\":\"t\"}",
		 "{\"type\":\"AUTH\",\"token\":\"t\",\"token\":\"u\"}",
		 "{\"type\":\"AUTH\",\"type\":\"AUTH\",\"token\":\"t\"}",
		 "{\"type\":\"hello\",\"type\":\"AUTH\",\"token\":\"t\"}",
		 "{\"type\":\"AUTH\",\"t\\u006fken\":\"t\"}",
		 "{\"type\":\"A\\u0055TH\",\"token\":\"t\"}",
		 "{\"type\":\"AUTH\",\"token\":\"\\u0074\"}",
		 "{\"type\":\"AUTH\",\"token\":\"t\"}x",
		 "{\"type\":\"AUTH\",\"token\":\"t\"",
		 "{\"type\":\"AUTH\",\"token\":\"\xFF\"}",
		 NULL};

	for (int i = 0; others[i] != NULL; i++)
		if (read_text(others[i]) != AUTH_MESSAGE_NONE)
			fail_msg("%s was taken", others[i]);
}

/* The quick look never misses one that the slow look would take. */
static void
looks_quickly(void **state UNUSED)
{
	static const char good[] = "{\"type\" : \"AUTH\",\"token\":\"t\"}";
	static const char other[] = "{\"type\":\"AUTHOR_ADDED\"}";

	assert_true(auth_message_maybe(good, strlen(good)));
	assert_false(auth_message_maybe(other, strlen(other)));
	assert_false(auth_message_maybe("", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both_kinds),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(looks_quickly),
	};

	return cmocka_run_group_tests_name("auth_message", tests, NULL, NULL);
}
