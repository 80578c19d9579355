/*
 * storage_indexeddb.js
 *     Records, outbox and cursor in IndexedDB.
 *
 * What belongs together is written in one transaction: a cursor with the
 * records that it stands for, a verdict's record with the end of its change.
 * Each opening takes the next term; a write of an earlier term fails.  So a tab
 * that was frozen and woke up cannot write over what its successor did.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { openDB } from 'idb';
import { SyncError } from './fault.js';

/** @typedef {import('./types.js').Batch} Batch */

const STORES = /** @type {const} */ (['record', 'outbox', 'meta']);

/**
 * @param {string} name  of the database
 * @returns {import('./types.js').Storage}
 */
export function indexedDbStorage(name) {
  /** @type {import('idb').IDBPDatabase<any>} */
  let database;
  let term = 0;

  const connect = async () => {
    database = await openDB(name, 1, {
      upgrade(db) {
        db.createObjectStore('record', { keyPath: ['collection', 'id'] });
        db.createObjectStore('outbox', { keyPath: 'number' });
        db.createObjectStore('meta');
      },
      /* A later version of this package in another tab wants to upgrade it. */
      blocking: () => database.close(),
    });
  };

  return {
    lasting: true,

    async open() {
      await connect();
      const transaction = database.transaction(STORES, 'readwrite');
      const stored = transaction.objectStore('meta');
      term = (await stored.get('term') ?? 0) + 1;
      await stored.put(term, 'term');
      const [records, outbox, meta] = await Promise.all([
        transaction.objectStore('record').getAll(),
        transaction.objectStore('outbox').getAll(),
        stored.get('meta'),
        transaction.done,
      ]);
      return { records, outbox, meta: meta ?? {} };
    },

    /** @param {Batch} batch */
    async write(batch) {
      /* An answer may only leave for what is on the disk. */
      const transaction = database.transaction(STORES, 'readwrite', { durability: batch.outbox.size ? 'strict' : 'default' });
      /** @type {Promise<unknown>[]} */
      const requests = [transaction.done];
      try {
        const [records, outbox, meta] = STORES.map((store) => transaction.objectStore(store));
        if (await meta.get('term') !== term)
          throw new SyncError('lost_lead', 'another tab writes now');
        if (batch.clear)
          requests.push(records.clear(), outbox.clear());
        for (const record of batch.records.values())
          requests.push(record.base ? records.put(record) : records.delete([record.collection, record.id]));
        for (const [number, change] of batch.outbox)
          requests.push(change ? outbox.put(change) : outbox.delete(number));
        requests.push(meta.put(batch.meta, 'meta'));
        await Promise.all(requests);
      } catch (error) {
        for (const request of requests)
          request.catch(() => {});
        try {
          transaction.abort();
        } catch { /* it has ended by itself */ }
        throw error;
      }
    },

    async close() {
      database?.close();
    },
  };
}
