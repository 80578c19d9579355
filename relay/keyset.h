/*
 * keyset.h
 *		The keys that tokens may be signed with, each tied to what it can do.
 *
 * A key has a kind, and the kind decides which algorithms it can verify; the
 * header of a token only chooses among them.  So no public key is ever used as
 * a secret, whatever a token says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_KEYSET_H
#define MIRUSYNC_KEYSET_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "status.h"

#define KEYS_MAX	  32   /* in a set: a token may be tried with each */
#define KID_MAX		  255  /* bytes */
#define SECRET_MAX	  4096 /* bytes */
#define SECRET_GOOD	  32   /* RFC 7518: as long as the hash */
#define SIGNATURE_MAX 1024 /* bytes: RSA with 8192 bits */
#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  8192

typedef enum Algorithm
{
	ALG_HS256,
	ALG_HS384,
	ALG_HS512,
	ALG_RS256,
	ALG_PS256,
	ALG_ES256,
	ALG_EDDSA, /* with Ed25519 only */
	ALG_COUNT
} Algorithm;

/* A set of algorithms has a bit for each. */
#define ALG_BIT(alg) (1U << (alg))
#define ALG_ALL		 (ALG_BIT(ALG_COUNT) - 1)

typedef struct Key
{
	unsigned int algorithms; /* that it verifies; never of two families */
	bool has_kid;			 /* without one it fits every token */
	char kid[KID_MAX + 1];
	unsigned char *secret; /* of HMAC; owned, wiped */
	size_t secret_len;
	EVP_PKEY *public_key; /* of the other families; owned */
} Key;

typedef struct KeySet
{
	Key keys[KEYS_MAX];
	int count;
} KeySet;

/* What a signature stands over, and what its token says about it. */
typedef struct Signature
{
	Algorithm algorithm;
	const char *kid; /* NULL = the token names none */
	const char *text;
	size_t text_len;
	const unsigned char *bytes;
	size_t len;
} Signature;

/* algorithm_by_name returns -1 for what is not known here, "none" included. */
extern int algorithm_by_name(const char *name);
extern const char *algorithm_name(Algorithm algorithm);

/* keyset_new makes an empty set; keyset_free wipes it.  Safe on NULL. */
extern KeySet *keyset_new(void);
extern void keyset_free(KeySet *set);

/*
 * The functions that add return NULL, or a static reason and no key.  "kid"
 * may be NULL; "algorithms" narrows down what the kind of key allows.
 * keyset_add_public takes the key over in either case.
 */
extern const char *
keyset_add_secret(KeySet *set, const char *kid, const void *secret, size_t len,
				  unsigned int algorithms) MUST_CHECK;
extern const char *
keyset_add_public(KeySet *set, const char *kid, EVP_PKEY *public_key,
				  unsigned int algorithms) MUST_CHECK;

/* keyset_add_pem adds all public keys and certificates of a PEM text. */
extern const char *
keyset_add_pem(KeySet *set, const char *text, size_t len) MUST_CHECK;

/* keyset_algorithms says what the set can verify at all. */
extern unsigned int keyset_algorithms(const KeySet *set);

/* keyset_verify returns NULL if a key of the set made the signature. */
extern const char *
keyset_verify(const KeySet *set, const Signature *signature) MUST_CHECK;

#endif
