/*
 * client.test.mjs
 *     The JavaScript client (client/) against a real relay and PostgreSQL.
 *
 * Every message of either side is held against the schemas.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createClients } from './client.mjs';
import { newUser, useStack, waitUntil } from './harness.mjs';

const s = useStack({ relays: 1, relay: { heads_poll_interval: '1s' } });
const c = createClients(s);

test('two clients see what the other writes, and what SQL writes', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  const written = a.note.put('n1', { title: 'Milk' });
  assert.deepEqual(a.note.get('n1'), { id: 'n1', title: 'Milk' }, 'shows at once');
  assert.equal((await written.verdict).verdict, 'applied');
  await waitUntil(() => b.note.get('n1'), { what: 'the note at the other' });
  assert.deepEqual(b.note.get('n1'), { id: 'n1', title: 'Milk' });
  await s.query(`UPDATE mirusync.document SET data = data || '{"done": true}' WHERE feed = $1`, [user]);
  for (const client of [a, b])
    await waitUntil(() => client.note.get('n1').done, { what: 'what SQL did' });
  b.note.delete('n1');
  await waitUntil(() => !a.note.get('n1'), { what: 'the end of the note' });
  assert.deepEqual(a.note.getSnapshot(), []);
});

function test(name, body) {
  s.test(name, async () => {
    await c.prepare();
    try {
      await body();
    } finally {
      await c.closeAll();
    }
    c.sound();
  });
}
