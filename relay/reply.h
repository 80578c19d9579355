/*
 * reply.h
 *		What a session owes its client: answers, in the order of the questions.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_REPLY_H
#define MIRUSYNC_REPLY_H

#include "session.h"

typedef enum ReplyKind
{
	REPLY_PUSH,	 /* to a change, or several */
	REPLY_SYNC,	 /* to a SYNC_REQUEST; events only */
	REPLY_HELLO, /* to a hello; native only */
	REPLY_NOW,	 /* waits for the welcome only; native only */
	REPLY_ERROR	 /* to something that was none of these */
} ReplyKind;

struct Reply
{
	Reply *prev; /* the session's replies */
	Reply *next;
	Session *session;
	ReplyKind kind;
	VerdictKind verdict; /* for PUSH, once ready */
	bool ready;			 /* may leave, if the cursor has come to seq */
	bool sent_any;		 /* for SYNC, once ready */
	Push *push;			 /* for PUSH, until ready */
	CatchUpFrom from;	 /* for SYNC, until it starts */
	int64_t seq;		 /* a promise: not before the cursor is there */
	Message *body;		 /* for this session alone, before it, or all of it */
	char *error;		 /* text of an error, or NULL */
	ErrorCode code;		 /* of an error */
	char sqlstate[6];	 /* of an error of the database, or "" */
	bool has_ref;		 /* native: what the device calls its message */
	int64_t ref;
};

/* reply_new appends a reply that is not ready. */
extern Reply *reply_new(Session *session, ReplyKind kind);

/* reply_error makes a reply an error that is ready. */
extern void reply_error(Reply *reply, ErrorCode code, const char *text);

/* reply_verdict makes the answer to a push ready. */
extern void reply_verdict(Reply *reply, const Verdict *verdict);

/* reply_flush sends what is ready, in order, as far as the cursor allows. */
extern void reply_flush(Session *session);

/*
 * reply_drop_lost makes errors of the promises that cannot come true: the
 * feed's head is "head", all numbers up to "heard" were given out before, and
 * a promise in between, or of an earlier epoch, was lost with its history.
 */
extern void reply_drop_lost(Session *session, int64_t head, int64_t heard);

/* reply_next_sync finds the oldest SYNC_REQUEST that has not been started. */
extern Reply *reply_next_sync(Session *session);

/* reply_clear forgets all; pushes under way go on without an answer. */
extern void reply_clear(Session *session);

#endif
