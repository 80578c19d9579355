-- 79_erasure.sql
--     Erasing what history holds of a record, or of a whole feed.
--
-- extension/erase.c goes through history and state; what is SQL of it is here.
--
-- SPDX-License-Identifier: PostgreSQL

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
