/*
 * delivery.h
 *     One change as it is to be delivered: what flush, pull and the event
 *     dialect hand to each other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DELIVERY_H
#define MIRUSYNC_DELIVERY_H

#include "hlc.h"
#include "nodes/pg_list.h"
#include "record.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"

typedef struct MiruDelivery
{
	char *feed;
	int32 epoch; /* that the feed is in */
	int64 after; /* the number before; covers (after, seq] */
	int64 seq;
	int64 part_of; /* first number of its group; seq if alone */
	char *collection;
	char *id;
	bool deleted;
	bool created;		 /* the record was not there before */
	bool by_sql;		 /* SQL wrote some of it: never normalised */
	Hlc clock;			 /* newest clock of the record */
	char *type;			 /* the original event's type, or NULL */
	char *session;		 /* origin session, or NULL */
	Jsonb *object;		 /* the record; a tombstone's image or NULL */
	Jsonb *normalised;	 /* what events show of it; NULL: the object */
	Jsonb *changed;		 /* from flush: new values of changed fields */
	List *changed_names; /* fields that changed, String; from flush, or
							 * miru_native_note_changed */
	bool whole;			 /* they are not known: send it whole */
	bool is_document;	 /* of the document store: fields may be removed */
	uint64 xid;			 /* its transaction; 0: that of the others */
} MiruDelivery;

/*
 * miru_delivery_make makes one of a change that was just stored, with copies
 * in the current memory context: of the record as it stands, what changed
 * (MiruFieldChange), and the new values of that.
 */
extern MiruDelivery *
miru_delivery_make(const MiruRecord *record, const Jsonb *object, List *changes,
				   const Jsonb *changed);

/* What a reader has seen of a feed. */
typedef struct MiruCursor
{
	int32 epoch;  /* MIRU_NO_EPOCH: not known */
	int64 number; /* highest it has */
	int64 seen;	  /* head of its last page, if that was not complete */
} MiruCursor;

/* A page of a feed, see pull.c. */
typedef struct MiruPage
{
	int64 after; /* number before it; 0 when starting over */
	int64 upto;	 /* number after it */
	int64 head;
	bool complete;
	bool start_over;  /* the cursor given is of a history that was lost */
	int32 epoch;	  /* of the head; MIRU_NO_EPOCH: there is no such feed */
	List *deliveries; /* of MiruDelivery, in order of seq */
} MiruPage;

/*
 * miru_page_read reads the records of a feed above a cursor, at most "max"
 * and about a megabyte, never cutting a group, from the active snapshot.
 * With "origins" each delivery also has type, session and created, which
 * costs a look into the change log for each.
 */
extern MiruPage *miru_page_read(const char *feed, const MiruCursor *cursor,
								int max, bool origins);

/*
 * miru_page_walk is the same without keeping the deliveries, or their origins:
 * it hands each over, in a memory context that is reset after the call, in
 * which it may also lie in a buffer.
 */
typedef void (*MiruPageEach)(void *arg, const MiruDelivery *delivery);
extern MiruPage *miru_page_walk(const char *feed, const MiruCursor *cursor,
								int max, MiruPageEach each, void *arg);

/*
 * miru_page_object returns the fields of a record as it stands, of a tombstone
 * those of its last image; NULL if there are none to be read.
 */
extern Jsonb *miru_page_object(MiruRecord *record, Snapshot snapshot);

#endif /* MIRUSYNC_DELIVERY_H */
