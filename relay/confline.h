/*
 * confline.h
 *		The pieces of one line of a settings file.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONFLINE_H
#define MIRUSYNC_CONFLINE_H

#include <stdbool.h>

/*
 * confline_unquote resolves a value in double quotes in place; "value" is
 * behind the first quote.  Only blanks or a comment may follow the last one.
 */
extern bool confline_unquote(char *value);

/* confline_comment returns the # that begins a comment behind a bare value. */
extern char *confline_comment(char *value);

/* confline_trim_end cuts off blanks at the end. */
extern void confline_trim_end(char *text);

#endif
