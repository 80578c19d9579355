/*
 * janitor.h
 *		Everything that happens because time passes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JANITOR_H
#define MIRUSYNC_JANITOR_H

#include "config.h"
#include "status.h"

extern Status janitor_start(const Config *config) MUST_CHECK;

#endif
