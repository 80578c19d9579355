/*
 * test_json.c
 *		The JSON scanner: what it takes, what it refuses, what it calls
 *		unstorable.  The verdicts were compared with those of PostgreSQL 15's
 *		json and jsonb over 100,000 random texts; the boundaries found there
 *		are fixed here.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "json.c"

static JsonResult
check_bytes(const char *text, size_t len)
{
	char *copy = exact_copy(text, len);
	JsonResult result = json_check(copy, len);

	free(copy);
	return result;
}

static void
expect(JsonResult wanted, const char *const *texts)
{
	for (; *texts != NULL; texts++)
	{
		JsonResult result = check_bytes(*texts, strlen(*texts));

		if (result != wanted)
			fail_msg("%s: result %d instead of %d", *texts, result, wanted);
	}
}

/* repeat builds "head" n times, then "middle", then "tail" n times. */
static JsonResult
check_nested(const char *head, const char *middle, const char *tail, int n)
{
	size_t size = (strlen(head) + strlen(tail)) * n + strlen(middle) + 1;
	char *text = calloc(1, size);
	char *pos = text;
	JsonResult result;
	int i;

	assert_non_null(text);
	for (i = 0; i < n; i++)
		pos = stpcpy(pos, head);
	pos = stpcpy(pos, middle);
	for (i = 0; i < n; i++)
		pos = stpcpy(pos, tail);
	result = check_bytes(text, pos - text);
	free(text);
	return result;
}

/* Everything that RFC 8259 allows, at the top level and within. */
static void
accepts_json(void **state UNUSED)
{
	static const char *const texts[] =
		{"{}",
		 "[]",
		 "null",
		 "true",
		 "false",
		 "0",
		 "-0",
		 "\"\"",
		 "\"a\"",
		 " \t\r\n{ } \n",
		 "{\"a\":1}",
		 "{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }",
		 "[[],{},[{}],{\"\":[]}]",
		 "[1,-1,0.5,1e5,1E+5,1e-5,-1.5e05]",
		 "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
		 "\"\x7F\"",
		 "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"",
		 "\"\\uD83D\\uDE00\\udbff\\udfff\"",
		 "\"\xEF\xBF\xBF\"",
		 "{\"a\":{\"b\":{\"c\":[1,{\"d\":null}]}},\"a\":2}",
		 NULL};

	expect(JSON_OK, texts);
}

static void
refuses_what_is_no_json(void **state UNUSED)
{
	static const char *const texts[] = {"",
										" ",
										"{",
										"}",
										"[",
										"]",
										"{]",
										"[}",
										"[1",
										"[1,",
										"[1,]",
										"[,1]",
										"[1 2]",
										"{\"a\"}",
										"{\"a\":}",
										"{\"a\":1,}",
										"{,}",
										"{a:1}",
										"{'a':1}",
										"{\"a\" 1}",
										"{\"a\":1 \"b\":2}",
										"{1:2}",
										"{\"a\":1}}",
										"{\"a\":[1}",
										"{\"a\":1]",
										"{} {}",
										"{}x",
										"1 2",
										"nul",
										"nulll",
										"True",
										"NaN",
										"Infinity",
										"-Infinity",
										"undefined",
										"'a'",
										"[1]//x",
										"\x0B{}",
										"\xC2\xA0{}",
										"\xEF\xBB\xBF{}",
										NULL};

	expect(JSON_INVALID, texts);
}

static void
refuses_bad_numbers(void **state UNUSED)
{
	static const char *const texts[] = {"01",	 "-01",	 "00",	  "+1",	 "-",
										".5",	 "5.",	 "1.e5",  "1e",	 "1e+",
										"1E-",	 "0x10", "1_000", "1,5", "--1",
										"1e5.5", "-a",	 NULL};

	expect(JSON_INVALID, texts);
}

static void
refuses_bad_strings(void **state UNUSED)
{
	static const char *const texts[] =
		{"\"", "\"a", "\"\\", "\"\\\"", "\"\\x\"", "\"\\u\"", "\"\\u12\"",
		 "\"\\u12g4\"", "\"\\U0041\"", "\"\n\"", "\"\t\"", "\"\x1F\"",
		 "\"\\ud83d\\u\"", "\"\\ud83d\\u12\"", "\"\\'\"",
		 /* stray, missing, overlong, surrogate, too high, never used */
		 "\"\x80\"", "\"\xC3\"", "\"\xC3(\"", "\"\xE2\x82(\"",
		 "\"\xE2\x82\xC0\"", "\"\xF0\x9F(\x80\"", "\"\xF0\x9F\x98(\"",
		 "\"\xE2\x82\"", "\"\xC0\x80\"", "\"\xC1\xBF\"", "\"\xE0\x9F\xBF\"",
		 "\"\xED\xA0\x80\"", "\"\xF0\x8F\xBF\xBF\"", "\"\xF4\x90\x80\x80\"",
		 "\"\xF5\x80\x80\x80\"", "\"\xFF\"", NULL};

	expect(JSON_INVALID, texts);
	assert_int_equal(check_bytes("\"a\0b\"", 5), JSON_INVALID);
	assert_int_equal(check_bytes("\"\\\0\"", 4), JSON_INVALID);
	assert_int_equal(check_bytes("{}\0", 3), JSON_INVALID);
	assert_int_equal(check_bytes("\0{}", 3), JSON_INVALID);
}

/* Each is JSON, and each fails in jsonb. */
static void
tells_what_jsonb_refuses(void **state UNUSED)
{
	static const char *const texts[] = {"\"\\u0000\"",
										"{\"\\u0000\":1}",
										"[{\"a\":[\"\\u0000\"]}]",
										"\"\\ud83d\"",
										"\"\\ude00\"",
										"\"\\ud83dx\"",
										"\"\\ud83d\\n\"",
										"\"\\ud83d\\u0041\"",
										"\"\\ud83d\\ud83d\\ude00\"",
										"1e131072",
										"-1e131072",
										"10e131071",
										"0.1e131073",
										"1e200000",
										"[1e999999]",
										"1e-16384",
										"1.5e-16383",
										"0e-16384",
										"0.00e-16382",
										"1e1073741823",
										"0e1073741823",
										"1e99999999999999999999",
										"1e-99999999999999999999",
										NULL};

	expect(JSON_UNSTORABLE, texts);
}

/* The greatest and smallest that jsonb still takes. */
static void
accepts_numeric_bounds(void **state UNUSED)
{
	static const char *const texts[] = {"1e131071",	  "-9e131071",
										"0.1e131072", "0.001e131074",
										"10e131070",  "1e-16383",
										"1.5e-16382", "0e200000",
										"0.0e-16382", "0e1073741822",
										NULL};
	char digits[NUMERIC_SCALE_MAX + 8];

	expect(JSON_OK, texts);

	memset(digits, '1', sizeof(digits));
	digits[1] = '.';
	assert_int_equal(check_bytes(digits, 2 + NUMERIC_SCALE_MAX), JSON_OK);
	assert_int_equal(check_bytes(digits, 3 + NUMERIC_SCALE_MAX),
					 JSON_UNSTORABLE);
}

/* No JSON outweighs unstorable, wherever the two stand. */
static void
worst_fault_wins(void **state UNUSED)
{
	static const char *const texts[] = {"[\"\\u0000\",]", "[1e200000",
										"{\"\\ud800\":1}}", "\"\\u0000\\x\"",
										NULL};

	expect(JSON_INVALID, texts);
	assert_int_equal(check_nested("[", "\"\\u0000\"", "]", JSON_DEPTH_MAX),
					 JSON_UNSTORABLE);
}

static void
limits_depth(void **state UNUSED)
{
	assert_int_equal(check_nested("[", "", "]", 64), JSON_OK);
	assert_int_equal(check_nested("[", "1", "]", 64), JSON_OK);
	assert_int_equal(check_nested("[", "", "]", 65), JSON_TOO_DEEP);
	assert_int_equal(check_nested("{\"a\":", "1", "}", 64), JSON_OK);
	assert_int_equal(check_nested("{\"a\":", "{}", "}", 63), JSON_OK);
	assert_int_equal(check_nested("{\"a\":", "{}", "}", 64), JSON_TOO_DEEP);
	assert_int_equal(check_nested("[{\"a\":", "1", "}]", 32), JSON_OK);
	assert_int_equal(check_nested("[{\"a\":", "[]", "}]", 32), JSON_TOO_DEEP);
	assert_int_equal(check_nested("[", "", "", 100000), JSON_TOO_DEEP);
	assert_int_equal(check_nested("[", "", "]", 100000), JSON_TOO_DEEP);

	/* the brackets must still match in the last level */
	assert_int_equal(check_nested("[", "", "}", 64), JSON_INVALID);
	assert_int_equal(check_nested("[1,", "[]", "]", 63), JSON_OK);
}

/* No cut of a good text is good, and no byte behind it is read. */
static void
refuses_every_prefix(void **state UNUSED)
{
	static const char text[] =
		"{\"a\":[1,-2.5e+10,true,false,null,{\"b\":\"\\u00e9\\ud83d\\ude00"
		"\xF0\x9F\x98\x80\\n\"}],\"\\\"\":{}}";
	size_t len;

	assert_int_equal(check_bytes(text, sizeof(text) - 1), JSON_OK);
	for (len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(check_bytes(text, len), JSON_INVALID);
}

static void
assert_span(JsonSpan span, const char *text)
{
	assert_int_equal(span.len, strlen(text));
	assert_memory_equal(span.text, text, span.len);
}

static void
walks_members(void **state UNUSED)
{
	static const char text[] =
		" { \"a\" : 1 , \"b\\n\":\"x\\ty\", \"c\":[1,{\"a\":2}] ,"
		"\"d\":{\"e\":[]},\"e\":null,\"f\":true,\"g\":false,\"\":-1.5e3 } ";
	static const struct
	{
		const char *key;
		JsonType type;
		const char *value;
	} wanted[] = {{"a", JSON_NUMBER, "1"},
				  {"b\\n", JSON_STRING, "x\\ty"},
				  {"c", JSON_ARRAY, "[1,{\"a\":2}]"},
				  {"d", JSON_OBJECT, "{\"e\":[]}"},
				  {"e", JSON_NULL, "null"},
				  {"f", JSON_TRUE, "true"},
				  {"g", JSON_FALSE, "false"},
				  {"", JSON_NUMBER, "-1.5e3"}};
	const size_t count = sizeof(wanted) / sizeof(wanted[0]);
	JsonCursor cursor;
	JsonMember member;
	size_t i;

	json_open(&cursor, text, sizeof(text) - 1);
	assert_int_equal(cursor.type, JSON_OBJECT);
	for (i = 0; i < count; i++)
	{
		assert_true(json_next(&cursor, &member));
		assert_span(member.key, wanted[i].key);
		assert_int_equal(member.type, wanted[i].type);
		assert_span(member.value, wanted[i].value);
		assert_int_equal(member.key_escaped, i == 1);
		assert_int_equal(member.value_escaped, i == 1);
	}
	assert_false(json_next(&cursor, &member));
	assert_false(json_next(&cursor, &member));
	assert_int_equal(cursor.result, JSON_OK);
}

/* What follows the last member still decides. */
static void
verdict_comes_at_the_end(void **state UNUSED)
{
	static const char text[] = "{\"a\":1} x";
	JsonCursor cursor;
	JsonMember member;

	json_open(&cursor, text, sizeof(text) - 1);
	assert_true(json_next(&cursor, &member));
	assert_false(json_next(&cursor, &member));
	assert_int_equal(cursor.result, JSON_INVALID);
	assert_false(json_next(&cursor, &member));
}

static void
tells_top_level_type(void **state UNUSED)
{
	static const char *const texts[] = {"null", "false", "true", "1",
										"\"\"", "[]",	 "{}"};
	JsonCursor cursor;
	JsonMember member;
	int i;

	for (i = JSON_NULL; i <= JSON_OBJECT; i++)
	{
		json_open(&cursor, texts[i], strlen(texts[i]));
		assert_int_equal(cursor.type, i);
		assert_false(json_next(&cursor, &member));
		assert_int_equal(cursor.result, JSON_OK);
	}
}

static JsonSpan
span_of(const char *text)
{
	JsonSpan span = {text, strlen(text)};

	return span;
}

static void
unescapes(void **state UNUSED)
{
	char out[32];
	size_t len;

	assert_true(json_unescape(span_of("a\\\"\\\\\\/\\b\\f\\n\\r\\tz"), out,
							  sizeof(out), &len));
	assert_string_equal(out, "a\"\\/\b\f\n\r\tz");
	assert_int_equal(len, 10);
	assert_true(json_unescape(
		span_of("\\u0041\\u007f\\u0080\\u07ff\\u0800\\uffff\\ud83d\\ude00"),
		out, sizeof(out), NULL));
	assert_string_equal(out,
						"A\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"
						"\xF0\x9F\x98\x80");
	assert_true(json_unescape(span_of(""), out, 1, &len));
	assert_int_equal(len, 0);

	/* what has no place in a C string of UTF-8 */
	assert_false(json_unescape(span_of("a\\u0000"), out, sizeof(out), &len));
	assert_false(json_unescape(span_of("\\ud83d"), out, sizeof(out), &len));
	assert_false(json_unescape(span_of("\\ude00"), out, sizeof(out), &len));
}

/* The terminator has its place too, and no character is cut. */
static void
unescape_respects_size(void **state UNUSED)
{
	char *out = malloc(4);

	assert_non_null(out);
	assert_true(json_unescape(span_of("abc"), out, 4, NULL));
	assert_false(json_unescape(span_of("abcd"), out, 4, NULL));
	assert_true(json_unescape(span_of("\\u20ac"), out, 4, NULL));
	assert_false(json_unescape(span_of("a\\u20ac"), out, 4, NULL));
	assert_false(json_unescape(span_of("\\ud83d\\ude00"), out, 4, NULL));
	assert_false(json_unescape(span_of(""), out, 0, NULL));
	free(out);
}

static void
compares_with_escapes_resolved(void **state UNUSED)
{
	assert_true(json_equals(span_of("type"), "type"));
	assert_true(json_equals(span_of("t\\u0079pe"), "type"));
	assert_true(json_equals(span_of("\\ud83d\\ude00"), "\xF0\x9F\x98\x80"));
	assert_true(json_equals(span_of(""), ""));
	assert_false(json_equals(span_of("typ"), "type"));
	assert_false(json_equals(span_of("types"), "type"));
	assert_false(json_equals(span_of("type\\u0000"), "type"));
	assert_false(json_equals(span_of("\\ud83d\\ude00"), "\xF0\x9F"));
	assert_false(json_equals(span_of("a"), ""));
}

static void
reads_integers(void **state UNUSED)
{
	static const struct
	{
		const char *text;
		int64_t value;
	} good[] = {{"0", 0},
				{"7", 7},
				{"-7", -7},
				{"9007199254740993", 9007199254740993},
				{"9223372036854775807", INT64_MAX},
				{"-9223372036854775808", INT64_MIN}};
	static const char *const bad[] = {"",
									  "-",
									  "-0",
									  "01",
									  "1.0",
									  "1e3",
									  "1.5",
									  "-01",
									  "9223372036854775808",
									  "-9223372036854775809",
									  "1000000000000000000000",
									  NULL};
	int64_t value;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_true(json_integer(span_of(good[i].text), &value));
		assert_true(value == good[i].value);
	}
	for (i = 0; bad[i] != NULL; i++)
	{
		if (json_integer(span_of(bad[i]), &value))
			fail_msg("%s was read as an integer", bad[i]);
	}
}

/* walk counts the elements of an array; -1 if it is none. */
static int
walk(const char *text)
{
	JsonCursor cursor;
	JsonMember element;
	char *copy = exact_copy(text, strlen(text));
	int count = 0;

	json_open_array(&cursor, copy, strlen(text));
	while (json_next_element(&cursor, &element))
		count++;
	free(copy);
	return cursor.result == JSON_OK ? count : -1;
}

static void
walks_elements(void **state UNUSED)
{
	static const char *const bad[] = {"",		"[",		  "]",	   "[,]",
									  "[1,]",	"[1",		  "[1,",   "[1 2]",
									  "[1]x",	"[1,]]",	  "{}",	   "1",
									  "\"[]\"", "[[1]",		  "[1,]2", "[}",
									  "[1}",	"[\"\xFF\"]", NULL};
	JsonCursor cursor;
	JsonMember element;
	int i;

	assert_int_equal(walk("[]"), 0);
	assert_int_equal(walk(" [ ] "), 0);
	assert_int_equal(walk("[1]"), 1);
	assert_int_equal(walk(" [ 1 , \"a\" , [2,3] , {\"a\":[]} , null ] "), 5);
	for (i = 0; bad[i] != NULL; i++)
		if (walk(bad[i]) != -1)
			fail_msg("%s was taken", bad[i]);

	json_open_array(&cursor, "[\"a\\n\",{}]", 10);
	assert_true(json_next_element(&cursor, &element));
	assert_int_equal(element.type, JSON_STRING);
	assert_int_equal(element.value.len, 3);
	assert_true(element.value_escaped);
	assert_true(json_next_element(&cursor, &element));
	assert_int_equal(element.type, JSON_OBJECT);
	assert_false(json_next_element(&cursor, &element));
	assert_int_equal(cursor.result, JSON_OK);
	assert_false(json_next_element(&cursor, &element));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_json),
		cmocka_unit_test(refuses_what_is_no_json),
		cmocka_unit_test(refuses_bad_numbers),
		cmocka_unit_test(refuses_bad_strings),
		cmocka_unit_test(tells_what_jsonb_refuses),
		cmocka_unit_test(accepts_numeric_bounds),
		cmocka_unit_test(worst_fault_wins),
		cmocka_unit_test(limits_depth),
		cmocka_unit_test(refuses_every_prefix),
		cmocka_unit_test(walks_members),
		cmocka_unit_test(verdict_comes_at_the_end),
		cmocka_unit_test(tells_top_level_type),
		cmocka_unit_test(unescapes),
		cmocka_unit_test(unescape_respects_size),
		cmocka_unit_test(compares_with_escapes_resolved),
		cmocka_unit_test(reads_integers),
		cmocka_unit_test(walks_elements),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
