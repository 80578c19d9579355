/*
 * conflict.h
 *     Conflicts: two changes that neither writer knew of, where a value lost.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONFLICT_H
#define MIRUSYNC_CONFLICT_H

#include "apply.h"
#include "change.h"
#include "table.h"

typedef enum MiruConflictOutcome
{
	MIRU_STORED_STANDS,
	MIRU_INCOMING_STANDS,
	MIRU_OPEN /* the stored value stands until somebody decides */
} MiruConflictOutcome;

/* One side of it. */
typedef struct MiruConflictSide
{
	Jsonb *value; /* NULL: the field is not there, or the record is deleted */
	MiruStamp stamp;
} MiruConflictSide;

typedef struct MiruConflict
{
	int64 id; /* set when it is stored */
	const char *collection;
	const char *record;
	const char *field; /* its key among the stamps; NULL: the whole record */
	const char *rule;
	MiruConflictOutcome outcome;
	MiruConflictSide stored;
	MiruConflictSide incoming;
	int pending; /* the push that made the stored value, if it has no number
				  * yet; -1 */

	/* set when read */
	bool is_resolved;
	bool is_erased; /* nobody can choose any more */
	HeapTuple row;
} MiruConflict;

/*
 * miru_conflict_store writes the conflicts of a change that is numbered, if
 * it has any, and gives them ids.
 */
extern void
miru_conflict_store(const MiruPusher *pusher, const MiruChange *change);

/* miru_conflict_read returns a conflict, NULL if there is none. */
extern MiruConflict *
miru_conflict_read(MiruTable *table, const char *feed, int64 id);

/*
 * miru_conflict_set_resolved notes how it was resolved, and by whom; "user"
 * NULL: by SQL.
 */
extern void
miru_conflict_set_resolved(MiruTable *table, MiruConflict *conflict,
						   const char *resolution, const char *user);

/* miru_conflict_forget is miru_table_forget for conflicts. */
extern int64
miru_conflict_forget(const char *feed, int64 *from, int64 upto, int64 max);

#endif /* MIRUSYNC_CONFLICT_H */
