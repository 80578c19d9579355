/*
 * origin.h
 *     The pushes of this transaction, on whose behalf rows change.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ORIGIN_H
#define MIRUSYNC_ORIGIN_H

#include "access/htup.h"
#include "delivery.h"
#include "stamps.h"
#include "utils/jsonb.h"

/*
 * A pushed change, while its transaction lasts.  Everything it points to
 * lives in TopTransactionContext.
 */
typedef struct MiruOrigin
{
	const char *user;
	const char *device;
	const char *session; /* or NULL */
	const char *type;	 /* event type, or NULL */
	const char *rule;
	Jsonb *field_rules; /* of fields that have one of their own, or NULL */
	int group;			/* changes of one group stay together; -1 */
	int64 skew_ms;
	int64 number;	   /* the device's own of the change, 0: none */
	int64 base;		   /* number that the device had seen, or unknown */
	int64 merged_with; /* number of the state it was merged with; 0: none */
	int after;		   /* pending push that it was merged with, -1: none */
	const char *feed;
	const char *collection;
	const char *id;
	uint32 hash;  /* of collection and id */
	int previous; /* one before it with such a hash, -1 */
	Oid relid;
	MinimalTuple key;
	bool deleted;		/* the change deletes the record */
	bool shared;		/* another device changed it in this transaction too */
	bool late;			/* a flush came before its row was written */
	MiruStamp stamp;	/* its own */
	MiruStamps *stamps; /* of the record after it; its own have seq 0 */
	int index;			/* its place among the transaction's origins */
	Jsonb *image;		/* of a delete: last image as pushed, or NULL */
	Jsonb *deleted_row; /* of a delete: the row that was there, or NULL */
	MiruStamps *former; /* of a delete: the record's before it, or NULL */
	bool revives;		/* it brings the record back from its last image */

	/* the change itself, which lasts until its push has flushed */
	const struct MiruChange *change;

	/* set by flush */
	int next;				/* later push of the same record, -1: none */
	int64 seq;				/* number the record got; 0 = unchanged */
	MiruDelivery *delivery; /* if flush collects */
} MiruOrigin;

/*
 * miru_origin_add registers a pushed change and returns its index;
 * miru_origin_set makes changes from now on be on its behalf (-1: nobody's).
 */
extern int miru_origin_add(MiruOrigin *origin);
extern void miru_origin_set(int origin);
extern MiruOrigin *miru_origin_get(int origin);

/*
 * miru_origin_application returns what history says of changes by SQL: the name
 * of the application, or the label that was set instead; NULL if there is none.
 */
extern const char *miru_origin_application(void);
extern void miru_origin_set_label(const char *label);

/*
 * miru_origin_merged_with returns the number of the state that a push was
 * merged with, as far as that has one by now; 0: none.
 */
extern int64 miru_origin_merged_with(const MiruOrigin *origin);

/* miru_origin_remove takes back the origin added last. */
extern void miru_origin_remove(int origin);

/*
 * miru_origin_pending returns the latest pushed change of this record that is
 * not flushed yet, NULL if there is none: its stamps are newer than the
 * stored ones.
 */
extern MiruOrigin *
miru_origin_pending(const char *feed, const char *collection, const char *id);

/* What to return to when a subtransaction aborts. */
typedef struct MiruOriginMark
{
	int count;
	int flushed;
	int late;
	int current;
} MiruOriginMark;

/*
 * For capture: which push rows change for, -1: nobody's; that its own row was
 * noted; whether there was any; that those so far have become changes; back to
 * a mark; and the end of the transaction.
 */
extern int miru_origin_current(void);
extern void miru_origin_noted(int origin);
extern bool miru_origins_any(void);
extern void miru_origins_flushed(void);
extern MiruOriginMark miru_origins_mark(void);
extern void miru_origins_restore(MiruOriginMark mark);
extern void miru_origins_forget(void);

#endif /* MIRUSYNC_ORIGIN_H */
