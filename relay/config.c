/*
 * config.c
 *		The relay's settings: one sorted table, one struct.
 *
 * Owns the table below: name, type, default, bounds and help stand nowhere
 * else in the program.  The defaults are texts and go through the same reader
 * as everything else, so `--help` shows what the file would say.
 *
 * Order: default, file, environment; each replaces the one before.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "config_internal.h"
#include "keyset.h"
#include "log.h"
#include "units.h"
#include "words.h"


#define FIELD(name) offsetof(Config, name)

/* clang-format off */
const Setting config_settings[] = {
	{"access_poll_interval", SETTING_DURATION, FIELD(access_poll_interval_ms),
		"30s", 100, HOUR, 0,
		"How often it is asked whether the users of all sessions may still have them, in case word of it was lost."},
	{"allowed_origins", SETTING_TEXT, FIELD(allowed_origins),
		"", 0, 4096, 0,
		"Origins of pages that may connect, exactly as browsers send them, separated by blanks, null among them; empty lets all."},
	{"auth_message_max_bytes", SETTING_SIZE, FIELD(auth_message_max_bytes),
		"16kB", 1 * KB, 1 * MB, 0,
		"The largest message that may bring the token to a session that has none yet."},
	{"auth_timeout", SETTING_DURATION, FIELD(auth_timeout_ms),
		"10s", 100, HOUR, 0,
		"How long a connection may take from its upgrade until its user is known and let in."},
	{"catch_up_parallel", SETTING_COUNT, FIELD(catch_up_parallel),
		"4", 1, 1000, 0,
		"How many catch-ups may read from the database at one time; the others wait."},
	{"connection_rate_per_address", SETTING_COUNT, FIELD(connection_rate_per_address),
		"0", 0, 100000, 0,
		"How many connections an address may open in a second; further ones are answered 429; 0 for no limit."},
	{"connections_max", SETTING_COUNT, FIELD(connections_max),
		"10000", 1, 1000000, 0,
		"How many connections this process accepts; must lie below its limit of open files."},
	{"connections_per_address", SETTING_COUNT, FIELD(connections_per_address),
		"0", 0, 1000000, 0,
		"How many connections an address may have on this relay; further ones are answered 429; 0 for no limit."},
	{"connections_per_user", SETTING_COUNT, FIELD(connections_per_user),
		"10", 1, 10000, 0,
		"How many sessions one user may have on this relay; further ones are answered 429."},
	{"database", SETTING_TEXT, FIELD(database),
		"", 1, 4096, IS_REQUIRED | IS_SECRET,
		"How to reach PostgreSQL, as a libpq connection string."},
	{"database_direct", SETTING_TEXT, FIELD(database_direct),
		"", 0, 4096, IS_SECRET,
		"How to reach the same database past a pooler, for LISTEN and NOTIFY; empty: as in database."},
	{"database_pooled", SETTING_COUNT, FIELD(database_pooled),
		"0", 0, 1, 0,
		"1: database leads to a pooler such as PgBouncer, so connections keep nothing from one transaction to the next."},
	{"drain_spread", SETTING_DURATION, FIELD(drain_spread_ms),
		"2s", 0, HOUR, 0,
		"After SIGTERM devices are told to come back after a random time up to this; those of the event protocol are closed at random moments of it."},
	{"drain_timeout", SETTING_DURATION, FIELD(drain_timeout_ms),
		"5s", 0, HOUR, 0,
		"How long after SIGTERM sessions get for their answers, the first half of it, and for their closing handshake."},
	{"environment", SETTING_TEXT, FIELD(environment),
		"production", 0, 64, 0,
		"What /health says in its field environment."},
	{"fast_lock_timeout", SETTING_DURATION, FIELD(fast_lock_timeout_ms),
		"20ms", 1, HOUR, 0,
		"How long a grouped push may wait for a lock before it is moved to a slow lane."},
	{"handshake_timeout", SETTING_DURATION, FIELD(handshake_timeout_ms),
		"10s", 100, HOUR, 0,
		"How long a connection may take from the first byte to its upgrade."},
	{"handshakes_max", SETTING_COUNT, FIELD(handshakes_max),
		"1000", 1, 1000000, 0,
		"How many connections may be in their handshake at one time; beyond, the oldest of them is closed."},
	{"heads_poll_interval", SETTING_DURATION, FIELD(heads_poll_interval_ms),
		"5s", 100, HOUR, 0,
		"How often the heads of the feeds that have sessions are read, in case a wake-up was lost."},
	{"hello_timeout", SETTING_DURATION, FIELD(hello_timeout_ms),
		"10s", 100, HOUR, 0,
		"How long a session of mirusync.v1 may take for its hello."},
	{"hibernate_after", SETTING_DURATION, FIELD(hibernate_after_ms),
		"5min", 0, 24 * HOUR, 0,
		"After how long without a session and without a request that needs it the database is let go; 0 for never."},
	{"idle_timeout", SETTING_DURATION, FIELD(idle_timeout_ms),
		"5min", 100, 24 * HOUR, 0,
		"After how much silence of its client a session is closed."},
	{"jwt_algorithms", SETTING_TEXT, FIELD(jwt_algorithms),
		"HS256", 1, 256, IS_REQUIRED,
		"Algorithms that tokens may be signed with: HS256, HS384, HS512, RS256, PS256, ES256, EdDSA, separated by blanks."},
	{"jwt_audience", SETTING_TEXT, FIELD(jwt_audience),
		"", 0, 4096, 0,
		"Audiences, one of which must stand in the claim aud, separated by blanks; empty does not look at it."},
	{"jwt_device_claim", SETTING_TEXT, FIELD(jwt_device_claim),
		"", 0, 255, 0,
		"The claim that names the device; empty for none."},
	{"jwt_issuer", SETTING_TEXT, FIELD(jwt_issuer),
		"", 0, 4096, 0,
		"Issuers, one of which must be the claim iss, separated by blanks; empty does not look at it."},
	{"jwt_jwks_file", SETTING_TEXT, FIELD(jwt_jwks_file),
		"", 0, 4096, 0,
		"A file with a JSON Web Key Set, whose keys are chosen by kid."},
	{"jwt_leeway", SETTING_DURATION, FIELD(jwt_leeway_ms),
		"30s", 0, HOUR, 0,
		"By how much the issuer's clock may differ: for exp, nbf and iat."},
	{"jwt_lifetime_max", SETTING_DURATION, FIELD(jwt_lifetime_max_ms),
		"0s", 0, 366 * 24 * HOUR, 0,
		"Longest time from iat to exp; tokens without iat are refused then; 0 is no limit."},
	{"jwt_pem_files", SETTING_TEXT, FIELD(jwt_pem_files),
		"", 0, 4096, 0,
		"Files with public keys or certificates in PEM, separated by blanks."},
	{"jwt_required_claims", SETTING_TEXT, FIELD(jwt_required_claims),
		"", 0, 4096, 0,
		"Claims that a token must have besides, separated by blanks."},
	{"jwt_secret", SETTING_TEXT, FIELD(jwt_secret),
		"", 1, 4096, IS_SECRET,
		"A secret that tokens are signed with (HS256 and its like), at least 32 bytes; give it or jwt_secret_file, or other keys."},
	{"jwt_secret_file", SETTING_TEXT, FIELD(jwt_secret_file),
		"", 0, 4096, 0,
		"A file that holds the secret; one line end at its end does not count."},
	{"jwt_user_claim", SETTING_TEXT, FIELD(jwt_user_claim),
		"sub", 1, 255, IS_REQUIRED,
		"The claim that is the user id."},
	{"keys_check_interval", SETTING_DURATION, FIELD(keys_check_interval_ms),
		"5s", 100, HOUR, 0,
		"How often the files of keys are looked at for a change; SIGHUP does it at once."},
	{"listen_address", SETTING_TEXT, FIELD(listen_address),
		"127.0.0.1", 0, 255, 0,
		"The numeric address to listen on; 0.0.0.0 or :: for all, empty for listen_socket only."},
	{"listen_port", SETTING_COUNT, FIELD(listen_port),
		"8787", 0, 65535, 0,
		"The TCP port to listen on; 0 takes a free one and logs it."},
	{"listen_shared", SETTING_COUNT, FIELD(listen_shared),
		"0", 0, 1, 0,
		"1 lets several relays of one database listen on the port, each getting a part of the connections."},
	{"listen_socket", SETTING_TEXT, FIELD(listen_socket),
		"", 0, 107, 0,
		"A Unix socket to listen on besides, for a proxy on this host; empty for none."},
	{"listen_socket_mode", SETTING_TEXT, FIELD(listen_socket_mode),
		"0660", 1, 4, IS_REQUIRED,
		"The mode of that socket, in octal."},
	{"log_format", SETTING_TEXT, FIELD(log_format),
		"text", 1, 8, IS_REQUIRED,
		"How a line of the log is written: text, or json, one object a line."},
	{"log_level", SETTING_TEXT, FIELD(log_level),
		"info", 1, 16, IS_REQUIRED,
		"The least grave lines to log: debug, info, warn or error."},
	{"message_max_bytes", SETTING_SIZE, FIELD(message_max_bytes),
		"64kB", 1 * KB, 16 * MB, 0,
		"The largest message a client may send; a larger one closes its session with 1009."},
	{"metrics_address", SETTING_TEXT, FIELD(metrics_address),
		"127.0.0.1", 1, 255, IS_REQUIRED,
		"The numeric address where /metrics is read."},
	{"metrics_port", SETTING_COUNT, FIELD(metrics_port),
		"0", 0, 65535, 0,
		"The TCP port where /metrics is read; that of listen_port for the same one; 0 for no metrics."},
	{"origin_required", SETTING_COUNT, FIELD(origin_required),
		"0", 0, 1, 0,
		"1 refuses connections without an origin, which are not from browsers."},
	{"push_queue_max", SETTING_COUNT, FIELD(push_queue_max),
		"10000", 1, 10000000, 0,
		"How many pushes of all sessions may wait for the database; further ones are refused as retryable."},
	{"push_wait_max", SETTING_DURATION, FIELD(push_wait_max_ms),
		"30s", 100, HOUR, 0,
		"How long a push may wait for the database before it is refused as retryable."},
	{"rate_burst", SETTING_DURATION, FIELD(rate_burst_ms),
		"10s", 100, HOUR, 0,
		"Of how long a time each rate limit may be used up at once."},
	{"readers", SETTING_COUNT, FIELD(readers),
		"2", 1, 64, 0,
		"Database connections that read."},
	{"reconnect_wait_max", SETTING_DURATION, FIELD(reconnect_wait_max_ms),
		"5s", 10, HOUR, 0,
		"The longest pause between two tries to reach the database."},
	{"send_timeout", SETTING_DURATION, FIELD(send_timeout_ms),
		"20s", 100, HOUR, 0,
		"How long the socket of a session may take nothing of what waits for it; then the session is closed with 1013."},
	{"session_bytes_per_second", SETTING_SIZE, FIELD(session_bytes_per_second),
		"1MB", 0, 1024 * MB, 0,
		"How many bytes of messages a session may send in a second; beyond, the relay reads on later; 0 for no limit."},
	{"session_messages_per_second", SETTING_COUNT, FIELD(session_messages_per_second),
		"1000", 0, 1000000, 0,
		"How many messages a session may send in a second, likewise."},
	{"session_pushes_max", SETTING_COUNT, FIELD(session_pushes_max),
		"256", 1, 100000, 0,
		"How many pushes of one session may be unanswered; then the relay reads no more from it for a while."},
	{"session_queue_max_bytes", SETTING_SIZE, FIELD(session_queue_max_bytes),
		"1MB", 1 * KB, 1024 * MB, 0,
		"How many bytes may wait for one session that reads slowly; beyond, it is moved to catch-up or closed."},
	{"session_queue_max_messages", SETTING_COUNT, FIELD(session_queue_max_messages),
		"1000", 1, 1000000, 0,
		"How many messages may wait for one session, likewise."},
	{"slow_lanes", SETTING_COUNT, FIELD(slow_lanes),
		"4", 1, 64, 0,
		"Database connections that push one message at a time, for those that met a lock or an error."},
	{"slow_lock_timeout", SETTING_DURATION, FIELD(slow_lock_timeout_ms),
		"10s", 1, HOUR, 0,
		"How long a push on a slow lane may wait for a lock."},
	{"socket_send_buffer_bytes", SETTING_SIZE, FIELD(socket_send_buffer_bytes),
		"128kB", 4 * KB, 16 * MB, 0,
		"The kernel's send buffer of a session: what a client that does not read can hold back there."},
	{"start_over_spread", SETTING_DURATION, FIELD(start_over_spread_ms),
		"5s", 0, HOUR, 0,
		"After a restore each device that starts over waits a random time up to this (mirusync.v1)."},
	{"static_dir", SETTING_TEXT, FIELD(static_dir),
		"", 0, 4096, 0,
		"A directory of files to serve besides, such as the demo page; empty serves none."},
	{"ticket_lifetime", SETTING_DURATION, FIELD(ticket_lifetime_ms),
		"30s", 1 * SECOND, 10 * 60 * SECOND, 0,
		"How long a ticket of POST /sync/ticket may be used, once."},
	{"tls_certificate_file", SETTING_TEXT, FIELD(tls_certificate_file),
		"", 0, 4096, 0,
		"A PEM file with the certificate and those between it and the root; with it the relay speaks TLS."},
	{"tls_key_file", SETTING_TEXT, FIELD(tls_key_file),
		"", 0, 4096, 0,
		"The PEM file with its private key, without a passphrase."},
	{"tls_min_version", SETTING_TEXT, FIELD(tls_min_version),
		"1.2", 1, 8, IS_REQUIRED,
		"The oldest version of TLS that is spoken: 1.2 or 1.3."},
	{"token_sources", SETTING_TEXT, FIELD(token_sources),
		"header message ticket query", 1, 64, IS_REQUIRED,
		"Where a token may come from: header, message, ticket, query, separated by blanks."},
	{"trusted_proxies", SETTING_TEXT, FIELD(trusted_proxies),
		"", 0, 4096, 0,
		"Addresses and ranges of proxies whose X-Forwarded-For is believed, separated by blanks; one at listen_socket always is."},
	{"user_bytes_per_second", SETTING_SIZE, FIELD(user_bytes_per_second),
		"2MB", 0, 1024 * MB, 0,
		"How many bytes of messages all sessions of a user on this relay may send in a second, likewise."},
	{"user_messages_per_second", SETTING_COUNT, FIELD(user_messages_per_second),
		"2000", 0, 1000000, 0,
		"How many messages all sessions of a user on this relay may send in a second, likewise."},
	{"writers", SETTING_COUNT, FIELD(writers),
		"2", 1, 64, 0,
		"Database connections that push; a feed always goes to the same one."},
};
/* clang-format on */

#define SETTING_TOTAL                                                          \
	((int) (sizeof(config_settings) / sizeof(config_settings[0])))

_Static_assert(SETTING_TOTAL <= SETTINGS_MAX, "room in the loader");

/* config_complain writes the one error sentence and returns false. */
bool
config_complain(Loader *loader, const Place *place, const char *fmt, ...)
{
	va_list args;
	char text[512];

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (place == NULL)
		snprintf(loader->error, loader->error_size, "%s", text);
	else if (place->line == 0)
		snprintf(loader->error, loader->error_size, "%s: %s", place->name,
				 text);
	else
		snprintf(loader->error, loader->error_size, "%s:%d: %s", place->name,
				 place->line, text);
	return false;
}

int
config_find(const char *name, size_t len)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (strlen(config_settings[i].name) == len &&
			memcmp(config_settings[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

static void *
field_of(Config *config, const Setting *setting)
{
	return (char *) config + setting->offset;
}

/* copy_text is strndup that cannot fail; what it gives is wiped by us only. */
static char *
copy_text(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (copy == NULL)
		abort();
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

static void
drop_text(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static bool
set_number(Loader *loader, const Setting *setting, const char *text,
		   const Place *place)
{
	void *field = field_of(loader->config, setting);
	int64_t value;
	char low[32];
	char high[32];

	if (!units_read(setting->type, text, &value))
		return config_complain(loader, place,
							   "bad value \"%.40s\" for %s: must be %s", text,
							   setting->name, units_wanted(setting->type));
	if (value < setting->min || value > setting->max)
	{
		units_render(low, setting->type, setting->min);
		units_render(high, setting->type, setting->max);
		return config_complain(
			loader, place,
			"bad value \"%.40s\" for %s: must lie between %s and %s", text,
			setting->name, low, high);
	}

	if (setting->type == SETTING_COUNT)
		*(int *) field = (int) value;
	else if (setting->type == SETTING_SIZE)
		*(size_t *) field = (size_t) value;
	else
		*(int64_t *) field = value;
	return true;
}

static bool
set_text(Loader *loader, const Setting *setting, const char *text, size_t len,
		 const Place *place)
{
	char **field = field_of(loader->config, setting);

	if ((int64_t) len > setting->max)
		return config_complain(loader, place,
							   "value of %s is longer than %" PRId64 " bytes",
							   setting->name, setting->max);
	drop_text(field);
	*field = copy_text(text, len);
	return true;
}

/* set_value is the one place where a setting gets a value. */
bool
config_set(Loader *loader, int index, const char *text, Origin origin,
		   const Place *place)
{
	const Setting *setting = &config_settings[index];
	bool good;

	if (setting->type == SETTING_TEXT)
		good = set_text(loader, setting, text, strlen(text), place);
	else
		good = set_number(loader, setting, text, place);
	if (good && strcmp(setting->name, "log_level") == 0 &&
		!log_level_known(text))
		return config_complain(loader, place,
							   "bad value \"%.40s\" for log_level: must be "
							   "debug, info, warn or error",
							   text);
	loader->origins[index] = origin;
	return good;
}

static bool
read_defaults(Loader *loader)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (!config_set(loader, i, config_settings[i].preset, ORIGIN_DEFAULT,
						NULL))
			return false;
	}
	return true;
}

/* read_secret_file puts the secret where the program looks for it. */
static bool
read_secret_file(Loader *loader, int secret)
{
	Config *config = loader->config;
	Place place = {config->jwt_secret_file, 0};
	char text[4096 + 3]; /* the longest secret, a line end, one more */
	size_t len;
	bool good = false;

	if (!config_slurp(loader, config->jwt_secret_file, text, sizeof(text),
					  &len))
		goto done;
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		config_complain(loader, &place, "the secret is empty");
	else if (memchr(text, '\0', len) != NULL)
		config_complain(loader, &place, "the secret has a NUL byte");
	else
		good = set_text(loader, &config_settings[secret], text, len, &place);

done:
	explicit_bzero(text, sizeof(text));
	return good;
}

/*
 * settle_secret takes the secret from its file if that is what was said.  Of
 * the two keys one from the environment replaces the other from the file.
 */
static bool
settle_secret(Loader *loader)
{
	Config *config = loader->config;
	int secret = config_find("jwt_secret", strlen("jwt_secret"));
	int file = config_find("jwt_secret_file", strlen("jwt_secret_file"));

	if (config->jwt_secret[0] != '\0' && config->jwt_secret_file[0] != '\0')
	{
		if (loader->origins[secret] == loader->origins[file])
			return config_complain(loader, NULL,
								   "jwt_secret and jwt_secret_file are both "
								   "set: give one of them");
		config_set(loader,
				   loader->origins[secret] > loader->origins[file] ? file
																   : secret,
				   "", ORIGIN_DEFAULT, NULL);
	}
	if (config->jwt_secret_file[0] != '\0' && !read_secret_file(loader, secret))
		return false;
	if (config->jwt_secret[0] == '\0' && config->jwt_pem_files[0] == '\0' &&
		config->jwt_jwks_file[0] == '\0')
		return config_complain(
			loader, NULL,
			"a key is required: set jwt_secret, jwt_secret_file, "
			"jwt_pem_files or jwt_jwks_file, or %sJWT_SECRET",
			ENV_PREFIX);
	if (config->jwt_secret[0] != '\0' &&
		strlen(config->jwt_secret) < SECRET_GOOD)
		log_warn("jwt_secret is short for HS256 bytes=%zu wanted=%d",
				 strlen(config->jwt_secret), SECRET_GOOD);
	return true;
}

/* check_words checks a list against the words that it may have. */
static bool
check_words(Loader *loader, const char *name, const char *list,
			const char *known)
{
	const char *word;
	char text[32];
	size_t len;

	while ((word = words_next(&list, &len)) != NULL)
	{
		snprintf(text, sizeof(text), "%.*s", (int) len, word);
		if (!words_has(known, text))
			return config_complain(loader, NULL,
								   "bad word \"%s\" in %s: known are %s", text,
								   name, known);
	}
	return true;
}

/* check_transport checks how the relay is reached. */
static bool
check_transport(Loader *loader)
{
	const Config *config = loader->config;
	const char *mode = config->listen_socket_mode;
	AddressRanges ranges;
	const char *bad = address_ranges_parse(&ranges, config->trusted_proxies);

	address_ranges_release(&ranges);
	if (bad != NULL)
		return config_complain(loader, NULL,
							   "trusted_proxies: \"%s\" is no address range",
							   bad);
	if (config->listen_address[0] == '\0' && config->listen_socket[0] == '\0')
		return config_complain(loader, NULL,
							   "listen_address and listen_socket are both "
							   "empty: set one of them");
	if (mode[strspn(mode, "01234567")] != '\0')
		return config_complain(
			loader, NULL, "listen_socket_mode must be octal, such as 0660");
	if ((config->tls_certificate_file[0] == '\0') !=
		(config->tls_key_file[0] == '\0'))
		return config_complain(loader, NULL,
							   "tls_certificate_file and tls_key_file belong "
							   "together: set both or none");
	if (strcmp(config->tls_min_version, "1.2") != 0 &&
		strcmp(config->tls_min_version, "1.3") != 0)
		return config_complain(loader, NULL,
							   "tls_min_version must be 1.2 or 1.3");
	if (strcmp(config->log_format, "text") != 0 &&
		strcmp(config->log_format, "json") != 0)
		return config_complain(loader, NULL, "log_format must be text or json");
	return true;
}

/* is_numeric says whether a socket could listen there without a name server. */
static bool
is_numeric(const char *address)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
							 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (address[0] == '\0')
		return true;
	if (getaddrinfo(address, NULL, &hints, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

/* check_values checks texts that must be addresses, and whole seconds. */
static bool
check_values(Loader *loader)
{
	const Config *config = loader->config;

	if (!is_numeric(config->listen_address))
		return config_complain(loader, NULL,
							   "listen_address is no numeric address");
	if (!is_numeric(config->metrics_address))
		return config_complain(loader, NULL,
							   "metrics_address is no numeric address");
	if (config->database_pooled && config->database_direct[0] == '\0')
		return config_complain(loader, NULL,
							   "database_pooled needs database_direct: nobody "
							   "can listen through a pooler");
	if (config->jwt_leeway_ms % 1000 != 0)
		return config_complain(loader, NULL,
							   "jwt_leeway must be whole seconds");
	if (config->jwt_lifetime_max_ms % 1000 != 0)
		return config_complain(loader, NULL,
							   "jwt_lifetime_max must be whole seconds");
	return true;
}

/* check_whole checks what no single value can show. */
static bool
check_whole(Loader *loader)
{
	Config *config = loader->config;
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if ((config_settings[i].flags & IS_REQUIRED) &&
			**(char **) field_of(config, &config_settings[i]) == '\0')
			return config_complain(loader, NULL,
								   "%s is required: set it in the file or "
								   "by the environment",
								   config_settings[i].name);
	}
	if (!check_transport(loader) || !check_values(loader))
		return false;
	if (config->session_queue_max_bytes < config->message_max_bytes)
		return config_complain(
			loader, NULL,
			"session_queue_max_bytes must not be below "
			"message_max_bytes: such a message could never be sent on");
	return check_words(loader, "jwt_algorithms", config->jwt_algorithms,
					   "HS256 HS384 HS512 RS256 PS256 ES256 EdDSA") &&
		check_words(loader, "token_sources", config->token_sources,
					"header message ticket query") &&
		settle_secret(loader);
}

bool
config_load(Config *config, const char *path, char **envp, char *error,
			size_t error_size)
{
	Loader loader;

	memset(config, 0, sizeof(*config));
	memset(&loader, 0, sizeof(loader));
	loader.config = config;
	loader.error = error;
	loader.error_size = error_size;

	if (read_defaults(&loader) &&
		(path == NULL || config_read_file(&loader, path)) &&
		config_read_environment(&loader, envp) && check_whole(&loader))
		return true;
	config_release(config);
	return false;
}

static bool
is_equal(const Setting *setting, const void *a, const void *b)
{
	switch (setting->type)
	{
		case SETTING_COUNT:
			return *(const int *) a == *(const int *) b;
		case SETTING_DURATION:
			return *(const int64_t *) a == *(const int64_t *) b;
		case SETTING_SIZE:
			return *(const size_t *) a == *(const size_t *) b;
		default:
			return strcmp(*(char *const *) a, *(char *const *) b) == 0;
	}
}

static void
swap(void *a, void *b, size_t size)
{
	char keep[sizeof(int64_t)];

	memcpy(keep, a, size);
	memcpy(a, b, size);
	memcpy(b, keep, size);
}

void
config_take(Config *config, Config *fresh, const char *const *names,
			bool keep_tls)
{
	static const size_t sizes[] = {[SETTING_COUNT] = sizeof(int),
								   [SETTING_DURATION] = sizeof(int64_t),
								   [SETTING_SIZE] = sizeof(size_t),
								   [SETTING_TEXT] = sizeof(char *)};

	for (int i = 0; i < SETTING_TOTAL; i++)
	{
		const Setting *setting = &config_settings[i];
		void *ours = field_of(config, setting);
		void *theirs = field_of(fresh, setting);
		const char *const *name = names;

		if (is_equal(setting, ours, theirs))
			continue;
		while (*name != NULL && strcmp(*name, setting->name) != 0)
			name++;
		if (*name != NULL &&
			!(keep_tls && strncmp(setting->name, "tls_", 4) == 0))
			swap(ours, theirs, sizes[setting->type]);
		else
			log_warn("setting needs a restart key=%s", setting->name);
	}
}

void
config_release(Config *config)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (config_settings[i].type == SETTING_TEXT)
			drop_text(field_of(config, &config_settings[i]));
	}
	memset(config, 0, sizeof(*config));
}

void
config_help(FILE *out)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		const Setting *setting = &config_settings[i];
		char low[32];
		char high[32];

		fprintf(out, "%s", setting->name);
		if (setting->preset[0] != '\0')
			fprintf(out, " = %s", setting->preset);
		if (setting->type == SETTING_TEXT)
			fprintf(out, "  (text%s)",
					setting->flags & IS_REQUIRED && setting->preset[0] == '\0'
						? ", required"
						: "");
		else
		{
			units_render(low, setting->type, setting->min);
			units_render(high, setting->type, setting->max);
			fprintf(out, "  (%s to %s)", low, high);
		}
		fprintf(out, "\n    %s\n", setting->help);
	}
}
