/*
 * drain.c
 *		The orderly end.
 *
 * Stop accepting, close the sessions, wait until they are gone and until the
 * messages that had been received are written.  Their senders are not told (the
 * close frame has gone out already) and will send them again, which does no
 * harm; a client that was closing for good has got them written.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "drain.h"

#include "acceptor.h"
#include "api.h"
#include "gate.h"
#include "guest.h"
#include "log.h"
#include "loop.h"
#include "session.h"
#include "writer.h"
#include "ws.h"

static bool draining;
static int64_t deadline_ms;

void
drain_start(int64_t timeout_ms)
{
	if (draining)
	{
		log_warn("stopping at once sessions=%d", session_count());
		loop_stop();
		return;
	}
	draining = true;
	deadline_ms = loop_now_ms() + timeout_ms;
	log_info("stopping sessions=%d", session_count());
	acceptor_close();
	gate_close();
	ws_drop_handshakes();
	guest_close_all(CLOSE_GOING_AWAY, "server is going away");
	apiconn_drop_idle();
	api_drain();
	session_close_all(CLOSE_GOING_AWAY, "server is going away");
}

bool
drain_is_on(void)
{
	return draining;
}

void
drain_tick(int64_t now_ms)
{
	if (!draining)
		return;
	if (ws_count() + apiconn_count() > 0 || !writer_is_idle())
	{
		if (now_ms < deadline_ms)
			return;
		log_warn("stopping late connections=%d", ws_count() + apiconn_count());
	}
	loop_stop();
}
