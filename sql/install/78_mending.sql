-- 78_mending.sql
--     Mending: what was lost comes back, and what a device did is undone
--     (docs/audit.md).
--
-- What is to be done is worked out here, from history, and written in C
-- (extension/restore.c, extension/undo.c), as the caller's SQL.  "which" says in
-- the functions below what is to be undone: an object with some of device,
-- session, user_id, xid and collection, and with from_seq and to_seq.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE FUNCTION mirusync.restore(feed text, collection text, id text,
	seq bigint DEFAULT NULL, fields text[] DEFAULT NULL,
	at timestamptz DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'mirusync_restore_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.restore(text, text, text, bigint, text[], timestamptz) IS
'bring back a deleted record, or a record or fields of it as they were; returns the number of the change';

CREATE FUNCTION mirusync.restore(feed text, conflict bigint,
	side text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'mirusync_restore_side_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.restore(text, bigint, text) IS
'bring back the side of a conflict that lost, or the one given, also if it is resolved';

-- -------------------------------------------------------------------------
-- What is to be undone
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.undo_matches(change mirusync.change_log, which jsonb)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN change.seq BETWEEN (which ->> 'from_seq')::bigint
			AND (which ->> 'to_seq')::bigint
		AND coalesce(change.device = which ->> 'device', NOT which ? 'device')
		AND coalesce(change.session = which ->> 'session',
			NOT which ? 'session')
		AND coalesce(change.user_id = which ->> 'user_id',
			NOT which ? 'user_id')
		AND coalesce(change.collection = which ->> 'collection',
			NOT which ? 'collection')
		AND coalesce(change.xid::text = which ->> 'xid', NOT which ? 'xid');
END
$$;
COMMENT ON FUNCTION mirusync.undo_matches(mirusync.change_log, jsonb) IS
'whether a change is one to be undone; for undo_plan()';

-- Each change names the former one of its record, and state the latest: so a
-- change that was trimmed shows.
CREATE FUNCTION mirusync.undo_check(feed text, which jsonb)
RETURNS void
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first bigint := which ->> 'from_seq';
	trimmed bigint;
BEGIN
	SELECT max(m.seq) INTO trimmed FROM (
		SELECT l.previous AS seq FROM mirusync.change_log l
		WHERE l.feed = undo_check.feed AND l.seq >= first
			AND l.previous >= first
			AND l.collection = coalesce(which ->> 'collection', l.collection)
		UNION ALL
		SELECT r.seq FROM mirusync.record r
		WHERE r.feed = undo_check.feed AND r.seq >= first
			AND r.collection = coalesce(which ->> 'collection', r.collection)
		) m
		WHERE NOT EXISTS (SELECT FROM mirusync.change_log l
			WHERE l.feed = undo_check.feed AND l.seq = m.seq);
	IF trimmed IS NOT NULL THEN
		RAISE EXCEPTION 'history of feed % does not reach back to number %',
			to_json(feed), first
			USING ERRCODE = 'MS008', HINT = format(
				'It was trimmed; from number %s on nothing is missing.',
				trimmed + 1);
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_check(text, jsonb) IS
'throws if history lacks what undoing has to know; for undo()';

CREATE FUNCTION mirusync.undo_scope(feed text, device text, from_seq bigint,
	to_seq bigint, since timestamptz, until timestamptz, session text,
	user_id text, xid xid8, collection text)
RETURNS jsonb
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	which jsonb := jsonb_strip_nulls(jsonb_build_object('device', device,
		'session', session, 'user_id', user_id, 'xid', xid::text));
	head bigint;
BEGIN
	IF feed IS NULL THEN
		RAISE EXCEPTION 'feed must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT f.head INTO head FROM mirusync.feed f
		WHERE f.feed = undo_scope.feed;
	IF head IS NULL THEN
		RAISE EXCEPTION 'feed % does not exist', to_json(feed)
			USING ERRCODE = 'undefined_object';
	END IF;
	IF which = '{}' THEN
		RAISE EXCEPTION 'one of device, session, user_id and xid must be given'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF from_seq > to_seq OR since > until THEN
		RAISE EXCEPTION 'the range ends before it begins'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF collection IS NOT NULL AND NOT EXISTS (SELECT FROM mirusync.collection c
		WHERE c.name = undo_scope.collection)
	THEN
		RAISE EXCEPTION 'collection % does not exist', to_json(collection)
			USING ERRCODE = 'MS002';
	END IF;
	-- Times are those of numbers, and never go back.
	which := which || jsonb_strip_nulls(jsonb_build_object(
		'collection', collection,
		'from_seq', greatest(from_seq, 1,
			mirusync.seq_at(feed, since - interval '1 microsecond') + 1),
		'to_seq', least(to_seq, head, mirusync.seq_at(feed, until))));
	PERFORM mirusync.undo_check(feed, which);
	RETURN which;
END
$$;
COMMENT ON FUNCTION mirusync.undo_scope(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) IS
'what undo() is asked to undo, checked';

-- The latest come first: what builds on other records goes before those.
CREATE FUNCTION mirusync.undo_records(feed text, which jsonb)
RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.collection, l.id
	FROM mirusync.change_log l
	WHERE l.feed = undo_records.feed
		AND l.seq BETWEEN (which ->> 'from_seq')::bigint
			AND (which ->> 'to_seq')::bigint
		AND mirusync.undo_matches(l, which)
	GROUP BY l.collection, l.id
	ORDER BY max(l.seq) DESC
$$;
COMMENT ON FUNCTION mirusync.undo_records(text, jsonb) IS
'records with changes to be undone; for undo()';

-- -------------------------------------------------------------------------
-- What a field would get
-- -------------------------------------------------------------------------

-- The patches of a record between two numbers that touched a field.
CREATE FUNCTION mirusync.undo_touches(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint)
RETURNS TABLE (seq bigint, mine boolean, before jsonb, after jsonb,
	who text, undone jsonb)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT l.seq, mirusync.undo_matches(l, undo_touches.which),
		l.old -> undo_touches.field, l.new -> undo_touches.field,
		 mirusync.writer(l.device, l.user_id, l.role,
				l.application),
		CASE WHEN l.device IS NULL THEN mirusync.undo_mark(l.application) END
	FROM mirusync.change_log l
	WHERE l.feed = undo_touches.feed AND l.collection = undo_touches.collection
		AND l.id = undo_touches.id AND l.kind = 'patch'
		AND l.seq + 0 > above AND l.seq + 0 < below
		AND (l.old ? undo_touches.field OR l.new ? undo_touches.field);
END
$$;
COMMENT ON FUNCTION mirusync.undo_touches(text, text, text, jsonb, text, bigint, bigint) IS
'changes of a field; for undo_plan()';

-- undo() leaves in history what it has undone.  Anybody may name his
-- application so that it looks alike.
CREATE FUNCTION mirusync.undo_mark(application text)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE WHEN application LIKE 'mirusync.undo {%'
		THEN substr(application, length('mirusync.undo ') + 1)::jsonb END;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mirusync.undo_mark(text) IS
'what a change has undone, as history says; for undo_plan()';

-- What was undone before is not subtracted twice.
CREATE FUNCTION mirusync.undo_counter(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint)
RETURNS numeric
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l record;
	marks jsonb[] := '{}';
	added numeric := 0;
BEGIN
	FOR l IN SELECT t.mine, t.before, t.after, t.undone, c.change
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
				below) t
			CROSS JOIN LATERAL (SELECT x AS change FROM mirusync.change_log x
				WHERE x.feed = undo_counter.feed AND x.seq = t.seq) c
		ORDER BY t.seq DESC
	LOOP
		IF l.mine AND NOT EXISTS (SELECT FROM unnest(marks) m(mark)
			WHERE mirusync.undo_matches(l.change, m.mark))
		THEN
			added := added
				+ CASE jsonb_typeof(l.after) WHEN 'number'
					THEN l.after::numeric ELSE 0 END
				- CASE jsonb_typeof(l.before) WHEN 'number'
					THEN l.before::numeric ELSE 0 END;
		ELSIF l.undone IS NOT NULL AND NOT l.mine THEN
			marks := marks || l.undone;
		END IF;
	END LOOP;
	RETURN added;
END
$$;
COMMENT ON FUNCTION mirusync.undo_counter(text, text, text, jsonb, text, bigint, bigint) IS
'how much was added to a counter; for undo_plan()';

-- Each element is a field of its own, which is there or not.
CREATE FUNCTION mirusync.undo_set(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint, present jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
	WITH list AS (
		SELECT t.seq, t.mine,
			CASE jsonb_typeof(t.before) WHEN 'array' THEN t.before ELSE '[]' END AS before,
			CASE jsonb_typeof(t.after) WHEN 'array' THEN t.after ELSE '[]' END AS after
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
			below) t
	), touch AS (
		SELECT l.seq, l.mine, e.element, true AS was FROM list l, jsonb_array_elements(l.before) e(element)
			WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(l.after) a(element)
				WHERE a.element = e.element)
		UNION ALL
		SELECT l.seq, l.mine, e.element, false FROM list l, jsonb_array_elements(l.after) e(element)
			WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(l.before) b(element)
				WHERE b.element = e.element)
	), undone AS (
		SELECT t.element, (array_agg(t.was ORDER BY t.seq))[1] AS was,
			min(t.seq) AS seq
		FROM touch t
		WHERE t.mine AND t.seq > coalesce((SELECT max(o.seq) FROM touch o
			WHERE o.element = t.element AND NOT o.mine), 0)
		GROUP BY t.element
	), now AS (
		SELECT n.element, n.place FROM jsonb_array_elements(
			CASE jsonb_typeof(present) WHEN 'array' THEN present ELSE '[]' END)
			WITH ORDINALITY n(element, place)
	)
	SELECT coalesce(jsonb_agg(r.element ORDER BY r.part, r.place), '[]') FROM (
		SELECT n.element, 1 AS part, n.place FROM now n
			WHERE NOT EXISTS (SELECT FROM undone u
				WHERE u.element = n.element AND NOT u.was)
		UNION ALL
		SELECT u.element, 2, u.seq FROM undone u
			WHERE u.was AND NOT EXISTS (SELECT FROM now n
				WHERE n.element = u.element)) r);
END
$$;
COMMENT ON FUNCTION mirusync.undo_set(text, text, text, jsonb, text, bigint, bigint, jsonb) IS
'a set without what was added and with what was removed; for undo_plan()';

-- A field of any other rule goes back to what it had before the first of the
-- changes that nobody else's has followed, or to what lost against them.
-- "value" null: it was not there.
CREATE FUNCTION mirusync.undo_value(feed text, collection text, id text,
	which jsonb, field text, above bigint, below bigint, present jsonb,
	OUT value jsonb, OUT reason text, OUT words text)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other record;
	own record;
	lost record;
BEGIN
	SELECT t.seq, t.who INTO other
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
			below) t
		WHERE NOT t.mine ORDER BY t.seq DESC LIMIT 1;
	SELECT min(t.seq) AS first, max(t.seq) AS last, min(t.who) AS who,
			(array_agg(t.before ORDER BY t.seq))[1] AS before,
			(array_agg(t.after ORDER BY t.seq DESC))[1] AS after INTO own
		FROM mirusync.undo_touches(feed, collection, id, which, field, above,
			below) t
		WHERE t.mine AND t.seq > coalesce(other.seq, 0);
	-- Who has written the same value again has the stamp.
	IF below = 9223372036854775807 THEN
		SELECT w.seq, w.who INTO other
			FROM mirusync.field_stamps(feed, collection, id) s
				-- At most one, whatever the planner thinks of their number.
				CROSS JOIN LATERAL (SELECT l.seq,
						mirusync.writer(l.device, l.user_id, l.role,
				l.application) AS who
					FROM mirusync.change_log l
					WHERE l.feed = undo_value.feed AND l.seq = s.seq
						AND NOT mirusync.undo_matches(l, which) LIMIT 1) w
			WHERE s.field = undo_value.field AND s.seq > own.last
			UNION ALL SELECT other.seq, other.who
			ORDER BY 1 DESC NULLS LAST LIMIT 1;
	END IF;
	SELECT c.id, c.incoming -> undo_value.field AS incoming,
			c.incoming AS whole, c.field INTO lost
		FROM mirusync.conflicts c
		WHERE c.feed = undo_value.feed
			AND c.collection = undo_value.collection
			AND c.record = undo_value.id AND c.resolved_at IS NULL
			AND c.outcome <> 'incoming'
			AND (c.field = undo_value.field
				OR c.field IS NULL AND c.incoming ? undo_value.field)
			AND c.stored_seq >= coalesce(other.seq, above)
			AND c.stored_seq < below
			AND c.incoming_device IS DISTINCT FROM which ->> 'device'
			AND EXISTS (SELECT FROM mirusync.change_log l
				WHERE l.feed = c.feed AND l.seq = c.stored_seq
					AND mirusync.undo_matches(l, which) LIMIT 1)
		ORDER BY c.id DESC LIMIT 1;
	IF lost.id IS NOT NULL THEN
		value := CASE WHEN lost.field IS NULL THEN lost.incoming
			ELSE lost.whole END;
		reason := 'lost';
		words := format('it lost against it in conflict %s', lost.id);
	ELSIF other.seq > own.last OR own.first IS NULL AND other.seq IS NOT NULL THEN
		reason := 'changed';
		words := format('number %s of %s came after it', other.seq, other.who);
	ELSIF own.first IS NULL THEN
		RETURN;
	ELSIF own.after IS DISTINCT FROM present THEN
		reason := 'changed';
		words := 'history does not know the value that is there';
	ELSE
		value := own.before;
		reason := 'before';
		words := format('it was so before number %s of %s', own.first, own.who);
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_value(text, text, text, jsonb, text, bigint, bigint, jsonb) IS
'what a field would have without what is to be undone; for undo_plan()';

-- -------------------------------------------------------------------------
-- What a record would become
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.undo_follows(collection text, field text)
RETURNS boolean
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN field IS NULL OR EXISTS (
		SELECT FROM mirusync.collection c
			JOIN mirusync.attached t ON t.relation = c.relation
			JOIN pg_attribute a ON a.attrelid = c.relation
		WHERE c.name = undo_follows.collection AND t.data_column IS NULL
			AND a.attname = field
			AND (a.attgenerated <> '' OR a.attidentity = 'a'));
END
$$;
COMMENT ON FUNCTION mirusync.undo_follows(text, text) IS
'whether a field is generated, and so follows by itself; for undo_plan()';

-- Fields of a record as it would be, and why; those that would stay as well,
-- with the reason, and without a value.
CREATE FUNCTION mirusync.undo_fields(feed text, collection text, id text,
	which jsonb, fields jsonb, above bigint, below bigint)
RETURNS TABLE (field text, value jsonb, kept boolean, reason text, words text)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	rule text;
	sum numeric;
	documents boolean;
BEGIN
	SELECT c.columns IS NULL INTO documents
		FROM mirusync.collections c WHERE c.name = collection;
	FOR field IN
		SELECT k.name FROM (
			SELECT jsonb_object_keys(coalesce(l.old, '{}') || coalesce(l.new, '{}')) AS name
			FROM mirusync.change_log l
			WHERE l.feed = undo_fields.feed
				AND l.collection = undo_fields.collection
				AND l.id = undo_fields.id AND l.kind = 'patch'
				AND l.seq + 0 > above AND l.seq + 0 < below
				AND mirusync.undo_matches(l, which)
			UNION
			SELECT coalesce(c.field, w.name)
			FROM mirusync.conflicts c
				LEFT JOIN LATERAL jsonb_object_keys(CASE WHEN c.field IS NULL
					THEN c.incoming ELSE '{}' END) w(name) ON true
			WHERE c.feed = undo_fields.feed
				AND c.collection = undo_fields.collection
				AND c.record = undo_fields.id AND c.resolved_at IS NULL
				AND c.stored_seq >= above AND c.stored_seq < below) k
		WHERE NOT mirusync.undo_follows(collection, k.name)
		ORDER BY k.name COLLATE "C"
	LOOP
		rule := coalesce((SELECT r.rule FROM mirusync.rules r
			WHERE r.collection = undo_fields.collection AND r.field = undo_fields.field),
			'');
		value := fields -> field;
		kept := false;
		IF NOT documents AND NOT fields ? field THEN
			kept := true;
			reason := 'gone';
			words := 'there is no such field any more';
		ELSIF rule = 'counter' THEN
			sum := mirusync.undo_counter(feed, collection, id, which, field,
				above, below);
			CONTINUE WHEN sum = 0;
			value := to_jsonb(CASE jsonb_typeof(value) WHEN 'number'
				THEN value::numeric ELSE 0 END - sum);
			reason := 'counter';
			words := format('it counts without the %s that were added', sum);
		ELSIF rule = 'set' THEN
			value := mirusync.undo_set(feed, collection, id, which, field,
				above, below, value);
			CONTINUE WHEN value = coalesce(fields -> field, '[]');
			reason := 'set';
			words := 'without what was added, and with what was removed';
		ELSE
			SELECT v.value, v.reason, v.words INTO value, reason, words
				FROM mirusync.undo_value(feed, collection, id, which, field,
					above, below, value) v;
			CONTINUE WHEN reason IS NULL;
			kept := reason = 'changed';
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION mirusync.undo_fields(text, text, text, jsonb, jsonb, bigint, bigint) IS
'fields of a record without what is to be undone; for undo_plan()';

-- The way goes down from the latest change.  A life of the record that nobody
-- else had a hand in goes as a whole, and so does a delete; then what was
-- before it goes on to be looked at.
CREATE FUNCTION mirusync.undo_record(feed text, collection text, id text,
	which jsonb, present jsonb, OUT fields jsonb, OUT above bigint,
	OUT below bigint, OUT reason text, OUT words text, OUT kept text,
	OUT lost jsonb)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l record;
	others text;
BEGIN
	fields := present;
	above := (which ->> 'from_seq')::bigint - 1;
	below := 9223372036854775807;
	FOR l IN SELECT c.seq, c.kind, c.old, c.new, c.previous,
			mirusync.undo_matches(c, which) AS mine, format('number %s of %s',
				c.seq, mirusync.writer(c.device, c.user_id, c.role,
					c.application)) AS who
		FROM mirusync.change_log c
		WHERE c.feed = undo_record.feed
			AND c.collection = undo_record.collection
			AND c.id = undo_record.id AND c.seq + 0 > above
		-- By the record's index, not by the feed's: hence + 0.
		ORDER BY c.seq + 0 DESC
	LOOP
		IF coalesce(l.old, l.new) IS NULL
			AND NOT (l.kind = 'delete' AND l.previous IS NULL)
		THEN
			kept := 'history does not have the values of ' || l.who;
			above := l.seq;
			EXIT;
		ELSIF l.kind = 'patch' THEN
			IF NOT l.mine THEN
				others := coalesce(others, l.who);
			END IF;
		ELSIF NOT l.mine OR l.kind = 'put' AND others IS NOT NULL THEN
			kept := CASE WHEN l.mine THEN others || ' has changed what it made'
				WHEN l.kind = 'put' THEN l.who || ' made it since'
				ELSE l.who || ' deleted it since' END;
			above := l.seq;
			EXIT;
		ELSE
			fields := CASE l.kind WHEN 'delete' THEN l.old END;
			below := l.seq;
			reason := CASE l.kind WHEN 'delete' THEN 'deleted' ELSE 'made' END;
			words := l.who || CASE l.kind WHEN 'delete' THEN ' deleted it'
				ELSE ' made it' END;
			others := NULL;
			lost := CASE l.kind WHEN 'delete' THEN (SELECT c.incoming
				FROM mirusync.conflicts c
				WHERE c.feed = undo_record.feed
					AND c.collection = undo_record.collection
					AND c.record = undo_record.id AND c.field IS NULL
					AND c.stored_seq = l.seq AND c.outcome <> 'incoming'
					AND c.resolved_at IS NULL AND c.incoming IS NOT NULL
				ORDER BY c.id DESC LIMIT 1) END;
		END IF;
	END LOOP;
	-- Nothing is said of what nobody wanted to undo.
	IF NOT EXISTS (SELECT FROM mirusync.change_log c
		WHERE c.feed = undo_record.feed
			AND c.collection = undo_record.collection
			AND c.id = undo_record.id AND c.seq + 0 <= above
			AND mirusync.undo_matches(c, which))
	THEN
		kept := NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_record(text, text, text, jsonb, jsonb) IS
'which life of a record stands without what is to be undone; for undo_plan()';

CREATE FUNCTION mirusync.undo_plan(feed text, collection text, id text,
	which jsonb)
RETURNS TABLE (field text, present jsonb, value jsonb, action text,
	reason text, words text)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
	stored jsonb := mirusync.stored(feed, collection, id);
	life record;
	f record;
	wanted jsonb;
	whys jsonb := '{}';
BEGIN
	IF NOT EXISTS (SELECT FROM mirusync.collections c WHERE c.name = collection)
	THEN
		RETURN QUERY SELECT NULL, stored, NULL::jsonb, 'keep', 'gone',
			'there is no such collection any more';
		RETURN;
	END IF;
	SELECT * INTO life FROM mirusync.undo_record(feed, collection, id, which,
		stored);
	wanted := life.fields;
	IF wanted IS NOT NULL THEN
		FOR f IN SELECT * FROM mirusync.undo_fields(feed, collection, id,
				which, wanted, life.above, life.below)
		LOOP
			IF f.kept THEN
				RETURN QUERY SELECT f.field, stored -> f.field, NULL::jsonb,
					'keep', f.reason, f.words;
			ELSE
				wanted := wanted - f.field
					|| CASE WHEN f.value IS NULL THEN '{}'
						ELSE jsonb_build_object(f.field, f.value) END;
				whys := whys || jsonb_build_object(f.field,
					jsonb_build_array(f.reason, f.words));
			END IF;
		END LOOP;
		wanted := wanted || coalesce(life.lost, '{}');
	END IF;
	IF life.kept IS NOT NULL THEN
		RETURN QUERY SELECT NULL, stored, NULL::jsonb, 'keep',
			'changed', life.kept;
	END IF;
	IF stored IS NULL AND wanted IS NOT NULL
		OR stored IS NOT NULL AND wanted IS NULL
	THEN
		RETURN QUERY SELECT NULL, stored, wanted,
			CASE WHEN stored IS NULL THEN 'insert' ELSE 'delete' END,
			life.reason, life.words;
	ELSE
		RETURN QUERY SELECT k.name, stored -> k.name, wanted -> k.name,
				CASE WHEN wanted ? k.name THEN 'set' ELSE 'unset' END,
				coalesce(whys -> k.name ->> 0, life.reason),
				coalesce(whys -> k.name ->> 1, life.words)
			FROM (SELECT jsonb_object_keys(stored)
				UNION SELECT jsonb_object_keys(wanted)) k(name)
			WHERE stored -> k.name IS DISTINCT FROM wanted -> k.name
				AND NOT mirusync.undo_follows(collection, k.name)
			ORDER BY k.name COLLATE "C";
	END IF;
END
$$;
COMMENT ON FUNCTION mirusync.undo_plan(text, text, text, jsonb) IS
'what undoing does to a record, field by field; for undo() and undo_preview()';

-- -------------------------------------------------------------------------
-- Undoing
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.undo_preview(feed text, device text DEFAULT NULL,
	from_seq bigint DEFAULT NULL, to_seq bigint DEFAULT NULL,
	since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	session text DEFAULT NULL, user_id text DEFAULT NULL,
	xid xid8 DEFAULT NULL, in_collection text DEFAULT NULL)
RETURNS TABLE (collection text, id text, field text, present jsonb,
	value jsonb, action text, reason text, words text)
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	which jsonb := mirusync.undo_scope(feed, device, from_seq, to_seq, since,
		until, session, user_id, xid, in_collection);
BEGIN
	RETURN QUERY SELECT r.collection, r.id, p.field, p.present, p.value,
			p.action, p.reason, p.words
		FROM mirusync.undo_records(feed, which) r
			CROSS JOIN LATERAL mirusync.undo_plan(feed, r.collection, r.id,
				which) p;
END
$$;
COMMENT ON FUNCTION mirusync.undo_preview(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) IS
'what undo() would do; writes nothing';

CREATE FUNCTION mirusync.undo(feed text, device text DEFAULT NULL,
	from_seq bigint DEFAULT NULL, to_seq bigint DEFAULT NULL,
	since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	session text DEFAULT NULL, user_id text DEFAULT NULL,
	xid xid8 DEFAULT NULL, in_collection text DEFAULT NULL)
RETURNS TABLE (collection text, id text, field text, present jsonb,
	value jsonb, action text, reason text, words text)
AS 'MODULE_PATHNAME', 'mirusync_undo_0_2'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.undo(text, text, bigint, bigint, timestamptz, timestamptz, text, text, xid8, text) IS
'undo the changes of a device, session, user or transaction, as changes by the caller';
