-- Conflicts: what is recorded, and deciding anew.  The examples are those of
-- docs/merge.md (tools/check-docs.sh compares them).
SET client_min_messages = warning;
-- Each change is judged by itself, without the inbox (rejected).
SET mirusync.rejected_max_changes = 0;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE SCHEMA merge_conflicts;
SET search_path = merge_conflicts;
CREATE OR REPLACE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('tia', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;
CREATE VIEW conflict AS SELECT id, collection AS "in", record, field, rule, outcome, stored, incoming,
		stored_device, incoming_device, stored_seq, incoming_seq, number, base, resolution
	FROM mirusync.conflicts WHERE feed = 'tia' ORDER BY id;

CREATE TABLE recipe (id int PRIMARY KEY, owner text NOT NULL, title text, oven int, portions numeric(5, 1),
	CHECK (oven <= 300));
SELECT mirusync.attach('recipe', feed => 'owner');
SELECT push('desk', '{"number": 1, "kind": "put", "collection": "recipe", "id": "1",
	"fields": {"title": "Bread", "oven": 200, "portions": 4}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 220}, "clock": "2026-01-01T09:10:00Z", "base": 1}');
SELECT push('phone', '{"number": 1, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 240}, "clock": "2026-01-01T09:20:00Z", "base": 1}');
SELECT field, stored, incoming, outcome, rule FROM mirusync.conflicts
WHERE feed = 'tia';
SELECT mirusync.resolve(feed, id, choose => 'stored') FROM mirusync.conflicts WHERE feed = 'tia';
SELECT oven FROM recipe WHERE id = 1;

TABLE conflict;
SELECT resolved_at IS NOT NULL AS resolved, resolved_by = current_user AS by_me, user_id,
	stored_clock, incoming_clock FROM mirusync.conflicts WHERE feed = 'tia';
-- It is a change as any by SQL, and reaches every device.
SELECT kind, id, device, rule, old, new FROM mirusync.change_log WHERE feed = 'tia' ORDER BY seq DESC LIMIT 1;
SELECT mirusync.pull('tia', 'tia', 3) #> '{changes,0,fields}' AS fields;
-- A device that has not seen it meets it by the rule, and that is a conflict
-- of its own.
SELECT push('phone', '{"number": 2, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 250}, "clock": "2026-01-01T09:30:00Z", "base": 3}');
SELECT mirusync.resolve(feed, id, value => '230') FROM mirusync.conflicts
WHERE feed = 'tia' AND resolved_at IS NULL;
SELECT oven FROM recipe WHERE id = 1;

-- None: the device had seen it, it wrote it itself, says not what it had seen,
-- or means the same.
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
SELECT push('phone', format('{"number": 3, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 210, "portions": 6}, "base": %s}', :base)::jsonb) -> 'verdict' AS seen;
SELECT push('phone', format('{"number": 4, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 211}, "base": %s}', :base)::jsonb) -> 'verdict' AS own;
SELECT push('tablet', '{"number": 2, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 1}, "clock": "2026-01-01T09:00:00Z"}') -> 'verdict' AS not_told;
SELECT push('tablet', format('{"number": 3, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 211, "portions": "6.00"}, "base": %s}', :base)::jsonb) -> 'verdict' AS same;
-- Two fields are two conflicts, and the device learns what stands.
UPDATE recipe SET oven = 199, portions = NULL WHERE id = 1;
SELECT push('tablet', format('{"number": 4, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 5, "portions": 7, "title": "Loaf"}, "clock": "2026-01-01T09:00:00Z", "base": %s}', :base)::jsonb);
SELECT * FROM conflict WHERE id > 2;
-- A replay records none, and what is refused neither.
SELECT push('tablet', format('{"number": 4, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 5}, "base": %s}', :base)::jsonb);
SELECT push('tablet', format('{"number": 5, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 500}, "base": %s}', :base)::jsonb) ->> 'code' AS refused;
SELECT count(*) FROM conflict;
-- Two devices of a group: what they do becomes one change.
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
SELECT status, body FROM mirusync.push_many('{tia,tia}', '{desk,phone}', '{desk,phone}', '{batch,batch}', ARRAY[
	format('{"changes": [{"number": 2, "kind": "patch", "collection": "recipe", "id": "1", "fields": {"title": "Cake"}, "base": %s}]}', :base),
	format('{"changes": [{"number": 5, "kind": "patch", "collection": "recipe", "id": "1", "fields": {"title": "Tart"}, "base": %s}]}', :base)])
	WHERE kind = 'verdict';
SELECT outcome, stored, incoming, stored_seq - :base AS stored_seq, incoming_seq - :base AS incoming_seq FROM conflict ORDER BY id DESC LIMIT 1;

-- manual: the stored value stays until somebody decides.
SELECT mirusync.set_rule('recipe', 'title', 'manual');
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
SELECT push('tablet', format('{"number": 6, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"title": "Rye"}, "base": %s}', :base)::jsonb) - 'seq' AS first;
SELECT push('phone', format('{"number": 6, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"title": "Spelt"}, "base": %s}', :base)::jsonb) - 'seq' AS second;
SELECT field, stored, incoming, outcome FROM mirusync.conflicts
WHERE feed = 'tia' AND outcome = 'open' AND resolved_at IS NULL;
SELECT mirusync.resolve('tia', 6, choose => 'incoming');
SELECT title FROM recipe WHERE id = 1;
SELECT field_rules FROM mirusync.change_log WHERE feed = 'tia' AND field_rules IS NOT NULL ORDER BY seq;

-- Under lww the record is one piece.
SELECT mirusync.create_collection('merge_memo');
SELECT push('desk', '{"number": 3, "kind": "put", "collection": "merge_memo", "id": "a",
	"fields": {"title": "A", "text": "long", "tag": 1}}') ->> 'verdict' AS made;
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
SELECT push('tablet', format('{"number": 7, "kind": "put", "collection": "merge_memo", "id": "a",
	"fields": {"title": "B", "text": "long", "more": true}, "base": %s}', :base)::jsonb) - 'seq' AS first;
SELECT push('phone', format('{"number": 7, "kind": "put", "collection": "merge_memo", "id": "a",
	"fields": {"title": "C", "text": "long", "tag": 1}, "base": %s}', :base)::jsonb) - 'seq' AS second;
SELECT field, rule, outcome, stored, incoming FROM conflict ORDER BY id DESC LIMIT 1;
SELECT mirusync.resolve('tia', 7, choose => 'stored');
SELECT mirusync.get('tia', 'merge_memo', 'a');
-- Without the base it is an ordinary overwriting.
SELECT push('desk', '{"number": 4, "kind": "put", "collection": "merge_memo", "id": "a", "fields": {"title": "D"}}') - 'seq' AS not_told;
-- The older one loses, as a whole.
SELECT push('phone', format('{"number": 8, "kind": "patch", "collection": "merge_memo", "id": "a",
	"fields": {"title": "E"}, "clock": "2026-01-01T09:00:00Z", "base": %s}', :base)::jsonb) - 'seq' AS older;
SELECT field, outcome, stored, incoming FROM conflict ORDER BY id DESC LIMIT 1;
SELECT mirusync.resolve('tia', 8, value => '{"title": "F", "tag": 2}');
SELECT mirusync.get('tia', 'merge_memo', 'a');
-- A field of a document that one of both took away.
SELECT mirusync.create_collection('merge_sheet', 'lww_field');
SELECT mirusync.put('tia', 'merge_sheet', 'a', '{"title": "A", "tag": 1}');
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
SELECT mirusync.patch('tia', 'merge_sheet', 'a', '{"tag": 2}');
SELECT push('phone', format('{"number": 9, "kind": "put", "collection": "merge_sheet", "id": "a",
	"fields": {"title": "A"}, "base": %s}', :base)::jsonb) - 'seq' AS removed;
SELECT field, outcome, stored, incoming FROM conflict ORDER BY id DESC LIMIT 1;
SELECT mirusync.resolve('tia', 9, choose => 'stored');
SELECT mirusync.get('tia', 'merge_sheet', 'a');

-- Deletes.
SELECT mirusync.set_delete_rule('recipe', 'delete_wins');
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
UPDATE recipe SET oven = 180 WHERE id = 1;
SELECT push('phone', format('{"number": 10, "kind": "delete", "collection": "recipe", "id": "1", "base": %s}', :base)::jsonb) - 'seq' AS wins;
SELECT push('tablet', format('{"number": 8, "kind": "patch", "collection": "recipe", "id": "1",
	"fields": {"oven": 170}, "base": %s}', :base)::jsonb) - 'seq' AS loses;
SELECT field, rule, outcome, stored, incoming FROM conflict WHERE id IN (10, 11);
SELECT mirusync.resolve('tia', 11, choose => 'incoming');
TABLE recipe;
SELECT mirusync.resolve('tia', 10, choose => 'incoming');
TABLE recipe;
SELECT mirusync.set_delete_rule('recipe', 'manual');
SELECT push('tablet', format('{"number": 9, "kind": "put", "collection": "recipe", "id": "1",
	"fields": {"title": "Pie"}, "base": %s}', :base)::jsonb) - 'seq' AS open;
SELECT field, rule, outcome, stored, incoming FROM conflict ORDER BY id DESC LIMIT 1;
SELECT mirusync.resolve('tia', 12, value => '{"title": "Tarte", "oven": 150}');
TABLE recipe;

-- Fields and collections that are called otherwise now, and are gone.
INSERT INTO recipe VALUES (2, 'tia', 'Soup', 90);
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
UPDATE recipe SET oven = 95, portions = 1 WHERE id = 2;
SELECT push('phone', format('{"number": 11, "kind": "patch", "collection": "recipe", "id": "2",
	"fields": {"oven": 99, "portions": 2}, "clock": "2026-01-01T09:00:00Z", "base": %s}', :base)::jsonb) - 'seq' AS older;
ALTER TABLE recipe RENAME oven TO heat;
SELECT id, field FROM conflict WHERE id > 12;
SELECT mirusync.resolve('tia', 13, choose => 'incoming');
SELECT heat FROM recipe WHERE id = 2;
ALTER TABLE recipe DROP portions;
SELECT mirusync.resolve('tia', 14, choose => 'incoming');
UPDATE recipe SET heat = 80 WHERE id = 2;
SELECT push('phone', format('{"number": 12, "kind": "patch", "collection": "recipe", "id": "2",
	"fields": {"heat": 70}, "clock": "2026-01-01T09:00:00Z", "base": %s}', :base)::jsonb) - 'seq' AS older;

-- Errors.  What fails leaves the conflict open.
SELECT mirusync.resolve('tia', 13, choose => 'stored');
SELECT mirusync.resolve('tia', 15);
SELECT mirusync.resolve('tia', 15, choose => 'stored', value => '1');
SELECT mirusync.resolve('tia', 15, choose => 'mine');
SELECT mirusync.resolve('tia', NULL, choose => 'stored');
SELECT mirusync.resolve(NULL, 15, choose => 'stored');
SELECT mirusync.resolve('tia', 99999, choose => 'stored');
SELECT mirusync.resolve('nobody', 15, choose => 'stored');
SELECT mirusync.resolve('tia', -9223372036854775808, choose => 'stored');
SELECT mirusync.resolve('tia', 15, value => '"hot"');
SELECT mirusync.resolve('tia', 15, value => '301');
SELECT mirusync.resolve('tia', 15, value => '1e20');
SELECT mirusync.resolve('tia', 15, value => (repeat('[', 40) || repeat(']', 40))::jsonb) IS NULL AS deep;
SELECT mirusync.resolve('tia', 12, value => '1');
DELETE FROM recipe WHERE id = 2;
SELECT mirusync.resolve('tia', 15, value => '1');
INSERT INTO recipe VALUES (2, 'tia', 'Soup', 90);
CREATE ROLE regress_mirusync_resolver;
GRANT USAGE ON SCHEMA mirusync, merge_conflicts TO regress_mirusync_resolver;
SET ROLE regress_mirusync_resolver;
SELECT mirusync.resolve('tia', 15, value => '1');
RESET ROLE;
GRANT EXECUTE ON FUNCTION mirusync.resolve TO regress_mirusync_resolver;
SET ROLE regress_mirusync_resolver;
SELECT mirusync.resolve('tia', 15, value => '1');
RESET ROLE;
GRANT SELECT, UPDATE (heat) ON recipe TO regress_mirusync_resolver;
BEGIN READ ONLY;
SELECT mirusync.resolve('tia', 15, value => '1');
ROLLBACK;
SET ROLE regress_mirusync_resolver;
SELECT mirusync.resolve('tia', 15, value => '77');
RESET ROLE;
SELECT heat, resolved_by FROM recipe, mirusync.conflicts c WHERE recipe.id = 2 AND feed = 'tia' AND c.id = 15;
-- Whole records take objects of fields that can be written.
DELETE FROM recipe WHERE id = 2;
SELECT push('phone', format('{"number": 13, "kind": "patch", "collection": "recipe", "id": "2",
	"fields": {"heat": 70}, "base": %s}', :base)::jsonb) - 'seq' AS open;
SELECT mirusync.resolve('tia', 16, value => '1');
SELECT mirusync.resolve('tia', 16, value => '{"id": 3}');
SELECT mirusync.resolve('tia', 16, value => '{"nothing": 3}');
SELECT mirusync.resolve('tia', 16, choose => 'stored');
SELECT resolution FROM conflict WHERE id = 16;
-- A change that was refused, and meets one that it had not seen when it is retried.
RESET mirusync.rejected_max_changes;
INSERT INTO recipe VALUES (3, 'tia', 'Cake', 170);
SELECT head AS base FROM mirusync.feed WHERE feed = 'tia' \gset
SELECT push('phone', format('{"number": 14, "kind": "patch", "collection": "recipe", "id": "3",
	"fields": {"title": "Tart", "heat": 301}, "base": %s}', :base)::jsonb) ->> 'code' AS refused;
UPDATE recipe SET title = 'Torte' WHERE id = 3;
SELECT r.verdict FROM mirusync.rejected w, mirusync.retry('tia', w.number, edited => '{"title": "Tart", "heat": 175}') r WHERE w.feed = 'tia';
SELECT record, field, outcome, stored, incoming, incoming_device, number, incoming_seq = head AS numbered
FROM conflict, mirusync.feed WHERE id = 17 AND feed = 'tia';
TABLE recipe;
SELECT mirusync.detach('recipe');
SELECT mirusync.resolve('tia', 14, value => '1');

DELETE FROM mirusync.document WHERE collection IN ('merge_memo', 'merge_sheet');
DELETE FROM mirusync.collection WHERE name IN ('merge_memo', 'merge_sheet');
DROP SCHEMA merge_conflicts CASCADE;
DROP OWNED BY regress_mirusync_resolver;
DROP ROLE regress_mirusync_resolver;
