-- attach() and detach(): what can be attached, by whom, what it leaves behind,
-- and how fields keep their numbers.
SET client_min_messages = warning;
CREATE ROLE regress_mirusync_owner;
CREATE ROLE regress_mirusync_other;
CREATE ROLE regress_mirusync_pusher;
GRANT regress_mirusync_pusher TO regress_mirusync_owner;
CREATE SCHEMA attach_test;
GRANT ALL ON SCHEMA attach_test TO PUBLIC;
GRANT EXECUTE ON FUNCTION
	mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean),
	mirusync.detach(regclass)
	TO regress_mirusync_owner, regress_mirusync_other;
SET search_path = attach_test;

-- What the tests look at.
CREATE VIEW fields AS
	SELECT relation, number, attnum, name FROM mirusync.field
	ORDER BY relation::text, number;
CREATE VIEW changes AS
	SELECT feed, seq, collection, id, kind, old, new
	FROM mirusync.change_log ORDER BY feed, seq;
CREATE VIEW triggers AS
	SELECT t.tgrelid::regclass AS "table", t.tgname, t.tgenabled,
		t.tgfoid::regproc, d.deptype
	FROM pg_trigger t LEFT JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass
		AND d.objid = t.oid AND d.refclassid = 'pg_proc'::regclass
	WHERE t.tgname LIKE '!%' AND t.tgrelid <> 'mirusync.document'::regclass
	ORDER BY 1, 2;
GRANT SELECT ON fields, changes, triggers TO PUBLIC;

-- The owner of a table attaches it without any right on mirusync's tables;
-- rows that are already there become changes.
SET ROLE regress_mirusync_owner;
CREATE TABLE note (
	owner text NOT NULL,
	id int PRIMARY KEY,
	title text,
	body text DEFAULT '',
	size int GENERATED ALWAYS AS (length(body)) STORED
);
INSERT INTO note VALUES ('anna', 1, 'one'), ('anna', 2, 'two'), ('bob', 3, 'three');
SELECT mirusync.attach('note', feed => 'owner');
SELECT * FROM triggers;
SELECT * FROM fields;
RESET ROLE;
SELECT * FROM mirusync.collections;
SELECT * FROM changes;

-- A write by anybody counts, and comes in the row's own feed.
SET ROLE regress_mirusync_owner;
UPDATE note SET title = 'eins' WHERE id = 1;
UPDATE note SET owner = 'bob' WHERE id = 2;
RESET ROLE;
SELECT * FROM changes WHERE seq > 1 ORDER BY feed, seq;

-- Renames of column, table and schema are followed; a column added later gets
-- the next number, and that of a dropped one is not used again.
ALTER TABLE note RENAME COLUMN title TO heading;
ALTER TABLE note RENAME COLUMN owner TO user_id;
ALTER TABLE note DROP COLUMN body CASCADE;
ALTER TABLE note ADD COLUMN tags text[];
ALTER TABLE note RENAME TO memo;
UPDATE memo SET heading = 'uno', tags = '{a,b}' WHERE id = 1;
SELECT * FROM fields;
SELECT name, relation, feed_column FROM mirusync.collections;
SELECT * FROM changes WHERE feed = 'anna' ORDER BY seq DESC LIMIT 1;
ALTER TABLE memo ADD COLUMN body text;
ALTER SCHEMA attach_test RENAME TO attach_test_2;
SET search_path = attach_test_2;
UPDATE memo SET body = 'new' WHERE id = 1;
SELECT * FROM fields;
SELECT * FROM changes WHERE feed = 'anna' ORDER BY seq DESC LIMIT 1;
ALTER SCHEMA attach_test_2 RENAME TO attach_test;
SET search_path = attach_test;

-- A number given in a subtransaction that aborts is given again.
BEGIN;
ALTER TABLE memo ADD COLUMN colour text;
SAVEPOINT s;
UPDATE memo SET colour = 'red' WHERE id = 1;
SELECT number, name FROM fields ORDER BY number DESC LIMIT 1;
ROLLBACK TO s;
SELECT number, name FROM fields ORDER BY number DESC LIMIT 1;
UPDATE memo SET colour = 'blue' WHERE id = 1;
COMMIT;
SELECT number, name FROM fields ORDER BY number DESC LIMIT 1;
SELECT * FROM changes WHERE feed = 'anna' ORDER BY seq DESC LIMIT 1;

-- A transaction that may not write gives no number, and what it took for one
-- is not kept.
ALTER TABLE memo ADD COLUMN late int;
BEGIN READ ONLY;
SELECT (mirusync.pull('anna', 'anna') -> 'changes' -> -1 -> 'fields') ? 'late' AS sent;
SELECT number, name FROM fields ORDER BY number DESC LIMIT 1;
COMMIT;
UPDATE memo SET late = 1 WHERE id = 1;
SELECT number, name FROM fields ORDER BY number DESC LIMIT 1;

-- Swapped names stay with their columns.
ALTER TABLE memo RENAME COLUMN heading TO swap;
ALTER TABLE memo RENAME COLUMN colour TO heading;
ALTER TABLE memo RENAME COLUMN swap TO colour;
UPDATE memo SET colour = 'dos' WHERE id = 1;
SELECT * FROM fields WHERE name IN ('colour', 'heading');

-- As after a restore: the attnums are those of another database, so columns
-- are found by name, and noted anew.
UPDATE mirusync.field SET bound_to = 'elsewhere', attnum = attnum - 1
WHERE attnum > 2;
UPDATE memo SET colour = 'tres' WHERE id = 1;
SELECT * FROM fields;
SELECT count(*) FROM mirusync.field WHERE bound_to = 'elsewhere';
SELECT * FROM changes WHERE feed = 'anna' ORDER BY seq DESC LIMIT 1;

-- What is no rule is refused, also in plain SQL.
\set VERBOSITY terse
UPDATE mirusync.collection SET rule = 'best' WHERE name = 'note';
\set VERBOSITY default

-- Without its primary key, or its feed column, a table takes no writes; it
-- can be detached, or mended.
ALTER TABLE memo DROP CONSTRAINT note_pkey;
UPDATE memo SET colour = 'x';
ALTER TABLE memo ADD CONSTRAINT note_pkey PRIMARY KEY (id) DEFERRABLE;
UPDATE memo SET colour = 'cuatro' WHERE id = 1;
BEGIN;
ALTER TABLE memo DROP COLUMN user_id;
UPDATE memo SET colour = 'x';
ROLLBACK;
UPDATE memo SET colour = 'cinco' WHERE id = 1;
BEGIN;
ALTER TABLE memo DROP COLUMN user_id;
SELECT mirusync.detach('memo');
UPDATE memo SET colour = 'x' WHERE id = 1;
ROLLBACK;

-- Detaching removes both triggers and all that was known of the table.
SET ROLE regress_mirusync_owner;
SELECT mirusync.detach('memo');
SELECT * FROM triggers;
SELECT * FROM fields;
RESET ROLE;
SELECT * FROM mirusync.collections;
SELECT count(*) FROM mirusync.record WHERE collection = 'note';
UPDATE memo SET colour = 'unseen';
SELECT count(*) FROM changes WHERE new ->> 'colour' = 'unseen';
DROP TABLE memo;

-- It leaves the table exactly as it was.
SET ROLE regress_mirusync_owner;
CREATE TABLE note (owner text, id int PRIMARY KEY, title text);
CREATE VIEW facts AS
	SELECT 'column' AS kind, to_jsonb(a) AS fact FROM pg_attribute a
	WHERE attrelid = 'note'::regclass
	UNION ALL SELECT 'constraint', to_jsonb(c) FROM pg_constraint c
	WHERE conrelid = 'note'::regclass
	UNION ALL SELECT 'index', to_jsonb(i) FROM pg_index i
	WHERE indrelid = 'note'::regclass
	UNION ALL SELECT 'trigger', to_jsonb(t) FROM pg_trigger t
	WHERE tgrelid = 'note'::regclass
	-- as after any DROP TRIGGER, only VACUUM takes relhastriggers back
	UNION ALL SELECT 'table', to_jsonb(c) - '{relhastriggers,relpages,reltuples,relallvisible}'::text[]
	FROM pg_class c WHERE oid = 'note'::regclass
	UNION ALL SELECT 'depend', to_jsonb(d) FROM pg_depend d
	WHERE 'note'::regclass IN (objid, refobjid);
CREATE TEMP TABLE facts_before AS SELECT * FROM facts;
SELECT mirusync.attach('note', 'owner');
SELECT count(*) > 0 AS attached FROM (TABLE facts EXCEPT TABLE facts_before) f;
SELECT mirusync.detach('note');
(TABLE facts EXCEPT TABLE facts_before)
UNION ALL (TABLE facts_before EXCEPT TABLE facts);
DROP TABLE facts_before;
DROP VIEW facts;

-- A rolled back attach leaves nothing either.
BEGIN;
SELECT mirusync.attach('note', 'owner');
ROLLBACK;
SELECT * FROM triggers;
INSERT INTO note VALUES ('anna', 1, 'one');
RESET ROLE;
SELECT count(*) FROM mirusync.record WHERE collection = 'note';

-- All arguments; a collection's name is not the table's.
SET ROLE regress_mirusync_owner;
SELECT mirusync.attach(relation => 'note', feed => 'owner',
	collection => 'notes of a user', rule => 'lww',
	role => 'regress_mirusync_pusher', pushable => false);
RESET ROLE;
SELECT * FROM mirusync.collections;

-- A table that is dropped is in nobody's way.
DROP TABLE note;
SELECT * FROM mirusync.collections;
CREATE TABLE note (owner text, id int PRIMARY KEY, title text);
INSERT INTO note VALUES ('carol', 1, 'one');
SELECT mirusync.attach('note', 'owner', 'notes of a user');
SELECT name, relation FROM mirusync.collections;
SELECT count(*) FROM mirusync.attached;
SELECT feed, id FROM mirusync.record WHERE collection = 'notes of a user';

-- Triggers that are there without a registry are taken over.
DELETE FROM mirusync.attached WHERE relation = 'note'::regclass;
DELETE FROM mirusync.collection WHERE relation = 'note'::regclass;
DELETE FROM mirusync.field WHERE relation = 'note'::regclass;
INSERT INTO note VALUES ('carol', 2, 'two');
SELECT mirusync.attach('note', 'owner');
INSERT INTO note VALUES ('carol', 2, 'two');
SELECT * FROM triggers;

-- Whose row it is: nobody's, whose feed is null; it is in no feed until it gets
-- one, and leaves it with a tombstone.
INSERT INTO note VALUES (NULL, 50, 'nobody''s');
UPDATE note SET title = 'still' WHERE id = 50;
SELECT * FROM changes WHERE id = '50';
UPDATE note SET owner = 'dora', title = 'hers' WHERE id = 50;
UPDATE note SET owner = NULL WHERE id = 50;
UPDATE note SET title = 'nobody''s again' WHERE id = 50;
DELETE FROM note WHERE id = 50;
INSERT INTO note VALUES ('dora', 51, 'hers');
UPDATE note SET owner = 'emil' WHERE id = 51;
SELECT * FROM changes WHERE id IN ('50', '51');
SELECT jsonb_path_query_array(mirusync.pull(who, who), '$.changes[*].kind') FROM (VALUES ('dora'), ('emil')) v(who);

-- Types that give a feed, and keys of more than one column.
CREATE DOMAIN account AS bigint CHECK (VALUE > 0);
CREATE TABLE by_domain (account account, a int, b text, PRIMARY KEY (account, b, a));
CREATE TABLE by_uuid (u uuid, id varchar(9) PRIMARY KEY);
CREATE TABLE by_int (u smallint PRIMARY KEY, note text);
SELECT mirusync.attach('by_domain', 'account');
SELECT mirusync.attach('by_uuid', 'u');
SELECT mirusync.attach('by_int', 'u');
INSERT INTO by_domain VALUES (7, 1, 'x,y');
INSERT INTO by_uuid VALUES ('00000000-0000-0000-0000-00000000000a', 'k');
INSERT INTO by_int VALUES (-1, 'one');
SELECT * FROM changes WHERE collection LIKE 'by%' ORDER BY collection;
SELECT mirusync.detach('by_domain'), mirusync.detach('by_uuid'),
	mirusync.detach('by_int');

--
-- Errors
--

-- arguments
SELECT mirusync.attach('nowhere', 'owner');
SELECT mirusync.attach(NULL, 'owner');
SELECT mirusync.attach('by_int', NULL);
SELECT mirusync.attach('by_int', 'u', rule => NULL);
SELECT mirusync.attach('by_int', 'u', rule => 'newest');
SELECT mirusync.attach('by_int', 'u', collection => '');
SELECT mirusync.attach('by_int', 'u', collection => repeat('x', 256));
SELECT mirusync.attach('by_int', 'u', collection => E'a\nb');
SELECT mirusync.attach('by_int', 'u', role => 'regress_mirusync_nobody');
SELECT mirusync.attach(0, 'owner');
SELECT mirusync.detach(NULL);
SELECT mirusync.detach('by_int');
BEGIN READ ONLY;
SELECT mirusync.attach('by_int', 'u');
ROLLBACK;

-- what is taken
SELECT mirusync.attach('note', 'owner');
SELECT mirusync.attach('by_int', 'u', collection => 'note');

-- tables that have no rows of their own, or that will not do yet
CREATE TABLE no_key (u text, id int UNIQUE NOT NULL);
CREATE VIEW a_view AS SELECT * FROM note;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM note;
CREATE SEQUENCE a_sequence;
CREATE TABLE parted (u text, id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (2);
CREATE TABLE parent (u text, id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
CREATE UNLOGGED TABLE not_logged (u text, id int PRIMARY KEY);
CREATE TEMP TABLE passing (u text, id int PRIMARY KEY);
SELECT mirusync.attach('no_key', 'u');
SELECT mirusync.attach('a_view', 'owner');
SELECT mirusync.attach('a_matview', 'owner');
SELECT mirusync.attach('a_sequence', 'owner');
SELECT mirusync.attach('part', 'u');
SELECT mirusync.attach('parent', 'u');
SELECT mirusync.attach('child', 'u');
SELECT mirusync.attach('not_logged', 'u');
SELECT mirusync.attach('passing', 'u');
SELECT mirusync.attach('pg_class', 'relname');
SELECT mirusync.attach('mirusync.record', 'feed');
SELECT mirusync.attach('mirusync.document', 'feed');
SELECT mirusync.detach('mirusync.document');

-- columns that give no feed
CREATE TABLE odd (
	id int PRIMARY KEY, day date, c char(8), dropped text,
	made text GENERATED ALWAYS AS ('x' || id::text COLLATE "C") STORED
);
ALTER TABLE odd DROP COLUMN dropped;
SELECT mirusync.attach('odd', 'nothing');
SELECT mirusync.attach('odd', 'dropped');
SELECT mirusync.attach('odd', '........pg.dropped.4........');
SELECT mirusync.attach('odd', 'xmin');
SELECT mirusync.attach('odd', 'day');
SELECT mirusync.attach('odd', 'c');
SELECT mirusync.attach('odd', 'made');

-- what belongs to others
CREATE TABLE mine (u text, id int PRIMARY KEY);
ALTER TABLE mine OWNER TO regress_mirusync_owner;
SET ROLE regress_mirusync_other;
SELECT mirusync.attach('mine', 'u');
SELECT mirusync.detach('note');
SELECT mirusync.attach('pg_catalog.pg_authid', 'rolname');
RESET ROLE;
SET ROLE regress_mirusync_owner;
SELECT mirusync.attach('mine', 'u', role => 'regress_mirusync_other');
INSERT INTO mirusync.attached VALUES ('mine', 'u');
RESET ROLE;
SELECT count(*) FROM mirusync.attached WHERE relation = 'mine'::regclass;

-- Row-level security says nothing about what devices read, and policies may be
-- there before it is enabled.
CREATE POLICY written ON mine FOR INSERT WITH CHECK (true);
CREATE POLICY changed ON mine FOR UPDATE USING (true);
CREATE POLICY gone ON mine FOR DELETE USING (true);
SELECT mirusync.attach('mine', 'u');
SELECT mirusync.detach('mine');
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
SELECT mirusync.attach('mine', 'u');
SELECT mirusync.detach('mine');
CREATE POLICY read ON mine FOR SELECT USING (true);
SELECT mirusync.attach('mine', 'u');
SELECT mirusync.detach('mine');
ALTER TABLE mine DISABLE ROW LEVEL SECURITY;
SELECT mirusync.attach('mine', 'u');
SELECT mirusync.detach('mine');
DROP POLICY read ON mine;
CREATE POLICY whatever ON mine USING (true);
SELECT mirusync.attach('mine', 'u');

SELECT mirusync.detach('mine'), mirusync.detach('note');
SELECT relation FROM mirusync.attached;
SELECT count(*) FROM mirusync.field;

RESET search_path;
SET client_min_messages = error;
DROP SCHEMA attach_test CASCADE;
RESET client_min_messages;
DELETE FROM mirusync.record;
DELETE FROM mirusync.change_log;
DELETE FROM mirusync.feed;
REVOKE ALL ON FUNCTION
	mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean),
	mirusync.detach(regclass)
	FROM regress_mirusync_owner, regress_mirusync_other;
DROP ROLE regress_mirusync_owner, regress_mirusync_other, regress_mirusync_pusher;
