/*
 * devices.mjs
 *     Who takes part in the soak: phones of mirusync.v1, devices of the practice
 *     log, clients of client/, and SQL.  All write what everybody writes, and
 *     what they alone do, which their user's Book knows.
 *
 * They are now and then offline for long, and their clocks are wrong.  A
 * device's own clock never goes back (it is a hybrid one, as the protocol asks).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { lastingStorage } from '../e2e/client.mjs';
import { created, deleted, entry, sleep, updated } from '../e2e/harness.mjs';
import { EventPhone, Phone, Runner, Writer } from '../e2e/long/runners.mjs';
import { api } from '../e2e/native.mjs';
import { Replica } from '../e2e/replica.mjs';
import { COLLECTIONS, NUMBERS, SHARED, TABLE, TALLY, TEXTS } from './world.mjs';

/* How much of a second a runner rests on average, between two things to do. */
const PACE = Number(process.env.SOAK_PACE || 350);
const OFFLINE_MAX = 60; /* changes that one makes in a long spell */

/* A clock that is wrong, and goes forward. */
class SkewedClock {
  constructor(skew) { Object.assign(this, { skew, last: 0 }); }

  now() {
    this.last = Math.max(this.last + 1, Date.now() + this.skew);
    return new Date(this.last).toISOString();
  }
}

/* rest waits, and ends early when the load stops. */
async function rest(load, ms) {
  const end = Date.now() + ms;
  while (Date.now() < end && !load.stopping)
    await sleep(Math.min(100, end - Date.now()));
}

/* changeOf makes up what a phone does to one record. */
function changeOf(runner) {
  const { below, book, name, tags } = runner;
  const collection = runner.one(COLLECTIONS);
  const text = () => `${name} ${runner.number + 1}`;
  const dice = below(10);
  if (dice < 4) {
    const change = { kind: 'patch', collection, id: TALLY };
    const what = below(4);
    const mine = tags.filter((tag) => tag.collection === collection);
    if (what === 0)
      change.add = { n: below(19) - 9 };
    else if (what === 1)
      change.fields = { [below(2) ? 'best' : 'worst']: below(1000) - 500 };
    else if (what === 2 || !mine.length) {
      change.add = { tags: [text()] };
      tags.push({ collection, tag: text() });
    } else {
      const gone = mine[below(mine.length)];
      change.remove = { tags: [gone.tag] };
      tags.splice(tags.indexOf(gone), 1);
    }
    book.tally(collection, change);
    return change;
  }
  if (dice < 6) {
    const id = `own-${name}`;
    const fields = { [runner.one(['title', 'note'])]: text(), ...(below(3) ? {} : { claim: text() }) };
    const kind = below(12) === 0 ? 'delete' : below(3) ? 'patch' : 'put';
    if (kind !== 'delete' && collection === 'soak_whole')
      fields.title ??= text();
    book.wrote(`${collection}/${id}`, kind === 'delete' ? null : fields, { whole: kind === 'put' && collection !== TABLE });
    return { kind, collection, id, ...(kind === 'delete' ? {} : { fields }) };
  }
  const id = runner.one(SHARED);
  if (below(7) === 0)
    return { kind: 'delete', collection, id };
  const change = { kind: below(3) ? 'patch' : 'put', collection, id, fields: {} };
  for (let i = 0; i < 2; i++) {
    const field = runner.one([...TEXTS, ...NUMBERS]);
    change.fields[field] = TEXTS.includes(field) ? text() : below(100);
  }
  if (below(4) === 0)
    change.add = { n: below(9) };
  if (below(4) === 0)
    change.add = { ...change.add, tags: [runner.one(['x', 'y', 'z'])] };
  else if (below(4) === 0)
    change.remove = { tags: [runner.one(['x', 'y', 'z'])] };
  return change;
}

export class SoakPhone extends Phone {
  constructor(load, user, name, skew) {
    super(load, user, name, skew);
    Object.assign(this, { clock: new SkewedClock(skew), tags: [], book: load.books.get(user), fates: new Map(), digested: 0 });
  }

  change() {
    const change = changeOf(this);
    return { number: ++this.number, base: this.cursor.seq, clock: this.clock.now(), ...change };
  }

  settle(verdict) {
    const change = this.outbox.find((c) => c.number === verdict.number);
    super.settle(verdict);
    const { replay, ...fate } = verdict;
    const before = this.fates.get(verdict.number);
    if (before !== undefined)
      assert.deepEqual(fate, before.fate, `${this.name}: a change has one fate`);
    else
      this.fates.set(verdict.number, { fate, collection: change.collection, id: change.id });
  }

  /* A push by HTTP, of the same changes, whose answer counts as well. */
  async push() {
    if (this.luck(8) || !this.session || !this.outbox.length)
      return super.push();
    const { cursor: { epoch }, outbox } = this;
    const changes = outbox.slice(0, 100);
    try {
      const { status, body } = await api(this.load.oneRelay(), this.user, '/sync/push',
        { body: { device: this.hello, epoch, changes }, signal: AbortSignal.timeout(8000) });
      if (status === 200)
        body.verdicts.forEach((v) => this.settle(v));
      else
        this.count(`http ${status}`);
      assert.ok(status === 200 || body.error.retry, `${this.name}: ${JSON.stringify(body)}`);
    } catch (error) {
      if (error.code === 'ERR_ASSERTION')
        throw error;
      this.count(`http ${error.code ?? error.name}`);
      await sleep(50);
    }
  }

  /* All below the first that has no verdict; it says so once in a while. */
  extras() {
    if (this.luck(10))
      return {};
    this.digested = (this.outbox[0]?.number ?? this.number + 1) - 1;
    return { digested: this.digested };
  }

  get hello() { return `${this.user}-${this.name}`; }

  /* Its records are cleared: it reads all from the beginning. */
  clear() {
    this.drop();
    this.replica = new Replica();
    this.cursor = { epoch: 0, seq: 0 };
  }

  async pause() {
    if (this.luck(40) === 0)
      await this.offline();
    else if (this.luck(80) === 0 && !this.outbox.length)
      this.clear();
    else if (this.luck(12) === 0)
      this.drop();
    await rest(this.load, this.luck(4 * PACE));
  }

  /* offline for long, and busy all the same. */
  async offline() {
    this.drop();
    for (let n = this.luck(OFFLINE_MAX); n > 0 && !this.load.stopping; n--) {
      this.make();
      await rest(this.load, this.luck(500));
    }
  }
}

export class SoakEventPhone extends EventPhone {
  constructor(load, user, name, skew) {
    super(load, user, name);
    Object.assign(this, { clock: new SkewedClock(skew), book: load.books.get(user), made: 0 });
  }

  message() {
    const { below } = this;
    const timestamp = this.clock.now();
    const key = (e) => `logbook_entry/${e.id}`;
    if (this.mine.length > 3 && below(4) === 0) {
      const gone = this.one(this.mine);
      this.book.wrote(key(gone), null);
      return deleted(gone.id, { timestamp });
    }
    const old = below(3) && this.mine.length ? this.one(this.mine) : undefined;
    const object = { ...(old ?? entry({ id: `entry-${this.user}-${this.name}-${++this.made}` })), notes: `n${below(1e6)}`, updatedAt: timestamp };
    this.book.wrote(key(object), { notes: object.notes });
    return old ? updated(object, { timestamp }) : created(object, { timestamp });
  }

  acknowledge(message) {
    if (message.entry)
      return super.acknowledge(message);
    this.acknowledged++;
    this.mine = this.mine.filter((e) => e.id !== message.entryId);
    this.state.delete(`logbook_entry/${message.entryId}`);
    return undefined;
  }

  async pause() {
    if (this.luck(20) === 0) {
      this.drop();
      await rest(this.load, this.luck(12000));
    }
    await rest(this.load, this.luck(4 * PACE));
  }
}

/* ClientRunner: an application that uses client/, whose page is closed and opened again. */
export class ClientRunner extends Runner {
  constructor(load, user, name) {
    super(load, user, name);
    Object.assign(this, { storage: lastingStorage(), book: load.books.get(user), number: 0, rejected: [] });
  }

  async page() {
    if (this.client)
      await this.client.close();
    this.client = await this.load.clients.open(this.user, { relay: this.load.oneProxy(), storage: this.storage() });
    this.client.on('rejected', (event) => this.rejected.push(event));
    for (const name of COLLECTIONS)
      this.client.collection(name);
    this.client.connect();
  }

  async write() {
    const { below } = this;
    const name = this.one(COLLECTIONS);
    const collection = this.client.collection(name);
    const own = below(2);
    const id = own ? `own-${this.name}` : this.one(SHARED);
    const kind = ['put', 'patch', 'patch', 'patch', 'delete'][below(5)];
    const text = `${this.name} ${++this.number}`;
    const fields = { [this.one(['title', 'note'])]: text, ...(name === 'soak_whole' ? { title: text } : {}) };
    if (own)
      this.book.wrote(`${name}/${id}`, kind === 'delete' ? null : fields, { whole: kind === 'put' && name !== TABLE });
    await (kind === 'delete' ? collection.delete(id) : collection[kind](id, fields)).saved;
    this.acknowledged++;
  }

  async run() {
    if (!this.client)
      await this.page();
    while (!this.load.stopping) {
      for (let n = this.below(4); n > 0; n--)
        await this.write();
      const dice = this.luck(40);
      if (dice === 0)
        await this.page();
      else if (dice < 3) {
        this.client.net.cut();
        const end = Date.now() + this.luck(12000);
        while (Date.now() < end && !this.load.stopping) {
          await this.write();
          await rest(this.load, this.luck(1500));
        }
        this.client.net.mend();
      }
      await rest(this.load, this.luck(5 * PACE));
    }
    await this.load.until(() => {
      this.client.leader?.connection.awake();
      return this.client.status.unsent === 0 || this.load.given;
    }, () => `${this.name} to be rid of ${this.client.status.unsent}: ${JSON.stringify(this.client.status)}`);
  }

  async settled(head) {
    await this.load.until(() => {
      this.client.leader?.connection.awake();
      return this.client.status.caughtUp && this.client.leader.device.cursor.seq >= head;
    }, () => `${this.name} to reach ${head}: ${JSON.stringify(this.client.status)}`);
    assert.deepEqual(this.rejected, [], `${this.name}: nothing is refused`);
    assert.equal(this.client.leader.device.replica.unsettled.size, 0, `${this.name}: nothing is left to be told`);
    this.load.clients.sound();
  }

  get state() {
    return Object.fromEntries(COLLECTIONS.flatMap((name) => this.client.collection(name).list()
      .map((record) => [`${name}/${record.id}`, { ...record }])));
  }

  drop() {
    this.client?.close();
  }
}

/* What may befall an SQL statement through nobody's fault, or because it came too late. */
const MISFORTUNE = /^(08|40|53|57|58|25006|55000|55P03|23505|MS003|E[A-Z]+$)/;

export class SoakWriter extends Writer {
  constructor(load, user, name) {
    super(load, user, name);
    Object.assign(this, { tags: [], book: load.books.get(user) });
  }

  refused(error) {
    if (error.code && !MISFORTUNE.test(error.code))
      this.load.failure ??= error;
  }

  /* What is counted, with word of it in the same transaction. */
  async write(query, number) {
    const { below, user } = this;
    const collection = this.one(COLLECTIONS);
    const delta = below(9) - 4;
    const added = `sql ${number}`;
    const mine = this.tags.filter((tag) => tag.collection === collection);
    const gone = mine.length && below(2) ? mine[below(mine.length)] : undefined;
    this.trying = { collection, added, gone };
    if (collection === TABLE)
      await query(`UPDATE ${TABLE} SET n = n + $3, tags = array_append(array_remove(tags, $5), $4)
        WHERE owner = $1 AND id = $2`, [user, TALLY, delta, added, gone?.tag]);
    else
      await query(`UPDATE mirusync.document SET data = data || jsonb_build_object('n', (data ->> 'n')::int + $3::int,
          'tags', (data -> 'tags') - coalesce($5, '') || jsonb_build_array($4::text))
        WHERE feed = $1 AND id = $2 AND collection = $6`, [user, TALLY, delta, added, gone?.tag, collection]);
    await query(`INSERT INTO ${TABLE} (owner, id, note) VALUES ($1, $2, $3)
      ON CONFLICT (owner, id) DO UPDATE SET note = excluded.note`, [user, `own-${this.name}`, added]);
    await query('INSERT INTO done VALUES ($1, $2, $3, $4, $5, $6, $7)', [user, number, collection, delta, added, gone?.tag, added]);
  }

  /* The transaction is known to be committed; also what its number stands for. */
  async more(query) {
    const { collection, added, gone } = this.trying;
    this.tags = this.tags.filter((tag) => tag !== gone).concat({ collection, tag: added });
    const { below, user } = this;
    const on = this.one(COLLECTIONS);
    const id = this.one(SHARED);
    const dice = below(10);
    const text = `sql ${this.number}`;
    if (dice === 0)
      await (on === TABLE ? query(`DELETE FROM ${TABLE} WHERE owner = $1 AND id = $2`, [user, id])
        : query('SELECT mirusync.delete($1, $2, $3)', [user, on, id]));
    else if (dice < 3 && on === TABLE)
      await query(`INSERT INTO ${TABLE} (owner, id, title, n) VALUES ($1, $2, $3, 1)
        ON CONFLICT (owner, id) DO UPDATE SET title = excluded.title, price = $4, decided = $3,
          tags = array_remove(coalesce(${TABLE}.tags, '{}'), 'x') || '{y}'`, [user, id, text, below(100)]);
    else if (dice < 3)
      await query('SELECT mirusync.put($1, $2, $3, $4)', [user, on, id, { title: text, n: below(10), price: below(100) }]);
    else if (dice === 3)
      await query(`SELECT mirusync.resolve(feed, id, choose => $3) FROM mirusync.conflicts
        WHERE feed = $1 AND resolved_at IS NULL AND record = ANY ($2) ORDER BY id DESC LIMIT 1`,
      [user, SHARED, below(2) ? 'stored' : 'incoming']);
    else if (dice === 4)
      await query(`UPDATE ${TABLE} SET price = $3, joined = $4 WHERE owner = $1 AND id = $2`, [user, id, below(100), text]);
  }

  pause() { return rest(this.load, this.luck(2 * PACE)); }
}
