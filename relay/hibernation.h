/*
 * hibernation.h
 *		Whether the database is needed at all, and letting it go if not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_HIBERNATION_H
#define MIRUSYNC_HIBERNATION_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/* hibernation_setup takes the settings; "config" must outlive it. */
extern void hibernation_setup(const Config *config);

/*
 * hibernation_look is called before the loop sleeps: whoever needs the
 * database has said so by then, and wakes it.
 */
extern void hibernation_look(void);

/* hibernation_tick lets the database go if it was not needed for long. */
extern void hibernation_tick(int64_t now_ms);

/* hibernation_is_on: there are no connections, by choice. */
extern bool hibernation_is_on(void);

/*
 * hibernation_is_ready says whether a session would get its data: the database
 * is there, or was when it was let go, and is asked for again as soon as
 * somebody comes.
 */
extern bool hibernation_is_ready(void);

#endif
