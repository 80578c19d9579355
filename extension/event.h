/*
 * event.h
 *     The event dialect: application events such as NOTE_CREATED, mapped to
 *     changes by data in mirusync.event_type and mirusync.event_collection.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_EVENT_H
#define MIRUSYNC_EVENT_H

#include "change.h"

/*
 * miru_event_parse turns one message into a list of MiruChange, with kind,
 * collection, id, object (normalised), clock, type, delete_slack and
 * ties_lose set.  Throws ERRCODE_MIRU_INVALID_OBJECT when the message is not
 * valid.  Everything is allocated in the current memory context.
 */
extern List *miru_event_parse(const char *message);

/*
 * miru_event_bound_object returns the object with every stamp of it that is
 * later than "bounded" set to that time, in the form that it had.  Returns
 * the object itself where there is nothing to bound; NULL stays NULL.
 */
extern Jsonb *
miru_event_bound_object(const char *collection, Jsonb *object, Hlc bounded);

/*
 * miru_event_render_live renders deliveries of one feed, in order of seq, as
 * events.  Their numbers are packed cursors, as everywhere in the dialect.  Returns a list of MiruEvent; one with body NULL stands for a
 * record that the event dialect does not speak of.
 */
typedef struct MiruEvent
{
	char *feed;
	int64 after;
	int64 seq;
	char *session;
	char *body;
} MiruEvent;

extern List *miru_event_render_live(List *deliveries);

/*
 * miru_event_render_catch_up renders a page for a session that is behind,
 * with the packed cursors from before the page and from after it: a
 * list of MiruEvent, one a message, of which seq is the cursor that the
 * message carries and session is NULL.  Records that events do not speak of
 * leave nothing.
 */
extern List *
miru_event_render_catch_up(const MiruPage *page, int64 after, int64 upto);

/*
 * miru_event_render_winner renders what stands, for the device that lost.
 * Returns NULL for a record that the event dialect does not speak of.
 */
extern char *miru_event_render_winner(MiruDelivery *delivery);

#endif /* MIRUSYNC_EVENT_H */
