/*
 * http.h
 *		What the relay answers besides WebSockets: probes and static files.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_HTTP_H
#define MIRUSYNC_HTTP_H

#include "config.h"
#include "status.h"
#include "ws.h"

#define HTTP_PATH_SYNC	 "/sync/ws"
#define HTTP_PATH_TICKET "/sync/ticket"

/* http_init reads the static files, once and for all. */
extern Status http_init(const Config *config) MUST_CHECK;
extern void http_release(void);

/* http_on_request answers one request. */
extern void http_on_request(const HttpRequest *request, HttpReply *reply);

/* http_native_error fills it with an error of the native protocol. */
extern void
http_native_error(HttpReply *reply, ErrorCode code, const char *reason);

/* http_error fills a reply with {"error": text}; the text needs no escapes. */
extern void http_error(HttpReply *reply, int status, const char *text);

/* http_json makes an answer of the JSON in its buffer. */
extern void http_json(HttpReply *reply, int status, int len);

#endif
