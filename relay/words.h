/*
 * words.h
 *		Lists in settings: words separated by blanks.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WORDS_H
#define MIRUSYNC_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * words_next finds the next word of a list, which is not terminated there, and
 * moves *list behind it; NULL at the end.
 */
static inline const char *
words_next(const char **list, size_t *len)
{
	const char *word = *list + strspn(*list, " \t");

	*len = strcspn(word, " \t");
	*list = word + *len;
	return *len > 0 ? word : NULL;
}

/* words_has says whether the text is a word of the list, to the byte. */
static inline bool
words_has(const char *list, const char *text)
{
	const char *word;
	size_t len;

	while ((word = words_next(&list, &len)) != NULL)
		if (strlen(text) == len && memcmp(word, text, len) == 0)
			return true;
	return false;
}

#endif
