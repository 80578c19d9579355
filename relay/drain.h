/*
 * drain.h
 *		The orderly end.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DRAIN_H
#define MIRUSYNC_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/*
 * drain_start stops accepting, lets every session finish what it has begun,
 * closes it with 1001 and stops the loop when all is done or drain_timeout has
 * passed.  A second call stops at once.
 */
extern void drain_start(const Config *config);

/* drain_is_on: it has begun. */
extern bool drain_is_on(void);

extern void drain_tick(int64_t now_ms);

#endif
