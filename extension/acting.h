/*
 * acting.h
 *     Running the application's statements and triggers as its own role.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ACTING_H
#define MIRUSYNC_ACTING_H

/* What to go back to. */
typedef struct MiruActing
{
	Oid role;
	int security_context;
} MiruActing;

/*
 * miru_act_as makes what follows run as a role, which can leave nothing behind
 * in the session, until miru_act_end.  An error in between goes back by
 * itself, when its (sub)transaction is rolled back.
 */
extern void miru_act_as(Oid role, MiruActing *saved);
extern void miru_act_end(const MiruActing *saved);

/* miru_acting_init installs the hook; called once, when loaded. */
extern void miru_acting_init(void);

#endif /* MIRUSYNC_ACTING_H */
