/*
 * pgconn.h
 *		One database connection that never blocks: connect, pipeline, reconnect.
 *
 * A connection keeps itself alive: it connects, prepares its statements, says
 * on_ready, and when it breaks says on_lost and starts over after a back-off.
 * Statements are pipelined, each with a Sync of its own, so each is one
 * transaction and its failure touches no other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PGCONN_H
#define MIRUSYNC_PGCONN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "status.h"

typedef struct PgConn PgConn;

/* Type OIDs of pg_type.dat, which never change. */
#define PG_INT8		   20
#define PG_INT4		   23
#define PG_TEXT		   25
#define PG_TEXT_ARRAY  1009
#define PG_TIMESTAMPTZ 1184

#define PG_PARAMS_MAX  6

/* A statement prepared once per connection; the object is static data. */
typedef struct PgStatement
{
	const char *name;
	const char *sql;
	int param_count;
	Oid types[PG_PARAMS_MAX];
} PgStatement;

/* The parameters of one execution; read before pgconn_send returns. */
typedef struct PgParams
{
	const char *values[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX]; /* of binary values */
	int formats[PG_PARAMS_MAX]; /* 0 text, 1 binary */
} PgParams;

/*
 * What became of a statement, told after its Sync: only then is it committed.
 * Exactly one of: "result" (rows); an error with "sqlstate" and "reason";
 * "lost", when the connection broke and nobody knows.
 */
typedef struct PgReply
{
	PGresult *result;	  /* valid during the callback only */
	const char *sqlstate; /* five characters, "" if there was none */
	const char *reason;
	bool lost;
} PgReply;

typedef void (*PgCallback)(void *arg, const PgReply *reply);

typedef struct PgSpec
{
	const char *name;		 /* for the log and application_name; static */
	int64_t lock_timeout_ms; /* 0 = the server's */
	const PgStatement *const *statements; /* NULL-terminated, or NULL */
	bool direct;						  /* not through a pooler */
	bool greets; /* it has succeeded only when pgconn_greeted is called */
	void (*on_ready)(void *arg);
	void (*on_lost)(void *arg); /* after the callbacks; was ready */
	void (*on_notify)(void *arg, int pid, const char *payload);
	void *arg;
} PgSpec;

/* pgconn_setup says where the database is, for all connections. */
extern void pgconn_setup(const Config *config);

/* pgconn_new makes a connection that is at rest until pgconn_start. */
extern PgConn *pgconn_new(const PgSpec *spec);

/*
 * pgconn_greeted says that the server on the other side is the right one, so
 * that the next reconnect need not wait.
 */
extern void pgconn_greeted(PgConn *pg);

/*
 * pgconn_free closes without any further callback; requests in flight are
 * forgotten.  Safe on NULL.
 */
extern void pgconn_free(PgConn *pg);

/* pgconn_start begins to connect at the turn's end; idempotent. */
extern void pgconn_start(PgConn *pg);

/*
 * pgconn_rest closes without any callback, until pgconn_start; nothing may be
 * in flight.
 */
extern void pgconn_rest(PgConn *pg);


extern bool pgconn_is_ready(const PgConn *pg);
extern int pgconn_backend_pid(const PgConn *pg); /* 0 if not connected */
extern int pgconn_in_flight(const PgConn *pg);

/*
 * pgconn_send executes a prepared statement.  STATUS_OK: the callback will
 * come, never from within this call.  STATUS_AGAIN: not ready, wait for
 * on_ready.  STATUS_FAILED: the connection has just broken (already logged),
 * the callback will not come for this one, on_lost will.
 */
extern Status
pgconn_send(PgConn *pg, const PgStatement *statement, const PgParams *params,
			PgCallback callback, void *arg) MUST_CHECK;

/* pgconn_send_sql does the same with one statement without parameters. */
extern Status pgconn_send_sql(PgConn *pg, const char *sql, PgCallback callback,
							  void *arg) MUST_CHECK;

/*
 * pgconn_break gives the connection up as if it had broken, with the back-off
 * that follows; at the end of the turn.
 */
extern void pgconn_break(PgConn *pg, const char *reason);

/* pgconn_are_settled: each is up or at rest, and none is about to change. */
extern bool pgconn_are_settled(void);

/* pgconn_metrics sets the gauges. */
extern void pgconn_metrics(void);

/* pgconn_tick reconnects what is due and breaks what hangs. */
extern void pgconn_tick(int64_t now_ms);

/*
 * pg_is_transient says whether an SQLSTATE is nobody's fault: classes 08, 40,
 * 53, 57, 58, XX, and 55P03.  Such a statement is tried again.
 */
extern bool pg_is_transient(const char *sqlstate);

#endif
