/*
 * fuzz_jwt.c
 *		Any bytes as a token, and any bytes as the header and claims of a token
 *		that is signed rightly, since the signature would keep the fuzzer out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwt.c"

#define SECRET "0123456789abcdef0123456789abcdef"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const JwtPolicy lax = {.algorithms = ALG_ALL,
							  .leeway_s = 30,
							  .issuers = "",
							  .audiences = "",
							  .required = "",
							  .user_claim = "sub",
							  .device_claim = "device"};
static const JwtPolicy strict = {.algorithms = ALG_BIT(ALG_HS256),
								 .issuers = "a b",
								 .audiences = "x y",
								 .required = "iat jti",
								 .user_claim = "sub",
								 .device_claim = ""};

static void
check_parts(const JwtPolicy *policy, const char *text, size_t len,
			int64_t now_s)
{
	Part part;
	Claims claims;
	Signature signature = {.kid = NULL};
	char kid[KID_MAX + 1];

	if (len > sizeof(part.text))
		return;
	memset(&claims, 0, sizeof(claims));
	memcpy(part.text, text, len);
	part.len = len;
	if (check_claims(&part, policy, now_s, &claims) == NULL &&
		(claims.user[0] == '\0' || claims.exp + policy->leeway_s <= now_s ||
		 memchr(claims.user, '\0', sizeof(claims.user)) == NULL ||
		 memchr(claims.device, '\0', sizeof(claims.device)) == NULL))
		abort();
	if (check_header(&part, policy, &signature, kid) == NULL &&
		(!(policy->algorithms & ALG_BIT(signature.algorithm)) ||
		 (signature.kid != NULL && strlen(kid) > KID_MAX)))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	static KeySet *keys;
	Claims claims;

	if (keys == NULL)
	{
		keys = keyset_new();
		if (keyset_add_secret(keys, NULL, SECRET, strlen(SECRET), ALG_ALL) !=
			NULL)
			abort();
	}

	/* nobody guesses 32 bytes */
	if (jwt_verify(keys, &lax, text, size, 1795413600, &claims) == NULL)
		abort();
	check_parts(&lax, text, size, 1795413600);
	check_parts(&lax, text, size, 0);
	check_parts(&strict, text, size, 0);
	return 0;
}
