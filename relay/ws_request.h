/*
 * ws_request.h
 *		Plain HTTP through the library: a request read from it, an answer written.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WS_REQUEST_H
#define MIRUSYNC_WS_REQUEST_H

#include <libwebsockets.h>

#include "jwt.h"
#include "ticket.h"
#include "ws.h"

#define HEADERS_MAX_BYTES 8192 /* of a request, all headers together */

/* The parts of a request, in buffers that live as long as the callback. */
typedef struct RequestText
{
	char path[1024];
	char user_id[1024];
	char token[JWT_TOKEN_MAX + 16];
	char ticket[TICKET_TEXT_MAX];
	char auth[16];
	char authorization[JWT_TOKEN_MAX + 16];
	char origin[512];
	char protocols[256];
} RequestText;

/* ws_request_read fills a request; false if it is none that we can read. */
extern bool
ws_request_read(struct lws *wsi, HttpRequest *request, RequestText *text);

/*
 * ws_answer writes the whole answer.  The caller returns -1 to the library,
 * which sends what is left and closes.
 */
extern void
ws_answer(struct lws *wsi, const HttpRequest *request, const HttpReply *reply);

#endif
