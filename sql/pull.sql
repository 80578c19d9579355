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

DELETE FROM mirusync.document WHERE feed = 'otto';
DROP FUNCTION page;
