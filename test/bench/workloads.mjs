/*
 * workloads.mjs
 *     What is measured of the sockets: latency, throughput, SQL writers, idle
 *     sessions, a hot feed, fan-out, first sync and reconnecting.
 *
 * Each workload is a function of the bench ({stack, work, plan, driver, servers,
 * entry, note, say, checkpoint}) and notes results by server.  What is compared
 * is measured next to each other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { performance } from 'node:perf_hooks'
import { join } from 'node:path'
import { sleep } from '../../tools/stack.mjs'
import { serverCpu, serverRssKb } from './driver.mjs'
import { pacedUpdate } from './pgbench.mjs'
import { openFilesLimit, run } from './process.mjs'
import { underTls } from './servers.mjs'

const LATENCY_USERS = 10
const PER_SECOND = 20
const CLOSED_USERS = 200
const RECORDS_UPDATED = 20
const MANY_USERS = 2000
const BATCH_USERS = 50
const BATCH = 100
const HOT_DEVICES = 10
const IDLE_USERS_BEFORE = 100
const IDLE_SECONDS = 3

/* each runs a measure against the servers of those names that there are. */
async function each(bench, workload, names, measure) {
	for (const name of names) {
		const server = bench.servers[name]
		if (!server)
			continue
		await bench.checkpoint()
		bench.say(`${workload}: ${name}`)
		bench.note(workload, name, await measure(server, name))
	}
}

/* L: one device writes, the user's other one sees it. */
const latency = (bench) => each(bench, 'latency', ['events', 'native', 'node'], (server) =>
	bench.driver.drive(server, 'latency', LATENCY_USERS,
		{ seconds: bench.plan.latencySeconds, rate: PER_SECOND }))

/* T: each user has one write under way. */
const closed = (bench) => each(bench, 'closed', ['events', 'native', 'node'], (server) =>
	bench.driver.drive(server, 'closed', CLOSED_USERS, { seconds: bench.plan.closedSeconds }))

/* The same with changes of records that are there already. */
const updates = (bench) => each(bench, 'updates', ['events', 'native', 'node'], (server) =>
	bench.driver.drive(server, 'closed', CLOSED_USERS,
		{ seconds: bench.plan.closedSeconds, records: RECORDS_UPDATED }))

/* T2: ten times the users; and few users with batches. */
const many = (bench) => each(bench, 'many', ['events', 'native', 'node'], (server) =>
	bench.driver.drive(server, 'closed', MANY_USERS, { seconds: bench.plan.closedSeconds }))
const batches = (bench) => each(bench, 'batches', ['native'], (server) =>
	bench.driver.drive(server, 'closed', BATCH_USERS, { seconds: bench.plan.closedSeconds, batch: BATCH }))

/* H: every device writes into one feed. */
const hot = (bench) => each(bench, 'hot', ['events', 'native', 'node'], (server) =>
	bench.driver.drive(server, 'closed', 1, {
		seconds: bench.plan.closedSeconds, devices: HOT_DEVICES, writers: HOT_DEVICES,
		outstanding: bench.plan.hotOutstanding,
	}))

/*
 * S: a plain UPDATE by another program, at a pace and back to back.  Beside it the
 * same UPDATE with nobody to be told, and with a trigger that tells one listener.
 */
async function sql(bench) {
	const seconds = bench.plan.sqlSeconds
	for (const table of bench.plan.thorough ? ['unheard', 'heard'] : []) {
		bench.say(`UPDATE ${PER_SECOND} a second, ${table}`)
		bench.note('sql', table, await pacedUpdate(bench.stack, bench.work, table, PER_SECOND, seconds))
	}
	await each(bench, 'sql', ['events', 'native', 'node'], (server) =>
		bench.driver.sql(server, LATENCY_USERS, bench.entry, { rate: PER_SECOND, seconds }))
	await each(bench, 'hotsql', ['events', 'native', 'node'], (server) =>
		bench.driver.sql(server, LATENCY_USERS, bench.entry, { rate: 1e6, seconds }))
}

/*
 * M: memory and CPU of idle sessions.  Some sessions are opened before, so that
 * what a server allocates once is not counted; and ours is a fresh one.
 */
async function measureIdle(bench, used, sessions) {
	const relay = used.fresh && await used.fresh()
	const server = relay ?? used
	const fresh = serverRssKb(server)
	const first = await bench.driver.hold(server, IDLE_USERS_BEFORE)
	await sleep(500)
	const before = serverRssKb(server)
	const cpuBefore = serverCpu(server)
	const rest = await bench.driver.hold(server, sessions / 2, { width: 256 })
	const connectCpuSeconds = serverCpu(server) - cpuBefore
	await sleep(1500)
	const after = serverRssKb(server)
	const cpu = serverCpu(server)
	await sleep(IDLE_SECONDS * 1000)
	const cpuSeconds = serverCpu(server) - cpu
	await rest.release()
	await first.release()
	await relay?.stop()
	return {
		sessions,
		seconds: rest.seconds,
		connectCpuSeconds,
		kbPerSession: (after - before) / sessions,
		mbBefore: fresh / 1024,
		cpuPercent: 100 * cpuSeconds / IDLE_SECONDS,
	}
}

async function idle(bench) {
	const limit = openFilesLimit() - 2 * IDLE_USERS_BEFORE - 100
	const sessions = Math.min(bench.plan.idleSessions, limit - limit % 2)
	if (sessions < bench.plan.idleSessions)
		bench.say(`${sessions} idle sessions, not ${bench.plan.idleSessions}: limit of open files`)
	await each(bench, 'idle', ['events', 'native', 'node', 'nats', 'nchan'],
		(server) => measureIdle(bench, server, sessions))
	if (bench.plan.thorough) {
		await each(bench, 'idle tls', ['events', 'native'], (server) =>
			measureIdle(bench, underTls(bench.stack, bench.work, server), sessions))
	}
}

/* F: one device writes into a feed that many others read. */
const fanout = (bench) => each(bench, 'fanout', ['events', 'native', 'nats', 'nchan'], (server) =>
	bench.driver.drive(server, 'closed', 1, {
		seconds: bench.plan.fanoutSeconds, devices: bench.plan.fanoutSessions + 1, small: 1,
		outstanding: bench.plan.fanoutOutstanding,
	}))

/* fill stores records of a user by plain SQL, in portions of one transaction. */
async function fill(bench, user, count) {
	const portion = 20000
	for (let from = 0; from < count; from += portion) {
		await bench.stack.psql(`INSERT INTO mirusync.document (feed, collection, id, data)
			SELECT '${user}', 'logbook_entry', 'r-' || n, jsonb_set('${bench.entry}', '{id}', to_jsonb('r-' || n))
			FROM generate_series(${from + 1}, ${Math.min(from + portion, count)}) n`)
	}
}

/* copyRate is how fast COPY gives the same rows, in rows a second. */
async function copyRate(bench, user, count) {
	const begin = performance.now()
	await run('sh', ['-c', 'exec "$0" "$@" > /dev/null', join(bench.stack.bindir, 'psql'), '-XAtqc',
		`COPY (SELECT collection, id, data FROM mirusync.document WHERE feed = '${user}') TO STDOUT`],
	{ env: { ...process.env, ...bench.stack.pgEnv } })
	const seconds = (performance.now() - begin) / 1000
	return { seconds, rate: count / seconds }
}

/* I: a new device of a user who has many records already. */
async function first(bench) {
	for (const count of bench.plan.firstRecords) {
		const user = `first-${count}`
		if (bench.isFirstRound) {
			await fill(bench, user, count)
			await bench.stack.psql('VACUUM ANALYZE')
		}
		await bench.checkpoint()
		bench.note(`first ${count}`, 'copy', await copyRate(bench, user, count))
		await each(bench, `first ${count}`, ['events', 'native'], async (server) => {
			const before = serverRssKb(server)
			const result = await bench.driver.drive(server, 'sync', [user],
				{ devices: 1, writers: 0, width: 1, expect: count })
			const seconds = result.sync_ms.p50 / 1000
			return { seconds, rate: count / seconds, rssKb: serverRssKb(server) - before }
		})
		bench.note(`first ${count}`, 'copy', await copyRate(bench, user, count))
	}
}

/* fillChanges makes users with records that were changed since a device was there. */
async function fillChanges(bench, prefix, count, touched) {
	const CHANGES = 1000
	const write = (statement) => bench.stack.psql(`DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT '${prefix}-' || n FROM generate_series(0, ${count - 1}) n LOOP
		${statement}; COMMIT; END LOOP; END $$`)

	bench.say(`reconnect: ${count} users with ${touched} records`)
	await write(`INSERT INTO mirusync.document (feed, collection, id, data)
		SELECT name, 'logbook_entry', 'r-' || n, jsonb_set('${bench.entry}', '{id}', to_jsonb('r-' || n))
		FROM generate_series(1, ${touched}) n`)
	for (let pass = 0; pass < CHANGES / touched; pass++) {
		await write(`UPDATE mirusync.document SET data = jsonb_set(data, '{mood}', to_jsonb('m${pass}'::text))
			WHERE feed = name AND collection = 'logbook_entry'`)
	}
	await bench.stack.psql('VACUUM ANALYZE')
}

/* C: devices that come back after changes to some records of theirs. */
async function reconnect(bench) {
	for (const touched of [100, 1000]) {
		const prefix = `back-${touched}`
		const users = Array.from({ length: bench.plan.reconnectUsers }, (_, i) => `${prefix}-${i}`)
		if (bench.isFirstRound)
			await fillChanges(bench, prefix, users.length, touched)
		const sync = (server, options, list = users) => bench.driver.drive(server, 'sync', list,
			{ devices: 1, writers: 0, after: touched, expect: touched, ...options })
		await each(bench, `reconnect ${touched}`, ['events', 'native'], (server) =>
			sync(server, { width: 1 }, users.slice(0, 100)))
		await each(bench, `reconnect ${touched} at once`, ['events', 'native'], (server) =>
			sync(server, { width: users.length }))
	}
}

export const WORKLOADS = { idle, latency, sql, closed, updates, many, batches, hot, fanout, first, reconnect }
