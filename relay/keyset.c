/*
 * keyset.c
 *		The keys that tokens may be signed with, each tied to what it can do.
 *
 * Invariants: a key with a secret verifies HMAC only, one with a public key
 * never does; the algorithms of a key are those of its kind, and its kind is
 * read from the key (type, curve, size), never from a token.
 *
 * A token that names a key is verified with the keys of that name and with
 * those that have none; one that names none, with all of the right family.  A
 * name is compared and nothing else: it opens no file and reaches no database.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "keyset.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "alloc.h"

#define HMAC_ALGORITHMS                                                        \
	(ALG_BIT(ALG_HS256) | ALG_BIT(ALG_HS384) | ALG_BIT(ALG_HS512))
#define HALF_BYTES 32 /* of an ES256 signature: r, and s */

typedef struct AlgorithmInfo
{
	const char *name;
	const char *digest;
} AlgorithmInfo;

static const AlgorithmInfo infos[ALG_COUNT] = {
	[ALG_HS256] = {"HS256", "SHA256"}, [ALG_HS384] = {"HS384", "SHA384"},
	[ALG_HS512] = {"HS512", "SHA512"}, [ALG_RS256] = {"RS256", "SHA256"},
	[ALG_PS256] = {"PS256", "SHA256"}, [ALG_ES256] = {"ES256", "SHA256"},
	[ALG_EDDSA] = {"EdDSA", NULL}, /* hashes by itself */
};

int
algorithm_by_name(const char *name)
{
	for (int i = 0; i < ALG_COUNT; i++)
		if (strcmp(infos[i].name, name) == 0)
			return i;
	return -1;
}

const char *
algorithm_name(Algorithm algorithm)
{
	return infos[algorithm].name;
}

KeySet *
keyset_new(void)
{
	return alloc_zero(sizeof(KeySet));
}

void
keyset_free(KeySet *set)
{
	if (set == NULL)
		return;
	for (int i = 0; i < set->count; i++)
	{
		Key *key = &set->keys[i];

		if (key->secret != NULL)
			OPENSSL_cleanse(key->secret, key->secret_len);
		free(key->secret);
		EVP_PKEY_free(key->public_key);
	}
	free(set);
}

/* ---- adding ---- */

static const char *
add(KeySet *set, const char *kid, unsigned int algorithms, Key **key)
{
	if (set->count == KEYS_MAX)
		return "too many keys";
	if (kid != NULL && strlen(kid) > KID_MAX)
		return "kid is too long";
	if (algorithms == 0)
		return "key fits none of its algorithms";
	*key = &set->keys[set->count++];
	(*key)->algorithms = algorithms;
	(*key)->has_kid = kid != NULL;
	if (kid != NULL)
		memcpy((*key)->kid, kid, strlen(kid) + 1);
	return NULL;
}

const char *
keyset_add_secret(KeySet *set, const char *kid, const void *secret, size_t len,
				  unsigned int algorithms)
{
	const char *reason;
	Key *key;

	if (len == 0)
		return "secret is empty";
	if (len > SECRET_MAX)
		return "secret is too long";
	reason = add(set, kid, algorithms & HMAC_ALGORITHMS, &key);
	if (reason != NULL)
		return reason;
	key->secret = alloc_zero(len);
	key->secret_len = len;
	memcpy(key->secret, secret, len);
	return NULL;
}

static bool
is_p256(const EVP_PKEY *key)
{
	char group[64];
	size_t len;

	return EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
		strcmp(group, SN_X9_62_prime256v1) == 0;
}

/* What a public key can verify, by what it is; 0 = nothing that we speak. */
static unsigned int
algorithms_of(const EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key);
	bool good_size = bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;

	if (EVP_PKEY_is_a(key, "RSA"))
		return good_size ? ALG_BIT(ALG_RS256) | ALG_BIT(ALG_PS256) : 0;
	if (EVP_PKEY_is_a(key, "RSA-PSS"))
		return good_size ? ALG_BIT(ALG_PS256) : 0;
	if (EVP_PKEY_is_a(key, "EC"))
		return is_p256(key) ? ALG_BIT(ALG_ES256) : 0;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return ALG_BIT(ALG_EDDSA);
	return 0;
}

/* A point that is off its curve or an even modulus is none. */
static bool
is_sound(EVP_PKEY *key)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool sound;

	if (context == NULL)
		abort();
	sound = EVP_PKEY_public_check(context) == 1;
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	return sound;
}

const char *
keyset_add_public(KeySet *set, const char *kid, EVP_PKEY *public_key,
				  unsigned int algorithms)
{
	unsigned int able = algorithms_of(public_key);
	const char *reason;
	Key *key;

	if (able == 0)
		reason = "key is of a kind, curve or size that is not used";
	else if (!is_sound(public_key))
		reason = "key is malformed";
	else
		reason = add(set, kid, able & algorithms, &key);
	if (reason != NULL)
		EVP_PKEY_free(public_key);
	else
		key->public_key = public_key;
	return reason;
}

/* One block of a PEM text. */
static const char *
add_block(KeySet *set, const char *name, const unsigned char *der, long len)
{
	EVP_PKEY *key = NULL;

	if (strstr(name, "PRIVATE KEY") != NULL)
		return "a private key does not belong here";
	if (strcmp(name, PEM_STRING_PUBLIC) == 0)
		key = d2i_PUBKEY(NULL, &der, len);
	else if (strcmp(name, PEM_STRING_X509) == 0)
	{
		X509 *certificate = d2i_X509(NULL, &der, len);

		key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
		X509_free(certificate);
	}
	else
		return "neither PUBLIC KEY nor CERTIFICATE";
	if (key == NULL)
		return "key is not readable";
	return keyset_add_public(set, NULL, key, ALG_ALL);
}

const char *
keyset_add_pem(KeySet *set, const char *text, size_t len)
{
	BIO *bio = BIO_new_mem_buf(text, (int) len);
	const char *reason = NULL;
	int count = 0;
	char *name;
	char *header;
	unsigned char *der;
	long der_len;

	if (bio == NULL)
		abort();
	while (reason == NULL &&
		   PEM_read_bio(bio, &name, &header, &der, &der_len) == 1)
	{
		reason = add_block(set, name, der, der_len);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t) der_len);
		count++;
	}
	if (reason == NULL &&
		ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		reason = "PEM is not readable";
	if (reason == NULL && count == 0)
		reason = "no PEM block";
	BIO_free(bio);
	ERR_clear_error();
	return reason;
}

unsigned int
keyset_algorithms(const KeySet *set)
{
	unsigned int algorithms = 0;

	for (int i = 0; i < set->count; i++)
		algorithms |= set->keys[i].algorithms;
	return algorithms;
}

/* ---- verifying ---- */

static bool
verify_hmac(const Key *key, const Signature *signature)
{
	unsigned char ours[EVP_MAX_MD_SIZE];
	size_t len = 0;

	return EVP_Q_mac(NULL, "HMAC", NULL, infos[signature->algorithm].digest,
					 NULL, key->secret, key->secret_len,
					 (const unsigned char *) signature->text,
					 signature->text_len, ours, sizeof(ours), &len) != NULL &&
		len == signature->len &&
		CRYPTO_memcmp(ours, signature->bytes, len) == 0;
}

/*
 * ES256 signs with two numbers side by side, OpenSSL wants them in DER.
 * Returns the length in "der", which is large enough; 0 if it cannot be.
 */
static size_t
to_der(const Signature *signature, unsigned char der[80])
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r;
	BIGNUM *s;
	unsigned char *end = der;
	int len = 0;

	if (pair == NULL)
		abort();
	r = BN_bin2bn(signature->bytes, HALF_BYTES, NULL);
	s = BN_bin2bn(signature->bytes + HALF_BYTES, HALF_BYTES, NULL);
	if (r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1)
		abort();
	if (i2d_ECDSA_SIG(pair, NULL) <= 80)
		len = i2d_ECDSA_SIG(pair, &end);
	ECDSA_SIG_free(pair);
	return len > 0 ? (size_t) len : 0;
}

static bool
set_padding(EVP_PKEY_CTX *context, Algorithm algorithm)
{
	if (algorithm == ALG_RS256)
		return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
	if (algorithm == ALG_PS256)
		return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) ==
			1 &&
			EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, "SHA256", NULL) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) ==
			1;
	return true;
}

static bool
verify_public(const Key *key, const Signature *signature)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *context = NULL; /* belongs to md */
	const unsigned char *bytes = signature->bytes;
	size_t len = signature->len;
	unsigned char der[80];
	bool good;

	if (md == NULL)
		abort();
	if (signature->algorithm == ALG_ES256)
	{
		len = len == 2 * HALF_BYTES ? to_der(signature, der) : 0;
		bytes = der;
	}
	else if (signature->algorithm != ALG_EDDSA &&
			 len != (size_t) EVP_PKEY_get_size(key->public_key))
		len = 0;
	good = len > 0 &&
		EVP_DigestVerifyInit_ex(md, &context,
								infos[signature->algorithm].digest, NULL, NULL,
								key->public_key, NULL) == 1 &&
		set_padding(context, signature->algorithm) &&
		EVP_DigestVerify(md, bytes, len,
						 (const unsigned char *) signature->text,
						 signature->text_len) == 1;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return good;
}

static bool
fits(const Key *key, const Signature *signature)
{
	return (key->algorithms & ALG_BIT(signature->algorithm)) != 0 &&
		(!key->has_kid || signature->kid == NULL ||
		 strcmp(key->kid, signature->kid) == 0);
}

const char *
keyset_verify(const KeySet *set, const Signature *signature)
{
	bool tried = false;

	for (int i = 0; i < set->count; i++)
	{
		const Key *key = &set->keys[i];

		if (!fits(key, signature))
			continue;
		tried = true;
		if (key->secret != NULL ? verify_hmac(key, signature)
								: verify_public(key, signature))
			return NULL;
	}
	return tried ? "wrong signature" : "no key for it";
}
