/*
 * native_frame.c
 *		Messages of mirusync.v1: the envelope in, the relay's own messages out.
 *
 * A key that is read here may not be spelt with an escape or stand twice
 * (json_pick).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "native_frame.h"

#include <string.h>

#include "frame.h"
#include "jsonout.h"

#define INTEGER_MAX ((INT64_C(1) << 53) - 1) /* what a browser counts to */
#define EPOCH_MAX	((INT64_C(1) << 21) - 1)
#define NUMBER_MAX	((INT64_C(1) << 32) - 1)

typedef enum EnvelopeKey
{
	KEY_TYPE,
	KEY_REF,
	KEY_PROTOCOL,
	KEY_DEVICE,
	KEY_APPLICATION,
	KEY_CURSORS,
	KEY_TOKEN,
	KEY_COUNT
} EnvelopeKey;

static const char *const key_names[KEY_COUNT] = {"type",		"ref",
												 "protocol",	"device",
												 "application", "cursors",
												 "token"};

#define ONCE " must stand once, and without escapes"

static const char *const ambiguous[KEY_COUNT] =
	{"type" ONCE,		 "ref" ONCE,	 "protocol" ONCE, "device" ONCE,
	 "application" ONCE, "cursors" ONCE, "token" ONCE};

/* read_integer reads 0 .. max. */
static bool
read_integer(const JsonMember *member, int64_t max, int64_t *value)
{
	return member->type == JSON_NUMBER && json_integer(member->value, value) &&
		*value >= 0 && *value <= max;
}

/* read_cursor reads {"epoch", "seq", "seen"}, of which only seq must be. */
static bool
read_cursor(JsonSpan text, NativeCursor *out)
{
	JsonCursor cursor;
	JsonMember member;
	int64_t epoch = 0;
	int64_t seq = -1;
	int64_t seen = 0;

	json_open(&cursor, text.text, text.len);
	while (json_next(&cursor, &member))
	{
		if ((json_equals(member.key, "epoch") &&
			 !read_integer(&member, EPOCH_MAX, &epoch)) ||
			(json_equals(member.key, "seq") &&
			 !read_integer(&member, NUMBER_MAX, &seq)) ||
			(json_equals(member.key, "seen") &&
			 !read_integer(&member, NUMBER_MAX, &seen)))
			return false;
	}
	if (cursor.type != JSON_OBJECT || seq < 0)
		return false;
	out->cursor = seq == 0 ? 0 : (epoch << 32) + seq;
	out->seen = seen == 0 ? 0 : (epoch << 32) + seen;
	return true;
}

/* read_cursors checks all and keeps that of the feed. */
static bool
read_cursors(const JsonMember *cursors, const char *feed, NativeCursor *out)
{
	JsonCursor cursor;
	JsonMember member;

	if (cursors->type != JSON_OBJECT)
		return false;
	json_open(&cursor, cursors->value.text, cursors->value.len);
	while (json_next(&cursor, &member))
	{
		NativeCursor one;

		if (member.type != JSON_OBJECT || !read_cursor(member.value, &one))
			return false;
		if (feed != NULL && json_equals(member.key, feed))
			*out = one;
	}
	return true;
}

static const char *
read_type(const JsonPicked *type, bool untyped, MessageType *out)
{
	*out = MESSAGE_TYPES;
	if (untyped)
		return type->has ? "type must not stand in a request" : NULL;
	for (int i = 0; type->has && i < MESSAGE_TYPES; i++)
		if (type->member.type == JSON_STRING &&
			json_equals(type->member.value, message_types[i]))
			*out = (MessageType) i;
	if (*out == MESSAGE_HELLO || *out == MESSAGE_PUSH || *out == MESSAGE_PING ||
		*out == MESSAGE_TOKEN)
		return NULL;
	return "type must be \"hello\", \"push\", \"ping\" or \"token\"";
}

/* read_text copies a string; false if it is none, or empty, or too long. */
static bool
read_text(const JsonMember *member, char *out, size_t size)
{
	size_t len;

	return member->type == JSON_STRING &&
		json_unescape(member->value, out, size, &len) && len > 0;
}

/* Returns what is wrong, or NULL.  Of ref there is a value if it was good. */
static const char *
read_envelope(const JsonPicked *keys, const char *feed, bool untyped,
			  NativeFrame *out)
{
	const JsonMember *token = &keys[KEY_TOKEN].member;
	const char *reason;

	for (int key = 0; key < KEY_COUNT; key++)
		if (keys[key].ambiguous)
			return ambiguous[key];
	reason = read_type(&keys[KEY_TYPE], untyped, &out->type);
	if (reason != NULL)
		return reason;
	if (keys[KEY_REF].has && !out->has_ref)
		return "ref must be an integer from 0 to 2^53 - 1";
	if (keys[KEY_DEVICE].has &&
		!read_text(&keys[KEY_DEVICE].member, out->device, sizeof(out->device)))
		return NATIVE_DEVICE_REASON;
	/* For the log only. */
	if (keys[KEY_APPLICATION].has &&
		!read_text(&keys[KEY_APPLICATION].member, out->application,
				   sizeof(out->application)))
		out->application[0] = '\0';
	out->has_protocol = keys[KEY_PROTOCOL].has;
	if (out->has_protocol &&
		!read_integer(&keys[KEY_PROTOCOL].member, INTEGER_MAX, &out->protocol))
		return "protocol must be an integer";
	if (keys[KEY_CURSORS].has &&
		!read_cursors(&keys[KEY_CURSORS].member, feed, &out->cursor))
		return "cursors must be an object of {\"epoch\", \"seq\", \"seen\"} by "
			   "feed, with seq, all integers in their bounds";
	out->has_token = keys[KEY_TOKEN].has;
	if (out->has_token)
	{
		if (token->type != JSON_STRING || token->value_escaped)
			return "token must be a text without escapes";
		out->token = token->value;
	}
	return NULL;
}

ErrorCode
native_frame_parse(const char *text, size_t len, const char *feed, bool untyped,
				   NativeFrame *out)
{
	JsonCursor cursor;
	JsonMember member;
	JsonPicked keys[KEY_COUNT] = {0};

	memset(out, 0, sizeof(*out));
	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
		json_pick(&member, key_names, KEY_COUNT, keys);

	if (cursor.result == JSON_INVALID)
		return ERROR_BAD_JSON;
	out->has_ref = keys[KEY_REF].has &&
		read_integer(&keys[KEY_REF].member, INTEGER_MAX, &out->ref);
	if (cursor.result == JSON_UNSTORABLE)
	{
		out->reason =
			"JSON that jsonb refuses: \\u0000, half a surrogate pair, "
			"or a number too large";
		return ERROR_BAD_JSON;
	}
	if (cursor.result == JSON_TOO_DEEP)
		out->reason = "nested deeper than 64 levels";
	else if (cursor.type != JSON_OBJECT)
		out->reason = "a message must be a JSON object";
	else
		out->reason = read_envelope(keys, feed, untyped, out);
	return out->reason != NULL ? ERROR_BAD_MESSAGE : ERROR_CODES;
}

/* ---- messages out ---- */

static JsonOut
begin(char *buf, size_t size, MessageType type, const NativeFrame *frame)
{
	JsonOut out = {buf, size, 0, size == 0};

	jsonout_text(&out, "{");
	jsonout_pair(&out, "type", message_types[type]);
	if (frame != NULL && frame->has_ref)
		jsonout_number(&out, "ref", frame->ref);
	return out;
}

static size_t
end(JsonOut *out)
{
	jsonout_text(out, "}");
	return jsonout_end(out);
}

static void
put_time(JsonOut *out, int64_t now_ms)
{
	char time[32];

	frame_iso_time(time, now_ms);
	jsonout_pair(out, "time", time);
}

static void
put_limits(JsonOut *out, const NativeLimits *limits)
{
	jsonout_key(out, "limits");
	jsonout_text(out, "{");
	jsonout_number(out, "message_max_bytes", limits->message_max_bytes);
	jsonout_number(out, "batch_max_changes", 1000);
	jsonout_number(out, "pushes_max", limits->pushes_max);
	jsonout_number(out, "idle_timeout_ms", limits->idle_timeout_ms);
	jsonout_text(out, "}");
}

size_t
native_welcome(char *buf, size_t size, const NativeWelcome *welcome,
			   const NativeFrame *frame)
{
	JsonOut out = {buf, size, 0, size == 0};

	if (welcome->session != NULL)
	{
		out = begin(buf, size, MESSAGE_WELCOME, frame);
		jsonout_number(&out, "protocol", NATIVE_PROTOCOL);
		jsonout_pair(&out, "session", welcome->session);
	}
	else
		jsonout_text(&out, "{");
	jsonout_pair(&out, "user", welcome->user);
	put_time(&out, welcome->now_ms);
	jsonout_number(&out, "token_expires_in_ms", welcome->token_expires_in_ms);
	put_limits(&out, &welcome->limits);
	jsonout_text(&out, ",");
	jsonout_text(&out, welcome->greeting + 1);
	return jsonout_end(&out);
}

size_t
native_pong(char *buf, size_t size, const NativeFrame *frame, int64_t now_ms,
			int64_t token_expires_in_ms)
{
	JsonOut out = begin(buf, size, MESSAGE_PONG, frame);

	put_time(&out, now_ms);
	jsonout_number(&out, "token_expires_in_ms", token_expires_in_ms);
	return end(&out);
}

size_t
native_token(char *buf, size_t size, const NativeFrame *frame,
			 int64_t token_expires_in_ms)
{
	JsonOut out = begin(buf, size, MESSAGE_TOKEN, frame);

	if (frame == NULL)
		jsonout_bool(&out, "expiring", true);
	jsonout_number(&out, "token_expires_in_ms", token_expires_in_ms);
	return end(&out);
}

size_t
native_goodbye(char *buf, size_t size, CloseCode code, const char *reason,
			   int64_t after_ms)
{
	JsonOut out = begin(buf, size, MESSAGE_GOODBYE, NULL);
	bool reconnect = close_reconnects(code);

	jsonout_number(&out, "code", code);
	jsonout_pair(&out, "reason", reason);
	jsonout_bool(&out, "reconnect", reconnect);
	if (reconnect)
		jsonout_number(&out, "after_ms", after_ms);
	return end(&out);
}

size_t
native_start_over(char *buf, size_t size, const char *feed, int64_t delay_ms)
{
	JsonOut out = begin(buf, size, MESSAGE_START_OVER, NULL);

	jsonout_pair(&out, "scope", "feed");
	jsonout_pair(&out, "feed", feed);
	jsonout_pair(&out, "reason", "history_lost");
	jsonout_number(&out, "delay_ms", delay_ms);
	return end(&out);
}

size_t
native_nothing(char *buf, size_t size, const char *feed, int64_t from,
			   int64_t to)
{
	JsonOut out = begin(buf, size, MESSAGE_CHANGES, NULL);

	jsonout_pair(&out, "feed", feed);
	jsonout_number(&out, "epoch", to >> 32);
	jsonout_number(&out, "from", from & NUMBER_MAX);
	jsonout_number(&out, "to", to & NUMBER_MAX);
	jsonout_bool(&out, "complete", true);
	jsonout_key(&out, "changes");
	jsonout_text(&out, "[]");
	return end(&out);
}

size_t
native_error(char *buf, size_t size, const NativeError *error, bool http)
{
	const ErrorInfo *info = &error_infos[error->code];
	const char *reason = error->reason != NULL ? error->reason : info->meaning;
	JsonOut out = {buf, size, 0, size == 0};

	jsonout_text(&out, http ? "{\"error\":{" : "{");
	if (!http)
		jsonout_pair(&out, "type", message_types[MESSAGE_ERROR]);
	if (error->has_ref)
		jsonout_number(&out, "ref", error->ref);
	jsonout_pair(&out, "code", info->code);
	jsonout_bool(&out, "retry", info->retry);
	if (info->retry)
		jsonout_number(&out, "after_ms", error->after_ms);
	if (error->sqlstate != NULL && error->sqlstate[0] != '\0')
		jsonout_pair(&out, "sqlstate", error->sqlstate);
	jsonout_key(&out, "reason");
	jsonout_string(&out, reason, true, http ? 2 : 1);
	jsonout_text(&out, http ? "}}" : "}");
	return jsonout_end(&out);
}
