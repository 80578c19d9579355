/*
 * floor.mjs
 *     What plain SQL costs that writes the same rows: the application's row, the
 *     record's state, the history and the feed's head, each with the indexes that
 *     they have in mirusync, in one durable commit.
 *
 * It is what no way of writing these rows through SQL can be faster than: it
 * checks, merges and tells nothing.  One statement for a whole group, since that
 * was the fastest; its rows are copies of those of one real change.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pgbench } from './pgbench.mjs'

const GROUP = 60	/* as many pushes as the relay gives one statement */
const CLIENTS = [2, 8]
const USERS_PER_CLIENT = 100

/* The columns of a table, but for those that the statement gives: "as" has them by name. */
const likeColumns = `SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = '%s'::regclass AND attnum > 0 AND NOT attisdropped`

async function insertLike(stack, table, source, as) {
	const columns = (await stack.psql(likeColumns.replace('%s', `mirusync.${table}`))).split(', ')
	return `INSERT INTO floor.${table} (${columns.join(', ')})
	SELECT ${columns.map((column) => as[column] ?? `t.${column}`).join(', ')}
	FROM ${source}, floor.${table}_like t`
}

/*
 * prepareFloor makes the tables as they are in mirusync, and the scripts.  The
 * library's columns may change: what is not named here is as in a real row.
 */
export async function prepareFloor(stack, work, entry, byHandRows) {
	await stack.psql(`SELECT mirusync.put('floor', 'logbook_entry', 'like', '${entry}')`)
	await stack.psql(`CREATE SCHEMA floor;
		CREATE TABLE floor.feed (LIKE mirusync.feed INCLUDING ALL) WITH (fillfactor = 50);
		CREATE TABLE floor.document (LIKE mirusync.document INCLUDING ALL);
		CREATE TABLE floor.record (LIKE mirusync.record INCLUDING ALL);
		CREATE TABLE floor.change_log (LIKE mirusync.change_log INCLUDING ALL);
		CREATE TABLE floor.record_like AS SELECT * FROM mirusync.record WHERE feed = 'floor';
		CREATE TABLE floor.change_log_like AS SELECT * FROM mirusync.change_log WHERE feed = 'floor';
		CREATE TABLE floor.by_hand (LIKE unattached INCLUDING ALL);
		INSERT INTO floor.by_hand SELECT * FROM unattached;
		INSERT INTO floor.feed (feed, head, floor, changed_at, epoch)
			SELECT DISTINCT owner, 0, 0, now(), 0 FROM floor.by_hand UNION ALL
			SELECT 'floor-' || n, 0, 0, now(), 0
			FROM generate_series(0, ${Math.max(...CLIENTS) * USERS_PER_CLIENT - 1}) n;
		ANALYZE floor.feed; ANALYZE floor.by_hand`)
	const key = { feed: 'c.feed', seq: 'c.head', part_of: 'c.head', collection: `'by_hand'`, id: 'c.id' }
	const now = { changed_at: 'now()', at: 'now()', xid: 'pg_current_xact_id()' }
	await stack.psql(await insertLike(stack, 'record',
		`(SELECT owner AS feed, id::text AS id, id AS head FROM floor.by_hand) c`,
		{ ...key, seq: '-c.head', part_of: '-c.head' }))
	await stack.psql('VACUUM ANALYZE')

	const text = entry.replace(/"id":"[^"]*"/, '"id":"%s"').replaceAll(`'`, `''`)
	const pushed = { ...key, ...now, collection: `'logbook_entry'`, new: 'c.data' }
	writeFileSync(join(work, 'floor.sql'), `\\set first :client_id * ${USERS_PER_CLIENT}
\\set first :first + random(0, ${USERS_PER_CLIENT - GROUP})
WITH h AS (UPDATE floor.feed SET head = head + 1, changed_at = now()
	WHERE feed = ANY (ARRAY(SELECT 'floor-' || n FROM generate_series(:first, :first + ${GROUP - 1}) n))
	RETURNING feed, head),
c AS MATERIALIZED (SELECT feed, head, 'e-' || feed || '-' || head AS id,
	format('${text}', 'e-' || feed || '-' || head)::jsonb AS data FROM h),
d AS (INSERT INTO floor.document (feed, collection, id, data)
	SELECT feed, 'logbook_entry', id, data FROM c),
r AS (${await insertLike(stack, 'record', 'c', pushed)})
${await insertLike(stack, 'change_log', 'c', pushed)};\n`)

	const updated = { ...key, ...now, kind: `'patch'`,
		old: `jsonb_build_object('count', c.count - 1)`, new: `jsonb_build_object('count', c.count)` }
	writeFileSync(join(work, 'by_hand.sql'), `\\set id random(1, ${byHandRows})
WITH u AS (UPDATE floor.by_hand SET count = count + 1 WHERE id = :id RETURNING owner, id, count),
c AS (UPDATE floor.feed f SET head = head + 1, changed_at = now() FROM u WHERE f.feed = u.owner
	RETURNING f.feed, f.head, u.id::text AS id, u.count),
r AS (UPDATE floor.record r SET seq = c.head, part_of = c.head, changed_at = now()
	FROM c WHERE r.feed = c.feed AND r.collection = 'by_hand' AND r.id = c.id)
${await insertLike(stack, 'change_log', 'c', updated)};\n`)
}

/* floor: groups of changes, as T would write them. */
export async function floor({ stack, work, plan, note, say, checkpoint }) {
	for (const clients of CLIENTS) {
		await checkpoint()
		say(`the same rows by plain SQL, ${clients} clients`)
		note('floor', `${clients}`, await pgbench(stack, work, {
			database: stack.database, script: 'floor.sql', clients, seconds: plan.plainSeconds, rows: GROUP }))
	}
}
