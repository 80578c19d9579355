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
 * and flush asks for a ring only for writers that are not relays.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "doorbell.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "table.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(mirusync_ring);
PG_FUNCTION_INFO_V1(mirusync_doorbell_hash);

#define HASH_BYTES 8

/* NOTIFY takes payloads of less than 8000 bytes. */
#define PAYLOAD_MAX 7900

#define KEY_MAX		64

/* The key is read once; it never changes while the extension exists. */
static unsigned char key[KEY_MAX];
static int key_length;

/* Feeds to be rung when this transaction commits, in its context. */
static List *noted;

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

static void
hash_feed(const char *feed, unsigned char *hash)
{
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);
	unsigned char digest[PG_SHA256_DIGEST_LENGTH];

	if (key_length == 0)
		load_key();
	if (sha == NULL || pg_cryptohash_init(sha) < 0 ||
		pg_cryptohash_update(sha, key, key_length) < 0 ||
		pg_cryptohash_update(sha, (const uint8 *) feed, strlen(feed)) < 0 ||
		pg_cryptohash_final(sha, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-256");
	pg_cryptohash_free(sha);
	memcpy(hash, digest, HASH_BYTES);
}

static void
append_hex(StringInfo text, const unsigned char *hash)
{
	for (int i = 0; i < HASH_BYTES; i++)
		appendStringInfo(text, "%02x", hash[i]);
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

/* ring notifies for a list of feeds, as few times as the payload allows. */
static void
ring(List *feeds)
{
	StringInfoData payloads[MIRU_DOORBELL_SHARDS];
	ListCell *cell;

	for (int i = 0; i < MIRU_DOORBELL_SHARDS; i++)
		initStringInfo(&payloads[i]);
	foreach(cell, feeds)
	{
		unsigned char hash[HASH_BYTES];
		int shard;
		StringInfo payload;

		hash_feed(lfirst(cell), hash);
		shard = hash[0] % MIRU_DOORBELL_SHARDS;
		payload = &payloads[shard];
		if (payload->len + 1 + 2 * HASH_BYTES > PAYLOAD_MAX)
			notify(shard, payload);
		if (payload->len > 0)
			appendStringInfoChar(payload, ' ');
		append_hex(payload, hash);
	}
	for (int i = 0; i < MIRU_DOORBELL_SHARDS; i++)
		notify(i, &payloads[i]);
}

void
miru_doorbell_note(const char *feed)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);

	noted = lappend(noted, pstrdup(feed));
	MemoryContextSwitchTo(old_context);
}

void
miru_doorbell_ring(void)
{
	List *feeds = noted;

	noted = NIL;
	if (feeds != NIL && miru_doorbell != MIRU_DOORBELL_OFF)
		ring(feeds);
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		noted = NIL;
}

void
miru_doorbell_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
}

/* mirusync_ring rings the doorbells of an array of feeds. */
Datum
mirusync_ring(PG_FUNCTION_ARGS)
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
	ring(feeds);
	PG_RETURN_VOID();
}

/* mirusync_doorbell_hash returns the hash that a feed's rings carry. */
Datum
mirusync_doorbell_hash(PG_FUNCTION_ARGS)
{
	unsigned char hash[HASH_BYTES];
	StringInfoData hex;

	hash_feed(text_to_cstring(PG_GETARG_TEXT_PP(0)), hash);
	initStringInfo(&hex);
	append_hex(&hex, hash);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(hex.data, hex.len));
}
