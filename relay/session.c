/*
 * session.c
 *		One WebSocket: its state, its cursor, and its answers in order.
 *
 * Owns the sessions and the lists of them, one per state.
 *
 * A session starts new: nothing of its feed goes to it.  Its dialect decides
 * with which message it begins to catch up, and from where.  Then it is live.
 * A socket that does not take what the feed gives, or a message of the client,
 * brings it back to catching up; each time the way to live is the same
 * (catchup.c, feed_join).
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
 * One whose socket takes nothing for send_timeout is closed.  Answers owed are
 * bounded by reading no further from the client.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "session.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <utlist.h>

#include "alloc.h"
#include "dialect_native.h"
#include "keyring.h"
#include "log.h"
#include "metrics.h"
#include "reply.h"
#include "writer.h"

#define EXPIRY_WARNING_MS 60000 /* before the token ends */
#define REFRESHES_MAX	  20	/* of a session's token, in */
#define REFRESH_WINDOW_MS 10000
#define PACKS_PER_TURN	  4 /* buffers of one session before the others */

static const Config *config;
static Session *by_state[SESSION_STATES];
static int counts[SESSION_STATES];
static int64_t drain_until_ms; /* 0 = we do not drain */

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
session_send(Session *session, Metric type, Message *message)
{
	if (session->state == SESSION_CLOSING || message == NULL)
		return;
	for (; message != NULL; message = message->next)
	{
		metrics_message(type, message->len);
		outbox_push(&session->outbox, message);
	}
	request_flush(session);
}

void
session_send_text(Session *session, Metric type, const char *text, size_t len)
{
	Message *message = message_new(text, len);

	session_send(session, type, message);
	message_unref(message);
}

bool
session_is_full(const Session *session)
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
	if (session->paused && !session->leaving && session->conn != NULL &&
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

	if (!session->paused && !session->leaving && session->conn != NULL)
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
	if (session->dialect->on_flush != NULL)
		session->dialect->on_flush(session);
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

bool
session_flush(Session *session)
{
	flush(session);
	return session->conn != NULL && outbox_is_empty(&session->outbox) &&
		!ws_is_backed_up(session->conn);
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
	free(session->device);
	quota_free(session->quota);
	free(session);
}

static void
take_claims(Session *session, const Claims *claims)
{
	session->expires_ms = claims->exp * 1000 + keyring_leeway_ms();
	session->issued_s = claims->iat;
	session->has_issued = claims->has_iat;
	session->warned = false;
	free(session->device);
	session->device = claims->device[0] != '\0' ? alloc_string(claims->device)
												: NULL;
}

Session *
session_new(WsConn *conn, const Claims *claims, const Dialect *dialect)
{
	Session *session = alloc_zero(sizeof(Session));
	unsigned char random[8];
	char id[17];
	char user[LOG_VALUE_MAX];
	char address[ADDRESS_TEXT_MAX];

	if (RAND_bytes(random, sizeof(random)) != 1)
		abort();
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
	session->conn = conn;
	session->dialect = dialect;
	session->stream = push_stream_new(id, claims->user, dialect);
	session->quota = quota_new(claims->user, on_paid, session);
	session->feed = feed_get(claims->user);
	take_claims(session, claims);
	feed_add_session(session->feed, session);
	session->state = SESSION_NEW;
	session->since_ms = loop_now_ms();
	session->heard_ms = session->since_ms;
	DL_APPEND(by_state[SESSION_NEW], session);
	counts[SESSION_NEW]++;
	metrics_count(METRIC_SESSIONS_OPENED);
	loop_task_init(&session->flush, flush, session);
	loop_task_init(&session->reap, reap, session);
	log_info("session opened session=%s dialect=%s user=%s address=%s", id,
			 dialect->name, log_value(user, sizeof(user), claims->user),
			 ws_address(conn, address));
	return session;
}

void
session_greet(Session *session)
{
	if (session->dialect->on_open != NULL)
		session->dialect->on_open(session);
}

/* Everything but the connection goes. */
static void
retire(Session *session)
{
	Feed *feed = session->feed;

	session_set_state(session, SESSION_CLOSING);
	catchup_free(session->catchup);
	session->catchup = NULL;
	access_cancel(session->access);
	session->access = NULL;
	reply_clear(session);
	outbox_clear(&session->outbox);
	session->feed = NULL;
	feed_remove_session(feed, session);
}

/* The last word of a session, if its dialect has one and the socket takes it. */
static void
say_goodbye(Session *session, CloseCode code, const char *reason)
{
	char goodbye[DIALECT_GOODBYE_MAX];

	if (session->dialect->goodbye == NULL || !session_flush(session))
		return;
	session_send_text(session, METRIC_SENT_CONTROL, goodbye,
					  session->dialect->goodbye(goodbye, sizeof(goodbye), code,
												reason));
	(void) session_flush(session);
}

/* The transport closes it for what the client has sent. */
void
session_on_refused(void *arg, CloseCode code, const char *reason)
{
	Session *session = arg;
	char user[LOG_VALUE_MAX];

	if (session->state == SESSION_CLOSING)
		return;
	log_info("message refused session=%s user=%s code=%d reason=\"%s\"",
			 session->stream->session_id,
			 log_value(user, sizeof(user), session->stream->user), (int) code,
			 reason);
	say_goodbye(session, code, reason);
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
	say_goodbye(session, code, reason);
	if (session->state == SESSION_CLOSING)
		return;
	retire(session);
	ws_close(session->conn, code, reason);
}

/* Closes it because of a bound. */
static void
cut(Session *session, Metric bound, CloseCode code, const char *reason)
{
	metrics_count(bound);
	session_close(session, code, reason);
}

void
session_drain(int64_t until_ms, int64_t spread_ms)
{
	int64_t now_ms = loop_now_ms();
	Session *session;

	drain_until_ms = until_ms;
	for (int state = 0; state < SESSION_CLOSING; state++)
		DL_FOREACH(by_state[state], session)
			session->leave_ms = now_ms +
				(session->dialect->goodbye == NULL
					 ? dialect_native_chance(spread_ms)
					 : 0);
}

/* While we drain: it gets what it is owed and what it lacks, and goes. */
static void
leave(Session *session, int64_t now_ms)
{
	if (now_ms < session->leave_ms && now_ms < drain_until_ms)
		return;
	if (!session->leaving)
	{
		session->leaving = true;
		ws_pause(session->conn);
	}
	/* The last answer may not have left yet: it does at the turn's end. */
	if (now_ms >= drain_until_ms ||
		(session->replies == NULL && session->catchup == NULL &&
		 session_flush(session)))
		session_close(session, CLOSE_GOING_AWAY, "server is going away");
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

const WsOwner session_owner = {.on_open = NULL, /* it is open already */
							   .on_message = session_on_message,
							   .on_writable = session_on_writable,
							   .on_refused = session_on_refused,
							   .on_closed = session_on_closed};

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

bool
session_is_quiet(void)
{
	return session_count() == counts[SESSION_LIVE];
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
	/* Its device may have to be told, even where there is nothing to send. */
	if (session->dialect->on_flush != NULL)
		request_flush(session);
	reply_flush(session);
}

static void
take(Session *session, const FeedDelivery *delivery)
{
	Message *message = delivery->messages[session->dialect->id];
	bool own = delivery->origin != NULL &&
		strcmp(delivery->origin, session->stream->session_id) == 0;

	if (message != NULL && !own)
	{
		if (session->dialect->on_interval != NULL)
			session->dialect->on_interval(session, delivery);
		session_send(session, METRIC_SENT_LIVE, message);
	}
	session_set_cursor(session, delivery->seq);
}

/* It does not read as fast as its feed moves: by cursor, when it has drained. */
static void
fall_behind(Session *session)
{
	CatchUpFrom from = {.kind = CATCH_UP_AFTER,
						.after = session->cursor,
						.seen = session->feed->seen};
	static LogLimit limit;
	char user[LOG_VALUE_MAX];

	/* It can happen to one session again and again. */
	log_limited(&limit, LOG_LEVEL_INFO,
				"session is slow: moved to catch-up session=%s user=%s "
				"queued_bytes=%zu queued_messages=%u cursor=%lld",
				session->stream->session_id,
				log_value(user, sizeof(user), session->stream->user),
				session->outbox.bytes, session->outbox.count,
				(long long) session->cursor);
	metrics_count(METRIC_CATCH_UP_SLOW);
	session_catch_up(session, &from);
}

void
session_deliver(Session *session, const FeedDelivery *delivery)
{
	if (session->state != SESSION_LIVE || session->cursor >= delivery->seq)
		return;
	if (delivery->messages[session->dialect->id] != NULL &&
		session_is_full(session))
		fall_behind(session);
	else
		take(session, delivery);
}

void
session_replay(Session *session, const FeedDelivery *delivery)
{
	take(session, delivery);
}

/* ---- catching up ---- */

void
session_catch_up(Session *session, const CatchUpFrom *from)
{
	if (session->state != SESSION_CATCHING_UP)
		session_set_state(session, SESSION_CATCHING_UP);
	session->catchup = catchup_new(session, from);
}

void
session_caught_up(Session *session, bool sent_any)
{
	catchup_free(session->catchup);
	session->catchup = NULL;
	session_set_state(session, SESSION_LIVE);
	if (session->dialect->on_caught_up != NULL)
		session->dialect->on_caught_up(session, sent_any);
	reply_flush(session);
	feed_joined(session->feed);
	if (session->dialect->on_live != NULL)
		session->dialect->on_live(session);
}

void
session_start_over(Session *session)
{
	CatchUpFrom from = {.kind = CATCH_UP_AFTER, .after = 0};

	if (session->state != SESSION_LIVE)
		return;
	session->cursor = 0;
	metrics_count(METRIC_CATCH_UP_LOST);
	if (session->dialect->on_start_over != NULL)
		from.not_before_ms = session->dialect->on_start_over(session);
	session_catch_up(session, &from);
}

/* ---- the client's side ---- */

static void
hold_back(Session *session)
{
	if (session->reply_count >= 2 * config->session_pushes_max)
		cut(session, METRIC_CUT_PUSHES_MAX, CLOSE_TRY_LATER,
			"too many messages");
	else if (!session->paused &&
			 session->reply_count >= config->session_pushes_max)
	{
		session->paused = true;
		metrics_count(METRIC_HELD_ANSWERS);
		ws_pause(session->conn);
	}
}

static void
settle(void *arg, const Verdict *verdict)
{
	Reply *reply = arg;
	Session *session = reply->session;
	int64_t seq = verdict->seq;

	reply->push = NULL;
	if (reply->kind == REPLY_HELLO)
	{
		session->dialect->on_greeting(session, reply, verdict);
		return;
	}
	reply_verdict(reply, verdict);
	reply_flush(session);
	/* Its number is committed, so the feed must come to it. */
	if (seq > session->cursor)
		feed_expect(session->feed, seq);
}

void
session_push(Session *session, Reply *reply, const char *text, size_t len)
{
	if (writer_submit(session->stream, text, len, settle, reply,
					  &reply->push) == STATUS_OK)
		return;
	reply_error(reply, ERROR_BUSY, "Server busy, please try again");
	reply_flush(session);
}

void
session_on_message(void *arg, const char *text, size_t len)
{
	Session *session = arg;

	if (session->state == SESSION_CLOSING)
		return;
	session->heard_ms = loop_now_ms();
	session->dialect->on_message(session, text, len);
	if (session->state != SESSION_CLOSING)
		hold_back(session);
	if (quota_charge(session->quota, len) && session->state != SESSION_CLOSING)
		ws_pause(session->conn);
}

/* ---- its right to be here ---- */

int64_t
session_left_ms(const Session *session)
{
	return session->expires_ms - loop_wall_ms();
}

static void
on_access(void *arg, AccessVerdict verdict)
{
	Session *session = arg;

	session->access = NULL;
	if (verdict == ACCESS_REVOKED)
		session_close(session, CLOSE_REVOKED, "revoked");
	else if (verdict == ACCESS_REALTIME_OFF)
		session_close(session, CLOSE_REALTIME_OFF, "real-time sync is off");
	/* If nobody knows, it stays: the next question is on its way. */
}

void
session_check_access(Session *session)
{
	Claims claims = {.iat = session->issued_s, .has_iat = session->has_issued};

	if (session->access != NULL || session->state == SESSION_CLOSING)
		return;
	snprintf(claims.user, sizeof(claims.user), "%s", session->stream->user);
	if (session->device != NULL)
		snprintf(claims.device, sizeof(claims.device), "%s", session->device);
	session->access = access_ask(&claims, on_access, session);
}

void
session_check_access_all(void)
{
	Session *session;

	for (int state = 0; state < SESSION_CLOSING; state++)
		DL_FOREACH(by_state[state], session)
			session_check_access(session);
}

Status
session_refresh(Session *session, const char *token, size_t len)
{
	static LogLimit limit;
	char user[LOG_VALUE_MAX];
	Claims claims;

	/* A verification is dear, and a token is good for more than a moment. */
	if (loop_now_ms() - session->refresh_ms >= REFRESH_WINDOW_MS)
	{
		session->refresh_ms = loop_now_ms();
		session->refreshes = 0;
	}
	if (++session->refreshes > REFRESHES_MAX)
	{
		session_close(session, CLOSE_TRY_LATER, "too many messages");
		return STATUS_CLOSED;
	}
	if (!keyring_verify(token, len, &claims))
	{
		log_limited(&limit, LOG_LEVEL_INFO,
					"later token refused session=%s user=%s",
					session->stream->session_id,
					log_value(user, sizeof(user), session->stream->user));
		return STATUS_FAILED;
	}
	if (strcmp(claims.user, session->stream->user) != 0)
	{
		session_close(session, CLOSE_OTHER_USER, "token of another user");
		return STATUS_CLOSED;
	}
	if (session->device != NULL && strcmp(claims.device, session->device) != 0)
	{
		session_close(session, CLOSE_OTHER_USER, "token of another device");
		return STATUS_CLOSED;
	}
	take_claims(session, &claims);

	/* A question about the token before it would be answered for that one. */
	access_cancel(session->access);
	session->access = NULL;
	session_check_access(session);
	return STATUS_OK;
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
warn_of_expiry(Session *session)
{
	if (session->dialect->on_expiry == NULL || session->warned ||
		session_left_ms(session) > EXPIRY_WARNING_MS)
		return;
	session->warned = true;
	session->dialect->on_expiry(session);
}

static void
check(Session *session, int64_t now_ms)
{
	if (session_left_ms(session) <= 0)
		session_close(session, CLOSE_EXPIRED, "token expired");
	else if (is_silent(session, now_ms))
		cut(session, METRIC_CUT_IDLE_TIMEOUT, CLOSE_GOING_AWAY, "idle");
	else if (session->stuck_ms != 0 &&
			 now_ms - session->stuck_ms > config->send_timeout_ms)
		cut(session, METRIC_CUT_SEND_TIMEOUT, CLOSE_TRY_LATER, "slow consumer");
	else
		warn_of_expiry(session);
}

static int64_t
first_wait_ms(const Session *session)
{
	return session->dialect->first_wait_ms != 0
		? session->dialect->first_wait_ms
		: config->hello_timeout_ms;
}

void
session_tick(int64_t now_ms)
{
	static int64_t next_check_ms;
	Session *session, *next;

	DL_FOREACH_SAFE(by_state[SESSION_NEW], session, next)
		if (now_ms - session->since_ms >= first_wait_ms(session))
			session->dialect->on_no_message(session);
	DL_FOREACH_SAFE(by_state[SESSION_CATCHING_UP], session, next)
		catchup_tick(session->catchup, now_ms);

	for (int state = 0; drain_until_ms != 0 && state < SESSION_CLOSING; state++)
		DL_FOREACH_SAFE(by_state[state], session, next)
			leave(session, now_ms);

	/* All sessions, but seldom: cheaper than keeping them in order of age. */
	if (now_ms < next_check_ms)
		return;
	next_check_ms = now_ms +
		(config->idle_timeout_ms < 20000 ? config->idle_timeout_ms / 20 : 1000);
	for (int state = 0; state < SESSION_CLOSING; state++)
		DL_FOREACH_SAFE(by_state[state], session, next)
			check(session, now_ms);
}
