/*
 * partition_race.test.mjs
 *     Partitions come and go under load, and devices end up with what the
 *     table has.
 *
 * Writers write by SQL through the table and into partitions, move rows from
 * one to another, and push. Meanwhile partitions are detached, also
 * concurrently, attached, dropped, made and truncated, and columns come and
 * go. A reader a feed follows by its cursor alone; at the end its replica must
 * equal the table. What the server refuses for good reasons (deadlocks, rows
 * without a partition, duplicate keys) is nobody's failure; internal errors are.
 *
 * MIRUSYNC_RACE_SECONDS says for how long.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { sleep, useStack } from './harness.mjs';

const SECONDS = Number(process.env.MIRUSYNC_RACE_SECONDS ?? 6);
const PARTITIONS = 6;
const KEYS = PARTITIONS * 10;
const FEEDS = ['anna', 'bert', 'carl'];

const s = useStack({ relays: 0 });
const random = (n) => Math.floor(Math.random() * n);
const feed = () => FEEDS[random(FEEDS.length)];
const bounds = (p) => `FOR VALUES FROM (${p * 10}) TO (${p * 10 + 10})`;
const attach = (p) => `ALTER TABLE item ATTACH PARTITION item_${p} ${bounds(p)}`;

/* Every other partition has its columns in another order. */
async function prepare() {
  await s.query(`CREATE TABLE item (owner text, id int PRIMARY KEY, body text)
    PARTITION BY RANGE (id)`);
  for (let p = 0; p < PARTITIONS; p += 2) {
    await s.query(`CREATE TABLE item_${p} (body text, id int NOT NULL, owner text)`);
    await s.query(attach(p));
    await s.query(`CREATE TABLE item_${p + 1} PARTITION OF item ${bounds(p + 1)}`);
  }
  await s.query("SELECT mirusync.attach('item', 'owner')");
}

/* repeatedly does something until the race is over, whatever becomes of it. */
async function repeatedly(race, body) {
  const client = await s.client();
  while (!race.over) {
    try {
      await body(client);
      race.done++;
    } catch (error) {
      if (error.code === undefined || error.code.startsWith('XX'))
        race.bad.push(`${error.code}: ${error.message}`);
    }
  }
  await client.end();
}

async function write(client) {
  const id = random(KEYS);
  const table = random(2) ? 'item' : `item_${Math.floor(id / 10)}`;
  const statements = [
    `INSERT INTO ${table} (owner, id, body) VALUES ('${feed()}', ${id}, repeat('x', ${random(4000)}))
     ON CONFLICT DO NOTHING`,
    `UPDATE ${table} SET body = '${random(1e6)}' WHERE id = ${id}`,
    `UPDATE ${table} SET owner = '${feed()}' WHERE id = ${id}`,
    `UPDATE item SET id = ${random(KEYS)} WHERE id = ${id}`,
    `DELETE FROM ${table} WHERE id = ${id}`,
  ];
  await client.query(statements[random(statements.length)]);
}

let number = 0;
const push = (client) => client.query('SELECT mirusync.push($1, $2, $3)', [feed(), 'phone', {
  changes: [{
    number: ++number, kind: ['put', 'patch', 'delete'][random(3)],
    collection: 'item', id: `${random(KEYS)}`, fields: { body: 'pushed' },
  }],
}]);

async function alter(client) {
  const p = random(PARTITIONS);
  const commands = [
    [`ALTER TABLE item DETACH PARTITION item_${p}`, attach(p)],
    [`ALTER TABLE item DETACH PARTITION item_${p} CONCURRENTLY`, attach(p)],
    [`DROP TABLE item_${p}`, `CREATE TABLE item_${p} PARTITION OF item ${bounds(p)}`],
    [`TRUNCATE item_${p}`],
    ['ALTER TABLE item ADD COLUMN n int', 'ALTER TABLE item DROP COLUMN n'],
  ];
  try {
    for (const command of commands[random(commands.length)])
      await client.query(command);
  } catch (error) {
    await client.query(attach(p)).catch(() => {});
    await client.query('ALTER TABLE item DROP COLUMN IF EXISTS n').catch(() => {});
    throw error;
  }
  await sleep(random(40));
}

/* follow reads a feed from its cursor on. */
const follow = (name, replica) => async (client) => {
  const { rows: [{ page }] } = await client.query(
    'SELECT mirusync.pull($1, $1, $2, 50) AS page', [name, replica.after]);
  for (const { id, kind, fields } of page.changes) {
    if (kind === 'delete')
      replica.records.delete(id);
    else
      replica.records.set(id, fields.body);
  }
  replica.after = page.upto;
  replica.complete = page.complete;
};

s.test('devices have what the table has, whatever happens to its partitions', async () => {
  await prepare();
  const race = { over: false, done: 0, bad: [] };
  const replicas = FEEDS.map(() => ({ after: 0, records: new Map() }));
  const followers = FEEDS.map((name, i) => follow(name, replicas[i]));
  const running = [write, write, push, alter, ...followers].map((body) => repeatedly(race, body));
  await sleep(SECONDS * 1000);
  race.over = true;
  await Promise.all(running);
  assert.deepEqual(race.bad, []);

  // Once more at rest: no later write mends what these would miss.
  const client = await s.client();
  for (let p = 0; p < PARTITIONS; p += 3) {
    await client.query(attach(p)).catch(() => {});
    await client.query(`ALTER TABLE item DETACH PARTITION item_${p}`);
    await client.query(`UPDATE item_${p} SET body = 'meanwhile' WHERE id % 2 = 0`);
    await client.query(attach(p));
    await client.query(`DROP TABLE IF EXISTS item_${p + 1}`);
  }
  for (const [i, name] of FEEDS.entries()) {
    do
      await followers[i](client);
    while (!replicas[i].complete);
    const rows = await s.query('SELECT id, body FROM item WHERE owner = $1 ORDER BY id', [name]);
    const records = [...replicas[i].records].map(([id, body]) => ({ id: Number(id), body }));
    assert.deepEqual(records.sort((a, b) => a.id - b.id), rows, name);
  }
  await client.end();
}, { timeout: 120000 + SECONDS * 1000 });
