/*
 * event_clock.h
 *     What an object of the event dialect says about time: the stamps of its
 *     last change, and whether it is deleted.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_EVENT_CLOCK_H
#define MIRUSYNC_EVENT_CLOCK_H

#include "event_map.h"
#include "hlc.h"

/* The last millisecond of the year 9999; times begin with 1970. */
#define MIRU_EVENT_MS_MAX INT64CONST(253402300799999)

typedef enum MiruEventTime
{
	MIRU_TIME_MISSING,	/* no such key, null, or "" */
	MIRU_TIME_GIVEN,	/* an ISO 8601 text, or an integer of ms */
	MIRU_TIME_MALFORMED /* anything else */
} MiruEventTime;

/* A field to be written in place of what the object has under its name. */
typedef struct MiruEventEdit
{
	MiruEventKey key;
	char json[HLC_TIME_SIZE + 2]; /* the value, as JSON text */
	bool is_written;			  /* for the writer's use */
} MiruEventEdit;

/* All the clock keys, and deletedAt. */
#define MIRU_EVENT_EDITS_MAX (MIRU_EVENT_KEYS_MAX + 1)

/*
 * miru_event_read_time reads what a message says of its own time: ISO 8601
 * in UTC, to the second at least, with a Z.
 */
extern bool miru_event_read_time(const JsonbValue *value, int64 *ms);

/*
 * miru_event_stamp reads the stamp of an object: the first of the clock keys
 * that is not missing.
 */
extern MiruEventTime miru_event_stamp(const MiruEventCollection *collection,
									  const Jsonb *object, int64 *ms);

/*
 * miru_event_raise_stamps returns how many edits it takes, and sets them, so
 * that the object's stamp is not before "ms".  Stamps keep their
 * representation, an object without gets one of the first clock key.
 */
extern int
miru_event_raise_stamps(const MiruEventCollection *collection,
						const Jsonb *object, int64 ms, MiruEventEdit *edits);

/* miru_event_edit_time sets an edit to a time as ISO 8601 text. */
extern void
miru_event_edit_time(MiruEventEdit *edit, const char *key, int64 ms);

/*
 * miru_event_is_deleted tells whether the object's deletedAt says so: a text
 * that is not empty, a number other than 0, or true.
 */
extern bool miru_event_is_deleted(const Jsonb *object);

#endif /* MIRUSYNC_EVENT_CLOCK_H */
