/*
 * harness.mjs
 *     What every end-to-end test stands on: a stack of its own (one per file),
 *     devices that speak the practice-log event protocol over real WebSockets,
 *     and queries by a database owner who knows nothing of either.
 *
 * The tests are written from the protocol's description, not from the relay's
 * code.  They wait for what must come, bounded by a timeout; they sleep only
 * to show that something does *not* come, through Device.quiet().
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import pg from 'pg';
import WebSocket from 'ws';
import { freePort, sleep, Stack, stopAll, stopOnSignals, waitUntil } from '../../tools/stack.mjs';
import { sign, userToken } from '../../tools/token.mjs';

export { freePort, sign, sleep, Stack, userToken, waitUntil, WebSocket };

const TIMEOUT = Number(process.env.MIRUSYNC_TEST_TIMEOUT || 10000);

/* How long a negative check listens. */
const QUIET = 250;

export const id = () => randomUUID();
export const iso = (ms = Date.now()) => new Date(ms).toISOString();

/* Users are never shared between tests, so their numbers start at 1. */
let users = 0;
export const newUser = (name = 'user') => `${name}-${process.pid}-${++users}`;

/*
 * Objects and events, complete and valid unless told otherwise
 */
export const entry = (fields = {}) => ({
  id: id(),
  timestamp: Date.now(),
  duration: 1800,
  type: 'practice',
  instrument: 'piano',
  pieces: [],
  techniques: [],
  goal_ids: [],
  tags: [],
  notes: null,
  mood: 'satisfied',
  metadata: { source: 'manual' },
  createdAt: iso(),
  updatedAt: iso(),
  ...fields,
});

export const piece = (fields = {}) => {
  const scoreId = fields.scoreId ?? fields.score_id ?? `score_${id()}`;
  return {
    id: id(),
    scoreId,
    title: 'Invention 8',
    composer: 'Bach',
    status: 'learning',
    tags: [],
    created_at: iso(),
    updated_at: iso(),
    ...fields,
  };
};

export const plan = (fields = {}) => ({
  id: id(),
  title: 'Scales',
  type: 'custom',
  schedule: { kind: 'single', durationMinutes: 30 },
  visibility: 'private',
  status: 'active',
  createdAt: iso(),
  updatedAt: iso(),
  ...fields,
});

export const occurrence = (planId, fields = {}) => ({
  id: id(),
  planId,
  status: 'scheduled',
  scheduledStart: iso(),
  createdAt: iso(),
  updatedAt: iso(),
  ...fields,
});

const event = (type, fields) => ({ type, timestamp: iso(), ...fields });

export const created = (object, fields) => event('ENTRY_CREATED', { entry: object, ...fields });
export const updated = (object, fields) => event('ENTRY_UPDATED', { entry: object, ...fields });
export const deleted = (entryId, fields) => event('ENTRY_DELETED', { entryId, ...fields });
export const pieceAdded = (object, fields) => event('PIECE_ADDED', { piece: object, ...fields });
export const pieceUpdated = (object, fields) => event('PIECE_UPDATED', { piece: object, ...fields });
export const pieceRemoved = (scoreId, fields) => event('PIECE_REMOVED', { scoreId, ...fields });
export const planCreated = (object, occurrences, fields) =>
  event('PLAN_CREATED', { plan: object, ...(occurrences ? { occurrences } : {}), ...fields });
export const planUpdated = (object, occurrences, fields) =>
  event('PLAN_UPDATED', { plan: object, ...(occurrences ? { occurrences } : {}), ...fields });
export const completed = (object, fields) =>
  event('PLAN_OCCURRENCE_COMPLETED', { occurrence: object, ...fields });
export const syncRequest = (fields) => event('SYNC_REQUEST', fields);

const CONTROL = new Set(['WELCOME', 'PONG', 'ERROR', 'SYNC_RESPONSE']);

/* isAnswer: what a device gets for a message of its own. */
export const isAnswer = (message) => message.type === 'SYNC_RESPONSE' || message.type === 'ERROR';

/* cursorOf is what the application would keep: the highest number in sight. */
export function cursorOf(messages) {
  return messages.reduce((high, m) => Math.max(high, m.seq ?? 0, m.lastSeq ?? 0), 0);
}

/*
 * Device: one connection of one user, with everything that it received.
 */
export class Device {
  constructor(relay, user, { token, query, path = '/sync/ws', secret, protocols = [], ...options } = {}) {
    this.user = user;
    this.messages = [];
    this.read = 0;
    this.waiters = new Set();
    this.closed = null;
    token ??= userToken(secret ?? relay.stack.secret, user);
    query ??= `?userId=${encodeURIComponent(user)}&token=${encodeURIComponent(token)}`;
    this.socket = new WebSocket(`${relay.ws}${path}${query}`, protocols, {
      perMessageDeflate: false,
      ...options,
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('unexpected-response', (req, response) => {
        this.socket.terminate();
        reject(Object.assign(new Error(`refused: ${response.statusCode}`),
          { status: response.statusCode }));
      });
      this.socket.once('error', reject);
    });
    this.opened.catch(() => {});
    this.socket.on('error', () => {});
    this.socket.on('message', (data, binary) => {
      assert.equal(binary, false, 'the relay sends texts only');
      const message = JSON.parse(data.toString());
      this.received?.(message);
      this.messages.push(message);
      this.wake();
    });
    this.ended = new Promise((resolve) => this.socket.once('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.wake();
      resolve(this.closed);
    }));
  }

  /* Device.open connects and takes the WELCOME. */
  static async open(relay, user, options) {
    const device = new Device(relay, user, options);
    await device.opened;
    const welcome = await device.next();
    assert.equal(welcome.type, 'WELCOME');
    return device;
  }

  /* Device.live connects and asks for everything, so that it hears what comes. */
  static async live(relay, user, options) {
    const device = await Device.open(relay, user, options);
    await device.sync();
    return device;
  }

  wake() {
    for (const waiter of this.waiters)
      waiter();
  }

  /* waiting resolves with what find gives, tried again at every message. */
  waiting(find, what, timeout = TIMEOUT) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        settle(value);
      };
      const fail = (reason) => {
        const recent = this.messages.slice(-5).map((m) => JSON.stringify(m).slice(0, 300));
        done(reject, new Error(`${reason} while waiting for ${what} of ${this.user};`
          + ` last messages:\n${recent.join('\n')}`));
      };
      const waiter = () => {
        const found = find();
        if (found !== undefined)
          done(resolve, found);
        else if (this.closed)
          fail(`connection closed with ${this.closed.code}`);
      };
      const timer = setTimeout(() => fail(`timed out after ${timeout} ms`), timeout);
      this.waiters.add(waiter);
      waiter();
    });
  }

  /* next takes the next message, whatever it is. */
  async next(timeout) {
    return this.waiting(() => this.read < this.messages.length
      ? this.messages[this.read++] : undefined, 'a message', timeout);
  }

  /* until takes messages up to the first that matches, and returns them all. */
  async until(match, what = 'a message', timeout) {
    const from = this.read;
    let at = from;
    const end = await this.waiting(() => {
      for (; at < this.messages.length; at++)
        if (match(this.messages[at]))
          return at;
      return undefined;
    }, what, timeout);
    this.read = end + 1;
    return this.messages.slice(from, end + 1);
  }

  /* event takes messages up to the next one of this type (and content). */
  async event(type, match = () => true, timeout) {
    return (await this.until((m) => m.type === type && match(m), type, timeout)).at(-1);
  }

  send(message) {
    this.socket.send(typeof message === 'string' || Buffer.isBuffer(message)
      ? message : JSON.stringify(message));
  }

  /*
   * exchange sends a message and takes what comes up to its answer: {answer,
   * before}, where before holds the events that came first.
   */
  async exchange(message, timeout) {
    this.send(message);
    const messages = await this.until(isAnswer, `an answer to ${message.type}`, timeout);
    return { answer: messages.at(-1), before: messages.slice(0, -1) };
  }

  /* push sends a change that must be taken and returns its number. */
  async push(message, timeout) {
    const { answer } = await this.exchange(message, timeout);
    assert.equal(answer.type, 'SYNC_RESPONSE', answer.error);
    assert.equal(answer.message, 'Mutation applied');
    return answer.lastSeq;
  }

  /* answers takes messages up to the nth answer, and returns the answers. */
  async answers(n, timeout) {
    const answers = [];
    while (answers.length < n)
      answers.push((await this.until(isAnswer, `answer ${answers.length + 1} of ${n}`, timeout)).at(-1));
    return answers;
  }

  /* sync asks for what is missing: {response, messages, cursor}. */
  async sync(fields = {}, timeout) {
    this.send(syncRequest(fields));
    const messages = await this.until((m) => m.type === 'SYNC_RESPONSE'
      && /^(Sync complete|No new data to sync)$/.test(m.message), 'the end of the catch-up', timeout);
    return {
      response: messages.at(-1),
      messages: messages.slice(0, -1).filter((m) => !CONTROL.has(m.type)),
      all: messages,
    };
  }

  /* events are the messages that carry data, of all that ever came. */
  get events() { return this.messages.filter((m) => !CONTROL.has(m.type)); }

  /* quiet shows that nothing (that matches) comes for a moment. */
  async quiet(match = () => true, ms = QUIET) {
    await sleep(ms);
    const unread = this.messages.slice(this.read).filter(match);
    assert.deepEqual(unread, [], `unexpected messages for ${this.user}`);
  }

  async close(code = 1000) {
    if (!this.closed) {
      this.socket.close(code);
      const force = setTimeout(() => this.socket.terminate(), 3000);
      await this.ended;
      clearTimeout(force);
    }
    return this.closed;
  }

  terminate() { this.socket.terminate(); }
}

/*
 * replica applies messages as the application would: the state that a device
 * has after them, by collection and id.
 */
export function replica(messages, state = new Map()) {
  const put = (collection, key, object) => state.set(`${collection}/${key}`, object);
  const drop = (collection, key) => state.delete(`${collection}/${key}`);
  const putPlan = (m) => {
    if (m.plan)
      (m.plan.deletedAt ? drop : put)('practice_plan', m.plan.id, m.plan);
    for (const o of m.occurrences ?? [])
      (o.deletedAt ? drop : put)('plan_occurrence', o.id, o);
  };
  const effects = {
    BULK_SYNC: (m) => m.entries.forEach((e) => put('logbook_entry', e.id, e)),
    REPERTOIRE_BULK_SYNC: (m) =>
      m.pieces.forEach((p) => put('repertoire_item', p.scoreId, p)),
    ENTRY_CREATED: (m) => put('logbook_entry', m.entry.id, m.entry),
    ENTRY_UPDATED: (m) => put('logbook_entry', m.entry.id, m.entry),
    ENTRY_DELETED: (m) => drop('logbook_entry', m.entryId),
    PIECE_ADDED: (m) => put('repertoire_item', m.piece.scoreId, m.piece),
    PIECE_UPDATED: (m) => put('repertoire_item', m.piece.scoreId, m.piece),
    PIECE_REMOVED: (m) => drop('repertoire_item', m.scoreId),
    PIECE_DISSOCIATED: (m) => drop('repertoire_item', m.scoreId),
    PLAN_CREATED: putPlan,
    PLAN_UPDATED: putPlan,
    PLAN_OCCURRENCE_COMPLETED: (m) => (m.occurrence.deletedAt ? drop : put)(
      'plan_occurrence', m.occurrence.id, m.occurrence),
  };
  for (const message of messages)
    effects[message.type]?.(message);
  return state;
}

/* assertTimestamps: all that the server sends carries its own clock. */
export function assertTimestamps(messages) {
  for (const message of messages) {
    assert.match(message.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
      `${message.type} carries an ISO timestamp`);
    assert.ok(Math.abs(Date.parse(message.timestamp) - Date.now()) < 60000,
      `${message.type} carries the server's time`);
  }
}

/*
 * assertPromises: numbers are promises.  A device keeps the highest number it
 * ever saw and never asks for anything below it; so after every single
 * message, each record up to that number must have been sent.  records are
 * rows {key, seq, deleted} of the database, messages all a device received
 * since it stood at cursor with this state.
 */
export function assertPromises(messages, records, { cursor = 0, state = new Map() } = {}) {
  const sent = new Set(state.keys());
  for (const message of messages) {
    for (const key of keysOf(message))
      sent.add(key);
    const number = message.seq ?? message.lastSeq;
    if (number === undefined)
      continue;
    assert.ok(Number.isInteger(number) && number >= 0, `${message.type} carries ${number}`);
    if (number <= cursor)
      continue;
    for (const record of records)
      assert.ok(record.seq <= cursor || record.seq > number || sent.has(record.key),
        `${message.type} says ${number}, but ${record.key} (${record.seq}) was not sent`);
    cursor = number;
  }
  return cursor;
}

/* keysOf names the records that a message brings, each once, deleted ones included. */
export function keysOf(m) {
  const keys = (collection, ids) => ids.map((key) => `${collection}/${key}`);
  return [...new Set([
    ...keys('logbook_entry', [...(m.entries ?? []).map((e) => e.id),
      ...(m.entry ? [m.entry.id] : []), ...(m.entryId ? [m.entryId] : [])]),
    ...keys('repertoire_item', [...(m.pieces ?? []).map((p) => p.scoreId),
      ...(m.piece ? [m.piece.scoreId] : []), ...(m.scoreId ? [m.scoreId] : [])]),
    ...keys('practice_plan', m.plan ? [m.plan.id] : []),
    ...keys('plan_occurrence', [...(m.occurrences ?? []).map((o) => o.id),
      ...(m.occurrence ? [m.occurrence.id] : [])]),
  ])];
}

/*
 * The stack of a test file
 */

/*
 * useStack starts a stack before the file's tests and stops it after them.
 * The returned object gives test() and, while tests run, the stack, its relays,
 * open(user) and live(user) for devices, and query(sql, parameters).
 */
export function useStack(options = {}) {
  const self = { devices: [] };
  stopOnSignals();

  before(async () => {
    self.stack = await Stack.start(options);
    self.relays = self.stack.relays;
    self.relay = self.stack.relay;
    self.pool = new pg.Pool({ ...pgConfig(self.stack), max: 8 });
    self.pool.on('error', () => {});
  }, { timeout: 120000 });

  after(async () => {
    for (const device of self.devices)
      device.terminate();
    await self.pool?.end();
    await self.stack?.stop();
    await stopAll();
  }, { timeout: 60000 });

  self.open = async (user, opts = {}) => {
    const device = await Device.open(opts.relay ?? self.relay, user, opts);
    self.devices.push(device);
    return device;
  };
  self.live = async (user, opts = {}) => {
    const device = await self.open(user, opts);
    await device.sync();
    return device;
  };
  self.query = async (sql, parameters) => (await self.pool.query(sql, parameters)).rows;
  self.head = async (user) => Number((await self.query(
    'SELECT head FROM mirusync.feed WHERE feed = $1', [user]))[0]?.head ?? 0);
  /* The records of a feed, as assertPromises wants them. */
  self.records = async (user) => (await self.query(
    `SELECT collection || '/' || id AS key, seq::int, deleted
     FROM mirusync.record WHERE feed = $1 ORDER BY seq`, [user]));
  /* A document as it is stored, or undefined. */
  self.document = async (user, collection, key) => (await self.query(
    'SELECT data FROM mirusync.document WHERE feed = $1 AND collection = $2 AND id = $3',
    [user, collection, key]))[0]?.data;
  self.client = async (config = {}) => {
    const client = new pg.Client({ ...pgConfig(self.stack), ...config });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  /* test, with what the servers logged when it fails. */
  self.test = (name, body, options) => test(name, { timeout: 60000, ...options }, async (t) => {
    try {
      await body(t);
    } catch (error) {
      if (self.stack?.dir)
        console.error(`servers during "${name}":\n${await self.stack.logs()}`);
      throw error;
    }
  });
  return self;
}

function pgConfig(stack) {
  return {
    host: stack.socketDir,
    port: stack.pgPort,
    user: stack.user,
    database: stack.database,
  };
}

/*
 * HTTP without a client library's opinions
 */

/* http makes one request: {status, headers, body, json}. */
export function http(relay, path, { method = 'GET', headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const call = request(`${relay.url}${path}`, { method, headers, agent: false, timeout: TIMEOUT },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const body = Buffer.concat(chunks).toString();
          let json;
          try { json = JSON.parse(body); } catch { /* not every body is JSON */ }
          resolve({ status: response.statusCode, headers: response.headers, body, json });
        });
      });
    call.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers, body: '', upgraded: true });
    });
    call.on('timeout', () => call.destroy(new Error('timed out')));
    call.on('error', reject);
    call.end();
  });
}

/*
 * metrics reads /metrics of a relay that has a metrics_port: a function of a
 * name, with its labels as they are printed, that gives the value.
 */
export async function metrics(relay) {
  const answer = await fetch(`${relay.probes}/metrics`);
  assert.equal(answer.status, 200);
  const text = await answer.text();
  const values = new Map(text.split('\n').filter((line) => line && !line.startsWith('#'))
    .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
  const value = (name) => {
    const found = values.get(`mirusync_relay_${name}`) ?? values.get(name);
    assert.notEqual(found, undefined, `no metric ${name}`);
    return found;
  };
  value.text = text;
  value.values = values;
  return value;
}

/* upgrade asks for a WebSocket at this path, by hand, and tells the answer. */
export const upgrade = (relay, path, headers = {}) => http(relay, path, {
  headers: {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  },
});

/* rawSocket is a TCP connection to the relay; closed resolves when it ends. */
export async function rawSocket(relay) {
  const socket = connect(relay.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.ended = new Promise((resolve) => socket.once('close', resolve));
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}
