/*
 * refusal.h
 *     The inbox: pushed changes that were refused and wait.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_REFUSAL_H
#define MIRUSYNC_REFUSAL_H

#include "change.h"
#include "datatype/timestamp.h"
#include "pusher.h"

/* A change that waits. */
typedef struct MiruRefusal
{
	int64 number;
	int64 part_of; /* number of the first that it came with */
	char *user;
	char *device;
	MiruChange *change; /* as it was pushed */
} MiruRefusal;

/* miru_refusal_any tells whether any numbered change of the device waits. */
extern bool miru_refusal_any(const char *feed, const char *device);

/* miru_refusal_waits tells whether one to that record does. */
extern bool miru_refusal_waits(const char *feed, const char *device,
							   const char *collection, const char *id);

/*
 * miru_refusal_keep puts rejected changes, that came together, into the inbox
 * and sets the number of each there ("inbox"), or says that there is no room
 * for all of them.  Where the very same event waits already, its changes
 * get that one's numbers, and it their reason.
 */
extern void miru_refusal_keep(const MiruPusher *pusher, List *changes);

/*
 * miru_refusal_device returns whose a numbered change is, NULL if none such
 * waits.
 */
extern char *miru_refusal_device(const char *feed, int64 number);

/*
 * miru_refusal_read returns all numbered changes that wait of a device
 * (MiruRefusal), in order.  Caller holds the device's lock.
 */
extern List *miru_refusal_read(const char *feed, const char *device);

/* miru_refusal_read_event locks and returns all changes of one's event. */
extern List *miru_refusal_read_event(const char *feed, int64 number);

/* miru_refusal_failed notes another try that failed, and why. */
extern void
miru_refusal_failed(const char *feed, int64 number, const MiruChange *change);

extern void miru_refusal_delete(const char *feed, int64 number);

/*
 * miru_refusal_let_go deletes what waits of a device by the device's own
 * numbers (int8[]), with what came together with it or waits behind it.
 * Caller holds the device's lock.
 */
extern void
miru_refusal_let_go(const char *feed, const char *device, Datum numbers);

/*
 * miru_refusal_forget deletes what waits in a feed since "at" or before, at
 * most "max"; returns how many.
 */
extern int64 miru_refusal_forget(const char *feed, TimestampTz at, int64 max);

#endif /* MIRUSYNC_REFUSAL_H */
