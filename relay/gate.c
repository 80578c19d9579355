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

#include "dialect_native.h"
#include "http.h"
#include "jwt.h"
#include "log.h"
#include "loop.h"
#include "session.h"

static JwtKey key;
static int connections_per_user;
static bool closed;

Status
gate_init(const Config *config)
{
	connections_per_user = config->connections_per_user;
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
token_is_bad(const char *token, size_t len, Claims *claims)
{
	static LogLimit limit;
	const char *reason = jwt_verify(&key, token, len, loop_wall_ms() / 1000,
									claims);

	if (reason != NULL)
		log_limited(&limit, LOG_LEVEL_INFO, "token refused reason=\"%s\"",
					reason);
	return reason != NULL;
}

int64_t
gate_renew(const char *user, const char *token, size_t len)
{
	Claims claims;

	if (token_is_bad(token, len, &claims) || strcmp(claims.sub, user) != 0)
		return 0;
	return claims.exp;
}

ErrorCode
gate_admit(const char *token, const char *user_id, Claims *claims)
{
	if (closed)
		return ERROR_SHUTTING_DOWN;
	if (token == NULL || token_is_bad(token, strlen(token), claims))
		return ERROR_UNAUTHORIZED;
	if (user_id != NULL && strcmp(claims->sub, user_id) != 0)
		return ERROR_FORBIDDEN;
	return ERROR_CODES;
}

/* Does the list of subprotocols have the native one? */
static bool
offers_native(const char *protocols)
{
	size_t len = strlen(NATIVE_SUBPROTOCOL);

	while (protocols != NULL && *protocols != '\0')
	{
		size_t token;

		protocols += strspn(protocols, ", \t");
		token = strcspn(protocols, ", \t");
		if (token == len && memcmp(protocols, NATIVE_SUBPROTOCOL, len) == 0)
			return true;
		protocols += token;
	}
	return false;
}

static void
expect_upgrade(HttpReply *reply)
{
	reply->header = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
}

static bool
refuses_native(const HttpRequest *request, HttpReply *reply, Claims *claims)
{
	ErrorCode code = gate_admit(request->token, request->user_id, claims);

	if (code == ERROR_CODES &&
		session_user_count(claims->sub) >= connections_per_user)
		code = ERROR_TOO_MANY;
	if (code != ERROR_CODES)
		http_native_error(reply, code);
	else if (!request->is_version_13)
	{
		http_error(reply, 426, "Expected a WebSocket upgrade");
		expect_upgrade(reply);
	}
	else
		return false;
	return true;
}

static bool
refuses_events(const HttpRequest *request, HttpReply *reply, Claims *claims)
{
	if (closed)
		http_error(reply, 503, "Shutting down");
	else if (request->user_id == NULL || request->token == NULL)
		http_error(reply, 400, "Missing userId or token");
	else if (token_is_bad(request->token, strlen(request->token), claims))
		http_error(reply, 401, "Invalid or expired token");
	else if (strcmp(claims->sub, request->user_id) != 0)
		http_error(reply, 403, "User ID mismatch");
	else if (!request->is_upgrade || !request->is_version_13)
	{
		http_error(reply, 426, "Expected a WebSocket upgrade");
		expect_upgrade(reply);
	}
	else if (request->protocols != NULL)
		http_error(reply, 400, "Unknown subprotocol");
	else if (session_user_count(request->user_id) >= connections_per_user)
		http_error(reply, 429, "Too many connections");
	else
		return false;
	return true;
}

bool
gate_refuses(const HttpRequest *request, HttpReply *reply)
{
	Claims claims;

	return refuses_events(request, reply, &claims);
}

void *
gate_on_upgrade(WsConn *conn, const HttpRequest *request, HttpReply *reply)
{
	Claims claims;

	if (!request->is_get || strcmp(request->path, HTTP_PATH_SYNC) != 0)
	{
		http_on_request(request, reply);
		return NULL;
	}
	if (offers_native(request->protocols))
	{
		if (refuses_native(request, reply, &claims))
			return NULL;
		return session_new(conn, claims.sub, &dialect_native, claims.exp);
	}
	if (refuses_events(request, reply, &claims))
		return NULL;
	return session_new(conn, claims.sub, &dialect_events, claims.exp);
}
