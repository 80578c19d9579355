/*
 * test_config.c
 *		Settings from defaults, file and environment, and what is said of
 *		those that are wrong.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "config.c"

#define SECRET "0123456789abcdef0123456789abcdef"
#define BASE   "database = dbname=x\njwt_secret = " SECRET "\n"

static Config config;
static char error[1024];
static char directory[] = "/tmp/mirusync-test-config-XXXXXX";
static char conf_path[64];
static char secret_path[64];

static int
set_up_group(void **state UNUSED)
{
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(conf_path, sizeof(conf_path), "%s/relay.conf", directory);
	snprintf(secret_path, sizeof(secret_path), "%s/secret", directory);
	return 0;
}

static int
tear_down_group(void **state UNUSED)
{
	unlink(conf_path);
	unlink(secret_path);
	return rmdir(directory);
}

static int
tear_down(void **state UNUSED)
{
	config_release(&config);
	log_set_level("info");
	return 0;
}

static void
write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

/* load_text loads a file of that text and an environment (NULL: empty). */
static bool
load_text(const char *text, char **envp)
{
	write_file(conf_path, text, strlen(text));
	config_release(&config);
	strcpy(error, "untouched");
	return config_load(&config, conf_path, envp, error, sizeof(error));
}

static void
assert_loads(const char *text, char **envp)
{
	if (!load_text(text, envp))
		fail_msg("%s", error);
}

/* assert_fails wants the error, behind the file's path if "line" is > 0. */
static void
assert_fails(const char *text, int line, const char *wanted)
{
	char full[1024];

	if (load_text(text, NULL))
		fail_msg("%s was taken", text);
	if (line > 0)
		snprintf(full, sizeof(full), "%s:%d: %s", conf_path, line, wanted);
	else
		snprintf(full, sizeof(full), "%s", wanted);
	assert_string_equal(error, full);

	/* released: nothing is left of a half-read configuration */
	assert_null(config.database);
	assert_null(config.jwt_secret);
}

static void
table_is_sorted_and_whole(void **state UNUSED)
{
	int i;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		if (i > 0)
			assert_true(strcmp(config_settings[i - 1].name,
							   config_settings[i].name) < 0);
		assert_true(strlen(config_settings[i].name) < NAME_MAX_BYTES);
		assert_true(config_settings[i].min <= config_settings[i].max);
		assert_true(strlen(config_settings[i].help) > 20);
		assert_int_equal(
			config_settings[i].help[strlen(config_settings[i].help) - 1], '.');
		if (config_settings[i].type == SETTING_COUNT)
			assert_true(config_settings[i].max <= INT_MAX);
	}
}

/* Each setting has a field of its own, of its own width. */
static void
fields_do_not_overlap(void **state UNUSED)
{
	static const size_t widths[] = {sizeof(int), sizeof(int64_t),
									sizeof(size_t), sizeof(char *)};
	unsigned char used[sizeof(Config)] = {0};
	int i;
	size_t j;

	for (i = 0; i < SETTING_TOTAL; i++)
	{
		for (j = 0; j < widths[config_settings[i].type]; j++)
			assert_int_equal(used[config_settings[i].offset + j]++, 0);
	}
}

static void
defaults_are_as_documented(void **state UNUSED)
{
	assert_loads(BASE, NULL);
	assert_string_equal(config.listen_address, "127.0.0.1");
	assert_int_equal(config.listen_port, 8787);
	assert_int_equal(config.listen_shared, 0);
	assert_int_equal(config.connections_per_user, 10);
	assert_int_equal(config.connections_max, 10000);
	assert_int_equal(config.message_max_bytes, 65536);
	assert_int_equal(config.idle_timeout_ms, 300000);
	assert_int_equal(config.heads_poll_interval_ms, 5000);
	assert_int_equal(config.writers, 2);
	assert_int_equal(config.readers, 2);
	assert_int_equal(config.slow_lanes, 4);
	assert_int_equal(config.push_wait_max_ms, 30000);
	assert_int_equal(config.session_queue_max_bytes, 1024 * 1024);
	assert_int_equal(config.fast_lock_timeout_ms, 20);
	assert_int_equal(config.slow_lock_timeout_ms, 10000);
	assert_int_equal(config.drain_timeout_ms, 5000);
	assert_int_equal(config.handshake_timeout_ms, 10000);
	assert_string_equal(config.static_dir, "");
	assert_string_equal(config.jwt_secret_file, "");
	assert_string_equal(config.environment, "production");
	assert_string_equal(config.log_level, "info");
	assert_string_equal(config.database, "dbname=x");
	assert_string_equal(config.jwt_secret, SECRET);
}

static void
reads_the_syntax_of_files(void **state UNUSED)
{
	assert_loads(
		"\xEF\xBB\xBF# first\r\n"
		"\n"
		"   # indented comment\n"
		"\t listen_port=9000\t\r\n"
		"listen_address   =   ::   # all\n"
		"environment = \"two words # no comment \\\" \\\\ \\n\" # one\n"
		"static_dir =\n"
		"writers = 3 # three\n"
		"database = host=/run/x password='a#b' dbname=x\n"
		"jwt_secret = \"a # b                            \"",
		NULL);
	assert_int_equal(config.listen_port, 9000);
	assert_string_equal(config.listen_address, "::");
	assert_string_equal(config.environment, "two words # no comment \" \\ \\n");
	assert_string_equal(config.static_dir, "");
	assert_int_equal(config.writers, 3);
	assert_string_equal(config.database, "host=/run/x password='a#b' dbname=x");
	assert_string_equal(config.jwt_secret, "a # b                            ");
}

static void
reads_units(void **state UNUSED)
{
	static const struct
	{
		SettingType type;
		const char *text;
		int64_t value; /* -1: refused */
	} cases[] = {{SETTING_DURATION, "20ms", 20},
				 {SETTING_DURATION, "20 ms", 20},
				 {SETTING_DURATION, "2s", 2000},
				 {SETTING_DURATION, "5min", 300000},
				 {SETTING_DURATION, "1h", 3600000},
				 {SETTING_DURATION, "0s", 0},
				 {SETTING_DURATION, "0", 0},
				 {SETTING_DURATION, "5", -1},
				 {SETTING_DURATION, "5m", -1},
				 {SETTING_DURATION, "5S", -1},
				 {SETTING_DURATION, "1.5s", -1},
				 {SETTING_DURATION, "-1s", -1},
				 {SETTING_DURATION, "5sec", -1},
				 {SETTING_DURATION, "5s ", -1},
				 {SETTING_DURATION, "s", -1},
				 {SETTING_DURATION, "", -1},
				 {SETTING_DURATION, "9223372036854775807s", -1},
				 {SETTING_SIZE, "65536", 65536},
				 {SETTING_SIZE, "64kB", 65536},
				 {SETTING_SIZE, "100B", 100},
				 {SETTING_SIZE, "2 MB", 2097152},
				 {SETTING_SIZE, "2GB", -1},
				 {SETTING_SIZE, "64KB", -1},
				 {SETTING_SIZE, "64k", -1},
				 {SETTING_COUNT, "10", 10},
				 {SETTING_COUNT, "007", 7},
				 {SETTING_COUNT, "10kB", -1},
				 {SETTING_COUNT, "0x10", -1},
				 {SETTING_COUNT, "+1", -1},
				 {SETTING_COUNT, "99999999999999999999", -1}};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t value = -2;

		if (units_read(cases[i].type, cases[i].text, &value) !=
			(cases[i].value >= 0))
			fail_msg("case %zu: \"%s\"", i, cases[i].text);
		if (cases[i].value >= 0)
			assert_true(value == cases[i].value);
	}
}

static void
errors_name_file_and_line(void **state UNUSED)
{
	assert_fails(BASE "listen_prot = 1\n", 3, "unknown key \"listen_prot\"");
	assert_fails("\n\n" BASE "writers = 1\n#\nwriters = 2\n", 7,
				 "writers stands in line 5 already");
	assert_fails(BASE "nonsense\n", 3, "no \"key = value\"");
	assert_fails(BASE "= 5\n", 3, "no \"key = value\"");
	assert_fails(BASE "list en = 5\n", 3, "no \"key = value\"");
	assert_fails(BASE "Writers = 5\n", 3, "unknown key \"Writers\"");
	assert_fails(BASE "idle_timeout = 5", 3,
				 "bad value \"5\" for idle_timeout: "
				 "must be a whole number with unit ms, s, min or h");
	assert_fails(BASE "message_max_bytes = 64KB", 3,
				 "bad value \"64KB\" for "
				 "message_max_bytes: must be a whole number with unit B, kB or "
				 "MB");
	assert_fails(BASE "writers = many", 3,
				 "bad value \"many\" for writers: "
				 "must be a whole number");
	assert_fails(BASE "writers =", 3,
				 "bad value \"\" for writers: must be a "
				 "whole number");
	assert_fails(BASE "writers = 0", 3,
				 "bad value \"0\" for writers: must lie "
				 "between 1 and 64");
	assert_fails(BASE "listen_port = 65536", 3,
				 "bad value \"65536\" for "
				 "listen_port: must lie between 0 and 65535");
	assert_fails(BASE "idle_timeout = 25h", 3,
				 "bad value \"25h\" for "
				 "idle_timeout: must lie between 100ms and 24h");
	assert_fails(BASE "message_max_bytes = 17MB", 3,
				 "bad value \"17MB\" for "
				 "message_max_bytes: must lie between 1kB and 16MB");
	assert_fails(BASE "log_level = loud", 3,
				 "bad value \"loud\" for "
				 "log_level: must be debug, info, warn or error");
	assert_fails(BASE "environment = \"x", 3,
				 "value of environment is not "
				 "quoted rightly");
	assert_fails(BASE "environment = \"x\\", 3,
				 "value of environment is not "
				 "quoted rightly");
	assert_fails(BASE "environment = \"x\"y", 3,
				 "value of environment is not "
				 "quoted rightly");
	assert_fails(BASE "environment = \"x\"#y", 3,
				 "value of environment is not quoted rightly");
	assert_fails(BASE "environment = \"x\" y", 3,
				 "value of environment is not "
				 "quoted rightly");
	assert_fails(BASE "environment = 12345678901234567890123456789012345678901"
					  "234567890123456789012345",
				 3,
				 "value of environment is longer "
				 "than 64 bytes");
}

static void
refuses_nul_bytes(void **state UNUSED)
{
	static const char text[] = BASE "writers = 1\0\n";

	write_file(conf_path, text, sizeof(text) - 1);
	assert_false(config_load(&config, conf_path, NULL, error, sizeof(error)));
	assert_non_null(strstr(error, ":3: NUL byte"));
}

static void
refuses_files_it_cannot_read(void **state UNUSED)
{
	char *big = calloc(1, FILE_MAX_BYTES + 2);

	assert_non_null(big);
	assert_false(config_load(&config, "/nonexistent/relay.conf", NULL, error,
							 sizeof(error)));
	assert_string_equal(error,
						"could not open file \"/nonexistent/relay.conf\""
						": No such file or directory");
	assert_false(config_load(&config, directory, NULL, error, sizeof(error)));
	assert_non_null(strstr(error, "Is a directory"));

	memset(big, '\n', FILE_MAX_BYTES + 1);
	memcpy(big, BASE, strlen(BASE));
	write_file(conf_path, big, FILE_MAX_BYTES);
	assert_true(config_load(&config, conf_path, NULL, error, sizeof(error)));
	config_release(&config);
	write_file(conf_path, big, FILE_MAX_BYTES + 1);
	assert_false(config_load(&config, conf_path, NULL, error, sizeof(error)));
	assert_non_null(strstr(error, "is longer than 65536 bytes"));
	free(big);
}

/* Half a password is worse than no start. */
static void
secrets_are_not_guessed_at(void **state UNUSED)
{
	assert_fails("database = dbname=x # main\njwt_secret = " SECRET "\n", 1,
				 "a # after a blank in database: put the value in double "
				 "quotes");
	assert_fails("database = dbname=x\njwt_secret = abc #def\n", 2,
				 "a # after a blank in jwt_secret: put the value in double "
				 "quotes");
}

/* No error may repeat a secret, not even a bad one. */
static void
errors_show_no_secret(void **state UNUSED)
{
	char text[5000] = "database = \"verysecret\njwt_secret = verysecret #x\n";

	assert_false(load_text(text, NULL));
	assert_null(strstr(error, "verysecret"));
	assert_false(load_text("jwt_secret = verysecret #x\n", NULL));
	assert_null(strstr(error, "verysecret"));

	strcpy(text, "database = ");
	memset(text + 11, 'p', 4097);
	text[11 + 4097] = '\0';
	assert_false(load_text(text, NULL));
	assert_non_null(strstr(error, "longer than 4096"));
	assert_null(strstr(error, "ppp"));
}

static void
requires_database_and_secret(void **state UNUSED)
{
	assert_fails("jwt_secret = " SECRET "\n", 0,
				 "database is required: set it in the file or by the "
				 "environment");
	assert_fails("database = dbname=x\n", 0,
				 "a key is required: set jwt_secret, jwt_secret_file, "
				 "jwt_pem_files or jwt_jwks_file, "
				 "or MIRUSYNC_JWT_SECRET");
	assert_fails("database = dbname=x\njwt_secret = \"\"\n", 0,
				 "a key is required: set jwt_secret, jwt_secret_file, "
				 "jwt_pem_files or jwt_jwks_file, "
				 "or MIRUSYNC_JWT_SECRET");
	assert_fails(BASE "listen_address =\n", 0,
				 "listen_address and listen_socket are both empty: set one of "
				 "them");
}

static void
queue_must_hold_a_message(void **state UNUSED)
{
	assert_fails(BASE "session_queue_max_bytes = 32kB\n", 0,
				 "session_queue_max_bytes must not be below message_max_bytes: "
				 "such a message could never be sent on");
	assert_loads(BASE "session_queue_max_bytes = 32kB\n"
					  "message_max_bytes = 32kB\n",
				 NULL);
}

static void
environment_overrides_the_file(void **state UNUSED)
{
	char *envp[] = {"PATH=/bin",
					"MIRUSYNC_WRITERS=7",
					"MIRUSYNC_IDLE_TIMEOUT=1min",
					"MIRUSYNC_STATIC_DIR=",
					"MIRUSYNC_DATABASE=a=b # c \"d\"",
					"MIRUSYNCWRITERS=9",
					"OTHER_MIRUSYNC_WRITERS=9",
					NULL};

	assert_loads(BASE "writers = 3\nstatic_dir = /srv\n", envp);
	assert_int_equal(config.writers, 7);
	assert_int_equal(config.idle_timeout_ms, 60000);
	assert_string_equal(config.static_dir, "");

	/* taken literally: a shell has quoted it already */
	assert_string_equal(config.database, "a=b # c \"d\"");
}

static void
environment_alone_suffices(void **state UNUSED)
{
	char *envp[] = {"MIRUSYNC_DATABASE=dbname=x", "MIRUSYNC_JWT_SECRET=" SECRET,
					"MIRUSYNC_LISTEN_PORT=0", NULL};

	assert_true(config_load(&config, NULL, envp, error, sizeof(error)));
	assert_int_equal(config.listen_port, 0);
	assert_string_equal(config.jwt_secret, SECRET);
}

static void
environment_errors_name_the_variable(void **state UNUSED)
{
	char *bad[] = {"MIRUSYNC_WRITERS=none", NULL};
	char *empty[] = {"MIRUSYNC_IDLE_TIMEOUT=", NULL};

	assert_false(load_text(BASE, bad));
	assert_string_equal(error,
						"MIRUSYNC_WRITERS: bad value \"none\" for "
						"writers: must be a whole number");
	assert_false(load_text(BASE, empty));
	assert_non_null(strstr(error, "MIRUSYNC_IDLE_TIMEOUT: bad value \"\""));
}

/* Orchestrators put their own variables there, by the name of a service. */
static void
foreign_variables_are_no_error(void **state UNUSED)
{
	char *envp[] = {"MIRUSYNC_RELAY_SERVICE_HOST=10.0.0.1",
					"MIRUSYNC_writers=9",
					"MIRUSYNC_=9",
					"MIRUSYNC_WRITERS",
					"MIRUSYNC_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
					"XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX=9",
					NULL};

	log_set_level("error");
	assert_loads(BASE, envp);
	assert_int_equal(config.writers, 2);
}

static void
reads_the_secret_file(void **state UNUSED)
{
	static const struct
	{
		const char *text;
		const char *secret;
	} cases[] = {{SECRET, SECRET},
				 {SECRET "\n", SECRET},
				 {SECRET "\r\n", SECRET},
				 {SECRET "\n\n", SECRET "\n"},
				 {" " SECRET " # x", " " SECRET " # x"}};
	char text[256];
	size_t i;

	snprintf(text, sizeof(text), "database = x\njwt_secret_file = %s\n",
			 secret_path);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		write_file(secret_path, cases[i].text, strlen(cases[i].text));
		assert_loads(text, NULL);
		assert_string_equal(config.jwt_secret, cases[i].secret);
		assert_string_equal(config.jwt_secret_file, secret_path);
	}
}

static void
refuses_bad_secret_files(void **state UNUSED)
{
	char text[256];
	char wanted[256];
	char *big = malloc(5000);

	assert_non_null(big);
	snprintf(text, sizeof(text), "database = x\njwt_secret_file = %s\n",
			 secret_path);

	write_file(secret_path, "\n", 1);
	snprintf(wanted, sizeof(wanted), "%s: the secret is empty", secret_path);
	assert_fails(text, 0, wanted);

	write_file(secret_path, "a\0b", 3);
	snprintf(wanted, sizeof(wanted), "%s: the secret has a NUL byte",
			 secret_path);
	assert_fails(text, 0, wanted);

	memset(big, 'x', 5000);
	write_file(secret_path, big, 4097);
	assert_false(load_text(text, NULL));
	assert_non_null(strstr(error, "longer than 4096 bytes"));
	write_file(secret_path, big, 5000);
	assert_false(load_text(text, NULL));
	free(big);

	unlink(secret_path);
	snprintf(wanted, sizeof(wanted),
			 "could not open file \"%s\": No such file "
			 "or directory",
			 secret_path);
	assert_fails(text, 0, wanted);
}

/* One of the two, and the environment's replaces the file's. */
static void
one_secret_only(void **state UNUSED)
{
	char by_value[] = "MIRUSYNC_JWT_SECRET=fedcba9876543210fedcba9876543210";
	char by_file[96];
	char text[256];
	char *value_env[] = {by_value, NULL};
	char *file_env[] = {by_file, NULL};

	write_file(secret_path, SECRET, strlen(SECRET));
	snprintf(by_file, sizeof(by_file), "MIRUSYNC_JWT_SECRET_FILE=%s",
			 secret_path);
	snprintf(text, sizeof(text),
			 "database = x\njwt_secret = abc\n"
			 "jwt_secret_file = %s\n",
			 secret_path);
	assert_fails(text, 0,
				 "jwt_secret and jwt_secret_file are both set: give "
				 "one of them");

	snprintf(text, sizeof(text), "database = x\njwt_secret_file = %s\n",
			 secret_path);
	assert_loads(text, value_env);
	assert_string_equal(config.jwt_secret, "fedcba9876543210fedcba9876543210");
	assert_string_equal(config.jwt_secret_file, "");

	assert_loads("database = x\njwt_secret = fedcba9876543210\n", file_env);
	assert_string_equal(config.jwt_secret, SECRET);
}

/* A short secret is a weakness, which the operator is told, but no fault. */
static void
short_secret_is_a_warning(void **state UNUSED)
{
	log_set_level("error");
	assert_loads("database = x\njwt_secret = short\n", NULL);
	assert_string_equal(config.jwt_secret, "short");
}

static void
release_is_safe_twice(void **state UNUSED)
{
	assert_loads(BASE, NULL);
	config_release(&config);
	assert_null(config.jwt_secret);
	config_release(&config);
}

static void
small_error_buffers_are_respected(void **state UNUSED)
{
	char *small = malloc(10);

	assert_non_null(small);
	assert_false(
		config_load(&config, "/nonexistent/relay.conf", NULL, small, 10));
	assert_int_equal(strlen(small), 9);
	free(small);
}

/* --help shows each key, and no default that the file would not take. */
static void
help_names_every_key(void **state UNUSED)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int i;

	assert_non_null(out);
	config_help(out);
	fclose(out);
	for (i = 0; i < SETTING_TOTAL; i++)
		assert_non_null(strstr(text, config_settings[i].name));
	assert_non_null(strstr(text, "idle_timeout = 5min  (100ms to 24h)\n"));
	assert_non_null(strstr(text, "database  (text, required)\n"));
	assert_non_null(strstr(text, "listen_port = 8787  (0 to 65535)\n"));
	free(text);
}

/* number_of reads any number of a Config; texts count as 0. */
static int64_t
number_of(Config *from, const Setting *setting)
{
	void *field = field_of(from, setting);

	switch (setting->type)
	{
		case SETTING_COUNT:
			return *(int *) field;
		case SETTING_DURATION:
			return *(int64_t *) field;
		case SETTING_SIZE:
			return (int64_t) * (size_t *) field;
		default:
			return 0;
	}
}

/*
 * The example file loads as it is, holds every key, and what it shows in
 * comments are the defaults.
 */
static void
example_shows_every_default(void **state UNUSED)
{
	char *envp[] = {"MIRUSYNC_JWT_SECRET=" SECRET, NULL};
	char text[16384];
	char *pos;
	FILE *file = fopen("../../relay/mirusync-relay.conf.example", "r");
	Config defaults;
	size_t len;
	int i;

	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	assert_true(len < sizeof(text) - 1);
	text[len] = '\0';
	assert_loads(text, envp);
	assert_loads(BASE, NULL);
	defaults = config;
	memset(&config, 0, sizeof(config));

	/* `#key = value` without a blank is a setting in a comment */
	for (pos = text; (pos = strstr(pos, "\n#")) != NULL; pos++)
	{
		if (pos[2] >= 'a' && pos[2] <= 'z')
			pos[1] = ' ';
	}
	assert_loads(text, envp);
	for (i = 0; i < SETTING_TOTAL; i++)
	{
		char key[NAME_MAX_BYTES + 8];

		snprintf(key, sizeof(key), "\n %s =", config_settings[i].name);
		if (strstr(text, key) == NULL)
		{
			snprintf(key, sizeof(key), "\n%s =", config_settings[i].name);
			if (strstr(text, key) == NULL)
				fail_msg("%s is not in the example", config_settings[i].name);
		}
		assert_true(number_of(&config, &config_settings[i]) ==
					number_of(&defaults, &config_settings[i]));
	}
	assert_string_equal(config.listen_address, defaults.listen_address);
	assert_string_equal(config.environment, defaults.environment);
	assert_string_equal(config.log_level, defaults.log_level);
	assert_string_equal(config.static_dir, defaults.static_dir);
	config_release(&defaults);
}

/* Lists are checked before anything depends on them. */
static void
checks_lists(void **state UNUSED)
{
	assert_fails(BASE "jwt_algorithms = HS256 none\n", 0,
				 "bad word \"none\" in jwt_algorithms: known are HS256 HS384 "
				 "HS512 RS256 PS256 ES256 EdDSA");
	assert_fails(BASE "jwt_algorithms = HS256,RS256\n", 0,
				 "bad word \"HS256,RS256\" in jwt_algorithms: known are HS256 "
				 "HS384 HS512 RS256 PS256 ES256 EdDSA");
	assert_fails(BASE "token_sources = cookie\n", 0,
				 "bad word \"cookie\" in token_sources: known are header "
				 "message ticket query");
	assert_loads(BASE "token_sources =  header   ticket \n", NULL);
	assert_loads("database = x\njwt_pem_files = /a /b\n", NULL);
	assert_string_equal(config.jwt_secret, "");
	assert_loads("database = x\njwt_jwks_file = /a\n", NULL);
}

static void
checks_how_it_is_reached(void **state UNUSED)
{
	assert_fails(BASE "trusted_proxies = 10.0.0.0/8 example.org\n", 0,
				 "trusted_proxies: \"example.org\" is no address range");
	assert_fails(BASE "listen_socket_mode = 0888\n", 0,
				 "listen_socket_mode must be octal, such as 0660");
	assert_fails(BASE "tls_key_file = /k\n", 0,
				 "tls_certificate_file and tls_key_file belong together: set "
				 "both or none");
	assert_fails(BASE "tls_min_version = 1.1\n", 0,
				 "tls_min_version must be 1.2 or 1.3");
	assert_fails(BASE "log_format = xml\n", 0,
				 "log_format must be text or json");
	assert_loads(BASE "listen_address =\nlisten_socket = /s\n", NULL);
}

static void
takes_what_may_be_taken(void **state UNUSED)
{
	static const char *const names[] = {"idle_timeout",
										"log_level",
										"session_bytes_per_second",
										"tls_key_file",
										"writers",
										NULL};
	Config running;

	assert_loads(BASE "tls_key_file = /a\ntls_certificate_file = /a\n", NULL);
	running = config;
	memset(&config, 0, sizeof(config));
	assert_loads(BASE "idle_timeout = 7s\nlog_level = warn\n"
					  "readers = 7\nwriters = 7\n"
					  "session_bytes_per_second = 7kB\n"
					  "environment = other\n",
				 NULL);
	log_set_level("error");
	config_take(&running, &config, names, true);
	assert_int_equal(running.idle_timeout_ms, 7000);
	assert_int_equal(running.session_bytes_per_second, 7 * 1024);
	assert_int_equal(running.writers, 7);
	assert_string_equal(running.log_level, "warn");
	assert_int_equal(running.readers, 2);
	assert_string_equal(running.environment, "production");
	assert_string_equal(running.tls_key_file, "/a");
	config_take(&running, &config, names, false);
	assert_string_equal(running.tls_key_file, "");
	config_release(&running);
}

int
main(void)
{
#define CONFIG_TEST(f) cmocka_unit_test_teardown(f, tear_down)
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(table_is_sorted_and_whole),
		CONFIG_TEST(checks_how_it_is_reached),
		CONFIG_TEST(takes_what_may_be_taken),
		CONFIG_TEST(fields_do_not_overlap),
		CONFIG_TEST(defaults_are_as_documented),
		CONFIG_TEST(reads_the_syntax_of_files),
		CONFIG_TEST(reads_units),
		CONFIG_TEST(errors_name_file_and_line),
		CONFIG_TEST(refuses_nul_bytes),
		CONFIG_TEST(refuses_files_it_cannot_read),
		CONFIG_TEST(secrets_are_not_guessed_at),
		CONFIG_TEST(errors_show_no_secret),
		CONFIG_TEST(requires_database_and_secret),
		CONFIG_TEST(queue_must_hold_a_message),
		CONFIG_TEST(environment_overrides_the_file),
		CONFIG_TEST(environment_alone_suffices),
		CONFIG_TEST(environment_errors_name_the_variable),
		CONFIG_TEST(foreign_variables_are_no_error),
		CONFIG_TEST(reads_the_secret_file),
		CONFIG_TEST(refuses_bad_secret_files),
		CONFIG_TEST(one_secret_only),
		CONFIG_TEST(short_secret_is_a_warning),
		CONFIG_TEST(release_is_safe_twice),
		CONFIG_TEST(small_error_buffers_are_respected),
		CONFIG_TEST(help_names_every_key),
		CONFIG_TEST(example_shows_every_default),
		CONFIG_TEST(checks_lists),
	};

	return cmocka_run_group_tests_name("config", tests, set_up_group,
									   tear_down_group);
}
