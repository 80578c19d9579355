-- Rights: whose code runs as whom, and what each role may do.
SET client_min_messages = warning;
CREATE ROLE regress_mirusync_app;
CREATE ROLE regress_mirusync_relay;
CREATE ROLE regress_mirusync_stranger;
CREATE SCHEMA rights_test AUTHORIZATION regress_mirusync_app;
GRANT EXECUTE ON FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean, boolean)
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
