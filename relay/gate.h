/*
 * gate.h
 *		Who may have a session: origin, token, user, and how many already.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_GATE_H
#define MIRUSYNC_GATE_H

#include <stdbool.h>

#include "config.h"
#include "jwt.h"
#include "ws.h"

/* gate_setup takes the rules; "config" must outlive the gate. */
extern void gate_setup(const Config *config);

/* gate_close refuses everybody from now on: the relay is stopping. */
extern void gate_close(void);

/*
 * gate_on_upgrade lets a guest in and returns true, or fills the refusal.
 */
extern bool
gate_on_upgrade(WsConn *conn, const HttpRequest *request, HttpReply *reply);

/*
 * gate_refuses fills the refusal and returns true if this request for
 * /sync/ws is not to be let in.
 */
extern bool gate_refuses(const HttpRequest *request, HttpReply *reply);

/* gate_ticket answers a request for a ticket. */
extern void gate_ticket(const HttpRequest *request, HttpReply *reply);

/*
 * gate_admit finds the user of a plain request; NULL is what it has not.
 * Returns ERROR_CODES and fills "claims", or what is wrong.
 */
extern ErrorCode
gate_admit(const char *origin, const char *token, Claims *claims) MUST_CHECK;

/* GATE_CORS_MAX is the size of a buffer for gate_cors, for any listed origin. */
#define GATE_CORS_MAX 900

/*
 * gate_cors writes the header lines that a page of another origin needs to see
 * an answer, "" if that origin is not in the list.
 */
extern void
gate_cors(const char *origin, bool preflight, char *buf, size_t size);

/* gate_has_room says whether the user may have one more session here. */
extern bool gate_has_room(const char *user);

#endif
