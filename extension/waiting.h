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
 * miru_waiting_begin finds out whether anything of a batch's device waits.
 * Caller holds the device's lock.
 */
extern void miru_waiting_begin(MiruPush *push);

/*
 * miru_waiting_let_go deletes what the batch says that the device needs no
 * more, before miru_waiting_begin.
 */
extern void miru_waiting_let_go(MiruPush *push);

/*
 * miru_waiting_check throws ERRCODE_MIRU_WAITS if the change must wait behind
 * an earlier one of its device, and what the table throws if its id is none.
 * It lets every change of an event pass.
 */
extern void miru_waiting_check(MiruPush *push, MiruChange *change);

/*
 * miru_waiting_keep_batch keeps the rejected changes of a batch, each by
 * itself; miru_waiting_keep_together all of an atomic batch as one;
 * miru_waiting_keep_event all of an event that was.
 */
extern void miru_waiting_keep_batch(MiruPush *push);
extern void miru_waiting_keep_together(MiruPush *push);
extern void miru_waiting_keep_event(MiruPush *push);

#endif /* MIRUSYNC_WAITING_H */
