-- Everything that makes up the extension, a line for each part, so that two
-- databases can be compared: an updated one must be as one made anew.
-- Positions of columns count, since the library knows columns by them.
--
-- SPDX-License-Identifier: PostgreSQL
SET search_path = pg_catalog;
CREATE FUNCTION pg_temp.acl(acl aclitem[], kind "char", owner oid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s=%s%s', coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'), privilege_type,
			CASE WHEN is_grantable THEN '*' END), ' ' ORDER BY grantee::regrole::text, privilege_type)
	FROM aclexplode(coalesce(acl, acldefault(kind, owner)))
$$;
CREATE TEMP VIEW member AS
	SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass AND e.extname = 'mirusync' AND d.deptype = 'e';
CREATE TEMP VIEW relation AS
	SELECT c.* FROM pg_class c JOIN member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass;
CREATE TEMP VIEW fingerprint AS
SELECT 'member' AS kind, pg_describe_object(classid, objid, 0) AS name, obj_description(objid, classid::regclass::name) AS detail
	FROM member
UNION ALL
SELECT 'extension', e.extname, format('version %s, schema %s, relocatable %s, owner %s', e.extversion,
		e.extnamespace::regnamespace, e.extrelocatable, e.extowner::regrole)
	FROM pg_extension e WHERE e.extname = 'mirusync'
UNION ALL
SELECT 'dumped', t.oid::regclass::text, e.extcondition[t.place]
	FROM pg_extension e, unnest(e.extconfig) WITH ORDINALITY t(oid, place) WHERE e.extname = 'mirusync'
UNION ALL
SELECT 'schema', n.nspname, pg_temp.acl(n.nspacl, 'n', n.nspowner) FROM pg_namespace n WHERE n.nspname = 'mirusync'
UNION ALL
SELECT 'relation', c.oid::regclass::text, format('%s %s options %s, row security %s %s, replica identity %s, access method %s, %s, type %s',
		c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
		(SELECT amname FROM pg_am WHERE oid = c.relam),
		pg_temp.acl(c.relacl, CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner),
		(SELECT pg_temp.acl(t.typacl, 'T', t.typowner) FROM pg_type t WHERE t.oid = c.reltype))
	FROM relation c
UNION ALL
SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid) FROM relation c WHERE c.relkind IN ('v', 'm')
UNION ALL
SELECT 'sequence', c.oid::regclass::text, (to_jsonb(s.*) - 'seqrelid')::text
	FROM relation c JOIN pg_sequence s ON s.seqrelid = c.oid
UNION ALL
SELECT 'column', format('%s.%s', c.oid::regclass, a.attname),
	format('%s: %s collate %s not null %s default %s identity "%s" generated "%s" storage %s%s options %s %s, comment %s',
		a.attnum, format_type(a.atttypid, a.atttypmod), nullif(a.attcollation, 0)::regcollation, a.attnotnull,
		(SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum),
		a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
		(SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE o LIKE 'n_distinct%'), a.attacl,
		col_description(c.oid, a.attnum))
	FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE a.attnum > 0 AND c.relkind IN ('r', 'p', 'v', 'm', 'c') AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', format('%s of %s', k.conname, k.conrelid::regclass), pg_get_constraintdef(k.oid)
	FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
UNION ALL
SELECT 'index', i.indexrelid::regclass::text, format('%s, %s, %s, comment %s', pg_get_indexdef(i.indexrelid), x.reloptions,
		i.indisclustered, obj_description(x.oid, 'pg_class'))
	FROM relation c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
UNION ALL
SELECT 'trigger', format('%s of %s', t.tgname, c.oid::regclass),
	format('%s, enabled %s, comment %s', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
	FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule', format('%s of %s', r.rulename, c.oid::regclass), pg_get_ruledef(r.oid)
	FROM relation c JOIN pg_rewrite r ON r.ev_class = c.oid
UNION ALL
SELECT 'policy', format('%s of %s', p.polname, c.oid::regclass), pg_get_expr(p.polqual, p.polrelid)
	FROM relation c JOIN pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT 'function', p.oid::regprocedure::text, format('%s owner %s, %s', pg_get_functiondef(p.oid), p.proowner::regrole,
		pg_temp.acl(p.proacl, 'f', p.proowner))
	FROM pg_proc p JOIN member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
UNION ALL
SELECT 'type', t.oid::regtype::text, (to_jsonb(t.*) - '{oid,typarray,typrelid,typelem,typacl,typowner,typnamespace}'::text[])::text
		|| pg_temp.acl(t.typacl, 'T', t.typowner)
	FROM pg_type t JOIN member m ON m.objid = t.oid AND m.classid = 'pg_type'::regclass WHERE t.typrelid = 0
UNION ALL
SELECT 'operator', o.oid::regoperator::text, format('%s %s %s %s %s %s %s', o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator,
		o.oprrest, o.oprjoin, o.oprcanhash, o.oprcanmerge)
	FROM pg_operator o JOIN member m ON m.objid = o.oid AND m.classid = 'pg_operator'::regclass
UNION ALL
SELECT 'operator class', format('%s of %s', c.opcname, a.amname), format('%s %s family %s default %s', c.opcintype::regtype,
		c.opckeytype, f.opfname, c.opcdefault)
	FROM pg_opclass c JOIN member m ON m.objid = c.oid AND m.classid = 'pg_opclass'::regclass
		JOIN pg_am a ON a.oid = c.opcmethod JOIN pg_opfamily f ON f.oid = c.opcfamily
UNION ALL
SELECT 'operator family', format('%s of %s', f.opfname, a.amname),
	concat_ws(' ', (SELECT string_agg(format('%s %s', o.amopstrategy, o.amopopr::regoperator), ' ' ORDER BY o.amopstrategy)
			FROM pg_amop o WHERE o.amopfamily = f.oid),
		(SELECT string_agg(format('%s %s', p.amprocnum, p.amproc), ' ' ORDER BY p.amprocnum)
			FROM pg_amproc p WHERE p.amprocfamily = f.oid))
	FROM pg_opfamily f JOIN member m ON m.objid = f.oid AND m.classid = 'pg_opfamily'::regclass
		JOIN pg_am a ON a.oid = f.opfmethod
UNION ALL
SELECT 'cast', format('%s as %s', c.castsource::regtype, c.casttarget::regtype),
	format('%s %s %s', c.castfunc::regprocedure, c.castcontext, c.castmethod)
	FROM pg_cast c JOIN member m ON m.objid = c.oid AND m.classid = 'pg_cast'::regclass
UNION ALL
SELECT 'event trigger', t.evtname, format('%s %s %s %s', t.evtevent, t.evtfoid::regprocedure, t.evttags, t.evtenabled)
	FROM pg_event_trigger t JOIN member m ON m.objid = t.oid AND m.classid = 'pg_event_trigger'::regclass;
SELECT to_jsonb(f)::text FROM fingerprint f ORDER BY 1;
