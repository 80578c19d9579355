-- Erasure: what a record or a feed was goes from the history, and nothing breaks.
SET client_min_messages = warning;
SELECT mirusync.create_collection('minute', 'lww_field');
SELECT last_value AS conflict_ids FROM mirusync.conflict_id \gset
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE TABLE person (
	owner text NOT NULL,
	id text PRIMARY KEY,
	name text,
	phone text UNIQUE,
	visits int,
	tags jsonb
);
CREATE INDEX ON person (owner);
SELECT mirusync.attach('person', feed => 'owner', rule => 'lww_field');
SELECT mirusync.set_rule('person', 'visits', 'counter'), mirusync.set_rule('person', 'phone', 'manual'), mirusync.set_rule('person', 'tags', 'set');
SELECT mirusync.set_chain(true);
CREATE FUNCTION push(device text, changes jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT v FROM jsonb_array_elements(mirusync.push('ella', device, jsonb_build_object('changes', changes)) -> 'verdicts') v
$$;
-- secrets finds a word anywhere in our tables but the application's.
CREATE FUNCTION secrets(word text) RETURNS TABLE (place text, count bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR place IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'mirusync'::regnamespace AND c.relkind = 'r' AND c.relname <> 'document' ORDER BY 1 LOOP
		EXECUTE format('SELECT count(*) FROM (SELECT to_jsonb(t)::text AS text FROM mirusync.%I t) t WHERE t.text LIKE %L OR t.text LIKE %L',
			place, '%' || word || '%', '%' || encode(word::bytea, 'hex') || '%') INTO count;
		IF count > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
-- A device: what it has, and its cursor.
CREATE TABLE replica (device text, collection text, id text, fields jsonb, PRIMARY KEY (device, collection, id));
CREATE TABLE place (device text PRIMARY KEY, cursor bigint, epoch int);
CREATE FUNCTION catch_up(who text, pages int = 100) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	p place;
	page jsonb;
BEGIN
	INSERT INTO place VALUES (who, 0, NULL) ON CONFLICT DO NOTHING;
	FOR i IN 1 .. pages LOOP
		SELECT * INTO p FROM place WHERE device = who;
		page := mirusync.pull('ella', 'ella', p.cursor, 2, p.epoch);
		DELETE FROM replica r USING jsonb_array_elements(page -> 'changes') c
			WHERE r.device = who AND r.collection = c ->> 'collection' AND r.id = c ->> 'id' OR r.device = who AND page ? 'start_over';
		INSERT INTO replica SELECT who, c ->> 'collection', c ->> 'id', c -> 'fields' FROM jsonb_array_elements(page -> 'changes') c WHERE c ->> 'kind' = 'put';
		UPDATE place SET cursor = (page ->> 'upto')::bigint, epoch = (page ->> 'epoch')::int WHERE device = who;
		EXIT WHEN (page ->> 'complete')::boolean;
	END LOOP;
	RETURN CASE WHEN page ? 'start_over' THEN 'over' ELSE 'page' END;
END $$;
CREATE FUNCTION catch_up_all() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(DISTINCT catch_up(device), ' ') FROM place $$;
CREATE VIEW otherwise AS
	SELECT p.device, r.id AS has, d.id AS should FROM place p
		CROSS JOIN LATERAL (SELECT * FROM replica r WHERE r.device = p.device) r
		FULL JOIN (SELECT p.device, x.* FROM place p, LATERAL (
				SELECT 'person' AS collection, t.id, to_jsonb(t) - 'owner' AS fields FROM person t WHERE owner = 'ella'
				UNION ALL SELECT collection, id, data FROM mirusync.document WHERE feed = 'ella') x) d
			ON d.device = r.device AND d.collection = r.collection AND d.id = r.id
	WHERE r.fields IS DISTINCT FROM d.fields;

-- One secret everywhere: history, a conflict, the inbox, verdicts, last images.
INSERT INTO person VALUES ('ella', 'o''1', 'Secret One', 'secret-1', 1, '["a"]'), ('ella', '2', 'Two', 'plain-2', 1, '[]');
SELECT catch_up('early'), catch_up('middle', 1);
SELECT push('phone', '[{"number": 1, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"name": "Secret phone", "phone": "secret-phone"}, "add": {"visits": 2}, "base": 2, "clock": "2030-01-01T09:00:00Z"}]');
SELECT push('tablet', '[{"number": 1, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"name": "Secret tablet", "phone": "secret-tablet"}, "add": {"visits": 3}, "base": 2, "clock": "2025-01-01T08:00:00Z"},
	{"number": 2, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"phone": "plain-2"}, "base": 9},
	{"number": 3, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"name": "secret waits"}, "base": 9},
	{"number": 4, "kind": "patch", "collection": "person", "id": "2", "fields": {"phone": "secret-phone", "name": "other"}, "base": 9}]');
UPDATE person SET name = 'Plain One', phone = 'plain-1', tags = '["secret tag", "b"]' WHERE id = 'o''1';
UPDATE person SET tags = '["b"]' WHERE id = 'o''1';
SELECT mirusync.put('ella', 'minute', 'gone', '{"text": "secret memo"}');
SELECT mirusync.delete('ella', 'minute', 'gone');
SELECT clock_timestamp() AS then \gset
SELECT string_agg(place, ' ') FROM secrets('ecret');
SELECT * FROM secrets('secret tag');
SELECT seq AS head, hash AS hash FROM mirusync.chain_head('ella') \gset

-- The row stays; what history says of it goes, and whose was what stays.
CALL mirusync.erase('ella', 'person', 'o''1', batch_rows => 2);
SELECT * FROM secrets('secret tag');
SELECT * FROM secrets('ecret');
SELECT number, collection, id, upto, changes, at <= finished_at AS done, pg_get_userbyid(role) = current_user AS by_me FROM mirusync.erasure;
SELECT seq, kind, origin, device, changes, verdict, conflicts, erased_at IS NOT NULL AS erased, erased_by = current_user AS by_me FROM mirusync.history('ella', 'person', 'o''1');
SELECT field, value, former, seq, device FROM mirusync.blame('ella', 'person', 'o''1');
SELECT field, outcome, value, other, reason FROM mirusync.explain('ella', 4);
SELECT field, outcome, value, other, reason, words = 'it was erased by role ' || to_json(current_user::text) AS words FROM mirusync.explain('ella', 3);
SELECT id, field, outcome, stored, incoming, resolution, resolved_by = current_user AS by_me FROM mirusync.conflicts WHERE feed = 'ella' ORDER BY id;
SELECT device_number, collection, id, fields FROM mirusync.rejected WHERE feed = 'ella';
SELECT device, number, verdict - 'conflicts' AS verdict FROM mirusync.verdict WHERE user_id = 'ella' ORDER BY device, number;
SELECT mirusync.as_of('ella', 'person', '2', :'then') AS another_record;
SELECT mirusync.as_of('ella', 'person', 'o''1', :'then') AS after_it;
SELECT mirusync.record_at('ella', 'person', 'o''1', 3);
SELECT * FROM mirusync.verify('ella', :head, :'hash');
-- A replay tells what stands, so the device is right.
SELECT push('tablet', '[{"number": 1, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"name": "Secret tablet"}, "base": 2}]') - 'conflicts' AS replay;
SELECT mirusync.resolve('ella', min(id), 'incoming') FROM mirusync.conflicts WHERE feed = 'ella';
-- Those that come late: they catch up, and a push that knew only of what is erased is merged with care.
SELECT catch_up('early'), catch_up('middle'), catch_up('fresh');
SELECT * FROM otherwise;
-- A client takes fields that it is not told of for unchanged: it is told all.
SELECT c ->> 'kind' AS kind, c -> 'fields' AS fields
FROM mirusync.pull_events('ella', 2, 500, true, 0, '{native}') e, jsonb_array_elements(e.native::jsonb -> 'changes') c WHERE c ->> 'id' = 'o''1';
SELECT push('late1', '[{"number": 1, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"visits": 9}, "base": 2}]');
SELECT push('late2', '[{"number": 1, "kind": "patch", "collection": "person", "id": "o''1", "add": {"visits": 1}, "fields": {}, "base": 2}]');
SELECT push('late3', '[{"number": 1, "kind": "patch", "collection": "person", "id": "o''1", "fields": {"tags": ["a", "c"]}, "base": 2, "clock": "2026-01-01T00:00:00Z"}]') - 'conflicts';
SELECT push('late4', '[{"number": 1, "kind": "put", "collection": "person", "id": "o''1", "fields": {"name": "Late One", "phone": "late-1", "tags": ["a"]}, "base": 2, "clock": "2026-01-01T00:00:00Z"}]') - 'conflicts';
SELECT name, phone, visits, tags FROM person WHERE id = 'o''1';
SELECT catch_up('early'), catch_up('middle'), catch_up('fresh');
SELECT * FROM otherwise;
CALL mirusync.rescan('person');
SELECT count(*) AS later, count(erased_at) AS erased FROM mirusync.history('ella', 'person', 'o''1') WHERE seq > :head;
SELECT * FROM mirusync.verify('ella', :head, :'hash');
-- Likewise where the change that made the record is erased.
SELECT push('phone', '[{"number": 5, "kind": "put", "collection": "person", "id": "7", "fields": {"visits": 5}}]') ->> 'verdict' AS verdict;
CALL mirusync.erase('ella', 'person', '7');
SELECT push('late5', '[{"number": 1, "kind": "patch", "collection": "person", "id": "7", "fields": {"visits": 9}, "base": 0}]');
-- Once more erases what came since, under another number.
CALL mirusync.erase('ella', 'person', 'o''1');
SELECT number, id, upto > :head AS upto, changes FROM mirusync.erasure ORDER BY number;
SELECT count(*) AS not_erased FROM mirusync.history('ella', 'person', 'o''1') WHERE erased_at IS NULL;
SELECT * FROM mirusync.verify('ella', :head, :'hash');

-- A deleted record: its last image goes, its tombstone stays.
CALL mirusync.erase('ella', 'minute', 'gone');
SELECT * FROM secrets('secret memo');
SELECT seq = (SELECT max(seq) FROM mirusync.history('ella', 'minute', 'gone')) AS tombstone, deleted, image, former FROM mirusync.record WHERE collection = 'minute';
SELECT push('late', '[{"number": 4, "kind": "patch", "collection": "minute", "id": "gone", "fields": {"text": "back"}, "base": 1}]') - 'seq' AS verdict;
SELECT mirusync.stored('ella', 'minute', 'gone');
SELECT * FROM mirusync.verify('ella', :head, :'hash');
-- A row is deleted, then erased: nothing of it is left but its id.
DELETE FROM person WHERE id = '2';
CALL mirusync.erase('ella', 'person', '2');
SELECT count(old) AS old, count(new) AS new FROM mirusync.change_log WHERE feed = 'ella' AND id = '2';
SELECT catch_up_all();
SELECT * FROM otherwise;

-- The whole feed; another's stays as it is.
SELECT mirusync.put('ellen', 'minute', 'hers', '{"text": "hers"}');
SELECT mirusync.put('ella', 'minute', 'm' || i, jsonb_build_object('text', 'word' || i)) FROM generate_series(1, 5) i;
-- One is stored out of line.
SELECT mirusync.put('ella', 'minute', 'long', (SELECT jsonb_build_object('text', string_agg(md5(i::text), '')) FROM generate_series(1, 1000) i));
SELECT catch_up_all();
SELECT mirusync.delete('ella', 'minute', 'm1'), mirusync.delete('ella', 'minute', 'm2');
CALL mirusync.erase('ella', batch_rows => 7);
SELECT count(*) > 20 AS changes, count(old) + count(new) + count(salt) AS left_of_them, count(digest) = count(*) AS digests, count(hash) = count(*) AS hashes FROM mirusync.change_log WHERE feed = 'ella';
SELECT count(image) AS images FROM mirusync.record WHERE feed = 'ella';
SELECT new FROM mirusync.change_log WHERE feed = 'ellen';
SELECT collection, id, changes > 0 AS changes, finished_at IS NOT NULL AS done FROM mirusync.erasure WHERE feed = 'ella' ORDER BY number DESC LIMIT 1;
SELECT * FROM mirusync.verify('ella', :head, :'hash') UNION ALL SELECT * FROM mirusync.verify('ellen');
SELECT catch_up_all(), catch_up('newest');
SELECT * FROM otherwise;
-- What comes after is there again; trimming and forgetting take the rest.
SELECT count(mirusync.patch('ella', 'minute', 'm3', '{"text": "later"}'));
SELECT old, new FROM mirusync.change_log WHERE feed = 'ella' AND erasure IS NULL;
SELECT mirusync.set_retention('minute', history_count => 1);
CALL mirusync.trim('ella');
SELECT * FROM mirusync.verify('ella', :head, :'hash');
-- An erasure that is not noted, and a value put back.
BEGIN;
UPDATE mirusync.erasure SET upto = 3 WHERE feed = 'ella' AND number = 1;
SELECT * FROM mirusync.verify('ella');
ROLLBACK;
BEGIN;
UPDATE mirusync.change_log SET new = '{"name": "x"}' WHERE feed = 'ella' AND seq = 3;
SELECT * FROM mirusync.verify('ella');
ROLLBACK;
BEGIN;
UPDATE mirusync.change_log SET digest = sha256('x') WHERE feed = 'ella' AND seq = 3;
SELECT * FROM mirusync.verify('ella');
ROLLBACK;
-- Rescan knows that devices have a record of which only erased changes tell.
INSERT INTO person VALUES ('ella', '9', 'Nine', NULL, 1, '[]');
SELECT catch_up_all();
CALL mirusync.erase('ella', 'person', '9');
SELECT mirusync.detach('person');
DELETE FROM person WHERE id = '9';
SELECT mirusync.attach('person', feed => 'owner', rule => 'lww_field');
CALL mirusync.rescan('person');
SELECT catch_up_all();
SELECT * FROM otherwise;
SELECT * FROM mirusync.verify('ella');
-- Without a chain there is nothing to keep.
SELECT mirusync.set_chain(false);
SELECT mirusync.put('emma', 'minute', 'm', '{"text": "hers"}');
CALL mirusync.erase('emma', 'minute', 'm');
SELECT new, salt, digest, hash, erasure FROM mirusync.change_log WHERE feed = 'emma';
SELECT * FROM mirusync.verify('emma');
DELETE FROM person;
DELETE FROM mirusync.document WHERE feed IN ('ella', 'ellen', 'emma');
CALL mirusync.forget('ella', grace => '0');
SELECT count(*) AS erasures FROM mirusync.erasure WHERE feed = 'ella';

-- Rights: the owner, and whom he grants it; not an auditor, not the relay.
CREATE ROLE regress_mirusync_verifier;
CREATE ROLE regress_mirusync_eraser;
SELECT mirusync.grant_auditor('regress_mirusync_verifier');
GRANT EXECUTE ON PROCEDURE mirusync.erase TO regress_mirusync_eraser;
SET ROLE regress_mirusync_verifier;
CALL mirusync.erase('emma', 'minute', 'm');
SELECT mirusync.erase_begin('emma', NULL, NULL, 1, 1);
UPDATE mirusync.erasure SET upto = 0;
SELECT collection, id FROM mirusync.erasure;
SET SESSION AUTHORIZATION regress_mirusync_eraser;
CALL mirusync.erase('emma', 'minute', 'm');
SELECT * FROM mirusync.erasure;
RESET SESSION AUTHORIZATION;
SELECT role::regrole, changes FROM mirusync.erasure WHERE feed = 'emma' ORDER BY number;

-- Errors
\set SHOW_CONTEXT never
CALL mirusync.erase(NULL);
CALL mirusync.erase('nobody');
CALL mirusync.erase('nobody', 'minute', 'm');
CALL mirusync.erase('emma', 'nothing', 'm');
CALL mirusync.erase('emma', 'minute', 'nobody');
CALL mirusync.erase('emma', 'minute');
CALL mirusync.erase('emma', 'minute', NULL);
CALL mirusync.erase('emma', NULL, 'm');
CALL mirusync.erase('emma', 'minute', 'm', 0);
CALL mirusync.erase('emma', 'minute', 'm', NULL);
CALL mirusync.erase('emma', 'minute', E'it''s "a"\x01\n\t');
\set VERBOSITY sqlstate
CALL mirusync.erase('emma', 'minute', repeat('x', 10240));
CALL mirusync.erase(repeat('x', 10240));
\set VERBOSITY default
BEGIN;
CALL mirusync.erase('emma');
ROLLBACK;
SET default_transaction_read_only = on;
CALL mirusync.erase('emma');
RESET default_transaction_read_only;
-- A failed call leaves no note.
SELECT count(*) FROM mirusync.erasure WHERE feed = 'emma';
SELECT mirusync.put('emma', 'minute', E'it''s "a" \x01\n\t', '{"text": "odd"}');
CALL mirusync.erase('emma', 'minute', E'it''s "a" \x01\n\t');
SELECT new, erasure FROM mirusync.change_log WHERE feed = 'emma' AND seq > 2;

CALL mirusync.forget('ellen', grace => '0');
DELETE FROM mirusync.document WHERE feed = 'emma';
CALL mirusync.forget('emma', grace => '0');
SELECT mirusync.detach('person'), mirusync.set_retention('minute');
DROP VIEW otherwise;
DROP TABLE person, replica, place;
DROP FUNCTION push, secrets, catch_up_all, catch_up;
DROP OWNED BY regress_mirusync_verifier, regress_mirusync_eraser;
DROP ROLE regress_mirusync_verifier, regress_mirusync_eraser;
DELETE FROM mirusync.chain;
DELETE FROM mirusync.feed_epoch WHERE feed IN ('ella', 'ellen', 'emma');
DELETE FROM mirusync.feed WHERE feed IN ('ella', 'ellen', 'emma');
DELETE FROM mirusync.collection WHERE name = 'minute';
SELECT setval('mirusync.conflict_id', :conflict_ids) > 0 AS conflict_ids;
