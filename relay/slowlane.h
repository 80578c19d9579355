/*
 * slowlane.h
 *		Where pushes go that met a lock: one at a time, with patience.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_SLOWLANE_H
#define MIRUSYNC_SLOWLANE_H

#include "config.h"
#include "push.h"

extern void slowlane_init(const Config *config);
extern void slowlane_rest(void);
extern void slowlane_release(void);

/*
 * slowlane_add takes over a push that nobody else holds.  Until the slow ones
 * of its stream are settled the writer holds the later ones back; then
 * writer_resume is called.
 */
extern void slowlane_add(Push *push);

/* slowlane_gone says that a waiting push was unlinked by the writer. */
extern void slowlane_gone(PushStream *stream);

/* slowlane_tick sends what is due again. */
extern void slowlane_tick(void);

#endif
