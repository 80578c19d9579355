-- The inbox: what the table refuses waits, later numbered changes of the device
-- to that record wait behind it, and retry() and discard() take it out.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE ROLE regress_mirusync_reader;
CREATE SCHEMA rejected_test;
SET search_path = rejected_test;
CREATE TABLE shelf (id int PRIMARY KEY);
CREATE TABLE book (
	id int PRIMARY KEY,
	owner text NOT NULL,
	title text CHECK (title <> ''),
	pages int CHECK (pages > 0),
	shelf int REFERENCES shelf DEFERRABLE,
	secret text,
	wrote text DEFAULT mirusync.user_id() || ' ' || mirusync.device_id() || ' ' || current_user
);
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title = 'forbidden' THEN
		RAISE EXCEPTION 'that book is forbidden' USING errcode = 'P0042', detail = 'By whom is not said.';
	ELSIF NEW.title = 'suppressed' THEN
		RETURN NULL;
	ELSIF NEW.title = 'nobody' THEN
		RAISE EXCEPTION 'nobody''s fault' USING errcode = '40001';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON book FOR EACH ROW EXECUTE FUNCTION guard();
GRANT USAGE ON SCHEMA rejected_test TO regress_mirusync_reader;
GRANT SELECT, INSERT (id, owner, title, pages, shelf), UPDATE (title, pages, shelf), DELETE ON book TO regress_mirusync_reader;
SELECT mirusync.attach('book', feed => 'owner', role => 'regress_mirusync_reader', columns => '{id,title,pages,shelf,secret}');
-- Numbers are the installation's, so that of the first is fixed here.
SELECT setval('mirusync.refusal_number_seq', 100, false);
CREATE FUNCTION verdicts(device text, changes text, who text DEFAULT 'rita')
RETURNS TABLE (number text, verdict text, seq text, code text, reason text, more jsonb) LANGUAGE sql AS $$
	SELECT v ->> 'number', v ->> 'verdict', v ->> 'seq', v ->> 'code', v ->> 'reason',
		nullif(v - '{number,verdict,seq,code,reason}'::text[], '{}')
	FROM jsonb_array_elements(mirusync.push(who, device,
		('{"changes": [' || changes || ']}')::jsonb) -> 'verdicts') v
$$;
-- What waits, without times.
CREATE VIEW inbox AS SELECT r.number, r.device, r.device_number AS no, r.id, r.kind, r.fields,
	r.sqlstate, r.behind, r.tries FROM mirusync.rejected r WHERE r.feed = 'rita' ORDER BY r.number;

-- What lands there: whatever a change was refused for when it was applied.
SELECT * FROM verdicts('phone', '
	{"number": 1, "kind": "put", "collection": "book", "id": "1", "fields": {"title": ""}},
	{"number": 2, "kind": "put", "collection": "book", "id": "2", "fields": {"shelf": 9}},
	{"number": 3, "kind": "put", "collection": "book", "id": "3", "fields": {"title": "forbidden"}},
	{"number": 4, "kind": "put", "collection": "book", "id": "4", "fields": {"title": "suppressed"}},
	{"number": 5, "kind": "put", "collection": "book", "id": "5", "fields": {"pages": "many"}},
	{"number": 6, "kind": "put", "collection": "book", "id": "6", "fields": {"secret": "x"}},
	{"number": 7, "kind": "put", "collection": "book", "id": "7", "fields": {"colour": "red"}},
	{"number": 8, "kind": "delete", "collection": "film", "id": "8"},
	{"number": 9, "kind": "put", "collection": "book", "id": "nine", "fields": {}},
	{"number": 10, "kind": "put", "collection": "book", "id": "10", "fields": {"title": "fine"}}');
SELECT * FROM inbox;
\x
SELECT number, part_of, user_id, device, device_number, type, collection, id, kind, fields, clock IS NULL AS no_clock,
	base, sqlstate, message, detail, behind, at > now() - '1 hour'::interval AS recent, tries, tried_at = at AS once,
	change - 'clock' AS change
FROM mirusync.rejected WHERE number = 102;
\x
-- What does not: another's feed, and what cannot be read.
SELECT * FROM verdicts('phone', '
	{"number": 11, "kind": "put", "collection": "book", "id": "11", "feed": "ruth", "fields": {"title": "x"}},
	{"number": 12, "kind": "put", "collection": "book", "id": "12", "fields": {"owner": "ruth"}},
	{"number": 13, "kind": "put", "collection": "book", "id": "13", "fields": []},
	{"number": 14, "kind": "steal", "collection": "book", "id": "14"}');
SELECT code, body FROM mirusync.push_many('{rita}', '{phone}', '{s}', '{batch}', '{nonsense}');
SELECT code FROM verdicts('phone', format('
	{"number": 15, "kind": "put", "collection": "%s", "id": "15", "fields": {}}', repeat('x', 256)));
SELECT count(*) FROM inbox;

-- They block nobody: the device's other records, other devices, SQL.  Later
-- changes of the device to the record wait, in whatever form they write the id,
-- in the same batch and in later ones.
SELECT * FROM verdicts('phone', '{"number": 20, "kind": "put", "collection": "book", "id": "20", "fields": {"title": "other"}}');
SELECT * FROM verdicts('tablet', '{"number": 1, "kind": "put", "collection": "book", "id": "3", "fields": {"title": "tablet''s"}}');
SELECT * FROM verdicts('phone', '
	{"number": 21, "kind": "patch", "collection": "book", "id": "1", "fields": {"pages": 21}},
	{"number": 22, "kind": "patch", "collection": "book", "id": "001", "fields": {"pages": 0}},
	{"number": 23, "kind": "patch", "collection": "book", "id": "1", "fields": {"pages": 23}},
	{"number": 24, "kind": "put", "collection": "book", "id": "24", "fields": {"title": "", "pages": 1}},
	{"number": 25, "kind": "patch", "collection": "book", "id": "24", "fields": {"title": "mended"}},
	{"number": 26, "kind": "put", "collection": "book", "id": "26", "fields": {"title": "between"}}');
SELECT * FROM inbox WHERE no > 20;
-- The same again: the same verdicts, and nothing more in the inbox.
SELECT * FROM verdicts('phone', '
	{"number": 1, "kind": "put", "collection": "book", "id": "1", "fields": {"title": "now valid"}},
	{"number": 21, "kind": "patch", "collection": "book", "id": "1", "fields": {"pages": 21}}');
SELECT count(*) FROM inbox;

-- retry(): what fails again stays, with its new reason; those behind it wait.
SELECT * FROM mirusync.retry('rita', 100);
SELECT * FROM mirusync.retry('rita', 109);
ALTER TABLE book RENAME CONSTRAINT book_title_check TO has_title;
SELECT * FROM mirusync.retry('rita', 100);
SELECT number, sqlstate, message, detail, tries, tried_at > at AS again FROM mirusync.rejected WHERE feed = 'rita' AND number = 100;
-- Edited, it is applied, and those behind it follow in order, until one fails.
SELECT * FROM mirusync.retry('rita', 100, '{"title": ""}');
SELECT * FROM inbox WHERE number = 100;
SELECT * FROM mirusync.retry('rita', 100, '{"title": "edited"}');
SELECT * FROM inbox WHERE id = '1';
SELECT * FROM book ORDER BY id;
-- It is a change of that device, but of no session, so that it too gets it.
SELECT seq, kind, user_id, device, session, role = current_user::regrole AS by_me, new
FROM mirusync.change_log WHERE feed = 'rita' AND id = '1';
SELECT mirusync.pull('rita', 'rita', 4) -> 'changes' -> 0 ->> 'id' AS id;
-- The next of them is first now, and what waits behind it is released by it.
SELECT * FROM mirusync.retry('rita', 110, '{"pages": 22}');
SELECT title, pages FROM book WHERE id = 1;
-- The verdict stays what it was; after that the device goes on.
SELECT * FROM verdicts('phone', '{"number": 22, "kind": "delete", "collection": "book", "id": "1"}');
SELECT * FROM verdicts('phone', '{"number": 30, "kind": "patch", "collection": "book", "id": "1", "fields": {"pages": 30}}');

-- What was missing on the server is put right, and it goes through as it was.
INSERT INTO shelf VALUES (9);
ALTER TABLE book ADD COLUMN colour text;
SELECT mirusync.sync_column('book', 'colour', true);
GRANT INSERT, UPDATE ON book TO regress_mirusync_reader;
SELECT mirusync.create_collection('film');
SELECT r.* FROM generate_series(101, 108) n, mirusync.retry('rita', n) r;
SELECT id, title, shelf, secret, colour, wrote FROM book WHERE id < 10 ORDER BY id;

-- discard(): what waits behind it is tried as if it had never been there.
SELECT * FROM mirusync.discard('rita', 112);
SELECT * FROM inbox;
SELECT * FROM verdicts('phone', '
	{"number": 40, "kind": "patch", "collection": "book", "id": "20", "fields": {"title": ""}},
	{"number": 41, "kind": "patch", "collection": "book", "id": "20", "fields": {"pages": 0}},
	{"number": 42, "kind": "patch", "collection": "book", "id": "20", "fields": {"pages": 42}},
	{"number": 43, "kind": "patch", "collection": "book", "id": "20", "fields": {"pages": 43}}');
SELECT * FROM mirusync.discard('rita', 116);
SELECT * FROM mirusync.discard('rita', 114);
SELECT * FROM inbox WHERE id = '20';
-- Or thrown away as well.
SELECT * FROM mirusync.discard('rita', 115, following => true);
SELECT title, pages FROM book WHERE id = 20;
SELECT * FROM verdicts('phone', '{"number": 42, "kind": "patch", "collection": "book", "id": "20", "fields": {"pages": 42}}');
SELECT * FROM mirusync.discard('rita', 103);
SELECT * FROM mirusync.discard('rita', 104);
SELECT * FROM inbox;

-- Merging is by the rule, with the clock and base of then: what others have
-- written since stands where it is newer.
SELECT * FROM verdicts('phone', '{"number": 50, "kind": "put", "collection": "book", "id": "50",
	"fields": {"title": "a", "pages": 1}, "clock": "2026-01-01T00:00:10Z"}');
SELECT * FROM verdicts('phone', '{"number": 51, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"title": "phone''s", "pages": 0}, "clock": "2026-01-01T00:00:20Z", "base": 1}');
SELECT * FROM verdicts('tablet', '{"number": 50, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"title": "tablet''s"}, "clock": "2026-01-01T00:00:30Z"}');
SELECT * FROM mirusync.retry('rita', 118, '{"title": "phone''s", "pages": 5}');
SELECT title, pages FROM book WHERE id = 50;
SELECT device, base, new FROM mirusync.change_log WHERE feed = 'rita' AND id = '50' ORDER BY seq;
-- A clock that was ahead is bounded as it would have been, not by today's time.
SELECT * FROM verdicts('phone', '{"number": 52, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": -1}, "clock": "2999-01-01T00:00:00Z"}');
UPDATE mirusync.refusal SET at = at - '1 day'::interval WHERE number = 119;
SELECT * FROM mirusync.retry('rita', 119, '{"pages": 7}');
SELECT skew_ms > 1e12 AS skewed, mirusync.hlc_ms(clock) < extract(epoch FROM now() - '23 hours'::interval) * 1000 AS of_then
FROM mirusync.change_log WHERE feed = 'rita' ORDER BY seq DESC LIMIT 1;
-- A change without a clock counts as of its arrival.
SELECT * FROM verdicts('phone', '{"number": 53, "kind": "patch", "collection": "book", "id": "50", "fields": {"pages": -1}},
	{"number": 54, "kind": "patch", "collection": "book", "id": "50", "fields": {"title": "first"}},
	{"number": 55, "kind": "patch", "collection": "book", "id": "50", "fields": {"title": "second"}}');
SELECT pg_sleep(0.002); -- another millisecond
UPDATE book SET pages = 8 WHERE id = 50;
SELECT * FROM mirusync.retry('rita', 120, '{"pages": 9}');
SELECT title, pages FROM book WHERE id = 50;
-- Later than what the record had seen, though its clock was ahead.
SELECT verdict, code FROM verdicts('phone', format('{"number": 57, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": 57}, "clock": "%s"}', ((now() + '50 s'::interval)::timestamptz::mirusync.hlc)));
SELECT code FROM verdicts('phone', '{"number": 58, "kind": "patch", "collection": "book", "id": "50", "fields": {"pages": -1}}');
SELECT * FROM mirusync.retry('rita', 123, '{"pages": 58}');
-- A base of a history that was lost is not kept.
SELECT v ->> 'code' FROM jsonb_array_elements(mirusync.push('rita', 'phone', '{"epoch": 0, "changes": [
	{"number": 56, "kind": "patch", "collection": "book", "id": "50", "fields": {"pages": -1}, "base": 999999}]}') -> 'verdicts') v;
SELECT base, change ? 'base' AS said FROM mirusync.rejected WHERE number = 124;
SELECT * FROM mirusync.discard('rita', 124);

-- Errors that are nobody's fault are no verdict; they never land there, and
-- leave what is there as it is.
SELECT * FROM verdicts('phone', '{"number": 60, "kind": "put", "collection": "book", "id": "60", "fields": {"title": "nobody"}}');
SELECT * FROM verdicts('phone', '{"number": 61, "kind": "put", "collection": "book", "id": "61", "fields": {"title": ""}}');
SELECT * FROM mirusync.retry('rita', 125, '{"title": "nobody"}');
SELECT * FROM inbox;
SELECT * FROM mirusync.discard('rita', 125);

-- Events are refused as a whole, and kept as a whole; the device of an event is
-- its session.  No event waits behind another one.
CREATE TABLE trip (id text PRIMARY KEY, owner text, km int CHECK (km > 0));
CREATE TABLE stop (id text PRIMARY KEY, owner text, trip text REFERENCES trip);
CREATE TABLE leg (id text PRIMARY KEY, owner text, km int CHECK (km > 0), note text);
SELECT mirusync.attach('trip', 'owner', rule => 'lww'), mirusync.attach('stop', 'owner', rule => 'lww'),
	mirusync.attach('leg', 'owner');
CREATE FUNCTION normalise(trip jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF trip ->> 'km' = '13' THEN
		RETURN NULL;
	END IF;
	RETURN trip - 'note';
END $$;
INSERT INTO mirusync.event_collection (collection, clock_keys, payload, created_type, updated_type, deleted_type, deleted_key, normalise)
	VALUES ('trip', '{}', 'trip', 'TRIP', 'TRIP', 'TRIP_DELETED', 'tripId', 'rejected_test.normalise(jsonb)'),
		('stop', '{}', 'stop', 'STOP', 'STOP', NULL, NULL, NULL), ('leg', '{}', 'leg', 'LEG', 'LEG', NULL, NULL, NULL);
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, is_list, id_keys) VALUES
	('TRIP', 1, 'trip', 'put', 'trip', false, '{id}'), ('TRIP', 2, 'stop', 'put', 'stops', true, '{id}'),
	('STOP', 1, 'stop', 'put', 'stop', false, '{id}'), ('LEG', 1, 'leg', 'put', 'leg', false, '{id}'),
	('TRIP_DELETED', 1, 'trip', 'delete', 'trip', false, '{tripId}');
CREATE FUNCTION event(session text, event text) RETURNS TABLE (status text, seq bigint, code text, body text) LANGUAGE sql AS $$
	SELECT e.status, e.seq, e.code, e.body FROM mirusync.push_many('{rosa}', ARRAY[session], ARRAY[session], '{event}', ARRAY[event]) e
	WHERE e.kind = 'verdict'
$$;
CREATE VIEW events AS SELECT r.number, r.part_of, r.device, r.type, r.collection, r.id, r.kind, r.fields,
	r.sqlstate, r.behind, r.tries FROM mirusync.rejected r WHERE r.feed = 'rosa' ORDER BY r.number;
SELECT setval('mirusync.refusal_number_seq', 200, false);
SELECT * FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:01Z", "trip": {"id": "t", "km": 0, "note": "n"},
	"stops": [{"id": "a", "trip": "t"}, {"id": "b", "trip": "t"}]}');
-- Later ones to the same records are tried: this one has a reason of its own.
SELECT * FROM event('s1', '{"type": "STOP", "timestamp": "2026-01-01T00:00:02Z", "stop": {"id": "b", "trip": "t"}}');
SELECT * FROM event('s1', '{"type": "TRIP_DELETED", "timestamp": "2026-01-01T00:00:03Z", "tripId": "u"}');
SELECT * FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:04Z", "trip": {"id": "t", "km": -4}}');
SELECT * FROM events;
-- One that cannot be read, or that its collection's function refuses, is none.
SELECT * FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:01Z", "trip": {"id": "t", "km": 13}}');
SELECT count(*) FROM events;
-- Sent again, by whichever session, it is tried again, and not kept twice.
SELECT * FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:01Z", "trip": {"id": "t", "km": 0, "note": "n"},
	"stops": [{"id": "a", "trip": "t"}, {"id": "b", "trip": "t"}]}');
ALTER TABLE trip RENAME CONSTRAINT trip_km_check TO has_km;
SELECT * FROM event('s2', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:01Z", "trip": {"id": "t", "km": 0, "note": "n"},
	"stops": [{"id": "a", "trip": "t"}, {"id": "b", "trip": "t"}]}');
SELECT number, part_of, device, sqlstate, behind, tries FROM events;
SELECT message FROM mirusync.rejected WHERE number = 200;
-- Not the same: fewer stops.
SELECT * FROM event('s2', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:01Z", "trip": {"id": "t", "km": 0}, "stops": []}');
SELECT number, part_of, device, id, sqlstate, behind FROM events WHERE number > 204;
SELECT * FROM mirusync.discard('rosa', 205);
-- A later one may be retried first.  One that is older than what was applied
-- since is stale, but for the records that nobody wrote since.  Nothing follows.
SELECT * FROM mirusync.retry('rosa', 204, '{"id": "t", "km": 4}');
-- Any of its changes stands for all of them; one of them is edited, and put
-- through the collection's function.
SELECT * FROM mirusync.retry('rosa', 200, '{"id": "t", "km": 13}');
BEGIN;
ALTER TABLE stop ADD CHECK (id <> 'a');
SELECT * FROM mirusync.retry('rosa', 202);
SELECT number, part_of, sqlstate, tries FROM events;
ROLLBACK;
SELECT * FROM mirusync.retry('rosa', 201, '{"id": "a"}');
SELECT * FROM events;
SELECT * FROM mirusync.retry('rosa', 203);
SELECT * FROM trip;
SELECT * FROM stop;
SELECT seq, part_of, collection, id, type, device, session FROM mirusync.change_log WHERE feed = 'rosa' ORDER BY seq;
SELECT * FROM events;
-- What the user deleted when he saw it refused stays deleted.
SELECT status FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-01T00:00:05Z", "trip": {"id": "t", "km": 0}}');
SELECT status FROM event('s1', '{"type": "STOP", "timestamp": "2026-01-01T00:00:06Z", "stop": {"id": "b", "trip": null}}');
SELECT status FROM event('s1', '{"type": "STOP", "timestamp": "2026-01-01T00:00:06Z", "stop": {"id": "a", "trip": null}}');
SELECT status FROM event('s1', '{"type": "TRIP_DELETED", "timestamp": "2026-01-01T00:00:07Z", "tripId": "t"}');
SELECT number, verdict FROM mirusync.retry('rosa', 206, '{"id": "t", "km": 5}');
SELECT * FROM trip;
-- Merged field by field, an older one keeps what nobody wrote since.
SELECT status FROM event('s1', '{"type": "LEG", "timestamp": "2026-01-01T00:00:00Z", "leg": {"id": "l", "km": 1, "note": "first"}}');
SELECT status FROM event('s1', '{"type": "LEG", "timestamp": "2026-01-01T00:00:01Z", "leg": {"id": "l", "km": 0, "note": "old"}}');
SELECT status FROM event('s1', '{"type": "LEG", "timestamp": "2026-01-01T00:00:02Z", "leg": {"id": "l", "note": "new"}}');
SELECT number, verdict FROM mirusync.retry('rosa', 207, '{"id": "l", "km": 3, "note": "old"}');
SELECT km, note FROM leg;
-- In one group of the relay it is the same.
SELECT status, code FROM mirusync.push_many('{rosa,rosa,rosa}', '{s,s,z}', '{s,s,z}', '{event,event,event}', ARRAY[
	'{"type": "TRIP", "timestamp": "2026-01-02T00:00:01Z", "trip": {"id": "g", "km": 0}}',
	'{"type": "TRIP", "timestamp": "2026-01-02T00:00:02Z", "trip": {"id": "g", "km": 6}}',
	'{"type": "TRIP", "timestamp": "2026-01-02T00:00:03Z", "trip": {"id": "g", "km": 7}}']) WHERE kind = 'verdict';
SELECT r.* FROM mirusync.retry('rosa', 208, '{"id": "g", "km": 4}') r;
SELECT km FROM trip;
-- Numbered changes of a device, and events, do not wait behind each other.
SELECT status, code FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-03T00:00:01Z", "trip": {"id": "n", "km": 0}}');
SELECT number, verdict, code FROM verdicts('s1', '{"number": 1, "kind": "patch", "collection": "trip", "id": "n", "fields": {"km": -1}},
	{"number": 2, "kind": "patch", "collection": "trip", "id": "n", "fields": {"km": 2}}', 'rosa');
SELECT number, verdict, code FROM verdicts('s1', '{"number": 3, "kind": "patch", "collection": "trip", "id": "n", "fields": {"km": 3}}', 'rosa');
SELECT status, code FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-03T00:00:02Z", "trip": {"id": "n", "km": 8}}');
SELECT status, code FROM event('s1', '{"type": "TRIP", "timestamp": "2026-01-03T00:00:03Z", "trip": {"id": "n", "km": -3}}');
SELECT number, type, fields, sqlstate, behind, tries FROM events;
SELECT number, verdict FROM mirusync.discard('rosa', 209);
SELECT number, verdict FROM mirusync.discard('rosa', 210, following => true);
SELECT number, verdict FROM mirusync.retry('rosa', 213, '{"id": "n", "km": 9}');
SELECT id, km FROM trip ORDER BY id;
SELECT * FROM events;

-- It is bounded; what finds no room is refused and not kept, and says so.
SELECT setval('mirusync.refusal_number_seq', 300, false);
SET mirusync.rejected_max_changes = 2;
SELECT * FROM verdicts('phone', '
	{"number": 70, "kind": "put", "collection": "book", "id": "70", "fields": {"title": ""}},
	{"number": 71, "kind": "patch", "collection": "book", "id": "70", "fields": {"pages": 1}},
	{"number": 72, "kind": "patch", "collection": "book", "id": "70", "fields": {"pages": 2}},
	{"number": 73, "kind": "put", "collection": "book", "id": "73", "fields": {"title": ""}}');
SELECT * FROM verdicts('phone', '{"number": 74, "kind": "patch", "collection": "book", "id": "73", "fields": {"pages": 2}}');
SELECT * FROM verdicts('phone', '{"number": 75, "kind": "patch", "collection": "book", "id": "70", "fields": {"pages": 2}}');
-- An event is kept as a whole or not.
SELECT status, code FROM event('s3', '{"type": "TRIP", "timestamp": "2026-01-03T00:00:01Z", "trip": {"id": "x", "km": 0},
	"stops": [{"id": "p", "trip": "x"}, {"id": "q", "trip": "x"}]}');
SELECT count(*) FROM events;
SET mirusync.rejected_max_changes = 100;
SET mirusync.rejected_max_size = 1;
SELECT * FROM verdicts('phone', format('{"number": 76, "kind": "put", "collection": "book", "id": "76", "fields": {"title": "", "colour": "%s"}}',
	(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40) n)));
-- Of a batch nothing that comes after it is kept either, though it would fit.
SELECT number, code, more FROM verdicts('phone', format('{"number": 761, "kind": "put", "collection": "book", "id": "76", "fields": {"title": "", "colour": "%s"}},
	{"number": 762, "kind": "put", "collection": "book", "id": "762", "fields": {"title": ""}}',
	(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40) n)));
SELECT * FROM verdicts('phone', '{"number": 763, "kind": "put", "collection": "book", "id": "763", "fields": {"title": ""}}');
SELECT d.verdict FROM mirusync.rejected r, mirusync.discard('rita', r.number) d WHERE r.feed = 'rita' AND r.device_number = 763;
-- Turned off, nothing is kept, and nothing waits.
SET mirusync.rejected_max_changes = 0;
SELECT * FROM verdicts('phone', '{"number": 77, "kind": "patch", "collection": "book", "id": "70", "fields": {"pages": 2}},
	{"number": 78, "kind": "patch", "collection": "book", "id": "70", "fields": {"pages": 0}},
	{"number": 79, "kind": "patch", "collection": "book", "id": "70", "fields": {"pages": 3}}');
RESET mirusync.rejected_max_changes;
RESET mirusync.rejected_max_size;
SELECT * FROM inbox;

-- A savepoint that is rolled back takes what was kept, or retried, with it.
BEGIN;
SAVEPOINT a;
SELECT * FROM mirusync.retry('rita', 300, '{"title": "gone"}');
SELECT * FROM verdicts('phone', '{"number": 80, "kind": "put", "collection": "book", "id": "80", "fields": {"title": ""}}');
ROLLBACK TO a;
COMMIT;
SELECT number, no, tries FROM inbox;
-- Within one transaction: pushed, refused, mended and retried.
BEGIN;
SELECT * FROM verdicts('phone', '{"number": 81, "kind": "put", "collection": "book", "id": "81", "fields": {"shelf": 81}}');
INSERT INTO shelf VALUES (81);
SELECT r.verdict, r.code FROM mirusync.rejected w, mirusync.retry('rita', w.number) r WHERE w.feed = 'rita' AND w.device_number = 81;
COMMIT;
SELECT shelf FROM book WHERE id = 81;

-- In a transaction with one snapshot, and by a role that may execute it and
-- nothing else.
SELECT setval('mirusync.refusal_number_seq', 380, false);
SELECT code FROM verdicts('phone', '{"number": 82, "kind": "put", "collection": "book", "id": "82", "fields": {"title": ""}},
	{"number": 83, "kind": "patch", "collection": "book", "id": "82", "fields": {"pages": 83}}');
CREATE ROLE regress_mirusync_clerk;
GRANT EXECUTE ON FUNCTION mirusync.retry(text, bigint, jsonb), mirusync.discard(text, bigint, boolean) TO regress_mirusync_clerk;
SET ROLE regress_mirusync_clerk;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM mirusync.retry('rita', 380, '{"title": "by a clerk"}');
COMMIT;
SELECT * FROM mirusync.refusal;
RESET ROLE;
DROP OWNED BY regress_mirusync_clerk;
DROP ROLE regress_mirusync_clerk;
SELECT title, pages, wrote FROM book WHERE id = 82;

-- Errors.
SELECT * FROM mirusync.discard('rita', 300);
SELECT setval('mirusync.refusal_number_seq', 400, false);
SELECT * FROM verdicts('phone', '{"number": 85, "kind": "put", "collection": "book", "id": "85", "fields": {"title": ""}}');
SELECT * FROM mirusync.retry('rita', 300);
SELECT * FROM mirusync.retry('rita', 100);
SELECT * FROM mirusync.retry('rita', 0);
SELECT * FROM mirusync.retry('rita', -9223372036854775808);
SELECT * FROM mirusync.retry('rosa', 400);
SELECT * FROM mirusync.retry('nobody', 400);
SELECT * FROM mirusync.retry('', 400);
SELECT * FROM mirusync.retry(NULL, 400);
SELECT * FROM mirusync.retry('rita', NULL);
SELECT * FROM mirusync.retry('rita', 400, '[]');
SELECT * FROM mirusync.retry('rita', 400, '"x"');
SELECT * FROM mirusync.retry('rita', 400, 'null');
SELECT * FROM mirusync.retry('rita', 400, '{"title"');
SELECT * FROM mirusync.retry('rita', 400, '{"owner": "ruth"}');
SELECT * FROM mirusync.retry('rita', 400, '{"id": 71}');
SELECT * FROM mirusync.retry('rita', 400, '{"pages": 1e200}');
SELECT * FROM mirusync.retry('rita', 400, ('{"pages": 0, "title": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb);
SELECT verdict, code FROM mirusync.retry('rita', 400, jsonb_build_object('title', repeat('x', 1000000), 'pages', 0));
SELECT * FROM mirusync.discard('rita', 100);
SELECT * FROM mirusync.discard('rosa', 400);
SELECT * FROM mirusync.discard(NULL, 400);
SELECT * FROM mirusync.discard('rita', NULL);
SELECT * FROM mirusync.discard('rita', 400, NULL);
SELECT * FROM verdicts('phone', '{"number": 90, "kind": "delete", "collection": "filming", "id": "1"}');
SELECT mirusync.retry('rita', number, '{}') FROM inbox WHERE no = 90;
SET ROLE regress_mirusync_reader;
SELECT * FROM mirusync.rejected;
SELECT * FROM mirusync.retry('rita', 400);
SELECT * FROM mirusync.discard('rita', 400);
RESET ROLE;
SELECT number, no, sqlstate, tries FROM inbox;
SET default_transaction_read_only = on;
SELECT * FROM mirusync.retry('rita', 400);
SELECT * FROM mirusync.discard('rita', 400);
RESET default_transaction_read_only;

-- What a collection had refused outlives it; the account's end ends it.
SELECT mirusync.detach('book'), mirusync.detach('trip'), mirusync.detach('stop'), mirusync.detach('leg');
SELECT * FROM mirusync.retry('rita', 400);
DROP SCHEMA rejected_test CASCADE;
CALL mirusync.forget('rita');
CALL mirusync.forget('rosa', 1);
SELECT count(*) FROM mirusync.refusal WHERE feed IN ('rita', 'rosa');
DELETE FROM mirusync.feed WHERE feed IN ('rita', 'rosa');
DELETE FROM mirusync.feed_epoch WHERE feed IN ('rita', 'rosa');
DELETE FROM mirusync.event_collection WHERE collection IN ('trip', 'stop', 'leg');
DELETE FROM mirusync.collection WHERE name = 'film';
DROP ROLE regress_mirusync_reader;
