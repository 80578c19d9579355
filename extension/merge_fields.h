/*
 * merge_fields.h
 *     What the fields of a pushed change make of a record.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_MERGE_FIELDS_H
#define MIRUSYNC_MERGE_FIELDS_H

#include "change.h"
#include "stamps.h"
#include "target.h"

/* A change's fields and a record's.  Lives in the memory of its caller. */
typedef struct MiruFieldMerge
{
	/* the change */
	const MiruChange *change;
	MiruTarget *target;
	Jsonb *object; /* its fields, as far as they may be written */
	const char *device;
	MiruStamp incoming;

	/* what it meets */
	const MiruStamps *before;
	MiruStamp newest; /* of "before" */
	Jsonb *stored;	  /* the record; NULL: not read yet */
	bool is_missing;  /* it has no row */
	bool is_shared;	  /* another device changed it in this transaction */
	int64 stored_seq; /* number of its latest change */
	int pending;	  /* the push of this transaction that made it so; -1 */

	/* what comes of it */
	bool stands; /* some of it stands; else the rest is not set */
	MiruStamps *stamps;
	Jsonb *result; /* to be written: fields of a row, all of a document */

	/* what was asked, whatever came of it */
	List *conflicts; /* of MiruConflict */
	Jsonb *rules;	 /* of the change's fields that have one of their own */
} MiruFieldMerge;

/*
 * miru_merge_fields decides for each field of a put or patch, by its rule.
 * The record may have a row, which is locked then; if not, the caller has
 * "stored" say what is left of it.  Needs a connected SPI.
 */
extern void miru_merge_fields(MiruFieldMerge *merge);

/*
 * miru_merge_keep_parts adds the stamps of elements that were removed to those
 * of a new record.
 */
extern void
miru_merge_keep_parts(const MiruFieldMerge *merge, MiruStamps *stamps);

/* miru_stamp_key returns under which key a field is stamped. */
extern char *miru_stamp_key(MiruRelation *rel, const char *name);

#endif /* MIRUSYNC_MERGE_FIELDS_H */
