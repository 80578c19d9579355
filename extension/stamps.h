/*
 * stamps.h
 *     Who wrote each field of a record, when, and under which number.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_STAMPS_H
#define MIRUSYNC_STAMPS_H

#include "hlc.h"

/*
 * Parts of a field have stamps of their own under its key, this byte and their
 * own key (element_set.c).  It stands in no UTF-8 text.
 */
#define MIRU_ELEMENT_SEPARATOR "\xff"

/* One writing of a field. */
typedef struct MiruStamp
{
	Hlc clock;			/* the writer's clock, bounded */
	int64 seq;			/* number in the feed; 0 = not numbered yet */
	const char *device; /* "" for a write by SQL; never NULL */
} MiruStamp;

typedef struct MiruFieldStamp
{
	const char *key; /* name of the field, or its number as text */
	MiruStamp stamp;
} MiruFieldStamp;

/*
 * The stamps of one record: "base" holds for every field without an entry of
 * its own, so a record that is always put whole needs one stamp.
 */
typedef struct MiruStamps
{
	MiruStamp base;
	int count;
	int allocated;
	MiruFieldStamp *fields; /* palloc'd, no order */
	int *slots;		/* index of the fields by hash, once there are many */
	int slot_count; /* a power of 2; 0: no index */
	int indexed;	/* so many fields are in it */
} MiruStamps;

/* miru_stamps_init sets every field to "stamp". */
extern void miru_stamps_init(MiruStamps *stamps, MiruStamp stamp);

/* miru_stamps_copy copies deeply into the current memory context. */
extern MiruStamps *miru_stamps_copy(const MiruStamps *stamps);

/* miru_stamps_get returns the stamp in force for a field. */
extern const MiruStamp *
miru_stamps_get(const MiruStamps *stamps, const char *key);

/* miru_stamps_find returns a stamp of that very key, or NULL. */
extern const MiruStamp *
miru_stamps_find(const MiruStamps *stamps, const char *key);

/* miru_stamps_set stamps one field; strings are kept, not copied. */
extern void
miru_stamps_set(MiruStamps *stamps, const char *key, MiruStamp stamp);

/* miru_stamps_number gives every stamp not numbered yet the number "seq". */
extern void miru_stamps_number(MiruStamps *stamps, int64 seq);

/* miru_stamps_newest returns the newest clock among them. */
extern Hlc miru_stamps_newest(const MiruStamps *stamps);

/* miru_stamps_whole returns new stamps that are all the same. */
extern MiruStamps *miru_stamps_whole(MiruStamp stamp);

/* miru_stamps_newest_of returns the newest stamp, its clock at least "clock". */
extern MiruStamp miru_stamps_newest_of(const MiruStamps *stamps, Hlc clock);

/* miru_stamps_by_sql tells whether SQL wrote the record last in any field. */
extern bool miru_stamps_by_sql(const MiruStamps *stamps);

/*
 * miru_stamps_pack and miru_stamps_unpack convert from and to the stored
 * form (see stamps.c).  unpack returns NULL when the bytes are not valid.
 */
extern char *miru_stamps_pack(const MiruStamps *stamps, int *length);
extern MiruStamps *miru_stamps_unpack(const char *bytes, int length);

/*
 * miru_stamps_packed_by_sql is miru_stamps_by_sql of the stored form; returns
 * false when the bytes are seen not to be valid.
 */
extern bool
miru_stamps_packed_by_sql(const char *bytes, int length, bool *by_sql);

#endif /* MIRUSYNC_STAMPS_H */
