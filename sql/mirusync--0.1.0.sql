-- mirusync: the server half of an offline-first, multi-device application.
-- This script is made by concatenating sql/install/*.sql.
--
-- SPDX-License-Identifier: PostgreSQL
\echo Use "CREATE EXTENSION mirusync" to load this file. \quit

-- Ids, fields and documents travel as JSON, which is UTF-8; in any other
-- encoding some texts could not be sent back as they came.
DO $$
BEGIN
	IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
		RAISE EXCEPTION USING
			errcode = 'feature_not_supported',
			message = 'mirusync needs a database with encoding UTF8',
			detail = pg_catalog.format('The encoding of this database is %s.',
				pg_catalog.current_setting('server_encoding')),
			hint = 'Create one with CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
END
$$;

-- Nothing here is for everybody; 99_grants.sql says what is.
REVOKE ALL ON SCHEMA mirusync FROM PUBLIC;
GRANT USAGE ON SCHEMA mirusync TO PUBLIC;

-- 10_types.sql
--     The type hlc: a hybrid logical clock.  See extension/hlc_type.c.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE TYPE mirusync.hlc;

CREATE FUNCTION mirusync.hlc_in(cstring)
RETURNS mirusync.hlc
AS 'MODULE_PATHNAME', 'mirusync_hlc_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_in(cstring) IS
'input of hlc: 2026-11-23T06:00:00.123Z/0005, fraction and counter optional';

CREATE FUNCTION mirusync.hlc_out(mirusync.hlc)
RETURNS cstring
AS 'MODULE_PATHNAME', 'mirusync_hlc_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_out(mirusync.hlc) IS 'output of hlc';

CREATE FUNCTION mirusync.hlc_recv(internal)
RETURNS mirusync.hlc
AS 'MODULE_PATHNAME', 'mirusync_hlc_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_recv(internal) IS 'binary input of hlc';

CREATE FUNCTION mirusync.hlc_send(mirusync.hlc)
RETURNS bytea
AS 'MODULE_PATHNAME', 'mirusync_hlc_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_send(mirusync.hlc) IS
'binary output of hlc: eight bytes, network order';

CREATE TYPE mirusync.hlc (
	INPUT = mirusync.hlc_in,
	OUTPUT = mirusync.hlc_out,
	RECEIVE = mirusync.hlc_recv,
	SEND = mirusync.hlc_send,
	LIKE = pg_catalog.int8
);
COMMENT ON TYPE mirusync.hlc IS
'hybrid logical clock: 48 bits of milliseconds since 1970, 16 bits of counter';


-- Comparison: later is greater, and within a millisecond the counter decides.

CREATE FUNCTION mirusync.hlc_lt(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_lt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_lt(mirusync.hlc, mirusync.hlc) IS
'implementation of < operator';

CREATE FUNCTION mirusync.hlc_le(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_le'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_le(mirusync.hlc, mirusync.hlc) IS
'implementation of <= operator';

CREATE FUNCTION mirusync.hlc_eq(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_eq'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_eq(mirusync.hlc, mirusync.hlc) IS
'implementation of = operator';

CREATE FUNCTION mirusync.hlc_ne(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_ne'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_ne(mirusync.hlc, mirusync.hlc) IS
'implementation of <> operator';

CREATE FUNCTION mirusync.hlc_ge(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_ge'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_ge(mirusync.hlc, mirusync.hlc) IS
'implementation of >= operator';

CREATE FUNCTION mirusync.hlc_gt(mirusync.hlc, mirusync.hlc)
RETURNS boolean
AS 'MODULE_PATHNAME', 'mirusync_hlc_gt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_gt(mirusync.hlc, mirusync.hlc) IS
'implementation of > operator';

CREATE FUNCTION mirusync.hlc_cmp(mirusync.hlc, mirusync.hlc)
RETURNS integer
AS 'MODULE_PATHNAME', 'mirusync_hlc_cmp'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_cmp(mirusync.hlc, mirusync.hlc) IS
'less-equal-greater of two clocks, for btree';

CREATE FUNCTION mirusync.hlc_hash(mirusync.hlc)
RETURNS integer
AS 'MODULE_PATHNAME', 'mirusync_hlc_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_hash(mirusync.hlc) IS 'hash of a clock';

CREATE FUNCTION mirusync.hlc_hash_extended(mirusync.hlc, bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_hlc_hash_extended'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_hash_extended(mirusync.hlc, bigint) IS
'hash of a clock with a seed';

CREATE OPERATOR mirusync.< (
	FUNCTION = mirusync.hlc_lt,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.>),
	NEGATOR = OPERATOR(mirusync.>=),
	RESTRICT = scalarltsel,
	JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR mirusync.< (mirusync.hlc, mirusync.hlc) IS 'older than';

CREATE OPERATOR mirusync.<= (
	FUNCTION = mirusync.hlc_le,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.>=),
	NEGATOR = OPERATOR(mirusync.>),
	RESTRICT = scalarlesel,
	JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR mirusync.<= (mirusync.hlc, mirusync.hlc) IS
'older than or equal';

CREATE OPERATOR mirusync.= (
	FUNCTION = mirusync.hlc_eq,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.=),
	NEGATOR = OPERATOR(mirusync.<>),
	RESTRICT = eqsel,
	JOIN = eqjoinsel,
	HASHES,
	MERGES
);
COMMENT ON OPERATOR mirusync.= (mirusync.hlc, mirusync.hlc) IS 'equal';

CREATE OPERATOR mirusync.<> (
	FUNCTION = mirusync.hlc_ne,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.<>),
	NEGATOR = OPERATOR(mirusync.=),
	RESTRICT = neqsel,
	JOIN = neqjoinsel
);
COMMENT ON OPERATOR mirusync.<> (mirusync.hlc, mirusync.hlc) IS 'not equal';

CREATE OPERATOR mirusync.>= (
	FUNCTION = mirusync.hlc_ge,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.<=),
	NEGATOR = OPERATOR(mirusync.<),
	RESTRICT = scalargesel,
	JOIN = scalargejoinsel
);
COMMENT ON OPERATOR mirusync.>= (mirusync.hlc, mirusync.hlc) IS
'newer than or equal';

CREATE OPERATOR mirusync.> (
	FUNCTION = mirusync.hlc_gt,
	LEFTARG = mirusync.hlc,
	RIGHTARG = mirusync.hlc,
	COMMUTATOR = OPERATOR(mirusync.<),
	NEGATOR = OPERATOR(mirusync.<=),
	RESTRICT = scalargtsel,
	JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR mirusync.> (mirusync.hlc, mirusync.hlc) IS 'newer than';

CREATE OPERATOR FAMILY mirusync.hlc_ops USING btree;
COMMENT ON OPERATOR FAMILY mirusync.hlc_ops USING btree IS 'order of clocks';

CREATE OPERATOR CLASS mirusync.hlc_ops
DEFAULT FOR TYPE mirusync.hlc USING btree FAMILY mirusync.hlc_ops AS
	OPERATOR 1 mirusync.<,
	OPERATOR 2 mirusync.<=,
	OPERATOR 3 mirusync.=,
	OPERATOR 4 mirusync.>=,
	OPERATOR 5 mirusync.>,
	FUNCTION 1 mirusync.hlc_cmp(mirusync.hlc, mirusync.hlc),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS mirusync.hlc_ops USING btree IS 'order of clocks';

CREATE OPERATOR FAMILY mirusync.hlc_ops USING hash;
COMMENT ON OPERATOR FAMILY mirusync.hlc_ops USING hash IS 'hash of clocks';

CREATE OPERATOR CLASS mirusync.hlc_ops
DEFAULT FOR TYPE mirusync.hlc USING hash FAMILY mirusync.hlc_ops AS
	OPERATOR 1 mirusync.=,
	FUNCTION 1 mirusync.hlc_hash(mirusync.hlc),
	FUNCTION 2 mirusync.hlc_hash_extended(mirusync.hlc, bigint);
COMMENT ON OPERATOR CLASS mirusync.hlc_ops USING hash IS 'hash of clocks';


-- Conversions.  The casts are explicit: the way to timestamptz loses the
-- counter, the way back cuts microseconds.

CREATE FUNCTION mirusync.hlc_ms(clock mirusync.hlc)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_hlc_ms'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_ms(mirusync.hlc) IS
'milliseconds since 1970 of a clock';

CREATE FUNCTION mirusync.hlc_to_timestamptz(clock mirusync.hlc)
RETURNS timestamp with time zone
AS 'MODULE_PATHNAME', 'mirusync_hlc_to_timestamptz'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.hlc_to_timestamptz(mirusync.hlc) IS
'the time of a clock, to the millisecond';

CREATE FUNCTION mirusync.hlc_from_timestamptz(moment timestamp with time zone)
RETURNS mirusync.hlc
AS 'MODULE_PATHNAME', 'mirusync_hlc_from_timestamptz'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION
	mirusync.hlc_from_timestamptz(timestamp with time zone) IS
'the first clock of a time''s millisecond';

CREATE CAST (mirusync.hlc AS timestamp with time zone)
WITH FUNCTION mirusync.hlc_to_timestamptz(mirusync.hlc);
COMMENT ON CAST (mirusync.hlc AS timestamp with time zone) IS
'the time of a clock, to the millisecond';

CREATE CAST (timestamp with time zone AS mirusync.hlc)
WITH FUNCTION mirusync.hlc_from_timestamptz(timestamp with time zone);
COMMENT ON CAST (timestamp with time zone AS mirusync.hlc) IS
'the first clock of a time''s millisecond';
-- -------------------------------------------------------------------------
-- State and history.  Every key begins with the feed, so one user's data sits
-- together and the tables could be hash-distributed by it.  Each is written by
-- exactly one C file, by direct table access, under the lock of the feed's row.
-- -------------------------------------------------------------------------

-- Written by feed.c.  One row a feed; its lock orders the feed's changes.
CREATE TABLE mirusync.feed (
	feed		text COLLATE "C" NOT NULL,
	head		bigint NOT NULL,
	floor		bigint NOT NULL,
	changed_at	timestamptz NOT NULL,
	epoch		text COLLATE "C" NOT NULL,
	epoch_head	bigint NOT NULL,
	CONSTRAINT feed_pkey PRIMARY KEY (feed)
) WITH (fillfactor = 50);
COMMENT ON TABLE mirusync.feed IS 'ordered logs of changes, one row a feed';
COMMENT ON COLUMN mirusync.feed.feed IS 'feed id; by default the id of the user who owns it';
COMMENT ON COLUMN mirusync.feed.head IS 'number of the latest change';
COMMENT ON COLUMN mirusync.feed.floor IS 'a device with a cursor below it must start over';
COMMENT ON COLUMN mirusync.feed.changed_at IS 'when the latest change was numbered; never goes back';
COMMENT ON COLUMN mirusync.feed.epoch IS 'system identifier and timeline under which the latest change was numbered';
COMMENT ON COLUMN mirusync.feed.epoch_head IS 'head when that epoch began';

-- Written by record.c.  What sync reads: the latest change of each record.
-- The record's content stays in the application's own table.
CREATE TABLE mirusync.record (
	feed		text COLLATE "C" NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	seq			bigint NOT NULL,
	part_of		bigint NOT NULL,
	clock		mirusync.hlc NOT NULL,
	changed_at	timestamptz NOT NULL,
	deleted		boolean NOT NULL,
	stamps		bytea NOT NULL,
	image		jsonb,
	CONSTRAINT record_pkey PRIMARY KEY (feed, collection, id)
);
CREATE UNIQUE INDEX record_seq ON mirusync.record (feed, seq);
COMMENT ON TABLE mirusync.record IS 'sync state: the latest change of each record';
COMMENT ON INDEX mirusync.record_seq IS 'what pull reads: records of a feed by number';
COMMENT ON COLUMN mirusync.record.feed IS 'feed of the record';
COMMENT ON COLUMN mirusync.record.collection IS 'collection of the record';
COMMENT ON COLUMN mirusync.record.id IS 'text form of the primary key without the feed column';
COMMENT ON COLUMN mirusync.record.seq IS 'number of its latest change';
COMMENT ON COLUMN mirusync.record.part_of IS 'number of the first change of the group it came in';
COMMENT ON COLUMN mirusync.record.clock IS 'newest clock of any of its fields';
COMMENT ON COLUMN mirusync.record.changed_at IS 'when its latest change was numbered';
COMMENT ON COLUMN mirusync.record.deleted IS 'it is a tombstone';
COMMENT ON COLUMN mirusync.record.stamps IS 'packed clock, device and number of each field (extension/stamps.c)';
COMMENT ON COLUMN mirusync.record.image IS 'of a tombstone: the record''s last image';

-- Written by change_log.c.  What audit reads; append-only.
CREATE TABLE mirusync.change_log (
	feed		text COLLATE "C" NOT NULL,
	seq			bigint NOT NULL,
	part_of		bigint NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	kind		text COLLATE "C" NOT NULL,
	clock		mirusync.hlc NOT NULL,
	at			timestamptz NOT NULL,
	xid			xid8 NOT NULL,
	role		oid NOT NULL,
	user_id		text COLLATE "C",
	device		text COLLATE "C",
	session		text COLLATE "C",
	type		text COLLATE "C",
	rule		text COLLATE "C",
	skew_ms		bigint,
	base		bigint,
	old			jsonb,
	new			jsonb,
	CONSTRAINT change_log_pkey PRIMARY KEY (feed, seq)
);
COMMENT ON TABLE mirusync.change_log IS 'history: every change of every feed, in order';
COMMENT ON COLUMN mirusync.change_log.feed IS 'feed';
COMMENT ON COLUMN mirusync.change_log.seq IS 'number: 1, 2, 3 ... per feed, without a hole';
COMMENT ON COLUMN mirusync.change_log.part_of IS 'number of the first change of its group';
COMMENT ON COLUMN mirusync.change_log.collection IS 'collection';
COMMENT ON COLUMN mirusync.change_log.id IS 'id of the record';
COMMENT ON COLUMN mirusync.change_log.kind IS 'put (the record is new), patch or delete';
COMMENT ON COLUMN mirusync.change_log.clock IS 'newest clock of the record after the change';
COMMENT ON COLUMN mirusync.change_log.at IS 'when it was numbered';
COMMENT ON COLUMN mirusync.change_log.xid IS 'transaction';
COMMENT ON COLUMN mirusync.change_log.role IS 'database role that made it';
COMMENT ON COLUMN mirusync.change_log.user_id IS 'user whose device pushed it; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.device IS 'device that pushed it';
COMMENT ON COLUMN mirusync.change_log.session IS 'session it was pushed in; null where several pushed into one change';
COMMENT ON COLUMN mirusync.change_log.type IS 'type of the original event';
COMMENT ON COLUMN mirusync.change_log.rule IS 'rule in force; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.skew_ms IS 'by how much the device''s clock was ahead, where that was more than is allowed';
COMMENT ON COLUMN mirusync.change_log.base IS 'number of the feed that the device had seen';
COMMENT ON COLUMN mirusync.change_log.old IS 'former values of the fields that changed';
COMMENT ON COLUMN mirusync.change_log.new IS 'their new values';

-- Written by verdict.c.  A pushed change is known by user, device and the
-- device's own number; a replay gets the verdict kept here.
CREATE TABLE mirusync.verdict (
	user_id		text COLLATE "C" NOT NULL,
	device		text COLLATE "C" NOT NULL,
	number		bigint NOT NULL,
	verdict		jsonb NOT NULL,
	at			timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT verdict_pkey PRIMARY KEY (user_id, device, number)
);
COMMENT ON TABLE mirusync.verdict IS 'verdicts of pushed changes that their device has not digested yet';

-- Written by verdict.c.
CREATE TABLE mirusync.device (
	user_id		text COLLATE "C" NOT NULL,
	device		text COLLATE "C" NOT NULL,
	digested	bigint NOT NULL DEFAULT 0,
	seen_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT device_pkey PRIMARY KEY (user_id, device)
);
COMMENT ON TABLE mirusync.device IS 'devices that push numbered changes';
COMMENT ON COLUMN mirusync.device.digested IS 'verdicts up to this number are no longer kept';

-- Written here, once.  Relays and the extension hash feeds with the key, so
-- that a doorbell tells a stranger nothing.
CREATE TABLE mirusync.instance (
	singleton	boolean NOT NULL DEFAULT true CHECK (singleton),
	doorbell_key bytea NOT NULL,
	CONSTRAINT instance_pkey PRIMARY KEY (singleton)
);
INSERT INTO mirusync.instance (doorbell_key)
	SELECT pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
		|| pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));
COMMENT ON TABLE mirusync.instance IS 'secrets of this installation';

-- -------------------------------------------------------------------------
-- Capture.  Made part of a table by attach(), see extension/capture.c.
-- -------------------------------------------------------------------------

-- Runs as whoever writes to the table; it only notes what changed.
CREATE FUNCTION mirusync.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_capture'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.capture() IS
'trigger function of attached tables: notes changed rows for numbering at commit';

-- 30_registry.sql
--     What is attached, and how to attach it.
--
-- attach.c writes mirusync.attached and mirusync.collection, field.c writes
-- mirusync.field, and registry.c reads them for everybody.  Rows of a table
-- that was dropped stay until something else is attached; they mean nothing.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE TABLE mirusync.attached (
	relation	regclass NOT NULL,
	feed_column	name NOT NULL,
	collection_column name,
	data_column	name,
	CONSTRAINT attached_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE mirusync.attached IS 'attached tables';
COMMENT ON COLUMN mirusync.attached.relation IS 'the table';
COMMENT ON COLUMN mirusync.attached.feed_column IS 'column that says whose row it is, as it was called then; it is field number 0';
COMMENT ON COLUMN mirusync.attached.collection_column IS 'column that names the collection; null: the table is one collection';
COMMENT ON COLUMN mirusync.attached.data_column IS 'jsonb column whose keys are the fields; null: the columns are';

CREATE TABLE mirusync.field (
	relation	regclass NOT NULL,
	number		int NOT NULL,
	attnum		int2 NOT NULL,
	name		name NOT NULL,
	bound_to	text COLLATE "C" NOT NULL,
	CONSTRAINT field_pkey PRIMARY KEY (relation, number)
);
COMMENT ON TABLE mirusync.field IS 'numbers of the fields of attached tables, which survive renames and restores';
COMMENT ON COLUMN mirusync.field.relation IS 'the table';
COMMENT ON COLUMN mirusync.field.number IS 'number of the field, never used again; 0 is the column that says whose row it is';
COMMENT ON COLUMN mirusync.field.attnum IS 'number of its column where bound_to says so; 0: the column was dropped';
COMMENT ON COLUMN mirusync.field.name IS 'name of its column, by which it is found after a restore';
COMMENT ON COLUMN mirusync.field.bound_to IS 'system, database and table in which attnum was noted';

CREATE TABLE mirusync.collection (
	name		text COLLATE "C" NOT NULL,
	relation	regclass NOT NULL,
	rule		text COLLATE "C" NOT NULL CHECK (rule IN ('lww', 'lww_field')),
	pushable	boolean NOT NULL,
	role		regrole,
	CONSTRAINT collection_pkey PRIMARY KEY (name)
);
CREATE INDEX collection_relation ON mirusync.collection (relation);
COMMENT ON TABLE mirusync.collection IS 'collections: attached tables, or names in the document store';
COMMENT ON INDEX mirusync.collection_relation IS 'finds the collection of a table';
COMMENT ON COLUMN mirusync.collection.name IS 'name of the collection, as devices know it';
COMMENT ON COLUMN mirusync.collection.relation IS 'table that keeps its records';
COMMENT ON COLUMN mirusync.collection.rule IS 'how concurrent changes merge: lww or lww_field';
COMMENT ON COLUMN mirusync.collection.pushable IS 'devices may change it';
COMMENT ON COLUMN mirusync.collection.role IS 'pushes run as this role; null: the owner of the table';

-- What is attached is the administrator's data: a dump keeps it.  Rows of
-- dropped tables would come back as bare OIDs, which may be others' by then.
-- The row of the document store is made by 65_documents.sql.
SELECT pg_catalog.pg_extension_config_dump('mirusync.attached',
	'WHERE relation <> ''mirusync.document''::pg_catalog.regclass'
	' AND relation IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('mirusync.field',
	'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('mirusync.collection',
	'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class)');

-- attach() and its like make every backend read anew what they wrote.  This
-- does it for SQL: a restore, or an administrator who sets a rule.
CREATE FUNCTION mirusync.registry_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_registry_changed'
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

-- These three check the calling user themselves and then write directly, so
-- whoever may execute them needs no right on the tables above.  They are not
-- strict: a null argument is an error, not a reason to do nothing.
CREATE FUNCTION mirusync.attach(relation regclass, feed name,
	collection text DEFAULT NULL, rule text DEFAULT 'lww_field',
	role regrole DEFAULT NULL, pushable boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_attach'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.attach(regclass, name, text, text, regrole, boolean) IS
'sync a table: its rows are records of the feed that a column names';

CREATE FUNCTION mirusync.detach(relation regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_detach'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.detach(regclass) IS
'stop syncing a table, and leave it as it was before';

CREATE FUNCTION mirusync.create_collection(name text,
	rule text DEFAULT 'lww', pushable boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_create_collection'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.create_collection(text, text, boolean) IS
'name a collection of the document store; does nothing if it is there already';

CREATE VIEW mirusync.collections AS
	SELECT c.name, c.relation,
		coalesce(f.name, a.feed_column) AS feed_column,
		c.rule, c.pushable, c.role
	FROM mirusync.collection c
		JOIN mirusync.attached a ON a.relation = c.relation
		LEFT JOIN mirusync.field f
			ON f.relation = c.relation AND f.number = 0
	WHERE c.relation IN (SELECT r.oid FROM pg_catalog.pg_class r);
COMMENT ON VIEW mirusync.collections IS 'collections, and the tables that keep them';
COMMENT ON COLUMN mirusync.collections.name IS 'name of the collection, as devices know it';
COMMENT ON COLUMN mirusync.collections.relation IS 'table that keeps its records';
COMMENT ON COLUMN mirusync.collections.feed_column IS 'column that says whose row it is';
COMMENT ON COLUMN mirusync.collections.rule IS 'how concurrent changes merge: lww or lww_field';
COMMENT ON COLUMN mirusync.collections.pushable IS 'devices may change it';
COMMENT ON COLUMN mirusync.collections.role IS 'pushes run as this role; null: the owner of the table';
-- -------------------------------------------------------------------------
-- Syncing: what devices push and pull, by way of a relay.
--
-- C functions that are SECURITY DEFINER look up no name through search_path:
-- they reach their tables by OID, and the statements that they run qualify
-- tables, functions and operators.  While the application's triggers run below
-- push, search_path is that of mirusync.push_search_path.
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.push(user_id text, device text, batch jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_push'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.push(text, text, jsonb) IS
'push a batch of numbered changes of a user''s device; returns a verdict for each';

CREATE FUNCTION mirusync.push_many(users text[], devices text[],
	sessions text[], dialects text[], messages text[],
	OUT kind text, OUT message int, OUT status text, OUT feed text,
	OUT after bigint, OUT seq bigint, OUT session text, OUT code text,
	OUT body text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_push_many'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.push_many(text[], text[], text[], text[], text[]) IS
'for relays: push a group of messages of many users in one transaction';

CREATE FUNCTION mirusync.pull(user_id text, feed text,
	after bigint DEFAULT 0, max int DEFAULT 500)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_pull'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.pull(text, text, bigint, int) IS
'read a page of a feed: the records changed above a cursor, each once';

CREATE FUNCTION mirusync.seq_before(feed text, at timestamptz)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_seq_before'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.seq_before(text, timestamptz) IS
'cursor above which lies every record changed at a time or after it';

CREATE FUNCTION mirusync.heads(feeds text[], OUT feed text, OUT head bigint)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.feed, f.head FROM mirusync.feed f WHERE f.feed = ANY (feeds)
$$;
COMMENT ON FUNCTION mirusync.heads(text[]) IS
'for relays: numbers of the latest changes of feeds; feeds that do not exist are left out';

CREATE FUNCTION mirusync.ring(feeds text[])
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_ring'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.ring(text[]) IS
'for relays: tell other relays that feeds have moved';

CREATE FUNCTION mirusync.doorbell_hash(feed text)
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_doorbell_hash'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.doorbell_hash(text) IS
'hash by which a doorbell names a feed';

-- Major and minor version must agree between relay and extension.
CREATE FUNCTION mirusync.relay_hello(relay_version text, OUT version text,
	OUT compatible boolean, OUT doorbell_key bytea, OUT doorbell_shards int,
	OUT max_batches int)
RETURNS record
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.extversion,
		split_part(e.extversion, '.', 1) = split_part(relay_version, '.', 1)
			AND split_part(e.extversion, '.', 2)
				= split_part(relay_version, '.', 2),
		i.doorbell_key, 16, 60
	FROM pg_extension e, mirusync.instance i
	WHERE e.extname = 'mirusync'
$$;
COMMENT ON FUNCTION mirusync.relay_hello(text) IS
'for relays: whether the versions agree, and what a relay must know';

-- 60_events.sql
--     The event dialect: applications that speak in events of their own,
--     mapped to collections by the rows of two tables.  docs/events.md
--     explains them by an example; extension/event_map.c caches them.
--
-- SPDX-License-Identifier: PostgreSQL

-- Written by administrators and by create_practice_log(); read by the
-- extension.  How the records of a collection are checked and told of.
CREATE TABLE mirusync.event_collection (
	collection	text COLLATE "C" NOT NULL,
	normalise	regprocedure,
	clock_keys	text[] COLLATE "C" NOT NULL DEFAULT '{updatedAt,updated_at}',
	payload		text COLLATE "C" NOT NULL,
	id_key		text COLLATE "C" NOT NULL DEFAULT 'id',
	created_type text COLLATE "C",
	updated_type text COLLATE "C" NOT NULL,
	deleted_type text COLLATE "C",
	deleted_key	text COLLATE "C",
	bulk_type	text COLLATE "C",
	bulk_key	text COLLATE "C",
	catch_up_type text COLLATE "C",
	CONSTRAINT event_collection_pkey PRIMARY KEY (collection),
	CONSTRAINT event_collection_collection_check
		CHECK (octet_length(collection) BETWEEN 1 AND 255),
	CONSTRAINT event_collection_clock_keys_check
		CHECK (cardinality(clock_keys) <= 8
			AND coalesce(array_ndims(clock_keys), 1) = 1
			AND array_position(clock_keys, NULL) IS NULL
			AND array_position(clock_keys, '') IS NULL),
	CONSTRAINT event_collection_payload_check
		CHECK (payload NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq')),
	CONSTRAINT event_collection_id_key_check
		CHECK (id_key <> ''),
	CONSTRAINT event_collection_types_check
		CHECK (created_type <> '' AND updated_type <> ''
			AND deleted_type <> '' AND bulk_type <> ''
			AND catch_up_type <> ''),
	CONSTRAINT event_collection_deleted_check
		CHECK ((deleted_type IS NULL) = (deleted_key IS NULL)
			AND deleted_key NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq')),
	CONSTRAINT event_collection_bulk_check
		CHECK ((bulk_type IS NULL) = (bulk_key IS NULL)
			AND bulk_key NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq'))
);
COMMENT ON TABLE mirusync.event_collection IS 'event dialect: collections that events speak of';
COMMENT ON COLUMN mirusync.event_collection.collection IS 'collection';
COMMENT ON COLUMN mirusync.event_collection.normalise IS 'function (jsonb) returning jsonb that checks an object and gives it its stored form; null: none. It runs as the owner of the extension, so it should set its search_path';
COMMENT ON COLUMN mirusync.event_collection.clock_keys IS 'keys of the time of the object''s last change; the first one present counts';
COMMENT ON COLUMN mirusync.event_collection.payload IS 'key of the object in events that put one';
COMMENT ON COLUMN mirusync.event_collection.id_key IS 'key of the id in the object';
COMMENT ON COLUMN mirusync.event_collection.created_type IS 'type of the event for a record that SQL created; null: updated_type';
COMMENT ON COLUMN mirusync.event_collection.updated_type IS 'type of the event for a record that SQL changed, and for the winner over a put that came too late';
COMMENT ON COLUMN mirusync.event_collection.deleted_type IS 'type of the delete event; null: a delete is sent as updated_type, with deletedAt in the object';
COMMENT ON COLUMN mirusync.event_collection.deleted_key IS 'key of the id in the delete event';
COMMENT ON COLUMN mirusync.event_collection.bulk_type IS 'type of the message with many records for one that catches up; null: one event each';
COMMENT ON COLUMN mirusync.event_collection.bulk_key IS 'key of the list in that message';
COMMENT ON COLUMN mirusync.event_collection.catch_up_type IS 'without bulk_type: type of the event for one that catches up; null: updated_type';

-- Written and read like event_collection.  What the types of events mean that
-- devices send: a row for each object, list of objects or id in them.
CREATE TABLE mirusync.event_type (
	type		text COLLATE "C" NOT NULL,
	part		int NOT NULL DEFAULT 1,
	collection	text COLLATE "C" NOT NULL,
	kind		text COLLATE "C" NOT NULL,
	payload		text COLLATE "C",
	is_list		boolean NOT NULL DEFAULT false,
	id_keys		text[] COLLATE "C" NOT NULL DEFAULT '{id}',
	CONSTRAINT event_type_pkey PRIMARY KEY (type, part),
	CONSTRAINT event_type_collection_fkey FOREIGN KEY (collection)
		REFERENCES mirusync.event_collection (collection)
		ON UPDATE CASCADE ON DELETE CASCADE,
	CONSTRAINT event_type_type_check
		CHECK (octet_length(type) BETWEEN 1 AND 255),
	CONSTRAINT event_type_part_check
		CHECK (part >= 1),
	CONSTRAINT event_type_kind_check
		CHECK (kind IN ('put', 'delete')),
	CONSTRAINT event_type_payload_check
		CHECK ((kind = 'delete' OR payload IS NOT NULL)
			AND payload NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq')),
	CONSTRAINT event_type_is_list_check
		CHECK (NOT is_list OR (kind = 'put' AND part > 1)),
	CONSTRAINT event_type_id_keys_check
		CHECK (cardinality(id_keys) BETWEEN 1 AND 8
			AND array_ndims(id_keys) = 1
			AND array_position(id_keys, NULL) IS NULL
			AND array_position(id_keys, '') IS NULL)
);
CREATE INDEX event_type_collection ON mirusync.event_type (collection);
COMMENT ON TABLE mirusync.event_type IS 'event dialect: what the types of events mean';
COMMENT ON INDEX mirusync.event_type_collection IS 'for the foreign key';
COMMENT ON COLUMN mirusync.event_type.type IS 'type of the event';
COMMENT ON COLUMN mirusync.event_type.part IS 'parts of one event are applied together, in this order; the first is its main object';
COMMENT ON COLUMN mirusync.event_type.collection IS 'collection of the part';
COMMENT ON COLUMN mirusync.event_type.kind IS 'put or delete';
COMMENT ON COLUMN mirusync.event_type.payload IS 'key of the object or list; of a delete: of the image that may come along, or null';
COMMENT ON COLUMN mirusync.event_type.is_list IS 'under payload there may be an array of objects; not of the first part';
COMMENT ON COLUMN mirusync.event_type.id_keys IS 'keys of the id in the object, or in the event of a delete, tried in turn';

-- The mapping is the administrator's data: a dump keeps it.
SELECT pg_catalog.pg_extension_config_dump('mirusync.event_collection', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.event_type', '');

CREATE FUNCTION mirusync.mapping_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_mapping_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.mapping_changed() IS 'trigger function: makes every backend read the event mapping again';
REVOKE ALL ON FUNCTION mirusync.mapping_changed() FROM PUBLIC;

CREATE TRIGGER mapping_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.event_collection
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.mapping_changed();
ALTER TABLE mirusync.event_collection ENABLE ALWAYS TRIGGER mapping_changed;
COMMENT ON TRIGGER mapping_changed ON mirusync.event_collection IS 'makes every backend read the event mapping again';

CREATE TRIGGER mapping_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.event_type
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.mapping_changed();
ALTER TABLE mirusync.event_type ENABLE ALWAYS TRIGGER mapping_changed;
COMMENT ON TRIGGER mapping_changed ON mirusync.event_type IS 'makes every backend read the event mapping again';

-- What a relay reads.  Runs as the owner of the extension, but without SET
-- search_path: a C function looks no name up, and setting and resetting it
-- would cost each call more than reading an empty page does.
CREATE FUNCTION mirusync.pull_events(feed text, after bigint, max int,
	live boolean)
RETURNS TABLE (kind text, after bigint, seq bigint, head bigint,
	complete boolean, session text, body text)
AS 'MODULE_PATHNAME', 'mirusync_pull_events'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER
COST 1000 ROWS 100;
COMMENT ON FUNCTION mirusync.pull_events(text, bigint, int, boolean) IS 'event dialect: a page of a feed as finished messages, for a relay';
REVOKE ALL ON FUNCTION mirusync.pull_events(text, bigint, int, boolean) FROM PUBLIC;
-- 65_documents.sql
--     The document store: records without a table of their own.
--
-- It is an attached table like any other, but for two columns: one names the
-- collection, and one keeps the fields, as JSON.  So plain SQL on it counts as
-- much as the functions below, which are there for convenience.
--
-- SPDX-License-Identifier: PostgreSQL

-- Written by anybody who may; each row is a document.
CREATE TABLE mirusync.document (
	feed		text COLLATE "C" NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	data		jsonb NOT NULL,
	CONSTRAINT document_pkey PRIMARY KEY (feed, collection, id)
);
COMMENT ON TABLE mirusync.document IS 'document store: records without a table of their own';
COMMENT ON COLUMN mirusync.document.feed IS 'feed of the document';
COMMENT ON COLUMN mirusync.document.collection IS 'its collection, made by create_collection()';
COMMENT ON COLUMN mirusync.document.id IS 'its id, one document per feed and collection';
COMMENT ON COLUMN mirusync.document.data IS 'the document; its top-level keys are the fields';

SELECT pg_catalog.pg_extension_config_dump('mirusync.document', '');

INSERT INTO mirusync.attached
	(relation, feed_column, collection_column, data_column)
VALUES ('mirusync.document', 'feed', 'collection', 'data');

-- The trigger also sees to it that a document is an object, and that the rows
-- of a dump do not count as changes (extension/capture.c).  A CHECK and a WHEN
-- would say so here, but Postgres parses both anew for every statement, which
-- took a tenth of a push.
CREATE TRIGGER "!mirusync_capture"
	AFTER INSERT OR UPDATE OR DELETE ON mirusync.document
	FOR EACH ROW EXECUTE FUNCTION mirusync.capture();
ALTER TABLE mirusync.document ENABLE ALWAYS TRIGGER "!mirusync_capture";
COMMENT ON TRIGGER "!mirusync_capture" ON mirusync.document IS
'notes which rows change, except when a dump is restored';

CREATE TRIGGER "!mirusync_truncate"
	BEFORE TRUNCATE ON mirusync.document
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.capture();
ALTER TABLE mirusync.document ENABLE ALWAYS TRIGGER "!mirusync_truncate";
COMMENT ON TRIGGER "!mirusync_truncate" ON mirusync.document IS
'notes every row as deleted';

-- The functions run as their caller and need the same rights on the table as
-- the statements in them.
CREATE FUNCTION mirusync.put(feed text, collection text, id text, data jsonb)
RETURNS void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO mirusync.document AS d (feed, collection, id, data)
	VALUES (put.feed, put.collection, put.id, put.data)
	ON CONFLICT (feed, collection, id) DO UPDATE SET data = excluded.data;
$$;
COMMENT ON FUNCTION mirusync.put(text, text, text, jsonb) IS
'store a whole document';

CREATE FUNCTION mirusync.patch(feed text, collection text, id text,
	data jsonb, remove text[] DEFAULT '{}')
RETURNS jsonb
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE mirusync.document d
	SET data = (d.data - patch.remove) || patch.data
	WHERE d.feed = patch.feed AND d.collection = patch.collection
		AND d.id = patch.id
	RETURNING d.data;
$$;
COMMENT ON FUNCTION mirusync.patch(text, text, text, jsonb, text[]) IS
'remove some fields of a document and set others; returns it, null if there is none';

CREATE FUNCTION mirusync.get(feed text, collection text, id text)
RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.data FROM mirusync.document d
	WHERE d.feed = get.feed AND d.collection = get.collection
		AND d.id = get.id;
$$;
COMMENT ON FUNCTION mirusync.get(text, text, text) IS
'read a document; null if there is none';

CREATE FUNCTION mirusync.delete(feed text, collection text, id text)
RETURNS boolean
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH deleted AS (
		DELETE FROM mirusync.document d
		WHERE d.feed = delete.feed AND d.collection = delete.collection
			AND d.id = delete.id
		RETURNING d.id
	)
	SELECT EXISTS (SELECT FROM deleted);
$$;
COMMENT ON FUNCTION mirusync.delete(text, text, text) IS
'delete a document; false if there is none';
-- 70_practice_log.sql
--     The practice log: what its objects look like (extension/practice_log.c)
--     and the events that carry them.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE FUNCTION mirusync.practice_entry(entry jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_entry'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_entry(jsonb) IS
'check and normalise a logbook entry of the practice log';

CREATE FUNCTION mirusync.practice_piece(piece jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_piece'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_piece(jsonb) IS
'check and normalise a repertoire item of the practice log';

CREATE FUNCTION mirusync.practice_plan(plan jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_plan'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_plan(jsonb) IS
'check and normalise a practice plan of the practice log';

CREATE FUNCTION mirusync.practice_occurrence(occurrence jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_occurrence'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_occurrence(jsonb) IS
'check and normalise an occurrence of a plan of the practice log';

-- Everything that makes the event dialect speak of the practice log is in
-- these rows.  What is there already stays: a second call changes nothing,
-- nor does it undo what an administrator changed.
CREATE FUNCTION mirusync.create_practice_log()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stamps constant text[] := '{updatedAt,updated_at}';
	collection_name text;
BEGIN
	-- Two at once: the second waits here, and then finds all done.
	LOCK TABLE mirusync.event_collection IN SHARE ROW EXCLUSIVE MODE;

	FOREACH collection_name IN ARRAY ARRAY['logbook_entry',
		'repertoire_item', 'practice_plan', 'plan_occurrence']
	LOOP
		IF NOT EXISTS (SELECT FROM mirusync.collection c
					   WHERE c.name = collection_name) THEN
			PERFORM mirusync.create_collection(collection_name,
											   rule => 'lww');
		END IF;
	END LOOP;

	INSERT INTO mirusync.event_collection
		(collection, normalise, clock_keys, payload, id_key,
		 created_type, updated_type, deleted_type, deleted_key,
		 bulk_type, bulk_key, catch_up_type)
	VALUES
		('logbook_entry', 'mirusync.practice_entry(jsonb)',
		 stamps, 'entry', 'id',
		 'ENTRY_CREATED', 'ENTRY_UPDATED', 'ENTRY_DELETED', 'entryId',
		 'BULK_SYNC', 'entries', NULL),
		('repertoire_item', 'mirusync.practice_piece(jsonb)',
		 stamps, 'piece', 'scoreId',
		 'PIECE_ADDED', 'PIECE_UPDATED', 'PIECE_REMOVED', 'scoreId',
		 'REPERTOIRE_BULK_SYNC', 'pieces', NULL),
		-- no delete event: a tombstone goes out as the object it was
		('practice_plan', 'mirusync.practice_plan(jsonb)',
		 stamps, 'plan', 'id',
		 'PLAN_CREATED', 'PLAN_UPDATED', NULL, NULL,
		 NULL, NULL, 'PLAN_UPDATED'),
		('plan_occurrence', 'mirusync.practice_occurrence(jsonb)',
		 stamps, 'occurrence', 'id',
		 'PLAN_OCCURRENCE_COMPLETED', 'PLAN_OCCURRENCE_COMPLETED', NULL, NULL,
		 NULL, NULL, 'PLAN_OCCURRENCE_COMPLETED')
	ON CONFLICT DO NOTHING;

	INSERT INTO mirusync.event_type
		(type, part, collection, kind, payload, is_list, id_keys)
	VALUES
		('ENTRY_CREATED', 1, 'logbook_entry', 'put', 'entry', false, '{id}'),
		('ENTRY_UPDATED', 1, 'logbook_entry', 'put', 'entry', false, '{id}'),
		('ENTRY_DELETED', 1, 'logbook_entry', 'delete', NULL, false,
		 '{entryId}'),
		('PIECE_ADDED', 1, 'repertoire_item', 'put', 'piece', false,
		 '{scoreId,score_id,id}'),
		('PIECE_UPDATED', 1, 'repertoire_item', 'put', 'piece', false,
		 '{scoreId,score_id,id}'),
		-- the piece may come along, as the image of what is deleted
		('PIECE_REMOVED', 1, 'repertoire_item', 'delete', 'piece', false,
		 '{scoreId}'),
		('PIECE_DISSOCIATED', 1, 'repertoire_item', 'delete', 'piece', false,
		 '{scoreId}'),
		('PLAN_CREATED', 1, 'practice_plan', 'put', 'plan', false, '{id}'),
		('PLAN_CREATED', 2, 'plan_occurrence', 'put', 'occurrences', true,
		 '{id}'),
		('PLAN_UPDATED', 1, 'practice_plan', 'put', 'plan', false, '{id}'),
		('PLAN_UPDATED', 2, 'plan_occurrence', 'put', 'occurrences', true,
		 '{id}'),
		('PLAN_OCCURRENCE_COMPLETED', 1, 'plan_occurrence', 'put',
		 'occurrence', false, '{id}')
	ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION mirusync.create_practice_log() IS
'create the collections and the event mapping of the practice log';
-- -------------------------------------------------------------------------
-- Rights.  Nobody but the owner may do anything, except what is granted here
-- and by grant_relay().
-- -------------------------------------------------------------------------

REVOKE ALL ON ALL TABLES IN SCHEMA mirusync FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mirusync FROM PUBLIC;

-- The type hlc is for everybody: its functions tell nothing.
DO $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'mirusync'::pg_catalog.regnamespace
			AND p.proname LIKE 'hlc%'
	LOOP
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', f);
	END LOOP;
END
$$;

CREATE FUNCTION mirusync.grant_relay(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format(
		'GRANT EXECUTE ON FUNCTION mirusync.relay_hello(text),
			mirusync.push_many(text[], text[], text[], text[], text[]),
			mirusync.pull_events(text, bigint, int, boolean),
			mirusync.seq_before(text, timestamptz),
			mirusync.heads(text[]), mirusync.ring(text[]) TO %s', role);
END
$$;
COMMENT ON FUNCTION mirusync.grant_relay(regrole) IS
'let a role do what a relay does, and nothing else';
REVOKE ALL ON FUNCTION mirusync.grant_relay(regrole) FROM PUBLIC;

-- What a dump must carry besides the registry (30_registry.sql).
SELECT pg_catalog.pg_extension_config_dump('mirusync.feed', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.record', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.change_log', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.verdict', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.device', '');
