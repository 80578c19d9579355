-- What else happens in a transaction: DDL beside changes, rows stored out of
-- line, triggers that catch errors, undo or move what was pushed.
SET client_min_messages = warning;
-- Each change is judged by itself, without the inbox (rejected).
SET mirusync.rejected_max_changes = 0;
CREATE SCHEMA ddl_test;
SET search_path = ddl_test;
CREATE TABLE item (id int PRIMARY KEY, owner text, body text, n int);
SELECT mirusync.attach('item', feed => 'owner');
CREATE FUNCTION verdict(number int, change text, device text DEFAULT 'phone')
RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('xena', device, format('{"changes": [{"number": %s, %s}]}', number, change)::jsonb)
		#> '{verdicts,0}'
$$;
INSERT INTO item VALUES (1, 'xena', 'a', 1);

-- The key changes under noted rows: refused, since they cannot be read again.
BEGIN;
UPDATE item SET n = 2;
ALTER TABLE item ALTER COLUMN id TYPE text;
COMMIT;
BEGIN;
UPDATE item SET n = 2;
ALTER TABLE item ALTER COLUMN id TYPE bigint;
COMMIT;
-- In a transaction of its own it is fine, and what no longer fits is gone.
ALTER TABLE item ALTER COLUMN id TYPE text;
UPDATE item SET n = 3;
INSERT INTO item VALUES ('x', 'xena', 'b', 1);
DELETE FROM item WHERE id = 'x';
INSERT INTO item VALUES ('y', 'xena', 'b', 1);
ALTER TABLE item ALTER COLUMN id TYPE int USING CASE WHEN id = 'y' THEN 2 ELSE id::int END;
SELECT jsonb_path_query_array(mirusync.pull('xena', 'xena'), '$.changes[*].id');
-- Other columns may change.
BEGIN;
UPDATE item SET n = 4;
ALTER TABLE item DROP COLUMN n, ADD COLUMN n int DEFAULT 7;
COMMIT;

-- Values stored out of line go with the file that they were in.
ALTER TABLE item ALTER COLUMN body SET STORAGE EXTERNAL;
UPDATE item SET body = repeat('x', 10000) WHERE id = 1;
BEGIN;
DELETE FROM item WHERE id = 1;
TRUNCATE item;
COMMIT;
INSERT INTO item VALUES (3, 'xena', repeat('y', 10000), 1);
BEGIN;
UPDATE item SET body = repeat('z', 10000);
ALTER TABLE item ALTER COLUMN n TYPE int USING n + 1;
COMMIT;
SELECT id, kind, length(old ->> 'body') AS old, length(new ->> 'body') AS new
	FROM mirusync.change_log WHERE feed = 'xena' ORDER BY seq DESC LIMIT 1;

-- A trigger that catches an error in between: the push is still the device's.
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	IF NEW.body = 'nothing' THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER act BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION act();
SELECT verdict(1, '"kind": "put", "collection": "item", "id": "10", "fields": {"body": "b", "n": 1}');
SELECT device FROM mirusync.change_log WHERE feed = 'xena' ORDER BY seq DESC LIMIT 1;
-- One that suppresses the row.
SELECT verdict(2, '"kind": "put", "collection": "item", "id": "11", "fields": {"body": "nothing"}');
DROP TRIGGER act ON item;

-- One that undoes or moves what was pushed: not applied, and gone.
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.body = 'delete' THEN
		DELETE FROM ddl_test.item WHERE id = NEW.id;
	ELSIF NEW.body = 'move' THEN
		UPDATE ddl_test.item SET owner = 'yuri', body = 'moved' WHERE id = NEW.id;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER undo AFTER INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION undo();
SELECT verdict(3, '"kind": "put", "collection": "item", "id": "12", "fields": {"body": "delete"}');
SELECT verdict(4, '"kind": "put", "collection": "item", "id": "13", "fields": {"body": "move"}');
SELECT feed, deleted FROM mirusync.record WHERE id = '13';
DROP TRIGGER undo ON item;

-- A device whose clock runs ahead does not lose against itself.
SELECT verdict(5, '"kind": "put", "collection": "item", "id": "14", "fields": {"n": 1}, "clock": "2999-01-01T00:00:00Z"') ->> 'verdict',
	verdict(6, '"kind": "patch", "collection": "item", "id": "14", "fields": {"n": 2}, "clock": "2999-01-01T00:00:01Z"') ->> 'verdict',
	verdict(7, '"kind": "delete", "collection": "item", "id": "14", "clock": "2999-01-01T00:00:02Z"') ->> 'verdict';

-- A key that is equal is not the same id.
CREATE TABLE price (amount numeric PRIMARY KEY, owner text, body text);
SELECT mirusync.attach('price', feed => 'owner');
INSERT INTO price VALUES (1.0, 'xena', 'one');
SELECT verdict(8, '"kind": "patch", "collection": "price", "id": "1.00", "fields": {"body": "else"}, "clock": "1999-01-01T00:00:00Z"');
UPDATE price SET amount = 1.00;
SELECT id, deleted FROM mirusync.record WHERE collection = 'price' ORDER BY seq;

-- What row security hides from the collection's role is not the device's.
CREATE ROLE regress_mirusync_pusher;
GRANT ALL ON SCHEMA ddl_test TO regress_mirusync_pusher;
CREATE TABLE secret (id int PRIMARY KEY, owner text, body text, hidden boolean);
GRANT ALL ON secret TO regress_mirusync_pusher;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secret TO regress_mirusync_pusher USING (NOT hidden);
SELECT mirusync.attach('secret', feed => 'owner', role => 'regress_mirusync_pusher');
INSERT INTO secret VALUES (1, 'xena', 'x', true), (2, 'xena', 'x', false);
SELECT verdict(9, '"kind": "delete", "collection": "secret", "id": "1"');
SELECT verdict(10, '"kind": "patch", "collection": "secret", "id": "1", "fields": {"body": "y"}');
SELECT verdict(11, '"kind": "patch", "collection": "secret", "id": "2", "fields": {"body": "y"}');
SELECT verdict(12, '"kind": "patch", "collection": "secret", "id": "2", "fields": {"hidden": true}');

-- Whoever calls push chooses no names for the application's triggers.
CREATE TABLE public.ddl_log (what text);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ddl_log VALUES (current_setting('search_path'));
	RETURN NULL;
END $$;
CREATE TRIGGER log AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION log();
CREATE TEMP TABLE ddl_log (what text);
SELECT verdict(13, '"kind": "put", "collection": "item", "id": "20", "fields": {"n": 1}') ->> 'verdict';
SELECT what FROM public.ddl_log;
SELECT count(*) FROM pg_temp.ddl_log;
SHOW search_path;

-- What fails for want of a later change, besides one that fails for good.
CREATE TABLE child (id int PRIMARY KEY, owner text, item int REFERENCES item DEFERRABLE);
SELECT mirusync.attach('child', feed => 'owner');
SELECT jsonb_path_query_array(mirusync.push('xena', 'phone', '{"changes": [
	{"number": 20, "kind": "put", "collection": "child", "id": "1", "fields": {"item": 30}},
	{"number": 21, "kind": "put", "collection": "item", "id": "30", "fields": {"n": 1}},
	{"number": 22, "kind": "put", "collection": "child", "id": "2", "fields": {"item": 99}}]}'),
	'$.verdicts[*].verdict');

-- What devices have of a record stays as it was when a column changes.
SET client_min_messages = notice;
CREATE TABLE form (id int PRIMARY KEY, owner text, a text, b int, c text);
SELECT mirusync.attach('form', feed => 'owner', collection => 'forms');
CREATE DOMAIN seven AS int DEFAULT 7;
ALTER TABLE form ADD COLUMN d int DEFAULT 7;
ALTER TABLE form ADD COLUMN e int GENERATED ALWAYS AS (b + 1) STORED, ADD COLUMN f int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE form ADD COLUMN g seven;
ALTER TABLE form RENAME COLUMN a TO aa;
ALTER TABLE form ALTER COLUMN aa TYPE varchar(10);
ALTER TABLE form DROP COLUMN c, ADD COLUMN h int DEFAULT 8;
DROP DOMAIN seven CASCADE;
-- Not so: nothing changes for them.
ALTER TABLE form ADD COLUMN i int;
ALTER TABLE form ALTER COLUMN i SET DEFAULT 1, ALTER COLUMN i SET STATISTICS 10, ALTER COLUMN i SET NOT NULL;
ALTER TABLE form RENAME COLUMN owner TO who;
ALTER TABLE form RENAME TO form_2;
ALTER TABLE form_2 ADD CHECK (d > 0), ADD UNIQUE (d);
ALTER TABLE item ADD COLUMN nothing int;
CREATE TABLE unattached (id int);
ALTER TABLE unattached ADD COLUMN a int DEFAULT 1;
ALTER TABLE unattached DROP COLUMN a, SET UNLOGGED;
-- ... of a partitioned table: once, not for each partition.
CREATE TABLE parted (id int PRIMARY KEY, owner text, a text) PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT mirusync.attach('parted', feed => 'owner');
ALTER TABLE parted RENAME COLUMN a TO aa;
ALTER TABLE parted DROP COLUMN aa, ADD COLUMN b int DEFAULT 1;

-- A trigger of ours that no longer sees everything.
ALTER TABLE form_2 DISABLE TRIGGER ALL;
ALTER TABLE form_2 ENABLE TRIGGER "!mirusync_capture";
ALTER TABLE form_2 ENABLE ALWAYS TRIGGER "!mirusync_capture";
ALTER TABLE form_2 ENABLE ALWAYS TRIGGER "!mirusync_truncate";
ALTER TABLE parted_0 DISABLE TRIGGER USER;
ALTER TABLE parted_0 ENABLE ALWAYS TRIGGER "!mirusync_capture", ENABLE ALWAYS TRIGGER "!mirusync_truncate";
DROP TRIGGER "!mirusync_truncate" ON parted_0;
DROP TRIGGER "!mirusync_capture" ON form_2;
-- One that is renamed is ours all the same, and one that replaces it is not.
CREATE VIEW ours AS SELECT tgrelid::regclass AS relation, tgname, tgenabled FROM pg_trigger
	WHERE tgfoid = 'mirusync.capture'::regproc AND tgrelid <> 'mirusync.document'::regclass
	ORDER BY tgrelid::regclass::text COLLATE "C", tgname;
CREATE TABLE named (id int PRIMARY KEY, owner text);
CREATE TABLE named_parts (id int PRIMARY KEY, owner text) PARTITION BY LIST (id);
CREATE TABLE named_1 PARTITION OF named_parts FOR VALUES IN (1);
SELECT mirusync.attach('named', feed => 'owner'), mirusync.attach('named_parts', feed => 'owner');
ALTER TRIGGER "!mirusync_capture" ON named RENAME TO a;
ALTER TRIGGER "!mirusync_truncate" ON named RENAME TO b;
ALTER TRIGGER "!mirusync_capture" ON named_parts RENAME TO c;
ALTER TRIGGER "!mirusync_truncate" ON named_1 RENAME TO d;
ALTER TABLE named DISABLE TRIGGER a;
ALTER TABLE named ENABLE ALWAYS TRIGGER a;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE OR REPLACE TRIGGER b BEFORE TRUNCATE ON named EXECUTE FUNCTION nothing();
ALTER TABLE named DISABLE TRIGGER b;
SELECT * FROM ours WHERE relation::text LIKE 'named%';
DROP TRIGGER d ON named_1;
DROP TRIGGER c ON named_parts;
SELECT mirusync.detach('named_parts'), mirusync.attach('named_parts', feed => 'owner');
ALTER TRIGGER "!mirusync_capture" ON named_parts RENAME TO c;
ALTER TRIGGER "!mirusync_truncate" ON named_1 RENAME TO d;
ALTER TABLE named_parts DETACH PARTITION named_1;
ALTER TABLE named_parts ATTACH PARTITION named_1 FOR VALUES IN (1);
SELECT * FROM ours WHERE relation::text LIKE 'named%';
ALTER TRIGGER "!mirusync_truncate" ON named_1 RENAME TO d;
SELECT mirusync.detach('named'), mirusync.detach('named_parts');
SELECT * FROM ours WHERE relation::text LIKE 'named%';

-- What makes it a table of another kind is refused.
ALTER TABLE form_2 SET UNLOGGED;
CREATE TABLE heir () INHERITS (form_2);
ALTER TABLE parted_0 SET UNLOGGED;
CREATE TABLE heir (LIKE form_2 INCLUDING ALL);
ALTER TABLE heir INHERIT form_2;
DROP TABLE heir;
-- A table whose key is lost can be altered and dropped all the same.
ALTER TABLE form_2 DROP CONSTRAINT form_pkey;
ALTER TABLE form_2 ADD COLUMN j int DEFAULT 1, DROP COLUMN d;
DROP TABLE form_2;
SELECT mirusync.detach('parted');
-- The event triggers are for nobody to call, and not in the way of our own.
SELECT mirusync.ddl_end();
SET client_min_messages = warning;

SELECT mirusync.detach('child'), mirusync.detach('secret'), mirusync.detach('price'), mirusync.detach('item');
DROP TABLE public.ddl_log;
DROP SCHEMA ddl_test CASCADE;
DROP ROLE regress_mirusync_pusher;
