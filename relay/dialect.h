/*
 * dialect.h
 *		What differs between the two protocols that sessions speak.
 *
 * Everything else, from the transport to the feeds, knows no dialect: it calls
 * through this table.  A session gets its dialect at the handshake, for ever.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DIALECT_H
#define MIRUSYNC_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth_message.h"
#include "codes.h"
#include "message.h"

struct Session;
struct Reply;
struct Verdict;
struct FeedDelivery;

typedef enum DialectId
{
	DIALECT_EVENT, /* no subprotocol */
	DIALECT_NATIVE,
	DIALECTS
} DialectId;

/* A set of them: 1 << DialectId. */
typedef unsigned DialectSet;

#define DIALECT_SET(id) (1u << (id))
#define DIALECT_ALL		(DIALECT_SET(DIALECTS) - 1)

/* A buffer for goodbye. */
#define DIALECT_GOODBYE_MAX 512

typedef struct Dialect
{
	DialectId id;
	const char *name;			  /* in SQL */
	int first_wait_ms;			  /* for the first message; 0: hello_timeout */
	AuthMessageKind auth_message; /* brings the token, where none came before */

	/* The session begins; may be NULL. */
	void (*on_open)(struct Session *session);
	/* A message came; the session is not closing. */
	void (*on_message)(struct Session *session, const char *text, size_t len);
	/* The first message did not come in time. */
	void (*on_no_message)(struct Session *session);
	/* What the database says to a REPLY_HELLO; NULL: there are none. */
	void (*on_greeting)(struct Session *session, struct Reply *reply,
						const struct Verdict *verdict);
	/* Send what a reply is about, and forget it afterwards. */
	void (*send_reply)(struct Reply *reply);
	/* Before a message of the feed is sent; may be NULL. */
	void (*on_interval)(struct Session *session,
						const struct FeedDelivery *delivery);
	/* Before what waits is written to the socket; may be NULL. */
	void (*on_flush)(struct Session *session);
	/* A history was lost: says so, and how long to wait; may be NULL. */
	int64_t (*on_start_over)(struct Session *session);
	/* All that was there has been sent; may be NULL. */
	void (*on_caught_up)(struct Session *session, bool sent_any);
	/* And live messages may follow; may be NULL. */
	void (*on_live)(struct Session *session);
	/* The session's token ends soon; may be NULL. */
	void (*on_expiry)(struct Session *session);
	/* Writes what is said before the close frame; may be NULL. */
	size_t (*goodbye)(char *buf, size_t size, CloseCode code,
					  const char *reason);
} Dialect;

extern const Dialect dialect_events; /* dialect_events.c */
extern const Dialect dialect_native; /* dialect_native.c */

/* dialect_names writes the names of a set, for SQL: "event,native". */
static inline const char *
dialect_names(DialectSet set)
{
	if (set == DIALECT_ALL)
		return "event,native";
	return set == DIALECT_SET(DIALECT_NATIVE) ? "native" : "event";
}

#endif
