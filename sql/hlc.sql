-- The type hlc: text, order, conversions.
SET search_path = mirusync, public;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Text: what is written is read back, and the short forms mean the same.
SELECT '2026-11-23T06:00:00.123Z/0005'::hlc;
SELECT t AS text, t::hlc AS hlc
FROM unnest('{2026-11-23T06:00:00.123Z,2026-11-23T06:00:00.12Z,
	2026-11-23T06:00:00.1Z,2026-11-23T06:00:00Z,2026-11-23T06:00:00Z/ABCD,
	1970-01-01T00:00:00Z,9999-12-31T23:59:59.999Z/ffff,
	+010889-08-02T05:31:50.655Z/ffff}'::text[]) t;
SELECT count(*) AS read_back
FROM (SELECT (timestamptz '1970-01-01' + n * interval '37 days 05:07:11.013')
	  ::hlc AS clock FROM generate_series(0, 9999) n) c
WHERE clock = clock::text::hlc;

-- Errors say whether it is not written like a clock, or no clock can hold it.
\set VERBOSITY sqlstate
SELECT ''::hlc;
SELECT 'now'::hlc;
SELECT '2026-11-23'::hlc;
SELECT '2026-11-23 06:00:00Z'::hlc;
SELECT '2026-11-23T06:00:00'::hlc;
SELECT '2026-11-23T06:00:00.1234Z'::hlc;
SELECT '2026-11-23T06:00:00Z/5'::hlc;
SELECT '2026-11-23T06:00:00Z/00005'::hlc;
SELECT '2026-11-23T06:00:00Z '::hlc;
SELECT '2026-02-29T06:00:00Z'::hlc;
SELECT '2026-11-23T24:00:00Z'::hlc;
SELECT '1969-12-31T23:59:59.999Z'::hlc;
SELECT '+010889-08-02T05:31:50.656Z'::hlc;
\set VERBOSITY default
SELECT '2026-11-23T06:00:00Z/xyz'::hlc;
SELECT '2026-02-29T06:00:00Z'::hlc;

-- Order: the counter decides within a millisecond, and the sign bit of a
-- bigint is just another bit.
CREATE TEMP TABLE clock (n int, c hlc);
INSERT INTO clock VALUES
	(1, '1970-01-01T00:00:00Z'),
	(2, '1970-01-01T00:00:00Z/0001'),
	(3, '1970-01-01T00:00:00Z/ffff'),
	(4, '1970-01-01T00:00:00.001Z'),
	(5, '2026-11-23T06:00:00.123Z/7fff'),
	(6, '2026-11-23T06:00:00.123Z/8000'),
	(7, '+006429-10-17T02:45:55.327Z/ffff'),
	(8, '+006429-10-17T02:45:55.328Z'),
	(9, '+010889-08-02T05:31:50.655Z/ffff');
SELECT count(*) AS pairs,
	count(*) FILTER (WHERE (a.c < b.c) = (a.n < b.n)) AS lt,
	count(*) FILTER (WHERE (a.c <= b.c) = (a.n <= b.n)) AS le,
	count(*) FILTER (WHERE (a.c = b.c) = (a.n = b.n)) AS eq,
	count(*) FILTER (WHERE (a.c <> b.c) = (a.n <> b.n)) AS ne,
	count(*) FILTER (WHERE (a.c >= b.c) = (a.n >= b.n)) AS ge,
	count(*) FILTER (WHERE (a.c > b.c) = (a.n > b.n)) AS gt,
	count(*) FILTER (WHERE hlc_cmp(a.c, b.c) = sign(a.n - b.n)) AS cmp
FROM clock a, clock b;
SELECT array_agg(n ORDER BY c) AS ascending,
	array_agg(n ORDER BY c DESC) AS descending FROM clock;

-- The operator classes serve: a btree, a hash index, and all kinds of joins.
CREATE UNIQUE INDEX ON clock (c);
CREATE INDEX ON clock USING hash (c);
INSERT INTO clock VALUES (10, '2026-11-23T06:00:00.123Z/7fff');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT n FROM clock WHERE c > '2026-11-23T06:00:00Z' ORDER BY c;
SELECT n FROM clock WHERE c > '2026-11-23T06:00:00Z' ORDER BY c;
DROP INDEX clock_c_idx;
EXPLAIN (COSTS OFF) SELECT n FROM clock WHERE c = '2026-11-23T06:00:00.123Z/8000';
SELECT n FROM clock WHERE c = '2026-11-23T06:00:00.123Z/8000';
RESET enable_seqscan;
RESET enable_bitmapscan;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SELECT count(*) FROM clock a JOIN clock b USING (c);
RESET enable_mergejoin;
SET enable_hashjoin = off;
SELECT count(*) FROM clock a JOIN clock b USING (c);
RESET enable_hashjoin;
RESET enable_nestloop;

-- Hashes spread, and the extended one with seed 0 agrees with the plain one.
SELECT count(DISTINCT hlc_hash(c)) AS hashes,
	bool_and(hlc_hash(c) = (hlc_hash_extended(c, 0) & 4294967295)::bit(32)::int)
		AS agree,
	bool_and(hlc_hash_extended(c, 0) <> hlc_hash_extended(c, 1)) AS seeded
FROM clock;

-- amvalidate finds both classes whole.
SELECT amname, opcname, amvalidate(o.oid)
FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod
WHERE opcintype = 'hlc'::regtype ORDER BY amname;

-- Binary form: eight bytes, network order.
SELECT hlc_send('2026-11-23T06:00:00.123Z/0005');
\getenv abs_builddir PG_ABS_BUILDDIR
\cd :abs_builddir
\copy clock TO 'results/hlc.binary' (FORMAT binary)
CREATE TEMP TABLE copied (LIKE clock);
\copy copied FROM 'results/hlc.binary' (FORMAT binary)
SELECT count(*), count(*) FILTER (WHERE a.c = b.c) AS same
FROM clock a JOIN copied b USING (n);

-- Conversions.
SELECT hlc_ms('2026-11-23T06:00:00.123Z/0005');
SELECT hlc_ms('+010889-08-02T05:31:50.655Z/ffff');
SELECT '2026-11-23T06:00:00.123Z/0005'::hlc::timestamptz;
SELECT '1970-01-01T00:00:00.001Z'::hlc::timestamptz;
SELECT '+010889-08-02T05:31:50.655Z/ffff'::hlc::timestamptz;
SELECT t AS time, t::hlc AS hlc
FROM unnest('{2026-11-23 06:00:00.123999+00,2000-01-01 00:00:00+00,
	1999-12-31 23:59:59.9999+00,1970-01-01 00:00:00.000999+00,
	2026-11-23 06:00:00+05:30,10889-08-02 05:31:50.655999+00}'::timestamptz[]) t;
SELECT timestamptz '1969-12-31 23:59:59.999999+00'::hlc;
SELECT timestamptz '10889-08-02 05:31:50.656+00'::hlc;
SELECT timestamptz 'infinity'::hlc;
SELECT timestamptz '-infinity'::hlc;
SELECT timestamptz '4714-11-24 00:00:00+00 BC'::hlc;
SELECT timestamptz '294276-12-31 23:59:59.999999+00'::hlc;
-- The casts are explicit.
CREATE TEMP TABLE implicit (c hlc);
INSERT INTO implicit VALUES (timestamptz '2026-11-23 06:00:00+00');
INSERT INTO implicit SELECT 5::bigint;

-- Every function: immutable, strict, parallel safe; every object commented.
SELECT count(*) AS functions, bool_and(provolatile = 'i') AS immutable,
	bool_and(proisstrict) AS strict, bool_and(proparallel = 's') AS safe
FROM pg_proc
WHERE pronamespace = 'mirusync'::regnamespace AND proname LIKE 'hlc\_%';
SELECT pg_describe_object(classid, objid, 0)
FROM pg_depend
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'mirusync')
	AND deptype = 'e'
	AND pg_describe_object(classid, objid, 0) LIKE '%hlc%'
	AND pg_describe_object(classid, objid, 0) NOT LIKE '%hlc[]'
	AND obj_description(objid, classid::regclass::name) IS NULL;
RESET search_path;
