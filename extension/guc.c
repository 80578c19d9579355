/*
 * guc.c
 *     Settings.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include <limits.h>

#include "guc.h"
#include "utils/guc.h"

/*
 * How writers other than relays tell relays of a change.  "auto" leaves it to
 * the worker, where the library is preloaded and the worker is at work; else
 * it is "transaction", NOTIFY in the writing transaction, which makes
 * concurrent commits wait for one another.  With "off" nothing is sent and
 * changes by SQL arrive when relays poll next (heads_poll_interval): for bulk
 * loads.
 */
int miru_doorbell = MIRU_DOORBELL_AUTO;

/*
 * By how much a device's clock may be ahead of the server's.  What is ahead
 * by more is taken as being ahead by this much, and by how much it was ahead
 * is recorded as skew in the change log.
 */
int miru_max_clock_skew = 60000;

/*
 * Memory for the list of changed rows of one transaction; what is more goes
 * to a temporary file.
 */
int miru_note_memory = 4096;

/*
 * The search_path under which pushes run, and so the triggers of the
 * application that they fire.  Not the session's: a relay may choose that, and
 * triggers run as the collection's role.  Temporary schemas come last, so that
 * nobody shadows a table.
 */
char *miru_push_search_path;

/*
 * How much the inbox of refused changes may have for one feed.  A device that
 * sends garbage must not fill the disk; what finds no room is refused and not
 * kept.
 */
int miru_rejected_max_changes = 1000;
int miru_rejected_max_size = 4096;

/*
 * How long a token may live, in seconds; 0 is unknown.  What was revoked
 * longer ago is of no use.  Read by revoke(), in SQL.
 */
static int token_lifetime_max;

/*
 * How often the background worker has trimmed what retention does not keep, in
 * transactions of so many rows, and for how long a device that is away holds
 * back what it has not seen.
 */
int miru_trim_active = 30 * 24 * 60;
int miru_trim_batch_rows = 1000;
int miru_trim_interval = 3600;

static const struct config_enum_entry doorbell_options[] =
	{{"auto", MIRU_DOORBELL_AUTO, false},
	 {"off", MIRU_DOORBELL_OFF, false},
	 {"transaction", MIRU_DOORBELL_TRANSACTION, false},
	 {NULL, 0, false}};

static void
define_trim(void)
{
	DefineCustomIntVariable(
		"mirusync.trim_active",
		"Sets for how long a device that is away holds back trimming.", NULL,
		&miru_trim_active, 30 * 24 * 60, 0, INT_MAX / 60, PGC_SIGHUP,
		GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.trim_batch_rows",
		"Sets how many rows are looked at in a transaction when trimming.",
		NULL, &miru_trim_batch_rows, 1000, 1, INT_MAX, PGC_SIGHUP, 0, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.trim_interval",
		"Sets how often history and tombstones are trimmed.",
		"0 leaves it to mirusync.trim().", &miru_trim_interval, 3600, 0,
		INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

void
miru_guc_init(void)
{
	DefineCustomEnumVariable("mirusync.doorbell",
							 "Sets how relays are told of changes made by SQL.",
							 NULL, &miru_doorbell, MIRU_DOORBELL_AUTO,
							 doorbell_options, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.max_clock_skew",
		"Sets by how much a device's clock may be ahead of the server's.", NULL,
		&miru_max_clock_skew, 60000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.note_memory",
		"Sets the memory for the list of changed rows of a transaction.",
		"What is more is written to a temporary file.", &miru_note_memory, 4096,
		64, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"mirusync.push_search_path",
		"Sets the search_path under which pushes and their triggers run.", NULL,
		&miru_push_search_path, "\"$user\", public, pg_temp", PGC_SUSET,
		GUC_LIST_INPUT, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.rejected_max_changes",
		"Sets how many rejected changes of a feed are kept.", "0 keeps none.",
		&miru_rejected_max_changes, 1000, 0, INT_MAX / 2, PGC_SUSET, 0, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.rejected_max_size",
		"Sets how much the rejected changes of a feed may take.", NULL,
		&miru_rejected_max_size, 4096, 0, MAX_KILOBYTES, PGC_SUSET, GUC_UNIT_KB,
		NULL, NULL, NULL);
	DefineCustomIntVariable(
		"mirusync.token_lifetime_max",
		"Sets how long a token may live that relays accept.",
		"Older revocations are forgotten; 0 keeps them all.",
		&token_lifetime_max, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL,
		NULL);
	define_trim();
	MarkGUCPrefixReserved("mirusync");
}
