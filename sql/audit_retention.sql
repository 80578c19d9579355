-- Retention: history and tombstones go, and no device ends up otherwise than
-- the database.
SET client_min_messages = warning;
SELECT mirusync.create_collection('memo', 'lww_field'), mirusync.create_collection('kept');
-- grow_old makes what is there a day older.
CREATE FUNCTION grow_old() RETURNS void LANGUAGE sql AS $$
	UPDATE mirusync.change_log SET at = at - interval '1 day' WHERE feed = 'perdita';
	UPDATE mirusync.record SET changed_at = changed_at - interval '1 day' WHERE feed = 'perdita';
$$;
CREATE VIEW left_over AS
	SELECT (SELECT string_agg(seq::text || CASE collection WHEN 'kept' THEN 'k' ELSE '' END, ' ' ORDER BY seq) FROM mirusync.change_log WHERE feed = 'perdita') AS changes,
		(SELECT string_agg(seq::text || CASE WHEN deleted THEN 'd' ELSE '' END, ' ' ORDER BY seq) FROM mirusync.record WHERE feed = 'perdita') AS records,
		(SELECT floor FROM mirusync.feed WHERE feed = 'perdita');
-- A device: what it has, and its cursor.  catch_up reads so many pages.
CREATE TABLE replica (device text, id text, fields jsonb, PRIMARY KEY (device, id));
CREATE TABLE place (device text PRIMARY KEY, cursor bigint, epoch int, seen bigint);
CREATE FUNCTION catch_up(who text, pages int = 100, size int = 2) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	p place;
	page jsonb;
	told text := '';
BEGIN
	INSERT INTO place VALUES (who, 0, NULL, NULL) ON CONFLICT DO NOTHING;
	FOR i IN 1 .. pages LOOP
		SELECT * INTO p FROM place WHERE device = who;
		page := mirusync.pull('perdita', 'perdita', p.cursor, size, p.epoch, p.seen);
		told := told || CASE WHEN page ? 'start_over' THEN 'over ' ELSE 'page ' END;
		IF page ? 'start_over' THEN
			DELETE FROM replica WHERE device = who;
		END IF;
		DELETE FROM replica r USING jsonb_array_elements(page -> 'changes') c WHERE r.device = who AND r.id = c ->> 'id';
		INSERT INTO replica SELECT who, c ->> 'id', c -> 'fields' FROM jsonb_array_elements(page -> 'changes') c WHERE c ->> 'kind' = 'put';
		UPDATE place SET cursor = (page ->> 'upto')::bigint, epoch = (page ->> 'epoch')::int,
			seen = CASE WHEN NOT (page ->> 'complete')::boolean THEN (page ->> 'head')::bigint END WHERE device = who;
		EXIT WHEN (page ->> 'complete')::boolean;
	END LOOP;
	RETURN told;
END $$;
CREATE VIEW otherwise AS
	SELECT p.device, coalesce(r.id, d.id) AS id FROM place p
		LEFT JOIN LATERAL (SELECT * FROM replica r WHERE r.device = p.device) r ON true
		FULL JOIN (SELECT p.device, d.id, d.data FROM place p, mirusync.document d WHERE d.feed = 'perdita') d
			ON d.device = p.device AND d.id = r.id
	WHERE r.fields IS DISTINCT FROM d.data;

SELECT count(mirusync.put('perdita', 'memo', 'm' || i, '{"n": 1}')) FROM generate_series(1, 6) i;
SELECT mirusync.put('perdita', 'kept', 'k', '{"n": 1}');
SELECT grow_old();
SELECT count(mirusync.patch('perdita', 'memo', 'm' || i, '{"n": 2}')) FROM generate_series(1, 3) i;
-- Without retention nothing goes.
CALL mirusync.trim('perdita');
TABLE left_over;

-- History by age: what is older than 12 hours, but not of another collection.
SELECT mirusync.set_retention('memo', history_age => '12 hours');
SELECT * FROM mirusync.trim_bounds('perdita', '30 days') WHERE collection = 'memo';
CALL mirusync.trim('perdita', batch_rows => 2);
TABLE left_over;
SELECT mirusync.record_at('perdita', 'memo', 'm1', 7);
SELECT mirusync.record_at('perdita', 'memo', 'm6', 7);
\set VERBOSITY terse
SELECT mirusync.record_at('perdita', 'memo', 'm1', 6) AS nothing_is_missing;
SELECT mirusync.record_at('perdita', 'memo', 'm1', 0);
SELECT mirusync.record_at('perdita', 'memo', 'm6', 1);
SELECT count(*) FROM mirusync.feed_as_of('perdita', now() - interval '6 hours');
\set VERBOSITY sqlstate
SELECT count(*) FROM mirusync.feed_as_of('perdita', now() - interval '3 days');
\set VERBOSITY default
-- By count; of another user's feed as well, since no feed is named.
SELECT mirusync.put('percy', 'memo', 'p', jsonb_build_object('n', i)) FROM generate_series(1, 1) i;
SELECT count(mirusync.patch('percy', 'memo', 'p', jsonb_build_object('x', i))) FROM generate_series(1, 1) i;
SELECT mirusync.set_retention('memo', history_count => 1);
CALL mirusync.trim();
TABLE left_over;
SELECT string_agg(seq::text, ' ') AS percy FROM mirusync.change_log WHERE feed = 'percy';

-- A device that was active of late holds back what it has not seen, one that was not does not.
SELECT mirusync.set_retention('memo', history_count => 0, tombstone_count => 0);
SELECT mirusync.push('perdita', 'slow', '{"changes": [], "report": {"cursor": 9}}') -> 'verdicts';
SELECT mirusync.push('perdita', 'idle', '{"changes": [], "report": {"cursor": 1}}') -> 'verdicts';
UPDATE mirusync.device SET seen_at = now() - interval '31 days' WHERE user_id = 'perdita' AND device = 'idle';
SELECT * FROM mirusync.trim_bounds('perdita', '30 days') WHERE collection = 'memo';
SELECT * FROM mirusync.trim_bounds('perdita', '1 year') WHERE collection = 'memo';
CALL mirusync.trim('perdita', active => '1 year');
TABLE left_over;
CALL mirusync.trim('perdita');
TABLE left_over;
DELETE FROM mirusync.device WHERE user_id = 'perdita';

-- Tombstones.  "away" has all; "halfway" is in the middle of its catch-up when
-- the first is deleted; "close" has seen the deletes; "fresh" comes afterwards.
SELECT mirusync.set_retention('memo', tombstone_age => '12 hours');
SELECT catch_up('away'), catch_up('halfway', pages => 2);
SELECT * FROM place ORDER BY device;
-- What was read is deleted, and what was not; something comes after.
SELECT mirusync.delete('perdita', 'memo', 'm4'), mirusync.delete('perdita', 'memo', 'm1');
SELECT catch_up('close');
SELECT grow_old();
SELECT mirusync.delete('perdita', 'memo', 'm2');
SELECT mirusync.put('perdita', 'memo', 'm7', '{"n": 7}');
TABLE left_over;
CALL mirusync.trim('perdita', batch_rows => 1);
TABLE left_over;
SELECT f.epoch > 0 AS own_epoch, e.head FROM mirusync.feed f JOIN mirusync.feed_epoch e USING (feed, epoch) WHERE feed = 'perdita';
-- What "away" has not sent is merged as ever, before it has started over.
SELECT mirusync.push('perdita', 'away', '{"changes": [
	{"number": 1, "kind": "patch", "collection": "memo", "id": "m3", "fields": {"away": true}, "base": 10},
	{"number": 2, "kind": "put", "collection": "memo", "id": "m8", "fields": {"away": true}, "base": 10}]}') -> 'verdicts' AS unsent;
SELECT catch_up('away') AS away, catch_up('halfway') AS halfway, catch_up('close') AS close, catch_up('fresh') AS fresh;
SELECT * FROM otherwise;
-- Once more, and nobody starts over twice.
SELECT mirusync.patch('perdita', 'memo', 'm3', '{"n": 9}');
SELECT catch_up('away') AS away, catch_up('halfway') AS halfway, catch_up('close') AS close, catch_up('fresh') AS fresh;
SELECT * FROM otherwise;
-- A cursor without an epoch below the floor starts over too.
SELECT mirusync.pull('perdita', 'perdita', 10) -> 'start_over' AS start_over;

-- Within the hour the floor stays, and the tombstones above it.  Hours are
-- made to come and go by changing the feed's epoch.
CREATE FUNCTION shift(hours int) RETURNS void LANGUAGE sql AS $$
	UPDATE mirusync.feed SET epoch = epoch + hours WHERE feed = 'perdita';
	UPDATE mirusync.feed_epoch SET epoch = epoch + hours WHERE feed = 'perdita' AND epoch > 0;
	UPDATE place SET epoch = epoch + hours;
$$;
SELECT shift(1);
SELECT mirusync.delete('perdita', 'memo', 'm7');
SELECT grow_old();
CALL mirusync.trim('perdita');
TABLE left_over;
-- Another hour has come.
SELECT shift(-2);
CALL mirusync.trim('perdita');
TABLE left_over;
SELECT catch_up('away') AS away, catch_up('fresh') AS fresh;
SELECT * FROM otherwise WHERE device IN ('away', 'fresh');
-- Numbers go on.
SELECT mirusync.put('perdita', 'memo', 'm1', '{"again": true}');
SELECT seq, kind, previous FROM mirusync.change_log WHERE feed = 'perdita' ORDER BY seq DESC LIMIT 1;
SELECT catch_up('away') AS away, catch_up('halfway') AS halfway, catch_up('close') AS close, catch_up('fresh') AS fresh;
SELECT * FROM otherwise;

-- Errors
\set VERBOSITY terse
SELECT mirusync.set_retention(NULL);
SELECT mirusync.set_retention('nothing', '1 day');
SELECT mirusync.set_retention(e'"; \u0001', '1 day');
SELECT mirusync.set_retention('memo', history_age => '-1 day');
SELECT mirusync.set_retention('memo', tombstone_count => -1);
SELECT mirusync.set_retention('memo');
SELECT count(*) FROM mirusync.retention WHERE collection = 'memo';
CALL mirusync.trim('nobody');
CALL mirusync.trim('perdita', batch_rows => 0);
CALL mirusync.trim('perdita', batch_rows => NULL);
CALL mirusync.trim('perdita', active => '-1 day');
CALL mirusync.trim('perdita', active => NULL);
BEGIN;
CALL mirusync.trim('perdita');
ROLLBACK;
DO $$ BEGIN CALL mirusync.trim('perdita'); END $$;
SET default_transaction_read_only = on;
CALL mirusync.trim('perdita');
RESET default_transaction_read_only;
SET ROLE pg_read_all_data;
CALL mirusync.trim('perdita');
SELECT mirusync.set_retention('memo');
RESET ROLE;
DROP VIEW otherwise, left_over;
DROP TABLE replica, place;
DROP FUNCTION grow_old, shift, catch_up;
DELETE FROM mirusync.document WHERE feed IN ('perdita', 'percy');
-- Other tests look for holes in all feeds.
DELETE FROM mirusync.record WHERE feed IN ('perdita', 'percy');
DELETE FROM mirusync.change_log WHERE feed IN ('perdita', 'percy');
DELETE FROM mirusync.feed_epoch WHERE feed IN ('perdita', 'percy');
DELETE FROM mirusync.feed WHERE feed IN ('perdita', 'percy');
