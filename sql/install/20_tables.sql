-- -------------------------------------------------------------------------
-- State and history.  Every key begins with the feed, so one user's data sits
-- together and the tables could be hash-distributed by it.  Each is written by
-- exactly one C file, by direct table access, under the lock of the feed's row.
-- -------------------------------------------------------------------------

-- Written by epoch.c.  One row each time that another history began.
CREATE TABLE mirusync.epoch (
	number		int NOT NULL,
	identity	text COLLATE "C" NOT NULL,
	began_at	timestamptz NOT NULL,
	CONSTRAINT epoch_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE mirusync.epoch IS 'epochs: histories of this database that numbers were given out in; the last one counts';
COMMENT ON COLUMN mirusync.epoch.number IS 'number of the epoch; the first is 0, later ones are at least the hours since 2026';
COMMENT ON COLUMN mirusync.epoch.identity IS 'system identifier, timeline, and OIDs of the database and of this table';
COMMENT ON COLUMN mirusync.epoch.began_at IS 'when it began';

-- Written by feed.c.  One row a feed; its lock orders the feed's changes.
CREATE TABLE mirusync.feed (
	feed		text COLLATE "C" NOT NULL,
	head		bigint NOT NULL,
	floor		bigint NOT NULL,
	changed_at	timestamptz NOT NULL,
	epoch		int NOT NULL,
	hash		bytea,
	CONSTRAINT feed_pkey PRIMARY KEY (feed)
) WITH (fillfactor = 50);
COMMENT ON TABLE mirusync.feed IS 'ordered logs of changes, one row a feed';
COMMENT ON COLUMN mirusync.feed.feed IS 'feed id; by default the id of the user who owns it';
COMMENT ON COLUMN mirusync.feed.head IS 'number of the latest change';
COMMENT ON COLUMN mirusync.feed.floor IS 'a device with a cursor below it must start over';
COMMENT ON COLUMN mirusync.feed.changed_at IS 'when the latest change was numbered; never goes back';
COMMENT ON COLUMN mirusync.feed.epoch IS 'epoch in which the head was numbered';
COMMENT ON COLUMN mirusync.feed.hash IS 'hash of the latest change; null: the feed has no chain';

-- Written by feed.c.  What a cursor of an earlier epoch is compared with.
CREATE TABLE mirusync.feed_epoch (
	feed		text COLLATE "C" NOT NULL,
	epoch		int NOT NULL,
	head		bigint NOT NULL,
	CONSTRAINT feed_epoch_pkey PRIMARY KEY (feed, epoch)
);
COMMENT ON TABLE mirusync.feed_epoch IS 'epochs in which changes of a feed were numbered';
COMMENT ON COLUMN mirusync.feed_epoch.feed IS 'feed';
COMMENT ON COLUMN mirusync.feed_epoch.epoch IS 'epoch';
COMMENT ON COLUMN mirusync.feed_epoch.head IS 'head of the feed when the epoch began in it; a cursor of an earlier epoch above it is of a lost history';

-- Written by record.c.  What sync reads: the latest change of each record.
-- The record's content stays in the application's own table.
CREATE TABLE mirusync.record (
	feed		text COLLATE "C" NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	seq			bigint NOT NULL,
	part_of		bigint NOT NULL,
	clock		mirusync.hlc NOT NULL,
	changed_at	timestamptz NOT NULL,
	deleted		boolean NOT NULL,
	stamps		bytea NOT NULL,
	image		jsonb,
	former		bytea,
	CONSTRAINT record_pkey PRIMARY KEY (feed, collection, id)
);
CREATE UNIQUE INDEX record_seq ON mirusync.record (feed, seq);
COMMENT ON TABLE mirusync.record IS 'sync state: the latest change of each record';
COMMENT ON INDEX mirusync.record_seq IS 'what pull reads: records of a feed by number';
COMMENT ON COLUMN mirusync.record.feed IS 'feed of the record';
COMMENT ON COLUMN mirusync.record.collection IS 'collection of the record';
COMMENT ON COLUMN mirusync.record.id IS 'text form of the primary key without the feed column';
COMMENT ON COLUMN mirusync.record.seq IS 'number of its latest change';
COMMENT ON COLUMN mirusync.record.part_of IS 'number of the first change of the group it came in';
COMMENT ON COLUMN mirusync.record.clock IS 'newest clock of any of its fields';
COMMENT ON COLUMN mirusync.record.changed_at IS 'when its latest change was numbered';
COMMENT ON COLUMN mirusync.record.deleted IS 'it is a tombstone';
COMMENT ON COLUMN mirusync.record.stamps IS 'packed clock, device and number of each field (extension/stamps.c)';
COMMENT ON COLUMN mirusync.record.image IS 'of a tombstone: the record''s last image';
COMMENT ON COLUMN mirusync.record.former IS 'of a tombstone: packed stamps of that image';

-- Written by change_log.c.  What audit reads; append-only but for erasure.
CREATE TABLE mirusync.change_log (
	feed		text COLLATE "C" NOT NULL,
	seq			bigint NOT NULL,
	part_of		bigint NOT NULL,
	collection	text COLLATE "C" NOT NULL,
	id			text COLLATE "C" NOT NULL,
	kind		text COLLATE "C" NOT NULL,
	clock		mirusync.hlc NOT NULL,
	at			timestamptz NOT NULL,
	xid			xid8 NOT NULL,
	role		oid NOT NULL,
	user_id		text COLLATE "C",
	device		text COLLATE "C",
	session		text COLLATE "C",
	type		text COLLATE "C",
	rule		text COLLATE "C",
	skew_ms		bigint,
	base		bigint,
	old			jsonb,
	new			jsonb,
	previous	bigint,
	field_rules	jsonb,
	application	text COLLATE "C",
	number		bigint,
	verdict		text COLLATE "C",
	hash		bytea,
	salt		bytea,
	digest		bytea,
	erasure		bigint,
	CONSTRAINT change_log_pkey PRIMARY KEY (feed, seq)
);
CREATE INDEX change_log_record ON mirusync.change_log (feed, collection, id);
COMMENT ON TABLE mirusync.change_log IS 'history: every change of every feed, in order';
COMMENT ON INDEX mirusync.change_log_record IS 'what history() reads: changes of a record';
COMMENT ON COLUMN mirusync.change_log.feed IS 'feed';
COMMENT ON COLUMN mirusync.change_log.seq IS 'number: 1, 2, 3 ... per feed, without a hole';
COMMENT ON COLUMN mirusync.change_log.part_of IS 'number of the first change of its group';
COMMENT ON COLUMN mirusync.change_log.collection IS 'collection';
COMMENT ON COLUMN mirusync.change_log.id IS 'id of the record';
COMMENT ON COLUMN mirusync.change_log.kind IS 'put (the record is new), patch or delete';
COMMENT ON COLUMN mirusync.change_log.clock IS 'newest clock of the record after the change';
COMMENT ON COLUMN mirusync.change_log.at IS 'when it was numbered';
COMMENT ON COLUMN mirusync.change_log.xid IS 'transaction';
COMMENT ON COLUMN mirusync.change_log.role IS 'database role that made it';
COMMENT ON COLUMN mirusync.change_log.user_id IS 'user whose device pushed it; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.device IS 'device that pushed it';
COMMENT ON COLUMN mirusync.change_log.session IS 'session it was pushed in; null where several pushed into one change';
COMMENT ON COLUMN mirusync.change_log.type IS 'type of the original event';
COMMENT ON COLUMN mirusync.change_log.rule IS 'rule of the collection when it was pushed; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.skew_ms IS 'by how much the device''s clock was ahead, where that was more than is allowed';
COMMENT ON COLUMN mirusync.change_log.base IS 'number of the feed that the device had seen';
COMMENT ON COLUMN mirusync.change_log.old IS 'former values of the fields that changed';
COMMENT ON COLUMN mirusync.change_log.new IS 'their new values';
COMMENT ON COLUMN mirusync.change_log.previous IS 'number of the former change of the same record; null: it is the first one known';
COMMENT ON COLUMN mirusync.change_log.field_rules IS 'rules of those of the pushed fields that had one of their own, by name';
COMMENT ON COLUMN mirusync.change_log.application IS 'application_name of a write by SQL';
COMMENT ON COLUMN mirusync.change_log.number IS 'the device''s own number of the change; null for an event';
COMMENT ON COLUMN mirusync.change_log.verdict IS 'what became of what was pushed: applied or merged; null for a write by SQL';
COMMENT ON COLUMN mirusync.change_log.hash IS 'SHA-256 over the hash of the change before and the digest of this one; null: it is not in a chain';
COMMENT ON COLUMN mirusync.change_log.salt IS 'salt of the digest of old and new; goes when they are erased';
COMMENT ON COLUMN mirusync.change_log.digest IS 'what is left of old and new in a chain when they are erased: their digest';
COMMENT ON COLUMN mirusync.change_log.erasure IS 'number of the erasure in which old and new went; null: they are as they were';

-- Written by verdict.c.  A pushed change is known by user, device and the
-- device's own number; a replay gets the verdict kept here.
CREATE TABLE mirusync.verdict (
	user_id		text COLLATE "C" NOT NULL,
	device		text COLLATE "C" NOT NULL,
	number		bigint NOT NULL,
	verdict		jsonb NOT NULL,
	at			timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT verdict_pkey PRIMARY KEY (user_id, device, number)
);
COMMENT ON TABLE mirusync.verdict IS 'verdicts of pushed changes that their device has not digested yet';
COMMENT ON COLUMN mirusync.verdict.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.verdict.device IS 'device that pushed the change';
COMMENT ON COLUMN mirusync.verdict.number IS 'the device''s own number of the change';
COMMENT ON COLUMN mirusync.verdict.verdict IS 'verdict as push() returned it';
COMMENT ON COLUMN mirusync.verdict.at IS 'when the change was pushed';

-- Written by verdict.c.
CREATE TABLE mirusync.device (
	user_id		text COLLATE "C" NOT NULL,
	device		text COLLATE "C" NOT NULL,
	digested	bigint NOT NULL DEFAULT 0,
	seen_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	cursor		bigint,
	unsent		bigint,
	version		text COLLATE "C",
	skew_ms		bigint,
	CONSTRAINT device_pkey PRIMARY KEY (user_id, device)
);
COMMENT ON TABLE mirusync.device IS 'devices that push numbered changes';
COMMENT ON COLUMN mirusync.device.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.device.device IS 'the device''s id';
COMMENT ON COLUMN mirusync.device.seen_at IS 'when it pushed last';
COMMENT ON COLUMN mirusync.device.cursor IS 'number of the feed that it had seen when it reported last; null: it has not said';
COMMENT ON COLUMN mirusync.device.unsent IS 'how many changes it had not sent yet, as it said';
COMMENT ON COLUMN mirusync.device.version IS 'version of its application, as it said';
COMMENT ON COLUMN mirusync.device.skew_ms IS 'by how much its clock was ahead when its report arrived; negative: behind';
COMMENT ON COLUMN mirusync.device.digested IS 'verdicts up to this number are no longer kept';

-- Written here, once.  Relays and the extension hash feeds with the key, so
-- that a doorbell tells a stranger nothing.
CREATE TABLE mirusync.instance (
	singleton	boolean NOT NULL DEFAULT true CHECK (singleton),
	doorbell_key bytea NOT NULL,
	CONSTRAINT instance_pkey PRIMARY KEY (singleton)
);
INSERT INTO mirusync.instance (doorbell_key)
	SELECT pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
		|| pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));
COMMENT ON TABLE mirusync.instance IS 'secrets of this installation';
COMMENT ON COLUMN mirusync.instance.singleton IS 'there is one row';
COMMENT ON COLUMN mirusync.instance.doorbell_key IS 'key with which doorbells hash feeds';

