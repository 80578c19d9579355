/*
 * reload.h
 *		Settings that are read again while the relay runs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_RELOAD_H
#define MIRUSYNC_RELOAD_H

#include "config.h"

/*
 * reload takes what has changed in the file and the environment into "config",
 * as far as that can be done; a bad file changes nothing.
 */
extern void reload(Config *config, const char *path, char **envp);

#endif
