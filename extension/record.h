/*
 * record.h
 *     Sync state: the latest change of each record.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_RECORD_H
#define MIRUSYNC_RECORD_H

#include "datatype/timestamp.h"
#include "stamps.h"
#include "table.h"
#include "utils/jsonb.h"

typedef struct MiruRecord
{
	const char *feed;
	const char *collection;
	const char *id;
	int64 seq;
	int64 part_of;
	Hlc clock; /* newest of its stamps, or later */
	TimestampTz changed_at;
	bool deleted;
	MiruStamps *stamps;
	Jsonb *image;		/* of a tombstone, or NULL */
	MiruStamps *former; /* of a tombstone: those of its image, or NULL */
	HeapTuple row;		/* the stored version; NULL: not stored yet */
} MiruRecord;

/* miru_record_find returns the record's state, NULL if it has none. */
extern MiruRecord *
miru_record_find(MiruTable *table, const char *feed, const char *collection,
				 const char *id, Snapshot snapshot);

/* miru_record_from_row reads a row of mirusync.record. */
extern MiruRecord *miru_record_from_row(HeapTuple row, TupleDesc desc);

/* What a reader is told of a record. */
typedef struct MiruRecordHead
{
	const char *feed;
	const char *collection;
	const char *id;
	int64 seq;
	int64 part_of;
	Hlc clock;
	bool deleted;
	bool by_sql;		   /* as miru_stamps_by_sql */
	struct varlena *image; /* of a tombstone, as stored, or NULL */
	TransactionId xmin;	   /* that wrote the row */
} MiruRecordHead;

/*
 * miru_record_peek reads that from a row, without taking the stamps apart.
 * "feed" is the row's, and is not copied.
 */
extern void miru_record_peek(HeapTuple row, TupleDesc desc, const char *feed,
							 MiruRecordHead *head);

/* Two columns of a row, without reading the rest. */
extern TimestampTz miru_record_changed_at(HeapTuple row, TupleDesc desc);
extern int64 miru_record_seq(HeapTuple row, TupleDesc desc);

/* miru_record_store inserts or replaces; caller holds the feed's lock. */
extern void miru_record_store(MiruTable *table, MiruRecord *record);

/* miru_record_forget removes the state of a collection that is detached. */
extern void miru_record_forget(const char *collection);

/* miru_record_forget_feed is miru_table_forget for state. */
extern int64
miru_record_forget_feed(const char *feed, int64 *from, int64 upto, int64 max);

/*
 * miru_record_trim deletes tombstones as miru_change_log_trim deletes changes.
 */
extern int64 miru_record_trim(const char *feed, int64 *from, int64 last,
							  int64 max, MiruTrimUpto upto, void *arg);

/*
 * miru_record_erase takes what tells of former values from the records of a
 * feed, or from one, with a number above "from" and not above "upto".  It
 * looks at most at "max"; returns at how many, and moves "from" on.  The caller
 * has locked the feed.
 */
extern int64
miru_record_erase(const char *feed, const char *collection, const char *id,
				  int64 *from, int64 upto, int64 max);

/* miru_record_each_live calls "each" for a feed's records of a collection. */
extern void
miru_record_each_live(const char *feed, const char *collection,
					  void (*each)(void *arg, const char *id), void *arg);

#endif /* MIRUSYNC_RECORD_H */
