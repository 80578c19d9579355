/*
 * report.mjs
 *     From the results of all rounds to one table, for the terminal and for
 *     docs/performance.md.
 *
 * Every figure is the median of its rounds, with half the distance between the
 * extremes as noise.  Ratios are those of medians.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BULK_ROWS, CAPTURES } from './capture.mjs'
import { median } from './pgbench.mjs'

const PAGE = join(dirname(fileURLToPath(import.meta.url)), '../../docs/performance.md')
const SERVERS = ['events', 'native', 'node', 'nats', 'nchan']
const OURS = ['events', 'native']
const HEAD = ['', 'workload', 'events', 'mirusync.v1', 'Node', 'beside it', '', 'ratio', 'target', '']

/* what stands beside a figure of ours: of each protocol its own, or one for both. */
const besideOf = (row, who) => row.besides?.[who] ?? row.beside
const divide = (a, b) => a === undefined || b === undefined ? undefined : a / b
const decimals = (value) => value === undefined ? ''
	: value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0).replace(/\B(?=(\d{3})+$)/g, ',')
const whole = (value) => value === undefined ? '' : Math.round(value).toLocaleString('en-US')

/* of takes the median over rounds of what pick finds in a workload's results. */
function of(results, workload, who, pick) {
	const values = (results[workload]?.[who] ?? []).map(pick).filter((value) => value !== undefined)
	return values.length ? median(values) : undefined
}

function noiseOf(results, workload, who, pick) {
	const values = (results[workload]?.[who] ?? []).map(pick).filter((value) => value !== undefined)
	return values.length > 1 ? (Math.max(...values) - Math.min(...values)) / 2 / median(values) : undefined
}

/* plainOf: what Postgres does without us. */
function plainOf(results) {
	const inserts = Object.keys(results.plain).filter((name) => name.startsWith('insert ')).map((name) => ({
		clients: results.plain[name][0].clients,
		rate: of(results, 'plain', name, (r) => r.rate),
		perCpuSecond: of(results, 'plain', name, (r) => r.perCpuSecond),
	}))
	return {
		commit: of(results, 'plain', 'insert 1', (r) => r.ms.p50),
		paced: of(results, 'plain', 'paced', (r) => r.ms.p50),
		pacedP99: of(results, 'plain', 'paced', (r) => r.ms.p99),
		best: inserts.reduce((a, b) => b.rate > a.rate ? b : a),
		perCpuSecond: Math.max(...inserts.map((insert) => insert.perCpuSecond)),
	}
}

const best = (row) => Math.max(...OURS.map((who) => row[who] ?? 0)) || undefined
const cpu = (part) => (r) => r.cpu[part] * 1e6 / (r.acks_per_second * r.seconds)
const lost = (results) => Object.values(results).flatMap((byWho) => OURS.flatMap((who) => byWho[who] ?? []))
	.reduce((sum, r) => sum + (r.lost ?? 0), 0)

/*
 * rowsOf makes the rows: letter, what, the figures of each server, what stands
 * beside it ("beside", with its name "is"), and the target: "atLeast" or
 * "atMost", as a ratio to what stands beside it, or "limit", a figure.
 */
function rowsOf(results) {
	const plain = plainOf(results)
	const rows = []
	const row = (letter, what, workload, pick, more = {}) => {
		if (!SERVERS.some((who) => results[workload]?.[who]) && !more.figures)
			return undefined
		const figures = more.figures ?? Object.fromEntries(SERVERS.map((who) =>
			[who, of(results, workload, who, pick)]))
		const noise = more.figures ? undefined : OURS.map((who) => noiseOf(results, workload, who, pick))
		rows.push({ letter, what, ...figures, ...more, noise })
		return figures
	}
	row('L', 'device to device, p50 ms', 'latency', (r) => r.delivery_ms?.p50,
		{ beside: 3 * plain.paced, is: '3 commits at that pace', atMost: 1 })
	row('', '  the same', 'latency', (r) => r.delivery_ms?.p50,
		{ beside: plain.commit, is: 'commit, back to back' })
	row('L', 'device to device, p99 ms', 'latency', (r) => r.delivery_ms?.p99,
		{ beside: plain.pacedP99, is: 'commit at that pace, p99', limit: 10 })
	const t = row('T', 'acknowledged changes/s', 'closed', (r) => r.acks_per_second,
		{ beside: plain.best.rate, is: `INSERT, ${plain.best.clients} clients`, atLeast: 1 })
	row('T', '  per CPU second', 'closed', (r) => r.perCpuSecond,
		{ beside: plain.perCpuSecond, is: 'INSERT', floor: 8000 })
	row('', '  CPU of the server, µs each', 'closed', cpu('server'))
	row('', '  CPU of Postgres, µs each', 'closed', cpu('postgres'),
		{ beside: 1e6 / plain.perCpuSecond, is: 'INSERT' })
	row('T', '  delivery, p99 ms', 'closed', (r) => r.delivery_ms?.p99, { limit: 150 })
	const alone = of(results, 'alone', 'events', (r) => r.acks_per_second)
	if (alone) {
		row('', '  with a stub for Postgres: the sockets alone, changes/s', 'alone', (r) => r.acks_per_second,
			{ beside: t && best(t), is: 'T' })
		row('', '    CPU of the relay, µs each', 'alone', cpu('server'))
	}
	floorRows(row, results)
	row('', 'changes of records already there/s', 'updates', (r) => r.acks_per_second,
		{ beside: plain.best.rate, is: `INSERT, ${plain.best.clients} clients` })
	row('T2', '2,000 users, changes/s', 'many', (r) => r.acks_per_second,
		{ beside: t && best(t), is: 'T', atLeast: 1 })
	row('T2', '50 users, batches of 100, changes/s', 'batches', (r) => r.acks_per_second,
		{ beside: t && best(t), is: 'T', atLeast: 4 })
	row('S', 'SQL UPDATE to device, p50 ms', 'sql', (r) => r.delivery_ms?.p50,
		{ beside: of(results, 'latency', 'events', (r) => r.delivery_ms?.p50), is: 'L, events', atMost: 1.2 })
	row('S', '  CPU, ms each', 'sql', (r) => (r.cpu.server + r.cpu.postgres) * 1e3 / r.acked, { limit: 0.5 })
	if (results.sql?.heard) {
		const ofPostgres = (r) => r.cpu?.postgres * 1e3 / r.acked
		row('', '    of Postgres', 'sql', ofPostgres, { beside: msOf(results, 'unheard'), is: 'UPDATE at that pace' })
		row('', '    the same', 'sql', ofPostgres, { beside: msOf(results, 'heard'), is: 'and NOTIFY to a listener' })
	}
	row('', '  back to back, p50 ms', 'hotsql', (r) => r.delivery_ms?.p50,
		{ beside: plain.commit, is: 'commit' })
	idleRows(row, results)
	row('H', 'hot feed of 10 devices, changes/s', 'hot', (r) => r.acks_per_second, { floor: 3000 })
	row('F', `fan-out, deliveries/s`, 'fanout', (r) => r.deliveries_per_second, {
		beside: of(results, 'fanout', 'nats', (r) => r.deliveries_per_second), is: 'nats-server', atLeast: 2 })
	const nchan = of(results, 'fanout', 'nchan', (r) => r.deliveries_per_second)
	if (nchan)
		row('', '  the same', 'fanout', (r) => r.deliveries_per_second, { beside: nchan, is: 'nchan' })
	catchUpRows(row, results)
	storedRows(row, results)
	captureRows(row, results)
	rows.push({ letter: '', what: 'not delivered', events: lost(results), limit: 0 })
	return rows
}

/* msOf: CPU of a paced UPDATE. */
const msOf = (results, table) => of(results, 'sql', table, (r) => 1e3 / r.perCpuSecond)

/* floorRows: T beside the same rows by plain SQL, the best of its clients. */
function floorRows(row, results) {
	const floors = Object.keys(results.floor ?? {})
	const bestOf = (pick) => Math.max(...floors.map((clients) => of(results, 'floor', clients, pick)))
	if (!floors.length)
		return
	for (const [workload, what] of [['closed', 'T'], ['batches', 'T2, batches']]) {
		row('', `  ${what}: CPU of Postgres, µs each`, workload, cpu('postgres'),
			{ beside: 1e6 / bestOf((r) => r.perCpuSecond), is: 'the same rows by SQL' })
	}
	row('', '  T: changes/s', 'closed', (r) => r.acks_per_second,
		{ beside: bestOf((r) => r.rate), is: 'the same rows by SQL' })
}

function idleRows(row, results) {
	row('M', 'KB per idle session', 'idle', (r) => r.kbPerSession, {
		beside: of(results, 'idle', 'nats', (r) => r.kbPerSession), is: 'nats-server', limit: 3 })
	const nchan = of(results, 'idle', 'nchan', (r) => r.kbPerSession)
	if (nchan)
		row('', '  the same', 'idle', (r) => r.kbPerSession, { beside: nchan, is: 'nchan' })
	row('M', '  MB without any', 'idle', (r) => r.mbBefore, { limit: 12 })
	row('M', '  CPU, %', 'idle', (r) => r.cpuPercent, { limit: 0.5 })
	row('M', '  seconds to connect all', 'idle', (r) => r.seconds, { limit: 3 })
	row('', '    CPU of the server for that, s', 'idle', (r) => r.connectCpuSeconds)
	row('M', 'KB per idle session under TLS', 'idle tls', (r) => r.kbPerSession, { limit: 18 })
	row('M', '  MB without any', 'idle tls', (r) => r.mbBefore)
	row('M', '  seconds to connect all', 'idle tls', (r) => r.seconds, { limit: 3 })
	row('', '    CPU of the server for that, s', 'idle tls', (r) => r.connectCpuSeconds)
}

function catchUpRows(row, results) {
	for (const workload of Object.keys(results).filter((name) => name.startsWith('first '))) {
		const count = Number(workload.split(' ')[1])
		row('I', `first sync of ${whole(count)} records, rows/s`, workload, (r) => r.rate,
			{ beside: of(results, workload, 'copy', (r) => r.rate), is: 'COPY', atLeast: 0.5 })
		row('', '  growth of the relay, KB', workload, (r) => r.rssKb)
	}
	for (const [touched, limit] of [[100, 10], [1000, 20]]) {
		row('C', `reconnecting, ${whole(touched)} records changed, p50 ms`, `reconnect ${touched}`,
			(r) => r.sync_ms.p50, { limit })
		row('C', '  all at once, seconds', `reconnect ${touched} at once`, (r) => r.sync_ms.max / 1000, { limit: 3 })
	}
}

function storedRows(row, results) {
	const beforeOf = (pick) => Object.fromEntries(OURS.map((who) => [who, of(results, 'stored before', who, pick)]))
	const compare = (what, pick, more) => {
		const besides = beforeOf(pick)
		row(more.atLeast ? 'G' : '', what, 'stored', pick,
			{ besides, beside: besides.events ?? besides.native, is: 'empty, each', ...more })
	}
	compare('T with much stored, changes/s', (r) => r.acks_per_second, { atLeast: 0.8 })
	compare('  CPU of Postgres, µs each', cpu('postgres'), {})
}

/* captureRows: the attached table stands in the column of events. */
function captureRows(row, results) {
	const names = CAPTURES.map(({ name }) => name)
	for (const workload of Object.keys(results).filter((name) => /^capture \d/.test(name))) {
		const rate = Object.fromEntries(names.map((name) => [name, of(results, workload, name, (r) => r.rate)]))
		const perCpu = Object.fromEntries(names.map((name) => [name, of(results, workload, name, (r) => r.perCpuSecond)]))
		const clients = workload.split(' ')[1]
		const plain = (figures) => ({ beside: figures.unattached, is: 'not attached' })
		row('A', `UPDATE of an attached row/s, ${clients} clients`, workload, undefined,
			{ figures: { events: rate.attached }, ...plain(rate), atLeast: 0.7 })
		row('', '  per CPU second', workload, undefined, { figures: { events: perCpu.attached }, ...plain(perCpu) })
		row('', '  without the worker', workload, undefined, { figures: { events: rate.notifying }, ...plain(rate) })
		row('', '  doorbell off', workload, undefined, { figures: { events: rate.silent }, ...plain(rate) })
		if (!rate['by hand'])
			continue
		row('', '  CPU of Postgres, µs each', workload, undefined, { figures: { events: 1e6 / perCpu.attached },
			beside: 1e6 / perCpu['by hand'], is: 'the same rows by SQL' })
		row('', '  the same by rate', workload, undefined, { figures: { events: rate.attached },
			beside: rate['by hand'], is: 'the same rows by SQL' })
	}
	const bulk = Object.fromEntries(names.map((name) => [name, of(results, 'capture bulk', name, (r) => r.ms)]))
	if (bulk.attached)
		row('A', `UPDATE of ${whole(BULK_ROWS)} attached rows, ms`, 'capture bulk', undefined, {
			figures: { events: bulk.attached }, beside: bulk.unattached, is: 'not attached', atMost: 4 })
}

const ratiosOf = (row) => OURS.map((who) => divide(row[who], besideOf(row, who))).filter((value) => value !== undefined)

/* verdict says whether the target holds, for the better of our two figures. */
function verdict(row) {
	const ours = OURS.map((who) => row[who]).filter((value) => value !== undefined)
	const ratios = ratiosOf(row)
	const isCompared = row.atLeast !== undefined || row.atMost !== undefined
	const say = (holds) => isCompared && !ratios.length ? '' : holds ? '✓' : '✗'
	if (row.atLeast !== undefined)
		return [`≥ ${row.atLeast} ×`, say(Math.max(...ratios) >= row.atLeast)]
	if (row.atMost !== undefined)
		return [`≤ ${row.atMost} ×`, say(Math.min(...ratios) <= row.atMost)]
	if (row.floor !== undefined)
		return [`≥ ${whole(row.floor)}`, say(Math.max(...ours) >= row.floor)]
	if (row.limit !== undefined)
		return [`≤ ${row.limit}`, say(Math.min(...ours) <= row.limit)]
	return ['', '']
}

function cells(row) {
	const show = (value) => value >= 1000 ? whole(value) : decimals(value)
	const noisy = (who, i) => row[who] === undefined ? ''
		: `${show(row[who])}${!Number.isFinite(row.noise?.[i]) ? '' : ` ±${Math.round(100 * row.noise[i])} %`}`
	const ratio = ratiosOf(row)
	return [row.letter, row.what, ...OURS.map(noisy), row.node === undefined ? '' : show(row.node),
		row.beside === undefined ? '' : show(row.beside), row.beside === undefined ? '' : row.is,
		ratio.map((value) => `${decimals(value)} ×`).join(', '), ...verdict(row)]
}

/* summarize gives the rows, which are kept with the results. */
export const summarize = (results) => ({
	rows: rowsOf(results),
	plain: plainOf(results),
	cost: results.cost,
	scans: results['stored scans'],
	size: results['stored size'],
	plans: results.plans,
	trim: results['stored trim'],
})

const machineOf = ({ machine, versions, time, seconds, rounds }) =>
	`${time.slice(0, 16).replace('T', ' ')} UTC, ${Math.round(seconds / 60)} minutes, ${rounds} round${rounds > 1 ? 's' : ''}; ${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB;`
	+ ` load before ${machine.loadBefore.toFixed(1)}; ${Object.values(versions).filter(Boolean).join(', ')}`

/* renderTable renders a result for a person. */
export function renderTable(result) {
	const rows = [HEAD, ...result.summary.rows.map(cells)]
	const widths = HEAD.map((_, i) => Math.max(...rows.map((row) => row[i].length)))
	const isText = (i) => i <= 1 || i === 6 || i >= 8
	const line = (row) => row.map((cell, i) => isText(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))
		.join('  ').trimEnd()
	return [
		'',
		`mirusync bench (${result.plan}): ${machineOf(result)}`,
		`one durable commit = ${decimals(result.summary.plain.commit)} ms back to back,`
			+ ` ${decimals(result.summary.plain.paced)} ms at 20 a second`,
		'',
		line(HEAD),
		'-'.repeat(line(HEAD).length + 8),
		...rows.slice(1).map(line),
		'',
		'reported, never asserted',
	].join('\n')
}

function markdown(head, rows, isText = () => false) {
	return [head, head.map((_, i) => isText(i) ? '---' : '--:'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function costTable(cost) {
	const figures = (who) => cost[who]?.[0]
	const rows = [
		['CPU of the relay, µs', 'relayUs'], ['CPU of Postgres, µs', 'postgresUs'],
		['statements of the relay (round trips)', 'statements'], ['transactions', 'transactions'],
		['flushes of the log to disk', 'walSyncs'], ['records of the log', 'walRecords'],
		['bytes of the log', 'walBytes'], ['bytes to devices, of each message', 'bytesDelivered'],
	].map(([what, key]) => [what, ...OURS.map((who) => decimals(figures(who)?.[key]))])
	const top = OURS.flatMap((who) => (figures(who)?.top ?? []).map((row) =>
		[who === 'native' ? 'mirusync.v1' : who, `\`${row.query.slice(0, 60)}\``, decimals(row.calls), decimals(row.us)]))
	return `${markdown(['each acknowledged change, with its delivery', 'events', 'mirusync.v1'], rows, (i) => i === 0)}

${markdown(['', 'statement', 'calls each', 'µs each'], top, (i) => i < 2)}`
}

const sentence = (query) => `\`${query.replace(/mirusync\.|pg_catalog\./g, '').replace(/OPERATOR\((\S)\)/g, '$1')
	.slice(0, 90).replaceAll('|', '\\|')}\``

/* planTables: the statements of the hot path with the indexes that they use. */
function planTables({ statements, indexes }) {
	const by = ({ text, scans }) => scans.join(', ') || (/^select/.test(text) ? 'a function of ours' : 'no scan')
	return `${markdown(['statement, as it was executed with so much stored', 'times', 'goes by', ''],
		statements.map((row) => [sentence(row.text), whole(row.count), by(row), row.isBad ? '✗' : '✓']), (i) => i !== 1)}

Rows that the extension finds itself, below the executor, show in the server's count of scans:

${markdown(['index', 'of', 'rows', 'scans'], indexes.map((row) =>
		[row.index, row.table, whole(Math.max(row.rows, 0)), whole(row.scans)]), (i) => i < 2)}`
}

function storedText({ size, scans, plans, trim }) {
	const [{ bytes, loadedBytes, records, seconds, vacuumSeconds }] = size.database
	const whoScans = Object.entries(scans ?? {}).map(([who, [tables]]) =>
		`${who}: ${Object.keys(tables).length ? JSON.stringify(tables) : 'none'}`).join('; ')
	return `Stored for G: ${whole(records)} records by plain SQL in ${whole(seconds)} s, and ${whole(vacuumSeconds)} s of VACUUM;
${whole(loadedBytes / records)} bytes each with state, history and indexes; the database has ${decimals(bytes / 2 ** 30)} GB.
${trim ? `The hourly trimming of ${whole(trim.database[0].feeds)} feeds with nothing to trim takes ${whole(trim.database[0].seconds)} s and
${whole(trim.database[0].cpu * 1e6 / trim.database[0].feeds)} µs of CPU a feed; it was kept out of the other figures.
` : ''}Scans of whole tables of a thousand rows or more in the measured run: ${whoScans}.

${plans ? planTables(plans.database[0]) : ''}`
}

/* writePage puts the tables into docs/performance.md, between the marks. */
export function writePage(result) {
	const { summary } = result
	const text = `${machineOf(result)}. One durable commit: ${decimals(summary.plain.commit)} ms back to back,
${decimals(summary.plain.paced)} ms at 20 a second.

${markdown(HEAD, summary.rows.map(cells), (i) => i <= 1 || i === 6 || i >= 8)}

${summary.cost ? costTable(summary.cost) : ''}

${summary.size ? storedText(summary) : ''}
`
	const page = readFileSync(PAGE, 'utf8')
	const marked = /(<!-- bench -->\n)[\s\S]*(<!-- end of bench -->)/
	if (!marked.test(page))
		throw new Error('docs/performance.md has lost its marks')
	writeFileSync(PAGE, page.replace(marked, (_, begin, end) => `${begin}\n${text}\n${end}`))
	return PAGE
}
