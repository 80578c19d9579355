/*
 * limits.test.mjs
 *     Everything is bounded: messages, silence, strangers, slow readers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  created, cursorOf, entry, http, iso, newUser, rawSocket, replica, sleep, useStack, userToken,
  waitUntil,
} from './harness.mjs';

const s = useStack({
  relay: { handshake_timeout: '1s', heads_poll_interval: '1s', session_queue_max_bytes: '1MB' },
});

/* residentMB is the memory of the relay, as the kernel sees it. */
const residentMB = (relay) => Number(/VmRSS:\s+(\d+)/
  .exec(readFileSync(`/proc/${relay.pid}/status`, 'utf8'))[1]) / 1024;

/* ofSize makes an ENTRY_CREATED of exactly so many bytes. */
function ofSize(bytes) {
  const e = entry({ notes: '' });
  const message = () => JSON.stringify(created(e));
  e.notes = 'x'.repeat(bytes - Buffer.byteLength(message()));
  const text = message();
  assert.equal(Buffer.byteLength(text), bytes);
  return text;
}

s.test('a message of 64 KiB is taken, one byte more closes with 1009', async () => {
  const user = newUser();
  const a = await s.live(user);
  const b = await s.live(user);
  const { answer } = await a.exchange(ofSize(65536));
  assert.equal(answer.type, 'SYNC_RESPONSE');
  await b.event('ENTRY_CREATED');
  a.send(ofSize(65537));
  assert.equal((await a.ended).code, 1009);
  assert.equal(await s.head(user), 1);
  await b.push(created(entry()));
});

s.test('the limit holds for a message in many frames', async () => {
  const a = await s.live(newUser());
  for (let i = 0; i < 70; i++)
    a.socket.send('x'.repeat(1000), { fin: false });
  assert.equal((await a.ended).code, 1009);

  const user = newUser();
  const b = await s.live(user);
  const text = ofSize(5000);
  for (let i = 0; i < text.length; i += 500)
    b.socket.send(text.slice(i, i + 500), { fin: i + 500 >= text.length });
  const answer = (await b.until((m) => m.type === 'SYNC_RESPONSE')).at(-1);
  assert.equal(answer.lastSeq, 1);
});

s.test('invalid UTF-8 closes with 1007', async (t) => {
  const bad = {
    'a lone continuation byte': [0x80],
    'an overlong slash': [0xc0, 0xaf],
    'a surrogate': [0xed, 0xa0, 0x80],
    'beyond the last code point': [0xf4, 0x90, 0x80, 0x80],
    'a cut sequence': [0xe2, 0x82],
  };
  for (const [name, bytes] of Object.entries(bad))
    await t.test(name, async () => {
      const user = newUser();
      const device = await s.live(user);
      const text = Buffer.from(JSON.stringify(created(entry({ notes: 'HERE' }))));
      const at = text.indexOf('HERE');
      device.socket.send(Buffer.concat([text.subarray(0, at), Buffer.from(bytes),
        text.subarray(at + 4)]), { binary: false });
      assert.equal((await device.ended).code, 1007);
      assert.equal(await s.head(user), 0);
    });
});

s.test('a binary message is no message of this protocol', async () => {
  const user = newUser();
  const device = await s.live(user);
  device.socket.send(Buffer.from([0, 1, 2, 255]), { binary: true });
  await device.waiting(() => device.messages.slice(device.read).some((m) => m.type === 'ERROR')
    || undefined, 'an error').catch(() => assert.ok(device.closed));
  if (device.closed)
    assert.ok([1003, 1007].includes(device.closed.code), `closed with ${device.closed.code}`);
  assert.equal(await s.head(user), 0);
});

s.test('peers that never ask are closed', async () => {
  const silent = await rawSocket(s.relay);
  const half = await rawSocket(s.relay);
  half.write('GET /sync/ws?userId=x HTTP/1.1\r\nHost: x\r\n');
  const dripping = await rawSocket(s.relay);
  const drip = setInterval(() => dripping.writable && dripping.write('G'), 200);
  const start = Date.now();
  try {
    await Promise.all([silent.ended, half.ended, dripping.ended]);
  } finally {
    clearInterval(drip);
  }
  assert.ok(Date.now() - start < 8000, `took ${Date.now() - start} ms`);
});

s.test('garbage and huge requests open nothing and harm nobody', async () => {
  const device = await s.live(newUser());
  const requests = [
    '\r\n\r\n\r\n\r\n',
    '\0\0\0\0\0\0\0\0\r\n\r\n',
    'NONSENSE\r\n\r\n',
    `GET /${'a'.repeat(100000)} HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\n${'X-Filler: y\r\n'.repeat(5000)}\r\n`,
    'POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nabc',
    'GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /health HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ];
  for (const request of requests) {
    const socket = await rawSocket(s.relay);
    let answer = '';
    socket.on('data', (data) => { answer += data; });
    socket.write(Buffer.from(request, 'latin1'));
    await socket.ended;
    assert.ok(!/^HTTP\/1\.[01] 101/.test(answer));
  }
  await device.push(created(entry()));
  assert.equal((await http(s.relay, '/health')).status, 200);
  assert.ok(s.relay.running);
});

s.test('a crowd of strangers does not keep users out', async () => {
  const strangers = [];
  for (let i = 0; i < 300; i++)
    strangers.push(await rawSocket(s.relay).catch(() => null));
  const user = newUser();
  const device = await s.live(user);
  await device.push(created(entry()));
  for (const stranger of strangers)
    stranger?.destroy();
});

s.test('after garbage in a session it is closed, the others go on', async () => {
  const user = newUser();
  const witness = await s.live(user);
  const socket = await rawSocket(s.relay);
  socket.write(`GET /sync/ws?userId=${user}&token=${userToken(s.stack.secret, user)} HTTP/1.1\r\n`
    + 'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
    + 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
  await socket.ended;
  await witness.push(created(entry()));
});

s.test('a silent session is closed, one that pings is not', async () => {
  const relay = await s.stack.addRelay({ idle_timeout: '2s' });
  const user = newUser();
  const silent = await s.live(user, { relay });
  const talking = await s.live(user, { relay });
  const ping = setInterval(() => talking.send({ type: 'PING', timestamp: iso() }), 500);
  try {
    const start = Date.now();
    const { code } = await silent.ended;
    assert.ok(Date.now() - start < 8000);
    assert.notEqual(code, 1000, 'the application reconnects after anything but 1000');
    await sleep(2500);
    assert.equal(talking.closed, null);
    await talking.push(created(entry()));
  } finally {
    clearInterval(ping);
  }
  await relay.stop();
});

s.test('a reader that stops reading slows nobody and costs bounded memory', async () => {
  const user = newUser();
  const slow = await s.live(user);
  const quick = await s.live(user);
  slow.socket.pause();
  const before = residentMB(s.relay);
  /* 30 MB: more than all buffers between the relay and a stopped reader. */
  const rounds = 30;
  for (let i = 0; i < rounds; i++)
    await s.query(`INSERT INTO mirusync.document (feed, collection, id, data)
      SELECT $1, 'logbook_entry', $2 || '-' || i, jsonb_build_object('id', $2 || '-' || i,
        'timestamp', 1700000000000, 'duration', 60, 'type', 'practice', 'instrument', 'piano',
        'pieces', '[]'::jsonb, 'techniques', '[]'::jsonb, 'goal_ids', '[]'::jsonb,
        'tags', '[]'::jsonb, 'notes', repeat('x', 10000))
      FROM generate_series(1, 100) AS i`, [user, `r${i}`]);
  await quick.waiting(() => cursorOf(quick.messages) >= rounds * 100 || undefined,
    'everything at the quick reader', 30000);
  const grown = residentMB(s.relay) - before;
  assert.ok(grown < 40, `the relay grew by ${grown.toFixed(0)} MB`);

  /* Pushes still go through at once. */
  const start = performance.now();
  await quick.push(created(entry()));
  assert.ok(performance.now() - start < 2000);

  /* The slow one catches up by its cursor, in this session or a new one. */
  slow.socket.resume();
  const head = await s.head(user);
  const state = new Map();
  await slow.waiting(() => (slow.closed || cursorOf(slow.messages) >= head) || undefined,
    'the slow reader to catch up or be closed', 30000);
  replica(slow.messages, state);
  if (slow.closed) {
    assert.ok(![1000, 1006].includes(slow.closed.code), `closed with ${slow.closed.code}`);
    const again = await s.open(user);
    await again.sync({ lastSeq: cursorOf(slow.messages) }, 30000);
    replica(again.messages, state);
  }
  assert.equal(state.size, (await s.records(user)).length);
});

s.test('one who sends without reading answers is bounded as well', async () => {
  const user = newUser();
  const flood = await s.live(user);
  const other = await s.live(newUser());
  flood.socket.pause();
  const before = residentMB(s.relay);
  let sent = 0;
  while (!flood.closed && flood.socket.readyState === 1 && sent < 20000) {
    for (let i = 0; i < 200; i++, sent++)
      flood.send('not json');
    await sleep(2);
    if (flood.socket.bufferedAmount > 1 << 20)
      break;
  }
  const start = performance.now();
  await other.push(created(entry()));
  assert.ok(performance.now() - start < 3000);
  assert.ok(residentMB(s.relay) - before < 30);
  flood.terminate();
});

s.test('sessions that end leave no memory and no place taken', async () => {
  const user = newUser();
  for (let round = 0; round < 30; round++) {
    const devices = await Promise.all(Array.from({ length: 10 }, () => waitUntil(
      () => s.open(user).catch(() => null), { what: 'a place' })));
    for (const device of devices)
      if (round % 2)
        device.terminate();
      else
        device.close();
    await Promise.all(devices.map((device) => device.ended));
  }
  await waitUntil(() => s.open(user).catch(() => null), { what: 'a place' });
});
