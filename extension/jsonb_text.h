/*
 * jsonb_text.h
 *     Walking through a jsonb without copies, and writing it as text.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JSONB_TEXT_H
#define MIRUSYNC_JSONB_TEXT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Where one is in an object or array, one level of it. */
typedef struct MiruItems
{
	JsonbContainer *container;
	char *base;		 /* of the offsets */
	int count;		 /* members or elements */
	int next;		 /* index of the one to come */
	bool is_object;	 /* else an array */
	uint32 key_at;	 /* offset of the key to come */
	uint32 value_at; /* and of its value */
} MiruItems;

/* miru_items_begin begins with the first one; "container" is no scalar. */
extern void miru_items_begin(MiruItems *items, JsonbContainer *container);

/*
 * miru_items_next goes to the next one, false at the end.  "key" is set for
 * an object, and both point into the container.  What is an array or object
 * itself comes as jbvBinary.
 */
extern bool
miru_items_next(MiruItems *items, JsonbValue *key, JsonbValue *value);

/* miru_append_string writes what escape_json() writes of it. */
extern void miru_append_string(StringInfo out, const char *text, int length);

/*
 * miru_append_value and miru_append_object write what JsonbToCString() writes,
 * to the byte.
 */
extern void miru_append_value(StringInfo out, const JsonbValue *value);
extern void miru_append_object(StringInfo out, const Jsonb *object);

#endif /* MIRUSYNC_JSONB_TEXT_H */
