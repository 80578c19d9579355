/*
 * gate.c
 *		Who may have a session: origin, token, user, and how many already.
 *
 * Everything here happens before the upgrade and without the database, so a
 * stranger costs a verification and a JSON body at most.  What only the
 * database knows is asked after it (guest.c): the library wants its answer to
 * an upgrade at once, and a browser's page sees the code of a close frame, but
 * nothing of a refused upgrade.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "gate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dialect_native.h"
#include "guest.h"
#include "http.h"
#include "keyring.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "quota.h"
#include "session.h"
#include "ticket.h"
#include "words.h"

#define BEARER "Bearer "

/* Where a token may come from: the words of token_sources. */
#define SOURCE_HEADER  "header"
#define SOURCE_MESSAGE "message"
#define SOURCE_TICKET  "ticket"
#define SOURCE_QUERY   "query"

/* What a request shows of its user; what is not configured is not there. */
typedef struct Credentials
{
	const char *bearer;
	const char *token;
	const char *ticket;
	bool by_message; /* it will come later */
	int count;
} Credentials;

/* Who that is, once it was found good. */
typedef struct Visitor
{
	bool known; /* claims are filled */
	bool by_ticket;
	Claims claims;
	Ticket ticket;
} Visitor;

static const Config *config;
static bool closed;

void
gate_setup(const Config *config_)
{
	config = config_;
}

void
gate_close(void)
{
	closed = true;
}

bool
gate_has_room(const char *user)
{
	return session_user_count(user) < config->connections_per_user;
}

/* The token behind the scheme of an Authorization header; NULL for another. */
static const char *
bearer_of(const HttpRequest *request)
{
	const char *value = request->authorization;

	if (value == NULL || strncasecmp(value, BEARER, strlen(BEARER)) != 0)
		return NULL;
	value += strlen(BEARER);
	return value + strspn(value, " ");
}

static void
read_credentials(const HttpRequest *request, Credentials *out)
{
	const char *sources = config->token_sources;

	memset(out, 0, sizeof(*out));
	if (words_has(sources, SOURCE_HEADER))
		out->bearer = bearer_of(request);
	if (words_has(sources, SOURCE_QUERY))
		out->token = request->token;
	if (words_has(sources, SOURCE_TICKET))
		out->ticket = request->ticket;
	out->by_message = words_has(sources, SOURCE_MESSAGE) &&
		request->auth != NULL && strcmp(request->auth, SOURCE_MESSAGE) == 0;
	out->count = (out->bearer != NULL) + (out->token != NULL) +
		(out->ticket != NULL) + out->by_message;
}

/*
 * Whether a page of that origin may connect.  The comparison is to the byte:
 * browsers write origins in one way only.
 */
static bool
origin_is_allowed(const char *origin)
{
	if (origin == NULL)
		return !config->origin_required;
	return config->allowed_origins[0] == '\0' ||
		words_has(config->allowed_origins, origin);
}

/* ---- sessions ---- */

static bool
has_user(const HttpRequest *request)
{
	return request->user_id != NULL && strlen(request->user_id) < 256;
}

/*
 * In the event protocol a token in the query comes with its user id.
 */
static bool
is_complete(const HttpRequest *request, const Credentials *credentials,
			const Dialect *dialect)
{
	if (credentials->count == 0)
		return false;
	if (credentials->token != NULL && dialect == &dialect_events)
		return request->user_id != NULL;
	return request->user_id == NULL || has_user(request);
}

static bool
is_good(const Credentials *credentials, Visitor *visitor)
{
	const char *token = credentials->bearer != NULL ? credentials->bearer
													: credentials->token;

	if (credentials->by_message)
		return true;
	visitor->known = true;
	if (token != NULL)
		return keyring_verify(token, strlen(token), &visitor->claims);
	visitor->by_ticket = true;
	if (!ticket_open(credentials->ticket, loop_wall_ms(), &visitor->ticket))
		return false;
	visitor->claims = visitor->ticket.claims;
	return true;
}

static bool
is_other_user(const HttpRequest *request, const Visitor *visitor)
{
	return visitor->known && request->user_id != NULL &&
		strcmp(visitor->claims.user, request->user_id) != 0;
}

/* Which protocol the session will speak; NULL: none of ours. */
static const Dialect *
dialect_of(const HttpRequest *request)
{
	const char *rest = request->protocols;
	size_t len = strlen(NATIVE_SUBPROTOCOL);

	if (rest == NULL)
		return &dialect_events;
	while (*rest != '\0')
	{
		size_t token;

		rest += strspn(rest, ", \t");
		token = strcspn(rest, ", \t");
		if (token == len && memcmp(rest, NATIVE_SUBPROTOCOL, len) == 0)
			return &dialect_native;
		rest += token;
	}
	return NULL;
}

/* A refusal has the form of the protocol that was asked for. */
static void
refuse(HttpReply *reply, const Dialect *dialect, ErrorCode code, int status,
	   const char *text)
{
	if (dialect == &dialect_native)
		http_native_error(reply, code, text);
	else
		http_error(reply, status, text);
}

static bool
refuses(const HttpRequest *request, HttpReply *reply, Visitor *visitor)
{
	const Dialect *dialect = dialect_of(request);
	Credentials credentials;

	memset(visitor, 0, sizeof(*visitor));
	read_credentials(request, &credentials);
	if (closed)
		refuse(reply, dialect, ERROR_SHUTTING_DOWN, 503, "Shutting down");
	else if (!origin_is_allowed(request->origin))
		refuse(reply, dialect, ERROR_FORBIDDEN, 403, "Origin not allowed");
	else if (!is_complete(request, &credentials, dialect))
		refuse(reply, dialect, ERROR_UNAUTHORIZED, 400,
			   "Missing userId or token");
	else if (credentials.count > 1)
		refuse(reply, dialect, ERROR_BAD_MESSAGE, 400, "More than one token");
	else if (!is_good(&credentials, visitor))
		refuse(reply, dialect, ERROR_UNAUTHORIZED, 401,
			   visitor->by_ticket ? "Invalid or expired ticket"
								  : "Invalid or expired token");
	else if (is_other_user(request, visitor))
		refuse(reply, dialect, ERROR_FORBIDDEN, 403, "User ID mismatch");
	else if (!request->is_upgrade || !request->is_version_13)
	{
		http_error(reply, 426, "Expected a WebSocket upgrade");
		reply->header = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
	}
	else if (!request->is_handshake)
		http_error(reply, 400, "Malformed WebSocket handshake");
	else if (dialect == NULL)
		http_error(reply, 400, "Unknown subprotocol");
	else if (visitor->known &&
			 session_user_count(visitor->claims.user) +
					 guest_user_count(visitor->claims.user) >=
				 config->connections_per_user)
	{
		metrics_count(METRIC_REFUSED_USER);
		refuse(reply, dialect, ERROR_TOO_MANY, 429, "Too many connections");
	}
	else
		return false;
	return true;
}

bool
gate_refuses(const HttpRequest *request, HttpReply *reply)
{
	Visitor visitor;

	return refuses(request, reply, &visitor);
}

bool
gate_on_upgrade(WsConn *conn, const HttpRequest *request, HttpReply *reply)
{
	Visitor visitor;
	GuestPass pass = {0};

	if (!request->is_get || strcmp(request->path, HTTP_PATH_SYNC) != 0 ||
		request->door == DOOR_METRICS)
	{
		http_on_request(request, reply);
		return false;
	}
	if (refuses(request, reply, &visitor))
		return false;
	pass.dialect = dialect_of(request);
	pass.user_id = request->user_id;
	if (visitor.known)
		pass.claims = &visitor.claims;
	if (visitor.by_ticket)
		pass.ticket = &visitor.ticket;
	guest_new(conn, &pass);
	return true;
}

/* ---- plain requests ---- */

ErrorCode
gate_admit(const char *origin, const char *token, Claims *claims)
{
	if (closed)
		return ERROR_SHUTTING_DOWN;
	if (!origin_is_allowed(origin))
		return ERROR_FORBIDDEN;
	if (token == NULL || !keyring_verify(token, strlen(token), claims))
		return ERROR_UNAUTHORIZED;
	return ERROR_CODES;
}

/* The same for a ticket, whose refusals have the words of /sync/ws. */
static bool
admits_ticket(const HttpRequest *request, Claims *claims, HttpReply *reply)
{
	switch (gate_admit(request->origin, bearer_of(request), claims))
	{
		case ERROR_CODES:
			return true;
		case ERROR_SHUTTING_DOWN:
			http_error(reply, 503, "Shutting down");
			return false;
		case ERROR_FORBIDDEN:
			http_error(reply, 403, "Origin not allowed");
			return false;
		default:
			http_error(reply, 401, "Invalid or expired token");
			reply->header = "WWW-Authenticate: Bearer\r\n";
			return false;
	}
}

void
gate_ticket(const HttpRequest *request, HttpReply *reply)
{
	int64_t now_ms = loop_wall_ms();
	Claims claims;
	char ticket[TICKET_TEXT_MAX];
	Metric bound;

	if (!words_has(config->token_sources, SOURCE_TICKET))
		http_error(reply, 404, "Not found");
	else if (request->is_options)
		http_json(reply, 204, 0);
	else if (!request->is_post)
	{
		http_error(reply, 405, "Method not allowed");
		reply->header = "Allow: POST, OPTIONS\r\n";
	}
	else if (!admits_ticket(request, &claims, reply))
		return;
	else if (quota_ask(claims.user, 0, &bound) > 0)
	{
		metrics_count(bound);
		http_error(reply, 429, "Too many requests");
		reply->header = "Retry-After: 5\r\n";
	}
	else if (!ticket_seal(&claims, now_ms + config->ticket_lifetime_ms, ticket))
		http_error(reply, 503, "Database unavailable");
	else
		http_json(reply, 200,
				  snprintf(reply->buffer, sizeof(reply->buffer),
						   "{\"ticket\":\"%s\",\"expires_in\":%" PRId64 "}",
						   ticket, config->ticket_lifetime_ms / 1000));
}

/* The origin is a word of ours by now, so it cannot forge a header. */
void
gate_cors(const char *origin, bool preflight, char *buf, size_t size)
{
	buf[0] = '\0';
	if (origin == NULL || !words_has(config->allowed_origins, origin))
		return;
	snprintf(
		buf, size, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n%s",
		origin,
		preflight
			? "Access-Control-Allow-Methods: GET, POST\r\n"
			  "Access-Control-Allow-Headers: Authorization, Content-Type\r\n"
			  "Access-Control-Max-Age: 600\r\n"
			: "");
}
