/*
 * samples.h
 *     Times that were taken, and their percentiles; and how to give up.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stddef.h>
#include <stdint.h>

typedef struct Samples
{
	uint32_t *us;
	size_t count;
	size_t size;
} Samples;

extern void samples_add(Samples *samples, int64_t us);
extern void samples_print(const char *name, Samples *samples);

extern void
die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif /* SAMPLES_H */
