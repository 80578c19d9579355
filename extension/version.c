/*
 * version.c
 *     Whether the library and the extension in this database fit.
 *
 * Installing a new version replaces the library for all databases of a
 * server, and ALTER EXTENSION mirusync UPDATE changes the SQL objects of one.
 * In between the library would read tables of another form than it knows.  So
 * before it finds any table (registry.c) it looks which version the extension
 * has, once, and then again when the registry's tables were touched, which
 * every update script does.  An older library that a session has kept loaded
 * does not even find our functions then (former.c).
 *
 * Major and minor version must agree, as between relay and extension: patch
 * versions change no SQL object.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "version.h"

#define EXTENSION_NAME "mirusync"

static bool fits = false;

/* installed_version returns the version of the extension in this database. */
static char *
installed_version(void)
{
	Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum datum = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(extensions), &isnull);

		version = TextDatumGetCString(datum);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	if (version == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", EXTENSION_NAME)));
	return version;
}

/* minor_length returns the length of "major.minor" in "major.minor.patch". */
static size_t
minor_length(const char *version)
{
	const char *dot = strchr(version, '.');

	if (dot != NULL)
		dot = strchr(dot + 1, '.');
	return dot ? (size_t) (dot - version) : strlen(version);
}

static bool
is_same_minor(const char *a, const char *b)
{
	return minor_length(a) == minor_length(b) &&
		strncmp(a, b, minor_length(a)) == 0;
}

bool
miru_version_check(void)
{
	char *version;

	/* Scripts of the extension may use what is there so far. */
	if (fits || creating_extension)
		return false;
	version = installed_version();
	if (!is_same_minor(version, MIRUSYNC_VERSION))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"%s\" is version %s, but its library is %s",
					EXTENSION_NAME, version, MIRUSYNC_VERSION),
			 errhint(
				 "Run ALTER EXTENSION mirusync UPDATE, or connect again if that has been done.")));
	pfree(version);
	fits = true;
	return true;
}

bool
miru_version_is_known(void)
{
	return fits;
}

void
miru_version_forget(void)
{
	fits = false;
}
