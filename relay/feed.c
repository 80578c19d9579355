/*
 * feed.c
 *		One per user with sessions here: where its live sessions stand, and
 *		the fan-out to them.
 *
 * Owns the feeds, their cursors and the list of each one's sessions.
 *
 * Promise: a live session is sent every change of its feed, in order, once,
 * except the changes it made itself, of which it gets the number only.
 *
 * The numbers of a feed have no holes, and an event says which interval
 * (after, seq] it covers.  So whoever holds a cursor can tell by looking: an
 * event that starts at or before the cursor and ends beyond it is the next
 * one; one that ends at or before the cursor is known already; one that starts
 * beyond it shows a hole.  Events come from two sources, the results of our
 * own pushes and pages that we pull, in any order and overlapping; this test
 * is all that keeps them apart.  A hole, a doorbell or a head that is ahead of
 * us lead to one pull for all the sessions of the feed.
 *
 * Invariants
 *	- A live session's cursor is at or beyond the feed's.  (Beyond: it has just
 *	  caught up with a snapshot that is newer than what was fanned out; it then
 *	  skips what it knows until the feed has come to it.)
 *	- The feed's cursor means something only while there is a live session.
 *	  Without one, events are not applied, only remembered as known_head or
 *	  rung, and the first session that joins sets the cursor and looks at both.
 *	- At most one pull per feed is under way; what happens meanwhile sets
 *	  known_head or rung, and the pull is repeated.
 *
 * Sessions of both dialects share all this: what is delivered covers one
 * interval and is rendered in each dialect that has sessions here.  Where one
 * came too late for that, its dialect counts as missing, like a hole.
 *
 * A session that catches up reads its last page while others get live events.
 * Those are kept (up to a bound) while anybody catches up, so that it can join
 * without another page: on a busy feed it would otherwise be late for ever.
 *
 * Failure: everything that tells us that a feed has moved may be lost; the
 * seldom poll of the heads finds it.  Numbers are packed cursors, with the
 * epoch of the feed in front, so they only grow, also when an older backup
 * takes the database's place.  A page that begins before our cursor says that
 * what we have seen was lost with another history: the sessions start over.
 * What they were promised of it will never come, and is answered as lost.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "feed.h"

#include <stdio.h>
#include <utlist.h>

#include "alloc.h"
#include "doorbell.h"
#include "log.h"
#include "metrics.h"
#include "reply.h"
#include "session.h"

#define RECENT_MAX		 1000 /* events */
#define RECENT_MAX_BYTES (256 * 1024)
#define HEADS_PER_QUERY	 1000

typedef struct Recent
{
	struct Recent *prev;
	struct Recent *next;
	FeedDelivery delivery;
	char origin[17];
	DialectSet rendered;
	size_t bytes; /* of the messages */
} Recent;

static Feed *feeds; /* by id */
static Feed *feeds_by_hash;
static int dialect_counts[DIALECTS]; /* sessions of this process */
static unsigned char *doorbell_key;
static size_t doorbell_key_len;
static bool all_have_rung; /* since the heads were asked for */

static void pull(Feed *feed);

/* ---- the table ---- */

static void
name_for_doorbell(Feed *feed)
{
	if (feed->hash[0] != '\0')
		HASH_DELETE(by_hash, feeds_by_hash, feed);
	doorbell_hash(doorbell_key, doorbell_key_len, feed->id, strlen(feed->id),
				  feed->hash);
	HASH_ADD(by_hash, feeds_by_hash, hash[0], DOORBELL_HASH_LEN, feed);
}

Feed *
feed_find(const char *id)
{
	Feed *feed;

	HASH_FIND(hh, feeds, id, strlen(id), feed);
	return feed;
}

int
feed_count(void)
{
	return (int) HASH_COUNT(feeds);
}

Feed *
feed_get(const char *id)
{
	Feed *feed = feed_find(id);
	size_t len = strlen(id);

	if (feed != NULL)
		return feed;
	feed = alloc_zero(sizeof(Feed) + len + 1);
	memcpy(feed->id, id, len);
	HASH_ADD(hh, feeds, id[0], len, feed);
	if (doorbell_key != NULL)
		name_for_doorbell(feed);
	return feed;
}

static void
delivery_release(FeedDelivery *delivery)
{
	for (int i = 0; i < DIALECTS; i++)
		message_unref(delivery->messages[i]);
}

static void
recent_drop_first(Feed *feed)
{
	Recent *recent = feed->recent;

	DL_DELETE(feed->recent, recent);
	feed->recent_count--;
	feed->recent_bytes -= recent->bytes;
	delivery_release(&recent->delivery);
	free(recent);
}

static void
recent_clear(Feed *feed)
{
	while (feed->recent != NULL)
		recent_drop_first(feed);
}

static void
feed_free(Feed *feed)
{
	reader_cancel(feed->pull);
	recent_clear(feed);
	if (feed->hash[0] != '\0')
		HASH_DELETE(by_hash, feeds_by_hash, feed);
	HASH_DELETE(hh, feeds, feed);
	free(feed);
}

void
feed_add_session(Feed *feed, Session *session)
{
	DL_APPEND2(feed->sessions, session, feed_prev, feed_next);
	feed->session_count++;
	feed->dialect_count[session->dialect->id]++;
	dialect_counts[session->dialect->id]++;
}

static void
free_if_unused(Feed *feed)
{
	if (feed->session_count == 0 && feed->watches == NULL)
		feed_free(feed);
}

void
feed_remove_session(Feed *feed, Session *session)
{
	DL_DELETE2(feed->sessions, session, feed_prev, feed_next);
	feed->session_count--;
	feed->dialect_count[session->dialect->id]--;
	dialect_counts[session->dialect->id]--;
	free_if_unused(feed);
}

static DialectSet
set_of(const int counts[DIALECTS])
{
	DialectSet set = 0;

	for (int i = 0; i < DIALECTS; i++)
		if (counts[i] > 0)
			set |= DIALECT_SET(i);
	return set;
}

DialectSet
feed_dialects(void)
{
	return set_of(dialect_counts);
}

/* ---- watches ---- */

void
feed_watch(FeedWatch *watch, const char *feed_id)
{
	watch->feed = feed_get(feed_id);
	DL_APPEND(watch->feed->watches, watch);
}

void
feed_unwatch(FeedWatch *watch)
{
	Feed *feed = watch->feed;

	if (feed == NULL)
		return;
	DL_DELETE(feed->watches, watch);
	watch->feed = NULL;
	free_if_unused(feed);
}

/*
 * tell_watches says that it may have moved.  Nobody may watch again from within
 * that call.  A feed without sessions is gone afterwards.
 */
static void
tell_watches(Feed *feed)
{
	FeedWatch *watch;

	while ((watch = feed->watches) != NULL)
	{
		DL_DELETE(feed->watches, watch);
		watch->feed = NULL;
		watch->moved(watch->arg);
	}
	free_if_unused(feed);
}

void
feed_count_state(Feed *feed, int live, int catching)
{
	feed->live_count += live;
	feed->catching_count += catching;
	if (feed->catching_count == 0 || feed->live_count == 0)
		recent_clear(feed);
}

/* ---- delivery ---- */

/* Takes over nothing: it holds references of its own. */
static void
remember(Feed *feed, const FeedDelivery *delivery, DialectSet rendered)
{
	Recent *recent;

	if (feed->catching_count == 0)
		return;
	recent = alloc_zero(sizeof(Recent));
	recent->delivery = *delivery;
	recent->delivery.after = feed->cursor;
	recent->rendered = rendered;
	snprintf(recent->origin, sizeof(recent->origin), "%s",
			 delivery->origin ? delivery->origin : "");
	recent->delivery.origin = recent->origin;
	for (int i = 0; i < DIALECTS; i++)
	{
		if (delivery->messages[i] != NULL)
			message_ref(delivery->messages[i]);
		for (Message *m = delivery->messages[i]; m != NULL; m = m->next)
			recent->bytes += m->len;
	}
	feed->recent_bytes += recent->bytes;
	DL_APPEND(feed->recent, recent);
	feed->recent_count++;
	while (feed->recent_count > RECENT_MAX ||
		   feed->recent_bytes > RECENT_MAX_BYTES)
		recent_drop_first(feed);
}

/* Sends it to the live sessions and moves the cursor over it. */
static void
deliver(Feed *feed, const FeedDelivery *delivery, DialectSet rendered)
{
	Session *session;

	remember(feed, delivery, rendered);
	feed->cursor = delivery->seq;
	if (feed->known_head < delivery->seq)
		feed->known_head = delivery->seq;
	DL_FOREACH2(feed->sessions, session, feed_next)
		session_deliver(session, delivery);
}

static void
deliver_event(Feed *feed, const FeedEvent *event)
{
	DialectSet wanted = set_of(feed->dialect_count);
	FeedDelivery delivery = {.after = event->after,
							 .seq = event->seq,
							 .origin = event->origin};

	/* A change that events do not speak of only moves the number. */
	for (int i = 0; i < DIALECTS; i++)
		if (wanted & DIALECT_SET(i))
			delivery.messages[i] = message_lines(event->body[i]);
	deliver(feed, &delivery, event->rendered);
	delivery_release(&delivery);
}

/* Moves the cursor to "seq" where nothing is to be sent up to there. */
static void
skip_to(Feed *feed, int64_t seq)
{
	FeedDelivery nothing = {.after = feed->cursor, .seq = seq};

	if (seq > feed->cursor)
		deliver(feed, &nothing, DIALECT_ALL);
}

/* Is there a session to which the event could not be told? */
static bool
lacks_dialect(const Feed *feed, DialectSet rendered)
{
	return (set_of(feed->dialect_count) & ~rendered) != 0;
}

static void
apply(Feed *feed, const FeedEvent *event)
{
	if (event->seq <= feed->cursor)
		return;
	if (event->after <= feed->cursor && !lacks_dialect(feed, event->rendered))
		deliver_event(feed, event);
	else
		feed_expect(feed, event->seq);
}

void
feed_take(const char *feed_id, const FeedEvent *event)
{
	Feed *feed = feed_find(feed_id);

	if (feed == NULL)
		return;
	if (feed->live_count > 0)
		apply(feed, event);
	else if (feed->known_head < event->seq)
		feed->known_head = event->seq;
	tell_watches(feed);
}

/* ---- pulling ---- */

/* What we have seen is not what the database has.  Everybody starts over. */
static void
start_over(Feed *feed)
{
	static LogLimit limit;
	Session *session, *next;
	char id[LOG_VALUE_MAX];

	/* After a restore it happens to all of them at once. */
	log_limited(&limit, LOG_LEVEL_WARN,
				"history lost: starting over user=%s cursor=%lld",
				log_value(id, sizeof(id), feed->id), (long long) feed->cursor);
	metrics_count(METRIC_HISTORIES_LOST);
	feed->known_head = 0;
	feed->seen = 0;
	DL_FOREACH_SAFE2(feed->sessions, session, next, feed_next)
		session_start_over(session);
}

static void
apply_page(Feed *feed, const PGresult *result, const PageHead *page)
{
	for (int row = 1; row < PQntuples(result); row++)
	{
		FeedEvent event = {.after = page_int(result, row, PAGE_AFTER),
						   .seq = page_int(result, row, PAGE_SEQ),
						   .rendered = feed->pull_dialects};

		event.body[DIALECT_EVENT] = page_text(result, row, PAGE_BODY);
		event.body[DIALECT_NATIVE] = page_text(result, row, PAGE_NATIVE);
		event.origin = page_text(result, row, PAGE_SESSION);
		apply(feed, &event);
	}
	skip_to(feed, page->seq);
}

/*
 * A number that we heard of before we asked is in what we got, or it was lost
 * with the history that it belonged to.
 */
static void
drop_lost(Feed *feed, const PageHead *page)
{
	Session *session;

	DL_FOREACH2(feed->sessions, session, feed_next)
		if (session->state == SESSION_LIVE)
			reply_drop_lost(session, page->head, feed->pull_known_head);
}

static void
on_page(void *arg, const PGresult *result)
{
	Feed *feed = arg;
	PageHead page;

	feed->pull = NULL;
	/* After a lasting error the next poll of the heads tries again. */
	if (result == NULL || !page_head(result, &page) || feed->live_count == 0)
		return;
	/*
	 * The sessions that it was for have gone, and one that joined since stands
	 * further back: what lies in between is not in this page.  Or it speaks
	 * another dialect than they.
	 */
	if (feed->cursor < feed->pull_after ||
		lacks_dialect(feed, feed->pull_dialects))
	{
		pull(feed);
		return;
	}
	drop_lost(feed, &page);
	if (page.after < feed->pull_after)
	{
		start_over(feed);
		return;
	}
	feed->seen = page.complete ? 0 : page.head;
	if (page.complete && feed->known_head == feed->pull_known_head)
		feed->known_head = page.head;
	apply_page(feed, result, &page);
	if (!page.complete || feed->rung || feed->known_head > feed->cursor)
		pull(feed);
}

static void
pull(Feed *feed)
{
	char after[24];
	char seen[24];
	const char *values[] = {feed->id, after, PAGE_MAX, seen, NULL};

	if (feed->pull != NULL || feed->live_count == 0)
		return;
	feed->rung = false;
	feed->pull_after = feed->cursor;
	feed->pull_known_head = feed->known_head;
	feed->pull_dialects = set_of(feed->dialect_count);
	values[4] = dialect_names(feed->pull_dialects);
	snprintf(after, sizeof(after), "%lld", (long long) feed->cursor);
	snprintf(seen, sizeof(seen), "%lld", (long long) feed->seen);
	feed->pull = reader_submit(READ_LIVE, &pull_live_statement, values, on_page,
							   feed);
}

static void
wake(Feed *feed)
{
	feed->rung = true;
	pull(feed);
}

void
feed_expect(Feed *feed, int64_t seq)
{
	if (feed->known_head < seq)
		feed->known_head = seq;
	if (feed->known_head > feed->cursor)
		pull(feed);
}

void
feed_ring(const char hash[17])
{
	Feed *feed;

	HASH_FIND(by_hash, feeds_by_hash, hash, DOORBELL_HASH_LEN, feed);
	if (feed == NULL)
		return;
	metrics_count(METRIC_DOORBELLS);
	wake(feed);
	tell_watches(feed);
}

void
feed_ring_all(void)
{
	all_have_rung = true;
}

bool
feed_all_have_rung(void)
{
	return all_have_rung;
}

void
feed_check_access(const char hash[17])
{
	Feed *feed;
	Session *session;

	HASH_FIND(by_hash, feeds_by_hash, hash, DOORBELL_HASH_LEN, feed);
	if (feed == NULL)
		return;
	DL_FOREACH2(feed->sessions, session, feed_next)
		session_check_access(session);
}

void
feed_set_key(const unsigned char *key, size_t len)
{
	Feed *feed, *next;

	if (doorbell_key != NULL && doorbell_key_len == len &&
		memcmp(doorbell_key, key, len) == 0)
		return;
	free(doorbell_key);
	doorbell_key = alloc_zero(len + 1);
	memcpy(doorbell_key, key, len);
	doorbell_key_len = len;
	HASH_ITER(hh, feeds, feed, next)
		name_for_doorbell(feed);
}

/* ---- joining ---- */

/* Sends what was fanned out since the session's cursor, if all is here. */
static bool
replay(Feed *feed, Session *session)
{
	Recent *recent;

	if (feed->recent == NULL || feed->recent->delivery.after > session->cursor)
		return false;
	DL_FOREACH(feed->recent, recent)
		if (recent->delivery.seq > session->cursor &&
			!(recent->rendered & DIALECT_SET(session->dialect->id)))
			return false;
	DL_FOREACH(feed->recent, recent)
		if (recent->delivery.seq > session->cursor)
			session_replay(session, &recent->delivery);
	return true;
}

bool
feed_join(Feed *feed, Session *session)
{
	if (feed->live_count == 0)
	{
		feed->cursor = session->cursor;
		feed->seen = 0;
		return true;
	}
	if (session->cursor >= feed->cursor)
		return true;
	return replay(feed, session);
}

void
feed_joined(Feed *feed)
{
	Session *session;
	int64_t ahead = feed->known_head;

	DL_FOREACH2(feed->sessions, session, feed_next)
		if (session->state == SESSION_LIVE && session->cursor > ahead)
			ahead = session->cursor;
	if (feed->rung)
		pull(feed);
	feed_expect(feed, ahead);
}

/* ---- heads ---- */

static char **heads_feeds; /* ids of this round, NULL-terminated */
static size_t heads_next;  /* the first that was not asked for */
static bool heads_again;   /* another round was asked for */

static void heads_ask(void);

static void
heads_finish(void)
{
	for (size_t i = 0; heads_feeds != NULL && heads_feeds[i] != NULL; i++)
		free(heads_feeds[i]);
	free(heads_feeds);
	heads_feeds = NULL;
	if (heads_again)
	{
		heads_again = false;
		feed_check_heads();
	}
}

static void
on_heads(void *arg, const PGresult *result)
{
	(void) arg;
	for (int row = 0; result != NULL && row < PQntuples(result); row++)
	{
		Feed *feed = feed_find(PQgetvalue(result, row, 0));
		int64_t head = page_int(result, row, 1);

		if (feed == NULL)
			continue;
		/* Below our cursor: an old snapshot, or a restore.  The pull tells. */
		if (feed->live_count > 0 && head > feed->cursor &&
			head > feed->known_head && feed->pull == NULL)
			metrics_count(METRIC_DOORBELLS_RECOVERED);
		if (feed->live_count == 0 || head != feed->cursor)
		{
			wake(feed);
			tell_watches(feed);
		}
	}
	if (heads_feeds[heads_next] != NULL)
		heads_ask();
	else
		heads_finish();
}

static void
heads_ask(void)
{
	PgArray array;

	pgarray_init(&array);
	while (heads_feeds[heads_next] != NULL && array.count < HEADS_PER_QUERY)
	{
		const char *id = heads_feeds[heads_next++];

		pgarray_add(&array, id, strlen(id));
	}
	reader_submit_array(READ_HEADS, &heads_statement, &array, on_heads, NULL);
}

void
feed_check_heads(void)
{
	Feed *feed, *next;
	size_t i = 0;

	all_have_rung = false;
	if (heads_feeds != NULL)
	{
		heads_again = true;
		return;
	}
	if (feeds == NULL)
		return;
	heads_feeds = alloc_zero((HASH_COUNT(feeds) + 1) * sizeof(char *));
	HASH_ITER(hh, feeds, feed, next)
	{
		heads_feeds[i++] = alloc_string(feed->id);
		/* Nobody may wait for ever for a number that was lost. */
		if (feed->known_head > feed->cursor)
			pull(feed);
	}
	heads_next = 0;
	heads_ask();
}

void
feed_release_all(void)
{
	Feed *feed, *next;

	heads_again = false;
	heads_finish();
	HASH_ITER(hh, feeds, feed, next)
		feed_free(feed);
	memset(dialect_counts, 0, sizeof(dialect_counts));
	free(doorbell_key);
	doorbell_key = NULL;
}
