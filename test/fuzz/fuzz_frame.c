/*
 * fuzz_frame.c
 *		Any bytes as a client's message.
 *
 * Beyond not crashing: spans stay within the text, the verdict of the walk and
 * that of the check agree, what is taken has the shape that it promises, and
 * any bytes rendered as an error text give valid JSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "frame.c"

#include <stdlib.h>

#define CLAIM(condition)                                                       \
	do                                                                         \
	{                                                                          \
		if (!(condition))                                                      \
			abort();                                                           \
	} while (0)

static void
check_scanner(const char *text, size_t len)
{
	JsonCursor cursor;
	JsonMember member;
	char *out = malloc(len + 1);

	CLAIM(out != NULL);
	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
	{
		int64_t number;

		CLAIM(member.key.text >= text &&
			  member.key.text + member.key.len <= text + len);
		CLAIM(member.value.text >= text &&
			  member.value.text + member.value.len <= text + len);

		/* an unescaped text is never longer than the escaped one */
		CLAIM(json_unescape(member.key, out, len + 1, NULL) ||
			  cursor.result != JSON_OK);
		if (cursor.result == JSON_OK)
			CLAIM(json_equals(member.key, out));
		if (member.type == JSON_NUMBER)
			(void) !json_integer(member.value, &number);
		else if (member.type != JSON_STRING && cursor.result == JSON_OK)
			CLAIM(json_check(member.value.text, member.value.len) == JSON_OK);
	}
	CLAIM(cursor.result == json_check(text, len));
	free(out);
}

static void
check_frame(const char *text, size_t len)
{
	Frame frame;
	FrameResult result = frame_parse(text, len, &frame);
	JsonResult json = json_check(text, len);

	CLAIM((result == FRAME_NOT_JSON) == (json == JSON_INVALID));
	if (result != FRAME_OK)
		return;
	CLAIM(json == JSON_OK);
	CLAIM(frame.type[0] != '\0' && memchr(frame.type, '\0', 64) != NULL);
	CLAIM(!frame.has_last_seq ||
		  (frame.last_seq >= 0 && frame.last_seq <= LAST_SEQ_MAX));
	CLAIM(
		!frame.has_last_sync_time ||
		frame_is_iso_time(frame.last_sync_time, strlen(frame.last_sync_time)));
}

static void
check_error(const char *text, size_t len)
{
	char buf[FRAME_REPLY_MAX];
	char *terminated = malloc(len + 1);
	size_t size = len % 2 ? sizeof(buf) : 80 + len % 100;
	size_t rendered;

	CLAIM(terminated != NULL);
	memcpy(terminated, text, len);
	terminated[len] = '\0';
	rendered = frame_error(buf, size, (int64_t) len * 1000003, terminated,
						   len % 3 == 0);
	CLAIM(rendered < size);
	CLAIM(rendered == 0 || json_check(buf, rendered) == JSON_OK);
	free(terminated);
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_scanner((const char *) data, size);
	check_frame((const char *) data, size);
	check_error((const char *) data, size);
	return 0;
}
