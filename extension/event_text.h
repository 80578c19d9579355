/*
 * event_text.h
 *     Messages of the event dialect as text: their frame, and one record.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_EVENT_TEXT_H
#define MIRUSYNC_EVENT_TEXT_H

#include "delivery.h"
#include "event_map.h"
#include "lib/stringinfo.h"

/*
 * miru_text_envelope begins a message with its type and timestamp; the caller
 * writes the closing brace.
 */
extern void
miru_text_envelope(StringInfo out, const char *type, const char *now);

/* miru_text_key begins a further field of an object. */
extern void miru_text_key(StringInfo out, const char *key);
extern void miru_text_number(StringInfo out, const char *key, int64 number);

/*
 * miru_text_normalise puts the objects that SQL wrote into the form of their
 * collections, as far as the collections' functions take them.
 */
extern void miru_text_normalise(List *deliveries);

/*
 * miru_text_record writes the record's object, not looking older than its
 * clock and, if the record is deleted, with a deletedAt that says so.
 */
extern void
miru_text_record(StringInfo out, const MiruEventCollection *collection,
				 const MiruDelivery *delivery);

#endif /* MIRUSYNC_EVENT_TEXT_H */
