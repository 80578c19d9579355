/*
 * units.h
 *		Numbers of settings, with their units.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_UNITS_H
#define MIRUSYNC_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define SECOND INT64_C(1000)
#define HOUR   (3600 * SECOND)
#define KB	   INT64_C(1024)
#define MB	   (1024 * KB)

typedef enum SettingType
{
	SETTING_COUNT,	  /* int */
	SETTING_DURATION, /* int64_t, ms */
	SETTING_SIZE,	  /* size_t, bytes */
	SETTING_TEXT	  /* char *, owned */
} SettingType;

/* units_wanted says in words what a number of that type looks like. */
extern const char *units_wanted(SettingType type);

/* units_render writes a number as a file would say it, in the best unit. */
extern void units_render(char buf[32], SettingType type, int64_t value);

/* units_read reads digits, blanks and a unit, which 0 need not have; false if it is anything else. */
extern bool units_read(SettingType type, const char *text, int64_t *value);

#endif
