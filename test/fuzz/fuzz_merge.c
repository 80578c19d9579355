/*
 * fuzz_merge.c
 *		Any bytes as a clock, as the stored stamps of a record, and as values
 *		that meet: the extension's code that is linked without a server.
 *
 * What needs one (JSON of messages, rows) is fuzzed inside a server, by
 * test/e2e/fuzz_push.test.mjs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "../unit/palloc_stub.h"

#include "../../extension/hlc.c"
#include "../../extension/stamps.c"
#include "../../extension/merge_rules.c"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLAIM(condition)                                                       \
	do                                                                         \
	{                                                                          \
		if (!(condition))                                                      \
			abort();                                                           \
	} while (0)

static void
check_clock(const char *text, size_t len)
{
	char buffer[HLC_TEXT_SIZE];
	char time[HLC_TIME_SIZE];
	int64_t ms;
	int64_t again;
	Hlc clock;
	Hlc same;

	if (hlc_parse(text, len, &clock))
	{
		hlc_format(clock, buffer);
		CLAIM(hlc_parse(buffer, strlen(buffer), &same) && same == clock);
	}
	if (hlc_parse_time(text, len, &ms) && ms >= -HLC_TIME_MS_MAX &&
		ms <= HLC_TIME_MS_MAX)
	{
		hlc_format_time(ms, time);
		CLAIM(hlc_parse_time(time, strlen(time), &again) && again == ms);
	}
}

/* A key that stands twice is never written; of two entries either may count. */
static bool
has_twins(const MiruStamps *stamps)
{
	for (int i = 0; i < stamps->count; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(stamps->fields[i].key, stamps->fields[j].key) == 0)
				return true;
	return false;
}

static void
check_stamps(const char *bytes, size_t len)
{
	MiruStamps *stamps = miru_stamps_unpack(bytes, (int) len);
	MiruStamps *again;
	char *packed;
	int length;

	if (stamps == NULL || has_twins(stamps))
		return;
	packed = miru_stamps_pack(stamps, &length);
	again = miru_stamps_unpack(packed, length);
	/* Those that say no more than the base are left out. */
	CLAIM(again != NULL && again->count <= stamps->count);
	CLAIM(miru_stamps_newest(again) == miru_stamps_newest(stamps));
	for (int i = 0; i < stamps->count; i++)
	{
		const char *key = stamps->fields[i].key;
		const MiruStamp *a = miru_stamps_get(stamps, key);
		const MiruStamp *b = miru_stamps_get(again, key);

		CLAIM(a->clock == b->clock && a->seq == b->seq &&
			  strcmp(a->device, b->device) == 0);
	}
}

/* Of two stamps one wins, in whatever order they come. */
static void
check_rules(const uint8_t *data, size_t size)
{
	static const char *const devices[] = {"", "a", "b", "ab"};
	MiruContest contest = {0};
	MiruStamp *a = &contest.stored;
	MiruStamp *b = &contest.incoming;

	if (size < 12)
		return;
	*a = (MiruStamp){hlc_make(data[0] % 4, 0), data[1] % 4,
					 devices[data[2] % 4]};
	*b = (MiruStamp){hlc_make(data[3] % 4, 0), data[4] % 4,
					 devices[data[5] % 4]};
	if (a->clock != b->clock || strcmp(a->device, b->device) != 0)
		CLAIM(miru_lww_wins(a, b, false) != miru_lww_wins(b, a, false));
	contest.has_stored = data[6] & 1;
	contest.has_incoming = data[6] & 2;
	contest.order = (int) (data[7] % 3) - 1;
	contest.base = (int64) (data[8] % 5) - 1;
	contest.since = (MiruSince) (data[9] % 3);
	contest.ties_lose = data[10] & 1;
	/* What those of sets and functions decide is not decided here. */
	(void) miru_decide((MiruRule) (data[11] % MIRU_RULE_SET), &contest);
	for (int rule = MIRU_UPDATE_WINS; rule <= MIRU_DELETE_MANUAL; rule++)
		(void) miru_decide_delete((MiruDeleteRule) rule, data[9] & 1,
								  data[9] & 2, data[9] & 4);
	/* Who was seen and removed is gone; what was not seen stays. */
	if (contest.base >= 0 && strcmp(a->device, b->device) != 0)
		CLAIM(miru_is_unseen(a, contest.base)
				  ? !miru_remove_stands(a, b, contest.base)
				  : miru_remove_stands(a, b, contest.base));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	MiruRule rule;
	char name[16] = {0};

	check_clock(text, size);
	check_stamps(text, size);
	check_rules(data, size);
	memcpy(name, text, size < 15 ? size : 15);
	if (miru_rule_parse(name, &rule))
		CLAIM(strcmp(miru_rule_name(rule), name) == 0);
	(void) palloc_release(NULL);
	return 0;
}
