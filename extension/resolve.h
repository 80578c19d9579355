/*
 * resolve.h
 *     Deciding a conflict as its user asks, by way of a relay.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_RESOLVE_H
#define MIRUSYNC_RESOLVE_H

#include "pusher.h"
#include "utils/jsonb.h"

/* The record that a decision was about. */
typedef struct MiruResolved
{
	const char *collection;
	const char *id;
} MiruResolved;

/*
 * miru_resolve_asked does what a message {"resolve": {"conflict", "choose" or
 * "value"}} asks, as the collection's role, which it returns: its deferred
 * constraints are to be checked.  Needs a connected SPI.
 */
extern Oid miru_resolve_asked(const MiruPusher *pusher, Jsonb *message,
							  MiruResolved *resolved);

/*
 * miru_resolve_answer makes the answer, an object, after the flush: the number
 * with which the record stands as was decided.
 */
extern char *
miru_resolve_answer(const char *feed, const MiruResolved *resolved);

#endif /* MIRUSYNC_RESOLVE_H */
