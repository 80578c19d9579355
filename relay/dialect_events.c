/*
 * dialect_events.c
 *		The practice-log event protocol (docs/events-protocol.md).
 *
 * With its first message, or after a second without one, a session begins to
 * catch up: by its SYNC_REQUEST if that was the first message, else by what
 * changed in the last minute, because the client does not ask after a short
 * interruption and would miss what happened in it.
 *
 * Its clients take the highest number that they ever saw as their cursor, so
 * an answer with a number waits until everything up to it was sent (reply.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect.h"

#include "alloc.h"
#include "frame.h"
#include "reply.h"
#include "session.h"

/* The code with which SQL says that a message failed validation. */
#define SQLSTATE_INVALID_MESSAGE "MS422"

static void
catch_up_recent(Session *session)
{
	metrics_count(METRIC_CATCH_UP_OPENED);
	session_catch_up(session, &(CatchUpFrom){.kind = CATCH_UP_RECENT});
}

static void
on_open(Session *session)
{
	char buf[FRAME_REPLY_MAX];

	session_send_text(session, METRIC_SENT_CONTROL, buf,
					  frame_welcome(buf, sizeof(buf), loop_wall_ms()));
}

/* Starts the oldest SYNC_REQUEST that waits, unless one is being served. */
static void
serve_sync(Session *session)
{
	Reply *reply;
	CatchUpFrom from;

	if (session->catchup != NULL)
		return;
	reply = reply_next_sync(session);
	if (reply == NULL)
		return;
	from = reply->from;
	reply->from.since = NULL;
	session->sync = reply;
	/*
	 * Only the first page tells whether the number that the client names
	 * exists.  Until then no answer with a number may leave.
	 */
	session->cursor = 0;
	metrics_count(METRIC_CATCH_UP_ASKED);
	session_catch_up(session, &from);
}

static void
on_caught_up(Session *session, bool sent_any)
{
	Reply *sync = session->sync;

	if (sync == NULL)
		return;
	session->sync = NULL;
	sync->ready = true;
	sync->sent_any = sent_any;
	sync->seq = session->cursor;
}

static void
send_error(Session *session, ErrorCode code, const char *text)
{
	reply_error(reply_new(session, REPLY_ERROR), code, text);
	reply_flush(session);
}

static void
on_ping(Session *session)
{
	char buf[FRAME_REPLY_MAX];

	/* A client that pings and does not read gets no heap of PONGs. */
	if (!session_is_full(session))
		session_send_text(session, METRIC_SENT_CONTROL, buf,
						  frame_pong(buf, sizeof(buf), loop_wall_ms()));
}

static void
on_sync_request(Session *session, const Frame *frame)
{
	Reply *reply = reply_new(session, REPLY_SYNC);

	if (frame->has_last_seq && session->state == SESSION_NEW)
		metrics_count(METRIC_SESSIONS_RESUMED);
	reply->from.kind = CATCH_UP_AFTER;
	if (frame->has_last_seq)
		reply->from.after = frame->last_seq;
	else if (frame->has_last_sync_time)
	{
		reply->from.kind = CATCH_UP_SINCE;
		reply->from.since = alloc_string(frame->last_sync_time);
	}
	serve_sync(session);
}

/* A token within the session; true if the message was that. */
static bool
take_token(Session *session, const char *text, size_t len)
{
	JsonSpan token;
	char buf[FRAME_REPLY_MAX];
	Status status;

	if (!auth_message_maybe(text, len) ||
		auth_message_read(text, len, &token) != AUTH_MESSAGE_AUTH)
		return false;
	status = session_refresh(session, token.text, token.len);
	if (status == STATUS_OK)
		session_send_text(session, METRIC_SENT_CONTROL, buf,
						  frame_auth(buf, sizeof(buf), loop_wall_ms(),
									 session->expires_ms));
	else if (status == STATUS_FAILED)
		send_error(session, ERROR_UNAUTHORIZED, "Invalid or expired token");
	return true;
}

static Metric
received_as(FrameResult result, const Frame *frame)
{
	if (result == FRAME_NOT_JSON || result == FRAME_INVALID)
		return METRIC_RECEIVED_INVALID;
	if (strcmp(frame->type, "PING") == 0)
		return METRIC_RECEIVED_PING;
	return strcmp(frame->type, "SYNC_REQUEST") == 0 ? METRIC_RECEIVED_SYNC
													: METRIC_RECEIVED_CHANGE;
}

static void
on_message(Session *session, const char *text, size_t len)
{
	Frame frame;
	FrameResult result;

	if (take_token(session, text, len))
	{
		metrics_message(METRIC_RECEIVED_PING, len);
		return;
	}
	result = frame_parse(text, len, &frame);
	metrics_message(received_as(result, &frame), len);
	if (result == FRAME_NOT_JSON)
		send_error(session, ERROR_BAD_JSON, FRAME_ERROR_NOT_JSON);
	else if (result == FRAME_INVALID)
		send_error(session, ERROR_BAD_MESSAGE, FRAME_ERROR_INVALID);
	else if (strcmp(frame.type, "PING") == 0)
		on_ping(session);
	else if (strcmp(frame.type, "SYNC_REQUEST") == 0)
		on_sync_request(session, &frame);
	else
		session_push(session, reply_new(session, REPLY_PUSH), text, len);

	if (session->state == SESSION_NEW)
		catch_up_recent(session);
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

	session_send(session, METRIC_SENT_LIVE, reply->body);
	if (reply->kind == REPLY_SYNC)
		text = reply->sent_any ? "Sync complete" : "No new data to sync";
	/* Without a number of its own the last one sent serves. */
	if ((reply->kind == REPLY_PUSH && reply->verdict == VERDICT_UNCHANGED) ||
		(reply->kind == REPLY_SYNC && seq == 0))
		seq = session->cursor;
	if (strcmp(reply->sqlstate, SQLSTATE_INVALID_MESSAGE) == 0)
		len = frame_error(buf, sizeof(buf), now_ms, FRAME_ERROR_INVALID, false);
	else if (reply->error != NULL)
		len = frame_error(buf, sizeof(buf), now_ms, reply->error,
						  error_infos[reply->code].retry);
	else
		len = frame_sync_response(buf, sizeof(buf), now_ms, text, seq);
	session_send_text(session, METRIC_SENT_ANSWER, buf, len);
}

const Dialect dialect_events = {
	.id = DIALECT_EVENT,
	.name = "event",
	.first_wait_ms = 1000,
	.auth_message = AUTH_MESSAGE_AUTH,
	.on_open = on_open,
	.on_message = on_message,
	.on_no_message = catch_up_recent,
	.send_reply = send_reply,
	.on_caught_up = on_caught_up,
	.on_live = serve_sync,
};
