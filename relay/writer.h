/*
 * writer.h
 *		The way in: pushes of many sessions, grouped into few commits.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WRITER_H
#define MIRUSYNC_WRITER_H

#include "config.h"
#include "push.h"
#include "status.h"

/* writer_init makes the connections; writer_start lets them connect. */
extern void writer_init(const Config *config);
extern void writer_start(void);

/* writer_rest closes them until writer_start; nothing may be under way. */
extern void writer_rest(void);
extern void writer_release(void);

extern PushStream *push_stream_new(const char *session_id, const char *user,
								   const Dialect *dialect);
extern void push_stream_unref(PushStream *stream);

/*
 * writer_submit queues a message.  Its verdict comes once, through settled(),
 * never from within this call, and only after the commit.  STATUS_AGAIN: the
 * queue is full, nothing was queued.
 */
extern Status
writer_submit(PushStream *stream, const char *text, size_t len,
			  PushSettled settled, void *arg, Push **push) MUST_CHECK;

/* writer_forget drops who waits, not the push: the session has gone. */
extern void writer_forget(Push *push);

/* writer_tick gives up what waited too long and retries what is due. */
extern void writer_tick(int64_t now_ms);

/* writer_metrics sets the gauges. */
extern void writer_metrics(void);

extern bool writer_is_idle(void);  /* no push anywhere */
extern bool writer_is_ready(void); /* every group connection is up */

/* writer_set_max_batches bounds a group, as relay_hello says. */
extern void writer_set_max_batches(int max_batches);

#endif
