/*
 * http.c
 *		What the relay answers besides WebSockets: probes, metrics, static files.
 *
 * Owns the static files in memory.
 *
 * They are read at start, because nothing may block in the loop; and since a
 * request's path is looked up in the table of what was read, no path leads out
 * of the directory.  A changed file needs a restart.
 *
 * /health says that the process lives, whatever the database does: a
 * supervisor that restarted us for its absence would only add to the trouble.
 * /ready says whether a session would get its data.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "http.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <uthash.h>

#include "alloc.h"
#include "dialect_native.h"
#include "frame.h"
#include "gate.h"
#include "hibernation.h"
#include "log.h"
#include "loop.h"
#include "metrics_page.h"

#define FILE_MAX_BYTES (4 * 1024 * 1024)
#define FILES_MAX	   500
#define DEPTH_MAX	   4

typedef struct StaticFile
{
	UT_hash_handle hh;
	const char *content_type;
	char *data;
	size_t len;
	char path[]; /* as requested, "/index.html" */
} StaticFile;

static StaticFile *files;
static const char *environment;
static bool metrics_on_port;

/* ---- static files ---- */

static const char *
content_type_of(const char *name)
{
	static const struct
	{
		const char *suffix;
		const char *type;
	} types[] = {
		{".css", "text/css; charset=utf-8"},
		{".html", "text/html; charset=utf-8"},
		{".ico", "image/x-icon"},
		{".js", "text/javascript; charset=utf-8"},
		{".json", "application/json"},
		{".map", "application/json"},
		{".mjs", "text/javascript; charset=utf-8"},
		{".png", "image/png"},
		{".svg", "image/svg+xml"},
		{".txt", "text/plain; charset=utf-8"},
		{".webmanifest", "application/manifest+json"},
		{".woff2", "font/woff2"},
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(dot, types[i].suffix) == 0)
			return types[i].type;
	return NULL;
}

static void
add_file(const char *path, const char *type, char *data, size_t len)
{
	size_t path_len = strlen(path);
	StaticFile *file = alloc_zero(sizeof(StaticFile) + path_len + 1);

	memcpy(file->path, path, path_len);
	file->content_type = type;
	file->data = data;
	file->len = len;
	HASH_ADD(hh, files, path[0], path_len, file);
}

static Status
read_file(const char *name, const char *path, size_t size)
{
	const char *type = content_type_of(name);
	FILE *in;
	char *data;

	if (type == NULL || size > FILE_MAX_BYTES || HASH_COUNT(files) >= FILES_MAX)
	{
		log_warn("static file is not served file=%s", name);
		return STATUS_OK;
	}
	in = fopen(name, "rb");
	if (in == NULL)
	{
		log_error("static file could not be read file=%s reason=\"%s\"", name,
				  strerror(errno));
		return STATUS_FAILED;
	}
	data = alloc_zero(size + 1);
	size = fread(data, 1, size, in);
	fclose(in);
	add_file(path, type, data, size);
	return STATUS_OK;
}

static Status
read_dir(const char *dir, const char *prefix, int depth)
{
	DIR *handle = opendir(dir);
	struct dirent *entry;
	Status status = STATUS_OK;

	if (handle == NULL)
	{
		log_error("static_dir could not be read directory=%s reason=\"%s\"",
				  dir, strerror(errno));
		return STATUS_FAILED;
	}
	while (status == STATUS_OK && (entry = readdir(handle)) != NULL)
	{
		char name[4096];
		char path[1024];
		struct stat info;

		/* Hidden files are nobody's business, and this skips . and .. too. */
		if (entry->d_name[0] == '.' ||
			snprintf(name, sizeof(name), "%s/%s", dir, entry->d_name) >=
				(int) sizeof(name) ||
			snprintf(path, sizeof(path), "%s/%s", prefix, entry->d_name) >=
				(int) sizeof(path) ||
			stat(name, &info) != 0)
			continue;
		if (S_ISREG(info.st_mode))
			status = read_file(name, path, (size_t) info.st_size);
		else if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX)
			status = read_dir(name, path, depth + 1);
	}
	closedir(handle);
	return status;
}

static bool
serve_file(const char *path, HttpReply *reply)
{
	StaticFile *file;
	char index[1024 + 16];

	if (path[0] != '\0' && path[strlen(path) - 1] == '/')
	{
		snprintf(index, sizeof(index), "%sindex.html", path);
		path = index;
	}
	HASH_FIND(hh, files, path, strlen(path), file);
	if (file == NULL)
		return false;
	reply->status = 200;
	reply->content_type = file->content_type;
	reply->body = file->data;
	reply->len = file->len;
	return true;
}

/* ---- replies ---- */

void
http_json(HttpReply *reply, int status, int len)
{
	reply->status = status;
	reply->content_type = "application/json";
	reply->body = reply->buffer;
	reply->len = (size_t) len;
}

void
http_error(HttpReply *reply, int status, const char *text)
{
	http_json(reply, status,
			  snprintf(reply->buffer, sizeof(reply->buffer),
					   "{\"error\":\"%s\"}", text));
}

void
http_native_error(HttpReply *reply, ErrorCode code, const char *reason)
{
	NativeError error = {.code = code,
						 .reason = reason,
						 .after_ms = dialect_native_again_ms()};

	http_json(reply, error_infos[code].status,
			  (int) native_error(reply->buffer, sizeof(reply->buffer), &error,
								 true));
	if (error_infos[code].retry)
		reply->header = NATIVE_RETRY_AFTER;
}

static void
health(HttpReply *reply)
{
	char now[32];

	frame_iso_time(now, loop_wall_ms());
	http_json(reply, 200,
			  snprintf(reply->buffer, sizeof(reply->buffer),
					   "{\"service\":\"mirusync-relay\","
					   "\"status\":\"healthy\",\"timestamp\":\"%s\","
					   "\"environment\":\"%s\"}",
					   now, environment));
}

static void
ready(HttpReply *reply)
{
	const char *state = hibernation_is_on() ? "hibernating"
		: hibernation_is_ready()			? "ready"
											: NULL;

	http_json(reply, state != NULL ? 200 : 503,
			  snprintf(reply->buffer, sizeof(reply->buffer),
					   "{\"status\":\"%s\"}",
					   state != NULL ? state : "database unavailable"));
}

static void
add_cors(const HttpRequest *request, HttpReply *reply)
{
	char cors[GATE_CORS_MAX];

	gate_cors(request->origin, request->is_options, cors, sizeof(cors));
	snprintf(reply->header_buffer, sizeof(reply->header_buffer), "%s%s",
			 reply->header != NULL ? reply->header : "", cors);
	reply->header = reply->header_buffer;
}

/* On a port of their own, or on the only one if the settings say so. */
static bool
shows_metrics(const HttpRequest *request)
{
	return request->door == DOOR_METRICS ||
		(request->door == DOOR_TCP && metrics_on_port);
}

void
http_on_request(const HttpRequest *request, HttpReply *reply)
{
	if (strcmp(request->path, HTTP_PATH_TICKET) == 0)
	{
		gate_ticket(request, reply);
		add_cors(request, reply);
	}
	else if (!request->is_get && !request->is_head)
	{
		http_error(reply, 405, "Method not allowed");
		reply->header = "Allow: GET, HEAD\r\n";
	}
	else if (strcmp(request->path, "/health") == 0)
		health(reply);
	else if (strcmp(request->path, "/ready") == 0)
		ready(reply);
	else if (strcmp(request->path, "/metrics") == 0 && shows_metrics(request))
		metrics_page(reply);
	else if (request->door == DOOR_METRICS)
		http_error(reply, 404, "Not found");
	else if (strcmp(request->path, HTTP_PATH_SYNC) == 0)
	{
		if (!gate_refuses(request, reply))
			http_error(reply, 400, "Expected a WebSocket upgrade");
	}
	else if (!serve_file(request->path, reply))
		http_error(reply, 404, "Not found");
}

/* The name goes into a JSON text as it is, so it must be a plain one. */
static bool
is_plain(const char *text)
{
	return strpbrk(text, "\"\\\b\f\n\r\t") == NULL;
}

Status
http_init(const Config *config)
{
	environment = config->environment;
	metrics_on_port = config->metrics_port != 0 &&
		config->metrics_port == config->listen_port;
	if (!is_plain(environment))
	{
		log_error("environment may not have quotes or control characters");
		return STATUS_FAILED;
	}
	if (config->static_dir[0] == '\0')
		return STATUS_OK;
	return read_dir(config->static_dir, "", 0);
}

void
http_release(void)
{
	StaticFile *file, *next;

	HASH_ITER(hh, files, file, next)
	{
		HASH_DEL(files, file);
		free(file->data);
		free(file);
	}
}
