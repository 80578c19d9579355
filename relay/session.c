/*
 * session.c
 *		One WebSocket: its state, its cursor, and its answers in order.
 *
 * Owns the sessions and the lists of them, one per state.
 *
 * A session starts new: nothing goes to it but WELCOME, PONG and errors.  With
 * its first message, or after a second without one, it begins to catch up: by
 * its SYNC_REQUEST if that was the first message, else by what changed in the
 * last minute, because the client does not ask after a short interruption and
 * would miss what happened in it.  Then it is live.  A later SYNC_REQUEST, or
 * a socket that does not take what the feed gives, brings it back to catching
 * up; each time the way to live is the same (catchup.c, feed_join).
 *
 * Invariants
 *	- session_set_state is the only place that changes a state; the moves it
 *	  allows stand in one table.
 *	- cursor: every change up to it is in the outbox, was sent, is the session's
 *	  own, or was known to the client by its own word (lastSeq).
 *	- Closing only marks: the session leaves its feed at once and is freed at the
 *	  end of the turn after the transport let go of it, so whoever iterates over
 *	  sessions is safe.
 *
 * Bounds: the outbox takes live events up to a limit; a session beyond it gets
 * none and catches up by cursor once it has drained (what is queued stays: it
 * is within the limit, and the answers between the events keep their place).
 * One whose socket takes nothing for STUCK_MAX_MS is closed.  Answers owed are
 * bounded by reading no further from the client.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "session.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <utlist.h>

#include "alloc.h"
#include "frame.h"
#include "log.h"
#include "metrics.h"
#include "reply.h"
#include "writer.h"

#define FIRST_MESSAGE_MS 1000  /* then a new session catches up unasked */
#define STUCK_MAX_MS	 20000 /* a socket that takes nothing */
#define PACKS_PER_TURN	 4	   /* buffers of one session before the others */

static const Config *config;
static Session *by_state[SESSION_STATES];
static int counts[SESSION_STATES];

static const char *const state_names[SESSION_STATES] = {"new", "catching up",
														"live", "closing"};

/* from (row), to (column) */
static const bool legal_moves[SESSION_STATES][SESSION_STATES] = {
	[SESSION_NEW] = {[SESSION_CATCHING_UP] = true, /* first message, or none */
					 [SESSION_CLOSING] = true},
	[SESSION_CATCHING_UP] = {[SESSION_LIVE] = true, /* joined the feed */
							 [SESSION_CLOSING] = true},
	[SESSION_LIVE] = {[SESSION_CATCHING_UP] = true, /* asked again, or slow */
					  [SESSION_CLOSING] = true},
};

static void begin_catch_up(Session *session, const CatchUpFrom *from);

void
session_setup(const Config *config_)
{
	config = config_;
	quota_setup(config_);
}

/* ---- state ---- */

static void
session_set_state(Session *session, SessionState to)
{
	SessionState from = session->state;

	if (!legal_moves[from][to])
	{
		log_error("illegal move of a session session=%s from=\"%s\" to=\"%s\"",
				  session->stream->session_id, state_names[from],
				  state_names[to]);
		abort();
	}
	DL_DELETE(by_state[from], session);
	counts[from]--;
	session->state = to;
	session->since_ms = loop_now_ms();
	DL_APPEND(by_state[to], session);
	counts[to]++;
	feed_count_state(session->feed,
					 (to == SESSION_LIVE) - (from == SESSION_LIVE),
					 (to == SESSION_CATCHING_UP) -
						 (from == SESSION_CATCHING_UP));
}

static void
request_flush(Session *session)
{
	if (session->conn != NULL)
		loop_at_turn_end(&session->flush);
}

/* ---- sending ---- */

void
session_send(Session *session, Message *message)
{
	if (session->state == SESSION_CLOSING)
		return;
	outbox_push(&session->outbox, message);
	request_flush(session);
}

static void
send_text(Session *session, const char *text, size_t len)
{
	Message *message = message_new(text, len);

	metrics_message(METRIC_SENT_CONTROL, len);
	session_send(session, message);
	message_unref(message);
}

static bool
is_full(const Session *session)
{
	return session->outbox.bytes > config->session_queue_max_bytes ||
		session->outbox.count >= (uint32_t) config->session_queue_max_messages;
}

static void
note_stuck(Session *session, bool stuck)
{
	if (!stuck)
		session->stuck_ms = 0;
	else if (session->stuck_ms == 0)
		session->stuck_ms = loop_now_ms();
}

static void
read_on(Session *session)
{
	if (session->paused && session->conn != NULL &&
		session->reply_count < config->session_pushes_max / 2)
	{
		session->paused = false;
		/* If a rate holds it back, its next message stops it again. */
		ws_resume(session->conn);
	}
}

/* The rates let it go on: unless it owes too many answers. */
static void
on_paid(void *arg)
{
	Session *session = arg;

	if (!session->paused && session->conn != NULL)
		ws_resume(session->conn);
}

/* The turn's end: everything that waits goes out, as few writes as possible. */
static void
flush(void *arg)
{
	Session *session = arg;
	unsigned char *buf = ws_buffer();

	if (session->conn == NULL || session->state == SESSION_CLOSING)
		return;
	for (int i = 0; i < PACKS_PER_TURN && !outbox_is_empty(&session->outbox);
		 i++)
	{
		size_t len;

		if (ws_is_backed_up(session->conn))
			break;
		len = outbox_pack(&session->outbox, buf, WS_BUFFER_SIZE);
		if (ws_write(session->conn, buf, len) != STATUS_OK)
			return; /* on_closed follows */
	}
	note_stuck(session, ws_is_backed_up(session->conn));
	read_on(session);
	if (!outbox_is_empty(&session->outbox) || session->stuck_ms != 0)
		ws_want_writable(session->conn);
	else if (session->catchup != NULL)
		catchup_drained(session->catchup);
}

void
session_on_writable(void *arg)
{
	Session *session = arg;

	/* It took all of the last write, so it is not stuck: the clock restarts. */
	session->stuck_ms = 0;
	flush(session);
}

/* ---- opening and closing ---- */

static void
reap(void *arg)
{
	Session *session = arg;

	loop_task_cancel(&session->flush);
	DL_DELETE(by_state[SESSION_CLOSING], session);
	counts[SESSION_CLOSING]--;
	push_stream_unref(session->stream);
	quota_free(session->quota);
	free(session);
}

Session *
session_new(WsConn *conn, const char *user)
{
	Session *session = alloc_zero(sizeof(Session));
	unsigned char random[8];
	char id[17];

	if (RAND_bytes(random, sizeof(random)) != 1)
		abort();
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
	session->conn = conn;
	session->stream = push_stream_new(id, user);
	session->quota = quota_new(user, on_paid, session);
	session->feed = feed_get(user);
	feed_add_session(session->feed, session);
	session->state = SESSION_NEW;
	session->since_ms = loop_now_ms();
	session->heard_ms = session->since_ms;
	DL_APPEND(by_state[SESSION_NEW], session);
	counts[SESSION_NEW]++;
	metrics_count(METRIC_SESSIONS_OPENED);
	loop_task_init(&session->flush, flush, session);
	loop_task_init(&session->reap, reap, session);
	return session;
}

void
session_on_open(void *arg)
{
	Session *session = arg;
	char buf[FRAME_REPLY_MAX];
	char user[LOG_VALUE_MAX];
	char address[ADDRESS_TEXT_MAX];

	/* The wait for the first message begins when the client can send one. */
	session->since_ms = loop_now_ms();
	log_info("session opened session=%s user=%s address=%s",
			 session->stream->session_id,
			 log_value(user, sizeof(user), session->stream->user),
			 ws_address(session->conn, address));
	send_text(session, buf, frame_welcome(buf, sizeof(buf), loop_wall_ms()));
}

void
session_on_refused(void *arg, CloseCode code, const char *reason)
{
	const Session *session = arg;
	char user[LOG_VALUE_MAX];

	log_info("message refused session=%s user=%s code=%d reason=\"%s\"",
			 session->stream->session_id,
			 log_value(user, sizeof(user), session->stream->user), (int) code,
			 reason);
}

/* Everything but the connection goes. */
static void
retire(Session *session)
{
	Feed *feed = session->feed;

	session_set_state(session, SESSION_CLOSING);
	catchup_free(session->catchup);
	session->catchup = NULL;
	reply_clear(session);
	outbox_clear(&session->outbox);
	session->feed = NULL;
	feed_remove_session(feed, session);
}

void
session_close(Session *session, CloseCode code, const char *reason)
{
	char user[LOG_VALUE_MAX];

	if (session->state == SESSION_CLOSING)
		return;
	log_info("session closed by relay session=%s user=%s code=%d "
			 "reason=\"%s\" cursor=%lld queued_bytes=%zu",
			 session->stream->session_id,
			 log_value(user, sizeof(user), session->stream->user), (int) code,
			 reason, (long long) session->cursor, session->outbox.bytes);
	retire(session);
	ws_close(session->conn, code, reason);
}

void
session_close_all(CloseCode code, const char *reason)
{
	for (int state = 0; state < SESSION_CLOSING; state++)
		while (by_state[state] != NULL)
			session_close(by_state[state], code, reason);
}

void
session_on_closed(void *arg)
{
	Session *session = arg;
	char user[LOG_VALUE_MAX];

	session->conn = NULL;
	if (session->state != SESSION_CLOSING)
	{
		log_info("session closed session=%s user=%s",
				 session->stream->session_id,
				 log_value(user, sizeof(user), session->stream->user));
		retire(session);
	}
	loop_at_turn_end(&session->reap);
}

int
session_user_count(const char *user)
{
	Feed *feed = feed_find(user);

	return feed == NULL ? 0 : feed->session_count;
}

void
session_metrics(void)
{
	for (int state = 0; state < SESSION_STATES; state++)
		metrics_set(METRIC_SESSIONS_NEW + (Metric) state,
					(uint64_t) counts[state]);
}

int
session_count(void)
{
	int sum = 0;

	for (int state = 0; state < SESSION_STATES; state++)
		sum += counts[state];
	return sum;
}

/* ---- the feed's side ---- */

void
session_set_cursor(Session *session, int64_t seq)
{
	session->cursor = seq;
	reply_flush(session);
}

static void
take(Session *session, int64_t seq, const char *origin, Message *message)
{
	bool own = origin != NULL &&
		strcmp(origin, session->stream->session_id) == 0;

	if (message != NULL && !own)
	{
		metrics_message(METRIC_SENT_LIVE, message->len);
		session_send(session, message);
	}
	session_set_cursor(session, seq);
}

/* It does not read as fast as its feed moves: by cursor, when it has drained. */
static void
fall_behind(Session *session)
{
	CatchUpFrom from = {.kind = CATCH_UP_AFTER,
						.after = session->cursor,
						.seen = session->feed->seen};
	char user[LOG_VALUE_MAX];

	log_info("session is slow: moved to catch-up session=%s user=%s "
			 "queued_bytes=%zu queued_messages=%u cursor=%lld",
			 session->stream->session_id,
			 log_value(user, sizeof(user), session->stream->user),
			 session->outbox.bytes, session->outbox.count,
			 (long long) session->cursor);
	metrics_count(METRIC_CATCH_UP_SLOW);
	begin_catch_up(session, &from);
}

void
session_deliver(Session *session, int64_t seq, const char *origin,
				Message *message)
{
	if (session->state != SESSION_LIVE || session->cursor >= seq)
		return;
	if (message != NULL && is_full(session))
		fall_behind(session);
	else
		take(session, seq, origin, message);
}

void
session_replay(Session *session, int64_t seq, const char *origin,
			   Message *message)
{
	take(session, seq, origin, message);
}

/* ---- catching up ---- */

static void
begin_catch_up(Session *session, const CatchUpFrom *from)
{
	if (session->state != SESSION_CATCHING_UP)
		session_set_state(session, SESSION_CATCHING_UP);
	session->catchup = catchup_new(session, from);
}

static void
catch_up_unasked(Session *session)
{
	metrics_count(METRIC_CATCH_UP_OPENED);
	begin_catch_up(session, &(CatchUpFrom){.kind = CATCH_UP_RECENT});
}

/* Starts the oldest SYNC_REQUEST that waits, unless one is being served. */
static bool
serve_sync(Session *session)
{
	Reply *reply;
	CatchUpFrom from;

	if (session->catchup != NULL)
		return true;
	reply = reply_next_sync(session);
	if (reply == NULL)
		return false;
	from = reply->from;
	reply->from.since = NULL;
	session->sync = reply;
	/*
	 * Only the first page tells whether the number that the client names
	 * exists.  Until then no answer with a number may leave.
	 */
	session->cursor = 0;
	metrics_count(METRIC_CATCH_UP_ASKED);
	begin_catch_up(session, &from);
	return true;
}

void
session_caught_up(Session *session, bool sent_any)
{
	Reply *sync = session->sync;

	catchup_free(session->catchup);
	session->catchup = NULL;
	session_set_state(session, SESSION_LIVE);
	if (sync != NULL)
	{
		session->sync = NULL;
		sync->ready = true;
		sync->sent_any = sent_any;
		sync->seq = session->cursor;
	}
	reply_flush(session);
	feed_joined(session->feed);
	(void) serve_sync(session);
}

void
session_start_over(Session *session)
{
	CatchUpFrom from = {.kind = CATCH_UP_AFTER, .after = 0};

	if (session->state != SESSION_LIVE)
		return;
	session->cursor = 0;
	metrics_count(METRIC_CATCH_UP_LOST);
	begin_catch_up(session, &from);
}

/* ---- the client's side ---- */

static void
hold_back(Session *session)
{
	if (session->reply_count >= 2 * config->session_pushes_max)
		session_close(session, CLOSE_TRY_LATER, "too many messages");
	else if (!session->paused &&
			 session->reply_count >= config->session_pushes_max)
	{
		session->paused = true;
		metrics_count(METRIC_HELD_ANSWERS);
		ws_pause(session->conn);
	}
}

void
session_settle(Reply *reply, const Verdict *verdict)
{
	Session *session = reply->session;
	int64_t seq = verdict->seq;

	reply_verdict(reply, verdict);
	reply_flush(session);
	/* Its number is committed, so the feed must come to it. */
	if (seq > session->cursor)
		feed_expect(session->feed, seq);
}

static void
send_error(Session *session, const char *text, bool retryable)
{
	reply_error(reply_new(session, REPLY_ERROR), text, retryable);
	reply_flush(session);
}

static void
on_ping(Session *session)
{
	char buf[FRAME_REPLY_MAX];

	/* A client that pings and does not read gets no heap of PONGs. */
	if (!is_full(session))
		send_text(session, buf, frame_pong(buf, sizeof(buf), loop_wall_ms()));
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
	(void) serve_sync(session);
}

static void
on_change(Session *session, const char *text, size_t len)
{
	Reply *reply = reply_new(session, REPLY_PUSH);

	if (writer_submit(session->stream, text, len, reply, &reply->push) !=
		STATUS_OK)
	{
		reply_error(reply, "Server busy, please try again", true);
		reply_flush(session);
	}
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

void
session_on_message(void *arg, const char *text, size_t len)
{
	Session *session = arg;
	Frame frame;
	FrameResult result;

	if (session->state == SESSION_CLOSING)
		return;
	session->heard_ms = loop_now_ms();
	result = frame_parse(text, len, &frame);
	metrics_message(received_as(result, &frame), len);
	if (result == FRAME_NOT_JSON)
		send_error(session, FRAME_ERROR_NOT_JSON, false);
	else if (result == FRAME_INVALID)
		send_error(session, FRAME_ERROR_INVALID, false);
	else if (strcmp(frame.type, "PING") == 0)
		on_ping(session);
	else if (strcmp(frame.type, "SYNC_REQUEST") == 0)
		on_sync_request(session, &frame);
	else
		on_change(session, text, len);

	if (session->state == SESSION_NEW)
		catch_up_unasked(session);
	hold_back(session);
	if (quota_charge(session->quota, len) && session->state != SESSION_CLOSING)
		ws_pause(session->conn);
}

/* ---- time ---- */

/*
 * The library answers PINGs of the protocol without telling us, so a session
 * that looks silent is asked after at the kernel.
 */
static bool
is_silent(Session *session, int64_t now_ms)
{
	if (now_ms - session->heard_ms < config->idle_timeout_ms)
		return false;
	session->heard_ms = now_ms - ws_silence_ms(session->conn);
	return now_ms - session->heard_ms >= config->idle_timeout_ms;
}

static void
check(Session *session, int64_t now_ms)
{
	if (is_silent(session, now_ms))
		session_close(session, CLOSE_GOING_AWAY, "idle");
	else if (session->stuck_ms != 0 &&
			 now_ms - session->stuck_ms > STUCK_MAX_MS)
		session_close(session, CLOSE_TRY_LATER, "slow consumer");
}

void
session_tick(int64_t now_ms)
{
	static int64_t next_check_ms;
	Session *session, *next;

	DL_FOREACH_SAFE(by_state[SESSION_NEW], session, next)
	{
		if (now_ms - session->since_ms < FIRST_MESSAGE_MS)
			break;
		catch_up_unasked(session);
	}

	/* All sessions, but seldom: cheaper than keeping them in order of age. */
	if (now_ms < next_check_ms)
		return;
	next_check_ms = now_ms +
		(config->idle_timeout_ms < 20000 ? config->idle_timeout_ms / 20 : 1000);
	for (int state = 0; state < SESSION_CLOSING; state++)
		DL_FOREACH_SAFE(by_state[state], session, next)
			check(session, now_ms);
}
