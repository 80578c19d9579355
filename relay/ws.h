/*
 * ws.h
 *		The transport: HTTP requests and WebSocket connections.
 *
 * ws.c is the only file that knows the library behind it.  It tells what
 * happens through a table of functions and knows nothing of what it means.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WS_H
#define MIRUSYNC_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "codes.h"
#include "config.h"
#include "peers.h"
#include "status.h"
#include "stream.h"

typedef struct WsConn WsConn;

/* Where a connection came in. */
typedef enum Door
{
	DOOR_TCP,	  /* listen_address, with TLS if there is a certificate */
	DOOR_SOCKET,  /* listen_socket: from a proxy on this host */
	DOOR_METRICS, /* metrics_address */
	DOORS
} Door;

/* A request; everything in it is valid during the callback only. */
typedef struct HttpRequest
{
	bool is_get;			   /* GET */
	bool is_head;			   /* HEAD */
	bool is_post;			   /* POST; a body is not read */
	bool is_options;		   /* OPTIONS: a browser asks whether it may */
	bool is_upgrade;		   /* asks for a WebSocket */
	bool is_version_13;		   /* Sec-WebSocket-Version is what we speak */
	bool is_handshake;		   /* the rest of it is well-formed */
	const char *path;		   /* decoded, without the query */
	const char *user_id;	   /* query argument, NULL = missing or empty */
	const char *token;		   /* likewise */
	const char *ticket;		   /* likewise */
	const char *auth;		   /* likewise */
	const char *authorization; /* header, NULL = missing, "" = too long */
	const char *origin;		   /* likewise */
	const char *protocols;	   /* subprotocols offered, likewise */
	Door door;
} HttpRequest;

/* An answer; zeroed by the caller, filled by the handler. */
typedef struct HttpReply
{
	int status;
	const char *content_type;
	const char *body;
	size_t len;
	const char *header; /* further header lines, each with \r\n, or NULL */
	char buffer[1200];	/* for a body made on the spot */
	char header_buffer[1024]; /* for headers made on the spot */
} HttpReply;

typedef struct WsHandlers
{
	/* A plain request: fill the reply. */
	void (*on_request)(const HttpRequest *request, HttpReply *reply);

	/*
	 * A request for a WebSocket: hand the connection over to its owner and
	 * return true, or fill the reply.
	 */
	bool (*on_upgrade)(WsConn *conn, const HttpRequest *request,
					   HttpReply *reply);

	/* TLS is settled, and no request was read: ws_hold may be called. */
	void (*on_secure)(WsConn *conn);
} WsHandlers;

/* What whoever owns a WebSocket is told. */
typedef struct WsOwner
{
	void (*on_open)(void *owner);
	void (*on_message)(void *owner, const char *text, size_t len);
	void (*on_writable)(void *owner);
	/* What came breaks the protocol; on_closed follows.  May be NULL. */
	void (*on_refused)(void *owner, CloseCode code, const char *reason);
	void (*on_closed)(void *owner); /* conn is gone */
} WsOwner;

extern Status
ws_init(const Config *config, const WsHandlers *handlers) MUST_CHECK;
extern void ws_release(void);

/*
 * ws_adopt takes over an accepted socket, which is closed if that fails, and
 * the peer, NULL if a proxy will say who it is.
 */
extern void ws_adopt(int fd, Door door, Peer *peer);

/*
 * ws_hold keeps the transport from reading, so that the owner can look first
 * at what comes.  *stream and what is behind it stay the transport's.  The
 * time of the handshake runs on, and on_closed ends it.  Then
 *	- ws_go_on gives the connection back, with all that was only peeked at; or
 *	- ws_keep ends the handshake, and returns when its time would be over; the
 *	  connection, and the peer, are the owner's until he closes it by ws_end.
 */
extern void
ws_hold(WsConn *conn, const WsOwner *owner, void *object, Stream *stream);
extern void ws_go_on(WsConn *conn);
extern int64_t ws_keep(WsConn *conn, Peer **peer);
extern void ws_end(WsConn *conn);

/* ws_address writes whom the connection belongs to, as far as is known. */
extern const char *ws_address(WsConn *conn, char buf[ADDRESS_TEXT_MAX]);

/* ws_metrics sets the gauges. */
extern void ws_metrics(void);

/*
 * ws_count is the number of connections, handshakes among them, and
 * ws_count_metrics that of those that read metrics.
 */
extern int ws_count(void);
extern int ws_count_metrics(void);

/* ws_is_quiet: no handshake and no closing is under way. */
extern bool ws_is_quiet(void);

/*
 * ws_hand_over makes somebody the owner of a connection; the former one hears
 * nothing more.  ws_disown leaves it to itself, to be closed.
 */
extern void ws_hand_over(WsConn *conn, const WsOwner *owner, void *object);
extern void ws_disown(WsConn *conn);

/*
 * ws_limit_message sets how large a message may be from now on; 0: as
 * configured.
 */
extern void ws_limit_message(WsConn *conn, size_t max_bytes);

/*
 * ws_write sends whole frames.  What the socket does not take is kept, at most
 * this buffer if the caller asks ws_is_backed_up before.
 */
extern Status
ws_write(WsConn *conn, const unsigned char *frames, size_t len) MUST_CHECK;
extern bool ws_is_backed_up(WsConn *conn);
extern void ws_want_writable(WsConn *conn);

/*
 * ws_pause stops reading from the peer, ws_resume goes on: a client that sends
 * faster than the database takes is held back by TCP.  A few messages that
 * were read already may still come after ws_pause.
 */
extern void ws_pause(WsConn *conn);
extern void ws_resume(WsConn *conn);

/* WS_BUFFER_SIZE is the size of the one buffer that ws_buffer lends. */
#define WS_BUFFER_SIZE 65536
extern unsigned char *ws_buffer(void);

/*
 * ws_close sends a close frame and gives the peer a while to answer.  The
 * handler on_closed follows, later.  What was not sent is not sent any more.
 */
extern void ws_close(WsConn *conn, CloseCode code, const char *reason);

/* ws_silence_ms says how long nothing at all has come from the peer. */
extern int64_t ws_silence_ms(WsConn *conn);

/* ws_tick ends handshakes and closings that take too long. */
extern void ws_tick(int64_t now_ms);

/* ws_drop_handshakes ends all connections that are no WebSocket (yet). */
extern void ws_drop_handshakes(void);

#endif
