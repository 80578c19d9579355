/*
 * test_feed.c
 *     Unit tests of a feed's cursor: what its sessions get, and never miss.
 *     The reader and the sessions are stand-ins.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../relay/feed.c"

#define DELIVERED_MAX 64

static const Dialect event = {.id = DIALECT_EVENT, .name = "event"};
static const Dialect native = {.id = DIALECT_NATIVE, .name = "native"};

struct ReadRequest
{
	int unused;
};

/* The one read that is under way. */
static ReadRequest the_request;
static ReadCallback callback;
static void *callback_arg;
static int64_t asked_after;
static int64_t asked_seen;
static char asked_dialects[32];

const PgStatement pull_live_statement;
const PgStatement heads_statement;

/* What sessions got: the number of each event with a body. */
static int64_t delivered[DELIVERED_MAX];
static int delivered_count;

ReadRequest *
reader_submit(ReadClass class, const PgStatement *statement,
			  const char *const *values, ReadCallback done, void *arg)
{
	(void) class;
	(void) statement;
	callback = done;
	callback_arg = arg;
	asked_after = strtoll(values[1], NULL, 10);
	asked_seen = strtoll(values[3], NULL, 10);
	snprintf(asked_dialects, sizeof(asked_dialects), "%s", values[4]);
	return &the_request;
}

ReadRequest *
reader_submit_array(ReadClass class, const PgStatement *statement,
					PgArray *array, ReadCallback done, void *arg)
{
	(void) class;
	(void) statement;
	(void) array;
	(void) done;
	(void) arg;
	return &the_request;
}

void
reader_cancel(ReadRequest *request)
{
	if (request != NULL)
		callback = NULL;
}

void
pgarray_init(PgArray *array)
{
	memset(array, 0, sizeof(*array));
}

void
pgarray_add(PgArray *array, const char *text, size_t len)
{
	(void) array;
	(void) text;
	(void) len;
}

int64_t
page_int(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

const char *
page_text(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL
											: PQgetvalue(result, row, column);
}

bool
page_head(const PGresult *result, PageHead *head)
{
	head->after = page_int(result, 0, PAGE_AFTER);
	head->seq = page_int(result, 0, PAGE_SEQ);
	head->head = page_int(result, 0, PAGE_HEAD);
	head->complete = head->seq == head->head;
	return true;
}

void
session_deliver(Session *session, const FeedDelivery *delivery)
{
	Message *message = delivery->messages[session->dialect->id];

	if (session->state != SESSION_LIVE || session->cursor >= delivery->seq)
		return;
	for (; message != NULL; message = message->next)
		delivered[delivered_count++] = delivery->seq;
	session->cursor = delivery->seq;
}

void
session_replay(Session *session, const FeedDelivery *delivery)
{
	SessionState state = session->state;

	session->state = SESSION_LIVE;
	session_deliver(session, delivery);
	session->state = state;
}

/* How often sessions were asked about. */
static int checked;

void
session_check_access(Session *session)
{
	(void) session;
	checked++;
}

void
session_start_over(Session *session)
{
	session->cursor = 0;
	session->state = SESSION_CATCHING_UP;
	feed_count_state(session->feed, -1, 1);
}

/* What was said last of promises that cannot come true. */
static int64_t lost_head;
static int64_t lost_heard;

void
reply_drop_lost(Session *session, int64_t head, int64_t heard)
{
	(void) session;
	lost_head = head;
	lost_heard = heard;
}

/* answer_part answers the read with the events in (after, seq]. */
static void
answer_part(int64_t after, int64_t seq, int64_t head)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc columns[PAGE_NATIVE + 1];
	ReadCallback done = callback;
	char name[] = "column";
	char body[] = "{}";
	char text[24];

	memset(columns, 0, sizeof(columns));
	for (int i = 0; i <= PAGE_NATIVE; i++)
		columns[i].name = name;
	assert_true(PQsetResultAttrs(result, PAGE_NATIVE + 1, columns));
	for (int row = 0; row <= seq - after; row++)
	{
		int64_t values[] = {row ? after + row - 1 : after,
							row ? after + row : seq, head};

		for (int i = 0; i < 3; i++)
		{
			snprintf(text, sizeof(text), "%lld", (long long) values[i]);
			PQsetvalue(result, row, PAGE_AFTER + i, text, (int) strlen(text));
		}
		PQsetvalue(result, row, PAGE_SESSION, NULL, -1);
		PQsetvalue(result, row, PAGE_BODY, body, 2);
		PQsetvalue(result, row, PAGE_NATIVE, body, 2);
	}
	assert_non_null(done);
	callback = NULL;
	done(callback_arg, result);
	PQclear(result);
}

static void
answer(int64_t after, int64_t seq)
{
	answer_part(after, seq, seq);
}

static int
forget(void **state)
{
	(void) state;
	feed_release_all();
	delivered_count = 0;
	callback = NULL;
	return 0;
}

static Feed *
open_feed(Session *sessions, int count)
{
	Feed *feed = feed_get("anna");

	feed_set_key((const unsigned char *) "key", 3);
	for (int i = 0; i < count; i++)
	{
		memset(&sessions[i], 0, sizeof(Session));
		sessions[i].state = SESSION_CATCHING_UP;
		sessions[i].feed = feed;
		sessions[i].dialect = &event;
		feed_add_session(feed, &sessions[i]);
		feed_count_state(feed, 0, 1);
	}
	return feed;
}

static void
join(Feed *feed, Session *session, int64_t cursor)
{
	session->cursor = cursor;
	assert_true(feed_join(feed, session));
	session->state = SESSION_LIVE;
	feed_count_state(feed, 1, -1);
	feed_joined(feed);
}

static void
push_in(int64_t after, DialectSet rendered, const char *body)
{
	FeedEvent change = {.after = after,
						.seq = after + 1,
						.rendered = rendered,
						.body = {body, body}};

	feed_take("anna", &change);
}

static void
push(int64_t after)
{
	push_in(after, DIALECT_ALL, "{}");
}

/* What a push brings goes out without a read as long as no number is missing. */
static void
test_contiguous(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push(5);
	push(6);
	assert_null(callback);
	assert_int_equal(delivered_count, 2);
	assert_int_equal(session.cursor, 7);
}

/* A hole is filled by a read from the cursor on, and nothing comes twice. */
static void
test_hole(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push(7);
	assert_int_equal(delivered_count, 0);
	assert_int_equal(asked_after, 5);
	answer(5, 8);
	assert_int_equal(delivered_count, 3);
	push(7);
	assert_int_equal(delivered_count, 3);
}

/* A change that events do not speak of moves the number and sends nothing. */
static void
test_no_body(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push_in(5, DIALECT_ALL, NULL);
	assert_int_equal(delivered_count, 0);
	assert_int_equal(session.cursor, 6);
}

/*
 * A read for a session that has gone meanwhile is of no use to one that joined
 * further back: what lies in between is read again.
 */
static void
test_late_page(void **state)
{
	Session sessions[2];
	Feed *feed = open_feed(sessions, 2);

	(void) state;
	join(feed, &sessions[0], 5);
	for (int64_t after = 5; after < 10; after++)
		push(after);
	feed_ring(feed->hash);
	assert_int_equal(asked_after, 10);

	sessions[0].state = SESSION_CLOSING;
	feed_count_state(feed, -1, 0);
	feed_remove_session(feed, &sessions[0]);
	delivered_count = 0;
	join(feed, &sessions[1], 5);

	answer(10, 10);
	assert_int_equal(sessions[1].cursor, 5);
	assert_int_equal(asked_after, 5);
	answer(5, 10);
	assert_int_equal(sessions[1].cursor, 10);
	assert_int_equal(delivered_count, 5);
}

/* A read that is not complete hands the head it saw to the next one. */
static void
test_seen(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push(7);
	assert_int_equal(asked_seen, 0);
	answer_part(5, 6, 9);
	assert_int_equal(asked_after, 6);
	assert_int_equal(asked_seen, 9);
	answer(6, 9);
	feed_ring(feed->hash);
	assert_int_equal(asked_seen, 0);
}

/*
 * A number that was heard of and is not there: nothing more is read for it,
 * and who waits for it is told.
 */
static void
test_lost_number(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push(7);
	answer(5, 5);
	assert_null(callback);
	assert_int_equal(lost_head, 5);
	assert_int_equal(lost_heard, 8);
	assert_int_equal(session.cursor, 5);
}

/* What the read could not tell, the next round of heads asks for. */
static void
test_lost_read(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);
	ReadCallback done;

	(void) state;
	join(feed, &session, 5);
	push(7);
	done = callback;
	callback = NULL;
	done(callback_arg, NULL);
	assert_null(callback);
	feed_check_heads();
	assert_non_null(callback);
	assert_int_equal(asked_after, 5);
}

/*
 * Another epoch, in packed cursors: it does not follow, a page that begins at
 * 0 makes the sessions start over, and then it goes on.
 */
static void
test_epoch(void **state)
{
	const int64_t epoch = INT64_C(7000) << 32;
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push(epoch + 5);
	assert_int_equal(delivered_count, 0);
	assert_int_equal(asked_after, 5);
	answer(0, 3);
	assert_int_equal(session.cursor, 0);
	assert_int_equal(feed->live_count, 0);
	join(feed, &session, epoch + 6);
	push(epoch + 6);
	assert_int_equal(session.cursor, epoch + 7);
}

/* Asked about are the sessions of that feed, whatever their state. */
static void
test_check_access(void **state)
{
	Session list[3];
	Feed *feed = open_feed(list, 3);

	(void) state;
	join(feed, &list[0], 5);
	checked = 0;
	feed_check_access("0000000000000000");
	assert_int_equal(checked, 0);
	feed_check_access(feed->hash);
	assert_int_equal(checked, 3);
}

/*
 * Sessions of both dialects: one read for them, in both; and what came in one
 * of them only is a hole.
 */
static void
test_dialects(void **state)
{
	Session sessions[2];
	Feed *feed = feed_get("anna");

	(void) state;
	feed = open_feed(sessions, 1);
	join(feed, &sessions[0], 5);
	push_in(5, DIALECT_SET(DIALECT_EVENT), "{}");
	assert_int_equal(delivered_count, 1);
	feed_ring(feed->hash);
	assert_string_equal(asked_dialects, "event");

	/* The other one comes while that read is under way: it is of no use. */
	sessions[1] = (Session){.state = SESSION_CATCHING_UP,
							.feed = feed,
							.dialect = &native};
	feed_add_session(feed, &sessions[1]);
	feed_count_state(feed, 0, 1);
	assert_int_equal(feed_dialects(), DIALECT_ALL);
	join(feed, &sessions[1], 6);
	answer(6, 7);
	assert_int_equal(feed->cursor, 6);
	assert_string_equal(asked_dialects, "event,native");
	answer(6, 7);
	assert_int_equal(delivered_count, 3);

	push_in(7, DIALECT_SET(DIALECT_EVENT), "{}");
	assert_int_equal(delivered_count, 3);
	assert_int_equal(asked_after, 7);
	answer(7, 8);
	assert_int_equal(delivered_count, 5);
}

/* What was fanned out in another dialect cannot be replayed. */
static void
test_replay_dialect(void **state)
{
	Session sessions[2];
	Feed *feed = open_feed(sessions, 2);

	(void) state;
	join(feed, &sessions[0], 5);
	push_in(5, DIALECT_SET(DIALECT_EVENT), "{}");
	sessions[1].cursor = 5;
	assert_true(feed_join(feed, &sessions[1]));
	sessions[1].cursor = 5;
	sessions[1].dialect = &native;
	assert_false(feed_join(feed, &sessions[1]));
	sessions[1].dialect = &event;
}

/* Several events of one interval go to the same sessions, in order. */
static void
test_lines(void **state)
{
	Session session;
	Feed *feed = open_feed(&session, 1);

	(void) state;
	join(feed, &session, 5);
	push_in(5, DIALECT_ALL, "{1}\n{2}\n{3}");
	assert_int_equal(delivered_count, 3);
}

static int told;

static void
count_told(void *arg)
{
	(void) arg;
	told++;
}

/* Who watches is told once, with sessions or without. */
static void
test_watch(void **state)
{
	FeedWatch watch = {.moved = count_told};
	FeedWatch other = {.moved = count_told};
	Session session;
	Feed *feed;

	(void) state;
	told = 0;
	feed_watch(&watch, "anna");
	feed_watch(&other, "anna");
	feed_unwatch(&other);
	push(1);
	push(2);
	assert_int_equal(told, 1);
	assert_null(feed_find("anna"));
	feed_unwatch(&watch);

	feed = open_feed(&session, 1);
	join(feed, &session, 5);
	feed_watch(&watch, "anna");
	push(5);
	feed_ring(feed->hash);
	assert_int_equal(told, 2);
	assert_ptr_equal(feed_find("anna"), feed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_contiguous, forget),
		cmocka_unit_test_teardown(test_hole, forget),
		cmocka_unit_test_teardown(test_no_body, forget),
		cmocka_unit_test_teardown(test_late_page, forget),
		cmocka_unit_test_teardown(test_seen, forget),
		cmocka_unit_test_teardown(test_lost_number, forget),
		cmocka_unit_test_teardown(test_lost_read, forget),
		cmocka_unit_test_teardown(test_epoch, forget),
		cmocka_unit_test_teardown(test_check_access, forget),
		cmocka_unit_test_teardown(test_dialects, forget),
		cmocka_unit_test_teardown(test_replay_dialect, forget),
		cmocka_unit_test_teardown(test_lines, forget),
		cmocka_unit_test_teardown(test_watch, forget),
	};

	return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
