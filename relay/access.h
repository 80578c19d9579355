/*
 * access.h
 *		Whether the database still lets a user in.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ACCESS_H
#define MIRUSYNC_ACCESS_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "jwt.h"

typedef enum AccessVerdict
{
	ACCESS_GRANTED,
	ACCESS_REVOKED,		 /* the token was issued before a revocation */
	ACCESS_REALTIME_OFF, /* good, but no sessions for that user now */
	ACCESS_UNKNOWN		 /* the database has failed to say (logged) */
} AccessVerdict;

typedef struct AccessRequest AccessRequest;
typedef void (*AccessCallback)(void *arg, AccessVerdict verdict);

extern void access_setup(const Config *config);
extern void access_release(void);

/* access_set_key makes the hashes known by which a change is rung. */
extern void access_set_key(const unsigned char *key, size_t len);

/*
 * access_ask asks about the holder of a token, whose claims are copied.  The
 * callback comes once, never from within this call, and not until the database
 * can be asked; the request is gone once it came.
 */
extern AccessRequest *
access_ask(const Claims *claims, AccessCallback callback, void *arg);

/* access_cancel makes sure that the callback does not come.  Safe on NULL. */
extern void access_cancel(AccessRequest *request);

/* access_ring says that something changed for the user with that hash. */
extern void access_ring(const char hash[17]);

/* access_check_all asks about all sessions: a ring may have been missed. */
extern void access_check_all(void);

extern void access_tick(int64_t now_ms);

#endif
