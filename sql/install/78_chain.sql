-- 78_chain.sql
--     Tamper evidence: chains of hashes, and checking them.
--
-- docs/internals/chain.md says what is hashed, and what it is good for.
--
-- SPDX-License-Identifier: PostgreSQL

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
