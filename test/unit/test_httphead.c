/*
 * test_httphead.c
 *     Unit tests of request heads: routes, headers that must be clear, and
 *     arguments.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../relay/httphead.c"

/* A route does not change when more comes, once it is known. */
static void
test_route(void **state)
{
	static const struct
	{
		const char *text;
		HttpRoute route;
	} cases[] = {
		{"GET /sync/pull HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"GET /sync/pull?after=1 HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"POST /sync/push HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"OPTIONS /sync/status HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"GET /sync/history?id=1 HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"GET /sync/conflicts HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"POST /sync/resolve HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"GET /sync/ws?token=x HTTP/1.1\r\n", HTTP_ROUTE_OTHER},
		{"GET /sync/pushy HTTP/1.1\r\n", HTTP_ROUTE_OTHER},
		{"GET / HTTP/1.1\r\n", HTTP_ROUTE_OTHER},
		{"get /sync/pull HTTP/1.1\r\n", HTTP_ROUTE_OTHER},
		{"GET  /sync/pull HTTP/1.1\r\n", HTTP_ROUTE_OTHER},
		{"ABCDEFGHIJ /sync/pull HTTP/1.1\r\n", HTTP_ROUTE_API},
		{"ABCDEFGHIJK /sync/pull HTTP/1.1\r\n", HTTP_ROUTE_OTHER},
		{"\x16\x03\x01 some TLS", HTTP_ROUTE_OTHER},
	};

	(void) state;
	assert_int_equal(http_route("", 0), HTTP_ROUTE_MORE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		HttpRoute route = HTTP_ROUTE_MORE;

		for (size_t len = 0; len <= strlen(cases[i].text); len++)
		{
			HttpRoute now = http_route(cases[i].text, len);

			assert_true(route == HTTP_ROUTE_MORE || route == now);
			assert_true(now != HTTP_ROUTE_MORE || len < HTTP_ROUTE_BYTES);
			route = now;
		}
		assert_int_equal(route, cases[i].route);
	}
}

static HttpHeadResult
parse(const char *text, HttpHead *head)
{
	return http_head_parse(text, strlen(text), head);
}

static void
test_head(void **state)
{
	static const char text[] = "POST /sync/push?a=b HTTP/1.1\r\n"
							   "Host: x\r\n"
							   "authorization:bearer  abc.def \r\n"
							   "CONTENT-LENGTH: 12\r\n"
							   "Expect: 100-continue\r\n"
							   "\r\nbody";
	HttpHead head;

	(void) state;
	assert_int_equal(parse(text, &head), HTTP_HEAD_OK);
	assert_int_equal(head.len, sizeof(text) - 1 - 4);
	assert_true(http_span_is(head.method, "POST"));
	assert_true(http_span_is(head.path, "/sync/push"));
	assert_true(http_span_is(head.query, "a=b"));
	assert_true(http_span_is(head.token, "abc.def"));
	assert_true(head.has_length && head.expects && !head.has_encoding);
	assert_int_equal(head.content_length, 12);
	for (size_t len = 0; len < sizeof(text) - 1 - 4; len++)
		assert_int_equal(http_head_parse(text, len, &head), HTTP_HEAD_MORE);

	assert_int_equal(parse("GET / HTTP/1.0\r\nAuthorization: Basic "
						   "eA==\r\n\r\n",
						   &head),
					 HTTP_HEAD_OK);
	assert_int_equal(head.token.len, 0);
	assert_int_equal(head.query.len, 0);
}

/* What two readers could understand differently. */
static void
test_unclear(void **state)
{
	static const char *const texts[] = {
		"\r\n\r\n",
		"GET\r\n\r\n",
		"GET /\r\n\r\n",
		" / HTTP/1.1\r\n\r\n",
		"GET x HTTP/1.1\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.11\r\n\r\n",
		"GET /a b HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nx\r\n\r\n",
		"GET / HTTP/1.1\r\n: x\r\n\r\n",
		"GET / HTTP/1.1\r\nx : y\r\n\r\n",
		"GET / HTTP/1.1\r\nx: y\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nx: y\nContent-Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nx: y\rz: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
		"GET / HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
		"GET / HTTP/1.1\r\nAuthorization: Bearer a\r\n"
		"Authorization: Bearer b\r\n\r\n",
	};
	static const char nul[] = "GET / HTTP/1.1\r\nx: \0\r\n\r\n";
	HttpHead head;

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (parse(texts[i], &head) != HTTP_HEAD_BAD)
			fail_msg("taken: %s", texts[i]);
	assert_int_equal(http_head_parse(nul, sizeof(nul) - 1, &head),
					 HTTP_HEAD_BAD);
}

static bool
argument(const char *query, const char *name, char *out, size_t size)
{
	return http_argument((HttpSpan){query, strlen(query)}, name, out, size);
}

static void
test_argument(void **state)
{
	static const char *const bad[] = {"a=%",	 "a=%4",
									  "a=%4g",	 "a=%00",
									  "a=%ff",	 "a=%c3",
									  "a=1&a=1", "a=1234567890123456"};
	char out[16];

	(void) state;
	assert_true(argument("b=x&a=1%2b+%C3%a4&ab=3", "a", out, sizeof(out)));
	assert_string_equal(out, "1+ \xC3\xA4");
	assert_true(argument("ab=3&&b&=4", "a", out, sizeof(out)));
	assert_string_equal(out, "");
	assert_true(argument("a=", "a", out, sizeof(out)));
	assert_string_equal(out, "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (argument(bad[i], "a", out, sizeof(out)))
			fail_msg("taken: %s", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_unclear),
		cmocka_unit_test(test_argument),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
