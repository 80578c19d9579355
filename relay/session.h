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

#include "catchup.h"
#include "config.h"
#include "feed.h"
#include "loop.h"
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
	Reply *sync;		/* the SYNC_REQUEST that catchup answers */
	int reply_count;
	SessionState state;
	Quota *quota;	  /* how much it may send */
	bool paused;	  /* owes so many answers that we stopped reading */
	int64_t cursor;	  /* everything up to it is in the outbox or sent */
	int64_t since_ms; /* in this state */
	int64_t heard_ms; /* last sign of life */
	int64_t stuck_ms; /* the socket takes nothing since; 0 = it does */
	Outbox outbox;
	TurnTask flush;
	TurnTask reap;
} Session;

/* session_setup takes the limits; "config" must outlive the sessions. */
extern void session_setup(const Config *config);

/* The rest of the life: called by ws.c through its table. */
extern Session *session_new(WsConn *conn, const char *user);
extern void session_on_open(void *session);
extern void session_on_message(void *session, const char *text, size_t len);
extern void session_on_writable(void *session);
extern void
session_on_refused(void *session, CloseCode code, const char *reason);
extern void session_on_closed(void *session);

/* session_user_count counts the sessions of a user that are not closing. */
extern int session_user_count(const char *user);

/* session_metrics sets the gauges. */
extern void session_metrics(void);

/* session_count counts all sessions. */
extern int session_count(void);

/*
 * session_close sends a close frame and forgets what the session still had to
 * get.  The session lives until the end of the turn at least.
 */
extern void session_close(Session *session, CloseCode code, const char *reason);
extern void session_close_all(CloseCode code, const char *reason);

/* session_send puts a message into the outbox, whatever its state. */
extern void session_send(Session *session, Message *message);

/*
 * session_deliver offers the next event of the feed; only a live session takes
 * it, and its own it skips.  message NULL: nothing to send up to "seq".
 */
extern void session_deliver(Session *session, int64_t seq, const char *origin,
							Message *message);

/* session_replay does the same for one that is just joining. */
extern void session_replay(Session *session, int64_t seq, const char *origin,
						   Message *message);

/* session_set_cursor says that everything up to "seq" is in the outbox. */
extern void session_set_cursor(Session *session, int64_t seq);

/* session_caught_up makes the session live. */
extern void session_caught_up(Session *session, bool sent_any);

/* session_start_over makes a live session catch up from the beginning. */
extern void session_start_over(Session *session);

/* session_settle tells what became of a push. */
extern void session_settle(Reply *reply, const Verdict *verdict);

/* session_tick acts on silence, slowness and first messages that never come. */
extern void session_tick(int64_t now_ms);

#endif
