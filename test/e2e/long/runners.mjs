/*
 * runners.mjs
 *     Devices and a writer that go on until they are told to stop, whatever
 *     happens: they come back, and send again what was not answered.
 *
 * What a runner does is drawn from this.below, which a seed repeats whatever
 * the network does; how long it waits from this.luck, which is nobody's business.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { created, Device, entry, replica, sleep, updated } from '../harness.mjs';
import { NativeDevice } from '../native.mjs';
import { chanceOf, Replica } from '../replica.mjs';

const SILENCE = 8000; /* without an answer for so long a device connects anew */
const RECORDS = 4;
export const COUNTERS = 2;
const FIELDS = ['a', 'b', 'c'];
const TRACE = 3000; /* messages that a phone keeps for the reader of a failure */

/*
 * Runner: one that goes on until it is told to stop, whatever happens
 */
export class Runner {
  constructor(load, user, name) {
    Object.assign(this, { load, user, name, acknowledged: 0, errors: new Map(), faults: [] });
    const about = `${load.seed} ${load.users.indexOf(user)} ${name}`;
    this.below = chanceOf(about);
    this.luck = chanceOf(`luck ${about}`);
  }

  one(list) { return list[this.below(list.length)]; }

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
        await sleep(20 + this.luck(150));
      }
    }
  }

  drop() {
    const { session, load: { s } } = this;
    if (!session)
      return;
    session.terminate();
    session.received = () => {}; /* what still comes was never received */
    s.devices.splice(s.devices.indexOf(session), 1);
    this.session = undefined;
  }

  /* forget lets go of messages that nobody will look at any more. */
  forget() {
    if (this.session)
      this.session.messages.splice(0, this.session.read);
    if (this.session)
      this.session.read = 0;
  }

  /* failed notes what a session broke at; a wrong message is no such thing. */
  failed(error, session) {
    if (error.code === 'ERR_ASSERTION')
      throw error;
    this.count(session.closed ? `closed ${session.closed.code}` : 'silence');
    this.faults.push(...session.faults ?? []);
    this.drop();
  }
}

/* Phone: a device of mirusync.v1; what it has to say goes in one push at a time. */
export class Phone extends Runner {
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
        if (phone.trace.push(message) > 2 * TRACE)
          phone.trace.splice(0, TRACE);
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

  /* numbered: what every change has. */
  numbered() {
    return { number: ++this.number, base: this.cursor.seq, clock: new Date(Date.now() + this.skew).toISOString() };
  }

  /* change makes one up. */
  change() {
    const { below } = this;
    const base = this.numbered();
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

  /* make has one more change to send. */
  make() {
    const change = this.change();
    this.outbox.push(change);
    if (this.said.push(change) > 2 * TRACE)
      this.said.splice(0, TRACE);
  }

  /* extras: what else it says in a push. */
  extras() { return {}; }

  /* push sends what is not answered, all of it. */
  async push() {
    const session = await this.connected();
    try {
      const answer = await session.ask({ type: 'push', epoch: this.cursor.epoch, changes: this.outbox.slice(0, 100), ...this.extras() }, SILENCE);
      if (answer.type === 'error') {
        this.count(`${answer.code} ${answer.sqlstate ?? ''}`);
        assert.ok(answer.retry, `${this.name}: a push was refused for good: ${JSON.stringify(answer)}`);
        await sleep(Math.min(answer.after_ms, 300));
      }
      this.forget();
    } catch (error) {
      this.failed(error, session);
    }
  }

  pause() { return sleep(this.luck(10)); }

  async run() {
    while (!this.load.stopping || this.outbox.length) {
      if (!this.load.stopping && this.outbox.length < 20)
        for (let n = 1 + this.below(4); n > 0; n--)
          this.make();
      await this.push();
      await this.pause();
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
export class EventPhone extends Runner {
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

  now() { return new Date().toISOString(); }

  message() {
    const { below } = this;
    const object = below(3) && this.mine.length ? {
      ...this.one(this.mine), notes: `n${below(1000)}`, updatedAt: this.now(),
    } : entry({ notes: 'new', updatedAt: this.now() });
    return this.mine.some((e) => e.id === object.id) ? updated(object) : created(object);
  }

  /* acknowledge: it is stored, so it is ours. */
  acknowledge(message) {
    this.acknowledged++;
    this.mine = [...this.mine.filter((e) => e.id !== message.entry.id), message.entry];
    replica([message], this.state);
  }

  /* push sends a message; it returns if it was taken. */
  async push(message) {
    const session = await this.connected();
    try {
      const { answer } = await session.exchange(message, SILENCE);
      this.forget();
      if (answer.type === 'SYNC_RESPONSE') {
        this.acknowledge(message);
        return true;
      }
      this.count(answer.error);
      assert.ok(answer.retryable, `${this.name}: an event was refused for good: ${JSON.stringify(answer)}`);
      await sleep(50);
    } catch (error) {
      this.failed(error, session);
    }
    return false;
  }

  pause() { return sleep(this.luck(20)); }

  async run() {
    let message;
    while (!this.load.stopping || (message && !this.load.given)) {
      message ??= this.message();
      if (await this.push(message))
        message = undefined;
      await this.pause();
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
export class Writer extends Runner {
  constructor(load, user, name) {
    super(load, user, name);
    this.number = 0;
  }

  /* write does what a number stands for, in a transaction. */
  async write(query, number) {
    await query('UPDATE tally SET n = n + 1 WHERE owner = $1 AND id = $2', [this.user, `t${this.below(COUNTERS)}`]);
    await query('INSERT INTO done VALUES ($1, $2)', [this.user, number]);
  }

  /* more: what nobody counts. */
  async more(query) {
    if (this.below(3) === 0)
      await query('SELECT mirusync.put($1, $2, $3, $4)', [this.user, 'note', `n${this.below(RECORDS)}`, { s: this.number }]);
  }

  pause() { return sleep(this.luck(40)); }

  async run() {
    while (!this.load.stopping) {
      try {
        this.client ??= await this.load.s.client({ connectionTimeoutMillis: 2000 });
        const query = (sql, values) => this.client.query(sql, values);
        const number = ++this.number;
        await query('BEGIN');
        await this.write(query, number);
        await query('COMMIT');
        this.load.committed.get(this.user).push(number);
        this.acknowledged++;
        await this.more(query);
      } catch (error) {
        this.refused?.(error);
        this.count(error.code ?? error.message);
        this.client?.end().catch(() => {});
        this.client = undefined;
        await sleep(50);
      }
      await this.pause();
    }
    await this.client?.end().catch(() => {});
    this.client = undefined;
  }
}
