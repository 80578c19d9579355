/*
 * forget.test.mjs
 *     A user's account is deleted while his devices are connected, away, and
 *     writing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { created, cursorOf, entry, newUser, replica, useStack, waitUntil } from './harness.mjs';

/* The poll would hide a doorbell that does not ring. */
const s = useStack({ relay: { heads_poll_interval: '1h' } });

const put = (user, object) => s.query('SELECT mirusync.put($1, $2, $3, $4)',
  [user, 'logbook_entry', object.id, object]);

s.test('devices hear that everything is deleted, and go on', async () => {
  const user = newUser();
  const other = newUser();
  const bystander = entry();
  await put(other, bystander);
  const away = await s.live(user);
  const near = await s.live(user);
  const entries = [];
  for (let i = 0; i < 20; i++) {
    entries.push(entry());
    await away.push(created(entries[i]));
  }
  const cursor = cursorOf(away.messages);
  assert.equal(cursor, 20);
  await near.until((m) => m.seq === 20, 'the last entry');
  await away.close();

  await s.query('CALL mirusync.forget($1, 6)', [user]);
  await waitUntil(() => replica(near.events).size === 0, { what: 'the deletes' });
  await waitUntil(() => s.relay.log.includes(`starting over user=${user}`),
    { what: 'the session that stayed to start over' });
  const [{ count }] = await s.query(`SELECT count(*)::int FROM mirusync.record WHERE feed = $1`, [user]);
  assert.equal(count, 0);

  /* The session that stayed goes on: its next change is live for others. */
  const back = await s.open(user);
  const { response, messages } = await back.sync({ lastSeq: cursor });
  assert.equal(messages.length, 0);
  assert.ok(response.lastSeq > cursor, 'a cursor of the new epoch');
  const fresh = entry();
  const number = await near.push(created(fresh));
  assert.ok(number > response.lastSeq);
  assert.equal((await back.event('ENTRY_CREATED')).entry.id, fresh.id);
  /* In SQL too, once more forgotten. */
  await s.query('CALL mirusync.forget($1)', [user]);
  await back.event('ENTRY_DELETED', (m) => m.entryId === fresh.id);
  /* Live, or with the pages of those who are still starting over. */
  const after = entry({ notes: 'after' });
  await put(user, after);
  for (const device of [near, back])
    await waitUntil(() => replica(device.events).get(`logbook_entry/${after.id}`)?.notes === 'after',
      { what: 'the entry made after' });
  assert.deepEqual((await s.document(other, 'logbook_entry', bystander.id)).id, bystander.id);
});

s.test('a device that writes meanwhile neither fails nor is lost', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const reader = await s.live(user);
  for (let i = 0; i < 50; i++)
    await put(user, entry());
  let forgetting = true;
  const forget = (async () => {
    for (let i = 0; i < 10; i++) {
      /* What was written between its steps is said to be left. */
      await s.query('CALL mirusync.forget($1, 3)', [user])
        .catch((error) => assert.equal(error.code, '55000', error.message));
    }
    forgetting = false;
  })();
  for (let i = 0; forgetting; i++)
    await writer.push(created(entry({ notes: `written ${i}` })));
  await forget;
  await writer.push(created(entry({ notes: 'the last' })));
  await reader.event('ENTRY_CREATED', (m) => m.entry.notes === 'the last');

  const rows = await s.query('SELECT id FROM mirusync.document WHERE feed = $1', [user]);
  const stored = rows.map((row) => `logbook_entry/${row.id}`).sort();
  assert.ok(stored.length > 0);
  /* Each document has its state, and its history since the last epoch. */
  const [{ count }] = await s.query(`
    SELECT count(*)::int FROM mirusync.record r JOIN mirusync.change_log l USING (feed, seq)
    WHERE feed = $1 AND NOT deleted`, [user]);
  assert.equal(count, stored.length);
  assert.deepEqual([...replica(reader.events).keys()].sort(), stored);
  const late = await s.open(user);
  assert.deepEqual([...replica((await late.sync()).messages).keys()].sort(), stored);
});
