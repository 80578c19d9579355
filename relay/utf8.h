/*
 * utf8.h
 *		One strict UTF-8 character, for those who must not pass bad text on.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_UTF8_H
#define MIRUSYNC_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * utf8_length gives the bytes of the character that "text" begins with, or 0
 * if there is none: a stray or missing continuation byte, more bytes than
 * needed, a surrogate, or above U+10FFFF.  These are the rules PostgreSQL
 * checks text by.  Never looks at more than "len" bytes.
 */
static inline size_t
utf8_length(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *) text;

	/* the second byte's range rules out overlong forms and surrogates */
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	size_t need;
	size_t i;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		need = 2;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF)
	{
		need = 3;
		if (s[0] == 0xE0)
			low = 0xA0;
		else if (s[0] == 0xED)
			high = 0x9F;
	}
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
	{
		need = 4;
		if (s[0] == 0xF0)
			low = 0x90;
		else if (s[0] == 0xF4)
			high = 0x8F;
	}
	else
		return 0;

	if (len < need || s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < need; i++)
	{
		if (s[i] < 0x80 || s[i] > 0xBF)
			return 0;
	}
	return need;
}

/* utf8_is_valid tells whether "text" is characters and nothing else. */
static inline bool
utf8_is_valid(const char *text, size_t len)
{
	while (len > 0)
	{
		size_t n = utf8_length(text, len);

		if (n == 0)
			return false;
		text += n;
		len -= n;
	}
	return true;
}

#endif
