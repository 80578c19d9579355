/*
 * jwt.c
 *		Token and keys and policy and time in, claims or a reason out.
 *
 * Our own, because the packaged libraries each let something through that
 * must not pass: another algorithm than the key's, an empty key, a missing or
 * textual exp, the last of two subs, padding behind the signature, an ignored
 * crit.  Here the header chooses among what is configured and what the keys
 * can do (keyset.c), and decides nothing else.
 *
 * Order: size, shape, header, signature, and only then the claims.  A stranger
 * without a key reaches base64url, the JSON scanner with JWT_HEADER_MAX bytes,
 * and one verification for each key that fits, over at most JWT_TOKEN_MAX
 * bytes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwt.h"

#include <stdlib.h>
#include <string.h>

#include "base64url.h"
#include "json.h"
#include "words.h"

#define MEMBERS_MAX 64 /* of a header or a claims object */

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

/* ---- header ---- */

/*
 * check_header finds algorithm and kid; "kid" is a buffer for the latter, and
 * signature->kid stays NULL without one.
 */
static const char *
check_header(const Part *part, const JwtPolicy *policy, Signature *signature,
			 char kid[KID_MAX + 1])
{
	Members members;
	const JsonMember *member;
	char name[16];
	int algorithm = -1;

	if (read_members(part, &members) != NULL)
		return "header is not a plain JSON object";
	member = find_member(&members, "alg");
	if (member != NULL && member->type == JSON_STRING &&
		json_unescape(member->value, name, sizeof(name), NULL))
		algorithm = algorithm_by_name(name);
	if (algorithm < 0 || !(policy->algorithms & ALG_BIT(algorithm)))
		return "algorithm is not configured";
	signature->algorithm = (Algorithm) algorithm;

	/* nothing that it could name is understood here, b64 included */
	if (find_member(&members, "crit") != NULL)
		return "critical header extension";

	member = find_member(&members, "kid");
	if (member == NULL)
		return NULL;
	if (member->type != JSON_STRING ||
		!json_unescape(member->value, kid, KID_MAX + 1, NULL))
		return "kid is too long or no text";
	signature->kid = kid;
	return NULL;
}

/* ---- claims ---- */

static const char *
check_times(const Members *members, const JwtPolicy *policy, int64_t now_s,
			Claims *out)
{
	const JsonMember *member;
	int64_t not_before;

	member = find_member(members, "exp");
	if (member == NULL || !read_seconds(member, &out->exp))
		return "exp is missing or no date";
	if (now_s >= out->exp + policy->leeway_s)
		return "expired";

	member = find_member(members, "nbf");
	if (member != NULL)
	{
		if (!read_seconds(member, &not_before))
			return "nbf is no date";
		if (not_before > now_s + policy->leeway_s)
			return "not valid yet";
	}

	member = find_member(members, "iat");
	if (member != NULL)
	{
		if (!read_seconds(member, &out->iat))
			return "iat is no date";
		if (out->iat > now_s + policy->leeway_s)
			return "issued in the future";
		out->has_iat = true;
	}
	if (policy->lifetime_max_s > 0 && !out->has_iat)
		return "iat is missing";
	if (policy->lifetime_max_s > 0 &&
		out->exp - out->iat > policy->lifetime_max_s)
		return "lives too long";
	return NULL;
}

/* is_one_of says whether a value is a text of the list. */
static bool
is_one_of(const JsonMember *value, const char *list)
{
	char text[1024];
	size_t len;

	return value->type == JSON_STRING &&
		json_unescape(value->value, text, sizeof(text), &len) && len > 0 &&
		words_has(list, text);
}

/* has_audience reads aud, which is a text or a list of texts. */
static bool
has_audience(const JsonMember *aud, const char *list)
{
	JsonCursor cursor;
	JsonMember element;
	bool found = false;

	if (aud->type != JSON_ARRAY)
		return is_one_of(aud, list);
	json_open_array(&cursor, aud->value.text, aud->value.len);
	while (json_next_element(&cursor, &element))
	{
		if (element.type != JSON_STRING)
			return false;
		found = found || is_one_of(&element, list);
	}
	return found;
}

static const char *
check_required(const Members *members, const char *list)
{
	const char *word;
	char name[256];
	size_t len;

	while ((word = words_next(&list, &len)) != NULL)
	{
		const JsonMember *member;

		if (len >= sizeof(name))
			return "required claim is missing";
		memcpy(name, word, len);
		name[len] = '\0';
		member = find_member(members, name);
		if (member == NULL || member->type == JSON_NULL)
			return "required claim is missing";
	}
	return NULL;
}

/* read_name reads a claim that must be a text of 1 to 255 bytes. */
static bool
read_name(const JsonMember *member, char out[256])
{
	size_t len;

	return member != NULL && member->type == JSON_STRING &&
		json_unescape(member->value, out, 256, &len) && len > 0;
}

static const char *
check_claims(const Part *part, const JwtPolicy *policy, int64_t now_s,
			 Claims *out)
{
	Members members;
	const JsonMember *member;
	const char *reason;

	if (read_members(part, &members) != NULL)
		return "claims are not a plain JSON object";
	reason = check_times(&members, policy, now_s, out);
	if (reason != NULL)
		return reason;

	member = find_member(&members, "iss");
	if (policy->issuers[0] != '\0' &&
		(member == NULL || !is_one_of(member, policy->issuers)))
		return "another issuer";
	member = find_member(&members, "aud");
	if (policy->audiences[0] != '\0' &&
		(member == NULL || !has_audience(member, policy->audiences)))
		return "another audience";
	reason = check_required(&members, policy->required);
	if (reason != NULL)
		return reason;

	if (!read_name(find_member(&members, policy->user_claim), out->user))
		return "user claim is missing or no user id";
	member = policy->device_claim[0] != '\0'
		? find_member(&members, policy->device_claim)
		: NULL;
	if (member != NULL && !read_name(member, out->device))
		return "device claim is no device id";
	return NULL;
}

/* ---- the whole ---- */

/* decode_part decodes a part of the token; false if it is malformed. */
static bool
decode_part(const char *text, const char *end, Part *part)
{
	return base64url_decode(text, (size_t) (end - text), part->text,
							sizeof(part->text), &part->len);
}

static const char *
check_signature(const KeySet *keys, const JwtPolicy *policy, const char *token,
				const char *first, const char *second, const char *end)
{
	unsigned char bytes[SIGNATURE_MAX];
	char kid[KID_MAX + 1];
	Signature signature = {.text = token,
						   .text_len = (size_t) (second - token),
						   .bytes = bytes};
	Part header;
	const char *reason;

	if (first - token > JWT_HEADER_MAX)
		return "header too long";
	if (!decode_part(token, first, &header))
		return "malformed header";
	reason = check_header(&header, policy, &signature, kid);
	if (reason != NULL)
		return reason;
	if (!base64url_decode(second + 1, (size_t) (end - second - 1), bytes,
						  sizeof(bytes), &signature.len) ||
		signature.len == 0)
		return "malformed signature";
	return keyset_verify(keys, &signature);
}

const char *
jwt_verify(const KeySet *keys, const JwtPolicy *policy, const char *token,
		   size_t token_len, int64_t now_s, Claims *out)
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

	reason = check_signature(keys, policy, token, first, second, end);
	if (reason != NULL)
		return reason;
	if (!decode_part(first + 1, second, &part))
		return "malformed claims";
	reason = check_claims(&part, policy, now_s, &claims);
	if (reason != NULL)
		return reason;
	*out = claims;
	return NULL;
}
