/*
 * pusher.h
 *     On whose behalf a push is being applied.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PUSHER_H
#define MIRUSYNC_PUSHER_H

#include "postgres.h"

typedef struct MiruPusher
{
	const char *user;
	const char *device;	 /* never "" */
	const char *session; /* or NULL */
	int place;			 /* of the message in its group */
	int group;			 /* see MiruOrigin */
} MiruPusher;

/*
 * Between the two, code of the application is told that it runs for that user
 * and device.  An error in between needs no end.  A push within a push hides
 * the outer one until its own end.
 */
extern void miru_pusher_begin(const MiruPusher *pusher);
extern void miru_pusher_end(void);

extern void miru_pusher_init(void);

#endif /* MIRUSYNC_PUSHER_H */
