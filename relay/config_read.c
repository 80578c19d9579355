/*
 * config_read.c
 *		Reads settings from a file and from the environment.
 *
 * The file has one `key = value` per line.  A `#` begins a comment at the
 * start of a line or after a blank.  A value may be put in double quotes, with
 * \" and \\ inside.  In a secret or a conninfo a bare ` #` is refused instead
 * of guessed at: half a password is worse than no start.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "confline.h"
#include "log.h"

/* read_line takes one line apart, in place. */
static bool
read_line(Loader *loader, char *line, const Place *place)
{
	char *key = line + strspn(line, " \t");
	char *value;
	char *comment;
	size_t key_len;
	int index;

	confline_trim_end(key);
	if (*key == '\0' || *key == '#')
		return true;
	key_len = strspn(key,
					 "abcdefghijklmnopqrstuvwxyz"
					 "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	value = key + key_len + strspn(key + key_len, " \t");
	if (key_len == 0 || *value != '=')
		return config_complain(loader, place, "no \"key = value\"");
	value++;
	value += strspn(value, " \t");

	index = config_find(key, key_len);
	if (index < 0)
		return config_complain(loader, place, "unknown key \"%.*s\"",
							   (int) (key_len > NAME_MAX_BYTES ? NAME_MAX_BYTES
															   : key_len),
							   key);
	if (loader->lines[index] != 0)
		return config_complain(loader, place, "%s stands in line %d already",
							   config_settings[index].name,
							   loader->lines[index]);

	if (*value == '"')
	{
		value++;
		if (!confline_unquote(value))
			return config_complain(loader, place,
								   "value of %s is not quoted rightly",
								   config_settings[index].name);
	}
	else if ((comment = confline_comment(value)) != NULL)
	{
		if (config_settings[index].flags & IS_SECRET)
			return config_complain(loader, place,
								   "a # after a blank in %s: put the value "
								   "in double quotes",
								   config_settings[index].name);
		*comment = '\0';
		confline_trim_end(value);
	}
	loader->lines[index] = place->line;
	return config_set(loader, index, value, ORIGIN_FILE, place);
}

/* read_text reads a whole file's text, terminated at text[len], in place. */
static bool
read_text(Loader *loader, char *text, size_t len)
{
	Place place = {loader->path, 0};
	char *end = text + len;
	char *line = text;

	/* some editors begin with a byte order mark */
	if (len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0)
		line += 3;
	while (line < end)
	{
		char *line_end = memchr(line, '\n', end - line);
		char *next;

		if (line_end == NULL)
			line_end = end;
		next = line_end + 1;
		place.line++;
		if (memchr(line, '\0', line_end - line) != NULL)
			return config_complain(loader, &place, "NUL byte");
		if (line_end > line && line_end[-1] == '\r')
			line_end--;
		*line_end = '\0';
		if (!read_line(loader, line, &place))
			return false;
		line = next;
	}
	return true;
}

/* config_slurp reads a small file into buf[size], terminated. */
bool
config_slurp(Loader *loader, const char *path, char *buf, size_t size,
			 size_t *len)
{
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return config_complain(loader, NULL, "could not open file \"%s\": %s",
							   path, strerror(errno));

	/* nothing stays behind in the buffer of a stream that is not there */
	setvbuf(file, NULL, _IONBF, 0);
	*len = fread(buf, 1, size, file);
	if (ferror(file))
	{
		config_complain(loader, NULL, "could not read file \"%s\": %s", path,
						strerror(errno));
		fclose(file);
		return false;
	}
	fclose(file);
	if (*len == size)
		return config_complain(loader, NULL,
							   "file \"%s\" is longer than %zu bytes", path,
							   size - 1);
	buf[*len] = '\0';
	return true;
}

bool
config_read_file(Loader *loader, const char *path)
{
	char *text = malloc(FILE_MAX_BYTES + 1);
	size_t len;
	bool good;

	if (text == NULL)
		abort();
	loader->path = path;
	good = config_slurp(loader, path, text, FILE_MAX_BYTES + 1, &len) &&
		read_text(loader, text, len);
	explicit_bzero(text, FILE_MAX_BYTES + 1);
	free(text);
	return good;
}

bool
config_read_environment(Loader *loader, char **envp)
{
	const size_t prefix_len = strlen(ENV_PREFIX);

	for (; envp != NULL && *envp != NULL; envp++)
	{
		const char *equals = strchr(*envp, '=');
		char name[NAME_MAX_BYTES];
		char variable[NAME_MAX_BYTES + sizeof(ENV_PREFIX)];
		Place place = {variable, 0};
		size_t len;
		size_t i;
		int index;

		if (equals == NULL || strncmp(*envp, ENV_PREFIX, prefix_len) != 0)
			continue;
		len = equals - *envp - prefix_len;
		if (len >= sizeof(name))
			len = sizeof(name) - 1;
		for (i = 0; i < len; i++)
		{
			char c = (*envp)[prefix_len + i];

			/* lower case is no key of ours */
			name[i] = c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
				: c >= 'a' && c <= 'z'	   ? '?'
										   : c;
		}
		snprintf(variable, sizeof(variable), "%.*s", (int) (prefix_len + len),
				 *envp);
		index = config_find(name, len);

		/* no error: orchestrators put variables there by a service's name */
		if (index < 0)
			log_warn("environment variable names no key variable=%s", variable);
		else if (!config_set(loader, index, equals + 1, ORIGIN_ENVIRONMENT,
							 &place))
			return false;
	}
	return true;
}
