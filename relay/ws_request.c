/*
 * ws_request.c
 *		Plain HTTP through the library: a request read from it, an answer written.
 *
 * Owns nothing.  Part of the transport (ws.c), which is why it may know the
 * library.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ws_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "metrics.h"

static const char *
status_text(int status)
{
	switch (status)
	{
		case 200:
			return "OK";
		case 204:
			return "No Content";
		case 304:
			return "Not Modified";
		case 400:
			return "Bad Request";
		case 401:
			return "Unauthorized";
		case 403:
			return "Forbidden";
		case 404:
			return "Not Found";
		case 405:
			return "Method Not Allowed";
		case 426:
			return "Upgrade Required";
		case 429:
			return "Too Many Requests";
		case 503:
			return "Service Unavailable";
		default:
			return "Internal Server Error";
	}
}

void
ws_answer(struct lws *wsi, const HttpRequest *request, const HttpReply *reply)
{
	char head[512 + sizeof(reply->header_buffer)];
	size_t head_len;
	size_t body_len = request->is_head ? 0 : reply->len;
	unsigned char *out;

	metrics_status(reply->status);
	head_len = (size_t) snprintf(head, sizeof(head),
								 "HTTP/1.1 %d %s\r\n"
								 "Content-Type: %s\r\n"
								 "Content-Length: %zu\r\n"
								 "Cache-Control: no-store\r\n"
								 "X-Content-Type-Options: nosniff\r\n"
								 "%sConnection: close\r\n\r\n",
								 reply->status, status_text(reply->status),
								 reply->content_type, reply->len,
								 reply->header ? reply->header : "");
	out = alloc_resize(NULL, LWS_PRE + head_len + body_len);
	memcpy(out + LWS_PRE, head, head_len);
	if (body_len > 0)
		memcpy(out + LWS_PRE + head_len, reply->body, body_len);
	(void) !lws_write(wsi, out + LWS_PRE, head_len + body_len, LWS_WRITE_HTTP);
	free(out);
}

/*
 * Copies a query argument; NULL if it is missing, empty or too long.  The
 * library looks at one argument after the other through the buffer, and one
 * that does not fit hides those behind it: so it gets a large one each time.
 */
static const char *
argument(struct lws *wsi, const char *name_is, char *buf, size_t size)
{
	char scratch[HEADERS_MAX_BYTES];
	const char *value = lws_get_urlarg_by_name(wsi, name_is, scratch,
											   sizeof(scratch));

	if (value == NULL || value[0] == '\0' || strlen(value) >= size)
		return NULL;
	return strcpy(buf, value);
}

static bool
header_is(struct lws *wsi, enum lws_token_indexes header, const char *value)
{
	char buf[64];

	return lws_hdr_copy(wsi, buf, sizeof(buf), header) > 0 &&
		strcasecmp(buf, value) == 0;
}

/* A list of words in a header has this one, in whatever case. */
static bool
header_has(struct lws *wsi, enum lws_token_indexes header, const char *word)
{
	char buf[256];
	char *rest = buf;
	char *found;

	if (lws_hdr_copy(wsi, buf, sizeof(buf), header) <= 0)
		return false;
	while ((found = strtok_r(rest, ", \t", &rest)) != NULL)
	{
		if (strcasecmp(found, word) == 0)
			return true;
	}
	return false;
}

/* 16 bytes in base64; sent twice it is joined, and too long. */
static bool
has_key(struct lws *wsi)
{
	char buf[64];
	int len = lws_hdr_copy(wsi, buf, sizeof(buf), WSI_TOKEN_KEY);

	return len == 24 && strcmp(buf + 22, "==") == 0 &&
		strspn(buf,
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			   "0123456789+/") == 22;
}

/*
 * What RFC 6455 asks of a handshake besides the upgrade itself.  The library
 * looks at less, and what it does not like it drops without an answer.
 */
static bool
is_handshake(struct lws *wsi)
{
	return header_is(wsi, WSI_TOKEN_HTTP, "HTTP/1.1") &&
		lws_hdr_total_length(wsi, WSI_TOKEN_HOST) > 0 &&
		header_has(wsi, WSI_TOKEN_CONNECTION, "upgrade") && has_key(wsi);
}

/* Copies a header; NULL if it is missing, "" if it is too long. */
static const char *
header(struct lws *wsi, enum lws_token_indexes which, char *buf, size_t size)
{
	if (lws_hdr_total_length(wsi, which) <= 0)
		return NULL;
	if (lws_hdr_copy(wsi, buf, (int) size, which) < 0)
		buf[0] = '\0';
	return buf;
}

bool
ws_request_read(struct lws *wsi, HttpRequest *request, RequestText *text)
{
	memset(request, 0, sizeof(*request));
	request->path = text->path;
	request->is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
	if (request->is_get)
	{
		if (lws_hdr_copy(wsi, text->path, sizeof(text->path),
						 WSI_TOKEN_GET_URI) < 0)
			return false;
	}
	else if (lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0)
	{
		request->is_head = true;
		if (lws_hdr_copy(wsi, text->path, sizeof(text->path),
						 WSI_TOKEN_HEAD_URI) < 0)
			return false;
	}
	else if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0)
	{
		request->is_post = true;
		if (lws_hdr_copy(wsi, text->path, sizeof(text->path),
						 WSI_TOKEN_POST_URI) < 0)
			return false;
	}
	else if (lws_hdr_total_length(wsi, WSI_TOKEN_OPTIONS_URI) > 0)
	{
		request->is_options = true;
		if (lws_hdr_copy(wsi, text->path, sizeof(text->path),
						 WSI_TOKEN_OPTIONS_URI) < 0)
			return false;
	}
	else
		text->path[0] = '\0';
	request->user_id = argument(wsi, "userId=", text->user_id,
								sizeof(text->user_id));
	request->token = argument(wsi, "token=", text->token, sizeof(text->token));
	request->ticket = argument(wsi, "ticket=", text->ticket,
							   sizeof(text->ticket));
	request->auth = argument(wsi, "auth=", text->auth, sizeof(text->auth));
	request->authorization = header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
									text->authorization,
									sizeof(text->authorization));
	request->origin = header(wsi, WSI_TOKEN_ORIGIN, text->origin,
							 sizeof(text->origin));
	request->is_upgrade = header_is(wsi, WSI_TOKEN_UPGRADE, "websocket");
	request->protocols = header(wsi, WSI_TOKEN_PROTOCOL, text->protocols,
								sizeof(text->protocols));
	request->is_handshake = is_handshake(wsi);
	request->is_version_13 = header_is(wsi, WSI_TOKEN_VERSION, "13");
	return true;
}
