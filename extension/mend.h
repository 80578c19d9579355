/*
 * mend.h
 *     Writing to a record what it had before, as whoever asks for it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_MEND_H
#define MIRUSYNC_MEND_H

#include "target.h"

/* A record that is being mended. */
typedef struct MiruMend
{
	MiruCollection collection; /* with its role, or the caller as that */
	MiruTarget target;
	bool has_row;
} MiruMend;

/*
 * All of these need a connected SPI.
 *
 * miru_mend_begin finds the record and locks its row, if there is one; texts
 * must live as long as the mending does.
 */
extern void miru_mend_begin(MiruMend *mend, const char *feed,
							const char *collection, const char *id);

/*
 * miru_mend_begin_pushed does it for a user, as he pushes: as the collection's
 * role, and where devices may push.
 */
extern void miru_mend_begin_pushed(MiruMend *mend, const char *feed,
								   const char *collection, const char *id);

/*
 * miru_mend_writable returns the fields of an object that can be written.  With
 * "strict" it throws if there are others; else it leaves them out, since what
 * was stored may be older than the table as it is.
 */
extern Jsonb *
miru_mend_writable(const MiruMend *mend, Jsonb *object, bool strict);

/*
 * miru_mend_insert makes the record; throws if its key is taken.
 * miru_mend_update writes fields, and of a document takes those out whose names
 * "gone" has.
 */
extern void miru_mend_insert(MiruMend *mend, Jsonb *object);
extern void miru_mend_update(MiruMend *mend, Jsonb *object, List *gone);

/*
 * miru_mend_ask runs a query of ours as the owner of the extension, with feed,
 * collection and id of the record as $1 to $3 and whatever follows, under a
 * snapshot of now.  The result is SPI's.
 */
extern void miru_mend_ask(const char *sql, int count, Oid *types, Datum *values,
						  const char *nulls);

/*
 * miru_mend_settle numbers what this transaction has written up to now, so that
 * history has it.  miru_mend_number numbers what has been written since, and
 * history says by "label" what it was for, in the place of the name of the
 * application.
 */
extern void miru_mend_settle(void);
extern void miru_mend_number(const char *label);

#endif /* MIRUSYNC_MEND_H */
