-- push() and push_many() on a table that has everything: foreign key,
-- deferrable foreign key, CHECK, triggers and a generated column.
SET client_min_messages = warning;
-- Each change is judged by itself: the inbox, where later ones wait behind a
-- rejected one, has a test of its own.
SET mirusync.rejected_max_changes = 0;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE SCHEMA push_test;
SET search_path = push_test;
CREATE TABLE book (
	id int PRIMARY KEY,
	owner text NOT NULL,
	title text NOT NULL CHECK (title <> ''),
	pages int NOT NULL DEFAULT 100,
	shelf text GENERATED ALWAYS AS (upper(left(title, 1))) STORED,
	touched int NOT NULL DEFAULT 0
);
CREATE TABLE mark (
	id int PRIMARY KEY,
	owner text NOT NULL,
	book int NOT NULL REFERENCES book DEFERRABLE,
	author int,
	page int
);
CREATE TABLE author (id int PRIMARY KEY);
INSERT INTO author VALUES (1);
ALTER TABLE mark ADD FOREIGN KEY (author) REFERENCES author;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title = 'forbidden' THEN
		RAISE EXCEPTION 'that book is forbidden' USING errcode = 'P0042';
	END IF;
	IF NEW.title = 'suppressed' THEN
		RETURN NULL;
	END IF;
	NEW.touched := OLD.touched + 1;
	RETURN NEW;
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON book
	FOR EACH ROW EXECUTE FUNCTION touch();
SELECT mirusync.attach('book', feed => 'owner');
SELECT mirusync.attach('mark', feed => 'owner');
CREATE FUNCTION verdicts(device text, changes text, who text DEFAULT 'petra')
RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT v FROM jsonb_array_elements(mirusync.push(who, device,
		('{"changes": [' || changes || ']}')::jsonb) -> 'verdicts') v
$$;

-- Put, patch, delete.  A trigger's doing comes back with the verdict.
SELECT verdicts('phone', '
	{"number": 1, "kind": "put", "collection": "book", "id": "1",
	 "fields": {"title": "emma", "pages": 400}},
	{"number": 2, "kind": "put", "collection": "book", "id": "2",
	 "fields": {"title": "persuasion"}}');
SELECT verdicts('phone', '
	{"number": 3, "kind": "patch", "collection": "book", "id": "1",
	 "fields": {"pages": 401, "touched": 7}},
	{"number": 4, "kind": "delete", "collection": "book", "id": "2"},
	{"number": 5, "kind": "delete", "collection": "book", "id": "3"}');
TABLE book;

-- The same again: the same verdicts, and no second effect.
SELECT verdicts('phone', '
	{"number": 1, "kind": "put", "collection": "book", "id": "1",
	 "fields": {"title": "emma", "pages": 400}},
	{"number": 4, "kind": "delete", "collection": "book", "id": "2"}');
SELECT head FROM mirusync.feed WHERE feed = 'petra';

-- One failing change stops no other, and its reason is the table's.
SELECT verdicts('phone', '
	{"number": 10, "kind": "put", "collection": "book", "id": "10", "fields": {"title": ""}},
	{"number": 11, "kind": "put", "collection": "mark", "id": "11", "fields": {"book": 1, "author": 99}},
	{"number": 12, "kind": "put", "collection": "mark", "id": "12", "fields": {"book": 99}},
	{"number": 13, "kind": "put", "collection": "mark", "id": "13", "fields": {"book": 1, "author": 1, "page": "12"}},
	{"number": 14, "kind": "put", "collection": "mark", "id": "14", "fields": {"book": 1, "page": "twelve"}},
	{"number": 15, "kind": "put", "collection": "mark", "id": "fifteen", "fields": {"book": 1}},
	{"number": 16, "kind": "patch", "collection": "book", "id": "1", "fields": {"title": "forbidden"}},
	{"number": 17, "kind": "patch", "collection": "book", "id": "1", "fields": {"title": "suppressed"}},
	{"number": 18, "kind": "patch", "collection": "book", "id": "1", "fields": {"colour": "red"}},
	{"number": 19, "kind": "delete", "collection": "author", "id": "1"},
	{"number": 20, "kind": "patch", "collection": "book", "id": "1", "fields": {"pages": 402}}');
SELECT verdicts('phone', '{"number": 16, "kind": "patch", "collection": "book", "id": "1", "fields": {"title": "fine"}}');

-- A deferrable constraint holds for the batch as a whole: a child may come
-- before its parent.  What fails then is found out one by one.
SELECT verdicts('phone', '
	{"number": 30, "kind": "put", "collection": "mark", "id": "30", "fields": {"book": 31}},
	{"number": 31, "kind": "put", "collection": "book", "id": "31", "fields": {"title": "later"}}');
SELECT verdicts('phone', '
	{"number": 32, "kind": "put", "collection": "mark", "id": "32", "fields": {"book": 33}},
	{"number": 33, "kind": "put", "collection": "book", "id": "33", "fields": {"title": "later"}},
	{"number": 34, "kind": "put", "collection": "book", "id": "34", "fields": {"title": ""}}');
SELECT verdicts('phone', '
	{"number": 35, "kind": "put", "collection": "mark", "id": "35", "fields": {"book": 98}},
	{"number": 36, "kind": "put", "collection": "book", "id": "36", "fields": {"title": "alone"}}');
SELECT verdicts('phone', '{"number": 37, "kind": "delete", "collection": "book", "id": "31"}');

-- A forged feed has an SQLSTATE of its own, however it is forged; so has what
-- belongs to somebody else.
SELECT verdicts('phone', '{"number": 1, "kind": "put", "collection": "book", "id": "70", "fields": {"title": "quinn''s"}}', 'quinn');
SELECT verdicts('phone', '
	{"number": 40, "kind": "put", "feed": "quinn", "collection": "book", "id": "71", "fields": {"title": "x"}},
	{"number": 41, "kind": "put", "collection": "book", "id": "72", "fields": {"title": "x", "owner": "quinn"}},
	{"number": 42, "kind": "put", "collection": "book", "id": "73", "fields": {"title": "x", "owner": "petra"}},
	{"number": 43, "kind": "patch", "collection": "book", "id": "70", "fields": {"title": "stolen"}},
	{"number": 44, "kind": "delete", "collection": "book", "id": "70"},
	{"number": 45, "kind": "put", "collection": "book", "id": "74", "fields": {"title": "x", "id": 75}},
	{"number": 46, "kind": "put", "collection": "book", "id": "76", "fields": {"title": "x", "id": 76, "shelf": "Q"}}');
SELECT id, owner, title, shelf FROM book WHERE id >= 70 ORDER BY id;

-- Last write wins by field: the newer of each field, whatever comes first.
SELECT verdicts('phone', '{"number": 50, "kind": "put", "collection": "book", "id": "50",
	"fields": {"title": "a", "pages": 1}, "clock": "2026-01-01T00:00:10Z"}');
SELECT verdicts('tablet', '{"number": 1, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"title": "newer", "pages": 2}, "clock": "2026-01-01T00:00:30Z", "base": 0}');
SELECT verdicts('phone', '{"number": 51, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"title": "older"}, "clock": "2026-01-01T00:00:20Z"}');
SELECT verdicts('phone', '{"number": 52, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": 3}, "clock": "2026-01-01T00:00:40Z"}');
SELECT title, pages FROM book WHERE id = 50;
-- Equal clocks: the device that sorts last, in either order.
SELECT verdicts('zebra', '{"number": 1, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": 4}, "clock": "2026-01-01T00:00:40Z"}');
SELECT verdicts('apple', '{"number": 1, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": 5}, "clock": "2026-01-01T00:00:40Z"}');
-- A delete that is older than a field loses, one that is newer wins, and a
-- put that is older than the tombstone loses against it.
SELECT verdicts('phone', '{"number": 53, "kind": "delete", "collection": "book", "id": "50", "clock": "2026-01-01T00:00:35Z"}');
SELECT verdicts('phone', '{"number": 54, "kind": "delete", "collection": "book", "id": "50", "clock": "2026-01-01T00:00:50Z"}');
SELECT verdicts('tablet', '{"number": 2, "kind": "put", "collection": "book", "id": "50",
	"fields": {"title": "back"}, "clock": "2026-01-01T00:00:45Z"}');
SELECT verdicts('tablet', '{"number": 3, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"title": "back"}, "clock": "2026-01-01T00:00:55Z"}');
SELECT title, pages FROM book WHERE id = 50;
-- A write by SQL is newer than all of it, though its wall clock were behind.
UPDATE book SET pages = 9 WHERE id = 50;
SELECT verdicts('phone', '{"number": 55, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": 10}, "clock": "2026-01-01T00:01:00Z"}');

-- What another device changed after the base that the device names is
-- concurrent, and the verdict says so.
SELECT verdicts('desk', '{"number": 1, "kind": "put", "collection": "book", "id": "51",
	"fields": {"title": "base", "pages": 1}}') ->> 'verdict' AS put;
SELECT verdicts('desk', '{"number": 2, "kind": "patch", "collection": "book", "id": "51",
	"fields": {"pages": 2}, "base": 1}') ->> 'verdict' AS own,
	verdicts('phone', '{"number": 57, "kind": "patch", "collection": "book", "id": "51",
	"fields": {"title": "concurrent"}, "base": 1}') ->> 'verdict' AS concurrent;
SELECT verdicts('phone', format('{"number": 58, "kind": "patch", "collection": "book", "id": "51",
	"fields": {"title": "seen"}, "base": %s}', head)) ->> 'verdict' AS seen
	FROM mirusync.feed WHERE feed = 'petra';

-- A clock far ahead is bounded, and its skew recorded.
SELECT verdicts('phone', '{"number": 56, "kind": "patch", "collection": "book", "id": "50",
	"fields": {"pages": 11}, "clock": "2999-01-01T00:00:00Z"}');
SELECT skew_ms > 1e12 AS skewed,
	mirusync.hlc_ms(clock) < extract(epoch FROM now() + '61 s'::interval) * 1000 AS bounded
FROM mirusync.change_log WHERE feed = 'petra' ORDER BY seq DESC LIMIT 1;

-- History says who, with what, under which rule.
SELECT kind, id, user_id, device, rule, old, new FROM mirusync.change_log
	WHERE feed = 'petra' AND id = '50' ORDER BY seq;

-- Batches that cannot be judged at all, and digested verdicts.
SELECT mirusync.push('petra', 'phone', '[]');
SELECT mirusync.push('petra', 'phone', '{"changes": {}}');
SELECT mirusync.push('petra', 'phone', '{"changes": [1]}');
SELECT mirusync.push('petra', 'phone', '{"changes": [{"kind": "put"}]}');
SELECT mirusync.push('petra', 'phone', '{"changes": [{"number": 60}, {"number": 60}]}');
SELECT mirusync.push('petra', '', '{"changes": []}');
SELECT verdicts('phone', '
	{"number": 61}, {"number": 62, "kind": "put", "collection": "book"},
	{"number": 63, "kind": "put", "collection": "nowhere", "id": "1", "fields": {}},
	{"number": 64, "kind": "put", "collection": "book", "id": "1", "fields": []},
	{"number": 65, "kind": "put", "collection": "book", "id": "1", "fields": {}},
	{"number": 66, "kind": "put", "collection": "book", "id": "1", "fields": {"pages": 1}, "clock": "today"},
	{"number": 67, "kind": "put", "collection": "book", "id": "1", "fields": {"pages": 1}, "base": -1}');
SELECT mirusync.push('petra', 'phone', '{"changes": [], "digested": 61}');
SELECT verdicts('phone', '{"number": 61, "kind": "delete", "collection": "book", "id": "1"},
	{"number": 62, "kind": "delete", "collection": "book", "id": "1"}');
SELECT min(number) FROM mirusync.verdict WHERE user_id = 'petra' AND device = 'phone';

-- A push in a savepoint that is rolled back takes nothing else with it.
BEGIN;
INSERT INTO book VALUES (80, 'hans', 'kept');
SAVEPOINT a;
SELECT verdicts('d', '{"number": 1, "kind": "put", "collection": "book", "id": "81", "fields": {"title": "gone"}}', 'hans');
ROLLBACK TO a;
COMMIT;
SELECT seq, id, kind FROM mirusync.change_log WHERE feed = 'hans';

-- push_many: messages fail alone, and everything is numbered together.
SELECT mirusync.create_collection('scrap');
INSERT INTO mirusync.event_collection (collection, payload, id_key, created_type, updated_type, deleted_type, deleted_key)
	VALUES ('scrap', 'scrap', 'id', 'SCRAP_CREATED', 'SCRAP_UPDATED', 'SCRAP_DELETED', 'scrapId');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, id_keys)
	VALUES ('SCRAP_CREATED', 1, 'scrap', 'put', 'scrap', '{id}');
CREATE FUNCTION many(users text[], dialects text[], messages text[])
RETURNS TABLE (kind text, message int, status text, feed text, after bigint,
	seq bigint, session text, code text, body text)
LANGUAGE sql AS $$
	SELECT m.kind, m.message, m.status, m.feed, m.after, m.seq, m.session,
		m.code, regexp_replace(m.body, '"timestamp":"[^"]*"', '"timestamp":"now"')
	FROM mirusync.push_many(users, users, users, dialects, messages) m
$$;
SELECT * FROM many('{ida,jan,ida,ida}', '{event,event,event,batch}', ARRAY[
	'{"type": "SCRAP_CREATED", "timestamp": "2026-01-01T00:00:00Z", "scrap": {"id": "1", "updatedAt": "2026-01-01T00:00:00Z"}}',
	'{"type": "SCRAP_CREATED", "timestamp": "2026-01-01T00:00:00Z", "scrap": {"id": "1", "text": "\u0000"}}',
	'{"type": "SCRAP_CREATED", "timestamp": "2026-01-01T00:00:01Z", "scrap": {"id": "1", "updatedAt": "2026-01-01T00:00:01Z"}}',
	'{"changes": [{"number": 1, "kind": "patch", "collection": "book", "id": "90", "fields": {"title": "both"}}]}']);
SELECT * FROM many('{ida}', '{event}', ARRAY[
	'{"type": "SCRAP_CREATED", "timestamp": "2026-01-01T00:00:00Z", "scrap": {"id": "1", "updatedAt": "2026-01-01T00:00:00Z"}}']);
-- A page and its service worker send the same batch: one is told to try again.
SELECT status, code, body FROM mirusync.push_many('{kim,kim}', '{d,d}', '{page,worker}', '{batch,batch}',
	array_fill('{"changes": [{"number": 1, "kind": "put", "collection": "scrap", "id": "k", "fields": {"a": 1}}]}'::text, '{2}'))
	WHERE kind = 'verdict';
-- A message that is sent twice: the second is for the next group, and what comes behind it.
SELECT message, status, code, left(body, 90) AS body
	FROM mirusync.push_many('{kim,liv,kim,kim}', '{d,d,d,d}', '{one,one,one,one}', '{batch,batch,batch,batch}', ARRAY[
	'{"changes": [{"number": 9, "kind": "delete", "collection": "book", "id": "777"}, {"number": 7, "kind": "delete", "collection": "book", "id": "777"}]}',
	'{"changes": [{"number": 9, "kind": "delete", "collection": "book", "id": "777"}]}',
	'{"changes": [{"number": 10, "kind": "delete", "collection": "book", "id": "777"}, {"number": 7, "kind": "delete", "collection": "book", "id": "777"}]}',
	'{"changes": [{"number": 11, "kind": "delete", "collection": "book", "id": "777"}]}']) WHERE kind = 'verdict';
SELECT count(*) FROM many('{}', '{}', '{}');
SELECT * FROM mirusync.push_many('{a}', '{a}', '{a}', '{morse}', '{x}');
SELECT * FROM mirusync.push_many('{a}', '{a,b}', '{a}', '{event}', '{x}');
SELECT * FROM mirusync.push_many(array_fill('a'::text, '{61}'), array_fill('a'::text, '{61}'),
	array_fill('a'::text, '{61}'), array_fill('event'::text, '{61}'), array_fill('{}'::text, '{61}'));

-- Who pushes, as policies, defaults, checks and triggers see it.
CREATE ROLE regress_mirusync_pusher;
GRANT USAGE ON SCHEMA push_test TO regress_mirusync_pusher;
CREATE TABLE diary (
	id int PRIMARY KEY,
	feed text,
	owner text DEFAULT mirusync.user_id(),
	device text DEFAULT mirusync.device_id(),
	body text CHECK (body <> 'odd' OR mirusync.user_id() = 'lea')
);
CREATE TABLE seen (n serial, what text, id int, who text, device text);
GRANT ALL ON diary, seen, seen_n_seq TO regress_mirusync_pusher;
ALTER TABLE diary ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON diary TO regress_mirusync_pusher USING (owner = mirusync.user_id());
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO push_test.seen (what, id, who, device)
	VALUES (TG_NAME || ' ' || lower(TG_OP), NEW.id, mirusync.user_id(), mirusync.device_id());
	RETURN NEW;
END $$;
CREATE TRIGGER now BEFORE INSERT OR UPDATE ON diary FOR EACH ROW EXECUTE FUNCTION see();
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON diary
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
SELECT mirusync.attach('diary', feed => 'feed', role => 'regress_mirusync_pusher');
SELECT verdicts('phone', '
	{"number": 1, "kind": "put", "collection": "diary", "id": "1", "fields": {"body": "odd"}},
	{"number": 2, "kind": "put", "collection": "diary", "id": "2", "fields": {"owner": "max"}},
	{"number": 3, "kind": "patch", "collection": "diary", "id": "1", "fields": {"owner": "max"}}', 'lea');
SELECT what, id, who, device FROM seen ORDER BY n;
-- Each of a group is told its own, whatever becomes of the others.
INSERT INTO mirusync.event_collection (collection, clock_keys, payload, id_key, created_type, updated_type)
	VALUES ('diary', '{}', 'diary', 'id', 'DIARY_PUT', 'DIARY_PUT');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, id_keys)
	VALUES ('DIARY_PUT', 1, 'diary', 'put', 'diary', '{id}');
TRUNCATE seen;
SELECT message, status, code, body FROM many('{max,lea,nina,max,olga}', '{batch,batch,batch,event,event}', ARRAY[
	'{"changes": [{"number": 1, "kind": "put", "collection": "diary", "id": "10", "fields": {"body": "even"}}]}',
	'{"changes": [{"number": 4, "kind": "put", "collection": "diary", "id": "11", "fields": {"body": "odd"}}]}',
	'{"changes": [{"number": 1, "kind": "put", "collection": "diary", "id": "12", "fields": {"body": "odd"}},
		{"number": 2, "kind": "put", "collection": "diary", "id": "13", "fields": {"body": "even"}}]}',
	'{"type": "DIARY_PUT", "timestamp": "2026-01-01T00:00:00Z", "diary": {"id": "14", "body": "even"}}',
	'{"type": "DIARY_PUT", "timestamp": "2026-01-01T00:00:00Z", "diary": {"id": "15", "body": "odd"}}']) WHERE kind = 'verdict';
SELECT what, id, who, device FROM seen ORDER BY n;
SELECT id, feed, owner, device, body FROM diary ORDER BY id;
-- A row that the policy hides is no device's to change, whatever feed it is in.
INSERT INTO diary VALUES (20, 'lea', 'max'), (21, 'lea', 'lea');
SELECT verdicts('phone', '
	{"number": 20, "kind": "patch", "collection": "diary", "id": "20", "fields": {"body": "b"}},
	{"number": 21, "kind": "put", "collection": "diary", "id": "20", "fields": {"body": "b"}},
	{"number": 22, "kind": "delete", "collection": "diary", "id": "20"},
	{"number": 23, "kind": "patch", "collection": "diary", "id": "21", "fields": {"body": "b"}},
	{"number": 24, "kind": "delete", "collection": "diary", "id": "21"}', 'lea');
SELECT id, owner, body FROM diary WHERE id >= 20;
-- Outside a push nobody pushes: not in SQL, nor at COMMIT, nor after an error.
TRUNCATE seen;
BEGIN;
SELECT verdicts('phone', '{"number": 25, "kind": "put", "collection": "diary", "id": "25", "fields": {}}', 'lea') ->> 'verdict';
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO diary VALUES (26, 'lea', DEFAULT);
COMMIT;
SELECT what, id, who, device FROM seen ORDER BY n;
SELECT mirusync.push('lea', 'phone', '{"changes": 1}');
SELECT mirusync.user_id(), mirusync.device_id();
BEGIN;
SAVEPOINT a;
SELECT mirusync.push('lea', 'phone', '{"changes": 1}');
ROLLBACK TO a;
SELECT mirusync.user_id(), mirusync.device_id();
COMMIT;
SET mirusync.user_id = 'lea';

-- A trigger may push in its turn, and fail.
CREATE TABLE outer_one (id int PRIMARY KEY, owner text, bad boolean);
CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO push_test.seen (what, who, device) VALUES ('before', mirusync.user_id(), mirusync.device_id());
	BEGIN
		PERFORM mirusync.push('olga', 'bot', jsonb_build_object('changes', CASE WHEN NEW.bad THEN '1'::jsonb
			ELSE '[{"number": 1, "kind": "put", "collection": "diary", "id": "30", "fields": {}}]' END));
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO push_test.seen (what, who, device) VALUES (SQLSTATE, mirusync.user_id(), mirusync.device_id());
	END;
	INSERT INTO push_test.seen (what, who, device) VALUES ('after', mirusync.user_id(), mirusync.device_id());
	RETURN NULL;
END $$;
CREATE TRIGGER pass_on AFTER INSERT ON outer_one FOR EACH ROW EXECUTE FUNCTION pass_on();
SELECT mirusync.attach('outer_one', feed => 'owner');
TRUNCATE seen;
SELECT verdicts('phone', '{"number": 30, "kind": "put", "collection": "outer_one", "id": "1", "fields": {"bad": false}}', 'lea');
SELECT what, id, who, device FROM seen ORDER BY n;
TRUNCATE seen;
SELECT verdicts('phone', '{"number": 31, "kind": "put", "collection": "outer_one", "id": "2", "fields": {"bad": true}}', 'lea');
SELECT what, id, who, device FROM seen ORDER BY n;
SELECT mirusync.user_id();
-- Before the row is written too: what is written then is still the outer one's.
CREATE FUNCTION pass_on_early() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mirusync.push('olga', 'bot', '{"changes": [{"number": 2, "kind": "put", "collection": "diary", "id": "31", "fields": {}}]}');
	RETURN NEW;
END $$;
CREATE TRIGGER pass_on_early BEFORE INSERT ON outer_one FOR EACH ROW EXECUTE FUNCTION pass_on_early();
SELECT verdicts('phone', '{"number": 32, "kind": "put", "collection": "outer_one", "id": "3", "fields": {"bad": true}}', 'lea');
SELECT feed, kind, user_id, device FROM mirusync.change_log WHERE collection = 'outer_one' AND id = '3' OR collection = 'diary' AND id = '31'
	ORDER BY feed;

-- ... and the outer one's later changes of the record know of it: the second
-- is older, and the third adds to what the first has written.
CREATE TABLE relay_race (id int PRIMARY KEY, owner text, a text, b int);
CREATE FUNCTION pass_always() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mirusync.push('olga', 'bot', format('{"changes": [{"number": %s, "kind": "put", "collection": "diary", "id": "%s", "fields": {}}]}',
		nextval('push_test.bot'), 100 + currval('push_test.bot'))::jsonb);
	RETURN NEW;
END $$;
CREATE SEQUENCE bot START 10;
SELECT mirusync.attach('relay_race', feed => 'owner');
SELECT verdicts('phone', '{"number": 33, "kind": "put", "collection": "relay_race", "id": "1", "fields": {"a": "put", "b": 0}, "clock": "2020-01-01T00:00:00Z"}', 'lea');
CREATE TRIGGER pass_always BEFORE INSERT OR UPDATE ON relay_race FOR EACH ROW EXECUTE FUNCTION pass_always();
SELECT verdicts('phone', '
	{"number": 34, "kind": "patch", "collection": "relay_race", "id": "1", "fields": {"a": "first"}, "clock": "2020-02-02T00:00:00Z"},
	{"number": 35, "kind": "patch", "collection": "relay_race", "id": "1", "fields": {"a": "older"}, "clock": "2020-02-01T00:00:00Z"},
	{"number": 36, "kind": "patch", "collection": "relay_race", "id": "1", "fields": {"b": 1}, "clock": "2020-02-03T00:00:00Z"},
	{"number": 37, "kind": "put", "collection": "relay_race", "id": "2", "fields": {"a": "new"}, "clock": "2020-02-02T00:00:00Z"},
	{"number": 38, "kind": "put", "collection": "relay_race", "id": "2", "fields": {"a": "older"}, "clock": "2020-02-01T00:00:00Z"}', 'lea');
SELECT * FROM relay_race ORDER BY id;
SELECT seq, kind, id, new FROM mirusync.change_log WHERE collection = 'relay_race' ORDER BY seq;
SELECT mirusync.detach('relay_race');

-- A role that was dropped may not do what everybody may.
CREATE ROLE regress_mirusync_brief;
CREATE TABLE open_to_all (id int PRIMARY KEY, owner text, body text);
GRANT ALL ON open_to_all TO PUBLIC;
GRANT USAGE ON SCHEMA push_test TO PUBLIC;
SELECT mirusync.attach('open_to_all', feed => 'owner', role => 'regress_mirusync_brief');
SELECT verdicts('phone', '{"number": 50, "kind": "put", "collection": "open_to_all", "id": "1", "fields": {"body": "a"}}', 'lena');
DROP ROLE regress_mirusync_brief;
SELECT verdicts('phone', '{"number": 51, "kind": "put", "collection": "open_to_all", "id": "1", "fields": {"body": "b"}}', 'lena');
UPDATE mirusync.collection SET role = 'regress_mirusync_pusher' WHERE name = 'open_to_all';
SELECT verdicts('phone', '{"number": 52, "kind": "put", "collection": "open_to_all", "id": "1", "fields": {"body": "c"}}', 'lena');
SELECT body FROM open_to_all;
SELECT mirusync.detach('open_to_all');
REVOKE USAGE ON SCHEMA push_test FROM PUBLIC;

-- A collection that devices may only read, by every road.
CREATE TABLE news (id int PRIMARY KEY, owner text, title text);
SELECT mirusync.attach('news', feed => 'owner', pushable => false);
INSERT INTO news VALUES (1, 'lea', 'read me');
INSERT INTO mirusync.event_collection (collection, clock_keys, payload, id_key, created_type, updated_type, deleted_type, deleted_key)
	VALUES ('news', '{}', 'news', 'id', 'NEWS_PUT', 'NEWS_PUT', 'NEWS_GONE', 'newsId');
INSERT INTO mirusync.event_type (type, part, collection, kind, payload, id_keys)
	VALUES ('SCRAP_MIXED', 1, 'scrap', 'put', 'scrap', '{id}'), ('SCRAP_MIXED', 2, 'news', 'put', 'news', '{id}'),
		('NEWS_PUT', 1, 'news', 'put', 'news', '{id}'), ('NEWS_GONE', 1, 'news', 'delete', NULL, '{newsId}');
SELECT verdicts('phone', '
	{"number": 40, "kind": "put", "collection": "news", "id": "2", "fields": {"title": "x"}},
	{"number": 41, "kind": "patch", "collection": "news", "id": "1", "fields": {"title": "x"}},
	{"number": 42, "kind": "delete", "collection": "news", "id": "1"},
	{"number": 43, "kind": "delete", "collection": "news", "id": "9"}', 'lea');
SELECT message, status, code, body FROM many('{lea,lea,lea,lea}', '{batch,event,event,event}', ARRAY[
	'{"changes": [{"number": 44, "kind": "put", "collection": "news", "id": "2", "fields": {"title": "x"}}]}',
	'{"type": "NEWS_PUT", "timestamp": "2026-01-01T00:00:00Z", "news": {"id": "2", "title": "x"}}',
	'{"type": "NEWS_GONE", "timestamp": "2026-01-01T00:00:00Z", "newsId": "1"}',
	'{"type": "SCRAP_MIXED", "timestamp": "2026-01-01T00:00:00Z", "scrap": {"id": "m"}, "news": {"id": "2"}}'])
	WHERE kind = 'verdict';
SELECT mirusync.create_collection('sign', pushable => false);
SELECT verdicts('phone', '{"number": 45, "kind": "put", "collection": "sign", "id": "1", "fields": {}}', 'lea');
TABLE news;
SELECT count(*) FROM mirusync.document WHERE collection = 'sign' OR id = 'm';
SELECT name, pushable, role, rule, columns FROM mirusync.collections
	WHERE name IN ('news', 'sign', 'diary') ORDER BY name;
DELETE FROM mirusync.event_type WHERE type IN ('SCRAP_MIXED', 'NEWS_PUT', 'NEWS_GONE', 'DIARY_PUT');
DELETE FROM mirusync.event_collection WHERE collection IN ('news', 'diary');
DELETE FROM mirusync.collection WHERE name = 'sign';

SELECT mirusync.detach('news'), mirusync.detach('outer_one'), mirusync.detach('diary');
DROP OWNED BY regress_mirusync_pusher;
DROP ROLE regress_mirusync_pusher;

-- What an administrator adds to the document store holds for new documents.
BEGIN;
SELECT mirusync.create_collection('extra');
CREATE TABLE push_test.fired (at text, level text, id text);
CREATE FUNCTION push_test.fire() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO push_test.fired VALUES (TG_WHEN, TG_LEVEL, CASE TG_LEVEL WHEN 'ROW' THEN NEW.id END);
	RETURN NEW;
END
$$;
CREATE FUNCTION extra(id text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT v FROM verdicts('phone', jsonb_build_object('number', id::int, 'kind', 'put', 'collection', 'extra',
		'id', id, 'fields', jsonb_build_object('a', 1))::text, 'xenia') v
$$;
CREATE FUNCTION again(id text, number int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT v FROM verdicts('phone', jsonb_build_object('number', number, 'kind', 'patch', 'collection', 'extra',
		'id', id, 'fields', jsonb_build_object('b', number))::text, 'xenia') v
$$;
CREATE TRIGGER fire_late AFTER INSERT ON mirusync.document FOR EACH ROW EXECUTE FUNCTION push_test.fire();
SELECT extra('1');
CREATE TRIGGER fire_once AFTER INSERT ON mirusync.document FOR EACH STATEMENT EXECUTE FUNCTION push_test.fire();
SELECT extra('2');
CREATE TRIGGER fire_early BEFORE INSERT ON mirusync.document FOR EACH ROW EXECUTE FUNCTION push_test.fire();
SELECT extra('3');
SELECT again('1', 101);
CREATE TRIGGER again_late AFTER UPDATE ON mirusync.document FOR EACH ROW EXECUTE FUNCTION push_test.fire();
SELECT again('2', 102);
CREATE TRIGGER again_once BEFORE UPDATE ON mirusync.document FOR EACH STATEMENT EXECUTE FUNCTION push_test.fire();
SELECT again('3', 103);
SELECT * FROM push_test.fired;
DROP TRIGGER again_late ON mirusync.document;
DROP TRIGGER again_once ON mirusync.document;
DROP TRIGGER fire_late ON mirusync.document;
DROP TRIGGER fire_once ON mirusync.document;
DROP TRIGGER fire_early ON mirusync.document;
ALTER TABLE mirusync.document ADD CHECK (id <> '4');
SELECT extra('4');
CREATE UNIQUE INDEX ON mirusync.document ((data -> 'a')) WHERE feed = 'xenia' AND id > '4';
SELECT extra('5'), extra('6');
CREATE RULE nothing AS ON INSERT TO mirusync.document WHERE NEW.id = '30' DO INSTEAD NOTHING;
SELECT extra('30');
DROP RULE nothing ON mirusync.document;
ALTER TABLE mirusync.document ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirusync.document FORCE ROW LEVEL SECURITY;
CREATE ROLE regress_mirusync_extra;
GRANT INSERT, SELECT, UPDATE ON mirusync.document TO regress_mirusync_extra;
UPDATE mirusync.collection SET role = 'regress_mirusync_extra'::regrole WHERE name = 'extra';
SELECT extra('31'), again('1', 104);
ALTER TABLE mirusync.document DISABLE ROW LEVEL SECURITY;
SELECT extra('32'), again('1', 105);
REVOKE SELECT ON mirusync.document FROM regress_mirusync_extra;
SELECT extra('33'), again('1', 106);
SELECT id, data FROM mirusync.document WHERE feed = 'xenia' ORDER BY id;
ROLLBACK;

-- Numbers far apart are looked up without reading what is kept between them.
INSERT INTO mirusync.verdict (user_id, device, number, verdict)
	SELECT 'petra', 'hoarder', n, jsonb_build_object('number', n, 'verdict', 'applied')
	FROM generate_series(1, 5000) AS n;
BEGIN;
SELECT v -> 'number' AS number, v -> 'replay' AS replay FROM verdicts('hoarder', '
	{"number": 9000, "kind": "delete", "collection": "book", "id": "1"},
	{"number": 4001, "kind": "delete", "collection": "book", "id": "1"},
	{"number": 1, "kind": "delete", "collection": "book", "id": "1"},
	{"number": 3, "kind": "delete", "collection": "book", "id": "1"},
	{"number": 8000, "kind": "delete", "collection": "book", "id": "1"}') v;
SELECT pg_stat_get_xact_tuples_fetched('mirusync.verdict_pkey'::regclass) < 100 AS few;
ROLLBACK;

-- What is kept of a device is found by its index also where the plan is made
-- while the table is nearly empty.
BEGIN;
DELETE FROM mirusync.verdict;
ANALYZE mirusync.verdict, mirusync.device;
CREATE TEMP VIEW scans AS SELECT sum(seq_scan) AS whole, sum(idx_scan) AS by_index FROM pg_stat_xact_all_tables
	WHERE relid IN ('mirusync.verdict'::regclass, 'mirusync.device'::regclass);
SELECT whole, by_index FROM scans \gset
SELECT mirusync.push('petra', 'tidy', '{"digested": 1, "report": {"unsent": 0}, "changes": []}');
SELECT whole - :whole AS whole, by_index > :by_index AS by_index FROM scans;
ROLLBACK;

SELECT mirusync.detach('mark');
SELECT mirusync.detach('book');
DELETE FROM mirusync.event_type WHERE type = 'SCRAP_CREATED';
DELETE FROM mirusync.event_collection WHERE collection = 'scrap';
DROP SCHEMA push_test CASCADE;
