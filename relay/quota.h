/*
 * quota.h
 *		How much a session, and a user, may send in a while.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_QUOTA_H
#define MIRUSYNC_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "metrics.h"

typedef struct Quota Quota;

/* quota_setup takes the limits; "config" must outlive the quotas. */
extern void quota_setup(const Config *config);

/*
 * quota_new makes that of one session.  "resume" is called, with "arg", when
 * what quota_charge held back may go on.
 */
extern Quota *quota_new(const char *user, void (*resume)(void *arg), void *arg);
extern void quota_free(Quota *quota);

/*
 * quota_charge pays for a message that has come.  Returns true if the session
 * is now held back: read no more from it until "resume".
 */
extern bool quota_charge(Quota *quota, size_t bytes);

/*
 * quota_ask pays for a request of the user that belongs to no session.  If he
 * is in debt nothing is paid, and it returns in how many ms he is not, and the
 * series to count; else 0.
 */
extern int64_t quota_ask(const char *user, size_t bytes, Metric *bound);

/* quota_tick lets those go on that have paid, and forgets users. */
extern void quota_tick(int64_t now_ms);

/* quota_is_idle: nobody is held back. */
extern bool quota_is_idle(void);

extern void quota_release(void);

#endif
