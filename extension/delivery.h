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
#include "utils/jsonb.h"

typedef struct MiruDelivery
{
	char *feed;
	int64 after; /* the number before; covers (after, seq] */
	int64 seq;
	int64 part_of; /* first number of its group; seq if alone */
	char *collection;
	char *id;
	bool deleted;
	bool created;	/* the record was not there before */
	bool by_sql;	/* SQL wrote some of it: never normalised */
	Hlc clock;		/* newest clock of the record */
	char *type;		/* the original event's type, or NULL */
	char *session;	/* origin session, or NULL */
	Jsonb *object;	/* the record; a tombstone's image or NULL */
	Jsonb *changed; /* from flush: new values of changed fields */
} MiruDelivery;

/* A page of a feed, see pull.c. */
typedef struct MiruPage
{
	int64 after; /* cursor before it; 0 if that was too high */
	int64 upto;	 /* cursor after it */
	int64 head;
	bool complete;
	bool start_over;  /* the cursor given lies beyond the head */
	char *epoch;	  /* NULL if the feed does not exist */
	List *deliveries; /* of MiruDelivery, in order of seq */
} MiruPage;

/*
 * miru_page_read reads the records of a feed above "after", at most "max"
 * and about a megabyte, never cutting a group, from the active snapshot.
 * With "origins" each delivery also has type, session and created, which
 * costs a look into the change log for each.
 */
extern MiruPage *
miru_page_read(const char *feed, int64 after, int max, bool origins);

#endif /* MIRUSYNC_DELIVERY_H */
