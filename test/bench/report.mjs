/*
 * report.mjs
 *     From the results of all rounds to one table.
 *
 * Every figure is the median of its rounds.  Ratios are those of medians.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { BULK_ROWS, CAPTURES, median } from './pgbench.mjs'

const ms = (value) => value === undefined ? '' : value.toFixed(value < 10 ? 2 : 1)
const count = (value) => value === undefined ? '' : Math.round(value).toLocaleString('en-US')
const factor = (value) => value === undefined ? '' : value.toFixed(value < 10 ? 2 : 1)
const divide = (a, b) => a === undefined || b === undefined ? undefined : a / b

/* of takes the median over rounds of what pick finds in a measure's results. */
function of(results, measure, pick) {
	const values = (results?.[measure] ?? []).map(pick).filter((value) => value !== undefined)
	return values.length ? median(values) : undefined
}

function summarizeServer(results) {
	return results && {
		delivery_p50_ms: of(results, 'latency', (r) => r.delivery_ms?.p50),
		delivery_p99_ms: of(results, 'latency', (r) => r.delivery_ms?.p99),
		ack_p50_ms: of(results, 'latency', (r) => r.ack_ms?.p50),
		acks_per_second: of(results, 'closed', (r) => r.acks_per_second),
		acks_per_cpu_second: of(results, 'closed', (r) => r.perCpuSecond),
		server_cpu_us_per_ack: of(results, 'closed',
			(r) => r.cpu.server * 1e6 / (r.acks_per_second * r.seconds)),
		postgres_cpu_us_per_ack: of(results, 'closed',
			(r) => r.cpu.postgres * 1e6 / (r.acks_per_second * r.seconds)),
		updates_per_second: of(results, 'updates', (r) => r.acks_per_second),
		updates_per_cpu_second: of(results, 'updates', (r) => r.perCpuSecond),
		driver_cpu_share: of(results, 'closed', (r) => r.driver_cpu_seconds / r.seconds),
		closed_delivery_p50_ms: of(results, 'closed', (r) => r.delivery_ms?.p50),
		closed_delivery_p99_ms: of(results, 'closed', (r) => r.delivery_ms?.p99),
		sql_delivery_p50_ms: of(results, 'sql', (r) => r.delivery_ms?.p50),
		sql_delivery_p99_ms: of(results, 'sql', (r) => r.delivery_ms?.p99),
		sql_statement_p50_ms: of(results, 'sql', (r) => r.ack_ms?.p50),
		hot_sql_delivery_p50_ms: of(results, 'hotsql', (r) => r.delivery_ms?.p50),
		kb_per_session: of(results, 'idle', (r) => r.kbPerSession),
		mb_at_start: of(results, 'idle', (r) => r.mbBefore),
		lost: Object.values(results).flat().reduce((sum, r) => sum + (r.lost ?? 0), 0),
	}
}

function summarizePlain(results) {
	const runs = Object.keys(results).filter((name) => name !== 'paced').map((name) => ({
		clients: results[name][0].clients,
		rate: of(results, name, (r) => r.rate),
		perCpuSecond: of(results, name, (r) => r.perCpuSecond),
	}))
	const best = runs.reduce((a, b) => b.rate > a.rate ? b : a)
	return {
		commit_ms: of(results, 'insert 1', (r) => r.ms.p50),
		commit_p99_ms: of(results, 'insert 1', (r) => r.ms.p99),
		paced_commit_ms: of(results, 'paced', (r) => r.ms.p50),
		paced_commit_p99_ms: of(results, 'paced', (r) => r.ms.p99),
		inserts_per_second: best.rate,
		best_clients: best.clients,
		inserts_per_cpu_second: Math.max(...runs.map((r) => r.perCpuSecond)),
	}
}

/* summarizeCapture gives rate and rate per CPU second by kind of table. */
function summarizeCapture(results) {
	if (!results)
		return undefined
	const kinds = (pick) => Object.fromEntries(CAPTURES.map(({ name }) => [name, pick(name)]))
	const clients = Object.keys(results).filter((name) => name.startsWith('attached '))
		.map((name) => name.split(' ')[1]).filter((name) => name !== 'bulk')
	return {
		rows: clients.map((n) => ({
			clients: Number(n),
			rate: kinds((name) => of(results, `${name} ${n}`, (r) => r.rate)),
			perCpuSecond: kinds((name) => of(results, `${name} ${n}`, (r) => r.perCpuSecond)),
		})),
		bulk_ms: kinds((name) => of(results, `${name} bulk`, (r) => r.ms)),
	}
}

/* summarize gives one figure per server and measure. */
export function summarize(results) {
	return {
		plain: summarizePlain(results.plain),
		mirusync: summarizeServer(results.mirusync),
		baseline: summarizeServer(results['Node server']),
		capture: summarizeCapture(results.capture),
	}
}

/* captureRows: an attached table against one that is not. */
function captureRows(capture) {
	const row = (what, show, figures, kind) => [what, show(figures[kind]), '',
		show(figures.unattached), `${factor(figures[kind] / figures.unattached)} ×`, '', '']
	const rows = (capture?.rows ?? []).flatMap(({ clients, rate, perCpuSecond }) => [
		row(`UPDATE of an attached row/s, ${clients} cl.`, count, rate, 'attached'),
		row('  per CPU second', count, perCpuSecond, 'attached'),
		row('  without the worker', count, rate, 'notifying'),
		row('  doorbell off', count, rate, 'silent'),
		row('  doorbell off, per CPU second', count, perCpuSecond, 'silent'),
	])
	if (capture)
		rows.push(row(`UPDATE of ${count(BULK_ROWS)} attached rows, ms`, ms, capture.bulk_ms,
			'attached'))
	return rows
}

/* rowsOf makes the rows: what, mirusync, Node server, plain, ratios, floor. */
function rowsOf({ plain, mirusync: m = {}, baseline: n = {}, capture }) {
	const commit = plain.commit_ms
	const versus = (name) => {
		const ratio = divide(m[name], n[name])
		return ratio === undefined ? '' : `${factor(ratio)} ×`
	}
	const versusPlain = (mine, theirs) => mine === undefined ? '' : `${factor(mine / theirs)} ×`
	const latency = (what, name, own, floor = '') => [
		[`${what}, ms`, ms(m[name]), ms(n[name]), ms(own), versusPlain(m[name], own),
			versus(name), ''],
		['  in durable commits', factor(divide(m[name], commit)), factor(divide(n[name], commit)),
			factor(divide(own, commit)), '', '', floor],
	]
	const rows = [
		['device to device, p50', 'delivery_p50_ms', plain.paced_commit_ms],
		['device to device, p99', 'delivery_p99_ms', plain.paced_commit_p99_ms],
	].flatMap((row) => latency(...row))
	rows.push(
		['acknowledged changes/s', count(m.acks_per_second), count(n.acks_per_second),
			count(plain.inserts_per_second), versusPlain(m.acks_per_second, plain.inserts_per_second),
			versus('acks_per_second'), '0.5 × plain'],
		['  per CPU second', count(m.acks_per_cpu_second), count(n.acks_per_cpu_second),
			count(plain.inserts_per_cpu_second),
			versusPlain(m.acks_per_cpu_second, plain.inserts_per_cpu_second),
			versus('acks_per_cpu_second'), ''],
		['  CPU of the server, µs each', count(m.server_cpu_us_per_ack),
			count(n.server_cpu_us_per_ack), '', '', versus('server_cpu_us_per_ack'), ''],
		['  CPU of Postgres, µs each', count(m.postgres_cpu_us_per_ack),
			count(n.postgres_cpu_us_per_ack), count(1e6 / plain.inserts_per_cpu_second),
			versusPlain(m.postgres_cpu_us_per_ack, 1e6 / plain.inserts_per_cpu_second),
			versus('postgres_cpu_us_per_ack'), ''],
		['  changes of records already there/s', count(m.updates_per_second),
			count(n.updates_per_second), '', versusPlain(m.updates_per_second,
				plain.inserts_per_second), versus('updates_per_second'), ''],
		['  per CPU second', count(m.updates_per_cpu_second), count(n.updates_per_cpu_second), '',
			versusPlain(m.updates_per_cpu_second, plain.inserts_per_cpu_second),
			versus('updates_per_cpu_second'), ''],
		['  delivery under that load, p50 ms', ms(m.closed_delivery_p50_ms),
			ms(n.closed_delivery_p50_ms), '', '', versus('closed_delivery_p50_ms'), ''],
		...latency('SQL UPDATE to device, p50', 'sql_delivery_p50_ms', plain.paced_commit_ms,
			'5 commits'),
		...latency('SQL UPDATE to device, p99', 'sql_delivery_p99_ms',
			plain.paced_commit_p99_ms),
		...latency('  back to back, p50', 'hot_sql_delivery_p50_ms', commit, '5 commits'),
		['KB per idle session', factor(m.kb_per_session), factor(n.kb_per_session), '', '',
			versus('kb_per_session'), 'under 5'],
		['not delivered', count(m.lost), count(n.lost), '', '', '', ''],
	)
	rows.push(...captureRows(capture))
	return rows
}

/* renderTable renders a result for a person. */
export function renderTable({ plan, machine, summary }) {
	const head = ['', 'mirusync', 'Node server', 'plain SQL', 'm / plain', 'm / Node', 'floor']
	const rows = [head, ...rowsOf(summary).filter((row) => row[1] || row[2])]
	const widths = head.map((_, i) => Math.max(...rows.map((row) => row[i].length)))
	const line = (row) => row.map((cell, i) => i === 0 || i === head.length - 1
		? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join('  ').trimEnd()
	return [
		'',
		`mirusync bench (${plan}), ${machine.cores} cores, load before ${machine.loadBefore.toFixed(1)};`
			+ ` one durable commit = ${ms(summary.plain.commit_ms)} ms (back to back)`,
		`plain SQL: pgbench, INSERT of the same row: latency of one client at the same pace,`
			+ ` rate of ${summary.plain.best_clients} clients`,
		'',
		line(head),
		'-'.repeat(line(head).length + 8),
		...rows.slice(1).map(line),
		'',
		'reported, never asserted',
	].join('\n')
}
