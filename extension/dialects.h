/*
 * dialects.h
 *     Deliveries for a relay, in the dialects that its sessions speak.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DIALECTS_H
#define MIRUSYNC_DIALECTS_H

#include "event.h"
#include "utils/array.h"

/* The dialects that are wanted: at least one. */
typedef struct MiruDialects
{
	bool event;
	bool native;
} MiruDialects;

/* miru_dialects_read reads an array of their names. */
extern MiruDialects miru_dialects_read(ArrayType *names);

/*
 * miru_dialects_render_live renders deliveries of one feed, in order of seq,
 * for live sessions: a list of MiruRendered.  "head" and "complete" as in
 * miru_native_render_live.
 */
typedef struct MiruRendered
{
	int64 after; /* packed cursors: covers (after, seq] */
	int64 seq;
	char *session; /* that does not get it, or NULL */
	char *event;   /* events, one a line; NULL: none */
	char *native;  /* native message; NULL: not wanted */
} MiruRendered;

extern List *miru_dialects_render_live(MiruDialects wanted, List *deliveries,
									   int64 head, bool complete);

#endif /* MIRUSYNC_DIALECTS_H */
