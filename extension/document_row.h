/*
 * document_row.h
 *     Inserting the row of a new document without a statement.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DOCUMENT_ROW_H
#define MIRUSYNC_DOCUMENT_ROW_H

#include "target.h"

/*
 * miru_document_row_insert does what INSERT would do, as the collection's
 * role; false: the table needs a real one.  Throws a unique violation if the
 * row is there.
 */
extern bool miru_document_row_insert(MiruTarget *target, Jsonb *object);

#endif /* MIRUSYNC_DOCUMENT_ROW_H */
