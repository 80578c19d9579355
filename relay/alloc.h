/*
 * alloc.h
 *		Memory that is there or the process is not.
 *
 * The relay holds nothing it cannot forget, so for small allocations running
 * out of memory is answered by abort() and a restart.  What clients can drive
 * is bounded by configuration long before that.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ALLOC_H
#define MIRUSYNC_ALLOC_H

#include <stdlib.h>
#include <string.h>

/* alloc_zero returns zeroed memory, owned by the caller; free() it. */
static inline void *
alloc_zero(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		abort();
	return memory;
}

/* alloc_resize is realloc() that cannot fail; the new part is not zeroed. */
static inline void *
alloc_resize(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		abort();
	return memory;
}

/* alloc_string copies a terminated string. */
static inline char *
alloc_string(const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		abort();
	return copy;
}

#endif
