/*
 * test_lower_case.c
 *     Unit tests of the lower case of UTF-8 text: no server, no locale.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../extension/lower_case.c"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Case
{
	const char *text;
	const char *lower;
} Case;

/* Each is what JavaScript's toLowerCase() gives. */
static const Case cases[] = {
	{"", ""},
	{"Piano", "piano"},
	{"VIOLA d'AMORE [2]", "viola d'amore [2]"},
	{"ÉLÉCTRIQUE Ñ Ø ÿ ×÷", "éléctrique ñ ø ÿ ×÷"},
	{"ŐŰ ŁÓDŹ ČEŠTINA Ÿ", "őű łódź čeština ÿ"},
	{"СКРИПКА Ёлка", "скрипка ёлка"},
	{"ԴՈՒԴՈՒԿ", "դուդուկ"},
	{"鋼琴 ピアノ 피아노 بيانو פסנתר", "鋼琴 ピアノ 피아노 بيانو פסנתר"},
	{"ＰＩＡＮＯ", "ｐｉａｎｏ"},
	{"STRAẞE straße", "straße straße"},
	{"𐐀🎹𐐨", "𐐨🎹𐐨"},
	{"İstanbul IĞDIR ığdır", "i̇stanbul iğdir ığdır"},
	{"Ⱥ", "ⱥ"},
	/* final sigma */
	{"ΜΠΟΥΖΟΎΚΙ", "μπουζούκι"},
	{"ΑΥΛΌΣ ΑΥΛΌΣ", "αυλός αυλός"},
	{"ΣΑΣ'", "σας'"},
	{"ΟΔΟΣ’Α ΟΔΟΣ.", "οδοσ’α οδος."},
	{"Σ ΣΣ 1Σ Α1Σ", "σ σς 1σ α1σ"},
	{"ΑΣ\u0301 ΑΣ\u0301Α", "ας\u0301 ασ\u0301α"},
};

static size_t
lower(const char *text, size_t length, char *out, size_t out_size)
{
	size_t written;

	assert_true(LOWER_CASE_SIZE(length) <= out_size);
	written = miru_lower_case(text, length, out);
	assert_true(written <= LOWER_CASE_SIZE(length));
	return written;
}

static void
test_cases(void **state)
{
	char out[200];

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		const Case *c = &cases[i];

		out[lower(c->text, strlen(c->text), out, sizeof(out))] = '\0';
		assert_string_equal(out, c->lower);
		out[lower(c->lower, strlen(c->lower), out, sizeof(out))] = '\0';
		assert_string_equal(out, c->lower);
	}
}

/* No code point outgrows the room, and lower case stays as it is. */
static void
test_every_code_point(void **state)
{
	(void) state;
	for (uint32_t code = 0; code < 0x110000; code++)
	{
		char text[4];
		char once[6];
		char twice[9];
		size_t length = encode(code, text);
		size_t once_length = lower(text, length, once, sizeof(once));
		size_t twice_length = lower(once, once_length, twice, sizeof(twice));

		assert_int_equal(once_length, twice_length);
		assert_memory_equal(once, twice, once_length);
	}
}

/* What is no UTF-8 is copied, and nothing is read past the end. */
static void
test_malformed(void **state)
{
	static const char *const texts[] = {
		"\xff",
		"\x80",
		"\xc3",
		"\xe2\x82",
		"\xf0\x9f\x8e",
		"\xc1\x81",
		"\xf8\x88\x80\x80\x80",
		"\xc3\xc3",
		"\xe0\x81\x81",
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(texts); i++)
	{
		char out[16];
		size_t length = strlen(texts[i]);

		assert_int_equal(lower(texts[i], length, out, sizeof(out)), length);
		assert_memory_equal(out, texts[i], length);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_every_code_point),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
