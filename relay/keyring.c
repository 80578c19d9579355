/*
 * keyring.c
 *		The keys in use: where they come from, and when they change.
 *
 * Owns the set of keys and what is known of their files.
 *
 * A provider rolls its keys over, and something beside the relay fetches the
 * new set into the file.  So the files are looked at every few seconds, and at
 * once on SIGHUP.  A file may be caught half written: whatever is wrong, the
 * keys in use stay, and the next change is another chance.  A set replaces the
 * other as a whole.
 *
 * The files are small and local; reading them is the one thing that the loop
 * waits for after the start.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "keyring.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "alloc.h"
#include "jwks.h"
#include "log.h"
#include "loop.h"
#include "words.h"

#define FILES_MAX	   34 /* one JWKS, one secret, and the PEM files */
#define FILE_MAX_BYTES 65536

typedef enum FileKind
{
	FILE_SECRET,
	FILE_JWKS,
	FILE_PEM
} FileKind;

/* What tells one state of a file from another. */
typedef struct KeyFile
{
	FileKind kind;
	char *path;
	struct stat seen; /* zeroed if it was not there */
} KeyFile;

static const Config *config;
static JwtPolicy policy;
static KeySet *keys;
static KeyFile files[FILES_MAX];
static int file_count;
static int64_t next_check_ms;

static Status
add_file(FileKind kind, const char *path, size_t len)
{
	if (len == 0)
		return STATUS_OK;
	if (file_count == FILES_MAX)
	{
		log_error("too many files of keys");
		return STATUS_FAILED;
	}
	files[file_count].kind = kind;
	files[file_count].path = strndup(path, len);
	if (files[file_count].path == NULL)
		abort();
	file_count++;
	return STATUS_OK;
}

/* ---- reading ---- */

/* read_file gives the text, which the caller wipes and frees, or NULL. */
static char *
read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "re");
	char *text;

	if (file == NULL)
	{
		log_error("keys could not be read file=%s reason=\"%s\"", path,
				  strerror(errno));
		return NULL;
	}
	text = alloc_zero(FILE_MAX_BYTES + 1);
	setvbuf(file, NULL, _IONBF, 0);
	*len = fread(text, 1, FILE_MAX_BYTES + 1, file);
	fclose(file);
	if (*len <= FILE_MAX_BYTES)
		return text;
	log_error("keys could not be read file=%s reason=\"longer than %d bytes\"",
			  path, FILE_MAX_BYTES);
	explicit_bzero(text, FILE_MAX_BYTES + 1);
	free(text);
	return NULL;
}

/* One line end at the end does not count, as in config.c. */
static const char *
read_secret(KeySet *set, const char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (memchr(text, '\0', len) != NULL)
		return "the secret has a NUL byte";
	return keyset_add_secret(set, NULL, text, len, ALG_ALL);
}

static Status
read_keys(KeySet *set, const KeyFile *file)
{
	size_t len;
	int skipped = 0;
	const char *reason;
	char *text = read_file(file->path, &len);

	if (text == NULL)
		return STATUS_FAILED;
	if (file->kind == FILE_SECRET)
		reason = read_secret(set, text, len);
	else if (file->kind == FILE_PEM)
		reason = keyset_add_pem(set, text, len);
	else
		reason = jwks_read(set, text, len, &skipped);
	explicit_bzero(text, FILE_MAX_BYTES + 1);
	free(text);
	if (reason != NULL)
	{
		log_error("keys are no good file=%s reason=\"%s\"", file->path, reason);
		return STATUS_FAILED;
	}
	if (skipped > 0)
		log_info("keys for other uses skipped file=%s keys=%d", file->path,
				 skipped);
	return STATUS_OK;
}

static void
look_at(const KeyFile *file, struct stat *seen)
{
	if (stat(file->path, seen) != 0)
		memset(seen, 0, sizeof(*seen));
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
		a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* load makes a whole new set, or NULL (already logged). */
static KeySet *
load(void)
{
	KeySet *set = keyset_new();
	bool good = true;

	if (config->jwt_secret_file[0] == '\0' && config->jwt_secret[0] != '\0')
		good = keyset_add_secret(set, NULL, config->jwt_secret,
								 strlen(config->jwt_secret), ALG_ALL) == NULL;
	for (int i = 0; i < file_count; i++)
	{
		/* before it is read: what comes in between shows the next time */
		look_at(&files[i], &files[i].seen);
		if (read_keys(set, &files[i]) != STATUS_OK)
			good = false;
	}
	if (good && !(keyset_algorithms(set) & policy.algorithms))
	{
		log_error("no key fits any of jwt_algorithms keys=%d algorithms=\"%s\"",
				  set->count, config->jwt_algorithms);
		good = false;
	}
	if (good)
		return set;
	keyset_free(set);
	return NULL;
}

void
keyring_reload(void)
{
	KeySet *set = load();

	if (set == NULL)
	{
		log_error("keys were not replaced: those in use stay keys=%d",
				  keys->count);
		return;
	}
	keyset_free(keys);
	keys = set;
	log_info("keys replaced keys=%d", keys->count);
}

void
keyring_tick(int64_t now_ms)
{
	struct stat seen;

	/* They were read when the relay started. */
	if (next_check_ms == 0)
		next_check_ms = now_ms + config->keys_check_interval_ms;
	if (now_ms < next_check_ms)
		return;
	next_check_ms = now_ms + config->keys_check_interval_ms;
	for (int i = 0; i < file_count; i++)
	{
		look_at(&files[i], &seen);
		if (!is_same(&seen, &files[i].seen))
		{
			keyring_reload();
			return;
		}
	}
}

/* ---- start and stop ---- */

static void
read_policy(void)
{
	const char *list = config->jwt_algorithms;
	const char *word;
	char name[16];
	size_t len;

	policy = (JwtPolicy){.leeway_s = config->jwt_leeway_ms / 1000,
						 .lifetime_max_s = config->jwt_lifetime_max_ms / 1000,
						 .issuers = config->jwt_issuer,
						 .audiences = config->jwt_audience,
						 .required = config->jwt_required_claims,
						 .user_claim = config->jwt_user_claim,
						 .device_claim = config->jwt_device_claim};
	while ((word = words_next(&list, &len)) != NULL)
	{
		snprintf(name, sizeof(name), "%.*s", (int) len, word);
		policy.algorithms |= ALG_BIT(algorithm_by_name(name));
	}
}

Status
keyring_init(const Config *config_)
{
	const char *list = config_->jwt_pem_files;
	const char *word;
	size_t len;

	config = config_;
	read_policy();
	if (add_file(FILE_SECRET, config->jwt_secret_file,
				 strlen(config->jwt_secret_file)) != STATUS_OK ||
		add_file(FILE_JWKS, config->jwt_jwks_file,
				 strlen(config->jwt_jwks_file)) != STATUS_OK)
		return STATUS_FAILED;
	while ((word = words_next(&list, &len)) != NULL)
		if (add_file(FILE_PEM, word, len) != STATUS_OK)
			return STATUS_FAILED;
	keys = load();
	return keys != NULL ? STATUS_OK : STATUS_FAILED;
}

void
keyring_release(void)
{
	for (int i = 0; i < file_count; i++)
		free(files[i].path);
	file_count = 0;
	keyset_free(keys);
	keys = NULL;
}

/* ---- verifying ---- */

bool
keyring_verify(const char *token, size_t len, Claims *claims)
{
	static LogLimits limits;
	const char *reason = jwt_verify(keys, &policy, token, len,
									loop_wall_ms() / 1000, claims);

	if (reason != NULL)
		log_limited(log_limit_of(&limits, reason), LOG_LEVEL_INFO,
					"token refused reason=\"%s\"", reason);
	return reason == NULL;
}

int64_t
keyring_leeway_ms(void)
{
	return policy.leeway_s * 1000;
}
