/*
 * driver.mjs
 *     Runs the load driver (load.c) against a server, and reads the CPU time
 *     of server and Postgres over the window that it announces.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { userToken } from '../../tools/token.mjs'
import { cpuOf, cpuOfPostgres, rssKbOf, run, start } from './process.mjs'

const LOAD = join(dirname(fileURLToPath(import.meta.url)), 'load')
const sum = (values) => values.reduce((a, b) => a + b, 0)

export const entryText = async () => (await run(LOAD, ['entry']))[0]
export const serverCpu = (server) => sum(server.pids().map(cpuOf))
export const serverRssKb = (server) => sum(server.pids().map(rssKbOf))

export class Driver {
	#files = 0

	constructor(stack, work, say) {
		this.stack = stack
		this.work = work
		this.say = say
	}

	/* usersFile writes a list of users with tokens. */
	usersFile(ids) {
		const file = join(this.work, `users-${++this.#files}`)
		writeFileSync(file, ids.map((id) => `${id} ${userToken(this.stack.secret, id, 36000)}\n`).join(''))
		return file
	}

	/* newUsers makes a list of users whose feeds are still empty. */
	newUsers(count) {
		const prefix = `bench-${this.#files + 1}`
		return this.usersFile(Array.from({ length: count }, (_, i) => `${prefix}-${i}`))
	}

	/* drive runs one mode; users is a count of new ones, or a list. */
	async drive(server, mode, users, options = {}) {
		const cpu = {}
		const databaseCpu = server.databaseCpu ?? (() => cpuOfPostgres(this.stack.postgres.pid))
		const file = typeof users === 'number' ? this.newUsers(users) : this.usersFile(users)
		const lines = await run(LOAD, [mode, `port=${server.port}`, `words=${server.words}`, `users=${file}`,
			...server.options ?? [], ...Object.entries(options).map(([key, value]) => `${key}=${value}`)], {
			onLine: (line) => {
				if (line === 'begin' || line === 'end')
					cpu[line] = { server: serverCpu(server), postgres: databaseCpu() }
			},
		})
		const result = JSON.parse(lines.at(-1))
		result.cpu = {
			server: cpu.end.server - cpu.begin.server,
			postgres: cpu.end.postgres - cpu.begin.postgres,
		}
		result.perCpuSecond = result.acks_per_second * result.seconds
			/ (result.cpu.server + result.cpu.postgres)
		if (result.lost)
			this.say(`${server.name}, ${mode}: ${result.lost} of ${result.sent} were not delivered`)
		return result
	}

	/* sql writes plain UPDATEs, "rate" a second, each seen by a device. */
	sql(server, users, entry, options) {
		return this.drive(server, 'sql', users, {
			database: `${this.stack.conninfo} dbname=${server.database}`,
			setup: server.setup.replace('$entry$', `'${entry}'`),
			update: server.update,
			...options,
		})
	}

	/*
	 * hold keeps idle sessions open; resolves to the seconds that it took to
	 * open them and a function that ends them.
	 */
	async hold(server, userCount, options = {}) {
		let onReady
		const ready = new Promise((resolve) => { onReady = resolve })
		const { child, exited } = start(LOAD, ['idle', `port=${server.port}`, `words=${server.words}`,
			`users=${this.newUsers(userCount)}`, ...server.options ?? [],
			...Object.entries(options).map(([key, value]) => `${key}=${value}`)], { onLine: onReady })
		const failed = exited.then(({ errors }) => { throw new Error(`idle sessions: ${errors}`) })
		failed.catch(() => {})
		const line = await Promise.race([ready, failed])
		return {
			seconds: Number(line.split(' ')[1]),
			release: async () => {
				child.stdin.end()
				await exited
			},
		}
	}
}
