/*
 * conninfo.h
 *		Connecting by a libpq connection string: hosts in turn, options, time.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONNINFO_H
#define MIRUSYNC_CONNINFO_H

#include <libpq-fe.h>
#include <stdint.h>

/* conninfo_timeout_ms is its connect_timeout, or "missing". */
extern int64_t conninfo_timeout_ms(const char *conninfo, int64_t missing);

/*
 * conninfo_connect begins to connect as "name", first to the host that stands
 * "first_host" places behind the first, round and round.  lock_timeout_ms 0 =
 * the server's.
 */
extern PGconn *conninfo_connect(const char *conninfo, int first_host,
								const char *name, int64_t lock_timeout_ms);

#endif
