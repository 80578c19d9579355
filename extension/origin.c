/*
 * origin.c
 *     The pushes of this transaction, on whose behalf rows change.
 *
 * A push says what it is before it writes, so that capture can note it with
 * each row, and a later one of the same record finds what is not stored yet.
 * Those of a subtransaction are the tail of the list, which its abort cuts off
 * (capture.c).
 *
 * A BEFORE trigger of the application may push in its turn, and that flushes
 * before the row of the outer push is written.  The outer push then is late:
 * its row is noted after the flush, so it is pending until the next one.
 *
 * Everything here ends with the top transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "origin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* All state; zero when there is no transaction. */
static struct
{
	MiruOrigin **origins;
	int count;
	int allocated;
	int flushed;  /* those before it have become changes, but for the late */
	int late;	  /* 1 + index of the first late one since; 0: none */
	int current;  /* 1 + index; 0: nobody's */
	int *buckets; /* the last origin of each hash, or -1 */
	int bucket_count; /* a power of 2 */
} pushes;

/* What changes by SQL are said to be for; NULL: the application's name. */
static const char *label;

/* hash_id makes searching many pushes for a record cheap. */
static uint32
hash_id(const char *collection, const char *id)
{
	return hash_combine(hash_bytes((const unsigned char *) collection,
								   strlen(collection)),
						hash_bytes((const unsigned char *) id, strlen(id)));
}

/* index_origin puts an origin before the others of its bucket. */
static void
index_origin(int index)
{
	MiruOrigin *origin = pushes.origins[index];
	int *bucket = &pushes.buckets[origin->hash & (pushes.bucket_count - 1)];

	origin->previous = *bucket;
	*bucket = index;
}

/* truncate_origins takes back the last ones, as they came. */
static void
truncate_origins(int count)
{
	while (pushes.count > count)
	{
		MiruOrigin *origin = pushes.origins[--pushes.count];

		pushes.buckets[origin->hash & (pushes.bucket_count - 1)] =
			origin->previous;
	}
}

/* grow_origins makes room for more, and for their index. */
static void
grow_origins(void)
{
	int wanted = Max(16, pushes.allocated * 2);

	if (pushes.origins == NULL)
		pushes.origins = MemoryContextAlloc(TopTransactionContext,
											wanted * sizeof(MiruOrigin *));
	else
		pushes.origins = repalloc_huge(pushes.origins,
									   wanted * sizeof(MiruOrigin *));
	pushes.allocated = wanted;
	pushes.buckets = MemoryContextAllocHuge(TopTransactionContext,
											2 * wanted * sizeof(int));
	pushes.bucket_count = 2 * wanted;
	memset(pushes.buckets, -1, 2 * wanted * sizeof(int));
	for (int i = 0; i < pushes.count; i++)
		index_origin(i);
}

int
miru_origin_add(MiruOrigin *origin)
{
	if (pushes.count == pushes.allocated)
		grow_origins();
	origin->next = -1;
	origin->hash = hash_id(origin->collection, origin->id);
	origin->index = pushes.count;
	pushes.origins[pushes.count++] = origin;
	index_origin(origin->index);
	return origin->index;
}

void
miru_origin_set(int origin)
{
	pushes.current = origin + 1;
}

MiruOrigin *
miru_origin_get(int origin)
{
	return pushes.origins[origin];
}

void
miru_origin_remove(int origin)
{
	if (origin == pushes.count - 1)
		truncate_origins(origin);
}

MiruOrigin *
miru_origin_pending(const char *feed, const char *collection, const char *id)
{
	uint32 hash = hash_id(collection, id);

	int first = pushes.late > 0 ? pushes.late - 1 : pushes.flushed;

	if (pushes.count == 0)
		return NULL;
	for (int i = pushes.buckets[hash & (pushes.bucket_count - 1)]; i >= first;
		 i = pushes.origins[i]->previous)
	{
		MiruOrigin *origin = pushes.origins[i];

		if ((i >= pushes.flushed || origin->late) && origin->hash == hash &&
			strcmp(origin->id, id) == 0 &&
			strcmp(origin->collection, collection) == 0 &&
			strcmp(origin->feed, feed) == 0)
			return origin;
	}
	return NULL;
}

int64
miru_origin_merged_with(const MiruOrigin *origin)
{
	int64 number = origin->merged_with;

	while (origin->after >= 0)
	{
		origin = pushes.origins[origin->after];
		if (origin->seq != 0)
			return origin->seq;
	}
	return number;
}

void
miru_origin_noted(int origin)
{
	if (origin >= pushes.flushed)
		return;
	pushes.origins[origin]->late = true;
	if (pushes.late == 0 || origin < pushes.late - 1)
		pushes.late = origin + 1;
}

int
miru_origin_current(void)
{
	return pushes.current - 1;
}

bool
miru_origins_any(void)
{
	return pushes.count > 0;
}

void
miru_origins_flushed(void)
{
	while (pushes.late > 0 && pushes.late <= pushes.flushed)
		pushes.origins[pushes.late++ - 1]->late = false;
	pushes.late = 0;
	pushes.flushed = pushes.count;
}

MiruOriginMark
miru_origins_mark(void)
{
	MiruOriginMark mark = {pushes.count, pushes.flushed, pushes.late,
						   pushes.current};

	return mark;
}

void
miru_origins_restore(MiruOriginMark mark)
{
	truncate_origins(mark.count);
	pushes.flushed = mark.flushed;
	pushes.late = mark.late;
	pushes.current = mark.current;
}

void
miru_origins_forget(void)
{
	memset(&pushes, 0, sizeof(pushes));
}

/* ----- changes by SQL ----- */

void
miru_origin_set_label(const char *text)
{
	label = text;
}

const char *
miru_origin_application(void)
{
	if (label != NULL)
		return label;
	return application_name != NULL && application_name[0] != '\0'
		? application_name
		: NULL;
}
