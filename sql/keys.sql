-- Keys: the record id is the text of the primary key without the feed column.
-- For each type and composition: pulled, patched, deleted and put again by
-- that very id, with the key's own JSON sent along.
SET client_min_messages = warning;
CREATE SCHEMA keys_test;
SET search_path = keys_test, public;
CREATE TABLE seen (n serial, key text, id text, json text, patch text, gone text, put text, same boolean);

-- by_id says what became of a patch, a delete and a put, and whether the put
-- made the very same key.
CREATE PROCEDURE by_id(columns text, key text, VARIADIC rows text[]) LANGUAGE plpgsql AS $$
DECLARE
	page jsonb;
	change jsonb;
	verdicts jsonb := '{}';
BEGIN
	EXECUTE format('CREATE TABLE by_id (%s, body text, PRIMARY KEY (%s))', columns, key);
	PERFORM mirusync.attach('by_id', feed => 'owner');
	FOR i IN 1 .. cardinality(rows) LOOP
		EXECUTE format('INSERT INTO by_id SELECT %s, ''first''', rows[i]);
	END LOOP;
	COMMIT;
	EXECUTE 'CREATE TABLE former AS TABLE by_id';
	page := mirusync.pull('kim', 'kim');
	FOR change IN SELECT c FROM jsonb_array_elements(page -> 'changes') c WHERE c ->> 'collection' = 'by_id' LOOP
		verdicts := '{}';
		FOR kind IN 1 .. 3 LOOP
			verdicts := verdicts || jsonb_build_object(kind, mirusync.push('kim', 'phone',
				jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('number', 10 * (change -> 'seq')::int + kind,
				'kind', (ARRAY['patch', 'delete', 'put'])[kind], 'collection', 'by_id', 'id', change -> 'id')
				|| CASE WHEN kind <> 2 THEN jsonb_build_object('fields', (change -> 'fields') || '{"body": "other"}') ELSE '{}' END)))
				#> '{verdicts,0}');
			IF kind = 1 AND verdicts #>> '{1,fields}' <> '{}' THEN
				RAISE NOTICE 'patch changed more: %', verdicts #>> '{1,fields}';
			END IF;
		END LOOP;
		INSERT INTO seen (key, id, json, patch, gone, put) SELECT columns, left(change ->> 'id', 40),
			left(((change -> 'fields') - 'body')::text, 60), coalesce(verdicts #>> '{1,code}', verdicts #>> '{1,verdict}'),
			coalesce(verdicts #>> '{2,code}', verdicts #>> '{2,verdict}'), coalesce(verdicts #>> '{3,code}', verdicts #>> '{3,verdict}');
	END LOOP;
	EXECUTE $sql$UPDATE seen s SET same = (SELECT count(*) = (SELECT count(*) FROM former)
		FROM former JOIN by_id ON record_image_eq(jsonb_populate_record(former, '{"body": "other"}'), by_id)) WHERE s.key = $1$sql$ USING columns;
	PERFORM mirusync.detach('by_id');
	DROP TABLE by_id, former;
END $$;
CREATE VIEW results AS SELECT key, id, json, patch, gone, put, same FROM seen ORDER BY n;

CREATE TYPE mood AS ENUM ('happy', 'so, so');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN code AS varchar(10) CHECK (value ~ '^[a-z,]*$');
CREATE DOMAIN ints AS int[];
CALL by_id('owner text, k int', 'k', $$'kim', -1$$);
CALL by_id('owner text, k bigint', 'k', $$'kim', 9007199254740993$$);
CALL by_id('owner text, k uuid', 'k', $$'kim', '6F1C3F86-9A1E-4C59-8F0E-6D2B7D1F3A10'$$);
CALL by_id('owner text, k text', 'k', $$'kim', ''$$, $$'kim', 'a,b\c'$$, $$'kim', '日本 é'$$, $$'kim', ' "\'$$);
CALL by_id('owner text, k varchar(5)', 'k', $$'kim', 'a b'$$);
CALL by_id('owner text, k char(5)', 'k', $$'kim', 'ab'$$);
CALL by_id('owner text, k numeric', 'k', $$'kim', 1.0$$, $$'kim', 'NaN'$$, $$'kim', '-Infinity'$$, $$'kim', 1e40$$);
CALL by_id('owner text, k numeric(6,2)', 'k', $$'kim', 1$$);
CALL by_id('owner text, k float8', 'k', $$'kim', 0.1$$, $$'kim', '-0'$$, $$'kim', 'NaN'$$, $$'kim', 1e300$$);
CALL by_id('owner text, k real', 'k', $$'kim', 0.1$$);
CALL by_id('owner text, k boolean', 'k', $$'kim', true$$, $$'kim', false$$);
CALL by_id('owner text, k timestamptz', 'k', $$'kim', '2026-11-23 06:00:00.5+01'$$, $$'kim', '-infinity'$$, $$'kim', '0044-03-15 12:00+00 BC'$$);
CALL by_id('owner text, k date', 'k', $$'kim', '2026-11-23'$$, $$'kim', '0044-03-15 BC'$$);
CALL by_id('owner text, k interval', 'k', $$'kim', '1 mon -2 days'$$);
CALL by_id('owner text, k bytea', 'k', $$'kim', '\x00ff'$$, $$'kim', ''$$);
CALL by_id('owner text, k mood', 'k', $$'kim', 'so, so'$$);
CALL by_id('owner text, k positive', 'k', $$'kim', 1$$);
CALL by_id('owner text, k code', 'k', $$'kim', 'a,b'$$);
CALL by_id('owner text, k int4range', 'k', $$'kim', '[1,5)'$$, $$'kim', 'empty'$$);
CALL by_id('owner text, k datemultirange', 'k', $$'kim', '{[2026-01-01,2026-02-01)}'$$);
CALL by_id('owner text, k int[]', 'k', $$'kim', '{1,2}'$$, $$'kim', '{}'$$, $$'kim', '[0:1]={1,2}'$$);
CALL by_id('owner text, k ints', 'k', $$'kim', '{1,NULL}'$$);
CALL by_id('owner text, k pair', 'k', $$'kim', '(1,"x,y")'$$);
CALL by_id('owner text, k jsonb', 'k', $$'kim', '{"b": [1.0], "a": null}'$$, $$'kim', '"text"'$$, $$'kim', 'null'$$, $$'kim', '1'$$);
CALL by_id('owner text, k inet', 'k', $$'kim', '10.0.0.1/8'$$);
CALL by_id('owner text, k bit(3)', 'k', $$'kim', '101'$$);
CALL by_id('owner text, k money', 'k', $$'kim', 1234.5$$);
CALL by_id('owner text, k regclass', 'k', $$'kim', 'keys_test.seen'$$);
CALL by_id('owner text, k tsvector', 'k', $$'kim', 'a:1 b'$$);
CALL by_id('owner text, k name', 'k', $$'kim', 'x'$$);
-- Composite ones: the feed first, last, in the middle, alone, and not in it.
CALL by_id('owner text, a int, b text', 'owner, a, b', $$'kim', 1, 'x,y\z'$$, $$'kim', 1, ''$$);
CALL by_id('a int, b text, owner text', 'a, b, owner', $$1, ',', 'kim'$$);
CALL by_id('a int, owner text, b text', 'b, owner, a', $$1, 'kim', '\'$$);
CALL by_id('owner text, a int, b text', 'owner, b', $$'kim', 1, 'x,y\z'$$);
CALL by_id('owner text, a bool, b date, c int[], d text', 'd, c, b, a, owner', $$'kim', true, '2026-11-23', '{1,2}', 'd'$$);
CALL by_id('owner text, a text, b text, c text', 'a, b, c', $$'kim', '', '', ''$$, $$'kim', ',', '\', '\,'$$);
CALL by_id('owner text, n int', 'owner', $$'kim', 1$$);
-- Identities: a row that is there can be changed and deleted, a new one be
-- put only where the application, too, could say its key.
CALL by_id('owner text, k int GENERATED BY DEFAULT AS IDENTITY', 'k', $$'kim', 7$$);
CALL by_id('owner text, k serial', 'k', $$'kim', 7$$);
CALL by_id('owner text, k int GENERATED BY DEFAULT AS IDENTITY (MINVALUE 0)', 'k', $$'kim', 0$$);
CREATE TABLE always (k int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text, body text);
SELECT mirusync.attach('always', feed => 'owner');
INSERT INTO always (owner, body) VALUES ('kim', 'x');
SELECT w - 'seq' AS verdict FROM jsonb_array_elements(mirusync.push('kim', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "always", "id": "1", "fields": {"k": 1, "body": "y"}},
	{"number": 2, "kind": "put", "collection": "always", "id": "99", "fields": {"body": "z"}},
	{"number": 3, "kind": "delete", "collection": "always", "id": "1"}]}') -> 'verdicts') w;
SELECT mirusync.detach('always');
SELECT * FROM results;

-- Extensions' types, and collations that take different texts for equal: the
-- row is found by its own id only.
CREATE EXTENSION IF NOT EXISTS citext SCHEMA keys_test;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION verdict(number int, change text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('kay', 'phone', format('{"changes": [{"number": %s, %s}]}', number, change)::jsonb) #> '{verdicts,0}'
$$;
CREATE TABLE ci (k citext PRIMARY KEY, owner text, body text);
CREATE TABLE nd (k text COLLATE nocase PRIMARY KEY, owner text, body text);
SELECT mirusync.attach('ci', feed => 'owner'), mirusync.attach('nd', feed => 'owner');
INSERT INTO ci VALUES ('Abc', 'kay', 'x');
INSERT INTO nd VALUES ('Abc', 'kay', 'x');
SELECT verdict(1, '"kind": "patch", "collection": "ci", "id": "Abc", "fields": {"body": "y"}') ->> 'verdict' AS ci,
	verdict(2, '"kind": "patch", "collection": "nd", "id": "Abc", "fields": {"body": "y"}') ->> 'verdict' AS nd;
SELECT verdict(3, '"kind": "put", "collection": "ci", "id": "ABC", "fields": {"body": "z"}');
SELECT verdict(4, '"kind": "put", "collection": "nd", "id": "ABC", "fields": {"body": "z"}');
SELECT verdict(5, '"kind": "delete", "collection": "nd", "id": "abc"');
UPDATE ci SET k = 'ABC';
UPDATE nd SET k = 'ABC', body = 'z';
SELECT collection, id, kind, new FROM mirusync.change_log WHERE feed = 'kay' AND seq > 4 ORDER BY seq;
SELECT jsonb_path_query_array(mirusync.pull('kay', 'kay'), '$.changes[*] ? (@.kind == "put").id') AS ids;
SELECT mirusync.detach('ci'), mirusync.detach('nd');

-- Keys that are equal to their index and yet other ids: the record leaves
-- under one id and comes under another.
CREATE TABLE equal (k numeric PRIMARY KEY, f float8 UNIQUE, owner text);
SELECT mirusync.attach('equal', feed => 'owner');
INSERT INTO equal VALUES (1.0, 0, 'kirk');
UPDATE equal SET k = 1.00;
UPDATE equal SET f = '-0';
SELECT seq, id, kind, new FROM mirusync.change_log WHERE feed = 'kirk' ORDER BY seq;
SELECT mirusync.detach('equal');

-- Keys, feeds, and both change: tombstones where a record was, and one change
-- each.  In one statement keys may change places.
CREATE TABLE moving (owner text, a int, b text, PRIMARY KEY (a, owner) DEFERRABLE);
SELECT mirusync.attach('moving', feed => 'owner');
INSERT INTO moving VALUES ('leb', 1, 'one'), ('leb', 2, 'two'), ('leo', 1, 'one of leo');
UPDATE moving SET a = 3 WHERE owner = 'leb' AND a = 1;
UPDATE moving SET owner = 'leo' WHERE owner = 'leb' AND a = 2;
UPDATE moving SET owner = CASE owner WHEN 'leo' THEN 'leb' ELSE 'leo' END, a = a + 10;
UPDATE moving SET a = 24 - a, b = upper(b) WHERE owner = 'leb' AND a IN (11, 12) OR owner = 'leo';
BEGIN;
UPDATE moving SET owner = 'lars' WHERE owner = 'leb' AND a = 12;
UPDATE moving SET a = 99 WHERE owner = 'lars';
UPDATE moving SET owner = 'leb', a = 12 WHERE owner = 'lars';
COMMIT;
SELECT feed, seq, id, kind, old, new FROM mirusync.change_log WHERE feed IN ('leb', 'leo', 'lars') ORDER BY feed, seq;
SELECT r.feed, r.id, r.seq, m.b FROM mirusync.record r FULL JOIN moving m ON m.owner = r.feed AND m.a::text = r.id
	WHERE r.feed IN ('leb', 'leo', 'lars') AND NOT r.deleted OR r.feed IS NULL ORDER BY r.feed, r.seq;
SELECT mirusync.detach('moving');

-- The id of a key that is nothing but the feed is the empty one.
CREATE TABLE profile (owner text PRIMARY KEY, name text);
SELECT mirusync.attach('profile', feed => 'owner');
INSERT INTO profile VALUES ('mia', 'Mia');
SELECT c ->> 'id' AS id, mirusync.push('mia', 'phone', '{"changes": [
	{"number": 1, "kind": "patch", "collection": "profile", "id": "", "fields": {"name": "M"}},
	{"number": 2, "kind": "patch", "collection": "profile", "id": "mia", "fields": {"name": "N"}}]}') -> 'verdicts' AS verdicts
	FROM jsonb_array_elements(mirusync.pull('mia', 'mia') -> 'changes') c;
SELECT mirusync.detach('profile');

-- A deferrable key is checked when a device's row is inserted.  A trigger of
-- that very name fires then, too, and as the collection's role like any other.
CREATE ROLE regress_mirusync_twin;
GRANT ALL ON SCHEMA keys_test TO regress_mirusync_twin;
CREATE TABLE twin (id int PRIMARY KEY DEFERRABLE, owner text);
CREATE TABLE brother (id int PRIMARY KEY, owner text, seen_as name);
GRANT ALL ON twin, brother TO regress_mirusync_twin;
SELECT mirusync.attach('twin', feed => 'owner', role => 'regress_mirusync_twin'),
	mirusync.attach('brother', feed => 'owner', role => 'regress_mirusync_twin');
CREATE FUNCTION seen_as() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE keys_test.brother SET seen_as = current_user WHERE id = NEW.id;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER twin_pkey AFTER INSERT ON brother DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION seen_as();
SELECT jsonb_path_query_array(mirusync.push('nell', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "brother", "id": "1", "fields": {}},
	{"number": 2, "kind": "put", "collection": "twin", "id": "1", "fields": {}},
	{"number": 3, "kind": "put", "collection": "twin", "id": "1", "fields": {}}]}'), '$.verdicts[*].verdict') AS verdicts;
TABLE brother;
SELECT mirusync.detach('twin'), mirusync.detach('brother');
DROP TABLE twin, brother;
DROP OWNED BY regress_mirusync_twin;
DROP ROLE regress_mirusync_twin;

-- Ids with too many or too few parts.
CREATE TABLE parts (owner text, a text, b text, PRIMARY KEY (owner, a, b));
SELECT mirusync.attach('parts', feed => 'owner');
SELECT w ->> 'code' AS code, w ->> 'reason' AS reason FROM jsonb_array_elements(mirusync.push('mia', 'phone', '{"changes": [
	{"number": 3, "kind": "put", "collection": "parts", "id": "a", "fields": {}},
	{"number": 4, "kind": "put", "collection": "parts", "id": "a,b,c", "fields": {}},
	{"number": 5, "kind": "put", "collection": "parts", "id": "a\\,b", "fields": {}},
	{"number": 6, "kind": "put", "collection": "parts", "id": "a\\,b,c\\", "fields": {}}]}') -> 'verdicts') w;
TABLE parts;
SELECT mirusync.detach('parts');

-- An id or a feed that could not be pushed, or would not fit our indexes, is
-- refused by the statement that makes it.
CREATE TABLE long (k text PRIMARY KEY, owner text);
CREATE TABLE digits (k numeric PRIMARY KEY, owner text);
SELECT mirusync.attach('long', feed => 'owner'), mirusync.attach('digits', feed => 'owner');
BEGIN;
INSERT INTO long VALUES (repeat('x', 1024), repeat('y', 255));
INSERT INTO digits VALUES (10::numeric ^ 1000, 'nina');
SAVEPOINT s;
INSERT INTO long VALUES (repeat('x', 1025), 'nina');
ROLLBACK TO s;
UPDATE long SET k = repeat('é', 513);
ROLLBACK TO s;
UPDATE long SET owner = repeat('y', 256);
ROLLBACK TO s;
INSERT INTO digits VALUES (10::numeric ^ 1100, 'nina');
ROLLBACK TO s;
COMMIT;
SELECT length(feed) AS feed, length(id) AS id, kind FROM mirusync.change_log WHERE collection IN ('long', 'digits') ORDER BY 2;
SELECT mirusync.detach('long'), mirusync.detach('digits');

-- Columns of the key are renamed, retyped, added to it and taken out of it,
-- each in a transaction of its own: what no longer fits is left out, the next
-- change of a row numbers it under its new id.
CREATE TABLE shape (owner text, a int, b int, body text, PRIMARY KEY (owner, a));
SELECT mirusync.attach('shape', feed => 'owner');
INSERT INTO shape VALUES ('oda', 1, 10, 'x'), ('oda', 2, 20, 'y');
ALTER TABLE shape RENAME a TO "A b";
UPDATE shape SET body = 'renamed' WHERE b = 10;
ALTER TABLE shape DROP CONSTRAINT shape_pkey, ADD PRIMARY KEY (owner, "A b", b);
UPDATE shape SET body = 'wider' WHERE b = 10;
SELECT jsonb_path_query(mirusync.pull('oda', 'oda'), '$.changes[*] ? (@.kind == "put")') - '{clock,kind,collection}'::text[] AS change;
ALTER TABLE shape DROP CONSTRAINT shape_pkey, ADD PRIMARY KEY (b);
UPDATE shape SET body = 'narrow';
SELECT jsonb_path_query(mirusync.pull('oda', 'oda'), '$.changes[*] ? (@.kind == "put")') - '{clock,kind,collection}'::text[] AS change;
SELECT mirusync.detach('shape');

SET client_min_messages = error;
DROP SCHEMA keys_test CASCADE;
