/*
 * jwks.c
 *		A JSON Web Key Set (RFC 7517), read into keys.
 *
 * What a set says of other uses is skipped, as the RFC asks, because providers
 * publish encryption keys in the same place.  What is broken is an error: a
 * key that is malformed, or that holds a private part.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#include "alloc.h"
#include "base64url.h"
#include "json.h"

#define COORDINATE_BYTES 32 /* of a point on P-256; of an Ed25519 key */
#define NUMBER_BYTES	 (RSA_BITS_MAX / 8)

/* The members of one key that we look at. */
typedef enum Field
{
	FIELD_KTY,
	FIELD_KID,
	FIELD_USE,
	FIELD_ALG,
	FIELD_KEY_OPS,
	FIELD_CRV,
	FIELD_K,
	FIELD_N,
	FIELD_E,
	FIELD_X,
	FIELD_Y,
	FIELD_D,
	FIELD_COUNT
} Field;

static const char *const field_names[FIELD_COUNT] = {"kty", "kid",	   "use",
													 "alg", "key_ops", "crv",
													 "k",	"n",	   "e",
													 "x",	"y",	   "d"};

typedef struct Jwk
{
	bool has[FIELD_COUNT];
	JsonMember members[FIELD_COUNT];
	char kid[KID_MAX + 1];
	unsigned int algorithms; /* that its alg allows */
} Jwk;

/* A value of bytes, decoded. */
typedef struct Bytes
{
	unsigned char data[SECRET_MAX];
	size_t len;
} Bytes;

static const char *
read_fields(Jwk *jwk, JsonSpan text)
{
	JsonCursor cursor;
	JsonMember member;

	json_open(&cursor, text.text, text.len);
	while (json_next(&cursor, &member))
		for (int i = 0; i < FIELD_COUNT; i++)
		{
			if (!json_equals(member.key, field_names[i]))
				continue;
			if (jwk->has[i])
				return "duplicate member of a key";
			if (member.type != (i == FIELD_KEY_OPS ? JSON_ARRAY : JSON_STRING))
				return "member of a key is of the wrong type";
			jwk->has[i] = true;
			jwk->members[i] = member;
		}
	return NULL;
}

static bool
field_is(const Jwk *jwk, Field field, const char *text)
{
	return jwk->has[field] && json_equals(jwk->members[field].value, text);
}

static bool
has_verify(const Jwk *jwk)
{
	JsonCursor cursor;
	JsonMember element;
	JsonSpan ops = jwk->members[FIELD_KEY_OPS].value;
	bool found = false;

	json_open_array(&cursor, ops.text, ops.len);
	while (json_next_element(&cursor, &element))
		if (element.type == JSON_STRING && json_equals(element.value, "verify"))
			found = true;
	return found;
}

/* Whether it is there to verify tokens in a way that we know. */
static bool
is_for_us(Jwk *jwk)
{
	char name[16];
	int algorithm;

	jwk->algorithms = ALG_ALL;
	if (jwk->has[FIELD_USE] && !field_is(jwk, FIELD_USE, "sig"))
		return false;
	if (jwk->has[FIELD_KEY_OPS] && !has_verify(jwk))
		return false;
	if (!jwk->has[FIELD_ALG])
		return true;
	if (!json_unescape(jwk->members[FIELD_ALG].value, name, sizeof(name), NULL))
		return false;
	algorithm = algorithm_by_name(name);
	if (algorithm < 0)
		return false;
	jwk->algorithms = ALG_BIT(algorithm);
	return true;
}

/* read_bytes decodes a field; false if it is missing, bad or too long. */
static bool
read_bytes(const Jwk *jwk, Field field, size_t max, Bytes *bytes)
{
	JsonSpan span = jwk->members[field].value;

	return jwk->has[field] && !jwk->members[field].value_escaped &&
		base64url_decode(span.text, span.len, bytes->data, max, &bytes->len) &&
		bytes->len > 0;
}

/* make_key builds a public key of the parameters; NULL if they are no key. */
static EVP_PKEY *
make_key(const char *type, OSSL_PARAM_BLD *builder)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (params == NULL || context == NULL)
		abort();
	if (EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(params);
	ERR_clear_error();
	return key;
}

static EVP_PKEY *
rsa_key(const Jwk *jwk)
{
	static Bytes n;
	static Bytes e;
	OSSL_PARAM_BLD *builder;
	BIGNUM *modulus;
	BIGNUM *exponent;
	EVP_PKEY *key;

	if (!read_bytes(jwk, FIELD_N, NUMBER_BYTES, &n) ||
		!read_bytes(jwk, FIELD_E, 8, &e))
		return NULL;
	builder = OSSL_PARAM_BLD_new();
	modulus = BN_bin2bn(n.data, (int) n.len, NULL);
	exponent = BN_bin2bn(e.data, (int) e.len, NULL);
	if (builder == NULL || modulus == NULL || exponent == NULL ||
		!OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) ||
		!OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
		abort();
	key = make_key("RSA", builder);
	OSSL_PARAM_BLD_free(builder);
	BN_free(modulus);
	BN_free(exponent);
	return key;
}

static EVP_PKEY *
p256_key(const Jwk *jwk)
{
	static Bytes x;
	static Bytes y;
	unsigned char point[1 + 2 * COORDINATE_BYTES] = {0x04}; /* uncompressed */
	OSSL_PARAM_BLD *builder;
	EVP_PKEY *key;

	if (!read_bytes(jwk, FIELD_X, COORDINATE_BYTES, &x) ||
		!read_bytes(jwk, FIELD_Y, COORDINATE_BYTES, &y) ||
		x.len != COORDINATE_BYTES || y.len != COORDINATE_BYTES)
		return NULL;
	memcpy(point + 1, x.data, COORDINATE_BYTES);
	memcpy(point + 1 + COORDINATE_BYTES, y.data, COORDINATE_BYTES);
	builder = OSSL_PARAM_BLD_new();
	if (builder == NULL ||
		!OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
										 SN_X9_62_prime256v1, 0) ||
		!OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY,
										  point, sizeof(point)))
		abort();
	key = make_key("EC", builder);
	OSSL_PARAM_BLD_free(builder);
	return key;
}

static EVP_PKEY *
ed25519_key(const Jwk *jwk)
{
	static Bytes x;

	if (!read_bytes(jwk, FIELD_X, COORDINATE_BYTES, &x) ||
		x.len != COORDINATE_BYTES)
		return NULL;
	return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x.data, x.len);
}

static const char *
add_secret(KeySet *set, const Jwk *jwk, const char *kid)
{
	static Bytes secret;
	const char *reason;

	if (!read_bytes(jwk, FIELD_K, sizeof(secret.data), &secret))
		return "oct key without a good k";
	reason = keyset_add_secret(set, kid, secret.data, secret.len,
							   jwk->algorithms);
	OPENSSL_cleanse(&secret, sizeof(secret));
	return reason;
}

/* add_key adds one key, or counts it as skipped. */
static const char *
add_key(KeySet *set, Jwk *jwk, int *skipped)
{
	const char *kid = jwk->has[FIELD_KID] ? jwk->kid : NULL;
	EVP_PKEY *key;

	if (!jwk->has[FIELD_KTY])
		return "key without kty";
	if (kid != NULL &&
		!json_unescape(jwk->members[FIELD_KID].value, jwk->kid,
					   sizeof(jwk->kid), NULL))
		return "kid is too long or no text";
	if (!is_for_us(jwk))
		return (*skipped)++, NULL;
	if (field_is(jwk, FIELD_KTY, "oct"))
		return add_secret(set, jwk, kid);
	if (jwk->has[FIELD_D])
		return "a private key does not belong here";
	if (field_is(jwk, FIELD_KTY, "RSA"))
		key = rsa_key(jwk);
	else if (field_is(jwk, FIELD_KTY, "EC") &&
			 field_is(jwk, FIELD_CRV, "P-256"))
		key = p256_key(jwk);
	else if (field_is(jwk, FIELD_KTY, "OKP") &&
			 field_is(jwk, FIELD_CRV, "Ed25519"))
		key = ed25519_key(jwk);
	else
		return (*skipped)++, NULL;
	if (key == NULL)
		return "key is malformed";
	return keyset_add_public(set, kid, key, jwk->algorithms);
}

static const char *
read_keys(KeySet *set, JsonSpan array, int *skipped)
{
	JsonCursor cursor;
	JsonMember element;
	const char *reason = NULL;

	json_open_array(&cursor, array.text, array.len);
	while (reason == NULL && json_next_element(&cursor, &element))
	{
		Jwk jwk = {0};

		if (element.type != JSON_OBJECT)
			return "a key is no object";
		reason = read_fields(&jwk, element.value);
		if (reason == NULL)
			reason = add_key(set, &jwk, skipped);
	}
	return reason;
}

const char *
jwks_read(KeySet *set, const char *text, size_t len, int *skipped)
{
	JsonCursor cursor;
	JsonMember member;
	JsonMember keys = {0};
	bool found = false;

	*skipped = 0;
	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
	{
		if (!json_equals(member.key, "keys"))
			continue;
		if (found)
			return "keys stands twice";
		found = true;
		keys = member;
	}
	if (cursor.result != JSON_OK)
		return "no JSON";
	if (!found || keys.type != JSON_ARRAY)
		return "no list of keys";
	return read_keys(set, keys.value, skipped);
}
