/*
 * verdict.h
 *     Exactly once: the verdicts of numbered changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_VERDICT_H
#define MIRUSYNC_VERDICT_H

#include "batch.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* A kept verdict. */
typedef struct MiruVerdict
{
	int64 number;
	Jsonb *verdict;
} MiruVerdict;

/*
 * miru_verdict_lock makes other pushes of the same device wait until this
 * transaction has ended.  Callers lock in the order of miru_verdict_lock_key.
 */
extern int64 miru_verdict_lock_key(const char *user, const char *device);
extern void miru_verdict_lock(int64 lock_key);

/*
 * miru_verdict_digest records that the device has digested all verdicts up to
 * "digested", removes those, and returns the highest number digested so far.
 */
extern int64
miru_verdict_digest(const char *user, const char *device, int64 digested);

/*
 * miru_verdict_report keeps what a device said of itself, after
 * miru_verdict_digest; its clock is compared with ours.
 */
extern void miru_verdict_report(const char *user, const char *device,
								const MiruReport *report);

/*
 * miru_verdict_find returns the kept verdicts (MiruVerdict) of numbers, which
 * are sorted.
 */
extern List *miru_verdict_find(const char *user, const char *device,
							   const int64 *numbers, int count);

/* miru_verdict_keep keeps verdicts (MiruVerdict). */
extern void
miru_verdict_keep(const char *user, const char *device, List *verdicts);

/*
 * miru_verdict_forget deletes verdicts and, when there are no more, devices of
 * a user from "at" or before, at most "max"; returns how many.
 */
extern int64 miru_verdict_forget(const char *user, TimestampTz at, int64 max);

#endif /* MIRUSYNC_VERDICT_H */
