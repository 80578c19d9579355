/*
 * lower_case.c
 *     Lower case of UTF-8 text, the same on every server.
 *
 * A value that devices compare must not depend on where the server runs:
 * Postgres' lower() follows the collation, which may know ASCII only, or
 * Turkish rules.  So this is JavaScript's toLowerCase(), by Unicode's own
 * tables: each code point by itself, the dotted capital I to two code points,
 * and a capital sigma to its final form at the end of a word.  What counts as
 * a word there is kept to letters that have case and the marks and apostrophes
 * of ordinary text.
 *
 * Calls no backend function, so that unit tests link it alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "lower_case.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CAPITAL_DOTTED_I 0x130
#define CAPITAL_SIGMA	 0x3a3
#define FINAL_SIGMA		 0x3c2
#define COMBINING_DOT	 0x307

/* Upper-case code points whose lower case is the same distance away. */
typedef struct CaseRange
{
	uint32_t first;
	uint32_t last;
	int32_t stride; /* 2: upper and lower case take turns */
	int32_t distance;
} CaseRange;

/* In order.  Unicode 17, all code points whose lower case is a single one. */
static const CaseRange case_ranges[] =
	{{0x41, 0x5a, 1, 32},		  {0xc0, 0xd6, 1, 32},
	 {0xd8, 0xde, 1, 32},		  {0x100, 0x12e, 2, 1},
	 {0x132, 0x136, 2, 1},		  {0x139, 0x147, 2, 1},
	 {0x14a, 0x176, 2, 1},		  {0x178, 0x178, 1, -121},
	 {0x179, 0x17d, 2, 1},		  {0x181, 0x181, 1, 210},
	 {0x182, 0x184, 2, 1},		  {0x186, 0x186, 1, 206},
	 {0x187, 0x187, 1, 1},		  {0x189, 0x18a, 1, 205},
	 {0x18b, 0x18b, 1, 1},		  {0x18e, 0x18e, 1, 79},
	 {0x18f, 0x18f, 1, 202},	  {0x190, 0x190, 1, 203},
	 {0x191, 0x191, 1, 1},		  {0x193, 0x193, 1, 205},
	 {0x194, 0x194, 1, 207},	  {0x196, 0x196, 1, 211},
	 {0x197, 0x197, 1, 209},	  {0x198, 0x198, 1, 1},
	 {0x19c, 0x19c, 1, 211},	  {0x19d, 0x19d, 1, 213},
	 {0x19f, 0x19f, 1, 214},	  {0x1a0, 0x1a4, 2, 1},
	 {0x1a6, 0x1a6, 1, 218},	  {0x1a7, 0x1a7, 1, 1},
	 {0x1a9, 0x1a9, 1, 218},	  {0x1ac, 0x1ac, 1, 1},
	 {0x1ae, 0x1ae, 1, 218},	  {0x1af, 0x1af, 1, 1},
	 {0x1b1, 0x1b2, 1, 217},	  {0x1b3, 0x1b5, 2, 1},
	 {0x1b7, 0x1b7, 1, 219},	  {0x1b8, 0x1b8, 1, 1},
	 {0x1bc, 0x1bc, 1, 1},		  {0x1c4, 0x1c4, 1, 2},
	 {0x1c5, 0x1c5, 1, 1},		  {0x1c7, 0x1c7, 1, 2},
	 {0x1c8, 0x1c8, 1, 1},		  {0x1ca, 0x1ca, 1, 2},
	 {0x1cb, 0x1db, 2, 1},		  {0x1de, 0x1ee, 2, 1},
	 {0x1f1, 0x1f1, 1, 2},		  {0x1f2, 0x1f4, 2, 1},
	 {0x1f6, 0x1f6, 1, -97},	  {0x1f7, 0x1f7, 1, -56},
	 {0x1f8, 0x21e, 2, 1},		  {0x220, 0x220, 1, -130},
	 {0x222, 0x232, 2, 1},		  {0x23a, 0x23a, 1, 10795},
	 {0x23b, 0x23b, 1, 1},		  {0x23d, 0x23d, 1, -163},
	 {0x23e, 0x23e, 1, 10792},	  {0x241, 0x241, 1, 1},
	 {0x243, 0x243, 1, -195},	  {0x244, 0x244, 1, 69},
	 {0x245, 0x245, 1, 71},		  {0x246, 0x24e, 2, 1},
	 {0x370, 0x372, 2, 1},		  {0x376, 0x376, 1, 1},
	 {0x37f, 0x37f, 1, 116},	  {0x386, 0x386, 1, 38},
	 {0x388, 0x38a, 1, 37},		  {0x38c, 0x38c, 1, 64},
	 {0x38e, 0x38f, 1, 63},		  {0x391, 0x3a1, 1, 32},
	 {0x3a3, 0x3ab, 1, 32},		  {0x3cf, 0x3cf, 1, 8},
	 {0x3d8, 0x3ee, 2, 1},		  {0x3f4, 0x3f4, 1, -60},
	 {0x3f7, 0x3f7, 1, 1},		  {0x3f9, 0x3f9, 1, -7},
	 {0x3fa, 0x3fa, 1, 1},		  {0x3fd, 0x3ff, 1, -130},
	 {0x400, 0x40f, 1, 80},		  {0x410, 0x42f, 1, 32},
	 {0x460, 0x480, 2, 1},		  {0x48a, 0x4be, 2, 1},
	 {0x4c0, 0x4c0, 1, 15},		  {0x4c1, 0x4cd, 2, 1},
	 {0x4d0, 0x52e, 2, 1},		  {0x531, 0x556, 1, 48},
	 {0x10a0, 0x10c5, 1, 7264},	  {0x10c7, 0x10c7, 1, 7264},
	 {0x10cd, 0x10cd, 1, 7264},	  {0x13a0, 0x13ef, 1, 38864},
	 {0x13f0, 0x13f5, 1, 8},	  {0x1c89, 0x1c89, 1, 1},
	 {0x1c90, 0x1cba, 1, -3008},  {0x1cbd, 0x1cbf, 1, -3008},
	 {0x1e00, 0x1e94, 2, 1},	  {0x1e9e, 0x1e9e, 1, -7615},
	 {0x1ea0, 0x1efe, 2, 1},	  {0x1f08, 0x1f0f, 1, -8},
	 {0x1f18, 0x1f1d, 1, -8},	  {0x1f28, 0x1f2f, 1, -8},
	 {0x1f38, 0x1f3f, 1, -8},	  {0x1f48, 0x1f4d, 1, -8},
	 {0x1f59, 0x1f5f, 2, -8},	  {0x1f68, 0x1f6f, 1, -8},
	 {0x1f88, 0x1f8f, 1, -8},	  {0x1f98, 0x1f9f, 1, -8},
	 {0x1fa8, 0x1faf, 1, -8},	  {0x1fb8, 0x1fb9, 1, -8},
	 {0x1fba, 0x1fbb, 1, -74},	  {0x1fbc, 0x1fbc, 1, -9},
	 {0x1fc8, 0x1fcb, 1, -86},	  {0x1fcc, 0x1fcc, 1, -9},
	 {0x1fd8, 0x1fd9, 1, -8},	  {0x1fda, 0x1fdb, 1, -100},
	 {0x1fe8, 0x1fe9, 1, -8},	  {0x1fea, 0x1feb, 1, -112},
	 {0x1fec, 0x1fec, 1, -7},	  {0x1ff8, 0x1ff9, 1, -128},
	 {0x1ffa, 0x1ffb, 1, -126},	  {0x1ffc, 0x1ffc, 1, -9},
	 {0x2126, 0x2126, 1, -7517},  {0x212a, 0x212a, 1, -8383},
	 {0x212b, 0x212b, 1, -8262},  {0x2132, 0x2132, 1, 28},
	 {0x2160, 0x216f, 1, 16},	  {0x2183, 0x2183, 1, 1},
	 {0x24b6, 0x24cf, 1, 26},	  {0x2c00, 0x2c2f, 1, 48},
	 {0x2c60, 0x2c60, 1, 1},	  {0x2c62, 0x2c62, 1, -10743},
	 {0x2c63, 0x2c63, 1, -3814},  {0x2c64, 0x2c64, 1, -10727},
	 {0x2c67, 0x2c6b, 2, 1},	  {0x2c6d, 0x2c6d, 1, -10780},
	 {0x2c6e, 0x2c6e, 1, -10749}, {0x2c6f, 0x2c6f, 1, -10783},
	 {0x2c70, 0x2c70, 1, -10782}, {0x2c72, 0x2c72, 1, 1},
	 {0x2c75, 0x2c75, 1, 1},	  {0x2c7e, 0x2c7f, 1, -10815},
	 {0x2c80, 0x2ce2, 2, 1},	  {0x2ceb, 0x2ced, 2, 1},
	 {0x2cf2, 0x2cf2, 1, 1},	  {0xa640, 0xa66c, 2, 1},
	 {0xa680, 0xa69a, 2, 1},	  {0xa722, 0xa72e, 2, 1},
	 {0xa732, 0xa76e, 2, 1},	  {0xa779, 0xa77b, 2, 1},
	 {0xa77d, 0xa77d, 1, -35332}, {0xa77e, 0xa786, 2, 1},
	 {0xa78b, 0xa78b, 1, 1},	  {0xa78d, 0xa78d, 1, -42280},
	 {0xa790, 0xa792, 2, 1},	  {0xa796, 0xa7a8, 2, 1},
	 {0xa7aa, 0xa7aa, 1, -42308}, {0xa7ab, 0xa7ab, 1, -42319},
	 {0xa7ac, 0xa7ac, 1, -42315}, {0xa7ad, 0xa7ad, 1, -42305},
	 {0xa7ae, 0xa7ae, 1, -42308}, {0xa7b0, 0xa7b0, 1, -42258},
	 {0xa7b1, 0xa7b1, 1, -42282}, {0xa7b2, 0xa7b2, 1, -42261},
	 {0xa7b3, 0xa7b3, 1, 928},	  {0xa7b4, 0xa7c2, 2, 1},
	 {0xa7c4, 0xa7c4, 1, -48},	  {0xa7c5, 0xa7c5, 1, -42307},
	 {0xa7c6, 0xa7c6, 1, -35384}, {0xa7c7, 0xa7c9, 2, 1},
	 {0xa7cb, 0xa7cb, 1, -42343}, {0xa7cc, 0xa7da, 2, 1},
	 {0xa7dc, 0xa7dc, 1, -42561}, {0xa7f5, 0xa7f5, 1, 1},
	 {0xff21, 0xff3a, 1, 32},	  {0x10400, 0x10427, 1, 40},
	 {0x104b0, 0x104d3, 1, 40},	  {0x10570, 0x1057a, 1, 39},
	 {0x1057c, 0x1058a, 1, 39},	  {0x1058c, 0x10592, 1, 39},
	 {0x10594, 0x10595, 1, 39},	  {0x10c80, 0x10cb2, 1, 64},
	 {0x10d50, 0x10d65, 1, 32},	  {0x118a0, 0x118bf, 1, 32},
	 {0x16e40, 0x16e5f, 1, 32},	  {0x16ea0, 0x16eb8, 1, 27},
	 {0x1e900, 0x1e921, 1, 34}};

#define RANGE_COUNT ((int) (sizeof(case_ranges) / sizeof(case_ranges[0])))

/* lower_of returns the lower case of a code point, or the same. */
static uint32_t
lower_of(uint32_t code)
{
	int low = 0;
	int high = RANGE_COUNT;

	while (low < high)
	{
		int middle = (low + high) / 2;
		const CaseRange *range = &case_ranges[middle];

		if (code < range->first)
			high = middle;
		else if (code > range->last)
			low = middle + 1;
		else if ((code - range->first) % range->stride == 0)
			return code + range->distance;
		else
			return code;
	}
	return code;
}

/* has_case tells whether a code point is a letter of either case. */
static bool
has_case(uint32_t code)
{
	/* All letters of Greek count, also those without a capital. */
	if ((code >= 0x386 && code <= 0x3ff && code != 0x387) ||
		(code >= 0x1f00 && code <= 0x1fbc))
		return true;
	if (lower_of(code) != code)
		return true;
	for (int i = 0; i < RANGE_COUNT; i++)
	{
		const CaseRange *range = &case_ranges[i];
		uint32_t upper = code - range->distance;

		if (upper >= range->first && upper <= range->last &&
			(upper - range->first) % range->stride == 0)
			return true;
	}
	/* Two without a counterpart of one code point; the other is sharp s. */
	return code == CAPITAL_DOTTED_I || code == 0xdf;
}

/* is_inside_word tells whether a code point does not end a word. */
static bool
is_inside_word(uint32_t code)
{
	switch (code)
	{
		case '\'':
		case '.':
		case ':':
		case 0xad:	 /* soft hyphen */
		case 0xb7:	 /* middle dot */
		case 0x387:	 /* Greek ano teleia */
		case 0x2018: /* single quotation marks */
		case 0x2019:
			return true;
		default:
			return code >= 0x300 && code <= 0x36f; /* combining marks */
	}
}

/* decode reads a code point and returns its length, or 0 if there is none. */
static size_t
decode(const unsigned char *at, size_t length, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size;

	if (length == 0)
		return 0;
	if (at[0] < 0x80)
	{
		*code = at[0];
		return 1;
	}
	if (at[0] < 0xc0 || at[0] > 0xf7)
		return 0;
	size = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (size > length)
		return 0;
	*code = at[0] & (0xff >> (size + 1));
	for (size_t i = 1; i < size; i++)
	{
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (at[i] & 0x3f);
	}
	return *code < smallest[size] ? 0 : size;
}

/* encode writes a code point and returns its length. */
static size_t
encode(uint32_t code, char *out)
{
	static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = size - 1; i > 0; i--, code >>= 6)
		out[i] = (char) (0x80 | (code & 0x3f));
	out[0] = (char) (leads[size] | code);
	return size;
}

/* ends_word tells whether no letter of the same word follows. */
static bool
ends_word(const unsigned char *at, size_t length)
{
	uint32_t code;
	size_t size;

	while ((size = decode(at, length, &code)) > 0)
	{
		if (!is_inside_word(code))
			return !has_case(code);
		at += size;
		length -= size;
	}
	return true;
}

size_t
miru_lower_case(const char *text, size_t length, char *out)
{
	const unsigned char *at = (const unsigned char *) text;
	const unsigned char *end = at + length;
	char *start = out;
	bool in_word = false;

	while (at < end)
	{
		uint32_t code;
		uint32_t lower;
		size_t size = decode(at, end - at, &code);

		if (size == 0)
		{
			*out++ = (char) *at++;
			in_word = false;
			continue;
		}
		lower = lower_of(code);
		if (code == CAPITAL_SIGMA && in_word &&
			ends_word(at + size, end - at - size))
			lower = FINAL_SIGMA;
		if (code == CAPITAL_DOTTED_I)
		{
			*out++ = 'i';
			lower = COMBINING_DOT;
		}
		if (!is_inside_word(code))
			in_word = has_case(code);
		out += encode(lower, out);
		at += size;
	}
	return out - start;
}
