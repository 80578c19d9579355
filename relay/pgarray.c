/*
 * pgarray.c
 *		A text[] parameter in PostgreSQL's binary format.
 *
 * The format is that of array_recv(): number of dimensions, whether there are
 * nulls, element type, then length and lower bound of the one dimension, then
 * each element as length and bytes; all integers big-endian, 32 bits.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pgarray.h"

#include <arpa/inet.h>

#include "alloc.h"

#define HEADER_BYTES 20
#define COUNT_OFFSET 12

static void
reserve(PgArray *array, size_t more)
{
	size_t capacity = array->capacity ? array->capacity : 256;

	if (array->len + more <= array->capacity)
		return;
	while (capacity < array->len + more)
		capacity *= 2;
	array->data = alloc_resize(array->data, capacity);
	array->capacity = capacity;
}

static void
put_int(PgArray *array, uint32_t value)
{
	uint32_t wire = htonl(value);

	memcpy(array->data + array->len, &wire, sizeof(wire));
	array->len += sizeof(wire);
}

void
pgarray_init(PgArray *array)
{
	memset(array, 0, sizeof(*array));
	reserve(array, HEADER_BYTES);
	put_int(array, 1); /* dimensions */
	put_int(array, 0); /* no nulls */
	put_int(array, PG_TEXT);
	put_int(array, 0); /* elements: set by pgarray_bind */
	put_int(array, 1); /* lower bound */
}

void
pgarray_add(PgArray *array, const char *text, size_t len)
{
	reserve(array, sizeof(uint32_t) + len);
	put_int(array, (uint32_t) len);
	memcpy(array->data + array->len, text, len);
	array->len += len;
	array->count++;
}

void
pgarray_release(PgArray *array)
{
	free(array->data);
	memset(array, 0, sizeof(*array));
}

void
pgarray_bind(PgArray *array, PgParams *params, int index)
{
	uint32_t wire = htonl((uint32_t) array->count);

	memcpy(array->data + COUNT_OFFSET, &wire, sizeof(wire));
	params->values[index] = array->data;
	params->lengths[index] = (int) array->len;
	params->formats[index] = 1;
}
