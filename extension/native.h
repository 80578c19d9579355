/*
 * native.h
 *     The native dialect, mirusync.v1: what its messages from a device are,
 *     and those that a relay sends, as finished texts (docs/protocol.md).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_NATIVE_H
#define MIRUSYNC_NATIVE_H

#include "delivery.h"
#include "lib/stringinfo.h"
#include "utils/snapshot.h"

typedef enum MiruNativeKind
{
	MIRU_NATIVE_PUSH,	/* "push", or no type: over HTTP */
	MIRU_NATIVE_HELLO,	/* "hello": digested verdicts */
	MIRU_NATIVE_STATUS, /* "status": where the feeds stand; from the relay */
	MIRU_NATIVE_RESOLVE /* "resolve": decides a conflict; from the relay */
} MiruNativeKind;

/* miru_native_kind throws if it is a message that is not SQL's business. */
extern MiruNativeKind miru_native_kind(const Jsonb *message);

/*
 * miru_native_render_verdicts makes the answer to a push of "verdicts", which
 * is as push() returns it.
 */
extern char *miru_native_render_verdicts(const Jsonb *message, const char *feed,
										 int32 epoch, Jsonb *verdicts);

/*
 * miru_native_render_greeting makes SQL's part of the answer to a hello or a
 * status, an object; "digested" below 0: not asked for.
 */
extern char *miru_native_render_greeting(const char *user, int64 digested,
										 Snapshot snapshot);

/*
 * A page of a catch-up: its records are added to a text first, one by one, for
 * miru_page_walk; the rest is known at the end, which frees that text.
 */
extern void miru_native_page_begin(StringInfo records);
extern void miru_native_page_add(void *records, const MiruDelivery *delivery);
extern char *miru_native_page_end(const char *feed, const MiruPage *page,
								  StringInfo records);

/* One live message. */
typedef struct MiruNativeChanges
{
	int64 after; /* covers the numbers (after, seq] */
	int64 seq;
	char *session;	  /* origin of all of it, or NULL */
	List *deliveries; /* MiruDelivery */
	char *body;
} MiruNativeChanges;

/*
 * miru_native_render_live makes live messages (MiruNativeChanges) of the
 * deliveries of one feed, in order of seq: each of one transaction and one
 * session.  "complete" tells whether they end at the head, "head" where that is.
 */
extern List *
miru_native_render_live(List *deliveries, int64 head, bool complete);

/*
 * miru_native_note_changed finds out for the deliveries of a live page which
 * fields have changed since the page's cursor, and in which transaction.
 */
extern void
miru_native_note_changed(MiruPage *page, const char *feed, Snapshot snapshot);

#endif /* MIRUSYNC_NATIVE_H */
