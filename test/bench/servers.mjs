/*
 * servers.mjs
 *     The servers that are measured, each with what the measures need of it:
 *     name, pid, port, database, and the SQL of a plain UPDATE.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run, start } from './process.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))

/* mirusync is the relay that the stack has already. */
export function mirusync(stack) {
	return {
		name: 'mirusync',
		pid: stack.relay.pid,
		port: stack.relay.port,
		database: stack.database,
		setup: `SELECT mirusync.put($1, 'logbook_entry', 'bench', $entry$)`,
		update: `UPDATE mirusync.document
			SET data = jsonb_set(data, '{notes}', to_jsonb($2::text))
			WHERE feed = $1 AND collection = 'logbook_entry' AND id = 'bench'`,
		stop: async () => {},
	}
}

/* listening waits for the line that names the port, or for the end. */
async function listening(env) {
	let onPort
	const port = new Promise((resolve) => { onPort = resolve })
	const { child, exited } = start(process.execPath, [join(HERE, 'baseline/server.mjs')], {
		env,
		onLine: (line) => {
			const found = /^listening port=(\d+)/.exec(line)
			if (found)
				onPort(Number(found[1]))
		},
	})
	const failed = exited.then(({ code, errors }) => {
		throw new Error(`the Node server ended with ${code}: ${errors}`)
	})
	failed.catch(() => {})
	return { child, exited, port: await Promise.race([port, failed]) }
}

/* startBaseline starts the Node server on a database of its own. */
export async function startBaseline(stack) {
	const env = { ...process.env, ...stack.pgEnv, PGDATABASE: 'baseline' }
	await stack.psql('CREATE DATABASE baseline', { database: 'postgres' })
	await run(join(stack.bindir, 'psql'),
		['-Xq', '-v', 'ON_ERROR_STOP=1', '-f', join(HERE, 'baseline/schema.sql')], { env })
	const { child, exited, port } = await listening({ ...env, PORT: '0', JWT_SECRET: stack.secret })
	return {
		name: 'Node server',
		pid: child.pid,
		port,
		database: 'baseline',
		setup: `INSERT INTO entry VALUES ($1, 'bench', $entry$)`,
		update: `UPDATE entry SET body = jsonb_set(body, '{notes}', to_jsonb($2::text))
			WHERE user_id = $1 AND id = 'bench'`,
		stop: async () => {
			child.kill('SIGTERM')
			await exited
		},
	}
}
