/*
 * change_log_table.h
 *     Columns of mirusync.change_log, for change_log.c and what checks it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CHANGE_LOG_TABLE_H
#define MIRUSYNC_CHANGE_LOG_TABLE_H

/* Columns of mirusync.change_log. */
enum
{
	LOG_FEED = 1,
	LOG_SEQ,
	LOG_PART_OF,
	LOG_COLLECTION,
	LOG_ID,
	LOG_KIND,
	LOG_CLOCK,
	LOG_AT,
	LOG_XID,
	LOG_ROLE,
	LOG_USER,
	LOG_DEVICE,
	LOG_SESSION,
	LOG_TYPE,
	LOG_RULE,
	LOG_SKEW_MS,
	LOG_BASE,
	LOG_FROM,
	LOG_TO,
	LOG_PREVIOUS,
	LOG_FIELD_RULES,
	LOG_APPLICATION,
	LOG_NUMBER,
	LOG_VERDICT,
	LOG_HASH,
	LOG_SALT,
	LOG_DIGEST,
	LOG_ERASURE,
	LOG_COLUMNS = LOG_ERASURE
};

#endif /* MIRUSYNC_CHANGE_LOG_TABLE_H */
