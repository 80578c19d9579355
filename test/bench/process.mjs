/*
 * process.mjs
 *     Children of the benchmark, and what /proc says of CPU time and memory.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const TICKS_PER_SECOND = 100	/* USER_HZ, the same on every Linux machine */
const children = new Set()

/*
 * start runs a program and returns {child, exited}: onLine gets each line of
 * its output, exited resolves to {code, signal, errors}.
 */
export function start(command, args, { onLine = () => {}, ...options } = {}) {
	const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
	let errors = ''
	children.add(child)
	createInterface({ input: child.stdout }).on('line', onLine)
	child.stderr.on('data', (data) => { errors = (errors + data).slice(-4000) })
	const exited = new Promise((resolve, reject) => {
		child.on('error', reject)
		child.on('close', (code, signal) => {
			children.delete(child)
			resolve({ code, signal, errors })
		})
	})
	exited.catch(() => {})
	return { child, exited }
}

/* run waits for a program and returns its lines; throws if it failed. */
export async function run(command, args, { input = '', onLine, ...options } = {}) {
	const lines = []
	const { child, exited } = start(command, args, {
		...options,
		onLine: (line) => {
			lines.push(line)
			onLine?.(line)
		},
	})
	child.stdin.on('error', () => {})
	child.stdin.end(input)
	const { code, signal, errors } = await exited
	if (code !== 0)
		throw new Error(`${command} ended with ${signal ?? code}: ${errors || lines.slice(-5).join('\n')}`)
	return lines
}

/* endChildren ends what is still running, each by its own process id. */
export function endChildren() {
	for (const child of children)
		child.kill('SIGTERM')
}

/* statOf returns the fields of /proc/PID/stat from the third on, or null. */
function statOf(pid) {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
		return text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
	} catch {
		return null		/* it has just ended */
	}
}

const childrenOf = (pid) =>
	readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)

/* cpuOf returns the CPU seconds of one process. */
export function cpuOf(pid) {
	const stat = statOf(pid)
	return stat ? (stat[11] + stat[12]) / TICKS_PER_SECOND : 0
}

const endedChildren = (pid) => {
	const [user, system] = statOf(pid).slice(13, 15)
	return (user + system) / TICKS_PER_SECOND
}

/*
 * cpuOfPostgres adds up the postmaster, its children, and those that ended.
 * One that ends just while we look would be missed: then we look again.
 */
export function cpuOfPostgres(postmaster) {
	for (;;) {
		const ended = endedChildren(postmaster)
		const sum = [postmaster, ...childrenOf(postmaster)].reduce((s, pid) => s + cpuOf(pid), ended)
		if (endedChildren(postmaster) === ended)
			return sum
	}
}

/* rssKbOf returns the resident memory of a process in KB. */
export const rssKbOf = (pid) =>
	Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])

/* openFilesLimit is how many files we, and so our children, may open. */
export const openFilesLimit = () =>
	Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity)
