-- Few notes of changed rows are folded in memory, many are sorted on disk:
-- the same random work is done both ways, and everything must be equal.
SET client_min_messages = warning;
CREATE SCHEMA fold_test;
SET search_path = fold_test;

-- Two tables for the same work, each with feeds and a collection of its own.
CREATE TABLE small (
	id int PRIMARY KEY DEFERRABLE,
	owner text NOT NULL,
	title text NOT NULL
) WITH (autovacuum_enabled = off);
CREATE TABLE large (LIKE small INCLUDING ALL) WITH (autovacuum_enabled = off);
SELECT mirusync.attach('small', feed => 'owner');
SELECT mirusync.attach('large', feed => 'owner');

CREATE FUNCTION random_int(below int) RETURNS int LANGUAGE sql AS
	'SELECT floor(random() * below)::int';

-- One statement of random work on some of the ids.  A third of them are of
-- rows next to each other, so that keys pass from row to row.
CREATE PROCEDURE work(name text) LANGUAGE plpgsql AS $$
DECLARE
	low int := random_int(3000);
	high int := low + random_int(60);
	step int := 1 + random_int(3);
	feed text := name || '-' || random_int(150);
	statement text;
BEGIN
	statement := (ARRAY[
		'INSERT INTO %1$I SELECT i, %2$L, %2$L || i FROM generate_series(%3$s, %4$s) i
			WHERE NOT EXISTS (SELECT FROM %1$I WHERE id = i)',
		'UPDATE %1$I SET title = title || ''+'' WHERE id BETWEEN %3$s AND %4$s',
		'UPDATE %1$I SET title = left(title, 7) WHERE id BETWEEN %3$s AND %4$s',
		'UPDATE %1$I SET owner = %2$L WHERE id BETWEEN %3$s AND %4$s',
		'UPDATE %1$I SET owner = %5$L || ''-'' || id %% 7 WHERE id BETWEEN %3$s AND %4$s',
		'DELETE FROM %1$I WHERE id BETWEEN %3$s AND %4$s AND id %% 4 = 0',
		'UPDATE %1$I SET id = id + %6$s WHERE id BETWEEN %3$s AND %4$s',
		'UPDATE %1$I SET id = %3$s + %4$s - id WHERE id BETWEEN %3$s AND %4$s'
	])[1 + random_int(8)];
	EXECUTE format(statement, name, feed, low, high, name, step);
EXCEPTION WHEN unique_violation THEN
	NULL;	-- its notes are cut off
END $$;

-- Savepoints are rolled back at random, with savepoints in them.
CREATE PROCEDURE works(name text, count int, depth int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. count LOOP
		IF depth < 3 AND random() < 0.1 THEN
			BEGIN
				CALL works(name, 1 + random_int(20), depth + 1);
				IF random() < 0.5 THEN
					RAISE EXCEPTION 'undo';
				END IF;
			EXCEPTION WHEN raise_exception THEN
				NULL;
			END;
		ELSE
			CALL work(name);
		END IF;
	END LOOP;
END $$;


SET mirusync.note_memory = '64MB';
SELECT setseed(0.42);
BEGIN;
INSERT INTO small SELECT i, 'small-' || i % 150, 'row ' || i FROM generate_series(1, 3000) i;
COMMIT;
BEGIN;
CALL works('small', 250, 0);
COMMIT;

SET mirusync.note_memory = '64kB';
SELECT setseed(0.42);
BEGIN;
INSERT INTO large SELECT i, 'large-' || i % 150, 'row ' || i FROM generate_series(1, 3000) i;
COMMIT;
BEGIN;
CALL works('large', 250, 0);
COMMIT;

-- What both did: puts, patches and deletes, and all of it is the same.
CREATE FUNCTION changes(name text) RETURNS TABLE
	(feed text, seq bigint, part_of bigint, kind text, id text, old text, new text) LANGUAGE sql AS $$
	SELECT replace(feed, name, 'feed'), seq, part_of, kind, id,
		replace(old::text, name, 'feed'), replace(new::text, name, 'feed')
	FROM mirusync.change_log WHERE collection = name
$$;
CREATE FUNCTION state(name text) RETURNS TABLE
	(feed text, id text, seq bigint, part_of bigint, deleted boolean) LANGUAGE sql AS $$
	SELECT replace(feed, name, 'feed'), id, seq, part_of, deleted
	FROM mirusync.record WHERE collection = name
$$;
SELECT kind, count(*) > 100 AS many FROM changes('large') GROUP BY kind ORDER BY kind;
(SELECT * FROM changes('small') EXCEPT SELECT * FROM changes('large')) UNION ALL
(SELECT * FROM changes('large') EXCEPT SELECT * FROM changes('small')) ORDER BY feed, seq LIMIT 5;
(SELECT * FROM state('small') EXCEPT SELECT * FROM state('large')) UNION ALL
(SELECT * FROM state('large') EXCEPT SELECT * FROM state('small')) ORDER BY feed, seq LIMIT 5;

-- And it is right: numbers without a hole, and the state is that of the table.
SELECT count(*) AS feeds_with_holes FROM (
	SELECT f.feed FROM mirusync.feed f JOIN mirusync.change_log l USING (feed)
	WHERE f.feed LIKE 'large-%'
	GROUP BY f.feed, f.head HAVING count(*) <> f.head OR max(l.seq) <> f.head) f;
SELECT count(*) AS wrong FROM large t FULL JOIN
	(SELECT * FROM mirusync.record WHERE collection = 'large' AND NOT deleted) r
		ON r.feed = t.owner AND r.id = t.id::text
	WHERE t.id IS NULL OR r.id IS NULL;

-- Pushes: the numbers of their verdicts, where a message touches a record
-- several times and a trigger has a hand in some of them.
CREATE FUNCTION retitle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id % 5 = 0 AND pg_trigger_depth() = 1 THEN
		EXECUTE format('UPDATE %s SET title = title || ''!'' WHERE id = $1 + 1', TG_RELID::regclass)
			USING NEW.id;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER retitle AFTER UPDATE ON small FOR EACH ROW EXECUTE FUNCTION retitle();
CREATE TRIGGER retitle AFTER UPDATE ON large FOR EACH ROW EXECUTE FUNCTION retitle();
CREATE FUNCTION pushed(name text, low int, high int, first int, kind text)
RETURNS TABLE (number int, verdict text, seq int) LANGUAGE sql AS $$
	SELECT (v ->> 'number')::int, v ->> 'verdict', (v ->> 'seq')::int
	FROM jsonb_array_elements(mirusync.push(name || '-new', 'phone', (
		SELECT jsonb_build_object('changes', jsonb_agg(jsonb_build_object(
			'number', first + i - low, 'kind', kind, 'collection', name, 'id', (i % 100 + 10000)::text)
			|| CASE WHEN kind = 'delete' THEN '{}' ELSE jsonb_build_object('fields',
				jsonb_build_object('title', (SELECT string_agg(md5((i * n)::text), '')
					FROM generate_series(1, 40) n))) END))
		FROM generate_series(low, high) i)) -> 'verdicts') v
$$;
SET mirusync.note_memory = '64MB';
CREATE TEMP TABLE small_pushed AS
	SELECT 1 AS push, * FROM pushed('small', 0, 99, 1, 'put') UNION ALL
	SELECT 2, * FROM pushed('small', 40, 220, 1001, 'patch') UNION ALL
	SELECT 3, * FROM pushed('small', 50, 120, 2001, 'delete');
SET mirusync.note_memory = '64kB';
CREATE TEMP TABLE large_pushed AS
	SELECT 1 AS push, * FROM pushed('large', 0, 99, 1, 'put') UNION ALL
	SELECT 2, * FROM pushed('large', 40, 220, 1001, 'patch') UNION ALL
	SELECT 3, * FROM pushed('large', 50, 120, 2001, 'delete');
SELECT push, verdict, count(*), count(DISTINCT seq) AS numbers FROM large_pushed
	GROUP BY push, verdict ORDER BY push, verdict;
(TABLE small_pushed EXCEPT TABLE large_pushed) UNION ALL
(TABLE large_pushed EXCEPT TABLE small_pushed) ORDER BY push, number LIMIT 5;
(SELECT * FROM changes('small') EXCEPT SELECT * FROM changes('large')) UNION ALL
(SELECT * FROM changes('large') EXCEPT SELECT * FROM changes('small')) ORDER BY feed, seq LIMIT 5;

-- The former row is known even if its version is of this transaction: because
-- an UPDATE that changed nothing wrote it, or ALTER TABLE.
RESET mirusync.note_memory;
CREATE TABLE item (id int PRIMARY KEY, owner text NOT NULL, title text);
SELECT mirusync.attach('item', feed => 'owner');
INSERT INTO item SELECT i, 'fold-anna', 'item ' || i FROM generate_series(1, 6) i;
BEGIN;
UPDATE item SET title = title;
DELETE FROM item WHERE id = 1;
UPDATE item SET owner = 'fold-ben' WHERE id = 2;
UPDATE item SET title = 'new' WHERE id = 3;
COMMIT;
BEGIN;
ALTER TABLE item ADD COLUMN at timestamptz DEFAULT clock_timestamp();
DELETE FROM item WHERE id = 4;
UPDATE item SET owner = 'fold-ben' WHERE id = 5;
COMMIT;
-- Came and went: no former row, and no change.
BEGIN;
INSERT INTO item VALUES (7, 'fold-anna', 'short');
UPDATE item SET title = title || '-lived' WHERE id = 7;
DELETE FROM item WHERE id = 7;
COMMIT;
-- Not so of a row that came where the feed has one of which nobody knows that
-- it is gone: all of it is sent.
ALTER TABLE item DISABLE TRIGGER ALL;
DELETE FROM item WHERE id = 6;
ALTER TABLE item ENABLE TRIGGER ALL;
BEGIN;
INSERT INTO item VALUES (6, 'fold-anna', 'other', '2026-01-01 00:00Z');
UPDATE item SET at = '2026-01-02 00:00Z' WHERE id = 6;
COMMIT;
SELECT feed, seq, kind, id, old - 'at' AS old, CASE id WHEN '6' THEN new END AS new FROM mirusync.change_log
	WHERE feed LIKE 'fold-%' AND (feed, seq) > ('fold-anna', 6) ORDER BY feed, seq;

SELECT mirusync.detach('small');
SELECT mirusync.detach('large');
SELECT mirusync.detach('item');
DROP SCHEMA fold_test CASCADE;
