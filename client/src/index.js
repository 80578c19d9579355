/*
 * index.js
 *     The public names.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Client } from './client.js';

export { Client };
export { SyncError } from './fault.js';
export { newId } from './id.js';
export { memoryStorage } from './storage_memory.js';
export { indexedDbStorage } from './storage_indexeddb.js';

/** @typedef {import('./client.js').Options} Options */
/** @typedef {import('./client.js').Status} Status */
/** @typedef {import('./collection.js').Write} Write */
/** @typedef {import('./types.js').Verdict} Verdict */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {import('./types.js').HistoryChange} HistoryChange */
/** @typedef {import('./types.js').Conflict} Conflict */
/** @typedef {import('./types.js').Decision} Decision */
/**
 * @template {import('./types.js').Fields} [T=import('./types.js').Fields]
 * @typedef {import('./collection.js').Collection<T>} Collection
 */

/**
 * createClient makes a client, which shows what is stored and takes writes at
 * once; connect() has it sync.
 * @example
 * const client = createClient({ token: () => fetch('/token').then((r) => r.text()) });
 * const notes = client.collection('note');
 * notes.subscribe(() => console.log(notes.list({ order: 'title' })));
 * client.connect();
 * notes.put('n1', { title: 'Milk' });
 * @param {Options} options
 */
export function createClient(options) {
  return new Client(options);
}
