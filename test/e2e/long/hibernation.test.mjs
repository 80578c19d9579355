/*
 * hibernation.test.mjs
 *     What takes longer to show of a relay that nobody needs: the database
 *     has gone meanwhile, idle sessions cost no wake-ups, reload and stop.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { created, entry, freePort, http, metrics, newUser, sleep, useStack, waitUntil } from '../harness.mjs';
import { api } from '../native.mjs';

const s = useStack({
  relay: { metrics_port: await freePort(), hibernate_after: '300ms', push_wait_max: '1s' },
});

const ready = async () => http(s.relay, '/ready');
const count = async (name) => (await metrics(s.relay))(name);
const asleep = () => waitUntil(async () => await count('hibernating') === 1, { what: 'the relay to hibernate' });

s.test('a database that has gone meanwhile: who comes waits, within bounds', async () => {
  await asleep();
  await s.stack.stopPostgres();
  assert.equal((await ready()).status, 200, 'nobody has asked for it');
  const user = newUser();
  const start = Date.now();
  const answer = await api(s.relay, user, '/sync/status');
  assert.equal(answer.status, 503);
  assert.ok(answer.headers['retry-after']);
  assert.ok(Date.now() - start < 8000);
  await waitUntil(async () => (await ready()).status === 503, { what: 'word of it' });
  assert.equal(await count('hibernating'), 0, 'this is an outage');
  const device = s.open(user);
  await s.stack.startPostgres();
  await (await device).push(created(entry()));
  await waitUntil(async () => (await ready()).status === 200);
  await (await device).close();
});

s.test('sessions that wait cost no wake-ups', async () => {
  const devices = [];
  for (let i = 0; i < 20; i++)
    devices.push(await s.live(newUser()));
  const wakeUps = () => Number(/^voluntary_ctxt_switches:\s+(\d+)/m
    .exec(readFileSync(`/proc/${s.relay.pid}/status`, 'utf8'))[1]);
  /* A timer of 50 ms would be 30 of them. */
  await waitUntil(async () => {
    const before = wakeUps();
    await sleep(1500);
    return wakeUps() - before < 12;
  }, { what: 'the relay to be quiet' });
  for (const device of devices)
    await device.close();
});

s.test('SIGHUP changes the time, SIGTERM ends a relay that hibernates', async () => {
  await asleep();
  await s.relay.writeConfig({ hibernate_after: '0ms' });
  s.relay.signal('SIGHUP');
  await (await s.live(newUser())).close();
  await sleep(800);
  assert.equal(await count('hibernating'), 0);
  await s.relay.writeConfig();
  s.relay.signal('SIGHUP');
  await asleep();
  assert.deepEqual(await s.relay.stop(), { code: 0, signal: null });
});
