/*
 * reader.c
 *		The connections that read: pages of feeds, and heads.
 *
 * Owns the reading connections and every request until its callback.
 *
 * Each class of requests has a queue, first in, first out; the classes take
 * turns, so neither a flood of catch-ups delays live delivery much nor the
 * other way round.  A session has one page asked for at a time, hence the
 * catch-ups are served page by page in turn: that is the fairness.
 *
 * Bounds: few requests are in flight (a page can be a megabyte), and while the
 * outboxes of the process hold too much no more catch-up pages are fetched.
 *
 * Failure: a request whose connection broke, or that failed for a reason that
 * is nobody's fault, goes back to the front of its queue.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reader.h"

#include <stdio.h>
#include <utlist.h>

#include "alloc.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "outbox.h"

#define IN_FLIGHT_PER_READER 4
#define TRIES_MAX			 20					 /* then it is given up */
#define RETRY_MS			 500				 /* after a transient error */
#define OUTBOX_BUDGET		 (128 * 1024 * 1024) /* bytes of all sessions */
#define VALUES_MAX			 5

struct ReadRequest
{
	struct ReadRequest *prev; /* in its queue, unless in flight */
	struct ReadRequest *next;
	ReadClass class;
	const PgStatement *statement;
	char *values[VALUES_MAX]; /* text parameters, or */
	PgArray array;			  /* the one array */
	ReadCallback callback;	  /* NULL once cancelled */
	void *arg;
	int64_t not_before_ms;
	int tries; /* that failed through nobody's fault */
	bool in_flight;
};

typedef struct Reader
{
	PgConn *pg;
	char name[24];
} Reader;

#define PAGE_COLUMNS                                                           \
	"select kind, after, seq, head, complete, session, body, native "
#define DIALECTS_ARE(param)                                                    \
	"dialects => pg_catalog.string_to_array(" param ", ',')"

const PgStatement pull_live_statement =
	{"pull_live",
	 PAGE_COLUMNS
	 "from mirusync.pull_events($1, $2, $3, true, $4, " DIALECTS_ARE("$5") ")",
	 5,
	 {PG_TEXT, PG_INT8, PG_INT4, PG_INT8, PG_TEXT}};
const PgStatement pull_after_statement =
	{"pull_after",
	 PAGE_COLUMNS
	 "from mirusync.pull_events($1, $2, $3, false, $4, " DIALECTS_ARE("$5") ")",
	 5,
	 {PG_TEXT, PG_INT8, PG_INT4, PG_INT8, PG_TEXT}};
const PgStatement pull_since_statement =
	{"pull_since",
	 PAGE_COLUMNS "from mirusync.pull_events($1, mirusync.seq_before($1, $2), "
				  "$3, false)",
	 3,
	 {PG_TEXT, PG_TIMESTAMPTZ, PG_INT4}};
const PgStatement pull_recent_statement =
	{"pull_recent",
	 PAGE_COLUMNS "from mirusync.pull_events($1, mirusync.seq_before($1, "
				  "now() - interval '60 seconds'), $2, false)",
	 2,
	 {PG_TEXT, PG_INT4}};
const PgStatement heads_statement =
	{"heads", "select feed, head from mirusync.heads($1)", 1, {PG_TEXT_ARRAY}};

const PgStatement access_statement =
	{"access",
	 "select user_id, device, revoked_at, realtime "
	 "from mirusync.relay_access($1)",
	 1,
	 {PG_TEXT_ARRAY}};
const PgStatement redeem_statement =
	{"redeem",
	 "select mirusync.relay_redeem($1, $2, $3)",
	 3,
	 {PG_TEXT, PG_TEXT, PG_TIMESTAMPTZ}};

const PgStatement history_statement =
	{"history",
	 "select mirusync.relay_history($1, $2, $3, $4, $5)",
	 5,
	 {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_INT4}};
const PgStatement conflicts_statement =
	{"conflicts",
	 "select mirusync.relay_conflicts($1, $2, $3, $4, $5)",
	 5,
	 {PG_TEXT, PG_TEXT, PG_TEXT, PG_INT8, PG_INT4}};

static const PgStatement *const statements[] =
	{&pull_live_statement,	&pull_after_statement,
	 &pull_since_statement, &pull_recent_statement,
	 &heads_statement,		&access_statement,
	 &redeem_statement,		&history_statement,
	 &conflicts_statement,	NULL};

static Reader *readers;
static int reader_count;
static int catch_up_parallel;
static int catch_ups_in_flight;
static ReadRequest *queues[READ_CLASSES];
static int turn; /* the class to be looked at first */
static TurnTask task;

/* ---- requests ---- */

static void
request_free(ReadRequest *request)
{
	for (int i = 0; i < VALUES_MAX; i++)
		free(request->values[i]);
	pgarray_release(&request->array);
	free(request);
}

static ReadRequest *
request_new(ReadClass class, const PgStatement *statement,
			ReadCallback callback, void *arg)
{
	ReadRequest *request = alloc_zero(sizeof(ReadRequest));

	request->class = class;
	request->statement = statement;
	request->callback = callback;
	request->arg = arg;
	DL_APPEND(queues[class], request);
	loop_at_turn_end(&task);
	return request;
}

ReadRequest *
reader_submit(ReadClass class, const PgStatement *statement,
			  const char *const *values, ReadCallback callback, void *arg)
{
	ReadRequest *request = request_new(class, statement, callback, arg);

	for (int i = 0; i < statement->param_count; i++)
		request->values[i] = alloc_string(values[i]);
	return request;
}

ReadRequest *
reader_submit_array(ReadClass class, const PgStatement *statement,
					PgArray *array, ReadCallback callback, void *arg)
{
	ReadRequest *request = request_new(class, statement, callback, arg);

	request->array = *array;
	memset(array, 0, sizeof(*array));
	return request;
}

void
reader_cancel(ReadRequest *request)
{
	if (request == NULL)
		return;
	request->callback = NULL;
	if (!request->in_flight)
	{
		DL_DELETE(queues[request->class], request);
		request_free(request);
	}
}

/* ---- sending ---- */

/*
 * put_back queues a read again, behind the others: one that fails for ever
 * must not stand before those that would not.  False when it had its chances.
 */
static bool
put_back(ReadRequest *request, int64_t wait_ms)
{
	if (request->callback == NULL)
	{
		request_free(request);
		return true;
	}
	if (++request->tries >= TRIES_MAX)
		return false;
	request->not_before_ms = loop_now_ms() + wait_ms * request->tries;
	DL_APPEND(queues[request->class], request);
	return true;
}

static void
on_reply(void *arg, const PgReply *reply)
{
	static LogLimit complaint;
	ReadRequest *request = arg;
	char reason[LOG_VALUE_MAX];

	request->in_flight = false;
	if (request->class == READ_CATCH_UP)
		catch_ups_in_flight--;
	loop_at_turn_end(&task);
	if (reply->lost && put_back(request, 0))
		return;
	if (reply->result == NULL && !reply->lost)
		log_limited(&complaint, LOG_LEVEL_WARN,
					"read failed statement=%s sqlstate=%s reason=%s",
					request->statement->name, reply->sqlstate,
					log_value(reason, sizeof(reason), reply->reason));
	if (reply->result == NULL && !reply->lost &&
		pg_is_transient(reply->sqlstate) && put_back(request, RETRY_MS))
		return;
	metrics_count(METRIC_READS_LIVE + (Metric) request->class);
	if (request->callback != NULL)
		request->callback(request->arg, reply->result);
	request_free(request);
}

static Reader *
least_busy(void)
{
	Reader *best = NULL;

	for (int i = 0; i < reader_count; i++)
	{
		Reader *reader = &readers[i];

		if (!pgconn_is_ready(reader->pg) ||
			pgconn_in_flight(reader->pg) >= IN_FLIGHT_PER_READER)
			continue;
		if (best == NULL ||
			pgconn_in_flight(reader->pg) < pgconn_in_flight(best->pg))
			best = reader;
	}
	return best;
}

static ReadRequest *
first_due(ReadRequest *queue, int64_t now_ms)
{
	ReadRequest *request;

	DL_FOREACH(queue, request)
		if (request->not_before_ms <= now_ms)
			return request;
	return NULL;
}

static ReadRequest *
next_request(void)
{
	int64_t now_ms = loop_now_ms();

	for (int i = 0; i < READ_CLASSES; i++)
	{
		ReadClass class = (ReadClass) ((turn + i) % READ_CLASSES);
		ReadRequest *request = first_due(queues[class], now_ms);

		if (request == NULL)
			continue;
		if (class == READ_CATCH_UP &&
			(catch_ups_in_flight >= catch_up_parallel ||
			 outbox_total_bytes() > OUTBOX_BUDGET))
			continue;
		turn = class + 1;
		return request;
	}
	return NULL;
}

static Status
send_request(Reader *reader, ReadRequest *request)
{
	PgParams params = {0};

	for (int i = 0; i < VALUES_MAX; i++)
		params.values[i] = request->values[i];
	if (request->array.data != NULL)
		pgarray_bind(&request->array, &params, 0);
	return pgconn_send(reader->pg, request->statement, &params, on_reply,
					   request);
}

static void
pump(void *arg)
{
	Reader *reader;
	ReadRequest *request;

	(void) arg;
	while ((reader = least_busy()) != NULL &&
		   (request = next_request()) != NULL)
	{
		if (send_request(reader, request) != STATUS_OK)
			return;
		DL_DELETE(queues[request->class], request);
		request->in_flight = true;
		if (request->class == READ_CATCH_UP)
			catch_ups_in_flight++;
	}
}

/* ---- pages ---- */

int64_t
page_int(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return 0;
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

const char *
page_text(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return NULL;
	return PQgetvalue(result, row, column);
}

bool
page_head(const PGresult *result, PageHead *head)
{
	if (PQntuples(result) < 1 ||
		strcmp(PQgetvalue(result, 0, PAGE_KIND), "page") != 0)
	{
		log_error("page without a head rows=%d", PQntuples(result));
		return false;
	}
	head->after = page_int(result, 0, PAGE_AFTER);
	head->seq = page_int(result, 0, PAGE_SEQ);
	head->head = page_int(result, 0, PAGE_HEAD);
	head->complete = PQgetvalue(result, 0, PAGE_COMPLETE)[0] == 't';
	return true;
}

/* ---- start, stop, time ---- */

static void
on_ready(void *arg)
{
	(void) arg;
	loop_at_turn_end(&task);
}

void
reader_init(const Config *config)
{
	loop_task_init(&task, pump, NULL);
	catch_up_parallel = config->catch_up_parallel;
	reader_count = config->readers;
	readers = alloc_zero((size_t) reader_count * sizeof(Reader));
	for (int i = 0; i < reader_count; i++)
	{
		PgSpec spec = {.name = readers[i].name,
					   .statements = statements,
					   .on_ready = on_ready};

		snprintf(readers[i].name, sizeof(readers[i].name), "reader-%d", i);
		readers[i].pg = pgconn_new(&spec);
	}
}

void
reader_start(void)
{
	for (int i = 0; i < reader_count; i++)
		pgconn_start(readers[i].pg);
}

void
reader_release(void)
{
	loop_task_cancel(&task);
	for (int i = 0; i < reader_count; i++)
		pgconn_free(readers[i].pg);
	free(readers);
	readers = NULL;
	reader_count = 0;
	for (int i = 0; i < READ_CLASSES; i++)
		while (queues[i] != NULL)
		{
			ReadRequest *request = queues[i];

			DL_DELETE(queues[i], request);
			request_free(request);
		}
}

void
reader_metrics(void)
{
	for (int i = 0; i < READ_CLASSES; i++)
	{
		uint64_t count = 0;
		const ReadRequest *request;

		DL_FOREACH(queues[i], request)
			count++;
		metrics_set(METRIC_READ_QUEUE_LIVE + (Metric) i, count);
	}
}

void
reader_tick(int64_t now_ms)
{
	(void) now_ms;
	for (int i = 0; i < READ_CLASSES; i++)
		if (queues[i] != NULL)
			loop_at_turn_end(&task);
}
