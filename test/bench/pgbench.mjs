/*
 * pgbench.mjs
 *     What Postgres does without us: plain INSERTs, and UPDATEs of an attached
 *     table, of one row and of many, against one that is not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep } from '../../tools/stack.mjs'
import { cpuOfPostgres, run } from './process.mjs'

const LOG = 'transaction'
const CAPTURE_USERS = 200
const CAPTURE_ROWS = 2000
export const BULK_ROWS = 100000

/*
 * The tables that are compared, and how relays are told of the changes: "auto"
 * is the worker, since the library is preloaded.
 */
export const CAPTURES = [
	{ name: 'unattached', table: 'unattached' },
	{ name: 'attached', table: 'attached', doorbell: 'auto' },
	{ name: 'notifying', table: 'attached', doorbell: 'transaction' },
	{ name: 'silent', table: 'attached', doorbell: 'off' },
]

/* Of many rows in one transaction, the ring is not what costs. */
export const BULK_CAPTURES = CAPTURES.slice(0, 2)

/* median takes the mean of the two in the middle of an even count. */
export function median(values) {
	const sorted = [...values].sort((a, b) => a - b)
	const middle = (sorted.length - 1) / 2
	return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2
}

/*
 * takeLatency reads and removes pgbench's log of every transaction; returns
 * the median and the 99th percentile in ms, without what pgbench itself was
 * late by (the last column, with --rate only).
 */
function takeLatency(work) {
	const files = readdirSync(work).filter((name) => name.startsWith(`${LOG}.`))
	const us = files.flatMap((file) => readFileSync(join(work, file), 'utf8').trim().split('\n')
		.map((line) => line.split(' ').map(Number))
		.map((fields) => fields[2] - (fields[6] ?? 0)))
	files.forEach((file) => rmSync(join(work, file)))
	us.sort((a, b) => a - b)
	const at = (fraction) => us[Math.floor((us.length - 1) * fraction)] / 1000
	return { p50: at(0.5), p99: at(0.99) }
}

/*
 * pgbench runs a script of one durable transaction and returns its rate, the
 * rate per CPU second of Postgres, and the latency in ms.
 */
async function pgbench(stack, work, { database, script, clients, seconds, rate, settings = '' }) {
	const before = cpuOfPostgres(stack.postgres.pid)
	const args = ['-n', '-M', 'prepared', '-c', clients, '-j', Math.min(clients, 2),
		'-T', seconds, '-f', join(work, script), '-l', '--log-prefix', LOG,
		...rate ? ['--rate', rate] : [], database]
	const lines = await run(join(stack.bindir, 'pgbench'), args.map(String),
		{ cwd: work, env: { ...process.env, ...stack.pgEnv, PGOPTIONS: settings } })
	await sleep(200)	/* its backends are still ending */
	const cpu = cpuOfPostgres(stack.postgres.pid) - before
	const tps = Number(/^tps = ([\d.]+)/m.exec(lines.join('\n'))[1])
	return { clients, rate: tps, perCpuSecond: tps * seconds / cpu, ms: takeLatency(work) }
}

/* preparePlain makes a table of its own for "plain INSERT of the same row". */
export async function preparePlain(stack, work, entry) {
	await stack.psql('CREATE DATABASE plain', { database: 'postgres' })
	await stack.psql(`CREATE TABLE entry (
		seq bigserial PRIMARY KEY, user_id text NOT NULL, body jsonb NOT NULL)`,
	{ database: 'plain' })
	writeFileSync(join(work, 'insert.sql'), `\\set user random(1, 200)
INSERT INTO entry (user_id, body) VALUES ('bench-' || :user, '${entry}');\n`)
}

export const plainInsert = (stack, work, clients, seconds) =>
	pgbench(stack, work, { database: 'plain', script: 'insert.sql', clients, seconds })

/*
 * pacedInsert is one client at the pace of the latency measures: between its
 * commits processor and disk fall asleep, as they do for everybody there.
 */
export const pacedInsert = (stack, work, rate, seconds) => pgbench(stack, work,
	{ database: 'plain', script: 'insert.sql', clients: 1, seconds, rate })

/* prepareTables makes two equal tables and attaches one of them. */
async function prepareTables(stack, suffix, rows) {
	for (const table of ['unattached', 'attached']) {
		await stack.psql(`CREATE TABLE ${table}${suffix} (
			id int PRIMARY KEY, owner text NOT NULL, title text NOT NULL, count int NOT NULL)`)
		if (table === 'attached')
			await stack.psql(`SELECT mirusync.attach('attached${suffix}', feed => 'owner')`)
		await stack.psql(`INSERT INTO ${table}${suffix}
			SELECT n, 'capture-' || n % ${CAPTURE_USERS}, repeat('x', 200), 0
			FROM generate_series(1, ${rows}) n`)
	}
}

export async function prepareCapture(stack, work) {
	await prepareTables(stack, '', CAPTURE_ROWS)
	await prepareTables(stack, '_bulk', BULK_ROWS)
	for (const table of ['unattached', 'attached']) {
		writeFileSync(join(work, `${table}.sql`), `\\set id random(1, ${CAPTURE_ROWS})
UPDATE ${table} SET count = count + 1 WHERE id = :id;\n`)
	}
}

const doorbell = (capture) => capture.doorbell ? `-c mirusync.doorbell=${capture.doorbell}` : ''

/* captureUpdate updates one row a transaction. */
export const captureUpdate = (stack, work, capture, clients, seconds) =>
	pgbench(stack, work, {
		database: stack.database, script: `${capture.table}.sql`, clients, seconds,
		settings: doorbell(capture),
	})

/* bulkUpdate updates every row in one statement; returns its time as psql takes it. */
export async function bulkUpdate(stack, capture) {
	const lines = await run(join(stack.bindir, 'psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1',
		'-c', '\\timing on', '-c', `UPDATE ${capture.table}_bulk SET count = count + 1`,
		stack.database], { env: { ...process.env, ...stack.pgEnv, PGOPTIONS: doorbell(capture) } })
	return { ms: Number(/^Time: ([\d.]+) ms/m.exec(lines.join('\n'))[1]) }
}
