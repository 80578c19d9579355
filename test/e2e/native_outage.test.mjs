/*
 * native_outage.test.mjs
 *     mirusync.v1 while the database is away, and after an older backup took
 *     its place under sessions that go on.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { newUser, sleep, useStack, waitUntil } from './harness.mjs';
import { api, useNative } from './native.mjs';

const s = useStack({
  relay: {
    heads_poll_interval: '300ms', push_wait_max: '1s', reconnect_wait_max: '300ms', start_over_spread: '300ms',
  },
});
const n = useNative(s);

const test = (name, body) => s.test(name, async (t) => {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  await body(t);
  for (const device of s.devices)
    device.sound?.();
});

/* stored is what a replica should hold. */
const stored = async (user) => new Map((await s.query(
  "SELECT 'note/' || id AS key, data FROM mirusync.document WHERE feed = $1", [user])).map((r) => [r.key, r.data]));

test('without a database pushes are answered, and count once when sent again', async () => {
  const user = newUser();
  const a = await n.live(user);
  await a.put('note', 'n0', { x: 0 });
  const changes = [a.change('put', 'note', 'n1', { x: 1 })];
  const body = { device: a.device, changes };
  await s.stack.stopPostgres();
  const error = await a.ask({ type: 'push', changes });
  assert.deepEqual([error.type, error.code, error.retry], ['error', 'unavailable', true]);
  assert.ok(error.after_ms > 0);
  const http = await api(s.relay, user, '/sync/push', { body });
  assert.deepEqual([http.status, http.body.error.code], [503, 'unavailable']);
  assert.ok(http.body.error.after_ms <= 2000 && http.body.error.after_ms > 0);
  assert.equal(http.headers['retry-after'], '2');
  assert.equal((await api(s.relay, user, '/sync/status')).status, 503);

  /* Nor does a hello wait for ever. */
  const b = await n.raw(user, { device: 'tablet' });
  b.say(b.hello);
  const goodbye = await b.type('goodbye');
  assert.deepEqual([goodbye.code, goodbye.reconnect], [1013, true]);
  assert.equal(b.messages.length, 1, 'whether it may come in is not known, so nothing else is said');
  assert.equal((await b.ended).code, 1013);

  await s.stack.startPostgres();
  await waitUntil(async () => (await api(s.relay, user, '/sync/push', { body })).status === 200);
  const again = await a.push(changes);
  assert.deepEqual(again.map((v) => [v.verdict, v.replay]), [['applied', true]]);
  await a.caughtUp(2);
  assert.equal(await s.head(user), 2);
});

test('under live sessions an older backup is restored: they start over, once', async () => {
  const user = newUser();
  const devices = [await n.live(user), await n.live(user, { device: 'tablet' })];
  const [a, b] = devices;
  await a.put('note', 'kept', { x: 1 });
  const file = join(s.stack.dir, 'backup');
  await s.stack.tool('pg_dump', ['--format=custom', `--file=${file}`, 'mirusync']);
  const lost = [a.change('put', 'note', 'lost', { x: 2 })];
  a.take(lost, await a.push(lost));
  await b.caughtUp(2);

  await s.stack.psql('CREATE DATABASE restored', { database: 'postgres' });
  await s.stack.tool('pg_restore', ['--dbname=restored', '--exit-on-error', file]);
  for (const sql of [
    'ALTER DATABASE mirusync ALLOW_CONNECTIONS false',
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN ('mirusync', 'restored')",
    'ALTER DATABASE mirusync RENAME TO lost', 'ALTER DATABASE restored RENAME TO mirusync'])
    await s.stack.psql(sql, { database: 'postgres' });

  for (const device of devices) {
    const over = await device.type('start_over');
    assert.deepEqual([over.scope, over.feed, over.reason], ['feed', user, 'history_lost']);
    assert.ok(over.delay_ms < 300);
    await device.type('page', (m) => m.complete);
    assert.deepEqual(device.state, await stored(user));
    assert.equal(device.state.has('note/lost'), false);
  }
  /* Life goes on, in a new epoch, and nobody starts over again. */
  await s.query("SELECT mirusync.put($1, 'note', 'new', '{\"x\": 3}')", [user]);
  const back = [b.change('put', 'note', 'again', { x: 4 })];
  b.take(back, await b.push(back));
  await a.waiting(() => a.state.get('note/again') || undefined, 'what came after');
  await b.waiting(() => b.state.get('note/new') || undefined, 'what came after');
  assert.ok(a.cursor.epoch > 0);
  await sleep(700);
  for (const device of devices) {
    assert.equal(device.messages.filter((m) => m.type === 'start_over').length, 1);
    assert.deepEqual(device.state, await stored(user));
  }
  const c = await n.live(user, { device: 'laptop', cursor: { epoch: 0, seq: 2 } });
  assert.ok(c.messages.some((m) => m.type === 'start_over'), 'one that was away during it too');
  const d = await n.live(user, { device: 'watch', cursor: { epoch: 0, seq: 1 } });
  assert.ok(!d.messages.some((m) => m.type === 'start_over'), 'but not one that had seen nothing of it');
});
