/*
 * acceptor.h
 *		The listening socket.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ACCEPTOR_H
#define MIRUSYNC_ACCEPTOR_H

#include "config.h"
#include "status.h"

/* acceptor_open binds, listens and logs the address. */
extern Status acceptor_open(const Config *config) MUST_CHECK;

/* acceptor_close stops accepting; idempotent. */
extern void acceptor_close(void);

#endif
