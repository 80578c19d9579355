/*
 * partition_dump.test.mjs
 *     An attached partitioned table is dumped and restored: rows, state and
 *     numbers are as before, and what happens afterwards is seen.
 *
 * pg_dump leaves the row triggers of partitions to the server, which copies
 * them from the table's; those for TRUNCATE it writes.  ATTACH PARTITION and
 * COPY into partitions come before any trigger, and must count for nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { useStack } from './harness.mjs';

const run = promisify(execFile);
const s = useStack({ relays: 0 });

const SCHEMA = `
  CREATE SCHEMA app;
  CREATE TABLE app.task (gone text, region text, id int, owner text, title text,
    PRIMARY KEY (region, id)) PARTITION BY LIST (region);
  ALTER TABLE app.task DROP COLUMN gone;
  CREATE TABLE app.task_eu PARTITION OF app.task FOR VALUES IN ('eu');
  CREATE TABLE app.task_us (title text, junk int, owner text, id int NOT NULL, region text NOT NULL);
  ALTER TABLE app.task_us DROP COLUMN junk;
  ALTER TABLE app.task ATTACH PARTITION app.task_us FOR VALUES IN ('us');
  CREATE TABLE app.task_asia PARTITION OF app.task FOR VALUES IN ('jp', 'in') PARTITION BY HASH (id);
  CREATE TABLE app.task_asia_0 PARTITION OF app.task_asia FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE app.task_asia_1 PARTITION OF app.task_asia FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  SELECT mirusync.attach('app.task', 'owner');
  INSERT INTO app.task SELECT r, i, 'anna', r || i FROM unnest('{eu,us,jp,in}'::text[]) r, generate_series(1, 5) i;
  UPDATE app.task SET title = 'changed' WHERE id = 2;
  DELETE FROM app.task WHERE id = 3;`;

const DUMPED = {
  rows: 'SELECT region, id, owner, title FROM app.task ORDER BY region, id',
  records: 'SELECT feed, collection, id, seq, deleted FROM mirusync.record ORDER BY feed, seq',
  log: 'SELECT feed, seq, kind, id, old, new FROM mirusync.change_log ORDER BY feed, seq',
  heads: 'SELECT feed, head FROM mirusync.feed ORDER BY feed',
  triggers: `SELECT tgrelid::regclass::text, tgname, tgenabled, tgparentid <> 0 AS copied
    FROM pg_trigger WHERE tgname LIKE '!mirusync%' ORDER BY 1, 2`,
};

async function contents(client) {
  const found = {};
  for (const [name, sql] of Object.entries(DUMPED))
    found[name] = (await client.query(sql)).rows;
  return found;
}

async function restored(name, restore) {
  await s.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  const { stderr } = await restore(name);
  assert.equal(stderr, '', 'no warnings');
  return s.client({ database: name });
}

const command = (name, args) => run(join(s.stack.bindir, name), args,
  { env: { ...process.env, ...s.stack.pgEnv }, maxBuffer: 1 << 26 });

async function assertAlive(client) {
  const page = async (after) => (await client.query(
    "SELECT mirusync.pull('anna', 'anna', $1) AS page", [after])).rows[0].page;
  const before = (await page(0)).head;
  await client.query("INSERT INTO app.task VALUES ('jp', 11, 'anna', 'new')");
  await client.query("UPDATE app.task_us SET title = 'by leaf' WHERE id = 1");
  await client.query('TRUNCATE app.task_eu');
  await client.query("CREATE TABLE app.task_fr PARTITION OF app.task FOR VALUES IN ('fr')");
  await client.query("INSERT INTO app.task VALUES ('fr', 1, 'anna', 'new')");
  await client.query('TRUNCATE app.task_fr');
  await client.query('ALTER TABLE app.task DETACH PARTITION app.task_us');
  const seen = (await page(before)).changes.map((c) => `${c.kind} ${c.id}`).sort();
  assert.deepEqual(seen, ['put jp,11',
    ...['eu', 'us'].flatMap((r) => [1, 2, 4, 5].map((i) => `delete ${r},${i}`)),
    'delete fr,1'].sort());
}

s.test('restored by psql and by pg_restore, it is as it was and goes on', async () => {
  await s.query(SCHEMA);
  const original = await s.client();
  const before = await contents(original);
  await original.end();
  assert.equal(before.triggers.filter((t) => t.tgname === '!mirusync_truncate').length, 5);

  const dump = join(s.stack.dir, 'dump');
  await command('pg_dump', ['-Fc', '-f', `${dump}.custom`, s.stack.database]);
  await command('pg_dump', ['-f', `${dump}.sql`, s.stack.database]);
  const ways = {
    plain: (name) => command('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', name, '-f', `${dump}.sql`]),
    custom: (name) => command('pg_restore', ['--exit-on-error', '-d', name, `${dump}.custom`]),
  };
  for (const [name, restore] of Object.entries(ways)) {
    const client = await restored(name, restore);
    try {
      assert.deepEqual(await contents(client), before, name);
      await assertAlive(client);
      // What was noted goes with the extension, and is in nobody's way.
      await client.query('BEGIN; DROP TABLE app.task_eu; DROP EXTENSION mirusync CASCADE; COMMIT');
      await client.query("CREATE TABLE app.task_eu PARTITION OF app.task FOR VALUES IN ('eu')");
      await client.query('DROP SCHEMA app CASCADE');
    } finally {
      await client.end();
    }
  }
});
