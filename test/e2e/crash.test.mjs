/*
 * crash.test.mjs
 *     No number is given out twice, not even by a crash.
 *
 * With synchronous_commit = off a crash forgets the last transactions, which
 * is fine for the application that asked for it, but their numbers were seen:
 * given out again for other changes, they would make a device skip those.  So
 * whoever takes a number commits durably.
 *
 * The WAL writer is told to be as lazy as it can be; without that, and with
 * ForceSyncCommit() taken out of flush, the test would fail only now and then
 * (docs/internals/order.md shows how it does fail).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { useStack, waitUntil } from './harness.mjs';

const CRASHES = 3;

const s = useStack({
  relays: 0,
  postgres: { wal_writer_delay: '10s', wal_writer_flush_after: '1GB' },
});

/* untilCrash does something again and again until the server is gone. */
async function untilCrash(state, body) {
  const client = await s.client();
  try {
    await client.query('SET synchronous_commit = off');
    for (let i = 0; ; i++)
      await body(client, i);
  } catch (error) {
    if (!state.crashed)
      throw error;
  } finally {
    client.end().catch(() => {});
  }
}

const bySql = (name) => (client, i) => client.query(
  'SELECT mirusync.put($1, $2, $3, $4)', ['anna', 'note', `${name}-${i}`, {}]);

const byPush = (name) => (client, i) => client.query(
  'SELECT mirusync.push($1, $2, $3)', ['anna', name, {
    changes: [{ number: i + 1, kind: 'put', collection: 'note', id: `${name}-${i}`, fields: {} }],
  }]);

/* follow reads the feed and keeps what it was told. */
const follow = (seen) => async (client) => {
  const { rows: [{ page }] } = await client.query(
    'SELECT mirusync.pull($1, $1, $2, 100) AS page', ['anna', seen.upto]);
  for (const change of page.changes)
    seen.ids.set(change.seq, change.id);
  seen.upto = page.upto;
};

s.test('after a crash no number that was seen belongs to another change', async (t) => {
  await s.query("SELECT mirusync.create_collection('note')");
  const seen = { upto: 0, ids: new Map() };
  for (let crash = 1; crash <= CRASHES; crash++) {
    const before = seen.upto;
    const state = { crashed: false };
    const ends = Promise.all([
      follow(seen), bySql(`sql-${crash}`), bySql(`more-${crash}`), byPush(`push-${crash}`),
    ].map((body) => untilCrash(state, body)));
    await Promise.race([ends,
      waitUntil(() => seen.upto >= before + 100 * crash, { what: 'changes to be seen' })]);
    state.crashed = true;
    await s.stack.stopPostgres('SIGQUIT');
    await ends;
    await s.stack.startPostgres();

    const log = await s.query(
      "SELECT seq::int, id FROM mirusync.change_log WHERE feed = 'anna' ORDER BY seq");
    const head = await s.head('anna');
    const ids = new Map(log.map((entry) => [entry.seq, entry.id]));
    t.diagnostic(`crash ${crash}: seen up to ${seen.upto}, head ${head}`);
    assert.deepEqual(log.map((entry) => entry.seq), Array.from({ length: head }, (_, i) => i + 1),
      'the log has no hole');
    assert.ok(head >= seen.upto, `seen up to ${seen.upto}, but the head is ${head}`);
    for (const [seq, id] of seen.ids)
      assert.equal(ids.get(seq), id, `number ${seq}`);
  }
}, { timeout: 120000 });
