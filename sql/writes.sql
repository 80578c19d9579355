-- Ways of writing: whatever changes a row is numbered once, in the history,
-- and leaves the records as the table is.  After each group "check" lists what
-- was numbered and says whether table and records agree.
SET client_min_messages = warning;
CREATE SCHEMA writes_test;
SET search_path = writes_test;
CREATE TABLE item (id int PRIMARY KEY, owner text, body text, n int DEFAULT 0);
CREATE TABLE part (id int PRIMARY KEY, owner text, item int, body text);
SELECT mirusync.attach('item', feed => 'owner'), mirusync.attach('part', feed => 'owner');
CREATE TABLE checked (seq bigint);
INSERT INTO checked VALUES (0);

-- news: the changes since the last look; then whether all is well: numbers
-- without holes up to the head, and the records the rows.
CREATE FUNCTION rows_and_records() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(coalesce(r.id, 'row ' || i.id), ' '), 'agree') FROM
		(SELECT collection, id FROM mirusync.record WHERE feed = 'wes' AND NOT deleted) r
		FULL JOIN (SELECT 'item' AS collection, id FROM item WHERE owner = 'wes'
			UNION ALL SELECT 'part', id FROM part WHERE owner = 'wes') i
		ON r.id = i.id::text AND r.collection = i.collection
	WHERE r.id IS NULL OR i.id IS NULL
$$;
CREATE FUNCTION news() RETURNS TABLE (change text) LANGUAGE plpgsql AS $$
DECLARE
	last bigint := (SELECT seq FROM checked);
	head bigint := (SELECT f.head FROM mirusync.feed f WHERE feed = 'wes');
BEGIN
	RETURN QUERY SELECT concat_ws(' ', c.collection, c.id, c.kind, c.old - 'id', '->', c.new - 'id')
		FROM mirusync.change_log c WHERE feed = 'wes' AND seq > last ORDER BY seq;
	RETURN QUERY SELECT concat_ws(' ', count(*), 'numbered,', head - last, 'numbers,', rows_and_records())
		FROM mirusync.change_log WHERE feed = 'wes' AND seq > last;
	UPDATE checked SET seq = head;
END $$;

-- INSERT ... SELECT, UPDATE ... FROM, DELETE ... USING.
INSERT INTO item SELECT i, 'wes', 'body ' || i FROM generate_series(1, 4) i;
UPDATE item SET body = v.body FROM (VALUES (1, 'from'), (9, 'nobody')) AS v(id, body) WHERE item.id = v.id;
DELETE FROM item USING generate_series(4, 9) i WHERE item.id = i;
SELECT * FROM news();

-- MERGE with each of its actions.
MERGE INTO item USING (VALUES (1, 'merged'), (2, NULL), (5, 'new'), (3, 'body 3')) AS v(id, body) ON item.id = v.id
	WHEN MATCHED AND v.body IS NULL THEN DELETE
	WHEN MATCHED AND v.body = item.body THEN DO NOTHING
	WHEN MATCHED THEN UPDATE SET body = v.body
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'wes', v.body);
SELECT * FROM news();

-- Several writable CTEs, of which two want the same row: one of them gets it.
WITH a AS (UPDATE item SET body = 'a' WHERE id = 1 RETURNING *),
	b AS (INSERT INTO part SELECT id, owner, id, body FROM a RETURNING *),
	c AS (DELETE FROM item WHERE id = 5 RETURNING *),
	d AS (UPDATE item SET n = 1 WHERE id IN (1, 3))
INSERT INTO item SELECT id + 5, owner, body FROM c;
SELECT * FROM news();

-- ON CONFLICT; the second of two that are one is refused by Postgres.
INSERT INTO item VALUES (1, 'wes', 'x'), (11, 'wes', 'x') ON CONFLICT (id) DO UPDATE SET n = item.n + 10;
INSERT INTO item VALUES (1, 'wes', 'x') ON CONFLICT DO NOTHING;
INSERT INTO item VALUES (1, 'wes', 'x') ON CONFLICT (id) DO UPDATE SET n = 0 WHERE false;
SELECT * FROM news();

-- COPY; and COPY FREEZE, whose rows look as old as the table.
COPY item FROM stdin;
21	wes	copy	1
\.
BEGIN;
TRUNCATE item;
COPY item FROM stdin (FREEZE);
1	wes	frozen	1
21	wes	copy	1
22	wes	frozen	1
23	wes	frozen	1
\.
UPDATE item SET n = 2 WHERE id IN (1, 22);
DELETE FROM item WHERE id = 23;
COMMIT;
SELECT * FROM news();

-- Functions and triggers: a BEFORE trigger changes the row or drops it, an
-- AFTER trigger writes another attached table.
CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.body = 'never' THEN
		RETURN NULL;
	END IF;
	NEW.body := upper(NEW.body);
	RETURN NEW;
END $$;
CREATE FUNCTION after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO writes_test.part VALUES (NEW.id, NEW.owner, NEW.id, NEW.body)
		ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body;
	RETURN NULL;
END $$;
CREATE TRIGGER before BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION before();
CREATE TRIGGER after AFTER INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION after();
CREATE FUNCTION write() RETURNS void LANGUAGE sql AS $$
	INSERT INTO writes_test.item VALUES (31, 'wes', 'function'), (32, 'wes', 'never');
	UPDATE writes_test.item SET body = 'never' WHERE id = 21;
$$;
SELECT write();
SELECT * FROM news();
DROP TRIGGER before ON item;
DROP TRIGGER after ON item;

-- INSTEAD OF triggers of a view, a view that is updatable by itself, rules.
CREATE VIEW simple AS SELECT * FROM item WHERE n < 100;
CREATE VIEW joined AS SELECT item.id, item.owner, part.body FROM item JOIN part ON part.id = item.id;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE writes_test.item SET body = NEW.body WHERE id = OLD.id;
	UPDATE writes_test.part SET body = NEW.body WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON joined FOR EACH ROW EXECUTE FUNCTION instead();
UPDATE simple SET n = 41 WHERE id = 1;
UPDATE joined SET body = 'instead' WHERE id = 31;
CREATE RULE also AS ON INSERT TO item DO ALSO INSERT INTO part VALUES (NEW.id, NEW.owner, NEW.id, 'rule');
CREATE RULE other AS ON DELETE TO item DO INSTEAD UPDATE item SET n = -1 WHERE id = OLD.id;
INSERT INTO item VALUES (42, 'wes', 'x');
DELETE FROM item WHERE id = 42;
SELECT * FROM news();
-- A device's changes are such statements, rules included: it is told what
-- became of its own.
SELECT jsonb_path_query(mirusync.push('wes', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "item", "id": "43", "fields": {"body": "pushed"}},
	{"number": 2, "kind": "patch", "collection": "item", "id": "42", "fields": {"body": "pushed"}}]}'), '$.verdicts[*]') - 'seq' AS verdict;
SELECT * FROM news();
DROP RULE also ON item;
DROP RULE other ON item;
DROP VIEW simple, joined;

-- Cursors.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM item WHERE id IN (42, 43) ORDER BY id FOR UPDATE;
FETCH NEXT FROM c \g /dev/null
UPDATE item SET body = 'current' WHERE CURRENT OF c;
FETCH NEXT FROM c \g /dev/null
DELETE FROM item WHERE CURRENT OF c;
COMMIT;
SELECT * FROM news();

-- As a replication worker writes; and unseen, because the triggers are off.
-- Switched on again by ENABLE TRIGGER, they do not fire for replication:
-- ENABLE ALWAYS does it.
SET session_replication_role = replica;
UPDATE item SET n = 51 WHERE id = 1;
RESET session_replication_role;
ALTER TABLE item DISABLE TRIGGER USER;
UPDATE item SET n = 52 WHERE id = 1;
ALTER TABLE item ENABLE TRIGGER USER;
UPDATE item SET n = 53 WHERE id = 21;
SET session_replication_role = replica;
UPDATE item SET n = 54 WHERE id = 21;
RESET session_replication_role;
ALTER TABLE item ENABLE ALWAYS TRIGGER "!mirusync_capture", ENABLE ALWAYS TRIGGER "!mirusync_truncate";
SET session_replication_role = replica;
UPDATE item SET n = 55 WHERE id = 22;
RESET session_replication_role;
SELECT * FROM news();

-- Subtransactions by the thousand, every other one rolled back.
DO $$
BEGIN
	FOR i IN 1 .. 10000 LOOP
		BEGIN
			UPDATE writes_test.item SET n = i WHERE id = 1;
			IF i % 2 = 0 THEN
				INSERT INTO writes_test.item VALUES (100000 + i, 'wes', 'never');
				RAISE EXCEPTION SQLSTATE 'P0099';
			END IF;
		EXCEPTION WHEN SQLSTATE 'P0099' THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT * FROM news();
-- Nested ones, a hundred deep.
CREATE FUNCTION nest(depth int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE writes_test.item SET n = depth WHERE id = 22;
	IF depth > 0 THEN
		PERFORM writes_test.nest(depth - 1);
	END IF;
	IF depth = 50 THEN
		RAISE EXCEPTION SQLSTATE 'P0099';
	END IF;
EXCEPTION WHEN SQLSTATE 'P0099' THEN
	UPDATE writes_test.item SET body = 'caught' WHERE id = 22;
END $$;
SELECT nest(100);
SELECT * FROM news();

-- What is no change: the same values, rows that come and go, locks, queries.
UPDATE item SET body = body, n = n;
BEGIN;
INSERT INTO item VALUES (61, 'wes', 'short-lived');
UPDATE item SET n = 1 WHERE id = 61;
DELETE FROM item WHERE id = 61;
SELECT count(*) FROM (SELECT FROM item FOR UPDATE) AS locked;
COMMIT;
SELECT count(*) > 0 AS large_object FROM lo_create(0) WHERE lo_create > 0;
SELECT * FROM news();

-- TRUNCATE of several tables at once, and what comes after it.
CREATE TABLE leaf (id int PRIMARY KEY, owner text, part int REFERENCES part (id));
SELECT mirusync.attach('leaf', feed => 'owner');
INSERT INTO leaf VALUES (1, 'wes', 31), (2, 'wilma', 31);
BEGIN;
TRUNCATE part CASCADE;
INSERT INTO part VALUES (1, 'wes', 1, 'new'), (31, 'wes', 31, 'again');
COMMIT;
SELECT * FROM news();
SELECT id, kind FROM mirusync.change_log WHERE feed = 'wilma' AND collection = 'leaf' ORDER BY seq;
SELECT mirusync.detach('leaf');
DROP TABLE leaf;

-- Maintenance of the table and of our own tables changes nothing.
CLUSTER item USING item_pkey;
VACUUM (FULL) item;
VACUUM (FULL) mirusync.record;
VACUUM (FULL) mirusync.change_log;
VACUUM (FULL) mirusync.feed;
CREATE INDEX CONCURRENTLY item_n ON item (n);
REINDEX TABLE CONCURRENTLY item;
REINDEX TABLE CONCURRENTLY mirusync.record;
ANALYZE item;
UPDATE item SET n = 71 WHERE id = 1;
SELECT * FROM news();

-- A table that is rewritten in the transaction that changes its rows: before,
-- after, and both.  Rows that were deleted or moved afterwards are told of.
INSERT INTO item SELECT i, 'wes', 'rewrite' FROM generate_series(81, 86) i;
SELECT * FROM news() OFFSET 6;
BEGIN;
UPDATE item SET body = 'before' WHERE id IN (81, 82);
ALTER TABLE item ALTER COLUMN n TYPE bigint;
UPDATE item SET n = 1 WHERE id IN (81, 83);
DELETE FROM item WHERE id IN (82, 84);
UPDATE item SET owner = 'walt' WHERE id = 85;
UPDATE item SET id = 87 WHERE id = 86;
INSERT INTO item VALUES (88, 'wes', 'after');
DELETE FROM item WHERE id = 88;
COMMIT;
SELECT * FROM news();
SELECT id, kind FROM mirusync.change_log WHERE feed = 'walt' AND collection = 'item';
-- Again, by CLUSTER, SET LOGGED, another access method or tablespace.
BEGIN;
CLUSTER item;
DELETE FROM item WHERE id = 81;
ALTER TABLE item SET ACCESS METHOD heap, SET TABLESPACE pg_default;
DELETE FROM item WHERE id = 83;
COMMIT;
SELECT * FROM news();

-- Another owner, name or schema, of the table or above it; another owner.
CREATE ROLE regress_mirusync_writer;
GRANT ALL ON SCHEMA writes_test TO regress_mirusync_writer;
ALTER TABLE item RENAME TO thing;
UPDATE thing SET n = 91 WHERE id = 1;
CREATE SCHEMA writes_other;
ALTER TABLE thing SET SCHEMA writes_other;
UPDATE writes_other.thing SET n = 92 WHERE id = 1;
ALTER SCHEMA writes_other RENAME TO "writes other";
ALTER TABLE "writes other".thing OWNER TO regress_mirusync_writer;
GRANT ALL ON SCHEMA "writes other" TO regress_mirusync_writer;
SELECT jsonb_path_query(mirusync.push('wes', 'phone', '{"changes": [
	{"number": 5, "kind": "patch", "collection": "item", "id": "1", "fields": {"n": 93}},
	{"number": 6, "kind": "put", "collection": "item", "id": "94", "fields": {"n": 93}}]}'), '$.verdicts[*]') - 'seq' AS verdict;
ALTER TABLE "writes other".thing SET SCHEMA writes_test;
ALTER TABLE thing RENAME TO item;
SELECT * FROM news();

-- Isolation levels above READ COMMITTED, and parallel workers that read.
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE item SET n = 101 WHERE id = 1;
INSERT INTO item VALUES (102, 'wes', 'serializable');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE item SET n = 103 WHERE id = 1;
COMMIT;
SELECT * FROM news();
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
CREATE TABLE copied AS SELECT count(*) AS rows, max(n) AS n FROM item;
UPDATE item SET n = (SELECT max(n) FROM item) + 1 WHERE id = 1;
COMMIT;
SELECT * FROM news();

SELECT mirusync.detach('item'), mirusync.detach('part');
SET client_min_messages = error;
DROP SCHEMA writes_test, "writes other" CASCADE;
DROP ROLE regress_mirusync_writer;
