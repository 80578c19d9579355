/*
 * former.c
 *     The link symbols of released versions.
 *
 * A C function's link symbol ends with the version of the tables that it
 * knows.  A session that has an older library loaded goes on with that one, so
 * after ALTER EXTENSION mirusync UPDATE it must not find its functions under
 * the names that it has: it gets an error, instead of running old code on new
 * tables.
 *
 * The other way round, an install script of a released version names the
 * symbols of then, and one can make that version, fill it from a dump and
 * update it.  So those symbols are here, for as long as one can update from
 * that version.  They do what the current ones do, which is to say that the
 * version does not fit (version.c), but for what a restore needs.
 *
 * The type hlc is outside of this: it knows no tables, and its symbols and
 * its form stay.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "fmgr.h"

#define FORMER(name)                                                           \
	extern Datum name##_0_2(PG_FUNCTION_ARGS);                                 \
	PG_FUNCTION_INFO_V1(name);                                                 \
	Datum name(PG_FUNCTION_ARGS)                                               \
	{                                                                          \
		return name##_0_2(fcinfo);                                             \
	}

/* 0.1.0 */
FORMER(mirusync_attach)
FORMER(mirusync_capture)
FORMER(mirusync_create_collection)
FORMER(mirusync_detach)
FORMER(mirusync_doorbell_hash)
FORMER(mirusync_mapping_changed)
FORMER(mirusync_practice_entry)
FORMER(mirusync_practice_occurrence)
FORMER(mirusync_practice_piece)
FORMER(mirusync_practice_plan)
FORMER(mirusync_pull)
FORMER(mirusync_pull_events)
FORMER(mirusync_push)
FORMER(mirusync_push_many)
FORMER(mirusync_registry_changed)
FORMER(mirusync_ring)
FORMER(mirusync_seq_before)
