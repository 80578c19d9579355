/*
 * unit.h
 *		What every unit test includes first: cmocka and its prerequisites.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_UNIT_H
#define MIRUSYNC_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNUSED __attribute__((unused))

/*
 * exact_copy puts bytes into a heap block of just their length, so that ASan
 * sees the first byte that is read behind them.  The caller frees it.
 */
static UNUSED char *
exact_copy(const char *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return copy;
}

#endif
