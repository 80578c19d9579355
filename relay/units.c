/*
 * units.c
 *		Numbers of settings, with their units.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Unit
{
	const char *name;
	int64_t factor;
} Unit;

static const Unit *
units_of(SettingType type)
{
	static const Unit durations[] = {{"ms", 1},
									 {"s", SECOND},
									 {"min", 60 * SECOND},
									 {"h", HOUR},
									 {NULL, 0}};
	static const Unit sizes[] = {{"", 1},
								 {"B", 1},
								 {"kB", KB},
								 {"MB", MB},
								 {NULL, 0}};
	static const Unit counts[] = {{"", 1}, {NULL, 0}};

	if (type == SETTING_DURATION)
		return durations;
	return type == SETTING_SIZE ? sizes : counts;
}

const char *
units_wanted(SettingType type)
{
	if (type == SETTING_DURATION)
		return "a whole number with unit ms, s, min or h";
	if (type == SETTING_SIZE)
		return "a whole number with unit B, kB or MB";
	return "a whole number";
}

void
units_render(char buf[32], SettingType type, int64_t value)
{
	const Unit *best = units_of(type);
	const Unit *unit;

	for (unit = best; unit->name != NULL; unit++)
	{
		if (value % unit->factor == 0 && (value != 0 || unit == best))
			best = unit;
	}
	snprintf(buf, 32, "%" PRId64 "%s", value / best->factor, best->name);
}

bool
units_read(SettingType type, const char *text, int64_t *value)
{
	const Unit *unit;
	int64_t number = 0;
	const char *pos = text;

	for (; *pos >= '0' && *pos <= '9'; pos++)
	{
		if (__builtin_mul_overflow(number, (int64_t) 10, &number) ||
			__builtin_add_overflow(number, (int64_t) (*pos - '0'), &number))
			return false;
	}
	if (pos == text)
		return false;
	pos += strspn(pos, " ");
	for (unit = units_of(type); unit->name != NULL; unit++)
	{
		if (strcmp(pos, unit->name) == 0)
			return !__builtin_mul_overflow(number, unit->factor, value);
	}
	/* Nothing is nothing in every unit. */
	*value = 0;
	return number == 0 && *pos == '\0';
}
