/*
 * base64url.c
 *		Bytes as text in URLs, tokens and keys (RFC 4648, section 5).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "base64url.h"

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

bool
base64url_decode(const char *text, size_t len, void *out, size_t size,
				 size_t *out_len)
{
	unsigned char *bytes = out;
	unsigned int bits = 0;
	int bit_count = 0;
	size_t n = 0;
	size_t i;

	if (len % 4 == 1)
		return false;
	for (i = 0; i < len; i++)
	{
		int value = value_of(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (unsigned int) value;
		bit_count += 6;
		if (bit_count >= 8)
		{
			if (n == size)
				return false;
			bit_count -= 8;
			bytes[n++] = (unsigned char) (bits >> bit_count & 0xFF);
			bits &= (1U << bit_count) - 1;
		}
	}
	*out_len = n;
	return bits == 0;
}

void
base64url_encode(const void *bytes, size_t len, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *in = bytes;
	unsigned int bits = 0;
	int count = 0;
	size_t i;

	for (i = 0; i < len; i++)
	{
		bits = bits << 8 | in[i];
		for (count += 8; count >= 6; count -= 6)
			*out++ = digits[bits >> (count - 6) & 63];
	}
	if (count > 0)
		*out++ = digits[bits << (6 - count) & 63];
	*out = '\0';
}
