/*
 * acceptor.h
 *		The listening sockets.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ACCEPTOR_H
#define MIRUSYNC_ACCEPTOR_H

#include "config.h"
#include "status.h"

/* acceptor_open binds, listens and logs the addresses; keeps "config". */
extern Status acceptor_open(const Config *config) MUST_CHECK;

/* acceptor_close stops accepting; idempotent. */
extern void acceptor_close(void);

#endif
