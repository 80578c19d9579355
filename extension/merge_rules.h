/*
 * merge_rules.h
 *     Which of two values of a field or record stands: pure functions over
 *     their stamps.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_MERGE_RULES_H
#define MIRUSYNC_MERGE_RULES_H

#include "stamps.h"

typedef enum MiruRule
{
	MIRU_RULE_LWW,		/* last write wins, for the record as a whole */
	MIRU_RULE_LWW_FIELD /* last write wins, for each field */
} MiruRule;

/* miru_rule_parse finds a rule by its name; false if there is none. */
extern bool miru_rule_parse(const char *name, MiruRule *rule);

/*
 * miru_lww_wins tells whether the incoming value replaces the stored one:
 * the newer clock wins, and of equal clocks the device id that sorts last, so
 * that every order of arrival ends with the same value.  With "ties_lose",
 * for devices that have no id, equal clocks leave what is stored.
 */
extern bool miru_lww_wins(const MiruStamp *stored, const MiruStamp *incoming,
						  bool ties_lose);

/*
 * miru_lww_delete_wins is the same for a delete, which wins too where the
 * stored value is newer by no more than "slack_ms": deletes of the practice
 * log carry no stamp of their own but the event's.
 */
extern bool
miru_lww_delete_wins(const MiruStamp *stored, const MiruStamp *incoming,
					 bool ties_lose, int64 slack_ms);

/*
 * miru_is_concurrent tells whether the stored value was written by another
 * device after the number that the incoming change's device had seen.
 */
extern bool
miru_is_concurrent(const MiruStamp *stored, int64 base, const char *device);

#endif /* MIRUSYNC_MERGE_RULES_H */
