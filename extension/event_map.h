/*
 * event_map.h
 *     Which event stands for what: mirusync.event_collection and
 *     mirusync.event_type, cached.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_EVENT_MAP_H
#define MIRUSYNC_EVENT_MAP_H

#include "fmgr.h"
#include "utils/jsonb.h"

/* A key of a JSON object. */
typedef struct MiruEventKey
{
	char *name;
	int length; /* in bytes */
} MiruEventKey;

/* At most this many keys in a list of keys; a CHECK of the tables says so. */
#define MIRU_EVENT_KEYS_MAX 8

typedef struct MiruEventKeys
{
	int count;
	MiruEventKey keys[MIRU_EVENT_KEYS_MAX];
} MiruEventKeys;

/* One collection that events speak of.  NULL where the column is null. */
typedef struct MiruEventCollection
{
	char *name;
	char *normalise;		  /* name of a function jsonb -> jsonb, or NULL */
	MiruEventKeys clock_keys; /* the first one present is the stamp */
	char *payload;			  /* key of the object in a put event */
	char *id_key;			  /* key of the id in the object */
	char *created_type;
	char *updated_type;
	char *deleted_type; /* NULL: deletes are sent as updated_type */
	char *deleted_key;	/* key of the id in a deleted_type */
	char *bulk_type;
	char *bulk_key; /* key of the list in a bulk_type */
	char *catch_up_type;
} MiruEventCollection;

/* One change, or one list of changes, that an event of some type carries. */
typedef struct MiruEventPart
{
	const MiruEventCollection *collection;
	bool is_delete;
	bool is_list;
	char *payload;		   /* key of the object or list, or NULL */
	MiruEventKeys id_keys; /* tried in turn */
} MiruEventPart;

typedef struct MiruEventType
{
	char *name;
	int part_count;		  /* at least one */
	MiruEventPart *parts; /* in the order of their numbers */
} MiruEventType;

typedef struct MiruEventMap MiruEventMap;

extern void miru_event_map_init(void);

/*
 * miru_event_map returns the mapping as it stands.  It and everything that
 * it points to stay valid until the transaction ends, even if the tables
 * change meanwhile.
 */
extern const MiruEventMap *miru_event_map(void);

/* Both return NULL for a name that the mapping does not know. */
extern const MiruEventCollection *
miru_event_map_collection(const MiruEventMap *map, const char *name);
extern const MiruEventType *
miru_event_map_type(const MiruEventMap *map, const char *name);

/*
 * miru_event_normalise puts an object through the collection's function,
 * which checks it and gives it its stored form; without one it returns the
 * object itself.  Returns NULL where the function does, or gives no object.
 * Throws what the function throws.
 */
extern Jsonb *
miru_event_normalise(const MiruEventCollection *collection, Jsonb *object);

/* A function that was looked up, for many objects of a collection. */
typedef struct MiruEventNormaliser
{
	const MiruEventCollection *collection; /* NULL: of none yet */
	bool softly;						   /* a refusal may be a null */
	FmgrInfo function;
} MiruEventNormaliser;

/*
 * miru_event_normalise_with is the same, and looks the function up where it
 * is of another collection than the last time.  To be used within one
 * statement, and in the memory context that it began in.
 */
extern Jsonb *
miru_event_normalise_with(MiruEventNormaliser *normaliser,
						  const MiruEventCollection *collection, Jsonb *object);

/*
 * miru_event_is_soft tells a normalise function that its caller takes a null
 * for a refusal: throwing costs a subtransaction, and much else.
 */
extern bool miru_event_is_soft(FunctionCallInfo fcinfo);

#endif /* MIRUSYNC_EVENT_MAP_H */
