/*
 * json.h
 *		A validating one-pass JSON scanner over text in memory.
 *
 * It copies nothing and allocates nothing: members are spans of the caller's
 * text.  It is strict where RFC 8259 is (no trailing text, no leading zeros,
 * shortest UTF-8, no raw control characters) and it reports what PostgreSQL's
 * jsonb would refuse although it is JSON apart, as JSON_UNSTORABLE, because
 * one such message would fail the whole group it is sent with: \u0000, a lone
 * surrogate, a number beyond numeric such as 1e200000.
 *
 *	JsonCursor	cursor;
 *	JsonMember	member;
 *
 *	json_open(&cursor, text, len);
 *	while (json_next(&cursor, &member))
 *		...
 *	if (cursor.result != JSON_OK)
 *		the text is no good, and nothing that was seen counts
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JSON_H
#define MIRUSYNC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define JSON_DEPTH_MAX 64 /* objects and arrays within each other */

/* Ordered by gravity: the worst that was met is the result. */
typedef enum JsonResult
{
	JSON_OK,
	JSON_UNSTORABLE, /* JSON that jsonb refuses: see above */
	JSON_TOO_DEEP,	 /* JSON as far as read; the rest was not read */
	JSON_INVALID	 /* no JSON */
} JsonResult;

typedef enum JsonType
{
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
} JsonType;

typedef struct JsonSpan
{
	const char *text; /* in the caller's text, not terminated */
	size_t len;
} JsonSpan;

typedef struct JsonMember
{
	JsonSpan key;		/* between the quotes, escapes unresolved */
	bool key_escaped;	/* the key has a backslash in it */
	JsonType type;		/* of the value */
	JsonSpan value;		/* raw; a string without its quotes */
	bool value_escaped; /* a string with a backslash in it */
} JsonMember;

typedef struct JsonCursor
{
	JsonType type;	   /* of the whole text, after json_open */
	JsonResult result; /* final once json_next returned false */
	const char *pos;   /* next byte to read; private */
	const char *end;   /* private */
	bool started;	   /* a member was read; private */
	bool after_comma;  /* of an array: an element must follow; private */
	bool done;		   /* nothing more to read; private */
} JsonCursor;

/*
 * json_open starts at the top-level value.  If that is an object, json_next
 * walks its members; any other value is checked here, to the end of the text,
 * and json_next has nothing to give.  "type" is meaningless when the result
 * is JSON_INVALID.
 */
extern void json_open(JsonCursor *cursor, const char *text, size_t len);

/*
 * json_next gives the next member of the top-level object, its value checked
 * down to the bottom.  Returns false at the end or at the first fault; then
 * cursor->result is the verdict on the whole text.
 */
extern bool json_next(JsonCursor *cursor, JsonMember *member);

/*
 * json_open_array and json_next_element do the same with the elements of an
 * array, such as the value of a member; of "element" only the value's half is
 * filled.  Anything else than an array is JSON_INVALID.
 */
extern void json_open_array(JsonCursor *cursor, const char *text, size_t len);
extern bool json_next_element(JsonCursor *cursor, JsonMember *element);

/* json_check gives the verdict on a whole text of any type. */
extern JsonResult json_check(const char *text, size_t len) MUST_CHECK;

/*
 * json_unescape resolves the escapes of a key or string span into "out" and
 * terminates it.  Returns false if it does not fit into "size" (with its
 * terminator) or cannot be written in UTF-8 without NUL (\u0000, a lone
 * surrogate).  *out_len, if wanted, is the length without the terminator.
 */
extern bool json_unescape(JsonSpan span, char *out, size_t size,
						  size_t *out_len) MUST_CHECK;

/*
 * json_equals says whether a key or string span, its escapes resolved, is the
 * given text.
 */
extern bool json_equals(JsonSpan span, const char *text);

/*
 * json_integer reads a number span that is a plain integer (no fraction, no
 * exponent, no minus before a zero).  Returns false for anything else and for
 * what does not fit.
 */
extern bool json_integer(JsonSpan span, int64_t *value) MUST_CHECK;

/*
 * json_pick notes a member under its name's place in a list.  It is ambiguous
 * if it stands twice or is spelt with escapes: jsonb resolves those, and keeps
 * the last of duplicates, so it could mean one thing here and another in SQL.
 */
typedef struct JsonPicked
{
	bool has;
	bool ambiguous;
	JsonMember member;
} JsonPicked;

extern void json_pick(const JsonMember *member, const char *const names[],
					  int count, JsonPicked picked[]);

#endif
