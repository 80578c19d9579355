/*
 * batching.test.mjs
 *     Many writers share commits: that is what makes durable changes cheap.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { created, entry, newUser, sleep, useStack } from './harness.mjs';

const s = useStack();

/*
 * commits reads how many there were.  A backend reports what it did when it
 * goes idle, at most once a second; so a second later some of the sessions
 * write once more, and a new one asks, to make writers and readers report.
 */
async function commits(sessions) {
  await sleep(1100);
  await Promise.all(sessions.slice(0, 40).map((session) => session.push(created(entry()))));
  await s.live(newUser());
  await sleep(200);
  return Number((await s.query(`SELECT xact_commit FROM pg_stat_database
    WHERE datname = current_database()`))[0].xact_commit);
}

s.test('200 sessions that write need a tenth of the commits, in bounded time', async () => {
  const sessions = [];
  for (let i = 0; i < 100; i++) {
    const user = newUser('writer');
    sessions.push(await s.live(user), await s.live(user));
  }
  const each = 20;
  const before = await commits(sessions);
  const start = performance.now();
  /* As after an outage: each session's queue in one piece, all at once. */
  for (const session of sessions) {
    session.socket._socket.cork();
    for (let i = 0; i < each; i++)
      session.send(created(entry()));
  }
  for (const session of sessions)
    session.socket._socket.uncork();
  await Promise.all(sessions.map((session) => session.answers(each, 30000)));
  const seconds = (performance.now() - start) / 1000;
  const acked = sessions.length * each;
  assert.ok(seconds < 20, `${acked} changes took ${seconds.toFixed(1)} s`);

  /* Every session heard of its neighbour's changes, each once, in order. */
  for (const session of sessions) {
    const seqs = () => session.events.map((m) => m.seq);
    await session.waiting(() => new Set(seqs()).size >= each || undefined, 'the neighbour\'s');
    assert.deepEqual(seqs(), [...new Set(seqs())].sort((x, y) => x - y));
  }

  const spent = await commits(sessions) - before;
  console.log(`# ${acked} changes, ${spent} commits, ${seconds.toFixed(2)} s`);
  assert.ok(spent >= acked / 100, `${spent} commits for ${acked} changes cannot be all`);
  assert.ok(spent < acked / 10, `${spent} commits for ${acked} changes`);
});

s.test('one change alone does not wait for company', async () => {
  const device = await s.live(newUser());
  const times = [];
  for (let i = 0; i < 30; i++) {
    const start = performance.now();
    await device.push(created(entry()));
    times.push(performance.now() - start);
  }
  times.sort((x, y) => x - y);
  assert.ok(times[15] < 100, `median ${times[15].toFixed(1)} ms`);
});

s.test('a bad message in a crowd fails alone', async () => {
  const good = [];
  for (let i = 0; i < 20; i++)
    good.push(await s.live(newUser()));
  const bad = await s.live(newUser());
  const raw = JSON.stringify(created(entry({ notes: 'NOTES' })));
  for (let i = 0; i < 10; i++) {
    for (const device of good)
      device.send(created(entry()));
    bad.send(raw.replace('NOTES', '\\u0000'));
    bad.send(created(entry({ duration: -1 })));
  }
  for (const device of good)
    await device.answers(10);
  await bad.waiting(() => bad.messages.filter((m) => m.type === 'ERROR').length === 20 || undefined,
    'all errors');
  for (const device of good)
    assert.ok(!device.messages.some((m) => m.type === 'ERROR'));
});
