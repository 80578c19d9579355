/*
 * target.h
 *     The application's row that a pushed change is about: locking and
 *     writing it with ordinary SQL.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TARGET_H
#define MIRUSYNC_TARGET_H

#include "access/htup.h"
#include "registry.h"
#include "utils/jsonb.h"

typedef struct MiruTarget
{
	MiruRelation *rel;
	MiruCollection *collection;
	const char *feed;
	const char *id; /* in its canonical form */
	bool
		overriding; /* a key that the table always makes is given all the same */
	Datum key[INDEX_MAX_KEYS];
} MiruTarget;

/* miru_target_role returns the role that pushes to a collection run as. */
extern Oid
miru_target_role(const MiruCollection *collection, const MiruRelation *rel);

/*
 * All of these need a connected SPI and run as the collection's role, so its
 * grants and row security decide.
 *
 * miru_target_lock locks the row; false if this feed has no such row.
 * miru_target_read reads it as an object, as it stands; miru_target_exists
 * only tells whether it is there, whatever the role may see: the record's own
 * row, or with "any_feed" any row whose key is equal.
 * miru_target_insert is false if a row with that key came in between.
 * update writes the fields given (a document: all of it); update and delete
 * throw ERRCODE_MIRU_WRITE_SUPPRESSED if the table did not do it.
 */
extern bool miru_target_lock(MiruTarget *target);
extern Jsonb *miru_target_read(MiruTarget *target);
extern bool miru_target_exists(MiruTarget *target, bool any_feed);
extern bool miru_target_insert(MiruTarget *target, Jsonb *object);
extern void miru_target_update(MiruTarget *target, Jsonb *object);
extern void miru_target_delete(MiruTarget *target);

/*
 * miru_target_normal returns a value of a field in the form in which its
 * column would give it back.
 */
extern JsonbValue *
miru_target_normal(MiruTarget *target, const char *field, JsonbValue *value);

/*
 * miru_target_compare compares two values of a field, neither of them null,
 * in the order of its column's type.
 */
extern int miru_target_compare(MiruTarget *target, const char *field,
							   JsonbValue *a, JsonbValue *b);

#endif /* MIRUSYNC_TARGET_H */
