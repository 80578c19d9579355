-- The practice log's objects: what is refused, and what becomes of the rest.
-- Read by the client: the server may not be let into the source tree.
\set vectors `cat "$PG_ABS_SRCDIR"/test/vectors/practice_log.json`

-- Returns the object normalised or, as a JSON string, the error's message;
-- an error of another SQLSTATE shows as such.
CREATE FUNCTION pg_temp.normalise(payload text, object jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
	result jsonb;
BEGIN
	EXECUTE format('SELECT mirusync.%I($1)', 'practice_' || payload)
		INTO result USING object;
	RETURN result;
EXCEPTION
	WHEN SQLSTATE 'MS422' THEN
		RETURN to_jsonb(sqlerrm);
	WHEN others THEN
		RETURN to_jsonb(sqlstate || ': ' || sqlerrm);
END
$$;

CREATE TEMP TABLE vector AS
SELECT v->>'case' AS name, v->>'payload' AS payload, v->'input' AS input,
	coalesce(v->'output', v->'error') AS expected,
	pg_temp.normalise(v->>'payload', v->'input') AS result
FROM jsonb_array_elements(:'vectors'::jsonb) v;

-- The vectors: each payload has good and bad ones.
SELECT payload, count(*) FILTER (WHERE jsonb_typeof(expected) = 'object') > 5
		AS has_good,
	count(*) FILTER (WHERE jsonb_typeof(expected) = 'string') > 5 AS has_bad
FROM vector GROUP BY payload ORDER BY payload;
SELECT count(*) >= 80 AS enough, count(*) = count(expected) AS complete
FROM vector;

-- None gives anything else than it should.
SELECT payload, name, expected, result
FROM vector WHERE result IS DISTINCT FROM expected;
-- Numbers have one form: 3.0 is written 3.
SELECT payload, name, expected, result
FROM vector WHERE result::text <> expected::text;
-- Twice is the same as once.
SELECT payload, name, result, pg_temp.normalise(payload, result) AS again
FROM vector
WHERE jsonb_typeof(result) = 'object' AND
	pg_temp.normalise(payload, result)::text <> result::text;

-- What vectors cannot hold, since readers of JSON would change it.
\set entry '{"id": "e", "timestamp": 0, "duration": 0, "type": "other", "instrument": "i"}'
SELECT n AS duration, pg_temp.normalise('entry',
	jsonb_set(:'entry', '{duration}', n::jsonb)) #>> '{}' AS result
FROM unnest('{3.0,3e0,30e-1,-0,-0.0,1e-1,9007199254740991.0,
	9007199254740991.5,9007199254740992,-1e-16000}'::text[]) n;
SELECT n AS timestamp, pg_temp.normalise('entry',
	jsonb_set(:'entry', '{timestamp}', n::jsonb)) #>> '{}' AS result
FROM unnest('{1.7e12,1700000000000.000,8640000000000000,-8640000000000000,
	8640000000000001,1700000000000.5}'::text[]) n;
SELECT pg_temp.normalise('entry', jsonb_set(:'entry', '{duration}',
	'1e131000')) AS huge,
	pg_temp.normalise('entry', jsonb_set(:'entry', '{duration}',
	'1e-16000')) AS tiny,
	pg_temp.normalise('entry', jsonb_set(:'entry', '{timestamp}',
	'-1e131000')) AS very_long_ago;

-- Size is no trouble.
SELECT length(mirusync.practice_entry(jsonb_set(:'entry', '{notes}',
	to_jsonb(repeat('x', 1000000))))->>'notes') AS notes,
	length(mirusync.practice_entry(jsonb_set(:'entry', '{instrument}',
	to_jsonb(repeat('Ⱥ', 100000))))->>'instrument') AS instrument,
	jsonb_array_length(mirusync.practice_entry(jsonb_set(:'entry', '{pieces}',
	(SELECT jsonb_agg('{"title": "t"}'::jsonb)
	 FROM generate_series(1, 10000))))->'pieces') AS pieces,
	pg_temp.normalise('entry', jsonb_set(:'entry', '{id}',
	to_jsonb(repeat('x', 1000000)))) AS id;
-- Nor is depth, in a field that nobody reads.
SELECT mirusync.practice_entry(jsonb_set(:'entry', '{x}', x))->'x' = x AS kept
FROM (SELECT (repeat('[{"a":', 1000) || '1' || repeat('}]', 1000))::jsonb) o (x);

-- The SQLSTATE, and no word of the value.
DO $$
DECLARE
	state text; message text; detail text; hint text;
BEGIN
	PERFORM mirusync.practice_entry('{"id": ["secret"]}');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '% "%" "%" "%"', state, message, detail, hint;
END
$$;
SELECT mirusync.practice_entry('{}');
SELECT mirusync.practice_piece('[]');
SELECT mirusync.practice_plan(NULL) IS NULL AS strict;

-- Volatility and parallel safety.
SELECT proname, provolatile, proisstrict, proparallel
FROM pg_proc
WHERE pronamespace = 'mirusync'::regnamespace AND proname LIKE 'practice\_%'
ORDER BY proname;

-- The mapping, as data; and a second call changes nothing, not even what
-- somebody has changed since.
BEGIN;
SELECT mirusync.create_practice_log();
SELECT name, rule FROM mirusync.collection
WHERE name IN ('logbook_entry', 'repertoire_item', 'practice_plan',
	'plan_occurrence')
ORDER BY name COLLATE "C";
SELECT collection, normalise, clock_keys, payload, id_key
FROM mirusync.event_collection ORDER BY collection COLLATE "C";
SELECT collection, created_type, updated_type, deleted_type, deleted_key
FROM mirusync.event_collection ORDER BY collection COLLATE "C";
SELECT collection, bulk_type, bulk_key, catch_up_type
FROM mirusync.event_collection ORDER BY collection COLLATE "C";
SELECT type, part, collection, kind, payload, is_list, id_keys
FROM mirusync.event_type ORDER BY type COLLATE "C", part;

UPDATE mirusync.event_collection SET clock_keys = '{updated_at}'
WHERE collection = 'practice_plan';
CREATE TEMP TABLE before ON COMMIT DROP AS
SELECT c::text AS line FROM mirusync.event_collection c
UNION ALL SELECT t::text FROM mirusync.event_type t
UNION ALL SELECT c::text FROM mirusync.collection c;
SELECT mirusync.create_practice_log();
-- Each line is there twice: before and after.
SELECT count(*) = 2 * count(DISTINCT line) AS unchanged FROM (
	SELECT c::text AS line FROM mirusync.event_collection c
	UNION ALL SELECT t::text FROM mirusync.event_type t
	UNION ALL SELECT c::text FROM mirusync.collection c
	UNION ALL SELECT line FROM before) l;
ROLLBACK;

-- The caller's search_path has no say in what it calls.
SELECT proconfig FROM pg_proc
WHERE oid = 'mirusync.create_practice_log()'::regprocedure;
