/*
 * conninfo.h
 *		What a libpq connection string says of hosts, options and time.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONNINFO_H
#define MIRUSYNC_CONNINFO_H

#include <stdint.h>

/* The lists that go together, item by item. */
typedef enum ConninfoList
{
	CONNINFO_HOST,
	CONNINFO_HOSTADDR,
	CONNINFO_PORT,
	CONNINFO_LISTS
} ConninfoList;

/* conninfo_timeout_ms is its connect_timeout, or "missing". */
extern int64_t conninfo_timeout_ms(const char *conninfo, int64_t missing);

/* conninfo_options gives its options with "more" behind them; to be freed. */
extern char *conninfo_options(const char *conninfo, const char *more);

/*
 * conninfo_rotate gives the lists of hosts, begun with the one that stands
 * "first" places behind the first, round and round.  NULL where the string has
 * none; the others are to be freed.
 */
extern void
conninfo_rotate(const char *conninfo, int first, char *lists[CONNINFO_LISTS]);

#endif
