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
	int64 first;	/* position of its first note */
	int64 original; /* of the one that has its former content, -1 */
	int64 last;		/* of its last note */
	int direct;		/* last push of this very record, -1: none */
	int cause;		/* last push that changed it at all, -1 */
	bool mixed;		/* not all by one session */
} MiruTouched;

typedef struct MiruFold
{
	int count;
	int allocated;
	MiruTouched *touched; /* in order of the last note */
	int feed_count;
	int feed_allocated;
	char **feeds; /* of all of them, in order of strcmp */
} MiruFold;

/*
 * miru_fold folds the notes between two positions, in the current memory
 * context; about 60 bytes a row.
 */
extern void miru_fold(MiruFold *fold, int64 from, int64 to);

#endif /* MIRUSYNC_FOLD_H */
