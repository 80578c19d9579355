/*
 * keyring.h
 *		The keys in use: where they come from, and when they change.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_KEYRING_H
#define MIRUSYNC_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "jwt.h"
#include "status.h"

/*
 * keyring_init reads the keys; "config" must outlive the keyring.  Fails if a
 * file is not good, or if no key can do any of the configured algorithms.
 */
extern Status keyring_init(const Config *config) MUST_CHECK;
extern void keyring_release(void);

/*
 * keyring_reload reads the keys again.  If anything is wrong with them those
 * in use stay, and the log says why.
 */
extern void keyring_reload(void);

/* keyring_tick reloads when a file has changed. */
extern void keyring_tick(int64_t now_ms);

/*
 * keyring_verify says whether a token is good now, and fills "claims"; a
 * reason why not goes to the log.
 */
extern bool
keyring_verify(const char *token, size_t len, Claims *claims) MUST_CHECK;

/* keyring_leeway_ms is how much longer than its exp a token counts. */
extern int64_t keyring_leeway_ms(void);

#endif
