/*
 * bounds.test.mjs
 *     Bounds on addresses, users and sessions, and a thousand bad peers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import {
  created, entry, freePort, metrics, newUser, rawSocket, sleep, useStack, waitUntil,
} from './harness.mjs';
import { useNative } from './native.mjs';

const s = useStack({ relay: { metrics_port: await freePort() } });
const native = useNative(s);

/* using runs body with other settings of the relay, which it takes without a restart. */
async function using(settings, body) {
  const take = async (overrides) => {
    const before = await metrics(s.relay);
    await s.relay.writeConfig(overrides);
    s.relay.signal('SIGHUP');
    await waitUntil(async () => (await metrics(s.relay))('config_reloads_total{result="ok"}')
      > before('config_reloads_total{result="ok"}'), { what: 'the settings to be taken' });
  };
  await take(settings);
  try {
    return await body();
  } finally {
    await take({});
  }
}

const grows = async (before, name) => waitUntil(
  async () => (await metrics(s.relay))(name) > before(name), { what: `${name} to grow` });

/* handshakes under way, without the one that asks. */
const handshakes = async () => (await metrics(s.relay))('handshakes') - 1;

/* answerOf opens a connection and gives what comes without asking, up to its end. */
async function answerOf(relay) {
  const socket = await rawSocket(relay);
  let text = '';
  socket.on('data', (data) => { text += data; });
  await socket.ended;
  return text;
}

s.test('connections of one address', () => using({ connections_per_address: 4 }, async () => {
  const before = await metrics(s.relay);
  const sockets = [];
  for (let i = 0; i < 4; i++)
    sockets.push(await rawSocket(s.relay));
  await waitUntil(async () => await handshakes() >= 4);
  const answer = await answerOf(s.relay);
  assert.match(answer, /^HTTP\/1\.1 429 /);
  assert.match(answer, /Retry-After: 5\r\n/);
  assert.match(answer, /\{"error":"Too many connections"\}$/);
  await grows(before, 'connections_refused_total{reason="connections_per_address"}');
  /* The port of the metrics is not meant: it has just answered. */
  for (const socket of sockets)
    socket.destroy();
  await waitUntil(async () => await handshakes() === 0);
  await (await s.live(newUser())).close();
}));

s.test('how fast an address may open them', () => using(
  { connection_rate_per_address: 2, rate_burst: '2s' }, async () => {
    const before = await metrics(s.relay);
    const name = 'connections_refused_total{reason="connection_rate_per_address"}';
    let refused = 0;
    for (let i = 0; i < 20; i++) {
      const socket = await rawSocket(s.relay);
      const first = await Promise.race([
        new Promise((resolve) => socket.once('data', (data) => resolve(String(data)))),
        sleep(30).then(() => ''),
      ]);
      refused += /^HTTP\/1\.1 429 /.test(first);
      socket.destroy();
    }
    assert.ok(refused >= 5, `${refused} of 20 were refused`);
    assert.ok((await metrics(s.relay))(name) >= before(name) + refused);
    await waitUntil(async () => {
      try {
        return await s.live(newUser());
      } catch {
        return false;
      }
    }, { every: 200, what: 'a connection to be let in again' });
  }));

/* flood sends more than is allowed; all of it is answered, later, and others are not held up. */
async function flood(bound, messages, users = 1) {
  const before = await metrics(s.relay);
  const name = `held_back_total{bound="${bound}"}`;
  const user = newUser();
  const devices = [];
  for (let i = 0; i < users; i++)
    devices.push(await s.live(user));
  for (const message of messages)
    for (const device of devices)
      device.send(message);
  await grows(before, name);
  assert.ok((await metrics(s.relay))('sessions_held_back') >= 1);
  const other = await s.live(newUser());
  const witness = await s.live(other.user);
  await other.push(created(entry()));
  await witness.event('ENTRY_CREATED');
  for (const device of devices)
    for (const answer of await device.answers(messages.length, 30000))
      assert.equal(answer.type, 'SYNC_RESPONSE', answer.error);
  const records = await s.records(user);
  assert.equal(records.length, new Set(messages.map((m) => m.entry.id)).size);
  await waitUntil(async () => (await metrics(s.relay))('sessions_held_back') === 0);
  return devices;
}

const notes = (count, bytes = 10) => Array.from({ length: count },
  () => created(entry({ notes: 'x'.repeat(bytes) })));

s.test('messages of a session', () => using(
  { session_messages_per_second: 30, rate_burst: '1s' },
  () => flood('session_messages_per_second', notes(80))));

s.test('bytes of a session', () => using(
  { session_bytes_per_second: '40kB', rate_burst: '1s' },
  () => flood('session_bytes_per_second', notes(10, 12000))));

s.test('messages of a user, in all his sessions', () => using(
  { user_messages_per_second: 60, rate_burst: '1s' },
  () => flood('user_messages_per_second', notes(40), 3)));

s.test('bytes of a user, in all his sessions', () => using(
  { user_bytes_per_second: '60kB', rate_burst: '1s' },
  () => flood('user_bytes_per_second', notes(6, 12000), 3)));

s.test('changes of a session that is held back stay in order', () => using(
  { session_messages_per_second: 30, rate_burst: '500ms' }, async () => {
    const user = newUser();
    const a = await s.live(user);
    const b = await s.live(user);
    const ids = [];
    for (let i = 0; i < 60; i++) {
      const e = entry();
      ids.push(e.id);
      a.send(created(e));
    }
    const got = [];
    for (let i = 0; i < 60; i++)
      got.push((await b.event('ENTRY_CREATED', () => true, 15000)).entry.id);
    assert.deepEqual(got, ids);
  }));

s.test('a session that is held back can be closed, and the relay stop', () => using(
  { session_messages_per_second: 1, rate_burst: '100ms' }, async () => {
    const before = await metrics(s.relay);
    const a = await s.live(newUser());
    const b = await s.live(newUser());
    for (const device of [a, b])
      for (let i = 0; i < 20; i++)
        device.send(created(entry()));
    await grows(before, 'held_back_total{bound="session_messages_per_second"}');
    a.terminate();
    await waitUntil(async () => (await metrics(s.relay))('sessions_held_back') <= 1);
    const end = await s.relay.stop();
    assert.deepEqual(end, { code: 0, signal: null });
    assert.equal((await b.ended).code, 1001);
    await s.relay.start();
  }));

s.test('a thousand silent, half-open and slow peers change nothing for the others', () => using({
  connections_per_user: 200, handshakes_max: 400, handshake_timeout: '3s',
  session_queue_max_bytes: '64kB', connections_max: 2000,
}, async () => {
  const before = await metrics(s.relay);
  const peers = [];
  const raw = (text) => {
    const socket = connect(s.relay.port, '127.0.0.1');
    socket.on('error', () => {});
    if (text)
      socket.write(text);
    peers.push(socket);
    return socket;
  };
  const drips = [];
  let answered = 0;
  const crowd = async () => {
    for (let i = 0; i < 30; i++) {
      for (let k = 0; k < 10; k++) {
        raw('');
        raw('GET /sync/ws?userId=x HTTP/1.1\r\nHost: x\r\n');
        drips.push(raw('G'));
      }
      await sleep(20);
    }
  };
  const timer = setInterval(() => drips.forEach((d) => d.writable && d.write('E')), 500);
  /* A hundred sessions of one user that never read, and all his changes are large. */
  const victim = newUser();
  const slow = [];
  for (let i = 0; i < 100; i++) {
    const device = await s.live(victim);
    device.socket._socket.pause();
    slow.push(device);
  }
  try {
    const writer = await s.live(victim);
    const user = newUser();
    const a = await s.live(user);
    const b = await s.live(user);
    await Promise.all([
      crowd(),
      (async () => {
        for (let i = 0; i < 60; i++)
          await writer.push(created(entry({ notes: 'x'.repeat(40000) })));
      })(),
      (async () => {
        for (let i = 0; i < 100; i++) {
          const e = created(entry());
          await a.push(e);
          await b.event('ENTRY_CREATED', (m) => m.entry.id === e.entry.id);
          answered++;
        }
      })(),
    ]);
    assert.equal(answered, 100);
    /* Newcomers get in as well. */
    const path = await s.live(newUser());
    await path.push(created(entry()));
    const m = await metrics(s.relay);
    assert.ok(m('catch_ups_total{cause="slow"}') > before('catch_ups_total{cause="slow"}'));
    assert.ok(m('connections_refused_total{reason="handshakes_max"}')
      + m('connections_refused_total{reason="handshake_timeout"}')
      > before('connections_refused_total{reason="handshakes_max"}')
      + before('connections_refused_total{reason="handshake_timeout"}'));
    assert.ok(m('process_resident_memory_bytes') < 150e6, `${m('process_resident_memory_bytes')} bytes`);
    /* Those who wait for nothing are gone in the end. */
    await waitUntil(async () => await handshakes() === 0, { timeout: 20000, what: 'the handshakes to end' });
    /* And one of the slow gets everything once it reads. */
    slow[0].socket._socket.resume();
    await waitUntil(() => new Set(slow[0].events.flatMap((e) => e.entries ?? [e.entry])
      .map((e) => e.id)).size === 60, { timeout: 15000, what: 'the slow one to have it all' });
  } finally {
    clearInterval(timer);
    for (const device of slow)
      device.terminate();
    for (const peer of peers)
      peer.destroy();
  }
}), { timeout: 120000 });

s.test('pushes of a session in flight', () => using({ session_pushes_max: 5 }, async () => {
  const before = await metrics(s.relay);
  const user = newUser();
  const device = await s.live(user);
  await device.push(created(entry()));
  const lock = await s.client();
  try {
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
    for (let i = 0; i < 30; i++) {
      device.send(created(entry()));
      await sleep(2);
    }
    await grows(before, 'held_back_total{bound="session_pushes_max"}');
    assert.ok((await metrics(s.relay))('push_queue_messages') < 15);
  } finally {
    await lock.query('ROLLBACK');
    await lock.end();
  }
  for (const answer of await device.answers(30))
    assert.equal(answer.type, 'SYNC_RESPONSE');
}));

s.test('what a device sends before it was let in', async () => {
  const relay = await s.stack.addRelay({
    metrics_port: await freePort(), session_queue_max_messages: 3,
    database: `host=127.0.0.1 port=${await freePort()} user=mirusync_relay dbname=nothing`,
  }, { ready: false });
  const device = await native.raw(newUser(), { relay });
  for (let i = 0; i < 6; i++)
    device.send({ type: 'ping' });
  assert.equal((await device.ended).code, 1013);
  assert.equal((await metrics(relay))('sessions_cut_total{bound="session_queue_max"}'), 1);
  await relay.stop();
});

s.test('descriptors', async () => {
  const script = `${s.stack.dir}/few-files`;
  await writeFile(script, `#!/bin/sh\nulimit -n 60\nexec ${s.stack.relayBinary} "$@"\n`, { mode: 0o755 });
  const given = process.env.MIRUSYNC_RELAY;
  process.env.MIRUSYNC_RELAY = script;
  const relay = await s.stack.addRelay({ metrics_port: await freePort() }).finally(() => {
    if (given === undefined)
      delete process.env.MIRUSYNC_RELAY;
    else
      process.env.MIRUSYNC_RELAY = given;
  });
  const device = await s.live(newUser(), { relay });
  const sockets = [];
  for (let i = 0; i < 60; i++)
    sockets.push(await rawSocket(relay));
  /* Some are closed at once; who was there is served. */
  await Promise.race(sockets.map((socket) => socket.ended));
  await device.push(created(entry()));
  for (const socket of sockets)
    socket.destroy();
  await waitUntil(async () => (await metrics(relay).catch(() => null))
    ?.('connections_refused_total{reason="file_descriptors"}') >= 1, { what: 'the count' });
  await (await s.live(newUser(), { relay })).push(created(entry()));
  assert.deepEqual(await relay.stop(), { code: 0, signal: null });
});

s.test('the log names session and user, and what repeats is said once', async () => {
  const relay = await s.stack.addRelay({ metrics_port: await freePort() });
  const user = newUser();
  const phone = await native.live(user, { relay });
  phone.send({ type: 'token', token: 'x.y.z' });
  await phone.type('error');
  for (let i = 0; i < 30; i++) {
    const stranger = await native.raw(newUser(), { relay, query: '?auth=message' });
    stranger.send('no token');
    assert.equal((await stranger.ended).code, 4401);
  }
  await phone.close();
  assert.deepEqual(await relay.stop(), { code: 0, signal: null });
  const lines = relay.log.split('\n');
  const named = lines.filter((line) => /\bsession=/.test(line));
  assert.ok(named.length >= 4);
  for (const line of named)
    assert.match(line, new RegExp(`session=[0-9a-f]{16} .*\\buser=${user}\\b`));
  assert.equal(lines.filter((line) => /closed before its session/.test(line)).length, 1);
});

s.test('connections in all', () => using({ connections_max: 3 }, async () => {
  const before = await metrics(s.relay);
  const sockets = [];
  let answer = '';
  for (let i = 0; i < 5 && !answer; i++) {
    const socket = await rawSocket(s.relay);
    sockets.push(socket);
    answer = await Promise.race([
      new Promise((resolve) => socket.once('data', (data) => resolve(String(data)))),
      sleep(200).then(() => ''),
    ]);
  }
  assert.match(answer, /^HTTP\/1\.1 503 [^]*Retry-After: 5\r\n[^]*\{"error":"Too many connections"\}$/);
  /* The metrics are read while it is full. */
  const m = await metrics(s.relay);
  assert.ok(m('connections') >= 3);
  assert.ok(m('connections_refused_total{reason="connections_max"}')
    > before('connections_refused_total{reason="connections_max"}'));
  for (const socket of sockets)
    socket.destroy();
}));

s.test('handshakes, in number and time', () => using(
  { handshakes_max: 5, handshake_timeout: '500ms' }, async () => {
    const before = await metrics(s.relay);
    const sockets = [];
    for (let i = 0; i < 10; i++)
      sockets.push(await rawSocket(s.relay));
    await Promise.all(sockets.map((socket) => socket.ended));
    await grows(before, 'connections_refused_total{reason="handshakes_max"}');
    await grows(before, 'connections_refused_total{reason="handshake_timeout"}');
  }));

s.test('the times for a token, for hello, and of silence', () => using(
  { auth_timeout: '200ms', hello_timeout: '200ms', idle_timeout: '600ms' }, async () => {
    const before = await metrics(s.relay);
    const [token, hello, idle] = await Promise.all([
      native.raw(newUser(), { query: '?auth=message' }), native.raw(newUser()), s.live(newUser()),
    ]);
    assert.equal((await token.ended).code, 4408);
    assert.equal((await hello.ended).code, 4408);
    assert.equal((await idle.ended).code, 1001);
    for (const bound of ['auth_timeout', 'hello_timeout', 'idle_timeout'])
      await grows(before, `sessions_cut_total{bound="${bound}"}`);
  }));

s.test('a session that takes nothing is closed, and the others notice nothing', () => using(
  { send_timeout: '400ms', session_queue_max_bytes: '64kB', socket_send_buffer_bytes: '4kB' }, async () => {
    const before = await metrics(s.relay);
    const user = newUser();
    const slow = await s.live(user);
    const quick = await s.live(user);
    slow.socket._socket.pause();
    for (let i = 0; i < 120; i++)
      await s.query("SELECT mirusync.put($1, 'logbook_entry', $2, $3)",
        [user, `large-${i}`, entry({ id: `large-${i}`, notes: 'x'.repeat(60000) })]);
    await grows(before, 'catch_ups_total{cause="slow"}');
    await grows(before, 'sessions_cut_total{bound="send_timeout"}');
    await waitUntil(() => quick.events.some((m) => (m.entries ?? [m.entry]).some((e) => e.id === 'large-119')),
      { what: 'everything at the quick one' });
    assert.equal(quick.closed, null);
    slow.socket._socket.resume();
    assert.ok([1013, 1006].includes((await slow.ended).code));
  }));

s.test('sessions of a user, the size of a message', () => using(
  { connections_per_user: 1, message_max_bytes: '1kB' }, async () => {
    const before = await metrics(s.relay);
    const user = newUser();
    const device = await s.live(user);
    await assert.rejects(s.open(user), /refused: 429/);
    await grows(before, 'http_answers_total{status="429"}');
    await grows(before, 'connections_refused_total{reason="connections_per_user"}');
    device.send(created(entry({ notes: 'x'.repeat(2000) })));
    assert.equal((await device.ended).code, 1009);
    await grows(before, 'sessions_closed_total{code="1009"}');
    await grows(before, 'sessions_cut_total{bound="message_max_bytes"}');
  }));

s.test('pushes that wait, in number and time', async () => {
  const relay = await s.stack.addRelay({
    metrics_port: await freePort(), push_queue_max: 5, push_wait_max: '1s', writers: 1,
  });
  const user = newUser();
  const device = await s.live(user, { relay });
  await device.push(created(entry()));
  const lock = await s.client();
  try {
    await lock.query('BEGIN');
    await lock.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
    for (let i = 0; i < 10; i++)
      device.send(created(entry()));
    for (const answer of await device.answers(10)) {
      assert.equal(answer.type, 'ERROR');
      assert.equal(answer.retryable, true);
    }
  } finally {
    await lock.query('ROLLBACK');
    await lock.end();
  }
  const m = await metrics(relay);
  assert.equal(m('pushes_refused_total'), 5);
  assert.equal(m('pushes_given_up_total'), 5);
  assert.ok(m('slow_pushes_total') >= 1);
  await relay.stop();
});
