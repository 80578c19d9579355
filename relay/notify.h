/*
 * notify.h
 *		What the service manager is told.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_NOTIFY_H
#define MIRUSYNC_NOTIFY_H

#include <stdint.h>

/* notify_init finds out whether anybody wants to know. */
extern void notify_init(void);

extern void notify_ready(void);
extern void notify_reloading(void);
extern void notify_stopping(void);

/* notify_tick shows that the loop turns, if a watchdog looks. */
extern void notify_tick(int64_t now_ms);

#endif
