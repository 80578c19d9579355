/*
 * convert.c
 *     Converting values of the application's types: always alike, and with no
 *     more rights than the application has.
 *
 * Always alike: the text of a timestamp, an interval, a float or a bytea
 * depends on settings that every session may have otherwise.  A record id must
 * not, or one row would become two records, and what devices get must not
 * either.  So conversions run under the settings that pg_dump uses, in UTC.
 * The same settings hold where a pushed value is read: a time without a zone
 * is in UTC for everybody.
 *
 * No more rights: the owner of a type may have given it a cast to json, and
 * the owner of a domain a CHECK that calls functions.  They would run as
 * whoever commits, or as our own owner in push and pull.  So conversions run
 * as the owner of the table, restricted like a function in an index.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "convert.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/pg_locale.h"
#include "utils/xml.h"

/* No setting had to be changed. */
#define UNCHANGED 0

/* The search_path under which names of objects are written in full. */
#define SAFE_SEARCH_PATH "pg_catalog, pg_temp"

static void
set(int *level, const char *name, const char *value)
{
	if (*level == UNCHANGED)
		*level = NewGUCNestLevel();
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static bool
is_utc(void)
{
	const char *name = pg_get_timezone_name(session_timezone);

	return name != NULL &&
		(strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0);
}

/* fix_settings begins a level of settings, unless all are as they must be. */
static int
fix_settings(int level)
{
	if (DateStyle != USE_ISO_DATES)
		set(&level, "datestyle", "ISO");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		set(&level, "intervalstyle", "postgres");
	if (extra_float_digits < 1)
		set(&level, "extra_float_digits", "3");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		set(&level, "bytea_output", "hex");
	if (!is_utc())
		set(&level, "timezone", "UTC");
	/* The one writes regclass otherwise, the other reads {NULL} as a text. */
	if (quote_all_identifiers)
		set(&level, "quote_all_identifiers", "off");
	if (!Array_nulls)
		set(&level, "array_nulls", "on");
	return level;
}

static void
fix_money(int *level, MiruRelation *rel)
{
	if ((rel->type_traits & MIRU_TYPE_MONEY) != 0 &&
		strcmp(locale_monetary, "C") != 0)
		set(level, "lc_monetary", "C");
}

int
miru_settings_fix_input(MiruRelation *rel)
{
	int level = miru_settings_fix();

	fix_money(&level, rel);
	if (DateOrder != DATEORDER_MDY)
		set(&level, "datestyle", "ISO, MDY");
	if (xmloption != XMLOPTION_CONTENT)
		set(&level, "xmloption", "content");
	return level;
}

int
miru_settings_fix(void)
{
	return fix_settings(NewGUCNestLevel());
}

/*
 * miru_settings_restore also undoes what the application's code has SET since,
 * hence "false": as in a function with a SET clause, a commit would keep that
 * for the session.
 */
void
miru_settings_restore(int settings)
{
	if (settings != UNCHANGED)
		AtEOXact_GUC(false, settings);
}

void
miru_convert_begin(MiruRelation *rel, MiruConversion *saved)
{
	GetUserIdAndSecContext(&saved->role, &saved->security_context);
	SetUserIdAndSecContext(rel->owner,
						   saved->security_context |
							   SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
	/* Documents have keys of type text, which no setting changes. */
	if (rel->data_attnum != 0)
	{
		saved->settings = UNCHANGED;
		return;
	}
	saved->settings = fix_settings(UNCHANGED);
	fix_money(&saved->settings, rel);
	if ((rel->type_traits & MIRU_TYPE_NAMES) != 0 &&
		strcmp(namespace_search_path, SAFE_SEARCH_PATH) != 0)
		set(&saved->settings, "search_path", SAFE_SEARCH_PATH);
}

void
miru_convert_end(const MiruConversion *saved)
{
	miru_settings_restore(saved->settings);
	SetUserIdAndSecContext(saved->role, saved->security_context);
}

/*
 * on_input_error: hstore, for one, complains of its input with elog().  Taken
 * for trouble of the server, such a value would be sent again for ever.
 */
static void
on_input_error(void *arg)
{
	if (geterrcode() == ERRCODE_INTERNAL_ERROR)
		errcode(ERRCODE_INVALID_TEXT_REPRESENTATION);
}

void
miru_blame_value(ErrorContextCallback *callback)
{
	callback->callback = on_input_error;
	callback->arg = NULL;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

void
miru_blame_end(const ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}
