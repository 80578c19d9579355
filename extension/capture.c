/*
 * capture.c
 *     Which rows this transaction changed.
 *
 * The trigger only notes: relation, primary key, feed before and after, the
 * former row, and the push that caused it.  What the change *is* gets decided
 * by flush.c, which reads each row as it stands at the end.  Believing the
 * trigger's own NEW would be wrong in two everyday cases: a user's AFTER
 * trigger that updates the row again makes us see the second version first,
 * and UPDATE t SET id = id + 1 passes through states in which rows seem to
 * vanish.
 *
 * Others note rows too: attach and backfill those that were there before,
 * rescan those that differ from what devices were told.
 *
 * The list of notes spills to disk (note_log.c), so a transaction may change
 * any number of rows.
 *
 * Subtransactions end in the reverse order of their beginning, so the notes
 * of one are always the tail of the list: at its begin we remember how long
 * the list was, and its abort cuts the list back to there.  A flush inside a
 * subtransaction (a push in a savepoint) is taken back by its abort as well,
 * so notes are then only marked as flushed, not removed.  A subtransaction
 * that began when the list was empty needs no mark: its abort empties it.
 *
 * Everything here ends with the top transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "errors.h"
#include "feed_rows.h"
#include "flush.h"
#include "guc.h"
#include "key.h"
#include "miscadmin.h"
#include "note_log.h"
#include "object.h"
#include "partition.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mirusync_capture_0_2);

/* What to return to when a subtransaction aborts. */
typedef struct Mark
{
	SubTransactionId id;
	int64 length;
	int64 flushed;
	CommandId flushed_command;
	bool numbering;
	MiruOriginMark origins;
} Mark;

/* All state of the transaction; zero when there is none. */
static struct
{
	MiruNoteLog *notes;
	int64 flushed;			   /* notes before it have become changes */
	CommandId flushed_command; /* commands before it have become changes */
	bool numbering;			   /* flush is at work */
	SubTransactionId unmarked; /* one that could not be marked */
	Mark *marks;
	int mark_count;
	int mark_allocated;
} transaction;

/* Where changed rows are: an attached table, or a partition of one. */
typedef struct Source
{
	MiruRelation *rel; /* the attached table */
	MiruLeaf *leaf;	   /* the partition, or NULL */
	Relation heap;	   /* what has the rows; NULL: there is none */
	TupleDesc desc;	   /* of rows in the attached table's form */
	ItemPointer place; /* of the row that is there now, or NULL */
} Source;

/* ----- notes ----- */

static int64
notes_length(void)
{
	return transaction.notes ? miru_note_log_length(transaction.notes) : 0;
}

/* check_not_numbering: nobody would number what flush causes to be written. */
static void
check_not_numbering(void)
{
	if (transaction.numbering)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_E_MODIFYING_SQL_DATA_NOT_PERMITTED),
				 errmsg("changes are being numbered"),
				 errdetail(
					 "A cast to json must not write to attached tables.")));
}

void
miru_notes_begin(int64 *from, int64 *to)
{
	check_not_numbering();
	*from = transaction.flushed;
	*to = notes_length();
	transaction.numbering = *from != *to;
}

MiruNote *
miru_note_read(int64 position, int64 *next)
{
	return miru_note_log_read(transaction.notes, position, next);
}

void
miru_notes_flushed(void)
{
	if (GetCurrentTransactionNestLevel() == 1 && transaction.notes != NULL)
		miru_note_log_truncate(transaction.notes, 0);
	transaction.flushed = notes_length();
	miru_origins_flushed();
	transaction.flushed_command = GetCurrentCommandId(true);
	transaction.numbering = false;
}

/*
 * was_rewritten tells whether a table got a new file in this transaction,
 * so that its rows look as if the transaction had made them.
 */
static bool
was_rewritten(Relation heap)
{
	return heap->rd_createSubid == InvalidSubTransactionId &&
		miru_relation_new_file(heap) != InvalidSubTransactionId;
}

/*
 * is_original tells whether a row was there when this transaction began, or
 * when it last flushed.  Of all notings of a key at most one has such a row:
 * where keys pass from row to row it need not be the first one.
 *
 * Where that cannot be known (the table was rewritten, or COPY FREEZE made
 * rows that look old) it says yes: then the first such row of a key counts,
 * and a feed that has no record of it is told nothing.
 */
static bool
is_original(Relation heap, HeapTuple row)
{
	HeapTupleHeader header = row->t_data;

	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)))
		return true;
	return HeapTupleHeaderGetCmin(header) < transaction.flushed_command ||
		was_rewritten(heap);
}

/* is_pushed_record tells whether a key is of the record being pushed. */
static bool
is_pushed_record(const MiruOrigin *origin, Oid relid, MinimalTuple key)
{
	return origin->relid == relid && origin->key->t_len == key->t_len &&
		memcmp(origin->key, key, key->t_len) == 0;
}

static uint32
text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static uint32
put_text(char *note, uint32 *length, const char *text)
{
	uint32 offset = *length;

	if (text == NULL)
		return 0;
	strcpy(note + offset, text);
	*length += strlen(text) + 1;
	return offset;
}

/*
 * append_note writes a note; "old" is the former row or NULL, "known" what
 * rescan knows of the record, or NULL.
 */
static void
append_note(const Source *source, MinimalTuple key, HeapTuple old,
			const char *old_feed, const char *new_feed, bool tombstone,
			const MiruKnown *known)
{
	MiruRelation *rel = source->rel;
	uint32 key_offset = MAXALIGN(sizeof(MiruNote));
	uint32 old_offset = key_offset + MAXALIGN(key->t_len);
	uint32 known_offset = old_offset + (old ? MAXALIGN(old->t_len) : 0);
	uint32 length = known_offset +
		(known && known->object ? VARSIZE(known->object) : 0);
	MiruNote *note = palloc0(length + text_size(old_feed) +
							 text_size(new_feed) +
							 text_size(known ? known->collection : NULL) +
							 text_size(known ? known->id : NULL));

	check_not_numbering();
	note->relid = rel->relid;
	note->shape = rel->shape;
	note->key_shape = rel->key_shape;
	note->leaf = source->leaf ? source->leaf->relid : InvalidOid;
	note->file = source->leaf ? miru_relation_file(source->heap) : rel->file;
	note->origin = miru_origin_current();
	note->direct = note->origin >= 0 &&
		is_pushed_record(miru_origin_get(note->origin), rel->relid, key);
	if (note->direct)
		miru_origin_noted(note->origin);
	note->tombstone = tombstone;
	if (source->place != NULL && new_feed != NULL)
		note->place = *source->place;
	else
		ItemPointerSetInvalid(&note->place);
	note->key_offset = key_offset;
	memcpy((char *) note + key_offset, key, key->t_len);
	if (old != NULL)
	{
		note->original = is_original(source->heap, old);
		note->old_offset = old_offset;
		note->old_length = old->t_len;
		memcpy((char *) note + old_offset, old->t_data, old->t_len);
	}
	if (known != NULL)
	{
		if (known->object != NULL)
		{
			note->known_offset = known_offset;
			memcpy((char *) note + known_offset, known->object,
				   VARSIZE(known->object));
		}
		note->collection_offset = put_text((char *) note, &length,
										   known->collection);
		note->id_offset = put_text((char *) note, &length, known->id);
	}
	note->old_feed_offset = put_text((char *) note, &length, old_feed);
	note->new_feed_offset = put_text((char *) note, &length, new_feed);
	note->length = length;

	if (transaction.notes == NULL)
		transaction.notes = miru_note_log_new((Size) miru_note_memory * 1024);
	miru_note_log_append(transaction.notes, note, length);
	pfree(note);
}

/* ----- the trigger ----- */

/* rows_identical tells whether an UPDATE left every byte as it was. */
static bool
rows_identical(HeapTuple old, HeapTuple new)
{
	Size old_start = offsetof(HeapTupleHeaderData, t_bits);

	if (old->t_len != new->t_len ||
		old->t_data->t_hoff != new->t_data->t_hoff ||
		HeapTupleHeaderGetNatts(old->t_data) !=
			HeapTupleHeaderGetNatts(new->t_data) ||
		HeapTupleHasNulls(old) != HeapTupleHasNulls(new))
		return false;
	return memcmp((char *) old->t_data + old_start,
				  (char *) new->t_data + old_start,
				  old->t_len - old_start) == 0;
}

static void
check_collection(const Source *source, HeapTuple row)
{
	MiruRelation *rel = source->rel;
	char *name = miru_row_collection(rel, row, source->desc);
	MiruCollection *collection = miru_collection_get(name);

	if (collection != NULL && collection->relid != rel->relid)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
				 errmsg("collection \"%s\" is not kept in table %s", name,
						rel->qualified_name)));
	if (collection == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_MIRU_UNKNOWN_COLLECTION),
			 errmsg("collection \"%s\" does not exist", name),
			 errhint("Create it with SELECT mirusync.create_collection(%s).",
					 quote_literal_cstr(name))));
}

/*
 * is_restoring tells whether a dump is being restored, by what pg_dump sets at
 * its beginning and nobody else sets together.  Triggers of other tables are
 * restored after their rows.  Those of the document store are there before, so
 * its rows would count as changes once more, besides the restored state.
 */
static bool
is_restoring(void)
{
	return !check_function_bodies &&
		(namespace_search_path[0] == '\0' ||
		 strcmp(namespace_search_path, "\"\"") == 0);
}

static bool
is_document_store(Relation heap)
{
	return strcmp(RelationGetRelationName(heap), "document") == 0 &&
		RelationGetNamespace(heap) == get_namespace_oid("mirusync", true);
}

static void
check_document(const Source *source, HeapTuple row)
{
	MiruRelation *rel = source->rel;
	Jsonb *document;

	if (rel->data_attnum == 0)
		return;
	document = miru_object_of_row(rel, row, source->desc);
	if (document == NULL || !JB_ROOT_IS_OBJECT(document))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"%s\" of table %s must be a JSON object",
						rel->data_name, rel->qualified_name)));
}

static void
note_insert(const Source *source, HeapTuple row)
{
	MinimalTuple key = miru_key_of_row(source->rel, row, source->desc);
	char *feed = miru_row_feed(source->rel, row, source->desc);

	miru_key_check(source->rel, key, feed);
	append_note(source, key, NULL, NULL, feed, false, NULL);
}

static void
note_delete(const Source *source, HeapTuple row)
{
	append_note(source, miru_key_of_row(source->rel, row, source->desc), row,
				miru_row_feed(source->rel, row, source->desc), NULL, false,
				NULL);
}

static void
note_update(const Source *source, HeapTuple old, HeapTuple new)
{
	MiruRelation *rel = source->rel;
	TupleDesc desc = source->desc;
	MinimalTuple old_key;
	MinimalTuple new_key;

	/* A pushed change counts even if it writes what is there: its clock. */
	if (miru_origin_current() < 0 && rows_identical(old, new))
		return;
	old_key = miru_key_of_row(rel, old, desc);
	new_key = miru_key_of_row(rel, new, desc);
	if (old_key->t_len == new_key->t_len &&
		memcmp(old_key, new_key, old_key->t_len) == 0)
	{
		char *feed = miru_row_feed(rel, new, desc);

		miru_key_check(rel, new_key, feed);
		append_note(source, old_key, old, miru_row_feed(rel, old, desc), feed,
					false, NULL);
	}
	else
	{
		note_delete(source, old);
		note_insert(source, new);
	}
}

/* find_source finds the attached table that a table's rows belong to. */
static void
find_source(Source *source, Relation heap)
{
	Oid relid = RelationGetRelid(heap);

	source->heap = heap;
	source->desc = RelationGetDescr(heap);
	source->leaf = NULL;
	source->place = NULL;
	if (heap->rd_rel->relispartition)
	{
		source->leaf = miru_leaf_get(relid);
		if (source->leaf != NULL)
			relid = source->leaf->root;
	}
	source->rel = miru_relation_get(relid);
	if (source->rel == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not attached",
					RelationGetRelationName(heap)),
			 errhint(
				 "Triggers of mirusync are made by mirusync.attach() and removed by mirusync.detach().")));
	if (source->rel->is_partitioned)
		source->desc = source->rel->desc;
	else
		source->leaf = NULL;
}

/* source_row brings a row into the attached table's form. */
static HeapTuple
source_row(const Source *source, HeapTuple row)
{
	if (source->leaf == NULL)
		return row;
	return miru_leaf_row(source->leaf, row, RelationGetDescr(source->heap),
						 source->desc);
}

/*
 * note_rows notes every row that stands, as new or as gone.  What is gone
 * takes its values stored out of line along, so they are copied into the note.
 */
static void
note_rows(const Source *source, bool gone)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(source->heap, snapshot, 0, NULL);
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(per_row);
	HeapTuple row;

	while ((row = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		row = source_row(source, row);
		if (gone && HeapTupleHasExternal(row))
			row = toast_flatten_tuple(row, source->desc);
		if (gone)
			note_delete(source, row);
		else
		{
			miru_object_check(source->rel, NULL, row, source->desc);
			note_insert(source, row);
		}
		MemoryContextReset(per_row);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(per_row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/* note_trigger notes what a row trigger was called for. */
static void
note_trigger(const Source *source, TriggerData *trigger)
{
	HeapTuple row = source_row(source, trigger->tg_trigtuple);

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		check_document(source, row);
		check_collection(source, row);
		miru_object_check(source->rel, NULL, row, source->desc);
		note_insert(source, row);
	}
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		HeapTuple new = source_row(source, trigger->tg_newtuple);

		check_document(source, new);
		check_collection(source, new);
		miru_object_check(source->rel, row, new, source->desc);
		note_update(source, row, new);
	}
	else
		note_delete(source, row);
}

/* mirusync_capture_0_2 is the trigger of every attached table. */
Datum
mirusync_capture_0_2(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerEvent event;
	Source source;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"capture\" was not called as a trigger")));
	event = trigger->tg_event;
	/* Before we look at the registry, which may be an older version's. */
	if (TRIGGER_FIRED_FOR_ROW(event) && is_restoring() &&
		is_document_store(trigger->tg_relation))
		return PointerGetDatum(NULL);
	find_source(&source, trigger->tg_relation);

	if (TRIGGER_FIRED_BY_TRUNCATE(event) && TRIGGER_FIRED_BEFORE(event))
	{
		note_rows(&source, true);
		return PointerGetDatum(NULL);
	}
	if (!TRIGGER_FIRED_AFTER(event) || !TRIGGER_FIRED_FOR_ROW(event))
		ereport(
			ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg(
				 "function \"capture\" must be fired after each row, or before truncate")));
	if (TRIGGER_FIRED_BY_INSERT(event))
		source.place = &trigger->tg_trigtuple->t_self;
	else if (TRIGGER_FIRED_BY_UPDATE(event))
		source.place = &trigger->tg_newtuple->t_self;
	note_trigger(&source, trigger);
	return PointerGetDatum(NULL);
}

void
miru_capture_existing(Oid relid)
{
	ListCell *cell;

	foreach(cell, miru_partition_leaves(relid, AccessShareLock))
	{
		Relation heap = table_open(lfirst_oid(cell), NoLock);
		Source source;

		find_source(&source, heap);
		note_rows(&source, false);
		table_close(heap, NoLock);
	}
}

void
miru_capture_leaving(Relation heap, MiruRelation *rel)
{
	Source source;

	source.rel = rel;
	source.leaf = miru_leaf_read(heap, rel);
	source.heap = heap;
	source.desc = rel->desc;
	source.place = NULL;
	note_rows(&source, true);
}

/* source_of_rows says where a scan is. */
static Source
source_of_rows(const MiruIndexRows *rows)
{
	Source source = {rows->rel, rows->leaf, rows->heap, rows->desc, NULL};

	return source;
}

int64
miru_capture_feed(MiruRelation *rel, const char *feed)
{
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync backfill",
												  ALLOCSET_DEFAULT_SIZES);
	MiruFeedRows rows;
	HeapTuple row;
	int64 count = 0;

	miru_feed_rows_begin(&rows, rel, feed);
	while ((row = miru_feed_rows_next(&rows)) != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(per_row);
		Source source = source_of_rows(&rows.rows);

		miru_object_check(rel, NULL, row, source.desc);
		note_insert(&source, row);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(per_row);
		count++;
	}
	miru_feed_rows_end(&rows);
	MemoryContextDelete(per_row);
	return count;
}

void
miru_capture_row(const MiruFeedRows *rows, HeapTuple row, const Jsonb *object)
{
	MiruRelation *rel = rows->rel;
	Source source = source_of_rows(&rows->rows);
	MiruKnown known = {object, NULL, NULL};
	MinimalTuple key = miru_key_of_row(rel, row, source.desc);

	miru_object_check(rel, NULL, row, source.desc);
	miru_key_check(rel, key, rows->feed);
	append_note(&source, key, NULL, NULL, rows->feed, false,
				object ? &known : NULL);
}

/*
 * gone_key makes up a key for a record that has no row: its id may be none
 * that the key's type takes today.  It tells one such record from another, and
 * from any row, because it has another number of columns than the key.
 */
static MinimalTuple
gone_key(MiruRelation *rel, const char *feed, const MiruKnown *known)
{
	int columns = rel->key_count == 3 ? 4 : 3;
	TupleDesc desc = CreateTemplateTupleDesc(columns);
	Datum values[4];
	bool nulls[4] = {false};

	for (int i = 0; i < columns; i++)
	{
		TupleDescInitEntry(desc, i + 1, NULL, TEXTOID, -1, 0);
		values[i] = CStringGetTextDatum(i == 0		 ? feed
											: i == 1 ? known->collection
													 : known->id);
	}
	return heap_form_minimal_tuple(desc, values, nulls);
}

void
miru_capture_gone(MiruRelation *rel, const char *feed, const MiruKnown *known)
{
	Source none = {rel, NULL, NULL, NULL, NULL};

	append_note(&none, gone_key(rel, feed, known), NULL, feed, NULL, true,
				known);
}

void
miru_capture_tombstone(MiruRelation *rel, int origin)
{
	Source none = {rel, NULL, NULL, NULL, NULL};

	miru_origin_set(origin);
	append_note(&none, miru_origin_get(origin)->key, NULL,
				miru_origin_get(origin)->feed, NULL, true, NULL);
	miru_origin_set(-1);
}

/* ----- transactions ----- */

static void
push_mark(SubTransactionId id)
{
	Mark *mark;

	/* Should this throw, its abort has nothing to take back. */
	transaction.unmarked = id;
	if (transaction.mark_count == transaction.mark_allocated)
	{
		int wanted = Max(8, transaction.mark_allocated * 2);

		if (transaction.marks == NULL)
			transaction.marks = MemoryContextAlloc(TopTransactionContext,
												   wanted * sizeof(Mark));
		else
			transaction.marks = repalloc(transaction.marks,
										 wanted * sizeof(Mark));
		transaction.mark_allocated = wanted;
	}
	mark = &transaction.marks[transaction.mark_count++];
	mark->id = id;
	mark->length = notes_length();
	mark->flushed = transaction.flushed;
	mark->flushed_command = transaction.flushed_command;
	mark->origins = miru_origins_mark();
	mark->numbering = transaction.numbering;
	transaction.unmarked = InvalidSubTransactionId;
}

/* pop_mark removes the mark of a subtransaction; zeroes if it has none. */
static Mark
pop_mark(SubTransactionId id)
{
	Mark none = {0};

	if (transaction.mark_count > 0 &&
		transaction.marks[transaction.mark_count - 1].id == id)
		return transaction.marks[--transaction.mark_count];
	return none;
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId id,
				  SubTransactionId parent, void *arg)
{
	Mark mark;

	switch (event)
	{
		case SUBXACT_EVENT_START_SUB:
			if (transaction.notes != NULL || miru_origins_any())
				push_mark(id);
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			pop_mark(id);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			if (transaction.unmarked == id)
				break;
			mark = pop_mark(id);
			if (transaction.notes != NULL)
				miru_note_log_truncate(transaction.notes, mark.length);
			transaction.flushed = mark.flushed;
			transaction.flushed_command = mark.flushed_command;
			miru_origins_restore(mark.origins);
			transaction.numbering = mark.numbering;
			break;
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* Nobody would hear a ring at the time of PREPARE. */
			miru_flush_before_commit(event == XACT_EVENT_PRE_COMMIT);
			if (transaction.notes != NULL)
				miru_note_log_close(transaction.notes);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			memset(&transaction, 0, sizeof(transaction));
			miru_origins_forget();
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

void
miru_capture_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}
