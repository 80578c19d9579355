/*
 * test_keyset.c
 *		Every algorithm with keys made here and with the RFCs' own, and keys
 *		that must not do what they are asked to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include "keyset.c"

#include "base64url.h"
#include "jwks.h"

#define TEXT "header.claims"

static KeySet *set;
static unsigned char signed_bytes[SIGNATURE_MAX];
static size_t signed_len;

static int
set_up(void **state UNUSED)
{
	set = keyset_new();
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	keyset_free(set);
	return 0;
}

/* ---- making keys and signatures ---- */

static EVP_PKEY *
new_rsa(size_t bits)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);

	assert_non_null(key);
	return key;
}

static EVP_PKEY *
new_ec(const char *curve)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve);

	assert_non_null(key);
	return key;
}

/* pem_of gives the public half as PEM, in a static buffer. */
static const char *
pem_of(EVP_PKEY *key)
{
	static char text[4096];
	BIO *bio = BIO_new(BIO_s_mem());
	int len;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	len = BIO_read(bio, text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	BIO_free(bio);
	return text;
}

/* sign makes "signed_bytes"; salt -1 is the hash's length. */
static void
sign(EVP_PKEY *key, Algorithm algorithm, const char *digest, int salt)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *context;

	assert_int_equal(EVP_DigestSignInit_ex(md, &context, digest, NULL, NULL,
										   key, NULL),
					 1);
	if (algorithm == ALG_PS256)
	{
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context,
													  RSA_PKCS1_PSS_PADDING),
						 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt), 1);
	}
	signed_len = sizeof(signed_bytes);
	assert_int_equal(EVP_DigestSign(md, signed_bytes, &signed_len,
									(const unsigned char *) TEXT, strlen(TEXT)),
					 1);
	EVP_MD_CTX_free(md);
	if (algorithm == ALG_ES256)
	{
		const unsigned char *der = signed_bytes;
		ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long) signed_len);

		assert_non_null(pair);
		assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), signed_bytes, 32),
						 32);
		assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), signed_bytes + 32,
									  32),
						 32);
		signed_len = 64;
		ECDSA_SIG_free(pair);
	}
}

static const char *
verify(Algorithm algorithm, const char *kid)
{
	char *copy = exact_copy((const char *) signed_bytes, signed_len);
	Signature signature = {.algorithm = algorithm,
						   .kid = kid,
						   .text = TEXT,
						   .text_len = strlen(TEXT),
						   .bytes = (const unsigned char *) copy,
						   .len = signed_len};
	const char *reason = keyset_verify(set, &signature);

	free(copy);
	return reason;
}

static void
add_pem(EVP_PKEY *key)
{
	const char *pem = pem_of(key);

	assert_null(keyset_add_pem(set, pem, strlen(pem)));
}

/* No algorithm but the one that it was made with takes the signature. */
static void
only_verifies_as(Algorithm algorithm)
{
	for (int other = 0; other < ALG_COUNT; other++)
	{
		const char *reason = verify((Algorithm) other, NULL);

		if ((other == (int) algorithm) != (reason == NULL))
			fail_msg("%s as %s: %s", algorithm_name(algorithm),
					 algorithm_name((Algorithm) other),
					 reason ? reason : "passed");
	}

	/* nor with a byte changed, missing or too many */
	signed_bytes[0] ^= 1;
	assert_non_null(verify(algorithm, NULL));
	signed_bytes[0] ^= 1;
	signed_bytes[signed_len - 1] ^= 1;
	assert_non_null(verify(algorithm, NULL));
	signed_bytes[signed_len - 1] ^= 1;
	signed_len--;
	assert_non_null(verify(algorithm, NULL));
	signed_len += 2;
	signed_bytes[signed_len - 1] = 0;
	assert_non_null(verify(algorithm, NULL));
	signed_len--;
	assert_null(verify(algorithm, NULL));
}

/* ---- tests ---- */

static void
verifies_rsa(void **state UNUSED)
{
	EVP_PKEY *key = new_rsa(2048);
	EVP_PKEY *other = new_rsa(2048);

	add_pem(other);
	add_pem(key);
	sign(key, ALG_RS256, "SHA256", 0);
	only_verifies_as(ALG_RS256);
	sign(key, ALG_PS256, "SHA256", RSA_PSS_SALTLEN_DIGEST);
	only_verifies_as(ALG_PS256);

	/* another hash, or another salt than the hash's length */
	sign(key, ALG_RS256, "SHA512", 0);
	assert_string_equal(verify(ALG_RS256, NULL), "wrong signature");
	sign(key, ALG_PS256, "SHA256", 20);
	assert_string_equal(verify(ALG_PS256, NULL), "wrong signature");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void
verifies_p256(void **state UNUSED)
{
	EVP_PKEY *key = new_ec("P-256");

	add_pem(key);
	sign(key, ALG_ES256, "SHA256", 0);
	only_verifies_as(ALG_ES256);

	/* zeros verify nothing, whatever library once thought */
	memset(signed_bytes, 0, 64);
	assert_non_null(verify(ALG_ES256, NULL));
	EVP_PKEY_free(key);
}

static void
verifies_ed25519(void **state UNUSED)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	add_pem(key);
	sign(key, ALG_EDDSA, NULL, 0);
	only_verifies_as(ALG_EDDSA);
	EVP_PKEY_free(key);
}

static void
verifies_hmac(void **state UNUSED)
{
	static const char secret[] = "0123456789abcdef0123456789abcdef";
	static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};

	assert_null(keyset_add_secret(set, NULL, secret, 32, ALG_ALL));
	for (int i = 0; i < 3; i++)
	{
		assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, digests[i], NULL, secret,
								  32, (const unsigned char *) TEXT,
								  strlen(TEXT), signed_bytes,
								  sizeof(signed_bytes), &signed_len));
		only_verifies_as((Algorithm) (ALG_HS256 + i));
	}
}

/* The classic: a public key, which everybody has, as the secret of an HMAC. */
static void
never_takes_a_public_key_as_secret(void **state UNUSED)
{
	EVP_PKEY *key = new_rsa(2048);
	const char *pem = pem_of(key);

	add_pem(key);
	pem = pem_of(key);
	assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, pem,
							  strlen(pem), (const unsigned char *) TEXT,
							  strlen(TEXT), signed_bytes, sizeof(signed_bytes),
							  &signed_len));
	for (int algorithm = 0; algorithm < ALG_COUNT; algorithm++)
		assert_non_null(verify((Algorithm) algorithm, NULL));
	assert_string_equal(verify(ALG_HS256, NULL), "no key for it");
	EVP_PKEY_free(key);
}

static void
refuses_other_kinds_of_keys(void **state UNUSED)
{
	static const char *const curves[] = {"P-384", "P-521", "secp256k1"};
	EVP_PKEY *key;

	for (int i = 0; i < 3; i++)
	{
		const char *pem;

		key = new_ec(curves[i]);
		pem = pem_of(key);
		assert_string_equal(keyset_add_pem(set, pem, strlen(pem)),
							"key is of a kind, curve or size that is not used");
		EVP_PKEY_free(key);
	}
	key = new_rsa(1024);
	assert_string_equal(keyset_add_public(set, NULL, key, ALG_ALL),
						"key is of a kind, curve or size that is not used");
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	assert_string_equal(keyset_add_public(set, NULL, key, ALG_ALL),
						"key is of a kind, curve or size that is not used");
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_string_equal(keyset_add_public(set, NULL, key, ALG_BIT(ALG_ES256)),
						"key fits none of its algorithms");
	assert_string_equal(keyset_add_secret(set, NULL, "x", 1,
										  ALG_BIT(ALG_RS256)),
						"key fits none of its algorithms");
	assert_int_equal(set->count, 0);
}

/* certificate_of gives a certificate of the key, signed by itself, as PEM. */
static const char *
certificate_of(EVP_PKEY *key)
{
	static char text[4096];
	X509 *certificate = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int len;

	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), -3600);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	len = BIO_read(bio, text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	BIO_free(bio);
	X509_free(certificate);
	return text;
}

/* Of a certificate only the key counts: this one has expired. */
static void
reads_a_certificate(void **state UNUSED)
{
	EVP_PKEY *key = new_ec("P-256");
	const char *pem = certificate_of(key);

	assert_null(keyset_add_pem(set, pem, strlen(pem)));
	sign(key, ALG_ES256, "SHA256", 0);
	only_verifies_as(ALG_ES256);
	EVP_PKEY_free(key);
}

/* A key that is made for PSS does nothing else. */
static void
ties_pss_keys_to_pss(void **state UNUSED)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_keygen_init(context), 1);
	assert_int_equal(EVP_PKEY_keygen(context, &key), 1);
	EVP_PKEY_CTX_free(context);
	add_pem(key);
	assert_int_equal(keyset_algorithms(set), ALG_BIT(ALG_PS256));
	sign(key, ALG_PS256, "SHA256", RSA_PSS_SALTLEN_DIGEST);
	only_verifies_as(ALG_PS256);
	EVP_PKEY_free(key);
}

static void
reads_pem(void **state UNUSED)
{
	static const char private_key[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n"
									  "-----END PRIVATE KEY-----\n";
	static const char broken[] = "-----BEGIN PUBLIC KEY-----\nAAAA\n"
								 "-----END PUBLIC KEY-----\n";
	EVP_PKEY *first = new_ec("P-256");
	EVP_PKEY *second = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	char both[8192];

	strcpy(both, "a comment\n");
	strcat(both, pem_of(first));
	strcat(both, pem_of(second));
	assert_null(keyset_add_pem(set, both, strlen(both)));
	assert_int_equal(set->count, 2);
	assert_int_equal(keyset_algorithms(set),
					 ALG_BIT(ALG_ES256) | ALG_BIT(ALG_EDDSA));

	assert_string_equal(keyset_add_pem(set, "", 0), "no PEM block");
	assert_string_equal(keyset_add_pem(set, "x", 1), "no PEM block");
	assert_string_equal(keyset_add_pem(set, broken, strlen(broken)),
						"key is not readable");
	assert_string_equal(keyset_add_pem(set, private_key, strlen(private_key)),
						"a private key does not belong here");
	/* cut in the middle of the second key */
	assert_string_equal(keyset_add_pem(set, both, strlen(both) - 40),
						"PEM is not readable");
	EVP_PKEY_free(first);
	EVP_PKEY_free(second);
}

/* ---- JSON Web Key Sets ---- */

/* Keys of RFC 7515 (A.1, A.2, A.3) and RFC 8037 (A.2). */
#define JWK_OCT                                                                \
	"{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoq" \
	"Q-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define JWK_RSA_HEAD                                                           \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4q"  \
	"PCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ4"  \
	"7soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBE"  \
	"Ma2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWN"  \
	"moudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpo"
#define JWK_RSA_N	 JWK_RSA_HEAD "Q"
#define JWK_RSA_EVEN JWK_RSA_HEAD "g"
#define JWK_RSA                                                                \
	"{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":\"" JWK_RSA_N "\"}"
#define JWK_EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define JWK_EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define JWK_EC                                                                 \
	"{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"" JWK_EC_X        \
	"\",\"y\":\"" JWK_EC_Y "\"}"
#define JWK_OKP                                                                \
	"{\"kty\":\"OKP\",\"kid\":\"o\",\"crv\":\"Ed25519\","                      \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static const char *
read_jwks(const char *keys, int *skipped)
{
	char text[8192];
	char *copy;
	const char *reason;

	snprintf(text, sizeof(text), "{\"x\":[1],\"keys\":[%s]}", keys);
	copy = exact_copy(text, strlen(text));
	reason = jwks_read(set, copy, strlen(text), skipped);
	free(copy);
	return reason;
}

/* verify_jws verifies a published token with the keys that were read. */
static const char *
verify_jws(Algorithm algorithm, const char *kid, const char *jws)
{
	const char *dot = strrchr(jws, '.');
	Signature signature = {.algorithm = algorithm,
						   .kid = kid,
						   .text = jws,
						   .text_len = (size_t) (dot - jws),
						   .bytes = signed_bytes};

	assert_true(base64url_decode(dot + 1, strlen(dot + 1), signed_bytes,
								 sizeof(signed_bytes), &signature.len));
	return keyset_verify(set, &signature);
}

#define CLAIMS                                                                 \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"   \
	"NvbS9pc19yb290Ijp0cnVlfQ"
#define JWS_HS256                                                              \
	"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS "."                     \
	"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define JWS_RS256                                                              \
	"eyJhbGciOiJSUzI1NiJ9." CLAIMS "."                                         \
	"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4B" \
	"h-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZ" \
	"LgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d" \
	"O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6" \
	"LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define JWS_ES256                                                              \
	"eyJhbGciOiJFUzI1NiJ9." CLAIMS "."                                         \
	"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISl"           \
	"SApmWQxfKTUJqPP3-Kg6NU1Q"
#define JWS_EDDSA                                                              \
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                \
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5B"         \
	"hVsPt9g7sVvpAr_MuM0KAg"

static void
reads_the_keys_of_the_rfcs(void **state UNUSED)
{
	int skipped;

	assert_null(
		read_jwks(JWK_OCT "," JWK_RSA " , " JWK_EC "," JWK_OKP, &skipped));
	assert_int_equal(set->count, 4);
	assert_int_equal(skipped, 0);
	assert_null(verify_jws(ALG_HS256, "h", JWS_HS256));
	assert_null(verify_jws(ALG_HS256, NULL, JWS_HS256));
	assert_null(verify_jws(ALG_RS256, "r", JWS_RS256));
	assert_null(verify_jws(ALG_ES256, "e", JWS_ES256));
	assert_null(verify_jws(ALG_EDDSA, "o", JWS_EDDSA));
	assert_string_equal(verify_jws(ALG_EDDSA, "e", JWS_EDDSA), "no key for it");
	assert_string_equal(verify_jws(ALG_RS256, "x", JWS_RS256), "no key for it");
	assert_non_null(verify_jws(ALG_PS256, "r", JWS_RS256));
}

/* What a key says of its use counts. */
static void
honours_use_alg_and_key_ops(void **state UNUSED)
{
	static const char *const others[] =
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\",\"x\":\"AA\"}",
		 "{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\"}",
		 "{\"kty\":\"RSA\",\"alg\":\"RS512\"}",
		 "{\"kty\":\"RSA\",\"alg\":\"none\"}",
		 "{\"kty\":\"oct\",\"key_ops\":[\"sign\"],\"k\":\"AAAA\"}",
		 "{\"kty\":\"oct\",\"key_ops\":[],\"k\":\"AAAA\"}",
		 "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
		 "{\"kty\":\"EC\",\"crv\":\"secp256k1\"}",
		 "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
		 "{\"kty\":\"new\"}",
		 NULL};
	int skipped;

	for (int i = 0; others[i] != NULL; i++)
	{
		assert_null(read_jwks(others[i], &skipped));
		assert_int_equal(skipped, 1);
		assert_int_equal(set->count, 0);
	}

	/* RS256 said: not PS256, though the key could */
	assert_null(read_jwks("{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\","
						  "\"key_ops\":[\"x\",\"verify\"],\"e\":\"AQAB\","
						  "\"n\":\"" JWK_RSA_N "\"}",
						  &skipped));
	assert_int_equal(keyset_algorithms(set), ALG_BIT(ALG_RS256));
	assert_null(verify_jws(ALG_RS256, "any", JWS_RS256));
	/* an algorithm of another family: neither */
	assert_string_equal(read_jwks("{\"kty\":\"RSA\",\"alg\":\"HS256\","
								  "\"e\":\"AQAB\",\"n\":\"" JWK_RSA_N "\"}",
								  &skipped),
						"key fits none of its algorithms");
	assert_string_equal(read_jwks("{\"kty\":\"oct\",\"alg\":\"RS256\","
								  "\"k\":\"AAAA\"}",
								  &skipped),
						"key fits none of its algorithms");
}

static void
refuses_broken_sets(void **state UNUSED)
{
	static const char *const bad[] =
		{"1", "{}", "{\"kty\":1}", "{\"kty\":\"oct\"}",
		 "{\"kty\":\"oct\",\"k\":\"\"}", "{\"kty\":\"oct\",\"k\":\"AA==\"}",
		 "{\"kty\":\"oct\",\"k\":\"AB\"}",
		 "{\"kty\":\"oct\",\"kty\":\"oct\",\"k\":\"AAAA\"}",
		 "{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":7}",
		 "{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
		 "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}",
		 "{\"kty\":\"RSA\",\"d\":\"AA\",\"e\":\"AQAB\",\"n\":\"" JWK_RSA_N
		 "\"}",
		 /* an even modulus, an even exponent */
		 "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" JWK_RSA_EVEN "\"}",
		 "{\"kty\":\"RSA\",\"e\":\"AQAC\",\"n\":\"" JWK_RSA_N "\"}",
		 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
		 /* a point that is not on the curve, and one that is too short */
		 "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" JWK_EC_X
		 "\",\"y\":\"" JWK_EC_X "\"}",
		 "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"" JWK_EC_Y
		 "\"}",
		 NULL};
	static const char *const texts[] = {"",
										"{",
										"[]",
										"{}",
										"{\"keys\":{}}",
										"{\"keys\":[],\"keys\":[]}",
										"{\"keys\":[1,]}",
										"{\"keys\":[]}x",
										NULL};
	int skipped;

	for (int i = 0; bad[i] != NULL; i++)
	{
		if (read_jwks(bad[i], &skipped) == NULL)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(set->count, 0);
	}
	for (int i = 0; texts[i] != NULL; i++)
		assert_non_null(jwks_read(set, texts[i], strlen(texts[i]), &skipped));
	assert_null(jwks_read(set, "{\"keys\":[]}", 11, &skipped));
}

static void
bounds_the_number_of_keys(void **state UNUSED)
{
	for (int i = 0; i < KEYS_MAX; i++)
		assert_null(keyset_add_secret(set, NULL, "x", 1, ALG_ALL));
	assert_string_equal(keyset_add_secret(set, NULL, "x", 1, ALG_ALL),
						"too many keys");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(verifies_rsa),
		TEST(verifies_p256),
		TEST(verifies_ed25519),
		TEST(verifies_hmac),
		TEST(never_takes_a_public_key_as_secret),
		TEST(refuses_other_kinds_of_keys),
		TEST(reads_pem),
		TEST(reads_a_certificate),
		TEST(ties_pss_keys_to_pss),
		TEST(reads_the_keys_of_the_rfcs),
		TEST(honours_use_alg_and_key_ops),
		TEST(refuses_broken_sets),
		TEST(bounds_the_number_of_keys),
	};

	return cmocka_run_group_tests_name("keyset", tests, NULL, NULL);
}
