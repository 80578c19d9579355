/*
 * notify.c
 *		What the service manager is told.
 *
 * The protocol of sd_notify(3): lines of text in one datagram, to the socket
 * named in the environment.  It is stable and documented, so libsystemd is
 * not needed for it.  Without the variable nothing happens.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

static struct sockaddr_un address;
static socklen_t address_len; /* 0 = nobody wants to know */
static int64_t watchdog_ms;	  /* between two signs of life; 0 = none */
static int64_t next_ms;

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const char *watchdog = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
		strlen(path) >= sizeof(address.sun_path))
		return;
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	address_len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) +
							   strlen(path));
	if (watchdog != NULL && (pid == NULL || atoll(pid) == getpid()))
		watchdog_ms = atoll(watchdog) / 1000 / 2;
}

static void
tell(const char *text)
{
	static LogLimit limit;
	int fd;

	if (address_len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
		sendto(fd, text, strlen(text), MSG_NOSIGNAL,
			   (const struct sockaddr *) &address, address_len) < 0)
		log_limited(&limit, LOG_LEVEL_WARN,
					"service manager could not be told text=\"%.16s\"", text);
	if (fd >= 0)
		close(fd);
}

void
notify_ready(void)
{
	tell("READY=1\nSTATUS=listening");
}

void
notify_reloading(void)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
			 (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000);
	tell(text);
}

void
notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=closing sessions");
}

void
notify_tick(int64_t now_ms)
{
	if (watchdog_ms == 0 || now_ms < next_ms)
		return;
	next_ms = now_ms + watchdog_ms;
	tell("WATCHDOG=1");
}
