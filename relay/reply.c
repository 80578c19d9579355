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
#include "frame.h"
#include "metrics.h"
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
reply_error(Reply *reply, const char *text, bool retryable)
{
	reply->error = alloc_string(text);
	reply->retryable = retryable;
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
		reply_error(reply, verdict->reason,
					verdict->kind == VERDICT_UNAVAILABLE);
		return;
	}
	reply->seq = verdict->seq;
	if (verdict->body != NULL)
		reply->body = message_new(verdict->body, strlen(verdict->body));
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
			reply_error(reply, "Change lost, please try again", true);
	}
	reply_flush(session);
}

static void
send_reply(Reply *reply)
{
	Session *session = reply->session;
	char buf[FRAME_REPLY_MAX];
	int64_t now_ms = loop_wall_ms();
	const char *text = "Mutation applied";
	int64_t seq = reply->seq;
	size_t len;
	Message *message;

	if (reply->body != NULL)
	{
		metrics_message(METRIC_SENT_LIVE, reply->body->len);
		session_send(session, reply->body);
	}
	if (reply->kind == REPLY_SYNC)
		text = reply->sent_any ? "Sync complete" : "No new data to sync";
	/* Without a number of its own the last one sent serves. */
	if ((reply->kind == REPLY_PUSH && reply->verdict == VERDICT_UNCHANGED) ||
		(reply->kind == REPLY_SYNC && seq == 0))
		seq = session->cursor;
	if (reply->error != NULL)
		len = frame_error(buf, sizeof(buf), now_ms, reply->error,
						  reply->retryable);
	else
		len = frame_sync_response(buf, sizeof(buf), now_ms, text, seq);
	message = message_new(buf, len);
	metrics_message(METRIC_SENT_ANSWER, len);
	session_send(session, message);
	message_unref(message);
}

void
reply_flush(Session *session)
{
	Reply *reply;

	while ((reply = session->replies) != NULL && reply->ready &&
		   reply->seq <= session->cursor)
	{
		send_reply(reply);
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
