/*
 * change.h
 *     A pushed change, from any dialect, and what became of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CHANGE_H
#define MIRUSYNC_CHANGE_H

#include "delivery.h"
#include "merge_rules.h"

typedef enum MiruChangeKind
{
	MIRU_PUT,	/* the whole record */
	MIRU_PATCH, /* only the fields named */
	MIRU_DELETE
} MiruChangeKind;

typedef enum MiruVerdictKind
{
	MIRU_APPLIED, /* stored as sent */
	MIRU_MERGED,  /* stored, but not all of it as sent, or into
								 * a record changed by others meanwhile */
	MIRU_STALE,	  /* nothing stored: a newer value stands */
	MIRU_REJECTED /* refused, see code and reason */
} MiruVerdictKind;

typedef struct MiruChange
{
	/* what the device says */
	int64 number; /* the device's own number; 0 = none */
	MiruChangeKind kind;
	char *feed; /* NULL: the user's own */
	char *collection;
	char *id;
	Jsonb *object;	   /* put, patch: fields; delete: image or NULL */
	Jsonb *add;		   /* put, patch: increments of counters and elements
						* of sets, or NULL */
	Jsonb *remove;	   /* put, patch: elements of sets, or NULL */
	Hlc clock;		   /* 0: stamped on arrival */
	int64 base;		   /* feed number the device had seen, or
						* MIRU_BASE_UNKNOWN */
	char *type;		   /* event type, or NULL */
	bool delete_slack; /* delete wins within the allowed clock skew */
	bool ties_lose;	   /* equal clocks leave what is stored */
	Jsonb *sent;	   /* of a batch: the change itself, as it came */
	int64 arrived_ms;  /* when it was pushed; 0: now */

	/* what became of it */
	MiruVerdictKind verdict;
	int sqlstate; /* when rejected */
	char *reason;
	char *detail;		  /* or NULL */
	int64 inbox;		  /* its number in mirusync.rejected, 0: none */
	bool no_room;		  /* the inbox was full */
	int origin;			  /* its entry in capture.c's list, or -1 */
	bool made;			  /* there was no row, and it inserted one */
	int64 seq;			  /* number got, or of what stands (stale) */
	List *conflicts;	  /* MiruConflict, where a value lost */
	MiruDelivery *winner; /* what stands, if it is not just what was
								 * sent, else NULL */
} MiruChange;

#endif /* MIRUSYNC_CHANGE_H */
