/*
 * memory.test.mjs
 *     A transaction may change any number of rows: what the backend keeps of
 *     them is bounded by mirusync.note_memory and by the number of feeds.
 *
 * Compares the peak of the backend's memory after a large UPDATE of a table
 * that is attached with that of one that is not.  What remains is the server's
 * own queue of trigger events, 16 bytes a row, and some 4 MB that do not grow
 * with the rows.  Folding in memory took 80 bytes a row more.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { useStack } from './harness.mjs';

const ROWS = 120000;
const FEEDS = 4000;
const MOST_BYTES_PER_ROW = 90;

const s = useStack({ relays: 0, postgres: { shared_buffers: '16MB', max_wal_size: '2GB' } });

/* peak runs an UPDATE in a backend of its own; returns its memory in bytes. */
async function peak(table) {
  const client = await s.client();
  try {
    await client.query("SET mirusync.doorbell = off; SET mirusync.note_memory = '1MB'");
    await client.query(`UPDATE ${table} SET count = count + 1`);
    const { rows } = await client.query("SELECT pg_read_file('/proc/self/status') AS status");
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(rows[0].status)[1]) * 1024;
  } finally {
    await client.end();
  }
}

s.test('memory of a large transaction is bounded', async (t) => {
  const client = await s.client();
  try {
    await client.query('SET mirusync.doorbell = off');
    for (const table of ['unattached', 'attached'])
      await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY, owner text NOT NULL, count int)`);
    await client.query("SELECT mirusync.attach('attached', feed => 'owner')");
    for (const table of ['unattached', 'attached']) {
      await client.query(`INSERT INTO ${table} SELECT n, 'memory-' || n % $1::int, 0
        FROM generate_series(1, $2::int) n`, [FEEDS, ROWS]);
    }
    const plain = await peak('unattached');
    const bytesPerRow = (await peak('attached') - plain) / ROWS;

    t.diagnostic(`${bytesPerRow.toFixed(1)} bytes a row more than without mirusync`);
    assert.ok(bytesPerRow < MOST_BYTES_PER_ROW, `${bytesPerRow} bytes a row`);
    const { rows } = await client.query(`SELECT count(*)::int AS feeds, sum(head)::int AS changes
      FROM mirusync.feed WHERE feed LIKE 'memory-%'`);
    assert.deepEqual(rows, [{ feeds: FEEDS, changes: 2 * ROWS }]);
  } finally {
    await client.end();
  }
});
