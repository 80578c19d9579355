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

/*
 * miru_field_numbers returns the number of each column of an attached table,
 * by attnum - 1, in the current memory context; numbers of dropped columns
 * mean nothing.  "feed_column" is the feed's column as it was called when the
 * table was attached.  Columns that have no number get one, if the
 * transaction may write; if it may not, "provisional" says that something is
 * left to be noted by one that may.  Caller holds a lock on the table.
 */
extern int *
miru_field_numbers(Relation rel, const char *feed_column, bool *provisional);

/* miru_fields_may_write tells whether numbers could be noted now. */
extern bool miru_fields_may_write(void);

/* miru_fields_forget removes the numbers of a table that is detached. */
extern void miru_fields_forget(Oid relid);

#endif /* MIRUSYNC_FIELD_H */
