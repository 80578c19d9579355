-- 30_registry.sql
--     What is attached, and how to attach it.
--
-- attached.c writes mirusync.attached and mirusync.collection, field.c
-- mirusync.field, rule.c mirusync.field_rule, and registry.c reads them for
-- everybody.  Rows of a table that was dropped stay until something else is
-- attached; they mean nothing.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE TABLE mirusync.attached (
	relation	regclass NOT NULL,
	feed_column	name NOT NULL,
	collection_column name,
	data_column	name,
	sync_added	boolean NOT NULL DEFAULT true,
	CONSTRAINT attached_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE mirusync.attached IS 'attached tables';
COMMENT ON COLUMN mirusync.attached.relation IS 'the table';
COMMENT ON COLUMN mirusync.attached.feed_column IS 'column that says whose row it is, as it was called then; it is field number 0';
COMMENT ON COLUMN mirusync.attached.collection_column IS 'column that names the collection; null: the table is one collection';
COMMENT ON COLUMN mirusync.attached.data_column IS 'jsonb column whose keys are the fields; null: the columns are';
COMMENT ON COLUMN mirusync.attached.sync_added IS 'columns added later are synced';

CREATE TABLE mirusync.field (
	relation	regclass NOT NULL,
	number		int NOT NULL,
	attnum		int2 NOT NULL,
	name		name NOT NULL,
	bound_to	text COLLATE "C" NOT NULL,
	synced		boolean NOT NULL DEFAULT true,
	CONSTRAINT field_pkey PRIMARY KEY (relation, number)
);
COMMENT ON TABLE mirusync.field IS 'columns of attached tables: their numbers, and which are synced; survives renames and restores';
COMMENT ON COLUMN mirusync.field.relation IS 'the table';
COMMENT ON COLUMN mirusync.field.number IS 'number of the field, never used again; 0 is the column that says whose row it is';
COMMENT ON COLUMN mirusync.field.attnum IS 'number of its column where bound_to says so; 0: the column was dropped';
COMMENT ON COLUMN mirusync.field.name IS 'name of its column, by which it is found after a restore';
COMMENT ON COLUMN mirusync.field.bound_to IS 'system, database and table in which attnum was noted';
COMMENT ON COLUMN mirusync.field.synced IS 'its values are sent to devices and taken from them; those of the primary key are whatever it says';

CREATE TABLE mirusync.collection (
	name		text COLLATE "C" NOT NULL,
	relation	regclass NOT NULL,
	rule		text COLLATE "C" NOT NULL
		CHECK (rule IN ('lww', 'lww_field', 'first_wins', 'server_wins',
			'manual')),
	pushable	boolean NOT NULL,
	role		regrole,
	delete_rule	text COLLATE "C" NOT NULL DEFAULT 'update_wins'
		CHECK (delete_rule IN ('update_wins', 'delete_wins', 'manual')),
	since		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT collection_pkey PRIMARY KEY (name)
);
CREATE INDEX collection_relation ON mirusync.collection (relation);
COMMENT ON TABLE mirusync.collection IS 'collections: attached tables, or names in the document store';
COMMENT ON INDEX mirusync.collection_relation IS 'finds the collection of a table';
COMMENT ON COLUMN mirusync.collection.name IS 'name of the collection, as devices know it';
COMMENT ON COLUMN mirusync.collection.relation IS 'table that keeps its records';
COMMENT ON COLUMN mirusync.collection.rule IS 'how concurrent changes of fields without a rule of their own merge';
COMMENT ON COLUMN mirusync.collection.pushable IS 'devices may change it';
COMMENT ON COLUMN mirusync.collection.role IS 'pushes run as this role; null: the owner of the table';
COMMENT ON COLUMN mirusync.collection.delete_rule IS 'what stands of a delete and a concurrent update';
COMMENT ON COLUMN mirusync.collection.since IS 'when it was attached; history from before says nothing of its state';

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

-- What is attached is the administrator's data: a dump keeps it.  Rows of
-- dropped tables would come back as bare OIDs, which may be others' by then.
-- The row of the document store is made by 65_documents.sql.
SELECT pg_catalog.pg_extension_config_dump('mirusync.attached',
	'WHERE relation <> ''mirusync.document''::pg_catalog.regclass'
	' AND relation IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('mirusync.field',
	'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class)');
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

-- attach() and its like make every backend read anew what they wrote.  This
-- does it for SQL: a restore, or an administrator who sets a rule.
CREATE FUNCTION mirusync.registry_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_registry_changed_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.registry_changed() IS
'trigger function: makes every backend read again what is attached';

CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.attached
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.attached ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.attached IS
'makes every backend read again what is attached';

CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.field
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.field ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.field IS
'makes every backend read again what is attached';

CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.collection
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.collection ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.collection IS
'makes every backend read again what is attached';

CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.field_rule
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.field_rule ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.field_rule IS
'makes every backend read again what is attached';

-- The current epoch is kept in the same way (extension/epoch.c).
CREATE TRIGGER registry_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.epoch
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.registry_changed();
ALTER TABLE mirusync.epoch ENABLE ALWAYS TRIGGER registry_changed;
COMMENT ON TRIGGER registry_changed ON mirusync.epoch IS
'makes every backend read again which epoch it is';

-- These check the calling user themselves and then write directly, so
-- whoever may execute them needs no right on the tables above.  They are not
-- strict: a null argument is an error, not a reason to do nothing.
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

CREATE FUNCTION mirusync.detach(relation regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_detach_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.detach(regclass) IS
'stop syncing a table, and leave it as it was before';

CREATE FUNCTION mirusync.sync_column(relation regclass, column_name name,
	synced boolean)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_sync_column_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.sync_column(regclass, name, boolean) IS
'sync a column of an attached table from now on, or sync it no more';

CREATE FUNCTION mirusync.create_collection(name text,
	rule text DEFAULT 'lww', pushable boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_create_collection_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.create_collection(text, text, boolean) IS
'name a collection of the document store; does nothing if it is there already';

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

-- For the view: it tells what mirusync.field says, as columns are now.
CREATE FUNCTION mirusync.synced_columns(relation regclass, feed_column name,
	sync_added boolean)
RETURNS name[]
AS 'MODULE_PATHNAME', 'mirusync_synced_columns_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION mirusync.synced_columns(regclass, name, boolean) IS
'columns of an attached table that are synced; for the view collections';

CREATE VIEW mirusync.collections AS
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
COMMENT ON VIEW mirusync.collections IS 'collections, and the tables that keep them';
COMMENT ON COLUMN mirusync.collections.name IS 'name of the collection, as devices know it';
COMMENT ON COLUMN mirusync.collections.relation IS 'table that keeps its records';
COMMENT ON COLUMN mirusync.collections.feed_column IS 'column that says whose row it is';
COMMENT ON COLUMN mirusync.collections.rule IS 'how concurrent changes of fields without a rule of their own merge';
COMMENT ON COLUMN mirusync.collections.pushable IS 'devices may change it';
COMMENT ON COLUMN mirusync.collections.role IS 'pushes run as this role; null: the owner of the table';
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
