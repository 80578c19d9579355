/*
 * log_json.h
 *		A line of the log as a JSON object.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_LOG_JSON_H
#define MIRUSYNC_LOG_JSON_H

#include <stddef.h>

/*
 * log_json renders a line, "what happened key=value key=\"value\"", into
 * out[size], unterminated, as {"time": …, "level": …, "event": …, keys}; all
 * values are texts.  Returns the length.  What does not fit is left out, whole
 * pairs at a time.  size >= 256.
 */
extern size_t log_json(char *out, size_t size, const char *time,
					   const char *level, const char *text);

#endif
