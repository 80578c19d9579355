/*
 * load.c
 *     Load driver of the benchmark: many devices of many users in one process.
 *
 *     load entry
 *     load latency | closed | sql | idle  OPTION=VALUE ...
 *
 * It speaks the practice-log event protocol to whatever server listens on the
 * port, so that mirusync and the baseline get the same load.  In C and on
 * epoll because driver and server share the machine: a driver in Node would
 * take as much of the processor as the server that it measures.
 *
 * Each user of the list has two devices, a writer and a reader.  All connect
 * (at most RAMP_WIDTH at a time), ask for what they lack with SYNC_REQUEST and
 * count as ready once that is answered.  Then, by mode:
 *
 *   latency  "rate" writes a second in all, spread evenly with some jitter
 *   closed   each writer sends its next change when the last one is answered;
 *            new records, or with "records" that many written again and again
 *   sql      an UPDATE by a plain SQL connection, "rate" a second, one at a time
 *   idle     nothing, until standard input ends
 *
 * A change carries "@#n@" in its notes, so a delivery finds the moment it was
 * sent.  "begin" and "end" on standard output bound the window that counts, for
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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ws_client.h"

#define RAMP_WIDTH	64		 /* connections being opened at a time */
#define WARM_UP_US	1000000	 /* before the window of "closed" begins */
#define DRAIN_US	5000000	 /* for deliveries after the window */
#define PATIENCE_US 30000000 /* for anything to happen at all */
#define IN_FLIGHT	64		 /* send times kept per user */

typedef struct User
{
	char id[64];
	char path[1024];
	WsConn devices[2];			/* writer, reader */
	int64_t sent_us[IN_FLIGHT]; /* by change number modulo IN_FLIGHT */
	int change;					/* number of the newest change */
} User;

typedef struct Samples
{
	uint32_t *us;
	size_t count;
	size_t size;
} Samples;

typedef enum Phase
{
	PHASE_RAMP,
	PHASE_WARM_UP,
	PHASE_WINDOW,
	PHASE_DRAIN,
	PHASE_DONE
} Phase;

/* What the command line said */
static const char *mode;
static int port;
static const char *users_file;
static double seconds = 10;
static double rate = 20;
static int records; /* a user's, written over and over; 0: all new */
static const char *database;
static const char *setup_sql;  /* $1 = user: makes the document to update */
static const char *update_sql; /* $1 = user, $2 = notes */

static int epfd;
static User *users;
static int user_count;
static char run_id[32];
static Phase phase = PHASE_RAMP;
static int opened;
static int ready;
static int64_t window_start_us;
static int64_t window_end_us;
static int64_t next_write_us;
static int next_user;

static PGconn *pg;
static bool update_busy;	 /* the UPDATE was sent and is not answered */
static int update_user = -1; /* whose delivery is awaited, or -1 */

static long sent;
static long acked;
static long delivered;
static long window_acks;
static double driver_cpu; /* seconds of our own within the window */
static Samples ack_samples;
static Samples delivery_samples;

static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "load: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

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

/* ------------------------------------------------------------- samples */

static void
samples_add(Samples *samples, int64_t us)
{
	if (samples->count == samples->size)
	{
		samples->size = samples->size ? samples->size * 2 : 4096;
		samples->us = realloc(samples->us, samples->size * sizeof(uint32_t));
		if (samples->us == NULL)
			die("out of memory");
	}
	samples->us[samples->count++] = (uint32_t) us;
}

static int
compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a;
	uint32_t y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

static void
samples_print(const char *name, Samples *samples)
{
	size_t last = samples->count - 1;

	if (samples->count == 0)
	{
		printf(",\"%s\":null", name);
		return;
	}
	qsort(samples->us, samples->count, sizeof(uint32_t), compare_samples);
	printf(",\"%s\":{\"count\":%zu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,"
		   "\"max\":%.3f}",
		   name, samples->count, samples->us[last / 2] / 1e3,
		   samples->us[last * 9 / 10] / 1e3, samples->us[last * 99 / 100] / 1e3,
		   samples->us[last] / 1e3);
}

/* ------------------------------------------------------------ messages */

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

/* render_entry writes a practice entry of about 300 bytes. */
static int
render_entry(char *out, size_t size, int user, int change, const char *stamp)
{
	return snprintf(out, size,
					"{\"id\":\"e-%s-%d-%d\",\"timestamp\":1760000000000,"
					"\"duration\":25,\"type\":\"practice\","
					"\"instrument\":\"piano\",\"pieces\":[{\"title\":"
					"\"Prelude\",\"composer\":\"Bach\"}],\"techniques\":"
					"[\"scales\"],\"tags\":[],\"goal_ids\":[],"
					"\"notes\":\"@#%d@ slow, left hand alone\","
					"\"mood\":\"satisfied\",\"createdAt\":\"%s\","
					"\"updatedAt\":\"%s\"}",
					run_id, user, records ? change % records : change, change,
					stamp, stamp);
}

static void
send_change(User *user)
{
	char stamp[64];
	char entry[1024];
	char message[1280];
	bool is_new;
	int len;

	user->change++;
	is_new = records == 0 || user->change <= records;
	stamp_iso(stamp, sizeof(stamp));
	render_entry(entry, sizeof(entry), (int) (user - users), user->change,
				 stamp);
	len = snprintf(message, sizeof(message),
				   "{\"type\":\"%s\",\"timestamp\":\"%s\","
				   "\"entry\":%s}",
				   is_new ? "ENTRY_CREATED" : "ENTRY_UPDATED", stamp, entry);
	user->sent_us[user->change % IN_FLIGHT] = now_us();
	sent++;
	ws_send(&user->devices[0], epfd, message, (size_t) len);
}

static void
send_sync_request(WsConn *conn)
{
	char stamp[64];
	char message[160];
	int len;

	stamp_iso(stamp, sizeof(stamp));
	len = snprintf(message, sizeof(message),
				   "{\"type\":\"SYNC_REQUEST\",\"timestamp\":\"%s\","
				   "\"lastSeq\":0}",
				   stamp);
	ws_send(conn, epfd, message, (size_t) len);
}

static bool
has(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what)) != NULL;
}

/* change_of finds the number of the change in a message, or -1. */
static int
change_of(const char *text, size_t len)
{
	const char *mark = memmem(text, len, "@#", 2);

	return mark == NULL ? -1 : atoi(mark + 2);
}

static void
on_ack(User *user)
{
	int64_t us = now_us() - user->sent_us[user->change % IN_FLIGHT];

	acked++;
	if (phase == PHASE_WINDOW)
	{
		window_acks++;
		samples_add(&ack_samples, us);
	}
	if (strcmp(mode, "closed") == 0 && phase < PHASE_DRAIN)
		send_change(user);
}

static void
on_delivery(User *user, int change)
{
	if (change <= user->change - IN_FLIGHT || change > user->change)
		return; /* of an earlier run, or the set-up */
	if (strcmp(mode, "sql") == 0)
	{
		if (update_user != user - users || change != user->change)
			return;
		update_user = -1;
	}
	delivered++;
	if (phase == PHASE_WINDOW ||
		(phase == PHASE_DRAIN && strcmp(mode, "closed") != 0))
		samples_add(&delivery_samples,
					now_us() - user->sent_us[change % IN_FLIGHT]);
}

static void
on_message(WsConn *conn, const char *text, size_t len)
{
	User *user = &users[conn->user];

	if (has(text, len, "\"SYNC_RESPONSE\""))
	{
		if (conn->is_ready)
			on_ack(user);
		else
		{
			conn->is_ready = true;
			ready++;
		}
	}
	else if (has(text, len, "\"WELCOME\""))
		send_sync_request(conn);
	else if (has(text, len, "\"ERROR\""))
		die("the server refused: %.*s", (int) len, text);
	else if (!conn->is_writer && conn->is_ready && has(text, len, "\"ENTRY_"))
		on_delivery(user, change_of(text, len));
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

static void
sql_update(User *user)
{
	char notes[64];
	const char *values[2] = {user->id, notes};

	user->change++;
	snprintf(notes, sizeof(notes), "@#%d@ written by SQL", user->change);
	user->sent_us[user->change % IN_FLIGHT] = now_us();
	update_busy = true;
	update_user = (int) (user - users);
	sent++;
	if (!PQsendQueryPrepared(pg, "update", 2, values, NULL, NULL, 0))
		die("SQL: %s", PQerrorMessage(pg));
}

static void
sql_on_readable(void)
{
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
							users[next_user]
								.sent_us[users[next_user].change % IN_FLIGHT]);
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
begin_load(int64_t now)
{
	if (strcmp(mode, "idle") == 0)
	{
		char c;

		printf("ready\n");
		fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
		phase = PHASE_DONE;
		return;
	}
	if (strcmp(mode, "closed") != 0)
	{
		begin_window(now);
		return;
	}
	phase = PHASE_WARM_UP;
	window_start_us = now + WARM_UP_US;
	for (int i = 0; i < user_count; i++)
		send_change(&users[i]);
}

static void
ramp(int64_t now)
{
	while (opened < 2 * user_count && opened - ready < RAMP_WIDTH)
	{
		User *user = &users[opened / 2];
		WsConn *conn = &user->devices[opened % 2];

		conn->fd = -1;
		conn->user = opened / 2;
		conn->is_writer = opened % 2 == 0;
		conn->on_message = on_message;
		ws_open(conn, epfd, port, user->path);
		opened++;
	}
	if (ready == 2 * user_count)
		begin_load(now);
}

/* write_by_rate makes the writes of the modes "latency" and "sql". */
static void
write_by_rate(int64_t now)
{
	double step = 1e6 / rate;

	if (strcmp(mode, "closed") == 0 || now < next_write_us || update_busy ||
		update_user >= 0)
		return;
	next_user = (next_user + 1) % user_count;
	if (strcmp(mode, "sql") == 0)
		sql_update(&users[next_user]);
	else
		send_change(&users[next_user]);
	/* Jitter, so that nothing periodic in the server can be hit or missed */
	next_write_us = now + (int64_t) (step * (0.7 + 0.6 * drand48()));
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
			{
				window_end_us = now;
				driver_cpu += own_cpu_seconds();
				phase = PHASE_DRAIN;
				printf("end\n");
				fflush(stdout);
			}
			break;
		case PHASE_DRAIN:
			if ((acked == sent && delivered >= sent) ||
				now > window_end_us + DRAIN_US)
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
				die("connection of user %s: %s", users[conn->user].id,
					conn->close_reason);
		}
		now = now_us();
		if (count > 0)
			last_event_us = now;
		else if (now - last_event_us > PATIENCE_US)
			die("no answer for %d s: %d of %d sessions ready, %ld sent, "
				"%ld answered",
				PATIENCE_US / 1000000, ready, 2 * user_count, sent, acked);
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
			users = realloc(users, size * sizeof(User));
			if (users == NULL)
				die("out of memory");
		}
		snprintf(user.path, sizeof(user.path), "/sync/ws?userId=%s&token=%s",
				 user.id, token);
		users[user_count++] = user;
	}
	fclose(file);
	if (user_count == 0)
		die("no users in %s", users_file);
}

static void
raise_open_files(void)
{
	struct rlimit limit;
	rlim_t needed = 2 * user_count + 32;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= needed)
		return;
	limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < needed)
		die("%d sessions need %ld open files, the limit is %ld", 2 * user_count,
			(long) needed, (long) limit.rlim_cur);
}

static void
read_option(char *option)
{
	char *value = strchr(option, '=');

	if (value == NULL)
		die("OPTION=VALUE expected: %s", option);
	*value++ = '\0';
	if (strcmp(option, "port") == 0)
		port = atoi(value);
	else if (strcmp(option, "users") == 0)
		users_file = value;
	else if (strcmp(option, "seconds") == 0)
		seconds = atof(value);
	else if (strcmp(option, "rate") == 0)
		rate = atof(value);
	else if (strcmp(option, "records") == 0)
		records = atoi(value);
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
print_result(void)
{
	double window = (window_end_us - window_start_us) / 1e6;

	printf("{\"mode\":\"%s\",\"users\":%d,\"seconds\":%.3f,\"sent\":%ld,"
		   "\"acked\":%ld,\"delivered\":%ld,\"lost\":%ld,"
		   "\"acks_per_second\":%.1f,\"driver_cpu_seconds\":%.3f",
		   mode, user_count, window, sent, acked, delivered, sent - delivered,
		   window > 0 ? window_acks / window : 0.0, driver_cpu);
	samples_print("ack_ms", &ack_samples);
	samples_print("delivery_ms", &delivery_samples);
	printf("}\n");
}

int
main(int argc, char **argv)
{
	char entry[1024];

	if (argc < 2)
		die("usage: load entry | latency | closed | sql | idle OPTION=VALUE ...");
	mode = argv[1];
	snprintf(run_id, sizeof(run_id), "%lx-%x", (long) time(NULL), getpid());
	if (strcmp(mode, "entry") == 0)
	{
		render_entry(entry, sizeof(entry), 0, 1, "2025-11-23T10:00:00.000Z");
		puts(entry);
		return 0;
	}
	for (int i = 2; i < argc; i++)
		read_option(argv[i]);
	if (users_file == NULL || port == 0)
		die("users= and port= are needed");
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	read_users();
	raise_open_files();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (strcmp(mode, "sql") == 0)
		sql_open();
	run();
	if (strcmp(mode, "idle") != 0)
		print_result();
	return 0;
}
