/*
 * tls.test.mjs
 *     TLS by the relay itself: what is spoken, and certificates that change.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { constants } from 'node:crypto';
import { copyFile, mkdtemp, chmod, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { after } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { makeCertificate } from './certificate.mjs';
import {
  created, entry, freePort, metrics, newUser, sleep, userToken, useStack, waitUntil,
} from './harness.mjs';
import { api, useNative } from './native.mjs';

const dir = await mkdtemp(`${tmpdir()}/mirusync-tls-`);
await chmod(dir, 0o755);
after(() => rm(dir, { recursive: true, force: true }));
const first = await makeCertificate(dir, 'first');
const second = await makeCertificate(dir, 'second');
const crt = `${dir}/relay.crt`;
const key = `${dir}/relay.key`;
const use = async (one) => {
  await copyFile(one.crt, crt);
  await copyFile(one.key, key);
};
await use(first);

const s = useStack({
  relay: {
    metrics_port: await freePort(), tls_certificate_file: crt, tls_key_file: key,
    session_pushes_max: 20, handshake_timeout: '2s',
  },
});
const ca = [first.ca, second.ca];
const n = useNative(s);

/* shake does a handshake and tells how it went: {protocol, name} or an error's code. */
const shake = (options = {}) => new Promise((resolve) => {
  const socket = connectTls({ port: s.relay.port, host: '127.0.0.1', ca, ...options }, () => {
    resolve({
      protocol: socket.getProtocol(), name: socket.getPeerCertificate().subject.CN,
      cipher: socket.getCipher().name, alpn: socket.alpnProtocol, socket,
    });
    if (!options.keep)
      socket.destroy();
  });
  socket.on('error', (error) => resolve({ error: error.code }));
});

s.test('a device syncs over TLS, with large messages both ways', async () => {
  const user = newUser();
  const a = await s.live(user, { ca });
  const b = await s.live(user, { ca });
  const e = entry({ notes: 'x'.repeat(60000) });
  for (let i = 0; i < 20; i++)
    await a.push(created({ ...e, id: `big-${i}` }));
  for (let i = 0; i < 20; i++)
    assert.equal((await b.event('ENTRY_CREATED')).entry.notes.length, 60000);
  await a.close();
});

s.test('TLS 1.2 and 1.3 are spoken, older ones and weak ciphers are not', async () => {
  assert.equal((await shake()).protocol, 'TLSv1.3');
  const old = { maxVersion: 'TLSv1.2' };
  const twelve = await shake(old);
  assert.equal(twelve.protocol, 'TLSv1.2');
  assert.match(twelve.cipher, /^ECDHE-.*(GCM|CHACHA20)/);
  for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA256', 'ECDHE-ECDSA-AES256-SHA'])
    assert.ok((await shake({ ...old, ciphers: `${ciphers}:@SECLEVEL=0` })).error, ciphers);
  assert.ok((await shake({
    minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0',
    secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT,
  })).error);
});

s.test('no HTTP/2, no tickets, and any server name will do', async () => {
  assert.equal((await shake({ ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'http/1.1');
  for (const servername of ['relay', 'relay-tls', 'localhost', 'example.org'])
    assert.equal((await shake({ servername, checkServerIdentity: () => undefined })).name, 'first');
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    let tickets = 0;
    const { socket } = await shake({ maxVersion, keep: true });
    socket.on('session', () => tickets++);
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    if (maxVersion === 'TLSv1.3')
      assert.equal(tickets, 0);
    else
      assert.equal(socket.getTLSTicket(), undefined);
    socket.destroy();
  }
});

s.test('who speaks no TLS gets no answer, and is counted', async () => {
  const before = await metrics(s.relay);
  const answers = await Promise.all(['GET /health HTTP/1.1\r\nHost: x\r\n\r\n', '\0\0\0\0', '']
    .map((text) => new Promise((resolve) => {
      const socket = connect(s.relay.port, '127.0.0.1');
      let got = '';
      socket.on('data', (data) => { got += data.toString('latin1'); });
      socket.on('error', () => {});
      socket.on('close', () => resolve(got));
      socket.write(text);
    })));
  for (const answer of answers)
    assert.doesNotMatch(answer, /HTTP|healthy/);
  await waitUntil(async () => (await metrics(s.relay))('tls_handshakes_failed_total')
    >= before('tls_handshakes_failed_total') + 3, { what: 'the failures to be counted' });
});

/* talk says pieces over TLS, each a record of its own, and gives what comes back. */
const talk = (pieces, { port = s.relay.port } = {}) => new Promise((resolve) => {
  const socket = connectTls({ port, host: '127.0.0.1', ca }, async () => {
    for (const piece of pieces) {
      socket.write(piece);
      await sleep(5);
    }
  });
  let text = '';
  socket.on('data', (data) => { text += data; });
  socket.on('error', () => {});
  socket.on('close', () => resolve(text));
});
const auth = (user) => `Authorization: Bearer ${userToken(s.stack.secret, user)}\r\n`;
const note = (number, fields) => ({ number, kind: 'put', collection: 'note', id: `n${number}`, fields });

s.test('over HTTP: push, pull, status, long poll and a ticket', async () => {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  const user = newUser();
  const ask = (path, options) => api(s.relay, user, path, { ca, ...options });
  const other = await n.live(user, { ca, device: 'tablet' });
  /* Bodies and pages of several records, both ways. */
  const push = await ask('/sync/push', { body: { device: 'phone', changes: [note(1, { text: 'x'.repeat(60000) })] } });
  assert.deepEqual([push.status, push.body.verdicts[0].verdict], [200, 'applied']);
  await other.caughtUp(1);
  for (let number = 2; number <= 10; number++)
    await other.push([note(number, { text: 'y'.repeat(50000) })]);
  const page = await ask('/sync/pull?after=0');
  assert.deepEqual(page.body.changes.map((c) => c.fields.text.length), [60000, ...Array(9).fill(50000)]);
  assert.deepEqual((await ask('/sync/status')).body.heads, { [user]: { epoch: 0, seq: 10 } });
  assert.equal((await ask('/sync/pull?feed=other')).status, 403);
  assert.equal((await ask('/sync/status', { token: 'nonsense' })).status, 401);

  let over = false;
  const waiting = ask('/sync/pull?after=10&wait=20').then((answer) => { over = true; return answer; });
  await sleep(100);
  assert.equal(over, false);
  await other.push([note(11, {})]);
  assert.deepEqual((await waiting).body.changes.map((c) => c.seq), [11]);

  const [head, body] = (await talk([`POST /sync/ticket HTTP/1.1\r\nHost: x\r\n${auth(user)}\r\n`])).split('\r\n\r\n');
  assert.match(head, /^HTTP\/1\.1 200/);
  await s.live(user, { ca, query: `?ticket=${JSON.parse(body).ticket}` });
});

s.test('requests over TLS in pieces', async () => {
  const user = newUser();
  const body = JSON.stringify({ device: 'd', changes: [note(1, {})] });
  const head = `POST /sync/push HTTP/1.1\r\nHost: x\r\n${auth(user)}Content-Length: ${body.length}\r\n`;
  const whole = `${head}\r\n${body}`;
  const cut = [whole.slice(0, 16), whole.slice(16, 70), whole.slice(70, head.length + 1), whole.slice(head.length + 1, -5),
    whole.slice(-5)];
  assert.match(await talk(cut), /^HTTP\/1\.1 200 [^]*"applied"/);
  const twice = await talk([whole + whole]);
  assert.equal(twice.match(/HTTP\/1\.1 /g).length, 1);
  assert.match(await talk([`${head}Expect: 100-continue\r\n\r\n`, body]),
    /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  assert.match(await talk([`GET /sync/pull HTTP/1.1\r\n${'X: y\r\n'.repeat(4000)}\r\n`]), /^HTTP\/1\.1 400 /);
  assert.match(await talk(['GET /sync/pushy HTTP/1.1\r\nHost: x\r\n\r\n']), /^HTTP\/1\.1 404 /);
  assert.match(await talk(['G', 'ET /hea', 'lth HTTP/1.1\r\nHost: x\r\n\r\n']), /^HTTP\/1\.1 200 /);
});

s.test('who goes away or falls silent over TLS is let go, and costs no time', async () => {
  const user = newUser();
  const before = await metrics(s.relay);
  const open = (m) => m('connections') - before('connections');
  const hello = await new Promise((resolve) => {
    const listener = createServer((socket) => socket.once('data', (data) => {
      socket.destroy();
      listener.close(() => resolve(data));
    })).listen(0, '127.0.0.1', () => connectTls({ port: listener.address().port, host: '127.0.0.1', ca })
      .on('error', () => {}));
  });
  const body = `POST /sync/push HTTP/1.1\r\n${auth(user)}Content-Length: 500\r\n\r\n{"device":`;
  const wait = `GET /sync/pull?wait=60 HTTP/1.1\r\n${auth(user)}\r\n`;
  const plain = (data) => new Promise((resolve) => {
    const socket = connect(s.relay.port, '127.0.0.1', () => { socket.write(data); resolve(socket); });
    socket.on('error', () => {});
  });
  const secure = async (text) => {
    const { socket } = await shake({ keep: true });
    if (text)
      socket.write(text);
    return socket;
  };
  const all = () => Promise.all([plain(hello.subarray(0, 100)), plain(hello), secure(), secure('GET /sync/p'),
    secure('POST /sync/push HTTP/1.1\r\n'), secure(body), secure(wait)]);

  const gone = await all();
  await waitUntil(async () => open(await metrics(s.relay)) === gone.length, { what: 'all to be there' });
  await sleep(50);
  for (const [i, socket] of gone.entries())
    socket[i % 2 ? 'end' : 'destroy']();
  await waitUntil(async () => open(await metrics(s.relay)) === 0, { what: 'those that went to be gone' });

  const start = (await metrics(s.relay))('process_cpu_seconds_total');
  const silent = await all();
  /* The handshake's time holds for all but the one that waits for an answer. */
  await waitUntil(async () => open(await metrics(s.relay)) === 1, { what: 'the silent ones to be dropped' });
  assert.ok((await metrics(s.relay))('process_cpu_seconds_total') - start < 0.7, 'the relay did not spin');
  silent.at(-1).destroy();
  await waitUntil(async () => open(await metrics(s.relay)) === 0, { what: 'the last one to be gone' });
  assert.equal((await api(s.relay, user, '/sync/status', { ca })).status, 200);
});

s.test('those that shook hands and say nothing make room for others', async () => {
  const relay = await s.stack.addRelay({ metrics_port: await freePort(), handshakes_max: 3, handshake_timeout: '1h' });
  const there = { port: relay.port, keep: true };
  const silent = [];
  for (let i = 0; i < 3; i++)
    silent.push((await shake(there)).socket);
  const ended = new Promise((resolve) => silent[0].on('close', resolve));
  silent[0].on('error', () => {});
  assert.equal((await api(relay, newUser(), '/sync/status', { ca })).status, 200);
  await ended;
  assert.equal((await metrics(relay))('connections_refused_total{reason="handshakes_max"}'), 1);
  for (const socket of silent)
    socket.destroy();
});

/* preloaded runs body with relays whose write() stops for a while after a flight of a handshake. */
async function preloaded(body) {
  const { relayBinary } = s.stack;
  await writeFile(`${dir}/slow.c`, `#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
ssize_t write(int fd, const void *buf, size_t len)
{
	ssize_t (*next)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t)) dlsym(RTLD_NEXT, "write");
	ssize_t done = next(fd, buf, len);
	if (len > 5 && *(const char *) buf == 22)
		usleep(50000);
	return done;
}
`);
  await promisify(execFile)('cc', ['-shared', '-fPIC', '-o', `${dir}/slow.so`, `${dir}/slow.c`, '-ldl']);
  await writeFile(`${dir}/slow`, `#!/bin/sh\nLD_PRELOAD=${dir}/slow.so exec ${relayBinary} "$@"\n`, { mode: 0o755 });
  Object.defineProperty(s.stack, 'relayBinary', { value: `${dir}/slow`, configurable: true });
  try {
    await body();
  } finally {
    delete s.stack.relayBinary;
  }
}

/* A relay that has no processor for a moment finds the client's answer there, and is done in one go. */
s.test('a handshake that is over at once is one like others', async (t) => {
  if (process.env.MIRUSYNC_RELAY || process.env.MIRUSYNC_RELAY_UNDER)
    t.skip('it is about our own build');
  else
    await preloaded(async () => {
      const relay = await s.stack.addRelay({ metrics_port: await freePort() });
      for (let i = 0; i < 3; i++)
        assert.equal((await api(relay, newUser(), '/sync/status', { ca })).status, 200);
      assert.equal((await metrics(relay))('tls_handshakes_failed_total'), 0);
    });
});

s.test('a session that is held back over TLS costs no processor time, and goes on', async () => {
  const user = newUser();
  const a = await s.live(user, { ca });
  const before = await metrics(s.relay);
  const lock = await s.client();
  try {
    await a.push(created(entry({ id: 'locked' })));
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
    for (let i = 0; i < 200; i++)
      a.send(created(entry({ notes: 'x'.repeat(5000) })));
    await waitUntil(async () => (await metrics(s.relay))('held_back_total{bound="session_pushes_max"}')
      > before('held_back_total{bound="session_pushes_max"}'), { what: 'the session to be held back' });
    const start = (await metrics(s.relay))('process_cpu_seconds_total');
    await sleep(1500);
    const used = (await metrics(s.relay))('process_cpu_seconds_total') - start;
    assert.ok(used < 0.7, `${used} s of processor time in 1.5 s`);
  } finally {
    await lock.query('ROLLBACK');
    await lock.end();
  }
  for (const answer of await a.answers(200, 30000))
    assert.equal(answer.type, 'SYNC_RESPONSE', answer.error);
});

s.test('a reader that stops over TLS is moved to catch-up, and has everything when it reads', async () => {
  const user = newUser();
  const before = await metrics(s.relay);
  const slow = await s.live(user, { ca });
  const writer = await s.live(user, { ca });
  slow.socket._socket.pause();
  const ids = new Set();
  for (let i = 0; i < 120; i++) {
    const e = entry({ notes: 'x'.repeat(50000) });
    ids.add(e.id);
    await writer.push(created(e));
  }
  await waitUntil(async () => (await metrics(s.relay))('catch_ups_total{cause="slow"}')
    > before('catch_ups_total{cause="slow"}'), { what: 'the slow one to be moved' });
  slow.socket._socket.resume();
  await waitUntil(() => {
    const got = new Set(slow.events.flatMap((e) => e.entries ?? [e.entry]).map((e) => e.id));
    return [...ids].every((one) => got.has(one));
  }, { timeout: 20000, what: 'the slow one to have it all' });
});

s.test('a new certificate is shown, and sessions go on', async () => {
  const user = newUser();
  const a = await s.live(user, { ca });
  const before = await metrics(s.relay);
  assert.equal((await shake()).name, 'first');
  await use(second);
  /* By itself, within seconds. */
  await waitUntil(async () => (await shake()).name === 'second', { what: 'the new certificate' });
  const b = await s.live(user, { ca });
  await b.push(created(entry()));
  await a.event('ENTRY_CREATED');
  assert.equal(a.closed, null);
  const m = await metrics(s.relay);
  assert.ok(m('tls_certificate_loads_total{result="ok"}')
    > before('tls_certificate_loads_total{result="ok"}'));
  const left = m('tls_certificate_expiry_timestamp_seconds') - Date.now() / 1000;
  assert.ok(left > 29 * 86400 && left < 31 * 86400);
});

s.test('a certificate that does not fit is not taken', async (t) => {
  await use(second);
  await waitUntil(async () => (await shake()).name === 'second');
  const cases = {
    'the key of another': () => copyFile(first.key, key),
    'a certificate of another': () => copyFile(first.crt, crt),
    'no certificate': () => writeFile(crt, 'nonsense\n'),
    'a broken one behind a good one': async () => writeFile(crt,
      `${second.ca}${second.ca.slice(0, 300)}`),
    'no key': () => writeFile(key, ''),
    'no file': () => rm(key),
  };
  for (const [name, breakIt] of Object.entries(cases))
    await t.test(name, async () => {
      await use(second);
      await waitUntil(async () => /certificate loaded/.test(s.relay.log));
      const before = await metrics(s.relay);
      await breakIt();
      s.relay.signal('SIGHUP');
      await waitUntil(async () => {
        const m = await metrics(s.relay);
        return m('config_reloads_total{result="failed"}') > before('config_reloads_total{result="failed"}');
      }, { what: 'the reload to fail' });
      assert.equal((await shake()).name, 'second');
    });
  await use(second);
  s.relay.signal('SIGHUP');
  assert.equal((await shake()).name, 'second');
});

s.test('1.3 only, if that is wanted', async () => {
  const relay = await s.stack.addRelay({
    metrics_port: await freePort(), tls_min_version: '1.3',
  });
  const there = { port: relay.port };
  assert.equal((await shake(there)).protocol, 'TLSv1.3');
  assert.ok((await shake({ ...there, maxVersion: 'TLSv1.2' })).error);
});

s.test('without a certificate that can be used there is no start', async () => {
  await assert.rejects(s.stack.addRelay({
    metrics_port: await freePort(), tls_certificate_file: '/nowhere', tls_key_file: key,
  }), /relay ended \(code 1/);
});

s.test('--check-config looks at the certificate', async () => {
  const check = () => promisify(execFile)(s.stack.relayBinary, ['--config', s.relay.configPath,
    '--check-config']);
  assert.equal((await check()).stdout, 'configuration ok\n');
  await copyFile(first.key, key);
  try {
    await assert.rejects(check(), (error) => error.code === 2
      && /certificate is not taken .*key of another certificate/.test(error.stderr));
  } finally {
    await use(second);
  }
});

s.test('it stops in order, with sessions open and a request that waits', async () => {
  const device = await s.live(newUser(), { ca });
  const before = await metrics(s.relay);
  const waiting = api(s.relay, newUser(), '/sync/pull?wait=60', { ca });
  await waitUntil(async () => (await metrics(s.relay))('messages_received_total{type="sync"}')
    > before('messages_received_total{type="sync"}'), { what: 'the request to be there' });
  await shake({ keep: true });
  assert.deepEqual(await s.relay.stop(), { code: 0, signal: null });
  assert.equal((await device.ended).code, 1001);
  assert.deepEqual((await waiting).body.changes, []);
});
