-- -------------------------------------------------------------------------
-- Backfill: collections whose rows are being numbered while the application
-- writes.  Written by serving.c.
-- -------------------------------------------------------------------------

CREATE TABLE mirusync.backfill (
	collection	text COLLATE "C" NOT NULL,
	started_at	timestamptz,
	last_at		timestamptz,
	feeds_total	bigint,
	feeds_done	bigint NOT NULL DEFAULT 0,
	rows_done	bigint NOT NULL DEFAULT 0,
	CONSTRAINT backfill_pkey PRIMARY KEY (collection)
);
COMMENT ON TABLE mirusync.backfill IS 'collections that are not complete yet';
COMMENT ON COLUMN mirusync.backfill.collection IS 'the collection';
COMMENT ON COLUMN mirusync.backfill.started_at IS 'when backfill() was first called; null: not yet';
COMMENT ON COLUMN mirusync.backfill.last_at IS 'when its latest batch was done';
COMMENT ON COLUMN mirusync.backfill.feeds_total IS 'how many feeds had rows when it began';
COMMENT ON COLUMN mirusync.backfill.feeds_done IS 'how many feeds it has served';
COMMENT ON COLUMN mirusync.backfill.rows_done IS 'how many rows they had';

-- Written under the lock of the feed, by backfill and by flush.
CREATE TABLE mirusync.backfill_feed (
	feed		text COLLATE "C" NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	served		boolean NOT NULL,
	CONSTRAINT backfill_feed_pkey PRIMARY KEY (feed, collection)
);
CREATE INDEX backfill_feed_to_do ON mirusync.backfill_feed (collection, served, feed);
COMMENT ON TABLE mirusync.backfill_feed IS 'feeds of collections that are not complete yet';
COMMENT ON INDEX mirusync.backfill_feed_to_do IS 'finds what is still to be served';
COMMENT ON COLUMN mirusync.backfill_feed.feed IS 'the feed';
COMMENT ON COLUMN mirusync.backfill_feed.collection IS 'the collection';
COMMENT ON COLUMN mirusync.backfill_feed.served IS 'all its rows of that collection are numbered; false: some were written, and it is to be served';

SELECT pg_catalog.pg_extension_config_dump('mirusync.backfill', '');
SELECT pg_catalog.pg_extension_config_dump('mirusync.backfill_feed', '');

