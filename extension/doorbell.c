/*
 * doorbell.c
 *     NOTIFY that says "this feed has moved".
 *
 * A ring is a hint: the log is the truth, and a lost ring costs latency only,
 * because relays poll the heads of the feeds that they serve now and then.
 *
 * Any role may LISTEN, so a ring carries no number, no name and no data, but
 * a hash of the feed under a key that only relays can ask for: the first 8
 * bytes of SHA-256(key || feed) as 16 hexadecimal digits.  Its first byte,
 * modulo the number of shards, chooses the channel: a fixed few rather than
 * one a user, because a listener's channels are searched one by one.  The
 * payload is a list of such hashes.
 *
 * A commit that notifies holds a lock of the whole cluster until it is
 * durable, which costs most of the throughput of concurrent writers.  So
 * relays never ring in a push's own transaction, but afterwards with ring(),
 * and flush asks for a ring only for writers that are not relays.  Theirs is
 * rung by the worker (worker.c), which gets the hashes through the board once
 * they have committed; where no worker is at work they notify before they
 * commit.  A payload "*" says that more feeds have moved than could be kept:
 * whoever hears it looks after all of his.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "board.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "doorbell.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "table.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mirusync_ring_0_2);
PG_FUNCTION_INFO_V1(mirusync_doorbell_hash_0_2);

#define HASH_BYTES 8

/* The payload that names all feeds. */
#define ALL_FEEDS "*"

/* NOTIFY takes payloads of less than 8000 bytes. */
#define PAYLOAD_MAX 7900

#define KEY_MAX		64

/* The key is read once; it never changes while the extension exists. */
static unsigned char key[KEY_MAX];
static int key_length;

/* Feeds to be rung when this transaction commits, in its context. */
static List *noted;

/* Their hashes, when it is for the worker to ring. */
static uint64 *left_to_worker;
static int left_count;

/* Whether this transaction had to ring, since no worker was at work. */
static bool missed_worker;

static void
load_key(void)
{
	MiruTable table = miru_table_open("instance", false);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(table.heap, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(table.heap, NULL);
	bool isnull;
	bytea *stored;

	if (!table_scan_getnextslot(scan, ForwardScanDirection, slot))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table mirusync.instance has no row"),
				 errhint("Drop and create the extension.")));
	stored = DatumGetByteaPP(slot_getattr(slot, 2, &isnull));
	key_length = Min((int) VARSIZE_ANY_EXHDR(stored), KEY_MAX);
	memcpy(key, VARDATA_ANY(stored), key_length);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	miru_table_close(&table);
}

static uint64
hash_feed(const char *feed)
{
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);
	unsigned char digest[PG_SHA256_DIGEST_LENGTH];
	uint64 hash;

	StaticAssertStmt(sizeof(hash) == HASH_BYTES, "a hash is 8 bytes");
	if (key_length == 0)
		load_key();
	if (sha == NULL || pg_cryptohash_init(sha) < 0 ||
		pg_cryptohash_update(sha, key, key_length) < 0 ||
		pg_cryptohash_update(sha, (const uint8 *) feed, strlen(feed)) < 0 ||
		pg_cryptohash_final(sha, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-256");
	pg_cryptohash_free(sha);
	memcpy(&hash, digest, HASH_BYTES);
	return hash;
}

static uint64 *
hash_feeds(List *feeds)
{
	uint64 *hashes = palloc(list_length(feeds) * sizeof(uint64));
	int i = 0;
	ListCell *cell;

	foreach(cell, feeds)
		hashes[i++] = hash_feed(lfirst(cell));
	return hashes;
}

static void
append_hex(StringInfo text, uint64 hash)
{
	const unsigned char *bytes = (const unsigned char *) &hash;

	for (int i = 0; i < HASH_BYTES; i++)
		appendStringInfo(text, "%02x", bytes[i]);
}

static void
notify(int shard, StringInfo payload)
{
	char channel[NAMEDATALEN];

	if (payload->len == 0)
		return;
	snprintf(channel, sizeof(channel), "mirusync_%d", shard);
	Async_Notify(channel, payload->data);
	resetStringInfo(payload);
}

/* As few times as the payload allows. */
void
miru_doorbell_notify(const uint64 *hashes, int count)
{
	StringInfoData payloads[MIRU_DOORBELL_SHARDS];

	if (count == 0)
		return;
	for (int i = 0; i < MIRU_DOORBELL_SHARDS; i++)
		initStringInfo(&payloads[i]);
	for (int i = 0; i < count; i++)
	{
		int shard = *(const unsigned char *) &hashes[i] % MIRU_DOORBELL_SHARDS;
		StringInfo payload = &payloads[shard];

		if (payload->len + 1 + 2 * HASH_BYTES > PAYLOAD_MAX)
			notify(shard, payload);
		if (payload->len > 0)
			appendStringInfoChar(payload, ' ');
		append_hex(payload, hashes[i]);
	}
	for (int i = 0; i < MIRU_DOORBELL_SHARDS; i++)
	{
		notify(i, &payloads[i]);
		pfree(payloads[i].data);
	}
}

void
miru_doorbell_notify_all(void)
{
	StringInfoData payload;

	initStringInfo(&payload);
	for (int i = 0; i < MIRU_DOORBELL_SHARDS; i++)
	{
		appendStringInfoString(&payload, ALL_FEEDS);
		notify(i, &payload);
	}
}

void
miru_doorbell_note(const char *feed)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);

	noted = lappend(noted, pstrdup(feed));
	MemoryContextSwitchTo(old_context);
}

/*
 * The worker gets the hashes when the transaction has committed, and then
 * nothing may fail: so they are made now.
 */
void
miru_doorbell_ring(void)
{
	List *feeds = noted;
	MemoryContext old_context;
	uint64 *hashes;

	noted = NIL;
	if (feeds == NIL || miru_doorbell == MIRU_DOORBELL_OFF)
		return;
	old_context = MemoryContextSwitchTo(TopTransactionContext);
	hashes = hash_feeds(feeds);
	MemoryContextSwitchTo(old_context);
	if (miru_doorbell == MIRU_DOORBELL_AUTO && miru_board_is_attended())
	{
		left_to_worker = hashes;
		left_count = list_length(feeds);
		return;
	}
	missed_worker = miru_doorbell == MIRU_DOORBELL_AUTO;
	miru_doorbell_notify(hashes, list_length(feeds));
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		if (left_count > 0)
			miru_board_put(left_to_worker, left_count);
		if (missed_worker)
			miru_board_want(MyDatabaseId, true);
	}
	noted = NIL;
	left_to_worker = NULL;
	left_count = 0;
	missed_worker = false;
}

void
miru_doorbell_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
}

/* mirusync_ring_0_2 rings the doorbells of an array of feeds. */
Datum
mirusync_ring_0_2(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	List *feeds = NIL;
	Datum *values;
	bool *nulls;
	int count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			feeds = lappend(feeds, TextDatumGetCString(values[i]));
	}
	miru_doorbell_notify(hash_feeds(feeds), list_length(feeds));
	PG_RETURN_VOID();
}

/* mirusync_doorbell_hash_0_2 returns the hash that a feed's rings carry. */
Datum
mirusync_doorbell_hash_0_2(PG_FUNCTION_ARGS)
{
	StringInfoData hex;

	initStringInfo(&hex);
	append_hex(&hex, hash_feed(text_to_cstring(PG_GETARG_TEXT_PP(0))));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex.data, hex.len));
}
