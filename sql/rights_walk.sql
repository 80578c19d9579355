-- Every object of ours, and what each kind of role may do with it.  A new one
-- shows up here: think about who should have it, then note it as expected.
SET client_min_messages = warning;
CREATE ROLE regress_mirusync_relay;
CREATE ROLE regress_mirusync_auditor;
CREATE ROLE regress_mirusync_ordinary;
SELECT mirusync.grant_relay('regress_mirusync_relay');
SELECT mirusync.grant_auditor('regress_mirusync_auditor');

-- "public" is what everybody may, and then the others do not say it again.
CREATE VIEW grantee AS
	SELECT rolname, replace(rolname, 'regress_mirusync_', '') AS short, place
	FROM (VALUES ('public', 1), ('regress_mirusync_relay', 2),
		('regress_mirusync_auditor', 3), ('regress_mirusync_ordinary', 4)) v(rolname, place);

-- Functions: whose rights they run with, what they promise, who may call them.
SELECT p.oid::regprocedure AS function, l.lanname AS language,
	CASE p.prokind WHEN 'p' THEN 'procedure' ELSE
		CASE p.provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END END AS kind,
	CASE WHEN p.prosecdef THEN 'definer' ELSE 'caller' END AS runs_as,
	array_to_string(p.proconfig, ' ') AS settings,
	(SELECT string_agg(g.short, ' ' ORDER BY g.place) FROM grantee g
		WHERE has_function_privilege(g.rolname, p.oid, 'EXECUTE')
			AND (g.short = 'public' OR NOT has_function_privilege('public', p.oid, 'EXECUTE'))) AS execute
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'mirusync'::regnamespace
	ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Tables, views and sequences; TRUNCATE, REFERENCES and TRIGGER count as writing.
CREATE FUNCTION may(who text, relation oid, rights text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(r, ' ') FROM unnest(rights) r WHERE CASE
		WHEN (SELECT relkind FROM pg_class WHERE oid = relation) <> 'S' THEN has_table_privilege(who, relation, r)
		WHEN r IN ('SELECT', 'UPDATE') THEN has_sequence_privilege(who, relation, r) END
$$;
SELECT c.oid::regclass AS relation, c.relkind AS kind,
	(SELECT string_agg(g.short || ': ' || m, ', ' ORDER BY g.place)
		FROM grantee g, may(g.rolname, c.oid, '{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}') m) AS may
	FROM pg_class c
	WHERE c.relnamespace = 'mirusync'::regnamespace AND c.relkind NOT IN ('i', 'I', 'c', 't')
	ORDER BY c.oid::regclass::text COLLATE "C";
-- No right on single columns either.
SELECT a.attrelid::regclass, a.attname, a.attacl FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'mirusync'::regnamespace AND a.attacl IS NOT NULL;

-- Types of our own, the schema, and kinds of objects that there may be one day.
SELECT t.oid::regtype AS type, has_type_privilege('public', t.oid, 'USAGE') AS usage
	FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
	WHERE t.typnamespace = 'mirusync'::regnamespace AND t.typelem = 0 AND (c.oid IS NULL OR c.relkind = 'c')
	ORDER BY 1;
SELECT g.short, has_schema_privilege(g.rolname, 'mirusync', 'USAGE') AS usage,
	has_schema_privilege(g.rolname, 'mirusync', 'CREATE') AS "create" FROM grantee g ORDER BY place;
SELECT d.classid::regclass AS catalog, count(*) > 0 AS has_members
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'mirusync' AND d.deptype = 'e' GROUP BY 1 ORDER BY d.classid::regclass::text COLLATE "C";

-- What must be so of every function: SQL and PL pin search_path, with pg_temp
-- last; who runs as definer is in C or pins it; nothing is for PUBLIC but hlc.
SELECT p.oid::regprocedure AS unpinned FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'mirusync'::regnamespace AND l.lanname <> 'c'
		AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
SELECT p.oid::regprocedure AS for_public FROM pg_proc p
	WHERE p.pronamespace = 'mirusync'::regnamespace AND p.proname NOT LIKE 'hlc%'
		AND has_function_privilege('public', p.oid, 'EXECUTE')
	ORDER BY p.oid::regprocedure::text COLLATE "C";
-- No object of ours lies elsewhere, none in our schema is anybody else's.
SELECT pg_describe_object(d.classid, d.objid, 0) AS elsewhere
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass,
		pg_identify_object(d.classid, d.objid, 0) i
	WHERE e.extname = 'mirusync' AND d.deptype = 'e'
		AND coalesce(i.schema, 'mirusync') <> 'mirusync';
SELECT p.oid::regprocedure AS not_a_member FROM pg_proc p
	WHERE p.pronamespace = 'mirusync'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d
		WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e');

-- Every member says what it is, and every column and index of its tables.
SELECT pg_describe_object(d.classid, d.objid, 0) AS no_comment
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'mirusync' AND d.deptype = 'e'
		AND obj_description(d.objid, d.classid::regclass::name) IS NULL
		AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
			AND (t.typrelid <> 0 OR t.typelem <> 0))
	UNION ALL
	SELECT format('column %s.%s', c.oid::regclass, a.attname)
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'mirusync'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
		AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
	UNION ALL
	SELECT format('index %s', i.indexrelid::regclass)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relnamespace = 'mirusync'::regnamespace AND obj_description(c.oid, 'pg_class') IS NULL
		AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid)
	UNION ALL
	SELECT format('trigger %s of %s', t.tgname, c.oid::regclass)
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
	WHERE c.relnamespace = 'mirusync'::regnamespace AND NOT t.tgisinternal
		AND obj_description(t.oid, 'pg_trigger') IS NULL;

-- No column of a type that pg_upgrade refuses to take along.
SELECT a.attrelid::regclass, a.attname, a.atttypid::regtype
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'mirusync'::regnamespace AND a.attnum > 0 AND c.relkind IN ('r', 'p', 'm')
		AND a.atttypid = ANY ('{regcollation,regconfig,regdictionary,regnamespace,regoper,regoperator,regproc,regprocedure}'::regtype[]);

-- The catalogs say so; now do it.  The relay reads no table, the auditor
-- writes none, and neither gets at the key of the doorbells.
CREATE FUNCTION try(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement;
	RESET ROLE;
	RETURN 'may';
EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state THEN
	RETURN sqlerrm;
END $$;
SELECT c.relname, try('regress_mirusync_auditor', format('SELECT count(*) FROM %s', c.oid::regclass)) AS auditor,
	try('regress_mirusync_relay', format('SELECT count(*) FROM %s', c.oid::regclass)) = 'may' AS relay,
	try('regress_mirusync_auditor', format('DELETE FROM %s', c.oid::regclass)) = 'may' AS auditor_writes
	FROM pg_class c WHERE c.relnamespace = 'mirusync'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
	ORDER BY c.relname COLLATE "C";
SELECT try('regress_mirusync_auditor', $$SELECT mirusync.put('a', 'b', 'c', '{}')$$);
SELECT try('regress_mirusync_auditor', $$SELECT mirusync.get('a', 'b', 'c')$$);
SELECT try('regress_mirusync_ordinary', $$SELECT mirusync.get('a', 'b', 'c')$$);
SELECT try('regress_mirusync_auditor', $$SELECT mirusync.pull('a', 'a')$$);
SELECT try('regress_mirusync_relay', $$SELECT mirusync.pull('a', 'a')$$);
SELECT try('regress_mirusync_ordinary', $$SELECT * FROM mirusync.pull_events('a', 0, 10, false)$$);
SELECT try('regress_mirusync_relay', $$SELECT mirusync.grant_relay('regress_mirusync_ordinary')$$);
SELECT try('regress_mirusync_auditor', $$SELECT mirusync.grant_auditor('regress_mirusync_ordinary')$$);
SELECT try('regress_mirusync_ordinary', $$CREATE TABLE mirusync.mine (a int)$$);

-- Every function, called as each role with something of each type: who may is
-- let in, also to all that it calls in its turn, and nobody else is.
CREATE FUNCTION call_of(f pg_proc) RETURNS text LANGUAGE sql AS $$
	SELECT format(CASE f.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT count(*) FROM %s(%s)' END, f.oid::regproc,
		string_agg(CASE WHEN t.oid = 'mirusync.change_log'::regtype THEN 'NULL::mirusync.change_log' ELSE format('%L::%s',
			CASE t.typcategory WHEN 'A' THEN '{1}' WHEN 'B' THEN 't' WHEN 'D' THEN '2026-01-01' WHEN 'T' THEN '1 day' WHEN 'N' THEN
					CASE t.typname WHEN 'regclass' THEN 'mirusync.document' WHEN 'regrole' THEN 'regress_mirusync_ordinary' ELSE '1' END
				WHEN 'S' THEN 'a' ELSE CASE t.typname WHEN 'jsonb' THEN '{}' WHEN 'hlc' THEN '2026-01-01T00:00:00Z' ELSE '1' END END,
			t.oid::regtype) END, ', ' ORDER BY a.n))
	FROM unnest(f.proargtypes) WITH ORDINALITY a(type, n) JOIN pg_type t ON t.oid = a.type
$$;
CREATE FUNCTION try_any(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement;
	RAISE EXCEPTION 'done' USING ERRCODE = 'MSXXX';
EXCEPTION WHEN insufficient_privilege THEN
	RETURN sqlerrm;
WHEN OTHERS THEN
	RETURN 'may';
END $$;
CREATE TEMP TABLE tried AS
	SELECT g.short, f.oid::regprocedure AS function, has_function_privilege(g.rolname, f.oid, 'EXECUTE') AS may,
		try_any(g.rolname, call_of(f)) AS told
	FROM pg_proc f, grantee g
	WHERE f.pronamespace = 'mirusync'::regnamespace AND g.short <> 'public'
		AND NOT f.prorettype = ANY ('{trigger,event_trigger}'::regtype[]) AND NOT f.proargtypes::oid[] && '{internal,cstring}'::regtype[]::oid[];
SELECT short, may, count(*) > 5 AS several, count(*) FILTER (WHERE (told = 'may') <> may) AS otherwise FROM tried GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM tried WHERE (told = 'may') <> may ORDER BY 1, 2;
DROP TABLE tried;

DROP FUNCTION may, try, try_any, call_of;
DROP VIEW grantee;
DROP OWNED BY regress_mirusync_relay, regress_mirusync_auditor;
DROP ROLE regress_mirusync_relay, regress_mirusync_auditor, regress_mirusync_ordinary;
