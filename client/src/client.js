/*
 * client.js
 *     What an application holds: collections, events, status, connecting.
 *
 * Behind it the tab leads or follows, and may come to do the other.  A client
 * begins as a follower that nobody answers yet; so what is written before the
 * storage is open waits like a write whose leader died.  What the application
 * sees is kept here, and changes only by differences.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Collection } from './collection.js';
import { Credentials } from './credentials.js';
import { Events } from './events.js';
import { SyncError } from './fault.js';
import { Follower } from './follower.js';
import { newId } from './id.js';
import { Leader } from './leader.js';
import { same } from './replica.js';
import { indexedDbStorage } from './storage_indexeddb.js';
import { memoryStorage } from './storage_memory.js';
import { Tabs } from './tabs.js';

/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {import('./replica.js').Difference} Difference */

/**
 * @typedef {object} Status
 * @property {'connecting' | 'connected' | 'reconnecting' | 'disconnected' | 'needs-auth'} state
 * @property {string} reason  why it is not connected
 * @property {'socket' | 'http' | null} via
 * @property {number} unsent  changes without a verdict
 * @property {number | null} unsentSince  when the oldest of them was made
 * @property {string | null} user
 * @property {string} device
 * @property {boolean} caughtUp  all that there was at the server is here
 * @property {boolean} lasting  whether what is unsent survives the page
 * @property {boolean} leading  whether this tab has the socket
 */

/**
 * @typedef {object} Options
 * @property {string} [url]  of the site that has the relay below /sync; by default the page's own
 * @property {import('./credentials.js').TokenSource} token  a token, or what gives a fresh one
 * @property {string} [user]  whose data this is, if that is known before there is a token
 * @property {string} [name]  of the database; one for each application of an origin
 * @property {string} [application]  name and version, for the relay's log
 * @property {'indexeddb' | 'memory' | import('./types.js').Storage} [storage]
 * @property {{changes?: number, bytes?: number}} [outbox]  how much unsent is taken
 * @property {Record<string, string>} [events]  what collections are called in events, such as {logbook_entry: 'ENTRY'}
 * @property {string} [flag]  key in localStorage; 'off' there, or there with the user after a dot, turns syncing off
 * @property {boolean} [enabled]  what holds where localStorage says nothing
 * @property {boolean | ((...what: any[]) => void)} [debug]
 * @property {(event: {former?: string, user: string, unsent: {device: string, user?: string, changes: import('./types.js').Change[]}}) => void | Promise<void>} [onUserChange]
 *   called before the former user's data is wiped; if it throws nothing is
 * @property {import('./socket.js').SocketClass} [WebSocket]
 * @property {typeof globalThis.fetch} [fetch]
 * @property {import('./types.js').Time} [time]
 * @property {() => number} [random]
 * @property {() => Promise<{Http: typeof import('./http.js').Http}>} [loadHttp]  for where import() is not allowed
 * @property {LockManager | null} [locks]
 * @property {typeof globalThis.BroadcastChannel | null} [BroadcastChannel]
 */

/**
 * What the parts of a client are given.
 * @typedef {object} World
 * @property {string} name  of the database, and of what tabs have in common
 * @property {string} url
 * @property {import('./types.js').Storage} storage
 * @property {Credentials} credentials
 * @property {import('./socket.js').SocketClass} WebSocket
 * @property {typeof globalThis.fetch} fetch
 * @property {import('./types.js').Time} time
 * @property {() => number} random
 * @property {{changes: number, bytes: number}} limits
 * @property {string} [application]
 * @property {Options['onUserChange']} [onUserChange]
 * @property {(...what: any[]) => void} log
 * @property {Options['loadHttp']} [loadHttp]
 */

/** @type {import('./types.js').Time} */
const TIME = {
  now: () => Date.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};


/* The kinds of difference, as events call them. */
const CREATED = 'CREATED';
const UPDATED = 'UPDATED';
const DELETED = 'DELETED';

export class Client {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.events = new Events();
    this.tab = newId();
    /** Collection to id to record. @type {Map<string, Map<string, Fields>>} */
    this.views = new Map();
    /** @type {Map<string, Collection<any>>} */
    this.collections = new Map();
    this.wanted = false;
    this.closed = false;
    this.muted = false;
    this.persisting = false;
    /** @type {Leader | undefined} */
    this.leader = undefined;
    /** @type {Tabs | undefined} */
    this.tabs = undefined;
    /** @type {(() => void) | undefined} */
    this.led = undefined;
    this.world = this.makeWorld();
    /** @type {Status} */
    this.status = {
      state: 'disconnected', reason: 'not_connected', via: null, unsent: 0, unsentSince: null, user: null,
      device: '', caughtUp: false, lasting: this.world.storage.lasting, leading: false,
    };
    /** @type {import('./leader.js').Audience} */
    this.audience = {
      differ: (differences, source) => this.differ(differences, source),
      status: (status) => this.report(status),
      emit: (type, event) => this.events.emit(type, event),
    };
    this.follower = this.follow();
    this.listening = new AbortController();
    /** Resolves when what is stored is here to be seen. @type {Promise<void>} */
    this.ready = this.start();
    this.ready.catch(() => {});
  }

  /** @returns {World} */
  makeWorld() {
    const { options } = this;
    const { url = globalThis.location?.origin, storage, debug } = options;
    const name = `mirusync:${options.name ?? 'default'}`;
    if (!url)
      throw new SyncError('wrong_use', 'the url is missing');
    const WebSocket = options.WebSocket ?? /** @type {any} */ (globalThis).WebSocket;
    const lasting = storage === undefined ? globalThis.indexedDB && (this.locks || typeof document === 'undefined') : storage === 'indexeddb';
    return {
      ...options,
      name,
      url: `${url.replace(/^ws/, 'http').replace(/\/+$/, '')}/sync`,
      storage: typeof storage === 'object' ? storage : lasting ? indexedDbStorage(name) : memoryStorage(),
      credentials: new Credentials(options.token),
      WebSocket,
      fetch: options.fetch ?? ((...all) => fetch(...all)),
      time: options.time ?? TIME,
      random: options.random ?? Math.random,
      limits: { changes: options.outbox?.changes ?? 10000, bytes: options.outbox?.bytes ?? 10 << 20 },
      log: typeof debug === 'function' ? debug : debug ? (...what) => console.debug('mirusync', ...what) : () => {},
    };
  }

  /** @returns {LockManager | null | undefined} */
  get locks() {
    const { locks = globalThis.navigator?.locks } = this.options;
    return locks;
  }

  async start() {
    const { locks, world } = this;
    const { BroadcastChannel = globalThis.BroadcastChannel } = this.options;
    this.listen();
    if (!world.storage.lasting || !locks || !BroadcastChannel) {
      await this.lead();
      return;
    }
    this.tabs = new Tabs({ name: world.name, locks, BroadcastChannel }, {
      lead: () => this.lead(),
      resign: () => this.resign(),
      follow: () => this.stepDown(),
      hear: (message) => this.hear(message),
    }, this.tab);
    this.tabs.stand();
    await Promise.race([this.follower.ready, /** @type {Promise<void>} */ (new Promise((resolve) => { this.led = resolve; }))]);
  }

  /*
   * Leading and following
   */

  follow() {
    return new Follower(this.world, {
      ...this.audience,
      /* What was asked before we led may be answered after. */
      differ: (differences, source) => this.leader || this.differ(differences, source),
      show: (views) => this.reconcile(views),
    }, (message) => this.tabs?.post(message), this.tab, () => this.tabs?.steal());
  }

  /** lead opens the device, and does what this tab waits for. */
  async lead() {
    this.muted = true;
    let leader = this.makeLeader();
    try {
      await leader.open(this.options.user);
    } catch (error) {
      this.events.emit('error', { code: 'storage_failed', message: `nothing will be kept: ${error}` });
      this.world.storage = memoryStorage();
      leader = this.makeLeader();
      await leader.open(this.options.user);
    }
    this.leader = leader;
    for (const { message } of [...this.follower.asked.values()])
      leader.serve(message);
    this.muted = false;
    this.reconcile(leader.device.replica.views);
    this.report(leader.status());
    if (this.wanted)
      leader.connection.connect();
    this.led?.();
  }

  makeLeader() {
    return new Leader(this.world, {
      ...this.audience,
      differ: (differences, source) => this.muted || this.differ(differences, source),
    }, (message) => {
      if (message.to === this.tab)
        this.follower.hear(message);
      else
        this.tabs?.post(message);
      /* What this tab wrote before it led. */
      if (message.name === 'verdict')
        this.follower.judged(message.event);
    });
  }

  /** resign closes the device, for another tab to open it. */
  async resign() {
    const { leader } = this;
    this.leader = undefined;
    await leader?.close();
  }

  /** stepDown: another tab has the lead. */
  stepDown() {
    this.leader?.connection.disconnect('lost_lead');
    this.leader = undefined;
    this.follower.join();
  }

  /** hear takes a message of another tab. @param {any} message */
  hear(message) {
    if (this.leader && (message.type === 'join' || message.type === 'write' || message.type === 'call'))
      this.leader.serve(message);
    else if (!this.leader)
      this.follower.hear(message);
  }

  /** role is who does what this tab wants. */
  get role() {
    if (this.closed)
      throw new SyncError('closed', 'the client is closed');
    return this.leader ?? this.follower;
  }

  /** listen to the browser: online, visible, frozen. */
  listen() {
    /* The controller has the signal that ends them all. */
    const on = (/** @type {any} */ target, /** @type {string} */ type, /** @type {(event: any) => void} */ listener) => {
      target?.addEventListener?.(type, listener, this.listening);
    };
    const { document: page, window: frame } = globalThis;
    const awake = () => {
      if (this.wanted && !this.closed)
        this.role.call('awake').catch(() => {});
    };
    on(frame, 'online', awake);
    on(page, 'visibilitychange', () => page.visibilityState === 'visible' && awake());
    on(page, 'freeze', () => this.tabs?.resign());
    on(page, 'resume', () => this.tabs?.stand());
    on(frame, 'pagehide', (event) => event.persisted && this.tabs?.resign());
    on(frame, 'pageshow', (event) => event.persisted && this.tabs?.stand());
  }

  /*
   * What is seen
   */

  /** @param {Difference[]} differences @param {'local' | 'remote'} source */
  differ(differences, source) {
    const changed = new Set();
    const events = [];
    for (const { collection, id, after } of differences) {
      let records = this.views.get(collection);
      if (!records)
        this.views.set(collection, records = new Map());
      const before = records.get(id) ?? null;
      if (same(before, after))
        continue;
      if (after)
        records.set(id, after);
      else
        records.delete(id);
      changed.add(collection);
      events.push({ type: `${this.eventName(collection)}_${!before ? CREATED : after ? UPDATED : DELETED}`, collection, id, record: after, before, source });
    }
    for (const name of changed)
      this.collections.get(name)?.changed();
    for (const event of events) {
      this.events.emit(event.type, event);
      this.events.emit('*', event);
    }
  }

  /** reconcile shows these and nothing else. @param {Map<string, Map<string, Fields>>} views */
  reconcile(views) {
    /** @type {Difference[]} */
    const differences = [];
    for (const [collection, records] of this.views)
      for (const id of records.keys())
        if (!views.get(collection)?.has(id))
          differences.push({ collection, id, before: null, after: null });
    for (const [collection, records] of views)
      for (const [id, after] of records)
        differences.push({ collection, id, before: null, after });
    this.differ(differences, 'remote');
  }

  /** @param {string} collection */
  eventName(collection) {
    return this.options.events?.[collection] ?? collection.toUpperCase();
  }

  /** @param {Status} status */
  report(status) {
    if (this.muted || JSON.stringify(status) === JSON.stringify(this.status))
      return;
    this.status = Object.freeze(status);
    this.events.emit('status', this.status);
  }

  /*
   * For the application
   */

  /**
   * on listens: to 'NOTE_CREATED', 'NOTE_UPDATED' and 'NOTE_DELETED' of the
   * collection note and so on, '*' for all of these; 'status', 'rejected',
   * 'verdict', 'error', 'user_changed'.  Gives a function that ends it.
   * @param {string} type
   * @param {(event: any) => void} listener
   */
  on(type, listener) {
    return this.events.on(type, listener);
  }

  /**
   * collection gives the records of a collection.
   * @template {Fields} [T=Fields]
   * @param {string} name
   * @returns {Collection<T>}
   */
  collection(name) {
    let collection = this.collections.get(name);
    if (!collection)
      this.collections.set(name, collection = new Collection(this, name));
    return collection;
  }

  /**
   * @param {import('./types.js').Kind} kind
   * @param {string} collection
   * @param {string} id
   * @param {Fields} [fields]
   */
  write(kind, collection, id, fields) {
    const written = this.role.write(kind, collection, id, fields);
    if (this.status.lasting && !this.persisting)
      this.persist();
    return written;
  }

  /** connect; if the feature is switched off here nothing happens. */
  connect() {
    if (!this.enabled()) {
      this.report({ ...this.status, reason: 'switched_off' });
      return;
    }
    this.wanted = true;
    this.role.call('connect').catch(() => {});
  }

  /** disconnect: what is written stays here until the next connect. */
  disconnect() {
    this.wanted = false;
    this.role.call('disconnect').catch(() => {});
  }

  /** syncNow brings both sides together once, over HTTP if there is no socket. @returns {Promise<void>} */
  async syncNow() {
    await this.ready;
    await this.role.call('sync');
  }

  /** exportOutbox gives what has no verdict yet, to keep it elsewhere. */
  async exportOutbox() {
    await this.ready;
    return this.role.call('export');
  }

  async statistics() {
    await this.ready;
    return this.role.call('statistics');
  }

  /*
   * Few pages ask, so what asks is loaded when it is needed
   */

  /**
   * history gives the changes of a record, in order: the latest ones.
   * @param {string} collection
   * @param {string} id
   * @param {import('./types.js').Page} [page]
   */
  async history(collection, id, page) {
    return (await import('./ask.js')).history(this, collection, id, page);
  }

  /**
   * conflicts gives those that nobody has resolved, newest first.
   * @param {{collection?: string, id?: string} & import('./types.js').Page} [of]
   */
  async conflicts(of) {
    return (await import('./ask.js')).conflicts(this, of);
  }

  /**
   * resolve decides a conflict; the change then comes like any other.
   * @param {number} conflict
   * @param {import('./types.js').Decision} decision
   */
  async resolve(conflict, decision) {
    return (await import('./ask.js')).resolve(this, conflict, decision);
  }

  /*
   * For the device
   */

  /** persist asks the browser not to throw away what is stored. @returns {Promise<boolean>} */
  async persist() {
    this.persisting = true;
    return await globalThis.navigator?.storage?.persist?.().catch(() => false) ?? false;
  }

  /** enabled: localStorage may say 'on' or 'off', for the user or the device; in development it is on. */
  enabled() {
    const { flag = 'mirusync', enabled = true } = this.options;
    if (/^(localhost|127\.0\.0\.1|\[::1\])$/.test(globalThis.location?.hostname ?? ''))
      return true;
    try {
      const user = this.status.user ?? this.options.user;
      const said = (user && localStorage.getItem(`${flag}.${user}`)) ?? localStorage.getItem(flag);
      return said ? said !== 'off' : enabled;
    } catch {
      return enabled;
    }
  }

  /** close saves and lets go of everything. */
  async close() {
    if (this.closed)
      return;
    this.closed = true;
    this.listening.abort();
    if (this.tabs) {
      await this.tabs.resign();
      this.tabs.channel.close();
    } else {
      await this.ready;
      await this.resign();
    }
    await this.follower.close();
  }
}
