/*
 * options.c
 *     What the load driver's command line said.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "samples.h"

Options opt = {.seconds = 10,
			   .rate = 20,
			   .width = 64,
			   .device_count = 2,
			   .writer_count = 1,
			   .batch = 1,
			   .outstanding = 1,
			   .expect = -1};

static const char *const mode_names[] = {"latency", "closed", "sql", "idle",
										 "sync"};

const char *
options_mode_name(Mode mode)
{
	return mode_names[mode];
}

/* read_number takes an option with a number; false if it is another one. */
static bool
read_number(const char *option, const char *value)
{
	static const struct
	{
		const char *name;
		int *value;
	} numbers[] = {
		{"port", &opt.port},
		{"width", &opt.width},
		{"devices", &opt.device_count},
		{"writers", &opt.writer_count},
		{"batch", &opt.batch},
		{"outstanding", &opt.outstanding},
		{"records", &opt.records},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		if (strcmp(option, numbers[i].name) != 0)
			continue;
		*numbers[i].value = atoi(value);
		return true;
	}
	return false;
}

static void
read_option(char *option)
{
	char *value = strchr(option, '=');

	if (value == NULL)
		die("OPTION=VALUE expected: %s", option);
	*value++ = '\0';
	if (read_number(option, value))
		return;
	if (strcmp(option, "users") == 0)
		opt.users_file = value;
	else if (strcmp(option, "words") == 0)
		opt.words = words_named(value);
	else if (strcmp(option, "seconds") == 0)
		opt.seconds = atof(value);
	else if (strcmp(option, "rate") == 0)
		opt.rate = atof(value);
	else if (strcmp(option, "small") == 0)
		opt.small = atoi(value) != 0;
	else if (strcmp(option, "tls") == 0)
		opt.tls = atoi(value) != 0;
	else if (strcmp(option, "after") == 0)
		opt.after = atol(value);
	else if (strcmp(option, "expect") == 0)
		opt.expect = atol(value);
	else if (strcmp(option, "database") == 0)
		opt.database = value;
	else if (strcmp(option, "setup") == 0)
		opt.setup_sql = value;
	else if (strcmp(option, "update") == 0)
		opt.update_sql = value;
	else
		die("unknown option %s", option);
}

void
options_read(int argc, char **argv)
{
	int found = -1;

	for (int i = 0; i < (int) (sizeof(mode_names) / sizeof(char *)); i++)
	{
		if (strcmp(argv[1], mode_names[i]) == 0)
			found = i;
	}
	if (found < 0)
		die("unknown mode %s", argv[1]);
	opt.mode = (Mode) found;
	opt.words = words_named("events");
	for (int i = 2; i < argc; i++)
		read_option(argv[i]);
	if (opt.users_file == NULL || opt.port == 0)
		die("users= and port= are needed");
	if (opt.words == NULL)
		die("unknown words");
	if (opt.batch > 1 && !opt.words->can_batch)
		die("%s has no batches", opt.words->name);
	if (opt.batch < 1 || opt.outstanding < 1 ||
		opt.outstanding > OUTSTANDING_MAX ||
		opt.writer_count > opt.device_count)
		die("a number out of range");
}
