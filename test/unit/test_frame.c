/*
 * test_frame.c
 *		Envelopes in, the relay's own messages out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "frame.c"

#define NOW_MS	INT64_C(1795413600123) /* 2026-11-23T06:00:00.123Z */
#define NOW_ISO "2026-11-23T06:00:00.123Z"
#define STAMP	"\"timestamp\":\"2026-11-23T06:00:00.000Z\""

static Frame frame; /* of the last parse */

static FrameResult
parse_bytes(const char *text, size_t len)
{
	char *copy = exact_copy(text, len);
	FrameResult result;

	memset(&frame, 0x55, sizeof(frame));
	result = frame_parse(copy, len, &frame);
	free(copy);
	return result;
}

static FrameResult
parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void
expect(FrameResult wanted, const char *const *texts)
{
	for (; *texts != NULL; texts++)
	{
		FrameResult result = parse(*texts);

		if (result != wanted)
			fail_msg("%s: result %d instead of %d", *texts, result, wanted);
	}
}

static void
reads_an_envelope(void **state UNUSED)
{
	assert_int_equal(parse("{\"type\":\"PING\"," STAMP "}"), FRAME_OK);
	assert_string_equal(frame.type, "PING");
	assert_false(frame.has_last_seq);
	assert_false(frame.has_last_sync_time);

	assert_int_equal(parse("{" STAMP ",\"lastSeq\":4815,\"entry\":{\"type\":1,"
						   "\"timestamp\":2,\"lastSeq\":-1},\"type\":\"X\"}"),
					 FRAME_OK);
	assert_string_equal(frame.type, "X");
	assert_true(frame.has_last_seq);
	assert_true(frame.last_seq == 4815);
}

static void
reads_a_sync_request(void **state UNUSED)
{
	assert_int_equal(parse("{\"type\":\"SYNC_REQUEST\"," STAMP ",\"lastSeq\":0,"
						   "\"lastSyncTime\":\"2026-11-22T05:04:03Z\"}"),
					 FRAME_OK);
	assert_true(frame.has_last_seq);
	assert_true(frame.last_seq == 0);
	assert_true(frame.has_last_sync_time);
	assert_string_equal(frame.last_sync_time, "2026-11-22T05:04:03Z");

	assert_int_equal(parse("{\"type\":\"SYNC_REQUEST\"," STAMP
						   ",\"lastSyncTime\":null}"),
					 FRAME_OK);
	assert_false(frame.has_last_sync_time);
	assert_false(frame.has_last_seq);
}

static void
tells_what_is_no_json(void **state UNUSED)
{
	static const char *const texts[] = {"",
										"hello",
										"{\"type\":\"PING\"," STAMP,
										"{\"type\":\"PING\"," STAMP "}}",
										"{type:\"PING\"," STAMP "}",
										"{\"type\":\"\xFF\"," STAMP "}",
										NULL};

	static const char good[] = "{\"type\":\"PING\"," STAMP "}";

	expect(FRAME_NOT_JSON, texts);

	/* the terminator is one byte too many */
	assert_int_equal(parse_bytes(good, sizeof(good) - 1), FRAME_OK);
	assert_int_equal(parse_bytes(good, sizeof(good)), FRAME_NOT_JSON);
}

static void
refuses_json_that_is_no_envelope(void **state UNUSED)
{
	static const char *const texts[] =
		{"null", "1", "\"PING\"", "[]", "[{\"type\":\"PING\"," STAMP "}]", "{}",
		 "{" STAMP "}", "{\"type\":null," STAMP "}", "{\"type\":1," STAMP "}",
		 "{\"type\":[\"PING\"]," STAMP "}", "{\"type\":\"\"," STAMP "}",
		 "{\"Type\":\"PING\"," STAMP "}",
		 /* jsonb would refuse these */
		 "{\"type\":\"PING\"," STAMP ",\"a\":\"\\u0000\"}",
		 "{\"type\":\"PING\"," STAMP ",\"a\":\"\\ud800\"}",
		 "{\"type\":\"PING\"," STAMP ",\"a\":1e200000}", NULL};

	expect(FRAME_INVALID, texts);
}

/* The message is bounded in depth however well it is formed. */
static void
refuses_depth(void **state UNUSED)
{
	char text[512] = "{\"type\":\"A\"," STAMP ",\"a\":";
	char *pos = text + strlen(text);

	memset(pos, '[', 63);
	memset(pos + 63, ']', 63);
	strcpy(pos + 126, "}");
	assert_int_equal(parse(text), FRAME_OK);

	memset(pos, '[', 64);
	memset(pos + 64, ']', 64);
	strcpy(pos + 128, "}");
	assert_int_equal(parse(text), FRAME_INVALID);
}

static void
bounds_the_type(void **state UNUSED)
{
	static const char longest[] =
		"ABCDEFGHIJABCDEFGHIJABCDEFGHIJABCDEFGHIJABCDEFGHIJABCDEFGHIJABC";
	char text[256];

	assert_int_equal(strlen(longest), 63);
	snprintf(text, sizeof(text), "{\"type\":\"%s\"," STAMP "}", longest);
	assert_int_equal(parse(text), FRAME_OK);
	assert_string_equal(frame.type, longest);

	snprintf(text, sizeof(text), "{\"type\":\"%sD\"," STAMP "}", longest);
	assert_int_equal(parse(text), FRAME_INVALID);

	/* the length that counts is the one without escapes */
	assert_int_equal(parse("{\"type\":\"P\\u0049NG\"," STAMP "}"), FRAME_OK);
	assert_string_equal(frame.type, "PING");
}

/* jsonb keeps the last of two and resolves escapes: no message may differ. */
static void
refuses_ambiguous_keys(void **state UNUSED)
{
	static const char *const bad[] =
		{"{\"type\":\"A\",\"type\":\"B\"," STAMP "}",
		 "{\"type\":\"A\",\"type\":\"A\"," STAMP "}",
		 "{\"type\":\"A\"," STAMP "," STAMP "}",
		 "{\"type\":\"A\"," STAMP ",\"lastSeq\":1,\"lastSeq\":1}",
		 "{\"type\":\"A\"," STAMP
		 ",\"lastSyncTime\":null,\"lastSyncTime\":null}",
		 "{\"t\\u0079pe\":\"A\"," STAMP "}",
		 "{\"type\":\"A\",\"t\\u0079pe\":\"B\"," STAMP "}",
		 "{\"type\":\"A\"," STAMP ",\"last\\u0053eq\":1}",
		 "{\"type\":\"A\"," STAMP ",\"lastSyncTim\\u0065\":null}",
		 "{\"type\":\"A\"," STAMP ",\"\\u0074imestamp\":\"x\"}",
		 NULL};
	static const char *const good[] = {"{\"type\":\"A\"," STAMP
									   ",\"a\":1,\"a\":2}",
									   "{\"type\":\"A\"," STAMP
									   ",\"n\\u0061me\":1}",
									   "{\"type\":\"A\"," STAMP
									   ",\"type2\":1,\"typ\":2,\"\":3}",
									   "{\"type\":\"A\"," STAMP
									   ",\"x\":{\"t\\u0079pe\":1,\"type\":1}}",
									   NULL};

	expect(FRAME_INVALID, bad);
	expect(FRAME_OK, good);
}

static void
checks_the_timestamp(void **state UNUSED)
{
	static const char *const bad[] =
		{"{\"type\":\"A\"}",
		 "{\"type\":\"A\",\"timestamp\":null}",
		 "{\"type\":\"A\",\"timestamp\":1795413600}",
		 "{\"type\":\"A\",\"timestamp\":\"\"}",
		 "{\"type\":\"A\",\"timestamp\":\"now\"}",
		 "{\"type\":\"A\",\"timestamp\":{}}",
		 NULL};

	expect(FRAME_INVALID, bad);
	assert_int_equal(
		parse("{\"type\":\"A\",\"timestamp\":\"2026\\u002d01-01T00:00:00Z\"}"),
		FRAME_OK);
}

static void
checks_last_seq(void **state UNUSED)
{
	static const char *const good[] = {"0", "1", "9007199254740991", NULL};
	static const char *const bad[] = {"-1",	   "-0",
									  "1.0",   "1e3",
									  "0.5",   "9007199254740992",
									  "1e400", "99999999999999999999",
									  "\"1\"", "null",
									  "true",  "[]",
									  "{}",	   NULL};
	char text[256];
	int i;

	for (i = 0; good[i] != NULL; i++)
	{
		snprintf(text, sizeof(text),
				 "{\"type\":\"A\"," STAMP ",\"lastSeq\":%s}", good[i]);
		assert_int_equal(parse(text), FRAME_OK);
		assert_true(frame.has_last_seq);
		assert_true(frame.last_seq == atoll(good[i]));
	}
	for (i = 0; bad[i] != NULL; i++)
	{
		snprintf(text, sizeof(text),
				 "{\"type\":\"A\"," STAMP ",\"lastSeq\":%s}", bad[i]);
		if (parse(text) != FRAME_INVALID)
			fail_msg("lastSeq %s was taken", bad[i]);
	}
}

/* lastSyncTime means something in a SYNC_REQUEST only. */
static void
checks_last_sync_time(void **state UNUSED)
{
	static const char *const bad[] =
		{"{\"type\":\"SYNC_REQUEST\"," STAMP ",\"lastSyncTime\":\"\"}",
		 "{\"type\":\"SYNC_REQUEST\"," STAMP ",\"lastSyncTime\":\"yesterday\"}",
		 "{\"type\":\"SYNC_REQUEST\"," STAMP ",\"lastSyncTime\":0}",
		 "{\"type\":\"SYNC_REQUEST\"," STAMP ",\"lastSyncTime\":false}", NULL};

	expect(FRAME_INVALID, bad);
	assert_int_equal(parse("{\"type\":\"PING\"," STAMP ",\"lastSyncTime\":7}"),
					 FRAME_OK);
	assert_false(frame.has_last_sync_time);
}

static void
leaves_the_result_alone_on_failure(void **state UNUSED)
{
	Frame untouched;

	memset(&untouched, 0x55, sizeof(untouched));
	assert_int_equal(parse("{\"type\":\"A\"}"), FRAME_INVALID);
	assert_memory_equal(&frame, &untouched, sizeof(frame));
}

static void
knows_the_calendar(void **state UNUSED)
{
	static const char *const good[] = {"2026-11-23T06:00:00Z",
									   "2026-11-23T06:00:00.1Z",
									   "2026-11-23T06:00:00.123456789Z",
									   "2024-02-29T00:00:00Z",
									   "2000-02-29T23:59:59.999Z",
									   "0001-01-01T00:00:00Z",
									   "9999-12-31T23:59:59Z",
									   "2026-04-30T00:00:00Z",
									   NULL};
	static const char *const bad[] = {"",
									  "Z",
									  "2026-11-23",
									  "2026-11-23T06:00Z",
									  "2026-11-23T06:00:00",
									  "2026-11-23 06:00:00Z",
									  "2026-11-23t06:00:00Z",
									  "2026-11-23T06:00:00z",
									  "2026-11-23T06:00:00+00:00",
									  "2026-11-23T06:00:00+00",
									  "2026-11-23T06:00:00.Z",
									  "2026-11-23T06:00:00.1234567890Z",
									  "2026-11-23T06:00:00,123Z",
									  "2026-11-23T06:00:00.12xZ",
									  "2026-11-23T06:00:00 Z",
									  "2026-11-23T06:00:00ZZ",
									  "2026-00-23T06:00:00Z",
									  "2026-13-23T06:00:00Z",
									  "2026-11-00T06:00:00Z",
									  "2026-11-31T06:00:00Z",
									  "2026-04-31T06:00:00Z",
									  "2026-02-29T06:00:00Z",
									  "1900-02-29T06:00:00Z",
									  "2026-01-32T06:00:00Z",
									  "2026-11-23T24:00:00Z",
									  "2026-11-23T06:60:00Z",
									  "2026-11-23T06:00:60Z",
									  "0000-01-01T00:00:00Z",
									  "+2026-1-23T06:00:00Z",
									  "2026-11-2xT06:00:00Z",
									  "2026-1 -23T06:00:00Z",
									  "12026-11-23T06:00:00Z",
									  "2026-11-23T06:00:0:Z",
									  "2026/11/23T06:00:00Z",
									  NULL};
	int i;

	for (i = 0; good[i] != NULL; i++)
	{
		if (!frame_is_iso_time(good[i], strlen(good[i])))
			fail_msg("%s was refused", good[i]);
	}
	for (i = 0; bad[i] != NULL; i++)
	{
		if (frame_is_iso_time(bad[i], strlen(bad[i])))
			fail_msg("%s was taken", bad[i]);
	}
}

static void
renders_times(void **state UNUSED)
{
	char buf[32];

	assert_int_equal(frame_iso_time(buf, NOW_MS), 24);
	assert_string_equal(buf, NOW_ISO);
	frame_iso_time(buf, 0);
	assert_string_equal(buf, "1970-01-01T00:00:00.000Z");
	frame_iso_time(buf, -1);
	assert_string_equal(buf, "1969-12-31T23:59:59.999Z");
	frame_iso_time(buf, -1000);
	assert_string_equal(buf, "1969-12-31T23:59:59.000Z");
	frame_iso_time(buf, INT64_C(1709164800000));
	assert_string_equal(buf, "2024-02-29T00:00:00.000Z");
	assert_int_equal(frame_iso_time(buf, INT64_MAX), 24);
	assert_string_equal(buf, "9999-12-31T23:59:59.999Z");
	assert_int_equal(frame_iso_time(buf, INT64_MIN), 24);
	assert_string_equal(buf, "0001-01-01T00:00:00.000Z");
}

/* What we write we would take. */
static void
reads_back_its_times(void **state UNUSED)
{
	char buf[32];
	int64_t ms;

	for (ms = ISO_MS_MIN; ms < ISO_MS_MAX; ms += INT64_C(7777777777777))
	{
		size_t len = frame_iso_time(buf, ms);

		assert_true(frame_is_iso_time(buf, len));
	}
}

static void
assert_rendered(size_t len, const char *buf, const char *wanted)
{
	assert_string_equal(buf, wanted);
	assert_int_equal(len, strlen(wanted));
}

static void
renders_exact_messages(void **state UNUSED)
{
	char buf[FRAME_REPLY_MAX];
	const size_t size = sizeof(buf);

	assert_rendered(frame_welcome(buf, size, NOW_MS), buf,
					"{\"type\":\"WELCOME\",\"message\":\"Connected to "
					"Mirubato sync\",\"timestamp\":\"" NOW_ISO "\"}");
	assert_rendered(frame_pong(buf, size, NOW_MS), buf,
					"{\"type\":\"PONG\",\"timestamp\":\"" NOW_ISO "\"}");
	assert_rendered(frame_auth(buf, size, NOW_MS, NOW_MS), buf,
					"{\"type\":\"AUTH\",\"message\":\"Token accepted\","
					"\"expiresAt\":\"" NOW_ISO "\",\"timestamp\":\"" NOW_ISO
					"\"}");
	assert_rendered(frame_sync_response(buf, size, NOW_MS, "Mutation applied",
										LAST_SEQ_MAX),
					buf,
					"{\"type\":\"SYNC_RESPONSE\",\"message\":\"Mutation "
					"applied\",\"lastSeq\":9007199254740991,"
					"\"timestamp\":\"" NOW_ISO "\"}");
	assert_rendered(frame_error(buf, size, NOW_MS, FRAME_ERROR_NOT_JSON, false),
					buf,
					"{\"type\":\"ERROR\",\"error\":\"Invalid JSON "
					"format\",\"timestamp\":\"" NOW_ISO "\"}");
	assert_rendered(frame_error(buf, size, NOW_MS, FRAME_ERROR_INVALID, true),
					buf,
					"{\"type\":\"ERROR\",\"error\":\"Invalid sync event "
					"format\",\"retryable\":true,\"timestamp\":\"" NOW_ISO
					"\"}");
}

static void
escapes_texts(void **state UNUSED)
{
	char buf[FRAME_REPLY_MAX];

	frame_error(buf, sizeof(buf), NOW_MS,
				"a\"b\\c\n\r\t\b\f\x01\x7F\xC3\xA9\xFFz\xC3", false);
	assert_string_equal(buf,
						"{\"type\":\"ERROR\",\"error\":\"a\\\"b\\\\c\\n\\r\\t"
						"\\b\\f\\u0001\x7F\xC3\xA9\xEF\xBF\xBDz\xEF\xBF\xBD\","
						"\"timestamp\":\"" NOW_ISO "\"}");
	assert_int_equal(json_check(buf, strlen(buf)), JSON_OK);
}

/* In every size: the whole message, a shorter text, or nothing; never more. */
static void
errors_fit_any_buffer(void **state UNUSED)
{
	static const char text[] = "an \"error\"\n of \xE2\x82\xAC\xF0\x9F\x98\x80";
	size_t longest = 0;
	size_t size;
	int retryable;

	for (retryable = 0; retryable < 2; retryable++)
	{
		for (size = 0; size < 200; size++)
		{
			char *buf = malloc(size + 1);
			size_t len;

			assert_non_null(buf);
			buf[size] = '#';
			len = frame_error(buf, size, NOW_MS, text, retryable);
			assert_int_equal(buf[size], '#');
			assert_true(len == 0 || len < size);
			if (len > 0)
			{
				assert_int_equal(buf[len], '\0');
				assert_int_equal(json_check(buf, len), JSON_OK);
				assert_non_null(strstr(buf, NOW_ISO "\"}"));
			}
			else if (size > 0)
				assert_int_equal(buf[0], '\0');
			assert_true(len + 8 >= longest || len == 0);
			if (len > longest)
				longest = len;
			free(buf);
		}
		longest = 0;
	}
}

static void
error_text_is_cut(void **state UNUSED)
{
	char text[4096];
	char buf[FRAME_REPLY_MAX];
	size_t len;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	len = frame_error(buf, sizeof(buf), NOW_MS, text, true);
	assert_int_equal(len, sizeof(buf) - 1);
	assert_int_equal(json_check(buf, len), JSON_OK);
	assert_non_null(strstr(buf, "x\",\"retryable\":true,\"timestamp\":"));
}

/* The others have no text that could be cut: all or nothing. */
static void
others_are_never_cut(void **state UNUSED)
{
	char buf[256];
	size_t whole = frame_sync_response(buf, sizeof(buf), NOW_MS,
									   "Sync complete", 5);

	assert_int_equal(frame_sync_response(buf, whole + 1, NOW_MS,
										 "Sync complete", 5),
					 whole);
	assert_int_equal(frame_sync_response(buf, whole, NOW_MS, "Sync complete",
										 5),
					 0);
	assert_int_equal(frame_pong(buf, 10, NOW_MS), 0);
	assert_int_equal(frame_pong(buf, 0, NOW_MS), 0);
	assert_int_equal(frame_welcome(buf, 60, NOW_MS), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_an_envelope),
		cmocka_unit_test(reads_a_sync_request),
		cmocka_unit_test(tells_what_is_no_json),
		cmocka_unit_test(refuses_json_that_is_no_envelope),
		cmocka_unit_test(refuses_depth),
		cmocka_unit_test(bounds_the_type),
		cmocka_unit_test(refuses_ambiguous_keys),
		cmocka_unit_test(checks_the_timestamp),
		cmocka_unit_test(checks_last_seq),
		cmocka_unit_test(checks_last_sync_time),
		cmocka_unit_test(leaves_the_result_alone_on_failure),
		cmocka_unit_test(knows_the_calendar),
		cmocka_unit_test(renders_times),
		cmocka_unit_test(reads_back_its_times),
		cmocka_unit_test(renders_exact_messages),
		cmocka_unit_test(escapes_texts),
		cmocka_unit_test(errors_fit_any_buffer),
		cmocka_unit_test(error_text_is_cut),
		cmocka_unit_test(others_are_never_cut),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
