/*
 * field_work.h
 *     One merge of a change's fields while it goes on: private to
 *     merge_fields.c and the files that know single rules.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FIELD_WORK_H
#define MIRUSYNC_FIELD_WORK_H

#include "postgres.h"

#include "merge_fields.h"
#include "past.h"
#include "utils/numeric.h"

/* One merge while it goes on. */
typedef struct MiruFieldWork
{
	MiruFieldMerge *merge;
	MiruCollection *collection;
	bool is_document;
	bool is_put;
	bool past_is_known; /* history goes back to the base */
	bool whole_wins;	/* the fields that are merged together */
	List *fields;		/* of MiruWorkField: all that the change speaks of */
	JsonbParseState *written; /* those that change, with their values */
} MiruFieldWork;

/* One field of it. */
typedef struct MiruWorkField
{
	char *name;
	char *key; /* among the stamps */
	MiruRule rule;
	const char *rule_name;
	const char *function; /* if that is the rule */
	JsonbValue *incoming; /* NULL: removed, or added to */
	JsonbValue *normal;	  /* the same as the table would give it back */
	JsonbValue *added;	  /* increment or elements, as sent; else NULL */
	JsonbValue *taken;	  /* elements, as sent; else NULL */
	JsonbValue *stored;	  /* NULL: not there, or of no interest */
	MiruPastField *past;  /* what the device knew; NULL: what is stored */
	bool is_removed;
} MiruWorkField;

/* miru_work_stored returns the record as it stands. */
extern Jsonb *miru_work_stored(MiruFieldWork *work);

/* miru_work_get returns a field of an object, or NULL. */
extern JsonbValue *miru_work_get(const Jsonb *object, const char *name);

/* miru_work_is_value tells whether there is a value, and it is not null. */
extern bool miru_work_is_value(const JsonbValue *value);
extern bool miru_work_is_same(JsonbValue *a, JsonbValue *b);

/* ----- field_counter.c ----- */

/*
 * miru_counter_increment returns by how much the device changed a counter;
 * NULL if not at all.  miru_counter_sum returns the counter with it.
 */
extern Numeric
miru_counter_increment(MiruFieldWork *work, const MiruWorkField *field);
extern JsonbValue *
miru_counter_sum(const MiruWorkField *field, Numeric increment);

/* ----- field_function.c ----- */

typedef enum MiruFunctionResult
{
	MIRU_FUNCTION_STORED,
	MIRU_FUNCTION_INCOMING,
	MIRU_FUNCTION_OTHER
} MiruFunctionResult;

/* miru_field_function asks a field's function which value stands. */
extern MiruFunctionResult
miru_field_function(MiruFieldWork *work, MiruWorkField *field,
					JsonbValue **value);

/* ----- field_conflict.c ----- */

/* miru_conflict_differs tells whether the two values do, and reads them. */
extern bool miru_conflict_differs(MiruFieldWork *work, MiruWorkField *field);


/* miru_conflict_note_field notes that one of a field's two values is lost. */
extern void miru_conflict_note_field(MiruFieldWork *work, MiruWorkField *field,
									 bool incoming_stands);

/*
 * miru_conflict_unseen_whole returns the newest stamp that the device had not
 * seen of the fields that are merged together; NULL if it had seen all of
 * them, or does not say what it had seen.  miru_conflict_note_whole notes what
 * was lost of them.
 */
extern const MiruStamp *miru_conflict_unseen_whole(MiruFieldWork *work);
extern void
miru_conflict_note_whole(MiruFieldWork *work, const MiruStamp *unseen);

#endif /* MIRUSYNC_FIELD_WORK_H */
