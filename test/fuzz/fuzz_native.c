/*
 * fuzz_native.c
 *		Any bytes as a message of mirusync.v1, and as the head of a request of
 *		the HTTP fallback.
 *
 * Beyond not crashing: what is taken has the shape that it promises, spans stay
 * within the text, answers are JSON, and a request means the same in pieces.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "native_frame.c"

#include <stdlib.h>

#include "httphead.h"

#define CLAIM(condition)                                                       \
	do                                                                         \
	{                                                                          \
		if (!(condition))                                                      \
			abort();                                                           \
	} while (0)

static bool
is_within(const char *part, size_t part_len, const char *text, size_t len)
{
	return part_len == 0 || (part >= text && part + part_len <= text + len);
}

static void
check_frame(const char *text, size_t len, bool untyped)
{
	char buf[NATIVE_REPLY_MAX];
	NativeFrame frame;
	ErrorCode code = native_frame_parse(text, len, "anna", untyped, &frame);
	JsonResult json = json_check(text, len);
	size_t rendered;

	CLAIM(!frame.has_ref || (frame.ref >= 0 && frame.ref <= INTEGER_MAX));
	CLAIM(memchr(frame.device, '\0', sizeof(frame.device)) != NULL);
	if (json == JSON_INVALID)
		CLAIM(code == ERROR_BAD_JSON);
	rendered = native_pong(buf, sizeof(buf), &frame, (int64_t) len, 0);
	CLAIM(rendered > 0 && json_check(buf, rendered) == JSON_OK);
	if (code != ERROR_CODES)
		return;
	CLAIM(json == JSON_OK);
	CLAIM(untyped == (frame.type == MESSAGE_TYPES));
	CLAIM(frame.cursor.cursor >= 0 && frame.cursor.seen >= 0);
	CLAIM(is_within(frame.token.text, frame.token.len, text, len));
}

static void
check_error(const char *text, size_t len)
{
	char *terminated = malloc(len + 1);
	char buf[NATIVE_REPLY_MAX];
	NativeError error = {.code = (ErrorCode) (len % ERROR_CODES),
						 .reason = terminated};
	size_t rendered;

	CLAIM(terminated != NULL);
	memcpy(terminated, text, len);
	terminated[len] = '\0';
	rendered = native_error(buf, sizeof(buf), &error, len % 2 == 0);
	CLAIM(rendered > 0 && json_check(buf, rendered) == JSON_OK);
	free(terminated);
}

static void
check_head(const char *text, size_t len)
{
	HttpHead head;
	HttpHeadResult result = http_head_parse(text, len, &head);
	HttpRoute route = http_route(text, len);
	char out[64];

	CLAIM(route != HTTP_ROUTE_MORE || len < HTTP_ROUTE_BYTES);
	for (size_t i = 0; i < len; i++)
	{
		HttpRoute sooner = http_route(text, i);

		CLAIM(sooner == HTTP_ROUTE_MORE || sooner == route);
	}
	if (result != HTTP_HEAD_OK)
		return;
	CLAIM(head.len <= len);
	CLAIM(head.content_length >= 0);
	CLAIM(is_within(head.path.text, head.path.len, text, head.len));
	CLAIM(is_within(head.query.text, head.query.len, text, head.len));
	CLAIM(is_within(head.token.text, head.token.len, text, head.len));
	if (http_argument(head.query, "a", out, sizeof(out)))
		CLAIM(memchr(out, '\0', sizeof(out)) != NULL);
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;

	check_frame(text, size, false);
	check_frame(text, size, true);
	check_error(text, size);
	check_head(text, size);
	return 0;
}
