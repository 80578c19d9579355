-- The native dialect as relays see it: push_many() and pull_events() with
-- dialect native, alone and together with events.
SET client_min_messages = warning;
CREATE SCHEMA native_test;
SET search_path = native_test;
CREATE TABLE task (
	id text PRIMARY KEY,
	owner text NOT NULL,
	title text NOT NULL CHECK (title <> ''),
	done boolean NOT NULL DEFAULT false
);
CREATE TABLE tally (id text PRIMARY KEY, owner text NOT NULL, tasks int NOT NULL);
SELECT mirusync.attach('task', feed => 'owner');
SELECT mirusync.attach('tally', feed => 'owner');
SELECT mirusync.create_collection('setting', rule => 'lww_field');
INSERT INTO mirusync.event_collection (collection, payload, created_type, updated_type)
VALUES ('task', 'task', 'TASK_CHANGED', 'TASK_CHANGED');
INSERT INTO mirusync.event_type (type, collection, kind, payload)
VALUES ('TASK_CHANGED', 'task', 'put', 'task');

-- Times and clocks differ from run to run.
CREATE FUNCTION still(message text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(message, '"(clock|timestamp|updatedAt|deletedAt)": ?"[^"]*"', '"\1":"…"', 'g')
$$;
CREATE FUNCTION say(who text, session text, message text, deliver text[] DEFAULT '{native}')
RETURNS TABLE (kind text, status text, after bigint, seq bigint, session text, code text, body text, native text)
LANGUAGE sql AS $$
	SELECT kind, status, after, seq, session, code, still(body), still(native)
	FROM mirusync.push_many(ARRAY[who], ARRAY['phone'], ARRAY[session], '{native}',
		ARRAY[message], deliver)
$$;
CREATE FUNCTION live(who text, after bigint, dialects text[] DEFAULT '{native}', max int DEFAULT 500)
RETURNS TABLE (kind text, after bigint, seq bigint, session text, body text, native text)
LANGUAGE sql AS $$
	SELECT kind, after, seq, session, still(body), still(native)
	FROM mirusync.pull_events(who, after, max, true, 0, dialects)
$$;
\x on

-- hello and status: what the device has digested, and where the feeds stand.
SELECT * FROM say('nora', 's1', '{"type": "hello", "ref": 1, "protocol": 1, "device": "phone"}');
SELECT * FROM say('nora', 's1', '{"type": "status"}');

-- A push, its answer, and what the others get; without a type, without one.
SELECT * FROM say('nora', 's1', '{"type": "push", "ref": 2, "changes": [
	{"number": 1, "kind": "put", "collection": "task", "id": "t1", "fields": {"title": "milk"}},
	{"number": 2, "kind": "put", "collection": "task", "id": "t2", "fields": {"title": ""}},
	{"number": 3, "kind": "put", "collection": "setting", "id": "a", "fields": {"x": 1, "y": null}}]}');
SELECT * FROM say('nora', 's1', '{"changes": [
	{"number": 1, "kind": "put", "collection": "task", "id": "t1", "fields": {"title": "milk"}}]}');

-- A patch comes with what changed only, and names what a document lost.
SELECT * FROM say('nora', 's1', '{"type": "push", "changes": [
	{"number": 4, "kind": "patch", "collection": "task", "id": "t1", "fields": {"done": true}},
	{"number": 5, "kind": "put", "collection": "setting", "id": "a", "fields": {"y": 2}}]}');

-- Atomic: all or nothing.  Sent again, the same.
SELECT body FROM say('nora', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 6, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 7, "kind": "put", "collection": "task", "id": "t4", "fields": {"title": ""}},
	{"number": 8, "kind": "put", "collection": "task", "id": "t5", "fields": {"title": "five"}}]}');
SELECT body FROM say('nora', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 6, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 7, "kind": "put", "collection": "task", "id": "t4", "fields": {"title": ""}},
	{"number": 8, "kind": "put", "collection": "task", "id": "t5", "fields": {"title": "five"}}]}');
SELECT body FROM say('nora', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 9, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 10, "kind": "erase", "collection": "task", "id": "t4"}]}');
SELECT body FROM say('nora', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 11, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 12, "kind": "delete", "collection": "task", "id": "t1"}]}');
SELECT mirusync.push('nora', 'phone', '{"atomic": true, "changes": [
	{"number": 13, "kind": "put", "collection": "task", "id": "t6", "fields": {"title": "six"}},
	{"number": 14, "kind": "put", "collection": "nowhere", "id": "t7", "fields": {}}]}');
SELECT id, title, done FROM task ORDER BY id;

-- A hello moves what is digested; wrong messages are wrong as a whole.
SELECT body FROM say('nora', 's1', '{"type": "hello", "protocol": 1, "device": "phone", "digested": 5}');
SELECT status, code, body FROM say('nora', 's1', '{"type": "hello", "digested": "x"}');
SELECT status, code, body FROM say('nora', 's1', '{"type": "goodbye"}');
SELECT status, code, body FROM say('nora', 's1', '[1]');
SELECT status, code, body FROM say('nora', 's1', '{"type": "push", "changes": []}, ');
SELECT status, code, body FROM say('nora', 's1', '{"type": "push", "atomic": 1, "changes": [
	{"number": 15, "kind": "delete", "collection": "task", "id": "t1"}]}');
SELECT say('nora', 's1', '{"type": "push", "changes": []}', '{klingon}');
SELECT say('nora', 's1', '{"type": "push", "changes": []}', '{}');

-- A page of a catch-up, in either dialect or both.
SELECT kind, after, seq, complete, still(body) AS body, still(native) AS native
FROM mirusync.pull_events('nora', 0, 500, false, 0, '{native}');
SELECT kind, after, seq, complete, still(native) AS native
FROM mirusync.pull_events('nora', 0, 2, false, 0, '{native}');
SELECT kind, after, seq, complete, still(native) AS native
FROM mirusync.pull_events('nobody', 0, 2, false, 0, '{native}');
SELECT kind, after, seq, still(body) AS body, native IS NULL AS no_native
FROM mirusync.pull_events('nora', 5, 500, false, 0, '{event,native}');

-- What SQL wrote, live: transaction by transaction, changed fields only.
CREATE TABLE mark AS SELECT head FROM mirusync.feed WHERE feed = 'nora';
BEGIN;
INSERT INTO task VALUES ('u1', 'nora', 'by sql');
UPDATE task SET title = 'changed' WHERE id = 't3';
COMMIT;
UPDATE task SET done = true WHERE id = 't3';
SELECT mirusync.patch('nora', 'setting', 'a', '{"z": 3}', '{y}');
DELETE FROM task WHERE id = 'u1';
SELECT live.* FROM mark, live('nora', head);

-- Its own change is kept from a session, unless others changed the record too.
CREATE TABLE mark2 AS SELECT head FROM mirusync.feed WHERE feed = 'nora';
SELECT kind FROM say('nora', 's1', '{"type": "push", "changes": [
	{"number": 20, "kind": "patch", "collection": "setting", "id": "a", "fields": {"p": 1}}]}');
SELECT live.* FROM mark2, live('nora', head);
SELECT mirusync.patch('nora', 'setting', 'a', '{"q": 2}');
SELECT kind FROM say('nora', 's1', '{"type": "push", "changes": [
	{"number": 21, "kind": "patch", "collection": "setting", "id": "a", "fields": {"p": 3}}]}');
SELECT live.* FROM mark2, live('nora', head);

-- A field that lost to its removal is named.
SELECT body FROM say('nora', 's1', '{"type": "push", "changes": [
	{"number": 30, "kind": "put", "collection": "setting", "id": "b", "fields": {"x": 1, "y": 1},
	 "clock": "2020-01-01T00:00:00Z"}]}');
SELECT mirusync.patch('nora', 'setting', 'b', '{}', '{y}');
SELECT body FROM say('nora', 's1', '{"type": "push", "changes": [
	{"number": 31, "kind": "patch", "collection": "setting", "id": "b", "fields": {"y": 5, "z": 6},
	 "clock": "2021-01-01T00:00:00Z"}]}');
SELECT mirusync.get('nora', 'setting', 'b');

-- A page that is cut tells so, and where its snapshot stood.
SELECT live.* FROM mark, live('nora', head, '{native}', 1);

-- History that was trimmed: whole records.
BEGIN;
DELETE FROM mirusync.change_log USING mark WHERE feed = 'nora' AND seq > head;
SELECT live.native FROM mark, live('nora', head);
ROLLBACK;

-- Both dialects: intervals of the native one, events one a line.
CREATE FUNCTION count_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO native_test.tally VALUES ('all', NEW.owner, 1)
	ON CONFLICT (id) DO UPDATE SET tasks = native_test.tally.tasks + 1;
	RETURN NULL;
END $$;
CREATE TRIGGER count_tasks AFTER INSERT ON task FOR EACH ROW EXECUTE FUNCTION count_tasks();
SELECT kind, feed, after, seq, session, still(body) AS body, still(native) AS native
FROM mirusync.push_many('{olaf,olaf}', '{a,b}', '{s1,s2}', '{native,event}', ARRAY[
	'{"type": "push", "changes": [
		{"number": 1, "kind": "put", "collection": "task", "id": "o1", "fields": {"title": "one"}},
		{"number": 2, "kind": "put", "collection": "task", "id": "o2", "fields": {"title": "two"}}]}',
	'{"type": "TASK_CHANGED", "timestamp": "2026-11-23T06:00:00Z", "task": {"id": "o3", "title": "three"}}'],
	'{event,native}');
SELECT * FROM live('olaf', 0, '{event,native}');

\x off
DELETE FROM mirusync.event_collection WHERE collection = 'task';
DELETE FROM mirusync.document WHERE collection = 'setting';
DELETE FROM mirusync.collection WHERE name = 'setting';
DROP SCHEMA native_test CASCADE;
