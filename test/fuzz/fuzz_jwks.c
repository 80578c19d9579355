/*
 * fuzz_jwks.c
 *		Any bytes as a key set, as a PEM file, and as the message that brings a
 *		token.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwks.c"

#include "auth_message.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever was read, a key is of one family and has what it needs. */
static void
check_keys(const KeySet *set)
{
	for (int i = 0; i < set->count; i++)
	{
		const Key *key = &set->keys[i];
		unsigned int hmac = ALG_BIT(ALG_HS256) | ALG_BIT(ALG_HS384) |
			ALG_BIT(ALG_HS512);

		if (key->algorithms == 0 ||
			(key->secret != NULL) == (key->public_key != NULL) ||
			(key->secret != NULL ? key->algorithms & ~hmac
								 : key->algorithms & hmac))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	KeySet *set = keyset_new();
	JsonSpan token;
	int skipped;

	(void) !jwks_read(set, text, size, &skipped);
	check_keys(set);
	(void) !keyset_add_pem(set, text, size);
	check_keys(set);
	keyset_free(set);

	if (auth_message_read(text, size, &token) == AUTH_MESSAGE_AUTH &&
		(token.len == 0 || token.text < text ||
		 token.text + token.len > text + size ||
		 !auth_message_maybe(text, size)))
		abort();
	return 0;
}
