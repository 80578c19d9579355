/*
 * metrics.c
 *		Counters, gauges and histograms, and their text for Prometheus.
 *
 * Owns the values.  One thread counts and prints, so nothing is atomic.
 *
 * The bounds of the histograms are fixed: a millisecond is what a commit
 * costs on a good disk, ten seconds is when a device has long given up hope.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "alloc.h"

#define BOUNDS 14

typedef enum FamilyType
{
	COUNTER,
	GAUGE,
	COUNTER_MS, /* counted in ms, shown in seconds */
	GAUGE_MS
} FamilyType;

/* One line of metrics.def. */
typedef struct Row
{
	const char *name; /* of a family or a histogram, else NULL */
	const char *help;
	const char *labels; /* of a series */
	FamilyType type;
	int index;		   /* of the series, or of the histogram */
	bool is_histogram; /* else a family or a series */
} Row;

typedef struct Observed
{
	uint64_t counts[BOUNDS + 1]; /* not cumulated; the last is +Inf */
	int64_t sum_us;
} Observed;

static const int64_t bounds_us[BOUNDS] = {500,	   1000,	2500,	 5000,
										  10000,   25000,	50000,	 100000,
										  250000,  500000,	1000000, 2500000,
										  5000000, 10000000};

static const Row rows[] = {
#define METRIC_FAMILY(name, type, help) {name, help, NULL, type, 0, false},
#define METRIC_SERIES(id, labels)		{NULL, NULL, labels, 0, METRIC_##id, false},
#define METRIC_HISTOGRAM(id, name, help)                                       \
	{name, help, NULL, 0, HISTOGRAM_##id, true},
#include "metrics.def"
#undef METRIC_FAMILY
#undef METRIC_SERIES
#undef METRIC_HISTOGRAM
};

_Static_assert(METRIC_RECEIVED_CHANGE + METRICS_TYPES ==
					   METRIC_RECEIVED_CHANGE_BYTES &&
				   METRIC_SENT_LIVE + METRICS_TYPES == METRIC_SENT_LIVE_BYTES,
			   "bytes follow messages");

uint64_t metrics_values[METRICS];
static Observed observed[HISTOGRAMS];

void
metrics_status(int status)
{
	static const struct
	{
		int status;
		Metric metric;
	} known[] = {{200, METRIC_HTTP_200}, {400, METRIC_HTTP_400},
				 {401, METRIC_HTTP_401}, {403, METRIC_HTTP_403},
				 {404, METRIC_HTTP_404}, {405, METRIC_HTTP_405},
				 {426, METRIC_HTTP_426}, {429, METRIC_HTTP_429},
				 {503, METRIC_HTTP_503}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
		{
			metrics_count(known[i].metric);
			return;
		}
	metrics_count(METRIC_HTTP_OTHER);
}

void
metrics_closed(int code)
{
	static const struct
	{
		int code;
		Metric metric;
	} known[] = {{1000, METRIC_CLOSED_1000}, {1001, METRIC_CLOSED_1001},
				 {1003, METRIC_CLOSED_1003}, {1005, METRIC_CLOSED_1005},
				 {1006, METRIC_CLOSED_1006}, {1008, METRIC_CLOSED_1008},
				 {1009, METRIC_CLOSED_1009}, {1011, METRIC_CLOSED_1011},
				 {1012, METRIC_CLOSED_1012}, {1013, METRIC_CLOSED_1013}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].code == code)
		{
			metrics_count(known[i].metric);
			return;
		}
	metrics_count(code >= 4000 && code <= 4999 ? METRIC_CLOSED_4XXX
											   : METRIC_CLOSED_OTHER);
}

int64_t
metrics_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
metrics_observe(Histogram histogram, int64_t since_us)
{
	metrics_observe_at(histogram, since_us, metrics_now_us());
}

void
metrics_observe_at(Histogram histogram, int64_t since_us, int64_t now_us)
{
	int64_t us = now_us - since_us;
	int i = 0;

	while (i < BOUNDS && us > bounds_us[i])
		i++;
	observed[histogram].counts[i]++;
	observed[histogram].sum_us += us;
}

/* ---- text ---- */

static void
print_histogram(FILE *out, const Row *row)
{
	const Observed *histogram = &observed[row->index];
	uint64_t count = 0;

	fprintf(out, "# HELP %s %s\n# TYPE %s histogram\n", row->name, row->help,
			row->name);
	for (int i = 0; i <= BOUNDS; i++)
	{
		count += histogram->counts[i];
		if (i < BOUNDS)
			fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", row->name,
					(double) bounds_us[i] / 1e6, count);
		else
			fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", row->name,
					count);
	}
	fprintf(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", row->name,
			(double) histogram->sum_us / 1e6, row->name, count);
}

static void
print_family(FILE *out, const Row *row)
{
	bool is_gauge = row->type == GAUGE || row->type == GAUGE_MS;

	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help,
			row->name, is_gauge ? "gauge" : "counter");
}

static void
print_series(FILE *out, const Row *family, const Row *row)
{
	uint64_t value = metrics_values[row->index];

	fputs(family->name, out);
	if (row->labels[0] != '\0')
		fprintf(out, "{%s}", row->labels);
	if (family->type == COUNTER_MS || family->type == GAUGE_MS)
		fprintf(out, " %" PRIu64 ".%03d\n", value / 1000, (int) (value % 1000));
	else
		fprintf(out, " %" PRIu64 "\n", value);
}

size_t
metrics_render(char **text)
{
	size_t len;
	FILE *out = open_memstream(text, &len);
	const Row *family = NULL;

	if (out == NULL)
		abort();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		const Row *row = &rows[i];

		if (row->is_histogram)
			print_histogram(out, row);
		else if (row->name != NULL)
		{
			family = row;
			print_family(out, row);
		}
		else if (family != NULL)
			print_series(out, family, row);
	}
	if (fclose(out) != 0)
		abort();
	return len;
}
