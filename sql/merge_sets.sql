-- Arrays as sets.  The example is that of docs/merge.md (tools/check-docs.sh
-- compares them).
SET client_min_messages = warning;
-- Each change is judged by itself, without the inbox (rejected).
SET mirusync.rejected_max_changes = 0;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE SCHEMA merge_sets;
SET search_path = merge_sets;
CREATE OR REPLACE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('zoe', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;

CREATE TABLE photo (id int PRIMARY KEY, owner text NOT NULL, tags text[], marks jsonb, sizes numeric(6, 1)[]);
SELECT mirusync.attach('photo', feed => 'owner');
SELECT mirusync.set_rule('photo', 'tags', 'set');
INSERT INTO photo VALUES (1, 'zoe', '{sea,boat}');
SELECT push('phone', '{"number": 1, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"tags": ["sun", "sea"]}, "base": 1}');
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"tags": ["wind"]}, "remove": {"tags": ["sea", "boat"]}, "base": 1}');
SELECT tags FROM photo WHERE id = 1;

-- Who has seen it removes it, and its own adds a device has seen.
SELECT push('tablet', '{"number": 2, "kind": "patch", "collection": "photo", "id": "1",
	"remove": {"tags": ["sea", "wind"]}, "base": 2}') -> 'fields' AS seen;
-- A whole array stands for what it changes.
SELECT head AS base FROM mirusync.feed WHERE feed = 'zoe' \gset
SELECT push('phone', format('{"number": 2, "kind": "patch", "collection": "photo", "id": "1",
	"fields": {"tags": ["sun", "moon"]}, "base": %s}', :base)::jsonb) - 'seq' AS moon;
SELECT push('tablet', format('{"number": 3, "kind": "patch", "collection": "photo", "id": "1",
	"fields": {"tags": ["star"]}, "base": %s}', :base)::jsonb) - 'seq' AS star;
SELECT push('desk', format('{"number": 1, "kind": "patch", "collection": "photo", "id": "1",
	"fields": {"tags": ["sun", "dark"]}, "base": %s}', :base)::jsonb) - 'seq' AS dark;
SELECT tags FROM photo WHERE id = 1;
-- Without a base it adds, and removes nothing.
SELECT push('watch', '{"number": 1, "kind": "patch", "collection": "photo", "id": "1",
	"fields": {"tags": ["more"]}}') - 'seq' AS adds;
-- Without a base an element goes by the newer clock; added wins a tie.
SELECT push('watch', '{"number": 2, "kind": "patch", "collection": "photo", "id": "1",
	"remove": {"tags": ["more", "moon"]}, "clock": "2026-01-01T09:00:00Z"}') - 'seq' AS older;
SELECT push('watch', '{"number": 3, "kind": "patch", "collection": "photo", "id": "1", "remove": {"tags": ["more", "moon"]}}') -> 'fields' AS newer;
SELECT push('desk', '{"number": 2, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"tags": ["moon"]}, "clock": "2026-01-01T09:00:00Z"}') - 'seq' AS older;
-- Also where the remove comes first.
SELECT push('desk', '{"number": 3, "kind": "patch", "collection": "photo", "id": "1",
	"remove": {"tags": ["rain"]}, "clock": "2026-01-01T09:10:00Z"}') ->> 'verdict' AS removed;
SELECT push('phone', '{"number": 3, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"tags": ["rain"]}, "clock": "2026-01-01T09:05:00Z"}') ->> 'verdict' AS older;
SELECT push('phone', '{"number": 4, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"tags": ["rain"]}, "clock": "2026-01-01T09:10:00Z"}') ->> 'verdict' AS tie;
SELECT tags FROM photo WHERE id = 1;

-- SQL counts as the adds and removes that it makes.
SELECT head AS base FROM mirusync.feed WHERE feed = 'zoe' \gset
UPDATE photo SET tags = '{dark,cloud,cloud,star}' WHERE id = 1;
SELECT push('phone', format('{"number": 5, "kind": "patch", "collection": "photo", "id": "1",
	"remove": {"tags": ["dark", "cloud"]}, "add": {"tags": ["fog"]}, "base": %s}', :base)::jsonb) - 'seq' AS merged;
SELECT push('tablet', format('{"number": 4, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"tags": ["dark"]}, "base": %s}', :base)::jsonb) -> 'fields' AS merged;
SELECT count(*) AS conflicts FROM mirusync.conflict WHERE feed = 'zoe';
SELECT field_rules FROM mirusync.change_log WHERE feed = 'zoe' ORDER BY seq DESC LIMIT 1;
-- Each element is there once, as its column writes it, and nulls are none.
SELECT mirusync.set_rule('photo', 'marks', 'set'), mirusync.set_rule('photo', 'sizes', 'set');
SELECT push('phone', format('{"number": 6, "kind": "patch", "collection": "photo", "id": "1",
	"add": {"marks": [1, "1", 1.0, {"b": 2, "a": [1]}, {"a": [1], "b": 2}, null, [], %s],
		"sizes": ["1.00", 1, 2.25]}}', to_jsonb(repeat('long ', 20)))::jsonb) -> 'fields' AS merged;
SELECT push('phone', format('{"number": 7, "kind": "patch", "collection": "photo", "id": "1",
	"remove": {"marks": [1.000, {"a": [1], "b": 2}, null, %s], "sizes": [2.3]}}', to_jsonb(repeat('long ', 20)))::jsonb) -> 'fields' AS merged;
SELECT head AS base FROM mirusync.feed WHERE feed = 'zoe' \gset
SELECT push('phone', format('{"number": 8, "kind": "put", "collection": "photo", "id": "1",
	"fields": {"marks": null, "sizes": [], "tags": ["fog"]}, "base": %s}', :base)::jsonb) - 'seq' AS emptied;
TABLE photo;
-- A new record, and one that comes back.
SELECT push('phone', '{"number": 9, "kind": "put", "collection": "photo", "id": "2",
	"fields": {"tags": ["a", "b", "a"]}, "base": 0}') - 'seq' AS made;
SELECT head AS base FROM mirusync.feed WHERE feed = 'zoe' \gset
DELETE FROM photo WHERE id = 2;
SELECT push('phone', format('{"number": 10, "kind": "patch", "collection": "photo", "id": "2",
	"add": {"tags": ["c"]}, "remove": {"tags": ["a"]}, "base": %s}', :base)::jsonb) - 'seq' AS back;
-- In one batch, and in one group.
SELECT mirusync.push('zoe', 'phone', format('{"changes": [
	{"number": 11, "kind": "patch", "collection": "photo", "id": "2", "add": {"tags": ["d"]}, "base": %1$s},
	{"number": 12, "kind": "patch", "collection": "photo", "id": "2", "remove": {"tags": ["d"]}, "base": %1$s},
	{"number": 13, "kind": "patch", "collection": "photo", "id": "2", "add": {"tags": ["e"]}, "base": %1$s}]}', :base)::jsonb) #> '{verdicts,2,fields}' AS fields;
SELECT status, body::jsonb #> '{verdicts,0,fields}' AS fields FROM mirusync.push_many('{zoe,zoe}', '{desk,phone}', '{desk,phone}', '{batch,batch}', ARRAY[
	format('{"changes": [{"number": 4, "kind": "patch", "collection": "photo", "id": "2", "add": {"tags": ["e"]}, "base": %s}]}', :base),
	format('{"changes": [{"number": 14, "kind": "patch", "collection": "photo", "id": "2", "remove": {"tags": ["e"]}, "base": %s}]}', :base)])
	WHERE kind = 'verdict';
-- Documents; under lww elements keep their stamps though the rest is replaced.
SELECT mirusync.create_collection('merge_album'), mirusync.set_rule('merge_album', 'tags', 'set');
SELECT push('phone', '{"number": 15, "kind": "put", "collection": "merge_album", "id": "a",
	"fields": {"title": "A", "tags": ["x"]}, "base": 0}') ->> 'verdict' AS made;
SELECT head AS base FROM mirusync.feed WHERE feed = 'zoe' \gset
SELECT push('tablet', format('{"number": 5, "kind": "put", "collection": "merge_album", "id": "a",
	"fields": {"title": "B", "tags": ["x", "y"]}, "base": %s}', :base)::jsonb) ->> 'verdict' AS put;
SELECT push('phone', format('{"number": 16, "kind": "put", "collection": "merge_album", "id": "a",
	"fields": {"title": "C"}, "base": %s}', :base)::jsonb) - 'seq' AS absent;
SELECT mirusync.get('zoe', 'merge_album', 'a');
SELECT push('phone', format('{"number": 17, "kind": "put", "collection": "merge_album", "id": "a",
	"fields": {"title": "C"}, "base": %s}', head)::jsonb) - 'seq' AS absent FROM mirusync.feed WHERE feed = 'zoe';
SELECT mirusync.get('zoe', 'merge_album', 'a');
-- What happens to a set is no matter of the rest.
SELECT push('phone', '{"number": 18, "kind": "put", "collection": "merge_album", "id": "b",
	"fields": {"title": "A", "tags": []}, "clock": "2026-01-01T09:00:00Z"}') ->> 'verdict' AS made;
SELECT push('tablet', '{"number": 6, "kind": "patch", "collection": "merge_album", "id": "b",
	"add": {"tags": ["x"]}, "clock": "2026-01-01T09:20:00Z"}') ->> 'verdict' AS added;
SELECT push('desk', '{"number": 5, "kind": "patch", "collection": "merge_album", "id": "b",
	"fields": {"title": "B"}, "clock": "2026-01-01T09:10:00Z"}') ->> 'verdict' AS title;
SELECT mirusync.get('zoe', 'merge_album', 'b');

-- Errors.
SELECT mirusync.set_rule('photo', 'id', 'set');
ALTER TABLE photo ADD title text, ADD notes json;
SELECT mirusync.set_rule('photo', 'title', 'set');
SELECT mirusync.set_rule('photo', 'notes', 'set');
SELECT mirusync.set_rule('photo', NULL, 'set');
SELECT push('phone', '{"number": 30, "kind": "patch", "collection": "photo", "id": "1", "fields": {"tags": "fog"}}');
SELECT push('phone', '{"number": 31, "kind": "patch", "collection": "photo", "id": "1", "fields": {"tags": {"a": 1}}}');
SELECT push('phone', '{"number": 32, "kind": "patch", "collection": "photo", "id": "1", "add": {"tags": 1}}');
SELECT push('phone', '{"number": 33, "kind": "patch", "collection": "photo", "id": "1", "add": {"title": ["a"]}}');
SELECT push('phone', '{"number": 34, "kind": "patch", "collection": "photo", "id": "1", "remove": {"title": ["a"]}}');
SELECT push('phone', '{"number": 35, "kind": "patch", "collection": "photo", "id": "1", "remove": {"tags": "a"}}');
SELECT push('phone', '{"number": 36, "kind": "patch", "collection": "photo", "id": "1", "remove": ["tags"]}');
SELECT push('phone', '{"number": 37, "kind": "patch", "collection": "photo", "id": "1", "remove": {"nothing": ["a"]}}');
SELECT push('phone', '{"number": 38, "kind": "patch", "collection": "photo", "id": "1", "remove": {"tags": ["a"]}, "fields": {"tags": []}}');
SELECT push('phone', '{"number": 39, "kind": "patch", "collection": "photo", "id": "1", "add": {"sizes": ["big"]}}');
SELECT push('phone', '{"number": 40, "kind": "patch", "collection": "photo", "id": "1", "add": {"sizes": [1e300]}}') ->> 'code' AS huge;
SELECT push('phone', '{"number": 41, "kind": "patch", "collection": "photo", "id": "1", "remove": {}}');
SELECT mirusync.patch('zoe', 'merge_album', 'a', '{"tags": 7}');
SELECT push('phone', '{"number": 42, "kind": "patch", "collection": "merge_album", "id": "a", "add": {"tags": ["x"]}}');
SELECT push('phone', jsonb_build_object('number', 43, 'kind', 'patch', 'collection', 'photo', 'id', '1', 'add',
	jsonb_build_object('marks', jsonb_build_array((repeat('[', 60) || repeat(']', 60))::jsonb)))) ->> 'verdict' AS deep;
-- Many elements, and every other one is removed.
SELECT push('phone', jsonb_build_object('number', 44, 'kind', 'patch', 'collection', 'photo', 'id', '2', 'add',
	jsonb_build_object('marks', (SELECT jsonb_agg(i) FROM generate_series(1, 2000) i)))) ->> 'verdict' AS many;
SELECT push('phone', jsonb_build_object('number', 45, 'kind', 'patch', 'collection', 'photo', 'id', '2', 'remove',
	jsonb_build_object('marks', (SELECT jsonb_agg(i) FROM generate_series(1, 2000, 2) i)))) ->> 'verdict' AS many;
SELECT jsonb_array_length(marks), marks -> 0 AS first, marks -> -1 AS last FROM photo WHERE id = 2;
SELECT mirusync.detach('photo');
DELETE FROM mirusync.document WHERE collection = 'merge_album';
DELETE FROM mirusync.field_rule WHERE collection = 'merge_album';
DELETE FROM mirusync.collection WHERE name = 'merge_album';
DROP SCHEMA merge_sets CASCADE;
