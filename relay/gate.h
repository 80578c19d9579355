/*
 * gate.h
 *		Who may have a session: token, user, and how many already.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_GATE_H
#define MIRUSYNC_GATE_H

#include "config.h"
#include "status.h"
#include "jwt.h"
#include "ws.h"

extern Status gate_init(const Config *config) MUST_CHECK;
extern void gate_release(void);

/* gate_close refuses everybody from now on: the relay is stopping. */
extern void gate_close(void);

/* gate_on_upgrade makes a session, or fills the refusal and returns NULL. */
extern void *
gate_on_upgrade(WsConn *conn, const HttpRequest *request, HttpReply *reply);

/*
 * gate_refuses fills the refusal and returns true if this request for
 * /sync/ws is not to be let in.
 */
extern bool gate_refuses(const HttpRequest *request, HttpReply *reply);

/*
 * gate_admit checks a token, and a user id if one is given.  Returns
 * ERROR_CODES and fills "claims", or what is wrong.
 */
extern ErrorCode
gate_admit(const char *token, const char *user_id, Claims *claims) MUST_CHECK;

/*
 * gate_renew checks a token for a session that is there.  Returns its end in
 * seconds since 1970, or 0 if it is not good, or of another user.
 */
extern int64_t gate_renew(const char *user, const char *token, size_t len);

#endif
