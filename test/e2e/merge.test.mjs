/*
 * merge.test.mjs
 *     Merge rules with several devices that are offline for a while, send
 *     again what they got no answer for, and share their records with plain
 *     SQL, while somebody resolves conflicts: in the end all of them have what
 *     the table has, no increment is lost or counted twice, and no greater
 *     value nor added element is lost.  Every rule is in play.
 *
 * The devices are simulated: they push and pull by SQL, as a relay would for
 * them.  MIRUSYNC_SEED makes the choices of a failure again (the timing is the
 * machine's).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { newUser, useStack } from './harness.mjs';

const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1e9);
const TABLE = 'merge_item';
const COLLECTIONS = [TABLE, 'merge_whole', 'merge_field'];
const RULES = {
  claim: 'first_wins', price: 'server_wins', best: 'max', worst: 'min', n: 'counter',
  decided: 'manual', tags: 'set', joined: 'merge_rules.join_texts',
};
const DELETE_RULES = { [TABLE]: 'update_wins', merge_whole: 'delete_wins', merge_field: 'manual' };
const TEXTS = ['title', 'note', 'claim', 'decided', 'joined'];
const TALLY = 'tally'; /* a record that nobody deletes */

/* Each change is judged by itself: none waits behind a rejected one. */
const s = useStack({ relays: 1, postgres: { 'mirusync.rejected_max_changes': '0' } });

/* mulberry32: a small generator that can be seeded. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const TRANSIENT = new Set(['40001', '40P01', '55P03']);

/* retry does what failed through nobody's fault again. */
async function retry(body) {
  for (;;) {
    try {
      return await body();
    } catch (error) {
      if (!TRANSIENT.has(error.code))
        throw error;
    }
  }
}

async function prepare() {
  await s.query(`CREATE TABLE ${TABLE} (owner text, id text, title text, note text, claim text,
    price int, best int, worst int, n int, decided text, tags text[], joined text, PRIMARY KEY (owner, id))`);
  await s.query('CREATE SCHEMA merge_rules');
  await s.query(`CREATE FUNCTION merge_rules.join_texts(stored jsonb, incoming jsonb, base jsonb, context jsonb)
    RETURNS jsonb LANGUAGE sql AS $$
      SELECT pg_catalog.to_jsonb(pg_catalog.left(pg_catalog.concat_ws('+', stored #>> '{}', incoming #>> '{}'), 60)) $$`);
  await s.query('SELECT mirusync.attach($1, feed => $2)', [TABLE, 'owner']);
  await s.query("SELECT mirusync.create_collection('merge_whole', 'lww'), mirusync.create_collection('merge_field', 'lww_field')");
  for (const collection of COLLECTIONS)
    for (const [field, rule] of Object.entries(RULES))
      await s.query('SELECT mirusync.set_rule($1, $2, $3)', [collection, field, rule]);
  for (const [collection, rule] of Object.entries(DELETE_RULES))
    await s.query('SELECT mirusync.set_delete_rule($1, $2)', [collection, rule]);
}

/* What nobody may lose: kept by all writers of a test together. */
class Book {
  constructor() {
    this.tallies = new Map(COLLECTIONS.map((c) => [c, { n: 0, best: 50, worst: 50, tags: new Set() }]));
  }

  note(collection, id, { delta = 0, best, worst, kept }) {
    if (id !== TALLY)
      return;
    const tally = this.tallies.get(collection);
    tally.n += delta;
    tally.best = Math.max(tally.best, best ?? tally.best);
    tally.worst = Math.min(tally.worst, worst ?? tally.worst);
    if (kept)
      tally.tags.add(kept);
  }
}

class SimulatedDevice {
  constructor(user, name, random, book) {
    Object.assign(this, { user, name, random, book });
    this.cursor = 0;
    this.number = 0;
    this.clock = 0;
    this.replica = new Map(); /* as pulled, by collection/id */
    this.pending = [];        /* changes that the replica has not got yet */
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  /* The record as its user sees it: the replica and what was done since. */
  view(collection, id) {
    let record = this.replica.get(`${collection}/${id}`);
    for (const p of this.pending) {
      if (p.change.collection !== collection || p.change.id !== id)
        continue;
      if (p.change.kind === 'delete') {
        record = undefined;
        continue;
      }
      const n = (record?.n ?? 0) + p.delta;
      record = p.change.kind === 'put' && collection !== TABLE ? { ...p.change.fields } : { ...record, ...p.change.fields };
      record.n = n;
      const { add, remove } = p.change;
      if (add?.tags || remove?.tags) {
        const tags = (record.tags ?? []).filter((tag) => !remove?.tags?.includes(tag));
        record.tags = [...tags, ...(add?.tags ?? []).filter((tag) => !tags.includes(tag))];
      }
    }
    return record;
  }

  /* edit does one thing to one record. */
  edit() {
    const collection = this.pick(COLLECTIONS);
    const id = this.pick([TALLY, TALLY, 'a', 'b', 'c']);
    const view = this.view(collection, id);
    const dice = this.random();
    const number = ++this.number;
    this.clock = Math.max(this.clock + 1, Date.now() - Math.floor(this.random() * 3000));
    const change = { number, collection, id, base: this.cursor, clock: new Date(this.clock).toISOString() };
    let delta = 0;
    let kept;
    if (dice < 0.08 && id !== TALLY) {
      change.kind = 'delete';
    } else if (dice < 0.3 && view !== undefined) {
      change.kind = 'patch';
      delta = Math.floor(this.random() * 9) - 4;
      if (this.random() < 0.5)
        change.add = { n: delta };
      else
        change.fields = { n: (view.n ?? 0) + delta };
    } else if (dice < 0.45 && view !== undefined) {
      /* Nobody removes those that are to be kept. */
      change.kind = 'patch';
      if (this.random() < 0.5)
        kept = `${this.name} ${number}`;
      change.add = { tags: [kept ?? this.pick(['x', 'y', 'z'])] };
      if (this.random() < 0.5)
        change.remove = { tags: [this.pick(['x', 'y', 'z'].filter((tag) => !change.add.tags.includes(tag)))] };
    } else {
      change.kind = view === undefined || this.random() < 0.5 ? 'put' : 'patch';
      change.fields = change.kind === 'put' ? { n: 0, ...view } : {};
      delete change.fields.id;
      if (view === undefined)
        delta = change.fields.n = Math.floor(this.random() * 5);
      for (let i = 0; i < 2; i++) {
        const field = this.pick([...TEXTS, 'price', 'best', 'worst']);
        change.fields[field] = TEXTS.includes(field)
          ? `${this.name} ${number}` : Math.floor(this.random() * 100);
      }
      if (collection !== TABLE && this.random() < 0.2)
        delete change.fields[this.pick(['title', 'note'])];
    }
    this.pending.push({ change, delta, kept, seq: null });
  }

  async push() {
    const unsent = this.pending.filter((p) => p.seq === null);
    if (unsent.length === 0)
      return [];
    const batch = JSON.stringify({ changes: unsent.map((p) => p.change) });
    const push = async () => (await retry(() => s.query('SELECT mirusync.push($1, $2, $3) AS answer',
      [this.user, this.name, batch])))[0].answer.verdicts;
    let verdicts = await push();
    /* The answer was lost on the way. */
    if (this.random() < 0.3) {
      const again = await push();
      assert.deepEqual(again, verdicts.map((v) => ({ ...v, replay: true })));
      verdicts = again;
    }
    unsent.forEach((p, i) => {
      const verdict = verdicts[i];
      assert.equal(verdict.number, p.change.number);
      if (verdict.verdict === 'rejected') {
        /* Of a record that SQL has made since, nobody knows what it was. */
        assert.equal(verdict.code, 'MS006', JSON.stringify([p.change, verdict]));
        assert.notEqual(p.change.id, TALLY);
      }
      p.seq = ['applied', 'merged'].includes(verdict.verdict) ? verdict.seq : 0;
      if (p.seq > 0)
        this.book.note(p.change.collection, p.change.id, { delta: p.delta, kept: p.kept, ...p.change.fields });
    });
    this.pending = this.pending.filter((p) => p.seq !== 0);
    return verdicts;
  }

  async pull() {
    for (let complete = false; !complete;) {
      const page = (await s.query('SELECT mirusync.pull($1, $1, $2, 7) AS page', [this.user, this.cursor]))[0].page;
      for (const change of page.changes)
        this.replica.set(`${change.collection}/${change.id}`, change.kind === 'delete' ? undefined : change.fields);
      this.cursor = page.upto;
      complete = page.complete;
    }
    this.pending = this.pending.filter((p) => p.seq === null || p.seq > this.cursor);
  }

  /* Edits while offline, then syncs; or only one half of it. */
  async live(rounds) {
    for (let i = 0; i < rounds; i++) {
      const edits = Math.floor(this.random() * 4);
      for (let j = 0; j < edits; j++)
        this.edit();
      if (this.random() < 0.7)
        await this.push();
      if (this.random() < 0.5)
        await this.pull();
    }
  }
}

/* SQL that knows nothing of devices. */
async function writeBySql(user, random, book, rounds) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  for (let i = 0; i < rounds; i++) {
    const id = pick([TALLY, 'a', 'b', 'c']);
    const collection = pick(COLLECTIONS.slice(1));
    const delta = Math.floor(random() * 9) - 4;
    const dice = random();
    let counted;
    if (dice < 0.3) {
      counted = TABLE;
      await retry(() => s.query(`UPDATE ${TABLE} SET n = coalesce(n, 0) + $3, title = 'sql ' || $4::int, price = $4,
          tags = array_remove(tags, 'x') || '{y}', decided = 'sql ' || $4::int
        WHERE owner = $1 AND id = $2`, [user, id, delta, i]));
    } else if (dice < 0.6) {
      counted = collection;
      await retry(() => s.query(`UPDATE mirusync.document SET data = data || jsonb_build_object(
          'n', coalesce((data ->> 'n')::int, 0) + $3::int, 'note', 'sql ' || $4::int,
          'tags', coalesce(data -> 'tags', '[]') - 'y' || '["z"]')
        WHERE feed = $1 AND id = $2 AND collection = $5`, [user, id, delta, i, collection]));
    } else if (dice < 0.7 && id !== TALLY) {
      await retry(() => s.query(`DELETE FROM ${TABLE} WHERE owner = $1 AND id = $2`, [user, id]));
      await retry(() => s.query('SELECT mirusync.delete($1, $2, $3)', [user, collection, id]));
    } else if (dice < 0.9 && id !== TALLY) {
      await retry(() => s.query(`INSERT INTO ${TABLE} (owner, id, title, n) VALUES ($1, $2, 'sql', 1)
        ON CONFLICT (owner, id) DO UPDATE SET title = excluded.title, best = 1`, [user, id]));
      await retry(() => s.query('SELECT mirusync.put($1, $2, $3, \'{"title": "sql", "n": 7}\')', [user, collection, id]));
    }
    if (counted)
      book.note(counted, id, { delta });
  }
}

/* Somebody who decides conflicts, either way. */
async function resolveSome(user, random, rounds) {
  for (let i = 0; i < rounds; i++) {
    const [conflict] = await s.query(`SELECT id FROM mirusync.conflicts WHERE feed = $1 AND resolved_at IS NULL
      AND (record <> $2 OR field IN ('title', 'note', 'claim', 'decided', 'joined')) ORDER BY id DESC LIMIT 1`, [user, TALLY]);
    if (conflict === undefined)
      continue;
    try {
      await retry(() => s.query('SELECT mirusync.resolve($1, $2, choose => $3)',
        [user, conflict.id, random() < 0.5 ? 'stored' : 'incoming']));
    } catch (error) {
      /* The record is gone, or its key was taken meanwhile. */
      assert.match(error.code, /^(55000|23505|MS003)$/, error.message);
    }
  }
}

/* stored returns what the tables have, as a device's replica would. */
async function stored(user) {
  const rows = await s.query(`SELECT '${TABLE}/' || id AS key, to_jsonb(t) - 'owner' AS record FROM ${TABLE} t WHERE owner = $1
    UNION ALL SELECT collection || '/' || id, data FROM mirusync.document
    WHERE feed = $1 ORDER BY key`, [user]);
  return Object.fromEntries(rows.map((row) => [row.key, row.record]));
}

const live = (replica) => Object.fromEntries([...replica].filter(([, record]) => record !== undefined)
  .sort(([a], [b]) => (a < b ? -1 : 1)));

async function makeTallies(user, device) {
  const tally = { title: 'first', n: 0, best: 50, worst: 50 };
  for (const collection of COLLECTIONS)
    device.pending.push({
      change: { number: ++device.number, kind: 'put', collection, id: TALLY, fields: tally, base: 0 },
      delta: 0, seq: null,
    });
  await device.push();
}

s.test('devices, replays and SQL end with all of them equal to the table', async (t) => {
  t.diagnostic(`MIRUSYNC_SEED=${SEED}`);
  await prepare();
  const user = newUser('merge');
  const book = new Book();
  const devices = ['phone', 'tablet', 'desk', 'watch'].map((name, i) =>
    new SimulatedDevice(user, name, randomOf(SEED + i), book));
  await makeTallies(user, devices[0]);
  for (const device of devices)
    await device.pull();
  await Promise.all([
    ...devices.map((device) => device.live(60)),
    writeBySql(user, randomOf(SEED + 100), book, 60),
    writeBySql(user, randomOf(SEED + 101), book, 60),
    resolveSome(user, randomOf(SEED + 102), 60),
  ]);
  for (const device of devices)
    await device.push();
  const expected = await stored(user);
  for (const device of devices) {
    await device.pull();
    assert.deepEqual(device.pending, []);
    assert.deepEqual(live(device.replica), expected, device.name);
  }
  const conflicts = await s.query(`SELECT rule, count(*)::int AS n, count(resolved_at)::int AS resolved
    FROM mirusync.conflicts WHERE feed = $1 GROUP BY rule ORDER BY rule`, [user]);
  t.diagnostic(JSON.stringify(conflicts));
  assert.deepEqual(conflicts.filter(({ rule }) => ['counter', 'set', 'max', 'min', 'update_wins'].includes(rule)), []);
  assert.ok(conflicts.some(({ resolved }) => resolved > 0));
  for (const [collection, tally] of book.tallies) {
    const record = expected[`${collection}/${TALLY}`];
    const { tags, ...numbers } = tally;
    assert.deepEqual({ n: record.n, best: record.best, worst: record.worst }, numbers, collection);
    for (const tag of tags)
      assert.ok(record.tags.includes(tag), `${collection}: ${tag}`);
  }
}, { timeout: 120000 });

s.test('a verdict tells the device all that it does not know', async (t) => {
  t.diagnostic(`MIRUSYNC_SEED=${SEED}`);
  const user = newUser('verdict');
  const book = new Book();
  const random = randomOf(SEED + 200);
  const devices = ['phone', 'tablet'].map((name, i) => new SimulatedDevice(user, name, randomOf(SEED + 300 + i), book));
  await makeTallies(user, devices[0]);
  for (let i = 0; i < 150; i++) {
    const device = devices[Math.floor(random() * 2)];
    const offline = random() < 0.3;
    if (!offline)
      await device.pull();
    await writeBySql(user, random, book, random() < 0.2 ? 1 : 0);
    device.edit();
    const { change } = device.pending.at(-1);
    /* Only who had seen everything else can know everything afterwards. */
    const current = await s.head(user) === device.cursor;
    const view = device.view(change.collection, change.id);
    const [verdict] = await device.push();
    if (!current)
      continue;
    let known = { ...view, ...verdict.fields };
    for (const name of verdict.removed ?? [])
      delete known[name];
    if (verdict.deleted || (change.kind === 'delete' && !verdict.fields))
      known = undefined;
    if (change.kind === 'delete' && verdict.fields)
      known = verdict.fields;
    assert.deepEqual(known, (await stored(user))[`${change.collection}/${change.id}`],
      JSON.stringify({ change, verdict }));
  }
}, { timeout: 120000 });
