/*
 * wire.h
 *     Bytes of the PostgreSQL protocol, version 3, as a server writes and reads
 *     them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Buffer
{
	char *data;
	size_t len;
	size_t capacity;
} Buffer;

/* Bytes of somebody else */
typedef struct Span
{
	const char *at;
	size_t len;
} Span;

/* A text[] in the binary format, being read */
typedef struct Array
{
	Span rest;
	int count;
} Array;

extern void put(Buffer *buffer, const void *data, size_t len);
extern void put_text(Buffer *buffer, const char *text);
extern void put_int(Buffer *buffer, int64_t value, int bytes);
extern void put_number(Buffer *buffer, int64_t value);

/* A message lies between these two: the second puts the length. */
extern size_t message_begin(Buffer *buffer, char type);
extern void message_end(Buffer *buffer, size_t at);

/* The values of a row, which is a message, as text. */
extern size_t begin_row(Buffer *out, int columns);
extern void put_null(Buffer *out);
extern void put_value(Buffer *out, Span value);
extern void put_word(Buffer *out, const char *word);
extern void put_number_value(Buffer *out, int64_t value);

extern int32_t int_at(const char *at);
extern int short_at(const char *at);
extern Array array_of(Span value);
extern Span array_next(Array *array);
extern bool span_is(Span span, const char *text);

#endif /* WIRE_H */
