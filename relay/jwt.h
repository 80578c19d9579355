/*
 * jwt.h
 *		Token and key and time in, claims or a reason out.
 *
 * HS256 and nothing else: the key decides the algorithm, the token's header
 * must merely agree.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JWT_H
#define MIRUSYNC_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define JWT_TOKEN_MAX		  8192 /* bytes; longer tokens are refused unread */
#define JWT_LEEWAY_S		  30   /* for nbf and iat: clocks that differ */
#define JWT_SECRET_GOOD_BYTES 32   /* RFC 7518: as long as the hash */

typedef struct Claims
{
	char sub[256]; /* user id; UTF-8, no NUL, never empty */
	int64_t exp;   /* seconds since 1970 */
	int64_t iat;   /* seconds since 1970, 0 if not stated */
} Claims;

typedef struct JwtKey
{
	unsigned char *secret; /* owned, wiped on release */
	size_t len;			   /* never 0 after jwt_key_init */
} JwtKey;

/*
 * jwt_key_init copies the secret.  Returns false, with a zeroed key that
 * verifies nothing, if it is empty.
 */
extern bool
jwt_key_init(JwtKey *key, const char *secret, size_t len) MUST_CHECK;

/* jwt_key_release wipes the secret.  Safe on a zeroed or released key. */
extern void jwt_key_release(JwtKey *key);

/*
 * jwt_verify returns NULL and fills "out" if the token is good at "now_s"
 * (seconds since 1970), else a static reason for the log, never for the
 * client, and "out" is zeroed.
 *
 * The signature is compared in constant time and before any JSON is read.
 * `exp` and `sub` must be there; a token is expired in the very second of its
 * exp, without leeway; nbf and iat may lie JWT_LEEWAY_S ahead.
 */
extern const char *
jwt_verify(const JwtKey *key, const char *token, size_t token_len,
		   int64_t now_s, Claims *out) MUST_CHECK;

#endif
