/*
 * access.c
 *		Whether the database still lets a user in.
 *
 * Owns every question until its answer; it keeps no answers.
 *
 * Why no copy of the revocations here: there may be very many, a copy would
 * have to be complete before the first session could be let in, and it would
 * have to be kept in step.  So the table is asked, by its primary key, about
 * the users in question: when one connects, when a ring names one, and about
 * all who are here after the listening connection was made anew and, seldom,
 * in case a ring was lost.  Questions of one turn go together, so a thousand
 * devices that reconnect cost a few statements.
 *
 * Ordering: a ring comes after the commit that it tells of.  A question that is
 * under way when the ring comes may have been answered from before that, so it
 * is asked again; one that is asked later sees the change.  Before the
 * listening connection is up there are no rings, and afterwards all are asked.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "access.h"

#include <utlist.h>

#include "alloc.h"
#include "doorbell.h"
#include "feed.h"
#include "loop.h"
#include "reader.h"
#include "session.h"

#define BATCH_MAX 500 /* users in one statement */

/* Columns of the answer, which has a row for what stands against somebody. */
enum
{
	ROW_USER,
	ROW_DEVICE, /* "" = all; null if real-time sync is off */
	ROW_REVOKED_AT,
	ROW_REALTIME
};

struct AccessRequest
{
	struct AccessRequest *prev; /* waiting, or of its batch */
	struct AccessRequest *next;
	struct Batch *batch;	 /* NULL while waiting */
	AccessCallback callback; /* NULL once cancelled */
	void *arg;
	bool again; /* something changed since it was asked */
	Claims claims;
};

/* One statement under way. */
typedef struct Batch
{
	struct Batch *prev;
	struct Batch *next;
	AccessRequest *requests;
} Batch;

static AccessRequest *waiting;
static Batch *batches;
static TurnTask task;
static unsigned char *key;
static size_t key_len;
static int64_t poll_interval_ms;
static int64_t next_poll_ms;

/* ---- answers ---- */

static bool
is_before(const Claims *claims, const PGresult *result, int row)
{
	/* A token that does not say when it was issued may have been before. */
	return !claims->has_iat ||
		claims->iat <= page_int(result, row, ROW_REVOKED_AT);
}

static AccessVerdict
judge(const Claims *claims, const PGresult *result)
{
	AccessVerdict verdict = ACCESS_GRANTED;

	if (result == NULL)
		return ACCESS_UNKNOWN;
	for (int row = 0; row < PQntuples(result); row++)
	{
		const char *device = page_text(result, row, ROW_DEVICE);

		if (strcmp(PQgetvalue(result, row, ROW_USER), claims->user) != 0)
			continue;
		if (device == NULL)
			verdict = ACCESS_REALTIME_OFF;
		else if ((device[0] == '\0' || strcmp(device, claims->device) == 0) &&
				 is_before(claims, result, row))
			return ACCESS_REVOKED;
	}
	return verdict;
}

static void
on_answer(void *arg, const PGresult *result)
{
	Batch *batch = arg;

	DL_DELETE(batches, batch);
	while (batch->requests != NULL)
	{
		AccessRequest *request = batch->requests;

		DL_DELETE(batch->requests, request);
		if (request->callback != NULL && request->again)
		{
			request->again = false;
			request->batch = NULL;
			DL_APPEND(waiting, request);
			loop_at_turn_end(&task);
			continue;
		}
		if (request->callback != NULL)
			request->callback(request->arg, judge(&request->claims, result));
		free(request);
	}
	free(batch);
}

/* ---- questions ---- */

static void
send_batch(void)
{
	Batch *batch = alloc_zero(sizeof(Batch));
	PgArray users;

	pgarray_init(&users);
	while (waiting != NULL && users.count < BATCH_MAX)
	{
		AccessRequest *request = waiting;

		DL_DELETE(waiting, request);
		DL_APPEND(batch->requests, request);
		request->batch = batch;
		pgarray_add(&users, request->claims.user, strlen(request->claims.user));
	}
	DL_APPEND(batches, batch);
	reader_submit_array(READ_ACCESS, &access_statement, &users, on_answer,
						batch);
}

static void
send_all(void *arg)
{
	(void) arg;
	while (waiting != NULL)
		send_batch();
}

AccessRequest *
access_ask(const Claims *claims, AccessCallback callback, void *arg)
{
	AccessRequest *request = alloc_zero(sizeof(AccessRequest));

	request->claims = *claims;
	request->callback = callback;
	request->arg = arg;
	DL_APPEND(waiting, request);
	loop_at_turn_end(&task);
	return request;
}

void
access_cancel(AccessRequest *request)
{
	if (request == NULL)
		return;
	request->callback = NULL;
	if (request->batch == NULL)
	{
		DL_DELETE(waiting, request);
		free(request);
	}
}

static bool
has_hash(const Claims *claims, const char hash[17])
{
	char ours[17];

	doorbell_hash(key, key_len, claims->user, strlen(claims->user), ours);
	return strcmp(ours, hash) == 0;
}

/* ask_again marks the questions under way; hash NULL = all. */
static void
ask_again(const char *hash)
{
	Batch *batch;
	AccessRequest *request;

	DL_FOREACH(batches, batch)
		DL_FOREACH(batch->requests, request)
			if (hash == NULL || has_hash(&request->claims, hash))
				request->again = true;
}

void
access_ring(const char hash[17])
{
	if (key == NULL)
		return;
	ask_again(hash);
	feed_check_access(hash);
}

void
access_check_all(void)
{
	ask_again(NULL);
	session_check_access_all();
}

void
access_tick(int64_t now_ms)
{
	if (now_ms < next_poll_ms)
		return;
	next_poll_ms = now_ms + poll_interval_ms;
	session_check_access_all();
}

/* ---- start and stop ---- */

void
access_setup(const Config *config)
{
	poll_interval_ms = config->access_poll_interval_ms;
	loop_task_init(&task, send_all, NULL);
}

void
access_set_key(const unsigned char *key_, size_t len)
{
	free(key);
	key = alloc_zero(len + 1);
	memcpy(key, key_, len);
	key_len = len;
}

static void
free_all(AccessRequest *list)
{
	AccessRequest *request, *next;

	DL_FOREACH_SAFE(list, request, next)
		free(request);
}

/* The reader has forgotten the statements that were under way. */
void
access_release(void)
{
	Batch *batch, *next;

	loop_task_cancel(&task);
	free_all(waiting);
	waiting = NULL;
	DL_FOREACH_SAFE(batches, batch, next)
	{
		free_all(batch->requests);
		free(batch);
	}
	batches = NULL;
	free(key);
	key = NULL;
}
