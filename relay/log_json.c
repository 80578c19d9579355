/*
 * log_json.c
 *		A line of the log as a JSON object.
 *
 * The places that log write one form, words and then key=value pairs, and it
 * is taken apart here.  That is safe because a value that a stranger chose has
 * gone through log_value(): it is one plain word, or quoted with its quotes
 * escaped.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "log_json.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

typedef struct Writer
{
	char *out;
	size_t size;
	size_t len;
	bool full;
} Writer;

static void
put(Writer *writer, const char *bytes, size_t len)
{
	if (writer->len + len > writer->size)
		writer->full = true;
	if (writer->full)
		return;
	memcpy(writer->out + writer->len, bytes, len);
	writer->len += len;
}

/* Writes a JSON string; "escaped" resolves \" and \\ first. */
static void
put_string(Writer *writer, const char *text, size_t len, bool escaped)
{
	char escape[8];

	put(writer, "\"", 1);
	for (size_t i = 0; i < len;)
	{
		unsigned char c = (unsigned char) text[i];
		size_t wide = utf8_length(text + i, len - i);

		if (escaped && c == '\\' && i + 1 < len &&
			(text[i + 1] == '"' || text[i + 1] == '\\'))
		{
			i++;
			c = (unsigned char) text[i];
			wide = 1;
		}
		if (c == '"' || c == '\\')
		{
			escape[0] = '\\';
			escape[1] = (char) c;
			put(writer, escape, 2);
			i++;
		}
		else if (c < 0x20 || wide == 0)
		{
			/* What is no UTF-8 is shown as the code of its byte. */
			snprintf(escape, sizeof(escape), "\\u%04x", c);
			put(writer, escape, 6);
			i++;
		}
		else
		{
			put(writer, text + i, wide);
			i += wide;
		}
	}
	put(writer, "\"", 1);
}

static void
put_pair(Writer *writer, const char *key, size_t key_len, const char *value,
		 size_t value_len, bool escaped)
{
	size_t start = writer->len;

	put(writer, start > 1 ? "," : "", start > 1 ? 1 : 0);
	put_string(writer, key, key_len, false);
	put(writer, ":", 1);
	put_string(writer, value, value_len, escaped);
	if (writer->full)
		writer->len = start;
}

/* The length of a key that stands here with its =, or 0. */
static size_t
key_length(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789");

	return text[len] == '=' ? len : 0;
}

/* Where a value in quotes ends: at a quote before a blank or the end. */
static const char *
quoted_end(const char *text)
{
	const char *c;

	for (c = text; *c != '\0'; c++)
	{
		if (*c == '\\' && c[1] != '\0')
			c++;
		else if (*c == '"' && (c[1] == '\0' || c[1] == ' '))
			break;
	}
	return c;
}

size_t
log_json(char *out, size_t size, const char *time, const char *level,
		 const char *text)
{
	Writer writer = {out, size - 2, 0, false};
	const char *c = text;

	put(&writer, "{", 1);
	put_pair(&writer, "time", 4, time, strlen(time), false);
	put_pair(&writer, "level", 5, level, strlen(level), false);
	while (*c != '\0' && !((c == text || c[-1] == ' ') && key_length(c) > 0))
		c++;
	put_pair(&writer, "event", 5, text,
			 (size_t) (c - text) - (c > text && c[-1] == ' ' ? 1 : 0), false);
	while (*c != '\0' && !writer.full)
	{
		const char *key = c;
		size_t key_len = key_length(c);
		const char *value = c + key_len + 1;
		bool quoted = *value == '"';
		const char *end;

		if (key_len == 0)
		{
			/* Words behind a value that was not quoted: no key of theirs. */
			c += strcspn(c, " ");
			c += strspn(c, " ");
			continue;
		}
		if (quoted)
			value++;
		end = quoted ? quoted_end(value) : value + strcspn(value, " ");
		put_pair(&writer, key, key_len, value, (size_t) (end - value), quoted);
		c = end + (quoted && *end == '"' ? 1 : 0);
		c += strspn(c, " ");
	}
	out[writer.len++] = '}';
	return writer.len;
}
