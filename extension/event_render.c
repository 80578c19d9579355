/*
 * event_render.c
 *     Writing the event dialect: changes in, finished messages out.
 *
 * Three ways to tell a session of a change:
 *
 * - live, as the event that made it.  Its type and its grouping are kept; a
 *   change that SQL made gets a type according to what it did.  Changes that
 *   came in one message go out in one message, which covers all their
 *   numbers, so nobody ever sees the half of it.
 * - to the device whose put lost: what stands instead.
 * - catching up, by state: live records in bulk where there is a message for
 *   that, and deletes as deletes.  A client takes the highest number it saw
 *   as its cursor, and a page is only complete with its last message; so all
 *   others carry the cursor from before the page.
 *
 * Every number that leaves here is a packed cursor (cursor.h), with the epoch
 * that the feed is in, also for a change that was numbered before it.  So the
 * numbers that a session gets are in order, and follow each other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "cursor.h"
#include "event.h"
#include "event_clock.h"
#include "event_text.h"
#include "jsonb_text.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* Records in one bulk message, at most. */
#define BULK_RECORDS_MAX 250

/* What one rendering works with. */
typedef struct Renderer
{
	const MiruEventMap *map;
	char now[HLC_TIME_SIZE];
} Renderer;

static void
renderer_init(Renderer *renderer)
{
	int64 now_us = GetCurrentTimestamp() +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	renderer->map = miru_event_map();
	hlc_format_time(now_us / 1000, renderer->now);
}

/*
 * is_deleted tells whether clients are to take the record as deleted, which
 * SQL can bring about by setting deletedAt in a row that stays.
 */
static bool
is_deleted(const MiruDelivery *delivery)
{
	return delivery->deleted ||
		(delivery->object != NULL && miru_event_is_deleted(delivery->object));
}

/*
 * single_part returns the part of an event that carries one record of the
 * collection: its first part, if that is of this collection and kind.
 */
static const MiruEventPart *
single_part(const Renderer *renderer, const char *type_name,
			const MiruEventCollection *collection, bool is_delete)
{
	const MiruEventType *type;
	const MiruEventPart *part;

	if (type_name == NULL)
		return NULL;
	type = miru_event_map_type(renderer->map, type_name);
	if (type == NULL)
		return NULL;
	part = &type->parts[0];
	return part->collection == collection && part->is_delete == is_delete &&
			!part->is_list
		? part
		: NULL;
}

static int64
cursor_at(const MiruDelivery *delivery)
{
	return miru_cursor_pack(delivery->epoch, delivery->seq);
}

/* render_delete returns the delete event of a record. */
static char *
render_delete(const Renderer *renderer, const MiruEventCollection *collection,
			  const MiruDelivery *delivery, int64 seq)
{
	const char *type = delivery->type;
	const MiruEventPart *part = single_part(renderer, type, collection, true);
	StringInfoData out;

	if (part == NULL)
	{
		type = collection->deleted_type;
		part = single_part(renderer, type, collection, true);
	}

	initStringInfo(&out);
	miru_text_envelope(&out, type, renderer->now);
	miru_text_number(&out, "seq", seq);
	miru_text_key(&out, collection->deleted_key);
	escape_json(&out, delivery->id);
	if (part != NULL && part->payload != NULL && delivery->object != NULL)
	{
		miru_text_key(&out, part->payload);
		miru_append_object(&out, delivery->object);
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}

/*
 * render_record returns the event of one record, of the given type if it is a
 * put.
 */
static char *
render_record(const Renderer *renderer, const MiruEventCollection *collection,
			  const MiruDelivery *delivery, const char *put_type, int64 seq)
{
	const MiruEventPart *part;
	StringInfoData out;

	if (is_deleted(delivery) && collection->deleted_type != NULL)
		return render_delete(renderer, collection, delivery, seq);
	if (is_deleted(delivery))
		put_type = collection->updated_type;

	part = single_part(renderer, put_type, collection, false);
	initStringInfo(&out);
	miru_text_envelope(&out, put_type, renderer->now);
	miru_text_number(&out, "seq", seq);
	miru_text_key(&out, part != NULL ? part->payload : collection->payload);
	miru_text_record(&out, collection, delivery);
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* live_put_type returns the type of the event that puts the record. */
static const char *
live_put_type(const Renderer *renderer, const MiruEventCollection *collection,
			  const MiruDelivery *delivery)
{
	if (single_part(renderer, delivery->type, collection, false) != NULL)
		return delivery->type;
	if (delivery->created && collection->created_type != NULL)
		return collection->created_type;
	return collection->updated_type;
}

static const MiruEventCollection *
collection_of(const Renderer *renderer, const MiruDelivery *delivery)
{
	return miru_event_map_collection(renderer->map, delivery->collection);
}

/* put_part_of returns the first part that puts the collection, or NULL. */
static const MiruEventPart *
put_part_of(const MiruEventType *type, const MiruEventCollection *collection)
{
	for (int i = 0; i < type->part_count; i++)
		if (type->parts[i].collection == collection &&
			!type->parts[i].is_delete)
			return &type->parts[i];
	return NULL;
}

/*
 * A group: deliveries that go out as one event, because they came as one.
 * They follow each other in the list, so the event covers just their numbers.
 */
typedef struct EventGroup
{
	const MiruEventType *type;
	List *deliveries;
	int begin; /* index of the first one */
	int end;   /* and of the first one after */
} EventGroup;

static MiruDelivery *
group_delivery(const EventGroup *group, int index)
{
	return list_nth(group->deliveries, index);
}

/*
 * belongs tells whether a delivery came in the same message as the first of
 * the group.  Besides the number the type must be the same: what a trigger of
 * the application changed at the same time is not part of the event.
 */
static bool
belongs(const MiruDelivery *first, const MiruDelivery *other)
{
	return other->part_of == first->part_of && other->type != NULL &&
		strcmp(other->type, first->type) == 0 &&
		strcmp(other->feed, first->feed) == 0;
}

/*
 * group_extend takes into the group what follows and fits the event, and
 * returns the delivery of the event's own object, NULL if that is not there.
 */
static const MiruDelivery *
group_extend(EventGroup *group, const Renderer *renderer)
{
	const MiruDelivery *first = group_delivery(group, group->begin);
	const MiruDelivery *main = NULL;

	for (group->end = group->begin; group->end < list_length(group->deliveries);
		 group->end++)
	{
		const MiruDelivery *delivery = group_delivery(group, group->end);
		const MiruEventCollection *collection = collection_of(renderer,
															  delivery);
		const MiruEventPart *part;

		if (collection == NULL || !belongs(first, delivery))
			break;
		part = put_part_of(group->type, collection);
		if (part == NULL)
			break;
		if (part->is_list)
			continue;

		/* The event has room for one object, and a list for the rest. */
		if (part != group->type->parts || main != NULL)
			break;
		main = delivery;
	}
	return main;
}

/* covers tells whether one type has room for all that another one carries. */
static bool
covers(const MiruEventType *type, const MiruEventType *other)
{
	for (int i = 0; i < other->part_count; i++)
	{
		const MiruEventPart *part = put_part_of(type,
												other->parts[i].collection);

		if (part == NULL || part->is_list != other->parts[i].is_list)
			return false;
	}
	return true;
}

/*
 * find_group finds the group that begins with a delivery; false if that one
 * stands alone.  A deleted main object goes out in a group only if its delete
 * is told by a put, then as an update, which is what clients know for that.
 */
static bool
find_group(const Renderer *renderer, List *deliveries, int begin,
		   EventGroup *group)
{
	const MiruDelivery *first = list_nth(deliveries, begin);
	const MiruDelivery *main;
	const MiruEventCollection *collection;

	if (first->type == NULL)
		return false;
	group->type = miru_event_map_type(renderer->map, first->type);
	if (group->type == NULL || group->type->part_count < 2)
		return false;
	group->deliveries = deliveries;
	group->begin = begin;
	main = group_extend(group, renderer);
	if (main == NULL || group->end - group->begin < 2)
		return false;

	if (is_deleted(main))
	{
		const MiruEventType *updated;

		collection = collection_of(renderer, main);
		updated = miru_event_map_type(renderer->map, collection->updated_type);
		if (collection->deleted_type != NULL || updated == NULL ||
			!covers(updated, group->type))
			return false;
		group->type = updated;
	}
	return true;
}

/* append_part writes what a group has for one part of its event. */
static void
append_part(StringInfo out, const Renderer *renderer, const EventGroup *group,
			const MiruEventPart *part)
{
	bool is_first = true;

	for (int i = group->begin; i < group->end; i++)
	{
		const MiruDelivery *delivery = group_delivery(group, i);
		const MiruEventCollection *collection = collection_of(renderer,
															  delivery);

		if (put_part_of(group->type, collection) != part)
			continue;
		if (is_first)
		{
			miru_text_key(out, part->payload);
			if (part->is_list)
				appendStringInfoChar(out, '[');
		}
		else
			appendStringInfoChar(out, ',');
		is_first = false;
		miru_text_record(out, collection, delivery);
	}
	if (!is_first && part->is_list)
		appendStringInfoChar(out, ']');
}

/* render_group returns the one event of a group. */
static char *
render_group(const Renderer *renderer, const EventGroup *group)
{
	StringInfoData out;

	initStringInfo(&out);
	miru_text_envelope(&out, group->type->name, renderer->now);
	miru_text_number(&out, "seq",
					 cursor_at(group_delivery(group, group->end - 1)));
	for (int i = 0; i < group->type->part_count; i++)
		append_part(&out, renderer, group, &group->type->parts[i]);
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* render_alone returns the live event of one delivery, NULL if unmapped. */
static char *
render_alone(const Renderer *renderer, const MiruDelivery *delivery)
{
	const MiruEventCollection *collection = collection_of(renderer, delivery);

	if (collection == NULL)
		return NULL;
	return render_record(renderer, collection, delivery,
						 live_put_type(renderer, collection, delivery),
						 cursor_at(delivery));
}

List *
miru_event_render_live(List *deliveries)
{
	List *events = NIL;
	Renderer renderer;
	EventGroup group;

	renderer_init(&renderer);
	miru_text_normalise(deliveries);
	for (int i = 0; i < list_length(deliveries); i = group.end)
	{
		const MiruDelivery *first = list_nth(deliveries, i);
		MiruEvent *event = palloc0(sizeof(MiruEvent));

		if (find_group(&renderer, deliveries, i, &group))
			event->body = render_group(&renderer, &group);
		else
		{
			group.end = i + 1;
			event->body = render_alone(&renderer, first);
		}
		event->feed = first->feed;
		event->after = miru_cursor_pack(first->epoch, first->after);
		event->seq = cursor_at(list_nth(deliveries, group.end - 1));
		event->session = first->session;
		events = lappend(events, event);
	}
	return events;
}

char *
miru_event_render_winner(MiruDelivery *delivery)
{
	const MiruEventCollection *collection;
	Renderer renderer;

	renderer_init(&renderer);
	miru_text_normalise(list_make1(delivery));
	collection = collection_of(&renderer, delivery);
	if (collection == NULL)
		return NULL;
	return render_record(&renderer, collection, delivery,
						 collection->updated_type, cursor_at(delivery));
}

/* A page that is being rendered for a session that catches up. */
typedef struct CatchUp
{
	Renderer renderer;
	int64 after;					 /* packed cursor before the page */
	int64 upto;						 /* and after it */
	const MiruDelivery *last;		 /* the last one that events speak of */
	const MiruEventCollection *bulk; /* of the bulk message that is open, or
										 * NULL */
	int bulk_count;					 /* records in it */
	StringInfoData bulk_body;
	List *events; /* of MiruEvent, finished */
} CatchUp;

/* catch_up_cursor returns the cursor for the message that ends with it. */
static int64
catch_up_cursor(const CatchUp *catch_up, const MiruDelivery *delivery)
{
	return delivery == catch_up->last ? catch_up->upto : catch_up->after;
}

static void
catch_up_add(CatchUp *catch_up, char *body, int64 cursor)
{
	MiruEvent *event = palloc0(sizeof(MiruEvent));

	event->after = catch_up->after;
	event->seq = cursor;
	event->body = body;
	catch_up->events = lappend(catch_up->events, event);
}

/* catch_up_close_bulk ends the bulk message, if there is one. */
static void
catch_up_close_bulk(CatchUp *catch_up, int64 cursor)
{
	if (catch_up->bulk == NULL)
		return;
	appendStringInfoChar(&catch_up->bulk_body, ']');
	miru_text_number(&catch_up->bulk_body, "lastSeq", cursor);
	appendStringInfoChar(&catch_up->bulk_body, '}');
	catch_up_add(catch_up, catch_up->bulk_body.data, cursor);
	catch_up->bulk = NULL;
}

/* catch_up_bulk puts a record into the bulk message of its collection. */
static void
catch_up_bulk(CatchUp *catch_up, const MiruEventCollection *collection,
			  const MiruDelivery *delivery)
{
	StringInfo body = &catch_up->bulk_body;

	if (catch_up->bulk != collection ||
		catch_up->bulk_count >= BULK_RECORDS_MAX)
		catch_up_close_bulk(catch_up, catch_up->after);
	if (catch_up->bulk == NULL)
	{
		initStringInfo(body);
		miru_text_envelope(body, collection->bulk_type, catch_up->renderer.now);
		miru_text_key(body, collection->bulk_key);
		appendStringInfoChar(body, '[');
		catch_up->bulk = collection;
		catch_up->bulk_count = 0;
	}
	else
		appendStringInfoChar(body, ',');
	miru_text_record(body, collection, delivery);
	catch_up->bulk_count++;
}

/* catch_up_single makes a message of one record. */
static void
catch_up_single(CatchUp *catch_up, const MiruEventCollection *collection,
				const MiruDelivery *delivery)
{
	const char *type = collection->catch_up_type != NULL
		? collection->catch_up_type
		: collection->updated_type;
	int64 cursor = catch_up_cursor(catch_up, delivery);

	catch_up_close_bulk(catch_up, catch_up->after);
	catch_up_add(catch_up,
				 render_record(&catch_up->renderer, collection, delivery, type,
							   cursor),
				 cursor);
}

List *
miru_event_render_catch_up(const MiruPage *page, int64 after, int64 upto)
{
	CatchUp catch_up = {0};
	ListCell *cell;

	renderer_init(&catch_up.renderer);
	miru_text_normalise(page->deliveries);
	catch_up.after = after;
	catch_up.upto = upto;
	foreach(cell, page->deliveries)
	{
		if (collection_of(&catch_up.renderer, lfirst(cell)) != NULL)
			catch_up.last = lfirst(cell);
	}

	foreach(cell, page->deliveries)
	{
		const MiruDelivery *delivery = lfirst(cell);
		const MiruEventCollection *collection =
			collection_of(&catch_up.renderer, delivery);

		if (collection == NULL)
			continue;
		if (collection->bulk_type != NULL && !is_deleted(delivery))
			catch_up_bulk(&catch_up, collection, delivery);
		else
			catch_up_single(&catch_up, collection, delivery);
	}
	catch_up_close_bulk(&catch_up, upto);
	return catch_up.events;
}
