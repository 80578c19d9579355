/*
 * acceptor.c
 *		The listening sockets: TCP, a Unix socket, and one for the metrics.
 *
 * Owns the listening sockets and one spare descriptor.
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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "apiconn.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "peers.h"
#include "ws.h"

#define BACKLOG					1024
#define ACCEPTS_PER_TURN		64 /* then the others' turn */
#define METRICS_CONNECTIONS_MAX 20

/* One listening socket. */
typedef struct Listener
{
	uv_poll_t poll;
	int fd;
	Door door;
} Listener;

#define LISTENERS_MAX 3 /* TCP, Unix socket, metrics */

static Listener listeners[LISTENERS_MAX];
static int listener_count;
static int spare_fd = -1;
static char socket_path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
static const Config *config;

static const char overload[] = "HTTP/1.1 503 Service Unavailable\r\n"
							   "Content-Type: application/json\r\n"
							   "Content-Length: 32\r\n"
							   "Retry-After: 5\r\n"
							   "Connection: close\r\n\r\n"
							   "{\"error\":\"Too many connections\"}";

static const char too_many[] = "HTTP/1.1 429 Too Many Requests\r\n"
							   "Content-Type: application/json\r\n"
							   "Content-Length: 32\r\n"
							   "Retry-After: 5\r\n"
							   "Connection: close\r\n\r\n"
							   "{\"error\":\"Too many connections\"}";

/*
 * Best effort: the client may not have finished its request yet, and one that
 * wants TLS cannot read it.
 */
static void
turn_away(int fd, const char *text, const char *bound)
{
	static LogLimit limit;

	log_limited(&limit, LOG_LEVEL_WARN, "connection refused: too many bound=%s",
				bound);
	(void) !send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

/*
 * Whose connection it is, if that is known already: what comes from a proxy
 * is told apart by its headers, later.
 */
static bool
admit(int fd, const struct sockaddr_storage *from, Peer **peer)
{
	Address address;
	Metric refused;

	*peer = NULL;
	if (!address_of_socket((const struct sockaddr *) from, &address) ||
		peers_is_proxy(&address))
		return true;
	*peer = peers_admit(&address, &refused);
	if (*peer != NULL)
		return true;
	turn_away(fd, too_many,
			  refused == METRIC_REFUSED_ADDRESS_RATE
				  ? "connection_rate_per_address"
				  : "connections_per_address");
	return false;
}

/* Whoever looks after the relay gets in also when it is full. */
static bool
is_full(const Listener *listener)
{
	if (listener->door == DOOR_METRICS)
		return ws_count_metrics() >= METRICS_CONNECTIONS_MAX;
	return ws_count() + apiconn_count() >= config->connections_max;
}

static void
take(const Listener *listener, int fd, const struct sockaddr_storage *from)
{
	int on = 1;
	int send_buffer = (int) config->socket_send_buffer_bytes;
	Peer *peer = NULL;

	if (is_full(listener))
	{
		metrics_count(METRIC_REFUSED_CONNECTIONS_MAX);
		turn_away(fd, overload, "connections_max");
		return;
	}
	if (listener->door == DOOR_TCP && !admit(fd, from, &peer))
		return;
	metrics_count(METRIC_CONNECTIONS_ACCEPTED);
	if (listener->door != DOOR_SOCKET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	apiconn_adopt(fd, listener->door, peer);
}

static void
out_of_descriptors(const Listener *listener)
{
	static LogLimit limit;
	int fd;

	metrics_count(METRIC_REFUSED_DESCRIPTORS);
	log_limited(&limit, LOG_LEVEL_ERROR, "out of file descriptors");
	if (spare_fd >= 0)
		close(spare_fd);
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
on_ready(uv_poll_t *handle, int status, int events)
{
	const Listener *listener = (const Listener *) handle;

	(void) status;
	(void) events;
	for (int i = 0; i < ACCEPTS_PER_TURN && listener_count > 0; i++)
	{
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		int fd = accept4(listener->fd, (struct sockaddr *) &from, &len,
						 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			take(listener, fd, &from);
		else if (errno == EMFILE || errno == ENFILE)
			out_of_descriptors(listener);
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

static Status
listener_add(int fd, Door door)
{
	Listener *listener = &listeners[listener_count];

	if (uv_poll_init(loop_uv(), &listener->poll, fd) != 0)
	{
		close(fd);
		return STATUS_FAILED;
	}
	listener->fd = fd;
	listener->door = door;
	listener_count++;
	uv_poll_start(&listener->poll, UV_READABLE, on_ready);
	return STATUS_OK;
}

static void
log_address(int fd, Door door)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[NI_MAXHOST] = "?";
	char port[NI_MAXSERV] = "?";

	if (getsockname(fd, (struct sockaddr *) &address, &len) == 0)
		getnameinfo((struct sockaddr *) &address, len, host, sizeof(host), port,
					sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	log_info("%s address=%s port=%s",
			 door == DOOR_METRICS ? "metrics are read" : "listening", host,
			 port);
}

static Status
listen_tcp(const char *host, int number, bool shared, Door door)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
							 .ai_flags = AI_PASSIVE | AI_NUMERICHOST |
								 AI_NUMERICSERV};
	struct addrinfo *address;
	char port[16];
	int fd;
	int rc;

	snprintf(port, sizeof(port), "%d", number);
	rc = getaddrinfo(host, port, &hints, &address);
	if (rc != 0)
	{
		log_error("%s is no numeric address value=%s reason=\"%s\"",
				  door == DOOR_METRICS ? "metrics_address" : "listen_address",
				  host, gai_strerror(rc));
		return STATUS_FAILED;
	}
	fd = bind_socket(address, shared);
	freeaddrinfo(address);
	if (fd < 0 || listener_add(fd, door) != STATUS_OK)
	{
		log_error("could not listen address=%s port=%s reason=\"%s\"", host,
				  port, strerror(errno));
		return STATUS_FAILED;
	}
	log_address(fd, door);
	return STATUS_OK;
}

/*
 * A socket that nobody listens to is what a relay left behind that was killed;
 * one that somebody listens to is not ours to take away.
 */
static bool
is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *) address, sizeof(*address)) !=
			0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static Status
listen_unix(const char *path, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (is_stale(&address))
		unlink(path);
	/* Nobody can connect before the mode is right: listen() comes last. */
	if (fd < 0 ||
		bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		chmod(path, mode) != 0 || listen(fd, BACKLOG) != 0 ||
		listener_add(fd, DOOR_SOCKET) != STATUS_OK)
	{
		log_error("could not listen socket=%s reason=\"%s\"", path,
				  strerror(errno));
		if (fd >= 0)
			close(fd);
		return STATUS_FAILED;
	}
	snprintf(socket_path, sizeof(socket_path), "%s", path);
	log_info("listening socket=%s mode=%04o", path, (unsigned int) mode);
	return STATUS_OK;
}

Status
acceptor_open(const Config *config_)
{
	mode_t mode = (mode_t) strtol(config_->listen_socket_mode, NULL, 8);

	config = config_;
	spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (config->metrics_port != 0 &&
		config->metrics_port != config->listen_port &&
		listen_tcp(config->metrics_address, config->metrics_port, false,
				   DOOR_METRICS) != STATUS_OK)
		return STATUS_FAILED;
	if (config->listen_socket[0] != '\0' &&
		listen_unix(config->listen_socket, mode) != STATUS_OK)
		return STATUS_FAILED;
	if (config->listen_address[0] != '\0')
		return listen_tcp(config->listen_address, config->listen_port,
						  config->listen_shared, DOOR_TCP);
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
	for (int i = 0; i < listener_count; i++)
	{
		uv_poll_stop(&listeners[i].poll);
		uv_close((uv_handle_t *) &listeners[i].poll, on_closed);
		close(listeners[i].fd);
	}
	listener_count = 0;
	if (socket_path[0] != '\0')
		unlink(socket_path);
	socket_path[0] = '\0';
	if (spare_fd >= 0)
		close(spare_fd);
	spare_fd = -1;
}
