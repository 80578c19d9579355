/*
 * backfill.test.mjs
 *     A table is attached and backfilled while it is written to.
 *
 * In any snapshot a feed has a record for each of its rows and for no other,
 * or it has none at all: it is served as a whole.  That is asked again and
 * again while writers do at random what writers do and backfill is cancelled
 * and its connection killed.  At the end rescan(), which folds the history,
 * must find nothing to mend.
 *
 * MIRUSYNC_SEED re-runs the writers' choices (the timing is the machine's),
 * MIRUSYNC_BACKFILL_SECONDS makes it longer or shorter.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sleep, useStack, waitUntil } from './harness.mjs';

const run = promisify(execFile);
const SECONDS = Number(process.env.MIRUSYNC_BACKFILL_SECONDS || 4);
const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1e9);
const FEEDS = 200;
const ROWS = 20000;

/* What any concurrent program must expect, and feeds without the table yet. */
const EXPECTED_ERRORS = new Set(['40001', '40P01', '23505', '55P03']);

const s = useStack({
  relays: 0,
  postgres: { deadlock_timeout: '50ms', max_connections: 60 },
});

/* randomOf gives a generator of numbers in [0, 1) (mulberry32). */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const makeTable = (name, rows, feeds) => s.query(`
  CREATE TABLE ${name} (id bigint PRIMARY KEY, owner text, body text, n int DEFAULT 0);
  INSERT INTO ${name} SELECT i, 'feed-' || i % ${feeds}, 'row ' || i FROM generate_series(1, ${rows}) i;
  CREATE INDEX ON ${name} (owner);
  ANALYZE ${name}`);

/* wrongFeeds finds feeds that have some records, but not those of their rows. */
const wrongFeeds = async (table, query = s.query) => query(`
  SELECT feed, count(row_id) AS rows, count(record_id) AS records,
    count(*) FILTER (WHERE row_id IS NULL) AS without_row,
    count(*) FILTER (WHERE record_id IS NULL AND row_id IS NOT NULL) AS without_record
  FROM (SELECT coalesce(i.owner, r.feed) AS feed, i.id AS row_id, r.id AS record_id
        FROM ${table} i FULL JOIN (
          SELECT feed, id FROM mirusync.record WHERE collection = '${table}' AND NOT deleted) r
          ON r.feed = i.owner AND r.id = i.id::text) both_sides
  WHERE feed IN (SELECT feed FROM mirusync.record WHERE collection = '${table}')
  GROUP BY feed
  HAVING count(*) FILTER (WHERE row_id IS NULL OR record_id IS NULL) > 0`);

/* assertServed: all rows of all feeds are records, and numbers have no hole. */
async function assertServed(table, query = s.query) {
  assert.deepEqual(await wrongFeeds(table, query), []);
  assert.deepEqual(await query(
    `SELECT owner, id FROM ${table} WHERE owner IS NOT NULL AND NOT EXISTS (SELECT
     FROM mirusync.record WHERE feed = owner AND collection = '${table}' AND record.id = ${table}.id::text)`), []);
  assert.deepEqual(await query(
    `SELECT f.feed, f.head, count(l.seq) FROM mirusync.feed f LEFT JOIN mirusync.change_log l USING (feed)
     GROUP BY f.feed, f.head HAVING f.head <> count(l.seq) OR f.head <> coalesce(max(l.seq), 0)`), []);
  assert.deepEqual(await query(
    `SELECT feed, id FROM (
       SELECT feed, id, kind, lag(kind) OVER (PARTITION BY feed, id ORDER BY seq) AS before
       FROM mirusync.change_log WHERE collection = '${table}' AND kind <> 'patch') puts
     WHERE kind = 'put' AND before = 'put'`), [], 'put twice');
}

/* rescan returns what rescan() reports. */
async function rescan(client, collection) {
  let notice;
  client.once('notice', (n) => { notice = n.message; });
  await client.query(`CALL mirusync.rescan('${collection}')`);
  return notice;
}

const progress = async (collection) => (await s.query(
  'SELECT * FROM mirusync.backfill_progress WHERE collection = $1', [collection]))[0];

const isComplete = async (collection) => (await s.query(
  'SELECT complete FROM mirusync.collections WHERE name = $1', [collection]))[0].complete;

/* write does one transaction at random. */
async function write(client, random, state) {
  const below = (n) => Math.floor(random() * n);
  const feed = () => (random() < 0.05 ? `late-${below(20)}` : `feed-${below(FEEDS)}`);
  const key = () => 1 + below(ROWS);
  const actions = [
    () => client.query('UPDATE item SET n = n + 1 WHERE id = $1', [key()]),
    /* Twice is as before, and of 0 once. */
    () => client.query('UPDATE item SET n = -n WHERE id = $1', [key()]),
    () => client.query('UPDATE item SET n = -n WHERE owner = $1', [feed()]),
    () => client.query('UPDATE item SET owner = $2 WHERE id = $1', [key(), feed()]),
    () => client.query('DELETE FROM item WHERE id = $1', [key()]),
    () => client.query('INSERT INTO item VALUES ($1, $2, $3)', [ROWS + ++state.inserted, feed(), 'new']),
    () => client.query('UPDATE item SET owner = nullif(owner, $2) WHERE id % 5000 = $1', [below(5000), feed()]),
    () => client.query('UPDATE item SET n = n + 10 WHERE owner = $1', [feed()]),
    () => {
      const [kind, fields] = random() < 0.3 ? ['delete', {}] : ['patch', { fields: { body: 'pushed' } }];
      return client.query('SELECT mirusync.push($1, $2, $3)', [feed(), state.device, { changes: [{
        number: ++state.pushed, kind, collection: 'item', id: String(key()), ...fields }] }]);
    },
  ];
  await client.query(random() < 0.2 ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN');
  try {
    for (let i = 1 + below(4); i > 0; i--)
      await actions[below(actions.length)]();
    if (random() < 0.2) {
      await client.query('SAVEPOINT s');
      await actions[below(actions.length - 1)]();
      await client.query('ROLLBACK TO s');
    }
    if (random() < 0.3)
      await sleep(below(30));
    await client.query(random() < 0.1 ? 'ROLLBACK' : 'COMMIT');
    state.done++;
  } catch (error) {
    if (!EXPECTED_ERRORS.has(error.code) && error.code !== 'MS400')
      throw error;
    await client.query('ROLLBACK');
  }
}

s.test('writers write while a table is backfilled, which is interrupted', async (t) => {
  t.diagnostic(`MIRUSYNC_SEED=${SEED}`);
  await makeTable('item', ROWS, FEEDS);
  await s.query("SELECT mirusync.attach('item', 'owner', backfill => false)");
  const random = randomOf(SEED);
  const until = Date.now() + SECONDS * 1000;
  let filled = false;
  let interrupted = 0;
  let looked = 0;
  let partly = 0;

  const writer = async (i) => {
    const client = await s.client();
    const state = { device: `device-${i}`, inserted: i * 1e6, pushed: 0, done: 0 };
    const own = randomOf(SEED + i);
    while (!filled || Date.now() < until)
      await write(client, own, state);
    await client.end();
    return state.done;
  };
  const filler = async () => {
    while (!filled) {
      const client = await s.client();
      try {
        await client.query("CALL mirusync.backfill('item', 50)");
        filled = true;
      } catch (error) {
        if (!/^57/.test(error.code ?? '57') && !EXPECTED_ERRORS.has(error.code))
          throw error;
        interrupted++;
      }
      client.end().catch(() => {});
    }
  };
  const breaker = async () => {
    while (Date.now() < until - SECONDS * 300 && !filled) {
      await sleep(50 + Math.floor(random() * 150));
      await s.query(`SELECT ${random() < 0.5 ? 'pg_cancel_backend' : 'pg_terminate_backend'}(pid)
        FROM pg_stat_activity WHERE query LIKE 'CALL mirusync.backfill%' AND state = 'active'`);
    }
  };
  const looker = async () => {
    while (!filled) {
      assert.deepEqual(await wrongFeeds('item'), []);
      looked++;
      const { feeds_done: done } = await progress('item') ?? {};
      partly += done > 0;
    }
  };
  const results = await Promise.all([filler(), breaker(), looker(), ...[1, 2, 3, 4].map(writer)]);
  t.diagnostic(`${interrupted} interruptions, looked ${looked} times, ${partly} of them in between, `
    + `${results.slice(3).reduce((a, b) => a + b)} transactions`);
  assert.ok(interrupted > 0 && partly > 0);
  assert.equal(await isComplete('item'), true);
  assert.deepEqual(await s.query('SELECT * FROM mirusync.backfill_feed'), []);
  await assertServed('item');
  const client = await s.client();
  assert.match(await rescan(client, 'item'), / 0 put, 0 changed, 0 deleted, /);
  await client.end();
});

/* interrupt calls backfill and cancels it in between. */
async function interrupt(table) {
  const client = await s.client();
  const filling = client.query(`CALL mirusync.backfill('${table}', 1)`);
  filling.catch(() => {});
  await waitUntil(async () => (await progress(table)).feeds_done > 0);
  assert.equal((await progress(table)).state, 'running');
  await s.query('SELECT pg_cancel_backend($1)', [client.processID]);
  await assert.rejects(filling, { code: '57014' });
  await client.end();
}

s.test('a dump in the middle goes on after it is restored', async () => {
  await makeTable('page', 3000, 1500);
  await s.query("SELECT mirusync.attach('page', 'owner', backfill => false)");
  await interrupt('page');
  await s.query("INSERT INTO page VALUES (90001, 'feed-late', 'late')");
  const before = await progress('page');
  assert.equal(before.state, 'interrupted');
  assert.ok(Number(before.feeds_done) < 1500);

  const env = { ...process.env, ...s.stack.pgEnv };
  const { stdout: bin } = await run(process.env.PG_CONFIG || 'pg_config', ['--bindir']);
  const file = join(s.stack.dir, 'dump.sql');
  await run(join(bin.trim(), 'pg_dump'), ['-f', file], { env });
  await s.query('CREATE DATABASE restored TEMPLATE template0');
  await run(join(bin.trim(), 'psql'), ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', file], { env });

  const client = await s.client({ database: 'restored' });
  const query = async (sql) => (await client.query(sql)).rows;
  const [after] = await query("SELECT * FROM mirusync.backfill_progress WHERE collection = 'page'");
  assert.equal(after.state, 'interrupted');
  assert.equal(after.feeds_done, before.feeds_done);
  await query("INSERT INTO page VALUES (90002, 'feed-1400', 'after'), (90003, 'feed-0', 'after')");
  await query("CALL mirusync.backfill('page')");
  await assertServed('page', query);
  assert.match(await rescan(client, 'page'), / 0 put, 0 changed, 0 deleted, /);
  await client.end();

  await s.query("CALL mirusync.backfill('page')");
  await assertServed('page');
});

s.test('while the end waits for one writer, others write', async () => {
  await makeTable('word', 100, 10);
  await s.query("SELECT mirusync.attach('word', 'owner', backfill => false)");
  const holder = await s.client();
  await holder.query("BEGIN; INSERT INTO word VALUES (1001, 'feed-new', 'new')");
  const filler = await s.client();
  const filling = filler.query("CALL mirusync.backfill('word')");
  await waitUntil(async () => Number((await progress('word')).feeds_done) === 10);
  for (let i = 1; i <= 50; i++)
    await s.query('UPDATE word SET n = 1 WHERE id = $1', [i]);
  assert.equal((await progress('word')).state, 'running');
  assert.equal(await s.head('feed-1'), 15 + await otherNumbers('feed-1', 'word'));
  await holder.query('COMMIT');
  await filling;
  assert.equal(await isComplete('word'), true);
  await assertServed('word');
  await holder.end();
  await filler.end();
});

/* otherNumbers counts a feed's changes of other collections. */
async function otherNumbers(feed, collection) {
  return Number((await s.query('SELECT count(*) FROM mirusync.change_log WHERE feed = $1 AND collection <> $2',
    [feed, collection]))[0].count);
}
