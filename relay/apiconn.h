/*
 * apiconn.h
 *		Connections of the HTTP fallback: one request, one answer, closed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_APICONN_H
#define MIRUSYNC_APICONN_H

#include "codes.h"
#include "config.h"
#include "httphead.h"
#include "metrics.h"
#include "ws.h"

typedef struct ApiConn ApiConn;

/* A buffer for further header lines. */
#define API_HEADERS_MAX 1024

/* A request; valid until it is answered or gone. */
typedef struct ApiRequest
{
	HttpHead head;
	const char *body;
	size_t body_len;
} ApiRequest;

typedef struct ApiHandlers
{
	/*
	 * A whole request is here.  Returns what on_done gets, or NULL if it was
	 * answered at once.
	 */
	void *(*on_request)(ApiConn *conn, const ApiRequest *request);
	/* Writes further header lines of the answer; "head" NULL: none was read. */
	void (*headers)(const HttpHead *head, int status, char *buf, size_t size);
	/* The answer has left us, or the peer has gone: the connection is gone. */
	void (*on_done)(void *call);
} ApiHandlers;

extern void apiconn_setup(const Config *config, const ApiHandlers *handlers);

/*
 * apiconn_adopt takes over an accepted socket, waits for the beginning of its
 * request, and gives it to ws_adopt if that is not for the fallback.  What is
 * to be encrypted goes there at once, for the handshake, and comes back by
 * apiconn_look.
 */
extern void apiconn_adopt(int fd, Door door, Peer *peer);
extern void apiconn_look(WsConn *ws);

/* apiconn_answer sends the one answer: {first}{body}, of which first may be "".
 */
extern void apiconn_answer(ApiConn *conn, int status, const char *first,
						   const char *body, size_t len);
extern void apiconn_error(ApiConn *conn, ErrorCode code, const char *reason,
						  const char *sqlstate);

/*
 * apiconn_too_many refuses for a bound: there is something to be waited for,
 * for so long at least.
 */
extern void apiconn_too_many(ApiConn *conn, Metric bound, const char *reason,
							 int64_t wait_ms);

/* apiconn_count counts those that ws_count does not. */
extern int apiconn_count(void);

/* apiconn_metrics adds them to the gauges of ws_metrics. */
extern void apiconn_metrics(void);

extern void apiconn_tick(int64_t now_ms);

/* apiconn_drop_idle ends those that have no whole request yet. */
extern void apiconn_drop_idle(void);
extern void apiconn_release(void);

#endif
