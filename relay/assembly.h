/*
 * assembly.h
 *		A message that comes in several pieces.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ASSEMBLY_H
#define MIRUSYNC_ASSEMBLY_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define ASSEMBLY_FIRST 4096 /* bytes; grows with what has really come */

/* All zero: nothing has come, and no memory is held. */
typedef struct Assembly
{
	char *text;
	size_t len;
	size_t capacity;
} Assembly;

static inline void
assembly_add(Assembly *assembly, const char *piece, size_t len)
{
	/* A fragment may be empty, before there is any text. */
	if (len == 0)
		return;
	if (assembly->len + len > assembly->capacity)
	{
		size_t capacity = assembly->capacity ? assembly->capacity * 2
											 : ASSEMBLY_FIRST;

		while (capacity < assembly->len + len)
			capacity *= 2;
		assembly->text = alloc_resize(assembly->text, capacity);
		assembly->capacity = capacity;
	}
	memcpy(assembly->text + assembly->len, piece, len);
	assembly->len += len;
}

static inline void
assembly_clear(Assembly *assembly)
{
	free(assembly->text);
	*assembly = (Assembly){0};
}

#endif
