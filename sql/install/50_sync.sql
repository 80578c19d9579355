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

