-- 40_conflicts.sql
--     Conflicts, and resolving them.
--
-- SPDX-License-Identifier: PostgreSQL

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
