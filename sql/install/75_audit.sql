-- 75_audit.sql
--     The audit: what sync did, asked in SQL (docs/audit.md).
--
-- Everything is read from history, change_log, and from state, record; see
-- the head of extension/audit.c for what is not SQL.  Numbers of a feed have
-- no hole, and each change names the former one of its record: what was
-- trimmed shows, and is an error where it would make an answer wrong.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE FUNCTION mirusync.stored(feed text, collection text, id text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_stored_0_2'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.stored(text, text, text) IS
'fields of a record as it stands; null if it is deleted or there is none';

CREATE FUNCTION mirusync.field_stamps(feed text, collection text, id text,
	OUT field text, OUT value jsonb, OUT clock mirusync.hlc, OUT device text,
	OUT seq bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mirusync_field_stamps_0_2'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER;
COMMENT ON FUNCTION mirusync.field_stamps(text, text, text) IS
'who wrote each field of a record, from its state; for blame()';

-- -------------------------------------------------------------------------
-- What happened
-- -------------------------------------------------------------------------

-- A side that does not have the field is left out: {"to": ...} alone says that
-- it was not there, or that it is not known what was.
CREATE FUNCTION mirusync.field_changes(old jsonb, new jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_object_agg(k.name,
		CASE WHEN old ? k.name
			THEN jsonb_build_object('from', old -> k.name) ELSE '{}' END
		|| CASE WHEN new ? k.name
			THEN jsonb_build_object('to', new -> k.name) ELSE '{}' END)
	FROM (SELECT jsonb_object_keys(old) UNION SELECT jsonb_object_keys(new))
		AS k(name)
$$;
COMMENT ON FUNCTION mirusync.field_changes(jsonb, jsonb) IS
'from and to of each field, of old and new as history has them';

-- The latest ones, so many as "max", of those below the number "before".
CREATE FUNCTION mirusync.history(feed text, collection text, id text,
	before bigint DEFAULT 9223372036854775807, max int DEFAULT 2147483647)
RETURNS TABLE (seq bigint, at timestamptz, kind text, origin text,
	user_id text, device text, session text, role text, application text,
	xid xid8, type text, number bigint, changes jsonb, rule text,
	field_rules jsonb, verdict text, conflicts bigint[], clock mirusync.hlc,
	base bigint, skew_ms bigint, erased_at timestamptz, erased_by text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.seq, l.at, l.kind,
		CASE WHEN l.user_id IS NULL THEN 'sql'
			WHEN l.device IS NULL THEN 'resolve'
			WHEN l.rule IS NULL THEN 'trigger'
			ELSE 'push' END,
		l.user_id, l.device, l.session,
		pg_get_userbyid(l.role)::text, l.application, l.xid, l.type, l.number,
		mirusync.field_changes(l.old, l.new), l.rule, l.field_rules,
		l.verdict,
		(SELECT array_agg(c.id ORDER BY c.id)
			FROM mirusync.conflict c
			WHERE c.feed = l.feed AND c.incoming_seq = l.seq),
		l.clock, l.base, l.skew_ms, e.at, pg_get_userbyid(e.role)::text
	FROM (SELECT * FROM mirusync.change_log c
		WHERE c.feed = history.feed AND c.collection = history.collection
			AND c.id = history.id AND c.seq < history.before
		ORDER BY c.seq DESC LIMIT history.max) l
		LEFT JOIN mirusync.erasure e ON e.feed = l.feed AND e.number = l.erasure
	ORDER BY l.seq
$$;
COMMENT ON FUNCTION mirusync.history(text, text, text, bigint, int) IS
'every change of a record, as far as history reaches back';

CREATE FUNCTION mirusync.blame(feed text, collection text, id text)
RETURNS TABLE (field text, value jsonb, former jsonb, seq bigint,
	at timestamptz, origin text, user_id text, device text, role text,
	application text, clock mirusync.hlc, rule text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.field, s.value,
		CASE WHEN s.field IS NULL THEN l.old ELSE l.old -> s.field END,
		s.seq, l.at,
		CASE WHEN s.device IS NOT NULL
				THEN CASE WHEN l.seq IS NOT NULL AND l.rule IS NULL
					THEN 'trigger' ELSE 'push' END
			WHEN l.device IS NOT NULL THEN 'trigger'
			WHEN l.user_id IS NOT NULL THEN 'resolve'
			ELSE 'sql' END,
		l.user_id, coalesce(s.device, l.device), pg_get_userbyid(l.role)::text,
		l.application, s.clock, coalesce(l.field_rules ->> s.field, l.rule)
	FROM mirusync.field_stamps(blame.feed, blame.collection, blame.id) s
		-- A field at a time, whatever the planner thinks of their number.
		LEFT JOIN LATERAL (SELECT * FROM mirusync.change_log c
			WHERE c.feed = blame.feed AND c.seq = s.seq LIMIT 1) l ON true
	ORDER BY s.field COLLATE "C" NULLS FIRST
$$;
COMMENT ON FUNCTION mirusync.blame(text, text, text) IS
'for each field of a record who set its present value, when, from where, over what';

-- -------------------------------------------------------------------------
-- How it was
-- -------------------------------------------------------------------------

-- Times of a feed never go back, so its numbers are searched by halves.
CREATE FUNCTION mirusync.seq_at(feed text, at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	low bigint := 0;	-- not after "at", nor is anything below
	high bigint;		-- everything above is after "at"
	middle bigint;
	probe record;
BEGIN
	SELECT f.head INTO high FROM mirusync.feed f WHERE f.feed = seq_at.feed;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'feed % does not exist', to_json(seq_at.feed)
			USING ERRCODE = 'undefined_object';
	END IF;
	IF seq_at.at > clock_timestamp() THEN
		RAISE EXCEPTION 'time is in the future'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	WHILE low < high LOOP
		middle := (low + high + 1) / 2;
		SELECT l.seq, l.at INTO probe FROM mirusync.change_log l
			WHERE l.feed = seq_at.feed AND l.seq >= middle
			ORDER BY l.seq LIMIT 1;
		IF probe.seq <= high AND probe.at <= seq_at.at THEN
			low := probe.seq;
		ELSE
			high := middle - 1;
		END IF;
	END LOOP;
	RETURN low;
END
$$;
COMMENT ON FUNCTION mirusync.seq_at(text, timestamptz) IS
'number of the latest change of a feed at a time, of those that history has; 0: none';

-- What came later is undone, from the record as it stands or as it was deleted
-- next.  That asks nothing of history below the number.  Where it is not known
-- what stands, since the table was detached, the record is made again from the
-- change that made it.
CREATE FUNCTION mirusync.record_at(feed text, collection text, id text,
	seq bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state record;
	ending record;		-- the first change after "seq" that is no patch
	change record;
	fields jsonb;
	missing bigint;		-- number that history must have next, going back
BEGIN
	SELECT r.seq, r.deleted INTO state FROM mirusync.record r
		WHERE r.feed = record_at.feed
			AND r.collection = record_at.collection AND r.id = record_at.id;
	SELECT l.seq, l.kind, l.old, l.previous, l.erasure INTO ending
		FROM mirusync.change_log l
		WHERE l.feed = record_at.feed
			AND l.collection = record_at.collection AND l.id = record_at.id
			AND l.seq + 0 > record_at.seq AND l.kind <> 'patch'
		-- By the record's index, not by the feed's: hence + 0.
		ORDER BY l.seq + 0 LIMIT 1;
	IF ending.seq IS NOT NULL THEN
		missing := ending.previous;
		fields := ending.old;
	ELSE
		missing := state.seq;
		fields := mirusync.stored(feed, collection, id);
	END IF;
	FOR change IN
		SELECT l.seq, l.old, l.new, l.previous, l.erasure
		FROM mirusync.change_log l
		WHERE l.feed = record_at.feed
			AND l.collection = record_at.collection AND l.id = record_at.id
			AND l.seq + 0 > record_at.seq
			AND (ending.seq IS NULL OR l.seq < ending.seq)
		ORDER BY l.seq + 0 DESC
	LOOP
		EXIT WHEN missing <> change.seq OR change.erasure IS NOT NULL;
		missing := change.previous;
		fields := fields - ARRAY(SELECT jsonb_object_keys(change.new))
			|| change.old;
	END LOOP;
	IF missing > record_at.seq OR ending.kind = 'delete'
			AND ending.erasure IS NOT NULL THEN
		fields := NULL;
	ELSIF ending.kind = 'put' OR ending.kind = 'delete' AND missing IS NULL
			AND fields IS NULL OR ending.seq IS NULL AND state.deleted
	THEN
		RETURN NULL;
	END IF;
	RETURN coalesce(fields,
		mirusync.record_made_again(feed, collection, id, seq, missing));
END
$$;
COMMENT ON FUNCTION mirusync.record_at(text, text, text, bigint) IS
'fields of a record as they were at a number of its feed; null: it was not there';

-- "missing" is what is known to have been there, and is not in history.
CREATE FUNCTION mirusync.record_made_again(feed text, collection text, id text,
	seq bigint, missing bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	change record;
	fields jsonb;
	previous bigint;
	known boolean;
BEGIN
	FOR change IN
		SELECT l.seq, l.kind, l.old, l.new, l.previous, l.erasure
		FROM mirusync.change_log l
		WHERE l.feed = record_made_again.feed
			AND l.collection = record_made_again.collection
			AND l.id = record_made_again.id
		ORDER BY l.seq + 0
	LOOP
		EXIT WHEN change.seq > record_made_again.seq;
		known := (change.kind <> 'patch'
			OR coalesce(known, false) AND change.previous = previous)
			AND (change.erasure IS NULL OR change.kind = 'delete');
		fields := CASE change.kind WHEN 'put' THEN change.new
			WHEN 'patch' THEN fields
				- ARRAY(SELECT jsonb_object_keys(change.old)) || change.new END;
		previous := change.seq;
	END LOOP;
	-- Nothing is known of it: it may never have been there, or be forgotten.
	IF previous IS NULL AND change.seq IS NULL AND missing IS NULL THEN
		known := seq >= coalesce((SELECT f.floor FROM mirusync.feed f
			WHERE f.feed = record_made_again.feed), 0);
	END IF;
	IF known IS NOT TRUE THEN
		RAISE EXCEPTION 'history of record % does not reach back to number %',
			to_json(id), seq
			USING ERRCODE = 'MS008', HINT = 'It was trimmed or erased.';
	END IF;
	RETURN fields;
END
$$;
COMMENT ON FUNCTION mirusync.record_made_again(text, text, text, bigint, bigint) IS
'fields of a record at a number, from the change that made it on; for record_at()';

CREATE FUNCTION mirusync.as_of(feed text, collection text, id text,
	at timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT mirusync.record_at(feed, collection, id, mirusync.seq_at(feed, at))
$$;
COMMENT ON FUNCTION mirusync.as_of(text, text, text, timestamptz) IS
'fields of a record as they were at a time; null: it was not there';

-- Every record that has state or history is looked at, if only to say that it
-- was not there.  Numbers without a hole tell whether there was another one.
CREATE FUNCTION mirusync.feed_as_of(feed text, at timestamptz)
RETURNS TABLE (collection text, id text, fields jsonb)
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place bigint := mirusync.seq_at(feed, at);
	known record;
BEGIN
	SELECT f.head - place AS later, f.floor > place AS is_below INTO known
		FROM mirusync.feed f WHERE f.feed = feed_as_of.feed;
	IF known.is_below AND known.later <> (SELECT count(*)
		FROM mirusync.change_log l
		WHERE l.feed = feed_as_of.feed AND l.seq > place)
	THEN
		RAISE EXCEPTION 'history of feed % does not reach back to number %',
			to_json(feed), place
			USING ERRCODE = 'MS008', HINT = 'It was trimmed.';
	END IF;
	RETURN QUERY
		SELECT n.collection, n.id, n.fields FROM (
			SELECT k.collection, k.id,
				mirusync.record_at(feed_as_of.feed, k.collection, k.id, place)
					AS fields
			FROM (SELECT r.collection, r.id FROM mirusync.record r
					WHERE r.feed = feed_as_of.feed
						AND (r.seq > place OR NOT r.deleted)
				UNION
				SELECT l.collection, l.id FROM mirusync.change_log l
					WHERE l.feed = feed_as_of.feed
						AND (l.seq > place OR NOT EXISTS (
							SELECT FROM mirusync.record r
							WHERE r.feed = l.feed
								AND r.collection = l.collection
								AND r.id = l.id))) k) n
		WHERE n.fields IS NOT NULL
		ORDER BY n.collection COLLATE "C", n.id COLLATE "C";
END
$$;
COMMENT ON FUNCTION mirusync.feed_as_of(text, timestamptz) IS
'records of a feed as they were at a time';

-- -------------------------------------------------------------------------
-- Why
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.writer(device text, user_id text, role oid,
	application text)
RETURNS text
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce('device ' || to_json(device),
		'user ' || to_json(user_id), 'SQL'
		|| coalesce(' by role ' || to_json(pg_get_userbyid(role)::text), '')
		|| coalesce(' (' || application || ')', ''));
END
$$;
COMMENT ON FUNCTION mirusync.writer(text, text, oid, text) IS
'who wrote, in words; for explain()';

-- One row a field that the change set, and one a field that it did not get.
-- "before" is the change that had set the field when this one came, "after"
-- the one that set it next.
CREATE FUNCTION mirusync.explain(feed text, seq bigint)
RETURNS TABLE (field text, outcome text, value jsonb, other jsonb,
	reason text, words text, facts jsonb)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH change AS (
		SELECT l.*, mirusync.writer(l.device, l.user_id, l.role,
			l.application) AS who,
			e.at AS erased_at, pg_get_userbyid(e.role)::text AS erased_by
		FROM mirusync.change_log l
			LEFT JOIN mirusync.erasure e
				ON e.feed = l.feed AND e.number = l.erasure
		WHERE l.feed = explain.feed AND l.seq = explain.seq
	), conflict AS (
		SELECT c.id, c.field, c.rule, c.outcome, c.stored, c.incoming,
			c.stored_seq, c.stored_device, c.stored_clock
		FROM mirusync.conflicts c
		WHERE c.feed = explain.feed AND c.incoming_seq = explain.seq
	), field AS (
		SELECT k.name, k.is_set, l.erased_at, l.erased_by, l.kind, l.device,
			l.user_id, l.who, l.clock, l.base,
			l.rule AS collection_rule,
			coalesce(c.rule, l.field_rules ->> k.name, l.rule) AS rule,
			CASE WHEN k.is_set THEN l.new -> k.name ELSE c.incoming END AS sent,
			CASE WHEN l.kind = 'delete' THEN l.old
				WHEN k.is_set THEN l.old -> k.name ELSE c.stored END AS former,
			c.id AS conflict, c.outcome, c.stored_seq, c.stored_device,
			c.stored_clock, b.seq AS before, b.kind AS before_kind, b.device AS before_device,
			b.who AS before_who, b.clock AS before_clock,
			a.seq AS after, a.who AS after_who
		FROM change l
			CROSS JOIN LATERAL (
				SELECT n AS name, true AS is_set
					FROM (SELECT jsonb_object_keys(l.new)
						UNION SELECT jsonb_object_keys(l.old)) AS n(n)
					WHERE l.kind <> 'delete'
				UNION ALL
				SELECT NULL, true
					WHERE l.kind = 'delete' OR l.erasure IS NOT NULL
				UNION ALL
				SELECT n.field, false FROM conflict n
					WHERE n.outcome <> 'incoming'
						AND NOT coalesce(l.new ? n.field, false)) k
			LEFT JOIN conflict c ON c.field = k.name
				OR c.field IS NULL AND (k.name IS NULL OR c.incoming ? k.name
					OR c.stored ? k.name)
			LEFT JOIN LATERAL (
				SELECT p.seq, p.kind, p.device, p.clock,
					mirusync.writer(p.device, p.user_id, p.role,
						p.application) AS who
				FROM mirusync.change_log p
				WHERE p.feed = l.feed AND p.collection = l.collection
					AND p.id = l.id AND p.seq < l.seq
					AND (p.new ? k.name OR p.old ? k.name OR k.name IS NULL
						OR p.kind = 'delete')
				ORDER BY p.seq DESC LIMIT 1) b ON true
			LEFT JOIN LATERAL (
				SELECT p.seq,
					mirusync.writer(p.device, p.user_id, p.role,
						p.application) AS who
				FROM mirusync.change_log p
				WHERE p.feed = l.feed AND p.collection = l.collection
					AND p.id = l.id AND p.seq > l.seq
					AND (p.new ? k.name OR p.old ? k.name OR k.name IS NULL
						OR p.kind = 'delete')
				ORDER BY p.seq LIMIT 1) a ON true
	), judged AS (
		SELECT f.*, CASE
			WHEN f.erased_at IS NOT NULL THEN 'erased'
			WHEN NOT f.is_set AND f.outcome = 'open' THEN 'open'
			WHEN NOT f.is_set THEN 'lost'
			WHEN f.user_id IS NULL THEN 'sql'
			WHEN f.device IS NULL THEN 'resolve'
			WHEN f.collection_rule IS NULL THEN 'trigger'
			WHEN f.conflict IS NOT NULL AND f.outcome = 'incoming'
				THEN 'won'
			WHEN f.kind = 'put' AND f.before IS NULL THEN 'new'
			WHEN f.before_kind = 'delete' THEN 'back'
			WHEN f.rule IN ('max', 'min', 'counter') THEN f.rule
			WHEN f.before IS NULL THEN 'trimmed'
			WHEN f.before_device = f.device THEN 'own'
			WHEN f.before <= f.base THEN 'seen'
			WHEN f.base IS NULL THEN 'newer'
			ELSE 'unseen' END AS reason
		FROM field f
	)
	SELECT j.name,
		CASE WHEN j.reason = 'erased' THEN 'erased'
			WHEN NOT j.is_set THEN 'refused'
			WHEN j.kind = 'delete' THEN 'deleted' ELSE 'stored' END,
		j.sent, j.former, j.reason,
		CASE j.reason
			WHEN 'erased' THEN 'it was erased by role ' || to_json(j.erased_by)
			WHEN 'sql' THEN j.who || ' wrote it, which asks no rule'
			WHEN 'resolve' THEN j.who || ' decided a conflict'
			WHEN 'trigger' THEN
				'a trigger or a cascade wrote it, for a push of ' || j.who
			WHEN 'new' THEN j.who || ' made the record; there was nothing to merge with'
			WHEN 'back' THEN format('the record was deleted under number %s, and %s brought it back',
				j.before, j.who)
			WHEN 'own' THEN j.who || ' had written the former value itself'
			WHEN 'seen' THEN format('%s had seen number %s, and the former value had number %s',
				j.who, j.base, j.before)
			WHEN 'max' THEN 'it is the greater one'
			WHEN 'min' THEN 'it is the lesser one'
			WHEN 'counter' THEN 'what ' || j.who || ' added was added'
			WHEN 'newer' THEN format('by rule %s: %s did not say what it had seen, and the clock %s, while that of the former value was %s',
				j.rule, j.who, j.clock, j.before_clock)
			WHEN 'unseen' THEN format('by rule %s: %s had not seen the former value, number %s',
				j.rule, j.who, j.before)
			WHEN 'trimmed' THEN 'history does not say what was there before'
			ELSE format('%s by rule %s against %s, which %s had not seen',
				CASE j.reason WHEN 'won' THEN 'it won' WHEN 'lost' THEN 'it lost'
					ELSE 'the stored value stays until somebody decides,' END,
				j.rule, coalesce('number ' || j.stored_seq || ' of ', '')
					|| mirusync.writer(j.stored_device, NULL, NULL, NULL), j.who)
		END || CASE WHEN j.is_set AND j.reason <> 'erased' AND j.after IS NOT NULL
			THEN format('; replaced by number %s, %s', j.after, j.after_who)
			ELSE '' END,
		jsonb_strip_nulls(jsonb_build_object('rule', j.rule,
			'clock', j.clock::text, 'base', j.base,
			'former_seq', coalesce(j.stored_seq, j.before),
			'former_device', CASE WHEN j.conflict IS NOT NULL
				THEN j.stored_device ELSE j.before_device END,
			'former_clock', coalesce(j.stored_clock, j.before_clock)::text,
			'conflict', j.conflict,
			'replaced_by', CASE WHEN j.is_set THEN j.after END))
	FROM judged j
	ORDER BY j.is_set DESC, j.name COLLATE "C"
$$;
COMMENT ON FUNCTION mirusync.explain(text, bigint) IS
'why a change set the fields that it set, and not those that it did not';

-- The push happens in a subtransaction that is rolled back.  Its number is one
-- that no device comes to, unless the change has one.
CREATE FUNCTION mirusync.explain_push(user_id text, device text, change jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	verdict jsonb;
	answer jsonb;
BEGIN
	IF jsonb_typeof(change) <> 'object' THEN
		RAISE EXCEPTION 'change is not an object' USING ERRCODE = 'MS400';
	END IF;
	BEGIN
		verdict := mirusync.push(user_id, device, jsonb_build_object('changes',
			jsonb_build_array('{"number": 9007199254740991}' || change)))
			#> '{verdicts,0}';
		IF NOT change ? 'number' THEN
			verdict := verdict - 'number';
		END IF;
		answer := jsonb_build_object('verdict', verdict - 'conflicts',
			'record', CASE WHEN verdict ->> 'verdict' <> 'rejected' THEN
				mirusync.stored(user_id, change ->> 'collection', change ->> 'id')
				END,
			'fields', CASE WHEN verdict ->> 'verdict' IN ('applied', 'merged')
				THEN (SELECT jsonb_agg(to_jsonb(e) #- '{facts,conflict}'
						ORDER BY e.field COLLATE "C", e.outcome)
					FROM mirusync.explain(user_id, (verdict ->> 'seq')::bigint) e)
				END,
			'conflicts', (SELECT jsonb_agg(to_jsonb(c) - ARRAY['id', 'feed', 'at',
					'resolved_at', 'resolved_by', 'resolution', 'resolved_user',
					'number']
					ORDER BY c.id)
				FROM mirusync.conflicts c
				WHERE c.feed = explain_push.user_id AND c.id IN (
					SELECT i::bigint FROM jsonb_array_elements_text(
						verdict -> 'conflicts') i)));
		RAISE EXCEPTION 'nothing of this is to stay' USING ERRCODE = 'MS099';
	EXCEPTION WHEN SQLSTATE 'MS099' THEN
		NULL;
	END;
	RETURN (SELECT jsonb_object_agg(a.key, a.value) FROM jsonb_each(answer) a
		WHERE a.value <> 'null');
END
$$;
COMMENT ON FUNCTION mirusync.explain_push(text, text, jsonb) IS
'what would become of a change if it were pushed; nothing of it is stored';

-- -------------------------------------------------------------------------
-- For users, by way of a relay, which says who asks.  Of the own feed only;
-- what another user's device did there, by a trigger, is told without the
-- device.  About a megabyte is given, if need be less than was asked for.
-- -------------------------------------------------------------------------

CREATE FUNCTION mirusync.relay_history(user_id text, collection text, id text,
	before bigint, max int)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH newest AS (
		SELECT h.seq, (jsonb_strip_nulls(jsonb_build_object('seq', h.seq,
				'at', to_char(h.at AT TIME ZONE 'UTC',
					'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
				'kind', h.kind, 'origin', h.origin,
				'device', CASE WHEN h.user_id = relay_history.user_id
					THEN h.device END,
				'session', CASE WHEN h.user_id = relay_history.user_id
					THEN h.session END,
				'type', h.type, 'rule', h.rule, 'field_rules', h.field_rules,
				'verdict', h.verdict, 'conflicts', h.conflicts,
				'clock', h.clock, 'base', h.base,
				'erased_at', to_char(h.erased_at AT TIME ZONE 'UTC',
					'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
			|| jsonb_build_object('changes', coalesce(h.changes, '{}')))::text
			AS change,
			row_number() OVER (ORDER BY h.seq DESC) AS place
		FROM mirusync.history(relay_history.user_id, relay_history.collection,
			relay_history.id, relay_history.before, relay_history.max + 1) h
	), sized AS (
		SELECT n.*, sum(octet_length(n.change)) OVER (ORDER BY n.place) AS size
		FROM newest n
	), kept AS (
		SELECT * FROM sized s
		WHERE s.place = 1 OR s.place <= relay_history.max AND s.size <= 1048576
	)
	SELECT format('{"complete":%s,"changes":[%s]}',
		to_json((SELECT count(*) FROM kept) = (SELECT count(*) FROM newest)),
		(SELECT string_agg(k.change, ',' ORDER BY k.seq) FROM kept k))
$$;
COMMENT ON FUNCTION mirusync.relay_history(text, text, text, bigint, int) IS
'for relays: the latest changes of a record of a user''s own feed below a number, as JSON';

CREATE FUNCTION mirusync.relay_conflicts(user_id text, collection text,
	id text, before bigint, max int)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH newest AS (
		SELECT c.id, (jsonb_strip_nulls(jsonb_build_object('id', c.id,
				'collection', c.collection, 'record', c.record,
				'field', c.field, 'rule', c.rule, 'outcome', c.outcome,
				'stored_clock', c.stored_clock,
				'stored_device', c.stored_device, 'stored_seq', c.stored_seq,
				'incoming_clock', c.incoming_clock,
				'incoming_device', c.incoming_device,
				'incoming_seq', c.incoming_seq, 'number', c.number,
				'base', c.base, 'at', to_char(c.at AT TIME ZONE 'UTC',
					'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
			|| CASE WHEN c.stored IS NULL THEN '{}'
				ELSE jsonb_build_object('stored', c.stored) END
			|| CASE WHEN c.incoming IS NULL THEN '{}'
				ELSE jsonb_build_object('incoming', c.incoming) END)::text
			AS conflict,
			row_number() OVER (ORDER BY c.id DESC) AS place
		FROM mirusync.conflicts c
		WHERE c.feed = relay_conflicts.user_id AND c.resolved_at IS NULL
			AND c.id < relay_conflicts.before
			AND (relay_conflicts.collection = ''
				OR c.collection = relay_conflicts.collection)
			AND (relay_conflicts.id = '' OR c.record = relay_conflicts.id)
		ORDER BY c.id DESC LIMIT relay_conflicts.max + 1
	), sized AS (
		SELECT n.*, sum(octet_length(n.conflict)) OVER (ORDER BY n.place)
			AS size
		FROM newest n
	), kept AS (
		SELECT * FROM sized s
		WHERE s.place = 1
			OR s.place <= relay_conflicts.max AND s.size <= 1048576
	)
	SELECT format('{"complete":%s,"conflicts":[%s]}',
		to_json((SELECT count(*) FROM kept) = (SELECT count(*) FROM newest)),
		(SELECT string_agg(k.conflict, ',' ORDER BY k.place) FROM kept k))
$$;
COMMENT ON FUNCTION mirusync.relay_conflicts(text, text, text, bigint, int) IS
'for relays: conflicts of a user''s own feed below an id that nobody resolved, newest first, as JSON';
