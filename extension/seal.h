/*
 * seal.h
 *     Digests of changes, and the links between them: the chain's arithmetic.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_SEAL_H
#define MIRUSYNC_SEAL_H

#define MIRU_HASH_SIZE 32
#define MIRU_SALT_SIZE 16

/* miru_seal_salt makes a salt. */
extern void miru_seal_salt(uint8 salt[MIRU_SALT_SIZE]);

/*
 * miru_seal_payload computes the digest of what a change says, given the
 * columns of its row: of old and new, salted, or what was kept of it when they
 * were erased.  False if the row has neither, or both.
 */
extern bool miru_seal_payload(const Datum *values, const bool *nulls,
							  uint8 digest[MIRU_HASH_SIZE]);

/* miru_seal_change computes the digest of a change; false as above. */
extern bool miru_seal_change(const Datum *values, const bool *nulls,
							 uint8 digest[MIRU_HASH_SIZE]);

/* miru_seal_link computes the hash of a change from that of the one before. */
extern void
miru_seal_link(const uint8 before[MIRU_HASH_SIZE],
			   const uint8 digest[MIRU_HASH_SIZE], uint8 hash[MIRU_HASH_SIZE]);

/*
 * miru_seal_bytes returns a bytea; miru_seal_get reads one of a digest's size
 * and is false if it is of another.
 */
extern Datum miru_seal_bytes(const uint8 *bytes, size_t length);
extern bool miru_seal_get(Datum bytes, uint8 hash[MIRU_HASH_SIZE]);

#endif /* MIRUSYNC_SEAL_H */
