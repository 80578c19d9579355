-- Partitioned tables: capture on every partition, reading a row wherever it
-- is, pushes, and partitions that come and go.
SET client_min_messages = warning;
-- Each change is judged by itself, without the inbox (rejected).
SET mirusync.rejected_max_changes = 0;
CREATE SCHEMA partition_test;
SET search_path = partition_test;
SET timezone = 'UTC';

-- By list; leaves that look otherwise; a default partition; two levels.
CREATE TABLE task (
	gone text,
	id int,
	region text,
	owner text,
	title text,
	n int,
	PRIMARY KEY (region, id)
) PARTITION BY LIST (region);
ALTER TABLE task DROP COLUMN gone;
CREATE TABLE task_eu PARTITION OF task FOR VALUES IN ('eu', 'uk');
CREATE TABLE task_us (n int, junk int, title text, owner text, region text NOT NULL, more text, id int NOT NULL);
ALTER TABLE task_us DROP COLUMN junk, DROP COLUMN more;
ALTER TABLE task ATTACH PARTITION task_us FOR VALUES IN ('us');
CREATE TABLE task_asia PARTITION OF task FOR VALUES IN ('jp', 'in') PARTITION BY RANGE (id);
CREATE TABLE task_asia_1 PARTITION OF task_asia FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE task_asia_2 (id int NOT NULL, n int, title text, region text NOT NULL, owner text);
ALTER TABLE task_asia ATTACH PARTITION task_asia_2 FOR VALUES FROM (100) TO (MAXVALUE);
CREATE TABLE task_rest PARTITION OF task DEFAULT;
INSERT INTO task (region, id, owner, title) VALUES
	('eu', 1, 'prue', 'one'), ('us', 2, 'prue', 'two'), ('jp', 3, 'prue', 'three'),
	('jp', 103, 'prue', 'far'), ('xx', 4, 'prue', 'four'), ('us', 5, 'paul', 'his');

-- What devices of a user have, and what the tables have, where they differ.
CREATE FUNCTION differs(who text, collection text)
RETURNS TABLE (device jsonb, stored jsonb) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT d.fields, r.fields FROM (
			SELECT c -> 'fields' AS fields FROM jsonb_array_elements(
				mirusync.pull(%L, %L, 0, 100000) -> 'changes') AS c
			WHERE c ->> 'collection' = %L AND c ->> 'kind' <> 'delete') AS d
		FULL JOIN (SELECT to_jsonb(t) - 'owner' AS fields FROM partition_test.%I t
			WHERE owner = %L) AS r ON d.fields = r.fields
		WHERE d.fields IS NULL OR r.fields IS NULL$q$,
		who, who, collection, collection, who);
END $$;
CREATE VIEW changes AS
	SELECT feed, seq, kind, id, old, new
	FROM mirusync.change_log WHERE collection = 'task' AND feed IN ('prue', 'paul') ORDER BY feed, seq;
CREATE VIEW triggers AS
	SELECT tgrelid::regclass AS relation, string_agg(substr(tgname, 11) || ' ' || tgenabled::text, ', ' ORDER BY tgname) AS triggers
	FROM pg_trigger WHERE tgname LIKE '!mirusync%' AND tgrelid <> 'mirusync.document'::regclass
	GROUP BY tgrelid ORDER BY tgrelid::regclass::text;

SELECT mirusync.attach('task_us', feed => 'owner');
SELECT mirusync.attach('task_asia', feed => 'owner');
SELECT mirusync.attach('task', feed => 'owner');
SELECT * FROM triggers;
SELECT * FROM changes;
SELECT * FROM differs('prue', 'task');

-- Every way of writing, through the root and into a leaf.
INSERT INTO task (region, id, owner, title) VALUES ('us', 10, 'prue', 'insert');
INSERT INTO task_us (region, id, owner, title) VALUES ('us', 11, 'prue', 'into leaf');
INSERT INTO task_asia (region, id, owner, title) VALUES ('in', 112, 'prue', 'into the middle');
UPDATE task SET title = 'update' WHERE id = 10;
UPDATE task_us SET title = 'update leaf' WHERE id = 11;
INSERT INTO task (region, id, owner, title) VALUES ('us', 10, 'prue', 'conflict')
	ON CONFLICT (region, id) DO UPDATE SET title = EXCLUDED.title, n = 1;
COPY task (region, id, owner, title) FROM stdin;
us	12	prue	copy
jp	113	prue	copy
\.
COPY task_asia_2 (region, id, owner, title) FROM stdin;
jp	114	prue	copy into leaf
\.
MERGE INTO task USING (VALUES ('us', 12), ('xx', 13)) AS v(region, id)
	ON task.region = v.region AND task.id = v.id
	WHEN MATCHED THEN UPDATE SET n = 2
	WHEN NOT MATCHED THEN INSERT (region, id, owner, title) VALUES (v.region, v.id, 'prue', 'merge');
INSERT INTO task_us (region, id, owner, title) VALUES ('us', 11, 'prue', 'conflict in leaf')
	ON CONFLICT (region, id) DO UPDATE SET title = EXCLUDED.title;
MERGE INTO task_us USING (VALUES (11), (15)) AS v(id) ON task_us.id = v.id
	WHEN MATCHED THEN UPDATE SET n = 3
	WHEN NOT MATCHED THEN INSERT (region, id, owner, title) VALUES ('us', v.id, 'prue', 'merge in leaf');
DELETE FROM task WHERE id = 11;
DELETE FROM task_asia_2 WHERE id = 114;
UPDATE task_us SET title = title;
SELECT * FROM changes WHERE seq > 5;
SELECT * FROM differs('prue', 'task');

-- A row that moves to another partition has another key: the old record is
-- gone, the new one is new.  Moved on in the transaction, only its end counts.
UPDATE task SET region = 'us' WHERE id = 1;
BEGIN;
UPDATE task SET region = 'jp', id = 200 WHERE id = 4;
UPDATE task SET id = 50, title = 'moved twice' WHERE id = 200;
COMMIT;
SELECT kind, id, old, new FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 4;
SELECT * FROM differs('prue', 'task');

-- The first old and the last new of a transaction, also across leaves' forms.
BEGIN;
UPDATE task SET title = 'a' WHERE region = 'us' AND id = 2;
UPDATE task_us SET title = 'b', n = 7 WHERE id = 2;
COMMIT;
BEGIN;
UPDATE task_us SET n = 8 WHERE id = 2;
UPDATE task_us SET n = 7 WHERE id = 2;
COMMIT;
SELECT kind, id, old, new FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 1;

-- Values stored out of line, in a leaf of another form.
ALTER TABLE task_us ALTER COLUMN title SET STORAGE EXTERNAL;
INSERT INTO task (region, id, owner, title) VALUES ('us', 20, 'prue', repeat('x', 10000));
UPDATE task SET n = 1 WHERE id = 20;
BEGIN;
UPDATE task SET title = repeat('y', 10000) WHERE id = 20;
TRUNCATE task_us;
COMMIT;
SELECT kind, id, length(old ->> 'title') AS old FROM changes WHERE id = 'us,20' ORDER BY seq DESC LIMIT 1;
INSERT INTO task (region, id, owner, title) VALUES ('us', 20, 'prue', repeat('x', 10000));

-- TRUNCATE of a leaf, a middle and the whole: each row once.
SELECT * FROM differs('prue', 'task');
TRUNCATE task_asia;
SELECT kind, id FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 5;
SELECT * FROM differs('prue', 'task');
TRUNCATE task;
SELECT kind, id FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 3;
SELECT * FROM differs('prue', 'task');
BEGIN;
INSERT INTO task (region, id, owner) VALUES ('jp', 1, 'prue'), ('us', 1, 'prue');
TRUNCATE task;
INSERT INTO task (region, id, owner) VALUES ('jp', 1, 'prue');
COMMIT;
SELECT kind, id FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 2;

-- Pushes go to the root.
CREATE FUNCTION verdict(number int, change text)
RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('prue', 'phone', format('{"changes": [{"number": %s, "collection": "task", %s}]}', number, change)::jsonb)
		#> '{verdicts,0}'
$$;
SELECT verdict(1, '"kind": "put", "id": "us,30", "fields": {"title": "pushed", "n": 1}');
SELECT verdict(2, '"kind": "patch", "id": "us,30", "fields": {"n": 2}');
SELECT verdict(3, '"kind": "put", "id": "jp,130", "fields": {"title": "pushed"}');
SELECT verdict(4, '"kind": "patch", "id": "jp,130", "fields": {"n": 3}');
SELECT verdict(5, '"kind": "patch", "id": "jp,130", "fields": {"region": "us"}') ->> 'verdict';
SELECT verdict(6, '"kind": "delete", "id": "us,30"');
SELECT verdict(7, '"kind": "delete", "id": "nowhere,1"') ->> 'verdict';
SELECT verdict(8, '"kind": "put", "id": "nowhere,2", "fields": {"title": "in the default partition"}');
-- The winner is read back from where it is.
SELECT verdict(9, '"kind": "patch", "id": "jp,130", "clock": "1999-01-01T00:00:00Z", "fields": {"n": 4}');
-- An id that another user has.
INSERT INTO task (region, id, owner) VALUES ('us', 99, 'paul');
SELECT verdict(10, '"kind": "put", "id": "us,99", "fields": {"n": 1}');
SELECT tableoid::regclass, region, id, title, n FROM task WHERE owner = 'prue' ORDER BY 1, 2, 3;
SELECT * FROM differs('prue', 'task');

-- Partitions that come: made, attached with rows, with partitions of their own.
CREATE TABLE task_ca PARTITION OF task FOR VALUES IN ('ca');
INSERT INTO task (region, id, owner) VALUES ('ca', 1, 'prue');
CREATE TABLE task_br (title text, owner text, n int, id int NOT NULL, region text NOT NULL);
INSERT INTO task_br VALUES ('was there', 'prue', 1, 1, 'br'), ('was there', 'prue', 2, 2, 'br');
ALTER TABLE task ATTACH PARTITION task_br FOR VALUES IN ('br');
CREATE TABLE task_de (LIKE task INCLUDING ALL) PARTITION BY LIST (id);
CREATE TABLE task_de_1 PARTITION OF task_de FOR VALUES IN (1);
INSERT INTO task_de (region, id, owner, title) VALUES ('de', 1, 'prue', 'two levels');
ALTER TABLE task ATTACH PARTITION task_de FOR VALUES IN ('de');
CREATE TABLE task_de_2 PARTITION OF task_de FOR VALUES IN (2);
INSERT INTO task (region, id, owner) VALUES ('de', 2, 'prue');
SELECT kind, id, new FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 6;
SELECT * FROM triggers WHERE relation::text ~ 'ca|br|de';
SELECT * FROM differs('prue', 'task');
TRUNCATE task_de_2;
SELECT * FROM differs('prue', 'task');

-- Partitions that go: detached, dropped, dropped with other things.
ALTER TABLE task DETACH PARTITION task_br;
SELECT kind, id, old FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 2;
INSERT INTO task_br VALUES ('seen by nobody', 'prue', 3, 3, 'br');
ALTER TABLE task DETACH PARTITION task_de;
UPDATE task_de SET title = 'seen by nobody';
TRUNCATE task_br, task_de;
SELECT * FROM triggers WHERE relation::text ~ 'br|de';
SELECT * FROM differs('prue', 'task');
-- There and back changes nothing; what was written meanwhile does.
INSERT INTO task (region, id, owner, title) VALUES ('ca', 2, 'prue', 'stays'), ('ca', 3, 'prue', 'changes');
BEGIN;
ALTER TABLE task DETACH PARTITION task_ca;
UPDATE task_ca SET title = 'changed' WHERE id = 3;
DELETE FROM task_ca WHERE id = 1;
ALTER TABLE task ATTACH PARTITION task_ca FOR VALUES IN ('ca');
COMMIT;
SELECT kind, id, old, new FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 3;
SELECT * FROM differs('prue', 'task');
-- What is rolled back has not been.
BEGIN;
SAVEPOINT a;
ALTER TABLE task DETACH PARTITION task_ca;
ROLLBACK TO a;
DROP TABLE task_ca;
ROLLBACK;
SELECT * FROM differs('prue', 'task');
-- Dropped: with values out of line, and with a TOAST table that is younger
-- than the triggers.
ALTER TABLE task_ca ALTER COLUMN title SET STORAGE EXTERNAL;
UPDATE task SET title = repeat('z', 10000) WHERE region = 'ca' AND id = 2;
REINDEX TABLE CONCURRENTLY task_ca;
DROP TABLE task_ca;
SELECT kind, id, length(old ->> 'title') AS old FROM changes WHERE feed = 'prue' ORDER BY seq DESC LIMIT 2;
SELECT * FROM differs('prue', 'task');
CREATE SCHEMA partition_test_2;
CREATE TABLE partition_test_2.task_fr PARTITION OF task FOR VALUES IN ('fr') PARTITION BY HASH (id);
CREATE TABLE partition_test_2.task_fr_0 PARTITION OF partition_test_2.task_fr FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE partition_test_2.task_fr_1 PARTITION OF partition_test_2.task_fr FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO task (region, id, owner) SELECT 'fr', i, 'prue' FROM generate_series(1, 10) i;
DROP SCHEMA partition_test_2 CASCADE;
SELECT kind, count(*) FROM changes WHERE id LIKE 'fr,%' GROUP BY kind ORDER BY kind;
SELECT * FROM differs('prue', 'task');
CREATE TABLE narrow (region varchar(9), id int, owner varchar(9), PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE narrow_1 PARTITION OF narrow FOR VALUES IN ('x');
SELECT mirusync.attach('narrow', feed => 'owner');
ALTER TABLE narrow ADD COLUMN body text;
INSERT INTO narrow VALUES ('x', 1, 'prue', repeat(md5('a'), 1000)), ('x', 2, 'prue', NULL);
ALTER TABLE narrow_1 ALTER COLUMN body SET STORAGE EXTERNAL;
UPDATE narrow SET body = repeat('long', 3000) WHERE id = 1;
CREATE ROLE regress_mirusync_owner;
ALTER TABLE narrow_1 OWNER TO regress_mirusync_owner;
DROP OWNED BY regress_mirusync_owner;
SELECT kind, id, length(old ->> 'body') AS old FROM mirusync.change_log WHERE collection = 'narrow' ORDER BY seq DESC LIMIT 2;
DROP ROLE regress_mirusync_owner;

-- Dropped while the table has no key: cannot be read, so it is said.
CREATE TABLE narrow_2 PARTITION OF narrow FOR VALUES IN ('y');
INSERT INTO narrow VALUES ('y', 1, 'prue', 'left behind');
ALTER TABLE narrow DROP CONSTRAINT narrow_pkey;
DROP TABLE narrow_2;
-- Nor can a new one be read.  The whole goes like any table.
CREATE TABLE narrow_3 PARTITION OF narrow FOR VALUES IN ('z');
DROP TABLE narrow;

-- What cannot be a partition of an attached table.
CREATE UNLOGGED TABLE task_unlogged PARTITION OF task FOR VALUES IN ('unlogged');
CREATE UNLOGGED TABLE unlogged_task (LIKE task INCLUDING ALL);
ALTER TABLE task ATTACH PARTITION unlogged_task FOR VALUES IN ('unlogged');
ALTER TABLE task_us SET UNLOGGED;
CREATE FOREIGN DATA WRAPPER partition_test_wrapper;
CREATE SERVER partition_test_server FOREIGN DATA WRAPPER partition_test_wrapper;
CREATE TABLE plain (region text NOT NULL, id int NOT NULL, owner text) PARTITION BY LIST (region);
CREATE FOREIGN TABLE plain_foreign PARTITION OF plain FOR VALUES IN ('f') SERVER partition_test_server;
SELECT mirusync.attach('plain', feed => 'owner');
DROP FOREIGN TABLE plain_foreign;
CREATE FOREIGN TABLE abroad (owner text, id int) SERVER partition_test_server;
SELECT mirusync.attach('abroad', feed => 'owner');
DROP FOREIGN TABLE abroad;
DROP FOREIGN DATA WRAPPER partition_test_wrapper CASCADE;
SELECT mirusync.attach('plain', feed => 'owner');
CREATE TABLE plain_1 PARTITION OF plain FOR VALUES IN ('a');
ALTER TABLE ONLY plain ADD PRIMARY KEY (region, id);
SELECT mirusync.attach('plain', feed => 'owner');
DROP TABLE plain;
CREATE UNLOGGED TABLE plain (region text, id int, owner text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
SELECT mirusync.attach('plain', feed => 'owner');
DROP TABLE plain;
CREATE TABLE plain (region text, id int, owner text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE UNLOGGED TABLE plain_1 PARTITION OF plain FOR VALUES IN ('a');
SELECT mirusync.attach('plain', feed => 'owner');
DROP TABLE plain;
DROP TABLE unlogged_task;

-- An attached table becomes a partition of one that is not: still itself.
CREATE TABLE whole (id int, owner text, region text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part (region text, id int, owner text, PRIMARY KEY (region, id));
SELECT mirusync.attach('part', feed => 'owner');
ALTER TABLE whole ATTACH PARTITION part FOR VALUES IN ('a');
INSERT INTO whole VALUES (1, 'prue', 'a');
INSERT INTO part VALUES ('a', 2, 'prue');
TRUNCATE whole;
INSERT INTO whole VALUES (3, 'prue', 'a');
SELECT kind, id FROM mirusync.change_log WHERE collection = 'part' ORDER BY seq;
SELECT mirusync.attach('whole', feed => 'owner');
-- ... of one that is attached: not by itself any more, so it is refused.
SELECT mirusync.detach('part');
SELECT mirusync.attach('whole', feed => 'owner');
CREATE TABLE other (region text, id int, owner text, PRIMARY KEY (region, id));
SELECT mirusync.attach('other', feed => 'owner');
ALTER TABLE whole ATTACH PARTITION other FOR VALUES IN ('b');
SELECT mirusync.detach('other'), mirusync.detach('whole');
DROP TABLE whole, other;

-- By range and by hash, with several columns, and the types that keys have.
CREATE TABLE ranged (day date, at timestamptz, code numeric, owner text, body text,
	PRIMARY KEY (owner, day, at, code)) PARTITION BY RANGE (day, code);
CREATE TABLE ranged_1 PARTITION OF ranged FOR VALUES FROM (MINVALUE, MINVALUE) TO ('2026-01-01', 10);
CREATE TABLE ranged_2 PARTITION OF ranged FOR VALUES FROM ('2026-01-01', 10) TO ('2026-06-01', MINVALUE)
	PARTITION BY HASH (owner, at);
CREATE TABLE ranged_2_0 PARTITION OF ranged_2 FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE ranged_2_1 PARTITION OF ranged_2 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE ranged_2_2 PARTITION OF ranged_2 FOR VALUES WITH (MODULUS 3, REMAINDER 2);
SELECT mirusync.attach('ranged', feed => 'owner');
INSERT INTO ranged SELECT date '2025-12-01' + i, timestamptz '2026-01-01 00:00Z' + i * interval '1 hour', i, 'prue', 'b' || i
	FROM generate_series(1, 150) i;
INSERT INTO ranged VALUES ('-infinity', 'infinity', 1.10, 'prue', 'edge'), ('2026-01-01', 'infinity', 'NaN', 'prue', 'edge');
SELECT tableoid::regclass, count(*) > 0 FROM ranged GROUP BY 1 ORDER BY 1;
SELECT * FROM differs('prue', 'ranged');
SELECT mirusync.push('prue', 'phone', '{"changes": [
	{"number": 50, "kind": "patch", "collection": "ranged", "id": "2025-12-02,2026-01-01 01:00:00+00,1", "fields": {"body": "pushed"}},
	{"number": 51, "kind": "patch", "collection": "ranged", "id": "2026-02-09,2026-01-03 22:00:00+00,70", "fields": {"body": "pushed"}},
	{"number": 52, "kind": "put", "collection": "ranged", "id": "2026-02-09,2026-01-03 22:00:00+00,71", "fields": {"body": "pushed"}},
	{"number": 53, "kind": "delete", "collection": "ranged", "id": "-infinity,infinity,1.10"},
	{"number": 54, "kind": "put", "collection": "ranged", "id": "2027-01-01,infinity,1", "fields": {"body": "no partition"}}]}')
	#> '{verdicts}' AS verdicts \gset
SELECT v ->> 'verdict' AS verdict, v ->> 'code' AS code FROM jsonb_array_elements(:'verdicts') v;
SELECT * FROM differs('prue', 'ranged');
DELETE FROM ranged WHERE code > 100;
SELECT * FROM differs('prue', 'ranged');
SELECT mirusync.detach('ranged');

-- Old rows that ADD COLUMN gave a value without writing them.
CREATE TABLE added (id int PRIMARY KEY, owner text) PARTITION BY HASH (id);
CREATE TABLE added_0 (owner text, id int NOT NULL);
ALTER TABLE added ATTACH PARTITION added_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE added_1 PARTITION OF added FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO added SELECT i, 'prue' FROM generate_series(1, 8) i;
ALTER TABLE added ADD COLUMN n int NOT NULL DEFAULT 7;
SELECT mirusync.attach('added', feed => 'owner');
SELECT * FROM differs('prue', 'added');
UPDATE added SET n = 8 WHERE id < 5;
SELECT id, old, new FROM mirusync.change_log WHERE collection = 'added' AND kind = 'patch' ORDER BY seq;
ALTER TABLE added ADD COLUMN more text DEFAULT 'more';
UPDATE added SET n = 9 WHERE id > 4;
SELECT id, old, new FROM mirusync.change_log WHERE collection = 'added' AND kind = 'patch' AND new ->> 'n' = '9' ORDER BY seq;
SELECT mirusync.detach('added');

-- More partitions than are kept open, over and over.
CREATE TABLE many (id int PRIMARY KEY, owner text, n int) PARTITION BY LIST (id);
DO $$
BEGIN
	FOR i IN 0..49 LOOP
		EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES IN (%s, %s)', i, i, i + 50);
	END LOOP;
END $$;
SELECT mirusync.attach('many', feed => 'owner');
INSERT INTO many SELECT i, 'prue', 1 FROM generate_series(0, 99) i;
UPDATE many SET n = 2;
SELECT * FROM differs('prue', 'many');
SELECT mirusync.detach('many');

-- The owner of the table makes, attaches, detaches and drops partitions.
CREATE ROLE regress_mirusync_owner;
GRANT ALL ON SCHEMA partition_test TO regress_mirusync_owner;
GRANT EXECUTE ON FUNCTION mirusync.attach TO regress_mirusync_owner;
SET ROLE regress_mirusync_owner;
CREATE TABLE own (id int PRIMARY KEY, owner text) PARTITION BY LIST (id);
CREATE TABLE own_1 PARTITION OF own FOR VALUES IN (1);
SELECT mirusync.attach('own', feed => 'owner');
CREATE TABLE own_2 PARTITION OF own FOR VALUES IN (2);
CREATE TABLE own_3 (id int PRIMARY KEY, owner text);
INSERT INTO own_3 VALUES (3, 'paul');
ALTER TABLE own ATTACH PARTITION own_3 FOR VALUES IN (3);
INSERT INTO own VALUES (1, 'paul'), (2, 'paul');
ALTER TABLE own DETACH PARTITION own_1;
DROP TABLE own_2;
TRUNCATE own_3;
RESET ROLE;
SELECT kind, id FROM mirusync.change_log WHERE collection = 'own' ORDER BY seq;
SELECT mirusync.detach('own');
DROP OWNED BY regress_mirusync_owner;
DROP ROLE regress_mirusync_owner;

-- The event triggers fire for a replication worker, too.
SET session_replication_role = replica;
CREATE TABLE task_mx PARTITION OF task FOR VALUES IN ('mx');
INSERT INTO task (region, id, owner) VALUES ('mx', 1, 'prue'), ('mx', 2, 'prue');
DELETE FROM task WHERE region = 'mx' AND id = 1;
TRUNCATE task_mx;
INSERT INTO task (region, id, owner) VALUES ('mx', 3, 'prue');
DROP TABLE task_mx;
RESET session_replication_role;
SELECT kind, count(*) FROM changes WHERE id LIKE 'mx,%' GROUP BY kind ORDER BY kind;

-- detach() removes all triggers.
SELECT mirusync.detach('task');
SELECT * FROM triggers;
UPDATE task SET n = 0;
TRUNCATE task;
DROP SCHEMA partition_test CASCADE;
