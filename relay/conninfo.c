/*
 * conninfo.c
 *		Connecting by a libpq connection string: hosts in turn, options, time.
 *
 * libpq itself tries the hosts of a string in turn, but goes on to the next
 * only when the one before has failed.  With asynchronous connecting it never
 * gives up a host that does not answer: connect_timeout is left to the caller,
 * who can do no more than start over.  So who starts over begins with another
 * host; else the first one, dead and silent, would be the only one ever tried.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "conninfo.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* The lists that go together, item by item. */
enum
{
	LIST_HOST,
	LIST_HOSTADDR,
	LIST_PORT,
	LISTS
};

static const char *const list_keys[LISTS] = {"host", "hostaddr", "port"};

static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL;
		 o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val != NULL && o->val[0] != '\0' ? o->val : NULL;
	return NULL;
}

int64_t
conninfo_timeout_ms(const char *conninfo, int64_t missing)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	const char *value = value_of(options, "connect_timeout");
	long seconds = value != NULL ? strtol(value, NULL, 10) : 0;

	PQconninfoFree(options);
	return seconds > 0 ? seconds * 1000 : missing;
}

/* Our settings go behind those of the string, which stay in force. */
static char *
merged_options(const char *conninfo, const char *more)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	const char *theirs = value_of(options, "options");
	char *merged;

	if (asprintf(&merged, "%s%s", theirs != NULL ? theirs : "", more) < 0)
		abort();
	PQconninfoFree(options);
	return merged;
}

static int
count_items(const char *list)
{
	int count = 1;

	for (const char *c = list; *c != '\0'; c++)
		count += *c == ',';
	return count;
}

static char *
rotate(const char *list, int first)
{
	const char *at = list;
	char *rotated;

	while (first-- > 0)
		at = strchr(at, ',') + 1;
	if (at == list)
		return alloc_string(list);
	if (asprintf(&rotated, "%s,%.*s", at, (int) (at - list - 1), list) < 0)
		abort();
	return rotated;
}

/* The lists of hosts, begun with another; to be freed, NULL where none is. */
static void
rotate_lists(const char *conninfo, int first, char *lists[LISTS])
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	const char *values[LISTS];
	const char *hosts;

	for (int i = 0; i < LISTS; i++)
		values[i] = value_of(options, list_keys[i]);
	hosts = values[LIST_HOSTADDR] != NULL ? values[LIST_HOSTADDR]
										  : values[LIST_HOST];
	for (int i = 0; i < LISTS; i++)
	{
		/* One port for all hosts; a list that does not fit libpq refuses. */
		bool fits = values[i] != NULL && hosts != NULL &&
			count_items(values[i]) == count_items(hosts);

		lists[i] = values[i] == NULL
			? NULL
			: rotate(values[i], fits ? first % count_items(hosts) : 0);
	}
	PQconninfoFree(options);
}

PGconn *
conninfo_connect(const char *conninfo, int first_host, const char *name,
				 int64_t lock_timeout_ms)
{
	char application[64];
	char more[64] = "";
	char *lists[LISTS];
	char *options;
	PGconn *conn;

	snprintf(application, sizeof(application), "mirusync relay %s", name);
	if (lock_timeout_ms > 0)
		snprintf(more, sizeof(more), " -c lock_timeout=%lld",
				 (long long) lock_timeout_ms);
	options = merged_options(conninfo, more);
	rotate_lists(conninfo, first_host, lists);

	/*
	 * What stands behind dbname overrides the conninfo; the keepalives stand
	 * before it, as defaults.  A network that swallows packets must not hold a
	 * group for the kernel's quarter of an hour.
	 */
	const char *const keys[] = {"keepalives_idle",	"keepalives_interval",
								"keepalives_count", "tcp_user_timeout",
								"dbname",			"host",
								"hostaddr",			"port",
								"application_name", "client_encoding",
								"options",			NULL};
	const char *const values[] = {"30",
								  "10",
								  "3",
								  "30000",
								  conninfo,
								  lists[LIST_HOST],
								  lists[LIST_HOSTADDR],
								  lists[LIST_PORT],
								  application,
								  "UTF8",
								  options,
								  NULL};

	conn = PQconnectStartParams(keys, values, 1);
	if (conn == NULL)
		abort();
	free(options);
	for (int i = 0; i < LISTS; i++)
		free(lists[i]);
	return conn;
}
