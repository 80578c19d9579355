/*
 * board.h
 *     The board: which feeds have moved and wait for a worker to ring, kept in
 *     shared memory, a slot for each database.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BOARD_H
#define MIRUSYNC_BOARD_H

#include "datatype/timestamp.h"

/* How many feeds of a database may wait; more become a ring for all. */
#define MIRU_BOARD_FEEDS 1024

/* What the launcher has to know of a slot. */
typedef struct MiruBoardTask
{
	Oid database;			/* InvalidOid: the slot is free */
	bool wanted;			/* there shall be a worker, and is none */
	bool settled;			/* nobody is on the way to start or end */
	TimestampTz not_before; /* when to start one */
} MiruBoardTask;

/* miru_board_init asks for the shared memory; for preloaded libraries only. */
extern void miru_board_init(void);

/* miru_board_size returns the number of slots, 0 when not preloaded. */
extern int miru_board_size(void);

/* ----- for whoever commits ----- */

/* miru_board_is_attended says whether this database has a worker at work. */
extern bool miru_board_is_attended(void);

/*
 * miru_board_put adds hashes of feeds of this database and wakes its worker.
 * It cannot fail, so it may be called after commit; what finds no place turns
 * into a ring for all, and without a slot into none.
 */
extern void miru_board_put(const uint64 *hashes, int count);

/* miru_board_want asks for a worker in a database, or for none. */
extern void miru_board_want(Oid database, bool wanted);

/*
 * miru_board_hold makes the worker leave a database, and returns when it has;
 * until miru_board_release none is started there.
 */
extern void miru_board_hold(Oid database);
extern void miru_board_release(Oid database);

/* ----- for the worker ----- */

/* miru_board_attach says whether this process may be the database's worker. */
extern bool miru_board_attach(Oid database);

/* miru_board_attend says that it now takes feeds. */
extern void miru_board_attend(void);

/* miru_board_stays says whether the worker is to go on. */
extern bool miru_board_stays(void);

/*
 * miru_board_take moves what waits to "hashes", which has room for all, and
 * returns how many; "all" is set if there were too many to be kept.  What was
 * taken counts as rung when miru_board_rung is called; if the worker ends
 * before, the next one rings for all.
 */
extern int miru_board_take(uint64 *hashes, bool *all);
extern void miru_board_rung(int count);

/* ----- for who trims ----- */

/*
 * miru_board_trim_due says to the worker whether somebody is to be sent to trim
 * now, and counts it as done; else "wait" is after how many ms to ask again, -1
 * for not before being called.  "interval" is in s.
 */
extern bool miru_board_trim_due(int interval, long *wait);

/*
 * miru_board_trim_attach says whether this process may trim in the database.
 * miru_board_trim_done tells what came of it: how many rows went so far, and
 * the error that ended it, or NULL.
 */
extern bool miru_board_trim_attach(Oid database);
extern void miru_board_trim_done(int64 rows, const char *error);

/* ----- for the launcher ----- */

extern void miru_board_launch_from_here(void);
extern MiruBoardTask miru_board_task(int slot);

/* miru_board_postpone puts off the start of a worker. */
extern void miru_board_postpone(Oid database, int ms);

#endif /* MIRUSYNC_BOARD_H */
