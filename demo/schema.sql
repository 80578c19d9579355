-- schema.sql
--     The practice log of the demo: ordinary tables, attached; some content; and
--     the role and function that the page's SQL line runs statements with.
--
-- Nothing here is special to sync but the calls of attach() and set_rule().
-- The event collections of the practice log (logbook_entry and so on) are there
-- too, for clients that speak in events; they are documents of their own.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE ROLE demo_app;
CREATE ROLE demo_sql LOGIN CONNECTION LIMIT 4;
ALTER ROLE demo_sql SET statement_timeout = '3s';
ALTER ROLE demo_sql SET lock_timeout = '2s';
ALTER ROLE demo_sql SET temp_file_limit = '64MB';
REVOKE TEMPORARY ON DATABASE mirusync FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO demo_app;

SET ROLE demo_app;

CREATE TABLE piece (
	id text PRIMARY KEY DEFAULT gen_random_uuid(),
	owner text NOT NULL DEFAULT 'demo',
	title text NOT NULL CHECK (title <> ''),
	composer text NOT NULL DEFAULT '',
	status text NOT NULL DEFAULT 'learning'
		CHECK (status IN ('planned', 'learning', 'polishing', 'ready')),
	tempo int CHECK (tempo BETWEEN 20 AND 300),
	goal int CHECK (goal BETWEEN 20 AND 300),
	plays int NOT NULL DEFAULT 0 CHECK (plays >= 0),
	tags text[] NOT NULL DEFAULT '{}',
	notes text NOT NULL DEFAULT ''
);

CREATE TABLE entry (
	id text PRIMARY KEY DEFAULT gen_random_uuid(),
	owner text NOT NULL DEFAULT 'demo',
	at timestamptz NOT NULL DEFAULT now(),
	minutes int NOT NULL CHECK (minutes BETWEEN 1 AND 600),
	piece_id text,			-- no foreign key: an entry outlives its piece
	mood text CHECK (mood IN ('hard', 'fine', 'great')),
	notes text NOT NULL DEFAULT ''
);

CREATE TABLE plan (
	id text PRIMARY KEY DEFAULT gen_random_uuid(),
	owner text NOT NULL DEFAULT 'demo',
	title text NOT NULL CHECK (title <> ''),
	minutes int NOT NULL DEFAULT 20 CHECK (minutes BETWEEN 1 AND 600),
	piece_id text,
	notes text NOT NULL DEFAULT ''
);

CREATE TABLE occurrence (
	id text PRIMARY KEY DEFAULT gen_random_uuid(),
	owner text NOT NULL DEFAULT 'demo',
	plan_id text NOT NULL REFERENCES plan ON DELETE CASCADE,
	due date NOT NULL,
	done boolean NOT NULL DEFAULT false
);

-- What a device is called, so that histories can say it.
CREATE TABLE device (
	id text PRIMARY KEY,
	owner text NOT NULL DEFAULT 'demo',
	name text NOT NULL
);

RESET ROLE;

SELECT mirusync.attach(name::regclass, feed => 'owner')
FROM unnest('{piece,entry,plan,occurrence,device}'::text[]) AS name;
SELECT mirusync.set_rule('piece', 'plays', 'counter'),
	mirusync.set_rule('piece', 'tags', 'set'),
	mirusync.set_rule('piece', 'notes', 'manual'),
	mirusync.set_rule('entry', 'notes', 'manual'),
	mirusync.set_rule('plan', 'notes', 'manual');

-- The SQL line: the demo's user's rows, and no others.
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY '{piece,entry,plan,occurrence,device}'::text[]
	LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY demo_sql ON %I TO demo_sql '
			'USING (owner = ''demo'') WITH CHECK (owner = ''demo'')', name);
	END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON piece, entry, plan, occurrence TO demo_sql;
GRANT SELECT ON device TO demo_sql;

-- run() runs one statement as its caller, and gives what came of it.  It takes
-- what can be opened as a cursor, and plain INSERT, UPDATE, DELETE and MERGE;
-- the server's parser says which it is, not we.
CREATE FUNCTION demo_run(statement text)
RETURNS json
LANGUAGE plpgsql
AS $$
DECLARE
	most constant int := 50;
	given record;
	lines json[] := '{}';
	found bigint := 0;
	command text;
	hint_given text;
	detail_given text;
BEGIN
	BEGIN
		FOR given IN EXECUTE statement
		LOOP
			found := found + 1;
			IF found <= most THEN
				lines := lines || row_to_json(given);
			END IF;
		END LOOP;
	EXCEPTION WHEN invalid_cursor_definition THEN
		command := substring(SQLERRM FROM '^cannot open (INSERT|UPDATE|DELETE|MERGE) query as cursor$');
		IF command IS NULL THEN
			RAISE EXCEPTION 'only one SELECT, INSERT, UPDATE, DELETE or MERGE can be run here'
				USING HINT = 'For anything else there is psql: the terminal shows how to connect.';
		END IF;
		EXECUTE statement;
		GET DIAGNOSTICS found = ROW_COUNT;
	END;
	RETURN json_build_object('command', command, 'count', found, 'rows', to_json(lines));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint_given = PG_EXCEPTION_HINT, detail_given = PG_EXCEPTION_DETAIL;
	RETURN json_build_object('error', SQLERRM, 'detail', detail_given, 'hint', hint_given);
END
$$;
REVOKE EXECUTE ON FUNCTION demo_run(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION demo_run(text) TO demo_sql;

--
-- Something to look at
--
INSERT INTO piece (id, title, composer, status, tempo, goal, plays, tags, notes) VALUES
	('invention', 'Invention No. 8 in F', 'J. S. Bach', 'polishing', 92, 112, 14, '{baroque,memory}',
	 'Left hand alone in bars 7 to 12, then both at 80.'),
	('arabesque', 'Arabesque No. 1', 'Claude Debussy', 'learning', 58, 76, 5, '{recital}',
	 'Count the two against three out loud.'),
	('waltz', 'Waltz in A minor', 'Frédéric Chopin', 'ready', 138, 138, 31, '{recital,memory}', ''),
	('gymnopedie', 'Gymnopédie No. 1', 'Erik Satie', 'ready', 66, 66, 22, '{encore}', ''),
	('rondo', 'Rondo alla turca', 'W. A. Mozart', 'planned', NULL, 126, 0, '{}', '');

INSERT INTO entry (id, at, minutes, piece_id, mood, notes)
SELECT 'entry-' || number, date_trunc('hour', now()) - hours * interval '1 hour', minutes, piece_id, mood, notes
FROM (VALUES
	(1, 1, 35, 'invention', 'great', 'Bars 7 to 12 finally sit.'),
	(2, 2, 15, NULL, 'fine', 'Scales in thirds, B flat major.'),
	(3, 25, 40, 'arabesque', 'hard', 'Two against three falls apart above 58.'),
	(4, 50, 20, 'waltz', 'fine', 'From memory, twice through.'),
	(5, 52, 25, 'invention', 'fine', 'Hands separately with the metronome.'),
	(6, 74, 30, 'gymnopedie', 'great', 'Recorded it. Less pedal next time.'),
	(7, 122, 45, 'arabesque', 'fine', 'First page, slowly.'),
	(8, 146, 20, 'waltz', NULL, '')
) AS v (number, hours, minutes, piece_id, mood, notes);

INSERT INTO plan (id, title, minutes, piece_id, notes) VALUES
	('technique', 'Scales and arpeggios', 15, NULL, 'One flat more each week.'),
	('recital', 'Recital run-through', 30, 'arabesque', '');

INSERT INTO occurrence (id, plan_id, due, done)
SELECT plan || '-' || number, plan, current_date + number, number < 0
FROM (SELECT 'technique' AS plan, generate_series(-3, 9) AS number
	  UNION ALL SELECT 'recital', generate_series(-4, 8, 3)) AS days;
