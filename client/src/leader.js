/*
 * leader.js
 *     The one tab (or the only program) that has the device: it owns storage,
 *     outbox and socket, and serves the other tabs.
 *
 * What the other tabs get is in the order in which it happened: first the
 * state as a whole, when they join, then every difference.  A write of theirs
 * is answered when it is saved.  It is known by its origin, so one that comes
 * again, because the tab before us died before it answered, is made once.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Connection } from './connection.js';
import { Device } from './device.js';
import { SyncError } from './fault.js';
import { Statistics } from './statistics.js';

/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Verdict} Verdict */
/** @typedef {import('./replica.js').Difference} Difference */
/** @typedef {import('./client.js').Status} Status */
/** @typedef {import('./client.js').World} World */

/**
 * What leader and follower tell the client.
 * @typedef {object} Audience
 * @property {(differences: Difference[], source: 'local' | 'remote') => void} differ
 * @property {(status: Status) => void} status
 * @property {(type: string, event: any) => void} emit
 */

export class Leader {
  /**
   * @param {World} world
   * @param {Audience} audience
   * @param {import('./tabs.js').Post} [post]  to the other tabs
   */
  constructor(world, audience, post = () => {}) {
    this.world = world;
    this.audience = audience;
    this.post = post;
    this.statistics = new Statistics();
    this.lastSync = 0;
    this.told = '';
    this.device = new Device({
      ...world,
      listener: {
        differ: (differences, source) => {
          audience.differ(differences, source);
          post({ type: 'differ', differences, source });
        },
        verdict: (change, verdict) => this.judged(change, verdict),
        failed: (error) => this.tell('error', { code: error.code, message: error.message }),
        saved: () => this.progress(),
      },
    });
    const shared = {
      ...world,
      device: this.device,
      statistics: this.statistics,
      user: (/** @type {string} */ user) => this.changeUser(user),
    };
    /** @type {Promise<import('./http.js').Http> | undefined} */
    this.loaded = undefined;
    /* Most pages never need it, so it comes when it is needed. */
    this.http = () => this.loaded ??= (world.loadHttp?.() ?? import('./http.js')).then(({ Http }) => new Http({ ...shared, connection: this.connection }));
    this.connection = new Connection({ ...shared, http: this.http, changed: () => this.report() });
  }

  /** open loads what there is. @param {string} [user]  whose data it must be */
  async open(user) {
    await this.device.open();
    if (user && this.device.meta.user && this.device.meta.user !== user)
      await this.changeUser(user);
    this.report();
  }

  /** close lets go of socket and storage. */
  async close() {
    this.connection.disconnect('closed');
    await this.device.close();
  }

  /** progress: there may be something to send, and something to tell. */
  progress() {
    this.connection.pump();
    this.report();
  }

  /** @returns {Status} */
  status() {
    const { device, connection } = this;
    return {
      state: connection.name,
      reason: connection.reason,
      via: connection.state === 'live' ? 'socket' : connection.polling ? 'http' : null,
      unsent: device.outbox.size,
      unsentSince: device.outbox.since ?? null,
      user: device.meta.user ?? null,
      device: device.meta.device,
      caughtUp: connection.name === 'connected' && device.ready && !device.cursor.seen,
      lasting: device.storage.lasting,
      leading: true,
    };
  }

  /** report tells the status if it is another than before. */
  report() {
    const status = this.status();
    const text = JSON.stringify(status);
    if (text === this.told)
      return;
    this.told = text;
    this.audience.status(status);
    this.post({ type: 'status', status });
  }

  /** tell has all tabs hear of something. @param {string} name @param {any} event */
  tell(name, event) {
    this.audience.emit(name, event);
    this.post({ type: 'event', name, event });
  }

  /** @param {Change} change @param {Verdict} verdict */
  judged(change, verdict) {
    this.tell('verdict', { change, verdict });
    if (verdict.verdict !== 'rejected')
      return;
    this.statistics.rejected++;
    this.tell('rejected', { change, code: verdict.code, reason: verdict.reason });
  }

  /**
   * changeUser wipes what the former user left.  The application is asked
   * first, and has what was unsent; if it throws nothing happens.
   * @param {string} user
   */
  async changeUser(user) {
    const { device } = this;
    const event = { former: device.meta.user, user, unsent: device.exported() };
    try {
      await this.world.onUserChange?.(event);
    } catch (error) {
      this.connection.disconnect('user_changed');
      throw error;
    }
    device.wipe(user);
    await device.saver.done();
    this.tell('user_changed', event);
  }

  /**
   * @param {import('./types.js').Kind} kind
   * @param {string} collection
   * @param {string} id
   * @param {import('./types.js').Fields} [fields]
   * @param {string} [origin]
   */
  write(kind, collection, id, fields, origin) {
    const written = this.device.write(kind, collection, id, fields, origin);
    this.report();
    return written;
  }

  /**
   * call does what a tab asks for.
   * @param {string} method
   * @returns {Promise<any>}
   */
  async call(method) {
    const { connection, device } = this;
    switch (method) {
      case 'connect':
        return connection.connect();
      case 'disconnect':
        return connection.disconnect();
      case 'awake':
        return connection.awake();
      case 'sync':
        return this.sync();
      case 'export':
        return device.exported();
      case 'statistics':
        return this.statistics.snapshot();
      default:
        throw new SyncError('wrong_use', `no such call: ${method}`);
    }
  }

  /** sync brings both sides together, by socket if there is one. */
  async sync() {
    await this.device.saver.done();
    if (this.connection.state !== 'live')
      return (await this.http()).round();
    this.connection.pump();
    await Promise.all([...this.device.outbox.changes.keys()].map((number) => this.device.wait(number).verdict));
    await this.device.saver.done();
    return undefined;
  }

  /**
   * serve answers another tab.
   * @param {any} message
   */
  async serve(message) {
    const { tab, request } = message;
    const answer = (/** @type {object} */ more) => this.post({ type: 'answer', to: tab, request, ...more });
    if (message.type === 'join') {
      const views = this.device.replica.views;
      const differences = [...views].flatMap(([collection, records]) => (
        [...records].map(([id, after]) => ({ collection, id, before: null, after }))));
      this.post({ type: 'state', to: tab, differences, status: this.status() });
      return;
    }
    try {
      if (message.type === 'write') {
        const origin = `${tab}/${request}`;
        const known = [...this.device.outbox.changes.values()].find(({ origins }) => origins?.includes(origin));
        if (!known)
          await this.write(message.kind, message.collection, message.id, message.fields, origin).saved;
        else if (this.device.outbox.written.get(known.number) !== known)
          await this.device.saver.done();
        answer({});
      } else if (message.type === 'call') {
        answer({ result: await this.call(message.method) });
      }
    } catch (error) {
      const { code, message: text } = /** @type {SyncError} */ (error);
      answer({ error: { code: code ?? 'refused', message: text } });
    }
  }
}
