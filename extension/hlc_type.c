/*
 * hlc_type.c
 *     The SQL type mirusync.hlc: input and output, comparison, casts.
 *
 * The value is the 64-bit number of hlc.h, passed by value where bigint is.
 * Its order is unsigned, bigint's is not: so it needs comparison functions of
 * its own, although no clock of this age comes near the sign bit.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/timestamp.h"

#include "hlc.h"

#define DatumGetHlc(datum)	 ((Hlc) DatumGetUInt64(datum))
#define HlcGetDatum(clock)	 UInt64GetDatum(clock)
#define PG_GETARG_HLC(n)	 DatumGetHlc(PG_GETARG_DATUM(n))
#define PG_RETURN_HLC(clock) return HlcGetDatum(clock)

#define US_PER_MS			 INT64CONST(1000)
/* From 1970-01-01, where clocks begin, to 2000-01-01, where Postgres does. */
#define EPOCH_SHIFT_MS                                                         \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

PG_FUNCTION_INFO_V1(mirusync_hlc_in);
PG_FUNCTION_INFO_V1(mirusync_hlc_out);
PG_FUNCTION_INFO_V1(mirusync_hlc_recv);
PG_FUNCTION_INFO_V1(mirusync_hlc_send);
PG_FUNCTION_INFO_V1(mirusync_hlc_lt);
PG_FUNCTION_INFO_V1(mirusync_hlc_le);
PG_FUNCTION_INFO_V1(mirusync_hlc_eq);
PG_FUNCTION_INFO_V1(mirusync_hlc_ne);
PG_FUNCTION_INFO_V1(mirusync_hlc_ge);
PG_FUNCTION_INFO_V1(mirusync_hlc_gt);
PG_FUNCTION_INFO_V1(mirusync_hlc_cmp);
PG_FUNCTION_INFO_V1(mirusync_hlc_hash);
PG_FUNCTION_INFO_V1(mirusync_hlc_hash_extended);
PG_FUNCTION_INFO_V1(mirusync_hlc_ms);
PG_FUNCTION_INFO_V1(mirusync_hlc_to_timestamptz);
PG_FUNCTION_INFO_V1(mirusync_hlc_from_timestamptz);

Datum
mirusync_hlc_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	Hlc clock = 0;

	switch (hlc_scan(text, strlen(text), &clock))
	{
		case HLC_SCANNED:
			break;
		case HLC_MALFORMED:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type %s: \"%s\"", "hlc",
							text),
					 errhint("Write it like 2026-11-23T06:00:00.123Z/0005.")));
			break;
		case HLC_OUT_OF_RANGE:
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
					 errmsg("hlc out of range: \"%s\"", text)));
			break;
	}
	PG_RETURN_HLC(clock);
}

Datum
mirusync_hlc_out(PG_FUNCTION_ARGS)
{
	char *text = palloc(HLC_TEXT_SIZE);

	hlc_format(PG_GETARG_HLC(0), text);
	PG_RETURN_CSTRING(text);
}

/* Every eight bytes are a clock. */
Datum
mirusync_hlc_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);

	PG_RETURN_HLC((Hlc) pq_getmsgint64(message));
}

Datum
mirusync_hlc_send(PG_FUNCTION_ARGS)
{
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint64(&message, PG_GETARG_HLC(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

Datum
mirusync_hlc_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)) < 0);
}

Datum
mirusync_hlc_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)) <= 0);
}

Datum
mirusync_hlc_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)) == 0);
}

Datum
mirusync_hlc_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)) != 0);
}

Datum
mirusync_hlc_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)) >= 0);
}

Datum
mirusync_hlc_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)) > 0);
}

Datum
mirusync_hlc_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(hlc_compare(PG_GETARG_HLC(0), PG_GETARG_HLC(1)));
}

Datum
mirusync_hlc_hash(PG_FUNCTION_ARGS)
{
	Hlc clock = PG_GETARG_HLC(0);

	return hash_any((unsigned char *) &clock, sizeof(clock));
}

Datum
mirusync_hlc_hash_extended(PG_FUNCTION_ARGS)
{
	Hlc clock = PG_GETARG_HLC(0);

	return hash_any_extended((unsigned char *) &clock, sizeof(clock),
							 PG_GETARG_INT64(1));
}

Datum
mirusync_hlc_ms(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(hlc_ms(PG_GETARG_HLC(0)));
}

/* The counter has no place in a timestamp: this is the clock's millisecond. */
Datum
mirusync_hlc_to_timestamptz(PG_FUNCTION_ARGS)
{
	int64 ms = hlc_ms(PG_GETARG_HLC(0)) - EPOCH_SHIFT_MS;

	PG_RETURN_TIMESTAMPTZ((TimestampTz) ms * US_PER_MS);
}

/*
 * Microseconds are cut off, so that the clock is not ahead of the time.  The
 * infinities are out of range as any time so far off is.
 */
Datum
mirusync_hlc_from_timestamptz(PG_FUNCTION_ARGS)
{
	TimestampTz time = PG_GETARG_TIMESTAMPTZ(0);
	int64 ms = time / US_PER_MS;

	if (time < 0 && time % US_PER_MS != 0)
		ms--;
	ms += EPOCH_SHIFT_MS;
	if (ms < 0 || ms > HLC_MS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range for type %s", "hlc")));
	PG_RETURN_HLC(hlc_make(ms, 0));
}
