/*
 * catchup.h
 *		What a session lacks, page by page, until it can go live.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CATCHUP_H
#define MIRUSYNC_CATCHUP_H

#include <stdbool.h>
#include <stdint.h>

#include "reader.h"

struct Session;

typedef enum CatchUpKind
{
	CATCH_UP_AFTER, /* everything after a number */
	CATCH_UP_SINCE, /* everything changed since a time */
	CATCH_UP_RECENT /* everything changed in the last minute */
} CatchUpKind;

typedef struct CatchUpFrom
{
	CatchUpKind kind;
	int64_t after;		   /* for AFTER */
	int64_t seen;		   /* head of the page before, if that was incomplete */
	char *since;		   /* for SINCE, ISO 8601; owned */
	int64_t not_before_ms; /* 0: at once */
} CatchUpFrom;

typedef struct CatchUp
{
	struct Session *session;
	CatchUpFrom from;	  /* of the next page */
	bool sent_any;		  /* there was something to send */
	bool parked;		  /* waits for the outbox to drain */
	ReadRequest *request; /* the page asked for, or NULL */
} CatchUp;

/*
 * catchup_new begins; it takes over from.since.  Each page goes to the outbox
 * and moves the session's cursor.  In the end session_caught_up is called, or
 * session_close.  Never from within this call.
 */
extern CatchUp *catchup_new(struct Session *session, const CatchUpFrom *from);

/* catchup_drained says that the outbox is empty: the next page may come. */
extern void catchup_drained(CatchUp *catchup);

/* catchup_tick asks for what was to wait. */
extern void catchup_tick(CatchUp *catchup, int64_t now_ms);

/* catchup_free stops it wherever it stands.  Safe on NULL. */
extern void catchup_free(CatchUp *catchup);

#endif
