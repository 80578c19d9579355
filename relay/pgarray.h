/*
 * pgarray.h
 *		A text[] parameter in PostgreSQL's binary format.
 *
 * Binary, because the text format would escape each quote of each JSON
 * message, twice, only for the server to undo it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PGARRAY_H
#define MIRUSYNC_PGARRAY_H

#include <stddef.h>

#include "pgconn.h"

typedef struct PgArray
{
	char *data;
	size_t len;
	size_t capacity;
	int count; /* elements */
} PgArray;

extern void pgarray_init(PgArray *array);
extern void pgarray_add(PgArray *array, const char *text, size_t len);
extern void pgarray_release(PgArray *array);

/* pgarray_bind makes it parameter "index"; valid until the array changes. */
extern void pgarray_bind(PgArray *array, PgParams *params, int index);

#endif
