/*
 * servers.mjs
 *     The servers that are measured, each with what the workloads need of it:
 *     name, pids, port, words, and of those with a database the SQL of a plain
 *     UPDATE.
 *
 * nats-server and nginx with nchan store nothing: they are there for what they
 * can do too, idle sessions and fan-out.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, waitUntil } from '../../tools/stack.mjs'
import { run, start } from './process.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const NCHAN_MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so'

/* mirusync is a relay of the stack, in the words of one of its protocols. */
export function mirusync(stack, words, relay = stack.relay) {
	return {
		name: words === 'native' ? 'mirusync.v1' : 'events',
		words,
		pids: () => [relay.pid],
		port: relay.port,
		database: stack.database,
		setup: `SELECT mirusync.put($1, 'logbook_entry', 'bench', $entry$)`,
		update: `UPDATE mirusync.document
			SET data = jsonb_set(data, '{notes}', to_jsonb($2::text))
			WHERE feed = $1 AND collection = 'logbook_entry' AND id = 'bench'`,
		fresh: async (settings) => {
			const another = await stack.addRelay(settings)
			return { ...mirusync(stack, words, another), stop: () => another.stop() }
		},
		stop: async () => {},
	}
}

/* underTls is mirusync behind TLS of its own; its "fresh" gives the server to be measured. */
export function underTls(stack, work, server) {
	const [certificate, key] = [join(work, 'tls.crt'), join(work, 'tls.key')]
	if (!existsSync(key)) {
		execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
			'-nodes', '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost'], { stdio: 'pipe' })
		/* The relay may run as somebody else. */
		chmodSync(work, 0o711)
		chmodSync(key, 0o644)
	}
	return {
		...server,
		fresh: async () => ({
			...await server.fresh({ tls_certificate_file: certificate, tls_key_file: key,
				metrics_port: await freePort() }),
			options: ['tls=1'],
		}),
	}
}

/* child starts a program that is ready when its port takes connections. */
async function child(name, words, command, args, port, options = {}) {
	const { child: process, exited } = start(command, args, options)
	const failed = exited.then(({ code, errors }) => {
		throw new Error(`${name} ended with ${code}: ${errors}`)
	})
	failed.catch(() => {})
	await Promise.race([failed, waitUntil(() => isOpen(port), { what: `${name} to listen` })])
	return {
		name,
		words,
		port,
		pids: () => [process.pid, ...childrenOf(process.pid)],
		stop: async () => {
			process.kill('SIGTERM')
			await exited
		},
	}
}

const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
	.split(' ').filter(Boolean).map(Number)

/* isOpen says if somebody listens on a port of the loopback address. */
function isOpen(port) {
	const listening = '0A'
	const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
	return readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
		.some(([, local, , state]) => local === address && state === listening)
}

/* startBaseline starts the Node server on a database of its own. */
export async function startBaseline(stack) {
	const port = await freePort()
	const env = { ...process.env, ...stack.pgEnv, PGDATABASE: 'baseline' }
	await stack.psql('CREATE DATABASE baseline', { database: 'postgres' })
	await run(join(stack.bindir, 'psql'),
		['-Xq', '-v', 'ON_ERROR_STOP=1', '-f', join(HERE, 'baseline/schema.sql')], { env })
	return {
		...await child('Node', 'events', process.execPath, [join(HERE, 'baseline/server.mjs')], port,
			{ env: { ...env, PORT: String(port), JWT_SECRET: stack.secret } }),
		database: 'baseline',
		setup: `INSERT INTO entry VALUES ($1, 'bench', $entry$)`,
		update: `UPDATE entry SET body = jsonb_set(body, '{notes}', to_jsonb($2::text))
			WHERE user_id = $1 AND id = 'bench'`,
	}
}

/* pathOf finds a program as a shell does, also where only root looks. */
function pathOf(program) {
	const found = [...process.env.PATH.split(':'), '/usr/sbin']
		.map((directory) => join(directory, program)).find(existsSync)
	return found
}

/* startNats gives nats-server, or undefined where it is not installed. */
export async function startNats(work) {
	const program = pathOf('nats-server')
	if (!program)
		return undefined
	const [port, plain] = [await freePort(), await freePort()]
	const config = join(work, 'nats.conf')
	writeFileSync(config, `listen: "127.0.0.1:${plain}"
max_connections: 65536
websocket { listen: "127.0.0.1:${port}", no_tls: true, compression: false }
`)
	return child('NATS', 'nats', program, ['-c', config], port)
}

/* startNchan gives nginx with nchan and one process, or undefined. */
export async function startNchan(work) {
	const program = pathOf('nginx')
	if (!program || !existsSync(NCHAN_MODULE))
		return undefined
	const port = await freePort()
	const config = join(work, 'nchan.conf')
	const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
		.map((name) => `${name}_temp_path ${work}/nchan-${name};`).join('\n')
	writeFileSync(config, `load_module ${NCHAN_MODULE};
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
worker_rlimit_nofile 65536;
pid ${work}/nchan.pid;
error_log ${work}/nchan.log error;
events { worker_connections 32768; }
http {
	access_log off;
	${temporary}
	nchan_max_reserved_memory 256M;
	server {
		listen 127.0.0.1:${port};
		location ~ ^/pub/(.+)$ {
			nchan_publisher websocket;
			nchan_channel_id $1;
			nchan_message_buffer_length 1000;
		}
		location ~ ^/sub/(.+)$ {
			nchan_subscriber websocket;
			nchan_channel_id $1;
			nchan_subscriber_first_message newest;
		}
	}
}
`)
	return child('nchan', 'nchan', program, ['-e', join(work, 'nchan.log'), '-c', config], port)
}

/* versions names what was measured, for the record. */
export function versions(stack) {
	const ask = (command, args) => {
		try {
			return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
				.trim().split('\n')[0]
		} catch {
			return undefined
		}
	}
	const [nats, nginx] = [pathOf('nats-server'), pathOf('nginx')]
	return {
		postgres: ask(join(stack.bindir, 'postgres'), ['--version']),
		node: process.version,
		nats: nats && ask(nats, ['--version']),
		nginx: nginx && ask('dpkg-query', ['-W', '-f=nginx ${Version}', 'nginx']),
		nchan: nginx && ask('dpkg-query', ['-W', '-f=nchan ${Version}', 'libnginx-mod-nchan']),
		libwebsockets: ask('dpkg-query', ['-W', '-f=libwebsockets ${Version}', 'libwebsockets17']),
	}
}
