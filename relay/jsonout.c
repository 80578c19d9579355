/*
 * jsonout.c
 *		Writing JSON into a buffer of a fixed size.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jsonout.h"

#include <stdio.h>
#include <string.h>

#include "utf8.h"

void
jsonout_bytes(JsonOut *target, const char *bytes, size_t len)
{
	if (target->full || len >= target->size - target->len)
	{
		target->full = true;
		return;
	}
	memcpy(target->buf + target->len, bytes, len);
	target->len += len;
}

void
jsonout_text(JsonOut *target, const char *text)
{
	jsonout_bytes(target, text, strlen(text));
}

/*
 * escape_char renders the character that "text" begins with for a JSON string
 * into "out", returns its length there and sets *used to its length here.
 */
static size_t
escape_char(const char *text, size_t len, char out[8], size_t *used)
{
	static const char special[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	unsigned char c = (unsigned char) text[0];
	const char *found = memchr(special, c, sizeof(special) - 1);

	*used = 1;
	if (found != NULL)
	{
		out[0] = '\\';
		out[1] = letters[found - special];
		return 2;
	}
	if (c < 0x20)
		return (size_t) snprintf(out, 8, "\\u%04x", c);

	*used = utf8_length(text, len);
	if (*used == 0)
	{
		*used = 1;
		memcpy(out, "\xEF\xBF\xBD", 3);
		return 3;
	}
	memcpy(out, text, *used);
	return *used;
}

/*
 * jsonout_string writes a JSON string.  "reserve" bytes stay free behind it: a
 * text that would take them is cut if "cut" says so.
 */
void
jsonout_string(JsonOut *target, const char *text, bool cut, size_t reserve)
{
	size_t left = strlen(text);
	size_t used;
	char piece[8];

	jsonout_bytes(target, "\"", 1);
	while (left > 0 && !target->full)
	{
		size_t len = escape_char(text, left, piece, &used);

		if (cut && len + 1 + reserve >= target->size - target->len)
			break;
		jsonout_bytes(target, piece, len);
		text += used;
		left -= used;
	}
	jsonout_bytes(target, "\"", 1);
}

static void
separate(JsonOut *target)
{
	if (target->len > 0 && strchr("{[:", target->buf[target->len - 1]) == NULL)
		jsonout_bytes(target, ",", 1);
}

void
jsonout_key(JsonOut *target, const char *key)
{
	separate(target);
	jsonout_bytes(target, "\"", 1);
	jsonout_text(target, key);
	jsonout_bytes(target, "\":", 2);
}

void
jsonout_pair(JsonOut *target, const char *key, const char *text)
{
	jsonout_key(target, key);
	jsonout_string(target, text, false, 0);
}

void
jsonout_number(JsonOut *target, const char *key, int64_t number)
{
	char text[32];

	jsonout_key(target, key);
	snprintf(text, sizeof(text), "%lld", (long long) number);
	jsonout_text(target, text);
}

void
jsonout_bool(JsonOut *target, const char *key, bool value)
{
	jsonout_key(target, key);
	jsonout_text(target, value ? "true" : "false");
}

size_t
jsonout_end(JsonOut *target)
{
	if (target->full)
	{
		if (target->size > 0)
			target->buf[0] = '\0';
		return 0;
	}
	target->buf[target->len] = '\0';
	return target->len;
}
