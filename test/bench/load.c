/*
 * load.c
 *     Load driver of the benchmark: many devices of many users in one process.
 *
 *     load entry
 *     load latency | closed | sql | idle | sync  OPTION=VALUE ...
 *
 * It speaks the words of several servers (words.c), so that all get the same
 * load.  In C and on epoll because driver and server share the machine: a
 * driver in Node would take as much of the processor as the server that it
 * measures.
 *
 * Each user of the list has some devices; the first ones write.  All connect (at
 * most "width" at a time), ask for what they lack, and count as ready once
 * they have it.  Then, by mode:
 *
 *   latency  "rate" writes a second in all, spread evenly with some jitter
 *   closed   each writer sends its next push when one is answered; "outstanding"
 *            are under way, with "batch" changes each; of new records, or with
 *            "records" of that many written again and again
 *   sql      an UPDATE by a plain SQL connection, "rate" a second, one at a time
 *   idle     nothing, until standard input ends
 *   sync     nothing: what counts is the time from connecting to being ready,
 *            with a cursor "after"; each device ends then
 *
 * A change carries a mark (words.c), so a delivery finds the moment it was sent.
 * "begin" and "end" on standard output bound the window that counts, for
 * the caller to read the servers' CPU time; the last line is the result in JSON.
 * After the window it waits up to DRAIN_US for what is still under way: a
 * delivery that does not come then is reported as lost.
 *
 * Failure: a connection that closes, a refused change, or a server that does
 * not answer for PATIENCE_US ends the run with status 1 and says so.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#define _GNU_SOURCE
#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "samples.h"
#include "words.h"
#include "ws_client.h"

#define WARM_UP_US	1000000	 /* before the window of "closed" begins */
#define DRAIN_US	5000000	 /* for deliveries after the window */
#define PATIENCE_US 30000000 /* for anything to happen at all */
#define IN_FLIGHT	1024	 /* send times kept per writer */

typedef struct User
{
	char id[64];
	char *token;
} User;

typedef struct Device
{
	WsConn conn; /* first, since epoll knows the device by it */
	int user;	 /* index into the list of users */
	int index;	 /* among the user's devices */
	bool is_ready;
	int change;		   /* number of its newest change */
	int pushes;		   /* made */
	int answers;	   /* of them answered */
	int64_t *sent_us;  /* by push number modulo IN_FLIGHT */
	int64_t opened_us; /* when it began to connect */
	long received;	   /* marks */
	char *line;		   /* begin of an incomplete line, or NULL */
	size_t line_len;
} Device;

typedef enum Mode
{
	MODE_LATENCY,
	MODE_CLOSED,
	MODE_SQL,
	MODE_IDLE,
	MODE_SYNC
} Mode;

typedef enum Phase
{
	PHASE_RAMP,
	PHASE_WARM_UP,
	PHASE_WINDOW,
	PHASE_DRAIN,
	PHASE_DONE
} Phase;

static const char *const mode_names[] = {"latency", "closed", "sql", "idle",
										 "sync"};

/* What the command line said */
static Mode mode;
static int port;
static const char *users_file;
static const Words *words;
static double seconds = 10;
static double rate = 20;
static int width = 64; /* connections being opened at a time */
static int device_count = 2;
static int writer_count = 1;
static int batch = 1;
static int outstanding = 1;
static int records;		 /* a writer's, written over and over; 0: all new */
static bool small;		 /* entries of 200 bytes */
static long after;		 /* cursor */
static long expect = -1; /* records that each device of "sync" must get */
static const char *database;
static const char *setup_sql;  /* $1 = user: makes the document to update */
static const char *update_sql; /* $1 = user, $2 = notes */

static int epfd;
static User *users;
static int user_count;
static Device *devices;
static int total; /* devices of all users */
static char run_id[32];
static Phase phase = PHASE_RAMP;
static int opened;
static int ready;
static int64_t ramp_start_us;
static int64_t window_start_us;
static int64_t window_end_us;
static int64_t next_write_us;
static int next_user;

static PGconn *pg;
static bool update_busy;	 /* the UPDATE was sent and is not answered */
static int update_user = -1; /* whose delivery is awaited, or -1 */

static long sent;	   /* changes */
static long acked;	   /* changes */
static long delivered; /* changes to devices */
static long bytes_in;
static long window_acks;
static long window_deliveries;
static double driver_cpu; /* seconds of our own within the window */
static Samples ack_samples;
static Samples delivery_samples;
static Samples sync_samples;

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static double
own_cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ------------------------------------------------------------- messages */

static bool
is_writer(const Device *device)
{
	return device->index < writer_count;
}

static void
send_push(Device *device)
{
	static char message[64 * 1024];
	Push push = {.user = users[device->user].id,
				 .run = run_id,
				 .user_index = device->user,
				 .device = device->index,
				 .first = device->change + 1,
				 .count = batch,
				 .digested = device->answers * batch,
				 .records = records,
				 .is_small = small};
	int len = words->push(message, sizeof(message), &push);

	if (len >= (int) sizeof(message))
		die("a batch of %d is too large", batch);
	device->sent_us[device->pushes % IN_FLIGHT] = now_us();
	device->pushes++;
	device->change += batch;
	sent += batch;
	ws_send(&device->conn, epfd, message, (size_t) len);
}

static void
send_greeting(Device *device)
{
	char name[32];
	char message[256];
	int len;

	snprintf(name, sizeof(name), "device-%d", device->index);
	len = words->greet(message, sizeof(message), users[device->user].id, name,
					   after);
	ws_send(&device->conn, epfd, message, (size_t) len);
}

static void
on_ready(Device *device)
{
	device->is_ready = true;
	ready++;
	if (mode != MODE_SYNC)
		return;
	samples_add(&sync_samples, now_us() - device->opened_us);
	if (expect >= 0 && device->received != expect)
		die("user %s got %ld records, not %ld", users[device->user].id,
			device->received, expect);
	delivered += device->received;
}

static void
on_ack(Device *device)
{
	int64_t us = now_us() - device->sent_us[device->answers % IN_FLIGHT];

	device->answers++;
	acked += batch;
	if (phase == PHASE_WINDOW)
	{
		window_acks += batch;
		samples_add(&ack_samples, us);
	}
	if (mode == MODE_CLOSED && phase < PHASE_DRAIN)
		send_push(device);
}

/* on_delivery is told of a change of a device that another one received. */
static void
on_delivery(int user, int from, int change)
{
	Device *device = &devices[user * device_count + from];
	int push = (change - 1) / batch;

	if (from >= writer_count || push < device->pushes - IN_FLIGHT ||
		push >= device->pushes)
		return; /* of an earlier run, or the set-up */
	if (mode == MODE_SQL)
	{
		if (update_user != user || change != device->change)
			return;
		update_user = -1;
	}
	delivered++;
	if (phase == PHASE_WINDOW)
		window_deliveries++;
	if (phase == PHASE_WINDOW || (phase == PHASE_DRAIN && mode != MODE_CLOSED))
		samples_add(&delivery_samples,
					now_us() - device->sent_us[push % IN_FLIGHT]);
}

/* on_marks takes every mark of a message. */
static void
on_marks(Device *device, const char *text, size_t len)
{
	const char *end = text + len;

	while ((text = memmem(text, (size_t) (end - text), "@#", 2)) != NULL)
	{
		char *rest;
		int from = (int) strtol(text + 2, &rest, 10);
		int change = *rest == '.' ? (int) strtol(rest + 1, &rest, 10) : -1;

		device->received++;
		if (mode != MODE_SYNC && change > 0)
			on_delivery(device->user, from, change);
		text = rest;
	}
}

static void
on_text(Device *device, const char *text, size_t len)
{
	switch (words->meaning(text, len, device->is_ready))
	{
		case MEANS_GREETING:
			send_greeting(device);
			break;
		case MEANS_READY:
			on_marks(device, text, len);
			if (!device->is_ready)
				on_ready(device);
			break;
		case MEANS_ACK:
			on_ack(device);
			break;
		case MEANS_CHANGES:
		case MEANS_PAGE:
			on_marks(device, text, len);
			break;
		case MEANS_REFUSED:
			die("the server refused: %.*s", (int) len, text);
		case MEANS_NOTHING:
			break;
	}
}

/* on_stream cuts what came into lines, and keeps an incomplete one. */
static void
on_stream(Device *device, const char *data, size_t len)
{
	char *joined = NULL;
	const char *end;

	if (device->line != NULL)
	{
		joined = realloc(device->line, device->line_len + len);
		if (joined == NULL)
			die("out of memory");
		memcpy(joined + device->line_len, data, len);
		data = joined;
		len += device->line_len;
		device->line = NULL;
	}
	while ((end = memmem(data, len, "\r\n", 2)) != NULL)
	{
		on_text(device, data, (size_t) (end - data));
		len -= (size_t) (end + 2 - data);
		data = end + 2;
	}
	if (len > 0)
	{
		device->line = malloc(len);
		if (device->line == NULL)
			die("out of memory");
		memcpy(device->line, data, len);
		device->line_len = len;
	}
	free(joined);
}

static void
on_message(WsConn *conn, const char *text, size_t len)
{
	Device *device = (Device *) conn;

	bytes_in += (long) len;
	if (words->is_stream)
		on_stream(device, text, len);
	else
		on_text(device, text, len);
}

static void
on_open(WsConn *conn)
{
	Device *device = (Device *) conn;

	if (words->greets_first)
		send_greeting(device);
	if (words->ready_at_once)
		on_ready(device);
}

static void
open_device(Device *device)
{
	User *user = &users[device->user];
	char path[1024];
	char headers[1024] = "";
	int len = 0;

	snprintf(path, sizeof(path),
			 is_writer(device) && words->writer_path != NULL
				 ? words->writer_path
				 : words->path,
			 user->id, user->token);
	if (words->subprotocol != NULL)
		len = snprintf(headers, sizeof(headers),
					   "Sec-WebSocket-Protocol: %s\r\n", words->subprotocol);
	if (words->token_in_header)
		snprintf(headers + len, sizeof(headers) - (size_t) len,
				 "Authorization: Bearer %s\r\n", user->token);
	device->conn.is_binary = words->is_binary;
	device->opened_us = now_us();
	ws_open(&device->conn, epfd, port, path, headers);
}

/* ----------------------------------------------------------- SQL writer */

static void
require(PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("SQL: %s", PQerrorMessage(pg));
	PQclear(result);
}

/* sql_open connects and makes one document for each user. */
static void
sql_open(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	pg = PQconnectdb(database);
	if (PQstatus(pg) != CONNECTION_OK)
		die("SQL: %s", PQerrorMessage(pg));
	for (int i = 0; i < user_count; i++)
	{
		const char *values[1] = {users[i].id};

		require(PQexecParams(pg, setup_sql, 1, NULL, values, NULL, NULL, 0));
	}
	require(PQprepare(pg, "update", update_sql, 0, NULL));
	event.data.ptr = NULL;
	epoll_ctl(epfd, EPOLL_CTL_ADD, PQsocket(pg), &event);
}

/* sql_update counts as a push of the user's first device. */
static void
sql_update(int user)
{
	Device *device = &devices[user * device_count];
	char notes[64];
	const char *values[2] = {users[user].id, notes};

	device->change++;
	snprintf(notes, sizeof(notes), "@#0.%d@ written by SQL", device->change);
	device->sent_us[device->pushes++ % IN_FLIGHT] = now_us();
	update_busy = true;
	update_user = user;
	sent++;
	if (!PQsendQueryPrepared(pg, "update", 2, values, NULL, NULL, 0))
		die("SQL: %s", PQerrorMessage(pg));
}

static void
sql_on_readable(void)
{
	Device *device = &devices[next_user * device_count];
	PGresult *result;

	if (!PQconsumeInput(pg))
		die("SQL: %s", PQerrorMessage(pg));
	while (!PQisBusy(pg) && (result = PQgetResult(pg)) != NULL)
	{
		if (strcmp(PQcmdTuples(result), "1") != 0)
			die("the UPDATE did not change one row: %s%s", PQcmdTuples(result),
				PQerrorMessage(pg));
		require(result);
		update_busy = false;
		acked++;
		if (phase == PHASE_WINDOW)
			samples_add(&ack_samples,
						now_us() -
							device->sent_us[(device->pushes - 1) % IN_FLIGHT]);
	}
}

/* --------------------------------------------------------------- phases */

static void
begin_window(int64_t now)
{
	phase = PHASE_WINDOW;
	window_start_us = now;
	window_end_us = now + (int64_t) (seconds * 1e6);
	next_write_us = now;
	driver_cpu = -own_cpu_seconds();
	printf("begin\n");
	fflush(stdout);
}

static void
end_window(int64_t now)
{
	window_end_us = now;
	driver_cpu += own_cpu_seconds();
	phase = PHASE_DRAIN;
	printf("end\n");
	fflush(stdout);
}

/* wait_for_end holds what is open until standard input ends. */
static void
wait_for_end(int64_t now)
{
	char c;

	printf("ready %.3f\n", (double) (now - ramp_start_us) / 1e6);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	phase = PHASE_DONE;
}

static void
begin_load(int64_t now)
{
	switch (mode)
	{
		case MODE_IDLE:
			wait_for_end(now);
			break;
		case MODE_SYNC:
			end_window(now);
			phase = PHASE_DONE;
			break;
		case MODE_LATENCY:
		case MODE_SQL:
			begin_window(now);
			break;
		case MODE_CLOSED:
			phase = PHASE_WARM_UP;
			window_start_us = now + WARM_UP_US;
			for (int i = 0; i < total; i++)
			{
				for (int n = 0; is_writer(&devices[i]) && n < outstanding; n++)
					send_push(&devices[i]);
			}
			break;
	}
}

/*
 * ramp opens what may be opened.  In "sync" a device that is ready ends, so
 * that the next one finds the server as the first one did.
 */
static void
ramp(int64_t now)
{
	static int closed;

	if (opened == 0)
	{
		ramp_start_us = now;
		if (mode == MODE_SYNC)
		{
			begin_window(now);
			phase = PHASE_RAMP;
		}
	}
	for (int i = closed; mode == MODE_SYNC && i < opened; i++)
	{
		if (!devices[i].is_ready || devices[i].conn.state != WS_OPEN)
			continue;
		ws_close(&devices[i].conn);
		if (i == closed)
			closed++;
	}
	while (opened < total && opened - ready < width)
		open_device(&devices[opened++]);
	if (ready == total)
		begin_load(now);
}

/* write_by_rate makes the writes of the modes "latency" and "sql". */
static void
write_by_rate(int64_t now)
{
	double step = 1e6 / rate;

	if (mode == MODE_CLOSED || now < next_write_us || update_busy ||
		update_user >= 0)
		return;
	next_user = (next_user + 1) % user_count;
	if (mode == MODE_SQL)
		sql_update(next_user);
	else
		send_push(&devices[next_user * device_count]);
	/* Jitter, so that nothing periodic in the server can be hit or missed */
	next_write_us = now + (int64_t) (step * (0.7 + 0.6 * drand48()));
}

static bool
is_all_there(void)
{
	long expected = mode == MODE_SQL ? sent : sent * (device_count - 1);

	return acked == sent && delivered >= expected;
}

static void
tick(int64_t now)
{
	switch (phase)
	{
		case PHASE_RAMP:
			ramp(now);
			break;
		case PHASE_WARM_UP:
			if (now >= window_start_us)
				begin_window(now);
			break;
		case PHASE_WINDOW:
			if (now < window_end_us)
				write_by_rate(now);
			else
				end_window(now);
			break;
		case PHASE_DRAIN:
			if (is_all_there() || now > window_end_us + DRAIN_US)
				phase = PHASE_DONE;
			break;
		case PHASE_DONE:
			break;
	}
}

static void
run(void)
{
	struct epoll_event events[256];
	int64_t last_event_us = now_us();

	while (phase != PHASE_DONE)
	{
		int count = epoll_wait(epfd, events, 256, 1);
		int64_t now;

		for (int i = 0; i < count; i++)
		{
			WsConn *conn = events[i].data.ptr;

			if (conn == NULL)
			{
				sql_on_readable();
				continue;
			}
			ws_on_event(conn, epfd, events[i].events);
			if (conn->state == WS_CLOSED)
				die("connection of user %s: %s",
					users[((Device *) conn)->user].id, conn->close_reason);
		}
		now = now_us();
		if (count > 0)
			last_event_us = now;
		else if (now - last_event_us > PATIENCE_US)
			die("no answer for %d s: %d of %d sessions ready, %ld sent, "
				"%ld answered",
				PATIENCE_US / 1000000, ready, total, sent, acked);
		tick(now);
	}
}

/* ------------------------------------------------------------- start-up */

/* read_users reads lines of "user token". */
static void
read_users(void)
{
	FILE *file = fopen(users_file, "r");
	char token[768];
	int size = 0;
	User user;

	if (file == NULL)
		die("%s: %s", users_file, strerror(errno));
	memset(&user, 0, sizeof(user));
	while (fscanf(file, "%63s %767s", user.id, token) == 2)
	{
		if (user_count == size)
		{
			size = size ? size * 2 : 256;
			users = realloc(users, (size_t) size * sizeof(User));
			if (users == NULL)
				die("out of memory");
		}
		user.token = strdup(token);
		users[user_count++] = user;
	}
	fclose(file);
	if (user_count == 0)
		die("no users in %s", users_file);
}

static void
make_devices(void)
{
	total = user_count * device_count;
	devices = calloc((size_t) total, sizeof(Device));
	if (devices == NULL)
		die("out of memory");
	for (int i = 0; i < total; i++)
	{
		Device *device = &devices[i];

		device->user = i / device_count;
		device->index = i % device_count;
		device->conn.fd = -1;
		device->conn.on_open = on_open;
		device->conn.on_message = on_message;
		if (is_writer(device) &&
			(device->sent_us = calloc(IN_FLIGHT, sizeof(int64_t))) == NULL)
			die("out of memory");
	}
}

static void
raise_open_files(void)
{
	struct rlimit limit;
	rlim_t needed = (rlim_t) (mode == MODE_SYNC ? 2 * width : total) + 32;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < needed)
		die("%d sessions need %ld open files, the limit is %ld", total,
			(long) needed, (long) limit.rlim_cur);
}

/* read_number takes an option with a number; false if it is another one. */
static bool
read_number(const char *option, const char *value)
{
	static const struct
	{
		const char *name;
		int *value;
	} numbers[] = {
		{"port", &port},
		{"width", &width},
		{"devices", &device_count},
		{"writers", &writer_count},
		{"batch", &batch},
		{"outstanding", &outstanding},
		{"records", &records},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		if (strcmp(option, numbers[i].name) != 0)
			continue;
		*numbers[i].value = atoi(value);
		return true;
	}
	return false;
}

static void
read_option(char *option)
{
	char *value = strchr(option, '=');

	if (value == NULL)
		die("OPTION=VALUE expected: %s", option);
	*value++ = '\0';
	if (read_number(option, value))
		return;
	if (strcmp(option, "users") == 0)
		users_file = value;
	else if (strcmp(option, "words") == 0)
		words = words_named(value);
	else if (strcmp(option, "seconds") == 0)
		seconds = atof(value);
	else if (strcmp(option, "rate") == 0)
		rate = atof(value);
	else if (strcmp(option, "small") == 0)
		small = atoi(value) != 0;
	else if (strcmp(option, "after") == 0)
		after = atol(value);
	else if (strcmp(option, "expect") == 0)
		expect = atol(value);
	else if (strcmp(option, "database") == 0)
		database = value;
	else if (strcmp(option, "setup") == 0)
		setup_sql = value;
	else if (strcmp(option, "update") == 0)
		update_sql = value;
	else
		die("unknown option %s", option);
}

static void
read_command_line(int argc, char **argv)
{
	int found = -1;

	for (int i = 0; i < (int) (sizeof(mode_names) / sizeof(char *)); i++)
	{
		if (strcmp(argv[1], mode_names[i]) == 0)
			found = i;
	}
	if (found < 0)
		die("unknown mode %s", argv[1]);
	mode = (Mode) found;
	words = words_named("events");
	for (int i = 2; i < argc; i++)
		read_option(argv[i]);
	if (users_file == NULL || port == 0)
		die("users= and port= are needed");
	if (words == NULL)
		die("unknown words");
	if (batch > 1 && !words->can_batch)
		die("%s has no batches", words->name);
	if (batch < 1 || outstanding < 1 || outstanding > IN_FLIGHT ||
		writer_count > device_count)
		die("a number out of range");
}

static void
print_result(void)
{
	double window = (double) (window_end_us - window_start_us) / 1e6;
	long expected = mode == MODE_SQL ? sent : sent * (device_count - 1);

	printf("{\"mode\":\"%s\",\"words\":\"%s\",\"users\":%d,\"devices\":%d,"
		   "\"seconds\":%.3f,\"sent\":%ld,\"acked\":%ld,\"delivered\":%ld,"
		   "\"lost\":%ld,\"bytes_in\":%ld,\"acks_per_second\":%.1f,"
		   "\"deliveries_per_second\":%.1f,\"driver_cpu_seconds\":%.3f",
		   mode_names[mode], words->name, user_count, total, window, sent,
		   acked, delivered, mode == MODE_SYNC ? 0 : expected - delivered,
		   bytes_in, window > 0 ? (double) window_acks / window : 0.0,
		   window > 0 ? (double) window_deliveries / window : 0.0, driver_cpu);
	samples_print("ack_ms", &ack_samples);
	samples_print("delivery_ms", &delivery_samples);
	samples_print("sync_ms", &sync_samples);
	printf("}\n");
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		die("usage: load entry | MODE OPTION=VALUE ...");
	snprintf(run_id, sizeof(run_id), "%lx-%x", (long) time(NULL), getpid());
	if (strcmp(argv[1], "entry") == 0)
	{
		Push push = {.run = run_id};
		char entry[1024];

		render_entry(entry, sizeof(entry), &push, 1,
					 "2025-11-23T10:00:00.000Z");
		puts(entry);
		return 0;
	}
	read_command_line(argc, argv);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	read_users();
	make_devices();
	raise_open_files();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (mode == MODE_SQL)
		sql_open();
	run();
	if (mode != MODE_IDLE)
		print_result();
	return 0;
}
