/*
 * config.c
 *		The relay's settings: one sorted table, one struct.
 *
 * Owns the table below: name, type, default, bounds and help stand nowhere
 * else in the program.  The defaults are texts and go through the same reader
 * as everything else, so `--help` shows what the file would say.
 *
 * The file has one `key = value` per line.  A `#` begins a comment at the
 * start of a line or after a blank.  A value may be put in double quotes, with
 * \" and \\ inside.  In a secret or a conninfo a bare ` #` is refused instead
 * of guessed at: half a password is worse than no start.
 *
 * Order: default, file, environment; each replaces the one before.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "confline.h"
#include "keyset.h"
#include "log.h"
#include "units.h"
#include "words.h"

#define ENV_PREFIX	   "MIRUSYNC_"
#define NAME_MAX_BYTES 64
#define FILE_MAX_BYTES (64 * 1024)

/* What else is to be known of a setting. */
#define IS_REQUIRED 1 /* must not be empty */
#define IS_SECRET	2 /* never shown, wiped */

typedef struct Setting
{
	const char *name;
	SettingType type;
	size_t offset;		/* in Config */
	const char *preset; /* the default, as a file would say it */
	int64_t min;		/* of a text: bytes */
	int64_t max;
	unsigned int flags;
	const char *help;
} Setting;

/* Where the present value of a setting comes from. */
typedef enum Origin
{
	ORIGIN_DEFAULT,
	ORIGIN_FILE,
	ORIGIN_ENVIRONMENT
} Origin;

#define FIELD(name) offsetof(Config, name)

/* clang-format off */
static const Setting settings[] = {
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
	{"connections_max", SETTING_COUNT, FIELD(connections_max),
		"10000", 1, 1000000, 0,
		"How many connections this process accepts; must lie below its limit of open files."},
	{"connections_per_user", SETTING_COUNT, FIELD(connections_per_user),
		"10", 1, 10000, 0,
		"How many sessions one user may have on this relay; further ones are answered 429."},
	{"database", SETTING_TEXT, FIELD(database),
		"", 1, 4096, IS_REQUIRED | IS_SECRET,
		"How to reach PostgreSQL, as a libpq connection string."},
	{"drain_timeout", SETTING_DURATION, FIELD(drain_timeout_ms),
		"5s", 0, HOUR, 0,
		"How long sessions get for their closing handshake after SIGTERM."},
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
		"127.0.0.1", 1, 255, IS_REQUIRED,
		"The numeric address to listen on; 0.0.0.0 or :: for all."},
	{"listen_port", SETTING_COUNT, FIELD(listen_port),
		"8787", 0, 65535, 0,
		"The TCP port to listen on; 0 takes a free one and logs it."},
	{"listen_shared", SETTING_COUNT, FIELD(listen_shared),
		"0", 0, 1, 0,
		"1 lets several relays of one database listen on the port, each getting a part of the connections."},
	{"log_level", SETTING_TEXT, FIELD(log_level),
		"info", 1, 16, IS_REQUIRED,
		"The least grave lines to log: debug, info, warn or error."},
	{"message_max_bytes", SETTING_SIZE, FIELD(message_max_bytes),
		"64kB", 1 * KB, 16 * MB, 0,
		"The largest message a client may send; a larger one closes its session with 1009."},
	{"origin_required", SETTING_COUNT, FIELD(origin_required),
		"0", 0, 1, 0,
		"1 refuses connections without an origin, which are not from browsers."},
	{"push_queue_max", SETTING_COUNT, FIELD(push_queue_max),
		"10000", 1, 10000000, 0,
		"How many pushes of all sessions may wait for the database; further ones are refused as retryable."},
	{"push_wait_max", SETTING_DURATION, FIELD(push_wait_max_ms),
		"30s", 100, HOUR, 0,
		"How long a push may wait for the database before it is refused as retryable."},
	{"readers", SETTING_COUNT, FIELD(readers),
		"1", 1, 64, 0,
		"Database connections that read."},
	{"reconnect_wait_max", SETTING_DURATION, FIELD(reconnect_wait_max_ms),
		"5s", 10, HOUR, 0,
		"The longest pause between two tries to reach the database."},
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
	{"token_sources", SETTING_TEXT, FIELD(token_sources),
		"header message ticket query", 1, 64, IS_REQUIRED,
		"Where a token may come from: header, message, ticket, query, separated by blanks."},
	{"writers", SETTING_COUNT, FIELD(writers),
		"2", 1, 64, 0,
		"Database connections that push; a feed always goes to the same one."},
};
/* clang-format on */

#define SETTING_TOTAL ((int) (sizeof(settings) / sizeof(settings[0])))

/* One run of config_load. */
typedef struct Loader
{
	Config *config;
	const char *path; /* of the file being read, or NULL */
	char *error;
	size_t error_size;
	Origin origins[sizeof(settings) / sizeof(settings[0])];
	int lines[sizeof(settings) / sizeof(settings[0])]; /* 0 = not in file */
} Loader;

/* A place that an error message can name. */
typedef struct Place
{
	const char *name; /* file or variable */
	int line;		  /* 0 for a variable */
} Place;

static bool complain(Loader *loader, const Place *place, const char *fmt, ...)
	LOG_PRINTF(3, 4);

/* complain writes the one error sentence and returns false. */
static bool
complain(Loader *loader, const Place *place, const char *fmt, ...)
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

static int
find_setting(const char *name, size_t len)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (strlen(settings[i].name) == len &&
			memcmp(settings[i].name, name, len) == 0)
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
		return complain(loader, place, "bad value \"%.40s\" for %s: must be %s",
						text, setting->name, units_wanted(setting->type));
	if (value < setting->min || value > setting->max)
	{
		units_render(low, setting->type, setting->min);
		units_render(high, setting->type, setting->max);
		return complain(
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
		return complain(loader, place,
						"value of %s is longer than %" PRId64 " bytes",
						setting->name, setting->max);
	drop_text(field);
	*field = copy_text(text, len);
	return true;
}

/* set_value is the one place where a setting gets a value. */
static bool
set_value(Loader *loader, int index, const char *text, Origin origin,
		  const Place *place)
{
	const Setting *setting = &settings[index];
	bool good;

	if (setting->type == SETTING_TEXT)
		good = set_text(loader, setting, text, strlen(text), place);
	else
		good = set_number(loader, setting, text, place);
	if (good && strcmp(setting->name, "log_level") == 0 &&
		!log_level_known(text))
		return complain(loader, place,
						"bad value \"%.40s\" for log_level: must be "
						"debug, info, warn or error",
						text);
	loader->origins[index] = origin;
	return good;
}

/* read_line takes one line apart, in place. */
static bool
read_line(Loader *loader, char *line, const Place *place)
{
	char *key = line + strspn(line, " \t");
	char *value;
	char *comment;
	size_t key_len;
	int index;

	confline_trim_end(key);
	if (*key == '\0' || *key == '#')
		return true;
	key_len = strspn(key,
					 "abcdefghijklmnopqrstuvwxyz"
					 "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	value = key + key_len + strspn(key + key_len, " \t");
	if (key_len == 0 || *value != '=')
		return complain(loader, place, "no \"key = value\"");
	value++;
	value += strspn(value, " \t");

	index = find_setting(key, key_len);
	if (index < 0)
		return complain(loader, place, "unknown key \"%.*s\"",
						(int) (key_len > NAME_MAX_BYTES ? NAME_MAX_BYTES
														: key_len),
						key);
	if (loader->lines[index] != 0)
		return complain(loader, place, "%s stands in line %d already",
						settings[index].name, loader->lines[index]);

	if (*value == '"')
	{
		value++;
		if (!confline_unquote(value))
			return complain(loader, place, "value of %s is not quoted rightly",
							settings[index].name);
	}
	else if ((comment = confline_comment(value)) != NULL)
	{
		if (settings[index].flags & IS_SECRET)
			return complain(loader, place,
							"a # after a blank in %s: put the value "
							"in double quotes",
							settings[index].name);
		*comment = '\0';
		confline_trim_end(value);
	}
	loader->lines[index] = place->line;
	return set_value(loader, index, value, ORIGIN_FILE, place);
}

/* read_text reads a whole file's text, terminated at text[len], in place. */
static bool
read_text(Loader *loader, char *text, size_t len)
{
	Place place = {loader->path, 0};
	char *end = text + len;
	char *line = text;

	/* some editors begin with a byte order mark */
	if (len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0)
		line += 3;
	while (line < end)
	{
		char *line_end = memchr(line, '\n', end - line);
		char *next;

		if (line_end == NULL)
			line_end = end;
		next = line_end + 1;
		place.line++;
		if (memchr(line, '\0', line_end - line) != NULL)
			return complain(loader, &place, "NUL byte");
		if (line_end > line && line_end[-1] == '\r')
			line_end--;
		*line_end = '\0';
		if (!read_line(loader, line, &place))
			return false;
		line = next;
	}
	return true;
}

/* slurp reads a small file into buf[size], terminated. */
static bool
slurp(Loader *loader, const char *path, char *buf, size_t size, size_t *len)
{
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return complain(loader, NULL, "could not open file \"%s\": %s", path,
						strerror(errno));

	/* nothing stays behind in the buffer of a stream that is not there */
	setvbuf(file, NULL, _IONBF, 0);
	*len = fread(buf, 1, size, file);
	if (ferror(file))
	{
		complain(loader, NULL, "could not read file \"%s\": %s", path,
				 strerror(errno));
		fclose(file);
		return false;
	}
	fclose(file);
	if (*len == size)
		return complain(loader, NULL, "file \"%s\" is longer than %zu bytes",
						path, size - 1);
	buf[*len] = '\0';
	return true;
}

static bool
read_file(Loader *loader, const char *path)
{
	char *text = malloc(FILE_MAX_BYTES + 1);
	size_t len;
	bool good;

	if (text == NULL)
		abort();
	loader->path = path;
	good = slurp(loader, path, text, FILE_MAX_BYTES + 1, &len) &&
		read_text(loader, text, len);
	explicit_bzero(text, FILE_MAX_BYTES + 1);
	free(text);
	return good;
}

static bool
read_environment(Loader *loader, char **envp)
{
	const size_t prefix_len = strlen(ENV_PREFIX);

	for (; envp != NULL && *envp != NULL; envp++)
	{
		const char *equals = strchr(*envp, '=');
		char name[NAME_MAX_BYTES];
		char variable[NAME_MAX_BYTES + sizeof(ENV_PREFIX)];
		Place place = {variable, 0};
		size_t len;
		size_t i;
		int index;

		if (equals == NULL || strncmp(*envp, ENV_PREFIX, prefix_len) != 0)
			continue;
		len = equals - *envp - prefix_len;
		if (len >= sizeof(name))
			len = sizeof(name) - 1;
		for (i = 0; i < len; i++)
		{
			char c = (*envp)[prefix_len + i];

			/* lower case is no key of ours */
			name[i] = c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
				: c >= 'a' && c <= 'z'	   ? '?'
										   : c;
		}
		snprintf(variable, sizeof(variable), "%.*s", (int) (prefix_len + len),
				 *envp);
		index = find_setting(name, len);

		/* no error: orchestrators put variables there by a service's name */
		if (index < 0)
			log_warn("environment variable names no key variable=%s", variable);
		else if (!set_value(loader, index, equals + 1, ORIGIN_ENVIRONMENT,
							&place))
			return false;
	}
	return true;
}

static bool
read_defaults(Loader *loader)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (!set_value(loader, i, settings[i].preset, ORIGIN_DEFAULT, NULL))
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

	if (!slurp(loader, config->jwt_secret_file, text, sizeof(text), &len))
		goto done;
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		complain(loader, &place, "the secret is empty");
	else if (memchr(text, '\0', len) != NULL)
		complain(loader, &place, "the secret has a NUL byte");
	else
		good = set_text(loader, &settings[secret], text, len, &place);

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
	int secret = find_setting("jwt_secret", strlen("jwt_secret"));
	int file = find_setting("jwt_secret_file", strlen("jwt_secret_file"));

	if (config->jwt_secret[0] != '\0' && config->jwt_secret_file[0] != '\0')
	{
		if (loader->origins[secret] == loader->origins[file])
			return complain(loader, NULL,
							"jwt_secret and jwt_secret_file are both "
							"set: give one of them");
		set_value(loader,
				  loader->origins[secret] > loader->origins[file] ? file
																  : secret,
				  "", ORIGIN_DEFAULT, NULL);
	}
	if (config->jwt_secret_file[0] != '\0' && !read_secret_file(loader, secret))
		return false;
	if (config->jwt_secret[0] == '\0' && config->jwt_pem_files[0] == '\0' &&
		config->jwt_jwks_file[0] == '\0')
		return complain(loader, NULL,
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
			return complain(loader, NULL, "bad word \"%s\" in %s: known are %s",
							text, name, known);
	}
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
		if ((settings[i].flags & IS_REQUIRED) &&
			**(char **) field_of(config, &settings[i]) == '\0')
			return complain(loader, NULL,
							"%s is required: set it in the file or "
							"by the environment",
							settings[i].name);
	}
	if (config->session_queue_max_bytes < config->message_max_bytes)
		return complain(
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

	if (read_defaults(&loader) && (path == NULL || read_file(&loader, path)) &&
		read_environment(&loader, envp) && check_whole(&loader))
		return true;
	config_release(config);
	return false;
}

void
config_release(Config *config)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (settings[i].type == SETTING_TEXT)
			drop_text(field_of(config, &settings[i]));
	}
	memset(config, 0, sizeof(*config));
}

void
config_help(FILE *out)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		const Setting *setting = &settings[i];
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
