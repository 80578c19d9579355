/*
 * hlc.h
 *     Hybrid logical clock: when a change was made, as one 64-bit number.
 *
 * The upper 48 bits are milliseconds since 1970-01-01 UTC, the lower 16 a
 * counter that orders what happens within a millisecond, or while the wall
 * clock stands still or runs back.  A later clock is a greater number, so
 * clocks compare as unsigned integers; 0 stands for "no clock".
 *
 * Pure arithmetic and text: nothing here calls the backend, allocates or
 * reads the time, so that the unit tests link hlc.c alone.  hlc_type.c makes
 * a SQL type of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_HLC_H
#define MIRUSYNC_HLC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t Hlc;

#define HLC_COUNTER_BITS 16
#define HLC_COUNTER_MAX	 UINT16_MAX
#define HLC_MS_MAX		 ((INT64_C(1) << 48) - 1) /* in the year 10889 */
#define HLC_MAX			 UINT64_MAX

/*
 * The span of a JavaScript Date, 100 million days either side of 1970: what
 * the time functions below read and write.
 */
#define HLC_TIME_MS_MAX INT64_C(8640000000000000)

#define HLC_TIME_SIZE	28 /* -271821-04-20T00:00:00.000Z and NUL */
#define HLC_TEXT_SIZE	33 /* a time, slash, four hex digits and NUL */

typedef enum HlcScan
{
	HLC_SCANNED,
	HLC_MALFORMED,	 /* not of the text form */
	HLC_OUT_OF_RANGE /* no such date, or one a clock cannot hold */
} HlcScan;

/* hlc_make returns the clock of that time; one out of range is bounded. */
static inline Hlc
hlc_make(int64_t ms, uint16_t counter)
{
	if (ms < 0)
		return 0;
	if (ms > HLC_MS_MAX)
		return HLC_MAX;
	return ((Hlc) ms << HLC_COUNTER_BITS) | counter;
}

static inline int64_t
hlc_ms(Hlc clock)
{
	return (int64_t) (clock >> HLC_COUNTER_BITS);
}

static inline uint16_t
hlc_counter(Hlc clock)
{
	return (uint16_t) (clock & HLC_COUNTER_MAX);
}

/* hlc_compare returns -1, 0 or 1, as a is older, equal or newer than b. */
static inline int
hlc_compare(Hlc a, Hlc b)
{
	return (a > b) - (a < b);
}

static inline Hlc
hlc_max(Hlc a, Hlc b)
{
	return a > b ? a : b;
}

/*
 * hlc_next returns the clock just after this one: counter + 1, which carries
 * into the milliseconds; the last clock of all is its own successor.
 */
extern Hlc hlc_next(Hlc clock);

/*
 * hlc_tick returns the clock for a change made now, by one who has seen
 * "newest_seen": the wall clock, or the successor of what was seen where the
 * wall clock is not past that.
 */
extern Hlc hlc_tick(Hlc newest_seen, int64_t wall_ms);

/*
 * hlc_bound sets a clock that is ahead of the wall clock by more than
 * max_skew_ms to just that much ahead, and returns whether it had to.
 */
extern bool hlc_bound(Hlc *clock, int64_t wall_ms, int64_t max_skew_ms);

/*
 * hlc_scan reads the text form, "2026-11-23T06:00:00.123Z/0005", where the
 * fraction and the counter may be missing; on failure *out is untouched.
 * hlc_parse is the same for callers to whom the reason does not matter.
 */
extern HlcScan hlc_scan(const char *text, size_t length, Hlc *out);
extern bool hlc_parse(const char *text, size_t length, Hlc *out);
extern void hlc_format(Hlc clock, char buffer[HLC_TEXT_SIZE]);

/*
 * hlc_parse_time reads an ISO 8601 date or time as clients write them, more
 * freely than the text form: a date alone, a blank for the T, no seconds, a
 * fraction of any length (cut to milliseconds), an offset for the Z.  A time
 * without an offset is UTC.  hlc_format_time writes milliseconds since 1970
 * (bounded to HLC_TIME_MS_MAX either way) as JavaScript's toISOString does.
 */
extern bool hlc_parse_time(const char *text, size_t length, int64_t *ms);
extern void hlc_format_time(int64_t ms, char buffer[HLC_TIME_SIZE]);

#endif /* MIRUSYNC_HLC_H */
