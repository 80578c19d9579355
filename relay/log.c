/*
 * log.c
 *		One structured line per event, on stderr.
 *
 * A line is made in one buffer and written by one write(), so that lines of
 * several relays that share a pipe do not interleave.  What cannot be written
 * is dropped: a log that is full or closed must not stop the relay.
 *
 * Everything below the level is formatted first and made safe afterwards, so
 * there is no way to log that skips the escaping.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log_json.h"
#include "metrics.h"
#include "utf8.h"

#define LINE_MAX_BYTES 4096 /* below PIPE_BUF nothing interleaves */
#define CUT_MARK	   "..."

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static bool as_json;
static LogLevel lowest = LOG_LEVEL_INFO;
static int log_fd = STDERR_FILENO;

/* find_level returns -1 for a name that is no level. */
static int
find_level(const char *name)
{
	int i;

	for (i = 0; i <= LOG_LEVEL_ERROR; i++)
	{
		if (strcmp(name, level_names[i]) == 0)
			return i;
	}
	return -1;
}

bool
log_level_known(const char *name)
{
	return find_level(name) >= 0;
}

bool
log_set_level(const char *name)
{
	int level = find_level(name);

	if (level < 0)
		return false;
	lowest = (LogLevel) level;
	return true;
}

void
log_set_format(const char *name)
{
	as_json = strcmp(name, "json") == 0;
}

bool
log_enabled(LogLevel level)
{
	return level >= lowest;
}

static int64_t
clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * escape_char renders one character of a line into "out" so that a line stays
 * a line; returns its length there and sets *used to its length here.
 */
static size_t
escape_char(const char *text, size_t len, char out[8], size_t *used)
{
	unsigned char c = (unsigned char) text[0];

	*used = utf8_length(text, len);

	/* C1 controls (U+0080 to U+009F) drive terminals as C0 do */
	if (*used == 2 && c == 0xC2 && (unsigned char) text[1] < 0xA0)
		return (size_t) snprintf(out, 8, "\\x%02x", (unsigned char) text[1]);
	if (*used > 0 && c >= 0x20 && c != 0x7F)
	{
		memcpy(out, text, *used);
		return *used;
	}

	*used = 1;
	switch (c)
	{
		case '\n':
			memcpy(out, "\\n", 2);
			return 2;
		case '\r':
			memcpy(out, "\\r", 2);
			return 2;
		case '\t':
			memcpy(out, "\\t", 2);
			return 2;
		default:
			return (size_t) snprintf(out, 8, "\\x%02x", c);
	}
}

/*
 * escape_text renders "text" into out[size], unterminated, cut with a mark if
 * need be; returns the length.  With "quoting" a quote and a backslash are
 * escaped too.  size >= sizeof(CUT_MARK).
 */
static size_t
escape_text(char *out, size_t size, const char *text, bool quoting)
{
	size_t left = strlen(text);
	size_t len = 0;
	size_t whole = 0; /* up to here there is room for the mark */
	size_t used;
	char piece[8];

	while (left > 0)
	{
		size_t piece_len;

		if (quoting && (*text == '"' || *text == '\\'))
		{
			piece[0] = '\\';
			piece[1] = *text;
			piece_len = 2;
			used = 1;
		}
		else
			piece_len = escape_char(text, left, piece, &used);

		if (len + piece_len > size)
		{
			memcpy(out + whole, CUT_MARK, sizeof(CUT_MARK) - 1);
			return whole + sizeof(CUT_MARK) - 1;
		}
		memcpy(out + len, piece, piece_len);
		len += piece_len;
		if (len + sizeof(CUT_MARK) - 1 <= size)
			whole = len;
		text += used;
		left -= used;
	}
	return len;
}

/* write_json replaces the time that stands in the line by the whole object. */
static size_t
write_json(char *line, size_t size, LogLevel level, const char *text,
		   const char *tail)
{
	char time[64];
	char whole[LINE_MAX_BYTES + 40];

	snprintf(time, sizeof(time), "%.40s", line);
	snprintf(whole, sizeof(whole), "%s%s", text, tail);
	return log_json(line, size, time, level_names[level], whole);
}

/* write_line adds time and level, escapes and writes; the tail is never cut. */
static void
write_line(LogLevel level, const char *text, const char *tail)
{
	char line[LINE_MAX_BYTES];
	int64_t now_ms = clock_ms(CLOCK_REALTIME);
	time_t seconds = now_ms / 1000;
	struct tm tm;
	size_t tail_len = strlen(tail);
	size_t len;
	ssize_t written;

	metrics_count(METRIC_LOG_DEBUG + (Metric) level);
	gmtime_r(&seconds, &tm);
	len = strftime(line, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	len += (size_t) snprintf(line + len, 32, ".%03dZ", (int) (now_ms % 1000));
	if (as_json)
		len = write_json(line, sizeof(line) - 1, level, text, tail);
	else
	{
		len += (size_t) snprintf(line + len, 32, " %s ", level_names[level]);
		len += escape_text(line + len, sizeof(line) - len - tail_len - 1, text,
						   false);
		memcpy(line + len, tail, tail_len);
		len += tail_len;
	}
	line[len++] = '\n';

	do
		written = write(log_fd, line, len);
	while (written < 0 && errno == EINTR);
}

static void
log_formatted(LogLevel level, uint64_t suppressed, const char *fmt,
			  va_list args)
{
	int saved_errno = errno;
	/* more than a line has room for, so that a cut shows */
	char text[LINE_MAX_BYTES];
	char tail[40] = "";

	if (suppressed > 0)
		snprintf(tail, sizeof(tail), " suppressed=%llu",
				 (unsigned long long) suppressed);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		snprintf(text, sizeof(text), "log line could not be formatted");
	write_line(level, text, tail);
	errno = saved_errno;
}

#define LOG_AT(level)                                                          \
	do                                                                         \
	{                                                                          \
		va_list args;                                                          \
                                                                               \
		if (!log_enabled(level))                                               \
			return;                                                            \
		va_start(args, fmt);                                                   \
		log_formatted(level, 0, fmt, args);                                    \
		va_end(args);                                                          \
	} while (0)

void
log_debug(const char *fmt, ...)
{
	LOG_AT(LOG_LEVEL_DEBUG);
}

void
log_info(const char *fmt, ...)
{
	LOG_AT(LOG_LEVEL_INFO);
}

void
log_warn(const char *fmt, ...)
{
	LOG_AT(LOG_LEVEL_WARN);
}

void
log_error(const char *fmt, ...)
{
	LOG_AT(LOG_LEVEL_ERROR);
}

LogLimit *
log_limit_of(LogLimits *limits, const char *reason)
{
	int i = 0;

	while (i < LOG_REASONS_MAX - 1 && limits->reasons[i] != NULL &&
		   strcmp(limits->reasons[i], reason) != 0)
		i++;
	limits->reasons[i] = reason;
	return &limits->limits[i];
}

void
log_limited(LogLimit *limit, LogLevel level, const char *fmt, ...)
{
	int64_t now_ms;
	int64_t interval_ms = limit->interval_ms;
	uint64_t suppressed = limit->suppressed;
	va_list args;

	if (!log_enabled(level))
		return;
	now_ms = clock_ms(CLOCK_MONOTONIC);
	if (now_ms < limit->next_ms)
	{
		limit->suppressed++;
		return;
	}
	if (interval_ms <= 0)
		interval_ms = LOG_LIMIT_DEFAULT_MS;
	limit->next_ms = now_ms + interval_ms;
	limit->suppressed = 0;

	va_start(args, fmt);
	log_formatted(level, suppressed, fmt, args);
	va_end(args);
}

/* needs_quotes says whether a value could be taken for more than one word. */
static bool
needs_quotes(const char *value)
{
	const char *c;

	if (*value == '\0')
		return true;
	for (c = value; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7F ||
			strchr("=\"\\", *c) != NULL)
			return true;
	}
	return false;
}

const char *
log_value(char *buf, size_t size, const char *value)
{
	size_t len = 0;

	if (needs_quotes(value))
	{
		buf[len++] = '"';
		len += escape_text(buf + len, size - 3, value, true);
		buf[len++] = '"';
	}
	else
		len = escape_text(buf, size - 1, value, false);
	buf[len] = '\0';
	return buf;
}
