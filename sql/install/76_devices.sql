-- 76_devices.sql
--     How sync is doing: devices, feeds, and counts.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE VIEW mirusync.devices AS
	SELECT d.user_id, d.device, d.seen_at, d.cursor,
		f.head - d.cursor AS behind,
		d.cursor > 0 AND d.cursor < f.floor AS below_floor,
		d.unsent, d.version, d.skew_ms, d.digested,
		(SELECT count(*) FROM mirusync.verdict v
			WHERE v.user_id = d.user_id AND v.device = d.device) AS verdicts,
		(SELECT count(*) FROM mirusync.refusal r
			WHERE r.feed = d.user_id AND r.device = d.device) AS rejected
	FROM mirusync.device d
		LEFT JOIN mirusync.feed f ON f.feed = d.user_id;
COMMENT ON VIEW mirusync.devices IS 'devices that push numbered changes, and how far each of them is';
COMMENT ON COLUMN mirusync.devices.user_id IS 'user whose device it is';
COMMENT ON COLUMN mirusync.devices.device IS 'the device''s id';
COMMENT ON COLUMN mirusync.devices.seen_at IS 'when it pushed last';
COMMENT ON COLUMN mirusync.devices.cursor IS 'number of the feed that it had seen when it reported last; null: it has not said';
COMMENT ON COLUMN mirusync.devices.behind IS 'how many changes of the feed are after that';
COMMENT ON COLUMN mirusync.devices.below_floor IS 'tombstones above its cursor are gone: if it comes back with it, it starts over';
COMMENT ON COLUMN mirusync.devices.unsent IS 'how many changes it had not sent yet, as it said';
COMMENT ON COLUMN mirusync.devices.version IS 'version of its application, as it said';
COMMENT ON COLUMN mirusync.devices.skew_ms IS 'by how much its clock was ahead; negative: behind';
COMMENT ON COLUMN mirusync.devices.digested IS 'verdicts up to this number are no longer kept';
COMMENT ON COLUMN mirusync.devices.verdicts IS 'how many verdicts are kept for it';
COMMENT ON COLUMN mirusync.devices.rejected IS 'how many of its changes wait in the inbox';

CREATE VIEW mirusync.feeds AS
	SELECT f.feed, f.epoch, f.head, f.floor, f.changed_at,
		r.records, r.tombstones, l.changes, l.since, d.devices, d.below_floor,
		(SELECT count(*) FROM mirusync.conflict c
			WHERE c.feed = f.feed AND c.resolved_at IS NULL
				AND c.outcome = 'open') AS open_conflicts,
		(SELECT count(*) FROM mirusync.refusal w
			WHERE w.feed = f.feed) AS rejected
	FROM mirusync.feed f
		CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE NOT r.deleted) AS records,
				count(*) FILTER (WHERE r.deleted) AS tombstones
			FROM mirusync.record r WHERE r.feed = f.feed) r
		CROSS JOIN LATERAL (SELECT count(*) AS changes, min(l.at) AS since
			FROM mirusync.change_log l WHERE l.feed = f.feed) l
		CROSS JOIN LATERAL (SELECT count(*) AS devices,
				count(*) FILTER (WHERE d.cursor > 0 AND d.cursor < f.floor) AS below_floor
			FROM mirusync.device d WHERE d.user_id = f.feed) d;
COMMENT ON VIEW mirusync.feeds IS 'feeds, and what is kept of each; ask for one by its id';
COMMENT ON COLUMN mirusync.feeds.feed IS 'feed id';
COMMENT ON COLUMN mirusync.feeds.epoch IS 'epoch that it is in';
COMMENT ON COLUMN mirusync.feeds.head IS 'number of its latest change';
COMMENT ON COLUMN mirusync.feeds.floor IS 'a device of an earlier epoch with a cursor below it starts over';
COMMENT ON COLUMN mirusync.feeds.changed_at IS 'when its latest change was numbered';
COMMENT ON COLUMN mirusync.feeds.records IS 'records that it has';
COMMENT ON COLUMN mirusync.feeds.tombstones IS 'deleted records that are remembered';
COMMENT ON COLUMN mirusync.feeds.changes IS 'changes that history has';
COMMENT ON COLUMN mirusync.feeds.since IS 'when the first of them was numbered';
COMMENT ON COLUMN mirusync.feeds.devices IS 'devices that push numbered changes';
COMMENT ON COLUMN mirusync.feeds.below_floor IS 'those of them that will start over';
COMMENT ON COLUMN mirusync.feeds.open_conflicts IS 'conflicts that wait for a decision';
COMMENT ON COLUMN mirusync.feeds.rejected IS 'changes that wait in the inbox';

-- Tables that grow are not counted: what ANALYZE found there has to do.
CREATE VIEW mirusync.stats AS
	SELECT 'table' AS what, c.relname::text AS name,
		c.reltuples::bigint AS count,
		pg_catalog.pg_total_relation_size(c.oid) AS bytes
	FROM pg_catalog.unnest(ARRAY['mirusync.feed', 'mirusync.record',
		'mirusync.change_log', 'mirusync.conflict', 'mirusync.verdict',
		'mirusync.device', 'mirusync.refusal',
		'mirusync.document']::pg_catalog.regclass[]) AS ours
	JOIN pg_catalog.pg_class c ON c.oid = ours
	UNION ALL
	SELECT 'conflict', c.rule || ' ' || c.outcome, pg_catalog.count(*), NULL
	FROM mirusync.conflict c GROUP BY 2
	UNION ALL
	SELECT 'rejected', r.sqlstate, pg_catalog.count(*), NULL
	FROM mirusync.refusal r GROUP BY 2;
COMMENT ON VIEW mirusync.stats IS 'how much there is: sizes of tables, conflicts by rule and outcome, rejected changes by reason';
COMMENT ON COLUMN mirusync.stats.what IS 'table, conflict or rejected';
COMMENT ON COLUMN mirusync.stats.name IS 'name of the table; rule and outcome; SQLSTATE';
COMMENT ON COLUMN mirusync.stats.count IS 'how many; rows of a table as ANALYZE estimated, -1 if it did not yet';
COMMENT ON COLUMN mirusync.stats.bytes IS 'size of the table with its indexes';
