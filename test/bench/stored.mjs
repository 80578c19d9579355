/*
 * stored.mjs
 *     G: the throughput of T in a database that has many users and records
 *     already, and whether every scan there goes by an index.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { performance } from 'node:perf_hooks'
import { explain } from './explain.mjs'
import { cpuOfPostgres } from './process.mjs'

const PORTION = 5000	/* users in one transaction */
const USERS_DRIVEN = 200

/* Scans of whole tables, by table; those of less than a thousand rows do not matter. */
const SCANS = `SELECT coalesce(json_object_agg(relname, seq_scan), '{}') FROM pg_stat_user_tables
	WHERE schemaname = 'mirusync' AND n_live_tup >= 1000`

const sizeOf = async (stack) => Number(await stack.psql('SELECT pg_database_size(current_database())'))

async function fill({ stack, plan, entry, say }) {
	const sizeBefore = await sizeOf(stack)
	const begin = performance.now()
	for (let from = 0; from < plan.storedUsers; from += PORTION) {
		if (from % (PORTION * 20) === 0)
			say(`stored: ${from} of ${plan.storedUsers} users`)
		await stack.psql(`INSERT INTO mirusync.document (feed, collection, id, data)
			SELECT 'stored-' || u, 'logbook_entry', 'r-' || r, jsonb_set('${entry}', '{id}', to_jsonb('r-' || r))
			FROM generate_series(${from}, ${Math.min(from + PORTION, plan.storedUsers) - 1}) u,
				generate_series(1, ${plan.storedRecords}) r`)
	}
	const seconds = (performance.now() - begin) / 1000
	say('stored: VACUUM ANALYZE')
	await stack.psql('VACUUM ANALYZE')
	return {
		records: plan.storedUsers * plan.storedRecords,
		seconds,
		vacuumSeconds: (performance.now() - begin) / 1000 - seconds,
		loadedBytes: await sizeOf(stack) - sizeBefore,
	}
}

/* trim looks at every feed, as the worker does once in an hour; nothing is old enough to go. */
async function trim({ stack, say }) {
	const feeds = Number(await stack.psql('SELECT count(*) FROM mirusync.feed'))
	const cpu = cpuOfPostgres(stack.postgres.pid)
	const begin = performance.now()
	say(`trimming ${feeds} feeds`)
	await stack.psql('CALL mirusync.trim()')
	return { feeds, seconds: (performance.now() - begin) / 1000, cpu: cpuOfPostgres(stack.postgres.pid) - cpu }
}

export async function stored(bench) {
	const { stack, plan, servers, driver, note, say, checkpoint } = bench
	if (!plan.storedUsers)
		return
	const seconds = plan.closedSeconds
	const step = Math.floor(plan.storedUsers / USERS_DRIVEN)
	let user = 0
	const some = () => Array.from({ length: USERS_DRIVEN }, () => `stored-${(user += step + 1) % plan.storedUsers}`)
	const drive = async (name, workload, users) => {
		await checkpoint()
		say(`${workload}: ${name}`)
		note(workload, name, await driver.drive(servers[name], 'closed', users, { seconds }))
	}
	const names = ['events', 'native'].filter((name) => servers[name])
	for (const name of names)
		await drive(name, 'stored before', USERS_DRIVEN)
	const filled = await fill(bench)
	for (const name of names) {
		await drive(name, 'stored warm-up', some())
		const before = JSON.parse(await stack.psql(SCANS))
		await drive(name, 'stored', some())
		const after = JSON.parse(await stack.psql(SCANS))
		note('stored scans', name, Object.fromEntries(Object.entries(after)
			.map(([table, scans]) => [table, scans - (before[table] ?? 0)]).filter(([, scans]) => scans > 0)))
	}
	await explain(bench, some)
	note('stored trim', 'database', await trim(bench))
	note('stored size', 'database',
		{ ...filled, bytes: await sizeOf(stack) })
}
