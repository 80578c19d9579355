/*
 * fold.h
 *     The rows that a transaction touched, each once.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FOLD_H
#define MIRUSYNC_FOLD_H

/* A row that the transaction touched. */
typedef struct MiruTouched
{
	int64 original; /* position of the note with its former content, -1 */
	int64 former;	/* of the first note with any former row, -1 */
	int64 last;		/* position of its last note */
	int direct;		/* last push of this very record, -1: none */
	int cause;		/* last push that changed it at all, -1 */
	bool mixed;		/* not all by one session */
	bool came;		/* the first note has no former row */
} MiruTouched;

typedef struct MiruFold
{
	int feed_count;
	int feed_allocated;
	char **feeds; /* of all of them, each once, in order of strcmp */

	/* the touched rows, if they are few */
	MiruTouched *touched;
	int count;
	int allocated;
	int next;

	/* if they are many */
	struct Tuplesortstate *sorted; /* NULL: they are few */
	struct TupleTableSlot *slot;
} MiruFold;

/*
 * miru_fold folds the notes between two positions.  What it needs lives in
 * the current memory context until miru_fold_end: at most about
 * mirusync.note_memory for the rows, and about 70 bytes a feed.
 */
extern void miru_fold(MiruFold *fold, int64 from, int64 to);

/* miru_fold_next gives the next row, in order of the last note. */
extern bool miru_fold_next(MiruFold *fold, MiruTouched *touched);
extern void miru_fold_end(MiruFold *fold);

#endif /* MIRUSYNC_FOLD_H */
