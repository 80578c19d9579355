/*
 * apiconn.c
 *		Connections of the HTTP fallback: one request, one answer, closed.
 *
 * Owns every accepted socket until it is known whose it is, and those of the
 * fallback for good.
 *
 * Why not by the library: it spins while an answer is awaited and the client
 * has gone, and a body behind another request makes it loop (ws.c).  A push
 * has a body, and all three paths wait for the database.  So a new connection
 * is looked at first (MSG_PEEK): if its request is not for the fallback the
 * socket goes to the library as it came.  Under TLS the library shakes hands,
 * and is then held back while we look (ws_hold); a request for the fallback it
 * never sees: it only keeps socket and SSL until the end.
 *
 * A connection moves one way: PEEK, READ, BUSY, WRITE, LINGER.  LINGER reads
 * on into nothing after the answer was sent: closing a socket with bytes of
 * the peer unread would reset it, and the answer might be lost.
 *
 * Bounds: the head, the body, the number that is waiting to be looked at, and
 * a deadline in every state but BUSY, which belongs to the handler.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "apiconn.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "alloc.h"
#include "dialect_native.h"
#include "loop.h"
#include "metrics.h"
#include "tls.h"

#define HEAD_MAX_BYTES 16384
#define WRITE_MAX_MS   20000 /* a socket that takes nothing */
#define LINGER_MS	   2000
#define DISCARD_BYTES  4096

typedef enum ApiPhase
{
	API_PEEK,  /* whose request is it? */
	API_READ,  /* head and body */
	API_BUSY,  /* the handler has it */
	API_WRITE, /* the answer */
	API_LINGER,
	API_CLOSED /* handed over or to be freed */
} ApiPhase;

struct ApiConn
{
	ApiConn *prev; /* all */
	ApiConn *next;
	uv_poll_t poll;
	int watched; /* events that are polled for */
	Stream stream;
	WsConn *ws; /* under TLS: whose the stream is; NULL: ours, or gone */
	Door door;
	Peer *peer; /* who it is, NULL = not known */
	ApiPhase phase;
	bool retry_peek; /* too little came: look again at the next tick */
	bool has_head;
	bool handed_over;
	int64_t deadline_ms; /* not in BUSY */
	char *in;
	size_t have;
	size_t capacity;
	ApiRequest request;
	void *call;		  /* in BUSY and WRITE */
	int64_t again_ms; /* when the client may come again, if it may */
	char *out;
	size_t out_len;
	size_t out_sent;
};

static ApiConn *conns;
static int conn_count;
static int peek_count;
static const Config *config;
static const ApiHandlers *handlers;

static void on_event(uv_poll_t *handle, int status, int events);

void
apiconn_setup(const Config *config_, const ApiHandlers *table)
{
	handlers = table;
	config = config_;
}

int
apiconn_count(void)
{
	return conn_count;
}

void
apiconn_metrics(void)
{
	metrics_add(METRIC_CONNECTIONS, (uint64_t) conn_count);
	metrics_add(METRIC_HANDSHAKES, (uint64_t) peek_count);
}

/* ---- life ---- */

static void
set_phase(ApiConn *conn, ApiPhase phase)
{
	/* Under TLS it is the transport that counts and times handshakes. */
	if (conn->stream.ssl == NULL)
		peek_count += (phase == API_PEEK) - (conn->phase == API_PEEK);
	conn->phase = phase;
}

static void
watch(ApiConn *conn, int events)
{
	if (events == conn->watched)
		return;
	conn->watched = events;
	if (events == 0)
		uv_poll_stop(&conn->poll);
	else
		uv_poll_start(&conn->poll, events, on_event);
}

/* After the stream could not go on: it says what for. */
static void
watch_on(ApiConn *conn)
{
	watch(conn, conn->stream.wants_write ? UV_WRITABLE : UV_READABLE);
}

static void
on_handle_closed(uv_handle_t *handle)
{
	ApiConn *conn = handle->data;

	if (conn->stream.fd >= 0 && conn->stream.ssl == NULL)
		close(conn->stream.fd);
	if (!conn->handed_over)
		peers_leave(conn->peer);
	free(conn->in);
	free(conn->out);
	free(conn);
}

/* From here on nobody finds it; the memory goes when the loop lets it. */
static void
retire(ApiConn *conn)
{
	WsConn *ws = conn->ws;

	DL_DELETE(conns, conn);
	if (conn->stream.ssl == NULL)
		conn_count--;
	set_phase(conn, API_CLOSED);
	watch(conn, 0);
	uv_close((uv_handle_t *) &conn->poll, on_handle_closed);
	conn->ws = NULL;
	if (ws != NULL)
		ws_end(ws);
}

static void
end_call(ApiConn *conn)
{
	void *call = conn->call;

	conn->call = NULL;
	if (call != NULL)
		handlers->on_done(call);
}

static void
drop(ApiConn *conn)
{
	retire(conn);
	end_call(conn);
}

/* ---- answering ---- */

static void
linger(ApiConn *conn)
{
	end_call(conn);
	stream_end(&conn->stream);
	set_phase(conn, API_LINGER);
	conn->deadline_ms = loop_now_ms() + LINGER_MS;
	watch(conn, UV_READABLE);
}

static void
write_on(ApiConn *conn)
{
	int sent;

	do
	{
		sent = stream_write(&conn->stream, conn->out + conn->out_sent,
							conn->out_len - conn->out_sent);
		if (sent < 0)
		{
			drop(conn);
			return;
		}
		if (sent > 0)
			conn->deadline_ms = loop_now_ms() + WRITE_MAX_MS;
		conn->out_sent += (size_t) sent;
	} while (sent > 0 && conn->out_sent < conn->out_len);
	if (conn->out_sent == conn->out_len)
		linger(conn);
	else
		watch_on(conn);
}

/* status_text: for people; programs read the code in the body. */
static const char *
status_text(int status)
{
	static const struct
	{
		int status;
		const char *text;
	} texts[] = {
		{200, "OK"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{503, "Service Unavailable"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return status < 400 ? "OK" : "Error";
}

void
apiconn_answer(ApiConn *conn, int status, const char *first, const char *body,
			   size_t len)
{
	char head[512 + API_HEADERS_MAX];
	char headers[API_HEADERS_MAX];
	size_t first_len = strlen(first);
	char again[64] = "";
	size_t head_len;

	/* Whole seconds, and as much as any other answer of the kind says. */
	if (conn->again_ms != 0)
		snprintf(again, sizeof(again), "Retry-After: %lld\r\n",
				 conn->again_ms <= NATIVE_AGAIN_MAX_MS
					 ? NATIVE_AGAIN_MAX_MS / 1000LL
					 : (long long) (conn->again_ms + 999) / 1000);

	metrics_status(status);
	handlers->headers(conn->has_head ? &conn->request.head : NULL, status,
					  headers, sizeof(headers));
	head_len = (size_t) snprintf(head, sizeof(head),
								 "HTTP/1.1 %d %s\r\n"
								 "Content-Type: application/json\r\n"
								 "Content-Length: %zu\r\n"
								 "Cache-Control: no-store\r\n"
								 "X-Content-Type-Options: nosniff\r\n"
								 "%s%sConnection: close\r\n\r\n",
								 status, status_text(status), first_len + len,
								 again, headers);

	if (conn->has_head && http_span_is(conn->request.head.method, "HEAD"))
	{
		first_len = 0;
		len = 0;
	}
	conn->out_len = head_len + first_len + len;
	conn->out = alloc_resize(NULL, conn->out_len);
	memcpy(conn->out, head, head_len);
	memcpy(conn->out + head_len, first, first_len);
	memcpy(conn->out + head_len + first_len, body, len);
	set_phase(conn, API_WRITE);
	conn->deadline_ms = loop_now_ms() + WRITE_MAX_MS;
	/* Not at once: whoever answers is not to find the connection gone. */
	watch(conn, UV_WRITABLE);
}

static void
answer_error(ApiConn *conn, const NativeError *error)
{
	char buf[NATIVE_REPLY_MAX];
	size_t len = native_error(buf, sizeof(buf), error, true);

	conn->again_ms = error_infos[error->code].retry ? error->after_ms : 0;
	apiconn_answer(conn, error_infos[error->code].status, "", buf, len);
}

void
apiconn_error(ApiConn *conn, ErrorCode code, const char *reason,
			  const char *sqlstate)
{
	NativeError error = {.code = code,
						 .reason = reason,
						 .sqlstate = sqlstate,
						 .after_ms = dialect_native_again_ms()};

	answer_error(conn, &error);
}

void
apiconn_too_many(ApiConn *conn, Metric bound, const char *reason,
				 int64_t wait_ms)
{
	NativeError error = {.code = ERROR_TOO_MANY,
						 .reason = reason,
						 .after_ms = wait_ms + dialect_native_again_ms()};

	metrics_count(bound);
	answer_error(conn, &error);
}

/* ---- reading ---- */

/* Says what is wrong with a head, ERROR_CODES if nothing. */
static ErrorCode
check_head(const HttpHead *head)
{
	if (head->has_encoding)
		return ERROR_LENGTH_REQUIRED;
	if (http_span_is(head->method, "POST") && !head->has_length)
		return ERROR_LENGTH_REQUIRED;
	if (head->content_length > (int64_t) config->message_max_bytes)
		return ERROR_TOO_LARGE;
	return ERROR_CODES;
}

/* Whom a proxy speaks for is known only now. */
static bool
is_welcome(ApiConn *conn)
{
	HttpSpan forwarded = conn->request.head.forwarded;
	char text[HEAD_MAX_BYTES]; /* more than any header can be */

	if (conn->peer != NULL)
		return true;
	memcpy(text, forwarded.text ? forwarded.text : "", forwarded.len);
	text[forwarded.len] = '\0';
	return peers_admit_forwarded(text, true, &conn->peer);
}

/* Reads the head; false if the connection has an answer, or waits for more. */
static bool
take_head(ApiConn *conn)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	HttpHead *head = &conn->request.head;
	HttpHeadResult result = http_head_parse(conn->in, conn->have, head);
	ErrorCode code;

	if (result == HTTP_HEAD_MORE && conn->have < HEAD_MAX_BYTES)
		return false;
	if (result != HTTP_HEAD_OK || head->len > HEAD_MAX_BYTES)
	{
		apiconn_error(conn, ERROR_BAD_MESSAGE,
					  result == HTTP_HEAD_BAD
						  ? "no HTTP/1.1 request, or one that is ambiguous"
						  : "the head is longer than 16384 bytes",
					  NULL);
		return false;
	}
	conn->has_head = true;
	code = check_head(head);
	if (code != ERROR_CODES)
	{
		apiconn_error(conn, code, NULL, NULL);
		return false;
	}
	if (!is_welcome(conn))
	{
		apiconn_error(conn, ERROR_TOO_MANY,
					  "too many connections of the address", NULL);
		return false;
	}
	if (head->expects && conn->have == head->len && head->content_length > 0)
		(void) stream_write(&conn->stream, go_on, sizeof(go_on) - 1);
	return true;
}

/* The buffer may have moved since the head was parsed. */
static void
take_request(ApiConn *conn)
{
	ApiRequest *request = &conn->request;
	size_t head_len;

	if (!conn->has_head && !take_head(conn))
		return;
	head_len = request->head.len;
	if (conn->have - head_len < (size_t) request->head.content_length)
		return;
	if (http_head_parse(conn->in, conn->have, &request->head) != HTTP_HEAD_OK)
		abort();
	request->body = conn->in + head_len;
	request->body_len = (size_t) request->head.content_length;
	set_phase(conn, API_BUSY);
	conn->call = handlers->on_request(conn, request);
}

static void
read_on(ApiConn *conn)
{
	int got;

	do
	{
		if (conn->capacity - conn->have < DISCARD_BYTES)
		{
			conn->capacity = conn->capacity ? conn->capacity * 2
											: DISCARD_BYTES;
			conn->in = alloc_resize(conn->in, conn->capacity);
		}
		got = stream_read(&conn->stream, conn->in + conn->have,
						  conn->capacity - conn->have);
		if (got < 0)
		{
			drop(conn);
			return;
		}
		conn->have += (size_t) got;
		if (got > 0)
			take_request(conn);
	} while (conn->phase == API_READ && stream_has_more(&conn->stream));
	if (conn->phase == API_READ || conn->phase == API_BUSY)
		watch_on(conn);
}

/* What comes after the request is of no interest; its end is. */
static void
discard(ApiConn *conn)
{
	char nothing[DISCARD_BYTES];

	if (stream_read(&conn->stream, nothing, sizeof(nothing)) < 0)
		drop(conn);
	else
		watch_on(conn);
}

/* The connection goes on as if nobody had looked. */
static void
hand_over(ApiConn *conn)
{
	int fd = conn->stream.fd;
	WsConn *ws = conn->ws;

	conn->stream.fd = -1;
	conn->ws = NULL;
	conn->handed_over = true;
	retire(conn);
	if (ws != NULL)
		ws_go_on(ws);
	else
		ws_adopt(fd, conn->door, conn->peer);
}

static void
begin(ApiConn *conn)
{
	if (conn->ws != NULL)
		conn->deadline_ms = ws_keep(conn->ws, &conn->peer);
	set_phase(conn, API_READ);
	read_on(conn);
}

static void
peek(ApiConn *conn)
{
	char begins[HTTP_ROUTE_BYTES];
	int got = stream_peek(&conn->stream, begins, sizeof(begins));

	conn->retry_peek = false;
	if (got < 0)
	{
		drop(conn);
		return;
	}
	if (got == 0)
	{
		watch_on(conn);
		return;
	}
	switch (http_route(begins, (size_t) got))
	{
		case HTTP_ROUTE_OTHER:
			hand_over(conn);
			break;
		case HTTP_ROUTE_API:
			begin(conn);
			break;
		case HTTP_ROUTE_MORE:
			/*
			 * Of what is encrypted only the first record can be looked at.  A
			 * client that divides its first line is answered 404 for it.
			 */
			if (conn->ws != NULL)
			{
				hand_over(conn);
				break;
			}
			/* What was only looked at stays readable: no event would help. */
			conn->retry_peek = true;
			watch(conn, 0);
			break;
	}
}

static void
on_event(uv_poll_t *handle, int status, int events)
{
	ApiConn *conn = handle->data;

	(void) events;
	if (status < 0)
	{
		drop(conn);
		return;
	}
	switch (conn->phase)
	{
		case API_PEEK:
			peek(conn);
			break;
		case API_READ:
			read_on(conn);
			break;
		case API_BUSY:
		case API_LINGER:
			discard(conn);
			break;
		case API_WRITE:
			write_on(conn);
			break;
		case API_CLOSED:
			break;
	}
}

/* Takes a connection in that is new here; false if there is no polling it. */
static bool
enter(ApiConn *conn)
{
	conn->phase = API_CLOSED;
	if (uv_poll_init(loop_uv(), &conn->poll, conn->stream.fd) != 0)
		return false;
	conn->poll.data = conn;
	set_phase(conn, API_PEEK);
	DL_APPEND(conns, conn);
	return true;
}

void
apiconn_adopt(int fd, Door door, Peer *peer)
{
	ApiConn *conn;

	if (door == DOOR_METRICS || (door == DOOR_TCP && tls_is_wanted(config)))
	{
		ws_adopt(fd, door, peer);
		return;
	}

	/* As in ws_adopt: the one that has dawdled longest makes room. */
	for (conn = conns; conn != NULL && peek_count >= config->handshakes_max;)
	{
		ApiConn *next = conn->next;

		if (conn->phase == API_PEEK && conn->stream.ssl == NULL)
		{
			metrics_count(METRIC_REFUSED_HANDSHAKES_MAX);
			drop(conn);
		}
		conn = next;
	}
	conn = alloc_zero(sizeof(ApiConn));
	conn->stream.fd = fd;
	conn->door = door;
	conn->peer = peer;
	if (!enter(conn))
	{
		close(fd);
		peers_leave(peer);
		free(conn);
		return;
	}
	conn->deadline_ms = loop_now_ms() + config->handshake_timeout_ms;
	conn_count++;
	/* Mostly the request is here by now, which saves a turn of the loop. */
	peek(conn);
}

/* The transport has ended what it lent. */
static void
on_closed(void *arg)
{
	ApiConn *conn = arg;

	conn->ws = NULL;
	drop(conn);
}

static const WsOwner owner = {.on_closed = on_closed};

void
apiconn_look(WsConn *ws)
{
	ApiConn *conn = alloc_zero(sizeof(ApiConn));

	ws_hold(ws, &owner, conn, &conn->stream);
	conn->ws = ws;
	conn->door = DOOR_TCP;
	conn->deadline_ms = INT64_MAX; /* the transport sees to it */
	if (!enter(conn))
	{
		free(conn);
		ws_end(ws);
		return;
	}
	peek(conn);
}

/* ---- time ---- */

void
apiconn_tick(int64_t now_ms)
{
	ApiConn *conn, *next;

	DL_FOREACH_SAFE(conns, conn, next)
	{
		if (conn->phase != API_BUSY && conn->deadline_ms <= now_ms)
		{
			if (conn->phase == API_PEEK || conn->phase == API_READ)
				metrics_count(METRIC_REFUSED_HANDSHAKE_TIMEOUT);
			drop(conn);
		}
		else if (conn->retry_peek)
			peek(conn);
	}
}

void
apiconn_drop_idle(void)
{
	ApiConn *conn, *next;

	DL_FOREACH_SAFE(conns, conn, next)
		if (conn->phase == API_PEEK || conn->phase == API_READ)
			drop(conn);
}

void
apiconn_release(void)
{
	while (conns != NULL)
		drop(conns);
}
