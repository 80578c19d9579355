/*
 * api.h
 *		The native protocol over HTTP: push, pull with long poll, status, and
 *		what a user asks of his history.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_API_H
#define MIRUSYNC_API_H

#include "apiconn.h"

extern const ApiHandlers api_handlers;

extern void api_setup(const Config *config);

/* api_tick ends the waiting of long polls whose time is over. */
extern void api_tick(int64_t now_ms);

/* api_drain ends all waiting now: the relay is stopping. */
extern void api_drain(void);

#endif
