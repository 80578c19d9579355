/*
 * test_log.c
 *		Lines of the log: their shape, and that nobody can forge one.
 *
 * The lines go into a pipe instead of to stderr.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include <fcntl.h>

#include "log.c"

static int pipe_fds[2];
static char written[2 * LINE_MAX_BYTES]; /* by the last read_log() */

#define STAMP_LEN 25 /* with the blank behind it */

static int
set_up(void **state UNUSED)
{
	if (pipe(pipe_fds) != 0)
		return -1;
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	log_fd = pipe_fds[1];
	log_set_level("info");
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	log_fd = STDERR_FILENO;
	return 0;
}

/* read_log returns what was logged since, without the first line's time. */
static const char *
read_log(void)
{
	ssize_t len = read(pipe_fds[0], written, sizeof(written) - 1);

	written[len > 0 ? len : 0] = '\0';
	return len > STAMP_LEN ? written + STAMP_LEN : written;
}

static void
line_has_time_level_and_text(void **state UNUSED)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
	int i;

	log_info("session opened session=%s user=%s n=%d", "7f3a", "anna", 5);
	assert_string_equal(read_log(),
						"info session opened session=7f3a user=anna n=5\n");
	for (i = 0; shape[i] != '\0'; i++)
	{
		if (shape[i] == 'd')
			assert_in_range(written[i], '0', '9');
		else
			assert_int_equal(written[i], shape[i]);
	}
}

static void
each_level_has_its_name(void **state UNUSED)
{
	assert_true(log_set_level("debug"));
	log_debug("a");
	assert_string_equal(read_log(), "debug a\n");
	log_info("a");
	assert_string_equal(read_log(), "info a\n");
	log_warn("a");
	assert_string_equal(read_log(), "warn a\n");
	log_error("a");
	assert_string_equal(read_log(), "error a\n");
}

static void
level_drops_what_is_below(void **state UNUSED)
{
	LogLimit limit = {0, 0, 0};

	log_debug("a");
	assert_string_equal(read_log(), "");
	assert_false(log_enabled(LOG_LEVEL_DEBUG));
	assert_true(log_set_level("error"));
	log_info("a");
	log_warn("a");
	log_limited(&limit, LOG_LEVEL_WARN, "a");
	assert_string_equal(read_log(), "");
	log_error("a");
	assert_string_equal(read_log(), "error a\n");
	assert_true(log_enabled(LOG_LEVEL_ERROR));

	/* what is dropped by level counts nowhere */
	assert_true(limit.next_ms == 0);
}

static void
unknown_level_changes_nothing(void **state UNUSED)
{
	assert_true(log_set_level("warn"));
	assert_false(log_set_level("loud"));
	assert_false(log_set_level("WARN"));
	assert_false(log_set_level(""));
	assert_false(log_level_known("loud"));
	assert_true(log_level_known("debug"));
	assert_false(log_enabled(LOG_LEVEL_INFO));
	assert_true(log_enabled(LOG_LEVEL_WARN));
}

static void
controls_are_escaped(void **state UNUSED)
{
	log_info("a=%s", "x\n2026-11-23T06:00:00.123Z info forged\r\t\x1b[31m\x7F");
	assert_string_equal(read_log(),
						"info a=x\\n2026-11-23T06:00:00.123Z info "
						"forged\\r\\t\\x1b[31m\\x7f\n");

	/* C1 controls, and bytes that are no UTF-8 */
	log_info("a=%s", "\xC2\x85\xC2\x9B\xC2\xA0\xC3\xA9\x80\xFFz\xE2\x82");
	assert_string_equal(read_log(),
						"info a=\\x85\\x9b\xC2\xA0\xC3\xA9\\x80"
						"\\xffz\\xe2\\x82\n");
}

/* A cut line is marked, ends in a newline and is one write. */
static void
long_lines_are_cut(void **state UNUSED)
{
	static const int lengths[] = {4000, 4060, 4061, 4062, 4063, 4064, 4065,
								  4066, 4067, 4068, 4069, 4070, 4096, 10000};
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		char *text = malloc(lengths[i] + 1);
		size_t len;

		assert_non_null(text);
		memset(text, 'x', lengths[i]);
		text[lengths[i]] = '\0';
		log_info("%s", text);
		free(text);
		read_log();
		len = strlen(written);
		assert_true(len <= LINE_MAX_BYTES);
		assert_ptr_equal(strchr(written, '\n'), written + len - 1);
		if (len < (size_t) lengths[i] + STAMP_LEN + 6)
		{
			assert_int_equal(len, LINE_MAX_BYTES);
			assert_string_equal(written + len - 4, "...\n");
		}
		else
			assert_int_equal(len, lengths[i] + STAMP_LEN + 6);
	}
}

/* A line full of what grows when escaped. */
static void
escapes_do_not_overflow(void **state UNUSED)
{
	char text[LINE_MAX_BYTES];

	memset(text, 1, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	read_log();
	assert_true(strlen(written) <= LINE_MAX_BYTES);
	assert_string_equal(written + strlen(written) - 8, "\\x01...\n");
}

static void
limited_counts_what_it_kept_back(void **state UNUSED)
{
	LogLimit limit = {60000, 0, 0};
	int i;

	for (i = 0; i < 5; i++)
		log_limited(&limit, LOG_LEVEL_WARN, "full n=%d", i);
	assert_string_equal(read_log(), "warn full n=0\n");
	assert_int_equal(limit.suppressed, 4);

	limit.next_ms = 0;
	log_limited(&limit, LOG_LEVEL_WARN, "full n=%d", 5);
	assert_string_equal(read_log(), "warn full n=5 suppressed=4\n");

	limit.next_ms = 0;
	log_limited(&limit, LOG_LEVEL_WARN, "full n=%d", 6);
	assert_string_equal(read_log(), "warn full n=6\n");
}

static void
limited_lets_one_through_each_interval(void **state UNUSED)
{
	LogLimit limit = {60000, 0, 0};
	LogLimit preset = {0, 0, 0};
	int64_t before = clock_ms(CLOCK_MONOTONIC);

	log_limited(&limit, LOG_LEVEL_INFO, "a");
	log_limited(&preset, LOG_LEVEL_INFO, "a");
	assert_in_range(limit.next_ms, before + 60000, before + 70000);
	assert_in_range(preset.next_ms, before + LOG_LIMIT_DEFAULT_MS,
					before + LOG_LIMIT_DEFAULT_MS + 10000);
}

/* The count is what one looks for in a flood: a long text does not hide it. */
static void
suppressed_is_never_cut(void **state UNUSED)
{
	LogLimit limit = {60000, 0, 12};
	char text[LINE_MAX_BYTES * 2];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_limited(&limit, LOG_LEVEL_INFO, "%s", text);
	read_log();
	assert_int_equal(strlen(written), LINE_MAX_BYTES);
	assert_string_equal(written + LINE_MAX_BYTES - 18, "... suppressed=12\n");
}

static void
errno_is_kept(void **state UNUSED)
{
	int kept = log_fd;

	log_fd = -1;
	errno = ENOENT;
	log_info("into the void");
	assert_int_equal(errno, ENOENT);
	log_fd = kept;
}

static void
values_cannot_forge_a_pair(void **state UNUSED)
{
	static const struct
	{
		const char *value;
		const char *wanted;
	} cases[] = {{"anna", "anna"},
				 {"7f3a-00_x.y:z/@", "7f3a-00_x.y:z/@"},
				 {"", "\"\""},
				 {"anna code=1", "\"anna code=1\""},
				 {"a=b", "\"a=b\""},
				 {"a\"b", "\"a\\\"b\""},
				 {"a\\b", "\"a\\\\b\""},
				 {"a\nb", "\"a\\nb\""},
				 {"\x01\x7F", "\"\\x01\\x7f\""},
				 {"Jos\xC3\xA9", "\"Jos\xC3\xA9\""}};
	char buf[LOG_VALUE_MAX];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_ptr_equal(log_value(buf, sizeof(buf), cases[i].value), buf);
		assert_string_equal(buf, cases[i].wanted);
	}
}

static void
values_are_cut_to_size(void **state UNUSED)
{
	static const char *const values[] = {"abcdefghijklmnopqrstuvwxyz",
										 "a b\"c\"d\"e\"f\"g\"h",
										 "\x01\x02\x03\x04\x05\x06\x07",
										 "\xF0\x9F\x98\x80\xF0\x9F\x98\x80"
										 "\xF0\x9F\x98\x80"};
	size_t size;
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		for (size = 8; size < 50; size++)
		{
			char *buf = malloc(size);
			size_t len;

			assert_non_null(buf);
			log_value(buf, size, values[i]);
			len = strlen(buf);
			assert_true(len < size);
			if (buf[0] == '"')
				assert_int_equal(buf[len - 1], '"');
			free(buf);
		}
	}

	{
		char buf[9];

		log_value(buf, sizeof(buf), "abcdefgh");
		assert_string_equal(buf, "abcdefgh");
		log_value(buf, sizeof(buf), "abcdefghi");
		assert_string_equal(buf, "abcde...");
		log_value(buf, sizeof(buf), "a b c d");
		assert_string_equal(buf, "\"a b...\"");
	}
}

static void
makes_json(void **state UNUSED)
{
	static const struct
	{
		const char *text;
		const char *json; /* behind the level */
	} cases[] = {
		{"stopped", "\"event\":\"stopped\""},
		{"session opened session=7f user=anna",
		 "\"event\":\"session opened\",\"session\":\"7f\",\"user\":\"anna\""},
		{"x user=\"a b=c \\\"d\\\\\" y=1",
		 "\"event\":\"x\",\"user\":\"a b=c \\\"d\\\\\",\"y\":\"1\""},
		{"x user=\"\" y=1", "\"event\":\"x\",\"user\":\"\",\"y\":\"1\""},
		{"x a=1 words b=2", "\"event\":\"x\",\"a\":\"1\",\"b\":\"2\""},
		{"x a=\"never ends", "\"event\":\"x\",\"a\":\"never ends\""},
		{"a\nb c=\001\xff", "\"event\":\"a\\u000ab\",\"c\":\"\\u0001\\u00ff\""},
		{"key=value", "\"event\":\"\",\"key\":\"value\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char out[1024];
		char wanted[1024];
		size_t len = log_json(out, sizeof(out), "T", "info", cases[i].text);

		snprintf(wanted, sizeof(wanted),
				 "{\"time\":\"T\",\"level\":\"info\",%s}", cases[i].json);
		out[len] = '\0';
		assert_string_equal(out, wanted);
	}
}

static void
cuts_json_between_pairs(void **state UNUSED)
{
	char text[2000];
	char out[256];
	size_t len;

	memset(text, 'x', sizeof(text));
	memcpy(text, "event a=1 b=", 12);
	text[sizeof(text) - 1] = '\0';
	len = log_json(out, sizeof(out), "T", "info", text);
	out[len] = '\0';
	assert_string_equal(out,
						"{\"time\":\"T\",\"level\":\"info\","
						"\"event\":\"event\",\"a\":\"1\"}");
}

int
main(void)
{
#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_json),
		cmocka_unit_test(cuts_json_between_pairs),
		LOG_TEST(line_has_time_level_and_text),
		LOG_TEST(each_level_has_its_name),
		LOG_TEST(level_drops_what_is_below),
		LOG_TEST(unknown_level_changes_nothing),
		LOG_TEST(controls_are_escaped),
		LOG_TEST(long_lines_are_cut),
		LOG_TEST(escapes_do_not_overflow),
		LOG_TEST(limited_counts_what_it_kept_back),
		LOG_TEST(limited_lets_one_through_each_interval),
		LOG_TEST(suppressed_is_never_cut),
		LOG_TEST(errno_is_kept),
		LOG_TEST(values_cannot_forge_a_pair),
		LOG_TEST(values_are_cut_to_size),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
