-- A database with something of everything: attached tables, documents, an
-- event mapping, pushes with every verdict, tombstones, a record that moved
-- from feed to feed, numbered verdicts that were digested.  Only what 0.1.0
-- has, so that any version can be filled with it.
--
-- data-0.1.0.sql was made by running this with version 0.1.0 and
--     pg_dump --no-owner
--
-- SPDX-License-Identifier: PostgreSQL
SET client_min_messages = warning;
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'upgrade_app') THEN
		CREATE ROLE upgrade_app;
		CREATE ROLE upgrade_relay;
	END IF;
END $$;

CREATE EXTENSION IF NOT EXISTS mirusync;
SELECT mirusync.grant_relay('upgrade_relay');
GRANT EXECUTE ON FUNCTION mirusync.attach TO upgrade_app;
GRANT SELECT ON mirusync.change_log TO upgrade_app;
SELECT mirusync.create_practice_log();
SELECT mirusync.create_collection('setting', 'lww_field');
SELECT mirusync.create_collection('page', pushable => false);

CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO upgrade_app;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE TABLE app.note (
	owner text,
	id uuid PRIMARY KEY,
	old_title text NOT NULL DEFAULT '',
	body text,
	gone int,
	mood app.mood,
	words int GENERATED ALWAYS AS (length(body)) STORED,
	at timestamptz
);
CREATE TABLE app.tag ("user" int, note text, tag text, weight numeric, PRIMARY KEY ("user", note, tag));
GRANT ALL ON ALL TABLES IN SCHEMA app TO upgrade_app;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.at := '2026-01-01 00:00:00+00';
	RETURN NEW;
END $$;
CREATE TRIGGER touch BEFORE INSERT ON app.note FOR EACH ROW EXECUTE FUNCTION app.touch();
INSERT INTO app.note (owner, id, old_title, body)
	VALUES ('anna', '00000000-0000-0000-0000-000000000001', 'before attach', 'x'),
		(NULL, '00000000-0000-0000-0000-000000000002', 'nobody''s', 'y');
SELECT mirusync.attach('app.note', feed => 'owner');
SELECT mirusync.attach('app.tag', feed => 'user', collection => 'label', rule => 'lww', role => 'upgrade_app', pushable => true);
UPDATE mirusync.collection SET pushable = false WHERE name = 'logbook_entry';

-- Fields that were renamed and dropped, since their numbers must last.
ALTER TABLE app.note RENAME COLUMN old_title TO title;
ALTER TABLE app.note DROP COLUMN gone;
ALTER TABLE app.note ADD COLUMN stars int;
UPDATE app.note SET stars = 5, title = 'after' WHERE owner = 'anna';
INSERT INTO app.note (owner, id, title, mood)
	SELECT 'anna', format('00000000-0000-0000-0000-0000000001%s', n)::uuid, 'n' || n, 'good' FROM generate_series(10, 19) n;
DELETE FROM app.note WHERE title = 'n13';
UPDATE app.note SET owner = 'ben' WHERE title = 'n14';
INSERT INTO app.tag VALUES (7, 'a,b', 'c\d', 1.50), (7, 'x', 'y', 'NaN'), (8, 'x', 'y', 0);
DELETE FROM app.tag WHERE "user" = 8;

SELECT mirusync.put('anna', 'setting', 'theme', '{"dark": true, "size": 12}');
SELECT mirusync.put('anna', 'page', '1', '{"title": "Märchen, „x“", "list": [1, 2, {"a": null}]}');
SELECT mirusync.patch('anna', 'setting', 'theme', '{"size": 14}', remove => '{dark}');
SELECT mirusync.put('anna', 'setting', 'old', '{"a": 1}');
SELECT mirusync.delete('anna', 'setting', 'old');

-- Every verdict, two devices, and some that were digested.
SELECT mirusync.push('anna', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "setting", "id": "font", "fields": {"name": "Serif", "size": 3},
	 "clock": "2026-01-01T10:00:00Z/0001"},
	{"number": 2, "kind": "patch", "collection": "setting", "id": "font", "fields": {"size": 4},
	 "clock": "2026-01-01T10:00:01Z/0000"},
	{"number": 3, "kind": "put", "collection": "page", "id": "2", "fields": {}},
	{"number": 4, "kind": "put", "collection": "nothing", "id": "2", "fields": {}}]}');
SELECT mirusync.push('anna', 'tablet', '{"changes": [
	{"number": 1, "kind": "patch", "collection": "setting", "id": "font", "fields": {"size": 2, "bold": true},
	 "clock": "2026-01-01T10:00:00.500Z", "base": 3},
	{"number": 2, "kind": "patch", "collection": "setting", "id": "font", "fields": {"size": 1},
	 "clock": "2025-01-01T00:00:00Z"},
	{"number": 3, "kind": "put", "collection": "note", "id": "00000000-0000-0000-0000-000000000201",
	 "fields": {"title": "pushed", "body": "abc", "mood": "bad"}},
	{"number": 4, "kind": "delete", "collection": "note", "id": "00000000-0000-0000-0000-000000000115"}]}');
SELECT mirusync.push('anna', 'phone', '{"digested": 2, "changes": [
	{"number": 5, "kind": "patch", "collection": "note", "id": "00000000-0000-0000-0000-000000000201",
	 "fields": {"title": "skewed"}, "clock": "2999-01-01T00:00:00Z"}]}');
SELECT mirusync.push('7', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "label", "id": "new,tag", "fields": {"weight": 2}}]}');
SELECT kind, status, body FROM mirusync.push_many('{carla}', '{phone}', '{s1}', '{event}', ARRAY[
	'{"type": "PIECE_ADDED", "timestamp": "2026-01-01T00:00:00.000Z", "piece": {"id": "p1", "scoreId": "s1", "title": "Etude", "status": "learning", "updatedAt": "2026-01-01T00:00:00.000Z"}}']);

-- What devices got before, and what they must get after.
CREATE TABLE app.pulled AS
	SELECT feed, mirusync.pull(feed, feed) AS page FROM mirusync.feed;
CREATE TABLE app.verdicts AS SELECT user_id, device, number, verdict FROM mirusync.verdict;
