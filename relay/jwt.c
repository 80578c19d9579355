/*
 * jwt.c
 *		Token and key and time in, claims or a reason out.
 *
 * Our own, because the packaged libraries each let something through that
 * must not pass: another algorithm than the key's, an empty key, a missing or
 * textual exp, the last of two subs, padding behind the signature, an ignored
 * crit.  Here the algorithm is fixed; the header must agree, but decides
 * nothing.
 *
 * Order: size, shape, signature, and only then JSON.  A stranger without the
 * key reaches no parser, only base64url and one HMAC over at most
 * JWT_TOKEN_MAX bytes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwt.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define SIGNATURE_BYTES 32 /* of HMAC with SHA-256 */
#define MEMBERS_MAX		64 /* of a header or a claims object */

/* a date is refused beyond what a double counts exactly */
#define SECONDS_MAX 9007199254740991.0

/* decoded text is shorter than what it was decoded from */
typedef struct Part
{
	char text[JWT_TOKEN_MAX];
	size_t len;
} Part;

/* The members of an object, in the order they came, no key twice. */
typedef struct Members
{
	JsonMember list[MEMBERS_MAX];
	int count;
} Members;

bool
jwt_key_init(JwtKey *key, const char *secret, size_t len)
{
	memset(key, 0, sizeof(*key));
	if (len == 0 || len > INT_MAX)
		return false;
	key->secret = malloc(len);
	if (key->secret == NULL)
		abort();
	memcpy(key->secret, secret, len);
	key->len = len;
	return true;
}

void
jwt_key_release(JwtKey *key)
{
	if (key->secret != NULL)
	{
		OPENSSL_cleanse(key->secret, key->len);
		free(key->secret);
	}
	memset(key, 0, sizeof(*key));
}

static int
base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

/*
 * base64url_decode is strict: no padding, no blanks, and the bits that are
 * left over must be zero, so that each value has one spelling.  Returns false
 * if the text is bad or longer than "size".
 */
static bool
base64url_decode(const char *text, size_t len, char *out, size_t size,
				 size_t *out_len)
{
	unsigned int bits = 0;
	int bit_count = 0;
	size_t n = 0;
	size_t i;

	if (len % 4 == 1)
		return false;
	for (i = 0; i < len; i++)
	{
		int value = base64url_value(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (unsigned int) value;
		bit_count += 6;
		if (bit_count >= 8)
		{
			if (n == size)
				return false;
			bit_count -= 8;
			out[n++] = (char) (bits >> bit_count & 0xFF);
			bits &= (1U << bit_count) - 1;
		}
	}
	*out_len = n;
	return bits == 0;
}

static bool
same_key(const JsonMember *a, const JsonMember *b)
{
	char text[JWT_TOKEN_MAX];

	/* an unescaped key never grows, so it fits */
	return json_unescape(a->key, text, sizeof(text), NULL) &&
		json_equals(b->key, text);
}

/* read_members returns a reason unless the part is an object without doubt. */
static const char *
read_members(const Part *part, Members *members)
{
	JsonCursor cursor;
	JsonMember member;
	int i;

	members->count = 0;
	json_open(&cursor, part->text, part->len);
	while (json_next(&cursor, &member))
	{
		if (members->count == MEMBERS_MAX)
			return "too many members";
		for (i = 0; i < members->count; i++)
		{
			if (same_key(&members->list[i], &member))
				return "duplicate member";
		}
		members->list[members->count++] = member;
	}
	if (cursor.result != JSON_OK || cursor.type != JSON_OBJECT)
		return "not a JSON object";
	return NULL;
}

static const JsonMember *
find_member(const Members *members, const char *name)
{
	int i;

	for (i = 0; i < members->count; i++)
	{
		if (json_equals(members->list[i].key, name))
			return &members->list[i];
	}
	return NULL;
}

/*
 * read_seconds reads a NumericDate, which may have a fraction, downwards.
 * strtod follows the locale, which this program never sets.
 */
static bool
read_seconds(const JsonMember *member, int64_t *seconds)
{
	char text[64];
	double value;
	int64_t whole;

	if (member->type != JSON_NUMBER || member->value.len >= sizeof(text))
		return false;
	memcpy(text, member->value.text, member->value.len);
	text[member->value.len] = '\0';
	value = strtod(text, NULL);
	if (!(value >= -SECONDS_MAX && value <= SECONDS_MAX))
		return false;
	whole = (int64_t) value;
	*seconds = (double) whole > value ? whole - 1 : whole;
	return true;
}

static const char *
check_header(const Part *part)
{
	Members members;
	const JsonMember *alg;

	if (read_members(part, &members) != NULL)
		return "header is not a plain JSON object";
	alg = find_member(&members, "alg");
	if (alg == NULL || alg->type != JSON_STRING ||
		!json_equals(alg->value, "HS256"))
		return "algorithm is not HS256";
	if (find_member(&members, "crit") != NULL)
		return "critical header extension";
	return NULL;
}

static const char *
check_claims(const Part *part, int64_t now_s, Claims *out)
{
	Members members;
	const JsonMember *member;
	int64_t not_before;
	size_t len;

	if (read_members(part, &members) != NULL)
		return "claims are not a plain JSON object";

	member = find_member(&members, "exp");
	if (member == NULL || !read_seconds(member, &out->exp))
		return "exp is missing or no date";
	if (now_s >= out->exp)
		return "expired";

	member = find_member(&members, "nbf");
	if (member != NULL)
	{
		if (!read_seconds(member, &not_before))
			return "nbf is no date";
		if (not_before > now_s + JWT_LEEWAY_S)
			return "not valid yet";
	}

	member = find_member(&members, "iat");
	if (member != NULL)
	{
		if (!read_seconds(member, &out->iat))
			return "iat is no date";
		if (out->iat > now_s + JWT_LEEWAY_S)
			return "issued in the future";
	}

	member = find_member(&members, "sub");
	if (member == NULL || member->type != JSON_STRING ||
		!json_unescape(member->value, out->sub, sizeof(out->sub), &len) ||
		len == 0)
		return "sub is missing or no user id";
	return NULL;
}

/* check_signature compares the last part with ours over the first two. */
static const char *
check_signature(const JwtKey *key, const char *token, const char *dot,
				const char *end)
{
	unsigned char ours[EVP_MAX_MD_SIZE];
	unsigned int ours_len = 0;
	char theirs[SIGNATURE_BYTES];
	size_t theirs_len;

	if (!base64url_decode(dot + 1, end - dot - 1, theirs, sizeof(theirs),
						  &theirs_len) ||
		theirs_len != SIGNATURE_BYTES)
		return "malformed signature";
	if (key->len == 0 || key->secret == NULL)
		return "no key";
	if (HMAC(EVP_sha256(), key->secret, (int) key->len,
			 (const unsigned char *) token, dot - token, ours,
			 &ours_len) == NULL ||
		ours_len != SIGNATURE_BYTES)
		return "could not compute a signature";
	if (CRYPTO_memcmp(ours, theirs, SIGNATURE_BYTES) != 0)
		return "wrong signature";
	return NULL;
}

const char *
jwt_verify(const JwtKey *key, const char *token, size_t token_len,
		   int64_t now_s, Claims *out)
{
	const char *end = token + token_len;
	const char *reason;
	const char *first;
	const char *second;
	Claims claims;
	Part part;

	memset(out, 0, sizeof(*out));
	memset(&claims, 0, sizeof(claims));
	if (token_len > JWT_TOKEN_MAX)
		return "token too long";
	first = memchr(token, '.', token_len);
	second = first ? memchr(first + 1, '.', end - first - 1) : NULL;
	if (second == NULL || memchr(second + 1, '.', end - second - 1) != NULL)
		return "not three parts";

	reason = check_signature(key, token, second, end);
	if (reason != NULL)
		return reason;

	if (!base64url_decode(token, first - token, part.text, sizeof(part.text),
						  &part.len))
		return "malformed header";
	reason = check_header(&part);
	if (reason != NULL)
		return reason;

	if (!base64url_decode(first + 1, second - first - 1, part.text,
						  sizeof(part.text), &part.len))
		return "malformed claims";
	reason = check_claims(&part, now_s, &claims);
	if (reason != NULL)
		return reason;
	*out = claims;
	return NULL;
}
