/*
 * test_metrics.c
 *		What counting leads to in the text for Prometheus.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "metrics.c"

static char *text;

static const char *
render(void)
{
	size_t len;

	free(text);
	len = metrics_render(&text);
	assert_int_equal(strlen(text), len);
	return text;
}

static int
tear_down(void **state UNUSED)
{
	free(text);
	text = NULL;
	memset(metrics_values, 0, sizeof(metrics_values));
	memset(observed, 0, sizeof(observed));
	return 0;
}

static void
assert_line(const char *line)
{
	char whole[200];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (strstr(render(), whole) == NULL)
		fail_msg("no line: %s", line);
}

static void
prints_every_series_once(void **state UNUSED)
{
	const char *c = render();
	int series = 0;

	for (; *c != '\0'; c = strchr(c, '\n') + 1)
		if (*c != '#')
			series++;
	/* A histogram has a line for each bound, one for +Inf, sum and count. */
	assert_int_equal(series, METRICS + HISTOGRAMS * (BOUNDS + 3));
}

static void
counts(void **state UNUSED)
{
	metrics_count(METRIC_SESSIONS_OPENED);
	metrics_add(METRIC_SESSIONS_OPENED, 2);
	metrics_message(METRIC_RECEIVED_PING, 40);
	metrics_message(METRIC_RECEIVED_PING, 2);
	metrics_set(METRIC_PROCESS_CPU, 1234);
	assert_line("mirusync_relay_sessions_opened_total 3");
	assert_line("mirusync_relay_messages_received_total{type=\"ping\"} 2");
	assert_line("mirusync_relay_received_bytes_total{type=\"ping\"} 42");
	assert_line("process_cpu_seconds_total 1.234");
	assert_line("# TYPE mirusync_relay_sessions_opened_total counter");
	assert_line("# TYPE mirusync_relay_sessions gauge");
}

static void
knows_codes(void **state UNUSED)
{
	metrics_closed(1006);
	metrics_closed(4000);
	metrics_closed(4999);
	metrics_closed(5000);
	metrics_closed(-1);
	metrics_status(429);
	metrics_status(418);
	assert_line("mirusync_relay_sessions_closed_total{code=\"1006\"} 1");
	assert_line("mirusync_relay_sessions_closed_total{code=\"4xxx\"} 2");
	assert_line("mirusync_relay_sessions_closed_total{code=\"other\"} 2");
	assert_line("mirusync_relay_http_answers_total{status=\"429\"} 1");
	assert_line("mirusync_relay_http_answers_total{status=\"other\"} 1");
}

static void
observes(void **state UNUSED)
{
	int64_t now = metrics_now_us();

	/* A second has room for what this test takes itself. */
	metrics_observe(HISTOGRAM_RECEIVE_TO_COMMIT, now - 1500000);
	metrics_observe(HISTOGRAM_RECEIVE_TO_COMMIT, now - 100000000);
	assert_line("mirusync_relay_receive_to_commit_seconds_bucket{le=\"1\"} 0");
	assert_line(
		"mirusync_relay_receive_to_commit_seconds_bucket{le=\"2.5\"} 1");
	assert_line("mirusync_relay_receive_to_commit_seconds_bucket{le=\"10\"} 1");
	assert_line(
		"mirusync_relay_receive_to_commit_seconds_bucket{le=\"+Inf\"} 2");
	assert_line("mirusync_relay_receive_to_commit_seconds_count 2");
	assert_true(observed[HISTOGRAM_RECEIVE_TO_COMMIT].sum_us >= 101500000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(prints_every_series_once, tear_down),
		cmocka_unit_test_teardown(counts, tear_down),
		cmocka_unit_test_teardown(knows_codes, tear_down),
		cmocka_unit_test_teardown(observes, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
