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
 * seq) from the cursor on, and for each record a look-up of its row.
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

	if (record->image == NULL)
		return NULL;
	collection = miru_collection_get(record->collection);
	if (collection == NULL)
		return record->image;
	return miru_object_without_hidden(miru_relation_get(collection->relid),
									  record->image);
}

/* read_object returns an object that lasts until the next one is read. */
static Jsonb *
read_object(Reading *reading, const MiruRecordHead *record)
{
	MiruReader *reader = &reading->reader;
	Datum key[INDEX_MAX_KEYS];
	HeapTuple row;
	MemoryContext caller;
	bool has_table;

	if (record->deleted)
		return image_of(record);
	caller = MemoryContextSwitchTo(reading->context);
	has_table = open_collection(reading, record->collection);
	MemoryContextSwitchTo(caller);
	if (!has_table || !parse_key(reader->rel, record, key))
		return NULL;
	row = miru_reader_look(reader, key, record->feed, reading->snapshot);
	if (row == NULL && await_partition(reader, record))
		row = miru_reader_look(reader, key, record->feed, reading->snapshot);
	if (row == NULL)
		return NULL;
	return make_object(reader, record, row);
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

/*
 * read_records fills in how far the page goes, and hands each of its records
 * over; returns whether it stopped before the end.  A page has up to thousands
 * of records, so what one needs is freed with it.
 */
static bool
read_records(MiruPage *page, const char *feed, int max, Snapshot snapshot,
			 MiruPageEach each, void *arg)
{
	MiruTable table = miru_table_open("record", false);
	TupleDesc desc = RelationGetDescr(table.heap);
	Reading reading = {.snapshot = snapshot, .context = CurrentMemoryContext};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mirusync record",
												  ALLOCSET_DEFAULT_SIZES);
	MiruScan scan;
	HeapTuple row;
	Size bytes = 0;
	int count = 0;
	int64 group = 0;
	int64 delivered = page->after;
	bool full = false;

	page->upto = page->after;
	miru_scan_begin(&scan, &table, "record_seq", feed, page->after, snapshot);
	/* Where the scan goes on, its own memory context is the current one. */
	while ((row = miru_scan_next(&scan, true)) != NULL)
	{
		MiruRecordHead record;
		Jsonb *object;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		miru_record_peek(row, desc, feed, &record);
		/* A group is never cut, so it may overrun the page. */
		full = (count >= max || bytes >= PAGE_BYTES) && record.part_of != group;
		if (full)
			break;
		object = read_object(&reading, &record);
		/* A live record without a row: its table was detached. */
		if (object != NULL || record.deleted)
		{
			MiruDelivery delivery;

			make_delivery(&delivery, &record, object, page, delivered);
			delivery.is_document = !record.deleted &&
				reading.reader.rel->data_attnum != 0;
			each(arg, &delivery);
			delivered = record.seq;
		}
		bytes += object ? VARSIZE(object) : 0;
		group = record.part_of;
		page->upto = record.seq;
		count++;
		MemoryContextSwitchTo(reading.context);
	}
	MemoryContextSwitchTo(reading.context);
	miru_reader_close(&reading.reader);
	miru_scan_end(&scan);
	miru_table_close(&table);
	MemoryContextDelete(context);
	return full;
}

MiruPage *
miru_page_walk(const char *feed, const MiruCursor *cursor, int max,
			   MiruPageEach each, void *arg)
{
	Snapshot snapshot = GetActiveSnapshot();
	MiruPage *page = palloc0(sizeof(MiruPage));
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
	page->complete = !read_records(page, feed, max, snapshot, each, arg);
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
	MiruRecordHead head = {.feed = record->feed,
						   .collection = record->collection,
						   .id = record->id,
						   .deleted = record->deleted,
						   .image = record->image,
						   .xmin = HeapTupleHeaderGetXmin(record->row->t_data)};
	int settings = miru_settings_fix();
	Jsonb *object = miru_object_copy(read_object(&reading, &head));

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
