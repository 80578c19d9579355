/*
 * conformance.test.mjs
 *     RFC 6455 over raw sockets: the cases of conformance_cases.mjs, one test
 *     each, and some of them once more over TLS.
 *
 * All cases are run at once when the first is asked for, each as a user of its
 * own.  A case of frames begins behind the welcome of mirusync.v1.  Where the
 * session is to go on, a last message proves it, and that nothing else comes:
 * nobody waits for time to pass.
 *
 * Where the library is wrong either what it does or what is right is taken;
 * docs/internals/websocket.md has the list.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { makeCertificate } from './certificate.mjs';
import { close, frameCases, handshakeCases, message, text } from './conformance_cases.mjs';
import { freePort, metrics, newUser, useStack, userToken, waitUntil } from './harness.mjs';

const dir = await mkdtemp(`${tmpdir()}/mirusync-conformance-`);
await chmod(dir, 0o755);
after(() => rm(dir, { recursive: true, force: true }));
const certificate = await makeCertificate(dir, 'relay');

const s = useStack({
  relay: { metrics_port: await freePort(), handshake_timeout: '2s' },
});
let secure;

const AT_ONCE = 50;
const TIMEOUT = 8000; /* a peer that does not answer a close frame is let go after 3 s */
const LAST_REF = 999999;
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/*
 * Peer: a client to the byte
 */
class Peer {
  constructor(relay) {
    this.input = Buffer.alloc(0);
    this.head = undefined;
    this.answers = [];
    this.errors = 0;
    this.pongs = [];
    this.close = undefined;
    this.after = []; /* opcodes of what came behind the close frame */
    this.ended = false;
    this.waiters = new Set();
    this.socket = relay.tls ? connectTls({ port: relay.port, host: '127.0.0.1', ca: certificate.ca })
      : connect({ port: relay.port, host: '127.0.0.1', noDelay: true });
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    this.socket.on('data', (bytes) => {
      this.input = Buffer.concat([this.input, bytes]);
      try {
        this.read();
      } catch (error) {
        this.fault = error;
      }
      this.wake();
    });
    this.socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  wake() {
    for (const waiter of this.waiters)
      waiter();
  }

  until(found, what) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(reject, new Error(`nothing came while waiting for ${what}: ${this.seen()}`)), TIMEOUT);
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.waiters.delete(look);
        settle(value);
      };
      const look = () => {
        if (this.fault)
          finish(reject, this.fault);
        else if (found())
          finish(resolve);
        else if (this.ended)
          finish(reject, new Error(`the connection ended while waiting for ${what}: ${this.seen()}`));
      };
      this.waiters.add(look);
      look();
    });
  }

  seen() {
    const { answers, errors, pongs, close: closed, ended } = this;
    return JSON.stringify({ answers, errors, pongs: pongs.map(String), close: closed, ended, head: this.head?.status });
  }

  read() {
    if (!this.head) {
      const end = this.input.indexOf('\r\n\r\n');
      if (end < 0)
        return;
      const lines = this.input.subarray(0, end).toString('latin1').split('\r\n');
      this.head = {
        status: Number(/^HTTP\/1\.[01] (\d{3}) /.exec(lines[0])?.[1]),
        fields: lines.slice(1).map((line) => /^([^:]+):\s*(.*)$/.exec(line).slice(1)),
      };
      this.input = this.input.subarray(end + 4);
    }
    if (this.head.status === 101)
      while (this.takeFrame());
  }

  field(name) {
    return this.head.fields.filter(([n]) => n.toLowerCase() === name).map(([, v]) => v).join(', ') || undefined;
  }

  /* takeFrame also holds every frame of the relay against the RFC. */
  takeFrame() {
    const b = this.input;
    if (b.length < 2)
      return false;
    const op = b[0] & 15;
    let n = b[1];
    assert.equal(b[0] & 0xf0, 0x80, 'a whole message without reserved bits');
    assert.ok([1, 8, 10].includes(op), `opcode ${op}`);
    assert.ok(n < 128, 'a server masks nothing');
    const head = n < 126 ? 2 : n === 126 ? 4 : 10;
    if (b.length < head)
      return false;
    if (n === 126)
      assert.ok((n = b.readUInt16BE(2)) > 125, 'the shortest length');
    else if (n === 127)
      assert.ok((n = Number(b.readBigUInt64BE(2))) > 65535, 'the shortest length');
    if (b.length < head + n)
      return false;
    const payload = b.subarray(head, head + n);
    this.input = b.subarray(head + n);
    if (this.close !== undefined)
      this.after.push(op);
    else if (op === 8) {
      assert.notEqual(n, 1);
      this.close = n ? payload.readUInt16BE(0) : 1005;
      new TextDecoder('utf-8', { fatal: true }).decode(payload.subarray(2));
    } else if (op === 10)
      this.pongs.push(Buffer.from(payload));
    else
      this.take(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)));
    return true;
  }

  take(answer) {
    if (answer.type === 'pong')
      this.answers.push(answer.ref);
    else if (answer.type === 'error')
      this.errors++;
    else if (answer.type === 'welcome')
      this.welcome = true;
  }

  write(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, resolve));
  }

  /* send in one piece, or as the case cuts it; a write is a segment, as good as one can say. */
  async send(buffers, cut) {
    if (cut === undefined)
      return void await this.write(Buffer.concat(buffers));
    const pieces = cut === 'bytes' ? [...Buffer.concat(buffers)].map((byte) => Buffer.from([byte])) : buffers;
    for (const [i, piece] of pieces.entries()) {
      await this.write(piece);
      if (cut === 'replies')
        await this.until(() => this.pongs.length > i, `pong ${i}`);
      else
        await new Promise(setImmediate);
    }
  }
}

/* request are the bytes of a handshake. */
function request(one, user) {
  const query = `/sync/ws?userId=${user}&token=${userToken(s.stack.secret, user)}`;
  const path = typeof one.path === 'function' ? one.path(query) : one.path ?? query;
  const headers = {
    Host: 'localhost', Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Protocol': 'mirusync.v1', ...one.headers,
  };
  let lines = [`${one.method ?? 'GET'} ${path} ${one.version ?? 'HTTP/1.1'}`,
    ...Object.entries(headers).filter(([, v]) => v !== null).map(([n, v]) => `${n}: ${v}`), ...one.extra ?? []];
  if (one.raw)
    lines = one.raw(lines);
  return { bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), key: headers['Sec-WebSocket-Key'] };
}

/*
 * Cases: each gives what it saw, in the words of the case
 */
const HELLO = (user) => text(JSON.stringify({ type: 'hello', protocol: 1, device: user }));

async function ready(peer, user) {
  await peer.send([request({}, user).bytes]);
  await peer.until(() => peer.head, 'the handshake');
  assert.equal(peer.head.status, 101);
  await peer.send([HELLO(user)]);
  await peer.until(() => peer.welcome, 'the welcome');
}

/* arrived: all that a case without a close waits for is there. */
const arrived = (peer, { answers = [], pongs = [], errors = 0, lastPong }) =>
  peer.answers.length >= answers.length && peer.pongs.length >= pongs.length && peer.errors >= errors
  && (lastPong === undefined || String(peer.pongs.at(-1)) === lastPong);

const wanted = (one) => [one, ...one.library ? [{ ...one, ...one.library }] : []];

async function runFrames(relay, one) {
  const peer = new Peer(relay);
  try {
    const user = newUser('conform');
    await ready(peer, user);
    await peer.send(one.send, one.cut);
    const goesOn = () => peer.close === undefined && !peer.ended && !one.hangUp;
    await peer.until(() => peer.ended || peer.close !== undefined
      || wanted(one).some((w) => w.close === undefined && arrived(peer, w)), 'what the case wants');
    if (one.hangUp)
      peer.socket.end();
    else if (goesOn()) {
      /* Answers come in order, so with this one nothing else is under way. */
      await peer.send([text(message(LAST_REF))]);
      await peer.until(() => peer.answers.at(-1) === LAST_REF, 'the last answer');
      peer.answers.pop();
      await peer.send([close(1000)]);
      await peer.until(() => peer.close !== undefined, 'the answer to close');
      assert.equal(peer.close, 1000);
      peer.close = undefined;
    } else if (peer.close !== undefined && !peer.ended)
      await peer.send(one.thenSend ?? [close(1000)]);
    const { close: code } = peer;
    await peer.until(() => peer.ended, 'the end of the connection');
    return { answers: peer.answers, pongs: peer.pongs, errors: peer.errors, close: code, after: peer.after };
  } finally {
    peer.socket.destroy();
  }
}

function compareFrames(one, seen) {
  if (seen.close === undefined && one.close === 1006)
    seen.close = 1006;
  assert.equal(seen.close, one.close, `close code; ${JSON.stringify(seen)}`);
  /* The library's own close frame is sent once more when it is answered. */
  assert.deepEqual(seen.after.filter((op) => op !== 8 || seen.close !== 1002), one.after ?? [],
    'nothing comes behind a close frame');
  const { answers = [], pongs = [], errors = 0 } = one;
  if (one.close !== undefined) {
    /* What was answered before the close is a beginning of it. */
    assert.deepEqual(seen.answers, answers.slice(0, seen.answers.length), 'messages');
    return;
  }
  assert.deepEqual(seen.answers, answers, 'messages');
  assert.equal(seen.errors, errors, 'messages that are none of the application');
  if (one.lastPong !== undefined)
    assert.equal(String(seen.pongs.at(-1)), one.lastPong, 'the last pong');
  else
    assert.deepEqual(seen.pongs, pongs.map((p) => Buffer.from(p)), 'pongs');
}

async function runHandshake(relay, one) {
  const peer = new Peer(relay);
  try {
    const user = newUser('conform');
    const { bytes, key } = request(one, user);
    await peer.send([bytes], one.cut);
    await peer.until(() => peer.head || peer.ended, 'an answer');
    const status = peer.head?.status ?? 0;
    const seen = { status, key };
    if (status === 101) {
      for (const name of ['upgrade', 'connection', 'sec-websocket-accept', 'sec-websocket-protocol', 'sec-websocket-extensions'])
        seen[name] = peer.field(name);
      if (seen['sec-websocket-protocol']) {
        await peer.send([HELLO(user)]);
        await peer.until(() => peer.welcome, 'the welcome');
      }
      await peer.send([close(1000)]);
      await peer.until(() => peer.close === 1000, 'the answer to close');
    } else {
      seen.version = peer.head && peer.field('sec-websocket-version');
    }
    await peer.until(() => peer.ended, 'the end of the connection');
    return seen;
  } finally {
    peer.socket.destroy();
  }
}

function compareHandshake(one, seen) {
  assert.equal(seen.status, one.status);
  if (one.status === 426)
    assert.equal(seen.version, '13', 'a refusal names the version that is spoken');
  if (one.status !== 101)
    return;
  assert.equal(seen.upgrade.toLowerCase(), 'websocket');
  assert.equal(seen.connection.toLowerCase(), 'upgrade');
  assert.equal(seen['sec-websocket-accept'],
    createHash('sha1').update(`${seen.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64'));
  assert.equal(seen['sec-websocket-extensions'], undefined, 'no extension');
  if ('protocol' in one)
    assert.equal(seen['sec-websocket-protocol'], one.protocol);
}

/*
 * All at once, and then one test for each
 */
const plain = [
  ...frameCases.map((one) => ({ one, run: runFrames, compare: compareFrames })),
  ...handshakeCases.map((one) => ({ one, run: runHandshake, compare: compareHandshake })),
];
const overTls = plain.filter((_, i) => i % 6 === 0).map((c) => ({ ...c, tls: true }));
const cases = [...plain, ...overTls];

let started;
async function runAll() {
  secure = await s.stack.addRelay({
    metrics_port: await freePort(), tls_certificate_file: certificate.crt, tls_key_file: certificate.key,
  });
  let at = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (at < cases.length) {
      const c = cases[at++];
      try {
        c.seen = await c.run(c.tls ? secure : s.relay, c.one);
      } catch (error) {
        c.error = error;
      }
    }
  }));
}

for (const c of cases)
  test(`RFC 6455 ${c.one.name}${c.tls ? ', over TLS' : ''}`, async (t) => {
    await (started ??= runAll());
    try {
      if (c.error)
        throw c.error;
      c.compare(c.one, c.seen);
    } catch (error) {
      if (!c.one.library || c.error)
        throw error;
      c.compare({ ...c.one, ...c.one.library }, c.seen);
      t.diagnostic(`the library ${c.one.library.why}`);
    }
  });

s.test('both relays live, and hold no connection of all these', async () => {
  for (const relay of [s.relay, secure]) {
    await waitUntil(async () => (await metrics(relay))('connections') === 0, { what: 'the last connection to go' });
    assert.equal((await fetch(`${relay.probes}/ready`)).status, 200);
  }
});
