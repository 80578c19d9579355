-- The event dialect: what comes in, what goes out, and what is refused.
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- The example of docs/events.md, with its notebooks.
SELECT mirusync.create_collection('note');
SELECT mirusync.create_collection('notebook');
SELECT mirusync.create_collection('elsewhere');
INSERT INTO mirusync.event_collection
	(collection, payload, created_type, updated_type, deleted_type, deleted_key,
	 bulk_type, bulk_key)
VALUES ('note', 'note', 'NOTE_CREATED', 'NOTE_UPDATED', 'NOTE_DELETED', 'noteId',
	'NOTES', 'notes');
INSERT INTO mirusync.event_collection (collection, payload, created_type, updated_type)
VALUES ('notebook', 'notebook', 'NOTEBOOK_CREATED', 'NOTEBOOK_UPDATED');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, is_list, id_keys)
VALUES ('NOTE_CREATED', 1, 'note', 'put', 'note', false, '{id}'),
	('NOTE_UPDATED', 1, 'note', 'put', 'note', false, '{id}'),
	('NOTE_DELETED', 1, 'note', 'delete', 'note', false, '{noteId}'),
	('NOTE_BURNED', 1, 'note', 'delete', NULL, false, '{noteId,id}'),
	('NOTEBOOK_CREATED', 1, 'notebook', 'put', 'notebook', false, '{isbn,id}'),
	('NOTEBOOK_CREATED', 2, 'note', 'put', 'notes', true, '{id}'),
	('NOTEBOOK_UPDATED', 1, 'notebook', 'put', 'notebook', false, '{isbn,id}'),
	('NOTEBOOK_UPDATED', 2, 'note', 'put', 'notes', true, '{id}');

-- Makes the server's times equal: those of today, or of a midnight just past.
CREATE FUNCTION pg_temp.stable(body text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(body, format('"(%s|%s)T[0-9:.]+Z"', current_date - 1, current_date),
		'"<now>"', 'g')
$$;
-- Return what push_many and pull_events say.
CREATE FUNCTION pg_temp.push(VARIADIC messages text[])
RETURNS TABLE (kind text, of int, status text, "interval" text, code text, body text)
LANGUAGE sql AS $$
	SELECT p.kind, p.message, coalesce(p.status, p.session), concat(p.after || '..', p.seq),
		p.code, pg_temp.stable(p.body)
	FROM mirusync.push_many(
		array_fill('eva'::text, ARRAY[cardinality(messages)]),
		array_fill('phone'::text, ARRAY[cardinality(messages)]),
		array_fill('s1'::text, ARRAY[cardinality(messages)]),
		array_fill('event'::text, ARRAY[cardinality(messages)]), messages) p
$$;
CREATE FUNCTION pg_temp.pull(after bigint, live boolean, max int DEFAULT 500)
RETURNS TABLE (kind text, "interval" text, head bigint, complete boolean, session text,
	body text)
LANGUAGE sql AS $$
	SELECT p.kind, p.after || '..' || p.seq, p.head, p.complete, p.session,
		pg_temp.stable(p.body)
	FROM mirusync.pull_events('eva', pull.after, pull.max, pull.live) p
$$;
-- Returns the SQLSTATE and reason with which a message is refused.
CREATE FUNCTION pg_temp.refusal(message text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(code || ': ' || body, status) FROM pg_temp.push(message)
	WHERE kind = 'verdict'
$$;
\pset format unaligned
\pset tuples_only on

-- A put and its event; the type it came with is kept, and unknown fields are.
SELECT * FROM pg_temp.push('{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00.000Z",
	"note":{"id":"n1","text":"Bücher \u00e9 \" \\ 😀","updatedAt":"2020-01-01T00:00:00.000Z","x":{"y":[1,null]}}}');
-- Several messages in one call, in order.
SELECT * FROM pg_temp.push(
	'{"type":"NOTE_UPDATED","timestamp":"2020-01-01T00:00:01.000Z","note":{"id":"n2","updatedAt":1577836801000}}',
	'{"type":"NOTE_BURNED","timestamp":"2020-01-01T00:00:02Z","noteId":"n1"}',
	'{"type":"NOTE_UPDATED","timestamp":"nonsense","note":{"id":"n3"}}',
	'{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:03Z","note":{"id":"12.50"}}');
-- A put that is not newer changes nothing: its sender gets what stands, also
-- where that is a tombstone.  Equal stamps leave what is stored.
SELECT * FROM pg_temp.push('{"type":"NOTE_UPDATED","timestamp":"2020-01-02T00:00:00Z",
	"note":{"id":"n2","lost":true,"updatedAt":1577836801000}}');
SELECT * FROM pg_temp.push('{"type":"NOTE_UPDATED","timestamp":"2020-01-02T00:00:00Z",
	"note":{"id":"n1","lost":true,"updatedAt":"2020-01-01T00:00:01Z"}}');
-- A put with a deletedAt is a delete.  So is an event of kind delete, which
-- may bring an image along.
SELECT * FROM pg_temp.push('{"type":"NOTE_UPDATED","timestamp":"2020-01-01T00:00:05Z",
	"note":{"id":"n2","updatedAt":1577836801000,"deletedAt":"2020-01-01T00:00:05Z"}}');
SELECT * FROM pg_temp.push('{"type":"NOTE_DELETED","timestamp":"2020-01-01T00:00:05Z",
	"noteId":"12.50","note":{"id":"12.50","last":"image"}}');
SELECT * FROM pg_temp.push('{"type":"NOTE_UPDATED","timestamp":"2020-01-01T00:00:05Z",
	"note":{"id":"n4","deletedAt":"","updatedAt":null,"updated_at":"2020-01-01 02:00+02"}}');

-- Several objects in one event take several numbers and stay together; the
-- id is under the first of its keys that is there.
SELECT * FROM pg_temp.push('{"type":"NOTEBOOK_CREATED","timestamp":"2020-01-01T00:00:06Z",
	"notebook":{"id":"b1","isbn":"i1"},"notes":[{"id":"n5","updatedAt":"2020-01-01T00:00:06Z"},{"id":"n6"}]}');
SELECT * FROM pg_temp.push('{"type":"NOTEBOOK_UPDATED","timestamp":"2020-01-01T00:00:07Z",
	"notebook":{"id":"b2","isbn":null},"notes":[]}');
-- A pull for live sessions gives the same, with its origin.
SELECT * FROM pg_temp.pull(7, true);
-- Where the main object lost, the others go out for themselves.
SELECT * FROM pg_temp.push('{"type":"NOTEBOOK_UPDATED","timestamp":"2020-01-01T00:00:05Z",
	"notebook":{"id":"b2"},"notes":[{"id":"n6","updatedAt":"2020-01-01T00:00:07Z"}]}');
-- A delete that no event is there for is told by a put with a deletedAt.
SELECT * FROM pg_temp.push('{"type":"NOTEBOOK_UPDATED","timestamp":"2020-01-01T00:00:08Z",
	"notebook":{"id":"b1","isbn":"i1","deletedAt":"2020-01-01T00:00:08Z"},"notes":[{"id":"n5"}]}');

-- The clock of a device that is ahead is bounded, in what is stored as in
-- what is sent, in the form that it had.
SELECT kind, status, body !~ '2099' AS bounded
FROM mirusync.push_many('{erik}', '{phone}', '{s1}', '{event}', ARRAY['{"type":"NOTE_UPDATED",
	"timestamp":"2099-01-01T00:00:00Z",
	"note":{"id":"ahead","updatedAt":"2099-01-01T00:00:00Z","updated_at":4070908800000}}']);
SELECT jsonb_typeof(data->'updatedAt'), jsonb_typeof(data->'updated_at'),
	(data->>'updatedAt')::timestamptz - now() BETWEEN '50 s' AND '60 s' AS iso_bounded,
	to_timestamp((data->>'updated_at')::bigint / 1000) - now() BETWEEN '50 s' AND '60 s' AS ms_bounded
FROM mirusync.document WHERE feed = 'erik' AND id = 'ahead';

-- What SQL writes is told as created, updated or deleted; its stamp is never
-- behind the record's clock, in whichever form it is.
CREATE TEMP TABLE head AS SELECT head FROM mirusync.feed WHERE feed = 'eva';
SELECT mirusync.put('eva', 'note', 'q1', '{"id": "q1"}');
SELECT mirusync.put('eva', 'note', 'n6', '{"id": "n6", "updatedAt": "2020-01-01T00:00:00Z"}');
SELECT mirusync.put('eva', 'note', 'n5', '{"id": "n5", "updated_at": 1}');
SELECT mirusync.put('eva', 'note', 'q2', '{"id": "q2", "deletedAt": "x", "updatedAt": "9999"}');
SELECT mirusync.delete('eva', 'note', 'n4');
SELECT mirusync.delete('eva', 'notebook', 'b2');
SELECT mirusync.put('eva', 'elsewhere', 'e1', '{"id": "e1"}');
SELECT kind, complete, session,
	regexp_replace(body, '"updated_at":\d{13}', '"updated_at":<now>')
FROM head, pg_temp.pull(head, true);

-- Catching up: live records in bulk, the rest one by one in order; only the
-- last message of a page carries its cursor, the others the one before it.
DO $$
DECLARE
	one text;
BEGIN
	-- One by one: an UPDATE of all takes the rows as they lie in the table.
	FOR one IN SELECT id FROM mirusync.document WHERE feed = 'eva' ORDER BY id LOOP
		UPDATE mirusync.document SET data = jsonb_build_object('id', id, 'updatedAt', 9e12)
		WHERE feed = 'eva' AND id = one;
	END LOOP;
END
$$;
SELECT * FROM pg_temp.pull(0, false);
SELECT * FROM head, pg_temp.pull(head, false, 2);
-- A page of which events say nothing has no message, and one above the head
-- starts over.
SELECT mirusync.put('eva', 'elsewhere', 'e2', '{"id": "e2"}');
SELECT p.kind, p.seq = p.head, p.complete, p.body
FROM mirusync.feed f, mirusync.pull_events('eva', f.head - 1, 500, false) p
WHERE f.feed = 'eva';
SELECT kind, after, complete, count(body)
FROM mirusync.pull_events('eva', 1000000, 500, false) GROUP BY 1, 2, 3 ORDER BY 1 DESC;
SELECT * FROM mirusync.pull_events('nobody', 7, 500, true);
-- At most 250 records in a bulk message.
INSERT INTO mirusync.document (feed, collection, id, data)
SELECT 'emil', 'note', 'n' || n, jsonb_build_object('id', n) FROM generate_series(1, 501) n;
SELECT p.seq, jsonb_array_length(p.body::jsonb->'notes') AS notes, p.body::jsonb->'lastSeq' AS last
FROM mirusync.pull_events('emil', 0, 1000, false) p WHERE p.kind = 'event';

-- The collection's function checks and normalises.  What it refuses is
-- refused, but what SQL stored is sent all the same.
CREATE FUNCTION public.note_normalise(note jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF note ? 'null' THEN
		RETURN NULL;
	ELSIF note ? 'array' THEN
		RETURN '[]';
	ELSIF note ? 'bug' THEN
		PERFORM 1 / 0;
	ELSIF jsonb_typeof(note->'text') IS DISTINCT FROM 'string' THEN
		RAISE EXCEPTION 'text of the note is missing' USING errcode = 'MS422';
	END IF;
	RETURN jsonb_set(note, '{text}', to_jsonb(btrim(note->>'text')));
END
$$;
UPDATE mirusync.event_collection SET normalise = 'public.note_normalise(jsonb)'
WHERE collection = 'note';
CREATE FUNCTION pg_temp.note(id text, rest text) RETURNS text LANGUAGE sql AS $$
	SELECT format('{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00Z","note":{"id":%s%s}}', id, rest)
$$;
SELECT * FROM pg_temp.push(pg_temp.note('"m1"', ',"text":" x ","updatedAt":"2020-01-01T00:00:00Z"'));
SELECT pg_temp.refusal(pg_temp.note('"m2"', rest))
FROM unnest('{"",",\"null\":1",",\"array\":1",",\"bug\":1"}'::text[]) rest;
SELECT mirusync.put('ella', 'note', 'm3', '{"id": "m3", "text": " y ", "updatedAt": 9000000000000}');
SELECT mirusync.put('ella', 'note', 'm4', '{"id": "m4", "null": 1, "updatedAt": 9000000000000}');
SELECT mirusync.put('ella', 'note', 'm5', '{"id": "m5", "bug": 1, "updatedAt": 9000000000000}');
SELECT pg_temp.stable(body) FROM mirusync.pull_events('ella', 0, 500, false);
-- One that is gone or does not fit is not the message's fault.
DROP FUNCTION public.note_normalise(jsonb);
SELECT pg_temp.refusal(pg_temp.note('"m2"', ''));
-- Nor one that is named without its schema: search_path must not choose it.
CREATE FUNCTION pg_temp.refusal_with(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE mirusync.event_collection SET normalise = name WHERE collection = 'note';
	RETURN pg_temp.refusal(pg_temp.note('"m2"', ''));
END $$;
SELECT name, pg_temp.refusal_with(name) FROM unnest('{pg_catalog.lower(text),pg_catalog.jsonb_typeof(jsonb),
	jsonb_strip_nulls(jsonb),pg_catalog.jsonb_strip_nulls,(jsonb),nowhere.f(jsonb),17(jsonb),"a.\"(jsonb)"}'::text[]) name;
SELECT count(*) FROM mirusync.pull_events('ella', 0, 500, false);

-- A change of the mapping shows at once, and so does its rollback.
UPDATE mirusync.event_collection SET normalise = NULL WHERE collection = 'note';
BEGIN;
UPDATE mirusync.event_type SET type = 'NOTE_MADE' WHERE type = 'NOTE_CREATED';
SELECT pg_temp.refusal(pg_temp.note('"m2"', ''));
SAVEPOINT s;
TRUNCATE mirusync.event_type;
SELECT pg_temp.refusal(pg_temp.note('"m2"', ''));
ROLLBACK TO s;
SELECT pg_temp.refusal('{"type":"NOTE_MADE","timestamp":"2020-01-01T00:00:00Z","note":{"id":"m2"}}');
ROLLBACK;
SELECT pg_temp.refusal(pg_temp.note('"m2"', ''));
SELECT count(*) FROM pg_catalog.pg_backend_memory_contexts WHERE name = 'mirusync event map';

-- Hostile messages fail alone, each with MS422.
SELECT DISTINCT pg_temp.refusal(m) FROM (VALUES (''), ('no'), ('{'), ('{"type":"NOTE_CREATED"')) v (m);
SELECT pg_temp.refusal(m) FROM unnest(ARRAY['[]', '"x"', '{}', '{"type":1}', '{"type":"X"}',
	'{"type":"","timestamp":"2020-01-01T00:00:00Z"}',
	'{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00Z"}',
	'{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00Z","note":null}',
	'{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00Z","note":"n"}',
	'{"type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00Z","note":[{"id":"n"}]}',
	'{"type":"NOTE_DELETED","timestamp":"2020-01-01T00:00:00Z"}',
	'{"type":"NOTE_DELETED","timestamp":"2020-01-01T00:00:00Z","noteId":"n","note":1}',
	'{"type":"NOTEBOOK_CREATED","timestamp":"2020-01-01T00:00:00Z","notebook":{"id":"b"},"notes":{}}',
	'{"type":"NOTEBOOK_CREATED","timestamp":"2020-01-01T00:00:00Z","notebook":{"id":"b"},"notes":[{"id":"n"},null]}',
	'{"type":"' || repeat('é', 40000) || '","timestamp":"2020-01-01T00:00:00Z"}']) m;
-- ... text that jsonb cannot hold, numbers of any size, too deep a nesting
SELECT pg_temp.refusal(pg_temp.note(id, rest)) FROM (VALUES ('"\u0000"', ''),
	('"\ud800"', ''), ('"\udc00\ud800"', ''), ('"a"', ',"x":1e200000'), ('1e400', ''),
	(repeat('[', 100000), ''), ('"a"', ',"x":' || repeat('{"a":', 98) || '1' || repeat('}', 98)),
	('"a"', ',"x":' || repeat('[', 99) || repeat(']', 99))) v (id, rest);
-- ... ids
SELECT pg_temp.refusal(pg_temp.note(id, '')) FROM unnest(ARRAY['null', '""', 'true', '{}', '[1]',
	to_json(repeat('é', 128))::text]) id;
-- ... times
SELECT pg_temp.refusal(pg_temp.note('"t"', ',"updatedAt":' || t)) FROM unnest(ARRAY['"soon"', 'true',
	'[]', '1.5', '-1', '1e15', '253402300800000', '"+010000-01-01T00:00:00Z"', '"1969-12-31T23:59:59Z"']) t;
SELECT t, pg_temp.refusal(format('{"type":"NOTE_DELETED","timestamp":%s,"noteId":"t"}', to_json(t)))
FROM unnest(ARRAY['', 'now', '2020-01-01', '2020-01-01T00:00Z', '2020-01-01T00:00:00',
	'2020-01-01 00:00:00Z', '2020-01-01T00:00:00+00:00', '2020-01-01T00:00:00z',
	'2020-02-30T00:00:00Z', '2020-01-01T24:00:00Z', '2020-01-01T00:00:60Z',
	'1969-12-31T23:59:59Z', '+010000-01-01T00:00:00Z', '2020-01-01T00:00:00.Z']) t;
-- ... and too many changes; a thousand are fine.
SELECT n, pg_temp.refusal('{"type":"NOTEBOOK_CREATED","timestamp":"2020-01-01T00:00:00Z",'
	|| '"notebook":{"id":"big"},"notes":[' || string_agg(format('{"id":"t%s"}', i), ',') || ']}')
FROM unnest('{999,1000,10000}'::int[]) n, generate_series(1, n) i GROUP BY n ORDER BY n;
-- What is odd but JSON is taken: of equal keys the last one.
SELECT body FROM pg_temp.push('{"type":"X","type":"NOTE_CREATED","timestamp":"2020-01-01T00:00:00Z",
	"note":{"id":"x"},"note":{"id":"odd","id":"odder","big":1e400,"updatedAt":0.0,"updatedAt":0}}')
WHERE kind = 'event' AND length(body) BETWEEN 400 AND 600 AND body ~ '"id": ?"odder"';

-- Deep nesting by SQL goes out too, with its stamp raised.
SELECT mirusync.put('edith', 'note', 'deep', ('{"a":' || repeat('[', 2000) || repeat(']', 2000) || '}')::jsonb);
SELECT length(body) > 4000 AND body ~ '"updatedAt"' FROM mirusync.pull_events('edith', 0, 500, true)
WHERE kind = 'event';

-- The errors of the functions and of the mapping itself.
\set VERBOSITY terse
SELECT * FROM mirusync.pull_events('eva', 0, 0, true);
SELECT * FROM mirusync.pull_events('eva', 0, 10001, true);
INSERT INTO mirusync.event_collection (collection, payload, updated_type) VALUES ('', 'p', 'T');
INSERT INTO mirusync.event_collection (collection, payload, updated_type) VALUES ('c', 'seq', 'T');
INSERT INTO mirusync.event_collection (collection, payload, updated_type) VALUES ('c', 'p', '');
INSERT INTO mirusync.event_collection (collection, payload, updated_type, deleted_type) VALUES ('c', 'p', 'T', 'D');
INSERT INTO mirusync.event_collection (collection, payload, updated_type, bulk_key) VALUES ('c', 'p', 'T', 'k');
INSERT INTO mirusync.event_collection (collection, payload, updated_type, clock_keys) VALUES ('c', 'p', 'T', '{a,NULL}');
INSERT INTO mirusync.event_collection (collection, payload, updated_type, clock_keys) VALUES ('c', 'p', 'T', '{{a},{b}}');
INSERT INTO mirusync.event_type (type, collection, kind, payload) VALUES ('T', 'c', 'put', 'p');
INSERT INTO mirusync.event_type (type, collection, kind, payload) VALUES ('T', 'note', 'patch', 'p');
INSERT INTO mirusync.event_type (type, collection, kind) VALUES ('T', 'note', 'put');
INSERT INTO mirusync.event_type (type, collection, kind, payload, is_list) VALUES ('T', 'note', 'put', 'p', true);
INSERT INTO mirusync.event_type (type, collection, kind, payload, id_keys) VALUES ('T', 'note', 'put', 'p', '{}');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload) VALUES ('T', 0, 'note', 'put', 'p');
SELECT mirusync.mapping_changed();

DELETE FROM mirusync.document WHERE collection IN ('note', 'notebook', 'elsewhere');
-- Types go with their collection; a dump may bring them before it.
BEGIN;
UPDATE mirusync.event_collection SET collection = 'renamed' WHERE collection = 'note';
SELECT collection, count(*) > 0 FROM mirusync.event_type WHERE collection IN ('note', 'renamed') GROUP BY 1;
DELETE FROM mirusync.event_collection WHERE collection = 'renamed';
SELECT count(*) FROM mirusync.event_type WHERE collection IN ('note', 'renamed');
SET LOCAL check_function_bodies = off;
INSERT INTO mirusync.event_type (type, collection, kind, payload) VALUES ('EARLY', 'early', 'put', 'p');
SELECT count(*) FROM mirusync.pull_events('ella', 0, 500, false);
ROLLBACK;
DELETE FROM mirusync.event_collection WHERE collection IN ('note', 'notebook');
SELECT count(*) FROM mirusync.event_type;
DELETE FROM mirusync.collection WHERE name IN ('note', 'notebook', 'elsewhere');

-- A table with an integer key: its ids are numbers in events.
CREATE TABLE public.numbered_note (id int PRIMARY KEY, owner text, body text, "updatedAt" timestamptz);
SELECT mirusync.attach('public.numbered_note', feed => 'owner');
INSERT INTO mirusync.event_collection
	(collection, payload, id_key, created_type, updated_type, deleted_type, deleted_key)
VALUES ('numbered_note', 'note', 'id', 'NN_CREATED', 'NN_UPDATED', 'NN_DELETED', 'noteId');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, id_keys)
VALUES ('NN_CREATED', 1, 'numbered_note', 'put', 'note', '{id}'),
	('NN_DELETED', 1, 'numbered_note', 'delete', NULL, '{noteId}');
SELECT * FROM pg_temp.push('{"type":"NN_CREATED","timestamp":"2020-01-01T00:00:00Z","note":{"id":7,"body":"x","updatedAt":"2020-01-01T00:00:00.000Z"}}');
SELECT * FROM pg_temp.push('{"type":"NN_DELETED","timestamp":"2020-01-01T00:00:01Z","noteId":7}');
SELECT * FROM pg_temp.push('{"type":"NN_DELETED","timestamp":"2020-01-01T00:00:02Z","noteId":"7"}');
DELETE FROM mirusync.event_collection WHERE collection = 'numbered_note';
SELECT mirusync.detach('public.numbered_note');
DROP TABLE public.numbered_note;
