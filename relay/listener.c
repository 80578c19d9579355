/*
 * listener.c
 *		The connection that listens to the doorbell and greets the extension.
 *
 * Owns the listening connection.
 *
 * Ordering: connect, greet (versions, doorbell key, number of channels),
 * LISTEN to every channel, and only then ask for the heads of all feeds that
 * have sessions: what was committed before the LISTEN took effect shows in the
 * heads, what is committed after it rings.  So nothing falls between, at the
 * start and after each reconnect.
 *
 * A ring is a hint.  Its payload names feeds by hash and is not trusted: it
 * leads to a read at most, and only for feeds that are here.  The same holds
 * for the rings of mirusync.revoke() and set_realtime(), which name a user.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "listener.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "access.h"
#include "alloc.h"
#include "bell.h"
#include "doorbell.h"
#include "feed.h"
#include "log.h"
#include "pgconn.h"
#include "ticket.h"
#include "writer.h"

static const PgStatement hello_statement =
	{"hello",
	 "select version, compatible, encode(doorbell_key, 'hex'), "
	 "doorbell_shards, max_batches from mirusync.relay_hello($1)",
	 1,
	 {PG_TEXT}};
static const PgStatement *const statements[] = {&hello_statement, NULL};

static PgConn *pg;
static void (*on_greeted)(void);
static void (*on_refused)(void);
static bool ever_greeted;
static bool listening;
static int channels_to_go;

static void
on_listening(void *arg, const PgReply *reply)
{
	(void) arg;
	if (reply->result == NULL)
	{
		if (!reply->lost)
			pgconn_break(pg, "LISTEN failed");
		return;
	}
	if (--channels_to_go > 0)
		return;
	listening = true;
	log_info("listening to the doorbell backend=%d", pgconn_backend_pid(pg));
	feed_check_heads();
	access_check_all();
}

static void
listen_to_all(int shards)
{
	char sql[64];

	channels_to_go = shards;
	for (int i = 0; i < shards; i++)
	{
		snprintf(sql, sizeof(sql), "LISTEN mirusync_%d", i);
		if (pgconn_send_sql(pg, sql, on_listening, NULL) != STATUS_OK)
			return;
	}
}

static void
take_key(const char *hex)
{
	long len = 0;
	unsigned char *key = OPENSSL_hexstr2buf(hex, &len);

	if (key == NULL)
	{
		log_error("doorbell key is not readable");
		return;
	}
	feed_set_key(key, (size_t) len);
	access_set_key(key, (size_t) len);
	ticket_set_key(key, (size_t) len);
	OPENSSL_clear_free(key, (size_t) len);
}

static void
on_hello(void *arg, const PgReply *reply)
{
	static LogLimit complaint;
	const PGresult *result = reply->result;
	char reason[LOG_VALUE_MAX];
	int shards;

	(void) arg;
	if (reply->lost)
		return;
	if (result == NULL || PQntuples(result) != 1)
	{
		log_limited(&complaint, LOG_LEVEL_ERROR,
					"the extension did not answer the greeting sqlstate=%s "
					"reason=%s",
					reply->sqlstate,
					log_value(reason, sizeof(reason), reply->reason));
		pgconn_break(pg, "greeting failed");
		return;
	}
	if (PQgetvalue(result, 0, 1)[0] != 't')
	{
		log_limited(&complaint, LOG_LEVEL_ERROR,
					"extension and relay do not fit: major and minor version "
					"must agree extension=%s relay=%s",
					PQgetvalue(result, 0, 0), MIRUSYNC_VERSION);
		pgconn_break(pg, "incompatible extension");
		if (!ever_greeted)
			on_refused();
		return;
	}
	ever_greeted = true;
	pgconn_greeted(pg);
	take_key(PQgetvalue(result, 0, 2));
	shards = atoi(PQgetvalue(result, 0, 3));
	if (shards < 1 || shards > DOORBELL_SHARDS_MAX)
		shards = shards < 1 ? 1 : DOORBELL_SHARDS_MAX;
	writer_set_max_batches(atoi(PQgetvalue(result, 0, 4)));
	listen_to_all(shards);
	on_greeted();
}

static void
on_ready(void *arg)
{
	PgParams params = {.values = {MIRUSYNC_VERSION}};

	(void) arg;
	if (pgconn_send(pg, &hello_statement, &params, on_hello, NULL) != STATUS_OK)
		log_debug("greeting could not be sent");
}

static void
on_lost(void *arg)
{
	(void) arg;
	listening = false;
}

static void
on_notify(void *arg, int pid, const char *payload)
{
	const char *pos = payload;
	char hash[17];

	(void) arg;
	if (doorbell_access(payload, hash))
		access_ring(hash);
	if (bell_is_ours(pid))
		return;
	if (doorbell_names_all(payload))
		feed_ring_all();
	while (doorbell_next(&pos, hash))
		feed_ring(hash);
}

void
listener_init(void (*greeted)(void), void (*refused)(void))
{
	PgSpec spec = {.name = "listener",
				   .direct = true,
				   .statements = statements,
				   .greets = true,
				   .on_ready = on_ready,
				   .on_lost = on_lost,
				   .on_notify = on_notify};

	on_greeted = greeted;
	on_refused = refused;
	pg = pgconn_new(&spec);
}

void
listener_start(void)
{
	pgconn_start(pg);
}

void
listener_rest(void)
{
	pgconn_rest(pg);
	listening = false;
}

void
listener_release(void)
{
	pgconn_free(pg);
	pg = NULL;
	listening = false;
}

bool
listener_is_ready(void)
{
	return listening;
}
