/*
 * capture.h
 *     Which rows this transaction changed, and on whose behalf.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CAPTURE_H
#define MIRUSYNC_CAPTURE_H

#include "access/htup.h"
#include "delivery.h"
#include "registry.h"
#include "stamps.h"

/*
 * A pushed change, while its transaction lasts.  Everything it points to
 * lives in TopTransactionContext.
 */
typedef struct MiruOrigin
{
	const char *user;
	const char *device;
	const char *session; /* or NULL */
	const char *type;	 /* event type, or NULL */
	const char *rule;
	Jsonb *field_rules; /* of fields that have one of their own, or NULL */
	int group;			/* changes of one group stay together; -1 */
	int64 skew_ms;
	int64 base;		   /* number that the device had seen, or unknown */
	int64 merged_with; /* number of the state it was merged with; 0: none */
	const char *feed;
	const char *collection;
	const char *id;
	uint32 hash;  /* of collection and id */
	int previous; /* one before it with such a hash, -1 */
	Oid relid;
	MinimalTuple key;
	bool deleted;		/* the change deletes the record */
	bool shared;		/* another device changed it in this transaction too */
	MiruStamp stamp;	/* its own */
	MiruStamps *stamps; /* of the record after it; its own have seq 0 */
	int index;			/* its place among the transaction's origins */
	Jsonb *image;		/* of a delete: last image, or NULL */
	MiruStamps *former; /* of a delete: the record's before it, or NULL */
	bool revives;		/* it brings the record back from its last image */

	/* set by flush */
	int next;				/* later push of the same record, -1: none */
	int64 seq;				/* number the record got; 0 = unchanged */
	MiruDelivery *delivery; /* if flush collects */
} MiruOrigin;

/* One noting of a changed row.  The tuples follow in the same allocation. */
typedef struct MiruNote
{
	uint32 length; /* of the whole note */
	Oid relid;
	uint32 shape; /* of the row type when noted */
	uint32 key_shape;
	Oid file;		/* the table's file when noted */
	int origin;		/* push that caused it, -1: none */
	bool direct;	/* it is the very record that was pushed */
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

/* miru_capture_existing notes every row of a table, for attach. */
extern void miru_capture_existing(Oid relid);

/*
 * miru_capture_feed notes every row of a feed that is committed now, and
 * returns how many there are.  Caller holds the feed's lock.
 */
extern int64 miru_capture_feed(MiruRelation *rel, const char *feed);

/*
 * miru_capture_row notes a row that differs from "object", which is what
 * devices were last told of it, or NULL if that is not known.
 * miru_capture_gone notes a record that has no row any more.
 */
extern void miru_capture_row(MiruRelation *rel, HeapTuple row, TupleDesc desc,
							 const char *feed, const Jsonb *object);
extern void
miru_capture_gone(MiruRelation *rel, const char *feed, const MiruKnown *known);

/* miru_capture_tombstone notes the delete of a record that has no row. */
extern void miru_capture_tombstone(MiruRelation *rel, int origin);

/*
 * miru_origin_add registers a pushed change and returns its index;
 * miru_origin_set makes changes from now on be on its behalf (-1: nobody's).
 */
extern int miru_origin_add(MiruOrigin *origin);
extern void miru_origin_set(int origin);
extern MiruOrigin *miru_origin_get(int origin);

/* miru_origin_remove takes back the origin added last. */
extern void miru_origin_remove(int origin);

/*
 * miru_origin_pending returns the latest pushed change of this record that is
 * not flushed yet, NULL if there is none: its stamps are newer than the
 * stored ones.
 */
extern MiruOrigin *
miru_origin_pending(const char *feed, const char *collection, const char *id);

/* For flush: the notes not flushed yet, from one position to the other. */
extern void miru_notes_range(int64 *from, int64 *to);
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
