-- 10_types.sql
--     The type hlc: a hybrid logical clock.  See extension/hlc_type.c.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE TYPE mirusync.hlc;

CREATE FUNCTION mirusync.hlc_in(cstring)
RETURNS mirusync.hlc
AS 'MODULE_PATHNAME', 'mirusync_hlc_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_in(cstring) IS
'input of hlc: 2026-11-23T06:00:00.123Z/0005, fraction and counter optional';

CREATE FUNCTION mirusync.hlc_out(mirusync.hlc)
RETURNS cstring
AS 'MODULE_PATHNAME', 'mirusync_hlc_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_out(mirusync.hlc) IS 'output of hlc';

CREATE FUNCTION mirusync.hlc_recv(internal)
RETURNS mirusync.hlc
AS 'MODULE_PATHNAME', 'mirusync_hlc_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_recv(internal) IS 'binary input of hlc';

CREATE FUNCTION mirusync.hlc_send(mirusync.hlc)
RETURNS bytea
AS 'MODULE_PATHNAME', 'mirusync_hlc_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_send(mirusync.hlc) IS
'binary output of hlc: eight bytes, network order';

CREATE TYPE mirusync.hlc (
	INPUT = mirusync.hlc_in,
	OUTPUT = mirusync.hlc_out,
	RECEIVE = mirusync.hlc_recv,
	SEND = mirusync.hlc_send,
	LIKE = pg_catalog.int8
);
COMMENT ON TYPE mirusync.hlc IS
'hybrid logical clock: 48 bits of milliseconds since 1970, 16 bits of counter';


-- Comparison: later is greater, and within a millisecond the counter decides.

CREATE FUNCTION mirusync.hlc_lt(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_lt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_lt(mirusync.hlc, mirusync.hlc) IS
'implementation of < operator';

CREATE FUNCTION mirusync.hlc_le(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_le'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_le(mirusync.hlc, mirusync.hlc) IS
'implementation of <= operator';

CREATE FUNCTION mirusync.hlc_eq(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_eq'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_eq(mirusync.hlc, mirusync.hlc) IS
'implementation of = operator';

CREATE FUNCTION mirusync.hlc_ne(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_ne'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_ne(mirusync.hlc, mirusync.hlc) IS
'implementation of <> operator';

CREATE FUNCTION mirusync.hlc_ge(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_ge'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_ge(mirusync.hlc, mirusync.hlc) IS
'implementation of >= operator';

CREATE FUNCTION mirusync.hlc_gt(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_gt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_gt(mirusync.hlc, mirusync.hlc) IS
'implementation of > operator';

CREATE FUNCTION mirusync.hlc_cmp(mirusync.hlc, mirusync.hlc)
RETURNS integer
AS 'MODULE_PATHNAME', 'mirusync_hlc_cmp'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_cmp(mirusync.hlc, mirusync.hlc) IS
'less-equal-greater of two clocks, for btree';

CREATE FUNCTION mirusync.hlc_hash(mirusync.hlc)
RETURNS integer
AS 'MODULE_PATHNAME', 'mirusync_hlc_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_hash(mirusync.hlc) IS 'hash of a clock';

CREATE FUNCTION mirusync.hlc_hash_extended(mirusync.hlc, bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_hlc_hash_extended'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_hash_extended(mirusync.hlc, bigint) IS
'hash of a clock with a seed';

CREATE OPERATOR mirusync.< (
	FUNCTION = mirusync.hlc_lt,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.>),
	NEGATOR = OPERATOR(mirusync.>=),
	RESTRICT = scalarltsel,
	JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR mirusync.< (mirusync.hlc, mirusync.hlc) IS 'older than';

CREATE OPERATOR mirusync.<= (
	FUNCTION = mirusync.hlc_le,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.>=),
	NEGATOR = OPERATOR(mirusync.>),
	RESTRICT = scalarlesel,
	JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR mirusync.<= (mirusync.hlc, mirusync.hlc) IS
'older than or equal';

CREATE OPERATOR mirusync.= (
	FUNCTION = mirusync.hlc_eq,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.=),
	NEGATOR = OPERATOR(mirusync.<>),
	RESTRICT = eqsel,
	JOIN = eqjoinsel,
	HASHES,
	MERGES
);
COMMENT ON OPERATOR mirusync.= (mirusync.hlc, mirusync.hlc) IS 'equal';

CREATE OPERATOR mirusync.<> (
	FUNCTION = mirusync.hlc_ne,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.<>),
	NEGATOR = OPERATOR(mirusync.=),
	RESTRICT = neqsel,
	JOIN = neqjoinsel
);
COMMENT ON OPERATOR mirusync.<> (mirusync.hlc, mirusync.hlc) IS 'not equal';

CREATE OPERATOR mirusync.>= (
	FUNCTION = mirusync.hlc_ge,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.<=),
	NEGATOR = OPERATOR(mirusync.<),
	RESTRICT = scalargesel,
	JOIN = scalargejoinsel
);
COMMENT ON OPERATOR mirusync.>= (mirusync.hlc, mirusync.hlc) IS
'newer than or equal';

CREATE OPERATOR mirusync.> (
	FUNCTION = mirusync.hlc_gt,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.<),
	NEGATOR = OPERATOR(mirusync.<=),
	RESTRICT = scalargtsel,
	JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR mirusync.> (mirusync.hlc, mirusync.hlc) IS 'newer than';

CREATE OPERATOR FAMILY mirusync.hlc_ops USING btree;
COMMENT ON OPERATOR FAMILY mirusync.hlc_ops USING btree IS 'order of clocks';

CREATE OPERATOR CLASS mirusync.hlc_ops
DEFAULT FOR TYPE mirusync.hlc USING btree FAMILY mirusync.hlc_ops AS
	OPERATOR 1 mirusync.<,
	OPERATOR 2 mirusync.<=,
	OPERATOR 3 mirusync.=,
	OPERATOR 4 mirusync.>=,
	OPERATOR 5 mirusync.>,
	FUNCTION 1 mirusync.hlc_cmp(mirusync.hlc, mirusync.hlc),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS mirusync.hlc_ops USING btree IS 'order of clocks';

CREATE OPERATOR FAMILY mirusync.hlc_ops USING hash;
COMMENT ON OPERATOR FAMILY mirusync.hlc_ops USING hash IS 'hash of clocks';

CREATE OPERATOR CLASS mirusync.hlc_ops
DEFAULT FOR TYPE mirusync.hlc USING hash FAMILY mirusync.hlc_ops AS
	OPERATOR 1 mirusync.=,
	FUNCTION 1 mirusync.hlc_hash(mirusync.hlc),
	FUNCTION 2 mirusync.hlc_hash_extended(mirusync.hlc, bigint);
COMMENT ON OPERATOR CLASS mirusync.hlc_ops USING hash IS 'hash of clocks';


-- Conversions.  The casts are explicit: the way to timestamptz loses the
-- counter, the way back cuts microseconds.

CREATE FUNCTION mirusync.hlc_ms(clock mirusync.hlc)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_hlc_ms'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_ms(mirusync.hlc) IS
'milliseconds since 1970 of a clock';

CREATE FUNCTION mirusync.hlc_to_timestamptz(clock mirusync.hlc)
RETURNS timestamp with time zone
AS 'MODULE_PATHNAME', 'mirusync_hlc_to_timestamptz'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_to_timestamptz(mirusync.hlc) IS
'the time of a clock, to the millisecond';

CREATE FUNCTION mirusync.hlc_from_timestamptz(moment timestamp with time zone)
RETURNS mirusync.hlc
AS 'MODULE_PATHNAME', 'mirusync_hlc_from_timestamptz'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION
	mirusync.hlc_from_timestamptz(timestamp with time zone) IS
'the first clock of a time''s millisecond';

CREATE CAST (mirusync.hlc AS timestamp with time zone)
WITH FUNCTION mirusync.hlc_to_timestamptz(mirusync.hlc);
COMMENT ON CAST (mirusync.hlc AS timestamp with time zone) IS
'the time of a clock, to the millisecond';

CREATE CAST (timestamp with time zone AS mirusync.hlc)
WITH FUNCTION mirusync.hlc_from_timestamptz(timestamp with time zone);
COMMENT ON CAST (timestamp with time zone AS mirusync.hlc) IS
'the first clock of a time''s millisecond';
