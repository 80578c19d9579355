/*
 * log.h
 *		One structured line per event, on stderr.
 *
 *	2026-11-23T06:00:00.123Z info session opened session=7f3a user=anna
 *
 * Time, level, what happened, then key=value pairs.  The whole line is made
 * safe before it is written: control characters, line ends and bytes that are
 * no UTF-8 come out as \n, \t or \xNN, so nobody can forge a second line.  A
 * value that a stranger chose (a user id, a path) goes through log_value()
 * first, so that it cannot forge a second key=value pair either.
 *
 * Tokens, secrets and message bodies are never logged.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_LOG_H
#define MIRUSYNC_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum LogLevel
{
	LOG_LEVEL_DEBUG, /* for who reads the source */
	LOG_LEVEL_INFO,	 /* what an operator expects to see */
	LOG_LEVEL_WARN,	 /* something is degraded, we go on */
	LOG_LEVEL_ERROR	 /* somebody has to act */
} LogLevel;

/*
 * State of one rate-limited place in the code, usually a static variable or a
 * field of the object that complains.  Zero-initialised it lets one line
 * through each LOG_LIMIT_DEFAULT_MS.
 */
typedef struct LogLimit
{
	int64_t interval_ms; /* one line per so many ms; 0 = default */
	int64_t next_ms;	 /* monotonic time of the next line; 0 = now */
	uint64_t suppressed; /* lines kept back since the last one */
} LogLimit;

/*
 * Limits of one line by its reason, of which there are few and all are
 * constants: who floods us with one cannot hide another.
 */
#define LOG_REASONS_MAX 64

typedef struct LogLimits
{
	const char *reasons[LOG_REASONS_MAX];
	LogLimit limits[LOG_REASONS_MAX];
} LogLimits;

#define LOG_LIMIT_DEFAULT_MS 10000
#define LOG_VALUE_MAX		 256 /* a buffer of this size suits log_value */

#define LOG_PRINTF(f, a)	 __attribute__((format(printf, f, a)))

/*
 * log_debug .. log_error write one line.  The format gives everything after
 * the level.  Lines over 4 KiB are cut and end in "...".  errno is preserved.
 */
extern void log_debug(const char *fmt, ...) LOG_PRINTF(1, 2);
extern void log_info(const char *fmt, ...) LOG_PRINTF(1, 2);
extern void log_warn(const char *fmt, ...) LOG_PRINTF(1, 2);
extern void log_error(const char *fmt, ...) LOG_PRINTF(1, 2);

/*
 * log_limited writes the line unless one was written through "limit" within
 * its interval; then it only counts.  The next line that passes ends in
 * suppressed=<count>.
 */
extern void log_limited(LogLimit *limit, LogLevel level, const char *fmt, ...)
	LOG_PRINTF(3, 4);

/* log_limit_of is the limit of a reason. */
extern LogLimit *log_limit_of(LogLimits *limits, const char *reason);

/*
 * log_set_level drops everything below the level called debug, info, warn or
 * error.  Returns false, and changes nothing, for another name.
 */
extern bool log_set_level(const char *name);

/* log_set_format takes text or json; each other name is text. */
extern void log_set_format(const char *name);

/* log_level_known says whether log_set_level would take the name. */
extern bool log_level_known(const char *name);

/* log_enabled says whether a line of that level would be written. */
extern bool log_enabled(LogLevel level);

/*
 * log_value renders a value that a stranger chose into "buf" and returns
 * "buf".  A plain word stays as it is; anything with a blank, '=', a quote, a
 * backslash or a control character is quoted and escaped; an empty value is
 * "".  What does not fit is cut, marked by a final "...".  size >= 8.
 */
extern const char *log_value(char *buf, size_t size, const char *value);

#endif
