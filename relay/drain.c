/*
 * drain.c
 *		The orderly end.
 *
 * Stop accepting, let the sessions finish, wait until they are gone and until
 * the messages that had been received are written.
 *
 * A session that leaves is not read from any more, gets the answers that it is
 * owed and the rest of its catch-up, and then the close frame: what was sent before it is answered, what
 * comes later is not taken, and its device sends it again elsewhere.  Half of
 * the time is for that; the rest is for closing handshakes, and for pushes
 * whose answers nobody waits for any longer.
 *
 * All devices would come back in one moment, and the next relay would get in a
 * second what this one got in a day.  Those of the native protocol are told
 * how long to wait, at random.  The event protocol has no word for it: there
 * the sessions leave at random moments, and go on until then.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "drain.h"

#include "acceptor.h"
#include "api.h"
#include "bell.h"
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
drain_start(const Config *config)
{
	int64_t now_ms = loop_now_ms();
	int64_t leave_ms = config->drain_timeout_ms / 2;

	if (draining)
	{
		log_warn("stopping at once sessions=%d", session_count());
		loop_stop();
		return;
	}
	draining = true;
	deadline_ms = now_ms + config->drain_timeout_ms;
	log_info("stopping sessions=%d", session_count());
	acceptor_close();
	gate_close();
	ws_drop_handshakes();
	bell_hurry();
	guest_close_all(CLOSE_GOING_AWAY, "server is going away");
	apiconn_drop_idle();
	api_drain();
	session_drain(now_ms + leave_ms,
				  config->drain_spread_ms < leave_ms ? config->drain_spread_ms
													 : leave_ms);
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
