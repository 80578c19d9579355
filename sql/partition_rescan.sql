-- backfill() and rescan() of partitioned tables: rows are in partitions, which
-- look otherwise, and come and go.
SET client_min_messages = notice;
-- What other tests told of a collection that is called the same here.
DELETE FROM mirusync.change_log WHERE collection = 'visit';
CREATE SCHEMA partition_rescan;
SET search_path = partition_rescan;

CREATE TABLE visit (gone text, id int, region text, owner text, title text, n int,
	PRIMARY KEY (region, id)) PARTITION BY LIST (region);
ALTER TABLE visit DROP COLUMN gone;
CREATE TABLE visit_eu PARTITION OF visit FOR VALUES IN ('eu');
CREATE TABLE visit_us (n int, junk int, title text, owner text, region text NOT NULL, more text, id int NOT NULL);
ALTER TABLE visit_us DROP COLUMN junk, DROP COLUMN more;
ALTER TABLE visit ATTACH PARTITION visit_us FOR VALUES IN ('us');
CREATE TABLE visit_asia PARTITION OF visit FOR VALUES IN ('jp', 'in') PARTITION BY RANGE (id);
CREATE TABLE visit_asia_1 PARTITION OF visit_asia FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE visit_asia_2 (id int NOT NULL, n int, title text, region text NOT NULL, owner text);
ALTER TABLE visit_asia ATTACH PARTITION visit_asia_2 FOR VALUES FROM (100) TO (MAXVALUE);
CREATE TABLE visit_rest PARTITION OF visit DEFAULT;

-- A feed has rows in several partitions, in one only, or in none.
INSERT INTO visit (region, id, owner, title)
	SELECT region, i, 'visit-' || i % 5, region || i
	FROM unnest('{eu,us,jp,xx}'::text[]) region, generate_series(1, 20) i;
INSERT INTO visit (region, id, owner, title) VALUES
	('jp', 103, 'visit-1', repeat('far ', 3000)), ('us', 30, 'visit-us', 'only there'),
	('in', 130, 'visit-asia', 'only there'), ('eu', 31, NULL, 'nobody''s');

CREATE VIEW changes AS
	SELECT feed, seq, kind, id, old, new FROM mirusync.change_log
	WHERE feed LIKE 'visit-%' ORDER BY feed, seq;
CREATE VIEW counts AS
	SELECT feed, count(*), max(seq) AS head FROM mirusync.change_log
	WHERE feed LIKE 'visit-%' GROUP BY feed ORDER BY feed;
-- Where what devices get, and what the table has, differ.
CREATE FUNCTION differs() RETURNS TABLE (feed text, device jsonb, stored jsonb) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY
	SELECT coalesce(d.feed, r.owner), d.fields, r.fields FROM (
		SELECT f.feed, c -> 'fields' AS fields FROM mirusync.feed f,
			jsonb_array_elements(mirusync.pull(f.feed, f.feed, 0, 100000) -> 'changes') AS c
		WHERE c ->> 'collection' = 'visit' AND c ->> 'kind' <> 'delete') AS d
	FULL JOIN (SELECT t.owner, to_jsonb(t) - 'owner' AS fields FROM visit t
		WHERE t.owner IS NOT NULL) AS r ON d.feed = r.owner AND d.fields = r.fields
	WHERE d.fields IS NULL OR r.fields IS NULL;
END $$;

-- It needs an index of the table itself; those of partitions need not sort in
-- the same direction.
SELECT mirusync.attach('visit', feed => 'owner', backfill => false);
CREATE INDEX ON visit_eu (owner);
CALL mirusync.backfill('visit');
CREATE INDEX ON visit_us (owner DESC NULLS LAST, n);
CREATE INDEX visit_us_owner ON visit_us (owner DESC);
CREATE INDEX visit_owner ON ONLY visit (owner);
CALL mirusync.backfill('visit');
DROP INDEX visit_owner;
CREATE INDEX visit_owner ON visit (owner);
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'visit_owner'::regclass ORDER BY 1;

-- What is written before a feed is served has no number, wherever it is;
-- what comes and goes with a partition has none either.
UPDATE visit SET title = 'written' WHERE id = 1;
UPDATE visit_us SET n = 1 WHERE id = 2;
INSERT INTO visit_asia_2 VALUES (140, 1, 'in the partition', 'jp', 'visit-new');
DELETE FROM visit_eu WHERE id = 3;
CREATE TABLE visit_au (title text, id int NOT NULL, owner text, n int, region text NOT NULL);
INSERT INTO visit_au VALUES ('there before', 1, 'visit-au', 1, 'au'), ('there before', 2, 'visit-1', 1, 'au');
ALTER TABLE visit ATTACH PARTITION visit_au FOR VALUES IN ('au');
INSERT INTO visit (region, id, owner, title) VALUES ('in', 90, 'visit-gone', 'gone');
ALTER TABLE visit_asia DETACH PARTITION visit_asia_1;
SELECT * FROM changes;
SELECT mirusync.pull('visit-1', 'visit-1') -> 'changes' AS nothing_yet;

CALL mirusync.backfill('visit', 7);
SELECT * FROM counts;
SELECT * FROM differs();
SELECT count(*) AS wrong FROM mirusync.record r
WHERE r.feed = 'visit-gone' AND NOT r.deleted;

-- From now on it is as any other.
UPDATE visit_us SET n = 3 WHERE id = 2;
INSERT INTO visit (region, id, owner, title) VALUES ('au', 3, 'visit-au', 'later');
SELECT kind, id, old, new FROM changes WHERE feed = 'visit-2' ORDER BY seq DESC LIMIT 1;
CALL mirusync.backfill('visit');

-- Nothing differs, so nothing is told.
CREATE TABLE head_before AS SELECT * FROM counts;
CALL mirusync.rescan('visit', 10);
SELECT * FROM counts EXCEPT TABLE head_before;

-- What the triggers of a partition did not see.
ALTER TABLE visit_us DISABLE TRIGGER USER;
ALTER TABLE visit_asia_2 DISABLE TRIGGER USER;
UPDATE visit SET title = 'unseen' WHERE id = 1 AND region = 'us';
UPDATE visit_asia_2 SET n = 5 WHERE id = 103;
DELETE FROM visit_us WHERE id = 2;
INSERT INTO visit_us (region, id, owner, title) VALUES ('us', 70, 'visit-us', 'unseen');
UPDATE visit_us SET owner = 'visit-moved' WHERE id = 4;
ALTER TABLE visit_us ENABLE ALWAYS TRIGGER "!mirusync_capture";
ALTER TABLE visit_us ENABLE ALWAYS TRIGGER "!mirusync_truncate";
ALTER TABLE visit_asia_2 ENABLE ALWAYS TRIGGER "!mirusync_capture";
ALTER TABLE visit_asia_2 ENABLE ALWAYS TRIGGER "!mirusync_truncate";
CALL mirusync.rescan('visit', 1);
SELECT l.feed, l.kind, l.id, l.old, l.new FROM changes l LEFT JOIN head_before h USING (feed)
WHERE l.seq > coalesce(h.head, 0) ORDER BY l.feed, l.seq;
SELECT * FROM differs();
CALL mirusync.rescan('visit');

-- Partitions that came and went unseen.
ALTER EVENT TRIGGER mirusync_ddl_end DISABLE;
CREATE TABLE visit_br (owner text, title text, n int, region text NOT NULL, id int NOT NULL);
INSERT INTO visit_br VALUES ('visit-br', 'unseen', 1, 'br', 1), ('visit-1', 'unseen', 1, 'br', 2);
ALTER TABLE visit ATTACH PARTITION visit_br FOR VALUES IN ('br');
ALTER TABLE visit DETACH PARTITION visit_au;
ALTER EVENT TRIGGER mirusync_ddl_end ENABLE ALWAYS;
CALL mirusync.rescan('visit');
SELECT * FROM differs();

-- A column that all of them get, and one with another type.
ALTER TABLE visit ADD COLUMN stars int DEFAULT 5;
ALTER TABLE visit ALTER COLUMN n TYPE text;
CALL mirusync.rescan('visit');
SELECT * FROM differs();

-- Triggers that were enabled again, but not always.
SET client_min_messages = error;
ALTER TABLE visit DISABLE TRIGGER USER;
ALTER TABLE visit ENABLE TRIGGER USER;
ALTER TABLE visit_us DISABLE TRIGGER USER;
RESET client_min_messages;
SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname)
FROM pg_trigger t
WHERE t.tgfoid = 'mirusync.capture()'::regprocedure
	AND (t.tgrelid = 'visit'::regclass OR t.tgrelid IN (SELECT relid FROM pg_partition_tree('visit')))
ORDER BY 1 \gexec
SELECT tgname, tgenabled, count(*) FROM pg_trigger
WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('visit')) GROUP BY 1, 2 ORDER BY 1, 2;

-- Rows that vanished, from a feed that has others and from one that has none,
-- before the table was attached anew.
SET client_min_messages = error;
DROP TRIGGER "!mirusync_capture" ON visit;
RESET client_min_messages;
DELETE FROM visit WHERE owner = 'visit-us' OR (region, id) IN (('eu', 1), ('jp', 103));
SELECT mirusync.detach('visit');
SELECT mirusync.attach('visit', feed => 'owner', backfill => false);
TRUNCATE head_before;
INSERT INTO head_before TABLE counts;
CALL mirusync.backfill('visit');
CALL mirusync.rescan('visit');
SELECT l.feed, l.kind, l.id FROM changes l LEFT JOIN head_before h USING (feed)
WHERE l.seq > coalesce(h.head, 0) AND l.kind = 'delete' ORDER BY l.feed, l.id COLLATE "C";
SELECT * FROM differs();

-- A partition that was detached is nobody's.
DELETE FROM visit;
CALL mirusync.rescan('visit');
SELECT count(*) FROM visit_asia_1;
SELECT mirusync.detach('visit');
SET client_min_messages = warning;
DROP SCHEMA partition_rescan CASCADE;
