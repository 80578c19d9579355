/*
 * test_reply.c
 *     Unit tests of answers: when they leave, and what becomes of a promise
 *     that cannot come true.  The session and its outbox are stand-ins.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../relay/reply.c"

#define EPOCH(n) (INT64_C(n) << 32)

/* What was sent, a line each. */
static char sent[1024];

static void
send_reply(Reply *reply)
{
	size_t len = strlen(sent);

	for (Message *body = reply->body; body != NULL; body = body->next)
		len += (size_t) snprintf(sent + len, sizeof(sent) - len, "%.*s\n",
								 (int) body->len, body->text);
	if (reply->error != NULL)
		snprintf(sent + len, sizeof(sent) - len, "error%s\n",
				 error_infos[reply->code].retry ? " retryable" : "");
	else
		snprintf(sent + len, sizeof(sent) - len, "%lld\n",
				 (long long) (reply->seq ? reply->seq
										 : reply->session->cursor));
}

static const Dialect dialect = {.send_reply = send_reply};

void
writer_forget(Push *push)
{
	(void) push;
}

static void
expect_sent(const char *lines)
{
	assert_string_equal(sent, lines);
	sent[0] = '\0';
}

/* promise makes an answer that waits for a number. */
static void
promise(Session *session, int64_t seq)
{
	Verdict verdict = {.kind = VERDICT_STORED, .seq = seq, .body = "event"};

	reply_verdict(reply_new(session, REPLY_PUSH), &verdict);
	reply_flush(session);
}

/* synced makes the answer to a SYNC_REQUEST that ended at a number. */
static void
synced(Session *session, int64_t seq)
{
	Reply *reply = reply_new(session, REPLY_SYNC);

	reply->ready = true;
	reply->seq = seq;
	reply_flush(session);
}

/* An answer waits for its number, and those behind it wait with it. */
static void
test_in_order(void **state)
{
	Session session = {.cursor = 5, .dialect = &dialect};

	(void) state;
	promise(&session, 6);
	synced(&session, 5);
	expect_sent("");
	session.cursor = 6;
	reply_flush(&session);
	expect_sent("event\n6\n5\n");
}

/* A number that the database should have but has not. */
static void
test_lost(void **state)
{
	Session session = {.cursor = 5, .dialect = &dialect};

	(void) state;
	promise(&session, 6);
	promise(&session, 8);
	promise(&session, 9);
	/* 6 is still to come, 8 is lost, of 9 nobody knows yet. */
	reply_drop_lost(&session, 7, 8);
	expect_sent("");
	session.cursor = 6;
	reply_flush(&session);
	expect_sent("event\n6\nerror retryable\n");
	reply_clear(&session);
}

/* A number of an earlier epoch, though the cursor passes it. */
static void
test_earlier_epoch(void **state)
{
	Session session = {.cursor = EPOCH(7) + 5, .dialect = &dialect};

	(void) state;
	promise(&session, EPOCH(7) + 6);
	synced(&session, EPOCH(7) + 6);
	promise(&session, EPOCH(8) + 6);
	reply_drop_lost(&session, EPOCH(8) + 6, 0);
	expect_sent("error retryable\n30064771077\n");
	session.cursor = EPOCH(8) + 6;
	reply_flush(&session);
	expect_sent("event\n34359738374\n");
}

/* Several messages for the sender go out one by one. */
static void
test_lines(void **state)
{
	Session session = {.cursor = 5, .dialect = &dialect};
	Verdict verdict = {.kind = VERDICT_STORED, .body = "{1}\n{2}"};
	Reply *reply = reply_new(&session, REPLY_PUSH);

	(void) state;
	reply_verdict(reply, &verdict);
	assert_int_equal(reply->body->len, 3);
	reply_flush(&session);
	expect_sent("{1}\n{2}\n5\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_earlier_epoch),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
