/*
 * attach_columns.h
 *     Which columns of an attached table are synced.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ATTACH_COLUMNS_H
#define MIRUSYNC_ATTACH_COLUMNS_H

#include "attached.h"
#include "fmgr.h"
#include "utils/relcache.h"

/*
 * miru_columns_take takes the arguments "columns" and "excluding", of which
 * the first is at place "argument".
 */
extern void miru_columns_take(FunctionCallInfo fcinfo, int argument,
							  MiruAttachment *attachment);

/*
 * miru_columns_choose checks the columns that were named, warns where what is
 * synced is computed from what is not, and notes the choice.
 */
extern void miru_columns_choose(Relation rel, const MiruAttachment *attachment);

#endif /* MIRUSYNC_ATTACH_COLUMNS_H */
