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
SELECT * FROM say('nola', 's1', '{"type": "hello", "ref": 1, "protocol": 1, "device": "phone"}');
SELECT * FROM say('nola', 's1', '{"type": "status"}');

-- A push, its answer, and what the others get; without a type, without one.
SELECT * FROM say('nola', 's1', '{"type": "push", "ref": 2, "changes": [
	{"number": 1, "kind": "put", "collection": "task", "id": "t1", "fields": {"title": "milk"}},
	{"number": 2, "kind": "put", "collection": "task", "id": "t2", "fields": {"title": ""}},
	{"number": 3, "kind": "put", "collection": "setting", "id": "a", "fields": {"x": 1, "y": null}}]}');
SELECT * FROM say('nola', 's1', '{"changes": [
	{"number": 1, "kind": "put", "collection": "task", "id": "t1", "fields": {"title": "milk"}}]}');

-- A patch comes with what changed only, and names what a document lost.
SELECT * FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 4, "kind": "patch", "collection": "task", "id": "t1", "fields": {"done": true}},
	{"number": 5, "kind": "put", "collection": "setting", "id": "a", "fields": {"y": 2}}]}');

-- Atomic: all or nothing.  Sent again, the same.
SELECT body FROM say('nola', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 6, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 7, "kind": "put", "collection": "task", "id": "t4", "fields": {"title": ""}},
	{"number": 8, "kind": "put", "collection": "task", "id": "t5", "fields": {"title": "five"}}]}');
SELECT body FROM say('nola', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 6, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 7, "kind": "put", "collection": "task", "id": "t4", "fields": {"title": ""}},
	{"number": 8, "kind": "put", "collection": "task", "id": "t5", "fields": {"title": "five"}}]}');
SELECT body FROM say('nola', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 9, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 10, "kind": "erase", "collection": "task", "id": "t4"}]}');
SELECT body FROM say('nola', 's1', '{"type": "push", "atomic": true, "discard": [6], "changes": [
	{"number": 11, "kind": "put", "collection": "task", "id": "t3", "fields": {"title": "three"}},
	{"number": 12, "kind": "delete", "collection": "task", "id": "t1"}]}');
SELECT mirusync.push('nola', 'phone', '{"atomic": true, "changes": [
	{"number": 13, "kind": "put", "collection": "task", "id": "t6", "fields": {"title": "six"}},
	{"number": 14, "kind": "put", "collection": "nowhere", "id": "t7", "fields": {}}]}');
SELECT id, title, done FROM task ORDER BY id;

-- What the table refused of an atomic push waits as one; what is wrong in itself
-- is not kept.  A later change to any of its records waits behind it.
SELECT device_number, part_of = min(number) OVER (PARTITION BY part_of) AS first,
	count(*) OVER (PARTITION BY part_of) AS together, id, sqlstate
FROM mirusync.rejected WHERE feed = 'nola' AND device = 'phone' ORDER BY number;
SELECT body FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 70, "kind": "put", "collection": "task", "id": "t6", "fields": {"title": "VI"}}]}');

-- A device lets go of what it took back, and of all that came with it or waits
-- behind it; again, of nothing.  The verdicts stay.
SELECT mirusync.push('nola', 'tablet', '{"discard": [14], "changes": []}');
SELECT device_number, id FROM mirusync.rejected WHERE feed = 'nola' ORDER BY number;
SELECT body FROM say('nola', 's1', '{"type": "push", "discard": [14, 999], "changes": [
	{"number": 71, "kind": "put", "collection": "task", "id": "t6", "fields": {"title": "six"}}]}');
SELECT body FROM say('nola', 's1', '{"type": "push", "discard": [14, 999], "changes": [
	{"number": 71, "kind": "put", "collection": "task", "id": "t6", "fields": {"title": "six"}},
	{"number": 13, "kind": "put", "collection": "task", "id": "t6", "fields": {"title": "six"}}]}');
SELECT device_number, id FROM mirusync.rejected WHERE feed = 'nola' ORDER BY number;

-- A retry of one is a retry of all.
SELECT body FROM say('nola', 's1', '{"type": "push", "atomic": true, "changes": [
	{"number": 72, "kind": "put", "collection": "task", "id": "r1", "fields": {"title": "one"}},
	{"number": 73, "kind": "put", "collection": "task", "id": "r2", "fields": {"title": ""}}]}');
SELECT r.verdict, r.code FROM mirusync.rejected i, mirusync.retry('nola', i.number, '{"title": "two"}') r
WHERE i.feed = 'nola' AND i.device_number = 73;
SELECT id, title FROM task WHERE id LIKE 'r_' ORDER BY id;

-- A change refused alone, and others of the device to other records.
SELECT body FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 74, "kind": "put", "collection": "task", "id": "x1", "fields": {"title": ""}},
	{"number": 75, "kind": "patch", "collection": "task", "id": "x1", "fields": {"done": true}},
	{"number": 76, "kind": "put", "collection": "task", "id": "x2", "fields": {"title": ""}}]}');
SELECT body FROM say('nola', 's1', '{"type": "push", "discard": [75], "changes": []}');
SELECT device_number FROM mirusync.rejected WHERE feed = 'nola' ORDER BY number;
SELECT body FROM say('nola', 's1', '{"type": "push", "discard": [74], "changes": [
	{"number": 77, "kind": "put", "collection": "task", "id": "x1", "fields": {"title": ""}}]}');
SELECT device_number FROM mirusync.rejected WHERE feed = 'nola' ORDER BY number;

-- A push that is wrong as a whole lets go of nothing.
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "discard": [76], "changes": [{}]}');
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "discard": 76, "changes": []}');
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "discard": [76, 0], "changes": []}');
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "discard": [76.5], "changes": []}');
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "discard": {"76": 76}, "changes": []}');
SELECT device_number FROM mirusync.rejected WHERE feed = 'nola' ORDER BY number;
SELECT body FROM say('nola', 's1', '{"type": "push", "discard": [76, 77], "changes": []}');
SELECT device_number FROM mirusync.rejected WHERE feed = 'nola' ORDER BY number;

-- A hello moves what is digested; wrong messages are wrong as a whole.
SELECT body FROM say('nola', 's1', '{"type": "hello", "protocol": 1, "device": "phone", "digested": 5}');
SELECT status, code, body FROM say('nola', 's1', '{"type": "hello", "digested": "x"}');
SELECT status, code, body FROM say('nola', 's1', '{"type": "goodbye"}');
SELECT status, code, body FROM say('nola', 's1', '[1]');
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "changes": []}, ');
SELECT status, code, body FROM say('nola', 's1', '{"type": "push", "atomic": 1, "changes": [
	{"number": 15, "kind": "delete", "collection": "task", "id": "t1"}]}');
SELECT say('nola', 's1', '{"type": "push", "changes": []}', '{klingon}');
SELECT say('nola', 's1', '{"type": "push", "changes": []}', '{}');

-- A push may tell how its device is doing, and nothing else.
SELECT body FROM say('nola', 's1', '{"type": "push", "epoch": 0, "changes": [],
	"report": {"cursor": 5, "unsent": 2, "version": "2.1"}}');
SELECT cursor, unsent, version FROM mirusync.devices WHERE user_id = 'nola' AND device = 'phone';

-- A page of a catch-up, in either dialect or both.
SELECT kind, after, seq, complete, still(body) AS body, still(native) AS native
FROM mirusync.pull_events('nola', 0, 500, false, 0, '{native}');
SELECT kind, after, seq, complete, still(native) AS native
FROM mirusync.pull_events('nola', 0, 2, false, 0, '{native}');
SELECT kind, after, seq, complete, still(native) AS native
FROM mirusync.pull_events('nobody', 0, 2, false, 0, '{native}');
SELECT kind, after, seq, still(body) AS body, native IS NULL AS no_native
FROM mirusync.pull_events('nola', 5, 500, false, 0, '{event,native}');

-- What SQL wrote, live: transaction by transaction, changed fields only.
CREATE TABLE mark AS SELECT head FROM mirusync.feed WHERE feed = 'nola';
BEGIN;
INSERT INTO task VALUES ('u1', 'nola', 'by sql');
UPDATE task SET title = 'changed' WHERE id = 't3';
COMMIT;
UPDATE task SET done = true WHERE id = 't3';
SELECT mirusync.patch('nola', 'setting', 'a', '{"z": 3}', '{y}');
DELETE FROM task WHERE id = 'u1';
SELECT live.* FROM mark, live('nola', head);

-- Its own change is kept from a session, unless others changed the record too.
CREATE TABLE mark2 AS SELECT head FROM mirusync.feed WHERE feed = 'nola';
SELECT kind FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 20, "kind": "patch", "collection": "setting", "id": "a", "fields": {"p": 1}}]}');
SELECT live.* FROM mark2, live('nola', head);
SELECT mirusync.patch('nola', 'setting', 'a', '{"q": 2}');
SELECT kind FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 21, "kind": "patch", "collection": "setting", "id": "a", "fields": {"p": 3}}]}');
SELECT live.* FROM mark2, live('nola', head);

-- A field that lost to its removal is named.
SELECT body FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 30, "kind": "put", "collection": "setting", "id": "b", "fields": {"x": 1, "y": 1},
	 "clock": "2020-01-01T00:00:00Z"}]}');
SELECT mirusync.patch('nola', 'setting', 'b', '{}', '{y}');
SELECT body FROM say('nola', 's1', '{"type": "push", "changes": [
	{"number": 31, "kind": "patch", "collection": "setting", "id": "b", "fields": {"y": 5, "z": 6},
	 "clock": "2021-01-01T00:00:00Z"}]}');
SELECT mirusync.get('nola', 'setting', 'b');

-- A page that is cut tells so, and where its snapshot stood.
SELECT live.* FROM mark, live('nola', head, '{native}', 1);

-- History that was trimmed: whole records.
BEGIN;
DELETE FROM mirusync.change_log USING mark WHERE feed = 'nola' AND seq > head;
SELECT live.native FROM mark, live('nola', head);
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

-- A server that is read-only is nobody's fault: the push is to be sent again.
BEGIN READ ONLY;
SELECT status, code FROM mirusync.push_many('{nora}', '{phone}', '{s1}', '{native}', ARRAY['{"type": "push", "changes": [
	{"number": 900, "kind": "put", "collection": "note", "id": "later", "fields": {"x": 1}}]}']);
ROLLBACK;

-- A batch that comes twice in one group, by one session, is applied once.
SELECT status, code FROM mirusync.push_many('{nora,nora}', '{phone,phone}', '{s1,s1}', '{native,batch}', ARRAY['{"type": "push", "changes": [
	{"number": 901, "kind": "put", "collection": "note", "id": "twice", "fields": {"x": 1}}]}', '{"changes": [
	{"number": 901, "kind": "put", "collection": "note", "id": "twice", "fields": {"x": 1}}]}']) WHERE kind = 'verdict';
