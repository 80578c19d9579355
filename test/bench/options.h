/*
 * options.h
 *     What the load driver's command line said.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

#include "words.h"

typedef enum Mode
{
	MODE_LATENCY,
	MODE_CLOSED,
	MODE_SQL,
	MODE_IDLE,
	MODE_SYNC
} Mode;

typedef struct Options
{
	Mode mode;
	int port;
	const char *users_file;
	const Words *words;
	double seconds;
	double rate;	  /* writes a second */
	int width;		  /* connections being opened at a time */
	int device_count; /* of each user */
	int writer_count; /* of them, the first ones */
	int batch;		  /* changes in a push */
	int outstanding;  /* pushes of a writer under way */
	int records;	  /* a writer's, written over and over; 0: all new */
	bool small;		  /* entries of 200 bytes */
	bool tls;
	long after;	 /* cursor */
	long expect; /* records that each device of "sync" must get, or -1 */
	const char *database;
	const char *setup_sql;	/* $1 = user: makes the document to update */
	const char *update_sql; /* $1 = user, $2 = notes */
} Options;

/* More than that need not be under way. */
#define OUTSTANDING_MAX 1024

extern Options opt;

/* options_read takes the command line, or ends the program and says why. */
extern void options_read(int argc, char **argv);
extern const char *options_mode_name(Mode mode);

#endif /* OPTIONS_H */
