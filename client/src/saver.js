/*
 * saver.js
 *     Brings what changed to the storage: what comes together, or while a
 *     write is under way, goes in one transaction.
 *
 * Memory is ahead of the storage by what is in batches; a batch holds all of
 * it up to the moment at which its write begins, and the meta of that moment.
 * Of a batch that could not be written the records are tried again with the
 * next one, or after a while: the cursor must never be there without them.
 * Changes of the outbox are given back, so that whoever made them knows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { SyncError } from './fault.js';

/** @typedef {import('./types.js').Batch} Batch */
/** @typedef {import('./types.js').Change} Change */

const AGAIN_MS = 5000;

/** @returns {Batch} */
const emptyBatch = () => ({ clear: false, records: new Map(), outbox: new Map(), meta: {} });

export class Saver {
  /**
   * @param {object} world
   * @param {import('./types.js').Storage} world.storage
   * @param {import('./types.js').Time} world.time
   * @param {() => import('./types.js').Meta} world.meta
   * @param {(batch: Batch) => void} world.wrote
   * @param {(error: SyncError, changes: Change[]) => void} world.failed
   */
  constructor({ storage, time, meta, wrote, failed }) {
    this.storage = storage;
    this.time = time;
    this.meta = meta;
    this.wrote = wrote;
    this.failed = failed;
    this.batch = emptyBatch();
    this.dirty = false;
    this.ended = false;
    /** @type {Promise<void> | undefined} */
    this.writing = undefined;
    /** @type {any} */
    this.timer = undefined;
  }

  /** @param {string} key @param {{collection: string, id: string, base: import('./types.js').Base | null}} record */
  record(key, record) {
    this.batch.records.set(key, record);
    this.touch();
  }

  /** @param {number} number @param {Change | null} change */
  change(number, change) {
    this.batch.outbox.set(number, change);
    this.touch();
  }

  clear() {
    this.batch = { ...emptyBatch(), clear: true };
    this.touch();
  }

  /** touch: something is to be written, if only the meta. */
  touch() {
    this.dirty = true;
    if (!this.ended)
      this.writing ??= Promise.resolve().then(() => this.run());
  }

  /** done resolves when everything so far is written, or has failed. */
  async done() {
    while (this.writing)
      await this.writing;
  }

  async run() {
    this.time.clearTimeout(this.timer);
    while (this.dirty && !this.ended) {
      const batch = this.batch;
      batch.meta = { ...this.meta() };
      this.batch = emptyBatch();
      this.dirty = false;
      try {
        await this.storage.write(batch);
        this.wrote(batch);
      } catch (error) {
        this.putBack(batch);
        this.fail(error, [...batch.outbox.values()].filter((change) => change !== null));
        break;
      }
    }
    this.writing = undefined;
  }

  /** putBack makes what is older part of the next batch. @param {Batch} batch */
  putBack(batch) {
    const next = this.batch;
    if (!next.clear) {
      next.clear = batch.clear;
      next.records = new Map([...batch.records, ...next.records]);
      const ends = [...batch.outbox].filter(([, change]) => !change);
      next.outbox = new Map([...ends, ...next.outbox]);
    }
    this.dirty = true;
  }

  /** @param {unknown} cause @param {Change[]} changes */
  fail(cause, changes) {
    let error = cause;
    if (!(error instanceof SyncError)) {
      const full = /** @type {any} */ (cause)?.name === 'QuotaExceededError';
      error = full ? new SyncError('storage_full', 'no more room', cause)
        : new SyncError('storage_failed', `not stored: ${cause}`, cause);
    }
    if (/** @type {SyncError} */ (error).code === 'lost_lead')
      this.ended = true;
    else
      this.timer = this.time.setTimeout(() => this.touch(), AGAIN_MS);
    this.failed(/** @type {SyncError} */ (error), changes);
  }

  /** end writes what is left, and no more after it. */
  async end() {
    await this.done();
    this.ended = true;
    this.time.clearTimeout(this.timer);
  }
}
