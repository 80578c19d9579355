/*
 * stub.c
 *     Stands in for Postgres, so that a relay can be measured alone: answers at
 *     once, stores nothing.
 *
 *     stub SOCKET
 *
 * Listens on a Unix socket and speaks as much of the protocol's version 3 as
 * the relay uses: no password, prepared statements in pipelines, notifications.
 * It knows the relay's statements by their names (relay/ *.c) and answers with
 * the columns and the messages that SQL would: each change of a push is applied,
 * takes the next number of its feed, and comes back as the event to deliver,
 * with the text that was pushed.  A ring comes back to whoever listens, as it
 * does in Postgres.  What it does not do is the database's work: parse, merge,
 * find, store, commit.
 *
 * One process and one poll() for all connections: there are ten, and it costs
 * a fraction of what the relay costs, which the benchmark shows beside it.
 *
 * Limits: it takes the load driver at its word.  Pushes are those of words.c,
 * all sessions speak one dialect, no device comes back to what it has missed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "samples.h"
#include "wire.h"

#define CONNS_MAX	64
#define PARAMS_MAX	6
#define FEEDS_MAX	(1 << 16) /* a power of two */
#define PROTOCOL	196608	  /* 3.0; SSL and GSS requests have other numbers */
#define HASH_LEN	16		  /* of a feed's name in a notification */
#define NOTIFY_MAX	7999
#define PUSH_ARRAYS 5
#define TEXT_OID	25

typedef struct Conn Conn;

typedef struct Statement
{
	const char *name;
	const char *columns; /* separated by spaces, or "" */
	void (*answer)(Conn *conn, const Span *params);
} Statement;

struct Conn
{
	Buffer in;
	Buffer out;
	bool started;
	bool listens;
	Buffer bind; /* the last Bind, with */
	const Statement *bound;
	Span params[PARAMS_MAX];
};

typedef struct Feed
{
	char *name;
	int64_t head;
} Feed;

static Conn *conns[CONNS_MAX];
static struct pollfd polls[CONNS_MAX + 1]; /* the last one listens */
static Feed feeds[FEEDS_MAX];
static int feed_count;

/* ---------------------------------------------------------------- feeds */

/* FNV-1a */
static uint64_t
hash_of(Span name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char) name.at[i]) * UINT64_C(1099511628211);
	return hash;
}

static Feed *
feed_of(Span name)
{
	uint64_t slot = hash_of(name);

	for (;; slot++)
	{
		Feed *feed = &feeds[slot & (FEEDS_MAX - 1)];

		if (feed->name == NULL)
		{
			if (++feed_count > FEEDS_MAX / 2)
				die("more than %d feeds", FEEDS_MAX / 2);
			feed->name = strndup(name.at, name.len);
		}
		if (span_is(name, feed->name))
			return feed;
	}
}

/* ---------------------------------------------------------- the answers */

static void
answer_nothing(Conn *conn, const Span *params)
{
	(void) conn;
	(void) params;
}

static void
answer_hello(Conn *conn, const Span *params)
{
	size_t row = begin_row(&conn->out, 5);

	put_value(&conn->out, params[0]); /* the version that the relay has */
	put_word(&conn->out, "t");
	put_word(&conn->out, "00112233445566778899aabbccddeeff");
	put_word(&conn->out, "1");
	put_word(&conn->out, "60");
	message_end(&conn->out, row);
}

/*
 * answer_heads knows no feed: a head may be of changes that are still on their
 * way in the answer to a push, and a relay that reads up to there would miss
 * them, as there is nothing to be read here.
 */
static void
answer_heads(Conn *conn, const Span *params)
{
	(void) conn;
	(void) params;
}

/* answer_pull says that there is nothing up to the head, in the dialect of $5. */
static void
answer_pull(Conn *conn, const Span *params)
{
	Feed *feed = feed_of(params[0]);
	Buffer *out = &conn->out;
	size_t row = begin_row(out, 8);
	static Buffer page;

	put_word(out, "page");
	put_value(out, params[1]);
	put_number_value(out, feed->head);
	put_number_value(out, feed->head);
	put_word(out, "t");
	for (int i = 0; i < 3; i++)
		put_null(out);
	message_end(out, row);
	if (!span_is(params[4], "native"))
		return;
	page.len = 0;
	put_text(&page, "{\"type\":\"page\",\"feed\":\"");
	put_text(&page, feed->name);
	put_text(&page, "\",\"epoch\":0,\"after\":");
	put(&page, params[1].at, params[1].len);
	put_text(&page, ",\"upto\":");
	put_number(&page, feed->head);
	put_text(&page, ",\"head\":");
	put_number(&page, feed->head);
	put_text(&page, ",\"complete\":true,\"changes\":[]}");
	row = begin_row(out, 8);
	put_word(out, "event");
	put_value(out, params[1]);
	put_number_value(out, feed->head);
	for (int i = 0; i < 4; i++)
		put_null(out);
	put_value(out, (Span){page.data, page.len});
	message_end(out, row);
}

/* put_verdict and put_event write the rows of push_many. */
static void
put_verdict(Buffer *out, int message, const Feed *feed, int64_t seq,
			const Buffer *body)
{
	size_t row = begin_row(out, 11);

	put_word(out, "verdict");
	put_number_value(out, message);
	put_word(out, "applied");
	put_word(out, feed->name);
	put_null(out);
	if (body == NULL)
		put_number_value(out, seq);
	else
		put_null(out);
	put_null(out);
	put_null(out);
	if (body == NULL)
		put_null(out);
	else
		put_value(out, (Span){body->data, body->len});
	put_null(out);
	if (body == NULL)
		put_null(out);
	else
		put_word(out, "{1,0,0,0}");
	message_end(out, row);
}

static void
put_event(Buffer *out, const Feed *feed, int64_t after, Span session,
		  const Buffer *event, bool is_native)
{
	size_t row = begin_row(out, 11);

	put_word(out, "event");
	put_null(out);
	put_null(out);
	put_word(out, feed->name);
	put_number_value(out, after);
	put_number_value(out, feed->head);
	put_value(out, session);
	put_null(out);
	if (is_native)
		put_null(out);
	put_value(out, (Span){event->data, event->len});
	if (!is_native)
		put_null(out);
	put_null(out);
	message_end(out, row);
}

/* push_event takes a message of the event protocol: one change. */
static void
push_event(Buffer *verdicts, Buffer *events, int message, Feed *feed,
		   Span session, Span text)
{
	static const char key[] = "\"entry\":";
	const char *entry = memmem(text.at, text.len, key, sizeof(key) - 1);
	static Buffer event;

	if (entry == NULL)
		die("a push without an entry: %.*s", (int) text.len, text.at);
	event.len = 0;
	put(&event, text.at, (size_t) (entry - text.at));
	put_text(&event, "\"seq\":");
	put_number(&event, ++feed->head);
	put_text(&event, ",");
	put(&event, entry, (size_t) (text.at + text.len - entry));
	put_verdict(verdicts, message, feed, feed->head, NULL);
	put_event(events, feed, feed->head - 1, session, &event, false);
}

/*
 * push_native takes a push with its changes: in what is delivered each has the
 * place in the feed where it had its own number.
 */
static void
push_native(Buffer *verdicts, Buffer *events, int message, Feed *feed,
			Span session, Span text)
{
	static const char ref[] = "\"ref\":";
	static const char key[] = "{\"number\":";
	const char *ref_at = memmem(text.at, text.len, ref, sizeof(ref) - 1);
	const char *stop = text.at + text.len;
	const char *at = memmem(text.at, text.len, key, sizeof(key) - 1);
	int64_t after = feed->head;
	static Buffer answer, event;

	if (ref_at == NULL || at == NULL)
		die("a push without changes: %.*s", (int) text.len, text.at);
	answer.len = event.len = 0;
	put_text(&answer, "{\"type\":\"verdicts\",\"ref\":");
	put_number(&answer, atoll(ref_at + sizeof(ref) - 1));
	put_text(&answer, ",\"feed\":\"");
	put_text(&answer, feed->name);
	put_text(&answer, "\",\"epoch\":0,\"verdicts\":[");
	put_text(&event, "{\"type\":\"changes\",\"feed\":\"");
	put_text(&event, feed->name);
	put_text(&event, "\",\"epoch\":0,\"from\":");
	put_number(&event, after);
	put_text(&event, ",\"to\":");
	put_number(&event, after);
	put_text(&event, ",\"complete\":true,\"changes\":[");
	while (at != NULL)
	{
		char *rest;
		long long number = strtoll(at + sizeof(key) - 1, &rest, 10);
		const char *next = memmem(rest, (size_t) (stop - rest), key,
								  sizeof(key) - 1);

		put_text(&answer, feed->head == after ? "{\"seq\":" : ",{\"seq\":");
		put_number(&answer, ++feed->head);
		put_text(&answer, ",\"number\":");
		put_number(&answer, number);
		put_text(&answer, ",\"verdict\":\"applied\"}");
		put_text(&event, "{\"seq\":");
		put_number(&event, feed->head);
		put(&event, rest, (size_t) ((next != NULL ? next : stop) - rest));
		at = next;
	}
	put_text(&answer, "]}");
	put_verdict(verdicts, message, feed, feed->head, &answer);
	put_event(events, feed, after, session, &event, true);
}

static void
push_hello(Buffer *verdicts, int message, Feed *feed)
{
	static Buffer answer;

	answer.len = 0;
	put_text(&answer, "{\"digested\":0,\"heads\":{\"");
	put_text(&answer, feed->name);
	put_text(&answer, "\":{\"epoch\":0,\"seq\":");
	put_number(&answer, feed->head);
	put_text(&answer, "}}}");
	put_verdict(verdicts, message, feed, feed->head, &answer);
}

/* answer_push: users, devices, sessions, dialects, texts; first the verdicts. */
static void
answer_push(Conn *conn, const Span *params)
{
	static const char hello[] = "{\"type\":\"hello\"";
	static Buffer events;
	Array arrays[PUSH_ARRAYS];

	for (int i = 0; i < PUSH_ARRAYS; i++)
		arrays[i] = array_of(params[i]);
	events.len = 0;
	for (int message = 1; message <= arrays[0].count; message++)
	{
		Span values[PUSH_ARRAYS];
		Feed *feed;

		for (int i = 0; i < PUSH_ARRAYS; i++)
			values[i] = array_next(&arrays[i]);
		feed = feed_of(values[0]);
		if (!span_is(values[3], "native"))
			push_event(&conn->out, &events, message, feed, values[2],
					   values[4]);
		else if (values[4].len >= sizeof(hello) &&
				 memcmp(values[4].at, hello, sizeof(hello) - 1) == 0)
			push_hello(&conn->out, message, feed);
		else
			push_native(&conn->out, &events, message, feed, values[2],
						values[4]);
	}
	put(&conn->out, events.data, events.len);
}

static void flush_out(int index);

/* answer_ring rings for the feeds, each by a name of the usual length. */
static void
answer_ring(Conn *conn, const Span *params)
{
	Array names = array_of(params[0]);
	char payload[NOTIFY_MAX + 1];
	size_t len = 0;
	size_t row = begin_row(&conn->out, 1);

	put_word(&conn->out, "");
	message_end(&conn->out, row);
	for (int i = 0; i < names.count && len + HASH_LEN + 1 < NOTIFY_MAX; i++)
		len += (size_t) snprintf(payload + len, sizeof(payload) - len,
								 "%s%016" PRIx64, len > 0 ? " " : "",
								 hash_of(array_next(&names)));
	for (int i = 0; i < CONNS_MAX; i++)
	{
		size_t at;
		int pid = 0;

		if (conns[i] == NULL || !conns[i]->listens)
			continue;
		while (conns[pid] != conn)
			pid++;
		at = message_begin(&conns[i]->out, 'A');
		put_int(&conns[i]->out, pid + 1, 4);
		put(&conns[i]->out, "mirusync_0", sizeof("mirusync_0"));
		put(&conns[i]->out, payload, len);
		put(&conns[i]->out, "", 1);
		message_end(&conns[i]->out, at);
		flush_out(i);
	}
}

static void
answer_listen(Conn *conn, const Span *params)
{
	(void) params;
	conn->listens = true;
}

#define PAGE "kind after seq head complete session body native"

/* The unnamed statement is the LISTEN. */
static const Statement statements[] = {
	{"", "", answer_listen},
	{"hello", "version compatible encode doorbell_shards max_batches",
	 answer_hello},
	{"push_many",
	 "kind message status feed after seq session code body native verdicts",
	 answer_push},
	{"pull_live", PAGE, answer_pull},
	{"pull_after", PAGE, answer_pull},
	{"heads", "feed head", answer_heads},
	{"access", "user_id device revoked_at realtime", answer_nothing},
	{"ring", "ring", answer_ring},
};

/* ------------------------------------------------------------- protocol */

static const Statement *
statement_named(const char *name)
{
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (strcmp(statements[i].name, name) == 0)
			return &statements[i];
	die("the relay has executed \"%s\", which this does not know", name);
}

static void
put_empty(Buffer *out, char type)
{
	message_end(out, message_begin(out, type));
}

static void
put_ready(Buffer *out)
{
	size_t at = message_begin(out, 'Z');

	put(out, "I", 1);
	message_end(out, at);
}

static void
put_setting(Buffer *out, const char *name, const char *value)
{
	size_t at = message_begin(out, 'S');

	put(out, name, strlen(name) + 1);
	put(out, value, strlen(value) + 1);
	message_end(out, at);
}

static void
on_startup(Conn *conn, int pid)
{
	Buffer *out = &conn->out;
	size_t at = message_begin(out, 'R');

	put_int(out, 0, 4);
	message_end(out, at);
	put_setting(out, "server_version", "15.0");
	put_setting(out, "client_encoding", "UTF8");
	put_setting(out, "standard_conforming_strings", "on");
	at = message_begin(out, 'K');
	put_int(out, pid, 4);
	put_int(out, 0, 4);
	message_end(out, at);
	put_ready(out);
	conn->started = true;
}

static void
on_bind(Conn *conn, const char *body, size_t len)
{
	const char *at;
	int count;

	/* Execute may come with the next packet. */
	conn->bind.len = 0;
	put(&conn->bind, body, len);
	at = conn->bind.data + strlen(conn->bind.data) + 1; /* portal */
	conn->bound = statement_named(at);
	at += strlen(at) + 1;
	at += 2 + 2 * short_at(at); /* formats */
	count = short_at(at);
	at += 2;
	for (int i = 0; i < count && i < PARAMS_MAX; i++)
	{
		int size = int_at(at);

		conn->params[i] = (Span){at + 4, size < 0 ? 0 : (size_t) size};
		at += 4 + conn->params[i].len;
	}
	put_empty(&conn->out, '2');
}

/* on_describe names the columns; all are text. */
static void
on_describe(Conn *conn)
{
	const char *name = conn->bound->columns;
	int count = *name != '\0';
	Buffer *out = &conn->out;
	size_t at;

	if (count == 0)
	{
		put_empty(out, 'n');
		return;
	}
	for (const char *c = name; *c != '\0'; c++)
		count += *c == ' ';
	at = message_begin(out, 'T');
	put_int(out, count, 2);
	for (; count > 0; count--)
	{
		size_t len = strcspn(name, " ");

		put(out, name, len);
		put(out, "", 1);
		put_int(out, 0, 4); /* table */
		put_int(out, 0, 2); /* and its column */
		put_int(out, TEXT_OID, 4);
		put_int(out, -1, 2); /* length */
		put_int(out, -1, 4); /* modifier */
		put_int(out, 0, 2);	 /* format */
		name += len + 1;
	}
	message_end(out, at);
}

static void
on_execute(Conn *conn)
{
	size_t at;

	conn->bound->answer(conn, conn->params);
	at = message_begin(&conn->out, 'C');
	put(&conn->out, "SELECT 1", sizeof("SELECT 1"));
	message_end(&conn->out, at);
}

/* on_message takes one; false when it was the last. */
static bool
on_message(Conn *conn, char type, const char *body, size_t len)
{
	switch (type)
	{
		case 'P':
			put_empty(&conn->out, '1');
			break;
		case 'B':
			on_bind(conn, body, len);
			break;
		case 'D':
			on_describe(conn);
			break;
		case 'E':
			on_execute(conn);
			break;
		case 'C':
			put_empty(&conn->out, '3');
			break;
		case 'S':
			put_ready(&conn->out);
			break;
		case 'H':
			break;
		case 'X':
			return false;
		default:
			die("a message of type '%c', which this does not know", type);
	}
	return true;
}

/* take_one takes one message off "at"; its length, 0: incomplete, -1: over. */
static ssize_t
take_one(Conn *conn, int index, const char *at, size_t len)
{
	size_t head = conn->started ? 1 : 0; /* its type */
	size_t size;

	if (len < head + 4)
		return 0;
	size = head + (size_t) int_at(at + head);
	if (len < size)
		return 0;
	if (conn->started)
		return on_message(conn, *at, at + 5, size - 5) ? (ssize_t) size : -1;
	if (int_at(at + 4) == PROTOCOL)
		on_startup(conn, index + 1);
	else
		put(&conn->out, "N", 1); /* neither TLS nor GSS */
	return (ssize_t) size;
}

/* ---------------------------------------------------------- connections */

static void
conn_close(int index)
{
	Conn *conn = conns[index];

	close(polls[index].fd);
	polls[index].fd = -1;
	free(conn->in.data);
	free(conn->bind.data);
	free(conn->out.data);
	free(conn);
	conns[index] = NULL;
}

/* flush_out waits until the relay has taken all: it reads whatever comes. */
static void
flush_out(int index)
{
	Buffer *out = &conns[index]->out;
	size_t done = 0;

	while (done < out->len)
	{
		ssize_t sent = send(polls[index].fd, out->data + done, out->len - done,
							0);

		if (sent <= 0)
			break; /* the next recv() will say so */
		done += (size_t) sent;
	}
	out->len = 0;
}

static void
on_readable(int index)
{
	static char buffer[256 * 1024];
	Conn *conn = conns[index];
	ssize_t got = recv(polls[index].fd, buffer, sizeof(buffer), 0);
	ssize_t size = 0;
	size_t used = 0;

	if (got > 0)
	{
		put(&conn->in, buffer, (size_t) got);
		while ((size = take_one(conn, index, conn->in.data + used,
								conn->in.len - used)) > 0)
			used += (size_t) size;
		memmove(conn->in.data, conn->in.data + used, conn->in.len - used);
		conn->in.len -= used;
		flush_out(index);
	}
	if (got <= 0 || size < 0)
		conn_close(index);
}

static void
on_connection(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; i < CONNS_MAX && fd >= 0; i++)
	{
		if (conns[i] != NULL)
			continue;
		conns[i] = calloc(1, sizeof(Conn));
		if (conns[i] == NULL)
			die("out of memory");
		polls[i] = (struct pollfd){.fd = fd, .events = POLLIN};
		return;
	}
	die("more than %d connections", CONNS_MAX);
}

int
main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
		die("usage: stub SOCKET");
	strcpy(address.sun_path, argv[1]);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	unlink(argv[1]); /* of the last round */
	umask(0);		 /* the relay may run as somebody else */
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, CONNS_MAX) != 0)
		die("%s: cannot listen", argv[1]);
	for (int i = 0; i < CONNS_MAX; i++)
		polls[i].fd = -1;
	polls[CONNS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
	puts("listening");
	fflush(stdout);
	for (;;)
	{
		if (poll(polls, CONNS_MAX + 1, -1) < 0)
			die("poll failed");
		for (int i = 0; i < CONNS_MAX; i++)
			if (conns[i] != NULL && polls[i].revents != 0)
				on_readable(i);
		if (polls[CONNS_MAX].revents != 0)
			on_connection(listener);
	}
}
