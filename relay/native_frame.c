/*
 * native_frame.c
 *		Messages of mirusync.v1: the envelope in, the relay's own messages out.
 *
 * jsonb resolves escapes in keys and keeps the last of duplicates, so a key
 * that is read here may not be spelt with an escape or stand twice: it could
 * mean one thing here and another in SQL.
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

typedef struct Envelope
{
	bool has[KEY_COUNT];
	JsonMember members[KEY_COUNT];
	bool ambiguous; /* one of the keys twice, or with escapes */
} Envelope;

static void
note_member(Envelope *envelope, const JsonMember *member)
{
	for (int key = 0; key < KEY_COUNT; key++)
	{
		if (!json_equals(member->key, key_names[key]))
			continue;
		if (member->key_escaped || envelope->has[key])
			envelope->ambiguous = true;
		envelope->has[key] = true;
		envelope->members[key] = *member;
		return;
	}
}

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

static bool
read_type(const Envelope *envelope, bool untyped, MessageType *out)
{
	const JsonMember *type = &envelope->members[KEY_TYPE];

	*out = MESSAGE_TYPES;
	if (!envelope->has[KEY_TYPE])
		return untyped;
	if (type->type != JSON_STRING || untyped)
		return false;
	for (int i = 0; i < MESSAGE_TYPES; i++)
		if (json_equals(type->value, message_types[i]))
			*out = (MessageType) i;
	return *out == MESSAGE_HELLO || *out == MESSAGE_PUSH ||
		*out == MESSAGE_PING || *out == MESSAGE_TOKEN;
}

/* read_text copies a string; false if it is none, or empty, or too long. */
static bool
read_text(const JsonMember *member, char *out, size_t size)
{
	size_t len;

	return member->type == JSON_STRING &&
		json_unescape(member->value, out, size, &len) && len > 0;
}

static bool
read_envelope(const Envelope *envelope, const char *feed, bool untyped,
			  NativeFrame *out)
{
	const JsonMember *members = envelope->members;

	if (envelope->ambiguous || !read_type(envelope, untyped, &out->type))
		return false;
	if (envelope->has[KEY_REF] && !out->has_ref)
		return false;
	if (envelope->has[KEY_DEVICE] &&
		!read_text(&members[KEY_DEVICE], out->device, sizeof(out->device)))
		return false;
	/* For the log only. */
	if (envelope->has[KEY_APPLICATION] &&
		!read_text(&members[KEY_APPLICATION], out->application,
				   sizeof(out->application)))
		out->application[0] = '\0';
	out->has_protocol = envelope->has[KEY_PROTOCOL];
	if (out->has_protocol &&
		!read_integer(&members[KEY_PROTOCOL], INTEGER_MAX, &out->protocol))
		return false;
	if (envelope->has[KEY_CURSORS] &&
		!read_cursors(&members[KEY_CURSORS], feed, &out->cursor))
		return false;
	out->has_token = envelope->has[KEY_TOKEN];
	if (out->has_token)
	{
		if (members[KEY_TOKEN].type != JSON_STRING ||
			members[KEY_TOKEN].value_escaped)
			return false;
		out->token = members[KEY_TOKEN].value;
	}
	return true;
}

ErrorCode
native_frame_parse(const char *text, size_t len, const char *feed, bool untyped,
				   NativeFrame *out)
{
	JsonCursor cursor;
	JsonMember member;
	Envelope envelope;

	memset(&envelope, 0, sizeof(envelope));
	memset(out, 0, sizeof(*out));
	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
		note_member(&envelope, &member);

	if (cursor.result == JSON_INVALID)
		return ERROR_BAD_JSON;
	out->has_ref = envelope.has[KEY_REF] &&
		read_integer(&envelope.members[KEY_REF], INTEGER_MAX, &out->ref);
	if (cursor.result == JSON_UNSTORABLE)
		return ERROR_BAD_JSON;
	if (cursor.result != JSON_OK || cursor.type != JSON_OBJECT ||
		!read_envelope(&envelope, feed, untyped, out))
		return ERROR_BAD_MESSAGE;
	return ERROR_CODES;
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
