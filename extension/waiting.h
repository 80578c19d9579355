/*
 * waiting.h
 *     What waits behind what: changes of a device behind its rejected ones.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WAITING_H
#define MIRUSYNC_WAITING_H

#include "push.h"

/*
 * miru_waiting_begin finds out whether anything of the device waits.  If so
 * the caller must have the device's lock before he applies anything.
 */
extern bool miru_waiting_begin(MiruPush *push);

/*
 * miru_waiting_let_go deletes what the batch says that the device needs no
 * more, before miru_waiting_begin.
 */
extern void miru_waiting_let_go(MiruPush *push);

/*
 * miru_waiting_check throws ERRCODE_MIRU_WAITS if the change must wait behind
 * an earlier one of its device, and what the table throws if its id is none.
 */
extern void miru_waiting_check(MiruPush *push, MiruChange *change);

/*
 * miru_waiting_keep keeps rejected changes of a push that are to be applied
 * together or not at all, if all are such as are kept.
 */
extern void miru_waiting_keep(MiruPush *push, List *changes);

/*
 * miru_waiting_keep_batch keeps the rejected changes of a batch, each by
 * itself; miru_waiting_keep_event keeps all of an event that was.
 */
extern void miru_waiting_keep_batch(MiruPush *push);
extern void miru_waiting_keep_event(MiruPush *push);

#endif /* MIRUSYNC_WAITING_H */
