-- 70_practice_log.sql
--     The practice log: what its objects look like (extension/practice_log.c)
--     and the events that carry them.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE FUNCTION mirusync.practice_entry(entry jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_entry_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_entry(jsonb) IS
'check and normalise a logbook entry of the practice log';

CREATE FUNCTION mirusync.practice_piece(piece jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_piece_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_piece(jsonb) IS
'check and normalise a repertoire item of the practice log';

CREATE FUNCTION mirusync.practice_plan(plan jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_plan_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_plan(jsonb) IS
'check and normalise a practice plan of the practice log';

CREATE FUNCTION mirusync.practice_occurrence(occurrence jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'mirusync_practice_occurrence_0_2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mirusync.practice_occurrence(jsonb) IS
'check and normalise an occurrence of a plan of the practice log';

-- Everything that makes the event dialect speak of the practice log is in
-- these rows.  What is there already stays: a second call changes nothing,
-- nor does it undo what an administrator changed.
CREATE FUNCTION mirusync.create_practice_log()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stamps constant text[] := '{updatedAt,updated_at}';
	collection_name text;
BEGIN
	-- Two at once: the second waits here, and then finds all done.
	LOCK TABLE mirusync.event_collection IN SHARE ROW EXCLUSIVE MODE;

	FOREACH collection_name IN ARRAY ARRAY['logbook_entry',
		'repertoire_item', 'practice_plan', 'plan_occurrence']
	LOOP
		IF NOT EXISTS (SELECT FROM mirusync.collection c
					   WHERE c.name = collection_name) THEN
			PERFORM mirusync.create_collection(collection_name,
											   rule => 'lww');
		END IF;
	END LOOP;

	INSERT INTO mirusync.event_collection
		(collection, normalise, clock_keys, payload, id_key,
		 created_type, updated_type, deleted_type, deleted_key,
		 bulk_type, bulk_key, catch_up_type)
	VALUES
		('logbook_entry', 'mirusync.practice_entry(jsonb)',
		 stamps, 'entry', 'id',
		 'ENTRY_CREATED', 'ENTRY_UPDATED', 'ENTRY_DELETED', 'entryId',
		 'BULK_SYNC', 'entries', NULL),
		('repertoire_item', 'mirusync.practice_piece(jsonb)',
		 stamps, 'piece', 'scoreId',
		 'PIECE_ADDED', 'PIECE_UPDATED', 'PIECE_REMOVED', 'scoreId',
		 'REPERTOIRE_BULK_SYNC', 'pieces', NULL),
		-- no delete event: a tombstone goes out as the object it was
		('practice_plan', 'mirusync.practice_plan(jsonb)',
		 stamps, 'plan', 'id',
		 'PLAN_CREATED', 'PLAN_UPDATED', NULL, NULL,
		 NULL, NULL, 'PLAN_UPDATED'),
		('plan_occurrence', 'mirusync.practice_occurrence(jsonb)',
		 stamps, 'occurrence', 'id',
		 'PLAN_OCCURRENCE_COMPLETED', 'PLAN_OCCURRENCE_COMPLETED', NULL, NULL,
		 NULL, NULL, 'PLAN_OCCURRENCE_COMPLETED')
	ON CONFLICT DO NOTHING;

	INSERT INTO mirusync.event_type
		(type, part, collection, kind, payload, is_list, id_keys)
	VALUES
		('ENTRY_CREATED', 1, 'logbook_entry', 'put', 'entry', false, '{id}'),
		('ENTRY_UPDATED', 1, 'logbook_entry', 'put', 'entry', false, '{id}'),
		('ENTRY_DELETED', 1, 'logbook_entry', 'delete', NULL, false,
		 '{entryId}'),
		('PIECE_ADDED', 1, 'repertoire_item', 'put', 'piece', false,
		 '{scoreId,score_id,id}'),
		('PIECE_UPDATED', 1, 'repertoire_item', 'put', 'piece', false,
		 '{scoreId,score_id,id}'),
		-- the piece may come along, as the image of what is deleted
		('PIECE_REMOVED', 1, 'repertoire_item', 'delete', 'piece', false,
		 '{scoreId}'),
		('PIECE_DISSOCIATED', 1, 'repertoire_item', 'delete', 'piece', false,
		 '{scoreId}'),
		('PLAN_CREATED', 1, 'practice_plan', 'put', 'plan', false, '{id}'),
		('PLAN_CREATED', 2, 'plan_occurrence', 'put', 'occurrences', true,
		 '{id}'),
		('PLAN_UPDATED', 1, 'practice_plan', 'put', 'plan', false, '{id}'),
		('PLAN_UPDATED', 2, 'plan_occurrence', 'put', 'occurrences', true,
		 '{id}'),
		('PLAN_OCCURRENCE_COMPLETED', 1, 'plan_occurrence', 'put',
		 'occurrence', false, '{id}')
	ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION mirusync.create_practice_log() IS
'create the collections and the event mapping of the practice log';
