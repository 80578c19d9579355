/*
 * quota.c
 *		How much a session, and a user, may send in a while.
 *
 * Owns two buckets per session, two per user, and the list of sessions that
 * are held back.
 *
 * A message is never refused for coming too fast: a device's changes must stay
 * in order, and one that is refused would be overtaken by the next.  It is
 * charged, and if that leaves a bucket in debt the session is not read from
 * until the debt is paid; TCP tells the device.  So one message at most is
 * taken beyond the rate, per session.
 *
 * A request over HTTP is refused instead: it has an answer of its own, and its
 * client waits for that before it sends what comes next.  It counts with its
 * user, and with no session.
 *
 * What a user has used is remembered until it is paid, so a new session is
 * not a new beginning.  Bound: only users whose buckets are not full are
 * remembered without a session, and IDLE_MAX of them.
 *
 * Rates count per process.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "quota.h"

#include <uthash.h>
#include <utlist.h>

#include "alloc.h"
#include "bucket.h"

#define IDLE_MAX 20000

typedef struct UserQuota
{
	UT_hash_handle hh;
	struct UserQuota *prev; /* those without a session, longest first */
	struct UserQuota *next;
	int sessions;
	Bucket messages;
	Bucket bytes;
	char user[];
} UserQuota;

struct Quota
{
	Quota *prev; /* those that are held back */
	Quota *next;
	UserQuota *user;
	Bucket messages;
	Bucket bytes;
	int64_t held_until_us; /* 0 = not held back */
	void (*resume)(void *arg);
	void *arg;
};

static const Config *config;
static UserQuota *users;
static UserQuota *idle;
static int idle_count;
static Quota *held;

void
quota_setup(const Config *config_)
{
	config = config_;
}

static void
forget(UserQuota *user)
{
	DL_DELETE(idle, user);
	idle_count--;
	HASH_DEL(users, user);
	free(user);
}

static UserQuota *
user_get(const char *name)
{
	size_t len = strlen(name);
	UserQuota *user;

	HASH_FIND(hh, users, name, len, user);
	if (user == NULL)
	{
		user = alloc_zero(sizeof(UserQuota) + len + 1);
		memcpy(user->user, name, len);
		HASH_ADD(hh, users, user[0], len, user);
	}
	else if (user->sessions == 0)
	{
		DL_DELETE(idle, user);
		idle_count--;
	}
	user->sessions++;
	return user;
}

static void
user_leave(UserQuota *user)
{
	int64_t now_us = metrics_now_us();

	if (--user->sessions > 0)
		return;
	DL_APPEND(idle, user);
	if (++idle_count > IDLE_MAX)
		forget(idle);
	else if (bucket_is_full(&user->messages, now_us) &&
			 bucket_is_full(&user->bytes, now_us))
		forget(user);
}

Quota *
quota_new(const char *user, void (*resume)(void *arg), void *arg)
{
	Quota *quota = alloc_zero(sizeof(Quota));

	quota->user = user_get(user);
	quota->resume = resume;
	quota->arg = arg;
	return quota;
}

static void
let_go(Quota *quota)
{
	if (quota->held_until_us == 0)
		return;
	quota->held_until_us = 0;
	DL_DELETE(held, quota);
	metrics_values[METRIC_HELD_NOW]--;
}

void
quota_free(Quota *quota)
{
	let_go(quota);
	user_leave(quota->user);
	free(quota);
}

bool
quota_charge(Quota *quota, size_t bytes)
{
	int64_t now_us = metrics_now_us();
	int64_t burst_us = config->rate_burst_ms * 1000;
	int64_t worst_us = 0;
	const struct
	{
		Bucket *bucket;
		int64_t amount;
		int64_t rate;
		Metric metric;
	} bounds[] = {{&quota->messages, 1, config->session_messages_per_second,
				   METRIC_HELD_SESSION_MESSAGES},
				  {&quota->bytes, (int64_t) bytes,
				   (int64_t) config->session_bytes_per_second,
				   METRIC_HELD_SESSION_BYTES},
				  {&quota->user->messages, 1, config->user_messages_per_second,
				   METRIC_HELD_USER_MESSAGES},
				  {&quota->user->bytes, (int64_t) bytes,
				   (int64_t) config->user_bytes_per_second,
				   METRIC_HELD_USER_BYTES}};
	Metric metric = METRICS;

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
	{
		int64_t wait_us = bucket_charge(bounds[i].bucket, now_us,
										bounds[i].amount, bounds[i].rate,
										burst_us);

		if (wait_us > worst_us)
		{
			worst_us = wait_us;
			metric = bounds[i].metric;
		}
	}
	if (worst_us == 0)
		return quota->held_until_us != 0;
	if (quota->held_until_us == 0)
	{
		metrics_count(metric);
		metrics_values[METRIC_HELD_NOW]++;
		DL_APPEND(held, quota);
	}
	quota->held_until_us = now_us + worst_us;
	return true;
}

int64_t
quota_ask(const char *user, size_t bytes, Metric *bound)
{
	int64_t now_us = metrics_now_us();
	int64_t burst_us = config->rate_burst_ms * 1000;
	int64_t message_rate = config->user_messages_per_second;
	int64_t byte_rate = (int64_t) config->user_bytes_per_second;
	UserQuota *quota = user_get(user);
	int64_t messages_us = bucket_debt_us(&quota->messages, now_us, message_rate,
										 burst_us);
	int64_t bytes_us = bucket_debt_us(&quota->bytes, now_us, byte_rate,
									  burst_us);

	if (messages_us == 0 && bytes_us == 0)
	{
		(void) bucket_charge(&quota->messages, now_us, 1, message_rate,
							 burst_us);
		(void) bucket_charge(&quota->bytes, now_us, (int64_t) bytes, byte_rate,
							 burst_us);
	}
	user_leave(quota);
	*bound = messages_us > bytes_us ? METRIC_REQUESTS_USER_MESSAGES
									: METRIC_REQUESTS_USER_BYTES;
	return ((messages_us > bytes_us ? messages_us : bytes_us) + 999) / 1000;
}

void
quota_tick(int64_t now_ms)
{
	static int64_t next_ms;
	int64_t now_us = metrics_now_us();
	Quota *quota, *next;
	UserQuota *user, *next_user;

	DL_FOREACH_SAFE(held, quota, next)
		if (quota->held_until_us <= now_us)
		{
			let_go(quota);
			quota->resume(quota->arg);
		}
	if (now_ms < next_ms)
		return;
	next_ms = now_ms + 1000;
	DL_FOREACH_SAFE(idle, user, next_user)
		if (bucket_is_full(&user->messages, now_us) &&
			bucket_is_full(&user->bytes, now_us))
			forget(user);
}

bool
quota_is_idle(void)
{
	return held == NULL;
}

void
quota_release(void)
{
	while (idle != NULL)
		forget(idle);
}
