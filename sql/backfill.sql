-- attach(backfill => false) and backfill(): a table is attached while it is
-- written to, and each feed gets its rows at once.
SET client_min_messages = notice;
CREATE SCHEMA backfill_test;
SET search_path = backfill_test;
CREATE VIEW changes AS
	SELECT feed, seq, kind, id, old, new FROM mirusync.change_log
	WHERE feed LIKE 'fill-%' ORDER BY feed, seq;
CREATE VIEW marks AS
	SELECT feed, collection, served FROM mirusync.backfill_feed ORDER BY 1, 2;
CREATE VIEW progress AS
	SELECT collection, relation, state, feeds_done, feeds_total, rows_done,
		started_at IS NOT NULL AS started, last_at >= started_at AS went_on
	FROM mirusync.backfill_progress;
CREATE TABLE item (id int PRIMARY KEY, owner varchar(20), body text);
-- Every record is a row and every row a record, and numbers have no hole.
CREATE FUNCTION differences() RETURNS TABLE (feed text, id text, what text) LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY
	SELECT coalesce(i.owner::text, r.feed), coalesce(i.id::text, r.id),
		CASE WHEN r.id IS NULL THEN 'no record' ELSE 'no row' END
	FROM item i FULL JOIN
		(SELECT * FROM mirusync.record WHERE collection = 'item' AND NOT deleted) r
		ON r.feed = i.owner::text AND r.id = i.id::text
	WHERE (i.id IS NULL OR r.id IS NULL) AND coalesce(i.owner::text, r.feed) IS NOT NULL
	UNION ALL
	SELECT f.feed, NULL, format('head %s, numbers %s', f.head, count(l.seq))
	FROM mirusync.feed f LEFT JOIN mirusync.change_log l USING (feed)
	WHERE f.feed IN (SELECT r.feed FROM mirusync.record r WHERE collection = 'item')
	GROUP BY f.feed, f.head
	HAVING f.head <> count(l.seq) OR f.head <> coalesce(max(l.seq), 0);
END $$;
INSERT INTO item SELECT i, 'fill-' || i % 4, 'row ' || i FROM generate_series(1, 20) i;
INSERT INTO item VALUES (99, NULL, 'nobody''s');
SELECT mirusync.attach('item', feed => 'owner', backfill => false);
SELECT name, complete FROM mirusync.collections WHERE name = 'item';
SELECT * FROM progress;
SELECT mirusync.pull('fill-1', 'fill-1') -> 'changes' AS nothing_yet;

-- Until a feed is served its changes have no numbers; it is only listed.
UPDATE item SET body = 'written' WHERE id = 1;
DELETE FROM item WHERE id = 2;
INSERT INTO item VALUES (30, 'fill-new', 'row 30');
BEGIN;
SAVEPOINT s;
INSERT INTO item VALUES (31, 'fill-undone', 'row 31');
ROLLBACK TO s;
COMMIT;
SELECT * FROM changes;
SELECT * FROM marks;

-- A push cannot have a number yet either.  It is to be tried again.
SELECT mirusync.push('fill-1', 'phone', '{"changes": [{"number": 1, "kind": "patch",
	"collection": "item", "id": "1", "fields": {"body": "pushed"}}]}');
SELECT message, status, code FROM mirusync.push_many('{fill-1}', '{phone}', '{s}', '{batch}',
	ARRAY['{"changes": [{"number": 1, "kind": "delete", "collection": "item", "id": "1"}]}'])
	WHERE kind = 'verdict';

-- What it needs.
CALL mirusync.backfill('item');
CALL mirusync.backfill('item', 0);
CALL mirusync.backfill(NULL);
CALL mirusync.backfill('marks');
CALL mirusync.rescan('item');
DO $$ BEGIN CALL mirusync.backfill('backfill_test.item'); END $$;
CREATE INDEX item_owner ON item (owner);
BEGIN;
CALL mirusync.backfill('item');
ROLLBACK;

-- Interrupted (here by a value that has no JSON), what was served stays so.
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 'bad' AND current_setting('backfill_test.refuse', true) = 'on' THEN
		RAISE EXCEPTION 'interrupted';
	END IF;
	RETURN to_json($1::text);
END $$;
CREATE CAST (mood AS json) WITH FUNCTION mood_to_json(mood);
ALTER TABLE item ADD COLUMN mood mood DEFAULT 'good';
UPDATE item SET mood = 'bad' WHERE id = 6;
SET backfill_test.refuse = on;
CALL mirusync.backfill('item', 1);
SELECT * FROM progress;
SELECT * FROM marks;
SELECT feed, head FROM mirusync.feed WHERE feed LIKE 'fill-%' ORDER BY feed;

-- Rows between a feed that is served (0, 1) and one that is not (2, 3).
UPDATE item SET owner = 'fill-0' WHERE id = 3;
UPDATE item SET owner = 'fill-3' WHERE id = 4;
UPDATE item SET owner = 'fill-0' WHERE id = 5;
UPDATE item SET owner = 'fill-late' WHERE id = 7;
DELETE FROM item WHERE id IN (8, 10);
UPDATE item SET owner = NULL WHERE id = 9;
UPDATE item SET owner = 'fill-1' WHERE id = 99;
UPDATE item SET body = 'written' WHERE id IN (12, 14);
INSERT INTO item VALUES (40, 'fill-0', 'row 40'), (41, 'fill-2', 'row 41'), (42, 'fill-a', 'row 42');
SELECT c.feed, seq - head + 7 AS nth, kind, id, old, new FROM changes c JOIN mirusync.feed USING (feed)
WHERE kind <> 'put' OR id IN ('3', '5', '99', '40') ORDER BY feed, seq;
SELECT * FROM marks;

-- A served feed takes pushes.
SELECT mirusync.push('fill-1', 'phone', '{"changes": [{"number": 1, "kind": "patch",
	"collection": "item", "id": "1", "fields": {"body": "pushed"}}]}') #>> '{verdicts,0,verdict}' AS verdict;

-- TRUNCATE counts for those who have the rows.
BEGIN;
TRUNCATE item;
COMMIT;
SELECT feed, count(*) FROM changes WHERE kind = 'delete' GROUP BY 1 ORDER BY 1;
SELECT * FROM differences();
INSERT INTO item SELECT i, 'fill-' || i % 4, 'row ' || i FROM generate_series(50, 61) i;

-- It goes on where it was, and ends.
CALL mirusync.backfill('item', 2);
SELECT name, complete FROM mirusync.collections WHERE name = 'item';
SELECT * FROM progress;
SELECT * FROM marks;
SELECT * FROM differences();
UPDATE item SET body = 'again' WHERE id = 53;
SELECT * FROM changes WHERE id = '53';
CALL mirusync.backfill('item');
-- First what other tests told of a collection of that name.
SET client_min_messages = warning;
CALL mirusync.rescan('item');
SET client_min_messages = notice;
CALL mirusync.rescan('item');

-- Detached or dropped before it is complete, nothing of it stays.
SELECT mirusync.detach('item');
SELECT mirusync.attach('item', feed => 'owner', backfill => false);
UPDATE item SET body = 'unserved' WHERE id = 50;
SELECT * FROM marks;
SELECT mirusync.detach('item');
SELECT * FROM marks;
SELECT count(*) FROM mirusync.backfill;
UPDATE item SET body = 'detached' WHERE id = 50;
SELECT mirusync.attach('item', feed => 'owner', backfill => false);
UPDATE item SET body = 'unserved' WHERE id = 50;
DROP TABLE item;
SELECT * FROM progress;
CREATE TABLE item (id int PRIMARY KEY, owner uuid);
CREATE INDEX ON item (owner DESC);
INSERT INTO item SELECT i, ('00000000-0000-0000-0000-00000000000' || i % 3)::uuid FROM generate_series(1, 9) i;
INSERT INTO item VALUES (10, NULL);
SELECT mirusync.attach('item', feed => 'owner');
SELECT * FROM marks;
SELECT feed, max(seq) FROM mirusync.change_log WHERE collection = 'item' AND feed LIKE '0000%' GROUP BY 1 ORDER BY 1;
SELECT mirusync.detach('item');

-- The same twice in one transaction; an index in descending order.
BEGIN;
SELECT mirusync.attach('item', feed => 'owner', backfill => false);
INSERT INTO item VALUES (11, '00000000-0000-0000-0000-000000000001');
SELECT mirusync.detach('item');
SELECT mirusync.attach('item', feed => 'owner', backfill => false);
INSERT INTO item VALUES (12, '00000000-0000-0000-0000-000000000001');
COMMIT;
SELECT * FROM marks;
CALL mirusync.backfill('item', 4);
SELECT feed, count(*) FROM mirusync.record WHERE collection = 'item' AND NOT deleted GROUP BY 1 ORDER BY 1;
SELECT mirusync.detach('item');

-- Equal texts that are different feeds cannot be told apart by an index.
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE folded (id int PRIMARY KEY, owner text COLLATE nocase);
CREATE INDEX ON folded (owner);
INSERT INTO folded VALUES (1, 'fill-x'), (2, 'fill-X');
SELECT mirusync.attach('folded', feed => 'owner', backfill => false);
CALL mirusync.backfill('folded');
CREATE INDEX ON folded (owner COLLATE "C");
CALL mirusync.backfill('folded');
SELECT feed, id FROM mirusync.record WHERE collection = 'folded' ORDER BY feed COLLATE "C";
SELECT mirusync.detach('folded');

-- Only the owner of the table may, and needs no right on mirusync's tables.
CREATE ROLE regress_mirusync_fill;
GRANT EXECUTE ON PROCEDURE mirusync.backfill(regclass, int) TO regress_mirusync_fill;
GRANT EXECUTE ON FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean),
	mirusync.detach(regclass) TO regress_mirusync_fill;
GRANT USAGE ON SCHEMA mirusync, backfill_test TO regress_mirusync_fill;
SET ROLE regress_mirusync_fill;
CALL mirusync.backfill('item');
RESET ROLE;
ALTER TABLE item OWNER TO regress_mirusync_fill;
ALTER TABLE item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_mirusync_fill;
SET client_min_messages = error;
SELECT mirusync.attach('item', feed => 'owner', backfill => false);
SET client_min_messages = notice;
CALL mirusync.backfill('item');
SELECT mirusync.detach('item');
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA backfill_test CASCADE;
DROP OWNED BY regress_mirusync_fill;
DROP ROLE regress_mirusync_fill;
