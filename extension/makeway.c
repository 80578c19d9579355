/*
 * makeway.c
 *     Commands that a worker makes way for, comes with, or goes with.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME and ... SET TABLESPACE, and CREATE
 * DATABASE with the database as template need it without connections.  A
 * worker is one, so it is made to leave first, and kept away until the
 * transaction has ended.  Only whoever may run the command can have that done.
 *
 * CREATE and DROP EXTENSION, and all that drops an extension on the way, are
 * noticed when an extension comes or goes; before the commit we look whether
 * it was ours.  A rolled back savepoint or a prepared transaction may mislead
 * this: then a worker finds no extension and leaves, or the next who commits
 * changes of an attached table asks for one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "board.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "compat.h"
#include "makeway.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type former_utility;
static object_access_hook_type former_access;

/* Databases that this transaction has made a worker leave, in its context. */
static List *held;

/* Whether an extension has come or gone, and then whether ours is there. */
static bool asked;
static bool exists;

/* ----- commands that need a database for themselves ----- */

static DefElem *
find_option(List *options, const char *name)
{
	ListCell *cell;

	foreach(cell, options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return option;
	}
	return NULL;
}

/*
 * As have_createdb_privilege(), which minor versions export only of late: a
 * library that asks for it is not loaded by the others.
 */
static bool
may_create_databases(void)
{
	HeapTuple row;
	bool may = false;

	if (superuser())
		return true;
	row = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(row))
	{
		may = ((Form_pg_authid) GETSTRUCT(row))->rolcreatedb;
		ReleaseSysCache(row);
	}
	return may;
}

/* may_copy says whether CREATE DATABASE may use the database as template. */
static bool
may_copy(Oid database)
{
	HeapTuple row;
	bool is_template = false;

	if (!may_create_databases())
		return false;
	row = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (HeapTupleIsValid(row))
	{
		is_template = ((Form_pg_database) GETSTRUCT(row))->datistemplate;
		ReleaseSysCache(row);
	}
	return is_template || miru_is_database_owner(database, GetUserId());
}

/* needed_database returns which database a command is to have for itself. */
static Oid
needed_database(Node *command)
{
	const char *name = NULL;
	Oid database;

	if (IsA(command, DropdbStmt))
		name = ((DropdbStmt *) command)->dbname;
	else if (IsA(command, RenameStmt) &&
			 ((RenameStmt *) command)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) command)->subname;
	else if (IsA(command, AlterDatabaseStmt) &&
			 find_option(((AlterDatabaseStmt *) command)->options,
						 "tablespace"))
		name = ((AlterDatabaseStmt *) command)->dbname;
	else if (IsA(command, CreatedbStmt))
	{
		DefElem *option = find_option(((CreatedbStmt *) command)->options,
									  "template");

		name = option ? defGetString(option) : "template1";
	}
	if (name == NULL)
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database))
		return InvalidOid;
	if (IsA(command, CreatedbStmt))
		return may_copy(database) ? database : InvalidOid;
	return miru_is_database_owner(database, GetUserId()) ? database
														 : InvalidOid;
}

static void
on_command(PlannedStmt *statement, const char *source, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	Oid database = needed_database(statement->utilityStmt);

	if (OidIsValid(database))
	{
		MemoryContext old_context = MemoryContextSwitchTo(
			TopTransactionContext);

		held = lappend_oid(held, database);
		MemoryContextSwitchTo(old_context);
		miru_board_hold(database);
	}
	(former_utility ? former_utility
					: standard_ProcessUtility)(statement, source,
											   read_only_tree, context, params,
											   environment, dest, completion);
}

/*
 * Not before the end of the transaction can others see what has become of the
 * database.
 */
static void
release_held(void)
{
	ListCell *cell;

	foreach(cell, held)
		miru_board_release(lfirst_oid(cell));
	held = NIL;
}

/* ----- the extension comes and goes ----- */

static void
on_access(ObjectAccessType access, Oid class, Oid object, int column, void *arg)
{
	if (former_access)
		former_access(access, class, object, column, arg);
	if (class == ExtensionRelationId &&
		(access == OAT_POST_CREATE || access == OAT_DROP))
		asked = true;
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (asked)
				exists = OidIsValid(get_extension_oid("mirusync", true));
			break;
		case XACT_EVENT_COMMIT:
			if (asked)
				miru_board_want(MyDatabaseId, exists);
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			asked = false;
			release_held();
			break;
		default:
			break;
	}
}

void
miru_makeway_init(void)
{
	former_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_command;
	former_access = object_access_hook;
	object_access_hook = on_access;
	RegisterXactCallback(on_transaction, NULL);
}
