/*
 * proxy.test.mjs
 *     The relay behind proxies: nginx and HAProxy with the examples that we
 *     ship, a Unix socket, and whom X-Forwarded-For makes of a connection.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { after } from 'node:test';
import { makeCertificate } from './certificate.mjs';
import {
  created, Device, entry, freePort, http, metrics, newUser, upgrade, useStack, userToken,
  waitUntil,
} from './harness.mjs';
import { api } from './native.mjs';

const dir = await mkdtemp(`${tmpdir()}/mirusync-proxy-`);
await chmod(dir, 0o755);
await mkdir(`${dir}/run`);
await chmod(`${dir}/run`, 0o777);
const certificate = await makeCertificate(dir, 'proxy');
const children = [];
after(async () => {
  for (const child of children)
    child.kill('SIGTERM');
  await Promise.all(children.map((child) => child.ended));
  await rm(dir, { recursive: true, force: true });
});

const socketPath = `${dir}/run/relay.sock`;
const s = useStack({
  relay: {
    metrics_port: await freePort(), listen_socket: socketPath, listen_socket_mode: '0666',
    trusted_proxies: '127.0.0.1 10.0.0.0/8', connections_per_address: 3,
  },
});

const example = (name) => readFile(new URL(`../../contrib/${name}`, import.meta.url), 'utf8');

/* change replaces what must stand in an example. */
function change(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `the example has ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/* run starts a proxy and waits until it answers /health over TLS at that port. */
async function run(command, args, port) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (data) => { output += data; });
  child.stderr.on('data', (data) => { output += data; });
  child.ended = new Promise((resolve) => {
    child.once('exit', resolve);
    child.once('error', (error) => { output += error.message; resolve(1); });
  });
  let over = false;
  child.ended.then(() => { over = true; });
  children.push(child);
  await waitUntil(() => {
    assert.ok(!over, `${command} ended:\n${output}`);
    return new Promise((resolve) => connect(port, '127.0.0.1')
      .on('connect', function () { this.destroy(); resolve(true); }).on('error', () => resolve(false)));
  }, { what: `${command} to listen` });
  return () => output;
}

/* addressOf is the address in the log line of a user's session. */
const addressOf = (user) => waitUntil(
  () => new RegExp(`session opened .*user=${user} address=(\\S+)`).exec(s.relay.log)?.[1],
  { what: 'the line of the session' });

const probe = (port, path) => new Promise((resolve, reject) => {
  requestTls(`https://127.0.0.1:${port}${path}`, { ca: certificate.ca, agent: false }, (response) => {
    response.resume();
    resolve(response.statusCode);
  }).on('error', reject).end();
});

/* check syncs two devices through a proxy, and wants no token in what it logged. */
async function check(port, logged) {
  const there = { stack: s.stack, ws: `wss://127.0.0.1:${port}`, url: `https://127.0.0.1:${port}`, tls: true };
  const user = newUser();
  const forged = { 'X-Forwarded-For': '203.0.113.77' };
  const a = await s.live(user, { relay: there, ca: certificate.ca, headers: forged });
  const b = await s.live(user, { relay: there, ca: certificate.ca });
  await a.push(created(entry({ notes: 'x'.repeat(50000) })));
  assert.equal((await b.event('ENTRY_CREATED')).entry.notes.length, 50000);
  assert.equal(await addressOf(user), '127.0.0.1', 'what the client says of itself does not count');
  await b.close();
  /* The fallback, with a body and a wait, and the probes. */
  const pushed = await api(there, user, '/sync/push', { ca: certificate.ca, body: { device: 'd', changes: [] } });
  assert.equal(pushed.status, 200);
  assert.equal((await api(there, user, '/sync/pull?after=1&wait=1', { ca: certificate.ca })).status, 200);
  for (const path of ['/health', '/ready', '/metrics'])
    assert.equal(await probe(port, path), path === '/metrics' ? 404 : 200, path);
  await a.close();
  const token = userToken(s.stack.secret, user);
  const bad = new Device(there, user, { token: `${token}x`, ca: certificate.ca });
  await assert.rejects(bad.opened, /refused: 401/);
  await waitUntil(async () => /\/sync\/ws/.test(await logged()), { what: 'lines in the proxy\'s log' });
  assert.doesNotMatch(await logged(), /token|eyJ/);
}

s.test('nginx, as in the example', async () => {
  const port = await freePort();
  const server = change(await example('nginx/mirusync.conf'), [
    ['unix:/run/mirusync/relay.sock', `unix:${socketPath}`],
    ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
    ['/etc/ssl/sync.example.org/fullchain.pem', certificate.crt],
    ['/etc/ssl/sync.example.org/privkey.pem', certificate.key],
    ['/var/log/nginx/', `${dir}/`],
  ]);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/nginx-${name};`).join('\n');
  await writeFile(`${dir}/nginx.conf`, `pid ${dir}/nginx.pid;\nevents {}\nhttp {\n${temporary}\n${server}\n}\n`);
  await run('nginx', ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', 'stderr', '-g', 'daemon off;'], port);
  await check(port, () => readFile(`${dir}/mirusync.log`, 'utf8'));
});

s.test('HAProxy, as in the example', async () => {
  const port = await freePort();
  await writeFile(`${dir}/proxy.pem`, certificate.ca + await readFile(certificate.key, 'utf8'));
  const config = change(await example('haproxy/haproxy.cfg'), [
    ['maxconn 40000', 'maxconn 1000'],
    ['bind :443', `bind 127.0.0.1:${port}`],
    ['/etc/haproxy/sync.example.org.pem', `${dir}/proxy.pem`],
    ['10.0.0.11:8787', `127.0.0.1:${s.relay.port}`],
    ['10.0.0.12:8787', `127.0.0.1:${s.relay.port}`],
  ]);
  await writeFile(`${dir}/haproxy.cfg`, config);
  const output = await run('haproxy', ['-db', '-f', `${dir}/haproxy.cfg`], port);
  await check(port, output);
});

/* ask makes a request through the Unix socket. */
const ask = (path, headers = {}) => new Promise((resolve, reject) => {
  const call = request({ socketPath, path, headers, agent: false }, (response) => {
    response.resume();
    response.on('end', () => resolve(response.statusCode));
  });
  call.on('upgrade', (response, socket) => {
    socket.destroy();
    resolve(101);
  });
  call.on('error', reject);
  call.end();
});

s.test('the Unix socket has its mode, answers, and shows no metrics', async () => {
  assert.equal((await stat(socketPath)).mode & 0o777, 0o666);
  assert.equal(await ask('/health'), 200);
  assert.equal(await ask('/metrics'), 404);
});

s.test('a socket that was left behind is taken over, a used one is not', async () => {
  const path = `${dir}/run/left.sock`;
  const settings = { metrics_port: 0, listen_socket: path };
  const relay = await s.stack.addRelay(settings);
  await relay.kill();
  assert.ok((await stat(path)).isSocket(), 'it was left behind');
  await relay.start();
  await assert.rejects(s.stack.addRelay(settings), /relay ended \(code 1/);
  assert.equal((await http(relay, '/health')).status, 200);
  await relay.stop();
  await assert.rejects(stat(path), /ENOENT/);
});

s.test('the client is the last address that is no proxy of ours', async (t) => {
  const cases = [
    ['203.0.113.9', '203.0.113.9'],
    ['198.51.100.1, 203.0.113.9, 10.1.1.1', '203.0.113.9'],
    ['10.1.1.2, 10.1.1.1', '10.1.1.2'],
    ['2001:db8::7', '2001:db8::7'],
    ['nonsense', 'unknown'],
    [undefined, 'unknown'],
  ];
  for (const [header, client] of cases)
    await t.test(`${header}`, async () => {
      const user = newUser();
      const device = await s.open(user, { headers: header ? { 'X-Forwarded-For': header } : {} });
      assert.equal(await addressOf(user), client);
      await device.close();
    });
});

s.test('a stranger is not believed', async () => {
  const relay = await s.stack.addRelay({
    metrics_port: 0, listen_socket: '', trusted_proxies: '10.0.0.0/8',
  });
  const user = newUser();
  const device = await s.open(user, { relay, headers: { 'X-Forwarded-For': '203.0.113.9' } });
  await waitUntil(() => new RegExp(`user=${user} address=127.0.0.1\\n`).test(relay.log));
  await device.close();
});

s.test('limits by address are those of the client behind the proxy', async () => {
  const before = await metrics(s.relay);
  const from = (address) => ({ headers: { 'X-Forwarded-For': address } });
  const devices = [];
  for (let i = 0; i < 3; i++)
    devices.push(await s.open(newUser(), from('203.0.113.20')));
  const user = newUser();
  const path = `/sync/ws?userId=${user}&token=${userToken(s.stack.secret, user)}`;
  const answer = await upgrade(s.relay, path, { 'X-Forwarded-For': '203.0.113.20' });
  assert.equal(answer.status, 429);
  assert.equal(answer.headers['retry-after'], '5');
  assert.deepEqual(answer.json, { error: 'Too many connections' });
  /* Whatever it asks for, and whatever its proxy asks for itself. */
  assert.equal((await http(s.relay, '/health', from('203.0.113.20'))).status, 429);
  assert.equal((await http(s.relay, '/health')).status, 200);
  const call = (address) => api(s.relay, newUser(), '/sync/status', from(address));
  assert.equal((await call('203.0.113.20')).body.error.reason, 'too many connections of the address');
  assert.equal((await call('198.51.100.1, 203.0.113.21')).status, 200);
  devices.push(await s.open(newUser(), from('203.0.113.21')));
  /* What the client itself wrote stands before that, as much as a head holds. */
  const long = `${'198.51.100.1, '.repeat(200)}203.0.113.20`;
  assert.equal((await http(s.relay, '/health', from(long))).status, 429);
  assert.equal((await call(long)).status, 429);
  const name = 'connections_refused_total{reason="connections_per_address"}';
  assert.equal((await metrics(s.relay))(name), before(name) + 5);
  /* One that leaves makes room. */
  await devices[0].close();
  await waitUntil(async () => (await upgrade(s.relay, path, { 'X-Forwarded-For': '203.0.113.20' })).upgraded);
  /* And 64 bits of IPv6 are one client. */
  for (let i = 0; i < 3; i++)
    devices.push(await s.open(newUser(), from(`2001:db8:1:2::${i}`)));
  assert.equal((await upgrade(s.relay, path, { 'X-Forwarded-For': '2001:db8:1:2:3::9' })).status, 429);
  devices.push(await s.open(newUser(), from('2001:db8:1:3::1')));
});

s.test('it stops in order, and takes its socket away', async () => {
  const device = await s.open(newUser());
  assert.deepEqual(await s.relay.stop(), { code: 0, signal: null });
  assert.equal((await device.ended).code, 1001);
  await assert.rejects(stat(socketPath), /ENOENT/);
});
