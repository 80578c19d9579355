/*
 * main.c
 *		Arguments, start order, signals, stop order.
 *
 * Exit codes: 0 after an orderly stop, 1 when the relay could not run (port
 * taken, extension of another version), 2 for wrong arguments or settings.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "access.h"
#include "acceptor.h"
#include "api.h"
#include "bell.h"
#include "config.h"
#include "dialect_native.h"
#include "drain.h"
#include "feed.h"
#include "gate.h"
#include "guest.h"
#include "hibernation.h"
#include "http.h"
#include "janitor.h"
#include "keyring.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "metrics_page.h"
#include "notify.h"
#include "peers.h"
#include "pgconn.h"
#include "quota.h"
#include "reader.h"
#include "reload.h"
#include "session.h"
#include "ticket.h"
#include "tls.h"
#include "writer.h"
#include "ws.h"

#define EXIT_SETTINGS 2

/* Descriptors besides the sessions': database, loop, standard streams. */
#define OTHER_DESCRIPTORS 200

typedef struct Arguments
{
	const char *config_path; /* NULL = none */
	bool check_config;
} Arguments;

static Config config;
static uv_signal_t on_term;
static uv_signal_t on_int;
static uv_signal_t on_hup;
static const char *config_path;
static int exit_code = EXIT_SUCCESS;

static const WsHandlers ws_handlers = {
	.on_request = http_on_request,
	.on_upgrade = gate_on_upgrade,
	.on_secure = apiconn_look,
};

static void
usage(FILE *out)
{
	fprintf(out,
			"mirusync-relay %s: WebSocket relay of the mirusync extension\n"
			"\n"
			"usage: mirusync-relay [--config FILE] [--check-config]\n"
			"\n"
			"  --config FILE    read settings from FILE\n"
			"  --check-config   check the settings and exit\n"
			"  --help           this text\n"
			"  --version        the version\n"
			"\n"
			"Settings, in FILE as \"key = value\" or in the environment as "
			"MIRUSYNC_KEY:\n\n",
			MIRUSYNC_VERSION);
	config_help(out);
}

static void
parse_arguments(int argc, char **argv, Arguments *arguments)
{
	static const struct option options[] = {{"check-config", no_argument, NULL,
											 'k'},
											{"config", required_argument, NULL,
											 'c'},
											{"help", no_argument, NULL, 'h'},
											{"version", no_argument, NULL, 'V'},
											{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1)
		switch (option)
		{
			case 'c':
				arguments->config_path = optarg;
				break;
			case 'k':
				arguments->check_config = true;
				break;
			case 'h':
				usage(stdout);
				exit(EXIT_SUCCESS);
			case 'V':
				printf("mirusync-relay %s\n", MIRUSYNC_VERSION);
				exit(EXIT_SUCCESS);
			default:
				fprintf(stderr, "Try --help.\n");
				exit(EXIT_SETTINGS);
		}
	if (optind < argc)
	{
		fprintf(stderr, "mirusync-relay: unexpected argument: %s\n",
				argv[optind]);
		exit(EXIT_SETTINGS);
	}
}

/* A session is a descriptor; take what the hard limit gives. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t) config.connections_max + OTHER_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;

	/*
	 * Exactly what we need: the library sizes its tables by the limit, and
	 * falls back to 2560 above ten million.
	 */
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < wanted)
		log_warn("limit of open files is below connections_max limit=%llu "
				 "connections_max=%d",
				 (unsigned long long) limit.rlim_cur, config.connections_max);
}

static void
on_signal(uv_signal_t *handle, int number)
{
	(void) handle;
	(void) number;
	notify_stopping();
	drain_start(&config);
}

static void
on_reload(uv_signal_t *handle, int number)
{
	extern char **environ;

	(void) handle;
	(void) number;
	reload(&config, config_path, environ);
	keyring_reload();
}

static void
start_signals(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGPIPE, &ignore, NULL);
	uv_signal_init(loop_uv(), &on_term);
	uv_signal_init(loop_uv(), &on_int);
	uv_signal_init(loop_uv(), &on_hup);
	uv_signal_start(&on_hup, on_reload, SIGHUP);
	uv_signal_start(&on_term, on_signal, SIGTERM);
	uv_signal_start(&on_int, on_signal, SIGINT);
}

/* The extension understands us: the other connections may come. */
static void
on_greeted(void)
{
	writer_start();
	reader_start();
	bell_start();
}

static void
on_refused(void)
{
	exit_code = EXIT_FAILURE;
	loop_stop();
}

static Status
start(void)
{
	pgconn_setup(&config);
	session_setup(&config);
	if (!peers_setup(&config))
		return STATUS_FAILED;
	guest_setup(&config);
	gate_setup(&config);
	access_setup(&config);
	dialect_native_setup(&config);
	api_setup(&config);
	apiconn_setup(&config, &api_handlers);
	if (loop_init() != STATUS_OK || keyring_init(&config) != STATUS_OK ||
		http_init(&config) != STATUS_OK ||
		ws_init(&config, &ws_handlers) != STATUS_OK)
		return STATUS_FAILED;
	start_signals();
	writer_init(&config);
	reader_init(&config);
	bell_init();
	listener_init(on_greeted, on_refused);
	hibernation_setup(&config);
	if (acceptor_open(&config) != STATUS_OK ||
		janitor_start(&config) != STATUS_OK)
		return STATUS_FAILED;
	listener_start();
	notify_ready();
	return STATUS_OK;
}

static void
stop(void)
{
	acceptor_close();
	apiconn_release(); /* its calls let go of feeds, reads and pushes */
	ws_release();	   /* tells the sessions that they are closed */
	uv_close((uv_handle_t *) &on_term, NULL);
	uv_close((uv_handle_t *) &on_int, NULL);
	uv_close((uv_handle_t *) &on_hup, NULL);
	listener_release();
	writer_release();
	bell_release();
	feed_release_all(); /* before the reader: feeds cancel their reads */
	reader_release();
	access_release();
	loop_release(); /* runs the last tasks: sessions are freed */
	http_release();
	ticket_release();
	keyring_release();
	metrics_page_release();
	peers_release();
	quota_release();
}

/* What can be told without a start: settings, files, keys, the certificate. */
static int
check_config(void)
{
	int code = EXIT_SETTINGS;

	if ((!tls_is_wanted(&config) || tls_check(&config) == STATUS_OK) &&
		http_init(&config) == STATUS_OK && keyring_init(&config) == STATUS_OK)
	{
		printf("configuration ok\n");
		code = EXIT_SUCCESS;
	}
	keyring_release();
	http_release();
	config_release(&config);
	return code;
}

int
main(int argc, char **argv)
{
	extern char **environ;
	Arguments arguments = {0};
	char error[512];

	parse_arguments(argc, argv, &arguments);
	if (!config_load(&config, arguments.config_path, environ, error,
					 sizeof(error)))
	{
		fprintf(stderr, "mirusync-relay: %s\n", error);
		return EXIT_SETTINGS;
	}
	log_set_level(config.log_level);
	if (arguments.check_config)
		return check_config();
	config_path = arguments.config_path;
	log_set_format(config.log_format);
	notify_init();
	raise_descriptor_limit();
	log_info("starting version=%s", MIRUSYNC_VERSION);
	if (start() != STATUS_OK)
		return EXIT_FAILURE;
	loop_run();
	stop();
	log_info("stopped");
	config_release(&config);
	return exit_code;
}
