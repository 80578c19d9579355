/*
 * feed.h
 *		One per user with sessions here: where its live sessions stand, and
 *		the fan-out to them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FEED_H
#define MIRUSYNC_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "dialect.h"
#include "message.h"
#include "reader.h"

struct Session;

/* One change, or group of changes, to be delivered. */
typedef struct FeedEvent
{
	int64_t after; /* covers the numbers (after, seq] */
	int64_t seq;
	const char *origin;			/* session that made it and does not get it */
	DialectSet rendered;		/* dialects that were asked for */
	const char *body[DIALECTS]; /* messages, one a line; NULL: none */
} FeedEvent;

/* The same on its way to the sessions. */
typedef struct FeedDelivery
{
	int64_t after;
	int64_t seq;
	const char *origin;			 /* NULL or "": nobody here */
	Message *messages[DIALECTS]; /* NULL: nothing to send */
} FeedDelivery;

typedef struct Feed
{
	UT_hash_handle hh;		   /* by id */
	UT_hash_handle by_hash;	   /* by hash, once the doorbell key is known */
	char hash[17];			   /* its name in doorbells, "" = not known yet */
	bool rung;				   /* it moved, we do not know how far */
	int64_t cursor;			   /* delivered to every live session */
	int64_t known_head;		   /* the head is at least that */
	int64_t seen;			   /* head of the last page, if incomplete */
	int64_t pull_known_head;   /* known_head when the pull was asked for */
	int64_t pull_after;		   /* cursor when the pull was asked for */
	DialectSet pull_dialects;  /* in which it was asked for */
	ReadRequest *pull;		   /* the live page asked for, or NULL */
	struct FeedWatch *watches; /* who waits for it to move */
	struct Session *sessions;  /* all but closing ones */
	int session_count;
	int dialect_count[DIALECTS];
	int live_count;		   /* of them, in state live */
	int catching_count;	   /* of them, in state catching up */
	struct Recent *recent; /* last events, while sessions catch up */
	int recent_count;
	size_t recent_bytes;
	char id[];
} Feed;

/* feed_get finds the feed, or makes it. */
extern Feed *feed_get(const char *id);
extern Feed *feed_find(const char *id);
extern int feed_count(void);

/* feed_add_session and feed_remove_session; the last one frees the feed. */
extern void feed_add_session(Feed *feed, struct Session *session);
extern void feed_remove_session(Feed *feed, struct Session *session);

/*
 * A watch is told, once, when the feed has moved, or may have; it is gone
 * then.  It needs no session.
 */
typedef struct FeedWatch
{
	struct FeedWatch *prev;
	struct FeedWatch *next;
	Feed *feed; /* NULL: told, or never added */
	void (*moved)(void *arg);
	void *arg;
} FeedWatch;

extern void feed_watch(FeedWatch *watch, const char *feed_id);

/* feed_unwatch: it is told no more.  Safe if it is gone. */
extern void feed_unwatch(FeedWatch *watch);

/* feed_dialects is the set of dialects of all sessions of this process. */
extern DialectSet feed_dialects(void);

/*
 * feed_join takes in a session that has caught up to its cursor.  Returns
 * false if the live ones are ahead of it by more than the feed remembers: it
 * has to read another page.  On true the caller makes it live at once and then
 * calls feed_joined.
 */
extern bool feed_join(Feed *feed, struct Session *session);
extern void feed_joined(Feed *feed);

/* feed_count_state keeps the counts right when a session changes its state. */
extern void feed_count_state(Feed *feed, int live, int catching);

/* feed_take offers an event from a push of ours to the feed, if it is here. */
extern void feed_take(const char *feed_id, const FeedEvent *event);

/* feed_expect says that the head is at least "seq". */
extern void feed_expect(Feed *feed, int64_t seq);

/* feed_ring says that the feed with that doorbell hash may have moved. */
extern void feed_ring(const char hash[17]);

/*
 * feed_ring_all says that any feed may have moved.  The janitor has the heads
 * asked for, not at every such ring: anybody may ring.
 */
extern void feed_ring_all(void);
extern bool feed_all_have_rung(void);

/* feed_check_access asks whether the sessions of the feed may go on. */
extern void feed_check_access(const char hash[17]);

/* feed_set_key makes the hashes known with which the doorbell speaks. */
extern void feed_set_key(const unsigned char *key, size_t len);

/*
 * feed_check_heads asks for the heads of all feeds here and pulls those that
 * have moved; while one round is under way another call makes it start over.
 */
extern void feed_check_heads(void);

extern void feed_release_all(void);

#endif
