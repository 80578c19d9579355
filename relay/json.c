/*
 * json.c
 *		A validating one-pass JSON scanner over text in memory.
 *
 * The relay needs four keys of a message, but it needs to know that the whole
 * text is good: PostgreSQL takes many messages in one statement, and one that
 * jsonb refuses would cost all of them a second try.  So the scanner checks
 * everything and keeps nothing.
 *
 * Invariants: the position only moves forward, and never beyond the end.
 * Nesting is kept in the bits of one word (1 = object), so hostile depth costs
 * no stack; JSON_DEPTH_MAX is the width of that word.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "json.h"

#include <limits.h>
#include <string.h>

#include "utf8.h"

/*
 * What PostgreSQL's numeric can hold (jsonb numbers are numerics): its scale
 * has 14 bits, and its weight, in groups of four digits, 16 with the sign.
 */
#define NUMERIC_SCALE_MAX	 16383
#define NUMERIC_DIGITS_MAX	 (32768 * 4)
#define NUMERIC_EXPONENT_MAX (INT_MAX / 2 - 1)

static bool scan_value(JsonCursor *cursor, int open, JsonMember *value);

/* fault notes what is wrong and says whether reading on makes sense. */
static bool
fault(JsonCursor *cursor, JsonResult result)
{
	if (result > cursor->result)
		cursor->result = result;
	return result == JSON_UNSTORABLE;
}

static void
skip_blanks(JsonCursor *cursor)
{
	const char *pos = cursor->pos;

	while (pos < cursor->end &&
		   (*pos == ' ' || *pos == '\n' || *pos == '\r' || *pos == '\t'))
		pos++;
	cursor->pos = pos;
}

/* take consumes the next byte if it is the given one. */
static bool
take(JsonCursor *cursor, char byte)
{
	if (cursor->pos == cursor->end || *cursor->pos != byte)
		return false;
	cursor->pos++;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* hex4 reads four hex digits; -1 if they are not there. */
static int
hex4(const char *pos, const char *end)
{
	int value = 0;
	int i;

	if (end - pos < 4)
		return -1;
	for (i = 0; i < 4; i++)
	{
		char c = pos[i];

		if (is_digit(c))
			value = value * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

static bool
is_high_surrogate(int code)
{
	return code >= 0xD800 && code <= 0xDBFF;
}

static bool
is_low_surrogate(int code)
{
	return code >= 0xDC00 && code <= 0xDFFF;
}

/*
 * read_escape reads one escape, *pos being behind its backslash, a surrogate
 * pair as one.  Returns the character, or -1 if it is no escape, or -2 if it
 * is one that cannot be stored (*pos then is behind it).
 */
static int
read_escape(const char **pos, const char *end)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	int code;
	int low;

	if (*pos == end)
		return -1;
	if (**pos != 'u')
	{
		/* memchr, as strchr would find the terminator for a NUL byte */
		letter = memchr(letters, **pos, sizeof(letters) - 1);
		if (letter == NULL)
			return -1;
		(*pos)++;
		return meanings[letter - letters];
	}

	code = hex4(*pos + 1, end);
	if (code < 0)
		return -1;
	*pos += 5;
	if (code == 0 || is_low_surrogate(code))
		return -2;
	if (!is_high_surrogate(code))
		return code;
	if (end - *pos < 6 || (*pos)[0] != '\\' || (*pos)[1] != 'u')
		return -2;
	low = hex4(*pos + 2, end);
	if (!is_low_surrogate(low))
		return -2;
	*pos += 6;
	return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/* scan_string checks a string, the position being behind its first quote. */
static bool
scan_string(JsonCursor *cursor, JsonSpan *span, bool *escaped)
{
	const char *end = cursor->end;
	const char *pos = cursor->pos;

	span->text = pos;
	*escaped = false;
	while (pos < end)
	{
		unsigned char c = (unsigned char) *pos;

		if (c == '"')
		{
			span->len = pos - span->text;
			cursor->pos = pos + 1;
			return true;
		}
		if (c == '\\')
		{
			int code;

			*escaped = true;
			pos++;
			code = read_escape(&pos, end);
			if (code == -1)
				return fault(cursor, JSON_INVALID);
			if (code == -2)
				fault(cursor, JSON_UNSTORABLE);
		}
		else if (c < 0x20)
			return fault(cursor, JSON_INVALID);
		else if (c < 0x80)
			pos++;
		else
		{
			size_t len = utf8_length(pos, end - pos);

			if (len == 0)
				return fault(cursor, JSON_INVALID);
			pos += len;
		}
	}
	return fault(cursor, JSON_INVALID);
}

/* read_exponent reads digits after e and a sign; far values stay far. */
static long
read_exponent(const char **pos, const char *end, bool negative)
{
	long value = 0;

	for (; *pos < end && is_digit(**pos); (*pos)++)
	{
		if (value <= NUMERIC_EXPONENT_MAX)
			value = value * 10 + (**pos - '0');
	}
	return negative ? -value : value;
}

/*
 * fits_numeric says whether numeric can hold a number: "whole" and "fraction"
 * are its digits before and after the point.  It mirrors numeric_in: the scale
 * counts written digits, the weight those from the first that is not zero.
 */
static bool
fits_numeric(JsonSpan whole, JsonSpan fraction, long exponent)
{
	long scale = (long) fraction.len - exponent;
	long weight; /* power of ten of the first digit not 0 */
	size_t zeros;

	if (exponent > NUMERIC_EXPONENT_MAX || exponent < -NUMERIC_EXPONENT_MAX ||
		scale > NUMERIC_SCALE_MAX)
		return false;
	if (whole.text[0] != '0')
		weight = (long) whole.len - 1;
	else
	{
		for (zeros = 0; zeros < fraction.len && fraction.text[zeros] == '0';)
			zeros++;
		if (zeros == fraction.len)
			return true; /* zero has no weight */
		weight = -(long) zeros - 1;
	}
	return weight + exponent < NUMERIC_DIGITS_MAX;
}

/* skip_digits returns the span of at least one digit, else an empty one. */
static JsonSpan
skip_digits(JsonCursor *cursor)
{
	JsonSpan span = {cursor->pos, 0};

	while (cursor->pos < cursor->end && is_digit(*cursor->pos))
		cursor->pos++;
	span.len = cursor->pos - span.text;
	return span;
}

static bool
scan_number(JsonCursor *cursor)
{
	JsonSpan whole;
	JsonSpan fraction = {cursor->pos, 0};
	long exponent = 0;

	take(cursor, '-');
	whole = skip_digits(cursor);
	if (whole.len == 0 || (whole.len > 1 && whole.text[0] == '0'))
		return fault(cursor, JSON_INVALID);
	if (take(cursor, '.'))
	{
		fraction = skip_digits(cursor);
		if (fraction.len == 0)
			return fault(cursor, JSON_INVALID);
	}
	if (take(cursor, 'e') || take(cursor, 'E'))
	{
		bool negative = take(cursor, '-');

		if (!negative)
			take(cursor, '+');
		if (cursor->pos == cursor->end || !is_digit(*cursor->pos))
			return fault(cursor, JSON_INVALID);
		exponent = read_exponent(&cursor->pos, cursor->end, negative);
	}
	if (!fits_numeric(whole, fraction, exponent))
		fault(cursor, JSON_UNSTORABLE);
	return true;
}

static bool
scan_word(JsonCursor *cursor, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (cursor->end - cursor->pos) < len ||
		memcmp(cursor->pos, word, len) != 0)
		return fault(cursor, JSON_INVALID);
	cursor->pos += len;
	return true;
}

/* scan_scalar checks a value that is no object and no array. */
static bool
scan_scalar(JsonCursor *cursor, JsonMember *value)
{
	const char *start = cursor->pos;
	bool good;

	value->value_escaped = false;
	switch (*start)
	{
		case '"':
			value->type = JSON_STRING;
			cursor->pos++;
			return scan_string(cursor, &value->value, &value->value_escaped);
		case 't':
			value->type = JSON_TRUE;
			good = scan_word(cursor, "true");
			break;
		case 'f':
			value->type = JSON_FALSE;
			good = scan_word(cursor, "false");
			break;
		case 'n':
			value->type = JSON_NULL;
			good = scan_word(cursor, "null");
			break;
		default:
			value->type = JSON_NUMBER;
			good = scan_number(cursor);
			break;
	}
	value->value.text = start;
	value->value.len = cursor->pos - start;
	return good;
}

/* scan_key checks blanks, a key and its colon. */
static bool
scan_key(JsonCursor *cursor, JsonSpan *key, bool *escaped)
{
	skip_blanks(cursor);
	if (!take(cursor, '"'))
		return fault(cursor, JSON_INVALID);
	if (!scan_string(cursor, key, escaped))
		return false;
	skip_blanks(cursor);
	if (!take(cursor, ':'))
		return fault(cursor, JSON_INVALID);
	return true;
}

/*
 * close_values closes what ends behind a complete value.  Returns false at a
 * fault; *depth is 0 if all is closed, else the position is at the next value.
 */
static bool
close_values(JsonCursor *cursor, uint64_t *objects, int *depth)
{
	JsonSpan key;
	bool escaped;

	while (*depth > 0)
	{
		bool is_object = *objects & 1;

		skip_blanks(cursor);
		if (take(cursor, ','))
			return !is_object || scan_key(cursor, &key, &escaped);
		if (!take(cursor, is_object ? '}' : ']'))
			return fault(cursor, JSON_INVALID);
		*objects >>= 1;
		(*depth)--;
	}
	return true;
}

/*
 * scan_container checks an object or array down to its bottom, with "open"
 * containers around it.  A loop over the bits of "objects", not a recursion.
 */
static bool
scan_container(JsonCursor *cursor, int open)
{
	uint64_t objects = 0; /* bit 0: the innermost is an object */
	int depth = 0;

	do
	{
		bool is_object;
		JsonMember value;

		skip_blanks(cursor);
		if (cursor->pos == cursor->end)
			return fault(cursor, JSON_INVALID);
		if (*cursor->pos != '{' && *cursor->pos != '[')
		{
			if (!scan_scalar(cursor, &value) ||
				!close_values(cursor, &objects, &depth))
				return false;
			continue;
		}

		if (open + depth == JSON_DEPTH_MAX)
			return fault(cursor, JSON_TOO_DEEP);
		is_object = *cursor->pos++ == '{';
		objects = objects << 1 | is_object;
		depth++;
		skip_blanks(cursor);
		if (take(cursor, is_object ? '}' : ']'))
		{
			objects >>= 1;
			depth--;
			if (!close_values(cursor, &objects, &depth))
				return false;
		}
		else if (is_object && !scan_key(cursor, &value.key, &value.key_escaped))
			return false;
	} while (depth > 0);
	return true;
}

/* scan_value checks any value and fills the value's half of a member. */
static bool
scan_value(JsonCursor *cursor, int open, JsonMember *value)
{
	skip_blanks(cursor);
	if (cursor->pos == cursor->end)
		return fault(cursor, JSON_INVALID);
	if (*cursor->pos != '{' && *cursor->pos != '[')
		return scan_scalar(cursor, value);

	value->type = *cursor->pos == '{' ? JSON_OBJECT : JSON_ARRAY;
	value->value.text = cursor->pos;
	value->value_escaped = false;
	if (!scan_container(cursor, open))
		return false;
	value->value.len = cursor->pos - value->value.text;
	return true;
}

/* finish ends the walk: nothing but blanks may follow. */
static void
finish(JsonCursor *cursor)
{
	cursor->done = true;
	skip_blanks(cursor);
	if (cursor->pos != cursor->end)
		fault(cursor, JSON_INVALID);
}

void
json_open(JsonCursor *cursor, const char *text, size_t len)
{
	JsonMember value;

	memset(cursor, 0, sizeof(*cursor));
	cursor->pos = text;
	cursor->end = text + len;
	skip_blanks(cursor);
	if (take(cursor, '{'))
	{
		cursor->type = JSON_OBJECT;
		return;
	}
	cursor->done = true;
	if (scan_value(cursor, 0, &value))
	{
		cursor->type = value.type;
		finish(cursor);
	}
}

bool
json_next(JsonCursor *cursor, JsonMember *member)
{
	if (cursor->done)
		return false;

	skip_blanks(cursor);
	if (take(cursor, '}'))
	{
		finish(cursor);
		return false;
	}
	if (cursor->started && !take(cursor, ','))
		fault(cursor, JSON_INVALID);
	else if (scan_key(cursor, &member->key, &member->key_escaped) &&
			 scan_value(cursor, 1, member))
	{
		cursor->started = true;
		return true;
	}
	cursor->done = true;
	return false;
}

void
json_open_array(JsonCursor *cursor, const char *text, size_t len)
{
	memset(cursor, 0, sizeof(*cursor));
	cursor->type = JSON_ARRAY;
	cursor->pos = text;
	cursor->end = text + len;
	skip_blanks(cursor);
	if (!take(cursor, '['))
	{
		fault(cursor, JSON_INVALID);
		cursor->done = true;
	}
}

bool
json_next_element(JsonCursor *cursor, JsonMember *element)
{
	if (cursor->done)
		return false;

	skip_blanks(cursor);
	if (!cursor->after_comma && take(cursor, ']'))
	{
		finish(cursor);
		return false;
	}
	if (scan_value(cursor, 1, element))
	{
		skip_blanks(cursor);
		cursor->after_comma = take(cursor, ',');
		if (cursor->after_comma ||
			(cursor->pos < cursor->end && *cursor->pos == ']'))
			return true;
		fault(cursor, JSON_INVALID);
	}
	cursor->done = true;
	return false;
}

JsonResult
json_check(const char *text, size_t len)
{
	JsonCursor cursor;
	JsonMember member;

	json_open(&cursor, text, len);
	while (json_next(&cursor, &member))
		;
	return cursor.result;
}

/* encode writes a character as UTF-8 and returns its bytes. */
static size_t
encode(int code, char out[4])
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* next_piece resolves the next byte or escape of a span; 0 = it cannot. */
static size_t
next_piece(const char **pos, const char *end, char out[4])
{
	int code;

	if (**pos != '\\')
	{
		out[0] = *(*pos)++;
		return 1;
	}
	(*pos)++;
	code = read_escape(pos, end);
	return code < 0 ? 0 : encode(code, out);
}

bool
json_unescape(JsonSpan span, char *out, size_t size, size_t *out_len)
{
	const char *pos = span.text;
	const char *end = span.text + span.len;
	size_t len = 0;
	char piece[4];

	while (pos < end)
	{
		size_t piece_len = next_piece(&pos, end, piece);

		if (piece_len == 0 || piece_len >= size - len)
			return false;
		memcpy(out + len, piece, piece_len);
		len += piece_len;
	}
	if (len >= size)
		return false;
	out[len] = '\0';
	if (out_len != NULL)
		*out_len = len;
	return true;
}

bool
json_equals(JsonSpan span, const char *text)
{
	const char *pos = span.text;
	const char *end = span.text + span.len;
	char piece[4];

	while (pos < end)
	{
		size_t len = next_piece(&pos, end, piece);

		/* strncmp, as the text may end within the piece */
		if (len == 0 || strncmp(text, piece, len) != 0)
			return false;
		text += len;
	}
	return *text == '\0';
}

bool
json_integer(JsonSpan span, int64_t *value)
{
	bool negative = span.len > 0 && span.text[0] == '-';
	size_t i = negative ? 1 : 0;
	int64_t sum = 0;

	if (i == span.len || (span.text[i] == '0' && span.len > 1))
		return false;
	for (; i < span.len; i++)
	{
		int digit = span.text[i] - '0';

		/* downwards, since the lowest value has no positive counterpart */
		if (!is_digit(span.text[i]) ||
			__builtin_mul_overflow(sum, (int64_t) 10, &sum) ||
			__builtin_sub_overflow(sum, (int64_t) digit, &sum))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t) 0, sum, &sum))
		return false;
	*value = sum;
	return true;
}

void
json_pick(const JsonMember *member, const char *const names[], int count,
		  JsonPicked picked[])
{
	for (int i = 0; i < count; i++)
	{
		if (!json_equals(member->key, names[i]))
			continue;
		picked[i].ambiguous |= member->key_escaped || picked[i].has;
		picked[i].has = true;
		picked[i].member = *member;
		return;
	}
}
