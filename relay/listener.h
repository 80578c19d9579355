/*
 * listener.h
 *		The connection that listens to the doorbell and greets the extension.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_LISTENER_H
#define MIRUSYNC_LISTENER_H

#include <stdbool.h>

/*
 * listener_init makes the connection.  "on_greeted" is called each time the
 * extension has said that it and we understand each other; "on_refused" if it
 * says at the very first time that we do not.
 */
extern void listener_init(void (*on_greeted)(void), void (*on_refused)(void));
extern void listener_start(void);

/* listener_rest closes the connection until listener_start. */
extern void listener_rest(void);
extern void listener_release(void);

/* listener_is_ready says whether doorbells would be heard. */
extern bool listener_is_ready(void);

#endif
