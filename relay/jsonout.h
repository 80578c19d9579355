/*
 * jsonout.h
 *		Writing JSON into a buffer of a fixed size.
 *
 * What does not fit leaves nothing but "full": so a caller looks once, at the
 * end.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JSONOUT_H
#define MIRUSYNC_JSONOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct JsonOut
{
	char *buf;
	size_t size;
	size_t len; /* always below size, unless full */
	bool full;	/* something did not fit */
} JsonOut;

extern void jsonout_bytes(JsonOut *target, const char *bytes, size_t len);
extern void jsonout_text(JsonOut *target, const char *text);

/*
 * jsonout_string writes a JSON string: escaped, and bytes that are no UTF-8 as
 * U+FFFD.  "reserve" bytes stay free behind it: a text that would take them is
 * cut if "cut" says so.
 */
extern void
jsonout_string(JsonOut *target, const char *text, bool cut, size_t reserve);

/* The next member of an object, with a comma where one is needed. */
extern void jsonout_key(JsonOut *target, const char *key);
extern void jsonout_pair(JsonOut *target, const char *key, const char *text);
extern void jsonout_number(JsonOut *target, const char *key, int64_t number);
extern void jsonout_bool(JsonOut *target, const char *key, bool value);

/* jsonout_end terminates it and returns its length; 0: it did not fit. */
extern size_t jsonout_end(JsonOut *target);

#endif
