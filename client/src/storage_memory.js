/*
 * storage_memory.js
 *     Keeps nothing: for where there is no IndexedDB.  What is there is in the
 *     memory of replica and outbox already.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @returns {import('./types.js').Storage} */
export function memoryStorage() {
  return {
    lasting: false,
    open: async () => ({ records: [], outbox: [], meta: {} }),
    write: async () => {},
    close: async () => {},
  };
}
