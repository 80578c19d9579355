/*
 * merge_rules.c
 *     Which of two values of a field or record stands.
 *
 * Pure: no table, no clock of its own, no memory; the unit tests link it
 * alone.  apply.c applies the answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "merge_rules.h"

bool
miru_rule_parse(const char *name, MiruRule *rule)
{
	if (strcmp(name, "lww") == 0)
		*rule = MIRU_RULE_LWW;
	else if (strcmp(name, "lww_field") == 0)
		*rule = MIRU_RULE_LWW_FIELD;
	else
		return false;
	return true;
}

bool
miru_lww_wins(const MiruStamp *stored, const MiruStamp *incoming,
			  bool ties_lose)
{
	if (incoming->clock != stored->clock)
		return incoming->clock > stored->clock;
	return !ties_lose && strcmp(incoming->device, stored->device) > 0;
}

bool
miru_lww_delete_wins(const MiruStamp *stored, const MiruStamp *incoming,
					 bool ties_lose, int64 slack_ms)
{
	if (slack_ms > 0)
		return hlc_ms(stored->clock) <= hlc_ms(incoming->clock) + slack_ms;
	return miru_lww_wins(stored, incoming, ties_lose);
}

bool
miru_is_concurrent(const MiruStamp *stored, int64 base, const char *device)
{
	return stored->seq > base && strcmp(stored->device, device) != 0;
}
