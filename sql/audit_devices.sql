-- Devices, feeds and counts; then reports that are wrong.
CREATE FUNCTION report(device text, report jsonb, epoch int DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('odile', device, jsonb_strip_nulls(jsonb_build_object('changes', '[]'::jsonb, 'report', report, 'epoch', epoch))) -> 'verdicts'
$$;
SELECT mirusync.create_collection('note');
SELECT mirusync.put('odile', 'note', 'o' || i, '{}') FROM generate_series(1, 5) i;
SELECT mirusync.delete('odile', 'note', 'o1');
SELECT mirusync.push('odile', 'phone', '{"changes": [
	{"number": 1, "kind": "put", "collection": "note", "id": "o9", "fields": {}},
	{"number": 2, "kind": "put", "collection": "none", "id": "o9", "fields": {}}],
	"report": {"cursor": 4, "unsent": 3, "version": "web 1.4", "clock": "2020-01-01T00:00:00Z"}}') -> 'verdicts' -> 1 -> 'code';

SELECT mirusync.push('odile', 'tablet', '{"changes": [], "report": {"cursor": 6}}') -> 'verdicts';

SELECT device, cursor, behind, below_floor, unsent, version, skew_ms < -60000 AS slow, verdicts, rejected
FROM mirusync.devices WHERE user_id = 'odile' ORDER BY device;
SELECT head, floor, records, tombstones, changes, devices, below_floor, open_conflicts, rejected
FROM mirusync.feeds WHERE feed = 'odile';
ANALYZE mirusync.change_log;
SELECT what, name, count > 0 AS count, bytes > 0 AS bytes FROM mirusync.stats
WHERE what = 'table' AND name = 'change_log' OR what = 'rejected' AND name = 'MS002' ORDER BY what;
SELECT now() - seen_at < '1 minute' AS just_now FROM mirusync.devices WHERE user_id = 'odile' AND device = 'phone';
-- What a report does not say stays, but for the cursor and what is unsent.
SELECT report('phone', '{"unsent": 0}');
SELECT cursor, unsent, version, skew_ms < -60000 AS slow FROM mirusync.device WHERE user_id = 'odile' AND device = 'phone';
-- A cursor that the feed has not come to, or of a history that was lost.
SELECT report('phone', '{"cursor": 99}'), report('tablet', '{"cursor": 3}', 2000000);
SELECT device, cursor FROM mirusync.device WHERE user_id = 'odile' ORDER BY device;
-- No report, no second write of the row.
SELECT mirusync.push('odile', 'tablet', '{"changes": []}') -> 'verdicts';
SELECT cursor FROM mirusync.device WHERE user_id = 'odile' AND device = 'tablet';
-- What is asked of one user is found by index.
CREATE FUNCTION scans(statement text) RETURNS SETOF text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		IF line ~ 'Scan' THEN
			RETURN NEXT substring(line FROM '(\w+ Scan.*)');
		END IF;
	END LOOP;
END $$;
SELECT DISTINCT s FROM scans('SELECT * FROM mirusync.devices WHERE user_id = ''odile''') s WHERE s LIKE 'Seq%';
SELECT DISTINCT s FROM scans('SELECT * FROM mirusync.feeds WHERE feed = ''odile''') s WHERE s LIKE 'Seq%';
-- (What is not, is seen to be so.)
SELECT DISTINCT s FROM scans('SELECT * FROM mirusync.feed WHERE epoch = 7') s;
DROP FUNCTION scans;

-- Errors
\set VERBOSITY terse
SELECT report('phone', '[]');
SELECT report('phone', '7');
SELECT report('phone', '{"cursor": -1}');
SELECT report('phone', '{"cursor": "4"}');
SELECT report('phone', '{"unsent": 1.5}');
SELECT report('phone', '{"version": 4}');
SELECT report('phone', jsonb_build_object('version', repeat('x', 10240)));
SELECT report('phone', jsonb_build_object('version', e'1"; \u0001''')) AS odd;
SELECT version FROM mirusync.devices WHERE user_id = 'odile' AND device = 'phone';
SELECT report('phone', '{"clock": "now"}');
SELECT report('phone', '{"clock": "9999-01-01T00:00:00Z"}') AS far;
SELECT count(*) FROM mirusync.devices WHERE user_id = 'nobody';
SELECT count(*) FROM mirusync.feeds WHERE feed = 'nobody';
DROP FUNCTION report;
DELETE FROM mirusync.refusal WHERE feed = 'odile';
