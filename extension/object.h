/*
 * object.h
 *     Rows as JSON objects, and what differs between two versions of a row.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_OBJECT_H
#define MIRUSYNC_OBJECT_H

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "registry.h"
#include "utils/jsonb.h"

/* One field that differs; a side without the field is NULL. */
typedef struct MiruFieldChange
{
	char *name; /* the field in JSON */
	char *key;	/* its key among the stamps; NULL: it has none */
	JsonbValue *from;
	JsonbValue *to;
} MiruFieldChange;

/*
 * miru_object_of_row returns the record: every synced column under its name,
 * in the form of Postgres' to_jsonb(), or the document itself.
 */
extern Jsonb *
miru_object_of_row(MiruRelation *rel, HeapTuple row, TupleDesc desc);

/*
 * miru_object_value returns one field's value.
 */
extern JsonbValue *
miru_object_value(MiruRelation *rel, MiruField *field, Datum value);

/*
 * miru_object_check throws if a row that was just written cannot be sent, for
 * want of a JSON form or because it is too large.  Values that the former
 * row, which may be NULL, has as well are taken to be fine.
 */
extern void miru_object_check(MiruRelation *rel, HeapTuple old, HeapTuple row,
							  TupleDesc desc);

/*
 * miru_object_diff returns the fields (MiruFieldChange) that differ between
 * two versions of a row, either of which may be NULL.  Values are compared as
 * stored, so 1.0 and 1.00 differ.
 */
extern List *miru_object_diff(MiruRelation *rel, HeapTuple from, HeapTuple to,
							  TupleDesc desc);

/*
 * miru_object_diff_known returns the fields in which a row differs from an
 * object.  Those that the row has no column for have no key.
 */
extern List *miru_object_diff_known(MiruRelation *rel, Jsonb *known,
									HeapTuple to, TupleDesc desc);

/*
 * miru_object_apply returns "object" after a change: without the fields of
 * "from", and with those of "to".
 */
extern Jsonb *
miru_object_apply(const Jsonb *object, const Jsonb *from, const Jsonb *to);

/* miru_object_side builds an object of the from or the to values. */
extern Jsonb *miru_object_side(List *changes, bool to);

/* miru_object_copy copies into the current memory context; NULL to NULL. */
extern Jsonb *miru_object_copy(const Jsonb *object);

/* miru_object_get finds a field of an object; false if it is not there. */
extern bool
miru_object_get(const Jsonb *object, const char *name, JsonbValue *value);

/* miru_object_names returns the keys of an object, as String nodes. */
extern List *miru_object_names(const Jsonb *object);

/*
 * miru_object_without_hidden returns an object without the columns of the
 * table that are not synced: it may be older than that choice.  "rel" may be
 * NULL.
 */
extern Jsonb *
miru_object_without_hidden(const MiruRelation *rel, Jsonb *object);

/* miru_values_equal tells whether two values are the same, to the digit. */
extern bool miru_values_equal(const JsonbValue *a, const JsonbValue *b);

/*
 * miru_values_compare compares two values in the order of jsonb, in which 1.0
 * and 1.00 are equal.
 */
extern int miru_values_compare(JsonbValue *a, JsonbValue *b);

/* miru_object_without_key returns the object without a key. */
extern Jsonb *miru_object_without_key(Jsonb *object, const char *key);

/* miru_object_overlay returns "base" with the fields of "over" put in. */
extern Jsonb *miru_object_overlay(const Jsonb *base, const Jsonb *over);

/*
 * miru_object_lacking returns the names of "object" that "in" has not, NIL for
 * rows of tables, whose fields do not come and go.
 */
extern List *miru_object_lacking(const char *collection, const Jsonb *object,
								 const Jsonb *in);

/* miru_object_pick returns the fields of "object" that "names" lists. */
extern Jsonb *miru_object_pick(const Jsonb *object, List *names);

#endif /* MIRUSYNC_OBJECT_H */
