-- 77_retention.sql
--     Retention: how long history and tombstones are kept.
--
-- SPDX-License-Identifier: PostgreSQL

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
