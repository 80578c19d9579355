/*
 * explain.mjs
 *     The plans of every statement of the hot path, in the database that stored.mjs
 *     has filled, as the server executed them: auto_explain logs the statements of
 *     the relay and those that the extension makes inside.
 *
 * Most rows are found below the executor (extension/table.c): for these the
 * server's count of scans of each index tells.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { sleep } from '../../tools/stack.mjs'
import { mirusync } from './servers.mjs'

const SMALL = 1000	/* rows: a scan of a smaller table does not matter */
const SECONDS = 1
const SETTINGS = {
	session_preload_libraries: 'auto_explain',
	'auto_explain.log_min_duration': '0',
	'auto_explain.log_nested_statements': 'on',
}
const ENTRY = /LOG: {2}duration: [\d.]+ ms {2}plan:\n((?:\t.*\n)+)/g
const PLAN = /^\t[A-Z][A-Za-z ]+(?: \w+ on .*)? {2}\(cost=/m
const ARBITER = /Conflict Arbiter Indexes: (\S+)/
const NODE = /(Index Only Scan|Index Scan|Bitmap Index Scan|Seq Scan|Tid Scan)(?: Backward)?(?: using (\S+))? on (\S+)/g

const SIZES = `SELECT json_object_agg(relname, reltuples) FROM pg_class WHERE relkind = 'r'`
const SCANS = `SELECT json_object_agg(indexrelname, json_build_array(relname, idx_scan))
	FROM pg_stat_user_indexes WHERE schemaname = 'mirusync'`

function readFrom(path, from) {
	const file = openSync(path)
	const bytes = Buffer.alloc(fstatSync(file).size - from)
	readSync(file, bytes, 0, bytes.length, from)
	closeSync(file)
	return bytes.toString()
}

function sizeOf(path) {
	const file = openSync(path)
	const { size } = fstatSync(file)
	closeSync(file)
	return size
}

/* statementsOf gives each statement of a log with the scans of its plans. */
function statementsOf(log, sizes) {
	const statements = new Map()
	for (const [, text] of log.matchAll(ENTRY)) {
		const at = text.search(PLAN)
		const [query, plan] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at)]
		const key = query.replace('Query Text:', '').replace(/\s+/g, ' ').trim()
		const statement = statements.get(key) ?? { text: key, count: 0, scans: new Set(), isBad: false }
		statements.set(key, statement)
		statement.count++
		for (const [, node, using, on] of plan.matchAll(NODE)) {
			const isWhole = node === 'Seq Scan' && !(sizes[on] < SMALL)
			statement.isBad ||= isWhole
			statement.scans.add(node === 'Seq Scan' ? `all of ${on}${isWhole ? '' : ' (small)'}`
				: node === 'Bitmap Index Scan' ? on : using ?? `${node} on ${on}`)
		}
		const arbiter = ARBITER.exec(plan)
		if (arbiter)
			statement.scans.add(arbiter[1])
	}
	return [...statements.values()].map((statement) => ({ ...statement, scans: [...statement.scans] }))
		.sort((a, b) => b.count - a.count)
}

/* explain runs a little of each workload, "some" gives stored users. */
export async function explain({ stack, plan, servers, driver, entry, note, say }, some) {
	const ask = async (query) => JSON.parse(await stack.psql(query))
	const owner = { database: 'postgres' }
	for (const [name, value] of Object.entries(SETTINGS))
		await stack.psql(`ALTER DATABASE ${stack.database} SET ${name} = '${value}'`, owner)
	const relay = await stack.addRelay()
	const [before, from] = [await ask(SCANS), sizeOf(stack.pgLogPath)]
	const records = plan.storedRecords
	for (const words of ['events', 'native'].filter((name) => servers[name])) {
		const server = mirusync(stack, words, relay)
		say(`plans: ${words}`)
		await driver.drive(server, 'closed', some(), { seconds: SECONDS })
		await driver.drive(server, 'closed', some(), { seconds: SECONDS, records: 5 })
		if (words === 'native')
			await driver.drive(server, 'closed', some(), { seconds: SECONDS, batch: 20 })
		await driver.drive(server, 'sync', some(), { devices: 1, writers: 0 })
		await driver.drive(server, 'sync', some(), { devices: 1, writers: 0, after: records - 1 })
		await driver.sql(server, 10, entry, { rate: 1e6, seconds: SECONDS })
	}
	await relay.stop()
	await sleep(1500)	/* the counts come late */
	const [after, sizes] = [await ask(SCANS), await ask(SIZES)]
	const statements = statementsOf(readFrom(stack.pgLogPath, from), sizes)
	for (const name of Object.keys(SETTINGS))
		await stack.psql(`ALTER DATABASE ${stack.database} RESET ${name}`, owner)
	note('plans', 'database', {
		statements: statements.filter(({ text }) => !/pg_stat_|pg_class/.test(text)),
		indexes: Object.entries(after).map(([index, [table, scans]]) =>
			({ index, table, scans: scans - (before[index]?.[1] ?? 0), rows: sizes[table] })).filter(({ scans }) => scans > 0)
			.sort((a, b) => b.scans - a.scans),
	})
}
