/*
 * api.c
 *		The native protocol over HTTP: push, pull with long poll, status, and
 *		what a user asks of his history.
 *
 * Owns a call for each request that waits for the database or for a feed.
 *
 * A request is what a message is on a WebSocket: the same tokens, the same
 * limits, the same statements, and the same answers without their type.  Its
 * pushes have a session of their own, which nobody listens to, so every
 * session of the user gets them.
 *
 * Long poll: the call watches the feed before it reads.  If its page is empty
 * it waits until the feed may have moved, and reads again.  Whether the user
 * still may is asked before each answer; when the token ends, so does the call.
 *
 * Bounds: a user's calls, as many as he may have sessions, and at his rates.  A
 * call counts until its answer has left, for that may be a megabyte.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "api.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <uthash.h>
#include <utlist.h>

#include "access.h"
#include "alloc.h"
#include "dialect_native.h"
#include "feed.h"
#include "gate.h"
#include "keyring.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "quota.h"
#include "reader.h"
#include "writer.h"

#define PULL_MAX	   1000 /* records in a page */
#define WAIT_MAX_S	   60
#define PAGE_BEGINS	   "{\"type\":\"page\","
#define NUMBER_MAX	   ((INT64_C(1) << 32) - 1)
#define EPOCH_MAX	   ((INT64_C(1) << 21) - 1)
#define STATUS_MESSAGE "{\"type\":\"status\"}"

#define LIST_MAX	   1000 /* changes or conflicts in an answer */
#define LIST_USUAL	   100
#define NAME_MAX_BYTES 1024 /* of a collection, or a record id */
#define RESOLVE_BEGINS "{\"type\":\"resolve\",\"resolve\":"

typedef enum ApiPath
{
	PATH_PUSH,
	PATH_PULL,
	PATH_STATUS,
	PATH_HISTORY,
	PATH_CONFLICTS,
	PATH_RESOLVE,
	PATHS
} ApiPath;

static const struct
{
	const char *path;
	const char *method;
	Metric metric; /* what its requests count as */
} paths[PATHS] = {
	[PATH_PUSH] = {"/sync/push", "POST", METRIC_RECEIVED_CHANGE},
	[PATH_PULL] = {"/sync/pull", "GET", METRIC_RECEIVED_SYNC},
	[PATH_STATUS] = {"/sync/status", "GET", METRIC_RECEIVED_PING},
	[PATH_HISTORY] = {"/sync/history", "GET", METRIC_RECEIVED_SYNC},
	[PATH_CONFLICTS] = {"/sync/conflicts", "GET", METRIC_RECEIVED_SYNC},
	[PATH_RESOLVE] = {"/sync/resolve", "POST", METRIC_RECEIVED_CHANGE},
};

/* How many calls a user has. */
typedef struct Caller
{
	UT_hash_handle hh;
	int calls;
	char user[];
} Caller;

typedef struct Call
{
	struct Call *prev; /* all */
	struct Call *next;
	ApiConn *conn;
	bool answered; /* nothing is left but to be sent */
	Caller *caller;
	Claims claims;
	const ApiRequest *request; /* until it was begun */
	ApiPath path;
	AccessRequest *access; /* asked whether the user may, or NULL */
	int64_t asked_ms;
	Push *push;		   /* at the writer, or NULL */
	ReadRequest *read; /* of a pull, a history or conflicts */
	/* a pull: */
	int64_t after; /* packed */
	int64_t seen;
	int max;
	int64_t wait_until_ms; /* 0: does not wait */
	FeedWatch watch;
	TurnTask again;
	bool moved; /* while it was reading */
	char *page; /* the last one, which was empty */
} Call;

static Caller *callers;
static Call *calls;
static const Config *config;

static void ask(Call *call);

void
api_setup(const Config *config_)
{
	config = config_;
}

/* ---- calls ---- */

static Caller *
caller_of(const char *user)
{
	size_t len = strlen(user);
	Caller *caller;

	HASH_FIND(hh, callers, user, len, caller);
	if (caller != NULL)
		return caller;
	caller = alloc_zero(sizeof(Caller) + len + 1);
	memcpy(caller->user, user, len);
	HASH_ADD(hh, callers, user[0], len, caller);
	return caller;
}

/* Lets go of all that could still come. */
static void
call_stop(Call *call)
{
	if (call->push != NULL)
		writer_forget(call->push);
	call->push = NULL;
	access_cancel(call->access);
	call->access = NULL;
	reader_cancel(call->read);
	call->read = NULL;
	feed_unwatch(&call->watch);
	loop_task_cancel(&call->again);
	call->answered = true;
}

static void
call_free(Call *call)
{
	call_stop(call);
	DL_DELETE(calls, call);
	if (--call->caller->calls == 0)
	{
		HASH_DEL(callers, call->caller);
		free(call->caller);
	}
	free(call->page);
	free(call);
}

static void
on_done(void *arg)
{
	call_free(arg);
}

static void
answer(Call *call, const char *first, const char *body)
{
	apiconn_answer(call->conn, 200, first, body, strlen(body));
	call_stop(call);
}

static void
fail(Call *call, ErrorCode code, const char *reason, const char *sqlstate)
{
	apiconn_error(call->conn, code, reason, sqlstate);
	call_stop(call);
}

static int64_t
token_rest_ms(const Call *call, int64_t wall_ms)
{
	return call->claims.exp * 1000 + keyring_leeway_ms() - wall_ms;
}

/* Ends a call whose token ended while it waited. */
static bool
has_expired(Call *call)
{
	if (token_rest_ms(call, loop_wall_ms()) > 0)
		return false;
	fail(call, ERROR_UNAUTHORIZED, "token expired", NULL);
	return true;
}

/* ---- push and status ---- */

static void
answer_status(Call *call, const char *greeting)
{
	int64_t now_ms = loop_wall_ms();
	int64_t rest = token_rest_ms(call, now_ms);
	NativeWelcome status = {.user = call->caller->user,
							.now_ms = now_ms,
							.token_expires_in_ms = rest > 0 ? rest : 0,
							.limits = dialect_native_limits(),
							.greeting = greeting};
	char buf[NATIVE_REPLY_MAX];

	(void) native_welcome(buf, sizeof(buf), &status, NULL);
	answer(call, "", buf);
}

static void
on_settled(void *arg, const Verdict *verdict)
{
	Call *call = arg;

	call->push = NULL;
	if (verdict->kind == VERDICT_UNAVAILABLE)
		fail(call, ERROR_UNAVAILABLE, NULL, NULL);
	else if (verdict->kind == VERDICT_REJECTED)
		fail(call, dialect_native_error_of(ERROR_REFUSED, verdict->sqlstate),
			 verdict->reason, verdict->sqlstate);
	else if (verdict->body == NULL)
		fail(call, ERROR_INTERNAL, NULL, NULL);
	else if (call->path == PATH_STATUS)
		answer_status(call, verdict->body);
	else
		answer(call, "", verdict->body);
}

static void
submit(Call *call, const char *device, const char *text, size_t len)
{
	unsigned char random[8];
	char id[17];
	PushStream *stream;
	Status status;

	if (RAND_bytes(random, sizeof(random)) != 1)
		abort();
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
	stream = push_stream_new(id, call->caller->user, &dialect_native);
	snprintf(stream->device, sizeof(stream->device), "%s", device);
	status = writer_submit(stream, text, len, on_settled, call, &call->push);
	push_stream_unref(stream);
	if (status != STATUS_OK)
		fail(call, ERROR_BUSY, NULL, NULL);
}

static void
on_push(Call *call, const ApiRequest *request)
{
	NativeFrame frame;
	ErrorCode code = native_frame_parse(request->body, request->body_len, NULL,
										true, &frame);

	if (code == ERROR_CODES && frame.device[0] == '\0')
		fail(call, ERROR_BAD_MESSAGE, NATIVE_DEVICE_REASON, NULL);
	else if (code != ERROR_CODES)
		fail(call, code, frame.reason, NULL);
	else
		submit(call, frame.device, request->body, request->body_len);
}

static void
on_status(Call *call)
{
	submit(call, "", STATUS_MESSAGE, strlen(STATUS_MESSAGE));
}

/* on_resolve: SQL is asked by a message, which has the body in it. */
static void
on_resolve(Call *call, const ApiRequest *request)
{
	const char *head = RESOLVE_BEGINS;
	size_t len = strlen(head) + request->body_len + 1;
	NativeFrame frame;
	ErrorCode code = native_frame_parse(request->body, request->body_len, NULL,
										true, &frame);
	char *text;

	if (code != ERROR_CODES)
	{
		fail(call, code, NULL, NULL);
		return;
	}
	text = alloc_zero(len);
	memcpy(text, head, strlen(head));
	memcpy(text + strlen(head), request->body, request->body_len);
	text[len - 1] = '}';
	submit(call, frame.device, text, len);
	free(text);
}

/* ---- pull ---- */

/* A poll may be long: the user may be turned out meanwhile. */
static void
read_again(void *arg)
{
	ask(arg);
}

/* The feed may have moved; from within its own code nothing is done. */
static void
on_moved(void *arg)
{
	Call *call = arg;

	call->moved = true;
	if (call->read == NULL && call->access == NULL)
		loop_at_turn_end(&call->again);
}

static void
answer_page(Call *call, const char *page, bool start_over)
{
	size_t skip = strlen(PAGE_BEGINS);

	if (strncmp(page, PAGE_BEGINS, skip) != 0)
		fail(call, ERROR_INTERNAL, NULL, NULL);
	else
		answer(call, start_over ? "{\"start_over\":true," : "{", page + skip);
}

static void
on_page(void *arg, const PGresult *result)
{
	Call *call = arg;
	PageHead page;
	const char *text;

	call->read = NULL;
	if (has_expired(call))
		return;
	if (result == NULL || !page_head(result, &page) || PQntuples(result) < 2)
	{
		fail(call, ERROR_INTERNAL, NULL, NULL);
		return;
	}
	text = page_text(result, 1, PAGE_NATIVE);
	if (text == NULL)
		text = "";
	if (page.seq > call->after || page.after < call->after ||
		loop_now_ms() >= call->wait_until_ms)
	{
		answer_page(call, text, page.after < call->after);
		return;
	}
	free(call->page);
	call->page = alloc_string(text);
	if (call->moved)
		loop_at_turn_end(&call->again);
}

static void
pull(Call *call)
{
	char after[24];
	char seen[24];
	char max[24];
	const char *const values[] = {call->caller->user, after, max, seen,
								  dialect_native.name};

	call->moved = false;
	if (call->wait_until_ms != 0 && call->watch.feed == NULL)
		feed_watch(&call->watch, call->caller->user);
	snprintf(after, sizeof(after), "%lld", (long long) call->after);
	snprintf(seen, sizeof(seen), "%lld", (long long) call->seen);
	snprintf(max, sizeof(max), "%d", call->max);
	call->read = reader_submit(READ_CATCH_UP, &pull_after_statement, values,
							   on_page, call);
}

typedef struct Argument
{
	const char *name;
	int64_t missing; /* its value where it is not there */
	int64_t min;
	int64_t max;
} Argument;

/* Reads an argument; if it is wrong the call has its answer. */
static bool
integer(Call *call, HttpSpan query, Argument argument, int64_t *out)
{
	char text[24];
	JsonSpan span = {text, 0};
	char reason[100];

	*out = argument.missing;
	if (http_argument(query, argument.name, text, sizeof(text)))
	{
		span.len = strlen(text);
		if (span.len == 0 ||
			(json_integer(span, out) && *out >= argument.min &&
			 *out <= argument.max))
			return true;
	}
	snprintf(reason, sizeof(reason),
			 "%s must be an integer from %lld to %lld, and stand once",
			 argument.name, (long long) argument.min, (long long) argument.max);
	fail(call, ERROR_BAD_MESSAGE, reason, NULL);
	return false;
}

static void
on_pull(Call *call, const ApiRequest *request)
{
	HttpSpan query = request->head.query;
	char feed[256];
	int64_t after, epoch, seen, max, wait_s;

	if (!http_argument(query, "feed", feed, sizeof(feed)))
	{
		fail(call, ERROR_BAD_MESSAGE,
			 "feed must be encoded UTF-8 of up to 255 bytes, and stand once",
			 NULL);
		return;
	}
	if (!integer(call, query, (Argument){"after", 0, 0, NUMBER_MAX}, &after) ||
		!integer(call, query, (Argument){"epoch", 0, 0, EPOCH_MAX}, &epoch) ||
		!integer(call, query, (Argument){"seen", 0, 0, NUMBER_MAX}, &seen) ||
		!integer(call, query, (Argument){"max", 500, 1, PULL_MAX}, &max) ||
		!integer(call, query, (Argument){"wait", 0, 0, WAIT_MAX_S}, &wait_s))
		return;
	/* A user has one feed, his own. */
	if (feed[0] != '\0' && strcmp(feed, call->caller->user) != 0)
	{
		fail(call, ERROR_FORBIDDEN, "the feed is another user's", NULL);
		return;
	}
	call->after = after == 0 ? 0 : (epoch << 32) + after;
	call->seen = seen == 0 ? 0 : (epoch << 32) + seen;
	call->max = (int) max;
	if (wait_s > 0)
		call->wait_until_ms = loop_now_ms() + wait_s * 1000;
	pull(call);
}

/* ---- history and conflicts ---- */

static void
on_list(void *arg, const PGresult *result)
{
	Call *call = arg;

	call->read = NULL;
	if (has_expired(call))
		return;
	if (result == NULL || PQntuples(result) != 1 || PQgetisnull(result, 0, 0))
		fail(call, ERROR_INTERNAL, NULL, NULL);
	else
		answer(call, "", PQgetvalue(result, 0, 0));
}

/* ask_list: what it is about SQL knows; no more is checked than the form. */
static void
ask_list(Call *call, const ApiRequest *request)
{
	HttpSpan query = request->head.query;
	char collection[NAME_MAX_BYTES + 1];
	char id[NAME_MAX_BYTES + 1];
	char before_text[24];
	char max_text[24];
	const char *const values[] = {call->caller->user, collection, id,
								  before_text, max_text};
	int64_t before, max;

	if (!integer(call, query, (Argument){"before", INT64_MAX, 0, INT64_MAX},
				 &before) ||
		!integer(call, query, (Argument){"limit", LIST_USUAL, 1, LIST_MAX},
				 &max))
		return;
	if (!http_argument(query, "collection", collection, sizeof(collection)) ||
		!http_argument(query, "id", id, sizeof(id)))
		fail(call, ERROR_BAD_MESSAGE,
			 "collection and id are at most 1024 bytes each, and stand once",
			 NULL);
	else if (call->path == PATH_HISTORY &&
			 (collection[0] == '\0' || id[0] == '\0'))
		fail(call, ERROR_BAD_MESSAGE, "collection and id must be given", NULL);
	else if (collection[0] == '\0' && id[0] != '\0')
		fail(call, ERROR_BAD_MESSAGE, "an id needs its collection", NULL);
	else
	{
		snprintf(before_text, sizeof(before_text), "%lld", (long long) before);
		snprintf(max_text, sizeof(max_text), "%lld", (long long) max);
		call->read = reader_submit(READ_CATCH_UP,
								   call->path == PATH_HISTORY
									   ? &history_statement
									   : &conflicts_statement,
								   values, on_list, call);
	}
}

/* ---- requests ---- */

/* Checks path and method; sets which one it is. */
static ErrorCode
path_of(const HttpHead *head, ApiPath *path)
{
	for (int i = 0; i < PATHS; i++)
	{
		if (!http_span_is(head->path, paths[i].path))
			continue;
		*path = (ApiPath) i;
		if (!http_span_is(head->method, paths[i].method))
			return ERROR_METHOD_NOT_ALLOWED;
		if (strcmp(paths[i].method, "GET") == 0 && head->content_length > 0)
			return ERROR_BAD_MESSAGE;
		return ERROR_CODES;
	}
	return ERROR_NOT_FOUND;
}

/* Copies a header; NULL if it is missing.  One too long is none that we know. */
static const char *
text_of(HttpSpan span, char *buf, size_t size)
{
	if (span.text == NULL)
		return NULL;
	buf[0] = '\0';
	if (span.len < size)
	{
		memcpy(buf, span.text, span.len);
		buf[span.len] = '\0';
	}
	return buf;
}

static ErrorCode
admit(const HttpHead *head, Claims *claims)
{
	char token[JWT_TOKEN_MAX + 1];
	char origin[512];

	return gate_admit(text_of(head->origin, origin, sizeof(origin)),
					  text_of(head->token, token, sizeof(token)), claims);
}

static void
headers(const HttpHead *head, int status, char *buf, size_t size)
{
	char origin[512];
	ApiPath path = PATH_STATUS;
	size_t len;

	buf[0] = '\0';
	if (head == NULL)
		return;
	gate_cors(text_of(head->origin, origin, sizeof(origin)),
			  http_span_is(head->method, "OPTIONS"), buf, size);
	len = strlen(buf);
	if (status == 401)
		snprintf(buf + len, size - len, "WWW-Authenticate: Bearer\r\n");
	else if (status == 405 && path_of(head, &path) == ERROR_METHOD_NOT_ALLOWED)
		snprintf(buf + len, size - len, "Allow: %s, OPTIONS\r\n",
				 paths[path].method);
}

/* The user is let in, or was not: a call goes on, or ends. */
static void
on_access(void *arg, AccessVerdict verdict)
{
	Call *call = arg;
	const ApiRequest *request = call->request;

	call->access = NULL;
	call->request = NULL;
	if (has_expired(call))
		return;
	if (verdict == ACCESS_REVOKED)
		fail(call, ERROR_UNAUTHORIZED, "revoked", NULL);
	else if (verdict == ACCESS_UNKNOWN)
		fail(call, ERROR_UNAVAILABLE, NULL, NULL);
	else if (request == NULL && !call->moved &&
			 loop_now_ms() >= call->wait_until_ms)
		answer_page(call, call->page, false);
	else if (request == NULL)
		pull(call);
	else if (call->path == PATH_PUSH)
		on_push(call, request);
	else if (call->path == PATH_PULL)
		on_pull(call, request);
	else if (call->path == PATH_RESOLVE)
		on_resolve(call, request);
	else if (call->path == PATH_STATUS)
		on_status(call);
	else
		ask_list(call, request);
}

static void
ask(Call *call)
{
	loop_task_cancel(&call->again);
	call->asked_ms = loop_now_ms();
	call->access = access_ask(&call->claims, on_access, call);
}

static Call *
call_new(ApiConn *conn, const Claims *claims)
{
	Call *call = alloc_zero(sizeof(Call));

	call->conn = conn;
	call->caller = caller_of(claims->user);
	call->caller->calls++;
	call->claims = *claims;
	call->watch.moved = on_moved;
	call->watch.arg = call;
	loop_task_init(&call->again, read_again, call);
	DL_APPEND(calls, call);
	return call;
}

/* Answers if the user has too many calls, or makes them too fast. */
static bool
may_call(ApiConn *conn, const char *user, size_t bytes)
{
	Caller *caller;
	Metric bound;
	int64_t wait_ms;

	HASH_FIND(hh, callers, user, strlen(user), caller);
	if (caller != NULL && caller->calls >= config->connections_per_user)
	{
		apiconn_too_many(conn, METRIC_REQUESTS_USER_CALLS,
						 "too many requests of the user wait", 0);
		return false;
	}
	wait_ms = quota_ask(user, bytes, &bound);
	if (wait_ms == 0)
		return true;
	apiconn_too_many(conn, bound, "the user's requests come too fast", wait_ms);
	return false;
}

static void *
on_request(ApiConn *conn, const ApiRequest *request)
{
	Claims claims;
	ApiPath path = PATH_STATUS;
	ErrorCode code = path_of(&request->head, &path);
	Call *call;

	if (http_span_is(request->head.method, "OPTIONS"))
	{
		apiconn_answer(conn, 200, "", "{}", 2);
		return NULL;
	}
	if (code == ERROR_CODES)
		code = admit(&request->head, &claims);
	if (code != ERROR_CODES)
	{
		apiconn_error(conn, code,
					  code == ERROR_BAD_MESSAGE ? "a GET has no body" : NULL,
					  NULL);
		return NULL;
	}
	if (!may_call(conn, claims.user, request->body_len))
		return NULL;
	metrics_message(paths[path].metric, request->body_len);
	call = call_new(conn, &claims);
	call->request = request;
	call->path = path;
	ask(call);
	return call;
}

const ApiHandlers api_handlers = {.on_request = on_request,
								  .headers = headers,
								  .on_done = on_done};

/* ---- time ---- */

/* A long poll with nothing under way: its last page was empty. */
static bool
is_waiting(const Call *call)
{
	return !call->answered && call->access == NULL && call->read == NULL &&
		call->page != NULL;
}

void
api_tick(int64_t now_ms)
{
	Call *call;

	DL_FOREACH(calls, call)
		if (call->access != NULL &&
			now_ms - call->asked_ms >= config->push_wait_max_ms)
			fail(call, ERROR_UNAVAILABLE, NULL, NULL);
		else if (is_waiting(call) && !has_expired(call) &&
				 call->wait_until_ms <= now_ms)
			ask(call);
}

/* Nobody is asked any more: the page that waits has nothing in it. */
void
api_drain(void)
{
	Call *call;

	DL_FOREACH(calls, call)
	{
		if (call->wait_until_ms != 0)
			call->wait_until_ms = loop_now_ms();
		if (is_waiting(call))
			answer_page(call, call->page, false);
	}
}
