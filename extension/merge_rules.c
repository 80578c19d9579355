/*
 * merge_rules.c
 *     Which of two values of a field or record stands.
 *
 * Pure: no table, no clock of its own, no memory; the unit tests link it
 * alone.  merge_fields.c finds out what is to be compared and applies the
 * answer.
 *
 * Rules that claim that the order of arrival does not matter (lww, lww_field,
 * max, min, counter) choose by a total order over the writes themselves, which
 * is clock and device, or value, clock and device; or they add.  first_wins
 * and server_wins choose by who knew of whom, which is a matter of arrival.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "merge_rules.h"

typedef struct RuleInfo
{
	const char *name;
	bool is_for_collections;
	bool is_for_fields;
	bool needs_values;
} RuleInfo;

static const RuleInfo rules[] = {
	[MIRU_RULE_LWW] = {"lww", true, false, false},
	[MIRU_RULE_LWW_FIELD] = {"lww_field", true, true, false},
	[MIRU_RULE_FIRST_WINS] = {"first_wins", true, true, false},
	[MIRU_RULE_SERVER_WINS] = {"server_wins", true, true, false},
	[MIRU_RULE_MAX] = {"max", false, true, true},
	[MIRU_RULE_MIN] = {"min", false, true, true},
	[MIRU_RULE_COUNTER] = {"counter", false, true, true},
	[MIRU_RULE_MANUAL] = {"manual", true, true, false},
	[MIRU_RULE_SET] = {"set", false, true, true},
	[MIRU_RULE_FUNCTION] = {"", false, true, false},
};

bool
miru_rule_parse(const char *name, MiruRule *rule)
{
	for (int i = 0; i < MIRU_RULE_FUNCTION; i++)
	{
		if (strcmp(name, rules[i].name) != 0)
			continue;
		*rule = (MiruRule) i;
		return true;
	}
	return false;
}

const char *
miru_rule_name(MiruRule rule)
{
	return rules[rule].name;
}

bool
miru_rule_is_for_collections(MiruRule rule)
{
	return rules[rule].is_for_collections;
}

bool
miru_rule_is_for_fields(MiruRule rule)
{
	return rules[rule].is_for_fields;
}

bool
miru_rule_needs_values(MiruRule rule)
{
	return rules[rule].needs_values;
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

/* is_by_clock: of adding and removing an element the newer counts. */
static bool
is_by_clock(const MiruStamp *stored, const MiruStamp *incoming, int64 base)
{
	return base == MIRU_BASE_UNKNOWN ||
		strcmp(stored->device, incoming->device) == 0;
}

bool
miru_add_stands(const MiruStamp *removed, const MiruStamp *incoming, int64 base)
{
	return !is_by_clock(removed, incoming, base) ||
		incoming->clock >= removed->clock;
}

bool
miru_remove_stands(const MiruStamp *added, const MiruStamp *incoming,
				   int64 base)
{
	if (is_by_clock(added, incoming, base))
		return incoming->clock > added->clock;
	return !miru_is_unseen(added, base);
}

static const char *const delete_rules[] = {
	[MIRU_UPDATE_WINS] = "update_wins",
	[MIRU_DELETE_WINS] = "delete_wins",
	[MIRU_DELETE_MANUAL] = "manual",
};

bool
miru_delete_rule_parse(const char *name, MiruDeleteRule *rule)
{
	for (int i = 0; i < (int) lengthof(delete_rules); i++)
	{
		if (strcmp(name, delete_rules[i]) != 0)
			continue;
		*rule = (MiruDeleteRule) i;
		return true;
	}
	return false;
}

const char *
miru_delete_rule_name(MiruDeleteRule rule)
{
	return delete_rules[rule];
}

MiruDecision
miru_decide_delete(MiruDeleteRule rule, bool incoming_deletes,
				   bool is_concurrent, bool incoming_is_last)
{
	MiruDecision decision = {incoming_is_last, false};

	if (!is_concurrent)
		return decision;
	decision.incoming_stands = rule == MIRU_UPDATE_WINS ? !incoming_deletes
		: rule == MIRU_DELETE_WINS						? incoming_deletes
														: false;
	/* An update that wins has all the fields: nothing is lost. */
	decision.lost = rule != MIRU_UPDATE_WINS;
	return decision;
}

bool
miru_is_unseen(const MiruStamp *stamp, int64 base)
{
	return stamp->seq == 0 || stamp->seq > base;
}

bool
miru_is_concurrent(const MiruStamp *stored, int64 base, const char *device)
{
	return miru_is_unseen(stored, base) && strcmp(stored->device, device) != 0;
}

/*
 * replaces: a value whose writer knew of the stored one.  What a device itself
 * wrote it knows, but its changes may arrive in another order.
 */
static bool
replaces(const MiruContest *contest)
{
	return !miru_is_unseen(&contest->stored, contest->base) ||
		contest->incoming.clock >= contest->stored.clock;
}

/*
 * is_beyond: the greater value wins, or with "sign" -1 the lesser one; of
 * equal ones (1.0 and 1.00) the last written.  No value loses against any.
 */
static bool
is_beyond(const MiruContest *contest, int sign)
{
	if (contest->has_incoming != contest->has_stored)
		return contest->has_incoming;
	if (contest->has_incoming && contest->order != 0)
		return (contest->order > 0) == (sign > 0);
	return miru_lww_wins(&contest->stored, &contest->incoming,
						 contest->ties_lose);
}

MiruDecision
miru_decide(MiruRule rule, const MiruContest *contest)
{
	const MiruStamp *stored = &contest->stored;
	bool concurrent = miru_is_concurrent(stored, contest->base,
										 contest->incoming.device);
	bool last = miru_lww_wins(stored, &contest->incoming, contest->ties_lose);
	/* Without a base what goes by clocks is an ordinary overwriting. */
	bool told = contest->base != MIRU_BASE_UNKNOWN;
	MiruDecision decision = {false, concurrent && contest->order != 0};

	if (contest->since == MIRU_UNCHANGED)
	{
		decision.lost = false;
		return decision;
	}
	/* It may be unchanged, and must not undo what others did since. */
	if (contest->since == MIRU_NOT_TOLD && concurrent &&
		!miru_rule_needs_values(rule))
		return decision;
	switch (rule)
	{
		case MIRU_RULE_LWW:
		case MIRU_RULE_LWW_FIELD:
			decision.incoming_stands = last;
			decision.lost &= told;
			break;
		case MIRU_RULE_FIRST_WINS:
		case MIRU_RULE_MANUAL:
		case MIRU_RULE_FUNCTION:
			decision.incoming_stands = !concurrent && replaces(contest);
			break;
		case MIRU_RULE_SERVER_WINS:
			decision.incoming_stands = last &&
				!(concurrent && stored->device[0] == '\0');
			decision.lost &= told || stored->device[0] == '\0';
			break;
		case MIRU_RULE_MAX:
		case MIRU_RULE_MIN:
			decision.incoming_stands =
				is_beyond(contest, rule == MIRU_RULE_MAX ? 1 : -1);
			decision.lost = false;
			break;
		case MIRU_RULE_COUNTER:
		case MIRU_RULE_SET:
			decision.incoming_stands = contest->has_incoming;
			decision.lost = false;
			break;
	}
	return decision;
}
