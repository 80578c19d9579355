-- The audit: docs/audit.md, whose examples these are, then what it must refuse.
-- Times and transactions differ from run to run; the page leaves them out too.
SELECT mirusync.create_collection('note');
-- Ids of conflicts begin at 1 on the page.
SELECT last_value AS conflict_ids FROM mirusync.conflict_id \gset
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE TABLE task (
	id int PRIMARY KEY,
	owner text NOT NULL,
	title text,
	assignee text,
	score int,
	price numeric(10, 2)
);
SELECT mirusync.attach('task', feed => 'owner');
SELECT mirusync.set_rule('task', 'assignee', 'first_wins');
SELECT mirusync.set_rule('task', 'score', 'max');
CREATE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('nora', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;
CREATE ROLE regress_mirusync_nightly;
GRANT SELECT, UPDATE ON task TO regress_mirusync_nightly;
-- xact_tables shows what this transaction has read of our tables, and how.
CREATE VIEW xact_tables AS
	SELECT sum(seq_scan) AS scans, sum(idx_tup_fetch) AS by_index
	FROM pg_stat_xact_user_tables WHERE schemaname = 'mirusync'
		AND relname IN ('change_log', 'record', 'conflict');

SELECT push('phone', '{"number": 1, "kind": "put", "collection": "task", "id": "1",
	"fields": {"title": "Tea", "score": 5}, "clock": "2026-01-01T09:00:00Z"}');
SELECT clock_timestamp() AS then \gset
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "task", "id": "1",
	"fields": {"title": "Green tea", "assignee": "Tom"}, "clock": "2026-01-01T09:10:00Z", "base": 1}');
SELECT push('phone', '{"number": 2, "kind": "patch", "collection": "task", "id": "1",
	"fields": {"title": "Black tea", "assignee": "Nora", "score": 7},
	"clock": "2026-01-01T09:20:00Z", "base": 1}');
SELECT clock_timestamp() AS later \gset
SET SESSION AUTHORIZATION regress_mirusync_nightly;
SET application_name = 'nightly';
UPDATE task SET price = 4 WHERE id = 1;
RESET application_name;
RESET SESSION AUTHORIZATION;

SELECT seq, kind, origin, device, application, number, base, verdict, conflicts
FROM mirusync.history('nora', 'task', '1');
SELECT h.seq, c.key AS field, c.value -> 'from' AS from, c.value -> 'to' AS to,
	coalesce(h.field_rules ->> c.key, h.rule) AS rule
FROM mirusync.history('nora', 'task', '1') h, jsonb_each(h.changes) c
WHERE h.seq = 3;
SELECT xid IS NOT NULL AS xid, at <= now() AS at, CASE origin WHEN 'sql' THEN role END AS role, user_id, clock::timestamptz <= now() AS clock
FROM mirusync.history('nora', 'task', '1') WHERE seq >= 3;

SELECT field, value, former, seq, origin, device, application, rule
FROM mirusync.blame('nora', 'task', '1');

SELECT mirusync.as_of('nora', 'task', '1', :'then');
SELECT mirusync.as_of('nora', 'task', '1', :'later');
SELECT mirusync.as_of('nora', 'task', '1', '2026-01-01') IS NULL AS not_there;
SELECT mirusync.as_of('nora', 'task', '1', clock_timestamp()) = mirusync.stored('nora', 'task', '1') AS as_it_stands;

SELECT field, outcome, value, other, reason, words FROM mirusync.explain('nora', 3);
SELECT facts FROM mirusync.explain('nora', 3) WHERE field = 'assignee';
SELECT field, words FROM mirusync.explain('nora', 4);
SELECT count(*), min(reason) FROM mirusync.explain('nora', 1);

SELECT jsonb_pretty(mirusync.explain_push('nora', 'tablet', '{"kind": "patch",
	"collection": "task", "id": "1", "fields": {"score": 6, "price": 2}, "base": 3,
	"clock": "2026-01-01T10:00:00Z"}') - 'conflicts');

-- A dry run leaves nothing, whatever the verdict: each table is as it was.
CREATE FUNCTION content() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t regclass;
	one text;
	everything text := '';
BEGIN
	FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND (relnamespace = 'mirusync'::regnamespace OR oid = 'task'::regclass)
		ORDER BY oid
	LOOP
		EXECUTE format('SELECT %L || coalesce(string_agg(x::text, e''\n'' ORDER BY x::text), '''') FROM %s x', t, t) INTO one;
		everything := everything || one;
	END LOOP;
	RETURN md5(everything);
END $$;
ALTER TABLE task ADD CHECK (score < 100);
SELECT content() AS before \gset
SELECT mirusync.explain_push('nora', device, change) #>> '{verdict,verdict}' AS verdict, mirusync.explain_push('nora', device, change) #>> '{verdict,code}' AS code
FROM (VALUES ('tablet', '{"kind": "put", "collection": "task", "id": "2", "fields": {"title": "New"}}'::jsonb),
	('new', '{"kind": "put", "collection": "note", "id": "2", "fields": {"title": null}}'),
	('tablet', '{"kind": "delete", "collection": "task", "id": "1", "base": 4}'),
	('tablet', '{"kind": "patch", "collection": "task", "id": "1", "fields": {"assignee": "Eve"}, "base": 0}'),
	('tablet', '{"kind": "patch", "collection": "task", "id": "1", "fields": {"title": "Older"}, "clock": "2026-01-01T09:01:00Z"}'),
	('tablet', '{"kind": "patch", "collection": "task", "id": "1", "fields": {"score": 100}}'),
	('phone', '{"number": 1, "kind": "patch", "collection": "task", "id": "1", "fields": {"score": 9}}'),
	('tablet', '{"kind": "patch", "collection": "nothing", "id": "1", "fields": {}}')) AS c(device, change);
SELECT content() = :'before' AS unchanged;
SELECT mirusync.explain_push('nora', 'tablet', '{"kind": "put", "collection": "note", "id": "2", "fields": {"title": null}}') -> 'record' AS with_null;
-- In a transaction that goes on, what follows is numbered as if nothing had been.
BEGIN;
SELECT mirusync.explain_push('nora', 'tablet', '{"kind": "patch", "collection": "task", "id": "1", "fields": {"title": "Maybe"}}') #> '{verdict,seq}' AS seq;
UPDATE task SET title = 'Mint tea' WHERE id = 1;
COMMIT;
SELECT seq, kind, changes FROM mirusync.history('nora', 'task', '1') ORDER BY seq DESC LIMIT 1;

-- Deleted, and back: who deleted it, and what it was.
DELETE FROM task WHERE id = 1;
SELECT clock_timestamp() AS deleted \gset
SELECT field, value, former ->> 'title' AS former, seq, origin FROM mirusync.blame('nora', 'task', '1');
SELECT mirusync.as_of('nora', 'task', '1', :'deleted') IS NULL AS not_there;
SELECT mirusync.as_of('nora', 'task', '1', :'later');
SELECT outcome, other ->> 'title' AS other, words LIKE 'SQL by role % wrote it, which asks no rule' AS words FROM mirusync.explain('nora', 6);
SELECT push('phone', '{"number": 3, "kind": "patch", "collection": "task", "id": "1", "fields": {"title": "Again"}, "base": 5}') -> 'verdict';
SELECT field, reason, words FROM mirusync.explain('nora', 7) WHERE field IN ('title', 'score');
SELECT mirusync.put('nora', 'note', 'n', '{"a": 1, "b": null}');
SELECT clock_timestamp() AS with_note \gset
SELECT mirusync.patch('nora', 'note', 'n', '{"c": 3}', '{b}');
SELECT collection, id, fields FROM mirusync.feed_as_of('nora', :'later');
SELECT collection, id, fields FROM mirusync.feed_as_of('nora', :'with_note');
SELECT count(*) AS none FROM mirusync.feed_as_of('nora', '2026-01-01');

-- At any number the record is what a replica had that applied each change.
CREATE FUNCTION replica(upto bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	l record;
	it jsonb;
BEGIN
	FOR l IN SELECT * FROM mirusync.change_log c WHERE c.feed = 'rob' AND c.id = '1' AND c.seq <= upto ORDER BY c.seq LOOP
		it := CASE l.kind WHEN 'put' THEN l.new WHEN 'patch' THEN
			(SELECT jsonb_object_agg(k, v) FROM jsonb_each(it || l.new) e(k, v)
				WHERE l.new ? k OR NOT l.old ? k) END;
	END LOOP;
	RETURN it;
END $$;
SELECT setseed(0.5);
DO $$
BEGIN
	FOR i IN 1 .. 120 LOOP
		CASE (random() * 6)::int
			WHEN 0 THEN PERFORM mirusync.delete('rob', 'note', '1');
			WHEN 1 THEN PERFORM mirusync.put('rob', 'note', '1', jsonb_build_object('x', i, 'k' || i % 4, i));
			WHEN 2 THEN PERFORM mirusync.patch('rob', 'note', '1', '{}', ARRAY['k' || i % 4]);
			ELSE PERFORM mirusync.patch('rob', 'note', '1', jsonb_build_object('k' || i % 4, i));
		END CASE;
		SET CONSTRAINTS ALL IMMEDIATE;
		COMMIT;
	END LOOP;
END $$;
SELECT head > 60 AS enough, (SELECT count(*) FROM generate_series(0, head) s
	WHERE mirusync.record_at('rob', 'note', '1', s) IS DISTINCT FROM replica(s)) AS otherwise
FROM mirusync.feed WHERE feed = 'rob';
-- The other way round, from the change that made it, comes to the same.
SELECT (SELECT count(*) FROM generate_series(1, head) s
	WHERE mirusync.record_made_again('rob', 'note', '1', s, NULL) IS DISTINCT FROM replica(s)) AS otherwise
FROM mirusync.feed WHERE feed = 'rob';

-- A detached table does not stand any more; its history does.
SELECT mirusync.as_of('nora', 'task', '1', clock_timestamp()) AS before_detach;
SELECT mirusync.detach('task');
SELECT mirusync.as_of('nora', 'task', '1', clock_timestamp()) AS after_detach;
SELECT mirusync.as_of('nora', 'task', '1', :'later');
SELECT count(*) AS changes FROM mirusync.history('nora', 'task', '1');
SELECT count(*) AS fields FROM mirusync.blame('nora', 'task', '1');

-- All of it is read by index, and no more of it than the record has.
INSERT INTO mirusync.document SELECT 'quill' || i % 20, 'note', 'q' || i, jsonb_build_object('i', i) FROM generate_series(1, 6000) i;
INSERT INTO mirusync.conflict (feed, id, collection, record, rule, outcome, stored_clock, incoming_clock, incoming_seq, user_id, at)
	SELECT 'quill1', i, 'note', '1', 'lww', 'stored', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 10000 + i, 'quill1', now() FROM generate_series(1000, 4000) i;
ANALYZE mirusync.change_log, mirusync.record, mirusync.conflict, mirusync.feed;
CREATE FUNCTION reads(statement text, most int DEFAULT 100) RETURNS TABLE (scans numeric, few boolean) LANGUAGE plpgsql AS $$
DECLARE
	a record;
	b record;
BEGIN
	SELECT * INTO a FROM xact_tables;
	EXECUTE statement;
	SELECT * INTO b FROM xact_tables;
	RETURN QUERY SELECT b.scans - a.scans, b.by_index - a.by_index < most;
END $$;
SET plan_cache_mode = force_custom_plan;
SELECT * FROM reads($$SELECT * FROM mirusync.history('quill1', 'note', 'q21')$$);
SELECT * FROM reads($$SELECT * FROM mirusync.blame('quill1', 'note', 'q21')$$);
SELECT * FROM reads($$SELECT mirusync.as_of('quill1', 'note', 'q21', now())$$);
SELECT * FROM reads($$SELECT * FROM mirusync.explain('quill1', 2)$$);
SELECT * FROM reads($$SELECT mirusync.record_at('quill1', 'note', 'q21', 5)$$);
SELECT * FROM reads($$SELECT mirusync.seq_at('quill1', now())$$);
-- Of a feed no more than it has: here 300 records, each with a change.
SELECT * FROM reads($$SELECT count(*) FROM mirusync.feed_as_of('quill1', now() - interval '1 day')$$, 5000);
SELECT mirusync.set_retention('note', '1 day', 100, '1 day', 100);
SELECT * FROM reads($$SELECT * FROM mirusync.trim_bounds('quill1', '1 day')$$, 3000);
SELECT mirusync.set_retention('note');
SELECT mirusync.push('quill1', 'd', '{"changes": [{"number": 1, "kind": "patch", "collection": "note", "id": "q21", "fields": {"i": 0}}]}') #> '{verdicts,0,verdict}' AS verdict;
SELECT * FROM reads($$SELECT * FROM mirusync.undo_preview('quill1', 'd', from_seq => 290)$$, 200);
RESET plan_cache_mode;
EXPLAIN (COSTS OFF) SELECT * FROM mirusync.change_log WHERE feed = 'quill1' AND collection = 'note' AND id = 'q21';

\set VERBOSITY terse
-- Errors.  What is not there has no history; what was trimmed is said to be.
SELECT count(*) FROM mirusync.history('nobody', 'task', '1');
SELECT count(*) FROM mirusync.history('nora', 'nothing', '1');
SELECT count(*) FROM mirusync.history('nora', 'task', '99');
SELECT count(*) FROM mirusync.history(NULL, 'task', '1');
SELECT count(*) FROM mirusync.blame('nora', 'note', 'none');
SELECT count(*) FROM mirusync.explain('nora', 99999);
SELECT count(*) FROM mirusync.explain('nora', -1);
SELECT mirusync.as_of('nobody', 'task', '1', now());
SELECT mirusync.as_of(e'no"\u0001body', 'task', '1', now());
SELECT mirusync.as_of('nora', 'note', e'''; \\ "\u0001', clock_timestamp());
SELECT mirusync.as_of('nora', 'note', repeat('x', 10240), clock_timestamp());
SELECT mirusync.as_of('nora', 'note', 'n', 'infinity');
SELECT mirusync.as_of('nora', 'note', 'n', now() + interval '1 day');
SELECT mirusync.as_of('nora', 'note', 'n', '-infinity') IS NULL AS nothing;
SELECT mirusync.as_of('nora', 'note', 'n', (:'with_note'::timestamptz AT TIME ZONE 'Asia/Kathmandu') AT TIME ZONE 'Asia/Kathmandu');
SELECT mirusync.as_of('nora', 'note', 'n', NULL) IS NULL AS nothing;
SELECT count(*) FROM mirusync.feed_as_of('nobody', now());
SELECT count(*) FROM mirusync.feed_as_of('nora', now() + interval '1 day');
SELECT mirusync.explain_push('nora', 'tablet', '[]');
SELECT mirusync.explain_push('nora', 'tablet', '{}') #> '{verdict,code}';
SELECT mirusync.explain_push('', 'tablet', '{}');
SELECT mirusync.explain_push(NULL, 'tablet', '{}') IS NULL AS nothing;
BEGIN READ ONLY;
SELECT mirusync.explain_push('nora', 'tablet', '{"kind": "patch", "collection": "note", "id": "n", "fields": {"a": 2}}');
ROLLBACK;
-- Somebody has deleted history by hand.
BEGIN;
DELETE FROM mirusync.change_log WHERE feed = 'rob' AND seq <= 30;
SAVEPOINT s;
SELECT mirusync.record_at('rob', 'note', '1', 10);
ROLLBACK TO s;
SELECT count(*) AS still FROM generate_series(30, 60) s WHERE mirusync.record_at('rob', 'note', '1', s) IS NOT NULL;
ROLLBACK;

-- A single one in the middle: what is known without it is told.
SELECT mirusync.put('rob', 'note', 'r', '{"n": 1}');
SELECT mirusync.patch('rob', 'note', 'r', '{"n": 2}');
SELECT mirusync.patch('rob', 'note', 'r', '{"m": 1}');
SELECT mirusync.patch('rob', 'note', 'r', '{"n": 3}');
SELECT head - 3 AS first FROM mirusync.feed WHERE feed = 'rob' \gset
BEGIN;
DELETE FROM mirusync.change_log WHERE feed = 'rob' AND seq = :first + 2;
SELECT mirusync.record_at('rob', 'note', 'r', :first) AS one, mirusync.record_at('rob', 'note', 'r', :first + 1) AS two;
ROLLBACK;

-- Who wrote a set is who wrote an element of it last.
CREATE TABLE shelf (id int PRIMARY KEY, owner text NOT NULL, tags text[]);
SELECT mirusync.attach('shelf', feed => 'owner');
SELECT mirusync.set_rule('shelf', 'tags', 'set');
SELECT mirusync.push('sal', 'phone', '{"changes": [{"number": 1, "kind": "put", "collection": "shelf", "id": "1", "fields": {"tags": ["a"]}}]}') ->> 'verdicts' IS NOT NULL AS pushed;
SELECT mirusync.push('sal', 'tablet', '{"changes": [{"number": 1, "kind": "patch", "collection": "shelf", "id": "1", "add": {"tags": ["b"]}, "base": 1}]}') ->> 'verdicts' IS NOT NULL AS pushed;
SELECT field, value, former, seq, device FROM mirusync.blame('sal', 'shelf', '1') WHERE field = 'tags';
SELECT mirusync.push('sal', 'phone', '{"changes": [{"number": 2, "kind": "patch", "collection": "shelf", "id": "1", "remove": {"tags": ["b"]}, "base": 2}]}') ->> 'verdicts' IS NOT NULL AS pushed;
SELECT field, value, former, seq, device FROM mirusync.blame('sal', 'shelf', '1') WHERE field = 'tags';
SELECT * FROM mirusync.verify('sal');
DROP TABLE shelf;

DROP FUNCTION push, content, reads, replica;
DELETE FROM mirusync.conflict WHERE feed = 'quill1';
DELETE FROM mirusync.document WHERE collection = 'note' AND feed ~ '^(quill[0-9]+|nora|rob)$';
DROP VIEW xact_tables;
DROP TABLE task;
DROP ROLE regress_mirusync_nightly;
SELECT setval('mirusync.conflict_id', :conflict_ids + 100) > 0 AS ids;
