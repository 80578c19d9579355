/*
 * confline.c
 *		The pieces of one line of a settings file.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "confline.h"

#include <stddef.h>
#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
confline_unquote(char *value)
{
	char *in = value;
	char *out = value;

	for (; *in != '"'; in++)
	{
		if (*in == '\\' && (in[1] == '"' || in[1] == '\\'))
			in++;
		if (*in == '\0')
			return false;
		*out++ = *in;
	}
	in++;
	if (*in != '\0' && !is_blank(*in))
		return false;
	in += strspn(in, " \t");
	if (*in != '\0' && *in != '#')
		return false;
	*out = '\0';
	return true;
}

char *
confline_comment(char *value)
{
	char *c;

	for (c = value; *c != '\0'; c++)
	{
		if (*c == '#' && (c == value || is_blank(c[-1])))
			return c;
	}
	return NULL;
}

void
confline_trim_end(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && is_blank(text[len - 1]))
		text[--len] = '\0';
}
