-- Doorbells: who rings, where, and what a ring tells.
SET client_min_messages = warning;
SELECT mirusync.create_collection('bell_test');
SELECT format('LISTEN mirusync_%s', i) FROM generate_series(0, 15) i \gexec

-- The channel follows from the hash, and the hash tells no name.
SELECT length(mirusync.doorbell_hash('anna')),
	mirusync.doorbell_hash('anna') <> mirusync.doorbell_hash('ben') AS differs,
	mirusync.doorbell_hash('anna') = left(encode(sha256(
		(SELECT doorbell_key FROM mirusync.instance) || 'anna'), 'hex'), 16) AS documented;

-- psql prints what it hears as "Asynchronous notification": the hash is
-- another in every database, so only settings are tried here; that rings
-- arrive is tried end to end (test/e2e/sql.test.mjs, relays.test.mjs).
SHOW mirusync.doorbell;
SET mirusync.doorbell = 'off';
SELECT mirusync.put('bell', 'bell_test', '1', '{}');
SET mirusync.doorbell = 'loud';
RESET mirusync.doorbell;
SHOW mirusync.max_clock_skew;
SHOW mirusync.note_memory;
SET mirusync.note_memory = '1kB';
SET mirusync.nonsense = 1;
UNLISTEN *;

-- Whose worker there is, and who may ask.  What a worker does is tried end to
-- end (test/e2e/worker.test.mjs); here the library need not be preloaded.
SELECT state IN ('not preloaded', 'starting', 'running') AS known,
	(pid IS NULL) = (state = 'not preloaded') AS consistent, waiting, overflows
	FROM mirusync.worker_status();
CREATE ROLE regress_mirusync_watcher;
SET ROLE regress_mirusync_watcher;
SELECT * FROM mirusync.worker_status();
RESET ROLE;
SELECT mirusync.grant_auditor('regress_mirusync_watcher');
SET ROLE regress_mirusync_watcher;
SELECT count(*) FROM mirusync.worker_status();
RESET ROLE;
DROP OWNED BY regress_mirusync_watcher;
DROP ROLE regress_mirusync_watcher;
