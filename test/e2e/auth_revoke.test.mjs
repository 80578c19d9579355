/*
 * auth_revoke.test.mjs
 *     Turning users and devices out, and real-time sync off and on: at once,
 *     on every relay, also on one that hears of it later.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  created, Device, entry, newUser, sleep, upgrade, useStack, waitUntil,
} from './harness.mjs';
import { now, tokenOf } from './tokens.mjs';

/* No poll in the way: what comes at once comes by the ring. */
const s = useStack({
  relays: 2,
  relay: { access_poll_interval: '1h', jwt_device_claim: 'device', auth_timeout: '3s' },
});

const token = (user, fields) => tokenOf({ algorithm: 'HS256', secret: s.stack.secret }, user, fields);
const revoke = (user, device) => s.query('SELECT mirusync.revoke($1, $2)', [user, device]);
const realtime = (user, on) => s.query('SELECT mirusync.set_realtime($1, $2)', [user, on]);

/* The relays that run all the time. */
const both = () => s.relays.slice(0, 2);

const closing = async (device) => {
  const { code, reason } = await device.ended;
  return `${code} ${reason}`;
};

/* comes: what becomes of one that connects, "welcome" or how it was closed. */
async function comes(user, fields = {}, relay = s.relay) {
  const device = new Device(relay, user, { token: token(user, fields) });
  s.devices.push(device);
  await device.opened;
  const first = await Promise.race([device.next().then((m) => m.type, () => null), device.ended.then(() => null)]);
  if (first !== 'WELCOME')
    return closing(device);
  await device.close();
  return 'welcome';
}

/* What tokens say in whole seconds is compared with the second of the call. */
const nextSecond = async () => {
  const second = now();
  await waitUntil(() => now() > second, { what: 'the next second' });
};

s.test('a revocation ends the sessions of a user on every relay, and of nobody else', async () => {
  const [anna, bob] = [newUser('anna'), newUser('bob')];
  const devices = [];
  for (const relay of both())
    for (let i = 0; i < 3; i++)
      devices.push(await s.live(anna, { relay, token: token(anna) }));
  const others = [await s.live(bob), await s.live(bob, { relay: s.relays[1] })];
  const issued = now();
  await revoke(anna);
  for (const device of devices)
    assert.equal(await closing(device), '4410 revoked');

  /* Tokens from before do not come back, wherever; later ones do. */
  for (const relay of both()) {
    assert.equal(await comes(anna, { iat: issued - 100 }, relay), '4410 revoked');
    assert.equal(await comes(anna, { iat: issued }, relay), '4410 revoked');
    assert.equal(await comes(anna, { iat: undefined }, relay), '4410 revoked', 'it may be from before');
  }
  await nextSecond();
  assert.equal(await comes(anna, { iat: now() }, s.relays[1]), 'welcome');
  assert.equal(await comes(bob, { iat: undefined }), 'welcome', 'nothing stands against him');
  await others[0].push(created(entry()));
  await others[1].event('ENTRY_CREATED');
});

s.test('a revocation in a transaction counts from its commit', async () => {
  const user = newUser();
  const device = await s.live(user);
  const client = await s.client();
  await client.query('BEGIN');
  await client.query('SELECT mirusync.revoke($1)', [user]);
  await device.quiet(undefined, 300);
  assert.equal(device.closed, null);
  await client.query('ROLLBACK');
  await device.push(created(entry()));
  await client.query('BEGIN');
  await client.query('SELECT mirusync.revoke($1)', [user]);
  await client.query('COMMIT');
  assert.equal(await closing(device), '4410 revoked');
  await client.end();
});

s.test('a revocation of one device leaves the others', async () => {
  const user = newUser();
  const phone = await s.live(user, { token: token(user, { device: 'phone' }) });
  const other = await s.live(user, { relay: s.relays[1], token: token(user, { device: 'tablet' }) });
  const plain = await s.live(user, { token: token(user) });
  await revoke(user, 'phone');
  assert.equal(await closing(phone), '4410 revoked');
  await other.push(created(entry()));
  await plain.event('ENTRY_CREATED');
  assert.equal(await comes(user, { device: 'phone' }), '4410 revoked');
  assert.equal(await comes(user, { device: 'phone', iat: undefined }), '4410 revoked');
  assert.equal(await comes(user, { device: 'tablet', iat: undefined }), 'welcome');
  /* Nor does a session become another device by a refresh. */
  other.send({ type: 'AUTH', token: token(user, { device: 'laptop' }) });
  assert.equal(await closing(other), '4403 token of another device');
});

s.test('a refresh with a revoked token does not help, with a newer one it does', async () => {
  const user = newUser();
  const old = token(user, { iat: now() - 60 });
  await s.query('INSERT INTO mirusync.revocation VALUES ($1, $2, now() - interval \'30 s\')', [user, '']);
  const device = await s.live(user, { token: token(user, { iat: now() - 10 }) });
  device.send({ type: 'AUTH', token: token(user) });
  assert.equal((await device.next()).type, 'AUTH');
  await device.push(created(entry()));
  device.send({ type: 'AUTH', token: old });
  assert.equal(await closing(device), '4410 revoked');
});

s.test('a relay that starts later knows, without being told', async (t) => {
  const [gone, off] = [newUser(), newUser()];
  await revoke(gone);
  await realtime(off, false);
  const later = await s.stack.addRelay();
  t.after(() => later.stop());
  assert.equal(await comes(gone, { iat: now() - 5 }, later), '4410 revoked');
  assert.equal(await comes(off, {}, later), '4405 real-time sync is off');
});

s.test('a relay whose listening connection was cut learns of it when it listens again', async () => {
  const [gone, off, fine] = [newUser(), newUser(), newUser()];
  const [relay] = s.relays;
  const devices = await Promise.all([gone, off, fine].map((user) => s.live(user, { relay })));
  /* The rings while it is cut are lost: it cannot connect again before them. */
  await s.query('ALTER ROLE mirusync_relay NOLOGIN');
  try {
    await s.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'mirusync relay listener'`);
    await waitUntil(async () => (await s.query(`SELECT FROM pg_stat_activity
      WHERE application_name = 'mirusync relay listener'`)).length === 0, { what: 'the listeners to be gone' });
    await revoke(gone);
    await realtime(off, false);
    await devices[0].quiet(undefined, 200);
  } finally {
    await s.query('ALTER ROLE mirusync_relay LOGIN');
  }
  assert.equal(await closing(devices[0]), '4410 revoked');
  assert.equal(await closing(devices[1]), '4405 real-time sync is off');
  await devices[2].push(created(entry()));
});

s.test('a ring that is lost costs time only: all are asked about now and then', async (t) => {
  const relay = await s.stack.addRelay({ access_poll_interval: '300ms' });
  t.after(() => relay.stop());
  const user = newUser();
  const device = await s.live(user, { relay, token: token(user) });
  /* Written without a ring. */
  await s.query('INSERT INTO mirusync.revocation VALUES ($1, $2, now() + interval \'5 s\')', [user, '']);
  assert.equal(await closing(device), '4410 revoked');
});

s.test('a forged ring does nothing', async () => {
  const user = newUser();
  const device = await s.live(user);
  const [{ hash }] = await s.query('SELECT mirusync.doorbell_hash($1) AS hash', [user]);
  const shard = parseInt(hash.slice(0, 2), 16) % 16;
  for (const payload of [`!${hash}`, '!', `!${'0'.repeat(16)}`, `!${'x'.repeat(16)}`, `!${hash}!`, '!'.repeat(7000)])
    await s.query('SELECT pg_notify($1, $2)', [`mirusync_${shard}`, payload]);
  await device.push(created(entry()));
  await device.quiet();
  assert.equal(device.closed, null);
});

s.test('real-time sync off and on again, on every relay', async () => {
  const [user, other] = [newUser(), newUser()];
  const devices = [await s.live(user), await s.live(user, { relay: s.relays[1] })];
  const bystander = await s.live(other);
  await realtime(user, false);
  for (const device of devices)
    assert.equal(await closing(device), '4405 real-time sync is off');
  for (const relay of both())
    assert.equal(await comes(user, {}, relay), '4405 real-time sync is off');
  await nextSecond();
  assert.equal(await comes(user), '4405 real-time sync is off', 'a new token does not help');
  await realtime(user, true);
  for (const relay of both())
    assert.equal(await comes(user, {}, relay), 'welcome');
  await bystander.push(created(entry()));

  /* Revoked and off: that the token is void is the worse news. */
  await realtime(user, false);
  await revoke(user);
  assert.equal(await comes(user, { iat: now() - 5 }), '4410 revoked');
});

s.test('whoever connects while a revocation commits is out in the end', async () => {
  const user = newUser();
  const opened = [];
  let going = true;
  const crowd = Promise.all([0, 1].map(async (i) => {
    while (going) {
      const device = new Device(s.relays[i], user, { token: token(user, { iat: now() - 30 }) });
      opened.push(device);
      await device.opened.catch(() => {});
      await sleep(3);
      if (opened.length % 8 !== 0)
        device.terminate();
    }
  }));
  await sleep(150);
  await revoke(user);
  await sleep(150);
  going = false;
  await crowd;
  const stayed = opened.filter((d) => d.socket.readyState === d.socket.OPEN || d.closed);
  await waitUntil(() => opened.every((d) => d.closed), { what: 'all to be closed' });
  assert.ok(stayed.length > 5);
  assert.equal(await comes(user, { iat: now() - 30 }), '4410 revoked');
});

s.test('a question that was under way when the ring came is asked again', async () => {
  const [comer, stayer] = [newUser(), newUser()];
  const session = await s.live(stayer, { token: token(stayer, { iat: now() - 5 }) });
  const client = await s.client();
  try {
    /* The question has its snapshot, and then waits for this lock. */
    await client.query('BEGIN');
    await client.query('LOCK TABLE mirusync.realtime_off');
    const device = new Device(s.relay, comer, { token: token(comer, { iat: now() - 5 }) });
    s.devices.push(device);
    session.send({ type: 'AUTH', token: token(stayer, { iat: now() - 5 }) });
    const asked = async () => (await s.query(`SELECT FROM pg_stat_activity
      WHERE application_name LIKE 'mirusync relay reader%' AND wait_event_type = 'Lock'`)).length > 0;
    await waitUntil(asked, { what: 'the question to wait' });
    await revoke(comer);
    await revoke(stayer);
    await sleep(300);
    await client.query('COMMIT');
    assert.equal(await closing(device), '4410 revoked');
    assert.equal(await closing(session), '4410 revoked');
  } finally {
    await client.end();
  }
});

s.test('what is sent before the database has answered waits, in order, and is bounded', async () => {
  const [user, flood] = [newUser(), newUser()];
  const client = await s.client();
  try {
    await client.query('BEGIN');
    await client.query('LOCK TABLE mirusync.realtime_off');
    const [device, flooder] = [user, flood].map((u) => new Device(s.relay, u, { token: token(u) }));
    s.devices.push(device, flooder);
    await Promise.all([device.opened, flooder.opened]);
    const entries = Array.from({ length: 20 }, () => entry());
    device.send({ type: 'PING', timestamp: new Date().toISOString() });
    for (const e of entries)
      device.send(created(e));
    for (let i = 0; i < 1100; i++)
      flooder.send('{}');
    assert.equal(await closing(flooder), '1013 too many messages');
    assert.ok(device.messages.every((m) => m.type === 'WELCOME'), 'a slow machine gets a greeting, no more');
    await client.query('COMMIT');
    assert.equal((await device.next()).type, 'WELCOME');
    assert.equal((await device.next()).type, 'PONG');
    const answers = await device.answers(20);
    assert.deepEqual(answers.map((a) => a.lastSeq), entries.map((_, i) => i + 1));
    const rows = await s.query('SELECT id FROM mirusync.record WHERE feed = $1 ORDER BY seq', [user]);
    assert.deepEqual(rows.map((r) => r.id), entries.map((e) => e.id));
  } finally {
    await client.end();
  }
});

s.test('nothing of a revoked user is read, written or greeted', async () => {
  const user = newUser();
  await revoke(user);
  const device = new Device(s.relay, user, { token: token(user, { iat: now() - 5 }) });
  await device.opened;
  device.send({ type: 'SYNC_REQUEST', timestamp: new Date().toISOString() });
  device.send(created(entry()));
  assert.equal(await closing(device), '4410 revoked');
  assert.deepEqual(device.messages, []);
  assert.equal(await s.head(user), 0);
});

s.test('while the database is away nobody gets in, but who has a token is kept', async () => {
  const [user, gone] = [newUser(), newUser()];
  const waiting = [];
  await s.query('ALTER ROLE mirusync_relay NOLOGIN');
  try {
    await s.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mirusync_relay'`);
    for (const who of [user, gone]) {
      const device = new Device(s.relay, who, { token: token(who, { iat: now() - 5 }) });
      s.devices.push(device);
      waiting.push(device);
      await device.opened;
      assert.equal((await device.next()).type, 'WELCOME');
      device.send({ type: 'PING', timestamp: new Date().toISOString() });
      assert.equal((await device.next()).type, 'PONG');
      device.send(created(entry()));
    }
    await waiting[0].quiet();
    await revoke(gone);
  } finally {
    await s.query('ALTER ROLE mirusync_relay LOGIN');
  }
  assert.equal((await waiting[0].answers(1))[0].type, 'SYNC_RESPONSE');
  await waiting[0].sync();
  assert.equal(await closing(waiting[1]), '4410 revoked');
  assert.equal(await s.head(gone), 0);
  assert.equal(await s.head(user), 1);
});

s.test('a hundred thousand revocations cost the relay no memory, and a connection one look', async () => {
  const rss = async () => Number((await (await import('node:fs/promises')).readFile(
    `/proc/${s.relay.pid}/status`, 'utf8')).match(/VmRSS:\s+(\d+)/)[1]);
  const user = newUser();
  const device = await s.live(user);
  const before = await rss();
  await s.query(`INSERT INTO mirusync.revocation SELECT 'many-' || i, '', now() FROM generate_series(1, 100000) i;
    ANALYZE mirusync.revocation`);
  await s.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'mirusync relay listener'`);
  assert.equal(await comes('many-77777', { iat: now() - 5 }), '4410 revoked');
  await device.push(created(entry()));
  const plan = (await s.query(`EXPLAIN SELECT * FROM mirusync.revocation WHERE user_id = ANY ('{a,b}')`))
    .map((r) => r['QUERY PLAN']).join('\n');
  assert.match(plan, /revocation_pkey/);
  const grown = await rss() - before;
  assert.ok(grown < 4000, `the relay grew by ${grown} kB`);
  await s.query(`DELETE FROM mirusync.revocation WHERE user_id LIKE 'many-%'`);
});

s.test('no more sessions than a user may have, though many come at once', async () => {
  const user = newUser();
  const devices = Array.from({ length: 30 }, () => new Device(s.relay, user, { token: token(user) }));
  s.devices.push(...devices);
  const ends = await Promise.all(devices.map((d) => d.opened.then(
    () => Promise.race([d.next().then((m) => m.type, () => null), d.ended.then(() => null)])
      .then((type) => type ?? closing(d)),
    (error) => error.status)));
  const count = (what) => ends.filter((e) => e === what).length;
  assert.equal(count('WELCOME'), 10, ends.join());
  assert.equal(count(429) + count('4429 too many connections'), 20, ends.join());
  assert.equal((await upgrade(s.relay, `/sync/ws?userId=${user}&token=${token(user)}`)).status, 429);
});
