-- 35_backfill.sql
--     Going through large tables while the application writes to them.
--
-- The procedures commit as they go, so they set nothing and are no security
-- definers: Postgres refuses COMMIT in those.  They are in C and look no name
-- up.  They check that their caller owns the table.
--
-- SPDX-License-Identifier: PostgreSQL

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
