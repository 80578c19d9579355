-- -------------------------------------------------------------------------
-- Rights.  Nobody but the owner may do anything, except what is granted here,
-- by grant_relay() and by grant_auditor().
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.grant_relay(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format(
		'GRANT EXECUTE ON FUNCTION mirusync.relay_hello(text),
			mirusync.push_many(text[], text[], text[], text[], text[], text[]),
			mirusync.pull_events(text, bigint, int, boolean, bigint, text[]),
			mirusync.seq_before(text, timestamptz),
			mirusync.heads(text[]), mirusync.ring(text[]),
			mirusync.relay_access(text[]),
			mirusync.relay_redeem(text, text, timestamptz),
			mirusync.relay_history(text, text, text, bigint, int),
			mirusync.relay_conflicts(text, text, text, bigint, int) TO %s', role);
END
$$;
COMMENT ON FUNCTION mirusync.grant_relay(regrole) IS
'let a role do what a relay does, and nothing else';

-- By rule, so that what a later version adds is covered: every table and view
-- but the one with the secrets, and the functions that can do no more than
-- their caller could by himself.  Those in C are not among them: they may read
-- our tables without asking for his rights.  worker_status() reads none,
-- and the others tell what an auditor finds in the history anyway.
CREATE FUNCTION mirusync.grant_auditor(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	object text;
BEGIN
	FOR object IN
		SELECT format('TABLE %s', c.oid::regclass)
		FROM pg_class c
		WHERE c.relnamespace = 'mirusync'::regnamespace
			AND c.relkind IN ('r', 'p', 'v', 'm')
			AND c.oid <> 'mirusync.instance'::regclass
		UNION ALL
		SELECT format('FUNCTION %s', p.oid::regprocedure)
		FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		WHERE p.pronamespace = 'mirusync'::regnamespace
			AND p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql')
			AND p.provolatile <> 'v' AND NOT p.prosecdef
		UNION ALL
		SELECT unnest(ARRAY['FUNCTION mirusync.worker_status()',
			'FUNCTION mirusync.stored(text, text, text)',
			'FUNCTION mirusync.field_stamps(text, text, text)',
			'FUNCTION mirusync.chain_faults(text, bigint, text)'])
	LOOP
		EXECUTE format('GRANT %s ON %s TO %s',
			CASE WHEN object LIKE 'TABLE%' THEN 'SELECT' ELSE 'EXECUTE' END,
			object, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION mirusync.grant_auditor(regrole) IS
'let a role read everything but the secrets of the installation, and change nothing';

REVOKE ALL ON ALL TABLES IN SCHEMA mirusync FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA mirusync FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA mirusync FROM PUBLIC;

-- Who makes or attaches a partition copies the triggers of its table, which
-- takes the right to execute their function.  It does nothing unless called as
-- a trigger, and on a table that is not attached it only fails.
GRANT EXECUTE ON FUNCTION mirusync.capture() TO PUBLIC;

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

-- A table's policies, defaults and triggers ask who is pushing as whoever
-- writes to it.  The last one tells names of columns, as pg_attribute does
-- anyway; it is for those who may read the view.
GRANT EXECUTE ON FUNCTION mirusync.user_id(), mirusync.device_id(),
	mirusync.synced_columns(regclass, name, boolean) TO PUBLIC;

-- What a dump must carry besides the registry (30_registry.sql).
SELECT pg_catalog.pg_extension_config_dump('mirusync.epoch', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.feed', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.feed_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.record', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.change_log', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.verdict', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.device', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.revocation', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.realtime_off', '');
