/*
 * session.h
 *		One WebSocket: its state, its cursor, and its answers in order.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_SESSION_H
#define MIRUSYNC_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "access.h"
#include "catchup.h"
#include "config.h"
#include "dialect.h"
#include "feed.h"
#include "loop.h"
#include "metrics.h"
#include "outbox.h"
#include "push.h"
#include "quota.h"
#include "ws.h"

typedef enum SessionState
{
	SESSION_NEW,		 /* waits for its first message, a second */
	SESSION_CATCHING_UP, /* gets pages, no live events */
	SESSION_LIVE,		 /* gets live events */
	SESSION_CLOSING,	 /* close frame sent, or the peer has gone */
	SESSION_STATES
} SessionState;

typedef struct Reply Reply;

typedef struct Session
{
	struct Session *prev; /* all sessions of its state */
	struct Session *next;
	struct Session *feed_prev; /* all sessions of its feed */
	struct Session *feed_next;
	WsConn *conn;		/* NULL once closed */
	Feed *feed;			/* NULL once closing */
	PushStream *stream; /* has id and user */
	CatchUp *catchup;	/* while catching up */
	Reply *replies;		/* owed, oldest first */
	const Dialect *dialect;
	Reply *sync; /* events: the SYNC_REQUEST that catchup answers */
	int reply_count;
	SessionState state;
	Quota *quota;		/* how much it may send */
	bool greeted;		/* native: hello was taken */
	bool paused;		/* owes so many answers that we stopped reading */
	bool leaving;		/* is not read from any more */
	int64_t leave_ms;	/* when that begins, while we drain */
	int64_t cursor;		/* everything up to it is in the outbox or sent */
	int64_t told;		/* native: the device knows that cursor */
	CatchUpFrom from;	/* native: what hello said */
	int64_t since_ms;	/* in this state */
	int64_t heard_ms;	/* last sign of life */
	int64_t stuck_ms;	/* the socket takes nothing since; 0 = it does */
	int64_t expires_ms; /* end of its token, since 1970, with leeway */
	int64_t issued_s;	/* of its token, if has_issued */
	bool has_issued;
	bool warned;		   /* that its token ends soon */
	int refreshes;		   /* since refresh_ms */
	int64_t refresh_ms;	   /* a while ago at most */
	char *device;		   /* that its token names, or NULL */
	AccessRequest *access; /* asked whether it may go on, or NULL */
	Outbox outbox;
	TurnTask flush;
	TurnTask reap;
} Session;

/* session_setup takes the limits; "config" must outlive the sessions. */
extern void session_setup(const Config *config);

/*
 * session_new makes the session of an open connection, whose owner it is to
 * become; session_greet sends it the first message, if its dialect has one.
 */
extern Session *
session_new(WsConn *conn, const Claims *claims, const Dialect *dialect);
extern void session_greet(Session *session);

/* session_owner is the table through which ws.c calls the next three. */
extern const WsOwner session_owner;
extern void session_on_message(void *session, const char *text, size_t len);
extern void session_on_writable(void *session);
extern void
session_on_refused(void *session, CloseCode code, const char *reason);
extern void session_on_closed(void *session);

/* session_user_count counts the sessions of a user that are not closing. */
extern int session_user_count(const char *user);

/* session_metrics sets the gauges. */
extern void session_metrics(void);

/* session_is_quiet: none is new, catching up or closing. */
extern bool session_is_quiet(void);

/* session_count counts all sessions. */
extern int session_count(void);

/*
 * session_close sends a close frame and forgets what the session still had to
 * get.  The session lives until the end of the turn at least.
 */
extern void session_close(Session *session, CloseCode code, const char *reason);

/*
 * session_drain has all sessions leave until "until_ms", each when it has got
 * its answers; those that cannot be told when to come back begin at a random
 * moment of "spread_ms".
 */
extern void session_drain(int64_t until_ms, int64_t spread_ms);

/*
 * session_send puts a message, and those that go out after it, into the outbox,
 * whatever the state; "type" is the series that counts them.
 */
extern void session_send(Session *session, Metric type, Message *message);
extern void
session_send_text(Session *session, Metric type, const char *text, size_t len);

/* session_is_full: so much waits that it gets nothing that can be left out. */
extern bool session_is_full(const Session *session);

/*
 * session_deliver offers what comes next of the feed; only a live session takes
 * it, and its own it skips.
 */
extern void session_deliver(Session *session, const FeedDelivery *delivery);

/* session_replay does the same for one that is just joining. */
extern void session_replay(Session *session, const FeedDelivery *delivery);

/* session_catch_up begins a catch-up, also a further one. */
extern void session_catch_up(Session *session, const CatchUpFrom *from);

/* session_push submits a message to the database; "reply" is its answer. */
extern void
session_push(Session *session, Reply *reply, const char *text, size_t len);

/* session_set_cursor says that everything up to "seq" is in the outbox. */
extern void session_set_cursor(Session *session, int64_t seq);

/* session_caught_up makes the session live. */
extern void session_caught_up(Session *session, bool sent_any);

/* session_start_over makes a live session catch up from the beginning. */
extern void session_start_over(Session *session);

/*
 * session_flush writes what waits, now; false if something has to wait for the
 * socket.
 */
extern bool session_flush(Session *session);

/*
 * session_refresh takes a new token of the same user, who then stays until
 * that one ends.  STATUS_FAILED: the token is no good, and the session goes on
 * with the one that it has.  STATUS_CLOSED: it is of another user, or of
 * another device than the one before, or one of very many, and the session was
 * closed.
 */
extern Status
session_refresh(Session *session, const char *token, size_t len) MUST_CHECK;

/* session_left_ms says how much longer the token lasts. */
extern int64_t session_left_ms(const Session *session);

/*
 * session_check_access asks whether the session may go on, and closes it if
 * not; session_check_access_all asks for all.
 */
extern void session_check_access(Session *session);
extern void session_check_access_all(void);

/* session_tick acts on silence, slowness and first messages that never come. */
extern void session_tick(int64_t now_ms);

#endif
