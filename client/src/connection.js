/*
 * connection.js
 *     Walks the table of states.js: token, socket, hello, heartbeat, waits.
 *     Messages about data go to the device and come from it.
 *
 * Whatever takes time carries the number of its attempt; what comes of an
 * attempt that is over is not listened to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Backoff, LEAST_MS } from './backoff.js';
import { subjectOf } from './credentials.js';
import { Heartbeat } from './heartbeat.js';
import { Socket } from './socket.js';
import { nameOf, TABLE } from './states.js';

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./states.js').Event} Event */

/* From the token to the welcome. */
const CONNECT_MS = 20000;

/* A connection that lasted less was none: the waits go on growing. */
const STEADY_MS = 10000;

/* The browser may say several times that it is back. */
const WAKE_MS = 1000;

/* Over HTTP: how often to look for news when there is nothing to send. */
const POLL_MS = 5000;

/* How long before its end a token is replaced, at most. */
const TOKEN_MARGIN_MS = 60000;

/* The longest that setTimeout can wait. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * What close codes of the relay mean for us; others are told by goodbye, or are lost.
 * @type {Record<number, Event>}
 */
const CLOSES = {
  1003: 'refused',
  1009: 'refused',
  4400: 'refused',
  4403: 'denied',
  4405: 'blocked',
  4410: 'denied',
};

export class Connection {
  /**
   * @param {object} world
   * @param {string} world.url  of the relay, as http(s)://…/sync
   * @param {import('./socket.js').SocketClass} world.WebSocket
   * @param {import('./types.js').Time} world.time
   * @param {() => number} world.random
   * @param {import('./credentials.js').Credentials} world.credentials
   * @param {import('./device.js').Device} world.device
   * @param {import('./statistics.js').Statistics} world.statistics
   * @param {() => Promise<import('./http.js').Http>} world.http
   * @param {(user: string) => Promise<void>} world.user
   * @param {() => void} world.changed  state or reason changed
   * @param {(...what: any[]) => void} world.log
   */
  constructor({ url, WebSocket, time, random, credentials, device, statistics, http, user, changed, log }) {
    this.url = url;
    this.WebSocket = WebSocket;
    this.time = time;
    this.credentials = credentials;
    this.device = device;
    this.statistics = statistics;
    this.http = http;
    this.user = user;
    this.changed = changed;
    this.log = log;
    this.backoff = new Backoff(random);
    this.heartbeat = new Heartbeat(time, { ping: () => this.ping(), silent: () => this.lose('silent') });
    /** @type {import('./states.js').State} */
    this.state = 'idle';
    this.reason = 'not_connected';
    this.attempt = 0;
    this.again = false;
    this.polling = false;
    /** The token was refused, and none newer was tried. */
    this.refusedOnce = false;
    /** @type {Socket | undefined} */
    this.socket = undefined;
    /** @type {Message | undefined} */
    this.goodbye = undefined;
    this.liveSince = 0;
    this.triedAt = -Infinity;
    this.margin = 0;
    this.ref = 2 ** 40;
    /** When messages were sent that wait for an answer. @type {Map<number, number>} */
    this.askedAt = new Map();
    /** @type {Record<string, any>} */
    this.timers = {};
  }

  get name() {
    return nameOf(this.state, this);
  }

  /**
   * happen walks one step.
   * @param {Event} event
   * @param {string} [reason]
   */
  happen(event, reason) {
    const step = TABLE[this.state][event];
    if (!step)
      return;
    const [state, ...actions] = step;
    this.log('connection', this.state, event, state, reason ?? '');
    this.state = state;
    if (reason)
      this.reason = reason;
    if (state === 'waiting' || state === 'polling')
      this.again = true;
    if (state === 'idle' || state === 'unauthorized')
      this.again = false;
    for (const action of actions)
      this[action]();
    this.changed();
  }

  /*
   * What others want
   */
  connect() {
    this.happen('connect');
  }

  disconnect(reason = 'by_request') {
    this.happen('disconnect', reason);
  }

  /** awake: the browser is online, or the page can be seen. */
  awake() {
    if (this.time.now() - this.triedAt >= WAKE_MS)
      this.happen('wake');
  }

  /** pump sends what there is to send. */
  pump() {
    if (this.polling)
      this.pollSoon(0);
    if (this.state !== 'live' || this.timers.pause)
      return;
    for (let message; (message = this.device.push());) {
      this.askedAt.set(message.ref, this.time.now());
      this.send(message);
    }
  }

  /*
   * Actions of the table
   */
  authorize() {
    const attempt = ++this.attempt;
    this.triedAt = this.time.now();
    const live = () => attempt === this.attempt;
    Promise.resolve().then(() => this.credentials.fresh()).then(async (token) => {
      const user = token && subjectOf(token);
      if (live() && user && this.device.meta.user && user !== this.device.meta.user)
        await this.user(user);
      return token;
    }).then((token) => {
      if (live())
        this.happen(token ? 'token' : 'no_token', token ? undefined : 'no_token');
    }, (error) => {
      this.log('connection', 'token provider', error);
      if (live())
        this.happen('lost', 'token_provider');
    });
  }

  open() {
    const { attempt } = this;
    const url = `${this.url.replace(/^http/, 'ws')}/ws?auth=message`;
    const live = () => attempt === this.attempt;
    this.goodbye = undefined;
    this.timer('deadline', () => this.lose('timeout'), CONNECT_MS);
    try {
      this.socket = new Socket(this.WebSocket, url, {
        opened: () => live() && this.happen('opened'),
        message: (message, bytes) => {
          if (live())
            this.receive(message, bytes);
        },
        closed: (code, reason) => live() && this.closed(code, reason),
      });
    } catch (error) {
      this.log('connection', 'no socket', error);
      queueMicrotask(() => live() && this.lose('no_socket'));
    }
  }

  hello() {
    this.send({ ...this.device.hello(), token: this.credentials.token });
  }

  begin() {
    this.timer('deadline');
    this.liveSince = this.time.now();
    this.refusedOnce = false;
    this.reason = '';
    this.statistics.connects++;
    if (this.again)
      this.statistics.reconnects++;
    this.again = true;
    this.heartbeat.start(this.device.limits.idle_timeout_ms);
  }

  drop() {
    this.attempt++;
    this.socket?.close();
    this.socket = undefined;
    this.heartbeat.stop();
    for (const name of ['deadline', 'token', 'pause'])
      this.timer(name);
    this.askedAt.clear();
    this.device.lost();
    if (this.liveSince && this.time.now() - this.liveSince >= STEADY_MS)
      this.backoff.reset();
    this.liveSince = 0;
  }

  wait() {
    const after = this.goodbye?.after_ms;
    this.goodbye = undefined;
    const wait = this.backoff.next();
    this.timer('retry', () => this.happen('retry'), after === undefined ? wait : Math.max(after, LEAST_MS));
  }

  cancel() {
    this.timer('retry');
  }

  /** probe finds out over HTTP why there is no socket. */
  probe() {
    const { attempt } = this;
    const tell = (/** @type {Event} */ event, /** @type {string} */ reason) => {
      if (attempt === this.attempt)
        this.happen(event, reason);
    };
    this.http().then((http) => http.ask('status')).then(() => tell('blocked', 'sockets_blocked'), ({ code }) => {
      if (code !== 'unauthorized')
        tell('lost', code === 'refused' ? 'refused' : 'unreachable');
      else if (attempt === this.attempt)
        tell(this.refusedToken(), 'unauthorized');
    });
  }

  /** refusedToken: it may just have expired, and the next attempt asks for another. @returns {Event} */
  refusedToken() {
    const event = this.refusedOnce ? 'denied' : 'lost';
    this.refusedOnce = true;
    return event;
  }

  check() {
    this.heartbeat.check();
  }

  poll() {
    this.polling = true;
    this.pollSoon(0);
  }

  rest() {
    this.polling = false;
    this.timer('poll');
  }

  /*
   * The rest of it
   */

  /** @param {number} ms */
  pollSoon(ms) {
    this.timer('poll', () => {
      this.http().then((http) => http.round()).then(() => {
        if (this.polling)
          this.pollSoon(POLL_MS);
      }, (error) => {
        if (this.state === 'polling')
          this.happen(error.code === 'unauthorized' ? 'denied' : 'lost', error.code);
        else if (this.polling)
          this.pollSoon(POLL_MS);
      });
    }, ms);
  }

  /** lose: the connection is of no use. @param {string} reason */
  lose(reason) {
    this.happen('lost', reason);
  }

  /** @param {number} code @param {string} reason */
  closed(code, reason) {
    const event = code === 4401 || code === 4419 ? this.refusedToken() : CLOSES[code] ?? (this.goodbye?.reconnect === false ? 'refused' : 'lost');
    this.log('connection', 'closed', code, reason);
    this.happen(event, code === 4401 ? 'unauthorized' : this.goodbye?.reason ?? (reason || `closed_${code}`));
  }

  ping() {
    this.ask({ type: 'ping' });
  }

  /** @param {Message} message */
  ask(message) {
    const ref = ++this.ref;
    this.askedAt.set(ref, this.time.now());
    this.send({ ...message, ref });
  }

  /** @param {Message} message */
  send(message) {
    this.log('sent', message);
    this.statistics.sent(this.socket?.send(message) ?? 0, message);
  }

  /** @param {Message} message @param {number} bytes */
  receive(message, bytes) {
    this.log('received', message);
    this.statistics.received(bytes, message);
    this.heartbeat.heard();
    const asked = this.askedAt.get(message.ref);
    this.askedAt.delete(message.ref);
    if (asked !== undefined && message.type !== 'error')
      this.statistics.took(message.type === 'verdicts' ? 'pushes' : 'pings', this.time.now() - asked);
    if (message.token_expires_in_ms !== undefined)
      this.renewToken(message.token_expires_in_ms, message.type !== 'pong' && !message.expiring);
    if (message.type === 'welcome')
      this.welcome(message);
    else if (message.type === 'goodbye')
      this.goodbye = message;
    else if (message.type === 'error')
      this.error(message);
    else if (this.device.receive(message))
      this.lose('hole');
    this.pump();
  }

  /** @param {Message} message */
  welcome(message) {
    const wrong = this.device.welcome(message);
    if (!wrong) {
      this.happen('welcome');
      return;
    }
    this.lose(wrong === 'user' ? 'user_changed' : 'storage_lost');
    if (wrong === 'device')
      this.device.renew();
    else
      this.user(message.user).catch(() => this.disconnect('user_changed'));
  }

  /** @param {Message} message */
  error(message) {
    const wait = this.device.refused(message);
    if (wait)
      this.timer('pause', () => this.pump(), wait);
    if (this.state === 'greeting')
      this.lose(message.code);
  }

  /** renewToken has a fresh token sent in good time. @param {number} left @param {boolean} first  heard of this token */
  renewToken(left, first) {
    const { attempt } = this;
    if (first)
      this.margin = Math.min(TOKEN_MARGIN_MS, left / 5);
    this.timer('token', () => this.credentials.fresh().then((token) => {
      if (token && attempt === this.attempt && this.state === 'live')
        this.ask({ type: 'token', token });
    }, (error) => this.log('connection', 'token provider', error)), Math.max(1000, left - this.margin));
  }

  /** timer sets, or without run clears, a timer. @param {string} name @param {() => void} [run] @param {number} [ms] */
  timer(name, run, ms = 0) {
    this.time.clearTimeout(this.timers[name]);
    delete this.timers[name];
    if (run)
      this.timers[name] = this.time.setTimeout(() => {
        delete this.timers[name];
        run();
      }, Math.min(ms, TIMER_MAX_MS));
  }
}
