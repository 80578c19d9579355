/*
 * pull_cost.test.mjs
 *     A page costs the same wherever it begins: a device that was away for
 *     long and one that has missed the last minute read as many blocks for as
 *     many records.
 *
 * Rows that lie close together are read by one walk (extension/locate.c), so
 * here those of every page do.  Counts blocks, not time.  A reader that skips what lies before the cursor
 * (OFFSET does) reads the more the later its page begins.  The figures for a
 * feed of a million records are in docs/internals/order.md.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { useStack } from './harness.mjs';

const RECORDS = 50000;
const PAGE = 500;

const s = useStack({ relays: 0 });

async function blocks(client, after) {
  const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
    SELECT mirusync.pull('anna', 'anna', ${after}, ${PAGE})`);
  const { Plan: plan } = rows[0]['QUERY PLAN'][0];
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

s.test('a page costs the same wherever it begins', async (t) => {
  const client = await s.client();
  try {
    await client.query("SELECT mirusync.create_collection('note')");
    await client.query('SET mirusync.doorbell = off');
    await client.query(`INSERT INTO mirusync.document
      SELECT 'anna', 'note', 'note-' || lpad(i::text, 5, '0'), jsonb_build_object('text', 'note ' || i)
      FROM generate_series(1, $1::int) i`, [RECORDS]);
    assert.equal(await s.head('anna'), RECORDS);

    /* Caches are warm then, and hints are set. */
    for (let after = 0; after < RECORDS; after += PAGE)
      await blocks(client, after);
    const first = await blocks(client, 0);
    for (const after of [RECORDS / 2, RECORDS - PAGE]) {
      const later = await blocks(client, after);
      t.diagnostic(`${first} blocks for the page after 0, ${later} for the one after ${after}`);
      assert.ok(later < 2 * first,
        `${first} blocks for the page after 0, but ${later} for the one after ${after}`);
    }
  } finally {
    await client.end();
  }
});
