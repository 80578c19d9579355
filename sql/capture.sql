-- Capture and numbering of plain SQL, in one session.  What several sessions
-- do to one another is in test/isolation.
SET client_min_messages = warning;
CREATE SCHEMA capture_test;
SET search_path = capture_test;
CREATE TABLE task (
	id int PRIMARY KEY,
	owner text,
	title text,
	done boolean NOT NULL DEFAULT false
);
INSERT INTO task VALUES (1, 'anna', 'was here before'), (2, 'ben', 'too');
SELECT mirusync.attach('task', feed => 'owner');
CREATE VIEW changes AS
	SELECT feed, seq, kind, id, old, new
	FROM mirusync.change_log WHERE collection = 'task' ORDER BY feed, seq;

-- Rows that were there are changes like any other.
SELECT * FROM changes;

-- Every way of writing counts.
INSERT INTO task VALUES (3, 'anna', 'insert');
UPDATE task SET title = 'update' WHERE id = 3;
INSERT INTO task VALUES (3, 'anna', 'conflict')
	ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title;
INSERT INTO task VALUES (3, 'anna', 'nothing') ON CONFLICT DO NOTHING;
COPY task FROM stdin;
4	anna	copy	f
5	ben	copy	t
\.
MERGE INTO task USING (VALUES (4), (6)) AS v(id) ON task.id = v.id
	WHEN MATCHED THEN UPDATE SET done = true
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'anna', 'merge');
WITH gone AS (DELETE FROM task WHERE id = 2 RETURNING *)
	INSERT INTO task SELECT 7, owner, 'cte', done FROM gone;
DELETE FROM task WHERE id = 3;
SELECT * FROM changes WHERE seq > 1;

-- What changes nothing is no change.
UPDATE task SET title = title;
BEGIN;
UPDATE task SET title = 'there' WHERE id = 1;
UPDATE task SET title = 'was here before' WHERE id = 1;
INSERT INTO task VALUES (8, 'anna', 'short-lived');
DELETE FROM task WHERE id = 8;
COMMIT;
SELECT feed, head FROM mirusync.feed ORDER BY feed;

-- One change a record and transaction, with the first old and the last new.
BEGIN;
UPDATE task SET title = 'a' WHERE id = 4;
UPDATE task SET title = 'b' WHERE id = 4;
DELETE FROM task WHERE id = 5;
INSERT INTO task VALUES (5, 'ben', 'again');
COMMIT;
SELECT * FROM changes c WHERE seq = (SELECT head FROM mirusync.feed f
	WHERE f.feed = c.feed);

-- Subtransactions: what is rolled back is no change, what is not is one.
BEGIN;
SAVEPOINT a;
UPDATE task SET title = 'never' WHERE id = 1;
INSERT INTO task VALUES (9, 'carl', 'never');
ROLLBACK TO a;
UPDATE task SET title = 'yes' WHERE id = 1;
SAVEPOINT b;
UPDATE task SET title = 'and yes' WHERE id = 1;
RELEASE b;
COMMIT;
SELECT * FROM changes WHERE feed = 'anna' ORDER BY seq DESC LIMIT 1;
SELECT count(*) FROM mirusync.feed WHERE feed = 'carl';

-- A row that moves to another feed leaves a tombstone behind; one without a
-- feed is in none.
UPDATE task SET owner = 'ben' WHERE id = 4;
UPDATE task SET owner = NULL WHERE id = 6;
UPDATE task SET owner = 'carl' WHERE id = 6;
SELECT DISTINCT ON (feed) * FROM changes ORDER BY feed, seq DESC;

-- A user's trigger that writes the row again: one change, the final content.
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title <> upper(NEW.title) THEN
		UPDATE capture_test.task SET title = upper(title) WHERE id = NEW.id;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER "!a" AFTER INSERT OR UPDATE ON task
	FOR EACH ROW EXECUTE FUNCTION shout();
INSERT INTO task VALUES (10, 'dora', 'loud');
UPDATE task SET title = 'louder' WHERE id = 10;
SELECT * FROM changes WHERE feed = 'dora';
DROP TRIGGER "!a" ON task;

-- Keys that pass from row to row.
ALTER TABLE task DROP CONSTRAINT task_pkey, ADD PRIMARY KEY (id) DEFERRABLE;
INSERT INTO task VALUES (20, 'edgar', 'x'), (21, 'edgar', 'y');
UPDATE task SET id = id + 1 WHERE owner = 'edgar';
SELECT * FROM changes WHERE feed = 'edgar';
SELECT id, deleted FROM mirusync.record WHERE feed = 'edgar' ORDER BY seq;

-- A row type that changes under way: every field counts as changed.
BEGIN;
UPDATE task SET title = 'before' WHERE id = 21;
ALTER TABLE task ALTER COLUMN done TYPE text;
COMMIT;
SELECT * FROM changes WHERE feed = 'edgar' ORDER BY seq DESC LIMIT 1;

-- TRUNCATE deletes every record.
TRUNCATE task;
SELECT feed, count(*) FROM mirusync.record
	WHERE collection = 'task' AND NOT deleted GROUP BY feed;
SELECT feed, kind, id, old FROM mirusync.change_log
	WHERE feed = 'edgar' ORDER BY seq DESC LIMIT 2;

-- More changed rows than fit into memory, cut back in the middle.
SET mirusync.note_memory = '64kB';
BEGIN;
INSERT INTO task SELECT i, 'fritz', repeat('x', 100) FROM generate_series(1000, 1999) i;
SAVEPOINT a;
INSERT INTO task SELECT i, 'fritz', repeat('x', 100) FROM generate_series(2000, 2999) i;
UPDATE task SET title = 'cut' WHERE owner = 'fritz';
ROLLBACK TO a;
UPDATE task SET title = 'kept' WHERE id < 1100;
COMMIT;
RESET mirusync.note_memory;
SELECT f.head, count(*) AS changes, min(l.seq), max(l.seq),
	count(*) FILTER (WHERE l.new ->> 'title' = 'kept') AS kept
FROM mirusync.feed f JOIN mirusync.change_log l USING (feed)
WHERE feed = 'fritz' GROUP BY f.head;

-- After an UPDATE that changes nothing, what the same transaction does to the
-- row is one.
INSERT INTO task VALUES (11, 'igor', 'to change'), (12, 'igor', 'to move'), (13, 'igor', 'to delete');
BEGIN;
UPDATE task SET title = title WHERE owner = 'igor';
UPDATE task SET title = 'changed' WHERE id = 11;
UPDATE task SET owner = 'john' WHERE id = 12;
DELETE FROM task WHERE id = 13;
COMMIT;
SELECT * FROM changes WHERE feed = 'john' OR feed = 'igor' AND seq > 3;

-- Documents name their collection, which must be there.
INSERT INTO mirusync.document VALUES ('gina', 'nowhere', '1', '{}');

SELECT mirusync.detach('task');
DROP SCHEMA capture_test CASCADE;
