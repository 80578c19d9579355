/*
 * ticket.c
 *		A short-lived, one-time stand-in for a token, for URLs.
 *
 * A ticket carries the claims that matter, sealed (AES-256-GCM) under a key
 * that is derived from the secret that all relays of a database get from it.
 * So making one needs no database, any relay can open it, whoever sees it
 * learns nothing, and a stranger's guess costs one decryption and no query.
 * That it works once is the database's business: mirusync.relay_redeem.
 *
 * Form: salt (16 bytes), sealed text, tag (16 bytes), in base64url.  Each
 * ticket has a key of its own, made of the salt, so that the nonce may be zero
 * and no number of tickets wears the secret out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ticket.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64url.h"

#define SALT_BYTES 16
#define TAG_BYTES  16
#define KEY_BYTES  32

/* Changes with the form below, so that no relay misreads another's. */
static const char label[] = "mirusync ticket 1";

/* What is sealed; relays of one database run on machines of one kind. */
typedef struct Content
{
	int64_t expires_ms;
	int64_t exp;
	int64_t iat;
	unsigned char has_iat;
	unsigned char user_len;
	unsigned char device_len;
	unsigned char reserved[5]; /* zero */
	char names[2 * 255];	   /* user, device */
} Content;

#define CONTENT_HEAD offsetof(Content, names)
#define SEALED_MAX	 (SALT_BYTES + sizeof(Content) + TAG_BYTES)

static unsigned char secret[KEY_BYTES];
static bool has_secret;

static void
hmac(const unsigned char *key, size_t key_len, const void *text, size_t len,
	 unsigned char out[KEY_BYTES])
{
	size_t out_len;

	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, text, len,
				  out, KEY_BYTES, &out_len) == NULL)
		abort();
}

void
ticket_set_key(const unsigned char *key, size_t len)
{
	hmac(key, len, label, strlen(label), secret);
	has_secret = true;
}

void
ticket_release(void)
{
	OPENSSL_cleanse(secret, sizeof(secret));
	has_secret = false;
}

/* crypt seals or opens "len" bytes; false only if what is opened is forged. */
static bool
crypt(bool sealing, const unsigned char *salt, const unsigned char *in,
	  size_t len, unsigned char *out, unsigned char tag[TAG_BYTES])
{
	static const unsigned char nonce[12];
	unsigned char key[KEY_BYTES];
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int out_len;
	bool good;

	hmac(secret, sizeof(secret), salt, SALT_BYTES, key);
	if (context == NULL ||
		EVP_CipherInit_ex2(context, EVP_aes_256_gcm(), key, nonce, sealing,
						   NULL) != 1 ||
		EVP_CipherUpdate(context, out, &out_len, in, (int) len) != 1)
		abort();
	if (!sealing &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) !=
			1)
		abort();
	good = EVP_CipherFinal_ex(context, out + out_len, &out_len) == 1;
	if (sealing &&
		(!good ||
		 EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) !=
			 1))
		abort();
	EVP_CIPHER_CTX_free(context);
	OPENSSL_cleanse(key, sizeof(key));
	return good;
}

bool
ticket_seal(const Claims *claims, int64_t expires_ms, char out[TICKET_TEXT_MAX])
{
	unsigned char sealed[SEALED_MAX];
	size_t user_len = strlen(claims->user);
	size_t device_len = strlen(claims->device);
	size_t len = CONTENT_HEAD + user_len + device_len;
	Content content = {.expires_ms = expires_ms,
					   .exp = claims->exp,
					   .iat = claims->iat,
					   .has_iat = claims->has_iat,
					   .user_len = (unsigned char) user_len,
					   .device_len = (unsigned char) device_len};

	_Static_assert(BASE64URL_LEN(SEALED_MAX) < TICKET_TEXT_MAX,
				   "a ticket fits");
	if (!has_secret)
		return false;
	memcpy(content.names, claims->user, user_len);
	memcpy(content.names + user_len, claims->device, device_len);
	if (RAND_bytes(sealed, SALT_BYTES) != 1)
		abort();
	(void) crypt(true, sealed, (unsigned char *) &content, len,
				 sealed + SALT_BYTES, sealed + SALT_BYTES + len);
	base64url_encode(sealed, SALT_BYTES + len + TAG_BYTES, out);
	return true;
}

static void
take_hash(const char *text, char hex[65])
{
	unsigned char hash[32];
	size_t len;

	if (EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text), hash, &len) != 1)
		abort();
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

bool
ticket_open(const char *text, int64_t now_ms, Ticket *out)
{
	unsigned char sealed[SEALED_MAX];
	Content content = {0};
	size_t sealed_len;
	size_t len;

	memset(out, 0, sizeof(*out));
	if (!has_secret ||
		!base64url_decode(text, strlen(text), sealed, sizeof(sealed),
						  &sealed_len) ||
		sealed_len < SALT_BYTES + CONTENT_HEAD + TAG_BYTES)
		return false;
	len = sealed_len - SALT_BYTES - TAG_BYTES;
	if (!crypt(false, sealed, sealed + SALT_BYTES, len,
			   (unsigned char *) &content, sealed + SALT_BYTES + len) ||
		len != CONTENT_HEAD + content.user_len + content.device_len ||
		content.expires_ms <= now_ms)
		return false;
	out->expires_ms = content.expires_ms;
	out->claims.exp = content.exp;
	out->claims.iat = content.iat;
	out->claims.has_iat = content.has_iat;
	memcpy(out->claims.user, content.names, content.user_len);
	memcpy(out->claims.device, content.names + content.user_len,
		   content.device_len);
	take_hash(text, out->hash);
	return true;
}
