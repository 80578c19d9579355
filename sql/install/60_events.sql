-- 60_events.sql
--     The event dialect: applications that speak in events of their own,
--     mapped to collections by the rows of two tables.  docs/events.md
--     explains them by an example; extension/event_map.c caches them.
--
-- SPDX-License-Identifier: PostgreSQL

-- Written by administrators and by create_practice_log(); read by the
-- extension.  How the records of a collection are checked and told of.  The
-- function goes by name: pg_upgrade refuses a database with a regprocedure in
-- any table.
CREATE TABLE mirusync.event_collection (
	collection	text COLLATE "C" NOT NULL,
	normalise	text COLLATE "C",
	clock_keys	text[] COLLATE "C" NOT NULL DEFAULT '{updatedAt,updated_at}',
	payload		text COLLATE "C" NOT NULL,
	id_key		text COLLATE "C" NOT NULL DEFAULT 'id',
	created_type text COLLATE "C",
	updated_type text COLLATE "C" NOT NULL,
	deleted_type text COLLATE "C",
	deleted_key	text COLLATE "C",
	bulk_type	text COLLATE "C",
	bulk_key	text COLLATE "C",
	catch_up_type text COLLATE "C",
	CONSTRAINT event_collection_pkey PRIMARY KEY (collection),
	CONSTRAINT event_collection_collection_check
		CHECK (octet_length(collection) BETWEEN 1 AND 255),
	CONSTRAINT event_collection_clock_keys_check
		CHECK (cardinality(clock_keys) <= 8
			AND coalesce(array_ndims(clock_keys), 1) = 1
			AND array_position(clock_keys, NULL) IS NULL
			AND array_position(clock_keys, '') IS NULL),
	CONSTRAINT event_collection_payload_check
		CHECK (payload NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq')),
	CONSTRAINT event_collection_id_key_check
		CHECK (id_key <> ''),
	CONSTRAINT event_collection_types_check
		CHECK (created_type <> '' AND updated_type <> ''
			AND deleted_type <> '' AND bulk_type <> ''
			AND catch_up_type <> ''),
	CONSTRAINT event_collection_deleted_check
		CHECK ((deleted_type IS NULL) = (deleted_key IS NULL)
			AND deleted_key NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq')),
	CONSTRAINT event_collection_bulk_check
		CHECK ((bulk_type IS NULL) = (bulk_key IS NULL)
			AND bulk_key NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq'))
);
COMMENT ON TABLE mirusync.event_collection IS 'event dialect: collections that events speak of';
COMMENT ON COLUMN mirusync.event_collection.collection IS 'collection';
COMMENT ON COLUMN mirusync.event_collection.normalise IS 'schema.function(jsonb), returning jsonb, that checks an object and gives it its stored form; null: none. It runs as the owner of the extension, so it should set its search_path';
COMMENT ON COLUMN mirusync.event_collection.clock_keys IS 'keys of the time of the object''s last change; the first one present counts';
COMMENT ON COLUMN mirusync.event_collection.payload IS 'key of the object in events that put one';
COMMENT ON COLUMN mirusync.event_collection.id_key IS 'key of the id in the object';
COMMENT ON COLUMN mirusync.event_collection.created_type IS 'type of the event for a record that SQL created; null: updated_type';
COMMENT ON COLUMN mirusync.event_collection.updated_type IS 'type of the event for a record that SQL changed, and for the winner over a put that came too late';
COMMENT ON COLUMN mirusync.event_collection.deleted_type IS 'type of the delete event; null: a delete is sent as updated_type, with deletedAt in the object';
COMMENT ON COLUMN mirusync.event_collection.deleted_key IS 'key of the id in the delete event';
COMMENT ON COLUMN mirusync.event_collection.bulk_type IS 'type of the message with many records for one that catches up; null: one event each';
COMMENT ON COLUMN mirusync.event_collection.bulk_key IS 'key of the list in that message';
COMMENT ON COLUMN mirusync.event_collection.catch_up_type IS 'without bulk_type: type of the event for one that catches up; null: updated_type';

-- Written and read like event_collection, and follows it by triggers.  What the types of events mean that
-- devices send: a row for each object, list of objects or id in them.
CREATE TABLE mirusync.event_type (
	type		text COLLATE "C" NOT NULL,
	part		int NOT NULL DEFAULT 1,
	collection	text COLLATE "C" NOT NULL,
	kind		text COLLATE "C" NOT NULL,
	payload		text COLLATE "C",
	is_list		boolean NOT NULL DEFAULT false,
	id_keys		text[] COLLATE "C" NOT NULL DEFAULT '{id}',
	CONSTRAINT event_type_pkey PRIMARY KEY (type, part),
	CONSTRAINT event_type_type_check
		CHECK (octet_length(type) BETWEEN 1 AND 255),
	CONSTRAINT event_type_part_check
		CHECK (part >= 1),
	CONSTRAINT event_type_kind_check
		CHECK (kind IN ('put', 'delete')),
	CONSTRAINT event_type_payload_check
		CHECK ((kind = 'delete' OR payload IS NOT NULL)
			AND payload NOT IN ('', 'type', 'timestamp', 'seq', 'lastSeq')),
	CONSTRAINT event_type_is_list_check
		CHECK (NOT is_list OR (kind = 'put' AND part > 1)),
	CONSTRAINT event_type_id_keys_check
		CHECK (cardinality(id_keys) BETWEEN 1 AND 8
			AND array_ndims(id_keys) = 1
			AND array_position(id_keys, NULL) IS NULL
			AND array_position(id_keys, '') IS NULL)
);
CREATE INDEX event_type_collection ON mirusync.event_type (collection);
COMMENT ON TABLE mirusync.event_type IS 'event dialect: what the types of events mean';
COMMENT ON INDEX mirusync.event_type_collection IS 'finds the types of a collection';
COMMENT ON COLUMN mirusync.event_type.type IS 'type of the event';
COMMENT ON COLUMN mirusync.event_type.part IS 'parts of one event are applied together, in this order; the first is its main object';
COMMENT ON COLUMN mirusync.event_type.collection IS 'collection of the part';
COMMENT ON COLUMN mirusync.event_type.kind IS 'put or delete';
COMMENT ON COLUMN mirusync.event_type.payload IS 'key of the object or list; of a delete: of the image that may come along, or null';
COMMENT ON COLUMN mirusync.event_type.is_list IS 'under payload there may be an array of objects; not of the first part';
COMMENT ON COLUMN mirusync.event_type.id_keys IS 'keys of the id in the object, or in the event of a delete, tried in turn';

-- The mapping is the administrator's data: a dump keeps it.
SELECT pg_catalog.pg_extension_config_dump('mirusync.event_collection', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.event_type', '');

CREATE FUNCTION mirusync.mapping_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_mapping_changed_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.mapping_changed() IS 'trigger function: makes every backend read the event mapping again';
REVOKE ALL ON FUNCTION mirusync.mapping_changed() FROM PUBLIC;

CREATE TRIGGER mapping_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.event_collection
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.mapping_changed();
ALTER TABLE mirusync.event_collection ENABLE ALWAYS TRIGGER mapping_changed;
COMMENT ON TRIGGER mapping_changed ON mirusync.event_collection IS 'makes every backend read the event mapping again';

CREATE TRIGGER mapping_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mirusync.event_type
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.mapping_changed();
ALTER TABLE mirusync.event_type ENABLE ALWAYS TRIGGER mapping_changed;
COMMENT ON TRIGGER mapping_changed ON mirusync.event_type IS 'makes every backend read the event mapping again';

-- In the place of a foreign key: pg_restore -j fills both tables at once, and
-- would break one.  check_function_bodies is off while a dump is restored; a
-- type whose collection is missing after all means nothing.
CREATE FUNCTION mirusync.check_event_type() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF current_setting('check_function_bodies')::boolean
		AND NOT EXISTS (SELECT FROM mirusync.event_collection c
						WHERE c.collection = NEW.collection) THEN
		RAISE EXCEPTION USING
			errcode = 'foreign_key_violation',
			message = format('event type "%s" is of collection "%s", which is not in event_collection',
				NEW.type, NEW.collection);
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mirusync.check_event_type() IS 'trigger function: the collection of an event type must be there';

CREATE FUNCTION mirusync.follow_event_collection() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		DELETE FROM mirusync.event_type t WHERE t.collection = OLD.collection;
	ELSIF NEW.collection <> OLD.collection THEN
		UPDATE mirusync.event_type t SET collection = NEW.collection
		WHERE t.collection = OLD.collection;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mirusync.follow_event_collection() IS 'trigger function: event types go with their collection';

CREATE TRIGGER check_event_type
	BEFORE INSERT OR UPDATE OF collection ON mirusync.event_type
	FOR EACH ROW EXECUTE FUNCTION mirusync.check_event_type();
COMMENT ON TRIGGER check_event_type ON mirusync.event_type IS 'the collection must be there';

CREATE TRIGGER follow_event_collection
	AFTER UPDATE OR DELETE ON mirusync.event_collection
	FOR EACH ROW EXECUTE FUNCTION mirusync.follow_event_collection();
COMMENT ON TRIGGER follow_event_collection ON mirusync.event_collection IS 'event types go with their collection';

-- What a relay reads.  Runs as the owner of the extension, but without SET
-- search_path: a C function looks no name up, and setting and resetting it
-- would cost each call more than reading an empty page does.
CREATE FUNCTION mirusync.pull_events(feed text, after bigint, max int,
	live boolean, seen bigint DEFAULT 0, dialects text[] DEFAULT '{event}')
RETURNS TABLE (kind text, after bigint, seq bigint, head bigint,
	complete boolean, session text, body text, native text)
AS 'MODULE_PATHNAME', 'mirusync_pull_events_0_2'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE SECURITY DEFINER
COST 1000 ROWS 100;
COMMENT ON FUNCTION mirusync.pull_events(text, bigint, int, boolean, bigint, text[]) IS
'for relays: a page of a feed as finished messages';
REVOKE ALL ON FUNCTION mirusync.pull_events(text, bigint, int, boolean, bigint, text[]) FROM PUBLIC;
