/*
 * flush.c
 *     Turns the rows that a transaction changed into numbered changes.
 *
 * Runs at the end of a push, whose verdicts need the numbers, and otherwise
 * before the transaction commits or is prepared, after the last statement and
 * deferred trigger.  Steps:
 *
 *  1. Fold the notes to one entry a row (fold.c).  Notes of aborted
 *     subtransactions are gone already.
 *  2. Find the epoch, then lock the rows of all feeds concerned, in order.
 *     Nothing else is locked afterwards, so two flushes cannot wait for each
 *     other, and from here to the end of the transaction nobody else numbers a
 *     change in these feeds.
 *  3. Read each row as it now stands, by its primary key.  There: put or
 *     patch; gone: delete; as before: nothing.  Write history and state under
 *     the next number.  A feed that does not have the row's collection yet
 *     gets none (backfill.c).
 *  4. Store the heads.
 *
 * Reads are of what stands now, whatever the transaction's own snapshot says:
 * nobody else can change the rows that we wrote, nor the state of records
 * whose feed we have locked.  SnapshotSelf says just that, and leaves no
 * predicate locks behind, which would fail SERIALIZABLE neighbours for nothing.
 *
 * The commit is made synchronous: with synchronous_commit = off a crash
 * could forget numbers that a reader has seen, and give them out again.
 *
 * Invariant: a transaction that fails here fails as a whole.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "apply.h"
#include "batch.h"
#include "capture.h"
#include "catalog/pg_class.h"
#include "change_log.h"
#include "convert.h"
#include "doorbell.h"
#include "element_set.h"
#include "epoch.h"
#include "feed.h"
#include "flush.h"
#include "fold.h"
#include "key.h"
#include "miscadmin.h"
#include "object.h"
#include "reader.h"
#include "record.h"
#include "serving.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Everything one flush works with. */
typedef struct Flush
{
	bool collect;
	MemoryContext result_context;
	List *deliveries;
	MiruFold fold;
	MiruFeed *feeds; /* in the order of fold.feeds */
	MiruTable feed_table;
	MiruTable record_table;
	MiruTable log_table;
	TimestampTz now;
	MiruReader reader;	   /* of the application's table read last */
	MemoryContext per_row; /* or per feed; reset after each */
} Flush;

/* One row while it is being turned into changes. */
typedef struct Row
{
	MiruRelation *rel;
	TupleDesc desc;
	char *collection;
	char *id;
	HeapTuple old; /* as the transaction found it, or NULL */
	char *old_feed;
	Jsonb *known;  /* in place of old: what devices were last told, or NULL */
	HeapTuple now; /* as it stands, or NULL */
	char *new_feed;
	bool gone; /* rescan found that its devices have it, and there is no row */
	MiruOrigin *direct; /* push of this very record, or NULL */
	MiruOrigin *cause;	/* push that caused it, or NULL */
	bool mixed;
	int64 previous; /* number of its former change in the feed; 0: none */
} Row;

/* ----- step 2: lock ----- */

static void
lock_feeds(Flush *flush)
{
	MemoryContext old_context;
	int32 epoch;

	/* The epoch after the table: new_epoch() waits for those that have it. */
	flush->feed_table = miru_table_open("feed", true);
	epoch = miru_epoch_current();
	flush->feeds = MemoryContextAllocHuge(CurrentMemoryContext,
										  Max(flush->fold.feed_count, 1) *
											  sizeof(MiruFeed));
	old_context = MemoryContextSwitchTo(flush->per_row);
	for (int i = 0; i < flush->fold.feed_count; i++)
	{
		miru_feed_lock(&flush->feed_table, &flush->feeds[i],
					   flush->fold.feeds[i], epoch, flush->now);
		MemoryContextReset(flush->per_row);
	}
	MemoryContextSwitchTo(old_context);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static MiruFeed *
find_feed(Flush *flush, const char *name)
{
	char **found = bsearch(&name, flush->fold.feeds, flush->fold.feed_count,
						   sizeof(char *), compare_names);

	if (found == NULL)
		elog(ERROR, "feed of a changed row was not locked");
	return &flush->feeds[found - flush->fold.feeds];
}

/* ----- step 3: number ----- */

static void
open_table(Flush *flush, MiruRelation *rel)
{
	if (flush->reader.rel == rel)
		return;
	miru_reader_close(&flush->reader);
	miru_reader_open(&flush->reader, rel, NULL);
}

/* has_file tells whether a note's row can still have values out of line. */
static bool
has_file(MiruNote *note, MiruRelation *rel)
{
	HeapTuple tuple;
	Oid file;

	if (!OidIsValid(note->leaf))
		return note->file == rel->file;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(note->leaf));
	if (!HeapTupleIsValid(tuple))
		return false;
	file = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	ReleaseSysCache(tuple);
	return note->file == file;
}

/* old_row returns the former row that a note holds, or NULL. */
static HeapTuple
old_row(MiruNote *note, MiruRelation *rel)
{
	HeapTuple row;

	/*
	 * A row noted before the table's columns changed cannot be read with
	 * today's descriptor, and values stored out of line have gone with the
	 * table's file.  Without it every field counts as changed.
	 */
	if (note->old_offset == 0 || note->shape != rel->shape)
		return NULL;
	row = palloc0(sizeof(HeapTupleData));
	row->t_len = note->old_length;
	row->t_data = (HeapTupleHeader) ((char *) note + note->old_offset);
	row->t_tableOid = rel->relid;
	if (HeapTupleHasExternal(row) && !has_file(note, rel))
		return NULL;
	return row;
}

/* check_key_shape sees that a noted key can still be read. */
static void
check_key_shape(MiruNote *note, MiruRelation *rel)
{
	if (note->key_shape != rel->key_shape)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg(
				 "primary key of table %s was changed in a transaction that changed its rows",
				 rel->qualified_name),
			 errhint("Change the key in a transaction of its own.")));
}

/*
 * is_row_of tells whether a row has the key of a note.  Indexes find equal
 * keys; only the same will do (numeric 1.0 and 1.00 are two record ids).
 */
static bool
is_row_of(Flush *flush, MiruNote *note, HeapTuple row)
{
	MinimalTuple key = miru_note_key(note);
	MinimalTuple found = miru_key_of_row(flush->reader.rel, row,
										 flush->reader.desc);

	return found->t_len == key->t_len && memcmp(found, key, key->t_len) == 0;
}

/* current_row reads the row as it stands: mostly as the note saw it written. */
static HeapTuple
current_row(Flush *flush, MiruNote *note, const Datum *values)
{
	HeapTuple row;

	if (ItemPointerIsValid(&note->place))
	{
		row = miru_reader_fetch_at(&flush->reader, note->leaf, &note->place);
		if (row != NULL && is_row_of(flush, note, row))
			return row;
	}
	row = miru_reader_fetch(&flush->reader, note->leaf, values, SnapshotSelf);
	return row != NULL && is_row_of(flush, note, row) ? row : NULL;
}

static char *
collection_of(MiruRelation *rel, const Datum *key_values)
{
	for (int i = 0; i < rel->key_count; i++)
	{
		if (rel->keys[i].is_collection)
			return TextDatumGetCString(key_values[i]);
	}
	return rel->collection;
}

/* load_gone gathers what rescan noted of a record that has no row. */
static void
load_gone(MiruNote *note, Row *row)
{
	row->gone = true;
	row->collection = miru_note_text(note, note->collection_offset);
	row->id = miru_note_text(note, note->id_offset);
	row->old_feed = miru_note_text(note, note->old_feed_offset);
}

/*
 * hidden_original returns the note with the former row where none is marked
 * as original, and sets the row's former content.  A version of a row is not
 * from before the transaction although its content is, if an UPDATE that
 * changed nothing, or ALTER TABLE, wrote the row anew.  Whether there was such
 * a row its feed knows, if not what it held where another one came first.
 */
static MiruNote *
hidden_original(Flush *flush, MiruTouched *touched, Row *row)
{
	int64 next;
	MiruNote *note;
	char *feed;
	MiruRecord *record;

	if (touched->former < 0)
		return NULL;
	note = miru_note_read(touched->former, &next);
	feed = miru_note_text(note, note->old_feed_offset);
	if (feed == NULL)
		return NULL;
	record = miru_record_find(&flush->record_table, feed, row->collection,
							  row->id, SnapshotSelf);
	if (record == NULL || record->deleted)
		return NULL;
	if (!touched->came)
		row->old = old_row(note, row->rel);
	return note;
}

/* load_row gathers what is known of a touched row; false: nothing to do. */
static bool
load_row(Flush *flush, MiruTouched *touched, Row *row)
{
	int64 next;
	MiruNote *last = miru_note_read(touched->last, &next);
	MiruNote *original = NULL;
	Datum values[INDEX_MAX_KEYS];

	if (touched->original == touched->last)
		original = last;
	else if (touched->original >= 0)
		original = miru_note_read(touched->original, &next);
	memset(row, 0, sizeof(Row));
	row->rel = miru_relation_get(last->relid);
	if (row->rel == NULL)
		return false; /* detached in this transaction */
	if (last->known_offset != 0)
		row->known = (Jsonb *) ((char *) last + last->known_offset);
	if (last->id_offset != 0)
	{
		load_gone(last, row);
		return true;
	}
	check_key_shape(last, row->rel);
	open_table(flush, row->rel);
	row->desc = flush->reader.desc;
	miru_key_values(row->rel, miru_note_key(last), values);
	row->collection = collection_of(row->rel, values);
	row->id = miru_key_id(row->rel, values);
	if (original != NULL)
		row->old = old_row(original, row->rel);
	else
		original = hidden_original(flush, touched, row);
	if (original == NULL && last->tombstone)
		original = last;
	if (original != NULL)
		row->old_feed = miru_note_text(original, original->old_feed_offset);
	row->now = current_row(flush, last, values);
	if (row->now != NULL)
		row->new_feed = miru_row_feed(row->rel, row->now, row->desc);
	/* A delete of what the feed has not: another feed's row is none of it. */
	if (last->tombstone && row->new_feed != NULL &&
		strcmp(row->new_feed, row->old_feed) != 0)
	{
		row->now = NULL;
		row->new_feed = NULL;
	}
	if (touched->direct >= 0)
		row->direct = miru_origin_get(touched->direct);
	if (touched->cause >= 0)
		row->cause = miru_origin_get(touched->cause);
	row->mixed = touched->mixed;
	return true;
}

/* next_number takes the feed's next number and finds the change's group. */
static int64
next_number(MiruFeed *feed, const MiruOrigin *cause)
{
	int group = cause ? cause->group : -1;

	(void) miru_feed_next_number(feed);
	if (group < 0 || group != feed->group)
		feed->group_start = feed->head;
	feed->group = group;
	return feed->head;
}

static int64
wall_clock_ms(TimestampTz now)
{
	return (now - SetEpochTimestamp()) / 1000;
}

/*
 * stamp_changed stamps the changed fields that the push of this record, if
 * there is one, did not write itself.  No clock goes back.
 */
static void
stamp_changed(const Row *row, MiruStamps *stamps, List *changes,
			  MiruStamp stamp)
{
	MiruCollection *collection = miru_collection_get(row->collection);

	ListCell *cell;

	foreach(cell, changes)
	{
		MiruFieldChange *change = lfirst(cell);
		const MiruStamp *stored;
		MiruStamp later = stamp;

		/* A field that the table has not any more has no stamp. */
		if (change->key == NULL)
			continue;
		/* What a push did to a set it has stamped itself. */
		if (collection != NULL &&
			miru_collection_rule(collection, change->key) == MIRU_RULE_SET)
		{
			if (stamp.device[0] == '\0')
				miru_set_stamp(stamps, change, stamp);
			continue;
		}
		stored = miru_stamps_get(stamps, change->key);
		if (stored->seq == 0)
			continue;
		later.clock = Max(stamp.clock, stored->clock);
		miru_stamps_set(stamps, change->key, later);
	}
}

/*
 * new_stamps works out who wrote what.  A push says it for the fields that it
 * wrote, and what triggers and generated columns did about it is its doing
 * too: stamped by the server's clock, such a field would make the record look
 * newer than any device's next change.  The rest was written by SQL, at a
 * clock that is later than anything the record has seen.
 */
static MiruStamps *
new_stamps(Flush *flush, Row *row, MiruRecord *before, List *changes,
		   bool whole)
{
	Hlc newest = before ? before->clock : 0;
	MiruStamps *stamps;
	MiruStamp by_sql = {0, 0, ""};

	if (row->direct != NULL && !row->mixed)
	{
		stamps = miru_stamps_copy(row->direct->stamps);
		stamp_changed(row, stamps, changes, row->direct->stamp);
		return stamps;
	}
	if (row->direct != NULL)
	{
		stamps = miru_stamps_copy(row->direct->stamps);
		newest = Max(newest, miru_stamps_newest(stamps));
		whole = false;
	}
	else if (!whole)
		stamps = before->stamps;
	else
		stamps = palloc(sizeof(MiruStamps));

	by_sql.clock = hlc_tick(newest, wall_clock_ms(flush->now));
	if (whole)
		miru_stamps_init(stamps, by_sql);
	else
		stamp_changed(row, stamps, changes, by_sql);
	return stamps;
}

/* told_verdict returns what history says became of what was pushed. */
static const char *
told_verdict(const Row *row, const MiruDelivery *delivery)
{
	if (delivery == NULL || row->direct->delivery != delivery)
		return miru_verdict_name(MIRU_APPLIED);
	return miru_verdict_name(miru_apply_told(row->direct->change, delivery));
}

static void
append_history(Flush *flush, Row *row, MiruFeed *feed, MiruRecord *record,
			   const MiruDelivery *delivery, const char *kind, Jsonb *from,
			   Jsonb *to)
{
	MiruLogEntry entry = {0};
	MiruOrigin *cause = row->direct ? row->direct : row->cause;

	entry.feed = record->feed;
	entry.seq = record->seq;
	entry.part_of = record->part_of;
	entry.collection = record->collection;
	entry.id = record->id;
	entry.kind = kind;
	entry.clock = record->clock;
	entry.at = record->changed_at;
	entry.from = from;
	entry.to = to;
	entry.previous = row->previous;
	if (feed->chained)
		entry.chain = feed->hash;
	entry.base = MIRU_BASE_UNKNOWN;
	if (cause != NULL)
	{
		entry.user = cause->user;
		entry.device = cause->device;
	}
	else
		entry.application = miru_origin_application();
	if (row->direct != NULL)
	{
		entry.type = row->direct->type;
		entry.rule = row->direct->rule;
		entry.field_rules = row->direct->field_rules;
		entry.skew_ms = row->direct->skew_ms;
		entry.base = row->direct->base;
		entry.number = row->direct->number;
		entry.verdict = told_verdict(row, delivery);
		if (!row->mixed)
			entry.session = row->direct->session;
	}
	miru_change_log_append(&flush->log_table, &entry);
}

/*
 * deliver hands the change to the caller of flush, and returns what is to be
 * told of it; NULL if there is no such caller.
 */
static MiruDelivery *
deliver(Flush *flush, Row *row, MiruFeed *feed, MiruRecord *record,
		bool created, List *changes, Jsonb *changed)
{
	MemoryContext old_context;
	MiruDelivery *delivery;
	Jsonb *object = record->image;
	bool is_pushed = row->direct != NULL &&
		strcmp(row->direct->feed, record->feed) == 0;

	/* A trigger may have moved what was pushed to another feed. */
	if (is_pushed)
		row->direct->seq = record->seq;
	if (!flush->collect)
		return NULL;
	if (!record->deleted)
		object = miru_object_of_row(row->rel, row->now, row->desc);

	old_context = MemoryContextSwitchTo(flush->result_context);
	delivery = miru_delivery_make(record, object, changes, changed);
	delivery->epoch = feed->epoch;
	delivery->created = created;
	delivery->is_document = row->rel->data_attnum != 0;
	if (is_pushed)
	{
		if (row->direct->type != NULL)
			delivery->type = pstrdup(row->direct->type);
		if (!row->mixed && row->direct->session != NULL)
			delivery->session = pstrdup(row->direct->session);
		row->direct->delivery = delivery;
	}
	flush->deliveries = lappend(flush->deliveries, delivery);
	MemoryContextSwitchTo(old_context);
	return delivery;
}

/* store writes a change under the feed's next number. */
static void
store(Flush *flush, Row *row, MiruFeed *feed, MiruRecord *before,
	  MiruRecord *record)
{
	record->feed = feed->name;
	record->collection = row->collection;
	record->id = row->id;
	record->seq = next_number(feed, row->cause);
	record->part_of = feed->group_start;
	record->changed_at = feed->changed_at;
	record->clock = miru_stamps_newest(record->stamps);
	if (before != NULL)
		record->clock = Max(record->clock, before->clock);
	record->row = before ? before->row : NULL;
	miru_stamps_number(record->stamps, record->seq);
	if (record->former != NULL)
		miru_stamps_number(record->former, record->seq);
	miru_record_store(&flush->record_table, record);
}

/*
 * find_before finds the record's state, and sees to it that a push was merged
 * with that very state.  Where it had a row to lock it was.  Where there was
 * none, somebody may have created or deleted the record meanwhile: the push is
 * to be done again, and then knows of it.
 */
static MiruRecord *
find_before(Flush *flush, Row *row, MiruFeed *feed)
{
	MiruRecord *before = miru_record_find(&flush->record_table, feed->name,
										  row->collection, row->id,
										  SnapshotSelf);

	row->previous = before ? before->seq : 0;
	if (row->direct != NULL && strcmp(row->direct->feed, feed->name) == 0 &&
		miru_origin_merged_with(row->direct) != row->previous)
		ereport(
			ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg(
				 "record \"%s\" of collection \"%s\" was changed while being pushed",
				 row->id, row->collection)));
	return before;
}

/* number_present numbers a row that is there: a put or a patch. */
static void
number_present(Flush *flush, Row *row)
{
	MiruFeed *feed = find_feed(flush, row->new_feed);
	MiruRecord *before = find_before(flush, row, feed);
	bool created = before == NULL || before->deleted;
	HeapTuple old = row->old;
	MiruRecord record = {0};
	List *changes;
	List *since = NIL;
	MiruDelivery *delivery;
	Jsonb *changed;

	if (created || row->old_feed == NULL ||
		strcmp(row->old_feed, row->new_feed) != 0)
		old = NULL;
	if (row->known != NULL && !created)
		changes = miru_object_diff_known(row->rel, row->known, row->now,
										 row->desc);
	else
		changes = miru_object_diff(row->rel, old, row->now, row->desc);
	if (!created && changes == NIL && row->direct == NULL)
		return;
	/* A row that came back has most of its fields from its last image. */
	if (created && before != NULL && row->direct != NULL &&
		row->direct->revives && before->image != NULL)
		since = miru_object_diff_known(row->rel, before->image, row->now,
									   row->desc);
	record.stamps = new_stamps(flush, row, before, since ? since : changes,
							   created);
	store(flush, row, feed, before, &record);
	changed = miru_object_side(changes, true);
	delivery = deliver(flush, row, feed, &record, created, changes, changed);
	append_history(flush, row, feed, &record, delivery,
				   created ? "put" : "patch",
				   old == NULL && row->known == NULL
					   ? NULL
					   : miru_object_side(changes, false),
				   changed);
}

/* last_image returns what a tombstone keeps: as pushed, or the former row. */
static Jsonb *
last_image(Row *row)
{
	if (row->direct != NULL && row->direct->image != NULL)
		return row->direct->image;
	if (row->direct != NULL && row->direct->deleted_row != NULL)
		return row->direct->deleted_row;
	if (row->old != NULL)
		return miru_object_of_row(row->rel, row->old, row->desc);
	return row->known;
}

/* former_stamps returns the stamps that a tombstone's image has. */
static MiruStamps *
former_stamps(Row *row, MiruRecord *before)
{
	if (row->direct != NULL && row->direct->former != NULL)
		return miru_stamps_copy(row->direct->former);
	if (before == NULL)
		return NULL;
	return before->deleted ? before->former : before->stamps;
}

/* number_gone numbers a record that its feed no longer has: a delete. */
static void
number_gone(Flush *flush, Row *row, const char *feed_name)
{
	MiruFeed *feed = find_feed(flush, feed_name);
	MiruRecord *before = find_before(flush, row, feed);
	bool pushed = row->direct != NULL && row->direct->deleted;
	MiruRecord record = {0};
	MiruDelivery *delivery;
	Jsonb *from = row->known;

	/*
	 * Came and went in this transaction, and nobody asked for a tombstone.
	 * What rescan misses devices have, although detach() forgot its state.
	 */
	if (!pushed && (before != NULL ? before->deleted : !row->gone))
		return;
	record.deleted = true;
	record.image = last_image(row);
	record.former = former_stamps(row, before);
	if (pushed)
		record.stamps = miru_stamps_copy(row->direct->stamps);
	else
		record.stamps = new_stamps(flush, row, before, NIL, true);
	store(flush, row, feed, before, &record);
	if (row->old != NULL)
		from = miru_object_of_row(row->rel, row->old, row->desc);
	delivery = deliver(flush, row, feed, &record, false, NIL, NULL);
	append_history(flush, row, feed, &record, delivery, "delete", from, NULL);
}

/*
 * is_served tells whether a feed has the row's collection.  A feed that
 * backfill has not come to gets all rows at once when it does.
 */
static bool
is_served(Row *row, const char *feed)
{
	return !row->rel->backfilling ||
		miru_serving_is_served(row->collection, feed, true);
}

static void
number_row(Flush *flush, MiruTouched *touched)
{
	const char *gone_from = NULL;
	Row row;

	if (!load_row(flush, touched, &row))
		return;
	if (row.old_feed != NULL &&
		(row.new_feed == NULL || strcmp(row.old_feed, row.new_feed) != 0))
		gone_from = row.old_feed;
	else if (row.old_feed == NULL && row.new_feed == NULL && row.direct != NULL)
		gone_from = row.direct->feed;
	if (gone_from != NULL && is_served(&row, gone_from))
		number_gone(flush, &row, gone_from);
	if (row.new_feed != NULL && is_served(&row, row.new_feed))
		number_present(flush, &row);
}

static void
number_rows(Flush *flush)
{
	MemoryContext old_context;
	MiruTouched touched;
	int settings = miru_settings_fix();

	flush->record_table = miru_table_open("record", true);
	flush->log_table = miru_table_open("change_log", true);
	PushActiveSnapshot(GetLatestSnapshot());
	old_context = MemoryContextSwitchTo(flush->per_row);
	while (miru_fold_next(&flush->fold, &touched))
	{
		CHECK_FOR_INTERRUPTS();
		number_row(flush, &touched);
		MemoryContextReset(flush->per_row);
	}
	MemoryContextSwitchTo(old_context);
	miru_reader_close(&flush->reader);
	PopActiveSnapshot();
	miru_settings_restore(settings);
	miru_table_close(&flush->log_table);
	miru_table_close(&flush->record_table);
}

/* ----- step 4: heads ----- */

static void
store_feeds(Flush *flush, bool ring)
{
	MemoryContext old_context = MemoryContextSwitchTo(flush->per_row);

	for (int i = 0; i < flush->fold.feed_count; i++)
	{
		MiruFeed *feed = &flush->feeds[i];

		miru_feed_store(&flush->feed_table, feed);
		if (ring && feed->head != feed->locked_head)
			miru_doorbell_note(feed->name);
		MemoryContextReset(flush->per_row);
	}
	MemoryContextSwitchTo(old_context);
	miru_table_close(&flush->feed_table);
}

List *
miru_flush(bool collect, bool ring)
{
	Flush flush = {0};
	MemoryContext context, old_context;
	int64 from, to;

	miru_notes_begin(&from, &to);
	if (from == to)
		return NIL;
	/* Nothing is left to number in when the extension was dropped. */
	if (!miru_is_installed())
	{
		miru_notes_flushed();
		return NIL;
	}
	ForceSyncCommit();
	/* The last statement's rows must be visible to the snapshot below. */
	CommandCounterIncrement();

	flush.collect = collect;
	flush.result_context = CurrentMemoryContext;
	flush.now = GetCurrentTimestamp();
	context = AllocSetContextCreate(CurrentMemoryContext, "mirusync flush",
									ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	flush.per_row = AllocSetContextCreate(CurrentMemoryContext,
										  "mirusync flush row",
										  ALLOCSET_DEFAULT_SIZES);
	/* For functions of types, and values out of line; at pre-commit there is none. */
	PushActiveSnapshot(GetLatestSnapshot());
	miru_fold(&flush.fold, from, to);
	lock_feeds(&flush);
	/* The time of the numbers is not before that of those before them. */
	flush.now = GetCurrentTimestamp();
	number_rows(&flush);
	miru_fold_end(&flush.fold);
	store_feeds(&flush, ring);
	PopActiveSnapshot();
	miru_notes_flushed();
	CommandCounterIncrement();
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return flush.deliveries;
}

void
miru_flush_before_commit(bool ring)
{
	miru_flush(false, ring);
	if (ring)
		miru_doorbell_ring();
}
