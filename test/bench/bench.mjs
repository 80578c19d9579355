/*
 * bench.mjs
 *     Measures mirusync beside what it is compared with, in one run.
 *
 * usage: node bench.mjs smoke | full [NAME ...]
 *
 * Names (of SERVERS and of workloads) leave out what is not named, for
 * development.
 *
 * All run against one private Postgres in one run and in rounds, since the
 * machine's speed drifts: only ratios within a run mean something.  README.md
 * says how to read the figures.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { Stack, stopAll, stopOnSignals } from '../../tools/stack.mjs'
import { alone } from './alone.mjs'
import { capture, CAPTURE_ROWS, prepareCapture } from './capture.mjs'
import { cost } from './cost.mjs'
import { Driver, entryText } from './driver.mjs'
import { floor, prepareFloor } from './floor.mjs'
import { pacedInsert, plainInsert, preparePlain } from './pgbench.mjs'
import { endChildren } from './process.mjs'
import { renderTable, summarize, writePage } from './report.mjs'
import { mirusync, startBaseline, startNats, startNchan, versions } from './servers.mjs'
import { stored } from './stored.mjs'
import { WORKLOADS } from './workloads.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const PER_SECOND = 20

/* "thorough" is with TLS and with the baselines that only say what limits us. */
const PLANS = {
	smoke: {
		rounds: 1, clients: [16], plainSeconds: 2, latencySeconds: 4, closedSeconds: 4,
		sqlSeconds: 3, idleSessions: 2000, captureSeconds: 1, capturePasses: 2, bulkUpdates: 1,
		fanoutSessions: 500, fanoutSeconds: 3, fanoutOutstanding: 128, hotOutstanding: 16,
		firstRecords: [10000], reconnectUsers: 100, storedUsers: 0, storedRecords: 10,
		names: ['plain', 'idle', 'latency', 'sql', 'closed', 'batches', 'fanout', 'first', 'capture'],
	},
	full: {
		rounds: 3, thorough: true, clients: [4, 16, 64], plainSeconds: 5, latencySeconds: 15, closedSeconds: 10,
		sqlSeconds: 10, idleSessions: 10000, captureSeconds: 5, capturePasses: 1, bulkUpdates: 2,
		fanoutSessions: 1000, fanoutSeconds: 8, fanoutOutstanding: 128, hotOutstanding: 16,
		firstRecords: [10000, 200000], reconnectUsers: 1000,
		storedUsers: 1000000, storedRecords: 10,
	},
}
const SERVERS = ['events', 'native', 'node', 'nats', 'nchan']
const ALL = { ...WORKLOADS, alone, floor, capture, stored, cost }

/* Those that mean something once, of a fresh server or since they take long. */
const ONCE = ['idle', 'stored', 'cost']

const [planName, ...names] = process.argv.slice(2)
const plan = PLANS[planName]
const known = [...SERVERS, ...Object.keys(ALL), 'plain']
const unknown = names.find((name) => !known.includes(name))
if (!plan || unknown) {
	console.error(`bench: ${unknown ? `unknown name "${unknown}"; there are ${known.join(', ')}` : 'smoke or full?'}`)
	process.exit(2)
}
/* For a profiler: lets every timed measure last this long. */
if (process.env.BENCH_SECONDS) {
	for (const name of ['plainSeconds', 'latencySeconds', 'closedSeconds', 'sqlSeconds', 'fanoutSeconds', 'captureSeconds'])
		plan[name] = Number(process.env.BENCH_SECONDS)
}
plan.storedUsers = Number(process.env.BENCH_STORED_USERS ?? plan.storedUsers)
plan.rounds = Number(process.env.BENCH_ROUNDS ?? plan.rounds)

/* Naming servers says nothing of workloads, and the other way round. */
function isWanted(name) {
	const isServer = SERVERS.includes(name)
	const named = names.filter((other) => SERVERS.includes(other) === isServer)
	if (named.length)
		return named.includes(name)
	return isServer || !plan.names || plan.names.includes(name)
}

const say = (text) => console.error(`bench: ${text}`)
const work = mkdtempSync(join(tmpdir(), 'mirusync-bench-'))
const results = {}
let stack

function note(workload, who, result) {
	results[workload] ??= {}
	results[workload][who] ??= []
	results[workload][who].push(result)
}

/* The plain INSERTs of many clients come before and after what they are compared with. */
async function inserts() {
	for (const clients of isWanted('plain') ? plan.clients : []) {
		say(`plain INSERT, ${clients} clients`)
		note('plain', `insert ${clients}`, await plainInsert(stack, work, clients, plan.plainSeconds))
	}
}

async function round(bench) {
	say(`plain INSERT, alone and ${PER_SECOND} a second`)
	note('plain', 'insert 1', await plainInsert(stack, work, 1, plan.plainSeconds))
	note('plain', 'paced', await pacedInsert(stack, work, PER_SECOND, plan.plainSeconds))
	for (const [name, workload] of Object.entries(ALL)) {
		if (!isWanted(name) || ONCE.includes(name) && !bench.isFirstRound)
			continue
		const isCompared = ['closed', 'many'].includes(name)
		if (isCompared)
			await inserts()
		await workload(bench)
		if (isCompared)
			await inserts()
	}
}

async function startServers() {
	const servers = {
		events: mirusync(stack, 'events'),
		native: mirusync(stack, 'native'),
		node: isWanted('node') ? await startBaseline(stack) : undefined,
		nats: isWanted('nats') ? await startNats(work) : undefined,
		nchan: isWanted('nchan') ? await startNchan(work) : undefined,
	}
	for (const name of ['nats', 'nchan']) {
		if (isWanted(name) && !servers[name])
			say(`${name} is not installed: tools/setup.sh bench`)
	}
	return Object.fromEntries(Object.entries(servers).filter(([name]) => isWanted(name)))
}

function writeResult(result) {
	const file = join(HERE, 'results', `${planName}-${result.time.replace(/[:.]/g, '-')}.json`)
	mkdirSync(dirname(file), { recursive: true })
	writeFileSync(file, `${JSON.stringify(result, null, '\t')}\n`)
	return file
}

async function main() {
	const begin = performance.now()
	const entry = await entryText()
	const loadBefore = loadavg()[0]

	say('starting a private Postgres')
	stack = await Stack.start({
		postgres: {
			max_connections: 120,
			shared_buffers: '1GB',
			max_wal_size: '8GB',
			checkpoint_timeout: '30min',
			shared_preload_libraries: 'mirusync,pg_stat_statements',
			'pg_stat_statements.track': 'none',	/* cost.mjs turns it on */
			'mirusync.trim_interval': 0,	/* stored.mjs trims, so that nobody meets it by chance */
		},
		/* How fast it is, not how fast it lets one be. */
		relay: {
			connections_max: 12000, connections_per_user: 10000, connections_per_address: 0,
			connection_rate_per_address: 0, session_messages_per_second: 0, session_bytes_per_second: 0,
			user_messages_per_second: 0, user_bytes_per_second: 0,
		},
	})
	say(`processes: relay ${stack.relay.pid}, Postgres ${stack.postgres.pid}`)	/* for profile.sh */
	await preparePlain(stack, work, entry)
	if (isWanted('capture') || isWanted('floor')) {
		await prepareCapture(stack, work)
		if (plan.thorough || isWanted('floor'))
			await prepareFloor(stack, work, entry, CAPTURE_ROWS)
	}
	const bench = {
		stack, work, plan, entry, note, say,
		servers: await startServers(),
		driver: new Driver(stack, work, say),
		checkpoint: () => stack.psql('CHECKPOINT', { database: 'postgres' }),
	}
	for (bench.round = 1; bench.round <= plan.rounds; bench.round++) {
		bench.isFirstRound = bench.round === 1
		await round(bench)
	}
	for (const server of Object.values(bench.servers))
		await server.stop()

	const result = {
		time: new Date().toISOString(),
		plan: planName,
		rounds: plan.rounds,
		seconds: (performance.now() - begin) / 1000,
		machine: {
			cores: cpus().length, processor: cpus()[0].model,
			memoryGb: Math.round(totalmem() / 2 ** 30), loadBefore,
		},
		versions: versions(stack),
		summary: summarize(results),
		results,
	}
	console.log(renderTable(result))
	console.log(`written to ${relative(process.cwd(), writeResult(result))}`)
	if (planName === 'full' && !names.length)
		console.log(`written to ${relative(process.cwd(), writePage(result))}`)
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
