/*
 * key.h
 *     Keys of rows: as tuples, as record ids, and reading a row by its key.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_KEY_H
#define MIRUSYNC_KEY_H

#include "access/htup.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "registry.h"
#include "utils/snapshot.h"

/* Longer ids cannot be pushed, nor do our indexes take much longer ones. */
#define MIRU_ID_MAX_BYTES 1024

/* The length of a user's id. */
#define MIRU_FEED_MAX_BYTES 255

/*
 * miru_key_of_row returns the primary key of a row in a form whose bytes are
 * equal exactly when the values are the same.
 */
extern MinimalTuple
miru_key_of_row(MiruRelation *rel, HeapTuple row, TupleDesc desc);

/* miru_key_values takes a key apart again; values point into it. */
extern void miru_key_values(MiruRelation *rel, MinimalTuple key, Datum *values);

/* miru_key_make is the inverse of miru_key_values. */
extern MinimalTuple miru_key_make(MiruRelation *rel, const Datum *values);

/*
 * miru_key_id returns the record id: the text form of the primary key
 * without feed and collection.  Of several columns the texts are joined with
 * commas; a comma or backslash inside one is preceded by a backslash.
 */
extern char *miru_key_id(MiruRelation *rel, const Datum *values);

/*
 * miru_key_check throws unless the record id and the feed's are short enough.
 */
extern void
miru_key_check(MiruRelation *rel, MinimalTuple key, const char *feed);

/*
 * miru_key_parse finds the key values of a record.  Throws what the types'
 * input functions throw, or 22P02 when the id has the wrong number of parts.
 */
extern void
miru_key_parse(MiruRelation *rel, const char *feed, const char *collection,
			   const char *id, Datum *values);

/* miru_key_text returns the text form of a key column's value. */
extern char *miru_key_text(MiruRelation *rel, int column, Datum value);

/*
 * miru_key_is tells whether a text, in whatever form its type takes, is the
 * value of a key column.
 */
extern bool
miru_key_is(MiruRelation *rel, int column, Datum value, const char *text);

/*
 * miru_feed_is_canonical tells whether a feed id is the very text of the feed
 * column's value: user "007" is not the owner of feed 7.
 */
extern bool miru_feed_is_canonical(MiruRelation *rel, const char *feed);

/* miru_row_feed returns the row's feed as text, NULL if it has none. */
extern char *miru_row_feed(MiruRelation *rel, HeapTuple row, TupleDesc desc);

/* miru_row_collection returns the name of the row's collection. */
extern char *
miru_row_collection(MiruRelation *rel, HeapTuple row, TupleDesc desc);

/* miru_key_scan makes the keys of a scan of the primary key's index. */
extern void
miru_key_scan(const MiruRelation *rel, const Datum *values, ScanKey keys);

/*
 * miru_row_fetch reads the row with the given key under a snapshot, NULL if
 * there is none.  The tuple is a copy, in the form of "heap": the attached
 * table, or one of its partitions.
 */
extern HeapTuple
miru_row_fetch(MiruRelation *rel, Relation heap, Relation index,
			   const Datum *values, Snapshot snapshot);

#endif /* MIRUSYNC_KEY_H */
