/*
 * http.js
 *     The relay over HTTP: for where no WebSocket passes, for the service
 *     worker, and by hand.
 *
 * A round pulls to the end, pushes what there is, and pulls again if it pushed.
 * Rounds do not overlap: one that is asked for while another runs comes after.
 * A socket may come while a round runs.  What the device was told by both cannot
 * be told apart, so at the end of the round the socket goes, and another one begins
 * where the round ended.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { SyncError } from './fault.js';

const TIMEOUT_MS = 30000;

/* How often a round is tried again that the relay put off. */
const PUT_OFF_MAX = 3;

export class Http {
  /**
   * @param {object} world
   * @param {string} world.url  of the relay, without /push
   * @param {typeof globalThis.fetch} world.fetch
   * @param {import('./types.js').Time} world.time
   * @param {import('./credentials.js').Credentials} world.credentials
   * @param {import('./device.js').Device} world.device
   * @param {import('./statistics.js').Statistics} world.statistics
   * @param {(user: string) => Promise<void>} world.user  a user whose data this may not be
   * @param {Pick<import('./connection.js').Connection, 'state' | 'lose'>} [world.connection]
   */
  constructor({ url, fetch, time, credentials, device, statistics, user, connection }) {
    this.url = url;
    this.fetch = fetch;
    this.time = time;
    this.credentials = credentials;
    this.device = device;
    this.statistics = statistics;
    this.user = user;
    this.connection = connection;
    /** @type {Promise<void>} */
    this.last = Promise.resolve();
  }

  /**
   * ask makes a request.  Throws unauthorized, refused, or unreachable, with
   * the relay's error as cause.
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async ask(path, body) {
    const abort = new AbortController();
    const timer = this.time.setTimeout(() => abort.abort(), TIMEOUT_MS);
    const text = body && JSON.stringify(body);
    let response;
    let answer;
    try {
      response = await this.fetch(`${this.url}/${path}`, {
        method: body ? 'POST' : 'GET',
        headers: {
          authorization: `Bearer ${this.credentials.token ?? await this.credentials.fresh()}`,
          ...(body ? { 'content-type': 'application/json' } : {}),
        },
        body: text,
        cache: 'no-store',
        signal: abort.signal,
      });
      answer = await response.json();
    } catch (error) {
      throw new SyncError('unreachable', `the relay could not be reached: ${error}`, error);
    } finally {
      this.time.clearTimeout(timer);
    }
    this.statistics.sent(text?.length ?? 0, /** @type {any} */ (body ?? {}));
    if (response.ok)
      return answer;
    const error = answer.error ?? {};
    throw new SyncError(response.status === 401 || response.status === 403 ? 'unauthorized'
      : error.retry ? 'unreachable' : 'refused', error.reason ?? `status ${response.status}`, error);
  }

  /** round brings both sides together. @returns {Promise<void>} */
  round() {
    const next = this.last.catch(() => {}).then(() => this.authorized());
    this.last = next;
    return next;
  }

  async authorized() {
    if (!this.credentials.token && !await this.credentials.fresh())
      throw new SyncError('unauthorized', 'there is no token');
    try {
      await this.exchange();
    } catch (error) {
      if (/** @type {SyncError} */ (error).code !== 'unauthorized' || !await this.credentials.fresh())
        throw error;
      await this.exchange();
    }
  }

  async exchange() {
    const { device } = this;
    const status = await this.ask('status');
    if (device.meta.user && device.meta.user !== status.user)
      await this.user(status.user);
    device.meta.user ??= status.user;
    device.greeted(status);
    device.lost();
    try {
      await this.pull();
      if (await this.push())
        await this.pull();
    } finally {
      device.lost();
      if (this.connection?.state === 'live')
        this.connection.lose('lost');
    }
    await device.saver.done();
  }

  async pull() {
    for (let complete = false; !complete;) {
      const { epoch, seq, seen } = this.device.cursor;
      const query = new URLSearchParams({ after: String(seq) });
      if (epoch !== undefined)
        query.set('epoch', String(epoch));
      if (seen !== undefined)
        query.set('seen', String(seen));
      const page = await this.ask(`pull?${query}`);
      this.statistics.received(0, page);
      this.device.receive({ ...page, type: 'page' });
      complete = page.complete;
    }
  }

  /** push sends all that may leave, and tells whether that was anything. */
  async push() {
    let any = false;
    for (let putOff = 0; ;) {
      await this.device.saver.done();
      const message = this.device.push();
      if (!message)
        return any;
      const { type, ...body } = message;
      try {
        const answer = await this.ask('push', { ...body, device: this.device.meta.device });
        this.device.receive({ ...answer, ref: message.ref, type: 'verdicts' });
        any = true;
      } catch (error) {
        const cause = /** @type {any} */ (error).cause;
        if (!cause?.code || /** @type {SyncError} */ (error).code === 'unauthorized')
          throw error;
        const wait = this.device.refused({ ...cause, ref: message.ref });
        if (cause.retry && ++putOff > PUT_OFF_MAX)
          throw error;
        await new Promise((resolve) => this.time.setTimeout(() => resolve(undefined), wait));
      }
    }
  }
}
