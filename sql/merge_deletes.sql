-- Deletes against concurrent updates.  The examples are those of docs/merge.md
-- (tools/check-docs.sh compares them).
SET client_min_messages = warning;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE SCHEMA merge_deletes;
SET search_path = merge_deletes;
CREATE OR REPLACE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('noa', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;

CREATE TABLE plan (id int PRIMARY KEY, owner text NOT NULL, title text, room text, votes int);
SELECT mirusync.attach('plan', feed => 'owner');
-- The tablet has seen the plan and not the phone's delete, and comes last.
SELECT push('desk', '{"number": 1, "kind": "put", "collection": "plan", "id": "1",
	"fields": {"title": "Party", "room": "Garden"}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('phone', '{"number": 1, "kind": "delete", "collection": "plan", "id": "1",
	"clock": "2026-01-01T09:20:00Z", "base": 1}');
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "plan", "id": "1",
	"fields": {"room": "Cellar"}, "clock": "2026-01-01T09:10:00Z", "base": 1}');
SELECT title, room FROM plan WHERE id = 1;

-- The other way round the delete is stale.
SELECT push('desk', '{"number": 2, "kind": "put", "collection": "plan", "id": "2",
	"fields": {"title": "Picnic", "room": "Park"}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 2, "kind": "patch", "collection": "plan", "id": "2",
	"fields": {"room": "Lake"}, "clock": "2026-01-01T09:10:00Z", "base": 4}');
SELECT push('phone', '{"number": 2, "kind": "delete", "collection": "plan", "id": "2",
	"clock": "2026-01-01T09:20:00Z", "base": 4}');
SELECT rule, kind, id FROM mirusync.change_log WHERE feed = 'noa' ORDER BY seq;
-- Who has seen the other decides by the clock, and so does who says not what
-- it has seen.
SELECT push('phone', '{"number": 3, "kind": "delete", "collection": "plan", "id": "2",
	"clock": "2026-01-01T09:40:00Z", "base": 5}') - 'seq' AS seen;
SELECT push('tablet', '{"number": 3, "kind": "patch", "collection": "plan", "id": "2",
	"fields": {"room": "Hill"}, "clock": "2026-01-01T09:30:00Z", "base": 6}') - 'seq' AS older;
SELECT push('tablet', '{"number": 4, "kind": "patch", "collection": "plan", "id": "2",
	"fields": {"room": "Hill"}, "clock": "2026-01-01T09:30:00Z"}') - 'seq' AS unknown;
-- Its own delete a device has seen.
SELECT push('phone', '{"number": 4, "kind": "patch", "collection": "plan", "id": "2",
	"fields": {"room": "Hill"}, "clock": "2026-01-01T09:30:00Z", "base": 0}') - 'seq' AS own;

-- What comes back has the stamps that it had: a change of another field that is
-- older than all this still counts, and so does a second one of the same.
SELECT push('desk', '{"number": 3, "kind": "put", "collection": "plan", "id": "3",
	"fields": {"title": "Walk", "room": "Wood", "votes": 1}, "clock": "2026-01-01T08:00:00Z"}') ->> 'verdict' AS made;
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
SELECT push('phone', format('{"number": 5, "kind": "delete", "collection": "plan", "id": "3",
	"clock": "2026-01-01T09:20:00Z", "base": %s}', :base)::jsonb) ->> 'verdict' AS deleted;
SELECT push('tablet', format('{"number": 5, "kind": "patch", "collection": "plan", "id": "3",
	"fields": {"room": "Hill"}, "clock": "2026-01-01T09:10:00Z", "base": %s}', :base)::jsonb) ->> 'verdict' AS back;
SELECT push('watch', format('{"number": 1, "kind": "patch", "collection": "plan", "id": "3",
	"fields": {"title": "Hike", "room": "Sea"}, "clock": "2026-01-01T09:05:00Z", "base": %s}', :base)::jsonb);
SELECT title, room, votes FROM plan WHERE id = 3;
-- An update that comes too late for the field itself brings nothing back.
SELECT push('phone', format('{"number": 6, "kind": "delete", "collection": "plan", "id": "3", "base": %s}', head)::jsonb) ->> 'verdict' AS deleted
	FROM mirusync.feed WHERE feed = 'noa';
SELECT push('watch', format('{"number": 2, "kind": "patch", "collection": "plan", "id": "3",
	"fields": {"room": "Sea"}, "clock": "2026-01-01T09:06:00Z", "base": %s}', :base)::jsonb);
SELECT count(*) FROM plan WHERE id = 3;
-- A delete by SQL is one as well, and the whole record that names its base
-- brings back what it did not change.
INSERT INTO plan VALUES (4, 'noa', 'Swim', 'Lake', 3);
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
UPDATE plan SET votes = 7 WHERE id = 4;
DELETE FROM plan WHERE id = 4;
SELECT push('tablet', format('{"number": 6, "kind": "put", "collection": "plan", "id": "4",
	"fields": {"title": "Swim", "room": "Sea", "votes": 3}, "base": %s}', :base)::jsonb) - 'seq' AS back;
-- One that changes nothing is no update.
DELETE FROM plan WHERE id = 4;
SELECT push('phone', format('{"number": 7, "kind": "put", "collection": "plan", "id": "4",
	"fields": {"title": "Swim"}, "base": %s}', :base)::jsonb) - 'seq' AS nothing;
-- Counters go on from where they were.
SELECT mirusync.set_rule('plan', 'votes', 'counter');
INSERT INTO plan VALUES (5, 'noa', 'Ride', NULL, 3);
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
UPDATE plan SET votes = votes + 10 WHERE id = 5;
DELETE FROM plan WHERE id = 5;
SELECT push('tablet', format('{"number": 7, "kind": "patch", "collection": "plan", "id": "5",
	"fields": {"votes": 4}, "base": %s}', :base)::jsonb) - 'seq' AS back;
DELETE FROM plan WHERE id = 5;
SELECT push('phone', format('{"number": 8, "kind": "patch", "collection": "plan", "id": "5",
	"add": {"votes": 1}, "base": %s}', :base)::jsonb) - 'seq' AS back;
SELECT votes FROM plan WHERE id = 5;
-- Both in one group: the tablet cannot have seen it.
SELECT head FROM mirusync.feed WHERE feed = 'noa' \gset
SELECT status, body FROM mirusync.push_many('{noa,noa}', '{phone,tablet}', '{phone,tablet}', '{batch,batch}', ARRAY[
	format('{"changes": [{"number": 9, "kind": "delete", "collection": "plan", "id": "5", "base": %s}]}', :head),
	format('{"changes": [{"number": 8, "kind": "patch", "collection": "plan", "id": "5", "fields": {"title": "Run"}, "base": %s}]}', :head)])
	WHERE kind = 'verdict';
SELECT title, votes FROM plan WHERE id = 5;
-- What one transaction deletes and brings back is what two would have made of it.
INSERT INTO plan VALUES (8, 'noa', 'Sail', 'Bay', 3), (9, 'noa', 'Sail', 'Bay', 3), (10, 'noa', 'Sail', 'Bay', 3);
SELECT mirusync.push('noa', 'boat', format('{"changes": [
	{"number": 1, "kind": "delete", "collection": "plan", "id": "8", "base": %1$s},
	{"number": 2, "kind": "patch", "collection": "plan", "id": "8", "add": {"votes": 2}, "base": %1$s},
	{"number": 3, "kind": "patch", "collection": "plan", "id": "9", "add": {"votes": 2}, "base": %1$s},
	{"number": 4, "kind": "delete", "collection": "plan", "id": "9", "base": %1$s},
	{"number": 5, "kind": "delete", "collection": "plan", "id": "10", "base": %1$s},
	{"number": 6, "kind": "delete", "collection": "plan", "id": "10", "base": %1$s}]}', head)::jsonb) AS together
FROM mirusync.feed WHERE feed = 'noa';
SELECT count(push('boat', format('{"number": %s, "kind": "patch", "collection": "plan", "id": "%s", "fields": {"room": "Sea"}, "base": %s}',
	id, id, head)::jsonb)) FROM mirusync.feed, generate_series(9, 10) id WHERE feed = 'noa';
SELECT id, title, room, votes FROM plan WHERE id BETWEEN 8 AND 10 ORDER BY id;
-- Documents, one of which is merged as a whole.
SELECT mirusync.create_collection('merge_page', 'lww_field'), mirusync.create_collection('merge_leaf');
SELECT mirusync.put('noa', c, 'a', '{"title": "A", "text": "long"}') FROM unnest('{merge_page,merge_leaf}'::text[]) c;
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
SELECT mirusync.delete('noa', c, 'a') FROM unnest('{merge_page,merge_leaf}'::text[]) c;
SELECT push('phone', format('{"number": 10, "kind": "patch", "collection": "merge_page", "id": "a",
	"fields": {"title": "B"}, "base": %s}', :base)::jsonb) - 'seq' AS back;
SELECT push('phone', format('{"number": 11, "kind": "patch", "collection": "merge_leaf", "id": "a",
	"fields": {"title": "B"}, "base": %s}', :base)::jsonb) - 'seq' AS back;
SELECT collection, data FROM mirusync.document WHERE feed = 'noa' ORDER BY 1;

-- delete_wins: whatever the clocks say.
SELECT mirusync.set_delete_rule('plan', 'delete_wins');
SELECT field, rule, delete_rule FROM mirusync.rules WHERE collection = 'plan' ORDER BY field NULLS FIRST;
INSERT INTO plan VALUES (6, 'noa', 'Film', 'Attic');
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
SELECT push('tablet', format('{"number": 9, "kind": "patch", "collection": "plan", "id": "6",
	"fields": {"room": "Lake"}, "base": %s}', :base)::jsonb) - 'seq' AS first;
SELECT push('phone', format('{"number": 12, "kind": "delete", "collection": "plan", "id": "6",
	"clock": "2026-01-01T09:00:00Z", "base": %s}', :base)::jsonb) - 'seq' AS wins;
SELECT push('desk', format('{"number": 4, "kind": "patch", "collection": "plan", "id": "6",
	"fields": {"title": "Play"}, "base": %s}', :base)::jsonb) - 'seq' AS loses;
SELECT rule FROM mirusync.change_log WHERE feed = 'noa' AND kind = 'delete' ORDER BY seq DESC LIMIT 1;
-- Who has seen it may make it anew.
SELECT push('desk', format('{"number": 5, "kind": "put", "collection": "plan", "id": "6",
	"fields": {"title": "Play"}, "base": %s}', head)::jsonb) - 'seq' AS anew FROM mirusync.feed WHERE feed = 'noa';

-- manual: what is stored stays.
SELECT mirusync.set_delete_rule('plan', 'manual');
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
UPDATE plan SET room = 'Hall' WHERE id = 6;
SELECT push('phone', format('{"number": 13, "kind": "delete", "collection": "plan", "id": "6", "base": %s}', :base)::jsonb) - 'seq' AS stays;
DELETE FROM plan WHERE id = 6;
SELECT push('phone', format('{"number": 14, "kind": "patch", "collection": "plan", "id": "6",
	"fields": {"title": "Song"}, "base": %s}', :base)::jsonb) - 'seq' AS stays;
-- What a change adds is in the conflict as what it comes to, so nothing of it is lost.
INSERT INTO plan VALUES (7, 'noa', 'Walk', NULL, 3);
SELECT head AS base FROM mirusync.feed WHERE feed = 'noa' \gset
DELETE FROM plan WHERE id = 7;
SELECT push('phone', format('{"number": 15, "kind": "patch", "collection": "plan", "id": "7",
	"fields": {"room": "Wood"}, "add": {"votes": 2}, "base": %s}', :base)::jsonb) - 'seq' - 'conflicts' AS stays;
SELECT id, stored, incoming FROM mirusync.conflicts WHERE feed = 'noa' AND record = '7' \gset lost_
SELECT :'lost_incoming' AS incoming, mirusync.resolve('noa', :lost_id, choose => 'incoming');
SELECT title, room, votes FROM plan WHERE id = 7;

-- Under update_wins and delete_wins the order of arrival does not matter: a
-- delete and three random updates that had seen nothing of each other, in
-- every order, each time on a record of its own.  A failure shows the seed.
CREATE TABLE pad (id int PRIMARY KEY, owner text NOT NULL, a text, b text, c text);
SELECT mirusync.attach('pad', feed => 'owner');
CREATE TABLE seed AS SELECT setseed(s) IS NULL AS done, s
	FROM (SELECT extract(microseconds FROM clock_timestamp())::int % 1000000 / 1e6 OFFSET 0) r(s);
CREATE FUNCTION play_order(n int, changes jsonb, place_order int[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	change jsonb;
	base bigint;
BEGIN
	SELECT (push('desk', jsonb_build_object('number', 1000 + n, 'kind', 'put', 'collection', 'pad', 'id', n::text,
		'fields', '{"a": "0", "b": "0", "c": "0"}'::jsonb, 'clock', '2026-01-01T00:00:00Z')) ->> 'seq') INTO base;
	FOR i IN 1 .. 4 LOOP
		change := changes -> place_order[i] - 1;
		change := push(change ->> 'device', change - 'device' ||
			jsonb_build_object('number', 1000 + n, 'collection', 'pad', 'id', n::text, 'base', base));
		ASSERT change ->> 'verdict' <> 'rejected', change;
	END LOOP;
	RETURN coalesce((SELECT concat_ws(',', a, b, c) FROM pad WHERE id = n), 'deleted');
END $$;
CREATE FUNCTION random_changes() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_build_array(jsonb_build_object('device', 'phone', 'kind', 'delete',
		'clock', format('2026-01-01T00:00:0%sZ', 1 + floor(random() * 5)::int))) || jsonb_agg(
		jsonb_build_object('device', device, 'kind', 'patch', 'clock', format('2026-01-01T00:00:0%sZ', 1 + floor(random() * 5)::int),
			'fields', jsonb_build_object(substr('abc', 1 + floor(random() * 3)::int, 1), device)))
	FROM unnest('{tablet,laptop,watch}'::text[]) device
$$;
CREATE FUNCTION orders(places int[]) RETURNS SETOF int[] LANGUAGE plpgsql AS $$
BEGIN
	IF cardinality(places) = 0 THEN
		RETURN NEXT '{}';
	END IF;
	FOR i IN 1 .. cardinality(places) LOOP
		RETURN QUERY SELECT places[i] || o FROM orders(places[:i - 1] || places[i + 1:]) o;
	END LOOP;
END $$;
CREATE TABLE round AS SELECT r AS round, random_changes() AS changes FROM generate_series(1, 6) r;
CREATE TABLE played (n int, round int, result text);
CREATE PROCEDURE play_all(first int) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT first + row_number() OVER () AS n, round.round, changes, o FROM round, orders('{1,2,3,4}') o LOOP
		INSERT INTO played VALUES (r.n, r.round, play_order(r.n::int, r.changes, r.o));
		COMMIT;
	END LOOP;
END $$;
SELECT mirusync.set_delete_rule('pad', 'update_wins');
CALL play_all(0);
SELECT s AS seed, round, changes, array_agg(DISTINCT result) FROM seed, played JOIN round USING (round)
GROUP BY s, round, changes HAVING count(DISTINCT result) <> 1 OR min(result) = 'deleted';
TRUNCATE played;
SELECT mirusync.set_delete_rule('pad', 'delete_wins');
CALL play_all(1000);
SELECT s AS seed, round, changes, array_agg(DISTINCT result) FROM seed, played JOIN round USING (round)
GROUP BY s, round, changes HAVING count(DISTINCT result) <> 1 OR min(result) <> 'deleted';
SELECT mirusync.detach('pad');

-- A batch that deletes a record and brings it back is told of all that came back.
SELECT mirusync.push('again', 'd', '{"changes": [{"number": 1, "kind": "put", "collection": "merge_page", "id": "p", "base": 0,
	"fields": {"a": 1, "b": 2}, "clock": "2020-01-01T00:00:00Z"}]}');
SELECT mirusync.push('again', 'd', '{"changes": [
	{"number": 2, "kind": "delete", "collection": "merge_page", "id": "p", "base": 1, "clock": "2020-01-01T00:00:01Z"},
	{"number": 3, "kind": "patch", "collection": "merge_page", "id": "p", "base": 1, "clock": "2020-01-01T00:00:02Z",
		"fields": {"b": 3}}]}');

-- Of what an earlier change of the batch sent in vain the device is told, too.
SELECT mirusync.create_collection('merge_vain', 'lww_field');
SELECT mirusync.push('vain', 'other', '{"changes": [
	{"number": 1, "kind": "put", "collection": "merge_vain", "id": "p", "fields": {"a": 1, "b": 1}, "clock": "2020-01-01T00:00:00Z"}]}');
SELECT mirusync.push('vain', 'other', '{"changes": [
	{"number": 2, "kind": "patch", "collection": "merge_vain", "id": "p", "base": 1, "fields": {"a": 2}, "clock": "2021-01-01T00:00:00Z"}]}');
SELECT mirusync.push('vain', 'd', '{"changes": [
	{"number": 1, "kind": "patch", "collection": "merge_vain", "id": "p", "base": 1, "clock": "2020-01-01T00:00:01Z",
		"fields": {"a": 5, "b": 5}},
	{"number": 2, "kind": "patch", "collection": "merge_vain", "id": "p", "base": 1, "clock": "2020-01-01T00:00:02Z",
		"fields": {"b": 6}}]}') #- '{verdicts,0,conflicts}' AS verdicts;
SELECT mirusync.push('vain', 'd', '{"changes": [
	{"number": 3, "kind": "put", "collection": "merge_vain", "id": "p", "base": 1, "clock": "2020-01-01T00:00:03Z",
		"fields": {"b": 7}},
	{"number": 4, "kind": "patch", "collection": "merge_vain", "id": "p", "base": 1, "clock": "2020-01-01T00:00:04Z",
		"fields": {"b": 8}}]}') #- '{verdicts,0,conflicts}' AS verdicts;
SELECT data FROM mirusync.document WHERE feed = 'vain';
DELETE FROM mirusync.document WHERE collection = 'merge_vain';
DELETE FROM mirusync.collection WHERE name = 'merge_vain';

-- Errors.
SELECT mirusync.set_delete_rule('plan', 'lww');
SELECT mirusync.set_delete_rule('plan', NULL);
SELECT mirusync.set_delete_rule(NULL, 'manual');
SELECT mirusync.set_delete_rule('nowhere', 'manual');
SELECT mirusync.set_delete_rule('plan', repeat('x', 80));
CREATE ROLE regress_mirusync_deletes;
GRANT USAGE ON SCHEMA mirusync TO regress_mirusync_deletes;
GRANT EXECUTE ON FUNCTION mirusync.set_delete_rule TO regress_mirusync_deletes;
SET ROLE regress_mirusync_deletes;
SELECT mirusync.set_delete_rule('plan', 'manual');
RESET ROLE;
\set VERBOSITY terse
UPDATE mirusync.collection SET delete_rule = 'never' WHERE name = 'plan';
\set VERBOSITY default
SELECT mirusync.detach('plan');
DELETE FROM mirusync.document WHERE collection IN ('merge_page', 'merge_leaf');
DELETE FROM mirusync.collection WHERE name IN ('merge_page', 'merge_leaf');
DROP SCHEMA merge_deletes CASCADE;
DROP OWNED BY regress_mirusync_deletes;
DROP ROLE regress_mirusync_deletes;
