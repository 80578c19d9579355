/*
 * ws.c
 *		The transport, on libwebsockets 4.1.6: the only file that includes it.
 *
 * Owns the library's context and one WsConn per connection.
 *
 * Debian's 4.1.6 is used under rules, each of which was broken by a test
 * before it was written down:
 *	- no extensions, no HTTP/2, no other upgrade than websocket; in
 *	  CONFIRM_UPGRADE the header table is asked for before anything else and
 *	  "in" is never followed (use after free through a kept-alive connection);
 *	- no HTTP keep-alive: every request is answered and its connection closed
 *	  (a pipelined body makes the library loop for ever);
 *	- a foreign libuv loop, sockets accepted by ourselves, no timers of the
 *	  library for anything that matters (they are a sorted list, and armed late),
 *	  its own pings and their timer for each connection among them;
 *	- with TLS reading stops at the end of a record only (stop_reading);
 *	- what the fallback is to have it does not see: between the TLS handshake
 *	  and the first byte read it is held back (ws_hold);
 *	- close frames are written by us: with libuv the library loses its own, and
 *	  what it answers to the peer's is wrong in ways of its own (on_peer_close);
 *	- UTF-8 validation is off, and done here: the library's goes on in control
 *	  frames;
 *	- assertions are compiled in, so nothing may reach one.
 * docs/internals/websocket.md says what of RFC 6455 it gets wrong besides.
 *
 * Sending is raw: LWS_WRITE_HTTP on a WebSocket sends bytes as they are, and
 * the frames are made in outbox.c.  What the socket does not take the library
 * keeps; while it does (ws_is_backed_up) we send no more.
 *
 * Ordering: a WsConn is freed in WSI_DESTROY, the library's last callback.
 * The session is told once, at the first sign that the connection is going.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ws.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "alloc.h"
#include "assembly.h"
#include "dialect_native.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "tls.h"
#include "utf8.h"
#include "ws_close.h"
#include "ws_request.h"

#define RX_BUFFER_SIZE 256	/* per connection, for its life */
#define CLOSING_MS	   3000 /* the peer's time to answer a close frame */

typedef enum WsPhase
{
	WS_HANDSHAKE, /* not upgraded (yet) */
	WS_OPEN,
	WS_CLOSING /* close frame sent or received, or killed */
} WsPhase;

struct WsConn
{
	struct WsConn *prev; /* handshakes or closings, oldest first */
	struct WsConn *next;
	struct WsConn **list; /* which of them, or NULL */
	struct lws *wsi;
	const WsOwner *owner;
	void *object;		 /* the owner's; NULL before the upgrade, once told */
	Peer *peer;			 /* who it is, NULL = not known (yet) */
	int64_t deadline_ms; /* while in a list */
	WsPhase phase;
	Assembly assembly;
	size_t message_max;	 /* bytes of a message; 0 = as configured */
	uint16_t close_code; /* sent or received; 0 = none */
	uint8_t door;		 /* where it came in */
	TurnTask show;		 /* TLS is settled: whose request comes? */
	bool secure;		 /* TLS is settled */
	bool stopping;		 /* to stop reading behind this record */
	bool established;	 /* a WebSocket, whose closing is to be counted */
};

static struct lws_context *context;
static struct lws_vhost *plain_vhost;
static struct lws_vhost *tls_vhost; /* NULL without TLS */
static const Config *config;
static const WsHandlers *handlers;
static WsConn *adopting;   /* its handshake begins before its SSL knows it */
static WsConn *handshakes; /* oldest first */
static WsConn *closings;   /* oldest first */
static int handshake_count;
static int conn_counts[DOORS];
static unsigned char write_buffer[LWS_PRE + WS_BUFFER_SIZE];

/* ---- connections and the two lists ---- */

static void
unlist(WsConn *conn)
{
	if (conn->list == NULL)
		return;
	if (conn->list == &handshakes)
		handshake_count--;
	DL_DELETE(*conn->list, conn);
	conn->list = NULL;
}

static void
enlist(WsConn *conn, WsConn **list, int64_t timeout_ms)
{
	unlist(conn);
	conn->deadline_ms = loop_now_ms() + timeout_ms;
	conn->list = list;
	DL_APPEND(*list, conn);
	if (list == &handshakes)
		handshake_count++;
}

/* Tells the owner, once. */
static void
tell_closed(WsConn *conn)
{
	void *object = conn->object;

	conn->phase = WS_CLOSING;
	conn->object = NULL;
	if (conn->established)
	{
		conn->established = false;
		metrics_closed(conn->close_code != 0 ? conn->close_code : CLOSE_NONE);
	}
	if (object != NULL)
		conn->owner->on_closed(object);
}

/*
 * Ends a connection without ceremony.  If the library still has bytes for the
 * socket it would first try to get rid of them; with the socket shut down that
 * try fails at once.
 */
static void
drop(WsConn *conn)
{
	struct lws *wsi = conn->wsi;

	tell_closed(conn);
	unlist(conn);
	shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

static void
conn_free(WsConn *conn)
{
	if (conn->door == DOOR_TCP && tls_vhost != NULL && !conn->secure)
		metrics_count(METRIC_TLS_FAILED);
	loop_task_cancel(&conn->show);
	peers_leave(conn->peer);
	conn_counts[conn->door]--;
	assembly_clear(&conn->assembly);
	free(conn);
}

/* ---- TLS: between the handshake and the request ---- */

static void
show(void *arg)
{
	WsConn *conn = arg;

	if (conn->phase == WS_HANDSHAKE)
		handlers->on_secure(conn);
}

/* Within the library nothing is done; it reads no earlier than next turn. */
static void
on_tls_state(const SSL *ssl, int where, int result)
{
	WsConn *conn = SSL_get_app_data(ssl);

	(void) result;
	if (conn == NULL)
		conn = adopting;
	if ((where & SSL_CB_HANDSHAKE_DONE) == 0 || conn == NULL || conn->secure)
		return;
	conn->secure = true;
	loop_at_turn_end(&conn->show);
}

void
ws_hold(WsConn *conn, const WsOwner *owner, void *object, Stream *stream)
{
	ws_hand_over(conn, owner, object);
	lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
	lws_rx_flow_control(conn->wsi, 0);
	stream->fd = lws_get_socket_fd(conn->wsi);
	stream->ssl = lws_get_ssl(conn->wsi);
}

/* The bytes are in OpenSSL by now: no poll would tell the library. */
void
ws_go_on(WsConn *conn)
{
	struct lws_pollfd event = {.fd = lws_get_socket_fd(conn->wsi),
							   .events = LWS_POLLIN,
							   .revents = LWS_POLLIN};

	ws_disown(conn);
	lws_rx_flow_control(conn->wsi, 1);
	(void) lws_service_fd(context, &event);
}

int64_t
ws_keep(WsConn *conn, Peer **peer)
{
	*peer = conn->peer;
	conn->peer = NULL;
	unlist(conn);
	return conn->deadline_ms;
}

void
ws_end(WsConn *conn)
{
	ws_disown(conn);
	drop(conn);
}

void
ws_adopt(int fd, Door door, Peer *peer)
{
	static LogLimit limit;
	WsConn *conn;
	lws_adopt_desc_t info;
	struct lws *wsi;
	bool tls = door == DOOR_TCP && tls_vhost != NULL;

	/*
	 * The one that has dawdled longest makes room: whoever opens connections
	 * and says nothing then competes with himself, not with the next client.
	 */
	if (handshake_count >= config->handshakes_max)
	{
		metrics_count(METRIC_REFUSED_HANDSHAKES_MAX);
		drop(handshakes);
	}

	conn = alloc_zero(sizeof(WsConn));
	conn->door = door;
	conn->peer = peer;
	memset(&info, 0, sizeof(info));
	info.vh = tls ? tls_vhost : plain_vhost;
	info.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP |
		(tls ? LWS_ADOPT_ALLOW_SSL : 0);
	info.fd.sockfd = fd;
	info.opaque = conn;
	conn_counts[door]++;
	loop_task_init(&conn->show, show, conn);
	enlist(conn, &handshakes, config->handshake_timeout_ms);
	/* With a client that is fast, or us slow, the handshake may end in here. */
	adopting = tls ? conn : NULL;
	wsi = lws_adopt_descriptor_vhost_via_info(&info);
	adopting = NULL;
	if (wsi != NULL)
	{
		if (tls)
			SSL_set_app_data(lws_get_ssl(conn->wsi), conn);
		return;
	}

	/*
	 * The descriptor is closed.  If the library got as far as a callback, it
	 * has our pointer and WSI_DESTROY is still to come; else nobody has it.
	 */
	log_limited(&limit, LOG_LEVEL_WARN, "connection could not be adopted");
	unlist(conn);
	if (conn->wsi == NULL)
		conn_free(conn);
}

void
ws_hand_over(WsConn *conn, const WsOwner *owner, void *object)
{
	conn->owner = owner;
	conn->object = object;
}

void
ws_disown(WsConn *conn)
{
	conn->object = NULL;
}

void
ws_limit_message(WsConn *conn, size_t max_bytes)
{
	conn->message_max = max_bytes;
}

int
ws_count(void)
{
	return conn_counts[DOOR_TCP] + conn_counts[DOOR_SOCKET];
}

int
ws_count_metrics(void)
{
	return conn_counts[DOOR_METRICS];
}

bool
ws_is_quiet(void)
{
	return handshakes == NULL && closings == NULL;
}

static void
on_destroy(WsConn *conn)
{
	tell_closed(conn);
	unlist(conn);
	conn_free(conn);
}

void
ws_tick(int64_t now_ms)
{
	while (handshakes != NULL && handshakes->deadline_ms <= now_ms)
	{
		metrics_count(METRIC_REFUSED_HANDSHAKE_TIMEOUT);
		drop(handshakes);
	}
	while (closings != NULL && closings->deadline_ms <= now_ms)
		drop(closings);
}

void
ws_drop_handshakes(void)
{
	while (handshakes != NULL)
		drop(handshakes);
}

/* ---- sending ---- */

unsigned char *
ws_buffer(void)
{
	return write_buffer + LWS_PRE;
}

Status
ws_write(WsConn *conn, const unsigned char *frames, size_t len)
{
	/* The library refuses the peer, and nothing may follow its close frame. */
	if (lws_get_close_length(conn->wsi) > 0)
		return STATUS_CLOSED;
	if (lws_write(conn->wsi, (unsigned char *) frames, len, LWS_WRITE_HTTP) < 0)
	{
		/* The library notices by itself, but only at the next event. */
		lws_callback_on_writable(conn->wsi);
		return STATUS_CLOSED;
	}
	return STATUS_OK;
}

bool
ws_is_backed_up(WsConn *conn)
{
	return lws_partial_buffered(conn->wsi);
}

void
ws_want_writable(WsConn *conn)
{
	lws_callback_on_writable(conn->wsi);
}

/*
 * With TLS the library turns for ever when it is told to stop while OpenSSL
 * holds the rest of a record.  That rest, 16 kB at most, is read first.
 */
static void
stop_reading(WsConn *conn)
{
	SSL *ssl = lws_get_ssl(conn->wsi);

	conn->stopping = ssl != NULL && SSL_pending(ssl) > 0;
	if (!conn->stopping)
		lws_rx_flow_control(conn->wsi, 0);
}

void
ws_pause(WsConn *conn)
{
	stop_reading(conn);
}

void
ws_resume(WsConn *conn)
{
	conn->stopping = false;
	lws_rx_flow_control(conn->wsi, 1);
}

/* Sends a close frame; if that fails, a deadline ends the connection. */
static void
send_close(WsConn *conn, int code, const char *reason)
{
	unsigned char buf[LWS_PRE + WS_CLOSE_FRAME_MAX];
	size_t len = ws_close_frame(buf + LWS_PRE, code, reason);

	(void) !lws_write(conn->wsi, buf + LWS_PRE, len, LWS_WRITE_HTTP);
}

static void
close_with(WsConn *conn, int code, const char *reason)
{
	if (conn->phase != WS_OPEN)
		return;
	conn->phase = WS_CLOSING;
	conn->close_code = (uint16_t) code;
	enlist(conn, &closings, CLOSING_MS);
	send_close(conn, code, reason);
	/* A paused peer could not answer the close frame. */
	ws_resume(conn);
}

void
ws_close(WsConn *conn, CloseCode code, const char *reason)
{
	close_with(conn, (int) code, reason);
}

int64_t
ws_silence_ms(WsConn *conn)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(lws_get_socket_fd(conn->wsi), IPPROTO_TCP, TCP_INFO, &info,
				   &len) != 0)
		return INT64_MAX / 2; /* no TCP: what we heard ourselves must do */
	return info.tcpi_last_data_recv;
}

/* ---- HTTP ---- */

/* Whom a proxy speaks for is known only now. */
static bool
is_welcome(WsConn *conn, struct lws *wsi, bool is_upgrade, HttpReply *reply)
{
	static const char body[] = "{\"error\":\"Too many connections\"}";
	/* All of it: the client may have written most, and the proxy's is behind. */
	char forwarded[HEADERS_MAX_BYTES];

	if (conn->peer != NULL || conn->door == DOOR_METRICS)
		return true;
	if (lws_hdr_copy(wsi, forwarded, sizeof(forwarded),
					 WSI_TOKEN_X_FORWARDED_FOR) <= 0)
		forwarded[0] = '\0';
	if (peers_admit_forwarded(forwarded, is_upgrade, &conn->peer))
		return true;
	*reply = (HttpReply){.status = 429,
						 .content_type = "application/json",
						 .body = body,
						 .len = sizeof(body) - 1,
						 .header = "Retry-After: 5\r\n"};
	return false;
}

static int
on_http(WsConn *conn, struct lws *wsi)
{
	HttpRequest request;
	HttpReply reply = {0};
	RequestText text;

	if (ws_request_read(wsi, &request, &text))
	{
		request.door = conn->door;
		if (is_welcome(conn, wsi, false, &reply))
			handlers->on_request(&request, &reply);
		ws_answer(wsi, &request, &reply);
	}
	return -1;
}

static int
on_upgrade(WsConn *conn, struct lws *wsi)
{
	HttpRequest request;
	HttpReply reply = {0};
	RequestText text;

	/* No header table: it was freed with an earlier request.  Touch nothing. */
	if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0)
		return -1;
	if (!ws_request_read(wsi, &request, &text))
		return -1;
	request.door = conn->door;
	if (!is_welcome(conn, wsi, true, &reply) ||
		!handlers->on_upgrade(conn, &request, &reply))
	{
		ws_answer(wsi, &request, &reply);
		return -1;
	}
	return 0;
}

/* ---- WebSocket ---- */

static int
on_established(WsConn *conn)
{
	if (conn->object == NULL)
		return -1;
	conn->phase = WS_OPEN;
	conn->established = true;
	unlist(conn);
	conn->owner->on_open(conn->object);
	return 0;
}

/*
 * refuse closes for what the peer has sent.  The library could do it in this
 * callback, but would close the socket at once: with bytes of the peer still
 * unread the kernel then resets the connection, and the peer may never see the
 * close frame.  So we read on, into nothing, until the peer has answered or
 * its time is over.
 */
static int
refuse(WsConn *conn, CloseCode code, const char *reason)
{
	if (conn->object != NULL && conn->owner->on_refused != NULL)
		conn->owner->on_refused(conn->object, code, reason);
	assembly_clear(&conn->assembly);
	ws_close(conn, code, reason);
	tell_closed(conn);
	return 0;
}

/* The same for text that is none; whoever sends that reads no goodbye. */
static int
refuse_text(WsConn *conn)
{
	assembly_clear(&conn->assembly);
	close_with(conn, CLOSE_NO_UTF8, "text is not UTF-8");
	tell_closed(conn);
	return 0;
}

static size_t
message_max(const WsConn *conn)
{
	return conn->message_max != 0 ? conn->message_max
								  : config->message_max_bytes;
}

static int
take_piece(WsConn *conn, const char *piece, size_t len)
{
	size_t rest = lws_remaining_packet_payload(conn->wsi);
	bool last = rest == 0 && lws_is_final_fragment(conn->wsi);
	Assembly whole;

	if (conn->phase != WS_OPEN)
		return 0;
	if (lws_frame_is_binary(conn->wsi))
		return refuse(conn, CLOSE_UNSUPPORTED, "text messages only");
	if (conn->assembly.len + len + rest > message_max(conn))
	{
		metrics_count(METRIC_CUT_MESSAGE_MAX);
		return refuse(conn, CLOSE_TOO_LARGE, "message too large");
	}
	if (last && conn->assembly.len == 0)
	{
		if (!utf8_is_valid(piece, len))
			return refuse_text(conn);
		conn->owner->on_message(conn->object, piece, len);
		return 0;
	}
	assembly_add(&conn->assembly, piece, len);
	if (!last)
		return 0;
	if (!utf8_is_valid(conn->assembly.text, conn->assembly.len))
		return refuse_text(conn);
	/* The handler may close the connection: let it find no assembly. */
	whole = conn->assembly;
	conn->assembly = (Assembly){0};
	conn->owner->on_message(conn->object, whole.text, whole.len);
	assembly_clear(&whole);
	return 0;
}

static int
on_receive(WsConn *conn, const char *piece, size_t len)
{
	int result = take_piece(conn, piece, len);

	if (conn->stopping)
		stop_reading(conn);
	return result;
}

static int
on_writable(WsConn *conn)
{
	if (conn->phase == WS_OPEN && conn->object != NULL)
		conn->owner->on_writable(conn->object);
	return 0;
}

/*
 * We answer ourselves, and at once.  The library would send the payload back
 * as it came, would drop its answer if anything stands behind the close frame,
 * and would answer even the answer to ours.
 */
static int
on_peer_close(WsConn *conn, const unsigned char *payload, size_t len)
{
	if (conn->phase == WS_OPEN)
		send_close(conn, ws_close_answer(payload, len), "");
	if (conn->close_code == 0)
		conn->close_code = len >= 2 && payload != NULL
			? (uint16_t) (payload[0] << 8 | payload[1])
			: CLOSE_NO_CODE;
	tell_closed(conn);
	enlist(conn, &closings, CLOSING_MS);
	return -1; /* the library closes */
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
		 void *in, size_t len)
{
	WsConn *conn;

	/* Before there is any connection: "user" is the context of TLS. */
	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
	{
		SSL_CTX_set_info_callback(user, on_tls_state);
		return tls_setup(user, config) == STATUS_OK ? 0 : -1;
	}
	conn = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;
	if (conn == NULL)
		return 0;
	conn->wsi = wsi;
	switch (reason)
	{
		case LWS_CALLBACK_HTTP:
			return on_http(conn, wsi);
		case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
			return on_upgrade(conn, wsi);
		case LWS_CALLBACK_ESTABLISHED:
			return on_established(conn);
		case LWS_CALLBACK_RECEIVE:
			return on_receive(conn, in, len);
		case LWS_CALLBACK_SERVER_WRITEABLE:
			return on_writable(conn);
		case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
			return on_peer_close(conn, in, len);
		case LWS_CALLBACK_CLOSED:
		case LWS_CALLBACK_CLOSED_HTTP:
			tell_closed(conn);
			return 0;
		case LWS_CALLBACK_WSI_DESTROY:
			lws_set_opaque_user_data(wsi, NULL);
			on_destroy(conn);
			return 0;
		default:
			return 0;
	}
}

/* ---- start and stop ---- */

static void
on_log(int level, const char *line)
{
	static LogLimit limit;

	(void) level;
	log_limited(&limit, LOG_LEVEL_WARN, "transport says text=\"%.*s\"",
				(int) strcspn(line, "\n"), line);
}

/*
 * TLS has a vhost of its own: the library decides by it.  It looks for vhosts
 * by port and the name that a client asks for, so the two have different
 * ports that do not exist.
 */
static Status
create_vhosts(struct lws_context_creation_info *info, bool tls)
{
	if (tls)
	{
		info->vhost_name = "relay-tls";
		info->options |= LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
		tls_vhost = lws_create_vhost(context, info);
		if (tls_vhost == NULL)
			return STATUS_FAILED;
		info->port = CONTEXT_PORT_NO_LISTEN;
		info->options &= ~(uint64_t) LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
	}
	info->vhost_name = "relay";
	plain_vhost = lws_create_vhost(context, info);
	return plain_vhost != NULL ? STATUS_OK : STATUS_FAILED;
}

Status
ws_init(const Config *config_, const WsHandlers *table)
{
	static struct lws_protocols protocols[] =
		{{.name = "-", /* no subprotocol; nobody may ask for it */
		  .callback = callback,
		  .rx_buffer_size = RX_BUFFER_SIZE,
		  .tx_packet_size = WS_BUFFER_SIZE},
		 {.name = NATIVE_SUBPROTOCOL,
		  .callback = callback,
		  .rx_buffer_size = RX_BUFFER_SIZE,
		  .tx_packet_size = WS_BUFFER_SIZE},
		 {0}};
	static const lws_retry_bo_t no_pings = {0};
	void *loops[1] = {loop_uv()};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.gid = (gid_t) -1,
		.uid = (uid_t) -1,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.foreign_loops = loops,
		.retry_and_idle_policy = &no_pings,
		.max_http_header_data = HEADERS_MAX_BYTES,
		.alpn = "http/1.1",
		.timeout_secs = (unsigned int) (config_->handshake_timeout_ms / 1000) +
			1,
	};
	bool tls = tls_is_wanted(config_);

	handlers = table;
	config = config_;
	lws_set_log_level(LLL_ERR, on_log);
	if (tls && tls_check(config) != STATUS_OK)
		return STATUS_FAILED;
	if (tls)
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	context = lws_create_context(&info);
	if (context == NULL || create_vhosts(&info, tls) != STATUS_OK)
	{
		log_error("transport could not start");
		return STATUS_FAILED;
	}
	return STATUS_OK;
}

void
ws_metrics(void)
{
	metrics_set(METRIC_CONNECTIONS, (uint64_t) ws_count());
	metrics_set(METRIC_HANDSHAKES, (uint64_t) handshake_count);
}

const char *
ws_address(WsConn *conn, char buf[ADDRESS_TEXT_MAX])
{
	return conn->peer != NULL ? address_text(peers_address(conn->peer), buf)
							  : "unknown";
}

void
ws_release(void)
{
	if (context != NULL)
		lws_context_destroy(context);
	context = NULL;
	plain_vhost = NULL;
	tls_vhost = NULL;
	tls_release();
}
