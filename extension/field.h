/*
 * field.h
 *     The numbers of the fields of attached tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FIELD_H
#define MIRUSYNC_FIELD_H

#include "utils/relcache.h"

/* The number of the column that says whose row it is. */
#define FIELD_OF_FEED 0

/* A column that has no number yet, where none can be given now. */
#define FIELD_UNNUMBERED (-1)

/* What is kept of a column of an attached table. */
typedef struct MiruColumn
{
	int number;
	bool synced; /* as chosen; the key's columns are anyhow */
} MiruColumn;

/*
 * miru_field_columns returns what is kept of each column of an attached table,
 * by attnum - 1, in the current memory context; of dropped columns it means
 * nothing.  "feed_column" is the feed's column as it was called when the
 * table was attached, "sync_added" whether a column without a number is
 * synced.  Columns that have no number get one, if the transaction may write;
 * if it may not, "provisional" says that something is left to be noted by one
 * that may.  Caller holds a lock on the table.
 */
extern MiruColumn *miru_field_columns(Relation rel, const char *feed_column,
									  bool sync_added, bool *provisional);

/*
 * miru_field_choose notes which columns are synced, by attnum - 1, and numbers
 * those that have no number.
 */
extern void
miru_field_choose(Relation rel, const char *feed_column, const bool *synced);

/* miru_fields_may_write tells whether numbers could be noted now. */
extern bool miru_fields_may_write(void);

/* miru_fields_forget removes the numbers of a table that is detached. */
extern void miru_fields_forget(Oid relid);

#endif /* MIRUSYNC_FIELD_H */
