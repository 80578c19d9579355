/*
 * sessions.test.mjs
 *     Ten thousand sessions leave nothing behind, and a thousand peers that do
 *     nothing right take nothing from the others.
 *
 * The first is run twice: with the relay as it is, whose memory and descriptors
 * must be what they were, and with one built with ASan, LSan and UBSan, which
 * ends with an error if anything was not freed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../../../tools/stack.mjs';
import { makeCertificate } from '../certificate.mjs';
import {
  created, Device, entry, freePort, http, metrics, newUser, rawSocket, sleep, upgrade, useStack, userToken, waitUntil,
} from '../harness.mjs';
import { api, NativeDevice } from '../native.mjs';

const run = promisify(execFile);
const SESSIONS = Number(process.env.MIRUSYNC_SESSIONS || 10000);
const WARM = 2000; /* until all buffers have the size that they keep */
const AT_ONCE = 50;
const MOST_BYTES = 1 << 20; /* that the allocator may keep, however many came */
const MOST_BYTES_PER_SESSION = 100;

const dir = mkdtempSync(`${tmpdir()}/mirusync-sessions-`);
chmodSync(dir, 0o755);
after(() => rmSync(dir, { recursive: true, force: true }));
const certificate = await makeCertificate(dir, 'relay');

const LIMITS = { connections_per_user: 10000, handshake_timeout: '2s', idle_timeout: '10min', drain_timeout: '2s' };

const s = useStack({ relays: 0, relay: LIMITS, postgres: { max_connections: 60 } });
const users = Array.from({ length: 40 }, () => newUser('many'));
let prepared;
const prepare = () => prepared ??= s.query("SELECT mirusync.create_collection('note', 'lww_field')");

const residentBytes = (relay) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${relay.pid}/status`, 'utf8'))[1]) * 1024;
const descriptors = (relay) => readdirSync(`/proc/${relay.pid}/fd`).length;

/* The ways in which a connection comes and goes. */
const ways = [
  async (relay, user, i, options) => {
    const device = await NativeDevice.open(relay, user, { device: `d${i}`, ...options });
    await device.put('note', `n${i % 20}`, { x: i });
    await device.close();
  },
  async (relay, user, i, options) => {
    const device = await Device.live(relay, user, options);
    await device.push(created(entry({ id: `e${i % 20}` })));
    device.terminate();
    await device.ended;
  },
  async (relay, user, i, options) => {
    const device = await NativeDevice.open(relay, user, { device: `d${i}`, ...options });
    device.say({ type: 'push', changes: [device.change('patch', 'note', 'n1', { x: i })] });
    device.terminate();
    await device.ended;
  },
  async (relay, user, i, options) => {
    const device = new Device(relay, user, { query: '?auth=message', ...options });
    await device.opened;
    device.send({ type: 'AUTH', token: i % 2 ? 'x.y.z' : userToken(s.stack.secret, user) });
    await device.close();
  },
  async (relay, user, i, options) => {
    const device = await Device.open(relay, user, options);
    device.socket.send(i % 2 ? Buffer.from([1]) : 'x'.repeat(70000), { binary: i % 2 === 1 });
    await device.ended;
  },
];
const waysInPlain = [
  ...ways,
  (relay, user, i) => api(relay, user, '/sync/push', { body: { device: `h${i % 50}`,
    changes: [{ number: i + 1, kind: 'patch', collection: 'note', id: 'n2', fields: { x: i } }] } }),
  (relay, user) => upgrade(relay, `/sync/ws?userId=${user}&token=bad`),
  (relay) => http(relay, '/health'),
  async (relay, user, i) => {
    const socket = await rawSocket(relay);
    socket.write('GET /sync/ws HTTP/1.1\r\nHost: x\r\n'.slice(0, i % 36));
    socket[i % 2 ? 'end' : 'resetAndDestroy']();
    await socket.ended;
  },
];

async function sessions(relay, from, count) {
  const list = relay.tls ? ways : waysInPlain;
  let at = from;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (at < from + count) {
      const i = at++;
      await list[i % list.length](relay, users[i % users.length], i, relay.tls ? { ca: certificate.ca } : {});
    }
  }));
  await waitUntil(async () => (await metrics(relay))('connections') === 0, { what: 'the last connection to go', timeout: 20000 });
}

const addRelay = async (settings = {}) => s.stack.addRelay({ metrics_port: await freePort(), ...settings });
const tls = { tls_certificate_file: certificate.crt, tls_key_file: certificate.key };

for (const [how, settings, share] of [['', {}, 0.8], [' over TLS', tls, 0.2]])
  s.test(`ten thousand sessions leave no memory and no descriptor${how}`, async (t) => {
    await prepare();
    const relay = await addRelay(settings);
    await sessions(relay, 0, WARM * share);
    const before = { bytes: residentBytes(relay), files: descriptors(relay) };
    await sessions(relay, WARM, SESSIONS * share);
    await waitUntil(() => descriptors(relay) <= before.files, { what: 'descriptors to be closed' });
    const grown = residentBytes(relay) - before.bytes;
    t.diagnostic(`${grown} bytes more after ${SESSIONS * share} sessions`);
    assert.ok(grown < MOST_BYTES + SESSIONS * share * MOST_BYTES_PER_SESSION, `${grown} bytes more`);
    assert.equal((await relay.stop()).code, 0);
  }, { timeout: 300000 });

s.test('ten thousand sessions of a relay that counts its memory', async () => {
  await prepare();
  /* The library of the database and OpenSSL keep things; what is ours must go. */
  cpSync(`${ROOT}/relay`, `${dir}/relay`, { recursive: true });
  cpSync(`${ROOT}/mirusync.control`, `${dir}/mirusync.control`);
  await run('make', ['-s', '-C', `${dir}/relay`, 'clean']);
  await run('make', ['-s', '-C', `${dir}/relay`, `-j${cpus().length}`, 'SANITIZE=address,undefined'], { maxBuffer: 1 << 24 });
  process.env.MIRUSYNC_RELAY = `${dir}/relay/mirusync-relay`;
  try {
    for (const [settings, share] of [[{}, 0.8], [tls, 0.2]]) {
      const relay = await addRelay(settings);
      await sessions(relay, 0, SESSIONS * share);
      assert.deepEqual(await relay.stop(), { code: 0, signal: null }, relay.log.slice(-3000));
      assert.doesNotMatch(relay.log, /runtime error|AddressSanitizer|LeakSanitizer/);
    }
  } finally {
    delete process.env.MIRUSYNC_RELAY;
  }
}, { timeout: 500000 });

s.test('a thousand silent, half-open and slow peers change nothing for the others', async (t) => {
  await prepare();
  const relay = await addRelay({ session_queue_max_bytes: '1MB', handshake_timeout: '5min' });
  const peers = [];
  const crowd = newUser('crowd');
  for (let i = 0; i < 330; i++) {
    peers.push(await rawSocket(relay));
    const half = await rawSocket(relay);
    half.write(`GET /sync/ws?userId=${crowd} HTTP/1.1\r\nHost: x\r\n`);
    peers.push(half);
  }
  /* Half a frame, and then nothing. */
  for (let i = 0; i < 40; i++) {
    const half = await Device.open(relay, crowd);
    half.socket._socket.write(Buffer.from([0x81, 0xfe, 0xff]));
    peers.push({ destroy: () => half.terminate() });
  }
  const slow = [];
  for (let i = 0; i < 300; i++) {
    const device = await NativeDevice.live(relay, crowd, { device: `slow${i}` });
    device.socket.pause();
    slow.push(device);
    peers.push({ destroy: () => device.terminate() });
  }
  t.diagnostic(`${(await metrics(relay))('connections')} connections, ${Math.round(residentBytes(relay) / 1048576)} MB`);

  const user = newUser('well');
  const devices = [];
  for (let i = 0; i < 4; i++)
    devices.push(await (i % 2 ? Device.live(relay, user) : NativeDevice.live(relay, user, { device: `w${i}` })));
  const [a, b] = devices;
  /* Much comes for those who do not read, in the same moments. */
  let done = false;
  const flood = (async () => {
    for (let n = 0; !done && n < 30; n++) {
      await s.query(`INSERT INTO mirusync.document (feed, collection, id, data)
        SELECT $1, 'note', 'f' || i, jsonb_build_object('x', repeat('x', 10000)) FROM generate_series($2::int, $2 + 9) i`, [crowd, n * 10]);
    }
  })();
  for (let i = 0; i < 100; i++) {
    await a.put('note', `n${i}`, { x: i });
    await b.push(created(entry()));
  }
  const head = await s.head(user);
  assert.equal(head, 200);
  await devices[2].caughtUp(head);
  await devices[3].waiting(() => devices[3].events.some((m) => m.seq === head - (head % 2)) || undefined, 'the last change');
  assert.equal(devices[2].state.size, 200);
  done = true;
  await flood;
  devices.forEach((device) => { device.sound?.(); device.terminate(); });

  /* Those who begin to read again have everything in the end, here or in a new session. */
  const crowdHead = await s.head(crowd);
  for (const device of slow.slice(0, 10)) {
    device.socket.resume();
    await device.waiting(() => device.closed || device.cursor.seq >= crowdHead || undefined, 'all of it', 30000);
    device.sound();
    if (!device.closed)
      assert.equal(device.state.size, 300);
  }
  peers.forEach((peer) => peer.destroy());
  await waitUntil(async () => (await metrics(relay))('connections') === 0, { what: 'the last connection to go', timeout: 20000 });
  await sleep(0);
  await relay.stop();
}, { timeout: 180000 });
