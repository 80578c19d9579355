-- The vectors of the merge rules, played for documents and for a table: a
-- record is written so that it has the stored stamp, then the incoming value
-- is pushed.  Read by the client: the server may not be let into the source
-- tree.  And what the rules claim of the order of arrival.
\set vectors `cat "$PG_ABS_SRCDIR"/test/vectors/merge.json`
SET client_min_messages = warning;
CREATE SCHEMA vector_test;
SET search_path = vector_test;
CREATE TABLE vector AS
SELECT n::int, v ->> 'case' AS name, v
FROM jsonb_array_elements(:'vectors'::jsonb) WITH ORDINALITY e(v, n);
SELECT count(*) >= 60 AS enough, count(*) = count(DISTINCT name) AS distinct_names,
	bool_and(v ?& '{rule,stored_clock,stored_number,stored_device,clock,device,lost}') AS complete
FROM vector;
SELECT DISTINCT v ->> 'rule' AS rule FROM vector ORDER BY 1;

-- One collection and one table for each rule, the field being "f".
CREATE FUNCTION prepare(rule text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	whole boolean := rule = 'lww';
BEGIN
	PERFORM mirusync.create_collection('vector_' || rule, CASE WHEN whole THEN 'lww' ELSE 'lww_field' END);
	EXECUTE format('CREATE TABLE %I (id text, feed text, f %s, PRIMARY KEY (feed, id))', 'vector_table_' || rule,
		CASE rule WHEN 'set' THEN 'int[]' ELSE 'int' END);
	PERFORM mirusync.attach(('vector_table_' || rule)::regclass, feed => 'feed',
		rule => CASE WHEN whole THEN 'lww' ELSE 'lww_field' END);
	IF NOT whole THEN
		PERFORM mirusync.set_rule('vector_' || rule, 'f', rule),
			mirusync.set_rule('vector_table_' || rule, 'f', rule);
	END IF;
END $$;
SELECT count(prepare(rule)) FROM (SELECT DISTINCT v ->> 'rule' FROM vector) r(rule);

-- Clocks are seconds; SQL writes at 10, which is now.
CREATE FUNCTION push(feed text, device text, number int, change jsonb, clock numeric DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	verdict jsonb;
BEGIN
	change := change || jsonb_build_object('number', number);
	IF clock IS NOT NULL THEN
		change := change || jsonb_build_object('clock',
			to_char(timezone('UTC', current_setting('vector.start')::timestamptz + (clock - 10) * interval '1 s'),
				'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));
	END IF;
	verdict := mirusync.push(feed, device, jsonb_build_object('changes', jsonb_build_array(change))) #> '{verdicts,0}';
	RETURN verdict;
END $$;

CREATE FUNCTION in_or_out(value jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object(CASE value WHEN '1' THEN 'add' ELSE 'remove' END, '{"f": [7]}'::jsonb)
$$;

-- play returns the field as it stands after the vector.  "at_base" is what it
-- was when it had the number "base".  Of a set it tells whether 7 is in it.
CREATE FUNCTION play(n int, v jsonb, in_table boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	in_feed text := format('vector %s %s', n, in_table);
	in_collection text := CASE WHEN in_table THEN 'vector_table_' ELSE 'vector_' END || (v ->> 'rule');
	change jsonb := jsonb_build_object('kind', 'put', 'collection', in_collection, 'id', 'vector');
	stored jsonb := CASE WHEN v ? 'stored' THEN jsonb_build_object('f', v -> 'stored') ELSE '{}' END;
	had jsonb := jsonb_build_object('f', v -> 'at_base');
	number bigint;
	result jsonb;
BEGIN
	PERFORM set_config('vector.start', clock_timestamp()::text, false);
	-- Other records take the numbers before.
	FOR i IN 1 .. (v ->> 'stored_number')::int - 1 LOOP
		IF i = 1 AND v ->> 'rule' = 'set' THEN
			PERFORM push(in_feed, 'filler', i, change || jsonb_build_object('fields', jsonb_build_object(
				'f', CASE WHEN v ->> 'stored' = '1' THEN '[]' ELSE '[7]' END::jsonb)), 0);
		ELSIF v ? 'at_base' AND i = (v ->> 'base')::int THEN
			PERFORM push(in_feed, 'filler', i, change || jsonb_build_object('fields', had), 0);
		ELSE
			PERFORM push(in_feed, 'filler', i, change || jsonb_build_object('id', 'filler ' || i, 'fields', '{}'::jsonb));
		END IF;
	END LOOP;
	IF v ->> 'stored_device' <> '' THEN
		IF v ->> 'rule' = 'set' THEN
			change := change || in_or_out(v -> 'stored') || jsonb_build_object('kind', 'patch',
				'base', (v ->> 'stored_number')::int - 1);
		ELSIF v ->> 'rule' = 'counter' AND v ? 'at_base' THEN
			change := change || jsonb_build_object('kind', 'patch', 'fields', '{}'::jsonb,
				'add', jsonb_build_object('f', (v ->> 'stored')::int - coalesce((v ->> 'at_base')::int, 0)));
		ELSE
			change := change || jsonb_build_object('fields', stored,
				'base', (v ->> 'stored_number')::int - 1);
		END IF;
		PERFORM push(in_feed, v ->> 'stored_device', 1000, change, (v ->> 'stored_clock')::numeric);
	ELSIF in_table AND v ->> 'rule' = 'set' THEN
		EXECUTE format('UPDATE %I t SET f = CASE WHEN $2 THEN ''{7}'' ELSE ''{}'' END::int[] WHERE t.feed = $1',
			in_collection) USING in_feed, v ->> 'stored' = '1';
		PERFORM mirusync.push(in_feed, 'flush', '{"changes": []}');
	ELSIF in_table THEN
		EXECUTE format('INSERT INTO %I VALUES (''vector'', $1, $2)
			ON CONFLICT (feed, id) DO UPDATE SET f = excluded.f', in_collection) USING in_feed, (stored ->> 'f')::int;
		PERFORM mirusync.push(in_feed, 'flush', '{"changes": []}');
	ELSE
		PERFORM mirusync.put(in_feed, in_collection, 'vector', CASE v ->> 'rule' WHEN 'set' THEN
			jsonb_build_object('f', CASE WHEN v ->> 'stored' = '1' THEN '[7]' ELSE '[]' END::jsonb) ELSE stored END);
		PERFORM mirusync.push(in_feed, 'flush', '{"changes": []}');
	END IF;
	SELECT seq INTO STRICT number FROM mirusync.record r
		WHERE r.feed = in_feed AND r.collection = in_collection AND r.id = 'vector';
	ASSERT number = (v ->> 'stored_number')::int, format('number is %s in %s', number, v ->> 'case');
	IF v ? 'base_gone' THEN
		DELETE FROM mirusync.change_log l WHERE l.feed = in_feed;
	END IF;
	change := change - '{add,remove,base}'::text[] || jsonb_build_object('kind', coalesce(v ->> 'kind', 'patch'),
		'fields', CASE WHEN v ? 'incoming' THEN jsonb_build_object('f', v -> 'incoming') ELSE '{}' END);
	IF v ->> 'rule' = 'set' THEN
		change := change - 'fields' || in_or_out(v -> 'incoming');
	ELSIF v ? 'add' THEN
		change := change || jsonb_build_object('add', jsonb_build_object('f', v -> 'add'));
	END IF;
	IF v ? 'base' THEN
		change := change || jsonb_build_object('base', v -> 'base');
	END IF;
	result := push(in_feed, v ->> 'device', 1001, change, (v ->> 'clock')::numeric);
	ASSERT (result ->> 'verdict' = 'rejected') = (v ? 'rejected'), format('%s in %s', result, v ->> 'case');
	-- What is lost is kept.
	ASSERT EXISTS (SELECT FROM mirusync.conflict c WHERE c.feed = in_feed) = (v ->> 'lost')::boolean,
		format('conflict in %s', v ->> 'case');
	IF in_table THEN
		EXECUTE format('SELECT coalesce(to_jsonb(f), ''null'') FROM %I t WHERE t.feed = $1 AND id = ''vector''', in_collection)
			INTO result USING in_feed;
	ELSE
		result := mirusync.get(in_feed, in_collection, 'vector') -> 'f';
	END IF;
	IF v ->> 'rule' = 'set' THEN
		result := to_jsonb((result @> '7')::int);
	END IF;
	RETURN result;
END $$;
-- None gives anything else than it should.
SELECT name, v -> 'result' AS expected, result
FROM vector, play(n, v, false) result WHERE result IS DISTINCT FROM v -> 'result';
-- Columns hold what fits into an integer.
SELECT name, v -> 'result' AS expected, result
FROM (SELECT * FROM vector WHERE NOT EXISTS (
	SELECT FROM jsonb_each(v - '{case,kind,rule,stored_device,device}'::text[]) WHERE jsonb_typeof(value) = 'string')
	OFFSET 0) vector, play(n, v, true) result WHERE result IS DISTINCT FROM v -> 'result';

-- lww, lww_field, max, min, counter and set claim that the order of arrival does not matter:
-- random changes of three devices, in every order, each time into a new
-- record, sent in random groups.  A failure shows the seed, from which
-- "SELECT setseed(...)" makes the same changes again.
CREATE TABLE seed AS SELECT setseed(s) IS NULL AS done, s
	FROM (SELECT extract(microseconds FROM clock_timestamp())::int % 1000000 / 1e6 OFFSET 0) r(s);
CREATE TABLE write AS
SELECT * FROM (
	SELECT round, device, clock, floor(random() * 5)::int AS value,
		row_number() OVER (PARTITION BY round ORDER BY random()) AS place
	FROM generate_series(1, 6) round, unnest('{phone,tablet,desk}'::text[]) device,
		generate_series(1, 3) clock) w
WHERE place <= 4;
CREATE FUNCTION orders(places int[]) RETURNS SETOF int[] LANGUAGE plpgsql AS $$
BEGIN
	IF cardinality(places) = 0 THEN
		RETURN NEXT '{}';
	END IF;
	FOR i IN 1 .. cardinality(places) LOOP
		RETURN QUERY SELECT places[i] || o
			FROM orders(places[:i - 1] || places[i + 1:]) o;
	END LOOP;
END $$;
CREATE TABLE played AS
SELECT rule, round, place_order, row_number() OVER () AS place_in_all
FROM unnest('{lww,lww_field,max,min,counter,set}'::text[]) rule, generate_series(1, 6) round,
	orders('{1,2,3,4}') place_order;
CREATE FUNCTION play_order(rule text, round int, place_order int[], n bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	devices text[] := '{}';
	messages text[] := '{}';
	change jsonb;
	w write;
BEGIN
	FOR i IN 1 .. cardinality(place_order) LOOP
		SELECT * INTO STRICT w FROM write WHERE write.round = play_order.round AND place = place_order[i];
		devices := devices || w.device;
		change := jsonb_build_object('kind', 'put', 'id', 'order ' || n,
			CASE WHEN rule = 'counter' THEN 'add'
				WHEN rule <> 'set' THEN 'fields'
				WHEN w.value < 2 THEN 'remove'
				ELSE 'add' END,
			jsonb_build_object('f', CASE rule WHEN 'set' THEN to_jsonb(ARRAY[w.value % 2]) ELSE to_jsonb(w.value) END),
			'clock', format('2026-01-01T00:00:0%sZ', w.clock));
		messages := messages || jsonb_build_object('changes', jsonb_build_array(
			change || jsonb_build_object('number', 20 * n + 2 * w.place, 'collection', 'vector_' || rule),
			change || jsonb_build_object('number', 20 * n + 2 * w.place + 1, 'collection', 'vector_table_' || rule)))::text;
		-- Two messages of one device in a group would wait for each other.
		IF i = cardinality(place_order) OR random() < 0.5 OR
			(SELECT device FROM write WHERE write.round = play_order.round AND place = place_order[i + 1]) = ANY (devices) THEN
			IF EXISTS (SELECT FROM mirusync.push_many(array_fill('order'::text, ARRAY[cardinality(devices)]),
				devices, devices, array_fill('batch'::text, ARRAY[cardinality(devices)]), messages) m
				WHERE m.kind = 'verdict' AND (m.status <> 'applied' OR m.body LIKE '%rejected%')) THEN
				RAISE EXCEPTION 'a message was refused';
			END IF;
			devices := '{}';
			messages := '{}';
		END IF;
	END LOOP;
END $$;
SELECT count(play_order(rule, round, place_order, place_in_all)) FROM played;
CREATE FUNCTION results(rule text) RETURNS TABLE (place bigint, result int) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT substr(id, 7)::bigint, %3$s FROM mirusync.document
			WHERE feed = 'order' AND collection = %1$L
		UNION ALL SELECT substr(id, 7)::bigint, %4$s FROM %2$I WHERE feed = 'order' $q$,
		'vector_' || rule, 'vector_table_' || rule,
		CASE rule WHEN 'set' THEN $q$(data -> 'f' @> '0')::int + 2 * (data -> 'f' @> '1')::int$q$ ELSE $q$(data ->> 'f')::int$q$ END,
		CASE rule WHEN 'set' THEN $q$(f @> '{0}')::int + 2 * (f @> '{1}')::int$q$ ELSE 'f' END);
END $$;
-- Each round has one result, in documents and tables; of a counter the sum.
SELECT s AS seed, rule, round, array_agg(DISTINCT result) AS results
FROM seed, played, results(rule) r WHERE r.place = place_in_all
GROUP BY s, rule, round HAVING count(DISTINCT result) <> 1 OR count(*) <> 48 OR
	(rule = 'counter' AND min(result) <> (SELECT sum(value) FROM write w WHERE w.round = played.round));
SELECT count(mirusync.detach(c.relation)) FROM mirusync.collection c WHERE name LIKE 'vector_table_%';
DELETE FROM mirusync.document WHERE collection LIKE 'vector_%';
DELETE FROM mirusync.field_rule WHERE collection LIKE 'vector_%';
DELETE FROM mirusync.collection WHERE name LIKE 'vector_%';
DROP SCHEMA vector_test CASCADE;
