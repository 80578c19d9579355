/*
 * collection.js
 *     The records of one collection, for an application: to look at, to write,
 *     to be told of.
 *
 * Records are frozen: a record that changes becomes another object, one that
 * does not stays the same one.  So comparing with === tells what changed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { SyncError } from './fault.js';
import { newId } from './id.js';

/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {import('./types.js').Verdict} Verdict */

/**
 * A write under way.  saved: it is in the storage, and survives the page.
 * verdict: what the server made of it; it never rejects.
 * @typedef {{id: string, saved: Promise<void>, verdict: Promise<Verdict>}} Write
 */

/**
 * @template {Fields} [T=Fields]
 * @typedef {object} Query
 * @property {Partial<T> | ((record: T) => boolean)} [where]  fields that are so, or a function
 * @property {string | ((a: T, b: T) => number)} [order]  a field, '-field' for the other way round, or a function
 * @property {number} [limit]
 */

/** @template {Fields} [T=Fields] */
export class Collection {
  /**
   * @param {import('./client.js').Client} client
   * @param {string} name
   */
  constructor(client, name) {
    this.client = client;
    this.name = name;
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {readonly T[] | undefined} */
    this.snapshot = undefined;
    this.subscribe = this.subscribe.bind(this);
    this.getSnapshot = this.getSnapshot.bind(this);
  }

  /** @returns {Map<string, T>} */
  get records() {
    return /** @type {Map<string, any>} */ (this.client.views.get(this.name) ?? new Map());
  }

  /**
   * subscribe calls listener after each change; gives a function that ends it.
   * @param {() => void} listener
   * @returns {() => void}
   */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** getSnapshot gives all records; the same array until something changes. */
  getSnapshot() {
    return this.snapshot ??= Object.freeze([...this.records.values()]);
  }

  /** changed: told by the client. */
  changed() {
    this.snapshot = undefined;
    for (const listener of [...this.listeners])
      listener();
  }

  /** @param {string | number} id @returns {T | undefined} */
  get(id) {
    return this.records.get(String(id));
  }

  /**
   * list gives records by a filter, in an order.
   * @example notes.list({ where: { done: false }, order: '-changed', limit: 20 })
   * @param {Query<T>} [query]
   * @returns {T[]}
   */
  list(query = {}) {
    return select(this.getSnapshot(), query);
  }

  /**
   * put writes a record as a whole.
   * @param {string | number} id
   * @param {Fields} fields
   * @returns {Write}
   */
  put(id, fields) {
    return this.write('put', id, fields);
  }

  /** add puts a record under a new id. @param {Fields} fields */
  add(fields) {
    return this.write('put', newId(), fields);
  }

  /**
   * patch writes some fields of a record.
   * @param {string | number} id
   * @param {Fields} fields
   */
  patch(id, fields) {
    return this.write('patch', id, fields);
  }

  /** @param {string | number} id */
  delete(id) {
    return this.write('delete', id);
  }

  /**
   * @param {import('./types.js').Kind} kind
   * @param {string | number} id
   * @param {Fields} [fields]
   * @returns {Write}
   */
  write(kind, id, fields) {
    if (kind !== 'delete' && (typeof fields !== 'object' || !fields || Array.isArray(fields)))
      throw new SyncError('wrong_use', 'fields must be an object');
    if ((typeof id !== 'string' && typeof id !== 'number') || id === '')
      throw new SyncError('wrong_use', 'id must be a text, not empty');
    return { id: String(id), ...this.client.write(kind, this.name, String(id), fields) };
  }
}

/**
 * select applies a query to records.
 * @template {Fields} T
 * @param {readonly T[]} records
 * @param {Query<T>} query
 * @returns {T[]}
 */
export function select(records, { where, order, limit }) {
  let found = [...records];
  if (typeof where === 'function')
    found = found.filter(where);
  else if (where)
    found = found.filter((record) => Object.entries(where).every(([name, value]) => record[name] === value));
  if (order)
    found.sort(typeof order === 'function' ? order : byField(order));
  return limit === undefined ? found : found.slice(0, limit);
}

/** byField compares; what lacks the field comes last, either way. @param {string} order */
function byField(order) {
  const down = order.startsWith('-');
  const name = down ? order.slice(1) : order;
  return (/** @type {Fields} */ a, /** @type {Fields} */ b) => {
    const [x, y] = [a[name] ?? null, b[name] ?? null];
    if (x === y)
      return 0;
    if (x === null || y === null)
      return x === null ? 1 : -1;
    return (x < y ? -1 : 1) * (down ? -1 : 1);
  };
}
