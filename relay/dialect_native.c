/*
 * dialect_native.c
 *		The protocol mirusync.v1 (docs/protocol.md).
 *
 * A session begins with hello, which goes to the database like a push: SQL
 * notes what the device has digested and says where its feeds stand.  With the
 * answer comes welcome, and the session catches up from the cursor in hello.
 *
 * Verdicts name numbers but promise nothing, so answers do not wait for the
 * cursor.  The device's cursor moves with pages and live messages only.  Where
 * the session's moves without one, over its own changes or over what is not
 * for it, "told" falls behind; an interval without changes makes that good,
 * before the next message, or at the turn's end.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_native.h"

#include <openssl/rand.h>
#include <stdlib.h>

#include "feed.h"
#include "log.h"
#include "native_frame.h"
#include "reply.h"

#define AGAIN_MS                                                               \
	1000 /* at least; as much again by chance: NATIVE_RETRY_AFTER */
#define SQLSTATE_BATCH "MS400"

static const Config *config;

void
dialect_native_setup(const Config *config_)
{
	config = config_;
}

NativeLimits
dialect_native_limits(void)
{
	return (
		NativeLimits){.message_max_bytes = (int64_t) config->message_max_bytes,
					  .pushes_max = config->session_pushes_max,
					  .idle_timeout_ms = config->idle_timeout_ms};
}

int64_t
dialect_native_again_ms(void)
{
	return AGAIN_MS + dialect_native_chance(AGAIN_MS);
}

int64_t
dialect_native_chance(int64_t below)
{
	uint32_t number;

	if (below <= 0 ||
		RAND_bytes((unsigned char *) &number, sizeof(number)) != 1)
		return 0;
	return number % below;
}

ErrorCode
dialect_native_error_of(ErrorCode code, const char *sqlstate)
{
	if (code == ERROR_REFUSED && strcmp(sqlstate, SQLSTATE_BATCH) == 0)
		return ERROR_BAD_BATCH;
	return code;
}

static int64_t
token_expires_in_ms(const Session *session)
{
	int64_t left_ms = session_left_ms(session);

	return left_ms > 0 ? left_ms : 0;
}

static Reply *
reply_to(Session *session, ReplyKind kind, const NativeFrame *frame)
{
	Reply *reply = reply_new(session, kind);

	reply->has_ref = frame->has_ref;
	reply->ref = frame->ref;
	return reply;
}

static void
send_error(Session *session, const NativeFrame *frame, ErrorCode code,
		   const char *reason)
{
	reply_error(reply_to(session, REPLY_ERROR, frame), code,
				reason ? reason : error_infos[code].meaning);
	reply_flush(session);
}

/*
 * say_now sends what has no place among the answers: a device asks by ping
 * whether we live, and that is not to wait for a database that does not
 * answer.  Only the welcome goes first.
 */
static void
say_now(Session *session, const char *text, size_t len)
{
	if (session->replies != NULL && session->replies->kind == REPLY_HELLO)
	{
		Reply *reply = reply_new(session, REPLY_NOW);

		reply->body = message_new(text, len);
		reply->ready = true;
	}
	/* A client that pings and does not read gets no heap of pongs. */
	else if (!session_is_full(session))
		session_send_text(session, METRIC_SENT_CONTROL, text, len);
}

/* ---- what the device says ---- */

static void
refuse_hello(Session *session, const NativeFrame *frame, ErrorCode code,
			 const char *reason)
{
	send_error(session, frame, code, reason);
	if (code == ERROR_UNAUTHORIZED)
		session_close(session, CLOSE_UNAUTHENTICATED, "token refused");
	else
		session_close(session, CLOSE_BAD_HELLO,
					  code == ERROR_OUT_OF_ORDER ? "hello expected"
												 : "hello refused");
}

static void
on_hello(Session *session, const NativeFrame *frame, const char *text,
		 size_t len)
{
	char application[LOG_VALUE_MAX];
	char user[LOG_VALUE_MAX];
	Status status = frame->has_token
		? session_refresh(session, frame->token.text, frame->token.len)
		: STATUS_OK;

	if (status == STATUS_CLOSED)
		return;
	if (!frame->has_protocol || frame->protocol != NATIVE_PROTOCOL)
		refuse_hello(session, frame, ERROR_BAD_MESSAGE,
					 "protocol must be 1, which is what this relay speaks");
	else if (frame->device[0] == '\0')
		refuse_hello(session, frame, ERROR_BAD_MESSAGE, NATIVE_DEVICE_REASON);
	else if (status != STATUS_OK)
		refuse_hello(session, frame, ERROR_UNAUTHORIZED, NULL);
	else
	{
		session->greeted = true;
		memcpy(session->stream->device, frame->device, sizeof(frame->device));
		session->from = (CatchUpFrom){.kind = CATCH_UP_AFTER,
									  .after = frame->cursor.cursor,
									  .seen = frame->cursor.seen};
		log_info("hello session=%s user=%s application=%s",
				 session->stream->session_id,
				 log_value(user, sizeof(user), session->stream->user),
				 log_value(application, sizeof(application),
						   frame->application));
		session_push(session, reply_to(session, REPLY_HELLO, frame), text, len);
		/* Too much waits already: it was answered with an error. */
		if (session->replies == NULL)
			session_close(session, CLOSE_TRY_LATER, "database is busy");
	}
}

/* What the database says to the hello. */
static void
on_greeting(Session *session, Reply *reply, const Verdict *verdict)
{
	NativeFrame frame = {.has_ref = reply->has_ref, .ref = reply->ref};
	NativeWelcome welcome = {.session = session->stream->session_id,
							 .user = session->stream->user,
							 .now_ms = loop_wall_ms(),
							 .token_expires_in_ms = token_expires_in_ms(
								 session),
							 .limits = dialect_native_limits(),
							 .greeting = verdict->body};
	char buf[NATIVE_REPLY_MAX];

	if (verdict->kind != VERDICT_STORED || verdict->body == NULL)
	{
		bool refused = verdict->kind == VERDICT_REJECTED;

		reply_verdict(reply, verdict);
		reply_flush(session);
		session_close(session, refused ? CLOSE_BAD_HELLO : CLOSE_TRY_LATER,
					  refused ? "hello refused" : "database unavailable");
		return;
	}
	reply->body =
		message_new(buf, native_welcome(buf, sizeof(buf), &welcome, &frame));
	reply->ready = true;
	reply_flush(session);
	metrics_count(METRIC_CATCH_UP_OPENED);
	if (session->from.after > 0)
		metrics_count(METRIC_SESSIONS_RESUMED);
	session_catch_up(session, &session->from);
}

static void
on_ping(Session *session, const NativeFrame *frame)
{
	char buf[NATIVE_REPLY_MAX];

	say_now(session, buf,
			native_pong(buf, sizeof(buf), frame, loop_wall_ms(),
						token_expires_in_ms(session)));
}

static void
on_token(Session *session, const NativeFrame *frame)
{
	char buf[NATIVE_REPLY_MAX];
	Status status;

	if (!frame->has_token)
	{
		send_error(session, frame, ERROR_BAD_MESSAGE, "token is missing");
		return;
	}
	status = session_refresh(session, frame->token.text, frame->token.len);
	if (status == STATUS_FAILED)
		send_error(session, frame, ERROR_UNAUTHORIZED, NULL);
	else if (status == STATUS_OK)
		say_now(session, buf,
				native_token(buf, sizeof(buf), frame,
							 token_expires_in_ms(session)));
}

static Metric
received_as(ErrorCode code, const NativeFrame *frame)
{
	if (code != ERROR_CODES)
		return METRIC_RECEIVED_INVALID;
	if (frame->type == MESSAGE_HELLO)
		return METRIC_RECEIVED_SYNC;
	return frame->type == MESSAGE_PUSH ? METRIC_RECEIVED_CHANGE
									   : METRIC_RECEIVED_PING;
}

static void
on_message(Session *session, const char *text, size_t len)
{
	NativeFrame frame;
	ErrorCode code = native_frame_parse(text, len, session->feed->id, false,
										&frame);

	metrics_message(received_as(code, &frame), len);
	if (!session->greeted && code != ERROR_CODES)
		refuse_hello(session, &frame, code, frame.reason);
	else if (!session->greeted && frame.type != MESSAGE_HELLO)
		refuse_hello(session, &frame, ERROR_OUT_OF_ORDER, NULL);
	else if (code != ERROR_CODES)
		send_error(session, &frame, code, frame.reason);
	else if (!session->greeted)
		on_hello(session, &frame, text, len);
	else if (frame.type == MESSAGE_HELLO)
		send_error(session, &frame, ERROR_OUT_OF_ORDER, NULL);
	else if (frame.type == MESSAGE_PING)
		on_ping(session, &frame);
	else if (frame.type == MESSAGE_TOKEN)
		on_token(session, &frame);
	else
		session_push(session, reply_to(session, REPLY_PUSH, &frame), text, len);
}

static void
on_no_message(Session *session)
{
	/* A hello that is at the database has a deadline of its own. */
	if (session->greeted)
		return;
	metrics_count(METRIC_CUT_HELLO_TIMEOUT);
	session_close(session, CLOSE_NO_HELLO, "no hello");
}

/* ---- what it is told ---- */

static void
send_reply(Reply *reply)
{
	Session *session = reply->session;
	NativeError error = {.code = dialect_native_error_of(reply->code,
														 reply->sqlstate),
						 .reason = reply->error,
						 .sqlstate = reply->sqlstate,
						 .has_ref = reply->has_ref,
						 .ref = reply->ref,
						 .after_ms = dialect_native_again_ms()};
	char buf[NATIVE_REPLY_MAX];

	if (reply->error == NULL)
		session_send(session,
					 reply->kind == REPLY_NOW ? METRIC_SENT_CONTROL
											  : METRIC_SENT_ANSWER,
					 reply->body);
	else
		session_send_text(session, METRIC_SENT_ANSWER, buf,
						  native_error(buf, sizeof(buf), &error, false));
}

/* tell makes the device's cursor move to "cursor", with nothing in between. */
static void
tell(Session *session, int64_t cursor)
{
	char buf[NATIVE_REPLY_MAX];

	/* In a new epoch numbers go on. */
	if ((uint32_t) session->told != (uint32_t) cursor)
		session_send_text(session, METRIC_SENT_CONTROL, buf,
						  native_nothing(buf, sizeof(buf), session->feed->id,
										 session->told, cursor));
	session->told = cursor;
}

static void
on_interval(Session *session, const FeedDelivery *delivery)
{
	if (session->told < delivery->after)
		tell(session, delivery->after);
	session->told = delivery->seq;
}

static void
on_flush(Session *session)
{
	if (session->state == SESSION_LIVE && session->told < session->cursor &&
		!session_is_full(session))
		tell(session, session->cursor);
}

static int64_t
on_start_over(Session *session)
{
	char buf[NATIVE_REPLY_MAX];
	int64_t delay_ms = dialect_native_chance(config->start_over_spread_ms);

	session->told = 0;
	session_send_text(session, METRIC_SENT_CONTROL, buf,
					  native_start_over(buf, sizeof(buf), session->feed->id,
										delay_ms));
	return loop_now_ms() + delay_ms;
}

static void
on_expiry(Session *session)
{
	char buf[NATIVE_REPLY_MAX];

	say_now(session, buf,
			native_token(buf, sizeof(buf), NULL, token_expires_in_ms(session)));
}

static size_t
goodbye(char *buf, size_t size, CloseCode code, const char *reason)
{
	return native_goodbye(buf, size, code, reason,
						  dialect_native_chance(code == CLOSE_GOING_AWAY
													? config->drain_spread_ms
													: AGAIN_MS));
}

const Dialect dialect_native = {
	.id = DIALECT_NATIVE,
	.name = "native",
	.auth_message = AUTH_MESSAGE_HELLO,
	.on_message = on_message,
	.on_no_message = on_no_message,
	.on_greeting = on_greeting,
	.send_reply = send_reply,
	.on_interval = on_interval,
	.on_flush = on_flush,
	.on_start_over = on_start_over,
	.on_expiry = on_expiry,
	.goodbye = goodbye,
};
