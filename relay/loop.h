/*
 * loop.h
 *		The event loop: one libuv loop, and the work at the end of each turn.
 *
 * A turn is one round of I/O callbacks.  Whatever can be done once for many
 * events of a turn (one write to a socket, one group to the database, one
 * free of an object that somebody may still be looking at) is put off to the
 * end of the turn, just before the loop would sleep.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_LOOP_H
#define MIRUSYNC_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "status.h"

/* Work for the end of the turn; embedded in the object that it is about. */
typedef struct TurnTask
{
	struct TurnTask *prev; /* utlist links, while queued */
	struct TurnTask *next;
	void (*run)(void *arg); /* may free the task */
	void *arg;
	bool queued;
} TurnTask;

extern Status loop_init(void) MUST_CHECK;
extern void loop_run(void); /* until loop_stop */
extern void loop_stop(void);

/*
 * loop_release closes our handles, runs the loop until every handle of
 * everybody is closed (or a second has passed) and closes the loop.
 */
extern void loop_release(void);

extern uv_loop_t *loop_uv(void);

/* loop_now_ms is monotonic and cached for the turn; loop_wall_ms is since 1970. */
extern int64_t loop_now_ms(void);
extern int64_t loop_wall_ms(void);

/*
 * loop_before_sleep calls "look" at the end of every turn, when the turn's
 * tasks have run: what it queues runs in a turn that follows at once.
 */
extern void loop_before_sleep(void (*look)(void));

/*
 * loop_tick calls "tick" once, in "after_ms": the janitor's timer.  Called again
 * before that, it is set anew.
 */
extern Status loop_tick(int64_t after_ms, void (*tick)(void)) MUST_CHECK;

/*
 * loop_task_init prepares an embedded task.  loop_at_turn_end queues it once,
 * however often it is called before it runs; tasks run in order of queueing,
 * and what they queue runs in the same turn.  loop_task_cancel unqueues it;
 * an object with a task calls it before it is freed.
 */
extern void loop_task_init(TurnTask *task, void (*run)(void *arg), void *arg);
extern void loop_at_turn_end(TurnTask *task);
extern void loop_task_cancel(TurnTask *task);

#endif
