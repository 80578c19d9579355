/*
 * react.js
 *     Hooks: a component that uses them shows what is there, and shows it again
 *     when it changes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { useCallback, useMemo, useSyncExternalStore } from 'react';
import { select } from './collection.js';

/** @typedef {import('./client.js').Client} Client */
/** @typedef {import('./types.js').Fields} Fields */

/**
 * useSync gives the status: state, unsent, since when.
 * @param {Client} client
 */
export function useSync(client) {
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.on('status', changed), [client]);
  const status = () => client.status;
  return useSyncExternalStore(subscribe, status, status);
}

/**
 * useCollection gives records by a filter, in an order.  The array is the same
 * until a record changes or the query does.
 * @example const open = useCollection(client, 'note', { where: { done: false }, order: 'title' });
 * @template {Fields} [T=Fields]
 * @param {Client} client
 * @param {string} name
 * @param {import('./collection.js').Query<T>} [query]
 * @returns {T[]}
 */
export function useCollection(client, name, query = {}) {
  const collection = /** @type {import('./collection.js').Collection<T>} */ (client.collection(name));
  const records = useSyncExternalStore(collection.subscribe, collection.getSnapshot, collection.getSnapshot);
  /* A query is mostly written out anew at each render; one of data only is known by what it says. */
  const data = typeof query.where !== 'function' && typeof query.order !== 'function';
  return useMemo(() => select(records, query), [records, data ? JSON.stringify(query) : query]);
}

/**
 * useRecord gives one record, or undefined.
 * @template {Fields} [T=Fields]
 * @param {Client} client
 * @param {string} name
 * @param {string | number} id
 * @returns {T | undefined}
 */
export function useRecord(client, name, id) {
  const collection = /** @type {import('./collection.js').Collection<T>} */ (client.collection(name));
  const record = () => collection.get(id);
  return useSyncExternalStore(collection.subscribe, record, record);
}
