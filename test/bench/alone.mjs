/*
 * alone.mjs
 *     T of a relay without a database: what the sockets alone can do.
 *
 * The relay is the same program with the same settings; it is connected to
 * stub.c in place of Postgres.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { chmodSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cpuOf, start } from './process.mjs'
import { mirusync } from './servers.mjs'

const STUB = join(dirname(fileURLToPath(import.meta.url)), 'stub')
const PORT = 5432	/* names the socket */
const USERS = 200

async function startStub(directory) {
	let onReady
	const ready = new Promise((resolve) => { onReady = resolve })
	const { child, exited } = start(STUB, [join(directory, `.s.PGSQL.${PORT}`)], { onLine: onReady })
	const failed = exited.then(({ errors }) => { throw new Error(`stub: ${errors}`) })
	failed.catch(() => {})
	await Promise.race([ready, failed])
	return {
		cpu: () => cpuOf(child.pid),
		stop: async () => {
			child.kill('SIGTERM')
			await exited
		},
	}
}

export async function alone({ stack, work, plan, servers, driver, note, say }) {
	chmodSync(work, 0o711)	/* the relay may run as somebody else */
	const stub = await startStub(work)
	const relay = await stack.addRelay({
		database: `host=${work} port=${PORT} user=mirusync_relay dbname=mirusync` })
	for (const words of ['events', 'native'].filter((name) => servers[name])) {
		say(`closed, no database: ${words}`)
		note('alone', words, await driver.drive({ ...mirusync(stack, words, relay), databaseCpu: stub.cpu },
			'closed', USERS, { seconds: plan.closedSeconds }))
	}
	await relay.stop()
	await stub.stop()
}
