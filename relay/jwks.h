/*
 * jwks.h
 *		A JSON Web Key Set (RFC 7517), read into keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JWKS_H
#define MIRUSYNC_JWKS_H

#include "keyset.h"

/*
 * jwks_read adds the keys of the text that can verify tokens.  Returns NULL,
 * or a static reason; then some may have been added.  "skipped" counts those
 * that are meant for something else: an unknown kty, alg or curve, `use` other
 * than "sig", `key_ops` without "verify".
 */
extern const char *
jwks_read(KeySet *set, const char *text, size_t len, int *skipped) MUST_CHECK;

#endif
