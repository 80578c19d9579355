-- Rights: whose code runs as whom, and what each role may do.
SET client_min_messages = warning;
-- Each change is judged by itself: the inbox, where later ones wait behind a
-- rejected one, has a test of its own.
SET mirusync.rejected_max_changes = 0;
CREATE ROLE regress_mirusync_app;
CREATE ROLE regress_mirusync_relay;
CREATE ROLE regress_mirusync_stranger;
CREATE SCHEMA rights_test AUTHORIZATION regress_mirusync_app;
GRANT EXECUTE ON FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean)
	TO regress_mirusync_app;
SELECT mirusync.grant_relay('regress_mirusync_relay');

-- The owner of a table has code in it that runs when devices push and pull:
-- triggers, deferred triggers, casts and domains.  It runs as that owner.
SET ROLE regress_mirusync_app;
SET search_path = rights_test;
CREATE TABLE witness (what text, who name);
CREATE FUNCTION note(what text) RETURNS boolean LANGUAGE sql AS $$
	INSERT INTO rights_test.witness VALUES (what, current_user) RETURNING true
$$;
CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM rights_test.note(TG_NAME);
	RETURN NEW;
END $$;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	RETURN to_json($1::text || ' as ' || current_user);
END $$;
CREATE CAST (mood AS json) WITH FUNCTION mood_to_json(mood);
CREATE FUNCTION is_code(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN current_user = 'regress_mirusync_app' AND $1 <> '';
END $$;
CREATE DOMAIN code AS text CHECK (is_code(VALUE));
CREATE TABLE day (id code PRIMARY KEY, owner text, mood mood, n int);
CREATE TRIGGER plain BEFORE INSERT OR UPDATE ON day
	FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON day
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_write();
SELECT mirusync.attach('day', feed => 'owner');
RESET ROLE;
SET search_path = public;
SELECT mirusync.push('vera', 'phone', '{"changes": [{"number": 1, "kind": "put", "collection": "day",
	"id": "mo", "fields": {"mood": "good", "n": 1}}]}') -> 'verdicts';
SELECT DISTINCT what, who FROM rights_test.witness ORDER BY what;
SELECT mirusync.pull('vera', 'vera') #> '{changes,0,fields}';
SELECT new FROM mirusync.change_log WHERE collection = 'day';

-- Two owners in one batch: each one's deferred triggers run as himself.
CREATE SCHEMA rights_other;
CREATE TABLE rights_other.thing (id int PRIMARY KEY, owner text);
SELECT mirusync.attach('rights_other.thing', feed => 'owner');
TRUNCATE rights_test.witness;
SELECT mirusync.push('vera', 'phone', '{"changes": [
	{"number": 2, "kind": "patch", "collection": "day", "id": "mo", "fields": {"n": 2}},
	{"number": 3, "kind": "put", "collection": "thing", "id": "1", "fields": {}},
	{"number": 4, "kind": "patch", "collection": "day", "id": "mo", "fields": {"n": 3}}]}') -> 'verdicts';
SELECT what, who, count(*) FROM rights_test.witness GROUP BY 1, 2 ORDER BY 1;

-- What the caller of push_many() left for the end of its transaction runs as
-- the caller, and for nobody's push.
SET ROLE regress_mirusync_relay;
CREATE TEMP TABLE bait (id int);
CREATE FUNCTION pg_temp.spring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('regress.who', current_user || ' for ' || coalesce(mirusync.user_id(), 'nobody'), false);
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON bait
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.spring();
BEGIN;
INSERT INTO bait VALUES (1);
SELECT status, body FROM mirusync.push_many('{vera}', '{pad}', '{s}', '{batch}', ARRAY[
	'{"changes": [{"number": 1, "kind": "put", "collection": "day", "id": "tu", "fields": {"n": 2}}]}'])
	WHERE kind = 'verdict';
COMMIT;
SELECT current_setting('regress.who');
DROP TABLE bait;
RESET ROLE;

-- Grants on tables and columns decide what a device writes.
CREATE ROLE regress_mirusync_device;
GRANT USAGE ON SCHEMA rights_other TO regress_mirusync_device;
CREATE TABLE rights_other.member (id int PRIMARY KEY, owner text, title text, is_admin boolean NOT NULL DEFAULT false);
SELECT mirusync.attach('rights_other.member', feed => 'owner', role => 'regress_mirusync_device');
INSERT INTO rights_other.member VALUES (1, 'vera', 'one');
CREATE SEQUENCE rights_other.number;
CREATE FUNCTION rights_other.attempt() RETURNS TABLE (what text, verdict text, code text, reason text)
LANGUAGE sql AS $$
	SELECT w.what, v ->> 'verdict', v ->> 'code', v ->> 'reason'
	FROM (VALUES (1, 'insert', '"put", "id": "2", "fields": {"title": "two"}'),
		(2, 'insert admin', '"put", "id": "3", "fields": {"title": "three", "is_admin": true}'),
		(3, 'update', '"patch", "id": "1", "fields": {"title": "uno"}'),
		(4, 'update admin', '"patch", "id": "1", "fields": {"title": "eins", "is_admin": true}'),
		(5, 'delete', '"delete", "id": "2"')) AS w(n, what, change)
	CROSS JOIN LATERAL (SELECT mirusync.push('vera', 'grants', format('{"changes": [{"number": %s, "collection": "member", "kind": %s}]}',
		nextval('rights_other.number'), w.change)::jsonb) #> '{verdicts,0}' AS v) AS p
	ORDER BY n
$$;
SELECT * FROM rights_other.attempt();
GRANT SELECT ON rights_other.member TO regress_mirusync_device;
SELECT * FROM rights_other.attempt();
-- A row is locked before it is merged, which takes UPDATE on some column; the
-- feed's is one that no device can write anyway.
GRANT INSERT (id, owner, title), UPDATE (owner) ON rights_other.member TO regress_mirusync_device;
SELECT * FROM rights_other.attempt();
GRANT UPDATE (title) ON rights_other.member TO regress_mirusync_device;
SELECT * FROM rights_other.attempt();
GRANT DELETE ON rights_other.member TO regress_mirusync_device;
REVOKE INSERT (id, owner, title) ON rights_other.member FROM regress_mirusync_device;
SELECT * FROM rights_other.attempt();
SELECT * FROM rights_other.attempt();
TABLE rights_other.member;

-- So does row security, for each command.
GRANT ALL ON rights_other.member TO regress_mirusync_device;
ALTER TABLE rights_other.member ENABLE ROW LEVEL SECURITY;
INSERT INTO rights_other.member VALUES (2, 'vera', 'two');
SELECT * FROM rights_other.attempt();
CREATE POLICY s ON rights_other.member FOR SELECT TO regress_mirusync_device USING (true);
CREATE POLICY i ON rights_other.member FOR INSERT TO regress_mirusync_device WITH CHECK (NOT is_admin);
DELETE FROM rights_other.member WHERE id = 2;
SELECT * FROM rights_other.attempt();
-- Also what the device itself wrote just before.
SELECT jsonb_path_query_array(mirusync.push('vera', 'grants', '{"changes": [
	{"number": 1001, "kind": "put", "collection": "member", "id": "4", "fields": {"title": "four"}},
	{"number": 1002, "kind": "patch", "collection": "member", "id": "4", "fields": {"title": "vier"}},
	{"number": 1003, "kind": "delete", "collection": "member", "id": "4"}]}'), '$.verdicts[*]');
DELETE FROM rights_other.member WHERE id = 4;
CREATE POLICY u ON rights_other.member FOR UPDATE TO regress_mirusync_device USING (NOT is_admin);
SELECT * FROM rights_other.attempt();
CREATE POLICY d ON rights_other.member FOR DELETE TO regress_mirusync_device USING (title = 'two');
SELECT * FROM rights_other.attempt();
TABLE rights_other.member;
SELECT mirusync.detach('rights_other.member');
DROP TABLE rights_other.member;
DROP OWNED BY regress_mirusync_device;
DROP ROLE regress_mirusync_device;

-- What was pending before push() is its caller's, and fails as the caller's.
CREATE TABLE rights_other.part (id int PRIMARY KEY, thing int
	REFERENCES rights_other.thing DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO rights_other.part VALUES (1, 99);
SELECT mirusync.push('vera', 'phone', '{"changes": [{"number": 5, "kind": "patch", "collection": "day",
	"id": "mo", "fields": {"n": 4}}]}');
ROLLBACK;
SELECT count(*) FROM mirusync.verdict WHERE number = 5 AND user_id = 'vera' AND device = 'phone';

-- Record ids and fields are the same in every session.
CREATE TABLE rights_other.event (at timestamptz, span interval, bytes bytea, real float8,
	owner text, PRIMARY KEY (owner, at, span, bytes, real));
SELECT mirusync.attach('rights_other.event', feed => 'owner');
INSERT INTO rights_other.event VALUES ('2026-01-01 00:00+00', '1 day 2 hours', '\x01ff', 0.1, 'will');
SET timezone = 'America/New_York';
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'escape';
SET extra_float_digits = 0;
DELETE FROM rights_other.event;
INSERT INTO rights_other.event VALUES ('2026-01-01 00:00+00', '1 day 2 hours', '\x01ff', 0.1, 'will');
SELECT mirusync.pull('will', 'will') #> '{changes}' @> '[{"fields": {"at": "2026-01-01T00:00:00+00:00"}}]' AS as_ever;
SHOW timezone;
SHOW bytea_output;
RESET timezone;
RESET datestyle;
RESET intervalstyle;
RESET bytea_output;
RESET extra_float_digits;
SELECT seq, kind, id FROM mirusync.change_log WHERE collection = 'event' ORDER BY seq;
SELECT mirusync.push('will', 'phone', jsonb_build_object('changes', jsonb_build_array(
	jsonb_build_object('number', 1, 'kind', 'delete', 'collection', 'event', 'id', id)))) -> 'verdicts'
	FROM mirusync.record WHERE collection = 'event';
SELECT count(*) FROM rights_other.event;

-- A user id that is another text for the same feed is nobody's.
CREATE TABLE rights_other.numbered (id int PRIMARY KEY, owner int);
SELECT mirusync.attach('rights_other.numbered', feed => 'owner');
SELECT mirusync.push(who, 'phone', jsonb_build_object('changes', jsonb_build_array(
	jsonb_build_object('number', 1, 'kind', 'put', 'collection', 'numbered', 'id', id, 'fields', '{}'::jsonb)))) -> 'verdicts'
	FROM (VALUES ('7', '1'), ('007', '2'), ('seven', '3')) v(who, id);

-- A relay calls its functions and nothing else; a stranger calls nothing.
SELECT r.rolname, p.proname
	FROM pg_proc p, pg_roles r
	WHERE p.pronamespace = 'mirusync'::regnamespace AND p.proname NOT LIKE 'hlc%'
		AND r.rolname IN ('regress_mirusync_relay', 'regress_mirusync_stranger')
		AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
	ORDER BY 1, 2;
SELECT c.relname FROM pg_class c, pg_roles r
	WHERE c.relnamespace = 'mirusync'::regnamespace AND c.relkind IN ('r', 'v', 'S')
		AND r.rolname IN ('regress_mirusync_relay', 'regress_mirusync_stranger')
		AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');

-- Every object says what it is, and functions in SQL pin their search_path.
SELECT p.oid::regprocedure FROM pg_proc p
	WHERE p.pronamespace = 'mirusync'::regnamespace
		AND (obj_description(p.oid, 'pg_proc') IS NULL OR
			(p.prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c') AND p.proconfig IS NULL));
SELECT c.oid::regclass FROM pg_class c
	WHERE c.relnamespace = 'mirusync'::regnamespace AND c.relkind IN ('r', 'v')
		AND obj_description(c.oid, 'pg_class') IS NULL;

SELECT mirusync.detach('rights_test.day'), mirusync.detach('rights_other.thing'),
	mirusync.detach('rights_other.event'), mirusync.detach('rights_other.numbered');
DROP SCHEMA rights_test, rights_other CASCADE;
DROP OWNED BY regress_mirusync_app, regress_mirusync_relay;
DROP ROLE regress_mirusync_app, regress_mirusync_relay, regress_mirusync_stranger;
