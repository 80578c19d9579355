/*
 * jwt.h
 *		Token and keys and policy and time in, claims or a reason out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JWT_H
#define MIRUSYNC_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyset.h"
#include "status.h"

#define JWT_TOKEN_MAX  8192 /* bytes; longer tokens are refused unread */
#define JWT_HEADER_MAX 2048 /* bytes of it, as text: read before any key */

/* What a token must be like; the texts are lists (words.h), "" = no matter. */
typedef struct JwtPolicy
{
	unsigned int algorithms;  /* that count, whatever keys there are */
	int64_t leeway_s;		  /* for exp, nbf and iat: clocks that differ */
	int64_t lifetime_max_s;	  /* from iat to exp, 0 = any */
	const char *issuers;	  /* iss must be one of them */
	const char *audiences;	  /* aud must have one of them */
	const char *required;	  /* claims that must be there, and not null */
	const char *user_claim;	  /* which claim is the user */
	const char *device_claim; /* which is the device, "" = none */
} JwtPolicy;

typedef struct Claims
{
	char user[256];	  /* UTF-8, no NUL, never empty */
	char device[256]; /* "" = the token names none */
	int64_t exp;	  /* seconds since 1970 */
	int64_t iat;	  /* seconds since 1970, if stated */
	bool has_iat;
} Claims;

/*
 * jwt_verify returns NULL and fills "out" if the token is good at "now_s"
 * (seconds since 1970), else a static reason for the log, never for the
 * client, and "out" is zeroed.
 *
 * The claims are not read before the signature was found good.  `exp` and the
 * user must be there; a token is expired in the very second of its exp, later
 * by the leeway; nbf and iat may lie ahead by as much.
 */
extern const char *
jwt_verify(const KeySet *keys, const JwtPolicy *policy, const char *token,
		   size_t token_len, int64_t now_s, Claims *out) MUST_CHECK;

#endif
