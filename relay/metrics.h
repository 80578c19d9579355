/*
 * metrics.h
 *		Counters, gauges and histograms, and their text for Prometheus.
 *
 * Counting is an addition to an array, so it may stand anywhere.  What there
 * is stands in metrics.def; gauges are set just before they are printed
 * (metrics_page.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_METRICS_H
#define MIRUSYNC_METRICS_H

#include <stddef.h>
#include <stdint.h>

typedef enum Metric
{
#define METRIC_FAMILY(name, type, help)
#define METRIC_SERIES(id, labels) METRIC_##id,
#define METRIC_HISTOGRAM(id, name, help)
#include "metrics.def"
#undef METRIC_SERIES
#undef METRIC_HISTOGRAM
	METRICS
} Metric;

typedef enum Histogram
{
#define METRIC_SERIES(id, labels)
#define METRIC_HISTOGRAM(id, name, help) HISTOGRAM_##id,
#include "metrics.def"
#undef METRIC_FAMILY
#undef METRIC_SERIES
#undef METRIC_HISTOGRAM
	HISTOGRAMS
} Histogram;

extern uint64_t metrics_values[METRICS];

/* metrics_count adds one, metrics_add more; metrics_set is for gauges. */
static inline void
metrics_count(Metric metric)
{
	metrics_values[metric]++;
}

static inline void
metrics_add(Metric metric, uint64_t n)
{
	metrics_values[metric] += n;
}

static inline void
metrics_set(Metric metric, uint64_t value)
{
	metrics_values[metric] = value;
}

/*
 * metrics_message counts a message and its bytes.  "metric" is a series of
 * messages_received or messages_sent; that of the bytes stands as far behind
 * it as the family has types.
 */
#define METRICS_TYPES 4
static inline void
metrics_message(Metric metric, size_t len)
{
	metrics_values[metric]++;
	metrics_values[metric + METRICS_TYPES] += len;
}

/* metrics_status and metrics_closed pick the series of a status or code. */
extern void metrics_status(int status);
extern void metrics_closed(int code);

/* metrics_now_us is a monotonic clock that is not cached. */
extern int64_t metrics_now_us(void);

/*
 * metrics_observe notes how long it has been since metrics_now_us gave that;
 * metrics_observe_at is for many at once, which share a look at the clock.
 */
extern void metrics_observe(Histogram histogram, int64_t since_us);
extern void
metrics_observe_at(Histogram histogram, int64_t since_us, int64_t now_us);

/* metrics_render writes all of it; *text is the caller's to free. */
extern size_t metrics_render(char **text);

#endif
