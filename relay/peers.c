/*
 * peers.c
 *		The addresses that connections come from, and what each may do.
 *
 * Owns one Peer per address that has connections, or had some so lately that
 * its rate is still to be remembered.
 *
 * Bounds: there are at most as many peers with connections as connections,
 * and at most IDLE_MAX without.  Beyond that the one that has been without
 * longest is forgotten: whoever can speak from so many addresses is not
 * stopped by a limit on each.
 *
 * Limits count per process.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "peers.h"

#include <uthash.h>
#include <utlist.h>

#include "alloc.h"
#include "bucket.h"
#include "log.h"

#define IDLE_MAX 20000

struct Peer
{
	UT_hash_handle hh; /* by person */
	struct Peer *prev; /* idle ones, longest first */
	struct Peer *next;
	Address person;
	Address address; /* of the newest connection */
	int connections;
	Bucket bucket;
};

static Peer *peers;
static Peer *idle;
static int idle_count;
static AddressRanges proxies;
static int connections_per_address;
static int rate;
static int64_t burst_us;

bool
peers_setup(const Config *config)
{
	AddressRanges ranges;
	const char *bad = address_ranges_parse(&ranges, config->trusted_proxies);

	if (bad != NULL)
	{
		log_error("trusted_proxies has no address range value=\"%s\"", bad);
		return false;
	}
	address_ranges_release(&proxies);
	proxies = ranges;
	connections_per_address = config->connections_per_address;
	rate = config->connection_rate_per_address;
	burst_us = config->rate_burst_ms * 1000;
	return true;
}

static void
forget(Peer *peer)
{
	DL_DELETE(idle, peer);
	idle_count--;
	HASH_DEL(peers, peer);
	free(peer);
}

void
peers_release(void)
{
	while (idle != NULL)
		forget(idle);
	address_ranges_release(&proxies);
}

bool
peers_is_proxy(const Address *address)
{
	return address_in(address, &proxies);
}

static Peer *
find(const Address *address)
{
	Address person = address_person(address);
	Peer *peer;

	HASH_FIND(hh, peers, &person, sizeof(person), peer);
	if (peer != NULL)
		return peer;
	peer = alloc_zero(sizeof(Peer));
	peer->person = person;
	HASH_ADD(hh, peers, person, sizeof(person), peer);
	DL_APPEND(idle, peer);
	idle_count++; /* not for long: who is new is let in */
	return peer;
}

Peer *
peers_admit(const Address *address, Metric *refused)
{
	Peer *peer = find(address);

	if (connections_per_address > 0 &&
		peer->connections >= connections_per_address)
		*refused = METRIC_REFUSED_ADDRESS_CONNECTIONS;
	else if (!bucket_take(&peer->bucket, metrics_now_us(), rate, burst_us))
		*refused = METRIC_REFUSED_ADDRESS_RATE;
	else
	{
		peer->address = *address;
		if (peer->connections++ == 0)
		{
			DL_DELETE(idle, peer);
			idle_count--;
		}
		metrics_set(METRIC_ADDRESSES, HASH_COUNT(peers));
		return peer;
	}
	metrics_count(*refused);
	return NULL;
}

bool
peers_admit_forwarded(const char *header, bool is_upgrade, Peer **peer)
{
	static LogLimit limit;
	Address client;
	Metric refused;

	*peer = NULL;
	if (!address_forwarded(header, &proxies, &client))
	{
		if (is_upgrade)
			log_limited(&limit, LOG_LEVEL_WARN,
						"proxy does not say whom it speaks for: no readable "
						"X-Forwarded-For");
		return true;
	}
	*peer = peers_admit(&client, &refused);
	return *peer != NULL;
}

void
peers_leave(Peer *peer)
{
	if (peer == NULL || --peer->connections > 0)
		return;
	DL_APPEND(idle, peer);
	if (++idle_count > IDLE_MAX)
		forget(idle);
	else if (bucket_is_full(&peer->bucket, metrics_now_us()))
		forget(peer);
	metrics_set(METRIC_ADDRESSES, HASH_COUNT(peers));
}

const Address *
peers_address(const Peer *peer)
{
	return &peer->address;
}

void
peers_tick(int64_t now_ms)
{
	static int64_t next_ms;
	int64_t now_us = metrics_now_us();
	Peer *peer, *next;

	if (now_ms < next_ms)
		return;
	next_ms = now_ms + 1000;
	DL_FOREACH_SAFE(idle, peer, next)
		if (bucket_is_full(&peer->bucket, now_us))
			forget(peer);
	metrics_set(METRIC_ADDRESSES, HASH_COUNT(peers));
}
