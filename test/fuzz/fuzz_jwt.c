/*
 * fuzz_jwt.c
 *		Any bytes as a token, and any bytes as the claims of a token that is
 *		signed rightly, since the signature would keep the fuzzer out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwt.c"

#define SECRET "0123456789abcdef0123456789abcdef"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_claims_part(const char *text, size_t len, int64_t now_s)
{
	Part part;
	Claims claims;

	if (len > sizeof(part.text))
		return;
	memset(&claims, 0, sizeof(claims));
	memcpy(part.text, text, len);
	part.len = len;
	if (check_claims(&part, now_s, &claims) == NULL &&
		(claims.sub[0] == '\0' || claims.exp <= now_s ||
		 memchr(claims.sub, '\0', sizeof(claims.sub)) == NULL))
		abort();
	(void) check_header(&part);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	JwtKey key;
	Claims claims;

	if (!jwt_key_init(&key, SECRET, strlen(SECRET)))
		abort();

	/* nobody guesses 32 bytes */
	if (jwt_verify(&key, text, size, 1795413600, &claims) == NULL)
		abort();
	check_claims_part(text, size, 1795413600);
	check_claims_part(text, size, 0);
	jwt_key_release(&key);
	return 0;
}
