/*
 * cost.mjs
 *     R: what an acknowledged change and its delivery cost: CPU time, statements,
 *     transactions, write-ahead log.  While pg_stat_statements counts, which
 *     costs a little itself.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { waitUntil } from '../../tools/stack.mjs'
import { serverRssKb } from './driver.mjs'

const USERS = 200
const SECONDS = 5
const STATEMENTS_SHOWN = 6

const COUNTERS = `SELECT json_build_object(
	'transactions', (SELECT sum(xact_commit) FROM pg_stat_database),
	'wal_bytes', (SELECT wal_bytes FROM pg_stat_wal),
	'wal_records', (SELECT wal_records FROM pg_stat_wal),
	'wal_syncs', (SELECT wal_sync FROM pg_stat_wal),
	'statements', (SELECT sum(calls) FROM pg_stat_statements
		WHERE userid = 'mirusync_relay'::regrole))`

const STATEMENTS = `SELECT coalesce(json_agg(t), '[]') FROM (
	SELECT regexp_replace(query, '\\s+', ' ', 'g') AS query, calls,
		total_exec_time + total_plan_time AS ms, rows, plans
	FROM pg_stat_statements WHERE userid = 'mirusync_relay'::regrole
	ORDER BY total_exec_time DESC LIMIT ${STATEMENTS_SHOWN}) t`

async function track(stack, what) {
	await stack.psql(`ALTER SYSTEM SET pg_stat_statements.track = '${what}'`)
	await stack.psql('SELECT pg_reload_conf()')
	await waitUntil(async () => await stack.psql('SHOW pg_stat_statements.track') === what)
}

export async function cost({ stack, servers, driver, note, say, checkpoint }) {
	await stack.psql('CREATE EXTENSION IF NOT EXISTS pg_stat_statements')
	await track(stack, 'top')
	for (const name of ['events', 'native']) {
		if (!servers[name])
			continue
		say(`cost: ${name}`)
		await checkpoint()
		const rss = serverRssKb(servers[name])
		await stack.psql('SELECT pg_stat_statements_reset()')
		const before = JSON.parse(await stack.psql(COUNTERS))
		const run = await driver.drive(servers[name], 'closed', USERS, { seconds: SECONDS })
		const after = JSON.parse(await stack.psql(COUNTERS))
		const each = (key) => (after[key] - (before[key] ?? 0)) / run.acked
		const window = run.acks_per_second * run.seconds
		note('cost', name, {
			statements: each('statements'),
			transactions: each('transactions'),
			walBytes: each('wal_bytes'),
			walRecords: each('wal_records'),
			walSyncs: each('wal_syncs'),
			relayUs: run.cpu.server * 1e6 / window,
			postgresUs: run.cpu.postgres * 1e6 / window,
			rssKb: serverRssKb(servers[name]) - rss,
			bytesDelivered: run.bytes_in / (run.acked + run.delivered),
			top: JSON.parse(await stack.psql(STATEMENTS))
				.map((row) => ({ ...row, calls: row.calls / run.acked, us: row.ms * 1000 / run.acked })),
		})
	}
	await track(stack, 'none')
}
