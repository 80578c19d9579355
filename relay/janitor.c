/*
 * janitor.c
 *		Everything that happens because time passes.
 *
 * One timer for the whole relay, so that all timeouts are found in one place
 * and none is forgotten by a closing object: reconnects and hanging statements
 * (pgconn), handshakes and closings (ws), silence and slowness (session),
 * pushes that waited too long or are due again (writer), repeated reads
 * (reader), the seldom poll of the heads, and the end of a drain.
 *
 * A timeout is therefore up to a tick late, which none of them minds.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "janitor.h"

#include "api.h"
#include "drain.h"
#include "feed.h"
#include "loop.h"
#include "pgconn.h"
#include "reader.h"
#include "session.h"
#include "writer.h"
#include "ws.h"

#define TICK_MS 50

static int64_t heads_interval_ms;
static int64_t next_heads_ms;

static void
tick(void)
{
	int64_t now_ms = loop_now_ms();

	pgconn_tick(now_ms);
	ws_tick(now_ms);
	apiconn_tick(now_ms);
	api_tick(now_ms);
	session_tick(now_ms);
	writer_tick(now_ms);
	reader_tick(now_ms);
	if (now_ms >= next_heads_ms)
	{
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
