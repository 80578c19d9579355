/*
 * guest.c
 *		One WebSocket that has no session yet.
 *
 * Owns a connection from its upgrade until its user is known and the database
 * has no objection; then a session takes over, and only then is there a feed,
 * a cursor, a greeting.  So nothing that is done for sessions needs to ask
 * whether it may be done.
 *
 * The way: no token yet (the first message brings it, or the connection ends)
 * → ticket to be redeemed, if it came with one → access asked → session.
 * A stranger gets as far as the first message, which is bounded in time and
 * bytes, and reaches no database.
 *
 * What a client sends before it is in waits here, in order, within the limits
 * of a session's queue.  The database need not be there: a user with a good
 * token waits for it as long as a session would.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guest.h"

#include <utlist.h>

#include "access.h"
#include "alloc.h"
#include "auth_message.h"
#include "frame.h"
#include "gate.h"
#include "keyring.h"
#include "log.h"
#include "loop.h"
#include "message.h"
#include "outbox.h"
#include "reader.h"
#include "session.h"

#define GREET_AFTER_MS 1000 /* the database takes longer: it is away */

/* A message that waits. */
typedef struct Held
{
	struct Held *prev;
	struct Held *next;
	Message *message;
} Held;

typedef struct Guest
{
	struct Guest *prev; /* strangers or waiters */
	struct Guest *next;
	struct Guest **list; /* which of them */
	const Dialect *dialect;
	WsConn *conn;		   /* NULL once closed or handed over */
	Claims claims;		   /* user "" until the token has come */
	bool open;			   /* the handshake is over */
	bool greeted;		   /* had to wait, and was told so */
	AccessRequest *access; /* asked, or NULL */
	ReadRequest *redeem;   /* asked, or NULL */
	Held *held;
	size_t held_bytes;
	int held_count;
	int64_t since_ms;
	char ticket_hash[65]; /* "" = came without a ticket */
	char ticket_expires[32];
	char user_id[256]; /* "" = any */
	TurnTask reap;
} Guest;

static const Config *config;
static Guest *strangers; /* without a token, oldest first */
static int stranger_count;
static Guest *waiters; /* whom the database was asked about */

static const WsOwner guest_owner;

void
guest_setup(const Config *config_)
{
	config = config_;
}

static void
unlist(Guest *guest)
{
	if (guest->list == NULL)
		return;
	if (guest->list == &strangers)
		stranger_count--;
	DL_DELETE(*guest->list, guest);
	guest->list = NULL;
}

static void
enlist(Guest *guest, Guest **list)
{
	unlist(guest);
	if (list == &strangers)
		stranger_count++;
	guest->list = list;
	guest->since_ms = loop_now_ms();
	DL_APPEND(*list, guest);
}

/* ---- the end ---- */

static void
reap(void *arg)
{
	free(arg);
}

/* retire lets go of everything; the guest is freed at the end of the turn. */
static void
retire(Guest *guest)
{
	Held *held, *next;

	unlist(guest);
	guest->conn = NULL;
	access_cancel(guest->access);
	reader_cancel(guest->redeem);
	DL_FOREACH_SAFE(guest->held, held, next)
	{
		message_unref(held->message);
		free(held);
	}
	guest->held = NULL;
	loop_at_turn_end(&guest->reap);
}

static void
say(Guest *guest, const char *text, size_t len)
{
	Outbox outbox = {0};
	Message *message = message_new(text, len);
	unsigned char *buf = ws_buffer();

	/* One that does not read misses a PONG, no more. */
	outbox_push(&outbox, message);
	message_unref(message);
	if (!ws_is_backed_up(guest->conn))
		(void) !ws_write(guest->conn, buf,
						 outbox_pack(&outbox, buf, WS_BUFFER_SIZE));
	outbox_clear(&outbox);
}

static void
refuse(Guest *guest, CloseCode code, const char *reason)
{
	static LogLimits limits;
	WsConn *conn = guest->conn;
	char user[LOG_VALUE_MAX];
	char goodbye[DIALECT_GOODBYE_MAX];

	if (guest->dialect->goodbye != NULL && guest->open)
		say(guest, goodbye,
			guest->dialect->goodbye(goodbye, sizeof(goodbye), code, reason));
	/* Strangers can have it said as often as they like. */
	log_limited(log_limit_of(&limits, reason), LOG_LEVEL_INFO,
				"connection closed before its session user=%s code=%d "
				"reason=\"%s\"",
				log_value(user, sizeof(user), guest->claims.user), (int) code,
				reason);
	retire(guest);
	ws_disown(conn);
	ws_close(conn, code, reason);
}

static void
on_closed(void *arg)
{
	retire(arg);
}

void
guest_close_all(CloseCode code, const char *reason)
{
	while (strangers != NULL)
		refuse(strangers, code, reason);
	while (waiters != NULL)
		refuse(waiters, code, reason);
}

/* ---- the way in ---- */

static void
admit(Guest *guest)
{
	WsConn *conn = guest->conn;
	Held *held;
	Session *session;

	if (!gate_has_room(guest->claims.user))
	{
		metrics_count(METRIC_REFUSED_USER);
		refuse(guest, CLOSE_TOO_MANY, "too many connections");
		return;
	}
	session = session_new(conn, &guest->claims, guest->dialect);
	ws_hand_over(conn, &session_owner, session);
	if (!guest->greeted)
		session_greet(session);
	DL_FOREACH(guest->held, held)
		session_on_message(session, held->message->text, held->message->len);
	retire(guest);
}

static void
on_access(void *arg, AccessVerdict verdict)
{
	Guest *guest = arg;

	guest->access = NULL;
	switch (verdict)
	{
		case ACCESS_GRANTED:
			admit(guest);
			break;
		case ACCESS_REVOKED:
			refuse(guest, CLOSE_REVOKED, "revoked");
			break;
		case ACCESS_REALTIME_OFF:
			refuse(guest, CLOSE_REALTIME_OFF, "real-time sync is off");
			break;
		case ACCESS_UNKNOWN:
			refuse(guest, CLOSE_TRY_LATER, "database unavailable");
			break;
	}
}

static void
on_redeemed(void *arg, const PGresult *result)
{
	Guest *guest = arg;

	guest->redeem = NULL;
	if (result == NULL || PQntuples(result) != 1)
		refuse(guest, CLOSE_TRY_LATER, "database unavailable");
	else if (PQgetvalue(result, 0, 0)[0] != 't')
		refuse(guest, CLOSE_UNAUTHENTICATED, "ticket used");
	else
		guest->access = access_ask(&guest->claims, on_access, guest);
}

int
guest_user_count(const char *user)
{
	Guest *guest;
	int count = 0;

	DL_FOREACH(strangers, guest)
		count += strcmp(guest->claims.user, user) == 0;
	DL_FOREACH(waiters, guest)
		count += strcmp(guest->claims.user, user) == 0;
	return count;
}

/*
 * Whether the user may wait for one more session.  While the database is away
 * nobody becomes a session, and one user must not take all places.
 */
static bool
may_wait(const char *user)
{
	Guest *guest;
	int count = session_user_count(user);

	DL_FOREACH(waiters, guest)
		if (strcmp(guest->claims.user, user) == 0)
			count++;
	return count < config->connections_per_user;
}

/* The user is known; what does the database say? */
static void
ask(Guest *guest)
{
	const char *const values[] = {guest->claims.user, guest->ticket_hash,
								  guest->ticket_expires};

	if (!may_wait(guest->claims.user))
	{
		metrics_count(METRIC_REFUSED_USER);
		refuse(guest, CLOSE_TOO_MANY, "too many connections");
		return;
	}
	enlist(guest, &waiters);
	ws_limit_message(guest->conn, 0);
	if (guest->ticket_hash[0] != '\0')
		guest->redeem = reader_submit(READ_ACCESS, &redeem_statement, values,
									  on_redeemed, guest);
	else
		guest->access = access_ask(&guest->claims, on_access, guest);
}

static void
on_open(void *arg)
{
	Guest *guest = arg;

	guest->open = true;
	/* The time for the token begins when the client can send one. */
	enlist(guest, &strangers);
	if (guest->claims.user[0] != '\0')
		ask(guest);
}

/* ---- while the database is away ---- */

/*
 * A device that reconnects while the database restarts is greeted and has its
 * PINGs answered as in a session, so that it stays and does not try again and
 * again; what else it says waits.
 */
static void
greet(Guest *guest)
{
	char buf[FRAME_REPLY_MAX];

	guest->greeted = true;
	say(guest, buf, frame_welcome(buf, sizeof(buf), loop_wall_ms()));
}

static bool
answer_ping(Guest *guest, const char *text, size_t len)
{
	Frame frame;
	char buf[FRAME_REPLY_MAX];

	if (!guest->greeted || frame_parse(text, len, &frame) != FRAME_OK ||
		strcmp(frame.type, "PING") != 0)
		return false;
	say(guest, buf, frame_pong(buf, sizeof(buf), loop_wall_ms()));
	return true;
}

bool
guest_is_idle(void)
{
	return strangers == NULL && waiters == NULL;
}

void
guest_tick(int64_t now_ms)
{
	Guest *guest, *next;

	while (strangers != NULL &&
		   now_ms - strangers->since_ms >= config->auth_timeout_ms)
	{
		metrics_count(METRIC_CUT_AUTH_TIMEOUT);
		refuse(strangers, CLOSE_NO_HELLO, "no token in time");
	}
	DL_FOREACH_SAFE(waiters, guest, next)
	{
		if (guest->dialect == &dialect_events && !guest->greeted &&
			now_ms - guest->since_ms >= GREET_AFTER_MS)
			greet(guest);
		/* The native protocol has a word for it, and its devices come again. */
		if (guest->dialect == &dialect_native &&
			now_ms - guest->since_ms >= config->push_wait_max_ms)
		{
			refuse(guest, CLOSE_TRY_LATER, "database unavailable");
			continue;
		}
		if (now_ms - guest->since_ms >= config->idle_timeout_ms &&
			ws_silence_ms(guest->conn) >= config->idle_timeout_ms)
		{
			metrics_count(METRIC_CUT_IDLE_TIMEOUT);
			refuse(guest, CLOSE_GOING_AWAY, "idle");
		}
	}
}

/* ---- what the client sends ---- */

static void
hold(Guest *guest, const char *text, size_t len)
{
	Held *held;

	if (guest->held_bytes + len > config->session_queue_max_bytes ||
		guest->held_count >= config->session_queue_max_messages)
	{
		metrics_count(METRIC_CUT_QUEUE_MAX);
		refuse(guest, CLOSE_TRY_LATER, "too many messages");
		return;
	}
	held = alloc_zero(sizeof(Held));
	held->message = message_new(text, len);
	DL_APPEND(guest->held, held);
	guest->held_bytes += len;
	guest->held_count++;
}

static void
take_token(Guest *guest, const char *text, size_t len)
{
	JsonSpan token;
	AuthMessageKind kind = auth_message_read(text, len, &token);

	if (kind != guest->dialect->auth_message)
		refuse(guest, CLOSE_UNAUTHENTICATED, "token missing");
	else if (!keyring_verify(token.text, token.len, &guest->claims))
		refuse(guest, CLOSE_UNAUTHENTICATED, "token refused");
	else if (guest->user_id[0] != '\0' &&
			 strcmp(guest->user_id, guest->claims.user) != 0)
		refuse(guest, CLOSE_OTHER_USER, "token of another user");
	else
	{
		/* a greeting has more to say than its token */
		if (kind == AUTH_MESSAGE_HELLO)
			hold(guest, text, len);
		if (guest->conn != NULL)
			ask(guest);
	}
}

static void
on_message(void *arg, const char *text, size_t len)
{
	Guest *guest = arg;

	if (guest->claims.user[0] == '\0')
		take_token(guest, text, len);
	else if (!answer_ping(guest, text, len))
		hold(guest, text, len);
}

static void
on_writable(void *arg)
{
	(void) arg; /* nothing was written */
}

static const WsOwner guest_owner = {.on_open = on_open,
									.on_message = on_message,
									.on_writable = on_writable,
									.on_closed = on_closed};

void
guest_new(WsConn *conn, const GuestPass *pass)
{
	Guest *guest = alloc_zero(sizeof(Guest));

	guest->conn = conn;
	guest->dialect = pass->dialect;
	if (pass->claims != NULL)
		guest->claims = *pass->claims;
	else
		ws_limit_message(conn, config->auth_message_max_bytes);
	if (pass->ticket != NULL)
	{
		memcpy(guest->ticket_hash, pass->ticket->hash,
			   sizeof(guest->ticket_hash));
		frame_iso_time(guest->ticket_expires, pass->ticket->expires_ms);
	}
	if (pass->user_id != NULL && strlen(pass->user_id) < sizeof(guest->user_id))
		strcpy(guest->user_id, pass->user_id);
	loop_task_init(&guest->reap, reap, guest);

	/*
	 * As with handshakes, the one that has dawdled longest makes room: who
	 * opens connections and brings no token competes with his like.
	 */
	if (stranger_count >= config->handshakes_max)
	{
		metrics_count(METRIC_REFUSED_HANDSHAKES_MAX);
		refuse(strangers, CLOSE_TRY_LATER, "too many connections");
	}
	enlist(guest, &strangers);
	ws_hand_over(conn, &guest_owner, guest);
}
