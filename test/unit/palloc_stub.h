/*
 * palloc_stub.h
 *     The server's allocator for tests that link no server: everything is
 *     remembered and freed by palloc_release(), as a memory context would.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PALLOC_STUB_H
#define PALLOC_STUB_H

#include "postgres.h"

#define PALLOC_MAX 4096

static void *palloc_made[PALLOC_MAX];
static int palloc_count;

void *
palloc(Size size)
{
	void *made = malloc(size ? size : 1);

	if (made == NULL || palloc_count == PALLOC_MAX)
		abort();
	palloc_made[palloc_count++] = made;
	return made;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *old, Size size)
{
	for (int i = 0; i < palloc_count; i++)
	{
		if (palloc_made[i] == old)
		{
			palloc_made[i] = realloc(old, size);
			return palloc_made[i];
		}
	}
	abort();
}

char *
pstrdup(const char *text)
{
	return strcpy(palloc(strlen(text) + 1), text);
}

static int
palloc_release(void **state)
{
	(void) state;
	while (palloc_count > 0)
		free(palloc_made[--palloc_count]);
	return 0;
}

#endif /* PALLOC_STUB_H */
