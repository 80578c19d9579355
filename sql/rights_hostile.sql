-- Somebody who means harm: what he puts in front of our names, into tables of
-- his own, and into the session of whoever pushes.
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE ROLE regress_mirusync_mallory;
CREATE ROLE regress_mirusync_relay;
SELECT mirusync.grant_relay('regress_mirusync_relay');
GRANT EXECUTE ON FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean),
	mirusync.detach(regclass) TO regress_mirusync_mallory;
CREATE SCHEMA hostile AUTHORIZATION regress_mirusync_mallory;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
SELECT mirusync.create_collection('diary');
SELECT mirusync.put('victim', 'diary', '1', '{"secret": "yes"}');

-- ---------------------------------------------------------------------------
-- Names.  Whatever ran is noted with the role that it ran as.
-- ---------------------------------------------------------------------------
SET ROLE regress_mirusync_mallory;
CREATE TABLE hostile.witness (what text, who name);
GRANT INSERT, SELECT ON hostile.witness TO PUBLIC;
CREATE FUNCTION hostile.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO hostile.witness VALUES (what, current_user);
	RETURN true;
END $$;
-- Functions and operators that match better than the system's, or come first.
SELECT format($f$CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS
		$b$BEGIN PERFORM hostile.note(%L); RETURN%s; END$b$ $f$, name, arguments, result, name,
		CASE WHEN result <> 'void' THEN ' NULL' END)
	FROM (VALUES ('now', '', 'timestamptz'), ('format', 'text, regrole', 'text'), ('format', 'text, text', 'text'),
		('format', 'text, regclass', 'text'), ('split_part', 'text, text, int', 'text'), ('octet_length', 'text', 'int'),
		('cardinality', 'text[]', 'int'), ('array_position', 'text[], text', 'int'), ('to_jsonb', 'anyelement', 'jsonb'),
		('jsonb_populate_record', 'anyelement, jsonb', 'anyelement'), ('sha256', 'bytea', 'bytea'), 
		('texteq', 'text, text', 'boolean'), ('put', 'text, text, text, jsonb', 'void'), ('capture', '', 'trigger'),
		('create_collection', 'text, text, boolean', 'void'), ('hlc_cmp', 'mirusync.hlc, mirusync.hlc', 'int')) v(name, arguments, result) \gexec
SELECT format($f$CREATE FUNCTION hostile.op(%1$s, %2$s) RETURNS %3$s LANGUAGE plpgsql AS
		$b$BEGIN PERFORM hostile.note(%4$L); RETURN NULL; END$b$ $f$, l, r, result, 'operator ' || name || ' of ' || l)
	FROM (VALUES ('=', 'text', 'text', 'boolean'), ('=', 'bigint', 'bigint', 'boolean'), ('=', 'int', 'int', 'boolean'),
		('=', 'uuid', 'uuid', 'boolean'), ('=', 'name', 'text', 'boolean'), ('=', 'name', 'name', 'boolean'),
		('=', 'oid', 'oid', 'boolean'), ('-', 'jsonb', 'text[]', 'jsonb'), ('||', 'jsonb', 'jsonb', 'jsonb')) v(name, l, r, result) \gexec
SELECT format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.op, LEFTARG = %s, RIGHTARG = %s)', name, l, r)
	FROM (VALUES ('=', 'text', 'text'), ('=', 'bigint', 'bigint'), ('=', 'int', 'int'), ('=', 'uuid', 'uuid'),
		('=', 'name', 'text'), ('=', 'name', 'name'), ('=', 'oid', 'oid'), ('-', 'jsonb', 'text[]'), ('||', 'jsonb', 'jsonb')) v(name, l, r) \gexec
-- Types, and relations that are called like ours and the system's.
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (hostile.note('type text'));
CREATE DOMAIN hostile.jsonb AS pg_catalog.jsonb CHECK (hostile.note('type jsonb'));
CREATE DOMAIN hostile.regclass AS pg_catalog.regclass CHECK (hostile.note('type regclass'));
CREATE FUNCTION hostile.row_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hostile.note('table ' || TG_RELID::pg_catalog.regclass);
	RETURN NULL;
END $$;
CREATE VIEW hostile.pg_extension AS SELECT 'mirusync'::name AS extname, '9'::text AS extversion, hostile.note('pg_extension');
RESET ROLE;
SELECT format('CREATE TABLE hostile.%1$I (LIKE mirusync.%1$I); ALTER TABLE hostile.%1$I OWNER TO regress_mirusync_mallory;
		CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON hostile.%1$I FOR EACH STATEMENT EXECUTE FUNCTION hostile.row_written()', relname)
	FROM pg_class WHERE relnamespace = 'mirusync'::regnamespace AND relkind = 'r' ORDER BY 1 \gexec

-- An administrator who has that schema first, before even pg_catalog, and
-- tables of such names in his temporary schema, calls all that there is.
CREATE TABLE public.target (owner text, id int PRIMARY KEY, body text);
CREATE TEMP TABLE document (LIKE mirusync.document);
CREATE TEMP TABLE feed (LIKE mirusync.feed);
CREATE TEMP TABLE collection (LIKE mirusync.collection);
SET search_path = hostile, public, pg_catalog;
-- (First that these traps are traps.)
SELECT now(), 'a'::pg_catalog.text = 'b'::pg_catalog.text, 'c'::text;
INSERT INTO feed SELECT * FROM mirusync.feed WHERE false;
INSERT INTO record SELECT * FROM mirusync.record WHERE false;
SELECT what FROM hostile.witness ORDER BY what COLLATE "C";
TRUNCATE hostile.witness;
SELECT mirusync.create_collection('mine', 'lww_field');
SELECT mirusync.attach('public.target', 'owner');
INSERT INTO public.target VALUES ('hanna', 1, 'x');
UPDATE public.target SET body = 'y';
SELECT mirusync.put('hanna', 'mine', '1', '{"a": 1}');
SELECT mirusync.patch('hanna', 'mine', '1', '{"b": 1}', '{a}');
SELECT mirusync.get('hanna', 'mine', '1');
SELECT mirusync.push('hanna', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "mine", "id": "2", "fields": {"a": 1}},
	{"number": 2, "kind": "patch", "collection": "target", "id": "1", "fields": {"body": "z"}},
	{"number": 3, "kind": "put", "collection": "target", "id": "2", "fields": {"body": "z"}},
	{"number": 4, "kind": "delete", "collection": "target", "id": "1"}]}');
SELECT kind, status, code FROM mirusync.push_many('{hanna}', '{phone}', '{s}', '{batch}',
	'{"{\"changes\": [{\"number\": 5, \"kind\": \"patch\", \"collection\": \"target\", \"id\": \"2\", \"fields\": {\"body\": \"z\"}}]}"}');
SELECT pg_catalog.jsonb_array_length(pg_catalog.jsonb_extract_path(mirusync.push('hanna', 'phone', '{"changes": [
	{"number": 6, "kind": "patch", "collection": "target", "id": "2", "fields": {"nothing": 1}},
	{"number": 7, "kind": "patch", "collection": "target", "id": "2", "fields": {"body": "zz"}},
	{"number": 8, "kind": "patch", "collection": "target", "id": "3", "fields": {"nothing": 1}}]}'), 'verdicts'));
SELECT r.verdict, r.code FROM mirusync.rejected w, mirusync.retry(w.feed, w.number, '{"body": "edited"}') r
	WHERE w.feed OPERATOR(pg_catalog.=) 'hanna' AND w.device_number OPERATOR(pg_catalog.=) 6;
SELECT r.verdict, r.code FROM mirusync.rejected w, mirusync.discard(w.feed, w.number) r
	WHERE w.feed OPERATOR(pg_catalog.=) 'hanna';
SELECT pg_catalog.jsonb_array_length(pg_catalog.jsonb_extract_path(mirusync.pull('hanna', 'hanna', 6), 'changes'));
SELECT kind, seq FROM mirusync.pull_events('hanna', 0, 1, false);
SELECT feed, head FROM mirusync.heads('{hanna}');
SELECT mirusync.seq_before('hanna', 'infinity');
SELECT version OPERATOR(pg_catalog.<>) '9' AS right_version FROM mirusync.relay_hello('0');
SELECT mirusync.ring('{hanna}');
SELECT pg_catalog.length(mirusync.doorbell_hash('hanna'));
SELECT mirusync.revoke('hanna'), mirusync.set_realtime('hanna', false), mirusync.set_realtime('hanna', true);
SELECT user_id, device, realtime FROM mirusync.relay_access('{hanna}');
SELECT mirusync.relay_redeem('hanna', '00ff', 'infinity'), mirusync.relay_redeem('hanna', '00ff', 'infinity');
SELECT pg_catalog.length(mirusync.relay_history('hanna', 'target', '2', 1000, 10)) OPERATOR(pg_catalog.>) 300 AS history, mirusync.relay_conflicts('hanna', '', '', 1000, 10);
SELECT status, code FROM mirusync.push_many('{hanna}', '{phone}', '{s1}', '{native}', '{"{\"type\": \"resolve\", \"resolve\": {\"conflict\": 1, \"choose\": \"stored\"}}"}');
SELECT mirusync.create_practice_log();
SELECT mirusync.grant_relay('regress_mirusync_relay'), mirusync.grant_auditor('regress_mirusync_relay');
REVOKE SELECT ON ALL TABLES IN SCHEMA mirusync FROM regress_mirusync_relay;
REVOKE EXECUTE ON FUNCTION mirusync.get(pg_catalog.text, pg_catalog.text, pg_catalog.text) FROM regress_mirusync_relay;
SELECT name, rule FROM mirusync.collections WHERE name OPERATOR(pg_catalog.=) 'mine';
UPDATE mirusync.collection SET pushable = false WHERE name OPERATOR(pg_catalog.=) 'mine';
SELECT '2026-01-01T00:00:00Z'::mirusync.hlc OPERATOR(mirusync.<) '2026-01-01T00:00:00Z/0001'::mirusync.hlc AS older;
SELECT mirusync.delete('hanna', 'mine', '1');
SELECT mirusync.detach('public.target');
SET search_path = public;
SELECT * FROM hostile.witness;
SELECT (SELECT count(*) FROM pg_temp.document) + (SELECT count(*) FROM pg_temp.feed)
	+ (SELECT count(*) FROM pg_temp.collection) AS taken_in;
DROP TABLE pg_temp.document, pg_temp.feed, pg_temp.collection, public.target;

-- ---------------------------------------------------------------------------
-- A table of his own, full of code.  All of it runs as him, whoever pushes.
-- ---------------------------------------------------------------------------
SET ROLE regress_mirusync_mallory;
-- What he tries everywhere: to read another's feed, and to write our tables.
CREATE FUNCTION hostile.try(place text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	attempt text;
BEGIN
	FOREACH attempt IN ARRAY ARRAY[
		'SELECT count(*) FROM mirusync.pull_events(''victim'', 0, 10, false)',
		'SELECT mirusync.pull(''victim'', ''victim'')',
		'SELECT mirusync.get(''victim'', ''diary'', ''1'')',
		'SELECT count(*) FROM mirusync.record',
		'UPDATE mirusync.feed SET head = 0',
		'INSERT INTO mirusync.document VALUES (''victim'', ''diary'', ''2'', ''{}'')',
		'SET ROLE regress_mirusync_relay', 'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT'] LOOP
		BEGIN
			EXECUTE attempt;
			IF current_user <> 'regress_mirusync_mallory' OR attempt !~ 'ROLE|AUTH' THEN
				INSERT INTO hostile.witness VALUES (place || ': ' || attempt, current_user);
			END IF;
		EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value OR dependent_objects_still_exist THEN
			NULL;
		END;
	END LOOP;
	INSERT INTO hostile.witness VALUES (place, current_user);
	RETURN true;
END $$;
CREATE FUNCTION hostile.on_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hostile.try(format('trigger %s %s', TG_WHEN, TG_LEVEL));
	RETURN NEW;
END $$;
CREATE TYPE hostile.kind AS ENUM ('x', 'y');
CREATE FUNCTION hostile.kind_to_json(hostile.kind) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hostile.try('cast to json');
	RETURN '1';
END $$;
CREATE CAST (hostile.kind AS json) WITH FUNCTION hostile.kind_to_json(hostile.kind);
CREATE FUNCTION hostile.generate(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hostile.try('generated column');
	RETURN 1;
END $$;
CREATE FUNCTION hostile.default_int() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hostile.try('default');
	RETURN 1;
END $$;
CREATE DOMAIN hostile.key AS text CHECK (hostile.try('domain'));
CREATE FUNCTION hostile.indexed(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hostile.try('index');
	RETURN $1;
END $$;
CREATE TABLE hostile.trap (id hostile.key PRIMARY KEY, owner text, n int DEFAULT hostile.default_int(),
	g int GENERATED ALWAYS AS (hostile.generate(n)) STORED, c hostile.kind, mode text,
	CHECK (hostile.try('check')));
CREATE INDEX ON hostile.trap (hostile.indexed(mode));
CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON hostile.trap FOR EACH ROW EXECUTE FUNCTION hostile.on_row();
CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON hostile.trap FOR EACH STATEMENT EXECUTE FUNCTION hostile.on_row();
CREATE CONSTRAINT TRIGGER c AFTER INSERT OR UPDATE ON hostile.trap DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION hostile.on_row();
ALTER TABLE hostile.trap ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON hostile.trap USING (hostile.try('policy'));
SELECT mirusync.attach('hostile.trap', feed => 'owner');
TRUNCATE hostile.witness;
RESET ROLE;
SELECT mirusync.push('ursula', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "trap", "id": "a", "fields": {"c": "x"}},
	{"number": 2, "kind": "patch", "collection": "trap", "id": "a", "fields": {"mode": "b"}}]}') #> '{verdicts,1}';
SET SESSION AUTHORIZATION regress_mirusync_relay;
SELECT kind, status FROM mirusync.push_many('{ursula}', '{phone}', '{s}', '{batch}',
	'{"{\"changes\": [{\"number\": 3, \"kind\": \"patch\", \"collection\": \"trap\", \"id\": \"a\", \"fields\": {\"n\": 3}}]}"}');
SELECT kind, seq FROM mirusync.pull_events('ursula', 0, 10, false);
RESET SESSION AUTHORIZATION;
SELECT mirusync.pull('ursula', 'ursula') #> '{changes,0,id}';
SELECT what, count(*) > 0 AS ran FROM hostile.witness WHERE who = 'regress_mirusync_mallory' GROUP BY 1 ORDER BY what COLLATE "C";
SELECT DISTINCT what, who FROM hostile.witness WHERE who <> 'regress_mirusync_mallory';
SELECT count(*) FROM mirusync.document WHERE feed = 'victim';
-- ---------------------------------------------------------------------------
-- What would run later, in the session of whoever pushes, is refused.
-- ---------------------------------------------------------------------------
SET ROLE regress_mirusync_mallory;
CREATE TABLE hostile.later (id int PRIMARY KEY);
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON hostile.later DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION hostile.on_row();
CREATE TABLE hostile.bomb (id int PRIMARY KEY, owner text, command text);
CREATE FUNCTION hostile.explode() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE NEW.command;
	RETURN NEW;
END $$;
CREATE TRIGGER a BEFORE INSERT ON hostile.bomb FOR EACH ROW EXECUTE FUNCTION hostile.explode();
CREATE CONSTRAINT TRIGGER b AFTER INSERT ON hostile.bomb DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION hostile.explode();
CREATE FUNCTION hostile.defer() RETURNS void SECURITY DEFINER LANGUAGE sql AS 'SET CONSTRAINTS ALL DEFERRED';
SELECT mirusync.attach('hostile.bomb', feed => 'owner');
RESET ROLE;
CREATE FUNCTION push_bomb(id int, command text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(v ->> 'reason', v ->> 'verdict') FROM mirusync.push('ursula', 'tablet', jsonb_build_object('changes', jsonb_build_array(
		jsonb_build_object('number', id, 'kind', 'put', 'collection', 'bomb', 'id', id::text,
			'fields', jsonb_build_object('command', command))))) p, jsonb_array_elements(p -> 'verdicts') v
$$;
TRUNCATE hostile.witness;
PREPARE ours AS SELECT 'ours' AS whose;
-- A cursor that is kept is run at commit.
SELECT push_bomb(1, $$DECLARE kept CURSOR WITH HOLD FOR SELECT hostile.try('cursor')$$);
-- A deferred trigger that is deferred anew, while the others are fired.
SELECT push_bomb(2, $$SET CONSTRAINTS ALL DEFERRED; INSERT INTO hostile.later VALUES (1)$$);
SELECT push_bomb(2, $$SELECT hostile.defer()$$);
-- A statement under the name of one of ours.
SELECT push_bomb(3, 'DEALLOCATE ours');
SELECT push_bomb(4, $$PREPARE theirs AS SELECT hostile.try('statement')$$);
SELECT push_bomb(5, 'DISCARD PLANS');
SELECT push_bomb(6, 'LISTEN mirusync_0');
SELECT push_bomb(7, 'UNLISTEN *');
SELECT push_bomb(8, 'CLOSE ALL');
EXECUTE ours;
SELECT name FROM pg_cursors WHERE is_holdable;
-- What is harmless stays allowed: settings go back, and so do names.
SELECT push_bomb(9, 'SET search_path = hostile');
SELECT push_bomb(10, 'SET timezone = ''Asia/Tokyo''');
SELECT push_bomb(11, 'SET CONSTRAINTS ALL IMMEDIATE');
SELECT push_bomb(12, 'DECLARE c CURSOR FOR SELECT 1');
SHOW search_path;
SHOW timezone;
-- Outside of a push nothing is refused.
SET ROLE regress_mirusync_mallory;
INSERT INTO hostile.bomb VALUES (20, 'ursula', 'PREPARE own AS SELECT 1'), (21, 'ursula', 'DEALLOCATE own');
-- What he may is to write any feed from his table: the column says whose it is.
INSERT INTO hostile.bomb VALUES (30, 'victim', 'SELECT 1');
RESET ROLE;
SELECT collection, id FROM mirusync.record WHERE feed = 'victim' ORDER BY seq;
SELECT DISTINCT what, who FROM hostile.witness;

-- ---------------------------------------------------------------------------
-- Another user's feed, by every function.
-- ---------------------------------------------------------------------------
SELECT mirusync.pull('ursula', 'victim');
SELECT mirusync.pull('', 'victim');
SELECT mirusync.pull('victim ', 'victim');
SELECT mirusync.pull('VICTIM', 'victim');
SELECT mirusync.pull(NULL, 'victim') IS NULL AS nothing, mirusync.pull('victim', NULL) IS NULL AS nothing_either;
SELECT mirusync.pull('', '') -> 'changes' AS nobodys;
SELECT mirusync.push('ursula', 'phone', '{"changes": [{"number": 50, "kind": "put", "collection": "diary", "id": "1",
	"feed": "victim", "fields": {}}]}') #> '{verdicts,0}';
SELECT mirusync.push('ursula', 'phone', '{"changes": [{"number": 51, "kind": "put", "collection": "diary", "id": "1",
	"feed": null, "fields": {"feed": "victim", "collection": "diary"}}]}') #> '{verdicts,0}';
SELECT mirusync.push('', 'phone', '{"changes": []}');
SELECT mirusync.push(NULL, 'phone', '{"changes": []}') IS NULL AS nothing;
-- His table cannot be made to show or take another's row by a push.
SELECT mirusync.push('ursula', 'phone', '{"changes": [
	{"number": 52, "kind": "patch", "collection": "bomb", "id": "30", "fields": {"command": "SELECT 2"}},
	{"number": 53, "kind": "patch", "collection": "bomb", "id": "9", "fields": {"owner": "victim"}}]}') -> 'verdicts';
SELECT mirusync.push('ursula', 'desk', '{"changes": [
	{"number": 1, "kind": "delete", "collection": "bomb", "id": "30"}]}') -> 'verdicts';
SELECT * FROM hostile.bomb WHERE id IN (9, 30) ORDER BY id;
-- get() runs as its caller.
GRANT EXECUTE ON FUNCTION mirusync.get(text, text, text), mirusync.put(text, text, text, jsonb) TO regress_mirusync_mallory;
SET ROLE regress_mirusync_mallory;
SELECT mirusync.get('victim', 'diary', '1');
SELECT mirusync.put('victim', 'diary', '1', '{}');
SELECT * FROM mirusync.pull_events('victim', 0, 10, false);
SELECT mirusync.doorbell_hash('victim');

-- ---------------------------------------------------------------------------
-- attach and detach: his own table, and no other.
-- ---------------------------------------------------------------------------
SELECT mirusync.detach('hostile.bomb');
SELECT mirusync.attach('hostile.bomb', feed => 'owner');
SELECT mirusync.attach('hostile.bomb', feed => 'owner', role => 'regress_mirusync_relay');
RESET ROLE;
CREATE TABLE public.others (id int PRIMARY KEY, owner text);
GRANT ALL ON public.others TO regress_mirusync_mallory;
SET ROLE regress_mirusync_mallory;
SELECT mirusync.attach('public.others', feed => 'owner');
SELECT mirusync.attach('mirusync.record', feed => 'feed');
SELECT mirusync.attach('pg_catalog.pg_authid', feed => 'rolname');
SELECT mirusync.detach('mirusync.document');
SELECT mirusync.attach('hostile.later', feed => 'id', role => 'regress_mirusync_relay');
CREATE TRIGGER mine AFTER INSERT ON hostile.later FOR EACH ROW EXECUTE FUNCTION mirusync.capture();
INSERT INTO hostile.later (id) VALUES (99);
DROP TRIGGER mine ON hostile.later;
SELECT mirusync.create_collection('his');
RESET ROLE;

-- A schema that was waiting for us is refused.
SELECT current_database() AS here \gset
CREATE DATABASE regress_mirusync_hostile TEMPLATE template0;
\c regress_mirusync_hostile
CREATE SCHEMA mirusync AUTHORIZATION regress_mirusync_mallory;
CREATE EXTENSION mirusync;
ALTER SCHEMA mirusync OWNER TO CURRENT_USER;
CREATE EXTENSION mirusync;
\c :here
DROP DATABASE regress_mirusync_hostile;

SET client_min_messages = error;
SELECT mirusync.detach('hostile.trap'), mirusync.detach('hostile.bomb');
DROP FUNCTION push_bomb;
DROP TABLE public.others;
DROP SCHEMA hostile CASCADE;
DELETE FROM mirusync.document WHERE collection IN ('diary', 'mine');
DROP OWNED BY regress_mirusync_mallory, regress_mirusync_relay;
DROP ROLE regress_mirusync_mallory, regress_mirusync_relay;
