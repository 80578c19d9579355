/*
 * wire.c
 *     Bytes of the PostgreSQL protocol, version 3, as a server writes and reads
 *     them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"
#include "wire.h"

void
put(Buffer *buffer, const void *data, size_t len)
{
	if (buffer->len + len > buffer->capacity)
	{
		buffer->capacity = 2 * (buffer->len + len) + 4096;
		buffer->data = realloc(buffer->data, buffer->capacity);
		if (buffer->data == NULL)
			die("out of memory");
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
}

void
put_text(Buffer *buffer, const char *text)
{
	put(buffer, text, strlen(text));
}

void
put_int(Buffer *buffer, int64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		put(buffer, &(char){(char) (value >> (8 * i))}, 1);
}

/* put_number writes it in digits. */
void
put_number(Buffer *buffer, int64_t value)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, value);

	put(buffer, digits, (size_t) len);
}

int32_t
int_at(const char *at)
{
	uint32_t wire;

	memcpy(&wire, at, sizeof(wire));
	return (int32_t) ntohl(wire);
}

int
short_at(const char *at)
{
	uint16_t wire;

	memcpy(&wire, at, sizeof(wire));
	return ntohs(wire);
}

/* message_begin writes a message's type and leaves room for its length. */
size_t
message_begin(Buffer *buffer, char type)
{
	put(buffer, &type, 1);
	put_int(buffer, 0, 4);
	return buffer->len - 4;
}

/* message_end puts the length, which counts itself, where "begin" left room. */
void
message_end(Buffer *buffer, size_t at)
{
	uint32_t wire = htonl((uint32_t) (buffer->len - at));

	memcpy(buffer->data + at, &wire, sizeof(wire));
}

Array
array_of(Span value)
{
	Array array = {0};

	/* dimensions, nulls, type, count, lower bound */
	if (value.len < 20 || int_at(value.at) != 1)
		return array;
	array.count = int_at(value.at + 12);
	array.rest = (Span){value.at + 20, value.len - 20};
	return array;
}

Span
array_next(Array *array)
{
	Span element = {array->rest.at + 4, (size_t) int_at(array->rest.at)};

	array->rest.at += 4 + element.len;
	array->rest.len -= 4 + element.len;
	return element;
}

bool
span_is(Span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}


size_t
begin_row(Buffer *out, int columns)
{
	size_t at = message_begin(out, 'D');

	put_int(out, columns, 2);
	return at;
}

void
put_null(Buffer *out)
{
	put_int(out, -1, 4);
}

void
put_value(Buffer *out, Span value)
{
	put_int(out, (int64_t) value.len, 4);
	put(out, value.at, value.len);
}

void
put_word(Buffer *out, const char *word)
{
	put_value(out, (Span){word, strlen(word)});
}

void
put_number_value(Buffer *out, int64_t value)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, value);

	put_value(out, (Span){digits, (size_t) len});
}
