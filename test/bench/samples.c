/*
 * samples.c
 *     Times that were taken, and their percentiles; and how to give up.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "samples.h"

/* die says why the run is over; the caller sees status 1 and the text. */
void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

void
samples_add(Samples *samples, int64_t us)
{
	if (samples->count == samples->size)
	{
		samples->size = samples->size ? samples->size * 2 : 4096;
		samples->us = realloc(samples->us, samples->size * sizeof(uint32_t));
		if (samples->us == NULL)
			die("out of memory");
	}
	samples->us[samples->count++] = (uint32_t) us;
}

static int
compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a;
	uint32_t y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

/* samples_print adds a key with count and percentiles in ms to an object. */
void
samples_print(const char *name, Samples *samples)
{
	size_t last = samples->count - 1;

	if (samples->count == 0)
	{
		printf(",\"%s\":null", name);
		return;
	}
	qsort(samples->us, samples->count, sizeof(uint32_t), compare_samples);
	printf(",\"%s\":{\"count\":%zu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,"
		   "\"max\":%.3f}",
		   name, samples->count, samples->us[last / 2] / 1e3,
		   samples->us[last * 9 / 10] / 1e3, samples->us[last * 99 / 100] / 1e3,
		   samples->us[last] / 1e3);
}
