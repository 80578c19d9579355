/*
 * pull.c
 *     Reads a feed from a cursor on: pages of records in order of number.
 *
 * A page holds the records whose latest change lies above the cursor, each
 * once, as it stands.  Rows, state and head are read under one snapshot, the
 * caller's: a head read later than the records would make a device skip what
 * was committed in between.  So pull is STABLE, and nothing here takes a
 * snapshot of its own.
 *
 * Until a page says "complete" what the device has is no image of one moment:
 * a record changed meanwhile comes with a later page.  So a cursor of such a
 * page is good only while the feed still has the head that the page saw: in
 * an older backup, a record that the page left out as changed later may have
 * the number of its former change, below the cursor.  That head is "seen".
 *
 * A page costs the same wherever it begins: a scan of the index on (feed,
 * seq) from the cursor on, and for each record a look-up of its row.  Records
 * are read ahead in portions, whose rows are found together where they lie
 * close to each other (locate.c); what one needs is freed with it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "change_log.h"
#include "convert.h"
#include "cursor.h"
#include "delivery.h"
#include "epoch.h"
#include "errors.h"
#include "feed.h"
#include "fmgr.h"
#include "isolate.h"
#include "jsonb_build.h"
#include "key.h"
#include "miscadmin.h"
#include "object.h"
#include "reader.h"
#include "record.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "type.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mirusync_pull_0_2);
PG_FUNCTION_INFO_V1(mirusync_seq_before_0_2);

/* A page ends when its objects have reached this size. */
#define PAGE_BYTES (1024 * 1024)

/* Records are read ahead in portions of so many. */
#define PORTION_MAX 512

/* For fewer rows it does not pay to find their places together. */
#define LOCATE_MIN 32

/* The reading of a page's rows. */
typedef struct Reading
{
	MiruReader reader;
	char *collection; /* whose table the reader has open */
	Snapshot snapshot;
	MemoryContext context; /* for what is to last as long */
} Reading;

/* open_collection opens the table of a collection; false if it has none. */
static bool
open_collection(Reading *reading, const char *name)
{
	MiruReader *reader = &reading->reader;
	MiruCollection *collection;
	MiruRelation *rel;
	Relation heap;

	if (reader->rel != NULL && strcmp(reading->collection, name) == 0)
		return true;
	collection = miru_collection_get(name);
	if (collection == NULL)
		return false;
	reading->collection = pstrdup(name);
	if (reader->rel != NULL && reader->rel->relid == collection->relid)
		return true;
	miru_reader_close(reader);
	heap = try_table_open(collection->relid, AccessShareLock);
	if (heap == NULL)
		return false;
	/* Only now, under the lock, do its columns stay as they are. */
	rel = miru_relation_get(collection->relid);
	if (rel == NULL)
	{
		table_close(heap, AccessShareLock);
		return false;
	}
	miru_reader_open(reader, rel, heap);
	miru_reader_begin_looks(reader, reading->snapshot);
	return true;
}

/* A record whose key is to be found. */
typedef struct Parse
{
	MiruRelation *rel;
	const MiruRecordHead *record;
	Datum *key;
} Parse;

static void
parse(void *arg)
{
	Parse *wanted = arg;
	const MiruRecordHead *record = wanted->record;

	miru_key_parse(wanted->rel, record->feed, record->collection, record->id,
				   wanted->key);
}

/* document_key makes the key of a document, whose columns are of type text. */
static void
document_key(MiruRelation *rel, const MiruRecordHead *record, Datum *key)
{
	for (int i = 0; i < rel->key_count; i++)
	{
		const char *text = record->id;

		if (rel->keys[i].is_feed)
			text = record->feed;
		else if (rel->keys[i].is_collection)
			text = record->collection;
		key[i] = CStringGetTextDatum(text);
	}
}

/*
 * parse_key finds the key of a record; false if its id is of another form
 * than the key has now: the table was given another one.  Such a record is as
 * good as gone, and must not keep the rest of the feed from being read.
 */
static bool
parse_key(MiruRelation *rel, const MiruRecordHead *record, Datum *key)
{
	Parse wanted = {rel, record, key};
	ErrorData *error;
	int category;

	if (rel->data_attnum != 0)
	{
		document_key(rel, record, key);
		return true;
	}
	error = miru_run_isolated(parse, &wanted);
	if (error == NULL)
		return true;
	category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	if (category != ERRCODE_DATA_EXCEPTION &&
		category != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		ReThrowError(error);
	return false;
}

/*
 * await_partition waits until this backend knows the partitions as they were
 * when a record was written; false if there is nothing to wait for.  A
 * transaction that attached a partition shows its rows before the others are
 * told to look at the partitions again, and ATTACH PARTITION takes no lock on
 * the table that would keep us out meanwhile.  It keeps its transaction's lock.
 */
static bool
await_partition(MiruReader *reader, const MiruRecordHead *record)
{
	TransactionId writer = record->xmin;

	if (!reader->rel->is_partitioned || !TransactionIdIsNormal(writer) ||
		TransactionIdIsCurrentTransactionId(writer) || RecoveryInProgress())
		return false;
	XactLockTableWait(writer, NULL, NULL, XLTW_None);
	AcceptInvalidationMessages();
	return true;
}

/* A row whose object is to be made. */
typedef struct Make
{
	MiruReader *reader;
	HeapTuple row;
	Jsonb *object;
} Make;

static void
make(void *arg)
{
	Make *wanted = arg;

	wanted->object = miru_object_of_row(wanted->reader->rel, wanted->row,
										wanted->reader->desc);
}

/*
 * make_object returns the row as JSON.  Capture sees to it that there is one,
 * but ALTER TABLE writes unseen.  One such row must not keep the rest of the
 * feed from being read: NULL, and a warning.
 */
static Jsonb *
make_object(MiruReader *reader, const MiruRecordHead *record, HeapTuple row)
{
	Make wanted = {reader, row, NULL};
	ErrorData *error;

	if ((reader->rel->type_traits & MIRU_TYPE_REFUSES) == 0)
	{
		make(&wanted);
		return wanted.object;
	}
	error = miru_run_isolated(make, &wanted);
	if (error == NULL)
		return wanted.object;
	if (miru_is_transient(error->sqlerrcode))
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("record \"%s\" of collection \"%s\" is left out",
					record->id, record->collection),
			 errdetail("It has no JSON form: %s", error->message)));
	return NULL;
}

/* image_of returns the image of a tombstone, as far as its table is synced. */
static Jsonb *
image_of(const MiruRecordHead *record)
{
	MiruCollection *collection;

	Jsonb *image;

	if (record->image == NULL)
		return NULL;
	image = DatumGetJsonbP(PointerGetDatum(record->image));
	collection = miru_collection_get(record->collection);
	if (collection == NULL)
		return image;
	return miru_object_without_hidden(miru_relation_get(collection->relid),
									  image);
}

/* A record of the page, and what is known of its row. */
typedef struct Entry
{
	MiruRecordHead record;
	Datum *key;			   /* of its row; NULL: not known */
	ItemPointerData place; /* of its row; invalid: not known */
} Entry;

/* find_row returns the row of an entry, NULL if it has none. */
static HeapTuple
find_row(Reading *reading, const Entry *entry)
{
	MiruReader *reader = &reading->reader;
	const char *feed = entry->record.feed;
	Datum parsed[INDEX_MAX_KEYS];
	const Datum *key = entry->key;
	HeapTuple row = NULL;

	if (key == NULL)
	{
		if (!parse_key(reader->rel, &entry->record, parsed))
			return NULL;
		key = parsed;
	}
	if (ItemPointerIsValid(&entry->place))
		row = miru_reader_look_at(reader, entry->place, key, feed,
								  reading->snapshot);
	if (row == NULL)
		row = miru_reader_look(reader, key, feed, reading->snapshot);
	if (row == NULL && await_partition(reader, &entry->record))
		row = miru_reader_look(reader, key, feed, reading->snapshot);
	return row;
}

/* read_object returns an object that lasts until the next one is read. */
static Jsonb *
read_object(Reading *reading, const Entry *entry)
{
	const MiruRecordHead *record = &entry->record;
	MemoryContext caller;
	HeapTuple row;
	bool has_table;

	if (record->deleted)
		return image_of(record);
	caller = MemoryContextSwitchTo(reading->context);
	has_table = open_collection(reading, record->collection);
	MemoryContextSwitchTo(caller);
	if (!has_table)
		return NULL;
	row = find_row(reading, entry);
	return row == NULL ? NULL : make_object(&reading->reader, record, row);
}

static void
make_delivery(MiruDelivery *delivery, const MiruRecordHead *record,
			  Jsonb *object, const MiruPage *page, int64 after)
{
	memset(delivery, 0, sizeof(MiruDelivery));
	delivery->feed = unconstify(char *, record->feed);
	delivery->epoch = page->epoch;
	delivery->after = after;
	delivery->seq = record->seq;
	delivery->part_of = record->part_of;
	delivery->collection = unconstify(char *, record->collection);
	delivery->id = unconstify(char *, record->id);
	delivery->deleted = record->deleted;
	delivery->by_sql = record->by_sql;
	delivery->clock = record->clock;
	delivery->object = object;
}

static void
add_origins(MiruPage *page, const char *feed, Snapshot snapshot)
{
	MiruTable table = miru_table_open("change_log", false);
	ListCell *cell;

	foreach(cell, page->deliveries)
	{
		MiruDelivery *delivery = lfirst(cell);

		miru_change_log_origin(&table, feed, delivery->seq, snapshot,
							   &delivery->created, &delivery->type,
							   &delivery->session);
	}
	miru_table_close(&table);
}

/* Some of the records of a page, read ahead. */
typedef struct Portion
{
	MemoryContext context; /* of all of it */
	Entry *entries;
	int count;
} Portion;

/* read_portion reads records, at most "max" of them. */
static void
read_portion(Portion *portion, MiruScan *scan, TupleDesc desc, const char *feed,
			 int max)
{
	MemoryContext caller = CurrentMemoryContext;
	HeapTuple row;

	MemoryContextReset(portion->context);
	portion->entries = MemoryContextAlloc(portion->context,
										  max * sizeof(Entry));
	portion->count = 0;
	while (portion->count < max && (row = miru_scan_next(scan, true)) != NULL)
	{
		Entry *entry = &portion->entries[portion->count++];

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(portion->context);
		miru_record_peek(row, desc, feed, &entry->record);
		MemoryContextSwitchTo(caller);
		entry->key = NULL;
		ItemPointerSetInvalid(&entry->place);
	}
}

/* Entries of one collection whose keys are wanted. */
typedef struct Batch
{
	MiruRelation *rel;
	Entry **entries;
	Datum **keys;
	int count;
	int parsed; /* so many have theirs */
} Batch;

static void
parse_batch(void *arg)
{
	Batch *batch = arg;

	for (; batch->parsed < batch->count; batch->parsed++)
	{
		Entry *entry = batch->entries[batch->parsed];
		Datum *key = palloc(batch->rel->key_count * sizeof(Datum));
		Parse wanted = {batch->rel, &entry->record, key};

		if (batch->rel->data_attnum != 0)
			document_key(batch->rel, &entry->record, key);
		else
			parse(&wanted);
		batch->keys[batch->parsed] = entry->key = key;
	}
}

/* batch_of takes the live entries of the first one's collection. */
static Batch
batch_of(const Portion *portion)
{
	Batch batch = {0};
	const char *collection = NULL;

	batch.entries = palloc(portion->count * sizeof(Entry *));
	batch.keys = palloc(portion->count * sizeof(Datum *));
	for (int i = 0; i < portion->count; i++)
	{
		Entry *entry = &portion->entries[i];

		if (entry->record.deleted)
			continue;
		if (collection == NULL)
			collection = entry->record.collection;
		if (strcmp(entry->record.collection, collection) == 0)
			batch.entries[batch.count++] = entry;
	}
	return batch;
}

/*
 * locate finds out where rows are.  Most pages are of one collection; for what
 * is of others, or has no key, each row is looked up when its turn comes.
 */
static void
locate(Reading *reading, Portion *portion)
{
	MiruReader *reader = &reading->reader;
	MemoryContext caller = MemoryContextSwitchTo(portion->context);
	Batch batch = batch_of(portion);
	ItemPointerData *places;
	bool has_table = false;

	if (batch.count >= LOCATE_MIN)
	{
		MemoryContextSwitchTo(caller);
		has_table = open_collection(reading,
									batch.entries[0]->record.collection);
		MemoryContextSwitchTo(portion->context);
	}
	if (has_table && miru_reader_can_locate(reader))
	{
		batch.rel = reader->rel;
		if (reader->rel->data_attnum != 0)
			parse_batch(&batch);
		else
			(void) miru_run_isolated(parse_batch, &batch);
	}
	if (batch.parsed >= LOCATE_MIN)
	{
		places = palloc(batch.parsed * sizeof(ItemPointerData));
		miru_reader_locate(reader, batch.keys, batch.parsed, reading->snapshot,
						   places);
		for (int i = 0; i < batch.parsed; i++)
			batch.entries[i]->place = places[i];
	}
	MemoryContextSwitchTo(caller);
}

/* Where the reading of a page stands. */
typedef struct PageState
{
	MiruPage *page;
	int max;
	Size bytes;
	int count;
	int64 group;
	int64 delivered;
	MiruPageEach each;
	void *arg;
} PageState;

/* add_entry hands a record over; false if the page is full. */
static bool
add_entry(PageState *state, Reading *reading, const Entry *entry)
{
	const MiruRecordHead *record = &entry->record;
	MiruDelivery delivery;
	Jsonb *object;

	/* A group is never cut, so it may overrun the page. */
	if ((state->count >= state->max || state->bytes >= PAGE_BYTES) &&
		record->part_of != state->group)
		return false;
	object = read_object(reading, entry);
	/* A live record without a row: its table was detached. */
	if (object != NULL || record->deleted)
	{
		make_delivery(&delivery, record, object, state->page, state->delivered);
		delivery.is_document = !record->deleted &&
			reading->reader.rel->data_attnum != 0;
		state->each(state->arg, &delivery);
		state->delivered = record->seq;
	}
	state->bytes += object ? VARSIZE(object) : 0;
	state->group = record->part_of;
	state->page->upto = record->seq;
	state->count++;
	return true;
}

/* add_portion hands records over; what one needs is freed with it. */
static bool
add_portion(PageState *state, Reading *reading, const Portion *portion,
			MemoryContext context)
{
	bool is_full = false;

	for (int i = 0; i < portion->count && !is_full; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		is_full = !add_entry(state, reading, &portion->entries[i]);
		MemoryContextSwitchTo(reading->context);
	}
	return !is_full;
}

/*
 * read_records fills in how far the page goes, and hands each of its records
 * over; returns whether it stopped before the end.
 */
static bool
read_records(const char *feed, Snapshot snapshot, PageState *state)
{
	MiruTable table = miru_table_open("record", false);
	Reading reading = {.snapshot = snapshot, .context = CurrentMemoryContext};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync record",
												  ALLOCSET_DEFAULT_SIZES);
	Portion portion = {AllocSetContextCreate(CurrentMemoryContext,
											 "mirusync records",
											 ALLOCSET_DEFAULT_SIZES)};
	int max = Min(state->max + 1, PORTION_MAX);
	bool goes_on = true;
	MiruScan scan;

	state->page->upto = state->delivered = state->page->after;
	miru_scan_begin(&scan, &table, "record_seq", feed, state->page->after,
					snapshot);
	do
	{
		read_portion(&portion, &scan, RelationGetDescr(table.heap), feed, max);
		locate(&reading, &portion);
		goes_on = add_portion(state, &reading, &portion, context);
	} while (goes_on && portion.count == max);
	miru_reader_close(&reading.reader);
	miru_scan_end(&scan);
	miru_table_close(&table);
	MemoryContextDelete(portion.context);
	MemoryContextDelete(context);
	return !goes_on;
}

MiruPage *
miru_page_walk(const char *feed, const MiruCursor *cursor, int max,
			   MiruPageEach each, void *arg)
{
	Snapshot snapshot = GetActiveSnapshot();
	MiruPage *page = palloc0(sizeof(MiruPage));
	PageState reading = {.page = page, .max = max, .each = each, .arg = arg};
	MiruFeedState state;
	int settings;

	if (cursor->number < 0 || max < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cursor must be at least 0 and page size at least 1")));
	miru_feed_read(feed, snapshot, &state);
	page->head = state.head;
	page->epoch = state.epoch;
	page->start_over = Max(cursor->number, cursor->seen) >
			miru_feed_limit(feed, &state, cursor->epoch, snapshot) ||
		miru_feed_is_below(&state, cursor->epoch, cursor->number);
	page->after = page->start_over ? 0 : cursor->number;
	settings = miru_settings_fix();
	page->complete = !read_records(feed, snapshot, &reading);
	miru_settings_restore(settings);
	if (page->complete)
		page->upto = page->head;
	return page;
}

/* The deliveries of a page that is kept as a whole. */
typedef struct Kept
{
	MemoryContext context;
	List *deliveries;
} Kept;

static void
keep(void *arg, const MiruDelivery *delivery)
{
	Kept *kept = arg;
	MemoryContext caller = MemoryContextSwitchTo(kept->context);
	MiruDelivery *copy = palloc(sizeof(MiruDelivery));

	*copy = *delivery;
	copy->collection = pstrdup(delivery->collection);
	copy->id = pstrdup(delivery->id);
	copy->object = miru_object_copy(delivery->object);
	kept->deliveries = lappend(kept->deliveries, copy);
	MemoryContextSwitchTo(caller);
}

MiruPage *
miru_page_read(const char *feed, const MiruCursor *cursor, int max,
			   bool origins)
{
	Kept kept = {CurrentMemoryContext, NIL};
	MiruPage *page = miru_page_walk(feed, cursor, max, keep, &kept);

	page->deliveries = kept.deliveries;
	if (origins)
		add_origins(page, feed, GetActiveSnapshot());
	return page;
}

Jsonb *
miru_page_object(MiruRecord *record, Snapshot snapshot)
{
	Reading reading = {.snapshot = snapshot, .context = CurrentMemoryContext};
	Entry entry = {
		.record = {.feed = record->feed,
				   .collection = record->collection,
				   .id = record->id,
				   .deleted = record->deleted,
				   .image = (struct varlena *) record->image,
				   .xmin = HeapTupleHeaderGetXmin(record->row->t_data)}};
	int settings = miru_settings_fix();
	Jsonb *object;

	ItemPointerSetInvalid(&entry.place);
	object = miru_object_copy(read_object(&reading, &entry));

	miru_reader_close(&reading.reader);
	miru_settings_restore(settings);
	return object;
}

/* ----- pull() ----- */

static void
push_delivery(JsonbParseState **state, MiruDelivery *delivery)
{
	char clock[HLC_TEXT_SIZE];

	hlc_format(delivery->clock, clock);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	miru_build_integer(state, "seq", delivery->seq);
	miru_build_text(state, "kind", delivery->deleted ? "delete" : "put");
	miru_build_text(state, "collection", delivery->collection);
	miru_build_text(state, "id", delivery->id);
	miru_build_text(state, "clock", clock);
	if (!delivery->deleted)
	{
		miru_build_key(state, "fields");
		pushJsonbValue(state, WJB_VALUE, miru_value_of_jsonb(delivery->object));
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
page_to_jsonb(MiruPage *page, const char *feed)
{
	JsonbParseState *state;
	ListCell *cell;

	miru_build_begin(&state);
	miru_build_text(&state, "feed", feed);
	if (page->epoch != MIRU_NO_EPOCH)
		miru_build_integer(&state, "epoch", page->epoch);
	miru_build_integer(&state, "after", page->after);
	miru_build_integer(&state, "upto", page->upto);
	miru_build_integer(&state, "head", page->head);
	miru_build_bool(&state, "complete", page->complete);
	if (page->start_over)
		miru_build_bool(&state, "start_over", true);
	miru_build_key(&state, "changes");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, page->deliveries)
		push_delivery(&state, lfirst(cell));
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return miru_build_end(&state);
}

/*
 * mirusync_pull_0_2 is pull(user_id, feed, after, max, epoch, seen), a page of a
 * feed that the user may read.  Not strict: the last two may be null.
 */
Datum
mirusync_pull_0_2(PG_FUNCTION_ARGS)
{
	MiruCursor cursor = {MIRU_NO_EPOCH, 0, 0};
	char *user;
	char *feed;

	/* Version 0.1.0 passes fewer arguments. */
	miru_extension_check();
	for (int i = 0; i < 4; i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	user = text_to_cstring(PG_GETARG_TEXT_PP(0));
	feed = text_to_cstring(PG_GETARG_TEXT_PP(1));
	cursor.number = PG_GETARG_INT64(2);
	if (!PG_ARGISNULL(4))
		cursor.epoch = Max(PG_GETARG_INT32(4), 0);
	if (!PG_ARGISNULL(5))
		cursor.seen = PG_GETARG_INT64(5);
	if (strcmp(user, feed) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_FEED_FORBIDDEN),
				 errmsg("user may not read feed \"%s\"", feed)));
	PG_RETURN_JSONB_P(
		page_to_jsonb(miru_page_read(feed, &cursor, PG_GETARG_INT32(3), false),
					  feed));
}

/*
 * mirusync_seq_before_0_2 returns the packed cursor above which lies every record
 * that was changed at a time or after it.  Times of a feed never go back, so the
 * walk begins at the head and costs what it finds.
 */
Datum
mirusync_seq_before_0_2(PG_FUNCTION_ARGS)
{
	char *feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	Snapshot snapshot = GetActiveSnapshot();
	MiruTable table = miru_table_open("record", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	MiruScan scan;
	HeapTuple row;
	MiruFeedState state;
	int64 cursor = 0;

	miru_scan_begin(&scan, &table, "record_seq", feed, 0, snapshot);
	while ((row = miru_scan_next(&scan, false)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (miru_record_changed_at(row, desc) < at)
		{
			(void) miru_feed_read(feed, snapshot, &state);
			cursor = miru_cursor_pack(state.epoch, miru_record_seq(row, desc));
			break;
		}
	}
	miru_scan_end(&scan);
	miru_table_close(&table);
	PG_RETURN_INT64(cursor);
}
