/*
 * ddl.h
 *     Follows what DDL does to attached tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DDL_H
#define MIRUSYNC_DDL_H

extern void miru_ddl_init(void);

#endif /* MIRUSYNC_DDL_H */
