/*
 * fold.c
 *     The rows that a transaction touched, each once.
 *
 * A row may have been noted any number of times.  What flush needs of it is
 * the note that has its content before the transaction, the last one (whose
 * change it is, and its place in the order), and the pushes that had a hand
 * in it.  The notes themselves may be on disk; here a row costs about 60
 * bytes of memory.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "capture.h"
#include "common/hashfn.h"
#include "fold.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Index of the touched rows by hash of relation and key. */
typedef struct TouchedIndexEntry
{
	uint64 hash;
	int touched;
	char status;
} TouchedIndexEntry;

#define SH_PREFIX			 touched_index
#define SH_ELEMENT_TYPE		 TouchedIndexEntry
#define SH_KEY_TYPE			 uint64
#define SH_KEY				 hash
#define SH_HASH_KEY(tb, key) ((uint32) (key))
#define SH_EQUAL(tb, a, b)	 ((a) == (b))
#define SH_SCOPE			 static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static uint64
hash_row(MiruNote *note)
{
	MinimalTuple key = miru_note_key(note);

	return hash_bytes_extended((unsigned char *) key, key->t_len, note->relid);
}

static bool
is_same_row(MiruNote *a, MiruNote *b)
{
	MinimalTuple a_key = miru_note_key(a);
	MinimalTuple b_key = miru_note_key(b);

	return a->relid == b->relid && a_key->t_len == b_key->t_len &&
		memcmp(a_key, b_key, a_key->t_len) == 0;
}

static MiruTouched *
add_touched(MiruFold *fold, int64 position)
{
	MiruTouched *touched;

	if (fold->count == fold->allocated)
	{
		fold->allocated = Max(16, fold->allocated * 2);
		if (fold->touched == NULL)
			fold->touched = palloc(fold->allocated * sizeof(MiruTouched));
		else
			fold->touched = repalloc_huge(fold->touched,
										  fold->allocated *
											  sizeof(MiruTouched));
	}
	touched = &fold->touched[fold->count++];
	touched->first = touched->last = position;
	touched->original = -1;
	touched->direct = touched->cause = -1;
	touched->mixed = false;
	return touched;
}

/*
 * find_touched returns the entry of the note's row, adding it if it is new.
 * Two rows of one hash are told apart by their keys; the second one moves to
 * the next free hash value.
 */
static MiruTouched *
find_touched(MiruFold *fold, touched_index_hash *index, MiruNote *note,
			 int64 position)
{
	uint64 hash = hash_row(note);

	for (;; hash++)
	{
		bool found;
		int64 next;
		TouchedIndexEntry *entry = touched_index_insert(index, hash, &found);
		MiruTouched *touched;
		MiruNote *first;
		bool same;

		if (!found)
		{
			entry->touched = fold->count;
			return add_touched(fold, position);
		}
		touched = &fold->touched[entry->touched];
		first = miru_note_read(touched->first, &next);
		same = is_same_row(first, note);
		pfree(first);
		if (same)
			return touched;
	}
}

static bool
is_same_session(int a, int b)
{
	const char *a_session = miru_origin_get(a)->session;
	const char *b_session = miru_origin_get(b)->session;

	return a_session != NULL && b_session != NULL &&
		strcmp(a_session, b_session) == 0;
}

static void
add_feed(MiruFold *fold, const char *name)
{
	if (name == NULL)
		return;
	/* Neighbouring notes mostly are of one feed. */
	if (fold->feed_count > 0 &&
		strcmp(fold->feeds[fold->feed_count - 1], name) == 0)
		return;
	if (fold->feed_count == fold->feed_allocated)
	{
		fold->feed_allocated = Max(16, fold->feed_allocated * 2);
		if (fold->feeds == NULL)
			fold->feeds = palloc(fold->feed_allocated * sizeof(char *));
		else
			fold->feeds = repalloc_huge(fold->feeds,
										fold->feed_allocated * sizeof(char *));
	}
	fold->feeds[fold->feed_count++] = pstrdup(name);
}

static void
fold_note(MiruFold *fold, touched_index_hash *index, MiruNote *note,
		  int64 position)
{
	MiruTouched *touched = find_touched(fold, index, note, position);
	bool is_new = touched->first == position;

	/*
	 * The change is the session's own, and not sent back to it, only if
	 * nobody else had a hand in it.
	 */
	if (!note->direct)
		touched->mixed = true;
	else if (!is_new && touched->direct >= 0 &&
			 !is_same_session(touched->direct, note->origin))
		touched->mixed = true;
	if (note->direct && note->origin != touched->direct)
	{
		if (touched->direct >= 0)
			miru_origin_get(touched->direct)->next = note->origin;
		touched->direct = note->origin;
	}
	if (note->origin >= 0)
		touched->cause = note->origin;
	/* Rows that only seem original come later than the one that is. */
	if (note->original && touched->original < 0)
		touched->original = position;
	touched->last = position;
	add_feed(fold, miru_note_text(note, note->old_feed_offset));
	add_feed(fold, miru_note_text(note, note->new_feed_offset));
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static int
compare_touched(const void *a, const void *b)
{
	int64 x = ((const MiruTouched *) a)->last;
	int64 y = ((const MiruTouched *) b)->last;

	return (x > y) - (x < y);
}

static void
sort_feeds(MiruFold *fold)
{
	int distinct = 0;

	qsort(fold->feeds, fold->feed_count, sizeof(char *), compare_names);
	for (int i = 0; i < fold->feed_count; i++)
	{
		if (i == 0 || strcmp(fold->feeds[i], fold->feeds[distinct - 1]) != 0)
			fold->feeds[distinct++] = fold->feeds[i];
	}
	fold->feed_count = distinct;
}

void
miru_fold(MiruFold *fold, int64 from, int64 to)
{
	touched_index_hash *index;
	int64 next;

	memset(fold, 0, sizeof(MiruFold));
	index = touched_index_create(CurrentMemoryContext, 16, NULL);
	for (int64 position = from; position < to; position = next)
	{
		MiruNote *note = miru_note_read(position, &next);

		CHECK_FOR_INTERRUPTS();
		fold_note(fold, index, note, position);
		pfree(note);
	}
	touched_index_destroy(index);
	if (fold->count > 1)
		qsort(fold->touched, fold->count, sizeof(MiruTouched), compare_touched);
	sort_feeds(fold);
}
