-- Types: the JSON form of each, and that a value comes back as it was: written
-- by SQL, pulled, the same JSON pushed for another record, compared bit by bit.
SET client_min_messages = warning;
SET extra_float_digits = 1;
CREATE SCHEMA types_test;
SET search_path = types_test, public;
CREATE TABLE seen (n serial, type text, value text, json text, back text);

-- trip sends values through both directions.  "back" is = if the other record
-- got the very same value, else what it got.
CREATE PROCEDURE trip(type text, VARIADIC literals text[]) LANGUAGE plpgsql AS $$
DECLARE
	cursor bigint := coalesce((SELECT head FROM mirusync.feed WHERE feed = 'tess'), 0);
	page jsonb;
	verdicts jsonb;
BEGIN
	EXECUTE format('CREATE TABLE trip (id int PRIMARY KEY, owner text, v %s)', type);
	PERFORM mirusync.attach('trip', feed => 'owner');
	FOR i IN 1 .. cardinality(literals) LOOP
		EXECUTE format('INSERT INTO trip VALUES (%s, ''tess'', %L)', i, literals[i]);
	END LOOP;
	COMMIT;
	page := mirusync.pull('tess', 'tess', cursor) -> 'changes';
	verdicts := mirusync.push('tess', 'phone', jsonb_build_object('changes',
		(SELECT jsonb_agg(jsonb_build_object('number', c -> 'seq', 'kind', 'put', 'collection', 'trip',
			'id', '-' || (c ->> 'id'), 'fields', (c -> 'fields') - 'id'))
		FROM jsonb_array_elements(page) c))) -> 'verdicts';
	EXECUTE format($sql$
		INSERT INTO seen (type, value, json, back)
		SELECT %L, left(a.v::text, 46), left((c -> 'fields' -> 'v')::text, 46),
			CASE WHEN w ->> 'verdict' = 'rejected' THEN 'refused'
			WHEN record_image_eq(row(a.v), row(b.v)) THEN '=' ELSE coalesce(left(b.v::text, 46), 'NULL') END
		FROM trip a
		JOIN jsonb_array_elements($1) c ON c ->> 'id' = a.id::text
		JOIN jsonb_array_elements($2) w ON w -> 'number' = c -> 'seq'
		LEFT JOIN trip b ON b.id = -a.id WHERE a.id > 0 ORDER BY a.id$sql$, type)
		USING page, verdicts;
	PERFORM mirusync.detach('trip');
	DROP TABLE trip;
END $$;
CREATE VIEW results AS SELECT type, value, json, back FROM seen ORDER BY n;

-- Numbers are JSON numbers, to the last digit; what JSON has no number for is
-- a string, and the sign of a zero is lost.
CALL trip('smallint', '-32768', '32767');
CALL trip('int', '-2147483648', '2147483647');
CALL trip('bigint', '-9223372036854775808', '9007199254740993');
CALL trip('numeric', '1.0', '1.00', '-0.000', '1e40', '1e-20', 'NaN', 'Infinity', '-Infinity');
CALL trip('numeric', repeat('9', 131072), '0.' || repeat('7', 16383));
CALL trip('numeric(6,2)', '1', '9999.99');
CALL trip('real', '0.1', '3.4028235e38', '1e-45', 'NaN', 'Infinity', '-0');
CALL trip('float8', '0.1', '0.30000000000000004', '1.7976931348623157e308', '5e-324',
	'2.2250738585072014e-308', '9007199254740993', 'NaN', 'Infinity', '-Infinity', '-0');
CALL trip('money', '1234567.89', '-0.01');
CALL trip('oid', '4294967295');
CALL trip('boolean', 'true', 'false');
TABLE results;
TRUNCATE seen;

-- Texts are strings, blanks of char(n) included.
CALL trip('text', '', ' ', 'null', '"\/', e'tab\tline\nbell\u0007', '日本 🙂', e'e\u0301', '{"a": 1}', '{a,b}');
CALL trip('varchar(3)', 'abc', 'a  ');
CALL trip('char(4)', 'ab', 'abcd');
CALL trip('"char"', 'x');
CALL trip('name', 'Name');
CALL trip('bytea', '', '\x00ff', '\x5c');
CALL trip('uuid', '6F1C3F86-9A1E-4C59-8F0E-6D2B7D1F3A10');
CALL trip('xml', '<a b="1">c</a>', 'content <b/> only', '<!-- --><a/>');
TABLE results;
TRUNCATE seen;

-- Times are strings in ISO form, with a time zone always UTC.
CALL trip('date', '2026-11-23', '0044-03-15 BC', '5874897-12-31', '4714-11-24 BC', 'infinity', '-infinity');
CALL trip('time', '00:00', '24:00', '23:59:59.999999');
CALL trip('timetz', '12:30+05:45', '23:59:59.999999-15:59:59');
CALL trip('timestamp', '2026-11-23 06:07:08', '2026-11-23 06:07:08.000001', '0044-03-15 12:00 BC', '4714-11-24 00:00 BC',
	'294276-12-31 23:59:59.999999', 'infinity', '-infinity');
CALL trip('timestamptz', '2026-11-23 06:07:08+01', '1900-01-01 00:00+00:19:32', '0044-03-15 12:00+00 BC',
	'4714-11-24 00:00+00 BC', '294276-12-31 23:59:59.999999+00', 'infinity', '-infinity');
CALL trip('timestamptz(0)', '2026-11-23 06:07:08.5+00');
CALL trip('interval', '1 year -2 mons +3 days -04:05:06.789', '-1 day', '178000000 years', '-00:00:00.000001', '1 mon', '30 days');
TABLE results;
TRUNCATE seen;

-- The rest of the built-in types are strings as Postgres writes them.
CALL trip('inet', '192.168.0.1/24', '::ffff:1.2.3.4', '10.0.0.1');
CALL trip('cidr', '10.0.0.0/8');
CALL trip('macaddr', '08:00:2b:01:02:03');
CALL trip('macaddr8', '08:00:2b:01:02:03:04:05');
CALL trip('bit(3)', '101');
CALL trip('varbit', '', '0011');
CALL trip('point', '(0.1,-1e300)');
CALL trip('line', '{1,2,3}');
CALL trip('lseg', '[(1,2),(3,4)]');
CALL trip('box', '(3,4),(1,2)');
CALL trip('path', '[(1,2),(3,4)]', '((1,2),(3,4))');
CALL trip('polygon', '((1,2),(3,4))');
CALL trip('circle', '<(1,2),3>');
CALL trip('tsvector', $$'a':1A,2 'b''c':3$$);
CALL trip('tsquery', $$'a' & !'b':*$$);
CALL trip('jsonpath', '$."a"[*]?(@ > 1)');
CALL trip('pg_lsn', '16/B374D848');
CALL trip('xid8', '18446744073709551615');
CALL trip('tid', '(4294967295,65535)');
CALL trip('pg_snapshot', '10:20:10,14');
CALL trip('regclass', 'seen', 'pg_class', '4294967294');
CALL trip('regtype', 'seen', 'integer', 'text[]');
CALL trip('regprocedure', 'now()', 'types_test.trip(text,text[])');
CALL trip('regrole', 'pg_monitor');
CALL trip('regnamespace', 'types_test');
TABLE results;
TRUNCATE seen;

-- Types of one's own: enums and domains as what they stand for, arrays and
-- composites as JSON's; ranges are strings.  Bounds of arrays are lost.
CREATE TYPE mood AS ENUM ('happy', 'so, so', '');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN moods AS mood[] CHECK (cardinality(value) < 3);
CREATE TYPE pair AS (a int, b text[], "Ünï" timestamptz);
CREATE DOMAIN checked_pair AS pair CHECK ((value).a > 0);
CREATE TYPE nested AS (p pair, more pair[]);
CREATE TYPE floats AS RANGE (subtype = float8);
CALL trip('mood', 'happy', 'so, so', '');
CALL trip('positive', '1');
CALL trip('moods', '{happy,"so, so"}', '{}', '{NULL}');
CALL trip('pair', '(1,"{x,NULL,""a,b""}","2026-11-23 06:07:08+01")', '(,,)');
CALL trip('checked_pair', '(1,{},infinity)');
CALL trip('nested', '("(1,{x},-infinity)","{""(2,,)"",NULL}")');
CALL trip('int[]', '{}', '{1,NULL,3}', '{{1,2},{3,4}}', '[0:1]={5,6}');
CALL trip('text[]', '{"",NULL,"NULL","a\"b",","}', '{{{a}}}');
CALL trip('timestamptz[]', '{"2026-11-23 06:07:08+01",infinity}');
CALL trip('float8[]', '{NaN,0.1,-Infinity}');
CALL trip('positive[]', '{1,2}');
CALL trip('bytea[]', '{"\\x00"}');
CALL trip('json[]', $${"{\"a\": 1}",NULL}$$);
CALL trip('jsonb[]', $${"{\"a\": 1}",NULL,"[]"}$$);
CALL trip('int4range', 'empty', '[1,5)', '(,)', '[,3]');
CALL trip('numrange', '(1.0,2.00]', '[NaN,NaN]', '[1,Infinity)');
CALL trip('tstzrange', '["2026-11-23 06:07:08+01",infinity]', '(,"2026-01-01 00:00+00")');
CALL trip('floats', '[0.1,0.2]');
CALL trip('datemultirange', '{}', '{[2026-01-01,2026-02-01),[2026-03-01,)}');
CALL trip('int4range[]', '{"[1,2)",empty}');
TABLE results;
TRUNCATE seen;

-- jsonb is as it is, json as jsonb would have it: blanks, order and repeated
-- keys do not travel.  A JSON null arrives as NULL, both being null in JSON.
CALL trip('jsonb', '{"b": 1.00, "a": [null, {}]}', '[]', '"text"', '0', 'true', 'null');
CALL trip('json', '{"b": 1,  "a": 2, "b": 3}', '"text"', '[1e2]', 'null');
TABLE results;
TRUNCATE seen;

-- Types of extensions, where they are installed: text unless they have a cast
-- to json, whose value only comes back if the type reads that.  What it does
-- not read is the value's fault, though the type calls it an internal error.
CREATE FUNCTION install(name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE EXTENSION %I SCHEMA types_test', name);
	RETURN true;
EXCEPTION WHEN undefined_file OR feature_not_supported THEN
	RETURN false;
END $$;
SELECT install('citext') AND install('hstore') AND install('ltree') AS contrib \gset
\if :contrib
CALL trip('citext', 'Mixed Case');
CALL trip('ltree', 'a.b.c');
CALL trip('hstore', 'a=>1, b=>NULL');
TABLE results;
\else
VALUES ('citext', 'Mixed Case', '"Mixed Case"', '='), ('ltree', 'a.b.c', '"a.b.c"', '='),
	('hstore', '"a"=>"1", "b"=>NULL', '{"a": "1", "b": null}', 'refused')
	AS results(type, value, json, back);
\endif
TRUNCATE seen;

-- Whatever settings the writing session has, and whatever the reading one,
-- the JSON is the same; and a pushed value is read the same.
CREATE SCHEMA other;
CREATE TABLE other.seen (n int);
CREATE TABLE setting (id timestamptz PRIMARY KEY, owner text, ts timestamptz, t timestamp, d date, tz timetz, i interval,
	f float8, b bytea, x xml, r tstzrange, c regclass, cs regclass[], m money);
SELECT mirusync.attach('setting', feed => 'owner');
CREATE FUNCTION odd_settings() RETURNS void LANGUAGE sql AS $$
	SELECT set_config('datestyle', 'SQL, DMY', false), set_config('intervalstyle', 'sql_standard', false),
		set_config('timezone', 'America/St_Johns', false), set_config('extra_float_digits', '-10', false),
		set_config('bytea_output', 'escape', false), set_config('xmlbinary', 'hex', false),
		set_config('xmloption', 'document', false), set_config('lc_monetary', 'C', false),
		set_config('quote_all_identifiers', 'on', false), set_config('array_nulls', 'off', false),
		set_config('search_path', 'other, types_test, public', false)
$$;
CREATE FUNCTION usual_settings() RETURNS void LANGUAGE sql AS $$
	SELECT set_config('datestyle', 'ISO, MDY', false), set_config('intervalstyle', 'postgres', false),
		set_config('timezone', 'UTC', false), set_config('extra_float_digits', '1', false),
		set_config('bytea_output', 'hex', false), set_config('xmloption', 'content', false),
		set_config('quote_all_identifiers', 'off', false), set_config('array_nulls', 'on', false),
		set_config('search_path', 'types_test, public', false)
$$;
CREATE VIEW pulled AS SELECT c ->> 'id' AS id, c -> 'fields' AS fields
	FROM jsonb_array_elements(mirusync.pull('tina', 'tina') -> 'changes') c;
INSERT INTO setting VALUES ('2026-11-23 06:00Z', 'tina', '2026-02-03 04:05:06Z', '2026-02-03 04:05', '2026-02-03', '04:05Z',
	'-1 day 2:03', 0.1::float8 + 0.2, '\x5c00', 'a <b/>', '[2026-02-03 04:05Z,)', 'types_test.seen', '{other.seen}', 12.5);
SELECT jsonb_pretty(fields) FROM pulled;
CREATE TABLE usual AS TABLE pulled;
SELECT odd_settings() \g /dev/null
SELECT p = u AS same FROM types_test.pulled p, types_test.usual u;
-- An odd writer and pusher: one record, and the values that were meant.
UPDATE types_test.setting SET f = 1.5;
UPDATE types_test.setting SET f = 0.1::float8 + 0.2;
SELECT mirusync.push('tina', 'phone', jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('number', 1, 'kind', 'put',
	'collection', 'setting', 'id', '2026-11-23 06:00:01', 'fields', jsonb_set(fields, '{id}', '"2026-11-23T06:00:01"'))))) #>> '{verdicts,0,verdict}' AS verdict
	FROM types_test.usual;
SELECT p.id, p.fields - 'id' = u.fields - 'id' AS same FROM types_test.pulled p, types_test.usual u ORDER BY 1;
-- A time without a zone is in UTC, a date as in ISO or American.
SELECT mirusync.push('tina', 'phone', '{"changes": [{"number": 2, "kind": "patch", "collection": "setting", "id": "2026-11-23 06:00:01",
	"fields": {"ts": "2026-02-03 04:05", "d": "02/03/2026"}}]}') #> '{verdicts,0}' AS verdict;
-- NULL in a key is NULL.
CREATE TABLE types_test.slot (slots int[] PRIMARY KEY, owner text);
SELECT mirusync.attach('types_test.slot', feed => 'owner');
INSERT INTO types_test.slot VALUES (ARRAY[1, NULL], 'tilda');
SELECT mirusync.pull('tilda', 'tilda') #> '{changes,0,fields}' AS fields;
SELECT mirusync.detach('types_test.slot');
SELECT usual_settings() \g /dev/null
SELECT id, new FROM mirusync.change_log WHERE feed = 'tina' AND seq IN (2, 3) ORDER BY seq;
SELECT mirusync.detach('setting');

-- A cast to json that writes would do so while changes are numbered.
CREATE TABLE chatter (id int PRIMARY KEY, owner text);
SELECT mirusync.attach('chatter', feed => 'owner');
CREATE TYPE chatty AS ENUM ('a', 'b');
CREATE FUNCTION chatty_json(chatty) RETURNS json LANGUAGE sql AS $$
	INSERT INTO types_test.chatter VALUES ((random() * 1e9)::int, 'tess');
	SELECT '1'::json
$$;
CREATE CAST (chatty AS json) WITH FUNCTION chatty_json(chatty);
CREATE TABLE talk (id int PRIMARY KEY, owner text, c chatty);
SELECT mirusync.attach('talk', feed => 'owner');
INSERT INTO talk VALUES (1, 'tess', 'a');
-- Refused, and so would be a push by one.
CREATE OR REPLACE FUNCTION chatty_json(chatty) RETURNS json LANGUAGE sql AS $$
	SELECT mirusync.push('tess', 'phone', '{"changes": [{"number": 1, "kind": "put", "collection": "chatter", "id": "1", "fields": {}}]}');
	SELECT '1'::json
$$;
INSERT INTO talk VALUES (1, 'tess', 'a');
SELECT count(*) FROM chatter;
SELECT mirusync.detach('talk'), mirusync.detach('chatter');

-- Large values: history, pull and push; what another column's UPDATE leaves
-- where it is, out of line, is no change.
CREATE TABLE giant (id int PRIMARY KEY, owner text, t text, j jsonb, n int);
SELECT mirusync.attach('giant', feed => 'owner');
ALTER TABLE giant ALTER COLUMN t SET STORAGE EXTERNAL;
INSERT INTO giant SELECT 1, 'tom', repeat('0123456789abcdef', 1310720), jsonb_build_array(repeat('x', 20000000), repeat('y', 100)), 1;
UPDATE giant SET n = 2;
UPDATE giant SET n = 3, t = t || '';
SELECT seq, kind, old, left(new::text, 20) AS new, length(new ->> 't') AS t FROM mirusync.change_log WHERE feed = 'tom' ORDER BY seq;
SELECT mirusync.push('tom', 'phone', jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('number', 1, 'kind', 'put',
	'collection', 'giant', 'id', '2', 'fields', (mirusync.pull('tom', 'tom') #> '{changes,0,fields}') - 'id')))) #> '{verdicts,0,verdict}' AS verdict;
SELECT a.t = b.t AND a.j = b.j AS same FROM giant a, giant b WHERE a.id = 1 AND b.id = 2;
-- Deleted and truncated ones leave their last image in the history.
DELETE FROM giant WHERE id = 2;
TRUNCATE giant;
SELECT id, kind, length(old ->> 't') AS t FROM mirusync.change_log WHERE feed = 'tom' ORDER BY seq DESC LIMIT 2;
-- A row that JSON could not hold is refused by its own statement.
INSERT INTO giant VALUES (3, 'tom', repeat('x', 135000000), NULL, 1);
SELECT head FROM mirusync.feed WHERE feed = 'tom';
SELECT mirusync.detach('giant');

-- json takes what jsonb does not.  The statement that writes it is refused,
-- not the COMMIT; what is left as it was is not looked at again.
CREATE TYPE boxed AS (n int, j json);
CREATE TABLE picky (id int PRIMARY KEY, owner text, j json, js json[], b boxed, n int);
INSERT INTO picky VALUES (1, 'tara', '"\u0000"');
SELECT mirusync.attach('picky', feed => 'owner');
DELETE FROM picky;
SELECT mirusync.attach('picky', feed => 'owner');
BEGIN;
INSERT INTO picky VALUES (1, 'tara', '{"fine": true}');
SAVEPOINT s;
INSERT INTO picky VALUES (2, 'tara', '{"a": "\u0000"}');
ROLLBACK TO s;
INSERT INTO picky VALUES (2, 'tara', '[1e200000]');
ROLLBACK TO s;
UPDATE picky SET js = ARRAY['"\ud800"'::json];
ROLLBACK TO s;
UPDATE picky SET b = ROW(1, '"\u0000"');
ROLLBACK TO s;
UPDATE picky SET j = ('{"deep": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::json;
UPDATE picky SET n = 2;
COMMIT;
SELECT seq, kind, length(new ->> 'j') AS j, new ->> 'n' AS n FROM mirusync.change_log WHERE feed = 'tara';
-- ALTER TABLE writes unseen.  Such a row is left out, and keeps nothing else
-- from being read.
ALTER TABLE picky ADD COLUMN more json DEFAULT '"\u0000"';
INSERT INTO picky VALUES (3, 'tara', NULL, NULL, NULL, 3, '"fine"');
SELECT jsonb_path_query_array(mirusync.pull('tara', 'tara'), '$.changes[*].id') AS ids;
SELECT mirusync.detach('picky');

-- A cast to json that throws does so at the statement as well.
CREATE TYPE touchy AS ENUM ('yes', 'no');
CREATE FUNCTION touchy_json(touchy) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 'no' THEN
		RAISE EXCEPTION 'no JSON for %', $1;
	END IF;
	RETURN format('{"touchy": "%s"}', $1)::json;
END $$;
CREATE CAST (touchy AS json) WITH FUNCTION touchy_json(touchy);
CREATE TABLE cast_test (id int PRIMARY KEY, owner text, v touchy);
SELECT mirusync.attach('cast_test', feed => 'owner');
INSERT INTO cast_test VALUES (1, 'tara', 'yes');
INSERT INTO cast_test VALUES (2, 'tara', 'no');
SELECT new FROM mirusync.change_log WHERE collection = 'cast_test';
SELECT mirusync.detach('cast_test');

-- NULL is a value, an absent field is none; so it is in history.
CREATE TABLE absent (id int PRIMARY KEY, owner text, a text DEFAULT 'default', b jsonb, c int[] DEFAULT '{1}');
SELECT mirusync.attach('absent', feed => 'owner');
SELECT mirusync.push('theo', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "absent", "id": "1", "fields": {"b": null}},
	{"number": 2, "kind": "put", "collection": "absent", "id": "2", "fields": {"a": null, "c": null, "b": {"n": null}}},
	{"number": 3, "kind": "put", "collection": "absent", "id": "3", "fields": {"a": "x", "b": 1}},
	{"number": 4, "kind": "patch", "collection": "absent", "id": "3", "fields": {"a": null}}]}') #> '{verdicts,3}' AS verdict;
SELECT id, a, b, b IS NULL AS b_null, c FROM absent ORDER BY id;
SELECT jsonb_path_query(mirusync.pull('theo', 'theo'), '$.changes[*].fields') AS fields;
SELECT mirusync.detach('absent');

-- A domain that refuses NULL is asked about what is pushed, not about what is
-- left out.
CREATE DOMAIN filled AS text NOT NULL;
CREATE DOMAIN known AS int CHECK (value IS NOT NULL);
CREATE TABLE strict (id int PRIMARY KEY, owner text, f filled, k known DEFAULT 7, n int);
SELECT mirusync.attach('strict', feed => 'owner');
SELECT w - 'number' AS verdict FROM jsonb_array_elements(mirusync.push('theo', 'phone', '{"changes": [
	{"number": 11, "kind": "put", "collection": "strict", "id": "1", "fields": {"f": "x", "n": 1}},
	{"number": 12, "kind": "patch", "collection": "strict", "id": "1", "fields": {"n": 2}},
	{"number": 13, "kind": "put", "collection": "strict", "id": "2", "fields": {"n": 3}},
	{"number": 14, "kind": "patch", "collection": "strict", "id": "1", "fields": {"k": null}}]}') -> 'verdicts') w;
TABLE strict;
SELECT mirusync.detach('strict');

-- Generated columns and identities GENERATED ALWAYS are sent and never
-- accepted; identities BY DEFAULT are columns like any other.
CREATE TABLE made (id int PRIMARY KEY, owner text, n int, twice int GENERATED ALWAYS AS (n * 2) STORED,
	alone text GENERATED ALWAYS AS ('constant') STORED, always int GENERATED ALWAYS AS IDENTITY,
	by_default int GENERATED BY DEFAULT AS IDENTITY, s serial);
SELECT mirusync.attach('made', feed => 'owner');
INSERT INTO made VALUES (1, 'uma', 5);
SELECT mirusync.pull('uma', 'uma') #> '{changes,0,fields}' AS fields;
SELECT mirusync.push('uma', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "made", "id": "1", "fields": {"id": 1, "n": 6, "s": 7, "alone": "constant",
		"twice": 10, "always": 1, "by_default": 8}}]}') #> '{verdicts,0}' AS verdict;
SELECT mirusync.push('uma', 'phone', '{"changes": [
	{"number": 2, "kind": "put", "collection": "made", "id": "2", "fields": {"n": 1, "always": 77, "twice": 77}},
	{"number": 3, "kind": "patch", "collection": "made", "id": "2", "fields": {"always": 78}}]}') -> 'verdicts' AS verdicts;
TABLE made;
SELECT mirusync.detach('made');

SET client_min_messages = error;
DROP SCHEMA types_test, other CASCADE;
