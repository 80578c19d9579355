/*
 * capture.h
 *     Which rows this transaction changed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CAPTURE_H
#define MIRUSYNC_CAPTURE_H

#include "access/htup.h"
#include "feed_rows.h"
#include "origin.h"
#include "registry.h"

/* One noting of a changed row.  The tuples follow in the same allocation. */
typedef struct MiruNote
{
	uint32 length; /* of the whole note */
	Oid relid;
	uint32 shape; /* of the row type when noted */
	uint32 key_shape;
	Oid leaf; /* partition that the row is in, if the table has any */
	Oid file; /* its, or the table's, file when noted */
	ItemPointerData place; /* of the row then; invalid: it was not there */
	int origin;			   /* push that caused it, -1: none */
	bool direct;		   /* it is the very record that was pushed */
	bool original;	/* the former row is from before this transaction, or from
					 * before its last flush */
	bool tombstone; /* there was no row: a delete all the same */
	uint32 key_offset; /* MinimalTuple */
	uint32 old_offset; /* former row's header; 0: there was none */
	uint32 old_length;
	uint32 old_feed_offset; /* text; 0: none */
	uint32 new_feed_offset; /* text; 0: none */

	/* by rescan */
	uint32 known_offset; /* Jsonb: what devices were last told; 0: not known */
	uint32 collection_offset; /* text; of a record without a row, else 0 */
	uint32 id_offset;		  /* text; of a record without a row, else 0 */
} MiruNote;

/* What rescan knows of a record. */
typedef struct MiruKnown
{
	const Jsonb *object; /* what devices were last told, or NULL */
	const char *collection;
	const char *id;
} MiruKnown;

extern void miru_capture_init(void);

/*
 * miru_capture_existing notes every row of a table, or of all its partitions,
 * as new.
 */
extern void miru_capture_existing(Oid relid);

/*
 * miru_capture_leaving notes every row of a partition that leaves an attached
 * table as gone.
 */
extern void miru_capture_leaving(Relation heap, MiruRelation *rel);

/*
 * miru_capture_feed notes every row of a feed that is committed now, and
 * returns how many there are.  Caller holds the feed's lock.
 */
extern int64 miru_capture_feed(MiruRelation *rel, const char *feed);

/*
 * miru_capture_row notes a row of a scan that differs from "object", which is
 * what devices were last told of it, or NULL if that is not known.
 * miru_capture_gone notes a record that has no row any more.
 */
extern void
miru_capture_row(const MiruFeedRows *rows, HeapTuple row, const Jsonb *object);
extern void
miru_capture_gone(MiruRelation *rel, const char *feed, const MiruKnown *known);

/* miru_capture_tombstone notes the delete of a record that has no row. */
extern void miru_capture_tombstone(MiruRelation *rel, int origin);

/*
 * For flush: the notes not flushed yet, from one position to the other.  If
 * there are any, nothing can be noted until miru_notes_flushed().
 */
extern void miru_notes_begin(int64 *from, int64 *to);
extern MiruNote *miru_note_read(int64 position, int64 *next);

/* miru_notes_flushed says that all notes have become changes. */
extern void miru_notes_flushed(void);

static inline MinimalTuple
miru_note_key(MiruNote *note)
{
	return (MinimalTuple) ((char *) note + note->key_offset);
}

static inline char *
miru_note_text(MiruNote *note, uint32 offset)
{
	return offset ? (char *) note + offset : NULL;
}

#endif /* MIRUSYNC_CAPTURE_H */
