/*
 * convert.h
 *     Converting values of the application's types: always alike, and with no
 *     more rights than the application has.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CONVERT_H
#define MIRUSYNC_CONVERT_H

#include "registry.h"

/* What to go back to. */
typedef struct MiruConversion
{
	Oid role;
	int security_context;
	int settings;
} MiruConversion;

/*
 * miru_convert_begin makes what follows run as the table's owner and under
 * fixed settings, until miru_convert_end.  An error in between goes back by
 * itself, when its (sub)transaction is rolled back.
 */
extern void miru_convert_begin(MiruRelation *rel, MiruConversion *saved);
extern void miru_convert_end(const MiruConversion *saved);

/*
 * miru_settings_fix fixes only the settings, for a loop of conversions that
 * are then cheaper, until miru_settings_restore.
 */
extern int miru_settings_fix(void);

/*
 * miru_settings_fix_input fixes those that decide how a pushed value is read,
 * but not search_path: what it makes run is the application's.
 */
extern int miru_settings_fix_input(MiruRelation *rel);
extern void miru_settings_restore(int settings);

/*
 * miru_blame_value makes what a type's input function calls an internal error
 * an error of the value that it was given, until miru_blame_end.
 */
extern void miru_blame_value(ErrorContextCallback *callback);
extern void miru_blame_end(const ErrorContextCallback *callback);

#endif /* MIRUSYNC_CONVERT_H */
