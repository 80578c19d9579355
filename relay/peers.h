/*
 * peers.h
 *		The addresses that connections come from, and what each may do.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PEERS_H
#define MIRUSYNC_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "config.h"
#include "metrics.h"

typedef struct Peer Peer;

/*
 * peers_setup takes the limits and the list of proxies, again after a reload;
 * false, with the old list in force, if it cannot be read.
 */
extern bool peers_setup(const Config *config);
extern void peers_release(void);

/* peers_is_proxy says whether the address may speak for others. */
extern bool peers_is_proxy(const Address *address);

/*
 * peers_admit counts a connection of that address.  Returns NULL, with the
 * series to count in *refused, if it has too many or opens them too fast.
 */
extern Peer *peers_admit(const Address *address, Metric *refused);

/*
 * peers_admit_forwarded does the same for whom a proxy of ours speaks for,
 * by its X-Forwarded-For ("" = none); see address_forwarded.  Who cannot be
 * told is let in, with *peer NULL, and with a complaint unless it only probes:
 * limits by address then do not apply.
 */
extern bool
peers_admit_forwarded(const char *header, bool is_upgrade, Peer **peer);

/* peers_leave ends what peers_admit began.  Safe on NULL. */
extern void peers_leave(Peer *peer);

/* peers_address is the whole address of the newest connection counted there. */
extern const Address *peers_address(const Peer *peer);

/* peers_tick forgets addresses that nothing is to be remembered of. */
extern void peers_tick(int64_t now_ms);

#endif
