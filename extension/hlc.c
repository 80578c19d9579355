/*
 * hlc.c
 *     Hybrid logical clock: arithmetic and text form.
 *
 * Calls no backend function, see hlc.h.  Times are read and written here by
 * hand, because the C library's calendar depends on the time zone and on the
 * locale, and Postgres' own is not there in a unit test.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "hlc.h"

#define MS_PER_SECOND INT64_C(1000)
#define MS_PER_MINUTE (60 * MS_PER_SECOND)
#define MS_PER_HOUR	  (60 * MS_PER_MINUTE)
#define MS_PER_DAY	  (24 * MS_PER_HOUR)

/* The Gregorian calendar repeats itself after this many days. */
#define YEARS_PER_CYCLE 400
#define DAYS_PER_CYCLE	INT64_C(146097)
/* Days from 0000-03-01 to 1970-01-01. */
#define DAYS_TO_1970 INT64_C(719468)

/* What is left to read. */
typedef struct Scan
{
	const char *at;
	const char *end;
} Scan;

/* A time as it was written. */
typedef struct Time
{
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int ms;
	int fraction_digits; /* as written; 0 = no fraction */
	int offset_minutes;	 /* east of UTC */
	bool has_clock;		 /* more than a date */
	bool has_second;
	char separator; /* between date and clock: T or blank */
	char zone;		/* Z, + or -; 0 = none */
} Time;

Hlc
hlc_next(Hlc clock)
{
	/* The two parts are adjacent: the carry is that of the addition. */
	return clock == HLC_MAX ? HLC_MAX : clock + 1;
}

Hlc
hlc_tick(Hlc newest_seen, int64_t wall_ms)
{
	return hlc_max(hlc_make(wall_ms, 0), hlc_next(newest_seen));
}

bool
hlc_bound(Hlc *clock, int64_t wall_ms, int64_t max_skew_ms)
{
	int64_t limit_ms;

	/* A sum that overflows is a limit that no clock can pass. */
	if (__builtin_add_overflow(wall_ms, max_skew_ms, &limit_ms))
		limit_ms = wall_ms < 0 ? 0 : HLC_MS_MAX;
	if (hlc_ms(*clock) <= limit_ms)
		return false;
	*clock = hlc_make(limit_ms, 0);
	return true;
}

/* days_from_date returns the days from 1970-01-01 to a date of any year. */
static int64_t
days_from_date(int year, int month, int day)
{
	int64_t cycle;
	int64_t year_of_cycle;
	int64_t day_of_year;

	/* Years begin in March here, so that the leap day is a year's last. */
	if (month <= 2)
	{
		year--;
		month += 12;
	}
	cycle = (year >= 0 ? year : year - (YEARS_PER_CYCLE - 1)) / YEARS_PER_CYCLE;
	year_of_cycle = year - cycle * YEARS_PER_CYCLE;
	/* From March on, five months have 153 days; the fraction rounds right. */
	day_of_year = (153 * (month - 3) + 2) / 5 + day - 1;

	return cycle * DAYS_PER_CYCLE + year_of_cycle * 365 + year_of_cycle / 4 -
		year_of_cycle / 100 + day_of_year - DAYS_TO_1970;
}

/* date_from_days is the inverse of days_from_date. */
static void
date_from_days(int64_t days, Time *time)
{
	int64_t cycle;
	int64_t day;  /* of the cycle, then of the year */
	int64_t year; /* of the cycle */
	int month;	  /* 0 = March */

	days += DAYS_TO_1970;
	cycle = (days >= 0 ? days : days - (DAYS_PER_CYCLE - 1)) / DAYS_PER_CYCLE;
	day = days - cycle * DAYS_PER_CYCLE;
	/* Take out the leap days passed so far, and every year has 365. */
	year = (day - day / 1460 + day / 36524 - day / (DAYS_PER_CYCLE - 1)) / 365;
	day -= year * 365 + year / 4 - year / 100;
	month = (int) ((5 * day + 2) / 153);

	time->day = (int) (day - (153 * month + 2) / 5 + 1);
	time->month = month < 10 ? month + 3 : month - 9;
	time->year = (int) (year + cycle * YEARS_PER_CYCLE) +
		(time->month <= 2 ? 1 : 0);
}

/* days_in_month returns how many days that month has. */
static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) ||
		year % YEARS_PER_CYCLE == 0;

	return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

/* take_char takes that character, if it is the next one. */
static bool
take_char(Scan *scan, char wanted)
{
	if (scan->at == scan->end || *scan->at != wanted)
		return false;
	scan->at++;
	return true;
}

/* take_number takes exactly "count" digits. */
static bool
take_number(Scan *scan, int count, int *number)
{
	*number = 0;
	while (count-- > 0)
	{
		if (scan->at == scan->end || *scan->at < '0' || *scan->at > '9')
			return false;
		*number = *number * 10 + (*scan->at++ - '0');
	}
	return true;
}

/* take_fraction takes one digit or more; those beyond the third are cut. */
static bool
take_fraction(Scan *scan, Time *time)
{
	static const int scale[] = {0, 100, 10, 1};
	int value = 0;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
	{
		if (time->fraction_digits < 3)
			value = value * 10 + (*scan->at - '0');
		/* More than four are as good as four, and cannot overflow. */
		if (time->fraction_digits < 4)
			time->fraction_digits++;
		scan->at++;
	}
	if (time->fraction_digits == 0)
		return false;
	time->ms = time->fraction_digits >= 3
		? value
		: value * scale[time->fraction_digits];
	return true;
}

/* take_date takes YYYY-MM-DD or, as toISOString writes, ±YYYYYY-MM-DD. */
static bool
take_date(Scan *scan, Time *time)
{
	bool is_negative = take_char(scan, '-');
	bool is_long = is_negative || take_char(scan, '+');

	if (!take_number(scan, is_long ? 6 : 4, &time->year))
		return false;
	if (is_negative)
		time->year = -time->year;
	return take_char(scan, '-') && take_number(scan, 2, &time->month) &&
		take_char(scan, '-') && take_number(scan, 2, &time->day);
}

/* take_zone takes Z, ±HH, ±HHMM or ±HH:MM, if there is one. */
static bool
take_zone(Scan *scan, Time *time)
{
	int hours;
	int minutes = 0;

	if (scan->at == scan->end)
		return true;
	time->zone = *scan->at++;
	if (time->zone == 'Z')
		return true;
	if (time->zone != '+' && time->zone != '-')
		return false;
	if (!take_number(scan, 2, &hours))
		return false;
	if (scan->at < scan->end)
	{
		(void) take_char(scan, ':');
		if (!take_number(scan, 2, &minutes))
			return false;
	}
	/* An hour or minute that does not exist is no offset at all. */
	if (hours > 23 || minutes > 59)
		return false;
	time->offset_minutes = hours * 60 + minutes;
	if (time->zone == '-')
		time->offset_minutes = -time->offset_minutes;
	return true;
}

/* take_time takes all there is as a time; its numbers are not checked yet. */
static bool
take_time(Scan *scan, Time *time)
{
	*time = (Time){0};
	if (!take_date(scan, time))
		return false;
	if (scan->at == scan->end)
		return true;

	time->has_clock = true;
	time->separator = *scan->at++;
	if (time->separator != 'T' && time->separator != ' ')
		return false;
	if (!take_number(scan, 2, &time->hour) || !take_char(scan, ':') ||
		!take_number(scan, 2, &time->minute))
		return false;
	if (take_char(scan, ':'))
	{
		time->has_second = true;
		if (!take_number(scan, 2, &time->second))
			return false;
		if (take_char(scan, '.') && !take_fraction(scan, time))
			return false;
	}
	return take_zone(scan, time) && scan->at == scan->end;
}

/* time_to_ms returns false when there is no such date or time of day. */
static bool
time_to_ms(const Time *time, int64_t *ms)
{
	int64_t result;

	if (time->month < 1 || time->month > 12 || time->day < 1 ||
		time->day > days_in_month(time->year, time->month) || time->hour > 23 ||
		time->minute > 59 || time->second > 59)
		return false;
	result = days_from_date(time->year, time->month, time->day) * MS_PER_DAY +
		time->hour * MS_PER_HOUR +
		(time->minute - time->offset_minutes) * MS_PER_MINUTE +
		time->second * MS_PER_SECOND + time->ms;
	if (result < -HLC_TIME_MS_MAX || result > HLC_TIME_MS_MAX)
		return false;
	*ms = result;
	return true;
}

bool
hlc_parse_time(const char *text, size_t length, int64_t *ms)
{
	Scan scan = {text, text + length};
	Time time;

	return take_time(&scan, &time) && time_to_ms(&time, ms);
}

/* take_counter takes the four hex digits at the end of the text form. */
static bool
take_counter(Scan *scan, uint16_t *counter)
{
	if (scan->end - scan->at != 4)
		return false;
	*counter = 0;
	for (; scan->at < scan->end; scan->at++)
	{
		char c = *scan->at;
		int digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else
			return false;
		*counter = (uint16_t) (*counter << 4 | digit);
	}
	return true;
}

HlcScan
hlc_scan(const char *text, size_t length, Hlc *out)
{
	Scan scan = {text, text + length};
	Scan tail;
	Time time;
	uint16_t counter = 0;
	int64_t ms;

	/* The slash ends the time. */
	for (tail = scan; tail.at < tail.end && *tail.at != '/'; tail.at++)
		;
	scan.end = tail.at;
	if (take_char(&tail, '/') && !take_counter(&tail, &counter))
		return HLC_MALFORMED;

	/* Of the ways to write a time, a clock has just one. */
	if (!take_time(&scan, &time) || time.separator != 'T' || !time.has_second ||
		time.fraction_digits > 3 || time.zone != 'Z')
		return HLC_MALFORMED;
	if (!time_to_ms(&time, &ms) || ms < 0 || ms > HLC_MS_MAX)
		return HLC_OUT_OF_RANGE;
	*out = hlc_make(ms, counter);
	return HLC_SCANNED;
}

bool
hlc_parse(const char *text, size_t length, Hlc *out)
{
	return hlc_scan(text, length, out) == HLC_SCANNED;
}

/* put_number writes "count" digits with leading zeros. */
static char *
put_number(char *at, int count, int number)
{
	for (int i = count; i-- > 0; number /= 10)
		at[i] = (char) ('0' + number % 10);
	return at + count;
}

/* put_year writes four digits, or a sign and six where four do not do. */
static char *
put_year(char *at, int year)
{
	if (year >= 0 && year <= 9999)
		return put_number(at, 4, year);
	*at++ = year < 0 ? '-' : '+';
	return put_number(at, 6, year < 0 ? -year : year);
}

void
hlc_format_time(int64_t ms, char buffer[HLC_TIME_SIZE])
{
	char *at = buffer;
	int64_t days;
	int64_t rest; /* of the day */
	Time time;

	if (ms > HLC_TIME_MS_MAX)
		ms = HLC_TIME_MS_MAX;
	if (ms < -HLC_TIME_MS_MAX)
		ms = -HLC_TIME_MS_MAX;
	days = (ms >= 0 ? ms : ms - (MS_PER_DAY - 1)) / MS_PER_DAY;
	rest = ms - days * MS_PER_DAY;
	date_from_days(days, &time);

	at = put_year(at, time.year);
	*at++ = '-';
	at = put_number(at, 2, time.month);
	*at++ = '-';
	at = put_number(at, 2, time.day);
	*at++ = 'T';
	at = put_number(at, 2, (int) (rest / MS_PER_HOUR));
	*at++ = ':';
	at = put_number(at, 2, (int) (rest / MS_PER_MINUTE % 60));
	*at++ = ':';
	at = put_number(at, 2, (int) (rest / MS_PER_SECOND % 60));
	*at++ = '.';
	at = put_number(at, 3, (int) (rest % MS_PER_SECOND));
	*at++ = 'Z';
	*at = '\0';
}

void
hlc_format(Hlc clock, char buffer[HLC_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char *at = buffer;

	hlc_format_time(hlc_ms(clock), buffer);
	while (*at != '\0')
		at++;
	*at++ = '/';
	for (int shift = 12; shift >= 0; shift -= 4)
		*at++ = digits[hlc_counter(clock) >> shift & 0xf];
	*at = '\0';
}
