/*
 * merge_rules.h
 *     Which of two values of a field or record stands: pure functions over
 *     the values' stamps and order.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_MERGE_RULES_H
#define MIRUSYNC_MERGE_RULES_H

#include "stamps.h"

typedef enum MiruRule
{
	MIRU_RULE_LWW,		   /* last write wins, for the record as a whole */
	MIRU_RULE_LWW_FIELD,   /* last write wins, for each field */
	MIRU_RULE_FIRST_WINS,  /* of concurrent writes the one numbered first */
	MIRU_RULE_SERVER_WINS, /* SQL against concurrent pushes, else as above */
	MIRU_RULE_MAX,		   /* the greatest value */
	MIRU_RULE_MIN,		   /* the least value */
	MIRU_RULE_COUNTER,	   /* the sum of all increments */
	MIRU_RULE_MANUAL,	   /* as first_wins, until somebody decides */
	MIRU_RULE_SET,		   /* elements added and removed (element_set.c) */
	MIRU_RULE_FUNCTION	   /* what a function says (rule_function.c) */
} MiruRule;

/* What stands of a delete and a concurrent update. */
typedef enum MiruDeleteRule
{
	MIRU_UPDATE_WINS,
	MIRU_DELETE_WINS,
	MIRU_DELETE_MANUAL /* what is stored, until somebody decides */
} MiruDeleteRule;

/* A base that is not known. */
#define MIRU_BASE_UNKNOWN INT64CONST(-1)

/* How an incoming value stands to the one that its device had seen. */
typedef enum MiruSince
{
	MIRU_CHANGED,	/* the device set it */
	MIRU_UNCHANGED, /* it came with the record, and says nothing */
	MIRU_NOT_TOLD	/* by the history that is kept */
} MiruSince;

/* An incoming value that meets a stored one. */
typedef struct MiruContest
{
	MiruStamp stored;
	MiruStamp incoming;
	bool has_stored;   /* there is a value, and it is not null */
	bool has_incoming; /* of a counter: there is an increment */
	int order;	/* of the incoming value after the stored one: 0 if they are
				 * the same, below 0 if it comes before it */
	int64 base; /* number that the incoming value's device had seen */
	MiruSince since;
	bool ties_lose;
} MiruContest;

typedef struct MiruDecision
{
	bool incoming_stands; /* it replaces the stored one, or adds to it */
	bool lost; /* one of them is lost, and neither writer knew of the other as
				* far as is known */
} MiruDecision;

/*
 * miru_rule_parse finds a rule by its name; false if there is none.  That of
 * a function has its name.
 */
extern bool miru_rule_parse(const char *name, MiruRule *rule);
extern const char *miru_rule_name(MiruRule rule);

/* Whether a rule can be a collection's default, and a single field's. */
extern bool miru_rule_is_for_collections(MiruRule rule);
extern bool miru_rule_is_for_fields(MiruRule rule);

/* Whether it looks at the values, or only at their stamps. */
extern bool miru_rule_needs_values(MiruRule rule);

/* miru_decide says what stands by a rule. */
extern MiruDecision miru_decide(MiruRule rule, const MiruContest *contest);

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

/* miru_delete_rule_parse finds one by its name; false if there is none. */
extern bool miru_delete_rule_parse(const char *name, MiruDeleteRule *rule);
extern const char *miru_delete_rule_name(MiruDeleteRule rule);

/*
 * miru_decide_delete says what stands of a delete that meets an update, or
 * with "incoming_deletes" false of an update that meets a delete.  Where one
 * of them knew of the other "incoming_is_last" decides.
 */
extern MiruDecision
miru_decide_delete(MiruDeleteRule rule, bool incoming_deletes,
				   bool is_concurrent, bool incoming_is_last);

/*
 * miru_add_stands tells whether an element is there that was removed and is
 * added, miru_remove_stands whether one is gone that was added and is
 * removed.  The add wins unless who removes it had seen it; of one device,
 * and where it is not known what was seen, the newer.
 */
extern bool miru_add_stands(const MiruStamp *removed, const MiruStamp *incoming,
							int64 base);
extern bool miru_remove_stands(const MiruStamp *added,
							   const MiruStamp *incoming, int64 base);

/* miru_is_unseen tells whether what has that stamp came after the base. */
extern bool miru_is_unseen(const MiruStamp *stamp, int64 base);

/*
 * miru_is_concurrent tells whether the stored value was written by another
 * device or SQL after the number that the incoming change's device had seen.
 * As long as that is not known, everything counts as not seen.
 */
extern bool
miru_is_concurrent(const MiruStamp *stored, int64 base, const char *device);

#endif /* MIRUSYNC_MERGE_RULES_H */
