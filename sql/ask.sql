-- What a user asks of his history by way of a relay: relay_history(),
-- relay_conflicts(), and the message with which he decides a conflict.
SET client_min_messages = warning;
SET mirusync.rejected_max_changes = 0;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE ROLE regress_mirusync_app;
CREATE SCHEMA ask;
GRANT USAGE ON SCHEMA ask TO regress_mirusync_app;
SET search_path = ask;
CREATE TABLE memo (id text PRIMARY KEY, owner text NOT NULL, title text CHECK (title <> 'bad'), note text,
	locked boolean NOT NULL DEFAULT false, written_by text);
CREATE TABLE mention (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL, memo text,
	CONSTRAINT one_each UNIQUE (owner, memo) DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION mentioned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.written_by = mirusync.user_id();
	IF NEW.note LIKE '@%' THEN
		INSERT INTO ask.mention (owner, memo) VALUES (substr(NEW.note, 2), NEW.id);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER mentioned BEFORE INSERT OR UPDATE ON memo FOR EACH ROW EXECUTE FUNCTION mentioned();
ALTER TABLE memo ENABLE ROW LEVEL SECURITY;
CREATE POLICY unlocked ON memo TO regress_mirusync_app USING (true) WITH CHECK (NOT locked AND owner = mirusync.user_id());
GRANT SELECT, INSERT, UPDATE (title, note), DELETE ON memo TO regress_mirusync_app;
GRANT ALL ON mention TO regress_mirusync_app;
SELECT mirusync.attach('memo', feed => 'owner', role => 'regress_mirusync_app');
SELECT mirusync.attach('mention', feed => 'owner');
-- Not on the client's zone.
SET timezone = 'Asia/Kathmandu';

CREATE FUNCTION push(who text, device text, change text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push(who, device, format('{"changes": [%s]}', change)::jsonb) #> '{verdicts,0}'
$$;
-- Times differ from run to run; all are of this form.
CREATE FUNCTION still(answer text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(regexp_replace(regexp_replace(answer, '"at": "[-0-9]{10}T[0-9:.]{15}Z"', '"at": "…"', 'g'),
		'"(clock|stored_clock|incoming_clock)": ?"[-0-9]{10}T[0-9:.]{12}Z/0000"', '"\1": "…"', 'g'), '},{', E'},\n{')
$$;
CREATE FUNCTION history(who text, collection text, id text, before bigint DEFAULT 9223372036854775807, max int DEFAULT 100)
RETURNS text LANGUAGE sql AS 'SELECT still(mirusync.relay_history(who, collection, id, before, max))';
CREATE FUNCTION conflicts(who text, collection text DEFAULT '', id text DEFAULT '', before bigint DEFAULT 9223372036854775807,
	max int DEFAULT 100) RETURNS text LANGUAGE sql AS 'SELECT still(mirusync.relay_conflicts(who, collection, id, before, max))';
CREATE FUNCTION resolve(who text, asked text, OUT status text, OUT code text, OUT answer text, OUT live text) LANGUAGE sql AS $$
	SELECT (array_agg(status) FILTER (WHERE kind = 'verdict'))[1], (array_agg(code) FILTER (WHERE kind = 'verdict'))[1],
		(array_agg(body) FILTER (WHERE kind = 'verdict'))[1], string_agg(session || native, E'\n')
	FROM (SELECT p.kind, p.status, p.code, p.body, coalesce(p.session || ': ', '') AS session, still(p.native) AS native
		FROM mirusync.push_many(ARRAY[who], '{""}', '{s1}', '{native}', ARRAY['{"type": "resolve", "resolve": ' || asked || '}'], '{native}') p) x
$$;
\pset tuples_only on
\pset format unaligned

SELECT push('ada', 'desk', '{"number": 1, "kind": "put", "collection": "memo", "id": "m1",
	"fields": {"title": "Tea", "note": null}, "clock": "2026-01-01T09:00:00Z"}') ->> 'verdict';
SELECT push('ada', 'tablet', '{"number": 1, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"title": "Green", "note": "@bea"}, "clock": "2026-01-01T09:10:00Z", "base": 1}') ->> 'verdict';
SET application_name = 'nightly';
UPDATE memo SET note = NULL WHERE id = 'm1';
SELECT push('ada', 'phone', '{"number": 1, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"title": "Black", "note": "n"}, "clock": "2026-01-01T09:20:00Z", "base": 1}') ->> 'verdict';
SELECT push('bea', 'desk', '{"number": 1, "kind": "put", "collection": "memo", "id": "m2", "fields": {"title": "of bea"}}') ->> 'verdict';

-- A null that was written stays, a key without a value does not; neither
-- role nor application are told.
SELECT history('ada', 'memo', 'm1');
-- The latest ones, then those before.
SELECT history('ada', 'memo', 'm1', max => 1);
SELECT history('ada', 'memo', 'm1', before => 3, max => 1);
-- bea's mention was ada's device's doing: she is not told of the device.
SELECT history('bea', 'mention', id::text) FROM mention;
-- Newest first; of a record, of a collection, of all.
SELECT conflicts('ada');
SELECT conflicts('ada', max => 1);
SELECT conflicts('ada', before => 2) LIKE '%"conflicts":[{%"id": 1,%}]}' AS the_rest;
SELECT conflicts('ada', 'memo') = conflicts('ada') AS collection, conflicts('ada', 'memo', 'm1') = conflicts('ada') AS record,
	conflicts('ada', 'mention'), conflicts('ada', 'memo', 'm2');
-- Whose they are not sees none of it.
SELECT history('bea', 'memo', 'm1'), conflicts('bea');

-- Deciding: as the collection's role, in the user's name.
SELECT id, field, stored, incoming FROM mirusync.conflicts WHERE feed = 'ada' ORDER BY id;
SELECT * FROM resolve('ada', '{"conflict": 2, "choose": "incoming"}');
SELECT id, title, note, written_by FROM memo ORDER BY id;
SELECT * FROM resolve('ada', '{"conflict": 1, "value": "White"}');
SELECT id, title, note, written_by FROM memo ORDER BY id;
SELECT conflicts('ada');
SELECT id, resolution, resolved_user, resolved_by = session_user AS relay FROM mirusync.conflicts WHERE feed = 'ada' ORDER BY id;
-- In history it is the user's, of no device; a device that did not know meets it.
SELECT history('ada', 'memo', 'm1', before => 6, max => 2);
SELECT origin, user_id, device, number FROM mirusync.history('ada', 'memo', 'm1') WHERE origin = 'resolve';
SELECT origin, user_id, field FROM mirusync.blame('ada', 'memo', 'm1') WHERE origin = 'resolve' ORDER BY field;
SELECT reason, words FROM mirusync.explain('ada', 5) WHERE field = 'note';
-- What stands already makes no change; the number is the one it stands by.
SELECT push('ada', 'tablet', '{"number": 2, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"title": "Red"}, "clock": "2026-01-01T09:15:00Z", "base": 1}') ->> 'verdict';
SELECT id, field FROM mirusync.conflicts WHERE feed = 'ada' AND resolved_at IS NULL;
SELECT * FROM resolve('ada', '{"conflict": 3, "choose": "stored"}');
-- A null value is a value, and a whole record can be decided.
SELECT push('ada', 'phone', '{"number": 3, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"note": "late"}, "clock": "2026-01-01T09:30:00Z", "base": 1}') ->> 'verdict';
SELECT status, answer FROM resolve('ada', '{"conflict": 4, "value": null}');
SELECT note IS NULL AS gone FROM memo WHERE id = 'm1';
SELECT mirusync.set_delete_rule('memo', 'delete_wins');
SELECT push('ada', 'phone', '{"number": 4, "kind": "delete", "collection": "memo", "id": "m1", "base": 1}') ->> 'verdict';
SELECT conflicts('ada');
SELECT status, answer, live FROM resolve('ada', '{"conflict": 5, "choose": "stored"}');
SELECT id, title, note FROM memo ORDER BY id;
-- The whole group at once: other messages go on, and numbers are right.
SELECT push('ada', 'phone', format('{"number": 5, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"title": "%s"}, "clock": "2026-01-01T09:40:00Z", "base": 1}', title)) ->> 'verdict' FROM (VALUES ('Late')) v(title);
SELECT status, code, body FROM mirusync.push_many('{ada,bea,ada}', '{phone,desk,""}', '{s1,s2,s3}', '{native,native,native}', ARRAY[
	'{"type": "push", "changes": [{"number": 6, "kind": "patch", "collection": "memo", "id": "m1", "fields": {"note": "same group"}}]}',
	'{"type": "resolve", "resolve": {"conflict": 6, "choose": "stored"}}',
	'{"type": "resolve", "resolve": {"conflict": 6, "choose": "incoming"}}']) WHERE kind = 'verdict' ORDER BY message;
SELECT title, note FROM memo WHERE id = 'm1';
-- About a megabyte, at least one.
SELECT mirusync.create_collection('ask_large');
SELECT format($$SELECT mirusync.put('ada', 'ask_large', 'l', jsonb_build_object('x', repeat('%s', 400000)))$$, i) FROM generate_series(1, 4) i \gexec
SELECT a.max, octet_length(h) / 100000 AS size, json_array_length(h::json -> 'changes') AS changes, h::json ->> 'complete' AS complete
	FROM (VALUES (1), (3), (100)) a(max), LATERAL history('ada', 'ask_large', 'l', max => a.max) h;

-- Errors.  What is not there, in any form, has no history and no conflicts.
SELECT history('nobody', 'memo', 'm1'), history('ada', 'nowhere', 'm1'), history('ada', 'memo', 'm9'), history('', '', '');
SELECT count(*), count(DISTINCT history('ada', 'memo', id)), count(DISTINCT conflicts('ada', 'memo', id))
	FROM (VALUES ('''; DROP TABLE memo; --'), ('"'), (E'\x01\n\t\x7f'), (repeat('x', 10000)), ('%s'), (' '), ('M1')) v(id);
SELECT history(E'ada\x01', 'memo', 'm1'), history('ADA', 'memo', 'm1'), history('ada ', 'memo', 'm1');
SELECT history('ada', 'memo', 'm1', before => 0), history('ada', 'memo', 'm1', before => -1), history('ada', 'memo', 'm1', max => 0) LIKE '%"complete":false%';
SELECT mirusync.relay_history(NULL, 'memo', 'm1', 1, 1) IS NULL, mirusync.relay_conflicts('ada', NULL, '', 1, 1) IS NULL;
SELECT history('ada', 'memo', 'm1', max => -2);
-- Another user's conflict is none, and one that was decided is decided.
SELECT mirusync.set_delete_rule('memo', 'update_wins');
UPDATE memo SET title = 'Stands' WHERE id = 'm1';
SELECT push('ada', 'phone', '{"number": 7, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"title": "bad"}, "base": 1}') ->> 'code';
SELECT push('ada', 'phone', '{"number": 8, "kind": "patch", "collection": "memo", "id": "m1",
	"fields": {"title": "Wanted"}, "clock": "2026-01-01T09:50:00Z", "base": 1}') ->> 'verdict';
SELECT max(id) AS last FROM mirusync.conflicts WHERE feed = 'ada' \gset
SELECT * FROM resolve('bea', format('{"conflict": %s, "choose": "incoming"}', :last));
SELECT * FROM resolve('bea', '{"conflict": 123456, "choose": "incoming"}');
SELECT * FROM resolve('ada', '{"conflict": 1, "choose": "incoming"}');
-- Not of their form.
SELECT a.asked, r.* FROM (VALUES ('{}'), ('{"conflict": "1", "choose": "stored"}'), ('{"conflict": 1.5, "choose": "stored"}'),
	('{"conflict": -1, "choose": "stored"}'), ('{"conflict": 0, "choose": "stored"}'), ('{"conflict": 9223372036854775808, "choose": "stored"}'),
	('{"conflict": 1e300, "choose": "stored"}'), ('{"conflict": null, "choose": "stored"}')) a(asked), LATERAL resolve('ada', a.asked) r;
SELECT a.asked, r.* FROM (VALUES ('{"conflict": %s}'), ('{"conflict": %s, "choose": "mine"}'), ('{"conflict": %s, "choose": ""}'),
	('{"conflict": %s, "choose": null}'), ('{"conflict": %s, "choose": "stored", "value": 1}'), ('{"conflict": %s, "choose": ["stored"]}'),
	('{"conflict": %s, "value": "bad"}')) a(asked), LATERAL resolve('ada', format(a.asked, :last)) r;
SELECT title FROM memo WHERE id = 'm1';
SELECT r.* FROM (VALUES ('1'), ('null'), ('[]'), ('"x"')) a(asked), LATERAL resolve('ada', a.asked) r;
-- What a policy, a grant, a trigger, a deferred constraint or the collection forbids.
UPDATE memo SET locked = true WHERE id = 'm1';
SELECT status, code, answer FROM resolve('ada', format('{"conflict": %s, "choose": "incoming"}', :last));
UPDATE memo SET locked = false WHERE id = 'm1';
REVOKE UPDATE (title) ON memo FROM regress_mirusync_app;
SELECT status, code, answer FROM resolve('ada', format('{"conflict": %s, "choose": "incoming"}', :last));
GRANT UPDATE (title) ON memo TO regress_mirusync_app;
UPDATE mirusync.collection SET pushable = false WHERE name = 'memo';
SELECT status, code, answer FROM resolve('ada', format('{"conflict": %s, "choose": "incoming"}', :last));
UPDATE mirusync.collection SET pushable = true WHERE name = 'memo';
ALTER TABLE memo DISABLE TRIGGER mentioned;
UPDATE memo SET note = '@bea' WHERE id = 'm1';
ALTER TABLE memo ENABLE TRIGGER mentioned;
SELECT status, code, answer FROM resolve('ada', format('{"conflict": %s, "choose": "incoming"}', :last));
SELECT resolved_at IS NULL AS open, title FROM mirusync.conflicts c, memo m WHERE c.feed = 'ada' AND c.id = :last AND m.id = 'm1';
SELECT mirusync.user_id() IS NULL AS nobody;
UPDATE memo SET note = NULL WHERE id = 'm1';
SELECT status, code FROM resolve('ada', format('{"conflict": %s, "choose": "incoming"}', :last));
SELECT title, written_by FROM memo WHERE id = 'm1';
-- Neither one's own rights nor a stranger's.
SET ROLE regress_mirusync_app;
SELECT mirusync.relay_history('ada', 'memo', 'm1', 1, 1);
SELECT mirusync.relay_conflicts('ada', '', '', 1, 1);
RESET ROLE;

DROP SCHEMA ask CASCADE;
DROP ROLE regress_mirusync_app;
