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
import { created, Device, entry, newUser, replica, sleep, updated, waitUntil } from '../harness.mjs';
import { NativeDevice } from '../native.mjs';
import { chance, Replica } from '../replica.mjs';

export const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1000000);
const PATIENCE = 60000;
const SILENCE = 8000; /* without an answer for so long a device connects anew */
const RECORDS = 4;
const COUNTERS = 2;
const FIELDS = ['a', 'b', 'c'];

/* prepareLoad makes the tables, once in a database. */
export async function prepareLoad(s) {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  await s.query('CREATE TABLE tally (owner text, id text, n bigint DEFAULT 0 NOT NULL, PRIMARY KEY (owner, id))');
  await s.query("SELECT mirusync.attach('tally', feed => 'owner'), mirusync.set_rule('tally', 'n', 'counter')");
  await s.query('CREATE TABLE done (owner text, number int, PRIMARY KEY (owner, number))');
}

/*
 * Runner: one that goes on until it is told to stop, whatever happens
 */
class Runner {
  constructor(load, user, name) {
    Object.assign(this, { load, user, name, acknowledged: 0, errors: new Map(), faults: [] });
  }

  count(what) { this.errors.set(what, (this.errors.get(what) ?? 0) + 1); }

  /* connected gives a session that is open, however long it takes. */
  async connected() {
    for (;;) {
      if (this.session && !this.session.closed)
        return this.session;
      try {
        return await this.connect(this.load.oneRelay());
      } catch (error) {
        this.count(error.status ?? error.code ?? 'connect');
        this.drop();
        if (this.load.given)
          throw error;
        await sleep(20 + this.load.below(150));
      }
    }
  }

  drop() {
    if (!this.session)
      return;
    this.session.terminate();
    this.session.received = () => {}; /* what still comes was never received */
    this.session = undefined;
  }
}

/* Phone: a device of mirusync.v1; what it has to say goes in one push at a time. */
class Phone extends Runner {
  constructor(load, user, name, skew) {
    super(load, user, name);
    Object.assign(this, { skew, replica: new Replica(), cursor: { epoch: 0, seq: 0 }, number: 0, outbox: [], said: [], added: {}, trace: [] });
  }

  async connect(relay) {
    const phone = this;
    const session = new (class extends NativeDevice {
      apply(message) {
        super.apply(message);
        phone.cursor = { ...this.cursor };
        for (const c of message.type === 'page' || message.type === 'changes' ? message.changes : []) {
          const key = `${c.collection}/${c.id}`;
          if (c.kind === 'patch')
            phone.replica.some(key, c.seq, c.fields, c.removed);
          else
            phone.replica.whole(key, c.seq, c.kind === 'delete' ? null : c.fields);
        }
        phone.trace.push(message);
        if (message.type === 'verdicts')
          message.verdicts.forEach((v) => phone.settle(v));
      }
    })(relay, this.user, { device: `${this.user}-${this.name}`, cursor: this.cursor });
    this.session = session;
    this.load.s.devices.push(session);
    await session.opened;
    session.say(session.hello);
    await session.type('welcome', () => true, SILENCE);
    return session;
  }

  change() {
    const { below } = this.load;
    const base = { number: ++this.number, base: this.cursor.seq, clock: new Date(Date.now() + this.skew).toISOString() };
    if (below(3) === 0) {
      const id = `t${below(COUNTERS)}`;
      const n = 1 + below(9);
      return { ...base, kind: 'patch', collection: 'tally', id, add: { n } };
    }
    const kind = ['put', 'patch', 'patch', 'patch', 'delete'][below(5)];
    const fields = Object.fromEntries(FIELDS.filter(() => below(2)).map((name) => [name, below(1000)]));
    return { ...base, kind, collection: 'note', id: `n${below(RECORDS)}`, ...(kind === 'delete' ? {} : { fields }) };
  }

  settle(verdict) {
    const change = this.outbox.find((c) => c.number === verdict.number);
    assert.notEqual(verdict.verdict, 'rejected', `${this.name}: ${JSON.stringify(verdict)}`);
    if (change === undefined)
      return;
    this.outbox = this.outbox.filter((c) => c !== change);
    this.acknowledged++;
    const key = `${change.collection}/${change.id}`;
    if (change.add)
      this.added[change.id] = (this.added[change.id] ?? 0) + change.add.n;
    if (verdict.deleted)
      this.replica.whole(key, verdict.seq, null);
    else if (change.kind === 'delete')
      this.replica.whole(key, verdict.seq, verdict.verdict === 'stale' ? verdict.fields : null);
    else if (change.kind === 'put' && verdict.verdict !== 'stale')
      this.replica.whole(key, verdict.seq, { ...change.fields, ...verdict.fields });
    else
      this.replica.some(key, verdict.seq,
        verdict.verdict === 'stale' ? verdict.fields ?? {} : { ...change.fields, ...verdict.fields });
    for (const name of verdict.removed ?? [])
      this.replica.some(key, verdict.seq, {}, [name]);
  }

  async run() {
    while (!this.load.stopping || this.outbox.length) {
      if (!this.load.stopping && this.outbox.length < 20)
        for (let n = 1 + this.load.below(4); n > 0; n--)
          this.said.push(this.outbox[this.outbox.push(this.change()) - 1]);
      const session = await this.connected();
      try {
        const answer = await session.ask({ type: 'push', epoch: this.cursor.epoch, changes: this.outbox }, SILENCE);
        if (answer.type === 'error') {
          this.count(`${answer.code} ${answer.sqlstate ?? ''}`);
          assert.ok(answer.retry, `${this.name}: a push was refused for good: ${JSON.stringify(answer)}`);
          await sleep(Math.min(answer.after_ms, 300));
        }
      } catch (error) {
        if (error.code === 'ERR_ASSERTION')
          throw error;
        this.count(session.closed ? `closed ${session.closed.code}` : 'silence');
        this.faults.push(...session.faults);
        this.drop();
      }
      await sleep(this.load.below(10));
    }
  }

  async settled(head) {
    await this.load.until(async () => {
      const session = await this.connected();
      if (session.faults.length)
        throw session.faults[0];
      return this.cursor.seq >= head;
    }, () => `${this.name} at ${this.cursor.seq} to reach ${head}`);
    assert.deepEqual(this.faults, []);
  }
}

/* EventPhone: a device of the event protocol; its entries are its own. */
class EventPhone extends Runner {
  constructor(load, user, name) {
    super(load, user, name);
    Object.assign(this, { state: new Map(), cursor: 0, mine: [] });
  }

  async connect(relay) {
    const session = new Device(relay, this.user);
    this.session = session;
    session.received = (message) => {
      replica([message], this.state);
      this.cursor = Math.max(this.cursor, message.seq ?? 0, message.lastSeq ?? 0);
    };
    this.load.s.devices.push(session);
    await session.opened;
    await session.sync(this.cursor ? { lastSeq: this.cursor } : {}, SILENCE);
    return session;
  }

  message() {
    const { below } = this.load;
    this.writing = below(3) && this.mine.length ? {
      ...this.mine[below(this.mine.length)], notes: `n${below(1000)}`, updatedAt: new Date().toISOString(),
    } : entry({ notes: 'new' });
    return this.mine.some((e) => e.id === this.writing.id) ? updated(this.writing) : created(this.writing);
  }

  async run() {
    let message;
    while (!this.load.stopping || (message && !this.load.given)) {
      message ??= this.message();
      const session = await this.connected();
      try {
        const { answer } = await session.exchange(message, SILENCE);
        if (answer.type === 'SYNC_RESPONSE') {
          this.acknowledged++;
          const object = message.entry;
          this.mine = [...this.mine.filter((e) => e.id !== object.id), object];
          replica([message], this.state);
          message = undefined;
        } else {
          this.count(answer.error);
          assert.ok(answer.retryable, `${this.name}: an event was refused for good: ${JSON.stringify(answer)}`);
          await sleep(50);
        }
      } catch (error) {
        if (error.code === 'ERR_ASSERTION')
          throw error;
        this.count(session.closed ? `closed ${session.closed.code}` : 'silence');
        this.drop();
      }
      await sleep(this.load.below(20));
    }
  }

  async settled(head) {
    await this.load.until(async () => {
      const session = await this.connected();
      await session.sync(this.cursor ? { lastSeq: this.cursor } : {}, SILENCE).catch(() => this.drop());
      return this.cursor >= head;
    }, () => `${this.name} at ${this.cursor} to reach ${head}`);
  }
}

/* Writer: SQL by somebody who has never heard of devices. */
class Writer extends Runner {
  async run() {
    while (!this.load.stopping) {
      let number;
      try {
        this.client ??= await this.load.s.client({ connectionTimeoutMillis: 2000 });
        number = this.number = (this.number ?? 0) + 1;
        await this.client.query('BEGIN');
        await this.client.query('UPDATE tally SET n = n + 1 WHERE owner = $1 AND id = $2', [this.user, `t${this.load.below(COUNTERS)}`]);
        await this.client.query('INSERT INTO done VALUES ($1, $2)', [this.user, number]);
        await this.client.query('COMMIT');
        this.load.committed.get(this.user).push(number);
        this.acknowledged++;
        if (this.load.below(3) === 0)
          await this.client.query('SELECT mirusync.put($1, $2, $3, $4)', [this.user, 'note', `n${this.load.below(RECORDS)}`, { s: number }]);
      } catch (error) {
        this.count(error.code ?? error.message);
        this.client?.end().catch(() => {});
        this.client = undefined;
        await sleep(50);
      }
      await sleep(this.load.below(40));
    }
    await this.client?.end().catch(() => {});
  }
}

export class Load {
  constructor(s, { phones = 3, skews = [0, 0, 0], relays = () => s.relays.filter((r) => r.running) } = {}) {
    this.s = s;
    this.relays = relays;
    this.below = chance(SEED);
    this.committed = new Map();
    this.runners = [];
    this.users = [newUser('load'), newUser('load')];
    for (const user of this.users) {
      this.committed.set(user, []);
      for (let i = 0; i < phones; i++)
        this.runners.push(new Phone(this, user, `p${i}`, skews[i] ?? 0));
      this.runners.push(new EventPhone(this, user, 'event'), new Writer(this, user, 'sql'));
    }
  }

  oneRelay() {
    const relays = this.relays();
    if (!relays.length)
      throw new Error('no relay runs');
    return relays[this.below(relays.length)];
  }

  async until(check, what) {
    const end = Date.now() + PATIENCE;
    while (!await check()) {
      if (this.failure)
        throw this.failure;
      if (Date.now() > end)
        throw new Error(`timed out waiting for ${what()}, seed ${SEED}`);
      await sleep(20);
    }
  }

  async start() {
    for (const user of this.users)
      for (let i = 0; i < COUNTERS; i++)
        await this.s.query('INSERT INTO tally VALUES ($1, $2)', [user, `t${i}`]);
    this.running = this.runners.map((runner) => runner.run().catch((error) => { this.failure ??= error; }));
    await this.progress(3);
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
    this.stopping = true;
    await this.until(async () => await Promise.race([Promise.all(this.running).then(() => true), sleep(100)]) === true,
      () => `answers to all: ${JSON.stringify(this.errors)}`);
    if (this.failure)
      throw this.failure;
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

  async prove(user) {
    const { s } = this;
    const about = `${user}, seed ${SEED}`;
    const runners = this.runners.filter((r) => r.user === user);
    const phones = runners.filter((r) => r instanceof Phone);
    await waitUntil(() => s.query('SELECT 1').then(() => true, () => false), { timeout: 20000 });
    const head = await s.head(user);
    const log = await s.query('SELECT seq::int FROM mirusync.change_log WHERE feed = $1 ORDER BY seq', [user]);
    assert.deepEqual(log.map((l) => l.seq), Array.from({ length: head }, (_, i) => i + 1), `the log has no hole: ${about}`);

    for (const phone of phones) {
      const numbers = (await s.query(`SELECT number::int FROM mirusync.verdict WHERE user_id = $1 AND device = $2
        ORDER BY number`, [user, `${user}-${phone.name}`])).map((v) => v.number);
      assert.deepEqual(numbers, Array.from({ length: phone.number }, (_, i) => i + 1), `verdicts of ${phone.name}: ${about}`);
      assert.equal(phone.acknowledged, phone.number);
    }
    const done = (await s.query('SELECT number FROM done WHERE owner = $1', [user])).map((row) => row.number);
    for (const number of this.committed.get(user))
      assert.ok(done.includes(number), `what was committed is there: ${about}`);
    const tally = await s.query('SELECT id, n::int FROM tally WHERE owner = $1', [user]);
    const added = phones.flatMap((p) => Object.values(p.added)).reduce((a, b) => a + b, 0);
    assert.equal(tally.reduce((sum, row) => sum + row.n, 0), added + done.length, `counters count once: ${about}`);

    const stored = {};
    for (const { collection, id, data } of await s.query(
      'SELECT collection, id, data FROM mirusync.document WHERE feed = $1', [user]))
      stored[`${collection}/${id}`] = data;
    for (const row of await s.query('SELECT * FROM tally WHERE owner = $1', [user]))
      stored[`tally/${row.id}`] = { owner: user, id: row.id, n: Number(row.n) };
    for (const runner of runners.filter((r) => r.settled))
      await runner.settled(head);
    for (const phone of phones) {
      const state = Object.fromEntries(Object.entries(phone.replica.state).map(([key, value]) => [key, { ...value }]));
      try {
        assert.deepEqual(withoutFeed(state), withoutFeed(stored), `${phone.name} has what the database has: ${about}`);
      } catch (error) {
        await this.explain(phone, withoutFeed(state), withoutFeed(stored));
        throw error;
      }
    }
    for (const device of runners.filter((r) => r instanceof EventPhone)) {
      const entries = Object.entries(stored).filter(([key]) => key.startsWith('logbook_entry/'));
      assert.deepEqual([...device.state.keys()].filter((key) => key.startsWith('logbook_entry/')).sort(),
        entries.map(([key]) => key).sort(), `${device.name} has every entry: ${about}`);
      for (const [key, data] of entries)
        assert.equal(device.state.get(key).notes, data.notes, `${key} at ${device.name}: ${about}`);
    }
  }
}

const sorted = (record) => record && Object.fromEntries(Object.entries(record).sort());

/* The column that is the feed is sent or not; here it says nothing. */
function withoutFeed(state) {
  return Object.fromEntries(Object.entries(state).map(([key, { owner, ...rest }]) => [key, rest]));
}
