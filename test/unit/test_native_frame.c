/*
 * test_native_frame.c
 *     Unit tests of the messages of mirusync.v1, in and out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../relay/native_frame.c"

static ErrorCode
parse(const char *text, NativeFrame *frame)
{
	return native_frame_parse(text, strlen(text), "anna", false, frame);
}

static void
test_hello(void **state)
{
	NativeFrame frame;

	(void) state;
	assert_int_equal(
		parse("{\"type\":\"hello\",\"ref\":9007199254740991,\"protocol\":1,"
			  "\"device\":\"ph\\u00f6ne\",\"application\":\"notes 1\","
			  "\"digested\":4,\"token\":\"a.b.c\",\"cursors\":{"
			  "\"bob\":{\"seq\":4},"
			  "\"ann\\u0061\":{\"epoch\":2,\"seq\":7,\"seen\":9,\"x\":[]}}}",
			  &frame),
		ERROR_CODES);
	assert_int_equal(frame.type, MESSAGE_HELLO);
	assert_true(frame.has_ref && frame.ref == INT64_C(9007199254740991));
	assert_true(frame.has_protocol && frame.protocol == 1);
	assert_string_equal(frame.device, "ph\xC3\xB6ne");
	assert_string_equal(frame.application, "notes 1");
	assert_int_equal(frame.cursor.cursor, (INT64_C(2) << 32) + 7);
	assert_int_equal(frame.cursor.seen, (INT64_C(2) << 32) + 9);
	assert_true(frame.has_token);
	assert_memory_equal(frame.token.text, "a.b.c", frame.token.len);

	/* Nothing seen is nothing, in whatever epoch. */
	assert_int_equal(parse("{\"type\":\"hello\",\"cursors\":{\"anna\":{"
						   "\"epoch\":5,\"seq\":0}}}",
						   &frame),
					 ERROR_CODES);
	assert_int_equal(frame.cursor.cursor, 0);
}

static void
test_wrong(void **state)
{
	static const struct
	{
		const char *text;
		ErrorCode code;
	} cases[] = {
		{"", ERROR_BAD_JSON},
		{"{\"type\":\"ping\"", ERROR_BAD_JSON},
		{"{\"type\":\"ping\"} x", ERROR_BAD_JSON},
		{"{\"type\":\"ping\",\"x\":\"\\u0000\"}", ERROR_BAD_JSON},
		{"{\"type\":\"ping\",\"x\":1e999999}", ERROR_BAD_JSON},
		{"[]", ERROR_BAD_MESSAGE},
		{"null", ERROR_BAD_MESSAGE},
		{"{}", ERROR_BAD_MESSAGE},
		{"{\"type\":null}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"pong\"}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"PING\"}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"ping\",\"type\":\"ping\"}", ERROR_BAD_MESSAGE},
		{"{\"typ\\u0065\":\"ping\"}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"ping\",\"ref\":1,\"ref\":1}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"ping\",\"ref\":1.0}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"ping\",\"ref\":-1}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"ping\",\"ref\":9007199254740992}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"device\":7}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"device\":\"\"}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"protocol\":\"1\"}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"cursors\":7}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"cursors\":{\"x\":7}}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"cursors\":{\"x\":{}}}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"cursors\":{\"x\":{\"seq\":-1}}}",
		 ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"cursors\":{\"x\":{\"seq\":4294967296}}}",
		 ERROR_BAD_MESSAGE},
		{"{\"type\":\"hello\",\"cursors\":{\"x\":{\"seq\":1,\"epoch\":2097152}"
		 "}}",
		 ERROR_BAD_MESSAGE},
		{"{\"type\":\"token\",\"token\":\"a\\u0062\"}", ERROR_BAD_MESSAGE},
		{"{\"type\":\"token\",\"token\":7}", ERROR_BAD_MESSAGE},
	};
	NativeFrame frame;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (parse(cases[i].text, &frame) != cases[i].code)
			fail_msg("not so: %s", cases[i].text);
	/* An error can name its message all the same. */
	assert_int_equal(parse("{\"ref\":7,\"type\":\"klingon\"}", &frame),
					 ERROR_BAD_MESSAGE);
	assert_true(frame.has_ref && frame.ref == 7);
}

static void
test_untyped(void **state)
{
	NativeFrame frame;

	(void) state;
	assert_int_equal(native_frame_parse("{}", 2, NULL, true, &frame),
					 ERROR_CODES);
	assert_int_equal(frame.type, MESSAGE_TYPES);
	assert_int_equal(native_frame_parse("{\"type\":\"push\"}", 15, NULL, true,
										&frame),
					 ERROR_BAD_MESSAGE);
}

static void
test_render(void **state)
{
	NativeFrame frame = {.has_ref = true, .ref = 7};
	NativeError error = {.code = ERROR_BUSY, .after_ms = 5, .reason = "a\"b"};
	NativeWelcome welcome = {.session = "s",
							 .user = "u",
							 .greeting = "{\"a\":1}"};
	char buf[NATIVE_REPLY_MAX];

	(void) state;
	assert_true(native_pong(buf, sizeof(buf), &frame, 0, 9) > 0);
	assert_string_equal(
		buf,
		"{\"type\":\"pong\",\"ref\":7,\"time\":"
		"\"1970-01-01T00:00:00.000Z\",\"token_expires_in_ms\":9}");
	assert_true(native_error(buf, sizeof(buf), &error, true) > 0);
	assert_string_equal(buf,
						"{\"error\":{\"code\":\"busy\",\"retry\":true,"
						"\"after_ms\":5,\"reason\":\"a\\\"b\"}}");
	assert_true(native_goodbye(buf, sizeof(buf), CLOSE_BAD_HELLO, "r", 3) > 0);
	assert_string_equal(buf,
						"{\"type\":\"goodbye\",\"code\":4400,"
						"\"reason\":\"r\",\"reconnect\":false}");
	/* The numbers of an epoch go on from those of the one before. */
	assert_true(
		native_nothing(buf, sizeof(buf), "f", 5, (INT64_C(3) << 32) + 6) > 0);
	assert_string_equal(buf,
						"{\"type\":\"changes\",\"feed\":\"f\",\"epoch\":3,"
						"\"from\":5,\"to\":6,\"complete\":true,"
						"\"changes\":[]}");
	assert_true(native_welcome(buf, sizeof(buf), &welcome, NULL) > 0);
	assert_int_equal(json_check(buf, strlen(buf)), JSON_OK);
}

/* The longest user there can be, all of him escaped. */
static void
test_fits(void **state)
{
	char user[256];
	char greeting[2000];
	char buf[NATIVE_REPLY_MAX];
	NativeFrame frame = {.has_ref = true, .ref = INTEGER_MAX};
	NativeWelcome welcome = {.session = "0123456789abcdef",
							 .user = user,
							 .greeting = greeting};
	JsonOut out = {greeting, sizeof(greeting), 0, false};

	(void) state;
	memset(user, 1, 255);
	user[255] = '\0';
	jsonout_text(&out, "{\"heads\":{");
	jsonout_string(&out, user, false, 0);
	jsonout_text(&out, ":{\"epoch\":2097151,\"seq\":4294967295}}}");
	assert_true(jsonout_end(&out) > 0);
	assert_true(native_welcome(buf, sizeof(buf), &welcome, &frame) > 0);
	assert_int_equal(json_check(buf, strlen(buf)), JSON_OK);
	assert_true(native_nothing(buf, sizeof(buf), user, 1, 2) > 0);
	assert_true(native_start_over(buf, sizeof(buf), user, 1) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),	cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_untyped), cmocka_unit_test(test_render),
		cmocka_unit_test(test_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
