-- -------------------------------------------------------------------------
-- Who may have a session: revocations, users without real-time sync, and
-- tickets that were used.  Written here only; relays ask (docs/auth.md).
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
