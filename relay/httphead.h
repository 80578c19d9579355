/*
 * httphead.h
 *		Heads of HTTP/1.1 requests as text: what a request is for, and what
 *		the fallback needs of it.  Pure.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_HTTPHEAD_H
#define MIRUSYNC_HTTPHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef enum HttpRoute
{
	HTTP_ROUTE_MORE, /* too little is here to say */
	HTTP_ROUTE_API,	 /* one of our three paths, whatever the method */
	HTTP_ROUTE_OTHER /* anything else, also what is no HTTP */
} HttpRoute;

/* http_route looks at the beginning of a request. */
extern HttpRoute http_route(const char *text, size_t len) MUST_CHECK;

/* So many bytes are always enough for http_route. */
#define HTTP_ROUTE_BYTES 40

typedef enum HttpHeadResult
{
	HTTP_HEAD_MORE, /* the blank line has not come yet */
	HTTP_HEAD_OK,
	HTTP_HEAD_BAD
} HttpHeadResult;

typedef struct HttpSpan
{
	const char *text; /* in the caller's text, not terminated; NULL: none */
	size_t len;
} HttpSpan;

typedef struct HttpHead
{
	size_t len; /* of the head with its blank line */
	HttpSpan method;
	HttpSpan path;		/* as sent */
	HttpSpan query;		/* without the question mark */
	HttpSpan token;		/* of Authorization: Bearer */
	HttpSpan origin;	/* of the page that asks */
	HttpSpan forwarded; /* X-Forwarded-For, the last one: the nearest proxy's */
	bool has_length;
	int64_t content_length;
	bool has_encoding; /* Transfer-Encoding */
	bool expects;	   /* Expect: waits for 100 Continue */
} HttpHead;

/*
 * http_head_parse reads a head.  Bad is what two readers could understand
 * differently: a header of those above twice, folded lines, NUL, a space
 * before a colon, an unclear length.
 */
extern HttpHeadResult
http_head_parse(const char *text, size_t len, HttpHead *out) MUST_CHECK;

/* http_span_is compares. */
extern bool http_span_is(HttpSpan span, const char *text);

/*
 * http_argument decodes an argument of a query into "out" and terminates it.
 * Returns false if it is there but does not fit or is no good encoding of
 * UTF-8 without NUL, or is there twice; "" if it is missing.
 */
extern bool http_argument(HttpSpan query, const char *name, char *out,
						  size_t size) MUST_CHECK;

#endif
