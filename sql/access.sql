-- Who may have a session: revocations, real-time sync, used tickets.
SET client_min_messages = warning;

-- A user, a device, and a user again: what was said of devices is then moot.
SELECT mirusync.revoke('anna', 'phone');
SELECT mirusync.revoke('anna', 'tablet');
SELECT mirusync.revoke('bob');
SELECT user_id, device, revoked_at BETWEEN extract(epoch FROM now())::bigint - 5 AND extract(epoch FROM clock_timestamp()) AS now, realtime
	FROM mirusync.relay_access('{anna,bob,carol}') ORDER BY 1, 2;
SELECT mirusync.revoke(user_id => 'anna');
SELECT user_id, device, realtime FROM mirusync.relay_access('{anna}') ORDER BY 1, 2;
SELECT mirusync.revoke('anna', device_id => 'phone');
SELECT user_id, device, realtime FROM mirusync.relay_access('{anna}') ORDER BY 1, 2;

-- A revocation is never taken back by an earlier one, as of a clock set back.
UPDATE mirusync.revocation SET revoked_at = '2100-01-01' WHERE user_id = 'bob';
SELECT mirusync.revoke('bob');
SELECT revoked_at FROM mirusync.relay_access('{bob}');

-- Real-time sync off, twice, and on.
SELECT mirusync.set_realtime('carol', false);
SELECT mirusync.set_realtime('carol', false);
SELECT * FROM mirusync.relay_access('{carol}');
SELECT mirusync.set_realtime('carol', true);
SELECT * FROM mirusync.relay_access('{carol}');
SELECT * FROM mirusync.relay_access('{}');

-- A ticket works once, and for one user; an expired one not at all.
SELECT mirusync.relay_redeem('anna', 'aa01', now() + '30 s');
SELECT mirusync.relay_redeem('anna', 'aa01', now() + '30 s');
SELECT mirusync.relay_redeem('bob', 'aa01', now() + '30 s');
SELECT mirusync.relay_redeem('anna', 'aa02', now() - interval '1 ms');
SELECT count(*) FROM mirusync.spent_ticket;

-- The table keeps none that has expired, and not too many of anybody.
UPDATE mirusync.spent_ticket SET expires_at = now() - interval '1 min';
SELECT mirusync.relay_redeem('dora', 'aa03', now() + '30 s');
SELECT user_id, hash FROM mirusync.spent_ticket;
SELECT count(*) FROM generate_series(1, 1100) i WHERE mirusync.relay_redeem('dora', lpad(to_hex(i), 8, '0'), now() + '30 s');
SELECT count(*) FROM mirusync.spent_ticket WHERE user_id = 'dora';
SELECT mirusync.relay_redeem('emma', 'aa04', now() + '30 s');

-- Errors
\set VERBOSITY sqlstate
SELECT mirusync.revoke(NULL);
SELECT mirusync.revoke('');
SELECT mirusync.revoke('anna', '');
SELECT mirusync.set_realtime(NULL, true);
SELECT mirusync.set_realtime('', true);
SELECT mirusync.set_realtime('anna', NULL);
SELECT mirusync.relay_redeem('anna', 'no hex', now() + '30 s');
\set VERBOSITY default

-- The relay may ask, and turn nobody out; who may is the owner's to say.
CREATE ROLE regress_mirusync_relay;
CREATE ROLE regress_mirusync_backend;
SELECT mirusync.grant_relay('regress_mirusync_relay');
GRANT USAGE ON SCHEMA mirusync TO regress_mirusync_backend;
GRANT EXECUTE ON FUNCTION mirusync.revoke(text, text) TO regress_mirusync_backend;
SET ROLE regress_mirusync_relay;
SELECT count(*) FROM mirusync.relay_access('{anna}');
SELECT mirusync.relay_redeem('anna', 'aa05', now() + '30 s');
SELECT mirusync.revoke('anna');
SELECT mirusync.set_realtime('anna', true);
SELECT mirusync.ring_access('anna');
SELECT * FROM mirusync.revocation;
SELECT * FROM mirusync.spent_ticket;
SET ROLE regress_mirusync_backend;
SELECT mirusync.revoke('frida');
SELECT mirusync.relay_access('{frida}');
RESET ROLE;
SELECT user_id FROM mirusync.revocation ORDER BY 1;

-- What no token can bring up any more goes, ten rows at a time.
DELETE FROM mirusync.revocation;
INSERT INTO mirusync.revocation SELECT 'old ' || i, '', now() - interval '50 hours' - i * interval '1 s' FROM generate_series(1, 25) i;
INSERT INTO mirusync.revocation VALUES ('young', '', now() - interval '47 hours');
SELECT mirusync.revoke('anna');
SELECT count(*) FROM mirusync.revocation;
SET mirusync.token_lifetime_max = '1d';
SELECT mirusync.revoke('anna');
SELECT count(*), count(*) FILTER (WHERE user_id IN ('old 25', 'old 16')) AS oldest FROM mirusync.revocation;
SELECT mirusync.revoke(u, 'phone') FROM unnest('{anna,bert}'::text[]) u;
SELECT user_id, device FROM mirusync.revocation ORDER BY 1, 2;
-- Who may not say how long tokens live does not say it, loaded or not.
SET ROLE regress_mirusync_backend;
SET mirusync.token_lifetime_max = '1s';
\c -
SET client_min_messages = error;
SET ROLE regress_mirusync_backend;
DO $$
BEGIN
	SET mirusync.token_lifetime_max = '1s';
EXCEPTION WHEN insufficient_privilege THEN
	NULL;
END
$$;
SELECT mirusync.revoke('carl');
RESET ROLE;
SELECT count(*) FROM mirusync.revocation;

DELETE FROM mirusync.revocation;
DELETE FROM mirusync.spent_ticket;
DROP OWNED BY regress_mirusync_relay, regress_mirusync_backend;
DROP ROLE regress_mirusync_relay, regress_mirusync_backend;
