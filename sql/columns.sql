-- Which columns leave and enter: attach(columns => / excluding =>) and
-- sync_column().
SET client_min_messages = warning;
-- Each change is judged by itself: the inbox, where later ones wait behind a
-- rejected one, has a test of its own.
SET mirusync.rejected_max_changes = 0;
CREATE ROLE regress_mirusync_owner;
CREATE ROLE regress_mirusync_other;
CREATE SCHEMA columns_test AUTHORIZATION regress_mirusync_owner;
GRANT USAGE ON SCHEMA columns_test TO regress_mirusync_other;
GRANT EXECUTE ON FUNCTION
	mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean),
	mirusync.detach(regclass), mirusync.sync_column(regclass, name, boolean)
	TO regress_mirusync_owner, regress_mirusync_other;
SET search_path = columns_test;

-- What the tests look at.
CREATE VIEW changes AS
	SELECT feed, seq, collection, id, kind, old, new
	FROM mirusync.change_log ORDER BY feed, seq;
CREATE VIEW fields AS
	SELECT number, attnum, name, synced FROM mirusync.field
	WHERE relation <> 'mirusync.document'::regclass ORDER BY relation::text, number;
CREATE VIEW collections AS
	SELECT name, pushable, role, rule, columns FROM mirusync.collections ORDER BY name;
CREATE FUNCTION pulled(who text) RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT c - 'clock' FROM jsonb_array_elements(mirusync.pull(who, who) -> 'changes') c
$$;
CREATE FUNCTION verdict(number int, change text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('anna', 'phone', format('{"changes": [{"number": %s, %s}]}', number, change)::jsonb)
		#> '{verdicts,0}'
$$;

--
-- All but some
--
SET ROLE regress_mirusync_owner;
CREATE TABLE account (
	id int PRIMARY KEY,
	owner text,
	name text,
	password_hash text DEFAULT 'secret-default',
	logins int NOT NULL DEFAULT 0,
	initial text GENERATED ALWAYS AS (left(name, 1)) STORED
);
INSERT INTO account VALUES (1, 'anna', 'Anna', 'secret-1'), (2, 'anna', 'Anne', 'secret-2');
SELECT mirusync.attach('account', feed => 'owner', excluding => '{password_hash,logins}');
RESET ROLE;
TABLE collections;
TABLE fields;
TABLE changes;
SELECT pulled('anna');

-- A change of them only is none; one of others does not tell them.
UPDATE account SET password_hash = 'secret-3', logins = logins + 1;
BEGIN;
UPDATE account SET password_hash = 'secret-4' WHERE id = 1;
UPDATE account SET name = 'Anni', password_hash = 'secret-5' WHERE id = 1;
UPDATE account SET logins = 7 WHERE id = 1;
COMMIT;
DELETE FROM account WHERE id = 2;
SELECT * FROM changes WHERE seq > 2;

-- A device does not get them with a verdict, and naming one is the error of a
-- column that is not there.
SELECT verdict(1, '"kind": "put", "collection": "account", "id": "3", "fields": {"name": "Tres"}');
SELECT verdict(2, '"kind": "patch", "collection": "account", "id": "3", "fields": {"password_hash": "mine"}');
SELECT verdict(3, '"kind": "patch", "collection": "account", "id": "3", "fields": {"no_column": "mine"}');
SELECT verdict(4, '"kind": "put", "collection": "account", "id": "4", "fields": {"name": "Quatro", "logins": 5}');
-- What another one lost against does not tell them either.
SELECT verdict(5, '"kind": "patch", "collection": "account", "id": "1", "fields": {"name": "Old"}, "clock": "2020-01-01T00:00:00Z"');
SELECT verdict(6, '"kind": "delete", "collection": "account", "id": "1", "clock": "2020-01-01T00:00:00Z"');
-- A record that comes back has the table's defaults in them.
SELECT verdict(7, '"kind": "patch", "collection": "account", "id": "2", "fields": {"name": "Back"}') ->> 'verdict';
SELECT id, owner, name, password_hash, logins FROM account ORDER BY id;

-- Nor do live events, or a page of them.
INSERT INTO mirusync.event_collection (collection, payload, id_key, created_type, updated_type)
	VALUES ('account', 'account', 'id', 'ACCOUNT_CREATED', 'ACCOUNT_UPDATED');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, id_keys)
	VALUES ('ACCOUNT_UPDATED', 1, 'account', 'put', 'account', '{id}');
SELECT count(*), count(*) FILTER (WHERE body LIKE '%Live%') AS live,
	count(*) FILTER (WHERE body LIKE '%password%' OR body LIKE '%secret%') AS telling
FROM (SELECT body FROM mirusync.pull_events('anna', 0, 100, false)
	UNION ALL SELECT body FROM mirusync.push_many('{anna}', '{d}', '{s}', '{batch}',
		ARRAY['{"changes": [{"number": 2, "kind": "patch", "collection": "account", "id": "1", "fields": {"name": "Live"}}]}'])) e;

-- Wherever one looks.
SELECT count(*) FROM (SELECT c::text FROM mirusync.change_log c UNION ALL SELECT r::text FROM mirusync.record r
	UNION ALL SELECT v::text FROM mirusync.verdict v UNION ALL SELECT pulled('anna')::text) AS everything(line)
	WHERE line LIKE '%secret%' OR line LIKE '%password%' AND line NOT LIKE '%has no field%';

-- Columns added later are synced.  A renamed one is what it was.
ALTER TABLE account ADD COLUMN town text DEFAULT 'Ulm', ADD COLUMN note text;
SELECT columns FROM collections;
ALTER TABLE account RENAME COLUMN password_hash TO hash;
ALTER TABLE account RENAME COLUMN name TO password_hash;
SELECT columns FROM collections;
UPDATE account SET hash = 'secret-6', password_hash = 'Ana', note = 'n' WHERE id = 1;
SELECT old, new FROM changes ORDER BY seq DESC LIMIT 1;
ALTER TABLE account RENAME COLUMN password_hash TO name;
ALTER TABLE account RENAME COLUMN hash TO password_hash;
UPDATE account SET note = 'n1' WHERE id = 1;
-- One under the name of what was dropped is not synced either.
ALTER TABLE account DROP COLUMN password_hash;
UPDATE account SET note = 'n2' WHERE id = 1;
ALTER TABLE account ADD COLUMN password_hash text;
UPDATE account SET note = 'n3', password_hash = 'secret-7' WHERE id = 1;
SELECT columns FROM collections;
SELECT old, new FROM changes ORDER BY seq DESC LIMIT 1;
BEGIN READ ONLY;
SELECT columns FROM collections;
SELECT pulled('anna') -> 'fields' ? 'password_hash' AS sent LIMIT 1;
COMMIT;

-- As after a restore: found by name.  Where one was renamed before the dump,
-- nobody knows which column it is now, so none that is not known is synced.
UPDATE mirusync.field SET bound_to = 'elsewhere', attnum = attnum - 1 WHERE attnum > 3;
SELECT columns FROM collections;
UPDATE account SET note = 'n4', password_hash = 'secret-8' WHERE id = 1;
SELECT old, new FROM changes ORDER BY seq DESC LIMIT 1;
UPDATE mirusync.field SET bound_to = 'elsewhere', attnum = attnum - 1 WHERE attnum > 3;
UPDATE mirusync.field SET name = 'before' WHERE name = 'password_hash' AND attnum > 0;
ALTER TABLE account ADD COLUMN extra text;
SELECT columns FROM collections;
UPDATE account SET note = 'n5', password_hash = 'secret-9', extra = 'x' WHERE id = 1;
SELECT old, new FROM changes ORDER BY seq DESC LIMIT 1;
ALTER TABLE account ADD COLUMN later text;
SELECT columns FROM collections;

SELECT mirusync.detach('account');
DELETE FROM mirusync.event_type WHERE collection = 'account';
DELETE FROM mirusync.event_collection WHERE collection = 'account';
TABLE fields;
DROP TABLE account;

--
-- Only some
--
CREATE TABLE profile (
	id int, owner text, part int, name text, salary int NOT NULL, boss text,
	grade int GENERATED ALWAYS AS (salary / 1000) STORED,
	PRIMARY KEY (owner, id, part)
);
INSERT INTO profile VALUES (1, 'bea', 1, 'Bea', 1000, 'x');
-- The key's are always, the feed's never, whatever is said of them.
SELECT mirusync.attach('profile', feed => 'owner', columns => '{name}', pushable => true);
TABLE collections;
SELECT mirusync.detach('profile');
SELECT mirusync.attach('profile', feed => 'owner', columns => '{owner,name,part}');
TABLE collections;
SELECT pulled('bea');
SELECT mirusync.detach('profile');
SELECT mirusync.attach('profile', feed => 'owner', columns => '{}');
TABLE collections;
SELECT mirusync.detach('profile');
SELECT mirusync.attach('profile', feed => 'owner', excluding => '{}');
TABLE collections;
SELECT mirusync.detach('profile');
SELECT mirusync.attach('profile', feed => 'owner', excluding => '{owner,salary,grade}');
TABLE collections;
SELECT mirusync.detach('profile');

-- A generated column may tell what the other is to keep.
SELECT mirusync.attach('profile', feed => 'owner', columns => '{name,grade}');
UPDATE profile SET salary = 2500;
SELECT pulled('bea') -> 'fields';
SELECT mirusync.detach('profile');

-- What is NOT NULL and has no default, a new row of a device's lacks.
SELECT mirusync.attach('profile', feed => 'owner', columns => '{name}');
SELECT mirusync.push('bea', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "profile", "id": "2,1", "fields": {"name": "new"}},
	{"number": 2, "kind": "patch", "collection": "profile", "id": "1,1", "fields": {"name": "Beate"}}]}') -> 'verdicts';
ALTER TABLE profile ALTER COLUMN salary SET DEFAULT 1;
SELECT mirusync.push('bea', 'phone', '{"changes": [
	{"number": 3, "kind": "put", "collection": "profile", "id": "2,1", "fields": {"name": "new"}}]}') -> 'verdicts';

-- Columns added later are not synced.
ALTER TABLE profile ADD COLUMN phone text;
UPDATE profile SET phone = '123';
TABLE collections;
SELECT count(*) FROM changes WHERE new ? 'phone';

-- A column that becomes part of the key is in the id, and so synced.
UPDATE profile SET boss = 'b' || part;
ALTER TABLE profile DROP CONSTRAINT profile_pkey;
SELECT columns FROM collections;
ALTER TABLE profile ADD PRIMARY KEY (owner, id, boss);
SELECT columns FROM collections;
UPDATE profile SET name = 'again' WHERE id = 1;
SELECT id, new FROM changes WHERE feed = 'bea' ORDER BY seq DESC LIMIT 1;
SELECT mirusync.detach('profile');

--
-- sync_column()
--
CREATE TABLE card (
	id int PRIMARY KEY, owner text, name text, phone text, salary int,
	grade int GENERATED ALWAYS AS (salary / 1000) STORED, "updatedAt" text
);
ALTER TABLE card OWNER TO regress_mirusync_owner;
SELECT mirusync.attach('card', feed => 'owner', columns => '{name,updatedAt}');
INSERT INTO card VALUES (1, 'carl', 'Carl', '111', 1000), (2, 'carl', 'Clara', '222', 2000);
SET client_min_messages = notice;
SET ROLE regress_mirusync_owner;
SELECT mirusync.sync_column('card', 'phone', true);
SELECT mirusync.sync_column('card', 'phone', true);
SELECT mirusync.sync_column('card', 'grade', true);
RESET ROLE;
SET client_min_messages = warning;
SELECT columns FROM collections;
UPDATE card SET phone = '333' WHERE id = 1;
DELETE FROM card WHERE id = 2;
SELECT kind, id, old, new FROM changes WHERE feed = 'carl' AND seq > 2;
SELECT jsonb_path_query_array(mirusync.push('carl', 'phone', '{"changes": [{"number": 1, "kind": "patch",
	"collection": "card", "id": "1", "fields": {"phone": "444"}}]}'), '$.verdicts[*].verdict');

-- What was sent before stays in the history, but leaves no more: not with a
-- tombstone's image, which an event may show, nor with what a change loses against.
INSERT INTO mirusync.event_collection (collection, payload, id_key, created_type, updated_type)
	VALUES ('card', 'card', 'id', 'CARD_CREATED', 'CARD_UPDATED');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, id_keys)
	VALUES ('CARD_UPDATED', 1, 'card', 'put', 'card', '{id}');
CREATE FUNCTION losing() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(body, '"(timestamp|updatedAt|deletedAt)":\s?"[^"]*"', '"\1":"now"', 'g')
	FROM mirusync.push_many('{carl}', '{d}', '{s}', '{event}', ARRAY[
		'{"type": "CARD_UPDATED", "timestamp": "2020-01-01T00:00:00Z", "card":
		{"id": "2", "name": "late", "updatedAt": "2020-01-01T00:00:00Z"}}']) WHERE kind = 'verdict'
$$;
CREATE FUNCTION page() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(body, '"(timestamp|updatedAt|deletedAt)":\s?"[^"]*"', '"\1":"now"', 'g')
	FROM mirusync.pull_events('carl', 0, 100, false)
$$;
SELECT page();
SELECT losing();
SET client_min_messages = notice;
SELECT mirusync.sync_column('card', 'phone', false);
SET client_min_messages = warning;
SELECT page();
SELECT losing();
SELECT mirusync.push('carl', 'phone', '{"changes": [{"number": 2, "kind": "patch", "collection": "card",
	"id": "1", "fields": {"phone": "1"}}]}') #>> '{verdicts,0,code}';
UPDATE card SET phone = '555';
SELECT seq FROM changes WHERE feed = 'carl' AND new ->> 'phone' = '555';

-- In the transaction that changed it, the choice at the end counts.
BEGIN;
UPDATE card SET name = 'Carla', salary = 3000;
SELECT mirusync.sync_column('card', 'name', false);
COMMIT;
SELECT old, new FROM changes WHERE feed = 'carl' ORDER BY seq DESC LIMIT 1;
-- Rolled back, it is as it was.
BEGIN;
SAVEPOINT s;
SELECT mirusync.sync_column('card', 'name', true);
UPDATE card SET name = 'Karl';
ROLLBACK TO s;
UPDATE card SET name = 'Kurt', salary = 4000;
COMMIT;
SELECT old, new FROM changes WHERE feed = 'carl' ORDER BY seq DESC LIMIT 1;
-- Plain SQL on the table of choices counts as well.
UPDATE mirusync.field SET synced = true WHERE relation = 'card'::regclass AND name = 'name';
UPDATE card SET name = 'Kuno';
SELECT old, new FROM changes WHERE feed = 'carl' ORDER BY seq DESC LIMIT 1;
DELETE FROM mirusync.event_type WHERE collection = 'card';
DELETE FROM mirusync.event_collection WHERE collection = 'card';

--
-- Errors
--
CREATE TABLE other (id int PRIMARY KEY, owner text, a text, b text);
ALTER TABLE other OWNER TO regress_mirusync_owner;
\set VERBOSITY sqlstate
SELECT mirusync.attach('other', 'owner', columns => '{a}', excluding => '{b}');
SELECT mirusync.attach('other', 'owner', columns => '{nothing}');
SELECT mirusync.attach('other', 'owner', columns => '{a,a}');
SELECT mirusync.attach('other', 'owner', columns => '{xmin}');
SELECT mirusync.attach('other', 'owner', columns => '{a,NULL}');
SELECT mirusync.attach('other', 'owner', excluding => '{nothing}');
SELECT mirusync.attach('other', 'owner', excluding => '{a,b,a}');
SELECT mirusync.attach('other', 'owner', excluding => '{ctid}');
SELECT mirusync.attach('other', 'owner', excluding => '{id}');
SELECT mirusync.sync_column('card', 'nothing', true);
SELECT mirusync.sync_column('card', 'xmin', true);
SELECT mirusync.sync_column('card', 'owner', true);
SELECT mirusync.sync_column('card', 'id', false);
SELECT mirusync.sync_column('card', NULL, true);
SELECT mirusync.sync_column(NULL, 'id', true);
SELECT mirusync.sync_column('card', 'id', NULL);
SELECT mirusync.sync_column('other', 'a', true);
SELECT mirusync.sync_column('mirusync.document', 'data', false);
SET ROLE regress_mirusync_other;
SELECT mirusync.sync_column('card', 'name', false);
RESET ROLE;
BEGIN READ ONLY;
SELECT mirusync.sync_column('card', 'name', false);
ROLLBACK;
\set VERBOSITY default
SELECT mirusync.attach('other', 'owner', columns => '{a}', excluding => '{b}');
SELECT mirusync.attach('other', 'owner', columns => '{a,a}');
SELECT mirusync.attach('other', 'owner', excluding => '{id}');
SELECT mirusync.attach('other', 'owner', excluding => '{ctid}');
SELECT mirusync.attach('other', 'owner', columns => '{a,NULL}');
SELECT mirusync.sync_column('card', 'owner', true);
SELECT mirusync.sync_column('mirusync.document', 'data', false);
SELECT count(*) FROM mirusync.field WHERE relation = 'other'::regclass;

SELECT mirusync.detach('card');
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA columns_test CASCADE;
RESET client_min_messages;
DELETE FROM mirusync.record;
DELETE FROM mirusync.change_log;
DELETE FROM mirusync.feed;
DELETE FROM mirusync.verdict;
DELETE FROM mirusync.device;
REVOKE ALL ON FUNCTION
	mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean),
	mirusync.detach(regclass), mirusync.sync_column(regclass, name, boolean)
	FROM regress_mirusync_owner, regress_mirusync_other;
DROP ROLE regress_mirusync_owner, regress_mirusync_other;
