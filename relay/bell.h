/*
 * bell.h
 *		Rings for the other relays after our commits, coalesced.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_BELL_H
#define MIRUSYNC_BELL_H

#include <stdbool.h>

extern void bell_init(void);
extern void bell_start(void);
/* bell_rest closes the connection until bell_start. */
extern void bell_rest(void);
extern void bell_release(void);

/* bell_is_idle: nothing is to be rung. */
extern bool bell_is_idle(void);

/*
 * bell_note says that a feed has moved; the ring leaves at the turn's end, or
 * when the pause after the last one is over.
 */
extern void bell_note(const char *feed);

/* bell_hurry: no pauses any more, the process is about to end. */
extern void bell_hurry(void);

/* bell_is_ours says whether a notification came from our own bell. */
extern bool bell_is_ours(int backend_pid);

#endif
