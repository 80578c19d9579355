/*
 * reply.c
 *		What a session owes its client: answers, in the order of the questions.
 *
 * Owns the replies of the sessions.
 *
 * Promise: a number is not sent before everything below it is.  The client
 * takes the highest number that it ever saw as its cursor, so an answer with
 * the number N waits until the session's cursor, which moves with catch-up
 * pages, live events and skipped changes of its own, has come to N; and those
 * behind it wait with it.  If the history that the number belonged to was
 * lost (a restored backup, a standby that lagged) it will never come there:
 * then the change is lost too, and the client is asked to send it again.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reply.h"

#include <utlist.h>

#include "alloc.h"
#include "writer.h"

Reply *
reply_new(Session *session, ReplyKind kind)
{
	Reply *reply = alloc_zero(sizeof(Reply));

	reply->session = session;
	reply->kind = kind;
	DL_APPEND(session->replies, reply);
	session->reply_count++;
	return reply;
}

static void
reply_free(Reply *reply)
{
	Session *session = reply->session;

	DL_DELETE(session->replies, reply);
	session->reply_count--;
	if (session->sync == reply)
		session->sync = NULL;
	if (reply->push != NULL)
		writer_forget(reply->push);
	message_unref(reply->body);
	free(reply->from.since);
	free(reply->error);
	free(reply);
}

void
reply_error(Reply *reply, ErrorCode code, const char *text)
{
	reply->error = alloc_string(text);
	reply->code = code;
	reply->ready = true;
}

void
reply_verdict(Reply *reply, const Verdict *verdict)
{
	reply->push = NULL;
	reply->verdict = verdict->kind;
	if (verdict->kind == VERDICT_REJECTED ||
		verdict->kind == VERDICT_UNAVAILABLE)
	{
		memcpy(reply->sqlstate, verdict->sqlstate, sizeof(reply->sqlstate));
		reply_error(reply,
					verdict->kind == VERDICT_REJECTED ? ERROR_REFUSED
													  : ERROR_UNAVAILABLE,
					verdict->reason);
		return;
	}
	reply->seq = verdict->seq;
	reply->body = message_lines(verdict->body);
	reply->ready = true;
}

/* The epoch of a number: see cursor.h of the extension. */
static int64_t
epoch_of(int64_t seq)
{
	return seq >> 32;
}

/* Will the session ever come to the reply's number? */
static bool
is_lost(const Reply *reply, int64_t head, int64_t heard)
{
	if (!reply->ready || reply->seq <= reply->session->cursor)
		return false;
	return epoch_of(reply->seq) < epoch_of(head) ||
		(reply->seq > head && reply->seq <= heard);
}

void
reply_drop_lost(Session *session, int64_t head, int64_t heard)
{
	Reply *reply;

	DL_FOREACH(session->replies, reply)
	{
		if (!is_lost(reply, head, heard))
			continue;
		reply->seq = 0;
		message_unref(reply->body);
		reply->body = NULL;
		if (reply->kind == REPLY_PUSH)
			reply_error(reply, ERROR_UNAVAILABLE,
						"Change lost, please try again");
	}
	reply_flush(session);
}

void
reply_flush(Session *session)
{
	Reply *reply;

	while ((reply = session->replies) != NULL && reply->ready &&
		   reply->seq <= session->cursor)
	{
		session->dialect->send_reply(reply);
		reply_free(reply);
	}
}

Reply *
reply_next_sync(Session *session)
{
	Reply *reply;

	DL_FOREACH(session->replies, reply)
		if (reply->kind == REPLY_SYNC && !reply->ready)
			return reply;
	return NULL;
}

void
reply_clear(Session *session)
{
	while (session->replies != NULL)
		reply_free(session->replies);
}
