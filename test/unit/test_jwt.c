/*
 * test_jwt.c
 *		Tokens that pass, and each way in which one must not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "unit.h"

#include <openssl/hmac.h>

#include "jwt.c"

#define NOW	   INT64_C(1795413600)
#define SECRET "0123456789abcdef0123456789abcdef"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static KeySet *keys;
static JwtPolicy policy;
static Claims claims;				  /* of the last verify */
static char token[2 * JWT_TOKEN_MAX]; /* the last one made */

static int
set_up(void **state UNUSED)
{
	policy = (JwtPolicy){.algorithms = ALG_BIT(ALG_HS256),
						 .leeway_s = 30,
						 .issuers = "",
						 .audiences = "",
						 .required = "",
						 .user_claim = "sub",
						 .device_claim = ""};
	keys = keyset_new();
	return keyset_add_secret(keys, NULL, SECRET, strlen(SECRET), ALG_ALL) ==
			NULL
		? 0
		: -1;
}

static int
tear_down(void **state UNUSED)
{
	keyset_free(keys);
	return 0;
}

/* encode_part appends base64url and returns the new end. */
static char *
encode_part(char *out, const unsigned char *bytes, size_t len)
{
	base64url_encode(bytes, len, out);
	return out + strlen(out);
}

/* sign appends the signature of what "token" holds so far. */
static void
sign_with(const EVP_MD *hash, const char *secret)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int len;
	size_t token_len = strlen(token);

	HMAC(hash, secret, (int) strlen(secret), (unsigned char *) token, token_len,
		 mac, &len);
	token[token_len] = '.';
	encode_part(token + token_len + 1, mac, len);
}

static void
start_token(const char *header, const char *payload, size_t payload_len)
{
	char *end = encode_part(token, (const unsigned char *) header,
							strlen(header));

	*end++ = '.';
	encode_part(end, (const unsigned char *) payload, payload_len);
}

static const char *
verify_bytes(const char *text, size_t len)
{
	char *copy = exact_copy(text, len);
	const char *reason;

	memset(&claims, 0x55, sizeof(claims));
	reason = jwt_verify(keys, &policy, copy, len, NOW, &claims);
	free(copy);
	return reason;
}

static const char *
verify(const char *header, const char *payload)
{
	start_token(header, payload, strlen(payload));
	sign_with(EVP_sha256(), SECRET);
	return verify_bytes(token, strlen(token));
}

static void
expect_reason(const char *reason, const char *const *payloads)
{
	for (; *payloads != NULL; payloads++)
	{
		const char *got = verify(HEADER, *payloads);

		if (got == NULL || strcmp(got, reason) != 0)
			fail_msg("%s: %s instead of %s", *payloads, got ? got : "passed",
					 reason);
	}
}

static void
accepts_a_good_token(void **state UNUSED)
{
	assert_null(verify(HEADER,
					   "{\"sub\":\"anna\",\"email\":\"a@example.org\","
					   "\"iat\":1795413000,\"exp\":1795417200}"));
	assert_string_equal(claims.user, "anna");
	assert_true(claims.exp == 1795417200);
	assert_true(claims.iat == 1795413000);

	assert_null(
		verify("{\"alg\":\"HS256\"}", "{\"exp\":1795413601,\"sub\":\"x\"}"));
	assert_true(claims.iat == 0);
}

/* The example of RFC 7515, appendix A.1, made by somebody else. */
static void
accepts_a_foreign_token(void **state UNUSED)
{
	static const char foreign[] =
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAi"
		"OjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	static const unsigned char secret[] =
		{3,	  35,  53,	75,	 43,  15,  165, 188, 131, 126, 6,	101, 119,
		 123, 166, 143, 90,	 179, 40,  230, 240, 84,  201, 40,	169, 15,
		 132, 178, 210, 80,	 46,  191, 211, 251, 90,  146, 210, 6,	 71,
		 239, 150, 138, 180, 195, 119, 98,	61,	 34,  61,  46,	33,	 114,
		 5,	  46,  79,	8,	 192, 205, 154, 245, 103, 208, 128, 163};
	KeySet *own = keys;

	keys = keyset_new();
	assert_null(
		keyset_add_secret(keys, "other", secret, sizeof(secret), ALG_ALL));
	policy.leeway_s = 0;
	/* it has no sub, so it gets as far as that */
	assert_string_equal(jwt_verify(keys, &policy, foreign, strlen(foreign),
								   1300819379, &claims),
						"user claim is missing or no user id");
	assert_string_equal(jwt_verify(keys, &policy, foreign, strlen(foreign),
								   1300819380, &claims),
						"expired");
	policy.user_claim = "iss";
	assert_null(jwt_verify(keys, &policy, foreign, strlen(foreign), 1300819379,
						   &claims));
	assert_string_equal(claims.user, "joe");
	keyset_free(keys);
	keys = own;
}

static void
refuses_a_wrong_signature(void **state UNUSED)
{
	size_t len;
	size_t i;

	start_token(HEADER, "{\"exp\":1795417200,\"sub\":\"anna\"}", 31);
	sign_with(EVP_sha256(), "0123456789abcdef0123456789abcdeF");
	assert_string_equal(verify_bytes(token, strlen(token)), "wrong signature");

	/* no single character may change (all but the first two parts' dots) */
	assert_null(verify(HEADER, "{\"exp\":1795417200,\"sub\":\"anna\"}"));
	len = strlen(token);
	for (i = 0; i < len; i++)
	{
		char kept = token[i];

		token[i] = kept == 'A' ? 'B' : 'A';
		assert_non_null(verify_bytes(token, len));
		token[i] = kept;
	}
	assert_null(verify_bytes(token, len));
}

/* Claims of a failed verify are empty, whatever the token said. */
static void
gives_no_claims_on_failure(void **state UNUSED)
{
	Claims none;

	memset(&none, 0, sizeof(none));
	assert_non_null(verify(HEADER,
						   "{\"exp\":1795417200,\"sub\":\"anna\","
						   "\"sub\":\"otto\"}"));
	assert_memory_equal(&claims, &none, sizeof(none));
	assert_non_null(verify(HEADER, "{\"exp\":1,\"sub\":\"anna\"}"));
	assert_memory_equal(&claims, &none, sizeof(none));
}

static void
refuses_other_algorithms(void **state UNUSED)
{
	static const char good[] = "{\"exp\":1795417200,\"sub\":\"anna\"}";
	static const char *const headers[] = {"{\"alg\":\"none\"}",
										  "{\"alg\":\"hs256\"}",
										  "{\"alg\":\"HS384\"}",
										  "{\"alg\":\"RS256\"}",
										  "{\"alg\":\"\"}",
										  "{\"alg\":null}",
										  "{\"alg\":[\"HS256\"]}",
										  "{\"alg\":\"HS256 \"}",
										  "{}",
										  "{\"Alg\":\"HS256\"}",
										  NULL};
	int i;

	for (i = 0; headers[i] != NULL; i++)
		assert_string_equal(verify(headers[i], good),
							"algorithm is not configured");

	/* another hash with our key, until it is configured */
	start_token("{\"alg\":\"HS384\"}", good, strlen(good));
	sign_with(EVP_sha384(), SECRET);
	assert_string_equal(verify_bytes(token, strlen(token)),
						"algorithm is not configured");
	policy.algorithms |= ALG_BIT(ALG_HS384);
	assert_null(verify_bytes(token, strlen(token)));
	start_token(HEADER, good, strlen(good));
	sign_with(EVP_sha384(), SECRET);
	assert_string_equal(verify_bytes(token, strlen(token)), "wrong signature");

	/* unsigned */
	start_token("{\"alg\":\"none\"}", good, strlen(good));
	strcat(token, ".");
	assert_string_equal(verify_bytes(token, strlen(token)),
						"algorithm is not configured");
	start_token(HEADER, good, strlen(good));
	strcat(token, ".");
	assert_string_equal(verify_bytes(token, strlen(token)),
						"malformed signature");
}

static void
refuses_bad_headers(void **state UNUSED)
{
	static const char good[] = "{\"exp\":1795417200,\"sub\":\"anna\"}";
	static const char plain[] = "header is not a plain JSON object";

	assert_string_equal(verify("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", good),
						"critical header extension");
	assert_string_equal(verify("{\"alg\":\"HS256\",\"cr\\u0069t\":[]}", good),
						"critical header extension");
	assert_string_equal(verify("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", good),
						plain);
	assert_string_equal(verify("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
							   good),
						plain);
	assert_string_equal(verify("[\"HS256\"]", good), plain);
	assert_string_equal(verify("{\"alg\":\"HS256\"}x", good), plain);
	assert_string_equal(verify("", good), plain);
}

static void
checks_exp(void **state UNUSED)
{
	static const char *const bad[] =
		{"{\"sub\":\"anna\"}",
		 "{\"exp\":\"1795417200\",\"sub\":\"anna\"}",
		 "{\"exp\":null,\"sub\":\"anna\"}",
		 "{\"exp\":true,\"sub\":\"anna\"}",
		 "{\"exp\":[1795417200],\"sub\":\"anna\"}",
		 "{\"exp\":1e300,\"sub\":\"anna\"}",
		 "{\"exp\":9007199254740993000,\"sub\":\"anna\"}",
		 "{\"Exp\":1795417200,\"sub\":\"anna\"}",
		 "{\"exp\":1795417200.000000000000000000000000000000000000000000000000"
		 "00000000000000000,\"sub\":\"anna\"}",
		 NULL};
	static const char *const expired[] =
		{"{\"exp\":1795413570,\"sub\":\"anna\"}",
		 "{\"exp\":1795413569.9,\"sub\":\"anna\"}",
		 "{\"exp\":1795413570.9,\"sub\":\"anna\"}",
		 "{\"exp\":0,\"sub\":\"anna\"}",
		 "{\"exp\":-1.5,\"sub\":\"anna\"}",
		 NULL};

	expect_reason("exp is missing or no date", bad);
	expect_reason("expired", expired);
	assert_null(verify(HEADER, "{\"exp\":1795413571,\"sub\":\"anna\"}"));
	assert_null(verify(HEADER, "{\"exp\":1795413571.5,\"sub\":\"anna\"}"));
	assert_true(claims.exp == 1795413571);
	assert_null(verify(HEADER, "{\"exp\":1.8e9,\"sub\":\"anna\"}"));
	assert_true(claims.exp == 1800000000);
}

/* Fractions go downwards on both sides of 1970. */
static void
reads_dates(void **state UNUSED)
{
	static const struct
	{
		const char *text;
		int64_t seconds;
	} cases[] = {{"0", 0},
				 {"1.9", 1},
				 {"-1.5", -2},
				 {"-2", -2},
				 {"9007199254740991", INT64_C(9007199254740991)}};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		JsonMember member = {.type = JSON_NUMBER};
		int64_t seconds;

		member.value.text = cases[i].text;
		member.value.len = strlen(cases[i].text);
		assert_true(read_seconds(&member, &seconds));
		assert_true(seconds == cases[i].seconds);
	}
}

static void
checks_nbf_and_iat(void **state UNUSED)
{
#define GOOD "{\"exp\":1795417200,\"sub\":\"anna\","
	static const char *const not_yet[] = {GOOD "\"nbf\":1795413631}",
										  GOOD "\"nbf\":1e15}", NULL};
	static const char *const no_nbf[] = {GOOD "\"nbf\":\"0\"}",
										 GOOD "\"nbf\":null}", NULL};
	static const char *const future[] = {GOOD "\"iat\":1795413631}", NULL};
	static const char *const no_iat[] = {GOOD "\"iat\":\"0\"}",
										 GOOD "\"iat\":{}}", NULL};

	expect_reason("not valid yet", not_yet);
	expect_reason("nbf is no date", no_nbf);
	expect_reason("issued in the future", future);
	expect_reason("iat is no date", no_iat);

	/* the leeway, to its last second */
	assert_null(verify(HEADER, GOOD "\"nbf\":1795413630,\"iat\":1795413630}"));
#undef GOOD
}

static void
checks_sub(void **state UNUSED)
{
	static const char *const bad[] = {"{\"exp\":1795417200}",
									  "{\"exp\":1795417200,\"sub\":\"\"}",
									  "{\"exp\":1795417200,\"sub\":7}",
									  "{\"exp\":1795417200,\"sub\":null}",
									  "{\"exp\":1795417200,\"sub\":[\"anna\"]}",
									  NULL};
	char payload[512];
	char user[257];

	expect_reason("user claim is missing or no user id", bad);

	/* 255 bytes and no more */
	memset(user, 'u', sizeof(user));
	user[255] = '\0';
	snprintf(payload, sizeof(payload), "{\"exp\":1795417200,\"sub\":\"%s\"}",
			 user);
	assert_null(verify(HEADER, payload));
	assert_string_equal(claims.user, user);
	user[255] = 'u';
	user[256] = '\0';
	snprintf(payload, sizeof(payload), "{\"exp\":1795417200,\"sub\":\"%s\"}",
			 user);
	assert_string_equal(verify(HEADER, payload),
						"user claim is missing or no user id");

	/* escapes are resolved: the same user by another spelling */
	assert_null(
		verify(HEADER, "{\"exp\":1795417200,\"s\\u0075b\":\"\\u0061\"}"));
	assert_string_equal(claims.user, "a");
}

static void
refuses_doubtful_claims(void **state UNUSED)
{
	static const char *const bad[] =
		{/* which of two counts is nobody's guess */
		 "{\"exp\":1795417200,\"sub\":\"anna\",\"sub\":\"otto\"}",
		 "{\"exp\":1795417200,\"exp\":1795417200,\"sub\":\"anna\"}",
		 "{\"exp\":1795417200,\"sub\":\"anna\",\"x\":1,\"x\":1}",
		 "{\"exp\":1795417200,\"sub\":\"anna\",\"su\\u0062\":\"otto\"}",
		 /* a NUL would cut the user id */
		 "{\"exp\":1795417200,\"sub\":\"anna\\u0000otto\"}",
		 "{\"exp\":1795417200,\"sub\":\"anna\",\"x\":\"\\ud800\"}",
		 "{\"exp\":1795417200,\"sub\":\"\xFF\"}", "", "null", "[]", "\"anna\"",
		 "{\"exp\":1795417200,\"sub\":\"anna\"}x",
		 "{\"exp\":1795417200,\"sub\":\"anna\"",
		 "{\"exp\":1e999999,\"sub\":\"a\"}", NULL};

	expect_reason("claims are not a plain JSON object", bad);
}

static void
bounds_the_members(void **state UNUSED)
{
	char payload[2048];
	int count;

	for (count = MEMBERS_MAX; count <= MEMBERS_MAX + 1; count++)
	{
		char *pos = payload +
			sprintf(payload,
					"{\"exp\":1795417200,"
					"\"sub\":\"anna\"");
		int i;

		for (i = 2; i < count; i++)
			pos += sprintf(pos, ",\"c%d\":%d", i, i);
		strcpy(pos, "}");
		if (count == MEMBERS_MAX)
			assert_null(verify(HEADER, payload));
		else
			assert_non_null(verify(HEADER, payload));
	}
}

static void
refuses_bad_shapes(void **state UNUSED)
{
	static const char *const bad[] = {"",
									  ".",
									  "..",
									  "...",
									  "a",
									  "a.b",
									  "a.b.",
									  "a.b.c",
									  ".b.c",
									  "a..c",
									  "eyJhbGciOiJIUzI1NiJ9.e30",
									  NULL};
	int i;

	for (i = 0; bad[i] != NULL; i++)
		assert_non_null(verify_bytes(bad[i], strlen(bad[i])));

	/* a fourth part, even an empty one */
	assert_null(verify(HEADER, "{\"exp\":1795417200,\"sub\":\"anna\"}"));
	strcat(token, ".");
	assert_string_equal(verify_bytes(token, strlen(token)), "not three parts");
}

/* One value, one spelling: nothing may be added to a good token. */
static void
base64url_is_strict(void **state UNUSED)
{
	static const char *const additions[] = {"=", "==", "A",	  "AA",
											" ", "\n", "%3D", NULL};
	size_t len;
	int i;

	assert_null(verify(HEADER, "{\"exp\":1795417200,\"sub\":\"anna\"}"));
	len = strlen(token);
	for (i = 0; additions[i] != NULL; i++)
	{
		strcpy(token + len, additions[i]);
		assert_non_null(verify_bytes(token, strlen(token)));
	}
	token[len] = '\0';
	assert_non_null(verify_bytes(token, len + 1));

	/* 32 bytes leave two bits over, which must be zero */
	token[len - 1]++;
	assert_string_equal(verify_bytes(token, len), "malformed signature");
}

static void
decodes_base64url(void **state UNUSED)
{
	static const struct
	{
		const char *text;
		const char *bytes; /* NULL: refused */
	} cases[] = {{"", ""},
				 {"Zg", "f"},
				 {"Zm8", "fo"},
				 {"Zm9v", "foo"},
				 {"-_-_", "\xFB\xFF\xBF"},
				 {"Z", NULL},
				 {"A", NULL},
				 {"Zm9vA", NULL},
				 {"Zh", NULL},
				 {"Zm9", NULL},
				 {"Zg==", NULL},
				 {"+/+/", NULL},
				 {"Z g", NULL},
				 {"Zm9vZ", NULL},
				 {"Zm\xC3\xA9", NULL}};
	char out[3];
	size_t len;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		bool good = base64url_decode(cases[i].text, strlen(cases[i].text), out,
									 sizeof(out), &len);

		assert_int_equal(good, cases[i].bytes != NULL);
		if (good)
		{
			assert_int_equal(len, strlen(cases[i].bytes));
			assert_memory_equal(out, cases[i].bytes, len);
		}
	}
	assert_false(base64url_decode("Zm9vZg", 6, out, sizeof(out), &len));
}

/* A good signature does not help a token that is too long. */
static void
bounds_the_size(void **state UNUSED)
{
	char *payload = malloc(JWT_TOKEN_MAX);
	size_t fill;

	assert_non_null(payload);
	for (fill = 5900; fill < 6200; fill++)
	{
		int head = sprintf(payload,
						   "{\"exp\":1795417200,\"sub\":\"anna\","
						   "\"x\":\"");
		const char *reason;

		memset(payload + head, 'x', fill);
		strcpy(payload + head + fill, "\"}");
		reason = verify(HEADER, payload);
		if (strlen(token) <= JWT_TOKEN_MAX)
			assert_null(reason);
		else
			assert_string_equal(reason, "token too long");
	}
	assert_true(strlen(token) > JWT_TOKEN_MAX);
	free(payload);
}

/* A set without keys opens nothing, not even to its own signature. */
static void
no_keys_verify_nothing(void **state UNUSED)
{
	static const char good[] = "{\"exp\":1795417200,\"sub\":\"anna\"}";
	KeySet *empty = keyset_new();

	assert_non_null(keyset_add_secret(empty, NULL, "", 0, ALG_ALL));
	start_token(HEADER, good, strlen(good));
	sign_with(EVP_sha256(), "");
	assert_string_equal(jwt_verify(empty, &policy, token, strlen(token), NOW,
								   &claims),
						"no key for it");
	keyset_free(empty);
}

#define GOOD "{\"exp\":1795417200,\"sub\":\"anna\""

static void
checks_issuer_and_audience(void **state UNUSED)
{
	static const char *const other[] = {GOOD "}",
										GOOD ",\"iss\":\"b \"}",
										GOOD ",\"iss\":\"\"}",
										GOOD ",\"iss\":\"a b\"}",
										GOOD ",\"iss\":\"A\"}",
										GOOD ",\"iss\":[\"a\"]}",
										NULL};
	static const char *const not_us[] = {GOOD "}",
										 GOOD ",\"aud\":\"z\"}",
										 GOOD ",\"aud\":[]}",
										 GOOD ",\"aud\":[\"z\",\"y\"]}",
										 GOOD ",\"aud\":[\"z\",[\"x\"]]}",
										 GOOD ",\"aud\":[\"x\",7]}",
										 GOOD ",\"aud\":{\"x\":\"x\"}}",
										 GOOD ",\"aud\":\"[\\\"x\\\"]\"}",
										 NULL};

	policy.issuers = "a  b";
	expect_reason("another issuer", other);
	assert_null(verify(HEADER, GOOD ",\"iss\":\"b\"}"));

	policy.issuers = "";
	policy.audiences = "x w";
	expect_reason("another audience", not_us);
	assert_null(verify(HEADER, GOOD ",\"aud\":\"x\"}"));
	assert_null(verify(HEADER, GOOD ",\"aud\":[\"z\",\"w\"]}"));
	assert_null(verify(HEADER, GOOD ",\"aud\":[ \"\\u0078\" ]}"));
}

static void
checks_required_claims(void **state UNUSED)
{
	static const char *const missing[] = {GOOD "}", GOOD ",\"a\":1}",
										  GOOD ",\"a\":1,\"b\":null}",
										  GOOD ",\"a\":{\"b\":1}}", NULL};

	policy.required = " a b ";
	expect_reason("required claim is missing", missing);
	assert_null(verify(HEADER, GOOD ",\"a\":1,\"b\":false}"));
}

static void
reads_user_and_device(void **state UNUSED)
{
	static const char *const bad[] = {GOOD ",\"dev\":7}", GOOD ",\"dev\":\"\"}",
									  GOOD ",\"dev\":null}", NULL};

	policy.user_claim = "uid";
	assert_string_equal(verify(HEADER, GOOD "}"),
						"user claim is missing or no user id");
	assert_null(verify(HEADER, GOOD ",\"uid\":\"otto\"}"));
	assert_string_equal(claims.user, "otto");
	assert_string_equal(claims.device, "");

	policy.user_claim = "sub";
	policy.device_claim = "dev";
	expect_reason("device claim is no device id", bad);
	assert_null(verify(HEADER, GOOD ",\"dev\":\"phone\"}"));
	assert_string_equal(claims.device, "phone");
	assert_null(verify(HEADER, GOOD "}"));
	assert_string_equal(claims.device, "");
}

/* A kid is compared, whatever stands in it; the leeway has an edge. */
static void
looks_at_kid_and_leeway(void **state UNUSED)
{
	KeySet *own = keys;
	char header[512];

	keys = keyset_new();
	assert_null(keyset_add_secret(keys, "k1", SECRET, strlen(SECRET), ALG_ALL));
	assert_null(verify("{\"alg\":\"HS256\",\"kid\":\"k1\"}", GOOD "}"));
	assert_null(verify(HEADER, GOOD "}"));
	assert_string_equal(verify("{\"alg\":\"HS256\",\"kid\":\"k2\"}", GOOD "}"),
						"no key for it");
	assert_string_equal(verify("{\"alg\":\"HS256\",\"kid\":\"\"}", GOOD "}"),
						"no key for it");
	assert_string_equal(verify("{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}",
							   GOOD "}"),
						"no key for it");
	assert_string_equal(verify("{\"alg\":\"HS256\",\"kid\":\"k1' or '1'='1\"}",
							   GOOD "}"),
						"no key for it");
	assert_string_equal(verify("{\"alg\":\"HS256\",\"kid\":[\"k1\"]}",
							   GOOD "}"),
						"kid is too long or no text");
	snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%0256d\"}",
			 0);
	assert_string_equal(verify(header, GOOD "}"), "kid is too long or no text");
	keyset_free(keys);
	keys = own;

	policy.leeway_s = 0;
	assert_string_equal(verify(HEADER, "{\"exp\":1795413600,\"sub\":\"a\"}"),
						"expired");
	assert_null(verify(HEADER, "{\"exp\":1795413601,\"sub\":\"a\"}"));
	assert_null(verify(HEADER, GOOD ",\"nbf\":1795413600,\"iat\":1795413600}"));
	assert_string_equal(verify(HEADER, GOOD ",\"nbf\":1795413601}"),
						"not valid yet");
	assert_string_equal(verify(HEADER, GOOD ",\"iat\":1795413601}"),
						"issued in the future");
}

/* With a bound on its life a token says from when on it lives. */
static void
bounds_the_life(void **state UNUSED)
{
	policy.lifetime_max_s = 3600;
	assert_null(verify(HEADER,
					   "{\"exp\":1795417200,\"iat\":1795413600,"
					   "\"sub\":\"a\"}"));
	assert_string_equal(verify(HEADER,
							   "{\"exp\":1795417201,\"iat\":1795413600,"
							   "\"sub\":\"a\"}"),
						"lives too long");
	/* Also when most of it is over. */
	assert_string_equal(verify(HEADER,
							   "{\"exp\":1795413700,\"iat\":1,"
							   "\"sub\":\"a\"}"),
						"lives too long");
	assert_string_equal(verify(HEADER, GOOD "}"), "iat is missing");
}

/* A stranger's header is bounded before any key is tried. */
static void
bounds_the_header(void **state UNUSED)
{
	char header[2048];
	int fill;

	for (fill = 1490; fill < 1530; fill++)
	{
		const char *reason;

		snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"x\":\"%0*d\"}",
				 fill, 0);
		reason = verify(header, GOOD "}");
		if (strchr(token, '.') - token <= JWT_HEADER_MAX)
			assert_null(reason);
		else
			assert_string_equal(reason, "header too long");
	}
	assert_true(strchr(token, '.') - token > JWT_HEADER_MAX);
}
#undef GOOD

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(accepts_a_good_token),
		TEST(accepts_a_foreign_token),
		TEST(refuses_a_wrong_signature),
		TEST(gives_no_claims_on_failure),
		TEST(refuses_other_algorithms),
		TEST(refuses_bad_headers),
		TEST(checks_exp),
		TEST(reads_dates),
		TEST(checks_nbf_and_iat),
		TEST(checks_sub),
		TEST(refuses_doubtful_claims),
		TEST(bounds_the_members),
		TEST(refuses_bad_shapes),
		TEST(base64url_is_strict),
		TEST(decodes_base64url),
		TEST(bounds_the_size),
		TEST(no_keys_verify_nothing),
		TEST(checks_issuer_and_audience),
		TEST(checks_required_claims),
		TEST(reads_user_and_device),
		TEST(looks_at_kid_and_leeway),
		TEST(bounds_the_life),
		TEST(bounds_the_header),
	};

	return cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
}
