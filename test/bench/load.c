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

#include "options.h"
#include "samples.h"
#include "words.h"
#include "ws_client.h"

#define WARM_UP_US	1000000			/* before the window of "closed" begins */
#define DRAIN_US	5000000			/* for deliveries after the window */
#define PATIENCE_US 30000000		/* for anything to happen at all */
#define IN_FLIGHT	OUTSTANDING_MAX /* send times kept per writer */

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

typedef enum Phase
{
	PHASE_RAMP,
	PHASE_WARM_UP,
	PHASE_WINDOW,
	PHASE_DRAIN,
	PHASE_DONE
} Phase;

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
	return device->index < opt.writer_count;
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
				 .count = opt.batch,
				 .digested = device->answers * opt.batch,
				 .records = opt.records,
				 .is_small = opt.small};
	int len = opt.words->push(message, sizeof(message), &push);

	if (len >= (int) sizeof(message))
		die("a batch of %d is too large", opt.batch);
	device->sent_us[device->pushes % IN_FLIGHT] = now_us();
	device->pushes++;
	device->change += opt.batch;
	sent += opt.batch;
	ws_send(&device->conn, epfd, message, (size_t) len);
}

static void
send_greeting(Device *device)
{
	char name[32];
	char message[256];
	int len;

	snprintf(name, sizeof(name), "device-%d", device->index);
	len = opt.words->greet(message, sizeof(message), users[device->user].id,
						   name, opt.after);
	ws_send(&device->conn, epfd, message, (size_t) len);
}

static void
on_ready(Device *device)
{
	device->is_ready = true;
	ready++;
	if (opt.mode != MODE_SYNC)
		return;
	samples_add(&sync_samples, now_us() - device->opened_us);
	if (opt.expect >= 0 && device->received != opt.expect)
		die("user %s got %ld records, not %ld", users[device->user].id,
			device->received, opt.expect);
	delivered += device->received;
}

static void
on_ack(Device *device)
{
	int64_t us = now_us() - device->sent_us[device->answers % IN_FLIGHT];

	device->answers++;
	acked += opt.batch;
	if (phase == PHASE_WINDOW)
	{
		window_acks += opt.batch;
		samples_add(&ack_samples, us);
	}
	if (opt.mode == MODE_CLOSED && phase < PHASE_DRAIN)
		send_push(device);
}

/* on_delivery is told of a change of a device that another one received. */
static void
on_delivery(int user, int from, int change)
{
	Device *device = &devices[user * opt.device_count + from];
	int push = (change - 1) / opt.batch;

	if (from >= opt.writer_count || push < device->pushes - IN_FLIGHT ||
		push >= device->pushes)
		return; /* of an earlier run, or the set-up */
	if (opt.mode == MODE_SQL)
	{
		if (update_user != user || change != device->change)
			return;
		update_user = -1;
	}
	delivered++;
	if (phase == PHASE_WINDOW)
		window_deliveries++;
	if (phase == PHASE_WINDOW ||
		(phase == PHASE_DRAIN && opt.mode != MODE_CLOSED))
		samples_add(&delivery_samples,
					now_us() - device->sent_us[push % IN_FLIGHT]);
}

/* on_marks takes every mark of a message. */
static void
on_marks(Device *device, const char *text, size_t len)
{
	const char *end = text + len;

	/* memchr() is many times as fast as memmem() with two bytes */
	while ((text = memchr(text, '@', (size_t) (end - text))) != NULL)
	{
		char *rest;
		int from;
		int change;

		if (++text == end || *text != '#')
			continue;
		from = (int) strtol(text + 1, &rest, 10);
		change = *rest == '.' ? (int) strtol(rest + 1, &rest, 10) : -1;

		device->received++;
		if (opt.mode != MODE_SYNC && change > 0)
			on_delivery(device->user, from, change);
		text = rest;
	}
}

static void
on_text(Device *device, const char *text, size_t len)
{
	switch (opt.words->meaning(text, len, device->is_ready))
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
	if (opt.words->is_stream)
		on_stream(device, text, len);
	else
		on_text(device, text, len);
}

static void
on_open(WsConn *conn)
{
	Device *device = (Device *) conn;

	if (opt.words->greets_first)
		send_greeting(device);
	if (opt.words->ready_at_once)
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
			 is_writer(device) && opt.words->writer_path != NULL
				 ? opt.words->writer_path
				 : opt.words->path,
			 user->id, user->token);
	if (opt.words->subprotocol != NULL)
		len = snprintf(headers, sizeof(headers),
					   "Sec-WebSocket-Protocol: %s\r\n",
					   opt.words->subprotocol);
	if (opt.words->token_in_header)
		snprintf(headers + len, sizeof(headers) - (size_t) len,
				 "Authorization: Bearer %s\r\n", user->token);
	device->conn.is_binary = opt.words->is_binary;
	device->opened_us = now_us();
	ws_open(&device->conn, epfd, opt.port, path, headers);
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

	pg = PQconnectdb(opt.database);
	if (PQstatus(pg) != CONNECTION_OK)
		die("SQL: %s", PQerrorMessage(pg));
	for (int i = 0; i < user_count; i++)
	{
		const char *values[1] = {users[i].id};

		require(
			PQexecParams(pg, opt.setup_sql, 1, NULL, values, NULL, NULL, 0));
	}
	require(PQprepare(pg, "update", opt.update_sql, 0, NULL));
	event.data.ptr = NULL;
	epoll_ctl(epfd, EPOLL_CTL_ADD, PQsocket(pg), &event);
}

/* sql_update counts as a push of the user's first device. */
static void
sql_update(int user)
{
	Device *device = &devices[user * opt.device_count];
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
	Device *device = &devices[next_user * opt.device_count];
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
	window_end_us = now + (int64_t) (opt.seconds * 1e6);
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
	switch (opt.mode)
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
				for (int n = 0; is_writer(&devices[i]) && n < opt.outstanding;
					 n++)
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
		if (opt.mode == MODE_SYNC)
		{
			begin_window(now);
			phase = PHASE_RAMP;
		}
	}
	for (int i = closed; opt.mode == MODE_SYNC && i < opened; i++)
	{
		if (!devices[i].is_ready || devices[i].conn.state != WS_OPEN)
			continue;
		ws_close(&devices[i].conn);
		if (i == closed)
			closed++;
	}
	while (opened < total && opened - ready < opt.width)
		open_device(&devices[opened++]);
	if (ready == total)
		begin_load(now);
}

/* write_by_rate makes the writes of the modes "latency" and "sql". */
static void
write_by_rate(int64_t now)
{
	double step = 1e6 / opt.rate;

	if (opt.mode == MODE_CLOSED || now < next_write_us || update_busy ||
		update_user >= 0)
		return;
	next_user = (next_user + 1) % user_count;
	if (opt.mode == MODE_SQL)
		sql_update(next_user);
	else
		send_push(&devices[next_user * opt.device_count]);
	/* Jitter, so that nothing periodic in the server can be hit or missed */
	next_write_us = now + (int64_t) (step * (0.7 + 0.6 * drand48()));
}

static bool
is_all_there(void)
{
	long expected = opt.mode == MODE_SQL ? sent : sent * (opt.device_count - 1);

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
	FILE *file = fopen(opt.users_file, "r");
	char token[768];
	int size = 0;
	User user;

	if (file == NULL)
		die("%s: %s", opt.users_file, strerror(errno));
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
		die("no users in %s", opt.users_file);
}

static void
make_devices(void)
{
	total = user_count * opt.device_count;
	devices = calloc((size_t) total, sizeof(Device));
	if (devices == NULL)
		die("out of memory");
	for (int i = 0; i < total; i++)
	{
		Device *device = &devices[i];

		device->user = i / opt.device_count;
		device->index = i % opt.device_count;
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
	rlim_t needed = (rlim_t) (opt.mode == MODE_SYNC ? 2 * opt.width : total) +
		32;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < needed)
		die("%d sessions need %ld open files, the limit is %ld", total,
			(long) needed, (long) limit.rlim_cur);
}

static void
print_result(void)
{
	double window = (double) (window_end_us - window_start_us) / 1e6;
	long expected = opt.mode == MODE_SQL ? sent : sent * (opt.device_count - 1);

	printf("{\"mode\":\"%s\",\"words\":\"%s\",\"users\":%d,\"devices\":%d,"
		   "\"seconds\":%.3f,\"sent\":%ld,\"acked\":%ld,\"delivered\":%ld,"
		   "\"lost\":%ld,\"bytes_in\":%ld,\"acks_per_second\":%.1f,"
		   "\"deliveries_per_second\":%.1f,\"driver_cpu_seconds\":%.3f",
		   options_mode_name(opt.mode), opt.words->name, user_count, total,
		   window, sent, acked, delivered,
		   opt.mode == MODE_SYNC ? 0 : expected - delivered, bytes_in,
		   window > 0 ? (double) window_acks / window : 0.0,
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
	options_read(argc, argv);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	read_users();
	make_devices();
	raise_open_files();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (opt.tls)
		ws_use_tls();
	if (opt.mode == MODE_SQL)
		sql_open();
	run();
	if (opt.mode != MODE_IDLE)
		print_result();
	return 0;
}
