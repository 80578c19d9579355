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
AS 'MODULE_PATHNAME', 'mirusync_push_0_2'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.push(text, text, jsonb) IS
'push a batch of numbered changes of a user''s device; returns a verdict for each';

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

CREATE FUNCTION mirusync.pull(user_id text, feed text,
	after bigint DEFAULT 0, max int DEFAULT 500,
	epoch int DEFAULT NULL, seen bigint DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_pull_0_2'
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.pull(text, text, bigint, int, int, bigint) IS
'read a page of a feed: the records changed above a cursor, each once';

CREATE FUNCTION mirusync.seq_before(feed text, at timestamptz)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_seq_before_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.seq_before(text, timestamptz) IS
'packed cursor above which lies every record changed at a time or after it';

CREATE FUNCTION mirusync.heads(feeds text[], OUT feed text, OUT head bigint)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.feed, (f.epoch::bigint << 32) + f.head
	FROM mirusync.feed f WHERE f.feed = ANY (feeds)
$$;
COMMENT ON FUNCTION mirusync.heads(text[]) IS
'for relays: packed cursors of the latest changes of feeds; feeds that do not exist are left out';

CREATE FUNCTION mirusync.ring(feeds text[])
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_ring_0_2'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.ring(text[]) IS
'for relays: tell other relays that feeds have moved';

CREATE FUNCTION mirusync.doorbell_hash(feed text)
RETURNS text
AS 'MODULE_PATHNAME', 'mirusync_doorbell_hash_0_2'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.doorbell_hash(text) IS
'hash by which a doorbell names a feed';

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
