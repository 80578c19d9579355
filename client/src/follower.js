/*
 * follower.js
 *     A tab that another one leads: sees through it, and writes through it.
 *
 * A write shows here at once, and until the leader has saved it; from then on
 * it is part of what the leader shows.  When another tab takes the lead, what
 * was not answered is asked again.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { SyncError } from './fault.js';
import { keyOf } from './outbox.js';
import { Replica } from './replica.js';

/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {import('./types.js').Verdict} Verdict */

/* A leader that does not answer for so long is gone, or hangs. */
const PATIENCE_MS = 5000;

export class Follower {
  /**
   * @param {import('./client.js').World} world
   * @param {import('./leader.js').Audience & {show: (views: Map<string, Map<string, Fields>>) => void}} audience
   * @param {import('./tabs.js').Post} post
   * @param {string} tab
   * @param {() => void} deaf  the leader does not answer
   */
  constructor(world, audience, post, tab, deaf) {
    this.time = world.time;
    this.audience = audience;
    this.post = post;
    this.tab = tab;
    this.deaf = deaf;
    this.request = 0;
    /** What was asked, by request. @type {Map<number, {message: any, resolve: (value: any) => void, reject: (error: Error) => void}>} */
    this.asked = new Map();
    /** Writes by record. @type {Map<string, any[]>} */
    this.writes = new Map();
    /** Who waits for the verdict of a write, by origin. @type {Map<string, (verdict: Verdict) => void>} */
    this.verdicts = new Map();
    this.replica = new Replica((key) => this.writes.get(key) ?? []);
    this.joined = false;
    /** @type {any} */
    this.timer = undefined;
    /** @type {() => void} */
    this.arrived = () => {};
    /** Resolves when the leader has told its state. @type {Promise<void>} */
    this.ready = new Promise((resolve) => { this.arrived = resolve; });
    this.join();
  }

  join() {
    this.post({ type: 'join', tab: this.tab });
  }

  async close() {
    this.time.clearTimeout(this.timer);
  }

  /** @param {any} message */
  hear(message) {
    if (message.type === 'lead') {
      this.joined = false;
      this.join();
    } else if (message.type === 'state') {
      this.state(message);
    } else if (message.type === 'answer') {
      this.answer(message);
    } else if (message.type === 'event') {
      if (message.name === 'verdict')
        this.judged(message.event);
      this.audience.emit(message.name, message.event);
    } else if (this.joined && message.type === 'differ') {
      this.differ(message.differences, message.source);
    } else if (this.joined && message.type === 'status') {
      this.audience.status({ ...message.status, leading: false });
    }
  }

  /** state is what a new leader shows. @param {any} message */
  state({ differences, status }) {
    this.joined = true;
    this.replica = new Replica((key) => this.writes.get(key) ?? []);
    this.take(differences);
    for (const { collection, id } of [...differences, ...[...this.writes.values()].flat()])
      this.replica.refresh(collection, id);
    this.audience.show(this.replica.views);
    this.audience.status({ ...status, leading: false });
    for (const { message } of this.asked.values())
      this.post(message);
    this.arrived();
  }

  /** @param {import('./replica.js').Difference[]} differences @param {'local' | 'remote'} source */
  differ(differences, source) {
    this.take(differences);
    this.refresh(differences, source);
  }

  /** take keeps what the leader shows. @param {import('./replica.js').Difference[]} differences */
  take(differences) {
    for (const { collection, id, after } of differences)
      this.replica.setBase(collection, id, after ? { seq: 0, fields: after } : undefined);
  }

  /** @param {{collection: string, id: string}[]} records @param {'local' | 'remote'} source */
  refresh(records, source) {
    const shown = records.map(({ collection, id }) => this.replica.refresh(collection, id))
      .filter((difference) => difference !== undefined);
    if (shown.length)
      this.audience.differ(shown, source);
  }

  /** @param {any} message */
  answer({ request, result, error }) {
    this.time.clearTimeout(this.timer);
    this.timer = undefined;
    const asked = this.asked.get(request);
    if (!asked)
      return;
    this.asked.delete(request);
    this.watch();
    const { message } = asked;
    if (message.type === 'write') {
      const key = keyOf(message);
      this.writes.set(key, (this.writes.get(key) ?? []).filter((write) => write !== message));
      this.refresh([message], 'local');
    }
    if (error) {
      this.verdicts.delete(`${this.tab}/${request}`);
      asked.reject(new SyncError(error.code, error.message));
    } else {
      asked.resolve(result);
    }
  }

  /** @param {{change: import('./types.js').Change, verdict: Verdict}} event */
  judged({ change, verdict }) {
    for (const origin of change.origins ?? []) {
      this.verdicts.get(origin)?.(verdict);
      this.verdicts.delete(origin);
    }
  }

  /** watch sees to it that what was asked is answered, by another leader if need be. */
  watch() {
    if (this.asked.size && this.timer === undefined)
      this.timer = this.time.setTimeout(() => {
        this.timer = undefined;
        this.deaf();
      }, PATIENCE_MS);
  }

  /** @param {any} message @returns {Promise<any>} */
  ask(message) {
    const request = ++this.request;
    Object.assign(message, { tab: this.tab, request });
    return new Promise((resolve, reject) => {
      this.asked.set(request, { message, resolve, reject });
      this.post(message);
      if (message.method !== 'sync')
        this.watch();
    });
  }

  /**
   * @param {import('./types.js').Kind} kind
   * @param {string} collection
   * @param {string} id
   * @param {Fields} [fields]
   */
  write(kind, collection, id, fields) {
    const message = { type: 'write', kind, collection, id, ...(fields ? { fields: JSON.parse(JSON.stringify(fields)) } : {}) };
    const key = keyOf(message);
    this.writes.set(key, [...this.writes.get(key) ?? [], message]);
    const saved = this.ask(message);
    saved.catch(() => {});
    const verdict = new Promise((resolve) => {
      this.verdicts.set(`${this.tab}/${this.request}`, resolve);
    });
    this.refresh([message], 'local');
    return { saved, verdict };
  }

  /** @param {string} method */
  call(method) {
    return this.ask({ type: 'call', method });
  }
}
