/*
 * loop.c
 *		The event loop: one libuv loop, and the work at the end of each turn.
 *
 * Owns the uv loop, the queue of turn-end tasks and the janitor's timer.
 *
 * Ordering: libuv runs timers, then our prepare callback, then sleeps for I/O
 * and runs the I/O callbacks.  The prepare callback is therefore the last
 * thing before the loop sleeps: nothing queued by an I/O callback or a timer
 * waits for a later event.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "loop.h"

#include <time.h>
#include <utlist.h>

#include "log.h"

/*
 * Tasks may queue tasks; a cycle of them must not keep the loop from its
 * sockets, so after so many the rest waits for the next turn.
 */
#define TASKS_PER_TURN 100000

static uv_loop_t loop;
static uv_prepare_t prepare;
static uv_idle_t again; /* active while tasks are left over */
static uv_timer_t ticker;
static void (*on_tick)(void);
static void (*on_sleep)(void); /* NULL = nothing to look at */
static TurnTask *tasks;

static void
on_idle(uv_idle_t *handle)
{
	(void) handle; /* its being active keeps the loop awake */
}

static void
on_prepare(uv_prepare_t *handle)
{
	int budget = TASKS_PER_TURN;

	(void) handle;
	while (tasks != NULL && budget-- > 0)
	{
		TurnTask *task = tasks;

		DL_DELETE(tasks, task);
		task->queued = false;
		task->run(task->arg);
	}
	if (on_sleep != NULL)
		on_sleep();
	if (tasks != NULL)
		uv_idle_start(&again, on_idle);
	else
		uv_idle_stop(&again);
}

static void
on_timer(uv_timer_t *handle)
{
	(void) handle;
	on_tick();
}

Status
loop_init(void)
{
	int rc = uv_loop_init(&loop);

	if (rc != 0)
	{
		log_error("event loop could not start reason=\"%s\"", uv_strerror(rc));
		return STATUS_FAILED;
	}
	uv_prepare_init(&loop, &prepare);
	uv_idle_init(&loop, &again);
	uv_timer_init(&loop, &ticker);
	uv_prepare_start(&prepare, on_prepare);
	return STATUS_OK;
}

uv_loop_t *
loop_uv(void)
{
	return &loop;
}

void
loop_run(void)
{
	uv_run(&loop, UV_RUN_DEFAULT);
}

void
loop_stop(void)
{
	uv_stop(&loop);
}

void
loop_release(void)
{
	uint64_t deadline;

	uv_close((uv_handle_t *) &ticker, NULL);
	uv_close((uv_handle_t *) &again, NULL);
	on_sleep = NULL;
	/* Tasks free objects, so they run once more before their queue ends. */
	on_prepare(&prepare);
	uv_close((uv_handle_t *) &prepare, NULL);

	deadline = uv_now(&loop) + 1000;
	while (uv_run(&loop, UV_RUN_NOWAIT) != 0 && uv_now(&loop) < deadline)
		;
	if (uv_loop_close(&loop) != 0)
		log_warn("event loop closed with open handles");
}

int64_t
loop_now_ms(void)
{
	return (int64_t) uv_now(&loop);
}

int64_t
loop_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
loop_before_sleep(void (*look)(void))
{
	on_sleep = look;
}

Status
loop_tick(int64_t after_ms, void (*tick)(void))
{
	on_tick = tick;
	if (uv_timer_start(&ticker, on_timer, (uint64_t) after_ms, 0) != 0)
	{
		log_error("timer could not start");
		return STATUS_FAILED;
	}
	return STATUS_OK;
}

void
loop_task_init(TurnTask *task, void (*run)(void *arg), void *arg)
{
	task->prev = NULL;
	task->next = NULL;
	task->run = run;
	task->arg = arg;
	task->queued = false;
}

void
loop_at_turn_end(TurnTask *task)
{
	if (task->queued)
		return;
	task->queued = true;
	DL_APPEND(tasks, task);
}

void
loop_task_cancel(TurnTask *task)
{
	if (!task->queued)
		return;
	DL_DELETE(tasks, task);
	task->queued = false;
}
