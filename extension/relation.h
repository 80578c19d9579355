/*
 * relation.h
 *     What an attached table looks like, as read from the catalogs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_RELATION_H
#define MIRUSYNC_RELATION_H

#include "registry.h"

/*
 * miru_relation_read reads everything about a table, NULL if it is not
 * attached or does not exist any more.  The result has a memory context of
 * its own, a child of the current one, so that an error loses nothing; who
 * keeps it gives it another parent.  "provisional" says that it is not for
 * transactions that may write, see field.h.  Throws when the table has lost
 * its primary key or its feed column.
 */
extern MiruRelation *miru_relation_read(Oid relid, bool *provisional);

#endif /* MIRUSYNC_RELATION_H */
