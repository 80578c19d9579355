/*
 * device.js
 *     This installation: outbox, replica and cursor, what it says to the relay
 *     about them, and what it makes of the answers.  Knows no sockets.
 *
 * Ordering: the cursor moves with pages and changes, and with nothing else; a
 * verdict never moves it.  Memory changes at once, the storage follows in
 * transactions (saver.js).  A change leaves when it is saved; the relay is
 * told that a verdict is digested when the end of its change is saved.
 *
 * After start_over what we have stays until the first page comes, and verdicts
 * that come before it wait: they are of the new history, like the page.
 *
 * A rejected change waits at the server, and what follows it to its record
 * would wait behind it.  We took it back; so the next change of that record
 * discards it.  Until then an administrator may retry it.  Its number is kept
 * until the verdict of that change is there, in the transaction that ends one
 * or the other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { HybridClock } from './clock.js';
import { newId } from './id.js';
import { keyOf, Outbox } from './outbox.js';
import { judged, part, settled, whole } from './record.js';
import { Replica } from './replica.js';
import { Saver } from './saver.js';

/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Cursor} Cursor */
/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Verdict} Verdict */
/** @typedef {import('./replica.js').Difference} Difference */

/**
 * What a device tells about itself.
 * @typedef {object} Listener
 * @property {(differences: Difference[], source: 'local' | 'remote') => void} differ
 * @property {(change: Change, verdict: Verdict) => void} verdict
 * @property {(error: import('./fault.js').SyncError) => void} failed
 * @property {() => void} saved  there may be something to push
 */

/** @typedef {{saved: () => void, failed: (error: Error) => void, verdict: (verdict: Verdict) => void}} Waiter */

/* Pushes that wait for their answers; the relay takes far more. */
const PUSHES_MAX = 8;

/* Numbers in a discard, and records that have any: those of the oldest are forgotten. */
const DISCARD_MAX = 1000;
const REFUSED_MAX = 200;

/* Until a welcome says otherwise. */
const LIMITS = { message_max_bytes: 65536, batch_max_changes: 1000, pushes_max: PUSHES_MAX, idle_timeout_ms: 300000 };

export class Device {
  /**
   * @param {object} world
   * @param {import('./types.js').Storage} world.storage
   * @param {import('./types.js').Time} world.time
   * @param {() => number} world.random
   * @param {{changes: number, bytes: number}} world.limits  of the outbox
   * @param {Listener} world.listener
   * @param {string} [world.application]
   */
  constructor({ storage, time, random, limits, listener, application }) {
    this.storage = storage;
    this.time = time;
    this.random = random;
    this.listener = listener;
    this.application = application;
    this.clock = new HybridClock(time.now);
    this.outbox = new Outbox(limits);
    this.replica = new Replica((key) => this.outbox.of(key));
    this.saver = new Saver({
      storage,
      time,
      meta: () => this.meta,
      wrote: (batch) => this.wrote(batch),
      failed: (error, changes) => this.notSaved(error, changes),
    });
    /** @type {import('./types.js').Meta & {device: string, cursor: Cursor, number: number}} */
    this.meta = { device: '', cursor: { seq: 0 }, number: 0 };
    this.limits = LIMITS;
    this.digested = 0;
    this.ref = 0;
    /** Whether pushes may leave: not before the first page. */
    this.ready = false;
    /** Pushes without an answer, by ref. @type {Map<number, Change[]>} */
    this.asked = new Map();
    /** Verdicts that wait for the first page after start_over. @type {Message[]} */
    this.waiting = [];
    /** Who waits for what becomes of a change. @type {Map<number, Waiter[]>} */
    this.waiters = new Map();
    /** Records that a message touched. @type {Map<string, {collection: string, id: string}>} */
    this.touched = new Map();
  }

  /** open reads what the storage has; false if it had nothing. */
  async open() {
    const { records, outbox, meta } = await this.storage.open();
    this.meta = { ...meta, device: meta.device ?? newId(this.random), cursor: meta.cursor ?? { seq: 0 }, number: meta.number ?? 0 };
    this.clock.see(meta.clock);
    this.outbox.load(outbox);
    for (const { collection, id, base } of records) {
      this.replica.setBase(collection, id, base);
      this.touch(collection, id);
    }
    for (const change of outbox)
      this.touch(change.collection, change.id);
    this.digested = this.settledUpTo();
    if (!meta.device)
      this.saver.touch();
    this.tell('remote');
    return Boolean(meta.device);
  }

  /** close ends the device when all is saved. */
  async close() {
    await this.saver.end();
    await this.storage.close();
  }

  get cursor() {
    return this.meta.cursor;
  }

  /** settledUpTo is the number up to which every change has its verdict. */
  settledUpTo() {
    let lowest = this.meta.number + 1;
    for (const number of this.outbox.changes.keys())
      lowest = Math.min(lowest, number);
    return lowest - 1;
  }

  /*
   * Own changes
   */

  /**
   * write makes a change, which shows at once.
   * @param {import('./types.js').Kind} kind
   * @param {string} collection
   * @param {string} id
   * @param {Fields | undefined} fields
   * @param {string} [origin]
   * @returns {{number: number, saved: Promise<void>, verdict: Promise<Verdict>}}
   */
  write(kind, collection, id, fields, origin) {
    const change = this.outbox.add({
      number: this.meta.number + 1,
      kind,
      collection,
      id,
      ...(kind === 'delete' ? {} : { fields: JSON.parse(JSON.stringify(fields)) }),
      clock: this.clock.next(),
      base: this.cursor.seq,
      epoch: this.cursor.epoch ?? 0,
      at: this.time.now(),
      ...(origin ? { origins: [origin] } : {}),
    });
    const { number } = change;
    this.meta.number = Math.max(this.meta.number, number);
    this.meta.clock = this.clock.text();
    this.saver.change(number, change);
    const promises = this.wait(number);
    this.touch(collection, id);
    this.tell('local');
    return { number, ...promises };
  }

  /** @param {number} number */
  wait(number) {
    /** @type {Promise<Verdict>} */
    let verdict = Promise.resolve(/** @type {any} */ (undefined));
    /** @type {Promise<void>} */
    const saved = new Promise((resolve, reject) => {
      verdict = new Promise((judge) => {
        const waiter = { saved: resolve, failed: reject, verdict: judge };
        this.waiters.set(number, [...this.waiters.get(number) ?? [], waiter]);
      });
    });
    /* Who does not ask hears of it by an event. */
    saved.catch(() => {});
    return { saved, verdict };
  }

  /** @param {import('./types.js').Batch} batch */
  wrote(batch) {
    for (const change of batch.outbox.values()) {
      if (!change)
        continue;
      this.outbox.wrote(change);
      for (const waiter of this.waiters.get(change.number) ?? [])
        waiter.saved();
    }
    /* What a later batch says is not saved yet. */
    if (!this.saver.dirty)
      this.digested = this.settledUpTo();
    this.listener.saved();
  }

  /** @param {import('./fault.js').SyncError} error @param {Change[]} changes */
  notSaved(error, changes) {
    for (const { number, collection, id } of changes) {
      this.outbox.revert(number);
      this.touch(collection, id);
      if (this.outbox.changes.has(number))
        continue;
      for (const waiter of this.waiters.get(number) ?? [])
        waiter.failed(error);
      this.waiters.delete(number);
    }
    this.tell('local');
    this.listener.failed(error);
  }

  /** exported is the outbox as something to keep elsewhere. */
  exported() {
    return { device: this.meta.device, user: this.meta.user, changes: [...this.outbox.changes.values()] };
  }

  /*
   * What the relay hears
   */

  /** @returns {Message} */
  hello() {
    const { user, device, cursor } = this.meta;
    return {
      type: 'hello',
      protocol: 1,
      device,
      ...(this.application ? { application: this.application } : {}),
      digested: this.digested,
      ...(user && cursor.seq ? { cursors: { [user]: cursor } } : {}),
    };
  }

  /**
   * push is the next message with changes, or undefined.
   * @returns {Message | undefined}
   */
  push() {
    while (this.ready && !this.meta.over && this.asked.size < Math.min(PUSHES_MAX, this.limits.pushes_max)) {
      const { changes, discard, tooLarge } = this.outbox.take({
        bytes: this.limits.message_max_bytes, changes: this.limits.batch_max_changes,
      }, this.meta.refused);
      if (tooLarge) {
        this.judge({ number: tooLarge.number, verdict: 'rejected', code: 'too_large', reason: 'the change is larger than a message may be' });
        this.tell('remote');
        continue;
      }
      if (!changes.length)
        return undefined;
      const ref = ++this.ref;
      this.asked.set(ref, changes);
      return {
        type: 'push',
        ref,
        epoch: changes[0].epoch,
        digested: this.digested,
        ...(discard.length ? { discard } : {}),
        report: { cursor: this.meta.cursor.seq, unsent: this.outbox.size },
        changes: changes.map(({ number, kind, collection, id, fields, clock, base }) => (
          { number, kind, collection, id, ...(fields ? { fields } : {}), clock, base })),
      };
    }
    return undefined;
  }

  /** lost: what was asked will not be answered. */
  lost() {
    for (const changes of this.asked.values())
      this.outbox.again(changes);
    this.asked.clear();
    this.waiting = [];
    this.ready = false;
  }

  /*
   * What the relay says
   */

  /**
   * welcome gives what is wrong: the user is another one ('user'), or the
   * storage is older than what the relay knows of this device ('device').
   * @param {Message} message
   * @returns {'user' | 'device' | undefined}
   */
  welcome(message) {
    const { user, device } = this.meta;
    if (user && message.user !== user)
      return 'user';
    const [lowest = this.meta.number + 1] = [...this.outbox.changes.keys()].sort((a, b) => a - b);
    if (device && message.digested >= lowest)
      return 'device';
    if (!user) {
      this.meta.user = message.user;
      this.saver.touch();
    }
    this.greeted(message);
    return undefined;
  }

  /** greeted takes limits and time. @param {Message} message */
  greeted(message) {
    this.limits = message.limits;
    this.clock.adjust(message.time);
  }

  /**
   * receive takes a message about data.  'hole': something is missing.
   * @param {Message} message
   * @returns {'hole' | undefined}
   */
  receive(message) {
    const handle = /** @type {Record<string, (message: Message) => 'hole' | undefined>} */ ({
      page: (m) => this.page(m),
      changes: (m) => this.changes(m),
      verdicts: (m) => this.verdicts(m),
      start_over: () => this.startOver(),
    })[message.type];
    const wrong = handle?.(message);
    this.tell('remote');
    return wrong;
  }

  /** @param {Message} message @returns {'hole' | undefined} */
  page(message) {
    if (message.start_over)
      this.startOver();
    if (message.after > this.cursor.seq)
      return 'hole';
    if (this.meta.over)
      this.empty();
    for (const { seq, collection, id, clock, fields } of message.changes) {
      this.clock.see(clock);
      this.setBase(collection, id, whole(this.base(collection, id), seq, fields ?? null));
    }
    this.move({ epoch: message.epoch, seq: message.upto, ...(message.complete ? {} : { seen: message.head }) });
    this.ready = true;
    for (const waiting of this.waiting.splice(0))
      this.verdicts(waiting);
    return undefined;
  }

  /** @param {Message} message @returns {'hole' | undefined} */
  changes(message) {
    if (message.from > this.cursor.seq)
      return 'hole';
    if (message.to <= this.cursor.seq)
      return undefined;
    for (const { seq, kind, collection, id, clock, fields, removed } of message.changes) {
      this.clock.see(clock);
      const base = this.base(collection, id);
      this.setBase(collection, id, kind === 'patch' ? part(base, seq, fields, removed) : whole(base, seq, fields ?? null));
    }
    this.move({ epoch: message.epoch, seq: message.to, ...(message.seen ? { seen: message.seen } : {}) });
    return undefined;
  }

  /** move sets the cursor. @param {Cursor} cursor */
  move(cursor) {
    this.meta.cursor = cursor;
    for (const key of [...this.replica.unsettled])
      this.settle(key);
    this.saver.touch();
  }

  /** settle forgets what need not be known of a record. @param {string} key */
  settle(key) {
    const record = this.replica.bases.get(key);
    if (!record || this.outbox.of(key).length)
      return;
    const base = settled(record.base, this.cursor.seq);
    if (base !== record.base)
      this.setBase(record.collection, record.id, base);
  }

  /** @returns {undefined} */
  startOver() {
    this.meta.over = true;
    this.meta.cursor = { seq: 0 };
    this.saver.touch();
  }

  /** empty drops what is of a lost history. */
  empty() {
    for (const { collection, id } of [...this.replica.bases.values()])
      this.setBase(collection, id, undefined);
    delete this.meta.over;
  }

  /** @param {Message} message @returns {undefined} */
  verdicts(message) {
    if (this.meta.over) {
      this.waiting.push(message);
      return;
    }
    this.asked.delete(message.ref);
    for (const verdict of message.verdicts)
      if (!this.waits(verdict))
        this.judge(verdict);
  }

  /**
   * waits notes what the next change of the record has to discard.  True: this
   * one waits behind a change that we do not know of, because of a restored
   * backup, or as the id was written in another way.  It is sent once more,
   * under another number, and discards whatever may be in its way.
   * @param {Verdict} verdict
   */
  waits({ number, verdict, code }) {
    const change = this.outbox.changes.get(number);
    if (!change)
      return false;
    const key = keyOf(change);
    const { [key]: before, ...others } = this.meta.refused ?? {};
    const again = code === 'MS010' && !(before && before.length > 1);
    if (verdict === 'rejected')
      others[key] = Array.from({ length: again ? Math.min(number, DISCARD_MAX) : 1 }, (_, i) => number - i);
    this.meta.refused = Object.fromEntries(Object.entries(others).slice(-REFUSED_MAX));
    if (again) {
      this.outbox.alone.add(this.meta.number + 1);
      this.renumber(this.outbox.of(key));
    }
    return again;
  }

  /** renumber gives changes the next numbers, in order. @param {Change[]} changes */
  renumber(changes) {
    const waiters = changes.map(({ number }) => this.waiters.get(number));
    for (const { number } of changes) {
      this.outbox.drop(number);
      this.waiters.delete(number);
      this.saver.change(number, null);
    }
    changes.forEach((change, i) => {
      const number = ++this.meta.number;
      const next = { ...change, number };
      this.outbox.keep(next);
      this.saver.change(number, next);
      if (waiters[i])
        this.waiters.set(number, waiters[i]);
    });
  }

  /** judge takes the verdict of a change. @param {Verdict} verdict */
  judge(verdict) {
    const { number } = verdict;
    const change = this.outbox.changes.get(number);
    if (!change)
      return;
    const { collection, id } = change;
    const key = keyOf(change);
    const base = judged(this.replica.base(key), change, verdict);
    this.outbox.drop(number);
    this.saver.change(number, null);
    if (verdict.verdict === 'rejected')
      this.rebase(change, base);
    if (base !== this.replica.base(key))
      this.setBase(collection, id, base);
    this.touch(collection, id);
    this.settle(key);
    this.listener.verdict(change, verdict);
    for (const waiter of this.waiters.get(number) ?? [])
      waiter.verdict(verdict);
    this.waiters.delete(number);
  }

  /**
   * rebase: a patch that was made upon a new record, which was refused, would
   * make half a record.  It becomes the put of what it was made upon, mended.
   * @param {Change} change @param {import('./types.js').Base | undefined} base
   */
  rebase(change, base) {
    const [next] = this.outbox.of(keyOf(change));
    if (change.kind !== 'put' || base?.fields || next?.kind !== 'patch' || this.outbox.left.has(next.number))
      return;
    /** @type {Change} */
    const put = { ...next, kind: 'put', fields: { ...change.fields, ...next.fields } };
    this.outbox.keep(put);
    this.saver.change(put.number, put);
  }

  /**
   * refused: a push had no effect.  Gives how long to wait before the next.
   * @param {Message} message  an error
   * @returns {number}
   */
  refused(message) {
    const changes = this.asked.get(message.ref) ?? [];
    this.asked.delete(message.ref);
    this.outbox.again(changes);
    if (message.retry)
      return message.after_ms ?? 1000;
    if (changes.length === 1)
      this.judge({ number: changes[0].number, verdict: 'rejected', code: message.sqlstate ?? message.code, reason: message.reason });
    else
      /* One of them is to blame; let each find out for itself. */
      for (const { number } of changes)
        this.outbox.alone.add(number);
    this.tell('remote');
    return 0;
  }

  /*
   * Other lives
   */

  /** wipe forgets everything, to begin anew as another user's device. @param {string} [user] */
  wipe(user) {
    for (const { collection, id } of [...this.replica.bases.values(), ...this.outbox.changes.values()])
      this.touch(collection, id);
    for (const number of [...this.outbox.changes.keys()])
      for (const waiter of this.waiters.get(number) ?? [])
        waiter.verdict({ number, verdict: 'rejected', code: 'user_changed', reason: 'another user uses this device now' });
    this.waiters.clear();
    this.outbox.clear();
    this.replica.bases.clear();
    this.replica.unsettled.clear();
    this.lost();
    this.meta = { device: newId(this.random), cursor: { seq: 0 }, number: 0, ...(user ? { user } : {}) };
    this.digested = 0;
    this.saver.clear();
    this.tell('remote');
  }

  /** renew takes another device id, under which unsent changes are numbered anew. */
  renew() {
    const changes = [...this.outbox.changes.values()].sort((a, b) => a.number - b.number);
    this.lost();
    this.meta = { ...this.meta, device: newId(this.random), number: 0, refused: {} };
    this.renumber(changes);
    this.digested = 0;
    this.saver.touch();
  }

  /*
   * Bases and views
   */

  /** @param {string} collection @param {string} id */
  base(collection, id) {
    return this.replica.base(keyOf({ collection, id }));
  }

  /** @param {string} collection @param {string} id @param {import('./types.js').Base | undefined} base */
  setBase(collection, id, base) {
    this.replica.setBase(collection, id, base);
    this.saver.record(keyOf({ collection, id }), { collection, id, base: base ?? null });
    this.touch(collection, id);
  }

  /** touch: what is shown of this record may be another. @param {string} collection @param {string} id */
  touch(collection, id) {
    this.touched.set(keyOf({ collection, id }), { collection, id });
  }

  /** tell shows what was touched. @param {'local' | 'remote'} source */
  tell(source) {
    const differences = [];
    for (const { collection, id } of this.touched.values()) {
      const difference = this.replica.refresh(collection, id);
      if (difference)
        differences.push(difference);
    }
    this.touched.clear();
    if (differences.length)
      this.listener.differ(differences, source);
  }
}
