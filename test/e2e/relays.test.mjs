/*
 * relays.test.mjs
 *     Any relay serves any user, and knows nothing that it cannot forget.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import {
  assertPromises, created, cursorOf, deleted, entry, freePort, iso, metrics, newUser, replica, updated, userToken,
  useStack, waitUntil,
} from './harness.mjs';
import { api, useNative } from './native.mjs';

const s = useStack({ relays: 2, relay: { heads_poll_interval: '1s' } });
const native = useNative(s);

s.test('devices of one user on two relays see each other', async () => {
  const user = newUser();
  const a = await s.live(user, { relay: s.relays[0] });
  const b = await s.live(user, { relay: s.relays[1] });
  for (let i = 0; i < 5; i++) {
    const [from, to] = i % 2 ? [b, a] : [a, b];
    const e = entry();
    const seq = await from.push(created(e));
    assert.equal(seq, i + 1);
    const got = await to.event('ENTRY_CREATED');
    assert.equal(got.entry.id, e.id);
    assert.equal(got.seq, seq);
  }
  await a.quiet();
  await b.quiet();
});

s.test('a change reaches the other relay within a moment', async () => {
  const user = newUser();
  const a = await s.live(user, { relay: s.relays[0] });
  const b = await s.live(user, { relay: s.relays[1] });
  const times = [];
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    await a.push(created(entry()));
    await b.event('ENTRY_CREATED');
    times.push(performance.now() - start);
  }
  times.sort((x, y) => x - y);
  /* Far below the poll of the heads: the doorbell did it. */
  assert.ok(times[10] < 500, `median ${times[10].toFixed(1)} ms`);
});

s.test('rings for many changes are few', async () => {
  const user = newUser();
  const relay = await s.stack.addRelay({ metrics_port: await freePort() });
  const a = await s.live(user, { relay });
  const b = await s.live(user, { relay: s.relays[0] });
  const start = performance.now();
  for (let i = 0; i < 100; i++)
    await a.push(created(entry()));
  for (let i = 0; i < 100; i++)
    await b.event('ENTRY_CREATED');
  const possible = (performance.now() - start) / 10 + 2;
  const sent = (await metrics(relay))('doorbells_sent_total');
  assert.ok(sent >= 1 && sent <= possible, `${sent} rings, ${possible.toFixed(1)} possible`);
  await relay.stop();
});

s.test('a session never gets its own change back, other sessions always do', async () => {
  const user = newUser();
  const devices = [];
  for (let i = 0; i < 6; i++)
    devices.push(await s.live(user, { relay: s.relays[i % 2] }));
  const sent = new Map(devices.map((d) => [d, []]));
  for (let round = 0; round < 10; round++)
    for (const device of devices) {
      const e = entry();
      sent.get(device).push(e.id);
      device.send(created(e));
    }
  await waitUntil(async () => await s.head(user) === 60, { what: 'all changes' });
  for (const device of devices) {
    await device.waiting(() => device.events.length >= 50 || undefined, 'all others\' changes');
    const got = device.events.map((m) => m.entry.id);
    assert.equal(got.length, 50);
    assert.equal(new Set(got).size, 50);
    for (const key of sent.get(device))
      assert.ok(!got.includes(key), 'no echo');
    const seqs = device.events.map((m) => m.seq);
    assert.deepEqual(seqs, [...seqs].sort((x, y) => x - y));
  }
});

s.test('numbers are promises while two relays write one feed', async () => {
  const user = newUser();
  const a = await s.live(user, { relay: s.relays[0] });
  const b = await s.live(user, { relay: s.relays[1] });
  const own = new Map([[a, new Set()], [b, new Set()]]);
  for (let i = 0; i < 60; i++)
    for (const device of [a, b]) {
      const e = entry();
      own.get(device).add(`logbook_entry/${e.id}`);
      device.send(created(e));
    }
  for (const device of [a, b])
    await device.answers(60).then(() => device.waiting(
      () => device.events.length === 60 || undefined, 'all events'));
  const records = await s.records(user);
  assert.equal(records.length, 120);
  assert.deepEqual(records.map((r) => r.seq), records.map((_, i) => i + 1), 'no hole');
  for (const device of [a, b])
    assertPromises(device.messages, records.filter((r) => !own.get(device).has(r.key)));
});

s.test('two relays racing for one record agree with the database', async () => {
  const user = newUser();
  const a = await s.live(user, { relay: s.relays[0] });
  const b = await s.live(user, { relay: s.relays[1] });
  const e = entry({ updatedAt: iso(Date.now() - 100000) });
  await a.push(created(e));
  await b.event('ENTRY_CREATED');
  for (let i = 0; i < 30; i++) {
    a.send(updated({ ...e, notes: `a${i}`, updatedAt: iso(Date.now() - 50000 + i * 20) }));
    b.send(updated({ ...e, notes: `b${i}`, updatedAt: iso(Date.now() - 50000 + i * 20 + 7) }));
  }
  await a.answers(30);
  await b.answers(30);
  const notes = (await s.document(user, 'logbook_entry', e.id)).notes;
  const head = await s.head(user);
  for (const [device, name] of [[a, 'a'], [b, 'b']]) {
    await device.waiting(() => cursorOf(device.messages) >= head || undefined, 'the head');
    const last = device.events.filter((m) => m.entry?.id === e.id).at(-1);
    /* Its own last write, unless something it was sent beat that. */
    assert.ok(last?.entry.notes === notes || notes === `${name}29`,
      `${name} has ${last?.entry.notes}, the database ${notes}`);
  }
});

const backends = async () => (await s.query(
  "SELECT pid FROM pg_stat_activity WHERE usename = 'mirusync_relay'")).map((row) => row.pid);

s.test('a relay that is killed loses nothing that it acknowledged', async () => {
  const user = newUser();
  const others = await backends();
  const relay = await s.stack.addRelay();
  const watcher = await s.live(user, { relay: s.relays[0] });
  const device = await s.live(user, { relay });
  const entries = Array.from({ length: 400 }, (_, i) => entry({ notes: `n${i}` }));
  for (const e of entries)
    device.send(created(e));
  await device.answers(60);
  await relay.kill();
  await device.ended;
  /* What it had sent to the database goes on there, and may still commit. */
  await waitUntil(async () => (await backends()).every((pid) => others.includes(pid)),
    { what: 'the end of its backends' });

  const acked = device.messages.filter((m) => m.message === 'Mutation applied').map((m) => m.lastSeq);
  const stored = new Set((await s.records(user)).map((r) => r.key));
  for (let i = 0; i < acked.length; i++)
    assert.ok(stored.has(`logbook_entry/${entries[i].id}`), `acknowledged change ${acked[i]} is stored`);

  /* The other relay hears of all of it, although the bell may never have rung. */
  const head = await s.head(user);
  await watcher.waiting(() => cursorOf(watcher.messages) >= head || undefined, 'the head');
  assert.equal(replica(watcher.messages).size, stored.size);

  /* The device comes back, sends its whole queue again, and nothing is doubled. */
  await relay.start();
  const again = await s.open(user, { relay });
  await again.sync({ lastSeq: cursorOf(device.messages) });
  for (const e of entries)
    again.send(created(e));
  await again.answers(400);
  const records = await s.records(user);
  assert.equal(records.length, 400);
  assert.equal(await s.head(user), 400);
  await watcher.waiting(() => replica(watcher.messages).size === 400 || undefined, 'all entries');
  await relay.stop();
});

s.test('a lost bell costs latency only', async () => {
  const user = newUser();
  const device = await s.live(user);
  /* Everything rings through NOTIFY; with nobody ringing the heads are polled. */
  const client = await s.client();
  try {
    await client.query("LOAD 'mirusync'");
    await client.query("SET mirusync.doorbell = 'off'");
    const e = entry();
    await client.query(`INSERT INTO mirusync.document (feed, collection, id, data)
      VALUES ($1, 'logbook_entry', $2, $3)`, [user, e.id, e]);
    assert.equal((await device.event('ENTRY_CREATED')).entry.id, e.id);
  } finally {
    await client.end();
  }
});

s.test('a stranger who rings every bell does no harm', async () => {
  const user = newUser();
  const device = await s.live(user);
  const rings = await s.query("SELECT format('mirusync_%s', i) AS channel FROM generate_series(0, 63) i");
  for (const { channel } of rings)
    for (const payload of ['', 'x', '*', 'ffffffffffffffff', '0 1 2', 'deadbeefdeadbeef '.repeat(100)])
      await s.query('SELECT pg_notify($1, $2)', [channel, payload]);
  const e = entry();
  await device.push(created(e));
  await device.push(deleted(e.id));
  await device.quiet();
});

s.test('relays share a port only when all of them are told so', async () => {
  const listen_port = await freePort();
  const first = await s.stack.addRelay({ listen_port, listen_shared: 1, metrics_port: await freePort() });
  const second = await s.stack.addRelay({ listen_port, listen_shared: 1, metrics_port: await freePort() });
  await assert.rejects(s.stack.addRelay({ listen_port }), 'the port is taken');

  /* The kernel spreads connections over both; devices see no difference. */
  const user = newUser();
  const devices = [];
  for (let i = 0; i < 10; i++)
    devices.push(await s.live(user, { relay: first }));
  const e = entry();
  await devices[0].push(created(e));
  for (const device of devices.slice(1))
    assert.equal((await device.event('ENTRY_CREATED')).entry.id, e.id);
  for (let i = 0; i < 30; i++)
    await s.live(newUser(), { relay: second });
  for (const relay of [first, second])
    assert.match(await readFile(relay.logPath, 'utf8'), /session opened/);

  /* Nothing of a request over HTTP, or of a ticket, belongs to one of them. */
  const phone = await native.live(user, { relay: first });
  for (let i = 0; i < 16; i++) {
    const push = await api(first, user, '/sync/push', {
      body: {
        device: 'web', changes: [{
          number: i + 1, kind: 'put', collection: 'logbook_entry', id: `web-${i}`, fields: entry({ id: `web-${i}` }),
        }],
      },
    });
    const { epoch, seq } = push.body.verdicts[0];
    assert.equal(push.body.verdicts[0].verdict, 'applied');
    const page = await api(first, user, `/sync/pull?after=${seq - 1}&epoch=${epoch ?? push.body.epoch}`);
    assert.ok(page.body.changes.some((change) => change.id === `web-${i}`), 'read what was written at any');
    const answer = await fetch(`${first.url}/sync/ticket`, {
      method: 'POST', headers: { authorization: `Bearer ${userToken(s.stack.secret, user)}`, connection: 'close' },
    });
    const query = `?userId=${user}&ticket=${(await answer.json()).ticket}`;
    await (await s.open(user, { relay: first, query })).close();
    const again = await native.raw(user, { relay: first, query });
    assert.equal((await again.ended).code, 4401, 'once, wherever');
  }
  await waitUntil(() => phone.state.has('logbook_entry/web-15'), { what: 'the last at the phone' });
  phone.sound();
  for (const relay of [first, second])
    assert.ok((await metrics(relay))('http_answers_total{status="200"}') >= 3, 'both had requests');
  await first.stop();
  await second.stop();
});
