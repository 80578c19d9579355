/*
 * config.h
 *		The relay's settings: one sorted table, one struct.
 *
 * A file of `key = value` lines, overridden by MIRUSYNC_<KEY> from the
 * environment.  Every key, its default, bounds and help sentence stand in the
 * table of config.c; tools/check-docs.sh holds the example file and
 * docs/relay.md against it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONFIG_H
#define MIRUSYNC_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Strings are never NULL after a successful config_load; "" means not set. */
typedef struct Config
{
	int64_t access_poll_interval_ms; /* seldom question who may still be here */
	char *allowed_origins;			 /* words; "" = all */
	size_t auth_message_max_bytes;	 /* message that brings the token */
	int64_t auth_timeout_ms;		 /* from the upgrade to being let in */
	int catch_up_parallel;			 /* catch-ups that read at one time */
	int connection_rate_per_address; /* of one address, per second; 0 = none */
	int connections_max;			 /* connections of this process */
	int connections_per_address;	 /* of one address; 0 = none */
	int connections_per_user;		 /* sessions of one user */
	char *database;					 /* libpq conninfo; may hold a password */
	char *database_direct;			 /* past a pooler; "" = database */
	int database_pooled;			 /* 1: database is a pooler */
	int64_t drain_spread_ms;		 /* in which devices come back */
	int64_t drain_timeout_ms;		 /* answers and handshakes after SIGTERM */
	char *environment;				 /* what /health says */
	int64_t fast_lock_timeout_ms;	 /* lock_timeout of the writers */
	int64_t handshake_timeout_ms;	 /* from accept to upgrade */
	int handshakes_max;				 /* connections not yet upgraded */
	int64_t heads_poll_interval_ms;	 /* seldom poll of the feeds' heads */
	int64_t hello_timeout_ms;		 /* first message of a native session */
	int64_t hibernate_after_ms;	 /* without need of the database; 0 = never */
	int64_t idle_timeout_ms;	 /* a silent session is closed */
	char *jwt_algorithms;		 /* words: names of algorithms */
	char *jwt_audience;			 /* words; "" = not looked at */
	char *jwt_device_claim;		 /* "" = none */
	char *jwt_issuer;			 /* words; "" = not looked at */
	char *jwt_jwks_file;		 /* "" = none */
	int64_t jwt_leeway_ms;		 /* for exp, nbf, iat */
	int64_t jwt_lifetime_max_ms; /* from iat to exp, 0 = any */
	char *jwt_pem_files;		 /* words: paths */
	char *jwt_required_claims;	 /* words */
	char *jwt_secret;			 /* the secret, wherever it came from */
	char *jwt_secret_file;		 /* the file it came from, or "" */
	char *jwt_user_claim;
	int64_t keys_check_interval_ms; /* files of keys, for a change */
	char *listen_address;
	int listen_port;		  /* 0 = any free port */
	int listen_shared;		  /* 1: other relays listen there too */
	char *listen_socket;	  /* path of a Unix socket, "" = none */
	char *listen_socket_mode; /* octal */
	char *log_format;		  /* text or json */
	char *log_level;		  /* a name that log_set_level takes */
	size_t message_max_bytes; /* largest message of a client */
	char *metrics_address;
	int metrics_port;			   /* 0 = none */
	int origin_required;		   /* 1: not without an origin */
	int push_queue_max;			   /* pushes waiting in this process */
	int64_t push_wait_max_ms;	   /* how long one may wait for the database */
	int64_t rate_burst_ms;		   /* what each rate allows at once */
	int readers;				   /* database connections that pull */
	int64_t reconnect_wait_max_ms; /* cap of the back-off to the database */
	int64_t send_timeout_ms;	   /* a socket that takes nothing */
	size_t session_bytes_per_second; /* 0 = none */
	int session_messages_per_second; /* 0 = none */
	int session_pushes_max;			 /* unanswered pushes of one session */
	size_t session_queue_max_bytes;	 /* unsent bytes of one session */
	int session_queue_max_messages;	 /* unsent messages of one session */
	int slow_lanes; /* database connections that push one by one */
	int64_t slow_lock_timeout_ms;	 /* lock_timeout of the slow lanes */
	size_t socket_send_buffer_bytes; /* SO_SNDBUF of a session */
	int64_t start_over_spread_ms;	 /* random wait of who starts over */
	char *static_dir; /* files served besides the API, "" = none */
	int64_t ticket_lifetime_ms;
	char *tls_certificate_file; /* "" = no TLS */
	char *tls_key_file;
	char *tls_min_version;		  /* 1.2 or 1.3 */
	char *token_sources;		  /* words: header message ticket query */
	char *trusted_proxies;		  /* address ranges */
	size_t user_bytes_per_second; /* 0 = none */
	int user_messages_per_second; /* 0 = none */
	int writers;				  /* database connections that push groups */
} Config;

/*
 * config_load fills "config" from the defaults, the file (NULL: no file) and
 * the environment (a NULL-terminated array as of main(); may be NULL), in that
 * order, and reads jwt_secret_file, so that afterwards jwt_secret is the
 * secret either way.
 *
 * On failure returns false with one sentence in "error" (file and line, or
 * the variable, where there is one; never a secret's value) and "config" is
 * released.  Warns through log.h of a secret shorter than HS256 wants, and of
 * MIRUSYNC_ variables that name no key.
 */
extern bool config_load(Config *config, const char *path, char **envp,
						char *error, size_t error_size);

/*
 * config_take moves the settings with these names (NULL-terminated) from
 * "fresh" to "config" and names in the log those others that differ.  With
 * "keep_tls" those of TLS count among the others.
 */
extern void config_take(Config *config, Config *fresh, const char *const *names,
						bool keep_tls);

/*
 * config_release wipes the secrets and frees the strings.  Safe on a zeroed
 * or an already released Config.
 */
extern void config_release(Config *config);

/* config_help writes one paragraph per key: type, default, bounds, meaning. */
extern void config_help(FILE *out);

#endif
