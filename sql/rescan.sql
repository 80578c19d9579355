-- rescan(): what capture did not see becomes ordinary changes.
SET client_min_messages = notice;
SET timezone = 'UTC';
-- What other tests told of collections that are called the same here.
DELETE FROM mirusync.change_log WHERE collection IN ('item', 'secret', 'word', 'plain', 'kind', 'part');
CREATE SCHEMA rescan_test;
SET search_path = rescan_test;

CREATE VIEW changes AS
	SELECT feed, seq, kind, id, old, new FROM mirusync.change_log
	WHERE feed LIKE 'rescan-%' ORDER BY feed, seq;
CREATE VIEW heads AS
	SELECT feed, head FROM mirusync.feed WHERE feed LIKE 'rescan-%' ORDER BY feed;

-- Nothing differs: no number is given, whatever the types are.
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN code AS text CHECK (VALUE <> '');
CREATE TABLE kind (owner text, id numeric, PRIMARY KEY (owner, id),
	f4 float4, f8 float8, num numeric, i8 bigint, b boolean, t text, v varchar(9),
	c char(5), by bytea, d date, ts timestamp, tz timestamptz, ti time, iv interval,
	u uuid, j json, jb jsonb, a int[], aa text[][], r int4range, m mood, co code,
	inet inet, p point, len int GENERATED ALWAYS AS (length(t)) STORED);
SELECT mirusync.attach('kind', feed => 'owner');
INSERT INTO kind VALUES
	('rescan-types', 1, 0.1, 0.1, 1.10, 9223372036854775807, true, 'x', 'v', 'c', '\x00ff',
		'infinity', '-infinity', '2026-03-29 02:30+02', '24:00', '1 mon -1 day', gen_random_uuid(),
		'{"b" : 1.50, "a":[1, {"z": null}], "a": 2}', '{"b": 1.50, "a": [1, {"z": null}]}', '{1,NULL,3}',
		'{{a,"b c"},{"\"",NULL}}', '[1,5)', 'bad', 'x', '10.0.0.1/8', '(1.5,2)'),
	('rescan-types', 2, 'NaN', 'Infinity', 'NaN', 0, false, '', NULL, '', '',
		'4713-01-01 BC', '294276-12-31 23:59:59.999999', '-infinity', '00:00', 'P1Y2M3DT4H5M6.7S', NULL,
		'null', 'null', '{}', NULL, 'empty', 'good', NULL, '::1', '(-0,1e300)'),
	('rescan-types', 2.0001, '1e-45', '5e-324', '1e-30', -1, NULL, repeat('long ', 3000), NULL, NULL, NULL,
		NULL, NULL, '2026-10-25 01:30:00.000001+00', '12:00:00.000001', '-00:00:00.000001', NULL,
		'[]', '[[], {}, [1.0, 1.00]]', NULL, NULL, '(,)', NULL, NULL, NULL, NULL);
UPDATE kind SET f8 = f8 / 3, num = 2.50, jb = jb || '[5]', t = 'y' WHERE id = 1;
UPDATE kind SET f4 = 1.0/3, iv = iv * 3, tz = tz + '1 us', aa = '{{x}}', t = t || 'er' WHERE id > 2;
CALL mirusync.rescan('kind');
SET timezone = 'Asia/Kolkata';
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
CALL mirusync.rescan('kind', 1);
RESET timezone;
RESET datestyle;
RESET intervalstyle;
RESET extra_float_digits;
RESET bytea_output;
SELECT * FROM heads;

-- Rows and columns that changed behind the triggers' back.
CREATE TABLE item (id int PRIMARY KEY, owner text, body text, n int, gone text);
CREATE INDEX ON item (owner);
SELECT mirusync.attach('item', feed => 'owner');
INSERT INTO item SELECT i, 'rescan-' || substr('ab', 1 + i % 2, 1), 'row ' || i, i, 'x'
	FROM generate_series(1, 9) i;
INSERT INTO item VALUES (20, NULL, 'nobody''s', 0, 'x');
UPDATE item SET n = 10 WHERE id = 1;
CREATE TABLE head_before AS SELECT * FROM heads;
ALTER TABLE item DISABLE TRIGGER USER;
UPDATE item SET body = 'unseen' WHERE id = 1;
DELETE FROM item WHERE id = 2;
INSERT INTO item VALUES (10, 'rescan-a', 'unseen', 10, 'x'), (11, 'rescan-c', 'unseen', 11, 'x');
UPDATE item SET owner = 'rescan-d' WHERE id = 3;		-- to a feed that there was none of
UPDATE item SET owner = 'rescan-a' WHERE id = 5;		-- to another one
UPDATE item SET owner = NULL WHERE id = 4;				-- to nobody
UPDATE item SET owner = 'rescan-a' WHERE id = 20;		-- from nobody
DELETE FROM item WHERE id = 6;
INSERT INTO item VALUES (6, 'rescan-a', 'again', 6, 'x');	-- dropped and made again
UPDATE item SET id = 70 WHERE id = 7;
UPDATE item SET body = body WHERE id = 8;
ALTER TABLE item ENABLE ALWAYS TRIGGER "!mirusync_capture";
CALL mirusync.rescan('item');
SELECT c.* FROM changes c LEFT JOIN head_before h USING (feed)
WHERE c.seq > coalesce(h.head, 0) AND feed <> 'rescan-types' ORDER BY feed, id, seq;
-- What nobody wrote keeps its clock: of a change as old as that of n, only
-- the body is stale.
CREATE FUNCTION push_old(feed text, id text) RETURNS text LANGUAGE sql AS $$
	SELECT mirusync.push($1, 'phone-' || random(), jsonb_build_object('changes', jsonb_build_array(
		jsonb_build_object('number', 1, 'kind', 'patch', 'collection', 'item', 'id', $2,
			'fields', jsonb_build_object('body', 'mine', 'n', 99), 'clock',
			(SELECT c.clock::text FROM mirusync.change_log c
				WHERE (c.feed, c.id, c.kind) = ($1, $2, 'patch') ORDER BY c.seq LIMIT 1)))))
		#>> '{verdicts,0}'
$$;
BEGIN;
SELECT push_old('rescan-b', '1');
ROLLBACK;
CALL mirusync.rescan('item');

-- Columns: one with a default, one that is renamed, one with another type,
-- one that is dropped; then none of it is left to be told.
ALTER TABLE item ADD COLUMN added int DEFAULT 5;
ALTER TABLE item RENAME COLUMN body TO text;
ALTER TABLE item ALTER COLUMN n TYPE text USING n::text;
ALTER TABLE item DROP COLUMN gone;
CALL mirusync.rescan('item', 2);
SELECT kind, id, old, new FROM changes WHERE feed = 'rescan-c' ORDER BY seq;
SELECT mirusync.pull('rescan-c', 'rescan-c') #> '{changes,0,fields}';
CALL mirusync.rescan('item');

-- The key's type changes so that old ids are none of it any more.
CREATE TABLE word (id text PRIMARY KEY, owner text);
CREATE INDEX ON word (owner);
SELECT mirusync.attach('word', feed => 'owner');
INSERT INTO word VALUES ('a', 'rescan-w'), ('1', 'rescan-w');
ALTER TABLE word ALTER COLUMN id TYPE int USING CASE id WHEN 'a' THEN 7 ELSE id::int END;
CALL mirusync.rescan('word');
SELECT kind, id, old, new FROM changes WHERE feed = 'rescan-w' ORDER BY seq;
CALL mirusync.rescan('word');

-- History that does not reach back to a put: the record as a whole.
DELETE FROM mirusync.change_log WHERE feed = 'rescan-c' AND kind = 'put';
CALL mirusync.rescan('item');
SELECT kind, id, old, new FROM changes WHERE feed = 'rescan-c' ORDER BY seq;
CALL mirusync.rescan('item');

-- A column that is not synced is none that differs, whether devices were told
-- of it or not; of one that is synced again they get what is there.
CREATE TABLE secret (id int PRIMARY KEY, owner text, body text, told text, untold text);
CREATE INDEX ON secret (owner);
SELECT mirusync.attach('secret', feed => 'owner', excluding => '{untold}');
INSERT INTO secret SELECT i, 'rescan-s', 'row ' || i, 'told', 'untold' FROM generate_series(1, 4) i;
SELECT mirusync.sync_column('secret', 'told', false);
CALL mirusync.rescan('secret');
ALTER TABLE secret DISABLE TRIGGER USER;
UPDATE secret SET told = 'hidden', untold = 'hidden' WHERE id = 1;
UPDATE secret SET body = 'unseen', told = 'hidden' WHERE id = 2;
DELETE FROM secret WHERE id = 3;
INSERT INTO secret VALUES (5, 'rescan-s', 'unseen', 'hidden', 'hidden');
CALL mirusync.rescan('secret');
SELECT kind, id, old, new FROM changes WHERE feed = 'rescan-s' AND seq > 4 ORDER BY seq;
CALL mirusync.rescan('secret');
SELECT mirusync.sync_column('secret', 'told', true);
CALL mirusync.rescan('secret');
SELECT kind, id, old, new FROM changes WHERE feed = 'rescan-s' AND seq > 7 ORDER BY id;
CALL mirusync.rescan('secret');
-- What a trigger would refuse, rescan refuses.
INSERT INTO secret VALUES (6, repeat('long', 1000), 'unseen', NULL, NULL);
CALL mirusync.rescan('secret');
SELECT mirusync.detach('secret');

-- Documents, where a field is removed too.
SELECT mirusync.create_collection('rescan note');
SELECT mirusync.create_collection('rescan other');
SELECT mirusync.put('rescan-doc', 'rescan note', i::text, '{"a": 1, "b": {"c": [1]}}')
	FROM generate_series(1, 3) i;
SELECT mirusync.put('rescan-doc', 'rescan other', '1', '{"a": 1}');
SELECT mirusync.patch('rescan-doc', 'rescan note', '1', '{"d": 1}', '{b}');
ALTER TABLE mirusync.document DISABLE TRIGGER "!mirusync_capture";
SELECT mirusync.patch('rescan-doc', 'rescan note', '1', '{"e": 1}', '{a}');
SELECT mirusync.patch('rescan-doc', 'rescan other', '1', '{"a": 2}');
SELECT mirusync.delete('rescan-doc', 'rescan note', '2');
SELECT mirusync.put('rescan-doc', 'rescan note', '4', '{}');
ALTER TABLE mirusync.document ENABLE ALWAYS TRIGGER "!mirusync_capture";
CALL mirusync.rescan('rescan note');
SELECT seq, kind, id, old, new FROM changes WHERE feed = 'rescan-doc' AND seq > 5;
CALL mirusync.rescan('rescan note');
CALL mirusync.rescan('rescan other');

-- One id is gone from two feeds; and what is gone is told from a row whose key
-- has the very texts of its feed, collection and id.
CREATE TABLE part (owner text, kind text, id text, PRIMARY KEY (owner, kind, id));
SELECT mirusync.attach('part', feed => 'owner');
INSERT INTO part VALUES ('rescan-p', 'part', 'x'), ('rescan-q', 'part', 'x'), ('rescan-q', 'part', 'y');
ALTER TABLE part DISABLE TRIGGER USER;
DELETE FROM part WHERE id = 'x';
INSERT INTO part VALUES ('rescan-p', 'part', 'part,x');
CALL mirusync.rescan('part');
SELECT feed, kind, id FROM changes WHERE feed IN ('rescan-p', 'rescan-q');
CALL mirusync.rescan('part');
SELECT mirusync.detach('part');

-- A table that was emptied, and one without an index.
ALTER TABLE word DISABLE TRIGGER USER;
TRUNCATE word;
CALL mirusync.rescan('word');
SELECT kind, id, old, new FROM changes WHERE feed = 'rescan-w' ORDER BY seq DESC LIMIT 2;
CREATE TABLE plain (id int PRIMARY KEY, owner text);
SELECT mirusync.attach('plain', feed => 'owner');
CALL mirusync.rescan('plain');
CREATE INDEX ON plain (owner) WHERE id > 5;
CREATE INDEX ON plain (lower(owner));
CREATE INDEX ON plain USING hash (owner);
CALL mirusync.rescan('plain');
CREATE INDEX ON plain (owner DESC NULLS LAST, id);
CALL mirusync.rescan('plain');

-- A table that was detached meanwhile: devices keep what they have, and its
-- state is forgotten.  What the history has is told of all the same.
CREATE TABLE lost (id int PRIMARY KEY, owner text, body text, note text);
CREATE INDEX ON lost (owner);
SELECT mirusync.attach('lost', feed => 'owner');
INSERT INTO lost VALUES (1, 'rescan-l', 'a', 'n'), (2, 'rescan-l', 'b', 'n'), (3, 'rescan-l', 'c', 'n'),
	(4, 'rescan-l', 'd', 'n'), (5, 'rescan-l-all', 'e', 'n'), (6, 'rescan-l', 'f', 'n'), (7, 'rescan-l', 'g', 'n');
DELETE FROM lost WHERE id = 4;
UPDATE lost SET body = 'gg' WHERE id = 7;
DELETE FROM mirusync.change_log WHERE feed = 'rescan-l' AND id = '7' AND kind = 'put';
SET client_min_messages = error;
DROP TRIGGER "!mirusync_capture" ON lost;
RESET client_min_messages;
DELETE FROM lost WHERE id IN (1, 5, 7);
UPDATE lost SET body = 'bb' WHERE id = 2;
UPDATE lost SET owner = 'rescan-l-other' WHERE id = 3;
SELECT mirusync.detach('lost');
SELECT mirusync.attach('lost', feed => 'owner', excluding => '{note}', backfill => false);
CALL mirusync.backfill('lost');
CALL mirusync.rescan('lost');
SELECT feed, kind, id, old, new FROM mirusync.change_log
WHERE collection = 'lost' AND kind = 'delete' ORDER BY feed, id COLLATE "C", seq;
SELECT c ->> 'id' AS id, c ->> 'kind' AS kind, c -> 'fields' AS fields
FROM jsonb_array_elements(mirusync.pull('rescan-l', 'rescan-l', 7) -> 'changes') c ORDER BY 1;
CALL mirusync.rescan('lost');

-- Another table under its name.
DROP TABLE lost;
CREATE TABLE found (id int PRIMARY KEY, owner text);
CREATE INDEX ON found (owner);
INSERT INTO found VALUES (2, 'rescan-l');
SELECT mirusync.attach('found', feed => 'owner', collection => 'lost');
CALL mirusync.rescan('lost');
SELECT feed, id, deleted FROM mirusync.record WHERE collection = 'lost' ORDER BY feed, id;

-- Who may, and when.
CALL mirusync.rescan('no such');
CALL mirusync.rescan(NULL);
CALL mirusync.rescan('item', 0);
BEGIN;
CALL mirusync.rescan('item');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
CREATE FUNCTION rescan_item() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL mirusync.rescan('item'); END $$;
SELECT rescan_item();
DO $$ BEGIN CALL mirusync.rescan('item'); END $$;
CREATE ROLE regress_mirusync_rescan;
GRANT EXECUTE ON PROCEDURE mirusync.rescan(text, int) TO regress_mirusync_rescan;
GRANT USAGE ON SCHEMA mirusync, rescan_test TO regress_mirusync_rescan;
GRANT ALL ON item TO regress_mirusync_rescan;
SET ROLE regress_mirusync_rescan;
CALL mirusync.rescan('item');
RESET ROLE;
ALTER TABLE item OWNER TO regress_mirusync_rescan;
SET ROLE regress_mirusync_rescan;
CALL mirusync.rescan('item');
RESET ROLE;

SET client_min_messages = warning;
SELECT mirusync.detach(t) FROM unnest('{kind,item,word,plain,found}'::regclass[]) t;
DROP SCHEMA rescan_test CASCADE;
DELETE FROM mirusync.document WHERE feed = 'rescan-doc';
DROP OWNED BY regress_mirusync_rescan;
DROP ROLE regress_mirusync_rescan;
