-- pull(): pages of a feed from one snapshot.
SET client_min_messages = warning;
SELECT mirusync.create_collection('pull_test');
CREATE FUNCTION page(page jsonb) RETURNS TABLE (after text, upto text,
	head text, complete text, ids text)
LANGUAGE sql AS $$
	SELECT page ->> 'after', page ->> 'upto', page ->> 'head',
		page ->> 'complete', (SELECT string_agg((c ->> 'seq') || ':'
			|| (c ->> 'kind') || ':' || (c ->> 'id'), ' ' ORDER BY ordinality)
		FROM jsonb_array_elements(page -> 'changes') WITH ORDINALITY c(c))
$$;

-- A feed that does not exist is an empty one.
SELECT * FROM page(mirusync.pull('otto', 'otto'));

SELECT mirusync.put('otto', 'pull_test', i::text, jsonb_build_object('n', i))
	FROM generate_series(1, 6) i;
SELECT mirusync.delete('otto', 'pull_test', '2');
SELECT mirusync.patch('otto', 'pull_test', '4', '{"n": 40}');

-- Each record once, by its latest change, tombstones included.
SELECT * FROM page(mirusync.pull('otto', 'otto'));
-- A full page goes up to its last record, the last one up to the head.
SELECT * FROM page(mirusync.pull('otto', 'otto', 0, 2));
SELECT * FROM page(mirusync.pull('otto', 'otto', 3, 2));
SELECT * FROM page(mirusync.pull('otto', 'otto', 7, 2));
SELECT * FROM page(mirusync.pull('otto', 'otto', 8, 2));
-- A cursor from another history: from the start, and said so.
SELECT p.*, j -> 'start_over' AS start_over
	FROM mirusync.pull('otto', 'otto', 9, 2) j, page(j) p;
SELECT mirusync.pull('otto', 'otto', 7) #> '{changes,0,fields}';

-- Nobody reads another's feed.
SELECT mirusync.pull('ben', 'otto');
SELECT mirusync.pull('otto', 'otto', -1);
SELECT mirusync.pull('otto', 'otto', 0, 0);

-- Rows and head are of one snapshot, the caller's: what the transaction has
-- not committed shows in neither.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM page(mirusync.pull('otto', 'otto', 7));
SELECT mirusync.put('otto', 'pull_test', '9', '{}');
SELECT * FROM page(mirusync.pull('otto', 'otto', 7));
ROLLBACK;

-- Times of a feed lead to cursors.
SELECT mirusync.seq_before('otto', '-infinity'), mirusync.seq_before('otto', 'infinity'),
	mirusync.seq_before('nobody', now());
SELECT mirusync.seq_before('otto', changed_at) = seq - 1 AS just_before
	FROM mirusync.record WHERE feed = 'otto' AND id = '2';

-- What the relay polls, and how it finds out whether it fits.
SELECT * FROM mirusync.heads('{otto,nobody}');
SELECT compatible, doorbell_shards, max_batches, length(doorbell_key)
	FROM mirusync.relay_hello('0.2.9');
SELECT compatible FROM mirusync.relay_hello('9.0.0');

-- The rows of a long page are found by a walk along the key, close to each
-- other or not; what it finds may be an older version.  Whatever the key, the
-- page has each record of the feed as its row stands, and no others.
CREATE SCHEMA pull_test;
CREATE TABLE pull_test.by_number (id bigint PRIMARY KEY, owner text NOT NULL, n int);
CREATE TABLE pull_test.by_uuid (id uuid PRIMARY KEY, owner text NOT NULL, n int);
CREATE TABLE pull_test.by_feed (owner text, id text, n int, PRIMARY KEY (owner, id));
CREATE TABLE pull_test.id_first (id text, owner text, n int, PRIMARY KEY (id, owner));
CREATE TABLE pull_test.by_amount (id numeric PRIMARY KEY, owner text NOT NULL, n int);
SELECT count(mirusync.attach(('pull_test.' || name)::regclass, feed => 'owner')) FROM
	unnest('{by_number,by_uuid,by_feed,id_first,by_amount}'::text[]) name;
CREATE PROCEDURE fill(shift int) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO pull_test.by_number SELECT i * 7919 % 100003 + shift, 'p' || i % 3, i FROM generate_series(1, 600) i;
	INSERT INTO pull_test.by_uuid SELECT md5(shift || 'u' || i)::uuid, 'p' || i % 3, i FROM generate_series(1, 300) i;
	INSERT INTO pull_test.by_feed SELECT 'p' || i % 3, md5(shift || 'f' || i), i FROM generate_series(1, 300) i;
	INSERT INTO pull_test.id_first SELECT md5(shift || 'i' || i), 'p' || i % 3, i FROM generate_series(1, 300) i;
	INSERT INTO pull_test.by_amount SELECT i + shift + 0.50, 'p' || i % 3, i FROM generate_series(1, 300) i;
END $$;
CREATE VIEW pull_test.stored AS
	SELECT 'by_number' AS collection, id::text, owner, to_jsonb(r) - 'owner' AS fields FROM pull_test.by_number r
	UNION ALL SELECT 'by_uuid', id::text, owner, to_jsonb(r) - 'owner' FROM pull_test.by_uuid r
	UNION ALL SELECT 'by_feed', id, owner, to_jsonb(r) - 'owner' FROM pull_test.by_feed r
	UNION ALL SELECT 'id_first', id, owner, to_jsonb(r) - 'owner' FROM pull_test.id_first r
	UNION ALL SELECT 'by_amount', id::text, owner, to_jsonb(r) - 'owner' FROM pull_test.by_amount r;
-- Records that are missing, too many or otherwise than stored, by page size.
CREATE FUNCTION pull_test.differ() RETURNS TABLE (size int, pulled bigint, differ bigint) LANGUAGE plpgsql AS $$
DECLARE page jsonb; upto bigint;
BEGIN
	FOREACH size IN ARRAY '{40,500,5000}'::int[] LOOP
		CREATE TEMP TABLE got (collection text, id text, fields jsonb, seq bigint);
		upto := 0;
		LOOP
			page := mirusync.pull('p1', 'p1', upto, size);
			upto := page ->> 'upto';
			INSERT INTO got SELECT c ->> 'collection', c ->> 'id', (c -> 'fields') - 'owner', (c ->> 'seq')::bigint
				FROM jsonb_array_elements(page -> 'changes') c WHERE c ->> 'kind' = 'put';
			EXIT WHEN (page ->> 'complete')::boolean;
		END LOOP;
		SELECT count(*), count(*) FILTER (WHERE g.fields IS DISTINCT FROM s.fields) INTO pulled, differ
			FROM got g FULL JOIN (SELECT * FROM pull_test.stored WHERE owner = 'p1') s USING (collection, id);
		DROP TABLE got;
		RETURN NEXT;
	END LOOP;
END $$;
CALL fill(0);
SELECT * FROM pull_test.differ();
-- Versions that are dead, moved and rolled back.
UPDATE pull_test.by_number SET n = n + 1000 WHERE id % 2 = 0;
UPDATE pull_test.by_uuid SET n = n + 1000;
UPDATE pull_test.by_feed SET n = n + 1000 WHERE n > 50;
UPDATE pull_test.by_feed SET n = n + 1000 WHERE n > 1100;
UPDATE pull_test.id_first SET n = n + 1000;
DELETE FROM pull_test.by_number WHERE id % 5 = 0;
DELETE FROM pull_test.by_uuid WHERE n % 4 = 0;
BEGIN;
UPDATE pull_test.by_number SET n = n + 5000;
DELETE FROM pull_test.by_feed;
ROLLBACK;
SELECT * FROM pull_test.differ();
CALL fill(1000000);
SELECT * FROM pull_test.differ();
VACUUM pull_test.by_number, pull_test.by_uuid, pull_test.by_feed;
CALL fill(2000000);
SELECT * FROM pull_test.differ();
-- Documents, many of which SQL wrote.
INSERT INTO mirusync.document (feed, collection, id, data)
	SELECT 'otto', 'pull_test', 'd' || i, jsonb_build_object('n', i) FROM generate_series(1, 700) i;
UPDATE mirusync.document SET data = data || '{"m": 1}' WHERE feed = 'otto' AND (data ->> 'n')::int % 3 = 0;
SELECT count(*), count(*) FILTER (WHERE c -> 'fields' IS DISTINCT FROM d.data) AS differ
	FROM jsonb_array_elements(mirusync.pull('otto', 'otto', 0, 5000) -> 'changes') c
	FULL JOIN (SELECT * FROM mirusync.document WHERE feed = 'otto') d ON d.id = c ->> 'id' WHERE c ->> 'kind' = 'put';
SET client_min_messages = error;
DROP VIEW pull_test.stored;
DROP SCHEMA pull_test CASCADE;
DROP PROCEDURE fill;
DELETE FROM mirusync.record WHERE feed ~ '^p[012]$';
DELETE FROM mirusync.change_log WHERE feed ~ '^p[012]$';
SET client_min_messages = warning;

DELETE FROM mirusync.document WHERE feed = 'otto';
DROP FUNCTION page;
