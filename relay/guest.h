/*
 * guest.h
 *		One WebSocket that has no session yet.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_GUEST_H
#define MIRUSYNC_GUEST_H

#include <stdint.h>

#include "config.h"
#include "dialect.h"
#include "jwt.h"
#include "ticket.h"
#include "ws.h"

/* What the request for the WebSocket has told of its user. */
typedef struct GuestPass
{
	const Dialect *dialect;
	const Claims *claims; /* of a good token or ticket, or NULL */
	const Ticket *ticket; /* to be redeemed, or NULL */
	const char *user_id;  /* whom a later token must be of, or NULL */
} GuestPass;

/* guest_setup takes the limits; "config" must outlive the guests. */
extern void guest_setup(const Config *config);

/* guest_new makes a guest of a connection that is about to be upgraded. */
extern void guest_new(WsConn *conn, const GuestPass *pass);

/* guest_user_count counts those of a user who is known already. */
extern int guest_user_count(const char *user);

extern void guest_close_all(CloseCode code, const char *reason);

/* guest_is_idle: there is none. */
extern bool guest_is_idle(void);

/* guest_tick closes those who take too long. */
extern void guest_tick(int64_t now_ms);

#endif
