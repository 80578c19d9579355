/*
 * lower_case.h
 *     Lower case of UTF-8 text, the same on every server.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_LOWER_CASE_H
#define MIRUSYNC_LOWER_CASE_H

#include <stddef.h>

/* Room for the lower case of "length" bytes: two may become three. */
#define LOWER_CASE_SIZE(length) ((length) + (length) / 2)

/*
 * miru_lower_case writes the lower case of UTF-8 text to "out", which has
 * LOWER_CASE_SIZE(length) bytes, and returns how many it wrote; there is no
 * NUL at the end.  Bytes that are not UTF-8 are copied.
 */
extern size_t miru_lower_case(const char *text, size_t length, char *out);

#endif /* MIRUSYNC_LOWER_CASE_H */
