/*
 * base64url.h
 *		Bytes as text in URLs, tokens and keys (RFC 4648, section 5).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BASE64URL_H
#define MIRUSYNC_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

/* BASE64URL_LEN is the length of "n" bytes as text, without terminator. */
#define BASE64URL_LEN(n) (((n) *4 + 2) / 3)

/*
 * base64url_decode is strict: no padding, no blanks, and the bits that are
 * left over must be zero, so that each value has one spelling.  Returns false
 * if the text is bad or decodes to more than "size" bytes.
 */
extern bool base64url_decode(const char *text, size_t len, void *out,
							 size_t size, size_t *out_len) MUST_CHECK;

/* base64url_encode writes BASE64URL_LEN(len) characters and a terminator. */
extern void base64url_encode(const void *bytes, size_t len, char *out);

#endif
