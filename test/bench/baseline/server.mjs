/*
 * server.mjs
 *     The baseline: a practice-log sync server as one writes it in an
 *     afternoon, with `ws` and a pool of `pg`.
 *
 * It exists to be measured beside mirusync, so it is written fairly: prepared
 * statements, one statement and one commit for a change (INSERT and NOTIFY
 * together), the event in the notification so that fan-out reads nothing, no
 * compression.  It leaves out what mirusync adds: merge, numbers without holes
 * (a bigserial has them, and hands them out before commit order is known),
 * history, replay, validation worth the name, limits of any kind.
 *
 * Configuration by environment: PORT (0 = any, printed), JWT_SECRET, and the
 * PG... variables of libpq.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { createHmac, timingSafeEqual, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import pg from 'pg'
import { WebSocketServer } from 'ws'

const POOL_SIZE = 10
const PAGE_ENTRIES = 250

const secret = process.env.JWT_SECRET
const pool = new pg.Pool({ max: POOL_SIZE })

/* Sessions by user id; a session is a socket with user, id and isLive. */
const sessionsByUser = new Map()

const stamp = () => new Date().toISOString()

function send(session, message) {
	session.send(JSON.stringify({ ...message, timestamp: stamp() }))
}

/* verify returns the claims of a valid HS256 token, else null. */
function verify(token) {
	const [head, body, signature] = token.split('.')
	if (!signature) return null
	const expected = createHmac('sha256', secret).update(`${head}.${body}`).digest()
	const given = Buffer.from(signature, 'base64url')
	if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null
	if (JSON.parse(Buffer.from(head, 'base64url')).alg !== 'HS256') return null
	const claims = JSON.parse(Buffer.from(body, 'base64url'))
	return claims.exp > Date.now() / 1000 ? claims : null
}

/* One statement, one commit; the notification carries the event itself. */
const INSERT = {
	name: 'insert',
	text: `WITH e AS (
			INSERT INTO event (user_id, type, body) VALUES ($1, $2, $3) RETURNING seq)
		SELECT seq, pg_notify('event', json_build_object(
			'user', $1::text, 'seq', seq, 'type', $2::text, 'entry', $3::json,
			'session', $4::text)::text)
		FROM e`,
}

async function onChange(session, message) {
	const { entry, type } = message
	if (typeof entry?.id !== 'string') {
		send(session, { type: 'ERROR', error: 'Invalid sync event format' })
		return
	}
	const { rows } = await pool.query({
		...INSERT,
		values: [session.user, type, JSON.stringify(entry), session.id],
	})
	send(session, {
		type: 'SYNC_RESPONSE',
		message: 'Mutation applied',
		lastSeq: Number(rows[0].seq),
	})
}

async function onSyncRequest(session, message) {
	const { rows } = await pool.query({
		name: 'catch_up',
		text: 'SELECT seq, body FROM event WHERE user_id = $1 AND seq > $2 ORDER BY seq',
		values: [session.user, message.lastSeq ?? 0],
	})
	for (let i = 0; i < rows.length; i += PAGE_ENTRIES) {
		const page = rows.slice(i, i + PAGE_ENTRIES)
		send(session, {
			type: 'BULK_SYNC',
			entries: page.map((row) => row.body),
			lastSeq: Number(page.at(-1).seq),
		})
	}
	session.isLive = true
	send(session, {
		type: 'SYNC_RESPONSE',
		message: rows.length ? 'Sync complete' : 'No new data to sync',
		lastSeq: Number(rows.at(-1)?.seq ?? message.lastSeq ?? 0),
	})
}

const handlers = {
	PING: async (session) => send(session, { type: 'PONG' }),
	SYNC_REQUEST: onSyncRequest,
	ENTRY_CREATED: onChange,
	ENTRY_UPDATED: onChange,
}

function onMessage(session, data) {
	let message
	try {
		message = JSON.parse(data)
	} catch {
		send(session, { type: 'ERROR', error: 'Invalid JSON format' })
		return
	}
	const handler = handlers[message.type]
	if (!handler) {
		send(session, { type: 'ERROR', error: 'Invalid sync event format' })
		return
	}
	handler(session, message).catch((error) => {
		console.error(error)
		send(session, { type: 'ERROR', error: 'Internal error' })
	})
}

function onSession(session, user) {
	session.id = randomUUID()
	session.user = user
	session.isLive = false
	if (!sessionsByUser.has(user)) sessionsByUser.set(user, new Set())
	sessionsByUser.get(user).add(session)
	session.on('message', (data) => onMessage(session, data))
	session.on('error', () => session.terminate())
	session.on('close', () => {
		const sessions = sessionsByUser.get(user)
		sessions.delete(session)
		if (sessions.size === 0) sessionsByUser.delete(user)
	})
	send(session, { type: 'WELCOME', message: 'Connected to Mirubato sync' })
}

function onNotification({ payload }) {
	const event = JSON.parse(payload)
	const sessions = sessionsByUser.get(event.user)
	if (!sessions) return
	const { type, seq, entry } = event
	const text = JSON.stringify({ type, seq, entry, timestamp: stamp() })
	for (const session of sessions) {
		if (session.isLive && session.id !== event.session) session.send(text)
	}
}

const http = createServer((request, response) => {
	const isHealth = request.url === '/health'
	response.writeHead(isHealth ? 200 : 404, { 'Content-Type': 'application/json' })
	response.end(JSON.stringify(isHealth
		? { service: 'baseline', status: 'healthy', timestamp: stamp(), environment: 'bench' }
		: { error: 'Not found' }))
})
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })

http.on('upgrade', (request, socket, head) => {
	const url = new URL(request.url, 'http://localhost')
	const user = url.searchParams.get('userId')
	const claims = verify(url.searchParams.get('token') ?? '')
	if (url.pathname !== '/sync/ws' || !claims || claims.sub !== user) {
		socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n')
		return
	}
	sockets.handleUpgrade(request, socket, head, (session) => onSession(session, user))
})

const listener = new pg.Client()
listener.on('notification', onNotification)
await listener.connect()
await listener.query('LISTEN event')
http.listen(Number(process.env.PORT ?? 0), '127.0.0.1', 4096, () => {
	console.log(`listening port=${http.address().port}`)
})
process.on('SIGTERM', () => process.exit(0))
