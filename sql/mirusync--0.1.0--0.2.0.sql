-- mirusync: from version 0.1.0 to 0.2.0.
--
-- SPDX-License-Identifier: PostgreSQL
\echo Use "ALTER EXTENSION mirusync UPDATE TO '0.2.0'" to load this file. \quit

-- Who has written to an attached table and not committed yet would number it
-- with an old library's code, on new tables.  So this waits for writers, and
-- they for it; before anything else, since they hold that lock when they come
-- to our tables.
DO $$
DECLARE
	relation regclass;
BEGIN
	FOR relation IN
		SELECT a.relation FROM mirusync.attached a
		WHERE a.relation IN (SELECT c.oid FROM pg_catalog.pg_class c)
		ORDER BY a.relation
	LOOP
		EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE MODE', relation);
	END LOOP;
END
$$;

-- Makes every session look at the version again (extension/version.c).
UPDATE mirusync.attached SET relation = relation WHERE false;

-- -------------------------------------------------------------------------
-- Other link symbols (extension/former.c).  A session that still has the
-- library of 0.1.0 does not find these, and fails.
-- -------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION mirusync.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_capture_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE OR REPLACE FUNCTION mirusync.registry_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_registry_changed_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE OR REPLACE FUNCTION mirusync.detach(relation regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_detach_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;

CREATE OR REPLACE FUNCTION mirusync.create_collection(name text,
	rule text DEFAULT 'lww', pushable boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_create_collection_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;

CREATE OR REPLACE FUNCTION mirusync.push(user_id text, device text, batch jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_push_0_2'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;

CREATE OR REPLACE FUNCTION mirusync.seq_before(feed text, at timestamptz)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_seq_before_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER;

CREATE OR REPLACE FUNCTION mirusync.ring(feeds text[])
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_ring_0_2'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;

CREATE OR REPLACE FUNCTION mirusync.doorbell_hash(feed text)
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_doorbell_hash_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER;

CREATE OR REPLACE FUNCTION mirusync.mapping_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_mapping_changed_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE OR REPLACE FUNCTION mirusync.practice_entry(entry jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_entry_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OR REPLACE FUNCTION mirusync.practice_piece(piece jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_piece_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OR REPLACE FUNCTION mirusync.practice_plan(plan jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_plan_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OR REPLACE FUNCTION mirusync.practice_occurrence(occurrence jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_occurrence_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

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
	hash		bytea,
	CONSTRAINT feed_pkey PRIMARY KEY (feed)
) WITH (fillfactor = 50);
COMMENT ON TABLE mirusync.feed IS 'ordered logs of changes, one row a feed';
COMMENT ON COLUMN mirusync.feed.feed IS 'feed id; by default the id of the user who owns it';
COMMENT ON COLUMN mirusync.feed.head IS 'number of the latest change';
COMMENT ON COLUMN mirusync.feed.floor IS 'a device with a cursor below it must start over';
COMMENT ON COLUMN mirusync.feed.changed_at IS 'when the latest change was numbered; never goes back';
COMMENT ON COLUMN mirusync.feed.epoch IS 'epoch in which the head was numbered';
COMMENT ON COLUMN mirusync.feed.hash IS 'hash of the latest change; null: the feed has no chain';
REVOKE ALL ON mirusync.feed FROM PUBLIC;
INSERT INTO mirusync.feed (feed, head, floor, changed_at, epoch)
SELECT f.feed, f.head, f.floor, f.changed_at, 0 FROM mirusync.former_feed f;

-- 0.1.0 noted with each feed the system and the timeline that numbered it.
-- Where that is another one (a dump that was restored, a promotion), what is
-- numbered next is of another history than some devices may have seen.  In a
-- database that is where it was, numbers stay as they are: epoch 0 goes on.
INSERT INTO mirusync.epoch (number, identity, began_at)
SELECT 0, pg_catalog.min(f.epoch), pg_catalog.now()
FROM mirusync.former_feed f
WHERE f.epoch <> (SELECT pg_catalog.format('%s-%s', s.system_identifier, c.timeline_id)
	FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c)
HAVING pg_catalog.count(*) > 0;

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

ALTER TABLE mirusync.record
	ADD COLUMN former bytea;
COMMENT ON COLUMN mirusync.record.former IS 'of a tombstone: packed stamps of that image';

-- Former changes do not know the one before them: what a device knew then is
-- not told (extension/past.c).
ALTER TABLE mirusync.change_log
	ADD COLUMN previous bigint,
	ADD COLUMN field_rules jsonb,
	ADD COLUMN application text COLLATE "C",
	ADD COLUMN number bigint,
	ADD COLUMN verdict text COLLATE "C",
	ADD COLUMN hash bytea,
	ADD COLUMN salt bytea,
	ADD COLUMN digest bytea,
	ADD COLUMN erasure bigint;
CREATE INDEX change_log_record ON mirusync.change_log (feed, collection, id);
COMMENT ON INDEX mirusync.change_log_record IS 'what history() reads: changes of a record';
COMMENT ON COLUMN mirusync.change_log.rule IS 'rule of the collection when it was pushed; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.previous IS 'number of the former change of the same record; null: it is the first one known';
COMMENT ON COLUMN mirusync.change_log.field_rules IS 'rules of those of the pushed fields that had one of their own, by name';
COMMENT ON COLUMN mirusync.change_log.application IS 'application_name of a write by SQL';
COMMENT ON COLUMN mirusync.change_log.number IS 'the device''s own number of the change; null for an event';
COMMENT ON COLUMN mirusync.change_log.verdict IS 'what became of what was pushed: applied or merged; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.hash IS 'SHA-256 over the hash of the change before and the digest of this one; null: it is not in a chain';
COMMENT ON COLUMN mirusync.change_log.salt IS 'salt of the digest of old and new; goes when they are erased';
COMMENT ON COLUMN mirusync.change_log.digest IS 'what is left of old and new in a chain when they are erased: their digest';
COMMENT ON COLUMN mirusync.change_log.erasure IS 'number of the erasure in which old and new went; null: they are as they were';

COMMENT ON COLUMN mirusync.verdict.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.verdict.device IS 'device that pushed the change';
COMMENT ON COLUMN mirusync.verdict.number IS 'the device''s own number of the change';
COMMENT ON COLUMN mirusync.verdict.verdict IS 'verdict as push() returned it';
COMMENT ON COLUMN mirusync.verdict.at IS 'when the change was pushed';
ALTER TABLE mirusync.device
	ADD COLUMN cursor bigint,
	ADD COLUMN unsent bigint,
	ADD COLUMN version text COLLATE "C",
	ADD COLUMN skew_ms bigint;
COMMENT ON COLUMN mirusync.device.cursor IS 'number of the feed that it had seen when it reported last; null: it has not said';
COMMENT ON COLUMN mirusync.device.unsent IS 'how many changes it had not sent yet, as it said';
COMMENT ON COLUMN mirusync.device.version IS 'version of its application, as it said';
COMMENT ON COLUMN mirusync.device.skew_ms IS 'by how much its clock was ahead when its report arrived; negative: behind';
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
		CHECK (rule IN ('lww', 'lww_field', 'first_wins', 'server_wins',
			'manual')),
	ADD COLUMN delete_rule text COLLATE "C" NOT NULL DEFAULT 'update_wins'
		CHECK (delete_rule IN ('update_wins', 'delete_wins', 'manual')),
	ADD COLUMN since timestamptz NOT NULL DEFAULT pg_catalog.now();
COMMENT ON COLUMN mirusync.collection.since IS 'when it was attached; history from before says nothing of its state';
COMMENT ON COLUMN mirusync.collection.delete_rule IS 'what stands of a delete and a concurrent update';
COMMENT ON COLUMN mirusync.collection.rule IS 'how concurrent changes of fields without a rule of their own merge';

CREATE TABLE mirusync.field_rule (
	collection	text COLLATE "C" NOT NULL,
	field		text COLLATE "C" NOT NULL,
	rule		text COLLATE "C" NOT NULL
		CHECK (rule IN ('lww_field', 'first_wins', 'server_wins', 'max', 'min',
			'counter', 'manual', 'set') OR rule LIKE '%.%'),
	CONSTRAINT field_rule_pkey PRIMARY KEY (collection, field)
);
COMMENT ON TABLE mirusync.field_rule IS 'rules of fields that have one of their own';
COMMENT ON COLUMN mirusync.field_rule.collection IS 'the collection';
COMMENT ON COLUMN mirusync.field_rule.field IS 'the field: the number of a column in mirusync.field, or a top-level key of documents';
COMMENT ON COLUMN mirusync.field_rule.rule IS 'how its concurrent changes merge: a rule, or schema.function';

-- A role that was dropped would come back as a number too: such a collection
-- is dumped as one that takes no pushes.
SELECT pg_catalog.pg_extension_config_dump('mirusync.collection',
	'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class)'
	' AND (role IS NULL OR role IN (SELECT oid FROM pg_catalog.pg_roles))'
	' UNION ALL SELECT name, relation, rule, false, NULL, delete_rule, since FROM mirusync.collection'
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
AS 'MODULE_PATHNAME', 'mirusync_set_rule_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.set_rule(text, text, text) IS
'set how concurrent changes of a field merge (null rule: as the collection''s), or with null field of all that have no rule of their own';

CREATE FUNCTION mirusync.set_delete_rule(collection text, rule text)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_set_delete_rule_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.set_delete_rule(text, text) IS
'set what stands of a delete and a concurrent update of one record';
REVOKE ALL ON FUNCTION mirusync.set_rule(text, text, text),
	mirusync.set_delete_rule(text, text) FROM PUBLIC;

CREATE FUNCTION mirusync.attach(relation regclass, feed name,
	collection text DEFAULT NULL, rule text DEFAULT 'lww_field',
	role regrole DEFAULT NULL, pushable boolean DEFAULT true,
	columns name[] DEFAULT NULL, excluding name[] DEFAULT NULL,
	backfill boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_attach_0_2'
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
AS 'MODULE_PATHNAME', 'mirusync_sync_column_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.sync_column(regclass, name, boolean) IS
'sync a column of an attached table from now on, or sync it no more';
REVOKE ALL ON FUNCTION mirusync.sync_column(regclass, name, boolean)
	FROM PUBLIC;

-- For the view: it tells what mirusync.field says, as columns are now.
CREATE FUNCTION mirusync.synced_columns(relation regclass, feed_column name,
	sync_added boolean)
RETURNS name[]
AS 'MODULE_PATHNAME', 'mirusync_synced_columns_0_2'
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
	SELECT c.name AS collection, NULL::text AS field, c.rule, c.delete_rule
	FROM mirusync.collection c
	WHERE c.relation IN (SELECT r.oid FROM pg_catalog.pg_class r)
	UNION ALL
	SELECT c.name, coalesce(f.name, r.field), r.rule, NULL
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
COMMENT ON COLUMN mirusync.rules.delete_rule IS 'of a collection: what stands of a delete and a concurrent update';
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
AS 'MODULE_PATHNAME', 'mirusync_backfill_0_2'
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
AS 'MODULE_PATHNAME', 'mirusync_rescan_0_2'
LANGUAGE C;
COMMENT ON PROCEDURE mirusync.rescan(text, int) IS
'find by comparison what capture did not see of a collection, and number it';
REVOKE ALL ON PROCEDURE mirusync.rescan(text, int) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 40_conflicts.sql
-- -------------------------------------------------------------------------

CREATE SEQUENCE mirusync.conflict_id;
COMMENT ON SEQUENCE mirusync.conflict_id IS 'ids of conflicts';

-- Written by conflict.c.
CREATE TABLE mirusync.conflict (
	feed			text COLLATE "C" NOT NULL,
	id				bigint NOT NULL,
	collection		text COLLATE "C" NOT NULL,
	record			text COLLATE "C" NOT NULL,
	field			text COLLATE "C",
	rule			text COLLATE "C" NOT NULL,
	outcome			text COLLATE "C" NOT NULL,
	stored			jsonb,
	stored_clock	mirusync.hlc NOT NULL,
	stored_device	text COLLATE "C",
	stored_seq		bigint,
	incoming		jsonb,
	incoming_clock	mirusync.hlc NOT NULL,
	incoming_device	text COLLATE "C",
	incoming_seq	bigint,
	number			bigint,
	user_id			text COLLATE "C" NOT NULL,
	base			bigint,
	at				timestamptz NOT NULL,
	resolved_at		timestamptz,
	resolved_by		oid,
	resolution		text COLLATE "C",
	resolved_user	text COLLATE "C",
	erasure			bigint,
	CONSTRAINT conflict_pkey PRIMARY KEY (feed, id)
);
CREATE INDEX conflict_change ON mirusync.conflict (feed, incoming_seq);
COMMENT ON INDEX mirusync.conflict_change IS 'what history() reads: conflicts that a change was in';
CREATE INDEX conflict_record ON mirusync.conflict (feed, collection, record);
COMMENT ON INDEX mirusync.conflict_record IS 'what undo() reads: conflicts of a record';
COMMENT ON TABLE mirusync.conflict IS 'changes that neither writer knew of, where a value lost';
COMMENT ON COLUMN mirusync.conflict.feed IS 'feed of the record';
COMMENT ON COLUMN mirusync.conflict.id IS 'id of the conflict';
COMMENT ON COLUMN mirusync.conflict.collection IS 'collection of the record';
COMMENT ON COLUMN mirusync.conflict.record IS 'id of the record';
COMMENT ON COLUMN mirusync.conflict.field IS 'the field: the number of a column in mirusync.field, or a top-level key of documents; null: the record as a whole';
COMMENT ON COLUMN mirusync.conflict.rule IS 'rule that decided';
COMMENT ON COLUMN mirusync.conflict.outcome IS 'which side stood then: stored, incoming, or open: the stored one, until somebody decides';
COMMENT ON COLUMN mirusync.conflict.stored IS 'value that was there; of the whole record, the fields that differ; null: none, or the record was deleted';
COMMENT ON COLUMN mirusync.conflict.stored_clock IS 'its clock';
COMMENT ON COLUMN mirusync.conflict.stored_device IS 'device that wrote it; null: SQL';
COMMENT ON COLUMN mirusync.conflict.stored_seq IS 'its number in the feed';
COMMENT ON COLUMN mirusync.conflict.incoming IS 'value that was pushed; of the whole record, the fields that differ; null: none, or it deletes the record';
COMMENT ON COLUMN mirusync.conflict.incoming_clock IS 'its clock';
COMMENT ON COLUMN mirusync.conflict.incoming_device IS 'device that pushed it';
COMMENT ON COLUMN mirusync.conflict.incoming_seq IS 'number that the change got; null: nothing of it was stored';
COMMENT ON COLUMN mirusync.conflict.number IS 'the device''s own number of the change; null: an event';
COMMENT ON COLUMN mirusync.conflict.user_id IS 'user whose device pushed it';
COMMENT ON COLUMN mirusync.conflict.base IS 'number of the feed that the device had seen; null: it did not say';
COMMENT ON COLUMN mirusync.conflict.at IS 'when it was pushed';
COMMENT ON COLUMN mirusync.conflict.resolved_at IS 'when somebody decided anew';
COMMENT ON COLUMN mirusync.conflict.resolved_by IS 'role that did';
COMMENT ON COLUMN mirusync.conflict.resolution IS 'what it chose: stored, incoming or value; erased: nobody can choose any more';
COMMENT ON COLUMN mirusync.conflict.resolved_user IS 'user who did, by way of a relay; null: SQL';
COMMENT ON COLUMN mirusync.conflict.erasure IS 'number of the erasure in which both values went; null: they are as they were';
SELECT pg_catalog.pg_extension_config_dump('mirusync.conflict', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.conflict_id', '');

CREATE VIEW mirusync.conflicts AS
	SELECT c.feed, c.id, c.collection, c.record,
		coalesce(f.name, c.field) AS field, c.rule, c.outcome,
		c.stored, c.stored_clock, c.stored_device, c.stored_seq,
		c.incoming, c.incoming_clock, c.incoming_device, c.incoming_seq,
		c.number, c.user_id, c.base, c.at,
		c.resolved_at, pg_catalog.pg_get_userbyid(c.resolved_by) AS resolved_by,
		c.resolution, c.resolved_user
	FROM mirusync.conflict c
		LEFT JOIN mirusync.collection k ON k.name = c.collection
		LEFT JOIN mirusync.attached a ON a.relation = k.relation
		LEFT JOIN mirusync.field f ON f.relation = k.relation
			AND a.data_column IS NULL AND f.number::text = c.field;
COMMENT ON VIEW mirusync.conflicts IS 'changes that neither writer knew of, where a value lost, with names of fields';
COMMENT ON COLUMN mirusync.conflicts.feed IS 'feed of the record';
COMMENT ON COLUMN mirusync.conflicts.id IS 'id of the conflict, for resolve()';
COMMENT ON COLUMN mirusync.conflicts.collection IS 'collection of the record';
COMMENT ON COLUMN mirusync.conflicts.record IS 'id of the record';
COMMENT ON COLUMN mirusync.conflicts.field IS 'the field; null: the record as a whole';
COMMENT ON COLUMN mirusync.conflicts.rule IS 'rule that decided';
COMMENT ON COLUMN mirusync.conflicts.outcome IS 'which side stood then: stored, incoming, or open: the stored one, until somebody decides';
COMMENT ON COLUMN mirusync.conflicts.stored IS 'value that was there; null: none, or the record was deleted';
COMMENT ON COLUMN mirusync.conflicts.stored_clock IS 'its clock';
COMMENT ON COLUMN mirusync.conflicts.stored_device IS 'device that wrote it; null: SQL';
COMMENT ON COLUMN mirusync.conflicts.stored_seq IS 'its number in the feed';
COMMENT ON COLUMN mirusync.conflicts.incoming IS 'value that was pushed; null: none, or it deletes the record';
COMMENT ON COLUMN mirusync.conflicts.incoming_clock IS 'its clock';
COMMENT ON COLUMN mirusync.conflicts.incoming_device IS 'device that pushed it';
COMMENT ON COLUMN mirusync.conflicts.incoming_seq IS 'number that the change got; null: nothing of it was stored';
COMMENT ON COLUMN mirusync.conflicts.number IS 'the device''s own number of the change; null: an event';
COMMENT ON COLUMN mirusync.conflicts.user_id IS 'user whose device pushed it';
COMMENT ON COLUMN mirusync.conflicts.base IS 'number of the feed that the device had seen; null: it did not say';
COMMENT ON COLUMN mirusync.conflicts.at IS 'when it was pushed';
COMMENT ON COLUMN mirusync.conflicts.resolved_at IS 'when somebody decided anew; null: nobody did';
COMMENT ON COLUMN mirusync.conflicts.resolved_by IS 'role that did';
COMMENT ON COLUMN mirusync.conflicts.resolution IS 'what it chose: stored, incoming or value; erased: nobody can choose any more';
COMMENT ON COLUMN mirusync.conflicts.resolved_user IS 'user who did, by way of a relay; null: SQL';

-- Writes to the application's table as its caller, like any SQL of his.
CREATE FUNCTION mirusync.resolve(feed text, conflict bigint,
	choose text DEFAULT NULL, value jsonb DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_resolve_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.resolve(text, bigint, text, jsonb) IS
'decide a conflict: choose => ''stored'' or ''incoming'', or give a value';
REVOKE ALL ON mirusync.conflict, mirusync.conflicts FROM PUBLIC;
REVOKE ALL ON SEQUENCE mirusync.conflict_id FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.resolve(text, bigint, text, jsonb) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 50_sync.sql
-- -------------------------------------------------------------------------

-- Who is pushing, for policies, defaults, triggers and checks of tables.
CREATE FUNCTION mirusync.user_id()
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_user_id_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION mirusync.user_id() IS
'user whose push is being applied; null outside a push';

CREATE FUNCTION mirusync.device_id()
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_device_id_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION mirusync.device_id() IS
'device whose push is being applied; null outside a push';

DROP FUNCTION mirusync.pull(text, text, bigint, int);
CREATE FUNCTION mirusync.pull(user_id text, feed text,
	after bigint DEFAULT 0, max int DEFAULT 500,
	epoch int DEFAULT NULL, seen bigint DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_pull_0_2'
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
	OUT failed_at timestamptz, OUT trim_started_at timestamptz,
	OUT trim_ended_at timestamptz, OUT trim_rows bigint,
	OUT trim_next timestamptz, OUT trim_failed_at timestamptz,
	OUT trim_error text)
RETURNS record
AS 'MODULE_PATHNAME', 'mirusync_worker_status_0_2'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.worker_status() IS
'what the background worker of this database does and has done';

CREATE FUNCTION mirusync.new_epoch()
RETURNS int
AS 'MODULE_PATHNAME', 'mirusync_new_epoch_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.new_epoch() IS
'begin an epoch: for an administrator, after files were restored that kept system identifier and timeline';

-- Commits between its batches, so it can neither be a SECURITY DEFINER
-- procedure nor be called inside a transaction block.  It deletes as the owner
-- of the extension: whoever may execute it may forget anybody.
CREATE PROCEDURE mirusync.forget(feed text, batch_rows int DEFAULT 10000, grace interval DEFAULT '2 s')
LANGUAGE C AS 'MODULE_PATHNAME', 'mirusync_forget_0_2';
COMMENT ON PROCEDURE mirusync.forget(text, int, interval) IS
'delete what is kept of a feed and its user, after the application has deleted their rows';
REVOKE ALL ON ROUTINE mirusync.worker_status(), mirusync.new_epoch(), mirusync.forget(text, int, interval)
	FROM PUBLIC;

DROP FUNCTION mirusync.push_many(text[], text[], text[], text[], text[]);
CREATE FUNCTION mirusync.push_many(users text[], devices text[],
	sessions text[], dialects text[], messages text[],
	deliver text[] DEFAULT '{event}',
	OUT kind text, OUT message int, OUT status text, OUT feed text,
	OUT after bigint, OUT seq bigint, OUT session text, OUT code text,
	OUT body text, OUT native text, OUT verdicts int[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_push_many_0_2'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.push_many(text[], text[], text[], text[], text[],
	text[]) IS
'for relays: push a group of messages of many users in one transaction';
REVOKE ALL ON FUNCTION mirusync.push_many(text[], text[], text[], text[], text[],
	text[]) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 60_events.sql
-- -------------------------------------------------------------------------

DROP FUNCTION mirusync.pull_events(text, bigint, int, boolean);
CREATE FUNCTION mirusync.pull_events(feed text, after bigint, max int,
	live boolean, seen bigint DEFAULT 0, dialects text[] DEFAULT '{event}')
RETURNS TABLE (kind text, after bigint, seq bigint, head bigint,
	complete boolean, session text, body text, native text)
AS 'MODULE_PATHNAME', 'mirusync_pull_events_0_2'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER
COST 1000 ROWS 100;
COMMENT ON FUNCTION mirusync.pull_events(text, bigint, int, boolean, bigint, text[]) IS
'for relays: a page of a feed as finished messages';
REVOKE ALL ON FUNCTION mirusync.pull_events(text, bigint, int, boolean, bigint, text[]) FROM PUBLIC;

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
-- 55_access.sql
-- -------------------------------------------------------------------------

CREATE TABLE mirusync.revocation (
	user_id		text COLLATE "C" NOT NULL,
	device		text COLLATE "C" NOT NULL,
	revoked_at	timestamptz NOT NULL,
	CONSTRAINT revocation_pkey PRIMARY KEY (user_id, device)
);
CREATE INDEX revocation_revoked_at ON mirusync.revocation (revoked_at);
COMMENT ON TABLE mirusync.revocation IS 'tokens issued until then open no session any more';
COMMENT ON COLUMN mirusync.revocation.user_id IS 'whose tokens';
COMMENT ON COLUMN mirusync.revocation.device IS 'of which device; empty for all';
COMMENT ON COLUMN mirusync.revocation.revoked_at IS 'when they were revoked';
COMMENT ON INDEX mirusync.revocation_revoked_at IS 'for forgetting them';

CREATE TABLE mirusync.realtime_off (
	user_id		text COLLATE "C" NOT NULL,
	since		timestamptz NOT NULL,
	CONSTRAINT realtime_off_pkey PRIMARY KEY (user_id)
);
COMMENT ON TABLE mirusync.realtime_off IS 'users who have no sessions for now, and sync by request';
COMMENT ON COLUMN mirusync.realtime_off.user_id IS 'user';
COMMENT ON COLUMN mirusync.realtime_off.since IS 'since when';

CREATE TABLE mirusync.spent_ticket (
	user_id		text COLLATE "C" NOT NULL,
	hash		bytea NOT NULL,
	expires_at	timestamptz NOT NULL,
	CONSTRAINT spent_ticket_pkey PRIMARY KEY (user_id, hash)
);
CREATE INDEX spent_ticket_expires_at ON mirusync.spent_ticket (expires_at);
COMMENT ON TABLE mirusync.spent_ticket IS 'one-time tickets that were used, until they would have expired';
COMMENT ON COLUMN mirusync.spent_ticket.user_id IS 'whose ticket';
COMMENT ON COLUMN mirusync.spent_ticket.hash IS 'SHA-256 of the ticket';
COMMENT ON COLUMN mirusync.spent_ticket.expires_at IS 'when it is forgotten';
COMMENT ON INDEX mirusync.spent_ticket_expires_at IS 'for forgetting them';

-- The payload is a hash, as in a doorbell, behind a mark of its own.
CREATE FUNCTION mirusync.ring_access(user_id text)
RETURNS void
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_notify('mirusync_' || get_byte(decode(h, 'hex'), 0) % 16, '!' || h)
	FROM mirusync.doorbell_hash(user_id) h
$$;
COMMENT ON FUNCTION mirusync.ring_access(text) IS
'tell relays, at commit, to ask again whether a user may have sessions';

CREATE FUNCTION mirusync.revoke(user_id text, device_id text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lifetime	interval;
BEGIN
	IF coalesce(user_id, '') = '' OR device_id = '' THEN
		RAISE EXCEPTION 'user and device must not be empty'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF device_id IS NULL THEN
		DELETE FROM mirusync.revocation r WHERE r.user_id = revoke.user_id AND r.device <> '';
	END IF;
	INSERT INTO mirusync.revocation AS r (user_id, device, revoked_at)
	VALUES (revoke.user_id, coalesce(device_id, ''), clock_timestamp())
	ON CONFLICT ON CONSTRAINT revocation_pkey DO UPDATE
		SET revoked_at = greatest(r.revoked_at, excluded.revoked_at);
	-- This calls into the library: a setting made before that was loaded, by
	-- whoever may not make it, does not count from here on.
	PERFORM mirusync.ring_access(user_id);

	-- What every token is older than that it refuses; a day is for clocks.
	lifetime := current_setting('mirusync.token_lifetime_max');
	IF lifetime > interval '0' THEN
		DELETE FROM mirusync.revocation r
		USING (SELECT v.user_id, v.device FROM mirusync.revocation v
			WHERE v.revoked_at < now() - lifetime - interval '1 day'
			ORDER BY v.revoked_at LIMIT 10 FOR UPDATE SKIP LOCKED) old
		WHERE r.user_id = old.user_id AND r.device = old.device;
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.revoke(text, text) IS
'end the sessions of a user, or of one device, and refuse tokens issued until now';

CREATE FUNCTION mirusync.set_realtime(user_id text, realtime boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(user_id, '') = '' OR realtime IS NULL THEN
		RAISE EXCEPTION 'user must not be empty, nor realtime null'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF realtime THEN
		DELETE FROM mirusync.realtime_off o WHERE o.user_id = set_realtime.user_id;
	ELSE
		INSERT INTO mirusync.realtime_off (user_id, since)
		VALUES (set_realtime.user_id, clock_timestamp())
		ON CONFLICT ON CONSTRAINT realtime_off_pkey DO NOTHING;
	END IF;
	PERFORM mirusync.ring_access(user_id);
END
$$;
COMMENT ON FUNCTION mirusync.set_realtime(text, boolean) IS
'turn real-time sync off or on for a user; sync by request goes on';

CREATE FUNCTION mirusync.relay_access(users text[], OUT user_id text,
	OUT device text, OUT revoked_at bigint, OUT realtime boolean)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.user_id, r.device, floor(extract(epoch FROM r.revoked_at))::bigint, true
	FROM mirusync.revocation r WHERE r.user_id = ANY (users)
	UNION ALL
	SELECT o.user_id, NULL, NULL, false
	FROM mirusync.realtime_off o WHERE o.user_id = ANY (users)
$$;
COMMENT ON FUNCTION mirusync.relay_access(text[]) IS
'for relays: what stands against sessions of users; nothing for most';

-- The server's clock alone says what has expired, so that no ticket is used
-- again after it was forgotten.
CREATE FUNCTION mirusync.relay_redeem(user_id text, ticket_hash text,
	expires_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM mirusync.spent_ticket t
	USING (SELECT s.user_id, s.hash FROM mirusync.spent_ticket s
		WHERE s.expires_at < now() ORDER BY s.expires_at
		LIMIT 10 FOR UPDATE SKIP LOCKED) old
	WHERE t.user_id = old.user_id AND t.hash = old.hash;
	IF relay_redeem.expires_at < now() THEN
		RETURN false;
	END IF;

	-- A user connects now and then; this many is somebody filling the table.
	IF (SELECT count(*) FROM (SELECT FROM mirusync.spent_ticket s
			WHERE s.user_id = relay_redeem.user_id
				AND s.expires_at >= now() LIMIT 1000) many) = 1000 THEN
		RETURN false;
	END IF;
	INSERT INTO mirusync.spent_ticket (user_id, hash, expires_at)
	VALUES (relay_redeem.user_id, decode(ticket_hash, 'hex'), relay_redeem.expires_at)
	ON CONFLICT ON CONSTRAINT spent_ticket_pkey DO NOTHING;
	RETURN found;
END
$$;
COMMENT ON FUNCTION mirusync.relay_redeem(text, text, timestamptz) IS
'for relays: use a ticket; false if it was used before or has expired';

REVOKE ALL ON mirusync.revocation, mirusync.realtime_off, mirusync.spent_ticket FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.ring_access(text), mirusync.revoke(text, text),
	mirusync.set_realtime(text, boolean), mirusync.relay_access(text[]),
	mirusync.relay_redeem(text, text, timestamptz) FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('mirusync.revocation', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.realtime_off', '');

-- -------------------------------------------------------------------------
-- 55_rejected.sql
-- -------------------------------------------------------------------------

-- Written by refusal.c.  A row for each change that waits; it goes when the
-- change is applied by retry() or thrown away by discard().
CREATE TABLE mirusync.refusal (
	feed		text COLLATE "C" NOT NULL,
	number		bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,
	part_of		bigint NOT NULL,
	user_id		text COLLATE "C" NOT NULL,
	device		text COLLATE "C" NOT NULL,
	device_number bigint,
	type		text COLLATE "C",
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	change		jsonb NOT NULL,
	sqlstate	text COLLATE "C" NOT NULL,
	message		text COLLATE "C" NOT NULL,
	detail		text COLLATE "C",
	at			timestamptz NOT NULL DEFAULT pg_catalog.now(),
	tries		int NOT NULL,
	tried_at	timestamptz,
	CONSTRAINT refusal_pkey PRIMARY KEY (feed, number)
);
CREATE INDEX refusal_record ON mirusync.refusal (feed, device, collection, id)
	WHERE type IS NULL;
COMMENT ON TABLE mirusync.refusal IS 'pushed changes that were refused and wait; read the view rejected';
COMMENT ON INDEX mirusync.refusal_record IS 'what push looks up: whether numbered changes of a device, to a record, wait';
COMMENT ON SEQUENCE mirusync.refusal_number_seq IS 'numbers of refused changes';
COMMENT ON COLUMN mirusync.refusal.feed IS 'feed that the change was for';
COMMENT ON COLUMN mirusync.refusal.number IS 'number by which retry() and discard() know it; later ones came later';
COMMENT ON COLUMN mirusync.refusal.part_of IS 'number of the first change of the event it came in; its own if it came alone';
COMMENT ON COLUMN mirusync.refusal.user_id IS 'user whose device pushed it';
COMMENT ON COLUMN mirusync.refusal.device IS 'device that pushed it; of an event, the session';
COMMENT ON COLUMN mirusync.refusal.device_number IS 'the device''s own number of it; null for an event';
COMMENT ON COLUMN mirusync.refusal.type IS 'type of the event; null for a change of a batch';
COMMENT ON COLUMN mirusync.refusal.collection IS 'collection';
COMMENT ON COLUMN mirusync.refusal.id IS 'id of the record';
COMMENT ON COLUMN mirusync.refusal.change IS 'the change, in the form that push() takes';
COMMENT ON COLUMN mirusync.refusal.sqlstate IS 'why it was refused when it was last tried; MS010: it has not been tried, since it waits behind another';
COMMENT ON COLUMN mirusync.refusal.message IS 'message of that error';
COMMENT ON COLUMN mirusync.refusal.detail IS 'its detail';
COMMENT ON COLUMN mirusync.refusal.at IS 'when it was pushed';
COMMENT ON COLUMN mirusync.refusal.tries IS 'how often it was tried';
COMMENT ON COLUMN mirusync.refusal.tried_at IS 'when it was last tried';

-- A numbered change waits behind every earlier one of its device to its record;
-- an event behind nothing.
CREATE VIEW mirusync.rejected AS
	SELECT r.feed, r.number, r.part_of, r.user_id, r.device, r.device_number,
		r.type, r.collection, r.id, r.change ->> 'kind' AS kind,
		r.change -> 'fields' AS fields,
		(r.change ->> 'clock')::mirusync.hlc AS clock,
		(r.change ->> 'base')::bigint AS base,
		r.sqlstate, r.message, r.detail,
		(SELECT max(e.number)
			FROM mirusync.refusal e
			WHERE r.type IS NULL AND e.type IS NULL
				AND e.feed = r.feed AND e.device = r.device
				AND e.collection = r.collection AND e.id = r.id
				AND e.number < r.number) AS behind,
		r.at, r.tries, r.tried_at, r.change
	FROM mirusync.refusal r;
COMMENT ON VIEW mirusync.rejected IS 'inbox of pushed changes that were refused; see retry() and discard()';
COMMENT ON COLUMN mirusync.rejected.feed IS 'feed that the change was for';
COMMENT ON COLUMN mirusync.rejected.number IS 'number by which retry() and discard() know it; later ones came later';
COMMENT ON COLUMN mirusync.rejected.part_of IS 'number of the first change of the event it came in, with which it is tried; its own if it came alone';
COMMENT ON COLUMN mirusync.rejected.user_id IS 'user whose device pushed it';
COMMENT ON COLUMN mirusync.rejected.device IS 'device that pushed it; of an event, the session';
COMMENT ON COLUMN mirusync.rejected.device_number IS 'the device''s own number of it; null for an event';
COMMENT ON COLUMN mirusync.rejected.type IS 'type of the event; null for a change of a batch';
COMMENT ON COLUMN mirusync.rejected.collection IS 'collection';
COMMENT ON COLUMN mirusync.rejected.id IS 'id of the record';
COMMENT ON COLUMN mirusync.rejected.kind IS 'put, patch or delete';
COMMENT ON COLUMN mirusync.rejected.fields IS 'fields of a put or patch';
COMMENT ON COLUMN mirusync.rejected.clock IS 'clock that it is merged by';
COMMENT ON COLUMN mirusync.rejected.base IS 'number of the feed that the device had seen; null: unknown';
COMMENT ON COLUMN mirusync.rejected.sqlstate IS 'why it was refused when it was last tried; MS010: it has not been tried, since it waits behind another';
COMMENT ON COLUMN mirusync.rejected.message IS 'message of that error';
COMMENT ON COLUMN mirusync.rejected.detail IS 'its detail';
COMMENT ON COLUMN mirusync.rejected.behind IS 'number of the change of its device that it waits behind, the last of them; null: it can be retried, as every event can';
COMMENT ON COLUMN mirusync.rejected.at IS 'when it was pushed';
COMMENT ON COLUMN mirusync.rejected.tries IS 'how often it was tried';
COMMENT ON COLUMN mirusync.rejected.tried_at IS 'when it was last tried';
COMMENT ON COLUMN mirusync.rejected.change IS 'the change, in the form that push() takes';

-- They run like push(), as the owner, and write to the application's tables as
-- the collection's role.
CREATE FUNCTION mirusync.retry(feed text, rejected bigint,
	edited jsonb DEFAULT NULL, OUT number bigint, OUT verdict text,
	OUT seq bigint, OUT code text, OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_retry_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.retry(text, bigint, jsonb) IS
'apply a rejected change again, with other fields if given, then those that wait behind it; returns what became of each';

CREATE FUNCTION mirusync.discard(feed text, rejected bigint,
	following boolean DEFAULT false, OUT number bigint, OUT verdict text,
	OUT seq bigint, OUT code text, OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_discard_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.discard(text, bigint, boolean) IS
'throw a rejected change away, then apply those that wait behind it, or throw them away as well; returns what became of each';

-- What a dump must carry besides the registry (30_registry.sql).
SELECT pg_catalog.pg_extension_config_dump('mirusync.refusal', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.refusal_number_seq', '');

REVOKE ALL ON TABLE mirusync.refusal, mirusync.rejected FROM PUBLIC;
REVOKE ALL ON SEQUENCE mirusync.refusal_number_seq FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.retry(text, bigint, jsonb),
	mirusync.discard(text, bigint, boolean) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 75_audit.sql
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.stored(feed text, collection text, id text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_stored_0_2'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.stored(text, text, text) IS
'fields of a record as it stands; null if it is deleted or there is none';

CREATE FUNCTION mirusync.field_stamps(feed text, collection text, id text,
	OUT field text, OUT value jsonb, OUT clock mirusync.hlc, OUT device text,
	OUT seq bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_field_stamps_0_2'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.field_stamps(text, text, text) IS
'who wrote each field of a record, from its state; for blame()';

-- -------------------------------------------------------------------------
-- What happened
-- -------------------------------------------------------------------------

-- A side that does not have the field is left out: {"to": ...} alone says that
-- it was not there, or that it is not known what was.
CREATE FUNCTION mirusync.field_changes(old jsonb, new jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_object_agg(k.name,
		CASE WHEN old ? k.name
			THEN jsonb_build_object('from', old -> k.name) ELSE '{}' END
		|| CASE WHEN new ? k.name
			THEN jsonb_build_object('to', new -> k.name) ELSE '{}' END)
	FROM (SELECT jsonb_object_keys(old) UNION SELECT jsonb_object_keys(new))
		AS k(name)
$$;
COMMENT ON FUNCTION mirusync.field_changes(jsonb, jsonb) IS
'from and to of each field, of old and new as history has them';

-- The latest ones, so many as "max", of those below the number "before".
CREATE FUNCTION mirusync.history(feed text, collection text, id text,
	before bigint DEFAULT 9223372036854775807, max int DEFAULT 2147483647)
RETURNS TABLE (seq bigint, at timestamptz, kind text, origin text,
	user_id text, device text, session text, role text, application text,
	xid xid8, type text, number bigint, changes jsonb, rule text,
	field_rules jsonb, verdict text, conflicts bigint[], clock mirusync.hlc,
	base bigint, skew_ms bigint, erased_at timestamptz, erased_by text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.seq, l.at, l.kind,
		CASE WHEN l.user_id IS NULL THEN 'sql'
			WHEN l.device IS NULL THEN 'resolve'
			WHEN l.rule IS NULL THEN 'trigger'
			ELSE 'push' END,
		l.user_id, l.device, l.session,
		pg_get_userbyid(l.role)::text, l.application, l.xid, l.type, l.number,
		mirusync.field_changes(l.old, l.new), l.rule, l.field_rules,
		l.verdict,
		(SELECT array_agg(c.id ORDER BY c.id)
			FROM mirusync.conflict c
			WHERE c.feed = l.feed AND c.incoming_seq = l.seq),
		l.clock, l.base, l.skew_ms, e.at, pg_get_userbyid(e.role)::text
	FROM (SELECT * FROM mirusync.change_log c
		WHERE c.feed = history.feed AND c.collection = history.collection
			AND c.id = history.id AND c.seq < history.before
		ORDER BY c.seq DESC LIMIT history.max) l
		LEFT JOIN mirusync.erasure e ON e.feed = l.feed AND e.number = l.erasure
	ORDER BY l.seq
$$;
COMMENT ON FUNCTION mirusync.history(text, text, text, bigint, int) IS
'every change of a record, as far as history reaches back';

CREATE FUNCTION mirusync.blame(feed text, collection text, id text)
RETURNS TABLE (field text, value jsonb, former jsonb, seq bigint,
	at timestamptz, origin text, user_id text, device text, role text,
	application text, clock mirusync.hlc, rule text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.field, s.value,
		CASE WHEN s.field IS NULL THEN l.old ELSE l.old -> s.field END,
		s.seq, l.at,
		CASE WHEN s.device IS NOT NULL
				THEN CASE WHEN l.seq IS NOT NULL AND l.rule IS NULL
					THEN 'trigger' ELSE 'push' END
			WHEN l.device IS NOT NULL THEN 'trigger'
			WHEN l.user_id IS NOT NULL THEN 'resolve'
			ELSE 'sql' END,
		l.user_id, coalesce(s.device, l.device), pg_get_userbyid(l.role)::text,
		l.application, s.clock, coalesce(l.field_rules ->> s.field, l.rule)
	FROM mirusync.field_stamps(blame.feed, blame.collection, blame.id) s
		-- A field at a time, whatever the planner thinks of their number.
		LEFT JOIN LATERAL (SELECT * FROM mirusync.change_log c
			WHERE c.feed = blame.feed AND c.seq = s.seq LIMIT 1) l ON true
	ORDER BY s.field COLLATE "C" NULLS FIRST
$$;
COMMENT ON FUNCTION mirusync.blame(text, text, text) IS
'for each field of a record who set its present value, when, from where, over what';

-- -------------------------------------------------------------------------
-- How it was
-- -------------------------------------------------------------------------

-- Times of a feed never go back, so its numbers are searched by halves.
CREATE FUNCTION mirusync.seq_at(feed text, at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	low bigint := 0;	-- not after "at", nor is anything below
	high bigint;		-- everything above is after "at"
	middle bigint;
	probe record;
BEGIN
	SELECT f.head INTO high FROM mirusync.feed f WHERE f.feed = seq_at.feed;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'feed % does not exist', to_json(seq_at.feed)
			USING ERRCODE = 'undefined_object';
	END IF;
	IF seq_at.at > clock_timestamp() THEN
		RAISE EXCEPTION 'time is in the future'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	WHILE low < high LOOP
		middle := (low + high + 1) / 2;
		SELECT l.seq, l.at INTO probe FROM mirusync.change_log l
			WHERE l.feed = seq_at.feed AND l.seq >= middle
			ORDER BY l.seq LIMIT 1;
		IF probe.seq <= high AND probe.at <= seq_at.at THEN
			low := probe.seq;
		ELSE
			high := middle - 1;
		END IF;
	END LOOP;
	RETURN low;
END
$$;
COMMENT ON FUNCTION mirusync.seq_at(text, timestamptz) IS
'number of the latest change of a feed at a time, of those that history has; 0: none';

-- What came later is undone, from the record as it stands or as it was deleted
-- next.  That asks nothing of history below the number.  Where it is not known
-- what stands, since the table was detached, the record is made again from the
-- change that made it.
CREATE FUNCTION mirusync.record_at(feed text, collection text, id text,
	seq bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state record;
	ending record;		-- the first change after "seq" that is no patch
	change record;
	fields jsonb;
	missing bigint;		-- number that history must have next, going back
BEGIN
	SELECT r.seq, r.deleted INTO state FROM mirusync.record r
		WHERE r.feed = record_at.feed
			AND r.collection = record_at.collection AND r.id = record_at.id;
	SELECT l.seq, l.kind, l.old, l.previous, l.erasure INTO ending
		FROM mirusync.change_log l
		WHERE l.feed = record_at.feed
			AND l.collection = record_at.collection AND l.id = record_at.id
			AND l.seq + 0 > record_at.seq AND l.kind <> 'patch'
		-- By the record's index, not by the feed's: hence + 0.
		ORDER BY l.seq + 0 LIMIT 1;
	IF ending.seq IS NOT NULL THEN
		missing := ending.previous;
		fields := ending.old;
	ELSE
		missing := state.seq;
		fields := mirusync.stored(feed, collection, id);
	END IF;
	FOR change IN
		SELECT l.seq, l.old, l.new, l.previous, l.erasure
		FROM mirusync.change_log l
		WHERE l.feed = record_at.feed
			AND l.collection = record_at.collection AND l.id = record_at.id
			AND l.seq + 0 > record_at.seq
			AND (ending.seq IS NULL OR l.seq < ending.seq)
		ORDER BY l.seq + 0 DESC
	LOOP
		EXIT WHEN missing <> change.seq OR change.erasure IS NOT NULL;
		missing := change.previous;
		fields := fields - ARRAY(SELECT jsonb_object_keys(change.new))
			|| change.old;
	END LOOP;
	IF missing > record_at.seq OR ending.kind = 'delete'
			AND ending.erasure IS NOT NULL THEN
		fields := NULL;
	ELSIF ending.kind = 'put' OR ending.kind = 'delete' AND missing IS NULL
			AND fields IS NULL OR ending.seq IS NULL AND state.deleted
	THEN
		RETURN NULL;
	END IF;
	RETURN coalesce(fields,
		mirusync.record_made_again(feed, collection, id, seq, missing));
END
$$;
COMMENT ON FUNCTION mirusync.record_at(text, text, text, bigint) IS
'fields of a record as they were at a number of its feed; null: it was not there';

-- "missing" is what is known to have been there, and is not in history.
CREATE FUNCTION mirusync.record_made_again(feed text, collection text, id text,
	seq bigint, missing bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	change record;
	fields jsonb;
	previous bigint;
	known boolean;
BEGIN
	FOR change IN
		SELECT l.seq, l.kind, l.old, l.new, l.previous, l.erasure
		FROM mirusync.change_log l
		WHERE l.feed = record_made_again.feed
			AND l.collection = record_made_again.collection
			AND l.id = record_made_again.id
		ORDER BY l.seq + 0
	LOOP
		EXIT WHEN change.seq > record_made_again.seq;
		known := (change.kind <> 'patch'
			OR coalesce(known, false) AND change.previous = previous)
			AND (change.erasure IS NULL OR change.kind = 'delete');
		fields := CASE change.kind WHEN 'put' THEN change.new
			WHEN 'patch' THEN fields
				- ARRAY(SELECT jsonb_object_keys(change.old)) || change.new END;
		previous := change.seq;
	END LOOP;
	-- Nothing is known of it: it may never have been there, or be forgotten.
	IF previous IS NULL AND change.seq IS NULL AND missing IS NULL THEN
		known := seq >= coalesce((SELECT f.floor FROM mirusync.feed f
			WHERE f.feed = record_made_again.feed), 0);
	END IF;
	IF known IS NOT TRUE THEN
		RAISE EXCEPTION 'history of record % does not reach back to number %',
			to_json(id), seq
			USING ERRCODE = 'MS008', HINT = 'It was trimmed or erased.';
	END IF;
	RETURN fields;
END
$$;
COMMENT ON FUNCTION mirusync.record_made_again(text, text, text, bigint, bigint) IS
'fields of a record at a number, from the change that made it on; for record_at()';

CREATE FUNCTION mirusync.as_of(feed text, collection text, id text,
	at timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT mirusync.record_at(feed, collection, id, mirusync.seq_at(feed, at))
$$;
COMMENT ON FUNCTION mirusync.as_of(text, text, text, timestamptz) IS
'fields of a record as they were at a time; null: it was not there';

-- Every record that has state or history is looked at, if only to say that it
-- was not there.  Numbers without a hole tell whether there was another one.
CREATE FUNCTION mirusync.feed_as_of(feed text, at timestamptz)
RETURNS TABLE (collection text, id text, fields jsonb)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place bigint := mirusync.seq_at(feed, at);
	known record;
BEGIN
	SELECT f.head - place AS later, f.floor > place AS is_below INTO known
		FROM mirusync.feed f WHERE f.feed = feed_as_of.feed;
	IF known.is_below AND known.later <> (SELECT count(*)
		FROM mirusync.change_log l
		WHERE l.feed = feed_as_of.feed AND l.seq > place)
	THEN
		RAISE EXCEPTION 'history of feed % does not reach back to number %',
			to_json(feed), place
			USING ERRCODE = 'MS008', HINT = 'It was trimmed.';
	END IF;
	RETURN QUERY
		SELECT n.collection, n.id, n.fields FROM (
			SELECT k.collection, k.id,
				mirusync.record_at(feed_as_of.feed, k.collection, k.id, place)
					AS fields
			FROM (SELECT r.collection, r.id FROM mirusync.record r
					WHERE r.feed = feed_as_of.feed
						AND (r.seq > place OR NOT r.deleted)
				UNION
				SELECT l.collection, l.id FROM mirusync.change_log l
					WHERE l.feed = feed_as_of.feed
						AND (l.seq > place OR NOT EXISTS (
							SELECT FROM mirusync.record r
							WHERE r.feed = l.feed
								AND r.collection = l.collection
								AND r.id = l.id))) k) n
		WHERE n.fields IS NOT NULL
		ORDER BY n.collection COLLATE "C", n.id COLLATE "C";
END
$$;
COMMENT ON FUNCTION mirusync.feed_as_of(text, timestamptz) IS
'records of a feed as they were at a time';

-- -------------------------------------------------------------------------
-- Why
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.writer(device text, user_id text, role oid,
	application text)
RETURNS text
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce('device ' || to_json(device),
		'user ' || to_json(user_id), 'SQL'
		|| coalesce(' by role ' || to_json(pg_get_userbyid(role)::text), '')
		|| coalesce(' (' || application || ')', ''));
END
$$;
COMMENT ON FUNCTION mirusync.writer(text, text, oid, text) IS
'who wrote, in words; for explain()';

-- One row a field that the change set, and one a field that it did not get.
-- "before" is the change that had set the field when this one came, "after"
-- the one that set it next.
CREATE FUNCTION mirusync.explain(feed text, seq bigint)
RETURNS TABLE (field text, outcome text, value jsonb, other jsonb,
	reason text, words text, facts jsonb)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH change AS (
		SELECT l.*, mirusync.writer(l.device, l.user_id, l.role,
			l.application) AS who,
			e.at AS erased_at, pg_get_userbyid(e.role)::text AS erased_by
		FROM mirusync.change_log l
			LEFT JOIN mirusync.erasure e
				ON e.feed = l.feed AND e.number = l.erasure
		WHERE l.feed = explain.feed AND l.seq = explain.seq
	), conflict AS (
		SELECT c.id, c.field, c.rule, c.outcome, c.stored, c.incoming,
			c.stored_seq, c.stored_device, c.stored_clock
		FROM mirusync.conflicts c
		WHERE c.feed = explain.feed AND c.incoming_seq = explain.seq
	), field AS (
		SELECT k.name, k.is_set, l.erased_at, l.erased_by, l.kind, l.device,
			l.user_id, l.who, l.clock, l.base,
			l.rule AS collection_rule,
			coalesce(c.rule, l.field_rules ->> k.name, l.rule) AS rule,
			CASE WHEN k.is_set THEN l.new -> k.name ELSE c.incoming END AS sent,
			CASE WHEN l.kind = 'delete' THEN l.old
				WHEN k.is_set THEN l.old -> k.name ELSE c.stored END AS former,
			c.id AS conflict, c.outcome, c.stored_seq, c.stored_device,
			c.stored_clock, b.seq AS before, b.kind AS before_kind, b.device AS before_device,
			b.who AS before_who, b.clock AS before_clock,
			a.seq AS after, a.who AS after_who
		FROM change l
			CROSS JOIN LATERAL (
				SELECT n AS name, true AS is_set
					FROM (SELECT jsonb_object_keys(l.new)
						UNION SELECT jsonb_object_keys(l.old)) AS n(n)
					WHERE l.kind <> 'delete'
				UNION ALL
				SELECT NULL, true
					WHERE l.kind = 'delete' OR l.erasure IS NOT NULL
				UNION ALL
				SELECT n.field, false FROM conflict n
					WHERE n.outcome <> 'incoming'
						AND NOT coalesce(l.new ? n.field, false)) k
			LEFT JOIN conflict c ON c.field = k.name
				OR c.field IS NULL AND (k.name IS NULL OR c.incoming ? k.name
					OR c.stored ? k.name)
			LEFT JOIN LATERAL (
				SELECT p.seq, p.kind, p.device, p.clock,
					mirusync.writer(p.device, p.user_id, p.role,
						p.application) AS who
				FROM mirusync.change_log p
				WHERE p.feed = l.feed AND p.collection = l.collection
					AND p.id = l.id AND p.seq < l.seq
					AND (p.new ? k.name OR p.old ? k.name OR k.name IS NULL
						OR p.kind = 'delete')
				ORDER BY p.seq DESC LIMIT 1) b ON true
			LEFT JOIN LATERAL (
				SELECT p.seq,
					mirusync.writer(p.device, p.user_id, p.role,
						p.application) AS who
				FROM mirusync.change_log p
				WHERE p.feed = l.feed AND p.collection = l.collection
					AND p.id = l.id AND p.seq > l.seq
					AND (p.new ? k.name OR p.old ? k.name OR k.name IS NULL
						OR p.kind = 'delete')
				ORDER BY p.seq LIMIT 1) a ON true
	), judged AS (
		SELECT f.*, CASE
			WHEN f.erased_at IS NOT NULL THEN 'erased'
			WHEN NOT f.is_set AND f.outcome = 'open' THEN 'open'
			WHEN NOT f.is_set THEN 'lost'
			WHEN f.user_id IS NULL THEN 'sql'
			WHEN f.device IS NULL THEN 'resolve'
			WHEN f.collection_rule IS NULL THEN 'trigger'
			WHEN f.conflict IS NOT NULL AND f.outcome = 'incoming'
				THEN 'won'
			WHEN f.kind = 'put' AND f.before IS NULL THEN 'new'
			WHEN f.before_kind = 'delete' THEN 'back'
			WHEN f.rule IN ('max', 'min', 'counter') THEN f.rule
			WHEN f.before IS NULL THEN 'trimmed'
			WHEN f.before_device = f.device THEN 'own'
			WHEN f.before <= f.base THEN 'seen'
			WHEN f.base IS NULL THEN 'newer'
			ELSE 'unseen' END AS reason
		FROM field f
	)
	SELECT j.name,
		CASE WHEN j.reason = 'erased' THEN 'erased'
			WHEN NOT j.is_set THEN 'refused'
			WHEN j.kind = 'delete' THEN 'deleted' ELSE 'stored' END,
		j.sent, j.former, j.reason,
		CASE j.reason
			WHEN 'erased' THEN 'it was erased by role ' || to_json(j.erased_by)
			WHEN 'sql' THEN j.who || ' wrote it, which asks no rule'
			WHEN 'resolve' THEN j.who || ' decided a conflict'
			WHEN 'trigger' THEN
				'a trigger or a cascade wrote it, for a push of ' || j.who
			WHEN 'new' THEN j.who || ' made the record; there was nothing to merge with'
			WHEN 'back' THEN format('the record was deleted under number %s, and %s brought it back',
				j.before, j.who)
			WHEN 'own' THEN j.who || ' had written the former value itself'
			WHEN 'seen' THEN format('%s had seen number %s, and the former value had number %s',
				j.who, j.base, j.before)
			WHEN 'max' THEN 'it is the greater one'
			WHEN 'min' THEN 'it is the lesser one'
			WHEN 'counter' THEN 'what ' || j.who || ' added was added'
			WHEN 'newer' THEN format('by rule %s: %s did not say what it had seen, and the clock %s, while that of the former value was %s',
				j.rule, j.who, j.clock, j.before_clock)
			WHEN 'unseen' THEN format('by rule %s: %s had not seen the former value, number %s',
				j.rule, j.who, j.before)
			WHEN 'trimmed' THEN 'history does not say what was there before'
			ELSE format('%s by rule %s against %s, which %s had not seen',
				CASE j.reason WHEN 'won' THEN 'it won' WHEN 'lost' THEN 'it lost'
					ELSE 'the stored value stays until somebody decides,' END,
				j.rule, coalesce('number ' || j.stored_seq || ' of ', '')
					|| mirusync.writer(j.stored_device, NULL, NULL, NULL), j.who)
		END || CASE WHEN j.is_set AND j.reason <> 'erased' AND j.after IS NOT NULL
			THEN format('; replaced by number %s, %s', j.after, j.after_who)
			ELSE '' END,
		jsonb_strip_nulls(jsonb_build_object('rule', j.rule,
			'clock', j.clock::text, 'base', j.base,
			'former_seq', coalesce(j.stored_seq, j.before),
			'former_device', CASE WHEN j.conflict IS NOT NULL
				THEN j.stored_device ELSE j.before_device END,
			'former_clock', coalesce(j.stored_clock, j.before_clock)::text,
			'conflict', j.conflict,
			'replaced_by', CASE WHEN j.is_set THEN j.after END))
	FROM judged j
	ORDER BY j.is_set DESC, j.name COLLATE "C"
$$;
COMMENT ON FUNCTION mirusync.explain(text, bigint) IS
'why a change set the fields that it set, and not those that it did not';

-- The push happens in a subtransaction that is rolled back.  Its number is one
-- that no device comes to, unless the change has one.
CREATE FUNCTION mirusync.explain_push(user_id text, device text, change jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	verdict jsonb;
	answer jsonb;
BEGIN
	IF jsonb_typeof(change) <> 'object' THEN
		RAISE EXCEPTION 'change is not an object' USING ERRCODE = 'MS400';
	END IF;
	BEGIN
		verdict := mirusync.push(user_id, device, jsonb_build_object('changes',
			jsonb_build_array('{"number": 9007199254740991}' || change)))
			#> '{verdicts,0}';
		IF NOT change ? 'number' THEN
			verdict := verdict - 'number';
		END IF;
		answer := jsonb_build_object('verdict', verdict - 'conflicts',
			'record', CASE WHEN verdict ->> 'verdict' <> 'rejected' THEN
				mirusync.stored(user_id, change ->> 'collection', change ->> 'id')
				END,
			'fields', CASE WHEN verdict ->> 'verdict' IN ('applied', 'merged')
				THEN (SELECT jsonb_agg(to_jsonb(e) #- '{facts,conflict}'
						ORDER BY e.field COLLATE "C", e.outcome)
					FROM mirusync.explain(user_id, (verdict ->> 'seq')::bigint) e)
				END,
			'conflicts', (SELECT jsonb_agg(to_jsonb(c) - ARRAY['id', 'feed', 'at',
					'resolved_at', 'resolved_by', 'resolution', 'resolved_user',
					'number']
					ORDER BY c.id)
				FROM mirusync.conflicts c
				WHERE c.feed = explain_push.user_id AND c.id IN (
					SELECT i::bigint FROM jsonb_array_elements_text(
						verdict -> 'conflicts') i)));
		RAISE EXCEPTION 'nothing of this is to stay' USING ERRCODE = 'MS099';
	EXCEPTION WHEN SQLSTATE 'MS099' THEN
		NULL;
	END;
	RETURN (SELECT jsonb_object_agg(a.key, a.value) FROM jsonb_each(answer) a
		WHERE a.value <> 'null');
END
$$;
COMMENT ON FUNCTION mirusync.explain_push(text, text, jsonb) IS
'what would become of a change if it were pushed; nothing of it is stored';

REVOKE ALL ON FUNCTION mirusync.stored(text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.field_stamps(text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.field_changes(jsonb, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.history(text, text, text, bigint, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.blame(text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.seq_at(text, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.record_at(text, text, text, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.record_made_again(text, text, text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.as_of(text, text, text, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.feed_as_of(text, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.writer(text, text, oid, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.explain(text, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.explain_push(text, text, jsonb) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- For users, by way of a relay, which says who asks.  Of the own feed only;
-- what another user's device did there, by a trigger, is told without the
-- device.  About a megabyte is given, if need be less than was asked for.
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.relay_history(user_id text, collection text, id text,
	before bigint, max int)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH newest AS (
		SELECT h.seq, (jsonb_strip_nulls(jsonb_build_object('seq', h.seq,
				'at', to_char(h.at AT TIME ZONE 'UTC',
					'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
				'kind', h.kind, 'origin', h.origin,
				'device', CASE WHEN h.user_id = relay_history.user_id
					THEN h.device END,
				'session', CASE WHEN h.user_id = relay_history.user_id
					THEN h.session END,
				'type', h.type, 'rule', h.rule, 'field_rules', h.field_rules,
				'verdict', h.verdict, 'conflicts', h.conflicts,
				'clock', h.clock, 'base', h.base,
				'erased_at', to_char(h.erased_at AT TIME ZONE 'UTC',
					'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
			|| jsonb_build_object('changes', coalesce(h.changes, '{}')))::text
			AS change,
			row_number() OVER (ORDER BY h.seq DESC) AS place
		FROM mirusync.history(relay_history.user_id, relay_history.collection,
			relay_history.id, relay_history.before, relay_history.max + 1) h
	), sized AS (
		SELECT n.*, sum(octet_length(n.change)) OVER (ORDER BY n.place) AS size
		FROM newest n
	), kept AS (
		SELECT * FROM sized s
		WHERE s.place = 1 OR s.place <= relay_history.max AND s.size <= 1048576
	)
	SELECT format('{"complete":%s,"changes":[%s]}',
		to_json((SELECT count(*) FROM kept) = (SELECT count(*) FROM newest)),
		(SELECT string_agg(k.change, ',' ORDER BY k.seq) FROM kept k))
$$;
COMMENT ON FUNCTION mirusync.relay_history(text, text, text, bigint, int) IS
'for relays: the latest changes of a record of a user''s own feed below a number, as JSON';

CREATE FUNCTION mirusync.relay_conflicts(user_id text, collection text,
	id text, before bigint, max int)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH newest AS (
		SELECT c.id, (jsonb_strip_nulls(jsonb_build_object('id', c.id,
				'collection', c.collection, 'record', c.record,
				'field', c.field, 'rule', c.rule, 'outcome', c.outcome,
				'stored_clock', c.stored_clock,
				'stored_device', c.stored_device, 'stored_seq', c.stored_seq,
				'incoming_clock', c.incoming_clock,
				'incoming_device', c.incoming_device,
				'incoming_seq', c.incoming_seq, 'number', c.number,
				'base', c.base, 'at', to_char(c.at AT TIME ZONE 'UTC',
					'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
			|| CASE WHEN c.stored IS NULL THEN '{}'
				ELSE jsonb_build_object('stored', c.stored) END
			|| CASE WHEN c.incoming IS NULL THEN '{}'
				ELSE jsonb_build_object('incoming', c.incoming) END)::text
			AS conflict,
			row_number() OVER (ORDER BY c.id DESC) AS place
		FROM mirusync.conflicts c
		WHERE c.feed = relay_conflicts.user_id AND c.resolved_at IS NULL
			AND c.id < relay_conflicts.before
			AND (relay_conflicts.collection = ''
				OR c.collection = relay_conflicts.collection)
			AND (relay_conflicts.id = '' OR c.record = relay_conflicts.id)
		ORDER BY c.id DESC LIMIT relay_conflicts.max + 1
	), sized AS (
		SELECT n.*, sum(octet_length(n.conflict)) OVER (ORDER BY n.place)
			AS size
		FROM newest n
	), kept AS (
		SELECT * FROM sized s
		WHERE s.place = 1
			OR s.place <= relay_conflicts.max AND s.size <= 1048576
	)
	SELECT format('{"complete":%s,"conflicts":[%s]}',
		to_json((SELECT count(*) FROM kept) = (SELECT count(*) FROM newest)),
		(SELECT string_agg(k.conflict, ',' ORDER BY k.place) FROM kept k))
$$;
COMMENT ON FUNCTION mirusync.relay_conflicts(text, text, text, bigint, int) IS
'for relays: conflicts of a user''s own feed below an id that nobody resolved, newest first, as JSON';

REVOKE ALL ON FUNCTION mirusync.relay_history(text, text, text, bigint, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.relay_conflicts(text, text, text, bigint, int) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 76_devices.sql
-- -------------------------------------------------------------------------

CREATE VIEW mirusync.devices AS
	SELECT d.user_id, d.device, d.seen_at, d.cursor,
		f.head - d.cursor AS behind,
		d.cursor > 0 AND d.cursor < f.floor AS below_floor,
		d.unsent, d.version, d.skew_ms, d.digested,
		(SELECT count(*) FROM mirusync.verdict v
			WHERE v.user_id = d.user_id AND v.device = d.device) AS verdicts,
		(SELECT count(*) FROM mirusync.refusal r
			WHERE r.feed = d.user_id AND r.device = d.device) AS rejected
	FROM mirusync.device d
		LEFT JOIN mirusync.feed f ON f.feed = d.user_id;
COMMENT ON VIEW mirusync.devices IS 'devices that push numbered changes, and how far each of them is';
COMMENT ON COLUMN mirusync.devices.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.devices.device IS 'the device''s id';
COMMENT ON COLUMN mirusync.devices.seen_at IS 'when it pushed last';
COMMENT ON COLUMN mirusync.devices.cursor IS 'number of the feed that it had seen when it reported last; null: it has not said';
COMMENT ON COLUMN mirusync.devices.behind IS 'how many changes of the feed are after that';
COMMENT ON COLUMN mirusync.devices.below_floor IS 'tombstones above its cursor are gone: if it comes back with it, it starts over';
COMMENT ON COLUMN mirusync.devices.unsent IS 'how many changes it had not sent yet, as it said';
COMMENT ON COLUMN mirusync.devices.version IS 'version of its application, as it said';
COMMENT ON COLUMN mirusync.devices.skew_ms IS 'by how much its clock was ahead; negative: behind';
COMMENT ON COLUMN mirusync.devices.digested IS 'verdicts up to this number are no longer kept';
COMMENT ON COLUMN mirusync.devices.verdicts IS 'how many verdicts are kept for it';
COMMENT ON COLUMN mirusync.devices.rejected IS 'how many of its changes wait in the inbox';

CREATE VIEW mirusync.feeds AS
	SELECT f.feed, f.epoch, f.head, f.floor, f.changed_at,
		r.records, r.tombstones, l.changes, l.since, d.devices, d.below_floor,
		(SELECT count(*) FROM mirusync.conflict c
			WHERE c.feed = f.feed AND c.resolved_at IS NULL
				AND c.outcome = 'open') AS open_conflicts,
		(SELECT count(*) FROM mirusync.refusal w
			WHERE w.feed = f.feed) AS rejected
	FROM mirusync.feed f
		CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE NOT r.deleted) AS records,
				count(*) FILTER (WHERE r.deleted) AS tombstones
			FROM mirusync.record r WHERE r.feed = f.feed) r
		CROSS JOIN LATERAL (SELECT count(*) AS changes, min(l.at) AS since
			FROM mirusync.change_log l WHERE l.feed = f.feed) l
		CROSS JOIN LATERAL (SELECT count(*) AS devices,
				count(*) FILTER (WHERE d.cursor > 0 AND d.cursor < f.floor) AS below_floor
			FROM mirusync.device d WHERE d.user_id = f.feed) d;
COMMENT ON VIEW mirusync.feeds IS 'feeds, and what is kept of each; ask for one by its id';
COMMENT ON COLUMN mirusync.feeds.feed IS 'feed id';
COMMENT ON COLUMN mirusync.feeds.epoch IS 'epoch that it is in';
COMMENT ON COLUMN mirusync.feeds.head IS 'number of its latest change';
COMMENT ON COLUMN mirusync.feeds.floor IS 'a device of an earlier epoch with a cursor below it starts over';
COMMENT ON COLUMN mirusync.feeds.changed_at IS 'when its latest change was numbered';
COMMENT ON COLUMN mirusync.feeds.records IS 'records that it has';
COMMENT ON COLUMN mirusync.feeds.tombstones IS 'deleted records that are remembered';
COMMENT ON COLUMN mirusync.feeds.changes IS 'changes that history has';
COMMENT ON COLUMN mirusync.feeds.since IS 'when the first of them was numbered';
COMMENT ON COLUMN mirusync.feeds.devices IS 'devices that push numbered changes';
COMMENT ON COLUMN mirusync.feeds.below_floor IS 'those of them that will start over';
COMMENT ON COLUMN mirusync.feeds.open_conflicts IS 'conflicts that wait for a decision';
COMMENT ON COLUMN mirusync.feeds.rejected IS 'changes that wait in the inbox';

-- Tables that grow are not counted: what ANALYZE found there has to do.
CREATE VIEW mirusync.stats AS
	SELECT 'table' AS what, c.relname::text AS name,
		c.reltuples::bigint AS count,
		pg_catalog.pg_total_relation_size(c.oid) AS bytes
	FROM pg_catalog.unnest(ARRAY['mirusync.feed', 'mirusync.record',
		'mirusync.change_log', 'mirusync.conflict', 'mirusync.verdict',
		'mirusync.device', 'mirusync.refusal',
		'mirusync.document']::pg_catalog.regclass[]) AS ours
	JOIN pg_catalog.pg_class c ON c.oid = ours
	UNION ALL
	SELECT 'conflict', c.rule || ' ' || c.outcome, pg_catalog.count(*), NULL
	FROM mirusync.conflict c GROUP BY 2
	UNION ALL
	SELECT 'rejected', r.sqlstate, pg_catalog.count(*), NULL
	FROM mirusync.refusal r GROUP BY 2;
COMMENT ON VIEW mirusync.stats IS 'how much there is: sizes of tables, conflicts by rule and outcome, rejected changes by reason';
COMMENT ON COLUMN mirusync.stats.what IS 'table, conflict or rejected';
COMMENT ON COLUMN mirusync.stats.name IS 'name of the table; rule and outcome; SQLSTATE';
COMMENT ON COLUMN mirusync.stats.count IS 'how many; rows of a table as ANALYZE estimated, -1 if it did not yet';
COMMENT ON COLUMN mirusync.stats.bytes IS 'size of the table with its indexes';

REVOKE ALL ON TABLE mirusync.devices FROM PUBLIC;
REVOKE ALL ON TABLE mirusync.feeds FROM PUBLIC;
REVOKE ALL ON TABLE mirusync.stats FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 77_retention.sql
-- -------------------------------------------------------------------------

-- Written by set_retention().
CREATE TABLE mirusync.retention (
	collection		text COLLATE "C" NOT NULL,
	history_age		interval,
	history_count	bigint,
	tombstone_age	interval,
	tombstone_count	bigint,
	CONSTRAINT retention_pkey PRIMARY KEY (collection)
);
COMMENT ON TABLE mirusync.retention IS 'how long history and tombstones of collections are kept; those without a row keep all';
COMMENT ON COLUMN mirusync.retention.collection IS 'the collection';
COMMENT ON COLUMN mirusync.retention.history_age IS 'changes older than this may go';
COMMENT ON COLUMN mirusync.retention.history_count IS 'of each feed, all but the latest so many changes may go';
COMMENT ON COLUMN mirusync.retention.tombstone_age IS 'tombstones older than this may go';
COMMENT ON COLUMN mirusync.retention.tombstone_count IS 'of each feed, all but the latest so many tombstones may go';
SELECT pg_catalog.pg_extension_config_dump('mirusync.retention', '');

CREATE FUNCTION mirusync.set_retention(collection text,
	history_age interval DEFAULT NULL, history_count bigint DEFAULT NULL,
	tombstone_age interval DEFAULT NULL, tombstone_count bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF collection IS NULL THEN
		RAISE EXCEPTION 'collection must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF least(history_age, tombstone_age) < interval '0'
		OR least(history_count, tombstone_count) < 0
	THEN
		RAISE EXCEPTION 'ages and counts must not be negative'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF NOT EXISTS (SELECT FROM mirusync.collection c
		WHERE c.name = set_retention.collection)
	THEN
		RAISE EXCEPTION 'collection % does not exist', to_json(collection)
			USING ERRCODE = 'MS002';
	END IF;
	-- An age that cannot be subtracted would end every trim.
	PERFORM now() - history_age, now() - tombstone_age;
	DELETE FROM mirusync.retention r
		WHERE r.collection = set_retention.collection;
	INSERT INTO mirusync.retention SELECT collection, history_age,
		history_count, tombstone_age, tombstone_count
		WHERE coalesce(history_age, tombstone_age) IS NOT NULL
			OR coalesce(history_count, tombstone_count) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION mirusync.set_retention(text, interval, bigint, interval, bigint) IS
'set how long history and tombstones of a collection are kept; all null: for ever';

-- Never above what a device has said that it has seen, if it was active of
-- late: its next change may name that base, and history is what it is merged by.
-- Tombstones go up to one that is there: the floor is not raised for nothing.
-- Planning and compiling the query take longer than running it does: it is
-- planned once in a session, and not compiled.
CREATE FUNCTION mirusync.trim_bounds(feed text, active interval)
RETURNS TABLE (collection text, history_upto bigint, tombstones_upto bigint)
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
	RETURN QUERY SELECT r.collection,
		CASE WHEN b.seq > 0 THEN least(b.seq, seen.cursor) END,
		(SELECT max(d.seq) FROM mirusync.record d
			WHERE d.feed = trim_bounds.feed
				AND d.collection = r.collection AND d.deleted
				AND t.seq > 0 AND d.seq <= least(t.seq, seen.cursor))
	FROM mirusync.retention r
		CROSS JOIN (SELECT min(d.cursor) AS cursor FROM mirusync.device d
			WHERE d.user_id = trim_bounds.feed
				AND d.seen_at >= now() - active) seen
		CROSS JOIN LATERAL (SELECT greatest(
			(SELECT mirusync.seq_at(trim_bounds.feed,
					now() - r.history_age)
				WHERE r.history_age IS NOT NULL),
			(SELECT l.seq FROM mirusync.change_log l
				WHERE l.feed = trim_bounds.feed
					AND l.collection = r.collection
					AND r.history_count IS NOT NULL
				ORDER BY l.seq DESC OFFSET r.history_count LIMIT 1)) AS seq) b
		CROSS JOIN LATERAL (SELECT greatest(
			(SELECT max(d.seq) FROM mirusync.record d
				WHERE d.feed = trim_bounds.feed
					AND d.collection = r.collection AND d.deleted
					AND d.changed_at < now() - r.tombstone_age),
			(SELECT d.seq FROM mirusync.record d
				WHERE d.feed = trim_bounds.feed
					AND d.collection = r.collection AND d.deleted
					AND r.tombstone_count IS NOT NULL
				ORDER BY d.seq DESC OFFSET r.tombstone_count LIMIT 1)) AS seq) t;
END
$$;
COMMENT ON FUNCTION mirusync.trim_bounds(text, interval) IS
'numbers up to which trim() would trim a feed''s history and tombstones now';

-- Commits between its batches, as forget() does, and like it works as the
-- owner of the extension: whoever may execute it may trim.
CREATE PROCEDURE mirusync.trim(feed text DEFAULT NULL, batch_rows int DEFAULT 1000, active interval DEFAULT '30 days')
LANGUAGE C AS 'MODULE_PATHNAME', 'mirusync_trim_0_2';
COMMENT ON PROCEDURE mirusync.trim(text, int, interval) IS
'delete history and tombstones that are older than retention says, of one feed or of all';

REVOKE ALL ON FUNCTION mirusync.set_retention(text, interval, bigint, interval, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.trim_bounds(text, interval) FROM PUBLIC;
REVOKE ALL ON PROCEDURE mirusync.trim(text, int, interval) FROM PUBLIC;
REVOKE ALL ON TABLE mirusync.retention FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 78_chain.sql
-- -------------------------------------------------------------------------

-- Written by chain.c.  A chain that began with its feed and was never trimmed
-- has no row.
CREATE TABLE mirusync.chain (
	feed		text COLLATE "C" NOT NULL,
	since		bigint NOT NULL,
	seq			bigint NOT NULL,
	hash		bytea NOT NULL,
	CONSTRAINT chain_pkey PRIMARY KEY (feed)
);
COMMENT ON TABLE mirusync.chain IS 'where chains begin: the hash that the first change still there goes back to';
COMMENT ON COLUMN mirusync.chain.feed IS 'feed';
COMMENT ON COLUMN mirusync.chain.since IS 'head of the feed when its chain was switched on, or off; changes up to it are not checked';
COMMENT ON COLUMN mirusync.chain.seq IS 'number of the latest change that was trimmed, all before it being trimmed too; or since';
COMMENT ON COLUMN mirusync.chain.hash IS 'hash of that change; zeros where there is none';

-- Written by chain.c.
CREATE TABLE mirusync.chain_trimmed (
	feed		text COLLATE "C" NOT NULL,
	seq			bigint NOT NULL,
	digest		bytea NOT NULL,
	CONSTRAINT chain_trimmed_pkey PRIMARY KEY (feed, seq)
);
COMMENT ON TABLE mirusync.chain_trimmed IS 'what is left of a change that was trimmed while one before it is kept';
COMMENT ON COLUMN mirusync.chain_trimmed.feed IS 'feed';
COMMENT ON COLUMN mirusync.chain_trimmed.seq IS 'number of the change';
COMMENT ON COLUMN mirusync.chain_trimmed.digest IS 'its digest, from which the next hash is made';

-- Written by chain.c.
CREATE TABLE mirusync.chain_new (
	singleton	boolean NOT NULL DEFAULT true CHECK (singleton),
	CONSTRAINT chain_new_pkey PRIMARY KEY (singleton)
);
COMMENT ON TABLE mirusync.chain_new IS 'has a row if feeds that come into being have a chain';
COMMENT ON COLUMN mirusync.chain_new.singleton IS 'there is one row, or none';
SELECT pg_catalog.pg_extension_config_dump('mirusync.chain', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.chain_trimmed', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.chain_new', '');

CREATE FUNCTION mirusync.set_chain("on" boolean, feed text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_set_chain_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.set_chain(boolean, text) IS
'begin a chain of hashes at the head of a feed, or end it; without a feed of all there are and will be';

CREATE FUNCTION mirusync.chain_head(feed text, OUT seq bigint, OUT hash text)
RETURNS record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF feed IS NULL THEN
		RAISE EXCEPTION 'feed must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT f.head, encode(f.hash, 'hex') INTO seq, hash
		FROM mirusync.feed f WHERE f.feed = chain_head.feed;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'feed % does not exist', to_json(chain_head.feed)
			USING ERRCODE = 'undefined_object';
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.chain_head(text) IS
'number and hash of the latest change of a feed, to be noted elsewhere; no hash: it has no chain';

CREATE FUNCTION mirusync.chain_faults(feed text, head_seq bigint,
	head_hash text, OUT problem text, OUT seq bigint, OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_chain_faults_0_2'
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.chain_faults(text, bigint, text) IS
'where the history of a feed does not fit its chain; for verify()';

-- Retention of a collection trims its oldest changes.  So one that is missing
-- above others of its collection was not trimmed.  Where there is a chain,
-- chain_faults() knows what is missing.
CREATE FUNCTION mirusync.history_faults(feed text)
RETURNS TABLE (problem text, seq bigint, detail text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH f AS (
		SELECT f.head, f.hash, coalesce(c.since, 0) AS since,
			CASE WHEN f.hash IS NULL THEN f.head
				ELSE coalesce(c.since, 0) END AS free	-- of the chain, up to here
		FROM mirusync.feed f LEFT JOIN mirusync.chain c ON c.feed = f.feed
		WHERE f.feed = history_faults.feed
	), oldest AS (
		SELECT l.collection, min(l.seq) AS seq FROM mirusync.change_log l
		WHERE l.feed = history_faults.feed GROUP BY l.collection
	)
	SELECT 'head', f.head, 'the feed has no hash of it'
	FROM f
	WHERE octet_length(f.hash) IS DISTINCT FROM 32
		AND (f.hash IS NOT NULL OR EXISTS (SELECT FROM mirusync.change_log l
			WHERE l.feed = history_faults.feed AND l.seq > f.since
				AND l.hash IS NOT NULL))
	UNION ALL
	SELECT 'change', l.seq, format('its number is not between 1 and the head, %s', f.head)
	FROM f, mirusync.change_log l
	WHERE l.feed = history_faults.feed AND (l.seq > f.head OR l.seq < 1)
	UNION ALL
	SELECT 'missing', l.previous, format('number %s names it as the change before of its record', l.seq)
	FROM f, mirusync.change_log l JOIN oldest o USING (collection)
	WHERE l.feed = history_faults.feed AND l.previous > o.seq
		AND l.previous <= f.free
		AND NOT EXISTS (SELECT FROM mirusync.change_log p
			WHERE p.feed = l.feed AND p.seq = l.previous)
	UNION ALL
	SELECT 'change', l.seq, format('number %s, which it names as the change before, is of another record', l.previous)
	FROM mirusync.change_log l JOIN mirusync.change_log p
		ON p.feed = l.feed AND p.seq = l.previous
	WHERE l.feed = history_faults.feed
		AND (p.collection, p.id) IS DISTINCT FROM (l.collection, l.id)
	UNION ALL
	SELECT 'missing', r.seq, format('it is the latest change of record %s of collection %s',
		to_json(r.id), to_json(r.collection))
	FROM f, mirusync.record r JOIN oldest o USING (collection)
	WHERE r.feed = history_faults.feed AND r.seq > o.seq AND r.seq <= f.free
		AND NOT EXISTS (SELECT FROM mirusync.change_log l
			WHERE l.feed = r.feed AND l.seq = r.seq)
	UNION ALL
	SELECT 'erased', l.seq, 'no erasure of it is noted'
	FROM mirusync.change_log l
	WHERE l.feed = history_faults.feed AND l.erasure IS NOT NULL
		AND NOT EXISTS (SELECT FROM mirusync.erasure e
			WHERE e.feed = l.feed AND e.number = l.erasure AND e.upto >= l.seq
				AND (e.collection IS NULL
					OR e.collection = l.collection AND e.id = l.id))
$$;
COMMENT ON FUNCTION mirusync.history_faults(text) IS
'where the history of a feed contradicts itself; for verify()';

CREATE FUNCTION mirusync.state_faults(feed text)
RETURNS TABLE (problem text, seq bigint, detail text)
LANGUAGE sql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'record', r.seq, format('state of record %s of collection %s is not that of this change',
		to_json(r.id), to_json(r.collection))
	FROM mirusync.feed f, mirusync.record r LEFT JOIN mirusync.change_log l
		ON l.feed = r.feed AND l.seq = r.seq
	WHERE f.feed = state_faults.feed AND r.feed = f.feed
		AND (r.seq > f.head OR l.seq IS NOT NULL
			AND ((l.collection, l.id, l.kind = 'delete', l.at, l.part_of)
				<> (r.collection, r.id, r.deleted, r.changed_at, r.part_of)
				OR l.clock OPERATOR(mirusync.<>) r.clock))
	UNION ALL
	SELECT 'record', l.seq, format('record %s of collection %s has no such state, or an older one',
		to_json(l.id), to_json(l.collection))
	FROM mirusync.feed f, mirusync.change_log l
		JOIN mirusync.collection c ON c.name = l.collection
	WHERE f.feed = state_faults.feed AND l.feed = f.feed AND l.at > c.since
		AND EXISTS (SELECT FROM pg_class t WHERE t.oid = c.relation)
		-- Its tombstone was trimmed.
		AND NOT (l.kind = 'delete' AND l.seq <= f.floor)
		AND NOT EXISTS (SELECT FROM mirusync.record r
			WHERE r.feed = l.feed AND r.collection = l.collection
				AND r.id = l.id AND r.seq >= l.seq)
		AND NOT EXISTS (SELECT FROM mirusync.change_log n
			WHERE n.feed = l.feed AND n.collection = l.collection
				AND n.id = l.id AND n.seq > l.seq)
	UNION ALL
	SELECT CASE WHEN s.field IS NULL OR w.fits THEN 'row' ELSE 'writer' END,
		CASE WHEN s.field IS NULL THEN r.seq ELSE s.seq END,
		CASE WHEN s.field IS NULL THEN format('record %s of collection %s is not in its table',
				to_json(r.id), to_json(r.collection))
			ELSE format('field %s of record %s of collection %s %s',
				to_json(s.field), to_json(r.id), to_json(r.collection),
				CASE WHEN w.fits THEN 'has another value in its table'
					ELSE 'does not have this writer' END) END
	FROM mirusync.record r
		JOIN mirusync.collection c ON c.name = r.collection
		JOIN pg_class t ON t.oid = c.relation
		LEFT JOIN LATERAL mirusync.field_stamps(r.feed, r.collection, r.id) s
			ON true
		LEFT JOIN mirusync.change_log l ON l.feed = r.feed AND l.seq = s.seq
		CROSS JOIN LATERAL (SELECT s.seq <= r.seq
			AND s.clock OPERATOR(mirusync.<=) r.clock
			AND (l.seq IS NULL OR l.collection = r.collection AND l.id = r.id
				AND (s.device IS NULL OR s.device = l.device
					-- Two devices at once make one change, without a session.
					OR l.device IS NOT NULL AND l.session IS NULL)) AS fits) w
	WHERE r.feed = state_faults.feed AND NOT r.deleted
		AND CASE WHEN s.field IS NULL
				THEN mirusync.stored(r.feed, r.collection, r.id) IS NULL
			WHEN NOT w.fits THEN true
			-- Elements of a set have writers of their own, and a field may be
			-- written with the value that it has: the latest change that has
			-- the field tells what it is.
			WHEN l.new -> s.field <> s.value THEN EXISTS (
				SELECT FROM (
					SELECT n.new -> s.field AS value, n.erasure
					FROM mirusync.change_log n
					WHERE n.feed = r.feed AND n.collection = r.collection
						AND n.id = r.id AND n.seq >= s.seq
						AND (n.new ? s.field OR n.old ? s.field
							OR n.erasure IS NOT NULL)
					ORDER BY n.seq DESC LIMIT 1) n
				WHERE n.erasure IS NULL AND n.value IS DISTINCT FROM s.value)
			ELSE false END
$$;
COMMENT ON FUNCTION mirusync.state_faults(text) IS
'where the state of a feed''s records does not follow from the history; for verify()';

CREATE FUNCTION mirusync.verify(feed text, head_seq bigint DEFAULT NULL,
	head_hash text DEFAULT NULL)
RETURNS TABLE (problem text, seq bigint, detail text)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
	RETURN QUERY
		SELECT v.problem, v.seq, v.detail FROM (
			SELECT c.*, 1 AS part FROM mirusync.chain_faults(verify.feed,
				verify.head_seq, verify.head_hash) c
			UNION ALL
			SELECT h.*, 2 FROM mirusync.history_faults(verify.feed) h
			UNION ALL
			SELECT s.*, 3 FROM mirusync.state_faults(verify.feed) s) v
		ORDER BY v.seq, v.part, v.problem, v.detail COLLATE "C";
END
$$;
COMMENT ON FUNCTION mirusync.verify(text, bigint, text) IS
'what in a feed was changed behind its history: changes, holes, state; no row: nothing that can be found';

-- One JSON text a line: where the chain begins and ends, then each change, and
-- what trimming left.  Columns are as they are stored, whatever is set.
CREATE FUNCTION mirusync.export_chain(feed text)
RETURNS SETOF text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT json_build_object('anchor', json_build_object(
			'seq', coalesce(c.seq, 0),
			'hash', coalesce(encode(c.hash, 'hex'), repeat('0', 64))),
		'head', json_build_object('seq', f.head,
			'hash', encode(f.hash, 'hex')))::text
	FROM mirusync.feed f LEFT JOIN mirusync.chain c ON c.feed = f.feed
	WHERE f.feed = export_chain.feed AND f.hash IS NOT NULL
	UNION ALL
	(SELECT x.line FROM (
		SELECT l.seq, json_build_object('change', json_build_object(
				'application', l.application,
				'at', (extract(epoch FROM l.at) * 1000000)::bigint,
				'base', l.base, 'clock', l.clock::text,
				'collection', l.collection, 'device', l.device,
				'feed', l.feed, 'field_rules', l.field_rules, 'id', l.id,
				'kind', l.kind, 'number', l.number, 'part_of', l.part_of,
				'previous', l.previous, 'role', l.role::bigint,
				'rule', l.rule, 'seq', l.seq, 'session', l.session,
				'skew_ms', l.skew_ms, 'type', l.type, 'user_id', l.user_id,
				'verdict', l.verdict, 'xid', l.xid::text::numeric),
			'payload', json_build_object('new', l.new, 'old', l.old),
			'salt', encode(l.salt, 'hex'), 'digest', encode(l.digest, 'hex'),
			'hash', encode(l.hash, 'hex'))::text AS line
		FROM mirusync.change_log l
		WHERE l.feed = export_chain.feed
			AND l.seq > coalesce((SELECT c.since FROM mirusync.chain c
				WHERE c.feed = export_chain.feed), 0)
		UNION ALL
		SELECT t.seq, json_build_object('trimmed', json_build_object(
			'seq', t.seq, 'digest', encode(t.digest, 'hex')))::text
		FROM mirusync.chain_trimmed t
		WHERE t.feed = export_chain.feed) x
	WHERE EXISTS (SELECT FROM mirusync.feed f
		WHERE f.feed = export_chain.feed AND f.hash IS NOT NULL)
	ORDER BY x.seq)
$$;
COMMENT ON FUNCTION mirusync.export_chain(text) IS
'history of a feed with its chain, a JSON text a line, for others to check; nothing where there is no chain';

REVOKE ALL ON TABLE mirusync.chain, mirusync.chain_trimmed, mirusync.chain_new FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.set_chain(boolean, text), mirusync.chain_head(text),
	mirusync.chain_faults(text, bigint, text), mirusync.history_faults(text), mirusync.state_faults(text),
	mirusync.verify(text, bigint, text), mirusync.export_chain(text) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 78_mending.sql
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.restore(feed text, collection text, id text,
	seq bigint DEFAULT NULL, fields text[] DEFAULT NULL,
	at timestamptz DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_restore_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.restore(text, text, text, bigint, text[], timestamptz) IS
'bring back a deleted record, or a record or fields of it as they were; returns the number of the change';
REVOKE ALL ON FUNCTION mirusync.restore(text, text, text, bigint, text[], timestamptz) FROM PUBLIC;

CREATE FUNCTION mirusync.restore(feed text, conflict bigint,
	side text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_restore_side_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.restore(text, bigint, text) IS
'bring back the side of a conflict that lost, or the one given, also if it is resolved';
REVOKE ALL ON FUNCTION mirusync.restore(text, bigint, text) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- What is to be undone
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.undo_matches(change mirusync.change_log, which jsonb)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN change.seq BETWEEN (which ->> 'from_seq')::bigint
			AND (which ->> 'to_seq')::bigint
		AND coalesce(change.device = which ->> 'device', NOT which ? 'device')
		AND coalesce(change.session = which ->> 'session',
			NOT which ? 'session')
		AND coalesce(change.user_id = which ->> 'user_id',
			NOT which ? 'user_id')
		AND coalesce(change.collection = which ->> 'collection',
			NOT which ? 'collection')
		AND coalesce(change.xid::text = which ->> 'xid', NOT which ? 'xid');
END
$$;
COMMENT ON FUNCTION mirusync.undo_matches(mirusync.change_log, jsonb) IS
'whether a change is one to be undone; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_matches(mirusync.change_log, jsonb) FROM PUBLIC;

-- Each change names the former one of its record, and state the latest: so a
-- change that was trimmed shows.
CREATE FUNCTION mirusync.undo_check(feed text, which jsonb)
RETURNS void
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first bigint := which ->> 'from_seq';
	trimmed bigint;
BEGIN
	SELECT max(m.seq) INTO trimmed FROM (
		SELECT l.previous AS seq FROM mirusync.change_log l
		WHERE l.feed = undo_check.feed AND l.seq >= first
			AND l.previous >= first
			AND l.collection = coalesce(which ->> 'collection', l.collection)
		UNION ALL
		SELECT r.seq FROM mirusync.record r
		WHERE r.feed = undo_check.feed AND r.seq >= first
			AND r.collection = coalesce(which ->> 'collection', r.collection)
		) m
		WHERE NOT EXISTS (SELECT FROM mirusync.change_log l
			WHERE l.feed = undo_check.feed AND l.seq = m.seq);
	IF trimmed IS NOT NULL THEN
		RAISE EXCEPTION 'history of feed % does not reach back to number %',
			to_json(feed), first
			USING ERRCODE = 'MS008', HINT = format(
				'It was trimmed; from number %s on nothing is missing.',
				trimmed + 1);
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_check(text, jsonb) IS
'throws if history lacks what undoing has to know; for undo()';
REVOKE ALL ON FUNCTION mirusync.undo_check(text, jsonb) FROM PUBLIC;

CREATE FUNCTION mirusync.undo_scope(feed text, device text, from_seq bigint,
	to_seq bigint, since timestamptz, until timestamptz, session text,
	user_id text, xid xid8, collection text)
RETURNS jsonb
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	which jsonb := jsonb_strip_nulls(jsonb_build_object('device', device,
		'session', session, 'user_id', user_id, 'xid', xid::text));
	head bigint;
BEGIN
	IF feed IS NULL THEN
		RAISE EXCEPTION 'feed must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT f.head INTO head FROM mirusync.feed f
		WHERE f.feed = undo_scope.feed;
	IF head IS NULL THEN
		RAISE EXCEPTION 'feed % does not exist', to_json(feed)
			USING ERRCODE = 'undefined_object';
	END IF;
	IF which = '{}' THEN
		RAISE EXCEPTION 'one of device, session, user_id and xid must be given'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF from_seq > to_seq OR since > until THEN
		RAISE EXCEPTION 'the range ends before it begins'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF collection IS NOT NULL AND NOT EXISTS (SELECT FROM mirusync.collection c
		WHERE c.name = undo_scope.collection)
	THEN
		RAISE EXCEPTION 'collection % does not exist', to_json(collection)
			USING ERRCODE = 'MS002';
	END IF;
	-- Times are those of numbers, and never go back.
	which := which || jsonb_strip_nulls(jsonb_build_object(
		'collection', collection,
		'from_seq', greatest(from_seq, 1,
			mirusync.seq_at(feed, since - interval '1 microsecond') + 1),
		'to_seq', least(to_seq, head, mirusync.seq_at(feed, until))));
	PERFORM mirusync.undo_check(feed, which);
	RETURN which;
END
$$;
COMMENT ON FUNCTION mirusync.undo_scope(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) IS
'what undo() is asked to undo, checked';
REVOKE ALL ON FUNCTION mirusync.undo_scope(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) FROM PUBLIC;

-- The latest come first: what builds on other records goes before those.
CREATE FUNCTION mirusync.undo_records(feed text, which jsonb)
RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.collection, l.id
	FROM mirusync.change_log l
	WHERE l.feed = undo_records.feed
		AND l.seq BETWEEN (which ->> 'from_seq')::bigint
			AND (which ->> 'to_seq')::bigint
		AND mirusync.undo_matches(l, which)
	GROUP BY l.collection, l.id
	ORDER BY max(l.seq) DESC
$$;
COMMENT ON FUNCTION mirusync.undo_records(text, jsonb) IS
'records with changes to be undone; for undo()';
REVOKE ALL ON FUNCTION mirusync.undo_records(text, jsonb) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- What a field would get
-- -------------------------------------------------------------------------

-- The patches of a record between two numbers that touched a field.
CREATE FUNCTION mirusync.undo_touches(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint)
RETURNS TABLE (seq bigint, mine boolean, before jsonb, after jsonb,
	who text, undone jsonb)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT l.seq, mirusync.undo_matches(l, undo_touches.which),
		l.old -> undo_touches.field, l.new -> undo_touches.field,
		 mirusync.writer(l.device, l.user_id, l.role,
				l.application),
		CASE WHEN l.device IS NULL THEN mirusync.undo_mark(l.application) END
	FROM mirusync.change_log l
	WHERE l.feed = undo_touches.feed AND l.collection = undo_touches.collection
		AND l.id = undo_touches.id AND l.kind = 'patch'
		AND l.seq + 0 > above AND l.seq + 0 < below
		AND (l.old ? undo_touches.field OR l.new ? undo_touches.field);
END
$$;
COMMENT ON FUNCTION mirusync.undo_touches(text, text, text, jsonb, text, bigint, bigint) IS
'changes of a field; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_touches(text, text, text, jsonb, text, bigint, bigint) FROM PUBLIC;

-- undo() leaves in history what it has undone.  Anybody may name his
-- application so that it looks alike.
CREATE FUNCTION mirusync.undo_mark(application text)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE WHEN application LIKE 'mirusync.undo {%'
		THEN substr(application, length('mirusync.undo ') + 1)::jsonb END;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mirusync.undo_mark(text) IS
'what a change has undone, as history says; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_mark(text) FROM PUBLIC;

-- What was undone before is not subtracted twice.
CREATE FUNCTION mirusync.undo_counter(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint)
RETURNS numeric
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l record;
	marks jsonb[] := '{}';
	added numeric := 0;
BEGIN
	FOR l IN SELECT t.mine, t.before, t.after, t.undone, c.change
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
				below) t
			CROSS JOIN LATERAL (SELECT x AS change FROM mirusync.change_log x
				WHERE x.feed = undo_counter.feed AND x.seq = t.seq) c
		ORDER BY t.seq DESC
	LOOP
		IF l.mine AND NOT EXISTS (SELECT FROM unnest(marks) m(mark)
			WHERE mirusync.undo_matches(l.change, m.mark))
		THEN
			added := added
				+ CASE jsonb_typeof(l.after) WHEN 'number'
					THEN l.after::numeric ELSE 0 END
				- CASE jsonb_typeof(l.before) WHEN 'number'
					THEN l.before::numeric ELSE 0 END;
		ELSIF l.undone IS NOT NULL AND NOT l.mine THEN
			marks := marks || l.undone;
		END IF;
	END LOOP;
	RETURN added;
END
$$;
COMMENT ON FUNCTION mirusync.undo_counter(text, text, text, jsonb, text, bigint, bigint) IS
'how much was added to a counter; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_counter(text, text, text, jsonb, text, bigint, bigint) FROM PUBLIC;

-- Each element is a field of its own, which is there or not.
CREATE FUNCTION mirusync.undo_set(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint, present jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
	WITH list AS (
		SELECT t.seq, t.mine,
			CASE jsonb_typeof(t.before) WHEN 'array' THEN t.before ELSE '[]' END AS before,
			CASE jsonb_typeof(t.after) WHEN 'array' THEN t.after ELSE '[]' END AS after
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
			below) t
	), touch AS (
		SELECT l.seq, l.mine, e.element, true AS was FROM list l, jsonb_array_elements(l.before) e(element)
			WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(l.after) a(element)
				WHERE a.element = e.element)
		UNION ALL
		SELECT l.seq, l.mine, e.element, false FROM list l, jsonb_array_elements(l.after) e(element)
			WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(l.before) b(element)
				WHERE b.element = e.element)
	), undone AS (
		SELECT t.element, (array_agg(t.was ORDER BY t.seq))[1] AS was,
			min(t.seq) AS seq
		FROM touch t
		WHERE t.mine AND t.seq > coalesce((SELECT max(o.seq) FROM touch o
			WHERE o.element = t.element AND NOT o.mine), 0)
		GROUP BY t.element
	), now AS (
		SELECT n.element, n.place FROM jsonb_array_elements(
			CASE jsonb_typeof(present) WHEN 'array' THEN present ELSE '[]' END)
			WITH ORDINALITY n(element, place)
	)
	SELECT coalesce(jsonb_agg(r.element ORDER BY r.part, r.place), '[]') FROM (
		SELECT n.element, 1 AS part, n.place FROM now n
			WHERE NOT EXISTS (SELECT FROM undone u
				WHERE u.element = n.element AND NOT u.was)
		UNION ALL
		SELECT u.element, 2, u.seq FROM undone u
			WHERE u.was AND NOT EXISTS (SELECT FROM now n
				WHERE n.element = u.element)) r);
END
$$;
COMMENT ON FUNCTION mirusync.undo_set(text, text, text, jsonb, text, bigint, bigint, jsonb) IS
'a set without what was added and with what was removed; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_set(text, text, text, jsonb, text, bigint, bigint, jsonb) FROM PUBLIC;

-- A field of any other rule goes back to what it had before the first of the
-- changes that nobody else's has followed, or to what lost against them.
-- "value" null: it was not there.
CREATE FUNCTION mirusync.undo_value(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint, present jsonb,
	OUT value jsonb, OUT reason text, OUT words text)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other record;
	own record;
	lost record;
BEGIN
	SELECT t.seq, t.who INTO other
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
			below) t
		WHERE NOT t.mine ORDER BY t.seq DESC LIMIT 1;
	SELECT min(t.seq) AS first, max(t.seq) AS last, min(t.who) AS who,
			(array_agg(t.before ORDER BY t.seq))[1] AS before,
			(array_agg(t.after ORDER BY t.seq DESC))[1] AS after INTO own
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
			below) t
		WHERE t.mine AND t.seq > coalesce(other.seq, 0);
	-- Who has written the same value again has the stamp.
	IF below = 9223372036854775807 THEN
		SELECT w.seq, w.who INTO other
			FROM mirusync.field_stamps(feed, collection, id) s
				-- At most one, whatever the planner thinks of their number.
				CROSS JOIN LATERAL (SELECT l.seq,
						mirusync.writer(l.device, l.user_id, l.role,
				l.application) AS who
					FROM mirusync.change_log l
					WHERE l.feed = undo_value.feed AND l.seq = s.seq
						AND NOT mirusync.undo_matches(l, which) LIMIT 1) w
			WHERE s.field = undo_value.field AND s.seq > own.last
			UNION ALL SELECT other.seq, other.who
			ORDER BY 1 DESC NULLS LAST LIMIT 1;
	END IF;
	SELECT c.id, c.incoming -> undo_value.field AS incoming,
			c.incoming AS whole, c.field INTO lost
		FROM mirusync.conflicts c
		WHERE c.feed = undo_value.feed
			AND c.collection = undo_value.collection
			AND c.record = undo_value.id AND c.resolved_at IS NULL
			AND c.outcome <> 'incoming'
			AND (c.field = undo_value.field
				OR c.field IS NULL AND c.incoming ? undo_value.field)
			AND c.stored_seq >= coalesce(other.seq, above)
			AND c.stored_seq < below
			AND c.incoming_device IS DISTINCT FROM which ->> 'device'
			AND EXISTS (SELECT FROM mirusync.change_log l
				WHERE l.feed = c.feed AND l.seq = c.stored_seq
					AND mirusync.undo_matches(l, which) LIMIT 1)
		ORDER BY c.id DESC LIMIT 1;
	IF lost.id IS NOT NULL THEN
		value := CASE WHEN lost.field IS NULL THEN lost.incoming
			ELSE lost.whole END;
		reason := 'lost';
		words := format('it lost against it in conflict %s', lost.id);
	ELSIF other.seq > own.last OR own.first IS NULL AND other.seq IS NOT NULL THEN
		reason := 'changed';
		words := format('number %s of %s came after it', other.seq, other.who);
	ELSIF own.first IS NULL THEN
		RETURN;
	ELSIF own.after IS DISTINCT FROM present THEN
		reason := 'changed';
		words := 'history does not know the value that is there';
	ELSE
		value := own.before;
		reason := 'before';
		words := format('it was so before number %s of %s', own.first, own.who);
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_value(text, text, text, jsonb, text, bigint, bigint, jsonb) IS
'what a field would have without what is to be undone; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_value(text, text, text, jsonb, text, bigint, bigint, jsonb) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- What a record would become
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.undo_follows(collection text, field text)
RETURNS boolean
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN field IS NULL OR EXISTS (
		SELECT FROM mirusync.collection c
			JOIN mirusync.attached t ON t.relation = c.relation
			JOIN pg_attribute a ON a.attrelid = c.relation
		WHERE c.name = undo_follows.collection AND t.data_column IS NULL
			AND a.attname = field
			AND (a.attgenerated <> '' OR a.attidentity = 'a'));
END
$$;
COMMENT ON FUNCTION mirusync.undo_follows(text, text) IS
'whether a field is generated, and so follows by itself; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_follows(text, text) FROM PUBLIC;

-- Fields of a record as it would be, and why; those that would stay as well,
-- with the reason, and without a value.
CREATE FUNCTION mirusync.undo_fields(feed text, collection text, id text,
	which jsonb, fields jsonb, above bigint, below bigint)
RETURNS TABLE (field text, value jsonb, kept boolean, reason text, words text)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	rule text;
	sum numeric;
	documents boolean;
BEGIN
	SELECT c.columns IS NULL INTO documents
		FROM mirusync.collections c WHERE c.name = collection;
	FOR field IN
		SELECT k.name FROM (
			SELECT jsonb_object_keys(coalesce(l.old, '{}') || coalesce(l.new, '{}')) AS name
			FROM mirusync.change_log l
			WHERE l.feed = undo_fields.feed
				AND l.collection = undo_fields.collection
				AND l.id = undo_fields.id AND l.kind = 'patch'
				AND l.seq + 0 > above AND l.seq + 0 < below
				AND mirusync.undo_matches(l, which)
			UNION
			SELECT coalesce(c.field, w.name)
			FROM mirusync.conflicts c
				LEFT JOIN LATERAL jsonb_object_keys(CASE WHEN c.field IS NULL
					THEN c.incoming ELSE '{}' END) w(name) ON true
			WHERE c.feed = undo_fields.feed
				AND c.collection = undo_fields.collection
				AND c.record = undo_fields.id AND c.resolved_at IS NULL
				AND c.stored_seq >= above AND c.stored_seq < below) k
		WHERE NOT mirusync.undo_follows(collection, k.name)
		ORDER BY k.name COLLATE "C"
	LOOP
		rule := coalesce((SELECT r.rule FROM mirusync.rules r
			WHERE r.collection = undo_fields.collection AND r.field = undo_fields.field),
			'');
		value := fields -> field;
		kept := false;
		IF NOT documents AND NOT fields ? field THEN
			kept := true;
			reason := 'gone';
			words := 'there is no such field any more';
		ELSIF rule = 'counter' THEN
			sum := mirusync.undo_counter(feed, collection, id, which, field,
				above, below);
			CONTINUE WHEN sum = 0;
			value := to_jsonb(CASE jsonb_typeof(value) WHEN 'number'
				THEN value::numeric ELSE 0 END - sum);
			reason := 'counter';
			words := format('it counts without the %s that were added', sum);
		ELSIF rule = 'set' THEN
			value := mirusync.undo_set(feed, collection, id, which, field,
				above, below, value);
			CONTINUE WHEN value = coalesce(fields -> field, '[]');
			reason := 'set';
			words := 'without what was added, and with what was removed';
		ELSE
			SELECT v.value, v.reason, v.words INTO value, reason, words
				FROM mirusync.undo_value(feed, collection, id, which, field,
					above, below, value) v;
			CONTINUE WHEN reason IS NULL;
			kept := reason = 'changed';
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION mirusync.undo_fields(text, text, text, jsonb, jsonb, bigint, bigint) IS
'fields of a record without what is to be undone; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_fields(text, text, text, jsonb, jsonb, bigint, bigint) FROM PUBLIC;

-- The way goes down from the latest change.  A life of the record that nobody
-- else had a hand in goes as a whole, and so does a delete; then what was
-- before it goes on to be looked at.
CREATE FUNCTION mirusync.undo_record(feed text, collection text, id text,
	which jsonb, present jsonb, OUT fields jsonb, OUT above bigint,
	OUT below bigint, OUT reason text, OUT words text, OUT kept text,
	OUT lost jsonb)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l record;
	others text;
BEGIN
	fields := present;
	above := (which ->> 'from_seq')::bigint - 1;
	below := 9223372036854775807;
	FOR l IN SELECT c.seq, c.kind, c.old, c.new, c.previous,
			mirusync.undo_matches(c, which) AS mine, format('number %s of %s',
				c.seq, mirusync.writer(c.device, c.user_id, c.role,
					c.application)) AS who
		FROM mirusync.change_log c
		WHERE c.feed = undo_record.feed
			AND c.collection = undo_record.collection
			AND c.id = undo_record.id AND c.seq + 0 > above
		-- By the record's index, not by the feed's: hence + 0.
		ORDER BY c.seq + 0 DESC
	LOOP
		IF coalesce(l.old, l.new) IS NULL
			AND NOT (l.kind = 'delete' AND l.previous IS NULL)
		THEN
			kept := 'history does not have the values of ' || l.who;
			above := l.seq;
			EXIT;
		ELSIF l.kind = 'patch' THEN
			IF NOT l.mine THEN
				others := coalesce(others, l.who);
			END IF;
		ELSIF NOT l.mine OR l.kind = 'put' AND others IS NOT NULL THEN
			kept := CASE WHEN l.mine THEN others || ' has changed what it made'
				WHEN l.kind = 'put' THEN l.who || ' made it since'
				ELSE l.who || ' deleted it since' END;
			above := l.seq;
			EXIT;
		ELSE
			fields := CASE l.kind WHEN 'delete' THEN l.old END;
			below := l.seq;
			reason := CASE l.kind WHEN 'delete' THEN 'deleted' ELSE 'made' END;
			words := l.who || CASE l.kind WHEN 'delete' THEN ' deleted it'
				ELSE ' made it' END;
			others := NULL;
			lost := CASE l.kind WHEN 'delete' THEN (SELECT c.incoming
				FROM mirusync.conflicts c
				WHERE c.feed = undo_record.feed
					AND c.collection = undo_record.collection
					AND c.record = undo_record.id AND c.field IS NULL
					AND c.stored_seq = l.seq AND c.outcome <> 'incoming'
					AND c.resolved_at IS NULL AND c.incoming IS NOT NULL
				ORDER BY c.id DESC LIMIT 1) END;
		END IF;
	END LOOP;
	-- Nothing is said of what nobody wanted to undo.
	IF NOT EXISTS (SELECT FROM mirusync.change_log c
		WHERE c.feed = undo_record.feed
			AND c.collection = undo_record.collection
			AND c.id = undo_record.id AND c.seq + 0 <= above
			AND mirusync.undo_matches(c, which))
	THEN
		kept := NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_record(text, text, text, jsonb, jsonb) IS
'which life of a record stands without what is to be undone; for undo_plan()';
REVOKE ALL ON FUNCTION mirusync.undo_record(text, text, text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION mirusync.undo_plan(feed text, collection text, id text,
	which jsonb)
RETURNS TABLE (field text, present jsonb, value jsonb, action text,
	reason text, words text)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
	stored jsonb := mirusync.stored(feed, collection, id);
	life record;
	f record;
	wanted jsonb;
	whys jsonb := '{}';
BEGIN
	IF NOT EXISTS (SELECT FROM mirusync.collections c WHERE c.name = collection)
	THEN
		RETURN QUERY SELECT NULL, stored, NULL::jsonb, 'keep', 'gone',
			'there is no such collection any more';
		RETURN;
	END IF;
	SELECT * INTO life FROM mirusync.undo_record(feed, collection, id, which,
		stored);
	wanted := life.fields;
	IF wanted IS NOT NULL THEN
		FOR f IN SELECT * FROM mirusync.undo_fields(feed, collection, id,
				which, wanted, life.above, life.below)
		LOOP
			IF f.kept THEN
				RETURN QUERY SELECT f.field, stored -> f.field, NULL::jsonb,
					'keep', f.reason, f.words;
			ELSE
				wanted := wanted - f.field
					|| CASE WHEN f.value IS NULL THEN '{}'
						ELSE jsonb_build_object(f.field, f.value) END;
				whys := whys || jsonb_build_object(f.field,
					jsonb_build_array(f.reason, f.words));
			END IF;
		END LOOP;
		wanted := wanted || coalesce(life.lost, '{}');
	END IF;
	IF life.kept IS NOT NULL THEN
		RETURN QUERY SELECT NULL, stored, NULL::jsonb, 'keep',
			'changed', life.kept;
	END IF;
	IF stored IS NULL AND wanted IS NOT NULL
		OR stored IS NOT NULL AND wanted IS NULL
	THEN
		RETURN QUERY SELECT NULL, stored, wanted,
			CASE WHEN stored IS NULL THEN 'insert' ELSE 'delete' END,
			life.reason, life.words;
	ELSE
		RETURN QUERY SELECT k.name, stored -> k.name, wanted -> k.name,
				CASE WHEN wanted ? k.name THEN 'set' ELSE 'unset' END,
				coalesce(whys -> k.name ->> 0, life.reason),
				coalesce(whys -> k.name ->> 1, life.words)
			FROM (SELECT jsonb_object_keys(stored)
				UNION SELECT jsonb_object_keys(wanted)) k(name)
			WHERE stored -> k.name IS DISTINCT FROM wanted -> k.name
				AND NOT mirusync.undo_follows(collection, k.name)
			ORDER BY k.name COLLATE "C";
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_plan(text, text, text, jsonb) IS
'what undoing does to a record, field by field; for undo() and undo_preview()';
REVOKE ALL ON FUNCTION mirusync.undo_plan(text, text, text, jsonb) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- Undoing
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.undo_preview(feed text, device text DEFAULT NULL,
	from_seq bigint DEFAULT NULL, to_seq bigint DEFAULT NULL,
	since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	session text DEFAULT NULL, user_id text DEFAULT NULL,
	xid xid8 DEFAULT NULL, in_collection text DEFAULT NULL)
RETURNS TABLE (collection text, id text, field text, present jsonb,
	value jsonb, action text, reason text, words text)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	which jsonb := mirusync.undo_scope(feed, device, from_seq, to_seq, since,
		until, session, user_id, xid, in_collection);
BEGIN
	RETURN QUERY SELECT r.collection, r.id, p.field, p.present, p.value,
			p.action, p.reason, p.words
		FROM mirusync.undo_records(feed, which) r
			CROSS JOIN LATERAL mirusync.undo_plan(feed, r.collection, r.id,
				which) p;
END
$$;
COMMENT ON FUNCTION mirusync.undo_preview(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) IS
'what undo() would do; writes nothing';
REVOKE ALL ON FUNCTION mirusync.undo_preview(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) FROM PUBLIC;

CREATE FUNCTION mirusync.undo(feed text, device text DEFAULT NULL,
	from_seq bigint DEFAULT NULL, to_seq bigint DEFAULT NULL,
	since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	session text DEFAULT NULL, user_id text DEFAULT NULL,
	xid xid8 DEFAULT NULL, in_collection text DEFAULT NULL)
RETURNS TABLE (collection text, id text, field text, present jsonb,
	value jsonb, action text, reason text, words text)
AS 'MODULE_PATHNAME', 'mirusync_undo_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.undo(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) IS
'undo the changes of a device, session, user or transaction, as changes by the caller';
REVOKE ALL ON FUNCTION mirusync.undo(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 79_erasure.sql
-- -------------------------------------------------------------------------

-- Written by erase_begin() and erase_end().
CREATE TABLE mirusync.erasure (
	feed		text COLLATE "C" NOT NULL,
	number		bigint NOT NULL,
	collection	text COLLATE "C",
	id			text COLLATE "C",
	upto		bigint NOT NULL,
	at			timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	role		oid NOT NULL,
	changes		bigint,
	finished_at	timestamptz,
	CONSTRAINT erasure_pkey PRIMARY KEY (feed, number)
);
COMMENT ON TABLE mirusync.erasure IS 'what was erased from history, when, and by whom';
COMMENT ON COLUMN mirusync.erasure.feed IS 'feed';
COMMENT ON COLUMN mirusync.erasure.number IS 'number of the erasure: 1, 2, 3 ... per feed';
COMMENT ON COLUMN mirusync.erasure.collection IS 'collection of the record; null: all of the feed';
COMMENT ON COLUMN mirusync.erasure.id IS 'id of the record; null: all of the feed';
COMMENT ON COLUMN mirusync.erasure.upto IS 'head of the feed then; later changes are not erased';
COMMENT ON COLUMN mirusync.erasure.at IS 'when it began';
COMMENT ON COLUMN mirusync.erasure.role IS 'database role that called for it';
COMMENT ON COLUMN mirusync.erasure.changes IS 'how many changes it erased';
COMMENT ON COLUMN mirusync.erasure.finished_at IS 'when it ended; null: it was cut off, call it again';
SELECT pg_catalog.pg_extension_config_dump('mirusync.erasure', '');

CREATE FUNCTION mirusync.erase_begin(feed text, collection text, id text,
	upto bigint, role bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result bigint;
BEGIN
	IF collection IS NOT NULL
		AND NOT EXISTS (SELECT FROM mirusync.change_log l
			WHERE l.feed = erase_begin.feed AND l.id = erase_begin.id
				AND l.collection = erase_begin.collection)
		AND NOT EXISTS (SELECT FROM mirusync.record r
			WHERE r.feed = erase_begin.feed AND r.id = erase_begin.id
				AND r.collection = erase_begin.collection)
		AND NOT EXISTS (SELECT FROM mirusync.conflict c
			WHERE c.feed = erase_begin.feed AND c.record = erase_begin.id
				AND c.collection = erase_begin.collection)
		AND NOT EXISTS (SELECT FROM mirusync.refusal r
			WHERE r.feed = erase_begin.feed AND r.id = erase_begin.id
				AND r.collection = erase_begin.collection)
	THEN
		RAISE EXCEPTION 'nothing is known of record % of collection %',
			to_json(id), to_json(collection)
			USING ERRCODE = 'undefined_object';
	END IF;
	INSERT INTO mirusync.erasure (feed, number, collection, id, upto, role)
		SELECT erase_begin.feed, coalesce(max(e.number), 0) + 1,
			erase_begin.collection, erase_begin.id, erase_begin.upto,
			erase_begin.role::oid
		FROM mirusync.erasure e WHERE e.feed = erase_begin.feed
		RETURNING number INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION mirusync.erase_begin(text, text, text, bigint, bigint) IS
'note that an erasure begins, under a number; for erase()';

CREATE FUNCTION mirusync.erase_next(feed text, collection text, id text,
	after bigint, max bigint)
RETURNS bigint[]
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(n.seq ORDER BY n.seq), '{}') FROM (
		SELECT l.seq FROM mirusync.change_log l
		WHERE l.feed = erase_next.feed AND l.seq > after
			AND l.erasure IS NULL
			AND (erase_next.collection IS NULL
				OR l.collection = erase_next.collection AND l.id = erase_next.id)
		ORDER BY l.seq LIMIT erase_next.max) n
$$;
COMMENT ON FUNCTION mirusync.erase_next(text, text, text, bigint, bigint) IS
'numbers of the next changes to be erased; for erase()';

-- What is sent again of a verdict must not tell what was, and must not leave
-- the device with what it had sent: so it tells what stands.
CREATE FUNCTION mirusync.erased_verdict(verdict jsonb, stands jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN verdict ? 'reason'
			THEN verdict || '{"reason": "erased"}'
		WHEN NOT verdict ? 'fields' THEN verdict
		WHEN stands IS NULL THEN verdict - 'fields' || '{"deleted": true}'
		ELSE verdict || jsonb_build_object('fields', (
			SELECT coalesce(jsonb_object_agg(k, stands -> k), '{}')
			FROM jsonb_object_keys(verdict -> 'fields') k
			WHERE stands ? k)) END
$$;
COMMENT ON FUNCTION mirusync.erased_verdict(jsonb, jsonb) IS
'a kept verdict without former values, given what stands; for erase()';

CREATE FUNCTION mirusync.erase_verdicts(feed text, collection text, id text)
RETURNS void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	-- A rejected change says why, and does not say of which record it was.
	UPDATE mirusync.verdict v
	SET verdict = mirusync.erased_verdict(v.verdict, NULL)
	WHERE v.user_id = erase_verdicts.feed AND v.verdict ? 'reason'
		AND v.verdict ->> 'reason' <> 'erased'
		AND NOT EXISTS (SELECT FROM mirusync.refusal r
			WHERE r.feed = erase_verdicts.feed AND r.device = v.device
				AND r.device_number = v.number
				AND (r.collection, r.id) <> (erase_verdicts.collection,
					erase_verdicts.id));
	UPDATE mirusync.verdict v
	SET verdict = mirusync.erased_verdict(v.verdict, mirusync.stored(
		erase_verdicts.feed, l.collection, l.id))
	FROM mirusync.change_log l
	WHERE v.user_id = erase_verdicts.feed AND v.verdict ? 'fields'
		AND l.feed = erase_verdicts.feed
		AND l.seq = (v.verdict ->> 'seq')::bigint
		AND (erase_verdicts.collection IS NULL
			OR l.collection = erase_verdicts.collection
				AND l.id = erase_verdicts.id);
$$;
COMMENT ON FUNCTION mirusync.erase_verdicts(text, text, text) IS
'erase what kept verdicts tell of a record or feed; for erase()';

-- An event whose changes are several is refused as a whole, and goes as one.
CREATE FUNCTION mirusync.erase_others(feed text, collection text, id text,
	erasure bigint, max bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	erased bigint;
BEGIN
	UPDATE mirusync.conflict c
	SET stored = NULL, incoming = NULL, erasure = erase_others.erasure,
		resolution = coalesce(c.resolution, 'erased'),
		resolved_at = coalesce(c.resolved_at, clock_timestamp()),
		resolved_by = coalesce(c.resolved_by, (SELECT e.role
			FROM mirusync.erasure e WHERE e.feed = erase_others.feed
				AND e.number = erase_others.erasure))
	WHERE c.feed = erase_others.feed AND c.id = ANY (ARRAY(
		SELECT n.id FROM mirusync.conflict n
		WHERE n.feed = erase_others.feed AND n.erasure IS NULL
			AND (erase_others.collection IS NULL
				OR n.collection = erase_others.collection
					AND n.record = erase_others.id)
			AND n.at <= (SELECT e.at FROM mirusync.erasure e
				WHERE e.feed = erase_others.feed
					AND e.number = erase_others.erasure)
		LIMIT erase_others.max));
	GET DIAGNOSTICS erased = ROW_COUNT;
	IF erased > 0 THEN
		RETURN erased;
	END IF;
	PERFORM mirusync.erase_verdicts(feed, collection, id);
	DELETE FROM mirusync.refusal r
	WHERE r.feed = erase_others.feed AND r.part_of = ANY (ARRAY(
		SELECT n.part_of FROM mirusync.refusal n
		WHERE n.feed = erase_others.feed
			AND (erase_others.collection IS NULL
				OR n.collection = erase_others.collection
					AND n.id = erase_others.id)
			AND n.at <= (SELECT e.at FROM mirusync.erasure e
				WHERE e.feed = erase_others.feed
					AND e.number = erase_others.erasure)
		LIMIT erase_others.max));
	GET DIAGNOSTICS erased = ROW_COUNT;
	RETURN erased;
END
$$;
COMMENT ON FUNCTION mirusync.erase_others(text, text, text, bigint, bigint) IS
'erase a batch of what conflicts, inbox and kept verdicts have; 0: that was all; for erase()';

CREATE FUNCTION mirusync.erase_end(feed text, erasure bigint, changes bigint)
RETURNS bigint
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE mirusync.erasure e
	SET changes = erase_end.changes, finished_at = clock_timestamp()
	WHERE e.feed = erase_end.feed AND e.number = erase_end.erasure
	RETURNING e.changes
$$;
COMMENT ON FUNCTION mirusync.erase_end(text, bigint, bigint) IS
'note that an erasure is done; for erase()';

-- Commits between its batches, as trim() does, and like it works as the owner
-- of the extension: whoever may execute it may erase.
CREATE PROCEDURE mirusync.erase(feed text, collection text DEFAULT NULL,
	id text DEFAULT NULL, batch_rows int DEFAULT 1000)
LANGUAGE C AS 'MODULE_PATHNAME', 'mirusync_erase_0_2';
COMMENT ON PROCEDURE mirusync.erase(text, text, text, int) IS
'erase what history holds of a record, or of a whole feed';

REVOKE ALL ON TABLE mirusync.erasure FROM PUBLIC;
REVOKE ALL ON FUNCTION mirusync.erase_begin(text, text, text, bigint, bigint),
	mirusync.erase_next(text, text, text, bigint, bigint), mirusync.erased_verdict(jsonb, jsonb),
	mirusync.erase_verdicts(text, text, text), mirusync.erase_others(text, text, text, bigint, bigint),
	mirusync.erase_end(text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON PROCEDURE mirusync.erase(text, text, text, int) FROM PUBLIC;

-- -------------------------------------------------------------------------
-- 80_ddl.sql
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.ddl_start()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'mirusync_ddl_start_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.ddl_start() IS
'event trigger function: makes commands be watched for what they do to attached tables';

CREATE FUNCTION mirusync.ddl_end()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'mirusync_ddl_end_0_2'
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
			mirusync.push_many(text[], text[], text[], text[], text[], text[]),
			mirusync.pull_events(text, bigint, int, boolean, bigint, text[]),
			mirusync.seq_before(text, timestamptz),
			mirusync.heads(text[]), mirusync.ring(text[]),
			mirusync.relay_access(text[]),
			mirusync.relay_redeem(text, text, timestamptz),
			mirusync.relay_history(text, text, text, bigint, int),
			mirusync.relay_conflicts(text, text, text, bigint, int) TO %s', role);
END
$$;

-- By rule, so that what a later version adds is covered: every table and view
-- but the one with the secrets, and the functions that can do no more than
-- their caller could by himself.  Those in C are not among them: they may read
-- our tables without asking for his rights.  worker_status() reads none,
-- and the others tell what an auditor finds in the history anyway.
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
			AND p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql')
			AND p.provolatile <> 'v' AND NOT p.prosecdef
		UNION ALL
		SELECT unnest(ARRAY['FUNCTION mirusync.worker_status()',
			'FUNCTION mirusync.stored(text, text, text)',
			'FUNCTION mirusync.field_stamps(text, text, text)',
			'FUNCTION mirusync.chain_faults(text, bigint, text)'])
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
