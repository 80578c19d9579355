/*
 * acceptor.c
 *		The listening socket.
 *
 * Owns the listening socket and one spare descriptor.
 *
 * Several relays may share a port (SO_REUSEPORT), but only when told so: two
 * that serve different databases would share it as silently.
 *
 * Why not the library's own: it sets no SO_REUSEPORT, knows no limit of
 * connections, succeeds when it could not bind, and spins when descriptors run
 * out.  At EMFILE the spare descriptor is given up for a moment to take the
 * connection off the queue and close it: the client learns it at once, and the
 * loop does not turn on a socket that stays ready.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apiconn.h"
#include "log.h"
#include "loop.h"
#include "ws.h"

#define BACKLOG			 1024
#define ACCEPTS_PER_TURN 64 /* then the others' turn */

static uv_poll_t poll_handle;
static int listen_fd = -1;
static int spare_fd = -1;
static int connections_max;
static int send_buffer_bytes;

static const char overload[] = "HTTP/1.1 503 Service Unavailable\r\n"
							   "Content-Type: application/json\r\n"
							   "Content-Length: 32\r\n"
							   "Retry-After: 5\r\n"
							   "Connection: close\r\n\r\n"
							   "{\"error\":\"Too many connections\"}";

/* Best effort: the client may not have finished its request yet. */
static void
turn_away(int fd)
{
	static LogLimit limit;

	log_limited(&limit, LOG_LEVEL_WARN,
				"connection refused: too many connections_max=%d",
				connections_max);
	(void) !send(fd, overload, sizeof(overload) - 1,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void
take(int fd)
{
	int on = 1;

	if (ws_count() + apiconn_count() >= connections_max)
	{
		turn_away(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes,
			   sizeof(send_buffer_bytes));
	apiconn_adopt(fd);
}

static void
out_of_descriptors(void)
{
	static LogLimit limit;
	int fd;

	log_limited(&limit, LOG_LEVEL_ERROR, "out of file descriptors");
	if (spare_fd >= 0)
		close(spare_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
on_ready(uv_poll_t *handle, int status, int events)
{
	(void) handle;
	(void) status;
	(void) events;
	for (int i = 0; i < ACCEPTS_PER_TURN && listen_fd >= 0; i++)
	{
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			take(fd);
		else if (errno == EMFILE || errno == ENFILE)
			out_of_descriptors();
		else if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static int
bind_socket(const struct addrinfo *address, bool shared)
{
	int on = 1;
	int fd = socket(address->ai_family,
					SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
log_address(void)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[NI_MAXHOST] = "?";
	char port[NI_MAXSERV] = "?";

	if (getsockname(listen_fd, (struct sockaddr *) &address, &len) == 0)
		getnameinfo((struct sockaddr *) &address, len, host, sizeof(host), port,
					sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	log_info("listening address=%s port=%s", host, port);
}

Status
acceptor_open(const Config *config)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
							 .ai_flags = AI_PASSIVE | AI_NUMERICHOST |
								 AI_NUMERICSERV};
	struct addrinfo *address;
	char port[16];
	int rc;

	connections_max = config->connections_max;
	send_buffer_bytes = (int) config->socket_send_buffer_bytes;
	snprintf(port, sizeof(port), "%d", config->listen_port);
	rc = getaddrinfo(config->listen_address, port, &hints, &address);
	if (rc != 0)
	{
		log_error("listen_address is no numeric address value=%s reason=\"%s\"",
				  config->listen_address, gai_strerror(rc));
		return STATUS_FAILED;
	}
	listen_fd = bind_socket(address, config->listen_shared);
	freeaddrinfo(address);
	if (listen_fd < 0 || uv_poll_init(loop_uv(), &poll_handle, listen_fd) != 0)
	{
		log_error("could not listen address=%s port=%s reason=\"%s\"",
				  config->listen_address, port, strerror(errno));
		return STATUS_FAILED;
	}
	spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uv_poll_start(&poll_handle, UV_READABLE, on_ready);
	log_address();
	return STATUS_OK;
}

static void
on_closed(uv_handle_t *handle)
{
	(void) handle;
}

void
acceptor_close(void)
{
	if (listen_fd < 0)
		return;
	uv_poll_stop(&poll_handle);
	uv_close((uv_handle_t *) &poll_handle, on_closed);
	close(listen_fd);
	listen_fd = -1;
	if (spare_fd >= 0)
		close(spare_fd);
	spare_fd = -1;
}
