/*
 * catchup.c
 *		What a session lacks, page by page, until it can go live.
 *
 * Owns the place where a catch-up stands between two pages.
 *
 * A page is asked for only while the session's outbox is empty, so a session
 * holds one page at most, and one that does not read asks for nothing: the
 * peer sets the pace.  After the last page the session joins its feed
 * (feed_join); if live events have meanwhile gone further than the feed
 * remembers, there is another page.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "catchup.h"

#include <stdio.h>

#include "alloc.h"
#include "feed.h"
#include "loop.h"
#include "metrics.h"
#include "reply.h"
#include "session.h"

static void on_page(void *arg, const PGresult *result);

static void
ask(CatchUp *catchup)
{
	const char *feed = catchup->session->feed->id;
	char after[24];
	char seen[24];
	const Dialect *dialect = catchup->session->dialect;
	const char *values[] = {feed, after, PAGE_MAX, seen, dialect->name};
	const PgStatement *statement = &pull_after_statement;

	catchup->parked = !outbox_is_empty(&catchup->session->outbox) ||
		loop_now_ms() < catchup->from.not_before_ms;
	if (catchup->parked)
		return;
	snprintf(after, sizeof(after), "%lld", (long long) catchup->from.after);
	snprintf(seen, sizeof(seen), "%lld", (long long) catchup->from.seen);
	if (catchup->from.kind == CATCH_UP_SINCE)
	{
		statement = &pull_since_statement;
		values[1] = catchup->from.since;
	}
	else if (catchup->from.kind == CATCH_UP_RECENT)
	{
		statement = &pull_recent_statement;
		values[1] = PAGE_MAX;
	}
	catchup->request = reader_submit(READ_CATCH_UP, statement, values, on_page,
									 catchup);
}

static void
send_page(CatchUp *catchup, const PGresult *result)
{
	Session *session = catchup->session;

	int column = session->dialect->id == DIALECT_NATIVE ? PAGE_NATIVE
														: PAGE_BODY;

	for (int row = 1; row < PQntuples(result); row++)
	{
		Message *message =
			message_new(PQgetvalue(result, row, column),
						(size_t) PQgetlength(result, row, column));

		session_send(session, METRIC_SENT_PAGE, message);
		message_unref(message);
		catchup->sent_any = true;
	}
}

static void
on_page(void *arg, const PGresult *result)
{
	CatchUp *catchup = arg;
	Session *session = catchup->session;
	PageHead page;

	catchup->request = NULL;
	if (result == NULL || !page_head(result, &page))
	{
		session_close(session, CLOSE_INTERNAL, "catch-up failed");
		return;
	}
	reply_drop_lost(session, page.head, 0);
	if (catchup->from.kind == CATCH_UP_AFTER &&
		page.after < catchup->from.after &&
		session->dialect->on_start_over != NULL)
	{
		/* It hears of that first, and gets its pages later. */
		catchup->from = (CatchUpFrom){.kind = CATCH_UP_AFTER};
		catchup->from.not_before_ms = session->dialect->on_start_over(session);
		ask(catchup);
		return;
	}
	send_page(catchup, result);
	session->told = page.seq;
	session_set_cursor(session, page.seq);
	catchup->from.kind = CATCH_UP_AFTER;
	catchup->from.after = page.seq;
	catchup->from.seen = page.complete ? 0 : page.head;
	if (page.complete && feed_join(session->feed, session))
		session_caught_up(session, catchup->sent_any);
	else
		ask(catchup);
}

CatchUp *
catchup_new(Session *session, const CatchUpFrom *from)
{
	CatchUp *catchup = alloc_zero(sizeof(CatchUp));

	catchup->session = session;
	catchup->from = *from;
	ask(catchup);
	return catchup;
}

void
catchup_drained(CatchUp *catchup)
{
	if (catchup->parked)
		ask(catchup);
}

void
catchup_tick(CatchUp *catchup, int64_t now_ms)
{
	if (catchup->parked && catchup->from.not_before_ms != 0 &&
		catchup->from.not_before_ms <= now_ms)
		ask(catchup);
}

void
catchup_free(CatchUp *catchup)
{
	if (catchup == NULL)
		return;
	reader_cancel(catchup->request);
	free(catchup->from.since);
	free(catchup);
}
