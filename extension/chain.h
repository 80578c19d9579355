/*
 * chain.h
 *     Chains of feeds: where they begin, and what trimming leaves of them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CHAIN_H
#define MIRUSYNC_CHAIN_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "seal.h"
#include "table.h"

/* Where the chain of a feed begins. */
typedef struct MiruAnchor
{
	int64 since;				/* changes up to here were made before it */
	int64 seq;					/* changes up to here are trimmed, or that */
	uint8 hash[MIRU_HASH_SIZE]; /* of that one; zeros where there is none */
	HeapTuple row;				/* NULL: it begins with the feed */
} MiruAnchor;

/* miru_chain_default tells whether new feeds have a chain. */
extern bool miru_chain_default(void);

/* miru_chain_anchor reads where a chain begins. */
extern void
miru_chain_anchor(const char *feed, Snapshot snapshot, MiruAnchor *anchor);

/* Changes being trimmed, in order; the feed is locked. */
typedef struct MiruChainTrim
{
	const char *feed;
	bool chained;
	bool moved;
	MiruAnchor anchor;
	MiruTable trimmed;
} MiruChainTrim;

/*
 * miru_chain_trim_row is called with each change that is trimmed, before it
 * goes, between a begin and an end.
 */
extern void miru_chain_trim_begin(MiruChainTrim *trim, const char *feed);
extern void
miru_chain_trim_row(MiruChainTrim *trim, HeapTuple row, TupleDesc desc);
extern void miru_chain_trim_end(MiruChainTrim *trim);

/*
 * miru_chain_trimmed_begin scans what is kept of changes that were trimmed
 * above a number; miru_chain_trimmed_next returns the next, false at the end.
 */
extern void
miru_chain_trimmed_begin(MiruScan *scan, MiruTable *table, const char *feed,
						 int64 after, Snapshot snapshot);
extern bool miru_chain_trimmed_next(MiruScan *scan, const MiruTable *table,
									int64 *seq, uint8 digest[MIRU_HASH_SIZE]);

#endif /* MIRUSYNC_CHAIN_H */
