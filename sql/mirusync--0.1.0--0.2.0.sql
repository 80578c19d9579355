-- mirusync: from version 0.1.0 to 0.2.0.
--
-- SPDX-License-Identifier: PostgreSQL
\echo Use "ALTER EXTENSION mirusync UPDATE TO '0.2.0'" to load this file. \quit

-- Makes every session look at the version again (extension/version.c).
UPDATE mirusync.attached SET relation = relation WHERE false;

-- -------------------------------------------------------------------------
-- 20_tables.sql
-- -------------------------------------------------------------------------

-- Written by epoch.c.  One row each time that another history began.
CREATE TABLE mirusync.epoch (
	number		int NOT NULL,
	identity	text COLLATE "C" NOT NULL,
	began_at	timestamptz NOT NULL,
	CONSTRAINT epoch_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE mirusync.epoch IS 'epochs: histories of this database that numbers were given out in; the last one counts';
COMMENT ON COLUMN mirusync.epoch.number IS 'number of the epoch; the first is 0, later ones are at least the hours since 2026';
COMMENT ON COLUMN mirusync.epoch.identity IS 'system identifier, timeline, and OIDs of the database and of this table';
COMMENT ON COLUMN mirusync.epoch.began_at IS 'when it began';
REVOKE ALL ON mirusync.epoch FROM PUBLIC;

-- Columns are known by their position, so the table is made anew.  Its heads
-- belong to the first epoch, which is written when something is numbered.
ALTER TABLE mirusync.feed RENAME TO former_feed;
ALTER INDEX mirusync.feed_pkey RENAME TO former_feed_pkey;
CREATE TABLE mirusync.feed (
	feed		text COLLATE "C" NOT NULL,
	head		bigint NOT NULL,
	floor		bigint NOT NULL,
	changed_at	timestamptz NOT NULL,
	epoch		int NOT NULL,
	CONSTRAINT feed_pkey PRIMARY KEY (feed)
) WITH (fillfactor = 50);
COMMENT ON TABLE mirusync.feed IS 'ordered logs of changes, one row a feed';
COMMENT ON COLUMN mirusync.feed.feed IS 'feed id; by default the id of the user who owns it';
COMMENT ON COLUMN mirusync.feed.head IS 'number of the latest change';
COMMENT ON COLUMN mirusync.feed.floor IS 'a device with a cursor below it must start over';
COMMENT ON COLUMN mirusync.feed.changed_at IS 'when the latest change was numbered; never goes back';
COMMENT ON COLUMN mirusync.feed.epoch IS 'epoch in which the head was numbered';
REVOKE ALL ON mirusync.feed FROM PUBLIC;
INSERT INTO mirusync.feed (feed, head, floor, changed_at, epoch)
SELECT f.feed, f.head, f.floor, f.changed_at, 0 FROM mirusync.former_feed f;

-- Written by feed.c.  What a cursor of an earlier epoch is compared with.
CREATE TABLE mirusync.feed_epoch (
	feed		text COLLATE "C" NOT NULL,
	epoch		int NOT NULL,
	head		bigint NOT NULL,
	CONSTRAINT feed_epoch_pkey PRIMARY KEY (feed, epoch)
);
COMMENT ON TABLE mirusync.feed_epoch IS 'epochs in which changes of a feed were numbered';
COMMENT ON COLUMN mirusync.feed_epoch.feed IS 'feed';
COMMENT ON COLUMN mirusync.feed_epoch.epoch IS 'epoch';
COMMENT ON COLUMN mirusync.feed_epoch.head IS 'head of the feed when the epoch began in it; a cursor of an earlier epoch above it is of a lost history';
REVOKE ALL ON mirusync.feed_epoch FROM PUBLIC;
INSERT INTO mirusync.feed_epoch (feed, epoch, head)
SELECT f.feed, 0, 0 FROM mirusync.feed f;

ALTER EXTENSION mirusync DROP TABLE mirusync.former_feed;
DROP TABLE mirusync.former_feed;
SELECT pg_catalog.pg_extension_config_dump('mirusync.epoch', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.feed', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.feed_epoch', '');

-- Former changes do not know the one before them: what a device knew then is
-- not told (extension/past.c).
ALTER TABLE mirusync.change_log
	ADD COLUMN previous bigint,
	ADD COLUMN field_rules jsonb;
COMMENT ON COLUMN mirusync.change_log.rule IS 'rule of the collection when it was pushed; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.previous IS 'number of the former change of the same record; null: it is the first one known';
COMMENT ON COLUMN mirusync.change_log.field_rules IS 'rules of those of the pushed fields that had one of their own, by name';

COMMENT ON COLUMN mirusync.verdict.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.verdict.device IS 'device that pushed the change';
COMMENT ON COLUMN mirusync.verdict.number IS 'the device''s own number of the change';
COMMENT ON COLUMN mirusync.verdict.verdict IS 'verdict as push() returned it';
COMMENT ON COLUMN mirusync.verdict.at IS 'when the change was pushed';
COMMENT ON COLUMN mirusync.device.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.device.device IS 'the device''s id';
COMMENT ON COLUMN mirusync.device.seen_at IS 'when it pushed last';
COMMENT ON COLUMN mirusync.instance.singleton IS 'there is one row';
COMMENT ON COLUMN mirusync.instance.doorbell_key IS 'key with which doorbells hash feeds';

-- -------------------------------------------------------------------------
-- 28_backfill_tables.sql
-- -------------------------------------------------------------------------

CREATE TABLE mirusync.backfill (
	collection	text COLLATE "C" NOT NULL,
	started_at	timestamptz,
	last_at		timestamptz,
	feeds_total	bigint,
	feeds_done	bigint NOT NULL DEFAULT 0,
	rows_done	bigint NOT NULL DEFAULT 0,
	CONSTRAINT backfill_pkey PRIMARY KEY (collection)
);
COMMENT ON TABLE mirusync.backfill IS 'collections that are not complete yet';
COMMENT ON COLUMN mirusync.backfill.collection IS 'the collection';
COMMENT ON COLUMN mirusync.backfill.started_at IS 'when backfill() was first called; null: not yet';
COMMENT ON COLUMN mirusync.backfill.last_at IS 'when its latest batch was done';
COMMENT ON COLUMN mirusync.backfill.feeds_total IS 'how many feeds had rows when it began';
COMMENT ON COLUMN mirusync.backfill.feeds_done IS 'how many feeds it has served';
COMMENT ON COLUMN mirusync.backfill.rows_done IS 'how many rows they had';

-- Written under the lock of the feed, by backfill and by flush.
CREATE TABLE mirusync.backfill_feed (
	feed		text COLLATE "C" NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	served		boolean NOT NULL,
	CONSTRAINT backfill_feed_pkey PRIMARY KEY (feed, collection)
);
CREATE INDEX backfill_feed_to_do ON mirusync.backfill_feed (collection, served, feed);
COMMENT ON TABLE mirusync.backfill_feed IS 'feeds of collections that are not complete yet';
COMMENT ON INDEX mirusync.backfill_feed_to_do IS 'finds what is still to be served';
COMMENT ON COLUMN mirusync.backfill_feed.feed IS 'the feed';
COMMENT ON COLUMN mirusync.backfill_feed.collection IS 'the collection';
COMMENT ON COLUMN mirusync.backfill_feed.served IS 'all its rows of that collection are numbered; false: some were written, and it is to be served';

SELECT pg_catalog.pg_extension_config_dump('mirusync.backfill', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.backfill_feed', '');
REVOKE ALL ON mirusync.backfill, mirusync.backfill_feed FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 30_registry.sql
-- -------------------------------------------------------------------------

ALTER TABLE mirusync.attached
	ADD COLUMN sync_added boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN mirusync.attached.sync_added IS 'columns added later are synced';

ALTER TABLE mirusync.field
	ADD COLUMN synced boolean NOT NULL DEFAULT true;
COMMENT ON TABLE mirusync.field IS 'columns of attached tables: their numbers, and which are synced; survives renames and restores';
COMMENT ON COLUMN mirusync.field.synced IS 'its values are sent to devices and taken from them; those of the primary key are whatever it says';

ALTER TABLE mirusync.collection
	DROP CONSTRAINT collection_rule_check,
	ADD CONSTRAINT collection_rule_check
		CHECK (rule IN ('lww', 'lww_field', 'first_wins', 'server_wins'));
COMMENT ON COLUMN mirusync.collection.rule IS 'how concurrent changes of fields without a rule of their own merge';

CREATE TABLE mirusync.field_rule (
	collection	text COLLATE "C" NOT NULL,
	field		text COLLATE "C" NOT NULL,
	rule		text COLLATE "C" NOT NULL
		CHECK (rule IN ('lww_field', 'first_wins', 'server_wins', 'max', 'min',
			'counter')),
	CONSTRAINT field_rule_pkey PRIMARY KEY (collection, field)
);
COMMENT ON TABLE mirusync.field_rule IS 'rules of fields that have one of their own';
COMMENT ON COLUMN mirusync.field_rule.collection IS 'the collection';
COMMENT ON COLUMN mirusync.field_rule.field IS 'the field: the number of a column in mirusync.field, or a top-level key of documents';
COMMENT ON COLUMN mirusync.field_rule.rule IS 'how its concurrent changes merge';

-- A role that was dropped would come back as a number too: such a collection
-- is dumped as one that takes no pushes.
SELECT pg_catalog.pg_extension_config_dump('mirusync.collection',
	'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class)'
	' AND (role IS NULL OR role IN (SELECT oid FROM pg_catalog.pg_roles))'
	' UNION ALL SELECT name, relation, rule, false, NULL FROM mirusync.collection'
	' WHERE relation IN (SELECT oid FROM pg_catalog.pg_class)'
	' AND role NOT IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_catalog.pg_extension_config_dump('mirusync.field_rule',
	'WHERE collection IN (SELECT name FROM mirusync.collection'
	' WHERE relation IN (SELECT oid FROM pg_catalog.pg_class))');

CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.field_rule
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.field_rule ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.field_rule IS
'makes every backend read again what is attached';
REVOKE ALL ON mirusync.field_rule FROM PUBLIC;

CREATE FUNCTION mirusync.set_rule(collection text, field text, rule text)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_set_rule'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.set_rule(text, text, text) IS
'set how concurrent changes of a field merge (null rule: as the collection''s), or with null field of all that have no rule of their own';
REVOKE ALL ON FUNCTION mirusync.set_rule(text, text, text) FROM PUBLIC;

CREATE FUNCTION mirusync.attach(relation regclass, feed name,
	collection text DEFAULT NULL, rule text DEFAULT 'lww_field',
	role regrole DEFAULT NULL, pushable boolean DEFAULT true,
	columns name[] DEFAULT NULL, excluding name[] DEFAULT NULL,
	backfill boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_attach'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean, name[], name[], boolean) IS
'sync a table: its rows are records of the feed that a column names';
REVOKE ALL ON FUNCTION mirusync.attach(regclass, name, text, text, regrole,
	boolean, name[], name[], boolean) FROM PUBLIC;

-- Another signature makes it another function.  Who had been granted the
-- former one is to be granted this one by hand: what is granted here would
-- count as ours, and no dump would have it.
DROP FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean);

CREATE FUNCTION mirusync.sync_column(relation regclass, column_name name,
	synced boolean)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_sync_column'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.sync_column(regclass, name, boolean) IS
'sync a column of an attached table from now on, or sync it no more';
REVOKE ALL ON FUNCTION mirusync.sync_column(regclass, name, boolean)
	FROM PUBLIC;

-- For the view: it tells what mirusync.field says, as columns are now.
CREATE FUNCTION mirusync.synced_columns(relation regclass, feed_column name,
	sync_added boolean)
RETURNS name[]
AS 'MODULE_PATHNAME', 'mirusync_synced_columns'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION mirusync.synced_columns(regclass, name, boolean) IS
'columns of an attached table that are synced; for the view collections';

CREATE OR REPLACE VIEW mirusync.collections AS
	SELECT c.name, c.relation,
		coalesce(f.name, a.feed_column) AS feed_column,
		c.rule, c.pushable, c.role,
		CASE WHEN a.data_column IS NULL THEN mirusync.synced_columns(
			c.relation, a.feed_column, a.sync_added) END AS columns,
		NOT EXISTS (SELECT FROM mirusync.backfill b
			WHERE b.collection = c.name) AS complete
	FROM mirusync.collection c
		JOIN mirusync.attached a ON a.relation = c.relation
		LEFT JOIN mirusync.field f
			ON f.relation = c.relation AND f.number = 0
	WHERE c.relation IN (SELECT r.oid FROM pg_catalog.pg_class r);
COMMENT ON COLUMN mirusync.collections.rule IS 'how concurrent changes of fields without a rule of their own merge';
COMMENT ON COLUMN mirusync.collections.columns IS 'columns that are synced; null of a collection of documents';
COMMENT ON COLUMN mirusync.collections.complete IS 'every row is numbered; false: backfill() is to be called';

CREATE VIEW mirusync.rules AS
	SELECT c.name AS collection, NULL::text AS field, c.rule
	FROM mirusync.collection c
	WHERE c.relation IN (SELECT r.oid FROM pg_catalog.pg_class r)
	UNION ALL
	SELECT c.name, coalesce(f.name, r.field), r.rule
	FROM mirusync.field_rule r
		JOIN mirusync.collection c ON c.name = r.collection
		JOIN mirusync.attached a ON a.relation = c.relation
		LEFT JOIN mirusync.field f ON f.relation = c.relation
			AND a.data_column IS NULL AND f.number::text = r.field
	WHERE c.relation IN (SELECT r.oid FROM pg_catalog.pg_class r)
		AND f.attnum IS DISTINCT FROM 0;
COMMENT ON VIEW mirusync.rules IS 'how concurrent changes merge';
COMMENT ON COLUMN mirusync.rules.collection IS 'the collection';
COMMENT ON COLUMN mirusync.rules.field IS 'the field that has a rule of its own; null: all others';
COMMENT ON COLUMN mirusync.rules.rule IS 'the rule';
REVOKE ALL ON mirusync.rules FROM PUBLIC;

-- The current epoch is kept in the same way (extension/epoch.c).
CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.epoch
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.epoch ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.epoch IS
'makes every backend read again which epoch it is';

-- -------------------------------------------------------------------------
-- 35_backfill.sql
-- -------------------------------------------------------------------------

CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.backfill
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.backfill ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.backfill IS
'makes every backend read again what is attached';

CREATE PROCEDURE mirusync.backfill(relation regclass, batch_rows int DEFAULT 10000)
AS 'MODULE_PATHNAME', 'mirusync_backfill'
LANGUAGE C;
COMMENT ON PROCEDURE mirusync.backfill(regclass, int) IS
'number the rows of a table that was attached with backfill => false; may be interrupted and called again';

-- A running backfill holds a lock of the object (mirusync.backfill, table).
CREATE VIEW mirusync.backfill_progress AS
	SELECT b.collection, c.relation,
		CASE WHEN EXISTS (
			SELECT FROM pg_catalog.pg_locks l
			WHERE l.locktype = 'object' AND l.granted
				AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
					WHERE d.datname = pg_catalog.current_database())
				AND l.classid = 'mirusync.backfill'::pg_catalog.regclass
				AND l.objid = c.relation) THEN 'running'
			WHEN b.started_at IS NULL THEN 'not begun'
			ELSE 'interrupted' END AS state,
		b.feeds_done, b.feeds_total, b.rows_done,
		nullif(r.reltuples, -1)::bigint AS rows_estimated,
		b.started_at, b.last_at
	FROM mirusync.backfill b
		JOIN mirusync.collection c ON c.name = b.collection
		JOIN pg_catalog.pg_class r ON r.oid = c.relation;
COMMENT ON VIEW mirusync.backfill_progress IS 'how far backfill() is with collections that are not complete';
COMMENT ON COLUMN mirusync.backfill_progress.collection IS 'the collection';
COMMENT ON COLUMN mirusync.backfill_progress.relation IS 'its table';
COMMENT ON COLUMN mirusync.backfill_progress.state IS 'not begun, running, or interrupted';
COMMENT ON COLUMN mirusync.backfill_progress.feeds_done IS 'how many feeds are served';
COMMENT ON COLUMN mirusync.backfill_progress.feeds_total IS 'how many feeds had rows when it began';
COMMENT ON COLUMN mirusync.backfill_progress.rows_done IS 'how many rows they had';
COMMENT ON COLUMN mirusync.backfill_progress.rows_estimated IS 'how many rows the table has by the last ANALYZE; null: not known';
COMMENT ON COLUMN mirusync.backfill_progress.started_at IS 'when backfill() was first called';
COMMENT ON COLUMN mirusync.backfill_progress.last_at IS 'when its latest batch was done';
REVOKE ALL ON mirusync.backfill_progress FROM PUBLIC;
REVOKE ALL ON PROCEDURE mirusync.backfill(regclass, int) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 36_rescan.sql
-- -------------------------------------------------------------------------

CREATE PROCEDURE mirusync.rescan(collection text, batch_rows int DEFAULT 10000)
AS 'MODULE_PATHNAME', 'mirusync_rescan'
LANGUAGE C;
COMMENT ON PROCEDURE mirusync.rescan(text, int) IS
'find by comparison what capture did not see of a collection, and number it';
REVOKE ALL ON PROCEDURE mirusync.rescan(text, int) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 50_sync.sql
-- -------------------------------------------------------------------------

-- Who is pushing, for policies, defaults, triggers and checks of tables.
CREATE FUNCTION mirusync.user_id()
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_user_id'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION mirusync.user_id() IS
'user whose push is being applied; null outside a push';

CREATE FUNCTION mirusync.device_id()
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_device_id'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION mirusync.device_id() IS
'device whose push is being applied; null outside a push';

DROP FUNCTION mirusync.pull(text, text, bigint, int);
CREATE FUNCTION mirusync.pull(user_id text, feed text,
	after bigint DEFAULT 0, max int DEFAULT 500,
	epoch int DEFAULT NULL, seen bigint DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_pull'
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.pull(text, text, bigint, int, int, bigint) IS
'read a page of a feed: the records changed above a cursor, each once';
REVOKE ALL ON FUNCTION mirusync.pull(text, text, bigint, int, int, bigint)
	FROM PUBLIC;

COMMENT ON FUNCTION mirusync.seq_before(text, timestamptz) IS
'packed cursor above which lies every record changed at a time or after it';

CREATE OR REPLACE FUNCTION mirusync.heads(feeds text[], OUT feed text, OUT head bigint)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.feed, (f.epoch::bigint << 32) + f.head
	FROM mirusync.feed f WHERE f.feed = ANY (feeds)
$$;
COMMENT ON FUNCTION mirusync.heads(text[]) IS
'for relays: packed cursors of the latest changes of feeds; feeds that do not exist are left out';

CREATE FUNCTION mirusync.worker_status(OUT state text, OUT pid int,
	OUT started_at timestamptz, OUT rings bigint, OUT feeds bigint,
	OUT waiting int, OUT overflows bigint, OUT restarts bigint,
	OUT failed_at timestamptz)
RETURNS record
AS 'MODULE_PATHNAME', 'mirusync_worker_status'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.worker_status() IS
'what the background worker of this database does and has done';

CREATE FUNCTION mirusync.new_epoch()
RETURNS int
AS 'MODULE_PATHNAME', 'mirusync_new_epoch'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.new_epoch() IS
'begin an epoch: for an administrator, after files were restored that kept system identifier and timeline';

-- Commits between its batches, so it can neither be a SECURITY DEFINER
-- procedure nor be called inside a transaction block.  It deletes as the owner
-- of the extension: whoever may execute it may forget anybody.
CREATE PROCEDURE mirusync.forget(feed text, batch_rows int DEFAULT 10000, grace interval DEFAULT '2 s')
LANGUAGE C AS 'MODULE_PATHNAME', 'mirusync_forget';
COMMENT ON PROCEDURE mirusync.forget(text, int, interval) IS
'delete what is kept of a feed and its user, after the application has deleted their rows';
REVOKE ALL ON ROUTINE mirusync.worker_status(), mirusync.new_epoch(), mirusync.forget(text, int, interval)
	FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 60_events.sql
-- -------------------------------------------------------------------------

DROP FUNCTION mirusync.pull_events(text, bigint, int, boolean);
CREATE FUNCTION mirusync.pull_events(feed text, after bigint, max int,
	live boolean, seen bigint DEFAULT 0)
RETURNS TABLE (kind text, after bigint, seq bigint, head bigint,
	complete boolean, session text, body text)
AS 'MODULE_PATHNAME', 'mirusync_pull_events'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER
COST 1000 ROWS 100;
COMMENT ON FUNCTION mirusync.pull_events(text, bigint, int, boolean, bigint) IS 'event dialect: a page of a feed as finished messages, for a relay';
REVOKE ALL ON FUNCTION mirusync.pull_events(text, bigint, int, boolean, bigint) FROM PUBLIC;

-- From regprocedure to a name.  One that is gone stays a number, and fails
-- when it is called, as before.
ALTER TABLE mirusync.event_collection
	ALTER COLUMN normalise TYPE text COLLATE "C" USING normalise::oid::text;
UPDATE mirusync.event_collection c
SET normalise = pg_catalog.format('%I.%I(jsonb)', n.nspname, p.proname)
FROM pg_catalog.pg_proc p
	JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid::text = c.normalise;
COMMENT ON COLUMN mirusync.event_collection.normalise IS 'schema.function(jsonb), returning jsonb, that checks an object and gives it its stored form; null: none. It runs as the owner of the extension, so it should set its search_path';

ALTER TABLE mirusync.event_type DROP CONSTRAINT event_type_collection_fkey;
COMMENT ON INDEX mirusync.event_type_collection IS 'finds the types of a collection';

-- In the place of a foreign key: pg_restore -j fills both tables at once, and
-- would break one.  check_function_bodies is off while a dump is restored; a
-- type whose collection is missing after all means nothing.
CREATE FUNCTION mirusync.check_event_type() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF current_setting('check_function_bodies')::boolean
		AND NOT EXISTS (SELECT FROM mirusync.event_collection c
						WHERE c.collection = NEW.collection) THEN
		RAISE EXCEPTION USING
			errcode = 'foreign_key_violation',
			message = format('event type "%s" is of collection "%s", which is not in event_collection',
				NEW.type, NEW.collection);
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mirusync.check_event_type() IS 'trigger function: the collection of an event type must be there';

CREATE FUNCTION mirusync.follow_event_collection() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		DELETE FROM mirusync.event_type t WHERE t.collection = OLD.collection;
	ELSIF NEW.collection <> OLD.collection THEN
		UPDATE mirusync.event_type t SET collection = NEW.collection
		WHERE t.collection = OLD.collection;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mirusync.follow_event_collection() IS 'trigger function: event types go with their collection';

CREATE TRIGGER check_event_type
	BEFORE INSERT OR UPDATE OF collection ON mirusync.event_type
	FOR EACH ROW EXECUTE FUNCTION mirusync.check_event_type();
COMMENT ON TRIGGER check_event_type ON mirusync.event_type IS 'the collection must be there';

CREATE TRIGGER follow_event_collection
	AFTER UPDATE OR DELETE ON mirusync.event_collection
	FOR EACH ROW EXECUTE FUNCTION mirusync.follow_event_collection();
COMMENT ON TRIGGER follow_event_collection ON mirusync.event_collection IS 'event types go with their collection';

REVOKE ALL ON FUNCTION mirusync.check_event_type(),
	mirusync.follow_event_collection() FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 80_ddl.sql
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.ddl_start()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'mirusync_ddl_start'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.ddl_start() IS
'event trigger function: makes commands be watched for what they do to attached tables';

CREATE FUNCTION mirusync.ddl_end()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'mirusync_ddl_end'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.ddl_end() IS
'event trigger function: follows what a command did to attached tables';

CREATE EVENT TRIGGER mirusync_ddl_start ON ddl_command_start
	EXECUTE FUNCTION mirusync.ddl_start();
ALTER EVENT TRIGGER mirusync_ddl_start ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER mirusync_ddl_start IS
'makes commands be watched for what they do to attached tables';

CREATE EVENT TRIGGER mirusync_ddl_end ON ddl_command_end
	EXECUTE FUNCTION mirusync.ddl_end();
ALTER EVENT TRIGGER mirusync_ddl_end ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER mirusync_ddl_end IS
'follows what commands do to attached tables';

REVOKE ALL ON FUNCTION mirusync.ddl_start(), mirusync.ddl_end() FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 99_grants.sql
-- -------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION mirusync.grant_relay(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format(
		'GRANT EXECUTE ON FUNCTION mirusync.relay_hello(text),
			mirusync.push_many(text[], text[], text[], text[], text[]),
			mirusync.pull_events(text, bigint, int, boolean, bigint),
			mirusync.seq_before(text, timestamptz),
			mirusync.heads(text[]), mirusync.ring(text[]) TO %s', role);
END
$$;

-- By rule, so that what a later version adds is covered: every table and view
-- but the one with the secrets, and the functions that can do no more than
-- their caller could by himself.  Those in C are not among them: they may read
-- our tables without asking for his rights.  worker_status() reads none.
CREATE FUNCTION mirusync.grant_auditor(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object text;
BEGIN
	FOR object IN
		SELECT format('TABLE %s', c.oid::regclass)
		FROM pg_class c
		WHERE c.relnamespace = 'mirusync'::regnamespace
			AND c.relkind IN ('r', 'p', 'v', 'm')
			AND c.oid <> 'mirusync.instance'::regclass
		UNION ALL
		SELECT format('FUNCTION %s', p.oid::regprocedure)
		FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		WHERE p.pronamespace = 'mirusync'::regnamespace
			AND p.prokind = 'f' AND l.lanname = 'sql'
			AND p.provolatile <> 'v' AND NOT p.prosecdef
		UNION ALL
		SELECT 'FUNCTION mirusync.worker_status()'
	LOOP
		EXECUTE format('GRANT %s ON %s TO %s',
			CASE WHEN object LIKE 'TABLE%' THEN 'SELECT' ELSE 'EXECUTE' END,
			object, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION mirusync.grant_auditor(regrole) IS
'let a role read everything but the secrets of the installation, and change nothing';
REVOKE ALL ON FUNCTION mirusync.grant_auditor(regrole) FROM PUBLIC;

-- Who makes or attaches a partition copies the triggers of its table, which
-- takes the right to execute their function.
GRANT EXECUTE ON FUNCTION mirusync.capture() TO PUBLIC;
