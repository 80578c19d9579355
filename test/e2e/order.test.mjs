/*
 * order.test.mjs
 *     Promise 1 under load: per feed, committed changes carry 1, 2, 3 ...
 *     without a hole, and a reader who has seen N never later finds a change
 *     up to N that he has not seen.
 *
 * Writers do at random what writers do: plain SQL on a table and on the
 * document store, pushes, savepoints, rollbacks, a pause before the commit, in
 * READ COMMITTED and REPEATABLE READ.  One reader a feed pages through it all
 * the while, in small pages.  What must hold is checked at every page, and at
 * the end against the history and the tables.
 *
 * MIRUSYNC_SEED re-runs the writers' choices (the timing is the machine's),
 * MIRUSYNC_ORDER_SECONDS makes it longer or shorter.  docs/internals/order.md
 * shows what it prints when the numbers come from a sequence, and when pull
 * reads its head later than its rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { sleep, useStack } from './harness.mjs';

const SECONDS = Number(process.env.MIRUSYNC_ORDER_SECONDS || 20);
const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1e9);
const WRITERS = 16;
const FEEDS = Array.from({ length: 10 }, (_, i) => `feed-${i}`);
const IDS = 25;

/* Refusals that any concurrent program must expect: conflicts and deadlocks. */
const EXPECTED_ERRORS = new Set(['40001', '40P01', '23505']);

const s = useStack({
  relays: 0,
  postgres: { deadlock_timeout: '20ms', max_connections: 60 },
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

/*
 * Writer: one connection that writes at random
 *
 * A push locks its feed when it returns, so what its transaction does after it
 * may deadlock with others.  Until mixFrom pushes come alone, and no COMMIT
 * may fail then; after it they come anywhere.
 */
class Writer {
  constructor(client, name, seed, mixFrom) {
    this.client = client;
    this.name = name;
    this.mixFrom = mixFrom;
    this.random = randomOf(seed);
    this.pushed = 0;
    this.committed = 0;
    this.rolledBack = 0;
    this.refused = 0;
  }

  below(n) { return Math.floor(this.random() * n); }
  chance(share) { return this.random() < share; }
  pick(list) { return list[this.below(list.length)]; }

  text() { return `${this.name} ${this.below(1e6)}`; }

  push(feed) {
    const changes = Array.from({ length: 1 + this.below(3) }, () => {
      const collection = this.pick(['note', 'item']);
      const change = {
        number: ++this.pushed,
        kind: this.pick(['put', 'put', 'patch', 'delete']),
        collection,
        id: String(this.below(IDS)),
      };
      if (change.kind !== 'delete')
        change.fields = collection === 'note' ? { text: this.text() } : { body: this.text() };
      return change;
    });
    return this.client.query('SELECT mirusync.push($1, $2, $3)',
      [feed, this.name, { changes }]);
  }

  /* write does one thing to a feed, or to several at once. */
  write() {
    const feed = this.pick(FEEDS);
    const id = this.below(IDS);
    const { client } = this;
    switch (this.below(10)) {
      case 0:
      case 1:
        return client.query(`INSERT INTO item VALUES ($1, $2, $3) ON CONFLICT (owner, id)
          DO UPDATE SET body = excluded.body`, [feed, id, this.text()]);
      case 2:
        return client.query('UPDATE item SET n = n + 1, body = $3 WHERE owner = $1 AND id = $2',
          [feed, id, this.text()]);
      case 3:
        return client.query('DELETE FROM item WHERE owner = $1 AND id = $2', [feed, id]);
      case 4:
        return client.query('UPDATE item SET n = n + 1 WHERE id = $1 AND owner < $2', [id, feed]);
      case 5:
        return client.query('UPDATE item SET owner = $3 WHERE owner = $1 AND id = $2',
          [feed, id, this.pick(FEEDS)]);
      case 6:
      case 7:
        return client.query("SELECT mirusync.put($1, 'note', $2, $3)",
          [feed, String(id), { text: this.text(), n: this.below(3) }]);
      case 8:
        return client.query("SELECT mirusync.delete($1, 'note', $2)", [feed, String(id)]);
      default:
        return Date.now() < this.mixFrom ? undefined : this.push(feed);
    }
  }

  async writeSome(most) {
    for (let i = this.below(most); i >= 0; i--)
      await this.write();
  }

  async transaction() {
    await this.client.query(this.chance(0.3) ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN');
    await this.writeSome(3);
    if (this.chance(0.3)) {
      await this.client.query('SAVEPOINT one');
      await this.writeSome(2);
      if (this.chance(0.3)) {
        await this.client.query('SAVEPOINT two');
        await this.writeSome(2);
        await this.client.query(this.chance(0.5) ? 'ROLLBACK TO two' : 'RELEASE two');
      }
      await this.client.query(this.chance(0.5) ? 'ROLLBACK TO one' : 'RELEASE one');
      if (this.chance(0.5))
        await this.writeSome(2);
    }
    await sleep(this.below(15));
    const rollback = this.chance(0.1);
    await this.client.query(rollback ? 'ROLLBACK' : 'COMMIT').catch((error) => {
      if (Date.now() < this.mixFrom)
        throw new Error(`COMMIT failed: ${error.message}`);
      throw error;
    });
    this[rollback ? 'rolledBack' : 'committed']++;
  }

  async run(deadline) {
    while (Date.now() < deadline) {
      try {
        if (this.chance(0.2))
          await this.push(this.pick(FEEDS));
        else
          await this.transaction();
      } catch (error) {
        if (!EXPECTED_ERRORS.has(error.code))
          throw error;
        this.refused++;
        await this.client.query('ROLLBACK');
      }
    }
  }
}

/*
 * Reader: follows one feed by its cursor alone, and keeps a replica
 */
class Reader {
  constructor(client, feed, seed) {
    this.client = client;
    this.feed = feed;
    this.random = randomOf(seed);
    this.cursor = 0;
    this.pages = 0;
    this.complete = false;
    this.replica = new Map();
    this.passed = [];
    this.wrong = [];
  }

  /*
   * page reads one page, and under the same snapshot how many of the numbers
   * that it claims to cover are there.  Those that are not may still come, and
   * nobody would read them.
   */
  async page() {
    const max = 1 + Math.floor(this.random() * 7);
    const { rows: [{ page, there }] } = await this.client.query(`
      SELECT page, (SELECT array_agg(l.seq ORDER BY l.seq) FROM mirusync.change_log l
        WHERE l.feed = $1 AND l.seq > $2 AND l.seq <= (page->>'upto')::bigint) AS there
      FROM (SELECT mirusync.pull($1, $1, $2, $3) AS page) pulled`, [this.feed, this.cursor, max]);
    const { upto, head } = page;
    const fail = (what) => this.wrong.push(`page (${this.cursor}, ${upto}] of ${head}: ${what}`);

    this.pages++;
    const present = new Set((there ?? []).map(Number));
    for (let seq = this.cursor + 1; seq <= upto; seq++)
      if (!present.has(seq))
        this.passed.push(seq);
    if (upto < this.cursor || upto > head)
      fail('cursor out of order');
    let last = this.cursor;
    for (const change of page.changes) {
      if (change.seq <= last || change.seq > upto)
        fail(`change ${change.seq} after ${last}`);
      last = change.seq;
      const key = `${change.collection}/${change.id}`;
      if (change.kind === 'delete')
        this.replica.delete(key);
      else
        this.replica.set(key, change.fields);
    }
    this.cursor = upto;
    this.complete = page.complete;
  }

  async run(isOver) {
    for (;;) {
      const last = isOver();
      await this.page();
      if (last && this.complete)
        return;
      if (this.complete)
        await sleep(Math.floor(this.random() * 4));
    }
  }
}

const list = (numbers) => (numbers.length <= 8 ? numbers.join(' ')
  : `${numbers.slice(0, 8).join(' ')} ... (${numbers.length})`);

/* compare tells what is wrong with one feed, once all is over. */
async function compare(reader) {
  const { feed, wrong } = reader;
  const head = await s.head(feed);
  const log = await s.query(
    'SELECT seq::int, collection, id FROM mirusync.change_log WHERE feed = $1 ORDER BY seq', [feed]);
  const numbers = new Set(log.map((entry) => entry.seq));
  const holes = [];
  for (let seq = 1; seq <= head; seq++)
    if (!numbers.has(seq))
      holes.push(seq);
  if (holes.length)
    wrong.push(`numbers that nobody has: ${list(holes)}`);
  if (numbers.size !== log.length || log.some((entry) => entry.seq < 1 || entry.seq > head))
    wrong.push('numbers given out twice, or beyond the head');
  if (reader.cursor !== head)
    wrong.push(`cursor ${reader.cursor} is not the head ${head}`);
  const late = reader.passed.filter((seq) => numbers.has(seq));
  if (late.length)
    wrong.push(`committed after the reader had passed them: ${list(late)}`);
  else if (reader.passed.length)
    wrong.push(`not there when the reader passed them: ${list(reader.passed)}`);

  const latest = new Map(log.map((entry) => [`${entry.collection}/${entry.id}`, entry.seq]));
  const state = await s.records(feed);
  if (state.length !== latest.size || state.some((r) => latest.get(r.key) !== r.seq))
    wrong.push('state and history differ');

  const rows = new Map((await s.query(`
    SELECT 'note/' || id AS key, data FROM mirusync.document WHERE feed = $1
    UNION ALL SELECT 'item/' || id, to_jsonb(item) - 'owner' FROM item WHERE owner = $1`,
  [feed])).map(({ key, data }) => [key, data]));
  const differ = [...new Set([...rows.keys(), ...reader.replica.keys()])].filter((key) => {
    try {
      assert.deepEqual(reader.replica.get(key), rows.get(key));
      return false;
    } catch {
      return true;
    }
  });
  if (differ.length)
    wrong.push(`replica and tables differ in ${list(differ)}`);
  return wrong;
}

s.test('numbers follow commits without a hole, and readers miss nothing', async (t) => {
  t.diagnostic(`MIRUSYNC_SEED=${SEED}`);
  await s.query("SELECT mirusync.create_collection('note')");
  await s.query(`CREATE TABLE item (owner text NOT NULL, id int, body text, n int DEFAULT 0,
    PRIMARY KEY (owner, id))`);
  await s.query("SELECT mirusync.attach('item', 'owner', 'item')");

  const clients = [];
  const connect = async () => {
    clients.push(await s.client());
    return clients.at(-1);
  };
  const mixFrom = Date.now() + SECONDS * 500;
  const writers = [];
  const readers = [];
  for (let i = 0; i < WRITERS; i++)
    writers.push(new Writer(await connect(), `writer-${i}`, SEED + i, mixFrom));
  for (const [i, feed] of FEEDS.entries())
    readers.push(new Reader(await connect(), feed, SEED + 1000 + i));
  try {
    let over = false;
    const reading = Promise.all(readers.map((reader) => reader.run(() => over)));
    const deadline = Date.now() + SECONDS * 1000;
    const writing = Promise.all(writers.map((writer) => writer.run(deadline)))
      .finally(() => { over = true; });
    await Promise.all([writing, reading]);

    const total = (things, field) => things.reduce((sum, thing) => sum + thing[field], 0);
    t.diagnostic(`${total(writers, 'committed')} transactions committed, `
      + `${total(writers, 'rolledBack')} rolled back, ${total(writers, 'refused')} refused, `
      + `${total(writers, 'pushed')} changes pushed; ${total(readers, 'cursor')} numbers, `
      + `${total(readers, 'pages')} pages`);
    const wrong = [];
    for (const reader of readers)
      for (const what of await compare(reader))
        wrong.push(`${reader.feed}: ${what}`);
    assert.equal(wrong.length, 0, `MIRUSYNC_SEED=${SEED}\n${wrong.join('\n')}`);
    assert.ok(readers.every((reader) => reader.cursor > 0), 'every feed was written to');
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}, { timeout: SECONDS * 1000 + 60000 });
