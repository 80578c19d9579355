/*
 * dialects.c
 *     Deliveries for a relay, in the dialects that its sessions speak.
 *
 * A relay reads a feed once for all its sessions.  So what it gets is cut into
 * intervals that hold for every dialect asked for: those of native messages,
 * which are the longer ones, since an event is of one message of one session
 * and a native message of all that came of a transaction and session.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "cursor.h"
#include "dialects.h"
#include "epoch.h"
#include "funcapi.h"
#include "native.h"
#include "registry.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

/* Records in one page of pull_events, at most. */
#define PAGE_RECORDS_MAX 10000

MiruDialects
miru_dialects_read(ArrayType *names)
{
	MiruDialects wanted = {false, false};
	Datum *values;
	bool *nulls;
	int count;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
	{
		char *name = nulls[i] ? NULL : TextDatumGetCString(values[i]);

		if (name != NULL && strcmp(name, "event") == 0)
			wanted.event = true;
		else if (name != NULL && strcmp(name, "native") == 0)
			wanted.native = true;
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown dialect \"%s\"", name ? name : "")));
	}
	if (!wanted.event && !wanted.native)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no dialect is wanted")));
	return wanted;
}

static char *
join_lines(List *events)
{
	StringInfoData lines;
	ListCell *cell;

	initStringInfo(&lines);
	foreach(cell, events)
	{
		const MiruEvent *event = lfirst(cell);

		if (event->body != NULL)
			appendStringInfo(&lines, "%s%s", lines.len ? "\n" : "",
							 event->body);
	}
	return lines.len > 0 ? lines.data : NULL;
}

static List *
render_events(List *deliveries)
{
	List *all = NIL;
	ListCell *cell;

	foreach(cell, miru_event_render_live(deliveries))
	{
		const MiruEvent *event = lfirst(cell);
		MiruRendered *rendered = palloc0(sizeof(MiruRendered));

		rendered->after = event->after;
		rendered->seq = event->seq;
		rendered->session = event->session;
		rendered->event = event->body;
		all = lappend(all, rendered);
	}
	return all;
}

List *
miru_dialects_render_live(MiruDialects wanted, List *deliveries, int64 head,
						  bool complete)
{
	List *all = NIL;
	ListCell *cell;

	if (!wanted.native)
		return render_events(deliveries);
	foreach(cell, miru_native_render_live(deliveries, head, complete))
	{
		const MiruNativeChanges *changes = lfirst(cell);
		const MiruDelivery *first = linitial(changes->deliveries);
		MiruRendered *rendered = palloc0(sizeof(MiruRendered));

		rendered->after = miru_cursor_pack(first->epoch, changes->after);
		rendered->seq = miru_cursor_pack(first->epoch, changes->seq);
		rendered->session = changes->session;
		rendered->native = changes->body;
		if (wanted.event)
			rendered->event = join_lines(
				miru_event_render_live(changes->deliveries));
		all = lappend(all, rendered);
	}
	return all;
}

/* ----- pull_events() ----- */

/* Columns of what pull_events returns. */
enum
{
	PULL_KIND,
	PULL_AFTER,
	PULL_SEQ,
	PULL_HEAD,
	PULL_COMPLETE,
	PULL_SESSION,
	PULL_BODY,
	PULL_NATIVE,
	PULL_COLUMNS
};

/* page_cursor packs a number of a page. */
static int64
page_cursor(const MiruPage *page, int64 number)
{
	return page->epoch == MIRU_NO_EPOCH ? 0
										: miru_cursor_pack(page->epoch, number);
}

/* return_page returns the first row, which tells of the page. */
static void
return_page(ReturnSetInfo *result, const MiruPage *page, int64 after,
			int64 upto)
{
	Datum values[PULL_COLUMNS] = {0};
	bool nulls[PULL_COLUMNS] = {0};

	values[PULL_KIND] = CStringGetTextDatum("page");
	values[PULL_AFTER] = Int64GetDatum(after);
	values[PULL_SEQ] = Int64GetDatum(upto);
	values[PULL_HEAD] = Int64GetDatum(page_cursor(page, page->head));
	values[PULL_COMPLETE] = BoolGetDatum(page->complete);
	nulls[PULL_SESSION] = true;
	nulls[PULL_BODY] = true;
	nulls[PULL_NATIVE] = true;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* return_text sets a text column, null for NULL. */
static void
return_text(const char *text, Datum *value, bool *isnull)
{
	*isnull = text == NULL;
	if (text != NULL)
		*value = CStringGetTextDatum(text);
}

static void
return_message(ReturnSetInfo *result, const MiruRendered *message)
{
	Datum values[PULL_COLUMNS] = {0};
	bool nulls[PULL_COLUMNS] = {0};

	values[PULL_KIND] = CStringGetTextDatum("event");
	values[PULL_AFTER] = Int64GetDatum(message->after);
	values[PULL_SEQ] = Int64GetDatum(message->seq);
	nulls[PULL_HEAD] = true;
	nulls[PULL_COMPLETE] = true;
	return_text(message->session, &values[PULL_SESSION], &nulls[PULL_SESSION]);
	return_text(message->event, &values[PULL_BODY], &nulls[PULL_BODY]);
	return_text(message->native, &values[PULL_NATIVE], &nulls[PULL_NATIVE]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(mirusync_pull_events_0_2);

/* render_live renders a page as it happened, from the cursor on. */
static List *
render_live(MiruDialects wanted, MiruPage *page, const char *feed, int64 after)
{
	List *messages;

	if (wanted.native)
		miru_native_note_changed(page, feed, GetActiveSnapshot());
	messages = miru_dialects_render_live(wanted, page->deliveries, page->head,
										 page->complete);
	/* The cursor may be of an earlier epoch, in which nothing lies between. */
	if (messages != NIL)
		((MiruRendered *) linitial(messages))->after = after;
	return messages;
}

/* native_page makes the one message of a page. */
static List *
native_page(const char *feed, const MiruPage *page, StringInfo records,
			int64 after)
{
	MiruRendered *message = palloc0(sizeof(MiruRendered));

	message->after = after;
	message->seq = page_cursor(page, page->upto);
	message->native = miru_native_page_end(feed, page, records);
	return list_make1(message);
}

/* render_state renders a page for sessions that catch up. */
static List *
render_state(MiruDialects wanted, const MiruPage *page, const char *feed,
			 int64 after)
{
	int64 upto = page_cursor(page, page->upto);
	List *messages = NIL;
	StringInfoData records;
	ListCell *cell;

	foreach(cell, miru_event_render_catch_up(page, after, upto))
	{
		const MiruEvent *event = lfirst(cell);
		MiruRendered *message = palloc0(sizeof(MiruRendered));

		message->after = event->after;
		message->seq = event->seq;
		message->event = event->body;
		messages = lappend(messages, message);
	}
	if (!wanted.native)
		return messages;
	miru_native_page_begin(&records);
	foreach(cell, page->deliveries)
		miru_native_page_add(&records, lfirst(cell));
	return list_concat(messages, native_page(feed, page, &records, after));
}

/* mirusync_pull_events_0_2 is pull_events(feed, after, max, live, seen, dialects). */
Datum
mirusync_pull_events_0_2(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char *feed = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64 after = PG_GETARG_INT64(1);
	int32 max = PG_GETARG_INT32(2);
	bool live = PG_GETARG_BOOL(3);
	MiruDialects wanted;
	MiruCursor cursor;
	MiruPage *page;
	StringInfoData records;
	List *messages;
	ListCell *cell;

	/* Version 0.1.0 passes fewer arguments. */
	miru_extension_check();
	cursor.epoch = miru_cursor_epoch(after);
	cursor.number = miru_cursor_number(after);
	cursor.seen = miru_cursor_number(PG_GETARG_INT64(4));
	wanted = miru_dialects_read(PG_GETARG_ARRAYTYPE_P(5));

	if (after < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cursor must be at least 0")));
	if (max < 1 || max > PAGE_RECORDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between %d and %d", "max", 1,
						PAGE_RECORDS_MAX)));

	InitMaterializedSRF(fcinfo, 0);
	if (live || wanted.event)
		page = miru_page_read(feed, &cursor, max, live);
	else
	{
		/* The one message of a page is written while it is read. */
		miru_native_page_begin(&records);
		page = miru_page_walk(feed, &cursor, max, miru_native_page_add,
							  &records);
	}
	if (page->start_over)
		after = 0;
	if (live)
		messages = render_live(wanted, page, feed, after);
	else if (wanted.event)
		messages = render_state(wanted, page, feed, after);
	else
		messages = native_page(feed, page, &records, after);
	return_page(result, page, after, page_cursor(page, page->upto));
	foreach(cell, messages)
		return_message(result, lfirst(cell));
	return (Datum) 0;
}
