/*
 * document_row.h
 *     Locking and writing the row of a document without a statement.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DOCUMENT_ROW_H
#define MIRUSYNC_DOCUMENT_ROW_H

#include "target.h"

/*
 * These do what a statement would do, as the collection's role; false: the
 * table needs a real one.  miru_document_row_insert throws a unique violation
 * if the row is there.  miru_document_row_lock also tells whether there is one.
 */
extern bool miru_document_row_insert(MiruTarget *target, Jsonb *object);
extern bool miru_document_row_update(MiruTarget *target, Jsonb *object);
extern bool miru_document_row_lock(MiruTarget *target, bool *found);

#endif /* MIRUSYNC_DOCUMENT_ROW_H */
