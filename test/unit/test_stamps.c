/*
 * test_stamps.c
 *     Unit tests of the stamps of a record's fields.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "palloc_stub.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../../extension/stamps.c"

static MiruStamp
stamp(Hlc clock, int64 seq, const char *device)
{
	MiruStamp made = {clock, seq, device};

	return made;
}

static void
assert_stamp(const MiruStamp *actual, Hlc clock, int64 seq, const char *device)
{
	assert_int_equal(actual->clock, clock);
	assert_int_equal(actual->seq, seq);
	assert_string_equal(actual->device, device);
}

/* A field without an entry of its own has the stamp of the record. */
static void
test_base(void **state)
{
	MiruStamps stamps;

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 1, "phone"));
	assert_stamp(miru_stamps_get(&stamps, "a"), 10, 1, "phone");
	miru_stamps_set(&stamps, "a", stamp(20, 2, "tablet"));
	assert_stamp(miru_stamps_get(&stamps, "a"), 20, 2, "tablet");
	assert_stamp(miru_stamps_get(&stamps, "b"), 10, 1, "phone");
	miru_stamps_set(&stamps, "a", stamp(30, 3, ""));
	assert_int_equal(stamps.count, 1);
	assert_stamp(miru_stamps_get(&stamps, "a"), 30, 3, "");
	assert_int_equal(miru_stamps_newest(&stamps), 30);
}

/* What the base says already takes no entry. */
static void
test_same_as_base(void **state)
{
	MiruStamps stamps;

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 1, "phone"));
	miru_stamps_set(&stamps, "a", stamp(10, 1, "phone"));
	assert_int_equal(stamps.count, 0);
}

/* Only what is not numbered yet gets the number. */
static void
test_number(void **state)
{
	MiruStamps stamps;

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 4, "phone"));
	miru_stamps_set(&stamps, "a", stamp(20, 0, "phone"));
	miru_stamps_set(&stamps, "b", stamp(20, 5, "phone"));
	miru_stamps_number(&stamps, 9);
	assert_int_equal(stamps.base.seq, 4);
	assert_int_equal(miru_stamps_get(&stamps, "a")->seq, 9);
	assert_int_equal(miru_stamps_get(&stamps, "b")->seq, 5);
}

static void
test_by_sql(void **state)
{
	MiruStamps stamps;

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 1, "phone"));
	assert_false(miru_stamps_by_sql(&stamps));
	miru_stamps_set(&stamps, "a", stamp(20, 2, ""));
	assert_true(miru_stamps_by_sql(&stamps));
	miru_stamps_init(&stamps, stamp(10, 1, ""));
	assert_true(miru_stamps_by_sql(&stamps));
}

static char *
field_name(int i)
{
	char *name = palloc(2);

	name[0] = (char) ('b' + i);
	name[1] = '\0';
	return name;
}

/* A copy shares nothing with its origin. */
static void
test_copy(void **state)
{
	MiruStamps stamps;
	MiruStamps *copy;
	char key[] = "a";
	char device[] = "phone";

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 1, device));
	miru_stamps_set(&stamps, key, stamp(20, 2, device));
	copy = miru_stamps_copy(&stamps);
	key[0] = device[0] = 'x';
	for (int i = 0; i < 20; i++)
		miru_stamps_set(copy, field_name(i), stamp(30 + i, 3, "tablet"));
	assert_stamp(miru_stamps_get(copy, "a"), 20, 2, "phone");
	assert_int_equal(stamps.count, 1);
	assert_int_equal(copy->count, 21);
}

/* A look into a copy takes no memory: it may be short-lived, the copy not. */
static void
test_look_into_copy(void **state)
{
	MiruStamps stamps;
	MiruStamps *copy;
	int made;

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 1, "phone"));
	for (int i = 0; i < 60; i++)
		miru_stamps_set(&stamps, field_name(i), stamp(20 + i, 2, "tablet"));
	copy = miru_stamps_copy(&stamps);
	made = palloc_count;
	assert_stamp(miru_stamps_get(copy, "c"), 21, 2, "tablet");
	assert_int_equal(palloc_count, made);
}

/* Stored and read back, everything is as it was. */
static void
test_pack(void **state)
{
	MiruStamps stamps;
	MiruStamps *read;
	char *bytes;
	int length;

	(void) state;
	miru_stamps_init(&stamps, stamp(PG_UINT64_MAX, PG_INT64_MAX, ""));
	miru_stamps_set(&stamps, "", stamp(0, 0, "phone"));
	miru_stamps_set(&stamps, "name with \xc3\xbc", stamp(1, -1, "tablet"));
	miru_stamps_set(&stamps, "12", stamp(127, 128, "phone"));
	bytes = miru_stamps_pack(&stamps, &length);
	read = miru_stamps_unpack(bytes, length);
	assert_non_null(read);
	assert_int_equal(read->count, 3);
	assert_stamp(&read->base, PG_UINT64_MAX, PG_INT64_MAX, "");
	assert_stamp(miru_stamps_get(read, ""), 0, 0, "phone");
	assert_stamp(miru_stamps_get(read, "name with \xc3\xbc"), 1, -1, "tablet");
	assert_stamp(miru_stamps_get(read, "12"), 127, 128, "phone");
}

/* A record that is always put whole costs one stamp. */
static void
test_pack_is_small(void **state)
{
	MiruStamps stamps;
	int length;

	(void) state;
	miru_stamps_init(&stamps, stamp((Hlc) 1795413600123 << 16, 1000, "d1"));
	miru_stamps_pack(&stamps, &length);
	assert_in_range(length, 1, 24);
}

/* Bytes that are cut, too long or changed are refused, and never read past. */
static void
test_unpack_garbage(void **state)
{
	MiruStamps stamps;
	char *bytes;
	char *exact;
	int length;

	(void) state;
	miru_stamps_init(&stamps, stamp(10, 1, "phone"));
	miru_stamps_set(&stamps, "a", stamp(20, 2, "tablet"));
	bytes = miru_stamps_pack(&stamps, &length);
	for (int cut = 0; cut < length; cut++)
	{
		/* An allocation of that very size, so that ASan sees overruns. */
		exact = memcpy(palloc(cut), bytes, cut);
		assert_null(miru_stamps_unpack(exact, cut));
	}
	exact = memcpy(palloc(length + 1), bytes, length);
	exact[length] = 0;
	assert_null(miru_stamps_unpack(exact, length + 1));
	for (int i = 0; i < length; i++)
	{
		exact = memcpy(palloc(length), bytes, length);
		exact[i] = (char) 0xff;
		miru_stamps_unpack(exact, length);
	}
	assert_null(miru_stamps_unpack("\x02", 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_base, palloc_release),
		cmocka_unit_test_teardown(test_same_as_base, palloc_release),
		cmocka_unit_test_teardown(test_number, palloc_release),
		cmocka_unit_test_teardown(test_by_sql, palloc_release),
		cmocka_unit_test_teardown(test_copy, palloc_release),
		cmocka_unit_test_teardown(test_look_into_copy, palloc_release),
		cmocka_unit_test_teardown(test_pack, palloc_release),
		cmocka_unit_test_teardown(test_pack_is_small, palloc_release),
		cmocka_unit_test_teardown(test_unpack_garbage, palloc_release),
	};

	return cmocka_run_group_tests_name("stamps", tests, NULL, NULL);
}
