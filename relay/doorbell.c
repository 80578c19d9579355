/*
 * doorbell.c
 *		The names that feeds have in NOTIFY payloads.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "doorbell.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES (DOORBELL_HASH_LEN / 2)

static const char digits[] = "0123456789abcdef";

void
doorbell_hash(const unsigned char *key, size_t key_len, const char *feed,
			  size_t feed_len, char hex[17])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char hash[EVP_MAX_MD_SIZE];
	int i;

	/* without SHA-256 no relay can wake another: better not to run */
	if (context == NULL || !EVP_DigestInit_ex(context, EVP_sha256(), NULL) ||
		!EVP_DigestUpdate(context, key, key_len) ||
		!EVP_DigestUpdate(context, feed, feed_len) ||
		!EVP_DigestFinal_ex(context, hash, NULL))
		abort();
	EVP_MD_CTX_free(context);

	for (i = 0; i < HASH_BYTES; i++)
	{
		hex[2 * i] = digits[hash[i] >> 4];
		hex[2 * i + 1] = digits[hash[i] & 0x0F];
	}
	hex[DOORBELL_HASH_LEN] = '\0';
}

/* digit_value gives the value of a lower case hex digit, or -1. */
static int
digit_value(char c)
{
	const char *found = c != '\0' ? strchr(digits, c) : NULL;

	return found != NULL ? (int) (found - digits) : -1;
}

int
doorbell_shard(const char hex[17], int shards)
{
	int high = digit_value(hex[0]);
	int low = high < 0 ? -1 : digit_value(hex[1]);

	if (low < 0 || shards < 1)
		return -1;
	return (high * 16 + low) % shards;
}

bool
doorbell_names_all(const char *payload)
{
	return strcmp(payload, "*") == 0;
}

bool
doorbell_access(const char *payload, char hex[17])
{
	if (payload[0] != '!' || strlen(payload) != 1 + DOORBELL_HASH_LEN ||
		strspn(payload + 1, digits) != DOORBELL_HASH_LEN)
		return false;
	memcpy(hex, payload + 1, DOORBELL_HASH_LEN + 1);
	return true;
}

bool
doorbell_next(const char **payload, char hex[17])
{
	while (**payload != '\0')
	{
		const char *word = *payload + strspn(*payload, " ");
		size_t len = strcspn(word, " ");

		*payload = word + len;
		if (len == DOORBELL_HASH_LEN &&
			strspn(word, digits) >= DOORBELL_HASH_LEN)
		{
			memcpy(hex, word, DOORBELL_HASH_LEN);
			hex[DOORBELL_HASH_LEN] = '\0';
			return true;
		}
	}
	return false;
}
