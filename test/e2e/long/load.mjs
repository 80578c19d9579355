/*
 * load.mjs
 *     A running load, and the proof that a fault in its midst did no harm.
 *
 * For each of two users: phones that speak mirusync.v1, one that speaks the
 * event protocol, and a writer by SQL.  All of them do what real ones do when
 * something fails: they come back, and send again what was not answered.
 *
 * What is proved in the end, exactly:
 *     - every number of a device has one verdict, and the log has no hole;
 *     - a counter is the sum of what devices were told counted, and of what SQL
 *       committed, so that nothing was lost and nothing counted twice;
 *     - what SQL was told is committed is there;
 *     - every device, of either kind, has what the database has.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { newUser, sleep, waitUntil } from '../harness.mjs';
import { chance } from '../replica.mjs';
import { COUNTERS, EventPhone, Phone, Writer } from './runners.mjs';

export const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1000000);

/* prepareLoad makes the tables, once in a database. */
export async function prepareLoad(s) {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  await s.query('CREATE TABLE tally (owner text, id text, n bigint DEFAULT 0 NOT NULL, PRIMARY KEY (owner, id))');
  await s.query("SELECT mirusync.attach('tally', feed => 'owner'), mirusync.set_rule('tally', 'n', 'counter')");
  await s.query('CREATE TABLE done (owner text, number int, PRIMARY KEY (owner, number))');
}

export class Load {
  constructor(s, { seed = SEED, phones = 3, skews = [0, 0, 0], relays = () => s.relays.filter((r) => r.running) } = {}) {
    this.s = s;
    this.relays = relays;
    this.seed = seed;
    this.patience = 60000;
    this.below = chance(seed);
    this.committed = new Map();
    this.runners = [];
    this.users = [newUser('load'), newUser('load')];
    for (const user of this.users) {
      this.committed.set(user, []);
      this.runners.push(...this.populate(user, { phones, skews }));
    }
  }

  /* populate gives a user's devices and writers. */
  populate(user, { phones, skews }) {
    return [
      ...Array.from({ length: phones }, (_, i) => new Phone(this, user, `p${i}`, skews[i] ?? 0)),
      new EventPhone(this, user, 'event'), new Writer(this, user, 'sql'),
    ];
  }

  oneRelay() {
    const relays = this.relays();
    if (!relays.length)
      throw new Error('no relay runs');
    return relays[this.below(relays.length)];
  }

  async until(check, what) {
    const end = Date.now() + this.patience;
    while (!await check()) {
      if (this.failure)
        throw this.failure;
      if (Date.now() > end)
        throw new Error(`timed out waiting for ${what()}, seed ${this.seed}`);
      await sleep(20);
    }
  }

  async start() {
    for (const user of this.users)
      for (let i = 0; i < COUNTERS; i++)
        await this.s.query('INSERT INTO tally VALUES ($1, $2)', [user, `t${i}`]);
    this.go();
    await this.progress(3);
  }

  /* go sets everybody to work, again after answered(). */
  go() {
    this.stopping = false;
    this.running = this.runners.map((runner) => runner.run().catch((error) => { this.failure ??= error; }));
  }

  /* answered: nobody makes anything new, and all have their answers. */
  async answered() {
    this.stopping = true;
    await this.until(async () => await Promise.race([Promise.all(this.running).then(() => true), sleep(100)]) === true,
      () => `answers to all: ${JSON.stringify(this.errors)}`);
    if (this.failure)
      throw this.failure;
  }

  /* progress: everybody has been answered so often, from now on. */
  async progress(n = 5, who = this.runners) {
    const from = new Map(who.map((r) => [r, r.acknowledged]));
    await this.until(() => who.every((r) => r.acknowledged >= from.get(r) + n),
      () => `progress of ${who.filter((r) => r.acknowledged < from.get(r) + n).map((r) =>
        `${r.user} ${r.name} ${JSON.stringify([...r.errors])}`)}`);
  }

  /* trouble: somebody has seen an error that matches, since then. */
  async trouble(match) {
    const seen = () => this.runners.reduce((sum, r) => sum + [...r.errors].filter(([what]) => match.test(what))
      .reduce((n, [, count]) => n + count, 0), 0);
    const from = seen();
    await this.until(() => seen() > from, () => `an error like ${match}: ${JSON.stringify(this.errors)}`);
  }

  get errors() {
    const all = {};
    for (const runner of this.runners)
      for (const [what, n] of runner.errors)
        all[what] = (all[what] ?? 0) + n;
    return all;
  }

  /* finish lets everybody get answers, and proves all that stands above. */
  async finish() {
    await this.answered();
    for (const user of this.users)
      await this.prove(user);
    for (const runner of this.runners)
      runner.drop();
  }

  /* explain prints how a record came to be what it is, here and there. */
  async explain(phone, state, stored) {
    const key = Object.keys({ ...stored, ...state }).find((k) => JSON.stringify(sorted(state[k])) !== JSON.stringify(sorted(stored[k])));
    const [collection, id] = key.split('/');
    const log = await this.s.query(`SELECT seq, kind, device, session, clock::text, old, new, at FROM mirusync.change_log
      WHERE feed = $1 AND collection = $2 AND id = $3 ORDER BY seq DESC LIMIT 8`, [phone.user, collection, id]);
    const said = phone.said.filter((c) => c.collection === collection && c.id === id);
    const heard = phone.trace.map((m) => ({
      ...m, changes: m.changes?.filter((c) => c.collection === collection && c.id === id),
      verdicts: m.verdicts?.filter((v) => said.some((c) => c.number === v.number)),
    })).filter((m) => m.changes?.length || m.verdicts?.length || m.type === 'start_over' || m.type === 'welcome');
    console.error([`${phone.name} ${key}: ${JSON.stringify(state[key])}, stored ${JSON.stringify(stored[key])}`,
      JSON.stringify(phone.replica.records.get(key), (k, v) => v instanceof Map ? [...v] : v), 'log:', ...log.map((l) => JSON.stringify(l)), 'said:',
      ...said.slice(-6).map((c) => JSON.stringify(c)), 'heard:', ...heard.slice(-14).map((m) => JSON.stringify(m))].join('\n'));
  }

  /* abandon ends what a failure left running. */
  abandon() {
    this.stopping = true;
    this.given = true;
    for (const runner of this.runners) {
      runner.outbox = [];
      runner.drop();
    }
  }

  about(user) { return `${user}, seed ${this.seed}`; }

  async prove(user) {
    const runners = this.runners.filter((r) => r.user === user);
    await waitUntil(() => this.s.query('SELECT 1').then(() => true, () => false), { timeout: 20000 });
    const head = await this.proveLog(user);
    for (const phone of runners.filter((r) => r instanceof Phone))
      await this.proveNumbers(phone);
    await this.proveCommitted(user);
    await this.proveCounts(user, runners.filter((r) => r instanceof Phone));
    const stored = await this.stored(user);
    for (const runner of runners.filter((r) => r.settled))
      await runner.settled(head);
    for (const runner of runners)
      if (runner instanceof Phone)
        await this.proveReplica(runner, stored);
      else if (runner instanceof EventPhone)
        this.proveEntries(runner, stored);
  }

  /* The log of a feed is without a hole; returns its head. */
  async proveLog(user) {
    const head = await this.s.head(user);
    const log = await this.s.query('SELECT seq::int FROM mirusync.change_log WHERE feed = $1 ORDER BY seq', [user]);
    assert.deepEqual(log.map((l) => l.seq), Array.from({ length: head }, (_, i) => i + 1), `the log has no hole: ${this.about(user)}`);
    return head;
  }

  /* digested: up to this number a device needs no verdict any more. */
  digested() { return 0; }

  /* Each number of a device has one verdict, which the device got. */
  async proveNumbers(phone) {
    const numbers = (await this.s.query(`SELECT number::int FROM mirusync.verdict WHERE user_id = $1 AND device = $2
      ORDER BY number`, [phone.user, `${phone.user}-${phone.name}`])).map((v) => v.number);
    const from = this.digested(phone);
    assert.deepEqual(numbers.filter((number) => number > from), Array.from({ length: phone.number - from }, (_, i) => from + i + 1), `verdicts of ${phone.name}: ${this.about(phone.user)}`);
    assert.equal(phone.acknowledged, phone.number);
  }

  /* What SQL was told is committed is there; returns all that is. */
  async proveCommitted(user) {
    const done = await this.s.query('SELECT * FROM done WHERE owner = $1', [user]);
    const numbers = new Set(done.map((row) => row.number));
    for (const number of this.committed.get(user))
      assert.ok(numbers.has(number), `what was committed (${number}) is there: ${this.about(user)}`);
    return done;
  }

  async proveCounts(user, phones) {
    const [{ n, done }] = await this.s.query(`SELECT sum(n)::int AS n, (SELECT count(*)::int FROM done WHERE owner = $1) AS done
      FROM tally WHERE owner = $1`, [user]);
    const added = phones.flatMap((p) => Object.values(p.added)).reduce((a, b) => a + b, 0);
    assert.equal(n, added + done, `counters count once: ${this.about(user)}`);
  }

  /* stored gives what the database has, by collection and id. */
  async stored(user) {
    const stored = {};
    for (const { collection, id, data } of await this.s.query(
      'SELECT collection, id, data FROM mirusync.document WHERE feed = $1', [user]))
      stored[`${collection}/${id}`] = data;
    for (const row of await this.s.query('SELECT * FROM tally WHERE owner = $1', [user]))
      stored[`tally/${row.id}`] = { id: row.id, n: Number(row.n) };
    return stored;
  }

  async proveReplica(phone, stored) {
    const state = withoutFeed(Object.fromEntries(Object.entries(phone.replica.state).map(([key, value]) => [key, { ...value }])));
    try {
      assert.deepEqual(state, stored, `${phone.name} has what the database has: ${this.about(phone.user)}`);
    } catch (error) {
      await this.explain(phone, state, stored);
      throw error;
    }
  }

  proveEntries(device, stored) {
    const entries = Object.entries(stored).filter(([key]) => key.startsWith('logbook_entry/'));
    assert.deepEqual([...device.state.keys()].filter((key) => key.startsWith('logbook_entry/')).sort(),
      entries.map(([key]) => key).sort(), `${device.name} has every entry: ${this.about(device.user)}`);
    for (const [key, data] of entries)
      assert.equal(device.state.get(key).notes, data.notes, `${key} at ${device.name}: ${this.about(device.user)}`);
  }
}

const sorted = (record) => record && Object.fromEntries(Object.entries(record).sort());

/* The column that is the feed is sent or not; here it says nothing. */
function withoutFeed(state) {
  return Object.fromEntries(Object.entries(state).map(([key, { owner, ...rest }]) => [key, rest]));
}
