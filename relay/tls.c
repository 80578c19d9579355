/*
 * tls.c
 *		The certificate that the relay shows, and how TLS is spoken.
 *
 * Owns no connection: the transport makes them from the context that it was
 * given.  One that exists keeps the certificate it began with, so a new one
 * disturbs no session.
 *
 * Both files are read and matched in full before anything is put in force: a
 * certificate that was replaced a moment before its key is a complaint in the
 * log and another look some seconds later, not an outage.
 *
 * Memory: an idle connection gives its record buffers back
 * (SSL_MODE_RELEASE_BUFFERS).  There is no session cache and there are no
 * tickets: a session lasts for hours, so a shorter handshake gains little,
 * while a cache holds memory for each and the key of tickets would have to be
 * shared and rotated among relays.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "log.h"
#include "loop.h"
#include "metrics.h"

#define LOOK_MS 2000 /* between two looks at the files */

typedef struct Loaded
{
	X509 *certificate;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
} Loaded;

/* What tells one state of a file from another. */
typedef struct Stamp
{
	ino_t inode;
	off_t size;
	struct timespec changed;
} Stamp;

static SSL_CTX *context;
static const Config *config;
static Stamp seen[2]; /* certificate, key, when last looked at */
static int64_t next_look_ms;

bool
tls_is_wanted(const Config *config_)
{
	return config_->tls_certificate_file[0] != '\0';
}

static void
look(const Config *from, Stamp stamps[2])
{
	const char *paths[2] = {from->tls_certificate_file, from->tls_key_file};

	memset(stamps, 0, 2 * sizeof(Stamp));
	for (int i = 0; i < 2; i++)
	{
		struct stat info;

		if (stat(paths[i], &info) != 0)
			continue;
		stamps[i].inode = info.st_ino;
		stamps[i].size = info.st_size;
		stamps[i].changed = info.st_mtim;
	}
}

static void
unload(Loaded *loaded)
{
	X509_free(loaded->certificate);
	sk_X509_pop_free(loaded->chain, X509_free);
	EVP_PKEY_free(loaded->key);
	memset(loaded, 0, sizeof(*loaded));
}

static Status
complain(const char *path, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	log_error("certificate is not taken file=%s reason=\"%s\" detail=\"%s\"",
			  path, what, reason != NULL ? reason : "none");
	ERR_clear_error();
	return STATUS_FAILED;
}

/* No passphrase is asked for: there is nobody to answer. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void) buf;
	(void) size;
	(void) writing;
	(void) arg;
	return 0;
}

static Status
read_chain(const char *path, Loaded *loaded)
{
	FILE *file = fopen(path, "re");
	X509 *next;

	if (file == NULL)
		return complain(path, strerror(errno));
	loaded->certificate = PEM_read_X509_AUX(file, NULL, no_passphrase, NULL);
	loaded->chain = sk_X509_new_null();
	while (loaded->certificate != NULL && loaded->chain != NULL &&
		   (next = PEM_read_X509(file, NULL, no_passphrase, NULL)) != NULL)
		sk_X509_push(loaded->chain, next);
	fclose(file);
	if (loaded->certificate == NULL)
		return complain(path, "no certificate in PEM");
	/* The end of the file is told as an error, and so is half a certificate. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return complain(path, "a broken certificate in PEM");
	ERR_clear_error();
	return STATUS_OK;
}

static Status
load(const Config *from, Loaded *loaded)
{
	FILE *file;

	memset(loaded, 0, sizeof(*loaded));
	ERR_clear_error();
	if (read_chain(from->tls_certificate_file, loaded) != STATUS_OK)
		return STATUS_FAILED;
	file = fopen(from->tls_key_file, "re");
	if (file == NULL)
		return complain(from->tls_key_file, strerror(errno));
	loaded->key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
	fclose(file);
	if (loaded->key == NULL)
		return complain(from->tls_key_file, "no private key in PEM");
	if (X509_check_private_key(loaded->certificate, loaded->key) != 1)
		return complain(from->tls_key_file, "key of another certificate");
	return STATUS_OK;
}

static void
log_loaded(const X509 *certificate)
{
	struct tm end = {0};
	char subject[200];
	char value[LOG_VALUE_MAX];
	char until[32] = "?";
	int64_t expiry = 0;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1)
	{
		expiry = timegm(&end);
		strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", &end);
	}
	X509_NAME_oneline(X509_get_subject_name(certificate), subject,
					  sizeof(subject));
	metrics_set(METRIC_TLS_EXPIRY, expiry > 0 ? (uint64_t) expiry : 0);
	log_info("certificate loaded subject=%s until=%s",
			 log_value(value, sizeof(value), subject), until);
	if (expiry * 1000 < loop_wall_ms())
		log_warn("certificate has expired until=%s", until);
}

Status
tls_check(const Config *from)
{
	Loaded loaded;
	Status status = load(from, &loaded);

	unload(&loaded);
	return status;
}

Status
tls_reload(void)
{
	Loaded loaded;
	Status status;

	if (context == NULL)
		return STATUS_OK;
	/* Looked at before they are read: a change in between is seen next time. */
	look(config, seen);
	status = load(config, &loaded);
	if (status == STATUS_OK &&
		SSL_CTX_use_cert_and_key(context, loaded.certificate, loaded.key,
								 loaded.chain, 1) != 1)
		status = complain(config->tls_certificate_file, "refused by OpenSSL");
	metrics_count(status == STATUS_OK ? METRIC_TLS_LOADS_OK
									  : METRIC_TLS_LOADS_FAILED);
	if (status == STATUS_OK)
		log_loaded(loaded.certificate);
	unload(&loaded);
	return status;
}

Status
tls_setup(SSL_CTX *ctx, const Config *config_)
{
	bool only_13 = strcmp(config_->tls_min_version, "1.3") == 0;

	context = ctx;
	config = config_;
	SSL_CTX_set_min_proto_version(ctx,
								  only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	/* TLS 1.2: forward secrecy and authenticated encryption, nothing else. */
	if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") != 1)
		return complain(config->tls_certificate_file, "no cipher");
	SSL_CTX_set_options(ctx,
						SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
							SSL_OP_NO_COMPRESSION |
							SSL_OP_CIPHER_SERVER_PREFERENCE |
							SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return tls_reload();
}

void
tls_release(void)
{
	context = NULL;
}

void
tls_tick(int64_t now_ms)
{
	Stamp now[2];

	if (context == NULL || now_ms < next_look_ms)
		return;
	next_look_ms = now_ms + LOOK_MS;
	look(config, now);
	if (memcmp(now, seen, sizeof(now)) != 0)
		(void) tls_reload();
}
