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
	REPLY_PUSH, /* to a change */
	REPLY_SYNC, /* to a SYNC_REQUEST */
	REPLY_ERROR /* to something that was neither */
} ReplyKind;

struct Reply
{
	Reply *prev; /* the session's replies */
	Reply *next;
	Session *session;
	ReplyKind kind;
	VerdictKind verdict; /* for PUSH, once ready */
	bool ready;			 /* may leave, if the cursor has come to seq */
	bool retryable;		 /* of an error */
	bool sent_any;		 /* for SYNC, once ready */
	Push *push;			 /* for PUSH, until ready */
	CatchUpFrom from;	 /* for SYNC, until it starts */
	int64_t seq;		 /* a promise: not before the cursor is there */
	Message *body;		 /* event for this session alone, before it */
	char *error;		 /* text of an ERROR, or NULL */
};

/* reply_new appends a reply that is not ready. */
extern Reply *reply_new(Session *session, ReplyKind kind);

/* reply_error makes a reply an ERROR that is ready. */
extern void reply_error(Reply *reply, const char *text, bool retryable);

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
