/*
 * ws_client.c
 *     One WebSocket connection of the load driver: connect, upgrade, frames.
 *
 * Plain, or under TLS (ws_use_tls).  As little as a benchmark needs, so that the driver costs a small part of
 * what the server under test costs: no check of Sec-WebSocket-Accept, one
 * shared read buffer, any certificate.  Outgoing frames are masked with a key that is not zero, since
 * unmasking is the server's work and must not be spared.
 *
 * Failure: a connection that fails goes to WS_CLOSED with a reason; what that
 * means is for the caller to say.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ws_client.h"

#define READ_SIZE		(256 * 1024)
#define SEND_SIZE		(64 * 1024)
#define OP_CONTINUATION 0x0
#define OP_TEXT			0x1
#define OP_BINARY		0x2
#define OP_CLOSE		0x8
#define OP_PING			0x9
#define OP_PONG			0xA

static SSL_CTX *tls; /* NULL: plain */

void
ws_use_tls(void)
{
	tls = SSL_CTX_new(TLS_client_method());
	if (tls == NULL)
		abort();
	SSL_CTX_set_mode(tls,
					 SSL_MODE_ENABLE_PARTIAL_WRITE |
						 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						 SSL_MODE_RELEASE_BUFFERS);
}

static void
fail(WsConn *conn, const char *reason)
{
	if (conn->state == WS_CLOSED)
		return;
	snprintf(conn->close_reason, sizeof(conn->close_reason), "%s", reason);
	ws_close(conn);
}

/* ws_close drops the connection without a closing handshake. */
void
ws_close(WsConn *conn)
{
	SSL_free(conn->ssl);
	conn->ssl = NULL;
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	conn->state = WS_CLOSED;
	free(conn->in);
	free(conn->out);
	free(conn->request);
	free(conn->message);
	conn->in = conn->out = conn->request = conn->message = NULL;
	conn->in_len = conn->out_len = conn->message_len = 0;
}

/* grow is realloc() that never returns NULL. */
static char *
grow(char *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		abort();
	return memory;
}

static void
watch(WsConn *conn, int epfd, bool for_writing)
{
	struct epoll_event event = {.events = EPOLLIN |
									(for_writing ? EPOLLOUT : 0),
								.data.ptr = conn};

	epoll_ctl(epfd, EPOLL_CTL_MOD, conn->fd, &event);
}

/*
 * ws_open starts to connect to the loopback address and asks for "path", with
 * further header lines, each with its end, or "".
 */
void
ws_open(WsConn *conn, int epfd, int port, const char *path, const char *headers)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons((uint16_t) port),
								  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = conn};
	int on = 1;

	conn->state = WS_CONNECTING;
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
	{
		fail(conn, strerror(errno));
		return;
	}
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (asprintf(&conn->request,
				 "GET %s HTTP/1.1\r\n"
				 "Host: 127.0.0.1:%d\r\n"
				 "Connection: Upgrade\r\n"
				 "Upgrade: websocket\r\n"
				 "Sec-WebSocket-Version: 13\r\n"
				 "Sec-WebSocket-Key: bWlydXN5bmMgYmVuY2htYQ==\r\n%s\r\n",
				 path, port, headers) < 0)
		abort();
	if (connect(conn->fd, (struct sockaddr *) &address, sizeof(address)) < 0 &&
		errno != EINPROGRESS)
	{
		fail(conn, strerror(errno));
		return;
	}
	epoll_ctl(epfd, EPOLL_CTL_ADD, conn->fd, &event);
}

/* through gives what a call of OpenSSL gave as a call of the socket would. */
static ssize_t
through(WsConn *conn, int result)
{
	int error;

	if (result > 0)
		return result;
	error = SSL_get_error(conn->ssl, result);
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		errno = EAGAIN;
	else if (error != SSL_ERROR_SYSCALL || errno == 0)
		errno = EPROTO;
	return -1;
}

/* io_send and io_receive are send() and recv(); 0: closed. */
static ssize_t
io_send(WsConn *conn, const char *data, size_t len)
{
	if (conn->ssl == NULL)
		return send(conn->fd, data, len, MSG_NOSIGNAL);
	ERR_clear_error();
	return through(conn, SSL_write(conn->ssl, data, (int) len));
}

static ssize_t
io_receive(WsConn *conn, char *data, size_t size)
{
	if (conn->ssl == NULL)
		return recv(conn->fd, data, size, 0);
	ERR_clear_error();
	return through(conn, SSL_read(conn->ssl, data, (int) size));
}

/* send_raw sends now what the socket takes and keeps the rest. */
static void
send_raw(WsConn *conn, int epfd, const char *data, size_t len)
{
	ssize_t sent = 0;

	if (conn->out == NULL)
	{
		sent = io_send(conn, data, len);
		if (sent < 0 && errno != EAGAIN)
		{
			fail(conn, strerror(errno));
			return;
		}
		if (sent < 0)
			sent = 0;
		if ((size_t) sent == len)
			return;
		watch(conn, epfd, true);
	}
	conn->out = grow(conn->out, conn->out_len + len - sent);
	memcpy(conn->out + conn->out_len, data + sent, len - sent);
	conn->out_len += len - sent;
}

static void
flush_out(WsConn *conn, int epfd)
{
	char *data = conn->out;
	size_t len = conn->out_len;

	if (data == NULL)
	{
		watch(conn, epfd, false);
		return;
	}
	conn->out = NULL;
	conn->out_len = 0;
	watch(conn, epfd, false);
	send_raw(conn, epfd, data, len);
	free(data);
}

static void
send_frame(WsConn *conn, int epfd, int opcode, const char *text, size_t len)
{
	static uint32_t key = 0x9e3779b9;
	static char frame[SEND_SIZE + 14];
	unsigned char mask[4];
	size_t at = 2;

	if (len >= SEND_SIZE)
	{
		fail(conn, "the driver's own message is too long");
		return;
	}
	key = key * 1664525u + 1013904223u;
	memcpy(mask, &key, 4);
	frame[0] = (char) (0x80 | opcode);
	if (len < 126)
		frame[1] = (char) (0x80 | len);
	else
	{
		frame[1] = (char) (0x80 | 126);
		frame[2] = (char) (len >> 8);
		frame[3] = (char) (len & 0xff);
		at = 4;
	}
	memcpy(frame + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < len; i++)
		frame[at + i] = (char) (text[i] ^ mask[i & 3]);
	send_raw(conn, epfd, frame, at + len);
}

/* ws_send sends one message. */
void
ws_send(WsConn *conn, int epfd, const char *text, size_t len)
{
	if (conn->state == WS_OPEN)
		send_frame(conn, epfd, conn->is_binary ? OP_BINARY : OP_TEXT, text,
				   len);
}

/* on_fragment joins the parts of a message. */
static void
on_fragment(WsConn *conn, bool is_last, const char *data, size_t len)
{
	char *message = grow(conn->message, conn->message_len + len + 1);

	memcpy(message + conn->message_len, data, len);
	conn->message_len += len;
	if (!is_last)
	{
		conn->message = message;
		return;
	}
	conn->message = NULL;
	len = conn->message_len;
	conn->message_len = 0;
	conn->on_message(conn, message, len);
	free(message);
}

static void
on_frame(WsConn *conn, int epfd, int first_byte, const char *data, size_t len)
{
	switch (first_byte)
	{
		case 0x80 | OP_TEXT:
		case 0x80 | OP_BINARY:
			conn->on_message(conn, data, len);
			break;
		case OP_TEXT:
		case OP_BINARY:
		case OP_CONTINUATION:
		case 0x80 | OP_CONTINUATION:
			on_fragment(conn, first_byte & 0x80, data, len);
			break;
		case 0x80 | OP_PING:
			send_frame(conn, epfd, OP_PONG, data, len);
			break;
		case 0x80 | OP_PONG:
			break;
		case 0x80 | OP_CLOSE:
		{
			char reason[96];
			int code = len < 2
				? 1005
				: ((unsigned char) data[0] << 8 | (unsigned char) data[1]);

			snprintf(reason, sizeof(reason), "closed by the server, %d %.*s",
					 code, len > 2 ? (int) len - 2 : 0, data + 2);
			fail(conn, reason);
			break;
		}
		default:
			fail(conn, "a frame that the driver does not know");
	}
}

/* next_frame takes one whole frame off "data"; returns its length or 0. */
static size_t
next_frame(WsConn *conn, int epfd, const char *data, size_t len)
{
	const unsigned char *bytes = (const unsigned char *) data;
	size_t head = 2;
	uint64_t payload;

	if (len < 2)
		return 0;
	payload = bytes[1] & 0x7f;
	if (payload == 126)
		head = 4;
	else if (payload == 127)
		head = 10;
	if (len < head)
		return 0;
	if (head > 2)
	{
		payload = 0;
		for (size_t i = 2; i < head; i++)
			payload = payload << 8 | bytes[i];
	}
	if (payload > len - head)
		return 0;
	on_frame(conn, epfd, bytes[0], data + head, payload);
	return head + payload;
}

/* on_upgrade reads the answer to the upgrade; returns its length or 0. */
static size_t
on_upgrade(WsConn *conn, const char *data, size_t len)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);

	if (end == NULL)
		return 0;
	if (len < 12 || memcmp(data + 8, " 101", 4) != 0)
	{
		char reason[96];

		snprintf(reason, sizeof(reason), "upgrade refused: %.*s",
				 (int) (memchr(data, '\r', len) - (void *) data), data);
		fail(conn, reason);
		return 0;
	}
	conn->state = WS_OPEN;
	conn->on_open(conn);
	return end + 4 - data;
}

static void
read_all(WsConn *conn, int epfd)
{
	static char buffer[READ_SIZE];
	char *data = buffer;
	char *joined = NULL;
	ssize_t got = io_receive(conn, buffer, sizeof(buffer));
	size_t len;
	size_t used = 0;

	if (got <= 0)
	{
		if (got == 0 || errno != EAGAIN)
			fail(conn,
				 got == 0 ? "closed without a close frame" : strerror(errno));
		return;
	}
	len = (size_t) got;
	if (conn->in != NULL)
	{
		joined = grow(conn->in, conn->in_len + len);
		memcpy(joined + conn->in_len, buffer, len);
		len += conn->in_len;
		data = joined;
		conn->in = NULL;
		conn->in_len = 0;
	}
	while (used < len && conn->state != WS_CLOSED)
	{
		size_t step = conn->state == WS_UPGRADING
			? on_upgrade(conn, data + used, len - used)
			: next_frame(conn, epfd, data + used, len - used);

		if (step == 0)
			break;
		used += step;
	}
	if (used < len && conn->state != WS_CLOSED)
	{
		conn->in = grow(NULL, len - used);
		conn->in_len = len - used;
		memcpy(conn->in, data + used, len - used);
	}
	free(joined);
}

/* on_connected begins the handshake, if there is one. */
static void
on_connected(WsConn *conn, int epfd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error != 0)
	{
		fail(conn, strerror(error));
		return;
	}
	conn->state = WS_SHAKING_HANDS;
	if (tls == NULL)
		return;
	conn->ssl = SSL_new(tls);
	if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1)
		abort();
	SSL_set_connect_state(conn->ssl);
	watch(conn, epfd, false);
}

/* shake_hands goes on until the upgrade can be asked for. */
static void
shake_hands(WsConn *conn, int epfd)
{
	char *request = conn->request;

	if (conn->ssl != NULL)
	{
		ERR_clear_error();
		if (through(conn, SSL_do_handshake(conn->ssl)) <= 0)
		{
			if (errno != EAGAIN)
				fail(conn, "the TLS handshake failed");
			return;
		}
	}
	conn->state = WS_UPGRADING;
	conn->request = NULL;
	watch(conn, epfd, false);
	send_raw(conn, epfd, request, strlen(request));
	free(request);
}

/* ws_on_event does what epoll says is possible. */
void
ws_on_event(WsConn *conn, int epfd, uint32_t events)
{
	if (conn->state == WS_CONNECTING)
		on_connected(conn, epfd);
	if (conn->state == WS_SHAKING_HANDS)
	{
		shake_hands(conn, epfd);
		return;
	}
	if (conn->state == WS_CLOSED)
		return;
	if (events & EPOLLOUT)
		flush_out(conn, epfd);
	if (conn->state != WS_CLOSED && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_all(conn, epfd);
}
