/*
 * words.c
 *     What the load driver says to a server, and what it understands.
 *
 *   events   the practice-log event protocol: mirusync, and the Node server
 *   native   mirusync.v1
 *   nats     NATS over WebSocket: publishing is followed by a PING, whose PONG
 *            is the answer
 *   nchan    nginx with nchan: /pub/USER and /sub/USER
 *
 * The two last are for what they can do too, fan-out and idle sessions; they
 * store nothing.
 *
 * A change carries "@#device.number@", by which a delivery finds the moment it
 * was sent.  Messages are looked through for such marks and a few keys, and not
 * parsed: the driver must not cost what the server costs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "words.h"

#define SMALL_BYTES 200

static bool
has(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what)) != NULL;
}

/* begins says if a value or key stands in the first bytes of a message. */
static bool
begins(const char *text, size_t len, const char *what)
{
	return has(text, len < 160 ? len : 160, what);
}

/* stamp_iso writes the wall clock as ISO 8601 in UTC with milliseconds. */
static void
stamp_iso(char *out, size_t size)
{
	struct timespec ts;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + len, size - len, ".%03ldZ", ts.tv_nsec / 1000000);
}

static int
render_id(char *out, size_t size, const Push *push, int change)
{
	return snprintf(out, size, "e-%s-%d-%d-%d", push->run, push->user_index,
					push->device,
					push->records ? change % push->records : change);
}

/* render_small writes an entry of 200 bytes, or a little more. */
static int
render_small(char *out, size_t size, const Push *push, int change)
{
	char id[64];
	int len;

	render_id(id, sizeof(id), push, change);
	len = snprintf(out, size,
				   "{\"id\":\"%s\",\"timestamp\":1760000000000,"
				   "\"duration\":25,\"type\":\"practice\","
				   "\"instrument\":\"piano\",\"notes\":\"@#%d.%d@ ",
				   id, push->device, change);
	while (len < SMALL_BYTES - 2)
		out[len++] = 'x';
	return len + snprintf(out + len, size - len, "\"}");
}

/* render_entry writes a practice entry of about 300 bytes. */
int
render_entry(char *out, size_t size, const Push *push, int change,
			 const char *stamp)
{
	char id[64];

	if (push->is_small)
		return render_small(out, size, push, change);
	render_id(id, sizeof(id), push, change);
	return snprintf(out, size,
					"{\"id\":\"%s\",\"timestamp\":1760000000000,"
					"\"duration\":25,\"type\":\"practice\","
					"\"instrument\":\"piano\",\"pieces\":[{\"title\":"
					"\"Prelude\",\"composer\":\"Bach\"}],\"techniques\":"
					"[\"scales\"],\"tags\":[],\"goal_ids\":[],"
					"\"notes\":\"@#%d.%d@ slow, left hand alone\","
					"\"mood\":\"satisfied\",\"createdAt\":\"%s\","
					"\"updatedAt\":\"%s\"}",
					id, push->device, change, stamp, stamp);
}

/* ---------------------------------------------------------------- events */

static int
events_greet(char *out, size_t size, const char *user, const char *device,
			 long after)
{
	char stamp[64];

	(void) user;
	(void) device;
	stamp_iso(stamp, sizeof(stamp));
	return snprintf(out, size,
					"{\"type\":\"SYNC_REQUEST\",\"timestamp\":\"%s\","
					"\"lastSeq\":%ld}",
					stamp, after);
}

static int
events_push(char *out, size_t size, const Push *push)
{
	bool is_new = push->records == 0 || push->first <= push->records;
	char stamp[64];
	int len;

	stamp_iso(stamp, sizeof(stamp));
	len = snprintf(out, size,
				   "{\"type\":\"%s\",\"timestamp\":\"%s\","
				   "\"entry\":",
				   is_new ? "ENTRY_CREATED" : "ENTRY_UPDATED", stamp);
	len += render_entry(out + len, size - len, push, push->first, stamp);
	return len + snprintf(out + len, size - len, "}");
}

/*
 * events_meaning looks for the type where the relay writes it, and in the whole
 * of a message that begins in another way.
 */
static Meaning
events_meaning(const char *text, size_t len, bool is_ready)
{
	static const char first[] = "{\"type\":";
	size_t head = sizeof(first) + sizeof("\"SYNC_RESPONSE\"");

	if (len > head && memcmp(text, first, sizeof(first) - 1) == 0)
		len = head;
	if (has(text, len, "\"ENTRY_"))
		return MEANS_CHANGES;
	if (has(text, len, "\"SYNC_RESPONSE\""))
		return is_ready ? MEANS_ACK : MEANS_READY;
	if (has(text, len, "\"WELCOME\""))
		return MEANS_GREETING;
	if (has(text, len, "\"ERROR\""))
		return MEANS_REFUSED;
	return has(text, len, "\"BULK_SYNC\"") ? MEANS_PAGE : MEANS_NOTHING;
}

/* ---------------------------------------------------------------- native */

static int
native_greet(char *out, size_t size, const char *user, const char *device,
			 long after)
{
	return snprintf(out, size,
					"{\"type\":\"hello\",\"protocol\":1,\"device\":\"%s\","
					"\"cursors\":{\"%s\":{\"epoch\":0,\"seq\":%ld}}}",
					device, user, after);
}

static int
native_push(char *out, size_t size, const Push *push)
{
	char stamp[64];
	char id[64];
	int len;

	stamp_iso(stamp, sizeof(stamp));
	len = snprintf(out, size,
				   "{\"type\":\"push\",\"ref\":%d,\"digested\":%d,"
				   "\"changes\":[",
				   push->first, push->digested);
	for (int change = push->first; change < push->first + push->count; change++)
	{
		render_id(id, sizeof(id), push, change);
		len += snprintf(out + len, size - len,
						"%s{\"number\":%d,\"kind\":\"put\",\"collection\":"
						"\"logbook_entry\",\"id\":\"%s\",\"clock\":"
						"\"%s/0000\",\"fields\":",
						change > push->first ? "," : "", change, id, stamp);
		len += render_entry(out + len, size - len, push, change, stamp);
		len += snprintf(out + len, size - len, "}");
	}
	return len + snprintf(out + len, size - len, "]}");
}

static Meaning
native_meaning(const char *text, size_t len, bool is_ready)
{
	static const char type[] = "{\"type\":\"";
	const char *word = text + sizeof(type) - 1;

	(void) is_ready;
	if (len < sizeof(type) + 8 || memcmp(text, type, sizeof(type) - 1) != 0)
		return MEANS_NOTHING;
	if (memcmp(word, "changes\"", 8) == 0)
		return MEANS_CHANGES;
	if (memcmp(word, "verdicts", 8) == 0)
		return has(text, len, "\"rejected\"") ? MEANS_REFUSED : MEANS_ACK;
	if (memcmp(word, "page\"", 5) == 0)
		return begins(text, len, "\"complete\":true") ? MEANS_READY
													  : MEANS_PAGE;
	if (memcmp(word, "error\"", 6) == 0 || memcmp(word, "goodbye\"", 8) == 0)
		return MEANS_REFUSED;
	return MEANS_NOTHING;
}

/* ----------------------------------------------------------- nats, nchan */

static int
nats_greet(char *out, size_t size, const char *user, const char *device,
		   long after)
{
	(void) device;
	(void) after;
	return snprintf(out, size,
					"CONNECT {\"verbose\":false,\"echo\":false}\r\n"
					"SUB %s 1\r\nPING\r\n",
					user);
}

static int
nats_push(char *out, size_t size, const Push *push)
{
	char entry[1024];
	int len = render_entry(entry, sizeof(entry), push, push->first, "");

	return snprintf(out, size, "PUB %s %d\r\n%s\r\nPING\r\n", push->user, len,
					entry);
}

/* It is asked line by line; a payload is a line of its own. */
static Meaning
nats_meaning(const char *text, size_t len, bool is_ready)
{
	if (len >= 4 && memcmp(text, "PONG", 4) == 0)
		return is_ready ? MEANS_ACK : MEANS_READY;
	if (len >= 4 && memcmp(text, "INFO", 4) == 0)
		return MEANS_GREETING;
	if (len >= 4 && memcmp(text, "-ERR", 4) == 0)
		return MEANS_REFUSED;
	return len > 0 && text[0] == '{' ? MEANS_CHANGES : MEANS_NOTHING;
}

static int
nchan_push(char *out, size_t size, const Push *push)
{
	return render_entry(out, size, push, push->first, "");
}

static Meaning
nchan_meaning(const char *text, size_t len, bool is_ready)
{
	(void) is_ready;
	if (len > 0 && text[0] == '{')
		return MEANS_CHANGES;
	return begins(text, len, "queued messages") ? MEANS_ACK : MEANS_NOTHING;
}

/* ----------------------------------------------------------------- table */

static const Words all[] = {
	{.name = "events",
	 .path = "/sync/ws?userId=%s&token=%s",
	 .greet = events_greet,
	 .push = events_push,
	 .meaning = events_meaning},
	{.name = "native",
	 .path = "/sync/ws",
	 .subprotocol = "mirusync.v1",
	 .token_in_header = true,
	 .greets_first = true,
	 .can_batch = true,
	 .greet = native_greet,
	 .push = native_push,
	 .meaning = native_meaning},
	{.name = "nats",
	 .path = "/",
	 .is_binary = true,
	 .is_stream = true,
	 .greet = nats_greet,
	 .push = nats_push,
	 .meaning = nats_meaning},
	{.name = "nchan",
	 .path = "/sub/%s",
	 .writer_path = "/pub/%s",
	 .ready_at_once = true,
	 .push = nchan_push,
	 .meaning = nchan_meaning},
};

/* words_named returns the words of that name, or NULL. */
const Words *
words_named(const char *name)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
	{
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	}
	return NULL;
}
