-- Forgetting a feed: nothing of the user remains but the feed's id.

SELECT mirusync.create_collection('secret');
CREATE TABLE letter (owner text, id int PRIMARY KEY, body text);
SELECT mirusync.attach('letter', feed => 'owner');
CREATE TABLE gone (owner text, id int PRIMARY KEY, body text);
SELECT mirusync.attach('gone', feed => 'owner');

-- Everything has the user's name in it, somewhere.
CREATE FUNCTION fill(user_id text, first int) RETURNS void LANGUAGE sql AS $$
	SELECT mirusync.put(user_id, 'secret', user_id || i, jsonb_build_object('of', user_id))
	FROM generate_series(1, 25) i;
	INSERT INTO letter SELECT user_id, i, user_id FROM generate_series(first, first + 2) i;
$$;
CREATE FUNCTION push(user_id text, number int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT mirusync.push(push.user_id, push.user_id || ' phone', jsonb_build_object(
		'changes', jsonb_build_array(jsonb_build_object('number', push.number,
			'kind', 'put', 'collection', 'secret', 'id', 'p' || push.number,
			'fields', jsonb_build_object('of', push.user_id))))) #> '{verdicts,0}'
$$;
-- Count the rows of every table of ours that say a text, be it in bytes.
CREATE FUNCTION traces(of text) RETURNS TABLE (in_table name, rows bigint)
LANGUAGE plpgsql AS $$
BEGIN
	FOR in_table IN SELECT relname FROM pg_class
		WHERE relnamespace = 'mirusync'::regnamespace AND relkind = 'r' ORDER BY relname
	LOOP
		EXECUTE format('SELECT count(*) FROM mirusync.%I t WHERE t::text LIKE ANY ($1)',
			in_table) INTO rows
			USING ARRAY['%' || of || '%', '%' || encode(of::bytea, 'hex') || '%'];
		IF rows > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SELECT fill('Xanthippe', 1), fill('Socrates', 11);
INSERT INTO gone VALUES ('Xanthippe', 1, 'Xanthippe'), ('Socrates', 2, 'Socrates');
SELECT push('Xanthippe', 1), push('Socrates', 1);
SELECT mirusync.push('Xanthippe', 'Xanthippe phone', '{"digested": 1, "changes": []}');
SELECT push('Xanthippe', 2);
SELECT mirusync.push(who, who || ' phone', '{"changes": [{"number": 3, "kind": "delete", "collection": "nowhere", "id": "1"}]}')
	#>> '{verdicts,0,code}' AS refused FROM unnest('{Xanthippe,Socrates}'::text[]) who;
-- And lost a conflict.
SELECT mirusync.push('Xanthippe', 'watch', '{"changes": [{"number": 1, "kind": "put", "collection": "secret",
	"id": "p2", "fields": {"of": "Xanthippe", "by": "watch"}, "base": 0}]}') #> '{verdicts,0,verdict}' AS verdict;
UPDATE letter SET body = body || '!' WHERE id = 1;
DROP TABLE gone;
SELECT epoch, head FROM mirusync.feed WHERE feed = 'Xanthippe';
SELECT * FROM traces('Xanthippe');

-- Not for everybody, not within a transaction, and with sense.
SET ROLE pg_read_all_data;
CALL mirusync.forget('Xanthippe');
RESET ROLE;
BEGIN;
CALL mirusync.forget('Xanthippe');
ROLLBACK;
DO $$ BEGIN CALL mirusync.forget('nobody'); END $$;
CALL mirusync.forget(NULL);
CALL mirusync.forget('Xanthippe', NULL);
CALL mirusync.forget('Xanthippe', 0);
CALL mirusync.forget('Xanthippe', grace => NULL);
CALL mirusync.forget('Xanthippe', grace => '-1 s');
CALL mirusync.forget('Xanthippe', grace => '61 min');
CALL mirusync.forget('Xanthippe', grace => '1 day');
SET default_transaction_read_only = on;
CALL mirusync.forget('Xanthippe');
RESET default_transaction_read_only;
CALL mirusync.forget('nobody');
SELECT count(*) FROM mirusync.feed WHERE feed = 'nobody';

-- The application's rows are the application's to delete.  Documents are gone
-- by then, as deletes that devices hear of.
CALL mirusync.forget('Xanthippe', 7, grace => '0');
SELECT count(*) FROM mirusync.document WHERE feed = 'Xanthippe';
SELECT kind, count(*) FROM mirusync.change_log
WHERE feed = 'Xanthippe' AND collection = 'secret' GROUP BY kind ORDER BY kind;
SELECT c.kind, count(*) FROM jsonb_to_recordset(
	mirusync.pull('Xanthippe', 'Xanthippe', 30, 500, 0) -> 'changes') c (kind text)
GROUP BY c.kind ORDER BY c.kind;

DELETE FROM letter WHERE owner = 'Xanthippe';
SELECT head FROM mirusync.feed WHERE feed = 'Xanthippe' \gset
CALL mirusync.forget('Xanthippe', 7, grace => '0');
SELECT * FROM traces('Xanthippe');
SELECT epoch > 0 AS own_epoch, head = :head AS same_head FROM mirusync.feed WHERE feed = 'Xanthippe';
SELECT f.epoch = e.epoch AS last, e.head FROM mirusync.feed f JOIN mirusync.feed_epoch e USING (feed)
WHERE feed = 'Xanthippe';
SELECT max(number) FROM mirusync.epoch;

-- Whoever was away starts over, and gets an empty page.
SELECT p - 'epoch', (p -> 'head')::bigint = :head
FROM (SELECT mirusync.pull('Xanthippe', 'Xanthippe', 1, 500, 0) - 'head' - 'upto' || jsonb_build_object('head', :head) AS p) page;
SELECT mirusync.pull('Xanthippe', 'Xanthippe', :head, 500, 0) ? 'start_over';
SELECT mirusync.pull('Xanthippe', 'Xanthippe', :head, 500, epoch) ? 'start_over'
FROM mirusync.feed WHERE feed = 'Xanthippe';
SELECT kind, after, complete FROM mirusync.pull_events('Xanthippe', 3, 500, false);

-- Again, it finds nothing, and who saw what was between starts over.
SELECT epoch FROM mirusync.feed WHERE feed = 'Xanthippe' \gset
CALL mirusync.forget('Xanthippe', grace => '0');
SELECT epoch = :epoch + 1 FROM mirusync.feed WHERE feed = 'Xanthippe';
SELECT mirusync.pull('Xanthippe', 'Xanthippe', :head, 500, :epoch) ? 'start_over';

-- Nobody else lost anything.
SELECT * FROM traces('Socrates');
SELECT jsonb_array_length(mirusync.pull('Socrates', 'Socrates', 0, 500, 0) -> 'changes');

-- The user comes back: numbers go on, in the feed's own epoch.
SELECT push('Xanthippe', 1) - 'seq' AS verdict;
SELECT head = :head + 1 AS next, epoch = :epoch + 1 AS same FROM mirusync.feed WHERE feed = 'Xanthippe';
SELECT (mirusync.pull('Xanthippe', 'Xanthippe', :head, 500, :epoch + 1) -> 'changes') @> '[{"id": "p1"}]';
-- A later epoch of the database is later than the feed's.
BEGIN;
SELECT mirusync.new_epoch() > :epoch + 1;
ROLLBACK;

SELECT mirusync.detach('letter');
DROP TABLE letter;
CALL mirusync.forget('Xanthippe', grace => '0');
CALL mirusync.forget('Socrates', grace => '0');
SELECT count(*) FROM mirusync.refusal WHERE feed IN ('Xanthippe', 'Socrates');
DELETE FROM mirusync.feed WHERE feed IN ('Xanthippe', 'Socrates');
DELETE FROM mirusync.feed_epoch WHERE feed IN ('Xanthippe', 'Socrates');
DELETE FROM mirusync.collection WHERE name = 'secret';
DROP FUNCTION fill, push, traces;
