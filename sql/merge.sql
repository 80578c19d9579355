-- Merge rules: what stands of two changes that neither writer knew of.  The
-- examples are those of docs/merge.md (tools/check-docs.sh compares them).
SET client_min_messages = warning;
-- As it is for everybody; pg_regress sets another.
SET intervalstyle = postgres;
-- Each change is judged by itself, without the inbox (rejected).
SET mirusync.rejected_max_changes = 0;
ALTER SEQUENCE mirusync.conflict_id RESTART;
CREATE SCHEMA merge_test;
SET search_path = merge_test;

CREATE TABLE task (
	id int PRIMARY KEY,
	owner text NOT NULL,
	title text,
	assignee text,
	price numeric(10, 2),
	best_time interval,
	high_score int
);
SELECT mirusync.attach('task', feed => 'owner');
SELECT mirusync.set_rule('task', 'assignee', 'first_wins');
SELECT mirusync.set_rule('task', 'price', 'server_wins');
SELECT mirusync.set_rule('task', 'best_time', 'min');
SELECT mirusync.set_rule('task', 'high_score', 'max');

-- One change of one of Pia's devices.
CREATE FUNCTION push(device text, change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push('pia', device, jsonb_build_object('changes',
		jsonb_build_array(change))) #> '{verdicts,0}'
$$;

-- lww_field.  The phone was offline when it changed the title, and comes last.
SELECT push('phone', '{"number": 1, "kind": "put", "collection": "task", "id": "1",
	"fields": {"title": "Tea"}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 1, "kind": "patch", "collection": "task", "id": "1",
	"fields": {"title": "Green tea"}, "clock": "2026-01-01T09:10:00Z", "base": 1}');
SELECT push('phone', '{"number": 2, "kind": "patch", "collection": "task", "id": "1",
	"fields": {"title": "Black tea"}, "clock": "2026-01-01T09:05:00Z", "base": 1}');

-- A whole record that names its base.  Each changed one field of it.
SELECT push('phone', '{"number": 80, "kind": "put", "collection": "task", "id": "6",
	"fields": {"title": "Bread", "assignee": "Tom"}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 80, "kind": "put", "collection": "task", "id": "6",
	"fields": {"title": "Bread", "assignee": "Pia"}, "clock": "2026-01-01T09:10:00Z", "base": 3}');
SELECT push('phone', '{"number": 81, "kind": "put", "collection": "task", "id": "6",
	"fields": {"title": "Rye bread", "assignee": "Tom"}, "clock": "2026-01-01T09:20:00Z", "base": 3}');
SELECT title, assignee FROM task WHERE id = 6;

-- first_wins.  Both take the task; what counts is who is numbered first.
INSERT INTO task (id, owner, title) VALUES (2, 'pia', 'Shopping');
SELECT push('phone', '{"number": 3, "kind": "patch", "collection": "task", "id": "2",
	"fields": {"assignee": "Pia"}, "clock": "2026-01-01T09:10:00Z", "base": 6}');
SELECT push('tablet', '{"number": 2, "kind": "patch", "collection": "task", "id": "2",
	"fields": {"assignee": "Tom"}, "clock": "2026-01-01T09:20:00Z", "base": 6}');
-- Tom's tablet has seen it now, and may hand the task on.
SELECT push('tablet', '{"number": 3, "kind": "patch", "collection": "task", "id": "2",
	"fields": {"assignee": "Tom"}, "clock": "2026-01-01T09:30:00Z", "base": 7}');

-- server_wins.  A job sets the price while the phone is offline.
INSERT INTO task (id, owner, price) VALUES (3, 'pia', 10);
UPDATE task SET price = 12.50 WHERE id = 3;
SELECT push('phone', '{"number": 5, "kind": "patch", "collection": "task", "id": "3",
	"fields": {"price": 11, "title": "Lamp"}, "base": 9}');

-- max and min.  Two games on two devices; the clocks do not matter.
SELECT push('tablet', '{"number": 7, "kind": "put", "collection": "task", "id": "4",
	"fields": {"high_score": 900, "best_time": "00:01:40"}, "clock": "2026-01-01T09:20:00Z"}');
SELECT push('phone', '{"number": 7, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"high_score": 1200, "best_time": "00:02:10"}, "clock": "2026-01-01T09:10:00Z"}');
SELECT high_score, best_time FROM task WHERE id = 4;

-- More than the page says.
-- Without a base nobody knows what it had seen.
SELECT push('phone', '{"number": 4, "kind": "patch", "collection": "task", "id": "2",
	"fields": {"assignee": "Pia"}}');
-- Its own value a device knows without having been told.
SELECT push('tablet', '{"number": 4, "kind": "patch", "collection": "task", "id": "2",
	"fields": {"assignee": "Ann"}, "clock": "2026-01-01T09:50:00Z", "base": 7}');
SELECT push('tablet', '{"number": 5, "kind": "patch", "collection": "task", "id": "2",
	"fields": {"assignee": "Tom"}, "clock": "2026-01-01T09:40:00Z", "base": 7}');
-- Two devices are equals, and one that has seen the price may change it.
SELECT push('phone', '{"number": 6, "kind": "patch", "collection": "task", "id": "3",
	"fields": {"price": 13}, "base": 10}');
SELECT push('tablet', '{"number": 6, "kind": "patch", "collection": "task", "id": "3",
	"fields": {"price": 14}, "base": 10}');
-- Null is no value: it replaces none.  Both sides are compared as the type's.
SELECT push('phone', '{"number": 8, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"high_score": null, "best_time": "100 seconds"}}');
SELECT push('phone', '{"number": 9, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"high_score": "1201", "best_time": "99 s"}}');
-- SQL may lower a maximum: who writes it knows what it overwrites.
UPDATE task SET high_score = 5, best_time = NULL WHERE id = 4;
SELECT push('phone', '{"number": 10, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"high_score": 4, "best_time": "1 h"}}');
-- A patch that brings back a record merges with its last image.
DELETE FROM task WHERE id = 4;
SELECT push('phone', '{"number": 11, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"high_score": 3, "title": "back"}}');
SELECT title, high_score, best_time FROM task WHERE id = 4;

-- History says which rules were in force.
SELECT seq, rule, field_rules FROM mirusync.change_log
	WHERE feed = 'pia' AND rule IS NOT NULL ORDER BY seq DESC LIMIT 3;

-- A rule stays with its column, and goes with the collection.
CREATE VIEW task_rules AS SELECT field, rule FROM mirusync.rules
	WHERE collection = 'task' ORDER BY field NULLS FIRST;
ALTER TABLE task RENAME high_score TO score;
SELECT push('phone', '{"number": 12, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"score": 2}}');
TABLE task_rules;
SELECT mirusync.set_rule('task', 'score', NULL);
SELECT mirusync.set_rule('task', 'score', NULL);
SELECT mirusync.set_rule('task', 'assignee', 'lww_field');
SELECT mirusync.set_rule('task', NULL, 'first_wins');
SELECT push('phone', '{"number": 13, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"score": 2, "title": "not seen"}}');
ALTER TABLE task DROP best_time;
UPDATE task SET title = 'one time less' WHERE id = 4;
TABLE task_rules;
-- An order that the column has no more.
SELECT mirusync.set_rule('task', 'score', 'max');
ALTER TABLE task ALTER score TYPE point USING NULL;
UPDATE task SET score = '(1,2)' WHERE id = 4;
SELECT push('phone', '{"number": 14, "kind": "patch", "collection": "task", "id": "4",
	"fields": {"score": "(2,3)"}}');
SELECT mirusync.detach('task');
TABLE task_rules;
SELECT * FROM mirusync.field_rule WHERE collection = 'task';
-- A dump keeps them.
SELECT 'mirusync.field_rule'::regclass = ANY (extconfig) AS dumped
	FROM pg_extension WHERE extname = 'mirusync';

-- Documents: the same rules, in the order of jsonb.  Fields with a rule of
-- their own leave the rest to be merged as a whole.
SELECT mirusync.create_collection('merge_game');
SELECT mirusync.set_rule('merge_game', 'best', 'max');
SELECT mirusync.set_rule('merge_game', 'owner', 'first_wins');
SELECT push('phone', '{"number": 20, "kind": "put", "collection": "merge_game", "id": "g",
	"fields": {"best": 10, "name": "chess", "level": 1}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 20, "kind": "put", "collection": "merge_game", "id": "g",
	"fields": {"best": 9, "name": "go"}, "clock": "2026-01-01T09:20:00Z", "base": 0}');
SELECT data FROM mirusync.document WHERE collection = 'merge_game';
-- The whole is older, the best is better.
SELECT push('phone', '{"number": 21, "kind": "put", "collection": "merge_game", "id": "g",
	"fields": {"best": 11, "name": "chess", "level": 2}, "clock": "2026-01-01T09:10:00Z"}');
-- A put that leaves a maximum out takes it from nobody; a patch neither.
SELECT push('phone', '{"number": 22, "kind": "put", "collection": "merge_game", "id": "g",
	"fields": {"name": "chess"}, "clock": "2026-01-01T09:30:00Z"}');
SELECT push('phone', '{"number": 23, "kind": "patch", "collection": "merge_game", "id": "g",
	"fields": {"best": null, "owner": "pia"}, "clock": "2026-01-01T09:40:00Z"}');
-- A newer best does not make the rest look newer.
SELECT push('tablet', '{"number": 21, "kind": "patch", "collection": "merge_game", "id": "g",
	"fields": {"best": 12}, "clock": "2026-01-01T09:59:00Z"}');
SELECT push('phone', '{"number": 24, "kind": "put", "collection": "merge_game", "id": "g",
	"fields": {"name": "checkers"}, "clock": "2026-01-01T09:50:00Z"}');
-- Equal values: the last written form stands.
SELECT push('tablet', '{"number": 22, "kind": "patch", "collection": "merge_game", "id": "g",
	"fields": {"best": 12.0}, "clock": "2026-01-01T10:00:00Z"}');
SELECT push('phone', '{"number": 25, "kind": "patch", "collection": "merge_game", "id": "g",
	"fields": {"best": 12.00}, "clock": "2026-01-01T09:30:00Z"}');
SELECT data FROM mirusync.document WHERE collection = 'merge_game';
SELECT field_rules FROM mirusync.change_log
	WHERE feed = 'pia' AND collection = 'merge_game' ORDER BY seq;
SELECT field, rule FROM mirusync.rules WHERE collection = 'merge_game'
	ORDER BY field NULLS FIRST;
-- A deleted one that is patched.
SELECT push('phone', '{"number": 26, "kind": "delete", "collection": "merge_game", "id": "g"}');
SELECT push('tablet', '{"number": 23, "kind": "patch", "collection": "merge_game", "id": "g",
	"fields": {"best": 1}}');
SELECT data FROM mirusync.document WHERE collection = 'merge_game';

-- counter.  Two devices add to the likes of a post; SQL does so too.
CREATE TABLE post (
	id int PRIMARY KEY,
	owner text NOT NULL,
	title text,
	likes int NOT NULL DEFAULT 0 CHECK (likes >= 0),
	hours numeric(6, 2)
);
SELECT mirusync.attach('post', feed => 'owner');
SELECT mirusync.set_rule('post', 'likes', 'counter');
SELECT mirusync.set_rule('post', 'hours', 'counter');
INSERT INTO post VALUES (1, 'pia', 'Rain', 10);
SELECT push('phone', '{"number": 30, "kind": "patch", "collection": "post", "id": "1",
	"add": {"likes": 1}}');
SELECT push('tablet', '{"number": 30, "kind": "patch", "collection": "post", "id": "1",
	"add": {"likes": 2}, "clock": "2026-01-01T09:00:00Z"}');
UPDATE post SET likes = likes - 3 WHERE id = 1;
SELECT title, likes FROM post WHERE id = 1;
-- Sent again it counts once.
SELECT push('tablet', '{"number": 30, "kind": "patch", "collection": "post", "id": "1",
	"add": {"likes": 2}, "clock": "2026-01-01T09:00:00Z"}');
SELECT likes FROM post WHERE id = 1;
-- A value instead of an increment: by how much it differs from what the device
-- knew.  The phone saw 10 and added 1 of its own; then it has 15.
SELECT min(seq) AS base FROM mirusync.change_log WHERE feed = 'pia' AND collection = 'post' \gset
SELECT push('phone', format('{"number": 31, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 15, "title": "Sun"}, "base": %s}', :base)::jsonb);
-- It has that now, as a value of its own, and 16 is one more.
SELECT push('phone', format('{"number": 32, "kind": "put", "collection": "post", "id": "1",
	"fields": {"likes": 16}, "base": %s}', :base)::jsonb);
SELECT title, likes FROM post WHERE id = 1;
-- What it has not changed does not change.
SELECT push('tablet', format('{"number": 31, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 12}, "base": %s}', :base)::jsonb);
-- Without a base a value says nothing, and neither does it without history.
SELECT push('phone', '{"number": 33, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 20}}');
SELECT likes FROM post WHERE id = 1;
BEGIN;
DELETE FROM mirusync.change_log WHERE feed = 'pia' AND collection = 'post' AND seq = :base + 2;
SELECT push('phone', format('{"number": 34, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 20}, "base": %s}', :base)::jsonb);
SELECT push('phone', format('{"number": 35, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 20}, "base": %s}', :base + 2)::jsonb);
ROLLBACK;
-- A record that both make: both count.  One that SQL made may be an old one
-- that was attached anew.
SELECT push('phone', '{"number": 36, "kind": "put", "collection": "post", "id": "2",
	"fields": {"title": "Snow", "likes": 3, "hours": 1.5}, "base": 0}');
SELECT push('tablet', '{"number": 36, "kind": "put", "collection": "post", "id": "2",
	"fields": {"title": "Snow", "likes": 4, "hours": 0.255}, "base": 0}');
SELECT push('phone', '{"number": 37, "kind": "put", "collection": "post", "id": "2",
	"fields": {"title": "Snow", "likes": 2}, "base": 0}');
SELECT push('tablet', '{"number": 37, "kind": "put", "collection": "post", "id": "1",
	"fields": {"likes": 3}, "base": 0}');
SELECT title, likes, hours FROM post WHERE id = 2;
-- Increments of another scale, fractional ones, and of nothing.
SELECT push('phone', '{"number": 38, "kind": "patch", "collection": "post", "id": "2",
	"add": {"likes": 1.0, "hours": -0.004}}');
SELECT push('phone', '{"number": 39, "kind": "patch", "collection": "post", "id": "2",
	"add": {"likes": 0}}');
SELECT push('phone', '{"number": 40, "kind": "patch", "collection": "post", "id": "2",
	"fields": {"hours": null}, "base": 100000}');
SELECT likes, hours FROM post WHERE id = 2;
-- Several changes of one record in one batch.
SELECT mirusync.push('pia', 'phone', '{"changes": [
	{"number": 41, "kind": "put", "collection": "post", "id": "3", "fields": {"likes": 1}, "base": 0},
	{"number": 42, "kind": "patch", "collection": "post", "id": "3", "add": {"likes": 5}},
	{"number": 43, "kind": "put", "collection": "post", "id": "3", "fields": {"likes": 8}, "base": 0},
	{"number": 44, "kind": "patch", "collection": "post", "id": "3", "add": {"likes": -9}}]}');
SELECT likes FROM post WHERE id = 3;
-- Two devices of one group: what the other one did has no history yet, so a
-- value is to be sent again.
SELECT kind, status, code, body FROM mirusync.push_many('{pia,pia}', '{desk,phone}', '{desk,phone}', '{batch,batch}', ARRAY[
	'{"changes": [{"number": 1, "kind": "patch", "collection": "post", "id": "3", "add": {"likes": 1}}]}',
	'{"changes": [{"number": 45, "kind": "patch", "collection": "post", "id": "3", "fields": {"likes": 9}, "base": 0}]}'])
	WHERE kind = 'verdict';
SELECT kind, status, code, body FROM mirusync.push_many('{pia,pia}', '{desk,phone}', '{desk,phone}', '{batch,batch}', ARRAY[
	'{"changes": [{"number": 2, "kind": "patch", "collection": "post", "id": "3", "add": {"likes": 1}}]}',
	'{"changes": [{"number": 46, "kind": "patch", "collection": "post", "id": "3", "add": {"likes": 1}}]}'])
	WHERE kind = 'verdict';
SELECT likes FROM post WHERE id = 3;
-- A deleted record: what is older is lost with it, what is newer goes on from
-- its last value.
DELETE FROM post WHERE id = 3;
SELECT push('tablet', '{"number": 40, "kind": "patch", "collection": "post", "id": "3",
	"add": {"likes": 1}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 41, "kind": "patch", "collection": "post", "id": "3", "add": {"likes": 1}}');
SELECT likes FROM post WHERE id = 3;
DELETE FROM post WHERE id = 3;
SELECT push('tablet', '{"number": 42, "kind": "put", "collection": "post", "id": "3",
	"fields": {"likes": 2}, "base": 0}');
-- What the table or the type refuses, and what is no increment.
SELECT push('phone', '{"number": 50, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": 2147483647}}');
SELECT push('phone', '{"number": 51, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": 0.5}}');
SELECT push('phone', '{"number": 52, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": -1000}}');
SELECT push('phone', '{"number": 53, "kind": "patch", "collection": "post", "id": "2", "add": {"hours": 1e5}}');
SELECT push('phone', '{"number": 54, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": 1e131000}}') ->> 'code' AS huge;
SELECT push('phone', '{"number": 55, "kind": "patch", "collection": "post", "id": "2", "add": {"title": 1}}');
SELECT push('phone', '{"number": 56, "kind": "patch", "collection": "post", "id": "2", "add": {"nothing": 1}}');
SELECT push('phone', '{"number": 57, "kind": "patch", "collection": "post", "id": "2", "add": {"id": 1}}');
SELECT push('phone', '{"number": 58, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": "1"}}');
SELECT push('phone', '{"number": 59, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": null}}');
SELECT push('phone', '{"number": 60, "kind": "patch", "collection": "post", "id": "2", "add": [1]}');
SELECT push('phone', '{"number": 61, "kind": "patch", "collection": "post", "id": "2", "add": {}}');
SELECT push('phone', '{"number": 62, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": 1}, "fields": {"likes": 1}}');
SELECT push('phone', '{"number": 63, "kind": "patch", "collection": "post", "id": "2", "add": {"likes": 1}, "fields": 1}');
SELECT push('phone', '{"number": 64, "kind": "patch", "collection": "post", "id": "2", "fields": {"likes": "9"}, "base": 100000}');
SELECT likes, hours FROM post WHERE id = 2;
UPDATE post SET hours = 'NaN' WHERE id = 2;
SELECT push('phone', '{"number": 65, "kind": "patch", "collection": "post", "id": "2", "add": {"hours": 1}}');
-- The way back is bounded.
CREATE PROCEDURE touch_post(times int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. times LOOP
		UPDATE post SET hours = i % 2 WHERE id = 1;
		COMMIT;
	END LOOP;
END $$;
SELECT head AS base FROM mirusync.feed WHERE feed = 'pia' \gset
CALL touch_post(1000);
SELECT push('phone', format('{"number": 66, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 16}, "base": %s}', :base)::jsonb) ->> 'verdict' AS verdict;
SELECT likes FROM post WHERE id = 1;
CALL touch_post(1);
SELECT push('phone', format('{"number": 67, "kind": "patch", "collection": "post", "id": "1",
	"fields": {"likes": 17}, "base": %s}', :base)::jsonb) ->> 'code' AS code;
SELECT mirusync.detach('post');
-- Documents.
SELECT mirusync.set_rule('merge_game', 'played', 'counter');
SELECT push('phone', '{"number": 70, "kind": "put", "collection": "merge_game", "id": "h",
	"fields": {"name": "go"}, "add": {"played": 1.50}}');
SELECT push('tablet', '{"number": 70, "kind": "put", "collection": "merge_game", "id": "h",
	"fields": {"name": "hex"}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('tablet', '{"number": 71, "kind": "put", "collection": "merge_game", "id": "h",
	"fields": {"name": "hex"}, "add": {"played": 0.25}, "clock": "2026-01-01T09:00:00Z"}');
SELECT push('phone', '{"number": 71, "kind": "put", "collection": "merge_game", "id": "h",
	"fields": {"played": 2}, "base": 0}');
SELECT data FROM mirusync.document WHERE collection = 'merge_game' AND id = 'h';
UPDATE mirusync.document SET data = data || '{"played": "often"}' WHERE collection = 'merge_game' AND id = 'h';
SELECT push('phone', '{"number": 72, "kind": "patch", "collection": "merge_game", "id": "h", "add": {"played": 1}}');

-- A put that names its base changes only what is not as it was there.
CREATE TABLE card (
	id int PRIMARY KEY,
	owner text NOT NULL,
	front text,
	back text,
	price numeric(6, 2),
	best int,
	due timestamptz
);
SELECT mirusync.attach('card', feed => 'owner');
SELECT mirusync.set_rule('card', 'best', 'max');
SELECT push('phone', '{"number": 100, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "dog", "back": "Hund", "price": 1.5, "best": 3}, "clock": "2026-01-01T09:00:00Z"}') ->> 'seq' AS base \gset
SELECT push('tablet', format('{"number": 100, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "the dog", "back": "Hund", "price": 1.5, "best": 3}, "clock": "2026-01-01T09:10:00Z", "base": %s}', :base)::jsonb);
SELECT push('phone', format('{"number": 101, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "dog", "back": "der Hund", "price": 1.5, "best": 3}, "clock": "2026-01-01T09:20:00Z", "base": %s}', :base)::jsonb);
SELECT front, back FROM card WHERE id = 1;
-- Both have changed the front: its rule decides.  What the phone did itself it
-- had seen, and its own former value is no change any more.
SELECT push('phone', format('{"number": 102, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "a dog", "back": "der Hund"}, "clock": "2026-01-01T09:05:00Z", "base": %s}', :base)::jsonb);
SELECT push('tablet', format('{"number": 101, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "hound", "back": "Hund"}, "clock": "2026-01-01T09:30:00Z", "base": %s}', :base)::jsonb);
SELECT push('phone', format('{"number": 103, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "dog", "back": "der Hund"}, "clock": "2026-01-01T09:40:00Z", "base": %s}', :base)::jsonb);
SELECT front, back FROM card WHERE id = 1;
-- A put that changes nothing against its base, and one equal to what stands.
SELECT push('desk', format('{"number": 100, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "dog", "back": "Hund", "price": 1.50, "best": 3}, "base": %s}', :base)::jsonb);
SELECT push('desk', '{"number": 101, "kind": "put", "collection": "card", "id": "1",
	"fields": {"id": 1, "front": "hound", "back": "der Hund", "price": 1.5, "best": 3}, "base": 0}');
-- SQL lowers a maximum; a put that carries the former one does not raise it.
UPDATE card SET best = 1 WHERE id = 1;
SELECT push('desk', format('{"number": 102, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "dog", "best": 3}, "base": %s}', :base)::jsonb);
SELECT push('desk', format('{"number": 103, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "dog", "best": 2}, "base": %s}', :base)::jsonb);
SELECT front, back, best FROM card WHERE id = 1;
-- History is gone: what somebody else has changed since stays, the rest is the
-- device's.
CREATE TEMP TABLE trimmed AS
	SELECT * FROM mirusync.change_log WHERE feed = 'pia' AND collection = 'card' AND seq = :base + 1;
DELETE FROM mirusync.change_log WHERE feed = 'pia' AND collection = 'card' AND seq = :base + 1;
SELECT push('desk', format('{"number": 104, "kind": "put", "collection": "card", "id": "1",
	"fields": {"front": "cat", "back": "Katze", "price": 2, "best": 9}, "base": %s}', :base)::jsonb);
INSERT INTO mirusync.change_log TABLE trimmed;
-- Created since, by a device: everything differs from nothing.
SELECT push('phone', '{"number": 104, "kind": "put", "collection": "card", "id": "2",
	"fields": {"front": "one", "back": "eins"}, "clock": "2026-01-01T09:00:00Z"}') ->> 'verdict' AS made;
SELECT push('tablet', format('{"number": 102, "kind": "put", "collection": "card", "id": "2",
	"fields": {"front": "1", "back": "eins"}, "clock": "2026-01-01T09:10:00Z", "base": %s}', :base)::jsonb);
-- Two devices of one group.
SELECT status, code FROM mirusync.push_many('{pia,pia}', '{desk,phone}', '{desk,phone}', '{batch,batch}', ARRAY[
	'{"changes": [{"number": 110, "kind": "patch", "collection": "card", "id": "2", "fields": {"back": "uno"}}]}',
	'{"changes": [{"number": 110, "kind": "put", "collection": "card", "id": "2", "fields": {"front": "1", "back": "eins"}, "base": 100000}]}'])
	WHERE kind = 'verdict';
-- The same value in another form is no change.
UPDATE card SET price = 9, due = '2026-02-02T10:00:00+02' WHERE id = 1;
SELECT head AS base FROM mirusync.feed WHERE feed = 'pia' \gset
UPDATE card SET price = 8, due = '2026-03-03T10:00:00Z' WHERE id = 1;
SELECT push('desk', format('{"number": 130, "kind": "put", "collection": "card", "id": "1",
	"fields": {"price": "9.0", "due": "2026-02-02T08:00:00.000Z"}, "base": %s}', :base)::jsonb);
SELECT push('desk', format('{"number": 131, "kind": "put", "collection": "card", "id": "1",
	"fields": {"due": "soon"}, "base": %s}', :base)::jsonb);
SELECT mirusync.detach('card');
-- Documents: a field that somebody has added since is not removed, and one
-- that somebody has removed does not come back.
SELECT mirusync.create_collection('merge_list', 'lww_field');
SELECT push('phone', '{"number": 120, "kind": "put", "collection": "merge_list", "id": "l",
	"fields": {"a": 1, "b": 1, "c": 1}, "clock": "2026-01-01T09:00:00Z"}') ->> 'seq' AS base \gset
SELECT push('tablet', format('{"number": 120, "kind": "put", "collection": "merge_list", "id": "l",
	"fields": {"a": 1, "b": 1, "d": 1}, "clock": "2026-01-01T09:10:00Z", "base": %s}', :base)::jsonb);
SELECT push('phone', format('{"number": 121, "kind": "put", "collection": "merge_list", "id": "l",
	"fields": {"b": 2, "c": 1}, "clock": "2026-01-01T09:20:00Z", "base": %s}', :base)::jsonb);
SELECT data FROM mirusync.document WHERE collection = 'merge_list';
-- Without a base it is the whole document.
SELECT push('phone', '{"number": 122, "kind": "put", "collection": "merge_list", "id": "l",
	"fields": {"b": 2, "c": 1}, "clock": "2026-01-01T09:30:00Z"}');
SELECT data FROM mirusync.document WHERE collection = 'merge_list';
-- Deleted and made anew since: nothing of it is the device's former record.
SELECT head AS base FROM mirusync.feed WHERE feed = 'pia' \gset
SELECT push('tablet', '{"number": 121, "kind": "delete", "collection": "merge_list", "id": "l"}');
SELECT push('tablet', '{"number": 122, "kind": "put", "collection": "merge_list", "id": "l", "fields": {"b": 5}}');
SELECT push('phone', format('{"number": 123, "kind": "put", "collection": "merge_list", "id": "l",
	"fields": {"b": 2, "c": 1, "e": 1}, "base": %s}', :base)::jsonb);

-- What a restore or an administrator writes counts too.
UPDATE mirusync.field_rule SET rule = 'min' WHERE collection = 'merge_game' AND field = 'best';
SELECT push('tablet', '{"number": 24, "kind": "patch", "collection": "merge_game", "id": "g",
	"fields": {"best": 1}}');

-- Errors of set_rule().
CREATE TABLE thing (
	id int PRIMARY KEY,
	owner text NOT NULL,
	label text,
	doubled text GENERATED ALWAYS AS (label || label) STORED,
	place point,
	weight float8
);
SELECT mirusync.attach('thing', feed => 'owner');
SELECT mirusync.set_rule(NULL, 'label', 'max');
SELECT mirusync.set_rule('thing', NULL, NULL);
SELECT mirusync.set_rule('nowhere', 'label', 'max');
SELECT mirusync.set_rule(repeat('x', 300), 'label', 'max');
SELECT mirusync.set_rule('thing', 'nothing', 'max');
SELECT mirusync.set_rule('thing', 'nothing', NULL);
SELECT mirusync.set_rule('thing', 'label', 'newest');
SELECT mirusync.set_rule('thing', 'label', '');
SELECT mirusync.set_rule('thing', 'label', 'lww');
SELECT mirusync.set_rule('thing', NULL, 'max');
SELECT mirusync.set_rule('thing', 'place', 'max');
SELECT mirusync.set_rule('thing', 'place', 'min');
SELECT mirusync.set_rule('thing', 'label', 'counter');
SELECT mirusync.set_rule('thing', 'weight', 'counter');
SELECT mirusync.set_rule('thing', 'id', 'max');
SELECT mirusync.set_rule('thing', 'owner', 'first_wins');
SELECT mirusync.set_rule('thing', 'doubled', 'first_wins');
SELECT mirusync.set_rule('merge_game', '', 'max');
SELECT mirusync.set_rule('merge_game', repeat('x', 256), 'max');
CREATE ROLE regress_mirusync_merge;
GRANT USAGE ON SCHEMA mirusync, merge_test TO regress_mirusync_merge;
GRANT EXECUTE ON FUNCTION mirusync.set_rule(text, text, text) TO regress_mirusync_merge;
SET ROLE regress_mirusync_merge;
SELECT mirusync.set_rule('thing', 'label', 'max');
SELECT mirusync.set_rule('merge_game', 'label', 'max');
RESET ROLE;
ALTER TABLE thing OWNER TO regress_mirusync_merge;
SET ROLE regress_mirusync_merge;
SELECT mirusync.set_rule('thing', 'label', 'max');
RESET ROLE;
BEGIN READ ONLY;
SELECT mirusync.set_rule('thing', 'label', 'max');
ROLLBACK;
-- A rule that is taken back with its transaction.
BEGIN;
SELECT mirusync.set_rule('thing', 'label', 'min');
ROLLBACK;
SELECT field, rule FROM mirusync.rules WHERE collection = 'thing'
	ORDER BY field NULLS FIRST;

-- Errors of pushes: a value that is none of the type's, and huge ones.
ALTER TABLE thing ADD n int, ADD d numeric;
SELECT mirusync.set_rule('thing', 'n', 'max');
SELECT mirusync.set_rule('thing', 'd', 'min');
SELECT push('phone', '{"number": 830, "kind": "put", "collection": "thing", "id": "1", "fields": {"n": 1, "d": 1}}');
SELECT push('phone', '{"number": 831, "kind": "patch", "collection": "thing", "id": "1", "fields": {"n": "two"}}');
SELECT push('phone', '{"number": 832, "kind": "patch", "collection": "thing", "id": "1", "fields": {"n": [2]}}');
SELECT push('phone', '{"number": 833, "kind": "patch", "collection": "thing", "id": "1", "fields": {"n": 3000000000}}');
SELECT push('phone', '{"number": 834, "kind": "patch", "collection": "thing", "id": "1", "fields": {"d": -1e1000}}') ->> 'verdict' AS huge;
SELECT n, d = -1e1000 AS huge FROM thing;

SELECT mirusync.detach('thing');
DELETE FROM mirusync.document WHERE collection IN ('merge_game', 'merge_list');
DELETE FROM mirusync.field_rule WHERE collection = 'merge_game';
DELETE FROM mirusync.collection WHERE name IN ('merge_game', 'merge_list');
DROP SCHEMA merge_test CASCADE;
DROP OWNED BY regress_mirusync_merge;
DROP ROLE regress_mirusync_merge;
