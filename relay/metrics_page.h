/*
 * metrics_page.h
 *		What GET /metrics answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_METRICS_PAGE_H
#define MIRUSYNC_METRICS_PAGE_H

#include "ws.h"

/* metrics_page fills the reply; its body is valid until the next call. */
extern void metrics_page(HttpReply *reply);
extern void metrics_page_release(void);

#endif
