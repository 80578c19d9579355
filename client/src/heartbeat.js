/*
 * heartbeat.js
 *     Whether anybody is at the other end: asks when nothing was heard for a
 *     while, and says so if there is no answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

const INTERVAL_MAX_MS = 30000;
const ANSWER_MS = 10000;
const QUICK_ANSWER_MS = 4000;

export class Heartbeat {
  /**
   * @param {import('./types.js').Time} time
   * @param {{ping: () => void, silent: () => void}} listener
   */
  constructor(time, listener) {
    this.time = time;
    this.listener = listener;
    this.interval = 0;
    /** @type {any} */
    this.timer = undefined;
  }

  /** start begins to listen. @param {number} idleTimeout  after which the relay closes */
  start(idleTimeout) {
    this.interval = Math.min(INTERVAL_MAX_MS, Math.floor(idleTimeout / 3));
    this.heard();
  }

  /** heard: something came. */
  heard() {
    if (this.interval)
      this.set(() => this.ask(ANSWER_MS), this.interval);
  }

  /** check asks at once: after a sleep the socket may be dead without knowing. */
  check() {
    if (this.interval)
      this.ask(QUICK_ANSWER_MS);
  }

  /** @param {number} patience */
  ask(patience) {
    this.set(() => this.listener.silent(), patience);
    this.listener.ping();
  }

  stop() {
    this.interval = 0;
    this.time.clearTimeout(this.timer);
  }

  /** @param {() => void} run @param {number} ms */
  set(run, ms) {
    this.time.clearTimeout(this.timer);
    this.timer = this.time.setTimeout(run, ms);
  }
}
