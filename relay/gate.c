/*
 * gate.c
 *		Who may have a session: token, user, and how many already.
 *
 * Everything here happens before the upgrade and without the database, so a
 * stranger costs a hash and a JSON body at most.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "gate.h"

#include <string.h>

#include "http.h"
#include "jwt.h"
#include "log.h"
#include "loop.h"
#include "session.h"

static JwtKey key;
static const Config *config;
static bool closed;

Status
gate_init(const Config *config_)
{
	config = config_;
	if (!jwt_key_init(&key, config->jwt_secret, strlen(config->jwt_secret)))
	{
		log_error("jwt_secret is empty");
		return STATUS_FAILED;
	}
	return STATUS_OK;
}

void
gate_release(void)
{
	jwt_key_release(&key);
}

void
gate_close(void)
{
	closed = true;
}

static bool
token_is_bad(const HttpRequest *request, Claims *claims)
{
	static LogLimit limit;
	const char *reason = jwt_verify(&key, request->token,
									strlen(request->token),
									loop_wall_ms() / 1000, claims);

	if (reason != NULL)
		log_limited(&limit, LOG_LEVEL_INFO, "token refused reason=\"%s\"",
					reason);
	return reason != NULL;
}

bool
gate_refuses(const HttpRequest *request, HttpReply *reply)
{
	Claims claims;

	if (closed)
		http_error(reply, 503, "Shutting down");
	else if (request->user_id == NULL || request->token == NULL)
		http_error(reply, 400, "Missing userId or token");
	else if (token_is_bad(request, &claims))
		http_error(reply, 401, "Invalid or expired token");
	else if (strcmp(claims.sub, request->user_id) != 0)
		http_error(reply, 403, "User ID mismatch");
	else if (!request->is_upgrade || !request->is_version_13)
	{
		http_error(reply, 426, "Expected a WebSocket upgrade");
		reply->header = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
	}
	else if (request->has_protocol)
		http_error(reply, 400, "Unknown subprotocol");
	else if (session_user_count(request->user_id) >=
			 config->connections_per_user)
		http_error(reply, 429, "Too many connections");
	else
		return false;
	return true;
}

void *
gate_on_upgrade(WsConn *conn, const HttpRequest *request, HttpReply *reply)
{
	if (!request->is_get || strcmp(request->path, HTTP_PATH_SYNC) != 0 ||
		request->door == DOOR_METRICS)
	{
		http_on_request(request, reply);
		return NULL;
	}
	if (gate_refuses(request, reply))
		return NULL;
	return session_new(conn, request->user_id);
}
