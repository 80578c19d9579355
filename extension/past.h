/*
 * past.h
 *     What a device knew of a record when it had seen a number of the feed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PAST_H
#define MIRUSYNC_PAST_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/numeric.h"

/* A field of the record. */
typedef struct MiruPastField
{
	const char *name;
	JsonbValue *value; /* as it is; becomes what the device knew; NULL: not
						* there */
	Numeric others;	   /* becomes what others have added since; NULL: nothing */
	bool is_settled;   /* private: the device itself set it */
} MiruPastField;

/*
 * miru_past_read undoes the history of a record, from its latest change "seq"
 * down to the number "base", but for what the device did itself.  False if
 * history does not tell.
 */
extern bool
miru_past_read(const char *feed, int64 seq, int64 base, const char *device,
			   MiruPastField *fields, int count);

#endif /* MIRUSYNC_PAST_H */
