/*
 * pgbench.mjs
 *     Runs pgbench; what Postgres does without us: plain INSERTs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep } from '../../tools/stack.mjs'
import { cpuOfPostgres, run, start } from './process.mjs'

const LOG = 'transaction'

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
 * pgbench runs a script of one durable transaction of some rows and returns the
 * rate of these, the rate per CPU second of Postgres, and the latency in ms.
 */
export async function pgbench(stack, work, { database, script, clients, seconds, rate, rows = 1, settings = '' }) {
	const before = cpuOfPostgres(stack.postgres.pid)
	const args = ['-n', '-M', 'prepared', '-c', clients, '-j', Math.min(clients, 2),
		'-T', seconds, '-f', join(work, script), '-l', '--log-prefix', LOG,
		...rate ? ['--rate', rate] : [], database]
	const lines = await run(join(stack.bindir, 'pgbench'), args.map(String),
		{ cwd: work, env: { ...process.env, ...stack.pgEnv, PGOPTIONS: settings } })
	await sleep(200)	/* its backends are still ending */
	const cpu = cpuOfPostgres(stack.postgres.pid) - before
	const tps = Number(/^tps = ([\d.]+)/m.exec(lines.join('\n'))[1])
	return { clients, rate: tps * rows, perCpuSecond: tps * rows * seconds / cpu, ms: takeLatency(work) }
}

/* preparePlain makes a table of its own for "plain INSERT of the same row". */
export async function preparePlain(stack, work, entry) {
	await stack.psql('CREATE DATABASE plain', { database: 'postgres' })
	await stack.psql(`CREATE TABLE entry (
		seq bigserial PRIMARY KEY, user_id text NOT NULL, body jsonb NOT NULL)`,
	{ database: 'plain' })
	writeFileSync(join(work, 'insert.sql'), `\\set user random(1, 200)
INSERT INTO entry (user_id, body) VALUES ('bench-' || :user, '${entry}');\n`)
	for (const table of ['unheard', 'heard']) {
		await stack.psql(`CREATE TABLE ${table} (user_id text PRIMARY KEY, body jsonb NOT NULL);
			INSERT INTO ${table} SELECT 'bench-' || n, '${entry}' FROM generate_series(1, 10) n`,
		{ database: 'plain' })
		writeFileSync(join(work, `${table}.sql`), `\\set user random(1, 10)
UPDATE ${table} SET body = jsonb_set(body, '{notes}', to_jsonb('written by SQL ' || random()))
	WHERE user_id = 'bench-' || :user;\n`)
	}
	await stack.psql(`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM pg_notify('heard', NEW.user_id); RETURN NULL; END $$;
		CREATE TRIGGER tell AFTER UPDATE ON heard FOR EACH ROW EXECUTE FUNCTION tell()`,
	{ database: 'plain' })
}

export const plainInsert = (stack, work, clients, seconds) =>
	pgbench(stack, work, { database: 'plain', script: 'insert.sql', clients, seconds })

/*
 * pacedInsert is one client at the pace of the latency measures: between its
 * commits processor and disk fall asleep, as they do for everybody there.
 */
export const pacedInsert = (stack, work, rate, seconds) => pgbench(stack, work,
	{ database: 'plain', script: 'insert.sql', clients: 1, seconds, rate })

/* pacedUpdate is what S writes, while somebody listens for what "heard" tells. */
export async function pacedUpdate(stack, work, table, rate, seconds) {
	const { child, exited } = start(join(stack.bindir, 'psql'), ['-Xq', 'plain'],
		{ env: { ...process.env, ...stack.pgEnv } })
	child.stdin.write('LISTEN heard;\n')
	await sleep(500)
	const result = await pgbench(stack, work,
		{ database: 'plain', script: `${table}.sql`, clients: 1, seconds, rate })
	child.stdin.end()
	await exited
	return result
}
