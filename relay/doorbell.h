/*
 * doorbell.h
 *		The names that feeds have in NOTIFY payloads.
 *
 * Any database role may LISTEN, so a payload must not tell who is active: it
 * carries keyed hashes of feeds, 16 hex digits each, separated by blanks.  The
 * extension computes the same hash, so both sides change together.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DOORBELL_H
#define MIRUSYNC_DOORBELL_H

#include <stdbool.h>
#include <stddef.h>

#define DOORBELL_HASH_LEN	16	/* hex digits, without the terminator */
#define DOORBELL_SHARDS_MAX 256 /* the shard is one byte of the hash */

/*
 * doorbell_hash writes the first 8 bytes of SHA-256(key || feed) in lower case
 * hex and a terminator.  The feed is its UTF-8 text.  Aborts if OpenSSL has
 * no SHA-256.
 */
extern void doorbell_hash(const unsigned char *key, size_t key_len,
						  const char *feed, size_t feed_len, char hex[17]);

/*
 * doorbell_shard gives the number of the channel on which the feed rings, 0
 * .. shards-1, or -1 if hex does not begin with two lower case hex digits or
 * shards < 1.
 */
extern int doorbell_shard(const char hex[17], int shards);

/*
 * doorbell_next copies the next hash of a payload to "hex" and moves *payload
 * behind it; returns false at the end.  Words that are no hash are skipped:
 * anybody may NOTIFY.
 */
extern bool doorbell_next(const char **payload, char hex[17]);

/*
 * doorbell_names_all says whether the payload is "*": more feeds have moved than
 * the one who rings could keep.
 */
extern bool doorbell_names_all(const char *payload);

/*
 * doorbell_access says whether the payload is a ring about who may have
 * sessions: an exclamation mark and the hash of a user, which it copies.
 */
extern bool doorbell_access(const char *payload, char hex[17]);

#endif
