/*
 * tabs.js
 *     Which of the browser's tabs leads (Web Locks), and how they talk
 *     (BroadcastChannel).
 *
 * The lock is held as long as a tab leads; when the tab closes, or the browser
 * freezes it, the next in the queue gets it.  From a tab that hangs the lock is
 * stolen; should it wake up, the storage does not take its writes
 * (storage_indexeddb.js).
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {(message: any) => void} Post */

/**
 * @typedef {object} Stage
 * @property {() => Promise<void>} lead  we have the lock
 * @property {() => Promise<void>} resign  we are about to give it back
 * @property {() => void} follow  somebody else has it
 * @property {(message: any) => void} hear
 */

export class Tabs {
  /**
   * @param {object} world
   * @param {string} world.name
   * @param {LockManager} world.locks
   * @param {typeof globalThis.BroadcastChannel} world.BroadcastChannel
   * @param {Stage} stage
   * @param {string} tab
   */
  constructor({ name, locks, BroadcastChannel }, stage, tab) {
    this.name = name;
    this.locks = locks;
    this.stage = stage;
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = ({ data }) => {
      if (!data.to || data.to === tab)
        stage.hear(data);
    };
    /** Gives the lock back, while we have it. @type {(() => void) | undefined} */
    this.release = undefined;
    /** Takes us out of the queue. @type {AbortController | undefined} */
    this.queue = undefined;
  }

  /** @type {Post} */
  post = (message) => this.channel.postMessage(message);

  /** stand leads if nobody does; else follows, and waits for its turn. */
  async stand() {
    const free = await new Promise((told) => {
      this.request({ ifAvailable: true }, told);
    });
    if (!free) {
      this.stage.follow();
      this.wait();
    }
  }

  wait() {
    this.queue = new AbortController();
    this.request({ signal: this.queue.signal });
  }

  /** steal takes the lead from a tab that does not answer. */
  steal() {
    this.queue?.abort();
    this.request({ steal: true });
  }

  /**
   * request leads when it gets the lock.
   * @param {LockOptions} options
   * @param {(free: boolean) => void} [told]
   */
  request(options, told) {
    this.locks.request(this.name, options, (lock) => {
      told?.(Boolean(lock));
      return lock ? this.lead() : undefined;
    }).catch(() => {
      /* Taken out of the queue; or somebody stole it from us. */
      if (!this.release)
        return;
      this.release = undefined;
      this.stage.follow();
      this.wait();
    });
  }

  /** lead holds the lock until it is to be given back. */
  async lead() {
    const given = new Promise((resolve) => { this.release = () => resolve(undefined); });
    await this.stage.lead();
    this.post({ type: 'lead' });
    await given;
  }

  /** resign gives the lead to another tab, or leaves the queue. */
  async resign() {
    this.queue?.abort();
    const { release } = this;
    this.release = undefined;
    if (!release)
      return;
    await this.stage.resign();
    release();
  }
}
