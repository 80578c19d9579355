/*
 * dialect_native.h
 *		What the native protocol over WebSocket and over HTTP share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_DIALECT_NATIVE_H
#define MIRUSYNC_DIALECT_NATIVE_H

#include "native_frame.h"
#include "session.h"

/* The subprotocol that asks for it. */
#define NATIVE_SUBPROTOCOL "mirusync.v1"

/* dialect_native_setup takes the limits; "config" must outlive the sessions. */
extern void dialect_native_setup(const Config *config);
extern NativeLimits dialect_native_limits(void);

/* dialect_native_chance is a random number of 0 .. below - 1. */
extern int64_t dialect_native_chance(int64_t below);

/*
 * dialect_native_again_ms is when trying again is of use; the header, in whole
 * seconds, is the most that it can be.
 */
extern int64_t dialect_native_again_ms(void);
#define NATIVE_AGAIN_MAX_MS 2000
#define NATIVE_RETRY_AFTER	"Retry-After: 2\r\n"

/* dialect_native_error_of makes the error more precise by a SQLSTATE. */
extern ErrorCode dialect_native_error_of(ErrorCode code, const char *sqlstate);

#endif
