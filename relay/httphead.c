/*
 * httphead.c
 *		Heads of HTTP/1.1 requests as text: what a request is for, and what
 *		the fallback needs of it.  Pure.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "httphead.h"

#include <string.h>
#include <strings.h>

#include "utf8.h"

#define METHOD_MAX 10 /* bytes; what is longer is no method of ours */

static const char *const paths[] = {"/sync/push",	   "/sync/pull",
									"/sync/status",	   "/sync/history",
									"/sync/conflicts", "/sync/resolve"};

#define PATHS (sizeof(paths) / sizeof(paths[0]))

/* route_path looks at what follows the method. */
static HttpRoute
route_path(const char *text, size_t len)
{
	HttpRoute route = HTTP_ROUTE_OTHER;

	for (size_t i = 0; i < PATHS; i++)
	{
		size_t path = strlen(paths[i]);

		if (len <= path && memcmp(text, paths[i], len) == 0)
			route = HTTP_ROUTE_MORE;
		else if (len > path && memcmp(text, paths[i], path) == 0 &&
				 (text[path] == ' ' || text[path] == '?'))
			return HTTP_ROUTE_API;
	}
	return route;
}

HttpRoute
http_route(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && i < METHOD_MAX && text[i] >= 'A' && text[i] <= 'Z')
		i++;
	if (i == len)
		return HTTP_ROUTE_MORE;
	if (i == 0 || text[i] != ' ')
		return HTTP_ROUTE_OTHER;
	return route_path(text + i + 1, len - i - 1);
}

bool
http_span_is(HttpSpan span, const char *text)
{
	return span.text != NULL && span.len == strlen(text) &&
		memcmp(span.text, text, span.len) == 0;
}

static bool
names(HttpSpan header, const char *name)
{
	return header.len == strlen(name) &&
		strncasecmp(header.text, name, header.len) == 0;
}

static HttpSpan
trim(const char *text, size_t len)
{
	while (len > 0 && (*text == ' ' || *text == '\t'))
	{
		text++;
		len--;
	}
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	return (HttpSpan){text, len};
}

static bool
read_length(HttpSpan value, HttpHead *out)
{
	int64_t length = 0;

	if (out->has_length || value.len == 0 || value.len > 15)
		return false;
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.text[i] < '0' || value.text[i] > '9')
			return false;
		length = length * 10 + (value.text[i] - '0');
	}
	out->has_length = true;
	out->content_length = length;
	return true;
}

static bool
read_authorization(HttpSpan value, HttpHead *out)
{
	static const char scheme[] = "Bearer ";
	size_t skip = sizeof(scheme) - 1;

	if (out->token.text != NULL)
		return false;
	/* Another scheme is as good as none. */
	out->token = (HttpSpan){value.text, 0};
	if (value.len > skip && strncasecmp(value.text, scheme, skip) == 0)
		out->token = trim(value.text + skip, value.len - skip);
	return true;
}

static bool
read_origin(HttpSpan value, HttpHead *out)
{
	if (out->origin.text != NULL)
		return false;
	out->origin = value;
	return true;
}

static bool
read_header(const char *line, size_t len, HttpHead *out)
{
	const char *colon = memchr(line, ':', len);
	HttpSpan name;
	HttpSpan value;

	if (colon == NULL || colon == line || line[0] == ' ' || line[0] == '\t' ||
		colon[-1] == ' ' || colon[-1] == '\t')
		return false;
	name = (HttpSpan){line, (size_t) (colon - line)};
	value = trim(colon + 1, len - name.len - 1);
	if (names(name, "content-length"))
		return read_length(value, out);
	if (names(name, "authorization"))
		return read_authorization(value, out);
	if (names(name, "origin"))
		return read_origin(value, out);
	if (names(name, "x-forwarded-for"))
		out->forwarded = value;
	else if (names(name, "transfer-encoding"))
		out->has_encoding = true;
	else if (names(name, "expect"))
		out->expects = true;
	return true;
}

/* METHOD SP target SP HTTP/1.x */
static bool
read_request_line(const char *line, size_t len, HttpHead *out)
{
	const char *end = line + len;
	const char *target = memchr(line, ' ', len);
	const char *version;
	const char *query;

	if (target == NULL || target == line)
		return false;
	out->method = (HttpSpan){line, (size_t) (target - line)};
	target++;
	version = memchr(target, ' ', (size_t) (end - target));
	if (version == NULL || target[0] != '/' || end - version != 9 ||
		memcmp(version, " HTTP/1.", 8) != 0 ||
		(version[8] != '0' && version[8] != '1'))
		return false;
	query = memchr(target, '?', (size_t) (version - target));
	out->path = (HttpSpan){target,
						   (size_t) ((query ? query : version) - target)};
	out->query = (HttpSpan){query ? query + 1 : version,
							query ? (size_t) (version - query - 1) : 0};
	return true;
}

HttpHeadResult
http_head_parse(const char *text, size_t len, HttpHead *out)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4);
	bool first = true;

	memset(out, 0, sizeof(*out));
	if (memchr(text, '\0', end ? (size_t) (end - text) : len) != NULL)
		return HTTP_HEAD_BAD;
	if (end == NULL)
		return HTTP_HEAD_MORE;
	out->len = (size_t) (end - text) + 4;
	while (text <= end)
	{
		size_t rest = (size_t) (end + 2 - text);
		const char *next = memmem(text, rest, "\r\n", 2);
		size_t line = (size_t) (next - text);

		/* A bare end of line of either kind is none to us, but may be to others. */
		if (memchr(text, '\n', line) != NULL ||
			memchr(text, '\r', line) != NULL)
			return HTTP_HEAD_BAD;
		if (!(first ? read_request_line(text, line, out)
					: read_header(text, line, out)))
			return HTTP_HEAD_BAD;
		first = false;
		text = next + 2;
	}
	return HTTP_HEAD_OK;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* decode undoes form encoding. */
static bool
decode(HttpSpan value, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < value.len; i++)
	{
		char c = value.text[i];

		if (c == '+')
			c = ' ';
		else if (c == '%')
		{
			int high = value.len - i > 2 ? hex(value.text[i + 1]) : -1;
			int low = value.len - i > 2 ? hex(value.text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char) (high * 16 + low);
			i += 2;
		}
		if (c == '\0' || used + 1 >= size)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	for (size_t i = 0; i < used;)
	{
		size_t step = utf8_length(out + i, used - i);

		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

bool
http_argument(HttpSpan query, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);
	bool found = false;

	out[0] = '\0';
	while (query.len > 0)
	{
		const char *end = memchr(query.text, '&', query.len);
		size_t len = end ? (size_t) (end - query.text) : query.len;

		if (len > name_len && query.text[name_len] == '=' &&
			memcmp(query.text, name, name_len) == 0)
		{
			HttpSpan value = {query.text + name_len + 1, len - name_len - 1};

			if (found || !decode(value, out, size))
				return false;
			found = true;
		}
		query.text += len;
		query.len -= len;
		if (query.len > 0)
		{
			query.text++;
			query.len--;
		}
	}
	return true;
}
