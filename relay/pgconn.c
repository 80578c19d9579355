/*
 * pgconn.c
 *		One database connection that never blocks: connect, pipeline, reconnect.
 *
 * Owns the PGconn, the watcher of its socket, and the list of statements that
 * were sent and not yet settled.
 *
 * Invariants
 *	- The loop watches a dup of PQsocket(), never the socket itself: libpq
 *	  closes its socket inside any call that fails, and libuv aborts the
 *	  process when epoll meets a descriptor that was closed behind its back.
 *	- While connecting, the socket may be replaced by another one that may even
 *	  get the same number, so the watcher is made anew after every step.
 *	- PQgetResult is called only while PQisBusy() says no; else it blocks.
 *	- A reply is told after PGRES_PIPELINE_SYNC, not after the rows: in
 *	  pipeline mode rows arrive before the commit, which can still fail.
 *
 * Failure: whatever goes wrong ends in lose(): every pending statement is told
 * "lost", then on_lost, then a new PQconnectStart after a back-off with jitter
 * (PQreset would do the same less visibly).  Errors of single statements are
 * the callback's business.
 *
 * A host name in the conninfo is resolved by PQconnectStart, which blocks; an
 * address or a socket directory does not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pgconn.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

#include "alloc.h"
#include "backoff.h"
#include "conninfo.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"

#define CONNECT_TIMEOUT_MS 10000
#define BACKOFF_BASE_MS	   50

typedef enum PgState
{
	PG_REST,	   /* not started */
	PG_WAITING,	   /* for retry_at_ms */
	PG_CONNECTING, /* in PQconnectPoll */
	PG_PREPARING,  /* preparing the statements */
	PG_READY
} PgState;

/* One statement between send and Sync. */
typedef struct Request
{
	struct Request *prev;
	struct Request *next;
	PgCallback callback;
	void *arg;
	PGresult *result; /* the rows, or the first error */
	int skip;		  /* results that come before it */
	int64_t sent_ms;
} Request;

/* The watched dup; lives until libuv has let go of it. */
typedef struct Watch
{
	uv_poll_t poll;
	PgConn *pg; /* NULL once closed */
	int fd;
	int events;
} Watch;

struct PgConn
{
	struct PgConn *prev; /* all connections */
	struct PgConn *next;
	PgSpec spec;
	PgState state;
	PGconn *conn;	   /* NULL unless CONNECTING or later */
	Watch *watch;	   /* NULL likewise */
	Request *requests; /* oldest first */
	int request_count;
	const char *broken; /* reason, once it is to be given up */
	TurnTask begin;
	TurnTask give_up;
	int first_host; /* of the conninfo's, to be tried */
	Backoff backoff;
	int64_t retry_at_ms;
	int64_t deadline_ms; /* of connecting and preparing */
	LogLimit complaint;
};

static PgConn *connections;
static const Config *config;

static void on_poll(uv_poll_t *poll, int status, int events);
static void begin(void *arg);
static void lose(void *arg);

void
pgconn_setup(const Config *config_)
{
	config = config_;
}

bool
pg_is_transient(const char *sqlstate)
{
	static const char classes[][3] = {"08", "40", "53", "57", "58", "XX"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	/* A lock that somebody holds; a server that is read-only until it is promoted. */
	return strcmp(sqlstate, "55P03") == 0 || strcmp(sqlstate, "25006") == 0;
}

/* ---- watching the socket ---- */

static void
on_watch_closed(uv_handle_t *handle)
{
	Watch *watch = (Watch *) handle;

	close(watch->fd);
	free(watch);
}

static void
watch_stop(PgConn *pg)
{
	if (pg->watch == NULL)
		return;
	pg->watch->pg = NULL;
	uv_poll_stop(&pg->watch->poll);
	uv_close((uv_handle_t *) &pg->watch->poll, on_watch_closed);
	pg->watch = NULL;
}

static Status
watch_start(PgConn *pg, int events)
{
	Watch *watch;
	int fd;

	watch_stop(pg);
	fd = fcntl(PQsocket(pg->conn), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return STATUS_FAILED;
	watch = alloc_zero(sizeof(Watch));
	watch->fd = fd;
	watch->pg = pg;
	if (uv_poll_init(loop_uv(), &watch->poll, fd) != 0)
	{
		close(fd);
		free(watch);
		return STATUS_FAILED;
	}
	pg->watch = watch;
	watch->events = events;
	uv_poll_start(&watch->poll, events, on_poll);
	return STATUS_OK;
}

static void
watch_for(PgConn *pg, int events)
{
	if (pg->watch == NULL || pg->watch->events == events)
		return;
	pg->watch->events = events;
	uv_poll_start(&pg->watch->poll, events, on_poll);
}

/* ---- making and breaking ---- */

PgConn *
pgconn_new(const PgSpec *spec)
{
	PgConn *pg = alloc_zero(sizeof(PgConn));

	pg->spec = *spec;
	pg->state = PG_REST;
	backoff_init(&pg->backoff, BACKOFF_BASE_MS, config->reconnect_wait_max_ms);
	loop_task_init(&pg->begin, begin, pg);
	loop_task_init(&pg->give_up, lose, pg);
	DL_APPEND(connections, pg);
	return pg;
}

static void
disconnect(PgConn *pg)
{
	watch_stop(pg);
	if (pg->conn != NULL)
		PQfinish(pg->conn);
	pg->conn = NULL;
}

static void
request_free(PgConn *pg, Request *request)
{
	DL_DELETE(pg->requests, request);
	pg->request_count--;
	PQclear(request->result);
	free(request);
}

void
pgconn_free(PgConn *pg)
{
	if (pg == NULL)
		return;
	loop_task_cancel(&pg->begin);
	loop_task_cancel(&pg->give_up);
	while (pg->requests != NULL)
		request_free(pg, pg->requests);
	disconnect(pg);
	DL_DELETE(connections, pg);
	free(pg);
}

void
pgconn_start(PgConn *pg)
{
	if (pg->state != PG_REST)
		return;
	pg->state = PG_WAITING;
	pg->retry_at_ms = loop_now_ms();
	loop_at_turn_end(&pg->begin);
}

void
pgconn_rest(PgConn *pg)
{
	loop_task_cancel(&pg->begin);
	loop_task_cancel(&pg->give_up);
	while (pg->requests != NULL)
		request_free(pg, pg->requests);
	disconnect(pg);
	pg->broken = NULL;
	pg->state = PG_REST;
	backoff_reset(&pg->backoff);
}

void
pgconn_break(PgConn *pg, const char *reason)
{
	if (pg->broken != NULL || pg->state <= PG_WAITING)
		return;
	pg->broken = reason;
	loop_at_turn_end(&pg->give_up);
}

/* The first line of libpq's message: the rest is detail, and line ends. */
static const char *
error_line(const PgConn *pg, char *buf, size_t size)
{
	const char *text = pg->conn ? PQerrorMessage(pg->conn) : "";
	size_t len = strcspn(text, "\n");

	return log_value(buf, size,
					 len == 0 ? "none" : strndupa(text, len < 300 ? len : 300));
}

static void
lose(void *arg)
{
	PgConn *pg = arg;
	bool was_ready = pg->state == PG_READY;
	PgReply reply = {.sqlstate = "", .reason = "", .lost = true};
	char line[LOG_VALUE_MAX];
	int64_t wait_ms = backoff_next(&pg->backoff);

	metrics_count(METRIC_DATABASE_LOSSES);
	log_limited(&pg->complaint, LOG_LEVEL_WARN,
				"database connection lost connection=%s reason=\"%s\" "
				"message=%s retry_in_ms=%lld",
				pg->spec.name, pg->broken, error_line(pg, line, sizeof(line)),
				(long long) wait_ms);
	disconnect(pg);
	pg->state = PG_WAITING;
	pg->broken = NULL;
	pg->retry_at_ms = loop_now_ms() + wait_ms;

	while (pg->requests != NULL)
	{
		Request *request = pg->requests;
		PgCallback callback = request->callback;
		void *callback_arg = request->arg;

		request_free(pg, request);
		if (callback != NULL)
			callback(callback_arg, &reply);
	}
	if (was_ready && pg->spec.on_lost != NULL)
		pg->spec.on_lost(pg->spec.arg);
}

/* ---- connecting ---- */

static void
on_notice(void *arg, const char *text)
{
	PgConn *pg = arg;

	log_debug("database notice connection=%s text=\"%.*s\"", pg->spec.name,
			  (int) strcspn(text, "\n"), text);
}

/*
 * Where the connection leads.  The doorbell's go past the pooler: it would
 * give them another backend for each transaction.
 */
static const char *
conninfo_of(const PgConn *pg)
{
	return pg->spec.direct && config->database_direct[0] != '\0'
		? config->database_direct
		: config->database;
}

/*
 * Behind a pooler a connection has no state: what is prepared or set in one
 * transaction is not there in the next.
 */
static bool
is_pooled(const PgConn *pg)
{
	return config->database_pooled && !pg->spec.direct;
}

static void
connect_start(PgConn *pg)
{
	const char *conninfo = conninfo_of(pg);

	pg->deadline_ms = loop_now_ms() +
		conninfo_timeout_ms(conninfo, CONNECT_TIMEOUT_MS);
	pg->state = PG_CONNECTING;
	pg->conn = conninfo_connect(conninfo, pg->first_host, pg->spec.name,
								is_pooled(pg) ? 0 : pg->spec.lock_timeout_ms);
	PQsetNoticeProcessor(pg->conn, on_notice, pg);
	if (PQstatus(pg->conn) == CONNECTION_BAD ||
		watch_start(pg, UV_WRITABLE) != STATUS_OK)
		pgconn_break(pg, "could not connect");
}

static void
begin(void *arg)
{
	PgConn *pg = arg;

	if (pg->state == PG_WAITING && loop_now_ms() >= pg->retry_at_ms)
		connect_start(pg);
}

void
pgconn_greeted(PgConn *pg)
{
	backoff_reset(&pg->backoff);
}

static void
become_ready(PgConn *pg)
{
	pg->state = PG_READY;
	metrics_count(METRIC_DATABASE_CONNECTS);
	if (!pg->spec.greets)
		backoff_reset(&pg->backoff);
	log_info("database connected connection=%s backend=%d", pg->spec.name,
			 PQbackendPID(pg->conn));
	if (pg->spec.on_ready != NULL)
		pg->spec.on_ready(pg->spec.arg);
}

static void
on_prepared(void *arg, const PgReply *reply)
{
	PgConn *pg = arg;
	char line[LOG_VALUE_MAX];

	if (reply->lost)
		return;
	if (reply->result == NULL)
	{
		log_limited(&pg->complaint, LOG_LEVEL_ERROR,
					"database statement could not be prepared connection=%s "
					"sqlstate=%s reason=%s",
					pg->spec.name, reply->sqlstate,
					log_value(line, sizeof(line), reply->reason));
		pgconn_break(pg, "could not prepare");
		return;
	}
	/* The last one to be answered: everything before it went well. */
	if (pg->request_count == 0 && pg->broken == NULL)
		become_ready(pg);
}

static void
request_add(PgConn *pg, PgCallback callback, void *arg)
{
	Request *request = alloc_zero(sizeof(Request));

	request->callback = callback;
	request->arg = arg;
	request->sent_ms = loop_now_ms();
	DL_APPEND(pg->requests, request);
	pg->request_count++;
}

/* After a PQsend...: adds the Sync, flushes, and remembers whom to tell. */
static Status
sent(PgConn *pg, int ok, PgCallback callback, void *arg)
{
	int left;

	if (!ok || !PQpipelineSync(pg->conn) || (left = PQflush(pg->conn)) < 0)
	{
		pgconn_break(pg, "could not send");
		return STATUS_FAILED;
	}
	request_add(pg, callback, arg);
	watch_for(pg, UV_READABLE | (left > 0 ? UV_WRITABLE : 0));
	return STATUS_OK;
}

static void
prepare_all(PgConn *pg)
{
	pg->state = PG_PREPARING;
	if (PQsetnonblocking(pg->conn, 1) != 0 || !PQenterPipelineMode(pg->conn))
	{
		pgconn_break(pg, "could not enter pipeline mode");
		return;
	}
	if (watch_start(pg, UV_READABLE) != STATUS_OK)
	{
		pgconn_break(pg, "could not watch the socket");
		return;
	}
	if (pg->spec.statements == NULL || is_pooled(pg))
	{
		become_ready(pg);
		return;
	}
	for (const PgStatement *const *s = pg->spec.statements; *s != NULL; s++)
		if (sent(pg,
				 PQsendPrepare(pg->conn, (*s)->name, (*s)->sql,
							   (*s)->param_count, (*s)->types),
				 on_prepared, pg) != STATUS_OK)
			return;
}

static void
connect_step(PgConn *pg)
{
	Status status = STATUS_OK;

	switch (PQconnectPoll(pg->conn))
	{
		case PGRES_POLLING_READING:
			status = watch_start(pg, UV_READABLE);
			break;
		case PGRES_POLLING_WRITING:
			status = watch_start(pg, UV_WRITABLE);
			break;
		case PGRES_POLLING_OK:
			prepare_all(pg);
			break;
		default:
			status = STATUS_FAILED;
			break;
	}
	if (status != STATUS_OK)
		pgconn_break(pg, "could not connect");
}

/* ---- results ---- */

static void
settle_first(PgConn *pg)
{
	Request *request = pg->requests;
	PGresult *result = request->result;
	PgCallback callback = request->callback;
	void *arg = request->arg;
	PgReply reply = {.sqlstate = "", .reason = ""};
	ExecStatusType status = PQresultStatus(result);

	request->result = NULL;
	request_free(pg, request);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		reply.result = result;
	else
	{
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const char *reason = PQresultErrorField(result,
												PG_DIAG_MESSAGE_PRIMARY);

		reply.sqlstate = sqlstate ? sqlstate : "";
		metrics_count(METRIC_DATABASE_ERRORS);
		reply.reason = reason ? reason : "no result";
		reply.lost = sqlstate == NULL;
	}
	if (callback != NULL)
		callback(arg, &reply);
	PQclear(result);
}

static bool
is_error(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

static void
take_result(PgConn *pg, PGresult *result)
{
	Request *request = pg->requests;

	if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
	{
		PQclear(result);
		settle_first(pg);
		return;
	}
	if (request->skip > 0 && !is_error(result))
	{
		request->skip--;
		PQclear(result);
		return;
	}
	/* An error that arrives after the rows is that of the commit: it counts. */
	if (request->result == NULL ||
		(is_error(result) && !is_error(request->result)))
	{
		PQclear(request->result);
		request->result = result;
	}
	else
		PQclear(result);
}

static void
read_results(PgConn *pg)
{
	int nulls = 0;

	while (pg->requests != NULL && pg->conn != NULL && nulls < 2 &&
		   !PQisBusy(pg->conn))
	{
		PGresult *result = PQgetResult(pg->conn);

		if (result == NULL)
		{
			nulls++;
			continue;
		}
		nulls = 0;
		take_result(pg, result);
	}
}

static void
read_notifications(PgConn *pg)
{
	PGnotify *notify;

	while ((notify = PQnotifies(pg->conn)) != NULL)
	{
		if (pg->spec.on_notify != NULL)
			pg->spec.on_notify(pg->spec.arg, notify->be_pid, notify->extra);
		PQfreemem(notify);
	}
}

static void
on_io(PgConn *pg, int events)
{
	bool gone = false;

	if (events & UV_READABLE)
		gone = !PQconsumeInput(pg->conn);

	/* What arrived whole before the end still counts. */
	read_results(pg);
	read_notifications(pg);
	if (gone || PQstatus(pg->conn) == CONNECTION_BAD)
	{
		pgconn_break(pg, "connection broke");
		return;
	}
	switch (PQflush(pg->conn))
	{
		case 0:
			watch_for(pg, UV_READABLE);
			break;
		case 1:
			watch_for(pg, UV_READABLE | UV_WRITABLE);
			break;
		default:
			pgconn_break(pg, "could not send");
			break;
	}
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	PgConn *pg = ((Watch *) poll)->pg;

	if (pg == NULL || pg->broken != NULL)
		return;
	/*
	 * A backend that ends with something of ours unread resets the connection,
	 * and at that libuv stops watching.  libpq first reads what the backend
	 * had sent before, and finds the end only when it is called again: without
	 * a watch it never would be.
	 */
	if (status < 0)
	{
		uv_poll_start(poll, pg->watch->events, on_poll);
		events = UV_READABLE;
	}
	if (pg->state == PG_CONNECTING)
		connect_step(pg);
	else
		on_io(pg, events);
}

/* ---- for the callers ---- */

bool
pgconn_is_ready(const PgConn *pg)
{
	return pg->state == PG_READY && pg->broken == NULL;
}

int
pgconn_backend_pid(const PgConn *pg)
{
	return pg->conn != NULL ? PQbackendPID(pg->conn) : 0;
}

int
pgconn_in_flight(const PgConn *pg)
{
	return pg->request_count;
}

/* Everything that the statement needs goes with it, in its transaction. */
static Status
send_whole(PgConn *pg, const PgStatement *statement, const PgParams *params,
		   PgCallback callback, void *arg)
{
	char timeout[24];
	const char *const values[] = {timeout};
	Status status;
	int ok = 1;

	snprintf(timeout, sizeof(timeout), "%lld",
			 (long long) pg->spec.lock_timeout_ms);
	if (pg->spec.lock_timeout_ms > 0)
		ok = PQsendQueryParams(
			pg->conn, "select pg_catalog.set_config('lock_timeout', $1, true)",
			1, NULL, values, NULL, NULL, 0);
	if (ok)
		ok = PQsendQueryParams(pg->conn, statement->sql, statement->param_count,
							   statement->types, params->values,
							   params->lengths, params->formats, 0);
	status = sent(pg, ok, callback, arg);
	if (status == STATUS_OK && pg->spec.lock_timeout_ms > 0)
		pg->requests->prev->skip = 1;
	return status;
}

Status
pgconn_send(PgConn *pg, const PgStatement *statement, const PgParams *params,
			PgCallback callback, void *arg)
{
	int ok;

	if (!pgconn_is_ready(pg))
		return STATUS_AGAIN;
	if (is_pooled(pg))
		return send_whole(pg, statement, params, callback, arg);
	ok = PQsendQueryPrepared(pg->conn, statement->name, statement->param_count,
							 params->values, params->lengths, params->formats,
							 0);
	return sent(pg, ok, callback, arg);
}

Status
pgconn_send_sql(PgConn *pg, const char *sql, PgCallback callback, void *arg)
{
	int ok;

	if (!pgconn_is_ready(pg))
		return STATUS_AGAIN;
	/* PQsendQuery is refused in pipeline mode. */
	ok = PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
	return sent(pg, ok, callback, arg);
}

static void
tick_one(PgConn *pg, int64_t now_ms)
{
	switch (pg->state)
	{
		case PG_REST:
			break;
		case PG_WAITING:
			if (now_ms >= pg->retry_at_ms)
				connect_start(pg);
			break;
		case PG_CONNECTING:
		case PG_PREPARING:
			if (now_ms < pg->deadline_ms)
				break;
			pg->first_host++;
			pgconn_break(pg, "connecting took too long");
			break;
		case PG_READY:
			if (pg->requests != NULL &&
				now_ms - pg->requests->sent_ms >
					config->push_wait_max_ms + config->slow_lock_timeout_ms)
				pgconn_break(pg, "no answer");
			break;
	}
}

bool
pgconn_are_settled(void)
{
	const PgConn *pg;

	DL_FOREACH(connections, pg)
		if (pg->broken != NULL ||
			(pg->state != PG_REST && pg->state != PG_READY))
			return false;
	return true;
}

void
pgconn_metrics(void)
{
	uint64_t counts[3] = {0};
	const PgConn *pg;

	DL_FOREACH(connections, pg)
	{
		if (pg->state == PG_READY)
			counts[0]++;
		else if (pg->state == PG_WAITING)
			counts[2]++;
		else if (pg->state != PG_REST)
			counts[1]++;
	}
	for (int i = 0; i < 3; i++)
		metrics_set(METRIC_DATABASE_READY + (Metric) i, counts[i]);
}

void
pgconn_tick(int64_t now_ms)
{
	PgConn *pg;

	DL_FOREACH(connections, pg)
		tick_one(pg, now_ms);
}
