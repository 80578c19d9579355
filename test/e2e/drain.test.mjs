/*
 * drain.test.mjs
 *     Starting and stopping a relay: its options, its configuration, and how
 *     it leaves.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  created, cursorOf, entry, freePort, isAnswer, metrics, newUser, rawSocket, replica, sleep, useStack, waitUntil,
} from './harness.mjs';
import { useNative } from './native.mjs';

const s = useStack({ relays: 1 });
const native = useNative(s);

/* run starts the relay program and gives {code, stdout, stderr} when it ends. */
function run(args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(s.stack.relayBinary, args,
      { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const out = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => { out.stdout += data; });
    child.stderr.on('data', (data) => { out.stderr += data; });
    const force = setTimeout(() => child.kill('SIGKILL'), 10000);
    child.once('close', (code, signal) => {
      clearTimeout(force);
      resolve({ ...out, code, signal });
    });
  });
}

/* checkConfig runs --check-config over a file of these lines. */
async function checkConfig(lines, env) {
  const dir = await mkdtemp(join(tmpdir(), 'mirusync-config-'));
  try {
    const file = join(dir, 'relay.conf');
    await writeFile(file, lines.join('\n') + '\n');
    return { ...await run(['--check-config', '--config', file], env), file };
  } finally {
    await rm(dir, { recursive: true });
  }
}

const SECRET = 'a-secret-that-must-not-be-printed-anywhere';
const good = () => [`database = ${s.stack.relayConninfo}`, `jwt_secret = ${SECRET}`];

s.test('--help and --version', async () => {
  const help = await run(['--help']);
  assert.equal(help.code, 0);
  for (const word of ['--config', '--check-config', '--version', 'listen_port', 'jwt_secret',
    'idle_timeout'])
    assert.ok(help.stdout.includes(word), `--help names ${word}`);
  const version = await run(['--version']);
  assert.equal(version.code, 0);
  const control = readFileSync(new URL('../../mirusync.control', import.meta.url), 'utf8');
  const [, expected] = /default_version = '(.*)'/.exec(control);
  assert.ok(version.stdout.includes(expected), `${version.stdout.trim()} names ${expected}`);
  const unknown = await run(['--nonsense']);
  assert.equal(unknown.code, 2);
  assert.ok(unknown.stderr.includes('--nonsense') || /usage|--help/i.test(unknown.stderr));
});

s.test('--check-config says ok, or where the mistake is', async (t) => {
  const ok = await checkConfig(['# a comment', '', ...good(), 'listen_port = 0', 'idle_timeout = 5min',
    'session_queue_max_bytes = 1MB']);
  assert.equal(ok.code, 0, ok.stderr);
  assert.ok(`${ok.stdout}${ok.stderr}`.includes('configuration ok'));

  const bad = {
    'an unknown key': ['no_such_key = 1', 'no_such_key'],
    'a port that is none': ['listen_port = 99999', 'listen_port'],
    'a number that is none': ['connections_per_user = many', 'connections_per_user'],
    'a duration that is none': ['idle_timeout = 5 parsecs', 'idle_timeout'],
    'a size that is none': ['message_max_bytes = -1', 'message_max_bytes'],
    'a line that is none': ['just words', 'just words'],
  };
  for (const [name, [line, word]] of Object.entries(bad))
    await t.test(name, async () => {
      const result = await checkConfig([...good(), line]);
      assert.equal(result.code, 2);
      assert.ok(result.stderr.includes(result.file), `the file is named: ${result.stderr}`);
      assert.ok(/\b3\b/.test(result.stderr.replace(result.file, '')), `the line is named: ${result.stderr}`);
      assert.ok(result.stderr.includes(word) || name === 'a line that is none', result.stderr);
    });
  for (const line of ['listen_address = localhost', 'metrics_address = foo', 'static_dir = /nowhere/at/all',
    'jwt_leeway = 1500ms', 'database_pooled = 1'])
    await t.test(`what would not start or be taken: ${line}`, async () => {
      const result = await checkConfig([...good(), line]);
      assert.equal(result.code, 2);
      assert.ok(result.stderr.includes(line.split(' ')[0]), result.stderr);
    });
  await t.test('a missing secret', async () => {
    const result = await checkConfig([good()[0]]);
    assert.equal(result.code, 2);
    assert.ok(result.stderr.includes('jwt_secret'), result.stderr);
  });
  await t.test('a missing file', async () => {
    const result = await run(['--check-config', '--config', '/nonexistent/relay.conf']);
    assert.equal(result.code, 2);
    assert.ok(result.stderr.includes('/nonexistent/relay.conf'), result.stderr);
  });
  await t.test('the environment counts before the file', async () => {
    const result = await checkConfig(good(), { MIRUSYNC_LISTEN_PORT: 'x' });
    assert.equal(result.code, 2);
    assert.ok(result.stderr.includes('MIRUSYNC_LISTEN_PORT'), result.stderr);
    assert.equal((await checkConfig([], {
      MIRUSYNC_JWT_SECRET: SECRET, MIRUSYNC_DATABASE: s.stack.relayConninfo,
    })).code, 0);
  });
  await t.test('no secret is printed', async () => {
    for (const lines of [good(), [...good(), 'x = 1'], [`jwt_secret : ${SECRET}`]]) {
      const result = await checkConfig(lines);
      assert.ok(!`${result.stdout}${result.stderr}`.includes(SECRET));
    }
  });
});

s.test('a port that is taken is a clear failure', async () => {
  const taken = s.relay.port;
  const result = await run(['--config', s.relay.configPath],
    { MIRUSYNC_LISTEN_PORT: String(taken) });
  assert.notEqual(result.code, 0);
  assert.equal(result.signal, null, 'it ends by itself');
  assert.ok(result.stderr.includes(String(taken)), result.stderr);
});

s.test('a database that is not there yet is waited for', async () => {
  const port = await freePort();
  const relay = await s.stack.addRelay({
    database: `host=127.0.0.1 port=${port} user=mirusync_relay dbname=nothing`,
  }, { ready: false });
  assert.ok(relay.running);
  assert.equal((await fetch(`${relay.url}/health`)).status, 200);
  const ready = await fetch(`${relay.url}/ready`);
  if (ready.status !== 404)
    assert.equal(ready.status, 503);
  assert.equal((await relay.stop()).code, 0);
});

s.test('SIGTERM closes every session with 1001 and exits with 0', async () => {
  const relay = await s.stack.addRelay();
  const devices = [];
  for (let i = 0; i < 20; i++)
    devices.push(await s.live(newUser(), { relay }));
  const stranger = await rawSocket(relay);
  const start = Date.now();
  relay.signal('SIGTERM');
  for (const device of devices)
    assert.equal((await device.ended).code, 1001);
  const end = await relay.child.ended;
  assert.deepEqual([end.code, end.signal], [0, null]);
  assert.ok(Date.now() - start < 8000);
  assert.doesNotMatch(readFileSync(relay.logPath, 'utf8'), / warn .*open handles/, 'nothing held the loop open');
  await stranger.ended;
  await waitUntil(async () => (await s.query(`SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE usename = 'mirusync_relay'`))[0].n > 0, { what: 'only the other relay' });
});

s.test('what was acknowledged before a drain is stored, and a restart goes on', async () => {
  const relay = await s.stack.addRelay();
  const user = newUser();
  const device = await s.live(user, { relay });
  const entries = Array.from({ length: 300 }, () => entry());
  for (const e of entries)
    device.send(created(e));
  await device.waiting(() => device.messages.some((m) => m.message === 'Mutation applied')
    || undefined, 'an answer');
  const end = relay.stop();
  assert.equal((await device.ended).code, 1001);
  assert.equal((await end).code, 0);
  const answers = device.messages.slice(2).filter(isAnswer);
  assert.ok(answers.every((m) => m.type === 'SYNC_RESPONSE'));
  const keys = new Set((await s.records(user)).map((r) => r.key));
  answers.forEach((m, i) => assert.ok(keys.has(`logbook_entry/${entries[i].id}`)));

  await relay.start();
  const again = await s.open(user, { relay });
  await again.sync({ lastSeq: cursorOf(device.messages) });
  const state = replica(again.messages);
  assert.ok(answers.length + state.size >= keys.size);
  await relay.stop();
});

s.test('what was sent before a drain is answered before the close', async () => {
  const metrics_port = await freePort();
  const relay = await s.stack.addRelay({ metrics_port, drain_timeout: '10s' });
  const user = newUser();
  const device = await s.live(user, { relay });
  const phone = await native.live(user, { relay });
  await device.push(created(entry()));
  const lock = await s.client();
  try {
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
    for (let i = 0; i < 20; i++)
      device.send(created(entry()));
    const push = phone.put('logbook_entry', 'x', entry({ id: 'x' }));
    await waitUntil(async () => (await metrics(relay))('push_queue_messages') === 21,
      { what: 'the pushes to be under way' });
    relay.signal('SIGTERM');
    /* It is not read from any more: who sends this has to send it again. */
    await waitUntil(() => /stopping sessions/.test(relay.log));
    await sleep(300);
    device.send(created(entry({ id: 'late' })));
    await sleep(100);
    await lock.query('COMMIT');
    for (const answer of await device.answers(20))
      assert.equal(answer.type, 'SYNC_RESPONSE', answer.error);
    assert.equal((await push)[0].verdict, 'applied');
    const goodbye = await phone.type('goodbye');
    assert.equal(goodbye.code, 1001);
    assert.equal((await device.ended).code, 1001);
    assert.equal((await phone.ended).code, 1001);
    phone.sound();
    assert.equal(await s.head(user), 22);
    assert.equal(await s.document(user, 'logbook_entry', 'late'), undefined);
  } finally {
    await lock.end();
  }
  assert.deepEqual(await relay.child.ended, { code: 0, signal: null });
});

s.test('devices come back one after the other', async () => {
  const relay = await s.stack.addRelay({ drain_spread: '1s' });
  const devices = [];
  const phones = [];
  for (let i = 0; i < 12; i++) {
    devices.push(await s.live(newUser(), { relay }));
    phones.push(await native.live(newUser(), { relay }));
  }
  const closedAt = [];
  const start = Date.now();
  devices.forEach((device, i) => device.ended.then(() => { closedAt[i] = Date.now() - start; }));
  relay.signal('SIGTERM');
  /* Native devices are told a time; of the others those that are left go on. */
  const waits = await Promise.all(phones.map(async (phone) => (await phone.type('goodbye')).after_ms));
  const left = devices.find((device) => !device.closed && device.socket.readyState === 1);
  if (left)
    await left.push(created(entry())).catch((error) => assert.match(error.message, /1001/));
  assert.ok(waits.every((ms) => ms >= 0 && ms < 1000), String(waits));
  assert.ok(Math.max(...waits) - Math.min(...waits) > 100, String(waits));
  assert.deepEqual(await relay.child.ended, { code: 0, signal: null });
  await Promise.all(devices.map((device) => device.ended));
  assert.ok(Math.max(...closedAt) - Math.min(...closedAt) > 100, String(closedAt));
  for (const device of devices)
    assert.equal(device.closed.code, 1001);
});

s.test('a peer that does not answer the close does not hold up the drain for long', async () => {
  const relay = await s.stack.addRelay({ drain_timeout: '1s' });
  const device = await s.live(newUser(), { relay });
  device.socket.pause();
  const start = Date.now();
  assert.equal((await relay.stop()).code, 0);
  assert.ok(Date.now() - start < 6000);
  device.terminate();
});
