/*
 * janitor.c
 *		Everything that happens because time passes.
 *
 * One timer for the whole relay, so that all timeouts are found in one place
 * and none is forgotten by a closing object: reconnects and hanging statements
 * (pgconn), handshakes and closings (ws), guests that are not let in (guest),
 * silence, slowness and the end of a token (session), the seldom question who
 * may still be here (access), changed keys (keyring),
 * pushes that waited too long or are due again (writer), repeated reads
 * (reader), the seldom poll of the heads, and the end of a drain.
 *
 * A timeout is therefore up to a tick late, which none of them minds.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "janitor.h"

#include "access.h"
#include "api.h"
#include "drain.h"
#include "feed.h"
#include "guest.h"
#include "keyring.h"
#include "loop.h"
#include "notify.h"
#include "peers.h"
#include "pgconn.h"
#include "quota.h"
#include "reader.h"
#include "session.h"
#include "tls.h"
#include "writer.h"
#include "ws.h"

#define TICK_MS 50

/* How often the heads are read because somebody rang for all feeds. */
#define HEADS_PAUSE_MS 1000

static int64_t heads_interval_ms;
static int64_t next_heads_ms;
static int64_t last_heads_ms;

static void
tick(void)
{
	int64_t now_ms = loop_now_ms();

	pgconn_tick(now_ms);
	ws_tick(now_ms);
	apiconn_tick(now_ms);
	api_tick(now_ms);
	tls_tick(now_ms);
	peers_tick(now_ms);
	quota_tick(now_ms);
	notify_tick(now_ms);
	session_tick(now_ms);
	guest_tick(now_ms);
	access_tick(now_ms);
	keyring_tick(now_ms);
	writer_tick(now_ms);
	reader_tick(now_ms);
	if (now_ms >= next_heads_ms ||
		(feed_all_have_rung() && now_ms >= last_heads_ms + HEADS_PAUSE_MS))
	{
		last_heads_ms = now_ms;
		next_heads_ms = now_ms + heads_interval_ms;
		feed_check_heads();
	}
	drain_tick(now_ms);
}

Status
janitor_start(const Config *config)
{
	heads_interval_ms = config->heads_poll_interval_ms;
	next_heads_ms = loop_now_ms() + heads_interval_ms;
	return loop_tick(TICK_MS, tick);
}
