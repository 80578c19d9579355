/*
 * registry_table.h
 *     Columns of the tables that say what is attached.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_REGISTRY_TABLE_H
#define MIRUSYNC_REGISTRY_TABLE_H

/* Columns of mirusync.attached. */
enum
{
	ATTACHED_RELATION = 1,
	ATTACHED_FEED,
	ATTACHED_COLLECTION,
	ATTACHED_DATA,
	ATTACHED_SYNC_ADDED,
	ATTACHED_COLUMNS = ATTACHED_SYNC_ADDED
};

/* Columns of mirusync.collection. */
enum
{
	COLLECTION_NAME = 1,
	COLLECTION_RELATION,
	COLLECTION_RULE,
	COLLECTION_PUSHABLE,
	COLLECTION_ROLE,
	COLLECTION_DELETE_RULE,
	COLLECTION_SINCE,
	COLLECTION_COLUMNS = COLLECTION_SINCE
};

/* Columns of mirusync.field_rule. */
enum
{
	FIELD_RULE_COLLECTION = 1,
	FIELD_RULE_FIELD,
	FIELD_RULE_RULE,
	FIELD_RULE_COLUMNS = FIELD_RULE_RULE
};

/* Length of a collection's name, in bytes. */
#define COLLECTION_NAME_MAX 255

#endif /* MIRUSYNC_REGISTRY_TABLE_H */
