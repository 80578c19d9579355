/*
 * verdicts.c
 *		Reads the rows of push_many: what became of each message, and the
 *		events to deliver.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "verdicts.h"

#include <stdlib.h>
#include <string.h>

#include "bell.h"
#include "feed.h"
#include "log.h"
#include "metrics.h"

/* The columns by position, so that a later column does not disturb them. */
enum
{
	COL_KIND,
	COL_MESSAGE,
	COL_STATUS,
	COL_FEED,
	COL_AFTER,
	COL_SEQ,
	COL_SESSION,
	COL_CODE,
	COL_BODY,
	COL_NATIVE,
	COL_VERDICTS
};

const PgStatement push_many_statement =
	{"push_many",
	 "select kind, message, status, feed, after, seq, session, code, body, "
	 "native, verdicts from mirusync.push_many($1, $2, $3, $4, $5, "
	 "pg_catalog.string_to_array($6, ','))",
	 6,
	 {PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY, PG_TEXT_ARRAY,
	  PG_TEXT}};

static const char *
text_of(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return NULL;
	return PQgetvalue(result, row, column);
}

static int64_t
int_of(const PGresult *result, int row, int column)
{
	const char *text = text_of(result, row, column);

	return text == NULL ? 0 : strtoll(text, NULL, 10);
}

/* count_changes counts a push of several changes: "{1,0,0,2}". */
static void
count_changes(const char *counts)
{
	static const Metric metrics[] = {METRIC_VERDICT_APPLIED,
									 METRIC_VERDICT_MERGED,
									 METRIC_VERDICT_STALE,
									 METRIC_VERDICT_REJECTED};
	char *at = (char *) counts;

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]) && *at; i++)
		metrics_add(metrics[i], strtoull(at + 1, &at, 10));
}

/* count_status counts an event, or what failed as a whole. */
static void
count_status(const char *status)
{
	static const struct
	{
		const char *status;
		Metric metric;
	} known[] = {{"applied", METRIC_VERDICT_APPLIED},
				 {"merged", METRIC_VERDICT_MERGED},
				 {"stale", METRIC_VERDICT_STALE},
				 {"retry", METRIC_VERDICT_RETRY}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(status, known[i].status) == 0)
		{
			metrics_count(known[i].metric);
			return;
		}
	metrics_count(METRIC_VERDICT_REJECTED);
}

static void
read_verdict(const PGresult *result, int row, PushResult *out)
{
	const char *status = PQgetvalue(result, row, COL_STATUS);
	const char *code = text_of(result, row, COL_CODE);
	const char *counts = text_of(result, row, COL_VERDICTS);

	if (counts != NULL)
		count_changes(counts);
	else
		count_status(status);
	out->known = true;
	strncpy(out->sqlstate, code ? code : "", sizeof(out->sqlstate) - 1);
	out->verdict.seq = int_of(result, row, COL_SEQ);
	out->verdict.body = text_of(result, row, COL_BODY);
	if (strcmp(status, "applied") == 0 || strcmp(status, "merged") == 0)
		out->verdict.kind = VERDICT_STORED;
	else if (strcmp(status, "stale") == 0)
		out->verdict.kind = VERDICT_UNCHANGED;
	else if (strcmp(status, "retry") == 0)
		out->retry = true;
	else
	{
		out->verdict.kind = VERDICT_REJECTED;
		out->verdict.reason = out->verdict.body;
		out->verdict.body = NULL;
		memcpy(out->verdict.sqlstate, out->sqlstate, sizeof(out->sqlstate));
		if (out->verdict.reason == NULL)
			out->verdict.reason = "Change refused";
	}
}

void
verdicts_read(const PGresult *result, PushResult *results, int count)
{
	memset(results, 0, (size_t) count * sizeof(PushResult));
	for (int row = 0; row < PQntuples(result); row++)
	{
		int64_t index;

		if (strcmp(PQgetvalue(result, row, COL_KIND), "verdict") != 0)
			continue;
		index = int_of(result, row, COL_MESSAGE);
		if (index < 1 || index > count)
			log_error("push_many answered for an unknown message index=%lld",
					  (long long) index);
		else
			read_verdict(result, row, &results[index - 1]);
	}
}

void
verdicts_deliver(const PGresult *result, DialectSet dialects)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		FeedEvent event = {.rendered = dialects};

		if (strcmp(PQgetvalue(result, row, COL_KIND), "event") != 0)
			continue;
		event.after = int_of(result, row, COL_AFTER);
		event.seq = int_of(result, row, COL_SEQ);
		event.origin = text_of(result, row, COL_SESSION);
		event.body[DIALECT_EVENT] = text_of(result, row, COL_BODY);
		event.body[DIALECT_NATIVE] = text_of(result, row, COL_NATIVE);
		feed_take(PQgetvalue(result, row, COL_FEED), &event);
		bell_note(PQgetvalue(result, row, COL_FEED));
	}
}
