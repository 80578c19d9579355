/*
 * ticket.h
 *		A short-lived, one-time stand-in for a token, for URLs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TICKET_H
#define MIRUSYNC_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jwt.h"
#include "status.h"

#define TICKET_TEXT_MAX 1024 /* bytes of a ticket as text, terminated */

typedef struct Ticket
{
	Claims claims;		/* of the token that it stands for */
	int64_t expires_ms; /* since 1970 */
	char hash[65];		/* SHA-256, hex: by which it is known when used */
} Ticket;

/* ticket_set_key takes the secret that the relays of a database share. */
extern void ticket_set_key(const unsigned char *key, size_t len);
extern void ticket_release(void);

/* ticket_seal writes a ticket; false while there is no key. */
extern bool ticket_seal(const Claims *claims, int64_t expires_ms,
						char out[TICKET_TEXT_MAX]) MUST_CHECK;

/*
 * ticket_open reads a ticket that was sealed with the same key and has not
 * expired.  Whether it was used before only the database knows.
 */
extern bool
ticket_open(const char *text, int64_t now_ms, Ticket *out) MUST_CHECK;

#endif
