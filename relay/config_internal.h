/*
 * config_internal.h
 *		What the table of settings (config.c) and its reader (config_read.c)
 *		share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONFIG_INTERNAL_H
#define MIRUSYNC_CONFIG_INTERNAL_H

#include "config.h"
#include "log.h"
#include "units.h"

#define ENV_PREFIX	   "MIRUSYNC_"
#define NAME_MAX_BYTES 64
#define FILE_MAX_BYTES (64 * 1024)
#define SETTINGS_MAX   128 /* rows that the table may have */

/* What else is to be known of a setting. */
#define IS_REQUIRED 1 /* must not be empty */
#define IS_SECRET	2 /* never shown, wiped */

typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t offset;		/* in Config */
	const char *preset; /* the default, as a file would say it */
	int64_t min;		/* of a text: bytes */
	int64_t max;
	unsigned int flags;
	const char *help;
} Setting;

/* Where the present value of a setting comes from. */
typedef enum Origin
{
	ORIGIN_DEFAULT,
	ORIGIN_FILE,
	ORIGIN_ENVIRONMENT
} Origin;

extern const Setting config_settings[];

/* One run of config_load. */
typedef struct Loader
{
	Config *config;
	const char *path; /* of the file being read, or NULL */
	char *error;
	size_t error_size;
	Origin origins[SETTINGS_MAX];
	int lines[SETTINGS_MAX]; /* 0 = not in file */
} Loader;

/* A place that an error message can name. */
typedef struct Place
{
	const char *name; /* file or variable */
	int line;		  /* 0 for a variable */
} Place;

/* config_complain writes the one error sentence and returns false. */
extern bool config_complain(Loader *loader, const Place *place, const char *fmt,
							...) LOG_PRINTF(3, 4);

/* config_find returns the index of a key, or -1. */
extern int config_find(const char *name, size_t len);

/* config_set reads a value into its setting. */
extern bool config_set(Loader *loader, int index, const char *text,
					   Origin origin, const Place *place);

/* config_slurp reads a small file into buf[size], terminated. */
extern bool config_slurp(Loader *loader, const char *path, char *buf,
						 size_t size, size_t *len);

extern bool config_read_file(Loader *loader, const char *path);
extern bool config_read_environment(Loader *loader, char **envp);

#endif
