/*
 * batch.h
 *     The native form of a push: a JSON batch of numbered changes, and the
 *     JSON of its verdicts.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BATCH_H
#define MIRUSYNC_BATCH_H

#include "change.h"
#include "utils/array.h"

/* At most this many changes in a batch. */
#define MIRU_BATCH_MAX 1000

/*
 * miru_batch_parse reads a batch (docs/sql.md, push).  A change that is wrong
 * in itself comes back rejected; a batch whose changes cannot even be told
 * apart throws ERRCODE_MIRU_INVALID_BATCH.  "epoch" is that of the bases,
 * MIRU_NO_EPOCH if the batch does not say it.
 */
extern List *miru_batch_parse(Jsonb *batch, int64 *digested, int32 *epoch);

/* miru_batch_digested reads "digested" of a batch, or a hello; 0 if absent. */
extern int64 miru_batch_digested(Jsonb *batch);

/*
 * miru_batch_discard reads "discard" of a batch: an array (int8[]) of the
 * device's numbers of rejected changes that it lets go of, NULL if absent.
 */
extern ArrayType *miru_batch_discard(Jsonb *batch);

/* miru_batch_is_atomic tells whether all of a batch is stored, or nothing. */
extern bool miru_batch_is_atomic(Jsonb *batch);

/* What a device says of itself; below 0 and NULL where it does not. */
typedef struct MiruReport
{
	int64 cursor;
	int64 unsent;
	char *version;
	Hlc clock; /* 0: not said */
} MiruReport;

/* miru_batch_report reads the report of a batch; false if it has none. */
extern bool miru_batch_report(Jsonb *batch, MiruReport *report);

/*
 * miru_batch_read_change reads a change alone; its number is not looked at.
 * One that is wrong in itself comes back rejected.
 */
extern MiruChange *miru_batch_read_change(Jsonb *object);

/* Both return the word that stands in batches and verdicts. */
extern const char *miru_kind_name(MiruChangeKind kind);
extern const char *miru_verdict_name(MiruVerdictKind verdict);

/* miru_batch_verdict renders the verdict of one change. */
extern Jsonb *miru_batch_verdict(const MiruChange *change);

/* miru_batch_replay marks a kept verdict as a replay. */
extern Jsonb *miru_batch_replay(Jsonb *verdict);

#endif /* MIRUSYNC_BATCH_H */
