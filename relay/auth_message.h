/*
 * auth_message.h
 *		The message that brings a token, in whatever dialect.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_AUTH_MESSAGE_H
#define MIRUSYNC_AUTH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

typedef enum AuthMessageKind
{
	AUTH_MESSAGE_NONE, /* none of both, or doubtful */
	AUTH_MESSAGE_AUTH, /* {"type":"AUTH","token":…}: says nothing else */
	AUTH_MESSAGE_HELLO /* {"type":"hello","token":…,…}: a greeting as well */
} AuthMessageKind;

/*
 * auth_message_read says whether a whole message brings a token, and where in
 * it.  A type or token that stands twice or is spelt with escapes brings none.
 */
extern AuthMessageKind
auth_message_read(const char *text, size_t len, JsonSpan *token);

/*
 * auth_message_maybe is a quick look for those who get many messages: false
 * means that auth_message_read would say AUTH_MESSAGE_NONE or _HELLO.
 */
extern bool auth_message_maybe(const char *text, size_t len);

#endif
