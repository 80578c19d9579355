/*
 * capture.mjs
 *     A: what an attached table costs those who write it with SQL: UPDATEs of
 *     one row and of many, against a table that is not attached, and against the
 *     same rows written by hand.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pgbench } from './pgbench.mjs'
import { run } from './process.mjs'

const CAPTURE_USERS = 200
export const CAPTURE_ROWS = 2000
const CAPTURE_CLIENTS = [1, 8, 32]
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
	{ name: 'by hand', table: 'by_hand' },	/* floor.mjs */
]

/* Of many rows in one transaction, the ring is not what costs. */
const BULK_CAPTURES = CAPTURES.slice(0, 2)

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
const captureUpdate = (stack, work, capture, clients, seconds) =>
	pgbench(stack, work, {
		database: stack.database, script: `${capture.table}.sql`, clients, seconds,
		settings: doorbell(capture),
	})

/* bulkUpdate updates every row in one statement; returns its time as psql takes it. */
async function bulkUpdate(stack, capture) {
	const lines = await run(join(stack.bindir, 'psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1',
		'-c', '\\timing on', '-c', `UPDATE ${capture.table}_bulk SET count = count + 1`,
		stack.database], { env: { ...process.env, ...stack.pgEnv, PGOPTIONS: doorbell(capture) } })
	return { ms: Number(/^Time: ([\d.]+) ms/m.exec(lines.join('\n'))[1]) }
}

/* Every second pass or round is in reverse, so that nobody is always the first. */
export async function capture({ stack, work, plan, round, note, say, checkpoint }) {
	const captures = CAPTURES.filter(({ name }) => plan.thorough || name !== 'by hand')

	for (const clients of CAPTURE_CLIENTS) {
		for (let pass = 0; pass < plan.capturePasses; pass++) {
			for (const how of (round + pass) % 2 ? [...captures].reverse() : captures) {
				say(`UPDATE of one row, ${how.name}, ${clients} clients`)
				note(`capture ${clients}`, how.name,
					await captureUpdate(stack, work, how, clients, plan.captureSeconds))
			}
		}
	}
	for (let i = 0; i < plan.bulkUpdates; i++) {
		for (const how of BULK_CAPTURES) {
			await checkpoint()
			say(`UPDATE of many rows, ${how.name}`)
			note('capture bulk', how.name, await bulkUpdate(stack, how))
		}
	}
}
