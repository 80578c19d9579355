-- Mending: docs/audit.md, whose examples these are, then what is harder.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SELECT last_value AS conflict_ids FROM mirusync.conflict_id \gset
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('una', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;
CREATE TABLE post (
	id int PRIMARY KEY,
	owner text NOT NULL,
	title text,
	body text,
	likes int NOT NULL DEFAULT 0,
	tags text[]
);
SELECT mirusync.attach('post', feed => 'owner');
SELECT mirusync.set_rule('post', 'likes', 'counter');
SELECT mirusync.set_rule('post', 'tags', 'set');
INSERT INTO post VALUES (1, 'una', 'Rain', 'It rains.', 10, '{sky}');
INSERT INTO post VALUES (2, 'una', 'Sun', 'It shines.', 5, NULL);
CREATE VIEW what AS SELECT l.feed, l.seq, l.kind, coalesce(l.device, substr(l.application, 1, 18)) AS by, l.collection, l.id, l.new
	FROM mirusync.change_log l;

-- restore()
DELETE FROM post WHERE id = 2;
SELECT mirusync.restore('una', 'post', '2');
SELECT * FROM post WHERE id = 2;
UPDATE post SET title = 'Ruin', body = 'It ruins.' WHERE id = 1;
SELECT mirusync.restore('una', 'post', '1', seq => 1, fields => '{title}');
SELECT title, body FROM post WHERE id = 1;
SELECT seq, kind, application, changes FROM mirusync.history('una', 'post', '1') WHERE seq > 1;
-- It is so already: there is nothing to write.
SELECT mirusync.restore('una', 'post', '1', seq => 1, fields => '{title}') IS NULL AS nothing;
SELECT mirusync.restore('una', 'post', '1', at => clock_timestamp()) IS NULL AS nothing;

-- undo()
SELECT push('phone', '{"number": 1, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"title": "WIN", "body": "BIG"}, "add": {"likes": 500, "tags": ["spam"]}, "base": 6}');
SELECT push('phone', '{"number": 2, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"title": "WIN NOW"}, "base": 7}');
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"body": "Nice."}, "add": {"likes": 1, "tags": ["wind"]}, "base": 8}');
SELECT push('phone', '{"number": 3, "kind": "delete", "collection": "post", "id": "2", "base": 9}');
SELECT push('phone', '{"number": 4, "kind": "put", "collection": "post", "id": "3",
	"fields": {"title": "BUY"}, "base": 9}');
SELECT clock_timestamp() AS stolen_until \gset
SELECT id, field, present, value, action, reason
FROM mirusync.undo_preview('una', 'phone', from_seq => 7)
WHERE field IS NOT NULL OR action = 'delete';
SELECT id, field, action, words FROM mirusync.undo('una', 'phone', from_seq => 7);
SELECT * FROM post ORDER BY id;
-- A second time there is nothing left to do, not even of the counter.
SELECT id, field, action, reason FROM mirusync.undo('una', 'phone', from_seq => 7);
SELECT likes FROM post WHERE id = 1;
-- Devices get it like any change.
SELECT c ->> 'id' AS id, c ->> 'kind' AS kind, c -> 'fields' ->> 'title' AS title
	FROM jsonb_array_elements(mirusync.pull('una', 'una', 10, 100) -> 'changes') c;
SELECT seq, kind, by, id FROM what WHERE feed = 'una' AND seq > 10 ORDER BY seq;
-- Undoing the undoing: by its transaction.
SELECT xid AS undoing FROM mirusync.change_log WHERE feed = 'una' ORDER BY seq DESC LIMIT 1 \gset
SELECT id, field, action FROM mirusync.undo('una', xid => :'undoing');
SELECT * FROM post ORDER BY id;

-- What stands against the undoing, and what comes back with it.
CREATE FUNCTION push(who text, device text, number int, change jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT v ->> 'verdict' || coalesce(' ' || (v ->> 'code'), '') FROM (SELECT mirusync.push(who, device,
		jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('number', number) || change))) #> '{verdicts,0}' AS v) p
$$;
CREATE FUNCTION patch(id text, fields jsonb, base int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('kind', 'patch', 'collection', 'thing', 'id', id, 'fields', fields, 'base', base)
$$;
-- The text of a plan, without ids of conflicts and who runs this.
CREATE FUNCTION told(feed text, device text, from_seq bigint DEFAULT NULL, to_seq bigint DEFAULT NULL)
RETURNS TABLE (id text, field text, present jsonb, value jsonb, action text, reason text, words text) LANGUAGE sql AS $$
	SELECT id, field, present, value, action, reason, regexp_replace(regexp_replace(words, 'conflict [0-9]+', 'a conflict'), 'role "[^"]*"', 'a role')
	FROM mirusync.undo_preview(feed, device, from_seq, to_seq)
$$;
CREATE TABLE thing (
	id int PRIMARY KEY,
	owner text NOT NULL,
	name text,
	first text,
	most int,
	size text GENERATED ALWAYS AS (upper(name)) STORED,
	nr int GENERATED ALWAYS AS IDENTITY
);
SELECT mirusync.attach('thing', feed => 'owner'), mirusync.set_rule('thing', 'first', 'first_wins'), mirusync.set_rule('thing', 'most', 'max');
INSERT INTO thing SELECT i, 'm-vera', 'n' || i, NULL, 5 FROM generate_series(1, 7) i;
-- 1: a chain with another's between. 2: another's on top. 3: what lost comes back. 4: a maximum. 5: SQL on top. 6: the same value once more. 7: only before the span.
SELECT push('m-vera', 'bad', 1, patch('7', '{"name": "early"}', 7));
SELECT push('m-vera', 'bad', 2, patch('1', '{"name": "A"}', 8)), push('m-vera', 'good', 1, patch('1', '{"name": "B"}', 9)),
	push('m-vera', 'bad', 3, patch('1', '{"name": "C"}', 10)), push('m-vera', 'bad', 4, patch('1', '{"name": "D"}', 11)),
	push('m-vera', 'bad', 5, patch('2', '{"name": "A"}', 12)), push('m-vera', 'good', 2, patch('2', '{"name": "B"}', 13)),
	push('m-vera', 'bad', 6, patch('3', '{"first": "thief"}', 14)), push('m-vera', 'good', 3, patch('3', '{"first": "owner"}', 14)),
	push('m-vera', 'bad', 7, patch('4', '{"most": 900}', 15)), push('m-vera', 'good', 4, patch('4', '{"most": 7}', 15)),
	push('m-vera', 'bad', 8, patch('5', '{"name": "A"}', 17)), push('m-vera', 'bad', 9, patch('6', '{"name": "A"}', 18));
UPDATE thing SET name = 'by SQL' WHERE id = 5;
SELECT push('m-vera', 'good', 5, patch('6', '{"name": "A"}', 20));
SELECT * FROM told('m-vera', 'bad', 9);
-- What was pushed by the same device outside of the span is another's.
SELECT field, value, action, reason, words FROM told('m-vera', 'bad', 9, 9) WHERE id = '1';
SELECT count(*) AS nothing_written FROM mirusync.change_log WHERE feed = 'm-vera' AND application LIKE 'mirusync.%';
SELECT id, field, action FROM mirusync.undo('m-vera', 'bad', from_seq => 9) WHERE action <> 'keep';
SELECT * FROM thing WHERE owner = 'm-vera' ORDER BY id;

-- Lives of a record: made, deleted, made again.
INSERT INTO thing SELECT i, 'm-walt', 'n' || i FROM generate_series(11, 15) i;
SELECT push('m-walt', 'bad', 1, '{"kind": "delete", "collection": "thing", "id": "11", "base": 5}'),
	push('m-walt', 'bad', 2, '{"kind": "put", "collection": "thing", "id": "11", "fields": {"name": "other"}, "base": 6}'),
	push('m-walt', 'bad', 3, '{"kind": "put", "collection": "thing", "id": "21", "fields": {"name": "x"}, "base": 6}'),
	push('m-walt', 'bad', 4, '{"kind": "delete", "collection": "thing", "id": "21", "base": 8}'),
	push('m-walt', 'bad', 5, '{"kind": "put", "collection": "thing", "id": "22", "fields": {"name": "x"}, "base": 8}'),
	push('m-walt', 'good', 1, patch('22', '{"first": "mine"}', 10)),
	push('m-walt', 'bad', 6, patch('22', '{"name": "y"}', 11)),
	push('m-walt', 'bad', 7, '{"kind": "delete", "collection": "thing", "id": "12", "base": 5}'),
	push('m-walt', 'bad', 8, patch('13', '{"name": "z", "first": "f"}', 5)),
	push('m-walt', 'bad', 9, '{"kind": "delete", "collection": "thing", "id": "13", "base": 14}'),
	push('m-walt', 'bad', 10, patch('14', '{"name": "z"}', 5)),
	push('m-walt', 'bad', 11, '{"kind": "delete", "collection": "thing", "id": "99", "base": 5}');
INSERT INTO thing VALUES (12, 'm-walt', 'again');
DELETE FROM thing WHERE id = 14;
SELECT id, field, value ->> 'name' AS name, value ->> 'first' AS first, action, reason, words FROM told('m-walt', 'bad') WHERE field IS NULL OR field <> 'nr' AND field <> 'size';
SELECT id, field, action FROM mirusync.undo('m-walt', 'bad') WHERE action <> 'keep';
SELECT id, name, first, size FROM thing WHERE owner = 'm-walt' ORDER BY id;

-- A delete that won: what lost against it is in what comes back.
SELECT mirusync.set_delete_rule('thing', 'delete_wins');
INSERT INTO thing VALUES (31, 'm-xena', 'n');
SELECT push('m-xena', 'bad', 1, '{"kind": "delete", "collection": "thing", "id": "31", "base": 1}'), push('m-xena', 'good', 1, patch('31', '{"name": "saved"}', 1));
SELECT action, value ->> 'name' AS name, reason FROM mirusync.undo('m-xena', 'bad');
SELECT id, name FROM thing WHERE owner = 'm-xena';
SELECT mirusync.set_delete_rule('thing', 'update_wins');
-- Under lww a conflict is about the record, and so is what comes back.
SELECT mirusync.create_collection('whole', 'lww');
SELECT mirusync.put('m-xena', 'whole', 'w', '{"a": 1, "b": 2}');
SELECT head AS base FROM mirusync.feed WHERE feed = 'm-xena' \gset
SELECT push('m-xena', 'bad', 2, jsonb_build_object('kind', 'put', 'collection', 'whole', 'id', 'w', 'fields', '{"a": 9, "c": 9}'::jsonb, 'base', :base)),
	push('m-xena', 'good', 2, jsonb_build_object('kind', 'patch', 'collection', 'whole', 'id', 'w', 'fields', '{"a": 3}'::jsonb, 'clock', '2026-01-01T00:00:00Z', 'base', :base));
SELECT field, present, value, action, reason FROM mirusync.undo('m-xena', 'bad', in_collection => 'whole');
SELECT mirusync.get('m-xena', 'whole', 'w');
-- Documents, whose fields come and go; and renamed, dropped and detached.
SELECT mirusync.put('m-xena', 'whole', 'd', '{"a": 1, "b": null}');
SELECT head AS base FROM mirusync.feed WHERE feed = 'm-xena' \gset
SELECT push('m-xena', 'bad', 3, jsonb_build_object('kind', 'put', 'collection', 'whole', 'id', 'd', 'fields', '{"b": 2, "c": [1]}'::jsonb, 'base', :base));
SELECT field, present, value, action FROM mirusync.undo('m-xena', 'bad', from_seq => :base + 1);
SELECT mirusync.get('m-xena', 'whole', 'd');
CREATE TABLE odd (id uuid PRIMARY KEY, owner text NOT NULL, a text, b text, c text);
SELECT mirusync.attach('odd', feed => 'owner');
INSERT INTO odd VALUES ('00000000-0000-0000-0000-000000000001', 'm-yara', 'a', 'b', 'c');
SELECT push('m-yara', 'bad', 1, '{"kind": "patch", "collection": "odd", "id": "00000000-0000-0000-0000-000000000001", "fields": {"a": "1", "b": "1", "c": "1"}, "base": 1}');
ALTER TABLE odd DROP COLUMN a;
ALTER TABLE odd RENAME b TO bb;
SELECT field, value, action, reason, words FROM told('m-yara', 'bad');
SELECT field, action FROM mirusync.undo('m-yara', 'bad');
SELECT mirusync.detach('odd');
SELECT field, action, reason, words FROM told('m-yara', 'bad');
SELECT field, action, reason FROM mirusync.undo('m-yara', 'bad');
DROP TABLE odd;

-- Records that need each other: by a cascade, and deleted one by one.
CREATE TABLE project (id int PRIMARY KEY, owner text NOT NULL, name text);
CREATE TABLE job (id int PRIMARY KEY, owner text NOT NULL, project int REFERENCES project ON DELETE CASCADE, name text);
SELECT mirusync.attach('project', feed => 'owner'), mirusync.attach('job', feed => 'owner');
INSERT INTO project SELECT i, 'm-zack', 'p' || i FROM generate_series(1, 2) i;
INSERT INTO job SELECT i * 10 + j, 'm-zack', i, 'j' || j FROM generate_series(1, 2) i, generate_series(1, 3) j;
SELECT push('m-zack', 'bad', 1, '{"kind": "delete", "collection": "project", "id": "1", "base": 8}');
SELECT push('m-zack', 'bad', 1 + j, jsonb_build_object('kind', 'delete', 'collection', 'job', 'id', '2' || j, 'base', 12)) FROM generate_series(1, 3) j;
SELECT push('m-zack', 'bad', 5, '{"kind": "delete", "collection": "project", "id": "2", "base": 15}');
SELECT push('m-zack', 'bad', 6, '{"kind": "put", "collection": "project", "id": "3", "fields": {"name": "p3"}, "base": 16}'),
	push('m-zack', 'bad', 7, '{"kind": "put", "collection": "job", "id": "31", "fields": {"name": "j1", "project": 3}, "base": 17}'),
	push('m-zack', 'bad', 8, '{"kind": "put", "collection": "project", "id": "4", "fields": {"name": "p4"}, "base": 18}');
SELECT seq, kind, collection, id FROM mirusync.change_log WHERE feed = 'm-zack' AND device = 'bad' ORDER BY seq;
-- What the table refuses is told, and does not hold up the rest.
ALTER TABLE project ADD CHECK (name <> 'p2') NOT VALID;
SELECT collection, id, action, reason, words FROM mirusync.undo('m-zack', 'bad');
ALTER TABLE project DROP CONSTRAINT project_name_check;
SELECT collection, id, action, reason FROM mirusync.undo('m-zack', 'bad') WHERE action <> 'keep';
SELECT p.id, p.name, string_agg(j.name, ' ' ORDER BY j.id) FROM project p LEFT JOIN job j ON j.project = p.id GROUP BY 1 ORDER BY 1;

-- Restoring: what the table makes itself, another life, what is not there any more.
CREATE TABLE made (nr bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL, a text, twice text GENERATED ALWAYS AS (a || a) STORED, gone text, tab int)
	PARTITION BY RANGE (nr);
CREATE TABLE made_1 PARTITION OF made FOR VALUES FROM (0) TO (3);
CREATE TABLE made_2 PARTITION OF made FOR VALUES FROM (3) TO (100);
SELECT mirusync.attach('made', feed => 'owner');
INSERT INTO made (owner, a, gone) SELECT 'm-abel', 'a' || i, 'g' FROM generate_series(1, 3) i;
DELETE FROM made WHERE nr IN (1, 3);
ALTER TABLE made DROP COLUMN gone;
ALTER TABLE made ADD COLUMN later text DEFAULT 'later';
SELECT mirusync.restore('m-abel', 'made', '1'), mirusync.restore('m-abel', 'made', '3', seq => 3);
SELECT tableoid::regclass, * FROM made ORDER BY nr;
UPDATE made SET a = 'second life' WHERE nr = 1;
SELECT mirusync.restore('m-abel', 'made', '1');
SELECT mirusync.restore('m-abel', 'made', '1', seq => 3);
DELETE FROM made WHERE nr = 1;
SELECT mirusync.restore('m-abel', 'made', '1', fields => '{a}', at => clock_timestamp());
SELECT mirusync.restore('m-abel', 'made', '1', fields => '{a}', seq => 7);
SELECT a FROM made WHERE nr = 1;
SELECT mirusync.restore('m-abel', 'made', '2', seq => 2, fields => '{gone}');
SELECT mirusync.restore('m-abel', 'made', '2', seq => 2, fields => '{twice}');
-- The row has moved to another feed.
UPDATE made SET owner = 'm-cain' WHERE nr = 2;
SELECT mirusync.restore('m-abel', 'made', '2');
-- Documents: whole, and some fields, of which one was not there.
SELECT mirusync.put('m-abel', 'whole', 'd', '{"a": 1, "b": null}');
SELECT head AS base FROM mirusync.feed WHERE feed = 'm-abel' \gset
SELECT mirusync.put('m-abel', 'whole', 'd', '{"a": 2, "c": 3, "d": 4}');
BEGIN;
SELECT mirusync.restore('m-abel', 'whole', 'd', seq => :base, fields => '{a,c,nothing}') - :base AS changes;
SELECT mirusync.get('m-abel', 'whole', 'd');
SELECT mirusync.restore('m-abel', 'whole', 'd', seq => :base) - :base AS changes;
SELECT mirusync.get('m-abel', 'whole', 'd');
ROLLBACK;
SELECT mirusync.delete('m-abel', 'whole', 'd');
SELECT mirusync.restore('m-abel', 'whole', 'd') - :base AS changes;
SELECT mirusync.get('m-abel', 'whole', 'd');
-- In one transaction with what it undoes, since it is numbered first.
BEGIN;
UPDATE made SET a = 'oops' WHERE nr = 3;
SELECT mirusync.restore('m-abel', 'made', '3', seq => 7);
COMMIT;
SELECT a FROM made WHERE nr = 3;
-- A device that has not seen it meets it by the rule: what it does not write stays.
SELECT head AS base FROM mirusync.feed WHERE feed = 'm-abel' \gset
SELECT push('m-abel', 'late', 1, '{"kind": "patch", "collection": "made", "id": "3", "fields": {"tab": 4}, "base": 3}');
SELECT a, tab FROM made WHERE nr = 3;

-- A losing value comes back, also where it was decided already.
INSERT INTO thing VALUES (41, 'm-bela', 'n');
SELECT push('m-bela', 'a', 1, patch('41', '{"name": "stored"}', 1)), push('m-bela', 'b', 1, patch('41', '{"name": "incoming"}', 1));
SELECT id AS conflict, outcome FROM mirusync.conflicts WHERE feed = 'm-bela' \gset
SELECT mirusync.resolve('m-bela', :conflict, value => '"decided"');
\set VERBOSITY terse
SELECT mirusync.resolve('m-bela', :conflict, choose => 'stored');
SELECT mirusync.restore('m-bela', :conflict);
SELECT name, resolution FROM thing t, mirusync.conflicts c WHERE t.id = 41 AND c.feed = 'm-bela' AND c.id = :conflict;
SELECT mirusync.restore('m-bela', :conflict, 'incoming');
SELECT name, resolution FROM thing t, mirusync.conflicts c WHERE t.id = 41 AND c.feed = 'm-bela' AND c.id = :conflict;
SELECT mirusync.restore('m-bela', :conflict, 'neither');
SELECT mirusync.restore('m-bela', 0);
SELECT mirusync.restore('nobody', :conflict);
SELECT mirusync.restore(NULL, 1::bigint);

-- Who may: the rights of the caller decide about the table, and no others are asked.
CREATE ROLE regress_mirusync_mender;
GRANT EXECUTE ON FUNCTION mirusync.restore(text, text, text, bigint, text[], timestamptz), mirusync.restore(text, bigint, text),
	mirusync.undo(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) TO regress_mirusync_mender;
GRANT USAGE ON SCHEMA mirusync TO regress_mirusync_mender;
INSERT INTO thing VALUES (51, 'm-cora', 'n');
SELECT push('m-cora', 'bad', 1, patch('51', '{"name": "x"}', 1));
SET ROLE regress_mirusync_mender;
SELECT mirusync.restore('m-cora', 'thing', '51', 1);
SELECT action, reason, words FROM mirusync.undo('m-cora', 'bad');
SELECT * FROM mirusync.undo_preview('m-cora', 'bad');
RESET ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON thing TO regress_mirusync_mender;
ALTER TABLE thing ENABLE ROW LEVEL SECURITY;
CREATE POLICY short ON thing TO regress_mirusync_mender USING (true) WITH CHECK (name <> 'n');
SET ROLE regress_mirusync_mender;
SELECT mirusync.restore('m-cora', 'thing', '51', 1);
SELECT action, reason, words FROM mirusync.undo('m-cora', 'bad');
RESET ROLE;
DROP POLICY short ON thing;
CREATE POLICY any_name ON thing TO regress_mirusync_mender USING (true);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.first := 'by ' || current_user; RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION shout();
SET ROLE regress_mirusync_mender;
SELECT action, reason, words FROM mirusync.undo('m-cora', 'bad');
RESET ROLE;
SELECT name, first FROM thing WHERE id = 51;
DROP TRIGGER shout ON thing;
ALTER TABLE thing DISABLE ROW LEVEL SECURITY;
-- An auditor sees what would be done, and does not do it.
SELECT mirusync.grant_auditor('regress_mirusync_mender');
REVOKE EXECUTE ON FUNCTION mirusync.restore(text, text, text, bigint, text[], timestamptz), mirusync.restore(text, bigint, text),
	mirusync.undo(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) FROM regress_mirusync_mender;
SET ROLE regress_mirusync_mender;
SELECT count(*) > 0 AS sees FROM mirusync.undo_preview('una', 'phone');
SELECT count(*) > 0 AS history, (SELECT count(*) > 0 FROM mirusync.blame('una', 'post', '1')) AS blame,
	mirusync.as_of('una', 'post', '1', clock_timestamp()) IS NOT NULL AS as_of, (SELECT count(*) > 0 FROM mirusync.feed_as_of('una', clock_timestamp())) AS feed_as_of,
	(SELECT count(*) > 0 FROM mirusync.explain('una', 7)) AS explain, (SELECT count(*) > 0 FROM mirusync.devices) AS devices,
	(SELECT count(*) > 0 FROM mirusync.feeds WHERE feed = 'una') AS feeds, (SELECT count(*) > 0 FROM mirusync.stats) AS stats
	FROM mirusync.history('una', 'post', '1');
SELECT * FROM mirusync.undo('una', 'phone');
SELECT mirusync.restore('una', 'post', '1', 1);
SELECT mirusync.restore('una', 1);
RESET ROLE;
DROP OWNED BY regress_mirusync_mender;
DROP ROLE regress_mirusync_mender;

-- Other ways to say what: a session, a user, times; and in a feed by two users.
SELECT count(mirusync.put('m-dora', 'whole', k, '{"a": 0}')) FROM unnest('{k1,k2,k3}'::text[]) k;
SELECT clock_timestamp() AS first \gset
SELECT count(*) > 0 AS pushed FROM mirusync.push_many('{m-dora}', '{p}', '{s1}', '{native}',
	'{"{\"changes\": [{\"number\": 1, \"kind\": \"patch\", \"collection\": \"whole\", \"id\": \"k1\", \"fields\": {\"a\": 1}, \"base\": 3}]}"}');
SELECT count(*) > 0 AS pushed FROM mirusync.push_many('{m-dora}', '{p}', '{s2}', '{native}',
	'{"{\"changes\": [{\"number\": 2, \"kind\": \"patch\", \"collection\": \"whole\", \"id\": \"k2\", \"fields\": {\"a\": 1}, \"base\": 4}]}"}');
SELECT clock_timestamp() AS second \gset
SELECT push('m-dora', 'p', 3, '{"kind": "patch", "collection": "whole", "id": "k3", "fields": {"a": 1}, "base": 5}');
SELECT id FROM mirusync.undo_preview('m-dora', session => 's2');
SELECT id FROM mirusync.undo_preview('m-dora', user_id => 'm-dora');
SELECT id FROM mirusync.undo_preview('m-dora', user_id => 'nobody');
SELECT id FROM mirusync.undo_preview('m-dora', 'p', since => :'first', until => :'second');
SELECT id FROM mirusync.undo_preview('m-dora', 'p', since => :'second');
SELECT id FROM mirusync.undo_preview('m-dora', 'p', since => (timestamptz :'second' AT TIME ZONE 'Pacific/Chatham') AT TIME ZONE 'Pacific/Chatham');
SELECT id FROM mirusync.undo_preview('m-dora', 'p', until => '2001-01-01 00:00:00 Antarctica/Troll');
SELECT id FROM mirusync.undo_preview('m-dora', 'P');
SELECT id FROM mirusync.undo_preview('m-dora', 'p', in_collection => 'thing');

-- History that was trimmed: nothing is done, and it says from where on it can be.
SELECT mirusync.set_retention('whole', history_count => 1);
CALL mirusync.trim('m-dora');
\set VERBOSITY default
SELECT id FROM mirusync.undo_preview('m-dora', 'p');
SELECT id FROM mirusync.undo('m-dora', 'p');
SELECT id FROM mirusync.undo('m-dora', 'p', from_seq => 6);
SELECT mirusync.get('m-dora', 'whole', 'k2'), mirusync.get('m-dora', 'whole', 'k3');
SELECT id FROM mirusync.undo('m-dora', 'p', in_collection => 'thing');
SELECT mirusync.restore('m-dora', 'whole', 'k2', seq => 2);
SELECT mirusync.set_retention('whole');

-- Errors.
\set VERBOSITY sqlstate
SELECT mirusync.restore(NULL, 'thing', '1'), mirusync.restore('m-vera', NULL, '1');
SELECT mirusync.restore('m-vera', 'thing', NULL);
SELECT mirusync.restore('nobody', 'thing', '1', 1);
SELECT mirusync.restore('nobody', 'thing', '1000');
SELECT mirusync.restore('m-vera', 'nothing', '1');
SELECT mirusync.restore('m-vera', 'thing', '1000', 1);
SELECT mirusync.restore('m-vera', 'thing', 'no number');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, NULL, now());
SELECT mirusync.restore('m-vera', 'thing', '1', -1);
SELECT mirusync.restore('m-vera', 'thing', '1', 1000000);
SELECT mirusync.restore('m-vera', 'thing', '1', at => now() + interval '1 hour');
SELECT mirusync.restore('m-vera', 'thing', '1', at => 'infinity');
SELECT mirusync.restore('m-vera', 'thing', '1', at => '-infinity');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, '{}');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, '{NULL}');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, '{nothing}');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, '{id}');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, '{owner}');
SELECT mirusync.restore('m-vera', 'whole', repeat('x', 10240));
SELECT mirusync.restore(repeat('x', 10240), 'whole', 'x');
SELECT mirusync.restore('m-vera', repeat('x', 10240), 'x');
SELECT mirusync.restore('m-vera', 'whole', e'quo\'te"d\n\x01\t');
SELECT mirusync.restore('m-vera', 'thing', '1', 1, ARRAY[e'quo\'te"d\n', repeat('x', 10240)]);
SELECT * FROM mirusync.undo(NULL, 'bad');
SELECT * FROM mirusync.undo('m-vera');
SELECT * FROM mirusync.undo('nobody', 'bad');
SELECT * FROM mirusync.undo('m-vera', 'bad', 5, 4);
SELECT * FROM mirusync.undo('m-vera', 'bad', since => now(), until => now() - interval '1 s');
SELECT * FROM mirusync.undo('m-vera', 'bad', since => now() + interval '1 hour');
SELECT * FROM mirusync.undo('m-vera', 'bad', until => 'infinity');
SELECT * FROM mirusync.undo('m-vera', 'bad', in_collection => 'nothing');
SELECT * FROM mirusync.undo('m-vera', 'nobody');
SELECT * FROM mirusync.undo('m-vera', e'quo\'te"d\n\x01\t');
SELECT * FROM mirusync.undo('m-vera', repeat('x', 10240));
SELECT * FROM mirusync.undo('m-vera', 'bad', 1000000);
SELECT * FROM mirusync.undo('m-vera', 'bad', -5, -1);
SELECT * FROM mirusync.undo('m-vera', xid => '0');
BEGIN READ ONLY;
SELECT * FROM mirusync.undo('m-vera', 'bad');
ROLLBACK;
BEGIN READ ONLY;
SELECT mirusync.restore('m-vera', 'thing', '1', 1);
ROLLBACK;
SELECT mirusync.set_retention('thing', history_age => '170000000 years');
SELECT mirusync.set_retention('thing', tombstone_age => '-1 day');
\set VERBOSITY default

-- An application that calls itself by our name does no harm.
INSERT INTO post VALUES (61, 'm-edna', 'n', NULL, 0);
SELECT mirusync.push('m-edna', 'bad', '{"changes": [{"number": 1, "kind": "patch", "collection": "post", "id": "61", "add": {"likes": 5}, "base": 1}]}') #> '{verdicts,0,verdict}';
SET application_name = 'mirusync.undo {"device": ';
UPDATE post SET likes = likes + 1 WHERE id = 61;
RESET application_name;
SELECT field, value FROM mirusync.undo('m-edna', 'bad');

-- Many, with a list of changes that does not fit into memory.
SELECT mirusync.create_collection('crowd');
INSERT INTO mirusync.document (feed, collection, id, data) SELECT 'm-fred', 'crowd', i, '{"a": 0}' FROM generate_series(1, 500) i;
SELECT count(*) FROM (SELECT mirusync.push('m-fred', 'bad', jsonb_build_object('changes', (SELECT jsonb_agg(jsonb_build_object('number', b * 500 + i, 'kind', 'patch',
	'collection', 'crowd', 'id', (b * 500 + i)::text, 'fields', jsonb_build_object('a', 1), 'base', 500)) FROM generate_series(1, 500) i))) FROM generate_series(0, 0) b) p;
SET mirusync.note_memory = '64kB';
SELECT count(*), min(action), max(action) FROM mirusync.undo('m-fred', 'bad');
RESET mirusync.note_memory;
SELECT count(*) AS all_back FROM mirusync.document WHERE feed = 'm-fred' AND data = '{"a": 0}';

DELETE FROM mirusync.document WHERE feed LIKE 'm-%';
SELECT mirusync.detach('post'), mirusync.detach('thing'), mirusync.detach('project'), mirusync.detach('job'), mirusync.detach('made');
DROP TABLE post, thing, project, job, made;
DROP VIEW what;
DROP FUNCTION push(text, jsonb), push(text, text, int, jsonb), patch, told, shout;
SELECT setval('mirusync.conflict_id', :conflict_ids + 100) > 0 AS ids;
