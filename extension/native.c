/*
 * native.c
 *     The native dialect, mirusync.v1: what its messages from a device are,
 *     and those that a relay sends, as finished texts (docs/protocol.md).
 *
 * A push is the batch of push() and its answer has the same verdicts; a page
 * is that of pull().  Only live messages have a form of their own: the fields
 * that changed, transaction by transaction.  After a push of ours flush tells
 * which those are.  When a relay reads what others did, history does: a record
 * comes as it stands, once, with the fields that any change since the cursor
 * touched.  It is kept from the session that made its latest change only if
 * that made all of them: the others' fields came with no other message.  Where
 * history was trimmed records are sent whole, to everybody.
 *
 * A message has one session as its origin, for that session does not get it.
 * So a transaction may make several; "complete" is set on the last only.
 *
 * Reads history, writes nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "change_log.h"
#include "common/hashfn.h"
#include "errors.h"
#include "feed.h"
#include "jsonb_text.h"
#include "lib/stringinfo.h"
#include "native.h"
#include "nodes/value.h"
#include "object.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

/* Changes in one live message, at most. */
#define CHANGES_MAX 500

/* So many entries of history are read for a delivery; else it is sent whole. */
#define HISTORY_PER_DELIVERY 20

/* ----- messages in ----- */

MiruNativeKind
miru_native_kind(const Jsonb *message)
{
	static const char *const names[] = {"push", "hello", "status", "resolve"};
	JsonbValue type;

	if (!JB_ROOT_IS_OBJECT((Jsonb *) message))
		ereport(ERROR,
				(errcode(ERRCODE_MIRU_INVALID_BATCH),
				 errmsg("message is not an object")));
	if (!miru_object_get(message, "type", &type))
		return MIRU_NATIVE_PUSH;
	for (int i = 0; type.type == jbvString && i < lengthof(names); i++)
	{
		if (strlen(names[i]) == type.val.string.len &&
			memcmp(names[i], type.val.string.val, type.val.string.len) == 0)
			return (MiruNativeKind) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_MIRU_INVALID_BATCH),
			 errmsg("unknown type of message")));
}

/* ----- messages out ----- */

static void
append_key(StringInfo out, const char *key)
{
	if (out->data[out->len - 1] != '{')
		appendStringInfoChar(out, ',');
	appendStringInfoChar(out, '"');
	appendStringInfoString(out, key);
	appendBinaryStringInfo(out, "\":", 2);
}

static void
append_text(StringInfo out, const char *key, const char *text)
{
	append_key(out, key);
	miru_append_string(out, text, strlen(text));
}

static void
append_number(StringInfo out, const char *key, int64 number)
{
	char digits[MAXINT8LEN + 1];

	append_key(out, key);
	appendBinaryStringInfo(out, digits, pg_lltoa(number, digits));
}

static void
append_object(StringInfo out, const char *key, Jsonb *object)
{
	append_key(out, key);
	miru_append_object(out, object);
}

/* The ref of a message is carried by its answer. */
static void
append_ref(StringInfo out, const Jsonb *message)
{
	JsonbValue ref;

	if (!miru_object_get(message, "ref", &ref) || ref.type != jbvNumeric)
		return;
	append_key(out, "ref");
	appendStringInfoString(out,
						   DatumGetCString(DirectFunctionCall1(
							   numeric_out, NumericGetDatum(ref.val.numeric))));
}

char *
miru_native_render_verdicts(const Jsonb *message, const char *feed, int32 epoch,
							Jsonb *verdicts)
{
	StringInfoData out;
	JsonbValue type;
	JsonbValue list;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	if (miru_object_get(message, "type", &type))
		append_text(&out, "type", "verdicts");
	append_ref(&out, message);
	append_text(&out, "feed", feed);
	append_number(&out, "epoch", epoch);
	if (miru_object_get(verdicts, "verdicts", &list))
		append_object(&out, "verdicts", JsonbValueToJsonb(&list));
	appendStringInfoChar(&out, '}');
	return out.data;
}

char *
miru_native_render_greeting(const char *user, int64 digested, Snapshot snapshot)
{
	StringInfoData out;
	MiruFeedState state;

	(void) miru_feed_read(user, snapshot, &state);
	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	if (digested >= 0)
		append_number(&out, "digested", digested);
	append_key(&out, "heads");
	appendStringInfoChar(&out, '{');
	escape_json(&out, user);
	appendStringInfo(&out, ":{\"epoch\":%d,\"seq\":" INT64_FORMAT "}}}",
					 Max(state.epoch, 0), state.head);
	return out.data;
}

/* begin_record begins what both forms of a change have; ends without a brace. */
static void
begin_record(StringInfo out, const MiruDelivery *delivery, const char *kind)
{
	char clock[HLC_TEXT_SIZE];

	hlc_format(delivery->clock, clock);
	if (out->data[out->len - 1] != '[')
		appendStringInfoChar(out, ',');
	appendStringInfoChar(out, '{');
	append_number(out, "seq", delivery->seq);
	append_text(out, "kind", kind);
	append_text(out, "collection", delivery->collection);
	append_text(out, "id", delivery->id);
	append_text(out, "clock", clock);
}

/* append_record writes a record as it stands. */
static void
append_record(StringInfo out, const MiruDelivery *delivery)
{
	begin_record(out, delivery, delivery->deleted ? "delete" : "put");
	if (!delivery->deleted)
		append_object(out, "fields", delivery->object);
	appendStringInfoChar(out, '}');
}

void
miru_native_page_begin(StringInfo records)
{
	initStringInfo(records);
	appendStringInfoChar(records, '[');
}

void
miru_native_page_add(void *records, const MiruDelivery *delivery)
{
	append_record(records, delivery);
}

char *
miru_native_page_end(const char *feed, const MiruPage *page, StringInfo records)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	append_text(&out, "type", "page");
	append_text(&out, "feed", feed);
	append_number(&out, "epoch", Max(page->epoch, 0));
	append_number(&out, "after", page->after);
	append_number(&out, "upto", page->upto);
	append_number(&out, "head", page->head);
	append_key(&out, "complete");
	appendStringInfoString(&out, page->complete ? "true" : "false");
	append_key(&out, "changes");
	enlargeStringInfo(&out, records->len + 2);
	appendBinaryStringInfo(&out, records->data, records->len);
	appendStringInfoString(&out, "]}");
	pfree(records->data);
	return out.data;
}

/* append_removed names the fields that a document has no more. */
static void
append_removed(StringInfo out, const MiruDelivery *delivery)
{
	bool any = false;
	ListCell *cell;

	if (!delivery->is_document)
		return;
	foreach(cell, delivery->changed_names)
	{
		const char *name = strVal(lfirst(cell));
		JsonbValue value;

		if (miru_object_get(delivery->object, name, &value))
			continue;
		if (!any)
			append_key(out, "removed");
		appendStringInfoChar(out, any ? ',' : '[');
		escape_json(out, name);
		any = true;
	}
	if (any)
		appendStringInfoChar(out, ']');
}

static void
append_change(StringInfo out, const MiruDelivery *delivery)
{
	if (delivery->deleted || delivery->created || delivery->whole)
	{
		append_record(out, delivery);
		return;
	}
	begin_record(out, delivery, "patch");
	append_object(out, "fields",
				  miru_object_pick(delivery->object, delivery->changed_names));
	append_removed(out, delivery);
	appendStringInfoChar(out, '}');
}

static char *
render_changes(const MiruNativeChanges *changes, int64 head, bool complete)
{
	const MiruDelivery *first = linitial(changes->deliveries);
	StringInfoData out;
	ListCell *cell;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	append_text(&out, "type", "changes");
	append_text(&out, "feed", first->feed);
	append_number(&out, "epoch", Max(first->epoch, 0));
	append_number(&out, "from", changes->after);
	append_number(&out, "to", changes->seq);
	append_key(&out, "complete");
	appendStringInfoString(&out, complete ? "true" : "false");
	if (!complete)
		append_number(&out, "seen", head);
	append_key(&out, "changes");
	appendStringInfoChar(&out, '[');
	foreach(cell, changes->deliveries)
		append_change(&out, lfirst(cell));
	appendStringInfoString(&out, "]}");
	return out.data;
}

static bool
same_session(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool
belongs(const MiruNativeChanges *changes, const MiruDelivery *delivery)
{
	const MiruDelivery *first = linitial(changes->deliveries);
	const MiruDelivery *last = llast(changes->deliveries);

	/* Where an event is never cut this must not be either: see dialects.c. */
	return (list_length(changes->deliveries) < CHANGES_MAX ||
			last->part_of == delivery->part_of) &&
		first->xid == delivery->xid &&
		same_session(first->session, delivery->session);
}

List *
miru_native_render_live(List *deliveries, int64 head, bool complete)
{
	MiruNativeChanges *changes = NULL;
	List *messages = NIL;
	ListCell *cell;

	foreach(cell, deliveries)
	{
		MiruDelivery *delivery = lfirst(cell);

		if (changes == NULL || !belongs(changes, delivery))
		{
			changes = palloc0(sizeof(MiruNativeChanges));
			changes->after = delivery->after;
			changes->session = delivery->session;
			messages = lappend(messages, changes);
		}
		changes->seq = delivery->seq;
		changes->deliveries = lappend(changes->deliveries, delivery);
	}
	foreach(cell, messages)
	{
		changes = lfirst(cell);
		changes->body = render_changes(changes, head,
									   complete &&
										   lnext(messages, cell) == NULL);
	}
	return messages;
}

/* ----- what has changed ----- */

typedef struct RecordKey
{
	const char *collection;
	const char *id;
} RecordKey;

/* A delivery of the page, to be found by its record. */
typedef struct Entry
{
	RecordKey key;
	MiruDelivery *delivery;
	uint32 status; /* of the hash table */
} Entry;

static inline uint32
hash_key(RecordKey key)
{
	return hash_combine(hash_bytes((const unsigned char *) key.collection,
								   strlen(key.collection)),
						hash_bytes((const unsigned char *) key.id,
								   strlen(key.id)));
}

static inline bool
same_key(RecordKey a, RecordKey b)
{
	return strcmp(a.collection, b.collection) == 0 && strcmp(a.id, b.id) == 0;
}

#define SH_PREFIX				entries
#define SH_ELEMENT_TYPE			Entry
#define SH_KEY_TYPE				RecordKey
#define SH_KEY					key
#define SH_HASH_KEY(table, key) hash_key(key)
#define SH_EQUAL(table, a, b)	same_key(a, b)
#define SH_SCOPE				static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* The reading of a page's history. */
typedef struct Reading
{
	entries_hash *entries;
	int64 count; /* entries of history met */
} Reading;

static void
add_names(MiruDelivery *delivery, const Jsonb *fields)
{
	ListCell *cell;

	if (fields == NULL)
		return;
	foreach(cell, miru_object_names(fields))
		delivery->changed_names = list_append_unique(delivery->changed_names,
													 lfirst(cell));
}

/*
 * share_groups makes an event that goes to everybody in part go to everybody
 * as a whole: it is never cut.
 */
static void
share_groups(List *deliveries)
{
	for (int i = 1; i < list_length(deliveries); i++)
	{
		MiruDelivery *now = list_nth(deliveries, i);

		for (int j = i - 1; j >= 0; j--)
		{
			MiruDelivery *before = list_nth(deliveries, j);

			if (before->part_of != now->part_of)
				break;
			if (before->type == NULL || now->type == NULL ||
				strcmp(before->type, now->type) != 0)
				continue;
			if (before->session == NULL)
				now->session = NULL;
			if (now->session == NULL)
				before->session = NULL;
		}
	}
}

static void
note_entry(void *arg, const MiruLogEntry *entry, uint64 xid)
{
	Reading *reading = arg;
	RecordKey key = {entry->collection, entry->id};
	Entry *found = entries_lookup(reading->entries, key);

	reading->count++;
	/* What is not there goes with a later page, which begins at this one. */
	if (found == NULL || found->delivery->seq < entry->seq)
		return;
	if (found->delivery->seq == entry->seq)
		found->delivery->xid = xid;
	if (!same_session(found->delivery->session, entry->session))
		found->delivery->session = NULL;
	if (strcmp(entry->kind, "patch") != 0 || entry->erased)
		found->delivery->whole = true;
	else
	{
		add_names(found->delivery, entry->from);
		add_names(found->delivery, entry->to);
	}
}

void
miru_native_note_changed(MiruPage *page, const char *feed, Snapshot snapshot)
{
	Reading reading = {0};
	int64 interval = page->upto - page->after;
	ListCell *cell;

	if (page->deliveries == NIL)
		return;
	reading.entries = entries_create(CurrentMemoryContext,
									 list_length(page->deliveries), NULL);
	foreach(cell, page->deliveries)
	{
		MiruDelivery *delivery = lfirst(cell);
		RecordKey key = {delivery->collection, delivery->id};
		bool found;

		entries_insert(reading.entries, key, &found)->delivery = delivery;
	}
	if (interval <=
		(int64) HISTORY_PER_DELIVERY * list_length(page->deliveries))
		miru_change_log_walk(feed, page->after, page->upto, snapshot,
							 note_entry, &reading);
	if (reading.count == interval)
	{
		share_groups(page->deliveries);
		return;
	}
	/* History does not go back so far, or too far. */
	foreach(cell, page->deliveries)
	{
		MiruDelivery *delivery = lfirst(cell);

		delivery->whole = true;
		delivery->session = NULL;
	}
}
