/*
 * reload.c
 *		Settings that are read again while the relay runs.
 *
 * Those that take effect are named here, and in docs/relay.md.  Most are read
 * from the one Config whenever they are needed, so that changing them there is
 * all; the others have something to be done.
 *
 * Ordering: everything is read and checked before anything changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reload.h"

#include <stddef.h>

#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "peers.h"
#include "tls.h"

static const char *const reloaded[] = {
	"auth_timeout",
	"connection_rate_per_address",
	"connections_max",
	"connections_per_address",
	"connections_per_user",
	"drain_spread",
	"drain_timeout",
	"handshake_timeout",
	"handshakes_max",
	"hello_timeout",
	"hibernate_after",
	"idle_timeout",
	"log_format",
	"log_level",
	"message_max_bytes",
	"rate_burst",
	"send_timeout",
	"session_bytes_per_second",
	"session_messages_per_second",
	"session_pushes_max",
	"session_queue_max_bytes",
	"session_queue_max_messages",
	"socket_send_buffer_bytes",
	"tls_certificate_file",
	"tls_key_file",
	"trusted_proxies",
	"user_bytes_per_second",
	"user_messages_per_second",
	NULL,
};

static void
fail(const char *reason)
{
	char value[2 * LOG_VALUE_MAX];

	metrics_count(METRIC_RELOADS_FAILED);
	log_error("settings are not taken reason=%s",
			  log_value(value, sizeof(value), reason));
}

void
reload(Config *config, const char *path, char **envp)
{
	Config fresh;
	char error[512];

	notify_reloading();
	if (!config_load(&fresh, path, envp, error, sizeof(error)))
		fail(error);
	else if (tls_is_wanted(config) && tls_is_wanted(&fresh) &&
			 tls_check(&fresh) != STATUS_OK)
	{
		fail("the certificate cannot be used");
		config_release(&fresh);
	}
	else
	{
		int limit = config->connections_max;

		/* Off and on again means other sockets: not while it runs. */
		config_take(config, &fresh, reloaded,
					tls_is_wanted(config) != tls_is_wanted(&fresh));
		config_release(&fresh);
		if (config->connections_max > limit)
			log_info("connections_max is raised: files that may be open are "
					 "not from=%d to=%d",
					 limit, config->connections_max);
		log_set_level(config->log_level);
		log_set_format(config->log_format);
		(void) !peers_setup(config); /* checked by config_load */
		(void) !tls_reload();		 /* likewise, above */
		metrics_count(METRIC_RELOADS_OK);
		log_info("settings read again");
	}
	notify_ready();
}
