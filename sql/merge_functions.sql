-- Rules that are functions of the application's.  The example is that of
-- docs/merge.md (tools/check-docs.sh compares them).
SET client_min_messages = warning;
-- Each change is judged by itself, without the inbox (rejected).
SET mirusync.rejected_max_changes = 0;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE SCHEMA merge_functions;
SET search_path = merge_functions;
CREATE OR REPLACE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('ria', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;

CREATE TABLE draft (id int PRIMARY KEY, owner text NOT NULL, body text, words int);
SELECT mirusync.attach('draft', feed => 'owner');
CREATE SCHEMA app;
CREATE FUNCTION app.join_texts(stored jsonb, incoming jsonb, base jsonb, context jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	SELECT pg_catalog.to_jsonb(pg_catalog.concat_ws(' / ', stored #>> '{}', incoming #>> '{}'))
$$;
SELECT mirusync.set_rule('draft', 'body', 'app.join_texts');
SELECT push('desk', '{"number": 1, "kind": "put", "collection": "draft", "id": "1",
	"fields": {"body": "Once"}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "Once upon"}, "clock": "2026-01-01T09:10:00Z", "base": 1}');
SELECT push('phone', '{"number": 1, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "Once more"}, "clock": "2026-01-01T09:05:00Z", "base": 1}');
SELECT body FROM draft WHERE id = 1;

-- It is asked only about what had not seen each other and differs.
SELECT push('phone', '{"number": 2, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "Twice"}, "base": 3}') - 'seq' AS seen;
SELECT push('tablet', '{"number": 2, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "Twice"}, "base": 3}') - 'seq' AS same;
SELECT collection, field, rule FROM mirusync.rules WHERE collection = 'draft' ORDER BY field NULLS FIRST;
SELECT rule, field_rules FROM mirusync.change_log WHERE feed = 'ria' ORDER BY seq DESC LIMIT 1;
SELECT count(*) AS conflicts FROM mirusync.conflict WHERE feed = 'ria';
-- What it is told.
CREATE TABLE app.told (stored jsonb, incoming jsonb, base jsonb, context jsonb);
CREATE FUNCTION app.tell(stored jsonb, incoming jsonb, base jsonb, context jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.told VALUES (stored, incoming, base, context);
	IF incoming ->> 0 = 'fail' THEN
		RAISE EXCEPTION 'no such word' USING errcode = 'MW001';
	ELSIF incoming ->> 0 = 'again' THEN
		RAISE EXCEPTION 'not now' USING errcode = '40001';
	END IF;
	RETURN CASE incoming ->> 0 WHEN 'keep' THEN NULL WHEN 'mine' THEN incoming WHEN 'none' THEN 'null'
		WHEN 'who' THEN to_jsonb(current_user::text) WHEN 'odd' THEN '[1]' ELSE stored END;
END $$;
SELECT mirusync.set_rule('draft', 'body', 'app.tell');
SELECT head AS base FROM mirusync.feed WHERE feed = 'ria' \gset
UPDATE draft SET body = 'SQL' WHERE id = 1;
SELECT push('phone', format('{"number": 3, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "keep"}, "clock": "2026-01-01T10:00:00Z", "base": %s}', :base)::jsonb) - 'seq' AS null_keeps;
SELECT stored, incoming, base, context #- '{stored,clock}' #- '{stored,seq}' AS context, context #> '{stored,clock}' IS NOT NULL AS clock,
	(context #>> '{stored,seq}')::int - :base AS seq, context -> 'base' = to_jsonb(:base) AS base FROM app.told;
SELECT push('phone', '{"number": 4, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "stored"}}') - 'seq' AS base_unknown;
SELECT base, context ? 'base' AS has FROM app.told WHERE incoming = '"stored"';
SELECT push('phone', format('{"number": 5, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "mine"}, "base": %s}', :base)::jsonb) - 'seq' AS incoming;
SELECT field, rule, outcome, stored, incoming FROM mirusync.conflicts WHERE feed = 'ria' ORDER BY id;
UPDATE draft SET body = 'SQL' WHERE id = 1;
SELECT push('phone', format('{"number": 6, "kind": "patch", "collection": "draft", "id": "1",
	"fields": {"body": "none"}, "base": %s}', :base)::jsonb) - 'seq' AS json_null;
-- A whole record: what it has not changed is not asked about.
UPDATE draft SET body = 'SQL', words = 3 WHERE id = 1;
SELECT push('phone', format('{"number": 7, "kind": "put", "collection": "draft", "id": "1",
	"fields": {"body": null, "words": 4}, "base": %s}', head)::jsonb) - 'seq' AS seen FROM mirusync.feed WHERE feed = 'ria';
-- An error rejects that change alone, unless it is nobody's fault.
UPDATE draft SET body = 'SQL' WHERE id = 1;
SELECT v - 'seq' AS verdict FROM jsonb_array_elements(mirusync.push('ria', 'phone', '{"changes": [
	{"number": 18, "kind": "patch", "collection": "draft", "id": "1", "fields": {"words": 5}},
	{"number": 19, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "fail"}, "base": 0},
	{"number": 20, "kind": "patch", "collection": "draft", "id": "1", "fields": {"words": 6}}]}') -> 'verdicts') v;
SELECT count(*) AS told FROM app.told WHERE incoming = '"fail"';
SELECT push('phone', '{"number": 21, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "again"}, "base": 0}');
SELECT mirusync.set_rule('draft', 'words', 'app.tell');
UPDATE draft SET words = 7;
SELECT push('phone', '{"number": 22, "kind": "patch", "collection": "draft", "id": "1", "fields": {"words": "9"}, "base": 0}') - 'seq' AS kept;
-- It runs as the collection's role, and what the table refuses is refused.
CREATE ROLE regress_mirusync_writer;
GRANT USAGE ON SCHEMA merge_functions, app TO regress_mirusync_writer;
GRANT SELECT, INSERT, UPDATE ON draft, app.told TO regress_mirusync_writer;
UPDATE mirusync.collection SET role = 'regress_mirusync_writer' WHERE name = 'draft';
SELECT push('phone', '{"number": 23, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "who"}, "base": 0}') - 'seq' AS who;
UPDATE draft SET body = 'SQL';
SELECT push('phone', '{"number": 24, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "odd"}, "base": 0}') - 'seq' AS odd;
REVOKE EXECUTE ON FUNCTION app.tell FROM PUBLIC;
UPDATE draft SET body = 'SQL 2';
SELECT push('phone', '{"number": 25, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "mine"}, "base": 0}') - 'seq' AS no_right;
-- A function of the same name elsewhere is another one.
CREATE FUNCTION pg_temp.join_texts(jsonb, jsonb, jsonb, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT ''"hostile"''::jsonb';
CREATE FUNCTION join_texts(jsonb, jsonb, jsonb, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT ''"hostile"''::jsonb';
SELECT mirusync.set_rule('draft', 'body', 'app.join_texts');
SELECT push('phone', '{"number": 26, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "mine"}, "base": 0}') -> 'fields' AS fields;
ALTER FUNCTION app.join_texts RENAME TO other;
UPDATE draft SET body = 'SQL 3';
SELECT push('phone', '{"number": 27, "kind": "patch", "collection": "draft", "id": "1", "fields": {"body": "mine"}, "base": 0}') - 'seq' AS gone;
-- Documents.
CREATE FUNCTION app."Longest"(stored jsonb, incoming jsonb, base jsonb, context jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE WHEN length(stored::text) >= length(incoming::text) THEN stored ELSE incoming END
$$;
SELECT mirusync.create_collection('merge_draft', 'lww_field'), mirusync.set_rule('merge_draft', 'body', 'app."Longest"');
SELECT mirusync.put('ria', 'merge_draft', 'a', '{"body": "short"}');
SELECT push('phone', '{"number": 30, "kind": "patch", "collection": "merge_draft", "id": "a", "fields": {"body": "tiny"}, "base": 0}') - 'seq' AS stored;
SELECT push('phone', '{"number": 31, "kind": "patch", "collection": "merge_draft", "id": "a", "fields": {"body": "a long one"}, "base": 0}') - 'seq' AS incoming;
SELECT rule FROM mirusync.rules WHERE collection = 'merge_draft' AND field = 'body';
-- It is not asked about a record that stays deleted.
SELECT mirusync.set_rule('merge_draft', 'body', 'app.tell'), mirusync.set_rule('merge_draft', 'words', 'counter'),
	mirusync.set_delete_rule('merge_draft', 'manual');
SELECT mirusync.put('ria', 'merge_draft', 'b', '{"body": "B", "words": 1}');
SELECT head AS base FROM mirusync.feed WHERE feed = 'ria' \gset
SELECT mirusync.patch('ria', 'merge_draft', 'b', '{"body": "C"}');
SELECT mirusync.delete('ria', 'merge_draft', 'b');
SELECT push('phone', format('{"number": 32, "kind": "put", "collection": "merge_draft", "id": "b",
	"fields": {}, "add": {"words": 2}, "base": %s}', :base)::jsonb)
	- '{seq,conflicts}'::text[] AS open;
SELECT incoming, (SELECT count(*) FROM app.told WHERE context ->> 'record' = 'b') AS asked FROM mirusync.conflicts
WHERE feed = 'ria' AND record = 'b';

-- Errors.
SELECT mirusync.set_rule('draft', 'body', 'app.nothing');
SELECT mirusync.set_rule('draft', 'body', 'nowhere.join_texts');
SELECT mirusync.set_rule('draft', 'body', 'join_texts');
SELECT mirusync.set_rule('draft', 'body', 'a.b.c');
SELECT mirusync.set_rule('draft', 'body', '.');
SELECT mirusync.set_rule('draft', 'body', 'pg_catalog.now');
SELECT mirusync.set_rule('draft', NULL, 'app.other');
SELECT mirusync.set_rule('draft', 'body', 'app.tell');
CREATE FUNCTION app.strict(jsonb, jsonb, jsonb, jsonb) RETURNS jsonb STRICT LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION app.several(jsonb, jsonb, jsonb, jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION app.text(jsonb, jsonb, jsonb, jsonb) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
SELECT mirusync.set_rule('draft', 'body', 'app.strict');
SELECT mirusync.set_rule('draft', 'body', 'app.several');
SELECT mirusync.set_rule('draft', 'body', 'app.text');
SELECT mirusync.set_rule('draft', 'id', 'app.other');
REVOKE USAGE ON SCHEMA app FROM regress_mirusync_writer;
SELECT mirusync.set_rule('draft', 'body', 'app.other');
SELECT mirusync.detach('draft');
DELETE FROM mirusync.document WHERE collection = 'merge_draft';
DELETE FROM mirusync.field_rule WHERE collection = 'merge_draft';
DELETE FROM mirusync.collection WHERE name = 'merge_draft';
DROP SCHEMA app CASCADE;
DROP SCHEMA merge_functions CASCADE;
DROP OWNED BY regress_mirusync_writer;
DROP ROLE regress_mirusync_writer;
