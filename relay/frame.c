/*
 * frame.c
 *		Messages of the practice-log event protocol: the envelope in, the
 *		relay's own four messages out.
 *
 * The envelope is four top-level keys.  jsonb resolves escapes in keys and
 * keeps the last of duplicates, so a message that spells one of the four with
 * an escape, or gives it twice, could mean one thing here and another in SQL:
 * both are refused.  All other keys are SQL's business alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "frame.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "jsonout.h"

#define LAST_SEQ_MAX ((INT64_C(1) << 53) - 1) /* what a browser counts to */
#define ISO_TIME_LEN 24

/* Milliseconds of 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z. */
#define ISO_MS_MIN INT64_C(-62135596800000)
#define ISO_MS_MAX INT64_C(253402300799999)

typedef enum EnvelopeKey
{
	KEY_TYPE,
	KEY_TIMESTAMP,
	KEY_LAST_SEQ,
	KEY_LAST_SYNC_TIME,
	KEY_COUNT
} EnvelopeKey;

static const char *const key_names[KEY_COUNT] = {"type", "timestamp", "lastSeq",
												 "lastSyncTime"};

/* two_digits reads a number of two digits up to "max"; -1 if it is none. */
static int
two_digits(const char *text, int max)
{
	int value;

	if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
		return -1;
	value = (text[0] - '0') * 10 + (text[1] - '0');
	return value <= max ? value : -1;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

bool
frame_is_iso_time(const char *text, size_t len)
{
	static const char shape[] = "....-..-..T..:..:..";
	const size_t plain = sizeof(shape) - 1;
	int century;
	int year;
	int month;
	int day;
	size_t i;

	/* a fraction is a point and one to nine digits */
	if (len < plain + 1 || len == plain + 2 || len > plain + 11 ||
		text[len - 1] != 'Z')
		return false;
	for (i = 0; i < plain; i++)
	{
		if (shape[i] != '.' && text[i] != shape[i])
			return false;
	}
	if (len > plain + 1 && text[plain] != '.')
		return false;
	for (i = plain + 1; i + 1 < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
	}

	century = two_digits(text, 99);
	year = two_digits(text + 2, 99);
	month = two_digits(text + 5, 12);
	day = two_digits(text + 8, 31);
	if (century < 0 || year < 0 || month < 1 || day < 1)
		return false;
	year += century * 100;

	/* the calendar has no year 0, and neither has PostgreSQL */
	return year > 0 && day <= days_in_month(year, month) &&
		two_digits(text + 11, 23) >= 0 && two_digits(text + 14, 59) >= 0 &&
		two_digits(text + 17, 59) >= 0;
}

/* read_time checks a time and copies it to "out", its escapes resolved. */
static bool
read_time(const JsonMember *member, char out[64])
{
	size_t len;

	return member->type == JSON_STRING &&
		json_unescape(member->value, out, 64, &len) &&
		frame_is_iso_time(out, len);
}

/* read_envelope fills "out" from the members that were met. */
static bool
read_envelope(const JsonPicked *keys, Frame *out)
{
	const JsonMember *type = &keys[KEY_TYPE].member;
	const JsonMember *last_seq = &keys[KEY_LAST_SEQ].member;
	const JsonMember *last_sync_time = &keys[KEY_LAST_SYNC_TIME].member;
	char timestamp[64];
	size_t len;

	for (int key = 0; key < KEY_COUNT; key++)
		if (keys[key].ambiguous)
			return false;
	if (!keys[KEY_TYPE].has || type->type != JSON_STRING ||
		!json_unescape(type->value, out->type, sizeof(out->type), &len) ||
		len == 0)
		return false;
	if (!keys[KEY_TIMESTAMP].has ||
		!read_time(&keys[KEY_TIMESTAMP].member, timestamp))
		return false;

	if (keys[KEY_LAST_SEQ].has)
	{
		if (last_seq->type != JSON_NUMBER ||
			!json_integer(last_seq->value, &out->last_seq) ||
			out->last_seq < 0 || out->last_seq > LAST_SEQ_MAX)
			return false;
		out->has_last_seq = true;
	}

	if (keys[KEY_LAST_SYNC_TIME].has && last_sync_time->type != JSON_NULL &&
		strcmp(out->type, "SYNC_REQUEST") == 0)
	{
		if (!read_time(last_sync_time, out->last_sync_time))
			return false;
		out->has_last_sync_time = true;
	}
	return true;
}

FrameResult
frame_parse(const char *text, size_t len, Frame *out)
{
	JsonCursor cursor;
	JsonMember member;
	JsonPicked keys[KEY_COUNT] = {0};
	Frame frame;

	memset(&frame, 0, sizeof(frame));
	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
		json_pick(&member, key_names, KEY_COUNT, keys);

	if (cursor.result == JSON_INVALID)
		return FRAME_NOT_JSON;
	if (cursor.result != JSON_OK || cursor.type != JSON_OBJECT ||
		!read_envelope(keys, &frame))
		return FRAME_INVALID;
	*out = frame;
	return FRAME_OK;
}

size_t
frame_iso_time(char buf[32], int64_t now_ms)
{
	time_t seconds;
	struct tm tm;
	int len;

	if (now_ms < ISO_MS_MIN)
		now_ms = ISO_MS_MIN;
	if (now_ms > ISO_MS_MAX)
		now_ms = ISO_MS_MAX;

	/* towards the past, so that the rest is never negative */
	seconds = now_ms / 1000 - (now_ms % 1000 < 0 ? 1 : 0);
	gmtime_r(&seconds, &tm);

	/* the masks change nothing: they show the compiler that it fits */
	len = snprintf(buf, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
				   (unsigned) (tm.tm_year + 1900) & 0x3FFF,
				   (unsigned) (tm.tm_mon + 1) & 0x0F,
				   (unsigned) tm.tm_mday & 0x1F, (unsigned) tm.tm_hour & 0x1F,
				   (unsigned) tm.tm_min & 0x3F, (unsigned) tm.tm_sec & 0x3F,
				   (unsigned) (now_ms - (int64_t) seconds * 1000) & 0x3FF);
	return (size_t) len;
}

/* start_message writes the type, finish_message the time and the end. */
static JsonOut
start_message(char *buf, size_t size, const char *type)
{
	JsonOut out = {buf, size, 0, size == 0};

	jsonout_text(&out, "{\"type\":\"");
	jsonout_text(&out, type);
	jsonout_text(&out, "\"");
	return out;
}

static size_t
finish_message(JsonOut *out, int64_t now_ms)
{
	char time[32];

	frame_iso_time(time, now_ms);
	jsonout_text(out, ",\"timestamp\":\"");
	jsonout_text(out, time);
	jsonout_text(out, "\"}");
	if (out->full)
	{
		if (out->size > 0)
			out->buf[0] = '\0';
		return 0;
	}
	out->buf[out->len] = '\0';
	return out->len;
}

size_t
frame_welcome(char *buf, size_t size, int64_t now_ms)
{
	JsonOut out = start_message(buf, size, "WELCOME");

	/* the words are part of the protocol */
	jsonout_text(&out, ",\"message\":\"Connected to Mirubato sync\"");
	return finish_message(&out, now_ms);
}

size_t
frame_pong(char *buf, size_t size, int64_t now_ms)
{
	JsonOut out = start_message(buf, size, "PONG");

	return finish_message(&out, now_ms);
}

size_t
frame_auth(char *buf, size_t size, int64_t now_ms, int64_t expires_ms)
{
	JsonOut out = start_message(buf, size, "AUTH");
	char expires[32];

	frame_iso_time(expires, expires_ms);
	jsonout_text(&out, ",\"message\":\"Token accepted\",\"expiresAt\":\"");
	jsonout_text(&out, expires);
	jsonout_text(&out, "\"");
	return finish_message(&out, now_ms);
}

size_t
frame_sync_response(char *buf, size_t size, int64_t now_ms, const char *message,
					int64_t last_seq)
{
	JsonOut out = start_message(buf, size, "SYNC_RESPONSE");
	char number[32];

	jsonout_text(&out, ",\"message\":");
	jsonout_string(&out, message, false, 0);
	snprintf(number, sizeof(number), ",\"lastSeq\":%lld", (long long) last_seq);
	jsonout_text(&out, number);
	return finish_message(&out, now_ms);
}

size_t
frame_error(char *buf, size_t size, int64_t now_ms, const char *text,
			bool retryable)
{
	static const char again[] = ",\"retryable\":true";
	static const char tail[] = ",\"timestamp\":\"\"}";
	JsonOut out = start_message(buf, size, "ERROR");
	size_t reserve = sizeof(tail) - 1 + ISO_TIME_LEN;

	if (retryable)
		reserve += sizeof(again) - 1;
	jsonout_text(&out, ",\"error\":");
	jsonout_string(&out, text, true, reserve);
	if (retryable)
		jsonout_text(&out, again);
	return finish_message(&out, now_ms);
}
