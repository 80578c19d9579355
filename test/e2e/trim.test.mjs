/*
 * trim.test.mjs
 *     Tombstones are trimmed while devices are connected, away, and writing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { created, cursorOf, entry, newUser, replica, useStack, waitUntil } from './harness.mjs';
import { useNative } from './native.mjs';

/* Nobody is told of a trim: the poll must not be needed either. */
const s = useStack({ relay: { heads_poll_interval: '1h' } });
const n = useNative(s);

const put = (user, object) => s.query('SELECT mirusync.put($1, $2, $3, $4)',
  [user, 'logbook_entry', object.id, object]);

s.test('who is connected does not notice, and who was away starts over', async () => {
  const user = newUser();
  const near = await s.live(user);
  const away = await s.live(user);
  const entries = [entry(), entry(), entry()];
  for (const one of entries)
    await put(user, one);
  await away.until((m) => m.seq === 3, 'the last entry');
  const cursor = cursorOf(away.messages);
  await away.close();

  await s.query('SELECT mirusync.delete($1, $2, $3)', [user, 'logbook_entry', entries[0].id]);
  await waitUntil(() => replica(near.events).size === 2, { what: 'the delete' });
  await s.query(`SELECT mirusync.set_retention('logbook_entry', tombstone_count => 0)`);
  await s.query('CALL mirusync.trim()');
  const [{ left, floor }] = await s.query(`SELECT floor::int,
    (SELECT count(*)::int FROM mirusync.record r WHERE r.feed = f.feed AND deleted) AS left
    FROM mirusync.feed f WHERE feed = $1`, [user]);
  assert.deepEqual({ left, floor }, { left: 0, floor: 4 });

  /* Its own writes and others' arrive, without starting over. */
  const number = await near.push(created(entry()));
  assert.ok(number > cursor);
  const after = entry({ notes: 'after' });
  await put(user, after);
  await waitUntil(() => replica(near.events).get(`logbook_entry/${after.id}`)?.notes === 'after',
    { what: 'the entry made after' });
  assert.ok(!s.relay.log.includes(`starting over user=${user}`));
  assert.equal(replica(near.events).size, 3);

  /* It gets every record that there is, and what it makes is kept. */
  const back = await s.open(user);
  const { messages } = await back.sync({ lastSeq: cursor });
  assert.equal(replica(messages).size, 4);
  const unsent = entry();
  await back.push(created(unsent));
  await waitUntil(() => replica(near.events).has(`logbook_entry/${unsent.id}`), { what: 'what was not sent' });
});

s.test('in mirusync.v1 too: the one is told an epoch, the other to start over', async () => {
  const user = newUser();
  await s.query("SELECT mirusync.create_collection('memo', 'lww_field')");
  const near = await n.live(user, { device: 'near' });
  const away = await n.live(user, { device: 'away' });
  for (const id of ['m1', 'm2', 'm3'])
    await near.put('memo', id, { title: id });
  await away.caughtUp(3);
  const { cursor } = away;
  await away.close();

  await near.remove('memo', 'm1');
  await s.query("SELECT mirusync.set_retention('memo', tombstone_count => 0)");

  /* Nothing goes above what the device says that it has read. */
  const floor = async () => {
    await s.query('CALL mirusync.trim($1)', [user]);
    return (await s.query('SELECT floor::int FROM mirusync.feed WHERE feed = $1', [user]))[0].floor;
  };
  const report = { unsent: 0, version: '2.1' };
  assert.deepEqual(await near.push([], { report: { ...report, cursor: 3 } }), []);
  assert.equal(await floor(), 0);
  assert.deepEqual(await near.push([], { report: { ...report, cursor: 4 } }), []);
  assert.equal(await floor(), 4);

  /* A session that stays goes on, in the new epoch. */
  await s.query("SELECT mirusync.put($1, 'memo', 'm4', $2)", [user, { title: 'm4' }]);
  await near.caughtUp(5);
  assert.ok(near.cursor.epoch > cursor.epoch);
  assert.ok(!near.messages.some((m) => m.type === 'start_over'));

  const back = await n.live(user, { device: 'away', cursor });
  assert.ok(back.messages.some((m) => m.type === 'start_over'));
  assert.deepEqual([...back.state.keys()].sort(), ['memo/m2', 'memo/m3', 'memo/m4']);
  near.sound();
  back.sound();
});
