-- What foreign keys do to other rows counts as much as what was written:
-- cascades between attached tables, partitioned ones among them, and keys that
-- are only checked at the end.
SET client_min_messages = warning;
CREATE SCHEMA fk_test;
SET search_path = fk_test;
CREATE TABLE list (id int PRIMARY KEY, owner text, name text);
CREATE TABLE entry (
	id int PRIMARY KEY,
	owner text,
	cascading int REFERENCES list ON DELETE CASCADE ON UPDATE CASCADE,
	nulling int REFERENCES list ON DELETE SET NULL ON UPDATE SET NULL,
	defaulting int DEFAULT 0 REFERENCES list ON DELETE SET DEFAULT ON UPDATE SET DEFAULT
);
-- Partitioned, and refers to a partitioned one.
CREATE TABLE box (id int PRIMARY KEY, owner text) PARTITION BY RANGE (id);
CREATE TABLE box_1 PARTITION OF box FOR VALUES FROM (1) TO (10);
CREATE TABLE box_2 (owner text, id int NOT NULL);
ALTER TABLE box ATTACH PARTITION box_2 FOR VALUES FROM (10) TO (20);
CREATE TABLE thing (
	kind text,
	id int,
	owner text,
	list int REFERENCES list ON DELETE CASCADE,
	box int REFERENCES box ON DELETE CASCADE ON UPDATE CASCADE,
	PRIMARY KEY (kind, id)
) PARTITION BY LIST (kind);
CREATE TABLE thing_a PARTITION OF thing FOR VALUES IN ('a');
CREATE TABLE thing_b (box int, owner text, id int NOT NULL, list int, kind text NOT NULL);
ALTER TABLE thing ATTACH PARTITION thing_b FOR VALUES IN ('b');
SELECT mirusync.attach('list', 'owner'), mirusync.attach('entry', 'owner'),
	mirusync.attach('box', 'owner'), mirusync.attach('thing', 'owner');
CREATE TABLE seen (seq bigint);
INSERT INTO seen VALUES (0);
-- What has been numbered since it was asked last.
CREATE FUNCTION news() RETURNS TABLE (collection text, kind text, id text, old jsonb, new jsonb)
LANGUAGE sql AS $$
	WITH mark AS (UPDATE fk_test.seen SET seq = (SELECT head FROM mirusync.feed WHERE feed = 'fay') RETURNING 1)
	SELECT l.collection, l.kind, l.id, l.old, l.new FROM mirusync.change_log l, mark
	WHERE l.feed = 'fay' AND l.seq > (SELECT seq FROM fk_test.seen)
	ORDER BY l.collection, l.kind, l.id
$$;
INSERT INTO list SELECT i, 'fay', 'list ' || i FROM generate_series(0, 5) i;
INSERT INTO entry SELECT i, 'fay', i, i, i FROM generate_series(1, 5) i;
SELECT count(*) FROM news();

-- ON DELETE: CASCADE, SET NULL, SET DEFAULT.
UPDATE entry SET cascading = 2 WHERE id = 1;
DELETE FROM list WHERE id = 1;
SELECT * FROM news();
DELETE FROM list WHERE id = 2;
SELECT * FROM news();
-- ON UPDATE: the same three.
UPDATE entry SET nulling = 3, defaulting = 3 WHERE id = 4;
SELECT count(*) FROM news();
UPDATE list SET id = 33 WHERE id = 3;
SELECT * FROM news();
-- Back again within the transaction: nothing has changed.
BEGIN;
UPDATE list SET id = 44 WHERE id = 4;
UPDATE list SET id = 4 WHERE id = 44;
COMMIT;
SELECT * FROM news();

-- From partitioned tables, and to them.
INSERT INTO box VALUES (1, 'fay'), (2, 'fay'), (11, 'fay');
INSERT INTO thing VALUES ('a', 1, 'fay', 5, 1), ('b', 2, 'fay', 5, 1), ('a', 3, 'fay', NULL, 11), ('b', 4, 'fay', NULL, 2);
SELECT count(*) FROM news();
DELETE FROM list WHERE id = 5;
SELECT * FROM news();
DELETE FROM box WHERE id = 11;
SELECT * FROM news();
-- A key that is updated into another partition takes those who refer to it along.
UPDATE box SET id = 12 WHERE id = 2;
SELECT * FROM news();
TRUNCATE box CASCADE;
SELECT * FROM news();

-- A push that cascades: what it caused is the device's doing as well.
INSERT INTO box VALUES (3, 'fay');
INSERT INTO thing VALUES ('a', 5, 'fay', NULL, 3), ('b', 6, 'fay', NULL, 3);
SELECT count(*) FROM news();
SELECT mirusync.push('fay', 'phone', '{"changes": [{"number": 1, "kind": "delete", "collection": "box", "id": "3"}]}')
	#>> '{verdicts,0,verdict}' AS verdict;
SELECT collection, kind, id, (SELECT l.device FROM mirusync.change_log l
	WHERE l.feed = 'fay' AND l.collection = n.collection AND l.id = n.id ORDER BY seq DESC LIMIT 1) AS device FROM news() n;
-- One that the foreign key refuses, one that comes before what it refers to.
SELECT v ->> 'verdict' AS verdict, v ->> 'code' AS code FROM jsonb_array_elements(
	mirusync.push('fay', 'phone', '{"changes": [
	{"number": 2, "kind": "put", "collection": "thing", "id": "a,7", "fields": {"box": 99}},
	{"number": 3, "kind": "put", "collection": "thing", "id": "a,8", "fields": {"box": 13}},
	{"number": 4, "kind": "put", "collection": "box", "id": "13", "fields": {}}]}') -> 'verdicts') v;
SELECT * FROM news();

-- Deferred foreign keys: in any order until COMMIT, cascades at once.
CREATE TABLE late (id int PRIMARY KEY, owner text,
	list int REFERENCES list ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	box int REFERENCES box ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
SELECT mirusync.attach('late', 'owner');
BEGIN;
INSERT INTO late VALUES (1, 'fay', 100, 14), (2, 'fay', 101, NULL);
INSERT INTO list VALUES (100, 'fay', 'later'), (101, 'fay', 'later');
INSERT INTO box VALUES (14, 'fay');
COMMIT;
SELECT count(*) FROM news();
BEGIN;
DELETE FROM list WHERE id = 101;
DELETE FROM box WHERE id = 14;
SELECT id, box FROM late ORDER BY id;
COMMIT;
SELECT * FROM news();
-- Refused at COMMIT: nothing has been.
BEGIN;
INSERT INTO late VALUES (3, 'fay', 999, NULL);
COMMIT;
SELECT * FROM news();

-- Deferrable primary keys: values pass from row to row.
CREATE TABLE ranked (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, owner text, name text);
SELECT mirusync.attach('ranked', 'owner');
INSERT INTO ranked VALUES (1, 'fay', 'one'), (2, 'fay', 'two'), (3, 'fay', 'three');
SELECT count(*) FROM news();
BEGIN;
UPDATE ranked SET id = 1 WHERE name = 'two';
UPDATE ranked SET id = 2 WHERE name = 'one';
COMMIT;
SELECT * FROM news();
UPDATE ranked SET id = id + 1;
SELECT * FROM news();
CREATE TABLE ranked_parted (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, owner text, name text) PARTITION BY RANGE (id);
CREATE TABLE ranked_parted_1 PARTITION OF ranked_parted FOR VALUES FROM (0) TO (3);
CREATE TABLE ranked_parted_2 PARTITION OF ranked_parted FOR VALUES FROM (3) TO (6);
SELECT mirusync.attach('ranked_parted', 'owner');
INSERT INTO ranked_parted VALUES (1, 'fay', 'one'), (2, 'fay', 'two'), (3, 'fay', 'three');
SELECT count(*) FROM news();
BEGIN;
UPDATE ranked_parted SET id = 2 WHERE name = 'three';
UPDATE ranked_parted SET id = 3 WHERE name = 'two';
COMMIT;
SELECT * FROM news();
SELECT v ->> 'verdict' AS verdict FROM jsonb_array_elements(
	mirusync.push('fay', 'phone', '{"changes": [
	{"number": 10, "kind": "patch", "collection": "ranked", "id": "2", "fields": {"name": "pushed"}},
	{"number": 11, "kind": "put", "collection": "ranked", "id": "9", "fields": {"name": "new"}},
	{"number": 12, "kind": "patch", "collection": "ranked_parted", "id": "3", "fields": {"name": "pushed"}},
	{"number": 13, "kind": "put", "collection": "ranked_parted", "id": "5", "fields": {"name": "new"}}]}') -> 'verdicts') v;
SELECT * FROM news();

-- All that devices have is what the tables have.
SELECT c ->> 'collection' AS collection, c ->> 'id' AS id, c -> 'fields' AS fields
	FROM jsonb_array_elements(mirusync.pull('fay', 'fay') -> 'changes') c
	WHERE c ->> 'kind' <> 'delete' ORDER BY 1, 2;
TABLE list ORDER BY id;
TABLE entry ORDER BY id;
TABLE box ORDER BY id;
TABLE thing ORDER BY id;
TABLE late ORDER BY id;

SELECT mirusync.detach(relation) FROM mirusync.collections WHERE relation <> 'mirusync.document'::regclass;
DROP SCHEMA fk_test CASCADE;
