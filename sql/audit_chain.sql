-- Tamper evidence: chains of hashes, and what verify() finds.
SET client_min_messages = warning;
SELECT mirusync.create_collection('minute', 'lww_field'), mirusync.create_collection('ledger', 'lww_field');
CREATE TABLE paper (
	owner text NOT NULL,
	id int PRIMARY KEY,
	title text,
	pages int,
	day date,
	tags jsonb
);
CREATE TABLE margin (
	owner text NOT NULL,
	id int PRIMARY KEY,
	paper int REFERENCES paper ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX ON paper (owner);
SELECT mirusync.attach('paper', feed => 'owner', rule => 'lww_field'), mirusync.attach('margin', feed => 'owner');
SELECT mirusync.set_rule('paper', 'pages', 'counter'), mirusync.set_rule('paper', 'tags', 'set');
CREATE FUNCTION push(device text, changes jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', v ->> 'verdict', v ->> 'seq', v ->> 'code'), ', ')
	FROM jsonb_array_elements(mirusync.push('chloe', device, jsonb_build_object('changes', changes)) -> 'verdicts') v
$$;
-- tamper does something behind the history's back, asks verify, and takes it back.
CREATE FUNCTION tamper(what text, feed text = 'chloe', head bigint = NULL, hash text = NULL)
RETURNS TABLE (problem text, seq bigint, detail text) LANGUAGE plpgsql AS $$
DECLARE
	found jsonb;
BEGIN
	BEGIN
		EXECUTE what;
		SELECT jsonb_agg(v) INTO found FROM mirusync.verify(feed, head, hash) v;
		RAISE EXCEPTION 'back' USING ERRCODE = 'MS099';
	EXCEPTION WHEN SQLSTATE 'MS099' THEN
		NULL;
	END;
	RETURN QUERY SELECT f.problem, f.seq, f.detail FROM jsonb_to_recordset(found) AS f(problem text, seq bigint, detail text);
END $$;

-- Without a chain there is no hash.  It is switched on for all feeds, those to
-- come included, and begins at the head of those that are there.
SELECT mirusync.put('chloe', 'minute', 'before', '{"n": 1}'), mirusync.put('claude', 'minute', 'before', '{"n": 1}');
SELECT count(hash), count(salt) FROM mirusync.change_log WHERE feed = 'chloe';
SELECT * FROM mirusync.chain_head('chloe');
SELECT count(*) FROM mirusync.export_chain('chloe');
SELECT mirusync.set_chain(true);
SELECT seq, hash FROM mirusync.chain_head('chloe');
SELECT * FROM mirusync.chain WHERE feed = 'chloe';

-- All ways of writing; each gives one hash a change, and no fault.
INSERT INTO paper VALUES ('chloe', 1, E'Quote " back \\ tab \t bell \x07 ümlaut', 1, '2026-02-03', '["a"]'), ('chloe', 2, NULL, 2, NULL, '[]');
INSERT INTO margin VALUES ('chloe', 1, 1), ('chloe', 2, 2);
SELECT push('phone', '[{"number": 1, "kind": "patch", "collection": "paper", "id": "1", "fields": {"title": "phone"}, "add": {"pages": 5, "tags": ["b", "c"]}, "base": 3, "clock": "2026-01-01T09:00:00Z"},
	{"number": 2, "kind": "put", "collection": "minute", "id": "m", "fields": {"n": 1.50, "t": "x"}, "base": 3},
	{"number": 3, "kind": "patch", "collection": "minute", "id": "m", "fields": {"n": 2}, "base": 3},
	{"number": 4, "kind": "put", "collection": "paper", "id": "x", "fields": {}, "base": 3}]');
SELECT push('tablet', '[{"number": 1, "kind": "patch", "collection": "paper", "id": "1", "fields": {"title": "tablet", "day": "2026-05-06"}, "remove": {"tags": ["a"]}, "base": 5, "clock": "2026-01-01T08:00:00Z"},
	{"number": 2, "kind": "patch", "collection": "minute", "id": "m", "fields": {"t": "old"}, "base": 5, "clock": "2025-01-01T08:00:00Z"}]');
UPDATE paper SET pages = pages + 1;
BEGIN;
SAVEPOINT a;
UPDATE paper SET title = 'never';
ROLLBACK TO a;
UPDATE paper SET id = 3 WHERE id = 2;
COMMIT;
DELETE FROM paper WHERE id = 1;
SELECT mirusync.delete('chloe', 'minute', 'm');
SELECT push('phone', '[{"number": 5, "kind": "put", "collection": "minute", "id": "m", "fields": {"n": 3}, "base": 15}]');
UPDATE paper SET owner = 'claude' WHERE id = 3;
UPDATE paper SET owner = 'chloe', title = 'again' WHERE id = 3;
SELECT mirusync.explain_push('chloe', 'phone', '{"kind": "patch", "collection": "minute", "id": "m", "fields": {"n": 9}}') #>> '{verdict,verdict}' AS a_dry_run;
SELECT seq, kind, verdict, octet_length(hash) AS hash, octet_length(salt) AS salt, digest FROM mirusync.change_log WHERE feed = 'chloe' ORDER BY seq;
SELECT * FROM mirusync.verify('chloe');
SELECT * FROM mirusync.verify('claude');
-- A feed that comes into being later begins with its first change.
SELECT mirusync.put('clive', 'minute', 'first', '{"n": 1}');
SELECT count(hash) AS hashes FROM mirusync.change_log WHERE feed = 'clive';
SELECT count(*) AS no_anchor FROM mirusync.chain WHERE feed = 'clive';
SELECT * FROM mirusync.verify('clive');
-- Rescan; a large number, deep and odd keys.
SET client_min_messages = error;
ALTER TABLE paper DISABLE TRIGGER USER;
UPDATE paper SET title = 'behind the back';
ALTER TABLE paper ENABLE ALWAYS TRIGGER "!mirusync_capture", ENABLE ALWAYS TRIGGER "!mirusync_truncate";
SELECT * FROM mirusync.verify('chloe');
CALL mirusync.rescan('paper');
SELECT mirusync.put('clive', 'minute', 'odd', '{"big": 1e400, "zeros": 0.000, "": {"b": [true, null, {}], "aa": [], "B": "\u0001\u001f\u007f\u2028\ud83d\ude00", "é": -0.10}}');
SELECT * FROM mirusync.verify('chloe') UNION ALL SELECT * FROM mirusync.verify('clive');

-- Every column of a change counts.
SELECT a.attname, t.* FROM pg_attribute a, LATERAL (VALUES ('text', '''x'''), ('bigint', '77'), ('oid', '77'),
		('jsonb', '''{"x": 1}'''), ('bytea', '''\x77'''), ('xid8', '''77'''), ('timestamp with time zone', 'at + interval ''1 us'''),
		('mirusync.hlc', '''2026-01-01T00:00:00Z''')) v(type, value),
	LATERAL tamper(format('UPDATE mirusync.change_log SET %I = %s WHERE feed = ''chloe'' AND seq = 12', a.attname, v.value)) t
WHERE a.attrelid = 'mirusync.change_log'::regclass AND a.attnum > 0 AND format_type(a.atttypid, NULL) = v.type
	AND a.attname NOT IN ('feed', 'seq') AND t.problem IN ('change', 'erased') AND t.seq >= 12
ORDER BY a.attnum;
-- So does a value that only looks the same, and one taken away.
SELECT * FROM tamper($$UPDATE mirusync.change_log SET new = '{"n": 1.00}' WHERE feed = 'clive' AND seq = 1$$, 'clive') WHERE problem = 'change';
SELECT * FROM tamper($$UPDATE mirusync.change_log SET old = NULL WHERE feed = 'chloe' AND seq = 9$$);
SELECT * FROM tamper($$UPDATE mirusync.change_log SET old = NULL, new = NULL, salt = NULL, erasure = 1 WHERE feed = 'clive' AND seq = 1$$, 'clive');
-- A change is taken out, put in, exchanged with another; the last ones go.
SELECT * FROM tamper($$DELETE FROM mirusync.change_log WHERE feed = 'chloe' AND seq IN (6, 7, 12)$$) WHERE problem <> 'record';
SELECT * FROM tamper($$INSERT INTO mirusync.change_log SELECT * FROM jsonb_populate_record((SELECT l FROM mirusync.change_log l WHERE feed = 'clive' AND seq = 1), '{"seq": 3}')$$, 'clive');
SELECT * FROM tamper($$UPDATE mirusync.change_log SET seq = -seq WHERE feed = 'chloe' AND seq IN (8, 9); UPDATE mirusync.change_log SET seq = 17 + seq WHERE feed = 'chloe' AND seq < 0$$) WHERE problem = 'change';
SELECT * FROM tamper($$DELETE FROM mirusync.change_log WHERE feed = 'clive' AND seq = 2$$, 'clive');
-- The head goes back with them, state and row as well: only a head that was noted elsewhere knows.
SELECT seq AS head, hash AS hash FROM mirusync.chain_head('clive') \gset
CREATE FUNCTION cut() RETURNS void LANGUAGE sql AS $$
	DELETE FROM mirusync.change_log WHERE feed = 'clive' AND seq = 2;
	DELETE FROM mirusync.record WHERE feed = 'clive' AND seq = 2;
	UPDATE mirusync.feed SET head = 1, hash = (SELECT hash FROM mirusync.change_log WHERE feed = 'clive' AND seq = 1) WHERE feed = 'clive';
$$;
SELECT * FROM tamper('SELECT cut()', 'clive');
SELECT * FROM tamper('SELECT cut()', 'clive', :head, :'hash');
SELECT * FROM mirusync.verify('clive', :head, :'hash');
SELECT * FROM mirusync.verify('clive', :head, upper(:'hash'));
SELECT * FROM mirusync.verify('clive', 1, :'hash');
-- Hashes: of a change, of the head; the anchor.
SELECT * FROM tamper($$UPDATE mirusync.feed SET hash = '\x00' WHERE feed = 'clive'$$, 'clive');
SELECT * FROM tamper($$UPDATE mirusync.feed SET hash = NULL WHERE feed = 'clive'$$, 'clive');
SELECT * FROM tamper($$UPDATE mirusync.feed SET hash = sha256('x') WHERE feed = 'clive'$$, 'clive');
SELECT * FROM tamper($$UPDATE mirusync.chain SET hash = sha256('x') WHERE feed = 'chloe'$$);
SELECT * FROM tamper($$DELETE FROM mirusync.chain WHERE feed = 'chloe'$$);
-- State: a record's row, its number, its tombstone; who wrote a field; the application's row.
SELECT * FROM tamper($$DELETE FROM mirusync.record WHERE feed = 'chloe' AND id = 'm'$$);
SELECT * FROM tamper($$DELETE FROM mirusync.record WHERE feed = 'chloe' AND deleted AND collection = 'margin'$$);
SELECT * FROM tamper($$UPDATE mirusync.record SET deleted = true WHERE feed = 'chloe' AND id = 'm'$$);
SELECT * FROM tamper($$UPDATE mirusync.record SET seq = 999 WHERE feed = 'chloe' AND id = 'm'$$);
SELECT * FROM tamper($$UPDATE mirusync.record SET clock = '2026-01-01T00:00:00Z' WHERE feed = 'chloe' AND id = 'm'$$);
SELECT * FROM tamper($$UPDATE mirusync.record SET stamps = (SELECT stamps FROM mirusync.record WHERE feed = 'chloe' AND id = 'm') WHERE feed = 'clive' AND id = 'odd'$$, 'clive');
SELECT * FROM tamper($$ALTER TABLE paper DISABLE TRIGGER USER; DELETE FROM paper WHERE id = 3$$);
SELECT * FROM tamper($$ALTER TABLE paper DISABLE TRIGGER USER; UPDATE paper SET tags = '["z"]', pages = 0 WHERE id = 3$$);
-- Without a chain holes, state and rows show; a changed value does not.
SELECT mirusync.set_chain(false, 'chloe');
SELECT since, seq FROM mirusync.chain WHERE feed = 'chloe';
SELECT * FROM mirusync.verify('chloe');
SELECT * FROM tamper($$DELETE FROM mirusync.change_log WHERE feed = 'chloe' AND seq IN (5, 15)$$);
SELECT * FROM tamper($$UPDATE mirusync.change_log SET new = '{"x": 1}' WHERE feed = 'chloe' AND seq = 12$$);
SELECT * FROM tamper($$UPDATE mirusync.change_log SET id = 'other' WHERE feed = 'chloe' AND seq = 12$$) WHERE problem = 'change';

-- Trimming: collections apart, so that digests are left; then the anchor passes them.
SELECT count(mirusync.put('cyril', CASE WHEN i % 2 = 0 THEN 'ledger' ELSE 'minute' END, 'r' || i, jsonb_build_object('i', i))) FROM generate_series(1, 8) i;
SELECT seq AS head, hash AS hash FROM mirusync.chain_head('cyril') \gset
CREATE VIEW left_over AS SELECT (SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM mirusync.change_log WHERE feed = 'cyril') AS changes,
	(SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM mirusync.chain_trimmed WHERE feed = 'cyril') AS digests,
	(SELECT seq FROM mirusync.chain WHERE feed = 'cyril') AS anchor;
SELECT mirusync.set_retention('minute', history_count => 1);
CALL mirusync.trim('cyril', batch_rows => 2);
TABLE left_over;
SELECT * FROM mirusync.verify('cyril', :head, :'hash');
SELECT * FROM tamper($$DELETE FROM mirusync.chain_trimmed WHERE feed = 'cyril' AND seq = 3$$, 'cyril');
SELECT * FROM tamper($$UPDATE mirusync.chain_trimmed SET digest = sha256('x') WHERE feed = 'cyril' AND seq = 5$$, 'cyril');
SELECT * FROM tamper($$UPDATE mirusync.change_log SET new = '{"i": 9}' WHERE feed = 'cyril' AND seq = 2$$, 'cyril') WHERE problem = 'change';
SELECT * FROM tamper($$INSERT INTO mirusync.change_log SELECT * FROM jsonb_populate_record((SELECT l FROM mirusync.change_log l WHERE feed = 'cyril' AND seq = 2), '{"seq": 1}')$$, 'cyril') WHERE problem = 'change';
SELECT * FROM tamper($$INSERT INTO mirusync.change_log SELECT * FROM jsonb_populate_record((SELECT l FROM mirusync.change_log l WHERE feed = 'cyril' AND seq = 2), '{"seq": 3}')$$, 'cyril') WHERE problem = 'change';
SELECT mirusync.set_retention('ledger', history_count => 2);
CALL mirusync.trim('cyril');
TABLE left_over;
SELECT * FROM mirusync.verify('cyril', :head, :'hash');
SELECT mirusync.set_retention('ledger', history_count => 0), mirusync.set_retention('minute', history_count => 0);
CALL mirusync.trim('cyril', batch_rows => 1);
TABLE left_over;
SELECT * FROM mirusync.verify('cyril', :head, :'hash');
SELECT mirusync.put('cyril', 'ledger', 'r2', '{"i": 20}');
SELECT * FROM mirusync.verify('cyril', :head, :'hash');
SELECT * FROM mirusync.verify('cyril', 3, :'hash');
SELECT mirusync.set_retention('ledger'), mirusync.set_retention('minute');

-- Off and on again: a new chain, from the head on.
SELECT mirusync.set_chain(false, 'cyril');
SELECT mirusync.set_chain(true, 'cyril'), mirusync.set_chain(true, 'cyril');
SELECT since, seq FROM mirusync.chain WHERE feed = 'cyril';
SELECT count(mirusync.patch('cyril', 'ledger', 'r2', '{"i": 21}'));
SELECT * FROM mirusync.verify('cyril');
-- Another epoch goes on with it, and so does a feed that was forgotten.
SELECT mirusync.new_epoch() AS new_epoch \gset
SELECT count(mirusync.patch('cyril', 'ledger', 'r2', '{"i": 22}'));
SELECT * FROM mirusync.verify('cyril');
CALL mirusync.forget('cyril', grace => '0');
TABLE left_over;
SELECT mirusync.put('cyril', 'ledger', 'r2', '{"i": 23}');
TABLE left_over;
SELECT * FROM mirusync.verify('cyril');
-- A table that is attached anew begins anew; a partitioned one, and one that is filled online.
SELECT mirusync.detach('margin');
DELETE FROM margin;
SELECT mirusync.attach('margin', feed => 'owner');
CREATE TABLE part (owner text NOT NULL, id int, n int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (10);
CREATE INDEX ON part (owner);
INSERT INTO part VALUES ('clive', 1, 1), ('clive', 2, 2), ('coco', 3, 3);
SELECT mirusync.attach('part', feed => 'owner', backfill => false);
CALL mirusync.backfill('part');
UPDATE part SET n = n + 1;
TRUNCATE part_1;
SELECT feed, head FROM mirusync.feed WHERE feed IN ('clive', 'coco') ORDER BY feed;
SELECT * FROM mirusync.verify('chloe') UNION ALL SELECT * FROM mirusync.verify('clive') UNION ALL SELECT * FROM mirusync.verify('coco');

-- What docs/audit.md shows.
SELECT mirusync.create_collection('letter');
SELECT mirusync.set_chain(true);
SELECT mirusync.put('osric', 'letter', '1', '{"to": "Ida", "text": "Dear Ida"}');
SELECT mirusync.put('osric', 'letter', '2', '{"to": "Max", "text": "Dear Max"}');
SELECT * FROM mirusync.verify('osric');
BEGIN;
UPDATE mirusync.change_log SET new = '{"to": "Ida", "text": "Dear Eve"}' WHERE feed = 'osric' AND seq = 1;
SELECT * FROM mirusync.verify('osric');
ROLLBACK;
SELECT seq, hash FROM mirusync.chain_head('osric') \gset
SELECT * FROM mirusync.verify('osric', :seq, :'hash');
SELECT mirusync.delete('osric', 'letter', '1');
CALL mirusync.erase('osric', 'letter', '1');
SELECT seq, kind, changes, erased_at IS NOT NULL AS erased
FROM mirusync.history('osric', 'letter', '1');
SELECT * FROM mirusync.verify('osric', :seq, :'hash');

-- Settings have no say in a hash.
SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata'; SET extra_float_digits = -15; SET bytea_output = 'escape'; SET IntervalStyle = 'iso_8601';
SELECT * FROM mirusync.verify('clive');
SELECT md5(string_agg(line, '')) AS export FROM mirusync.export_chain('clive') line \gset
RESET DateStyle; RESET TimeZone; RESET extra_float_digits; RESET bytea_output; RESET IntervalStyle;
SELECT md5(string_agg(line, '')) = :'export' AS same FROM mirusync.export_chain('clive') line;

-- Rights: an auditor verifies and notes heads; nobody else does, and he switches nothing.
CREATE ROLE regress_mirusync_verifier;
CREATE ROLE regress_mirusync_nobody;
SELECT mirusync.grant_auditor('regress_mirusync_verifier');
SET ROLE regress_mirusync_verifier;
SELECT * FROM mirusync.verify('clive');
SELECT seq FROM mirusync.chain_head('clive');
SELECT count(*) > 1 AS lines FROM mirusync.export_chain('clive');
SELECT mirusync.set_chain(false);
UPDATE mirusync.chain_trimmed SET seq = 1;
SET ROLE regress_mirusync_nobody;
SELECT * FROM mirusync.verify('clive');
SELECT * FROM mirusync.chain_faults('clive', NULL, NULL);
SELECT * FROM mirusync.chain_head('clive');
SELECT * FROM mirusync.export_chain('clive');
RESET ROLE;

-- Errors
\set SHOW_CONTEXT never
SELECT * FROM mirusync.verify('nobody');
SELECT * FROM mirusync.verify(NULL);
SELECT * FROM mirusync.verify(E'it''s "a" \x01 feed');
\set VERBOSITY sqlstate
SELECT * FROM mirusync.verify(repeat('x', 10240));
SELECT * FROM mirusync.chain_head(repeat('x', 10240));
SELECT mirusync.set_chain(true, repeat('x', 10240));
\set VERBOSITY default
SELECT * FROM mirusync.verify('clive', 1);
SELECT * FROM mirusync.verify('clive', NULL, repeat('0', 64));
SELECT * FROM mirusync.verify('clive', -1, repeat('0', 64));
SELECT * FROM mirusync.verify('clive', 1, repeat('0', 63));
SELECT * FROM mirusync.verify('clive', 1, repeat('g', 64));
SELECT * FROM mirusync.verify('clive', 9223372036854775807, repeat('0', 64));
SELECT * FROM mirusync.chain_head('nobody');
SELECT * FROM mirusync.chain_head(NULL);
SELECT * FROM mirusync.export_chain('nobody');
SELECT mirusync.set_chain(NULL);
SELECT mirusync.set_chain(true, 'nobody');
BEGIN READ ONLY;
SELECT * FROM mirusync.verify('clive');
SELECT mirusync.set_chain(false);
ROLLBACK;

SELECT mirusync.set_chain(false);
SELECT count(*) AS on FROM mirusync.feed WHERE hash IS NOT NULL;
DROP VIEW left_over;
DROP FUNCTION tamper, push, cut;
SELECT mirusync.detach('margin'), mirusync.detach('paper'), mirusync.detach('part');
DROP TABLE margin, paper, part;
DROP OWNED BY regress_mirusync_verifier;
DROP ROLE regress_mirusync_verifier, regress_mirusync_nobody;
DELETE FROM mirusync.document WHERE feed IN ('osric', 'chloe', 'claude', 'clive', 'coco', 'cyril');
SELECT string_agg(DISTINCT seq::text, ' ') AS left_of_chains FROM mirusync.chain_trimmed;
CALL mirusync.forget('chloe', grace => '0');
CALL mirusync.forget('claude', grace => '0');
CALL mirusync.forget('clive', grace => '0');
CALL mirusync.forget('coco', grace => '0');
CALL mirusync.forget('cyril', grace => '0');
CALL mirusync.forget('osric', grace => '0');
DELETE FROM mirusync.chain;
DELETE FROM mirusync.epoch WHERE number = :new_epoch;
DELETE FROM mirusync.feed_epoch WHERE feed IN ('chloe', 'claude', 'clive', 'coco', 'cyril', 'osric');
DELETE FROM mirusync.feed WHERE feed IN ('chloe', 'claude', 'clive', 'coco', 'cyril', 'osric');
DELETE FROM mirusync.collection WHERE name IN ('minute', 'ledger', 'letter');
