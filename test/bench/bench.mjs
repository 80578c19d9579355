/*
 * bench.mjs
 *     Measures mirusync, the baseline server and plain INSERTs side by side.
 *
 * usage: node bench.mjs smoke | full [NAME ...]
 *
 * Names (of SERVERS and of MEASURES) leave out what is not named, for
 * development.
 *
 * All run against one private Postgres in one run and in rounds, since the
 * machine's speed drifts: only ratios within a run mean something.  README.md
 * says how to read the figures.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sleep, Stack, stopAll, stopOnSignals } from '../../tools/stack.mjs'
import { userToken } from '../../tools/token.mjs'
import {
	BULK_CAPTURES, bulkUpdate, captureUpdate, CAPTURES, pacedInsert, plainInsert, prepareCapture, preparePlain,
} from './pgbench.mjs'
import { cpuOf, cpuOfPostgres, endChildren, openFilesLimit, rssKbOf, run, start } from './process.mjs'
import { renderTable, summarize } from './report.mjs'
import { mirusync, startBaseline } from './servers.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const LOAD = join(HERE, 'load')
const PLANS = {
	smoke: {
		rounds: 1, clients: [16], plainSeconds: 2, latencySeconds: 5, closedSeconds: 10,
		sqlSeconds: 3, idleSessions: 2000, captureSeconds: 1, bulkUpdates: 1,
	},
	full: {
		rounds: 3, clients: [4, 16, 64], plainSeconds: 5, latencySeconds: 20, closedSeconds: 15,
		sqlSeconds: 10, idleSessions: 8000, captureSeconds: 5, bulkUpdates: 2,
	},
}
/* For a profiler: lets every timed measure last this long. */
if (process.env.BENCH_SECONDS) {
	for (const name of ['latencySeconds', 'closedSeconds', 'sqlSeconds'])
		PLANS.smoke[name] = PLANS.full[name] = Number(process.env.BENCH_SECONDS)
}
const LATENCY_USERS = 10
const CLOSED_USERS = 200
const RECORDS_UPDATED = 20
const IDLE_USERS_BEFORE = 100
const WRITES_PER_SECOND = 20
const UPDATES_PER_SECOND = 20
const CAPTURE_CLIENTS = [1, 8, 32]
const CAPTURE_PASSES = 2

const SERVERS = ['mirusync', 'baseline']
const MEASURES = ['plain', 'idle', 'latency', 'closed', 'updates', 'sql', 'hotsql',
	'capture']

const [planName, ...names] = process.argv.slice(2)
const plan = PLANS[planName]
const unknown = names.find((name) => ![...SERVERS, ...MEASURES].includes(name))
if (!plan || unknown) {
	console.error(`bench: ${unknown ? `unknown name "${unknown}"` : 'smoke or full?'}`)
	process.exit(2)
}

/* Naming servers says nothing of measures, and the other way round. */
function isWanted(name) {
	const group = SERVERS.includes(name) ? SERVERS : MEASURES
	return names.includes(name) || !names.some((other) => group.includes(other))
}

/* idleSessions is what the plan says, or what the limit of open files allows. */
function idleSessions() {
	const limit = openFilesLimit() - 2 * IDLE_USERS_BEFORE - 100
	if (limit < plan.idleSessions)
		say(`${limit} idle sessions, not ${plan.idleSessions}: limit of open files`)
	return Math.min(plan.idleSessions, limit - limit % 2)
}

const say = (text) => console.error(`bench: ${text}`)
const work = mkdtempSync(join(tmpdir(), 'mirusync-bench-'))
let stack
let userFiles = 0

/* newUsers makes a file of users whose feeds are still empty. */
function newUsers(count) {
	const prefix = `bench-${++userFiles}`
	const file = join(work, prefix)
	const ids = Array.from({ length: count }, (_, i) => `${prefix}-${i}`)
	writeFileSync(file, ids.map((id) => `${id} ${userToken(stack.secret, id, 7200)}\n`).join(''))
	return file
}

/* drive runs the load driver; CPU times are those of the window it announces. */
async function drive(server, mode, userCount, options) {
	const cpu = {}
	const lines = await run(LOAD, [mode, `port=${server.port}`, `users=${newUsers(userCount)}`,
		...Object.entries(options).map(([key, value]) => `${key}=${value}`)], {
		onLine: (line) => {
			if (line === 'begin' || line === 'end')
				cpu[line] = { server: cpuOf(server.pid), postgres: cpuOfPostgres(stack.postgres.pid) }
		},
	})
	const result = JSON.parse(lines.at(-1))
	result.cpu = {
		server: cpu.end.server - cpu.begin.server,
		postgres: cpu.end.postgres - cpu.begin.postgres,
	}
	if (result.lost)
		say(`${server.name}, ${mode}: ${result.lost} of ${result.sent} were not delivered`)
	return result
}

async function driveClosed(server, options) {
	const result = await drive(server, 'closed', CLOSED_USERS,
		{ seconds: plan.closedSeconds, ...options })
	result.perCpuSecond = result.acks_per_second * result.seconds
		/ (result.cpu.server + result.cpu.postgres)
	return result
}

const driveSql = (server, entry, rate) => drive(server, 'sql', LATENCY_USERS, {
	rate,
	seconds: plan.sqlSeconds,
	database: `${stack.conninfo} dbname=${server.database}`,
	setup: server.setup.replace('$entry$', `'${entry}'`),
	update: server.update,
})

/* hold keeps idle sessions open; resolves to a function that ends them. */
async function hold(server, userCount) {
	let onReady
	const ready = new Promise((resolve) => { onReady = resolve })
	const { child, exited } = start(LOAD,
		['idle', `port=${server.port}`, `users=${newUsers(userCount)}`], { onLine: onReady })
	const failed = exited.then(({ errors }) => { throw new Error(`idle sessions: ${errors}`) })
	failed.catch(() => {})
	await Promise.race([ready, failed])
	return async () => {
		child.stdin.end()
		await exited
	}
}

/*
 * Each measure takes a server and returns a result
 */
const measures = {
	/*
	 * Memory per idle session.  Some sessions are opened before, so that what a
	 * server allocates once is not counted.
	 */
	async idle(server) {
		const releaseBefore = await hold(server, IDLE_USERS_BEFORE)
		await sleep(500)
		const before = rssKbOf(server.pid)
		const sessions = idleSessions()
		const release = await hold(server, sessions / 2)
		await sleep(1500)
		const after = rssKbOf(server.pid)
		await release()
		await releaseBefore()
		return {
			sessions,
			kbPerSession: (after - before) / sessions,
			mbBefore: before / 1024,
		}
	},

	latency: (server) => drive(server, 'latency', LATENCY_USERS,
		{ seconds: plan.latencySeconds, rate: WRITES_PER_SECOND }),

	closed: (server) => driveClosed(server, {}),

	/* The same with changes of records that are there already. */
	updates: (server) => driveClosed(server, { records: RECORDS_UPDATED }),

	sql: (server, entry) => driveSql(server, entry, UPDATES_PER_SECOND),

	/* The next UPDATE as soon as the last one is delivered. */
	hotsql: (server, entry) => driveSql(server, entry, 1e6),
}

/*
 * round takes every measure once; notes come as (who, measure, result).  What
 * is compared is measured next to each other, and the plain INSERTs of many
 * clients before and after what is compared with them.
 */
async function round(number, servers, entry, note) {
	const insert = async (clients) => {
		say(`plain INSERT, ${clients} clients`)
		note('plain', `insert ${clients}`,
			await plainInsert(stack, work, clients, plan.plainSeconds))
	}
	const inserts = async () => {
		for (const clients of isWanted('plain') ? plan.clients : [])
			await insert(clients)
	}
	const measure = async (name) => {
		for (const server of isWanted(name) ? servers : []) {
			await stack.psql('CHECKPOINT', { database: 'postgres' })
			say(`${server.name}: ${name}`)
			note(server.name, name, await measures[name](server, entry))
		}
	}

	if (number === 1)
		await measure('idle')	/* means something with a fresh server only */
	await insert(1)
	say(`plain INSERT, ${WRITES_PER_SECOND} a second`)
	note('plain', 'paced',
		await pacedInsert(stack, work, WRITES_PER_SECOND, plan.plainSeconds))
	await measure('latency')
	await measure('sql')
	await measure('hotsql')
	await inserts()
	await measure('closed')
	if (planName === 'full' || names.includes('updates'))
		await measure('updates')
	await inserts()
	if (isWanted('capture') && isWanted('mirusync'))
		await capture(note)
}

/*
 * capture measures what an attached table costs those who write it with SQL.
 * Every second pass is in reverse, so that nobody is always the first.
 */
async function capture(note) {
	for (const clients of CAPTURE_CLIENTS) {
		for (let pass = 0; pass < CAPTURE_PASSES; pass++) {
			for (const how of pass % 2 ? [...CAPTURES].reverse() : CAPTURES) {
				say(`UPDATE of one row, ${how.name}, ${clients} clients`)
				note('capture', `${how.name} ${clients}`,
					await captureUpdate(stack, work, how, clients, plan.captureSeconds))
			}
		}
	}
	for (let i = 0; i < plan.bulkUpdates; i++) {
		for (const how of BULK_CAPTURES) {
			await stack.psql('CHECKPOINT', { database: 'postgres' })
			say(`UPDATE of many rows, ${how.name}`)
			note('capture', `${how.name} bulk`, await bulkUpdate(stack, how))
		}
	}
}

async function startStack() {
	stack = await Stack.start({
		postgresOnly: !isWanted('mirusync'),
		postgres: {
			max_connections: 120,
			shared_buffers: '256MB',
			max_wal_size: '4GB',
			checkpoint_timeout: '30min',
			shared_preload_libraries: 'mirusync',
		},
		/* How fast it is, not how fast it lets one be. */
		relay: {
			connections_max: 12000, session_messages_per_second: 0, session_bytes_per_second: 0,
			user_messages_per_second: 0, user_bytes_per_second: 0,
		},
	})
}

function writeResult(result) {
	const file = join(HERE, 'results', `${planName}-${result.time.replace(/[:.]/g, '-')}.json`)
	mkdirSync(dirname(file), { recursive: true })
	writeFileSync(file, `${JSON.stringify(result, null, '\t')}\n`)
	return file
}

async function main() {
	const results = {}
	const note = (who, measure, result) => {
		results[who] ??= {}
		results[who][measure] ??= []
		results[who][measure].push(result)
	}
	const [entry] = await run(LOAD, ['entry'])
	const loadBefore = loadavg()[0]

	say('starting a private Postgres')
	await startStack()
	await preparePlain(stack, work, entry)
	if (isWanted('capture') && isWanted('mirusync'))
		await prepareCapture(stack, work)
	const servers = []
	if (isWanted('mirusync'))
		servers.push(mirusync(stack))
	if (isWanted('baseline'))
		servers.push(await startBaseline(stack))
	for (let number = 1; number <= plan.rounds; number++)
		await round(number, servers, entry, note)
	for (const server of servers)
		await server.stop()

	const result = {
		time: new Date().toISOString(),
		plan: planName,
		machine: { cores: cpus().length, processor: cpus()[0].model, loadBefore },
		summary: summarize(results),
		results,
	}
	console.log(renderTable(result))
	console.log(`written to ${relative(process.cwd(), writeResult(result))}`)
}

stopOnSignals()
process.on('exit', () => {
	endChildren()
	rmSync(work, { recursive: true, force: true })
})
try {
	await main()
} catch (error) {
	console.error(`bench: ${error.message}`)
	if (stack)
		console.error(await stack.logs())
	process.exitCode = 1
} finally {
	endChildren()
	await stopAll()
}
process.exit()
