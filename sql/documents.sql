-- The document store: put, patch, get and delete, and plain SQL beside them.
SET client_min_messages = warning;
CREATE VIEW changes AS
	SELECT feed, seq, collection, id, kind, old, new
	FROM mirusync.change_log ORDER BY feed, seq;

-- A collection has to be named once; naming it again the same way is fine.
SELECT mirusync.create_collection('todo');
SELECT mirusync.create_collection('todo');
SELECT mirusync.create_collection('setting', rule => 'lww_field', pushable => false);
SELECT * FROM mirusync.collections ORDER BY name;

-- put stores a whole document, patch some fields of one.
SELECT mirusync.put('doris', 'todo', '1', '{"text": "milk", "done": false}');
SELECT mirusync.get('doris', 'todo', '1');
SELECT mirusync.patch('doris', 'todo', '1', '{"done": true}');
SELECT mirusync.put('doris', 'todo', '1', '{"text": "bread"}');
SELECT mirusync.get('doris', 'todo', '1');
SELECT * FROM changes;

-- A null is a value; only "remove" takes a field away.
SELECT mirusync.patch('doris', 'todo', '1', '{"note": null, "n": 1}');
SELECT mirusync.patch('doris', 'todo', '1', '{"n": 2}', remove => '{note,absent}');
SELECT mirusync.patch('doris', 'todo', '1', '{"n": 3}', remove => '{n}');
SELECT * FROM changes WHERE seq > 3;

-- Where there is no document, there is nothing to patch, get or delete.
SELECT mirusync.patch('doris', 'todo', '2', '{"n": 1}');
SELECT mirusync.get('doris', 'todo', '2');
SELECT mirusync.delete('doris', 'todo', '2');
SELECT mirusync.get(NULL, 'todo', '1');

-- Ids and collections repeat between feeds.
SELECT mirusync.put('emil', 'todo', '1', '{}');
SELECT mirusync.put('emil', 'setting', '1', '{"a": [1, {"b": 2}]}');
SELECT mirusync.delete('doris', 'todo', '1');
SELECT mirusync.delete('doris', 'todo', '1');
SELECT mirusync.get('emil', 'todo', '1');
SELECT feed, collection, id, deleted FROM mirusync.record ORDER BY 1, 2, 3;
SELECT * FROM changes WHERE kind = 'delete';

-- Plain SQL counts as much.
INSERT INTO mirusync.document VALUES ('doris', 'todo', '3', '{"by": "sql"}');
UPDATE mirusync.document SET data = data || '{"more": 1}' WHERE id = '3';
UPDATE mirusync.document SET collection = 'setting' WHERE id = '3';
DELETE FROM mirusync.document WHERE id = '3';
SELECT * FROM changes WHERE id = '3';
TRUNCATE mirusync.document;
SELECT * FROM changes WHERE feed = 'emil' AND kind = 'delete' ORDER BY seq;

-- A rule set by plain SQL counts at once, here against what was asked for.
UPDATE mirusync.collection SET rule = 'lww_field' WHERE name = 'todo';
SELECT mirusync.create_collection('todo', 'lww_field');
SELECT mirusync.create_collection('todo', 'lww');

-- A dump is restored as it is: the changes come with the state of sync.
SELECT count(*) FROM changes;
SET check_function_bodies = off;
SET search_path = '';
INSERT INTO mirusync.document VALUES ('doris', 'todo', '4', '{}');
SET search_path = public;
SELECT count(*) FROM changes;
SET search_path = '';
SELECT mirusync.put('doris', 'todo', '4', '{"not": "a restore"}');
RESET search_path;
RESET check_function_bodies;
SELECT * FROM changes WHERE id = '4';

-- Errors: what is no document, and collections that are not there.
SELECT mirusync.put('doris', 'todos', '1', '{}');
INSERT INTO mirusync.document VALUES ('doris', 'todos', '1', '{}');
SELECT mirusync.put('doris', 'todo', '1', '[]');
SELECT mirusync.put('doris', 'todo', '1', NULL);
SELECT mirusync.put(NULL, 'todo', '1', '{}');
SELECT mirusync.patch('doris', 'todo', '4', '["a"]');
SELECT mirusync.patch('doris', 'todo', '4', '"a"');
SELECT mirusync.create_collection(NULL);
SELECT mirusync.create_collection('');
SELECT mirusync.create_collection('todo', 'newest');
SELECT mirusync.create_collection('todo', pushable => false);
BEGIN READ ONLY;
SELECT mirusync.create_collection('todo', 'lww_field');
ROLLBACK;

-- A collection that is a table cannot be one of documents too.
CREATE TABLE document_test (u text, id int PRIMARY KEY);
SELECT mirusync.attach('document_test', 'u', 'todo');
SELECT mirusync.attach('document_test', 'u', 'tables');
SELECT mirusync.create_collection('tables', 'lww_field');
SELECT mirusync.detach('document_test');
DROP TABLE document_test;
DROP VIEW changes;

DELETE FROM mirusync.document;
DELETE FROM mirusync.collection WHERE name IN ('todo', 'setting');
DELETE FROM mirusync.record;
DELETE FROM mirusync.change_log;
DELETE FROM mirusync.feed;
