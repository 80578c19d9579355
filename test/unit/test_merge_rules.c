/*
 * test_merge_rules.c
 *     Unit tests of the merge rules: the vectors of test/vectors/merge.json,
 *     one a line, and the rules' claim that the order of arrival does not
 *     matter, with random changes (MIRUSYNC_SEED=n plays those of a failure again).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
/* Before postgres.h, whose macro STATUS_OK would spoil its enum. */
#include "json.h"

#include "palloc_stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "../../extension/hlc.c"
#include "../../extension/stamps.c"
#include "../../extension/merge_rules.c"

static MiruStamp
stamp(int64 ms, const char *device)
{
	MiruStamp made = {hlc_make(ms, 0), 1, device};

	return made;
}

static bool
wins(int64 stored_ms, const char *stored, int64 incoming_ms,
	 const char *incoming, bool ties_lose)
{
	MiruStamp a = stamp(stored_ms, stored);
	MiruStamp b = stamp(incoming_ms, incoming);

	return miru_lww_wins(&a, &b, ties_lose);
}

static void
test_names(void **state)
{
	MiruRule rule;

	(void) state;
	assert_true(miru_rule_parse("lww", &rule));
	assert_int_equal(rule, MIRU_RULE_LWW);
	assert_true(miru_rule_parse("lww_field", &rule));
	assert_int_equal(rule, MIRU_RULE_LWW_FIELD);
	assert_false(miru_rule_parse("LWW", &rule));
	for (int i = MIRU_RULE_LWW; i <= MIRU_RULE_SET; i++)
	{
		assert_true(miru_rule_parse(miru_rule_name((MiruRule) i), &rule));
		assert_int_equal(rule, i);
		/* Each can be set somewhere. */
		assert_true(miru_rule_is_for_collections(rule) ||
					miru_rule_is_for_fields(rule));
	}
	assert_false(miru_rule_parse("", &rule));
}

static void
test_newer_wins(void **state)
{
	(void) state;
	assert_true(wins(10, "z", 11, "a", false));
	assert_false(wins(11, "a", 10, "z", false));
	assert_true(wins(10, "z", 11, "a", true));
}

/* Of equal clocks the last device wins, unless ties leave what is stored. */
static void
test_ties(void **state)
{
	(void) state;
	assert_true(wins(10, "a", 10, "b", false));
	assert_false(wins(10, "b", 10, "a", false));
	assert_false(wins(10, "a", 10, "a", false));
	assert_false(wins(10, "a", 10, "b", true));
	assert_true(wins(10, "", 10, "a", false));
}

static bool
delete_wins(int64 stored_ms, int64 incoming_ms, int64 slack_ms)
{
	MiruStamp a = stamp(stored_ms, "a");
	MiruStamp b = stamp(incoming_ms, "a");

	return miru_lww_delete_wins(&a, &b, true, slack_ms);
}

/* A delete with slack wins against values that are newer by no more. */
static void
test_delete(void **state)
{
	(void) state;
	assert_true(delete_wins(10, 11, 0));
	assert_false(delete_wins(10, 10, 0));
	assert_true(delete_wins(1000, 1000, 60));
	assert_true(delete_wins(1060, 1000, 60));
	assert_false(delete_wins(1061, 1000, 60));
}

static void
test_concurrent(void **state)
{
	MiruStamp stored = {hlc_make(10, 0), 7, "phone"};

	(void) state;
	assert_true(miru_is_concurrent(&stored, 6, "tablet"));
	assert_false(miru_is_concurrent(&stored, 7, "tablet"));
	assert_false(miru_is_concurrent(&stored, 6, "phone"));
	assert_true(miru_is_concurrent(&stored, MIRU_BASE_UNKNOWN, "tablet"));
	/* Pushed in the same transaction: its number will be above any base. */
	stored.seq = 0;
	assert_true(miru_is_concurrent(&stored, 1000, "tablet"));
	assert_false(miru_is_concurrent(&stored, 1000, "phone"));
	/* A row that capture has never seen is unknown to nobody. */
	stored.seq = -1;
	assert_false(miru_is_concurrent(&stored, MIRU_BASE_UNKNOWN, "tablet"));
}

/* ----- vectors ----- */

typedef enum ValueType
{
	ABSENT,
	NULL_VALUE,
	TEXT, /* in the order of jsonb: texts come before numbers */
	INTEGER
} ValueType;

typedef struct Value
{
	ValueType type;
	int64_t integer;
	char text[32];
} Value;

typedef struct Vector
{
	char name[128];
	MiruRule rule;
	MiruContest contest;
	Value stored;
	Value incoming;
	Value add;	   /* of a counter */
	Value at_base; /* what the field was when it had the number "base" */
	Value result;
	bool lost;
	bool rejected; /* before it comes to a decision */
	bool is_put;
	bool base_gone; /* history does not go back to the base */
	char devices[2][32];
} Vector;

static Value
vector_value(const JsonMember *member)
{
	Value value = {NULL_VALUE, 0, ""};

	if (member->type == JSON_NUMBER)
	{
		value.type = INTEGER;
		assert_true(json_integer(member->value, &value.integer));
	}
	else if (member->type == JSON_STRING)
	{
		value.type = TEXT;
		assert_true(
			json_unescape(member->value, value.text, sizeof(value.text), NULL));
	}
	else
		assert_int_equal(member->type, JSON_NULL);
	return value;
}

static int64
vector_integer(const JsonMember *member)
{
	int64_t integer;

	assert_true(json_integer(member->value, &integer));
	return integer;
}

static void
vector_text(const JsonMember *member, char *text, size_t size)
{
	assert_int_equal(member->type, JSON_STRING);
	assert_true(json_unescape(member->value, text, size, NULL));
}

static void
vector_member(Vector *vector, const JsonMember *member)
{
	char rule[32];

	if (json_equals(member->key, "case"))
		vector_text(member, vector->name, sizeof(vector->name));
	else if (json_equals(member->key, "rule"))
	{
		vector_text(member, rule, sizeof(rule));
		assert_true(miru_rule_parse(rule, &vector->rule));
	}
	else if (json_equals(member->key, "stored"))
		vector->stored = vector_value(member);
	else if (json_equals(member->key, "stored_clock"))
		vector->contest.stored.clock = hlc_make(vector_integer(member), 0);
	else if (json_equals(member->key, "stored_number"))
		vector->contest.stored.seq = vector_integer(member);
	else if (json_equals(member->key, "stored_device"))
		vector_text(member, vector->devices[0], sizeof(vector->devices[0]));
	else if (json_equals(member->key, "incoming"))
		vector->incoming = vector_value(member);
	else if (json_equals(member->key, "add"))
		vector->add = vector_value(member);
	else if (json_equals(member->key, "at_base"))
		vector->at_base = vector_value(member);
	else if (json_equals(member->key, "rejected"))
		vector->rejected = member->type == JSON_TRUE;
	else if (json_equals(member->key, "clock"))
		vector->contest.incoming.clock = hlc_make(vector_integer(member), 0);
	else if (json_equals(member->key, "device"))
		vector_text(member, vector->devices[1], sizeof(vector->devices[1]));
	else if (json_equals(member->key, "base"))
		vector->contest.base = vector_integer(member);
	else if (json_equals(member->key, "result"))
		vector->result = vector_value(member);
	else if (json_equals(member->key, "lost"))
		vector->lost = member->type == JSON_TRUE;
	else if (json_equals(member->key, "base_gone"))
		vector->base_gone = member->type == JSON_TRUE;
	else if (json_equals(member->key, "kind"))
		vector->is_put = json_equals(member->value, "put");
	else
		fail_msg("%s: unknown key", vector->name);
}

static int
order(const Value *a, const Value *b)
{
	if (a->type != b->type)
		return (int) a->type - (int) b->type;
	if (a->type == INTEGER)
		return (a->integer > b->integer) - (a->integer < b->integer);
	return strcmp(a->text, b->text);
}

/* increment_of returns by how much a counter is changed. */
static int64
increment_of(const Vector *vector)
{
	const MiruContest *contest = &vector->contest;

	if (vector->add.type == INTEGER)
		return vector->add.integer;
	if (vector->at_base.type != ABSENT)
		return vector->incoming.integer - vector->at_base.integer;
	/* Made by both: what the device knew of it is nothing. */
	if (contest->base == 0)
		return vector->incoming.integer;
	return vector->incoming.integer - vector->stored.integer;
}

static MiruSince
since_base(const Vector *vector)
{
	const MiruContest *contest = &vector->contest;
	const Value *at_base = &vector->stored;

	if (!vector->is_put)
		return MIRU_CHANGED;
	if (order(&vector->incoming, &vector->stored) == 0)
		return MIRU_UNCHANGED;
	if (miru_is_concurrent(&contest->stored, contest->base,
						   contest->incoming.device))
	{
		if (vector->base_gone)
			return MIRU_NOT_TOLD;
		at_base = &vector->at_base;
	}
	return order(&vector->incoming, at_base) == 0 ? MIRU_UNCHANGED
												  : MIRU_CHANGED;
}

/* check decides as merge_fields.c would. */
static void
check(Vector *vector)
{
	MiruContest *contest = &vector->contest;
	Value incoming = vector->incoming;
	MiruDecision decision;

	if (vector->rejected)
		return;
	contest->stored.device = vector->devices[0];
	contest->incoming.device = vector->devices[1];
	contest->has_stored = vector->stored.type > NULL_VALUE;
	contest->has_incoming = incoming.type > NULL_VALUE;
	contest->order = order(&incoming, &vector->stored);
	contest->since = since_base(vector);
	if (vector->rule == MIRU_RULE_COUNTER)
	{
		contest->has_incoming = increment_of(vector) != 0;
		incoming.type = INTEGER;
		incoming.integer = vector->stored.integer + increment_of(vector);
	}
	decision = miru_decide(vector->rule, contest);
	if (vector->rule == MIRU_RULE_SET && incoming.integer == 1)
		decision.incoming_stands = vector->stored.integer == 1 ||
			miru_add_stands(&contest->stored, &contest->incoming,
							contest->base);
	else if (vector->rule == MIRU_RULE_SET)
		decision.incoming_stands = vector->stored.integer == 1 &&
			miru_remove_stands(&contest->stored, &contest->incoming,
							   contest->base);
	if (order(decision.incoming_stands ? &incoming : &vector->stored,
			  &vector->result) != 0)
		fail_msg("%s: the %s value stands", vector->name,
				 decision.incoming_stands ? "incoming" : "stored");
	if (decision.lost != vector->lost)
		fail_msg("%s: a value is%s lost", vector->name,
				 decision.lost ? "" : " not");
}

static void
test_vectors(void **state)
{
	FILE *file = fopen("../vectors/merge.json", "r");
	char line[1024];
	int count = 0;

	(void) state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
	{
		Vector vector = {0};
		JsonCursor cursor;
		JsonMember member;

		if (line[0] != '{')
			continue;
		vector.contest.base = MIRU_BASE_UNKNOWN;
		line[strcspn(line, "\n")] = '\0';
		if (line[strlen(line) - 1] == ',')
			line[strlen(line) - 1] = '\0';
		json_open(&cursor, line, strlen(line));
		while (json_next(&cursor, &member))
			vector_member(&vector, &member);
		assert_int_equal(cursor.result, JSON_OK);
		check(&vector);
		count++;
	}
	fclose(file);
	assert_true(count >= 70);
}

/* ----- the order of arrival ----- */

#define WRITES 6

typedef struct Write
{
	MiruStamp stamp;
	int value; /* -1: null */
} Write;

/* settle plays writes in an order and returns what stands. */
static Write
settle(MiruRule rule, const Write *writes, const int *places)
{
	Write stands = writes[places[0]];

	for (int i = 1; i < WRITES; i++)
	{
		const Write *write = &writes[places[i]];
		MiruContest contest = {0};

		contest.stored = stands.stamp;
		contest.incoming = write->stamp;
		contest.has_stored = stands.value >= 0;
		contest.has_incoming = write->value >= 0;
		contest.order = write->value - stands.value;
		contest.base = rand() % 5 - 1;
		if (miru_decide(rule, &contest).incoming_stands)
			stands = *write;
	}
	return stands;
}

static void
shuffle(int *places)
{
	for (int i = WRITES - 1; i > 0; i--)
	{
		int j = rand() % (i + 1);
		int swap = places[i];

		places[i] = places[j];
		places[j] = swap;
	}
}

/* Of one device no two writes have the same clock. */
static bool
is_taken(const Write *writes, int count, const MiruStamp *stamp)
{
	for (int i = 0; i < count; i++)
	{
		if (writes[i].stamp.clock == stamp->clock &&
			strcmp(writes[i].stamp.device, stamp->device) == 0)
			return true;
	}
	return false;
}

/* Random writes, with many equal clocks, end the same in every order. */
static void
check_order(MiruRule rule)
{
	static const char *const devices[] = {"a", "b", "c"};
	int places[WRITES] = {0, 1, 2, 3, 4, 5};
	Write writes[WRITES];
	Write first;

	for (int i = 0; i < WRITES; i++)
	{
		do
			writes[i].stamp = stamp(rand() % 4, devices[rand() % 3]);
		while (is_taken(writes, i, &writes[i].stamp));
		writes[i].value = rand() % 4 - 1;
	}
	first = settle(rule, writes, places);
	for (int i = 0; i < 8; i++)
	{
		Write other;

		shuffle(places);
		other = settle(rule, writes, places);
		assert_int_equal(other.value, first.value);
		assert_int_equal(other.stamp.clock, first.stamp.clock);
		assert_string_equal(other.stamp.device, first.stamp.device);
	}
}

static void
test_order_does_not_matter(void **state)
{
	const MiruRule rules_of_order[] = {MIRU_RULE_LWW, MIRU_RULE_LWW_FIELD,
									   MIRU_RULE_MAX, MIRU_RULE_MIN};
	const char *given = getenv("MIRUSYNC_SEED");
	unsigned int seed = given ? (unsigned int) atoi(given)
							  : (unsigned int) time(NULL);

	(void) state;
	print_message("MIRUSYNC_SEED=%u\n", seed);
	srand(seed);
	for (int round = 0; round < 2000; round++)
	{
		for (size_t i = 0; i < lengthof(rules_of_order); i++)
			check_order(rules_of_order[i]);
	}
}

/* A delete and an update that had not seen each other, in both orders. */
static void
test_delete_rules(void **state)
{
	/* Whether the incoming one stands: a delete, an update. */
	static const bool stands[][2] = {
		[MIRU_UPDATE_WINS] = {false, true},
		[MIRU_DELETE_WINS] = {true, false},
		[MIRU_DELETE_MANUAL] = {false, false},
	};
	MiruDeleteRule rule;

	(void) state;
	for (int i = MIRU_UPDATE_WINS; i <= MIRU_DELETE_MANUAL; i++)
	{
		assert_true(
			miru_delete_rule_parse(miru_delete_rule_name((MiruDeleteRule) i),
								   &rule));
		assert_int_equal(rule, i);
		for (int j = 0; j < 4; j++)
		{
			bool deletes = j / 2 == 0;
			bool last = j % 2 == 0;
			MiruDecision decision = miru_decide_delete(rule, deletes, true,
													   last);

			assert_int_equal(decision.incoming_stands, stands[i][j / 2]);
			assert_int_equal(decision.lost, rule != MIRU_UPDATE_WINS);
			/* One knew of the other: the newer. */
			decision = miru_decide_delete(rule, deletes, false, last);
			assert_int_equal(decision.incoming_stands, last);
			assert_false(decision.lost);
		}
	}
	assert_false(miru_delete_rule_parse("lww", &rule));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_newer_wins),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_delete),
		cmocka_unit_test(test_delete_rules),
		cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_order_does_not_matter),
	};

	return cmocka_run_group_tests_name("merge_rules", tests, NULL, NULL);
}
