/*
 * message.h
 *		One JSON text on its way out, shared by the sessions that it goes to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_MESSAGE_H
#define MIRUSYNC_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "alloc.h"
#include "metrics.h"

typedef struct Message
{
	uint32_t refs;		  /* outboxes, feeds and replies that hold it */
	struct Message *next; /* goes out after it; holds one reference */
	size_t len;
	int64_t since_us; /* when the relay had it */
	char text[];	  /* not terminated */
} Message;

/* message_new copies a text; the caller holds the only reference. */
static inline Message *
message_new(const char *text, size_t len)
{
	Message *message = alloc_resize(NULL, sizeof(Message) + len);

	message->refs = 1;
	message->next = NULL;
	message->len = len;
	message->since_us = metrics_now_us();
	memcpy(message->text, text, len);
	return message;
}

/* message_lines makes a message of each line of a text; NULL stays NULL. */
static inline Message *
message_lines(const char *text)
{
	Message *first = NULL;
	Message **end = &first;

	while (text != NULL)
	{
		const char *next = strchr(text, '\n');

		*end = message_new(text, next ? (size_t) (next - text) : strlen(text));
		end = &(*end)->next;
		text = next ? next + 1 : NULL;
	}
	return first;
}

static inline Message *
message_ref(Message *message)
{
	message->refs++;
	return message;
}

/* message_unref gives up one reference.  Safe on NULL. */
static inline void
message_unref(Message *message)
{
	while (message != NULL && --message->refs == 0)
	{
		Message *next = message->next;

		free(message);
		message = next;
	}
}

#endif
