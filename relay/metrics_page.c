/*
 * metrics_page.c
 *		What GET /metrics answers.
 *
 * Owns the text last given out.  Counters count where things happen; gauges
 * are asked for here, from whoever knows them, so that nothing has to be kept
 * twice.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "metrics_page.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "apiconn.h"
#include "feed.h"
#include "hibernation.h"
#include "loop.h"
#include "metrics.h"
#include "outbox.h"
#include "pgconn.h"
#include "reader.h"
#include "session.h"
#include "writer.h"

static char *text;

/* The start of the process, from its age in ticks since the system's start. */
static uint64_t
start_time(void)
{
	static uint64_t start;
	struct timespec up;
	unsigned long long ticks = 0;
	FILE *file;

	if (start != 0)
		return start;
	file = fopen("/proc/self/stat", "re");
	if (file == NULL)
		return 0;
	/* The name, in brackets, may have blanks; we chose it, it has none. */
	if (fscanf(file,
			   "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
			   "%*d %*d %*d %*d %*d %*d %llu",
			   &ticks) != 1)
		ticks = 0;
	fclose(file);
	clock_gettime(CLOCK_BOOTTIME, &up);
	start = (uint64_t) (loop_wall_ms() / 1000 - up.tv_sec) +
		ticks / (unsigned long long) sysconf(_SC_CLK_TCK);
	return start;
}

static uint64_t
resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (unsigned long long) sysconf(_SC_PAGESIZE);
}

static uint64_t
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 3; /* ".", ".." and that of the directory itself */
}

static void
process_metrics(void)
{
	struct rusage usage;
	struct rlimit limit;

	getrusage(RUSAGE_SELF, &usage);
	metrics_set(METRIC_PROCESS_CPU,
				(uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) *
						1000 +
					(uint64_t) (usage.ru_utime.tv_usec +
								usage.ru_stime.tv_usec) /
						1000);
	getrlimit(RLIMIT_NOFILE, &limit);
	metrics_set(METRIC_PROCESS_MAX_FDS, limit.rlim_cur);
	metrics_set(METRIC_PROCESS_OPEN_FDS, open_descriptors());
	metrics_set(METRIC_PROCESS_MEMORY, resident_bytes());
	metrics_set(METRIC_PROCESS_START, start_time());
}

void
metrics_page(HttpReply *reply)
{
	metrics_set(METRIC_BUILD_INFO, 1);
	metrics_set(METRIC_READY, hibernation_is_ready());
	metrics_set(METRIC_HIBERNATING, hibernation_is_on());
	metrics_set(METRIC_OUTBOX_BYTES, outbox_total_bytes());
	metrics_set(METRIC_FEEDS, (uint64_t) feed_count());
	ws_metrics();
	apiconn_metrics();
	session_metrics();
	writer_metrics();
	reader_metrics();
	pgconn_metrics();
	process_metrics();
	free(text);
	reply->len = metrics_render(&text);
	reply->body = text;
	reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
	reply->status = 200;
}

void
metrics_page_release(void)
{
	free(text);
	text = NULL;
}
