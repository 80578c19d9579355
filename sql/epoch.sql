-- Epochs: which cursors are good, after the history has become another one.

SELECT mirusync.create_collection('leaf');

-- The first epoch is number 0, and says which history it is.
SELECT number, identity = concat_ws('-', (SELECT system_identifier FROM pg_control_system()),
		(SELECT timeline_id FROM pg_control_checkpoint()),
		(SELECT oid FROM pg_database WHERE datname = current_database()),
		'mirusync.epoch'::regclass::oid) AS ours,
	began_at <= now() AS began
FROM mirusync.epoch;

CREATE FUNCTION page(after bigint, epoch int DEFAULT NULL, seen bigint DEFAULT NULL,
	max int DEFAULT 500)
RETURNS TABLE (head bigint, upto bigint, start_over boolean, ids jsonb)
LANGUAGE sql AS $$
	SELECT (p->'head')::bigint, (p->'upto')::bigint, p ? 'start_over',
		jsonb_path_query_array(p, '$.changes[*].id')
	FROM mirusync.pull('zadie', 'zadie', page.after, page.max, page.epoch, page.seen) p
$$;

SELECT mirusync.put('zadie', 'leaf', id, '{}') FROM unnest('{a,b,c}'::text[]) id;
SELECT epoch, head FROM mirusync.feed WHERE feed = 'zadie';
SELECT * FROM mirusync.feed_epoch WHERE feed = 'zadie';
SELECT mirusync.pull('zadie', 'zadie', 3) -> 'epoch';

-- Another begins.  What is in a feed is in the old one until it moves.
SELECT mirusync.new_epoch() AS e \gset
SELECT :e = floor(extract(epoch FROM now() - '2026-01-01Z') / 3600)
	OR :e = floor(extract(epoch FROM now() - '2026-01-01Z') / 3600) - 1 AS by_time;
SELECT number = :e, identity = (SELECT identity FROM mirusync.epoch WHERE number = 0)
FROM mirusync.epoch ORDER BY number DESC LIMIT 1;
SELECT * FROM mirusync.feed_epoch WHERE feed = 'zadie';
SELECT * FROM page(3, 0);
SELECT * FROM page(3, :e);
SELECT mirusync.put('zadie', 'leaf', 'd', '{}');
SELECT epoch = :e AS in_it, head FROM mirusync.feed WHERE feed = 'zadie';
SELECT epoch = :e AS in_it, epoch = 0 AS first, head FROM mirusync.feed_epoch
WHERE feed = 'zadie' ORDER BY epoch;
-- One more change of the same epoch notes nothing.
SELECT mirusync.put('zadie', 'leaf', 'e', '{}');
SELECT count(*) FROM mirusync.feed_epoch WHERE feed = 'zadie';
SELECT (mirusync.pull('zadie', 'zadie', 3) -> 'epoch')::int = :e;

-- A cursor of an epoch: good up to the head at the next one's beginning.
SELECT * FROM page(3, 0);
SELECT * FROM page(4, 0);
SELECT * FROM page(5, 0);
-- An epoch of a history that was lost is no other.
SELECT * FROM page(3, :e - 1);
SELECT * FROM page(4, :e - 1);
SELECT * FROM page(4, :e);
SELECT * FROM page(5, :e);
SELECT * FROM page(6, :e);
SELECT * FROM page(4, :e + 1);
SELECT * FROM page(0, :e + 1);
-- Negative is like the first.
SELECT * FROM page(4, -7);
-- Without an epoch only the head counts.
SELECT * FROM page(4);
SELECT * FROM page(5);
SELECT * FROM page(6);
-- A page that was not complete: what it saw counts.
SELECT * FROM page(1, 0, 3);
SELECT * FROM page(1, 0, 4);
SELECT * FROM page(1, :e, 5);
SELECT * FROM page(1, :e, 6);
-- A feed that does not exist.
SELECT mirusync.pull('nemo', 'nemo', 0, 500, 0), mirusync.pull('nemo', 'nemo', 1, 500, 0);
SELECT mirusync.pull('zadie', 'zadie', NULL, 500, 0) IS NULL;

-- A new feed begins in the new epoch.
SELECT mirusync.put('zofia', 'leaf', 'a', '{}');
SELECT epoch = :e, head FROM mirusync.feed_epoch WHERE feed = 'zofia';
SELECT mirusync.pull('zofia', 'zofia', 1, 500, 0) ? 'start_over' AS start_over;

-- A feed that misses an epoch, and the next but one.
SELECT mirusync.new_epoch() = :e + 1, mirusync.new_epoch() = :e + 2;
SELECT mirusync.put('zadie', 'leaf', 'f', '{}');
SELECT epoch - :e AS epoch, head FROM mirusync.feed_epoch
WHERE feed = 'zadie' AND epoch > 0 ORDER BY epoch;
SELECT * FROM page(5, :e);
SELECT * FROM page(6, :e);
SELECT * FROM page(5, :e + 1);
SELECT * FROM page(6, :e + 1);
SELECT * FROM page(4, 0);

-- The base of a pushed change of a lost history is unknown: nothing to be
-- concurrent with.
CREATE FUNCTION push(device text, number int, base bigint, epoch int, field text)
RETURNS TABLE (verdict text)
LANGUAGE sql AS $$
	SELECT v->>'verdict' FROM jsonb_array_elements(mirusync.push('zadie', push.device,
		jsonb_strip_nulls(jsonb_build_object('epoch', push.epoch,
			'changes', jsonb_build_array(jsonb_build_object(
				'number', push.number, 'kind', 'patch', 'collection', 'leaf',
				'id', 'base', 'fields', jsonb_build_object(push.field, 1),
				'base', push.base)))))->'verdicts') v
$$;
UPDATE mirusync.collection SET rule = 'lww_field' WHERE name = 'leaf';
SELECT push('one', 1, NULL, NULL, 'x'), head FROM mirusync.feed WHERE feed = 'zadie';
SELECT push('two', 1, 5, NULL, 'a'), push('two', 2, 5, :e, 'b'), push('two', 3, 6, :e, 'c'),
	push('two', 4, 6, :e + 2, 'd'), push('two', 5, 6, :e + 3, 'e');
SELECT mirusync.push('zadie', 'one', '{"epoch": "0", "changes": []}');
SELECT mirusync.push('zadie', 'one', '{"epoch": 4294967296, "changes": []}');

-- Packed, for events: the epoch that the feed is in, before every number.
INSERT INTO mirusync.event_collection (collection, payload, created_type, updated_type)
VALUES ('leaf', 'leaf', 'LEAF', 'LEAF');
INSERT INTO mirusync.event_type (type, collection, kind, payload)
VALUES ('LEAF', 'leaf', 'put', 'leaf');
CREATE FUNCTION unpack(cursor bigint, first int) RETURNS text
LANGUAGE sql AS $$
	SELECT CASE WHEN cursor >> 32 = 0 THEN '0' ELSE 'e+' || (cursor >> 32) - first END
		|| '/' || (cursor & 4294967295)
$$;
CREATE FUNCTION events(after bigint, first int, live boolean DEFAULT false,
	max int DEFAULT 500, seen bigint DEFAULT 0)
RETURNS TABLE (kind text, after text, seq text, head text, complete boolean,
	told text, id text)
LANGUAGE sql AS $$
	SELECT p.kind, unpack(p.after, first), unpack(p.seq, first), unpack(p.head, first),
		p.complete, unpack((p.body::jsonb->'seq')::bigint, first),
		p.body::jsonb #>> '{leaf,id}'
	FROM mirusync.pull_events('zelda', events.after, events.max, events.live, events.seen) p
$$;
CREATE FUNCTION send(leaf jsonb, first int)
RETURNS TABLE (kind text, status text, after text, seq text, told text, id text)
LANGUAGE sql AS $$
	SELECT p.kind, p.status, unpack(p.after, first), unpack(p.seq, first),
		unpack((p.body::jsonb->'seq')::bigint, first), p.body::jsonb #>> '{leaf,id}'
	FROM mirusync.push_many('{zelda}', '{s1}', '{s1}', '{event}', ARRAY[jsonb_build_object(
		'type', 'LEAF', 'timestamp', '2026-11-01T00:00:00Z', 'leaf', send.leaf)::text]) p
$$;
SELECT mirusync.new_epoch() AS e \gset
SELECT * FROM send('{"id": "a", "updatedAt": "2026-11-01T00:00:01Z"}', :e);
SELECT * FROM send('{"id": "b", "updatedAt": "2026-11-01T00:00:01Z"}', :e);
SELECT mirusync.new_epoch() = :e + 1;
-- Not newer: what stands, under the epoch that the feed is in.
SELECT * FROM send('{"id": "a", "updatedAt": "2026-11-01T00:00:00Z"}', :e);
SELECT * FROM send('{"id": "c", "updatedAt": "2026-11-01T00:00:01Z"}', :e);
SELECT * FROM send('{"id": "a", "updatedAt": "2026-11-01T00:00:00Z"}', :e);
SELECT unpack(head, :e) FROM mirusync.heads('{zelda,nemo}');
SELECT unpack(mirusync.seq_before('zelda', 'infinity'), :e), mirusync.seq_before('zelda', '-infinity');

-- From a cursor of the former epoch: the page begins there.
SELECT * FROM events((:e::bigint << 32) + 1, :e);
SELECT * FROM events((:e::bigint << 32) + 2, :e, true);
SELECT * FROM events((:e::bigint << 32) + 1, :e, false, 1);
-- It lies beyond the beginning of the next: everything, from 0.
SELECT * FROM events((:e::bigint << 32) + 3, :e);
SELECT * FROM events((:e::bigint << 32) + 3, :e, true);
SELECT * FROM events(3, :e, true, 1);
SELECT * FROM events((:e + 1::bigint << 32) + 3, :e);
SELECT * FROM events((:e + 2::bigint << 32) + 1, :e);
-- After a page that was not complete.
SELECT * FROM events((:e::bigint << 32) + 1, :e, false, 500, (:e::bigint << 32) + 2);
SELECT * FROM events((:e::bigint << 32) + 1, :e, false, 500, (:e::bigint << 32) + 3);
SELECT * FROM events(-1, :e);

-- The history becomes another one under the open session: a restored backup
-- has the rows of another system.
SELECT identity AS ours FROM mirusync.epoch WHERE number = :e + 1 \gset
UPDATE mirusync.epoch SET identity = 'another' WHERE number = :e + 1;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT number - :e AS number FROM mirusync.epoch ORDER BY number DESC LIMIT 1;
SELECT mirusync.put('zadie', 'leaf', 'g', '{}');
COMMIT;
SELECT mirusync.put('zadie', 'leaf', 'h', '{}');
SELECT number - :e AS number, identity = :'ours' AS ours
FROM mirusync.epoch ORDER BY number DESC LIMIT 1;
SELECT epoch - :e AS epoch, head FROM mirusync.feed WHERE feed = 'zadie';
-- What is rolled back was no epoch.
UPDATE mirusync.epoch SET identity = 'another' WHERE number = :e + 2;
BEGIN;
SAVEPOINT a;
SELECT mirusync.push('zadie', 'one', '{"changes": [
	{"number": 2, "kind": "put", "collection": "leaf", "id": "i", "fields": {}}]}')
	#> '{verdicts,0,verdict}';
SELECT number - :e AS number FROM mirusync.epoch ORDER BY number DESC LIMIT 1;
ROLLBACK TO a;
SELECT number - :e AS number FROM mirusync.epoch ORDER BY number DESC LIMIT 1;
COMMIT;
SELECT mirusync.put('zadie', 'leaf', 'i', '{}');
SELECT number - :e AS number, identity = :'ours' AS ours
FROM mirusync.epoch ORDER BY number DESC LIMIT 1;
-- The extension made again is another history, and this session notices.
BEGIN;
SET LOCAL client_min_messages = error;
DROP EXTENSION mirusync CASCADE;
CREATE EXTENSION mirusync;
SELECT mirusync.create_collection('leaf');
SELECT mirusync.push('zadie', 'one', '{"changes": [
	{"number": 2, "kind": "put", "collection": "leaf", "id": "i", "fields": {}}]}')
	#> '{verdicts,0}';
SELECT number, identity LIKE '%-' || 'mirusync.epoch'::regclass::oid AS ours FROM mirusync.epoch;
ROLLBACK;
SELECT mirusync.put('zadie', 'leaf', 'j', '{}');
SELECT number - :e AS number, identity LIKE '%-' || 'mirusync.epoch'::regclass::oid AS ours
FROM mirusync.epoch ORDER BY number DESC LIMIT 1;

-- Above what a feed has for itself, too.
UPDATE mirusync.feed SET epoch = :e + 10 WHERE feed = 'zofia';
SELECT mirusync.new_epoch() - :e AS number;

-- Numbers end where they can no longer be packed.
UPDATE mirusync.feed SET head = 4294967294 WHERE feed = 'zofia';
SELECT mirusync.put('zofia', 'leaf', 'b', '{}');
SELECT mirusync.put('zofia', 'leaf', 'c', '{}');
SELECT head FROM mirusync.feed WHERE feed = 'zofia';
BEGIN;
INSERT INTO mirusync.epoch VALUES (2097151, 'last', now());
SELECT mirusync.new_epoch();
ROLLBACK;

-- Not for everybody, and not in a transaction that only reads.
SET ROLE pg_read_all_data;
SELECT mirusync.new_epoch();
RESET ROLE;
BEGIN READ ONLY;
SELECT mirusync.new_epoch();
ROLLBACK;

-- As it was, for the tests that follow.
UPDATE mirusync.feed SET head = 100 WHERE feed = 'zofia';
DELETE FROM mirusync.event_collection WHERE collection = 'leaf';
DELETE FROM mirusync.document WHERE collection = 'leaf';
DELETE FROM mirusync.collection WHERE name = 'leaf';
DELETE FROM mirusync.record WHERE collection = 'leaf';
DELETE FROM mirusync.feed WHERE feed IN ('zadie', 'zofia', 'zelda');
DELETE FROM mirusync.feed_epoch WHERE epoch > 0 OR feed IN ('zadie', 'zofia', 'zelda');
DELETE FROM mirusync.epoch WHERE number > 0;
DROP FUNCTION page, push, unpack, events, send;
