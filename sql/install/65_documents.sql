-- 65_documents.sql
--     The document store: records without a table of their own.
--
-- It is an attached table like any other, but for two columns: one names the
-- collection, and one keeps the fields, as JSON.  So plain SQL on it counts as
-- much as the functions below, which are there for convenience.
--
-- SPDX-License-Identifier: PostgreSQL

-- Written by anybody who may; each row is a document.
CREATE TABLE mirusync.document (
	feed		text COLLATE "C" NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	data		jsonb NOT NULL,
	CONSTRAINT document_pkey PRIMARY KEY (feed, collection, id)
);
COMMENT ON TABLE mirusync.document IS 'document store: records without a table of their own';
COMMENT ON COLUMN mirusync.document.feed IS 'feed of the document';
COMMENT ON COLUMN mirusync.document.collection IS 'its collection, made by create_collection()';
COMMENT ON COLUMN mirusync.document.id IS 'its id, one document per feed and collection';
COMMENT ON COLUMN mirusync.document.data IS 'the document; its top-level keys are the fields';

SELECT pg_catalog.pg_extension_config_dump('mirusync.document', '');

INSERT INTO mirusync.attached
	(relation, feed_column, collection_column, data_column)
VALUES ('mirusync.document', 'feed', 'collection', 'data');

-- The trigger also sees to it that a document is an object, and that the rows
-- of a dump do not count as changes (extension/capture.c).  A CHECK and a WHEN
-- would say so here, but Postgres parses both anew for every statement, which
-- took a tenth of a push.
CREATE TRIGGER "!mirusync_capture"
	AFTER INSERT OR UPDATE OR DELETE ON mirusync.document
	FOR EACH ROW EXECUTE FUNCTION mirusync.capture();
ALTER TABLE mirusync.document ENABLE ALWAYS TRIGGER "!mirusync_capture";
COMMENT ON TRIGGER "!mirusync_capture" ON mirusync.document IS
'notes which rows change, except when a dump is restored';

CREATE TRIGGER "!mirusync_truncate"
	BEFORE TRUNCATE ON mirusync.document
	FOR EACH STATEMENT EXECUTE FUNCTION mirusync.capture();
ALTER TABLE mirusync.document ENABLE ALWAYS TRIGGER "!mirusync_truncate";
COMMENT ON TRIGGER "!mirusync_truncate" ON mirusync.document IS
'notes every row as deleted';

-- The functions run as their caller and need the same rights on the table as
-- the statements in them.
CREATE FUNCTION mirusync.put(feed text, collection text, id text, data jsonb)
RETURNS void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO mirusync.document AS d (feed, collection, id, data)
	VALUES (put.feed, put.collection, put.id, put.data)
	ON CONFLICT (feed, collection, id) DO UPDATE SET data = excluded.data;
$$;
COMMENT ON FUNCTION mirusync.put(text, text, text, jsonb) IS
'store a whole document';

CREATE FUNCTION mirusync.patch(feed text, collection text, id text,
	data jsonb, remove text[] DEFAULT '{}')
RETURNS jsonb
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE mirusync.document d
	SET data = (d.data - patch.remove) || patch.data
	WHERE d.feed = patch.feed AND d.collection = patch.collection
		AND d.id = patch.id
	RETURNING d.data;
$$;
COMMENT ON FUNCTION mirusync.patch(text, text, text, jsonb, text[]) IS
'remove some fields of a document and set others; returns it, null if there is none';

CREATE FUNCTION mirusync.get(feed text, collection text, id text)
RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.data FROM mirusync.document d
	WHERE d.feed = get.feed AND d.collection = get.collection
		AND d.id = get.id;
$$;
COMMENT ON FUNCTION mirusync.get(text, text, text) IS
'read a document; null if there is none';

CREATE FUNCTION mirusync.delete(feed text, collection text, id text)
RETURNS boolean
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH deleted AS (
		DELETE FROM mirusync.document d
		WHERE d.feed = delete.feed AND d.collection = delete.collection
			AND d.id = delete.id
		RETURNING d.id
	)
	SELECT EXISTS (SELECT FROM deleted);
$$;
COMMENT ON FUNCTION mirusync.delete(text, text, text) IS
'delete a document; false if there is none';
