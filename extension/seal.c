/*
 * seal.c
 *     Digests of changes, and the links between them: the chain's arithmetic.
 *
 *     payload = SHA-256(salt, canonical form of old and new)
 *     digest  = SHA-256(canonical form of the other columns, and payload)
 *     hash    = SHA-256(hash of the change before, digest)
 *
 * So old and new may be erased, and the salt with them, by whose lack nobody
 * can find out by trial what they were: payload stays, and the chain with it.
 * And a whole change may be trimmed: digest stays where others stand before
 * it.  docs/internals/chain.md has all of this in words, for others to check.
 *
 * Owns no table and reads none.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "canonical.h"
#include "change_log_table.h"
#include "common/cryptohash.h"
#include "fmgr.h"
#include "hlc.h"
#include "seal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* Form of a column in what is hashed. */
typedef enum Form
{
	TEXT,
	INTEGER,
	CLOCK,
	TIME, /* microseconds since 1970, UTC */
	XID,
	ROLE,
	JSON,
	PAYLOAD /* not a column: the payload's digest */
} Form;

/* What is hashed of a change, in the order of the names. */
static const struct
{
	const char *name;
	int column;
	Form form;
} members[] = {
	{"application", LOG_APPLICATION, TEXT},
	{"at", LOG_AT, TIME},
	{"base", LOG_BASE, INTEGER},
	{"clock", LOG_CLOCK, CLOCK},
	{"collection", LOG_COLLECTION, TEXT},
	{"device", LOG_DEVICE, TEXT},
	{"feed", LOG_FEED, TEXT},
	{"field_rules", LOG_FIELD_RULES, JSON},
	{"id", LOG_ID, TEXT},
	{"kind", LOG_KIND, TEXT},
	{"number", LOG_NUMBER, INTEGER},
	{"part_of", LOG_PART_OF, INTEGER},
	{"payload", 0, PAYLOAD},
	{"previous", LOG_PREVIOUS, INTEGER},
	{"role", LOG_ROLE, ROLE},
	{"rule", LOG_RULE, TEXT},
	{"seq", LOG_SEQ, INTEGER},
	{"session", LOG_SESSION, TEXT},
	{"skew_ms", LOG_SKEW_MS, INTEGER},
	{"type", LOG_TYPE, TEXT},
	{"user_id", LOG_USER, TEXT},
	{"verdict", LOG_VERDICT, TEXT},
	{"xid", LOG_XID, XID},
};

/* sha256 hashes two pieces, one after the other. */
static void
sha256(const void *one, size_t one_length, const void *two, size_t two_length,
	   uint8 hash[MIRU_HASH_SIZE])
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, one, one_length) < 0 ||
		pg_cryptohash_update(context, two, two_length) < 0 ||
		pg_cryptohash_final(context, hash, MIRU_HASH_SIZE) < 0)
		elog(ERROR, "could not compute SHA-256: %s",
			 context ? pg_cryptohash_error(context) : "out of memory");
	pg_cryptohash_free(context);
}

void
miru_seal_salt(uint8 salt[MIRU_SALT_SIZE])
{
	if (!pg_strong_random(salt, MIRU_SALT_SIZE))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
}

Datum
miru_seal_bytes(const uint8 *bytes, size_t length)
{
	return PointerGetDatum(
		cstring_to_text_with_len((const char *) bytes, (int) length));
}

bool
miru_seal_get(Datum bytes, uint8 hash[MIRU_HASH_SIZE])
{
	bytea *value = DatumGetByteaPP(bytes);

	if (VARSIZE_ANY_EXHDR(value) != MIRU_HASH_SIZE)
		return false;
	memcpy(hash, VARDATA_ANY(value), MIRU_HASH_SIZE);
	return true;
}

static void
append_payload(StringInfo out, const Datum *values, const bool *nulls)
{
	appendStringInfoChar(out, '{');
	if (!nulls[LOG_TO - 1])
	{
		miru_canonical_key(out, "new");
		miru_canonical_jsonb(out, DatumGetJsonbP(values[LOG_TO - 1]));
	}
	if (!nulls[LOG_FROM - 1])
	{
		miru_canonical_key(out, "old");
		miru_canonical_jsonb(out, DatumGetJsonbP(values[LOG_FROM - 1]));
	}
	appendStringInfoChar(out, '}');
}

bool
miru_seal_payload(const Datum *values, const bool *nulls,
				  uint8 digest[MIRU_HASH_SIZE])
{
	StringInfoData out;
	bytea *salt;

	if (!nulls[LOG_DIGEST - 1])
		return nulls[LOG_SALT - 1] && nulls[LOG_FROM - 1] &&
			nulls[LOG_TO - 1] && miru_seal_get(values[LOG_DIGEST - 1], digest);
	if (nulls[LOG_SALT - 1])
		return false;
	salt = DatumGetByteaPP(values[LOG_SALT - 1]);
	initStringInfo(&out);
	append_payload(&out, values, nulls);
	sha256(VARDATA_ANY(salt), VARSIZE_ANY_EXHDR(salt), out.data, out.len,
		   digest);
	pfree(out.data);
	return true;
}

static void
append_integer(StringInfo out, int64 number)
{
	char digits[MAXINT8LEN + 1];

	appendBinaryStringInfo(out, digits, pg_lltoa(number, digits));
}

static void
append_column(StringInfo out, Form form, Datum value)
{
	text *string;
	char clock[HLC_TEXT_SIZE];

	switch (form)
	{
		case TEXT:
			string = DatumGetTextPP(value);
			miru_canonical_text(out, VARDATA_ANY(string),
								VARSIZE_ANY_EXHDR(string));
			break;
		case INTEGER:
			append_integer(out, DatumGetInt64(value));
			break;
		case CLOCK:
			hlc_format((Hlc) DatumGetInt64(value), clock);
			miru_canonical_text(out, clock, strlen(clock));
			break;
		case TIME:
			append_integer(out,
						   DatumGetTimestampTz(value) - SetEpochTimestamp());
			break;
		case XID:
			appendStringInfo(out, UINT64_FORMAT,
							 U64FromFullTransactionId(
								 DatumGetFullTransactionId(value)));
			break;
		case ROLE:
			append_integer(out, DatumGetObjectId(value));
			break;
		case JSON:
			miru_canonical_jsonb(out, DatumGetJsonbP(value));
			break;
		case PAYLOAD:
			break;
	}
}

static void
append_hex(StringInfo out, const uint8 digest[MIRU_HASH_SIZE])
{
	char hex[2 * MIRU_HASH_SIZE];

	(void) hex_encode((const char *) digest, MIRU_HASH_SIZE, hex);
	miru_canonical_text(out, hex, sizeof(hex));
}

bool
miru_seal_change(const Datum *values, const bool *nulls,
				 uint8 digest[MIRU_HASH_SIZE])
{
	uint8 payload[MIRU_HASH_SIZE];
	StringInfoData out;

	if (!miru_seal_payload(values, nulls, payload))
		return false;
	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (size_t i = 0; i < lengthof(members); i++)
	{
		int column = members[i].column;

		if (members[i].form != PAYLOAD && nulls[column - 1])
			continue;
		miru_canonical_key(&out, members[i].name);
		if (members[i].form == PAYLOAD)
			append_hex(&out, payload);
		else
			append_column(&out, members[i].form, values[column - 1]);
	}
	appendStringInfoChar(&out, '}');
	sha256(out.data, out.len, "", 0, digest);
	pfree(out.data);
	return true;
}

void
miru_seal_link(const uint8 before[MIRU_HASH_SIZE],
			   const uint8 digest[MIRU_HASH_SIZE], uint8 hash[MIRU_HASH_SIZE])
{
	sha256(before, MIRU_HASH_SIZE, digest, MIRU_HASH_SIZE, hash);
}
