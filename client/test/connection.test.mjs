/*
 * connection.test.mjs
 *     The connection with time turned by hand: when it tries, when it waits,
 *     when it gives up.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Connection } from '../src/connection.js';
import { Credentials } from '../src/credentials.js';
import { Device } from '../src/device.js';
import { SyncError } from '../src/fault.js';
import { Statistics } from '../src/statistics.js';
import { fakeStorage, FakeTime, seeded, settle } from './world.mjs';

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);

const WELCOME = {
  type: 'welcome', protocol: 1, session: '0123456789abcdef', user: 'anna', time: '2026-01-01T00:00:00.000Z', token_expires_in_ms: 1e6,
  limits: { message_max_bytes: 65536, batch_max_changes: 1000, pushes_max: 256, idle_timeout_ms: 60000 }, digested: 0, heads: {},
};
const PAGE = { type: 'page', feed: 'anna', epoch: 0, after: 0, upto: 0, head: 0, complete: true, changes: [] };

let sockets;
let time;
let http;
let connection;
let token;

class FakeSocket {
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, sent: [], ended: false });
    sockets.push(this);
  }

  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.ended = true; }
  /* What the relay does. */
  open() { this.onopen?.({}); }
  say(message) { this.onmessage?.({ data: JSON.stringify(message) }); }
  end(code = 1006, reason = '') {
    this.ended = true;
    this.onclose?.({ code, reason });
  }

  get last() { return this.sent.at(-1); }
}

beforeEach(async () => {
  await make(seeded(SEED));
});

async function make(random) {
  sockets = [];
  time = new FakeTime();
  token = () => 'token';
  http = { ask: async () => { throw new SyncError('unreachable', 'x'); }, round: async () => {} };
  const device = new Device({
    storage: fakeStorage(), time, random, limits: { changes: 100, bytes: 100000 },
    listener: { differ() {}, verdict() {}, failed() {}, saved: () => connection.pump() },
  });
  await device.open();
  connection = new Connection({
    url: 'http://relay/sync', WebSocket: FakeSocket, time, random, credentials: new Credentials(() => token()), device,
    statistics: new Statistics(), http: async () => http, user: async () => {}, changed() {}, log() {},
  });
}

async function live() {
  connection.connect();
  await settle();
  const socket = sockets.at(-1);
  socket.open();
  socket.say(WELCOME);
  socket.say(PAGE);
  assert.equal(connection.state, 'live');
  return socket;
}

test('token, socket, hello, welcome', async () => {
  connection.connect();
  assert.equal(connection.name, 'connecting');
  await settle();
  assert.equal(sockets[0].url, 'ws://relay/sync/ws?auth=message');
  assert.deepEqual(sockets[0].protocols, ['mirusync.v1']);
  sockets[0].open();
  assert.equal(sockets[0].last.type, 'hello');
  assert.equal(sockets[0].last.token, 'token');
  sockets[0].say(WELCOME);
  assert.equal(connection.name, 'connected');
});

test('what was written is sent, and verdicts are measured', async () => {
  const socket = await live();
  connection.device.write('put', 'note', 'n1', { x: 1 });
  await settle();
  assert.equal(socket.last.type, 'push');
  await time.advance(25);
  socket.say({ type: 'verdicts', ref: socket.last.ref, feed: 'anna', epoch: 0, verdicts: [{ number: 1, verdict: 'applied', seq: 1 }] });
  assert.deepEqual(connection.statistics.snapshot().push, { last: 25, median: 25, most: 25 });
});

test('after a loss it waits, longer each time, and tries again', async () => {
  await make(() => 0.9999999);
  await live();
  sockets[0].end();
  assert.equal(connection.name, 'reconnecting');
  assert.equal(connection.reason, 'closed_1006');
  for (const wait of [1000, 2000, 4000, 8000, 16000, 30000, 30000]) {
    const before = sockets.length;
    await time.advance(wait - 10);
    assert.equal(sockets.length, before, `not before ${wait}`);
    await time.advance(10);
    assert.equal(sockets.length, before + 1);
    sockets.at(-1).end();
    await settle();
  }
});

test('a connection that holds makes the waits short again, one that does not does not', async () => {
  await make(() => 0.9999999);
  await live();
  connection.backoff.attempt = 4;
  sockets[0].end();
  assert.equal(connection.backoff.attempt, 5);
  await time.advance(16000);
  sockets[1].open();
  sockets[1].say(WELCOME);
  await time.advance(10001);
  sockets[1].end();
  assert.equal(connection.backoff.attempt, 1);
});

test('goodbye says when to come back, or not to', async () => {
  const socket = await live();
  socket.say({ type: 'goodbye', code: 1001, reason: 'server is going away', reconnect: true, after_ms: 4321 });
  socket.end(1001);
  await time.advance(4320);
  assert.equal(sockets.length, 1);
  await time.advance(1);
  assert.equal(sockets.length, 2);
  sockets[1].open();
  sockets[1].say(WELCOME);
  sockets[1].say({ type: 'goodbye', code: 4400, reason: 'bad hello', reconnect: false });
  sockets[1].end(4400);
  assert.equal(connection.name, 'disconnected');
  assert.equal(connection.reason, 'bad hello');
  await time.advance(1e6);
  assert.equal(sockets.length, 2);
});

test('a goodbye that says at once does not mean that', async () => {
  const socket = await live();
  socket.say({ type: 'goodbye', code: 1001, reason: 'x', reconnect: true, after_ms: 0 });
  socket.end(1001);
  await time.advance(99);
  assert.equal(sockets.length, 1);
  await time.advance(1);
  assert.equal(sockets.length, 2);
});

test('an error says when to send again', async () => {
  const socket = await live();
  connection.device.write('put', 'note', 'n1', { x: 1 });
  await settle();
  const { length } = socket.sent;
  socket.say({ type: 'error', ref: socket.last.ref, code: 'busy', reason: 'x', retry: true, after_ms: 1500 });
  connection.device.write('put', 'note', 'n2', { x: 1 });
  await time.advance(1499);
  assert.equal(socket.sent.length, length);
  await time.advance(1);
  assert.deepEqual(socket.last.changes.map((c) => c.id), ['n1', 'n2']);
});

test('online or visible it tries at once, but not all the time', async () => {
  await make(() => 0.9999999);
  await live();
  sockets[0].end();
  connection.backoff.attempt = 9;
  await time.advance(1000);
  sockets[1].end();
  await settle();
  await time.advance(1000);
  connection.awake();
  await settle();
  assert.equal(sockets.length, 3);
  sockets[2].end();
  await settle();
  for (let i = 0; i < 50; i++) {
    connection.awake();
    await settle();
    sockets.at(-1).end();
    await time.advance(20);
  }
  assert.ok(sockets.length <= 4, `${sockets.length} sockets in a second`);
});

test('a silent relay is noticed, and after a sleep sooner', async () => {
  const socket = await live();
  await time.advance(20000);
  assert.equal(socket.last.type, 'ping');
  socket.say({ type: 'pong', ref: socket.last.ref, time: WELCOME.time, token_expires_in_ms: 1e6 });
  await time.advance(20000);
  await time.advance(9999);
  assert.equal(connection.state, 'live');
  await time.advance(1);
  assert.equal(connection.reason, 'silent');
  assert.ok(socket.ended);
  await time.advance(1000);
  sockets[1].open();
  sockets[1].say(WELCOME);
  await time.advance(2000);
  connection.awake();
  assert.equal(sockets[1].last.type, 'ping');
  await time.advance(4000);
  assert.notEqual(connection.state, 'live');
});

test('no token, or a refused one, wants a person', async () => {
  token = () => null;
  connection.connect();
  await settle();
  assert.equal(connection.name, 'needs-auth');
  assert.equal(sockets.length, 0);
  token = () => { throw new Error('offline'); };
  connection.connect();
  await settle();
  assert.equal(connection.name, 'reconnecting');
  token = () => 'wrong';
  http.ask = async () => { throw new SyncError('unauthorized', 'x'); };
  await time.advance(1000);
  sockets[0].end();
  await settle();
  assert.equal(connection.name, 'reconnecting', 'it may just have expired');
  await time.advance(2000);
  sockets[1].end();
  await settle();
  assert.equal(connection.name, 'needs-auth');
  await time.advance(1e6);
  assert.equal(sockets.length, 2);
});

test('a token that was taken back wants a person, one that expired does not', async () => {
  let socket = await live();
  socket.say({ type: 'goodbye', code: 4419, reason: 'token expired', reconnect: false });
  socket.end(4419, 'token expired');
  assert.equal(connection.name, 'reconnecting');
  await time.advance(1000);
  socket = sockets.at(-1);
  socket.open();
  socket.say(WELCOME);
  socket.end(4410, 'revoked');
  assert.equal(connection.name, 'needs-auth');
  assert.equal(connection.reason, 'revoked');
});

test('a fresh token is sent in good time', async () => {
  const socket = await live();
  const begun = time.now();
  let asked = 0;
  token = () => `fresh-${++asked}`;
  socket.send = (text) => {
    const message = JSON.parse(text);
    socket.sent.push(message);
    if (message.type === 'ping')
      socket.say({ type: 'pong', ref: message.ref, time: WELCOME.time, token_expires_in_ms: WELCOME.token_expires_in_ms - (time.now() - begun) });
  };
  await time.advance(1e6 - 50000);
  const sent = socket.sent.filter((m) => m.type === 'token');
  assert.deepEqual(sent.map((m) => m.token), ['fresh-1']);
  socket.say({ type: 'token', ref: sent[0].ref, token_expires_in_ms: 1e6 });
  assert.equal(connection.state, 'live');
});

test('when the relay warns that the token ends, a fresh one is asked for', async () => {
  const socket = await live();
  token = () => 'fresh';
  socket.say({ type: 'token', expiring: true, token_expires_in_ms: 59000 });
  await time.advance(1000);
  assert.deepEqual(socket.sent.filter((m) => m.type === 'token').map((m) => m.token), ['fresh']);
  /* One that lives no longer is not asked for in a loop, though the relay warns of each. */
  for (let i = 0; i < 10; i++) {
    socket.say({ type: 'token', ref: socket.last.ref, token_expires_in_ms: 33000 });
    socket.say({ type: 'token', expiring: true, token_expires_in_ms: 33000 });
    await time.advance(1000);
  }
  assert.equal(socket.sent.filter((m) => m.type === 'token').length, 1);
});

test('a token that the relay refuses in the hello is asked for once more', async () => {
  for (const name of ['reconnecting', 'needs-auth']) {
    connection.connect();
    await time.advance(2000);
    const socket = sockets.at(-1);
    socket.open();
    socket.say({ type: 'goodbye', code: 4401, reason: 'token refused', reconnect: false });
    socket.end(4401, 'token refused');
    assert.equal(connection.name, name);
    assert.equal(connection.reason, 'unauthorized');
  }
});

test('sockets blocked: over HTTP, and now and then a try', async () => {
  let rounds = 0;
  http.ask = async () => ({});
  http.round = async () => { rounds++; };
  connection.connect();
  await settle();
  sockets[0].end();
  await settle();
  assert.equal(connection.state, 'polling');
  assert.equal(connection.name, 'connected');
  await time.advance(20000);
  assert.ok(rounds >= 3);
  assert.ok(sockets.length >= 2);
  const socket = sockets.at(-1);
  socket.open();
  socket.say(WELCOME);
  const { length } = { length: rounds };
  await time.advance(15000);
  assert.equal(rounds, length, 'no more rounds');
});

test('a hole makes it reconnect', async () => {
  const socket = await live();
  socket.say({ type: 'changes', feed: 'anna', epoch: 0, from: 5, to: 6, complete: true, changes: [] });
  assert.equal(connection.reason, 'hole');
  assert.equal(connection.state, 'waiting');
});

test('nothing of an attempt that is over is heard', async () => {
  const socket = await live();
  connection.disconnect();
  assert.equal(connection.name, 'disconnected');
  socket.say(WELCOME);
  socket.end();
  assert.equal(connection.name, 'disconnected');
  token = () => new Promise((resolve) => setImmediate(() => resolve('late')));
  connection.connect();
  connection.disconnect();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  await settle();
  assert.equal(sockets.length, 1);
});

test(`whatever happens there is no tight loop, and one socket (SEED=${SEED})`, async () => {
  const random = seeded(SEED);
  const started = [];
  http.ask = async () => {
    if (random() < 0.5)
      throw new SyncError(random() < 0.2 ? 'unauthorized' : 'unreachable', 'x');
    return {};
  };
  http.round = async () => {
    if (random() < 0.3)
      throw new SyncError('unreachable', 'x');
  };
  token = () => {
    started.push(time.now());
    return random() < 0.1 ? null : 'token';
  };
  for (let step = 0; step < 3000; step++) {
    const socket = sockets.at(-1);
    const chance = Math.floor(random() * 9);
    if (chance === 0)
      connection.connect();
    else if (chance === 1)
      connection.awake();
    else if (chance === 2)
      socket?.open();
    else if (chance === 3)
      socket?.say(WELCOME);
    else if (chance === 4)
      socket?.end([1006, 1001, 1013, 4419, 4405][Math.floor(random() * 5)]);
    else if (chance === 5)
      socket?.say({ type: 'goodbye', code: 1001, reason: 'x', reconnect: true, after_ms: 0 });
    else
      await time.advance(random() * 3000);
    await settle();
    assert.ok(sockets.filter((s) => !s.ended).length <= 1, 'one socket');
  }
  for (let i = 20; i < started.length; i++)
    assert.ok(started[i] - started[i - 20] >= 1000, `20 attempts in ${started[i] - started[i - 20]} ms`);
});
