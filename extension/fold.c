/*
 * fold.c
 *     The rows that a transaction touched, each once.
 *
 * A row may have been noted any number of times.  What flush needs of it is
 * the note that has its content before the transaction, the last one (whose
 * change it is, and its place in the order), and the pushes that had a hand
 * in it.
 *
 * There are two ways, with one result.  Notes that fit into
 * mirusync.note_memory are folded in memory, with a hash table by relation and
 * key: it takes about 100 bytes a row, no more than the notes themselves.  Of
 * more notes, what folding needs is sorted by row, on disk where necessary, so
 * that those of one row come one after the other; the rows are then sorted by
 * their last note, since children must not be numbered before their parents.
 * Each of the two sorts gets half of mirusync.note_memory.
 *
 * The names of the feeds stay in memory, each once: flush keeps a head for
 * each of them anyway.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "capture.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "fold.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

/* What one note says about its row. */
typedef struct Mention
{
	int64 position;
	int origin;
	bool direct;
	bool original;
	bool has_old;
} Mention;

static uint64
hash_row(MiruNote *note)
{
	MinimalTuple key = miru_note_key(note);

	return hash_bytes_extended((unsigned char *) key, key->t_len, note->relid);
}

static bool
is_same_session(int a, int b)
{
	const char *a_session = miru_origin_get(a)->session;
	const char *b_session = miru_origin_get(b)->session;

	return a_session != NULL && b_session != NULL &&
		strcmp(a_session, b_session) == 0;
}

static Mention
mention_of(const MiruNote *note, int64 position)
{
	Mention mention;

	mention.position = position;
	mention.origin = note->origin;
	mention.direct = note->direct;
	mention.original = note->original;
	mention.has_old = note->old_offset != 0;
	return mention;
}

static void
init_touched(MiruTouched *touched)
{
	touched->original = touched->former = touched->last = -1;
	touched->direct = touched->cause = -1;
	touched->mixed = touched->came = false;
}

/* touch adds what one more note says; notes come in order of position. */
static void
touch(MiruTouched *touched, const Mention *mention)
{
	/*
	 * The change is the session's own, and not sent back to it, only if
	 * nobody else had a hand in it.
	 */
	if (!mention->direct)
		touched->mixed = true;
	else if (touched->direct >= 0 &&
			 !is_same_session(touched->direct, mention->origin))
		touched->mixed = true;
	if (mention->direct && mention->origin != touched->direct)
	{
		if (touched->direct >= 0)
			miru_origin_get(touched->direct)->next = mention->origin;
		touched->direct = mention->origin;
	}
	if (mention->origin >= 0)
		touched->cause = mention->origin;
	/* Rows that only seem original come later than the one that is. */
	if (mention->original && touched->original < 0)
		touched->original = mention->position;
	if (touched->last < 0)
		touched->came = !mention->has_old;
	if (mention->has_old && touched->former < 0)
		touched->former = mention->position;
	touched->last = mention->position;
}

/* ----- names of feeds ----- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* sort_feeds brings the names in order and drops those that come again. */
static void
sort_feeds(MiruFold *fold)
{
	int distinct = 0;

	if (fold->feed_count > 1)
		qsort(fold->feeds, fold->feed_count, sizeof(char *), compare_names);
	for (int i = 0; i < fold->feed_count; i++)
	{
		if (distinct > 0 &&
			strcmp(fold->feeds[i], fold->feeds[distinct - 1]) == 0)
			pfree(fold->feeds[i]);
		else
			fold->feeds[distinct++] = fold->feeds[i];
	}
	fold->feed_count = distinct;
}

/*
 * make_room_for_feed drops repetitions before it takes more memory, so the
 * list is at most twice as long as there are feeds.
 */
static void
make_room_for_feed(MiruFold *fold)
{
	if (fold->feeds == NULL)
	{
		fold->feed_allocated = 64;
		fold->feeds = palloc(fold->feed_allocated * sizeof(char *));
		return;
	}
	sort_feeds(fold);
	if (fold->feed_count <= fold->feed_allocated / 2)
		return;
	fold->feed_allocated *= 2;
	fold->feeds = repalloc_huge(fold->feeds,
								fold->feed_allocated * sizeof(char *));
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
		make_room_for_feed(fold);
	fold->feeds[fold->feed_count++] = pstrdup(name);
}

static void
add_feeds(MiruFold *fold, MiruNote *note)
{
	add_feed(fold, miru_note_text(note, note->old_feed_offset));
	add_feed(fold, miru_note_text(note, note->new_feed_offset));
}

/* ----- few notes: in memory ----- */

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

static bool
is_same_row(MiruNote *a, MiruNote *b)
{
	MinimalTuple a_key = miru_note_key(a);
	MinimalTuple b_key = miru_note_key(b);

	return a->relid == b->relid && a_key->t_len == b_key->t_len &&
		memcmp(a_key, b_key, a_key->t_len) == 0;
}

static MiruTouched *
add_touched(MiruFold *fold)
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
	init_touched(touched);
	return touched;
}

/*
 * find_touched returns the entry of the note's row, adding it if it is new.
 * Two rows of one hash are told apart by their keys; the second one moves to
 * the next free hash value.
 */
static MiruTouched *
find_touched(MiruFold *fold, touched_index_hash *index, MiruNote *note)
{
	uint64 hash = hash_row(note);

	for (;; hash++)
	{
		bool found;
		int64 next;
		TouchedIndexEntry *entry = touched_index_insert(index, hash, &found);
		MiruTouched *touched;
		MiruNote *last;
		bool same;

		if (!found)
		{
			entry->touched = fold->count;
			return add_touched(fold);
		}
		touched = &fold->touched[entry->touched];
		last = miru_note_read(touched->last, &next);
		same = is_same_row(last, note);
		pfree(last);
		if (same)
			return touched;
	}
}

static int
compare_touched(const void *a, const void *b)
{
	int64 x = ((const MiruTouched *) a)->last;
	int64 y = ((const MiruTouched *) b)->last;

	return (x > y) - (x < y);
}

static void
fold_in_memory(MiruFold *fold, int64 from, int64 to)
{
	touched_index_hash *index = touched_index_create(CurrentMemoryContext, 16,
													 NULL);
	int64 next;

	for (int64 position = from; position < to; position = next)
	{
		MiruNote *note = miru_note_read(position, &next);
		Mention mention = mention_of(note, position);

		CHECK_FOR_INTERRUPTS();
		touch(find_touched(fold, index, note), &mention);
		add_feeds(fold, note);
		pfree(note);
	}
	touched_index_destroy(index);
	if (fold->count > 1)
		qsort(fold->touched, fold->count, sizeof(MiruTouched), compare_touched);
}

/* ----- many notes: sorted ----- */

/*
 * What is sorted has the columns (int8, bytea, int8, bytea).  Mentions: hash
 * of the row, relation and key, position, Mention.  Touched rows: position of
 * the last note, MiruTouched.
 */
enum
{
	SORTED_HASH = 0,
	SORTED_ROW,
	SORTED_POSITION,
	SORTED_MENTION,
	MENTION_COLUMNS,

	SORTED_LAST = 0,
	SORTED_TOUCHED,
	TOUCHED_COLUMNS
};

/* Columns of either kind have the types int8 and bytea in turn. */
static TupleDesc
sorted_desc(int columns)
{
	TupleDesc desc = CreateTemplateTupleDesc(columns);

	for (int i = 0; i < columns; i++)
		TupleDescInitEntry(desc, i + 1, NULL, i % 2 ? BYTEAOID : INT8OID, -1,
						   0);
	return desc;
}

/* begin_sort sorts by the first "keys" columns. */
static Tuplesortstate *
begin_sort(TupleDesc desc, int keys)
{
	AttrNumber columns[MENTION_COLUMNS];
	Oid operators[MENTION_COLUMNS];
	Oid collations[MENTION_COLUMNS] = {InvalidOid};
	bool nulls_first[MENTION_COLUMNS] = {false};

	for (int i = 0; i < keys; i++)
	{
		columns[i] = i + 1;
		operators[i] = lookup_type_cache(TupleDescAttr(desc, i)->atttypid,
										 TYPECACHE_LT_OPR)
						   ->lt_opr;
	}
	return tuplesort_begin_heap(desc, keys, columns, operators, collations,
								nulls_first, miru_note_memory / 2, NULL,
								TUPLESORT_NONE);
}

static bytea *
make_bytea(const void *bytes, Size length)
{
	return cstring_to_text_with_len(bytes, length);
}

/* row_name returns what tells a row from all others. */
static bytea *
row_name(MiruNote *note)
{
	MinimalTuple key = miru_note_key(note);
	bytea *name = palloc(VARHDRSZ + sizeof(Oid) + key->t_len);

	SET_VARSIZE(name, VARHDRSZ + sizeof(Oid) + key->t_len);
	memcpy(VARDATA(name), &note->relid, sizeof(Oid));
	memcpy(VARDATA(name) + sizeof(Oid), key, key->t_len);
	return name;
}

static void
put_values(Tuplesortstate *sort, TupleTableSlot *slot, const Datum *values)
{
	int columns = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, columns * sizeof(Datum));
	memset(slot->tts_isnull, 0, columns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort, slot);
}

/* sort_mentions sorts what all notes say by row, then by position. */
static Tuplesortstate *
sort_mentions(MiruFold *fold, TupleDesc desc, int64 from, int64 to)
{
	Tuplesortstate *sort = begin_sort(desc, SORTED_POSITION + 1);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	MemoryContext per_note = AllocSetContextCreate(CurrentMemoryContext,
												   "mirusync fold note",
												   ALLOCSET_DEFAULT_SIZES);
	int64 next;

	for (int64 position = from; position < to; position = next)
	{
		MemoryContext old_context = MemoryContextSwitchTo(per_note);
		MiruNote *note = miru_note_read(position, &next);
		Mention mention = mention_of(note, position);
		Datum values[MENTION_COLUMNS];

		CHECK_FOR_INTERRUPTS();
		values[SORTED_HASH] = Int64GetDatum((int64) hash_row(note));
		values[SORTED_ROW] = PointerGetDatum(row_name(note));
		values[SORTED_POSITION] = Int64GetDatum(position);
		values[SORTED_MENTION] = PointerGetDatum(
			make_bytea(&mention, sizeof(mention)));
		put_values(sort, slot, values);
		MemoryContextSwitchTo(old_context);
		add_feeds(fold, note);
		MemoryContextReset(per_note);
	}
	MemoryContextDelete(per_note);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_performsort(sort);
	return sort;
}

/* get_struct copies a struct that was sorted as a bytea. */
static void
get_struct(TupleTableSlot *slot, int column, void *to, Size size)
{
	bool isnull;
	bytea *bytes = DatumGetByteaPP(slot_getattr(slot, column + 1, &isnull));

	Assert(VARSIZE_ANY_EXHDR(bytes) == size);
	memcpy(to, VARDATA_ANY(bytes), size);
}

/*
 * is_next_row tells whether a mention is of another row than the one before,
 * whose name is in "row".
 */
static bool
is_next_row(TupleTableSlot *slot, StringInfo row)
{
	bool isnull;
	bytea *name = DatumGetByteaPP(slot_getattr(slot, SORTED_ROW + 1, &isnull));
	int length = VARSIZE_ANY_EXHDR(name);

	if (row->len == length && memcmp(row->data, VARDATA_ANY(name), length) == 0)
		return false;
	resetStringInfo(row);
	appendBinaryStringInfo(row, VARDATA_ANY(name), length);
	return true;
}

static void
put_touched(MiruFold *fold, TupleTableSlot *slot, const MiruTouched *touched)
{
	Datum values[TOUCHED_COLUMNS];
	bytea *bytes = make_bytea(touched, sizeof(MiruTouched));

	values[SORTED_LAST] = Int64GetDatum(touched->last);
	values[SORTED_TOUCHED] = PointerGetDatum(bytes);
	put_values(fold->sorted, slot, values);
	pfree(bytes);
}

static void
fold_sorted(MiruFold *fold, int64 from, int64 to)
{
	TupleDesc desc = sorted_desc(MENTION_COLUMNS);
	TupleDesc touched_desc = sorted_desc(TOUCHED_COLUMNS);
	Tuplesortstate *mentions = sort_mentions(fold, desc, from, to);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *out = MakeSingleTupleTableSlot(touched_desc,
												   &TTSOpsVirtual);
	MiruTouched touched;
	StringInfoData row;

	fold->sorted = begin_sort(touched_desc, SORTED_LAST + 1);
	initStringInfo(&row);
	while (tuplesort_gettupleslot(mentions, true, false, slot, NULL))
	{
		Mention mention;
		bool is_first = row.len == 0;

		CHECK_FOR_INTERRUPTS();
		get_struct(slot, SORTED_MENTION, &mention, sizeof(mention));
		if (is_next_row(slot, &row))
		{
			if (!is_first)
				put_touched(fold, out, &touched);
			init_touched(&touched);
		}
		touch(&touched, &mention);
	}
	put_touched(fold, out, &touched);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(out);
	tuplesort_end(mentions);
	tuplesort_performsort(fold->sorted);
	fold->slot = MakeSingleTupleTableSlot(touched_desc, &TTSOpsMinimalTuple);
}

/* ----- both ----- */

void
miru_fold(MiruFold *fold, int64 from, int64 to)
{
	memset(fold, 0, sizeof(MiruFold));
	if (to - from <= (int64) miru_note_memory * 1024)
		fold_in_memory(fold, from, to);
	else
		fold_sorted(fold, from, to);
	sort_feeds(fold);
}

bool
miru_fold_next(MiruFold *fold, MiruTouched *touched)
{
	if (fold->sorted == NULL)
	{
		if (fold->next == fold->count)
			return false;
		*touched = fold->touched[fold->next++];
		return true;
	}
	if (!tuplesort_gettupleslot(fold->sorted, true, false, fold->slot, NULL))
		return false;
	get_struct(fold->slot, SORTED_TOUCHED, touched, sizeof(MiruTouched));
	return true;
}

void
miru_fold_end(MiruFold *fold)
{
	if (fold->sorted == NULL)
		return;
	ExecDropSingleTupleTableSlot(fold->slot);
	tuplesort_end(fold->sorted);
}
