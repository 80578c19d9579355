/*
 * auth_message.c
 *		The message that brings a token, in whatever dialect.
 *
 * The dialects share this one message, because until it has come the relay
 * does not know to whom it speaks, and need not know how.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "auth_message.h"

#include <string.h>

#define TYPE_AUTH "\"AUTH\""

AuthMessageKind
auth_message_read(const char *text, size_t len, JsonSpan *token)
{
	JsonCursor cursor;
	JsonMember member;
	AuthMessageKind kind = AUTH_MESSAGE_NONE;
	int types = 0;
	int tokens = 0;
	bool plain = true;

	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
	{
		bool is_type = json_equals(member.key, "type");

		if (!is_type && !json_equals(member.key, "token"))
			continue;
		if (member.type != JSON_STRING || member.key_escaped ||
			member.value_escaped)
			plain = false;
		if (!is_type)
		{
			tokens++;
			*token = member.value;
			continue;
		}
		types++;
		if (json_equals(member.value, "AUTH"))
			kind = AUTH_MESSAGE_AUTH;
		else if (json_equals(member.value, "hello"))
			kind = AUTH_MESSAGE_HELLO;
	}
	if (cursor.result != JSON_OK || types != 1 || tokens != 1 || !plain ||
		token->len == 0)
		return AUTH_MESSAGE_NONE;
	return kind;
}

bool
auth_message_maybe(const char *text, size_t len)
{
	return memmem(text, len, TYPE_AUTH, strlen(TYPE_AUTH)) != NULL;
}
