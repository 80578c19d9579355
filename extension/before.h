/*
 * before.h
 *     What a pushed change meets: the record as it is before it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BEFORE_H
#define MIRUSYNC_BEFORE_H

#include "apply.h"
#include "stamps.h"
#include "target.h"

typedef struct MiruBefore
{
	bool known; /* it exists or has a tombstone */
	bool deleted;
	bool has_row;
	int64 seq;		  /* 0 if changed in this transaction */
	int64 stored_seq; /* of the stored state, whatever is pending */
	int pending;	  /* the push that changed it in this transaction, -1 */
	bool shared;	  /* by another device than ours, too */
	MiruStamp newest;
	MiruStamps *stamps;
	Jsonb *image;		/* if deleted: the last one, or NULL */
	MiruStamps *former; /* those that it had */
} MiruBefore;

/*
 * miru_before_read finds out what is stored, or pushed in this transaction,
 * and locks its row.  On the first attempt the row of what looks new is not
 * looked for.
 */
extern void miru_before_read(MiruBefore *before, MiruTarget *target,
							 const MiruPusher *pusher, const MiruChange *change,
							 bool first_attempt);

/*
 * miru_before_is_concurrent tells whether another device or SQL has changed
 * the record since what this device had seen, as far as it says what that was.
 */
extern bool
miru_before_is_concurrent(const MiruBefore *before, const MiruChange *change,
						  const MiruPusher *pusher);

#endif /* MIRUSYNC_BEFORE_H */
