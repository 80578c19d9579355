/*
 * test_doorbell.c
 *		The names of feeds in payloads.  The expected hashes were computed by
 *		sha256sum; the extension must give the same (see contract in
 *		doorbell.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "doorbell.c"

static void
assert_hash(const char *key, size_t key_len, const char *feed,
			const char *wanted)
{
	char hex[17];

	memset(hex, '#', sizeof(hex));
	doorbell_hash((const unsigned char *) key, key_len, feed, strlen(feed),
				  hex);
	assert_string_equal(hex, wanted);
}

static void
hashes_key_and_feed(void **state UNUSED)
{
	assert_hash("key", 3, "anna", "d10c793d8ad99c35");
	assert_hash("\x00\x01\xff", 3, "Jos\xC3\xA9", "0fa2033e85d29908");
	assert_hash("", 0, "", "e3b0c44298fc1c14");
}

static void
shard_is_the_first_byte(void **state UNUSED)
{
	assert_int_equal(doorbell_shard("0000000000000000", 16), 0);
	assert_int_equal(doorbell_shard("ff00000000000000", 16), 15);
	assert_int_equal(doorbell_shard("ff00000000000000", 256), 255);
	assert_int_equal(doorbell_shard("1fffffffffffffff", 10), 1);
	assert_int_equal(doorbell_shard("a5ffffffffffffff", 1), 0);
}

static void
shard_refuses_what_is_no_hash(void **state UNUSED)
{
	static const char none[17] = "";
	static const char half[17] = "0";

	assert_int_equal(doorbell_shard("g000000000000000", 16), -1);
	assert_int_equal(doorbell_shard("0G00000000000000", 16), -1);
	assert_int_equal(doorbell_shard("A000000000000000", 16), -1);
	assert_int_equal(doorbell_shard(none, 16), -1);
	assert_int_equal(doorbell_shard(half, 16), -1);
	assert_int_equal(doorbell_shard("0000000000000000", 0), -1);
}

static void
reads_payloads(void **state UNUSED)
{
	const char *payload = "0123456789abcdef fedcba9876543210";
	char hex[17];

	assert_true(doorbell_next(&payload, hex));
	assert_string_equal(hex, "0123456789abcdef");
	assert_true(doorbell_next(&payload, hex));
	assert_string_equal(hex, "fedcba9876543210");
	assert_false(doorbell_next(&payload, hex));
	assert_false(doorbell_next(&payload, hex));
}

/* Any role may NOTIFY anything: only whole hashes count. */
static void
skips_what_is_no_hash(void **state UNUSED)
{
	const char *payload =
		"  x 0123456789abcde 0123456789abcdef0 0123456789ABCDEF "
		"0123456789abcdeg 42 \xFF 00112233445566aa  ";
	char hex[17];

	assert_true(doorbell_next(&payload, hex));
	assert_string_equal(hex, "00112233445566aa");
	assert_false(doorbell_next(&payload, hex));

	payload = "";
	assert_false(doorbell_next(&payload, hex));
	payload = "   ";
	assert_false(doorbell_next(&payload, hex));
}

static void
one_payload_names_all(void **state UNUSED)
{
	const char *payload = "*";
	char hex[17];

	assert_true(doorbell_names_all("*"));
	assert_false(doorbell_names_all(""));
	assert_false(doorbell_names_all("**"));
	assert_false(doorbell_names_all("* 0123456789abcdef"));
	/* A relay that does not know it skips it. */
	assert_false(doorbell_next(&payload, hex));
}

/* A ring about access is a mark and one hash, and no ring about a feed. */
static void
tells_rings_about_access(void **state UNUSED)
{
	static const char *const others[] = {"",
										 "!",
										 "00112233445566aa",
										 "!00112233445566a",
										 "!00112233445566aaa",
										 "!00112233445566aa ",
										 "! 00112233445566aa",
										 "!00112233445566AA",
										 "!0011223344556\xFF"
										 "aa",
										 NULL};
	const char *payload = "!00112233445566aa";
	char hex[17] = "";
	int i;

	assert_true(doorbell_access(payload, hex));
	assert_string_equal(hex, "00112233445566aa");
	assert_false(doorbell_next(&payload, hex));
	for (i = 0; others[i] != NULL; i++)
	{
		char *copy = exact_copy(others[i], strlen(others[i]) + 1);

		assert_false(doorbell_access(copy, hex));
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_key_and_feed),
		cmocka_unit_test(shard_is_the_first_byte),
		cmocka_unit_test(shard_refuses_what_is_no_hash),
		cmocka_unit_test(reads_payloads),
		cmocka_unit_test(skips_what_is_no_hash),
		cmocka_unit_test(one_payload_names_all),
		cmocka_unit_test(tells_rings_about_access),
	};

	return cmocka_run_group_tests_name("doorbell", tests, NULL, NULL);
}
