/*
 * element_set.h
 *     Arrays as sets: adding and removing elements, each with a stamp.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ELEMENT_SET_H
#define MIRUSYNC_ELEMENT_SET_H

#include "postgres.h"

#include "merge_rules.h"
#include "object.h"
#include "utils/jsonb.h"

/* A change of a set that meets the stored one. */
typedef struct MiruSetMerge
{
	const char *key;	/* of the field, among the stamps */
	MiruStamps *stamps; /* of the record; changed */
	MiruStamp incoming;
	int64 base;
	const JsonbValue *stored; /* arrays; NULL or null: empty */
	bool is_new;   /* the record is: what is added has its field's stamp */
	bool is_whole; /* "whole" is sent, as it should be */
	const JsonbValue *whole;
	const JsonbValue *add; /* elements to be added and removed */
	const JsonbValue *remove;
	JsonbValue *result; /* the array that stands */
} MiruSetMerge;

/* miru_set_merge does it; false if the change says nothing new. */
extern bool miru_set_merge(MiruSetMerge *merge);

/* miru_set_is tells whether a value can be a set: an array, null, or none. */
extern bool miru_set_is(const JsonbValue *value);

/*
 * miru_set_stamp stamps the elements that SQL has added to a set or removed
 * from it.
 */
extern void miru_set_stamp(MiruStamps *stamps, const MiruFieldChange *change,
						   MiruStamp stamp);

/*
 * miru_set_forget_elements returns the stamps without those of elements, NULL
 * if there are none.  A set then has the latest stamp of any element.
 */
extern MiruStamps *miru_set_forget_elements(const MiruStamps *stamps);

/* miru_set_keep_stamps copies the stamps of a set's elements. */
extern void
miru_set_keep_stamps(const MiruStamps *from, MiruStamps *to, const char *key);

#endif /* MIRUSYNC_ELEMENT_SET_H */
